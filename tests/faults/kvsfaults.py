# SPDX-License-Identifier: Apache-2.0
"""A node on a disk that can lose its power and whose calls can be made to fail (kvsdisk)."""
import signal

import pytest

import kvsnode
from kvsdisk import Disk


def library():
    path = kvsnode.binary().parent / "tests" / "faults" / "kvs_faults.so"
    if not path.exists():
        raise RuntimeError(f"{path}: no such library: build first")
    return path


class Connection(kvsnode.Connection):
    def __init__(self, headers, *arguments):
        super().__init__(*arguments)
        self.headers = headers

    def request(self, method, target, body=None, headers=None):
        return super().request(method, target, body, {**self.headers, **(headers or {})})


class FaultyNode(kvsnode.Node):
    """Everything that it keeps lies on `disk`; its log and configuration do not."""

    def __init__(self, folder, **settings):
        super().__init__(folder, **settings)
        self.disk = Disk(self.folder / "disk", self.folder, library())
        self.settings.setdefault("data_dir", f"{self.disk.path}/data")
        self.settings.setdefault("backup_path", f"{self.disk.path}/backups")
        self.headers = {}          # of every request
        self.kill_at = 0           # for the next start
        self.fail_at_start = None  # what Control.fail is told, likewise

    @property
    def control(self):
        return self.disk.control

    def environment(self):
        return super().environment() | self.disk.environment()

    def connect(self, timeout_s=kvsnode.DEADLINE_S):
        return Connection(self.headers, self.port, timeout_s, self.tls, self.host)

    def start(self):
        self.settings.pop("port", None)  # another one each time: somebody may have taken the last
        return super().start()

    def launch(self):
        self.disk.begin(self.kill_at)
        if self.fail_at_start:
            self.control.fail(**self.fail_at_start)
        super().launch()

    def crash_while_starting(self, change):
        """Gone by SIGKILL before this change of the disk that it makes, or when it is ready, should that be earlier."""
        self.kill_at = change
        try:
            self.start()
            self.kill()
        except ProcessLookupError:
            pass
        finally:
            self.kill_at = 0
        assert self.process.returncode == -signal.SIGKILL, self.log_tail()


@pytest.fixture
def make_faulty_node(request, tmp_path):
    """make_faulty_node(**settings): made, not started. Whatever happens, no process is left; one that has ended by
    itself must not have ended with a signal other than the tests' SIGKILL."""
    if kvsnode.is_sanitized():
        pytest.skip("a sanitizer's library must be loaded first: no faults below this build")
    made = request.node.kvs_nodes = []

    def make(**settings):
        made.append(FaultyNode(tmp_path / f"node{len(made) + 1}", **settings))
        return made[-1]

    yield make
    for node in made:
        node.control.rest()
        node.kill()
