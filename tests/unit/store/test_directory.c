// SPDX-License-Identifier: Apache-2.0
// Which directories can be opened as a store, and what is said of the others.
#include "tests/unit/store/fixture.h"

#include <fcntl.h>
#include <sys/wait.h>

static int closed_setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    fixture_init(f);
    *state = f;
    return 0;
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int try_open(struct fixture *f, struct kvs_message *message)
{
    *message = (struct kvs_message){0};
    struct kvs_store *store = NULL;
    int err = kvs_store_open(&f->options, &store, message);
    assert_null(store);
    return err;
}

static void missing_directories_are_made_private(void **state)
{
    struct fixture *f = *state;
    char path[128], parent[128];
    (void)snprintf(parent, sizeof(parent), "%s/new", f->dir);
    (void)snprintf(path, sizeof(path), "%s/new/er/store", f->dir);
    f->options.path = path;
    fixture_open(f);
    struct stat info;
    assert_int_equal(stat(parent, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void an_empty_directory_becomes_a_private_store(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0755), 0);
    fixture_open(f);
    struct stat info;
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void a_store_that_was_made_only_halfway_is_finished(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    write_file(f->path, "FORMAT.tmp", "kvs st");
    fixture_open(f);
    put(f, KVS_FAMILY_DATA, KVS_SLICE("a"), KVS_SLICE("1"));
    fixture_close(f);
    // FORMAT is there, RocksDB's files are not.
    fixture_remove(f->path);
    assert_int_equal(mkdir(f->path, 0700), 0);
    write_file(f->path, "FORMAT", "kvs store 1\n");
    fixture_open(f);
    assert_not_stored(f, KVS_FAMILY_DATA, KVS_SLICE("a"));
}

static void a_directory_with_other_things_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    write_file(f->path, "holiday.jpg", "");
    struct kvs_message message;
    assert_int_equal(try_open(f, &message), KVS_ERR_CONFLICT);
    assert_non_null(strstr(message.text, f->path));
    assert_non_null(strstr(message.text, "is not empty and holds no KVS store"));
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/FORMAT", f->path);
    assert_int_equal(access(path, F_OK), -1); // nothing was put into it
}

static void a_newer_format_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    fixture_close(f);
    write_file(f->path, "FORMAT", "kvs store 2\n");
    struct kvs_message message;
    assert_int_equal(try_open(f, &message), KVS_ERR_VERSION);
    assert_non_null(strstr(message.text, "written by a newer KVS (store format 2"));
}

static void a_damaged_format_file_is_found(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    fixture_close(f);
    static const char *const texts[] = {
        "", "kvs store 1", "kvs store 0\n", "kvs store x\n", "kvs store 1\n\n", "lvs store 1\n"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(texts); i++) {
        write_file(f->path, "FORMAT", texts[i]);
        struct kvs_message message;
        assert_int_equal(try_open(f, &message), KVS_ERR_CORRUPT);
    }
    write_file(f->path, "FORMAT", "kvs store 1\n");
    fixture_open(f);
}

static void a_second_opening_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    struct kvs_message message;
    assert_int_equal(try_open(f, &message), KVS_ERR_BUSY);
    char expected[256];
    (void)snprintf(expected, sizeof(expected),
                   "data directory %s is in use by another process: stop it or choose another "
                   "data_dir",
                   f->path);
    assert_string_equal(message.text, expected);
    fixture_reopen(f); // and the first one is none the worse
}

static void a_file_in_the_way_is_reported(void **state)
{
    struct fixture *f = *state;
    write_file(f->dir, "store", "");
    struct kvs_message message;
    assert_int_equal(try_open(f, &message), KVS_ERR_IO);
    assert_non_null(strstr(message.text, "Not a directory"));
}

static void missing_permission_is_reported(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        // Root may do everything: become nobody.
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(1);
        struct kvs_message message = {0};
        struct kvs_store *store = NULL;
        int err = kvs_store_open(&f->options, &store, &message);
        bool said = strstr(message.text, f->path) && strstr(message.text, "Permission denied");
        _exit(err == KVS_ERR_IO && said ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define test_with_path(name) cmocka_unit_test_setup_teardown(name, closed_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_path(missing_directories_are_made_private),
        test_with_path(an_empty_directory_becomes_a_private_store),
        test_with_path(a_store_that_was_made_only_halfway_is_finished),
        test_with_path(a_directory_with_other_things_is_refused),
        test_with_path(a_newer_format_is_refused),
        test_with_path(a_damaged_format_file_is_found),
        test_with_path(a_second_opening_is_refused),
        test_with_path(a_file_in_the_way_is_reported),
        test_with_path(missing_permission_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
