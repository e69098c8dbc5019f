# SPDX-License-Identifier: Apache-2.0
"""The peer protocol's signatures and frames, written from docs/formats/peer-protocol.md and nothing else."""
import hashlib
import hmac
import os
import struct

NO_CHALLENGE = "0" * 32


def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def payload(messages):
    return b"".join(varint(len(message)) + message for message in messages)


def frames(messages):
    """A body in plain encoding."""
    return b"\x01\x00" + payload(messages)


def zstd_frames(messages):
    """A body in zstd encoding; the zstd frame holds raw blocks (RFC 8878, section 3.1), so that no library is needed."""
    data = payload(messages)
    blocks, step = b"", 1 << 17
    for at in range(0, len(data), step):
        part = data[at:at + step]
        last = at + step >= len(data)
        blocks += struct.pack("<I", len(part) << 3 | last)[:3] + part
    frame = struct.pack("<IBI", 0xFD2FB528, 0xA0, len(data)) + blocks
    return b"\x01\x01" + struct.pack(">I", len(data)) + frame


class Peer:
    """One sender: its name, its secret, its stream to one node."""

    def __init__(self, secret, node_id="foreign"):
        self.request_key = mac(secret.encode(), b"kvs peer request v1")
        self.answer_key = mac(secret.encode(), b"kvs peer answer v1")
        self.node_id = node_id
        self.stream = os.urandom(16).hex()
        self.counter = 0
        self.challenge = NO_CHALLENGE
        self.signature = None

    def header(self, method, target, body=b"", counter=None, challenge=None):
        """The value of X-KVS-Peer; remembers the signature for check()."""
        if counter is None:
            self.counter += 1
            counter = self.counter
        digest = hashlib.sha256(body).hexdigest()
        fields = [self.node_id, challenge or self.challenge, self.stream, str(counter), digest]
        text = "\n".join(["kvs-peer-request-v1", method, target, *fields])
        self.signature = mac(self.request_key, text.encode()).hex()
        return " ".join(["1", *fields, self.signature])

    def is_proven(self, response):
        """Has the node signed its answer to the last request?"""
        challenge = response.headers.get("x-kvs-peer-challenge", "")
        lines = ["kvs-peer-answer-v1", self.signature, str(response.status), challenge,
                 hashlib.sha256(response.body).hexdigest()]
        expected = mac(self.answer_key, "\n".join(lines).encode()).hex()
        return response.headers.get("x-kvs-peer-signature") == expected

    def post(self, connection, target, body=b"", **how):
        value = self.header("POST", target, body, **how)
        return connection.request("POST", target, body, {"X-KVS-Peer": value})

    def hello(self, connection):
        response = self.post(connection, "/peer/v1/hello")
        assert response.status == 204, response
        assert self.is_proven(response), response
        self.challenge = response.headers["x-kvs-peer-challenge"]
        return response

    def send(self, connection, messages):
        return self.post(connection, "/peer/v1/messages", frames(messages))
