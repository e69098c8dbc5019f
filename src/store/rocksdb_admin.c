// SPDX-License-Identifier: Apache-2.0
// What the RocksDB engine does now and then: checkpoints, flushes, compactions, figures.
#include "store/rocksdb_internal.h"

#include "store/directory.h"

static int create_checkpoint(struct kvs_rocksdb *rocksdb, const char *path)
{
    char *text = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocksdb->db, &text);
    int err = kvs_rocksdb_error(text, NULL);
    if (err)
        return err;
    // 0: write buffers are flushed first, so that the copy needs no log.
    rocksdb_checkpoint_create(checkpoint, path, 0, &text);
    err = kvs_rocksdb_error(text, NULL);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return err;
}

int kvs_rocksdb_checkpoint(struct kvs_store *store, const char *path)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    int err = kvs_rocksdb_enter(engine, KVS_READ_DISK);
    if (err)
        return err;
    err = create_checkpoint(&engine->rocksdb, path);
    kvs_rocksdb_leave(engine);
    return err ? err : kvs_directory_mark(path);
}

int kvs_rocksdb_flush_all(struct kvs_rocksdb *rocksdb)
{
    int err = 0;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    for (int i = 0; !err && i < KVS_FAMILY_COUNT; i++) {
        char *text = NULL;
        rocksdb_flush_cf(rocksdb->db, options, rocksdb->families[i], &text);
        err = kvs_rocksdb_error(text, NULL);
    }
    rocksdb_flushoptions_destroy(options);
    return err;
}

int kvs_rocksdb_flush(struct kvs_store *store)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    int err = kvs_rocksdb_enter(engine, KVS_READ_DISK);
    if (err)
        return err;
    err = kvs_rocksdb_flush_all(&engine->rocksdb);
    kvs_rocksdb_leave(engine);
    return err;
}

static uint64_t database_figure(const struct kvs_rocksdb *rocksdb, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int(rocksdb->db, name, &value) == 0 ? value : 0;
}

static uint64_t family_figure(const struct kvs_rocksdb *rocksdb, int family, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int_cf(rocksdb->db, rocksdb->families[family], name, &value) == 0
               ? value
               : 0;
}

int kvs_rocksdb_compact(struct kvs_store *store, enum kvs_family family)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    int err = kvs_rocksdb_enter(engine, KVS_READ_DISK);
    if (err)
        return err;
    // The C API does not say how a compaction ended; the count of background errors does.
    const char *errors = "rocksdb.background-errors";
    uint64_t before = database_figure(&engine->rocksdb, errors);
    rocksdb_compact_range_cf(engine->rocksdb.db, engine->rocksdb.families[family], NULL, 0, NULL,
                             0);
    if (database_figure(&engine->rocksdb, errors) != before)
        err = KVS_ERR_IO;
    kvs_rocksdb_leave(engine);
    return err;
}

int kvs_rocksdb_stats(struct kvs_store *store, struct kvs_store_stats *ret_stats)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    int err = kvs_rocksdb_enter(engine, KVS_READ_DISK);
    if (err)
        return err;
    struct kvs_store_stats stats = {0};
    stats.memory_bytes = rocksdb_cache_get_usage(engine->settings.cache);
    for (int i = 0; i < KVS_FAMILY_COUNT; i++) {
        stats.keys_estimate[i] = family_figure(&engine->rocksdb, i, "rocksdb.estimate-num-keys");
        stats.table_bytes += family_figure(&engine->rocksdb, i, "rocksdb.live-sst-files-size");
        stats.memory_bytes +=
            family_figure(&engine->rocksdb, i, "rocksdb.size-all-mem-tables") +
            family_figure(&engine->rocksdb, i, "rocksdb.estimate-table-readers-mem");
    }
    kvs_rocksdb_leave(engine);
    *ret_stats = stats;
    return 0;
}
