// SPDX-License-Identifier: Apache-2.0
// What the files of node/ share. Threads: any number of readers, one commit thread, one
// housekeeping thread; what they share is atomic, immutable after opening, or says which lock
// guards it.
#ifndef KVS_NODE_NODE_INTERNAL_H
#define KVS_NODE_NODE_INTERNAL_H

#include "codec/index.h"
#include "node/cache.h"
#include "node/node.h"

#include <stdatomic.h>

enum {
    KVS_NODE_SELF_WRITER_ID = 1,
    KVS_NODE_ENTRY_SIZE_MAX = 1 << 30, // a buffer bound well above any accepted value
    KVS_NODE_LOG_ENTRIES_KEPT = 1000000,
    KVS_NODE_PURGE_BATCH = 256,
};

struct kvs_committer;
struct kvs_node_audit;
struct kvs_housekeeper;

// What compaction filters read; filled before the store opens, except `store`.
struct kvs_node_filter {
    const struct kvs_clock *clock;
    uint32_t revisions;
    _Atomic(struct kvs_store *) store; // NULL until the store is open
};

struct kvs_node {
    struct kvs_node_options options; // strings copied below
    char *data_dir;
    struct kvs_node_filter filter;
    struct kvs_store *store;
    struct kvs_cache *cache;
    struct kvs_identity identity;
    struct kvs_commit_state state; // as loaded; afterwards the commit thread's
    _Atomic uint64_t log_seq;      // published by the commit thread
    _Atomic uint64_t log_floor;    // oldest change kept
    _Atomic bool writable;
    struct kvs_node_audit *audit; // NULL: no audit log
    struct kvs_committer *committer;
    struct kvs_housekeeper *housekeeper;
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

// meta.c: identity, writers and commit state.
KVS_MUST_CHECK int kvs_node_load_meta(struct kvs_node *node, struct kvs_message *ret_message);
KVS_MUST_CHECK int kvs_node_load_state(struct kvs_node *node, struct kvs_commit_state *ret_state);
// `scratch` is empty and has room.
void kvs_node_put_state(struct kvs_store_batch *batch, struct kvs_buf *scratch,
                        const struct kvs_commit_state *state);
void kvs_node_put_log_floor(struct kvs_store_batch *batch, struct kvs_buf *scratch, uint64_t floor);

// read.c: the current version under a key, whatever its flags, through an iterator of the caller's
// that may be moved. KVS_ERR_NOT_FOUND when the key has none.
KVS_MUST_CHECK int kvs_node_read_current(struct kvs_node *node, struct kvs_store_iter *iter,
                                         struct kvs_slice key, struct kvs_record **ret_record);
// Shows every current system record to the observer.
KVS_MUST_CHECK int kvs_node_observe_all(struct kvs_node *node);
// Counts and logs a damaged record once, where it is found.
void kvs_node_report_corrupt(struct kvs_node *node, struct kvs_slice key);

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
// The store failed: look after it soon. Thread-safe.
void kvs_housekeeper_wake(struct kvs_housekeeper *housekeeper);

#endif
