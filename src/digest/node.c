// SPDX-License-Identifier: Apache-2.0
// One node of the tree: a sorted array of entries whose separators lie packed in one buffer, so
// that an entry costs 28 bytes and its separator. Knows nothing of other nodes but how to move
// entries to them. Not thread-safe.
#include "digest/digest_internal.h"

#include "base/assert.h"

enum { KEYS_STEP = 128 }; // granularity of the buffer

struct node *node_new(bool leaf)
{
    size_t children = leaf ? 0 : NODE_ENTRIES_MAX;
    struct node *node = calloc(1, sizeof(*node) + children * sizeof(node->children[0]));
    if (!node)
        return NULL;
    node->leaf = leaf;
    node->keys_capacity = KEYS_STEP;
    node->keys = malloc(node->keys_capacity); // never NULL, be they empty
    if (!node->keys) {
        free(node);
        return NULL;
    }
    return node;
}

void node_free(struct node *node)
{
    if (!node)
        return;
    for (uint32_t i = 0; !node->leaf && i < node->size; i++)
        node_free(node->children[i]);
    free(node->keys);
    free(node);
}

size_t node_memory(struct node *node)
{
    size_t children = node->leaf ? 0 : NODE_ENTRIES_MAX;
    return sizeof(*node) + children * sizeof(node->children[0]) + node->keys_capacity;
}

uint32_t node_find(const struct node *node, struct kvs_slice key)
{
    uint32_t low = 0;
    uint32_t high = node->size;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (kvs_slice_cmp(node_key(node, middle), key) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

bool node_reserve(struct node *node, size_t keys_size)
{
    size_t needed = node_key_start(node, node->size) + keys_size;
    if (needed <= node->keys_capacity)
        return true;
    size_t capacity = (needed + KEYS_STEP - 1) / KEYS_STEP * KEYS_STEP;
    kvs_assert(capacity <= UINT32_MAX);
    char *keys = realloc(node->keys, capacity);
    if (!keys)
        return false;
    node->keys = keys;
    node->keys_capacity = (uint32_t)capacity;
    return true;
}

// Moves everything from `at` on up by `count` entries and `keys_size` bytes; what is in the gap is
// for the caller to fill.
static bool open_gap(struct node *node, uint32_t at, uint32_t count, uint32_t keys_size)
{
    kvs_assert(at <= node->size);
    kvs_assert(node->size + count <= NODE_ENTRIES_MAX);
    if (!node_reserve(node, keys_size))
        return false;
    uint32_t start = node_key_start(node, at);
    uint32_t end = node_key_start(node, node->size);
    uint32_t behind = node->size - at;
    memmove(node->keys + start + keys_size, node->keys + start, end - start);
    for (uint32_t i = node->size; i-- > at;)
        node->key_ends[i + count] = node->key_ends[i] + keys_size;
    memmove(&node->prints[at + count], &node->prints[at], behind * sizeof(node->prints[0]));
    if (!node->leaf)
        memmove(&node->children[at + count], &node->children[at],
                behind * sizeof(node->children[0]));
    node->size = (uint16_t)(node->size + count);
    return true;
}

static void close_gap(struct node *node, uint32_t at, uint32_t count)
{
    kvs_assert(at + count <= node->size);
    uint32_t start = node_key_start(node, at);
    uint32_t stop = node_key_start(node, at + count);
    uint32_t end = node_key_start(node, node->size);
    uint32_t behind = node->size - at - count;
    memmove(node->keys + start, node->keys + stop, end - stop);
    for (uint32_t i = at; i < at + behind; i++)
        node->key_ends[i] = node->key_ends[i + count] - (stop - start);
    memmove(&node->prints[at], &node->prints[at + count], behind * sizeof(node->prints[0]));
    if (!node->leaf)
        memmove(&node->children[at], &node->children[at + count],
                behind * sizeof(node->children[0]));
    node->size = (uint16_t)(node->size - count);
}

bool node_insert(struct node *node, uint32_t at, struct kvs_slice key,
                 const struct kvs_fingerprint *print, struct node *child)
{
    if (!open_gap(node, at, 1, (uint32_t)key.size))
        return false;
    uint32_t start = node_key_start(node, at);
    if (key.size > 0)
        memcpy(node->keys + start, key.data, key.size);
    node->key_ends[at] = start + (uint32_t)key.size;
    node->prints[at] = *print;
    if (!node->leaf)
        node->children[at] = child;
    return true;
}

void node_remove(struct node *node, uint32_t at)
{
    close_gap(node, at, 1);
}

bool node_set_key(struct node *node, uint32_t at, struct kvs_slice key)
{
    if (!node_reserve(node, key.size))
        return false;
    uint32_t start = node_key_start(node, at);
    uint32_t stop = node->key_ends[at];
    uint32_t end = node_key_start(node, node->size);
    memmove(node->keys + start + key.size, node->keys + stop, end - stop);
    memcpy(node->keys + start, key.data, key.size);
    for (uint32_t i = at; i < node->size; i++)
        node->key_ends[i] = node->key_ends[i] - (stop - start) + (uint32_t)key.size;
    return true;
}

// Gives back what a node that lost many entries no longer needs.
static void trim(struct node *node)
{
    uint32_t used = node_key_start(node, node->size);
    uint32_t capacity = (used + KEYS_STEP) / KEYS_STEP * KEYS_STEP;
    if (node->keys_capacity < 2 * capacity)
        return;
    char *keys = realloc(node->keys, capacity);
    if (!keys)
        return;
    node->keys = keys;
    node->keys_capacity = capacity;
}

bool node_move(struct node *from, uint32_t from_at, uint32_t count, struct node *to, uint32_t to_at)
{
    kvs_assert(from->leaf == to->leaf);
    uint32_t start = node_key_start(from, from_at);
    uint32_t keys_size = node_key_start(from, from_at + count) - start;
    if (!open_gap(to, to_at, count, keys_size))
        return false;
    uint32_t to_start = node_key_start(to, to_at);
    memcpy(to->keys + to_start, from->keys + start, keys_size);
    for (uint32_t i = 0; i < count; i++)
        to->key_ends[to_at + i] = from->key_ends[from_at + i] - start + to_start;
    memcpy(&to->prints[to_at], &from->prints[from_at], count * sizeof(to->prints[0]));
    if (!to->leaf)
        memcpy(&to->children[to_at], &from->children[from_at], count * sizeof(to->children[0]));
    to->uneven |= from->uneven; // any of them may be the cause
    close_gap(from, from_at, count);
    trim(from);
    return true;
}

struct kvs_fingerprint node_sum(const struct node *node, uint32_t from, uint32_t to)
{
    struct kvs_fingerprint sum = {0};
    for (uint32_t i = from; i < to; i++)
        fingerprint_add(&sum, &node->prints[i]);
    return sum;
}
