// SPDX-License-Identifier: Apache-2.0
#include "node/cache.h"

#include "base/assert.h"

#include <pthread.h>
#include <stdatomic.h>
#include <xxhash.h>

enum {
    SHARD_COUNT = 16, // a power of two
    BUCKETS_MIN = 64,
    RECORD_SIZE_MAX = 64 * 1024, // larger ones would push out too many small ones
};

// Index of an entry; 0 is none, so entries[0] is never used.
typedef uint32_t entry_index;

struct entry {
    uint64_t hash;
    struct kvs_record *record; // NULL: on the free list
    entry_index next;          // in its bucket, or on the free list
    bool used;                 // since the clock's hand passed
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    uint64_t changes; // commits and removals so far: what a ticket holds
    size_t bytes;
    size_t bytes_max;
    entry_index *buckets;
    uint32_t bucket_count; // a power of two
    struct entry *entries;
    entry_index entry_count; // used and free ones, entries[0] included
    entry_index entry_capacity;
    entry_index free_head;
    entry_index hand;
    uint32_t record_count;
};

struct kvs_cache {
    struct kvs_metrics *metrics;
    _Atomic int64_t bytes;
    struct shard shards[SHARD_COUNT];
};

// ---- Records

struct kvs_record *kvs_record_new(struct kvs_slice key, const struct kvs_version *version,
                                  uint32_t writer_id, struct kvs_slice json)
{
    kvs_assert(key.size <= KVS_KEY_SIZE_MAX && json.size <= UINT32_MAX);
    struct kvs_record *record = malloc(sizeof(*record) + key.size + json.size);
    if (!record)
        return NULL;
    atomic_init(&record->refs, 1);
    record->key_size = (uint32_t)key.size;
    record->json_size = (uint32_t)json.size;
    record->writer_id = writer_id;
    record->version = *version;
    memcpy(record->bytes, key.data, key.size);
    if (json.size > 0)
        memcpy(record->bytes + key.size, json.data, json.size);
    return record;
}

struct kvs_record *kvs_record_ref(struct kvs_record *record)
{
    (void)atomic_fetch_add_explicit(&record->refs, 1, memory_order_relaxed);
    return record;
}

void kvs_record_unref(struct kvs_record *record)
{
    if (record && atomic_fetch_sub_explicit(&record->refs, 1, memory_order_acq_rel) == 1)
        free(record);
}

static size_t record_cost(const struct kvs_record *record)
{
    return sizeof(*record) + record->key_size + record->json_size + sizeof(struct entry) +
           sizeof(entry_index);
}

// ---- One shard; all functions below run under its lock

static entry_index *bucket_of(struct shard *shard, uint64_t hash)
{
    return &shard->buckets[(hash >> 8) & (shard->bucket_count - 1)];
}

// The link that leads to the key's entry, or to 0.
static entry_index *find_link(struct shard *shard, uint64_t hash, struct kvs_slice key)
{
    entry_index *link = bucket_of(shard, hash);
    while (*link) {
        struct entry *entry = &shard->entries[*link];
        if (entry->hash == hash && kvs_slice_eq(kvs_record_key(entry->record), key))
            break;
        link = &entry->next;
    }
    return link;
}

static void unlink_entry(struct shard *shard, entry_index *link)
{
    entry_index index = *link;
    struct entry *entry = &shard->entries[index];
    *link = entry->next;
    shard->bytes -= record_cost(entry->record);
    shard->record_count--;
    kvs_record_unref(entry->record);
    entry->record = NULL;
    entry->next = shard->free_head;
    shard->free_head = index;
}

// Evicts until `needed` more bytes fit. Every record is passed at most twice: once to clear `used`.
static void make_room(struct shard *shard, size_t needed)
{
    while (shard->record_count > 0 && shard->bytes + needed > shard->bytes_max) {
        shard->hand = shard->hand + 1 < shard->entry_count ? shard->hand + 1 : 1;
        struct entry *entry = &shard->entries[shard->hand];
        if (!entry->record)
            continue;
        if (entry->used)
            entry->used = false;
        else
            unlink_entry(shard, find_link(shard, entry->hash, kvs_record_key(entry->record)));
    }
}

static bool grow_buckets(struct shard *shard)
{
    if (shard->record_count < shard->bucket_count)
        return true;
    uint32_t count = shard->bucket_count ? shard->bucket_count * 2 : BUCKETS_MIN;
    entry_index *buckets = calloc(count, sizeof(*buckets));
    if (!buckets)
        return shard->bucket_count > 0; // longer chains, still right
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
    for (entry_index i = 1; i < shard->entry_count; i++) {
        struct entry *entry = &shard->entries[i];
        if (!entry->record)
            continue;
        entry_index *bucket = bucket_of(shard, entry->hash);
        entry->next = *bucket;
        *bucket = i;
    }
    return true;
}

static entry_index take_entry(struct shard *shard)
{
    entry_index index = shard->free_head;
    if (index) {
        shard->free_head = shard->entries[index].next;
        return index;
    }
    if (shard->entry_count >= shard->entry_capacity) {
        entry_index capacity = shard->entry_capacity ? shard->entry_capacity * 2 : BUCKETS_MIN;
        struct entry *entries = realloc(shard->entries, capacity * sizeof(*entries));
        if (!entries)
            return 0;
        shard->entries = entries;
        shard->entry_capacity = capacity;
    }
    return shard->entry_count++;
}

static void insert(struct shard *shard, uint64_t hash, struct kvs_record *record, bool used)
{
    size_t cost = record_cost(record);
    if (cost > RECORD_SIZE_MAX || cost > shard->bytes_max || !grow_buckets(shard))
        return;
    make_room(shard, cost);
    entry_index index = take_entry(shard);
    if (!index)
        return;
    entry_index *bucket = bucket_of(shard, hash);
    shard->entries[index] = (struct entry){hash, kvs_record_ref(record), *bucket, used};
    *bucket = index;
    shard->bytes += cost;
    shard->record_count++;
}

// Was it held?
static bool drop(struct shard *shard, uint64_t hash, struct kvs_slice key)
{
    if (shard->bucket_count == 0)
        return false;
    entry_index *link = find_link(shard, hash, key);
    if (*link == 0)
        return false;
    unlink_entry(shard, link);
    return true;
}

// ---- The whole

int kvs_cache_new(size_t bytes_max, struct kvs_metrics *metrics, struct kvs_cache **ret_cache)
{
    struct kvs_cache *cache = aligned_alloc(64, sizeof(*cache));
    if (!cache)
        return KVS_ERR_NOMEM;
    memset(cache, 0, sizeof(*cache));
    cache->metrics = metrics;
    for (int i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        (void)pthread_mutex_init(&shard->lock, NULL); // cannot fail with default attributes
        shard->bytes_max = bytes_max / SHARD_COUNT;
        shard->entry_count = 1;
        shard->entry_capacity = 0;
    }
    *ret_cache = cache;
    return 0;
}

static void clear_shard(struct shard *shard)
{
    for (entry_index i = 1; shard->entries && i < shard->entry_count; i++)
        kvs_record_unref(shard->entries[i].record);
    free(shard->entries);
    free(shard->buckets);
    shard->entries = NULL;
    shard->buckets = NULL;
    shard->bucket_count = 0;
    shard->entry_count = 1;
    shard->entry_capacity = 0;
    shard->free_head = 0;
    shard->hand = 0;
    shard->record_count = 0;
    shard->bytes = 0;
    shard->changes++;
}

void kvs_cache_free(struct kvs_cache *cache)
{
    if (!cache)
        return;
    for (int i = 0; i < SHARD_COUNT; i++) {
        clear_shard(&cache->shards[i]);
        (void)pthread_mutex_destroy(&cache->shards[i].lock); // nobody holds it any more
    }
    free(cache);
}

static uint64_t hash_key(struct kvs_slice key)
{
    return XXH3_64bits(key.data, key.size);
}

static struct shard *lock_shard(struct kvs_cache *cache, uint64_t hash)
{
    struct shard *shard = &cache->shards[hash & (SHARD_COUNT - 1)];
    (void)pthread_mutex_lock(&shard->lock); // a plain mutex that we never lock twice
    return shard;
}

static void unlock_shard(struct kvs_cache *cache, struct shard *shard, size_t bytes_before)
{
    int64_t delta = (int64_t)shard->bytes - (int64_t)bytes_before;
    (void)pthread_mutex_unlock(&shard->lock);
    if (delta != 0) {
        int64_t total =
            atomic_fetch_add_explicit(&cache->bytes, delta, memory_order_relaxed) + delta;
        kvs_metrics_set(cache->metrics, KVS_METRIC_CACHE_BYTES, (double)total);
    }
}

static struct kvs_record *find(struct kvs_cache *cache, struct kvs_slice key, bool use)
{
    uint64_t hash = hash_key(key);
    struct kvs_record *record = NULL;
    struct shard *shard = lock_shard(cache, hash);
    if (shard->bucket_count > 0) {
        entry_index index = *find_link(shard, hash, key);
        if (index) {
            shard->entries[index].used |= use;
            record = kvs_record_ref(shard->entries[index].record);
        }
    }
    unlock_shard(cache, shard, shard->bytes);
    return record;
}

// ---- Ahead of time

// Each pass asks for what the one before has brought. False: there is nothing more to ask for.
static bool prefetch_pass(struct kvs_cache *cache, uint64_t hash, int pass)
{
    struct shard *shard = lock_shard(cache, hash);
    const entry_index *bucket = shard->bucket_count > 0 ? bucket_of(shard, hash) : NULL;
    const struct entry *entry = pass > 0 && bucket && *bucket ? &shard->entries[*bucket] : NULL;
    const struct kvs_record *record = pass > 1 && entry ? entry->record : NULL;
    bool more = pass == 0 ? bucket != NULL : entry != NULL;
    if (more)
        __builtin_prefetch(pass == 0 ? (const void *)bucket : (const void *)entry);
    if (record) {
        __builtin_prefetch(record);
        __builtin_prefetch(record->bytes); // its key
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return more;
}

void kvs_cache_prefetch(struct kvs_cache *cache, const struct kvs_slice *keys, size_t count)
{
    uint64_t hashes[KVS_CACHE_PREFETCH_MAX];
    kvs_assert(count <= KVS_CACHE_PREFETCH_MAX);
    for (size_t i = 0; i < count; i++)
        hashes[i] = hash_key(keys[i]);
    for (int pass = 0; pass < 3; pass++) {
        size_t left = 0;
        for (size_t i = 0; i < count; i++)
            if (prefetch_pass(cache, hashes[i], pass))
                hashes[left++] = hashes[i];
        count = left;
    }
}

// ---- Calls

struct kvs_record *kvs_cache_get(struct kvs_cache *cache, struct kvs_slice key)
{
    return find(cache, key, true);
}

struct kvs_record *kvs_cache_peek(struct kvs_cache *cache, struct kvs_slice key)
{
    return find(cache, key, false);
}

void kvs_cache_publish(struct kvs_cache *cache, struct kvs_record *record, bool created)
{
    struct kvs_slice key = kvs_record_key(record);
    uint64_t hash = hash_key(key);
    struct shard *shard = lock_shard(cache, hash);
    size_t before = shard->bytes;
    shard->changes++;
    bool held = drop(shard, hash, key); // then it is in use: it is written again
    if (!created || held || shard->bytes + record_cost(record) <= shard->bytes_max)
        insert(shard, hash, record, held);
    unlock_shard(cache, shard, before);
}

void kvs_cache_remove(struct kvs_cache *cache, struct kvs_slice key)
{
    uint64_t hash = hash_key(key);
    struct shard *shard = lock_shard(cache, hash);
    size_t before = shard->bytes;
    shard->changes++;
    (void)drop(shard, hash, key); // gone either way
    unlock_shard(cache, shard, before);
}

void kvs_cache_clear(struct kvs_cache *cache)
{
    for (uint64_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = lock_shard(cache, i);
        size_t before = shard->bytes;
        clear_shard(shard);
        unlock_shard(cache, shard, before);
    }
}

uint64_t kvs_cache_ticket(struct kvs_cache *cache, struct kvs_slice key)
{
    struct shard *shard = lock_shard(cache, hash_key(key));
    uint64_t ticket = shard->changes;
    unlock_shard(cache, shard, shard->bytes);
    return ticket;
}

void kvs_cache_fill(struct kvs_cache *cache, struct kvs_record *record, uint64_t ticket)
{
    struct kvs_slice key = kvs_record_key(record);
    uint64_t hash = hash_key(key);
    struct shard *shard = lock_shard(cache, hash);
    size_t before = shard->bytes;
    if (shard->changes == ticket) {
        bool held = drop(shard, hash, key); // another reader may have filled it
        insert(shard, hash, record, held);
    }
    unlock_shard(cache, shard, before);
}
