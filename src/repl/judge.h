// SPDX-License-Identifier: Apache-2.0
// What becomes of a version that arrives from a peer. Pure: the commit thread asks it, with the
// key's current version in hand, for each version of a KVS_REPL_ACTION_APPLY.
#ifndef KVS_REPL_JUDGE_H
#define KVS_REPL_JUDGE_H

#include "codec/version.h"

enum kvs_verdict {
    KVS_VERDICT_APPLY,     // becomes the current version
    KVS_VERDICT_LOSE,      // older than the current one: goes to the key's history
    KVS_VERDICT_DUPLICATE, // is the current one
    KVS_VERDICT_REMOVE,    // wins and is due for removal at once: remove the key with its history
    KVS_VERDICT_IGNORE,    // nothing to do: a deleted version come back (even if it would beat what
                           // is here), or a deletion of nothing
    KVS_VERDICT_DEFER,     // from the future: keep it aside until it is due
    KVS_VERDICT_QUARANTINE // from the far future: the same, and tell someone
};

enum { KVS_QUARANTINE_MS = 24 * 3600 * 1000 };

struct kvs_judgement {
    // In.
    const struct kvs_version *current;  // NULL: the key is absent
    const struct kvs_version *incoming; // decoded, unchecked
    int64_t watermark_ms;
    int64_t forgotten_ms; // deletions up to here were forgotten in a former cluster; 0: none
    int64_t wall_ms;
    int64_t skew_max_ms;
    bool
        seen; // its dot is covered by what this node has seen, its own writes of this life included
    struct kvs_uuid self;   // this node
    uint64_t sender_has_us; // writer_seq of our newest write that the sender had when it sent, or 0
    bool due;               // it was deferred and its time has come
#ifdef KVS_REPL_MUTATIONS
    unsigned mutations;
#endif
    // Out.
    enum kvs_version_rule rule; // what decided, for APPLY, LOSE and REMOVE
    bool revived;  // APPLY for an absent key from at or below the watermark: others may differ
    bool conflict; // the loser was concurrent: mark it, count it, say so
};

enum kvs_verdict kvs_judge(struct kvs_judgement *judgement);
const char *kvs_verdict_name(enum kvs_verdict verdict); // "apply"; static

// Was it deleted, if it was seen and is not here, on a node that forgot deletions up to
// `forgotten_ms` in a former cluster (0: none)? What is itself due for removal does no harm by
// coming back, and does.
bool kvs_version_is_forgotten(const struct kvs_version *version, int64_t forgotten_ms);

// May this current version go, tombstone or expired, once the watermark has risen to
// `watermark_ms`?
static inline bool kvs_version_is_removable(const struct kvs_version *version, int64_t watermark_ms)
{
    if (version->timestamp > watermark_ms)
        return false;
    return kvs_version_is_tombstone(version) ||
           (version->expires_at != 0 && version->expires_at <= watermark_ms);
}

#endif
