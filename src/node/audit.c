// SPDX-License-Identifier: Apache-2.0
// The audit log in the commit pipeline: each event of a group becomes a chained entry in the
// group's batch, and the head after the last one goes with it. Commit thread but for
// kvs_node_audit, _note and the questions at the end.
//
// It keeps two states: `state` is what the store has, `pending` what it will have with the group. A
// group that is not written leaves `state` as it is.
#include "node/audit_internal.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>

// ---- Hashing with the right key

static void use_key_of(struct kvs_node_audit *audit, const struct kvs_audit_signer *signer)
{
    if (audit->keyed_epoch == signer->epoch)
        return;
    kvs_audit_hasher_set_key(audit->hasher, &signer->mac_key);
    audit->keyed_epoch = signer->epoch;
}

void kvs_node_audit_begin(struct kvs_node_audit *audit, struct kvs_group *group)
{
    if (!audit)
        return;
    audit->group = group;
    audit->pending.sealed_size = audit->state.sealed_size;
    audit->pending.sealed_ms = audit->state.sealed_ms;
    if (audit->touched) // what the last group left there is not what was committed
        audit->pending.head = audit->state.head;
    audit->touched = false;
    audit->seal = NULL;
    audit->lost_reported = 0;
    kvs_audit_hasher_clear(audit->hasher);
    use_key_of(audit, &audit->signer); // only this thread changes it
}

// ---- Entries

static void put_scratch(struct kvs_node_audit *audit, enum kvs_family family)
{
    kvs_assert(audit->key.err == 0); // reserved once and for all
    kvs_assert(audit->value.err == 0);
    kvs_store_batch_put(audit->group->batch, family, kvs_buf_slice(&audit->key),
                        kvs_buf_slice(&audit->value));
    audit->group->bytes += audit->key.size + audit->value.size;
    audit->group->change_count++;
    kvs_buf_clear(&audit->key);
    kvs_buf_clear(&audit->value);
}

static void put_node(void *ctx, unsigned level, uint64_t index, const struct kvs_audit_hash *hash)
{
    struct kvs_node_audit *audit = ctx;
    if (level % KVS_AUDIT_STORED_LEVELS != 0)
        return;
    kvs_audit_node_key(&audit->key, level, index);
    kvs_buf_append_slice(&audit->value, kvs_audit_hash_slice(hash));
    put_scratch(audit, KVS_FAMILY_AUDIT);
}

static void add_entry(struct kvs_node_audit *audit, struct kvs_audit_entry *entry)
{
    struct kvs_audit_head *head = &audit->pending.head;
    entry->seq = head->tree.size + 1;
    entry->timestamp = audit->group->now_ms;
    entry->prev = head->leaf;
    kvs_audit_entry_encode_signed(&audit->value, entry);
    entry->signature = kvs_audit_mac(audit->hasher, kvs_buf_slice(&audit->value));
    kvs_audit_entry_encode_signature(&audit->value, entry);
    head->leaf = kvs_audit_hash_leaf(audit->hasher, kvs_buf_slice(&audit->value));
    kvs_audit_entry_key(&audit->key, entry->seq);
    put_scratch(audit, KVS_FAMILY_AUDIT);
    kvs_audit_tree_append(&head->tree, audit->hasher, &head->leaf, put_node, audit);
    audit->touched = true;
}

// Confesses what could not be recorded before.
static void add_gap(struct kvs_node_audit *audit)
{
    uint64_t lost = atomic_exchange(&audit->lost, 0);
    if (lost == 0)
        return;
    audit->lost_reported += lost;
    char text[64];
    int size = snprintf(text, sizeof(text), "%" PRIu64 " events were not recorded", lost);
    struct kvs_audit_entry entry = {.action = KVS_SLICE(KVS_AUDIT_GAP),
                                    .outcome = KVS_SLICE("lost"),
                                    .resource = kvs_slice(text, (size_t)size)};
    add_entry(audit, &entry);
}

// "not_found" of NOT_FOUND.
static struct kvs_slice outcome_name(int err, char scratch[static KVS_AUDIT_NAME_MAX])
{
    struct kvs_slice name = kvs_slice_from_str(err ? kvs_err_name(err) : "OK");
    kvs_assert(name.size <= KVS_AUDIT_NAME_MAX);
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        scratch[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return kvs_slice(scratch, name.size);
}

static void add_event(struct kvs_node_audit *audit, const struct kvs_audit_event *event, int err)
{
    char outcome[KVS_AUDIT_NAME_MAX];
    char resource[KVS_AUDIT_RESOURCE_MAX];
    char request_id[KVS_AUDIT_REQUEST_ID_MAX];
    struct kvs_audit_entry entry = {
        .has_user = event->user != NULL,
        .action = kvs_slice_from_str(kvs_audit_action_name(event->action)),
        .outcome = outcome_name(err, outcome),
        .request_id = kvs_audit_text(event->request_id, KVS_AUDIT_REQUEST_ID_MAX, request_id),
        .resource = kvs_audit_text(event->resource, KVS_AUDIT_RESOURCE_MAX, resource),
    };
    if (event->user)
        entry.user = *event->user;
    add_gap(audit);
    add_entry(audit, &entry);
}

// ---- Seals

static void add_seal(struct kvs_node_audit *audit, struct kvs_audit_seal_op *op)
{
    struct kvs_audit_state *pending = &audit->pending;
    if (audit->seal || pending->head.tree.size == pending->sealed_size ||
        op->keys.current.epoch != pending->head.epoch)
        return; // there is nothing to seal, or somebody else has
    struct kvs_audit_seal seal = {
        .kind = KVS_AUDIT_ROOT,
        .epoch = pending->head.epoch,
        .size = pending->head.tree.size,
        .timestamp = audit->group->now_ms,
        .root = kvs_audit_tree_root(&pending->head.tree, audit->hasher),
        .next_key = op->next_signer.public_key,
        .mac_key = audit->signer.mac_key,
    };
    op->write.err = kvs_audit_seal_sign(&seal, &audit->id, &audit->signer);
    if (op->write.err)
        return;
    kvs_audit_seal_key(&audit->key, seal.epoch);
    kvs_audit_seal_encode(&audit->value, &seal);
    put_scratch(audit, KVS_FAMILY_AUDIT);
    pending->head.epoch = op->next_signer.epoch;
    pending->sealed_size = seal.size;
    pending->sealed_ms = seal.timestamp;
    use_key_of(audit, &op->next_signer);
    audit->seal = op;
    audit->touched = true;
}

void kvs_node_audit_prepare(struct kvs_node_audit *audit, struct kvs_write *write)
{
    write->audited = false;
    if (!audit)
        return;
    if (write->op == KVS_WRITE_AUDIT_SEAL) {
        add_seal(audit, KVS_CONTAINER_OF(write, struct kvs_audit_seal_op, write));
        return;
    }
    if (!write->audit)
        return;
    struct kvs_audit_event event = *write->audit;
    bool refused = write->err == KVS_ERR_UNAUTHORIZED || write->err == KVS_ERR_FORBIDDEN;
    if (refused && kvs_node_audits(audit->node, KVS_AUDIT_auth_failure))
        event.action = KVS_AUDIT_auth_failure;
    if (!kvs_node_audits(audit->node, event.action) ||
        (event.retried && write->err == KVS_ERR_PRECONDITION))
        return;
    add_event(audit, &event, write->err);
    write->audited = true;
}

// ---- The end of a group

void kvs_node_audit_put_head(struct kvs_node_audit *audit, struct kvs_store_batch *batch)
{
    kvs_audit_head_encode(&audit->value, &audit->pending.head);
    struct kvs_audit_hash mac = kvs_audit_mac(audit->hasher, kvs_buf_slice(&audit->value));
    kvs_buf_append_slice(&audit->value, kvs_audit_hash_slice(&mac));
    kvs_assert(audit->value.err == 0);
    kvs_store_batch_put(batch, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, kvs_buf_slice(&audit->value));
    kvs_buf_clear(&audit->value);
}

int kvs_node_audit_finish(struct kvs_node_audit *audit)
{
    if (!audit || !audit->touched)
        return 0;
    kvs_node_audit_put_head(audit, audit->group->batch);
    return kvs_audit_hasher_error(audit->hasher);
}

bool kvs_node_audit_needs_sync(const struct kvs_node_audit *audit)
{
    return audit && audit->seal;
}

void kvs_node_audit_committed(struct kvs_node_audit *audit)
{
    if (!audit || !audit->touched)
        return;
    kvs_metrics_add(audit->node->options.metrics, KVS_METRIC_AUDIT_ENTRIES,
                    audit->pending.head.tree.size - audit->state.head.tree.size);
    audit->state = audit->pending;
    audit->touched = false;
    audit->lost_reported = 0;
    if (audit->seal) {
        kvs_metrics_add(audit->node->options.metrics, KVS_METRIC_AUDIT_ROOTS, 1);
        kvs_node_audit_publish(audit, &audit->seal->keys.next, &audit->seal->next_signer);
        audit->seal = NULL;
    } else {
        kvs_node_audit_publish(audit, NULL, NULL);
    }
}

void kvs_node_audit_dropped(struct kvs_node_audit *audit)
{
    if (audit && audit->lost_reported > 0)
        atomic_fetch_add(&audit->lost, audit->lost_reported);
    if (audit)
        audit->lost_reported = 0;
}

// ---- Events without a write

bool kvs_node_has_audit(const struct kvs_node *node)
{
    return node->audit != NULL;
}

bool kvs_node_audits(const struct kvs_node *node, enum kvs_audit_action action)
{
    return node->audit && (node->options.audit_actions & kvs_audit_action_bit(action)) != 0;
}

void kvs_node_audit_lost(struct kvs_node *node)
{
    if (!node->audit)
        return;
    atomic_fetch_add(&node->audit->lost, 1);
    kvs_metrics_add(node->options.metrics, KVS_METRIC_AUDIT_LOST, 1);
}

void kvs_node_audit(struct kvs_node *node, struct kvs_write *write)
{
    write->op = KVS_WRITE_AUDIT;
    write->effect.pending = NULL;
    write->with_next = false;
    kvs_committer_submit(node->committer, write, write, 1);
}

// A note owns what its event borrows, and frees itself on the commit thread.
struct note {
    struct kvs_write write;
    struct kvs_executor executor;
    struct kvs_node_audit *audit;
    struct kvs_audit_event event;
    struct kvs_uuid user;
    char bytes[];
};

static void note_done(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    struct note *note = KVS_CONTAINER_OF(executor, struct note, executor);
    if (!note->write.audited)
        kvs_node_audit_lost(note->audit->node);
    atomic_fetch_sub(&note->audit->notes, 1);
    free(note);
}

static struct kvs_slice cut(struct kvs_slice text, size_t size_max)
{
    return kvs_slice(text.data, text.size < size_max ? text.size : size_max);
}

static struct kvs_slice keep(char **at, struct kvs_slice text)
{
    struct kvs_slice kept = kvs_slice(*at, text.size);
    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return kept;
}

static struct note *note_new(struct kvs_node_audit *audit, const struct kvs_audit_event *event)
{
    struct kvs_slice resource = cut(event->resource, KVS_AUDIT_RESOURCE_MAX);
    struct kvs_slice request_id = cut(event->request_id, KVS_AUDIT_REQUEST_ID_MAX);
    struct note *note = calloc(1, sizeof(*note) + resource.size + request_id.size);
    if (!note)
        return NULL;
    char *at = note->bytes;
    note->executor.post = note_done;
    note->audit = audit;
    note->event = (struct kvs_audit_event){.action = event->action,
                                           .resource = keep(&at, resource),
                                           .request_id = keep(&at, request_id)};
    if (event->user) {
        note->user = *event->user;
        note->event.user = &note->user;
    }
    note->write.executor = &note->executor;
    note->write.audit = &note->event;
    return note;
}

void kvs_node_audit_note(struct kvs_node *node, const struct kvs_audit_event *event, int outcome)
{
    struct kvs_node_audit *audit = node->audit;
    if (!kvs_node_audits(node, event->action))
        return;
    struct note *note = NULL;
    if (atomic_fetch_add(&audit->notes, 1) < KVS_AUDIT_NOTES_MAX)
        note = note_new(audit, event);
    if (!note) {
        atomic_fetch_sub(&audit->notes, 1);
        kvs_node_audit_lost(node);
        return;
    }
    note->write.err = outcome;
    kvs_node_audit(node, &note->write);
}
