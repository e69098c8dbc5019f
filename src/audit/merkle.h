// SPDX-License-Identifier: Apache-2.0
// The Merkle tree over the entries of an audit log, hashed as in RFC 9162 section 2.1, and proofs
// about it: that one entry belongs to a root, and that a root continues an earlier one. Pure.
//
// Leaves count from 0 (entry seq 1 is leaf 0). A subtree (level, index) covers the leaves from
// index * 2^level on, 2^level of them.
#ifndef KVS_AUDIT_MERKLE_H
#define KVS_AUDIT_MERKLE_H

#include "audit/hash.h"

enum { KVS_AUDIT_TREE_HEIGHT = 64, KVS_AUDIT_PATH_MAX = 2 * KVS_AUDIT_TREE_HEIGHT };

// What is needed to go on appending: the complete subtrees that make up the tree, at most one a
// level: peaks[level] counts when bit `level` of `size` is set.
struct kvs_audit_tree {
    uint64_t size; // leaves
    struct kvs_audit_hash peaks[KVS_AUDIT_TREE_HEIGHT];
};

// Called for each subtree that a leaf completes, from the bottom up.
typedef void kvs_audit_node_fn(void *ctx, unsigned level, uint64_t index,
                               const struct kvs_audit_hash *hash);

void kvs_audit_tree_append(struct kvs_audit_tree *tree, struct kvs_audit_hasher *hasher,
                           const struct kvs_audit_hash *leaf, kvs_audit_node_fn *completed,
                           void *ctx);
// Of an empty tree: SHA-256 of nothing.
struct kvs_audit_hash kvs_audit_tree_root(const struct kvs_audit_tree *tree,
                                          struct kvs_audit_hasher *hasher);

// ---- Proofs

struct kvs_audit_path {
    size_t count;
    struct kvs_audit_hash hashes[KVS_AUDIT_PATH_MAX];
};

// Where complete subtrees come from; `subtree` returns 0 or an error, which the proof then returns.
struct kvs_audit_tree_source {
    int (*subtree)(void *ctx, unsigned level, uint64_t index, struct kvs_audit_hash *ret_hash);
    void *ctx;
    struct kvs_audit_hasher *hasher;
};

// The complete subtrees and the root of the first `size` leaves.
KVS_MUST_CHECK int kvs_audit_tree_load(const struct kvs_audit_tree_source *source, uint64_t size,
                                       struct kvs_audit_tree *ret_tree);
// leaf < size.
KVS_MUST_CHECK int kvs_audit_prove_inclusion(const struct kvs_audit_tree_source *source,
                                             uint64_t leaf, uint64_t size,
                                             struct kvs_audit_path *ret_path);
// 0 < first <= second.
KVS_MUST_CHECK int kvs_audit_prove_consistency(const struct kvs_audit_tree_source *source,
                                               uint64_t first, uint64_t second,
                                               struct kvs_audit_path *ret_path);

// Any numbers and paths are fine. Ask the hasher for its error.
bool kvs_audit_inclusion_holds(struct kvs_audit_hasher *hasher, uint64_t leaf, uint64_t size,
                               const struct kvs_audit_hash *leaf_hash,
                               const struct kvs_audit_path *path,
                               const struct kvs_audit_hash *root);
bool kvs_audit_consistency_holds(struct kvs_audit_hasher *hasher, uint64_t first, uint64_t second,
                                 const struct kvs_audit_hash *first_root,
                                 const struct kvs_audit_path *path,
                                 const struct kvs_audit_hash *second_root);

#endif
