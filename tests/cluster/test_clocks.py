# SPDX-License-Identifier: Apache-2.0
"""Clocks that are wrong, by libfaketime: nodes say so, go on, and show the same in the end. A version from further ahead
than max_clock_skew_ms is kept aside until it is due, so what such a node writes is seen by the others only then."""
import json
import time

import pytest

import kvsnode
from kvscluster import wait_equal
from kvsnode import wait_until

MINUTE_MS, DAY_MS = 60_000, 86_400_000


@pytest.fixture(autouse=True)
def _can_preload():
    if kvsnode.is_sanitized():
        pytest.skip("a sanitizer's library must be loaded first: no faketime with this build")


def start_with_clocks(make_cluster, clocks, **settings):
    cluster = make_cluster(len(clocks), start=False, **settings)
    for node, clock in zip(cluster, clocks):
        node.clock = clock
        node.launch()
    for node in cluster:
        node.wait_healthy()
        wait_until(node.is_ready, "the node is ready")
    return cluster


def write_round(cluster, name):
    """Each node writes a key of its own, one that all write, and deletes what the one before has written."""
    for node in cluster:
        assert node.put(f"/kv/{name}/{node.index}", {"by": node.index}).status == 201
        assert node.put(f"/kv/{name}/all", {"by": node.index}).status in (200, 201)


def test_clocks_minutes_apart_within_what_is_allowed(make_cluster):
    cluster = start_with_clocks(make_cluster, (None, "+300s", "-300s"), max_clock_skew_ms=11 * MINUTE_MS)
    for number in range(20):
        write_round(cluster, f"r{number}")
    shown, _ = wait_equal(cluster)
    assert len(shown) == 80
    for node in reversed(cluster.nodes):  # the slowest clock deletes what the fastest has written
        wait_until(lambda n=node: n.get("/kv/r0/1").status == 200, "it is there")
    assert cluster[2].delete("/kv/r0/1").status == 204
    assert cluster[2].put("/kv/r1/1", "overwritten").status == 200
    shown, _ = wait_equal(cluster)
    assert "r0/1" not in shown and json.loads(shown["r1/1"])["data"] == "overwritten"
    cluster.assert_no_alarm()


def test_what_comes_from_too_far_ahead_is_seen_when_it_is_due(make_cluster):
    cluster = start_with_clocks(make_cluster, (None, "+8s", None), max_clock_skew_ms=3000)
    write_round(cluster, "early")
    shown, _ = wait_equal(cluster)
    assert json.loads(shown["early/all"])["data"] == {"by": 1} and "early/1" in shown
    wait_until(lambda: all(node.log_lines("max_clock_skew_ms", "clock differs") for node in cluster.nodes[:2]),
               "both sides say that a clock is wrong")
    cluster.assert_no_alarm()


@pytest.mark.parametrize("clock", ["+300s", "+86400s", "2099"])
def test_a_clock_far_ahead_stops_nobody(make_cluster, clock):
    if clock == "2099":
        clock = f"+{4102444800 - 31536000 - int(time.time())}s"  # to the first of January 2099
    cluster = start_with_clocks(make_cluster, (None, clock, None))
    write_round(cluster, "a")
    right = (cluster[0], cluster[2])
    for node in cluster:  # what the others write is seen by all
        for writer in right:
            wait_until(lambda n=node, w=writer: n.get(f"/kv/a/{w.index}").status == 200, "the write is seen")
    wait_equal(right)
    for node in cluster:
        wait_until(lambda n=node: n.log_lines("clock differs"), f"{node.folder.name} says that a clock is wrong")
    if "s" in clock and int(clock[1:-1]) > 86400:
        for node in right:
            wait_until(lambda n=node: n.log_lines("kept aside", "a/1"), "the version is reported")
            assert node.metric("kvs_quarantined_versions_total") >= 1
    assert cluster[0].delete("/kv/a/2").status == 204
    for node in cluster:
        wait_until(lambda n=node: n.get("/kv/a/2").status == 404, "the deletion is seen")
    assert cluster[1].get("/kv/a/1?raw=1").json() == {"by": 1}
    cluster.assert_no_alarm()


@pytest.mark.parametrize("clock", ["-300s", "-86400s"])
def test_a_clock_behind_costs_nothing(make_cluster, clock):
    """A write beats what its writer had seen, so even a clock that is a day late loses no write."""
    cluster = start_with_clocks(make_cluster, (None, clock, None), max_clock_skew_ms=2 * MINUTE_MS)
    assert cluster[1].put("/kv/late", 0).status == 201
    for number in range(1, 6):
        writer = cluster[0] if number % 2 else cluster[2]
        wait_until(lambda w=writer, n=number: w.get("/kv/late?raw=1").body == b"%d" % (n - 1),
                   "the last write is seen")
        assert writer.put("/kv/late", number).status == 200
    wait_equal((cluster[0], cluster[2]))
    assert cluster[0].get("/kv/late?raw=1").body == b"5"


def test_a_node_whose_clock_was_set_right_takes_part_again(make_cluster):
    cluster = start_with_clocks(make_cluster, (None, "+172800s", None))
    write_round(cluster, "wrong")
    wait_until(lambda: cluster[0].log_lines("kept aside"), "the version is reported")
    assert cluster[1].stop() == 0
    cluster[1].clock = None
    cluster[1].start()
    wait_until(cluster[1].is_ready, "it is ready")
    assert cluster[1].put("/kv/right", 1).status == 201
    for node in cluster:
        wait_until(lambda n=node: n.get("/kv/right").status == 200, "what it writes now is seen")
