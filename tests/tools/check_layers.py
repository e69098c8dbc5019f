#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A folder of src/ includes only folders of lower rank (and itself); the pure folders know no clock,
socket, file or thread; RocksDB stays in store/, libuv in net/ and server/. Exit 1 lists what breaks it."""
import pathlib
import re
import sys

RANKS = {
    "base": 0, "config": 1, "codec": 1, "store": 2, "digest": 2, "repl": 3, "auth": 4, "audit": 4,
    "node": 5, "api": 6, "http": 7, "net": 8, "client": 9, "server": 9, "daemon": 9, "cmd": 10,
}
PURE = {"codec", "digest", "repl"}
IMPURE_HEADERS = re.compile(
    r"^(pthread|time|sys/(?!types)|unistd|fcntl|netinet|arpa|poll|signal|stdio|uv|curl|threads|rocksdb)")
ONLY_IN = {"rocksdb/": {"store"}, "uv.h": {"net", "server"}, "llhttp.h": {"http"},
           "curl/": {"client", "net"}, "yaml.h": {"config"}}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def problems(root):
    source = root / "src"
    for path in sorted(source.rglob("*.[ch]")):
        folder = path.relative_to(source).parts[0]
        if folder not in RANKS:
            yield f"{path.relative_to(root)}: folder '{folder}' has no rank"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(2)
            where = f"{path.relative_to(root)}:{number}"
            top = target.split("/")[0]
            if match.group(1) == '"' and top in RANKS and top != folder:
                if RANKS[top] >= RANKS[folder]:
                    yield f"{where}: {folder} [{RANKS[folder]}] includes {top} [{RANKS[top]}]"
                if target.endswith("_internal.h"):
                    yield f"{where}: {target} is internal to {top}"
            if folder in PURE and match.group(1) == "<" and IMPURE_HEADERS.match(target):
                yield f"{where}: {folder} is pure and may not include <{target}>"
            for prefix, allowed in ONLY_IN.items():
                if target.startswith(prefix) and folder not in allowed:
                    yield f"{where}: <{target}> belongs to {', '.join(sorted(allowed))} alone"


def main():
    found = list(problems(pathlib.Path(sys.argv[1])))
    print("\n".join(found) if found else "layers: all includes point downward")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
