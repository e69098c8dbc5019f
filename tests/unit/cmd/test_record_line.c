// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "cmd/progress.h"
#include "cmd/record_line.h"

static int parse(const char *text, struct kvs_arena *arena, struct kvs_record_line *record,
                 struct kvs_message *message)
{
    return kvs_record_line_parse(kvs_slice_from_str(text), arena, record, message);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *json;
        int64_t expires_ms;
    } cases[] = {
        {"a", "1.0", 0},
        {"\u00e4/\"q\\", "{\"b\":1,\"a\":\"\\u00e4\",\"b\":2}", 1790000000123},
        {"deep/er", "12345678901234567890", 1},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf line = KVS_BUF_INIT(1 << 16);
        struct kvs_arena arena;
        struct kvs_record_line record;
        struct kvs_message message;
        const struct kvs_client_version version = {.uuid = "11111111-2222-4333-8444-555555555555",
                                                   .timestamp_ms = 5};
        kvs_arena_init(&arena, 1 << 20);
        kvs_record_line_append(&line, cases[i].key, kvs_slice_from_str(cases[i].json),
                               cases[i].expires_ms, i % 2 ? &version : NULL);
        assert_int_equal(line.data[line.size - 1], '\n');
        assert_null(memchr(line.data, '\n', line.size - 1));
        assert_int_equal(
            kvs_record_line_parse(kvs_slice(line.data, line.size - 1), &arena, &record, &message),
            0);
        assert_string_equal(record.key, cases[i].key);
        assert_true(kvs_slice_eq(record.json, kvs_slice_from_str(cases[i].json)));
        assert_int_equal(record.expires_ms, cases[i].expires_ms);
        assert_null(record.ttl);
        kvs_arena_done(&arena);
    }
}

static void bad_lines_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *reason;
    } cases[] = {
        {"", "no JSON"},
        {"{", "no JSON"},
        {"5", "no object"},
        {"{\"path\":\"a\"}", "data is missing"},
        {"{\"data\":1}", "path is missing"},
        {"{\"path\":1,\"data\":1}", "path is no string"},
        {"{\"path\":\"a/\",\"data\":1}", "bad key"},
        {"{\"path\":\"a\\u0000b\",\"data\":1}", "NUL"},
        {"{\"path\":\"a\",\"data\":1,\"tll\":\"1h\"}", "unknown member 'tll'"},
        {"{\"path\":\"a\",\"data\":1,\"data\":2}", "data stands there twice"},
        {"{\"path\":\"a\",\"data\":1,\"ttl\":5}", "ttl is no string"},
        {"{\"path\":\"a\",\"data\":1,\"ttl\":\"-1s\"}", "no ttl"},
        {"{\"path\":\"a\",\"data\":1,\"expires_timestamp\":\"x\"}", "no time"},
        {"{\"path\":\"a\",\"data\":1,\"expires_timestamp\":0}", "no time"},
        {"{\"path\":\"a\",\"data\":1,\"ttl\":\"1s\",\"expires_timestamp\":5}", "exclude"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_arena arena;
        struct kvs_record_line record;
        struct kvs_message message = {""};
        kvs_arena_init(&arena, 1 << 20);
        assert_true(parse(cases[i].line, &arena, &record, &message) < 0);
        if (!strstr(message.text, cases[i].reason))
            fail_msg("%s: %s", cases[i].line, message.text);
        kvs_arena_done(&arena);
    }
}

static void an_end_becomes_the_time_that_is_left(void **state)
{
    (void)state;
    char ttl[32];
    assert_true(kvs_record_line_ttl(5000, 3500, ttl));
    assert_string_equal(ttl, "1500ms");
    assert_false(kvs_record_line_ttl(5000, 5000, ttl));
    assert_false(kvs_record_line_ttl(5000, 6000, ttl));
}

static void numbers_are_grouped(void **state)
{
    (void)state;
    char text[KVS_PROGRESS_NUMBER_SIZE];
    assert_string_equal(kvs_progress_number(0, text), "0");
    assert_string_equal(kvs_progress_number(999, text), "999");
    assert_string_equal(kvs_progress_number(1000, text), "1 000");
    assert_string_equal(kvs_progress_number(1234567, text), "1 234 567");
    assert_string_equal(kvs_progress_number(UINT64_MAX, text), "18 446 744 073 709 551 615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(bad_lines_are_refused_with_the_reason),
        cmocka_unit_test(an_end_becomes_the_time_that_is_left),
        cmocka_unit_test(numbers_are_grouped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
