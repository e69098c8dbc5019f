// SPDX-License-Identifier: Apache-2.0
#include "audit/proof.h"

#include "audit/text_internal.h"

#include <inttypes.h>

// ---- Writing

void kvs_audit_proof_append_json(struct kvs_buf *out, const struct kvs_audit_proof *proof)
{
    kvs_buf_append_str(out, proof->is_consistency ? "{\"kind\":\"consistency\",\"log\":"
                                                  : "{\"kind\":\"inclusion\",\"log\":");
    kvs_audit_header_append_json(out, &proof->log);
    if (proof->is_consistency) {
        kvs_buf_append_slice(out, KVS_SLICE(",\"from\":"));
        kvs_buf_append_u64(out, proof->from);
        kvs_audit_append_hex_member(out, "from_root", proof->from_root.bytes, KVS_AUDIT_HASH_SIZE);
    } else {
        kvs_buf_append_slice(out, KVS_SLICE(",\"entry\":"));
        kvs_audit_entry_append_json(out, &proof->entry);
    }
    kvs_buf_append_slice(out, KVS_SLICE(",\"seal\":"));
    kvs_audit_seal_append_json(out, &proof->seal);
    kvs_audit_append_hex_member(out, "seal_key", proof->seal_key.bytes,
                                sizeof(proof->seal_key.bytes));
    kvs_buf_append_slice(out, KVS_SLICE(",\"path\":["));
    for (size_t i = 0; i < proof->path.count; i++) {
        kvs_buf_append_str(out, i > 0 ? ",\"" : "\"");
        kvs_audit_hex_append(out, proof->path.hashes[i].bytes, KVS_AUDIT_HASH_SIZE);
        kvs_buf_append_char(out, '"');
    }
    kvs_buf_append_char(out, ']');
}

// ---- Reading

static const struct kvs_json *get(struct kvs_audit_reader *reader, const char *name,
                                  enum kvs_json_type type)
{
    const struct kvs_json *found = reader->err ? NULL : kvs_json_member(reader->object, name);
    if (!reader->err && (!found || found->type != type))
        reader->err = KVS_ERR_SYNTAX;
    return reader->err ? NULL : found;
}

static void read_path(struct kvs_audit_reader *reader, struct kvs_audit_path *path)
{
    const struct kvs_json *array = get(reader, "path", KVS_JSON_ARRAY);
    if (array && array->child_count > KVS_AUDIT_PATH_MAX)
        reader->err = KVS_ERR_SYNTAX;
    for (const struct kvs_json *item = array ? array->child : NULL; item && !reader->err;
         item = item->next) {
        struct kvs_slice text = KVS_SLICE_EMPTY;
        if (kvs_json_string(item, reader->arena, &text) != 0 ||
            !kvs_audit_hex_parse(text, path->hashes[path->count++].bytes, KVS_AUDIT_HASH_SIZE))
            reader->err = KVS_ERR_SYNTAX;
    }
}

static void read_chain(struct kvs_audit_reader *reader, struct kvs_audit_proof *proof)
{
    if (reader->err || !kvs_json_member(reader->object, "chain"))
        return;
    const struct kvs_json *array = get(reader, "chain", KVS_JSON_ARRAY);
    if (!array)
        return;
    proof->has_chain = true;
    proof->chain = kvs_arena_alloc(reader->arena, (array->child_count + 1) * sizeof(*proof->chain));
    if (!proof->chain)
        reader->err = KVS_ERR_NOMEM;
    for (const struct kvs_json *item = array->child; item && !reader->err; item = item->next)
        reader->err = kvs_audit_seal_parse_json(item->source, reader->arena,
                                                &proof->chain[proof->chain_count++]);
}

static int read_parts(struct kvs_audit_reader *reader, struct kvs_audit_proof *proof)
{
    const struct kvs_json *log = get(reader, "log", KVS_JSON_OBJECT);
    if (log)
        reader->err = kvs_audit_header_parse_json(log->source, reader->arena, &proof->log);
    const struct kvs_json *seal = get(reader, "seal", KVS_JSON_OBJECT);
    if (seal)
        reader->err = kvs_audit_seal_parse_json(seal->source, reader->arena, &proof->seal);
    if (proof->is_consistency) {
        proof->from = kvs_audit_read_u64(reader, "from");
        kvs_audit_read_hex(reader, "from_root", proof->from_root.bytes, KVS_AUDIT_HASH_SIZE);
    } else {
        const struct kvs_json *entry = get(reader, "entry", KVS_JSON_OBJECT);
        if (entry)
            reader->err = kvs_audit_entry_parse_json(entry->source, reader->arena, &proof->entry);
    }
    kvs_audit_read_hex(reader, "seal_key", proof->seal_key.bytes, sizeof(proof->seal_key.bytes));
    read_path(reader, &proof->path);
    read_chain(reader, proof);
    return reader->err;
}

int kvs_audit_proof_parse(struct kvs_slice json, struct kvs_arena *arena,
                          struct kvs_audit_proof *ret_proof)
{
    struct kvs_audit_reader reader;
    *ret_proof = (struct kvs_audit_proof){0};
    kvs_audit_reader_init(&reader, json, arena);
    struct kvs_slice kind = kvs_audit_read_text(&reader, "kind");
    ret_proof->is_consistency = kvs_slice_eq(kind, KVS_SLICE("consistency"));
    if (!reader.err && !ret_proof->is_consistency && !kvs_slice_eq(kind, KVS_SLICE("inclusion")))
        return KVS_ERR_SYNTAX;
    return read_parts(&reader, ret_proof);
}

// ---- Checking

static const char *check_path(const struct kvs_audit_proof *proof, struct kvs_audit_hasher *hasher)
{
    const struct kvs_audit_seal *seal = &proof->seal;
    if (proof->is_consistency)
        return kvs_audit_consistency_holds(hasher, proof->from, seal->size, &proof->from_root,
                                           &proof->path, &seal->root)
                   ? NULL
                   : "the path does not lead from the earlier root to the signed one";
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
    kvs_audit_entry_encode_signed(&bytes, &proof->entry);
    kvs_audit_entry_encode_signature(&bytes, &proof->entry);
    struct kvs_audit_hash leaf = kvs_audit_hash_leaf(hasher, kvs_buf_slice(&bytes));
    bool holds = bytes.err == 0 && proof->entry.seq > 0 &&
                 kvs_audit_inclusion_holds(hasher, proof->entry.seq - 1, seal->size, &leaf,
                                           &proof->path, &seal->root);
    return holds ? NULL : "the path does not lead from the entry to the signed root";
}

// Does the chain lead from the log's first key to the seal's?
static bool chain_holds(const struct kvs_audit_proof *proof, const struct kvs_audit_hash *id)
{
    struct kvs_audit_public key = proof->log.genesis.public_key;
    if (proof->chain_count != proof->seal.epoch - 1)
        return false;
    for (size_t i = 0; i < proof->chain_count; i++)
        if (!kvs_audit_chain_step(&proof->chain[i], id, i + 1, &key))
            return false;
    return memcmp(key.bytes, proof->seal_key.bytes, sizeof(key.bytes)) == 0;
}

// A proof is as good as the root that it leads to: one that is known already needs no signature.
static bool is_pinned(const struct kvs_audit_proof *proof,
                      const struct kvs_audit_verify_options *options, bool *ret_contradicts)
{
    bool pinned = false;
    for (size_t i = 0; i < options->pin_count; i++) {
        const struct kvs_audit_pin *pin = &options->pins[i];
        bool is_seal = pin->size == proof->seal.size;
        bool is_from = proof->is_consistency && pin->size == proof->from;
        if (is_seal)
            pinned = kvs_audit_hash_eq(&pin->root, &proof->seal.root);
        *ret_contradicts |= is_seal && !pinned;
        *ret_contradicts |= is_from && !kvs_audit_hash_eq(&pin->root, &proof->from_root);
    }
    return pinned;
}

static const char *check_trust(const struct kvs_audit_proof *proof,
                               const struct kvs_audit_verify_options *options,
                               struct kvs_audit_hasher *hasher, enum kvs_audit_trust *ret_trust)
{
    bool contradicts = false;
    bool pinned = is_pinned(proof, options, &contradicts);
    struct kvs_audit_hash id = kvs_audit_genesis_id(&proof->log.genesis, hasher);
    if (contradicts)
        return "it leads to another root than the expected one";
    if (options->key && memcmp(options->key->bytes, proof->log.genesis.public_key.bytes,
                               sizeof(options->key->bytes)) != 0)
        return "it is of another log: its key is not the expected one";
    if (proof->seal.kind == KVS_AUDIT_BREAK)
        return "a break vouches for nothing";
    if (!kvs_audit_seal_holds(&proof->seal, &id, &proof->seal_key))
        return "the signature of the root does not hold";
    bool chained = (proof->has_chain || proof->seal.epoch == 1) && chain_holds(proof, &id);
    if (proof->has_chain && !chained)
        return "the chain of roots does not lead from the log's first key to the root's";
    *ret_trust = chained || pinned ? KVS_AUDIT_PROOF_GOOD : KVS_AUDIT_PROOF_KEY_UNKNOWN;
    return NULL;
}

int kvs_audit_proof_check(const struct kvs_audit_proof *proof,
                          const struct kvs_audit_verify_options *options,
                          enum kvs_audit_trust *ret_trust, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_audit_hasher_freep) struct kvs_audit_hasher *hasher = NULL;
    int err = kvs_audit_hasher_new(&hasher);
    if (err)
        return kvs_fail(ret_message, err, "out of memory");
    *ret_trust = KVS_AUDIT_PROOF_BAD;
    const char *fault = check_path(proof, hasher);
    if (!fault)
        fault = check_trust(proof, options, hasher, ret_trust);
    err = kvs_audit_hasher_error(hasher);
    if (err)
        return kvs_fail(ret_message, err, "out of memory");
    if (fault)
        (void)kvs_fail(ret_message, 0, "%s", fault);
    else if (proof->is_consistency)
        (void)kvs_fail(ret_message, 0,
                       "the log's first %" PRIu64 " entries are unchanged in the log of %" PRIu64,
                       proof->from, proof->seal.size);
    else
        (void)kvs_fail(ret_message, 0, "entry %" PRIu64 " belongs to the log of %" PRIu64,
                       proof->entry.seq, proof->seal.size);
    return 0;
}
