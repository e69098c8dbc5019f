# SPDX-License-Identifier: Apache-2.0
"""kvs diff and POST /kv_compare: nodes of one cluster by fingerprints, others as well as may be, and nobody learns
of what he may not read."""
import contextlib
import json
import os
import pty
import re
import subprocess
import uuid

import pytest

import kvsnode
from kvsaccounts import make_user, start_with_accounts
from kvsfake import FakeNode
from test_data_api import assert_problem
from test_receipts import LONG, make_cluster, put


def run_diff(a, b, *args, token=None):
    environment = kvsnode.clean_environment(a.home)
    if token:
        environment["KVS_TOKEN"] = token
    return subprocess.run([kvsnode.binary(), "diff", f"127.0.0.1:{a.port}", b.url, *args], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=300, check=False, env=environment, text=True)


def diff(a, b, *args, note=""):
    """(exit code, lines); what is on stderr must be the note that is expected, or nothing."""
    run = run_diff(a, b, *args)
    assert (note in run.stderr and run.stderr.count("note:") == 1) if note else run.stderr == "", run.stderr
    return run.returncode, run.stdout.splitlines()


def found(a, b, *args, note=""):
    code, lines = diff(a, b, *args, "--json", note=note)
    assert code == (1 if lines else 0)
    return {entry["path"]: entry for entry in map(json.loads, lines)}


def batch(node, keys, value=1, prefer=f"nodes=2, {LONG}"):
    for at in range(0, len(keys), 1000):
        entries = [{"op": "put", "path": key, "data": value} for key in keys[at:at + 1000]]
        assert node.request("POST", "/kv_batch", entries, {"Prefer": prefer}).status == 200


def asked(node):
    """How many questions the node has answered so far."""
    return node.log_text().count('"/kv_compare"')


def requests_of(a, b, *args):
    before = asked(a), asked(b)
    result = diff(a, b, *args)
    # The line of a request may come a moment behind its answer, but before the one loop looks at another request.
    assert a.get("/kv/?limit=1").status == b.get("/kv/?limit=1").status == 200
    return result, asked(a) - before[0], asked(b) - before[1]


def part(nodes):
    """The second node's cluster secret changes: they are still of one cluster, and exchange nothing any more."""
    nodes[1].settings["cluster_secret"] = "another secret, of nobody else"
    nodes[1].restart()


@pytest.fixture
def two(make_node):
    return make_cluster(make_node, ["alpha", "beta"], access_log="all", http_threads=1)


def test_a_few_differences_among_many_keys(two):
    alpha, beta = two
    keys = [f"many/{i % 7}/{i:06}" for i in range(20000)]
    batch(alpha, keys)
    assert requests_of(alpha, beta) == ((0, []), 1, 1)
    assert requests_of(alpha, beta, "/many") == ((0, []), 1, 1)
    part(two)
    differ = sorted(keys[i] for i in (0, 4711, 4712, 19999))
    batch(beta, differ, 2, "nodes=1")
    put(alpha, "many/new", 1, "nodes=1")
    put(alpha, "other/new", 1, "nodes=1")
    result, of_alpha, of_beta = requests_of(alpha, beta, "many")
    assert result == (1, [f"!> {key}" for key in differ] + ["<  many/new"])
    assert of_alpha <= 4 and of_beta <= 4, (of_alpha, of_beta)
    same = next(n for n in range(7) if not any(k.startswith(f"many/{n}/") for k in differ))
    assert requests_of(alpha, beta, f"many/{same}") == ((0, []), 1, 1)
    assert requests_of(beta, alpha, "nothing/here") == ((0, []), 1, 1)
    code, lines = diff(beta, alpha)
    assert code == 1 and lines == [f"!< {key}" for key in differ] + [">  many/new", ">  other/new"]


def test_everything_differs(two):
    """Whole sides, page after page, with borders that fall anywhere, characters of several bytes included."""
    alpha, beta = two
    both = [f"b/é{i:05}" for i in range(0, 6000, 3)]
    batch(alpha, both)
    part(two)
    batch(alpha, [f"b/é{i:05}" for i in range(1, 6000, 3)], prefer="nodes=1")
    batch(beta, [f"b/é{i:05}" for i in range(2, 6000, 3)], prefer="nodes=1")
    batch(alpha, [f"a/{i}" for i in range(3000)], prefer="nodes=1")  # a part that the other has nothing of
    batch(beta, [f"c/{i}" for i in range(3000)], prefer="nodes=1")
    marks = {1: "< ", 2: "> "}
    wanted = [f"<  {k}" for k in sorted(f"a/{i}" for i in range(3000))]
    wanted += [f"{marks[i % 3]} b/é{i:05}" for i in range(6000) if i % 3]
    wanted += [f">  {k}" for k in sorted(f"c/{i}" for i in range(3000))]
    assert diff(alpha, beta) == (1, wanted)
    assert diff(alpha, beta, "a/") == (1, wanted[:3000])


def test_what_a_difference_shows(two):
    alpha, beta = two
    for key in ("app", "app/dead-here", "app/dead-there", "app/both", "app/revived", "apple", "app/late"):
        put(alpha, key, 1, f"nodes=2, {LONG}")
    part(two)
    members = {m["uuid"]: m["id"] for m in alpha.get("/members/?all=1").json()}
    for value in (1, 2):  # twice: what beta writes is later than what alpha did before, whatever the clock shows
        put(beta, "app", value, "nodes=1")
    assert alpha.delete("/kv/app/dead-here").status == 204
    assert beta.delete("/kv/app/dead-there").status == 204
    assert alpha.delete("/kv/app/both").status == 204
    put(beta, "app/both", 2, "nodes=1")
    assert beta.delete("/kv/app/both").status == 204
    assert alpha.delete("/kv/app/revived").status == 204
    for value in (2, 3):
        put(beta, "app/revived", value, "nodes=1")
    put(beta, "app/ttl", {"data": 1, "ttl": "1h"}, "nodes=1")
    assert beta.put("/kv/app/late?ttl=1ms", b"2").status == 200
    put(alpha, "apple", 2, "nodes=1")
    kvsnode.wait_until(lambda: beta.get("/kv/app/late").status == 404, "expired")

    assert diff(alpha, beta, "/app") == (1, ["!> app", "!> app/both", "x< app/dead-here", "x> app/dead-there",
                                             "!> app/late", "x< app/revived", ">  app/ttl"])
    entries = found(alpha, beta, "app")
    for path, entry in entries.items():
        assert path == entry["path"] and set(entry) == {"path", "difference", "wins", "a", "b"}
    app = entries["app"]
    assert (app["difference"], app["wins"]) == ("newer-b", "b")
    record = beta.get("/kv/app").json()
    assert (app["b"]["uuid"], app["b"]["timestamp"]) == (record["uuid"], record["timestamp"])
    assert app["a"]["uuid"] == alpha.get("/kv/app").json()["uuid"]
    assert (app["a"]["writer_id"], app["b"]["writer_id"]) == ("alpha", "beta")
    assert members[app["a"]["writer"]] == "alpha" and members[app["b"]["writer"]] == "beta"
    here, there = entries["app/dead-here"], entries["app/dead-there"]
    assert (here["difference"], here["wins"], here["a"]["deleted"]) == ("deleted-a", "a", True)
    assert "deleted" not in here["b"]
    assert (there["difference"], there["wins"], there["b"]["deleted"]) == ("deleted-b", "b", True)
    assert (entries["app/revived"]["difference"], entries["app/revived"]["wins"]) == ("deleted-a", "b")
    assert entries["app/both"]["a"]["deleted"] and entries["app/both"]["b"]["deleted"]
    assert entries["app/late"]["b"]["expired"] and "expired" not in entries["app/late"]["a"]
    assert entries["app/ttl"]["a"] is None and entries["app/ttl"]["b"]["expires_timestamp"] > record["timestamp"]
    # With a slash at the end not the key of that name; from the other side everything is the other way round.
    assert "app" not in found(alpha, beta, "app/")
    turned = found(beta, alpha, "app")
    assert {p: (e["b"], e["a"]) for p, e in turned.items()} == {p: (e["a"], e["b"]) for p, e in entries.items()}
    assert turned["app/dead-here"]["difference"] == "deleted-b" and turned["app/dead-here"]["wins"] == "b"

    # They meet again, and what was said to win has won.
    beta.settings["cluster_secret"] = alpha.settings["cluster_secret"]
    beta.restart()
    kvsnode.wait_until(lambda: run_diff(alpha, beta).returncode == 0, "they agree again")
    for node in two:
        assert node.get("/kv/app").json()["uuid"] == app["b"]["uuid"]
        assert node.get("/kv/app/dead-here").status == node.get("/kv/app/dead-there").status == 404
        assert node.get("/kv/app/revived").json()["data"] == 3


def test_what_a_person_sees(two):
    alpha, beta = two
    put(alpha, "app/gone", 1, f"nodes=2, {LONG}")
    part(two)
    put(beta, "app/new\u202e", 1, "nodes=1")
    assert alpha.delete("/kv/app/gone").status == 204
    controller, terminal = pty.openpty()
    process = subprocess.Popen([kvsnode.binary(), "diff", alpha.url, beta.url], stdin=terminal, stdout=terminal,
                               stderr=terminal, env=kvsnode.clean_environment(alpha.home))
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # the terminal's end
        while chunk := os.read(controller, 4096):
            seen += chunk
    os.close(controller)
    assert process.wait(timeout=300) == 1, seen
    heading, gone, new, sums = seen.decode().splitlines()
    assert heading.split() == [alpha.url, beta.url, "WINS", "KEY"]
    date = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"x<  {date} deleted by alpha +{date} by alpha +first   app/gone", gone)
    assert re.fullmatch(rf">   -  +{date} by beta +second  app/new\\u202e", new)
    assert gone.index("app/gone") == new.index("app/new") == heading.index("KEY")
    assert sums.startswith("2 keys differ: 0 only on ")


def test_a_deletion_that_the_other_never_heard_of(two):
    alpha, beta = two
    part(two)
    put(alpha, "gone", 1, "nodes=1")
    assert alpha.delete("/kv/gone").status == 204
    entries = found(alpha, beta)
    assert (entries["gone"]["difference"], entries["gone"]["b"]) == ("deleted-a", None)


def test_nodes_of_two_clusters(make_node):
    """Their fingerprints cannot be compared: everything is read, deletions included."""
    one = make_node("one", cluster_secret="the first cluster's secret")
    two = make_node("two", cluster_secret="the second cluster's secret")
    note = "belong to different clusters"
    assert diff(one, two, note=note) == (0, [])
    for key in ("app", "app/a", "app/gone", "app/only", "z"):
        one.put(f"/kv/{key}", b"1")
    for key in ("app/a", "app/gone", "application", "z/deep"):
        two.put(f"/kv/{key}", b"1")
    one.delete("/kv/app/gone")
    assert diff(one, two, note=note) == (1, ["<  app", "!> app/a", "x< app/gone", "<  app/only", ">  application",
                                             "<  z", ">  z/deep"])
    assert diff(one, two, "app", note=note) == (1, ["<  app", "!> app/a", "x< app/gone", "<  app/only"])
    assert diff(two, one, "app/", note=note) == (1, ["!< app/a", "x> app/gone", ">  app/only"])
    batch(one, [f"page/{i:04}" for i in range(2500)], prefer="nodes=1")
    batch(two, [f"page/{i:04}" for i in range(0, 2500, 2)], prefer="nodes=1")
    wanted = [f"{'<  ' if i % 2 else '!> '}page/{i:04}" for i in range(2500)]
    assert diff(one, two, "page", note=note) == (1, wanted)


def test_nodes_without_clustering(make_node):
    """Listings are all that can be compared."""
    one, two = make_node(clustering_enabled=False), make_node(clustering_enabled=False)
    note = "listings, which show no deletions"
    assert diff(one, two, note=note) == (0, [])
    for key in ("app", "app/a", "app/only", "z"):
        one.put(f"/kv/{key}", b"1")
    for key in ("app/a", "application", "z/deep"):
        two.put(f"/kv/{key}", b"1")
    wanted = ["<  app", "!> app/a", "<  app/only", ">  application", "<  z", ">  z/deep"]
    assert diff(one, two, note=note) == (1, wanted)
    assert diff(one, two, "/app", note=note) == (1, wanted[:3])
    assert diff(two, one, "app/", note=note) == (1, ["!< app/a", ">  app/only"])
    assert diff(one, one, note=note) == (0, []) and diff(one, two, "nothing", note=note) == (0, [])
    entries = found(one, two, "app", note=note)
    assert [(p, e["difference"], e["wins"]) for p, e in entries.items()] == [
        ("app", "only-a", "a"), ("app/a", "newer-b", "b"), ("app/only", "only-a", "a")]
    assert entries["app/only"]["b"] is None and "writer" not in entries["app"]["a"]
    # One of the two is enough.
    clustered = make_node()
    assert diff(clustered, one, "z", note=note) == (1, [">  z"])
    port = two.port
    two.stop()
    run = run_diff(one, two)
    assert run.returncode == 6 and str(port) in run.stderr


def test_pages_of_listings(make_node):
    """More than a page on each side, and pages that end at different keys."""
    one, two = make_node(clustering_enabled=False), make_node(clustering_enabled=False)
    for node, step in ((one, 2), (two, 3)):
        batch(node, [f"k{i:05}" for i in range(0, 7500, step)], prefer="nodes=1")
    code, lines = diff(one, two, note="listings")
    assert code == 1
    expected = {i: ("!>" if i % 6 == 0 else "< " if i % 2 == 0 else "> ") for i in range(7500)
                if i % 2 == 0 or i % 3 == 0}
    assert lines == [f"{mark} k{i:05}" for i, mark in sorted(expected.items())]


class Circle(FakeNode):
    """Of a cluster of its own; its pages lead nowhere."""
    def route_post(self, call, path, _, body):
        assert path == "/kv_compare"
        lists = [range.get("list") for range in json.loads(body)["ranges"]]
        page = {"versions": [], "next_key": "a"}
        call.answer(200, {"digest": str(id(self)), "answers": [page if one else {"hash": "x"} for one in lists]})


def test_pages_that_lead_nowhere_end(make_node):
    """A node that lies must not keep anybody for ever."""
    with Circle() as one, Circle() as two:
        home = make_node(start=False).home
        run = subprocess.run([kvsnode.binary(), "diff", one.url, two.url], stdin=subprocess.DEVNULL, timeout=300,
                             capture_output=True, check=False, env=kvsnode.clean_environment(home), text=True)
    assert run.returncode == 12 and run.stdout == "" and "none of KVS" in run.stderr, run.stderr


def test_failure_is_told_from_a_difference(two):
    """1 is the answer 'they differ'; whatever keeps diff from an answer ends with another code."""
    alpha, beta = two
    part(two)
    put(alpha, "mine", 1, "nodes=1")
    missing = f"127.0.0.1:{kvsnode.free_port()}"
    command = [kvsnode.binary(), "diff", f"127.0.0.1:{alpha.port}"]
    with subprocess.Popen([*command, beta.url], stdout=subprocess.PIPE, env=kvsnode.clean_environment(alpha.home)) as whole:
        whole.communicate(timeout=60)
    unread = subprocess.run(["sh", "-c", 'exec "$@" >/dev/full', "sh", *command, beta.url], timeout=60, check=False,
                            capture_output=True, env=kvsnode.clean_environment(alpha.home), text=True)
    assert whole.returncode == 1 and unread.returncode == 12 and unread.stderr == "kvs: cannot write the output\n", unread
    for code, words in ((6, [missing]), (2, []), (2, ["ftp://x"])):
        run = subprocess.run([*command, *words], capture_output=True, timeout=60, check=False,
                             env=kvsnode.clean_environment(alpha.home))
        assert run.returncode == code, run


# ---- Who may compare

@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from kvsfixtures import Nodes
    nodes = Nodes(tmp_path_factory.mktemp("diff"))
    node, owner = start_with_accounts(nodes)
    alice = make_user(owner, "alice", ["read", "write", "delete"])
    bob = make_user(owner, "bob", ["read", "write", "delete"])
    for key in ("mine", "mine/a", "ours/a", "ours/b"):
        assert alice("PUT", f"/kv/{key}", {"n": 1}).status == 201
    assert alice("DELETE", "/kv/ours/b").status == 204
    assert owner("PUT", "/kv/mine/metadata", {"owner_uuid": alice.uuid, "permissions": 0b111100000000}).status == 200
    yield node, owner, alice, bob
    nodes.close()


def compare(caller, prefix, *ranges):
    return caller("POST", "/kv_compare", {"prefix": prefix, "ranges": list(ranges) or [{}]})


def test_fingerprints_hide_what_is_hidden(world):
    node, owner, alice, bob = world
    answer = compare(alice, "mine/", {}, {"list": True}, {"key": "mine"}, {"key": "mine", "list": True})
    assert answer.status == 200
    assert [e["path"] for e in answer.json()["answers"][1]["versions"]] == ["mine/a"]
    assert [e["path"] for e in answer.json()["answers"][3]["versions"]] == ["mine"]
    for caller in (bob, owner):  # no scope bypasses the bits
        for prefix, ranges in (("mine/", {}), ("mine/", {"list": True}), ("mine/x", {}), ("m", {}), ("", {}),
                               ("ours/", {"key": "mine"}), ("ours/", {"key": "mine/a", "list": True})):
            refused = compare(caller, prefix, ranges)
            assert_problem(refused, 403, "Forbidden")
            assert b"mine/a" not in refused.body or ranges.get("key") == "mine/a"
        answer = compare(caller, "ours/", {"list": True})
        assert [(e["path"], e.get("deleted")) for e in answer.json()["answers"][0]["versions"]] == [
            ("ours/a", None), ("ours/b", True)]
    # No range reaches beyond the prefix that was judged.
    for start, end in (("m", ""), ("", "p"), ("mine/a", "mine/b"), ("ours", ""), ("", "ours0x"), ("ours/b", "ours/a")):
        refused = compare(bob, "ours/", {"start_key": start, "end_key": end, "list": True})
        assert_problem(refused, 400, "Bad Request")
    assert compare(bob, "ours/", {"start_key": "ours/", "end_key": "ours0", "list": True}).status == 200
    writer = make_user(owner, "writer", ["write"])
    assert_problem(compare(writer, "ours/"), 403, "Forbidden")
    assert node.request("POST", "/kv_compare", {"prefix": "ours/", "ranges": [{}]}).status == 401


def test_diff_of_what_one_may_read(world):
    node, _, alice, bob = world
    run = run_diff(node, node, "/mine", token=alice.token)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    run = run_diff(node, node, "/mine", token=bob.token)
    assert (run.returncode, run.stdout) == (0, "") and "may read everything" in run.stderr
    assert run_diff(node, node, "/ours", token=bob.token).stderr == ""
    run = run_diff(node, node, "/ours", token="none")
    assert run.returncode == 7 and run.stderr.startswith("kvs: ") and run.stderr.count("\n") == 1, run.stderr


# ---- POST /kv_compare

def test_questions_that_are_none(shared_node):
    one = str(uuid.uuid4())
    for body in ([], {}, {"ranges": []}, {"ranges": {}}, {"ranges": [1]}, {"prefix": 1, "ranges": [{}]},
                 {"prefix": "a\n", "ranges": [{}]}, {"ranges": [{"list": 1}]}, {"ranges": [{"hash": 1}]},
                 {"ranges": [{"key": "a//b"}]}, {"ranges": [{"start_key": "b", "end_key": "a"}]},
                 {"ranges": [{"start_key": "b", "end_key": "b"}]}, {"ranges": [{}] * 257},
                 {"prefix": "x" * 1025, "ranges": [{}]}):
        assert_problem(shared_node.request("POST", "/kv_compare", body), 400, "Bad Request")
    for tag in (one, "x", "-"):  # of no range there is
        answer = shared_node.request("POST", "/kv_compare", {"ranges": [{"hash": tag}]}).json()
        assert answer["answers"] == [{"versions": [], "next_key": None}]


def test_answers(make_node):
    node = make_node()
    batch(node, [f"k/{i:04}" for i in range(3000)], prefer="nodes=1")

    def ask(*ranges, prefix="k/"):
        answer = node.request("POST", "/kv_compare", {"prefix": prefix, "ranges": list(ranges)})
        assert answer.status == 200, answer
        return answer.json()["answers"]
    whole = ask({})[0]["hash"]
    assert ask({"hash": whole}, {"hash": whole, "start_key": "k/0001"})[0] == {"same": True}
    # The tag of the listing is the same one, and one of another prefix with the same keys too.
    assert node.head("/kv/k/").headers["etag"] == f'W/"{whole}"' and ask({}, prefix="k")[0]["hash"] == whole
    parts = ask({"hash": "-"})[0]["parts"]
    assert 2 <= len(parts) <= 64 and parts[0]["start_key"] == "k/"
    # The parts cover the whole, and say of themselves what the node says when it is asked.
    ends = [part["start_key"] for part in parts[1:]] + [""]
    again = ask(*({"start_key": p["start_key"], "end_key": end, "hash": p["hash"]} for p, end in zip(parts, ends)))
    assert again == [{"same": True}] * len(parts)
    keys, start = [], ""
    while start is not None:
        page = ask({"start_key": start, "list": True})[0]
        keys += [version["path"] for version in page["versions"]]
        start = page["next_key"]
    assert keys == [f"k/{i:04}" for i in range(3000)]
    # Answers that would be too many or too long are left out, but never the first one.
    few = ask(*[{"list": True}] * 100)
    assert 1 <= len(few) < 100 and len(few[0]["versions"]) == 1000
    assert 1 <= len(ask(*[{"hash": "-"}] * 200)) < 200
    node.put("/kv/other", b"1")
    assert ask({})[0]["hash"] == whole
    node.delete("/kv/k/0007")
    assert ask({"hash": whole, "start_key": "k/0007", "end_key": "k/0008"})[0]["versions"][0]["deleted"]
