// SPDX-License-Identifier: Apache-2.0
// What is refused, and with which status: each row alone, whole and byte by byte.
#include "tests/unit/http/harness.h"

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

struct row {
    const char *name;
    const char *request;
    int status;
};

static const struct row rows[] = {
    {"plain", GET "\r\n", 200},
    {"1.0 without host", "GET / HTTP/1.0\r\n\r\n", 200},
    {"one empty line before", "\r\n" GET "\r\n", 200},
    {"two empty lines before", "\r\n\r\n" GET "\r\n", 400},
    {"no token at the start", " GET / HTTP/1.1\r\n", 400},
    {"TLS", "\x16\x03\x01\x02", 400},
    {"bare LF in the request line", "GET / HTTP/1.1\n" HOST "\r\n", 400},
    {"bare LF in a header", GET "X: y\n\r\n", 400},
    {"bare LF at the end", GET "\n", 400},
    {"bare CR in the request line", "GET / HTTP/1.1\r" HOST "\r\n", 400},
    {"bare CR in a value", GET "X: a\rb\r\n\r\n", 400},
    {"two spaces", "GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"trailing space", "GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
    {"tab for a space", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"no target", "GET HTTP/1.1\r\n" HOST "\r\n", 400},
    {"HTTP/0.9", "GET /\r\n", 400},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n" HOST "\r\n", 505},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"version without minor", "GET / HTTP/1\r\n" HOST "\r\n", 400},
    {"version in lower case", "GET / http/1.1\r\n" HOST "\r\n", 400},
    {"unknown method", "FROB / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"method in lower case", "get / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", 501},
    {"method known, not to us", "PROPFIND / HTTP/1.1\r\n" HOST "\r\n", 200},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 200},
    {"GET *", "GET * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"relative target", "GET a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"absolute form", "GET http://b/c HTTP/1.1\r\n" HOST "\r\n", 200},
    {"absolute form without path", "GET http://b?c HTTP/1.1\r\n" HOST "\r\n", 200},
    {"absolute form of another scheme", "GET ftp://b/c HTTP/1.1\r\n" HOST "\r\n", 400},
    {"absolute form without host", "GET http:///c HTTP/1.1\r\n" HOST "\r\n", 400},
    {"absolute form with user", "GET http://u@b/c HTTP/1.1\r\n" HOST "\r\n", 400},
    {"fragment", "GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"quote in the target", "GET /a\"b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"control character in the target", "GET /a\x01 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"non-ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"broken escape", "GET /%4 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"broken escape in the query", "GET /?a=%zz HTTP/1.1\r\n" HOST "\r\n", 400},
    {"header without colon", GET "X\r\n\r\n", 400},
    {"empty header name", GET ": y\r\n\r\n", 400},
    {"space before the colon", GET "X : y\r\n\r\n", 400},
    {"bracket in a name", GET "X[: y\r\n\r\n", 400},
    {"continued header", GET "X: y\r\n z\r\n\r\n", 400},
    {"space before the first header", "GET / HTTP/1.1\r\n " HOST "\r\n", 400},
    {"control character in a value", GET "X: \x07\r\n\r\n", 400},
    {"delete character in a value", GET "X: \x7f\r\n\r\n", 400},
    {"tab in a value", GET "X: a\tb\r\n\r\n", 200},
    {"empty value", GET "X:\r\n\r\n", 200},
    {"non-ASCII in a value", GET "X: \xc3\xa9\r\n\r\n", 200},
    {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two hosts", GET HOST "\r\n", 400},
    {"empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", 400},
    {"host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    {"host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"two hosts in one", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
    {"host with port", "GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n", 200},
    {"host with a port out of range", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400},
    {"host with a port of letters", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
    {"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200},
    {"IPv6 host left open", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
    {"IPv4 in brackets", "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n", 400},
    {"length", POST "Content-Length: 3\r\n\r\nabc", 200},
    {"length zero", POST "Content-Length: 0\r\n\r\n", 200},
    {"length with spaces around", POST "Content-Length:  3 \r\n\r\nabc", 200},
    {"no length", POST "\r\n", 200},
    {"empty length", POST "Content-Length: \r\n\r\n", 400},
    {"length of letters", POST "Content-Length: abc\r\n\r\n", 400},
    {"length with sign", POST "Content-Length: +3\r\n\r\nabc", 400},
    {"negative length", POST "Content-Length: -1\r\n\r\n", 400},
    {"hexadecimal length", POST "Content-Length: 0x3\r\n\r\nabc", 400},
    {"length with leading zero", POST "Content-Length: 03\r\n\r\nabc", 400},
    {"length with a space inside", POST "Content-Length: 1 0\r\n\r\n", 400},
    {"list of lengths", POST "Content-Length: 3, 3\r\n\r\nabc", 400},
    {"two lengths", POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
    {"the same length twice", POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
    {"length beyond 64 bits", POST "Content-Length: 99999999999999999999\r\n\r\n", 400},
    {"giant length", POST "Content-Length: 999999999999\r\n\r\n", 413},
    {"length and coding", POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"coding and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
    {"coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"empty coding", POST "Transfer-Encoding:\r\n\r\n", 400},
    {"unknown coding", POST "Transfer-Encoding: gzip\r\n\r\n", 400},
    {"identity", POST "Transfer-Encoding: identity\r\n\r\n", 400},
    {"xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n", 400},
    {"chunked with parameters", POST "Transfer-Encoding: chunked;a=b\r\n\r\n", 400},
    {"chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
    {"chunked not last", POST "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
    {"chunked after gzip", POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"chunked after a comma", POST "Transfer-Encoding: , chunked\r\n\r\n", 400},
    {"two codings", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"vertical tab in the coding",
     POST "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n",
     400},
    {"chunks", CHUNKED "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 200},
    {"no chunks", CHUNKED "0\r\n\r\n", 200},
    {"chunked in capitals", POST "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 200},
    {"trailer", CHUNKED "3\r\nabc\r\n0\r\nX: y\r\n\r\n", 200},
    {"trailer with space before the colon", CHUNKED "0\r\nX : y\r\n\r\n", 400},
    {"trailer with bare LF", CHUNKED "0\r\nX: y\n\r\n", 400},
    {"end of trailers with bare LF", CHUNKED "0\r\n\n", 400},
    {"extension", CHUNKED "3;a=b\r\nabc\r\n0\r\n\r\n", 200},
    {"extension without name", CHUNKED "3;\r\nabc\r\n0\r\n\r\n", 400},
    {"extension with control character", CHUNKED "3;\x01\r\nabc\r\n0\r\n\r\n", 400},
    {"extension with bare CR", CHUNKED "3;a\rb\r\nabc\r\n0\r\n\r\n", 400},
    {"extension with bare LF", CHUNKED "3;a\nabc\r\n0\r\n\r\n", 400},
    {"chunk size with bare LF", CHUNKED "3\nabc\r\n0\r\n\r\n", 400},
    {"chunk size with bare CR", CHUNKED "3\rabc\r\n0\r\n\r\n", 400},
    {"space before the chunk size", CHUNKED " 3\r\nabc\r\n0\r\n\r\n", 400},
    {"space behind the chunk size", CHUNKED "3 \r\nabc\r\n0\r\n\r\n", 400},
    {"chunk size with prefix", CHUNKED "0x3\r\nabc\r\n0\r\n\r\n", 400},
    {"negative chunk size", CHUNKED "-3\r\nabc\r\n0\r\n\r\n", 400},
    {"chunk size overflow", CHUNKED "FFFFFFFFFFFFFFFF0\r\nabc", 400},
    {"giant chunk", CHUNKED "FFFFFFFFFFFFFFF\r\nabc", 413},
    {"chunk longer than announced", CHUNKED "3\r\nabcd\r\n0\r\n\r\n", 400},
    {"chunk with bare LF behind", CHUNKED "3\r\nabc\n0\r\n\r\n", 400},
    {"100-continue", POST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n", 200},
    {"another expectation", GET "Expect: a-miracle\r\n\r\n", 417},
    {"two expectations", GET "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", 417},
    {"upgrade", GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200},
    {"upgrade to HTTP/2",
     GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n", 200},
};

static void answers_each_row_with_its_status(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(rows); i++) {
        static const size_t steps[] = {SIZE_MAX, 1, 7};
        for (size_t j = 0; j < KVS_ARRAY_SIZE(steps); j++) {
            harness_connect(&h);
            harness_feed(&h, rows[i].request, strlen(rows[i].request), steps[j]);
            if (harness_status(&h) != rows[i].status)
                fail_msg("%s: %d instead of %d", rows[i].name, harness_status(&h), rows[i].status);
            assert_int_equal(h.handled, rows[i].status == 200 ? 1 : 0);
            assert_true(rows[i].status == 200 || kvs_http_conn_is_over(h.conn));
        }
    }
    harness_done(&h);
}

static void refuses_nul_bytes(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    static const struct {
        const char *text;
        size_t size;
    } requests[] = {
        {"GET /\0 HTTP/1.1\r\n" HOST "\r\n", 28},
        {GET "X: \0\r\n\r\n", 33},
        {GET "X\0: y\r\n\r\n", 34},
        {CHUNKED "3;\0\r\nabc", 64},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(requests); i++) {
        harness_connect(&h);
        harness_feed(&h, requests[i].text, requests[i].size, SIZE_MAX);
        assert_int_equal(harness_status(&h), 400);
        assert_int_equal(h.handled, 0);
    }
    harness_done(&h);
}

static void answers_refusals_as_problem_json(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    harness_send(&h, "GET /x?y HTTP/1.1\r\nX-Request-ID: my-id\r\n\r\n");
    assert_true(harness_wrote(&h, "HTTP/1.1 400 Bad Request\r\n"));
    assert_true(harness_wrote(&h, "Content-Type: application/problem+json\r\n"));
    assert_true(harness_wrote(&h, "Connection: close\r\n"));
    assert_true(harness_wrote(&h, "X-Request-ID: my-id\r\n"));
    assert_true(harness_wrote(&h, "X-Content-Type-Options: nosniff\r\n"));
    assert_true(harness_wrote(&h, "\r\n\r\n{\"title\":\"Bad Request\",\"status\":400,\"detail\":\""
                                  "the Host header is missing\"}"));
    assert_int_equal(h.finished, 1);
    assert_int_equal(h.last_status, 400);
    assert_string_equal(h.last_method, "GET");
    assert_string_equal(h.last_path, "/x");
    assert_string_equal(h.last_id, "my-id");
    harness_done(&h);
}

// Sends a head with `size` bytes of filler in the target and in a header's value.
static int status_of_large_head(struct harness *h, size_t target_size, size_t value_size,
                                size_t step)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf head = KVS_BUF_INIT(1024 * 1024);
    kvs_buf_append_str(&head, "GET /");
    for (size_t i = 1; i < target_size; i++)
        kvs_buf_append_char(&head, 'a');
    kvs_buf_append_str(&head, " HTTP/1.1\r\nHost: a\r\nX: ");
    for (size_t i = 0; i < value_size; i++)
        kvs_buf_append_char(&head, 'b');
    kvs_buf_append_str(&head, "\r\n\r\n");
    harness_connect(h);
    harness_feed(h, head.data, head.size, step);
    return harness_status(h);
}

static void bounds_target_and_header_section(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    size_t fixed = strlen("Host: a\r\nX: \r\n\r\n");
    static const size_t steps[] = {SIZE_MAX, 1000, 1};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(steps); i++) {
        size_t step = steps[i];
        assert_int_equal(status_of_large_head(&h, 8192, 16384 - fixed, step), 200);
        assert_int_equal(status_of_large_head(&h, 8193, 1, step), 414);
        assert_int_equal(status_of_large_head(&h, 100000, 1, step), 414);
        assert_int_equal(status_of_large_head(&h, 1, 16385 - fixed, step), 431);
        assert_int_equal(status_of_large_head(&h, 1, 100000, step), 431);
    }
    harness_done(&h);
}

static void bounds_the_number_of_headers(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    for (int count = 99; count <= 101; count++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf head = KVS_BUF_INIT(1024 * 1024);
        kvs_buf_append_str(&head, GET);
        for (int i = 1; i < count; i++)
            kvs_buf_append_str(&head, "X: y\r\n");
        kvs_buf_append_str(&head, "\r\n");
        harness_connect(&h);
        harness_feed(&h, head.data, head.size, 100);
        assert_int_equal(harness_status(&h), count <= 100 ? 200 : 431);
    }
    harness_done(&h);
}

static void bounds_chunk_extensions_and_trailers(void **state)
{
    (void)state;
    struct harness h = {0};
    harness_init(&h);
    for (int extensions = 1; extensions <= 5; extensions++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf request = KVS_BUF_INIT(1024 * 1024);
        kvs_buf_append_str(&request, CHUNKED);
        for (int i = 0; i < extensions; i++) {
            kvs_buf_append_str(&request, "1;");
            for (int j = 0; j < 1024; j++)
                kvs_buf_append_char(&request, 'e');
            kvs_buf_append_str(&request, "\r\nb\r\n");
        }
        kvs_buf_append_str(&request, "0\r\n\r\n");
        harness_connect(&h);
        harness_feed(&h, request.data, request.size, 700);
        assert_int_equal(harness_status(&h), extensions <= 4 ? 200 : 400);
    }
    for (size_t size = 2040; size <= 2050; size++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf request = KVS_BUF_INIT(1024 * 1024);
        kvs_buf_append_str(&request, CHUNKED "0\r\nX:");
        for (size_t i = 4; i < size - 2; i++)
            kvs_buf_append_char(&request, 't');
        kvs_buf_append_str(&request, "\r\n\r\n");
        harness_connect(&h);
        harness_feed(&h, request.data, request.size, 700);
        assert_int_equal(harness_status(&h), size <= 2048 ? 200 : 431);
    }
    harness_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_each_row_with_its_status),
        cmocka_unit_test(refuses_nul_bytes),
        cmocka_unit_test(answers_refusals_as_problem_json),
        cmocka_unit_test(bounds_target_and_header_section),
        cmocka_unit_test(bounds_the_number_of_headers),
        cmocka_unit_test(bounds_chunk_extensions_and_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
