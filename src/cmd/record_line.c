// SPDX-License-Identifier: Apache-2.0
#include "cmd/record_line.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/duration.h"
#include "codec/json.h"
#include "codec/record.h"

enum member { PATH, DATA, TTL, EXPIRES, UUID, TIMESTAMP, MEMBER_COUNT };

static const char *const member_names[MEMBER_COUNT] = {
    [PATH] = "path", [DATA] = "data",           [TTL] = "ttl", [EXPIRES] = "expires_timestamp",
    [UUID] = "uuid", [TIMESTAMP] = "timestamp",
};

// Sorts the members of the object; each may stand once.
static int find_members(const struct kvs_json *root, struct kvs_arena *arena,
                        const struct kvs_json *ret_members[static MEMBER_COUNT],
                        struct kvs_message *message)
{
    if (root->type != KVS_JSON_OBJECT)
        return kvs_fail(message, KVS_ERR_INVALID, "no object with path and data");
    for (const struct kvs_json *each = root->child; each; each = each->next) {
        struct kvs_slice name;
        int err = kvs_json_key(each, arena, &name);
        if (err)
            return kvs_fail(message, err, "out of memory");
        size_t i = 0;
        while (i < MEMBER_COUNT && !kvs_slice_eq(name, kvs_slice_from_str(member_names[i])))
            i++;
        if (i == MEMBER_COUNT)
            return kvs_fail(message, KVS_ERR_INVALID, "unknown member '%.*s'", KVS_SLICE_FMT(name));
        if (ret_members[i])
            return kvs_fail(message, KVS_ERR_INVALID, "%s stands there twice", member_names[i]);
        ret_members[i] = each;
    }
    return 0;
}

static int read_text(const struct kvs_json *value, struct kvs_arena *arena, const char *name,
                     const char **ret_text, struct kvs_message *message)
{
    struct kvs_slice text;
    if (value->type != KVS_JSON_STRING)
        return kvs_fail(message, KVS_ERR_INVALID, "%s is no string", name);
    int err = kvs_json_string(value, arena, &text);
    struct kvs_slice copy = err ? KVS_SLICE_EMPTY : kvs_arena_copy(arena, text);
    if (!copy.data)
        return kvs_fail(message, KVS_ERR_NOMEM, "out of memory");
    if (memchr(copy.data, 0, copy.size))
        return kvs_fail(message, KVS_ERR_INVALID, "%s holds a NUL", name);
    *ret_text = copy.data;
    return 0;
}

static int read_expiry(const struct kvs_json *const members[static MEMBER_COUNT],
                       struct kvs_arena *arena, struct kvs_record_line *record,
                       struct kvs_message *message)
{
    int64_t ns = 0;
    if (members[TTL] && members[EXPIRES])
        return kvs_fail(message, KVS_ERR_INVALID, "ttl and expires_timestamp exclude each other");
    if (members[EXPIRES] &&
        (!kvs_json_to_i64(members[EXPIRES], &record->expires_ms) || record->expires_ms <= 0))
        return kvs_fail(message, KVS_ERR_INVALID, "expires_timestamp is no time in milliseconds");
    int err = members[TTL] ? read_text(members[TTL], arena, "ttl", &record->ttl, message) : 0;
    if (err)
        return err;
    if (record->ttl && *record->ttl &&
        (kvs_duration_parse(kvs_slice_from_str(record->ttl), &ns) < 0 || ns < 0))
        return kvs_fail(message, KVS_ERR_INVALID, "'%s' is no ttl like 30s or 1h30m", record->ttl);
    return 0;
}

int kvs_record_line_parse(struct kvs_slice line, struct kvs_arena *arena,
                          struct kvs_record_line *ret_record, struct kvs_message *message)
{
    struct kvs_json *root = NULL;
    struct kvs_json_error error;
    const struct kvs_json *members[MEMBER_COUNT] = {0};
    struct kvs_record_line record = {0};
    const char *reason = NULL;
    int err = kvs_json_parse(line, 0, arena, &root, &error);
    if (err == KVS_ERR_NOMEM)
        return kvs_fail(message, err, "out of memory");
    if (err)
        return kvs_fail(message, err, "no JSON: column %" PRIu32 ": %s", error.column,
                        error.reason);
    err = find_members(root, arena, members, message);
    if (err)
        return err;
    const struct kvs_json *path = members[PATH];
    const struct kvs_json *data = members[DATA];
    if (!path || !data)
        return kvs_fail(message, KVS_ERR_INVALID, "%s is missing", path ? "data" : "path");
    err = read_text(path, arena, "path", &record.key, message);
    if (!err)
        err = read_expiry(members, arena, &record, message);
    if (!err && !kvs_key_is_valid(kvs_slice_from_str(record.key), &reason))
        err = kvs_fail(message, KVS_ERR_INVALID, "bad key: %s", reason);
    if (err)
        return err;
    record.json = data->source;
    *ret_record = record;
    return 0;
}

void kvs_record_line_append(struct kvs_buf *out, const char *key, struct kvs_slice json,
                            int64_t expires_ms, const struct kvs_client_version *version)
{
    kvs_buf_append_slice(out, KVS_SLICE("{\"path\":"));
    kvs_json_write_string(out, kvs_slice_from_str(key));
    if (version)
        kvs_buf_printf(out, ",\"uuid\":\"%s\",\"timestamp\":%" PRId64, version->uuid,
                       version->timestamp_ms);
    kvs_buf_append_slice(out, KVS_SLICE(",\"data\":"));
    kvs_buf_append_slice(out, json);
    if (expires_ms) {
        kvs_buf_append_slice(out, KVS_SLICE(",\"expires_timestamp\":"));
        kvs_buf_append_i64(out, expires_ms);
    }
    kvs_buf_append_slice(out, KVS_SLICE("}\n"));
}

bool kvs_record_line_ttl(int64_t expires_ms, int64_t now_ms, char ret_ttl[static 32])
{
    if (expires_ms <= now_ms)
        return false;
    (void)snprintf(ret_ttl, 32, "%" PRId64 "ms", expires_ms - now_ms);
    return true;
}
