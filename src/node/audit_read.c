// SPDX-License-Identifier: Apache-2.0
// Reading the audit log of a running node, and proofs about it. Any thread; what is committed is
// never changed, so everything up to a published size may be read at leisure.
#include "node/audit_internal.h"

// The published state and, where asked for, a handle of the signer to be given back.
static int look(struct kvs_node *node, struct kvs_audit_state *ret_state,
                struct kvs_audit_signer *ret_signer)
{
    struct kvs_node_audit *audit = node->audit;
    if (!audit)
        return KVS_ERR_NOT_FOUND;
    (void)pthread_mutex_lock(&audit->lock); // held for a copy
    *ret_state = audit->published;
    if (ret_signer)
        *ret_signer = kvs_audit_signer_ref(&audit->signer);
    (void)pthread_mutex_unlock(&audit->lock);
    return 0;
}

struct visit {
    kvs_node_audit_fn *entry;
    kvs_node_audit_seal_fn *seal;
    void *ctx;
    uint64_t size; // published
    int err;
};

static bool visit_entry(void *ctx, uint64_t seq, struct kvs_slice encoded)
{
    struct visit *visit = ctx;
    struct kvs_audit_entry entry;
    if (seq > visit->size)
        return false;
    visit->err = kvs_audit_entry_decode(encoded, &entry);
    if (!visit->err && entry.seq != seq)
        visit->err = KVS_ERR_CORRUPT;
    return !visit->err && visit->entry(visit->ctx, &entry);
}

int kvs_node_audit_visit(struct kvs_node *node, const struct kvs_grant *grant, uint64_t seq,
                         bool downward, kvs_node_audit_fn *visit, void *ctx)
{
    (void)grant; // who may call this has the scope; entries have no permissions of their own
    struct kvs_audit_state state;
    int err = look(node, &state, NULL);
    if (err)
        return err;
    struct visit walk = {.entry = visit, .ctx = ctx, .size = state.head.tree.size};
    if (downward && seq > walk.size)
        seq = walk.size;
    err = kvs_audit_log_visit(node->store, seq, downward, visit_entry, &walk);
    return err ? err : walk.err;
}

static bool visit_seal(void *ctx, uint64_t epoch, const struct kvs_audit_seal *seal)
{
    (void)epoch;
    struct visit *visit = ctx;
    if (!seal)
        visit->err = KVS_ERR_CORRUPT;
    return seal && visit->seal(visit->ctx, seal);
}

int kvs_node_audit_visit_seals(struct kvs_node *node, const struct kvs_grant *grant, uint64_t epoch,
                               bool downward, kvs_node_audit_seal_fn *visit, void *ctx)
{
    (void)grant;
    if (!node->audit)
        return KVS_ERR_NOT_FOUND;
    struct visit walk = {.seal = visit, .ctx = ctx};
    int err = kvs_audit_log_visit_seals(node->store, epoch, downward, visit_seal, &walk);
    return err ? err : walk.err;
}

// ---- What exports and proofs begin with

int kvs_node_audit_header(struct kvs_node *node, const struct kvs_grant *grant, uint64_t first,
                          struct kvs_audit_header *ret_header)
{
    (void)grant;
    struct kvs_audit_state state;
    int err = look(node, &state, NULL);
    if (err)
        return err;
    if (first == 0 || first - 1 > state.head.tree.size)
        return KVS_ERR_INVALID;
    *ret_header =
        (struct kvs_audit_header){.genesis = node->audit->genesis, .prev = node->audit->id};
    if (first == 1)
        return 0;
    KVS_CLEANUP(kvs_audit_hasher_freep) struct kvs_audit_hasher *hasher = NULL;
    err = kvs_audit_hasher_new(&hasher);
    if (err)
        return err;
    struct kvs_audit_log_tree tree = {node->store, hasher};
    struct kvs_audit_tree_source source = kvs_audit_log_source(&tree);
    err = kvs_audit_tree_load(&source, first - 1, &ret_header->before);
    if (!err)
        err = kvs_audit_log_leaf(node->store, hasher, first - 1, &ret_header->prev);
    return err == KVS_ERR_NOT_FOUND ? KVS_ERR_CORRUPT : err;
}

int kvs_node_audit_checkpoint(struct kvs_node *node, const struct kvs_grant *grant,
                              struct kvs_audit_seal *ret_checkpoint,
                              struct kvs_audit_public *ret_key)
{
    (void)grant;
    struct kvs_audit_state state;
    struct kvs_audit_signer signer;
    int err = look(node, &state, &signer);
    if (err)
        return err;
    KVS_CLEANUP(kvs_audit_hasher_freep) struct kvs_audit_hasher *hasher = NULL;
    err = kvs_audit_hasher_new(&hasher);
    if (!err) {
        *ret_checkpoint = (struct kvs_audit_seal){
            .kind = KVS_AUDIT_CHECKPOINT,
            .epoch = signer.epoch,
            .size = state.head.tree.size,
            .timestamp = kvs_clock_wall_ms(node->options.clock),
            .root = kvs_audit_tree_root(&state.head.tree, hasher),
        };
        *ret_key = signer.public_key;
        err = kvs_audit_seal_sign(ret_checkpoint, &node->audit->id, &signer);
    }
    if (!err)
        err = kvs_audit_hasher_error(hasher);
    kvs_audit_signer_done(&signer);
    return err;
}

// ---- Proofs

struct cover {
    uint64_t seq;
    struct kvs_audit_proof *proof;
    struct kvs_audit_public key; // of the epoch above the one that is looked at
    bool found;                  // and now the key that signed it is wanted
    bool signed_by_known;
};

// Downward: the last root that covers the entry is the first one in time.
static bool look_for_cover(void *ctx, const struct kvs_audit_seal *seal)
{
    struct cover *cover = ctx;
    if (cover->found && seal->epoch + 1 == cover->proof->seal.epoch) {
        cover->proof->seal_key = seal->next_key;
        cover->signed_by_known = true;
    }
    if (seal->size < cover->seq)
        return false;
    if (seal->kind == KVS_AUDIT_ROOT) {
        cover->proof->seal = *seal;
        cover->found = true;
        cover->signed_by_known = false;
    }
    return true;
}

static int seal_for(struct kvs_node *node, const struct kvs_grant *grant, uint64_t seq,
                    struct kvs_audit_proof *proof)
{
    struct cover cover = {.seq = seq, .proof = proof};
    int err = kvs_node_audit_visit_seals(node, grant, UINT64_MAX, true, look_for_cover, &cover);
    if (err)
        return err;
    if (!cover.found)
        return kvs_node_audit_checkpoint(node, grant, &proof->seal, &proof->seal_key);
    if (!cover.signed_by_known)
        proof->seal_key = node->audit->genesis.public_key; // of epoch 1
    return 0;
}

static bool copy_entry(void *ctx, const struct kvs_audit_entry *entry)
{
    struct kvs_buf *scratch = ctx;
    kvs_audit_entry_encode_signed(scratch, entry);
    kvs_audit_entry_encode_signature(scratch, entry);
    return false;
}

int kvs_node_audit_prove(struct kvs_node *node, const struct kvs_grant *grant, uint64_t seq,
                         struct kvs_buf *scratch, struct kvs_audit_proof *ret_proof)
{
    *ret_proof = (struct kvs_audit_proof){0};
    struct kvs_audit_state state;
    int err = look(node, &state, NULL);
    if (!err && (seq == 0 || seq > state.head.tree.size))
        err = KVS_ERR_NOT_FOUND;
    if (!err)
        err = kvs_node_audit_header(node, grant, 1, &ret_proof->log);
    if (!err)
        err = kvs_node_audit_visit(node, grant, seq, false, copy_entry, scratch);
    if (!err)
        err = scratch->err ? scratch->err
                           : kvs_audit_entry_decode(kvs_buf_slice(scratch), &ret_proof->entry);
    if (!err && ret_proof->entry.seq != seq)
        err = KVS_ERR_CORRUPT; // it is missing
    if (!err)
        err = seal_for(node, grant, seq, ret_proof);
    KVS_CLEANUP(kvs_audit_hasher_freep) struct kvs_audit_hasher *hasher = NULL;
    if (!err)
        err = kvs_audit_hasher_new(&hasher);
    if (err)
        return err;
    struct kvs_audit_log_tree tree = {node->store, hasher};
    struct kvs_audit_tree_source source = kvs_audit_log_source(&tree);
    return kvs_audit_prove_inclusion(&source, seq - 1, ret_proof->seal.size, &ret_proof->path);
}

int kvs_node_audit_prove_growth(struct kvs_node *node, const struct kvs_grant *grant, uint64_t from,
                                struct kvs_audit_proof *ret_proof)
{
    *ret_proof = (struct kvs_audit_proof){.is_consistency = true, .from = from};
    int err = kvs_node_audit_header(node, grant, 1, &ret_proof->log);
    if (!err)
        err = kvs_node_audit_checkpoint(node, grant, &ret_proof->seal, &ret_proof->seal_key);
    if (!err && (from == 0 || from > ret_proof->seal.size))
        err = KVS_ERR_INVALID;
    KVS_CLEANUP(kvs_audit_hasher_freep) struct kvs_audit_hasher *hasher = NULL;
    if (!err)
        err = kvs_audit_hasher_new(&hasher);
    if (err)
        return err;
    struct kvs_audit_log_tree tree = {node->store, hasher};
    struct kvs_audit_tree_source source = kvs_audit_log_source(&tree);
    struct kvs_audit_tree before;
    err = kvs_audit_tree_load(&source, from, &before);
    if (!err) {
        ret_proof->from_root = kvs_audit_tree_root(&before, hasher);
        err = kvs_audit_prove_consistency(&source, from, ret_proof->seal.size, &ret_proof->path);
    }
    return err;
}
