# SPDX-License-Identifier: Apache-2.0
"""Rows of make bench about a cluster: what a write costs to arrive, a node to join, a cut to heal.

Lag is measured open-loop: writes are due at fixed times, whatever became of those before. Samplers, each a process of its
own, ask a node for every 20th key from the time at which its write is due until it is there; the lag is the time
between the client's having the acknowledgement and the sampler's having the value, so it includes the sampler's round
trip and at most one pause between two looks. Load, samplers and all nodes share the machine."""
import contextlib
import json
import multiprocessing
import os
import pathlib
import re
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS / "blackbox"), str(TESTS / "cluster")]

import kvsnet   # noqa: E402
import kvsnode  # noqa: E402

RATE = 2000
SAMPLED = 20  # every so many writes
LOOK_S = 0.0002
SETTINGS = {"cluster_secret": "the secret of a cluster in a bench", "backup_enabled": False, "log_level": "info",
            "rate_limiting_enabled": False}


class Members:
    """Nodes of one cluster on a network that can be cut."""

    def __init__(self, folder, count, warn=None):
        self.folder = pathlib.Path(folder)
        self.network = kvsnet.make_network(count, warn) if warn else None
        self.ports = [kvsnode.free_port() for _ in range(count)]
        self.nodes = []

    def address(self, index):
        return self.network.address(index, self.ports[index]) if self.network else f"127.0.0.1:{self.ports[index]}"

    def start(self, **settings):
        """One more node."""
        index = len(self.nodes)
        seeds = [self.address(other) for other in range(index)]
        own = self.network.settings(index, self.ports[index]) if self.network else {}
        node = kvsnode.Node(self.folder / f"member-{index}", port=self.ports[index], seed_nodes=seeds,
                            **SETTINGS, **own, **settings)
        self.nodes.append(node)
        with self.network.inside(index) if self.network else contextlib.nullcontext():
            node.launch()
        node.wait_healthy()
        return node

    def close(self):
        for node in self.nodes:
            node.kill()
        if self.network:
            self.network.close()


def wait_ready(node, deadline_s=300):
    kvsnode.wait_until(lambda: node.get("/ready").status == 200, "a node is ready", deadline_s)


def wait_seen(node, key, deadline_s=60):
    kvsnode.wait_until(lambda: node.get(kvsnode.key_path(key)).status == 200, f"{key} arrives", deadline_s)


def metric(node, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", node.get("/metrics").body.decode(), re.M).group(1))


def dump(node):
    """(number of keys, everything shown of them)"""
    pages, cursor, count = [], None, 0
    with node.connect(timeout_s=120) as connection:
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            body = connection.request("GET", f"/kv/?values=1&limit=1000{more}").body
            pages.append(body.rpartition(b'"next":')[0])
            count += body.count(b'{"path":')
            match = re.search(rb'"next":"([^"]+)"\}\s*$', body[-4096:])
            if not match:
                return count, pages
            cursor = match.group(1).decode()


def wait_equal(nodes, deadline_s=300):
    started = time.monotonic()
    while True:
        dumps = [dump(node) for node in nodes]
        if all(one == dumps[0] for one in dumps):
            return dumps[0][0], time.monotonic() - started
        if time.monotonic() - started > deadline_s:
            raise SystemExit(f"bench: nodes differ {deadline_s} s after they could meet")


def write_batches(node, prefix, count, values):
    for at in range(0, count, 1000):
        operations = [{"op": "put", "path": f"{prefix}/{number:07d}", "data": json.loads(values[number % len(values)])}
                      for number in range(at, min(count, at + 1000))]
        response = node.post("/kv_batch", json.dumps(operations).encode())
        if response.status != 200 or any(result["status"] >= 300 for result in response.json()):
            raise SystemExit(f"bench: a batch fails: {response}")


# ---- lag

def write_open_loop(node, prefix, rate, seconds, values, start):
    """PUTs key number i at start + i / rate over 32 connections; {i: when it was acknowledged}, and the worst delay with
    which a write was sent because all connections were busy."""
    selector = selectors.DefaultSelector()
    idle, acknowledged, late = [], {}, 0
    for _ in range(32):
        connection = socket.create_connection((node.host, node.port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        idle.append(connection)
    number, count = 0, int(rate * seconds)
    while len(acknowledged) < count:
        now = time.monotonic()
        while number < count and idle and start + number / rate <= now:
            connection = idle.pop()
            value = values[number % len(values)]
            late = max(late, now - (start + number / rate))
            connection.sendall(f"PUT /kv/{prefix}/{number} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(value)}\r\n\r\n"
                               f"{value}".encode())
            selector.register(connection, selectors.EVENT_READ, number)
            number += 1
        pause = max(0, start + number / rate - time.monotonic()) if number < count and idle else 1
        for ready, _ in selector.select(timeout=pause) if selector.get_map() or pause else ():
            answer = ready.fileobj.recv(65536)
            if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
                raise SystemExit(f"bench: {answer[:200]!r}")
            acknowledged[ready.data] = time.monotonic()
            selector.unregister(ready.fileobj)
            idle.append(ready.fileobj)
    for connection in idle:
        connection.close()
    return acknowledged, late


def sample(node, prefix, rate, seconds, start, results):
    """Runs in a process of its own: {i: when it was first seen} of every SAMPLED-th key."""
    seen = {}
    with node.connect(timeout_s=60) as connection:
        for number in range(0, int(rate * seconds), SAMPLED):
            time.sleep(max(0, start + number / rate - time.monotonic()))
            while connection.request("HEAD", f"/kv/{prefix}/{number}").status != 200:
                time.sleep(LOOK_S)
            seen[number] = time.monotonic()
    results.put(seen)


def lag(folder, seconds, values):
    members = Members(folder, 3)
    try:
        for _ in range(3):
            wait_ready(members.start())
        a, others = members.nodes[0], members.nodes[1:]
        write_open_loop(a, "warm", RATE / 4, 2, values, time.monotonic())
        for node in others:
            wait_seen(node, f"warm/{int(RATE / 4 * 2) - 1}")
        start = time.monotonic() + 1
        results = [multiprocessing.Queue() for _ in others]
        samplers = [multiprocessing.Process(target=sample, args=(node, "lag", RATE, seconds, start, result))
                    for node, result in zip(others, results)]
        for sampler in samplers:
            sampler.start()
        acknowledged, late = write_open_loop(a, "lag", RATE, seconds, values, start)
        rows = []
        for name, sampler, result in zip("BC", samplers, results):
            seen = result.get(timeout=120)
            sampler.join()
            lags = sorted(max(0.0, seen[number] - acknowledged[number]) * 1000 for number in seen)
            p50, p99 = statistics.median(lags), lags[min(len(lags) - 1, int(len(lags) * 0.99))]
            rows.append((f"lag of a write, A to {name}, {RATE} writes/s", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
                         f"max {lags[-1]:.0f} ms"))
        rows.append(("the driver's greatest delay meanwhile", f"{late * 1000:.0f} ms"))
        return rows
    finally:
        members.close()


# ---- a node joins

def load_rate(node, seconds, values, options, seed):
    """Overwrites a second that wrk gets from a node."""
    done = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", pathlib.Path(__file__).with_name("load.lua"), node.url,
                           "--", "over", "/kv/load/", "1000", str(seed), options.values_file], capture_output=True, text=True,
                          check=False)
    match = re.search(r"^RESULT (\d+) (\S+) (\d+)", done.stdout, re.M)
    if not match or int(match.group(3)):
        raise SystemExit(f"bench: wrk failed or an answer was no 2xx\n{done.stdout}{done.stderr}")
    return int(match.group(1)) / float(match.group(2))


def bootstrap(folder, seconds, count, values, options):
    members = Members(folder, 3)
    try:
        first = members.start()
        wait_ready(first)
        write_batches(first, "boot", count, values)
        started = time.monotonic()
        joined = members.start(throttle_delay_ms=0, fetch_delay_ms=0)
        wait_ready(joined)
        took = time.monotonic() - started
        have, _ = wait_equal(members.nodes)
        rows = [(f"bootstrap of {have} records, throttling off, process start included", f"{have / took:.0f} records/s")]
        joined.stop()
        write_batches(first, "load", 1000, values)
        alone = statistics.median(load_rate(first, seconds, values, options, number) for number in range(3))
        joining = members.start()
        during = load_rate(first, seconds, values, options, 3)
        still = joining.get("/ready").status != 200
        rows.append(("writes of a peer's clients during a bootstrap, default throttling",
                     f"{during / alone * 100:.0f} % of {alone:.0f}/s" + ("" if still else " (it ended before the run did)")))
        return rows
    finally:
        members.close()


# ---- a cut heals

def heal(folder, seconds, values):
    rate = 500
    members = Members(folder, 3, lambda text: print(f"bench: {text}", flush=True))
    try:
        for _ in range(3):
            wait_ready(members.start(sync_interval=10, catchup_interval=2))
        members.network.part((0,), (1, 2))
        start = time.monotonic() + 0.2
        writers = [threading.Thread(target=write_open_loop, args=(members.nodes[index], f"cut/{index}", rate, seconds, values,
                                                                  start)) for index in (0, 1)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        members.network.heal()
        count, took = wait_equal(members.nodes)
        return [(f"equal after a cut of {seconds} s, {rate} writes/s on both sides, {count} keys", f"{took:.1f} s")]
    finally:
        members.close()


# ---- repair

def repair(folder, count, values):
    """A node was away; the other was started anew meanwhile, so they must compare."""
    members = Members(folder, 2)
    changed = max(10, count // 100)
    try:
        for _ in range(2):
            wait_ready(members.start(sync_interval=5, catchup_interval=1))
        first, second = members.nodes
        write_batches(first, "keys", count, values)
        wait_equal(members.nodes)
        second.stop()
        write_batches(first, "keys", changed, values[1:])
        first.restart()
        wait_ready(first)
        before = metric(first, 'kvs_peer_bytes_total{direction="sent"}')
        second.start()
        wait_ready(second)
        wait_equal(members.nodes)
        moved = metric(first, 'kvs_peer_bytes_total{direction="sent"}') - before \
            + metric(second, 'kvs_peer_bytes_total{direction="sent"}')
        return [(f"bytes between peers for each of {changed} keys repaired among {count}, values of {len(values[0])} bytes",
                 f"{moved / changed:.0f}")]
    finally:
        members.close()


def rows(folder, options, values):
    """All rows, as (what, figure)."""
    os.environ["KVS_BINARY"] = str(pathlib.Path(options.kvs).resolve())
    folder = pathlib.Path(folder)
    count = options.keys
    found = []
    for name, measure in (("lag", lambda f: lag(f, options.seconds, values)),
                          ("bootstrap", lambda f: bootstrap(f, options.seconds, count, values, options)),
                          ("heal", lambda f: heal(f, options.seconds * 3, values)),
                          ("repair", lambda f: repair(f, count, values))):
        print(f"cluster: {name} …", flush=True)
        found += measure(folder / name)
    return found
