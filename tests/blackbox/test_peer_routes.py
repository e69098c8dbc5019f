# SPDX-License-Identifier: Apache-2.0
"""The documented routes for peers, as a program that is no KVS node uses them (docs/api.md, decisions 0031, 0032)."""
import base64
import itertools
import json
import time

import pytest

import kvsnode
from peersigner import Peer
from kvspeers import (FAST, HEADERS, PATIENT, SECRET, make_cluster, member_count, members, metric, mode, peer, state,
                      wait_member_count, wait_state)

ROUTES = [("POST", "/members/join"), ("DELETE", "/members/leave"), ("POST", "/members/gossip"),
          ("POST", "/members/pairs_by_time"), ("GET", "/merkle_tree/root"), ("GET", "/sync/merkle/root"),
          ("POST", "/merkle_tree/diff"), ("POST", "/kv_range")]


@pytest.fixture
def one(make_node):
    return make_node(**PATIENT)


def join(node, name, address="127.0.0.1:9", joined=1000):
    return peer(node, "POST", "/members/join", {"id": name, "address": address, "joined_timestamp": joined})


# ---- Who may

@pytest.mark.parametrize("method,target", ROUTES)
def test_each_route_asks_for_the_secret_and_a_name(one, method, target):
    body = {} if method != "GET" else None
    for headers, detail in [({}, "Missing cluster secret"),
                            ({"X-Node-ID": "x"}, "Missing cluster secret"),
                            ({"X-Cluster-Secret": SECRET[:-1], "X-Node-ID": "x"}, "Invalid cluster secret"),
                            ({"X-Cluster-Secret": SECRET}, "Missing node ID")]:
        answer = one.request(method, target, body, headers)
        assert answer.status == 401, answer
        assert answer.json()["detail"] == f"Unauthorized: {detail}"
        assert answer.headers["content-type"] == "application/problem+json"
        assert "x-request-id" in answer.headers


def test_without_clustering_there_are_no_such_routes(make_node):
    node = make_node(clustering_enabled=False)
    for method, target in ROUTES + [("GET", "/members/")]:
        assert peer(node, method, target, {} if method != "GET" else None).status == 404


def test_wrong_methods_are_told_the_right_ones(one):
    answer = peer(one, "GET", "/members/join")
    assert answer.status == 405 and answer.headers["allow"] == "POST"


@pytest.mark.parametrize("target", ["/members/join", "/members/pairs_by_time", "/merkle_tree/diff", "/kv_range"])
@pytest.mark.parametrize("body,reason", [(b"", "JSON"), (b"[]", "object"), (b"{", "line 1"), (b"7", "object"),
                                         (b'{"id":"a","id":"b"}', "line 1"), (b'{"a":\xff}', "line 1")])
def test_bodies_that_are_no_objects_are_refused_with_a_reason(one, target, body, reason):
    answer = peer(one, "POST", target, body)
    assert answer.status == 400 and reason in answer.json()["detail"], answer


def test_large_bodies_are_refused(one):
    assert peer(one, "POST", "/members/gossip", b"[" + b" " * 300_000 + b"]").status == 413
    stranger = one.request("POST", "/members/gossip", b"[" + b" " * 100_000 + b"]", {"X-Cluster-Secret": "wrong"})
    assert stranger.status == 413


def test_signed_requests_are_taken_as_well_and_answered_signed(one):
    signer = Peer(SECRET, "signer")
    with one.connect() as connection:
        signer.hello(connection)
        body = json.dumps({"id": "go-1", "address": "10.0.0.1:1", "joined_timestamp": 1}).encode()
        joined = signer.post(connection, "/members/join", body)
        assert joined.status == 200 and signer.is_proven(joined)
        again = connection.request("POST", "/members/join", body, {"X-KVS-Peer": signer.header(
            "POST", "/members/join", body, counter=signer.counter)})
        assert again.status == 401 and "received before" in again.json()["detail"]
        read = connection.request("GET", "/merkle_tree/root", None,
                                  {"X-KVS-Peer": signer.header("GET", "/merkle_tree/root")})
        assert read.status == 200 and signer.is_proven(read)
        written = connection.request("PUT", "/kv/a", b"1", {"X-KVS-Peer": signer.header("PUT", "/kv/a", b"1")})
        assert written.status == 201 and signer.is_proven(written)
        other = connection.request("PUT", "/kv/a", b"2", {"X-KVS-Peer": signer.header("PUT", "/kv/a", b"1")})
        assert other.status == 401, "another body than the signed one"
        streamed = signer.post(connection, "/kv_range", b"{}")
        assert streamed.status == 200 and streamed.json()["pairs"][0]["path"] == "a"


def test_with_accounts_a_member_needs_no_token(make_node):
    node = make_node(**{**FAST, "auth_enabled": True, "read_only": True})
    assert node.get("/kv/a").status == 401
    assert peer(node, "PUT", "/kv/a", 1).status == 201
    assert peer(node, "GET", "/kv/a").json()["data"] == 1
    assert peer(node, "POST", "/kv_range", {}).json()["pairs"][0]["path"] == "a"
    assert join(node, "go-1").status == 200
    assert node.get("/members/").status == 200, "open to everyone"
    assert node.request("POST", "/kv_range", {}).status == 401
    assert peer(node, "GET", "/kv/a", **{"X-Cluster-Secret": "not the right secret"}).status == 401
    assert peer(node, "GET", "/api/users").status == 403, "the secret opens no accounts"


# ---- Members

def test_a_node_lists_itself_to_everyone(one):
    listed = one.get("/members/").json()
    assert [m["id"] for m in listed] == [one.settings["node_id"]]
    me = listed[0]
    assert me["state"] == "alive" and me["self"] is True and me["foreign"] is False
    assert me["address"] == f"127.0.0.1:{one.port}"
    assert abs(me["last_seen"] - time.time() * 1000) < 3600_000 and 0 < me["joined_timestamp"] <= me["last_seen"]
    assert one.get("/members/?what=1").status == 400


def test_a_foreign_peer_joins_and_leaves(one):
    answer = join(one, "go-1", "10.0.0.1:8080", 1234)
    assert answer.status == 200, answer
    assert {m["id"] for m in answer.json()} == {"go-1", one.settings["node_id"]}
    there = members(one)["go-1"]
    assert there["address"] == "10.0.0.1:8080" and there["joined_timestamp"] == 1234 and there["foreign"] is True
    assert there["state"] == "alive" and there["last_seen"] > 0
    assert member_count(one) == 2
    answer = peer(one, "DELETE", "/members/leave", {"id": "go-1"})
    assert answer.status == 204 and answer.body == b""
    assert state(one, "go-1") == "left" and member_count(one) == 1
    assert peer(one, "DELETE", "/members/leave", {"id": "nobody"}).status == 404


def test_a_foreign_peer_ages(make_node):
    """Without a word it is suspected, then taken for dead; its words bring it back. How long that takes is for the unit
    tests, whose clock does not run on."""
    node = make_node(**FAST)
    assert join(node, "go-1").status == 200
    seen = []

    def look():
        seen.append(state(node, "go-1"))
        return seen[-1] == "dead"
    kvsnode.wait_until(look, "dead")
    ages = ["alive", "suspect", "dead"]
    assert seen == sorted(seen, key=ages.index)
    assert member_count(node) == 1

    def speak():
        assert peer(node, "GET", "/merkle_tree/root", **{"X-Node-ID": "go-1"}).status == 200
        return state(node, "go-1") == "alive"
    kvsnode.wait_until(speak, "alive again")


def test_foreign_members_survive_a_restart(one):
    assert join(one, "go-1", "10.0.0.1:8080", 1234).status == 200
    assert join(one, "go-2", "10.0.0.2:8080", 1235).status == 200
    assert peer(one, "DELETE", "/members/leave", {"id": "go-2"}).status == 204
    one.restart()
    there = members(one, everyone=True)
    assert there["go-1"]["address"] == "10.0.0.1:8080" and there["go-1"]["joined_timestamp"] == 1234
    assert there["go-2"]["state"] == "left"


def test_an_id_whose_holder_lives_is_refused(one):
    assert join(one, one.settings["node_id"]).status == 409
    assert join(one, "go-1", "10.0.0.1:8080", 1).status == 200
    answer = join(one, "go-1", "10.0.0.2:8080", 2)
    assert answer.status == 409 and "go-1" in answer.json()["detail"]
    assert "give each member an id of its own" in one.log_text()
    assert join(one, "go-1", "10.0.0.1:8080", 2).status == 200, "started anew where it was"
    assert join(one, "go-1", "10.0.0.3:8080", 2).status == 200, "moved"


def test_an_id_is_taken_over_from_the_dead(make_node):
    node = make_node(**FAST)
    assert join(node, "go-1", "10.0.0.1:8080", 1).status == 200
    wait_state(node, "go-1", "dead")
    assert join(node, "go-1", "10.0.0.4:8080", 4).status == 200, "takes the name over from the dead one"


@pytest.mark.parametrize("body,reason", [
    ({"address": "a:1", "joined_timestamp": 1}, '"id" is missing'),
    ({"id": 7, "address": "a:1", "joined_timestamp": 1}, '"id" must be a string'),
    ({"id": "", "address": "a:1", "joined_timestamp": 1}, '"id"'),
    ({"id": "a b", "address": "a:1", "joined_timestamp": 1}, '"id"'),
    ({"id": "x" * 254, "address": "a:1", "joined_timestamp": 1}, '"id"'),
    ({"id": "a", "joined_timestamp": 1}, '"address" is missing'),
    ({"id": "a", "address": "a", "joined_timestamp": 1}, '"address"'),
    ({"id": "a", "address": "a:0", "joined_timestamp": 1}, '"address"'),
    ({"id": "a", "address": "a:65536", "joined_timestamp": 1}, '"address"'),
    ({"id": "a", "address": "a\n:1", "joined_timestamp": 1}, '"address"'),
    ({"id": "a", "address": "a:1"}, '"joined_timestamp" is missing'),
    ({"id": "a", "address": "a:1", "joined_timestamp": -1}, '"joined_timestamp"'),
    ({"id": "a", "address": "a:1", "joined_timestamp": 1.5}, '"joined_timestamp"'),
    ({"id": "a", "address": "a:1", "joined_timestamp": "1"}, '"joined_timestamp"')])
def test_members_that_are_none_are_refused_with_a_reason(one, body, reason):
    for target, sent in [("/members/join", body), ("/members/gossip", [body])]:
        answer = peer(one, "POST", target, sent)
        assert answer.status == 400 and reason in answer.json()["detail"], answer
    assert len(members(one, everyone=True)) == 1


def gossip(node, *listed):
    return peer(node, "POST", "/members/gossip", list(listed))


def told(name, last_seen, address="10.0.0.9:1", **more):
    return {"id": name, "address": address, "joined_timestamp": 5, "last_seen": last_seen, **more}


def test_gossip_is_news_or_none(make_node):
    node = make_node(**FAST)
    gossip(node, told("go-1", 100))
    kvsnode.wait_until(lambda: state(node, "go-1") != "alive", "nobody has heard anything new of it")
    gossip(node, told("go-1", 100))
    assert state(node, "go-1") != "alive", "old news"

    def tell():
        gossip(node, told("go-1", next(later)))
        return state(node, "go-1") == "alive"
    later = itertools.count(101)
    kvsnode.wait_until(tell, "alive by what is new")


def test_gossip_exchanges_lists(one):
    answer = gossip(one, told("go-1", 100), told("go-2", 100, state="dead"))
    assert answer.status == 200 and {m["id"] for m in answer.json()} == {"go-1", one.settings["node_id"]}
    assert gossip(one).status == 200, "an empty list asks"
    assert peer(one, "DELETE", "/members/leave", {"id": "go-1"}).status == 204
    gossip(one, told("go-1", 102))
    assert state(one, "go-1") == "left", "whoever says otherwise is behind"


def test_nobody_speaks_for_a_node_of_ours(make_node):
    first, second = make_cluster(make_node, ["n1", "n2"])
    gossip(first, told("n2", 2 ** 50, "10.9.9.9:1"), told("n1", 2 ** 50, "10.9.9.9:1"))
    assert members(first)["n2"]["address"] == f"127.0.0.1:{second.port}"
    assert members(first)["n1"]["address"] == f"127.0.0.1:{first.port}"
    assert len(members(first)) == 2


def test_gossip_has_limits(one):
    assert gossip(one, *[told(f"m{i}", 1) for i in range(1025)]).status == 400
    assert gossip(one, *[told(f"m{i}", 1) for i in range(300)]).status == 200
    assert member_count(one) == 257, "as many foreign members as a node keeps"
    assert join(one, "one-more").status == 503


# ---- Comparing

def root(node, target="/merkle_tree/root"):
    answer = peer(node, "GET", target)
    assert answer.status == 200, answer
    return answer.json()["root"]


def diff(node, parent, local_hash=""):
    answer = peer(node, "POST", "/merkle_tree/diff", {"parent_node": parent, "local_hash": local_hash})
    assert answer.status == 200, answer
    return answer.json()


def put_many(node, keys):
    with node.connect() as connection:
        for start in range(0, len(keys), 1000):
            batch = [{"op": "put", "path": key, "data": 1} for key in keys[start:start + 1000]]
            assert connection.request("POST", "/kv_batch", batch).status == 200


def leaves(node, parent, depth=0):
    """All keys, by descending without knowing anything; checks the shape on the way."""
    assert depth < 12
    answer = diff(node, parent)
    assert len(answer) == 1
    if "keys" in answer:
        return answer["keys"]
    children = answer["children"]
    assert len(children) >= 2
    assert children[0]["start_key"] == parent["start_key"] and children[-1]["end_key"] == parent["end_key"]
    for before, after in zip(children, children[1:]):
        assert before["end_key"] == after["start_key"] != "", "no gap, no overlap"
    found = []
    for child in children:
        assert len(base64.b64decode(child["hash"], validate=True)) >= 16
        found += leaves(node, child, depth + 1)
    return found


def test_an_empty_store_has_a_root(one):
    empty = root(one)
    assert set(empty) == {"hash", "start_key", "end_key"} and empty["start_key"] == empty["end_key"] == ""
    assert root(one, "/sync/merkle/root") == empty
    assert diff(one, empty, empty["hash"]) == {}
    assert diff(one, empty, "other") == {"keys": []}


def test_a_small_range_is_answered_with_its_keys_deleted_ones_included(one):
    for key in ["b", "a/é", "c"]:
        one.put(kvsnode.key_path(key), 1)
    one.delete("/kv/c")
    assert diff(one, root(one))["keys"] == ["a/é", "b", "c"]
    part = diff(one, {"start_key": "a/é", "end_key": "c"})
    assert part["keys"] == ["a/é", "b"], "the start is inclusive, the end is not"
    assert diff(one, root(one), root(one)["hash"]) == {}


def test_the_root_changes_with_the_data_and_with_nothing_else(one):
    roots = [root(one)["hash"]]
    one.put("/kv/a", 1)
    roots.append(root(one)["hash"])
    one.put("/kv/a", 1)
    roots.append(root(one)["hash"])
    one.delete("/kv/a")
    roots.append(root(one)["hash"])
    assert len(set(roots)) == 4
    join(one, "go-1")
    one.get("/kv/a")
    assert root(one)["hash"] == roots[-1]


def test_a_large_range_is_cut_into_children_that_cover_it(one):
    keys = sorted(f"k/{'é' * (i % 3)}{i * 7919 % 5000:05}" for i in range(5000))
    put_many(one, keys)
    assert leaves(one, root(one)) == sorted(keys, key=str.encode)


def test_keys_that_differ_only_within_a_character_are_cut_too(one):
    keys = [chr(0x4e00 + i) for i in range(600)] + [f"é{chr(0x1f300 + i)}" for i in range(600)]
    put_many(one, keys)
    assert leaves(one, root(one)) == sorted(keys, key=str.encode)


def test_a_foreign_peer_finds_the_one_difference(one):
    put_many(one, [f"k/{i:05}" for i in range(3000)])
    known = root(one)
    tree = {}

    def learn(parent):
        answer = diff(one, parent)
        for child in answer.get("children", []):
            tree[child["start_key"], child["end_key"]] = child["hash"]
            learn(child)
    learn(known)
    one.put("/kv/k/01234", 2)
    asked = 0
    changed = [{"start_key": "", "end_key": ""}]
    while True:
        answer = diff(one, changed[0], tree.get((changed[0]["start_key"], changed[0]["end_key"]), known["hash"]))
        asked += 1
        if "keys" in answer:
            break
        changed = [c for c in answer["children"] if tree.get((c["start_key"], c["end_key"])) != c["hash"]]
        assert len(changed) == 1
    assert "k/01234" in answer["keys"] and asked <= 5


@pytest.mark.parametrize("body,reason", [
    ({}, "parent_node"), ({"parent_node": 1}, "parent_node"), ({"parent_node": {"start_key": 1}}, "start_key"),
    ({"parent_node": {"start_key": "b", "end_key": "a"}}, "byte order"),
    ({"parent_node": {"start_key": "a", "end_key": "a"}}, "byte order"),
    ({"parent_node": {"start_key": "x" * 1025}}, "1024"), ({"parent_node": {"start_key": "\0"}}, "control"),
    ({"parent_node": {"hash": "x" * 2000}}, "hash"), ({"parent_node": {}, "local_hash": 7}, "local_hash")])
def test_comparisons_that_make_no_sense_are_refused(one, body, reason):
    answer = peer(one, "POST", "/merkle_tree/diff", body)
    assert answer.status == 400 and reason in answer.json()["detail"], answer


def test_nodes_that_agree_have_one_root(make_node):
    nodes = make_cluster(make_node, ["n1", "n2", "n3"])
    for i, node in enumerate(nodes):
        put_many(node, [f"{i}/{j}" for j in range(50)])
    kvsnode.wait_until(lambda: len({root(node)["hash"] for node in nodes}) == 1, "one root")
    assert sorted(leaves(nodes[2], root(nodes[0]))) == sorted(f"{i}/{j}" for i in range(3) for j in range(50))


# ---- By time

def by_time(node, **query):
    answer = peer(node, "POST", "/members/pairs_by_time", query)
    assert answer.status in (200, 204), answer
    assert (answer.status == 204) == (answer.body == b"")
    return answer.json() if answer.body else None


def test_pairs_by_time_are_newest_first(one):
    written = []
    for i in range(20):
        answer = one.put(f"/kv/t/{i % 2}/{i:02}", i).json()
        written.append({"path": f"t/{i % 2}/{i:02}", "uuid": answer["uuid"], "timestamp": answer["timestamp"]})
    newest = sorted(written, key=lambda w: (w["timestamp"], w["path"]), reverse=True)
    assert by_time(one) == newest[:15], "15 by default"
    assert by_time(one, limit=0) == newest[:15]
    assert by_time(one, limit=100) == newest
    assert by_time(one, limit=1) == newest[:1]
    assert by_time(one, limit=100, prefix="t/1") == [w for w in newest if w["path"].startswith("t/1")]
    at = written[10]["timestamp"]
    assert by_time(one, limit=100, start_timestamp=at) == [w for w in newest if w["timestamp"] >= at]
    assert by_time(one, limit=100, end_timestamp=at) == ([w for w in newest if w["timestamp"] < at] or None)
    assert by_time(one, start_timestamp=at, end_timestamp=at) is None
    assert by_time(one, start_timestamp=newest[0]["timestamp"] + 1) is None
    assert by_time(one, prefix="nothing") is None


def test_pairs_by_time_show_each_key_once_and_nothing_deleted(one):
    one.put("/kv/a", 1)
    one.put("/kv/b", 1)
    last = one.put("/kv/a", 2).json()
    one.delete("/kv/b")
    assert by_time(one) == [{"path": "a", "uuid": last["uuid"], "timestamp": last["timestamp"]}]


@pytest.mark.parametrize("query", [{"limit": 10001}, {"limit": -1}, {"limit": "5"}, {"start_timestamp": -1},
                                   {"end_timestamp": "now"}, {"prefix": 1}, {"prefix": "x" * 1025}])
def test_bad_times_are_refused(one, query):
    answer = peer(one, "POST", "/members/pairs_by_time", query)
    assert answer.status == 400 and list(query)[0] in answer.json()["detail"]


# ---- Ranges

def kv_range(node, **query):
    answer = peer(node, "POST", "/kv_range", query)
    assert answer.status == 200 and list(answer.json()) == ["pairs"], answer
    return answer.json()["pairs"]


def test_a_range_is_inclusive_at_both_ends(one):
    for key in ["a", "b", "b/x", "c", "d"]:
        one.put(f"/kv/{key}", {"is": key})
    one.delete("/kv/c")
    record = one.get("/kv/b").json()
    pairs = kv_range(one, start_key="b", end_key="d")
    assert [pair["path"] for pair in pairs] == ["b", "b/x", "d"]
    assert pairs[0] == {"path": "b", "stored_value": {"uuid": record["uuid"], "timestamp": record["timestamp"],
                                                      "data": {"is": "b"}}}
    assert [pair["path"] for pair in kv_range(one)] == ["a", "b", "b/x", "d"]
    assert [pair["path"] for pair in kv_range(one, start_key="", end_key="b", limit=0)] == ["a", "b"]
    assert [pair["path"] for pair in kv_range(one, start_key="b", end_key="", limit=2)] == ["b", "b/x"]
    assert kv_range(one, start_key="d", end_key="a") == []
    assert kv_range(one, start_key="x") == []


@pytest.mark.parametrize("query", [{"limit": -1}, {"limit": "1"}, {"start_key": 1}, {"end_key": "x" * 1025},
                                   {"start_key": "a\u0001"}])
def test_bad_ranges_are_refused(one, query):
    answer = peer(one, "POST", "/kv_range", query)
    assert answer.status == 400 and list(query)[0] in answer.json()["detail"]


def test_a_large_range_is_streamed_whole(one):
    keys = [f"r/{i:05}" for i in range(4000)]
    with one.connect() as connection:
        for start in range(0, len(keys), 500):
            batch = [{"op": "put", "path": key, "data": key * 50} for key in keys[start:start + 500]]
            assert connection.request("POST", "/kv_batch", batch).status == 200
    answer = peer(one, "POST", "/kv_range", {"limit": 0})
    assert answer.headers["transfer-encoding"] == "chunked"
    pairs = answer.json()["pairs"]
    assert [pair["path"] for pair in pairs] == keys
    assert all(pair["stored_value"]["data"] == pair["path"] * 50 for pair in pairs)
    assert len(kv_range(one, limit=3999)) == 3999


def test_a_client_that_leaves_a_stream_harms_nobody(one):
    put_many(one, [f"r/{i:05}" for i in range(5000)])
    body = json.dumps({}).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    for _ in range(5):
        with one.connect() as connection:
            connection.send(f"POST /kv_range HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n"
                            .encode() + body)
    assert len(kv_range(one)) == 5000


# ---- Members write in any mode

def test_a_member_writes_on_a_read_only_node(make_node):
    node = make_node(read_only=True, **FAST)
    assert mode(node) == "read-only"
    refused = node.put("/kv/a", 1)
    assert refused.status == 403 and "read-only" in refused.json()["detail"]
    assert peer(node, "PUT", "/kv/a", 1).status == 201
    assert node.get("/kv/a").json()["data"] == 1
    assert peer(node, "POST", "/kv_batch", [{"op": "put", "path": "b", "data": 2}]).json()[0]["status"] == 201
    assert peer(node, "PATCH", "/kv/b", b'{"x":1}', **{"Content-Type": "application/merge-patch+json"}).status == 200
    assert peer(node, "DELETE", "/kv/a").status == 204
    assert node.get("/ready").status == 200
    wrong = node.request("PUT", "/kv/a", 1, {**HEADERS, "X-Cluster-Secret": "not the right secret"})
    assert wrong.status == 401, "who claims to be a member and is not gets nothing"


def test_a_member_writes_on_a_syncing_node(make_node):
    seed = make_node("seed", **FAST)
    put_many(seed, [f"k/{i}" for i in range(20000)])
    node = make_node("late", seed_nodes=[f"127.0.0.1:{seed.port}"], **{**FAST, "throttle_delay_ms": 60000,
                                                                      "fetch_delay_ms": 60000})
    kvsnode.wait_until(lambda: mode(node) == "syncing" and member_count(node) == 2, "syncing")
    assert node.get("/ready").status == 503
    refused = node.put("/kv/mine", 1)
    assert refused.status == 503 and int(refused.headers["retry-after"]) > 0
    assert peer(node, "PUT", "/kv/mine", 1).status == 201
    assert node.get("/kv/mine").json()["data"] == 1


# ---- What a cluster shows

def test_members_health_and_metrics_tell_of_the_cluster(make_node):
    nodes = make_cluster(make_node, ["n1", "n2", "n3"], suspect_timeout_ms=600000)
    for node in nodes:
        listed = members(node)
        assert list(listed) == ["n1", "n2", "n3"] and len({m["uuid"] for m in listed.values()}) == 3
        assert sum(m["self"] for m in listed.values()) == 1
    nodes[0].put("/kv/a", 1)
    kvsnode.wait_until(lambda: members(nodes[0])["n2"]["lag"] == 0 and
                       members(nodes[0])["n2"]["last_sync_timestamp"], "agreed")
    other = members(nodes[0])["n2"]
    assert abs(other["clock_offset_ms"]) < 5000 and other["last_seen"] > 0
    kvsnode.wait_until(lambda: nodes[1].get("/kv/a").status == 200, "replicated")
    kvsnode.wait_until(lambda: metric(nodes[1], "kvs_replication_lag_seconds_count") >= 1, "lag measured")
    assert metric(nodes[0], 'kvs_cluster_members{state="alive"}') == 3
    assert metric(nodes[0], 'kvs_peer_alive{peer="n2"}') == 1
    assert metric(nodes[0], 'kvs_peer_lag_versions{peer="n2"}') is not None
    assert metric(nodes[0], "kvs_cluster_clock_offset_max_seconds") < 5
    kvsnode.wait_until(lambda: metric(nodes[0], "kvs_cluster_behind") == 0, "not behind")
    assert nodes[2].stop() == 0  # and says so
    wait_state(nodes[0], "n3", "dead")
    assert member_count(nodes[0]) == 2 and metric(nodes[0], 'kvs_cluster_members{state="dead"}') == 1
    assert metric(nodes[0], 'kvs_peer_alive{peer="n3"}') is None


def test_a_living_member_is_not_removed(make_node):
    nodes = make_cluster(make_node, ["n1", "n2"], suspect_timeout_ms=600000)
    answer = peer(nodes[0], "DELETE", "/members/leave", {"id": "n2"})
    assert answer.status == 409 and "alive" in answer.json()["detail"]


def test_a_dead_member_is_removed(make_node):
    nodes = make_cluster(make_node, ["n1", "n2", "n3"])
    nodes[2].kill()
    wait_state(nodes[0], "n3", "dead")
    assert peer(nodes[0], "DELETE", "/members/leave", {"id": "n3"}).status == 204
    for node in nodes[:2]:
        wait_state(node, "n3", "left")
    nodes[2].start()  # it is told, and comes back
    for node in nodes:
        wait_member_count(node, 3)


def test_a_node_that_is_told_to_leave_leaves_and_ends(make_node):
    nodes = make_cluster(make_node, ["n1", "n2"])
    nodes[1].put("/kv/last", "words")
    assert peer(nodes[1], "DELETE", "/members/leave", {"id": "n2"}).status == 204
    assert nodes[1].process.wait(timeout=kvsnode.DEADLINE_S) == 0
    wait_state(nodes[0], "n2", "left")
    assert member_count(nodes[0]) == 1
    assert nodes[0].get("/kv/last").json()["data"] == "words"
    assert "left cluster" in nodes[1].log_text()
    nodes[1].start()  # which joins anew
    kvsnode.wait_until(lambda: member_count(nodes[0]) == 2, "joined anew")
