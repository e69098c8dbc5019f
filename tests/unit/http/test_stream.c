// SPDX-License-Identifier: Apache-2.0
// Responses in pieces: framing, back-pressure, ends of every kind, and what a handler is told.
#include "tests/unit/http/harness.h"

#define GET "GET /s HTTP/1.1\r\nHost: a\r\nX-Request-ID: i\r\n\r\n"
#define HEAD_END "X-Content-Type-Options: nosniff\r\nX-Request-ID: i\r\n"

// A producer: gives `piece` of `size` bytes `left` times, then waits or ends.
struct producer {
    struct kvs_http_exchange *exchange;
    char fill;
    size_t size;
    unsigned left;
    unsigned pulls;
    bool ends;      // itself, when nothing is left
    bool ends_told; // when it hears that it should
    unsigned gone, draining, due;
};

static struct producer producer;

static bool give(struct kvs_http_exchange *exchange)
{
    assert_ptr_equal(exchange, producer.exchange);
    producer.pulls++;
    if (producer.left > 0) {
        char *room = kvs_buf_reserve(&exchange->response.body, producer.size);
        assert_non_null(room);
        memset(room, producer.fill, producer.size);
        exchange->response.body.size += producer.size;
        producer.left--;
    }
    if (producer.left == 0 && producer.ends)
        kvs_http_finish(exchange);
    return producer.left > 0;
}

static void hear(struct kvs_http_exchange *exchange, enum kvs_http_notice notice)
{
    producer.gone += notice == KVS_HTTP_GONE;
    producer.draining += notice == KVS_HTTP_DRAINING;
    producer.due += notice == KVS_HTTP_DUE;
    if (producer.ends_told && notice != KVS_HTTP_DUE)
        kvs_http_finish(exchange);
}

// Sends a request whose answer is a stream; returns whether it has begun.
static bool begin(struct harness *h, const char *request, struct producer p)
{
    h->defer = true;
    harness_send(h, request);
    struct kvs_http_exchange *exchange = h->pending;
    assert_non_null(exchange);
    producer = p;
    producer.exchange = exchange;
    exchange->response.status = 200;
    exchange->response.content_type = "text/x";
    exchange->pull = give;
    exchange->notice = hear;
    bool begun = kvs_http_stream_start(exchange);
    harness_flush(h);
    return begun;
}

static void pieces_go_in_chunks_and_the_connection_goes_on(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_true(begin(&h, GET, (struct producer){.fill = 'a', .size = 3, .left = 2}));
    assert_slice_equal(kvs_buf_slice(&h.output), "HTTP/1.1 200 OK\r\n"
                                                 "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                                 "Content-Type: text/x\r\n"
                                                 "Transfer-Encoding: chunked\r\n" HEAD_END "\r\n"
                                                 "3\r\naaa\r\n3\r\naaa\r\n");
    assert_int_equal(h.finished, 0);
    kvs_buf_clear(&h.output);
    harness_flush(&h);
    assert_int_equal(producer.pulls, 2); // not again unasked
    producer.left = 1;
    producer.size = 20;
    unsigned woken = h.woken;
    kvs_http_stream_wake(producer.exchange);
    assert_int_equal(h.woken, woken + 1);
    harness_flush(&h);
    kvs_http_stream_wake(producer.exchange); // with nothing to give: no empty chunk
    harness_flush(&h);
    kvs_http_finish(producer.exchange);
    harness_flush(&h);
    assert_slice_equal(kvs_buf_slice(&h.output), "14\r\naaaaaaaaaaaaaaaaaaaa\r\n0\r\n\r\n");
    assert_int_equal(h.finished, 1);
    assert_int_equal(h.last_status, 200);
    assert_int_equal(h.last_body_size, 26);
    h.defer = false;
    kvs_buf_clear(&h.output);
    harness_send(&h, GET);
    assert_int_equal(harness_status(&h), 200);
    assert_true(harness_wrote(&h, "Content-Length: 2"));
    harness_done(&h);
}

static void a_pipelined_request_waits_for_the_end(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_true(begin(&h, GET GET, (struct producer){.fill = 'a', .size = 1, .left = 1}));
    assert_int_equal(h.handled, 1);
    h.defer = false;
    kvs_http_finish(producer.exchange);
    harness_flush(&h);
    assert_int_equal(h.handled, 2);
    assert_true(harness_wrote(&h, "0\r\n\r\nHTTP/1.1 200 OK"));
    harness_done(&h);
}

static void a_producer_may_end_inside_its_pull(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_true(begin(&h, GET, (struct producer){.fill = 'z', .size = 2, .left = 3, .ends = true}));
    assert_true(harness_wrote(&h, "\r\n\r\n2\r\nzz\r\n2\r\nzz\r\n2\r\nzz\r\n0\r\n\r\n"));
    assert_int_equal(h.finished, 1);
    assert_true(kvs_http_conn_is_idle(h.conn));
    harness_done(&h);
}

static void http_1_0_is_ended_by_the_connection(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_true(begin(&h, "GET /s HTTP/1.0\r\nConnection: keep-alive\r\nX-Request-ID: i\r\n\r\n",
                      (struct producer){.fill = 'o', .size = 3, .left = 2, .ends = true}));
    assert_slice_equal(kvs_buf_slice(&h.output),
                       "HTTP/1.1 200 OK\r\n"
                       "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                       "Content-Type: text/x\r\n" HEAD_END "Connection: close\r\n\r\n"
                       "oooooo");
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_done(&h);
}

static void head_gets_the_head_alone(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_false(begin(&h, "HEAD /s HTTP/1.1\r\nHost: a\r\nX-Request-ID: i\r\n\r\n",
                       (struct producer){.fill = 'o', .size = 3, .left = 2}));
    kvs_http_finish(producer.exchange);
    harness_flush(&h);
    assert_slice_equal(kvs_buf_slice(&h.output), "HTTP/1.1 200 OK\r\n"
                                                 "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                                 "Content-Type: text/x\r\n"
                                                 "Transfer-Encoding: chunked\r\n" HEAD_END "\r\n");
    assert_int_equal(producer.pulls, 0);
    assert_true(kvs_http_conn_is_idle(h.conn));
    harness_done(&h);
}

static size_t waiting(struct harness *h)
{
    struct iovec iovecs[KVS_HTTP_OUTPUT_IOVECS];
    size_t count = kvs_http_conn_output(h->conn, iovecs);
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += iovecs[i].iov_len;
    return size;
}

static void a_slow_client_is_waited_for(void **state)
{
    (void)state;
    struct harness h = {.hold_output = true, .http = {.write_timeout_ms = 1000}};
    harness_init(&h);
    enum { SIZE = 10000, COUNT = 1000 };
    assert_true(
        begin(&h, GET, (struct producer){.fill = 's', .size = SIZE, .left = COUNT, .ends = true}));
    unsigned pulls = producer.pulls;
    assert_in_range(pulls, 2, KVS_HTTP_OUTPUT_MAX / SIZE + 1);
    for (int i = 0; i < 10; i++) {
        kvs_http_stream_wake(producer.exchange);
        harness_flush(&h);
    }
    assert_int_equal(producer.pulls, pulls);
    // It reads a little now and then: never more is held, and nothing gets lost.
    size_t total = waiting(&h);
    while (!kvs_http_conn_is_idle(h.conn)) {
        size_t before = waiting(&h);
        assert_in_range(before, 1, KVS_HTTP_OUTPUT_MAX + 2 * SIZE);
        size_t taken = before < 7000 ? before : 7000;
        kvs_http_conn_sent(h.conn, taken);
        kvs_http_conn_run(h.conn);
        if (h.conn && waiting(&h) > before - taken)
            total += waiting(&h) - (before - taken);
    }
    assert_true(total > (size_t)SIZE * COUNT);
    assert_int_equal(h.last_body_size, (size_t)SIZE * COUNT);
    harness_done(&h);
}

static void a_client_that_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    struct harness h = {.hold_output = true, .http = {.write_timeout_ms = 1000}};
    harness_init(&h);
    assert_true(begin(
        &h, GET, (struct producer){.fill = 's', .size = 10000, .left = 100, .ends_told = true}));
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns + 999999999), KVS_HTTP_IN_TIME);
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns + 1000000000), KVS_HTTP_RESET);
    kvs_http_conn_close(h.conn);
    h.conn = NULL;
    assert_int_equal(producer.gone, 1);
    assert_int_equal(kvs_http_server_in_flight(h.server), 0);
    harness_done(&h);
}

static void a_large_piece_keeps_its_place(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_true(begin(&h, GET, (struct producer){.fill = 'L', .size = 300000, .left = 2}));
    producer.fill = 's';
    producer.size = 1;
    producer.left = 1;
    producer.ends = true;
    kvs_http_stream_wake(producer.exchange);
    harness_flush(&h);
    const char *body = (const char *)memmem(h.output.data, h.output.size, "\r\n\r\n", 4) + 4;
    const size_t large = strlen("493e0\r\n") + 300000 + 2;
    assert_int_equal((size_t)(h.output.data + h.output.size - body),
                     2 * large + strlen("1\r\ns\r\n0\r\n\r\n"));
    assert_memory_equal(body, "493e0\r\nL", 8);
    assert_memory_equal(body + large - 3, "L\r\n493e0\r\nL", 11);
    assert_memory_equal(body + 2 * large - 3, "L\r\n1\r\ns\r\n0\r\n\r\n", 14);
    harness_done(&h);
}

static void a_cut_stream_is_seen_to_be_one(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_true(begin(&h, GET GET, (struct producer){.fill = 'a', .size = 1, .left = 1}));
    producer.exchange->cut = true;
    kvs_http_finish(producer.exchange);
    harness_flush(&h);
    assert_true(kvs_http_conn_is_over(h.conn));
    assert_false(harness_wrote(&h, "0\r\n\r\n"));
    assert_int_equal(h.handled, 1);
    harness_done(&h);
}

static void the_handler_hears_that_the_client_has_gone(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_true(begin(&h, GET, (struct producer){.fill = 'a', .size = 1, .left = 1}));
    kvs_http_conn_close(h.conn); // the socket failed
    h.conn = NULL;
    assert_int_equal(producer.gone, 1);
    assert_int_equal(kvs_http_server_in_flight(h.server), 1);
    kvs_http_stream_wake(producer.exchange); // may come too late
    kvs_http_finish(producer.exchange);
    assert_int_equal(kvs_http_server_in_flight(h.server), 0);

    harness_connect(&h); // the client closed its side
    assert_true(begin(&h, GET, (struct producer){.ends_told = true}));
    kvs_http_conn_end_input(h.conn);
    harness_flush(&h);
    assert_int_equal(producer.gone, 1);
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_done(&h);
}

static void the_handler_hears_that_the_server_drains(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    assert_true(begin(&h, GET, (struct producer){.ends_told = true}));
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_IN_TIME);
    kvs_http_server_drain(h.server);
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_LATE);
    harness_flush(&h);
    assert_int_equal(producer.draining, 1);
    assert_true(harness_wrote(&h, "\r\n\r\n0\r\n\r\n"));
    kvs_http_conn_close(h.conn);
    h.conn = NULL;
    assert_int_equal(producer.gone, 0); // it was over
    harness_done(&h);
}

static void who_does_not_stream_hears_it_too(void **state)
{
    (void)state;
    struct harness h = {.defer = true};
    harness_init(&h);
    harness_send(&h, GET);
    producer = (struct producer){.exchange = h.pending};
    h.pending->notice = hear;
    h.pending->due_ns = h.now_ns + 100;
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns + 99), KVS_HTTP_IN_TIME);
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns + 100), KVS_HTTP_LATE);
    h.now_ns += 100;
    harness_flush(&h);
    harness_flush(&h);
    assert_int_equal(producer.due, 1);
    assert_int_equal(h.pending->due_ns, 0);
    kvs_http_server_drain(h.server);
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_LATE);
    harness_flush(&h);
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_IN_TIME);
    assert_int_equal(producer.draining, 1); // once
    kvs_http_conn_end_input(h.conn);
    harness_flush(&h);
    assert_int_equal(producer.gone, 1);
    harness_answer(&h, h.pending);
    harness_flush(&h);
    assert_int_equal(harness_status(&h), 200);
    harness_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_go_in_chunks_and_the_connection_goes_on),
        cmocka_unit_test(a_pipelined_request_waits_for_the_end),
        cmocka_unit_test(a_producer_may_end_inside_its_pull),
        cmocka_unit_test(http_1_0_is_ended_by_the_connection),
        cmocka_unit_test(head_gets_the_head_alone),
        cmocka_unit_test(a_slow_client_is_waited_for),
        cmocka_unit_test(a_client_that_takes_nothing_is_cut_off),
        cmocka_unit_test(a_large_piece_keeps_its_place),
        cmocka_unit_test(a_cut_stream_is_seen_to_be_one),
        cmocka_unit_test(the_handler_hears_that_the_client_has_gone),
        cmocka_unit_test(the_handler_hears_that_the_server_drains),
        cmocka_unit_test(who_does_not_stream_hears_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
