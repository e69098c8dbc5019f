// SPDX-License-Identifier: Apache-2.0
// Who may call a route at all: credentials to a grant, then scope, then rate limit. Before a
// request's path, query or body is looked at any further, so that strangers learn nothing from
// those.
//
//   peer credentials  right: a peer's grant, never limited     wrong: 401
//   a bearer token    good: the user's grant                   bad: 401, after too many 429
//   neither           an anonymous grant: what the switches allow, by GET and PUT alone
//
// What keys a caller may touch is not decided here but by the grant, in the node's operations.
#include "api/api_internal.h"

#include "base/duration.h"

enum { MS_PER_S = 1000, NS_PER_MS = 1000 * 1000 };

// ---- Peers

// Compared as digests: neither content nor length shows in the time.
static bool secret_fits(struct kvs_slice given, const char *secret)
{
    uint8_t a[KVS_SHA256_SIZE];
    uint8_t b[KVS_SHA256_SIZE];
    struct kvs_slice wanted = kvs_slice_from_str(secret);
    kvs_auth_sha256(given, a);
    kvs_auth_sha256(wanted, b);
    return kvs_auth_equal(kvs_slice(a, sizeof(a)), kvs_slice(b, sizeof(b))) && wanted.size > 0;
}

// Without clustering there are no peers, but the owner still proves himself with the secret.
static int check_secret(struct kvs_api_call *call)
{
    const struct kvs_api_options *options = &call->api->options;
    const struct kvs_http_request *request = &call->exchange->request;
    struct kvs_slice secret = kvs_http_header_get(request, "X-Cluster-Secret");
    bool current = secret_fits(secret, options->cluster_secret);
    bool previous = secret_fits(secret, options->cluster_secret_previous);
    if (!current && !previous)
        return kvs_api_fail(call, KVS_ERR_UNAUTHORIZED, "Unauthorized: Invalid cluster secret");
    if (kvs_http_header_get(request, "X-Node-ID").size == 0)
        return kvs_api_fail(call, KVS_ERR_UNAUTHORIZED, "Unauthorized: Missing node ID");
    return 0;
}

static int verify_peer(struct kvs_api_call *call)
{
    struct kvs_peer_auth *peer_auth = call->api->options.peer_auth;
    call->peer = kvs_api_alloc(call, sizeof(*call->peer));
    if (!call->peer)
        return KVS_ERR_NOMEM;
    *call->peer = (struct kvs_peer_caller){0};
    int err = kvs_peer_verify(peer_auth, &call->exchange->request, KVS_PEER_ONCE, call->peer);
    if (err == KVS_ERR_UNAUTHORIZED)
        call->detail = kvs_slice_from_str(call->peer->detail);
    return err;
}

static int identify_peer(struct kvs_api_call *call)
{
    int err = call->api->options.peer_auth ? verify_peer(call) : check_secret(call);
    if (!err)
        call->grant = kvs_auth_peer_grant();
    return err;
}

// ---- Users

static size_t count_headers(const struct kvs_http_request *request, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        count += kvs_slice_eq_nocase(request->headers[i].name, kvs_slice_from_str(name));
    return count;
}

static int identify_user(struct kvs_api_call *call, struct kvs_slice authorization)
{
    const char *reason = NULL;
    struct kvs_http_exchange *exchange = call->exchange;
    if (count_headers(&exchange->request, "Authorization") > 1)
        return kvs_api_fail(call, KVS_ERR_UNAUTHORIZED,
                            "There is more than one Authorization header.");
    int err = kvs_auth_identify(call->api->options.auth, authorization, &exchange->arena,
                                &call->grant, &reason);
    if (err == KVS_ERR_UNAUTHORIZED)
        return kvs_api_fail(call, err, "Unauthorized: %s", reason);
    return err;
}

static int identify(struct kvs_api_call *call)
{
    const struct kvs_http_request *request = &call->exchange->request;
    struct kvs_slice authorization = kvs_http_header_get(request, "Authorization");
    if (kvs_peer_has_credentials(request))
        return identify_peer(call);
    if (authorization.data)
        return identify_user(call, authorization);
    call->grant = kvs_auth_anonymous(call->api->options.auth, &call->exchange->arena);
    return call->grant ? 0 : KVS_ERR_NOMEM;
}

// ---- Limits

static int refuse_for_now(struct kvs_api_call *call, int64_t retry_after_ms)
{
    call->retry_after_s = (retry_after_ms + MS_PER_S - 1) / MS_PER_S;
    return kvs_api_fail(call, KVS_ERR_RATE_LIMITED, "Rate limit exceeded");
}

static int count_failure(struct kvs_api_call *call)
{
    struct kvs_ratelimit_verdict verdict =
        kvs_auth_count_failure(call->api->options.auth, call->exchange->request.client_address);
    if (verdict.allowed)
        return KVS_ERR_UNAUTHORIZED;
    call->limit = KVS_LIMIT_LOGIN;
    return refuse_for_now(call, verdict.retry_after_ms);
}

static int count_request(struct kvs_api_call *call)
{
    struct kvs_ratelimit_verdict verdict;
    if (!kvs_auth_count(call->api->options.auth, call->grant,
                        call->exchange->request.client_address, &verdict))
        return 0;
    call->limit = KVS_LIMIT_REQUESTS;
    call->remaining = verdict.remaining;
    return verdict.allowed ? 0 : refuse_for_now(call, verdict.retry_after_ms);
}

static void append_number(struct kvs_http_response *response, const char *name, int64_t number)
{
    kvs_buf_append_str(&response->headers, name);
    kvs_buf_append_str(&response->headers, ": ");
    kvs_buf_append_i64(&response->headers, number);
    kvs_buf_append_str(&response->headers, "\r\n");
}

void kvs_api_append_limit(struct kvs_api_call *call, int err)
{
    struct kvs_http_response *response = &call->exchange->response;
    if (call->limit == KVS_LIMIT_NONE)
        return;
    if (err != KVS_ERR_RATE_LIMITED) {
        if (call->limit == KVS_LIMIT_REQUESTS)
            append_number(response, "X-Rate-Limit-Remaining", call->remaining);
        return;
    }
    struct kvs_auth_settings settings = kvs_auth_get_settings(call->api->options.auth);
    bool login = call->limit == KVS_LIMIT_LOGIN;
    char window[KVS_DURATION_TEXT_MAX];
    size_t size = kvs_duration_format(
        login ? 60LL * MS_PER_S * NS_PER_MS : settings.rate_limit_window_ms * NS_PER_MS, window);
    append_number(response, "Retry-After", call->retry_after_s);
    append_number(response, "X-Rate-Limit-Limit",
                  login ? settings.login_failure_limit : settings.rate_limit_requests);
    kvs_http_response_header(response, "X-Rate-Limit-Window", kvs_slice(window, size));
}

// ---- Scopes

static bool is_data_scope(enum kvs_scope scope)
{
    return kvs_scope_in(KVS_SCOPES_DATA, scope < KVS_SCOPE_COUNT ? scope : KVS_SCOPE_COUNT);
}

// Anonymous callers may GET and PUT data, where the switches let them.
static int check_anonymous(struct kvs_api_call *call)
{
    enum kvs_http_method method = call->route->method;
    struct kvs_auth_settings settings = kvs_auth_get_settings(call->api->options.auth);
    bool reads = call->route->scope == KVS_SCOPE_READ && method == KVS_HTTP_GET;
    bool writes = call->route->scope == KVS_SCOPE_WRITE && method == KVS_HTTP_PUT;
    if ((reads && settings.anonymous_read) || (writes && settings.anonymous_write))
        return 0;
    return kvs_api_fail(call, KVS_ERR_UNAUTHORIZED,
                        "Unauthorized: give a token in an Authorization: Bearer header");
}

static int check_scope(struct kvs_api_call *call)
{
    enum kvs_scope scope = call->route->scope;
    bool peer = kvs_grant_is_peer(call->grant);
    bool data = is_data_scope(scope) ||
                (scope == KVS_SCOPE_TOKEN && call->route->permission != KVS_PERMISSION_NONE);
    if (scope == KVS_SCOPE_OPEN || (peer && (scope == KVS_SCOPE_PEER || data)))
        return 0;
    if (scope == KVS_SCOPE_PEER)
        return kvs_api_fail(call, KVS_ERR_UNAUTHORIZED, "Unauthorized: Missing cluster secret");
    if (kvs_grant_is_anonymous(call->grant))
        return check_anonymous(call);
    if (peer)
        return kvs_api_fail(call, KVS_ERR_FORBIDDEN,
                            "The cluster secret opens no accounts: use a token.");
    if (scope == KVS_SCOPE_TOKEN || kvs_scope_in(kvs_grant_scopes(call->grant), scope))
        return 0;
    return kvs_api_fail(call, KVS_ERR_FORBIDDEN, "The token does not have the scope %s.",
                        kvs_scope_name(scope));
}

// ---- All together

// Probes, scrapers and peers must get through whatever else happens.
static bool is_exempt(const struct kvs_route *route)
{
    return route->handler == kvs_api_health || route->handler == kvs_api_ready ||
           route->handler == kvs_api_metrics || route->handler == kvs_api_peer_unknown ||
           kvs_api_is_between_peers(route);
}

int kvs_api_authorize(struct kvs_api_call *call)
{
    struct kvs_auth *auth = call->api->options.auth;
    bool open = call->route->scope == KVS_SCOPE_OPEN;
    call->grant = kvs_auth_open_grant();
    if (!auth || is_exempt(call->route))
        return 0;
    int err = 0;
    bool ready = kvs_auth_is_ready(auth);
    if (!ready && !open && !kvs_peer_has_credentials(&call->exchange->request))
        return kvs_api_fail(call, KVS_ERR_SYNCING,
                            "This node does not have the cluster's accounts yet: try again later.");
    err = identify(call);
    if (err == KVS_ERR_UNAUTHORIZED && open) { // as good as none
        call->detail = KVS_SLICE_EMPTY;
        call->grant = kvs_auth_anonymous(auth, &call->exchange->arena);
        err = call->grant ? 0 : KVS_ERR_NOMEM;
    }
    if (err == KVS_ERR_UNAUTHORIZED)
        err = count_failure(call);
    if (!err)
        err = count_request(call);
    return err ? err : check_scope(call);
}
