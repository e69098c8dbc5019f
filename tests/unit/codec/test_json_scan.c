// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "codec/json.h"

#include <stdio.h>

enum { OUT_MAX = 1 << 20 };

// Scans a copy without a byte to spare behind it, so that a sanitizer sees any read beyond the end.
static int compact(struct kvs_slice text, struct kvs_buf *out, struct kvs_json_error *ret_error)
{
    char *exact = malloc(text.size > 0 ? text.size : 1);
    assert_non_null(exact);
    memcpy(exact, text.data, text.size);
    int err = kvs_json_compact(kvs_slice(exact, text.size), out, ret_error);
    free(exact);
    return err;
}

static void assert_compacts(struct kvs_slice text, struct kvs_slice expected)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(OUT_MAX);
    struct kvs_json_error error;
    assert_int_equal(compact(text, &out, &error), 0);
    assert_int_equal(out.size, expected.size);
    assert_memory_equal(out.data, expected.data, expected.size);
    assert_int_equal(kvs_json_validate(text, &error), 0);
}

static struct kvs_json_error refusal(struct kvs_slice text)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(OUT_MAX);
    struct kvs_json_error error = {0};
    assert_int_equal(compact(text, &out, &error), KVS_ERR_SYNTAX);
    assert_int_equal(out.size, 0);
    assert_int_equal(out.err, 0);
    assert_int_equal(kvs_json_validate(text, NULL), KVS_ERR_SYNTAX);
    return error;
}

static void drops_white_space_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *compact;
    } cases[] = {
        {" null ", "null"},
        {"\t[\r\n]\n", "[]"},
        {"{ }", "{}"},
        {" [ 1 , 2 ,3 ] ", "[1,2,3]"},
        {"{ \"a\" : { \"b\" : [ true , false , null ] } , \"a\" : \" \\t \" }",
         "{\"a\":{\"b\":[true,false,null]},\"a\":\" \\t \"}"},
        {"1.0", "1.0"},
        {"-0", "-0"},
        {"12345678901234567890123456789012345678901234567890", NULL},
        {"1E+0400", NULL},
        {"-0.10e-05", NULL},
        {"\"\\u0000\\u00E9\\ud83d\\uDE00\\/\"", NULL},
        {"\"\xf0\x9f\x98\x80 \x7f\xc3\xa9\"", NULL},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        const char *expected = cases[i].compact ? cases[i].compact : cases[i].text;
        assert_compacts(kvs_slice_from_str(cases[i].text), kvs_slice_from_str(expected));
    }
}

static void names_line_column_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
        uint32_t line, column;
        const char *reason;
    } cases[] = {
        {"", 0, 1, 1, "the text is empty"},
        {" \n ", 3, 2, 2, "unexpected end of the text"},
        {"\xef\xbb\xbf{}", 0, 1, 1, "a byte order mark is not allowed"},
        {"[1,\n 2,\n  x]", 10, 3, 3, "expected a value"},
        {"[1 2]", 3, 1, 4, "expected ',' or ']'"},
        {"[}", 1, 1, 2, "expected a value"},
        {"{]", 1, 1, 2, "expected a member name in double quotes"},
        {"[1}", 2, 1, 3, "expected ',' or ']'"},
        {"{\"a\":1]", 6, 1, 7, "expected ',' or '}'"},
        {"[1,]", 3, 1, 4, "expected a value"},
        {"[,1]", 1, 1, 2, "expected a value"},
        {"{\"a\":1,}", 7, 1, 8, "expected a member name in double quotes"},
        {"{a:1}", 1, 1, 2, "expected a member name in double quotes"},
        {"{\"a\" 1}", 5, 1, 6, "expected ':'"},
        {"{\"a\":}", 5, 1, 6, "expected a value"},
        {"[\"\xc3\xa9\xe2\x82\xac\", x]", 10, 1, 8, "expected a value"}, // columns: code points
        {"\"a\nb\"", 2, 1, 3, "control character in a string"},
        {"\"a\\x\"", 2, 1, 3, "unknown escape in a string"},
        {"\"\\u12g4\"", 1, 1, 2, "expected four hexadecimal digits after '\\u'"},
        {"\"\\u1\"", 1, 1, 2, "expected four hexadecimal digits after '\\u'"},
        {"\"\\udc00\"", 1, 1, 2, "lone surrogate"},
        {"\"\\ud800\"", 1, 1, 2, "lone surrogate"},
        {"\"\\ud800\\u0041\"", 1, 1, 2, "lone surrogate"},
        {"\"\\ud800\\ud800\"", 1, 1, 2, "lone surrogate"},
        {"\"\\ud800/udc00\"", 1, 1, 2, "lone surrogate"},
        {"\"ab\xff\"", 3, 1, 4, "invalid UTF-8"},
        {"\"\xed\xa0\x80\"", 1, 1, 2, "invalid UTF-8"},
        {"\"\xc3\"", 1, 1, 2, "invalid UTF-8"},
        {"\"\xc3", 1, 1, 2, "invalid UTF-8"},
        {"\"abc", 4, 1, 5, "unexpected end of the text"},
        {"\"abc\\", 5, 1, 6, "unexpected end of the text"},
        {"[", 1, 1, 2, "unexpected end of the text"},
        {"[1,", 3, 1, 4, "unexpected end of the text"},
        {"{\"a\":", 5, 1, 6, "unexpected end of the text"},
        {"tru", 3, 1, 4, "unexpected end of the text"},
        {"-", 1, 1, 2, "unexpected end of the text"},
        {"1.", 2, 1, 3, "unexpected end of the text"},
        {"nul1", 3, 1, 4, "expected a value"},
        {"True", 0, 1, 1, "expected a value"},
        {"NaN", 0, 1, 1, "expected a value"},
        {"'a'", 0, 1, 1, "expected a value"},
        {"+1", 0, 1, 1, "expected a value"},
        {".5", 0, 1, 1, "expected a value"},
        {"-a", 1, 1, 2, "expected a digit"},
        {"[1.]", 3, 1, 4, "expected a digit"},
        {"[1e+]", 4, 1, 5, "expected a digit"},
        {"[-01]", 2, 1, 3, "a number must not begin with 0"},
        {"1 2", 2, 1, 3, "unexpected text after the value"},
        {"[]\n]", 3, 2, 1, "unexpected text after the value"},
        {"0x1", 1, 1, 2, "unexpected text after the value"},
        {"\"a\"\f", 3, 1, 4, "unexpected text after the value"},
        {"[1,\xc2\xa0 2]", 3, 1, 4, "expected a value"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_json_error error = refusal(kvs_slice_from_str(cases[i].text));
        if (!error.reason || strcmp(error.reason, cases[i].reason) != 0 ||
            error.offset != cases[i].offset || error.line != cases[i].line ||
            error.column != cases[i].column) {
            print_error("%s: at %zu, %u:%u, %s\n", cases[i].text, error.offset, error.line,
                        error.column, error.reason);
            fail();
        }
    }
}

static void refuses_a_nul_byte_anywhere(void **state)
{
    (void)state;
    assert_string_equal(refusal(KVS_SLICE("1\0")).reason, "unexpected text after the value");
    assert_string_equal(refusal(KVS_SLICE("[\0]")).reason, "expected a value");
    assert_string_equal(refusal(KVS_SLICE("\"\0\"")).reason, "control character in a string");
}

// The scanner reads strings in blocks: every kind of byte must be seen at every place in them.
static void sees_every_byte_of_a_string(void **state)
{
    (void)state;
    static const struct {
        struct kvs_slice piece;
        const char *reason; // NULL: allowed
    } pieces[] = {
        {KVS_SLICE("x"), NULL},
        {KVS_SLICE("\x7f"), NULL},
        {KVS_SLICE("\\n"), NULL},
        {KVS_SLICE("\\\""), NULL},
        {KVS_SLICE("\xe2\x82\xac"), NULL},
        {KVS_SLICE("\x1f"), "control character in a string"},
        {KVS_SLICE("\0"), "control character in a string"},
        {KVS_SLICE("\x80"), "invalid UTF-8"},
        {KVS_SLICE("\xff"), "invalid UTF-8"},
        {KVS_SLICE("\\ "), "unknown escape in a string"},
        {KVS_SLICE("\" "), "unexpected text after the value"},
    };
    for (size_t k = 0; k < KVS_ARRAY_SIZE(pieces); k++)
        for (size_t before = 0; before < 50; before++)
            for (size_t after = 1; after < 20; after++) {
                char text[128];
                struct kvs_slice piece = pieces[k].piece;
                memset(text, 'a', sizeof(text));
                text[0] = '"';
                memcpy(text + 1 + before, piece.data, piece.size);
                size_t size = 1 + before + piece.size + after;
                text[size++] = '"';
                if (pieces[k].reason) {
                    struct kvs_json_error error = refusal(kvs_slice(text, size));
                    assert_string_equal(error.reason, pieces[k].reason);
                } else {
                    assert_compacts(kvs_slice(text, size), kvs_slice(text, size));
                }
            }
}

static void bounds_the_nesting(void **state)
{
    (void)state;
    char text[2 * (KVS_JSON_DEPTH_MAX + 1)];
    for (int extra = 0; extra <= 1; extra++) {
        size_t depth = KVS_JSON_DEPTH_MAX + (size_t)extra;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        struct kvs_slice nested = kvs_slice(text, 2 * depth);
        if (extra) {
            struct kvs_json_error error = refusal(nested);
            assert_string_equal(error.reason, "nested too deeply");
            assert_int_equal(error.offset, KVS_JSON_DEPTH_MAX);
        } else {
            assert_compacts(nested, nested);
        }
    }
}

static void remembers_every_open_bracket(void **state)
{
    (void)state;
    // Arrays and objects alternating in a pattern, closed rightly, and wrongly at each level once.
    for (size_t wrong = 0; wrong <= KVS_JSON_DEPTH_MAX; wrong++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(OUT_MAX);
        for (size_t i = 0; i < KVS_JSON_DEPTH_MAX; i++)
            kvs_buf_append_str(&text, i % 3 == 1 ? "{\"k\":" : "[");
        kvs_buf_append_str(&text, "0");
        size_t right_until = text.size + KVS_JSON_DEPTH_MAX - 1 - wrong;
        for (size_t i = KVS_JSON_DEPTH_MAX; i-- > 0;)
            kvs_buf_append_str(&text, (i % 3 == 1) == (i != wrong) ? "}" : "]");
        assert_int_equal(text.err, 0);
        if (wrong == KVS_JSON_DEPTH_MAX)
            assert_compacts(kvs_buf_slice(&text), kvs_buf_slice(&text));
        else
            assert_int_equal(refusal(kvs_buf_slice(&text)).offset, right_until);
    }
}

static void judges_the_size_of_the_compacted_text(void **state)
{
    (void)state;
    struct kvs_slice text = KVS_SLICE("  [ 1 , 2 ]  ");
    for (size_t max = 0; max <= 5; max++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(max);
        int err = kvs_json_compact(text, &out, NULL);
        assert_int_equal(err, max < 5 ? KVS_ERR_TOO_LARGE : 0);
        assert_int_equal(out.err, err);
        assert_int_equal(out.size, max < 5 ? 0 : 5);
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf none = KVS_BUF_INIT(0);
    assert_int_equal(kvs_json_compact(KVS_SLICE_EMPTY, &none, NULL), KVS_ERR_SYNTAX);
}

static void appends_and_leaves_what_was_there(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(OUT_MAX);
    kvs_buf_append_str(&out, "before");
    assert_int_equal(kvs_json_compact(KVS_SLICE("[ 1 "), &out, NULL), KVS_ERR_SYNTAX);
    assert_slice_equal(kvs_buf_slice(&out), "before");
    assert_int_equal(kvs_json_compact(KVS_SLICE("[ 1 ]"), &out, NULL), 0);
    assert_slice_equal(kvs_buf_slice(&out), "before[1]");
}

static void leaves_a_failed_buffer_alone(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(OUT_MAX);
    out.err = KVS_ERR_NOMEM;
    assert_int_equal(kvs_json_compact(KVS_SLICE("1"), &out, NULL), KVS_ERR_NOMEM);
    assert_int_equal(out.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops_white_space_and_nothing_else),
        cmocka_unit_test(names_line_column_and_reason),
        cmocka_unit_test(refuses_a_nul_byte_anywhere),
        cmocka_unit_test(sees_every_byte_of_a_string),
        cmocka_unit_test(bounds_the_nesting),
        cmocka_unit_test(remembers_every_open_bracket),
        cmocka_unit_test(judges_the_size_of_the_compacted_text),
        cmocka_unit_test(appends_and_leaves_what_was_there),
        cmocka_unit_test(leaves_a_failed_buffer_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
