// SPDX-License-Identifier: Apache-2.0
#include "audit/seal.h"

#include "codec/wire.h"

enum { SEAL_SIZE_MAX = 512 };

static void get_bytes(struct kvs_cursor *cursor, void *ret_bytes, size_t size)
{
    if (cursor->bad || (size_t)(cursor->end - cursor->at) < size) {
        cursor->bad = true;
        return;
    }
    memcpy(ret_bytes, cursor->at, size);
    cursor->at += size;
}

// ---- Genesis

void kvs_audit_genesis_encode(struct kvs_buf *out, const struct kvs_audit_genesis *genesis)
{
    kvs_wire_put_u8(out, KVS_AUDIT_GENESIS_FORMAT);
    kvs_wire_put_uuid(out, &genesis->node);
    kvs_wire_put_u64be(out, (uint64_t)genesis->created);
    kvs_buf_append(out, genesis->public_key.bytes, sizeof(genesis->public_key.bytes));
}

int kvs_audit_genesis_decode(struct kvs_slice encoded, struct kvs_audit_genesis *ret_genesis)
{
    struct kvs_cursor cursor = kvs_cursor(encoded);
    uint8_t format = kvs_wire_get_u8(&cursor);
    if (!cursor.bad && format > KVS_AUDIT_GENESIS_FORMAT)
        return KVS_ERR_VERSION;
    ret_genesis->node = kvs_wire_get_uuid(&cursor);
    ret_genesis->created = (int64_t)kvs_wire_get_u64be(&cursor);
    get_bytes(&cursor, ret_genesis->public_key.bytes, sizeof(ret_genesis->public_key.bytes));
    return kvs_cursor_finished(&cursor) && format == KVS_AUDIT_GENESIS_FORMAT ? 0 : KVS_ERR_CORRUPT;
}

struct kvs_audit_hash kvs_audit_genesis_id(const struct kvs_audit_genesis *genesis,
                                           struct kvs_audit_hasher *hasher)
{
    char memory[128]; // of fixed size: no allocation, no failure
    struct kvs_buf bytes = {.data = memory, .capacity = sizeof(memory), .size_max = sizeof(memory)};
    kvs_buf_append_slice(&bytes, KVS_SLICE("kvs audit log"));
    kvs_audit_genesis_encode(&bytes, genesis);
    return kvs_audit_hash_bytes(hasher, kvs_buf_slice(&bytes));
}

// ---- Seals

static void encode_signed(struct kvs_buf *out, const struct kvs_audit_seal *seal)
{
    kvs_wire_put_u8(out, KVS_AUDIT_SEAL_FORMAT);
    kvs_wire_put_u8(out, (uint8_t)seal->kind);
    kvs_wire_put_u64be(out, seal->epoch);
    kvs_wire_put_u64be(out, seal->size);
    kvs_wire_put_u64be(out, (uint64_t)seal->timestamp);
    kvs_buf_append_slice(out, kvs_audit_hash_slice(&seal->root));
    kvs_buf_append(out, seal->next_key.bytes, sizeof(seal->next_key.bytes));
    kvs_buf_append_slice(out, kvs_audit_hash_slice(&seal->mac_key));
}

void kvs_audit_seal_encode(struct kvs_buf *out, const struct kvs_audit_seal *seal)
{
    encode_signed(out, seal);
    kvs_buf_append(out, seal->signature.bytes, sizeof(seal->signature.bytes));
}

int kvs_audit_seal_decode(struct kvs_slice encoded, struct kvs_audit_seal *ret_seal)
{
    struct kvs_cursor cursor = kvs_cursor(encoded);
    uint8_t format = kvs_wire_get_u8(&cursor);
    if (!cursor.bad && format > KVS_AUDIT_SEAL_FORMAT)
        return KVS_ERR_VERSION;
    uint8_t kind = kvs_wire_get_u8(&cursor);
    *ret_seal = (struct kvs_audit_seal){.kind = kind, .epoch = kvs_wire_get_u64be(&cursor)};
    ret_seal->size = kvs_wire_get_u64be(&cursor);
    ret_seal->timestamp = (int64_t)kvs_wire_get_u64be(&cursor);
    get_bytes(&cursor, ret_seal->root.bytes, sizeof(ret_seal->root.bytes));
    get_bytes(&cursor, ret_seal->next_key.bytes, sizeof(ret_seal->next_key.bytes));
    get_bytes(&cursor, ret_seal->mac_key.bytes, sizeof(ret_seal->mac_key.bytes));
    get_bytes(&cursor, ret_seal->signature.bytes, sizeof(ret_seal->signature.bytes));
    bool good = kvs_cursor_finished(&cursor) && format == KVS_AUDIT_SEAL_FORMAT &&
                (kind == KVS_AUDIT_ROOT || kind == KVS_AUDIT_BREAK) && ret_seal->epoch > 0;
    return good ? 0 : KVS_ERR_CORRUPT;
}

static struct kvs_slice signed_message(struct kvs_buf *message, const struct kvs_audit_seal *seal,
                                       const struct kvs_audit_hash *id)
{
    kvs_buf_append_slice(message, KVS_SLICE("kvs audit seal"));
    kvs_buf_append_slice(message, kvs_audit_hash_slice(id));
    encode_signed(message, seal);
    return kvs_buf_slice(message);
}

int kvs_audit_seal_sign(struct kvs_audit_seal *seal, const struct kvs_audit_hash *id,
                        const struct kvs_audit_signer *signer)
{
    char memory[SEAL_SIZE_MAX];
    struct kvs_buf message = {
        .data = memory, .capacity = sizeof(memory), .size_max = sizeof(memory)};
    return kvs_audit_sign(signer, signed_message(&message, seal, id), &seal->signature);
}

bool kvs_audit_seal_holds(const struct kvs_audit_seal *seal, const struct kvs_audit_hash *id,
                          const struct kvs_audit_public *key)
{
    char memory[SEAL_SIZE_MAX];
    struct kvs_buf message = {
        .data = memory, .capacity = sizeof(memory), .size_max = sizeof(memory)};
    return kvs_audit_signature_holds(key, signed_message(&message, seal, id), &seal->signature);
}

// ---- Head

void kvs_audit_head_encode(struct kvs_buf *out, const struct kvs_audit_head *head)
{
    kvs_wire_put_u8(out, 1);
    kvs_wire_put_u64be(out, head->epoch);
    kvs_wire_put_u64be(out, head->tree.size);
    kvs_buf_append_slice(out, kvs_audit_hash_slice(&head->leaf));
    for (unsigned level = KVS_AUDIT_TREE_HEIGHT; level-- > 0;)
        if (head->tree.size >> level & 1)
            kvs_buf_append_slice(out, kvs_audit_hash_slice(&head->tree.peaks[level]));
}

int kvs_audit_head_decode(struct kvs_slice encoded, struct kvs_audit_head *ret_head,
                          struct kvs_slice *ret_signed, struct kvs_audit_hash *ret_mac)
{
    struct kvs_cursor cursor = kvs_cursor(encoded);
    uint8_t format = kvs_wire_get_u8(&cursor);
    if (!cursor.bad && format > 1)
        return KVS_ERR_VERSION;
    ret_head->epoch = kvs_wire_get_u64be(&cursor);
    ret_head->tree.size = kvs_wire_get_u64be(&cursor);
    get_bytes(&cursor, ret_head->leaf.bytes, sizeof(ret_head->leaf.bytes));
    for (unsigned level = KVS_AUDIT_TREE_HEIGHT; level-- > 0;)
        if (ret_head->tree.size >> level & 1)
            get_bytes(&cursor, ret_head->tree.peaks[level].bytes, KVS_AUDIT_HASH_SIZE);
    *ret_signed = kvs_slice(encoded.data, (size_t)(cursor.at - encoded.data));
    get_bytes(&cursor, ret_mac->bytes, sizeof(ret_mac->bytes));
    return kvs_cursor_finished(&cursor) && format == 1 ? 0 : KVS_ERR_CORRUPT;
}
