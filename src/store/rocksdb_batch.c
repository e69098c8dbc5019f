// SPDX-License-Identifier: Apache-2.0
// A batch, gathered family by family and handed to RocksDB in key order. That order is what makes a
// large group cheap: RocksDB's skip lists begin the search for a place at the one before (see
// rocksdb_options.c), which is then close by, where keys in the order of their arrival would each
// search from the top, with a cache miss at every step. Changes of one key keep their order, and so
// do all of a family that has a range deleted; between keys order means nothing, since the batch is
// applied as a whole. One thread at a time.
#include "store/rocksdb_internal.h"

#include <endian.h>
#include <stdlib.h>

#include "base/assert.h"

enum {
    OPS_MIN = 64,
    BYTES_MAX = INT32_MAX,
    BYTES_KEPT = 4 << 20, // of memory, for the next group
    HEAD_SIZE = sizeof(uint64_t),
};

enum kind { PUT, DELETE, DELETE_RANGE };

// Key and value (of a range: its end) stand one behind the other in the batch's bytes.
struct op {
    uint64_t head;   // the key behind what all of its family have in common, as a number
    uint32_t number; // order of arrival
    uint32_t at;
    uint32_t key_size;
    uint32_t value_size;
    enum kind kind;
};

struct family {
    struct op *ops;
    uint32_t count;
    uint32_t capacity;
    uint32_t common_size; // of the keys' common beginning
    bool sorted;
    bool ordered; // a range is deleted: nothing may change places
};

struct batch {
    struct kvs_store_batch batch;
    struct kvs_rocksdb_engine *engine;
    struct kvs_buf bytes;
    struct family families[KVS_FAMILY_COUNT];
    rocksdb_writebatch_t *changes; // empty but for the time of a write
    int err;                       // sticky: KVS_ERR_NOMEM, KVS_ERR_TOO_LARGE
};

static struct batch *to_batch(struct kvs_store_batch *batch)
{
    return (struct batch *)batch;
}

struct kvs_store_batch *kvs_rocksdb_batch_new(struct kvs_store *store)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    if (!batch)
        return NULL;
    batch->batch.ops = store->ops;
    batch->engine = kvs_rocksdb_engine(store);
    kvs_buf_init(&batch->bytes, BYTES_MAX);
    batch->changes = rocksdb_writebatch_create();
    return &batch->batch;
}

void kvs_rocksdb_batch_free(struct kvs_store_batch *base)
{
    struct batch *batch = to_batch(base);
    for (size_t i = 0; i < KVS_FAMILY_COUNT; i++)
        free(batch->families[i].ops);
    kvs_buf_done(&batch->bytes);
    rocksdb_writebatch_destroy(batch->changes);
    free(batch);
}

void kvs_rocksdb_batch_clear(struct kvs_store_batch *base)
{
    struct batch *batch = to_batch(base);
    for (size_t i = 0; i < KVS_FAMILY_COUNT; i++)
        batch->families[i].count = 0;
    kvs_buf_clear(&batch->bytes);
    batch->err = 0;
    if (batch->bytes.capacity <= BYTES_KEPT)
        return;
    kvs_buf_done(&batch->bytes);
    kvs_buf_init(&batch->bytes, BYTES_MAX);
    rocksdb_writebatch_destroy(batch->changes);
    batch->changes = rocksdb_writebatch_create();
}

// ---- Gathering

static const char *key_of(const struct batch *batch, const struct op *op)
{
    return batch->bytes.data + op->at;
}

static struct kvs_slice key_slice(const struct batch *batch, const struct op *op)
{
    return kvs_slice(key_of(batch, op), op->key_size);
}

static struct op *new_op(struct family *family)
{
    if (family->count == family->capacity) {
        uint32_t capacity = family->capacity > 0 ? family->capacity * 2 : OPS_MIN;
        struct op *ops = realloc(family->ops, capacity * sizeof(*ops));
        if (!ops)
            return NULL;
        family->ops = ops;
        family->capacity = capacity;
    }
    return &family->ops[family->count];
}

static uint32_t common_size(const char *a, const char *b, uint32_t size_max)
{
    uint32_t size = 0;
    while (size < size_max && a[size] == b[size])
        size++;
    return size;
}

// How the new one, not counted yet, changes what is known of all keys.
static void note_key(const struct batch *batch, struct family *family, const struct op *op)
{
    const struct op *first = &family->ops[0];
    if (family->count == 0) {
        family->sorted = true;
        family->ordered = false;
        family->common_size = op->key_size;
        return;
    }
    uint32_t most = op->key_size < family->common_size ? op->key_size : family->common_size;
    family->common_size = common_size(key_of(batch, first), key_of(batch, op), most);
    family->sorted =
        family->sorted && kvs_slice_cmp(key_slice(batch, op - 1), key_slice(batch, op)) <= 0;
}

static void add(struct kvs_store_batch *base, enum kvs_family id, enum kind kind,
                struct kvs_slice key, struct kvs_slice value)
{
    struct batch *batch = to_batch(base);
    struct family *family = &batch->families[id];
    struct op *op = batch->err ? NULL : new_op(family);
    size_t at = batch->bytes.size;
    kvs_buf_append_slice(&batch->bytes, key);
    kvs_buf_append_slice(&batch->bytes, value);
    if (!op || batch->bytes.err) {
        if (!batch->err)
            batch->err = op ? batch->bytes.err : KVS_ERR_NOMEM;
        return;
    }
    *op = (struct op){
        .number = family->count,
        .at = (uint32_t)at,
        .key_size = (uint32_t)key.size,
        .value_size = (uint32_t)value.size,
        .kind = kind,
    };
    note_key(batch, family, op);
    family->ordered |= kind == DELETE_RANGE;
    family->count++;
}

void kvs_rocksdb_batch_put(struct kvs_store_batch *base, enum kvs_family family,
                           struct kvs_slice key, struct kvs_slice value)
{
    add(base, family, PUT, key, value);
}

void kvs_rocksdb_batch_delete(struct kvs_store_batch *base, enum kvs_family family,
                              struct kvs_slice key)
{
    add(base, family, DELETE, key, KVS_SLICE_EMPTY);
}

void kvs_rocksdb_batch_delete_range(struct kvs_store_batch *base, enum kvs_family family,
                                    struct kvs_slice first, struct kvs_slice end)
{
    kvs_assert(!kvs_rocksdb_has_hints(family));
    add(base, family, DELETE_RANGE, first, end);
}

// ---- Sorting

// Shorter keys end in zeros here; whoever finds two heads equal looks at the keys.
static uint64_t head_of(const struct batch *batch, const struct op *op, uint32_t common)
{
    char bytes[HEAD_SIZE] = {0};
    uint64_t head = 0;
    uint32_t left = op->key_size - common;
    memcpy(bytes, key_of(batch, op) + common, left < HEAD_SIZE ? left : HEAD_SIZE);
    memcpy(&head, bytes, HEAD_SIZE);
    return be64toh(head);
}

static int compare(const void *left, const void *right, void *context)
{
    const struct op *a = left;
    const struct op *b = right;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    int order = kvs_slice_cmp(key_slice(context, a), key_slice(context, b));
    if (order != 0)
        return order;
    return a->number < b->number ? -1 : a->number > b->number;
}

static void sort(struct batch *batch, struct family *family)
{
    if (family->count == 0 || family->sorted || family->ordered)
        return;
    for (uint32_t i = 0; i < family->count; i++)
        family->ops[i].head = head_of(batch, &family->ops[i], family->common_size);
    qsort_r(family->ops, family->count, sizeof(family->ops[0]), compare, batch);
    family->sorted = true;
}

// ---- Writing

static void hand_over(struct batch *batch, const struct op *op,
                      rocksdb_column_family_handle_t *handle)
{
    const char *key = key_of(batch, op);
    const char *value = key + op->key_size;
    switch (op->kind) {
    case PUT:
        rocksdb_writebatch_put_cf(batch->changes, handle, key, op->key_size, value, op->value_size);
        break;
    case DELETE:
        rocksdb_writebatch_delete_cf(batch->changes, handle, key, op->key_size);
        break;
    case DELETE_RANGE:
        rocksdb_writebatch_delete_range_cf(batch->changes, handle, key, op->key_size, value,
                                           op->value_size);
        break;
    }
}

int kvs_rocksdb_batch_error(const struct kvs_store_batch *base)
{
    return ((const struct batch *)base)->err;
}

// The caller is inside the gate and has asked for the batch's error.
int kvs_rocksdb_batch_write(struct kvs_store_batch *base, const rocksdb_writeoptions_t *options)
{
    struct batch *batch = to_batch(base);
    char *text = NULL;
    kvs_assert(batch->err == 0);
    for (size_t i = 0; i < KVS_FAMILY_COUNT; i++) {
        struct family *family = &batch->families[i];
        sort(batch, family);
        for (uint32_t j = 0; j < family->count; j++)
            hand_over(batch, &family->ops[j], batch->engine->rocksdb.families[i]);
    }
    rocksdb_write(batch->engine->rocksdb.db, options, batch->changes, &text);
    rocksdb_writebatch_clear(batch->changes);
    return kvs_rocksdb_error(text, NULL);
}
