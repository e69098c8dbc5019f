// SPDX-License-Identifier: Apache-2.0
// Drives kvs_api_handle with hand-made exchanges. Two queues stand for the loop and the workers;
// what every response must fulfil is checked in api_send, so that each test says only what it is
// about.
//
// Over the fake node by default; with KVS_TEST_REAL_NODE defined the same tests run over the real
// one.
#ifndef KVS_TESTS_UNIT_API_API_TEST_H
#define KVS_TESTS_UNIT_API_API_TEST_H

#include "api/api_internal.h"
#include "base/arena.h"
#include "codec/json.h"
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdio.h>
#ifdef KVS_TEST_REAL_NODE
#include <ftw.h>
#else
#include "fake_node.h"
#endif

enum { API_HEADERS_MAX = 16, API_NOW_MS = 1790000000123, API_VALUE_MAX = 4096, API_REVISIONS = 3 };

struct test_clock {
    struct kvs_clock base;
    _Atomic int64_t now_ms;
};

struct test_queue {
    struct kvs_executor base;
    struct api_fixture *fixture;
    struct kvs_task *first;
    struct kvs_task **last;
};

struct api_fixture {
    struct test_clock clock;
    struct kvs_node *node;
    struct kvs_metrics *metrics;
    struct kvs_api_options options;
    struct kvs_api *api;
    struct test_queue loop, workers;
    struct test_queue *current; // whose task runs
    pthread_mutex_t lock;
    pthread_cond_t posted;
    size_t worker_runs; // of the last request
    int finished;
    bool accepting;
    size_t arena_max;                  // of a request
    struct kvs_http_exchange exchange; // the last one
    struct kvs_http_header headers[API_HEADERS_MAX];
    char head[4096]; // the response's header lines, NUL-terminated
    char dir[64];    // of the real node
};

// ---- Clock, executors

static int64_t test_now_ms(const struct kvs_clock *clock)
{
    return KVS_CONTAINER_OF(clock, const struct test_clock, base)->now_ms;
}

static int64_t test_now_ns(const struct kvs_clock *clock)
{
    return test_now_ms(clock) * 1000000;
}

static void test_post(struct kvs_executor *executor, struct kvs_task *task)
{
    struct test_queue *queue = KVS_CONTAINER_OF(executor, struct test_queue, base);
    pthread_mutex_lock(&queue->fixture->lock);
    task->next = NULL;
    *queue->last = task;
    queue->last = &task->next;
    pthread_cond_signal(&queue->fixture->posted);
    pthread_mutex_unlock(&queue->fixture->lock);
}

static struct kvs_task *test_take(struct test_queue *queue)
{
    struct kvs_task *task = queue->first;
    if (task) {
        queue->first = task->next;
        if (!queue->first)
            queue->last = &queue->first;
    }
    return task;
}

static void test_queue_init(struct test_queue *queue, struct api_fixture *f)
{
    *queue = (struct test_queue){.base = {.post = test_post}, .fixture = f, .last = &queue->first};
}

// Runs tasks until the exchange is finished. Nothing queued and nothing coming is a lost request.
static void test_run(struct api_fixture *f)
{
    while (!f->finished) {
        pthread_mutex_lock(&f->lock);
#ifdef KVS_TEST_REAL_NODE
        while (!f->loop.first && !f->workers.first)
            pthread_cond_wait(&f->posted, &f->lock);
#endif
        f->current = f->workers.first ? &f->workers : &f->loop;
        struct kvs_task *task = test_take(f->current);
        pthread_mutex_unlock(&f->lock);
        assert_non_null(task);
        f->worker_runs += f->current == &f->workers;
        task->run(task);
    }
    assert_null(f->loop.first);
    assert_null(f->workers.first);
}

static void test_finish(struct kvs_http_exchange *exchange)
{
    struct api_fixture *f = KVS_CONTAINER_OF(exchange, struct api_fixture, exchange);
    assert_ptr_equal(f->current, &f->loop); // on the loop thread
    f->finished++;
    assert_int_equal(f->finished, 1); // exactly once
}

static bool test_accepting(void *ctx)
{
    return ((struct api_fixture *)ctx)->accepting;
}

// ---- Reading the response

static inline const char *api_body(const struct api_fixture *f)
{
    return f->exchange.response.body.data; // NUL-terminated by api_send
}

// The value of a response header, in a static buffer; NULL: absent.
static inline const char *api_header(const struct api_fixture *f, const char *name)
{
    static char value[2048];
    for (const char *line = f->head; *line; line = strstr(line, "\r\n") + 2) {
        const char *end = strstr(line, "\r\n");
        size_t size = strlen(name);
        if (strncasecmp(line, name, size) != 0 || strncmp(line + size, ": ", 2) != 0)
            continue;
        (void)snprintf(value, sizeof(value), "%.*s", (int)(end - line - (long)size - 2),
                       line + size + 2);
        return value;
    }
    return NULL;
}

static inline struct kvs_json *api_json(struct api_fixture *f)
{
    f->exchange.arena.total_max = 1 << 20; // ours now
    struct kvs_json *root = NULL;
    struct kvs_json_error error;
    assert_int_equal(kvs_json_parse(kvs_buf_slice(&f->exchange.response.body), KVS_JSON_UNIQUE_KEYS,
                                    &f->exchange.arena, &root, &error),
                     0);
    return root;
}

// A string member of the response's object, in the arena, NUL-terminated; "" for null.
static inline const char *api_string(struct api_fixture *f, const char *name)
{
    const struct kvs_json *member = kvs_json_member(api_json(f), name);
    assert_non_null(member);
    struct kvs_slice text = KVS_SLICE_EMPTY;
    if (member->type != KVS_JSON_NULL)
        assert_int_equal(kvs_json_string(member, &f->exchange.arena, &text), 0);
    text = kvs_arena_copy(&f->exchange.arena, text);
    return text.data ? text.data : "";
}

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (!strstr((text), (part)))                                                               \
            fail_msg("\"%s\" is not in: %s", (part), (text));                                      \
    } while (0)

static void check_problem(struct api_fixture *f)
{
    const struct kvs_http_response *response = &f->exchange.response;
    assert_string_equal(response->content_type, "application/problem+json");
    assert_string_equal(api_string(f, "title"), kvs_http_reason(response->status));
    assert_true(strlen(api_string(f, "detail")) > 8);
    int64_t status = 0;
    assert_true(kvs_json_to_i64(kvs_json_member(api_json(f), "status"), &status));
    assert_int_equal(status, response->status);
    assert_int_equal(api_header(f, "Retry-After") != NULL, response->status == 503);
    assert_int_equal(api_header(f, "Allow") != NULL, response->status == 405);
    assert_null(api_header(f, "ETag"));
}

static void check_response(struct api_fixture *f)
{
    struct kvs_http_response *response = &f->exchange.response;
    assert_int_equal(response->headers.err, 0);
    assert_int_equal(response->body.err, 0);
    response->body.size_max++; // for the NUL
    assert_non_null(kvs_buf_reserve(&response->body, 1));
    response->body.data[response->body.size] = '\0';
    (void)snprintf(f->head, sizeof(f->head), "%.*s",
                   KVS_SLICE_FMT(kvs_buf_slice(&response->headers)));
    assert_true(f->head[0] == '\0' || strcmp(f->head + strlen(f->head) - 2, "\r\n") == 0);
    assert_true(response->status >= 200 && response->status < 600);
    if (response->status >= 400)
        check_problem(f);
    else if (response->status == 204 || response->status == 304)
        assert_int_equal(response->body.size, 0);
    else if (strcmp(response->content_type, "application/json") == 0)
        assert_int_equal(kvs_json_validate(kvs_buf_slice(&response->body), NULL), 0);
}

// ---- Sending requests

static enum kvs_http_method method_named(const char *name)
{
    for (int m = KVS_HTTP_GET; m < KVS_HTTP_OTHER; m++)
        if (strcmp(kvs_http_method_name((enum kvs_http_method)m), name) == 0)
            return (enum kvs_http_method)m;
    return KVS_HTTP_OTHER;
}

static void reset_exchange(struct api_fixture *f)
{
    kvs_buf_done(&f->exchange.response.headers);
    kvs_buf_done(&f->exchange.response.body);
    kvs_arena_done(&f->exchange.arena);
    f->exchange = (struct kvs_http_exchange){
        .loop = &f->loop.base, .workers = &f->workers.base, .finish = test_finish};
    // The limits are small on purpose: what is stored must be readable all the same.
    kvs_buf_init(&f->exchange.response.headers, 16 * 1024);
    kvs_buf_init(&f->exchange.response.body, 1024);
    kvs_arena_init(&f->exchange.arena, f->arena_max);
    f->finished = 0;
    f->worker_runs = 0;
}

// Header names and values follow in pairs, then NULL. Returns the status.
static int api_send_slice(struct api_fixture *f, const char *method, const char *target,
                          struct kvs_slice body, const char *const *headers)
{
    reset_exchange(f);
    struct kvs_http_request *request = &f->exchange.request;
    const char *question = strchr(target, '?');
    request->method = method_named(method);
    request->path = kvs_slice(target, question ? (size_t)(question - target) : strlen(target));
    request->has_query = question != NULL;
    request->query = question ? kvs_slice_from_str(question + 1) : KVS_SLICE_EMPTY;
    request->body = body;
    request->headers = f->headers;
    for (; headers && headers[0]; headers += 2)
        f->headers[request->header_count++] = (struct kvs_http_header){
            kvs_slice_from_str(headers[0]), kvs_slice_from_str(headers[1])};
    f->current = &f->loop;
    kvs_api_handle(f->api, &f->exchange);
    test_run(f);
    check_response(f);
    return f->exchange.response.status;
}

#define api_send(f, method, target, body, ...)                                                     \
    api_send_slice((f), (method), (target), kvs_slice_from_str(body),                              \
                   (const char *const[]){"Host", "x", ##__VA_ARGS__, NULL})
#define api_get(f, target, ...) api_send(f, "GET", target, "", ##__VA_ARGS__)
#define api_put(f, target, body, ...) api_send(f, "PUT", target, body, ##__VA_ARGS__)
#define api_delete(f, target, ...) api_send(f, "DELETE", target, "", ##__VA_ARGS__)
#define api_post(f, target, ...) api_send(f, "POST", target, "", ##__VA_ARGS__)

static inline const char *api_detail(struct api_fixture *f)
{
    return api_string(f, "detail");
}

// ---- Setup

#ifdef KVS_TEST_REAL_NODE
static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void open_node(struct api_fixture *f)
{
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/kvs-api-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    struct kvs_message message = {{0}};
    const struct kvs_node_options options = {
        .data_dir = f->dir,
        .node_id = "n1",
        .durability = KVS_DURABILITY_ASYNC,
        .compression = true,
        .compression_level = 3,
        .revisions = API_REVISIONS,
        .tombstone_retention_ms = 30LL * 24 * 3600 * 1000,
        .clock = &f->clock.base,
        .random = kvs_random_system(),
        .metrics = f->metrics,
    };
    if (kvs_node_open(&options, &f->node, &message) != 0)
        fail_msg("%s", message.text);
}

static void close_node(struct api_fixture *f)
{
    kvs_node_close(f->node);
    (void)nftw(f->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
#else
static void open_node(struct api_fixture *f)
{
    f->node = calloc(1, sizeof(*f->node));
    assert_non_null(f->node);
    f->node->clock = &f->clock.base;
    f->node->revisions = API_REVISIONS;
    kvs_random_seeded_init(&f->node->random, 1);
}

static void close_node(struct api_fixture *f)
{
    fake_node_done(f->node);
    free(f->node);
}
#endif

// Makes the API anew, after f->options was changed.
static inline void api_renew(struct api_fixture *f)
{
    kvs_api_free(f->api);
    assert_int_equal(kvs_api_new(&f->options, &f->api), 0);
}

static int api_setup(void **state)
{
    struct api_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->clock.base = (struct kvs_clock){test_now_ms, test_now_ms, test_now_ns};
    f->clock.now_ms = API_NOW_MS;
    f->accepting = true;
    f->arena_max = 1 << 20;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->posted, NULL);
    test_queue_init(&f->loop, f);
    test_queue_init(&f->workers, f);
    assert_int_equal(kvs_metrics_new(&f->metrics), 0);
    open_node(f);
    f->options = (struct kvs_api_options){
        .node = f->node,
        .metrics = f->metrics,
        .clock = &f->clock.base,
        .node_id = "n1",
        .version = "1.2.3",
        .max_json_size = API_VALUE_MAX,
        .revisions = API_REVISIONS,
        .revision_history_enabled = true,
        .metrics_enabled = true,
        .audit = true,
        .accepting = test_accepting,
        .accepting_ctx = f,
    };
    api_renew(f);
    *state = f;
    return 0;
}

static int api_teardown(void **state)
{
    struct api_fixture *f = *state;
    reset_exchange(f);
    kvs_api_free(f->api);
    close_node(f);
    kvs_metrics_free(f->metrics);
    pthread_cond_destroy(&f->posted);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

#define api_test(name) cmocka_unit_test_setup_teardown(name, api_setup, api_teardown)

#endif
