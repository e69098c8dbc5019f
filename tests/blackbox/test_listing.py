# SPDX-License-Identifier: Apache-2.0
"""Listings and ranges: order, prefixes, delimiter, values, limits and cursors."""
import urllib.parse

import pytest

from kvsfixtures import Nodes
from kvsnode import key_path, wait_until
from test_data_api import assert_problem


def query(**parameters):
    return urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)


def fill(node, keys):
    with node.connect() as connection:
        return {key: connection.request("PUT", key_path(key), {"key": key}).json() for key in keys}


def paths(listing):
    return [entry["path"] for entry in listing["keys"]]


def pages(node, target, limit):
    """Every page of a listing, following its cursors."""
    found, cursor = [], None
    with node.connect() as connection:
        for _ in range(10000):
            more = f"&cursor={urllib.parse.quote(cursor, safe='')}" if cursor else ""
            response = connection.request("GET", f"{target}{'&' if '?' in target else '?'}limit={limit}{more}")
            assert response.status == 200, response
            found.append(response.json())
            cursor = found[-1].get("next")
            if not cursor:
                return found
    raise AssertionError("the cursors never end")


# A tree with every trap: test against test2 and test-x, bytes below and above '/', children of children.
TREE = ["a", "a-b", "a.b", "a/b", "a/b/c", "a/b/d/e", "a/c", "a0", "test", "test/1", "test/2/x", "test/2/y", "test-x",
        "test.x", "test0", "test2", "test2/1", "z", "ä", "ä/ö", "日本/東京", "😀"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("tree"))
    node = nodes()
    node.versions = fill(node, TREE)
    fill(node, ["a/deleted", "test/3/deleted", "zz"])
    for key in ("a/deleted", "test/3/deleted", "zz"):
        node.delete(key_path(key))
    yield node
    nodes.close()


def test_a_listing_is_in_byte_order_and_names_each_version(tree):
    listing = tree.get("/kv/").json()
    assert set(listing) >= {"keys", "prefixes"}
    assert paths(listing) == sorted(TREE, key=str.encode)
    assert listing["prefixes"] == [] and not listing.get("next")
    for entry in listing["keys"]:
        assert entry == {"path": entry["path"], **tree.versions[entry["path"]]}


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "test", "test/", "test/2", "test2", "t", "ä", "ä/", "日", "nope",
                                    "TEST", "a/b/", "test/2/y"])
def test_prefix_is_a_byte_prefix(tree, prefix):
    listing = tree.get("/kv/?" + query(prefix=prefix)).json()
    assert paths(listing) == sorted((k for k in TREE if k.startswith(prefix)), key=str.encode)


@pytest.mark.parametrize("folder", ["a", "a/b", "test", "test2", "test/2", "ä", "日本", "nope", "z"])
def test_a_path_with_a_slash_at_its_end_lists_whole_segments(tree, folder):
    listing = tree.get(key_path(folder) + "/").json()
    assert paths(listing) == sorted((k for k in TREE if k.startswith(folder + "/")), key=str.encode)


@pytest.mark.parametrize("target, keys, prefixes", [
    ("/kv/?delimiter=/", ["a", "a-b", "a.b", "a0", "test", "test-x", "test.x", "test0", "test2", "z", "ä", "😀"],
     ["a/", "test/", "test2/", "ä/", "日本/"]),
    ("/kv/a/?delimiter=/", ["a/b", "a/c"], ["a/b/"]),
    ("/kv/test/?delimiter=/", ["test/1"], ["test/2/"]),
    ("/kv/?delimiter=/&prefix=test", ["test", "test-x", "test.x", "test0", "test2"], ["test/", "test2/"]),
    ("/kv/?delimiter=%2F&prefix=a%2Fb%2F", ["a/b/c"], ["a/b/d/"]),
    ("/kv/nope/?delimiter=/", [], []),
])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_delimiter_gives_children_only_and_pages_neither_repeat_nor_skip(tree, target, keys, prefixes, limit):
    found = pages(tree, target, limit)
    assert [path for page in found for path in paths(page)] == sorted(keys, key=str.encode)
    assert [p for page in found for p in page["prefixes"]] == sorted(prefixes, key=str.encode)


@pytest.mark.parametrize("limit", [1, 2, 7, len(TREE), 1000])
def test_pages_hold_every_key_once_and_no_more_than_the_limit(tree, limit):
    found = pages(tree, "/kv/", limit)
    assert all(len(page["keys"]) <= limit for page in found)
    assert [path for page in found for path in paths(page)] == sorted(TREE, key=str.encode)


def test_values_include_the_data(tree):
    for entry in tree.get("/kv/test/?values=1").json()["keys"]:
        assert entry == {"path": entry["path"], **tree.versions[entry["path"]], "data": {"key": entry["path"]}}
    assert all("data" not in entry for entry in tree.get("/kv/test/?values=0").json()["keys"])


def test_values_in_a_listing_keep_their_bytes(node, prefix):
    node.put(key_path(f"{prefix}/a"), b'{"b": 1.0, "a": 12345678901234567890, "b": "\\u00e4"}')
    assert b'"data":{"b":1.0,"a":12345678901234567890,"b":"\\u00e4"}' in node.get(f"/kv/{prefix}/?values=1").body


def test_the_default_limit_is_100_and_1000_the_most(fresh_node):
    keys = [f"k/{n:04}" for n in range(1100)]
    fill(fresh_node, keys)
    first = fresh_node.get("/kv/k/").json()
    assert paths(first) == keys[:100] and first["next"]
    assert paths(fresh_node.get("/kv/k/?limit=1000").json()) == keys[:1000]
    assert [path for page in pages(fresh_node, "/kv/k/", 1000) for path in paths(page)] == keys
    assert_problem(fresh_node.get("/kv/k/?limit=1001"), 400, "Bad Request")


@pytest.mark.parametrize("parameters", ["limit=1001", "limit=-1", "limit=abc", "limit=", "limit=1.5", "limit=1&limit=2",
                                        "limit=99999999999999999999", "values=maybe", "limit=%31x", "prefix=%zz",
                                        "delimiter=%", "cursor=%FF", "cursor=nonsense!", "unknown=1"])
def test_a_bad_parameter_is_400(tree, parameters):
    assert_problem(tree.get(f"/kv/?{parameters}"), 400, "Bad Request")


def test_a_listing_of_nothing_is_empty(fresh_node):
    for target in ("/kv/", "/kv/a/", "/kv/?prefix=a"):
        listing = fresh_node.get(target).json()
        assert listing["keys"] == [] and listing["prefixes"] == [] and not listing.get("next")
    assert fresh_node.get("/kv/_range?start_key=&end_key=").json()["pairs"] == []


def test_a_key_that_only_deleted_ones_lie_under_rolls_up_to_nothing(tree):
    assert tree.get("/kv/test/3/").json()["keys"] == []


def test_keys_that_stay_are_seen_once_while_others_come_and_go(fresh_node):
    stay = [f"p/{n:03}" for n in range(0, 300, 3)]
    fill(fresh_node, stay)
    seen, cursor, step = [], "", 0
    while cursor is not None:
        page = fresh_node.get("/kv/p/?limit=7" + (f"&cursor={urllib.parse.quote(cursor, safe='')}" if cursor else ""))
        seen += paths(page.json())
        cursor = page.json().get("next")
        for n in range(step * 11 % 300, step * 11 % 300 + 30):
            if n % 3:
                node_call = fresh_node.delete if (n + step) % 2 else lambda path: fresh_node.put(path, 1)
                node_call(f"/kv/p/{n:03}")
        step += 1
    assert [key for key in seen if key in set(stay)] == stay
    assert seen == sorted(set(seen))


def test_the_cursor_goes_on_where_its_key_was_deleted(fresh_node):
    fill(fresh_node, [f"p/{n}" for n in range(6)])
    cursor = fresh_node.get("/kv/p/?limit=3").json()["next"]
    for n in (2, 3):
        fresh_node.delete(f"/kv/p/{n}")
    rest = fresh_node.get(f"/kv/p/?limit=3&cursor={urllib.parse.quote(cursor, safe='')}").json()
    assert paths(rest) == ["p/4", "p/5"]


@pytest.mark.parametrize("target", ["/kv/", "/kv/test/?values=1", "/kv/_range?start_key=&end_key="])
def test_head_of_a_listing(tree, target):
    get, head = tree.get(target), tree.head(target)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))


# ---- _range

RANGES = [("", ""), ("a", "b"), ("a/b", "a/b"), ("a/b", "a/c"), ("test", "test2"), ("", "a"), ("test2", ""), ("b", "a"),
          ("nope", "nopf"), ("a0", "test/2/x"), ("ä", "😀")]


@pytest.mark.parametrize("start, end", RANGES)
def test_a_range_holds_both_its_bounds(tree, start, end):
    response = tree.get("/kv/_range?" + query(start_key=start, end_key=end))
    assert response.status == 200
    expected = sorted((k for k in TREE if k.encode() >= start.encode() and (not end or k.encode() <= end.encode())),
                      key=str.encode)
    pairs = response.json()["pairs"]
    assert [pair["path"] for pair in pairs] == expected
    assert not response.json().get("next")
    for pair in pairs:
        assert set(pair) == {"path", "stored_value"}
        assert pair["stored_value"] == {**tree.versions[pair["path"]], "data": {"key": pair["path"]}}


def test_a_range_without_bounds_is_everything(tree):
    assert [pair["path"] for pair in tree.get("/kv/_range").json()["pairs"]] == sorted(TREE, key=str.encode)


@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_a_range_is_paged_by_next(tree, limit):
    expected = sorted((k for k in TREE if "a/" <= k <= "test2"), key=str.encode)
    found, cursor = [], None
    while True:
        target = "/kv/_range?" + query(start_key="a/", end_key="test2", limit=limit)
        if cursor:
            target += "&" + query(cursor=cursor)
        page = tree.get(target).json()
        assert len(page["pairs"]) <= limit
        found += [pair["path"] for pair in page["pairs"]]
        cursor = page.get("next")
        if not cursor:
            break
        assert len(found) < 100
    assert found == expected


@pytest.mark.parametrize("parameters", ["limit=1001", "limit=-1", "limit=x", "start_key=%zz", "start_key=a&start_key=b"])
def test_a_bad_parameter_of_a_range_is_400(tree, parameters):
    assert_problem(tree.get(f"/kv/_range?{parameters}"), 400, "Bad Request")


# ---- deleting a subtree is asked for by name

@pytest.mark.parametrize("target", ["/kv/test/", "/kv/", "/kv/test/?recursive=0"])
def test_delete_of_a_prefix_without_recursive_is_400_and_deletes_nothing(tree, target):
    assert_problem(tree.delete(target), 400, "Bad Request")
    assert paths(tree.get("/kv/").json()) == sorted(TREE, key=str.encode)


def test_put_to_a_prefix_is_400(tree):
    assert_problem(tree.put("/kv/test/", 1), 400, "Bad Request")
    assert_problem(tree.put("/kv/", 1), 400, "Bad Request")


def test_an_expired_record_rolls_up_to_nothing(fresh_node):
    fill(fresh_node, ["p/stays/a"])
    fresh_node.put("/kv/p/goes/a?ttl=100ms", 1)
    assert fresh_node.get("/kv/p/?delimiter=/").json()["prefixes"][-1] == "p/stays/"
    wait_until(lambda: fresh_node.get("/kv/p/goes/a").status == 404, "the record is gone")
    assert fresh_node.get("/kv/p/?delimiter=/").json()["prefixes"] == ["p/stays/"]
