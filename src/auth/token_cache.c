// SPDX-License-Identifier: Apache-2.0
// Sets of WAYS entries, chosen by the digest's first bytes; in a set the entries take turns. A lock
// a stripe of sets.
#include "auth/token_cache.h"

#include <pthread.h>
#include <stdlib.h>

enum { SETS = 1024, WAYS = 4, STRIPES = 64 };

struct entry {
    bool used;
    uint8_t digest[KVS_SHA256_SIZE];
    struct kvs_verified_token token;
};

struct kvs_token_cache {
    pthread_mutex_t locks[STRIPES];
    uint8_t turn[SETS];
    struct entry entries[SETS][WAYS];
};

int kvs_token_cache_new(struct kvs_token_cache **ret_cache)
{
    struct kvs_token_cache *cache = calloc(1, sizeof(*cache)); // touched as it fills
    if (!cache)
        return KVS_ERR_NOMEM;
    for (size_t i = 0; i < STRIPES; i++)
        (void)pthread_mutex_init(&cache->locks[i], NULL); // cannot fail with default attributes
    *ret_cache = cache;
    return 0;
}

void kvs_token_cache_free(struct kvs_token_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < STRIPES; i++)
        (void)pthread_mutex_destroy(&cache->locks[i]); // nobody holds it any more
    free(cache);
}

static size_t set_of(const uint8_t *digest)
{
    return ((size_t)digest[0] << 8 | digest[1]) % SETS;
}

bool kvs_token_cache_get(struct kvs_token_cache *cache,
                         const uint8_t digest[static KVS_SHA256_SIZE],
                         struct kvs_verified_token *ret_token)
{
    bool found = false;
    size_t set = set_of(digest);
    (void)pthread_mutex_lock(&cache->locks[set % STRIPES]); // a plain mutex, never locked twice
    for (size_t i = 0; i < WAYS && !found; i++) {
        const struct entry *entry = &cache->entries[set][i];
        found = entry->used && memcmp(entry->digest, digest, KVS_SHA256_SIZE) == 0;
        if (found)
            *ret_token = entry->token;
    }
    (void)pthread_mutex_unlock(&cache->locks[set % STRIPES]);
    return found;
}

void kvs_token_cache_put(struct kvs_token_cache *cache,
                         const uint8_t digest[static KVS_SHA256_SIZE],
                         const struct kvs_verified_token *token)
{
    size_t set = set_of(digest);
    (void)pthread_mutex_lock(&cache->locks[set % STRIPES]);
    struct entry *entry = &cache->entries[set][cache->turn[set]++ % WAYS];
    entry->used = true;
    memcpy(entry->digest, digest, KVS_SHA256_SIZE);
    entry->token = *token;
    (void)pthread_mutex_unlock(&cache->locks[set % STRIPES]);
}
