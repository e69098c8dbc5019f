// SPDX-License-Identifier: Apache-2.0
// The B+-tree over blocks: finding by key and by rank, cutting and joining, with nodes split on the
// way down and balanced on the way up. Each operation is atomic: for want of memory it changes
// nothing that shows. Never reads a record. Not thread-safe.
#include "digest/digest_internal.h"

#include "base/assert.h"

enum {
    // A node that is split at the right edge keeps more: appended keys never come back to it.
    KEEP_AT_EDGE = NODE_ENTRIES_MAX * 3 / 4,
    KEEP = NODE_ENTRIES_MAX / 2,
    // Neighbours are merged only if the result has room, or it would be split right away.
    MERGED_MAX = NODE_ENTRIES_MAX * 3 / 4,
};

int tree_init(struct tree *tree)
{
    *tree = (struct tree){.root = node_new(true)};
    if (!tree->root)
        return KVS_ERR_NOMEM;
    struct kvs_fingerprint none = {0};
    if (!node_insert(tree->root, 0, KVS_SLICE_EMPTY, &none, NULL)) {
        tree_done(tree);
        return KVS_ERR_NOMEM;
    }
    return 0;
}

void tree_done(struct tree *tree)
{
    node_free(tree->root);
    *tree = (struct tree){0};
}

// ---- Finding

void tree_find(const struct tree *tree, struct kvs_slice key, struct path *ret_path)
{
    ret_path->depth = 0;
    for (struct node *node = tree->root;;) {
        kvs_assert(ret_path->depth < TREE_DEPTH_MAX);
        uint32_t at = node_find(node, key);
        ret_path->steps[ret_path->depth].node = node;
        ret_path->steps[ret_path->depth++].at = at;
        if (node->leaf)
            return;
        node = node->children[at];
    }
}

// Takes one step down into entry `at` of `node`.
static void descend(struct place *place, const struct node *node, uint32_t at)
{
    struct kvs_fingerprint before = node_sum(node, 0, at);
    fingerprint_add(&place->below, &before);
    place->block = node->prints[at];
    place->first = node_key(node, at);
    if (at + 1 < node->size)
        place->end = node_key(node, at + 1);
}

void tree_place_of_key(const struct tree *tree, struct kvs_slice key, struct place *ret_place)
{
    *ret_place = (struct place){0};
    for (const struct node *node = tree->root;;) {
        uint32_t at = node_find(node, key);
        descend(ret_place, node, at);
        if (node->leaf)
            return;
        node = node->children[at];
    }
}

void tree_place_of_rank(const struct tree *tree, uint64_t rank, struct place *ret_place)
{
    kvs_assert(rank < tree->total.count);
    *ret_place = (struct place){0};
    for (const struct node *node = tree->root;;) {
        uint32_t at = 0;
        for (; rank >= node->prints[at].count; at++)
            rank -= node->prints[at].count;
        kvs_assert(at < node->size);
        descend(ret_place, node, at);
        if (node->leaf)
            return;
        node = node->children[at];
    }
}

// ---- Changing

void tree_add(struct tree *tree, const struct path *path, const struct kvs_fingerprint *delta)
{
    for (uint32_t i = 0; i < path->depth; i++)
        fingerprint_add(&path->steps[i].node->prints[path->steps[i].at], delta);
    fingerprint_add(&tree->total, delta);
}

void tree_flag(const struct path *path)
{
    for (uint32_t i = 0; i < path->depth; i++)
        path->steps[i].node->uneven = true;
}

static int split_child(struct node *parent, uint32_t at, bool at_edge)
{
    struct node *child = parent->children[at];
    uint32_t keep = at_edge ? KEEP_AT_EDGE : KEEP;
    struct kvs_fingerprint moved = node_sum(child, keep, child->size);
    struct node *right = node_new(child->leaf);
    if (!right)
        return KVS_ERR_NOMEM;
    if (!node_insert(parent, at + 1, node_key(child, keep), &moved, right)) {
        node_free(right);
        return KVS_ERR_NOMEM;
    }
    if (!node_move(child, keep, child->size - keep, right, 0)) {
        node_remove(parent, at + 1);
        node_free(right);
        return KVS_ERR_NOMEM;
    }
    fingerprint_sub(&parent->prints[at], &moved);
    return 0;
}

static int grow_root(struct tree *tree)
{
    struct node *root = node_new(false);
    if (!root)
        return KVS_ERR_NOMEM;
    if (!node_insert(root, 0, KVS_SLICE_EMPTY, &tree->total, tree->root)) {
        node_free(root);
        return KVS_ERR_NOMEM;
    }
    root->uneven = tree->root->uneven;
    tree->root = root;
    return 0;
}

static void shrink_root(struct tree *tree)
{
    while (!tree->root->leaf && tree->root->size == 1) {
        struct node *root = tree->root;
        tree->root = root->children[0];
        root->size = 0;
        node_free(root);
    }
}

int tree_cut(struct tree *tree, struct kvs_slice key, const struct kvs_fingerprint *left)
{
    int err = tree->root->size == NODE_ENTRIES_MAX ? grow_root(tree) : 0;
    struct node *node = tree->root;
    bool at_edge = true;
    while (!err && !node->leaf) {
        uint32_t at = node_find(node, key);
        if (node->children[at]->size == NODE_ENTRIES_MAX) {
            err = split_child(node, at, at_edge && at + 1 == node->size);
            at = node_find(node, key);
        }
        at_edge = at_edge && at + 1 == node->size;
        node = node->children[at];
    }
    if (err) {
        shrink_root(tree);
        return err;
    }
    uint32_t at = node_find(node, key);
    kvs_assert(kvs_slice_cmp(node_key(node, at), key) < 0);
    kvs_assert(left->count <= node->prints[at].count);
    struct kvs_fingerprint right = node->prints[at];
    fingerprint_sub(&right, left);
    if (!node_insert(node, at + 1, key, &right, NULL))
        return KVS_ERR_NOMEM;
    node->prints[at] = *left;
    return 0;
}

static bool merge(struct node *parent, uint32_t at)
{
    struct node *left = parent->children[at];
    struct node *right = parent->children[at + 1];
    if (!node_move(right, 0, right->size, left, left->size))
        return false;
    fingerprint_add(&parent->prints[at], &parent->prints[at + 1]);
    node_remove(parent, at + 1);
    node_free(right);
    return true;
}

// Makes two neighbours about equally large.
static bool share(struct node *parent, uint32_t at)
{
    struct node *left = parent->children[at];
    struct node *right = parent->children[at + 1];
    uint32_t want = ((uint32_t)left->size + right->size) / 2; // in `left`
    bool to_left = left->size < want;
    uint32_t count = to_left ? want - left->size : left->size - want;
    struct kvs_slice border = to_left ? node_key(right, count) : node_key(left, want);
    if (!node_reserve(parent, border.size))
        return false;
    struct kvs_fingerprint moved =
        to_left ? node_sum(right, 0, count) : node_sum(left, want, left->size);
    bool done = to_left ? node_move(right, 0, count, left, left->size)
                        : node_move(left, want, count, right, 0);
    if (!done)
        return false;
    fingerprint_add(&parent->prints[to_left ? at : at + 1], &moved);
    fingerprint_sub(&parent->prints[to_left ? at + 1 : at], &moved);
    bool renamed = node_set_key(parent, at + 1, node_key(right, 0));
    kvs_assert(renamed); // reserved above
    return true;
}

void tree_join(struct tree *tree, const struct path *path)
{
    struct node *leaf = path->steps[path->depth - 1].node;
    uint32_t at = path->steps[path->depth - 1].at;
    kvs_assert(leaf->size > 1);
    if (at + 1 == leaf->size || (at > 0 && leaf->prints[at - 1].count < leaf->prints[at + 1].count))
        at--;
    fingerprint_add(&leaf->prints[at], &leaf->prints[at + 1]);
    node_remove(leaf, at + 1);
    for (uint32_t i = path->depth - 1; i > 0; i--) {
        struct node *parent = path->steps[i - 1].node;
        if (path->steps[i].node->size >= NODE_ENTRIES_MIN || parent->size < 2)
            break;
        uint32_t left = path->steps[i - 1].at;
        left -= left > 0;
        uint32_t both = (uint32_t)parent->children[left]->size + parent->children[left + 1]->size;
        // For want of memory a node stays small: allowed, and tried again at its next join.
        if (!(both <= MERGED_MAX ? merge(parent, left) : share(parent, left)))
            break;
    }
    shrink_root(tree);
}
