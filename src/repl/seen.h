// SPDX-License-Identifier: Apache-2.0
// Dots and what has been seen of them. Pure; shared by the core and by whoever stores `seen` with
// the data it speaks of.
//
// A dot names one write: (node, life, count). A life is one run of a writer's process: the count
// starts anew at 1 with each, so that a node that lost its newest writes, or was restored from an
// old copy, never uses a dot twice. In a version, `writer_seq` is life << 32 | count.
#ifndef KVS_REPL_SEEN_H
#define KVS_REPL_SEEN_H

#include "base/cleanup.h"
#include "base/err.h"
#include "codec/version.h"

enum { KVS_SEEN_ENTRIES_MAX = 16384 };

static inline uint64_t kvs_dot_seq(uint32_t life, uint32_t count)
{
    return (uint64_t)life << 32 | count;
}
static inline uint32_t kvs_dot_life(uint64_t seq)
{
    return (uint32_t)(seq >> 32);
}
static inline uint32_t kvs_dot_count(uint64_t seq)
{
    return (uint32_t)seq;
}

// Everything of (node, life) up to `count` is here or superseded here. Some up to `ahead` is, too.
struct kvs_seen_entry {
    struct kvs_uuid node;
    uint32_t life;
    uint32_t count;
    uint32_t ahead;    // > count: versions from beyond a gap have been applied
    bool settled;      // stands for this life and all before it: complete, count is meaningless
    int64_t newest_ms; // greatest timestamp among them
};

// Entries in order of node, life; at most one settled entry a node, its first.
struct kvs_seen {
    struct kvs_seen_entry *entries;
    size_t count;
    size_t capacity;
};

// A run of dots, (from, to], that came together.
struct kvs_seen_run {
    struct kvs_uuid node;
    uint32_t life;
    uint32_t from;
    uint32_t to; // 0: no run
};

void kvs_seen_init(struct kvs_seen *seen);
void kvs_seen_done(struct kvs_seen *seen);
KVS_MUST_CHECK int kvs_seen_copy(struct kvs_seen *to, const struct kvs_seen *from);

const struct kvs_seen_entry *kvs_seen_find(const struct kvs_seen *seen, const struct kvs_uuid *node,
                                           uint32_t life);
bool kvs_seen_covers(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life,
                     uint32_t count);
static inline bool kvs_seen_covers_version(const struct kvs_seen *seen,
                                           const struct kvs_version *version)
{
    return kvs_seen_covers(seen, &version->writer.node, kvs_dot_life(version->writer_seq),
                           kvs_dot_count(version->writer_seq));
}
// Does it cover all that `other` lists? What `other` has settled is not looked at: whoever has the
// same watermark has it, and nobody else compares.
bool kvs_seen_covers_all(const struct kvs_seen *seen, const struct kvs_seen *other);
// Has nothing been applied from beyond a gap?
bool kvs_seen_is_exact(const struct kvs_seen *seen);

// Notes that `version` has been applied, in or out of its turn.
KVS_MUST_CHECK int kvs_seen_note(struct kvs_seen *seen, const struct kvs_version *version);
// Everything noted in `other`.
KVS_MUST_CHECK int kvs_seen_note_all(struct kvs_seen *seen, const struct kvs_seen *other);
// Everything in the run has been applied; counts if there is no gap before it.
KVS_MUST_CHECK int kvs_seen_advance(struct kvs_seen *seen, const struct kvs_seen_run *run);
// Takes over what another node has seen, after having taken over all its data. A settled entry
// folds a node's lives up to that one into itself.
KVS_MUST_CHECK int kvs_seen_adopt(struct kvs_seen *seen, const struct kvs_seen *other);

#endif
