// SPDX-License-Identifier: Apache-2.0
// GET /changes: pages, long polls, events; what is told to whom, ends of every kind, bad requests.
#include "api_test.h"

// A stream as `http` drives it; the exchange is finished by the feed.
static bool stream_started;
static bool stream_woken;

static bool stream_start(struct kvs_http_exchange *exchange)
{
    assert_non_null(exchange->notice);
    stream_started = true;
    stream_woken = true;
    return exchange->request.method != KVS_HTTP_HEAD;
}

static void stream_wake(struct kvs_http_exchange *exchange)
{
    (void)exchange;
    stream_woken = true;
}

static void run_tasks(struct api_fixture *f)
{
    for (;;) {
        f->current = f->workers.first ? &f->workers : &f->loop;
        struct kvs_task *task = test_take(f->current);
        f->current = &f->loop; // of what comes next
        if (!task)
            return;
        f->worker_runs += f->workers.first == task;
        task->run(task);
    }
}

// Sends a request and runs until nothing is to be done.
static void begin(struct api_fixture *f, const char *target, const char *name, const char *value)
{
    reset_exchange(f);
    stream_started = false;
    stream_woken = false;
    const char *question = strchr(target, '?');
    struct kvs_http_request *request = &f->exchange.request;
    f->headers[0] = (struct kvs_http_header){kvs_slice_from_str(name), kvs_slice_from_str(value)};
    *request = (struct kvs_http_request){
        .method = KVS_HTTP_GET,
        .path = kvs_slice(target, (size_t)(question - target)),
        .query = kvs_slice_from_str(question + 1),
        .headers = f->headers,
        .header_count = 1,
    };
    f->exchange.start = stream_start;
    f->exchange.wake = stream_wake;
    f->current = &f->loop;
    kvs_api_handle(f->api, &f->exchange);
    run_tasks(f);
}

// Pulls for as long as the feed likes; returns everything since the last call.
static const char *pulled(struct api_fixture *f)
{
    static char text[65536];
    size_t used = 0;
    while (stream_started && stream_woken && !f->finished) {
        stream_woken = false;
        stream_woken |= f->exchange.pull(&f->exchange);
        struct kvs_buf *body = &f->exchange.response.body;
        assert_int_equal(body->err, 0);
        assert_true(used + body->size < sizeof(text));
        memcpy(text + used, body->data, body->size);
        used += body->size;
        kvs_buf_clear(body);
        if (!f->finished)
            run_tasks(f);
    }
    text[used] = '\0';
    return text;
}

// Another exchange's write, without disturbing the one that waits.
static void put_beside(struct api_fixture *f, const char *key, enum kvs_write_op op)
{
    struct test_queue aside;
    test_queue_init(&aside, f);
    struct kvs_write write = {.op = op,
                              .grant = kvs_auth_open_grant(),
                              .key = kvs_slice_from_str(key),
                              .json = KVS_SLICE("1"),
                              .executor = &aside.base};
    kvs_node_write(f->node, &write);
    assert_int_equal(write.err, 0);
    run_tasks(f);
}

static const char *page(struct api_fixture *f, const char *target)
{
    assert_int_equal(api_get(f, target), 200);
    assert_string_equal(api_header(f, "Cache-Control"), "no-store");
    // Without what differs from run to run.
    static char text[65536];
    size_t used = 0;
    const char *p = api_body(f);
    for (const char *at; (at = strstr(p, ",\"uuid\":\"")); p = strstr(at, ",\"deleted\""))
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s", (int)(at - p), p);
    (void)snprintf(text + used, sizeof(text) - used, "%s", p);
    return text;
}

static void a_page_has_what_there_is(void **state)
{
    struct api_fixture *f = *state;
    assert_string_equal(page(f, "/changes"), "{\"changes\":[],\"last_seq\":0,\"more\":false}");
    put_beside(f, "a/1", KVS_WRITE_PUT);
    put_beside(f, "b\"ä", KVS_WRITE_PUT);
    put_beside(f, "a/1", KVS_WRITE_DELETE);
    assert_string_equal(page(f, "/changes?since=0&feed=normal"),
                        "{\"changes\":[{\"seq\":1,\"path\":\"a/1\",\"deleted\":false},"
                        "{\"seq\":2,\"path\":\"b\\\"ä\",\"deleted\":false},"
                        "{\"seq\":3,\"path\":\"a/1\",\"deleted\":true}],"
                        "\"last_seq\":3,\"more\":false}");
    assert_string_equal(page(f, "/changes?since=1&limit=1"),
                        "{\"changes\":[{\"seq\":2,\"path\":\"b\\\"ä\",\"deleted\":false}],"
                        "\"last_seq\":2,\"more\":true}");
    assert_string_equal(page(f, "/changes?prefix=a%2F&limit=1"),
                        "{\"changes\":[{\"seq\":1,\"path\":\"a/1\",\"deleted\":false}],"
                        "\"last_seq\":2,\"more\":true}");
    assert_string_equal(page(f, "/changes?since=now"),
                        "{\"changes\":[],\"last_seq\":3,\"more\":false}");
    f->node->cold = true;
    assert_string_equal(page(f, "/changes?since=2"),
                        "{\"changes\":[{\"seq\":3,\"path\":\"a/1\",\"deleted\":true}],"
                        "\"last_seq\":3,\"more\":false}");
    assert_int_equal(f->worker_runs, 1);
}

static void a_page_looks_far_for_a_prefix(void **state)
{
    struct api_fixture *f = *state;
    for (int i = 0; i < 1000; i++)
        put_beside(f, "other", KVS_WRITE_PUT);
    put_beside(f, "mine", KVS_WRITE_PUT);
    assert_string_equal(page(f, "/changes?prefix=mi"),
                        "{\"changes\":[{\"seq\":1001,\"path\":\"mine\",\"deleted\":false}],"
                        "\"last_seq\":1001,\"more\":false}");
}

static void a_losing_version_is_marked(void **state)
{
    struct api_fixture *f = *state;
    put_beside(f, "a", KVS_WRITE_PUT);
    f->node->changes[0].flags = KVS_VERSION_CONFLICT_LOSER;
    assert_string_equal(page(f, "/changes"),
                        "{\"changes\":[{\"seq\":1,\"path\":\"a\",\"deleted\":false,"
                        "\"conflict\":true}],\"last_seq\":1,\"more\":false}");
}

static void what_is_not_kept_is_410(void **state)
{
    struct api_fixture *f = *state;
    for (int i = 0; i < 5; i++)
        put_beside(f, "a", KVS_WRITE_PUT);
    f->node->oldest_change = 4;
    static const char *const feeds[] = {"normal", "longpoll", "sse"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(feeds); i++) {
        char target[64];
        (void)snprintf(target, sizeof(target), "/changes?feed=%s&since=2", feeds[i]);
        assert_int_equal(api_get(f, target), 410);
        assert_contains(api_detail(f), "since=now");
        assert_contains(api_detail(f), "behind 3 up to 5");
        (void)snprintf(target, sizeof(target), "/changes?feed=%s&since=6", feeds[i]);
        assert_int_equal(api_get(f, target), 410);
    }
    assert_int_equal(api_get(f, "/changes?since=3"), 200);
}

static void a_long_poll_waits_for_something(void **state)
{
    struct api_fixture *f = *state;
    put_beside(f, "a", KVS_WRITE_PUT);
    begin(f, "/changes?feed=longpoll&since=0", "X", "y");
    assert_int_equal(f->finished, 1); // there is something
    begin(f, "/changes?feed=longpoll&since=1&prefix=b", "X", "y");
    assert_int_equal(f->finished, 0);
    assert_non_null(f->exchange.notice);
    assert_int_equal(f->exchange.due_ns, (API_NOW_MS + 60000) * 1000000LL);
    put_beside(f, "a", KVS_WRITE_PUT); // none of its business
    assert_int_equal(f->finished, 0);
    put_beside(f, "b", KVS_WRITE_PUT);
    assert_int_equal(f->finished, 1);
    check_response(f);
    assert_contains(api_body(f), "{\"changes\":[{\"seq\":3,\"path\":\"b\",");
    assert_contains(api_body(f), "\"last_seq\":3,\"more\":false}");
}

static void a_long_poll_ends_when_it_is_over(void **state)
{
    struct api_fixture *f = *state;
    static const enum kvs_http_notice notices[] = {KVS_HTTP_DUE, KVS_HTTP_DRAINING, KVS_HTTP_GONE};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(notices); i++) {
        begin(f, "/changes?feed=longpoll&since=now&timeout=5s", "X", "y");
        assert_int_equal(f->exchange.due_ns, (API_NOW_MS + 5000) * 1000000LL);
        assert_int_equal(f->finished, 0);
        f->exchange.notice(&f->exchange, notices[i]);
        assert_int_equal(f->finished, 1);
        assert_null(f->node->waiting);
        check_response(f);
        assert_contains(api_body(f), "{\"changes\":[],\"last_seq\":0,\"more\":false}");
    }
}

static void events_go_on_and_on(void **state)
{
    struct api_fixture *f = *state;
    put_beside(f, "a", KVS_WRITE_PUT);
    begin(f, "/changes?feed=sse", "X", "y");
    assert_string_equal(f->exchange.response.content_type, "text/event-stream");
    const char *text = pulled(f);
    assert_contains(text, "retry: 1000\n\nid: 1\ndata: {\"seq\":1,\"path\":\"a\",\"uuid\":\"");
    assert_contains(text, ",\"deleted\":false}\n\n");
    assert_string_equal(pulled(f), "");
    put_beside(f, "b", KVS_WRITE_PUT);
    put_beside(f, "b", KVS_WRITE_DELETE);
    text = pulled(f);
    assert_contains(text, "id: 2\ndata: {\"seq\":2,");
    assert_contains(text, "\"deleted\":true}\n\n");
    f->exchange.notice(&f->exchange, KVS_HTTP_DUE);
    assert_string_equal(pulled(f), ":\nid: 3\n\n");
    assert_int_equal(f->exchange.due_ns, (API_NOW_MS + 15000) * 1000000LL);
    f->exchange.notice(&f->exchange, KVS_HTTP_DRAINING);
    assert_int_equal(f->finished, 1);
    assert_null(f->node->waiting);
    assert_false(f->exchange.cut);
}

static void events_may_have_a_prefix_and_a_limit(void **state)
{
    struct api_fixture *f = *state;
    for (int i = 0; i < 300; i++)
        put_beside(f, "other", KVS_WRITE_PUT);
    put_beside(f, "mine", KVS_WRITE_PUT);
    begin(f, "/changes?feed=sse&prefix=mine&limit=2&heartbeat=2s", "X", "y");
    assert_contains(pulled(f), "id: 301\ndata: ");
    assert_int_equal(f->finished, 0);
    put_beside(f, "other", KVS_WRITE_PUT);
    assert_string_equal(pulled(f), "");
    f->exchange.notice(&f->exchange, KVS_HTTP_DUE);
    assert_string_equal(pulled(f), ":\nid: 302\n\n"); // past what it does not see
    put_beside(f, "mine", KVS_WRITE_PUT);
    assert_contains(pulled(f), "id: 303\ndata: ");
    assert_int_equal(f->finished, 1);
}

static void a_browser_comes_back_with_its_last_id(void **state)
{
    struct api_fixture *f = *state;
    for (int i = 0; i < 5; i++)
        put_beside(f, "a", KVS_WRITE_PUT);
    begin(f, "/changes?feed=sse&since=0&limit=1", "Last-Event-ID", "3");
    assert_contains(pulled(f), "id: 4\ndata: ");
    assert_int_equal(api_get(f, "/changes?feed=sse&since=0", "Last-Event-ID", "x"), 400);
    assert_contains(api_detail(f), "Last-Event-ID");
}

static void a_feed_that_falls_behind_is_told_so(void **state)
{
    struct api_fixture *f = *state;
    put_beside(f, "a", KVS_WRITE_PUT);
    begin(f, "/changes?feed=sse", "X", "y");
    assert_contains(pulled(f), "id: 1\n");
    for (int i = 0; i < 5; i++) // and it does not read
        put_beside(f, "a", KVS_WRITE_PUT);
    f->node->oldest_change = 4;
    const char *text = pulled(f);
    assert_contains(text, "event: gone\ndata: {\"title\":\"Gone\",\"status\":410,\"detail\":\"");
    assert_null(strstr(text, "id: "));
    assert_int_equal(f->finished, 1);
    assert_false(f->exchange.cut);
}

static void a_slow_feed_holds_one_piece(void **state)
{
    struct api_fixture *f = *state;
    for (int i = 0; i < 2000; i++)
        put_beside(f, "some/key/of/the/usual/length", KVS_WRITE_PUT);
    begin(f, "/changes?feed=sse", "X", "y");
    size_t pieces = 0;
    while (!f->node->waiting) { // each pull is one piece, whatever there is
        assert_true(stream_woken);
        stream_woken = false;
        stream_woken |= f->exchange.pull(&f->exchange);
        assert_true(f->exchange.response.body.size < 48 * 1024);
        kvs_buf_clear(&f->exchange.response.body);
        run_tasks(f);
        pieces++;
    }
    assert_true(pieces > 8);
    f->exchange.notice(&f->exchange, KVS_HTTP_GONE);
    assert_int_equal(f->finished, 1);
}

static void head_of_a_feed_ends_at_once(void **state)
{
    struct api_fixture *f = *state;
    reset_exchange(f);
    f->exchange.request = (struct kvs_http_request){
        .method = KVS_HTTP_HEAD, .path = KVS_SLICE("/changes"), .query = KVS_SLICE("feed=sse")};
    f->exchange.start = stream_start;
    f->current = &f->loop;
    kvs_api_handle(f->api, &f->exchange);
    assert_int_equal(f->finished, 1);
}

static void bad_parameters_are_400(void **state)
{
    struct api_fixture *f = *state;
    static const char *const bad[] = {
        "since=-1",
        "since=x",
        "since=",
        "since=18446744073709551616",
        "feed=continuous",
        "feed=",
        "limit=0",
        "limit=1001",
        "timeout=1s",
        "feed=sse&timeout=1s",
        "heartbeat=5s",
        "feed=longpoll&heartbeat=5s",
        "feed=longpoll&timeout=2h",
        "feed=longpoll&timeout=-1s",
        "feed=sse&heartbeat=10ms",
        "feed=sse&heartbeat=1h",
        "cursor=x",
        "since=1&since=2",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++) {
        char target[128];
        (void)snprintf(target, sizeof(target), "/changes?%s", bad[i]);
        if (api_get(f, target) != 400)
            fail_msg("%s: %s", bad[i], api_body(f));
    }
    assert_int_equal(api_send(f, "POST", "/changes", ""), 405);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(a_page_has_what_there_is),
        api_test(a_page_looks_far_for_a_prefix),
        api_test(a_losing_version_is_marked),
        api_test(what_is_not_kept_is_410),
        api_test(a_long_poll_waits_for_something),
        api_test(a_long_poll_ends_when_it_is_over),
        api_test(events_go_on_and_on),
        api_test(events_may_have_a_prefix_and_a_limit),
        api_test(a_browser_comes_back_with_its_last_id),
        api_test(a_feed_that_falls_behind_is_told_so),
        api_test(a_slow_feed_holds_one_piece),
        api_test(head_of_a_feed_ends_at_once),
        api_test(bad_parameters_are_400),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
