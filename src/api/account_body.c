// SPDX-License-Identifier: Apache-2.0
// Bodies of the account routes: one JSON object, no member twice, each member of the type it must
// have. Members that no one asked for are ignored.
#include "api/account_internal.h"

#include <stdio.h>

enum { NAME_SIZE_MAX = 1024, UUIDS_MAX = 20000 };

int kvs_account_body(struct kvs_api_call *call, const struct kvs_json **ret_object)
{
    struct kvs_slice text = call->exchange->request.body;
    struct kvs_json *root = NULL;
    struct kvs_json_error error;
    if (text.size == 0)
        return kvs_api_fail(call, KVS_ERR_SYNTAX, "The body is empty: send a JSON object.");
    int err = kvs_json_parse(text, KVS_JSON_UNIQUE_KEYS, &call->exchange->arena, &root, &error);
    if (err == KVS_ERR_SYNTAX)
        return kvs_api_fail(call, err, "Invalid JSON at line %u, column %u: %s.", error.line,
                            error.column, error.reason);
    if (err)
        return err;
    if (root->type != KVS_JSON_OBJECT)
        return kvs_api_fail(call, KVS_ERR_INVALID, "The body must be a JSON object.");
    *ret_object = root;
    return 0;
}

int kvs_account_text(struct kvs_api_call *call, const struct kvs_json *object, const char *name,
                     struct kvs_slice *ret_text)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    *ret_text = KVS_SLICE_EMPTY;
    if (!member)
        return 0;
    if (member->type != KVS_JSON_STRING)
        return kvs_api_fail(call, KVS_ERR_INVALID, "\"%s\" must be a string.", name);
    int err = kvs_json_string(member, &call->exchange->arena, ret_text);
    if (!err && !ret_text->data)
        *ret_text = KVS_SLICE(""); // there, though empty
    return err;
}

int kvs_account_name(struct kvs_api_call *call, const struct kvs_json *object, const char *name,
                     bool required, struct kvs_account_hash *ret_hash, bool *ret_found)
{
    struct kvs_slice text;
    int err = kvs_account_text(call, object, name, &text);
    if (err)
        return err;
    *ret_found = text.data != NULL;
    if (!*ret_found && !required)
        return 0;
    if (text.size == 0 || text.size > NAME_SIZE_MAX)
        return kvs_api_fail(call, KVS_ERR_INVALID, "\"%s\" must be a string of 1 to %d bytes.",
                            name, NAME_SIZE_MAX);
    *ret_hash = kvs_account_hash_of(text);
    return 0;
}

static int compare_uuids(const void *a, const void *b)
{
    return kvs_uuid_cmp(a, b);
}

// Sorted, each once.
static uint32_t sort_unique(struct kvs_uuid *uuids, uint32_t count)
{
    uint32_t kept = 0;
    qsort(uuids, count, sizeof(*uuids), compare_uuids);
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || kvs_uuid_cmp(&uuids[i], &uuids[kept - 1]) != 0)
            uuids[kept++] = uuids[i];
    return kept;
}

int kvs_account_uuids(struct kvs_api_call *call, const struct kvs_json *object, const char *name,
                      struct kvs_account_uuids *ret_list)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    *ret_list = (struct kvs_account_uuids){.found = member != NULL};
    if (!member)
        return 0;
    if (member->type != KVS_JSON_ARRAY || member->child_count > UUIDS_MAX)
        return kvs_api_fail(call, KVS_ERR_INVALID, "\"%s\" must be an array of at most %d UUIDs.",
                            name, UUIDS_MAX);
    ret_list->items = kvs_api_alloc(call, member->child_count * sizeof(*ret_list->items) + 1);
    if (!ret_list->items)
        return KVS_ERR_NOMEM;
    for (const struct kvs_json *item = member->child; item; item = item->next) {
        struct kvs_slice text = KVS_SLICE_EMPTY;
        if (item->type != KVS_JSON_STRING ||
            kvs_json_string(item, &call->exchange->arena, &text) != 0 ||
            !kvs_uuid_parse(text, &ret_list->items[ret_list->count]))
            return kvs_api_fail(call, KVS_ERR_INVALID, "\"%s\" holds something that is no UUID.",
                                name);
        ret_list->count++;
    }
    ret_list->count = sort_unique(ret_list->items, ret_list->count);
    return 0;
}

bool kvs_account_uuids_hold(const struct kvs_account_uuids *list, const struct kvs_uuid *uuid)
{
    return list->count > 0 && bsearch(uuid, list->items, list->count, sizeof(*uuid), compare_uuids);
}

int kvs_account_check_exist(struct kvs_api_call *call, enum kvs_account_kind kind,
                            const struct kvs_account_uuids *list)
{
    struct kvs_accounts *accounts = kvs_auth_accounts(call->api->options.auth);
    for (uint32_t i = 0; i < list->count; i++) {
        struct kvs_account_user user;
        char text[KVS_UUID_TEXT_SIZE];
        if (kvs_accounts_find(accounts, kind, &list->items[i], &user))
            continue;
        kvs_uuid_format(&list->items[i], text);
        return kvs_api_fail(call, KVS_ERR_INVALID, "There is no %s %.*s.",
                            kind == KVS_ACCOUNT_USER ? "user" : "group", KVS_UUID_TEXT_SIZE, text);
    }
    return 0;
}

// ---- Results

void kvs_account_append_hash(struct kvs_buf *out, const char *name,
                             const struct kvs_account_hash *hash)
{
    kvs_buf_printf(out, "\"%s\":\"%.*s\"", name, KVS_SHA3_TEXT_SIZE, hash->text);
}

void kvs_account_append_uuid(struct kvs_buf *out, const char *name, const struct kvs_uuid *uuid)
{
    kvs_buf_printf(out, "\"%s\":\"", name);
    kvs_api_append_uuid(out, uuid);
    kvs_buf_append_char(out, '"');
}

static void append_uuids(struct kvs_buf *out, const struct kvs_buf *uuids)
{
    kvs_buf_append_char(out, '[');
    for (size_t at = 0; at < uuids->size; at += sizeof(struct kvs_uuid)) {
        struct kvs_uuid uuid;
        memcpy(&uuid, uuids->data + at, sizeof(uuid));
        kvs_buf_append_str(out, at > 0 ? ",\"" : "\"");
        kvs_api_append_uuid(out, &uuid);
        kvs_buf_append_char(out, '"');
    }
    kvs_buf_append_char(out, ']');
}

void kvs_account_append_party(struct kvs_api_call *call, enum kvs_account_kind kind,
                              const struct kvs_account_user *user)
{
    enum { UUID_JSON_SIZE = 40, OVERHEAD = 512, MEMBERSHIPS_SIZE_MAX = 64 << 20 };
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf uuids = KVS_BUF_INIT(MEMBERSHIPS_SIZE_MAX);
    struct kvs_buf *out = &call->exchange->response.body;
    bool person = kind == KVS_ACCOUNT_USER;
    kvs_accounts_memberships(kvs_auth_accounts(call->api->options.auth), kind, &user->uuid, &uuids);
    kvs_api_body_allow(call, out->size + OVERHEAD +
                                 uuids.size / sizeof(struct kvs_uuid) * UUID_JSON_SIZE);
    kvs_buf_append_char(out, '{');
    kvs_account_append_uuid(out, "uuid", &user->uuid);
    kvs_buf_append_char(out, ',');
    kvs_account_append_hash(out, person ? "nickname_hash" : "name_hash", &user->name_hash);
    kvs_buf_append_str(out, person ? ",\"groups\":" : ",\"members\":");
    append_uuids(out, &uuids);
    kvs_buf_append_str(out, ",\"created_at\":");
    kvs_buf_append_i64(out, user->created_at);
    kvs_buf_append_str(out, ",\"updated_at\":");
    kvs_buf_append_i64(out, user->updated_at);
    kvs_buf_append_char(out, '}');
    if (uuids.err && !out->err)
        out->err = uuids.err;
}

struct kvs_buf *kvs_account_begin(struct kvs_api_call *call, int status)
{
    call->exchange->response.status = status;
    call->exchange->response.content_type = "application/json";
    return &call->exchange->response.body;
}

int64_t kvs_account_now_s(const struct kvs_api_call *call)
{
    return kvs_clock_wall_ms(call->api->options.clock) / 1000;
}

int kvs_account_find_id(struct kvs_api_call *call, enum kvs_account_kind kind,
                        struct kvs_account_user *ret_user)
{
    struct kvs_uuid uuid;
    if (kvs_uuid_parse(call->id, &uuid) &&
        kvs_accounts_find(kvs_auth_accounts(call->api->options.auth), kind, &uuid, ret_user))
        return 0;
    return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "There is no such %s.",
                        kind == KVS_ACCOUNT_USER ? "user" : "group");
}

void kvs_account_run(struct kvs_api_call *call, kvs_api_read_fn *work)
{
    int err = kvs_api_query(call, NULL, 0);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, work);
}

// ---- Writing

void kvs_api_account_batch(const struct kvs_api_call *call, struct kvs_account_batch *batch,
                           struct kvs_audit_event *event)
{
    kvs_account_batch_init(batch, call->api->options.node, kvs_auth_open_grant());
    if (!call->has_action)
        return;
    kvs_api_audit_describe(call, event);
    batch->audit = event;
}

int kvs_api_account_commit(struct kvs_api_call *call, struct kvs_account_batch *batch)
{
    int err = kvs_account_batch_commit(batch);
    call->audited = call->audited || batch->audited;
    return err;
}
