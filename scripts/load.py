#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Loads records into a node over several kept-alive connections: load.py URL < records.ndjson, one
{"key":…,"value":…} a line. Prints how many and how fast; exit 1 when the node refuses one."""
import argparse
import http.client
import json
import sys
import threading
import time
import urllib.parse


def requests_of(lines):
    for line in lines:
        record = json.loads(line)
        yield ("/kv/" + urllib.parse.quote(record["key"], safe="/"),
               json.dumps(record["value"], ensure_ascii=False, separators=(",", ":")).encode())


class Loader:
    def __init__(self, url, requests):
        self.address = urllib.parse.urlsplit(url).netloc
        self.requests = iter(requests)
        self.lock = threading.Lock()
        self.loaded = 0
        self.error = None

    def next_one(self):
        with self.lock:
            return None if self.error else next(self.requests, None)

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            while request := self.next_one():
                connection.request("PUT", *request)
                response = connection.getresponse()
                body = response.read()
                if response.status not in (200, 201):
                    raise RuntimeError(f"{request[0]}: {response.status} {body.decode(errors='replace')}")
                with self.lock:
                    self.loaded += 1
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            self.error = error
        finally:
            connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    loader = Loader(arguments.url, list(requests_of(sys.stdin)))
    started = time.monotonic()
    threads = [threading.Thread(target=loader.run) for _ in range(arguments.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    if loader.error:
        sys.exit(f"load.py: {loader.error}")
    print(f"{loader.loaded} records in {seconds:.1f} s ({loader.loaded / seconds:.0f} a second, "
          f"each on the disk before it was acknowledged)")


if __name__ == "__main__":
    main()
