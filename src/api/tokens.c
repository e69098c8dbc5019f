// SPDX-License-Identifier: Apache-2.0
// /api/tokens: issuing, listing and revoking; and what only they who may issue tokens, or hold the
// cluster secret, may fetch. A token's text leaves in the one answer that issues it.
#include "api/account_internal.h"
#include "base/duration.h"
#include "node/owner.h"

enum {
    TTL_DEFAULT_S = 3600,
    TTL_MAX_S = INT32_MAX, // 68 years
    NS_PER_S = 1000 * 1000 * 1000,
    PAGE_ITEMS_SIZE_MAX = 4 << 20,
};

static struct kvs_accounts *accounts_of(const struct kvs_api_call *call)
{
    return kvs_auth_accounts(call->api->options.auth);
}

static void forbid_storing(struct kvs_api_call *call)
{
    kvs_http_response_header(&call->exchange->response, "Cache-Control", KVS_SLICE("no-store"));
}

static void answer_token(struct kvs_api_call *call, const struct kvs_new_token *token)
{
    struct kvs_buf *body = kvs_account_begin(call, 201);
    forbid_storing(call);
    kvs_buf_append_str(body, "{\"token\":\"");
    kvs_buf_append_slice(body, kvs_buf_slice(&token->text));
    kvs_buf_append_str(body, "\",\"expires_at\":");
    kvs_buf_append_i64(body, token->claims.expires_at);
    kvs_buf_append_char(body, '}');
}

// ---- POST /api/tokens

struct order {
    struct kvs_uuid user;
    kvs_scope_set scopes;
    int64_t ttl_s;
};

static int read_user(struct kvs_api_call *call, const struct kvs_json *body, struct kvs_uuid *ret)
{
    struct kvs_slice text;
    struct kvs_account_user user;
    int err = kvs_account_text(call, body, "user_uuid", &text);
    if (err)
        return err;
    if (!kvs_uuid_parse(text, ret))
        return kvs_api_fail(call, KVS_ERR_INVALID, "\"user_uuid\" must be a UUID.");
    if (!kvs_accounts_find(accounts_of(call), KVS_ACCOUNT_USER, ret, &user))
        return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "There is no such user.");
    return 0;
}

static int read_scopes(struct kvs_api_call *call, const struct kvs_json *body, kvs_scope_set *ret)
{
    const struct kvs_json *list = kvs_json_member(body, "scopes");
    if (!list || list->type != KVS_JSON_ARRAY)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "\"scopes\" must be an array such as [\"read\",\"write\"].");
    *ret = 0;
    for (const struct kvs_json *item = list->child; item; item = item->next) {
        struct kvs_slice name = KVS_SLICE_EMPTY;
        enum kvs_scope scope;
        int err = item->type == KVS_JSON_STRING
                      ? kvs_json_string(item, &call->exchange->arena, &name)
                      : KVS_ERR_INVALID;
        if (err || !kvs_scope_parse(name, &scope))
            return kvs_api_fail(call, KVS_ERR_INVALID,
                                "\"scopes\" holds something that is no scope.");
        if (!kvs_scope_in(kvs_grant_scopes(call->grant), scope))
            return kvs_api_fail(call, KVS_ERR_FORBIDDEN,
                                "You cannot grant the scope %s: your token does not have it.",
                                kvs_scope_name(scope));
        *ret |= 1U << scope;
    }
    return 0;
}

static int read_ttl(struct kvs_api_call *call, const struct kvs_json *body, int64_t *ret_ttl_s)
{
    struct kvs_slice text;
    int64_t ns = 0;
    int err = kvs_account_text(call, body, "ttl", &text);
    if (err)
        return err;
    *ret_ttl_s = TTL_DEFAULT_S;
    if (!text.data)
        return 0;
    if (kvs_duration_parse(text, &ns) != 0 || ns <= 0 || ns / NS_PER_S >= TTL_MAX_S)
        return kvs_api_fail(
            call, KVS_ERR_INVALID,
            "\"ttl\" must be a positive duration such as \"1h30m\", below 68 years.");
    *ret_ttl_s = ns / NS_PER_S + (ns % NS_PER_S > 0 ? 1 : 0);
    return 0;
}

static int read_order(struct kvs_api_call *call, struct order *order)
{
    const struct kvs_json *body = NULL;
    int err = kvs_account_body(call, &body);
    if (!err)
        err = read_scopes(call, body, &order->scopes);
    if (!err)
        err = read_ttl(call, body, &order->ttl_s);
    return err ? err : read_user(call, body, &order->user);
}

static int store_token(struct kvs_api_call *call, const struct kvs_new_token *token, int64_t ttl_s)
{
    struct kvs_account_batch batch;
    const struct kvs_account_name name = {.kind = KVS_ACCOUNT_TOKEN, .hash = token->hash};
    const struct kvs_account_data data = {.user = token->claims.user,
                                          .scopes = token->claims.scopes,
                                          .created_at = token->claims.issued_at,
                                          .expires_at = token->claims.expires_at};
    struct kvs_audit_event event;
    kvs_api_account_batch(call, &batch, &event);
    kvs_account_batch_put(&batch, &name, &data, ttl_s * 1000);
    int err = kvs_api_account_commit(call, &batch);
    kvs_account_batch_done(&batch);
    return err;
}

static int issue(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct order order;
    struct kvs_new_token token;
    int err = read_order(call, &order);
    if (err)
        return err;
    err = kvs_auth_issue(call->api->options.auth, &order.user, order.scopes, order.ttl_s, &token);
    if (!err)
        err = store_token(call, &token, order.ttl_s);
    if (!err)
        answer_token(call, &token);
    kvs_new_token_done(&token);
    return err;
}

// ---- GET /api/tokens

static void append_token(struct kvs_buf *body, const struct kvs_account_token *token)
{
    kvs_buf_append_char(body, '{');
    kvs_account_append_hash(body, "hash", &token->hash);
    kvs_buf_append_char(body, ',');
    kvs_account_append_uuid(body, "user_uuid", &token->user);
    kvs_buf_append_str(body, ",\"scopes\":");
    kvs_scope_set_json(body, token->scopes);
    kvs_buf_append_str(body, ",\"created_at\":");
    kvs_buf_append_i64(body, token->created_at);
    kvs_buf_append_str(body, ",\"expires_at\":");
    kvs_buf_append_i64(body, token->expires_at);
    kvs_buf_append_str(body, token->revoked ? ",\"revoked\":true}" : ",\"revoked\":false}");
}

static void append_tokens(struct kvs_api_call *call, const struct kvs_buf *items, bool more)
{
    enum { TOKEN_JSON_SIZE = 1024 };
    struct kvs_buf *body = kvs_account_begin(call, 200);
    struct kvs_account_token token;
    kvs_api_body_allow(call, items->size / sizeof(token) * TOKEN_JSON_SIZE + TOKEN_JSON_SIZE);
    kvs_buf_append_str(body, "{\"tokens\":[");
    for (size_t at = 0; at < items->size; at += sizeof(token)) {
        memcpy(&token, items->data + at, sizeof(token));
        if (at > 0)
            kvs_buf_append_char(body, ',');
        append_token(body, &token);
    }
    kvs_buf_append_str(body, "],\"next\":");
    if (more) {
        kvs_buf_append_char(body, '"');
        kvs_api_cursor_append(body, kvs_slice(token.hash.text, sizeof(token.hash.text)));
        kvs_buf_append_str(body, "\"}");
    } else {
        kvs_buf_append_str(body, "null}");
    }
}

static int list(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    enum { USER, LIMIT, CURSOR, COUNT };
    struct kvs_api_param params[COUNT] = {
        [USER] = {.name = "user_uuid"}, [LIMIT] = {.name = "limit"}, [CURSOR] = {.name = "cursor"}};
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf items = KVS_BUF_INIT(PAGE_ITEMS_SIZE_MAX);
    struct kvs_account_hash after;
    struct kvs_uuid user;
    struct kvs_slice text = KVS_SLICE_EMPTY;
    uint32_t limit = 0;
    bool more = false;
    int err = kvs_api_query(call, params, COUNT);
    if (!err)
        err = kvs_api_param_limit(call, &params[LIMIT], &limit);
    if (!err && params[USER].found && !kvs_uuid_parse(params[USER].value, &user))
        err = kvs_api_fail(call, KVS_ERR_INVALID, "user_uuid must be a UUID.");
    if (!err && params[CURSOR].found) {
        err = kvs_api_cursor_parse(call, params[CURSOR].value, &text);
        if (err == KVS_ERR_INVALID || (!err && !kvs_account_hash_parse(text, &after)))
            err = kvs_api_fail(call, KVS_ERR_INVALID,
                               "The cursor is none of this listing: pass \"next\" as it came.");
    }
    if (err)
        return err;
    kvs_accounts_list_tokens(accounts_of(call), params[CURSOR].found ? &after : NULL,
                             params[USER].found ? &user : NULL, kvs_account_now_s(call), limit,
                             &items, &more);
    if (items.err)
        return items.err;
    append_tokens(call, &items, more);
    return 0;
}

// ---- Revoking

static int write_revocation(struct kvs_api_call *call, const struct kvs_account_hash *hash,
                            int64_t expires_at)
{
    struct kvs_account_batch batch;
    int64_t left_s = expires_at - kvs_account_now_s(call);
    const struct kvs_account_name name = {.kind = KVS_ACCOUNT_REVOKED, .hash = *hash};
    const struct kvs_account_data data = {.expires_at = expires_at};
    // Kept for as long as the token could be used on a node whose clock is a little behind.
    enum { SLACK_S = 24 * 3600, LEFT_MAX_S = INT32_MAX };
    left_s = left_s < 0 ? 0 : left_s > LEFT_MAX_S ? LEFT_MAX_S : left_s;
    struct kvs_audit_event event;
    kvs_api_account_batch(call, &batch, &event);
    kvs_account_batch_put(&batch, &name, &data, (left_s + SLACK_S) * 1000);
    int err = kvs_api_account_commit(call, &batch);
    kvs_account_batch_done(&batch);
    if (!err)
        call->exchange->response.status = 204;
    return err;
}

static int revoke_by_hash(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct kvs_account_hash hash;
    struct kvs_account_token token;
    if (!kvs_account_hash_parse(call->id, &hash) ||
        !kvs_accounts_find_token(accounts_of(call), &hash, &token))
        return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "There is no token with this hash.");
    return write_revocation(call, &hash, token.expires_at);
}

// A token that is signed by this cluster can be revoked before its record has arrived here.
static int revoke_by_text(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    const struct kvs_json *body = NULL;
    struct kvs_slice text = KVS_SLICE_EMPTY;
    struct kvs_account_token token;
    struct kvs_jwt_claims claims;
    int err = kvs_account_body(call, &body);
    if (!err)
        err = kvs_account_text(call, body, "token", &text);
    if (!err && !text.data)
        err = kvs_api_fail(call, KVS_ERR_INVALID, "\"token\" is missing.");
    if (err)
        return err;
    struct kvs_account_hash hash = kvs_account_hash_of(text);
    if (kvs_accounts_find_token(accounts_of(call), &hash, &token))
        return write_revocation(call, &hash, token.expires_at);
    if (kvs_auth_is_ours(call->api->options.auth, text, &call->exchange->arena, &claims))
        return write_revocation(call, &hash, claims.expires_at);
    return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "This is no token of this cluster.");
}

// ---- What opens the cluster

static int make_owner(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    const struct kvs_api_options *options = &call->api->options;
    struct kvs_owner owner;
    int err = kvs_owner_create(options->node, options->auth, options->random, options->clock,
                               KVS_OWNER_TTL_S, &owner);
    if (!err) {
        struct kvs_buf *body = kvs_account_begin(call, 201);
        forbid_storing(call);
        kvs_buf_append_char(body, '{');
        kvs_account_append_uuid(body, "user_uuid", &owner.user);
        kvs_buf_append_char(body, ',');
        kvs_account_append_uuid(body, "group_uuid", &owner.group);
        kvs_buf_append_str(body, ",\"token\":\"");
        kvs_buf_append_slice(body, kvs_buf_slice(&owner.token.text));
        kvs_buf_append_str(body, "\",\"expires_at\":");
        kvs_buf_append_i64(body, owner.token.claims.expires_at);
        kvs_buf_append_char(body, '}');
    }
    kvs_owner_done(&owner);
    return err;
}

static int show_secret(struct kvs_api_call *call)
{
    struct kvs_buf *body = kvs_account_begin(call, 200);
    forbid_storing(call);
    kvs_buf_append_str(body, "{\"cluster_secret\":");
    kvs_json_write_string(body, kvs_slice_from_str(call->api->options.cluster_secret));
    kvs_buf_append_char(body, '}');
    return 0;
}

// ---- Handlers

void kvs_api_token_create(struct kvs_api_call *call)
{
    kvs_account_run(call, issue);
}

void kvs_api_token_list(struct kvs_api_call *call)
{
    kvs_api_read_on_worker(call, list);
}

void kvs_api_token_delete(struct kvs_api_call *call)
{
    kvs_account_run(call, revoke_by_hash);
}

void kvs_api_token_revoke(struct kvs_api_call *call)
{
    kvs_account_run(call, revoke_by_text);
}

void kvs_api_owner_token(struct kvs_api_call *call)
{
    kvs_account_run(call, make_owner);
}

void kvs_api_cluster_bootstrap(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    kvs_api_finish(call, err ? err : show_secret(call));
}
