# SPDX-License-Identifier: Apache-2.0
"""Calls that fail below the node, one after another: writes, syncs, opening, renaming, allocation, memory.

Each round makes calls on the node's files fail for a while, with the error and from the call that the seed says
(tests/faults). Meanwhile writers write and read: an answer is success, or a problem document with 503 or 507; what was
acknowledged is read, also while writes are refused; when the fault is over the node takes writes again by itself. Now
and then the power goes behind that: nothing acknowledged is lost, although a page whose sync has failed stays lost. The
process never ends by itself, but where it cannot start, which it says.
KVS_FAULT_ROUNDS sets the number of faults, KVS_FAULT_SEED repeats a run's choices."""
import errno
import itertools
import os
import random
import threading

import pytest

from kvsdisk import MODES
from kvsnode import DEADLINE_S, wait_until

ROUNDS = int(os.environ.get("KVS_FAULT_ROUNDS", "24"))
WRITERS = 3
KEYS = 8
SETTINGS = {"rate_limiting_enabled": False, "tamper_log_actions": ["all"], "backup_retention": 2,
            "access_log": "off"}

# calls, errors, names of files (those without one are "" for all)
KINDS = (
    (["write"], (errno.EIO, errno.ENOSPC), ("", ".log", ".sst", "MANIFEST")),
    (["sync"], (errno.EIO, errno.ENOSPC), ("", ".log", ".sst", "MANIFEST")),
    (["allocate"], (errno.EIO, errno.ENOSPC), ("",)),
    (["open"], (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOMEM), ("",)),
    (["rename", "mkdir"], (errno.EIO, errno.ENOSPC), ("",)),
    (["unlink"], (errno.EIO,), ("",)),
    (["write", "sync", "open", "rename", "allocate", "mkdir", "unlink"], (errno.EIO, errno.ENOSPC), ("",)),
)


def choose(rng):
    calls, errors, names = rng.choice(KINDS)
    return {"calls": calls, "errnum": rng.choice(errors), "name": rng.choice(names),
            "first": rng.choice((0, 0, rng.randrange(30))), "count": rng.choice((1, 1, 2, 5, 2**62)),
            "partly": rng.random() < 0.3}


def assert_refused(response):
    assert response.status in (503, 507), response
    assert response.headers["content-type"] == "application/problem+json", response
    problem = response.json()
    assert problem["status"] == response.status and problem["title"] and problem["detail"], problem


class Writer(threading.Thread):
    """Writes and reads its own keys until it is told to stop."""

    def __init__(self, test, index):
        super().__init__(name=f"writer{index}")
        self.test, self.index = test, index
        self.rng = random.Random(f"{test.seed}/{index}")
        self.may = {f"/kv/w{index}/{n}": {None} for n in range(KEYS)}  # what each key may show
        self.number, self.error = 0, None
        self.stop = threading.Event()

    def next_life(self):
        heir = Writer(self.test, self.index)
        heir.rng, heir.may, heir.number = self.rng, self.may, self.number
        return heir

    def run(self):
        try:
            with self.test.node.connect() as connection:
                while not self.stop.is_set():
                    self.step(connection)
        except (OSError, EOFError, AssertionError) as error:
            self.error = repr(error)
        finally:
            self.test.count(ended=self.error is not None)

    def step(self, connection):
        path = self.rng.choice(list(self.may))
        if self.rng.random() < 0.3:
            return self.read(connection, path)
        self.number += 1
        deletes = self.rng.random() < 0.2
        value = None if deletes else self.number
        body = None if deletes else {"n": self.number, "pad": "x" * self.rng.choice((0, 200, 5000))}
        response = connection.request("DELETE" if deletes else "PUT", path, body)
        if response.status in (200, 201, 204) or (deletes and response.status == 404):
            self.may[path] = {value}
            self.test.count(acknowledged=True)
        else:
            assert_refused(response)
            self.may[path] = self.may[path] | {value}
            self.test.count(refused=True)
            self.stop.wait(0.002)  # leave the processor to the node

    def read(self, connection, path):
        response = connection.request("GET", path)
        assert response.status in (200, 404), response
        shown = response.json()["data"]["n"] if response.status == 200 else None
        assert shown in self.may[path], f"{path}: shows {shown}, not one of {self.may[path]}"

    def verify(self, connection):
        """What is shown after a recovery is what it is."""
        for path, may in self.may.items():
            response = connection.request("GET", path)
            assert response.status in (200, 404), response
            shown = response.json()["data"]["n"] if response.status == 200 else None
            assert shown in may, f"{path}: shows {shown}, not one of {may}"
            self.may[path] = {shown}


class FaultTest:
    def __init__(self, node, seed):
        self.node, self.seed = node, seed
        self.synced = node.settings.get("durability") != "async"
        self.rng = random.Random(seed)
        self.changed = threading.Condition()
        self.acknowledged = self.refused = self.injected = 0
        self.failed = False
        self.writers = [Writer(self, index) for index in range(WRITERS)]

    def count(self, acknowledged=False, refused=False, ended=False):
        with self.changed:
            self.acknowledged += acknowledged
            self.refused += refused
            self.failed = self.failed or ended
            self.changed.notify_all()

    def wait(self, condition, what):
        with self.changed:
            good = self.changed.wait_for(lambda: self.failed or condition(), timeout=DEADLINE_S)
        for writer in self.writers:
            assert writer.error is None, writer.error
        assert good, f"not within {DEADLINE_S} s: {what}"

    def stop_writers(self):
        for writer in self.writers:
            writer.stop.set()
        for writer in self.writers:
            writer.join(timeout=60)
            assert not writer.is_alive()
            assert writer.error is None, writer.error
        self.writers = [writer.next_life() for writer in self.writers]

    def fill(self):
        """Makes it flush: a write buffer is 16 MB."""
        with self.node.connect() as connection:
            for n in range(20):
                response = connection.request("PUT", f"/kv/big/{n % 4}", {"n": n, "pad": "x" * 900_000})
                assert response.status in (200, 201) or assert_refused(response) is None

    def round(self):
        fault = choose(self.rng)
        self.node.control.fail(**fault)
        for writer in self.writers:
            writer.start()
        backup = self.node.post("/api/backup").status if self.rng.random() < 0.6 else 0  # flushes, makes files
        assert backup in (0, 202, 409, 429), backup
        if self.rng.random() < 0.2:
            self.fill()
        target = self.acknowledged + self.refused + self.rng.choice((10, 60))
        self.wait(lambda: self.acknowledged + self.refused >= target, "an answer")
        failed = self.node.control.rest()
        self.injected += failed > 0
        target = self.acknowledged + 3 * WRITERS
        self.wait(lambda: self.acknowledged >= target, "writes are taken again")
        self.stop_writers()
        assert self.node.process.poll() is None, self.node.log_tail()
        with self.node.connect() as connection:
            for writer in self.writers:
                writer.verify(connection)
        return {**fault, "failed": failed}

    def crash(self):
        """By a power loss, or, where nothing is synced, by a kill, after which the system has everything."""
        self.node.kill()
        if self.synced:
            self.node.disk.lose_power(self.rng.randrange(2**32), self.rng.choice(MODES))
        else:
            self.node.disk.settle()
        self.node.start()
        with self.node.connect() as connection:
            for writer in self.writers:
                writer.verify(connection)


def seed_of_run():
    seed = os.environ.get("KVS_FAULT_SEED") or str(random.randrange(2**32))
    print(f"KVS_FAULT_SEED={seed}")
    return seed


def run(node, rounds):
    test = FaultTest(node, seed_of_run())
    attempts = 0
    while test.injected < rounds:
        attempts += 1
        fault = test.round()
        print(f"{test.injected} faults; {fault}; {test.acknowledged} acknowledged, {test.refused} refused", flush=True)
        if attempts % 5 == 0:
            test.crash()
    test.crash()
    return test


def test_calls_that_fail_while_it_runs(make_faulty_node):
    node = make_faulty_node(**SETTINGS)
    node.start()
    test = run(node, ROUNDS)
    assert test.refused > 0
    assert node.stop() == 0


def test_calls_that_fail_with_async_durability(make_faulty_node):
    node = make_faulty_node(durability="async", **SETTINGS)
    node.start()
    run(node, ROUNDS // 3)
    assert node.stop() == 0


def fill_until_a_log_is_synced(node):
    """Until a write buffer is full, and is flushed."""
    numbers = itertools.count()
    with node.connect() as connection:
        def put():
            n = next(numbers)
            response = connection.request("PUT", f"/kv/big/{n % 4}", {"n": n, "pad": "x" * 900_000})
            assert response.status in (200, 201) or assert_refused(response) is None
            return node.control.seen
        wait_until(put, "such a call is made")


def test_a_failing_sync_of_a_closed_log_ends_nobody(make_faulty_node):
    """Without syncs it is a flush that syncs the log it has closed. A write that must be durable all the same, the seal of
    the audit log at a stop, meets that sync while it fails; RocksDB would try again, and end the process over it."""
    node = make_faulty_node(durability="async", **SETTINGS)
    for errnum in (errno.EIO, errno.ENOSPC):
        node.start()
        node.control.fail(["sync"], errnum, count=1, name=".log")
        node.control.slow_syncs(900_000)
        fill_until_a_log_is_synced(node)
        assert node.stop() == 0, node.log_tail()
        node.disk.settle()
    node.control.slow_syncs(0)
    node.start()
    assert all(node.get(f"/kv/big/{n}").status == 200 for n in range(4))
    assert node.put("/kv/a", 1).status == 201


@pytest.mark.parametrize("durability, errnum", [("sync", errno.EIO), ("async", errno.ENOSPC)])
def test_a_flush_that_fails_is_made_up_for(make_faulty_node, durability, errnum):
    node = make_faulty_node(durability=durability, **SETTINGS)
    node.start()
    for calls, name in ((["sync"], ".log"), (["sync"], ".sst"), (["write"], ".sst"), (["sync"], "MANIFEST")):
        if durability == "sync" and name == ".log":
            continue  # each write syncs it
        node.control.fail(calls, errnum, count=2, name=name)
        fill_until_a_log_is_synced(node)
        wait_until(lambda: node.control.failed, "it has failed")
        wait_until(lambda: node.put("/kv/a", 1).status in (200, 201), "writes are taken again")
        assert node.process.poll() is None, node.log_tail()
        assert all(node.get(f"/kv/big/{n}").status == 200 for n in range(4))
        node.control.rest()
    assert node.stop() == 0
    node.disk.settle()


def test_a_start_or_a_stop_whose_calls_fail_says_so(make_faulty_node):
    """It starts all the same, or ends with exit code 1 and says what failed; then it starts with all that it had."""
    node = make_faulty_node(**SETTINGS)
    node.start()
    rng = random.Random(seed_of_run())
    started = refused = 0
    for number in range(max(8, ROUNDS // 5)):
        assert node.put(f"/kv/n/{number}", number).status == 201
        if rng.random() < 0.5:
            node.control.fail(**choose(rng))
            assert node.stop() in (0, 1), node.log_tail()
        node.kill()
        node.disk.settle()
        node.fail_at_start = choose(rng)
        try:
            node.start()
            node.control.rest()
            started += 1
        except ProcessLookupError:
            assert node.process.returncode == 1, node.log_tail()
            assert node.log_text().splitlines()[-1].startswith("kvs: "), node.log_tail()
            node.disk.settle()
            refused += 1
        node.fail_at_start = None
        if node.process.poll() is not None:
            node.start()
        wait_until(lambda: node.put("/kv/last", number).status in (200, 201), "writes are taken")
        assert all(node.get(f"/kv/n/{n}").json()["data"] == n for n in range(number + 1))
    print(f"{started} started all the same, {refused} did not")


def test_memory_that_runs_out(make_faulty_node):
    """Of the program itself; libraries end the process over it. Where there is none for an answer the connection ends."""
    node = make_faulty_node(**SETTINGS)
    node.start()
    rng = random.Random(seed_of_run())
    known = {}
    for number in range(max(40, ROUNDS)):
        path = f"/kv/m/{number % 7}"
        node.control.fail(["malloc"], errno.ENOMEM, first=rng.randrange(40), count=rng.choice((1, 1, 2, 10)))
        try:
            response = node.put(path, number)
            if response.status in (200, 201):
                known[path] = {number}
            else:
                assert_refused(response)
                known[path] = known.get(path, {None}) | {number}
        except (OSError, EOFError):
            known[path] = known.get(path, {None}) | {number}
        node.control.rest()
        assert node.process.poll() is None, node.log_tail()
        wait_until(lambda: node.put("/kv/last", number).status in (200, 201), "writes are taken")
        for path, may in known.items():
            response = node.get(path)
            assert (response.json()["data"] if response.status == 200 else None) in may, path
    assert node.stop() == 0
