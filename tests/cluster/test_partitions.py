# SPDX-License-Identifier: Apache-2.0
"""Cuts under load: whatever was cut, and however the parts wrote on, all nodes show the same within seconds of the
heal, no acknowledged write is lost and nothing deleted is back."""
import itertools
import random

import pytest

from kvscluster import SCALE, load, wait_equal, wait_written
from kvsnode import wait_until


def one_way(rng, count):
    source, target = rng.sample(range(count), 2)
    return {(source, target)}


def alone(rng, count):
    """One node is cut off, both ways."""
    node = rng.randrange(count)
    return {link for other in range(count) if other != node for link in ((node, other), (other, node))}


def deaf(rng, count):
    """One node hears nobody, but all hear it."""
    node = rng.randrange(count)
    return {(other, node) for other in range(count) if other != node}


def apart(rng, count):
    """Three parts, or as many as there are nodes."""
    part = [rng.randrange(3) for _ in range(count)]
    if len(set(part)) == 1:
        part = list(range(count))
    return {(a, b) for a, b in itertools.permutations(range(count), 2) if part[a] != part[b]}


def links(rng, count):
    """Any links at all."""
    return {link for link in itertools.permutations(range(count), 2) if rng.random() < 0.4}


def cut_one_by_one(rng, cluster, writers, kind):
    chosen = sorted(kind(rng, cluster.network.count))
    rng.shuffle(chosen)
    for link in chosen:
        cluster.network.cut(link)
        if rng.random() < 0.3:
            wait_written(writers, rng.randrange(1, 20))


def test_cuts_cut_and_heal(make_cluster):
    """The network does what the other tests count on."""
    cluster = make_cluster(2, replication_push=True)
    cluster.network.cut((0, 1))
    for number in range(20):
        assert cluster[0].put(f"/kv/cut/{number}", number).status == 201
    assert cluster[1].put("/kv/other", 1).status == 201
    wait_until(lambda: any(node.log_lines("member changed", '"suspect"') for node in cluster), "a failed probe")
    assert cluster[1].get("/kv/cut/19").status == 404
    cluster.network.heal()
    shown, _ = wait_equal(cluster)
    assert "cut/19" in shown and "other" in shown


@pytest.mark.parametrize("count", [3, 5])
def test_random_cuts_under_load_end_in_one_state(make_cluster, seed, count):
    rng = random.Random(f"{seed}/cuts/{count}")
    cluster = make_cluster(count)
    with load(cluster, seed) as writers:
        wait_written(writers, 20)
    for _ in range(3 * SCALE):
        with load(cluster, f"{seed}/{rng.random()}") as writers:
            cut_one_by_one(rng, cluster, writers, rng.choice((one_way, alone, deaf, apart, links)))
            wait_written(writers, rng.randrange(20, 300))
        cluster.network.heal()
        shown, _ = wait_equal(cluster)
        for writer in writers:
            writer.check(shown)
    cluster.assert_no_alarm()
