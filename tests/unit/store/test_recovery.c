// SPDX-License-Identifier: Apache-2.0
// What is left after a kill, and the way back from a full disk.
#include "tests/unit/store/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/random.h"

#define DATA KVS_FAMILY_DATA
#define LOG KVS_FAMILY_LOG

struct numbered {
    char key_bytes[32];
    struct kvs_slice key;
    char value_bytes[512];
    struct kvs_slice value;
};

static struct numbered *numbered(struct numbered *n, uint32_t i)
{
    n->key =
        kvs_slice(n->key_bytes, (size_t)snprintf(n->key_bytes, sizeof(n->key_bytes), "%08u", i));
    for (size_t k = 0; k < sizeof(n->value_bytes); k++)
        n->value_bytes[k] = (char)('a' + (i + k * k) % 26);
    n->value = kvs_slice(n->value_bytes, sizeof(n->value_bytes));
    return n;
}

// One write to two families.
static int write_numbered(struct fixture *f, uint32_t i)
{
    struct numbered n;
    (void)numbered(&n, i);
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    kvs_store_batch_put(batch, DATA, n.key, n.value);
    kvs_store_batch_put(batch, LOG, n.key, n.value);
    int err = kvs_store_write(f->store, batch, KVS_DURABILITY_SYNC);
    kvs_store_batch_free(batch);
    return err;
}

static bool has_numbered(struct fixture *f, enum kvs_family family, uint32_t i)
{
    struct numbered n;
    (void)numbered(&n, i);
    struct kvs_buf value;
    int err = get(f, family, n.key, KVS_READ_DISK, &value);
    assert_true(err == 0 || err == KVS_ERR_NOT_FOUND);
    if (err == 0)
        assert_true(kvs_slice_eq(kvs_buf_slice(&value), n.value));
    kvs_buf_done(&value);
    return err == 0;
}

// ---- Kill

// Runs in a process of its own until it is killed: writes number after number, and reports each
// after its write has returned.
static int write_for_ever(const char *path, uint32_t from)
{
    struct fixture f = {.options = {.path = path,
                                    .compression = true,
                                    .compression_level = 3,
                                    .write_buffer_size = 64 << 10}}; // flushes and compactions
    fixture_open(&f);
    for (uint32_t i = from;; i++)
        if (write_numbered(&f, i) != 0 || write(STDOUT_FILENO, &i, sizeof(i)) != sizeof(i))
            return 1;
}

static pid_t start_writer(const char *path, uint32_t from, int *ret_fd)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    char from_text[16];
    (void)snprintf(from_text, sizeof(from_text), "%u", from);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(fds[1], STDOUT_FILENO) == STDOUT_FILENO)
            execl(program_invocation_name, "test_recovery", "write", path, from_text, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(close(fds[1]), 0);
    *ret_fd = fds[0];
    return child;
}

static void what_was_reported_survives_a_kill(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 5);
    uint32_t count = 0; // numbers below are acknowledged
    for (int round = 0; round < 6; round++) {
        int fd = -1;
        pid_t child = start_writer(f->path, count, &fd);
        uint32_t kill_at = count + 1 + (uint32_t)kvs_random_below(&random.base, 400);
        uint32_t i = 0;
        for (bool killed = false; read(fd, &i, sizeof(i)) == sizeof(i);) {
            assert_int_equal(i, count);
            count++;
            if (!killed && count >= kill_at)
                killed = kill(child, SIGKILL) == 0;
        }
        assert_int_equal(close(fd), 0);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_true(count >= kill_at);
        fixture_open(f);
        for (uint32_t k = 0; k < count; k++) {
            assert_true(has_numbered(f, DATA, k));
            assert_true(has_numbered(f, LOG, k));
        }
        // The write in progress is there in both families or in none.
        assert_int_equal(has_numbered(f, DATA, count), has_numbered(f, LOG, count));
        assert_false(has_numbered(f, DATA, count + 1));
        fixture_close(f);
    }
}

// ---- Full disk

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static uint32_t write_until_refused(struct fixture *f, uint32_t from, uint32_t limit)
{
    for (uint32_t i = from; i < limit; i++) {
        int err = write_numbered(f, i);
        if (err) {
            assert_int_equal(err, KVS_ERR_NO_SPACE);
            return i;
        }
    }
    fail_msg("the disk did not get full");
    return 0;
}

static void check_numbers(struct fixture *f, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_true(has_numbered(f, DATA, i) && has_numbered(f, LOG, i));
}

// A limit on the size of files stands for a full disk: it needs no privileges.
static void a_full_disk_refuses_writes_until_resumed(void **state)
{
    struct fixture *f = *state;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    limit_file_size(200 << 10);
    uint32_t count = write_until_refused(f, 0, 10000);
    assert_true(count > 0);
    check_numbers(f, count);
    assert_int_equal(write_numbered(f, count), KVS_ERR_NO_SPACE);
    assert_int_equal(kvs_store_resume(f->store), KVS_ERR_NO_SPACE);
    check_numbers(f, count);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(write_numbered(f, count), KVS_ERR_NO_SPACE); // not before resume
    assert_int_equal(kvs_store_resume(f->store), 0);
    check_numbers(f, count);
    for (uint32_t i = count; i < count + 100; i++)
        assert_int_equal(write_numbered(f, i), 0);
    fixture_reopen(f);
    check_numbers(f, count + 100);
    assert_int_equal(kvs_store_resume(f->store), 0); // nothing to do
}

static void many_full_disks_lose_nothing(void **state)
{
    struct fixture *f = *state;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 6);
    uint32_t count = 0;
    for (int round = 0; round < 10; round++) {
        limit_file_size((64 << 10) + kvs_random_below(&random.base, 200 << 10));
        count = write_until_refused(f, count, count + 10000);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(kvs_store_resume(f->store), 0);
    }
    check_numbers(f, count);
    fixture_reopen(f);
    check_numbers(f, count);
}

static void fill_up(const char *path, off_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, size), 0);
    assert_int_equal(close(fd), 0);
}

// To the last free byte.
static void fill_rest(const char *path)
{
    static const char zeros[512];
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    assert_int_equal(close(fd), 0);
}

struct small_disk {
    char mount_point[96], filler[128], store[128];
};

// A file system of its own with 4 MiB free, for f's store; false where that takes privileges.
static bool small_disk_init(struct small_disk *disk, struct fixture *f)
{
    (void)snprintf(disk->mount_point, sizeof(disk->mount_point), "%s/small", f->dir);
    (void)snprintf(disk->filler, sizeof(disk->filler), "%s/filler", disk->mount_point);
    (void)snprintf(disk->store, sizeof(disk->store), "%s/store", disk->mount_point);
    assert_int_equal(mkdir(disk->mount_point, 0700), 0);
    if (mount("tmpfs", disk->mount_point, "tmpfs", 0, "size=64m") != 0)
        return false;
    fill_up(disk->filler, 60 << 20);
    fixture_close(f);
    f->options.path = disk->store;
    f->options.write_buffer_size = 256 << 10; // flushes and compactions meet the full disk too
    fixture_open(f);
    return true;
}

// Also after a failure halfway through a test: nothing of ours stays mounted.
static int small_disk_teardown(void **state)
{
    struct fixture *f = *state;
    char mount_point[96];
    (void)snprintf(mount_point, sizeof(mount_point), "%s/small", f->dir);
    fixture_close(f);
    (void)umount(mount_point); // it is only there where it could be mounted
    return fixture_teardown(state);
}

static void a_really_full_file_system_is_survived_too(void **state)
{
    struct fixture *f = *state;
    struct small_disk disk;
    if (!small_disk_init(&disk, f))
        skip();
    uint32_t count = write_until_refused(f, 0, 100000);
    check_numbers(f, count);
    fill_rest(disk.filler);
    int err = kvs_store_resume(f->store);
    for (; err == 0; err = kvs_store_resume(f->store)) { // a compaction had made room by then
        count = write_until_refused(f, count, 100000);
        fill_rest(disk.filler);
    }
    assert_int_equal(err, KVS_ERR_NO_SPACE);
    check_numbers(f, count);
    assert_int_equal(unlink(disk.filler), 0);
    assert_int_equal(kvs_store_resume(f->store), 0);
    check_numbers(f, count);
    for (uint32_t i = count; i < count + 100; i++)
        assert_int_equal(write_numbered(f, i), 0);
    fixture_reopen(f);
    check_numbers(f, count + 100);
}

static void a_start_on_a_full_disk_fails_and_the_next_one_has_everything(void **state)
{
    struct fixture *f = *state;
    struct small_disk disk;
    if (!small_disk_init(&disk, f))
        skip();
    uint32_t count = write_until_refused(f, 0, 100000);
    fixture_close(f);
    fill_rest(disk.filler);
    for (int attempt = 0; attempt < 3; attempt++) {
        struct kvs_message message = {0};
        assert_int_equal(kvs_store_open(&f->options, &f->store, &message), KVS_ERR_NO_SPACE);
        assert_non_null(strstr(message.text, "free some space"));
    }
    assert_int_equal(unlink(disk.filler), 0);
    fixture_open(f);
    check_numbers(f, count);
}

// Writes some more numbers in a process that is killed: the store has a log to replay.
static uint32_t write_and_kill(const char *path, uint32_t from, uint32_t count)
{
    int fd = -1;
    int status = 0;
    uint32_t next = from;
    pid_t child = start_writer(path, from, &fd);
    for (uint32_t i = 0; read(fd, &i, sizeof(i)) == sizeof(i); next = i + 1)
        if (i + 1 == from + count)
            assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(next >= from + count);
    return next;
}

static off_t free_space(const struct small_disk *disk)
{
    struct statvfs figures;
    assert_int_equal(statvfs(disk->mount_point, &figures), 0);
    return (off_t)(figures.f_bavail * figures.f_frsize);
}

// RocksDB writes a log of its own when it opens, and ends the process when it cannot go on with it.
static void a_start_with_little_room_works_or_says_why_not(void **state)
{
    struct fixture *f = *state;
    struct small_disk disk;
    if (!small_disk_init(&disk, f))
        skip();
    fixture_close(f);
    uint32_t count = 0;
    uint32_t refused = 0;
    uint32_t opened = 0;
    for (off_t room = 0; room <= 5 << 19; room += room < 192 << 10 ? 8 << 10 : 1 << 20) {
        count = write_and_kill(disk.store, count, 20);
        char info_log[160];
        char rest[160];
        (void)snprintf(info_log, sizeof(info_log), "%s/LOG", disk.store);
        (void)snprintf(rest, sizeof(rest), "%s/rest", disk.mount_point);
        assert_int_equal(unlink(info_log), 0); // it would be deleted first, and leave its room
        fill_up(rest, free_space(&disk) - room);
        struct kvs_message message = {0};
        int err = kvs_store_open(&f->options, &f->store, &message);
        if (err)
            assert_int_equal(err, KVS_ERR_NO_SPACE);
        refused += err != 0;
        opened += err == 0;
        fixture_close(f);
        assert_int_equal(unlink(rest), 0);
        fixture_open(f);
        check_numbers(f, count);
        fixture_close(f);
    }
    assert_true(refused > 0 && opened > 0);
}

static void resume_waits_for_iterators_but_not_for_ever(void **state)
{
    struct fixture *f = *state;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    limit_file_size(64 << 10);
    uint32_t count = write_until_refused(f, 0, 10000);
    limit_file_size(RLIM_INFINITY);
    struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    struct kvs_store_iter *iter = kvs_store_iter_new(f->store, LOG, &options);
    assert_int_equal(kvs_store_resume(f->store), KVS_ERR_BUSY);
    kvs_store_iter_seek(iter, KVS_SLICE("0"));
    assert_slice_equal(kvs_store_iter_key(iter), "00000000");
    kvs_store_iter_free(iter);
    assert_int_equal(kvs_store_resume(f->store), 0);
    assert_int_equal(write_numbered(f, count), 0);
}

// ---- Readers meanwhile

struct readers {
    struct fixture *f;
    uint32_t count;
    _Atomic bool stop;
    _Atomic uint32_t reads;
};

static void *read_all_the_time(void *ctx)
{
    struct readers *readers = ctx;
    for (uint32_t i = 0; !atomic_load(&readers->stop); i = (i + 1) % readers->count) {
        struct numbered n;
        (void)numbered(&n, i);
        struct kvs_buf value;
        enum kvs_read_mode mode = i % 2 ? KVS_READ_CACHED : KVS_READ_DISK;
        int err = get(readers->f, DATA, n.key, mode, &value);
        if (err != 0 && !(mode == KVS_READ_CACHED && err == KVS_ERR_AGAIN))
            abort();
        if (err == 0 && !kvs_slice_eq(kvs_buf_slice(&value), n.value))
            abort();
        kvs_buf_done(&value);
        struct kvs_store_iter_options options = {.mode = mode};
        struct kvs_store_iter *iter = kvs_store_iter_new(readers->f->store, DATA, &options);
        kvs_store_iter_seek(iter, n.key);
        if (!kvs_store_iter_valid(iter) &&
            !(mode == KVS_READ_CACHED && kvs_store_iter_error(iter) == KVS_ERR_AGAIN))
            abort();
        kvs_store_iter_free(iter);
        atomic_fetch_add(&readers->reads, 1);
    }
    return NULL;
}

static void readers_do_not_notice_a_resume(void **state)
{
    struct fixture *f = *state;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct readers readers = {.f = f, .count = 50};
    for (uint32_t i = 0; i < readers.count; i++)
        assert_int_equal(write_numbered(f, i), 0);
    pthread_t threads[2];
    for (size_t i = 0; i < KVS_ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, &readers), 0);
    uint32_t count = readers.count;
    for (int round = 0; round < 3; round++) {
        limit_file_size(64 << 10);
        count = write_until_refused(f, count, count + 10000);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(kvs_store_resume(f->store), 0);
    }
    while (atomic_load(&readers.reads) < 100)
        assert_int_equal(sched_yield(), 0);
    atomic_store(&readers.stop, true);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

#define test_with_store(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#define test_with_small_disk(name)                                                                 \
    cmocka_unit_test_setup_teardown(name, fixture_setup, small_disk_teardown)

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0)
        return write_for_ever(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
    const struct CMUnitTest tests[] = {
        test_with_store(what_was_reported_survives_a_kill),
        test_with_store(a_full_disk_refuses_writes_until_resumed),
        test_with_store(many_full_disks_lose_nothing),
        test_with_small_disk(a_really_full_file_system_is_survived_too),
        test_with_small_disk(a_start_on_a_full_disk_fails_and_the_next_one_has_everything),
        test_with_small_disk(a_start_with_little_room_works_or_says_why_not),
        test_with_store(resume_waits_for_iterators_but_not_for_ever),
        test_with_store(readers_do_not_notice_a_resume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
