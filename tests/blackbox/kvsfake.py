# SPDX-License-Identifier: Apache-2.0
"""A node made of a dictionary, for what a test cannot ask of a real one: failures on demand, a node of the
original Go system, and routes before they are there. It knows the documented routes and no more."""
import contextlib
import http.server
import json
import threading
import time
import urllib.parse
import uuid


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cut = False

    def log_message(self, *_):
        pass

    def answer(self, status, body=None, headers=None):
        data = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.cut:
            self.wfile.write(data[:len(data) // 2])
            self.close_connection = True
            return
        self.wfile.write(data)

    def problem(self, status, detail):
        self.answer(status, {"title": "Problem", "status": status, "detail": detail})

    def handle_any(self):
        fake = self.server.fake
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        path = urllib.parse.unquote(url.path)
        with fake.lock:
            fake.requests.append((self.command, self.path, dict(self.headers), body))
            step = fake.script.pop(0) if fake.script else None
        if step == "close":
            self.close_connection = True
            self.connection.close()
            return
        if isinstance(step, int):
            self.problem(step, "as the test wants it")
            return
        self.cut = step == "cut"
        route = getattr(fake, "route_" + self.command.lower(), None)
        route(self, path, query, body)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that went away


class FakeNode:
    """with FakeNode() as node: node.url, node.data {key: value}, node.requests, node.script (what the next
    requests get instead of an answer: a status, "close", "cut" for half of it, or None), node.changes."""

    def __init__(self, batches=True, secret=None, go=False):
        self.data, self.expires, self.requests, self.script, self.changes = {}, {}, [], [], []
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.batches, self.secret, self.go = batches, secret, go
        self.kept_from = 0        # changes up to this one are gone
        self.streams = 0          # event streams that have begun: what comes now they will tell
        self.stream_length = 0    # changes after which an event stream ends; 0: never
        self.job = None
        self.ending = False
        self.refused = {}         # key: (status, detail)

    def __enter__(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.fake = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_):
        with self.changed:
            self.ending = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # ---- The store

    def change(self, key, deleted=False):
        with self.changed:
            change = {"seq": len(self.changes) + 1, "path": key, "uuid": str(uuid.uuid4()),
                      "timestamp": int(time.time() * 1000), "deleted": deleted}
            self.changes.append(change)
            self.changed.notify_all()
            return {"uuid": change["uuid"], "timestamp": change["timestamp"]}

    def store(self, key, value, ttl=None):
        with self.lock:
            new = key not in self.data
            self.data[key] = value
            self.expires.pop(key, None)
            if ttl and ttl != "0":
                self.expires[key] = ttl
            return new, self.change(key)

    def record(self, key):
        return {"uuid": "11111111-2222-4333-8444-555555555555", "timestamp": 5, "data": self.data[key]}

    def sorted_keys(self, start="", end=""):
        keys = sorted(self.data, key=str.encode)
        return [key for key in keys if key.encode() >= start.encode() and (not end or key.encode() <= end.encode())]

    # ---- Routes

    def route_get(self, call, path, query, _):
        if path == "/changes" and query.get("feed") == "sse":
            self.stream(call, query)
        elif path == "/changes":
            call.answer(200, {"changes": [], "last_seq": len(self.changes), "more": False})
        elif path == "/jobs/1":
            self.job["deleted"] = min(self.job["total"], self.job["deleted"] + self.job["step"])
            if self.job["deleted"] == self.job["total"]:
                self.job["state"] = self.job["end"]
            call.answer(200, {k: v for k, v in self.job.items() if k not in ("step", "end")})
        elif path == "/kv/_range":
            call.answer(200, self.pairs(query.get("start_key", ""), query.get("end_key", ""),
                                        int(query.get("limit", 100))))
        elif path.startswith("/kv/") and path[4:] in self.data:
            call.answer(200, self.record(path[4:]))
        else:
            call.problem(404, "There is nothing.")

    def pairs(self, start, end, limit):
        with self.lock:
            keys = self.sorted_keys(start, end)
            page = keys[:limit] if limit else keys
            found = [{"path": key, "stored_value": self.record(key)} for key in page]
            if self.go:  # as Go marshals an empty slice
                return {"pairs": found or None}
            return {"pairs": found, "next": None}

    def route_put(self, call, path, query, body):
        key = path[4:]
        if key in self.refused:
            call.problem(*self.refused[key])
            return
        new, version = self.store(key, json.loads(body), query.get("ttl"))
        call.answer(201 if new else 200, version)

    def route_patch(self, call, path, _, body):
        key, patch = path[4:], json.loads(body)
        kind = call.headers["Content-Type"]
        if key not in self.data:
            call.problem(404, "There is nothing to patch.")
        elif kind == "application/merge-patch+json":
            value = {k: v for k, v in {**self.data[key], **patch}.items() if v is not None}
            call.answer(200, self.store(key, value)[1])
        else:
            call.problem(409, f"Operation 0 of {len(patch)} does not apply.")

    def route_post(self, call, path, _, body):
        if path == "/kv_range" and self.secret is not None:
            if call.headers.get("X-Cluster-Secret") != self.secret or not call.headers.get("X-Node-ID"):
                call.problem(401, "Unauthorized: Invalid cluster secret")
                return
            asked = json.loads(body)
            call.answer(200, self.pairs(asked["start_key"], asked["end_key"], asked["limit"]))
        elif path == "/kv_batch" and self.batches:
            self.batch(call, json.loads(body))
        else:
            call.problem(404, "No such route.")

    def batch(self, call, operations):
        results = []
        with self.lock:
            for op in operations:
                key = op["path"]
                if key in self.refused:
                    status, detail = self.refused[key]
                    results.append({"status": status, "title": "Problem", "detail": detail})
                elif op["op"] == "put":
                    new, version = self.store(key, op["data"], op.get("ttl"))
                    results.append({"status": 201 if new else 200, **version})
                elif key not in self.data:
                    results.append({"status": 404, "detail": "There is nothing."})
                elif op["op"] == "get":
                    results.append({"status": 200, **self.record(key)})
                else:
                    del self.data[key]
                    results.append({"status": 204, **self.change(key, deleted=True)})
        call.answer(200, results)

    def route_delete(self, call, path, query, _):
        key = path[4:]
        below = [k for k in self.data if k.startswith(key)] if key.endswith("/") else []
        if key.endswith("/") and query.get("dry_run") == "1":
            call.answer(200, {"prefix": key, "dry_run": True, "records": len(below)})
        elif key.endswith("/") and query.get("recursive") == "1":
            self.job = {"state": "running", "deleted": 0, "total": len(below), "step": max(1, len(below) // 3),
                        "end": "done", **(self.job or {})}
            for k in below:
                del self.data[k]
            call.answer(202, {"state": "running"}, {"Location": "/jobs/1"})
        elif key in self.data:
            del self.data[key]
            self.change(key, deleted=True)
            call.answer(204)
        else:
            call.problem(404, "There is nothing.")

    def stream(self, call, query):
        with self.lock:
            since = len(self.changes) if query.get("since") == "now" else int(query.get("since", 0))
            gone = since < self.kept_from
            self.streams += 1
        if gone:
            call.problem(410, "Those changes are no longer kept.")
            return
        call.send_response(200)
        call.send_header("Content-Type", "text/event-stream")
        call.send_header("Connection", "close")
        call.end_headers()
        call.close_connection = True
        call.wfile.write(b": welcome\n\n")
        sent = 0
        with contextlib.suppress(OSError):
            while not self.stream_length or sent < self.stream_length:
                with self.changed:
                    while since >= len(self.changes) and not self.ending:
                        self.changed.wait()
                    if self.ending:
                        return
                    change = self.changes[since]
                since += 1
                if change["path"].startswith(query.get("prefix", "")):
                    call.wfile.write(f"id: {since}\nevent: change\ndata: {json.dumps(change)}\n\n".encode())
                    sent += 1
