# SPDX-License-Identifier: Apache-2.0
"""Several real nodes as one cluster, and a foreign peer that speaks the documented routes."""
import kvsnode

SECRET = "a secret of the tests"
HEADERS = {"X-Cluster-Secret": SECRET, "X-Node-ID": "stranger"}
FAST = {"cluster_secret": SECRET, "gossip_interval_min": 1, "gossip_interval_max": 1, "sync_interval": 3,
        "catchup_interval": 3, "probe_interval_ms": 200, "suspect_timeout_ms": 1000, "throttle_delay_ms": 0,
        "fetch_delay_ms": 0}
# Where a member has to be alive for as long as the test goes on, however busy the machine is.
PATIENT = {**FAST, "suspect_timeout_ms": 600000, "gossip_interval_max": 3600}


def make_cluster(make_node, names, **settings):
    """Nodes of these names, all knowing the first one; returns once each sees all as alive."""
    nodes = []
    for name in names:
        seeds = [f"127.0.0.1:{nodes[0].port}"] if nodes else []
        nodes.append(make_node(name, seed_nodes=seeds, **{**FAST, **settings}))
    for node in nodes:
        kvsnode.wait_until(lambda n=node: member_count(n) == len(nodes) and mode(n) != "syncing",
                           f"{node.folder.name} sees {len(nodes)} members")
    return nodes


def wait_member_count(node, count):
    """Until it sees so many as alive. On a busy machine a living one is suspected now and then, and refutes it."""
    kvsnode.wait_until(lambda: member_count(node) == count, f"{node.folder.name} sees {count} members")


def wait_state(node, name, wanted):
    kvsnode.wait_until(lambda: state(node, name) == wanted, f"{node.folder.name} sees {name} as {wanted}")


def health(node):
    return node.get("/health").json()


def member_count(node):
    return health(node)["member_count"]


def mode(node):
    return health(node)["mode"]


def members(node, everyone=False):
    """{id: member}"""
    listed = node.get("/members/?all=1" if everyone else "/members/").json()
    return {member["id"]: member for member in listed}


def state(node, name):
    found = members(node, everyone=True).get(name)
    return found and found["state"]


def peer(node, method, target, body=None, **headers):
    """A request of a foreign peer."""
    return node.request(method, target, body, {**HEADERS, **headers})


def metric(node, name):
    """The value of a series, written as in /metrics with its labels."""
    for line in node.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    return None
