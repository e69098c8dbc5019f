// SPDX-License-Identifier: Apache-2.0
// What all connections together may hold: who is refused, and that all of it is given back.
// harness_done() asserts that nothing is held at the end of each test, here and in test_conn.c.
#include "tests/unit/http/harness.h"

enum { KIB = 1024, MIB = 1024 * 1024, BASE = 64 * KIB, HELD_MAX = MIB };

static char letters[MIB];

static void begin_put(struct harness *h, size_t length)
{
    char head[128];
    (void)snprintf(head, sizeof(head), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                   length);
    harness_send(h, head);
}

static void put(struct harness *h, size_t length)
{
    begin_put(h, length);
    harness_feed(h, letters, length, SIZE_MAX);
}

static void begin_chunked(struct harness *h)
{
    harness_send(h, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void send_chunk(struct harness *h, size_t size)
{
    char line[32];
    (void)snprintf(line, sizeof(line), "%zx\r\n", size);
    harness_send(h, line);
    harness_feed(h, letters, size, SIZE_MAX);
    harness_send(h, "\r\n");
}

// Leaves the connection as it is and goes on with a new one.
static struct kvs_http_conn *set_aside(struct harness *h)
{
    struct kvs_http_conn *conn = h->conn;
    h->conn = NULL;
    harness_connect(h);
    return conn;
}

static void close_aside(struct harness *h, struct kvs_http_conn *conn)
{
    struct kvs_http_conn *current = h->conn;
    h->conn = NULL;
    kvs_http_conn_close(conn);
    h->conn = current;
}

// With a handler that does not finish: its body is held.
static struct kvs_http_conn *hold_a_body(struct harness *h, size_t length,
                                         struct kvs_http_exchange **ret_exchange)
{
    h->defer = true;
    put(h, length);
    assert_int_equal(h->handled, 1);
    assert_true(kvs_http_budget_held(&h->budget) >= length - BASE);
    *ret_exchange = h->pending;
    h->defer = false;
    return set_aside(h);
}

static void expect_refusal(const struct harness *h)
{
    assert_int_equal(harness_status(h), 503);
    assert_true(harness_wrote(h, "\r\nRetry-After: 1\r\n"));
    assert_true(harness_wrote(h, "holds as much"));
    assert_true(kvs_http_conn_is_over(h->conn));
    assert_int_equal(h->handled, 0);
}

static void takes_nothing_for_small_requests(void **state)
{
    (void)state;
    struct harness h = {.budget_max = 1, .defer = true};
    harness_init(&h);
    put(&h, 30 * KIB);
    assert_int_equal(h.handled, 1);
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);
    h.hold_output = true;
    h.response_size = 20 * KIB; // a buffer of its own
    harness_answer(&h, h.pending);
    harness_flush(&h);
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);
    h.hold_output = false;
    harness_flush(&h);
    assert_int_equal(harness_status(&h), 200);
    harness_done(&h);
}

static void refuses_a_body_that_does_not_fit_before_it_is_read(void **state)
{
    (void)state;
    struct harness h = {.budget_max = HELD_MAX};
    harness_init(&h);
    struct kvs_http_exchange *held;
    struct kvs_http_conn *conn = hold_a_body(&h, 900 * KIB, &held);
    harness_send(&h, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                     "Content-Length: 300000\r\n\r\n");
    expect_refusal(&h);
    assert_false(harness_wrote(&h, "100 Continue"));
    harness_connect(&h); // what fits is still served
    put(&h, 100 * KIB);
    assert_int_equal(harness_status(&h), 200);
    harness_connect(&h);
    harness_send(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(harness_status(&h), 200);
    harness_answer(&h, held);
    close_aside(&h, conn);
    harness_done(&h);
}

static void refuses_a_body_for_which_others_have_left_no_room(void **state)
{
    (void)state;
    struct harness h = {.budget_max = HELD_MAX};
    harness_init(&h);
    begin_put(&h, MIB); // fits, so far
    harness_feed(&h, letters, 100 * KIB, SIZE_MAX);
    assert_int_equal(h.output.size, 0);
    struct kvs_http_conn *slow = set_aside(&h);
    struct kvs_http_exchange *held;
    struct kvs_http_conn *conn = hold_a_body(&h, 900 * KIB, &held);
    struct kvs_http_conn *unused = h.conn;
    h.conn = slow;
    harness_feed(&h, letters, MIB - 100 * KIB, SIZE_MAX);
    expect_refusal(&h);
    close_aside(&h, unused);
    harness_answer(&h, held);
    close_aside(&h, conn);
    harness_done(&h);
}

static void does_not_charge_what_is_only_announced(void **state)
{
    (void)state;
    struct harness h = {.budget_max = HELD_MAX};
    harness_init(&h);
    begin_put(&h, MIB);
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);
    harness_feed(&h, letters, MIB, 50000);
    assert_int_equal(harness_status(&h), 200);
    harness_done(&h);
}

static void refuses_a_chunked_body_while_it_grows(void **state)
{
    (void)state;
    struct harness h = {.budget_max = HELD_MAX};
    harness_init(&h);
    struct kvs_http_exchange *held;
    struct kvs_http_conn *conn = hold_a_body(&h, 900 * KIB, &held);
    size_t before = kvs_http_budget_held(&h.budget);
    begin_chunked(&h);
    send_chunk(&h, 100 * KIB);
    assert_int_equal(h.output.size, 0);
    assert_true(kvs_http_budget_held(&h.budget) > before);
    send_chunk(&h, 500 * KIB);
    expect_refusal(&h);
    assert_int_equal(kvs_http_budget_held(&h.budget), before);

    harness_connect(&h);
    begin_chunked(&h);
    send_chunk(&h, 100 * KIB);
    harness_send(&h, "0\r\n\r\n");
    assert_int_equal(harness_status(&h), 200);
    harness_answer(&h, held);
    close_aside(&h, conn);
    harness_done(&h);
}

static void gives_back_after_the_response(void **state)
{
    (void)state;
    struct harness h = {.budget_max = HELD_MAX, .response_size = 10};
    harness_init(&h);
    for (int i = 0; i < 10; i++) { // on one connection
        kvs_buf_clear(&h.output);
        put(&h, MIB);
        assert_int_equal(harness_status(&h), 200);
        assert_int_equal(kvs_http_budget_held(&h.budget), 0);
    }
    kvs_buf_clear(
        &h.output); // chunked, and with the next request begun: the connection is not idle
    begin_chunked(&h);
    send_chunk(&h, 500 * KIB);
    harness_send(&h, "0\r\n\r\nGET / HT");
    assert_int_equal(harness_status(&h), 200);
    assert_false(kvs_http_conn_is_idle(h.conn));
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);
    harness_done(&h);
}

static void charges_a_response_until_it_has_been_sent(void **state)
{
    (void)state;
    struct harness h = {.budget_max = HELD_MAX, .response_size = 4 * MIB, .hold_output = true};
    harness_init(&h);
    harness_send(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(h.handled, 1); // more than there is: let through all the same
    assert_true(kvs_http_budget_held(&h.budget) >= 4 * MIB - BASE);
    struct kvs_http_conn *slow = set_aside(&h);
    h.hold_output = false;
    begin_put(&h, 100 * KIB);
    expect_refusal(&h);
    kvs_http_conn_close(h.conn);
    h.conn = slow;
    harness_flush(&h);
    assert_true(harness_wrote(&h, "200 OK"));
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);
    h.response_size = 0;
    kvs_buf_clear(&h.output);
    put(&h, 100 * KIB);
    assert_int_equal(harness_status(&h), 200);
    harness_done(&h);
}

static void gives_back_when_the_client_disconnects(void **state)
{
    (void)state;
    struct harness h = {.budget_max = HELD_MAX};
    harness_init(&h);
    begin_put(&h, MIB); // in the middle of a body
    harness_feed(&h, letters, 500 * KIB, SIZE_MAX);
    assert_true(kvs_http_budget_held(&h.budget) > 0);
    harness_connect(&h);
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);

    h.response_size = 4 * MIB; // in the middle of a response
    h.hold_output = true;
    harness_send(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(kvs_http_budget_held(&h.budget) > 0);
    harness_connect(&h);
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);

    struct kvs_http_exchange *held; // while a handler still reads its body
    struct kvs_http_conn *conn = hold_a_body(&h, 500 * KIB, &held);
    close_aside(&h, conn);
    assert_true(kvs_http_budget_held(&h.budget) > 0);
    harness_answer(&h, held);
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);
    harness_done(&h);
}

static void gives_back_when_a_body_comes_too_late(void **state)
{
    (void)state;
    struct harness h = {.budget_max = HELD_MAX};
    harness_init(&h);
    begin_put(&h, MIB);
    harness_feed(&h, letters, 500 * KIB, SIZE_MAX);
    assert_true(kvs_http_budget_held(&h.budget) > 0);
    h.now_ns += (int64_t)3600 * 1000 * 1000 * 1000;
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_LATE);
    h.hold_output = true;
    harness_flush(&h); // the refusal is unsent, and small
    assert_int_equal(kvs_http_budget_held(&h.budget), 0);
    harness_done(&h);
}

int main(void)
{
    memset(letters, 'a', sizeof(letters));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_nothing_for_small_requests),
        cmocka_unit_test(refuses_a_body_that_does_not_fit_before_it_is_read),
        cmocka_unit_test(refuses_a_body_for_which_others_have_left_no_room),
        cmocka_unit_test(does_not_charge_what_is_only_announced),
        cmocka_unit_test(refuses_a_chunked_body_while_it_grows),
        cmocka_unit_test(gives_back_after_the_response),
        cmocka_unit_test(charges_a_response_until_it_has_been_sent),
        cmocka_unit_test(gives_back_when_the_client_disconnects),
        cmocka_unit_test(gives_back_when_a_body_comes_too_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
