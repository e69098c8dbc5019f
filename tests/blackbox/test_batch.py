# SPDX-License-Identifier: Apache-2.0
"""POST /kv_batch against a real node: results, one commit over a kill, limits, races."""
import concurrent.futures
import json
import re

from kvsnode import key_path, wait_until
from test_data_api import assert_problem


def batch(node, entries):
    answer = node.post("/kv_batch", json.dumps(entries).encode())
    assert answer.status == 200, answer
    return answer.json()


def put(path, data, **more):
    return {"op": "put", "path": path, "data": data, **more}


def test_conditions_are_not_passed_over(node, prefix):
    """A batch and a prefix judge none: who sends one must not believe that it held."""
    node.put(key_path(f"{prefix}/there"), 1)
    entries = json.dumps([put(f"{prefix}/there", 2)]).encode()
    for headers in ({"If-Match": "*"}, {"If-None-Match": "*"}, {"If-Unmodified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}):
        for answer in (node.request("POST", "/kv_batch", entries, headers),
                       node.request("DELETE", f"/kv/{prefix}/?recursive=1", None, headers),
                       node.request("POST", "/api/backup", None, headers)):
            assert_problem(answer, 400, "Bad Request")
            assert next(iter(headers)) in answer.json()["detail"]
    assert node.get(key_path(f"{prefix}/there")).json()["data"] == 1
    dated = {"If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}  # not for such methods: RFC 9110 section 13.1.3
    assert node.request("POST", "/kv_batch", entries, dated).status == 200


def test_results_stand_in_their_places(node, prefix):
    first = node.put(key_path(f"{prefix}/old"), 1).json()
    results = batch(node, [
        put(f"{prefix}/new", {"a": 1}), put(f"{prefix}/old", 2, if_match=first["uuid"]),
        put(f"{prefix}/old", 3, if_match=first["uuid"]), {"op": "get", "path": f"{prefix}/old"},
        {"op": "delete", "path": f"{prefix}/none"}, {"op": "nope", "path": "x"}, put(f"{prefix}//x", 1)])
    assert [r["status"] for r in results] == [201, 200, 412, 200, 404, 400, 400]
    assert results[3]["data"] == 2 and results[3]["uuid"] == results[1]["uuid"]
    assert results[5]["title"] == "Bad Request" and "op must be" in results[5]["detail"]
    assert node.get(key_path(f"{prefix}/new")).json()["uuid"] == results[0]["uuid"]


def test_values_are_kept_byte_for_byte(node, prefix):
    body = b'[ {"op": "put", "path": "%s", "data": {"b": 1.0, "a": "\\u00e9", "b": 12345678901234567890} } ]' % prefix.encode()
    assert node.post("/kv_batch", body).json()[0]["status"] == 201
    assert node.get(key_path(prefix) + "?raw=1").body == b'{"b":1.0,"a":"\\u00e9","b":12345678901234567890}'


def test_a_malformed_batch_does_nothing(node, prefix):
    good = json.dumps(put(prefix, 1))
    for body in (b"", b"[", b"{}", f"[{good}, {{\"op\":\"get\",\"op\":\"get\"}}]".encode(),
                 json.dumps([put(prefix, n) for n in range(1001)]).encode()):
        assert_problem(node.post("/kv_batch", body), 400, "Bad Request")
    assert node.get(key_path(prefix)).status == 404


def test_limits_of_values_and_bodies(make_node):
    node = make_node(max_json_size=100000)
    results = batch(node, [put("a", "x" * 99998), put("b", "x" * 99999)])
    assert [r["status"] for r in results] == [201, 413]
    entries = [put(f"k/{n}", "x" * 90000) for n in range(180)]
    assert all(r["status"] == 201 for r in batch(node, entries))  # 16 MB
    head = f"POST /kv_batch HTTP/1.1\r\nHost: x\r\nContent-Length: {16 * 1024 * 1024 + 1}\r\n\r\n"
    assert_problem(node.raw(head.encode()), 413, "Content Too Large")
    results = batch(node, [{"op": "get", "path": f"k/{n % 180}"} for n in range(1000)])
    statuses = [r["status"] for r in results]
    assert 180 <= statuses.count(200) < 200 and statuses.count(413) == 1000 - statuses.count(200)
    assert node.get("/kv/k/0").status == 200


def test_a_read_only_node_takes_gets_alone(make_node):
    node = make_node()
    node.put("/kv/a", 1)
    node.stop()
    node.settings["read_only"] = True
    node.start()
    assert_problem(node.post("/kv_batch", json.dumps([put("b", 1), {"op": "get", "path": "a"}]).encode()), 403, "Forbidden")
    assert batch(node, [{"op": "get", "path": "a"}])[0]["data"] == 1


def test_a_batch_is_there_as_a_whole_or_not_at_all(make_node):
    """Killed again and again under load: no batch is there in part, and none that was answered is missing."""
    node = make_node()
    answered = 0
    for round_ in range(5):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            def write(first=answered):
                done = first
                try:
                    with node.connect() as connection:
                        while True:
                            entries = [put(f"b/{n}", done) for n in range(50)]
                            body = json.dumps(entries).encode()
                            if connection.request("POST", "/kv_batch", body).status != 200:
                                return done
                            done += 1
                except (EOFError, OSError):
                    return done
            future = pool.submit(write)
            floor = answered
            wait_until(lambda: node.get("/kv/b/49").json().get("data", 0) >= floor + 3, "some batches are written")
            node.kill()
            answered = future.result()
        node.start()
        values = {r["data"] for r in batch(node, [{"op": "get", "path": f"b/{n}"} for n in range(50)])}
        assert len(values) == 1 and values.pop() >= answered - 1
        answered += 1


def test_a_batch_is_one_commit(node, prefix):
    def commits():
        return float(re.search(r"^kvs_commits_total (\S+)$", node.get("/metrics").body.decode(), re.M).group(1))
    before = commits()
    assert len(batch(node, [put(f"{prefix}/{n}", n) for n in range(1000)])) == 1000
    assert commits() == before + 1
    changes = node.get(f"/changes?since=0&prefix={prefix}/&limit=1000").json()["changes"]
    assert [c["path"] for c in changes] == [f"{prefix}/{n}" for n in range(1000)]
