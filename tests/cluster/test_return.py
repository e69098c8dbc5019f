# SPDX-License-Identifier: Apache-2.0
"""A node that was away for many writes and deletes comes back, is equal soon, and moves only what differs.
KVS_RETURN_CHANGES sets how many there are (2000; 100000 in make soak)."""
import json
import os
import random

from kvscluster import wait_equal
from kvsnode import wait_until

CHANGES = int(os.environ.get("KVS_RETURN_CHANGES", "2000"))
BATCH = 500
READ_S = 30 + CHANGES / 200  # reading all of it takes the test itself a while


def write_batch(node, operations):
    for at in range(0, len(operations), BATCH):
        response = node.post("/kv_batch", json.dumps(operations[at:at + BATCH]).encode())
        assert response.status == 200, response
        bad = [result for result in response.json() if result["status"] not in (200, 201, 204)]
        assert not bad, bad[:3]


def moved_bytes(nodes):
    return sum(node.metric("kvs_peer_bytes_total", '{direction="sent"}') for node in nodes)


def test_a_node_that_was_away_moves_only_what_differs(make_cluster, seed):
    rng = random.Random(f"{seed}/away")
    cluster = make_cluster(3)
    keys = [f"base/{number:06d}" for number in range(4 * CHANGES)]
    base_bytes = 0
    operations = []
    for key in keys:
        value = rng.randbytes(200).hex()  # does not compress to less than 200
        base_bytes += len(value) // 2
        operations.append({"op": "put", "path": key, "data": value})
    write_batch(cluster[0], operations)
    wait_equal(cluster, READ_S)
    assert cluster[2].stop() == 0

    changed = rng.sample(keys, CHANGES // 2)
    deleted = changed[:CHANGES // 4]
    overwritten = changed[CHANGES // 4:]
    write_batch(cluster[0], [{"op": "delete", "path": key} for key in deleted])
    write_batch(cluster[1], [{"op": "put", "path": key, "data": 1} for key in overwritten])
    write_batch(cluster[0], [{"op": "put", "path": f"new/{number}", "data": number} for number in range(CHANGES // 2)])
    expected, _ = wait_equal(cluster.nodes[:2], READ_S)

    before = moved_bytes(cluster.nodes[:2])
    cluster[2].start()
    wait_until(cluster[2].is_ready, "it is ready")
    shown, seconds = wait_equal(cluster, READ_S)
    after = moved_bytes(cluster)
    assert shown == expected
    assert not set(deleted) & set(shown)
    moved = after - before
    fetched = cluster[2].metric("kvs_sync_versions_total", '{direction="fetched"}')
    print(f"{CHANGES} changes: equal {seconds:.1f} s after it was ready, {moved:.0f} bytes moved by all nodes, "
          f"{moved / CHANGES:.0f} a change, {fetched:.0f} versions by comparing")
    # All of the data would be at least this much; a change is a key, a version and a number.
    assert moved < base_bytes / 2, f"{moved:.0f} bytes moved for {CHANGES} changes; everything is {base_bytes}"
    cluster.assert_no_alarm()
