// SPDX-License-Identifier: Apache-2.0
#include "audit/seal.h"
#include "audit/text_internal.h"

static const char *const kind_names[] = {
    [KVS_AUDIT_ROOT] = "root", [KVS_AUDIT_BREAK] = "break", [KVS_AUDIT_CHECKPOINT] = "checkpoint"};

void kvs_audit_seal_append_json(struct kvs_buf *out, const struct kvs_audit_seal *seal)
{
    kvs_buf_append_slice(out, KVS_SLICE("{\"kind\":\""));
    kvs_buf_append_str(out, kind_names[seal->kind]);
    kvs_buf_append_slice(out, KVS_SLICE("\",\"epoch\":"));
    kvs_buf_append_u64(out, seal->epoch);
    kvs_buf_append_slice(out, KVS_SLICE(",\"size\":"));
    kvs_buf_append_u64(out, seal->size);
    kvs_buf_append_slice(out, KVS_SLICE(",\"timestamp\":"));
    kvs_audit_append_time(out, seal->timestamp);
    kvs_audit_append_hex_member(out, "root", seal->root.bytes, sizeof(seal->root.bytes));
    if (seal->kind != KVS_AUDIT_CHECKPOINT)
        kvs_audit_append_hex_member(out, "next_key", seal->next_key.bytes,
                                    sizeof(seal->next_key.bytes));
    if (seal->kind == KVS_AUDIT_ROOT)
        kvs_audit_append_hex_member(out, "mac_key", seal->mac_key.bytes,
                                    sizeof(seal->mac_key.bytes));
    kvs_audit_append_hex_member(out, "signature", seal->signature.bytes,
                                sizeof(seal->signature.bytes));
    kvs_buf_append_char(out, '}');
}

static bool seal_is_exact(const struct kvs_audit_seal *seal, struct kvs_slice json)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(KVS_AUDIT_LINE_MAX);
    kvs_audit_seal_append_json(&again, seal);
    return again.err == 0 && kvs_slice_eq(kvs_buf_slice(&again), json);
}

int kvs_audit_seal_parse_json(struct kvs_slice json, struct kvs_arena *arena,
                              struct kvs_audit_seal *ret_seal)
{
    struct kvs_audit_reader reader;
    kvs_audit_reader_init(&reader, json, arena);
    *ret_seal = (struct kvs_audit_seal){0};
    struct kvs_slice name = kvs_audit_read_text(&reader, "kind");
    for (size_t kind = KVS_AUDIT_ROOT; kind < KVS_ARRAY_SIZE(kind_names); kind++)
        if (kvs_slice_eq(name, kvs_slice_from_str(kind_names[kind])))
            ret_seal->kind = (enum kvs_audit_seal_kind)kind;
    if (!reader.err && !ret_seal->kind)
        return KVS_ERR_SYNTAX;
    ret_seal->epoch = kvs_audit_read_u64(&reader, "epoch");
    ret_seal->size = kvs_audit_read_u64(&reader, "size");
    ret_seal->timestamp = kvs_audit_read_time(&reader, "timestamp");
    kvs_audit_read_hex(&reader, "root", ret_seal->root.bytes, sizeof(ret_seal->root.bytes));
    if (ret_seal->kind != KVS_AUDIT_CHECKPOINT)
        kvs_audit_read_hex(&reader, "next_key", ret_seal->next_key.bytes,
                           sizeof(ret_seal->next_key.bytes));
    if (ret_seal->kind == KVS_AUDIT_ROOT)
        kvs_audit_read_hex(&reader, "mac_key", ret_seal->mac_key.bytes,
                           sizeof(ret_seal->mac_key.bytes));
    kvs_audit_read_hex(&reader, "signature", ret_seal->signature.bytes,
                       sizeof(ret_seal->signature.bytes));
    if (reader.err)
        return reader.err;
    return ret_seal->epoch > 0 && seal_is_exact(ret_seal, json) ? 0 : KVS_ERR_SYNTAX;
}

// ---- Header

void kvs_audit_header_append_json(struct kvs_buf *out, const struct kvs_audit_header *header)
{
    kvs_buf_append_slice(out, KVS_SLICE("{\"kind\":\"log\",\"version\":1,\"node\":"));
    kvs_audit_append_uuid(out, &header->genesis.node);
    kvs_buf_append_slice(out, KVS_SLICE(",\"created\":"));
    kvs_audit_append_time(out, header->genesis.created);
    kvs_audit_append_hex_member(out, "key", header->genesis.public_key.bytes,
                                sizeof(header->genesis.public_key.bytes));
    kvs_buf_append_slice(out, KVS_SLICE(",\"first\":"));
    kvs_buf_append_u64(out, header->before.size + 1);
    kvs_audit_append_hex_member(out, "prev", header->prev.bytes, sizeof(header->prev.bytes));
    kvs_buf_append_slice(out, KVS_SLICE(",\"peaks\":["));
    bool more = false;
    for (unsigned level = KVS_AUDIT_TREE_HEIGHT; level-- > 0;) {
        if (!(header->before.size >> level & 1))
            continue;
        kvs_buf_append_str(out, more ? ",\"" : "\"");
        kvs_audit_hex_append(out, header->before.peaks[level].bytes, KVS_AUDIT_HASH_SIZE);
        kvs_buf_append_char(out, '"');
        more = true;
    }
    kvs_buf_append_slice(out, KVS_SLICE("]}"));
}

static void read_peaks(struct kvs_audit_reader *reader, struct kvs_audit_tree *tree)
{
    const struct kvs_json *array = reader->err ? NULL : kvs_json_member(reader->object, "peaks");
    const struct kvs_json *item = array ? array->child : NULL;
    for (unsigned level = KVS_AUDIT_TREE_HEIGHT; level-- > 0;) {
        struct kvs_slice text = KVS_SLICE_EMPTY;
        if (reader->err || !(tree->size >> level & 1))
            continue;
        if (!item || kvs_json_string(item, reader->arena, &text) != 0 ||
            !kvs_audit_hex_parse(text, tree->peaks[level].bytes, KVS_AUDIT_HASH_SIZE))
            reader->err = KVS_ERR_SYNTAX;
        item = item ? item->next : NULL;
    }
}

static bool header_is_exact(const struct kvs_audit_header *header, struct kvs_slice json)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(KVS_AUDIT_LINE_MAX);
    kvs_audit_header_append_json(&again, header);
    return again.err == 0 && kvs_slice_eq(kvs_buf_slice(&again), json);
}

int kvs_audit_header_parse_json(struct kvs_slice json, struct kvs_arena *arena,
                                struct kvs_audit_header *ret_header)
{
    struct kvs_audit_reader reader;
    kvs_audit_reader_init(&reader, json, arena);
    *ret_header = (struct kvs_audit_header){0};
    if (!kvs_slice_eq(kvs_audit_read_text(&reader, "kind"), KVS_SLICE("log")))
        return reader.err ? reader.err : KVS_ERR_SYNTAX;
    if (kvs_audit_read_u64(&reader, "version") != 1)
        return reader.err ? reader.err : KVS_ERR_VERSION;
    ret_header->genesis.node = kvs_audit_read_uuid(&reader, "node");
    ret_header->genesis.created = kvs_audit_read_time(&reader, "created");
    kvs_audit_read_hex(&reader, "key", ret_header->genesis.public_key.bytes,
                       sizeof(ret_header->genesis.public_key.bytes));
    ret_header->before.size = kvs_audit_read_u64(&reader, "first") - 1;
    kvs_audit_read_hex(&reader, "prev", ret_header->prev.bytes, sizeof(ret_header->prev.bytes));
    read_peaks(&reader, &ret_header->before);
    if (reader.err)
        return reader.err;
    return header_is_exact(ret_header, json) ? 0 : KVS_ERR_SYNTAX;
}
