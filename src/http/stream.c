// SPDX-License-Identifier: Apache-2.0
// Responses whose body is made while it is sent, and what a handler that takes long must hear. The
// handler appends only inside `pull`, which is called only while the client keeps up: so what waits
// here is bounded, whoever reads slowly. A stream to HTTP/1.1 goes in chunks; to HTTP/1.0 the end
// of the connection ends it.
//
// Threading: the loop's thread alone. A pull or a notice runs inside kvs_http_conn_run, where a
// finish or a wake of the handler does not call back into the owner of the connection.
#include "http/conn_internal.h"

#include "base/assert.h"

static struct kvs_http_conn *conn_of(struct kvs_http_exchange *exchange)
{
    return KVS_CONTAINER_OF(exchange, struct http_workspace, exchange)->conn;
}

static void run_soon(struct kvs_http_conn *conn)
{
    if (!conn->running && !conn->closed)
        conn->wake(conn->wake_ctx);
}

bool http_stream_on_start(struct kvs_http_exchange *exchange)
{
    struct kvs_http_conn *conn = conn_of(exchange);
    struct http_workspace *workspace = conn->workspace;
    struct http_stream *stream = &workspace->stream;
    kvs_assert(conn->phase == HANDLING);
    kvs_assert(!stream->started && !workspace->finished);
    kvs_assert(exchange->pull && exchange->notice);
    if (conn->closed || exchange->response.headers.err)
        return false; // nobody is there, or the whole response is about to be replaced
    int64_t at_ns = http_conn_now(conn);
    if (http_output_size(&workspace->output) == 0)
        conn->progress_ns = at_ns;
    stream->started = true;
    stream->chunked = !workspace->head.is_1_0;
    stream->duration_ns = at_ns - conn->begun_ns;
    if (conn->server->draining || !stream->chunked)
        workspace->head.keep_alive = false;
    http_response_write_stream_head(workspace, conn->server, !workspace->head.keep_alive);
    kvs_buf_clear(&exchange->response.body);
    if (http_conn_is_head_request(workspace) || workspace->output.text.err)
        return false;
    stream->wanted = true;
    run_soon(conn);
    return true;
}

void http_stream_on_wake(struct kvs_http_exchange *exchange)
{
    struct kvs_http_conn *conn = conn_of(exchange);
    kvs_assert(conn->workspace->stream.started);
    conn->workspace->stream.wanted = true;
    run_soon(conn);
}

static bool is_gone(const struct kvs_http_conn *conn)
{
    const struct http_stream *stream = &conn->workspace->stream;
    return (conn->input_ended || stream->broken) && !stream->told_gone;
}

static bool is_drained(const struct kvs_http_conn *conn)
{
    return conn->server->draining && !conn->workspace->stream.told_draining;
}

static bool is_due(const struct kvs_http_conn *conn, int64_t now_ns)
{
    int64_t due_ns = conn->workspace->exchange.due_ns;
    return due_ns != 0 && now_ns >= due_ns;
}

bool http_stream_has_notice(const struct kvs_http_conn *conn, int64_t now_ns)
{
    return conn->workspace->exchange.notice && !conn->workspace->finished &&
           (is_gone(conn) || is_drained(conn) || is_due(conn, now_ns));
}

// One at a time: a notice may finish the exchange.
static void tell(struct kvs_http_conn *conn)
{
    struct kvs_http_exchange *exchange = &conn->workspace->exchange;
    struct http_stream *stream = &conn->workspace->stream;
    if (is_gone(conn)) {
        stream->told_gone = true;
        exchange->notice(exchange, KVS_HTTP_GONE);
    } else if (is_drained(conn)) {
        stream->told_draining = true;
        exchange->notice(exchange, KVS_HTTP_DRAINING);
    } else {
        exchange->due_ns = 0;
        exchange->notice(exchange, KVS_HTTP_DUE);
    }
}

static bool has_room(const struct http_output *output)
{
    return http_output_size(output) < KVS_HTTP_OUTPUT_MAX && output->large.size == 0;
}

bool http_stream_can_end(const struct kvs_http_conn *conn)
{
    return conn->workspace->output.large.size == 0; // nothing is gathered behind a large piece
}

static void pull(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    struct kvs_http_exchange *exchange = &workspace->exchange;
    bool was_empty = http_output_size(&workspace->output) == 0;
    workspace->stream.wanted = false;
    bool more = exchange->pull(exchange);
    workspace->stream.wanted |= more;
    http_response_write_piece(workspace);
    if (was_empty)
        conn->progress_ns = http_conn_now(conn);
    if (workspace->output.text.err || exchange->response.body.err) {
        exchange->cut = true;
        workspace->stream.wanted = false;
        workspace->stream.broken = true; // as good as gone: the handler is told
    }
}

bool http_stream_step(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    const struct kvs_http_exchange *exchange = &workspace->exchange;
    if (exchange->notice && http_stream_has_notice(conn, http_conn_now(conn))) {
        tell(conn);
        return true;
    }
    if (!workspace->stream.started || !workspace->stream.wanted || !has_room(&workspace->output))
        return false;
    pull(conn);
    return true;
}
