// SPDX-License-Identifier: Apache-2.0
// A connection from its first byte to its end: splitting, order, bodies, deadlines, limits.
#include "tests/unit/http/harness.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static const char *const conversation =
    "GET /one?x=1 HTTP/1.1\r\nHost: a\r\nX-Request-ID: 1\r\n\r\n"
    "PUT /two HTTP/1.1\r\nHost: a\r\nX-Request-ID: 2\r\nContent-Length: 11\r\n\r\nhello world"
    "\r\nPOST /three HTTP/1.1\r\nHost: a\r\nX-Request-ID: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"
    "HEAD /four HTTP/1.1\r\nHost: a\r\nX-Request-ID: 4\r\n\r\n"
    "DELETE http://b/five HTTP/1.1\r\nHost: a\r\nX-Request-ID: 5\r\nConnection: close\r\n\r\n"
    "GET /never HTTP/1.1\r\nHost: a\r\n\r\n";

static void gives_the_handler_each_request_in_order(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    harness_send(&h, conversation);
    assert_int_equal(h.seen.err, 0);
    assert_slice_equal(
        kvs_buf_slice(&h.seen),
        "GET /one?x=1 Host=a X-Request-ID=1 from 127.0.0.1 body \n"
        "PUT /two Host=a X-Request-ID=2 Content-Length=11 from 127.0.0.1 body hello world\n"
        "POST /three Host=a X-Request-ID=3 Transfer-Encoding=chunked from 127.0.0.1 body "
        "hello world\n"
        "HEAD /four Host=a X-Request-ID=4 from 127.0.0.1 body \n"
        "DELETE /five Host=a X-Request-ID=5 Connection=close from 127.0.0.1 body \n");
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_done(&h);
}

static void reads_the_same_however_the_bytes_are_split(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    harness_send(&h, conversation);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf output = KVS_BUF_INIT(1024 * 1024);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf seen = KVS_BUF_INIT(1024 * 1024);
    kvs_buf_append_slice(&output, kvs_buf_slice(&h.output));
    kvs_buf_append_slice(&seen, kvs_buf_slice(&h.seen));
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 42);
    for (int round = 0; round < 300; round++) {
        harness_connect(&h);
        size_t size = strlen(conversation);
        size_t at = 0;
        while (at < size) {
            size_t step = round == 0 ? 1 : 1 + kvs_random_below(&random.base, 60);
            size_t taken = harness_read(&h, conversation + at, size - at < step ? size - at : step);
            at += taken;
            if (taken == 0 || round % 2 == 0 || kvs_random_below(&random.base, 2))
                harness_flush(&h);
            if (kvs_http_conn_is_over(h.conn))
                break;
        }
        harness_flush(&h);
        assert_true(kvs_slice_eq(kvs_buf_slice(&h.seen), kvs_buf_slice(&seen)));
        assert_true(kvs_slice_eq(kvs_buf_slice(&h.output), kvs_buf_slice(&output)));
    }
    harness_done(&h);
}

static void writes_a_whole_response(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    harness_send(&h, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: my.id-1_2\r\n\r\n");
    assert_slice_equal(kvs_buf_slice(&h.output), "HTTP/1.1 200 OK\r\n"
                                                 "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                                 "Content-Type: text/plain\r\n"
                                                 "Content-Length: 2\r\n"
                                                 "X-Content-Type-Options: nosniff\r\n"
                                                 "X-Request-ID: my.id-1_2\r\n"
                                                 "\r\n"
                                                 "ok");
    assert_int_equal(h.finished, 1);
    assert_int_equal(h.last_status, 200);
    harness_done(&h);
}

static void replaces_a_request_id_that_is_not_sane(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "",    "a b", "a\"b",
        "<x>", "a~b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct harness h = {0};
    harness_init(&h);
    char previous[65] = "";
    for (size_t i = 0; i < KVS_ARRAY_SIZE(ids); i++) {
        char request[256];
        (void)snprintf(request, sizeof(request),
                       "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: %s\r\n\r\n", ids[i]);
        harness_send(&h, request);
        assert_string_not_equal(h.last_id, ids[i]);
        assert_string_not_equal(h.last_id, previous);
        assert_int_equal(strspn(h.last_id, "0123456789abcdef-"), strlen(h.last_id));
        memcpy(previous, h.last_id, sizeof(previous));
    }
    harness_done(&h);
}

static void sends_no_body_where_there_may_be_none(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    harness_send(&h, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(harness_wrote(&h, "Content-Length: 2\r\n"));
    assert_false(harness_wrote(&h, "\r\n\r\nok"));
    assert_int_equal(h.last_body_size, 0);

    h.response_status = 204;
    harness_connect(&h);
    harness_send(&h, GET);
    assert_true(harness_wrote(&h, "HTTP/1.1 204 No Content\r\n"));
    assert_false(harness_wrote(&h, "Content-Length"));
    assert_false(harness_wrote(&h, "\r\n\r\nok"));

    h.response_status = 304;
    harness_connect(&h);
    harness_send(&h, GET);
    assert_false(harness_wrote(&h, "\r\n\r\nok"));

    // A refused HEAD has no body either: its client would take one for the next response.
    harness_connect(&h);
    harness_send(&h, "HEAD / HTTP/1.1\r\n\r\n");
    assert_int_equal(harness_status(&h), 400);
    assert_false(harness_wrote(&h, "{"));
    harness_done(&h);
}

static void decides_whether_to_keep_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        bool kept;
        const char *says; // NULL: nothing
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, NULL},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false, "Connection: close\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false,
         "Connection: close\r\n"},
        {"GET / HTTP/1.0\r\n\r\n", false, "Connection: close\r\n"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, "Connection: keep-alive\r\n"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", false,
         "Connection: close\r\n"},
    };
    struct harness h = {0};
    harness_init(&h);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(rows); i++) {
        harness_connect(&h);
        harness_send(&h, rows[i].request);
        assert_int_equal(harness_status(&h), 200);
        assert_int_equal(kvs_http_conn_is_over(h.conn), !rows[i].kept);
        assert_true(rows[i].says ? harness_wrote(&h, rows[i].says)
                                 : !harness_wrote(&h, "Connection:"));
    }
    kvs_http_server_drain(h.server);
    harness_connect(&h);
    harness_send(&h, GET);
    assert_true(harness_wrote(&h, "Connection: close\r\n"));
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_done(&h);
}

static void says_continue_only_when_the_body_will_be_read(void **state)
{
    (void)state;
    struct harness h = {.body_limit = 10};
    harness_init(&h);
    const char *head = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
    char request[256];
    (void)snprintf(request, sizeof(request), "%sContent-Length: 5\r\n\r\n", head);
    harness_send(&h, request);
    assert_slice_equal(kvs_buf_slice(&h.output), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(h.handled, 0);
    harness_send(&h, "hello");
    assert_true(harness_wrote(&h, "HTTP/1.1 200 OK"));

    harness_connect(&h);
    (void)snprintf(request, sizeof(request), "%sTransfer-Encoding: chunked\r\n\r\n", head);
    harness_send(&h, request);
    assert_true(harness_wrote(&h, "100 Continue"));

    harness_connect(&h); // too large: refused without the body
    (void)snprintf(request, sizeof(request), "%sContent-Length: 11\r\n\r\n", head);
    harness_send(&h, request);
    assert_int_equal(harness_status(&h), 413);
    assert_false(harness_wrote(&h, "100 Continue"));

    harness_connect(&h); // the body is here already
    (void)snprintf(request, sizeof(request), "%sContent-Length: 5\r\n\r\nhel", head);
    harness_send(&h, request);
    assert_int_equal(h.output.size, 0);

    harness_connect(&h); // no body
    (void)snprintf(request, sizeof(request), "%s\r\n", head);
    harness_send(&h, request);
    assert_int_equal(harness_status(&h), 200);
    harness_done(&h);
}

static void bounds_bodies_by_the_handlers_limit(void **state)
{
    (void)state;
    struct harness h = {.body_limit = 10};
    harness_init(&h);
    harness_send(&h, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_int_equal(harness_status(&h), 200);
    harness_connect(&h);
    harness_send(&h, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    assert_int_equal(harness_status(&h), 413);
    assert_true(kvs_http_conn_is_over(h.conn));
    const char *chunked = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    harness_connect(&h);
    harness_send(&h, chunked);
    harness_send(&h, "9\r\n012345678\r\n1\r\n9\r\n0\r\n\r\n");
    assert_int_equal(harness_status(&h), 200);
    harness_connect(&h);
    harness_send(&h, chunked);
    harness_send(&h, "9\r\n012345678\r\n2\r\n"); // judged by its size, before its bytes
    assert_int_equal(harness_status(&h), 413);
    harness_done(&h);
}

static void reads_large_bodies_without_trusting_their_length(void **state)
{
    (void)state;
    struct harness h = {.body_limit = 8 * 1024 * 1024};
    harness_init(&h);
    harness_send(&h, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n");
    size_t room = 0;
    assert_non_null(kvs_http_conn_input(h.conn, &room));
    assert_true(room <= 64 * 1024);
    KVS_CLEANUP(kvs_freep) char *body = malloc(8 * 1024 * 1024);
    assert_non_null(body);
    for (size_t i = 0; i < 8 * 1024 * 1024; i++)
        body[i] = (char)('a' + i % 26);
    harness_feed(&h, body, 8 * 1024 * 1024, 100000);
    assert_int_equal(harness_status(&h), 200);
    assert_true(h.output.size > 8 * 1024 * 1024);
    assert_memory_equal(h.output.data + h.output.size - 8 * 1024 * 1024, body, 8 * 1024 * 1024);
    harness_done(&h);
}

static void keeps_the_next_request_behind_a_large_body(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf request = KVS_BUF_INIT(1024 * 1024);
    kvs_buf_append_str(&request, "PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 100000; i++)
        kvs_buf_append_char(&request, 'z');
    kvs_buf_append_str(&request, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    harness_feed(&h, request.data, request.size, SIZE_MAX);
    assert_int_equal(h.handled, 2);
    harness_done(&h);
}

static void answers_a_million_pipelined_requests_on_one_stack(void **state)
{
    (void)state;
    struct harness h = {.response_status = 204};
    harness_init(&h);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf requests = KVS_BUF_INIT(16 * 1024 * 1024);
    for (int i = 0; i < 10000; i++)
        kvs_buf_append_str(&requests, GET);
    for (int i = 0; i < 100; i++) {
        harness_feed(&h, requests.data, requests.size, SIZE_MAX);
        kvs_buf_clear(&h.output);
        kvs_buf_clear(&h.seen);
    }
    assert_int_equal(h.handled, 1000000);
    harness_done(&h);
}

static void gathers_pipelined_responses_into_one_write(void **state)
{
    (void)state;
    struct harness h = {.hold_output = true};
    harness_init(&h);
    harness_send(&h, GET GET GET);
    assert_int_equal(h.handled, 3);
    struct iovec iovecs[KVS_HTTP_OUTPUT_IOVECS];
    assert_int_equal(kvs_http_conn_output(h.conn, iovecs), 1);
    harness_done(&h);
}

static void reads_no_further_request_while_much_is_unsent(void **state)
{
    (void)state;
    struct harness h = {.hold_output = true, .response_size = 10000};
    harness_init(&h);
    for (int i = 0; i < 50; i++)
        (void)harness_read(&h, GET, strlen(GET)); // all fit the input buffer
    harness_flush(&h);
    assert_int_equal(h.handled, 7); // the seventh passes 64 KiB
    assert_false(kvs_http_conn_wants_input(h.conn));
    size_t room = 0;
    assert_null(kvs_http_conn_input(h.conn, &room));
    h.hold_output = false;
    harness_flush(&h);
    assert_int_equal(h.handled, 50);
    assert_true(kvs_http_conn_wants_input(h.conn));
    harness_done(&h);
}

static void sends_a_large_body_in_its_own_buffer(void **state)
{
    (void)state;
    struct harness h = {.hold_output = true, .response_size = 1024 * 1024};
    harness_init(&h);
    harness_send(&h, GET GET);
    assert_int_equal(h.handled, 1); // nothing is gathered behind a large body
    struct iovec iovecs[KVS_HTTP_OUTPUT_IOVECS];
    assert_int_equal(kvs_http_conn_output(h.conn, iovecs), 2);
    assert_int_equal(iovecs[1].iov_len, 1024 * 1024);
    kvs_http_conn_sent(h.conn, iovecs[0].iov_len + 1000); // in part
    assert_int_equal(kvs_http_conn_output(h.conn, iovecs), 1);
    assert_int_equal(iovecs[0].iov_len, 1024 * 1024 - 1000);
    h.hold_output = false;
    harness_flush(&h);
    assert_int_equal(h.handled, 2);
    harness_done(&h);
}

static void waits_for_a_handler_that_finishes_later(void **state)
{
    (void)state;
    struct harness h = {.defer = true};
    harness_init(&h);
    harness_send(&h, "PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst"
                     "PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecond");
    assert_int_equal(h.handled, 1);
    assert_false(kvs_http_conn_is_idle(h.conn));
    assert_int_equal(kvs_http_server_in_flight(h.server), 1);
    // What the client sends meanwhile neither moves nor overwrites the request, and is bounded.
    size_t taken = 0;
    size_t size;
    while ((size = harness_read(&h, "#", 1)) > 0)
        taken += size;
    assert_in_range(taken, 1, 64 * 1024);
    assert_slice_equal(h.pending->request.body, "first");
    assert_slice_equal(h.pending->request.path, "/1");
    harness_answer(&h, h.pending);
    assert_int_equal(h.woken, 1);
    harness_flush(&h);
    assert_true(harness_wrote(&h, "\r\n\r\nfirst"));
    assert_int_equal(h.handled, 2);
    harness_answer(&h, h.pending);
    harness_flush(&h);
    assert_true(harness_wrote(&h, "\r\n\r\nsecond"));
    harness_done(&h);
}

static void lets_a_handler_finish_after_its_client_has_gone(void **state)
{
    (void)state;
    struct harness h = {.defer = true};
    harness_init(&h);
    harness_send(&h, GET);
    kvs_http_conn_close(h.conn);
    h.conn = NULL;
    assert_int_equal(kvs_http_server_in_flight(h.server), 1);
    assert_slice_equal(h.pending->request.path, "/");
    harness_answer(&h, h.pending);
    assert_int_equal(h.woken, 0);
    assert_int_equal(kvs_http_server_in_flight(h.server), 0);
    harness_done(&h);
}

static void answers_a_client_that_has_shut_down_its_side(void **state)
{
    (void)state;
    struct harness h = {.defer = true};
    harness_init(&h);
    harness_send(&h, GET);
    kvs_http_conn_end_input(h.conn);
    harness_flush(&h);
    assert_false(kvs_http_conn_is_over(h.conn));
    harness_answer(&h, h.pending);
    harness_flush(&h);
    assert_true(harness_wrote(&h, "Connection: close\r\n"));
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_done(&h);
}

static void refuses_a_request_that_is_cut_off(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    };
    struct harness h = {0};
    harness_init(&h);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(requests); i++) {
        harness_connect(&h);
        harness_send(&h, requests[i]);
        assert_int_equal(h.output.size, 0);
        kvs_http_conn_end_input(h.conn);
        harness_flush(&h);
        assert_int_equal(harness_status(&h), 400);
        assert_int_equal(h.handled, 0);
        assert_true(kvs_http_conn_is_over(h.conn));
    }
    harness_connect(&h); // between two requests it is no fault
    harness_send(&h, GET);
    kvs_buf_clear(&h.output);
    kvs_http_conn_end_input(h.conn);
    harness_flush(&h);
    assert_int_equal(h.output.size, 0);
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_done(&h);
}

enum { SECOND_NS = 1000 * 1000 * 1000 };

static void times_out_a_request_as_a_whole(void **state)
{
    (void)state;
    static const char *const beginnings[] = {
        "G",
        "GET / HTTP/1.1\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    };
    struct harness h = {.http = {.request_timeout_ms = 10 * 1000}};
    harness_init(&h);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(beginnings); i++) {
        harness_connect(&h);
        harness_send(&h, beginnings[i]);
        h.now_ns += 9LL * SECOND_NS;
        assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_IN_TIME);
        harness_send(&h, i == 0 ? "E" : "\r"); // sending a little does not help
        h.now_ns += 1LL * SECOND_NS;
        assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_LATE);
        harness_flush(&h);
        assert_int_equal(harness_status(&h), 408);
        assert_true(harness_wrote(&h, "Connection: close\r\n"));
        assert_true(kvs_http_conn_is_over(h.conn));
    }
    harness_done(&h);
}

static void times_out_idle_connections_without_a_word(void **state)
{
    (void)state;
    struct harness h = {.http = {.request_timeout_ms = 10 * 1000, .idle_timeout_ms = 60 * 1000}};
    harness_init(&h);
    h.now_ns += 10LL * SECOND_NS; // has never sent anything: as long as a request may take
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_LATE);
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_connect(&h);
    harness_send(&h, GET);
    kvs_buf_clear(&h.output);
    h.now_ns += 59LL * SECOND_NS;
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_IN_TIME);
    h.now_ns += 1LL * SECOND_NS;
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_LATE);
    harness_flush(&h);
    assert_int_equal(h.output.size, 0);
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_done(&h);
}

static void does_not_time_out_a_handler(void **state)
{
    (void)state;
    struct harness h = {.defer = true};
    harness_init(&h);
    harness_send(&h, GET);
    h.now_ns += 100000LL * SECOND_NS;
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_IN_TIME);
    harness_answer(&h, h.pending);
    harness_flush(&h);
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_IN_TIME);
    harness_done(&h);
}

static void resets_a_client_that_does_not_read(void **state)
{
    (void)state;
    struct harness h = {
        .http = {.write_timeout_ms = 5000}, .hold_output = true, .response_size = 1000000};
    harness_init(&h);
    harness_send(&h, GET);
    h.now_ns += 4LL * SECOND_NS;
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_IN_TIME);
    kvs_http_conn_sent(h.conn, 1); // progress
    h.now_ns += 4LL * SECOND_NS;
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_IN_TIME);
    h.now_ns += 1LL * SECOND_NS;
    assert_int_equal(kvs_http_conn_check_deadline(h.conn, h.now_ns), KVS_HTTP_RESET);
    harness_done(&h);
}

static void refuses_connections_beyond_the_limit_politely(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    kvs_http_conn_refuse(h.conn);
    harness_flush(&h);
    assert_int_equal(harness_status(&h), 503);
    assert_true(harness_wrote(&h, "Retry-After: 1\r\n"));
    assert_true(kvs_http_conn_is_over(h.conn));
    harness_done(&h);
}

static void tells_plain_clients_of_a_tls_port(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    kvs_http_conn_refuse_plain(h.conn);
    harness_flush(&h);
    assert_int_equal(harness_status(&h), 400);
    assert_true(harness_wrote(&h, "this port speaks TLS: use https://"));
    assert_true(kvs_http_conn_is_over(h.conn));
    assert_false(h.last_tls.on);
    harness_done(&h);
}

static void hands_on_what_tls_says_of_the_client(void **state)
{
    (void)state;
    struct harness h = {.defer = true};
    harness_init(&h);
    const struct kvs_http_tls tls = {
        .on = true, .client_cert_asked = true, .client_cert_verified = true};
    kvs_http_conn_set_tls(h.conn, &tls);
    for (int i = 0; i < 2; i++) { // of every request of the connection
        harness_send(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_true(h.pending->request.tls.on && h.pending->request.tls.client_cert_verified);
        harness_answer(&h, h.pending);
        kvs_http_conn_run(h.conn);
        harness_flush(&h);
        assert_true(h.last_tls.client_cert_verified);
    }
    harness_connect(&h); // and of no other's
    harness_send(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(h.pending->request.tls.on || h.pending->request.tls.client_cert_verified);
    harness_answer(&h, h.pending);
    harness_done(&h);
}

static void serves_only_allowed_hosts(void **state)
{
    (void)state;
    static const char *const hosts[] = {"kvs.example", "10.0.0.1"};
    struct harness h = {.http = {.allowed_hosts = hosts, .allowed_host_count = 2}};
    harness_init(&h);
    static const struct {
        const char *request;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: KVS.example:8080\r\n\r\n", 200},
        {"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 200},
        {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
        {"GET / HTTP/1.1\r\nHost: kvs.example.evil\r\n\r\n", 421},
        {"GET http://evil/ HTTP/1.1\r\nHost: kvs.example\r\n\r\n", 421},
        {"GET http://kvs.example/ HTTP/1.1\r\nHost: evil\r\n\r\n", 200},
        {"GET / HTTP/1.0\r\n\r\n", 421},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(rows); i++) {
        harness_connect(&h);
        harness_send(&h, rows[i].request);
        assert_int_equal(harness_status(&h), rows[i].status);
    }
    harness_done(&h);
}

static void names_the_client_behind_trusted_proxies(void **state)
{
    (void)state;
    static const char *const proxies[] = {"127.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"};
    static const struct {
        const char *headers;
        const char *client;
    } rows[] = {
        {"", " from 127.0.0.1 "},
        {"X-Forwarded-For: 192.0.2.7\r\n", " from 192.0.2.7 "},
        {"x-forwarded-for: 6.6.6.6, 192.0.2.7\r\n", " from 192.0.2.7 "}, // the first is a claim
        {"X-Forwarded-For: 192.0.2.7, 10.1.2.3\r\n", " from 192.0.2.7 "},
        {"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.1.2.3\r\n", " from 192.0.2.7 "},
        {"X-Forwarded-For: 6.6.6.6, 10.2.0.1\r\n", " from 10.2.0.1 "}, // not trusted
        {"X-Forwarded-For: 10.1.0.1\r\n", " from 10.1.0.1 "},
        {"X-Forwarded-For: nonsense\r\n", " from 127.0.0.1 "},
        {"X-Forwarded-For: 6.6.6.6, nonsense, 10.1.0.1\r\n", " from 10.1.0.1 "},
        {"X-Forwarded-For: 192.0.2.7:1234\r\n", " from 192.0.2.7 "},
        {"X-Forwarded-For: [2001:DB9::1]:80\r\n", " from 2001:db9::1 "},
        {"X-Forwarded-For: 2001:db9::1, 2001:db8::5\r\n", " from 2001:db9::1 "},
        {"X-Forwarded-For: ,\r\n", " from 127.0.0.1 "},
    };
    for (int trusting = 0; trusting <= 1; trusting++) {
        struct harness h = {0};
        h.http.trusted_proxies = proxies;
        h.http.trusted_proxy_count = trusting ? KVS_ARRAY_SIZE(proxies) : 0;
        harness_init(&h);
        for (size_t i = 0; i < KVS_ARRAY_SIZE(rows); i++) {
            char request[256];
            (void)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n",
                           rows[i].headers);
            harness_connect(&h);
            harness_send(&h, request);
            const char *expected = trusting ? rows[i].client : " from 127.0.0.1 ";
            assert_non_null(memmem(h.seen.data, h.seen.size, expected, strlen(expected)));
        }
        harness_done(&h);
    }
}

static void names_the_setting_that_is_no_network(void **state)
{
    (void)state;
    static const char *const bad[] = {"localhost", "10.0.0.0/33", "10.0.0/8", "::1/129", "", "1/"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++) {
        const struct kvs_http_options options = {.trusted_proxies = &bad[i],
                                                 .trusted_proxy_count = 1};
        struct kvs_http_settings *settings = NULL;
        struct kvs_message message = {0};
        assert_int_equal(kvs_http_settings_new(&options, &settings, &message), KVS_ERR_INVALID);
        assert_null(settings);
        assert_non_null(strstr(message.text, bad[i]));
    }
}

static void follows_new_settings_from_the_next_request(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    harness_send(&h, GET);
    assert_int_equal(harness_status(&h), 200);
    static const char *const hosts[] = {"b"};
    const struct kvs_http_options options = {.allowed_hosts = hosts, .allowed_host_count = 1};
    struct kvs_http_settings *settings = NULL;
    assert_int_equal(kvs_http_settings_new(&options, &settings, NULL), 0);
    kvs_http_server_configure(h.server, settings);
    kvs_http_settings_unref(settings);
    kvs_buf_clear(&h.output);
    harness_send(&h, GET);
    assert_int_equal(harness_status(&h), 421);
    harness_done(&h);
}

static void answers_500_when_the_response_outgrew_its_limit(void **state)
{
    (void)state;
    struct harness h = {.defer = true};
    harness_init(&h);
    harness_send(&h, GET);
    h.pending->response.status = 200;
    kvs_buf_reserve(&h.pending->response.body, SIZE_MAX / 2);
    kvs_http_finish(h.pending);
    harness_flush(&h);
    assert_int_equal(harness_status(&h), 500);
    assert_int_equal(h.last_status, 500);
    harness_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_handler_each_request_in_order),
        cmocka_unit_test(reads_the_same_however_the_bytes_are_split),
        cmocka_unit_test(writes_a_whole_response),
        cmocka_unit_test(replaces_a_request_id_that_is_not_sane),
        cmocka_unit_test(sends_no_body_where_there_may_be_none),
        cmocka_unit_test(decides_whether_to_keep_the_connection),
        cmocka_unit_test(says_continue_only_when_the_body_will_be_read),
        cmocka_unit_test(bounds_bodies_by_the_handlers_limit),
        cmocka_unit_test(reads_large_bodies_without_trusting_their_length),
        cmocka_unit_test(keeps_the_next_request_behind_a_large_body),
        cmocka_unit_test(answers_a_million_pipelined_requests_on_one_stack),
        cmocka_unit_test(gathers_pipelined_responses_into_one_write),
        cmocka_unit_test(reads_no_further_request_while_much_is_unsent),
        cmocka_unit_test(sends_a_large_body_in_its_own_buffer),
        cmocka_unit_test(waits_for_a_handler_that_finishes_later),
        cmocka_unit_test(lets_a_handler_finish_after_its_client_has_gone),
        cmocka_unit_test(answers_a_client_that_has_shut_down_its_side),
        cmocka_unit_test(refuses_a_request_that_is_cut_off),
        cmocka_unit_test(times_out_a_request_as_a_whole),
        cmocka_unit_test(times_out_idle_connections_without_a_word),
        cmocka_unit_test(does_not_time_out_a_handler),
        cmocka_unit_test(resets_a_client_that_does_not_read),
        cmocka_unit_test(refuses_connections_beyond_the_limit_politely),
        cmocka_unit_test(tells_plain_clients_of_a_tls_port),
        cmocka_unit_test(hands_on_what_tls_says_of_the_client),
        cmocka_unit_test(serves_only_allowed_hosts),
        cmocka_unit_test(names_the_client_behind_trusted_proxies),
        cmocka_unit_test(names_the_setting_that_is_no_network),
        cmocka_unit_test(follows_new_settings_from_the_next_request),
        cmocka_unit_test(answers_500_when_the_response_outgrew_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
