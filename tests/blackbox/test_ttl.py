# SPDX-License-Identifier: Apache-2.0
"""Time to live: both ways to set it, what is refused, and that what expired is gone and stays gone."""
import time

import pytest

from kvsnode import key_path, wait_until
from test_data_api import assert_problem


def gone(node, key):
    return lambda: node.get(key_path(key)).status == 404


@pytest.mark.parametrize("how", ["query", "body"])
def test_a_record_expires(node, prefix, how):
    if how == "query":
        response = node.put(key_path(prefix) + "?ttl=400ms", {"v": 1})
    else:
        response = node.put(key_path(prefix), {"data": {"v": 1}, "ttl": "400ms"})
    assert response.status == 201
    expires_at = response.json()["timestamp"] + 400
    before = node.get(key_path(prefix))
    if time.time() * 1000 < expires_at:  # on a busy machine the time may be over by now
        assert before.json()["data"] == {"v": 1}
    wait_until(gone(node, prefix), "the record is gone")
    assert time.time() * 1000 >= expires_at, "gone before its time"


def test_an_expired_record_is_gone_for_every_operation(node, prefix):
    node.put(key_path(prefix + "/stays"), 1)
    etag = node.put(key_path(prefix + "/a") + "?ttl=200ms", 1).headers["etag"]
    wait_until(gone(node, prefix + "/a"), "the record is gone")
    assert node.head(key_path(prefix + "/a")).status == 404
    assert node.get(key_path(prefix + "/a"), If_None_Match=etag).status == 404
    assert_problem(node.delete(key_path(prefix + "/a")), 404, "Not Found")
    assert_problem(node.put(key_path(prefix + "/a"), 2, If_Match=etag), 412, "Precondition Failed")
    assert_problem(node.put(key_path(prefix + "/a"), 2, If_Match="*"), 412, "Precondition Failed")
    assert [entry["path"] for entry in node.get(f"/kv/{prefix}/").json()["keys"]] == [prefix + "/stays"]
    pairs = node.get(f"/kv/_range?start_key={prefix}/&end_key={prefix}/z").json()["pairs"]
    assert [pair["path"] for pair in pairs] == [prefix + "/stays"]
    assert node.put(key_path(prefix + "/a"), 3, If_None_Match="*").status == 201
    assert node.get(key_path(prefix + "/a")).json()["data"] == 3


def test_expiry_never_uncovers_the_version_below(node, prefix):
    node.put(key_path(prefix), "lasting")
    node.put(key_path(prefix) + "?ttl=200ms", "passing")
    wait_until(gone(node, prefix), "the record is gone")
    assert node.get(key_path(prefix)).status == 404


def test_a_put_without_ttl_ends_the_one_before(node, prefix):
    node.put(key_path(prefix) + "?ttl=300ms", 1)
    node.put(key_path(prefix), 2)
    node.put(key_path(prefix + "-clock") + "?ttl=600ms", 1)
    wait_until(gone(node, prefix + "-clock"), "the later one's end")
    assert node.get(key_path(prefix)).json()["data"] == 2


@pytest.mark.parametrize("crash", [False, True], ids=["clean stop", "kill -9"])
def test_what_expired_does_not_come_back_with_a_restart(fresh_node, crash):
    node = fresh_node
    node.put("/kv/a?ttl=200ms", 1)
    node.put("/kv/later?ttl=1h", 1)
    wait_until(gone(node, "a"), "the record is gone")
    if crash:
        node.kill()
        node.start()
    else:
        node.restart()
    assert node.get("/kv/a").status == 404
    assert node.get("/kv/later").status == 200
    assert [entry["path"] for entry in node.get("/kv/").json()["keys"]] == ["later"]


def test_time_passes_while_the_node_is_down(fresh_node):
    node = fresh_node
    node.put("/kv/a?ttl=1ms", 1)
    node.kill()
    node.start()
    assert node.get("/kv/a").status == 404


@pytest.mark.parametrize("query", ["?ttl=", "?ttl=0", "?ttl=0s", "?ttl=1h", "?ttl=1h30m", "?ttl=1.5h", "?ttl=250h",
                                   "?ttl=3600000ms", "?ttl=%2B1h"])
def test_good_ttls_are_taken(node, prefix, query):
    assert node.put(key_path(prefix) + query, 1).status == 201
    assert node.get(key_path(prefix)).status == 200


@pytest.mark.parametrize("ttl", ["", "0", "1h"])
def test_good_ttls_in_the_body_are_taken(node, prefix, ttl):
    assert node.put(key_path(prefix), {"ttl": ttl, "data": [1]}).status == 201
    assert node.get(key_path(prefix)).json()["data"] == [1]


BAD = ["1", "h", "1d", "1y", "abc", "-1h", "-1ns", "1h-1m", "1 h", "0x1h", "1e3s", "9999999999h", "1h,", "NaN", "+"]


@pytest.mark.parametrize("ttl", BAD)
def test_bad_ttls_are_400_and_change_nothing(node, prefix, ttl):
    node.put(key_path(prefix), "before")
    query = ttl.replace(" ", "%20").replace("+", "%2B")
    for response in (node.put(key_path(prefix) + f"?ttl={query}", 1),
                     node.put(key_path(prefix), {"data": 1, "ttl": ttl})):
        assert "ttl" in assert_problem(response, 400, "Bad Request").lower()
    assert node.get(key_path(prefix)).json()["data"] == "before"


@pytest.mark.parametrize("ttl", [b"5", b"0", b"null", b"true", b"[]", b"{}", b"-1", b'["1h"]'])
def test_a_ttl_in_the_body_that_is_no_string_is_400(node, prefix, ttl):
    assert_problem(node.put(key_path(prefix), b'{"data":1,"ttl":' + ttl + b"}"), 400, "Bad Request")
    assert node.get(key_path(prefix)).status == 404


@pytest.mark.parametrize("body", [
    b'{"data":1}', b'{"ttl":"1ms"}', b'{"data":1,"ttl":"1ms","more":1}', b'{"data":1,"TTL":"1ms"}',
    b'{"Data":1,"ttl":"1ms"}', b'[{"data":1,"ttl":"1ms"}]', b'{"x":{"data":1,"ttl":"1ms"}}', b"{}",
])
def test_any_other_object_is_data_as_it_is(node, prefix, body):
    assert node.put(key_path(prefix), body).status == 201
    node.put(key_path(prefix + "-clock") + "?ttl=50ms", 1)
    wait_until(gone(node, prefix + "-clock"), "the clock's end")
    assert node.get(key_path(prefix) + "?raw=1").body == body


def test_the_wrapper_may_be_spaced_ordered_and_escaped_as_json_allows(node, prefix):
    assert node.put(key_path(prefix), b'\n{ "ttl" : "1h" , "data" : { "a" : 1.0 } }\n').status == 201
    assert node.get(key_path(prefix) + "?raw=1").body == b'{"a":1.0}'
    assert node.put(key_path(prefix), rb'{"\u0064ata":2,"ttl":"\u0031h"}').status == 200
    assert node.get(key_path(prefix) + "?raw=1").body == b"2"


@pytest.mark.parametrize("query", ["?ttl=1h", "?ttl=0", "?ttl="])
def test_with_a_ttl_in_the_query_nothing_is_unwrapped(node, prefix, query):
    for body in (b'{"data":1,"ttl":"1ms"}', b'{"data":1,"ttl":5}'):
        assert node.put(key_path(prefix) + query, body).status in (200, 201)
        assert node.get(key_path(prefix) + "?raw=1").body == body


def test_default_ttl_holds_for_a_put_that_names_none(make_node):
    node = make_node(default_ttl="700ms")
    expires_at = node.put("/kv/default", 1).json()["timestamp"] + 700
    before = node.get("/kv/default").status
    assert before == 200 or time.time() * 1000 >= expires_at
    node.put("/kv/wrapped", {"data": 1, "ttl": "1h"})
    for path in ("/kv/zero?ttl=0", "/kv/empty?ttl=", "/kv/long?ttl=1h"):
        node.put(path, 1)
    node.put("/kv/wrapped-zero", {"data": 1, "ttl": "0"})
    wait_until(gone(node, "default"), "the default's end")
    for key in ("zero", "empty", "long", "wrapped", "wrapped-zero"):
        assert node.get(f"/kv/{key}").status == 200, key


def test_listings_and_ranges_tell_when_a_record_expires_if_asked(node, prefix):
    before = time.time() * 1000
    node.put(key_path(f"{prefix}/a") + "?ttl=1h", 1)
    node.put(key_path(f"{prefix}/b"), 2)
    after = time.time() * 1000
    listing = f"{key_path(prefix)}/?values=1"
    bounds = f"/kv/_range?start_key={prefix}/a&end_key={prefix}/b"
    for more, told in (("&expires=1", True), ("&expires=0", False), ("", False)):
        first, second = node.get(listing + more).json()["keys"]
        pairs = [pair["stored_value"] for pair in node.get(bounds + more).json()["pairs"]]
        for one in (first, pairs[0]):
            assert ("expires_timestamp" in one) is told
            assert not told or before + 3_599_000 <= one["expires_timestamp"] <= after + 3_601_000
            assert one["data"] == 1
        for other in (second, pairs[1]):
            assert "expires_timestamp" not in other and other["data"] == 2
    assert node.get(listing + "&expires=maybe").status == 400
