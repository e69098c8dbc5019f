// SPDX-License-Identifier: Apache-2.0
// The calls of store.h, handed to whichever engine stands behind them.
#include "store/store.h"

#include "base/assert.h"

const char *kvs_family_name(enum kvs_family family)
{
    static const char *const names[KVS_FAMILY_COUNT] = {
        [KVS_FAMILY_META] = "meta",     [KVS_FAMILY_DATA] = "data",
        [KVS_FAMILY_SYSTEM] = "system", [KVS_FAMILY_BY_TIME] = "by_time",
        [KVS_FAMILY_LOG] = "log",       [KVS_FAMILY_DUE] = "due",
        [KVS_FAMILY_AUDIT] = "audit",
    };
    kvs_assert((unsigned)family < KVS_FAMILY_COUNT);
    return names[family];
}

void kvs_store_close(struct kvs_store *store)
{
    if (store)
        store->ops->close(store);
}

int kvs_store_get(struct kvs_store *store, enum kvs_family family, struct kvs_slice key,
                  enum kvs_read_mode mode, struct kvs_buf *ret_value)
{
    return store->ops->get(store, family, key, mode, ret_value);
}

struct kvs_store_batch *kvs_store_batch_new(struct kvs_store *store)
{
    return store->ops->batch_new(store);
}

void kvs_store_batch_free(struct kvs_store_batch *batch)
{
    if (batch)
        batch->ops->batch_free(batch);
}

void kvs_store_batch_clear(struct kvs_store_batch *batch)
{
    batch->ops->batch_clear(batch);
}

void kvs_store_batch_put(struct kvs_store_batch *batch, enum kvs_family family,
                         struct kvs_slice key, struct kvs_slice value)
{
    batch->ops->batch_put(batch, family, key, value);
}

void kvs_store_batch_delete(struct kvs_store_batch *batch, enum kvs_family family,
                            struct kvs_slice key)
{
    batch->ops->batch_delete(batch, family, key);
}

void kvs_store_batch_delete_range(struct kvs_store_batch *batch, enum kvs_family family,
                                  struct kvs_slice first, struct kvs_slice end)
{
    batch->ops->batch_delete_range(batch, family, first, end);
}

int kvs_store_write(struct kvs_store *store, struct kvs_store_batch *batch,
                    enum kvs_durability durability)
{
    return store->ops->write(store, batch, durability);
}

struct kvs_store_iter *kvs_store_iter_new(struct kvs_store *store, enum kvs_family family,
                                          const struct kvs_store_iter_options *options)
{
    return store->ops->iter_new(store, family, options);
}

void kvs_store_iter_free(struct kvs_store_iter *iter)
{
    if (iter)
        iter->ops->iter_free(iter);
}

void kvs_store_iter_seek(struct kvs_store_iter *iter, struct kvs_slice key)
{
    iter->ops->iter_seek(iter, key);
}

void kvs_store_iter_seek_before(struct kvs_store_iter *iter, struct kvs_slice key)
{
    iter->ops->iter_seek_before(iter, key);
}

void kvs_store_iter_seek_last(struct kvs_store_iter *iter)
{
    iter->ops->iter_seek_last(iter);
}

void kvs_store_iter_next(struct kvs_store_iter *iter)
{
    iter->ops->iter_next(iter);
}

void kvs_store_iter_prev(struct kvs_store_iter *iter)
{
    iter->ops->iter_prev(iter);
}

bool kvs_store_iter_valid(const struct kvs_store_iter *iter)
{
    return iter->ops->iter_valid(iter);
}

int kvs_store_iter_error(const struct kvs_store_iter *iter)
{
    return iter->ops->iter_error(iter);
}

struct kvs_slice kvs_store_iter_key(const struct kvs_store_iter *iter)
{
    return iter->ops->iter_key(iter);
}

struct kvs_slice kvs_store_iter_value(const struct kvs_store_iter *iter)
{
    return iter->ops->iter_value(iter);
}

int kvs_store_checkpoint(struct kvs_store *store, const char *path)
{
    return store->ops->checkpoint(store, path);
}

int kvs_store_flush(struct kvs_store *store)
{
    return store->ops->flush(store);
}

int kvs_store_compact(struct kvs_store *store, enum kvs_family family)
{
    return store->ops->compact(store, family);
}

int kvs_store_stats(struct kvs_store *store, struct kvs_store_stats *ret_stats)
{
    return store->ops->stats(store, ret_stats);
}

int kvs_store_resume(struct kvs_store *store)
{
    return store->ops->resume(store);
}
