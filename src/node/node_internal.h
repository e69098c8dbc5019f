// SPDX-License-Identifier: Apache-2.0
// What the files of node/ share. Threads: any number of readers, one commit thread, one
// housekeeping thread; what they share is atomic, immutable after opening, or says which lock
// guards it.
#ifndef KVS_NODE_NODE_INTERNAL_H
#define KVS_NODE_NODE_INTERNAL_H

#include "codec/index.h"
#include "node/cache.h"
#include "node/changes.h"
#include "node/meta_keys.h"
#include "node/node.h"
#include "node/writers.h"
#include "repl/clock.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    KVS_NODE_SELF_WRITER_ID = 1,
    KVS_NODE_ENTRY_SIZE_MAX = 1 << 30, // a buffer bound well above any accepted value
    KVS_NODE_LOG_ENTRIES_KEPT = 1000000,
    KVS_NODE_PURGE_BATCH = 256,
};

struct kvs_committer;
struct kvs_jobs;
struct kvs_node_audit;
struct kvs_housekeeper;
struct kvs_receipts;

// What compaction filters read; filled before the store opens, except `store`.
struct kvs_node_filter {
    const struct kvs_clock *clock;
    uint32_t revisions;
    _Atomic(struct kvs_store *) store; // NULL until the store is open
    // NULL until there is one, and while it may hold what a store that failed has lost; outlives
    // the store.
    _Atomic(struct kvs_cache *) cache;
    // As in the commit state, and never behind what the store shows: the commit thread raises it
    // before a removal is written. INT64_MAX until the state has been read.
    _Atomic int64_t removed_ms;
};

// Who waits for changes (changes.c).
struct kvs_changes {
    pthread_mutex_t lock; // guards the list
    struct kvs_changes_wait *first;
    _Atomic size_t count; // of the list
    uint64_t told;        // the commit thread's: the newest change that waiters were told of
};

struct kvs_node {
    struct kvs_node_options options; // strings copied below
    char *data_dir;
    char *node_id;
    struct kvs_node_filter filter;
    struct kvs_store *store;
    struct kvs_cache *cache;
    struct kvs_identity identity;
    struct kvs_writers *writers;
    struct kvs_commit_state state; // as loaded; afterwards the commit thread's
    struct kvs_stamp_clock clock;  // likewise
    struct kvs_ledger *ledger;     // NULL: not replicated
    struct kvs_replica *replica;   // likewise
    struct kvs_foreign *foreign;   // likewise
    struct kvs_receipts *receipts; // likewise
    _Atomic uint64_t log_seq;      // published by the commit thread
    _Atomic uint64_t log_floor;    // oldest change kept
    _Atomic bool writable;
    struct kvs_node_audit *audit; // NULL: no audit log
    _Atomic bool leaving;         // the cluster: no client's write is taken any more
    struct kvs_changes changes;
    struct kvs_committer *committer;
    struct kvs_housekeeper *housekeeper;
    struct kvs_jobs *jobs;
};

// A user key's prefix on the stack.
struct kvs_prefix {
    char bytes[KVS_KEY_SIZE_MAX + 1];
    size_t size;
};
static inline void kvs_prefix_set(struct kvs_prefix *prefix, struct kvs_slice key)
{
    memcpy(prefix->bytes, key.data, key.size);
    prefix->bytes[key.size] = '\0';
    prefix->size = key.size + 1;
}
static inline struct kvs_slice kvs_prefix_slice(const struct kvs_prefix *prefix)
{
    return kvs_slice(prefix->bytes, prefix->size);
}

static inline enum kvs_family kvs_node_family(struct kvs_slice key)
{
    return kvs_key_is_system(key) ? KVS_FAMILY_SYSTEM : KVS_FAMILY_DATA;
}

// Why a client's write is not taken now; 0: it is. Housekeeping's always are.
int kvs_node_refusal(const struct kvs_node *node, const struct kvs_write *write);

// meta.c: identity, writers and commit state.
KVS_MUST_CHECK int kvs_node_load_meta(struct kvs_node *node, struct kvs_message *ret_message);
KVS_MUST_CHECK int kvs_node_load_state(struct kvs_node *node, struct kvs_commit_state *ret_state);
// `scratch` is empty and has room.
void kvs_node_put_state(struct kvs_store_batch *batch, struct kvs_buf *scratch,
                        const struct kvs_commit_state *state);
// The number of a writer that may be new: then its record is put into the batch. KVS_ERR_NOMEM,
// KVS_ERR_TOO_LARGE.
KVS_MUST_CHECK int kvs_node_put_writer(struct kvs_node *node, struct kvs_store_batch *batch,
                                       const struct kvs_writer *writer, uint32_t *ret_id);
KVS_MUST_CHECK int kvs_node_load_writers(struct kvs_node *node);
void kvs_node_put_log_floor(struct kvs_store_batch *batch, struct kvs_buf *scratch, uint64_t floor);

// read.c: the current version under a key, whatever its flags, through an iterator of the caller's
// that may be moved. KVS_ERR_NOT_FOUND when the key has none.
KVS_MUST_CHECK int kvs_node_read_current(struct kvs_node *node, struct kvs_store_iter *iter,
                                         struct kvs_slice key, struct kvs_record **ret_record);
// From an entry under `prefix` to the first one of the next key. `prefix` is changed.
void kvs_node_leave_key(struct kvs_store_iter *iter, struct kvs_prefix *prefix);
// Shows every current system record to the observer.
KVS_MUST_CHECK int kvs_node_observe_all(struct kvs_node *node);
// Counts and logs a damaged record once, where it is found.
void kvs_node_report_corrupt(struct kvs_node *node, struct kvs_slice key);

// changes.c
void kvs_changes_init(struct kvs_changes *changes);
void kvs_changes_done(struct kvs_changes *changes); // nobody may wait
// The commit thread, behind each group: tells those that wait when the log has grown.
void kvs_changes_tell(struct kvs_node *node);

// jobs.c
KVS_MUST_CHECK int kvs_jobs_start(struct kvs_node *node, struct kvs_jobs **ret_jobs);
void kvs_jobs_stop(struct kvs_jobs *jobs); // ends the thread and frees; NULL is fine

// filter.c: compaction rules of each family.
void kvs_node_set_filters(struct kvs_node_filter *filter, struct kvs_store_options *options);
// The value that remains of an expired version: its payload replaced by the payload's hash.
void kvs_node_encode_stub(struct kvs_buf *out, struct kvs_slice entry_key,
                          const struct kvs_record_view *view);

// commit.c
KVS_MUST_CHECK int kvs_committer_start(struct kvs_node *node, struct kvs_committer **ret_committer);
// Commits what is queued, refuses what comes later, ends the thread.
void kvs_committer_stop(struct kvs_committer *committer);
// `first` to `last` are linked by `next` and, but for the last one, have `with_next` set.
void kvs_committer_submit(struct kvs_committer *committer, struct kvs_write *first,
                          struct kvs_write *last, size_t count);

// prepare.c: one write of a group -> entries in its batch.
struct kvs_group;

// housekeeping.c
KVS_MUST_CHECK int kvs_housekeeper_start(struct kvs_node *node,
                                         struct kvs_housekeeper **ret_housekeeper);
// Ends the thread, soon; waking it stays allowed until it is freed.
void kvs_housekeeper_stop(struct kvs_housekeeper *housekeeper);
void kvs_housekeeper_free(struct kvs_housekeeper *housekeeper); // after stop
// Removes what lies at or below the operation's watermark, then hands it to the commit thread.
// Thread-safe; takes `op`.
void kvs_housekeeper_purge(struct kvs_housekeeper *housekeeper, struct kvs_replica_op *op);
// The store failed: look after it soon. Thread-safe.
void kvs_housekeeper_wake(struct kvs_housekeeper *housekeeper);

#endif
