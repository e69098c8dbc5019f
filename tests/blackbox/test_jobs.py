# SPDX-License-Identifier: Apache-2.0
"""Deleting a prefix on a real node: what goes, what stays, kills in the middle, clients meanwhile."""
import json
import threading

from kvsnode import key_path, wait_until
from test_data_api import assert_problem


def fill(node, prefix, count):
    with node.connect() as connection:
        for first in range(0, count, 1000):
            entries = [{"op": "put", "path": f"{prefix}/{n:06}", "data": n} for n in range(first, min(first + 1000, count))]
            body = json.dumps(entries).encode()
            assert connection.request("POST", "/kv_batch", body).status == 200


def count(node, prefix):
    return node.delete(f"/kv/{prefix}/?recursive=1&dry_run=1").json()["records"]


def start(node, prefix):
    answer = node.delete(f"/kv/{prefix}/?recursive=1")
    assert answer.status == 202 and answer.headers["location"] == "/jobs/" + answer.json()["id"]
    return answer.headers["location"]


def wait_done(node, job):
    wait_until(lambda: node.get(job).json()["state"] == "done", "the job is done")
    return node.get(job).json()


def test_whole_segments_go_and_nothing_else(node, prefix):
    fill(node, f"{prefix}/test", 300)
    others = [f"{prefix}/test", f"{prefix}/test2", f"{prefix}/test2/a", f"{prefix}/tes"]
    for key in others:
        node.put(key_path(key), 1)
    assert count(node, f"{prefix}/test") == 300
    job = wait_done(node, start(node, f"{prefix}/test"))
    assert job["deleted"] == 300 and job["prefix"] == f"{prefix}/test/" and job["finished_at"] >= job["created_at"]
    assert count(node, f"{prefix}/test") == 0
    assert [node.get(key_path(key)).status for key in others] == [200] * 4
    history = node.get(f"/api/data/{prefix}/test/000000/history").json()
    assert [h.get("deleted", False) for h in history] == [True, False]


def test_it_must_be_asked_for(node, prefix):
    fill(node, prefix, 3)
    for query in ("", "?recursive=0", "?dry_run=1", "?recursive=1&force=1"):
        assert_problem(node.delete(f"/kv/{prefix}/{query}"), 400, "Bad Request")
    assert_problem(node.delete("/kv/?recursive=1"), 400, "Bad Request")
    assert count(node, prefix) == 3


def test_a_job_survives_kills_in_its_middle(make_node):
    node = make_node()
    fill(node, "a", 20000)
    fill(node, "b", 100)
    job = start(node, "a")
    for _ in range(4):
        before = node.get(job).json()["deleted"]
        wait_until(lambda: node.get(job).json()["deleted"] > before or node.get(job).json()["state"] == "done", "progress")
        node.kill()
        node.start()
    wait_done(node, job)
    assert (count(node, "a"), count(node, "b")) == (0, 100)
    deleted = sum(c["deleted"] for c in _changes(node))
    assert deleted == 20000


def _changes(node):
    since, more = 0, True
    while more:
        page = node.get(f"/changes?since={since}&limit=1000").json()
        yield from page["changes"]
        since, more = page["last_seq"], page["more"]


def test_what_is_written_after_the_answer_stays(make_node):
    node = make_node()
    fill(node, "a", 5000)
    job = start(node, "a")
    for n in (0, 2500, 4999):
        assert node.put(f"/kv/a/{n:06}", "new").status in (200, 201)
    node.put("/kv/a/zzz", "new")
    wait_done(node, job)
    assert count(node, "a") == 4
    assert node.get("/kv/a/004999").json()["data"] == "new"


def test_clients_go_on_meanwhile_and_a_job_can_be_cancelled(make_node):
    node = make_node()
    fill(node, "a", 30000)
    job = start(node, "a")
    stop = threading.Event()
    done = []

    def write():
        with node.connect() as connection:
            while not stop.is_set():
                assert connection.request("PUT", "/kv/client", len(done)).status in (200, 201)
                done.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    wait_until(lambda: len(done) > 20, "clients have their turn")
    cancelled = node.delete(job)
    stop.set()
    thread.join()
    if cancelled.status == 200:
        assert cancelled.json()["state"] == "cancelled"
        assert node.get(job).json()["state"] == "cancelled"
        node.restart()
        assert node.get(job).json()["state"] == "cancelled"
        assert node.delete(job).status == 204
    assert node.get(job).status == 404
    assert [j["id"] for j in node.get("/jobs").json()["jobs"]] == []


def test_a_read_only_node_starts_none(make_node):
    node = make_node(read_only=True)
    assert_problem(node.delete("/kv/a/?recursive=1"), 403, "Forbidden")
    assert node.get("/jobs").json() == {"jobs": []}
