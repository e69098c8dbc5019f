// SPDX-License-Identifier: Apache-2.0
// PATCH: both kinds, media types, conditions, TTL, races, limits, and what each refusal says.
#include "api_test.h"

#define MERGE "Content-Type", "application/merge-patch+json"
#define PATCH "Content-Type", "application/json-patch+json"
#define api_patch(f, target, body, ...) api_send(f, "PATCH", target, body, ##__VA_ARGS__)

static void assert_data(struct api_fixture *f, const char *target, const char *expected)
{
    char raw[256];
    (void)snprintf(raw, sizeof(raw), "%s?raw=1", target);
    assert_int_equal(api_get(f, raw), 200);
    assert_string_equal(api_body(f), expected);
}

static void a_merge_patch_changes_what_it_names(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "{\"z\": 1.0, \"s\": \"\\u00e9\", \"b\": {\"c\": 1}}"),
                     201);
    assert_int_equal(api_patch(f, "/kv/a", " {\"b\" : {\"c\" : null, \"d\" : [ 2 ]}}\n", MERGE),
                     200);
    assert_int_equal(strlen(api_string(f, "uuid")), 36);
    char etag[64];
    (void)snprintf(etag, sizeof(etag), "\"%s\"", api_string(f, "uuid"));
    assert_string_equal(api_header(f, "ETag"), etag);
    assert_null(api_header(f, "Location"));
    assert_data(f, "/kv/a", "{\"z\":1.0,\"s\":\"\\u00e9\",\"b\":{\"d\":[2]}}");
}

static void a_json_patch_applies_its_operations(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "{\"l\":[1,2],\"x\":null}"), 201);
    assert_int_equal(api_patch(f, "/kv/a",
                               "[{\"op\": \"add\", \"path\": \"/l/-\", \"value\": { \"n\": 3 }},"
                               " {\"op\": \"remove\", \"path\": \"/x\"}]",
                               PATCH),
                     200);
    assert_data(f, "/kv/a", "{\"l\":[1,2,{\"n\":3}]}");
}

static void the_media_type_decides(void **state)
{
    struct api_fixture *f = *state;
    static const char *const good[] = {
        "application/merge-patch+json", "Application/Merge-Patch+JSON",
        "application/merge-patch+json; charset=utf-8", " application/merge-patch+json ;x=y"};
    static const char *const bad[] = {
        "application/json",        "",    "text/plain",
        "application/merge-patch", "*/*", "application/merge-patch+json2"};
    assert_int_equal(api_put(f, "/kv/a", "{}"), 201);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(good); i++)
        assert_int_equal(api_patch(f, "/kv/a", "{\"a\":1}", "Content-Type", good[i]), 200);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++) {
        assert_int_equal(api_patch(f, "/kv/a", "{\"b\":1}", "Content-Type", bad[i]), 415);
        assert_string_equal(api_header(f, "Accept-Patch"),
                            "application/merge-patch+json, application/json-patch+json");
    }
    assert_int_equal(api_patch(f, "/kv/a", "{\"b\":1}"), 415);
    assert_data(f, "/kv/a", "{\"a\":1}");
}

static void nothing_there_is_404(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_patch(f, "/kv/a", "{}", MERGE), 404);
    assert_contains(api_detail(f), "PUT creates one");
    assert_int_equal(api_patch(f, "/kv/a", "[]", PATCH), 404);
    assert_int_equal(api_patch(f, "/kv/a", "{}", MERGE, "If-Match", "*"), 412);
    assert_int_equal(api_patch(f, "/kv/a", "{}", MERGE, "If-None-Match", "*"), 404);
    assert_int_equal(api_put(f, "/kv/a", "1"), 201);
    assert_int_equal(api_delete(f, "/kv/a"), 204);
    assert_int_equal(api_patch(f, "/kv/a", "{}", MERGE), 404);
    assert_int_equal(api_put(f, "/kv/a?ttl=1s", "{}"), 201);
    f->clock.now_ms += 1000;
    assert_int_equal(api_patch(f, "/kv/a", "{}", MERGE), 404);
}

static void conditions_are_judged_first(void **state)
{
    struct api_fixture *f = *state;
    char etag[64];
    assert_int_equal(api_put(f, "/kv/a", "{\"n\":1}"), 201);
    (void)snprintf(etag, sizeof(etag), "%s", api_header(f, "ETag"));
    const char *fails = "[{\"op\":\"test\",\"path\":\"/n\",\"value\":2}]";
    assert_int_equal(
        api_patch(f, "/kv/a", fails, PATCH, "If-Match", "\"5a0e0000-0000-4000-8000-000000000000\""),
        412);
    assert_int_equal(api_patch(f, "/kv/a", fails, PATCH, "If-None-Match", "*"), 412);
    assert_int_equal(api_patch(f, "/kv/a", fails, PATCH, "If-None-Match", etag), 412);
    assert_int_equal(api_patch(f, "/kv/a", fails, PATCH, "If-Match", etag), 409);
    assert_int_equal(api_patch(f, "/kv/a", "{\"n\":2}", MERGE, "If-Match", etag), 200);
    assert_int_equal(api_patch(f, "/kv/a", "{\"n\":3}", MERGE, "If-Match", etag), 412);
    assert_int_equal(api_patch(f, "/kv/a", "{\"n\":4}", MERGE, "If-Match", "*"), 200);
    assert_int_equal(api_patch(f, "/kv/a", "{\"n\":5}", MERGE, "If-None-Match", etag), 200);
    assert_data(f, "/kv/a", "{\"n\":5}");
}

static void what_does_not_apply_changes_nothing(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "{\"n\":1}"), 201);
    char uuid[64];
    (void)snprintf(uuid, sizeof(uuid), "%s", api_string(f, "uuid"));
    assert_int_equal(api_patch(f, "/kv/a",
                               "[{\"op\":\"replace\",\"path\":\"/n\",\"value\":2},"
                               "{\"op\":\"test\",\"path\":\"/n\",\"value\":3}]",
                               PATCH),
                     409);
    assert_contains(api_detail(f),
                    "Operation 1 (counted from 0) of the JSON patch: the test fails.");
    assert_int_equal(
        api_patch(f, "/kv/a", "[{\"op\":\"remove\",\"path\":\"/secret-looking\"}]", PATCH), 409);
    assert_contains(api_detail(f), "there is no such location");
    assert_int_equal(api_get(f, "/kv/a"), 200);
    assert_string_equal(api_string(f, "uuid"), uuid);
}

static void what_is_no_patch_is_400(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "{}"), 201);
    assert_int_equal(api_patch(f, "/kv/a", "", MERGE), 400);
    assert_contains(api_detail(f), "empty");
    assert_int_equal(api_patch(f, "/kv/a", "{\"a\":\n tru}", MERGE), 400);
    assert_contains(api_detail(f), "line 2, column 5");
    assert_int_equal(api_patch(f, "/kv/a", "{\"x\": {\"a\":1,\n \"\\u0061\":2}}", MERGE), 400);
    assert_contains(api_detail(f), "line 2, column 2: duplicate member name");
    assert_int_equal(
        api_patch(f, "/kv/a", "[\n{\"op\":\"add\",\"op\":\"remove\",\"path\":\"/a\"}]", PATCH),
        400);
    assert_contains(api_detail(f), "line 2, column 13: duplicate member name");
    assert_int_equal(api_patch(f, "/kv/a", "{}", PATCH), 400);
    assert_contains(api_detail(f), "array of operations");
    assert_int_equal(api_patch(f, "/kv/a", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", PATCH),
                     400);
    assert_contains(api_detail(f), "Operation 0");
    assert_int_equal(api_patch(f, "/kv/a?raw=1", "{}", MERGE), 400);
    assert_int_equal(api_patch(f, "/kv/a//b", "{}", MERGE), 400);
    assert_int_equal(api_patch(f, "/kv/a", "{}", MERGE, "If-Match", "x"), 400);
    // Also where there is no record.
    assert_int_equal(api_patch(f, "/kv/none", "{}", PATCH), 400);
    assert_data(f, "/kv/a", "{}");
}

static void duplicates_that_are_not_touched_stay(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "{\"d\":1,\"d\":2,\"n\":1}"), 201);
    assert_int_equal(api_patch(f, "/kv/a", "{\"n\":2}", MERGE), 200);
    assert_data(f, "/kv/a", "{\"d\":1,\"d\":2,\"n\":2}");
}

static void the_result_obeys_max_json_size(void **state)
{
    struct api_fixture *f = *state;
    char value[API_VALUE_MAX + 1];
    memset(value, 'x', sizeof(value));
    memcpy(value, "{\"a\":\"", 6);
    memcpy(value + API_VALUE_MAX - 10, "\"}", 3);
    assert_int_equal(api_put(f, "/kv/a", value), 201);
    assert_int_equal(api_patch(f, "/kv/a", "{\"b\":0}", MERGE), 200); // 6 bytes more
    assert_int_equal(api_patch(f, "/kv/a", "{\"c\":0}", MERGE), 413);
    assert_contains(api_detail(f), "max_json_size");
    assert_int_equal(
        api_patch(f, "/kv/a", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"}]", PATCH), 413);
    assert_int_equal(api_patch(f, "/kv/a",
                               "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},"
                               "{\"op\":\"remove\",\"path\":\"/a\"}]",
                               PATCH),
                     200); // what counts is the result
}

static void the_remaining_ttl_stays(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a?ttl=10s", "{}"), 201);
    f->clock.now_ms += 9000;
    assert_int_equal(api_patch(f, "/kv/a", "{\"a\":1}", MERGE), 200);
    assert_data(f, "/kv/a", "{\"a\":1}");
    f->clock.now_ms += 1000;
    assert_int_equal(api_get(f, "/kv/a"), 404);
    assert_int_equal(api_put(f, "/kv/b?ttl=10s", "{}"), 201);
    assert_int_equal(api_patch(f, "/kv/b?ttl=1m", "{\"a\":1}", MERGE), 200);
    f->clock.now_ms += 59000;
    assert_data(f, "/kv/b", "{\"a\":1}");
    assert_int_equal(api_patch(f, "/kv/b?ttl=0", "{\"a\":2}", MERGE), 200);
    f->clock.now_ms += 59000000;
    assert_data(f, "/kv/b", "{\"a\":2}");
    assert_int_equal(api_patch(f, "/kv/b", "{\"a\":3}", MERGE), 200);
    f->clock.now_ms += 59000000;
    assert_data(f, "/kv/b", "{\"a\":3}"); // nothing to keep
}

#ifndef KVS_TEST_REAL_NODE
static void a_faster_write_makes_it_try_again(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "{}"), 201);
    f->node->races = 200;
    assert_int_equal(api_patch(f, "/kv/a", "{\"a\":1}", MERGE), 200);
    assert_int_equal(f->worker_runs, 201);
    assert_data(f, "/kv/a", "{\"a\":1}");
    f->node->races = 1000;
    assert_int_equal(api_patch(f, "/kv/a", "{\"a\":2}", MERGE), 503);
    assert_contains(api_detail(f), "faster");
    assert_data(f, "/kv/a", "{\"a\":1}");
}

static void failures_of_the_node_are_told(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "{}"), 201);
    f->node->write_err = KVS_ERR_READ_ONLY;
    assert_int_equal(api_patch(f, "/kv/a", "{\"a\":1}", MERGE), 403);
    f->node->write_err = KVS_ERR_NO_SPACE;
    assert_int_equal(api_patch(f, "/kv/a", "{\"a\":1}", MERGE), 507);
    f->node->write_err = 0;
    f->node->read_err = KVS_ERR_CORRUPT;
    assert_int_equal(api_patch(f, "/kv/a", "{\"a\":1}", MERGE), 500);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(a_merge_patch_changes_what_it_names),
        api_test(a_json_patch_applies_its_operations),
        api_test(the_media_type_decides),
        api_test(nothing_there_is_404),
        api_test(conditions_are_judged_first),
        api_test(what_does_not_apply_changes_nothing),
        api_test(what_is_no_patch_is_400),
        api_test(duplicates_that_are_not_touched_stay),
        api_test(the_result_obeys_max_json_size),
        api_test(the_remaining_ttl_stays),
#ifndef KVS_TEST_REAL_NODE
        api_test(a_faster_write_makes_it_try_again),
        api_test(failures_of_the_node_are_told),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
