// SPDX-License-Identifier: Apache-2.0
// Jobs of a real node: what they delete and what not, restarts, cancelling, limits.
#include "tests/unit/node/fixture.h"

#include "node/jobs.h"

#include <stdio.h>

static struct kvs_job start_job(struct fixture *f, const char *prefix)
{
    struct kvs_job job;
    assert_int_equal(
        kvs_node_job_start(f->node, kvs_auth_open_grant(), kvs_slice_from_str(prefix), &job), 0);
    return job;
}

static struct kvs_job get_job(struct fixture *f, const struct kvs_uuid *id)
{
    struct kvs_job job;
    assert_int_equal(kvs_node_job_get(f->node, kvs_auth_open_grant(), id, &job), 0);
    return job;
}

static struct kvs_job wait_for_end(struct fixture *f, const struct kvs_uuid *id)
{
    struct kvs_job job = get_job(f, id);
    while (job.finished_ms == 0) {
        (void)sched_yield();
        job = get_job(f, id);
    }
    return job;
}

static void put_many(struct fixture *f, const char *prefix, int count)
{
    for (int i = 0; i < count; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "%s%04d", prefix, i);
        put(f, key, "1");
    }
}

static bool count_one(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                      struct kvs_slice json)
{
    (void)key;
    (void)version;
    (void)json;
    ++*(int *)ctx;
    return true;
}

static int count_keys(struct fixture *f, const char *prefix)
{
    int count = 0;
    const struct kvs_node_scan scan = {
        .prefix = kvs_slice_from_str(prefix), .visit = count_one, .ctx = &count};
    assert_int_equal(kvs_node_scan(f->node, kvs_auth_open_grant(), &scan, KVS_READ_DISK), 0);
    return count;
}

static void a_job_deletes_whole_segments_alone(void **state)
{
    struct fixture *f = *state;
    put_many(f, "test/", 1000);
    put_many(f, "test/deep/er/", 10);
    put(f, "test", "1");
    put(f, "test2", "1");
    put(f, "tesu", "1");
    put(f, "tes/t", "1");
    struct kvs_job job = start_job(f, "test/");
    assert_int_equal(job.state, KVS_JOB_QUEUED);
    job = wait_for_end(f, &job.id);
    assert_int_equal(job.state, KVS_JOB_DONE);
    assert_int_equal(job.deleted, 1010);
    assert_int_equal(count_keys(f, "test/"), 0);
    assert_int_equal(count_keys(f, ""), 4);
    assert_history(f, "test/0000", "x 1"); // deletions like any other
}

static void what_is_written_later_stays(void **state)
{
    struct fixture *f = *state;
    put_many(f, "a/", 300);
    for (int i = 0; i < 50; i++)
        put(f, "a/often", "1"); // its timestamp runs ahead of the clock
    struct kvs_job job = start_job(f, "a/");
    put(f, "a/0299", "2"); // behind the start, whether the job has been there or not
    put(f, "a/new", "1");
    job = wait_for_end(f, &job.id);
    assert_value(f, "a/0299", "2");
    assert_value(f, "a/new", "1");
    assert_int_equal(count_keys(f, "a/"), 2);
}

static void a_job_goes_on_after_a_restart(void **state)
{
    struct fixture *f = *state;
    put_many(f, "a/", 3000);
    struct kvs_job job = start_job(f, "a/");
    for (int i = 0; i < 5; i++)
        fixture_restart(f); // each in the middle of something
    job = wait_for_end(f, &job.id);
    assert_int_equal(job.state, KVS_JOB_DONE);
    assert_int_equal(count_keys(f, "a/"), 0);
    assert_true(job.deleted >= 2872 && job.deleted <= 3128); // a batch, at most, for each stop
    fixture_restart(f);
    assert_int_equal(get_job(f, &job.id).state, KVS_JOB_DONE);
    assert_int_equal(get_job(f, &job.id).deleted, job.deleted);
}

static void a_job_can_be_cancelled_and_forgotten(void **state)
{
    struct fixture *f = *state;
    put_many(f, "a/", 3000);
    struct kvs_job first = start_job(f, "a/");
    struct kvs_job second = start_job(f, "none/");
    struct kvs_job shown;
    bool forgotten = true;
    assert_int_equal(
        kvs_node_job_cancel(f->node, kvs_auth_open_grant(), &first.id, &shown, &forgotten), 0);
    assert_false(forgotten);
    assert_int_equal(shown.state, KVS_JOB_CANCELLED);
    assert_int_equal(wait_for_end(f, &second.id).state,
                     KVS_JOB_DONE); // and so the first is at rest
    int left = count_keys(f, "a/");
    assert_true(left > 0);
    fixture_restart(f);
    assert_int_equal(get_job(f, &first.id).state, KVS_JOB_CANCELLED);
    assert_int_equal(count_keys(f, "a/"), left);
    assert_int_equal(
        kvs_node_job_cancel(f->node, kvs_auth_open_grant(), &first.id, &shown, &forgotten), 0);
    assert_true(forgotten);
    assert_int_equal(kvs_node_job_get(f->node, kvs_auth_open_grant(), &first.id, &shown),
                     KVS_ERR_NOT_FOUND);
    fixture_restart(f);
    assert_int_equal(kvs_node_job_get(f->node, kvs_auth_open_grant(), &first.id, &shown),
                     KVS_ERR_NOT_FOUND);
}

static void old_jobs_are_forgotten(void **state)
{
    struct fixture *f = *state;
    struct kvs_job *jobs = calloc(KVS_JOBS_KEPT_MAX, sizeof(*jobs));
    struct kvs_job last = {0};
    for (int i = 0; i < KVS_JOBS_KEPT_MAX + 20; i++) {
        atomic_fetch_add(&f->clock.wall_ms, 1);
        last = start_job(f, "a/");
        (void)wait_for_end(f, &last.id);
    }
    size_t count = kvs_node_job_list(f->node, kvs_auth_open_grant(), jobs);
    assert_int_equal(count, KVS_JOBS_KEPT_MAX);
    assert_int_equal(kvs_uuid_cmp(&jobs[0].id, &last.id), 0); // newest first
    fixture_restart(f);
    assert_int_equal(kvs_node_job_list(f->node, kvs_auth_open_grant(), jobs), KVS_JOBS_KEPT_MAX);
    assert_int_equal(kvs_uuid_cmp(&jobs[0].id, &last.id), 0);
    atomic_fetch_add(&f->clock.wall_ms, (int64_t)KVS_JOBS_KEPT_MS + 1000);
    last = start_job(f, "a/");
    assert_int_equal(kvs_node_job_list(f->node, kvs_auth_open_grant(), jobs), 1);
    (void)wait_for_end(f, &last.id);
    free(jobs);
}

static void a_read_only_node_starts_none_and_pauses_its_own(void **state)
{
    struct fixture *f = *state;
    put_many(f, "a/", 3000);
    struct kvs_job job = start_job(f, "a/");
    f->options.read_only = true;
    fixture_restart(f);
    struct kvs_job other;
    assert_int_equal(kvs_node_job_start(f->node, kvs_auth_open_grant(), KVS_SLICE("b/"), &other),
                     KVS_ERR_READ_ONLY);
    int left = count_keys(f, "a/");
    while (left > 0 && get_job(f, &job.id).err == 0)
        (void)sched_yield();
    assert_int_equal(count_keys(f, "a/"), left);
    f->options.read_only = false;
    fixture_restart(f);
    assert_int_equal(wait_for_end(f, &job.id).state, KVS_JOB_DONE);
    assert_int_equal(count_keys(f, "a/"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_deletes_whole_segments_alone, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(what_is_written_later_stays, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_job_goes_on_after_a_restart, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_job_can_be_cancelled_and_forgotten, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(old_jobs_are_forgotten, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_read_only_node_starts_none_and_pauses_its_own,
                                        fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
