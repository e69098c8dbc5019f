#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Loads records into a node over several kept-alive connections: load.py URL < records.ndjson, one
{"key":…,"value":…} a line. Prints how many and how fast; exit 1 when the node refuses one."""
import argparse
import json
import re
import selectors
import socket
import sys
import time
import urllib.parse

TIMEOUT_S = 30


def requests_of(lines, host):
    """(key, bytes of its PUT) of each line."""
    for line in lines:
        record = json.loads(line)
        body = json.dumps(record["value"], ensure_ascii=False, separators=(",", ":")).encode()
        head = (f"PUT /kv/{urllib.parse.quote(record['key'], safe='/')} HTTP/1.1\r\nHost: {host}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n")
        yield record["key"], head.encode() + body


class Connection:
    """One request under way, the next as soon as it is answered."""

    def __init__(self, address, requests):
        self.socket = socket.create_connection(address, timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests = requests
        self.key = None
        self.answer = b""

    def send_next(self):
        """False when there is nothing left to send."""
        self.key, request = next(self.requests, (None, b""))
        self.socket.sendall(request)
        return self.key is not None

    def receive(self):
        """True once the answer is complete; raises when it is no success."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"{self.key}: the node closed the connection")
        self.answer += data
        head, end, body = self.answer.partition(b"\r\n\r\n")
        if not end or len(body) < int(re.search(rb"(?i)content-length: *(\d+)", head).group(1)):
            return False
        if not re.match(rb"HTTP/1\.1 20[01] ", head):
            raise RuntimeError(f"{self.key}: {body.decode(errors='replace')}")
        self.answer = b""
        return True


def load(address, requests, connections):
    """Returns how many were stored."""
    loaded = 0
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = Connection(address, requests)
            if connection.send_next():
                selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map():
            ready = selector.select(TIMEOUT_S)
            if not ready:
                raise TimeoutError(f"no answer within {TIMEOUT_S} s")
            for key, _ in ready:
                if key.data.receive():
                    loaded += 1
                    if not key.data.send_next():
                        selector.unregister(key.fileobj)
    return loaded


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    url = urllib.parse.urlsplit(arguments.url)
    requests = list(requests_of(sys.stdin, url.netloc))
    started = time.monotonic()
    try:
        loaded = load((url.hostname, url.port or 80), iter(requests), arguments.connections)
    except (OSError, RuntimeError) as error:
        sys.exit(f"load.py: {error}")
    seconds = time.monotonic() - started
    print(f"{loaded} records in {seconds:.1f} s, {loaded / seconds:.0f} a second, "
          "each on the disk before it was acknowledged")


if __name__ == "__main__":
    main()
