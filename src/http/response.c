// SPDX-License-Identifier: Apache-2.0
// Responses as bytes. The status line and headers are copied behind what waits already; so are
// small bodies, so that pipelined responses leave in one write. A large body changes owner instead.
#include "http/server_internal.h"

#include "base/assert.h"

enum { COPY_MAX = 16 * 1024 };

static char *put(char *at, const char *text, size_t size)
{
    memcpy(at, text, size);
    return at + size;
}

static char *put_str(char *at, const char *text)
{
    return put(at, text, strlen(text));
}

static char *put_u64(char *at, uint64_t value)
{
    char digits[20];
    size_t first = sizeof(digits);
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(at, digits + first, sizeof(digits) - first);
}

static bool may_have_body(int status)
{
    return status != 204 && status != 304;
}

// The fixed lines are below 512 bytes, with the longest reason phrase, type and request id.
enum framing { FRAMED_BY_LENGTH, FRAMED_BY_CHUNKS, FRAMED_BY_THE_END };

static void write_head(struct kvs_buf *out, const struct http_workspace *workspace,
                       const struct kvs_http_server *server, enum framing framing, bool close)
{
    const struct kvs_http_response *response = &workspace->exchange.response;
    const char *id = workspace->exchange.request.id;
    size_t type_size = response->content_type ? strlen(response->content_type) : 0;
    char *start = kvs_buf_reserve(out, 512 + type_size + response->headers.size);
    if (!start)
        return; // the error sticks to `out`
    char *at = put_str(start, "HTTP/1.1 ");
    at = put_u64(at, (uint64_t)response->status);
    *at++ = ' ';
    at = put_str(at, kvs_http_reason(response->status));
    at = put_str(at, "\r\n");
    at = put(at, server->date_line, HTTP_DATE_LINE_SIZE);
    if (type_size > 0) {
        at = put_str(at, "Content-Type: ");
        at = put(at, response->content_type, type_size);
        at = put_str(at, "\r\n");
    }
    if (framing == FRAMED_BY_CHUNKS) {
        at = put_str(at, "Transfer-Encoding: chunked\r\n");
    } else if (framing == FRAMED_BY_LENGTH && may_have_body(response->status)) {
        at = put_str(at, "Content-Length: ");
        at = put_u64(at, response->body.size);
        at = put_str(at, "\r\n");
    }
    at = put_str(at, "X-Content-Type-Options: nosniff\r\nX-Request-ID: ");
    at = put_str(at, id);
    at = put_str(at, "\r\n");
    if (close)
        at = put_str(at, "Connection: close\r\n");
    else if (workspace->head.is_1_0)
        at = put_str(at, "Connection: keep-alive\r\n");
    if (response->headers.size > 0)
        at = put(at, response->headers.data, response->headers.size);
    at = put_str(at, "\r\n");
    out->size += (size_t)(at - start);
}

// What has been sent goes when it is more than the client may leave unread.
static void make_room(struct http_output *output)
{
    if (output->text_sent <= KVS_HTTP_OUTPUT_MAX)
        return;
    kvs_buf_consume(&output->text, output->text_sent);
    output->text_sent = 0;
}

// Changes owners: the response gets an empty buffer.
static void take_large_body(struct http_workspace *workspace)
{
    struct http_output *output = &workspace->output;
    kvs_assert(output->large.size == 0);
    struct kvs_buf empty = output->large;
    output->large = workspace->exchange.response.body;
    workspace->exchange.response.body = empty;
}

void http_response_write(struct http_workspace *workspace, const struct kvs_http_server *server,
                         bool is_head, bool close)
{
    struct http_output *output = &workspace->output;
    struct kvs_http_response *response = &workspace->exchange.response;
    kvs_assert(response->status >= 200 && response->status <= 599);
    make_room(output);
    write_head(&output->text, workspace, server, FRAMED_BY_LENGTH, close);
    if (is_head || !may_have_body(response->status))
        return;
    if (response->body.size <= COPY_MAX) {
        kvs_buf_append(&output->text, response->body.data, response->body.size);
        return;
    }
    take_large_body(workspace);
}

void http_response_write_stream_head(struct http_workspace *workspace,
                                     const struct kvs_http_server *server, bool close)
{
    kvs_assert(may_have_body(workspace->exchange.response.status));
    make_room(&workspace->output);
    write_head(&workspace->output.text, workspace, server,
               workspace->stream.chunked ? FRAMED_BY_CHUNKS : FRAMED_BY_THE_END, close);
}

void http_response_write_piece(struct http_workspace *workspace)
{
    struct http_output *output = &workspace->output;
    struct kvs_buf *body = &workspace->exchange.response.body;
    bool chunked = workspace->stream.chunked;
    size_t size = body->size;
    kvs_assert(output->large.size == 0);
    if (size == 0)
        return; // an empty chunk would be the last one
    workspace->stream.body_size += size;
    make_room(output);
    if (chunked)
        kvs_buf_printf(&output->text, "%zx\r\n", size);
    if (size <= COPY_MAX) {
        kvs_buf_append(&output->text, body->data, size);
        if (chunked)
            kvs_buf_append(&output->text, "\r\n", 2);
        kvs_buf_clear(body);
        return;
    }
    if (chunked) {
        if (body->size_max < size + 2)
            body->size_max = size + 2;
        kvs_buf_append(body, "\r\n", 2);
        if (body->err)
            output->text.err = body->err; // the stream ends in the middle
    }
    take_large_body(workspace);
}

void http_response_write_stream_end(struct http_workspace *workspace)
{
    make_room(&workspace->output);
    if (workspace->stream.chunked)
        kvs_buf_append(&workspace->output.text, "0\r\n\r\n", 5);
}

void http_response_refuse(struct kvs_http_exchange *exchange, enum http_refusal refusal)
{
    struct kvs_http_response *response = &exchange->response;
    kvs_buf_clear(&response->headers);
    kvs_buf_clear(&response->body);
    response->status = http_refusal_status(refusal);
    response->content_type = "application/problem+json";
    if (response->status == 503)
        kvs_http_response_header(response, "Retry-After", KVS_SLICE("1"));
    struct kvs_buf *body = &response->body; // refusals.def needs no escapes
    kvs_buf_append_str(body, "{\"title\":\"");
    kvs_buf_append_str(body, kvs_http_reason(response->status));
    kvs_buf_append_str(body, "\",\"status\":");
    kvs_buf_append_u64(body, (uint64_t)response->status);
    kvs_buf_append_str(body, ",\"detail\":\"");
    kvs_buf_append_str(body, http_refusal_detail(refusal));
    kvs_buf_append_str(body, "\"}");
}
