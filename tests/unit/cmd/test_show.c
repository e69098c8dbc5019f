// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "cmd/show.h"
#include "cmd/table.h"

#include <locale.h>
#include <stdlib.h>
#include <time.h>

#define assert_shows(function, text, expected)                                                     \
    do {                                                                                           \
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(10000);                       \
        function(&out, kvs_slice_from_str(text));                                                  \
        kvs_buf_append_char(&out, 0);                                                              \
        assert_int_equal(out.err, 0);                                                              \
        assert_string_equal(out.data, expected);                                                   \
    } while (0)

static void show_json(struct kvs_buf *out, struct kvs_slice json)
{
    kvs_show_json(out, false, json);
}

static void show_coloured(struct kvs_buf *out, struct kvs_slice json)
{
    kvs_show_json(out, true, json);
}

static void text_keeps_what_is_printable(void **state)
{
    (void)state;
    assert_shows(kvs_show_text, "", "");
    assert_shows(kvs_show_text, "a \u00e4 \u20ac \U0001f600 \\", "a \u00e4 \u20ac \U0001f600 \\");
}

static void text_escapes_what_steers_a_terminal(void **state)
{
    (void)state;
    assert_shows(kvs_show_text, "\x1b[31m\n\x7f", "\\u001b[31m\\u000a\\u007f");
    assert_shows(kvs_show_text, "\xc2\x80|\xc2\x9b|\xc2\xa0", "\\u0080|\\u009b|\xc2\xa0");
    assert_shows(kvs_show_text, "\u202eabc\u2066\u2028\u200f\u061c",
                 "\\u202eabc\\u2066\\u2028\\u200f\\u061c");
    assert_shows(kvs_show_text, "\xff\xe2\x82|", "\\ufffd\\ufffd|");
}

static void json_is_indented_and_nothing_else_changes(void **state)
{
    (void)state;
    assert_shows(show_json, "1.0", "1.0");
    assert_shows(show_json, "\"a,b:{[\\\"]}\\\\\"", "\"a,b:{[\\\"]}\\\\\"");
    assert_shows(show_json, "{}", "{}");
    assert_shows(show_json, "[ ]", "[]");
    assert_shows(show_json, " [1,[],{}, \"x\"] ", "[\n  1,\n  [],\n  {},\n  \"x\"\n]");
    assert_shows(show_json, "{\"b\":1,\"a\":{\"c\":[true,null]},\"b\":2}",
                 "{\n  \"b\": 1,\n  \"a\": {\n    \"c\": [\n      true,\n      null\n    ]\n  },\n "
                 " \"b\": 2\n}");
}

static void json_tokens_are_coloured_whole_and_only_if_wanted(void **state)
{
    (void)state;
    assert_shows(show_coloured, "{\"a:b\":-1.5e3,\"c\":[true,\"x\\\"y\"]}",
                 "{\n  \x1b[36m\"a:b\"\x1b[0m: \x1b[35m-1.5e3\x1b[0m,\n  \x1b[36m\"c\"\x1b[0m: "
                 "[\n    \x1b[35mtrue\x1b[0m,\n    \x1b[32m\"x\\\"y\"\x1b[0m\n  ]\n}");
}

static void a_start_is_cut_at_its_columns(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t columns;
        const char *expected;
    } cases[] = {
        {"", 5, ""},
        {"abcde", 5, "abcde"},
        {"abcdef", 5, "abcd\u2026"},
        {"\u00e4\u00f6\u00fc", 3, "\u00e4\u00f6\u00fc"},
        {"\u00e4\u00f6\u00fc\u00df", 3, "\u00e4\u00f6\u2026"},
        {"\U0001f600\U0001f600\U0001f600\U0001f600\U0001f600", 2, "\U0001f600\u2026"},
        {"abcdefghijklmnopqrstuvwxyz", 1, "\u2026"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1000);
        kvs_show_start(&out, kvs_slice_from_str(cases[i].text), cases[i].columns);
        kvs_buf_append_char(&out, 0);
        assert_string_equal(out.data, cases[i].expected);
    }
}

static void wide_characters_take_two_columns_and_combining_ones_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t width;
    } cases[] = {
        {"", 0},           {"ab", 2},      {"\u00e4", 1}, {"\u65e5\u672c", 4},
        {"\U0001f600", 2}, {"e\u0301", 1}, {"\xff", 1},
    };
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++)
        assert_int_equal(kvs_table_width(cases[i].text), cases[i].width);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1000);
    kvs_show_start(&out, kvs_slice_from_str("\u65e5\u672c\u8a9e"), 5);
    kvs_buf_append_str(&out, "|");
    kvs_show_start(&out, kvs_slice_from_str("\u65e5\u672c\u8a9e"), 6);
    kvs_buf_append_char(&out, 0);
    assert_string_equal(out.data, "\u65e5\u672c\u2026|\u65e5\u672c\u8a9e");
    (void)setlocale(LC_CTYPE, "C");
}

static void time_is_local(void **state)
{
    (void)state;
    char text[KVS_SHOW_TIME_SIZE];
    setenv("TZ", "XXX-2", 1); // two hours east
    tzset();
    kvs_show_time(1700000000123, text);
    assert_string_equal(text, "2023-11-15 00:13:20");
    kvs_show_time(INT64_MAX, text);
    assert_string_equal(text, "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_keeps_what_is_printable),
        cmocka_unit_test(text_escapes_what_steers_a_terminal),
        cmocka_unit_test(json_is_indented_and_nothing_else_changes),
        cmocka_unit_test(json_tokens_are_coloured_whole_and_only_if_wanted),
        cmocka_unit_test(a_start_is_cut_at_its_columns),
        cmocka_unit_test(wide_characters_take_two_columns_and_combining_ones_none),
        cmocka_unit_test(time_is_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
