# SPDX-License-Identifier: Apache-2.0
"""The servers under load, each in its own folder, on its own port and pinned to one core: KVS, nginx with an
answer that never changes, and redis (every write synced) behind webdis."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not path:
        raise SystemExit(f"bench: {name} is not installed: see scripts/packages.txt")
    return path


class Server:
    """One or more processes that serve HTTP on `port`."""
    name = ""
    base = "/"  # the path in front of a key, for reading
    put_base = "/"
    header = ""  # a complete line of every request, with its end

    def __init__(self, folder, core):
        self.folder = pathlib.Path(folder) / self.name
        self.folder.mkdir(parents=True)
        self.core = core
        self.port = free_port()
        self.processes = []

    def spawn(self, *arguments, **environment):
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen([command("taskset"), "-c", str(self.core), *map(str, arguments)], cwd=self.folder,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env={**os.environ, **environment})
        self.processes.append(process)
        return process

    def request(self, method, path, body=None, timeout_s=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            headers = dict([self.header.strip().split(": ", 1)]) if self.header else {}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def wait(self, path, deadline_s=120):
        """Until it answers 200; returns the seconds it took."""
        started = time.monotonic()
        while time.monotonic() - started < deadline_s:
            try:
                if self.request("GET", path)[0] == 200:
                    return time.monotonic() - started
            except OSError:
                pass
            if any(process.poll() is not None for process in self.processes):
                break
            time.sleep(0.001)
        raise SystemExit(f"bench: {self.name} does not start:\n" + (self.folder / "log").read_text(errors="replace")[-2000:])

    def stop(self, how=signal.SIGTERM):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(how)
            process.wait(timeout=60)
        self.processes = []

    def cpu_seconds(self):
        """User and system time of all its processes and threads so far."""
        total = 0
        for process in self.processes:
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def _sum(self, file, field):
        total = 0
        for process in self.processes:
            for line in pathlib.Path(f"/proc/{process.pid}/{file}").read_text().splitlines():
                if line.startswith(field + ":"):
                    total += int(line.split()[1])
        return total

    def written_bytes(self):
        """Handed to the block device so far."""
        return self._sum("io", "write_bytes")

    def resident_bytes(self):
        return self._sum("status", "VmRSS") * 1024


class Kvs(Server):
    name = "kvs"
    base = put_base = "/kv/bench/"
    settings = {"auth_enabled": False}

    def __init__(self, folder, core, binary):
        super().__init__(folder, core)
        self.binary = pathlib.Path(binary).resolve()
        settings = {"node_id": "bench", "port": self.port, "backup_enabled": False, "http_threads": 1,
                    "log_level": "warn", **self.settings}
        config = self.folder / "node.yaml"
        config.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items()))
        config.chmod(0o600)

    def start(self):
        self.spawn(self.binary, self.folder / "node.yaml", HOME=str(self.folder))
        return self.wait("/ready")


class KvsAuth(Kvs):
    """KVS that asks for a token, checks permission bits (those of an ancestor) and counts requests."""
    name = "kvs-auth"
    settings = {"auth_enabled": True, "rate_limit_requests": 1_000_000_000, "rate_limit_window": "1h"}

    def start(self):
        seconds = super().start()
        if not self.header:
            log = (self.folder / "log").read_text()
            token = next(line for line in log.splitlines() if line.startswith("Token: ")).removeprefix("Token: ")
            self.header = f"Authorization: Bearer {token}\r\n"
            user = self.ask("POST", "/api/users", {"nickname": "bench"})["uuid"]
            self.ask("PUT", "/kv/bench/metadata", {"owner_uuid": user})
            order = {"user_uuid": user, "scopes": ["read", "write"], "ttl": "24h"}
            self.header = f"Authorization: Bearer {self.ask('POST', '/api/tokens', order)['token']}\r\n"
        return seconds

    def ask(self, method, path, body):
        status, answer = self.request(method, path, json.dumps(body))
        if status not in (200, 201):
            raise SystemExit(f"bench: {self.name}: {answer!r}")
        return json.loads(answer)


class Nginx(Server):
    """The limit for HTTP: an answer out of the configuration, as many bytes as KVS's."""
    name = "nginx"

    def __init__(self, folder, core):
        super().__init__(folder, core)
        self.answer = b"{}"

    def start(self):
        (self.folder / "nginx.conf").write_text(f"""
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on;
  client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {{
    listen 127.0.0.1:{self.port};
    location / {{ default_type application/json; return 200 '{self.answer.decode()}'; }}
  }}
}}
""")
        self.spawn(command("nginx"), "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", "stderr")
        return self.wait("/")


class Webdis(Server):
    """redis with appendfsync always, and webdis in front of it."""
    name = "webdis"
    base = "/GET/bench:"
    put_base = "/SET/bench:"

    def start(self):
        redis_port = free_port()
        self.spawn(command("redis-server"), "--port", redis_port, "--bind", "127.0.0.1", "--appendonly", "yes",
                   "--appendfsync", "always", "--save", "", "--dir", self.folder, "--daemonize", "no")
        (self.folder / "webdis.json").write_text(json.dumps({
            "redis_host": "127.0.0.1", "redis_port": redis_port, "http_host": "127.0.0.1", "http_port": self.port,
            "threads": 1, "pool_size": 20, "daemonize": False, "database": 0, "verbosity": 0, "logfile": "/dev/null"}))
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", redis_port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.01)
        self.spawn(command("webdis"), self.folder / "webdis.json")
        return self.wait("/PING")
