// SPDX-License-Identifier: Apache-2.0
// The index as its owner sees it: updates, and the maintenance that keeps blocks between half and
// twice of the size they aim at. An update touches one path and never allocates; cutting and
// joining wait for maintenance, when the source can be read. Not thread-safe.
#include "digest/digest_internal.h"

#include "base/assert.h"

enum { CUTS_MAX = 32 }; // of one block in one go; a larger rest is cut again

int kvs_digest_new(const struct kvs_digest_options *options, struct kvs_digest **ret_digest)
{
    struct kvs_digest *digest = calloc(1, sizeof(*digest));
    if (!digest)
        return KVS_ERR_NOMEM;
    digest->block_size = options->block_size ? options->block_size : KVS_DIGEST_BLOCK_DEFAULT;
    kvs_assert(digest->block_size >= 2);
    int err = tree_init(&digest->tree);
    if (err) {
        free(digest);
        return err;
    }
    *ret_digest = digest;
    return 0;
}

void kvs_digest_free(struct kvs_digest *digest)
{
    if (!digest)
        return;
    tree_done(&digest->tree);
    free(digest);
}

struct kvs_slice separator_between(struct kvs_slice before, struct kvs_slice key)
{
    size_t common = 0;
    while (common < before.size && common < key.size && before.data[common] == key.data[common])
        common++;
    kvs_assert(common < key.size);
    return kvs_slice(key.data, common + 1);
}

// ---- Updates

// A block that is alone in its leaf has nobody to be joined with.
static bool is_uneven(const struct kvs_digest *digest, const struct node *leaf, uint32_t at)
{
    uint64_t count = leaf->prints[at].count;
    return count > block_max(digest) || (count < block_min(digest) && leaf->size > 1);
}

void digest_add(struct kvs_digest *digest, const struct path *path,
                const struct kvs_fingerprint *delta)
{
    tree_add(&digest->tree, path, delta);
    uint32_t leaf = path->depth - 1;
    if (is_uneven(digest, path->steps[leaf].node, path->steps[leaf].at))
        tree_flag(path);
}

int digest_append(struct kvs_digest *digest, struct kvs_slice separator,
                  const struct kvs_fingerprint *block)
{
    struct place last;
    tree_place_of_key(&digest->tree, separator, &last);
    int err = separator.size == 0 ? 0 : tree_cut(&digest->tree, separator, &last.block);
    if (err)
        return err;
    struct path path;
    tree_find(&digest->tree, separator, &path);
    digest_add(digest, &path, block);
    // The block before, in the same leaf, may be a small one that had no neighbour until now.
    uint32_t at = path.steps[path.depth - 1].at;
    if (at > 0 && is_uneven(digest, path.steps[path.depth - 1].node, at - 1))
        tree_flag(&path);
    return 0;
}

int kvs_digest_update(struct kvs_digest *digest, struct kvs_slice key,
                      const struct kvs_digest_sum *old_item, const struct kvs_digest_sum *new_item)
{
    if (key.size > KVS_DIGEST_RECORD_KEY_MAX)
        return KVS_ERR_TOO_LARGE;
    struct path path;
    tree_find(&digest->tree, key, &path);
    const struct node *leaf = path.steps[path.depth - 1].node;
    if (old_item && leaf->prints[path.steps[path.depth - 1].at].count == 0)
        return KVS_ERR_CORRUPT;
    struct kvs_fingerprint delta = {0};
    if (new_item)
        fingerprint_add_item(&delta, *new_item);
    if (old_item) {
        kvs_digest_sum_sub(&delta.sum, *old_item);
        delta.count--;
    }
    digest_add(digest, &path, &delta);
    return 0;
}

// ---- Maintenance

// The leftmost uneven block. Flags that led to nothing are cleared on the way.
static bool find_uneven(const struct kvs_digest *digest, struct path *path)
{
    while (digest->tree.root->uneven) {
        struct node *node = digest->tree.root;
        path->depth = 0;
        while (node) {
            uint32_t at = 0;
            while (at < node->size &&
                   !(node->leaf ? is_uneven(digest, node, at) : node->children[at]->uneven))
                at++;
            if (at == node->size) {
                node->uneven = false;
                break;
            }
            path->steps[path->depth].node = node;
            path->steps[path->depth++].at = at;
            if (node->leaf)
                return true;
            node = node->children[at];
        }
    }
    return false;
}

// A block on its way to being cut into pieces of about equal count.
struct cutting {
    uint64_t count;  // records that the block should have
    uint64_t pieces; // to cut it into, were there no CUTS_MAX
    uint64_t seen;
    struct kvs_fingerprint piece; // the current one
    struct kvs_buf before;        // the key before a border
    struct kvs_buf separators;
    uint32_t cuts;
    struct {
        struct kvs_fingerprint left;
        size_t separator_end;
    } cut[CUTS_MAX];
};

static uint64_t piece_end(const struct cutting *cutting, uint64_t piece)
{
    // Without overflow: pieces <= count.
    return cutting->count / cutting->pieces * (piece + 1) +
           cutting->count % cutting->pieces * (piece + 1) / cutting->pieces;
}

static bool cut_here(struct cutting *cutting, struct kvs_slice key)
{
    if (kvs_slice_cmp(kvs_buf_slice(&cutting->before), key) >= 0)
        return false;
    kvs_buf_append_slice(&cutting->separators,
                         separator_between(kvs_buf_slice(&cutting->before), key));
    cutting->cut[cutting->cuts].left = cutting->piece;
    cutting->cut[cutting->cuts++].separator_end = cutting->separators.size;
    cutting->piece = (struct kvs_fingerprint){0};
    return cutting->cuts < CUTS_MAX && cutting->cuts + 1 < cutting->pieces;
}

static bool cut_visit(void *ctx, struct kvs_slice key, struct kvs_digest_sum item)
{
    struct cutting *cutting = ctx;
    uint64_t border = piece_end(cutting, cutting->cuts);
    if (cutting->seen == border && !cut_here(cutting, key))
        return false;
    fingerprint_add_item(&cutting->piece, item);
    cutting->seen++;
    if (cutting->seen == piece_end(cutting, cutting->cuts)) {
        kvs_buf_clear(&cutting->before);
        kvs_buf_append_slice(&cutting->before, key);
    }
    return true;
}

static int read_cuts(const struct kvs_digest_source *source, const struct place *place,
                     struct cutting *cutting)
{
    int err = source->scan(source->ctx, place->first, place->end, cut_visit, cutting);
    err = err ? err : cutting->before.err;
    err = err ? err : cutting->separators.err;
    // Fewer records than were counted, or not in order.
    if (!err && cutting->cuts < CUTS_MAX && cutting->cuts + 1 < cutting->pieces)
        err = KVS_ERR_CORRUPT;
    return err;
}

static int cut_block(struct kvs_digest *digest, const struct kvs_digest_source *source,
                     const struct path *path)
{
    const struct node *leaf = path->steps[path->depth - 1].node;
    struct place place;
    tree_place_of_key(&digest->tree, node_key(leaf, path->steps[path->depth - 1].at), &place);
    struct cutting cutting = {
        .count = place.block.count,
        .pieces = place.block.count / digest->block_size,
        .before = KVS_BUF_INIT(KVS_DIGEST_RECORD_KEY_MAX),
        .separators = KVS_BUF_INIT(CUTS_MAX * KVS_DIGEST_RECORD_KEY_MAX),
    };
    int err = read_cuts(source, &place, &cutting);
    size_t start = 0;
    for (uint32_t i = 0; !err && i < cutting.cuts; i++) {
        size_t end = cutting.cut[i].separator_end;
        err = tree_cut(&digest->tree, kvs_slice(cutting.separators.data + start, end - start),
                       &cutting.cut[i].left);
        start = end;
    }
    kvs_buf_done(&cutting.before);
    kvs_buf_done(&cutting.separators);
    return err;
}

int kvs_digest_maintain(struct kvs_digest *digest, const struct kvs_digest_source *source,
                        uint32_t blocks_max, bool *ret_more)
{
    struct path path;
    for (uint32_t done = 0; find_uneven(digest, &path); done++) {
        if (done == blocks_max) {
            *ret_more = true;
            return 0;
        }
        const struct node *leaf = path.steps[path.depth - 1].node;
        if (leaf->prints[path.steps[path.depth - 1].at].count < block_min(digest)) {
            tree_join(&digest->tree, &path);
            continue;
        }
        int err = cut_block(digest, source, &path);
        if (err)
            return err;
    }
    *ret_more = false;
    return 0;
}

// ---- Looking in

struct kvs_fingerprint kvs_digest_root(const struct kvs_digest *digest)
{
    return digest->tree.total;
}

static void count_node(struct node *node, struct kvs_digest_stats *stats)
{
    stats->memory_bytes += node_memory(node);
    if (node->leaf)
        stats->blocks += node->size;
    for (uint32_t i = 0; !node->leaf && i < node->size; i++)
        count_node(node->children[i], stats);
}

void kvs_digest_stats(const struct kvs_digest *digest, struct kvs_digest_stats *ret_stats)
{
    *ret_stats = (struct kvs_digest_stats){
        .records = digest->tree.total.count,
        .memory_bytes = sizeof(*digest),
        .depth = 1,
    };
    for (const struct node *node = digest->tree.root; !node->leaf; node = node->children[0])
        ret_stats->depth++;
    count_node(digest->tree.root, ret_stats);
}
