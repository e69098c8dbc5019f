# SPDX-License-Identifier: Apache-2.0
"""A real node for the tests: its own folder, HOME and port; started, stopped, killed and started again.

Requests go over plain sockets, so that a test sees (and may break) every byte. Nothing here sleeps for a
fixed time: it waits for events with a deadline."""
import contextlib
import functools
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
# When a test gives up on what should happen soon. It measures nothing, so it is far above what the slowest machine takes,
# and more so under sanitizers (scripts/check.sh).
DEADLINE_S = 120 * int(os.environ.get("KVS_TEST_PATIENCE", 1))
PORTS = range(20000, 32000)  # below the ephemeral ones: no client takes a stopped node's port
BLOCK = 200  # so many of them are one process' own


def _unignore_signals():
    """Programs keep ignoring what was ignored when they were started, and the tests send these signals: so here nothing
    is, even where the tests were started by nohup or in a script's background. Handlers are not inherited."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


_unignore_signals()


def binary():
    """The kvs under test: $KVS_BINARY, else the build folder's."""
    path = pathlib.Path(os.environ.get("KVS_BINARY", ROOT / "build" / "kvs")).resolve()
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path}: no such program: build first or set KVS_BINARY")
    return path


@functools.cache
def is_sanitized():
    """Is it built with AddressSanitizer or ThreadSanitizer? They keep freed memory, and must be loaded first."""
    linked = subprocess.run(["ldd", binary()], capture_output=True, text=True, check=True).stdout
    return "libasan" in linked or "libtsan" in linked


def _claim_ports():
    """Ports that no other process of tests on this machine is given while this one runs, also while none of them is bound:
    a node that is down finds its port free when it starts again. A name that the kernel forgets with its process says
    whose they are."""
    for block in random.sample(range(len(PORTS) // BLOCK), len(PORTS) // BLOCK):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0kvs-tests-ports-{PORTS[block * BLOCK]}")
        except OSError:
            claim.close()
            continue
        return claim, itertools.cycle(PORTS[block * BLOCK:(block + 1) * BLOCK])
    raise RuntimeError("no free ports found: too many tests run at once")


_CLAIM, _OWN_PORTS = _claim_ports()


def free_port():
    for port in itertools.islice(_OWN_PORTS, BLOCK):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no free port found")


def clean_environment(home):
    """The caller's environment without anything that steers kvs, with another HOME."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("KVS_") and name not in ("NOTIFY_SOCKET", "http_proxy", "HTTP_PROXY")}
    env["HOME"] = str(home)
    return env


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Calls `condition` until it returns something true, which is returned."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.005)  # between two looks, not instead of one


def whole_lines(path):
    """A file's text up to its last line's end."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return text[:text.rfind("\n") + 1]


def key_path(key):
    """/kv/… of a key (str or bytes)."""
    return "/kv/" + urllib.parse.quote(key, safe="/")


class Response:
    def __init__(self, version, status, reason, headers, body):
        self.version, self.status, self.reason, self.body = version, status, reason, body
        self.header_lines = headers  # [(name, value)] as sent
        self.headers = {}            # lower-cased names; a repeated header's values joined by ", "
        for name, value in headers:
            old = self.headers.get(name.lower())
            self.headers[name.lower()] = value if old is None else f"{old}, {value}"

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:300]!r}>"


class Connection:
    """One connection to a node; everything sent is sent as given. `tls`: an ssl.SSLContext, None = plain."""

    def __init__(self, port, timeout_s=DEADLINE_S, tls=None, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            try:
                self.socket = tls.wrap_socket(self.socket, server_hostname=host)
            except BaseException:
                self.socket.close()
                raise
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, body=None, headers=None):
        """Sends one well-formed request and returns its response. A body that is not bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
        lines = {"Host": "127.0.0.1", **(headers or {})}
        if body is not None:
            lines.setdefault("Content-Length", str(len(body)))
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        self.send(head.encode("latin-1") + (body or b""))
        return self.read_response(head=method == "HEAD")

    def read_response(self, head=False):
        """The next final response; EOFError when the node closed the connection before one."""
        while True:
            response = self._read_one(head)
            if response.status >= 200 or response.status == 101:
                return response

    def read_interim(self):
        """The next response, 1xx included."""
        return self._read_one(False)

    def is_closed(self):
        """True when the node closes the connection without sending anything more."""
        return not self.buffer and self._receive() == b""

    def _receive(self):
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def _fill(self):
        data = self._receive()
        if not data:
            raise EOFError(f"connection closed; unread: {self.buffer[:200]!r}")
        self.buffer += data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def _exactly(self, size):
        while len(self.buffer) < size:
            self._fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _read_one(self, head):
        match = re.fullmatch(r"(HTTP/1\.[01]) ([1-5][0-9][0-9]) ?(.*)", self._line())
        assert match, "no status line"
        version, status, reason = match.group(1), int(match.group(2)), match.group(3)
        headers = []
        while line := self._line():
            name, value = line.split(":", 1)
            headers.append((name, value.strip()))
        response = Response(version, status, reason, headers, b"")
        if not head and status >= 200 and status not in (204, 304):
            response.body = self._read_body(response.headers)
        return response

    def _read_body(self, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._line().split(";")[0], 16):
                body += self._exactly(size)
                assert self._line() == ""
            while self._line():
                pass
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        with contextlib.suppress(EOFError):
            while True:
                self._fill()
        body, self.buffer = self.buffer, b""
        return body


class Node:
    """One node process. Settings are those of the configuration file; None leaves the default."""

    def __init__(self, folder, **settings):
        self.folder = pathlib.Path(folder)
        self.home = self.folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "node.yaml"
        self.log = self.folder / "node.log"
        self.process = None
        self.tls = None  # the ssl.SSLContext to connect with, where the node speaks TLS
        self.settings = {"node_id": self.folder.name, "auth_enabled": False, **settings}

    @property
    def port(self):
        return self.settings["port"]

    @property
    def host(self):
        return self.settings.get("bind_address", "127.0.0.1")

    @property
    def url(self):
        return f"{'https' if self.settings.get('cluster_tls_enabled') else 'http'}://{self.host}:{self.port}"

    def write_config(self):
        # JSON is YAML, so every value needs no more quoting than this.
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in self.settings.items() if value is not None]
        self.config.write_text("".join(lines))
        self.config.chmod(0o600)

    def start(self):
        """Starts the process and waits until it answers /health."""
        assert self.process is None or self.process.poll() is not None, "runs already"
        attempts = 1 if "port" in self.settings else 5  # another program may take the port we found
        for attempt in range(attempts):
            if attempts > 1:
                self.settings["port"] = free_port()
            self.launch()
            try:
                self.wait_healthy()
                return self
            except ProcessLookupError:
                if attempt + 1 == attempts or "in use" not in self.log_tail():
                    raise
        return self

    def environment(self):
        return clean_environment(self.home)

    def launch(self):
        """Starts the process and waits for nothing."""
        self.write_config()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [binary(), str(self.config)], cwd=self.folder, env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def wait_healthy(self):
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                with self.connect(timeout_s=5) as connection:
                    health = connection.request("GET", "/health")
                    if health.status == 200 and health.json().get("node_id") == self.settings["node_id"]:
                        return
            except (OSError, EOFError):
                pass
            if time.monotonic() > end:
                raise TimeoutError(f"no answer from /health\n{self.log_tail()}")
            try:
                code = self.process.wait(timeout=0.01)
            except subprocess.TimeoutExpired:
                continue
            raise ProcessLookupError(f"the node ended with exit code {code}\n{self.log_tail()}")

    def stop(self):
        """SIGTERM; returns the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the node did not end on SIGTERM\n{self.log_tail()}") from None

    def kill(self):
        """SIGKILL to this very process."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def restart(self):
        assert self.stop() == 0, self.log_tail()
        return self.start()

    def log_text(self):
        """The whole lines of it: who reads while the node writes may see the beginning of one more."""
        return whole_lines(self.log)

    def log_tail(self, lines=60):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def connect(self, timeout_s=DEADLINE_S):
        return Connection(self.port, timeout_s, self.tls, self.host)

    def raw(self, data, timeout_s=DEADLINE_S):
        """Sends bytes on a new connection and returns the first final response."""
        with self.connect(timeout_s) as connection:
            connection.send(data)
            return connection.read_response()

    def request(self, method, target, body=None, headers=None):
        with self.connect() as connection:
            return connection.request(method, target, body, headers)

    def get(self, target, **headers):
        return self.request("GET", target, None, _header_names(headers))

    def head(self, target, **headers):
        return self.request("HEAD", target, None, _header_names(headers))

    def put(self, target, body, **headers):
        return self.request("PUT", target, body, _header_names(headers))

    def delete(self, target, **headers):
        return self.request("DELETE", target, None, _header_names(headers))

    def post(self, target, body=b"", **headers):
        return self.request("POST", target, body, _header_names(headers))


def _header_names(headers):
    """If_Match="x" becomes If-Match: x."""
    return {name.replace("_", "-"): value for name, value in headers.items()}
