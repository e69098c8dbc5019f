# SPDX-License-Identifier: Apache-2.0
"""The audit log of a real node: what it records and what never, its routes, and kvs audit."""
import json
import random
import signal
import stat
import subprocess

import pytest

import kvsaccounts
import kvspeers
from kvsnode import ROOT, binary, clean_environment, key_path, wait_until

TAMPERED = 11


@pytest.fixture
def kvs(tmp_path):
    """kvs(node, *arguments): the command line, with stdout in a pipe."""
    def run(node, *arguments, stdin=b""):
        env = {**clean_environment(tmp_path), "KVS_URL": node.url}
        return subprocess.run([binary(), "audit", *map(str, arguments)], input=stdin, capture_output=True, env=env,
                              cwd=tmp_path, timeout=300, check=False)
    return run


def entries(node, **parameters):
    query = "&".join(f"{name}={value}" for name, value in {"limit": 1000, **parameters}.items())
    response = node.get(f"/api/audit?{query}")
    assert response.status == 200, response
    return response.json()["entries"]


def assert_good(result):
    assert result.returncode == 0, result
    assert result.stdout.startswith(b"good"), result


def assert_bad(result, seq):
    assert result.returncode == TAMPERED, result
    assert f"BAD: first bad entry {seq}:".encode() in result.stdout, result


# ---- What is recorded

def test_writes_are_recorded_with_who_what_and_outcome(make_node):
    node = make_node(tamper_log_actions=["data_write", "data_delete"])
    node.put("/kv/a%20b/c", {"x": 1}, X_Request_ID="my-request")
    node.put("/kv/a%20b/c", 2, If_None_Match="*")
    node.delete("/kv/nothing")
    node.post("/api/data/a%20b/c/history/1/restore")
    node.get("/kv/a%20b/c")  # reads are not recorded here
    node.put("/kv/bad", b"{")  # attempts nothing
    found = [(e["seq"], e["action"], e["resource"], e["outcome"]) for e in entries(node)]
    assert found == [(1, "data_write", "a b/c", "ok"), (2, "data_write", "a b/c", "precondition"),
                     (3, "data_delete", "nothing", "not_found"), (4, "data_write", "a b/c", "ok")]
    first = entries(node)[0]
    assert first["request_id"] == "my-request" and first["user_uuid"] is None
    assert len(first["timestamp"]) == len("2026-11-23T03:35:47.123Z")


def test_reads_are_recorded_before_they_are_answered(make_node):
    node = make_node(tamper_log_actions=["data_read"])
    node.put("/kv/a", 1)
    with node.connect() as connection:
        for target, status in (("/kv/a", 200), ("/kv/b", 404), ("/kv/", 200), ("/kv/_range?end_key=z", 200),
                               ("/api/data/a/history", 200), ("/kv/a", 200)):
            assert connection.request("GET", target).status == status
            assert connection.request("GET", "/api/audit?newest=1&limit=1").json()["entries"], target
        assert connection.request("HEAD", "/kv/a").status == 200
    found = [(e["resource"], e["outcome"]) for e in entries(node)]
    assert found == [("a", "ok"), ("b", "not_found"), ("/kv/", "ok"), ("/kv/_range", "ok"), ("a", "ok"), ("a", "ok"),
                     ("a", "ok")]


def test_batches_patches_and_streams_are_recorded(make_node):
    node = make_node(tamper_log_actions=["all"])
    node.post("/kv_batch", [{"op": "put", "path": "a", "data": {"x": 1}}, {"op": "delete", "path": "b"},
                            {"op": "get", "path": "a"}])
    node.request("PATCH", "/kv/a", {"x": 2}, {"Content-Type": "application/merge-patch+json"})
    node.request("PATCH", "/kv/a", {"x": 2}, {"Content-Type": "application/merge-patch+json", "If-None-Match": "*"})
    node.get("/changes?since=0&feed=sse&limit=1")
    wait_until(lambda: len(entries(node)) == 6, "all is recorded")
    assert [(e["action"], e["resource"], e["outcome"]) for e in entries(node)] == [
        ("data_write", "a", "ok"), ("data_delete", "b", "not_found"), ("data_read", "/kv_batch", "ok"),
        ("data_write", "a", "ok"), ("data_write", "a", "precondition"), ("data_read", "/changes", "ok")]


def test_users_and_refusals_are_recorded_with_who_it_was(make_node):
    node, owner = kvsaccounts.start_with_accounts(make_node, tamper_log_actions=["all"])
    assert owner("PUT", "/kv/a", 1).status == 201
    assert node.put("/kv/a", 2).status == 401
    assert node.request("GET", "/kv/a", None, {"Authorization": "Bearer canary.of.token"}).status == 401
    user = owner("POST", "/api/users", {"nickname": "canary-nickname"})
    assert user.status == 201
    reader = kvsaccounts.make_user(owner, "reader", ["read"])
    assert reader("PUT", "/kv/a", 3).status == 403
    assert reader("GET", "/api/audit").status == 403
    assert node.get("/api/audit").status == 401
    found = owner("GET", "/api/audit?limit=1000").json()["entries"]
    seen = [(e["action"], e["resource"], e["outcome"], e["user_uuid"]) for e in found]
    assert ("data_write", "a", "ok", owner.uuid) in seen
    assert seen.count(("auth_failure", "/kv/a", "unauthorized", None)) \
        + seen.count(("auth_failure", "a", "unauthorized", None)) == 2
    assert any(e[0] == "auth_failure" and e[2] == "forbidden" and e[3] == reader.uuid for e in seen)
    assert any(e[0] == "user_create" and e[2] == "ok" and e[3] == owner.uuid for e in seen)
    text = json.dumps(found)
    assert "canary" not in text and owner.token not in text and reader.token not in text


def test_a_refused_write_of_a_read_only_node_is_recorded(make_node):
    node = make_node(read_only=True)
    assert node.put("/kv/a", 1).status == 403
    assert [(e["action"], e["outcome"]) for e in entries(node)] == [("data_write", "read_only")]


def told(node):
    return [(e["action"], e["resource"], e["outcome"]) for e in entries(node)]


def test_backups_are_recorded_from_start_to_end(make_node):
    node = make_node(tamper_log_actions=["backup"], backup_enabled=False)
    folder = node.folder / "backups"
    assert node.post("/api/backup").status == 202
    wait_until(lambda: len(entries(node)) == 3, "the backup is recorded")
    file = next(folder.iterdir())
    # It may be finished before the answer to the request is recorded.
    assert sorted(told(node)) == [("backup", "/api/backup", "ok"), ("backup", f"finished {file}", "ok"),
                                  ("backup", f"started on request in {folder}", "ok")]
    assert [e["resource"].split()[0] for e in entries(node) if e["resource"] != "/api/backup"] == ["started", "finished"]


def test_scheduled_and_failed_backups_are_recorded(make_node):
    node = make_node(start=False, tamper_log_actions=["backup"], backup_schedule="@every 1s", backup_path="./blocked")
    (node.folder / "blocked").write_text("a file where the folder should be")
    node.start()
    wait_until(lambda: len(entries(node)) >= 2, "a failure is recorded")
    started, failed = told(node)[:2]
    assert started == ("backup", f"started by schedule in {node.folder / 'blocked'}", "ok")
    assert failed[1] == f"failed in {node.folder / 'blocked'}" and failed[2] not in ("ok", ""), failed


def test_members_that_come_and_go_are_recorded(make_node):
    nodes = kvspeers.make_cluster(make_node, ["n1", "n2", "n3"], tamper_log_actions=["member_join", "member_leave"])
    uuids = {m["id"]: m["uuid"] for m in nodes[0].get("/members/").json()}
    first, third = nodes[0], nodes[2]
    joined = [("member_join", f"{name} {uuids[name]}", "ok") for name in ("n2", "n3")]
    wait_until(lambda: sorted(told(first)) == joined, "both have joined")
    third.restart()  # is no news
    wait_until(lambda: kvspeers.member_count(first) == 3 and kvspeers.member_count(third) == 3, "it is back")
    nodes[1].restart()
    wait_until(lambda: kvspeers.member_count(first) == 3, "it is back, too")
    assert sorted(told(first)) == joined
    assert ("member_join", f"n1 {uuids['n1']}", "ok") in told(third)  # the elder one, whom it came to
    assert kvspeers.peer(third, "DELETE", "/members/leave", {"id": "n3"}).status == 204
    wait_until(lambda: ("member_leave", f"n3 {uuids['n3']}", "ok") in told(first), "the leave is recorded")
    third.restart()
    asked, left = told(third)[-2:]
    assert {asked[:2], left[:2]} == {("member_leave", "n3"), ("member_leave", f"n3 {uuids['n3']}")}
    assert kvspeers.peer(first, "POST", "/members/join",
                         {"id": "go-1", "address": "127.0.0.1:9", "joined_timestamp": 1}).status == 200
    assert kvspeers.peer(first, "DELETE", "/members/leave", {"id": "nobody"}).status == 404
    assert ("member_join", "go-1", "ok") in told(first) and ("member_leave", "nobody", "not_found") in told(first)


def test_a_reload_is_recorded(make_node):
    node = make_node(tamper_log_actions=["config_reload"])
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: entries(node), "the reload is recorded")
    node.config.write_text("no such key: 1\n")
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(entries(node)) == 2, "the refused reload is recorded")
    assert [(e["resource"], e["outcome"]) for e in entries(node)] == [(str(node.config), "ok"),
                                                                     (str(node.config), "invalid")]


def test_what_is_secret_is_in_no_entry(make_node, kvs):
    node = make_node(tamper_log_actions=["all"], cluster_secret="canary-cluster-secret")
    canaries = ["canary-value", "canary-token", "canary-cookie", "canary-query", "canary-cluster-secret"]
    headers = {"Authorization": "Bearer canary-token", "Cookie": "canary-cookie", "X-Cluster-Secret": canaries[-1]}
    for method, target, body in (("PUT", "/kv/k?ttl=1h", {"v": "canary-value"}), ("GET", "/kv/k?raw=1", None),
                                 ("GET", "/kv/?prefix=canary-query", None), ("PUT", "/kv/k?x=canary-query", 1),
                                 ("GET", "/kv/_range?start_key=canary-query", None), ("DELETE", "/kv/k", None),
                                 ("POST", "/api/data/k/history/2/restore", None)):
        node.request(method, target, body, headers)
    assert len(entries(node)) >= 6
    export = kvs(node, "export").stdout.decode()
    shown = kvs(node, "show").stdout.decode()
    assert '"resource":"k"' in export and '"resource":"k"' in shown  # they do show what they may
    for canary in canaries:
        assert canary not in export + shown + json.dumps(entries(node))


# ---- The routes

def test_pages_and_filters(make_node):
    node = make_node(tamper_log_actions=["data_write", "data_delete"])
    with node.connect() as connection:
        for n in range(25):
            connection.request("PUT", f"/kv/{n}", n)
        for n in range(5):
            connection.request("DELETE", f"/kv/{n}")
    assert [e["seq"] for e in entries(node)] == list(range(1, 31))
    assert [e["seq"] for e in entries(node, since=28)] == [29, 30]
    assert [e["seq"] for e in entries(node, newest=1, limit=3)] == [30, 29, 28]
    assert [e["seq"] for e in entries(node, newest=1, before=3)] == [2, 1]
    assert [e["seq"] for e in entries(node, newest=1, since=28)] == [30, 29]
    assert [e["seq"] for e in entries(node, before=4)] == [1, 2, 3]
    assert [e["seq"] for e in entries(node, action="data_delete")] == list(range(26, 31))
    assert entries(node, user="6ba7b810-9dad-41d1-80b4-00c04fd430c8") == []
    moment = entries(node)[10]["timestamp"]
    assert [e["seq"] for e in entries(node, since=moment)] == [
        e["seq"] for e in entries(node) if e["timestamp"] >= moment]
    assert len(entries(node, since="1h")) == 30 and entries(node, since="2999-01-01T00:00:00Z") == []
    seen, target = [], "/api/audit?limit=7&action=data_write"
    while target:
        page = node.get(target).json()
        seen += page["entries"]
        target = f"/api/audit?limit=7&action=data_write&since={page['next']}" if page["next"] else None
    assert [e["seq"] for e in seen] == list(range(1, 26))


@pytest.mark.parametrize("target", [
    "/api/audit?since=yesterday", "/api/audit?limit=0", "/api/audit?limit=1001", "/api/audit?action=nothing",
    "/api/audit?user=me", "/api/audit?x=1", "/api/audit?newest=maybe", "/api/audit?before=-1",
    "/api/audit/roots?since=x", "/api/audit/export?from=0", "/api/audit/export?from=1&since=1",
    "/api/audit/export?limit=10001", "/api/audit/export?from=5", "/api/audit/growth", "/api/audit/growth?from=0",
    "/api/audit/growth?from=9", "/api/audit/0/proof", "/api/audit/x/proof", "/api/audit/99999999999999999999/proof"])
def test_a_bad_parameter_is_400(node, target):
    assert node.get(target).status == 400


def test_what_is_not_there_is_404(node):
    assert node.get("/api/audit/77777/proof").status == 404
    assert node.get("/api/audit/1/2/proof").status == 404
    assert node.put("/api/audit", 1).status == 405


def test_without_the_feature_there_is_nothing_of_it(make_node):
    node = make_node(tamper_logging_enabled=False)
    node.put("/kv/a", 1)
    for target in ("/api/audit", "/api/audit/roots", "/api/audit/export", "/api/audit/1/proof", "/api/audit/growth"):
        assert node.get(target).status == 404
    assert not list(node.folder.rglob("audit.key"))


def test_the_log_survives_restarts_and_switching_off(make_node, kvs):
    node = make_node()
    node.put("/kv/a", 1)
    node.restart()
    node.put("/kv/a", 2)
    node.settings["tamper_logging_enabled"] = False
    node.restart()
    node.put("/kv/a", 3)
    node.settings["tamper_logging_enabled"] = True
    node.restart()
    node.put("/kv/a", 4)
    assert [e["seq"] for e in entries(node)] == [1, 2, 3]
    assert_good(kvs(node, "verify"))
    roots = node.get("/api/audit/roots").json()
    assert [r["size"] for r in roots["roots"]] == [1, 2] and roots["checkpoint"]["size"] == 3


# ---- kvs audit

@pytest.fixture
def log(make_node):
    """A node with 40 entries, of which 20 are sealed."""
    node = make_node()
    for part in range(2):
        with node.connect() as connection:
            for n in range(20):
                connection.request("PUT", key_path(f"k/{part}-{n}"), n)
        if part == 0:
            node.restart()
    return node


def test_show_prints_entries(log, kvs):
    lines = kvs(log, "show", "--limit", 3).stdout.decode().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [40, 39, 38]
    lines = kvs(log, "show", "--since", 30).stdout.decode().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(31, 41))
    assert kvs(log, "show", "--action", "data_delete").stdout == b""
    assert kvs(log, "show", "--action", "nothing").returncode == 2


def test_show_of_a_key_shows_it_and_what_lies_under_it(make_node, kvs):
    node = make_node()
    for key in ("app", "app/a", "app2", "b", "app/b/c"):
        node.put(f"/kv/{key}", b"1")

    def shown(*arguments):
        lines = kvs(node, "show", *arguments).stdout.decode().splitlines()
        return [json.loads(line)["resource"] for line in lines]
    assert shown("app") == shown("app/") == ["app/b/c", "app/a", "app"]
    assert shown("app", "--limit", 2) == ["app/b/c", "app/a"]
    assert shown("app", "--since", 1) == ["app/a", "app/b/c"]
    assert shown("ap") == []


@pytest.mark.parametrize("arguments", [["show", "--key", "k"], ["verify", "--limit", "1"], ["roots", "--since", "1"],
                                       ["export", "--proof"], ["show", "--from", "1"]])
def test_an_option_of_another_action_is_a_usage_error(log, kvs, arguments):
    result = kvs(log, *arguments)
    assert result.returncode == 2 and f"is not for {arguments[0]}".encode() in result.stderr


def test_an_export_holds_and_every_damage_is_named(log, kvs, tmp_path):
    path = tmp_path / "export.jsonl"
    assert kvs(log, "export", "--output", path).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert_good(kvs(log, "verify", path))
    assert_good(kvs(log, "verify", "-", stdin=path.read_bytes()))
    lines = path.read_bytes().splitlines(keepends=True)
    places = {json.loads(line).get("seq"): at for at, line in enumerate(lines)}
    rng = random.Random(7)
    for round_number in range(40):
        seq, damaged = rng.randrange(1, 41), list(lines)
        at, bad = places[seq], seq
        if round_number % 4 == 0:
            damaged[at] = damaged[at].replace(b'"outcome":"ok"', b'"outcome":"OK"')
        elif round_number % 4 == 1:
            del damaged[at]
        elif round_number % 4 == 2:
            damaged.insert(at, lines[places[40 if seq < 40 else 1]])
        else:
            other = rng.choice([s for s in range(1, 41) if s != seq])
            damaged[at], damaged[places[other]] = lines[places[other]], lines[at]
            bad = min(seq, other)
        assert_bad(kvs(log, "verify", "-", stdin=b"".join(damaged)), bad)
    assert_bad(kvs(log, "verify", "-", stdin=b"".join(lines[:-1])), 41)
    assert_bad(kvs(log, "verify", "-", stdin=b"".join(lines[:places[31]] + lines[-1:])), 31)
    assert kvs(log, "verify", "-", stdin=b"nothing\n").returncode == 1


def test_json_says_the_same(log, kvs):
    export = kvs(log, "export").stdout
    good = json.loads(kvs(log, "verify", "-", "--json", stdin=export).stdout)
    assert good["good"] is True and good["first_bad"] is None and good["sealed"] == 20 and good["last"] == 40
    bad = json.loads(kvs(log, "verify", "-", "--json", stdin=export.replace(b"k/0-4", b"k/0-5")).stdout)
    assert bad["good"] is False and bad["first_bad"] == 5


def test_keys_and_roots_from_elsewhere_are_held_against_the_log(log, kvs, make_node):
    key, *roots = kvs(log, "roots").stdout.decode().splitlines()
    key, root, now = key.split()[1], roots[0].split()[-1], roots[-1].split()[-1]
    assert root.startswith("20:") and now.startswith("40:")
    export = kvs(log, "export").stdout
    assert_good(kvs(log, "verify", "-", "--key", key, "--root", root, stdin=export))
    assert_good(kvs(log, "verify", "--key", key, "--root", now))
    assert kvs(log, "verify", "--key", "0" * 64).returncode == TAMPERED
    assert_bad(kvs(log, "verify", "--root", "45:" + "0" * 64), 41)  # the log was longer once
    assert kvs(log, "verify", "--root", "20:" + "0" * 64).returncode == TAMPERED
    other = make_node()
    assert kvs(other, "verify", "--key", key).returncode == TAMPERED
    assert kvs(log, "verify", "--key", "abc").returncode == 2
    assert kvs(log, "verify", "--root", "abc").returncode == 2


def test_an_export_of_a_part_holds(log, kvs):
    for first in (2, 20, 21, 33, 40, 41):
        export = kvs(log, "export", "--from", first).stdout
        assert export.count(b'{"seq":') == 41 - first
        assert_good(kvs(log, "verify", "-", stdin=export))
        if first < 40:
            assert_bad(kvs(log, "verify", "-", stdin=export.replace(b'"resource":"k/1-19"', b'"resource":"k/1-18"')), 40)


def test_pages_of_an_export_make_a_whole(log, kvs):
    text, target = b"", "/api/audit/export?limit=7"
    while b'"kind":"checkpoint"' not in text:
        response = log.get(target)
        assert response.status == 200 and response.headers["content-type"] == "application/x-ndjson"
        text += response.body
        last = max(json.loads(line).get("seq", 0) for line in text.splitlines())
        target = f"/api/audit/export?limit=7&since={last}"
    assert_good(kvs(log, "verify", "-", stdin=text))
    assert text.splitlines()[:-1] == kvs(log, "export").stdout.splitlines()[:-1]


def test_proofs_hold_for_what_they_prove(log, kvs, tmp_path):
    key = kvs(log, "roots").stdout.decode().split()[1]
    now = kvs(log, "roots").stdout.decode().split()[-1]
    for seq in (1, 20, 21, 40):
        proof = kvs(log, "prove", seq).stdout
        assert json.loads(proof)["entry"]["seq"] == seq
        assert_good(kvs(log, "verify", "--proof", "-", "--key", key, stdin=proof))
        assert kvs(log, "verify", "--proof", "-", "--key", "1" * 64, stdin=proof).returncode == TAMPERED
        changed = proof.replace(b'"outcome":"ok"', b'"outcome":"no"')
        assert kvs(log, "verify", "--proof", "-", stdin=changed).returncode == TAMPERED
        path = json.loads(proof)
        path["path"][0] = path["path"][0][::-1]
        assert kvs(log, "verify", "--proof", "-",
                   stdin=json.dumps(path, separators=(",", ":")).encode()).returncode == TAMPERED
        assert b"k/1-7" not in proof or seq == 28  # no other entry shows
    growth = kvs(log, "prove", "--from", 20).stdout
    root = kvs(log, "roots").stdout.decode().splitlines()[1].split()[-1]
    assert_good(kvs(log, "verify", "--proof", "-", "--key", key, "--root", root, stdin=growth))
    assert kvs(log, "verify", "--proof", "-", "--root", "20:" + "0" * 64, stdin=growth).returncode == TAMPERED
    assert_good(kvs(log, "verify", "--proof", "-", "--root", now, stdin=growth))
    assert kvs(log, "prove", 41).returncode == 4
    assert kvs(log, "prove").returncode == 2
    assert kvs(log, "prove", 1, "--from", 2).returncode == 2
    nothing = tmp_path / "nothing.json"
    nothing.write_text("{}")
    assert kvs(log, "verify", "--proof", nothing).returncode == TAMPERED


def test_a_stopped_nodes_data_directory_is_verified_in_place(log, kvs, tmp_path):
    data = log.folder / "data"
    assert kvs(log, "verify", data).returncode == 1  # it is in use
    log.kill()
    assert_good(kvs(log, "verify", data))  # after kill -9, with what its end was
    key_file = data / "audit.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    moved = tmp_path / "moved.key"
    key_file.rename(moved)
    without = kvs(log, "verify", data)
    assert_good(without)
    assert b"note: without the key file" in without.stdout
    with_key = kvs(log, "verify", data, "--key-file", moved)
    assert_good(with_key)
    assert b"note" not in with_key.stdout
    assert kvs(log, "verify", tmp_path).returncode == 1  # no node's, and it stays none
    assert not (tmp_path / "FORMAT").exists()
    # A start without the key is a break that every verification mentions.
    log.start()
    log.put("/kv/more", 1)
    broken = kvs(log, "verify")
    assert_good(broken)
    assert b"went on with a new key" in broken.stdout and b"behind entry 40" in broken.stdout
    assert "audit log: broken" in log.log_text()


def test_an_unknown_action_is_a_usage_error(log, kvs):
    result = kvs(log, "frobnicate")
    assert result.returncode == 2 and b"show, verify, prove, export and roots" in result.stderr


@pytest.mark.parametrize("name, code", [("empty", 0), ("open", 0), ("sealed", 0), ("part", 0), ("broken", 0),
                                        ("dropped", TAMPERED)])
def test_exports_of_earlier_releases_stay_verifiable(node, kvs, name, code):
    """Format 1, as this file's first release wrote it; the fuzz target's corpus keeps it."""
    assert kvs(node, "verify", ROOT / "tests/fuzz/corpus/audit_export" / name).returncode == code


@pytest.mark.parametrize("name", ["inclusion", "open", "growth"])
def test_proofs_of_earlier_releases_stay_verifiable(node, kvs, name):
    assert_good(kvs(node, "verify", "--proof", ROOT / "tests/fuzz/corpus/audit_proof" / name))
