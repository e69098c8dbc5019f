# SPDX-License-Identifier: Apache-2.0
"""Is it everywhere yet? Prefer: nodes on writes, GET /versions/{uuid}, KVS-Staleness, on real nodes."""
import json
import re
import subprocess
import threading
import uuid

import pytest

import kvsnode

SECRET = "a secret of the receipts' tests"
FAST = {"cluster_secret": SECRET, "gossip_interval_min": 1, "gossip_interval_max": 1, "sync_interval": 3,
        "catchup_interval": 3, "probe_interval_ms": 200, "suspect_timeout_ms": 1000, "throttle_delay_ms": 0,
        "fetch_delay_ms": 0}
LONG = "wait=60s"  # far above what any of this takes: where it is over, the test fails


def ages(response):
    """{node: seconds, None for never} of KVS-Staleness."""
    header = response.headers.get("kvs-staleness", "")
    found = re.findall(r'"([^"]+)";(?:age=([0-9]+\.[0-9]{3})|never)', header)
    return {name: float(age) if age else None for name, age in found}


def staleness(node):
    return ages(node.get("/kv/", Prefer="staleness"))


def make_cluster(make_node, names, **settings):
    """Returns once each node has fully agreed with each other."""
    nodes = []
    for name in names:
        seeds = [f"127.0.0.1:{nodes[0].port}"] if nodes else []
        nodes.append(make_node(name, seed_nodes=seeds, **{**FAST, **settings}))
    for node in nodes:
        kvsnode.wait_until(lambda n=node: settled(n, len(nodes) - 1), f"{node.folder.name} agrees with its peers")
    return nodes


def settled(node, peers):
    seen = staleness(node)
    return len(seen) == peers and None not in seen.values() and node.get("/ready").status == 200


def put(node, key, value, prefer, **headers):
    return node.request("PUT", kvsnode.key_path(key), value, {"Prefer": prefer, **headers})


def holders(node, version, query=""):
    """{node: yes, no or unknown}"""
    response = node.get(f"/versions/{version}{query}")
    assert response.status == 200, response
    answer = response.json()
    has = {entry["id"]: entry["has"] for entry in answer["nodes"]}
    assert answer["have"] == list(has.values()).count("yes")
    assert answer["everywhere"] == (answer["have"] == len(has))
    return has


def metric(node, name):
    for line in node.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {name}")


@pytest.fixture
def three(make_node):
    return make_cluster(make_node, ["alpha", "beta", "gamma"])


def test_a_write_waits_for_nodes(three):
    alpha, beta, gamma = three
    written = put(alpha, "waits/put", {"n": 1}, f"nodes=3, {LONG}")
    assert written.status == 201
    assert written.headers["kvs-nodes"] == "3"
    assert written.headers["preference-applied"] == "nodes=3, wait=60s"
    # It was durable there before the answer: readable at once.
    for node in (beta, gamma):
        assert node.get("/kv/waits/put").json()["uuid"] == written.json()["uuid"]

    patched = alpha.request("PATCH", "/kv/waits/put", {"m": 2},
                            {"Prefer": f'{LONG}; x=1, nodes="3"', "Content-Type": "application/merge-patch+json"})
    assert (patched.status, patched.headers["kvs-nodes"]) == (200, "3")
    assert gamma.get("/kv/waits/put").json()["data"] == {"n": 1, "m": 2}

    batch = beta.request("POST", "/kv_batch", [{"op": "put", "path": f"waits/b{i}", "data": i} for i in range(50)]
                         + [{"op": "get", "path": "waits/b7"}], {"Prefer": f"nodes=3, {LONG}"})
    assert (batch.status, batch.headers["kvs-nodes"]) == (200, "3")
    assert alpha.get("/kv/waits/b49").json()["data"] == 49

    restored = alpha.request("POST", "/api/data/waits/put/history/2/restore", None, {"Prefer": f"nodes=2, {LONG}"})
    assert restored.status == 200 and int(restored.headers["kvs-nodes"]) >= 2

    deleted = gamma.request("DELETE", "/kv/waits/put", None, {"Prefer": f"nodes=3, {LONG}"})
    assert (deleted.status, deleted.headers["kvs-nodes"]) == (204, "3")
    assert alpha.get("/kv/waits/put").status == 404


def test_a_write_that_is_not_everywhere_in_time_is_a_write(three):
    alpha, _, gamma = three
    gamma.kill()

    def written_in_vain():
        key = f"late/{uuid.uuid4()}"
        written = put(alpha, key, 1, "nodes=3, wait=200ms")
        assert written.status == 201 and alpha.get(kvsnode.key_path(key)).status == 200
        assert written.headers["preference-applied"] == "wait=200ms"
        return written.headers["kvs-nodes"]
    kvsnode.wait_until(lambda: written_in_vain() == "2", "beta has a write within its time, gamma has none")
    assert put(alpha, "late/put", 1, "nodes=1").status == 201
    assert put(alpha, "late/put", 2, f"nodes=2, {LONG}").headers["kvs-nodes"] == "2"
    # More nodes than there are; the time as RFC 7240 writes it; none at all.
    assert put(alpha, "late/put", 3, "nodes=200, wait=1").headers["preference-applied"] == "wait=1s"
    assert put(alpha, "late/put", 4, "wait=0, nodes=200").headers["preference-applied"] == "wait=0s"


def test_a_wait_ends_when_the_node_comes_back(three):
    alpha, _, gamma = three
    gamma.kill()
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(put(alpha, "back/put", 1, "nodes=3, wait=60s")))
    waiting.start()
    kvsnode.wait_until(lambda: alpha.get("/kv/back/put").status == 200, "committed while the answer waits")
    assert waiting.is_alive()
    gamma.start()
    waiting.join(kvsnode.DEADLINE_S)
    assert answers and answers[0].headers["kvs-nodes"] == "3"
    assert gamma.get("/kv/back/put").status == 200


def test_a_wait_ends_when_the_node_stops(three):
    alpha = three[0]
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(put(alpha, "stop/put", 1, "nodes=9, wait=60s")))
    waiting.start()
    kvsnode.wait_until(lambda: alpha.get("/kv/stop/put").status == 200, "committed while the answer waits")
    assert alpha.stop() == 0
    waiting.join(kvsnode.DEADLINE_S)
    assert answers[0].status == 201 and answers[0].headers["kvs-nodes"] in ("1", "2", "3")


def test_a_client_that_goes_leaves_nothing_behind(three):
    alpha = three[0]
    before = metric(alpha, "kvs_http_connections")  # those of its peers, which may come and go
    for i in range(20):
        with kvsnode.Connection(alpha.port) as connection:
            connection.send(b"PUT /kv/gone/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                            b"Prefer: nodes=9, wait=60s\r\n\r\n1" % i)
            kvsnode.wait_until(lambda k=i: alpha.get(f"/kv/gone/{k}").status == 200, "committed")
    kvsnode.wait_until(lambda: metric(alpha, "kvs_http_connections") <= before + 5, "their connections are gone")
    assert put(alpha, "gone/after", 1, f"nodes=3, {LONG}").headers["kvs-nodes"] == "3"


@pytest.mark.parametrize("prefer", ["nodes=0", "nodes=x", "nodes=-1", "nodes=99999999999999999999", "nodes", "wait=2",
                                    "respond-async", ",,;", '"nodes=2"', 'x="nodes=2, nodes=3'])
def test_what_is_not_understood_is_ignored(shared_node, prefer):
    response = put(shared_node, f"odd/{uuid.uuid4()}", 1, prefer)
    assert response.status == 201
    assert "kvs-nodes" not in response.headers and "preference-applied" not in response.headers


def test_a_node_alone_does_not_wait(make_node):
    alone = make_node(clustering_enabled=False)
    response = put(alone, "alone", 1, "nodes=2, wait=60s")
    assert (response.status, response.headers["kvs-nodes"]) == (201, "1")
    assert response.headers["preference-applied"] == "wait=60s"
    assert holders(alone, response.json()["uuid"]) == {"node1": "yes"}
    assert "kvs-staleness" not in alone.get("/kv/alone", Prefer="staleness").headers


def test_a_write_that_failed_does_not_wait(three):
    response = put(three[0], "failed", 1, "nodes=9, wait=60s", **{"If-Match": f'"{uuid.uuid4()}"'})
    assert response.status == 412 and "kvs-nodes" not in response.headers


def test_versions(three):
    alpha, beta, gamma = three
    written = put(alpha, "versions/a", 1, f"nodes=3, {LONG}").json()
    everywhere = {"alpha": "yes", "beta": "yes", "gamma": "yes"}
    assert holders(alpha, written["uuid"]) == everywhere
    # Another node knows it of the third one by that one's own word, a little later.
    kvsnode.wait_until(lambda: holders(beta, written["uuid"]) == everywhere, "beta knows that all have it")
    answer = alpha.get(f"/versions/{written['uuid']}").json()
    assert answer["path"] == "versions/a" and answer["timestamp"] == written["timestamp"]

    gamma.kill()
    later = put(alpha, "versions/a", 2, f"nodes=2, {LONG}").json()
    assert holders(alpha, later["uuid"])["gamma"] != "yes"
    kvsnode.wait_until(lambda: holders(alpha, later["uuid"])["gamma"] == "unknown", "gamma is dead")
    # What it acknowledged before, it has; a replaced version is still known by its key.
    assert holders(alpha, written["uuid"], "?key=versions/a")["gamma"] == "yes"
    assert alpha.get(f"/versions/{written['uuid']}?key=other").status == 404
    gamma.start()
    kvsnode.wait_until(lambda: holders(alpha, later["uuid"]) == everywhere, "gamma has caught up")


def test_versions_that_are_none(shared_node):
    assert shared_node.get(f"/versions/{uuid.uuid4()}").status == 404
    assert shared_node.get("/versions/none").status == 400
    assert shared_node.get(f"/versions/{uuid.uuid4()}?key=a//b").status == 400
    assert shared_node.get("/versions/").status == 404


def test_staleness(three):
    alpha, _, gamma = three
    response = alpha.get("/kv/none", Prefer="staleness")
    assert response.status == 404 and set(ages(response)) == {"beta", "gamma"}
    assert response.headers["preference-applied"] == "staleness"
    assert "kvs-staleness" not in alpha.get("/kv/none").headers
    gamma.kill()
    before = staleness(alpha)["gamma"]
    kvsnode.wait_until(lambda: staleness(alpha)["gamma"] > before + 1.5 > staleness(alpha)["beta"],
                       "gamma's age grows while beta's does not")
    gamma.start()
    kvsnode.wait_until(lambda: staleness(alpha)["gamma"] < 1.5, "gamma is fresh again")


def test_staleness_under_load_stays_small(three):
    """Roots never agree while writes go on; that everything a peer had has come here is known all the same."""
    alpha, beta, _ = three
    stop = threading.Event()

    def write():
        with kvsnode.Connection(alpha.port) as connection:
            count = 0
            while not stop.is_set():
                count += 1
                connection.request("PUT", f"/kv/load/{count % 100}", count)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        first = staleness(beta)["alpha"]
        ups = [first]

        def renewed():
            ups.append(staleness(beta)["alpha"])
            return sum(b < a for a, b in zip(ups, ups[1:])) >= 3
        kvsnode.wait_until(renewed, "beta catches up with alpha again and again")
    finally:
        stop.set()
        writer.join()


# ---- A prefix's fingerprint

def tag(node, prefix, **headers):
    response = node.head(f"/kv/{prefix}", **headers)
    return response.headers.get("etag") if response.status == 200 else response.status


def test_a_prefix_has_a_fingerprint(three):
    alpha, beta, _ = three
    for key in ("app/a", "app/b/c", "apple", "other/x"):
        put(alpha, key, 1, f"nodes=3, {LONG}")
    before = tag(alpha, "app/")
    assert before.startswith('W/"')
    assert tag(beta, "app/") == before and tag(beta, "?prefix=app/&limit=1") == before
    assert len({tag(alpha, p) for p in ("app/", "?prefix=app", "other/", "")}) == 4
    assert tag(alpha, "app/", **{"If-None-Match": before}) == 304
    unchanged = alpha.request("GET", "/kv/app/", None, {"If-None-Match": before})
    assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, b"", before)

    put(alpha, "apple", 2, "nodes=1")  # not under app/
    put(alpha, "other/x", 2, "nodes=1")
    assert tag(alpha, "app/", **{"If-None-Match": before}) == 304
    put(alpha, "app/b/c", 1, f"nodes=3, {LONG}")  # the same value is another version
    after = tag(alpha, "app/", **{"If-None-Match": before})
    assert after.startswith('W/"') and after != before and tag(beta, "app/") == after
    alpha.request("DELETE", "/kv/app/a", None, {"Prefer": f"nodes=3, {LONG}"})
    assert tag(beta, "app/", **{"If-None-Match": f'{before}, {after}'}) not in (before, after, 304)


def test_a_node_alone_has_no_fingerprints(make_node):
    alone = make_node(clustering_enabled=False)
    alone.put("/kv/app/a", b"1")
    response = alone.request("GET", "/kv/app/", None, {"If-None-Match": "*"})
    assert response.status == 200 and "etag" not in response.headers


# ---- --nodes and --wait

def run_kvs(node, *args, stdin=""):
    return subprocess.run([kvsnode.binary(), *args], input=stdin, text=True, capture_output=True, timeout=300,
                          check=False, env={**kvsnode.clean_environment(node.home), "KVS_URL": node.url})


WRITES = [("put", ["put", "cli/key", "1"]), ("patch", ["patch", "cli/key", '{"a":1}']),
          ("restore", ["restore", "cli/key"]), ("batch", ["batch"]), ("delete", ["delete", "cli/key"])]
OPERATIONS = '{"op":"put","path":"cli/key","data":2}\n{"op":"get","path":"cli/key"}\n'


def test_commands_wait_for_nodes(three):
    alpha, beta, gamma = three
    newest = {}
    for name, args in WRITES:
        done = run_kvs(alpha, *args, "--nodes", "3", "--wait", "60s", stdin=OPERATIONS)
        assert (done.returncode, done.stderr) == (0, ""), name
        newest[name] = alpha.get("/api/data/cli/key/history").json()[0]
        for node in (beta, gamma):  # there before the command ended
            assert node.get("/api/data/cli/key/history").json()[0] == newest[name], name
    assert len({version["uuid"] for version in newest.values()}) == len(WRITES) and newest["delete"]["deleted"]
    shown = json.loads(run_kvs(alpha, "put", "cli/key", "1", "--json", "--nodes", "2", "--wait", "60s").stdout)
    assert shown["nodes"] >= 2
    assert "nodes" not in json.loads(run_kvs(alpha, "put", "cli/key", "1", "--json").stdout)


def test_commands_that_wait_in_vain(three):
    alpha, _, gamma = three
    gamma.kill()
    put(alpha, "cli/key", 0, "nodes=1")
    words = {"put": "stored", "patch": "patched", "restore": "restored", "batch": "stored", "delete": "deleted"}

    def reached_in_vain(name, args):
        """How many nodes a write that wants more has reached in its time: it is done all the same."""
        before = put(alpha, "cli/key", 0, "nodes=1").json()["uuid"]
        late = run_kvs(alpha, *args, "--nodes", "3", "--wait", "200ms", stdin=OPERATIONS)
        told = re.search(rf"{words[name]}, but so far ([0-9]) of 3 nodes have it", late.stderr)
        assert late.returncode == 9 and told, late
        assert alpha.get("/api/data/cli/key/history").json()[0]["uuid"] != before, f"{name} was done"
        return int(told[1])
    for name, args in WRITES:
        kvsnode.wait_until(lambda n=name, a=args: reached_in_vain(n, a) == 2, f"beta has what {name} wrote in its time")
    shown = json.loads(run_kvs(alpha, "put", "cli/key", "1", "--json", "--nodes", "3", "--wait", "0").stdout)
    assert shown["nodes"] in (1, 2) and shown["uuid"] == alpha.get("/kv/cli/key").json()["uuid"]
    # A batch that wrote nothing has nothing to wait for.
    read = run_kvs(alpha, "batch", "--nodes", "3", "--wait", "200ms", stdin='{"op":"get","path":"cli/key"}')
    assert (read.returncode, read.stderr) == (0, "")


def test_options_that_are_none(shared_node):
    for name, args in WRITES:
        for wrong in (["--wait", "2s"], ["--nodes", "0"], ["--nodes", "x"], ["--nodes", "258"],
                      ["--nodes", "2", "--wait", "soon"], ["--nodes", "2", "--wait", "-1s"]):
            assert run_kvs(shared_node, *args, *wrong, stdin=OPERATIONS).returncode == 2, (name, wrong)
    assert shared_node.get("/api/data/cli/key/history").status == 404
    assert run_kvs(shared_node, "delete", "-r", "cli", "--nodes", "1").returncode == 2
    assert run_kvs(shared_node, "restore", "-r", "cli", "--nodes", "1").returncode == 2
    assert run_kvs(shared_node, "restore", "x.zst", "--data-dir", "d", "--nodes", "1").returncode == 2
