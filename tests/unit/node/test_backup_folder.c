// SPDX-License-Identifier: Apache-2.0
// A folder of backups: names, permissions, what is listed, what expires, what is cleared away, and
// that a backup which fails leaves nothing. And when the schedule says that one is due.
#include "tests/unit/node/backup_test.h"

#include "base/civil.h"
#include "node/backup_plan.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>

enum { DAY_S = 24 * 60 * 60 };

static int64_t now_s(struct backup_fixture *f)
{
    return atomic_load(&f->node.clock.wall_ms) / 1000;
}

static void set_now_s(struct backup_fixture *f, int64_t unix_s)
{
    atomic_store(&f->node.clock.wall_ms, unix_s * 1000);
}

static const char *name_of(const struct backup_fixture *f, const char *path)
{
    return path + strlen(f->folder) + 1;
}

static void names_are_utc_and_private_and_never_taken_twice(void **state)
{
    struct backup_fixture *f = *state;
    struct kvs_backup_info info;
    set_now_s(f, 1790000047);
    KVS_CLEANUP(kvs_freep) char *first = make_backup(f, &info);
    KVS_CLEANUP(kvs_freep) char *second = make_backup(f, &info);
    assert_string_equal(name_of(f, first), "kvs-backup-2026-09-21T141407Z.zst");
    assert_string_equal(name_of(f, second), "kvs-backup-2026-09-21T141408Z.zst");
    struct stat stat_of;
    assert_int_equal(stat(first, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0600);
    assert_int_equal(stat(f->folder, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0700);
    assert_int_equal(count_files(f->folder, ""), 2); // no scratch, no temporary file
}

static void the_list_shows_what_is_there(void **state)
{
    struct backup_fixture *f = *state;
    struct kvs_backup_list list;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_backup_list(f->folder, &list, &message), 0); // no folder yet
    assert_int_equal(list.count, 0);
    put(&f->node, "a", "1");
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *old = make_backup(f, &info);
    set_now_s(f, now_s(f) + DAY_S);
    KVS_CLEANUP(kvs_freep) char *new = make_backup(f, &info);
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/kvs-backup-2026-09-21T141407Z.zst", f->folder);
    write_file(path, KVS_SLICE("damaged"));
    (void)snprintf(path, sizeof(path), "%s/kvs-backup-2026-19-21T141407Z.zst", f->folder);
    write_file(path, KVS_SLICE("no time of ours"));
    (void)snprintf(path, sizeof(path), "%s/other.zst", f->folder);
    write_file(path, KVS_SLICE("another's"));
    assert_int_equal(kvs_backup_list(f->folder, &list, &message), 0);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.files[0].err, KVS_ERR_CORRUPT);
    assert_string_equal(list.files[1].name, name_of(f, new));
    assert_string_equal(list.files[2].name, name_of(f, old));
    assert_int_equal(list.files[1].err, 0);
    assert_int_equal(list.files[1].info.content.keys, 1);
    assert_int_equal(list.files[1].info.file_size, list.files[1].size);
    assert_string_equal(list.files[1].info.node_id, "test");
    kvs_backup_list_done(&list);
}

static size_t expire(struct backup_fixture *f, int64_t days, const char *good)
{
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(f->node.node, &status), 0);
    size_t deleted = 0;
    struct kvs_message message = {{0}};
    if (kvs_backup_expire(f->folder, &status.self.node, now_s(f), days, good, NULL, &deleted,
                          &message) != 0)
        fail_msg("%s", message.text);
    return deleted;
}

static void damage(const char *path)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf file = KVS_BUF_INIT(1 << 20);
    read_whole(path, &file);
    file.data[file.size / 2] ^= 1; // in the content: the manifest is as it was
    write_file(path, kvs_buf_slice(&file));
}

static void old_backups_go_but_never_the_last_good_one(void **state)
{
    struct backup_fixture *f = *state;
    char *paths[4];
    struct kvs_backup_info info;
    for (int i = 0; i < 4; i++) {
        paths[i] = make_backup(f, &info);
        set_now_s(f, now_s(f) + DAY_S);
    }
    assert_int_equal(expire(f, 7, NULL), 0);
    assert_int_equal(expire(f, 3, NULL), 1); // four days old; the next is three, no more
    assert_int_equal(access(paths[0], F_OK), -1);
    assert_int_equal(access(paths[1], F_OK), 0);
    set_now_s(f, now_s(f) + 30 * DAY_S);
    damage(paths[3]); // so the newest is not the last good one
    assert_int_equal(expire(f, 3, NULL), 2);
    assert_int_equal(access(paths[1], F_OK), -1);
    assert_int_equal(access(paths[2], F_OK), 0);
    assert_int_equal(expire(f, 3, NULL), 0); // it stays, however old
    damage(paths[2]);
    assert_int_equal(expire(f, 3, NULL), 0);
    char *fresh = make_backup(f, &info);
    assert_int_equal(expire(f, 3, name_of(f, fresh)), 1);
    assert_int_equal(access(fresh, F_OK), 0);
    free(fresh);
    for (int i = 0; i < 4; i++)
        free(paths[i]);
}

static void backups_of_other_nodes_and_other_files_stay(void **state)
{
    struct backup_fixture *f = *state;
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *mine = make_backup(f, &info);
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/mine.zst", f->folder);
    write_file(path, KVS_SLICE("x"));
    const struct kvs_uuid stranger = {{1}};
    size_t deleted = 0;
    struct kvs_message message;
    set_now_s(f, now_s(f) + 100 * DAY_S);
    assert_int_equal(
        kvs_backup_expire(f->folder, &stranger, now_s(f), 1, NULL, NULL, &deleted, &message), 0);
    assert_int_equal(deleted, 0);
    KVS_CLEANUP(kvs_freep) char *newer = make_backup(f, &info);
    assert_int_equal(expire(f, 1, name_of(f, newer)), 1);
    assert_int_equal(access(mine, F_OK), -1);
    assert_int_equal(access(path, F_OK), 0);
}

static void what_a_crash_left_goes_and_what_is_being_written_stays(void **state)
{
    struct backup_fixture *f = *state;
    struct kvs_backup_info info;
    free(make_backup(f, &info));
    char path[200];
    (void)snprintf(path, sizeof(path), "%s/.kvs-backup-00000001.tmp", f->folder);
    write_file(path, KVS_SLICE("half"));
    (void)snprintf(path, sizeof(path), "%s/.kvs-backup-00000001.tmp.scratch", f->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/.kvs-backup-00000001.tmp.scratch/x", f->folder);
    write_file(path, KVS_SLICE("half"));
    (void)snprintf(path, sizeof(path), "%s/.kvs-backup-00000002.tmp.scratch", f->folder);
    assert_int_equal(mkdir(path, 0700), 0); // its file is gone
    (void)snprintf(path, sizeof(path), "%s/.kvs-backup-00000003.tmp.scratch", f->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/.kvs-backup-00000003.tmp", f->folder);
    write_file(path, KVS_SLICE("growing"));
    int fd = open(path, O_RDONLY);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    kvs_backup_clean(f->folder);
    kvs_backup_clean(f->folder); // whatever order the folder has
    assert_int_equal(count_files(f->folder, "\\.kvs-backup-00000003"), 2);
    assert_int_equal(count_files(f->folder, "\\.kvs"), 2);
    assert_int_equal(count_files(f->folder, "kvs-backup"), 1);
    (void)close(fd);
    kvs_backup_clean(f->folder);
    kvs_backup_clean(f->folder);
    assert_int_equal(count_files(f->folder, "\\.kvs"), 0);
}

static int try_backup(struct backup_fixture *f, struct kvs_message *ret_message)
{
    const struct kvs_backup_options options = backup_options(f);
    struct kvs_backup_view view = view_of(f);
    struct kvs_backup_info info;
    char *path = NULL;
    int err = kvs_backup_create(&options, &view, &info, &path, ret_message);
    assert_null(path);
    return err;
}

// A limit on the size of files is as a disk that takes no more.
static void a_disk_that_takes_no_more_leaves_nothing(void **state)
{
    struct backup_fixture *f = *state;
    char value[40000];
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 1);
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (char)('1' + kvs_random_below(&random.base, 9));
    value[sizeof(value) - 1] = '\0';
    put(&f->node, "a", value);
    const struct kvs_backup_options options = backup_options(f);
    struct kvs_backup_view view = view_of(f);
    struct rlimit unlimited;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    const struct rlimit limit = {8192, unlimited.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct kvs_backup_info info;
    struct kvs_message message = {{0}};
    char *path = NULL;
    int err = kvs_backup_create(&options, &view, &info, &path, &message);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    assert_true(err < 0);
    assert_non_null(strstr(message.text, "write "));
    assert_int_equal(count_files(f->folder, ""), 0);
    free(make_backup(f, &info));
}

static void a_folder_that_cannot_be_is_named(void **state)
{
    struct backup_fixture *f = *state;
    char file[100];
    (void)snprintf(file, sizeof(file), "%s/a", f->dir.path);
    write_file(file, KVS_SLICE("x"));
    struct kvs_message message = {{0}};
    assert_true(try_backup(f, &message) < 0);
    assert_non_null(strstr(message.text, f->folder));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    write_file(f->folder, KVS_SLICE("x"));
    assert_int_equal(try_backup(f, &message), KVS_ERR_CONFLICT);
    assert_non_null(strstr(message.text, "is a file"));
}

static bool stop_at(void *ctx, enum kvs_backup_phase phase, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    return phase != *(enum kvs_backup_phase *)ctx;
}

static void a_stopped_backup_leaves_nothing(void **state)
{
    struct backup_fixture *f = *state;
    char key[16];
    for (int i = 0; i < 600; i++) {
        (void)snprintf(key, sizeof(key), "k/%d", i);
        put(&f->node, key, "1");
    }
    const enum kvs_backup_phase phases[] = {KVS_BACKUP_WRITING, KVS_BACKUP_READING,
                                            KVS_BACKUP_CHECKING};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(phases); i++) {
        enum kvs_backup_phase phase = phases[i];
        const struct kvs_backup_watch watch = {stop_at, &phase};
        struct kvs_backup_options options = backup_options(f);
        options.watch = &watch;
        struct kvs_backup_view view = view_of(f);
        struct kvs_backup_info info;
        struct kvs_message message = {{0}};
        char *path = NULL;
        assert_int_equal(kvs_backup_create(&options, &view, &info, &path, &message),
                         KVS_ERR_SHUTDOWN);
        assert_int_equal(count_files(f->folder, ""), 0);
    }
}

static void a_damaged_record_fails_the_backup_and_is_named(void **state)
{
    struct backup_fixture *f = *state;
    put(&f->node, "good", "1");
    put(&f->node, "x/bad", "1");
    kvs_node_close(f->node.node);
    f->node.node = NULL;
    struct kvs_store *store = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_backup_open_store(f->node.dir.path, &store, &message), 0);
    struct kvs_store_batch *batch = kvs_store_batch_new(store);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(200);
    const struct kvs_version version = {.timestamp = TEST_START_MS + 10};
    kvs_record_encode_key(&key, KVS_SLICE("x/bad"), &version);
    kvs_store_batch_put(batch, KVS_FAMILY_DATA, kvs_buf_slice(&key), KVS_SLICE("no record"));
    assert_int_equal(kvs_store_write(store, batch, KVS_DURABILITY_SYNC), 0);
    kvs_store_batch_free(batch);
    kvs_store_close(store);
    fixture_open(&f->node);
    assert_int_equal(try_backup(f, &message), KVS_ERR_CORRUPT);
    assert_non_null(strstr(message.text, "x/bad"));
    assert_int_equal(count_files(f->folder, ""), 0);
}

// ---- The schedule

// Looks every `step_s` from first_s to end_s and counts how often a backup was due.
static int count_due(struct kvs_backup_plan *plan, int64_t first_s, int64_t end_s, int64_t step_s)
{
    int count = 0;
    for (int64_t at = first_s; at < end_s; at += step_s)
        count += kvs_backup_plan_due(plan, at);
    return count;
}

static void set_plan(struct kvs_backup_plan *plan, const char *schedule, int64_t at_s)
{
    struct kvs_message message = {{0}};
    *plan = (struct kvs_backup_plan){0};
    if (kvs_backup_plan_set(plan, schedule, at_s, &message) != 0)
        fail_msg("%s", message.text);
}

static int64_t day(int year, int month, int day_of_month)
{
    return kvs_civil_days(year, month, day_of_month) * DAY_S;
}

static void it_is_due_once_each_time(void **state)
{
    (void)state;
    struct kvs_backup_plan plan;
    int64_t start = day(2026, 1, 1) + 3600;
    set_plan(&plan, "CRON_TZ=UTC 0 0 * * *", start);
    assert_int_equal(plan.next_s, day(2026, 1, 2));
    assert_false(kvs_backup_plan_due(&plan, start));
    assert_false(kvs_backup_plan_due(&plan, plan.next_s - 1));
    assert_true(kvs_backup_plan_due(&plan, plan.next_s));
    assert_false(kvs_backup_plan_due(&plan, day(2026, 1, 2)));
    assert_int_equal(count_due(&plan, day(2026, 1, 2), day(2026, 1, 12), 60), 9);
    kvs_backup_plan_done(&plan);
    set_plan(&plan, "@every 6h", start);
    assert_int_equal(count_due(&plan, start, start + 10 * DAY_S, 30), 39);
    kvs_backup_plan_done(&plan);
    set_plan(&plan, "", start);
    assert_int_equal(count_due(&plan, start, start + 10 * DAY_S, 3600), 0);
    kvs_backup_plan_done(&plan);
}

static void what_was_missed_counts_once_and_not_at_all_before_the_start(void **state)
{
    (void)state;
    struct kvs_backup_plan plan;
    set_plan(&plan, "CRON_TZ=UTC 0 * * * *", day(2026, 1, 1) + 1);
    assert_true(kvs_backup_plan_due(&plan, day(2026, 1, 3) + 1)); // asleep for two days
    assert_false(kvs_backup_plan_due(&plan, day(2026, 1, 3) + 2));
    assert_int_equal(plan.next_s, day(2026, 1, 3) + 3600);
    kvs_backup_plan_done(&plan);
    set_plan(&plan, "CRON_TZ=UTC 0 * * * *", day(2026, 1, 1) + 3599 + 2); // a second too late
    assert_false(kvs_backup_plan_due(&plan, day(2026, 1, 1) + 3602));
    kvs_backup_plan_done(&plan);
}

static void a_clock_that_was_set_back_does_not_silence_it(void **state)
{
    (void)state;
    struct kvs_backup_plan plan;
    set_plan(&plan, "CRON_TZ=UTC 0 0 * * *", day(2030, 1, 1)); // four years ahead
    assert_false(kvs_backup_plan_due(&plan, day(2026, 1, 1) + 10));
    assert_int_equal(plan.next_s, day(2026, 1, 2));
    kvs_backup_plan_done(&plan);
}

static void daylight_saving_neither_skips_nor_doubles_a_day(void **state)
{
    (void)state;
    struct kvs_backup_plan plan;
    // Midnight exists once on both days of Berlin's changes.
    int64_t first = day(2026, 3, 27) + 12 * 3600;
    set_plan(&plan, "CRON_TZ=Europe/Berlin 0 0 * * *", first);
    assert_int_equal(count_due(&plan, first, first + 4 * DAY_S, 20), 4);
    kvs_backup_plan_done(&plan);
    first = day(2026, 10, 23) + 12 * 3600;
    set_plan(&plan, "CRON_TZ=Europe/Berlin 0 0 * * *", first);
    assert_int_equal(count_due(&plan, first, first + 4 * DAY_S, 20), 4);
    kvs_backup_plan_done(&plan);
    // 02:30 is skipped on 29 March, as robfig/cron has it, and comes on the days around.
    first = day(2026, 3, 28);
    set_plan(&plan, "CRON_TZ=Europe/Berlin 30 2 * * *", first);
    assert_int_equal(count_due(&plan, first, first + 3 * DAY_S, 20), 2);
    assert_int_equal(plan.next_s, day(2026, 3, 31) + 1800);
    kvs_backup_plan_done(&plan);
    // Hourly goes by time that passes: 25 in the long day.
    first = day(2026, 10, 24) + 22 * 3600 - 1; // midnight there
    set_plan(&plan, "CRON_TZ=Europe/Berlin 0 * * * *", first);
    assert_int_equal(count_due(&plan, first, first + 25 * 3600, 20), 25);
    kvs_backup_plan_done(&plan);
}

static void a_bad_schedule_changes_nothing(void **state)
{
    (void)state;
    struct kvs_backup_plan plan;
    struct kvs_message message = {{0}};
    set_plan(&plan, "CRON_TZ=UTC 0 0 * * *", day(2026, 1, 1));
    assert_true(kvs_backup_plan_set(&plan, "every day", day(2026, 1, 1), &message) < 0);
    assert_int_equal(plan.next_s, day(2026, 1, 2));
    kvs_backup_plan_done(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, backup_setup, backup_teardown)
        TEST(names_are_utc_and_private_and_never_taken_twice),
        TEST(the_list_shows_what_is_there),
        TEST(old_backups_go_but_never_the_last_good_one),
        TEST(backups_of_other_nodes_and_other_files_stay),
        TEST(what_a_crash_left_goes_and_what_is_being_written_stays),
        TEST(a_disk_that_takes_no_more_leaves_nothing),
        TEST(a_folder_that_cannot_be_is_named),
        TEST(a_stopped_backup_leaves_nothing),
        TEST(a_damaged_record_fails_the_backup_and_is_named),
#undef TEST
        cmocka_unit_test(it_is_due_once_each_time),
        cmocka_unit_test(what_was_missed_counts_once_and_not_at_all_before_the_start),
        cmocka_unit_test(a_clock_that_was_set_back_does_not_silence_it),
        cmocka_unit_test(daylight_saving_neither_skips_nor_doubles_a_day),
        cmocka_unit_test(a_bad_schedule_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
