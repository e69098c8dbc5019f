// SPDX-License-Identifier: Apache-2.0
// HTTP message types shared by `http` (bytes <-> messages), `net` (sockets) and `api` (meaning).
// Pure.
//
// Life of an exchange: `http` parses a request into it and calls the handler on the connection's
// loop thread. The handler fills `response` and calls kvs_http_finish, then or later, on that same
// thread, exactly once. In between it may post tasks to `loop` (back to that thread) and `workers`
// (may block). When the client disconnects meanwhile, the exchange stays valid until
// kvs_http_finish.
//
// Streams: a response whose body is made while it is sent. The handler fills status, headers and
// content type, sets `pull` and `notice` and calls kvs_http_stream_start; on false it calls
// kvs_http_finish and is done (HEAD, no memory). Then, on the loop thread and only while the client
// keeps up, `http` calls
//
//     pull: append what there is to response.body (some 64 KiB; more is held until it is sent).
//           true: call me again when there is room; false: there will be a kvs_http_stream_wake.
//
// kvs_http_finish ends the stream behind what pull has appended (what is appended elsewhere is
// dropped); it may be called inside pull, which then returns whatever it likes. With `cut` set
// before it, the stream ends in a way that the client sees as an interruption. So a slow client
// holds one buffer and never the producer's thread, and a producer that works elsewhere (on a
// worker) prepares a piece, wakes, and hands it over in pull.
//
// Whoever keeps an exchange for long, stream or not, sets `notice` to hear that the client has gone
// (finish soon, nobody reads it), that the server drains (end what has no end of its own) or that
// `due_ns` has come. Each of the first two is told once. It is called on the loop thread, never
// inside a call of the handler into `http`, and may itself call kvs_http_finish.
#ifndef KVS_CODEC_HTTP_H
#define KVS_CODEC_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/executor.h"

enum kvs_http_method {
    KVS_HTTP_GET,
    KVS_HTTP_HEAD,
    KVS_HTTP_PUT,
    KVS_HTTP_POST,
    KVS_HTTP_PATCH,
    KVS_HTTP_DELETE,
    KVS_HTTP_OPTIONS,
    KVS_HTTP_OTHER, // valid token that no route knows
};

const char *kvs_http_method_name(enum kvs_http_method method); // "GET"; "" for OTHER

struct kvs_http_header {
    struct kvs_slice name;  // as sent
    struct kvs_slice value; // surrounding white space removed
};

// How a request reached the node.
struct kvs_http_tls {
    bool on;                         // over TLS
    bool client_cert_asked;          // the listener asks for client certificates
    bool client_cert_verified;       // and this client has one that the CA file vouches for
    const char *client_cert_problem; // asked, not verified: why not; static, else NULL
};

// All slices are valid as long as the exchange.
struct kvs_http_request {
    enum kvs_http_method method;
    struct kvs_slice path;  // raw, percent-encoded, begins with '/'; "*" only for OPTIONS
    struct kvs_slice query; // raw, without '?'
    bool has_query;
    const struct kvs_http_header *headers;
    size_t header_count;
    struct kvs_slice body;           // complete, de-chunked
    struct kvs_slice client_address; // "127.0.0.1", "::1"
    int64_t received_ns;             // monotonic, first byte
    struct kvs_http_tls tls;
    char id[65]; // X-Request-ID, NUL-terminated: the client's sane one or a new one
};

struct kvs_http_response {
    int status;
    // Complete extra lines, each "Name: value\r\n"; use kvs_http_response_header. Date,
    // Content-Length, Connection, X-Request-ID and X-Content-Type-Options are added by `http`.
    struct kvs_buf headers;
    const char *content_type; // static; NULL = none
    struct kvs_buf body;      // for HEAD: filled all the same, `http` sends only its length
};

enum kvs_http_notice {
    KVS_HTTP_GONE,     // the client has closed its side, or is cut off
    KVS_HTTP_DRAINING, // the server stops
    KVS_HTTP_DUE,      // due_ns is over, and has been reset
};

struct kvs_http_exchange {
    struct kvs_http_request request;
    struct kvs_http_response response;
    struct kvs_arena arena;       // dies with the exchange
    struct kvs_executor *loop;    // the connection's loop thread
    struct kvs_executor *workers; // may block on the disk
    struct kvs_task task;         // for the handler's own use, one post at a time
    void *state;                  // for the handler's own use
    bool (*pull)(struct kvs_http_exchange *exchange);                                // streams
    void (*notice)(struct kvs_http_exchange *exchange, enum kvs_http_notice notice); // may be NULL
    int64_t due_ns; // monotonic; 0 = never. Told up to a quarter of a second late
    bool cut;       // before kvs_http_finish: the stream is not whole
    // Set by `http`.
    bool (*start)(struct kvs_http_exchange *exchange);
    void (*wake)(struct kvs_http_exchange *exchange);
    void (*finish)(struct kvs_http_exchange *exchange);
};

static inline bool kvs_http_stream_start(struct kvs_http_exchange *exchange)
{
    return exchange->start(exchange);
}

static inline void kvs_http_stream_wake(struct kvs_http_exchange *exchange)
{
    exchange->wake(exchange);
}

static inline void kvs_http_finish(struct kvs_http_exchange *exchange)
{
    exchange->finish(exchange);
}

// The first header of that name (case-insensitive); data == NULL when absent.
struct kvs_slice kvs_http_header_get(const struct kvs_http_request *request, const char *name);

// A query parameter, percent-decoded ('+' stays '+') into the arena. *ret_found tells absent from
// empty. KVS_ERR_INVALID when its encoding is broken or it stands there twice; KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_http_query_get(const struct kvs_http_request *request,
                                      struct kvs_arena *arena, const char *name,
                                      struct kvs_slice *ret_value, bool *ret_found);

// Decodes %XX once. KVS_ERR_INVALID on a broken escape; KVS_ERR_NOMEM. Without escapes it returns
// the input itself, uncopied.
KVS_MUST_CHECK int kvs_percent_decode(struct kvs_arena *arena, struct kvs_slice encoded,
                                      struct kvs_slice *ret_decoded);
// Appends `raw` with everything but unreserved characters (and '/' if keep_slash) escaped.
void kvs_percent_encode(struct kvs_buf *out, struct kvs_slice raw, bool keep_slash);

// `value` must hold no CR, LF or NUL (asserted: user data is never put there unescaped).
void kvs_http_response_header(struct kvs_http_response *response, const char *name,
                              struct kvs_slice value);

// Standard reason phrase, "" when unknown.
const char *kvs_http_reason(int status);

#endif
