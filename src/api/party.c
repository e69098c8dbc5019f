// SPDX-License-Identifier: Apache-2.0
// What users and groups have in common: a name that is stored as a hash alone, memberships,
// listings.
#include "api/account_internal.h"

enum { TOKENS_A_STEP = 500, PAGE_ITEMS_SIZE_MAX = 4 << 20 };

static struct kvs_accounts *accounts_of(const struct kvs_api_call *call)
{
    return kvs_auth_accounts(call->api->options.auth);
}

static enum kvs_account_kind other(enum kvs_account_kind kind)
{
    return kind == KVS_ACCOUNT_USER ? KVS_ACCOUNT_GROUP : KVS_ACCOUNT_USER;
}

static struct kvs_account_name membership(enum kvs_account_kind kind, const struct kvs_uuid *uuid,
                                          const struct kvs_uuid *of)
{
    bool user = kind == KVS_ACCOUNT_USER;
    return (struct kvs_account_name){
        .kind = KVS_ACCOUNT_MEMBER, .uuid = user ? *of : *uuid, .member = user ? *uuid : *of};
}

void kvs_party_set_memberships(struct kvs_api_call *call, struct kvs_account_batch *batch,
                               enum kvs_account_kind kind, const struct kvs_uuid *uuid,
                               const struct kvs_account_uuids *wanted)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf now = KVS_BUF_INIT(64 << 20);
    const struct kvs_account_data since = {.created_at = kvs_account_now_s(call)};
    kvs_accounts_memberships(accounts_of(call), kind, uuid, &now);
    struct kvs_account_uuids current = {
        .items = (struct kvs_uuid *)(void *)now.data,
        .count = (uint32_t)(now.size / sizeof(struct kvs_uuid)),
    };
    if (now.err)
        batch->err = now.err;
    for (uint32_t i = 0; i < wanted->count; i++) {
        struct kvs_account_name name = membership(kind, uuid, &wanted->items[i]);
        if (!kvs_account_uuids_hold(&current, &wanted->items[i]))
            kvs_account_batch_put(batch, &name, &since, KVS_TTL_NONE);
    }
    for (uint32_t i = 0; i < current.count; i++) {
        struct kvs_account_name name = membership(kind, uuid, &current.items[i]);
        if (!kvs_account_uuids_hold(wanted, &current.items[i]))
            kvs_account_batch_delete(batch, &name);
    }
}

// ---- POST

static int write_new(struct kvs_api_call *call, const struct kvs_account_name *name,
                     const struct kvs_account_hash *hash, const struct kvs_account_uuids *list)
{
    struct kvs_account_batch batch;
    int64_t now_s = kvs_account_now_s(call);
    const struct kvs_account_data data = {
        .name_hash = *hash, .created_at = now_s, .updated_at = now_s};
    struct kvs_audit_event event;
    kvs_api_account_batch(call, &batch, &event);
    kvs_account_batch_put(&batch, name, &data, KVS_TTL_NONE);
    kvs_party_set_memberships(call, &batch, name->kind, &name->uuid, list);
    int err = kvs_api_account_commit(call, &batch);
    kvs_account_batch_done(&batch);
    return err;
}

static void answer_created(struct kvs_api_call *call, enum kvs_account_kind kind,
                           const struct kvs_uuid *uuid)
{
    struct kvs_buf *headers = &call->exchange->response.headers;
    kvs_buf_append_str(headers, kind == KVS_ACCOUNT_USER ? "Location: /api/users/"
                                                         : "Location: /api/groups/");
    kvs_api_append_uuid(headers, uuid);
    kvs_buf_append_str(headers, "\r\n");
    struct kvs_buf *body = kvs_account_begin(call, 201);
    kvs_buf_append_char(body, '{');
    kvs_account_append_uuid(body, "uuid", uuid);
    kvs_buf_append_char(body, '}');
}

int kvs_party_create(struct kvs_api_call *call, enum kvs_account_kind kind, const char *name_member,
                     const char *list_member)
{
    const struct kvs_json *body = NULL;
    struct kvs_account_hash hash;
    struct kvs_account_uuids list = {0};
    bool found = false;
    int err = kvs_account_body(call, &body);
    if (!err)
        err = kvs_account_name(call, body, name_member, true, &hash, &found);
    if (!err && list_member)
        err = kvs_account_uuids(call, body, list_member, &list);
    if (!err)
        err = kvs_account_check_exist(call, other(kind), &list);
    if (err)
        return err;
    err = kvs_accounts_hold_name(accounts_of(call), kind, &hash, NULL);
    if (err == KVS_ERR_CONFLICT)
        return kvs_api_fail(call, err, "This %s is in use.", name_member);
    if (err)
        return err;
    const struct kvs_account_name name = {.kind = kind,
                                          .uuid = kvs_uuid_new(call->api->options.random)};
    err = write_new(call, &name, &hash, &list);
    kvs_accounts_release_name(accounts_of(call), kind, &hash);
    if (!err)
        answer_created(call, kind, &name.uuid);
    return err;
}

// ---- GET

int kvs_party_show(struct kvs_api_call *call, enum kvs_account_kind kind)
{
    struct kvs_account_user user;
    int err = kvs_account_find_id(call, kind, &user);
    if (err)
        return err;
    (void)kvs_account_begin(call, 200); // append_party finds the body itself
    kvs_account_append_party(call, kind, &user);
    return 0;
}

// ---- GET of all

// A cursor is the last UUID that was shown, as text.
static int read_after(struct kvs_api_call *call, const struct kvs_api_param *param,
                      struct kvs_uuid *ret_after)
{
    struct kvs_slice text = KVS_SLICE_EMPTY;
    *ret_after = (struct kvs_uuid){{0}};
    if (!param->found)
        return 0;
    int err = kvs_api_cursor_parse(call, param->value, &text);
    if (err == KVS_ERR_INVALID || (!err && !kvs_uuid_parse(text, ret_after)))
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "The cursor is none of this listing: pass \"next\" as it came.");
    return err;
}

static void append_page(struct kvs_api_call *call, enum kvs_account_kind kind,
                        const struct kvs_buf *items, bool more)
{
    struct kvs_buf *body = kvs_account_begin(call, 200);
    struct kvs_account_user user;
    kvs_buf_append_str(body, kind == KVS_ACCOUNT_USER ? "{\"users\":[" : "{\"groups\":[");
    for (size_t at = 0; at < items->size; at += sizeof(user)) {
        memcpy(&user, items->data + at, sizeof(user));
        if (at > 0)
            kvs_buf_append_char(body, ',');
        kvs_account_append_party(call, kind, &user);
    }
    kvs_api_body_allow(call, body->size + 256);
    kvs_buf_append_str(body, "],\"next\":");
    if (more) {
        char text[KVS_UUID_TEXT_SIZE];
        kvs_uuid_format(&user.uuid, text);
        kvs_buf_append_char(body, '"');
        kvs_api_cursor_append(body, kvs_slice(text, sizeof(text)));
        kvs_buf_append_char(body, '"');
    } else {
        kvs_buf_append_str(body, "null");
    }
    kvs_buf_append_char(body, '}');
}

int kvs_party_list(struct kvs_api_call *call, enum kvs_account_kind kind, const char *name_param)
{
    enum { NAME, LIMIT, CURSOR, COUNT };
    struct kvs_api_param params[COUNT] = {
        [NAME] = {.name = name_param}, [LIMIT] = {.name = "limit"}, [CURSOR] = {.name = "cursor"}};
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf items = KVS_BUF_INIT(PAGE_ITEMS_SIZE_MAX);
    struct kvs_uuid after;
    uint32_t limit = 0;
    bool more = false;
    int err = kvs_api_query(call, params, COUNT);
    if (!err)
        err = kvs_api_param_limit(call, &params[LIMIT], &limit);
    if (!err)
        err = read_after(call, &params[CURSOR], &after);
    if (err)
        return err;
    struct kvs_account_hash name = kvs_account_hash_of(params[NAME].value);
    kvs_accounts_list(accounts_of(call), kind, params[CURSOR].found ? &after : NULL,
                      params[NAME].found ? &name : NULL, limit, &items, &more);
    if (items.err)
        return items.err;
    append_page(call, kind, &items, more);
    return 0;
}

// ---- DELETE

// Their records go for the sake of space: without their user they are worth nothing already.
static void delete_tokens(struct kvs_api_call *call, struct kvs_account_batch *batch,
                          const struct kvs_uuid *user)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf items = KVS_BUF_INIT(PAGE_ITEMS_SIZE_MAX);
    struct kvs_account_token token = {0};
    bool more = true;
    bool first = true;
    while (more && !batch->err) {
        struct kvs_account_hash after = token.hash;
        kvs_buf_clear(&items);
        kvs_accounts_list_tokens(accounts_of(call), first ? NULL : &after, user,
                                 kvs_account_now_s(call), TOKENS_A_STEP, &items, &more);
        if (items.err)
            batch->err = items.err;
        for (size_t at = 0; at < items.size; at += sizeof(token)) {
            memcpy(&token, items.data + at, sizeof(token));
            const struct kvs_account_name name = {.kind = KVS_ACCOUNT_TOKEN, .hash = token.hash};
            kvs_account_batch_delete(batch, &name);
        }
        first = false;
    }
}

int kvs_party_delete(struct kvs_api_call *call, enum kvs_account_kind kind)
{
    struct kvs_account_user user;
    struct kvs_account_batch batch;
    const struct kvs_account_uuids none = {0};
    const struct kvs_account_data since = {.created_at = kvs_account_now_s(call)};
    int err = kvs_account_find_id(call, kind, &user);
    if (err)
        return err;
    const struct kvs_account_name gone = {.kind = KVS_ACCOUNT_GONE, .uuid = user.uuid};
    const struct kvs_account_name self = {.kind = kind, .uuid = user.uuid};
    struct kvs_audit_event event;
    kvs_api_account_batch(call, &batch, &event);
    kvs_account_batch_put(&batch, &gone, &since, KVS_TTL_NONE);
    kvs_account_batch_delete(&batch, &self);
    kvs_party_set_memberships(call, &batch, kind, &user.uuid, &none);
    if (kind == KVS_ACCOUNT_USER)
        delete_tokens(call, &batch, &user.uuid);
    err = kvs_api_account_commit(call, &batch);
    kvs_account_batch_done(&batch);
    if (!err)
        call->exchange->response.status = 204;
    return err;
}
