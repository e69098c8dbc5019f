# SPDX-License-Identifier: Apache-2.0
"""Refusals that say what to do: a node_id whose holder lives, and whose name a replaced disk takes over."""
import shutil

import kvsnode
from kvspeers import FAST, make_cluster, member_count, members, mode, wait_member_count, wait_state


def start_namesake(make_node, name, seed):
    """A new node with somebody else's node_id, launched; whether it stays is the test's question."""
    node = make_node(f"other-{name}", start=False, node_id=name, port=kvsnode.free_port(),
                     seed_nodes=[f"127.0.0.1:{seed.port}"], **FAST)
    node.launch()
    return node


def refused(node):
    code = node.process.wait(timeout=kvsnode.DEADLINE_S)
    assert code == 1, node.log_tail()
    assert "another living node of the cluster has this node's node_id" in node.log_text()
    return True


def test_a_name_whose_holder_lives_is_refused(make_node):
    nodes = make_cluster(make_node, ["n1", "n2"], suspect_timeout_ms=600000)
    holder = members(nodes[0])["n2"]["uuid"]
    assert refused(start_namesake(make_node, "n2", seed=nodes[0]))
    kvsnode.wait_until(lambda: "it comes with the node_id of a living one" in nodes[0].log_text(), "logged")
    for node in nodes:
        assert node.process.poll() is None
        wait_member_count(node, 2)
        assert members(node)["n2"]["uuid"] == holder


def test_the_holder_itself_refuses(make_node):
    alone = make_node("n1", **FAST)
    alone.put("/kv/a", 1)
    assert refused(start_namesake(make_node, "n1", seed=alone))
    assert alone.process.poll() is None and member_count(alone) == 1


def test_a_replaced_disk_takes_its_name_over_from_the_dead_node(make_node):
    nodes = make_cluster(make_node, ["n1", "n2", "n3"])
    before = members(nodes[0])["n3"]["uuid"]
    nodes[0].put("/kv/a", 1)
    nodes[2].kill()
    shutil.rmtree(nodes[2].folder / "data")
    nodes[2].start()  # at once: for a while the others still hold the old one for alive

    def is_back():
        there = members(nodes[0]).get("n3")
        listed = [m for m in nodes[0].get("/members/").json() if m["id"] == "n3" and m["state"] == "alive"]
        return there and len(listed) == 1 and listed[0]["uuid"] != before
    kvsnode.wait_until(is_back, "the new one under the old name")
    kvsnode.wait_until(lambda: mode(nodes[2]) == "normal" and nodes[2].get("/kv/a").status == 200, "has the data")
    nodes[2].put("/kv/b", 2)
    kvsnode.wait_until(lambda: nodes[1].get("/kv/b").status == 200, "replicates")
    old = [m for m in nodes[0].get("/members/?all=1").json() if m["uuid"] == before]
    assert old and old[0]["state"] in ("dead", "left"), old
    wait_state(nodes[1], "n2", "alive")
