// SPDX-License-Identifier: Apache-2.0
// What the files of a connection share: conn.c (requests, input, output), stream.c (responses in
// pieces), report.c (metrics and access log). The loop's thread alone.
#ifndef KVS_HTTP_CONN_INTERNAL_H
#define KVS_HTTP_CONN_INTERNAL_H

#include "http/server_internal.h"

enum phase { HEAD, LENGTH, CHUNKED, TRAILERS, HANDLING, CLOSING };

struct kvs_http_conn {
    struct kvs_http_server *server;
    struct http_workspace *workspace; // NULL while idle
    void (*wake)(void *ctx);
    void *wake_ctx;
    enum phase phase;
    bool running;
    bool closed;      // by the owner, while a handler is at work
    bool input_ended; // the client sends nothing more
    bool had_request;
    bool skipped_empty_line; // before this request
    bool stalled;            // the client has not taken all of the output
    size_t body_missing;     // LENGTH: bytes still to come
    int64_t begun_ns;        // HEAD: idle since, or first byte of this request
    int64_t progress_ns;     // the client last took output
    struct kvs_http_tls tls;
    struct kvs_http_address peer;
    size_t peer_text_size;
    char peer_text[KVS_HTTP_ADDRESS_TEXT_MAX];
};

static inline int64_t http_conn_now(const struct kvs_http_conn *conn)
{
    return kvs_clock_mono_ns(conn->server->options.clock);
}

// ---- report.c

// The method and path as sent, as far as the request line was understood.
void http_conn_name_request(const struct http_workspace *workspace, struct kvs_slice *ret_method,
                            struct kvs_slice *ret_path);
bool http_conn_is_head_request(const struct http_workspace *workspace);
void http_conn_report(struct kvs_http_conn *conn, int64_t duration_ns, uint64_t response_body_size);

// ---- stream.c

// The exchange's own functions.
bool http_stream_on_start(struct kvs_http_exchange *exchange);
void http_stream_on_wake(struct kvs_http_exchange *exchange);
// Is there something that the handler should hear?
bool http_stream_has_notice(const struct kvs_http_conn *conn, int64_t now_ns);
// While the handler is at work: tells it, or lets it append. Returns whether there may be more to
// do.
bool http_stream_step(struct kvs_http_conn *conn);
// The handler has finished a stream: may its end be written now?
bool http_stream_can_end(const struct kvs_http_conn *conn);

#endif
