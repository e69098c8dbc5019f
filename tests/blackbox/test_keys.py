# SPDX-License-Identifier: Apache-2.0
"""The grammar of keys: what is a key, what is 400, and that the path is decoded exactly once."""
import urllib.parse

import pytest

from kvsfixtures import Nodes
from kvsnode import key_path
from test_data_api import assert_problem


@pytest.mark.parametrize("key", [
    "a", "a/b", "a/b/c/d/e/f", "a.b", ".a", "a.", "...", "a/...", "-", "~", "_", "a b", " ", "a+b", "a%b", "a%41",
    "a?b", "a#b", "a&b=c", "a;b", "a:b@c", "a\"b'c", "a\\b", "<a>", "[a]{b}|^`", "ä", "日本語/キー", "😀", "e\u0301",
    "_", "_ranges", "__range", "a/_range", "_range_", "kv", "kv/a", "metadata", "history", "api/data", "\u2028",
    "CON", "%2F", "a%2Fb", "\ufeff",
])
def test_a_valid_key_round_trips(node, prefix, key):
    full = f"{prefix}/{key}" if not key.startswith("_range") else f"{key}{prefix}"
    assert node.put(key_path(full), key).status == 201
    assert node.get(key_path(full)).json()["data"] == key
    listed = node.get("/kv/?" + urllib.parse.urlencode({"prefix": full}, quote_via=urllib.parse.quote)).json()
    assert [entry["path"] for entry in listed["keys"]] == [full]
    assert node.delete(key_path(full)).status == 204


def test_a_first_segment_of_range_alone_is_reserved(fresh_node):
    node = fresh_node
    assert_problem(node.put("/kv/_range/a", 1), 400, "Bad Request")
    assert_problem(node.put("/kv/%5Frange/a", 1), 400, "Bad Request")
    assert node.put("/kv/_range", 1).status in (400, 405)
    assert node.put("/kv/%5F%72ange", 1).status in (400, 405)
    assert node.put("/kv/_rangex", 1).status == 201
    assert node.put("/kv/a/_range", 1).status == 201
    assert [entry["path"] for entry in node.get("/kv/").json()["keys"]] == ["_rangex", "a/_range"]


@pytest.mark.parametrize("path", [
    "/kv/a%2Fb", "/kv/a%2fb", "/kv/%61%2F%62", "/kv/%61/b",
])
def test_an_escaped_slash_is_a_slash(fresh_node, path):
    fresh_node.put("/kv/a/b", "same")
    assert fresh_node.get(path).json()["data"] == "same"
    assert fresh_node.put(path, "again").status == 200


def test_the_path_is_decoded_once(node, prefix):
    assert node.put(f"/kv/{prefix}/a%2541", 1).status == 201
    assert node.get(f"/kv/{prefix}/a%41").status == 404  # that is aA
    assert node.get(f"/kv/{prefix}/aA").status == 404
    assert node.get(f"/kv/{prefix}/").json()["keys"][0]["path"] == f"{prefix}/a%41"
    assert node.put(f"/kv/{prefix}/x%252F..%252Fy", 1).status == 201
    assert node.get(f"/kv/{prefix}/x%252F..%252Fy").status == 200


def test_a_plus_is_a_plus(node, prefix):
    node.put(f"/kv/{prefix}/a+b", 1)
    assert node.get(f"/kv/{prefix}/a%2Bb").status == 200
    assert node.get(f"/kv/{prefix}/a%20b").status == 404


def test_keys_are_bytes_and_never_folded_or_normalised(node, prefix):
    for key in ("ä", "a\u0308", "A", "a"):
        assert node.put(key_path(f"{prefix}/{key}"), key).status == 201
    for key in ("ä", "a\u0308", "A", "a"):
        assert node.get(key_path(f"{prefix}/{key}")).json()["data"] == key


@pytest.mark.parametrize("path", [
    "/kv//a", "/kv/a//b", "/kv/%2Fa", "/kv/a%2F%2Fb", "/kv/a%2F",
    "/kv/.", "/kv/..", "/kv/a/.", "/kv/a/..", "/kv/./a", "/kv/../a", "/kv/a/../b", "/kv/a/./b",
    "/kv/%2e", "/kv/%2E%2e", "/kv/a/%2e%2e/b", "/kv/a%2F..%2Fb", "/kv/..%2F..%2Fetc%2Fpasswd",
    "/kv/%00", "/kv/a%00b", "/kv/a%0Ab", "/kv/a%0D%0Ab", "/kv/a%09b", "/kv/a%1Fb", "/kv/a%7Fb",
    "/kv/%FF", "/kv/%C0%AF", "/kv/a%C0%AEb", "/kv/%ED%A0%80", "/kv/%E2%82", "/kv/%F4%90%80%80", "/kv/%C3",
    "/kv/%", "/kv/a%2", "/kv/a%zz", "/kv/a%2gb", "/kv/%u0041",
    "/kv/" + "a" * 1025, "/kv/" + "%C3%A4" * 513, "/kv/" + "a/" * 512 + "aa",
])
def test_what_is_no_key_is_400_with_the_reason_and_stores_nothing(fresh_node_of_module, path):
    node = fresh_node_of_module
    for method in ("PUT", "GET", "DELETE"):
        if method == "GET" and path == "/kv/a%2F":
            continue  # whether this lists a/ or is a bad key is nobody's contract
        assert_problem(node.request(method, path, b"1" if method == "PUT" else None), 400, "Bad Request")
    assert node.get("/kv/").json()["keys"] == []


@pytest.fixture(scope="module")
def fresh_node_of_module(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("keys"))
    yield nodes()
    nodes.close()


@pytest.mark.parametrize("key", ["a" * 1024, "ä" * 512, "a/" * 511 + "aa", "%" * 1024], ids=len)
def test_a_key_of_1024_bytes_fits(fresh_node, key):
    assert fresh_node.put(key_path(key), 1).status == 201
    assert fresh_node.get(key_path(key)).status == 200
    assert fresh_node.get("/kv/").json()["keys"][0]["path"] == key
    assert fresh_node.get("/api/data/" + urllib.parse.quote(key, safe="/") + "/history").status == 200


@pytest.mark.parametrize("path", ["/kv", "/KV/a", "/kv?prefix=a", "/kvx/a", "/kv_range"])
def test_near_misses_of_the_route_are_404(node, path):
    assert node.get(path).status in (404, 405)
    assert node.put(path, 1).status in (404, 405)
