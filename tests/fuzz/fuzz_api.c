// SPDX-License-Identifier: Apache-2.0
// The API's meaning over a node in memory: whatever is asked, every request is answered once, with
// a sane status, whole header lines and valid JSON.
//
// Input: requests divided by NUL; each "METHOD target\n", then "Name: value\n" lines, an empty line
// and the body.
#include "api/api.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "codec/json.h"
#include "tests/unit/api/fake_node.h"

enum {
    ROUNDS_MAX = 100,
    REQUESTS_MAX = 32,
    HEADERS_MAX = 16,
    MEMORY_MAX = 16 << 20,
    VALUE_MAX = 4096
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct kvs_executor executor; // loop and workers in one
    struct kvs_task *queued;
    struct kvs_http_exchange exchange;
    struct kvs_http_header headers[HEADERS_MAX];
    bool finished;
};

static int64_t fixed_ms(const struct kvs_clock *clock)
{
    (void)clock;
    return INT64_C(1790000000123);
}

static void post(struct kvs_executor *executor, struct kvs_task *task)
{
    struct run *run = KVS_CONTAINER_OF(executor, struct run, executor);
    struct kvs_task **last = &run->queued;
    while (*last)
        last = &(*last)->next;
    task->next = NULL;
    *last = task;
}

static void finish(struct kvs_http_exchange *exchange)
{
    struct run *run = KVS_CONTAINER_OF(exchange, struct run, exchange);
    kvs_assert(!run->finished);
    run->finished = true;
}

static bool start(struct kvs_http_exchange *exchange)
{
    kvs_assert(exchange->pull && exchange->notice);
    return exchange->request.method != KVS_HTTP_HEAD;
}

static void wake(struct kvs_http_exchange *exchange)
{
    kvs_assert(exchange->pull); // the loop below pulls
}

static struct kvs_slice cut(struct kvs_slice *rest, char separator)
{
    const char *at = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    struct kvs_slice head = kvs_slice(rest->data, at ? (size_t)(at - rest->data) : rest->size);
    size_t size = head.size + (at ? 1 : 0);
    *rest = kvs_slice(rest->data + size, rest->size - size);
    return head;
}

static void read_request(struct run *run, struct kvs_slice text)
{
    struct kvs_http_request *request = &run->exchange.request;
    struct kvs_slice target = cut(&text, '\n');
    struct kvs_slice method = cut(&target, ' ');
    request->method = KVS_HTTP_GET;
    while (request->method < KVS_HTTP_OTHER &&
           !kvs_slice_eq(method, kvs_slice_from_str(kvs_http_method_name(request->method))))
        request->method++;
    request->has_query = target.size > 0 && memchr(target.data, '?', target.size);
    request->path = cut(&target, '?');
    request->query = target;
    request->headers = run->headers;
    while (request->header_count < HEADERS_MAX) {
        struct kvs_slice value = cut(&text, '\n');
        if (value.size == 0)
            break;
        struct kvs_slice name = cut(&value, ':');
        run->headers[request->header_count++] =
            (struct kvs_http_header){name, kvs_slice_trim(value)};
    }
    request->body = text;
}

static void check_headers(struct kvs_slice headers)
{
    while (headers.size > 0) {
        struct kvs_slice line = cut(&headers, '\n');
        kvs_assert(kvs_slice_ends_with(line, KVS_SLICE("\r")));
        line.size--;
        kvs_assert(memmem(line.data, line.size, ": ", 2));
        kvs_assert(!memchr(line.data, '\r', line.size));
        kvs_assert(!memchr(line.data, '\0', line.size));
    }
}

static void check_response(const struct kvs_http_response *response)
{
    kvs_assert(response->status >= 200 && response->status <= 599);
    kvs_assert(response->status != 500);
    kvs_assert(!response->headers.err && !response->body.err);
    check_headers(kvs_buf_slice(&response->headers));
    bool empty = response->status == 204 || response->status == 304;
    kvs_assert(empty == (response->body.size == 0));
    if (!empty && strstr(response->content_type, "json")) {
        struct kvs_json_error error;
        kvs_assert(kvs_json_validate(kvs_buf_slice(&response->body), &error) == 0);
    }
}

static void answer(struct kvs_api *api, struct kvs_slice text)
{
    struct run run = {.executor = {.post = post}};
    run.exchange = (struct kvs_http_exchange){.loop = &run.executor,
                                              .workers = &run.executor,
                                              .finish = finish,
                                              .start = start,
                                              .wake = wake};
    kvs_buf_init(&run.exchange.response.headers, 16 * 1024);
    kvs_buf_init(&run.exchange.response.body, 64 * 1024);
    kvs_arena_init(&run.exchange.arena, MEMORY_MAX);
    read_request(&run, text);
    if (run.exchange.request.body.size <= kvs_api_body_limit(api, &run.exchange.request))
        kvs_api_handle(api, &run.exchange);
    else
        run.finished = true, run.exchange.response.status = 204;
    // What waits is pulled, then told that its time is over and at last that nobody is there.
    for (int i = 0; run.queued || (!run.finished && i < ROUNDS_MAX); i++) {
        struct kvs_http_exchange *exchange = &run.exchange;
        struct kvs_task *task = run.queued;
        run.queued = task ? task->next : NULL;
        if (task)
            task->run(task);
        else if (exchange->pull && i < ROUNDS_MAX / 2)
            (void)exchange->pull(exchange);
        else
            exchange->notice(exchange, i % 2 ? KVS_HTTP_DUE : KVS_HTTP_GONE);
    }
    kvs_assert(run.finished);
    if (!run.exchange.pull) // what a stream leaves behind is no document
        check_response(&run.exchange.response);
    kvs_buf_done(&run.exchange.response.headers);
    kvs_buf_done(&run.exchange.response.body);
    kvs_arena_done(&run.exchange.arena);
}

static struct kvs_peer_auth *peer_auth(void)
{
    static struct kvs_peer_auth *auth;
    const struct kvs_peer_auth_options options = {
        .node_id = "fuzz", .secret = "sixteen bytes ok", .random = kvs_random_system()};
    kvs_assert(auth || kvs_peer_auth_new(&options, &auth) == 0);
    return auth;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kvs_clock clock = {fixed_ms, fixed_ms, fixed_ms};
    static struct kvs_node node; // large: clearing it would take longer than the run
    node.clock = &clock;
    node.revisions = 3;
    node.cold = size % 2;
    kvs_random_seeded_init(&node.random, 1);
    const struct kvs_api_options options = {
        .node = &node,
        .clock = &clock,
        .node_id = "fuzz",
        .version = "0",
        .max_json_size = VALUE_MAX,
        .revisions = 3,
        .revision_history_enabled = true,
        .peer_auth = peer_auth(),
    };
    struct kvs_api *api = NULL;
    kvs_assert(kvs_api_new(&options, &api) == 0);
    struct kvs_slice rest = kvs_slice(data, size);
    for (int i = 0; i < REQUESTS_MAX && rest.size > 0; i++)
        answer(api, cut(&rest, '\0'));
    kvs_api_free(api);
    fake_node_done(&node);
    return 0;
}
