// SPDX-License-Identifier: Apache-2.0
// A RocksDB store's life: open, close, and coming back after a failed write.
#include "store/rocksdb_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "store/directory.h"

enum {
    RESUME_WAIT_MS = 2000,               // for readers to leave
    FAMILY_COUNT = KVS_FAMILY_COUNT + 1, // and "default"
};

enum access { READ_WRITE, READ_ONLY };

// ---- The database

// Ends flushes and compactions, and lets none begin; reads go on. Filters read the store from
// compactions: they must be gone before handles are destroyed or the gate is closed.
static void stop_background_work(struct kvs_rocksdb *rocksdb)
{
    if (rocksdb->db)
        rocksdb_cancel_all_background_work(rocksdb->db, 1);
}

static void rocksdb_done(struct kvs_rocksdb *rocksdb)
{
    if (!rocksdb->db)
        return;
    stop_background_work(rocksdb);
    for (int i = 0; i < KVS_FAMILY_COUNT; i++)
        rocksdb_column_family_handle_destroy(rocksdb->families[i]);
    rocksdb_column_family_handle_destroy(rocksdb->unused);
    rocksdb_close(rocksdb->db);
    *rocksdb = (struct kvs_rocksdb){0};
}

static int rocksdb_init(struct kvs_rocksdb *rocksdb, const char *path, enum access access,
                        const struct kvs_rocksdb_settings *settings,
                        struct kvs_message *ret_message)
{
    const char *names[FAMILY_COUNT];
    const rocksdb_options_t *options[FAMILY_COUNT];
    rocksdb_column_family_handle_t *handles[FAMILY_COUNT];
    for (int i = 0; i < KVS_FAMILY_COUNT; i++) {
        names[i] = kvs_family_name((enum kvs_family)i);
        options[i] = settings->families[i];
    }
    names[KVS_FAMILY_COUNT] = "default";
    options[KVS_FAMILY_COUNT] = settings->families[KVS_FAMILY_META];
    char *text = NULL;
    rocksdb_t *db =
        access == READ_WRITE
            ? rocksdb_open_column_families(settings->database, path, FAMILY_COUNT, names, options,
                                           handles, &text)
            : rocksdb_open_for_read_only_column_families(settings->database, path, FAMILY_COUNT,
                                                         names, options, handles, 0, &text);
    int err = kvs_rocksdb_error(text, ret_message);
    if (err)
        return err;
    rocksdb->db = db;
    rocksdb->unused = handles[KVS_FAMILY_COUNT];
    memcpy(rocksdb->families, handles, sizeof(rocksdb->families));
    return 0;
}

// Opens it for writing: what its logs held is then in tables, and the logs are gone for good.
static int open_to_write(struct kvs_rocksdb_engine *engine, struct kvs_message *ret_message)
{
    uint64_t newest = 0;
    int err = kvs_rocksdb_newest_log(engine->lock_fd, &newest);
    if (err)
        return kvs_fail(ret_message, err, "list the write-ahead logs: %s", kvs_err_text(err));
    err = rocksdb_init(&engine->rocksdb, engine->path, READ_WRITE, &engine->settings, ret_message);
    if (err)
        return err;
    err = kvs_rocksdb_delete_logs(engine->lock_fd, newest);
    if (!err)
        return 0;
    rocksdb_done(&engine->rocksdb);
    return kvs_fail(ret_message, err, "delete the replayed logs: %s", kvs_err_text(err));
}

// RocksDB's text becomes "what failed: why: what to do".
static int explain(int err, const char *path, struct kvs_message *ret_message)
{
    struct kvs_message cause = {0};
    if (ret_message)
        cause = *ret_message;
    const char *advice = "see the system's log for the device";
    switch (err) {
    case KVS_ERR_CORRUPT:
        advice = "restore the directory from a backup, or move it away and let the node read "
                 "everything from its peers";
        break;
    case KVS_ERR_NO_SPACE:
        advice = "free some space on its device";
        break;
    default:
        if (strstr(cause.text, "Permission denied"))
            advice = "make directory and files writable for this user";
        else if (strstr(cause.text, "Too many open files"))
            advice = "raise the limit of open files (ulimit -n)";
        break;
    }
    return kvs_fail(ret_message, err, "open the store in %s: %.300s: %s", path, cause.text, advice);
}

// ---- The engine

static void engine_free(struct kvs_rocksdb_engine *engine)
{
    if (!engine)
        return;
    rocksdb_done(&engine->rocksdb);
    kvs_rocksdb_settings_done(&engine->settings);
    kvs_gate_done(&engine->gate);
    kvs_closep(&engine->lock_fd);
    free(engine->path);
    free(engine);
}
KVS_DEFINE_CLEANUP(struct kvs_rocksdb_engine, engine_free)

static struct kvs_rocksdb_engine *engine_new(const char *path)
{
    struct kvs_rocksdb_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return NULL;
    engine->store.ops = &kvs_rocksdb_ops;
    engine->lock_fd = -1;
    engine->path = strdup(path);
    if (engine->path && kvs_gate_init(&engine->gate) == 0)
        return engine;
    free(engine->path);
    free(engine);
    return NULL;
}

// Is there room for so much more in the directory's file system, and does it take a synced write?
static int check_disk(int dir_fd, uint64_t bytes)
{
    KVS_CLEANUP(kvs_closep) int fd = openat(dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EOPNOTSUPP ? 0 : kvs_err_from_errno(errno);
    int errnum = posix_fallocate(fd, 0, (off_t)bytes);
    if (errnum == EFBIG) // a limit on the size of files, which RocksDB's files meet just the same
        return KVS_ERR_NO_SPACE;
    errno = EIO; // of a write that comes short
    if (errnum == 0 && (pwrite(fd, "kvs", 3, 0) != 3 || fsync(fd) != 0))
        errnum = errno;
    return errnum == 0 ? 0 : kvs_err_from_errno(errnum);
}

// Opening writes into RocksDB's own log, and going on with that after a write has failed fails an
// assertion of Debian's 7.8, which ends the process: so only with room for everything. A directory
// that cannot be written into at all is RocksDB's to name.
static int check_room_to_start(const struct kvs_rocksdb_engine *engine, struct kvs_message *message)
{
    uint64_t replayed = 0;
    int err = kvs_rocksdb_log_bytes(engine->lock_fd, &replayed);
    uint64_t room = replayed + engine->settings.room_to_open;
    if (!err)
        err = check_disk(engine->lock_fd, room);
    if (err != KVS_ERR_NO_SPACE)
        return 0;
    return kvs_fail(message, err, "less than the %" PRIu64 " KiB that opening takes are free",
                    room >> 10);
}

int kvs_store_open(const struct kvs_store_options *options, struct kvs_store **ret_store,
                   struct kvs_message *ret_message)
{
    KVS_CLEANUP(engine_freep) struct kvs_rocksdb_engine *engine = engine_new(options->path);
    if (!engine)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "open the store in %s: out of memory",
                        options->path);
    int err = kvs_directory_open(options->path, &engine->lock_fd, ret_message);
    if (err)
        return err;
    struct kvs_message message = {0};
    kvs_rocksdb_settings_init(&engine->settings, options);
    err = kvs_rocksdb_check_logs(engine->lock_fd, options->async_writes, &message);
    if (!err)
        err = check_room_to_start(engine, &message);
    if (!err)
        err = open_to_write(engine, &message);
    if (err == KVS_ERR_CORRUPT && options->read_only_if_damaged) {
        atomic_store(&engine->write_err, KVS_ERR_READ_ONLY);
        err = rocksdb_init(&engine->rocksdb, engine->path, READ_ONLY, &engine->settings, &message);
    }
    if (err) {
        if (ret_message)
            *ret_message = message;
        return explain(err, options->path, ret_message);
    }
    *ret_store = &KVS_TAKE(engine)->store;
    return 0;
}

void kvs_rocksdb_close(struct kvs_store *store)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    // With the write buffers in tables the next start has no log to replay. Where that fails the
    // log still has everything.
    if (engine->rocksdb.db && atomic_load(&engine->write_err) == 0)
        (void)kvs_rocksdb_flush_all(&engine->rocksdb);
    stop_background_work(&engine->rocksdb);
    kvs_assert(atomic_load(&engine->gate.inside) == 0); // iterators are gone
    engine_free(engine);
}

// ---- Coming back

// Opening replays the log into new tables. When the disk could not take them, we would have closed
// a database that can be read for one that cannot be opened; when it fails, the process would end
// (check_room_to_start): so look first.
static int check_place(const struct kvs_rocksdb_engine *engine)
{
    uint64_t buffers = 0;
    for (int i = 0; i < KVS_FAMILY_COUNT; i++) {
        uint64_t size = 0;
        if (rocksdb_property_int_cf(engine->rocksdb.db, engine->rocksdb.families[i],
                                    "rocksdb.size-all-mem-tables", &size) == 0)
            buffers += size;
    }
    return check_disk(engine->lock_fd, buffers + engine->settings.room_to_open);
}

static int stop_if_there_is_a_place(struct kvs_rocksdb_engine *engine)
{
    int err = kvs_rocksdb_enter(engine, KVS_READ_CACHED);
    if (err == KVS_ERR_AGAIN)
        return KVS_ERR_BUSY; // another thread resumes
    if (err)
        return 0; // the database is away: there is nothing to look at or to stop
    err = check_place(engine);
    if (!err)
        stop_background_work(&engine->rocksdb);
    kvs_rocksdb_leave(engine);
    return err;
}

static int reopen(struct kvs_rocksdb_engine *engine)
{
    rocksdb_done(&engine->rocksdb);
    int err = open_to_write(engine, NULL);
    if (err) // reads go on if they can; writes stay refused
        (void)rocksdb_init(&engine->rocksdb, engine->path, READ_ONLY, &engine->settings, NULL);
    return err;
}

// RocksDB recovers by itself from a full disk and from nothing else, and nobody can ask it whether
// it has. So the database is opened anew: its log is replayed into synced tables, and what was
// acknowledged and what is on the device are the same again.
int kvs_rocksdb_resume(struct kvs_store *store)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    if (atomic_load(&engine->write_err) == 0)
        return 0;
    int err = stop_if_there_is_a_place(engine);
    if (!err)
        err = kvs_gate_close(&engine->gate, RESUME_WAIT_MS);
    if (err)
        return err;
    err = reopen(engine);
    if (!err)
        atomic_store(&engine->write_err, 0);
    kvs_gate_open(&engine->gate);
    return err;
}
