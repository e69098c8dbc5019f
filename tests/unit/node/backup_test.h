// SPDX-License-Identifier: Apache-2.0
// What the tests of backups share: a node (fixture.h), a folder for backups beside its data, files
// as bytes.
#ifndef KVS_TESTS_UNIT_NODE_BACKUP_TEST_H
#define KVS_TESTS_UNIT_NODE_BACKUP_TEST_H

#include "tests/unit/node/fixture.h"

#include "node/backup_internal.h"

#include <fcntl.h>
#include <sys/stat.h>

struct backup_fixture {
    struct fixture node;
    struct tempdir dir;
    char folder[80]; // of backups; not made yet
    char target[80]; // to restore into; not made yet
};

static inline int backup_setup(void **state)
{
    struct backup_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fixture_init(&f->node);
    fixture_open(&f->node);
    tempdir_init(&f->dir);
    (void)snprintf(f->folder, sizeof(f->folder), "%s/a/backups", f->dir.path);
    (void)snprintf(f->target, sizeof(f->target), "%s/b/data", f->dir.path);
    *state = f;
    return 0;
}

static inline int backup_teardown(void **state)
{
    struct backup_fixture *f = *state;
    fixture_done(&f->node);
    tempdir_done(&f->dir);
    free(f);
    return 0;
}

// Of a node that is open: on its commit thread.
static inline struct kvs_backup_view view_of(struct backup_fixture *f)
{
    struct kvs_backup_view view = {0};
    struct kvs_write write = {.op = KVS_WRITE_VIEW, .view = &view};
    assert_int_equal(kvs_node_write_wait(f->node.node, &write), 0);
    return view;
}

static inline struct kvs_backup_options backup_options(struct backup_fixture *f)
{
    return (struct kvs_backup_options){.folder = f->folder,
                                       .node_id = "test",
                                       .compression_level = 3,
                                       .clock = &f->node.clock.base,
                                       .random = kvs_random_system()};
}

// Its path, to be freed.
static inline char *make_backup(struct backup_fixture *f, struct kvs_backup_info *ret_info)
{
    const struct kvs_backup_options options = backup_options(f);
    struct kvs_backup_view view = view_of(f);
    struct kvs_message message = {{0}};
    char *path = NULL;
    if (kvs_backup_create(&options, &view, ret_info, &path, &message) != 0)
        fail_msg("%s", message.text);
    return path;
}

static inline int restore(struct backup_fixture *f, const char *file, bool as_new_writes,
                          struct kvs_message *ret_message)
{
    const struct kvs_backup_restore_options options = {.file = file,
                                                       .data_dir = f->target,
                                                       .as_new_writes = as_new_writes,
                                                       .clock = &f->node.clock.base,
                                                       .random = kvs_random_system()};
    struct kvs_backup_info info;
    uint64_t rewritten = 0;
    return kvs_backup_restore(&options, &info, &rewritten, ret_message);
}

// The fixture's node continues on what was restored.
static inline void open_restored(struct backup_fixture *f)
{
    kvs_node_close(f->node.node);
    f->node.node = NULL;
    f->node.options.data_dir = f->target;
    fixture_open(&f->node);
}

static inline void write_file(const char *path, struct kvs_slice bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.size), bytes.size);
    assert_int_equal(close(fd), 0);
}

static inline void read_whole(const char *path, struct kvs_buf *out)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    char *room;
    ssize_t got = 0;
    while ((room = kvs_buf_reserve(out, 4096)) && (got = read(fd, room, 4096)) > 0)
        out->size += (size_t)got;
    assert_int_equal(got, 0);
    assert_int_equal(close(fd), 0);
}

// Files in a folder whose names begin so; 0 where there is no folder.
static inline int count_files(const char *folder, const char *prefix)
{
    char command[300];
    (void)snprintf(command, sizeof(command), "ls -A '%s' 2>/dev/null | grep -c '^%s'", folder,
                   prefix);
    FILE *pipe = popen(command, "r");
    int count = -1;
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%d", &count), 1);
    (void)pclose(pipe); // grep ends with 1 when it counts 0
    return count;
}

// A source of bytes in memory.
struct memory_source {
    struct kvs_slice bytes;
    size_t step; // at most so many a read
};

static inline int memory_read(void *ctx, char *bytes, size_t size, size_t *ret_size)
{
    struct memory_source *source = ctx;
    size_t got = source->bytes.size < size ? source->bytes.size : size;
    if (source->step > 0 && got > source->step)
        got = source->step;
    if (got > 0)
        memcpy(bytes, source->bytes.data, got);
    source->bytes = kvs_slice(source->bytes.data + got, source->bytes.size - got);
    *ret_size = got;
    return 0;
}

// 0 when everything in it is whole.
static inline int read_backup(struct kvs_slice bytes, size_t step, struct kvs_message *ret_message)
{
    struct memory_source memory = {bytes, step};
    const struct kvs_backup_source source = {memory_read, &memory};
    struct kvs_backup_reader *reader = NULL;
    struct kvs_backup_entry entry;
    int err = kvs_backup_reader_open(&source, &reader, ret_message);
    while (!err)
        err = kvs_backup_reader_next(reader, &entry, ret_message);
    kvs_backup_reader_free(reader);
    return err == KVS_ERR_NOT_FOUND ? 0 : err;
}

#endif
