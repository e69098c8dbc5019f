# SPDX-License-Identifier: Apache-2.0
"""What happens to single nodes: killed, frozen, slow, wiped, put back on an old disk, moved, copied, stopped, started
while nobody they were told of is there, given the wrong secret. The others go on, and all end with the same data."""
import json
import random
import shutil
import time

import kvsnode
import kvspeers
from kvscluster import SCALE, load, wait_equal, wait_written
from kvsnode import key_path, wait_until


def member_lines(node, name, state):
    return node.log_lines("member changed", f'"member":"{name}"', f'"state":"{state}"')


def put_many(node, prefix, count, value="v"):
    with node.connect() as connection:
        for number in range(count):
            response = connection.request("PUT", f"/kv/{prefix}/{number}", {"value": value, "number": number})
            assert response.status in (200, 201), response


def delete_many(node, prefix, numbers):
    with node.connect() as connection:
        for number in numbers:
            response = connection.request("DELETE", f"/kv/{prefix}/{number}")
            assert response.status == 204, response


def test_kill_9_in_the_middle_of_replication(make_cluster, seed):
    rng = random.Random(f"{seed}/kill")
    cluster = make_cluster(3)
    everyone = []
    for _ in range(3 * SCALE):
        with load(cluster, seed) as writers:
            everyone += writers
            wait_written(writers, rng.randrange(10, 100))
            victims = rng.sample(cluster.nodes, rng.choice((1, 1, 2)))
            for victim in victims:
                victim.kill()
            alive = [writer for writer in writers if writer.node not in victims]
            wait_written(alive, rng.randrange(10, 100))
            for victim in victims:
                victim.start()
            wait_written(writers, 20)
        shown, _ = wait_equal(cluster)
        for writer in everyone:
            writer.check(shown)
    cluster.assert_no_alarm()


def given_up(others, victim):
    """How often the others had enough of a node that does not answer: of a request to it, or of itself."""
    return sum(node.metric("kvs_peer_request_errors_total") + len(member_lines(node, victim.folder.name, "dead"))
               for node in others)


def freeze_and_write(cluster, writers):
    """Freezes the last node; clients of the others have writes acknowledged all the same, begun and ended while it stands
    still. A client that waited for it would be answered when a node has had enough of it, so its writes must come before
    that. A machine so slow that it comes first has shown nothing, and shows it the next time."""
    *others, victim = cluster.nodes
    end = time.monotonic() + kvsnode.DEADLINE_S
    while True:
        before = given_up(others, victim)
        victim.freeze()
        wait_written(writers, 5)
        if given_up(others, victim) == before:
            return
        victim.thaw()
        assert time.monotonic() < end, "clients are answered only when the frozen node is given up"
        for node in others:
            wait_until(lambda n=node: kvspeers.state(n, victim.folder.name) == "alive", "it is seen alive again")


def test_clients_never_wait_for_a_frozen_peer(make_cluster, seed):
    cluster = make_cluster(3)
    with load(cluster, seed) as writers:
        wait_written(writers, 50)
        others = writers[:2]
        freeze_and_write(cluster, others)
        wait_until(lambda: member_lines(cluster[0], "n-2", "dead") and member_lines(cluster[1], "n-2", "dead"),
                   "the frozen node is seen dead")
        wait_written(others, 200)
        cluster[2].thaw()
        wait_written(writers, 50)
    shown, _ = wait_equal(cluster)
    for writer in writers:
        writer.check(shown)
    cluster.assert_no_alarm()


def test_a_slow_peer_slows_nobody(make_cluster, seed):
    """It gets a moment now and then only, as on a machine that is far too busy."""
    cluster = make_cluster(3)
    with load(cluster.nodes[:2], seed) as writers:
        for _ in range(30):
            freeze_and_write(cluster, writers)
            cluster[2].thaw()
            cluster[2].get("/health")
    shown, _ = wait_equal(cluster)
    for writer in writers:
        writer.check(shown)
    cluster.assert_no_alarm()


def test_a_wiped_disk_comes_back_under_its_old_name(make_cluster):
    cluster = make_cluster(3)
    put_many(cluster[0], "a", 300)
    put_many(cluster[2], "c", 300)
    delete_many(cluster[1], "a", range(0, 300, 3))
    before, _ = wait_equal(cluster)
    assert cluster[2].stop() == 0
    shutil.rmtree(cluster[2].folder / "data")
    delete_many(cluster[0], "c", range(0, 300, 3))
    cluster[2].start()
    cluster.wait_formed()
    shown, _ = wait_equal(cluster)
    for number in range(300):
        assert (f"c/{number}" in shown) == (number % 3 != 0)
        assert (f"a/{number}" in shown) == (number % 3 != 0)
    assert set(before) - set(shown) == {f"c/{number}" for number in range(0, 300, 3)}
    cluster.assert_no_alarm()


def test_a_restored_old_directory_resurrects_nothing(make_cluster):
    cluster = make_cluster(3)
    put_many(cluster[0], "stays", 50)
    put_many(cluster[2], "own", 200, "old")
    put_many(cluster[0], "others", 200, "old")
    wait_equal(cluster)
    assert cluster[2].stop() == 0
    shutil.copytree(cluster[2].folder / "data", cluster[2].folder / "saved")
    cluster[2].start()
    cluster.wait_formed()
    put_many(cluster[2], "own", 100, "new")
    delete_many(cluster[2], "own", range(100, 200))
    delete_many(cluster[0], "others", range(100))
    put_many(cluster[2], "late", 100)
    wait_equal(cluster)
    assert cluster[2].stop() == 0
    shutil.rmtree(cluster[2].folder / "data")
    (cluster[2].folder / "saved").rename(cluster[2].folder / "data")
    cluster[2].start()
    cluster.wait_formed()
    put_many(cluster[2], "afterwards", 100)
    shown, _ = wait_equal(cluster)
    for number in range(100):
        assert json.loads(shown[f"own/{number}"])["data"]["value"] == "new"
        assert f"own/{number + 100}" not in shown
        assert f"others/{number}" not in shown
        assert f"late/{number}" in shown
        assert f"afterwards/{number}" in shown
    cluster.assert_no_alarm()


def test_a_node_that_moved_is_found_again(make_cluster):
    cluster = make_cluster(3)
    put_many(cluster[2], "a", 20)
    wait_equal(cluster)
    assert cluster[2].stop() == 0
    put_many(cluster[0], "meanwhile", 20)
    cluster[2].settings["port"] = kvsnode.free_port()
    cluster[2].settings |= cluster.network.settings(2, cluster[2].port)
    cluster[2].start()
    cluster.wait_formed()
    put_many(cluster[0], "afterwards", 20)
    shown, _ = wait_equal(cluster)
    assert "afterwards/19" in shown and "meanwhile/19" in shown
    cluster.assert_no_alarm()


def test_a_copied_directory_is_refused(make_cluster, make_node):
    cluster = make_cluster(2)
    put_many(cluster[1], "a", 20)
    wait_equal(cluster)
    assert cluster[1].stop() == 0
    shutil.copytree(cluster[1].folder / "data", cluster[1].folder / "copy")
    cluster[1].start()
    cluster.wait_formed()
    copy = type(cluster[1])(cluster, 1, cluster.folder / "copy-of-n-1",
                            **{**cluster[1].settings, "port": kvsnode.free_port(),
                               "data_dir": str(cluster[1].folder / "copy"), "seed_nodes": [cluster[0].address]})
    copy.settings |= cluster.network.settings(1, copy.port)
    cluster.nodes.append(copy)
    copy.launch()
    code = wait_until(lambda: copy.process.poll() is not None and copy.process.returncode + 1000,
                      "the copy ends") - 1000
    assert code != 0
    assert copy.log_lines("identity"), copy.log_tail()
    cluster.nodes.pop()
    cluster.wait_formed()
    wait_equal(cluster)


def test_a_clean_stop_is_told_to_the_peers(make_cluster):
    """They need not find out: with so patient a failure detector they would not do so within the test."""
    cluster = make_cluster(3, suspect_timeout_ms=600_000, probe_interval_ms=60_000)
    assert cluster[2].stop() == 0
    for node in cluster.nodes[:2]:
        wait_until(lambda n=node: member_lines(n, "n-2", "dead"), "the others see it at once")
    cluster[2].start()
    cluster.wait_formed()


def test_a_restart_without_seeds_finds_the_peers(make_cluster):
    cluster = make_cluster(4)
    put_many(cluster[3], "a", 20)
    wait_equal(cluster)
    # The third is told of the first only, which is gone; it remembers the others.
    cluster[3].settings["seed_nodes"] = [cluster[0].address]
    assert cluster[3].stop() == 0
    assert cluster[0].stop() == 0
    put_many(cluster[1], "b", 20)
    cluster[3].start()
    cluster.wait_formed(*cluster.nodes[1:])
    shown, _ = wait_equal(cluster.nodes[1:])
    assert "b/19" in shown
    cluster[0].start()
    cluster.wait_formed()
    wait_equal(cluster)


def test_all_nodes_stopped_and_started_find_each_other(make_cluster, seed):
    cluster = make_cluster(3)
    with load(cluster, seed) as writers:
        wait_written(writers, 100)
        for node in cluster:
            node.kill()
    for node in cluster:
        node.launch()
    cluster.wait_formed()
    shown, _ = wait_equal(cluster)
    for writer in writers:
        writer.check(shown)
    cluster.assert_no_alarm()


def test_a_wrong_secret_keeps_a_node_out(make_cluster):
    cluster = make_cluster(3, start=False)
    cluster[2].settings["cluster_secret"] = "another secret altogether"
    for node in cluster:
        node.launch()
    cluster.wait_formed(*cluster.nodes[:2])
    cluster[2].wait_healthy()
    put_many(cluster[0], "a", 20)
    wait_equal(cluster.nodes[:2])
    wait_until(lambda: cluster[2].log_lines("secret"), "a line about the secret on the stranger")
    wait_until(lambda: cluster[0].log_lines("secret") and cluster[1].log_lines("secret"),
               "a line about the secret on the members")
    assert cluster[2].dump() == {}
    assert not member_lines(cluster[0], "n-2", "alive") and not member_lines(cluster[1], "n-2", "alive")
    # Set right, it joins.
    cluster[2].settings["cluster_secret"] = cluster[0].settings["cluster_secret"]
    cluster[2].restart()
    cluster.wait_formed()
    shown, _ = wait_equal(cluster)
    assert "a/19" in shown
