// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/access_log.h"

// The line that `access` makes, "" when none.
static const char *line_over(const struct kvs_http_tls *tls, enum kvs_access_log which, int status,
                             int64_t duration_ms)
{
    static char text[2000];
    char path[] = "/tmp/kvs-test-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    KVS_CLEANUP(kvs_log_closep) struct kvs_log *log = NULL;
    assert_int_equal(kvs_log_open(path, KVS_LOG_INFO, "n1", kvs_clock_system(), &log, NULL), 0);
    const struct kvs_http_access access = {
        .method = KVS_SLICE("GET"),
        .path = KVS_SLICE("/kv/a"),
        .client_address = KVS_SLICE("192.0.2.7"),
        .request_id = "r-1",
        .tls = tls,
        .status = status,
        .duration_ns = duration_ms * 1000000,
        .request_body_size = 3,
        .response_body_size = 5,
    };
    kvs_access_log(log, which, &access);
    ssize_t size = read(fd, text, sizeof(text) - 1);
    assert_true(size >= 0);
    text[size] = 0;
    (void)close(fd);
    (void)unlink(path);
    return text;
}

static const char *line_of(enum kvs_access_log which, int status, int64_t duration_ms)
{
    static const struct kvs_http_tls plain;
    return line_over(&plain, which, status, duration_ms);
}

static void errors_are_the_failed_and_the_slow(void **state)
{
    (void)state;
    assert_string_equal(line_of(KVS_ACCESS_LOG_ERRORS, 200, 5), "");
    assert_string_equal(line_of(KVS_ACCESS_LOG_ERRORS, 304, 999), "");
    assert_string_not_equal(line_of(KVS_ACCESS_LOG_ERRORS, 400, 5), "");
    assert_string_not_equal(line_of(KVS_ACCESS_LOG_ERRORS, 503, 5), "");
    assert_string_not_equal(line_of(KVS_ACCESS_LOG_ERRORS, 200, 1000), "");
}

static void all_and_off_mean_what_they_say(void **state)
{
    (void)state;
    assert_string_not_equal(line_of(KVS_ACCESS_LOG_ALL, 200, 5), "");
    assert_string_equal(line_of(KVS_ACCESS_LOG_OFF, 500, 5000), "");
}

static void tells_who_asked_for_what_and_how_it_went(void **state)
{
    (void)state;
    const char *line = line_of(KVS_ACCESS_LOG_ALL, 404, 5);
    static const char *const parts[] = {"\"level\":\"info\"",       "\"method\":\"GET\"",
                                        "\"path\":\"/kv/a\"",       "\"status\":404",
                                        "\"client\":\"192.0.2.7\"", "\"duration_ms\":5,",
                                        "\"request_id\":\"r-1\"",   "\"slow\":false"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(parts); i++) {
        if (!strstr(line, parts[i]))
            fail_msg("%s is not in %s", parts[i], line);
    }
    assert_non_null(strstr(line_of(KVS_ACCESS_LOG_ALL, 500, 5), "\"level\":\"warn\""));
    line = line_of(KVS_ACCESS_LOG_ALL, 200, 1500);
    assert_non_null(strstr(line, "\"level\":\"warn\""));
    assert_non_null(strstr(line, "\"slow\":true"));
}

static void tells_of_client_certificates_where_they_are_asked_for(void **state)
{
    (void)state;
    struct kvs_http_tls tls = {.on = true};
    assert_null(strstr(line_over(&tls, KVS_ACCESS_LOG_ALL, 200, 5), "client_cert"));
    tls.client_cert_asked = true;
    tls.client_cert_problem = "none was presented";
    assert_non_null(strstr(line_over(&tls, KVS_ACCESS_LOG_ALL, 200, 5),
                           "\"client_cert\":\"none was presented\""));
    tls.client_cert_verified = true;
    tls.client_cert_problem = NULL;
    assert_non_null(
        strstr(line_over(&tls, KVS_ACCESS_LOG_ALL, 200, 5), "\"client_cert\":\"verified\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_the_failed_and_the_slow),
        cmocka_unit_test(all_and_off_mean_what_they_say),
        cmocka_unit_test(tells_who_asked_for_what_and_how_it_went),
        cmocka_unit_test(tells_of_client_certificates_where_they_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
