# SPDX-License-Identifier: Apache-2.0
"""TLS on the listener: what it serves, whom it refuses, how its files change while it runs."""
import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import warnings

import pytest
import requests

import kvshome
import kvsnode
import kvstls
from kvsnode import key_path, wait_until


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return kvstls.Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def identity(ca):
    return ca.issue("node1")


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    """Another CA that bears the same name."""
    return kvstls.Authority(tmp_path_factory.mktemp("other-ca"))


@pytest.fixture
def make_tls_node(make_node, ca, identity):
    def make(shown=identity, check_name=True, **settings):
        node = make_node(start=False, **{**kvstls.settings(shown), **settings})
        node.tls = ca.client_context()
        node.tls.check_hostname = check_name
        return node.start()
    return make


@pytest.fixture
def tls_node(make_tls_node):
    return make_tls_node()


@pytest.fixture
def user(tmp_path):
    user = kvshome.User(tmp_path / "user")
    yield user
    user.close()


def metric(node, name):
    text = node.get("/metrics").body.decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M).group(1))


def log_lines(node):
    return [json.loads(line) for line in node.log_text().splitlines() if line.startswith("{")]


def wait_for_lines(node, message, count):
    def found():
        lines = [line for line in log_lines(node) if line["msg"] == message]
        return lines if len(lines) >= count else None
    return wait_until(found, f"{count} lines '{message}'\n{node.log_tail()}")


def shown_certificate(node):
    with node.connect() as connection:
        return connection.socket.getpeercert(True)


# ---- What it serves

def test_requests_of_other_programs(tls_node, ca):
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(ca.cert)
        url = tls_node.url + key_path("a/b")
        assert session.put(url, json={"n": 1.5}).status_code == 201
        assert session.get(url).json()["data"] == {"n": 1.5}
        assert session.head(url).headers["Content-Length"]
        assert session.delete(url).status_code == 204
        assert session.get(url).status_code == 404
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(tls_node.url + "/health", verify="/etc/ssl/certs/ca-certificates.crt")
    text = subprocess.run(["curl", "-sS", "--cacert", ca.cert, tls_node.url + "/health"], check=True,
                          stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}).stdout
    assert json.loads(text)["status"] == "ok"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_one_connection_serves_many_requests(tls_node, version):
    tls_node.tls.minimum_version = tls_node.tls.maximum_version = version
    with tls_node.connect() as connection:
        for n in range(50):
            assert connection.request("PUT", key_path(f"k{n % 5}"), n).status in (200, 201)
            assert connection.request("GET", key_path(f"k{n % 5}")).json()["data"] == n
    assert metric(tls_node, 'kvs_tls_handshakes_total{result="failed"}') == 0


def test_pipelined_requests_are_answered_in_order(tls_node):
    # Many requests in one TLS record, and more of them than the node's input buffer holds: what waits inside
    # TLS while a write is under way is announced by no socket.
    def request(n):
        body = json.dumps({"n": n, "fill": "x" * (n * 37 % 700)})
        return (f"PUT {key_path(f'p{n}')} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                f"GET {key_path(f'p{n}')} HTTP/1.1\r\nHost: a\r\n\r\n").encode()

    with tls_node.connect() as connection:
        connection.send(b"".join(request(n) for n in range(400)))
        for n in range(400):
            assert connection.read_response().status == 201
            assert connection.read_response().json()["data"]["n"] == n


def test_every_byte_in_a_record_of_its_own(tls_node):
    with tls_node.connect() as connection:
        for byte in b"PUT /kv/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n[1,2,3]":
            connection.send(bytes([byte]))
        assert connection.read_response().status == 201


def test_large_bodies_both_ways(make_tls_node):
    node = make_tls_node(max_json_size=32 << 20)
    value = {"text": "".join(random.Random(1).choices("abcdefghij ", k=1 << 20)) * 16}
    body = json.dumps(value).encode()
    assert node.put(key_path("large"), body).status == 201
    with node.connect() as connection:
        connection.send(b"GET /kv/large HTTP/1.1\r\nHost: a\r\n\r\n" * 3)  # read only when all is asked for
        for _ in range(3):
            assert connection.read_response().json()["data"] == value
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n"
                      for part in (body[at:at + 50000] for at in range(0, len(body), 50000)))
    response = node.raw(b"PUT /kv/large HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
                        + b"0\r\n\r\n")
    assert response.status == 200


def test_the_answer_reaches_a_client_that_is_still_sending(tls_node):
    response = tls_node.raw(b"PUT /kv/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + b" " * 3000000)
    assert response.status == 413


def test_hundreds_of_connections_at_once(tls_node):
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        connections = list(pool.map(lambda _: tls_node.connect(), range(400)))
        try:
            def ask(numbered):
                number, connection = numbered
                assert connection.request("PUT", key_path(f"c{number}"), number).status == 201
                return connection.request("GET", key_path(f"c{number}")).json()["data"]
            assert list(pool.map(ask, enumerate(connections))) == list(range(400))
        finally:
            for connection in connections:
                connection.close()
    wait_until(lambda: metric(tls_node, "kvs_http_connections") == 1, "the connections to be gone")


def test_the_end_is_announced(tls_node):
    # Without suppress_ragged_eofs a connection that ends without close_notify raises.
    for ending in ("asked for", "refused"):
        raw = socket.create_connection(("127.0.0.1", tls_node.port), timeout=kvsnode.DEADLINE_S)
        with tls_node.tls.wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as line:
            line.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" if ending == "asked for"
                         else b"nonsense\r\n\r\n")
            while line.recv(65536):
                pass


def test_a_stopping_node_says_goodbye(tls_node):
    raw = socket.create_connection(("127.0.0.1", tls_node.port), timeout=kvsnode.DEADLINE_S)
    with tls_node.tls.wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
        tls_node.process.send_signal(signal.SIGTERM)
        assert line.recv(65536) == b""


def test_too_many_connections_are_told_so(make_tls_node):
    node = make_tls_node(max_connections=2)
    with node.connect() as one, node.connect() as two:
        assert one.request("GET", "/health").status == two.request("GET", "/health").status == 200
        with node.connect() as three:
            assert three.read_response().status == 503


def test_metrics_tell_of_handshakes_and_expiry(tls_node):
    before = metric(tls_node, 'kvs_tls_handshakes_total{result="ok"}')
    tls_node.get("/health")
    assert metric(tls_node, 'kvs_tls_handshakes_total{result="ok"}') == before + 2
    lines = wait_for_lines(tls_node, "TLS certificate in use", 1)
    assert lines[0]["subject"] == "CN=node1"
    assert metric(tls_node, "kvs_tls_certificate_expiry_timestamp_seconds") > 1e9


# ---- Whom it refuses

def test_plain_http_is_told_that_this_port_speaks_tls(tls_node):
    for request in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"DELETE /kv/a HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"PUT /kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2000000):
        with kvsnode.Connection(tls_node.port) as connection:
            connection.send(request)
            response = connection.read_response()
            assert response.status == 400
            assert "this port speaks TLS" in response.json()["detail"]
            assert response.headers["connection"] == "close"
            assert connection.is_closed()
    assert tls_node.get("/health").status == 200


def test_tls_1_1_is_refused(tls_node):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tls_node.tls.minimum_version = ssl.TLSVersion.TLSv1
        tls_node.tls.maximum_version = ssl.TLSVersion.TLSv1_1
    tls_node.tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="(?i)version|protocol"):
        tls_node.connect()


def test_weak_ciphers_are_refused(tls_node):
    tls_node.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls_node.tls.set_ciphers("AES128-SHA:AES256-SHA256:ECDHE-ECDSA-AES128-SHA256")
    with pytest.raises(ssl.SSLError):
        tls_node.connect()


def test_alpn_agrees_on_http_1_1_or_nothing(tls_node):
    tls_node.tls.set_alpn_protocols(["h2", "http/1.1"])
    with tls_node.connect() as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
    tls_node.tls.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        tls_node.connect()


def test_no_session_is_resumed(tls_node):
    with tls_node.connect() as connection:
        assert connection.request("GET", "/health").status == 200
        session = connection.socket.session
    raw = socket.create_connection(("127.0.0.1", tls_node.port), timeout=kvsnode.DEADLINE_S)
    with tls_node.tls.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as line:
        assert not line.session_reused


def client_hello(context):
    """The first bytes that a client sends."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


def test_a_handshake_has_a_deadline(make_tls_node):
    node = make_tls_node(request_timeout="5s")
    hello = client_hello(node.tls)
    silent = [socket.create_connection(("127.0.0.1", node.port), timeout=kvsnode.DEADLINE_S) for _ in range(60)]
    try:
        for number, line in enumerate(silent):  # from nothing at all to all but the last byte, and all
            line.sendall(hello[:len(hello) * number // (len(silent) - 1)])
        assert node.get("/health").status == 200  # the others are served meanwhile
        for line in silent:
            while line.recv(65536):  # the answer to a complete hello, then the end
                pass
    finally:
        for line in silent:
            line.close()
    wait_until(lambda: metric(node, "kvs_http_connections") == 1, "the connections to be gone")


def test_a_trickle_does_not_extend_the_deadline(make_tls_node):
    node = make_tls_node(request_timeout="1s")
    with socket.create_connection(("127.0.0.1", node.port), timeout=0.05) as line:
        hello = iter(client_hello(node.tls) + bytes(10000))

        def ended():
            try:
                line.sendall(bytes([next(hello)]))
                return line.recv(1) == b""
            except socket.timeout:
                return False
            except ConnectionError:
                return True
        wait_until(ended, "the node to cut the trickle off")


def test_garbage_hurts_nobody(tls_node):
    rng = random.Random(7)
    hello = client_hello(tls_node.tls)
    with tls_node.connect() as witness:
        for number in range(300):
            data = bytearray(hello if number % 2 else rng.randbytes(rng.randrange(1, 2000)))
            for _ in range(rng.randrange(1, 8) if number % 2 else 0):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with socket.create_connection(("127.0.0.1", tls_node.port), timeout=kvsnode.DEADLINE_S) as line:
                line.sendall(data)
                if number % 3 == 0:
                    line.shutdown(socket.SHUT_WR)
                    try:
                        while line.recv(65536):
                            pass
                    except ConnectionResetError:
                        pass
            if number % 50 == 0:
                assert witness.request("GET", "/health").status == 200
    wait_until(lambda: metric(tls_node, "kvs_http_connections") == 1, "the connections to be gone")
    assert metric(tls_node, 'kvs_tls_handshakes_total{result="failed"}') > 0


def test_garbage_behind_the_handshake_ends_the_connection(tls_node):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    line = tls_node.tls.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", tls_node.port), timeout=kvsnode.DEADLINE_S) as raw:
        while True:
            try:
                line.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
        raw.sendall(outgoing.read())
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        alert = raw.recv(65536)
        assert alert and raw.recv(65536) == b""
    assert tls_node.get("/health").status == 200


# ---- Reload

def replace(identity, by):
    """Puts another identity under the names of the first, as a rotation does."""
    for new, old in ((by.cert, identity.cert), (by.key, identity.key)):
        shutil.copy(new, f"{old}.new")
        os.chmod(f"{old}.new", 0o600)
        os.replace(f"{old}.new", old)


def test_a_reload_takes_new_files_and_drops_no_connection(make_tls_node, ca, tmp_path):
    first, second, third = (ca.issue(f"rotated{n}") for n in range(3))
    expected = second.der()
    node = make_tls_node(first)
    with node.connect() as old, node.connect() as busy:
        assert old.request("PUT", key_path("a"), 1).status == 201
        busy.send(b"PUT /kv/b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12")  # in the middle of a request
        replace(first, second)
        node.process.send_signal(signal.SIGHUP)
        wait_for_lines(node, "TLS certificate in use", 2)
        wait_until(lambda: shown_certificate(node) == expected, "the new certificate to be shown")
        assert old.request("GET", key_path("a")).json()["data"] == 1
        busy.send(b"345")
        assert busy.read_response().status == 201
        # and under other names
        node.settings.update(kvstls.settings(third))
        node.write_config()
        node.process.send_signal(signal.SIGHUP)
        wait_for_lines(node, "TLS certificate in use", 3)
        wait_until(lambda: shown_certificate(node) == third.der(), "the third certificate to be shown")
        assert old.request("GET", key_path("a")).status == 200


@pytest.mark.parametrize("what", ["missing cert", "missing key", "garbage", "mismatch", "missing CA", "unset"])
def test_a_bad_file_changes_nothing_and_is_named(make_tls_node, ca, identity, other_ca, tmp_path, what):
    mine = ca.issue("mine")
    expected = mine.der()
    node = make_tls_node(mine, cluster_tls_ca_file=str(ca.cert))
    named = mine.cert
    if what == "missing cert":
        mine.cert.unlink()
    elif what == "missing key":
        named = mine.key
        mine.key.unlink()
    elif what == "garbage":
        mine.cert.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    elif what == "mismatch":
        named = mine.key
        shutil.copy(identity.key, mine.key)
    elif what == "missing CA":
        named = tmp_path / "nowhere.pem"
        node.settings["cluster_tls_ca_file"] = str(named)
    else:
        named = "cluster_tls_cert_file"
        for key in ("cluster_tls_enabled", "cluster_tls_cert_file", "cluster_tls_key_file"):
            node.settings.pop(key)
    node.write_config()
    with node.connect() as old:
        node.process.send_signal(signal.SIGHUP)
        line = wait_for_lines(node, "TLS files not reloaded: the old ones stay in use", 1)[0]
        assert line["level"] == "error" and str(named) in line["error"]
        assert old.request("GET", "/health").status == 200
    assert shown_certificate(node) == expected


def test_reloads_under_load_lose_no_request(make_tls_node, ca):
    first, second = ca.issue("under-load"), ca.issue("under-load-2")
    node = make_tls_node(first)

    def keep_asking(number):
        with node.connect() as connection:
            for n in range(150):
                assert connection.request("PUT", key_path(f"l{number}"), n).status in (200, 201)
            for n in range(15):
                assert node.get(key_path(f"l{number}")).status == 200

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(keep_asking, n) for n in range(8)]
        reloads = 0
        while not all(future.done() for future in running) or reloads < 3:
            if reloads == 1:
                replace(first, second)
            node.process.send_signal(signal.SIGHUP)
            reloads += 1
            wait_for_lines(node, "TLS certificate in use", reloads + 1)
        for future in running:
            future.result()


# ---- Start

def damage(what, identity, other, folder):
    """A config's settings with one thing wrong, and the file that the message must name."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    shutil.copy(identity.cert, cert)
    shutil.copy(identity.key, key)
    named, reason = cert, "cannot be read: No such file"
    if what == "missing cert":
        cert.unlink()
    elif what == "missing key":
        named = key
        key.unlink()
    elif what == "cert is a folder":
        reason = "Is a directory"
        cert.unlink()
        cert.mkdir()
    elif what == "empty cert":
        reason = "holds no certificate"
        cert.write_text("")
    elif what == "key as cert":
        reason = "holds no certificate"
        shutil.copy(key, cert)
    elif what == "cert as key":
        named, reason = key, "holds no private key"
        shutil.copy(cert, key)
    elif what == "mismatch":
        named, reason = key, "is not the key of the first certificate"
        shutil.copy(other.key, key)
    elif what == "encrypted key":
        named, reason = key, "openssl pkey"
        kvstls.openssl("pkey", "-in", identity.key, "-aes128", "-passout", "pass:secret", "-out", key)
    elif what == "unreadable key":
        named, reason = key, "Permission denied"
        key.chmod(0)
    elif what == "weak key":
        reason = "2048"
        kvstls.openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=weak", "-keyout", key,
                       "-out", cert)
    return kvstls.settings(kvstls.Identity(cert, key)), named, reason


@pytest.mark.parametrize("what", ["missing cert", "missing key", "cert is a folder", "empty cert", "key as cert",
                                  "cert as key", "mismatch", "encrypted key", "unreadable key", "weak key"])
def test_a_wrong_file_refuses_to_start_and_is_named(user, identity, ca, tmp_path, what):
    if what == "unreadable key" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    settings, named, reason = damage(what, identity, ca, tmp_path)
    config = user.config(**settings)
    for command, code in (("start", 1), ("check", 2)):
        result = user.run(command, config)
        assert result.returncode == code
        first = result.stderr.splitlines()[0]
        assert str(named) in first and reason in first, result.stderr
        assert not user.pid_file().exists()


def test_settings_that_are_missing_are_a_matter_of_the_config(user, identity):
    settings = kvstls.settings(identity)
    del settings["cluster_tls_key_file"]
    result = user.run("start", user.config(**settings))
    assert result.returncode == 2 and "cluster_tls_key_file" in result.stderr


def test_start_status_restart_stop(user, identity, ca):
    config = user.config(**kvstls.settings(identity))
    user.ok("check", config)
    started = user.ok("start", config)
    port = int(re.search(r"running at https://127\.0\.0\.1:(\d+) ", started.stdout).group(1))
    assert user.status()["node1"]["state"] == "RUNNING"
    user.ok("restart", config)
    with kvsnode.Connection(port, tls=ca.client_context()) as connection:
        assert connection.request("GET", "/health").status == 200
    user.ok("stop", config)
    assert user.status()["node1"]["state"] == "STOPPED"


def test_the_ca_of_the_docs_works(user, tmp_path):
    text = (kvsnode.ROOT / "docs" / "tls.md").read_text()
    section = re.search(r"^## A small CA of your own\n(.*?)^## ", text, re.M | re.S).group(1)
    script = "".join(line[4:] for line in section.splitlines(True) if line.startswith("    "))
    assert script.count("openssl") == 5
    subprocess.run(["sh", "-eu"], cwd=tmp_path, input=script, text=True, check=True, capture_output=True)
    config = user.config(cluster_tls_enabled=True, cluster_tls_cert_file=str(tmp_path / "node1.pem"),
                         cluster_tls_key_file=str(tmp_path / "node1.key"),
                         cluster_tls_ca_file=str(tmp_path / "ca.pem"), cluster_tls_require_client_cert=True)
    user.ok("start", config)
    port = re.search(r"^port: (\d+)$", config.read_text(), re.M).group(1)
    user.ok("put", "a", "1", "--url", f"https://127.0.0.1:{port}", "--cacert", tmp_path / "ca.pem")
    assert not any("TLS" in line["msg"] and line["level"] in ("warn", "error") for line in user.log_lines())


def test_start_works_with_any_certificate_of_its_own(user, ca):
    # For another name, and expired: kvs start compares the certificate itself. The log says what is wrong.
    strange = ca.issue("strange", days=-1, names="DNS:elsewhere.example", usage="clientAuth")
    user.ok("start", user.config(**kvstls.settings(strange)))
    line = user.wait_for_log("TLS certificate has expired: clients and peers that verify it refuse this node; "
                             "put a new one in place and send SIGHUP")[0]
    assert line["level"] == "error" and line["file"] == str(strange.cert)


# ---- Client certificates

@pytest.fixture
def mutual(make_tls_node, ca):
    return make_tls_node(cluster_tls_ca_file=str(ca.cert), cluster_tls_require_client_cert=True, access_log="all")


def client_cert_in_log(node, context):
    """What the access log says of the certificate that came with one request, which must succeed."""
    request_id = f"r-{random.getrandbits(64):x}"
    with kvsnode.Connection(node.port, tls=context) as connection:
        assert connection.request("GET", "/health", headers={"X-Request-ID": request_id}).status == 200

    def found():
        return [line for line in log_lines(node) if line.get("request_id") == request_id]
    return wait_until(found, "the request in the log")[0]["client_cert"]


def test_a_good_client_certificate_is_verified(mutual, ca):
    assert client_cert_in_log(mutual, ca.client_context(ca.issue("node2"))) == "verified"


def test_client_routes_go_on_without_one(mutual):
    assert client_cert_in_log(mutual, mutual.tls) == "none was presented"
    assert mutual.put(key_path("a"), 1).status == 201


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bad_client_certificates_are_told_apart(mutual, ca, other_ca, version):
    def verdict(identity):
        context = ca.client_context(identity)
        context.minimum_version = context.maximum_version = version
        return client_cert_in_log(mutual, context)
    assert verdict(ca.issue("gone", days=-1)) == "certificate has expired"
    assert "issuer" in verdict(other_ca.issue("foreign")) or "signature" in verdict(other_ca.issue("foreign2"))
    assert "purpose" in verdict(ca.issue("server-only", usage="serverAuth"))
    assert verdict(ca.issue("good")) == "verified"


def test_a_reload_changes_whom_it_trusts(mutual, ca, other_ca):
    good, foreign = ca.issue("mine"), other_ca.issue("theirs")
    assert client_cert_in_log(mutual, ca.client_context(good)) == "verified"
    mutual.settings["cluster_tls_ca_file"] = str(other_ca.cert)
    mutual.write_config()
    mutual.process.send_signal(signal.SIGHUP)
    wait_for_lines(mutual, "TLS certificate in use", 2)
    wait_until(lambda: client_cert_in_log(mutual, ca.client_context(foreign)) == "verified", "the new CA to count")
    assert client_cert_in_log(mutual, ca.client_context(good)) != "verified"


def test_a_listener_that_does_not_ask_says_nothing_of_certificates(make_tls_node, ca):
    node = make_tls_node(access_log="all", cluster_tls_ca_file=str(ca.cert))
    node.get("/health", X_Request_ID="r-1")
    line = wait_until(lambda: [line for line in log_lines(node) if line.get("request_id") == "r-1"], "the line")[0]
    assert "client_cert" not in line


# ---- The client

def kvs(node, *words, **env):
    return subprocess.run([kvsnode.binary(), *map(str, words)], capture_output=True, text=True,
                          env={**kvsnode.clean_environment(node.home), "KVS_URL": node.url, **env})


def test_kvs_verifies_the_node(tls_node, ca, other_ca):
    refused = kvs(tls_node, "put", "a", "1")
    assert refused.returncode == 6 and "--cacert" in refused.stderr
    assert kvs(tls_node, "put", "a", "1", "--cacert", other_ca.cert).returncode == 6
    assert kvs(tls_node, "put", "a", "1", "--cacert", ca.cert).returncode == 0
    assert kvs(tls_node, "get", "a", KVS_CACERT=str(ca.cert)).stdout == "1\n"
    assert kvs(tls_node, "get", "a", "--insecure").stdout == "1\n"
    missing = kvs(tls_node, "get", "a", "--cacert", "/nonexistent/ca.pem")
    assert missing.returncode == 2 and "/nonexistent/ca.pem" in missing.stderr


def test_kvs_checks_the_name(make_tls_node, ca):
    node = make_tls_node(ca.issue("elsewhere", names="DNS:localhost"), check_name=False)
    node_url = f"https://localhost:{node.port}"
    assert kvs(node, "put", "a", "1", "--cacert", ca.cert, KVS_URL=node_url).returncode == 0
    refused = kvs(node, "get", "a", "--cacert", ca.cert, KVS_URL=f"https://127.0.0.1:{node.port}")
    assert refused.returncode == 6


def test_kvs_shows_its_own_certificate(mutual, ca):
    me = ca.issue("me")
    both = me.cert.with_name("both.pem")
    both.write_text(me.cert.read_text() + me.key.read_text())
    for words in (["--client-cert", me.cert, "--client-key", me.key], ["--client-cert", both]):
        mark = f"/kv/{random.getrandbits(64):x}"
        assert kvs(mutual, "put", mark[4:], "1", "--cacert", ca.cert, *words).returncode == 0
        line = wait_until(lambda: [line for line in log_lines(mutual) if line.get("path") == mark], "the line")[0]
        assert line["client_cert"] == "verified"
    assert kvs(mutual, "get", "a", "--cacert", ca.cert, "--client-key", me.key).returncode == 2


def test_kvs_says_when_the_scheme_is_wrong(tls_node, make_node):
    refused = kvs(tls_node, "get", "a", KVS_URL=tls_node.url.replace("https", "http"))
    assert refused.returncode == 2 and "this port speaks TLS" in refused.stderr
    plain = make_node()
    refused = kvs(plain, "get", "a", KVS_URL=plain.url.replace("http", "https"))
    assert refused.returncode == 6 and "does not speak TLS" in refused.stderr
