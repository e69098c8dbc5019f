// SPDX-License-Identifier: Apache-2.0
// A connection without a socket for the tests of http: a clock that stands still unless told,
// a handler that records what it got, and everything the connection wrote in one string.
#ifndef KVS_TESTS_UNIT_HTTP_HARNESS_H
#define KVS_TESTS_UNIT_HTTP_HARNESS_H

#include "tests/unit/test.h"

#include "http/http.h"

#include <stdio.h>

struct harness {
    struct kvs_clock clock;
    int64_t now_ns;
    struct kvs_random_seeded random;
    struct kvs_http_options http;
    size_t budget_max; // 0: all there is
    struct kvs_http_budget budget;
    struct kvs_http_server *server;
    struct kvs_http_conn *conn;
    struct kvs_buf output;
    struct kvs_buf seen; // one line a request: what the handler got
    size_t body_limit;   // 0: the default
    unsigned handled;
    unsigned finished; // calls of the access hook
    unsigned woken;
    bool defer;       // the handler does not finish by itself
    bool hold_output; // the client does not read
    struct kvs_http_exchange *pending;
    size_t response_size; // of a body of x; 0: echo, or "ok"
    int response_status;  // 0: 200
    struct kvs_http_tls last_tls;
    int last_status; // as the access hook saw it
    uint64_t last_body_size;
    char last_method[32];
    char last_path[64];
    char last_id[65];
};

static inline int64_t harness_mono_ns(const struct kvs_clock *clock)
{
    return KVS_CONTAINER_OF(clock, struct harness, clock)->now_ns;
}

static inline int64_t harness_mono_ms(const struct kvs_clock *clock)
{
    return harness_mono_ns(clock) / 1000000;
}

static inline int64_t harness_wall_ms(const struct kvs_clock *clock)
{
    (void)clock;
    return 784111777000; // Sun, 06 Nov 1994 08:49:37 GMT
}

static inline void harness_answer(struct harness *h, struct kvs_http_exchange *exchange)
{
    struct kvs_http_response *response = &exchange->response;
    response->status = h->response_status ? h->response_status : 200;
    response->content_type = "text/plain";
    if (h->response_size > 0) {
        char *room = kvs_buf_reserve(&response->body, h->response_size);
        memset(room, 'x', h->response_size);
        response->body.size += h->response_size;
    } else if (exchange->request.body.size > 0) {
        kvs_buf_append_slice(&response->body, exchange->request.body);
    } else {
        kvs_buf_append_slice(&response->body, KVS_SLICE("ok"));
    }
    kvs_http_finish(exchange);
}

static inline void harness_handle(void *ctx, struct kvs_http_exchange *exchange)
{
    struct harness *h = ctx;
    const struct kvs_http_request *request = &exchange->request;
    h->handled++;
    kvs_buf_append_str(&h->seen, kvs_http_method_name(request->method));
    kvs_buf_append_char(&h->seen, ' ');
    kvs_buf_append_slice(&h->seen, request->path);
    if (request->has_query) {
        kvs_buf_append_char(&h->seen, '?');
        kvs_buf_append_slice(&h->seen, request->query);
    }
    for (size_t i = 0; i < request->header_count; i++) {
        kvs_buf_append_char(&h->seen, ' ');
        kvs_buf_append_slice(&h->seen, request->headers[i].name);
        kvs_buf_append_char(&h->seen, '=');
        kvs_buf_append_slice(&h->seen, request->headers[i].value);
    }
    kvs_buf_append_str(&h->seen, " from ");
    kvs_buf_append_slice(&h->seen, request->client_address);
    kvs_buf_append_str(&h->seen, " body ");
    kvs_buf_append_slice(&h->seen, request->body);
    kvs_buf_append_char(&h->seen, '\n');
    if (h->defer)
        h->pending = exchange;
    else
        harness_answer(h, exchange);
}

static inline size_t harness_body_limit(void *ctx, const struct kvs_http_request *request)
{
    struct harness *h = ctx;
    assert_true(request->path.size > 0);
    return h->body_limit ? h->body_limit : 1024 * 1024;
}

static inline void harness_finished(void *ctx, const struct kvs_http_access *access)
{
    struct harness *h = ctx;
    h->finished++;
    h->last_status = access->status;
    h->last_tls = *access->tls;
    h->last_body_size = access->response_body_size;
    (void)snprintf(h->last_method, sizeof(h->last_method), "%.*s", KVS_SLICE_FMT(access->method));
    (void)snprintf(h->last_path, sizeof(h->last_path), "%.*s", KVS_SLICE_FMT(access->path));
    (void)snprintf(h->last_id, sizeof(h->last_id), "%s", access->request_id);
}

static inline void harness_wake(void *ctx)
{
    ((struct harness *)ctx)->woken++;
}

static inline void harness_connect(struct harness *h)
{
    kvs_http_conn_close(h->conn);
    h->conn = NULL;
    kvs_buf_clear(&h->output);
    kvs_buf_clear(&h->seen);
    h->handled = 0;
    struct kvs_http_address peer;
    assert_true(kvs_http_address_parse(KVS_SLICE("127.0.0.1"), &peer));
    assert_int_equal(kvs_http_conn_new(h->server, &peer, harness_wake, h, &h->conn), 0);
}

// `h` zeroed, or with `http` and the behaviour of the handler set.
static inline void harness_init(struct harness *h)
{
    h->clock = (struct kvs_clock){harness_wall_ms, harness_mono_ms, harness_mono_ns};
    h->now_ns = 1000;
    kvs_random_seeded_init(&h->random, 1);
    kvs_buf_init(&h->output, 64 * 1024 * 1024);
    kvs_buf_init(&h->seen, 64 * 1024 * 1024);
    KVS_CLEANUP(kvs_http_settings_unrefp) struct kvs_http_settings *settings = NULL;
    assert_int_equal(kvs_http_settings_new(&h->http, &settings, NULL), 0);
    kvs_http_budget_init(&h->budget, h->budget_max ? h->budget_max : SIZE_MAX);
    const struct kvs_http_server_options options = {
        .settings = settings,
        .handler = {h, harness_handle, harness_body_limit, harness_finished},
        .clock = &h->clock,
        .random = &h->random.base,
        .budget = &h->budget,
    };
    assert_int_equal(kvs_http_server_new(&options, &h->server), 0);
    harness_connect(h);
}

static inline void harness_done(struct harness *h)
{
    kvs_http_conn_close(h->conn);
    assert_int_equal(kvs_http_budget_held(&h->budget), 0);
    kvs_http_server_free(h->server);
    kvs_buf_done(&h->output);
    kvs_buf_done(&h->seen);
}

static inline void harness_flush(struct harness *h)
{
    kvs_http_conn_run(h->conn);
    struct iovec iovecs[KVS_HTTP_OUTPUT_IOVECS];
    size_t count;
    while (!h->hold_output && (count = kvs_http_conn_output(h->conn, iovecs)) > 0) {
        size_t size = 0;
        for (size_t i = 0; i < count; i++) {
            kvs_buf_append(&h->output, iovecs[i].iov_base, iovecs[i].iov_len);
            size += iovecs[i].iov_len;
        }
        kvs_http_conn_sent(h->conn, size);
        kvs_http_conn_run(h->conn);
    }
}

// Feeds at most `size` bytes in one read; returns how many were taken, 0 when none are wanted.
static inline size_t harness_read(struct harness *h, const char *data, size_t size)
{
    size_t room = 0;
    char *input = kvs_http_conn_input(h->conn, &room);
    if (!input)
        return 0;
    size_t taken = size < room ? size : room;
    memcpy(input, data, taken);
    kvs_http_conn_received(h->conn, taken);
    return taken;
}

// Feeds everything, in reads of at most `step` bytes, and flushes after each.
static inline void harness_feed(struct harness *h, const char *data, size_t size, size_t step)
{
    size_t at = 0;
    while (at < size) {
        size_t taken = harness_read(h, data + at, size - at < step ? size - at : step);
        if (taken == 0)
            break;
        at += taken;
        harness_flush(h);
    }
    harness_flush(h);
}

static inline void harness_send(struct harness *h, const char *text)
{
    harness_feed(h, text, strlen(text), SIZE_MAX);
}

static inline bool harness_wrote(const struct harness *h, const char *text)
{
    return h->output.size > 0 && memmem(h->output.data, h->output.size, text, strlen(text)) != NULL;
}

// Of the first response, 0 when there is none.
static inline int harness_status(const struct harness *h)
{
    if (h->output.size < 12 || memcmp(h->output.data, "HTTP/1.1 ", 9) != 0)
        return 0;
    return (h->output.data[9] - '0') * 100 + (h->output.data[10] - '0') * 10 + h->output.data[11] -
           '0';
}

#endif
