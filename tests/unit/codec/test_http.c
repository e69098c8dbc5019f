// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/codec/arena_fixture.h"

#include "codec/http.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int query_get(const char *query, const char *name, struct kvs_slice *ret_value,
                     bool *ret_found)
{
    struct kvs_http_request request = {.query = kvs_slice_from_str(query), .has_query = true};
    return kvs_http_query_get(&request, &arena, name, ret_value, ret_found);
}

static void finds_headers_whatever_their_case(void **state)
{
    (void)state;
    const struct kvs_http_header headers[] = {
        {KVS_SLICE("Host"), KVS_SLICE("a")},
        {KVS_SLICE("IF-MATCH"), KVS_SLICE("first")},
        {KVS_SLICE("if-match"), KVS_SLICE("second")},
        {KVS_SLICE("X-Empty"), KVS_SLICE_EMPTY},
    };
    struct kvs_http_request request = {.headers = headers, .header_count = KVS_ARRAY_SIZE(headers)};
    assert_slice_equal(kvs_http_header_get(&request, "If-Match"), "first");
    assert_null(kvs_http_header_get(&request, "If-Matc").data);
    assert_non_null(kvs_http_header_get(&request, "x-empty").data);
    assert_int_equal(kvs_http_header_get(&request, "x-empty").size, 0);
}

static void finds_and_decodes_query_parameters(void **state)
{
    (void)state;
    struct kvs_slice value;
    bool found = false;
    assert_int_equal(query_get("a=1&%74tl=1%20h+=&b&c=", "ttl", &value, &found), 0);
    assert_true(found);
    assert_slice_equal(value, "1 h+=");
    assert_int_equal(query_get("a=1&b&c=", "b", &value, &found), 0);
    assert_true(found);
    assert_int_equal(value.size, 0);
    assert_int_equal(query_get("a=1&b&c=", "c", &value, &found), 0);
    assert_true(found);
    assert_int_equal(value.size, 0);
}

static void tells_an_absent_query_parameter(void **state)
{
    (void)state;
    static const char *const without[] = {"", "a", "ttlx=1", "x=ttl", "&&", "=ttl", "TTL=1"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(without); i++) {
        struct kvs_slice value;
        bool found = true;
        assert_int_equal(query_get(without[i], "ttl", &value, &found), 0);
        assert_false(found);
        assert_null(value.data);
    }
}

static void refuses_a_parameter_given_twice_or_badly_encoded(void **state)
{
    (void)state;
    struct kvs_slice value;
    bool found = false;
    assert_int_equal(query_get("a=1&b=2&a=1", "a", &value, &found), KVS_ERR_INVALID);
    assert_int_equal(query_get("a&%61", "a", &value, &found), KVS_ERR_INVALID);
    assert_int_equal(query_get("a=%2", "a", &value, &found), KVS_ERR_INVALID);
    assert_int_equal(query_get("a=1&b=%zz&%zz=1", "a", &value, &found), 0);
    assert_slice_equal(value, "1");
}

static void reports_a_full_arena(void **state)
{
    (void)state;
    struct kvs_arena none;
    kvs_arena_init(&none, 0);
    struct kvs_http_request request = {.query = KVS_SLICE("a=%20")};
    struct kvs_slice value;
    bool found = false;
    assert_int_equal(kvs_http_query_get(&request, &none, "a", &value, &found), KVS_ERR_NOMEM);
    request.query = KVS_SLICE("%61=1");
    assert_int_equal(kvs_http_query_get(&request, &none, "a", &value, &found), KVS_ERR_NOMEM);
}

static void writes_response_headers_as_lines(void **state)
{
    (void)state;
    struct kvs_http_response response = {.headers = KVS_BUF_INIT(1000)};
    kvs_http_response_header(&response, "ETag", KVS_SLICE("\"x\""));
    kvs_http_response_header(&response, "Allow", KVS_SLICE(""));
    assert_slice_equal(kvs_buf_slice(&response.headers), "ETag: \"x\"\r\nAllow: \r\n");
    kvs_buf_done(&response.headers);
}

static void aborts_rather_than_split_a_response(void **state)
{
    (void)state;
    static const struct kvs_slice unsafe[] = {{"a\r", 2}, {"a\nB: c", 6}, {"a\0", 2}};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(unsafe); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)signal(SIGABRT, SIG_DFL); // cmocka's handler would report in the child
            (void)close(STDERR_FILENO);     // the message is expected: keep it out of the log
            struct kvs_http_response response = {.headers = KVS_BUF_INIT(1000)};
            kvs_http_response_header(&response, "X", unsafe[i]);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

static void names_methods_and_statuses(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET",   "HEAD",   "PUT",     "POST",
                                          "PATCH", "DELETE", "OPTIONS", ""};
    for (int i = KVS_HTTP_GET; i <= KVS_HTTP_OTHER; i++)
        assert_string_equal(kvs_http_method_name((enum kvs_http_method)i), methods[i]);
    assert_string_equal(kvs_http_reason(200), "OK");
    assert_string_equal(kvs_http_reason(413), "Content Too Large");
    assert_string_equal(kvs_http_reason(511), "Network Authentication Required");
    static const int unknown[] = {-1, 0, 299, 306, 418, 512, 1000};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(unknown); i++)
        assert_string_equal(kvs_http_reason(unknown[i]), "");
}

static void every_error_status_has_a_reason(void **state)
{
    (void)state;
    for (int err = -1; err > -KVS_ERR_COUNT; err--)
        assert_string_not_equal(kvs_http_reason(kvs_err_http_status(err)), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_headers_whatever_their_case),
        cmocka_unit_test(finds_and_decodes_query_parameters),
        cmocka_unit_test(tells_an_absent_query_parameter),
        cmocka_unit_test(refuses_a_parameter_given_twice_or_badly_encoded),
        cmocka_unit_test(reports_a_full_arena),
        cmocka_unit_test(writes_response_headers_as_lines),
        cmocka_unit_test(aborts_rather_than_split_a_response),
        cmocka_unit_test(names_methods_and_statuses),
        cmocka_unit_test(every_error_status_has_a_reason),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
