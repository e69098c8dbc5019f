// SPDX-License-Identifier: Apache-2.0
// Keys as replication sees them, and the current version of each in their order. A tag stands
// before the key: system records come first. A system key is its own tagged key, since its first
// byte is the tag; a user's gets a byte in front.
#ifndef KVS_NODE_TAGGED_H
#define KVS_NODE_TAGGED_H

#include "node/node_internal.h"
#include "repl/repl.h"

struct kvs_tagged {
    char bytes[KVS_REPL_KEY_MAX];
    size_t size;
};

static inline struct kvs_slice kvs_tagged_slice(const struct kvs_tagged *tagged)
{
    return kvs_slice(tagged->bytes, tagged->size);
}
// `key` is valid.
static inline void kvs_tagged_set(struct kvs_tagged *tagged, struct kvs_slice key)
{
    size_t tag = kvs_key_is_system(key) ? 0 : 1;
    tagged->bytes[0] = KVS_REPL_TAG_DATA;
    memcpy(tagged->bytes + tag, key.data, key.size);
    tagged->size = tag + key.size;
}
// The node's key, borrowed from `tagged`. False: it is none that a store may hold.
bool kvs_tagged_key(struct kvs_slice tagged, struct kvs_slice *ret_key);

struct kvs_current {
    struct kvs_slice tagged;
    struct kvs_slice key;
    struct kvs_version version; // whole, with its writer's node
    struct kvs_slice json;      // of a stub: the hash of what it was
    // The record fails its checksum: of the version only timestamp, joined_timestamp and uuid are
    // known.
    bool damaged;
};

// False stops. Everything is valid during the call.
typedef bool kvs_current_fn(void *ctx, const struct kvs_current *current);

// Every key in [first, end) of tagged keys, an empty bound being open, whatever its version's
// flags. Reads the disk.
KVS_MUST_CHECK int kvs_node_each_current(struct kvs_node *node, struct kvs_slice first,
                                         struct kvs_slice end, kvs_current_fn *visit, void *ctx);
// KVS_ERR_NOT_FOUND when there is none. `iter` is over the key's family and may be moved.
KVS_MUST_CHECK int kvs_node_current_at(struct kvs_node *node, struct kvs_store_iter *iter,
                                       struct kvs_slice key, struct kvs_current *ret_current);

#endif
