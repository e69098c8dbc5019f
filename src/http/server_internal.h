// SPDX-License-Identifier: Apache-2.0
// What the connections of one loop share: settings, handler, the Date line, request ids and a pool
// of workspaces. A workspace is all the memory of a request being read, handled or answered; an
// idle connection has none, so ten thousand of them cost little and a busy one never allocates.
#ifndef KVS_HTTP_SERVER_INTERNAL_H
#define KVS_HTTP_SERVER_INTERNAL_H

#include "base/timefmt.h"
#include "http/head_internal.h"
#include "http/strict_internal.h"

enum {
    HTTP_INPUT_SIZE = 8 * 1024,      // at first; grows for large heads
    HTTP_INPUT_SIZE_MAX = 32 * 1024, // target, header section and HTTP_TAIL_SIZE fit in
    HTTP_TAIL_SIZE = 4096,           // room behind a head for what follows it
    HTTP_BASE_SIZE = 64 * 1024,      // of buffers that a workspace holds uncharged
    HTTP_KEEP_SIZE = 8 * 1024,       // beyond the base larger buffers are freed when empty
    HTTP_DATE_LINE_SIZE = sizeof("Date: \r\n") - 1 + KVS_HTTP_DATE_SIZE,
};

struct http_input {
    char *data;
    size_t capacity;
    size_t start; // of what has not been consumed
    size_t end;
};

struct http_output {
    struct kvs_buf text; // heads and small bodies, response after response
    size_t text_sent;
    struct kvs_buf large; // then one large body; nothing is gathered behind it
    size_t large_sent;
};

// A response whose body is sent while it is made (stream.c).
struct http_stream {
    bool started;   // its head has been written
    bool chunked;   // else the end of the connection ends it
    bool wanted;    // pull may have more
    bool broken;    // out of memory: it cannot go on
    bool told_gone; // the handler, whether it streams or not
    bool told_draining;
    int64_t duration_ns; // up to its head
    uint64_t body_size;
};

struct http_workspace {
    struct http_workspace *next; // in the pool
    struct kvs_http_conn *conn;
    struct http_input input;
    struct http_scan scan;
    struct http_scan trailers; // of a chunked body
    size_t head_at; // where the head began: until the response the slices point behind it
    struct kvs_buf body;
    struct http_output output;
    size_t charged;       // to the budget
    size_t response_held; // by exchange.response when the request began: a handler may be at
                          // work on it on another thread
    struct kvs_http_exchange exchange;
    bool finished; // by the handler
    struct http_stream stream;
    char client[KVS_HTTP_ADDRESS_TEXT_MAX]; // behind a trusted proxy
    struct http_head head;
};

struct kvs_http_server {
    struct kvs_http_server_options options;
    struct kvs_http_settings *settings;
    bool draining;
    size_t in_flight;
    char date_line[HTTP_DATE_LINE_SIZE];
    uint64_t id_prefix;
    uint64_t id_count;
    struct http_workspace *pool;
    size_t pool_size;
};

struct http_workspace *http_workspace_acquire(struct kvs_http_server *server); // NULL: no memory
void http_workspace_release(struct kvs_http_server *server, struct http_workspace *workspace);
// Forgets the request, keeps input and output.
void http_workspace_next_request(struct http_workspace *workspace);
// Forgets the output, all of which has been sent.
void http_workspace_clear_output(struct http_workspace *workspace);

// ---- What a workspace holds beyond its base, and the budget of all

// Would `more` bytes fit?
bool http_workspace_fits(const struct http_workspace *workspace,
                         const struct kvs_http_server *server, size_t more);
// Charges what the buffers have grown by; false, charging nothing, when that does not fit.
bool http_workspace_try_charge(struct http_workspace *workspace, struct kvs_http_server *server);
// Charges what they have grown by even if it does not fit, or gives back.
void http_workspace_settle(struct http_workspace *workspace, struct kvs_http_server *server);

// Room at data + end, at least one byte; false: none. Moves what is unconsumed down to `pinned`;
// below that nothing moves. May grow when `pinned` is 0.
bool http_input_reserve(struct http_input *input, size_t pinned);
// Grows until HTTP_TAIL_SIZE bytes are free behind a head of `head_size` bytes at `start`; moves.
bool http_input_reserve_tail(struct http_input *input, size_t head_size);

static inline size_t http_input_size(const struct http_input *input)
{
    return input->end - input->start;
}

static inline size_t http_output_size(const struct http_output *output)
{
    return output->text.size - output->text_sent + output->large.size - output->large_sent;
}

// A fresh request id, unique among nodes and restarts for all practical purposes.
void http_server_make_id(struct kvs_http_server *server, char ret_id[static 65]);

// Serialises exchange.response behind what `output` holds; takes a large body over.
void http_response_write(struct http_workspace *workspace, const struct kvs_http_server *server,
                         bool is_head, bool close);
// A stream's head; the rest of the response comes piece by piece.
void http_response_write_stream_head(struct http_workspace *workspace,
                                     const struct kvs_http_server *server, bool close);
// Hands exchange.response.body over as the stream's next piece; empties it. Not while a large one
// is being sent.
void http_response_write_piece(struct http_workspace *workspace);
// Behind the last piece, likewise.
void http_response_write_stream_end(struct http_workspace *workspace);
// Replaces exchange.response by the refusal as application/problem+json.
void http_response_refuse(struct kvs_http_exchange *exchange, enum http_refusal refusal);

#endif
