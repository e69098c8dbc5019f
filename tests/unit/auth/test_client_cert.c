// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "auth/client_cert.h"

static void demands_one_where_the_listener_asks(void **state)
{
    (void)state;
    struct kvs_message detail = {{0}};
    struct kvs_http_request request = {.tls = {.on = true,
                                               .client_cert_asked = true,
                                               .client_cert_problem = "certificate has expired"}};
    assert_int_equal(kvs_client_cert_demand(&request, &detail), KVS_ERR_UNAUTHORIZED);
    assert_string_equal(detail.text, "Unauthorized: this route demands a client certificate of the "
                                     "cluster's CA: certificate has expired");
    request.tls.client_cert_verified = true;
    request.tls.client_cert_problem = NULL;
    assert_int_equal(kvs_client_cert_demand(&request, &detail), 0);
}

static void demands_none_where_it_does_not(void **state)
{
    (void)state;
    struct kvs_http_request plain = {0};
    assert_int_equal(kvs_client_cert_demand(&plain, NULL), 0);
    struct kvs_http_request tls = {.tls = {.on = true}};
    assert_int_equal(kvs_client_cert_demand(&tls, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demands_one_where_the_listener_asks),
        cmocka_unit_test(demands_none_where_it_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
