# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as RFC 9110 and 9112 have it: nothing ambiguous is accepted, nothing lawful is refused.

Where a request's end is in doubt the node answers once and closes: whatever follows must never be taken for
a request."""
import re

import pytest

from kvsnode import DEADLINE_S, key_path, wait_until

FOLLOWING = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"  # must stay unanswered behind what is ambiguous


def everything(node, data, timeout_s=DEADLINE_S):
    """All final responses to `data` until the node closes the connection."""
    responses = []
    with node.connect(timeout_s) as connection:
        try:
            connection.send(data)
        except OSError:
            pass  # refused and closed before all of it was sent
        while True:
            try:
                responses.append(connection.read_response())
            except EOFError:
                return responses


def assert_refused(node, data, *statuses):
    """One answer of these statuses (400 unless told), as a problem, and the connection closed behind it."""
    responses = everything(node, data + FOLLOWING)
    assert len(responses) == 1, responses
    assert responses[0].status in (statuses or (400,)), responses
    assert responses[0].headers["content-type"].split(";")[0] == "application/problem+json"
    assert responses[0].json()["status"] == responses[0].status
    assert responses[0].headers["x-request-id"]
    assert responses[0].headers["connection"].lower() == "close"
    assert node.get("/health").status == 200


def put(path, *lines, body=b"1"):
    return f"PUT {path} HTTP/1.1\r\nHost: x\r\n".encode() + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


# ---- where a body ends

@pytest.mark.parametrize("lines, body", [
    ([b"Content-Length: 1", b"Transfer-Encoding: chunked"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer-Encoding: chunked", b"Content-Length: 11"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Content-Length: 1", b"Content-Length: 2"], b"12"),
    ([b"Content-Length: 1, 2"], b"12"),
    ([b"Content-Length: +1"], b"1"), ([b"Content-Length: -1"], b"1"), ([b"Content-Length: 0x1"], b"1"),
    ([b"Content-Length: 1 1"], b"1"), ([b"Content-Length: 1a"], b"1"), ([b"Content-Length: "], b"1"),
    ([b"Content-Length: 1.0"], b"1"), ([b"Content-Length: \xb2"], b"1"),
    ([b"Content-Length: 18446744073709551617"], b"1"), ([b"Content-Length: 99999999999999999999999999"], b"1"),
    ([b"Content-Length : 1"], b"1"), ([b" Content-Length: 1"], b"1"),
    ([b"Transfer-Encoding: xchunked"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer-Encoding: chunked, identity"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer-Encoding: chunked, chunked"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer-Encoding: identity"], b"1"),
    ([b"Transfer-Encoding: gzip, chunked"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer-Encoding: "], b"1"),
    ([b"Transfer-Encoding: \x0bchunked"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer-Encoding : chunked"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer_Encoding: chunked", b"Content-Length: "], b"1\r\n1\r\n0\r\n\r\n"),
    ([b"Transfer-Encoding: \"chunked\""], b"1\r\n1\r\n0\r\n\r\n"),
])
def test_an_ambiguous_body_length_is_refused_and_the_connection_closed(node, prefix, lines, body):
    assert_refused(node, put(key_path(prefix), *lines, body=body), 400, 413, 501)
    assert node.get(key_path(prefix)).status == 404


@pytest.mark.parametrize("body", [
    b"1\n1\r\n0\r\n\r\n", b"1\r\n1\n0\r\n\r\n", b"1\r\n1\r\n0\n\r\n", b"1\r\n12\r\n0\r\n\r\n", b"g\r\n1\r\n0\r\n\r\n",
    b"0x1\r\n1\r\n0\r\n\r\n", b"+1\r\n1\r\n0\r\n\r\n", b"-1\r\n1\r\n0\r\n\r\n", b" 1\r\n1\r\n0\r\n\r\n",
    b"1 1\r\n1\r\n0\r\n\r\n", b"\r\n1\r\n0\r\n\r\n", b"1_0\r\n1\r\n0\r\n\r\n",
    b"10000000000000001\r\n1\r\n0\r\n\r\n", b"fffffffffffffffff\r\n1\r\n0\r\n\r\n",
    b"1\r\n1\r\n0\r\nA: b\nC: d\r\n\r\n", b"1\r\n1\r\n0\r\nA B: c\r\n\r\n", b"1;a\nb\r\n1\r\n0\r\n\r\n",
    b"1\r1\r\n0\r\n\r\n",
])
def test_bad_chunks_are_refused(node, prefix, body):
    assert_refused(node, put(key_path(prefix), b"Transfer-Encoding: chunked", body=body), 400, 413)
    assert node.get(key_path(prefix)).status == 404


@pytest.mark.parametrize("body", [
    b"1\r\n7\r\n0\r\n\r\n", b"01\r\n7\r\n00\r\n\r\n", b"1;name=value\r\n7\r\n0\r\n\r\n", b"1;n=\"q\"\r\n7\r\n0;x\r\n\r\n",
    b"1\r\n7\r\n0\r\nTrailer: ignored\r\n\r\n", b"A\r\n         7\r\n0\r\n\r\n", b"a\r\n         7\r\n0\r\n\r\n",
])
def test_lawful_chunks_are_accepted(node, prefix, body):
    with node.connect() as connection:
        connection.send(put(key_path(prefix), b"Transfer-Encoding: chunked", body=body))
        assert connection.read_response().status == 201
        assert connection.request("GET", key_path(prefix) + "?raw=1").body == b"7"


def test_a_trailer_never_becomes_a_header(node, prefix):
    node.put(key_path(prefix), 1)
    with node.connect() as connection:
        connection.send(put(key_path(prefix), b"Transfer-Encoding: chunked",
                            body=b'1\r\n2\r\n0\r\nIf-None-Match: *\r\nContent-Length: 5\r\n\r\n'))
        assert connection.read_response().status == 200
        assert connection.request("GET", key_path(prefix)).json()["data"] == 2


def test_the_same_length_twice_is_one_length_or_refused(node, prefix):
    responses = everything(node, put(key_path(prefix), b"Content-Length: 1", b"Content-Length: 1", b"Connection: close"))
    assert [response.status for response in responses] in ([201], [400])


def test_transfer_encoding_in_http_1_0_is_refused(node, prefix):
    assert_refused(node, f"PUT {key_path(prefix)} HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                   + b"1\r\n1\r\n0\r\n\r\n")
    assert node.get(key_path(prefix)).status == 404


def test_the_coding_s_name_has_no_case(node, prefix):
    with node.connect() as connection:
        connection.send(put(key_path(prefix), b"tRANSFER-eNCODING: Chunked", body=b"1\r\n7\r\n0\r\n\r\n"))
        assert connection.read_response().status == 201


# ---- Host

@pytest.mark.parametrize("lines", [
    b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n",
    b"Host: a,b\r\n", b"Host: http://a\r\n", b"Host: a:port\r\n", b"Host: a:99999999\r\n", b"Host: a:1:2\r\n",
    b"Host: [::1\r\n", b"Host: ::1\r\n", b"Host: a?b\r\n", b"Host: a#b\r\n", b"Host: \xff\r\n", b"Host: a\tb\r\n",
    b"Host : a\r\n", b"Host: <a>\r\n", b"Host: %zz\r\n",
])
def test_a_missing_repeated_or_bad_host_is_400(node, lines):
    assert_refused(node, b"GET /health HTTP/1.1\r\n" + lines + b"\r\n")


@pytest.mark.parametrize("host", ["a", "a.b", "a:8080", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8080", "A-b.C_d", "a:"])
def test_a_good_host_is_taken(node, host):
    assert node.get("/health", Host=host).status == 200


# ---- the head

@pytest.mark.parametrize("head", [
    b"GET /health HTTP/1.1\nHost: x\n\n", b"GET /health HTTP/1.1\r\nHost: x\n\r\n", b"GET /health HTTP/1.1\nHost: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\n\tfolded: a\r\n\r\n",
    b"GET /health HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nA\t: c\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nnocolon\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nA(: c\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\x7fc\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nA\xc3\xa4: b\r\n\r\n",
])
def test_a_malformed_head_is_400(node, head):
    assert_refused(node, head)


@pytest.mark.parametrize("line", [
    b"GET  /health HTTP/1.1", b"GET /health  HTTP/1.1", b"GET\t/health\tHTTP/1.1", b" GET /health HTTP/1.1",
    b"GET /health HTTP/1.1 ", b"GET /health", b"GET", b"/health HTTP/1.1", b"G@T /health HTTP/1.1", b"GET health HTTP/1.1",
    b"GET /hea lth HTTP/1.1", b"GET /health#f HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET /\x00 HTTP/1.1",
    b"GET /a\"b HTTP/1.1", b"GET /a<b> HTTP/1.1", b"GET * HTTP/1.1", b"GET x:80 HTTP/1.1", b"CONNECT x:80 HTTP/1.1",
    b"CONNECT /health HTTP/1.1", b"GET /health HTTP/1.1x", b"GET /health http/1.1", b"GET /health HTTP/1.", b"GET /health HTTP/11",
    b"GET /health HTTP/01.1", b"GET /health XTTP/1.1", b"GET /health HTTP /1.1", b"\x16\x03\x01\x02\x00\x01", b"\x00",
    b"GET /health HTTP/1.10", b"GET ?x HTTP/1.1", b"GET //%zz HTTP/1.1 x", b"GET ftp://x/ HTTP/1.1",
])
def test_a_malformed_request_line_is_refused(node, line):
    assert_refused(node, line + b"\r\nHost: x\r\n\r\n", 400, 405, 501, 505)


@pytest.mark.parametrize("line", [b"GET /health HTTP/2.0", b"GET /health HTTP/3.0", b"GET /health HTTP/0.9", b"GET /health HTTP/1.2",
                                  b"PRI * HTTP/2.0"])
def test_other_versions_are_505_or_400_or_a_later_minor_one_served(node, line):
    responses = everything(node, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert len(responses) == 1
    served = (200,) if line.endswith(b"1.2") else ()  # RFC 9110, 2.5: a higher minor version may be served as 1.1
    assert responses[0].status in (400, 505, *served)


def test_an_empty_line_before_a_request_is_forgiven(node):
    assert node.raw(b"\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n").status == 200


def test_white_space_around_a_header_value_is_not_part_of_it(node):
    response = node.raw(b"GET /health HTTP/1.1\r\nHost: \t x \t\r\nX-Request-ID:\t abc \t \r\n\r\n")
    assert (response.status, response.headers["x-request-id"]) == (200, "abc")


def test_bytes_above_ascii_are_lawful_in_header_values(node):
    assert node.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nUser-Agent: \xc3\xa4\xff\r\n\r\n").status == 200


# ---- limits

def test_a_long_target_is_414(node):
    assert_refused(node, b"GET /kv/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414)


def test_a_key_of_1024_escaped_bytes_is_no_long_target(node):
    assert node.get("/kv/" + "%61" * 1024).status == 404


@pytest.mark.parametrize("lines", [b"A: " + b"b" * 100_000 + b"\r\n", b"A" * 100_000 + b": b\r\n", b"A: b\r\n" * 20_000],
                         ids=["value", "name", "count"])
def test_a_long_head_is_431(node, lines):
    assert_refused(node, b"GET /health HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n", 431)


def test_a_head_of_ordinary_size_fits(node):
    lines = "".join(f"X-Header-{n}: {'v' * 80}\r\n" for n in range(50))
    assert node.raw(f"GET /health HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()).status == 200


def test_an_endless_head_is_cut_off(node):
    with node.connect() as connection:
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        try:
            for n in range(100_000):
                connection.send(b"X-%d: y\r\n" % n)
        except OSError:
            return
        assert connection.read_response().status == 431


def test_a_refused_body_still_lets_the_client_read_the_answer(node, prefix):
    body = b'"' + b"x" * 3_000_000 + b'"'
    responses = everything(node, put(key_path(prefix), b"Content-Length: %d" % len(body), body=body))
    assert [response.status for response in responses] == [413]


# ---- Expect

def test_100_continue_is_sent_before_the_body(node, prefix):
    with node.connect() as connection:
        connection.send(put(key_path(prefix), b"Content-Length: 1", b"Expect: 100-continue", body=b""))
        assert connection.read_interim().status == 100
        connection.send(b"7")
        assert connection.read_response().status == 201


def test_with_100_continue_a_giant_is_refused_instead(node, prefix):
    with node.connect() as connection:
        connection.send(put(key_path(prefix), b"Content-Length: 99999999", b"Expect: 100-continue", body=b""))
        assert connection.read_interim().status == 413


def test_another_expectation_is_417(node, prefix):
    with node.connect() as connection:
        connection.send(put(key_path(prefix), b"Content-Length: 1", b"Expect: the-impossible", body=b""))
        assert connection.read_interim().status == 417


# ---- connections

def test_pipelined_requests_are_answered_in_order(node, prefix):
    node.put(key_path(prefix), "p")
    targets = [key_path(prefix), "/health", "/nope", key_path(prefix) + "?raw=1", "/kv/a//b"] * 40
    statuses = [200, 200, 404, 200, 400] * 40
    with node.connect() as connection:
        connection.send(b"".join(f"GET {t} HTTP/1.1\r\nHost: x\r\nX-Request-ID: r{n}\r\n\r\n".encode()
                                 for n, t in enumerate(targets)))
        responses = [connection.read_response() for _ in targets]
    assert [response.status for response in responses] == statuses
    assert [response.headers["x-request-id"] for response in responses] == [f"r{n}" for n in range(len(targets))]


def test_pipelined_writes_to_one_key_happen_in_order(node, prefix):
    with node.connect() as connection:
        connection.send(b"".join(put(key_path(prefix), b"Content-Length: %d" % len(b"%d" % n), body=b"%d" % n)
                                 + f"GET {key_path(prefix)}?raw=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode() for n in range(100)))
        for n in range(100):
            assert connection.read_response().status in (200, 201)
            assert connection.read_response().body == b"%d" % n


def test_a_request_may_come_byte_by_byte(node, prefix):
    with node.connect() as connection:
        for byte in put(key_path(prefix), b"Transfer-Encoding: chunked", body=b"3\r\n[1]\r\n0\r\n\r\n"):
            connection.send(bytes([byte]))
        assert connection.read_response().status == 201


def test_connection_close_is_honoured_and_announced(node):
    with node.connect() as connection:
        response = connection.request("GET", "/health", None, {"Connection": "close"})
        assert response.headers["connection"].lower() == "close"
        assert connection.is_closed()


def test_http_1_0_is_closed_unless_it_asks_to_be_kept(node):
    with node.connect() as connection:
        connection.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert connection.read_response().status == 200
        assert connection.is_closed()
    with node.connect() as connection:
        connection.send(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        response = connection.read_response()
        if response.headers.get("connection", "").lower() == "keep-alive":
            assert connection.request("GET", "/health").status == 200
        else:
            assert connection.is_closed()


def test_http_1_0_never_gets_chunks(node):
    response = node.raw(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert response.status == 200 and "transfer-encoding" not in response.headers


@pytest.mark.parametrize("target", ["http://x/health", "http://x:80/health", "HTTP://X/health", "http://[::1]:1/health"])
def test_the_absolute_form_is_served(node, target):
    assert node.get(target).status == 200


def test_the_absolute_form_carries_its_query(node, prefix):
    node.put(key_path(prefix), "v")
    assert node.get(f"http://x{key_path(prefix)}?raw=1").body == b'"v"'


@pytest.mark.parametrize("target", ["http:///health", "http://", "http://a b/", "http://u@x/health", "http:/health"])
def test_a_bad_absolute_form_is_400(node, target):
    assert_refused(node, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def test_an_unasked_upgrade_changes_nothing(node):
    with node.connect() as connection:
        for protocol in ("h2c", "websocket"):
            response = connection.request("GET", "/health", None, {"Upgrade": protocol, "Connection": "Upgrade"})
            assert response.status == 200


def test_a_body_on_get_is_read_and_not_taken_for_a_request(node, prefix):
    with node.connect() as connection:
        inner = b"DELETE /kv/x HTTP/1.1\r\nHost: x\r\n\r\n"
        response = connection.request("GET", "/health", inner)
        if response.status == 200:
            assert connection.request("GET", key_path(prefix)).status == 404
        else:
            assert response.status in (400, 413) and connection.is_closed()


def test_other_hosts_get_421_where_hosts_are_listed(make_node):
    node = make_node(allowed_hosts=["kvs.example", "127.0.0.1"])
    assert node.get("/kv/", Host="kvs.example").status == 200
    assert node.get("/kv/", Host="evil.example").status == 421


# ---- time

def test_a_request_that_dawdles_is_cut_off(make_node):
    node = make_node(request_timeout="1s")
    for data in (b"GET /health HTT", b"GET /health HTTP/1.1\r\nHost: x\r\n", b"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12",
                 b"PUT /kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12"):
        with node.connect() as connection:
            connection.send(data)
            try:
                assert connection.read_response().status == 408
            except EOFError:
                pass
            assert connection.is_closed()
    node.settings["request_timeout"] = None
    node.restart()
    assert node.get("/kv/a").status == 404


def test_dripping_bytes_does_not_move_the_deadline(make_node):
    node = make_node(request_timeout="1s")
    with node.connect() as connection:
        connection.socket.settimeout(0.1)
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\nX: ")

        def is_over():
            try:
                connection.send(b"y")
                return not connection.socket.recv(1000)
            except TimeoutError:
                return False
            except OSError:
                return True
        wait_until(is_over, "the node cuts the dripping off")


def test_slow_clients_do_not_hold_up_a_quick_one(make_node):
    node = make_node(request_timeout="1h")
    slow = [node.connect() for _ in range(300)]
    try:
        for n, connection in enumerate(slow):
            connection.send((b"GET /health HTTP/1.1\r\nHost:", put("/kv/a", b"Content-Length: 9", body=b"1"))[n % 2])
        with node.connect() as quick:
            for n in range(50):
                assert quick.request("PUT", f"/kv/k{n}", n).status == 201
                assert quick.request("GET", f"/kv/k{n}").status == 200
    finally:
        for connection in slow:
            connection.close()


def test_answers_nobody_reads_do_not_hold_up_the_node(fresh_node):
    node = fresh_node
    node.put("/kv/big", b'"' + b"x" * 1_000_000 + b'"')
    deaf = [node.connect() for _ in range(20)]
    try:
        for connection in deaf:
            connection.send(b"GET /kv/big HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        for _ in range(20):
            assert node.get("/health").status == 200
    finally:
        for connection in deaf:
            connection.close()
    resident = int(re.search(r"VmRSS:\s+(\d+) kB", open(f"/proc/{node.process.pid}/status").read()).group(1))
    assert resident < 600_000  # a thousand answers were asked for, a gigabyte
