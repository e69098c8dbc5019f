# SPDX-License-Identifier: Apache-2.0
"""Power loss under load, again and again: what was acknowledged was synced, and what was synced is there.

The node's disk is the tests' own (tests/faults). A crash kills the node before a random change of the disk and takes
from it what was not synced, all of it or at random (kvsdisk.py says how); often the node is crashed again while it
recovers, before a random change of that. The writers are test_kill9's, and beside them one writes batches, of which
all or nothing must be there, and one makes accounts, whose tokens must work. The audit log must verify and know of each
request that was answered, and every file that has a backup's name must be whole.
KVS_POWER_ROUNDS sets the number of crashes, KVS_POWER_SEED repeats a run's choices."""
import json
import os
import random
import signal
import subprocess
import threading

import kvsaccounts
from kvsdisk import MODES, Disk
from kvsfaults import library
from kvsnode import binary, clean_environment, wait_until
from test_kill9 import KillTest

ROUNDS = int(os.environ.get("KVS_POWER_ROUNDS", "12"))
BATCH_KEYS = 12
SETTINGS = {"auth_enabled": True, "cluster_secret": kvsaccounts.SECRET, "rate_limiting_enabled": False,
            "tamper_log_actions": ["all"], "backup_retention": 2}


class Helper(threading.Thread):
    """Does one thing after another until the node is gone; each with a request id of its own."""

    def __init__(self, test):
        super().__init__(name=type(self).__name__)
        self.test, self.error = test, None

    def run(self):
        try:
            with self.test.node.connect(timeout_s=20) as connection:
                while True:
                    self.step(connection)
        except (OSError, EOFError):
            if not self.test.killing.is_set():
                self.error = "the node dropped a connection before it was killed"
        except AssertionError as error:
            self.error = repr(error)
        finally:
            self.test.count(ended=self.error is not None)

    def request(self, connection, method, target, body):
        request_id = f"{self.name}-{len(self.test.sent)}"
        self.test.sent.add(request_id)
        response = connection.request(method, target, body, {"X-Request-ID": request_id})
        assert response.status in (200, 201, 204), response
        self.test.answered.add(request_id)
        return response


class Batches(Helper):
    def step(self, connection):
        self.test.batch_sent += 1
        entries = [{"op": "put", "path": f"batch/{n}", "data": self.test.batch_sent} for n in range(BATCH_KEYS)]
        response = self.request(connection, "POST", "/kv_batch", entries)
        assert {result["status"] for result in response.json()} <= {200, 201}, response
        self.test.batch_answered = self.test.batch_sent
        self.test.count()


class Accounts(Helper):
    def step(self, connection):
        body = {"nickname": f"user{len(self.test.sent)}"}
        uuid = self.request(connection, "POST", "/api/users", body).json()["uuid"]
        self.test.users.add(uuid)
        if len(self.test.tokens) < 20:
            body = {"user_uuid": uuid, "scopes": ["read"]}
            self.test.tokens.append(self.request(connection, "POST", "/api/tokens", body).json()["token"])
        self.test.count()


class Filler(Helper):
    """Makes it flush and compact: a write buffer is 16 MB."""
    number = 0

    def step(self, connection):
        self.number += 1
        body = {"n": self.number, "pad": "x" * 900_000}
        self.request(connection, "PUT", f"/kv/big/{self.number % 4}", body)


class PowerTest(KillTest):
    def __init__(self, node, seed):
        super().__init__(node, seed)
        node.headers = kvsaccounts.owner_of(node).headers
        self.sent, self.answered, self.users, self.tokens = set(), set(), set(), []
        self.batch_sent = self.batch_answered = 0
        self.crashes = 0

    def run_kvs(self, *arguments):
        return subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True, timeout=60,
                              check=False, env=clean_environment(self.node.home), cwd=self.node.folder)

    def load_until_killed(self):
        helpers = [Batches(self), Accounts(self)] + ([Filler(self)] if self.rng.random() < 0.2 else [])
        self.node.control.slow_syncs(self.rng.choice((0, 100, 2000)))
        self.killing.set()  # from here on it may be gone
        if self.rng.random() < 0.4:
            assert self.node.post("/api/backup").status == 202
        self.node.control.kill_after(self.rng.choice((20, 100, 300, 900)) + self.rng.randrange(50))
        for thread in self.writers + helpers:
            thread.start()
        for thread in self.writers + helpers:
            thread.join(timeout=120)
            assert not thread.is_alive(), "the node goes on, but nothing is written"
            assert thread.error is None, thread.error
        self.writers = [writer.next_life() for writer in self.writers]
        self.node.process.wait(timeout=60)
        assert self.node.process.returncode == -signal.SIGKILL, self.node.log_tail()

    def lose_power(self):
        mode = self.rng.choice(MODES)
        self.node.disk.lose_power(self.rng.randrange(2**32), mode)
        self.crashes += 1
        return mode

    def recover(self):
        """Starts it, and crashes it again and again while it starts; then once not."""
        modes = []
        while self.rng.random() < 0.5:
            self.node.crash_while_starting(self.rng.randrange(1, 150))
            modes.append(self.lose_power())
        self.node.start()
        return modes

    def round(self):
        self.killing.clear()
        self.load_until_killed()
        modes = [self.lose_power()]
        self.verify_at_rest()
        modes += self.recover()
        self.verify()
        return modes

    def verify_at_rest(self):
        data = self.node.settings["data_dir"]
        result = self.run_kvs("audit", "verify", data, "--json")
        assert result.returncode == 0, result
        report = json.loads(result.stdout)
        assert report["good"] and report["breaks"] == 0, report
        folder = self.node.settings["backup_path"]
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.startswith("kvs-backup-"):
                result = self.run_kvs("backup", "verify", f"{folder}/{name}")
                assert result.returncode == 0, result

    def verify(self):
        super().verify()
        with self.node.connect() as connection:
            shown = set()
            for n in range(BATCH_KEYS):
                response = connection.request("GET", f"/kv/batch/{n}")
                shown.add(response.json()["data"] if response.status == 200 else 0)
            assert len(shown) == 1, f"a batch is there in part: {shown}"
            number = shown.pop()
            assert self.batch_answered <= number <= self.batch_sent, "an acknowledged batch is lost"
            self.batch_answered = number
            for token in self.tokens:
                response = connection.request("GET", "/kv/none", None, kvsaccounts.bearer(token))
                assert response.status == 404, f"a token is lost: {response}"
            self.verify_users(connection)

    def verify_users(self, connection):
        there, after = set(), ""
        while after is not None:
            page = connection.request("GET", f"/api/users?limit=1000{after}").json()
            there.update(user["uuid"] for user in page["users"])
            after = f"&cursor={page['next']}" if page.get("next") else None
        missing = self.users - there
        assert not missing, f"acknowledged users are lost: {missing}"

    def verify_audit(self):
        """Each request that was answered has its entry, once."""
        seen, since = set(), 0
        with self.node.connect() as connection:
            while since is not None:
                page = connection.request("GET", f"/api/audit?limit=1000&since={since}").json()
                for entry in page["entries"]:
                    seen.add(entry["request_id"])
                since = page["next"]
        missing = self.answered - seen
        assert not missing, f"answered, but not in the audit log: {sorted(missing)[:5]}"


def seed_of_run():
    seed = os.environ.get("KVS_POWER_SEED") or str(random.randrange(2**32))
    print(f"KVS_POWER_SEED={seed}")
    return seed


def test_no_acknowledged_write_is_lost_with_the_power(make_faulty_node):
    node = make_faulty_node(**SETTINGS)
    node.start()
    test = PowerTest(node, seed_of_run())
    while test.crashes < ROUNDS:
        modes = test.round()
        print(f"{test.crashes} crashes ({', '.join(modes)}), {test.acknowledged} writes acknowledged so far")
    test.verify_audit()
    assert node.stop() == 0
    node.disk.settle()


def test_a_first_start_that_loses_the_power_can_be_made_again(make_faulty_node):
    """Before there is anything to lose: whatever is left, the next start makes a node of it, or begins afresh."""
    node = make_faulty_node()
    rng = random.Random(seed_of_run())
    for number in range(max(4, ROUNDS // 6)):
        node.crash_while_starting(rng.randrange(1, 120))
        node.disk.lose_power(rng.randrange(2**32), MODES[number % 3])
    node.start()
    assert node.put("/kv/a", 1).status == 201
    node.kill()
    node.disk.lose_power(0, "lost")
    node.start()
    assert node.get("/kv/a").json()["data"] == 1


def test_with_async_durability_the_last_writes_go_in_their_order(make_faulty_node):
    node = make_faulty_node(durability="async", rate_limiting_enabled=False, tamper_log_actions=["all"])
    node.start()
    rng = random.Random(seed_of_run())
    number = safe = 0
    for crash in range(max(6, ROUNDS // 4)):
        with node.connect() as connection:
            for _ in range(rng.randrange(1, 300)):
                number += 1
                body = {"n": number, "pad": "x" * rng.randrange(3000)}
                assert connection.request("PUT", f"/kv/n/{number}", body).status == 201
        if rng.random() < 0.3:
            assert node.stop() == 0
            safe = number
        node.kill()
        node.disk.lose_power(rng.randrange(2**32), MODES[crash % 3])
        node.start()
        with node.connect() as connection:
            there = [connection.request("GET", f"/kv/n/{n}") for n in range(1, number + 1)]
        kept = next((n for n, response in enumerate(there) if response.status != 200), number)
        assert kept >= safe, f"{kept} of {number} writes are there, {safe} were synced"
        assert all(response.status == 404 for response in there[kept:]), "a later write was kept, an earlier one not"
        assert all(response.json()["data"]["n"] == n + 1 for n, response in enumerate(there[:kept]))
        number = safe = kept  # opening has put them into synced tables


# ---- The tests' own eyes

def run_on_disk(disk, script):
    """A program of its own on that disk; not the node."""
    disk.begin()
    code = "import os\nos.chdir(os.environ['KVS_FAULTS_ROOT'])\n" + script
    environment = {**os.environ, **disk.environment()}
    subprocess.run(["/usr/bin/python3", "-c", code], check=True, timeout=60, env=environment)


def test_the_disk_loses_what_was_not_synced(make_faulty_node, tmp_path):
    disk = Disk(tmp_path / "disk", tmp_path, library())
    script = """
def put(name, data, sync):
    fd = os.open(name, os.O_CREAT | os.O_WRONLY)
    os.write(fd, data)
    if sync: os.fsync(fd)
    os.close(fd)
put('a', b'old' * 1000, True)
put('b', b'b', True)
put('c', b'c', False)
os.mkdir('d')
root = os.open('.', os.O_RDONLY)
os.fsync(root)
put('a', b'new' * 2000, False)
os.rename('b', 'e')
put('d/f', b'f', True)
put('g', b'g', True)
"""
    run_on_disk(disk, script)
    disk.settle()
    left = {mode: [disk.model.after_power_loss(random.Random(seed), mode) for seed in range(200)] for mode in MODES}
    lost = left["lost"][0]
    assert all(state == lost for state in left["lost"])
    assert lost == {"a": b"old" * 1000, "b": b"b", "c": b"", "d": None}
    assert {(("b" in state), ("e" in state)) for state in left["prefix"]} == {(True, False), (False, True)}
    assert all("e" in state for state in left["prefix"] if "g" in state), "a folder's changes come in their order"
    assert any("e" not in state and "g" in state for state in left["holes"]), "or in none"
    sizes = {len(state["a"]) for state in left["holes"]}
    assert sizes == {3000, 6000}
    mixed = [state["a"] for state in left["holes"] if b"new" in state["a"] and b"old" in state["a"]]
    assert mixed and any(data.index(b"old") < data.index(b"new") for data in mixed)
    torn = [state["a"] for state in left["prefix"] if b"new" in state["a"] and len(state["a"]) < 6000]
    assert torn and all(data[:512] == (b"new" * 2000)[:512] for data in torn)


def test_the_disk_notices_what_it_has_not_seen(make_faulty_node, tmp_path):
    disk = Disk(tmp_path / "disk", tmp_path, library())
    run_on_disk(disk, "os.close(os.open('a', os.O_CREAT | os.O_WRONLY))")
    disk.settle()
    (tmp_path / "disk" / "a").write_text("behind its back")
    try:
        disk.settle()
    except AssertionError:
        return
    raise RuntimeError("not noticed")
