// SPDX-License-Identifier: Apache-2.0
// A hash table without deletion: streams leave it all at once, with their challenge. Stream ids are
// random, so their own first bytes are the hash; a sender that chooses them badly slows the table
// down, and has the secret anyway.
#include "auth/peer_window.h"

#include "base/assert.h"
#include "base/cleanup.h"

#include <openssl/crypto.h>
#include <string.h>

enum { WORD_BITS = 64, WORDS = KVS_PEER_WINDOW_BITS / WORD_BITS, SLOTS_MIN = 64 };

struct kvs_peer_window {
    unsigned char stream[KVS_PEER_STREAM_SIZE];
    uint64_t highest;     // 0: the slot is free
    uint64_t seen[WORDS]; // bit n: highest - n has been seen
};

static void forget(struct kvs_peer_windows *windows)
{
    free(windows->slots);
    windows->slots = NULL;
    windows->slot_count = 0;
    windows->stream_count = 0;
    kvs_random_fill(windows->random, windows->challenge, sizeof(windows->challenge));
}

void kvs_peer_windows_init(struct kvs_peer_windows *windows, struct kvs_random *random,
                           size_t stream_max)
{
    *windows = (struct kvs_peer_windows){
        .random = random, .stream_max = stream_max > 0 ? stream_max : KVS_PEER_STREAMS_MAX};
    forget(windows);
}

void kvs_peer_windows_done(struct kvs_peer_windows *windows)
{
    free(windows->slots);
    windows->slots = NULL;
}

// The stream's slot, or the free one where it belongs.
static struct kvs_peer_window *find(const struct kvs_peer_windows *windows,
                                    const unsigned char *stream)
{
    kvs_assert(windows->slots);
    uint64_t hash = 0;
    memcpy(&hash, stream, sizeof(hash));
    for (size_t i = (size_t)hash;; i++) { // ends: the table is never more than half full
        struct kvs_peer_window *slot = &windows->slots[i & (windows->slot_count - 1)];
        if (slot->highest == 0 || memcmp(slot->stream, stream, KVS_PEER_STREAM_SIZE) == 0)
            return slot;
    }
}

static bool grow(struct kvs_peer_windows *windows)
{
    struct kvs_peer_windows bigger = *windows;
    bigger.slot_count = windows->slot_count > 0 ? windows->slot_count * 2 : SLOTS_MIN;
    bigger.slots = calloc(bigger.slot_count, sizeof(*bigger.slots));
    if (!bigger.slots)
        return false;
    for (size_t i = 0; windows->slots && i < windows->slot_count; i++) {
        if (windows->slots[i].highest > 0)
            *find(&bigger, windows->slots[i].stream) = windows->slots[i];
    }
    free(windows->slots);
    *windows = bigger;
    return true;
}

static bool has_room(struct kvs_peer_windows *windows)
{
    if (windows->stream_count >= windows->stream_max)
        return false;
    return 2 * (windows->stream_count + 1) <= windows->slot_count || grow(windows);
}

static void shift(uint64_t seen[static WORDS], uint64_t by)
{
    uint64_t shifted[WORDS] = {0};
    size_t words = (size_t)(by / WORD_BITS);
    unsigned bits = (unsigned)(by % WORD_BITS);
    for (size_t i = words; by < KVS_PEER_WINDOW_BITS && i < WORDS; i++) {
        shifted[i] = seen[i - words] << bits;
        if (bits > 0 && i > words)
            shifted[i] |= seen[i - words - 1] >> (WORD_BITS - bits);
    }
    memcpy(seen, shifted, sizeof(shifted));
}

static enum kvs_peer_admission note(struct kvs_peer_window *window, uint64_t counter)
{
    if (counter > window->highest) {
        shift(window->seen, counter - window->highest);
        window->seen[0] |= 1;
        window->highest = counter;
        return KVS_PEER_FRESH;
    }
    uint64_t below = window->highest - counter;
    if (below >= KVS_PEER_WINDOW_BITS)
        return KVS_PEER_REPLAYED;
    uint64_t bit = UINT64_C(1) << below % WORD_BITS;
    uint64_t *word = &window->seen[below / WORD_BITS];
    if (*word & bit)
        return KVS_PEER_REPLAYED;
    *word |= bit;
    return KVS_PEER_FRESH;
}

enum kvs_peer_admission
kvs_peer_windows_admit(struct kvs_peer_windows *windows,
                       const unsigned char challenge[static KVS_PEER_CHALLENGE_SIZE],
                       const unsigned char stream[static KVS_PEER_STREAM_SIZE], uint64_t counter)
{
    if (CRYPTO_memcmp(windows->challenge, challenge, KVS_PEER_CHALLENGE_SIZE) != 0)
        return KVS_PEER_STALE;
    if (counter == 0)
        return KVS_PEER_REPLAYED;
    struct kvs_peer_window *window = windows->slots ? find(windows, stream) : NULL;
    if (window && window->highest > 0)
        return note(window, counter);
    if (!has_room(windows)) {
        forget(windows);
        return KVS_PEER_STALE;
    }
    window = find(windows, stream); // growing has moved it
    *window = (struct kvs_peer_window){.highest = counter, .seen = {1}};
    memcpy(window->stream, stream, KVS_PEER_STREAM_SIZE);
    windows->stream_count++;
    return KVS_PEER_FRESH;
}
