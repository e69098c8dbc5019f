// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/escape.h"

static void assert_escaped(struct kvs_slice text, const char *expected)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1000);
    kvs_escape_append(&out, text);
    kvs_buf_append_char(&out, '\0');
    assert_int_equal(out.err, 0);
    assert_string_equal(out.data, expected);
}

static void leaves_ordinary_text_alone(void **state)
{
    (void)state;
    assert_escaped(KVS_SLICE_EMPTY, "");
    assert_escaped(KVS_SLICE("a /'~ \u00e4 \u20ac \U0001F600"), "a /'~ \u00e4 \u20ac \U0001F600");
}

static void escapes_quotes_and_control_characters(void **state)
{
    (void)state;
    assert_escaped(KVS_SLICE("\"\\\n\r\t\0\x1b\x7f"),
                   "\\\"\\\\\\n\\u000d\\u0009\\u0000\\u001b\\u007f");
    assert_escaped(KVS_SLICE("\xC2\x80\xC2\x9F\xC2\xA0"), "\\u0080\\u009f\xC2\xA0");
    assert_escaped(KVS_SLICE("\xEF\xBB\xBF\xEF\xBF\xBE\xEF\xBF\xBF\xEF\xBF\xBD"),
                   "\\ufeff\\ufffe\\uffff\xEF\xBF\xBD");
}

static void knows_well_formed_sequences_and_their_sizes(void **state)
{
    (void)state;
    const struct {
        struct kvs_slice text;
        size_t size;
    } cases[] = {
        {KVS_SLICE(""), 0},
        {KVS_SLICE("a"), 1},
        {KVS_SLICE("\x7f"), 1},
        {KVS_SLICE("\x80"), 0},
        {KVS_SLICE("\xC1\xBF"), 0},
        {KVS_SLICE("\xC2\x80"), 2},
        {KVS_SLICE("\xC2"), 0},
        {KVS_SLICE("\xC2\xC2"), 0},
        {KVS_SLICE("\xE0\x9F\xBF"), 0},
        {KVS_SLICE("\xE0\xA0\x80"), 3},
        {KVS_SLICE("\xED\x9F\xBF"), 3},
        {KVS_SLICE("\xED\xA0\x80"), 0},
        {KVS_SLICE("\xEE\x80\x80"), 3},
        {KVS_SLICE("\xF0\x8F\xBF\xBF"), 0},
        {KVS_SLICE("\xF0\x90\x80\x80"), 4},
        {KVS_SLICE("\xF4\x8F\xBF\xBF"), 4},
        {KVS_SLICE("\xF4\x90\x80\x80"), 0},
        {KVS_SLICE("\xF5\x80\x80\x80"), 0},
        {KVS_SLICE("\xFF"), 0},
        {KVS_SLICE("\xF0\x90\x80"), 0},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++)
        assert_int_equal(kvs_escape_utf8_size(cases[i].text), cases[i].size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_ordinary_text_alone),
        cmocka_unit_test(escapes_quotes_and_control_characters),
        cmocka_unit_test(knows_well_formed_sequences_and_their_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
