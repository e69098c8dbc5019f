// SPDX-License-Identifier: Apache-2.0
// What the handler files of api/ share: the call (one request being answered), the route table and
// the helpers every handler uses. A call belongs to one thread at a time: the loop, or the worker
// it was handed to.
#ifndef KVS_API_API_INTERNAL_H
#define KVS_API_API_INTERNAL_H

#include "api/api.h"
#include "auth/crypto.h"

// ---- Routes (router.c)

struct kvs_api_call;
// Ends with kvs_api_finish, or starts something that will.
typedef void kvs_api_handler_fn(struct kvs_api_call *call);

enum kvs_route_permission {
    KVS_PERMISSION_NONE,
    KVS_PERMISSION_READ,
    KVS_PERMISSION_WRITE,
    KVS_PERMISSION_DELETE,
};
enum kvs_route_body {
    KVS_BODY_NONE,
    KVS_BODY_VALUE,
    KVS_BODY_PATCH,
    KVS_BODY_BATCH,
    KVS_BODY_MESSAGES,
    KVS_BODY_ACCOUNT,
    KVS_BODY_PEER,
};
enum kvs_route_feature {
    KVS_FEATURE_ALWAYS,
    KVS_FEATURE_HISTORY,
    KVS_FEATURE_METRICS,
    KVS_FEATURE_AUDIT,
    KVS_FEATURE_CLUSTER,
    KVS_FEATURE_AUTH,
    KVS_FEATURE_BACKUPS,
};

struct kvs_route {
    enum kvs_http_method method;
    const char *pattern;
    enum kvs_scope scope;
    enum kvs_route_permission permission;
    enum kvs_route_body body;
    const char *audit;
    enum kvs_route_feature feature;
    kvs_api_handler_fn *handler;
    const char *summary;
};

// One handler a name in tables/routes.def.
#define KVS_ROUTE(method, pattern, scope, permission, body, audit, feature, handler, summary)      \
    kvs_api_handler_fn kvs_api_##handler;
#include "tables/routes.def"
#undef KVS_ROUTE

enum kvs_route_index {
#define KVS_ROUTE(method, pattern, scope, permission, body, audit, feature, handler, summary)      \
    KVS_ROUTE_##handler,
#include "tables/routes.def"
#undef KVS_ROUTE
    KVS_ROUTE_COUNT
};

// A pattern taken apart: head [{key} | {prefix} '/' | {uuid} | {hash}] tail [{n}] end, and what its
// row says of audit.
struct kvs_route_shape {
    enum {
        KVS_SHAPE_EXACT,
        KVS_SHAPE_KEY,
        KVS_SHAPE_PREFIX,
        KVS_SHAPE_SEGMENT,
        KVS_SHAPE_NUMBER,
    } kind;
    bool has_number;
    bool has_alias;        // "/auth/…" instead of "/api/…" will do
    struct kvs_slice head; // before the wildcard; EXACT: everything
    struct kvs_slice tail; // KEY: "/history" or "/history/"
    struct kvs_slice end;  // behind {n}
    bool has_action;
    enum kvs_audit_action action;
};

struct kvs_route_match {
    const struct kvs_route *route; // NULL: none
    enum { KVS_MATCH_KEYLESS, KVS_MATCH_KEY, KVS_MATCH_PREFIX } what;
    struct kvs_slice rest;   // raw {key}, or {prefix} with the '/' behind it
    struct kvs_slice number; // raw {n}
    struct kvs_slice id;     // raw {uuid} or {hash}
    bool has_action;         // the audit log knows the route
    enum kvs_audit_action action;
    unsigned allowed; // without a route: bits of the methods the path has; 0 = unknown path
    enum kvs_route_feature off; // without a route: the path has one, but this is off; else ALWAYS
};

void kvs_route_shapes_init(struct kvs_route_shape shapes[static KVS_ROUTE_COUNT]);
struct kvs_route_match kvs_route_find(const struct kvs_api *api, enum kvs_http_method method,
                                      struct kvs_slice path);

// ---- The call (call.c)

struct kvs_api {
    struct kvs_api_options options;
    int64_t started_ms; // monotonic
    struct kvs_route_shape shapes[KVS_ROUTE_COUNT];
    struct kvs_api_peers *peers;           // NULL: clustering is off
    uint8_t cursor_key[KVS_SEAL_KEY_SIZE]; // the same on every node
};

// Writes the answer into the response, or returns an error. With KVS_READ_CACHED it must not block:
// it returns KVS_ERR_AGAIN instead, before it has written anything.
typedef int kvs_api_read_fn(struct kvs_api_call *call, enum kvs_read_mode mode);

enum kvs_api_limit { KVS_LIMIT_NONE, KVS_LIMIT_REQUESTS, KVS_LIMIT_LOGIN };

// Lives in the exchange's arena.
struct kvs_api_call {
    struct kvs_api *api;
    struct kvs_http_exchange *exchange;
    const struct kvs_route *route;
    const struct kvs_grant *grant;
    struct kvs_slice key;     // decoded {key}, valid; or {prefix}/, unchecked, may be empty
    struct kvs_slice number;  // raw {n}
    struct kvs_slice id;      // raw {uuid} or {hash}
    struct kvs_slice detail;  // of the error, for people
    struct kvs_slice subject; // for the audit log; empty: the key, or else the path
    enum kvs_api_limit limit; // that the request was counted by
    uint32_t remaining;       // … and what it left
    int64_t retry_after_s;    // of a refusal
    bool has_action;          // in the audit log
    enum kvs_audit_action action;
    bool audited;                 // the audit log has the request, or never will
    void *input;                  // the handler's own parameters, in the arena
    struct kvs_peer_caller *peer; // who signed the request; NULL: nobody did
    kvs_api_read_fn *read;
    int err; // between threads
};

// Runs `read` now from the caches and, where that would block, again on a worker; then finishes.
void kvs_api_read(struct kvs_api_call *call, kvs_api_read_fn *read);
// The same on a worker right away: for scans, which may walk over any number of entries.
void kvs_api_read_on_worker(struct kvs_api_call *call, kvs_api_read_fn *read);

// Answers with what is in the response, or with a problem document for `err`; where the audit log
// records the request, not before it has.
void kvs_api_finish(struct kvs_api_call *call, int err);

// receipt.c: the same for a write that made a version, `writer_seq` its dot (0: none), once as many
// nodes have it as the client prefers, or its time is over.
void kvs_api_finish_write(struct kvs_api_call *call, int err, uint64_t writer_seq);
// receipt.c: how far this node may be behind its peers, where a read asks for it.
void kvs_api_append_staleness(struct kvs_api_call *call);

// NULL: out of memory or over the request's limit.
void *kvs_api_alloc(struct kvs_api_call *call, size_t size);

// Raises the response body's limit to `size` bytes: what is stored must be readable, whatever limit
// the buffer came with.
void kvs_api_body_allow(struct kvs_api_call *call, size_t size);
// The same, and makes room at once.
void kvs_api_body_reserve(struct kvs_api_call *call, size_t size);

// ---- Audit (audit_event.c)

// Who does what to what: for writes that carry it into their own commit (struct kvs_write,
// `audit`). Borrows from the call.
void kvs_api_audit_describe(const struct kvs_api_call *call, struct kvs_audit_event *ret_event);
// For an answer that kvs_api_finish does not end, a stream: recorded as it begins, without waiting.
void kvs_api_audit_note(struct kvs_api_call *call);
// kvs_api_finish's: true when the request is recorded first and finished afterwards.
bool kvs_api_audit_first(struct kvs_api_call *call, int err);
// ---- Access (access.c)

// The nodes' own protocol, which sees to its credentials itself (peer.c).
static inline bool kvs_api_is_between_peers(const struct kvs_route *route)
{
    return route->scope == KVS_SCOPE_PEER && route->feature == KVS_FEATURE_CLUSTER;
}
// Sets the call's grant. 0, or the error to answer with: nothing else of the request is looked at.
KVS_MUST_CHECK int kvs_api_authorize(struct kvs_api_call *call);
// The headers that tell of the rate limit; behind the response's own, with the error it answers.
void kvs_api_append_limit(struct kvs_api_call *call, int err);

// ---- Problems (problem.c)

// Remembers the detail for kvs_api_finish; returns `err`.
int kvs_api_fail(struct kvs_api_call *call, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Replaces the response by an application/problem+json document.
void kvs_api_problem(struct kvs_http_response *response, int status, struct kvs_slice detail);
// The document alone.
void kvs_api_append_problem(struct kvs_buf *out, int status, struct kvs_slice detail);
// What to tell the client where nothing more precise is known; static.
const char *kvs_api_default_detail(int err);

// ---- Peers (peer.c, peer_log.c)

struct kvs_api_peers; // what their requests share
KVS_MUST_CHECK int kvs_api_peers_new(const struct kvs_api_options *options,
                                     struct kvs_api_peers **ret_peers);
void kvs_api_peers_free(struct kvs_api_peers *peers); // NULL is fine

// The beginning of every call whose route has scope PEER, and of those for data that bring the
// credentials of a peer: ends with the route's handler, or with a 401 that is logged for the
// operator.
void kvs_api_peer_admit(struct kvs_api_call *call);
// Warns, once in a while for each client address and text (static).
void kvs_api_peer_log_once(struct kvs_api_call *call, const char *what, const char *node_key,
                           struct kvs_slice node_value);
// Signs the response, which is complete, for call->peer.
void kvs_api_peer_sign(struct kvs_api_call *call);

// Once in a while, however often it happens: strangers must not fill the log.
struct kvs_api_peer_log;
KVS_MUST_CHECK int kvs_api_peer_log_new(struct kvs_api_peer_log **ret_peer_log);
void kvs_api_peer_log_free(struct kvs_api_peer_log *peer_log); // NULL is fine
// `what` is a static text; true when it is time to log it of this address.
bool kvs_api_peer_log_is_due(struct kvs_api_peer_log *peer_log, struct kvs_slice address,
                             const char *what, int64_t now_ms);

// peer_metrics.c: what the metrics' table cannot hold, one series for each other member.
KVS_MUST_CHECK int kvs_api_append_peer_metrics(struct kvs_api_call *call);

// ---- Query parameters (query.c)

struct kvs_api_param {
    const char *name;
    bool found;
    struct kvs_slice value; // decoded
};

// Strict: an unknown name, a name that stands twice and a broken escape are KVS_ERR_INVALID with
// their detail. A route without parameters passes NULL, 0.
KVS_MUST_CHECK int kvs_api_query(struct kvs_api_call *call, struct kvs_api_param *params,
                                 size_t param_count);
// "1", "true", "0", "false"; false when absent.
KVS_MUST_CHECK int kvs_api_param_bool(struct kvs_api_call *call, const struct kvs_api_param *param,
                                      bool *ret_value);
// 1 to 1000; 100 when absent.
KVS_MUST_CHECK int kvs_api_param_limit(struct kvs_api_call *call, const struct kvs_api_param *param,
                                       uint32_t *ret_limit);
// A Go duration; "" and "0" are KVS_TTL_NONE; rounded up to milliseconds. `where` names the source.
KVS_MUST_CHECK int kvs_api_parse_ttl(struct kvs_api_call *call, const char *where,
                                     struct kvs_slice text, int64_t *ret_ttl_ms);

// ---- Conditional requests, RFC 9110 section 13 (conditional.c)

struct kvs_api_tags {
    bool present;
    bool any;               // "*"
    struct kvs_uuid *uuids; // the tags that can be a version's; others match nothing
    size_t count;
};

struct kvs_api_conditions {
    struct kvs_api_tags if_match; // strong tags only
    struct kvs_api_tags if_none_match;
    int64_t if_modified_since_s; // -1: none
    int64_t if_unmodified_since_s;
};

enum kvs_api_verdict { KVS_VERDICT_PROCEED, KVS_VERDICT_NOT_MODIFIED, KVS_VERDICT_FAILED };

// KVS_ERR_INVALID with its detail for a malformed list of entity tags; malformed dates are ignored.
KVS_MUST_CHECK int kvs_api_conditions_read(struct kvs_api_call *call,
                                           struct kvs_api_conditions *ret_conditions);
// For GET and HEAD of an existing record.
enum kvs_api_verdict kvs_api_conditions_judge(const struct kvs_api_conditions *conditions,
                                              const struct kvs_version *version);
// For writes: reads the headers into the write's condition.
KVS_MUST_CHECK int kvs_api_conditions_for_write(struct kvs_api_call *call, struct kvs_write *write);
// KVS_ERR_INVALID with its detail for a condition on a request that judges none.
KVS_MUST_CHECK int kvs_api_conditions_refuse(struct kvs_api_call *call);

// fingerprint.c: for a listing of what begins with `prefix`: adds its entity tag, where there is
// one for this caller, and judges If-None-Match by it. On a worker.
KVS_MUST_CHECK int kvs_api_fingerprint_judge(struct kvs_api_call *call, struct kvs_slice prefix,
                                             bool *ret_unchanged);

// The first key behind all that begin with `prefix`, in the arena; empty (no end) for every key.
KVS_MUST_CHECK int kvs_api_behind_prefix(struct kvs_api_call *call, struct kvs_slice prefix,
                                         struct kvs_slice *ret_end);

// An HTTP-date in any of the three forms of RFC 9110 section 5.6.7 (http_date.c); `now_s` places
// the obsolete two-digit year.
bool kvs_api_http_date_parse(struct kvs_slice text, int64_t now_s, int64_t *ret_unix_s);

// ---- Parts of requests

// envelope.c: `json` is compact. An envelope's data and ttl, or `json` itself with *ret_ttl_ms left
// alone; KVS_ERR_INVALID with its detail for a bad ttl.
KVS_MUST_CHECK int kvs_api_envelope_split(struct kvs_api_call *call, struct kvs_slice json,
                                          struct kvs_slice *ret_data, int64_t *ret_ttl_ms);
// The string whose source (compact, with quotes) this is.
KVS_MUST_CHECK int kvs_api_string_value(struct kvs_api_call *call, struct kvs_slice json,
                                        struct kvs_slice *ret_string);
// history.c: {n}, from 1 to `revisions`; KVS_ERR_INVALID with its detail.
KVS_MUST_CHECK int kvs_api_revision_number(struct kvs_api_call *call, uint32_t *ret_revision);

// ---- Writing (write.c)

void kvs_api_append_uuid(struct kvs_buf *out, const struct kvs_uuid *uuid);
// "uuid":"…","timestamp":N
void kvs_api_append_version(struct kvs_buf *out, const struct kvs_version *version);
// {"uuid":"…","timestamp":N,"data":…}
void kvs_api_append_record(struct kvs_buf *out, const struct kvs_version *version,
                           struct kvs_slice json);
// The answer to a write that made a version: 201 with Location or 200, ETag, uuid and timestamp.
void kvs_api_answer_version(struct kvs_api_call *call, const struct kvs_write *write);
// ETag, Last-Modified and Cache-Control of a version.
void kvs_api_append_validators(struct kvs_buf *headers, const struct kvs_version *version);

// An opaque, URL-safe cursor that stands for `key`, and back. KVS_ERR_INVALID.
void kvs_api_cursor_append(struct kvs_buf *out, struct kvs_slice key);
// The same for a key that the caller may not be allowed to know: sealed when accounts are on.
void kvs_api_cursor_append_sealed(struct kvs_api_call *call, struct kvs_buf *out,
                                  struct kvs_slice key);
KVS_MUST_CHECK int kvs_api_cursor_parse(struct kvs_api_call *call, struct kvs_slice cursor,
                                        struct kvs_slice *ret_key);

// The OpenAPI document, generated at build time from openapi.yaml.
extern const char kvs_api_openapi_json[];
extern const size_t kvs_api_openapi_json_size;

#endif
