// SPDX-License-Identifier: Apache-2.0
// How an audit log lies in a store, and reading it there; writing is node/audit.c's alone.
//
//   AUDIT  "e" seq u64be             an entry (audit/entry.h)
//          "g"                       the genesis (audit/seal.h)
//          "n" level u8 index u64be  the hash of a complete subtree, for levels 8, 16, 24, …
//          "s" epoch u64be           the root or break that ends the epoch
//   META   "audit_head"              the head (audit/seal.h)
//
// Thread-safe like the store. Errors are the store's, and KVS_ERR_CORRUPT for what cannot be read.
#ifndef KVS_AUDIT_LOG_H
#define KVS_AUDIT_LOG_H

#include "audit/entry.h"
#include "audit/seal.h"
#include "store/store.h"

enum {
    KVS_AUDIT_STORED_LEVELS = 8, // every so many levels of the tree are stored
    KVS_AUDIT_STORE_KEY_MAX = 16,
    KVS_AUDIT_HEAD_SIZE_MAX = 64 + 66 * KVS_AUDIT_HASH_SIZE,
};

#define KVS_AUDIT_HEAD_KEY KVS_SLICE("audit_head")
#define KVS_AUDIT_GENESIS_KEY KVS_SLICE("g")

void kvs_audit_entry_key(struct kvs_buf *out, uint64_t seq);
void kvs_audit_node_key(struct kvs_buf *out, unsigned level, uint64_t index);
void kvs_audit_seal_key(struct kvs_buf *out, uint64_t epoch);

// KVS_ERR_NOT_FOUND: the store has no audit log.
KVS_MUST_CHECK int kvs_audit_log_genesis(struct kvs_store *store,
                                         struct kvs_audit_genesis *ret_genesis);
// The raw head is in `scratch`, to which the two results refer.
KVS_MUST_CHECK int kvs_audit_log_head(struct kvs_store *store, struct kvs_buf *scratch,
                                      struct kvs_audit_head *ret_head, struct kvs_slice *ret_signed,
                                      struct kvs_audit_hash *ret_mac);
// KVS_ERR_NOT_FOUND: none yet.
KVS_MUST_CHECK int kvs_audit_log_last_seal(struct kvs_store *store,
                                           struct kvs_audit_seal *ret_seal);

// Called for one stored entry after another; slices are valid during the call. `seq` is the key's,
// `encoded` what lies there, readable or not. Return false to stop.
typedef bool kvs_audit_visit_fn(void *ctx, uint64_t seq, struct kvs_slice encoded);
// From `seq` on, upward; or downward.
KVS_MUST_CHECK int kvs_audit_log_visit(struct kvs_store *store, uint64_t seq, bool downward,
                                       kvs_audit_visit_fn *visit, void *ctx);

// `seal` is NULL where what is stored cannot be read.
typedef bool kvs_audit_visit_seal_fn(void *ctx, uint64_t epoch, const struct kvs_audit_seal *seal);
KVS_MUST_CHECK int kvs_audit_log_visit_seals(struct kvs_store *store, uint64_t epoch, bool downward,
                                             kvs_audit_visit_seal_fn *visit, void *ctx);

// The leaf hash of a stored entry. KVS_ERR_NOT_FOUND.
KVS_MUST_CHECK int kvs_audit_log_leaf(struct kvs_store *store, struct kvs_audit_hasher *hasher,
                                      uint64_t seq, struct kvs_audit_hash *ret_leaf);

// A tree source (audit/merkle.h) over what is stored.
struct kvs_audit_log_tree {
    struct kvs_store *store;
    struct kvs_audit_hasher *hasher;
};
struct kvs_audit_tree_source kvs_audit_log_source(struct kvs_audit_log_tree *tree);

#endif
