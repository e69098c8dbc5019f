// SPDX-License-Identifier: Apache-2.0
#include "audit/verify_store.h"

#include <inttypes.h>

static bool visit_seal(void *ctx, uint64_t epoch, const struct kvs_audit_seal *seal)
{
    (void)epoch; // seal->epoch is the same, or seal is NULL
    kvs_audit_verifier_seal(ctx, seal);
    return true;
}

static bool visit_entry(void *ctx, uint64_t seq, struct kvs_slice encoded)
{
    kvs_audit_verifier_entry(ctx, seq, encoded);
    return true;
}

// The key of the epoch behind the last root: the current one or, when the node was killed while it
// sealed, the next.
static int load_signer(struct kvs_store *store, const char *key_path,
                       struct kvs_audit_signer *ret_signer, struct kvs_message *ret_message)
{
    struct kvs_audit_seal last = {0};
    int err = kvs_audit_log_last_seal(store, &last);
    if (err && err != KVS_ERR_NOT_FOUND && err != KVS_ERR_CORRUPT)
        return kvs_fail(ret_message, err, "signed roots: %s", kvs_err_text(err));
    struct kvs_audit_keys keys;
    err = kvs_audit_keys_load(key_path, &keys, ret_message);
    if (err)
        return err;
    const struct kvs_audit_key *key =
        keys.next.epoch == last.epoch + 1 ? &keys.next : &keys.current;
    err = kvs_audit_signer_init(ret_signer, key);
    kvs_audit_keys_done(&keys);
    return err ? kvs_fail(ret_message, err, "%s", kvs_err_text(err)) : 0;
}

static int add_head(struct kvs_store *store, struct kvs_audit_verifier *verifier,
                    const struct kvs_audit_signer *signer)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf scratch = KVS_BUF_INIT(KVS_AUDIT_HEAD_SIZE_MAX);
    struct kvs_audit_head head = {0};
    struct kvs_slice head_signed = KVS_SLICE_EMPTY;
    struct kvs_audit_hash mac = {{0}};
    int err = kvs_audit_log_head(store, &scratch, &head, &head_signed, &mac);
    bool readable = err == 0;
    if (err == KVS_ERR_IO || err == KVS_ERR_NOMEM)
        return err;
    kvs_audit_verifier_head(verifier, readable ? &head : NULL, head_signed, &mac, signer);
    return 0;
}

static int run(struct kvs_store *store, struct kvs_audit_verifier *verifier,
               const struct kvs_audit_signer *signer)
{
    int err = kvs_audit_log_visit_seals(store, 0, false, visit_seal, verifier);
    if (!err)
        err = add_head(store, verifier, signer);
    if (!err)
        err = kvs_audit_log_visit(store, 0, false, visit_entry, verifier);
    return err;
}

int kvs_audit_verify_store(struct kvs_store *store, const char *key_path,
                           const struct kvs_audit_verify_options *options,
                           struct kvs_audit_report *ret_report, struct kvs_message *ret_message)
{
    struct kvs_audit_header header = {0};
    int err = kvs_audit_log_genesis(store, &header.genesis);
    if (err == KVS_ERR_NOT_FOUND)
        return kvs_fail(ret_message, err, "there is no audit log");
    if (err)
        return kvs_fail(ret_message, err, "the beginning of the audit log: %s", kvs_err_text(err));
    KVS_CLEANUP(kvs_audit_hasher_freep) struct kvs_audit_hasher *hasher = NULL;
    KVS_CLEANUP(kvs_audit_verifier_freep) struct kvs_audit_verifier *verifier = NULL;
    err = kvs_audit_hasher_new(&hasher);
    if (!err) {
        header.prev = kvs_audit_genesis_id(&header.genesis, hasher);
        err = kvs_audit_verifier_new(&header, options, &verifier);
    }
    if (err)
        return kvs_fail(ret_message, err, "%s", kvs_err_text(err));
    struct kvs_audit_signer signer = {0};
    if (key_path)
        err = load_signer(store, key_path, &signer, ret_message);
    if (err)
        return err;
    err = run(store, verifier, key_path ? &signer : NULL);
    kvs_audit_signer_done(&signer);
    int last = kvs_audit_verifier_finish(verifier, ret_report);
    err = err ? err : last;
    return err ? kvs_fail(ret_message, err, "%s", kvs_err_text(err)) : 0;
}
