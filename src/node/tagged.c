// SPDX-License-Identifier: Apache-2.0
#include "node/tagged.h"

#include "base/assert.h"

bool kvs_tagged_key(struct kvs_slice tagged, struct kvs_slice *ret_key)
{
    const char *reason = NULL;
    if (tagged.size < 2)
        return false;
    if (tagged.data[0] == KVS_REPL_TAG_DATA) {
        *ret_key = kvs_slice(tagged.data + 1, tagged.size - 1);
        return kvs_key_is_valid(*ret_key, &reason);
    }
    *ret_key = tagged;
    return kvs_key_is_system(tagged) && tagged.size <= KVS_KEY_SIZE_MAX &&
           memchr(tagged.data, '\0', tagged.size) == NULL;
}

// The entry under the iterator as what it says of its key. False: its key is none of ours.
static bool view_entry(struct kvs_node *node, const struct kvs_store_iter *iter,
                       struct kvs_current *ret_current)
{
    struct kvs_slice entry_key = kvs_store_iter_key(iter);
    struct kvs_record_view view;
    *ret_current = (struct kvs_current){0};
    if (!kvs_record_split_key(entry_key, &ret_current->key) ||
        ret_current->key.size > KVS_KEY_SIZE_MAX)
        return false;
    if (kvs_record_decode(entry_key, kvs_store_iter_value(iter), &view) == 0 &&
        kvs_writers_get(node->writers, view.writer_id, &ret_current->version.writer)) {
        struct kvs_writer writer = ret_current->version.writer;
        ret_current->version = view.version;
        ret_current->version.writer = writer;
        ret_current->json = view.json;
        return true;
    }
    ret_current->damaged = true;
    return kvs_record_decode_key(entry_key, &ret_current->version);
}

int kvs_node_current_at(struct kvs_node *node, struct kvs_store_iter *iter, struct kvs_slice key,
                        struct kvs_current *ret_current)
{
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, key);
    kvs_store_iter_seek(iter, kvs_prefix_slice(&prefix));
    if (!kvs_store_iter_valid(iter)) {
        int err = kvs_store_iter_error(iter);
        return err ? err : KVS_ERR_NOT_FOUND;
    }
    if (!kvs_slice_starts_with(kvs_store_iter_key(iter), kvs_prefix_slice(&prefix)))
        return KVS_ERR_NOT_FOUND;
    return view_entry(node, iter, ret_current) ? 0 : KVS_ERR_CORRUPT;
}

struct walk {
    struct kvs_node *node;
    struct kvs_store_iter *iter;
    struct kvs_slice end; // of keys; empty: none
    kvs_current_fn *visit;
    void *ctx;
    bool stopped;
};

static int walk_family(struct walk *walk, struct kvs_slice first)
{
    kvs_store_iter_seek(walk->iter, first);
    while (!walk->stopped && kvs_store_iter_valid(walk->iter)) {
        struct kvs_current current;
        struct kvs_tagged tagged;
        struct kvs_prefix prefix;
        if (!view_entry(walk->node, walk->iter, &current)) {
            kvs_node_report_corrupt(walk->node, kvs_store_iter_key(walk->iter));
            kvs_store_iter_next(walk->iter);
            continue;
        }
        if (walk->end.size > 0 && kvs_slice_cmp(current.key, walk->end) >= 0)
            return 0;
        kvs_tagged_set(&tagged, current.key);
        kvs_prefix_set(&prefix, current.key);
        current.tagged = kvs_tagged_slice(&tagged);
        walk->stopped = !walk->visit(walk->ctx, &current);
        kvs_node_leave_key(walk->iter, &prefix);
    }
    return kvs_store_iter_error(walk->iter);
}

static int walk_in(struct walk *walk, enum kvs_family family, struct kvs_slice first,
                   struct kvs_slice end)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    walk->iter = kvs_store_iter_new(walk->node->store, family, &options);
    if (!walk->iter)
        return KVS_ERR_NOMEM;
    walk->end = end;
    int err = walk_family(walk, first);
    kvs_store_iter_free(walk->iter);
    return err;
}

static struct kvs_slice without_tag(struct kvs_slice tagged)
{
    return tagged.size > 0 && tagged.data[0] == KVS_REPL_TAG_DATA
               ? kvs_slice(tagged.data + 1, tagged.size - 1)
               : KVS_SLICE_EMPTY;
}

int kvs_node_each_current(struct kvs_node *node, struct kvs_slice first, struct kvs_slice end,
                          kvs_current_fn *visit, void *ctx)
{
    static const char data_tag = KVS_REPL_TAG_DATA;
    struct kvs_slice data = kvs_slice(&data_tag, 1);
    struct walk walk = {.node = node, .visit = visit, .ctx = ctx};
    bool in_data = end.size == 0 || kvs_slice_cmp(end, data) > 0;
    int err = 0;
    if (kvs_slice_cmp(first, data) < 0)
        err = walk_in(&walk, KVS_FAMILY_SYSTEM, first, in_data ? KVS_SLICE_EMPTY : end);
    // A bound above every tag leaves nothing below it.
    bool beyond = first.size > 0 && first.data[0] > KVS_REPL_TAG_DATA;
    if (!err && in_data && !walk.stopped && !beyond)
        err = walk_in(&walk, KVS_FAMILY_DATA, without_tag(first), without_tag(end));
    return err;
}
