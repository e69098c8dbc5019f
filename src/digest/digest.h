// SPDX-License-Identifier: Apache-2.0
// Range fingerprints (design: "Digests"; range-based set reconciliation). Pure.
//
// A fingerprint is the number of records in a range of keys and the sum modulo 2^128 of their item
// hashes. It depends on the set of records alone: never on the order in which they came, nor on how
// blocks happen to be cut. Item hashes are a keyed PRF, so whoever can write values cannot steer
// sums; the key is made with the cluster and handed over at join.
//
// The index keeps blocks of contiguous keys {first key, count, sum} under an in-memory B+-tree that
// carries count and sum per child. It holds no record's hash: where one block must be looked into
// (to cut it, or because a range ends inside it), the records are read through a
// `struct kvs_digest_source`.
//
// Not thread-safe: the caller serialises updates, and lets readers in between them. A source must
// show exactly the records that the index has been told of.
#ifndef KVS_DIGEST_DIGEST_H
#define KVS_DIGEST_DIGEST_H

#include "base/buf.h"
#include "codec/version.h"

enum {
    KVS_DIGEST_KEY_SIZE = 16,
    KVS_DIGEST_BLOCK_DEFAULT = 128,   // records a block aims at; between half and twice of it
    KVS_DIGEST_FANOUT = 16,           // children a large range is cut into
    KVS_DIGEST_RECORD_KEY_MAX = 4096, // bytes
};

// Of the PRF, not of a record.
struct kvs_digest_key {
    uint8_t bytes[KVS_DIGEST_KEY_SIZE];
};

struct kvs_digest_sum {
    uint64_t lo, hi;
};

struct kvs_fingerprint {
    struct kvs_digest_sum sum;
    uint64_t count;
};

static inline void kvs_digest_sum_add(struct kvs_digest_sum *sum, struct kvs_digest_sum other)
{
    sum->lo += other.lo;
    sum->hi += other.hi + (sum->lo < other.lo);
}

static inline void kvs_digest_sum_sub(struct kvs_digest_sum *sum, struct kvs_digest_sum other)
{
    uint64_t borrow = sum->lo < other.lo;
    sum->lo -= other.lo;
    sum->hi -= other.hi + borrow;
}

static inline bool kvs_fingerprint_eq(struct kvs_fingerprint a, struct kvs_fingerprint b)
{
    return a.sum.lo == b.sum.lo && a.sum.hi == b.sum.hi && a.count == b.count;
}

// The item hash of a key's current version: a 128-bit PRF over the length-framed key, timestamp,
// uuid, writer (node and joined_timestamp), the tombstone flag, expires_at and value_checksum.
//
// Deliberately not part of it: writer_seq (a version that is logged anew keeps its hash), the flags
// STUB and CONFLICT_LOSER, and, for versions with expires_at != 0, value_checksum: so an expired
// version hashes the same after its payload was reclaimed, without anyone keeping the checksum.
struct kvs_digest_sum kvs_digest_item(const struct kvs_digest_key *prf, struct kvs_slice key,
                                      const struct kvs_version *version, uint64_t value_checksum);

// One record of a range, in key order; `key` is valid during the call. False stops the scan, which
// then returns 0.
typedef bool kvs_digest_visit_fn(void *ctx, struct kvs_slice key, struct kvs_digest_sum item);

// The records behind the index: what the store says. `first` inclusive; `end` exclusive, and an
// empty `end` means to the last key.
struct kvs_digest_source {
    void *ctx;
    int (*scan)(void *ctx, struct kvs_slice first, struct kvs_slice end, kvs_digest_visit_fn *visit,
                void *visit_ctx);
};

struct kvs_digest_options {
    uint32_t block_size; // records a block aims at; 0 = KVS_DIGEST_BLOCK_DEFAULT, at least 2
};

struct kvs_digest; // owned by whoever made it

KVS_MUST_CHECK int kvs_digest_new(const struct kvs_digest_options *options,
                                  struct kvs_digest **ret_digest);
void kvs_digest_free(struct kvs_digest *digest); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_digest, kvs_digest_free)

// A key's current version changed from `old_item` (NULL: the key was absent) to `new_item` (NULL:
// it is absent now). O(log n), memory only, allocates nothing. An error changes nothing:
// KVS_ERR_TOO_LARGE (the key), KVS_ERR_CORRUPT: no record is counted where `old_item` should be, so
// rebuild.
KVS_MUST_CHECK int kvs_digest_update(struct kvs_digest *digest, struct kvs_slice key,
                                     const struct kvs_digest_sum *old_item,
                                     const struct kvs_digest_sum *new_item);

// Cuts blocks that have grown too large and joins those too small: at most `blocks_max` of them
// (each reads its records once), fewer when there is less to do. *ret_more: call again. Call it
// after each group of updates, when the source shows them. An error leaves the index valid, with
// that block as it was; KVS_ERR_CORRUPT: it holds fewer records than were counted, so scrub.
KVS_MUST_CHECK int kvs_digest_maintain(struct kvs_digest *digest,
                                       const struct kvs_digest_source *source, uint32_t blocks_max,
                                       bool *ret_more);

// Of everything. O(1).
struct kvs_fingerprint kvs_digest_root(const struct kvs_digest *digest);

// Of the keys in [first, end); empty `first` = from the beginning, empty `end` = to the last key.
// O(log n), and at most two partial blocks are read. KVS_ERR_CORRUPT, here and below: the source
// shows other records than were counted.
KVS_MUST_CHECK int kvs_digest_range(const struct kvs_digest *digest,
                                    const struct kvs_digest_source *source, struct kvs_slice first,
                                    struct kvs_slice end, struct kvs_fingerprint *ret_fingerprint);

// One part of a range: keys from `first` (inclusive) to the next part's `first`, or to the end of
// the range. `first` is valid during the call.
typedef bool kvs_digest_part_fn(void *ctx, struct kvs_slice first,
                                struct kvs_fingerprint fingerprint);

// Cuts [first, end) into about `parts` ranges (>= 2) of about equal count that cover it without gap
// or overlap: the first part begins with the range's own `first`. At least two parts whenever the
// range holds at least two keys, never an empty part then, never more than 2 * parts. A range of
// fewer than two keys is visited as one part. Separators need not be keys: they are as short as
// possible. False from `visit` stops.
KVS_MUST_CHECK int kvs_digest_split(const struct kvs_digest *digest,
                                    const struct kvs_digest_source *source, struct kvs_slice first,
                                    struct kvs_slice end, uint32_t parts, kvs_digest_part_fn *visit,
                                    void *visit_ctx);

// ---- Start and care

// Rebuilds from every record of the source: first start of an older directory, or a new PRF key.
KVS_MUST_CHECK int kvs_digest_rebuild(struct kvs_digest *digest,
                                      const struct kvs_digest_source *source);

// The whole index as bytes (docs/formats/digest-checkpoint.md: magic, version, checksum), with an
// opaque number: the log's sequence number up to which it is right. Restoring it and updating with
// the log's tail gives the index without reading a key. out->err tells what went wrong.
void kvs_digest_checkpoint(const struct kvs_digest *digest, uint64_t log_seq, struct kvs_buf *out);
// KVS_ERR_CORRUPT, KVS_ERR_VERSION, KVS_ERR_NOMEM. Any bytes may be given.
KVS_MUST_CHECK int kvs_digest_restore(const struct kvs_digest_options *options,
                                      struct kvs_slice bytes, uint64_t *ret_log_seq,
                                      struct kvs_digest **ret_digest);

// Recomputes one block from its records and puts it right if it was wrong, which is a bug of ours:
// *ret_mismatch says so. Starts at *cursor (empty = from the beginning) and moves it on; empty
// again after the last block.
KVS_MUST_CHECK int kvs_digest_scrub(struct kvs_digest *digest,
                                    const struct kvs_digest_source *source, struct kvs_buf *cursor,
                                    bool *ret_mismatch);

// For metrics and tests.
struct kvs_digest_stats {
    uint64_t records;
    uint64_t blocks;
    uint64_t memory_bytes;
    uint32_t depth;
};
void kvs_digest_stats(const struct kvs_digest *digest, struct kvs_digest_stats *ret_stats);

#endif
