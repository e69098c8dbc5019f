# SPDX-License-Identifier: Apache-2.0
"""A node that joins with throttling: while clients write, and stopped halfway."""
import threading

import kvsnode
from kvspeers import FAST, metric, mode, peer

DEFAULT = {**FAST, "throttle_delay_ms": None, "fetch_delay_ms": None}
COUNT = 10000


def fill(node, count=COUNT):
    for at in range(0, count, 1000):
        operations = [{"op": "put", "path": f"old/{number}", "data": "v" * 100} for number in range(at, at + 1000)]
        assert node.post("/kv_batch", operations).status == 200


def root(node):
    return peer(node, "GET", "/merkle_tree/root").json()["root"]["hash"]


def wait_equal(nodes):
    kvsnode.wait_until(lambda: len({root(node) for node in nodes}) == 1, "all nodes hold the same")


def records_of(node):
    return metric(node, 'kvs_writes_total{op="put"}')


class Writer(threading.Thread):
    """One client that writes one key after another until it is told to stop."""

    def __init__(self, node):
        super().__init__()
        self.node, self.written, self.failed, self.done = node, 0, None, threading.Event()

    def run(self):
        with self.node.connect() as connection:
            while not self.done.is_set():
                response = connection.request("PUT", f"/kv/new/{self.written}", self.written)
                if response.status != 201:
                    self.failed = response
                    return
                self.written += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


def test_what_is_written_while_a_node_joins_arrives_too(make_node):
    seed = make_node("seed", **FAST)
    fill(seed)
    with Writer(seed) as writer:
        joining = make_node("joining", seed_nodes=[f"127.0.0.1:{seed.port}"], **DEFAULT)
        kvsnode.wait_until(lambda: mode(joining) == "normal" and writer.written > 100, "it opens")
    assert writer.failed is None
    wait_equal([seed, joining])
    for number in (0, writer.written // 2, writer.written - 1):
        assert joining.get(f"/kv/new/{number}").json()["data"] == number
    assert joining.get(f"/kv/old/{COUNT - 1}").status == 200
    # It is a member like any other then.
    assert seed.put("/kv/last", 1).status == 201
    kvsnode.wait_until(lambda: joining.get("/kv/last").status == 200, "a write arrives")


def test_a_throttled_bootstrap_goes_on_with_other_settings(make_node):
    seed = make_node("seed", **FAST)
    fill(seed)
    joining = make_node("joining", seed_nodes=[f"127.0.0.1:{seed.port}"], **{**FAST, "fetch_delay_ms": 60000})
    kvsnode.wait_until(lambda: records_of(joining), "the first page is there")
    assert mode(joining) == "syncing" and records_of(joining) < COUNT, "a page is small, and the next one waits"
    assert joining.stop() == 0
    joining.settings["fetch_delay_ms"] = 0
    joining.start()
    kvsnode.wait_until(lambda: mode(joining) == "normal", "it opens")
    wait_equal([seed, joining])
