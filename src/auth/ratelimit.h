// SPDX-License-Identifier: Apache-2.0
// How many requests a client may make in a sliding window. Thread-safe: a lock a shard, held for a
// few memory accesses.
//
// A client's requests of the last window are kept as at most KVS_RATELIMIT_RUNS runs: requests
// closer together than a fraction of the window share one, and a run leaves the window with its
// last request. So never more than the limit fall into any window; single requests and bursts leave
// it on the millisecond, a steady stream at most 1/32 of a window late.
//
// Memory is bounded by the number of clients: when all places are taken by clients of the current
// window, the one used least recently among a few is forgotten.
#ifndef KVS_AUTH_RATELIMIT_H
#define KVS_AUTH_RATELIMIT_H

#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"

enum { KVS_RATELIMIT_RUNS = 33, KVS_RATELIMIT_CLIENTS_DEFAULT = 65536 };

struct kvs_ratelimit;

struct kvs_ratelimit_id {
    uint8_t bytes[16]; // a user's UUID, or an address
};

struct kvs_ratelimit_verdict {
    bool allowed;
    uint32_t remaining;     // requests left in the window after this one
    int64_t retry_after_ms; // > 0 when refused
};

// Memory for clients is taken as they come.
KVS_MUST_CHECK int kvs_ratelimit_new(size_t clients_max, struct kvs_random *random,
                                     struct kvs_ratelimit **ret_limit);
void kvs_ratelimit_free(struct kvs_ratelimit *limit); // NULL is fine

// Counts one request when it is allowed; a refused one counts nothing. `now_ms` is monotonic;
// requests and window may differ from call to call (a reload).
struct kvs_ratelimit_verdict kvs_ratelimit_take(struct kvs_ratelimit *limit,
                                                const struct kvs_ratelimit_id *id, int64_t now_ms,
                                                uint32_t requests, int64_t window_ms);

// An address as text, as an identity: IPv4 whole, IPv6 by its /64, from which one host may take any
// number; all others together as one.
struct kvs_ratelimit_id kvs_ratelimit_address(struct kvs_slice address);

#endif
