// SPDX-License-Identifier: Apache-2.0
#include "audit/text.h"

#include "audit/text_internal.h"
#include "base/civil.h"
#include "base/timefmt.h"

bool kvs_audit_time_parse(struct kvs_slice text, int64_t *ret_unix_ms)
{
    static const char shape[KVS_RFC3339_SIZE + 1] = "0000-00-00T00:00:00.000Z";
    int64_t numbers[7] = {0}; // year, month, day, hour, minute, second, milliseconds
    size_t number = 0;
    if (text.size != KVS_RFC3339_SIZE)
        return false;
    for (size_t i = 0; i < KVS_RFC3339_SIZE; i++) {
        bool digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (shape[i] == '0' && digit)
            numbers[number] = numbers[number] * 10 + (text.data[i] - '0');
        else if (shape[i] == '0' || text.data[i] != shape[i])
            return false;
        else
            number++;
    }
    int64_t days = kvs_civil_days(numbers[0], numbers[1], numbers[2]);
    int64_t unix_ms =
        ((days * 24 + numbers[3]) * 60 + numbers[4]) * 60000 + numbers[5] * 1000 + numbers[6];
    char again[KVS_RFC3339_SIZE];
    kvs_time_rfc3339(unix_ms, again); // the 31st of April would come back as another day
    *ret_unix_ms = unix_ms;
    return kvs_slice_eq(text, kvs_slice(again, sizeof(again)));
}

void kvs_audit_reader_init(struct kvs_audit_reader *reader, struct kvs_slice json,
                           struct kvs_arena *arena)
{
    struct kvs_json *root = NULL;
    *reader = (struct kvs_audit_reader){.arena = arena};
    reader->err = kvs_json_parse(json, KVS_JSON_UNIQUE_KEYS, arena, &root, NULL);
    if (!reader->err && root->type != KVS_JSON_OBJECT)
        reader->err = KVS_ERR_SYNTAX;
    reader->object = root;
}

static const struct kvs_json *member(struct kvs_audit_reader *reader, const char *name)
{
    const struct kvs_json *found = reader->err ? NULL : kvs_json_member(reader->object, name);
    if (!found && !reader->err)
        reader->err = KVS_ERR_SYNTAX;
    return found;
}

struct kvs_slice kvs_audit_read_text(struct kvs_audit_reader *reader, const char *name)
{
    struct kvs_slice text = KVS_SLICE_EMPTY;
    const struct kvs_json *value = member(reader, name);
    if (!value)
        return text;
    int err = kvs_json_string(value, reader->arena, &text);
    if (err)
        reader->err = err == KVS_ERR_NOMEM ? err : KVS_ERR_SYNTAX;
    return text;
}

uint64_t kvs_audit_read_u64(struct kvs_audit_reader *reader, const char *name)
{
    uint64_t value = 0;
    const struct kvs_json *found = member(reader, name);
    if (found && (found->type != KVS_JSON_NUMBER || !kvs_slice_to_u64(found->source, &value)))
        reader->err = KVS_ERR_SYNTAX;
    return value;
}

int64_t kvs_audit_read_time(struct kvs_audit_reader *reader, const char *name)
{
    int64_t unix_ms = 0;
    struct kvs_slice text = kvs_audit_read_text(reader, name);
    if (!reader->err && !kvs_audit_time_parse(text, &unix_ms))
        reader->err = KVS_ERR_SYNTAX;
    return unix_ms;
}

struct kvs_uuid kvs_audit_read_uuid(struct kvs_audit_reader *reader, const char *name)
{
    struct kvs_uuid uuid = {{0}};
    struct kvs_slice text = kvs_audit_read_text(reader, name);
    if (!reader->err && !kvs_uuid_parse(text, &uuid))
        reader->err = KVS_ERR_SYNTAX;
    return uuid;
}

void kvs_audit_read_hex(struct kvs_audit_reader *reader, const char *name, void *ret_bytes,
                        size_t size)
{
    struct kvs_slice text = kvs_audit_read_text(reader, name);
    if (!reader->err && !kvs_audit_hex_parse(text, ret_bytes, size))
        reader->err = KVS_ERR_SYNTAX;
}

void kvs_audit_append_hex_member(struct kvs_buf *out, const char *name, const void *bytes,
                                 size_t size)
{
    kvs_buf_append_slice(out, KVS_SLICE(",\""));
    kvs_buf_append_str(out, name);
    kvs_buf_append_slice(out, KVS_SLICE("\":\""));
    kvs_audit_hex_append(out, bytes, size);
    kvs_buf_append_char(out, '"');
}

void kvs_audit_append_time(struct kvs_buf *out, int64_t unix_ms)
{
    char *at = kvs_buf_reserve(out, KVS_RFC3339_SIZE + 2);
    if (!at)
        return;
    at[0] = at[KVS_RFC3339_SIZE + 1] = '"';
    kvs_time_rfc3339(unix_ms, at + 1);
    out->size += KVS_RFC3339_SIZE + 2;
}

void kvs_audit_append_uuid(struct kvs_buf *out, const struct kvs_uuid *uuid)
{
    char *at = kvs_buf_reserve(out, KVS_UUID_TEXT_SIZE + 2);
    if (!at)
        return;
    at[0] = at[KVS_UUID_TEXT_SIZE + 1] = '"';
    kvs_uuid_format(uuid, at + 1);
    out->size += KVS_UUID_TEXT_SIZE + 2;
}
