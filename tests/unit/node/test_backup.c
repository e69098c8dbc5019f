// SPDX-License-Identifier: Apache-2.0
// A backup file: what goes in comes out, and nothing that was changed, cut or lengthened passes.
#include "tests/unit/node/backup_test.h"

#include "codec/wire.h"
#include "tests/unit/node/backup_format_1.h"

#include <pthread.h>
#include <zstd.h>

static void fill(struct backup_fixture *f)
{
    struct fixture *node = &f->node;
    put(node, "a", "1");
    put(node, "a", "{\"n\":1.0}");
    put(node, "a/b", "\"x\"");
    put(node, "gone", "1");
    assert_int_equal(delete_key(node, "gone"), 0);
    put(node, "\x01user/1", "{\"secret\":1}");
    struct kvs_write expiring = make_write(KVS_WRITE_PUT, "short", "2");
    expiring.ttl_ms = 5000;
    assert_int_equal(kvs_node_write_wait(node->node, &expiring), 0);
}

static void assert_filled(struct backup_fixture *f)
{
    struct fixture *node = &f->node;
    assert_value(node, "a", "{\"n\":1.0}");
    assert_history(node, "a", "{\"n\":1.0} 1");
    assert_value(node, "a/b", "\"x\"");
    assert_int_equal(get_error(node, "gone"), KVS_ERR_NOT_FOUND);
    assert_history(node, "gone", "x 1");
    assert_value(node, "\x01user/1", "{\"secret\":1}");
    assert_value(node, "short", "2");
}

static void a_restored_node_is_as_it_was(void **state)
{
    struct backup_fixture *f = *state;
    fill(f);
    struct kvs_node_status before;
    struct kvs_node_status after;
    assert_int_equal(kvs_node_status(f->node.node, &before), 0);
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    assert_int_equal(info.content.keys, 3); // a, a/b, short
    assert_int_equal(info.content.versions, 7);
    assert_int_equal(info.content.current.count, 5);
    assert_int_equal(info.log_seq, before.log_seq);
    put(&f->node, "a", "\"later\"");
    struct kvs_message message;
    assert_int_equal(restore(f, path, false, &message), 0);
    open_restored(f);
    assert_filled(f);
    assert_int_equal(kvs_node_status(f->node.node, &after), 0);
    assert_memory_equal(&before.self, &after.self, sizeof(before.self));
    assert_int_equal(after.log_seq, before.log_seq);
    assert_true(put(&f->node, "a", "3").timestamp > TEST_START_MS);
}

static void what_expires_and_is_deleted_goes_on_doing_so(void **state)
{
    struct backup_fixture *f = *state;
    fill(f);
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    struct kvs_message message;
    assert_int_equal(restore(f, path, false, &message), 0);
    open_restored(f);
    atomic_fetch_add(&f->node.clock.wall_ms, 6000);
    assert_int_equal(get_error(&f->node, "short"), KVS_ERR_NOT_FOUND);
    atomic_fetch_add(&f->node.clock.wall_ms, TEST_RETENTION_MS);
    assert_int_equal(kvs_node_housekeep(f->node.node), 0);
    assert_int_equal(kvs_node_housekeep(f->node.node), 0);
    assert_history(&f->node, "gone", "");
    assert_history(&f->node, "short", "");
    assert_value(&f->node, "a/b", "\"x\"");
}

static void as_new_writes_values_win_and_deletions_stay(void **state)
{
    struct backup_fixture *f = *state;
    fill(f);
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    struct kvs_version later = put(&f->node, "a", "\"later\"");
    atomic_fetch_add(&f->node.clock.wall_ms, 1000);
    struct kvs_message message;
    assert_int_equal(restore(f, path, true, &message), 0);
    open_restored(f);
    assert_value(&f->node, "a", "{\"n\":1.0}");
    assert_history(&f->node, "a", "{\"n\":1.0} {\"n\":1.0} 1");
    assert_history(&f->node, "gone", "x 1");
    assert_history(&f->node, "\x01user/1", "{\"secret\":1}");
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *record = NULL;
    assert_int_equal(
        kvs_node_get(f->node.node, kvs_auth_open_grant(), KVS_SLICE("a"), KVS_READ_DISK, &record),
        0);
    assert_true(kvs_version_cmp(&record->version, &later, NULL) > 0);
    assert_true(record->version.writer_seq >> 32 > 0); // a life of its own
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(f->node.node, &status), 0);
    assert_int_equal(status.log_seq, info.log_seq + 3); // a, a/b, short
    struct kvs_version next = put(&f->node, "a", "3");
    assert_true(next.timestamp > record->version.timestamp);
    assert_true(next.writer_seq > record->version.writer_seq);
    atomic_fetch_add(&f->node.clock.wall_ms, 6000);
    assert_int_equal(get_error(&f->node, "short"), KVS_ERR_NOT_FOUND); // its time stayed
}

static void a_value_of_any_size_comes_through(void **state)
{
    struct backup_fixture *f = *state;
    enum { SIZE = 3 << 20 };
    KVS_CLEANUP(kvs_freep) char *large = malloc(SIZE + 1);
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 1);
    for (size_t i = 0; i < SIZE; i++) // compresses badly
        large[i] = (char)('0' + kvs_random_below(&random.base, 10));
    large[0] = '1';
    large[SIZE] = '\0';
    put(&f->node, "large", large);
    put(&f->node, "small", "1");
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    struct kvs_message message;
    assert_int_equal(restore(f, path, false, &message), 0);
    open_restored(f);
    assert_value(&f->node, "large", large);
}

static void an_empty_node_can_be_backed_up(void **state)
{
    struct backup_fixture *f = *state;
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    assert_int_equal(info.content.versions, 0);
    struct kvs_message message;
    assert_int_equal(restore(f, path, false, &message), 0);
    open_restored(f);
    assert_int_equal(get_error(&f->node, "a"), KVS_ERR_NOT_FOUND);
}

// ---- One moment

struct pair_writer {
    struct kvs_node *node;
    _Atomic bool stop;
    _Atomic uint64_t written;
};

struct group_waiter {
    struct kvs_executor executor;
    _Atomic int done;
};

static void group_post(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    atomic_fetch_add(&((struct group_waiter *)executor)->done, 1);
}

// Two keys, far apart in key order, always with one number; and one that no two backups may mix.
static void *write_pairs(void *opaque)
{
    struct pair_writer *writer = opaque;
    for (uint64_t n = 1; !atomic_load(&writer->stop); n++) {
        char json[32];
        (void)snprintf(json, sizeof(json), "%llu", (unsigned long long)n);
        struct group_waiter waiter = {{.post = group_post}, 0};
        struct kvs_write writes[3] = {make_write(KVS_WRITE_PUT, "a", json),
                                      make_write(KVS_WRITE_PUT, "z", json),
                                      make_write(KVS_WRITE_PUT, "\x01s", json)};
        for (int i = 0; i < 3; i++)
            writes[i].executor = &waiter.executor;
        kvs_node_write_group(writer->node, writes, 3);
        while (atomic_load(&waiter.done) < 3)
            (void)sched_yield();
        atomic_store(&writer->written, n);
    }
    return NULL;
}

static void read_text(struct backup_fixture *f, const char *key, struct kvs_buf *out)
{
    struct kvs_record *record = NULL;
    assert_int_equal(kvs_node_get(f->node.node, kvs_auth_open_grant(), kvs_slice_from_str(key),
                                  KVS_READ_DISK, &record),
                     0);
    kvs_buf_clear(out);
    kvs_buf_append_slice(out, kvs_record_json(record));
    kvs_buf_append_char(out, '\0');
    kvs_record_unref(record);
}

static void a_backup_shows_one_moment_while_writes_go_on(void **state)
{
    struct backup_fixture *f = *state;
    char key[16];
    for (int i = 0; i < 2000; i++) { // something to read between the two
        (void)snprintf(key, sizeof(key), "m/%d", i);
        put(&f->node, key, "0");
    }
    struct pair_writer writer = {.node = f->node.node};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_pairs, &writer), 0);
    while (atomic_load(&writer.written) < 10)
        (void)sched_yield();
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    uint64_t at_end = atomic_load(&writer.written);
    atomic_store(&writer.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    struct kvs_message message;
    assert_int_equal(restore(f, path, false, &message), 0);
    open_restored(f);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(64);
    read_text(f, "a", &text);
    uint64_t number = strtoull(text.data, NULL, 10);
    assert_true(number >= 10 && number <= at_end);
    assert_value(&f->node, "z", text.data);
    assert_value(&f->node, "\x01s", text.data);
    assert_int_equal(info.log_seq, 2000 + 3 * number); // and the log ends where the data do
}

// ---- Damage

static void every_damaged_byte_is_found(void **state)
{
    struct backup_fixture *f = *state;
    fill(f);
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf file = KVS_BUF_INIT(1 << 20);
    read_whole(path, &file);
    struct kvs_message message = {{0}};
    assert_int_equal(file.size, info.file_size);
    assert_int_equal(read_backup(kvs_buf_slice(&file), 0, &message), 0);
    assert_int_equal(read_backup(kvs_buf_slice(&file), 1, &message), 0);
    for (size_t i = 0; i < file.size; i++) {
        static const char masks[] = {1, 2, 4, 8, 16, 32, 64, (char)128, (char)255};
        for (size_t j = 0; j < sizeof(masks); j++) {
            file.data[i] = (char)(file.data[i] ^ masks[j]);
            message.text[0] = '\0';
            int err = read_backup(kvs_buf_slice(&file), 0, &message);
            if (err != KVS_ERR_CORRUPT || message.text[0] == '\0')
                fail_msg("byte %zu ^ %d: %s '%s'", i, masks[j], kvs_err_name(err), message.text);
            file.data[i] = (char)(file.data[i] ^ masks[j]);
        }
    }
}

static void a_file_that_ends_early_or_late_is_refused(void **state)
{
    struct backup_fixture *f = *state;
    fill(f);
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf file = KVS_BUF_INIT(1 << 20);
    read_whole(path, &file);
    struct kvs_message message = {{0}};
    for (size_t size = 0; size < file.size; size++) {
        assert_int_equal(read_backup(kvs_slice(file.data, size), 0, &message), KVS_ERR_CORRUPT);
        if (size > 200 && !strstr(message.text, "incomplete"))
            fail_msg("%zu of %zu bytes: %s", size, file.size, message.text);
    }
    kvs_buf_append_char(&file, '\0');
    assert_int_equal(read_backup(kvs_buf_slice(&file), 0, &message), KVS_ERR_CORRUPT);
    assert_non_null(strstr(message.text, "behind its end"));
}

static void a_damaged_or_partial_file_is_never_restored(void **state)
{
    struct backup_fixture *f = *state;
    fill(f);
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf file = KVS_BUF_INIT(1 << 20);
    read_whole(path, &file);
    struct kvs_message message = {{0}};
    file.data[file.size / 2] ^= 1;
    write_file(path, kvs_buf_slice(&file));
    assert_int_equal(restore(f, path, false, &message), KVS_ERR_CORRUPT);
    assert_non_null(strstr(message.text, "damaged"));
    assert_non_null(strstr(message.text, path));
    file.data[file.size / 2] ^= 1;
    write_file(path, kvs_slice(file.data, file.size - 10));
    assert_int_equal(restore(f, path, false, &message), KVS_ERR_CORRUPT);
    assert_non_null(strstr(message.text, "incomplete"));
    assert_int_equal(kvs_backup_verify(path, NULL, &info, &message), KVS_ERR_CORRUPT);
    assert_int_equal(access(f->target, F_OK), -1);
    char parent[100];
    (void)snprintf(parent, sizeof(parent), "%s/b", f->dir.path);
    assert_int_equal(count_files(parent, ""), 0); // nor anything beside it
    assert_int_equal(restore(f, "/nonexistent", false, &message), KVS_ERR_NOT_FOUND);
    write_file(path, KVS_SLICE("{\"not\": \"a backup, but long enough to look like one\"}"));
    assert_int_equal(restore(f, path, false, &message), KVS_ERR_CORRUPT);
    assert_non_null(strstr(message.text, "no backup of KVS"));
}

static void a_newer_format_is_refused_as_such(void **state)
{
    struct backup_fixture *f = *state;
    (void)f;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf header = KVS_BUF_INIT(KVS_BACKUP_HEADER_SIZE_MAX);
    struct kvs_backup_info info = {.format = KVS_BACKUP_FORMAT + 1, .node_id = "n"};
    kvs_backup_header_encode(&header, &info);
    struct kvs_message message = {{0}};
    assert_int_equal(read_backup(kvs_buf_slice(&header), 0, &message), KVS_ERR_VERSION);
    assert_non_null(strstr(message.text, "newer KVS"));
    assert_int_equal(mkdir(f->folder, 0700), -1); // its parent is missing: no file there
    char path[120];
    (void)snprintf(path, sizeof(path), "%s/x", f->dir.path);
    write_file(path, kvs_buf_slice(&header));
    assert_int_equal(restore(f, path, false, &message), KVS_ERR_VERSION);
    assert_int_equal(access(f->target, F_OK), -1);
}

static void format_1_stays_readable(void **state)
{
    struct backup_fixture *f = *state;
    char path[120];
    (void)snprintf(path, sizeof(path), "%s/old", f->dir.path);
    struct kvs_slice bytes = kvs_slice(backup_format_1, sizeof(backup_format_1));
    write_file(path, bytes);
    struct kvs_backup_info info;
    struct kvs_message message = {{0}};
    if (kvs_backup_verify(path, NULL, &info, &message) != 0)
        fail_msg("%s", message.text);
    assert_int_equal(info.format, 1);
    assert_string_equal(info.node_id, "test");
    assert_int_equal(info.content.keys, 3);
    assert_int_equal(info.content.versions, 7);
    assert_int_equal(restore(f, path, false, &message), 0);
    open_restored(f);
    assert_filled(f);
}

// ---- Records that a writer would never write

// A backup with this one entry and everything around it in order.
static void encode_backup(const struct kvs_backup_entry *entries, size_t count, struct kvs_buf *out)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf content = KVS_BUF_INIT(1 << 20);
    struct kvs_backup_info info = {.format = KVS_BACKUP_FORMAT};
    kvs_backup_header_encode(out, &info);
    for (size_t i = 0; i < count; i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf entry = KVS_BUF_INIT(1 << 20);
        kvs_backup_entry_encode(&entry, &entries[i]);
        kvs_wire_put_u32be(&content, (uint32_t)entry.size);
        kvs_buf_append_slice(&content, kvs_buf_slice(&entry));
    }
    kvs_wire_put_u32be(&content, 0);
    size_t bound = ZSTD_compressBound(content.size);
    char *room = kvs_buf_reserve(out, bound);
    out->size += ZSTD_compress(room, bound, content.data, content.size, 1);
}

static void assert_nonsense(const struct kvs_backup_entry *entries, size_t count)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf file = KVS_BUF_INIT(1 << 20);
    encode_backup(entries, count, &file);
    struct kvs_message message = {{0}};
    assert_int_equal(read_backup(kvs_buf_slice(&file), 0, &message), KVS_ERR_CORRUPT);
    if (!strstr(message.text, "makes no sense"))
        fail_msg("%s", message.text);
}

static void records_out_of_order_or_without_writer_are_refused(void **state)
{
    (void)state;
    struct kvs_backup_entry writer = {.kind = KVS_BACKUP_WRITER, .writer_id = 1};
    writer.version.writer.node.bytes[0] = 1;
    const struct kvs_backup_entry b = {.kind = KVS_BACKUP_VERSION,
                                       .family = KVS_FAMILY_DATA,
                                       .writer_id = 1,
                                       .key = KVS_SLICE("b"),
                                       .value = KVS_SLICE("1")};
    struct kvs_backup_entry other = b;
    assert_nonsense(&b, 1); // no writer yet
    const struct kvs_backup_entry twice[] = {writer, b, b};
    assert_nonsense(twice, 3);
    other.key = KVS_SLICE("a");
    const struct kvs_backup_entry backwards[] = {writer, b, other};
    assert_nonsense(backwards, 3);
    other = b;
    other.version.flags = 128;
    const struct kvs_backup_entry flags[] = {writer, other};
    assert_nonsense(flags, 2);
    other = b;
    other.key = kvs_slice("b\0c", 3);
    const struct kvs_backup_entry nul[] = {writer, other};
    assert_nonsense(nul, 2);
    other = b;
    other.kind = KVS_BACKUP_PLAIN;
    const struct kvs_backup_entry plain[] = {writer, other};
    assert_nonsense(plain, 2);
    const struct kvs_backup_entry late_writer[] = {writer, b, writer};
    assert_nonsense(late_writer, 3);
}

// ---- Restoring: refusals

static void a_folder_that_is_not_empty_stays_as_it_is(void **state)
{
    struct backup_fixture *f = *state;
    fill(f);
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    char parent[100];
    char file[120];
    (void)snprintf(parent, sizeof(parent), "%s/b", f->dir.path);
    (void)snprintf(file, sizeof(file), "%s/mine", f->target);
    assert_int_equal(mkdir(parent, 0700), 0);
    assert_int_equal(mkdir(f->target, 0700), 0);
    write_file(file, KVS_SLICE("x"));
    struct kvs_message message = {{0}};
    assert_int_equal(restore(f, path, false, &message), KVS_ERR_CONFLICT);
    assert_non_null(strstr(message.text, "not empty"));
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(restore(f, path, false, &message), 0); // an empty one will do
    struct stat stat_of;
    assert_int_equal(stat(f->target, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0700);
    assert_int_equal(restore(f, path, false, &message), KVS_ERR_CONFLICT); // full by now
    open_restored(f);
    assert_filled(f);
}

static void what_a_killed_restore_left_is_cleared_away(void **state)
{
    struct backup_fixture *f = *state;
    fill(f);
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    char left[100];
    char file[120];
    (void)snprintf(left, sizeof(left), "%s/b", f->dir.path);
    assert_int_equal(mkdir(left, 0700), 0);
    (void)snprintf(left, sizeof(left), "%s.restoring", f->target);
    (void)snprintf(file, sizeof(file), "%s/000012.sst", left);
    assert_int_equal(mkdir(left, 0700), 0);
    write_file(file, KVS_SLICE("half"));
    struct kvs_message message = {{0}};
    if (restore(f, path, false, &message) != 0)
        fail_msg("%s", message.text);
    assert_int_equal(access(left, F_OK), -1);
    open_restored(f);
    assert_filled(f);
}

static void a_second_restore_into_the_same_folder_waits_its_turn(void **state)
{
    struct backup_fixture *f = *state;
    struct kvs_backup_info info;
    KVS_CLEANUP(kvs_freep) char *path = make_backup(f, &info);
    char left[100];
    (void)snprintf(left, sizeof(left), "%s.restoring", f->target);
    struct kvs_store *store = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_backup_open_store(left, &store, &message), 0); // the first one's
    assert_int_equal(restore(f, path, false, &message), KVS_ERR_BUSY);
    assert_int_equal(access(left, F_OK), 0);
    kvs_store_close(store);
    assert_int_equal(restore(f, path, false, &message), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, backup_setup, backup_teardown)
        TEST(a_restored_node_is_as_it_was),
        TEST(what_expires_and_is_deleted_goes_on_doing_so),
        TEST(as_new_writes_values_win_and_deletions_stay),
        TEST(a_value_of_any_size_comes_through),
        TEST(an_empty_node_can_be_backed_up),
        TEST(a_backup_shows_one_moment_while_writes_go_on),
        TEST(every_damaged_byte_is_found),
        TEST(a_file_that_ends_early_or_late_is_refused),
        TEST(a_damaged_or_partial_file_is_never_restored),
        TEST(a_newer_format_is_refused_as_such),
        TEST(format_1_stays_readable),
        TEST(records_out_of_order_or_without_writer_are_refused),
        TEST(a_folder_that_is_not_empty_stays_as_it_is),
        TEST(what_a_killed_restore_left_is_cleared_away),
        TEST(a_second_restore_into_the_same_folder_waits_its_turn),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
