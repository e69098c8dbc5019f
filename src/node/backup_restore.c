// SPDX-License-Identifier: Apache-2.0
// From a backup file to a store. What a reader has given proves nothing before its end, so a store
// is built under another name, looked at, and only then renamed: an interrupted restore leaves no
// half of one where a node would open it.
#include "node/backup_internal.h"

#include "base/assert.h"
#include "codec/index.h"
#include "codec/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BATCH_SIZE_MAX = 4 << 20,
    WATCH_EVERY = 32,
    STORE_MEMORY_SIZE = 8 << 20,
    SCRATCH_SIZE_MAX = 1 << 30, // of one entry; the reader bounds it further
};

static int read_file(void *ctx, char *bytes, size_t size, size_t *ret_size)
{
    const int *fd = ctx;
    ssize_t got;
    do
        got = read(*fd, bytes, size);
    while (got < 0 && errno == EINTR);
    *ret_size = got > 0 ? (size_t)got : 0;
    return got < 0 ? kvs_err_from_errno(errno) : 0;
}

// Opens a file and its reader; both are the caller's.
static int open_reader(const char *file, int *ret_fd, struct kvs_backup_reader **ret_reader,
                       struct kvs_message *ret_message)
{
    *ret_fd = open(file, O_RDONLY | O_CLOEXEC);
    if (*ret_fd < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "open %s: %s", file,
                        strerror(errno));
    struct stat status;
    if (fstat(*ret_fd, &status) == 0 && S_ISDIR(status.st_mode))
        return kvs_fail(ret_message, KVS_ERR_INVALID, "%s is a folder: name a backup in it", file);
    const struct kvs_backup_source source = {read_file, ret_fd};
    int err = kvs_backup_reader_open(&source, ret_reader, ret_message);
    return err ? kvs_fail_wrap(ret_message, err, "%s", file) : 0;
}

// ---- The manifest alone

static int read_at(int fd, off_t offset, struct kvs_buf *out, size_t size)
{
    char *room = kvs_buf_reserve(out, size);
    if (!room)
        return KVS_ERR_NOMEM;
    ssize_t got = pread(fd, room, size, offset);
    if (got < 0)
        return kvs_err_from_errno(errno);
    out->size = (size_t)got;
    return (size_t)got == size ? 0 : KVS_ERR_CORRUPT;
}

static int peek(int fd, struct kvs_backup_info *ret_info)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return kvs_err_from_errno(errno);
    KVS_CLEANUP(kvs_buf_donep)
    struct kvs_buf bytes = KVS_BUF_INIT(KVS_BACKUP_HEADER_SIZE_MAX);
    int err = read_at(fd, 0, &bytes, KVS_BACKUP_FRAME_HEAD_SIZE);
    size_t size = err ? 0 : kvs_backup_header_size(kvs_buf_slice(&bytes));
    if (!err && size == 0)
        err = KVS_ERR_CORRUPT;
    kvs_buf_clear(&bytes);
    if (!err)
        err = read_at(fd, 0, &bytes, size);
    if (!err)
        err = kvs_backup_header_decode(kvs_buf_slice(&bytes), ret_info);
    if (err)
        return err;
    kvs_buf_clear(&bytes);
    uint64_t body_size = 0;
    if (stat.st_size < KVS_BACKUP_TRAILER_SIZE)
        return KVS_ERR_CORRUPT;
    err = read_at(fd, stat.st_size - KVS_BACKUP_TRAILER_SIZE, &bytes, KVS_BACKUP_TRAILER_SIZE);
    if (!err)
        err = kvs_backup_trailer_decode(kvs_buf_slice(&bytes), ret_info, &body_size);
    if (!err && ret_info->file_size != (uint64_t)stat.st_size)
        err = KVS_ERR_CORRUPT;
    return err;
}

int kvs_backup_peek(const char *path, struct kvs_backup_info *ret_info,
                    struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    int err = fd < 0 ? kvs_err_from_errno(errno) : peek(fd, ret_info);
    return err ? kvs_fail(ret_message, err, "%s: %s", path, kvs_err_text(err)) : 0;
}

// For progress bars; errors show when the file is read.
static uint64_t expected_versions(const char *path)
{
    struct kvs_backup_info info = {0};
    return kvs_backup_peek(path, &info, NULL) == 0 ? info.content.versions : 0;
}

// ---- Verifying

int kvs_backup_verify(const char *path, const struct kvs_backup_watch *watch,
                      struct kvs_backup_info *ret_info, struct kvs_message *ret_message)
{
    uint64_t total = expected_versions(path);
    KVS_CLEANUP(kvs_closep) int fd = -1;
    KVS_CLEANUP(kvs_backup_reader_freep) struct kvs_backup_reader *reader = NULL;
    int err = open_reader(path, &fd, &reader, ret_message);
    if (err)
        return err;
    uint64_t versions = 0;
    struct kvs_backup_entry entry;
    while (!(err = kvs_backup_reader_next(reader, &entry, ret_message))) {
        versions += entry.kind == KVS_BACKUP_VERSION;
        if (versions % WATCH_EVERY == 0 &&
            !kvs_backup_go_on(watch, KVS_BACKUP_READING, versions, total))
            return kvs_backup_fail_stopped(ret_message);
    }
    if (err != KVS_ERR_NOT_FOUND)
        return kvs_fail_wrap(ret_message, err, "%s", path);
    *ret_info = *kvs_backup_reader_info(reader);
    return 0;
}

// ---- Loading

struct loader {
    struct kvs_store *store;
    struct kvs_store_batch *batch;
    size_t batch_size;
    struct kvs_buf key;
    struct kvs_buf value;
    struct kvs_buf last_key; // of the last version: the next one may be older
    enum kvs_family last_family;
    const struct kvs_backup_watch *watch;
    uint64_t versions;
    uint64_t total;
};

static int flush_batch(struct loader *loader)
{
    int err = loader->batch_size > 0
                  ? kvs_store_write(loader->store, loader->batch, KVS_DURABILITY_ASYNC)
                  : 0;
    kvs_store_batch_clear(loader->batch);
    loader->batch_size = 0;
    return err;
}

static void put(struct loader *loader, enum kvs_family family, struct kvs_slice key,
                struct kvs_slice value)
{
    kvs_store_batch_put(loader->batch, family, key, value);
    loader->batch_size += key.size + value.size;
}

static void put_writer(struct loader *loader, const struct kvs_backup_entry *entry)
{
    kvs_buf_append_str(&loader->key, "writer/");
    kvs_wire_put_u32be(&loader->key, entry->writer_id);
    kvs_writer_encode(&loader->value, &entry->version.writer);
    put(loader, KVS_FAMILY_META, kvs_buf_slice(&loader->key), kvs_buf_slice(&loader->value));
}

// The version and, where it is the current one, its place in time.
static void put_version(struct loader *loader, const struct kvs_backup_entry *entry)
{
    const struct kvs_version *version = &entry->version;
    bool current = entry->family != loader->last_family ||
                   !kvs_slice_eq(entry->key, kvs_buf_slice(&loader->last_key));
    kvs_record_encode_key(&loader->key, entry->key, version);
    kvs_record_encode_value(&loader->value, kvs_buf_slice(&loader->key), version, entry->writer_id,
                            entry->value);
    put(loader, entry->family, kvs_buf_slice(&loader->key), kvs_buf_slice(&loader->value));
    if (current) {
        kvs_buf_clear(&loader->key);
        kvs_by_time_key_encode(&loader->key, version->timestamp, entry->key);
        put(loader, KVS_FAMILY_BY_TIME, kvs_buf_slice(&loader->key), KVS_SLICE_EMPTY);
    }
    loader->last_family = entry->family;
    kvs_buf_clear(&loader->last_key);
    kvs_buf_append_slice(&loader->last_key, entry->key);
}

static int load_entry(struct loader *loader, const struct kvs_backup_entry *entry)
{
    kvs_buf_clear(&loader->key);
    kvs_buf_clear(&loader->value);
    // Room first: half an entry must not get into the batch.
    if (!kvs_buf_reserve(&loader->key, KVS_KEY_SIZE_MAX + KVS_RECORD_SUFFIX_SIZE) ||
        !kvs_buf_reserve(&loader->value, entry->value.size + 64) ||
        !kvs_buf_reserve(&loader->last_key, KVS_KEY_SIZE_MAX))
        return KVS_ERR_NOMEM;
    if (entry->kind == KVS_BACKUP_WRITER)
        put_writer(loader, entry);
    else if (entry->kind == KVS_BACKUP_PLAIN)
        put(loader, entry->family, entry->key, entry->value);
    else
        put_version(loader, entry);
    return loader->batch_size >= BATCH_SIZE_MAX ? flush_batch(loader) : 0;
}

static int load_all(struct loader *loader, struct kvs_backup_reader *reader, const char *path,
                    struct kvs_message *ret_message)
{
    struct kvs_backup_entry entry;
    int err;
    while (!(err = kvs_backup_reader_next(reader, &entry, ret_message))) {
        loader->versions += entry.kind == KVS_BACKUP_VERSION;
        if (loader->versions % WATCH_EVERY == 0 &&
            !kvs_backup_go_on(loader->watch, KVS_BACKUP_READING, loader->versions, loader->total))
            return kvs_backup_fail_stopped(ret_message);
        err = load_entry(loader, &entry);
        if (err)
            return kvs_fail(ret_message, err, "write into %s: %s", path, kvs_err_text(err));
    }
    if (err != KVS_ERR_NOT_FOUND)
        return err;
    err = flush_batch(loader);
    if (!err)
        err = kvs_store_flush(loader->store);
    return err ? kvs_fail(ret_message, err, "write into %s: %s", path, kvs_err_text(err)) : 0;
}

// Reads the store back, as a backup of it would, and compares.
static int check_store(struct kvs_store *store, const struct kvs_backup_info *info,
                       const struct kvs_backup_watch *watch, struct kvs_message *ret_message)
{
    struct kvs_backup_view view;
    int err = kvs_backup_view_init(&view, store);
    if (err)
        return kvs_fail(ret_message, err, "%s", kvs_err_text(err));
    struct kvs_backup_tally tally;
    kvs_backup_tally_init(&tally, &info->prf, info->created_at_ms);
    struct kvs_backup_walk walk = {.view = &view,
                                   .tally = &tally,
                                   .watch = watch,
                                   .phase = KVS_BACKUP_CHECKING,
                                   .total = info->content.versions};
    err = kvs_backup_walk(&walk, ret_message);
    if (!err && !kvs_backup_content_eq(&tally.content, &info->content))
        err = kvs_fail(ret_message, KVS_ERR_CORRUPT,
                       "what was restored has another fingerprint than the backup: this is a "
                       "fault of KVS or of the disk");
    kvs_backup_tally_done(&tally);
    kvs_backup_view_done(&view);
    return err;
}

int kvs_backup_open_store(const char *path, struct kvs_store **ret_store,
                          struct kvs_message *ret_message)
{
    const struct kvs_store_options options = {
        .path = path,
        .compression = true,
        .compression_level = 1, // compaction will use the node's own
        .block_cache_size = STORE_MEMORY_SIZE,
        .write_buffer_size = STORE_MEMORY_SIZE,
    };
    return kvs_store_open(&options, ret_store, ret_message);
}

static int load_into(struct kvs_store *store, struct kvs_backup_reader *reader, const char *path,
                     const struct kvs_backup_watch *watch, uint64_t total,
                     struct kvs_message *ret_message)
{
    struct loader loader = {.store = store,
                            .batch = kvs_store_batch_new(store),
                            .key = KVS_BUF_INIT(SCRATCH_SIZE_MAX),
                            .value = KVS_BUF_INIT(SCRATCH_SIZE_MAX),
                            .last_key = KVS_BUF_INIT(SCRATCH_SIZE_MAX),
                            .last_family = KVS_FAMILY_COUNT,
                            .watch = watch,
                            .total = total};
    int err = loader.batch ? load_all(&loader, reader, path, ret_message)
                           : kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    kvs_store_batch_free(loader.batch);
    kvs_buf_done(&loader.key);
    kvs_buf_done(&loader.value);
    kvs_buf_done(&loader.last_key);
    return err;
}

int kvs_backup_load(const char *file, const char *path, const struct kvs_backup_watch *watch,
                    struct kvs_backup_info *ret_info, struct kvs_message *ret_message)
{
    uint64_t total = expected_versions(file);
    KVS_CLEANUP(kvs_closep) int fd = -1;
    KVS_CLEANUP(kvs_backup_reader_freep) struct kvs_backup_reader *reader = NULL;
    int err = open_reader(file, &fd, &reader, ret_message);
    if (err)
        return err;
    KVS_CLEANUP(kvs_store_closep) struct kvs_store *store = NULL;
    err = kvs_backup_open_store(path, &store, ret_message);
    if (!err)
        err = load_into(store, reader, path, watch, total, ret_message);
    if (err)
        return kvs_fail_wrap(ret_message, err, "%s", file);
    *ret_info = *kvs_backup_reader_info(reader);
    return check_store(store, ret_info, watch, ret_message);
}

// ---- Restoring

static int check_target(const char *path, struct kvs_message *ret_message)
{
    DIR *dir = opendir(path);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "%s: %s", path, strerror(errno));
    bool empty = true;
    for (const struct dirent *entry; (entry = readdir(dir));)
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    (void)closedir(dir); // only read
    if (empty)
        return 0;
    return kvs_fail(ret_message, KVS_ERR_CONFLICT,
                    "%s is not empty: name a new or an empty folder, or move that one away", path);
}

// Removes what a killed restore left of the folder in which the store is built.
// The store that is built there then has a lock of its own on it.
static int clear_workplace(const char *path, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
        return kvs_fail(ret_message, KVS_ERR_BUSY,
                        "%s is in use: another restore into the same folder runs", path);
    int err = kvs_backup_remove_tree(path);
    return err ? kvs_fail(ret_message, err, "remove %s: %s", path, kvs_err_text(err)) : 0;
}

static int put_in_place(const char *from, const char *to, struct kvs_message *ret_message)
{
    if (rename(from, to) != 0)
        return kvs_fail(ret_message, errno == ENOTEMPTY ? KVS_ERR_CONFLICT : KVS_ERR_IO,
                        "rename %s to %s: %s%s", from, to, strerror(errno),
                        errno == EBUSY ? ": name a folder inside of that mount" : "");
    KVS_CLEANUP(kvs_freep) char *parent = kvs_backup_parent(to);
    int err = parent ? kvs_backup_sync_folder(parent) : KVS_ERR_NOMEM;
    return err ? kvs_fail(ret_message, err, "sync the folder of %s: %s", to, kvs_err_text(err)) : 0;
}

static int restore_at(const struct kvs_backup_restore_options *options, const char *workplace,
                      const char *target, struct kvs_backup_info *ret_info, uint64_t *ret_rewritten,
                      struct kvs_message *ret_message)
{
    int err = kvs_backup_load(options->file, workplace, options->watch, ret_info, ret_message);
    if (!err && options->as_new_writes)
        err = kvs_backup_rewrite(options, workplace, ret_info->content.keys, ret_rewritten,
                                 ret_message);
    if (!err)
        err = put_in_place(workplace, target, ret_message);
    return err;
}

int kvs_backup_restore(const struct kvs_backup_restore_options *options,
                       struct kvs_backup_info *ret_info, uint64_t *ret_rewritten,
                       struct kvs_message *ret_message)
{
    *ret_rewritten = 0;
    KVS_CLEANUP(kvs_freep) char *target = strdup(options->data_dir);
    KVS_CLEANUP(kvs_freep) char *workplace = NULL;
    size_t size = target ? strlen(target) : 0;
    while (size > 1 && target[size - 1] == '/')
        target[--size] = '\0';
    if (size == 0 || asprintf(&workplace, "%s.restoring", target) < 0) {
        workplace = NULL;
        return kvs_fail(ret_message, size == 0 ? KVS_ERR_INVALID : KVS_ERR_NOMEM,
                        "no folder to restore into");
    }
    int err = check_target(target, ret_message);
    // A look at the file first: the common mistakes show before anything is made.
    struct kvs_backup_info info;
    struct kvs_message unused;
    if (!err && kvs_backup_peek(options->file, &info, &unused) == KVS_ERR_NOT_FOUND)
        err = kvs_fail(ret_message, KVS_ERR_NOT_FOUND, "open %s: no such file", options->file);
    if (!err)
        err = clear_workplace(workplace, ret_message);
    if (err)
        return err;
    err = restore_at(options, workplace, target, ret_info, ret_rewritten, ret_message);
    if (err && err != KVS_ERR_BUSY)              // busy: it is somebody else's
        (void)kvs_backup_remove_tree(workplace); // the error that counts is known
    return err;
}
