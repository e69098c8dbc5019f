// SPDX-License-Identifier: Apache-2.0
// Flipped, missing and torn bytes in a store's files: found or harmless, never served, and never a
// reason to forget what was acknowledged.
#include "tests/unit/store/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "base/random.h"

enum { KEYS_A_STAGE = 40, STAGES = 3, KEYS = KEYS_A_STAGE * STAGES, FLIPS_A_FILE = 40 };

static struct kvs_slice key_of(int i, char bytes[static 32])
{
    int size = snprintf(bytes, 32, "key/%04d", i);
    memcpy(bytes + size, "\0version", 8);
    return kvs_slice(bytes, (size_t)size + 8);
}

static void value_of(int i, struct kvs_buf *value)
{
    *value = KVS_BUF_INIT(1 << 20);
    for (int n = 0; n < 20; n++)
        kvs_buf_printf(value, "{\"key\":%d,\"n\":%d}", i, n * i);
}

// Runs in a process of its own, which ends without closing: a third of the keys in the bottommost
// table, a third in a fresh one, a third in the log alone.
static int fill(const char *path)
{
    struct fixture f = {.options = {.path = path, .compression = true, .compression_level = 3}};
    fixture_open(&f);
    for (int stage = 0; stage < STAGES; stage++) {
        for (int i = 0; i < KEYS_A_STAGE; i++) {
            char key[32];
            struct kvs_buf value;
            value_of(stage * KEYS_A_STAGE + i, &value);
            put(&f, KVS_FAMILY_DATA, key_of(stage * KEYS_A_STAGE + i, key), kvs_buf_slice(&value));
            kvs_buf_done(&value);
        }
        if (stage < 2)
            assert_int_equal(kvs_store_flush(f.store), 0);
        if (stage == 0)
            assert_int_equal(kvs_store_compact(f.store, KVS_FAMILY_DATA), 0);
    }
    _exit(0);
}

static int filled_setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    fixture_init(f);
    *state = f;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl(program_invocation_name, "test_damage", "fill", f->path, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return 0;
}

// ---- Files

static void read_file(const char *dir, const char *name, struct kvs_buf *bytes)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    *bytes = KVS_BUF_INIT(1 << 26);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (size_t n = 1; n > 0;) {
        char *room = kvs_buf_reserve(bytes, 4096);
        assert_non_null(room);
        n = fread(room, 1, 4096, file);
        bytes->size += n;
    }
    assert_int_equal(fclose(file), 0);
}

static void write_file(const char *dir, const char *name, struct kvs_slice bytes)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
    assert_int_equal(fclose(file), 0);
}

enum { NAMES_MAX = 64 };

// Names in `dir` that begin and end like this, in no particular order.
static size_t list(const char *dir, const char *begin, const char *end,
                   char names[static NAMES_MAX][64])
{
    size_t count = 0;
    DIR *open = opendir(dir);
    assert_non_null(open);
    for (const struct dirent *entry; (entry = readdir(open));) {
        struct kvs_slice name = kvs_slice_from_str(entry->d_name);
        if (name.data[0] == '.' || !kvs_slice_starts_with(name, kvs_slice_from_str(begin)) ||
            !kvs_slice_ends_with(name, kvs_slice_from_str(end)))
            continue;
        assert_true(count < NAMES_MAX);
        (void)snprintf(names[count++], 64, "%.63s", entry->d_name);
    }
    assert_int_equal(closedir(open), 0);
    return count;
}

static void copy_directory(const char *from, const char *to)
{
    char names[NAMES_MAX][64];
    size_t count = list(from, "", "", names);
    assert_int_equal(mkdir(to, 0700), 0);
    for (size_t i = 0; i < count; i++) {
        struct kvs_buf bytes;
        read_file(from, names[i], &bytes);
        write_file(to, names[i], kvs_buf_slice(&bytes));
        kvs_buf_done(&bytes);
    }
}

// ---- What a damaged store may do

// Refuse, or answer each read rightly or with an error. Keys from `optional` on may be missing.
// True when something was noticed.
static bool check_copy(const char *path, int optional)
{
    struct fixture f = {.options = {.path = path, .compression = true, .compression_level = 3}};
    struct kvs_message message = {0};
    if (kvs_store_open(&f.options, &f.store, &message) != 0) {
        assert_true(message.text[0] != '\0');
        return true;
    }
    bool noticed = false;
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        struct kvs_buf expected, value;
        value_of(i, &expected);
        int err = get(&f, KVS_FAMILY_DATA, key_of(i, key), KVS_READ_DISK, &value);
        if (err == KVS_ERR_NOT_FOUND && i < optional)
            fail_msg("key %d was lost without a word", i);
        if (err && err != KVS_ERR_NOT_FOUND)
            noticed = true;
        else if (!err)
            assert_true(kvs_slice_eq(kvs_buf_slice(&value), kvs_buf_slice(&expected)));
        kvs_buf_done(&expected);
        kvs_buf_done(&value);
    }
    kvs_store_close(f.store);
    return noticed;
}

// A copy in which `size` bytes of one file are changed by XOR with `mask`.
static bool check_flip(struct fixture *f, const char *name, const struct kvs_buf *bytes,
                       size_t offset, uint8_t mask, int optional)
{
    char copy[128];
    (void)snprintf(copy, sizeof(copy), "%s/copy", f->dir);
    copy_directory(f->path, copy);
    bytes->data[offset] ^= (char)mask;
    write_file(copy, name, kvs_buf_slice(bytes));
    bytes->data[offset] ^= (char)mask;
    bool noticed = check_copy(copy, optional);
    fixture_remove(copy);
    return noticed;
}

static size_t check_flips(struct fixture *f, const char *begin, const char *end, size_t flips,
                          int optional)
{
    char names[NAMES_MAX][64];
    size_t count = list(f->path, begin, end, names);
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 4);
    size_t noticed = 0, tried = 0;
    for (size_t i = 0; i < count; i++) {
        struct kvs_buf bytes;
        read_file(f->path, names[i], &bytes);
        for (size_t n = 0; n < flips && bytes.size > 0; n++, tried++) {
            size_t offset = kvs_random_below(&random.base, bytes.size);
            uint8_t mask = (uint8_t)(1 << kvs_random_below(&random.base, 8));
            noticed += check_flip(f, names[i], &bytes, offset, mask, optional);
        }
        kvs_buf_done(&bytes);
    }
    assert_true(tried > 0);
    return noticed;
}

static void an_undamaged_copy_is_whole(void **state)
{
    struct fixture *f = *state;
    char names[NAMES_MAX][64];
    assert_true(list(f->path, "", ".sst", names) >= 2);
    assert_true(list(f->path, "", ".log", names) >= 1);
    assert_false(check_copy(f->path, KEYS));
}

static void flips_in_tables_are_found(void **state)
{
    assert_true(check_flips(*state, "", ".sst", FLIPS_A_FILE, KEYS) > 0);
}

// The last record of a log is beyond help: what a flip leaves of it looks like a torn one.
static void flips_in_the_log_are_found(void **state)
{
    assert_true(check_flips(*state, "", ".log", FLIPS_A_FILE, KEYS - 1) > 0);
}

static void flips_in_the_manifest_are_found(void **state)
{
    assert_true(check_flips(*state, "MANIFEST-", "", FLIPS_A_FILE, KEYS) > 0);
}

static void flips_in_small_files_do_no_harm(void **state)
{
    assert_true(check_flips(*state, "CURRENT", "", 8, KEYS) > 0);
    assert_true(check_flips(*state, "FORMAT", "", 8, KEYS) > 0);
    (void)check_flips(*state, "OPTIONS-", "", 2, KEYS); // nothing in them matters to us
    (void)check_flips(*state, "IDENTITY", "", 2, KEYS);
}

static void wrong_lengths_at_the_end_are_found(void **state)
{
    struct fixture *f = *state;
    static const char *const ends[][2] = {{"MANIFEST-", ""}, {"", ".log"}};
    for (size_t kind = 0; kind < KVS_ARRAY_SIZE(ends); kind++) {
        char names[NAMES_MAX][64];
        size_t count = list(f->path, ends[kind][0], ends[kind][1], names);
        for (size_t i = 0; i < count; i++) {
            struct kvs_buf bytes;
            read_file(f->path, names[i], &bytes);
            size_t at = 0, last = 0; // neither file fills a block in this store
            while (at + 7 <= bytes.size && bytes.data[at + 6] != 0) {
                size_t header = bytes.data[at + 6] > 4 ? 11 : 7;
                last = at;
                at += header + (uint8_t)bytes.data[at + 4] + 256U * (uint8_t)bytes.data[at + 5];
            }
            if (bytes.size > 0)
                assert_true(check_flip(f, names[i], &bytes, last + 5, 0x40, KEYS));
            kvs_buf_done(&bytes);
        }
    }
}

static void a_missing_file_is_not_taken_for_an_empty_store(void **state)
{
    struct fixture *f = *state;
    static const char *const ends[][2] = {{"CURRENT", ""}, {"MANIFEST-", ""}, {"", ".sst"}};
    for (size_t kind = 0; kind < KVS_ARRAY_SIZE(ends); kind++) {
        char names[NAMES_MAX][64], copy[128], path[256];
        assert_true(list(f->path, ends[kind][0], ends[kind][1], names) > 0);
        (void)snprintf(copy, sizeof(copy), "%s/copy", f->dir);
        copy_directory(f->path, copy);
        (void)snprintf(path, sizeof(path), "%s/%s", copy, names[0]);
        assert_int_equal(unlink(path), 0);
        assert_true(check_copy(copy, KEYS));
        fixture_remove(copy);
    }
}

// What a power failure leaves of the last, unacknowledged write: a part of it, or holes in it.
static void a_torn_end_of_the_log_is_no_damage(void **state)
{
    struct fixture *f = *state;
    char names[NAMES_MAX][64], copy[128];
    size_t count = list(f->path, "", ".log", names);
    (void)snprintf(copy, sizeof(copy), "%s/copy", f->dir);
    for (size_t i = 0; i < count; i++) {
        struct kvs_buf bytes;
        read_file(f->path, names[i], &bytes);
        for (size_t cut = 1; cut < 300 && cut < bytes.size; cut += 37) {
            copy_directory(f->path, copy);
            write_file(copy, names[i], kvs_slice(bytes.data, bytes.size - cut));
            assert_false(check_copy(copy, KEYS - 1));
            fixture_remove(copy);

            copy_directory(f->path, copy);
            struct kvs_buf holed = KVS_BUF_INIT(1 << 26);
            kvs_buf_append_slice(&holed, kvs_buf_slice(&bytes));
            memset(holed.data + holed.size - cut, 0, cut);
            write_file(copy, names[i], kvs_buf_slice(&holed));
            assert_false(check_copy(copy, KEYS - 1));
            fixture_remove(copy);
            kvs_buf_done(&holed);
        }
        kvs_buf_done(&bytes);
    }
}

static void flip_a_bit_in_each_log(const struct fixture *f)
{
    char names[NAMES_MAX][64];
    size_t count = list(f->path, "", ".log", names);
    for (size_t i = 0; i < count; i++) {
        struct kvs_buf bytes;
        read_file(f->path, names[i], &bytes);
        if (bytes.size > 4096) {
            bytes.data[bytes.size / 2] ^= 1;
            write_file(f->path, names[i], kvs_buf_slice(&bytes));
        }
        kvs_buf_done(&bytes);
    }
}

static void with_async_writes_a_hole_in_the_log_is_no_damage(void **state)
{
    struct fixture *f = *state;
    flip_a_bit_in_each_log(f);
    struct kvs_message message = {0};
    assert_int_equal(kvs_store_open(&f->options, &f->store, &message), KVS_ERR_CORRUPT);
    assert_non_null(strstr(message.text, "intact records follow a broken one"));
    assert_non_null(strstr(message.text, "restore the directory from a backup"));
    f->options.async_writes = true;
    fixture_open(f);
    char key[32];
    struct kvs_buf value;
    assert_int_equal(get(f, KVS_FAMILY_DATA, key_of(0, key), KVS_READ_DISK, &value), 0);
    kvs_buf_done(&value);
    assert_not_stored(f, KVS_FAMILY_DATA, key_of(KEYS - 1, key));
}

static void a_damaged_store_can_be_opened_for_reading_by_tools(void **state)
{
    struct fixture *f = *state;
    flip_a_bit_in_each_log(f);
    f->options.read_only_if_damaged = true;
    fixture_open(f);
    char key[32];
    struct kvs_buf value;
    assert_int_equal(get(f, KVS_FAMILY_DATA, key_of(0, key), KVS_READ_DISK, &value), 0);
    kvs_buf_done(&value);
    assert_int_equal(try_put(f, KVS_FAMILY_DATA, KVS_SLICE("x"), KVS_SLICE("1")),
                     KVS_ERR_READ_ONLY);
}

#define test_filled(name) cmocka_unit_test_setup_teardown(name, filled_setup, fixture_teardown)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "fill") == 0)
        return fill(argv[2]);
    const struct CMUnitTest tests[] = {
        test_filled(an_undamaged_copy_is_whole),
        test_filled(flips_in_tables_are_found),
        test_filled(flips_in_the_log_are_found),
        test_filled(flips_in_the_manifest_are_found),
        test_filled(flips_in_small_files_do_no_harm),
        test_filled(wrong_lengths_at_the_end_are_found),
        test_filled(a_missing_file_is_not_taken_for_an_empty_store),
        test_filled(a_torn_end_of_the_log_is_no_damage),
        test_filled(with_async_writes_a_hole_in_the_log_is_no_damage),
        test_filled(a_damaged_store_can_be_opened_for_reading_by_tools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
