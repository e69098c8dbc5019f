# SPDX-License-Identifier: Apache-2.0
"""One record: GET, PUT, DELETE; the value's bytes; conditions; limits; what survives a restart."""
import concurrent.futures
import email.utils
import json
import re
import time
import uuid

import pytest

from kvsnode import key_path

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def assert_problem(response, status, title):
    assert response.status == status, response
    assert response.headers["content-type"].split(";")[0] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status and problem["title"] == title
    assert isinstance(problem["detail"], str) and problem["detail"]
    return problem["detail"]


# ---- GET, PUT, DELETE

def test_put_of_a_new_key_answers_201_with_uuid_timestamp_and_etag(node, prefix):
    before = time.time() * 1000
    response = node.put(key_path(prefix), {"a": 1})
    assert response.status == 201
    assert response.headers["content-type"].split(";")[0] == "application/json"
    version = response.json()
    assert set(version) == {"uuid", "timestamp"}
    assert UUID4.fullmatch(version["uuid"])
    assert isinstance(version["timestamp"], int)
    assert before - 5000 <= version["timestamp"] <= time.time() * 1000 + 5000
    assert response.headers["etag"] == f'"{version["uuid"]}"'


def test_put_over_a_record_answers_200_with_a_newer_version(node, prefix):
    first = node.put(key_path(prefix), 1).json()
    response = node.put(key_path(prefix), 2)
    assert response.status == 200
    second = response.json()
    assert second["uuid"] != first["uuid"]
    assert second["timestamp"] > first["timestamp"]
    assert node.get(key_path(prefix)).json() == {**second, "data": 2}


def test_get_answers_the_record_with_etag_and_last_modified(node, prefix):
    version = node.put(key_path(prefix), {"b": [1, None, "x"]}).json()
    response = node.get(key_path(prefix))
    assert response.status == 200
    assert response.headers["content-type"].split(";")[0] == "application/json"
    assert response.json() == {**version, "data": {"b": [1, None, "x"]}}
    assert response.headers["etag"] == f'"{version["uuid"]}"'
    seconds = email.utils.parsedate_to_datetime(response.headers["last-modified"]).timestamp()
    assert seconds == version["timestamp"] // 1000


def test_get_raw_answers_the_data_alone(node, prefix):
    version = node.put(key_path(prefix), b'{"z": 1.0, "a": "\\u00e4"}').json()
    response = node.get(key_path(prefix) + "?raw=1")
    assert response.status == 200
    assert response.body == b'{"z":1.0,"a":"\\u00e4"}'
    assert response.headers["etag"] == f'"{version["uuid"]}"'


def test_a_value_is_never_served_as_a_page(node, prefix):
    node.put(key_path(prefix), "<script>alert(1)</script>", Content_Type="text/html")
    for query in ("", "?raw=1"):
        response = node.get(key_path(prefix) + query)
        assert response.headers["content-type"].split(";")[0] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"


def test_get_of_an_absent_key_is_404(node, prefix):
    detail = assert_problem(node.get(key_path(prefix)), 404, "Not Found")
    assert detail


def test_delete_removes_and_a_second_delete_is_404(node, prefix):
    node.put(key_path(prefix), 1)
    response = node.delete(key_path(prefix))
    assert (response.status, response.body) == (204, b"")
    assert "content-length" not in response.headers
    assert_problem(node.get(key_path(prefix)), 404, "Not Found")
    assert_problem(node.get(key_path(prefix) + "?raw=1"), 404, "Not Found")
    assert_problem(node.delete(key_path(prefix)), 404, "Not Found")


def test_delete_of_an_absent_key_is_404(node, prefix):
    assert_problem(node.delete(key_path(prefix)), 404, "Not Found")


def test_put_after_delete_is_new_again_and_later_than_what_was_deleted(node, prefix):
    first = node.put(key_path(prefix), 1).json()
    node.delete(key_path(prefix))
    response = node.put(key_path(prefix), 2)
    assert response.status == 201
    assert response.json()["timestamp"] >= first["timestamp"] + 2  # the tombstone lies between


def test_each_of_many_quick_writes_to_one_key_is_later_than_the_one_before(node, prefix):
    with node.connect() as connection:
        times = [connection.request("PUT", key_path(prefix), n).json()["timestamp"] for n in range(200)]
    assert all(a < b for a, b in zip(times, times[1:]))
    assert node.get(key_path(prefix)).json()["data"] == 199


@pytest.mark.parametrize("query", ["", "?raw=1"])
def test_head_answers_as_get_without_the_body(node, prefix, query):
    node.put(key_path(prefix), {"a": "value"})
    get, head = node.get(key_path(prefix) + query), node.head(key_path(prefix) + query)
    assert head.status == 200
    for name in ("etag", "last-modified", "content-type", "content-length"):
        assert head.headers[name] == get.headers[name]
    assert int(head.headers["content-length"]) == len(get.body)


def test_head_leaves_nothing_on_the_connection(node, prefix):
    node.put(key_path(prefix), 7)
    with node.connect() as connection:
        for path, status in ((key_path(prefix), 200), (key_path(prefix + "-absent"), 404)):
            assert connection.request("HEAD", path).status == status
            assert connection.request("GET", key_path(prefix)).json()["data"] == 7


# ---- the value, byte for byte

@pytest.mark.parametrize("sent, stored", [
    (b"1.0", b"1.0"),
    (b"12345678901234567890", b"12345678901234567890"),
    (b"-0", b"-0"), (b"-0.0e-0", b"-0.0e-0"), (b"1E+2", b"1E+2"), (b"1e999", b"1e999"),
    (b"0.1000", b"0.1000"),
    (b"9" * 400, b"9" * 400),
    (b"null", b"null"), (b"true", b"true"), (b"false", b"false"),
    (b'""', b'""'), (b"[]", b"[]"), (b"{}", b"{}"),
    (rb'"\u00e4\/\"\\\b\f\n\r\t\u0000"', rb'"\u00e4\/\"\\\b\f\n\r\t\u0000"'),
    (rb'"\uD83D\uDE00 \ud83d\ude00"', rb'"\uD83D\uDE00 \ud83d\ude00"'),
    ('"ä€😀\u2028"'.encode(), '"ä€😀\u2028"'.encode()),
    (b'"  spaces \x7f stay  "', b'"  spaces \x7f stay  "'),
    (b' \t\r\n{ "b" : 1 ,\n"a" : [ 1 , 2.50 ] } \n', b'{"b":1,"a":[1,2.50]}'),
    (b'{"b":1,"a":2,"b":3}', b'{"b":1,"a":2,"b":3}'),
    (b'{"":{"":[[],{},""]}}', b'{"":{"":[[],{},""]}}'),
    (b'{"uuid":"x","timestamp":0,"data":1}', b'{"uuid":"x","timestamp":0,"data":1}'),
    (b"[" * 100 + b"]" * 100, b"[" * 100 + b"]" * 100),
])
def test_a_value_is_kept_byte_for_byte_apart_from_insignificant_space(node, prefix, sent, stored):
    version = node.put(key_path(prefix), sent)
    assert version.status == 201, version
    assert node.get(key_path(prefix) + "?raw=1").body == stored
    record = node.get(key_path(prefix)).body
    assert b'"data":' + stored + b"}" in record
    assert json.loads(record)["uuid"] == version.json()["uuid"]


@pytest.mark.parametrize("body", [
    b"", b" ", b"\n", b"{", b"}", b"[1,]", b"[1 2]", b'{"a":1,}', b'{"a"}', b'{"a":}', b"{a:1}", b"{'a':1}",
    b"01", b"+1", b".5", b"1.", b"1e", b"0x10", b"NaN", b"Infinity", b"-", b"nul", b"True", b"1 2", b"{} {}",
    b'"', b'"\\x"', b'"\\u12"', b'"\n"', b'"\x00"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff"', b'"\xc0\xaf"',
    b'"\xed\xa0\x80"', b"\xef\xbb\xbf1", b"// x\n1", b"[" * 100000, b"\x00",
])
def test_what_is_no_json_is_400_and_changes_nothing(node, prefix, body):
    node.put(key_path(prefix), "before")
    detail = assert_problem(node.put(key_path(prefix), body), 400, "Bad Request")
    if body.strip():
        assert "line" in detail and "column" in detail
    assert node.get(key_path(prefix)).json()["data"] == "before"


def test_bad_json_is_reported_with_its_line_and_column(node, prefix):
    detail = assert_problem(node.put(key_path(prefix), '{\n  "ä": tru\n}'.encode()), 400, "Bad Request")
    assert re.search(r"line 2\b", detail), detail
    column = int(re.search(r"column (\d+)", detail).group(1))
    assert 8 <= column <= 11, detail  # somewhere in the broken word, counted in characters


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=latin-1", "x", None])
def test_the_content_type_of_a_put_is_not_judged(node, prefix, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    assert node.request("PUT", key_path(prefix), b'"v"', headers).status == 201


def test_put_accepts_a_chunked_body(node, prefix):
    with node.connect() as connection:
        connection.send(f"PUT {key_path(prefix)} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                        + b'5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n')
        assert connection.read_response().status == 201
        assert connection.request("GET", key_path(prefix) + "?raw=1").body == b'{"a":1}'


# ---- limits

def test_a_value_of_exactly_max_json_size_fits_and_one_byte_more_is_413(make_node):
    node = make_node(max_json_size=1000)
    fits, too_long = b'"' + b"x" * 998 + b'"', b'"' + b"x" * 999 + b'"'
    assert node.put("/kv/a", fits).status == 201
    assert node.get("/kv/a?raw=1").body == fits
    assert_problem(node.put("/kv/a", too_long), 413, node.put("/kv/a", too_long).reason)
    assert node.get("/kv/a?raw=1").body == fits


def test_the_default_limit_of_a_value_is_one_mebibyte(node, prefix):
    fits = b'"' + b"x" * (1048576 - 2) + b'"'
    assert node.put(key_path(prefix), fits).status == 201
    assert node.get(key_path(prefix) + "?raw=1").body == fits
    response = node.put(key_path(prefix), b'"' + b"y" * (1048576 - 1) + b'"')
    assert response.status == 413
    assert node.get(key_path(prefix) + "?raw=1").body == fits


def test_a_declared_giant_is_refused_before_its_body_comes(node, prefix):
    response = node.raw(f"PUT {key_path(prefix)} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".encode())
    assert_problem(response, 413, response.reason)


def test_a_chunked_giant_is_refused_before_its_end(node, prefix):
    with node.connect() as connection:
        connection.send(f"PUT {key_path(prefix)} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(200):
                connection.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        except OSError:
            pass  # it closed while we were still sending: fine
        else:
            assert connection.read_response().status == 413
    assert node.get(key_path(prefix)).status == 404


def test_an_unknown_query_parameter_is_not_silently_ignored_where_it_would_change_the_meaning(node, prefix):
    response = node.put(key_path(prefix) + "?tll=1h", 1)
    assert_problem(response, 400, "Bad Request")
    assert node.get(key_path(prefix)).status == 404


# ---- conditions

def test_if_none_match_with_the_current_etag_is_304(node, prefix):
    version = node.put(key_path(prefix), 1).json()
    etag = f'"{version["uuid"]}"'
    for value in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        for method in ("GET", "HEAD"):
            response = node.request(method, key_path(prefix), None, {"If-None-Match": value})
            assert (response.status, response.body) == (304, b""), value
            assert response.headers["etag"] == etag
    assert node.get(key_path(prefix), If_None_Match=f'"{uuid.uuid4()}"').status == 200
    node.put(key_path(prefix), 2)
    assert node.get(key_path(prefix), If_None_Match=etag).status == 200


def test_if_match_lets_only_the_current_version_be_replaced(node, prefix):
    first = node.put(key_path(prefix), 1).json()["uuid"]
    response = node.put(key_path(prefix), 2, If_Match=f'"{first}"')
    assert response.status == 200
    assert_problem(node.put(key_path(prefix), 3, If_Match=f'"{first}"'), 412, "Precondition Failed")
    assert node.get(key_path(prefix)).json()["data"] == 2
    second = response.json()["uuid"]
    assert node.put(key_path(prefix), 4, If_Match=f'"{first}", "{second}"').status == 200


def test_if_match_star_needs_something_there(node, prefix):
    assert_problem(node.put(key_path(prefix), 1, If_Match="*"), 412, "Precondition Failed")
    assert node.get(key_path(prefix)).status == 404
    node.put(key_path(prefix), 1)
    assert node.put(key_path(prefix), 2, If_Match="*").status == 200


def test_if_none_match_star_needs_nothing_there(node, prefix):
    assert node.put(key_path(prefix), 1, If_None_Match="*").status == 201
    assert_problem(node.put(key_path(prefix), 2, If_None_Match="*"), 412, "Precondition Failed")
    assert node.get(key_path(prefix)).json()["data"] == 1
    node.delete(key_path(prefix))
    assert node.put(key_path(prefix), 3, If_None_Match="*").status == 201


def test_delete_obeys_conditions(node, prefix):
    first = node.put(key_path(prefix), 1).json()["uuid"]
    second = node.put(key_path(prefix), 2).json()["uuid"]
    assert_problem(node.delete(key_path(prefix), If_Match=f'"{first}"'), 412, "Precondition Failed")
    assert_problem(node.delete(key_path(prefix), If_None_Match="*"), 412, "Precondition Failed")
    assert node.get(key_path(prefix)).status == 200
    assert node.delete(key_path(prefix), If_Match=f'"{second}"').status == 204
    assert_problem(node.delete(key_path(prefix), If_Match="*"), 412, "Precondition Failed")


def test_a_weak_etag_never_matches_a_write(node, prefix):
    version = node.put(key_path(prefix), 1).json()["uuid"]
    assert node.put(key_path(prefix), 2, If_Match=f'W/"{version}"').status == 412
    assert node.get(key_path(prefix)).json()["data"] == 1


@pytest.mark.parametrize("value", ["x", '"unterminated', ", ,", '"a" "b"', "**"])
def test_a_malformed_condition_is_never_taken_as_none(node, prefix, value):
    node.put(key_path(prefix), 1)
    assert node.put(key_path(prefix), 2, If_Match=value).status in (400, 412)
    assert node.get(key_path(prefix)).json()["data"] == 1


def test_of_many_creators_at_once_exactly_one_wins(node, prefix):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(
            lambda n: (n, node.put(key_path(prefix), n, If_None_Match="*").status), range(48)))
    winners = [n for n, status in answers if status == 201]
    assert len(winners) == 1
    assert {status for n, status in answers if n != winners[0]} == {412}
    assert node.get(key_path(prefix)).json()["data"] == winners[0]


def test_counting_with_if_match_loses_no_step(node, prefix):
    node.put(key_path(prefix), 0)

    def count(_):
        with node.connect() as connection:
            while True:
                got = connection.request("GET", key_path(prefix))
                put = connection.request("PUT", key_path(prefix), got.json()["data"] + 1,
                                         {"If-Match": got.headers["etag"]})
                if put.status == 200:
                    return
                assert put.status == 412

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(64)))
    assert node.get(key_path(prefix)).json()["data"] == 64


# ---- modes and restarts

def test_a_read_only_node_serves_reads_and_refuses_writes(make_node):
    node = make_node()
    node.put("/kv/a", 1)
    node.put("/kv/a", 2)
    node.settings["read_only"] = True
    node.restart()
    assert node.get("/health").json()["mode"] == "read-only"
    assert node.get("/kv/a").json()["data"] == 2
    assert_problem(node.put("/kv/a", 3), 403, "Forbidden")
    assert_problem(node.put("/kv/b", 3), 403, "Forbidden")
    assert_problem(node.delete("/kv/a"), 403, "Forbidden")
    assert_problem(node.post("/api/data/a/history/2/restore"), 403, "Forbidden")
    assert node.get("/kv/a").json()["data"] == 2 and node.get("/kv/b").status == 404


@pytest.mark.parametrize("crash", [False, True], ids=["clean stop", "kill -9"])
def test_records_deletions_and_history_survive_a_restart(fresh_node, crash):
    node = fresh_node
    versions = {}
    with node.connect() as connection:
        for n in range(300):
            versions[n] = connection.request("PUT", f"/kv/k/{n}", {"n": n}).json()
        for n in range(0, 300, 3):
            versions[n] = connection.request("PUT", f"/kv/k/{n}", {"n": -n}).json()
        for n in range(0, 300, 5):
            assert connection.request("DELETE", f"/kv/k/{n}").status == 204
    if crash:
        node.kill()
        node.start()
    else:
        node.restart()
    with node.connect() as connection:
        for n in range(300):
            response = connection.request("GET", f"/kv/k/{n}")
            if n % 5 == 0:
                assert response.status == 404
            else:
                assert response.json() == {**versions[n], "data": {"n": -n if n % 3 == 0 else n}}
        history = connection.request("GET", "/api/data/k/3/history").json()
    assert [entry["data"] for entry in history] == [{"n": -3}, {"n": 3}]
