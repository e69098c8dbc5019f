# SPDX-License-Identifier: Apache-2.0
"""Backups under write load, with kill -9 in between: every file that has a backup's name verifies, restores, and
shows one moment of the node's life; whatever else a crash leaves is cleared away.

Writers number their writes, one at a time, over a ring of keys. So a state of the node is one moment exactly if
each key shows the newest number, not above the greatest of all, that belongs to it. KVS_BACKUP_ROUNDS sets the
number of backups begun, KVS_BACKUP_SEED repeats a run's choices."""
import os
import random
import shutil
import subprocess
import threading
import time

from kvsnode import DEADLINE_S, binary, clean_environment, wait_until

ROUNDS = int(os.environ.get("KVS_BACKUP_ROUNDS", "10"))
WRITERS = 3
RING = 17
FILL = 1500


class Writer(threading.Thread):
    """Writes n = acknowledged + 1, … to its ring until the node is gone or it is told to stop."""

    def __init__(self, node, index, acknowledged):
        super().__init__(name=f"writer{index}")
        self.node, self.index, self.acknowledged = node, index, acknowledged
        self.stop, self.error = threading.Event(), None

    def run(self):
        try:
            with self.node.connect() as connection:
                while not self.stop.is_set():
                    n = self.acknowledged + 1
                    response = connection.request("PUT", f"/kv/w{self.index}/{n % RING}", {"n": n, "pad": "x" * (n % 300)})
                    assert response.status in (200, 201), response
                    self.acknowledged = n
        except (OSError, EOFError):
            pass  # killed
        except AssertionError as error:
            self.error = error


def moment_of(node, index):
    """The greatest number of a writer that the node shows, after checking that all belong to one moment."""
    with node.connect() as connection:
        shown = {}
        for slot in range(RING):
            response = connection.request("GET", f"/kv/w{index}/{slot}")
            shown[slot] = response.json()["data"]["n"] if response.status == 200 else 0
    last = max(shown.values())
    for slot, n in shown.items():
        expected = last - (last - slot) % RING
        assert n == max(expected, 0), f"writer {index}: slot {slot} shows {n}, not {expected}, beside {last}"
    return last


class BackupTest:
    def __init__(self, make_node, tmp_path, seed):
        self.rng = random.Random(seed)
        self.make_node, self.tmp_path = make_node, tmp_path
        self.node = make_node("writing", backup_enabled=False)
        self.folder = self.node.folder / "backups"
        self.acknowledged = [0] * WRITERS
        self.checked = {}
        self.killed = 0
        with self.node.connect() as connection:
            for n in range(FILL):
                assert connection.request("PUT", f"/kv/fill/{n}", {"n": n, "pad": os.urandom(60).hex()}).status == 201

    def finished(self):
        names = os.listdir(self.folder) if self.folder.exists() else []
        return {name for name in names if name.startswith("kvs-backup-")}

    def round(self, number):
        writers = [Writer(self.node, i, self.acknowledged[i]) for i in range(WRITERS)]
        for writer in writers:
            writer.start()
        wait_until(lambda: all(w.acknowledged > a + 3 or w.error for w, a in zip(writers, self.acknowledged)), "writes")
        least = [writer.acknowledged for writer in writers]
        before = self.finished()
        begun = self.node.post("/api/backup")
        assert begun.status == 202, begun
        kill = number % 2 == 1
        if kill:
            time.sleep(self.rng.random() * 0.6)  # anywhere: while it writes, verifies, renames, or behind that
            self.node.kill()
            self.killed += 1
        else:
            wait_until(lambda: self.node.get("/api/backup/status").json()["last_id"] >= begun.json()["id"], "it ends")
            status = self.node.get("/api/backup/status").json()
            assert status["last_backup_success"], status
            for writer in writers:
                writer.stop.set()
        for writer in writers:
            writer.join(DEADLINE_S)
            assert not writer.is_alive() and writer.error is None, writer.error
        most = [writer.acknowledged + 1 for writer in writers]  # one may have been on its way
        new = self.finished() - before
        assert len(new) == 1 or (kill and not new), new
        for name in new:
            self.check(name, least, most)
        if kill:
            self.node.start()
        # What was in flight when the node died is there or not; nothing that was acknowledged is lost.
        for i, writer in enumerate(writers):
            now = moment_of(self.node, i)
            assert writer.acknowledged <= now <= writer.acknowledged + 1
            self.acknowledged[i] = now

    def run_kvs(self, *words):
        done = subprocess.run([binary(), *map(str, words)], env=clean_environment(self.tmp_path), capture_output=True,
                              text=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, (words, done.stderr)

    def check(self, name, least, most):
        self.run_kvs("backup", "verify", self.folder / name)
        node = self.make_node(f"restored{len(self.checked)}", start=False, backup_enabled=False)
        self.run_kvs("restore", self.folder / name, "--data-dir", node.folder / "data")
        node.start()
        moments = [moment_of(node, i) for i in range(WRITERS)]
        for i, moment in enumerate(moments):
            assert least[i] <= moment <= most[i], f"writer {i}: {moment} is not between {least[i]} and {most[i]}"
        assert node.get(f"/kv/fill/{FILL - 1}").json()["data"]["n"] == FILL - 1
        assert node.stop() == 0
        shutil.rmtree(node.folder / "data")
        self.checked[name] = moments

    def finish(self):
        """A last backup in peace clears away what the crashes left."""
        begun = self.node.post("/api/backup").json()["id"]
        wait_until(lambda: self.node.get("/api/backup/status").json()["last_id"] >= begun, "the last one ends")
        assert [name for name in os.listdir(self.folder) if not name.startswith("kvs-backup-")] == []
        for name in self.finished():
            self.run_kvs("backup", "verify", self.folder / name)


def test_every_finished_backup_restores_to_one_moment(make_node, tmp_path):
    seed = os.environ.get("KVS_BACKUP_SEED") or str(random.randrange(2**32))
    print(f"KVS_BACKUP_SEED={seed}")
    test = BackupTest(make_node, tmp_path, seed)
    for number in range(ROUNDS):
        test.round(number)
        print(f"round {number + 1}: {len(test.checked)} finished, {test.killed} kills, {test.acknowledged} writes")
    test.finish()
    assert len(test.checked) >= (ROUNDS + 1) // 2


def test_the_moment_check_notices_a_mixture():
    """The test's own eyes: a state that never was must not pass."""
    class Mixed:
        def connect(self):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def request(self, _method, target):
            slot = int(target.rsplit("/", 1)[1])
            n = 100 - (100 - slot) % RING - (RING if slot == self.late else 0)
            return type("R", (), {"status": 200, "json": staticmethod(lambda: {"data": {"n": n}})})

    mixed = Mixed()
    mixed.late = None
    assert moment_of(mixed, 0) == 100
    mixed.late = 5
    try:
        moment_of(mixed, 0)
    except AssertionError:
        return
    raise RuntimeError("not noticed")
