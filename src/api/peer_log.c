// SPDX-License-Identifier: Apache-2.0
// What has been logged of which address, so that a misconfigured or hostile peer gets a line now
// and then instead of one a request. A small table that forgets by overwriting, and a limit over
// all: nobody can make it grow or the log run full. Thread-safe.
#include "api/api_internal.h"

#include "base/assert.h"

#include <pthread.h>

enum {
    SLOTS = 64,
    AGAIN_MS = 10 * 60 * 1000,
    MINUTE_MS = 60 * 1000,
    LINES_A_MINUTE = 20,
};

struct kvs_api_peer_log {
    pthread_mutex_t lock;
    struct slot {
        uint64_t hash; // of address and text; 0: free
        int64_t at_ms;
    } slots[SLOTS];
    int64_t minute_ms; // when the current one began
    unsigned lines;    // in it
};

int kvs_api_peer_log_new(struct kvs_api_peer_log **ret_peer_log)
{
    struct kvs_api_peer_log *peer_log = calloc(1, sizeof(*peer_log));
    if (!peer_log)
        return KVS_ERR_NOMEM;
    kvs_assert(pthread_mutex_init(&peer_log->lock, NULL) == 0);
    *ret_peer_log = peer_log;
    return 0;
}

void kvs_api_peer_log_free(struct kvs_api_peer_log *peer_log)
{
    if (!peer_log)
        return;
    (void)pthread_mutex_destroy(&peer_log->lock); // nobody holds it
    free(peer_log);
}

// FNV-1a; a collision hides one line for ten minutes.
static uint64_t add(uint64_t hash, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)data[i]) * 0x100000001b3u;
    return hash;
}

static bool is_below_limit(struct kvs_api_peer_log *peer_log, int64_t now_ms)
{
    if (peer_log->lines == 0 || now_ms - peer_log->minute_ms >= MINUTE_MS) {
        peer_log->minute_ms = now_ms;
        peer_log->lines = 0;
    }
    return peer_log->lines < LINES_A_MINUTE;
}

bool kvs_api_peer_log_is_due(struct kvs_api_peer_log *peer_log, struct kvs_slice address,
                             const char *what, int64_t now_ms)
{
    uint64_t hash = add(0xcbf29ce484222325u, address.data, address.size);
    hash = add(hash, what, strlen(what)) | 1;
    struct slot *slot = &peer_log->slots[(hash >> 1) % SLOTS];
    pthread_mutex_lock(&peer_log->lock);
    bool due = (slot->hash != hash || now_ms - slot->at_ms >= AGAIN_MS) &&
               is_below_limit(peer_log, now_ms);
    if (due) {
        *slot = (struct slot){hash, now_ms};
        peer_log->lines++;
    }
    pthread_mutex_unlock(&peer_log->lock);
    return due;
}
