// SPDX-License-Identifier: Apache-2.0
#include "audit/entry.h"

#include "audit/text_internal.h"
#include "base/assert.h"
#include "base/utf8.h"
#include "codec/wire.h"

enum { FLAG_USER = 1 };

struct kvs_slice kvs_audit_text(struct kvs_slice text, size_t size_max, char *scratch)
{
    const char *p = text.size > 0 ? text.data : "";
    const char *end = p + text.size;
    bool changed = false;
    size_t used = 0;
    while (p < end) {
        size_t size = 0;
        bool valid = kvs_utf8_step(p, end, &size);
        if (used + (valid ? size : 1) > size_max)
            break;
        if (valid)
            memcpy(scratch + used, p, size);
        else
            scratch[used] = '?';
        changed |= !valid;
        used += valid ? size : 1;
        p += size;
    }
    return changed ? kvs_slice(scratch, used) : kvs_slice(text.data, used);
}

// ---- Bytes

void kvs_audit_entry_encode_signed(struct kvs_buf *out, const struct kvs_audit_entry *entry)
{
    kvs_wire_put_u8(out, KVS_AUDIT_ENTRY_FORMAT);
    kvs_wire_put_u64be(out, entry->seq);
    kvs_wire_put_u64be(out, (uint64_t)entry->timestamp);
    kvs_wire_put_u8(out, entry->has_user ? FLAG_USER : 0);
    if (entry->has_user)
        kvs_wire_put_uuid(out, &entry->user);
    kvs_wire_put_bytes(out, entry->action);
    kvs_wire_put_bytes(out, entry->outcome);
    kvs_wire_put_bytes(out, entry->request_id);
    kvs_wire_put_bytes(out, entry->resource);
    kvs_buf_append_slice(out, kvs_audit_hash_slice(&entry->prev));
}

void kvs_audit_entry_encode_signature(struct kvs_buf *out, const struct kvs_audit_entry *entry)
{
    kvs_buf_append_slice(out, kvs_audit_hash_slice(&entry->signature));
}

struct kvs_slice kvs_audit_entry_signed_part(struct kvs_slice encoded)
{
    kvs_assert(encoded.size >= KVS_AUDIT_HASH_SIZE);
    return kvs_slice(encoded.data, encoded.size - KVS_AUDIT_HASH_SIZE);
}

static struct kvs_slice get_text(struct kvs_cursor *cursor, size_t size_max)
{
    struct kvs_slice text = kvs_wire_get_bytes(cursor, size_max);
    const char *start = text.size > 0 ? text.data : "";
    const char *end = start + text.size;
    size_t size = 0;
    for (const char *p = start; p < end; p += size)
        if (!kvs_utf8_step(p, end, &size))
            cursor->bad = true;
    return text;
}

static void get_hash(struct kvs_cursor *cursor, struct kvs_audit_hash *ret_hash)
{
    if (cursor->bad || cursor->end - cursor->at < KVS_AUDIT_HASH_SIZE) {
        cursor->bad = true;
        return;
    }
    memcpy(ret_hash->bytes, cursor->at, KVS_AUDIT_HASH_SIZE);
    cursor->at += KVS_AUDIT_HASH_SIZE;
}

int kvs_audit_entry_decode(struct kvs_slice encoded, struct kvs_audit_entry *ret_entry)
{
    struct kvs_cursor cursor = kvs_cursor(encoded);
    uint8_t format = kvs_wire_get_u8(&cursor);
    if (!cursor.bad && format > KVS_AUDIT_ENTRY_FORMAT)
        return KVS_ERR_VERSION;
    *ret_entry = (struct kvs_audit_entry){.seq = kvs_wire_get_u64be(&cursor)};
    ret_entry->timestamp = (int64_t)kvs_wire_get_u64be(&cursor);
    uint8_t flags = kvs_wire_get_u8(&cursor);
    ret_entry->has_user = flags & FLAG_USER;
    if (ret_entry->has_user)
        ret_entry->user = kvs_wire_get_uuid(&cursor);
    ret_entry->action = get_text(&cursor, KVS_AUDIT_NAME_MAX);
    ret_entry->outcome = get_text(&cursor, KVS_AUDIT_NAME_MAX);
    ret_entry->request_id = get_text(&cursor, KVS_AUDIT_REQUEST_ID_MAX);
    ret_entry->resource = get_text(&cursor, KVS_AUDIT_RESOURCE_MAX);
    get_hash(&cursor, &ret_entry->prev);
    get_hash(&cursor, &ret_entry->signature);
    bool good = kvs_cursor_finished(&cursor) && format == KVS_AUDIT_ENTRY_FORMAT &&
                (flags & ~FLAG_USER) == 0;
    return good ? 0 : KVS_ERR_CORRUPT;
}

// ---- JSON

static void append_text_member(struct kvs_buf *out, const char *name, struct kvs_slice text)
{
    kvs_buf_append_slice(out, KVS_SLICE(",\""));
    kvs_buf_append_str(out, name);
    kvs_buf_append_slice(out, KVS_SLICE("\":"));
    kvs_json_write_string(out, text);
}

void kvs_audit_entry_append_json(struct kvs_buf *out, const struct kvs_audit_entry *entry)
{
    kvs_buf_append_slice(out, KVS_SLICE("{\"seq\":"));
    kvs_buf_append_u64(out, entry->seq);
    kvs_buf_append_slice(out, KVS_SLICE(",\"timestamp\":"));
    kvs_audit_append_time(out, entry->timestamp);
    append_text_member(out, "action", entry->action);
    kvs_buf_append_slice(out, KVS_SLICE(",\"user_uuid\":"));
    if (entry->has_user)
        kvs_audit_append_uuid(out, &entry->user);
    else
        kvs_buf_append_slice(out, KVS_SLICE("null"));
    append_text_member(out, "resource", entry->resource);
    append_text_member(out, "request_id", entry->request_id);
    append_text_member(out, "outcome", entry->outcome);
    kvs_audit_append_hex_member(out, "prev", entry->prev.bytes, KVS_AUDIT_HASH_SIZE);
    kvs_audit_append_hex_member(out, "signature", entry->signature.bytes, KVS_AUDIT_HASH_SIZE);
    kvs_buf_append_char(out, '}');
}

static struct kvs_slice read_text(struct kvs_audit_reader *reader, const char *name,
                                  size_t size_max)
{
    struct kvs_slice text = kvs_audit_read_text(reader, name);
    if (text.size > size_max)
        reader->err = KVS_ERR_SYNTAX;
    return text;
}

static bool is_exact(const struct kvs_audit_entry *entry, struct kvs_slice json)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(KVS_AUDIT_LINE_MAX);
    kvs_audit_entry_append_json(&again, entry);
    return again.err == 0 && kvs_slice_eq(kvs_buf_slice(&again), json);
}

int kvs_audit_entry_parse_json(struct kvs_slice json, struct kvs_arena *arena,
                               struct kvs_audit_entry *ret_entry)
{
    struct kvs_audit_reader reader;
    kvs_audit_reader_init(&reader, json, arena);
    *ret_entry = (struct kvs_audit_entry){
        .seq = kvs_audit_read_u64(&reader, "seq"),
        .timestamp = kvs_audit_read_time(&reader, "timestamp"),
        .action = read_text(&reader, "action", KVS_AUDIT_NAME_MAX),
        .resource = read_text(&reader, "resource", KVS_AUDIT_RESOURCE_MAX),
        .request_id = read_text(&reader, "request_id", KVS_AUDIT_REQUEST_ID_MAX),
        .outcome = read_text(&reader, "outcome", KVS_AUDIT_NAME_MAX),
    };
    const struct kvs_json *user = reader.err ? NULL : kvs_json_member(reader.object, "user_uuid");
    ret_entry->has_user = user && user->type != KVS_JSON_NULL;
    if (ret_entry->has_user)
        ret_entry->user = kvs_audit_read_uuid(&reader, "user_uuid");
    kvs_audit_read_hex(&reader, "prev", ret_entry->prev.bytes, KVS_AUDIT_HASH_SIZE);
    kvs_audit_read_hex(&reader, "signature", ret_entry->signature.bytes, KVS_AUDIT_HASH_SIZE);
    if (reader.err)
        return reader.err;
    return is_exact(ret_entry, json) ? 0 : KVS_ERR_SYNTAX;
}
