// SPDX-License-Identifier: Apache-2.0
// DELETE of a prefix, dry runs, and /jobs.
#include "api_test.h"

static void a_prefix_is_deleted_by_a_job(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_delete(f, "/kv/a%20b/c/?recursive=1"), 202);
    assert_string_equal(api_string(f, "prefix"), "a b/c/");
    assert_string_equal(api_string(f, "state"), "queued");
    assert_string_equal(api_string(f, "type"), "delete_prefix");
    assert_contains(api_body(f), "\"deleted\":0,\"created_at\":1790000000,\"finished_at\":null}");
    char location[128];
    (void)snprintf(location, sizeof(location), "/jobs/%s", api_string(f, "id"));
    assert_string_equal(api_header(f, "Location"), location);
    f->node->jobs[0].state = KVS_JOB_RUNNING;
    f->node->jobs[0].deleted = 7;
    f->node->jobs[0].err = KVS_ERR_NO_SPACE;
    assert_int_equal(api_get(f, location), 200);
    assert_contains(api_body(f), "\"state\":\"running\",\"deleted\":7,");
    assert_string_equal(api_string(f, "waiting"), "no space left on the device");
    assert_int_equal(api_delete(f, "/kv/z/?recursive=true"), 202);
    assert_int_equal(api_get(f, "/jobs"), 200);
    const char *newest = strstr(api_body(f), "\"z/\"");
    assert_true(newest && newest < strstr(api_body(f), "\"a b/c/\""));
    assert_int_equal(api_delete(f, location), 200);
    assert_string_equal(api_string(f, "state"), "cancelled");
    assert_int_equal(api_delete(f, location), 204);
    assert_int_equal(api_get(f, location), 404);
    assert_int_equal(api_delete(f, location), 404);
}

static void nothing_is_deleted_unasked(void **state)
{
    struct api_fixture *f = *state;
    static const char *const bad[] = {
        "/kv/a/",
        "/kv/a/?recursive=0",
        "/kv/a/?recursive=",
        "/kv/a/?recursive=yes",
        "/kv/a/?dry_run=1",
        "/kv/a/?recursive=1&prefix=b",
        "/kv/a/?recursive=1&dry_run=x",
        "/kv/?recursive=1",
        "/kv//?recursive=1",
        "/kv/a//?recursive=1",
        "/kv/../?recursive=1",
        "/kv/%01/?recursive=1",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++)
        if (api_delete(f, bad[i]) != 400)
            fail_msg("%s: %s", bad[i], api_body(f));
    assert_int_equal(f->node->job_count, 0);
}

static void a_dry_run_counts(void **state)
{
    struct api_fixture *f = *state;
    static const char *const keys[] = {"test", "test/1", "test/2/3", "test2", "tes"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(keys); i++) {
        char target[64];
        (void)snprintf(target, sizeof(target), "/kv/%s", keys[i]);
        assert_int_equal(api_put(f, target, "1"), 201);
    }
    assert_int_equal(api_delete(f, "/kv/test/?recursive=1&dry_run=1"), 200);
    assert_string_equal(api_body(f), "{\"prefix\":\"test/\",\"dry_run\":true,\"records\":2}");
    assert_int_equal(api_delete(f, "/kv/none/?recursive=1&dry_run=1"), 200);
    assert_contains(api_body(f), "\"records\":0");
    assert_int_equal(f->node->job_count, 0);
    f->node->read_err = KVS_ERR_IO;
    assert_int_equal(api_delete(f, "/kv/test/?recursive=1&dry_run=1"), 503);
}

static void a_long_dry_run_takes_turns(void **state)
{
    struct api_fixture *f = *state;
    for (int i = 0; i < 5; i++) {
        char target[64];
        (void)snprintf(target, sizeof(target), "/kv/test/%d", i);
        assert_int_equal(api_put(f, target, "1"), 201);
    }
    f->node->walk = 60000; // keys are behind each that is shown
    assert_int_equal(api_delete(f, "/kv/test/?recursive=1&dry_run=1"), 200);
    assert_contains(api_body(f), "\"records\":5");
    assert_true(f->worker_runs > 1);
}

static void refusals_are_told(void **state)
{
    struct api_fixture *f = *state;
    f->node->write_err = KVS_ERR_READ_ONLY;
    assert_int_equal(api_delete(f, "/kv/a/?recursive=1"), 403);
    f->node->write_err = 0;
    for (int i = 0; i < KVS_JOBS_ACTIVE_MAX; i++)
        assert_int_equal(api_delete(f, "/kv/a/?recursive=1"), 202);
    assert_int_equal(api_delete(f, "/kv/a/?recursive=1"), 503);
    assert_contains(api_detail(f), "cancel one");
    assert_int_equal(api_get(f, "/jobs/x"), 404);
    assert_int_equal(api_get(f, "/jobs/5a0e0000-0000-4000-8000-000000000000"), 404);
    assert_int_equal(api_delete(f, "/jobs/5a0e0000-0000-4000-8000-000000000000"), 404);
    assert_int_equal(api_get(f, "/jobs/"), 404);
    assert_int_equal(api_get(f, "/jobs/a/b"), 404);
    assert_int_equal(api_get(f, "/jobs?x=1"), 400);
    assert_int_equal(api_post(f, "/jobs"), 405);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(a_prefix_is_deleted_by_a_job),
        api_test(nothing_is_deleted_unasked),
        api_test(a_dry_run_counts),
        api_test(a_long_dry_run_takes_turns),
        api_test(refusals_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
