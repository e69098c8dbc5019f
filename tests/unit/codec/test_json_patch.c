// SPDX-License-Identifier: Apache-2.0
// JSON patches, merge patches, pointers: the RFCs' own examples, what stays byte for byte, what is
// refused, and limits.
#include "tests/unit/test.h"

#include "codec/json_edit_internal.h"

#include <stdio.h>

enum { OUT_MAX = 1 << 20, ARENA_MAX = 64 << 20 };

struct result {
    int err;
    struct kvs_json_patch_error error;
    struct kvs_buf out;
    struct kvs_arena arena;
};

static void done(struct result *result)
{
    kvs_buf_done(&result->out);
    kvs_arena_done(&result->arena);
}

static struct result run(bool merge, const char *value, const char *patch, size_t out_max)
{
    struct result result = {.out = KVS_BUF_INIT(out_max)};
    kvs_arena_init(&result.arena, ARENA_MAX);
    struct kvs_slice v = kvs_slice_from_str(value);
    struct kvs_slice p = kvs_slice_from_str(patch);
    result.err = merge ? kvs_json_merge_patch(v, p, &result.arena, &result.out)
                       : kvs_json_patch(v, p, &result.arena, &result.out, &result.error);
    return result;
}

static void expect(bool merge, const char *value, const char *patch, const char *expected)
{
    struct result result = run(merge, value, patch, OUT_MAX);
    if (result.err || !kvs_slice_eq(kvs_buf_slice(&result.out), kvs_slice_from_str(expected)))
        fail_msg("%s + %s: %s %s: %.*s", value, patch, kvs_err_name(result.err),
                 result.error.reason ? result.error.reason : "",
                 KVS_SLICE_FMT(kvs_buf_slice(&result.out)));
    done(&result);
}

static void expect_error(const char *value, const char *patch, int err, size_t operation,
                         const char *reason)
{
    struct result result = run(false, value, patch, OUT_MAX);
    if (result.err != err || result.error.operation != operation || !result.error.reason ||
        strcmp(result.error.reason, reason) != 0)
        fail_msg("%s + %s: %s at %zu: %s", value, patch, kvs_err_name(result.err),
                 result.error.operation, result.error.reason ? result.error.reason : "");
    done(&result);
}

// ---- Merge patches

static void the_appendix_of_rfc_7396_holds(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++)
        expect(true, cases[i][0], cases[i][1], cases[i][2]);
}

static void merging_keeps_what_it_does_not_touch(void **state)
{
    (void)state;
    expect(true,
           "{\"z\":1.0,\"n\":12345678901234567890,\"\\u0061\":\"\\u00e9\",\"b\":{\"d\":1,\"d\":2}}",
           "{\"z\":2,\"new\":1e2}",
           "{\"z\":2,\"n\":12345678901234567890,\"\\u0061\":\"\\u00e9\",\"b\":{\"d\":1,\"d\":2},"
           "\"new\":1e2}");
    // Names are compared decoded; the name stays as it was written.
    expect(true, "{\"\\u0061\":1}", "{\"a\":2}", "{\"\\u0061\":2}");
    // An array is a value: nulls in it stay.
    expect(true, "{}", "{\"a\":[null,{\"b\":null}]}", "{\"a\":[null,{\"b\":null}]}");
}

static void merging_leaves_one_of_the_duplicates_that_it_touches(void **state)
{
    (void)state;
    expect(true, "{\"a\":1,\"b\":0,\"a\":2}", "{\"a\":3}", "{\"b\":0,\"a\":3}");
    expect(true, "{\"a\":1,\"b\":0,\"a\":2}", "{\"a\":null}", "{\"b\":0}");
    expect(true, "{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "{\"a\":{\"z\":3}}",
           "{\"a\":{\"y\":2,\"z\":3}}");
}

static void merging_obeys_the_size_limit_and_refuses_duplicates(void **state)
{
    (void)state;
    struct result result = run(true, "{\"a\":1}", "{\"b\":\"0123456789\"}", 16);
    assert_int_equal(result.err, KVS_ERR_TOO_LARGE);
    done(&result);
    result = run(true, "{\"a\":1}", "{\"b\":1,\"b\":2}", OUT_MAX);
    assert_int_equal(result.err, KVS_ERR_SYNTAX);
    done(&result);
}

// ---- JSON patches

static void every_operation_works(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":[2]}]", "{\"a\":1,\"b\":[2]}"},
        {"[1,3]", "[{\"op\":\"add\",\"path\":\"/1\",\"value\":2}]", "[1,2,3]"},
        {"[1]", "[{\"op\":\"add\",\"path\":\"/-\",\"value\":2}]", "[1,2]"},
        {"[1]", "[{\"op\":\"add\",\"path\":\"/1\",\"value\":2}]", "[1,2]"},
        {"{\"a\":1,\"b\":2}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":3}]",
         "{\"a\":3,\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", "{\"b\":2}"},
        {"[1,2,3]", "[{\"op\":\"remove\",\"path\":\"/1\"}]", "[1,3]"},
        {"[1,2]", "[{\"op\":\"replace\",\"path\":\"/0\",\"value\":null}]", "[null,2]"},
        {"1", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"a\":1}}]", "{\"a\":1}"},
        {"{\"a\":{\"b\":1},\"c\":{}}", "[{\"op\":\"move\",\"from\":\"/a/b\",\"path\":\"/c/d\"}]",
         "{\"a\":{},\"c\":{\"d\":1}}"},
        {"[1,2,3]", "[{\"op\":\"move\",\"from\":\"/0\",\"path\":\"/2\"}]", "[2,3,1]"},
        {"{\"a\":[1]}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"\"}]", "[1]"},
        {"{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a\"}]", "{\"a\":1}"},
        {"{\"a\":[1]}",
         "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},"
         "{\"op\":\"add\",\"path\":\"/b/-\",\"value\":2}]",
         "{\"a\":[1],\"b\":[1,2]}"},
        {"{\"a\":1.0}",
         "[{\"op\":\"test\",\"path\":\"/a\",\"value\":10e-1},"
         "{\"op\":\"remove\",\"path\":\"/a\"}]",
         "{}"},
        {"{\"a/b\":1,\"m~n\":2,\"\":3}",
         "[{\"op\":\"remove\",\"path\":\"/a~1b\"},{\"op\":\"remove\",\"path\":\"/m~0n\"},"
         "{\"op\":\"remove\",\"path\":\"/\"}]",
         "{}"},
        {"{}", "[{\"op\":\"add\",\"path\":\"/\\u00e9\\\"\",\"value\":1}]", "{\"é\\\"\":1}"},
        {"{\"a\":1}", "[]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":2,\"comment\":0}]",
         "{\"a\":1,\"b\":2}"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++)
        expect(false, cases[i][0], cases[i][1], cases[i][2]);
}

static void patching_keeps_what_it_does_not_touch(void **state)
{
    (void)state;
    expect(false, "{\"z\":1.50,\"n\":-0.0,\"\\u0061\":{\"d\":1,\"d\":[2E+5]},\"s\":\"\\/\\u0041\"}",
           "[{\"op\":\"add\",\"path\":\"/a/e\",\"value\":1.0}]",
           "{\"z\":1.50,\"n\":-0.0,\"\\u0061\":{\"d\":1,\"d\":[2E+5],\"e\":1.0},"
           "\"s\":\"\\/\\u0041\"}");
    // The last one counts, on the way as at the end; on the way the others stay.
    expect(false, "{\"a\":{\"x\":1},\"a\":{\"x\":2}}",
           "[{\"op\":\"test\",\"path\":\"/a/x\",\"value\":2},"
           "{\"op\":\"replace\",\"path\":\"/a/x\",\"value\":3}]",
           "{\"a\":{\"x\":1},\"a\":{\"x\":3}}");
    expect(false, "{\"a\":1,\"b\":0,\"a\":2}", "[{\"op\":\"remove\",\"path\":\"/a\"}]",
           "{\"b\":0}");
    expect(false, "{\"a\":1,\"b\":0,\"a\":2}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":3}]",
           "{\"b\":0,\"a\":3}");
}

static void what_does_not_apply_is_a_conflict(void **state)
{
    (void)state;
    static const char *const missing[] = {
        "[{\"op\":\"remove\",\"path\":\"/x\"}]",
        "[{\"op\":\"replace\",\"path\":\"/x\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/x/y\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/3\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/01\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/x\",\"value\":1}]",
        "[{\"op\":\"remove\",\"path\":\"/l/-\"}]",
        "[{\"op\":\"remove\",\"path\":\"/l/2\"}]",
        "[{\"op\":\"replace\",\"path\":\"/l/-\",\"value\":1}]",
        "[{\"op\":\"remove\",\"path\":\"/l/4294967296\"}]",
        "[{\"op\":\"add\",\"path\":\"/n/x\",\"value\":1}]",
        "[{\"op\":\"move\",\"from\":\"/x\",\"path\":\"/y\"}]",
        "[{\"op\":\"move\",\"from\":\"/x\",\"path\":\"/x\"}]",
        "[{\"op\":\"copy\",\"from\":\"/l/9\",\"path\":\"/y\"}]",
        "[{\"op\":\"test\",\"path\":\"/x\",\"value\":null}]",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(missing); i++)
        expect_error("{\"l\":[1,2],\"n\":1}", missing[i], KVS_ERR_CONFLICT, 0,
                     "there is no such location");
    static const char *const tests[][2] = {
        {"1", "2"},         {"1", "\"1\""},    {"[1,2]", "[2,1]"}, {"{\"a\":1}", "{}"},
        {"\"a\"", "\"b\""}, {"true", "false"}, {"[1]", "[1,1]"},   {"{\"a\":1}", "{\"b\":1}"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(tests); i++) {
        char patch[256];
        (void)snprintf(patch, sizeof(patch),
                       "[{\"op\":\"test\",\"path\":\"\",\"value\":%s},"
                       "{\"op\":\"test\",\"path\":\"\",\"value\":%s}]",
                       tests[i][0], tests[i][1]);
        expect_error(tests[i][0], patch, KVS_ERR_CONFLICT, 1, "the test fails");
    }
}

static void what_is_no_patch_is_refused(void **state)
{
    (void)state;
    const char *pointer = "its \"path\" is missing or no JSON pointer";
    const char *from = "its \"from\" is missing or no JSON pointer";
    expect_error("1", "{}", KVS_ERR_INVALID, SIZE_MAX, "a JSON patch is an array of operations");
    expect_error("1", "[[]]", KVS_ERR_INVALID, 0, "it is no object");
    expect_error("1", "[{}]", KVS_ERR_INVALID, 0, "it has no member \"op\" that is a string");
    expect_error("1", "[{\"op\":1}]", KVS_ERR_INVALID, 0,
                 "it has no member \"op\" that is a string");
    expect_error("1", "[{\"op\":\"ad\"}]", KVS_ERR_INVALID, 0,
                 "its \"op\" is none of add, remove, replace, move, copy and test");
    expect_error("1", "[{\"op\":\"add\",\"value\":1}]", KVS_ERR_INVALID, 0, pointer);
    expect_error("1", "[{\"op\":\"add\",\"path\":null,\"value\":1}]", KVS_ERR_INVALID, 0, pointer);
    expect_error("1", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", KVS_ERR_INVALID, 0, pointer);
    expect_error("1", "[{\"op\":\"add\",\"path\":\"/~\",\"value\":1}]", KVS_ERR_INVALID, 0,
                 pointer);
    expect_error("1", "[{\"op\":\"add\",\"path\":\"/~2\",\"value\":1}]", KVS_ERR_INVALID, 0,
                 pointer);
    expect_error("1", "[{\"op\":\"add\",\"path\":\"\"}]", KVS_ERR_INVALID, 0,
                 "it has no member \"value\"");
    expect_error("1", "[{\"op\":\"move\",\"path\":\"\"}]", KVS_ERR_INVALID, 0, from);
    expect_error("1", "[{\"op\":\"remove\",\"path\":\"\"}]", KVS_ERR_INVALID, 0,
                 "the whole document cannot be removed");
    expect_error("{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]",
                 KVS_ERR_INVALID, 0, "nothing can be moved into itself");
    // All is read before anything is applied.
    expect_error("1", "[{\"op\":\"test\",\"path\":\"\",\"value\":2},{\"op\":\"x\"}]",
                 KVS_ERR_INVALID, 1,
                 "its \"op\" is none of add, remove, replace, move, copy and test");
    struct result result =
        run(false, "1", "[{\"op\":\"add\",\"path\":\"\",\"value\":{\"a\":1,\"a\":2}}]", OUT_MAX);
    assert_int_equal(result.err, KVS_ERR_SYNTAX);
    done(&result);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    char value[512] = "";
    for (int i = 0; i < KVS_JSON_DEPTH_MAX; i++)
        strcat(value, "[");
    for (int i = 0; i < KVS_JSON_DEPTH_MAX; i++)
        strcat(value, "]");
    expect_error(value, "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/0\"}]", KVS_ERR_TOO_LARGE, 0,
                 "the result would be nested too deeply");
    expect_error("[1]", "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/0/1\"}]", KVS_ERR_CONFLICT, 0,
                 "there is no such location");
}

// Doubling grows without bounds in few bytes of patch.
static void work_and_size_are_bounded(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf patch = KVS_BUF_INIT(1 << 20);
    kvs_buf_append_char(&patch, '[');
    for (int i = 0; i < 100; i++)
        kvs_buf_append_str(&patch, i ? ",{\"op\":\"copy\",\"from\":\"/0\",\"path\":\"/0/-\"}"
                                     : "{\"op\":\"test\",\"path\":\"/1\",\"value\":1}");
    kvs_buf_append(&patch, "]", 2);
    struct result result = run(false, "[[0],1]", patch.data, OUT_MAX);
    assert_int_equal(result.err, KVS_ERR_TOO_LARGE);
    done(&result);

    kvs_buf_clear(&patch);
    kvs_buf_append_str(&patch, "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1}");
    for (int i = 0; i < 20000; i++)
        kvs_buf_append_str(&patch, ",{\"op\":\"test\",\"path\":\"/l/5000\",\"value\":1}");
    kvs_buf_append(&patch, "]", 2);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(1 << 20);
    kvs_buf_append_str(&value, "{\"a\":1,\"l\":[1");
    for (int i = 0; i < 5000; i++)
        kvs_buf_append_str(&value, ",1");
    kvs_buf_append(&value, "]}", 3);
    result = run(false, value.data, patch.data, OUT_MAX);
    assert_int_equal(result.err, KVS_ERR_TOO_LARGE);
    assert_string_equal(result.error.reason, "the patch takes too many steps");
    done(&result);

    result = run(false, "{}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":\"0123456789\"}]", 16);
    assert_int_equal(result.err, KVS_ERR_TOO_LARGE);
    assert_int_equal(result.error.operation, SIZE_MAX);
    done(&result);
}

// ---- Equality

static bool equal(const char *a, const char *b)
{
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_MAX);
    struct kvs_json *left = NULL;
    struct kvs_json *right = NULL;
    bool result = false;
    assert_int_equal(kvs_json_parse(kvs_slice_from_str(a), 0, &arena, &left, NULL), 0);
    assert_int_equal(kvs_json_parse(kvs_slice_from_str(b), 0, &arena, &right, NULL), 0);
    assert_int_equal(kvs_json_equal(left, right, &arena, UINT64_MAX, &result), 0);
    kvs_arena_done(&arena);
    return result;
}

static void numbers_are_equal_by_value(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"1", "1.0"},
        {"1", "10e-1"},
        {"0.1", "1E-1"},
        {"-0", "0"},
        {"0e9", "0.00"},
        {"100", "1e2"},
        {"1.50", "1.5"},
        {"0.05", "5e-2"},
        {"12.30", "123e-1"},
        {"1e999999", "10e999998"},
        {"12345678901234567890", "1234567890123456789e1"},
        {"1e99999999999999999999", "1e99999999999999999999"},
    };
    static const char *const different[][2] = {
        {"1", "-1"},
        {"1", "2"},
        {"0.1", "0.10000000000000000001"},
        {"1e1", "1e2"},
        {"12", "1.2"},
        {"9007199254740993", "9007199254740992"},
        {"0", "1e-999"},
        {"1e99999999999999999999", "1e99999999999999999998"},
        {"101", "11"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(same); i++)
        if (!equal(same[i][0], same[i][1]) || !equal(same[i][1], same[i][0]))
            fail_msg("%s is not %s", same[i][0], same[i][1]);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(different); i++)
        if (equal(different[i][0], different[i][1]) || equal(different[i][1], different[i][0]))
            fail_msg("%s is %s", different[i][0], different[i][1]);
}

static void values_are_equal_by_meaning(void **state)
{
    (void)state;
    assert_true(equal("{\"a\":1,\"b\":[true,null]}", "{\"b\":[true,null],\"\\u0061\":1.0}"));
    assert_true(equal("{\"a\":1,\"a\":2}", "{\"a\":2}"));
    assert_false(equal("{\"a\":1,\"a\":2}", "{\"a\":1}"));
    assert_true(equal("\"\\u00e9\\n\"", "\"é\\u000a\""));
    assert_false(equal("[]", "{}"));
    assert_false(equal("[[]]", "[{}]"));
}

// ---- Pointers

static void pointers_are_read_as_rfc_6901_has_it(void **state)
{
    (void)state;
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_MAX);
    struct kvs_json_pointer pointer;
    assert_int_equal(kvs_json_pointer_parse(KVS_SLICE(""), &arena, &pointer), 0);
    assert_int_equal(pointer.count, 0);
    assert_int_equal(kvs_json_pointer_parse(KVS_SLICE("/"), &arena, &pointer), 0);
    assert_int_equal(pointer.count, 1);
    assert_int_equal(pointer.tokens[0].size, 0);
    assert_int_equal(kvs_json_pointer_parse(KVS_SLICE("/a~1b//m~0n/~01"), &arena, &pointer), 0);
    assert_int_equal(pointer.count, 4);
    assert_slice_equal(pointer.tokens[0], "a/b");
    assert_int_equal(pointer.tokens[1].size, 0);
    assert_slice_equal(pointer.tokens[2], "m~n");
    assert_slice_equal(pointer.tokens[3], "~1");
    static const char *const bad[] = {"a", "#/a", "/~", "/a~", "/~2", "/a/~x/b"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++)
        assert_int_equal(kvs_json_pointer_parse(kvs_slice_from_str(bad[i]), &arena, &pointer),
                         KVS_ERR_INVALID);
    uint32_t index = 0;
    assert_true(kvs_json_pointer_index(KVS_SLICE("0"), &index) && index == 0);
    assert_true(kvs_json_pointer_index(KVS_SLICE("4294967295"), &index) && index == UINT32_MAX);
    static const char *const no_index[] = {"",    "00",         "01", "-1", "+1",
                                           "1e0", "4294967296", "-",  " 1"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(no_index); i++)
        assert_false(kvs_json_pointer_index(kvs_slice_from_str(no_index[i]), &index));
    kvs_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_appendix_of_rfc_7396_holds),
        cmocka_unit_test(merging_keeps_what_it_does_not_touch),
        cmocka_unit_test(merging_leaves_one_of_the_duplicates_that_it_touches),
        cmocka_unit_test(merging_obeys_the_size_limit_and_refuses_duplicates),
        cmocka_unit_test(every_operation_works),
        cmocka_unit_test(patching_keeps_what_it_does_not_touch),
        cmocka_unit_test(what_does_not_apply_is_a_conflict),
        cmocka_unit_test(what_is_no_patch_is_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(work_and_size_are_bounded),
        cmocka_unit_test(numbers_are_equal_by_value),
        cmocka_unit_test(values_are_equal_by_meaning),
        cmocka_unit_test(pointers_are_read_as_rfc_6901_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
