# SPDX-License-Identifier: Apache-2.0
"""What a node accepts from peers and what not, with signatures made here from the protocol's documentation."""
import json
import random
import re

import pytest

import kvsfixtures
from peersigner import NO_CHALLENGE, Peer, frames, varint, zstd_frames

SECRET = "a cluster secret of the tests"
OLD_SECRET = "the one that was valid before"
MESSAGES = "/peer/v1/messages"
JUNK = b"\xffno replication message"  # well framed; what it says is not this test's subject


@pytest.fixture(scope="module")
def cluster_node(tmp_path_factory):
    nodes = kvsfixtures.Nodes(tmp_path_factory.mktemp("peers"))
    yield nodes(cluster_secret=SECRET, cluster_secret_previous=OLD_SECRET)
    nodes.close()


def accepted(node):
    """How many messages of peers the node has taken."""
    match = re.search(r'^kvs_peer_messages_total\{direction="received"\} (\d+)$', node.get("/metrics").body.decode(), re.M)
    return int(match.group(1))


def log_lines(node, part):
    return [line for line in map(json.loads, node.log_text().splitlines()) if part in line["msg"]]


def test_signed_messages_are_taken_once(cluster_node):
    before, peer = accepted(cluster_node), Peer(SECRET)
    with cluster_node.connect() as connection:
        assert peer.hello(connection).headers["x-kvs-peer-protocol"] == "1"
        for count in range(1, 20):
            response = peer.send(connection, [JUNK] * count)
            assert response.status == 204 and peer.is_proven(response), response
            body = frames([JUNK] * count)
            again = peer.post(connection, MESSAGES, body, counter=peer.counter)
            assert again.status == 401, again
    assert accepted(cluster_node) == before + sum(range(1, 20))


def test_both_secrets_of_a_rotation_are_valid(cluster_node):
    with cluster_node.connect() as connection:
        for secret in (SECRET, OLD_SECRET):
            peer = Peer(secret)
            peer.hello(connection)
            assert peer.send(connection, [JUNK]).status == 204
        for secret in (SECRET + " ", OLD_SECRET[:-1], "something else entirely"):
            peer = Peer(secret)
            response = peer.post(connection, "/peer/v1/hello")
            assert response.status == 401
            assert response.json()["detail"] == "Unauthorized: Invalid cluster secret"
            assert "x-kvs-peer-challenge" not in response.headers


def test_a_stale_challenge_is_answered_with_the_current_one(make_node):
    node = make_node(cluster_secret=SECRET)
    peer = Peer(SECRET)
    with node.connect() as connection:
        peer.hello(connection)
        assert peer.send(connection, [JUNK]).status == 204
    old = peer.challenge
    node.restart()
    with node.connect() as connection:
        response = peer.send(connection, [JUNK])
        assert response.status == 401 and peer.is_proven(response)
        peer.challenge = response.headers["x-kvs-peer-challenge"]
        assert peer.challenge != old
        assert peer.send(connection, [JUNK]).status == 204


def test_requests_may_overtake_each_other_within_the_window(cluster_node):
    peer = Peer(SECRET)
    with cluster_node.connect() as connection:
        peer.hello(connection)
        body = frames([JUNK])
        for counter, status in ((1000, 204), (999, 204), (745, 204), (744, 401), (1000, 401), (1300, 204), (1044, 401), (1045, 204)):
            assert peer.post(connection, MESSAGES, body, counter=counter).status == status, counter


def test_zstd_bodies_are_unpacked(cluster_node):
    before, peer = accepted(cluster_node), Peer(SECRET)
    with cluster_node.connect() as connection:
        peer.hello(connection)
        for messages in ([JUNK], [JUNK * 100] * 50, [b"\xff" + b"x" * 3_000_000]):
            response = peer.post(connection, MESSAGES, zstd_frames(messages))
            assert response.status == 204, response
        lying = bytearray(zstd_frames([JUNK * 100]))
        lying[5] ^= 1
        assert peer.post(connection, MESSAGES, bytes(lying)).status == 400
        giant = b"\x01\x01\xff\xff\xff\xff" + zstd_frames([JUNK])[6:]
        assert peer.post(connection, MESSAGES, giant).status == 413
    assert accepted(cluster_node) == before + 52


def test_of_a_malformed_body_nothing_is_taken(cluster_node):
    before, peer = accepted(cluster_node), Peer(SECRET)
    whole = frames([JUNK, JUNK])
    bad = [whole[:size] for size in range(len(whole)) if size != len(frames([JUNK]))]
    bad += [b"\x00" + whole[1:], b"\x02" + whole[1:], b"\x01\x02" + whole[2:], whole + b"\x00",
            b"\x01\x00" + varint(100_000_000) + JUNK, b"\x01\x01\x00\x00\x00\x09not zstd!"]
    with cluster_node.connect() as connection:
        peer.hello(connection)
        for body in bad:
            response = peer.post(connection, MESSAGES, body)
            assert response.status == 400 and peer.is_proven(response), (body, response)
    assert accepted(cluster_node) == before


def flip(text, rng):
    at = rng.randrange(len(text))
    return text[:at] + rng.choice([c for c in "0123456789abcdef gXZ" if c != text[at]]) + text[at + 1:]


class Forger:
    """Makes bad requests of every kind: (headers, body, target). One that is good, too, to repeat it."""

    def __init__(self, seed, challenge):
        self.rng = random.Random(seed)
        self.friend, self.stranger = Peer(SECRET), Peer("a secret that is none of theirs")
        self.friend.challenge = self.stranger.challenge = challenge
        self.kinds = [getattr(self, name) for name in dir(self) if name.startswith("bad_")]

    def good(self):
        body = frames([JUNK])
        return {"X-KVS-Peer": self.friend.header("POST", MESSAGES, body)}, body, MESSAGES

    def bad_key(self):
        body = frames([JUNK])
        return {"X-KVS-Peer": self.stranger.header("POST", MESSAGES, body)}, body, MESSAGES

    def bad_digit(self):
        headers, body, target = self.good()
        return {"X-KVS-Peer": flip(headers["X-KVS-Peer"], self.rng).strip()}, body, target

    def bad_body(self):
        headers, body, target = self.good()
        at = self.rng.randrange(len(body))
        return headers, body[:at] + bytes([body[at] ^ 1 << self.rng.randrange(8)]) + body[at + 1:], target

    def bad_size(self):
        headers, body, target = self.good()
        return headers, self.rng.choice([body[:self.rng.randrange(len(body))], body + b"\x01x"]), target

    def bad_target(self):
        headers, body, target = self.good()
        return headers, body, self.rng.choice([target + "?", target + "?x=1", "/peer/v1/hello"])

    def bad_method(self):
        body = frames([JUNK])
        return {"X-KVS-Peer": self.friend.header("PUT", MESSAGES, body)}, body, MESSAGES

    def bad_challenge(self):
        body = frames([JUNK])
        challenge = self.rng.choice([NO_CHALLENGE, "f" * 32, self.rng.randbytes(16).hex()])
        return {"X-KVS-Peer": self.friend.header("POST", MESSAGES, body, challenge=challenge)}, body, MESSAGES

    def bad_counter(self):
        body = frames([JUNK])
        counter = self.rng.choice([0, -1, 2**64, 2**70, "1e3", "+7", "", " "])
        return {"X-KVS-Peer": self.friend.header("POST", MESSAGES, body, counter=counter)}, body, MESSAGES

    def bad_cut(self):
        headers, body, target = self.good()
        value = headers["X-KVS-Peer"]
        return {"X-KVS-Peer": value[:self.rng.randrange(len(value))].strip()}, body, target

    def bad_version(self):
        headers, body, target = self.good()
        return {"X-KVS-Peer": self.rng.choice(["0", "2", "11", "", "v1"]) + headers["X-KVS-Peer"][1:]}, body, target

    def bad_noise(self):
        noise = "".join(chr(self.rng.randrange(33, 127)) for _ in range(self.rng.randrange(1, 400)))
        return {"X-KVS-Peer": noise}, frames([JUNK]), MESSAGES

    def bad_secret(self):
        secret = self.rng.choice(["", SECRET[:-1], SECRET + "x", SECRET.upper(), "x" * 3000])
        return {"X-Cluster-Secret": secret, "X-Node-ID": "n"}, frames([JUNK]), MESSAGES

    def bad_half(self):
        return self.rng.choice([{}, {"X-Node-ID": "n"}, {"X-Cluster-Secret": SECRET}]), frames([JUNK]), MESSAGES


def test_none_of_ten_thousand_forged_messages_is_taken(cluster_node):
    count, seed = 10_000, 4
    peer = Peer(SECRET)
    with cluster_node.connect() as connection:
        peer.hello(connection)
        forger = Forger(seed, peer.challenge)
        recorded = []
        for _ in range(20):
            headers, body, target = forger.good()
            assert connection.request("POST", target, body, headers).status == 204
            recorded.append((headers, body, target))
        before = accepted(cluster_node)
        for number in range(count):
            if number % (len(forger.kinds) + 2) < 2:
                headers, body, target = forger.rng.choice(recorded)  # replayed
            else:
                headers, body, target = forger.kinds[number % len(forger.kinds)]()
            response = connection.request("POST", target, body, headers)
            assert response.status == 401, (seed, number, headers, body, target, response)
    assert accepted(cluster_node) == before


def test_messages_that_are_cut_off_are_not_taken(cluster_node):
    before, peer = accepted(cluster_node), Peer(SECRET)
    body = frames([JUNK] * 100)
    with cluster_node.connect() as connection:
        peer.hello(connection)
    for size in range(0, len(body), 97):
        head = (f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                f"X-KVS-Peer: {peer.header('POST', MESSAGES, body)}\r\n\r\n")
        with cluster_node.connect() as connection:
            connection.send(head.encode() + body[:size])
    assert cluster_node.get("/health").status == 200
    assert accepted(cluster_node) == before


def test_a_large_body_is_read_for_members_only(cluster_node):
    size = 70 * 1024 * 1024
    for peer, status in ((Peer("a secret that is none of theirs"), 413), (Peer(SECRET), None)):
        value = peer.header("POST", MESSAGES, b"")
        with cluster_node.connect() as connection:
            connection.send((f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
                             f"Expect: 100-continue\r\nX-KVS-Peer: {value}\r\n\r\n").encode())
            response = connection.read_interim()
            assert response.status == (status or 100), response


def test_other_protocol_versions_are_refused_with_advice(make_node):
    node = make_node(cluster_secret=SECRET)
    for _ in range(3):
        response = node.post("/peer/v2/hello")
        assert response.status == 501
        assert response.headers["x-kvs-peer-protocol"] == "1"
        assert "run the same release" in response.json()["detail"]
    lines = log_lines(node, "another version of the peer protocol")
    assert len(lines) == 1 and "run the same release" in lines[0]["msg"]
    assert lines[0]["path"] == "/peer/v2/hello"


def test_a_wrong_secret_is_logged_once_with_advice_and_without_the_secret(make_node):
    node = make_node(cluster_secret=SECRET)
    with node.connect() as connection:
        for _ in range(50):
            assert Peer("a secret that is none of theirs").post(connection, "/peer/v1/hello").status == 401
    lines = log_lines(node, "give both nodes the same cluster_secret")
    assert len(lines) == 1 and lines[0]["node"] == "foreign"
    assert SECRET not in node.log_text()


def test_without_clustering_there_is_no_peer_route(make_node):
    node = make_node(clustering_enabled=False)
    for target in ("/peer/v1/hello", MESSAGES, "/peer/v2/hello"):
        assert node.post(target).status == 404


def shared_secret(node):
    return (node.home / ".kvs" / "cluster_secret").read_text().strip()


def test_nodes_of_one_user_share_a_secret_that_restarts_keep(make_node, tmp_path):
    nodes = [make_node(name=f"n{i}", start=False) for i in range(3)]
    for node in nodes:
        node.home = tmp_path / "home"
        node.home.mkdir(exist_ok=True)
        node.start()
    secret = shared_secret(nodes[0])
    assert len(secret) == 44
    for _ in range(2):
        for node in nodes:
            with node.connect() as connection:
                Peer(secret).hello(connection)
            lines = log_lines(node, "no cluster_secret is configured")
            assert lines and lines[0]["file"] == str(node.home / ".kvs" / "cluster_secret")
            assert secret not in node.log_text()
            node.restart()
    assert shared_secret(nodes[0]) == secret


def test_a_configured_secret_is_used_as_it_stands(make_node):
    secret = "sixteen bytes %\u00fc"
    node = make_node(cluster_secret=secret)
    with node.connect() as connection:
        Peer(secret).hello(connection)
    assert not log_lines(node, "no cluster_secret is configured")
    assert not (node.home / ".kvs" / "cluster_secret").exists()
