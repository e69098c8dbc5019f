// SPDX-License-Identifier: Apache-2.0
// Versions of peers that cannot be stored here. One such in a message fails the whole of it, and it
// comes again and again. So from the first one on, for a while, each message is looked through, and
// what cannot be stored is taken out before the core sees it: it is neither applied nor counted as
// seen, and everything else goes on (docs/decisions/0064). The replica's thread alone.
#ifndef KVS_NODE_SCREEN_H
#define KVS_NODE_SCREEN_H

#include "repl/repl.h"

struct kvs_node;

// Bytes from a peer reach the store only as what we could have written ourselves.
bool kvs_item_is_sane(const struct kvs_repl_item *item);

enum { KVS_SCREEN_REFUSED_MAX = 64, KVS_SCREEN_TOLD_MAX = 64 };

struct kvs_screen {
    struct kvs_node *node;
    int64_t until_ms;         // monotonic
    int64_t refused_until_ms; // then they are tried again, seen meanwhile or not
    // Sane ones that this node refused all the same, and those that have been told of; the oldest
    // make room.
    struct kvs_uuid refused[KVS_SCREEN_REFUSED_MAX], told[KVS_SCREEN_TOLD_MAX];
    size_t refused_count, told_count; // ever
};

// Is `err` of an APPLY for what it holds, and the same when it comes again?
bool kvs_screen_is_for_good(int err);
// A version that waited has been refused so, and waits on: tells of it, once.
void kvs_screen_waits(struct kvs_screen *screen, const struct kvs_repl_item *item);
// An APPLY failed so; `item` is the one that was refused, NULL: it was not sane.
void kvs_screen_begin(struct kvs_screen *screen, const struct kvs_repl_item *item, int64_t now_ms);

static inline bool kvs_screen_is_on(const struct kvs_screen *screen, int64_t now_ms)
{
    return now_ms < screen->until_ms;
}

typedef void kvs_screen_give_fn(void *ctx, struct kvs_slice message,
                                const struct kvs_repl_item *page_end);
// Gives on what may be given on: the message as it is, one or several in its place, or none.
// `seen` is the core's. `page_end` is the last item of a bootstrap's page from which some have been
// taken out (kvs_repl_event), else NULL. All is valid during the call.
void kvs_screen_pass(struct kvs_screen *screen, const struct kvs_seen *seen,
                     struct kvs_slice message, int64_t now_ms, kvs_screen_give_fn *give, void *ctx);

#endif
