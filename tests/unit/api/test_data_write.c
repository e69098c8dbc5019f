// SPDX-License-Identifier: Apache-2.0
// PUT and DELETE: answers, JSON, TTL both ways, limits, conditions, refusals of the node.
#include "api_test.h"

static char etag[64]; // of the last put

static int put(struct api_fixture *f, const char *target, const char *body)
{
    int status = api_put(f, target, body);
    if (status < 300)
        (void)snprintf(etag, sizeof(etag), "%s", api_header(f, "ETag"));
    return status;
}

static const char *stored(struct api_fixture *f, const char *target)
{
    char raw[1100];
    (void)snprintf(raw, sizeof(raw), "%s?raw=1", target);
    return api_get(f, raw) == 200 ? api_body(f) : "(none)";
}

static void a_new_record_is_201_with_location_and_version(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(put(f, "/kv/a%20b/%C3%A4", "1"), 201);
    assert_string_equal(api_header(f, "Location"), "/kv/a%20b/%C3%A4");
    char expected[100];
    (void)snprintf(expected, sizeof(expected), "{\"uuid\":\"%.36s\",\"timestamp\":1790000000123}",
                   etag + 1);
    assert_string_equal(api_body(f), expected);
    assert_int_equal(strlen(etag), 38);
}

static void a_replaced_record_is_200_without_location(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(put(f, "/kv/a", "1"), 201);
    assert_int_equal(put(f, "/kv/a", "2"), 200);
    assert_null(api_header(f, "Location"));
    assert_contains(api_body(f), "\"timestamp\":1790000000124}");
    assert_string_equal(stored(f, "/kv/a"), "2");
}

static void the_value_is_kept_but_for_white_space(void **state)
{
    struct api_fixture *f = *state;
    static const char *const values[][2] = {
        {"1.0", "1.0"},
        {"12345678901234567890", "12345678901234567890"},
        {" \r\n\t[ 1 , \"\\u00e4 x\" ]\n", "[1,\"\\u00e4 x\"]"},
        {"{\"b\":1, \"a\":2, \"b\":3}", "{\"b\":1,\"a\":2,\"b\":3}"},
        {"null", "null"},
        {"\"\"", "\"\""},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(values); i++) {
        assert_in_range(put(f, "/kv/a", values[i][0]), 200, 201);
        assert_string_equal(stored(f, "/kv/a"), values[i][1]);
    }
}

static void bad_json_is_400_with_line_and_column(void **state)
{
    struct api_fixture *f = *state;
    (void)put(f, "/kv/a", "\"before\"");
    assert_int_equal(put(f, "/kv/a", "{\n  \"a\": tru\n}"), 400);
    assert_contains(api_detail(f), "Invalid JSON at line 2, column ");
    assert_int_equal(put(f, "/kv/a", "[1 2]"), 400);
    assert_contains(api_detail(f), "line 1, column 4: ");
    static const char *const bodies[] = {" ",  "{", "1 2", "01", "\"\\ud800\"", "\xEF\xBB\xBF\x31",
                                         "nul"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bodies); i++) {
        assert_int_equal(put(f, "/kv/a", bodies[i]), 400);
        assert_contains(api_detail(f), "Invalid JSON at line 1, column ");
    }
    assert_string_equal(stored(f, "/kv/a"), "\"before\"");
}

static void an_empty_body_is_400(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(put(f, "/kv/a", ""), 400);
    assert_contains(api_detail(f), "body is empty");
}

static void the_limit_counts_the_compact_value(void **state)
{
    struct api_fixture *f = *state;
    char body[API_VALUE_MAX + 64];
    memset(body, '7', sizeof(body));
    body[API_VALUE_MAX] = '\0';
    assert_int_equal(put(f, "/kv/a", body), 201);
    body[API_VALUE_MAX] = '7';
    body[API_VALUE_MAX + 1] = '\0';
    assert_int_equal(put(f, "/kv/b", body), 413);
    assert_contains(api_detail(f), "4097");
    assert_contains(api_detail(f), "4096");
    memset(body + 1, ' ', 40); // white space does not count
    body[API_VALUE_MAX + 1] = '\0';
    body[0] = '[';
    body[API_VALUE_MAX] = ']';
    assert_int_equal(put(f, "/kv/b", body), 201);
    // Nor does the envelope.
    (void)snprintf(body, sizeof(body), "{\"ttl\":\"1h\",\"data\":%0*d}", API_VALUE_MAX, 7);
    char *digits = strchr(body, '0');
    memset(digits, '7', API_VALUE_MAX);
    assert_int_equal(put(f, "/kv/c", body), 201);
    assert_int_equal(put(f, "/kv/c?ttl=1h", body), 413);
}

// ---- TTL

// Stores with a TTL; asserts that the record lives until just before `ttl_ms` and no longer.
static void check_ttl(struct api_fixture *f, const char *target, const char *body, int64_t ttl_ms,
                      const char *value)
{
    (void)api_delete(f, "/kv/ttl");
    if (put(f, target, body) != 201)
        fail_msg("%s %s: %s", target, body, api_body(f));
    assert_string_equal(stored(f, "/kv/ttl"), value);
    f->clock.now_ms += ttl_ms > 0 ? ttl_ms - 1 : INT64_C(400) * 24 * 3600 * 1000;
    assert_string_equal(stored(f, "/kv/ttl"), value);
    f->clock.now_ms += ttl_ms > 0 ? 1 : 0;
    assert_string_equal(stored(f, "/kv/ttl"), ttl_ms > 0 ? "(none)" : value);
}

static void ttl_in_the_query(void **state)
{
    struct api_fixture *f = *state;
    check_ttl(f, "/kv/ttl?ttl=1h30m", "1", 5400000, "1");
    check_ttl(f, "/kv/ttl?ttl=250ms", "1", 250, "1");
    check_ttl(f, "/kv/ttl?ttl=1.5s", "1", 1500, "1");
    check_ttl(f, "/kv/ttl?ttl=1ns", "1", 1, "1");
    check_ttl(f, "/kv/ttl?ttl=1000001ns", "1", 2, "1");
    check_ttl(f, "/kv/ttl?ttl=0", "1", 0, "1");
    check_ttl(f, "/kv/ttl?ttl=", "1", 0, "1");
    check_ttl(f, "/kv/ttl?ttl", "1", 0, "1");
    check_ttl(f, "/kv/ttl?ttl=0s", "1", 0, "1");
    check_ttl(f, "/kv/ttl?ttl=1h", "{\"data\":1,\"ttl\":\"1s\"}", 3600000,
              "{\"data\":1,\"ttl\":\"1s\"}");
    check_ttl(f, "/kv/ttl?ttl=1h", "{\"data\":1,\"ttl\":5}", 3600000, "{\"data\":1,\"ttl\":5}");
}

static void ttl_in_an_envelope(void **state)
{
    struct api_fixture *f = *state;
    check_ttl(f, "/kv/ttl", "{\"data\":[1, {\"x\":2}], \"ttl\":\"1m\"}", 60000, "[1,{\"x\":2}]");
    check_ttl(f, "/kv/ttl", "{\"ttl\":\"1m\",\"data\":null}", 60000, "null");
    check_ttl(f, "/kv/ttl", "{\"ttl\":\"\",\"data\":\"a,}]\\\"\"}", 0, "\"a,}]\\\"\"");
    check_ttl(f, "/kv/ttl", "{\"ttl\":\"0\",\"data\":{}}", 0, "{}");
    check_ttl(f, "/kv/ttl", "{\"\\u0074tl\":\"1\\u006d\",\"d\\u0061ta\":3}", 60000, "3");
    check_ttl(f, "/kv/ttl", "{\"data\":{\"data\":1,\"ttl\":\"1s\"},\"ttl\":\"1m\"}", 60000,
              "{\"data\":1,\"ttl\":\"1s\"}");
}

static void any_other_object_is_data_as_it_is(void **state)
{
    struct api_fixture *f = *state;
    static const char *const objects[] = {
        "{}",
        "{\"data\":1}",
        "{\"ttl\":\"1s\"}",
        "{\"data\":1,\"ttl\":\"1s\",\"x\":1}",
        "{\"x\":1,\"data\":1,\"ttl\":\"1s\"}",
        "{\"data\":1,\"TTL\":\"1s\"}",
        "{\"data\":1,\"data\":2}",
        "{\"ttl\":\"1s\",\"ttl\":\"1s\"}",
        "{\"data\":1,\"ttl\":\"1s\",\"ttl\":\"1s\"}",
        "{\"data \":1,\"ttl\":\"1s\"}",
        "[{\"data\":1,\"ttl\":\"1s\"}]",
        "\"{\\\"data\\\":1,\\\"ttl\\\":\\\"1s\\\"}\"",
        "{\"data\":1,\"a name that is longer than any way to write it\":\"1s\"}",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(objects); i++)
        check_ttl(f, "/kv/ttl", objects[i], 0, objects[i]);
}

static void a_bad_ttl_is_400_and_named(void **state)
{
    struct api_fixture *f = *state;
    static const char *const texts[] = {"1",   "-1s", "1d", "x", "1h30", "9999999999999h",
                                        " 1s", "-1ns"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(texts); i++) {
        char text[100];
        (void)snprintf(text, sizeof(text), "/kv/a?ttl=%s", texts[i]);
        assert_int_equal(put(f, text, "1"), 400);
        assert_contains(api_detail(f), "ttl");
        assert_contains(api_detail(f), texts[i]);
        (void)snprintf(text, sizeof(text), "{\"data\":1,\"ttl\":\"%s\"}", texts[i]);
        assert_int_equal(put(f, "/kv/a", text), 400);
        assert_contains(api_detail(f), "ttl");
        assert_contains(api_detail(f), texts[i]);
    }
    static const char *const values[] = {"1", "null", "true", "[\"1s\"]", "{}", "0", "-5"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(values); i++) {
        char text[100];
        (void)snprintf(text, sizeof(text), "{\"ttl\":%s,\"data\":1}", values[i]);
        assert_int_equal(put(f, "/kv/a", text), 400);
        assert_contains(api_detail(f), "must be a string");
    }
    char giant[1000];
    (void)snprintf(giant, sizeof(giant), "{\"data\":1,\"ttl\":\"%0900d\"}", 1);
    assert_int_equal(put(f, "/kv/a", giant), 400);
    assert_contains(api_detail(f), "not a duration");
    assert_int_equal(put(f, "/kv/a?ttl=1s&ttl=1s", "1"), 400);
    assert_int_equal(put(f, "/kv/a?tll=1s", "1"), 400);
    assert_contains(api_detail(f), "\"tll\"");
    assert_int_equal(api_get(f, "/kv/a"), 404);
}

// ---- DELETE

static void delete_is_204_and_then_404(void **state)
{
    struct api_fixture *f = *state;
    (void)put(f, "/kv/a", "1");
    assert_int_equal(api_delete(f, "/kv/a"), 204);
    assert_null(f->exchange.response.content_type);
    assert_int_equal(api_delete(f, "/kv/a"), 404);
    assert_contains(api_detail(f), "\"a\"");
    assert_int_equal(put(f, "/kv/a", "2"), 201);
    assert_int_equal(api_delete(f, "/kv/a?recursive=1"), 400);
}

static void delete_of_a_prefix_is_400_and_deletes_nothing(void **state)
{
    struct api_fixture *f = *state;
    (void)put(f, "/kv/a/b", "1");
    static const char *const targets[] = {"/kv/a/", "/kv/", "/kv/a/?recursive=0", "/kv/a/?x=1"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(targets); i++) {
        assert_int_equal(api_delete(f, targets[i]), 400);
        assert_contains(api_detail(f), "prefix");
    }
    assert_string_equal(stored(f, "/kv/a/b"), "1");
}

static void put_to_a_prefix_or_the_range_is_400(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(put(f, "/kv/a/", "1"), 400);
    assert_contains(api_detail(f), "ends with a slash");
    assert_int_equal(put(f, "/kv/", "1"), 400);
    assert_contains(api_detail(f), "empty");
    assert_int_equal(put(f, "/kv/_range", "1"), 400);
    assert_contains(api_detail(f), "_range");
}

// ---- Conditions

static void if_match_lets_only_the_current_version_be_changed(void **state)
{
    struct api_fixture *f = *state;
    (void)put(f, "/kv/a", "1");
    char first[64];
    char list[200];
    (void)snprintf(first, sizeof(first), "%s", etag);
    assert_int_equal(api_put(f, "/kv/a", "2", "If-Match", first), 200);
    (void)snprintf(list, sizeof(list), "%s, %s", first, api_header(f, "ETag"));
    assert_int_equal(api_put(f, "/kv/a", "3", "If-Match", first), 412);
    assert_contains(api_detail(f), "If-Match");
    assert_int_equal(api_delete(f, "/kv/a", "If-Match", first), 412);
    assert_string_equal(stored(f, "/kv/a"), "2");
    assert_int_equal(api_put(f, "/kv/a", "4", "If-Match", list), 200);
    assert_int_equal(api_delete(f, "/kv/a", "If-Match", api_header(f, "ETag")), 204);
    assert_int_equal(api_delete(f, "/kv/a", "If-Match", first), 412);
    assert_int_equal(api_put(f, "/kv/a", "5", "If-Match", first), 412);
}

static void a_weak_or_foreign_tag_matches_no_write(void **state)
{
    struct api_fixture *f = *state;
    (void)put(f, "/kv/a", "1");
    char weak[80];
    (void)snprintf(weak, sizeof(weak), "W/%s", etag);
    assert_int_equal(api_put(f, "/kv/a", "2", "If-Match", weak), 412);
    assert_int_equal(api_put(f, "/kv/a", "2", "If-Match", "\"v1\""), 412);
    assert_int_equal(api_put(f, "/kv/a", "2", "If-Match", "\"\""), 412);
    // If-None-Match compares weakly.
    assert_int_equal(api_put(f, "/kv/a", "2", "If-None-Match", weak), 412);
    assert_int_equal(api_put(f, "/kv/a", "2", "If-None-Match", "\"v1\""), 200);
}

static void a_star_asks_for_something_or_nothing(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "1", "If-Match", "*"), 412);
    assert_int_equal(api_delete(f, "/kv/a", "If-Match", "*"), 412);
    assert_int_equal(api_put(f, "/kv/a", "1", "If-None-Match", "*"), 201);
    assert_int_equal(api_put(f, "/kv/a", "2", "If-None-Match", "*"), 412);
    assert_int_equal(api_delete(f, "/kv/a", "If-None-Match", "*"), 412);
    assert_int_equal(api_put(f, "/kv/a", "3", "If-Match", "*"), 200);
    assert_string_equal(stored(f, "/kv/a"), "3");
}

static void tags_in_if_none_match_must_not_be_current(void **state)
{
    struct api_fixture *f = *state;
    (void)put(f, "/kv/a", "1");
    char first[64];
    (void)snprintf(first, sizeof(first), "%s", etag);
    assert_int_equal(api_put(f, "/kv/a", "2", "If-None-Match", first), 412);
    assert_int_equal(put(f, "/kv/a", "3"), 200);
    assert_int_equal(api_put(f, "/kv/a", "4", "If-None-Match", first), 200);
    assert_int_equal(api_put(f, "/kv/new", "4", "If-None-Match", first), 201);
}

static void conditions_that_a_write_cannot_honour_are_400(void **state)
{
    struct api_fixture *f = *state;
    (void)put(f, "/kv/a", "1");
    assert_int_equal(api_put(f, "/kv/a", "2", "If-Match", "*", "If-None-Match", "*"), 400);
    assert_int_equal(
        api_put(f, "/kv/a", "2", "If-Unmodified-Since", "Mon, 21 Sep 2026 14:13:20 GMT"), 400);
    assert_contains(api_detail(f), "If-Match");
    static const char *const values[] = {"x", "", ", ,", "\"a\" \"b\"", "**", "\"a", "*,*"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(values); i++) {
        assert_int_equal(api_put(f, "/kv/a", "2", "If-Match", values[i]), 400);
        assert_int_equal(api_put(f, "/kv/a", "2", "If-None-Match", values[i]), 400);
        assert_int_equal(api_delete(f, "/kv/a", "If-Match", values[i]), 400);
    }
    assert_string_equal(stored(f, "/kv/a"), "1");
}

#ifndef KVS_TEST_REAL_NODE

static void what_the_node_refuses_is_told(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        int err;
        int status;
        const char *detail;
    } cases[] = {
        {KVS_ERR_READ_ONLY, 403, "read-only"},
        {KVS_ERR_SYNCING, 503, "reads from its peers"},
        {KVS_ERR_SHUTDOWN, 503, "shutting"},
        {KVS_ERR_NO_SPACE, 507, "disk"},
        {KVS_ERR_IO, 503, "storage"},
        {KVS_ERR_BUSY, 503, "overloaded"},
        {KVS_ERR_NOMEM, 503, "overloaded"},
        {KVS_ERR_INTERNAL, 500, "bug"},
        {KVS_ERR_FORBIDDEN, 403, "permissions"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        f->node->write_err = cases[i].err;
        assert_int_equal(put(f, "/kv/a", "\"secret value\""), cases[i].status);
        assert_contains(api_detail(f), cases[i].detail);
        assert_null(strstr(api_body(f), "secret"));
        assert_int_equal(api_delete(f, "/kv/a"), cases[i].status);
    }
}

static void without_a_ttl_the_default_holds(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(put(f, "/kv/a", "1"), 201);
    assert_int_equal(f->node->last_write.ttl_ms, KVS_TTL_DEFAULT);
    assert_int_equal(put(f, "/kv/a?ttl=0", "1"), 200);
    assert_int_equal(f->node->last_write.ttl_ms, KVS_TTL_NONE);
    assert_int_equal(put(f, "/kv/a", "{\"data\":1,\"ttl\":\"\"}"), 200);
    assert_int_equal(f->node->last_write.ttl_ms, KVS_TTL_NONE);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(a_new_record_is_201_with_location_and_version),
        api_test(a_replaced_record_is_200_without_location),
        api_test(the_value_is_kept_but_for_white_space),
        api_test(bad_json_is_400_with_line_and_column),
        api_test(an_empty_body_is_400),
        api_test(the_limit_counts_the_compact_value),
        api_test(ttl_in_the_query),
        api_test(ttl_in_an_envelope),
        api_test(any_other_object_is_data_as_it_is),
        api_test(a_bad_ttl_is_400_and_named),
        api_test(delete_is_204_and_then_404),
        api_test(delete_of_a_prefix_is_400_and_deletes_nothing),
        api_test(put_to_a_prefix_or_the_range_is_400),
        api_test(if_match_lets_only_the_current_version_be_changed),
        api_test(a_weak_or_foreign_tag_matches_no_write),
        api_test(a_star_asks_for_something_or_nothing),
        api_test(tags_in_if_none_match_must_not_be_current),
        api_test(conditions_that_a_write_cannot_honour_are_400),
#ifndef KVS_TEST_REAL_NODE
        api_test(what_the_node_refuses_is_told),
        api_test(without_a_ttl_the_default_holds),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
