// SPDX-License-Identifier: Apache-2.0
// POST /kv_batch: results in their places, one commit, what is an entry's error and what the
// batch's.
#include "api_test.h"

#define api_batch(f, body, ...) api_send(f, "POST", "/kv_batch", body, ##__VA_ARGS__)

// The response without what differs from run to run.
static const char *results(struct api_fixture *f)
{
    static char text[65536];
    size_t used = 0;
    const char *p = api_body(f);
    for (const char *at; (at = strstr(p, "\"uuid\":\"")); p = strpbrk(at + 60, ",}"))
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*sU", (int)(at - p), p);
    (void)snprintf(text + used, sizeof(text) - used, "%s", p);
    return text;
}

static void each_entry_has_its_result_in_its_place(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/old", "1"), 201);
    assert_int_equal(
        api_batch(f, "[{\"op\": \"put\", \"path\": \"a/b\", \"data\": {\"x\": 1.0, \"x\": 2}},\n"
                     "{\"path\": \"old\", \"op\": \"put\", \"data\": null},"
                     "{\"op\": \"get\", \"path\": \"a\\/b\"},"
                     "{\"op\": \"delete\", \"path\": \"none\"},"
                     "{\"op\": \"get\", \"path\": \"none\"},"
                     "{\"op\": \"delete\", \"path\": \"old\"}]"),
        200);
    assert_string_equal(
        results(f), "[{\"status\":201,U},{\"status\":200,U},"
                    "{\"status\":200,U,\"data\":{\"x\":1.0,\"x\":2}},"
                    "{\"title\":\"Not Found\",\"status\":404,\"detail\":\"There is no record at "
                    "\\\"none\\\".\"},"
                    "{\"title\":\"Not Found\",\"status\":404,\"detail\":\"There is no record at "
                    "\\\"none\\\".\"},{\"status\":204,U}]");
    assert_int_equal(api_get(f, "/kv/old"), 404);
    assert_int_equal(api_get(f, "/kv/a/b"), 200);
}

static void an_empty_batch_is_nothing(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_batch(f, " [ ] "), 200);
    assert_string_equal(api_body(f), "[]");
}

static void gets_see_what_the_batch_has_written(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_batch(f, "[{\"op\":\"get\",\"path\":\"k\"},"
                                  "{\"op\":\"put\",\"path\":\"k\",\"data\":1},"
                                  "{\"op\":\"put\",\"path\":\"k\",\"data\":2}]"),
                     200);
    assert_string_equal(results(f), "[{\"status\":200,U,\"data\":2},{\"status\":201,U},"
                                    "{\"status\":200,U}]");
    assert_int_equal(api_get(f, "/api/data/k/history"), 200);
    assert_contains(api_body(f), "\"revision\":2"); // both are versions
}

static void conditions_are_each_entrys_own(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "1"), 201);
    char uuid[64];
    (void)snprintf(uuid, sizeof(uuid), "%s", api_string(f, "uuid"));
    char body[1024];
    (void)snprintf(body, sizeof(body),
                   "[{\"op\":\"put\",\"path\":\"a\",\"data\":2,\"if_match\":\"%s\"},"
                   "{\"op\":\"put\",\"path\":\"a\",\"data\":3,\"if_match\":\"\\\"%s\\\"\"},"
                   "{\"op\":\"put\",\"path\":\"b\",\"data\":3,\"if_match\":\"*\"},"
                   "{\"op\":\"delete\",\"path\":\"a\",\"if_match\":\"*\"},"
                   "{\"op\":\"put\",\"path\":\"c\",\"data\":3}]",
                   uuid, uuid);
    assert_int_equal(api_batch(f, body), 200);
    assert_string_equal(
        results(f),
        "[{\"status\":200,U},{\"title\":\"Precondition Failed\",\"status\":412,\"detail\":\"The "
        "record is not the version that if_match names.\"},{\"title\":\"Precondition "
        "Failed\",\"status\":412,\"detail\":\"The record is not the version that if_match "
        "names.\"},{\"status\":204,U},{\"status\":201,U}]");
}

static void a_ttl_is_each_entrys_own(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(
        api_batch(f, "[{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"ttl\":\"1s\"},"
                     "{\"op\":\"put\",\"path\":\"b\",\"data\":1,\"ttl\":\"0\"},"
                     "{\"op\":\"put\",\"path\":\"c\",\"data\":{\"data\":1,\"ttl\":\"1s\"}}]"),
        200);
    f->clock.now_ms += 1000;
    assert_int_equal(api_get(f, "/kv/a"), 404);
    assert_int_equal(api_get(f, "/kv/b"), 200);
    assert_int_equal(api_get(f, "/kv/c?raw=1"), 200); // no envelopes here
    assert_string_equal(api_body(f), "{\"data\":1,\"ttl\":\"1s\"}");
}

static void a_bad_entry_spoils_no_other(void **state)
{
    struct api_fixture *f = *state;
    static const char *const bad[][2] = {
        {"1", "must be an object"},
        {"[]", "must be an object"},
        {"{}", "op must be"},
        {"{\"op\":\"patch\",\"path\":\"a\"}", "op must be"},
        {"{\"op\":null,\"path\":\"a\"}", "op must be"},
        {"{\"op\":\"get\"}", "path must be"},
        {"{\"op\":\"get\",\"path\":7}", "path must be"},
        {"{\"op\":\"get\",\"path\":\"\"}", "Invalid key: key is empty"},
        {"{\"op\":\"get\",\"path\":\"a//b\"}", "empty segment"},
        {"{\"op\":\"get\",\"path\":\"\\u0001user\"}", "control character"},
        {"{\"op\":\"put\",\"path\":\"a\"}", "needs data"},
        {"{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"ttl\":5}", "ttl must be a string"},
        {"{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"ttl\":\"x\"}", "not a duration"},
        {"{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"ttl\":\"-1s\"}", "negative"},
        {"{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"if_match\":\"x\"}", "if_match must be"},
        {"{\"op\":\"put\",\"path\":\"a\",\"data\":1,\"if_match\":null}", "if_match must be"},
        {"{\"op\":\"get\",\"path\":\"a\",\"data\":1}", "put alone"},
        {"{\"op\":\"delete\",\"path\":\"a\",\"ttl\":\"1s\"}", "put alone"},
        {"{\"op\":\"get\",\"path\":\"a\",\"if_match\":\"*\"}", "put and delete alone"},
        {"{\"op\":\"get\",\"path\":\"a\",\"Path\":\"b\"}", "Unknown member \\\"Path\\\""},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++) {
        char body[512];
        (void)snprintf(body, sizeof(body),
                       "[%s,{\"op\":\"put\",\"path\":\"good/%zu\",\"data\":%zu}]", bad[i][0], i, i);
        assert_int_equal(api_batch(f, body), 200);
        assert_contains(api_body(f), "\"status\":400");
        assert_contains(api_body(f), bad[i][1]);
        assert_contains(results(f), "},{\"status\":201,U}]");
    }
    assert_int_equal(api_get(f, "/kv/a"), 404);
}

static void a_malformed_batch_does_nothing(void **state)
{
    struct api_fixture *f = *state;
    static const char *const bad[][2] = {
        {"", "empty"},
        {"[", "line 1, column 2"},
        {"{\"op\":\"put\",\"path\":\"a\",\"data\":1}", "array"},
        {"[{\"op\":\"put\",\"path\":\"a\",\"data\":1},{\"op\":\"get\",\"path\":\"a\",\"\\u006fp\":"
         "\"put\"}]",
         "Entry 1 (counted from 0) of the batch has a member twice"},
        {"[{\"op\":\"put\",\"path\":\"a\",\"data\":1},{\"x\":1,\"x\":2}]", "twice"},
        {"[{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"10\":1,"
         "\"11\":1,\"12\":1,\"13\":1,\"14\":1,\"15\":1,\"16\":1,\"17\":1}]",
         "too many members"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++) {
        assert_int_equal(api_batch(f, bad[i][0]), 400);
        assert_contains(api_detail(f), bad[i][1]);
    }
    assert_int_equal(api_send(f, "POST", "/kv_batch?x=1", "[]"), 400);
    assert_int_equal(api_get(f, "/kv_batch"), 405);
    assert_int_equal(api_get(f, "/kv/a"), 404);
}

static const char *many(struct kvs_buf *body, int count)
{
    kvs_buf_clear(body);
    for (int i = 0; i < count; i++)
        kvs_buf_printf(body, "%s{\"op\":\"put\",\"path\":\"m/%d\",\"data\":%d}", i ? "," : "[", i,
                       i);
    kvs_buf_append(body, "]", 2);
    return body->data;
}

static void a_thousand_entries_are_the_limit(void **state)
{
    struct api_fixture *f = *state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(1 << 20);
    assert_int_equal(api_batch(f, many(&body, 1001)), 400);
    assert_contains(api_detail(f), "at most 1000");
    assert_int_equal(api_get(f, "/kv/m/0"), 404);
    assert_int_equal(api_batch(f, many(&body, 1000)), 200);
    assert_int_equal(api_get(f, "/kv/m/0"), 200);
    assert_int_equal(api_get(f, "/kv/m/999"), 200);
}

static void a_value_that_is_too_large_is_its_entrys_error(void **state)
{
    struct api_fixture *f = *state;
    char body[2 * API_VALUE_MAX];
    char value[API_VALUE_MAX + 1];
    memset(value, 'x', sizeof(value));
    value[API_VALUE_MAX - 1] = '\0';
    (void)snprintf(body, sizeof(body),
                   "[{\"op\":\"put\",\"path\":\"a\",\"data\":\"%s\"},"
                   "{\"op\":\"put\",\"path\":\"b\",\"data\":1}]",
                   value);
    assert_int_equal(api_batch(f, body), 200);
    assert_contains(api_body(f), "[{\"title\":\"Content Too Large\",\"status\":413,");
    assert_contains(results(f), "},{\"status\":201,U}]");
}

#ifndef KVS_TEST_REAL_NODE
static void writes_are_one_group(void **state)
{
    struct api_fixture *f = *state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(1 << 20);
    assert_int_equal(api_batch(f, many(&body, 50)), 200);
    assert_int_equal(f->node->groups, 1);
    assert_int_equal(api_batch(f, "[{\"op\":\"get\",\"path\":\"m/1\"}]"), 200);
    assert_int_equal(f->node->groups, 1);
}

static void an_error_of_the_node_is_the_batchs(void **state)
{
    struct api_fixture *f = *state;
    static const int errs[][2] = {{KVS_ERR_READ_ONLY, 403},
                                  {KVS_ERR_SYNCING, 503},
                                  {KVS_ERR_SHUTDOWN, 503},
                                  {KVS_ERR_IO, 503},
                                  {KVS_ERR_NO_SPACE, 507}};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(errs); i++) {
        f->node->write_err = errs[i][0];
        assert_int_equal(api_batch(f, "[{\"op\":\"put\",\"path\":\"a\",\"data\":1},"
                                      "{\"op\":\"get\",\"path\":\"a\"},{}]"),
                         errs[i][1]);
        assert_int_equal(api_batch(f, "[{\"op\":\"get\",\"path\":\"a\"}]"), 200); // reads go on
    }
    f->node->write_err = KVS_ERR_NOMEM;
    assert_int_equal(api_batch(f, "[{\"op\":\"put\",\"path\":\"a\",\"data\":1}]"), 200);
    assert_contains(api_body(f), "\"status\":503");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(each_entry_has_its_result_in_its_place),
        api_test(an_empty_batch_is_nothing),
        api_test(gets_see_what_the_batch_has_written),
        api_test(conditions_are_each_entrys_own),
        api_test(a_ttl_is_each_entrys_own),
        api_test(a_bad_entry_spoils_no_other),
        api_test(a_malformed_batch_does_nothing),
        api_test(a_thousand_entries_are_the_limit),
        api_test(a_value_that_is_too_large_is_its_entrys_error),
#ifndef KVS_TEST_REAL_NODE
        api_test(writes_are_one_group),
        api_test(an_error_of_the_node_is_the_batchs),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
