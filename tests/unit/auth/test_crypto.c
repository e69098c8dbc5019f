// SPDX-License-Identifier: Apache-2.0
#include "auth/crypto.h"

#include <stdlib.h>

#include "base/random.h"
#include "tests/unit/test.h"

static void hashes_are_the_standard_ones(void **state)
{
    (void)state;
    // FIPS 202: SHA3-512 of the empty message.
    static const char empty[] = "a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859e0d1dcc1475c80a6"
                                "15b2123af1f5f94c11e3e9402c3ac558f500199d95b6d3e301758586281dcd26";
    char hex[KVS_SHA3_TEXT_SIZE];
    kvs_auth_sha3_512(KVS_SLICE_EMPTY, hex);
    assert_memory_equal(hex, empty, sizeof(hex));
    // FIPS 180: SHA-256 of "abc".
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                  0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                  0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t digest[KVS_SHA256_SIZE];
    kvs_auth_sha256(KVS_SLICE("abc"), digest);
    assert_memory_equal(digest, abc, sizeof(abc));
}

static void derived_keys_depend_on_secret_and_purpose(void **state)
{
    (void)state;
    uint8_t a[32], b[32], c[32], again[32];
    kvs_auth_derive(KVS_SLICE("secret one"), "one", a, sizeof(a));
    kvs_auth_derive(KVS_SLICE("secret one"), "two", b, sizeof(b));
    kvs_auth_derive(KVS_SLICE("secret two"), "one", c, sizeof(c));
    kvs_auth_derive(KVS_SLICE("secret one"), "one", again, sizeof(again));
    assert_memory_equal(a, again, sizeof(a));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, c, sizeof(a));
}

static void equal_compares_all(void **state)
{
    (void)state;
    assert_true(kvs_auth_equal(KVS_SLICE("abc"), KVS_SLICE("abc")));
    assert_false(kvs_auth_equal(KVS_SLICE("abc"), KVS_SLICE("abd")));
    assert_false(kvs_auth_equal(KVS_SLICE("abc"), KVS_SLICE("xbc")));
    assert_false(kvs_auth_equal(KVS_SLICE("abc"), KVS_SLICE("ab")));
    assert_true(kvs_auth_equal(KVS_SLICE_EMPTY, KVS_SLICE_EMPTY));
}

static void base64url_goes_there_and_back(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(1024);
    char bytes[300], back[400];
    for (size_t size = 0; size < sizeof(bytes); size++) {
        size_t back_size = 0;
        kvs_random_fill(kvs_random_system(), bytes, size);
        kvs_buf_clear(&text);
        kvs_base64url_append(&text, kvs_slice(bytes, size));
        assert_int_equal(text.size, (size * 8 + 5) / 6);
        assert_true(kvs_base64url_decode(kvs_buf_slice(&text), back, &back_size));
        assert_int_equal(back_size, size);
        assert_memory_equal(back, bytes, size);
    }
    kvs_buf_clear(&text);
    kvs_base64url_append(&text, KVS_SLICE("\xfb\xff\xfe"));
    assert_slice_equal(kvs_buf_slice(&text), "-__-");
}

static void base64url_has_one_spelling(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "A", "AAAAA", "AB", "AAB", "QQ==", "QQ=", "+/+/", "QQ ", "Q\nQ", "QR", "QUJ", "\xc3\xa4"};
    char back[16];
    size_t size;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(wrong); i++)
        assert_false(kvs_base64url_decode(kvs_slice_from_str(wrong[i]), back, &size));
    assert_false(kvs_base64url_decode(kvs_slice("QQ\0Q", 4), back, &size));
    assert_true(kvs_base64url_decode(KVS_SLICE("QQ"), back, &size));
    assert_int_equal(size, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_the_standard_ones),
        cmocka_unit_test(derived_keys_depend_on_secret_and_purpose),
        cmocka_unit_test(equal_compares_all),
        cmocka_unit_test(base64url_goes_there_and_back),
        cmocka_unit_test(base64url_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
