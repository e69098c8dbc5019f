# SPDX-License-Identifier: Apache-2.0
"""PATCH against a real node: both kinds, what stays byte for byte, races, restarts, limits."""
import concurrent.futures
import json

import pytest

from kvsnode import key_path, wait_until
from test_data_api import assert_problem

MERGE, PATCH = "application/merge-patch+json", "application/json-patch+json"


def patch(node, path, body, kind=MERGE, **headers):
    return node.request("PATCH", path, body, {"Content-Type": kind, **headers})


def raw(node, path):
    return node.get(path + "?raw=1").body


def test_both_kinds_change_a_record_and_survive_a_restart(make_node):
    node = make_node()
    assert node.put("/kv/a", b'{"x": 1.0, "s": "\\u00e9\\/", "x": 2, "l": [12345678901234567890]}').status == 201
    answer = patch(node, "/kv/a", b'{"n": {"k": null, "v": 1e2}}')
    assert answer.status == 200 and answer.headers["etag"] == f'"{answer.json()["uuid"]}"'
    answer = patch(node, "/kv/a", [{"op": "add", "path": "/l/0", "value": -0.5}], PATCH)
    assert answer.status == 200
    expected = b'{"x":1.0,"s":"\\u00e9\\/","x":2,"l":[-0.5,12345678901234567890],"n":{"v":1e2}}'
    assert raw(node, "/kv/a") == expected
    node.restart()
    assert raw(node, "/kv/a") == expected
    history = node.get("/api/data/a/history").json()
    assert len(history) == 3 and history[0]["uuid"] == answer.json()["uuid"]


def test_other_media_types_are_415(node, prefix):
    path = key_path(prefix)
    node.put(path, {})
    for headers in ({}, {"Content-Type": "application/json"}, {"Content-Type": "text/html"}):
        answer = node.request("PATCH", path, b"{}", headers)
        assert_problem(answer, 415, "Unsupported Media Type")
        assert answer.headers["accept-patch"] == f"{MERGE}, {PATCH}"


@pytest.mark.parametrize("kind, body, status, title", [
    (MERGE, b"{", 400, "Bad Request"), (MERGE, b"", 400, "Bad Request"),
    (MERGE, b'{"a":1,"a":2}', 400, "Bad Request"), (PATCH, b'{"a":1}', 400, "Bad Request"),
    (PATCH, b'[{"op":"test","path":"/n","value":2}]', 409, "Conflict"),
    (PATCH, b'[{"op":"remove","path":"/x"}]', 409, "Conflict"),
])
def test_what_is_wrong_changes_nothing(node, prefix, kind, body, status, title):
    path = key_path(prefix)
    node.put(path, {"n": 1})
    before = node.get(path).body
    assert_problem(patch(node, path, body, kind), status, title)
    assert node.get(path).body == before


def test_there_must_be_a_record(node, prefix):
    assert_problem(patch(node, key_path(prefix), b"{}"), 404, "Not Found")
    assert patch(node, key_path(prefix), b"{}", MERGE, **{"If-Match": "*"}).status == 412


def test_conditions_protect_an_update(node, prefix):
    path = key_path(prefix)
    tag = node.put(path, {"n": 1}).headers["etag"]
    assert patch(node, path, b'{"n":2}', MERGE, **{"If-Match": tag}).status == 200
    assert_problem(patch(node, path, b'{"n":3}', MERGE, **{"If-Match": tag}), 412, "Precondition Failed")
    assert raw(node, path) == b'{"n":2}'


def test_patches_that_meet_lose_nothing(node, prefix):
    path, writers, rounds = key_path(prefix), 8, 25
    node.put(path, {"list": []})

    def write(writer):
        with node.connect() as connection:
            for n in range(rounds):
                merge = connection.request("PATCH", path, {f"w{writer}": n}, {"Content-Type": MERGE})
                append = connection.request("PATCH", path, [
                    {"op": "add", "path": "/list/-", "value": [writer, n]}], {"Content-Type": PATCH})
                assert (merge.status, append.status) == (200, 200)

    with concurrent.futures.ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    data = node.get(path).json()["data"]
    assert {data[f"w{writer}"] for writer in range(writers)} == {rounds - 1}
    assert sorted(data["list"]) == [[w, n] for w in range(writers) for n in range(rounds)]
    for writer in range(writers):  # each one's in its own order
        assert [n for w, n in data["list"] if w == writer] == list(range(rounds))


def test_the_result_is_held_against_max_json_size(make_node):
    node = make_node(max_json_size=2000)
    assert node.put("/kv/a", {"a": "x" * 1500}).status == 201
    assert_problem(patch(node, "/kv/a", {"b": "y" * 600}), 413, "Content Too Large")
    assert patch(node, "/kv/a", {"b": "y" * 400}).status == 200
    doubling = [{"op": "copy", "from": "", "path": "/c"}] * 1000
    assert_problem(patch(node, "/kv/a", doubling, PATCH), 413, "Content Too Large")
    assert json.loads(raw(node, "/kv/a")) == {"a": "x" * 1500, "b": "y" * 400}


def test_a_patch_keeps_the_time_to_live(node, prefix):
    path = key_path(prefix)
    node.put(path + "?ttl=1h", {})
    assert patch(node, path, b'{"a":1}').status == 200
    assert patch(node, path + "?ttl=1ms", b'{"a":2}').status == 200
    wait_until(lambda: node.get(path).status == 404, "the record expires")


def test_a_read_only_node_takes_no_patch(make_node):
    node = make_node()
    node.put("/kv/a", {})
    node.stop()
    node.settings["read_only"] = True
    node.start()
    assert_problem(patch(node, "/kv/a", b"{}"), 403, "Forbidden")
