#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How fast data moves: kvs import of generated records into one node, export from it, import of that into a second
node, and whether an export of the second is the same, byte for byte. Nodes have durability sync; no core is pinned.
The CPU columns are user and system time of client and node for each record, which a busy machine disturbs least; what
the engine compacts behind an import is in the column of the step that it falls into, and at the end.

    bench/move.py --kvs build-release/kvs --records 1000000"""
import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import time

from servers import Kvs

ALL_CORES = ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))


def generate(path, count, value_size):
    """Keys like real ones, out of order; values of about `value_size` bytes."""
    padding = "x" * max(0, value_size - 60)
    with open(path, "w", encoding="utf-8") as file:
        for n in range(count):
            scattered = n * 7919 % count
            record = {"path": f"app/{scattered % 1000:03}/user-{scattered:08}",
                      "data": {"id": scattered, "name": f"user {n}", "score": n / 4, "text": padding}}
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def run(binary, *arguments):
    """Seconds, and seconds of the client's CPU."""
    before = os.times()
    start = time.monotonic()
    subprocess.run([str(binary), *arguments], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - start
    after = os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--kvs", type=pathlib.Path, required=True)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--value-size", type=int, default=250)
    options = parser.parse_args()
    binary = options.kvs.resolve()
    with tempfile.TemporaryDirectory(prefix="kvs-move-") as folder:
        folder = pathlib.Path(folder)
        nodes = []
        try:
            for name in ("a", "b"):
                (folder / name).mkdir()
                node = Kvs(folder / name, ALL_CORES, binary)
                nodes.append(node)
                node.start()
            urls = [f"http://127.0.0.1:{node.port}" for node in nodes]
            files = {name: folder / f"{name}.ndjson" for name in ("in", "a", "b")}
            generate(files["in"], options.records, options.value_size)
            print("| step | records/s | client CPU, µs a record | node CPU, µs a record | both |\n|---|---|---|---|---|")
            for node, step, *arguments in ((0, "import", "import", str(files["in"])),
                                           (0, "export", "export", str(files["a"])),
                                           (1, "import of that", "import", str(files["a"])),
                                           (1, "export of that", "export", str(files["b"]))):
                before = nodes[node].cpu_seconds()
                wall, client = run(binary, *arguments, "--url", urls[node])
                server = nodes[node].cpu_seconds() - before
                each = [seconds * 1e6 / options.records for seconds in (client, server, client + server)]
                print(f"| {step} | {options.records / wall:,.0f} | " + " | ".join(f"{cpu:.1f}" for cpu in each) + " |",
                      flush=True)
            same = digest(files["a"]) == digest(files["b"])
            print(f"\nboth exports the same: {'yes' if same else 'NO'}")
            return 0 if same else 1
        finally:
            for node in nodes:
                node.stop()


if __name__ == "__main__":
    raise SystemExit(main())
