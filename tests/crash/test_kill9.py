# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load, again and again: no acknowledged write is lost, no value is torn, no version falls.

Six writers put, overwrite, delete and let expire, each on keys of its own, of which it knows the last
acknowledged state and the one write that was in flight when the node died; all of them also write to a few
shared keys. After each restart every key must show the acknowledged state or the effect of the write in flight.
KVS_KILL_ROUNDS sets the number of rounds, KVS_KILL_SEED repeats a run's choices."""
import hashlib
import json
import os
import random
import threading
import time

from kvsnode import DEADLINE_S, key_path, wait_until

ROUNDS = int(os.environ.get("KVS_KILL_ROUNDS", "20"))
WRITERS = 6
KEYS_PER_WRITER = 40
SHARED_KEYS = [f"shared/{n}" for n in range(8)]
ABSENT = None


def now_ms():
    return time.time() * 1000


class Value:
    """A value that proves itself whole: it names its key and carries a checksum over its padding."""

    def __init__(self, rng, key, number):
        size = rng.choice((0, 20, 250, 250, 250, 4000, 60_000 if rng.random() < 0.1 else 100))
        pad = rng.randbytes(size // 2).hex()
        self.json = {"key": key, "number": number, "pad": pad, "sum": self.checksum(key, number, pad)}

    @staticmethod
    def checksum(key, number, pad):
        return hashlib.sha256(f"{key}|{number}|{pad}".encode()).hexdigest()

    @classmethod
    def assert_whole(cls, key, data):
        assert set(data) == {"key", "number", "pad", "sum"}, f"{key}: torn value {str(data)[:200]}"
        assert data["key"] == key, f"{key}: holds the value of {data['key']}"
        assert data["sum"] == cls.checksum(key, data["number"], data["pad"]), f"{key}: torn value"


class State:
    """What one key may show: a put with its number, and when it expires (None: never)."""

    def __init__(self, number, ttl_ms, sent_ms, version=None):
        self.number, self.ttl_ms, self.sent_ms, self.version = number, ttl_ms, sent_ms, version

    def may_show(self, asked_ms, answered_ms):
        """(may it be visible, may it be hidden) for a read between these times."""
        if self.ttl_ms is None:
            return True, False
        if self.version:
            earliest = latest = self.version["timestamp"] + self.ttl_ms
        else:  # in flight: its timestamp is not known to us
            earliest, latest = self.sent_ms + self.ttl_ms - 1000, answered_ms + self.ttl_ms
        return asked_ms <= latest + 1, answered_ms >= earliest - 1


class Writer(threading.Thread):
    def __init__(self, test, index):
        super().__init__(name=f"writer{index}")
        self.test, self.index = test, index
        self.rng = random.Random(f"{test.seed}/{index}")
        self.keys = [f"w{index}/{n}" for n in range(KEYS_PER_WRITER)]
        self.states = dict.fromkeys(self.keys, ABSENT)  # acknowledged
        self.newest_ms = dict.fromkeys(self.keys, 0)    # the greatest timestamp ever shown to us
        self.in_flight = None                           # (key, state) or None
        self.error = None
        self.number = 0

    def next_life(self):
        """A thread runs once; its knowledge lives on."""
        heir = Writer.__new__(Writer)
        threading.Thread.__init__(heir, name=self.name)
        for name in ("test", "index", "rng", "keys", "states", "newest_ms", "in_flight", "error", "number"):
            setattr(heir, name, getattr(self, name))
        return heir

    def run(self):
        try:
            with self.test.node.connect() as connection:
                while True:
                    self.step(connection)
        except (OSError, EOFError):
            if not self.test.killing.is_set():
                self.error = "the node dropped a connection before it was killed"
        except AssertionError as error:
            self.error = str(error)
        finally:
            self.test.count(ended=self.error is not None)

    def step(self, connection):
        if self.rng.random() < 0.15:
            return self.write_shared(connection)
        key = self.rng.choice(self.keys)
        if self.states[key] is not ABSENT and self.states[key].ttl_ms is None and self.rng.random() < 0.25:
            self.in_flight = (key, ABSENT)
            response = connection.request("DELETE", key_path(key))
            assert response.status == 204, f"DELETE {key}: {response}"
            self.states[key] = ABSENT
        else:
            self.put(connection, key)
        self.in_flight = None
        return self.test.count()

    def put(self, connection, key):
        self.number += 1
        ttl_ms = self.rng.choice((None, None, None, 3_600_000, self.rng.randrange(1, 2000)))
        state = State(self.number, ttl_ms, now_ms())
        self.in_flight = (key, state)
        path = key_path(key) + (f"?ttl={ttl_ms}ms" if ttl_ms else "")
        response = connection.request("PUT", path, Value(self.rng, key, self.number).json)
        assert response.status in (200, 201), f"PUT {key}: {response}"
        state.version = response.json()
        assert state.version["timestamp"] > self.newest_ms[key], f"{key}: a new version is older than one before"
        self.newest_ms[key] = state.version["timestamp"]
        self.states[key] = state

    def write_shared(self, connection):
        key = self.rng.choice(SHARED_KEYS)
        self.number += 1
        response = connection.request("PUT", key_path(key), Value(self.rng, key, self.number).json)
        assert response.status in (200, 201), f"PUT {key}: {response}"
        self.test.acknowledge_shared(key, response.json())
        return self.test.count()

    def verify(self, connection):
        """Every key shows what it must; then that is what we know."""
        flying_key, flying = self.in_flight or (None, ABSENT)
        for key in self.keys:
            asked = now_ms()
            response = connection.request("GET", key_path(key))
            answered = now_ms()
            candidates = [self.states[key]] + ([flying] if key == flying_key else [])
            self.states[key] = self.judge(key, response, candidates, asked, answered)
        self.in_flight = None

    def judge(self, key, response, candidates, asked, answered):
        assert response.status in (200, 404), f"{key}: {response}"
        if response.status == 404:
            for state in candidates:
                if state is ABSENT or state.may_show(asked, answered)[1]:
                    return ABSENT
            raise AssertionError(f"{key}: an acknowledged write is lost: {[vars(s) for s in candidates if s]}")
        record = response.json()
        Value.assert_whole(key, record["data"])
        assert record["timestamp"] >= self.newest_ms[key], f"{key}: a version fell"
        for state in candidates:
            if state is not ABSENT and state.number == record["data"]["number"]:
                version = {"uuid": record["uuid"], "timestamp": record["timestamp"]}
                assert state.version in (None, version), f"{key}: its version changed"
                state.version = version
                assert state.may_show(asked, answered)[0], f"{key}: an expired record is back"
                self.newest_ms[key] = record["timestamp"]
                return state
        raise AssertionError(f"{key}: shows number {record['data']['number']}, which is neither acknowledged nor in "
                             f"flight: {[s and s.number for s in candidates]}")


class KillTest:
    def __init__(self, node, seed):
        self.node, self.seed = node, seed
        self.rng = random.Random(seed)
        self.lock = threading.Condition()
        self.acknowledged = 0
        self.failed = False
        self.killing = threading.Event()
        self.shared = {}  # key -> the newest acknowledged version
        self.writers = [Writer(self, index) for index in range(WRITERS)]

    def count(self, ended=False):
        with self.lock:
            self.acknowledged += 1
            self.failed = self.failed or ended
            self.lock.notify_all()

    def acknowledge_shared(self, key, version):
        with self.lock:
            old = self.shared.get(key)
            assert old is None or old["timestamp"] != version["timestamp"], f"{key}: two versions with one timestamp"
            if old is None or version["timestamp"] > old["timestamp"]:
                self.shared[key] = version

    def wait_acknowledged(self, target):
        """False: nothing goes on. However slow the disk is, each write comes in time."""
        with self.lock:
            while self.acknowledged < target and not self.failed:
                before = self.acknowledged
                if not self.lock.wait_for(lambda b=before: self.acknowledged > b, timeout=DEADLINE_S):
                    return False
        return True

    def round(self):
        self.killing.clear()
        target = self.acknowledged + self.rng.choice((1, 10, 100, 300, 600, 1000))
        for writer in self.writers:
            writer.start()
        reached = self.wait_acknowledged(target)
        self.killing.set()
        self.node.kill()
        for writer in self.writers:
            writer.join(DEADLINE_S)
            assert not writer.is_alive()
            assert writer.error is None, writer.error
        assert reached, f"no write within {DEADLINE_S} s"
        self.writers = [writer.next_life() for writer in self.writers]
        self.node.start()
        self.verify()

    def verify(self):
        with self.node.connect() as connection:
            for writer in self.writers:
                writer.verify(connection)
            for key, version in self.shared.items():
                self.verify_shared(connection, key, version)
            self.verify_listing(connection)

    def verify_shared(self, connection, key, version):
        record = connection.request("GET", key_path(key)).json()
        Value.assert_whole(key, record["data"])
        assert record["timestamp"] >= version["timestamp"], f"{key}: an acknowledged write is lost"
        if record["timestamp"] == version["timestamp"]:
            assert record["uuid"] == version["uuid"], f"{key}: another version took its place"
        self.shared[key] = {"uuid": record["uuid"], "timestamp": record["timestamp"]}

    def verify_listing(self, connection):
        """Listing, single reads and history agree on every key that cannot have expired meanwhile."""
        listed = {entry["path"]: entry["uuid"]
                  for entry in connection.request("GET", "/kv/?limit=1000").json()["keys"]}
        for writer in self.writers:
            for key, state in writer.states.items():
                if state is ABSENT:
                    assert key not in listed, f"{key}: gone, but listed"
                elif state.ttl_ms in (None, 3_600_000):
                    assert listed.get(key) == state.version["uuid"], f"{key}: the listing shows another version"
                    newest = connection.request("GET", key_path(key).replace("/kv/", "/api/data/", 1) + "/history/1")
                    assert newest.json()["uuid"] == state.version["uuid"], f"{key}: the history shows another version"


def test_no_acknowledged_write_is_lost_by_kill_9(make_node):
    seed = os.environ.get("KVS_KILL_SEED") or str(random.randrange(2**32))
    print(f"KVS_KILL_SEED={seed}")
    test = KillTest(make_node(), seed)
    for number in range(ROUNDS):
        test.round()
        print(f"round {number + 1}: {test.acknowledged} writes acknowledged so far")
    assert test.acknowledged >= ROUNDS


def test_a_node_killed_while_it_starts_loses_nothing(make_node):
    node = make_node()
    with node.connect() as connection:
        for n in range(200):
            assert connection.request("PUT", f"/kv/k/{n}", n).status == 201
    node.kill()
    for number in range(6):
        node.launch()
        if number % 2:  # at once, or as soon as it listens: the data are being opened then
            wait_until(lambda: listens(node), "the node listens")
        node.kill()
    node.start()
    with node.connect() as connection:
        for n in range(200):
            assert connection.request("GET", f"/kv/k/{n}").json()["data"] == n


def listens(node):
    assert node.process.poll() is None, node.log_tail()
    try:
        node.connect().close()
    except OSError:
        return False
    return True


def test_the_value_checks_notice_a_torn_value():
    """The test's own eyes: a truncated, mixed or foreign value must not pass."""
    value = Value(random.Random(1), "a", 1).json
    Value.assert_whole("a", json.loads(json.dumps(value)))
    for damaged in ({**value, "pad": value["pad"] + "0"}, {**value, "number": 2}, {**value, "key": "b"}, {"key": "a"}):
        try:
            Value.assert_whole("a", damaged)
        except AssertionError:
            continue
        raise RuntimeError(f"not noticed: {damaged}")
