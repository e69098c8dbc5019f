// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/codec/arena_fixture.h"

#include "codec/json.h"

#include <stdio.h>

static struct kvs_json *parse(struct kvs_slice text)
{
    struct kvs_json *root = NULL;
    assert_int_equal(kvs_json_parse(text, 0, &arena, &root, NULL), 0);
    return root;
}

static struct kvs_slice decoded(struct kvs_slice text)
{
    struct kvs_slice string;
    assert_int_equal(kvs_json_string(parse(text), &arena, &string), 0);
    return string;
}

static void decodes_every_escape(void **state)
{
    (void)state;
    assert_slice_equal(decoded(KVS_SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")), "\"\\/\b\f\n\r\t");
    assert_slice_equal(decoded(KVS_SLICE("\"x\\u0000\\u007f\\u0080\\u07FF\\u0800\\uffff y\"")),
                       "x\0\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf y");
    assert_slice_equal(decoded(KVS_SLICE("\"\\ud800\\udc00\\uDBFF\\uDFFF\"")),
                       "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
}

static void borrows_strings_without_escapes(void **state)
{
    (void)state;
    struct kvs_slice text = KVS_SLICE("\"plain \xc3\xa9\"");
    struct kvs_slice string = decoded(text);
    assert_ptr_equal(string.data, text.data + 1);
    assert_int_equal(string.size, text.size - 2);
    assert_int_equal(decoded(KVS_SLICE("\"\"")).size, 0);
}

static void decodes_keys(void **state)
{
    (void)state;
    const struct kvs_json *object = parse(KVS_SLICE("{\"\\u0061\\tb\":1,\"\":2}"));
    struct kvs_slice key;
    assert_int_equal(kvs_json_key(object->child, &arena, &key), 0);
    assert_slice_equal(key, "a\tb");
    assert_int_equal(kvs_json_key(object->child->next, &arena, &key), 0);
    assert_int_equal(key.size, 0);
}

static void refuses_what_is_no_string_or_member(void **state)
{
    (void)state;
    struct kvs_slice string;
    assert_int_equal(kvs_json_string(parse(KVS_SLICE("1")), &arena, &string), KVS_ERR_INVALID);
    assert_int_equal(kvs_json_string(parse(KVS_SLICE("[\"a\"]")), &arena, &string),
                     KVS_ERR_INVALID);
    assert_int_equal(kvs_json_key(parse(KVS_SLICE("\"a\"")), &arena, &string), KVS_ERR_INVALID);
}

static void reports_a_full_arena(void **state)
{
    (void)state;
    struct kvs_arena none;
    kvs_arena_init(&none, 0);
    struct kvs_slice string;
    assert_int_equal(kvs_json_string(parse(KVS_SLICE("\"\\n\"")), &none, &string), KVS_ERR_NOMEM);
}

static void assert_written(struct kvs_slice text, struct kvs_slice expected)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    kvs_json_write_string(&out, text);
    assert_int_equal(out.err, 0);
    assert_int_equal(out.size, expected.size);
    assert_memory_equal(out.data, expected.data, expected.size);
}

static void writes_strings_with_the_fewest_escapes(void **state)
{
    (void)state;
    assert_written(KVS_SLICE_EMPTY, KVS_SLICE("\"\""));
    assert_written(KVS_SLICE("a /\x7f\xc3\xa9<"), KVS_SLICE("\"a /\x7f\xc3\xa9<\""));
    assert_written(KVS_SLICE("\"\\\b\f\n\r\t"), KVS_SLICE("\"\\\"\\\\\\b\\f\\n\\r\\t\""));
    assert_written(KVS_SLICE("\0\x01\x1f"), KVS_SLICE("\"\\u0000\\u0001\\u001f\""));
}

static void writes_replacement_characters_for_invalid_utf8(void **state)
{
    (void)state;
#define REPLACED "\xef\xbf\xbd"
    assert_written(KVS_SLICE("a\xff\x80z"), KVS_SLICE("\"a" REPLACED REPLACED "z\""));
    assert_written(KVS_SLICE("\xe2\x82"), KVS_SLICE("\"" REPLACED "\""));
    assert_written(KVS_SLICE("\xe2\x82\""), KVS_SLICE("\"" REPLACED "\\\"\""));
    assert_written(KVS_SLICE("\xed\xa0\x80"), KVS_SLICE("\"" REPLACED REPLACED REPLACED "\""));
}

// Every code point, written, is JSON and reads back as itself.
static void reading_undoes_writing_for_every_code_point(void **state)
{
    (void)state;
    for (int code_point = 0; code_point <= 0x10ffff; code_point++) {
        if (code_point >= 0xd800 && code_point <= 0xdfff)
            continue;
        char escaped[16];
        int unit = code_point - 0x10000;
        int size =
            code_point < 0x10000
                ? snprintf(escaped, sizeof(escaped), "\"\\u%04x\"", (unsigned)code_point)
                : snprintf(escaped, sizeof(escaped), "\"\\u%04X\\u%04X\"",
                           (unsigned)(0xd800 + (unit >> 10)), (unsigned)(0xdc00 + (unit & 0x3ff)));
        kvs_arena_reset(&arena);
        struct kvs_slice character = decoded(kvs_slice(escaped, (size_t)size));
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(100);
        kvs_json_write_string(&out, character);
        struct kvs_slice again = decoded(kvs_buf_slice(&out));
        if (!kvs_slice_eq(character, again))
            fail_msg("U+%04X", (unsigned)code_point);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_every_escape),
        cmocka_unit_test(borrows_strings_without_escapes),
        cmocka_unit_test(decodes_keys),
        cmocka_unit_test(refuses_what_is_no_string_or_member),
        cmocka_unit_test(reports_a_full_arena),
        cmocka_unit_test(writes_strings_with_the_fewest_escapes),
        cmocka_unit_test(writes_replacement_characters_for_invalid_utf8),
        cmocka_unit_test(reading_undoes_writing_for_every_code_point),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
