# SPDX-License-Identifier: Apache-2.0
"""A user with a HOME of his own who types kvs commands; whatever he leaves running is ended afterwards."""
import json
import os
import pathlib
import signal
import subprocess

import kvsnode


class User:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.home = self.folder / "home"
        self.home.mkdir(parents=True)
        self.kvs_home = self.home / ".kvs"
        self.env = kvsnode.clean_environment(self.home)

    def config(self, name="node1", folder="a", **settings):
        """Writes FOLDER/NAME.yaml with a port and a data folder of its own, unless settings name them."""
        settings = {"port": kvsnode.free_port(), "data_dir": f"./data-{name}", "auth_enabled": False, **settings}
        path = self.folder / folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items()))
        path.chmod(0o600)
        return path

    def popen(self, *words, cwd=None, env=None, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([kvsnode.binary(), *map(str, words)], cwd=cwd or self.folder,
                                env={**self.env, **(env or {})}, text=True, **options)

    def run(self, *words, cwd=None, env=None):
        """Runs `kvs WORDS` to its end; the result has returncode, stdout and stderr."""
        process = self.popen(*words, cwd=cwd, env=env)
        stdout, stderr = process.communicate(timeout=2 * kvsnode.DEADLINE_S)
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def ok(self, *words, **options):
        result = self.run(*words, **options)
        assert result.returncode == 0, (result.stdout, result.stderr)
        return result

    def status(self, *words):
        """{name: row} of `kvs status --json`."""
        rows = json.loads(self.run("status", "--json", *words).stdout)
        return {row["name"]: row for row in rows}

    def pid_file(self, name="node1"):
        return self.kvs_home / "pids" / f"{name}.pid"

    def log_lines(self, name="a_node1.yaml.log"):
        """The log's lines as objects, but for the plain ones of a first start."""
        text = kvsnode.whole_lines(self.kvs_home / "logs" / name)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def wait_for_log(self, message, name="a_node1.yaml.log"):
        def found():
            return [line for line in self.log_lines(name) if line["msg"] == message]
        return kvsnode.wait_until(found, f"'{message}' in {name}")

    def health(self, port):
        with kvsnode.Connection(port) as connection:
            return connection.request("GET", "/health")

    def close(self):
        for row in self.status().values():
            if row["pid"]:
                os.kill(row["pid"], signal.SIGCONT)
                self.run("stop", "--force", "--timeout", "10", row["config"])
