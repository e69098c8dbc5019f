// SPDX-License-Identifier: Apache-2.0
// The small entries beside the records: change log, time index, due list and the node's own state.
// Pure. docs/formats/record.md repeats the tables.
//
//   LOG      key  seq u64be
//            val  format u8 = 1 | flags u8 | timestamp uvarint | uuid 16 | writer_id uvarint |
//                 writer_seq uvarint | user key
//   BY_TIME  key  timestamp u64be | user key             val  empty
//            Of a system key the timestamp's highest bit is set, so that either kind is read newest
//            first without the other. One for each version ever committed. It is current only while
//            the key's current version has that timestamp: readers check, and compaction drops the
//            rest.
//   DUE      key  due u64be (Unix ms) | user key         val  empty, or 1 for an expiry
//            When to look at a key whose version expires or whose tombstone grows old. A hint:
//            whoever looks decides by the version, not by the entry.
//   META     "identity"         format u8 = 1 | node uuid 16 | joined_timestamp u64be | incarnation
//   u64be
//            "writer/" u32be    node uuid 16 | joined_timestamp u64be
//            "state"            format u8 = 3 | log_seq u64be | writer_seq u64be | clock u64be |
//                               clock_floor u64be | newest u64be (both not in format 1) |
//                               removed u64be (not in formats 1 and 2)
//            "log_floor"        oldest kept log seq u64be
#ifndef KVS_CODEC_INDEX_H
#define KVS_CODEC_INDEX_H

#include "codec/version.h"
#include "codec/wire.h"

// A committed change, as the change feed and replication read it.
struct kvs_change {
    uint64_t seq;
    struct kvs_slice key; // borrows from what was decoded
    int64_t timestamp;
    struct kvs_uuid uuid;
    uint32_t writer_id;
    uint64_t writer_seq;
    uint8_t flags; // enum kvs_version_flag
};

void kvs_change_encode_key(struct kvs_buf *out, uint64_t seq);
void kvs_change_encode_value(struct kvs_buf *out, const struct kvs_change *change);
// KVS_ERR_CORRUPT; KVS_ERR_VERSION for a newer format.
KVS_MUST_CHECK int kvs_change_decode(struct kvs_slice entry_key, struct kvs_slice entry_value,
                                     struct kvs_change *ret_change);

enum { KVS_DUE_EXPIRY = 1 };

// BY_TIME and DUE share one shape: a time, then a key.
void kvs_due_key_encode(struct kvs_buf *out, int64_t due_ms, struct kvs_slice key);
void kvs_by_time_key_encode(struct kvs_buf *out, int64_t timestamp, struct kvs_slice key);
bool kvs_time_key_decode(struct kvs_slice entry_key, int64_t *ret_time_ms,
                         struct kvs_slice *ret_key);

struct kvs_identity {
    struct kvs_writer self;
    uint64_t incarnation;
};
void kvs_identity_encode(struct kvs_buf *out, const struct kvs_identity *identity);
KVS_MUST_CHECK int kvs_identity_decode(struct kvs_slice value, struct kvs_identity *ret_identity);

void kvs_writer_encode(struct kvs_buf *out, const struct kvs_writer *writer);
KVS_MUST_CHECK int kvs_writer_decode(struct kvs_slice value, struct kvs_writer *ret_writer);

// Written with every group of writes, so that a restart goes on where the last group ended.
struct kvs_commit_state {
    uint64_t log_seq;    // of the newest change
    uint64_t writer_seq; // of this node's newest version
    int64_t clock;       // greatest timestamp this node's clock has given, Unix ms
    int64_t clock_floor; // it has promised to give none at or below
    int64_t newest;      // greatest timestamp of this node's versions: may lie ahead of its clock
    int64_t removed;     // no version with a greater timestamp was ever taken out of the store, but
                         // for surplus ones; INT64_MAX: not known
};
void kvs_commit_state_encode(struct kvs_buf *out, const struct kvs_commit_state *state);
KVS_MUST_CHECK int kvs_commit_state_decode(struct kvs_slice value,
                                           struct kvs_commit_state *ret_state);

#endif
