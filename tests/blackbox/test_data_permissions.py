# SPDX-License-Identifier: Apache-2.0
"""Scopes and permission bits hold on every side door to data: patches, batches, the change feed, jobs."""
import json

import pytest

from kvsaccounts import make_user, start_with_accounts
from kvsfixtures import Nodes
from test_data_api import assert_problem

OWNER_ALONE = 0b111100000000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("permissions"))
    node, owner = start_with_accounts(nodes)
    alice = make_user(owner, "alice", ["read", "write", "delete"])
    bob = make_user(owner, "bob", ["read", "write", "delete"])
    reader = make_user(owner, "reader", ["read"])
    for key in ("mine/a", "mine/b", "ours/a"):
        assert alice("PUT", f"/kv/{key}", {"n": 1}).status == 201
    assert owner("PUT", "/kv/mine/metadata", {"owner_uuid": alice.uuid, "permissions": OWNER_ALONE}).status == 200
    yield owner, alice, bob, reader
    nodes.close()


def merge(caller, key):
    return caller("PATCH", f"/kv/{key}", {"x": 1}, Content_Type="application/merge-patch+json")


def test_patches(world):
    _, alice, bob, reader = world
    assert merge(alice, "mine/a").status == 200
    assert_problem(merge(bob, "mine/a"), 403, "Forbidden")
    assert_problem(merge(reader, "ours/a"), 403, "Forbidden")
    test = [{"op": "test", "path": "/n", "value": 1}]  # asks for nothing but tells of the value
    answer = bob("PATCH", "/kv/mine/a", test, Content_Type="application/json-patch+json")
    assert_problem(answer, 403, "Forbidden")


def test_batches(world):
    _, alice, bob, reader = world
    entries = [{"op": "put", "path": "mine/a", "data": 2}, {"op": "get", "path": "mine/a"},
               {"op": "delete", "path": "mine/b"}, {"op": "put", "path": "ours/b", "data": 1},
               {"op": "put", "path": "mine/a", "data": 1, "if_match": "*"}]
    results = bob("POST", "/kv_batch", entries).json()
    assert [r["status"] for r in results] == [403, 403, 403, 201, 403]
    assert "data" not in results[1]
    # A read-only token may use the route; each of its writes is refused.
    results = reader("POST", "/kv_batch", entries).json()
    assert all(r["status"] == 403 for r in results) and not any("data" in r for r in results)
    assert [r["status"] for r in alice("POST", "/kv_batch", entries[:2]).json()] == [200, 200]


def paths(caller, query=""):
    return {c["path"] for c in caller("GET", "/changes?since=0&limit=1000" + query).json()["changes"]}


def test_the_change_feed(world):
    owner, alice, bob, reader = world
    assert {"mine/a", "ours/a"} <= paths(alice)
    for caller in (bob, reader):
        assert "ours/a" in paths(caller) and not any(p.startswith("mine/") for p in paths(caller))
        assert paths(caller, "&prefix=mine/") == set()
    assert not any("user" in p or "\x01" in p for p in paths(owner))
    assert_problem(bob.node.get("/changes"), 401, "Unauthorized")
    with bob.node.connect() as connection:
        token = bob.headers["Authorization"]
        connection.send(f"GET /changes?feed=sse&since=0&limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        body = connection.read_response().body.decode()
    assert json.loads(body.split("data: ")[1])["path"] == "ours/a"


def test_jobs(world):
    _, alice, bob, reader = world
    alice("PUT", "/kv/mixed/open", 1)
    alice("PUT", "/kv/mixed/closed/x", 1)
    owner = world[0]
    owner("PUT", "/kv/mixed/closed/metadata", {"owner_uuid": alice.uuid, "permissions": OWNER_ALONE})
    for prefix in ("mine", "mixed"):  # one record that he may not delete is enough
        assert_problem(bob("DELETE", f"/kv/{prefix}/?recursive=1"), 403, "Forbidden")
    assert_problem(reader("DELETE", "/kv/ours/?recursive=1"), 403, "Forbidden")
    assert bob("DELETE", "/kv/mixed/?recursive=1&dry_run=1").json()["records"] == 1  # what he may see
    started = alice("DELETE", "/kv/mine/?recursive=1")
    assert started.status == 202
    job = started.headers["location"]
    assert alice("GET", job).status == 200
    assert bob("GET", job).status == 404 and bob("DELETE", job).status == 404
    assert bob("GET", "/jobs").json() == {"jobs": []}
    assert alice("GET", "/kv/mixed/closed/x").status == 200


def test_fingerprints_hide_what_listings_hide(world):
    owner, alice, bob, reader = world
    etag = [caller("HEAD", "/kv/ours/").headers.get("etag") for caller in (alice, bob, reader)]
    assert etag[0] and len(set(etag)) == 1  # nothing under it is hidden from anybody
    for prefix in ("mine/", "mine/a", "?prefix=m", "?prefix=mine/x", ""):
        assert bob("GET", f"/kv/{prefix}{'/' if prefix == 'mine/a' else ''}").headers.get("etag") is None, prefix
        hidden = bob("GET", f"/kv/{prefix}{'/' if prefix == 'mine/a' else ''}", If_None_Match="*")
        assert hidden.status == 200, prefix
        assert alice("GET", f"/kv/{prefix}{'/' if prefix == 'mine/a' else ''}").headers.get("etag"), prefix
    assert owner("GET", "/kv/mine/").headers.get("etag") is None  # no scope bypasses the bits


def test_versions(world):
    _, alice, bob, _ = world
    mine = alice("PUT", "/kv/mine/v", 1).json()["uuid"]
    assert alice("GET", f"/versions/{mine}").json()["path"] == "mine/v"
    assert_problem(bob("GET", f"/versions/{mine}"), 404, "Not Found")  # as if there were none
    assert_problem(bob("GET", f"/versions/{mine}?key=mine/v"), 403, "Forbidden")
