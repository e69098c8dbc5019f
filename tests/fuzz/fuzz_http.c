// SPDX-License-Identifier: Apache-2.0
// A connection that reads anything: what the handler gets and what the client is told must not
// depend on how the bytes arrive, and what is refused is refused for good.
#include "base/assert.h"
#include "http/http.h"

enum { OUTPUT_MAX = 64 << 20, BODY_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct trace {
    struct kvs_buf output;
    struct kvs_buf seen;
    bool refused;
};

static int64_t still_ns(const struct kvs_clock *clock)
{
    (void)clock;
    return 1;
}

static void note(struct kvs_buf *seen, struct kvs_slice text)
{
    kvs_buf_append_slice(seen, text);
    kvs_buf_append_char(seen, '\n');
}

static void handle(void *ctx, struct kvs_http_exchange *exchange)
{
    struct trace *trace = ctx;
    const struct kvs_http_request *request = &exchange->request;
    kvs_assert(!trace->refused);
    kvs_assert(request->path.size > 0);
    kvs_assert(request->path.data[0] == '/' || request->method == KVS_HTTP_OPTIONS);
    kvs_assert(request->body.size <= BODY_MAX);
    kvs_assert(request->header_count <= KVS_HTTP_HEADERS_MAX);
    kvs_assert(strlen(request->id) > 0);
    note(&trace->seen, kvs_slice_from_str(kvs_http_method_name(request->method)));
    note(&trace->seen, request->path);
    note(&trace->seen, request->query);
    for (size_t i = 0; i < request->header_count; i++) {
        kvs_assert(request->headers[i].name.size > 0);
        note(&trace->seen, request->headers[i].name);
        note(&trace->seen, request->headers[i].value);
    }
    note(&trace->seen, request->client_address);
    note(&trace->seen, request->body);
    exchange->response.status = 200;
    kvs_buf_append_slice(&exchange->response.body, request->body);
    kvs_http_finish(exchange);
}

static size_t body_limit(void *ctx, const struct kvs_http_request *request)
{
    (void)ctx;
    (void)request;
    return BODY_MAX;
}

static void finished(void *ctx, const struct kvs_http_access *access)
{
    struct trace *trace = ctx;
    trace->refused = access->status != 200;
    note(&trace->seen, access->method);
    note(&trace->seen, access->path);
}

static void ignore(void *ctx)
{
    (void)ctx;
}

static void flush(struct kvs_http_conn *conn, struct kvs_buf *output)
{
    struct iovec iovecs[KVS_HTTP_OUTPUT_IOVECS];
    size_t count;
    kvs_http_conn_run(conn);
    while ((count = kvs_http_conn_output(conn, iovecs)) > 0) {
        size_t size = 0;
        for (size_t i = 0; i < count; i++) {
            // Whether a client is told to continue depends on what it has sent by then.
            struct kvs_slice text = kvs_slice(iovecs[i].iov_base, iovecs[i].iov_len);
            struct kvs_slice interim = KVS_SLICE("HTTP/1.1 100 Continue\r\n\r\n");
            size += text.size;
            if (kvs_slice_ends_with(text, interim))
                text.size -= interim.size;
            kvs_buf_append_slice(output, text);
        }
        kvs_http_conn_sent(conn, size);
        kvs_http_conn_run(conn);
    }
}

// `seed` 0: in reads as large as they come; otherwise in random pieces.
static void run(const uint8_t *data, size_t size, uint64_t seed, struct trace *trace)
{
    static const char *const proxies[] = {"127.0.0.1"};
    const struct kvs_http_options http = {.trusted_proxies = proxies, .trusted_proxy_count = 1};
    const struct kvs_clock clock = {still_ns, still_ns, still_ns};
    struct kvs_random_seeded same;
    kvs_random_seeded_init(&same, 1);
    struct kvs_random_seeded pieces;
    kvs_random_seeded_init(&pieces, seed);
    KVS_CLEANUP(kvs_http_settings_unrefp) struct kvs_http_settings *settings = NULL;
    KVS_CLEANUP(kvs_http_server_freep) struct kvs_http_server *server = NULL;
    struct kvs_http_conn *conn = NULL;
    struct kvs_http_address peer;
    kvs_assert(kvs_http_address_parse(KVS_SLICE("127.0.0.1"), &peer));
    kvs_assert(kvs_http_settings_new(&http, &settings, NULL) == 0);
    const struct kvs_http_server_options options = {
        .settings = settings,
        .handler = {trace, handle, body_limit, finished},
        .clock = &clock,
        .random = &same.base,
    };
    kvs_assert(kvs_http_server_new(&options, &server) == 0);
    kvs_assert(kvs_http_conn_new(server, &peer, ignore, NULL, &conn) == 0);
    size_t at = 0;
    while (at < size) {
        size_t room = 0;
        char *input = kvs_http_conn_input(conn, &room);
        if (!input)
            break;
        size_t step = seed == 0 ? size : 1 + kvs_random_below(&pieces.base, 1 + size / 4);
        if (step > room)
            step = room;
        if (step > size - at)
            step = size - at;
        memcpy(input, data + at, step);
        kvs_http_conn_received(conn, step);
        at += step;
        flush(conn, &trace->output);
    }
    kvs_http_conn_end_input(conn);
    flush(conn, &trace->output);
    kvs_assert(kvs_http_conn_is_over(conn)); // every request has been answered, and then the end
    kvs_assert(kvs_http_server_in_flight(server) == 0);
    kvs_http_conn_close(conn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace whole = {KVS_BUF_INIT(OUTPUT_MAX), KVS_BUF_INIT(OUTPUT_MAX), false};
    run(data, size, 0, &whole);
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct trace split = {KVS_BUF_INIT(OUTPUT_MAX), KVS_BUF_INIT(OUTPUT_MAX), false};
        run(data, size, seed, &split);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&whole.seen), kvs_buf_slice(&split.seen)));
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&whole.output), kvs_buf_slice(&split.output)));
        kvs_buf_done(&split.output);
        kvs_buf_done(&split.seen);
    }
    kvs_buf_done(&whole.output);
    kvs_buf_done(&whole.seen);
    return 0;
}
