# SPDX-License-Identifier: Apache-2.0
"""kill -9 under audited writes and reads, also while the node seals its audit log at a stop: the chain stays
intact, every acknowledged request has its entry, and no entry speaks of what was never sent.
KVS_KILL_ROUNDS sets the number of rounds (a third of it), KVS_KILL_SEED repeats a run's choices."""
import json
import os
import random
import signal
import subprocess
import threading

from kvsnode import DEADLINE_S, binary, clean_environment, wait_until

ROUNDS = max(1, int(os.environ.get("KVS_KILL_ROUNDS", "20")) // 3)
WRITERS = 4


class Writer(threading.Thread):
    """Puts, deletes and reads with request ids of its own, and notes what was answered."""

    def __init__(self, node, index, round_number, seed):
        super().__init__()
        self.node, self.prefix = node, f"r{round_number}-w{index}"
        self.rng = random.Random(f"{seed}/{self.prefix}")
        self.sent, self.answered = {}, {}  # request id -> outcome

    def run(self):
        try:
            with self.node.connect() as connection:
                while True:
                    self.step(connection)
        except (OSError, EOFError):
            pass  # killed

    def step(self, connection):
        request_id = f"{self.prefix}-{len(self.sent)}"
        method, body = self.rng.choice((("PUT", 1), ("PUT", {"a": "b" * self.rng.randrange(2000)}), ("DELETE", None),
                                        ("GET", None)))
        key = f"/kv/{self.prefix}/{self.rng.randrange(5)}"
        self.sent[request_id] = None
        response = connection.request(method, key, body, {"X-Request-ID": request_id})
        if response.status != 503:  # shutting down
            self.answered[request_id] = {200: "ok", 201: "ok", 204: "ok", 404: "not_found"}[response.status]


def audit(folder, *arguments):
    return subprocess.run([binary(), "audit", *map(str, arguments)], capture_output=True, timeout=DEADLINE_S, check=False,
                          env=clean_environment(folder), cwd=folder)


def test_the_audit_log_survives_kill_9(make_node):
    seed = os.environ.get("KVS_KILL_SEED") or str(random.randrange(2**32))
    print(f"KVS_KILL_SEED={seed}")
    rng = random.Random(seed)
    node = make_node(tamper_log_actions=["all"])
    data = node.folder / "data"
    sent, answered = {}, {}
    for round_number in range(ROUNDS):
        writers = [Writer(node, index, round_number, seed) for index in range(WRITERS)]
        for writer in writers:
            writer.start()
        target = rng.choice((1, 10, 100, 400))
        wait_until(lambda: sum(len(w.answered) for w in writers) >= target, "enough is answered")
        if rng.random() < 0.5:  # while it seals, or before, or behind
            node.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "node stopping" in node.log_text().splitlines()[-1] or node.process.poll() is not None,
                       "the node stops")
        node.kill()
        for writer in writers:
            writer.join(DEADLINE_S)
            assert not writer.is_alive()
            sent.update(writer.sent)
            answered.update(writer.answered)
        result = audit(node.folder, "verify", data, "--json")
        assert result.returncode == 0, result
        report = json.loads(result.stdout)
        assert report["good"] and report["breaks"] == 0, report
        node.start()
        check_entries(node, sent, answered)
    print(f"{len(answered)} requests answered, {report['roots']} roots")


def check_entries(node, sent, answered):
    seen, since = {}, 0
    with node.connect() as connection:
        while since is not None:
            page = connection.request("GET", f"/api/audit?limit=1000&since={since}").json()
            for entry in page["entries"]:
                if entry["request_id"] not in sent:
                    continue  # this test's own reads, the verification's
                assert entry["request_id"] not in seen, f"recorded twice: {entry}"
                seen[entry["request_id"]] = entry["outcome"]
            since = page["next"]
    missing = {request: outcome for request, outcome in answered.items() if seen.get(request) != outcome}
    assert not missing, f"answered, but not so in the log: {list(missing.items())[:5]}"
