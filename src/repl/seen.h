// SPDX-License-Identifier: Apache-2.0
// Dots and what has been seen of them. Pure; shared by the core and by whoever stores `seen` with
// the data it speaks of.
//
// A dot names one write: (node, life, count). A life is one run of a writer's process: the count
// starts anew at 1 with each, so that a node that lost its newest writes, or was restored from an
// old copy, never uses a dot twice. In a version, `writer_seq` is life << 32 | count.
#ifndef KVS_REPL_SEEN_H
#define KVS_REPL_SEEN_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "codec/version.h"

enum {
    KVS_SEEN_ENTRIES_MAX = 16384,
    KVS_SEEN_SPANS_MAX = 8192,
    KVS_SEEN_SPANS_A_LIFE = 128, // more are not listed: `ahead`
};

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

// Everything of (node, life) up to `count` is here or superseded here.
struct kvs_seen_entry {
    struct kvs_uuid node;
    uint32_t life;
    uint32_t count;
    uint32_t ahead;    // > count: some up to here is, too, in more spans than are listed
    bool settled;      // stands for this life and all before it: complete, count is meaningless
    int64_t newest_ms; // greatest timestamp among them
};

// Dots from beyond a gap: all in (from, to] are here or superseded here; from > the entry's count.
struct kvs_seen_span {
    struct kvs_uuid node;
    uint32_t life;
    uint32_t from;
    uint32_t to;
};

// Entries in order of node, life; at most one settled entry a node, its first. Spans in order of
// node, life, from; each belongs to an entry that is not settled, and none touches the next.
struct kvs_seen {
    struct kvs_seen_entry *entries;
    size_t count;
    size_t capacity;
    struct kvs_seen_span *spans;
    size_t span_count;
    size_t span_capacity;
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

// For keeping it with the data. Any bytes may be given: KVS_ERR_CORRUPT, KVS_ERR_VERSION,
// KVS_ERR_NOMEM. docs/formats/replication-state.md
void kvs_seen_encode(const struct kvs_seen *seen, struct kvs_buf *out);
KVS_MUST_CHECK int kvs_seen_decode(struct kvs_slice bytes, struct kvs_seen *ret_seen);

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
// same watermark has it, and nobody else compares. Beyond what is listed here (`ahead`) nothing is
// missed.
bool kvs_seen_covers_all(const struct kvs_seen *seen, const struct kvs_seen *other);
// Is there anything here of each node's last life that `other` has settled? If not, `other` settled
// it among members of another cluster, and what it had in that life may be missing here.
bool kvs_seen_knows_settled(const struct kvs_seen *seen, const struct kvs_seen *other);
// The first dots that `other` has and `seen` has not, of an entry at or behind *at, which moves on.
// False: there are no more.
bool kvs_seen_missing(const struct kvs_seen *seen, const struct kvs_seen *other, size_t *at,
                      struct kvs_seen_run *ret_missing);
// The last dot that is here without a gap behind `from`; `from` itself when the next one is not.
uint32_t kvs_seen_reach(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life,
                        uint32_t from);
// The greatest dot that is here; 0: none.
uint32_t kvs_seen_last(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life);
// Is everything that has been applied listed?
bool kvs_seen_is_exact(const struct kvs_seen *seen);

// Notes that `version` has been applied, in or out of its turn.
KVS_MUST_CHECK int kvs_seen_note(struct kvs_seen *seen, const struct kvs_version *version);
// Everything in the run has been applied.
KVS_MUST_CHECK int kvs_seen_advance(struct kvs_seen *seen, const struct kvs_seen_run *run);
// Takes over all that `other` lists: what another node has seen, after having taken over all its
// data; or what was noted apart. A settled entry folds a node's lives up to that one into itself.
KVS_MUST_CHECK int kvs_seen_adopt(struct kvs_seen *seen, const struct kvs_seen *other);

#endif
