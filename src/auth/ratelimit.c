// SPDX-License-Identifier: Apache-2.0
// An open hash table a shard, with linear probing over a short stretch: a client lives in one of
// PROBES places from its hash on, so that looking it up and choosing whom to forget cost the same
// few accesses however full the table is.
#include "auth/ratelimit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/cleanup.h"

enum {
    SHARD_COUNT = 16, // a power of two
    PROBES = 8,
    PART_OF_WINDOW = 32, // a run is as long as this part at most
};

struct run {
    int64_t first_ms;
    uint32_t length_ms; // of the last request behind the first
    uint32_t count;
};

struct client {
    struct kvs_ratelimit_id id;
    int64_t last_ms;
    uint32_t count; // of all runs
    uint8_t oldest; // index into runs
    uint8_t run_count;
    struct run runs[KVS_RATELIMIT_RUNS];
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct client **places;
};

struct kvs_ratelimit {
    uint64_t seed; // nobody outside can aim at a place
    size_t places_each;
    struct shard shards[SHARD_COUNT];
};

int kvs_ratelimit_new(size_t clients_max, struct kvs_random *random,
                      struct kvs_ratelimit **ret_limit)
{
    struct kvs_ratelimit *limit = aligned_alloc(64, sizeof(*limit));
    if (!limit)
        return KVS_ERR_NOMEM;
    memset(limit, 0, sizeof(*limit));
    limit->seed = kvs_random_u64(random);
    limit->places_each = clients_max / SHARD_COUNT < PROBES ? PROBES : clients_max / SHARD_COUNT;
    bool good = true;
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        (void)pthread_mutex_init(&limit->shards[i].lock, NULL); // cannot fail with defaults
        limit->shards[i].places = calloc(limit->places_each, sizeof(struct client *));
        good = good && limit->shards[i].places;
    }
    if (!good) {
        kvs_ratelimit_free(limit);
        return KVS_ERR_NOMEM;
    }
    *ret_limit = limit;
    return 0;
}

void kvs_ratelimit_free(struct kvs_ratelimit *limit)
{
    if (!limit)
        return;
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &limit->shards[i];
        for (size_t j = 0; shard->places && j < limit->places_each; j++)
            free(shard->places[j]);
        free(shard->places);
        (void)pthread_mutex_destroy(&shard->lock); // nobody holds it any more
    }
    free(limit);
}

// ---- Under the shard's lock

static int64_t run_end(const struct run *run)
{
    return run->first_ms + run->length_ms;
}

// Forgets what has left the window.
static void slide(struct client *client, int64_t now_ms, int64_t window_ms)
{
    while (client->run_count > 0) {
        struct run *run = &client->runs[client->oldest];
        if (run_end(run) > now_ms - window_ms)
            break;
        client->count -= run->count;
        client->oldest = (uint8_t)((client->oldest + 1) % KVS_RATELIMIT_RUNS);
        client->run_count--;
    }
}

static void add(struct client *client, int64_t now_ms, int64_t window_ms)
{
    int64_t run_ms = window_ms / PART_OF_WINDOW;
    size_t newest =
        (size_t)(client->oldest + client->run_count + KVS_RATELIMIT_RUNS - 1) % KVS_RATELIMIT_RUNS;
    struct run *run = &client->runs[newest];
    client->count++;
    client->last_ms = now_ms;
    // The window may have shrunk since the runs were made: then the newest takes what is too much.
    if (client->run_count > 0 &&
        (now_ms - run->first_ms <= run_ms || client->run_count == KVS_RATELIMIT_RUNS)) {
        run->count++;
        run->length_ms = now_ms > run->first_ms ? (uint32_t)(now_ms - run->first_ms) : 0;
        return;
    }
    client->runs[(newest + 1) % KVS_RATELIMIT_RUNS] = (struct run){now_ms, 0, 1};
    client->run_count++;
}

// When the limit has room again: whole runs leave, the oldest first.
static int64_t retry_after_ms(const struct client *client, int64_t now_ms, uint32_t requests,
                              int64_t window_ms)
{
    uint32_t count = client->count;
    int64_t wait_ms = 1;
    for (size_t i = 0; i < client->run_count && count >= requests; i++) {
        const struct run *run = &client->runs[(client->oldest + i) % KVS_RATELIMIT_RUNS];
        count -= run->count;
        wait_ms = run_end(run) + window_ms - now_ms;
    }
    return wait_ms > 0 ? wait_ms : 1;
}

// The client's place, made free for it if need be; NULL: out of memory.
static struct client *find(struct kvs_ratelimit *limit, struct shard *shard, uint64_t hash,
                           const struct kvs_ratelimit_id *id)
{
    struct client **place = NULL; // the best so far
    for (size_t i = 0; i < PROBES; i++) {
        struct client **candidate = &shard->places[(hash / SHARD_COUNT + i) % limit->places_each];
        if (*candidate && memcmp(&(*candidate)->id, id, sizeof(*id)) == 0)
            return *candidate;
        if (!place || (*place && (!*candidate || (*candidate)->last_ms < (*place)->last_ms)))
            place = candidate;
    }
    if (!*place)
        *place = malloc(sizeof(**place));
    if (*place)
        **place = (struct client){.id = *id};
    return *place;
}

struct kvs_ratelimit_verdict kvs_ratelimit_take(struct kvs_ratelimit *limit,
                                                const struct kvs_ratelimit_id *id, int64_t now_ms,
                                                uint32_t requests, int64_t window_ms)
{
    uint64_t hash = XXH3_64bits_withSeed(id, sizeof(*id), limit->seed);
    struct shard *shard = &limit->shards[hash % SHARD_COUNT];
    struct kvs_ratelimit_verdict verdict = {.allowed = true};
    (void)pthread_mutex_lock(&shard->lock); // a plain mutex that we never lock twice
    struct client *client = find(limit, shard, hash, id);
    if (client) { // out of memory: better unlimited than unusable
        slide(client, now_ms, window_ms);
        verdict.allowed = client->count < requests;
        if (verdict.allowed)
            add(client, now_ms, window_ms);
        else
            verdict.retry_after_ms = retry_after_ms(client, now_ms, requests, window_ms);
        verdict.remaining = requests > client->count ? requests - client->count : 0;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return verdict;
}

struct kvs_ratelimit_id kvs_ratelimit_address(struct kvs_slice address)
{
    enum { HALF = 8 };
    struct kvs_ratelimit_id id = {{0}};
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    if (address.size == 0 || address.size >= sizeof(text))
        return id;
    memcpy(text, address.data, address.size);
    text[address.size] = '\0';
    id.bytes[10] = id.bytes[11] = 0xff; // as in ::ffff:a.b.c.d
    if (inet_pton(AF_INET, text, id.bytes + 12) == 1)
        return id;
    id = (struct kvs_ratelimit_id){{0}};
    if (inet_pton(AF_INET6, text, &v6) == 1)
        memcpy(id.bytes, v6.s6_addr, IN6_IS_ADDR_V4MAPPED(&v6) ? sizeof(id.bytes) : HALF);
    return id;
}
