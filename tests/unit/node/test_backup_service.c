// SPDX-License-Identifier: Apache-2.0
// The service: by schedule and on request, one at a time, honest about what went wrong, and soon
// gone when the node closes.
#include "tests/unit/node/backup_test.h"

#include "node/backup_service.h"

struct service_fixture {
    struct backup_fixture *backups;
    struct kvs_backup_service_options options;
    struct kvs_backup_service *service;
};

static void start(struct service_fixture *f)
{
    struct kvs_message message = {{0}};
    if (kvs_backup_service_start(&f->options, &f->service, &message) != 0)
        fail_msg("%s", message.text);
}

static int setup(void **state)
{
    struct service_fixture *f = calloc(1, sizeof(*f));
    void *backups = NULL;
    assert_int_equal(backup_setup(&backups), 0);
    f->backups = backups;
    f->options = (struct kvs_backup_service_options){
        .node = f->backups->node.node,
        .node_id = "test",
        .compression_level = 1,
        .settings = {.enabled = false,
                     .schedule = "CRON_TZ=UTC 0 0 * * *",
                     .folder = f->backups->folder,
                     .retention_days = 7},
        .clock = &f->backups->node.clock.base,
        .random = kvs_random_system(),
        .metrics = f->backups->node.metrics,
    };
    start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct service_fixture *f = *state;
    kvs_backup_service_free(f->service);
    void *backups = f->backups;
    free(f);
    return backup_teardown(&backups);
}

static struct kvs_backup_status status_of(struct service_fixture *f)
{
    struct kvs_backup_status status;
    kvs_backup_service_status(f->service, &status);
    return status;
}

static struct kvs_backup_status wait_for_run(struct service_fixture *f, uint64_t run)
{
    struct kvs_backup_status status;
    do {
        (void)sched_yield();
        status = status_of(f);
    } while (status.last_run < run);
    return status;
}

static struct kvs_backup_status request(struct service_fixture *f)
{
    uint64_t run = 0;
    assert_int_equal(kvs_backup_service_request(f->service, &run), 0);
    return wait_for_run(f, run);
}

static void on_request_it_works_without_a_schedule(void **state)
{
    struct service_fixture *f = *state;
    put(&f->backups->node, "a", "1");
    struct kvs_backup_status status = status_of(f);
    assert_int_equal(status.next_s, 0);
    assert_int_equal(status.last_s, 0);
    assert_int_equal(status.verified_s, 0);
    status = request(f);
    assert_true(status.last_success);
    assert_int_equal(status.run, 0);
    assert_string_equal(status.last_error, "");
    assert_int_equal(status.last_s, TEST_START_MS / 1000);
    assert_int_equal(status.verified_s, TEST_START_MS / 1000);
    struct kvs_backup_info info;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_backup_verify(status.last_path, NULL, &info, &message), 0);
    assert_int_equal(info.content.keys, 1);
    assert_int_equal(info.file_size, status.last_size);
    assert_int_equal(kvs_metrics_counter(f->backups->node.metrics, KVS_METRIC_BACKUPS_GOOD), 1);
}

static void never_two_at_once(void **state)
{
    struct service_fixture *f = *state;
    char key[16];
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof(key), "k/%d", i);
        put(&f->backups->node, key, "1");
    }
    uint64_t run = 0;
    uint64_t other = 0;
    assert_int_equal(kvs_backup_service_request(f->service, &run), 0);
    int refused = 0;
    while (status_of(f).last_run < run) {
        int err = kvs_backup_service_request(f->service, &other);
        if (err == 0)
            break; // the first one had just ended
        assert_int_equal(err, KVS_ERR_CONFLICT);
        refused++;
    }
    assert_true(refused > 0);
    if (other)
        (void)wait_for_run(f, other);
}

static void wake(struct service_fixture *f)
{
    struct kvs_message message;
    assert_int_equal(kvs_backup_service_configure(f->service, &f->options.settings, &message), 0);
}

static void by_schedule_when_the_clock_says_so(void **state)
{
    struct service_fixture *f = *state;
    f->options.settings.enabled = true;
    wake(f);
    int64_t next_s = status_of(f).next_s;
    assert_int_equal(next_s % 86400, 0);
    assert_true(next_s > TEST_START_MS / 1000);
    atomic_store(&f->backups->node.clock.wall_ms, next_s * 1000);
    wake(f);
    struct kvs_backup_status status = wait_for_run(f, 1);
    assert_true(status.last_success);
    assert_int_equal(status.next_s, next_s + 86400);
    f->options.settings.enabled = false;
    wake(f);
    assert_int_equal(status_of(f).next_s, 0);
}

static void a_failure_is_told_and_the_last_good_one_is_remembered(void **state)
{
    struct service_fixture *f = *state;
    struct kvs_backup_status good = request(f);
    char file[100];
    (void)snprintf(file, sizeof(file), "%s/file", f->backups->dir.path);
    write_file(file, KVS_SLICE("x"));
    f->options.settings.folder = file;
    wake(f);
    struct kvs_backup_status status = request(f);
    assert_false(status.last_success);
    assert_non_null(strstr(status.last_error, "is a file"));
    assert_string_equal(status.last_path, good.last_path);
    assert_int_equal(status.verified_s, good.verified_s);
    assert_int_equal(kvs_metrics_counter(f->backups->node.metrics, KVS_METRIC_BACKUPS_FAILED), 1);
    struct kvs_message message;
    f->options.settings.schedule = "never";
    assert_int_equal(kvs_backup_service_configure(f->service, &f->options.settings, &message), 0);
    f->options.settings.enabled = true;
    assert_true(kvs_backup_service_configure(f->service, &f->options.settings, &message) < 0);
    assert_non_null(strstr(message.text, "backup_schedule"));
}

static void a_restart_remembers_and_clears_up(void **state)
{
    struct service_fixture *f = *state;
    struct kvs_backup_status good = request(f);
    kvs_backup_service_free(f->service);
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/.kvs-backup-0000000a.tmp", f->backups->folder);
    write_file(path, KVS_SLICE("half"));
    start(f);
    assert_int_equal(access(path, F_OK), -1);
    struct kvs_backup_status status = status_of(f);
    assert_string_equal(status.last_path, good.last_path);
    assert_int_equal(status.verified_s, good.verified_s);
    assert_true(status.last_success);
    assert_int_equal(status.last_run, 0);
}

static void old_ones_expire_behind_a_new_one(void **state)
{
    struct service_fixture *f = *state;
    (void)request(f);
    atomic_fetch_add(&f->backups->node.clock.wall_ms, INT64_C(8) * 86400 * 1000);
    struct kvs_backup_status status = request(f);
    struct kvs_backup_list list;
    struct kvs_message message;
    KVS_CLEANUP(kvs_freep) char *folder = NULL;
    assert_int_equal(kvs_backup_service_list(f->service, &list, &folder, &message), 0);
    assert_string_equal(folder, f->backups->folder);
    assert_int_equal(list.count, 1);
    assert_non_null(strstr(status.last_path, list.files[0].name));
    kvs_backup_list_done(&list);
}

static void closing_stops_a_running_one_and_leaves_nothing(void **state)
{
    struct service_fixture *f = *state;
    char key[16];
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof(key), "k/%d", i);
        put(&f->backups->node, key, "1");
    }
    uint64_t run = 0;
    assert_int_equal(kvs_backup_service_request(f->service, &run), 0);
    while (status_of(f).done == 0 && status_of(f).last_run < run)
        (void)sched_yield();
    kvs_backup_service_free(f->service);
    f->service = NULL;
    assert_int_equal(count_files(f->backups->folder, "\\.kvs"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(on_request_it_works_without_a_schedule),
        TEST(never_two_at_once),
        TEST(by_schedule_when_the_clock_says_so),
        TEST(a_failure_is_told_and_the_last_good_one_is_remembered),
        TEST(a_restart_remembers_and_clears_up),
        TEST(old_ones_expire_behind_a_new_one),
        TEST(closing_stops_a_running_one_and_leaves_nothing),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
