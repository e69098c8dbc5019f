// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "config/check.h"

static void assert_all(bool (*check)(struct kvs_slice), const char *const *texts, size_t count,
                       bool expected)
{
    for (size_t i = 0; i < count; i++) {
        if (check(kvs_slice_from_str(texts[i])) != expected)
            fail_msg("'%s' is %s", texts[i], expected ? "refused" : "accepted");
    }
}

#define ACCEPTS(check, ...)                                                                        \
    do {                                                                                           \
        const char *const texts_[] = {__VA_ARGS__};                                                \
        assert_all(check, texts_, sizeof(texts_) / sizeof(texts_[0]), true);                       \
    } while (0)
#define REFUSES(check, ...)                                                                        \
    do {                                                                                           \
        const char *const texts_[] = {__VA_ARGS__};                                                \
        assert_all(check, texts_, sizeof(texts_) / sizeof(texts_[0]), false);                      \
    } while (0)

#define LABEL_63 "a23456789012345678901234567890123456789012345678901234567890123"

static void hosts(void **state)
{
    (void)state;
    ACCEPTS(kvs_check_host, "localhost", "a", "a.b.c", "10.0.0.1", "::", "::1", "fd00::1",
            "xn--bcher-kva.example", "node_1", "1a", "3com.example", LABEL_63 ".x");
    REFUSES(kvs_check_host, "", ".", "a.", ".a", "a..b", "-a", "a-", "a-.b", "a b", "a/b", "a:1",
            "10.0.0.300", "10.0.0", "12345", "a.1", "[::1]", "::1%eth0", LABEL_63 "4", "ä", "a\n",
            "*");
}

static void addresses(void **state)
{
    (void)state;
    ACCEPTS(kvs_check_address, "a:1", "10.0.0.1:65535", "[::1]:80", "a.b-c.d:8080");
    REFUSES(kvs_check_address, "", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:+1", "a:1x",
            "a:1:2", "::1:80", "[::1]", "[::1]80", "[::1", "[a]:1", "[10.0.0.1]:1", "http://a:1",
            "a:1/", "a :1", "a:000001");
}

static void networks(void **state)
{
    (void)state;
    ACCEPTS(kvs_check_network, "10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32", "::/0", "::1",
            "fd00::/8", "::1/128");
    REFUSES(kvs_check_network, "", "/", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1",
            "10.0.0.0/8/8", "10.0.0/8", "host", "host/8", "/8", "10.0.0.0/ 8", "10.0.0.0/0008");
}

static void origins(void **state)
{
    (void)state;
    ACCEPTS(kvs_check_origin, "*", "http://a", "https://a.example", "https://a.example:8443",
            "http://10.0.0.1", "http://[::1]:80");
    REFUSES(kvs_check_origin, "", "a.example", "https://", "https://a/", "https://a:0",
            "https://a?x", "HTTPS://a", "ftp://a", "null", "**", "https://*.a", "https://u@a",
            "https://[::1");
}

static void names_and_texts(void **state)
{
    (void)state;
    ACCEPTS(kvs_check_name, "n1", "a/b:c", "!~");
    REFUSES(kvs_check_name, "", "a b", "a\t", "ä", "\x7f");
    ACCEPTS(kvs_check_text, "", "ä €😀", "a\nb");
    REFUSES(kvs_check_text, "\xff", "a\xc0\x80", "\xed\xa0\x80");
    assert_false(kvs_check_text(KVS_SLICE("a\0b")));
    assert_false(kvs_check_host(KVS_SLICE("10.0.0.1\0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),   cmocka_unit_test(addresses),       cmocka_unit_test(networks),
        cmocka_unit_test(origins), cmocka_unit_test(names_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
