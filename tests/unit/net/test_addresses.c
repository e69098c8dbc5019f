// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "net/addresses.h"

static struct kvs_http_address address(const char *text)
{
    struct kvs_http_address result;
    assert_true(kvs_http_address_parse(kvs_slice_from_str(text), &result));
    return result;
}

static void counts_each_address_up_to_the_limit(void **state)
{
    (void)state;
    struct net_addresses *addresses = NULL;
    assert_int_equal(net_addresses_new(1, &addresses), 0);
    struct kvs_http_address a = address("192.0.2.1");
    struct kvs_http_address b = address("192.0.2.2");
    assert_true(net_addresses_add(addresses, &a, 2));
    assert_true(net_addresses_add(addresses, &a, 2));
    assert_false(net_addresses_add(addresses, &a, 2));
    assert_true(net_addresses_add(addresses, &b, 2));
    net_addresses_remove(addresses, &a);
    assert_true(net_addresses_add(addresses, &a, 2));
    assert_true(net_addresses_add(addresses, &a, 0)); // no limit
    net_addresses_free(addresses);
}

static void counts_ipv6_clients_by_their_network(void **state)
{
    (void)state;
    struct net_addresses *addresses = NULL;
    assert_int_equal(net_addresses_new(1, &addresses), 0);
    struct kvs_http_address a = address("2001:db8::1");
    struct kvs_http_address b = address("2001:db8::ffff:1");
    struct kvs_http_address c = address("2001:db8:0:1::1");
    assert_true(net_addresses_add(addresses, &a, 1));
    assert_false(net_addresses_add(addresses, &b, 1));
    assert_true(net_addresses_add(addresses, &c, 1));
    net_addresses_free(addresses);
}

static void keeps_thousands_apart(void **state)
{
    (void)state;
    struct net_addresses *addresses = NULL;
    assert_int_equal(net_addresses_new(7, &addresses), 0);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 20000; i++) {
            struct kvs_http_address each = kvs_http_address_v4(&i);
            assert_int_equal(net_addresses_add(addresses, &each, 1), round == 0);
        }
    for (uint32_t i = 0; i < 20000; i++) {
        struct kvs_http_address each = kvs_http_address_v4(&i);
        net_addresses_remove(addresses, &each);
        assert_true(net_addresses_add(addresses, &each, 1));
    }
    net_addresses_free(addresses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_each_address_up_to_the_limit),
        cmocka_unit_test(counts_ipv6_clients_by_their_network),
        cmocka_unit_test(keeps_thousands_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
