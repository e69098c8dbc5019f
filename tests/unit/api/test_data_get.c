// SPDX-License-Identifier: Apache-2.0
// GET and HEAD of one record: body, validators, conditions, keys.
#include "api_test.h"

static char etag[64]; // of the last api_put

static void put(struct api_fixture *f, const char *target, const char *body)
{
    assert_in_range(api_put(f, target, body), 200, 201);
    (void)snprintf(etag, sizeof(etag), "%s", api_header(f, "ETag"));
}

static void the_record_is_uuid_timestamp_and_data(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a/b", "{ \"n\" : 1.0 }");
    assert_int_equal(api_get(f, "/kv/a/b"), 200);
    char expected[200];
    (void)snprintf(expected, sizeof(expected),
                   "{\"uuid\":\"%.36s\",\"timestamp\":1790000000123,\"data\":{\"n\":1.0}}",
                   etag + 1);
    assert_string_equal(api_body(f), expected);
    assert_string_equal(f->exchange.response.content_type, "application/json");
    assert_string_equal(api_header(f, "ETag"), etag);
    assert_string_equal(api_header(f, "Last-Modified"), "Mon, 21 Sep 2026 14:13:20 GMT");
    assert_string_equal(api_header(f, "Cache-Control"), "no-cache");
}

static void raw_is_the_data_alone(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "[1, 2]");
    assert_int_equal(api_get(f, "/kv/a?raw=1"), 200);
    assert_string_equal(api_body(f), "[1,2]");
    assert_string_equal(f->exchange.response.content_type, "application/json");
    assert_string_equal(api_header(f, "ETag"), etag);
    assert_int_equal(api_get(f, "/kv/a?raw=true"), 200);
    assert_string_equal(api_body(f), "[1,2]");
    assert_int_equal(api_get(f, "/kv/a?raw=0"), 200);
    assert_contains(api_body(f), "\"data\":[1,2]");
    assert_int_equal(api_get(f, "/kv/a?raw=false"), 200);
    assert_contains(api_body(f), "\"data\":[1,2]");
}

static void head_answers_as_get_does(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "1");
    assert_int_equal(api_get(f, "/kv/a"), 200);
    char body[200];
    (void)snprintf(body, sizeof(body), "%s", api_body(f));
    assert_int_equal(api_send(f, "HEAD", "/kv/a", ""), 200);
    assert_string_equal(api_body(f), body); // http/ sends only its length
    assert_string_equal(api_header(f, "ETag"), etag);
    assert_int_equal(api_send(f, "HEAD", "/kv/absent", ""), 404);
}

static void an_absent_key_is_404_and_named(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/kv/no/\"such\""), 404);
    assert_contains(api_detail(f), "no/\"such\"");
    assert_int_equal(api_get(f, "/kv/no", "If-Match", "*"), 404);
}

static void a_deleted_or_expired_record_is_404(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "1");
    assert_int_equal(api_delete(f, "/kv/a"), 204);
    assert_int_equal(api_get(f, "/kv/a"), 404);
    put(f, "/kv/b?ttl=10s", "1");
    assert_int_equal(api_get(f, "/kv/b"), 200);
    f->clock.now_ms += 10000;
    assert_int_equal(api_get(f, "/kv/b"), 404);
}

static void the_path_is_decoded_once(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a/b", "1");
    assert_int_equal(api_get(f, "/kv/a%2Fb"), 200);
    assert_int_equal(api_get(f, "/kv/%61/%62"), 200);
    assert_int_equal(api_get(f, "/kv/a%252Fb"), 404);
    put(f, "/kv/x%252Fy", "2");
    assert_int_equal(api_get(f, "/kv/x%252Fy"), 200);
    assert_int_equal(api_get(f, "/kv/x%2Fy"), 404);
    put(f, "/kv/sp%20ace+%C3%A4", "3");
    assert_int_equal(api_get(f, "/kv/sp%20ace+\xC3\xA4"), 200);
}

static void an_invalid_key_is_400_with_the_reason(void **state)
{
    struct api_fixture *f = *state;
    static const char *const targets[][2] = {
        {"/kv/a//b", "empty segment"},
        {"/kv//a", "begins with a slash"},
        {"/kv/a%2F", "ends with a slash"},
        {"/kv/../a", "'..'"},
        {"/kv/a/./b", "'.'"},
        {"/kv/a/%2E%2E", "'..'"},
        {"/kv/_range/x", "_range"},
        {"/kv/a%00b", "control character"},
        {"/kv/a%0Ab", "control character"},
        {"/kv/%FF", "UTF-8"},
        {"/kv/%zz", "percent-escape"},
        {"/kv/a%2", "percent-escape"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(targets); i++) {
        static const char *const methods[] = {"GET", "PUT", "DELETE"};
        for (size_t m = 0; m < KVS_ARRAY_SIZE(methods); m++) {
            assert_int_equal(api_send(f, methods[m], targets[i][0], "1"), 400);
            assert_contains(api_detail(f), targets[i][1]);
        }
    }
    char longest[4 + 1025 + 1] = "/kv/";
    memset(longest + 4, 'k', 1024);
    put(f, longest, "1");
    assert_int_equal(api_get(f, longest), 200);
    longest[4 + 1024] = 'k';
    assert_int_equal(api_get(f, longest), 400);
    assert_contains(api_detail(f), "1024");
}

static void bad_parameters_are_400_and_named(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "1");
    static const char *const targets[][2] = {
        {"/kv/a?rwa=1", "\"rwa\""},
        {"/kv/a?raw=1&raw=1", "\"raw\" is given twice"},
        {"/kv/a?raw=2", "raw must be"},
        {"/kv/a?raw=", "raw must be"},
        {"/kv/a?raw=%zz", "percent-escape"},
        {"/kv/a?raw", "raw must be"},
        {"/kv/a?%zz=1", "percent-escape"},
        {"/kv/a?ra%77=1&raw=1", "twice"},
        {"/kv/a?=1", "\"\""},
        {"/kv/a?ttl=1s", "this route takes raw"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(targets); i++) {
        assert_int_equal(api_get(f, targets[i][0]), 400);
        assert_contains(api_detail(f), targets[i][1]);
    }
    assert_int_equal(api_get(f, "/kv/a?"), 200);
    assert_int_equal(api_get(f, "/kv/a?&raw=1&"), 200);
    assert_int_equal(api_get(f, "/kv/a?r%61w=1"), 200);
    assert_string_equal(api_body(f), "1");
}

// ---- Conditions

static void if_none_match_of_the_current_tag_is_304(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "1");
    char weak[80];
    char list[200];
    char upper[64];
    (void)snprintf(weak, sizeof(weak), "W/%s", etag);
    (void)snprintf(list, sizeof(list), "\"x\" ,, W/\"y,z\",\t%s", etag);
    for (size_t i = 0; i <= strlen(etag); i++)
        upper[i] = (char)(etag[i] >= 'a' && etag[i] <= 'f' ? etag[i] - 32 : etag[i]);
    const char *const matching[] = {etag, weak, list, upper, "*"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(matching); i++) {
        assert_int_equal(api_get(f, "/kv/a", "If-None-Match", matching[i]), 304);
        assert_string_equal(api_header(f, "ETag"), etag);
        assert_non_null(api_header(f, "Last-Modified"));
        assert_int_equal(api_send(f, "HEAD", "/kv/a", "", "if-none-match", matching[i]), 304);
    }
    assert_int_equal(api_get(f, "/kv/a", "If-None-Match", "\"x\"", "If-None-Match", etag), 304);
    assert_int_equal(api_get(f, "/kv/a", "If-None-Match", etag, "If-None-Match", "\"x\""), 304);
    assert_int_equal(api_get(f, "/kv/a", "If-None-Match", "\"x\""), 200);
    assert_int_equal(
        api_get(f, "/kv/a", "If-None-Match", "\"00000000-0000-4000-8000-000000000000\""), 200);
}

static void if_match_of_another_tag_is_412(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "1");
    char weak[80];
    (void)snprintf(weak, sizeof(weak), "W/%s", etag);
    assert_int_equal(api_get(f, "/kv/a", "If-Match", etag), 200);
    assert_int_equal(api_get(f, "/kv/a", "If-Match", "*"), 200);
    assert_int_equal(api_get(f, "/kv/a", "If-Match", "\"x\", \"\""), 412);
    assert_int_equal(api_get(f, "/kv/a", "If-Match", weak), 412);
    // If-Match is judged first.
    assert_int_equal(api_get(f, "/kv/a", "If-Match", "\"x\"", "If-None-Match", etag), 412);
    assert_int_equal(api_get(f, "/kv/a", "If-Match", etag, "If-None-Match", etag), 304);
}

static void a_malformed_tag_list_is_400(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "1");
    static const char *const values[] = {"x",           "",   ",",        ", ,",      "\"open",
                                         "\"a\" \"b\"", "**", "*, \"a\"", "\"a\", *", "w/\"a\"",
                                         "W/a",         "W/", "\"a b\"",  "\"a\"x"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(values); i++) {
        assert_int_equal(api_get(f, "/kv/a", "If-None-Match", values[i]), 400);
        assert_contains(api_detail(f), "If-None-Match must be");
        assert_int_equal(api_get(f, "/kv/a", "If-Match", values[i]), 400);
        assert_contains(api_detail(f), "If-Match must be");
    }
    assert_int_equal(api_get(f, "/kv/a", "If-Match", "*", "If-Match", "*"), 400);
    assert_int_equal(api_get(f, "/kv/a", "If-Match", "*", "If-Match", "\"a\""), 400);
    assert_int_equal(api_get(f, "/kv/a", "If-Match", "\"a\"", "If-Match", "*"), 400);
}

static void dates_count_in_whole_seconds_and_only_without_tags(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "1");
    static const char same[] = "Mon, 21 Sep 2026 14:13:20 GMT";
    static const char before[] = "Mon, 21 Sep 2026 14:13:19 GMT";
    assert_int_equal(api_get(f, "/kv/a", "If-Modified-Since", same), 304);
    assert_int_equal(api_get(f, "/kv/a", "If-Modified-Since", before), 200);
    assert_int_equal(api_get(f, "/kv/a", "If-Modified-Since", "yesterday"), 200);
    assert_int_equal(api_get(f, "/kv/a", "If-Modified-Since", same, "If-Modified-Since", same),
                     200);
    assert_int_equal(api_get(f, "/kv/a", "If-Modified-Since", same, "If-None-Match", "\"x\""), 200);
    assert_int_equal(api_get(f, "/kv/a", "If-Unmodified-Since", same), 200);
    assert_int_equal(api_get(f, "/kv/a", "If-Unmodified-Since", before), 412);
    assert_int_equal(api_get(f, "/kv/a", "If-Unmodified-Since", "nonsense"), 200);
    assert_int_equal(api_get(f, "/kv/a", "If-Unmodified-Since", before, "If-Match", etag), 200);
}

#ifndef KVS_TEST_REAL_NODE

static void a_cached_record_is_answered_without_a_worker(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "1");
    assert_int_equal(api_get(f, "/kv/a"), 200);
    assert_int_equal(f->worker_runs, 0);
    assert_int_equal(f->node->disk_reads, 0);
}

static void a_cold_record_is_read_on_a_worker(void **state)
{
    struct api_fixture *f = *state;
    put(f, "/kv/a", "\"cold\"");
    f->node->cold = true;
    assert_int_equal(api_get(f, "/kv/a?raw=1"), 200);
    assert_string_equal(api_body(f), "\"cold\"");
    assert_int_equal(f->worker_runs, 1);
    assert_int_equal(f->node->disk_reads, 1);
    assert_int_equal(api_get(f, "/kv/absent"), 404);
    assert_int_equal(api_get(f, "/kv/a", "If-None-Match", etag), 304);
}

static void a_failing_disk_is_told(void **state)
{
    struct api_fixture *f = *state;
    static const int cases[][2] = {
        {KVS_ERR_IO, 503}, {KVS_ERR_CORRUPT, 500}, {KVS_ERR_NOMEM, 503}, {KVS_ERR_VERSION, 500}};
    put(f, "/kv/a", "1");
    f->node->cold = true;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        f->node->read_err = cases[i][0];
        assert_int_equal(api_get(f, "/kv/a"), cases[i][1]);
        assert_int_equal(api_get(f, "/kv/"), cases[i][1]);
        assert_int_equal(api_get(f, "/kv/_range"), cases[i][1]);
    }
}

// What the log holds since the last call, in a static buffer.
static const char *logged(const char *path)
{
    static char text[4096];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    assert_int_equal(truncate(path, 0), 0);
    return text;
}

static void only_what_an_operator_must_see_is_logged(void **state)
{
    struct api_fixture *f = *state;
    char path[] = "/tmp/kvs-api-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    struct kvs_message message;
    struct kvs_log *log = NULL;
    assert_int_equal(kvs_log_open(path, KVS_LOG_INFO, "n1", &f->clock.base, &log, &message), 0);
    f->options.log = log;
    api_renew(f);
    put(f, "/kv/a", "\"secret\"");
    f->node->cold = true;
    f->node->read_err = KVS_ERR_CORRUPT;
    assert_int_equal(api_get(f, "/kv/a?raw=1"), 500);
    const char *line = logged(path);
    assert_contains(line, "\"request failed\"");
    assert_contains(line, "\"error\":\"CORRUPT\"");
    assert_contains(line, "\"path\":\"/kv/a\"");
    assert_null(strstr(line, "secret"));
    f->node->read_err = KVS_ERR_IO;
    assert_int_equal(api_get(f, "/kv/a"), 503);
    assert_contains(logged(path), "\"error\":\"IO\"");
    f->node->read_err = 0;
    f->node->write_err = KVS_ERR_IO; // the node itself tells of a store that takes no writes
    assert_int_equal(api_put(f, "/kv/a", "2"), 503);
    f->node->write_err = KVS_ERR_NO_SPACE;
    assert_int_equal(api_put(f, "/kv/a", "2"), 507);
    assert_int_equal(api_get(f, "/kv/b"), 404);
    assert_int_equal(api_get(f, "/kv/a?x=1"), 400);
    assert_string_equal(logged(path), "");
    f->options.log = NULL;
    api_renew(f);
    kvs_log_close(log);
    assert_int_equal(unlink(path), 0);
}

#endif

static void a_record_larger_than_the_response_buffer_is_served(void **state)
{
    struct api_fixture *f = *state;
    char value[API_VALUE_MAX + 1];
    memset(value, '7', API_VALUE_MAX);
    value[API_VALUE_MAX] = '\0';
    put(f, "/kv/a", value);
    assert_int_equal(api_get(f, "/kv/a?raw=1"), 200);
    assert_string_equal(api_body(f), value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(the_record_is_uuid_timestamp_and_data),
        api_test(raw_is_the_data_alone),
        api_test(head_answers_as_get_does),
        api_test(an_absent_key_is_404_and_named),
        api_test(a_deleted_or_expired_record_is_404),
        api_test(the_path_is_decoded_once),
        api_test(an_invalid_key_is_400_with_the_reason),
        api_test(bad_parameters_are_400_and_named),
        api_test(if_none_match_of_the_current_tag_is_304),
        api_test(if_match_of_another_tag_is_412),
        api_test(a_malformed_tag_list_is_400),
        api_test(dates_count_in_whole_seconds_and_only_without_tags),
#ifndef KVS_TEST_REAL_NODE
        api_test(a_cached_record_is_answered_without_a_worker),
        api_test(a_cold_record_is_read_on_a_worker),
        api_test(a_failing_disk_is_told),
        api_test(only_what_an_operator_must_see_is_logged),
#endif
        api_test(a_record_larger_than_the_response_buffer_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
