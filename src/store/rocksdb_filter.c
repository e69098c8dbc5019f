// SPDX-License-Identifier: Apache-2.0
// Our callbacks in RocksDB: the prefix under which a key's versions lie, and compaction filters.
// They run on RocksDB's threads, for different compactions at the same time; state is one a
// compaction.
#include "store/rocksdb_internal.h"

#include <stdio.h>

enum { REPLACEMENT_SIZE_MAX = 1 << 30 };

static void nothing_to_destroy(void *state)
{
    (void)state;
}

// ---- Key prefix

static size_t prefix_size(const char *key, size_t size)
{
    const char *nul = size > 0 ? memchr(key, '\0', size) : NULL;
    return nul ? (size_t)(nul - key) + 1 : 0;
}

static char *prefix_transform(void *state, const char *key, size_t size, size_t *ret_size)
{
    (void)state;
    *ret_size = prefix_size(key, size);
    return (char *)key; // RocksDB only reads it
}

static unsigned char prefix_in_domain(void *state, const char *key, size_t size)
{
    (void)state;
    return prefix_size(key, size) > 0;
}

static unsigned char prefix_in_range(void *state, const char *prefix, size_t size)
{
    (void)state;
    return size > 0 && prefix_size(prefix, size) == size;
}

static const char *prefix_name(void *state)
{
    (void)state;
    return "kvs.first-nul"; // in the files: RocksDB does not use filters made under another name
}

rocksdb_slicetransform_t *kvs_rocksdb_key_prefix(void)
{
    return rocksdb_slicetransform_create(NULL, nothing_to_destroy, prefix_transform,
                                         prefix_in_domain, prefix_in_range, prefix_name);
}

// ---- Compaction filters

struct compaction {
    const struct kvs_rocksdb_filter *owner;
    void *state;
    struct kvs_buf replacement;
};

static const char *filter_name(void *ctx)
{
    return ((const struct compaction *)ctx)->owner->name;
}

static void filter_end(void *ctx)
{
    struct compaction *compaction = ctx;
    compaction->owner->filter.end(compaction->state);
    kvs_buf_done(&compaction->replacement);
    free(compaction);
}

static unsigned char filter_decide(void *ctx, int level, const char *key, size_t key_size,
                                   const char *value, size_t value_size, char **ret_value,
                                   size_t *ret_value_size, unsigned char *ret_changed)
{
    (void)level;
    struct compaction *compaction = ctx;
    kvs_buf_clear(&compaction->replacement);
    switch (compaction->owner->filter.decide(compaction->state, kvs_slice(key, key_size),
                                             kvs_slice(value, value_size),
                                             &compaction->replacement)) {
    case KVS_FILTER_DROP:
        return 1;
    case KVS_FILTER_REPLACE:
        if (compaction->replacement.err)
            return 0;                              // keeping the old value is always allowed
        *ret_value = compaction->replacement.data; // RocksDB copies it before the next call
        *ret_value_size = compaction->replacement.size;
        *ret_changed = 1;
        return 0;
    case KVS_FILTER_KEEP:
        break;
    }
    return 0;
}

static rocksdb_compactionfilter_t *filter_begin(void *ctx,
                                                rocksdb_compactionfiltercontext_t *context)
{
    (void)context;
    const struct kvs_rocksdb_filter *owner = ctx;
    struct compaction *compaction = calloc(1, sizeof(*compaction));
    if (!compaction)
        return NULL; // no filter: everything is kept
    compaction->owner = owner;
    compaction->replacement = KVS_BUF_INIT(REPLACEMENT_SIZE_MAX);
    compaction->state = owner->filter.begin(owner->filter.ctx);
    if (!compaction->state) {
        free(compaction);
        return NULL;
    }
    return rocksdb_compactionfilter_create(compaction, filter_end, filter_decide, filter_name);
}

static const char *factory_name(void *ctx)
{
    return ((const struct kvs_rocksdb_filter *)ctx)->name;
}

rocksdb_compactionfilterfactory_t *kvs_rocksdb_filter_factory(struct kvs_rocksdb_filter *filter)
{
    return rocksdb_compactionfilterfactory_create(filter, nothing_to_destroy, filter_begin,
                                                  factory_name);
}
