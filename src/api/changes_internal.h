// SPDX-License-Identifier: Apache-2.0
// GET /changes: what its two files share. changes.c reads requests and the log and answers pages
// and long polls; changes_feed.c is the stream of server-sent events.
#ifndef KVS_API_CHANGES_INTERNAL_H
#define KVS_API_CHANGES_INTERNAL_H

#include "api/api_internal.h"
#include "node/changes.h"

enum kvs_feed_kind { KVS_FEED_NORMAL, KVS_FEED_LONGPOLL, KVS_FEED_SSE };

// One reading of the log. Belongs to the loop thread, but to a worker while `feed->reading`.
struct kvs_feed_reader {
    uint64_t since; // everything up to here has been read
    bool more;      // there is more behind it
    uint32_t found;
    uint32_t found_max; // in all; 0 = no limit
    struct kvs_buf *out;
    size_t size_max; // of `out`, about
    bool events;     // format: server-sent events, not members of an array
};

struct kvs_feed {
    struct kvs_api_call *call;
    enum kvs_feed_kind kind;
    struct kvs_slice prefix;
    int64_t timeout_ms;   // LONGPOLL
    int64_t heartbeat_ms; // SSE
    struct kvs_feed_reader reader;
    struct kvs_changes_wait wait;
    void (*back)(struct kvs_feed *feed); // from the worker
    void (*told)(struct kvs_feed *feed); // that there is more
    bool reading;                        // a worker is at it: its task will come back
    bool waiting;                        // subscribed: its task will come unless it is taken back
    bool over;                           // to be ended as soon as neither is true
    // SSE
    struct kvs_buf ready; // read, not yet sent
    uint64_t given;       // the client has been sent everything up to here
    bool streaming;
    bool greeted;
    bool beat; // a heartbeat is due
};

// Reads on, at most `walk_max` entries of the log, until `out` has about size_max bytes.
enum { KVS_FEED_PIECE = 32 * 1024, KVS_FEED_LOOP_WALK = 256, KVS_FEED_WORKER_WALK = 20000 };
KVS_MUST_CHECK int kvs_feed_read(struct kvs_feed *feed, enum kvs_read_mode mode, uint32_t walk_max);
// Lets a worker read on; `back` runs on the loop with call->err.
void kvs_feed_read_on_worker(struct kvs_feed *feed, void (*back)(struct kvs_feed *feed));
// KVS_ERR_GONE with what to do.
int kvs_feed_fail_gone(struct kvs_feed *feed);

// Subscribes; `told` runs on the loop when there is more.
void kvs_feed_wait(struct kvs_feed *feed, void (*told)(struct kvs_feed *feed));
// May the exchange be finished now? Takes a subscription back where it can.
bool kvs_feed_is_free(struct kvs_feed *feed);

// changes_feed.c: from the first reading on.
void kvs_feed_stream(struct kvs_feed *feed);

#endif
