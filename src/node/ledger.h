// SPDX-License-Identifier: Apache-2.0
// What replication needs to know about what is stored, kept by the commit thread beside the
// versions: the digest, where dots lie in the log, which dots have been seen, which versions wait
// until they are due. Without clustering there is none.
//
// `lock` guards the digest, its key and the dots between the commit thread, which changes them when
// a group has been committed, and readers. It is held over no sync and no reading of all records;
// at most over the reading of the blocks in which a range or one of its parts ends, or that are
// cut. Everything else is the commit thread's own.
#ifndef KVS_NODE_LEDGER_H
#define KVS_NODE_LEDGER_H

#include "node/dots.h"
#include "node/tagged.h"
#include "repl/seen.h"

#include <pthread.h>

struct kvs_ledger {
    struct kvs_node *node;
    pthread_mutex_t lock;
    struct kvs_digest *digest; // these three under the lock; the commit thread reads `key` without
    struct kvs_digest_key key;
    struct kvs_digest_key wanted; // the core's; another one while a REKEY has failed
    struct kvs_dots dots;
    uint32_t life;
    bool full_told;       // that this life has no number left
    struct kvs_seen seen; // as stored; this life's own writes are in the commit state instead
    bool seen_changed;    // by the group under way
    int64_t purged_ms;    // INT64_MIN: not known yet
    _Atomic uint32_t deferred_count;   // changed by the commit thread alone
    _Atomic int64_t deferred_first_ms; // INT64_MAX: none
    bool checkpointed;                 // the store may hold a checkpoint
    struct kvs_buf scrub_cursor;
};

// Reads `seen` and what is deferred; begins a new life. The digest follows with
// kvs_ledger_open_digest.
KVS_MUST_CHECK int kvs_ledger_new(struct kvs_node *node, struct kvs_ledger **ret_ledger);
void kvs_ledger_free(struct kvs_ledger *ledger); // NULL is fine
// A node that runs alone for a while neither keeps the checkpoint true nor the due times of its
// deletions: both are made anew when it is clustered again.
KVS_MUST_CHECK int kvs_ledger_forget(struct kvs_node *node);

// From the checkpoint and the log behind it, or from all records.
KVS_MUST_CHECK int kvs_ledger_open_digest(struct kvs_ledger *ledger,
                                          const struct kvs_digest_key *key);
// Commit thread: anew from all records, under `key`. Readers find the old digest until it is done,
// and for good when it fails.
KVS_MUST_CHECK int kvs_ledger_rekey(struct kvs_ledger *ledger, const struct kvs_digest_key *key);
// Commit thread, at its end: keeps the digest for the next start.
KVS_MUST_CHECK int kvs_ledger_checkpoint(struct kvs_ledger *ledger);
// Commit thread: the store was resumed, and may hold more than was told.
KVS_MUST_CHECK int kvs_ledger_reload(struct kvs_ledger *ledger);

// The store's current versions, for the digest.
struct kvs_digest_source kvs_ledger_source(struct kvs_ledger *ledger);
// Commit thread: the item of a cached record.
struct kvs_digest_sum kvs_ledger_item_of(const struct kvs_ledger *ledger,
                                         const struct kvs_record *record);

// Commit thread: the effect has been committed. It becomes `uncertain` when the digest contradicts.
void kvs_ledger_note(struct kvs_ledger *ledger, struct kvs_effect *effect);
// Commit thread, when all that the store shows has been noted, and not before, for what is noted
// behind would count twice: recomputes the block of an uncertain effect.
void kvs_ledger_settle(struct kvs_ledger *ledger, const struct kvs_effect *effect);
// Commit thread: changes before `log_floor` have gone from the log.
void kvs_ledger_trim(struct kvs_ledger *ledger, uint64_t log_floor);
// Any thread: where in the log the dots behind `writer_seq` are to be looked for.
bool kvs_ledger_find_dot(struct kvs_ledger *ledger, uint32_t writer_id, uint64_t writer_seq,
                         uint64_t *ret_log_seq);
// Commit thread, when it has time: cuts and joins blocks of the digest.
void kvs_ledger_maintain(struct kvs_ledger *ledger);
struct kvs_fingerprint kvs_ledger_root(struct kvs_ledger *ledger);
struct kvs_digest_key kvs_ledger_key(struct kvs_ledger *ledger); // any thread

// Any thread: the fingerprint and the parts of a range of tagged keys.
KVS_MUST_CHECK int kvs_ledger_range(struct kvs_ledger *ledger, struct kvs_slice first,
                                    struct kvs_slice end, struct kvs_fingerprint *ret_fingerprint);
KVS_MUST_CHECK int kvs_ledger_split(struct kvs_ledger *ledger, struct kvs_slice first,
                                    struct kvs_slice end, uint32_t parts, kvs_digest_part_fn *visit,
                                    void *visit_ctx);

// ---- In the store (META): put into the batch of the group

KVS_MUST_CHECK int kvs_ledger_put_seen(struct kvs_ledger *ledger, struct kvs_store_batch *batch);
// The META key of a deferred version, which begins with KVS_META_DEFERRED. False: it is none of
// ours.
bool kvs_deferred_key_decode(struct kvs_slice key, int64_t *ret_due_ms, struct kvs_uuid *ret_uuid);
// A removal is not in the log: the checkpoint is no longer good.
void kvs_ledger_spoil_checkpoint(struct kvs_ledger *ledger, struct kvs_store_batch *batch);

#endif
