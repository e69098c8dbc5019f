// SPDX-License-Identifier: Apache-2.0
// The grammar of keys: what is refused, and why.
#include "tests/unit/test.h"

#include "codec/record.h"

struct refusal {
    struct kvs_slice key;
    const char *reason;
};

static void ordinary_keys_are_valid(void **state)
{
    (void)state;
    static const struct kvs_slice keys[] = {
        KVS_SLICE("a"),
        KVS_SLICE("test/conflict/data"),
        KVS_SLICE("a b"),
        KVS_SLICE("~"),
        KVS_SLICE(" "),
        KVS_SLICE("..."),
        KVS_SLICE(".hidden/..x/x."),
        KVS_SLICE("_ranges"),
        KVS_SLICE("a/_range"),
        KVS_SLICE("_range2/x"),
        KVS_SLICE("x/metadata"),
        KVS_SLICE("k\xC2\xA0"),        // U+00A0, the first behind C1
        KVS_SLICE("\xDF\xBF"),         // U+07FF
        KVS_SLICE("\xE0\xA0\x80"),     // U+0800
        KVS_SLICE("\xED\x9F\xBF"),     // U+D7FF
        KVS_SLICE("\xEE\x80\x80"),     // U+E000
        KVS_SLICE("\xEF\xBF\xBF"),     // U+FFFF
        KVS_SLICE("\xF0\x90\x80\x80"), // U+10000
        KVS_SLICE("\xF4\x8F\xBF\xBF"), // U+10FFFF
        KVS_SLICE("schl\xC3\xBCssel/\xE9\x8D\xB5/\xF0\x9F\x94\x91"),
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(keys); i++) {
        const char *reason = NULL;
        assert_true(kvs_key_is_valid(keys[i], &reason));
        assert_null(reason);
    }
}

static void each_refusal_says_why(void **state)
{
    (void)state;
    static const char utf8[] = "key is not valid UTF-8";
    static const char control[] = "key contains a control character";
    static const char empty[] = "key contains an empty segment";
    static const char dots[] = "key contains a segment '.' or '..'";
    static const char reserved[] = "the first segment '_range' is reserved";
    static const struct refusal refusals[] = {
        {{NULL, 0}, "key is empty"},
        {KVS_SLICE("/"), "key begins with a slash"},
        {KVS_SLICE("/a"), "key begins with a slash"},
        {KVS_SLICE("a/"), "key ends with a slash"},
        {KVS_SLICE("a//b"), empty},
        {KVS_SLICE("."), dots},
        {KVS_SLICE(".."), dots},
        {KVS_SLICE("./a"), dots},
        {KVS_SLICE("a/../b"), dots},
        {KVS_SLICE("a/.."), dots},
        {KVS_SLICE("_range"), reserved},
        {KVS_SLICE("_range/a"), reserved},
        {KVS_SLICE("a\0b"), control},
        {KVS_SLICE("a\x1F"), control},
        {KVS_SLICE("\nb"), control},
        {KVS_SLICE("a\x7F"), control},
        {KVS_SLICE("a\xC2\x80"), control},
        {KVS_SLICE("a\xC2\x9F"), control},
        {KVS_SLICE("\x80"), utf8},             // continuation alone
        {KVS_SLICE("a\xC2"), utf8},            // cut off
        {KVS_SLICE("\xE2\x82"), utf8},         // cut off
        {KVS_SLICE("\xF0\x9F\x94"), utf8},     // cut off
        {KVS_SLICE("\xC2/"), utf8},            // not a continuation
        {KVS_SLICE("\xE1\x80/"), utf8},        // third byte
        {KVS_SLICE("\xF1\x80\x80/"), utf8},    // fourth byte
        {KVS_SLICE("\xC0\xAF"), utf8},         // overlong '/'
        {KVS_SLICE("\xC1\xBF"), utf8},         // overlong
        {KVS_SLICE("\xE0\x9F\xBF"), utf8},     // overlong
        {KVS_SLICE("\xF0\x8F\xBF\xBF"), utf8}, // overlong
        {KVS_SLICE("\xED\xA0\x80"), utf8},     // U+D800
        {KVS_SLICE("\xED\xBF\xBF"), utf8},     // U+DFFF
        {KVS_SLICE("\xF4\x90\x80\x80"), utf8}, // U+110000
        {KVS_SLICE("\xF5\x80\x80\x80"), utf8},
        {KVS_SLICE("\xFF"), utf8},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(refusals); i++) {
        const char *reason = NULL;
        assert_false(kvs_key_is_valid(refusals[i].key, &reason));
        assert_string_equal(reason, refusals[i].reason);
        assert_false(kvs_key_is_valid(refusals[i].key, NULL));
    }
}

static void the_longest_key_has_1024_bytes(void **state)
{
    (void)state;
    char bytes[KVS_KEY_SIZE_MAX + 1];
    memset(bytes, 'k', sizeof(bytes));
    const char *reason = NULL;
    assert_true(kvs_key_is_valid(kvs_slice(bytes, KVS_KEY_SIZE_MAX), &reason));
    assert_false(kvs_key_is_valid(kvs_slice(bytes, KVS_KEY_SIZE_MAX + 1), &reason));
    assert_string_equal(reason, "key is longer than 1024 bytes");
}

// Every code point on its own: valid exactly when it is a scalar value and no control character.
static void every_code_point_is_judged_right(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[5] = "k";
        size_t size = 1;
        if (c < 0x80) {
            bytes[size++] = (char)c;
        } else {
            int shift = c < 0x800 ? 6 : c < 0x10000 ? 12 : 18;
            uint32_t lead = shift == 6 ? 0xC0 : shift == 12 ? 0xE0 : 0xF0;
            bytes[size++] = (char)(lead | c >> shift);
            while ((shift -= 6) >= 0)
                bytes[size++] = (char)(0x80 | (c >> shift & 0x3F));
        }
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        bool control = c < 0x20 || (c >= 0x7F && c <= 0x9F);
        bool expected = !surrogate && !control && c != '/';
        if (kvs_key_is_valid(kvs_slice(bytes, size), NULL) != expected)
            fail_msg("U+%04X", c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_keys_are_valid),
        cmocka_unit_test(each_refusal_says_why),
        cmocka_unit_test(the_longest_key_has_1024_bytes),
        cmocka_unit_test(every_code_point_is_judged_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
