// SPDX-License-Identifier: Apache-2.0
// The B+-tree behind the index: what the files of this folder share.
//
// A leaf's entries are blocks; an inner node's entries are nodes. Entry i holds the keys from its
// separator up to the next entry's, with their count and sum. The first separator of a node is its
// own in the parent, and that of the leftmost path is empty: every key has exactly one block.
//
// A block is *uneven* when maintenance should cut or join it. The flag on its leaf and on all nodes
// above leads maintenance to it; a flag without an uneven block below is harmless, and cleared by
// who looks.
#ifndef KVS_DIGEST_INTERNAL_H
#define KVS_DIGEST_INTERNAL_H

#include "digest/digest.h"

enum {
    NODE_ENTRIES_MAX = 64,
    NODE_ENTRIES_MIN = 16, // but for the root
    TREE_DEPTH_MAX = 20,   // above log16(2^64)
};

struct node {
    char *keys; // the separators, one after the other
    uint32_t keys_capacity;
    uint16_t size; // entries
    bool leaf;
    bool uneven;
    uint32_t key_ends[NODE_ENTRIES_MAX];
    struct kvs_fingerprint prints[NODE_ENTRIES_MAX];
    struct node *children[]; // inner nodes only
};

struct tree {
    struct node *root;
    struct kvs_fingerprint total;
};

struct path {
    struct {
        struct node *node;
        uint32_t at;
    } steps[TREE_DEPTH_MAX]; // the root first
    uint32_t depth;
};

// A block and what lies before it. The slices are valid until the tree changes.
struct place {
    struct kvs_slice first;
    struct kvs_slice end; // the next block's first; empty: none behind
    struct kvs_fingerprint block;
    struct kvs_fingerprint below; // of all blocks before
};

struct kvs_digest {
    struct tree tree;
    uint32_t block_size;
};

static inline void fingerprint_add(struct kvs_fingerprint *a, const struct kvs_fingerprint *b)
{
    kvs_digest_sum_add(&a->sum, b->sum);
    a->count += b->count;
}

static inline void fingerprint_sub(struct kvs_fingerprint *a, const struct kvs_fingerprint *b)
{
    kvs_digest_sum_sub(&a->sum, b->sum);
    a->count -= b->count;
}

static inline void fingerprint_add_item(struct kvs_fingerprint *a, struct kvs_digest_sum item)
{
    kvs_digest_sum_add(&a->sum, item);
    a->count++;
}

// The shortest prefix of `key` that is greater than `before`; before < key.
struct kvs_slice separator_between(struct kvs_slice before, struct kvs_slice key);

// ---- node.c: one node's entries. What may fail returns false for want of memory, and then has
// changed nothing.

struct node *node_new(bool leaf);      // NULL for want of memory
void node_free(struct node *node);     // with everything below; NULL is fine
size_t node_memory(struct node *node); // its own bytes

static inline uint32_t node_key_start(const struct node *node, uint32_t at)
{
    return at == 0 ? 0 : node->key_ends[at - 1];
}

static inline struct kvs_slice node_key(const struct node *node, uint32_t at)
{
    uint32_t start = node_key_start(node, at);
    return kvs_slice(node->keys + start, node->key_ends[at] - start);
}

// The last entry whose separator is at or before `key`, or the first.
uint32_t node_find(const struct node *node, struct kvs_slice key);
// Room for separators of so many more bytes.
bool node_reserve(struct node *node, size_t keys_size);
bool node_insert(struct node *node, uint32_t at, struct kvs_slice key,
                 const struct kvs_fingerprint *print, struct node *child);
void node_remove(struct node *node, uint32_t at);
bool node_set_key(struct node *node, uint32_t at, struct kvs_slice key);
// Moves `count` entries between two nodes of one level.
bool node_move(struct node *from, uint32_t from_at, uint32_t count, struct node *to,
               uint32_t to_at);
struct kvs_fingerprint node_sum(const struct node *node, uint32_t from, uint32_t to);

// ---- tree.c

int tree_init(struct tree *tree); // one empty block
void tree_done(struct tree *tree);
// The path to the block of `key`.
void tree_find(const struct tree *tree, struct kvs_slice key, struct path *ret_path);
void tree_add(struct tree *tree, const struct path *path, const struct kvs_fingerprint *delta);
void tree_flag(const struct path *path); // its block is uneven
// Cuts the block of `key` in two there: what came before keeps `left`, the rest goes to the new
// block. `key` is greater than the block's separator.
int tree_cut(struct tree *tree, struct kvs_slice key, const struct kvs_fingerprint *left);
// Joins the block with its smaller neighbour in the leaf, which must have one.
void tree_join(struct tree *tree, const struct path *path);
void tree_place_of_key(const struct tree *tree, struct kvs_slice key, struct place *ret_place);
// The block that holds the record with so many before it; rank < total.count.
void tree_place_of_rank(const struct tree *tree, uint64_t rank, struct place *ret_place);

// ---- digest.c

static inline uint64_t block_max(const struct kvs_digest *digest)
{
    return 2 * (uint64_t)digest->block_size;
}

static inline uint64_t block_min(const struct kvs_digest *digest)
{
    return digest->block_size / 2;
}

// Adds to a block and flags it where that makes it uneven.
void digest_add(struct kvs_digest *digest, const struct path *path,
                const struct kvs_fingerprint *delta);
// A new block behind all others. The empty separator is that of the block an empty index has.
int digest_append(struct kvs_digest *digest, struct kvs_slice separator,
                  const struct kvs_fingerprint *block);

#endif
