// SPDX-License-Identifier: Apache-2.0
// One connection: request after request from its input to its output, one at a time and in order.
//
//     HEAD --> LENGTH ---------------------> HANDLING --> HEAD
//       |  \-> CHUNKED --> TRAILERS --/          \-----> CLOSING
//       \-- refused, cut off, timed out ---------------> CLOSING
//
// A handler that finishes inside its call does not recurse: kvs_http_conn_run steps on in a loop,
// so that a million pipelined requests need no more stack than one. Slices of a request point into
// the input buffer, which therefore does not move between the head and the response.
// Threading: the loop's thread alone. Must never block, read a clock that is not given, or touch a
// socket.
#include "base/assert.h"
#include "http/chunked_internal.h"
#include "http/conn_internal.h"

enum { BODY_READ_MIN = 16 * 1024, BODY_READ_MAX = 256 * 1024 };

static bool has_output(const struct kvs_http_conn *conn)
{
    return conn->workspace && http_output_size(&conn->workspace->output) > 0;
}

int kvs_http_conn_new(struct kvs_http_server *server, const struct kvs_http_address *peer,
                      void (*wake)(void *ctx), void *wake_ctx, struct kvs_http_conn **ret_conn)
{
    struct kvs_http_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return KVS_ERR_NOMEM;
    conn->server = server;
    conn->wake = wake;
    conn->wake_ctx = wake_ctx;
    conn->peer = *peer;
    conn->peer_text_size = kvs_http_address_format(peer, conn->peer_text);
    conn->begun_ns = http_conn_now(conn);
    *ret_conn = conn;
    return 0;
}

static void free_conn(struct kvs_http_conn *conn)
{
    if (conn->workspace)
        http_workspace_release(conn->server, conn->workspace);
    free(conn);
}

void kvs_http_conn_close(struct kvs_http_conn *conn)
{
    if (!conn)
        return;
    kvs_assert(!conn->running);
    if (conn->phase == HANDLING && !conn->workspace->finished) {
        conn->closed = true; // on_finish frees it
        struct kvs_http_exchange *exchange = &conn->workspace->exchange;
        bool told = conn->workspace->stream.told_gone;
        conn->workspace->stream.told_gone = true;
        if (exchange->notice && !told)
            exchange->notice(exchange, KVS_HTTP_GONE); // may finish, and so free the connection
    } else {
        if (conn->phase == HANDLING)
            conn->server->in_flight--;
        free_conn(conn);
    }
}

static void on_finish(struct kvs_http_exchange *exchange)
{
    struct http_workspace *workspace = KVS_CONTAINER_OF(exchange, struct http_workspace, exchange);
    struct kvs_http_conn *conn = workspace->conn;
    kvs_assert(conn->phase == HANDLING);
    kvs_assert(!workspace->finished);
    workspace->finished = true;
    if (conn->closed) {
        conn->server->in_flight--;
        free_conn(conn);
    } else if (!conn->running) {
        conn->wake(conn->wake_ctx);
    }
}

static bool acquire_workspace(struct kvs_http_conn *conn)
{
    if (conn->workspace)
        return true;
    conn->workspace = http_workspace_acquire(conn->server);
    if (!conn->workspace)
        return false;
    conn->workspace->conn = conn;
    conn->workspace->exchange.loop = conn->server->options.loop;
    conn->workspace->exchange.workers = conn->server->options.workers;
    conn->workspace->exchange.finish = on_finish;
    conn->workspace->exchange.start = http_stream_on_start;
    conn->workspace->exchange.wake = http_stream_on_wake;
    return true;
}

// ---- Answering

// To the next request, or to the end.
static void go_on(struct kvs_http_conn *conn, bool close, int64_t now_ns)
{
    if (conn->workspace->output.text.err)
        close = true; // half a head must not be followed by anything; out of memory
    conn->phase = close ? CLOSING : HEAD;
    conn->begun_ns = now_ns;
    conn->had_request = true;
    conn->skipped_empty_line = false;
    http_workspace_next_request(conn->workspace);
}

// Puts exchange.response behind the output and goes on to the next request, or to the end.
static void respond(struct kvs_http_conn *conn, bool close)
{
    struct http_workspace *workspace = conn->workspace;
    struct kvs_http_response *response = &workspace->exchange.response;
    if (response->headers.err || response->body.err)
        http_response_refuse(&workspace->exchange, response->body.err == KVS_ERR_NOMEM
                                                       ? HTTP_REFUSE_NO_MEMORY
                                                       : HTTP_REFUSE_RESPONSE);
    bool is_head = http_conn_is_head_request(workspace);
    size_t body_size =
        is_head || response->status == 204 || response->status == 304 ? 0 : response->body.size;
    bool was_empty = http_output_size(&workspace->output) == 0;
    http_response_write(workspace, conn->server, is_head, close);
    int64_t at_ns = http_conn_now(conn);
    if (was_empty)
        conn->progress_ns = at_ns;
    http_conn_report(conn, at_ns - conn->begun_ns, body_size);
    go_on(conn, close, at_ns);
}

static void begin_exchange(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    workspace->head_at = workspace->input.start;
    struct kvs_http_request *request = &workspace->exchange.request;
    *request = (struct kvs_http_request){
        .method = KVS_HTTP_OTHER,
        .client_address = kvs_slice(conn->peer_text, conn->peer_text_size),
        .received_ns = conn->begun_ns,
        .tls = conn->tls,
    };
    http_server_make_id(conn->server, request->id);
}

// Answers by ourselves; what the client has sent besides is thrown away.
static void refuse(struct kvs_http_conn *conn, enum http_refusal refusal)
{
    if (!acquire_workspace(conn)) {
        conn->phase = CLOSING;
        return;
    }
    if (conn->phase == HEAD && !conn->workspace->scan.complete)
        begin_exchange(conn);
    http_response_refuse(&conn->workspace->exchange, refusal);
    respond(conn, true);
    conn->workspace->input.start = conn->workspace->input.end;
}

// ---- Requests

static void dispatch(struct kvs_http_conn *conn, struct kvs_slice body)
{
    conn->workspace->exchange.request.body = body;
    conn->phase = HANDLING;
    conn->server->in_flight++;
    const struct kvs_http_handler *handler = &conn->server->options.handler;
    handler->handle(handler->ctx, &conn->workspace->exchange);
}

// The head has said already whether the connection goes on.
static void end_stream(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    bool cut = workspace->exchange.cut || workspace->exchange.response.body.err;
    bool was_empty = http_output_size(&workspace->output) == 0;
    int64_t at_ns = http_conn_now(conn);
    if (was_empty)
        conn->progress_ns = at_ns;
    if (!cut && !http_conn_is_head_request(workspace))
        http_response_write_stream_end(workspace);
    http_conn_report(conn, workspace->stream.duration_ns, workspace->stream.body_size);
    bool last = conn->input_ended && http_input_size(&workspace->input) == 0;
    go_on(conn, cut || last || !workspace->stream.chunked || !workspace->head.keep_alive, at_ns);
}

static void finish_handling(struct kvs_http_conn *conn)
{
    conn->server->in_flight--;
    if (conn->workspace->stream.started) {
        end_stream(conn);
        return;
    }
    bool last = conn->input_ended && http_input_size(&conn->workspace->input) == 0;
    respond(conn, !conn->workspace->head.keep_alive || conn->server->draining || last);
}

static size_t body_limit(const struct kvs_http_conn *conn)
{
    const struct kvs_http_handler *handler = &conn->server->options.handler;
    return handler->body_limit
               ? handler->body_limit(handler->ctx, &conn->workspace->exchange.request)
               : conn->server->settings->body_max;
}

// Sent only when the body will be read, and only to a client that still holds it back.
static void promise_to_read(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    if (!workspace->head.expects_continue || http_input_size(&workspace->input) > 0)
        return;
    if (!has_output(conn))
        conn->progress_ns = http_conn_now(conn);
    kvs_buf_append_str(&workspace->output.text, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void begin_length_body(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    struct http_input *input = &workspace->input;
    size_t length = (size_t)workspace->head.length;
    size_t here = http_input_size(input);
    if (here >= length) { // the usual case: the body stays where it is
        input->start += length;
        dispatch(conn, kvs_slice(input->data + input->start - length, length));
        return;
    }
    size_t more = length > workspace->body.capacity ? length - workspace->body.capacity : 0;
    if (!http_workspace_fits(workspace, conn->server, more)) {
        refuse(conn, HTTP_REFUSE_BUDGET);
        return;
    }
    promise_to_read(conn);
    workspace->body.size_max = length;
    kvs_buf_append(&workspace->body, input->data + input->start, here);
    input->start = input->end;
    conn->body_missing = length - here;
    conn->phase = LENGTH;
    if (workspace->body.err)
        refuse(conn, HTTP_REFUSE_NO_MEMORY);
}

static void judge_forwarding(struct kvs_http_conn *conn)
{
    const struct kvs_http_settings *settings = conn->server->settings;
    if (settings->trusted_proxy_count == 0)
        return;
    struct http_workspace *workspace = conn->workspace;
    struct kvs_http_request *request = &workspace->exchange.request;
    struct kvs_http_address client =
        http_forwarded_client(settings, &conn->peer, request->headers, request->header_count);
    size_t size = kvs_http_address_format(&client, workspace->client);
    request->client_address = kvs_slice(workspace->client, size);
}

static void begin_request(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    struct http_input *input = &workspace->input;
    begin_exchange(conn);
    size_t head_size = workspace->scan.line;
    if (!http_input_reserve_tail(input, head_size)) {
        refuse(conn, HTTP_REFUSE_NO_MEMORY);
        return;
    }
    workspace->head_at = input->start;
    struct kvs_http_request *request = &workspace->exchange.request;
    enum http_refusal refusal = http_head_parse(&workspace->head, input->data + input->start,
                                                head_size, conn->server->settings, request);
    input->start += head_size;
    if (http_request_id_is_sane(workspace->head.id_value)) {
        memcpy(request->id, workspace->head.id_value.data, workspace->head.id_value.size);
        request->id[workspace->head.id_value.size] = '\0';
    }
    if (refusal) {
        refuse(conn, refusal);
        return;
    }
    judge_forwarding(conn);
    if (workspace->head.framing == HTTP_FRAMING_NONE) {
        dispatch(conn, KVS_SLICE_EMPTY);
        return;
    }
    size_t limit = body_limit(conn);
    if (workspace->head.framing == HTTP_FRAMING_LENGTH) {
        if (workspace->head.length > limit)
            refuse(conn, HTTP_REFUSE_BODY_TOO_LARGE);
        else
            begin_length_body(conn);
        return;
    }
    promise_to_read(conn);
    workspace->body.size_max = limit;
    conn->phase = CHUNKED;
}

// ---- Steps: each returns whether there may be more to do.

static bool step_head(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    struct http_input *input = workspace ? &workspace->input : NULL;
    if (!input || http_input_size(input) == 0) {
        if (conn->input_ended)
            conn->phase = CLOSING;
        return false;
    }
    if (http_output_size(&workspace->output) >= KVS_HTTP_OUTPUT_MAX ||
        workspace->output.large.size > 0)
        return false; // the client must read first
    const char *data = input->data + input->start;
    // RFC 9112 §2.2: an empty line before a request is an old client's mistake.
    if (data[0] == '\r' && !conn->skipped_empty_line && http_input_size(input) >= 2 &&
        data[1] == '\n') {
        input->start += 2;
        conn->skipped_empty_line = true;
        return true;
    }
    bool half_empty_line = data[0] == '\r' && !conn->skipped_empty_line &&
                           http_input_size(input) == 1 && !conn->input_ended;
    if (half_empty_line)
        return false;
    enum http_refusal refusal = http_scan_head(&workspace->scan, data, http_input_size(input));
    if (!refusal && !workspace->scan.complete && conn->input_ended)
        refusal = HTTP_REFUSE_REQUEST_CUT_OFF;
    if (refusal)
        refuse(conn, refusal);
    else if (workspace->scan.complete)
        begin_request(conn);
    else
        return false;
    return true;
}

static bool step_length(struct kvs_http_conn *conn)
{
    if (conn->body_missing == 0)
        dispatch(conn, kvs_buf_slice(&conn->workspace->body));
    else if (conn->input_ended)
        refuse(conn, HTTP_REFUSE_REQUEST_CUT_OFF);
    else
        return false;
    return true;
}

static bool step_chunked(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    struct http_input *input = &workspace->input;
    size_t consumed = 0;
    enum http_refusal refusal =
        http_chunked_feed(&workspace->head, &workspace->body, input->data + input->start,
                          http_input_size(input), &consumed);
    input->start += consumed;
    if (!refusal && !http_workspace_try_charge(workspace, conn->server))
        refusal = HTTP_REFUSE_BUDGET;
    if (refusal) {
        refuse(conn, refusal);
    } else if (workspace->head.last_chunk) {
        // The trailers are scanned apart; the head's scan still names the request.
        workspace->trailers = (struct http_scan){0};
        conn->phase = TRAILERS;
    } else if (conn->input_ended) {
        refuse(conn, HTTP_REFUSE_REQUEST_CUT_OFF);
    } else {
        return false;
    }
    return true;
}

static bool step_trailers(struct kvs_http_conn *conn)
{
    struct http_workspace *workspace = conn->workspace;
    struct http_input *input = &workspace->input;
    enum http_refusal refusal = http_scan_trailers(&workspace->trailers, input->data + input->start,
                                                   http_input_size(input));
    if (!refusal && !workspace->trailers.complete && conn->input_ended)
        refusal = HTTP_REFUSE_REQUEST_CUT_OFF;
    if (refusal) {
        refuse(conn, refusal);
    } else if (workspace->trailers.complete) {
        input->start += workspace->trailers.line; // checked and dropped
        dispatch(conn, kvs_buf_slice(&workspace->body));
    } else {
        return false;
    }
    return true;
}

static bool step(struct kvs_http_conn *conn)
{
    switch (conn->phase) {
    case HEAD:
        return step_head(conn);
    case LENGTH:
        return step_length(conn);
    case CHUNKED:
        return step_chunked(conn);
    case TRAILERS:
        return step_trailers(conn);
    case HANDLING:
        if (!conn->workspace->finished)
            return http_stream_step(conn);
        if (conn->workspace->stream.started && !http_stream_can_end(conn))
            return false;
        finish_handling(conn);
        return true;
    case CLOSING:
        return false;
    }
    return false;
}

void kvs_http_conn_run(struct kvs_http_conn *conn)
{
    kvs_assert(!conn->running);
    conn->running = true;
    while (step(conn))
        ;
    conn->running = false;
    if (conn->workspace && kvs_http_conn_is_idle(conn)) {
        http_workspace_release(conn->server, conn->workspace);
        conn->workspace = NULL;
    } else if (conn->workspace) {
        http_workspace_settle(conn->workspace, conn->server);
    }
}

// ---- Input and output

static bool input_is_pinned(const struct kvs_http_conn *conn)
{
    return conn->phase == HANDLING;
}

bool kvs_http_conn_wants_input(const struct kvs_http_conn *conn)
{
    const struct http_workspace *workspace = conn->workspace;
    if (conn->input_ended || conn->phase == CLOSING)
        return false;
    if (!workspace)
        return true;
    if (input_is_pinned(conn))
        return workspace->input.end < workspace->input.capacity;
    if (conn->phase == LENGTH)
        return conn->body_missing > 0;
    return conn->phase != HEAD || (http_output_size(&workspace->output) < KVS_HTTP_OUTPUT_MAX &&
                                   workspace->output.large.size == 0);
}

static char *body_input(struct kvs_http_conn *conn, size_t *ret_size)
{
    // Grows with what has arrived, not with what was announced: nor is that charged before, or
    // announcements alone would keep others out.
    struct kvs_buf *body = &conn->workspace->body;
    size_t size = body->size < BODY_READ_MIN ? BODY_READ_MIN : body->size;
    if (size > BODY_READ_MAX)
        size = BODY_READ_MAX;
    if (size > conn->body_missing)
        size = conn->body_missing;
    char *room = kvs_buf_reserve(body, size);
    if (!room) {
        refuse(conn, HTTP_REFUSE_NO_MEMORY);
        return NULL;
    }
    if (!http_workspace_try_charge(conn->workspace, conn->server)) {
        refuse(conn, HTTP_REFUSE_BUDGET);
        return NULL;
    }
    *ret_size = size;
    return room;
}

char *kvs_http_conn_input(struct kvs_http_conn *conn, size_t *ret_size)
{
    *ret_size = 0;
    if (!kvs_http_conn_wants_input(conn))
        return NULL;
    bool ok = acquire_workspace(conn);
    if (ok && conn->phase == LENGTH)
        return body_input(conn, ret_size);
    struct http_input *input = ok ? &conn->workspace->input : NULL;
    if (ok && !input_is_pinned(conn)) {
        size_t head_end = conn->workspace->head_at + conn->workspace->scan.line;
        ok = http_input_reserve(input, conn->phase == HEAD ? 0 : head_end);
    }
    if (!ok) {
        refuse(conn, HTTP_REFUSE_NO_MEMORY);
        return NULL;
    }
    *ret_size = input->capacity - input->end;
    return input->data + input->end;
}

void kvs_http_conn_received(struct kvs_http_conn *conn, size_t size)
{
    struct http_workspace *workspace = conn->workspace;
    kvs_assert(workspace != NULL);
    if (conn->phase == LENGTH) {
        kvs_assert(size <= conn->body_missing);
        workspace->body.size += size;
        conn->body_missing -= size;
        return;
    }
    kvs_assert(size <= workspace->input.capacity - workspace->input.end);
    if (conn->phase == HEAD && http_input_size(&workspace->input) == 0)
        conn->begun_ns = http_conn_now(conn);
    workspace->input.end += size;
}

void kvs_http_conn_end_input(struct kvs_http_conn *conn)
{
    conn->input_ended = true;
}

size_t kvs_http_conn_output(const struct kvs_http_conn *conn,
                            struct iovec ret_iovecs[static KVS_HTTP_OUTPUT_IOVECS])
{
    if (!conn->workspace)
        return 0;
    const struct http_output *output = &conn->workspace->output;
    size_t count = 0;
    if (output->text_sent < output->text.size)
        ret_iovecs[count++] = (struct iovec){output->text.data + output->text_sent,
                                             output->text.size - output->text_sent};
    if (output->large_sent < output->large.size)
        ret_iovecs[count++] = (struct iovec){output->large.data + output->large_sent,
                                             output->large.size - output->large_sent};
    return count;
}

void kvs_http_conn_sent(struct kvs_http_conn *conn, size_t size)
{
    struct http_output *output = &conn->workspace->output;
    kvs_assert(size <= http_output_size(output));
    size_t text = output->text.size - output->text_sent;
    if (text > size)
        text = size;
    output->text_sent += text;
    output->large_sent += size - text;
    bool drained = http_output_size(output) == 0;
    if (drained)
        http_workspace_clear_output(conn->workspace);
    if (!drained || conn->stalled) {
        conn->progress_ns = http_conn_now(conn);
        if (drained && conn->phase == HEAD)
            conn->begun_ns = conn->progress_ns; // it was us who did not read on
    }
    conn->stalled = !drained;
}

bool kvs_http_conn_is_over(const struct kvs_http_conn *conn)
{
    return conn->phase == CLOSING && !has_output(conn);
}

bool kvs_http_conn_is_idle(const struct kvs_http_conn *conn)
{
    return (conn->phase == HEAD || conn->phase == CLOSING) && !has_output(conn) &&
           (!conn->workspace || http_input_size(&conn->workspace->input) == 0);
}

void kvs_http_conn_set_tls(struct kvs_http_conn *conn, const struct kvs_http_tls *tls)
{
    conn->tls = *tls;
}

void kvs_http_conn_refuse(struct kvs_http_conn *conn)
{
    kvs_assert(conn->phase == HEAD);
    refuse(conn, HTTP_REFUSE_CONNECTIONS);
}

void kvs_http_conn_refuse_plain(struct kvs_http_conn *conn)
{
    kvs_assert(conn->phase == HEAD && !conn->had_request);
    refuse(conn, HTTP_REFUSE_PLAIN);
}

enum kvs_http_deadline kvs_http_conn_check_deadline(struct kvs_http_conn *conn, int64_t now_ns)
{
    const struct kvs_http_settings *settings = conn->server->settings;
    if (has_output(conn) && now_ns - conn->progress_ns >= settings->write_timeout_ns)
        return KVS_HTTP_RESET;
    if (conn->phase == HANDLING && http_stream_has_notice(conn, now_ns))
        return KVS_HTTP_LATE;
    if (has_output(conn) || conn->phase == HANDLING || conn->phase == CLOSING)
        return KVS_HTTP_IN_TIME;
    bool idle = kvs_http_conn_is_idle(conn);
    int64_t limit_ns =
        idle && conn->had_request ? settings->idle_timeout_ns : settings->request_timeout_ns;
    if (now_ns - conn->begun_ns < limit_ns)
        return KVS_HTTP_IN_TIME;
    if (idle) {
        conn->phase = CLOSING;
    } else {
        kvs_metrics_add(conn->server->options.metrics, KVS_METRIC_HTTP_TIMEOUTS, 1);
        refuse(conn, HTTP_REFUSE_TIMEOUT);
    }
    return KVS_HTTP_LATE;
}
