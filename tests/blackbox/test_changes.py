# SPDX-License-Identifier: Apache-2.0
"""The change feed of a real node: pages, long polls, events; resuming over reconnects, kills and restarts;
clients that are slow, silent or gone; the end of a node."""
import json
import re
import socket
import threading

from kvsnode import is_sanitized, key_path, wait_until
from test_data_api import assert_problem


def changes(node, query=""):
    answer = node.get("/changes" + query)
    assert answer.status == 200, answer
    return answer.json()


def newest(node):
    return changes(node, "?since=now")["last_seq"]


class Events:
    """A client of an event stream, over one connection."""

    def __init__(self, node, query="", version="1.1", **headers):
        self.connection = node.connect()
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.connection.send(f"GET /changes?feed=sse{query} HTTP/{version}\r\nHost: x\r\n{lines}\r\n".encode())
        assert self.connection._line().endswith("200 OK")
        self.headers = {}
        while line := self.connection._line():
            name, value = line.split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.chunked = self.headers.get("transfer-encoding") == "chunked"
        self.text = b""
        self.last_id = None
        self.ended = None  # "clean" or "cut"

    def close(self):
        self.connection.close()

    def _more(self):
        try:
            if not self.chunked:
                if not self.connection.buffer:
                    self.connection._fill()
                self.text += self.connection.buffer
                self.connection.buffer = b""
                return True
            size = int(self.connection._line(), 16)
            self.text += self.connection._exactly(size)
            assert self.connection._line() == ""
            self.ended = "clean" if size == 0 else None
        except EOFError:
            self.ended = "cut" if self.chunked else "clean"
        return self.ended is None

    def block(self):
        """The next block of lines as a dictionary; None at the end."""
        while b"\n\n" not in self.text:
            if not self._more():
                return None
        text, self.text = self.text.split(b"\n\n", 1)
        fields = dict(line.split(": ", 1) if ": " in line else (line, "") for line in text.decode().split("\n"))
        self.last_id = fields.get("id", self.last_id)
        return fields

    def next(self):
        """The next change; None at the end."""
        while (block := self.block()) is not None:
            if "data" in block and "event" not in block:
                change = json.loads(block["data"])
                assert str(change["seq"]) == block["id"]
                return change
        return None


def test_a_page_shows_writes_in_the_nodes_order(make_node):
    node = make_node()
    assert changes(node) == {"changes": [], "last_seq": 0, "more": False}
    first = node.put("/kv/a/1", 1).json()
    second = node.put("/kv/b", 2).json()
    node.delete("/kv/a/1")
    page = changes(node)
    assert [(c["seq"], c["path"], c["deleted"]) for c in page["changes"]] == [
        (1, "a/1", False), (2, "b", False), (3, "a/1", True)]
    assert [(c["uuid"], c["timestamp"]) for c in page["changes"][:2]] == [
        (v["uuid"], v["timestamp"]) for v in (first, second)]
    assert page["last_seq"] == 3 and page["more"] is False
    assert changes(node, "?since=1&limit=1")["more"] is True
    assert [c["seq"] for c in changes(node, "?prefix=a/")["changes"]] == [1, 3]
    node.restart()
    assert changes(node, "?since=2")["changes"] == page["changes"][2:]
    assert changes(node, "?since=2")["changes"][0]["seq"] == 3
    node.kill()
    node.start()
    node.put("/kv/c", 3)
    assert [c["seq"] for c in changes(node, "?since=2")["changes"]] == [3, 4]


def test_paging_sees_everything_once(node, prefix):
    since = newest(node)
    for n in range(250):
        node.put(key_path(f"{prefix}/{n}"), n)
    seen = []
    while True:
        page = changes(node, f"?since={since}&limit=37&prefix={prefix}/")
        seen += [c["path"] for c in page["changes"]]
        since = page["last_seq"]
        if not page["more"]:
            break
    assert seen == [f"{prefix}/{n}" for n in range(250)]


def test_what_the_node_does_not_have_is_410(node):
    answer = node.get(f"/changes?since={newest(node) + 1000000}")
    assert_problem(answer, 410, "Gone")
    assert "since=now" in answer.json()["detail"]


def test_a_long_poll_answers_when_something_happens(node, prefix):
    since = newest(node)
    with node.connect() as connection:
        connection.send(f"GET /changes?feed=longpoll&since={since}&prefix={prefix} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        node.put(key_path("x" + prefix), 0)  # none of its business
        version = node.put(key_path(prefix), 1).json()
        page = connection.read_response().json()
        assert [c["uuid"] for c in page["changes"]] == [version["uuid"]]
        # The connection goes on, and the next poll has nothing to wait for.
        assert connection.request("GET", f"/changes?feed=longpoll&since={since}").json()["changes"]
        empty = connection.request("GET", "/changes?feed=longpoll&since=now&timeout=0")
        assert empty.json()["changes"] == []


def test_events_arrive_and_resume_by_their_ids(node, prefix):
    since = newest(node)
    for n in range(3):
        node.put(key_path(f"{prefix}/{n}"), n)
    events = Events(node, f"&since={since}&prefix={prefix}/")
    assert events.headers["content-type"] == "text/event-stream"
    assert events.headers["cache-control"] == "no-store"
    assert [events.next()["path"] for _ in range(3)] == [f"{prefix}/{n}" for n in range(3)]
    node.put(key_path(f"{prefix}/live"), 1)
    assert events.next()["path"] == f"{prefix}/live"
    events.close()
    node.delete(key_path(f"{prefix}/0"))
    # The header of a browser that comes back wins over the address it began with.
    again = Events(node, f"&since={since}&prefix={prefix}/", Last_Event_ID=events.last_id)
    change = again.next()
    assert (change["path"], change["deleted"]) == (f"{prefix}/0", True)
    again.close()


def test_heartbeats_move_the_id_over_what_is_hidden(node, prefix):
    events = Events(node, f"&since=now&heartbeat=1s&prefix={prefix}")
    node.put(key_path("z" + prefix), 1)
    seq = newest(node)
    while events.last_id != str(seq):
        block = events.block()
        assert block is not None and "data" not in block
    events.close()


def test_a_limit_ends_the_events(node, prefix):
    since = newest(node)
    for n in range(5):
        node.put(key_path(prefix), n)
    events = Events(node, f"&since={since}&limit=3")
    assert [events.next()["seq"] for _ in range(3)] == [since + 1, since + 2, since + 3]
    assert events.next() is None and events.ended == "clean"
    assert events.connection.request("GET", "/health").status == 200  # the connection goes on
    events.close()


def test_http_1_0_gets_events_without_chunks(node, prefix):
    since = newest(node)
    node.put(key_path(prefix), 1)
    events = Events(node, f"&since={since}&limit=1", version="1.0")
    assert not events.chunked and events.headers["connection"] == "close"
    assert events.next()["path"] == prefix and events.next() is None
    events.close()


def test_head_gets_the_head_alone(node):
    for feed in ("normal", "sse"):
        answer = node.head(f"/changes?feed={feed}&since=now")
        assert (answer.status, answer.body) == (200, b"")


def writer(node, prefix, stop, written):
    with node.connect() as connection:
        n = 0
        while not stop.is_set():
            version = connection.request("PUT", key_path(f"{prefix}/{n % 7}"), n).json()
            written.append(version["uuid"])
            n += 1


def test_a_reader_killed_100_times_under_load_sees_everything_once(node, prefix):
    stop, written = threading.Event(), [[], []]
    threads = [threading.Thread(target=writer, args=(node, f"{prefix}/w{i}", stop, written[i])) for i in range(2)]
    last_id, seen = str(newest(node)), []
    for thread in threads:
        thread.start()
    try:
        for round_ in range(100):
            events = Events(node, f"&prefix={prefix}/", Last_Event_ID=last_id)
            for _ in range(1 + round_ % 5):
                seen.append(events.next())
            last_id = events.last_id
            events.close()  # in the middle of whatever comes
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    events = Events(node, f"&prefix={prefix}/", Last_Event_ID=last_id)
    while len(seen) < sum(map(len, written)):
        seen.append(events.next())
    events.close()
    assert [c["seq"] for c in seen] == sorted({c["seq"] for c in seen})
    for i in range(2):
        assert [c["uuid"] for c in seen if c["path"].startswith(f"{prefix}/w{i}/")] == written[i]


def test_a_feed_resumes_over_a_kill_and_a_restart(make_node):
    node = make_node()
    seen, last_id, n = [], "0", 0
    for how in ("stop", "kill", "stop", "kill"):
        events = Events(node, "", Last_Event_ID=last_id)
        for _ in range(20):
            node.put(f"/kv/k{n}", n)
            n += 1
        for _ in range(10):  # leaves some for the next time
            seen.append(events.next()["path"])
        last_id = events.last_id
        events.close()
        getattr(node, how)()
        node.start()
    events = Events(node, "", Last_Event_ID=last_id)
    while len(seen) < n:
        seen.append(events.next()["path"])
    events.close()
    assert seen == [f"k{i}" for i in range(n)]


def connections(node):
    return float(re.search(r"^kvs_http_connections (\S+)$", node.get("/metrics").body.decode(), re.M).group(1))


def rss_kib(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def test_clients_that_go_are_noticed(make_node):
    node = make_node()
    feeds = [Events(node, "&since=now") for _ in range(20)]
    polls = [node.connect() for _ in range(20)]
    for poll in polls:
        poll.send(b"GET /changes?feed=longpoll&since=now HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: connections(node) >= 41, "all are connected")
    for client in feeds + polls:
        client.close()
    wait_until(lambda: connections(node) == 1, "their connections are closed")


def test_a_reader_that_does_not_read_costs_one_buffer(make_node):
    node = make_node()
    key = "/kv/" + "k" * 900
    with node.connect() as connection:
        for n in range(4000):
            connection.request("PUT", key, n)
    clients = []
    before = rss_kib(node)
    for _ in range(30):  # 4 MB are there for each
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", node.port))
        client.sendall(b"GET /changes?feed=sse HTTP/1.1\r\nHost: x\r\n\r\n")
        clients.append(client)
    wait_until(lambda: connections(node) >= 31, "all are connected")
    for n in range(50):  # the others are served
        assert node.put("/kv/other", n).status in (200, 201)
    assert is_sanitized() or rss_kib(node) - before < 60 * 1024
    reader = Events(node, "&since=0&limit=1000")  # and this one gets everything
    assert [reader.next()["seq"] for _ in range(1000)] == list(range(1, 1001))
    reader.close()
    for client in clients:
        client.close()


def test_a_node_that_stops_ends_its_feeds_in_order(make_node):
    node = make_node()
    events = [Events(node, "&since=now") for _ in range(5)]
    polls = [node.connect() for _ in range(5)]
    for poll in polls:  # the second request is at work when the first is answered: both come at once
        poll.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
                  b"GET /changes?feed=longpoll&since=0&timeout=10m HTTP/1.1\r\nHost: x\r\n\r\n")
        assert poll.read_response().status == 200
    node.put("/kv/before", 1)
    assert node.stop() == 0
    for feed in events:
        assert feed.next()["path"] == "before"
        assert feed.next() is None and feed.ended == "clean"
        feed.close()
    for poll in polls:
        answer = poll.read_response()
        assert answer.status == 200 and [c["path"] for c in answer.json()["changes"]] == ["before"]
        poll.close()
