// SPDX-License-Identifier: Apache-2.0
// /kv/{key}/metadata: who owns a key, its group and its 12 permission bits. A record of its own: it
// may be there before the data and stay behind it, and holds for everything below that has none.
#include "api/account_internal.h"
#include "base/duration.h"

enum { NS_PER_MS = 1000 * 1000 };

static struct kvs_accounts *accounts_of(const struct kvs_api_call *call)
{
    return kvs_auth_accounts(call->api->options.auth);
}

// ---- GET

// What is left of the record's time to live: "0" without one, or without a record.
static int append_ttl(struct kvs_api_call *call, enum kvs_read_mode mode, struct kvs_buf *body)
{
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *record = NULL;
    char text[KVS_DURATION_TEXT_MAX] = "0";
    int err =
        kvs_node_get(call->api->options.node, kvs_auth_open_grant(), call->key, mode, &record);
    if (err && err != KVS_ERR_NOT_FOUND)
        return err;
    if (record && record->version.expires_at > 0) {
        int64_t left_ms = record->version.expires_at - kvs_clock_wall_ms(call->api->options.clock);
        if (left_ms > INT64_MAX / NS_PER_MS)
            left_ms = INT64_MAX / NS_PER_MS;
        (void)kvs_duration_format(left_ms * NS_PER_MS, text); // NUL-terminated
    }
    kvs_buf_printf(body, ",\"ttl\":\"%s\"", text);
    return 0;
}

static int show(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(4096); // until nothing can fail
    struct kvs_account_meta meta;
    if (!kvs_accounts_find_meta(accounts_of(call), call->key, &meta))
        return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "\"%.*s\" has no metadata of its own.",
                            KVS_SLICE_FMT(call->key));
    kvs_buf_append_char(&out, '{');
    kvs_account_append_uuid(&out, "owner_uuid", &meta.owner);
    kvs_buf_append_char(&out, ',');
    if (kvs_uuid_is_nil(&meta.group))
        kvs_buf_append_str(&out, "\"group_uuid\":null");
    else
        kvs_account_append_uuid(&out, "group_uuid", &meta.group);
    kvs_buf_printf(&out, ",\"permissions\":%u", (unsigned)meta.permissions);
    int err = append_ttl(call, mode, &out);
    if (err)
        return err;
    kvs_buf_append_str(&out, ",\"created_at\":");
    kvs_buf_append_i64(&out, meta.created_at);
    kvs_buf_append_str(&out, ",\"updated_at\":");
    kvs_buf_append_i64(&out, meta.updated_at);
    kvs_buf_append_char(&out, '}');
    kvs_buf_append_slice(kvs_account_begin(call, 200), kvs_buf_slice(&out));
    return out.err;
}

// ---- PUT

static int read_uuid(struct kvs_api_call *call, const struct kvs_json *body, const char *name,
                     bool may_be_none, struct kvs_uuid *uuid)
{
    const struct kvs_json *member = kvs_json_member(body, name);
    struct kvs_slice text = KVS_SLICE_EMPTY;
    if (!member)
        return 0;
    bool none = member->type == KVS_JSON_NULL;
    int err = none ? 0 : kvs_account_text(call, body, name, &text);
    if (err)
        return err;
    if (may_be_none && text.size == 0)
        *uuid = (struct kvs_uuid){{0}};
    else if (!kvs_uuid_parse(text, uuid))
        return kvs_api_fail(call, KVS_ERR_INVALID, "\"%s\" must be a UUID%s.", name,
                            may_be_none ? " or null" : "");
    return 0;
}

static int read_permissions(struct kvs_api_call *call, const struct kvs_json *body,
                            uint16_t *permissions)
{
    const struct kvs_json *member = kvs_json_member(body, "permissions");
    int64_t number = 0;
    if (!member)
        return 0;
    if (member->type != KVS_JSON_NUMBER || !kvs_json_to_i64(member, &number) || number < 0 ||
        number > KVS_PERMISSIONS_MAX)
        return kvs_api_fail(call, KVS_ERR_INVALID, "\"permissions\" must be a number from 0 to %d.",
                            KVS_PERMISSIONS_MAX);
    *permissions = (uint16_t)number;
    return 0;
}

static int write_meta(struct kvs_api_call *call, const struct kvs_account_meta *meta)
{
    struct kvs_account_batch batch;
    const struct kvs_account_name name = {.kind = KVS_ACCOUNT_META,
                                          .hash = kvs_account_hash_of(call->key)};
    const struct kvs_account_data data = {.path = call->key,
                                          .owner = meta->owner,
                                          .group = meta->group,
                                          .permissions = meta->permissions,
                                          .created_at = meta->created_at,
                                          .updated_at = meta->updated_at};
    struct kvs_audit_event event;
    kvs_api_account_batch(call, &batch, &event);
    kvs_account_batch_put(&batch, &name, &data, KVS_TTL_NONE);
    int err = kvs_api_account_commit(call, &batch);
    kvs_account_batch_done(&batch);
    return err;
}

static int set(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    const struct kvs_json *body = NULL;
    const struct kvs_uuid *caller = kvs_grant_user(call->grant);
    int64_t now_s = kvs_account_now_s(call);
    struct kvs_account_meta meta;
    if (!kvs_accounts_find_meta(accounts_of(call), call->key, &meta))
        meta = (struct kvs_account_meta){.owner = caller ? *caller : (struct kvs_uuid){{0}},
                                         .permissions = KVS_PERMISSIONS_DEFAULT,
                                         .created_at = now_s};
    meta.updated_at = now_s;
    int err = kvs_account_body(call, &body);
    if (!err)
        err = read_uuid(call, body, "owner_uuid", false, &meta.owner);
    if (!err)
        err = read_uuid(call, body, "group_uuid", true, &meta.group);
    if (!err)
        err = read_permissions(call, body, &meta.permissions);
    if (!err)
        err = write_meta(call, &meta);
    return err ? err : show(call, mode);
}

// ---- DELETE

static int delete_one(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct kvs_account_meta meta;
    struct kvs_account_batch batch;
    const struct kvs_account_name name = {.kind = KVS_ACCOUNT_META,
                                          .hash = kvs_account_hash_of(call->key)};
    if (!kvs_accounts_find_meta(accounts_of(call), call->key, &meta))
        return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "\"%.*s\" has no metadata of its own.",
                            KVS_SLICE_FMT(call->key));
    struct kvs_audit_event event;
    kvs_api_account_batch(call, &batch, &event);
    kvs_account_batch_delete(&batch, &name);
    int err = kvs_api_account_commit(call, &batch);
    kvs_account_batch_done(&batch);
    if (!err)
        call->exchange->response.status = 204;
    return err;
}

// ---- Handlers

void kvs_api_metadata_get(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read(call, show);
}

void kvs_api_metadata_put(struct kvs_api_call *call)
{
    kvs_account_run(call, set);
}

void kvs_api_metadata_delete(struct kvs_api_call *call)
{
    kvs_account_run(call, delete_one);
}
