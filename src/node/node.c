// SPDX-License-Identifier: Apache-2.0
// Opening, closing and the state of a node. The order of opening is the order of dependence: store,
// meta, cache, commit thread, housekeeping; closing goes the other way, but the cache outlives the
// store, whose compaction filters look into it.
#include "base/assert.h"
#include "node/audit_internal.h"
#include "node/foreign.h"
#include "node/ledger.h"
#include "node/receipts_internal.h"
#include "node/replica.h"

enum { CACHE_SIZE_DEFAULT = 64 << 20 };

const char *kvs_node_mode_name(enum kvs_node_mode mode)
{
    switch (mode) {
    case KVS_NODE_READ_ONLY:
        return "read-only";
    case KVS_NODE_SYNCING:
        return "syncing";
    case KVS_NODE_NORMAL:
        break;
    }
    return "normal";
}

static int open_store(struct kvs_node *node, struct kvs_message *ret_message)
{
    struct kvs_store_options options = {
        .path = node->data_dir,
        .compression = node->options.compression,
        .compression_level = node->options.compression_level,
        .async_writes = node->options.durability == KVS_DURABILITY_ASYNC,
    };
    node->filter.clock = node->options.clock;
    node->filter.revisions = node->options.revisions;
    atomic_store(&node->filter.removed_ms, INT64_MAX);
    kvs_node_set_filters(&node->filter, &options);
    int err = kvs_store_open(&options, &node->store, ret_message);
    if (!err && node->options.wrap_store)
        err = node->options.wrap_store(node->store, &node->store);
    if (!err)
        atomic_store(&node->filter.store, node->store);
    return err;
}

static int open_replica(struct kvs_node *node, struct kvs_message *ret_message)
{
    int err = kvs_ledger_new(node, &node->ledger);
    if (err)
        return kvs_fail(ret_message, err, "what has been replicated: %s", kvs_err_text(err));
    err = kvs_receipts_new(&node->receipts);
    if (err)
        return kvs_fail(ret_message, err, "who has what: %s", kvs_err_text(err));
    err = kvs_replica_new(node, &node->replica, ret_message);
    if (err)
        return err;
    struct kvs_digest_key key = kvs_replica_digest_key(node->replica);
    err = kvs_ledger_open_digest(node->ledger, &key);
    if (err)
        return kvs_fail(ret_message, err, "digest: %s", kvs_err_text(err));
    err = kvs_foreign_new(node, node->options.cluster->gossip_max_ms, &node->foreign);
    return err ? kvs_fail(ret_message, err, "foreign members: %s", kvs_err_text(err)) : 0;
}

static int open_alone(struct kvs_node *node, struct kvs_message *ret_message)
{
    int err = kvs_ledger_forget(node);
    return err ? kvs_fail(ret_message, err, "what has been replicated: %s", kvs_err_text(err)) : 0;
}

static int start(struct kvs_node *node, struct kvs_message *ret_message)
{
    int err = kvs_writers_new(&node->writers);
    if (err)
        return kvs_fail(ret_message, err, "start node: out of memory");
    err = open_store(node, ret_message);
    if (!err)
        err = kvs_node_load_meta(node, ret_message);
    if (err)
        return err;
    size_t cache_size = node->options.record_cache_size;
    err = kvs_node_audit_open(node, ret_message);
    if (err)
        return err;
    err = kvs_cache_new(cache_size ? cache_size : CACHE_SIZE_DEFAULT, node->options.metrics,
                        &node->cache);
    if (!err)
        atomic_store(&node->filter.cache, node->cache);
    if (!err)
        err = kvs_node_observe_all(node);
    if (err)
        return kvs_fail(ret_message, err, "start node: %s", kvs_err_text(err));
    err = node->options.cluster ? open_replica(node, ret_message) : open_alone(node, ret_message);
    if (err)
        return err;
    // Alone nobody minds how far ahead a clock once was; only that timestamps do not go back.
    kvs_stamp_clock_init(&node->clock, node->state.clock_floor,
                         node->options.cluster ? node->options.cluster->skew_max_ms
                                               : INT64_MAX / 2);
    node->clock.latest_ms = node->state.clock;
    err = kvs_committer_start(node, &node->committer);
    if (!err)
        err = kvs_housekeeper_start(node, &node->housekeeper);
    if (!err && node->replica)
        err = kvs_replica_start(node->replica);
    if (!err)
        err = kvs_jobs_start(node, &node->jobs);
    return err ? kvs_fail(ret_message, err, "start node: %s", kvs_err_text(err)) : 0;
}

int kvs_node_open(const struct kvs_node_options *options, struct kvs_node **ret_node,
                  struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_node_closep) struct kvs_node *node = calloc(1, sizeof(*node));
    if (!node)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "start node: out of memory");
    kvs_changes_init(&node->changes);
    node->options = *options;
    node->data_dir = strdup(options->data_dir);
    node->node_id = strdup(options->node_id ? options->node_id : "");
    if (!node->data_dir || !node->node_id)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "start node: out of memory");
    node->options.data_dir = node->data_dir;
    node->options.node_id = NULL; // borrowed for the call only
    if (node->options.revisions == 0)
        node->options.revisions = 1;
    atomic_store(&node->writable, true);
    int err = start(node, ret_message);
    if (!err)
        *ret_node = KVS_TAKE(node);
    return err;
}

void kvs_node_close(struct kvs_node *node)
{
    if (!node)
        return;
    kvs_jobs_stop(node->jobs);
    kvs_replica_stop(node->replica); // what it asked for is still performed
    kvs_housekeeper_stop(node->housekeeper);
    if (node->housekeeper && atomic_load(&node->writable) && kvs_node_audit_seal(node) != 0)
        kvs_log(node->options.log, KVS_LOG_WARN,
                "audit log: not sealed: its epoch goes on at the next start");
    kvs_committer_stop(node->committer); // what it still commits may fail and wake housekeeping
    kvs_housekeeper_free(node->housekeeper);
    kvs_node_audit_close(node->audit);
    kvs_foreign_free(node->foreign);
    kvs_replica_free(node->replica);
    kvs_receipts_free(node->receipts);
    kvs_ledger_free(node->ledger);
    kvs_writers_free(node->writers);
    kvs_store_close(node->store);
    kvs_cache_free(node->cache);
    kvs_changes_done(&node->changes);
    free(node->data_dir);
    free(node->node_id);
    free(node);
}

static enum kvs_node_mode current_mode(const struct kvs_node *node)
{
    if (node->replica && kvs_replica_is_syncing(node->replica))
        return KVS_NODE_SYNCING;
    return node->options.read_only ? KVS_NODE_READ_ONLY : KVS_NODE_NORMAL;
}

int kvs_node_status(struct kvs_node *node, struct kvs_node_status *ret_status)
{
    *ret_status = (struct kvs_node_status){
        .mode = current_mode(node),
        .writable = atomic_load(&node->writable),
        .self = node->identity.self,
        .log_seq = atomic_load(&node->log_seq),
    };
    return kvs_store_stats(node->store, &ret_status->store);
}

int kvs_node_refusal(const struct kvs_node *node, const struct kvs_write *write)
{
    if (write->op >= KVS_WRITE_PURGE)
        return 0;
    bool any_mode = kvs_grant_any_mode(write->grant);
    switch (any_mode ? KVS_NODE_NORMAL : current_mode(node)) {
    case KVS_NODE_READ_ONLY:
        return KVS_ERR_READ_ONLY;
    case KVS_NODE_SYNCING:
        return KVS_ERR_SYNCING;
    case KVS_NODE_NORMAL:
        break;
    }
    return atomic_load(&node->leaving) ? KVS_ERR_SHUTDOWN : 0;
}

void kvs_node_write_group(struct kvs_node *node, struct kvs_write *writes, size_t count)
{
    kvs_assert(count <= KVS_WRITE_GROUP_MAX);
    int refused = count > 0 ? kvs_node_refusal(node, &writes[0]) : 0;
    for (size_t i = 0; i < count; i++) {
        writes[i].err = refused;
        writes[i].audited = false;
        writes[i].effect.pending = NULL;
        writes[i].with_next = i + 1 < count;
        writes[i].next = i + 1 < count ? &writes[i + 1] : NULL;
    }
    if (!refused && count > 0) {
        kvs_committer_submit(node->committer, &writes[0], &writes[count - 1], count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        kvs_executor_post(writes[i].executor, &writes[i].done);
}

void kvs_node_write(struct kvs_node *node, struct kvs_write *write)
{
    kvs_node_write_group(node, write, 1);
}
