// SPDX-License-Identifier: Apache-2.0
// Numbering and verification follow RFC 9162 sections 2.1.1 to 2.1.4.
#include "audit/merkle.h"

#include "base/assert.h"

void kvs_audit_tree_append(struct kvs_audit_tree *tree, struct kvs_audit_hasher *hasher,
                           const struct kvs_audit_hash *leaf, kvs_audit_node_fn *completed,
                           void *ctx)
{
    struct kvs_audit_hash hash = *leaf;
    unsigned level = 0;
    for (; tree->size >> level & 1; level++) {
        hash = kvs_audit_hash_node(hasher, &tree->peaks[level], &hash);
        if (completed)
            completed(ctx, level + 1, tree->size >> (level + 1), &hash);
    }
    tree->peaks[level] = hash;
    tree->size++;
    kvs_assert(tree->size != 0);
}

struct kvs_audit_hash kvs_audit_tree_root(const struct kvs_audit_tree *tree,
                                          struct kvs_audit_hasher *hasher)
{
    if (tree->size == 0)
        return kvs_audit_hash_bytes(hasher, KVS_SLICE_EMPTY);
    unsigned level = (unsigned)__builtin_ctzll(tree->size);
    struct kvs_audit_hash root = tree->peaks[level];
    for (level++; level < KVS_AUDIT_TREE_HEIGHT; level++)
        if (tree->size >> level & 1)
            root = kvs_audit_hash_node(hasher, &tree->peaks[level], &root);
    return root;
}

// ---- Making proofs

// The level of the greatest power of two below `size`; size > 1.
static unsigned split_level(uint64_t size)
{
    return 63 - (unsigned)__builtin_clzll(size - 1);
}

int kvs_audit_tree_load(const struct kvs_audit_tree_source *source, uint64_t size,
                        struct kvs_audit_tree *ret_tree)
{
    ret_tree->size = size;
    uint64_t start = 0;
    for (unsigned level = KVS_AUDIT_TREE_HEIGHT; level-- > 0;) {
        if (!(size >> level & 1))
            continue;
        int err = source->subtree(source->ctx, level, start >> level, &ret_tree->peaks[level]);
        if (err)
            return err;
        start += UINT64_C(1) << level;
    }
    return kvs_audit_hasher_error(source->hasher);
}

// The hash over the leaves [start, end), which is a subtree of the tree or its right edge.
static int range_hash(const struct kvs_audit_tree_source *source, uint64_t start, uint64_t end,
                      struct kvs_audit_hash *ret_hash)
{
    struct kvs_audit_hash parts[KVS_AUDIT_TREE_HEIGHT];
    size_t count = 0;
    kvs_assert(start < end);
    do {
        uint64_t size = end - start;
        unsigned level = 63 - (unsigned)__builtin_clzll(size);
        int err = source->subtree(source->ctx, level, start >> level, &parts[count++]);
        if (err)
            return err;
        start += UINT64_C(1) << level;
    } while (start < end);
    *ret_hash = parts[--count];
    while (count > 0)
        *ret_hash = kvs_audit_hash_node(source->hasher, &parts[--count], ret_hash);
    return 0;
}

static int push_range(const struct kvs_audit_tree_source *source, uint64_t start, uint64_t end,
                      struct kvs_audit_path *path)
{
    kvs_assert(path->count < KVS_AUDIT_PATH_MAX);
    return range_hash(source, start, end, &path->hashes[path->count++]);
}

// From the leaf to the root, as the RFC orders it.
static void reverse(struct kvs_audit_path *path)
{
    for (size_t i = 0; i < path->count / 2; i++) {
        struct kvs_audit_hash other = path->hashes[path->count - 1 - i];
        path->hashes[path->count - 1 - i] = path->hashes[i];
        path->hashes[i] = other;
    }
}

int kvs_audit_prove_inclusion(const struct kvs_audit_tree_source *source, uint64_t leaf,
                              uint64_t size, struct kvs_audit_path *ret_path)
{
    kvs_assert(leaf < size);
    uint64_t start = 0;
    uint64_t end = size;
    ret_path->count = 0;
    while (end - start > 1) {
        uint64_t middle = start + (UINT64_C(1) << split_level(end - start));
        int err = leaf < middle ? push_range(source, middle, end, ret_path)
                                : push_range(source, start, middle, ret_path);
        if (err)
            return err;
        if (leaf < middle)
            end = middle;
        else
            start = middle;
    }
    reverse(ret_path);
    return kvs_audit_hasher_error(source->hasher);
}

int kvs_audit_prove_consistency(const struct kvs_audit_tree_source *source, uint64_t first,
                                uint64_t second, struct kvs_audit_path *ret_path)
{
    kvs_assert(first > 0);
    kvs_assert(first <= second);
    uint64_t start = 0;
    uint64_t end = second;
    bool whole = true; // the subtree is one of the first tree's own: its hash is known
    int err = 0;
    ret_path->count = 0;
    while (!err && first != end) {
        uint64_t middle = start + (UINT64_C(1) << split_level(end - start));
        if (first <= middle) {
            err = push_range(source, middle, end, ret_path);
            end = middle;
        } else {
            err = push_range(source, start, middle, ret_path);
            start = middle;
            whole = false;
        }
    }
    if (!err && !whole)
        err = push_range(source, start, end, ret_path);
    reverse(ret_path);
    return err ? err : kvs_audit_hasher_error(source->hasher);
}

// ---- Checking proofs

// Two positions on their way up: `node` the one that is proven, `last` the right edge.
struct climb {
    uint64_t node;
    uint64_t last;
};

static void up(struct climb *climb)
{
    climb->node >>= 1;
    climb->last >>= 1;
}

// Is the sibling on the left? A node on the right edge without a sibling then moves up to where it
// has one.
static bool joins_left(struct climb *climb)
{
    if (!(climb->node & 1) && climb->node != climb->last)
        return false;
    while (!(climb->node & 1) && climb->node != 0)
        up(climb);
    return true;
}

bool kvs_audit_inclusion_holds(struct kvs_audit_hasher *hasher, uint64_t leaf, uint64_t size,
                               const struct kvs_audit_hash *leaf_hash,
                               const struct kvs_audit_path *path, const struct kvs_audit_hash *root)
{
    if (leaf >= size)
        return false;
    struct climb climb = {leaf, size - 1};
    struct kvs_audit_hash hash = *leaf_hash;
    for (size_t i = 0; i < path->count; i++) {
        if (climb.last == 0)
            return false;
        hash = joins_left(&climb) ? kvs_audit_hash_node(hasher, &path->hashes[i], &hash)
                                  : kvs_audit_hash_node(hasher, &hash, &path->hashes[i]);
        up(&climb);
    }
    return climb.last == 0 && kvs_audit_hash_eq(&hash, root);
}

bool kvs_audit_consistency_holds(struct kvs_audit_hasher *hasher, uint64_t first, uint64_t second,
                                 const struct kvs_audit_hash *first_root,
                                 const struct kvs_audit_path *path,
                                 const struct kvs_audit_hash *second_root)
{
    if (first == 0 || first > second)
        return false;
    if (first == second)
        return path->count == 0 && kvs_audit_hash_eq(first_root, second_root);
    bool is_power = (first & (first - 1)) == 0;
    if (!is_power && path->count == 0)
        return false;
    struct kvs_audit_hash old_hash = is_power ? *first_root : path->hashes[0];
    struct kvs_audit_hash new_hash = old_hash;
    struct climb climb = {first - 1, second - 1};
    while (climb.node & 1)
        up(&climb);
    for (size_t i = is_power ? 0 : 1; i < path->count; i++) {
        if (climb.last == 0)
            return false;
        if (joins_left(&climb)) {
            old_hash = kvs_audit_hash_node(hasher, &path->hashes[i], &old_hash);
            new_hash = kvs_audit_hash_node(hasher, &path->hashes[i], &new_hash);
        } else {
            new_hash = kvs_audit_hash_node(hasher, &new_hash, &path->hashes[i]);
        }
        up(&climb);
    }
    return climb.last == 0 && kvs_audit_hash_eq(&old_hash, first_root) &&
           kvs_audit_hash_eq(&new_hash, second_root);
}
