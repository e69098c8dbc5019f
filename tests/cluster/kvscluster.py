# SPDX-License-Identifier: Apache-2.0
"""Clusters of real processes for the tests: N nodes on a network that can be cut, load whose acknowledged effects are
known, and the comparison of everything that nodes hold.

KVS_CLUSTER_ROUNDS scales the random tests (1: as in make test), KVS_CLUSTER_SEED repeats a run's choices."""
import contextlib
import itertools
import json
import os
import random
import re
import signal
import threading
import time
import warnings

import pytest

import kvsfixtures
import kvsnet
import kvsnode
from kvsnode import key_path, wait_until

SCALE = int(os.environ.get("KVS_CLUSTER_ROUNDS", "1"))
# Within which nodes must be equal once they can reach each other: 30 s in make soak, which has the machine for itself.
HEAL_S = 30 if SCALE > 1 else kvsnode.DEADLINE_S
# Everything that takes minutes by default happens in seconds.
QUICK = {"cluster_secret": "the secret of a cluster under test", "gossip_interval_min": 1, "gossip_interval_max": 2,
         "sync_interval": 2, "catchup_interval": 1, "probe_interval_ms": 200, "suspect_timeout_ms": 1000,
         "backup_enabled": False, "rate_limiting_enabled": False}


class ClusterNode(kvsnode.Node):
    def __init__(self, cluster, index, folder, **settings):
        super().__init__(folder, **{**QUICK, **settings})
        self.cluster, self.index = cluster, index
        self.clock = None  # what faketime makes of the time, as "+5m"
        self.frozen = False

    def environment(self):
        environment = super().environment()
        if self.clock:
            environment |= {"LD_PRELOAD": faketime_library(), "FAKETIME": self.clock,
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        return environment

    def launch(self):
        with self.cluster.network.inside(self.index):
            super().launch()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def kill(self):
        super().kill()
        self.frozen = False

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    @property
    def address(self):
        return self.cluster.network.address(self.index, self.port)

    def is_ready(self):
        with contextlib.suppress(OSError, EOFError):
            return self.get("/ready").status == 200
        return False

    # ---- what it holds

    def pages(self):
        """The bytes of everything that is shown of all keys."""
        found, cursor = [], None
        with self.connect() as connection:
            while True:
                more = f"&cursor={cursor.decode()}" if cursor else ""
                response = connection.request("GET", f"/kv/?values=1&limit=1000{more}")
                assert response.status == 200, response
                keys, _, rest = response.body.rpartition(b',"next":')
                found.append(keys + b"}")
                cursor = rest[1:-2] if rest != b"null}" else None
                if not cursor:
                    return found

    def dump(self):
        """{key: what is shown of it}"""
        return parse_pages(self.pages())

    def root(self):
        """The fingerprint over all users' keys, deletions included; None before there is such a route."""
        response = self.get("/merkle_tree/root", **{"X_Cluster_Secret": self.settings["cluster_secret"],
                                                    "X_Node_ID": "the-test"})
        return response.json() if response.status == 200 else None

    def metric(self, name, labels=""):
        match = re.search(rf"^{re.escape(name + labels)} (\S+)$", self.get("/metrics").body.decode(), re.M)
        assert match, f"no metric {name}{labels}"
        return float(match.group(1))

    def log_lines(self, *words):
        return [line for line in self.log_text().splitlines() if all(word in line for word in words)]


class Cluster:
    """Nodes n-0 … n-(N-1); each is a seed of all others."""

    def __init__(self, folder, count, network, **settings):
        self.network, self.folder, self.seed_settings = network, folder, settings
        self.nodes = []
        ports = [settings.pop("port", None) or kvsnode.free_port() for _ in range(count)]
        seeds = [network.address(index, ports[index]) for index in range(count)]
        for index in range(count):
            own = {"port": ports[index], "seed_nodes": [s for s in seeds if s != seeds[index]], "node_id": f"n-{index}"}
            own |= network.settings(index, ports[index])
            self.nodes.append(ClusterNode(self, index, folder / f"n-{index}", **own, **settings))

    def __iter__(self):
        return iter(self.nodes)

    def __getitem__(self, index):
        return self.nodes[index]

    def start(self):
        for node in self.nodes:
            node.launch()
        self.wait_formed()
        return self

    def wait_formed(self, *nodes):
        """Until the nodes are ready, and a write on each has reached the others."""
        nodes = nodes or self.nodes
        for node in nodes:
            node.wait_healthy()
        for node in nodes:
            wait_until(node.is_ready, f"{node.folder.name} is ready")
        for node in nodes:
            key = f"formed/{node.index}/{time.monotonic_ns()}"
            wait_until(lambda n=node, k=key: n.put(key_path(k), 1).status in (200, 201), "a first write")
            for other in nodes:
                wait_until(lambda o=other, k=key: o.get(key_path(k)).status == 200,
                           f"{node.folder.name}'s write on {other.folder.name}")

    def close(self):
        for node in self.nodes:
            if node.is_up() and node.frozen:
                node.thaw()
        codes = {}
        for node in self.nodes:
            if node.is_up():
                codes[node.folder.name] = node.stop()
        bad = {name: code for name, code in codes.items() if code != 0}
        assert not bad, f"exit codes after SIGTERM: {bad}"
        for node in self.nodes:
            reports = kvsfixtures.SANITIZER.findall(node.log_text())
            assert not reports, f"{node.folder.name}: a sanitizer reports {reports}"

    def assert_no_alarm(self):
        for node in self.nodes:
            for name in ("kvs_digest_mismatches_total", "kvs_divergences_total", "kvs_corrupt_records_total"):
                assert node.metric(name) == 0, f"{node.folder.name}: {name} = {node.metric(name)}"


def parse_pages(pages):
    entries = (entry for page in pages for entry in json.loads(page)["keys"])
    return {entry["path"]: json.dumps(entry, sort_keys=True) for entry in entries}


def describe_difference(pages):
    dumps = {name: parse_pages(of_node) for name, of_node in pages.items()}
    names = sorted(dumps)
    keys = sorted(set().union(*dumps.values()))
    lines = []
    for key in keys:
        if len({dumps[name].get(key) for name in names}) > 1:
            lines.append(f"{key}: " + "; ".join(f"{name}: {dumps[name].get(key)}" for name in names))
    return f"{len(lines)} keys differ\n" + "\n".join(lines[:10])


def wait_equal(nodes, deadline_s=HEAL_S):
    """Until all nodes show the same, byte for byte; returns (what, the seconds until the look that found it began)."""
    nodes = list(nodes)
    started, dumps = time.monotonic(), {}
    while True:
        with contextlib.suppress(OSError, EOFError):
            asked = time.monotonic()
            dumps = {node.folder.name: node.pages() for node in nodes}
            first = dumps[nodes[0].folder.name]
            if all(dump == first for dump in dumps.values()):
                roots = [node.root() for node in nodes]
                if all(root == roots[0] for root in roots):
                    return parse_pages(first), asked - started
        if time.monotonic() - started > deadline_s:
            raise AssertionError(f"not equal after {deadline_s} s: {describe_difference(dumps)}")
        time.sleep(0.05)  # between two looks


# ---- Load

BLOCKS = itertools.count()  # each block's writers have keys of their own

class Writer(threading.Thread):
    """Puts and deletes on one node until it is told to end: on keys of its own, whose acknowledged state it knows, and on
    keys that all writers share. While the node is down it tries again."""

    def __init__(self, node, name, seed, keys=60, pause_s=0.001):
        super().__init__(name=name, daemon=True)
        self.node, self.pause_s = node, pause_s
        self.rng = random.Random(f"{seed}/{name}")
        self.keys = [f"own/{name}/{number}" for number in range(keys)]
        self.known = dict.fromkeys(self.keys)  # key -> the acknowledged value, None: deleted
        self.open = {}                         # key -> values that may have been stored: not acknowledged
        self.ended = threading.Event()
        self.writes, self.errors = 0, []
        self.number = 0

    def run(self):
        while not self.ended.is_set():
            try:
                with self.node.connect(timeout_s=10) as connection:
                    while not self.ended.is_set():
                        self.step(connection)
                        self.ended.wait(self.pause_s)
            except (OSError, EOFError):
                self.ended.wait(0.02)
            except AssertionError as error:
                self.errors.append(str(error))
                return

    def step(self, connection):
        own = self.rng.random() < 0.7
        key = self.rng.choice(self.keys) if own else f"shared/{self.rng.randrange(40)}"
        self.number += 1
        value = None if self.rng.random() < 0.25 else {"by": self.name, "number": self.number,
                                                       "pad": "x" * self.rng.choice((0, 10, 300))}
        if own:
            self.open.setdefault(key, [self.known[key]]).append(value)
        if value is None:
            response = connection.request("DELETE", key_path(key))
            good = response.status in (204, 404)
        else:
            response = connection.request("PUT", key_path(key), value)
            good = response.status in (200, 201)
        if response.status == 503:  # syncing, stopping: refused, so nothing happened
            if own:
                self.open[key].pop()
            self.ended.wait(0.02)
            return
        assert good, f"{self.name}: {key}: {response}"
        self.writes += 1
        if own:
            self.known[key] = value
            del self.open[key]

    def end(self):
        self.ended.set()
        self.join()
        assert not self.errors, self.errors

    def check(self, dump):
        """Nothing acknowledged is lost, and nothing deleted is back."""
        for key in self.keys:
            shown = json.loads(dump[key])["data"] if key in dump else None
            allowed = self.open.get(key, [self.known[key]])
            assert shown in allowed, f"{key} shows {shown}, acknowledged: {allowed}"


@contextlib.contextmanager
def load(nodes, seed, writers=1, **how):
    """Writers on each node for as long as the block runs."""
    block = next(BLOCKS)
    started = [Writer(node, f"{block}-{node.index}-{number}", seed, **how)
               for node in nodes for number in range(writers)]
    for writer in started:
        writer.start()
    try:
        yield started
    finally:
        for writer in started:
            writer.ended.set()
        for writer in started:
            writer.join()
    for writer in started:
        writer.end()


def wait_written(writers, count):
    """Until each writer has had `count` more writes acknowledged, however slow the disk is: each one comes in time."""
    targets = [(writer, writer.writes + count) for writer in writers]
    for writer, target in targets:
        while writer.writes < target and not writer.errors:
            before = writer.writes
            wait_until(lambda w=writer, b=before: w.writes > b or w.errors, f"another write of {writer.name}")


# ---- Fixtures

@pytest.fixture
def seed():
    chosen = os.environ.get("KVS_CLUSTER_SEED") or str(random.randrange(10**9))
    print(f"KVS_CLUSTER_SEED={chosen}")
    return chosen


@pytest.fixture
def make_cluster(request, tmp_path):
    """make_cluster(3, **settings): its nodes run and know each other; start=False: made only."""
    made, networks = [], []

    def make(count, start=True, **settings):
        network = kvsnet.make_network(count, warnings.warn)
        networks.append(network)
        cluster = Cluster(tmp_path / f"cluster{len(made)}", count, network, **settings)
        made.append(cluster)
        request.node.kvs_nodes = [node for one in made for node in one.nodes]
        return cluster.start() if start else cluster

    yield make
    try:
        for cluster in made:
            cluster.network.heal()
            cluster.close()
    finally:
        for cluster in made:
            for node in cluster.nodes:
                node.kill()
        for network in networks:
            network.close()


def faketime_library():
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"):
        path = f"{folder}/faketime/libfaketimeMT.so.1"
        if os.path.exists(path):
            return path
    raise RuntimeError("libfaketime is not installed: see scripts/packages.txt")
