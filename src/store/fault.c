// SPDX-License-Identifier: Apache-2.0
// Batches are the inner store's own; iterators are wrapped, because theirs fail one move at a time.
#include "store/fault.h"

#include <pthread.h>

#include "base/assert.h"

struct plan {
    int64_t skip, count;
    int err;
    uint64_t calls;
};

struct fault {
    struct kvs_store store;
    struct kvs_store *inner;
    pthread_mutex_t lock; // for everything below
    struct plan plans[KVS_FAULT_POINT_COUNT];
    int write_err; // not 0: writes are refused with it until resume
};

struct fault_iter {
    struct kvs_store_iter iter;
    struct fault *fault;
    struct kvs_store_iter *inner;
    enum kvs_read_mode mode;
    int err; // of the last move
};

static struct fault *to_fault(struct kvs_store *store)
{
    return (struct fault *)store;
}

static void lock(struct fault *fault)
{
    int result = pthread_mutex_lock(&fault->lock);
    kvs_assert(result == 0);
}

static void unlock(struct fault *fault)
{
    int result = pthread_mutex_unlock(&fault->lock);
    kvs_assert(result == 0);
}

// Counts a call; the error it is to fail with, or 0.
static int meet(struct fault *fault, enum kvs_fault_point point, enum kvs_read_mode mode)
{
    int err = 0;
    lock(fault);
    struct plan *plan = &fault->plans[point];
    plan->calls++;
    if (plan->err != KVS_ERR_AGAIN || mode == KVS_READ_CACHED) {
        if (plan->skip > 0) {
            plan->skip--;
        } else if (plan->count != 0) {
            plan->count -= plan->count > 0;
            err = plan->err;
        }
    }
    unlock(fault);
    return err;
}

static int write_err(struct fault *fault)
{
    lock(fault);
    int err = fault->write_err;
    unlock(fault);
    return err;
}

static void set_write_err(struct fault *fault, int err)
{
    lock(fault);
    fault->write_err = err;
    unlock(fault);
}

static void fault_close(struct kvs_store *store)
{
    struct fault *fault = to_fault(store);
    kvs_store_close(fault->inner);
    (void)pthread_mutex_destroy(&fault->lock); // nobody is left to hold it
    free(fault);
}

static int fault_get(struct kvs_store *store, enum kvs_family family, struct kvs_slice key,
                     enum kvs_read_mode mode, struct kvs_buf *ret_value)
{
    struct fault *fault = to_fault(store);
    int err = meet(fault, KVS_FAULT_GET, mode);
    return err ? err : kvs_store_get(fault->inner, family, key, mode, ret_value);
}

static struct kvs_store_batch *fault_batch_new(struct kvs_store *store)
{
    return kvs_store_batch_new(to_fault(store)->inner);
}

static int fault_write(struct kvs_store *store, struct kvs_store_batch *batch,
                       enum kvs_durability durability)
{
    struct fault *fault = to_fault(store);
    int err = write_err(fault);
    if (err)
        return err;
    err = meet(fault, KVS_FAULT_WRITE, KVS_READ_DISK);
    if (!err) {
        err = kvs_store_write(fault->inner, batch, durability);
        int sync_err = meet(fault, KVS_FAULT_SYNC, KVS_READ_DISK);
        err = err ? err : sync_err;
    }
    if (err)
        set_write_err(fault, err);
    return err;
}

static int fault_checkpoint(struct kvs_store *store, const char *path)
{
    int err = meet(to_fault(store), KVS_FAULT_CHECKPOINT, KVS_READ_DISK);
    return err ? err : kvs_store_checkpoint(to_fault(store)->inner, path);
}

static int fault_flush(struct kvs_store *store)
{
    int err = meet(to_fault(store), KVS_FAULT_FLUSH, KVS_READ_DISK);
    return err ? err : kvs_store_flush(to_fault(store)->inner);
}

static int fault_compact(struct kvs_store *store, enum kvs_family family)
{
    int err = meet(to_fault(store), KVS_FAULT_COMPACT, KVS_READ_DISK);
    return err ? err : kvs_store_compact(to_fault(store)->inner, family);
}

static int fault_stats(struct kvs_store *store, struct kvs_store_stats *ret_stats)
{
    int err = meet(to_fault(store), KVS_FAULT_STATS, KVS_READ_DISK);
    return err ? err : kvs_store_stats(to_fault(store)->inner, ret_stats);
}

static int fault_resume(struct kvs_store *store)
{
    struct fault *fault = to_fault(store);
    int err = meet(fault, KVS_FAULT_RESUME, KVS_READ_DISK);
    if (!err)
        err = kvs_store_resume(fault->inner);
    if (!err)
        set_write_err(fault, 0);
    return err;
}

// ---- Iterators

static struct fault_iter *to_iter(const struct kvs_store_iter *iter)
{
    return (struct fault_iter *)iter;
}

static struct kvs_store_iter *fault_iter_new(struct kvs_store *store, enum kvs_family family,
                                             const struct kvs_store_iter_options *options)
{
    struct fault *fault = to_fault(store);
    if (meet(fault, KVS_FAULT_ITER_NEW, options->mode))
        return NULL;
    struct fault_iter *iter = calloc(1, sizeof(*iter));
    if (!iter)
        return NULL;
    iter->iter.ops = store->ops;
    iter->fault = fault;
    iter->mode = options->mode;
    iter->inner = kvs_store_iter_new(fault->inner, family, options);
    if (iter->inner)
        return &iter->iter;
    free(iter);
    return NULL;
}

static void fault_iter_free(struct kvs_store_iter *base)
{
    kvs_store_iter_free(to_iter(base)->inner);
    free(to_iter(base));
}

static bool may_move(struct fault_iter *iter)
{
    iter->err = meet(iter->fault, KVS_FAULT_ITER_MOVE, iter->mode);
    return iter->err == 0;
}

static void fault_iter_seek(struct kvs_store_iter *base, struct kvs_slice key)
{
    if (may_move(to_iter(base)))
        kvs_store_iter_seek(to_iter(base)->inner, key);
}

static void fault_iter_seek_before(struct kvs_store_iter *base, struct kvs_slice key)
{
    if (may_move(to_iter(base)))
        kvs_store_iter_seek_before(to_iter(base)->inner, key);
}

static void fault_iter_seek_last(struct kvs_store_iter *base)
{
    if (may_move(to_iter(base)))
        kvs_store_iter_seek_last(to_iter(base)->inner);
}

static bool fault_iter_valid(const struct kvs_store_iter *base)
{
    return to_iter(base)->err == 0 && kvs_store_iter_valid(to_iter(base)->inner);
}

static void fault_iter_next(struct kvs_store_iter *base)
{
    kvs_assert(fault_iter_valid(base));
    if (may_move(to_iter(base)))
        kvs_store_iter_next(to_iter(base)->inner);
}

static void fault_iter_prev(struct kvs_store_iter *base)
{
    kvs_assert(fault_iter_valid(base));
    if (may_move(to_iter(base)))
        kvs_store_iter_prev(to_iter(base)->inner);
}

static int fault_iter_error(const struct kvs_store_iter *base)
{
    int err = to_iter(base)->err;
    return err ? err : kvs_store_iter_error(to_iter(base)->inner);
}

static struct kvs_slice fault_iter_key(const struct kvs_store_iter *base)
{
    kvs_assert(fault_iter_valid(base));
    return kvs_store_iter_key(to_iter(base)->inner);
}

static struct kvs_slice fault_iter_value(const struct kvs_store_iter *base)
{
    kvs_assert(fault_iter_valid(base));
    return kvs_store_iter_value(to_iter(base)->inner);
}

// ---- Setting up

// The batch calls are missing: batches are the inner store's and carry its calls.
static const struct kvs_store_ops fault_ops = {
    .close = fault_close,
    .get = fault_get,
    .batch_new = fault_batch_new,
    .write = fault_write,
    .iter_new = fault_iter_new,
    .iter_free = fault_iter_free,
    .iter_seek = fault_iter_seek,
    .iter_seek_before = fault_iter_seek_before,
    .iter_seek_last = fault_iter_seek_last,
    .iter_next = fault_iter_next,
    .iter_prev = fault_iter_prev,
    .iter_valid = fault_iter_valid,
    .iter_key = fault_iter_key,
    .iter_value = fault_iter_value,
    .iter_error = fault_iter_error,
    .checkpoint = fault_checkpoint,
    .flush = fault_flush,
    .compact = fault_compact,
    .stats = fault_stats,
    .resume = fault_resume,
};

int kvs_fault_new(struct kvs_store *inner, struct kvs_store **ret_store)
{
    struct fault *fault = calloc(1, sizeof(*fault));
    if (!fault)
        return KVS_ERR_NOMEM;
    if (pthread_mutex_init(&fault->lock, NULL) != 0) {
        free(fault);
        return KVS_ERR_NOMEM;
    }
    fault->store.ops = &fault_ops;
    fault->inner = inner;
    *ret_store = &fault->store;
    return 0;
}

void kvs_fault_set(struct kvs_store *store, enum kvs_fault_point point, int64_t skip, int64_t count,
                   int err)
{
    kvs_assert((unsigned)point < KVS_FAULT_POINT_COUNT);
    kvs_assert(err != 0);
    struct fault *fault = to_fault(store);
    lock(fault);
    struct plan *plan = &fault->plans[point];
    plan->skip = skip;
    plan->count = count;
    plan->err = err;
    unlock(fault);
}

void kvs_fault_clear(struct kvs_store *store)
{
    struct fault *fault = to_fault(store);
    lock(fault);
    for (size_t i = 0; i < KVS_FAULT_POINT_COUNT; i++)
        fault->plans[i].count = 0;
    unlock(fault);
}

uint64_t kvs_fault_calls(struct kvs_store *store, enum kvs_fault_point point)
{
    kvs_assert((unsigned)point < KVS_FAULT_POINT_COUNT);
    struct fault *fault = to_fault(store);
    lock(fault);
    uint64_t calls = fault->plans[point].calls;
    unlock(fault);
    return calls;
}
