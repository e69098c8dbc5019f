// SPDX-License-Identifier: Apache-2.0
// The RocksDB engine from inside: what its files share. Nothing of this leaves the folder.
#ifndef KVS_STORE_ROCKSDB_INTERNAL_H
#define KVS_STORE_ROCKSDB_INTERNAL_H

#include <rocksdb/c.h>

#include "store/gate.h"
#include "store/store.h"

// One family's compaction filter as RocksDB's callbacks see it; static for the store's life.
struct kvs_rocksdb_filter {
    struct kvs_store_filter filter;
    char name[32];
};

// Everything that stays the same when the database is closed and opened again.
struct kvs_rocksdb_settings {
    rocksdb_env_t *env;
    rocksdb_cache_t *cache;
    rocksdb_options_t *database;
    rocksdb_options_t *families[KVS_FAMILY_COUNT];
    rocksdb_writeoptions_t *write[2];        // by enum kvs_durability
    rocksdb_readoptions_t *get[2];           // by enum kvs_read_mode
    rocksdb_readoptions_t *iterate[2][2][2]; // by mode, prefix_only, skip_cache_fill
    struct kvs_rocksdb_filter filters[KVS_FAMILY_COUNT];
    bool async_writes;     // as in struct kvs_store_options
    uint64_t room_to_open; // bytes that opening may take besides the tables of the replayed log
};

// An open database. Handles are valid while the engine's gate is held.
struct kvs_rocksdb {
    rocksdb_t *db;                          // NULL: could not be opened again
    rocksdb_column_family_handle_t *unused; // "default", which RocksDB insists on
    rocksdb_column_family_handle_t *families[KVS_FAMILY_COUNT];
};

struct kvs_rocksdb_engine {
    struct kvs_store store;
    char *path;
    int lock_fd; // the directory, locked
    struct kvs_rocksdb_settings settings;
    struct kvs_gate gate; // every use of `rocksdb` is inside; resume closes it
    struct kvs_rocksdb rocksdb;
    _Atomic int write_err; // not 0: writes are refused with it until resume
};

static inline struct kvs_rocksdb_engine *kvs_rocksdb_engine(struct kvs_store *store)
{
    return (struct kvs_rocksdb_engine *)store;
}

// ---- rocksdb_error.c

// Takes RocksDB's text (NULL = success), frees it, and says what it means in our terms. With
// `ret_message` the text goes there.
KVS_MUST_CHECK int kvs_rocksdb_error(char *text, struct kvs_message *ret_message);

// ---- rocksdb_options.c: all tuning is there

void kvs_rocksdb_settings_init(struct kvs_rocksdb_settings *settings,
                               const struct kvs_store_options *options);
void kvs_rocksdb_settings_done(struct kvs_rocksdb_settings *settings);
// Of such a family no range may be deleted: RocksDB would end the process.
bool kvs_rocksdb_has_hints(enum kvs_family family);

// ---- rocksdb_filter.c

// "Up to and including the first NUL". Owned by the options it is given to.
rocksdb_slicetransform_t *kvs_rocksdb_key_prefix(void);
// Borrows `filter`, which must outlive the database. Owned by the options it is given to.
rocksdb_compactionfilterfactory_t *kvs_rocksdb_filter_factory(struct kvs_rocksdb_filter *filter);

// ---- rocksdb_log.c

// KVS_ERR_CORRUPT when MANIFEST or, unless `holes_allowed`, a write-ahead log is damaged rather
// than torn by a crash. Before the database is opened.
KVS_MUST_CHECK int kvs_rocksdb_check_logs(int dir_fd, bool holes_allowed,
                                          struct kvs_message *ret_message);

// How large the write-ahead logs are together. Before the database is opened.
KVS_MUST_CHECK int kvs_rocksdb_log_bytes(int dir_fd, uint64_t *ret_bytes);

// Which write-ahead logs there are: up to this number. 0: none. Before the database is opened.
KVS_MUST_CHECK int kvs_rocksdb_newest_log(int dir_fd, uint64_t *ret_number);

// Deletes the logs up to this number, durably. Only after an open that has put all of them into
// tables: RocksDB deletes them too, but not durably, and one whose end is torn would be back after
// a power failure, before logs with acknowledged writes: damage, by all that can be seen.
KVS_MUST_CHECK int kvs_rocksdb_delete_logs(int dir_fd, uint64_t up_to);

// ---- rocksdb_open.c

extern const struct kvs_store_ops kvs_rocksdb_ops; // rocksdb_engine.c

void kvs_rocksdb_close(struct kvs_store *store);
int kvs_rocksdb_resume(struct kvs_store *store);

// ---- rocksdb_admin.c

int kvs_rocksdb_checkpoint(struct kvs_store *store, const char *path);
int kvs_rocksdb_flush(struct kvs_store *store);
int kvs_rocksdb_compact(struct kvs_store *store, enum kvs_family family);
int kvs_rocksdb_stats(struct kvs_store *store, struct kvs_store_stats *ret_stats);
int kvs_rocksdb_flush_all(struct kvs_rocksdb *rocksdb); // the caller is inside the gate

// ---- rocksdb_batch.c

struct kvs_store_batch *kvs_rocksdb_batch_new(struct kvs_store *store);
void kvs_rocksdb_batch_free(struct kvs_store_batch *batch);
void kvs_rocksdb_batch_clear(struct kvs_store_batch *batch);
void kvs_rocksdb_batch_put(struct kvs_store_batch *batch, enum kvs_family family,
                           struct kvs_slice key, struct kvs_slice value);
void kvs_rocksdb_batch_delete(struct kvs_store_batch *batch, enum kvs_family family,
                              struct kvs_slice key);
void kvs_rocksdb_batch_delete_range(struct kvs_store_batch *batch, enum kvs_family family,
                                    struct kvs_slice first, struct kvs_slice end);
// Why the batch is incomplete: KVS_ERR_NOMEM, KVS_ERR_TOO_LARGE; 0.
int kvs_rocksdb_batch_error(const struct kvs_store_batch *batch);
// The caller is inside the gate, and the batch has no error. An error is the database's.
KVS_MUST_CHECK int kvs_rocksdb_batch_write(struct kvs_store_batch *batch,
                                           const rocksdb_writeoptions_t *options);

// ---- rocksdb_engine.c

// Goes inside the gate; 0 or why not (then it is not inside). Mode CACHED never waits.
KVS_MUST_CHECK int kvs_rocksdb_enter(struct kvs_rocksdb_engine *engine, enum kvs_read_mode mode);
void kvs_rocksdb_leave(struct kvs_rocksdb_engine *engine);

#endif
