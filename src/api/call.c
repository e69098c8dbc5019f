// SPDX-License-Identifier: Apache-2.0
// One request from its route to its answer: dispatch, the way over a worker and back, the end.
// Everything here runs on the exchange's loop thread but run_on_worker.
#include "api/api_internal.h"

#include "base/assert.h"
#include "codec/frames.h"

#include <stdio.h>

enum {
    BODY_SLACK = 64 * 1024,            // white space and envelope around a value
    BATCH_BODY_MAX = 16 * 1024 * 1024, // or as large as one value may be
    IGNORED_BODY_MAX = 1024,           // for routes that take none
    PEER_BODY_MAX = 256 * 1024,        // of the documented routes for peers
    STRANGER_BODY_MAX = 64 * 1024,     // for those of peers whose credentials are not right
    ACCOUNT_BODY_MAX = 1024 * 1024,
};

int kvs_api_new(const struct kvs_api_options *options, struct kvs_api **ret_api)
{
    kvs_assert(options->node);
    kvs_assert(options->clock);
    struct kvs_api *api = calloc(1, sizeof(*api));
    if (!api)
        return KVS_ERR_NOMEM;
    api->options = *options;
    api->started_ms = kvs_clock_mono_ms(options->clock);
    kvs_route_shapes_init(api->shapes);
    if (options->auth)
        kvs_auth_derive(kvs_slice_from_str(options->cluster_secret), "cursor key 1",
                        api->cursor_key, sizeof(api->cursor_key));
    int err = options->peer_auth ? kvs_api_peers_new(options, &api->peers) : 0;
    if (err) {
        free(api);
        return err;
    }
    *ret_api = api;
    return 0;
}

void kvs_api_free(struct kvs_api *api)
{
    if (!api)
        return;
    kvs_api_peers_free(api->peers);
    free(api);
}

size_t kvs_api_body_limit(const struct kvs_api *api, const struct kvs_http_request *request)
{
    struct kvs_route_match match = kvs_route_find(api, request->method, request->path);
    // Without a route the answer is 404 or 405, which says more than 413.
    if (match.route && match.route->body == KVS_BODY_NONE)
        return IGNORED_BODY_MAX;
    if (match.route && match.route->body == KVS_BODY_MESSAGES)
        return kvs_peer_verify_head(api->options.peer_auth, request) ? KVS_FRAMES_BODY_MAX
                                                                     : STRANGER_BODY_MAX;
    if (match.route && match.route->body == KVS_BODY_ACCOUNT)
        return ACCOUNT_BODY_MAX;
    if (match.route && match.route->body == KVS_BODY_PEER)
        return kvs_peer_verify_head(api->options.peer_auth, request) ? PEER_BODY_MAX
                                                                     : STRANGER_BODY_MAX;
    size_t value_max = api->options.max_json_size + BODY_SLACK;
    if (match.route && match.route->body == KVS_BODY_BATCH && value_max < BATCH_BODY_MAX)
        return BATCH_BODY_MAX;
    return value_max;
}

// ---- The end

static void log_failure(const struct kvs_api_call *call, int err)
{
    const struct kvs_http_request *request = &call->exchange->request;
    kvs_log(call->api->options.log, KVS_LOG_ERROR, "request failed",
            KVS_F_STR("error", kvs_err_name(err)),
            KVS_F_STR("method", kvs_http_method_name(request->method)),
            KVS_F_SLICE("path", request->path), KVS_F_STR("request_id", request->id));
}

// What an operator must look into and nobody else tells: the node reports a store that takes no
// writes once, not with each refused write.
static bool is_worth_logging(const struct kvs_api_call *call, int err)
{
    enum kvs_http_method method = call->exchange->request.method;
    bool reads = method == KVS_HTTP_GET || method == KVS_HTTP_HEAD;
    return kvs_err_http_status(err) == 500 || (err == KVS_ERR_IO && reads);
}

// What the handlers write has a bound that they see to: an overflow is ours.
static int buffer_error(const struct kvs_http_response *response)
{
    int err = response->headers.err ? response->headers.err : response->body.err;
    return err == KVS_ERR_TOO_LARGE ? KVS_ERR_INTERNAL : err;
}

void kvs_api_finish(struct kvs_api_call *call, int err)
{
    struct kvs_http_response *response = &call->exchange->response;
    if (kvs_api_audit_first(call, err))
        return;
    if (!err)
        err = buffer_error(response);
    if (err) {
        if (is_worth_logging(call, err))
            log_failure(call, err);
        struct kvs_slice detail = call->detail;
        if (detail.size == 0)
            detail = kvs_slice_from_str(kvs_api_default_detail(err));
        kvs_api_problem(response, kvs_err_http_status(err), detail);
        if (err == KVS_ERR_UNAUTHORIZED && !call->peer)
            kvs_http_response_header(response, "WWW-Authenticate", KVS_SLICE("Bearer"));
    }
    kvs_api_append_limit(call, err);
    kvs_api_append_staleness(call);
    if (call->peer)
        kvs_api_peer_sign(call);
    kvs_http_finish(call->exchange);
}

// ---- Reading, from the caches or on a worker

static struct kvs_api_call *call_of(struct kvs_task *task)
{
    return KVS_CONTAINER_OF(task, struct kvs_http_exchange, task)->state;
}

static void run_back_on_loop(struct kvs_task *task)
{
    struct kvs_api_call *call = call_of(task);
    kvs_api_finish(call, call->err);
}

static void run_on_worker(struct kvs_task *task)
{
    struct kvs_api_call *call = call_of(task);
    call->err = call->read(call, KVS_READ_DISK);
    call->exchange->task.run = run_back_on_loop;
    kvs_executor_post(call->exchange->loop, &call->exchange->task);
}

void kvs_api_read_on_worker(struct kvs_api_call *call, kvs_api_read_fn *read)
{
    call->read = read;
    call->exchange->state = call;
    call->exchange->task.run = run_on_worker;
    kvs_executor_post(call->exchange->workers, &call->exchange->task);
}

void kvs_api_read(struct kvs_api_call *call, kvs_api_read_fn *read)
{
    int err = read(call, KVS_READ_CACHED);
    if (err == KVS_ERR_AGAIN)
        kvs_api_read_on_worker(call, read);
    else
        kvs_api_finish(call, err);
}

void *kvs_api_alloc(struct kvs_api_call *call, size_t size)
{
    return kvs_arena_alloc(&call->exchange->arena, size);
}

void kvs_api_body_allow(struct kvs_api_call *call, size_t size)
{
    struct kvs_buf *body = &call->exchange->response.body;
    if (body->size_max < size)
        body->size_max = size;
}

void kvs_api_body_reserve(struct kvs_api_call *call, size_t size)
{
    kvs_api_body_allow(call, size);
    (void)kvs_buf_reserve(&call->exchange->response.body, size); // the error sticks
}

// ---- The beginning

static int no_route(struct kvs_api_call *call, enum kvs_route_feature off)
{
    static const char *const settings[] = {
        [KVS_FEATURE_HISTORY] = "revision_history_enabled",
        [KVS_FEATURE_METRICS] = "metrics_enabled",
        [KVS_FEATURE_AUDIT] = "tamper_logging_enabled",
        [KVS_FEATURE_CLUSTER] = "clustering_enabled",
        [KVS_FEATURE_AUTH] = "auth_enabled",
    };
    const char *setting = (size_t)off < KVS_ARRAY_SIZE(settings) ? settings[off] : NULL;
    if (setting)
        return kvs_api_fail(call, KVS_ERR_NOT_FOUND,
                            "This node does without this route: %s is false.", setting);
    return kvs_api_fail(call, KVS_ERR_NOT_FOUND,
                        "There is no such route; GET / lists where to begin.");
}

static void refuse(struct kvs_api_call *call, const struct kvs_route_match *match)
{
    static const enum kvs_http_method listed[] = {
        KVS_HTTP_GET, KVS_HTTP_HEAD, KVS_HTTP_PUT, KVS_HTTP_POST, KVS_HTTP_PATCH, KVS_HTTP_DELETE,
    };
    const struct kvs_http_request *request = &call->exchange->request;
    unsigned allowed = match->allowed;
    if (kvs_slice_eq(request->path, KVS_SLICE("*")))
        allowed = ~0U; // OPTIONS * asks about the server as a whole
    if (!allowed) {
        kvs_api_finish(call, no_route(call, match->off));
        return;
    }
    if (allowed & 1U << KVS_HTTP_GET)
        allowed |= 1U << KVS_HTTP_HEAD;
    char list[64];
    size_t used = 0;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(listed); i++) {
        if (!(allowed & 1U << listed[i]))
            continue;
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used > 0 ? ", " : "",
                                 kvs_http_method_name(listed[i]));
    }
    char detail[160];
    (void)snprintf(detail, sizeof(detail), "This path does not know %s; it knows %s.",
                   request->method == KVS_HTTP_OTHER ? "the method"
                                                     : kvs_http_method_name(request->method),
                   list); // always fits
    kvs_api_problem(&call->exchange->response, 405, kvs_slice_from_str(detail));
    kvs_http_response_header(&call->exchange->response, "Allow", kvs_slice(list, used));
    kvs_api_finish(call, 0);
}

static int decode_key(struct kvs_api_call *call, const struct kvs_route_match *match)
{
    call->number = match->number;
    call->id = match->id;
    if (match->what == KVS_MATCH_KEYLESS)
        return 0;
    int err = kvs_percent_decode(&call->exchange->arena, match->rest, &call->key);
    if (err == KVS_ERR_INVALID)
        return kvs_api_fail(call, err, "The path holds a broken percent-escape.");
    if (err)
        return err;
    const char *reason = NULL;
    if (match->what == KVS_MATCH_KEY && !kvs_key_is_valid(call->key, &reason))
        return kvs_api_fail(call, KVS_ERR_INVALID, "Invalid key: %s.", reason);
    return 0;
}

// For data, whoever proves to be a member of the cluster is treated as one, and who claims it
// wrongly is refused; with accounts kvs_api_authorize has seen to it.
static bool comes_as_peer(const struct kvs_api_call *call)
{
    const struct kvs_route *route = call->route;
    bool is_data = route->scope < KVS_SCOPE_COUNT || route->scope == KVS_SCOPE_TOKEN;
    is_data = is_data && route->permission != KVS_PERMISSION_NONE; // that of a key
    return is_data && !call->api->options.auth && call->api->options.peer_auth &&
           kvs_peer_has_credentials(&call->exchange->request);
}

// Who sends a condition with a request that changes something relies on it: where none is judged it
// is refused rather than passed over.
static bool passes_over_conditions(const struct kvs_route *route)
{
    return route->method != KVS_HTTP_GET && route->scope != KVS_SCOPE_PEER &&
           route->handler != kvs_api_put && route->handler != kvs_api_patch &&
           route->handler != kvs_api_delete && route->handler != kvs_api_restore;
}

void kvs_api_handle(struct kvs_api *api, struct kvs_http_exchange *exchange)
{
    struct kvs_api_call *call = kvs_arena_alloc(&exchange->arena, sizeof(*call));
    if (!call) {
        struct kvs_api_call poor = {.api = api, .exchange = exchange};
        kvs_api_finish(&poor, KVS_ERR_NOMEM);
        return;
    }
    *call = (struct kvs_api_call){.api = api, .exchange = exchange, .grant = kvs_auth_open_grant()};
    struct kvs_route_match match =
        kvs_route_find(api, exchange->request.method, exchange->request.path);
    call->route = match.route;
    call->has_action = match.has_action;
    call->action = match.action;
    if (!match.route) {
        refuse(call, &match);
        return;
    }
    int err = kvs_api_authorize(call);
    if (!err)
        err = decode_key(call, &match);
    if (!err && passes_over_conditions(match.route))
        err = kvs_api_conditions_refuse(call);
    if (err)
        kvs_api_finish(call, err);
    else if (kvs_api_is_between_peers(match.route) || comes_as_peer(call))
        kvs_api_peer_admit(call);
    else
        match.route->handler(call);
}
