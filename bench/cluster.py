# SPDX-License-Identifier: Apache-2.0
"""Rows of make bench about a cluster: what a write costs to arrive, a node to join, a cut to heal.

Lag is measured open-loop: writes are due at fixed times, whatever became of those before. Samplers, each a process of its
own, ask a node for every 20th key from the time at which its write is due until it is there; the lag is the time
between the client's having the acknowledgement and the sampler's having the value, so it includes the sampler's round
trip and at most one pause between two looks. Load, samplers and all nodes share the machine.

What a joining node costs its peers' clients is measured on a node that is pinned to a core of its own, as a machine of its
own would be; the joining node has another one where there are three, else it shares the load's. In each round clients
load that node, once at a steady rate, open-loop, and once with as much as it takes, before another node exists, while one
reads everything with the default throttling, and when it has read all and is a member like any other: what the last
two differ by is the bootstrap, what the last differs from the first by is replication. All data lie on one disk, so the
joining node's syncs are in the way of its peer's, as they would not be elsewhere."""
import collections
import contextlib
import dataclasses
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
LOADED_KEYS = 10000
SETTLE_S = 5
SAMPLED = 20  # every so many writes
LOOK_S = 0.0002
SETTINGS = {"cluster_secret": "the secret of a cluster in a bench", "backup_enabled": False, "log_level": "info",
            "rate_limiting_enabled": False}
AS_PEER = {"X-Cluster-Secret": SETTINGS["cluster_secret"], "X-Node-ID": "bench"}


class Members:
    """Nodes of one cluster on a network that can be cut."""

    def __init__(self, folder, count, warn=None):
        self.folder = pathlib.Path(folder)
        self.network = kvsnet.make_network(count, warn) if warn else None
        self.ports = [kvsnode.free_port() for _ in range(count)]
        self.nodes = []

    def address(self, index):
        return self.network.address(index, self.ports[index]) if self.network else f"127.0.0.1:{self.ports[index]}"

    def start(self, core=None, **settings):
        """One more node, pinned to `core`."""
        index = len(self.nodes)
        seeds = [self.address(other) for other in range(index)]
        own = self.network.settings(index, self.ports[index]) if self.network else {}
        node = kvsnode.Node(self.folder / f"member-{index}", port=self.ports[index],
                            **{"seed_nodes": seeds, **SETTINGS, **own, **settings})
        self.nodes.append(node)
        with self.network.inside(index) if self.network else contextlib.nullcontext(), pinned(core):
            node.launch()
        node.wait_healthy()
        return node

    def close(self):
        for node in self.nodes:
            node.kill()
        if self.network:
            self.network.close()


@contextlib.contextmanager
def pinned(core):
    """What is started inside runs on `core` alone; None: on any."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


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


def write_batches(node, prefix, count, values, width=7):
    for at in range(0, count, 1000):
        operations = [{"op": "put", "path": f"{prefix}/{number:0{width}}", "data": json.loads(values[number % len(values)])}
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

@dataclasses.dataclass
class Load:
    """What clients got from a node, and what that took of it."""
    per_second: float
    p50_ms: float  # of writes
    p99_ms: float
    read_p99_ms: float  # 0: none were made
    cpu_us: float  # of the node, a request
    threads: dict  # the same by the thread's name


def thread_seconds(node):
    """{name: CPU seconds} of a node's threads; those of one name together."""
    seconds = collections.Counter()
    for task in pathlib.Path(f"/proc/{node.process.pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            seconds[(task / "comm").read_text().strip()] += int((task / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def quantile(sorted_values, q):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * q))] if sorted_values else 0.0


def steady_requests(node, seconds, values):
    """One GET for every two PUTs, RATE PUTs a second, each sent when it is due or as soon as a connection is free;
    ({method: sorted latencies in ms since it was due}, the seconds it took)."""
    selector = selectors.SelectSelector()  # epoll waits for whole milliseconds
    idle, latencies = [], {"GET": [], "PUT": []}
    for _ in range(32):
        connection = socket.create_connection((node.host, node.port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        idle.append(connection)
    rate = RATE * 3 / 2
    number, done, count, start = 0, 0, int(rate * seconds), time.monotonic()
    while done < count:
        while number < count and idle and start + number / rate <= time.monotonic():
            connection, value = idle.pop(), values[number % len(values)]
            method, path = ("GET" if number % 3 == 0 else "PUT"), f"/kv/load/{number * 7919 % LOADED_KEYS}"
            body = "" if method == "GET" else value
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
                               f"{body}".encode())
            selector.register(connection, selectors.EVENT_READ, (method, start + number / rate))
            number += 1
        pause = max(0.0, start + number / rate - time.monotonic()) if number < count and idle else 1
        for ready, _ in selector.select(timeout=pause):
            answer = ready.fileobj.recv(65536)  # one small answer, in one segment
            if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
                raise SystemExit(f"bench: {answer[:200]!r}")
            method, due = ready.data
            latencies[method].append((time.monotonic() - due) * 1000)
            selector.unregister(ready.fileobj)
            idle.append(ready.fileobj)
            done += 1
    for connection in idle:
        connection.close()
    return {method: sorted(found) for method, found in latencies.items()}, time.monotonic() - start


def all_it_takes(node, seconds, seed, options):
    """(overwrites a second that wrk gets from a node with 64 connections, p50 and p99 in ms, how many there were)"""
    done = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", pathlib.Path(__file__).with_name("load.lua"), node.url,
                           "--", "over", "/kv/load/", str(LOADED_KEYS), str(seed), options.values_file], capture_output=True,
                          text=True, check=False)
    match = re.search(r"^RESULT (\d+) (\S+) (\d+) (\d+) (\d+)", done.stdout, re.M)
    if not match or int(match.group(3)):
        raise SystemExit(f"bench: wrk failed or an answer was no 2xx\n{done.stdout}{done.stderr}")
    count, took = int(match.group(1)), float(match.group(2))
    return count / took, int(match.group(4)) / 1000, int(match.group(5)) / 1000, count


def measure_load(node, kind, core, seconds, seed, values, options):
    before = thread_seconds(node)
    with pinned(core):
        if kind == "steady":
            latencies, took = steady_requests(node, seconds, values)
            writes, reads = latencies["PUT"], latencies["GET"]
            count = len(writes) + len(reads)
            found = (count / took, quantile(writes, 0.5), quantile(writes, 0.99), quantile(reads, 0.99))
        else:
            per_second, p50_ms, p99_ms, count = all_it_takes(node, seconds, seed, options)
            found = (per_second, p50_ms, p99_ms, 0.0)
    threads = {name: used / count * 1e6 for name, used in (thread_seconds(node) - before).items()}
    return Load(*found, sum(threads.values()), threads)


def wait_settled(nodes):
    """Until their roots are equal, and have been for so long that a node which joined has found nothing more to fetch: it
    looks every other second."""
    def are_equal():
        return len({node.request("GET", "/merkle_tree/root", None, AS_PEER).json()["root"]["hash"] for node in nodes}) == 1
    kvsnode.wait_until(are_equal, "nodes are equal", 300)
    time.sleep(SETTLE_S)


LOAD_STATES = ("alone", "joining", "joined")
LOAD_KINDS = {"steady": f"{RATE} writes/s and half as many reads", "saturated": "as many writes as it takes"}


def load_round(members, cores, seed, seconds, values, options):
    """{(kind, state): Load}, and whether the joining node was joining all the time."""
    peer, found, throughout = members.nodes[0], {}, True

    def measure(kind, state):
        load = measure_load(peer, kind, cores["load"], seconds, seed, values, options)
        print(f"cluster: round {seed}: {kind} {state}: {load.per_second:.0f}/s, p50 {load.p50_ms:.1f}, p99 "
              f"{load.p99_ms:.1f} ms, CPU {load.cpu_us:.0f} µs", flush=True)
        found[kind, state] = load

    for kind in LOAD_KINDS:
        measure(kind, "alone")
        node = members.start(cores["joining"], seed_nodes=[members.address(0)])
        kvsnode.wait_until(lambda: metric(node, 'kvs_writes_total{op="put"}') > 0, "the first records arrive")
        measure(kind, "joining")
        throughout &= node.get("/ready").status != 200
        assert node.stop() == 0, node.log_tail()  # the rest as fast as it can
        node.settings |= {"throttle_delay_ms": 0, "fetch_delay_ms": 0}
        with pinned(cores["joining"]):
            node.start()
        wait_ready(node)
        wait_settled([peer, node])
        measure(kind, "joined")
        wait_settled([peer, node])
        node.request("DELETE", "/members/leave", {"id": node.settings["node_id"]}, AS_PEER)
        node.process.wait(timeout=60)
    return found, throughout


def compare_loads(found, kind):
    """What clients got while a node joined, as a part of what they got in the other two states: medians over the rounds."""
    def median(state, field):
        return statistics.median(getattr(round_[kind, state], field) for round_ in found)

    def ratio(against):
        return 100 * statistics.median(round_[kind, "joining"].per_second / round_[kind, against].per_second
                                       for round_ in found)

    def all_three(field, digits):
        return " / ".join(f"{median(state, field):.{digits}f}" for state in ("joining", "joined", "alone"))
    reads = f", p99 of reads {all_three('read_p99_ms', 1)} ms" if kind == "steady" else ""
    return (f"{ratio('joined'):.0f} % ({ratio('alone'):.0f} % of a node alone): {all_three('per_second', 0)} requests/s, p50 "
            f"{all_three('p50_ms', 1)} ms, p99 {all_three('p99_ms', 1)} ms{reads}, CPU of the peer "
            f"{all_three('cpu_us', 1)} µs/request")


def print_threads(found):
    for kind in LOAD_KINDS:
        for state in LOAD_STATES:
            totals = collections.Counter()
            for round_ in found:
                totals.update(round_[kind, state].threads)
            print(f"  {kind} {state}: " + ", ".join(f"{name} {used / len(found):.1f}" for name, used in totals.most_common(8)
                                                    if used / len(found) >= 0.1) + " µs a request", flush=True)


def bootstrap(folder, count, values):
    members = Members(folder, 2)
    try:
        first = members.start()
        wait_ready(first)
        write_batches(first, "boot", count, values)
        started = time.monotonic()
        joined = members.start(throttle_delay_ms=0, fetch_delay_ms=0)
        wait_ready(joined)
        took = time.monotonic() - started
        have, _ = wait_equal(members.nodes)
        return [(f"bootstrap of {have} records, throttling off, process start included", f"{have / took:.0f} records/s")]
    finally:
        members.close()


def joining(folder, seconds, rounds, count, values, options):
    """What clients of a node notice of one that joins it."""
    cores = {"peer": 0, "load": 1, "joining": 2 if (os.cpu_count() or 1) > 2 else 1}
    members = Members(folder, 1 + 2 * rounds)
    try:
        peer = members.start(cores["peer"])
        wait_ready(peer)
        write_batches(peer, "boot", count, values)
        write_batches(peer, "load", LOADED_KEYS, values, width=1)
        found, throughout = [], True
        for number in range(rounds):
            loads, whole = load_round(members, cores, number + 1, seconds, values, options)
            found.append(loads)
            throughout &= whole
        print_threads(found)
        return [(f"default-throttled bootstrap: client rate and latency relative to the same cluster without it, {what} "
                 "(joining / a member like any other / not there)",
                 compare_loads(found, kind) + ("" if throughout else "; it ended before the run did"))
                for kind, what in LOAD_KINDS.items()]
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
                          ("bootstrap", lambda f: bootstrap(f, count, values)),
                          ("joining", lambda f: joining(f, options.seconds, min(3, options.runs),
                                                   max(count * 4, 20000 * options.seconds), values, options)),
                          ("heal", lambda f: heal(f, options.seconds * 3, values)),
                          ("repair", lambda f: repair(f, count, values))):
        print(f"cluster: {name} …", flush=True)
        found += measure(folder / name)
    return found
