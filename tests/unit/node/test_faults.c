// SPDX-License-Identifier: Apache-2.0
// What a node does when its store fails: nothing is acknowledged that is not durable, reads go on,
// and it recovers by itself when the store does.
#include "tests/unit/node/faulty.h"
#include "tests/unit/node/fixture.h"

#include "codec/index.h"
#include "node/backup.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>

static int setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    fixture_init(f);
    f->options.wrap_store = wrap;
    fixture_open(f);
    *state = f;
    return 0;
}

static int try_put(struct fixture *f, const char *key, const char *json)
{
    struct kvs_write write = make_write(KVS_WRITE_PUT, key, json);
    return kvs_node_write_wait(f->node, &write);
}

static bool is_writable(struct fixture *f)
{
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(f->node, &status), 0);
    return status.writable;
}

// The housekeeping thread resumes too, so the test asks until one of both has.
static void wait_until_writable(struct fixture *f)
{
    int err = 0;
    while (!is_writable(f) && err != KVS_ERR_SHUTDOWN)
        err = kvs_node_housekeep(f->node); // fails as long as the store does
}

static void fails_and_recovers(struct fixture *f, enum kvs_fault_point point, int err)
{
    put(f, "a", "1");
    kvs_fault_set(faulty, KVS_FAULT_RESUME, 0, KVS_FAULT_FOREVER, err);
    kvs_fault_set(faulty, point, 0, 1, err);
    assert_int_equal(try_put(f, "a", "2"), err);
    assert_false(is_writable(f));
    assert_int_equal(try_put(f, "b", "1"), err); // no write is accepted any more …
    assert_int_equal(delete_key(f, "a"), err);
    assert_value(f, "a", "1"); // … and reads go on, without what was not acknowledged
    assert_int_equal(get_error(f, "b"), KVS_ERR_NOT_FOUND);
    kvs_fault_clear(faulty);
    wait_until_writable(f);
    put(f, "b", "3");
    assert_value(f, "b", "3");
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_COMMIT_FAILURES), 1);
}

static void a_failed_write_is_refused_until_the_store_resumes(void **state)
{
    struct fixture *f = *state;
    fails_and_recovers(f, KVS_FAULT_WRITE, KVS_ERR_NO_SPACE);
    assert_value(f, "a", "1");
    fixture_restart(f);
    assert_value(f, "a", "1");
    assert_value(f, "b", "3");
}

static void after_a_failed_sync_the_state_is_what_the_store_says(void **state)
{
    struct fixture *f = *state;
    fails_and_recovers(f, KVS_FAULT_SYNC, KVS_ERR_IO);
    assert_value(f, "a", "2"); // it was there after all; nobody was told so before the resume
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(f->node, &status), 0);
    assert_int_equal(status.log_seq, 3); // the unacknowledged write kept its number
}

static void a_write_that_cannot_read_what_it_replaces_fails_alone(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    fixture_restart(f); // nothing cached
    kvs_fault_set(faulty, KVS_FAULT_ITER_MOVE, 0, 1, KVS_ERR_CORRUPT);
    assert_int_equal(try_put(f, "a", "2"), KVS_ERR_CORRUPT);
    assert_true(is_writable(f));
    assert_int_equal(try_put(f, "b", "1"), 0);
    assert_value(f, "a", "1");
}

static void a_read_error_is_an_error_not_an_absence(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    fixture_restart(f);
    kvs_fault_set(faulty, KVS_FAULT_ITER_MOVE, 0, 1, KVS_ERR_IO);
    assert_int_equal(get_error(f, "a"), KVS_ERR_IO);
    kvs_fault_set(faulty, KVS_FAULT_ITER_NEW, 0, 1, KVS_ERR_NOMEM);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOMEM);
    assert_value(f, "a", "1");
}

static void a_cached_read_says_again_instead_of_waiting(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    fixture_restart(f);
    kvs_fault_set(faulty, KVS_FAULT_ITER_MOVE, 0, KVS_FAULT_FOREVER, KVS_ERR_AGAIN);
    struct kvs_record *record = NULL;
    assert_int_equal(
        kvs_node_get(f->node, kvs_auth_open_grant(), KVS_SLICE("a"), KVS_READ_CACHED, &record),
        KVS_ERR_AGAIN);
    assert_value(f, "a", "1"); // from the disk, and now it is cached
    assert_int_equal(
        kvs_node_get(f->node, kvs_auth_open_grant(), KVS_SLICE("a"), KVS_READ_CACHED, &record), 0);
    kvs_record_unref(record);
}

static void housekeeping_that_fails_harms_nothing(void **state)
{
    struct fixture *f = *state;
    struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "1");
    write.ttl_ms = 1000;
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    atomic_fetch_add(&f->clock.wall_ms, 1000);
    kvs_fault_set(faulty, KVS_FAULT_WRITE, 0, 1, KVS_ERR_NO_SPACE);
    assert_int_equal(kvs_node_housekeep(f->node), KVS_ERR_NO_SPACE);
    wait_until_writable(f);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    assert_history(f, "a", "");
}

static void a_write_behind_a_resume_counts_on_from_what_was_found(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    kvs_fault_set(faulty, KVS_FAULT_RESUME, 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
    kvs_fault_set(faulty, KVS_FAULT_SYNC, 0, 1, KVS_ERR_IO);
    assert_int_equal(try_put(f, "a", "2"), KVS_ERR_IO); // and yet it is there, as change 2
    struct stall stall;
    struct kvs_write refused = make_write(KVS_WRITE_PUT, "b", "1");
    struct kvs_write resume = {.op = KVS_WRITE_RESUME};
    struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "3");
    stall_with(f, &stall, &refused);
    kvs_fault_clear(faulty);
    submit(f, &stall, &resume);
    submit(f, &stall, &write);
    let_go(&stall, 3);
    assert_int_equal(refused.err, KVS_ERR_IO);
    assert_int_equal(resume.err, 0);
    assert_int_equal(write.err, 0);
    assert_int_equal(write.version.writer_seq, 3);
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(f->node, &status), 0);
    assert_int_equal(status.log_seq, 3);
    assert_history(f, "a", "3 2 1");
}

static void a_purge_that_fails_halfway_uncovers_nothing(void **state)
{
    struct fixture *f = *state;
    for (int64_t skip = 0; skip < 12; skip++) {
        put(f, "a", "1");
        put(f, "a", "2");
        assert_int_equal(delete_key(f, "a"), 0);
        atomic_fetch_add(&f->clock.wall_ms, 2 * TEST_RETENTION_MS);
        kvs_fault_set(faulty, KVS_FAULT_ITER_MOVE, skip, 1, KVS_ERR_IO);
        int err = kvs_node_housekeep(f->node);
        kvs_fault_clear(faulty);
        assert_true(err == 0 || err == KVS_ERR_IO);
        fixture_restart(f); // nothing cached
        assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
        assert_int_equal(kvs_node_housekeep(f->node), 0);
        assert_history(f, "a", "");
    }
}

// More than one batch of keys whose records are damaged, due before a sound one.
static void damaged_records_do_not_keep_others_from_being_reclaimed(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 300 };
    struct kvs_store_batch *batch = kvs_store_batch_new(faulty);
    struct kvs_buf entry = KVS_BUF_INIT(4096);
    for (int i = 0; i < COUNT; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "damaged%d", i);
        const struct kvs_version version = {.timestamp = 1};
        kvs_record_encode_key(&entry, kvs_slice_from_str(key), &version);
        kvs_store_batch_put(batch, KVS_FAMILY_DATA, kvs_buf_slice(&entry), KVS_SLICE("damaged"));
        kvs_buf_clear(&entry);
        kvs_due_key_encode(&entry, 1, kvs_slice_from_str(key));
        kvs_store_batch_put(batch, KVS_FAMILY_DUE, kvs_buf_slice(&entry), KVS_SLICE_EMPTY);
        kvs_buf_clear(&entry);
    }
    kvs_store_batch_put(batch, KVS_FAMILY_DUE, KVS_SLICE("short"), KVS_SLICE_EMPTY);
    assert_int_equal(kvs_store_write(faulty, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
    kvs_buf_done(&entry);
    struct kvs_write write = make_write(KVS_WRITE_PUT, "sound", "1");
    write.ttl_ms = 1000;
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    atomic_fetch_add(&f->clock.wall_ms, 1001);
    assert_int_equal(kvs_node_housekeep(f->node), KVS_ERR_CORRUPT);
    assert_history(f, "sound", "");
    assert_true(is_writable(f));
    uint64_t reported = kvs_metrics_counter(f->metrics, KVS_METRIC_CORRUPT_RECORDS);
    assert_int_equal(kvs_node_housekeep(f->node), 0); // once an hour, not with every round
    assert_in_range(kvs_metrics_counter(f->metrics, KVS_METRIC_CORRUPT_RECORDS) - reported, 0, 1);
    atomic_fetch_add(&f->clock.wall_ms, 3600 * 1000);
    assert_int_equal(kvs_node_housekeep(f->node), KVS_ERR_CORRUPT);
}

// An open one would keep the store from being resumed, for ever.
static void a_view_whose_group_fails_is_not_open(void **state)
{
    struct fixture *f = *state;
    struct kvs_backup_view view = {0};
    struct kvs_write writes[] = {{.op = KVS_WRITE_VIEW, .view = &view},
                                 make_write(KVS_WRITE_PUT, "a", "1")};
    kvs_fault_set(faulty, KVS_FAULT_WRITE, 0, 1, KVS_ERR_IO);
    kvs_node_write_group_wait(f->node, writes, KVS_ARRAY_SIZE(writes));
    assert_int_equal(writes[0].err, KVS_ERR_IO);
    assert_int_equal(writes[1].err, KVS_ERR_IO);
    for (size_t i = 0; i < KVS_FAMILY_COUNT; i++)
        assert_null(view.iters[i]);
    kvs_fault_clear(faulty);
    wait_until_writable(f);
}

// Runs beside kvs_node_close, which waits for the commit thread that this one holds up.
static void *let_go_when_housekeeping_has_ended(void *opaque)
{
    struct stall *stall = opaque;
    const char *path = "/proc/self/task";
    for (int threads = INT_MAX; threads > 0;) {
        threads = 0;
        DIR *tasks = opendir(path);
        assert_non_null(tasks);
        for (struct dirent *task = readdir(tasks); task; task = readdir(tasks)) {
            char name[300];
            char comm[32] = "";
            (void)snprintf(name, sizeof(name), "%s/%s/comm", path, task->d_name);
            FILE *file = fopen(name, "r");
            if (file && fgets(comm, sizeof(comm), file))
                threads += strcmp(comm, "kvs-housekeep\n") == 0;
            if (file)
                (void)fclose(file);
        }
        (void)closedir(tasks);
    }
    atomic_store(&stall->let_go, true);
    return NULL;
}

static void closing_answers_writes_that_fail(void **state)
{
    struct fixture *f = *state;
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "a", "1");
    struct kvs_write second = make_write(KVS_WRITE_PUT, "a", "2");
    stall_with(f, &stall, &first);
    submit(f, &stall, &second);
    kvs_fault_set(faulty, KVS_FAULT_WRITE, 0, 1, KVS_ERR_IO);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, let_go_when_housekeeping_has_ended, &stall), 0);
    kvs_node_close(f->node);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(first.err, 0);
    assert_int_equal(second.err, KVS_ERR_IO);
    fixture_open(f);
    assert_value(f, "a", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
        TEST(a_failed_write_is_refused_until_the_store_resumes),
        TEST(after_a_failed_sync_the_state_is_what_the_store_says),
        TEST(a_write_that_cannot_read_what_it_replaces_fails_alone),
        TEST(a_read_error_is_an_error_not_an_absence),
        TEST(a_cached_read_says_again_instead_of_waiting),
        TEST(housekeeping_that_fails_harms_nothing),
        TEST(a_write_behind_a_resume_counts_on_from_what_was_found),
        TEST(a_purge_that_fails_halfway_uncovers_nothing),
        TEST(damaged_records_do_not_keep_others_from_being_reclaimed),
        TEST(a_view_whose_group_fails_is_not_open),
        TEST(closing_answers_writes_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
