// SPDX-License-Identifier: Apache-2.0
// Randomness as an argument. Production: OpenSSL's CSPRNG behind a small per-thread pool, so that a
// UUID costs tens of nanoseconds. Tests and the simulator pass a seeded generator.
#ifndef KVS_BASE_RANDOM_H
#define KVS_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct kvs_random {
    // Fills `size` bytes; never fails (the system one aborts if the OS gives no entropy).
    void (*fill)(struct kvs_random *random, void *data, size_t size);
};

// Cryptographically strong, thread-safe, static.
struct kvs_random *kvs_random_system(void);

// Deterministic (splitmix64); for tests and simulation only, never for secrets.
struct kvs_random_seeded {
    struct kvs_random base;
    uint64_t state;
};
void kvs_random_seeded_init(struct kvs_random_seeded *random, uint64_t seed);

static inline void kvs_random_fill(struct kvs_random *random, void *data, size_t size)
{
    random->fill(random, data, size);
}

uint64_t kvs_random_u64(struct kvs_random *random);
// Uniform in [0, bound); bound > 0.
uint64_t kvs_random_below(struct kvs_random *random, uint64_t bound);

#endif
