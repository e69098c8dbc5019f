# SPDX-License-Identifier: Apache-2.0
"""Conflict receipts: what lost against a concurrent write stays in the history, marked, shows in the feed and the
metric, and is restored in one call."""
import json
import subprocess

import kvsnode
from test_receipts import FAST, metric

KEY = "/kv/test/conflict/data"
HISTORY = "/api/data/test/conflict/data/history"


def meet(make_node):
    """Two nodes that wrote one key at the same time while they did not know each other."""
    one, two = make_node("one", start=False, **FAST), make_node("two", start=False, **FAST)
    subprocess.run([kvsnode.binary(), "debug", "conflict", str(one.folder / "data"), str(two.folder / "data")],
                   check=True, stdout=subprocess.DEVNULL, timeout=300, env=kvsnode.clean_environment(one.home))
    one.start()
    two.settings["seed_nodes"] = [f"127.0.0.1:{one.port}"]
    two.start()
    for node in (one, two):
        kvsnode.wait_until(lambda n=node: len(history(n)) == 2, f"{node.folder.name} has both versions")
    return one, two


def history(node):
    response = node.get(HISTORY)
    return response.json() if response.status == 200 else []


def test_the_loser_of_a_conflict_is_not_gone(make_node):
    one, two = meet(make_node)
    for node in (one, two):
        winner, loser = history(node)
        assert winner["data"]["message"] == "from node1" and "conflict" not in winner
        assert loser["data"] == {"message": "from node2", "value": 200} and loser["conflict"] is True
        assert winner["timestamp"] == loser["timestamp"] and winner["uuid"] != loser["uuid"]
        assert node.get(KEY).json()["uuid"] == winner["uuid"]
    # It counts and shows where the two met.
    assert sum(metric(node, "kvs_conflicts_total") for node in (one, two)) >= 1
    feeds = [change for node in (one, two) for change in node.get("/changes?since=0&limit=1000").json()["changes"]]
    lost = [change for change in feeds if change.get("conflict")]
    assert lost and {change["uuid"] for change in lost} == {history(one)[1]["uuid"]}

    restored = two.request("POST", f"{HISTORY}/2/restore", None, {"Prefer": "nodes=2, wait=30s"})
    assert restored.status == 200 and restored.headers["kvs-nodes"] == "2"
    for node in (one, two):
        assert node.get(KEY).json()["data"] == {"message": "from node2", "value": 200}
        newest, second, third = history(node)
        assert newest["uuid"] == restored.json()["uuid"] and "conflict" not in newest
        assert [second["data"]["value"], third["data"]["value"]] == [100, 200]
    shown = subprocess.run([kvsnode.binary(), "history", "test/conflict/data", "--json", "--url", one.url], check=True,
                           capture_output=True, timeout=300, env=kvsnode.clean_environment(one.home)).stdout.decode()
    assert [json.loads(line).get("conflict_loser", False) for line in shown.splitlines()] == [False, False, True]
