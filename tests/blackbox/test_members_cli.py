# SPDX-License-Identifier: Apache-2.0
"""`kvs members` and `kvs debug conflict` against real nodes."""
import json
import re
import socket
import subprocess
import threading

import pytest

import kvsnode
from kvspeers import FAST, SECRET, make_cluster, member_count, state, wait_state


@pytest.fixture
def run(tmp_path):
    home = tmp_path / "clihome"
    home.mkdir()

    def run_it(*words, env=None):
        full = {**kvsnode.clean_environment(home), **(env or {})}
        return subprocess.run([kvsnode.binary(), *map(str, words)], env=full, cwd=tmp_path, text=True,
                              capture_output=True, timeout=300, check=False)
    return run_it


def test_the_list_is_a_table_or_json(make_node, run):
    nodes = make_cluster(make_node, ["n1", "n2"], suspect_timeout_ms=600000)
    table = run("members", "--url", nodes[0].url)
    assert table.returncode == 0, table.stderr
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "ADDRESS", "LAST", "SEEN", "LAG", "CLOCK", "IN", "AGREEMENT"]
    assert re.match(rf"n1 +alive +127.0.0.1:{nodes[0].port} +itself", lines[1])
    assert re.match(rf"n2 +alive +127.0.0.1:{nodes[1].port} +\S+ ago +\d+ +[+-]\d+ms", lines[2])
    listed = json.loads(run("members", "--json", "--url", nodes[1].url).stdout)
    assert [member["id"] for member in listed] == ["n1", "n2"]
    assert run("members", "--url", "http://127.0.0.1:1").returncode == 6


def test_a_dead_member_is_removed_by_id_with_the_secret(make_node, run):
    nodes = make_cluster(make_node, ["n1", "n2", "n3"], suspect_timeout_ms=600000)
    url = ["--url", nodes[0].url]
    asked = run("members", "remove", "n3", *url)
    assert asked.returncode == 2 and "KVS_CLUSTER_SECRET" in asked.stderr
    wrong = run("members", "remove", "n3", *url, env={"KVS_CLUSTER_SECRET": "not the secret at all"})
    assert wrong.returncode == 7 and "Invalid cluster secret" in wrong.stderr
    secret = {"KVS_CLUSTER_SECRET": SECRET}
    alive = run("members", "remove", "n3", *url, env=secret)
    assert alive.returncode != 0 and "is alive" in alive.stderr
    assert run("members", "remove", "nobody", *url, env=secret).returncode == 4
    assert nodes[2].stop() == 0  # and says so
    wait_state(nodes[0], "n3", "dead")
    gone = run("members", "remove", "n3", *url, env=secret)
    assert gone.returncode == 0 and "n3" in gone.stdout, gone.stderr
    kvsnode.wait_until(lambda: all(state(node, "n3") == "left" for node in nodes[:2]), "gone everywhere")
    for log in nodes:
        assert SECRET not in log.log_text()


def test_with_a_config_the_secret_comes_from_there(make_node, run):
    nodes = make_cluster(make_node, ["n1", "n2", "n3"])
    nodes[2].kill()
    kvsnode.wait_until(lambda: state(nodes[0], "n3") == "dead", "found dead")
    own = run("members", "remove", nodes[0].config, "n1")
    assert own.returncode == 2 and "leave" in own.stderr
    assert run("members", "remove", nodes[0].config, "n3").returncode == 0
    assert run("members", "leave", "no-such-config.yaml").returncode == 2
    left = run("members", "leave", nodes[1].config)
    assert left.returncode == 0 and "n2 has left" in left.stdout, left.stderr
    assert nodes[1].process.wait(timeout=kvsnode.DEADLINE_S) == 0
    wait_state(nodes[0], "n2", "left")
    assert member_count(nodes[0]) == 1


def test_a_node_at_a_url_leaves(make_node, run):
    nodes = make_cluster(make_node, ["n1", "n2"])
    left = run("members", "leave", "--url", nodes[1].url, env={"KVS_CLUSTER_SECRET": SECRET})
    assert left.returncode == 0 and "n2 has left" in left.stdout, left.stderr
    assert nodes[1].process.wait(timeout=kvsnode.DEADLINE_S) == 0


@pytest.mark.parametrize("words", [["stay"], ["remove"], ["leave", "a", "b"], ["remove", "a", "b", "c"]])
def test_wrong_words_are_explained(run, words):
    wrong = run("members", *words, env={"KVS_CLUSTER_SECRET": SECRET})
    assert wrong.returncode == 2 and "kvs help members" in wrong.stderr


class Listener(threading.Thread):
    """Answers each request with the same bytes and keeps what it was sent."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer, self.seen = answer, b""
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                while b"\r\n\r\n" not in (data := connection.recv(65536)) and data:
                    self.seen += data
                self.seen += data
                connection.sendall(self.answer)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.join(kvsnode.DEADLINE_S)


@pytest.mark.parametrize("answer, says", [
    (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "does not prove"),
    (b"HTTP/1.1 204 No Content\r\nX-KVS-Peer-Challenge: " + b"0" * 32 + b"\r\nX-KVS-Peer-Signature: " + b"0" * 64
     + b"\r\nConnection: close\r\n\r\n", "does not prove"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "no answer of KVS")])
def test_a_stranger_learns_no_secret_and_is_not_believed(run, answer, says):
    stranger = Listener(answer)
    done = run("members", "remove", "n3", "--url", stranger.url, env={"KVS_CLUSTER_SECRET": SECRET})
    stranger.close()
    assert done.returncode == 1 and done.stdout == "" and says in done.stderr, done
    assert b"\r\nX-KVS-Peer: 1 kvs-members " in stranger.seen
    # Nothing but the hello: who does not answer it rightly is told no more.
    assert stranger.seen.count(b"POST /peer/v1/hello ") >= 1 and b"/members/leave" not in stranger.seen
    assert SECRET.encode() not in stranger.seen and b"Cluster-Secret" not in stranger.seen


def test_the_secret_is_not_sent(make_node, run, tmp_path):
    """Not even to the node itself: a listener in its place sees a signature."""
    node = make_node("n1", start=False, auth_enabled=True, cluster_secret=SECRET)
    listener = Listener(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    node.settings["port"] = int(listener.url.rsplit(":", 1)[1])
    node.write_config()
    assert run("members", "leave", node.config).returncode == 1
    listener.close()
    assert b"X-KVS-Peer: 1 kvs-members " in listener.seen and SECRET.encode() not in listener.seen


# ---- kvs debug conflict

def test_two_nodes_resolve_a_made_conflict(make_node, run, tmp_path):
    made = run("debug", "conflict", tmp_path / "data1", tmp_path / "data2")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "data1").stat().st_mode & 0o777 == 0o700
    settings = {"cluster_secret": SECRET, "sync_interval": 3}
    # The younger one first, so that it is not its being first that decides.
    second = make_node("n2", data_dir=str(tmp_path / "data2"), **settings)
    before = second.get("/kv/test/conflict/data").json()
    assert before["data"] == {"message": "from node2", "value": 200}
    first = make_node("n1", data_dir=str(tmp_path / "data1"), seed_nodes=[f"127.0.0.1:{second.port}"], **settings)
    winner = {"message": "from node1", "value": 100}
    for node in (first, second):
        kvsnode.wait_until(lambda n=node: n.get("/kv/test/conflict/data").json()["data"] == winner, "resolved")
    kvsnode.wait_until(lambda: "Conflict resolved" in first.log_text() or "Conflict resolved" in second.log_text(),
                       "logged")
    line = next(json.loads(line) for node in (first, second) for line in node.log_text().splitlines()
                if "Conflict resolved" in line)
    assert line["level"] == "info" and line["key"] == "test/conflict/data" and line["rule"] == "joined_timestamp"
    after = first.get("/kv/test/conflict/data").json()
    assert after["timestamp"] == before["timestamp"] and after["uuid"] != before["uuid"]
    assert {after["uuid"], before["uuid"]} <= set(re.findall(r"[0-9a-f-]{36}", json.dumps(line)))


def test_directories_must_be_empty_and_two(run, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    refused = run("debug", "conflict", tmp_path / "new", tmp_path / "full")
    assert refused.returncode == 1 and "not empty" in refused.stderr
    assert not (tmp_path / "new").exists() and (tmp_path / "full" / "file").read_text() == "mine"
    assert run("debug", "conflict", tmp_path / "there", tmp_path / "there").returncode == 2
    assert run("debug", "nothing", "a", "b").returncode == 2
    assert run("debug", "conflict", tmp_path / "there", tmp_path / "new").returncode == 0, "an empty one will do"
    assert run("debug", "conflict", tmp_path / "there", tmp_path / "other").returncode == 1
