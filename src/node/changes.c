// SPDX-License-Identifier: Apache-2.0
// Reading the change log, and the list of those that wait for it to grow.
//
// The commit thread publishes log_seq, then looks whether anybody waits; who waits first lists
// itself, then looks at log_seq: one of the two sees the other. Nobody waiting costs a commit one
// load.
#include "base/assert.h"
#include "node/node_internal.h"

static int change_at(struct kvs_node *node, const struct kvs_store_iter *iter, uint64_t expected,
                     struct kvs_change *ret_change)
{
    int err = kvs_change_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), ret_change);
    if (err) {
        kvs_node_report_corrupt(node, kvs_store_iter_key(iter));
        return err;
    }
    // Numbers have no gaps but where the log was trimmed meanwhile.
    return ret_change->seq == expected ? 0 : KVS_ERR_GONE;
}

static bool is_shown(const struct kvs_changes_query *query, const struct kvs_change *change)
{
    return !kvs_key_is_system(change->key) && kvs_slice_starts_with(change->key, query->prefix);
}

static int walk(struct kvs_node *node, const struct kvs_changes_query *query,
                struct kvs_store_iter *iter, uint64_t newest, uint64_t *since)
{
    char bytes[sizeof(uint64_t)];
    (void)kvs_wire_encode_u64be(bytes, *since + 1);
    kvs_store_iter_seek(iter, kvs_slice(bytes, sizeof(bytes)));
    for (uint32_t walked = 0; *since < newest; walked++) {
        if (!kvs_store_iter_valid(iter)) {
            int err = kvs_store_iter_error(iter);
            return err ? err : KVS_ERR_GONE; // it was trimmed down to nothing
        }
        if (query->walk_max > 0 && walked == query->walk_max)
            return 0;
        struct kvs_change change;
        int err = change_at(node, iter, *since + 1, &change);
        if (err)
            return err;
        if (is_shown(query, &change) && !query->visit(query->ctx, &change))
            return 0;
        *since = change.seq;
        kvs_store_iter_next(iter);
    }
    return 0;
}

int kvs_node_changes(struct kvs_node *node, const struct kvs_grant *grant,
                     const struct kvs_changes_query *query, enum kvs_read_mode mode,
                     uint64_t *ret_since, bool *ret_more)
{
    (void)grant; // see kvs_node_get
    struct kvs_changes_bounds bounds = kvs_node_changes_bounds(node);
    *ret_since = query->since;
    *ret_more = query->since < bounds.newest;
    if (query->since > bounds.newest || query->since + 1 < bounds.oldest)
        return KVS_ERR_GONE;
    if (!*ret_more)
        return 0;
    const struct kvs_store_iter_options options = {.mode = mode};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_LOG, &options);
    if (!iter)
        return KVS_ERR_NOMEM;
    int err = walk(node, query, iter, bounds.newest, ret_since);
    *ret_more = *ret_since < bounds.newest;
    return err;
}

struct kvs_changes_bounds kvs_node_changes_bounds(struct kvs_node *node)
{
    // In this order: the floor never passes the newest change.
    uint64_t oldest = atomic_load(&node->log_floor);
    return (struct kvs_changes_bounds){oldest, atomic_load(&node->log_seq)};
}

// ---- Being told

void kvs_changes_init(struct kvs_changes *changes)
{
    (void)pthread_mutex_init(&changes->lock, NULL); // does not fail with default attributes
}

void kvs_changes_done(struct kvs_changes *changes)
{
    kvs_assert(!changes->first); // whoever waits belongs to a request, and none is left
    (void)pthread_mutex_destroy(&changes->lock);
}

static void list(struct kvs_changes *changes, struct kvs_changes_wait *wait)
{
    wait->prev = NULL;
    wait->next = changes->first;
    if (wait->next)
        wait->next->prev = wait;
    changes->first = wait;
    wait->listed = true;
    atomic_fetch_add(&changes->count, 1);
}

static void unlist(struct kvs_changes *changes, struct kvs_changes_wait *wait)
{
    if (wait->prev)
        wait->prev->next = wait->next;
    else
        changes->first = wait->next;
    if (wait->next)
        wait->next->prev = wait->prev;
    wait->listed = false;
    atomic_fetch_sub(&changes->count, 1);
}

void kvs_node_changes_wait(struct kvs_node *node, struct kvs_changes_wait *wait, uint64_t since)
{
    struct kvs_changes *changes = &node->changes;
    (void)pthread_mutex_lock(&changes->lock); // a plain mutex that we never lock twice
    list(changes, wait);
    bool late = atomic_load(&node->log_seq) > since;
    if (late)
        unlist(changes, wait);
    (void)pthread_mutex_unlock(&changes->lock);
    if (late)
        kvs_executor_post(wait->executor, &wait->task);
}

bool kvs_node_changes_unwait(struct kvs_node *node, struct kvs_changes_wait *wait)
{
    struct kvs_changes *changes = &node->changes;
    (void)pthread_mutex_lock(&changes->lock);
    bool listed = wait->listed;
    if (listed)
        unlist(changes, wait);
    (void)pthread_mutex_unlock(&changes->lock);
    return listed;
}

void kvs_changes_tell(struct kvs_node *node)
{
    struct kvs_changes *changes = &node->changes;
    uint64_t newest = atomic_load(&node->log_seq);
    if (newest == changes->told || atomic_load(&changes->count) == 0)
        return;
    changes->told = newest;
    (void)pthread_mutex_lock(&changes->lock);
    struct kvs_changes_wait *first = changes->first;
    for (struct kvs_changes_wait *wait = first; wait; wait = wait->next)
        wait->listed = false;
    changes->first = NULL;
    atomic_store(&changes->count, 0);
    (void)pthread_mutex_unlock(&changes->lock);
    while (first) { // nobody else touches one that is not listed any more
        struct kvs_changes_wait *next = first->next;
        kvs_executor_post(first->executor, &first->task); // `first` may be gone now
        first = next;
    }
}
