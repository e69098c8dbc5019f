// SPDX-License-Identifier: Apache-2.0
// The RocksDB engine's daily work: get, write, iterators. Batches are in rocksdb_batch.c.
//
// INV  After a failed write no later one is accepted until resume has succeeded, even when RocksDB
//      thinks itself recovered.
#include "store/rocksdb_internal.h"

#include "base/assert.h"

struct iter {
    struct kvs_store_iter iter;
    struct kvs_rocksdb_engine *engine;
    rocksdb_iterator_t *rocksdb; // NULL: could not be made, for the reason `err`
    int err;
    bool prefix_only;
};

int kvs_rocksdb_enter(struct kvs_rocksdb_engine *engine, enum kvs_read_mode mode)
{
    rocksdb_set_perf_level(rocksdb_disable); // this thread's; else every comparison is counted
    if (!kvs_gate_enter(&engine->gate, mode == KVS_READ_DISK))
        return KVS_ERR_AGAIN;
    if (engine->rocksdb.db)
        return 0;
    kvs_gate_leave(&engine->gate);
    return KVS_ERR_IO;
}

void kvs_rocksdb_leave(struct kvs_rocksdb_engine *engine)
{
    kvs_gate_leave(&engine->gate);
}

static int engine_get(struct kvs_store *store, enum kvs_family family, struct kvs_slice key,
                      enum kvs_read_mode mode, struct kvs_buf *ret_value)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    int err = kvs_rocksdb_enter(engine, mode);
    if (err)
        return err;
    char *text = NULL;
    rocksdb_pinnableslice_t *found =
        rocksdb_get_pinned_cf(engine->rocksdb.db, engine->settings.get[mode],
                              engine->rocksdb.families[family], key.data, key.size, &text);
    err = kvs_rocksdb_error(text, NULL);
    if (!err && !found)
        err = KVS_ERR_NOT_FOUND;
    if (!err) {
        size_t size = 0;
        const char *value = rocksdb_pinnableslice_value(found, &size);
        kvs_buf_append(ret_value, value, size);
        err = ret_value->err;
    }
    if (found)
        rocksdb_pinnableslice_destroy(found);
    kvs_rocksdb_leave(engine);
    return err;
}

// ---- Writing

// Without syncs a flush syncs the log that it has closed. A synced write would sync the same log
// behind it, and after that one has failed RocksDB 7.8 does not return an error but ends the
// process. So what must be durable is put into tables instead: these writes are rare
// (node/audit.h).
static int write_and_flush(struct kvs_rocksdb_engine *engine, struct kvs_store_batch *base)
{
    int err = kvs_rocksdb_batch_write(base, engine->settings.write[KVS_DURABILITY_ASYNC]);
    return err ? err : kvs_rocksdb_flush_all(&engine->rocksdb);
}

static int engine_write(struct kvs_store *store, struct kvs_store_batch *base,
                        enum kvs_durability durability)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    int err = kvs_rocksdb_enter(engine, KVS_READ_DISK);
    if (err)
        return err;
    err = atomic_load(&engine->write_err);
    if (!err)
        err = kvs_rocksdb_batch_error(base);
    if (!err) {
        err = durability == KVS_DURABILITY_SYNC && engine->settings.async_writes
                  ? write_and_flush(engine, base)
                  : kvs_rocksdb_batch_write(base, engine->settings.write[durability]);
        if (err)
            atomic_store(&engine->write_err, err);
    }
    kvs_rocksdb_leave(engine);
    return err;
}

// ---- Iterators

static bool has_prefixes(enum kvs_family family)
{
    return family == KVS_FAMILY_DATA || family == KVS_FAMILY_SYSTEM;
}

static struct kvs_store_iter *engine_iter_new(struct kvs_store *store, enum kvs_family family,
                                              const struct kvs_store_iter_options *options)
{
    struct kvs_rocksdb_engine *engine = kvs_rocksdb_engine(store);
    struct iter *iter = calloc(1, sizeof(*iter));
    if (!iter)
        return NULL;
    iter->iter.ops = store->ops;
    iter->engine = engine;
    iter->prefix_only = options->prefix_only && has_prefixes(family);
    iter->err = kvs_rocksdb_enter(engine, options->mode);
    if (!iter->err)
        iter->rocksdb = rocksdb_create_iterator_cf(
            engine->rocksdb.db,
            engine->settings.iterate[options->mode][iter->prefix_only][options->skip_cache_fill],
            engine->rocksdb.families[family]);
    return &iter->iter; // stays inside the gate until it is freed
}

static struct iter *to_iter(const struct kvs_store_iter *iter)
{
    return (struct iter *)iter;
}

static void engine_iter_free(struct kvs_store_iter *base)
{
    struct iter *iter = to_iter(base);
    if (iter->rocksdb) {
        rocksdb_iter_destroy(iter->rocksdb);
        kvs_rocksdb_leave(iter->engine);
    }
    free(iter);
}

static void engine_iter_seek(struct kvs_store_iter *base, struct kvs_slice key)
{
    struct iter *iter = to_iter(base);
    if (iter->rocksdb)
        rocksdb_iter_seek(iter->rocksdb, key.data, key.size);
}

static void engine_iter_seek_before(struct kvs_store_iter *base, struct kvs_slice key)
{
    struct iter *iter = to_iter(base);
    if (iter->rocksdb)
        rocksdb_iter_seek_for_prev(iter->rocksdb, key.data, key.size);
}

static void engine_iter_seek_last(struct kvs_store_iter *base)
{
    struct iter *iter = to_iter(base);
    kvs_assert(!iter->prefix_only);
    if (iter->rocksdb)
        rocksdb_iter_seek_to_last(iter->rocksdb);
}

static bool engine_iter_valid(const struct kvs_store_iter *base)
{
    struct iter *iter = to_iter(base);
    return iter->rocksdb && rocksdb_iter_valid(iter->rocksdb);
}

static void engine_iter_next(struct kvs_store_iter *base)
{
    kvs_assert(engine_iter_valid(base));
    rocksdb_iter_next(to_iter(base)->rocksdb);
}

static void engine_iter_prev(struct kvs_store_iter *base)
{
    kvs_assert(engine_iter_valid(base));
    rocksdb_iter_prev(to_iter(base)->rocksdb);
}

static int engine_iter_error(const struct kvs_store_iter *base)
{
    struct iter *iter = to_iter(base);
    if (!iter->rocksdb)
        return iter->err;
    char *text = NULL;
    rocksdb_iter_get_error(iter->rocksdb, &text);
    return kvs_rocksdb_error(text, NULL);
}

static struct kvs_slice engine_iter_key(const struct kvs_store_iter *base)
{
    kvs_assert(engine_iter_valid(base));
    size_t size = 0;
    const char *key = rocksdb_iter_key(to_iter(base)->rocksdb, &size);
    return kvs_slice(key, size);
}

static struct kvs_slice engine_iter_value(const struct kvs_store_iter *base)
{
    kvs_assert(engine_iter_valid(base));
    size_t size = 0;
    const char *value = rocksdb_iter_value(to_iter(base)->rocksdb, &size);
    return kvs_slice(value, size);
}

const struct kvs_store_ops kvs_rocksdb_ops = {
    .close = kvs_rocksdb_close,
    .get = engine_get,
    .batch_new = kvs_rocksdb_batch_new,
    .batch_free = kvs_rocksdb_batch_free,
    .batch_clear = kvs_rocksdb_batch_clear,
    .batch_put = kvs_rocksdb_batch_put,
    .batch_delete = kvs_rocksdb_batch_delete,
    .batch_delete_range = kvs_rocksdb_batch_delete_range,
    .write = engine_write,
    .iter_new = engine_iter_new,
    .iter_free = engine_iter_free,
    .iter_seek = engine_iter_seek,
    .iter_seek_before = engine_iter_seek_before,
    .iter_seek_last = engine_iter_seek_last,
    .iter_next = engine_iter_next,
    .iter_prev = engine_iter_prev,
    .iter_valid = engine_iter_valid,
    .iter_key = engine_iter_key,
    .iter_value = engine_iter_value,
    .iter_error = engine_iter_error,
    .checkpoint = kvs_rocksdb_checkpoint,
    .flush = kvs_rocksdb_flush,
    .compact = kvs_rocksdb_compact,
    .stats = kvs_rocksdb_stats,
    .resume = kvs_rocksdb_resume,
};
