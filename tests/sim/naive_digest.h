// SPDX-License-Identifier: Apache-2.0
// The reference for digest/digest.h: a sorted array of keys and item hashes, summed by walking.
// Slow and obvious. Tests hold the real index against it; the simulator uses it as the truth.
#ifndef KVS_TESTS_SIM_NAIVE_DIGEST_H
#define KVS_TESTS_SIM_NAIVE_DIGEST_H

#include "digest/digest.h"

enum { NAIVE_KEY_MAX = 64 };

struct naive_record {
    char key[NAIVE_KEY_MAX];
    size_t key_size;
    struct kvs_digest_sum item;
};

struct naive_digest {
    struct naive_record *records; // in key order
    size_t count;
    size_t capacity;
};

void naive_digest_init(struct naive_digest *digest);
void naive_digest_done(struct naive_digest *digest);

// As kvs_digest_update, and checks that `old_item` is what is there.
void naive_digest_update(struct naive_digest *digest, struct kvs_slice key,
                         const struct kvs_digest_sum *old_item,
                         const struct kvs_digest_sum *new_item);
struct kvs_fingerprint naive_digest_range(const struct naive_digest *digest, struct kvs_slice first,
                                          struct kvs_slice end);
// As kvs_digest_split.
void naive_digest_split(const struct naive_digest *digest, struct kvs_slice first,
                        struct kvs_slice end, uint32_t parts, kvs_digest_part_fn *visit, void *ctx);
// A source over the array's own records.
struct kvs_digest_source naive_digest_source(const struct naive_digest *digest);

#endif
