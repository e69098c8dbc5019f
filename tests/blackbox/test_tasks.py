# SPDX-License-Identifier: Apache-2.0
"""docs/tasks.md, typed by a new user: every command of the page in one shell, with what it says they print."""
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

import kvsnode
from kvshome import User

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tasks.md"
PORTS = [str(port) for port in range(8080, 8086)]
MARK = "end-of-command"


def transcript():
    """[(line of the page, command, expected output lines)]"""
    steps = []
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        if line.startswith("    $ "):
            steps.append((number, line[6:], []))
        elif line.startswith("    "):
            steps[-1][2].append(line[4:])
    return steps


def matches(expected, seen):
    """Line by line, "…" for anything within a line and, on its own, for any lines; nothing expected: no output."""
    pattern = "".join("(?:.*\n)*?" if line == "…" else
                      ".*?".join(map(re.escape, line.split("…"))) + "\n" for line in expected)
    return re.fullmatch(pattern, seen) is not None


class Shell:
    """bash, one command after the other; each yields exit code and output."""

    def __init__(self, user, port):
        binary = pathlib.Path(kvsnode.binary()).resolve()
        tools = user.folder / "bin"
        tools.mkdir()
        (tools / "kvs").symlink_to(binary)
        env = {**user.env, "PATH": f"{tools}:{os.environ['PATH']}", "KVS_URL": f"http://127.0.0.1:{port}", "TZ": "UTC"}
        self.process = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=user.folder, env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)

    def run(self, command):
        watchdog = threading.Timer(3 * kvsnode.DEADLINE_S, self.end)
        watchdog.start()
        try:
            self.process.stdin.write(f"{command}\necho {MARK} $?\n")
            self.process.stdin.flush()
            seen = ""
            for line in self.process.stdout:
                if line.startswith(MARK):
                    return int(line.split()[1]), seen
                seen += line
        finally:
            watchdog.cancel()
        raise AssertionError(f"the shell ended in {command}: {seen}")

    def end(self):
        """The shell and what it runs; nodes are sessions of their own."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=kvsnode.DEADLINE_S)


@pytest.fixture
def user(tmp_path):
    someone = User(tmp_path / "user")
    yield someone
    someone.close()


def test_every_command_of_the_page_does_what_it_says(user):
    ports = {port: str(kvsnode.free_port()) for port in PORTS}

    def ours(text):
        return re.sub("|".join(PORTS), lambda found: ports[found[0]], text)
    steps = transcript()
    assert len(steps) > 80
    # `kvs start node1` would take port 8080: the file that it creates gets another port before the page begins.
    user.ok("start", "node1", env={"KVS_CFG_PORT": ports["8080"]})
    user.ok("stop", "node1")
    with (user.folder / "node1.yaml").open("a") as config:
        config.write(f"port: {ports['8080']}\nrate_limit_requests: 100000\n")
    shell = Shell(user, ports["8080"])
    try:
        for number, command, expected in steps:
            code, seen = shell.run(ours(command))
            where = f"{PAGE.name}:{number}: $ {command}"
            assert code == 0, (where, seen)
            assert matches([ours(line) for line in expected], seen), (where, expected, seen)
    finally:
        shell.close()


def test_the_page_is_found_from_help_and_readme():
    done = subprocess.run([kvsnode.binary(), "help", "tasks"], capture_output=True, text=True, check=True, timeout=300)
    assert "docs/tasks.md" in done.stdout
    assert "docs/tasks.md" in (PAGE.parents[1] / "README.md").read_text()


@pytest.mark.parametrize("expected,seen,good", [
    ([], "", True), ([], "x\n", False), (["…"], "", True), (["…"], "a\nb\n", True), (["a…c"], "abc\n", True),
    (["a"], "ab\n", False), (["…", "b"], "a\nb\n", True), (["…", "b"], "a\n", False), (["a"], "a\nb\n", False),
])
def test_the_comparison_can_fail(expected, seen, good):
    assert matches(expected, seen) == good
