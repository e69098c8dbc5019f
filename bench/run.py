#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: KVS beside nginx and redis+webdis, on the same machine in the same run.

Servers are pinned to one core, wrk with 64 kept-alive connections to the other. The runs of all servers are
interleaved; what is printed are medians. Reads are cached ones; writes are durable on all sides. The last
published table is in bench/results."""
import argparse
import dataclasses
import datetime
import os
import pathlib
import platform
import random
import re
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import cluster
from servers import Kvs, KvsAuth, Nginx, Webdis, command

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS = 64
VALUE_SIZE = 250
SERVER_CORE, LOAD_CORE = 0, 1


@dataclasses.dataclass
class Run:
    per_second: float
    cpu_us: float      # of the server, a request
    p50_ms: float
    p99_ms: float
    max_ms: float
    amplification: float  # bytes written to the device for each byte of key and value


# ---- the load

def make_values(count=256):
    """JSON documents of VALUE_SIZE bytes that compress about as well as real ones do."""
    rng = random.Random(1)
    words = ("river house seven light morning glass north paper window garden bread summer stone field music "
             "copper letter winter market bridge silver mountain yellow island").split()
    values = []
    for _ in range(count):
        value = f'{{"id":{rng.randrange(10**9)},"token":"{rng.randbytes(24).hex()}","active":true,"text":"'
        while len(value) < VALUE_SIZE:
            value += rng.choice(words) + " "
        values.append(value[:VALUE_SIZE - 2] + '"}')
    assert all(len(value) == VALUE_SIZE for value in values)
    return values


def measure(server, mode, options, seed):
    """One wrk run; any answer but 2xx is an error that ends the bench."""
    base = server.base if mode == "get" else server.put_base
    cpu, written = server.cpu_seconds(), server.written_bytes()
    done = subprocess.run(
        [command("taskset"), "-c", str(LOAD_CORE), command("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{options.seconds}s",
         "-s", HERE / "load.lua", f"http://127.0.0.1:{server.port}", "--", mode, base, str(options.keys), str(seed),
         options.values_file, server.header], capture_output=True, text=True, check=False)
    cpu, written = server.cpu_seconds() - cpu, server.written_bytes() - written
    match = re.search(r"^RESULT (\d+) (\S+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.M)
    if not match or int(match.group(3)) or not int(match.group(1)):
        sys.exit(f"bench: {server.name} {mode}: wrk failed or an answer was no 2xx\n{done.stdout}{done.stderr}")
    requests, seconds = int(match.group(1)), float(match.group(2))
    p50, p99, most = (int(match.group(n)) / 1000 for n in (4, 5, 6))
    payload = requests * (VALUE_SIZE + 16)
    return Run(requests / seconds, cpu / requests * 1e6, p50, p99, most, written / payload)


def fill(server, count, values):
    """PUTs keys 0 … count - 1 over as many connections as wrk uses; returns keys a second."""
    selector = selectors.DefaultSelector()
    numbers = iter(range(count))
    started = time.monotonic()

    def send_next(connection):
        number = next(numbers, None)
        if number is None:
            selector.unregister(connection)
            connection.close()
            return
        value = values[number % len(values)]
        connection.sendall(f"PUT {server.put_base}{number} HTTP/1.1\r\nHost: bench\r\n{server.header}"
                           f"Content-Length: {len(value)}\r\n\r\n{value}".encode())

    for _ in range(min(CONNECTIONS, count)):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        selector.register(connection, selectors.EVENT_READ)
        send_next(connection)
    while selector.get_map():
        for ready, _ in selector.select(timeout=60) or sys.exit(f"bench: {server.name} stalls while it is filled"):
            answer = ready.fileobj.recv(65536)  # one small answer, in one segment
            if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
                sys.exit(f"bench: {server.name}: {answer[:300]!r}")
            send_next(ready.fileobj)
    return count / (time.monotonic() - started)


# ---- the comparison

def compare(folder, options, values):
    """{(scenario, server name): [Run …]} with the runs of all servers interleaved."""
    kvs, nginx, webdis = Kvs(folder, SERVER_CORE, options.kvs), Nginx(folder, SERVER_CORE), Webdis(folder, SERVER_CORE)
    auth = KvsAuth(folder, SERVER_CORE, options.kvs)
    runs = {}
    try:
        kvs.start()
        auth.start()
        webdis.start()
        for server in (kvs, auth, webdis):
            print(f"filling {server.name} with {options.keys} keys …", flush=True)
            fill(server, options.keys, values)
        nginx.answer = kvs.request("GET", kvs.base + "0")[1]
        nginx.start()
        for number in range(options.runs):
            for mode, servers in (("get", (nginx, kvs, auth, webdis)), ("new", (webdis, kvs, auth)),
                                  ("over", (webdis, kvs, auth))):
                for server in servers:
                    run = measure(server, mode, options, number + 1)
                    runs.setdefault((mode, server.name), []).append(run)
                    print(f"run {number + 1}: {mode:4} {server.name:8} {run.per_second:8.0f}/s", flush=True)
    finally:
        for server in (kvs, auth, webdis, nginx):
            server.stop()
    return runs


def median(runs, field):
    return statistics.median(getattr(run, field) for run in runs)


TITLES = {"get": "GET, cached", "new": "PUT, new keys, durable", "over": "PUT, overwriting, durable"}
LABELS = {"kvs": "KVS", "kvs-auth": "KVS, token + permissions + rate limit",
          "nginx": "nginx, static", "webdis": "redis + webdis"}


def comparison_table(runs):
    lines = ["| what | server | requests/s | CPU µs/request | p50 ms | p99 ms | max ms | written / payload | KVS : it, rate | KVS : it, CPU |",
             "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for (mode, name), of_server in runs.items():
        rate, cpu = median(of_server, "per_second"), median(of_server, "cpu_us")
        ours = runs[(mode, "kvs")]
        ratios = "| | |" if name == "kvs" else (f"| {median(ours, 'per_second') / rate:.2f} "
                                              f"| {median(ours, 'cpu_us') / cpu:.2f} |" if cpu else "| | |")
        written = "" if mode == "get" else f"{median(of_server, 'amplification'):.1f}"
        lines.append(f"| {TITLES[mode]} | {LABELS[name]} | {rate:.0f} | {cpu:.1f} | {median(of_server, 'p50_ms'):.2f} "
                     f"| {median(of_server, 'p99_ms'):.2f} | {max(run.max_ms for run in of_server):.0f} | {written} {ratios}")
    return lines


# ---- KVS alone

def start_up(folder, options, values):
    """Memory when empty, start with many keys, listing rate: rows of (what, figure)."""
    server = Kvs(folder, SERVER_CORE, options.kvs)
    rows = []
    try:
        server.start()
        rows.append(("memory of an empty node (RSS)", f"{server.resident_bytes() / 2**20:.1f} MiB"))
        print(f"filling a node with {options.many_keys} keys …", flush=True)
        written = server.written_bytes()
        rate = fill(server, options.many_keys, values)
        payload = options.many_keys * (VALUE_SIZE + 12)
        rows.append((f"{options.many_keys} new keys loaded by this script", f"{rate:.0f}/s"))
        rows.append(("written to the device meanwhile / payload", f"{(server.written_bytes() - written) / payload:.1f}"))
        rows.append((f"listing with values, {options.many_keys} keys", f"{listing_rate(server):.0f} records/s"))
        rows.append(("memory after that (RSS)", f"{server.resident_bytes() / 2**20:.0f} MiB"))
        for how, label in ((signal.SIGTERM, "a clean stop"), (signal.SIGKILL, "kill -9")):
            server.stop(how)
            rows.append((f"start with {options.many_keys} keys after {label}, until ready", f"{server.start():.2f} s"))
    finally:
        server.stop()
    return rows


def listing_rate(server):
    """Pages of 1000 with values through everything, over one connection."""
    count, cursor, seconds = 0, "", 0.0
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            started = time.monotonic()
            connection.sendall(f"GET /kv/?values=1&limit=1000{more} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            data = receive(connection)
            seconds += time.monotonic() - started
            count += data.count(b'{"path":')
            match = re.search(rb'"next":"([^"]+)"\}\s*$', data[-4096:])
            if not match:
                return count / seconds
            cursor = match.group(1).decode()


def receive(connection):
    data = bytearray()
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 20) or sys.exit("bench: the connection was closed")
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    size = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
    parts = [body]
    left = size - len(body)
    while left > 0:
        part = connection.recv(1 << 20) or sys.exit("bench: the connection was closed")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


# ---- the report

def file_system(path):
    """Type of the file system that holds `path`."""
    best = ("", "?")
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mount, kind = line.split()[:3]
        if os.path.commonpath([mount, str(path)]) == mount and len(mount) > len(best[0]):
            best = (mount, kind)
    return best[1]


def machine(folder):
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) / 2**20
    kernel = ".".join(re.findall(r"\d+", platform.release())[:2])
    return f"{os.cpu_count()} cores, {memory:.0f} GiB memory, Linux {kernel}, {file_system(folder)}"


def report(runs, rows, cluster_rows, options, folder):
    lines = [f"# Benchmark of {datetime.date.today()}", "", f"Machine: {machine(folder)}.",
             f"Server on one core, wrk with {CONNECTIONS} connections on the other; values of {VALUE_SIZE} bytes, "
             f"{options.keys} keys;", f"medians of {options.runs} interleaved runs of {options.seconds} s (max: of all runs). "
             "Made by `make bench`.", ""]
    if runs:
        lines += comparison_table(runs) + [""]
    if rows:
        lines += ["| KVS alone | |", "|---|---:|"] + [f"| {what} | {figure} |" for what, figure in rows] + [""]
    if cluster_rows:
        lines += ["Nodes, load and samplers on the same cores; bench/cluster.py says how each is measured.", "",
                  "| KVS as a cluster | |", "|---|---:|"]
        lines += [f"| {what} | {figure} |" for what, figure in cluster_rows] + [""]
    return "\n".join(lines)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kvs", default="build-release/kvs", help="the program to measure")
    parser.add_argument("--quick", action="store_true", help="small and short: does it work? Nothing is saved")
    parser.add_argument("--runs", type=int, help="runs of each (5)")
    parser.add_argument("--seconds", type=int, help="of each run (10)")
    parser.add_argument("--keys", type=int, help="for GET and overwriting (100000)")
    parser.add_argument("--many-keys", type=int, help="for start-up and listing (1000000)")
    parser.add_argument("--dir", type=pathlib.Path, help="where the data lie: a real disk (beside the program)")
    parser.add_argument("--only", choices=("compare", "alone", "cluster"), help="only one of the tables")
    options = parser.parse_args()
    defaults = (1, 2, 5000, 20000) if options.quick else (5, 10, 100_000, 1_000_000)
    for name, value in zip(("runs", "seconds", "keys", "many_keys"), defaults):
        if getattr(options, name) is None:
            setattr(options, name, value)
    if os.cpu_count() < 2:
        parser.error("it takes two cores: one for the server, one for the load")
    if not os.access(options.kvs, os.X_OK):
        parser.error(f"{options.kvs}: no such program")
    return options


def main():
    options = parse_arguments()
    values = make_values()
    beside = (options.dir or pathlib.Path(options.kvs).parent).resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kvs-bench-", dir=beside))
    try:
        options.values_file = str(folder / "values")
        pathlib.Path(options.values_file).write_text("\n".join(values) + "\n")
        runs = compare(folder / "compare", options, values) if options.only in (None, "compare") else {}
        rows = start_up(folder / "alone", options, values) if options.only in (None, "alone") else []
        cluster_rows = cluster.rows(folder / "cluster", options, values) if options.only in (None, "cluster") else []
        text = report(runs, rows, cluster_rows, options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + text)
    if not options.quick and not options.only:
        path = HERE / "results" / f"{datetime.date.today()}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"saved as {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
