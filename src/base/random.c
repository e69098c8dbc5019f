// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include "base/assert.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { POOL_SIZE = 4096 };

static _Thread_local struct {
    unsigned char bytes[POOL_SIZE];
    size_t left; // unused bytes, at the end of the pool
    pid_t owner; // a forked child must not hand out its parent's bytes
} pool;

static pid_t process_id;

static void remember_process_id(void)
{
    process_id = getpid();
}

static void install_fork_handler(void)
{
    remember_process_id();
    kvs_assert(pthread_atfork(NULL, NULL, remember_process_id) == 0);
}

static void system_fill(struct kvs_random *random, void *data, size_t size)
{
    (void)random;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, install_fork_handler); // cannot fail with a valid control
    if (size > POOL_SIZE) {
        kvs_assert(RAND_bytes(data, (int)size) == 1);
        return;
    }
    if (pool.left < size || pool.owner != process_id) {
        kvs_assert(RAND_bytes(pool.bytes, POOL_SIZE) == 1);
        pool.left = POOL_SIZE;
        pool.owner = process_id;
    }
    unsigned char *from = pool.bytes + POOL_SIZE - pool.left;
    memcpy(data, from, size);
    OPENSSL_cleanse(from, size);
    pool.left -= size;
}

static struct kvs_random system_random = {system_fill};

struct kvs_random *kvs_random_system(void)
{
    return &system_random;
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void seeded_fill(struct kvs_random *random, void *data, size_t size)
{
    struct kvs_random_seeded *seeded = (struct kvs_random_seeded *)random;
    unsigned char *to = data;
    while (size > 0) {
        uint64_t value = splitmix64(&seeded->state);
        size_t n = size < sizeof(value) ? size : sizeof(value);
        memcpy(to, &value, n);
        to += n;
        size -= n;
    }
}

void kvs_random_seeded_init(struct kvs_random_seeded *random, uint64_t seed)
{
    *random = (struct kvs_random_seeded){{seeded_fill}, seed};
}

uint64_t kvs_random_u64(struct kvs_random *random)
{
    uint64_t value = 0;
    kvs_random_fill(random, &value, sizeof(value));
    return value;
}

uint64_t kvs_random_below(struct kvs_random *random, uint64_t bound)
{
    kvs_assert(bound > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value = 0;
    bool ok = false;
    while (!ok) {
        value = kvs_random_u64(random);
        ok = value < limit;
    }
    return value % bound;
}
