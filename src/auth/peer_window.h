// SPDX-License-Identifier: Apache-2.0
// Which signed requests have been seen: a challenge that is part of every signature, and under it
// for each stream (one sender's requests) the highest counter and a window below it. Knows no
// clocks: a challenge is made at random and thrown away with everything that was signed for it.
// Not thread-safe; only what has a valid signature may be shown to it, so that strangers cannot
// fill the table.
#ifndef KVS_AUTH_PEER_WINDOW_H
#define KVS_AUTH_PEER_WINDOW_H

#include "base/err.h"
#include "base/random.h"

#include <stddef.h>
#include <stdint.h>

enum {
    KVS_PEER_CHALLENGE_SIZE = 16,
    KVS_PEER_STREAM_SIZE = 16,
    KVS_PEER_WINDOW_BITS = 256,  // how far requests of a stream may overtake each other
    KVS_PEER_STREAMS_MAX = 4096, // the default
};

struct kvs_peer_window; // a stream's

struct kvs_peer_windows {
    unsigned char challenge[KVS_PEER_CHALLENGE_SIZE];
    struct kvs_random *random;
    struct kvs_peer_window *slots; // open addressing; NULL before the first stream
    size_t slot_count;             // a power of two
    size_t stream_count;
    size_t stream_max;
};

enum kvs_peer_admission {
    KVS_PEER_FRESH,    // never seen before, and noted now
    KVS_PEER_REPLAYED, // seen, or too far below the stream's highest counter to tell
    KVS_PEER_STALE,    // signed for another challenge: sign again for the current one
};

// `random` is borrowed and must be good enough for secrets.
void kvs_peer_windows_init(struct kvs_peer_windows *windows, struct kvs_random *random,
                           size_t stream_max);
void kvs_peer_windows_done(struct kvs_peer_windows *windows);

// When the table is full or memory runs out the challenge changes, everything is forgotten, and
// this request is stale. Counters begin at 1.
enum kvs_peer_admission
kvs_peer_windows_admit(struct kvs_peer_windows *windows,
                       const unsigned char challenge[static KVS_PEER_CHALLENGE_SIZE],
                       const unsigned char stream[static KVS_PEER_STREAM_SIZE], uint64_t counter);

#endif
