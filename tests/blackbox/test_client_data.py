# SPDX-License-Identifier: Apache-2.0
"""The client's commands against real nodes: trees, histories, moving data, feeds, failover, pipes, terminals, help."""
import concurrent.futures
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from kvsnode import Connection, binary, clean_environment, key_path, wait_until
from test_client_cli import NOBODY, Result, kvs, on_terminal  # noqa: F401 (fixtures)

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run_on_terminals(arguments, tmp_path, url, stdin=None, **environment):
    """stdout and stderr on two terminals; returns what a person sees on each."""
    outputs, slaves = {}, {}
    for name in ("out", "err"):
        outputs[name], slaves[name] = pty.openpty()
    env = {**clean_environment(tmp_path), "KVS_URL": url, "TZ": "UTC", "TERM": "xterm", "NO_COLOR": "", **environment}
    seen = {"out": b"", "err": b""}

    def read(name):
        while True:
            try:
                data = os.read(outputs[name], 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            seen[name] += data

    with subprocess.Popen([binary(), *arguments], stdin=slaves["out"] if stdin is None else subprocess.PIPE,
                          stdout=slaves["out"], stderr=slaves["err"], env=env, cwd=tmp_path) as process:
        for slave in slaves.values():
            os.close(slave)
        readers = [threading.Thread(target=read, args=(name,)) for name in outputs]
        for reader in readers:
            reader.start()
        if stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        for reader in readers:
            reader.join()
    for master in outputs.values():
        os.close(master)
    return Result(process.returncode, seen["out"].decode().replace("\r\n", "\n"), seen["err"].decode())


def put_all(node, keys, value=lambda key: {"k": key}):
    def put(part):
        with Connection(node.port) as connection:
            for key in part:
                assert connection.request("PUT", key_path(key), value(key)).status in (200, 201)

    keys = list(keys)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:  # writes that wait together share a sync
        list(pool.map(put, [keys[n::16] for n in range(16)]))


# ---- tree

@pytest.fixture
def tree(node, prefix):
    put_all(node, [f"{prefix}/{k}" for k in ("a", "a/b", "a/c/d", "a/c/e", "z")])
    return prefix


def test_tree_draws_what_lies_below(kvs, tree):
    result = kvs("tree", tree)
    assert result.code == 0
    assert result.out.decode() == (f"{tree}/\n├── a\n├── a/\n│   ├── b\n│   └── c/\n│       ├── d\n│       └── e\n"
                                   "└── z\n\n2 prefixes, 5 keys\n")
    assert kvs("tree", tree + "/").out == result.out


def test_tree_stops_at_a_depth(kvs, tree):
    assert kvs("tree", tree, "--depth", "1").out.decode() == f"{tree}/\n├── a\n├── a/\n└── z\n\n1 prefix, 2 keys\n"
    for bad in ("0", "-1", "x", "99999"):
        assert kvs("tree", f"--depth={bad}").code == 2


def test_tree_as_json_nests(kvs, tree):
    nodes = json.loads(kvs("tree", tree, "--json").out)
    assert [n["name"] for n in nodes] == ["a", "a/", "z"]
    assert nodes[0] == {"name": "a", "path": f"{tree}/a"}
    assert [n["name"] for n in nodes[1]["children"][1]["children"]] == ["d", "e"]
    assert json.loads(kvs("tree", tree + "-absent", "--json").out) == []


def test_tree_reads_more_than_a_page(kvs, node, prefix):
    put_all(node, [f"{prefix}/{n:04}" for n in range(1500)], lambda _: 1)
    lines = kvs("tree", prefix).out.decode().splitlines()
    assert lines[1500] == "└── 1499" and lines[1499] == "├── 1498" and lines[-1] == "0 prefixes, 1500 keys"


# ---- history and restore

def test_history_shows_what_each_version_changed(kvs, node, prefix):
    for value in ({"a": 1, "b": [1, 2, 3]}, {"a": 2, "b": [1, 2, 3]}, {"a": 2, "b": [1, 2, 3]}):
        node.put(key_path(prefix), value)
    text = kvs("history", prefix).out.decode()
    assert [line.split()[1] for line in text.splitlines() if line.startswith("revision")] == ["1", "2", "3"]
    first, second, third = text.split("\n\n")
    assert "(the same value)" in first
    assert '-  "a": 1,\n' in second and '+  "a": 2,\n' in second and '   "b": [\n' in second
    assert third.rstrip().endswith('"b": [\n    1,\n    2,\n    3\n  ]\n}')


def test_history_as_json_and_of_deletions(kvs, node, prefix):
    node.put(key_path(prefix), 1.5)
    node.delete(key_path(prefix))
    lines = [json.loads(line) for line in kvs("history", prefix, "--json").out.splitlines()]
    assert [(line["revision"], line["data"], line.get("deleted")) for line in lines] == [(1, None, True), (2, 1.5, None)]
    assert "deleted" in kvs("history", prefix).out.decode().splitlines()[0]
    assert kvs("history", prefix + "-absent").code == 4
    assert kvs("history", "/").code == 2


def test_restore_undoes_the_last_change_and_a_deletion(kvs, node, prefix):
    for value in ("one", "two"):
        node.put(key_path(prefix), value)
    restored = kvs("restore", prefix)
    assert restored.code == 0
    record = node.get(key_path(prefix)).json()
    assert record["data"] == "one" and restored.out.decode().strip() == record["uuid"]
    node.delete(key_path(prefix))
    told = json.loads(kvs("restore", prefix, "--json").out)
    record = node.get(key_path(prefix)).json()
    assert record["data"] == "one" and (told["uuid"], told["restored"], told["path"]) == (record["uuid"], 2, prefix)


def test_restore_takes_a_revision_a_ttl_and_a_condition(kvs, node, prefix):
    for value in (1, 2, 3):
        node.put(key_path(prefix), value)
    current = node.get(key_path(prefix)).json()["uuid"]
    assert kvs("restore", prefix, "--rev", "3", "--if-match", "11111111-2222-4333-8444-555555555555").code == 5
    assert kvs("restore", prefix, "--rev", "3", "--if-match", current, "--ttl", "1h").code == 0
    entry = node.get(f"/kv/?prefix={prefix}&values=1&expires=1").json()["keys"][0]
    assert entry["data"] == 1 and entry["expires_timestamp"] > time.time() * 1000
    for bad in ("0", "x", "-1"):
        assert kvs("restore", prefix, f"--rev={bad}").code == 2
    assert kvs("restore", prefix + "-absent").code == 4


# ---- health

def test_health_asks_every_node_and_tells_the_worst(kvs, node, make_node):
    other = make_node(read_only=True)
    result = kvs("health", "--url", node.url, "--url", other.url)
    assert result.code == 0, result
    first, second = result.out.decode().splitlines()
    assert first.startswith("ok  normal  ") and node.url in first
    assert second.startswith("ok  read-only  ") and other.url in second
    mixed = kvs("health", "--url", f"{node.url},{NOBODY}", "--json")
    lines = [json.loads(line) for line in mixed.out.splitlines()]
    assert mixed.code == 6
    assert lines[0]["health"]["mode"] == "normal" and lines[1]["url"] == NOBODY and "connect" in lines[1]["error"]


# ---- several nodes

def test_the_next_url_serves_when_the_first_is_killed(kvs, make_node):
    first, second = make_node(), make_node()
    urls = ["--url", first.url, "--url", second.url]
    assert kvs("put", "a", "1", *urls).code == 0
    assert first.get("/kv/a").status == 200 and second.get("/kv/a").status == 404
    first.kill()
    assert kvs("put", "a", "2", *urls).code == 0
    assert second.get("/kv/a").json()["data"] == 2
    assert kvs("get", "a", url=f"{first.url},{second.url}").out == b"2\n"
    second.kill()
    gone = kvs("get", "a", *urls)
    assert gone.code == 6 and "cannot connect" in gone.err


def test_a_node_that_never_answers_leaves_time_for_the_next(kvs, node, prefix):
    node.put(key_path(prefix), 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts in its backlog, says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert kvs("get", prefix, "--url", url, "--url", node.url).out == b"1\n"


# ---- export and import

def test_export_and_import_keep_every_byte(kvs, node, make_node, prefix, tmp_path):
    values = {"a": b'{"b":1.0,"a":"\\u00e4"}', "ä ö/%?#": b"12345678901234567890", "q\"\\": b'"\\ud83d\\ude00"',
              "z": b'{"data":1,"ttl":"1h"}', "big": json.dumps("x" * 900_000).encode(), "n": b"null"}
    for key, value in values.items():
        assert node.request("PUT", key_path(f"{prefix}/{key}") + "?ttl=0", value).status == 201
    first = kvs("export", prefix, "-")
    assert first.code == 0 and first.out.count(b"\n") == len(values)
    other = make_node()
    assert kvs("import", "-", stdin=first.out, url=other.url).code == 0
    assert kvs("export", prefix, "-", url=other.url).out == first.out
    for key, value in values.items():
        assert other.get(key_path(f"{prefix}/{key}") + "?raw=1").body == value


def test_a_file_is_whole_or_not_there(kvs, node, prefix, tmp_path):
    put_all(node, [f"{prefix}/{n}" for n in range(10)])
    result = kvs("export", prefix, "out.ndjson")
    assert result.code == 0 and "exported 10 records" in result.err
    assert (tmp_path / "out.ndjson").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "out.ndjson.part").exists()
    lines = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    assert [line["path"] for line in lines] == [f"{prefix}/{n}" for n in range(10)]
    assert set(lines[0]) == {"path", "data"}
    refused = kvs("export", prefix, "out.ndjson")
    assert refused.code == 1 and "--force" in refused.err
    assert kvs("export", prefix, "out.ndjson", "--force", "--quiet", "--versions").err == ""
    assert set(json.loads((tmp_path / "out.ndjson").read_text().splitlines()[0])) == {"path", "data", "uuid", "timestamp"}


def test_export_of_a_prefix_takes_whole_segments_and_the_key_itself(kvs, node, prefix):
    put_all(node, [f"{prefix}/{k}" for k in ("app", "app/1", "app!", "app2", "app/2/3", "apple")])
    paths = lambda *arguments: [json.loads(line)["path"][len(prefix) + 1:]
                                for line in kvs("export", *arguments, "-").out.splitlines()]
    assert paths(f"{prefix}/app") == ["app", "app/1", "app/2/3"]
    assert paths(f"{prefix}/app/") == ["app/1", "app/2/3"]
    assert paths(f"{prefix}/none") == []
    relative = [json.loads(line)["path"] for line in kvs("export", f"{prefix}/app", "-", "--relative").out.splitlines()]
    assert relative == ["1", "2/3"]


def test_data_moves_under_another_prefix(kvs, node, prefix):
    put_all(node, [f"{prefix}/old/{k}" for k in ("1", "2/3")])
    exported = kvs("export", f"{prefix}/old/", "-", "--relative").out
    for under in (f"{prefix}/new", f"{prefix}/newer/"):
        assert kvs("import", "-", "--under", under, stdin=exported).code == 0
        assert kvs("ls", under.rstrip("/"), "--all").out.decode().splitlines() == [
            f"{under.rstrip('/')}/{k}" for k in ("1", "2/3")]


def test_an_export_is_resumed_behind_its_last_whole_line(kvs, node, prefix, tmp_path):
    put_all(node, [f"{prefix}/{n:04}" for n in range(2300)], lambda key: key[-4:])
    assert kvs("export", f"{prefix}/", "whole").code == 0
    whole = (tmp_path / "whole").read_bytes()
    lines = whole.splitlines(keepends=True)
    for kept, half in ((0, b""), (1234, b'{"path":"half'), (2300, b"")):
        (tmp_path / "cut.part").write_bytes(b"".join(lines[:kept]) + half)
        result = kvs("export", f"{prefix}/", "cut", "--resume")
        assert result.code == 0 and f"exported {2300 - kept:,} records".replace(",", " ") in result.err, result
        assert (tmp_path / "cut").read_bytes() == whole
        (tmp_path / "cut").unlink()
    (tmp_path / "cut.part").write_bytes(b"no json\n")
    assert kvs("export", f"{prefix}/", "cut", "--resume").code == 1
    assert kvs("export", "-", "--resume").code == 2


def test_a_time_to_live_travels(kvs, node, make_node, prefix):
    node.put(key_path(f"{prefix}/lives") + "?ttl=1h", 1)
    node.put(key_path(f"{prefix}/stays"), 2)
    exported = kvs("export", prefix, "-").out
    until = json.loads(exported.splitlines()[0])["expires_timestamp"]
    other = make_node(default_ttl="1ms")
    extra = json.dumps({"path": f"{prefix}/past", "data": 3, "expires_timestamp": 1000}).encode()
    result = kvs("import", "-", stdin=exported + extra, url=other.url)
    assert result.code == 0 and "imported 2 records" in result.err and "1 expired" in result.err
    entries = other.get(f"/kv/?prefix={prefix}&values=1&expires=1").json()["keys"]
    assert [entry["path"][len(prefix) + 1:] for entry in entries] == ["lives", "stays"]
    assert abs(entries[0]["expires_timestamp"] - until) < 60_000
    assert "expires_timestamp" not in entries[1]


def test_a_bad_line_is_named_and_the_others_go_on(kvs, node, prefix):
    lines = ['{"path":"%s/1","data":1}' % prefix, "{broken", "", '{"path":"%s/2"}' % prefix, '{"path":"/x","data":1}',
             '{"path":"%s/3","data":1,"tll":"1h"}' % prefix, '{"path":"%s/4","data":1,"ttl":"soon"}' % prefix,
             '{"path":"%s/5","path":"x","data":1}' % prefix, "[]", '{"path":"%s/6","data":{"a":1.0},"ttl":"1h"}\r' % prefix,
             '{"path":5,"data":1}', '{"path":"%s/7","data":1,"ttl":"1h","expires_timestamp":1}' % prefix,
             '{"path":"%s/8","data":2,"uuid":"u","timestamp":1}' % prefix]
    result = kvs("import", "-", stdin="\n".join(lines).encode())
    assert result.code == 9
    named = [int(n) for n in re.findall(r"^kvs: stdin:(\d+): ", result.err, re.M)]
    assert named == [2, 4, 5, 6, 7, 8, 9, 11, 12]
    assert "unknown member 'tll'" in result.err and "imported 3 records" in result.err and "9 refused" in result.err
    assert kvs("ls", prefix, "--all").out.decode().splitlines() == [f"{prefix}/{n}" for n in (1, 6, 8)]
    assert node.get(key_path(f"{prefix}/6") + "?raw=1").body == b'{"a":1.0}'


def test_the_last_of_several_lines_with_one_key_wins(kvs, node, prefix):
    text = "".join(f'{{"path":"{prefix}/{n % 7}","data":{n}}}\n' for n in range(700)).encode()
    assert kvs("import", "-", stdin=text).code == 0
    assert [node.get(key_path(f"{prefix}/{n}")).json()["data"] for n in range(7)] == list(range(693, 700))


def test_a_dry_run_checks_and_stores_nothing(kvs, node, prefix):
    good = f'{{"path":"{prefix}","data":1}}\n'.encode()
    result = kvs("import", "-", "--dry-run", stdin=good)
    assert result.code == 0 and "would import 1 record" in result.err
    assert kvs("import", "-", "-n", stdin=good + b"x").code == 9
    assert node.get(key_path(prefix)).status == 404


def test_import_begins_at_a_line_and_tells_scripts_what_it_did(kvs, node, prefix):
    text = "".join(f'{{"path":"{prefix}/{n}","data":{n}}}\n' for n in range(1, 6)).encode()
    told = json.loads(kvs("import", "-", "--from-line", "4", "--json", stdin=text).out)
    assert told == {"imported": 2, "refused": 0, "expired": 0, "done_until_line": 5}
    assert [node.get(key_path(f"{prefix}/{n}")).status for n in (3, 4, 5)] == [404, 200, 200]


def test_values_too_large_are_refused_one_by_one(kvs, make_node):
    node = make_node(max_json_size=100)
    text = b"".join(b'{"path":"k%d","data":"%s"}\n' % (n, b"x" * (200 if n == 3 else 5)) for n in range(6))
    result = kvs("import", "-", stdin=text, url=node.url)
    assert result.code == 9 and "stdin:4: k3: " in result.err and "imported 5 records" in result.err


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--from", "http://127.0.0.1:1"], ["--from-line", "1"],
                                       ["a", "--parallel", "0"], ["a", "--parallel", "65"], ["a", "--from-line", "0"],
                                       ["a", "--from-secret-file", "x"]])
def test_wrong_use_of_import_is_exit_2(kvs, arguments):
    result = kvs("import", *arguments)
    assert result.code == 2 and "help import" in result.err


def test_missing_files_and_nodes_have_their_codes(kvs, tmp_path):
    assert kvs("import", "missing.ndjson").code == 1
    assert kvs("export", "no/such/folder/file").code == 1
    assert kvs("export", "x", "--format", "csv").code == 2
    assert kvs("tree", url=NOBODY).code == 6
    assert kvs("history", "a", url=NOBODY).code == 6
    assert kvs("health", url=NOBODY).code == 6


def test_two_nodes_of_this_kind_can_be_copied_as_a_client(kvs, node, make_node, prefix):
    put_all(node, [f"{prefix}/{n:03}" for n in range(1200)], lambda key: {"n": key[-3:]})
    other = make_node()
    assert kvs("import", "--from", node.url, url=other.url).code == 0
    copied = kvs("export", prefix, "-", url=other.url).out
    assert copied.count(b"\n") == 1200 and copied == kvs("export", prefix, "-").out


def test_an_import_outlives_a_crash_of_the_node(make_node, tmp_path):
    node = make_node()
    lines = [f'{{"path":"k{n:04}","data":{n}}}\n'.encode() for n in range(1000)]
    with subprocess.Popen([binary(), "import", "-", "--parallel", "2"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**clean_environment(tmp_path), "KVS_URL": node.url}) as process:
        process.stdin.write(b"".join(lines[:999]))
        process.stdin.flush()
        node.kill()
        process.stdin.write(lines[999])
        process.stdin.close()
        node.start()
        err = process.stderr.read().decode()
    assert process.returncode == 0 and "imported 1 000 records" in err, err
    assert [node.get(f"/kv/k{n:04}").json()["data"] for n in (0, 500, 998, 999)] == [0, 500, 998, 999]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_says_where_to_go_on(kvs, node, prefix, tmp_path, number):
    lines = [f'{{"path":"{prefix}/{n:05}","data":{n}}}\n'.encode() for n in range(20000)]
    (tmp_path / "all").write_bytes(b"".join(lines))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen([binary(), "import", "fifo", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**clean_environment(tmp_path), "KVS_URL": node.url}, cwd=tmp_path) as process:
        with open(fifo, "wb") as writer:
            writer.write(b"".join(lines[:15000]))
            writer.flush()
            wait_until(lambda: node.get(f"/kv/?prefix={prefix}/&limit=1").json()["keys"], "records arrive")
            process.send_signal(number)  # while it waits for more
            out, err = process.communicate(timeout=300)
    assert process.returncode == -number
    told = json.loads(out)
    line = int(re.search(rb"fifo is stored up to line (\d+): go on with --from-line (\d+)", err).group(1))
    assert 0 <= line <= 15000 and told["done_until_line"] == line and b"interrupted" in err
    assert kvs("import", "all", "--from-line", str(line + 1)).code == 0
    assert kvs("export", f"{prefix}/", "-", "--relative").out.count(b"\n") == 20000


def test_a_second_signal_ends_an_import_at_once(tmp_path):
    (tmp_path / "all").write_bytes(b"".join(b'{"path":"k%d","data":1}\n' % n for n in range(20000)))
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes what is sent and never answers
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with subprocess.Popen([binary(), "import", "all", "--url", url], stderr=subprocess.PIPE, cwd=tmp_path,
                              env=clean_environment(tmp_path)) as process:
            connection, _ = deaf.accept()
            process.send_signal(signal.SIGINT)
            assert b"interrupted" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=300) == -signal.SIGINT
            connection.close()


def test_what_an_import_stored_is_read_back(kvs, node, prefix):
    lines = [f'{{"path":"{prefix}/{n}","data": {{ "n" : {n}.50 }} }}' for n in range(1500)]
    lines += [f'{{"path":"{prefix}/{n}","data":"again","ttl":"1h"}}' for n in range(10)]
    result = kvs("import", "-", "--verify", "--json", stdin="\n".join(lines).encode())
    told = json.loads(result.out)
    assert result.code == 0 and told["imported"] == 1510 and 1500 <= told["verified"] <= 1510, result
    assert node.get(f"/kv/{prefix}/3").json()["data"] == "again"


@pytest.mark.parametrize("magic, tool", [(b"\x28\xb5\x2f\xfd", "zstdcat"), (b"\x1f\x8b\x08", "zcat"),
                                         (b"\xfd7zXZ\x00", "xzcat")])
def test_a_compressed_file_is_refused_as_a_whole(kvs, tmp_path, magic, tool):
    (tmp_path / "file").write_bytes(magic + b"\n" * 100)
    result = kvs("import", "file")
    assert result.code == 1 and f"file is compressed: {tool} FILE | kvs import -" in result.err


# ---- patch, batch and watch

def test_patch_changes_what_it_names(kvs, node, prefix):
    node.request("PUT", key_path(prefix), b'{"a":1.0,"b":[1],"c":2}')
    assert kvs("patch", prefix, '{"c":null,"d":3}').code == 0
    assert kvs("patch", prefix, '[{"op":"add","path":"/b/-","value":2}]').code == 0
    assert kvs("get", prefix).out == b'{"a":1.0,"b":[1,2],"d":3}\n'
    refused = kvs("patch", prefix, '[{"op":"test","path":"/a","value":9}]')
    assert refused.code == 1 and "Nothing was changed" in refused.err
    assert kvs("patch", prefix, "{}", "--if-match", "11111111-2222-4333-8444-555555555555").code == 5
    assert kvs("patch", prefix + "-absent", "{}").code == 4


def test_a_batch_is_carried_out_and_each_result_told(kvs, node, prefix):
    node.put(key_path(f"{prefix}/old"), 1)
    operations = [{"op": "put", "path": f"{prefix}/new", "data": {"x": 1.5}}, {"op": "delete", "path": f"{prefix}/old"},
                  {"op": "get", "path": f"{prefix}/new"}, {"op": "delete", "path": f"{prefix}/none"}]
    result = kvs("batch", "--json", stdin=json.dumps(operations).encode())
    assert result.code == 9
    told = [json.loads(line) for line in result.out.splitlines()]
    assert [t["status"] for t in told] == [201, 204, 200, 404] and told[2]["data"] == {"x": 1.5}


def test_watch_follows_a_node_over_its_crash_without_gap_or_repetition(make_node, tmp_path):
    node = make_node()
    with subprocess.Popen([binary(), "watch", "app/", "--since", "0", "--count", "60"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**clean_environment(tmp_path), "KVS_URL": node.url},
                          bufsize=0) as process:
        first = b""
        for n in range(60):
            node.put(f"/kv/app/{n:02}", n)
            node.put(f"/kv/other/{n:02}", n)
            if n == 0:  # a node that cannot be reached at first is an error: let it be reached
                first = process.stdout.readline()
            if n in (20, 40):
                node.kill()
                node.start()
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    fields = [line.split("\t") for line in (first + out).decode().splitlines()]
    assert [f[2] for f in fields] == [f"app/{n:02}" for n in range(60)]
    assert [int(f[0]) for f in fields] == list(range(1, 120, 2))
    later = subprocess.run([binary(), "watch", "--since", "118", "--count", "2", "--values"], capture_output=True,
                           env={**clean_environment(tmp_path), "KVS_URL": node.url}, timeout=300, check=True)
    assert later.stdout == b"119\tchanged\tapp/59\t59\n120\tchanged\tother/59\t59\n"


# ---- pipes

def test_a_reader_that_goes_away_ends_a_listing_without_a_word(node, prefix, tmp_path):
    put_all(node, [f"{prefix}/{n:05}" for n in range(3000)], lambda _: "x" * 50)
    for arguments in (["ls", prefix, "--all"], ["export", prefix + "/", "-"], ["tree", prefix]):
        with subprocess.Popen([binary(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
                              env={**clean_environment(tmp_path), "KVS_URL": node.url},
                              pipesize=4096) as process:  # all of it would fit into a common one
            assert process.stdout.readline()
            process.stdout.close()
            err = process.stderr.read()
        assert process.returncode == -signal.SIGPIPE and err == b""


def test_a_full_disk_is_no_success(kvs, node, prefix, tmp_path):
    put_all(node, [f"{prefix}/{n}" for n in range(3)])
    for arguments in (["export", prefix, "-"], ["history", f"{prefix}/1"], ["tree", prefix]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([binary(), *arguments], stdout=full, stderr=subprocess.PIPE, timeout=300, check=False,
                                  env={**clean_environment(tmp_path), "KVS_URL": node.url})
        assert done.returncode == 1 and done.stderr


# ---- terminals

def test_colours_are_for_terminals_and_nothing_else(node, prefix, tmp_path, kvs):
    put_all(node, [f"{prefix}/a", f"{prefix}/b/c"])
    node.put(key_path(f"{prefix}/a"), {"k": "other", "n": 1})
    for arguments in (["get", f"{prefix}/a"], ["ls", prefix], ["tree", prefix], ["history", f"{prefix}/a"]):
        coloured = run_on_terminals(arguments, tmp_path, node.url)
        assert coloured.code == 0 and COLOUR.search(coloured.out), arguments
        for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            bare = run_on_terminals(arguments, tmp_path, node.url, **plain)
            assert "\x1b" not in bare.out and bare.out == COLOUR.sub("", coloured.out)
        assert b"\x1b" not in kvs(*arguments).out


def test_removed_is_red_and_added_is_green(node, prefix, tmp_path):
    for value in (1, 2):
        node.put(key_path(prefix), value)
    out = run_on_terminals(["history", prefix], tmp_path, node.url).out
    assert "\x1b[31m-1\x1b[0m" in out and "\x1b[32m+2\x1b[0m" in out


def test_progress_is_drawn_on_a_terminal_and_wiped(node, prefix, tmp_path):
    text = "".join(f'{{"path":"{prefix}/{n}","data":{n}}}\n' for n in range(1000)).encode()
    (tmp_path / "in.ndjson").write_bytes(text)
    seen = run_on_terminals(["import", "in.ndjson"], tmp_path, node.url)
    assert seen.code == 0 and re.search(r"\[[#.]+\] +\d+ %", seen.err) and "imported 1 000 records in" in seen.err
    assert seen.err.replace("\r\n", "\n").rindex("\x1b[K") < seen.err.rindex("imported 1 000")
    for more, environment in ((["--quiet"], {}), ([], {"TERM": "dumb"})):
        quiet = run_on_terminals(["import", "in.ndjson", *more], tmp_path, node.url, **environment)
        assert "\x1b" not in quiet.err and "#" not in quiet.err
    exported = run_on_terminals(["export", f"{prefix}/", "out.ndjson"], tmp_path, node.url)
    assert "exported" in exported.err and exported.code == 0


def test_into_a_pipe_there_is_no_progress(kvs, prefix):
    result = kvs("import", "-", stdin=f'{{"path":"{prefix}","data":1}}\n'.encode())
    assert "\r" not in result.err and "\x1b" not in result.err


def test_stored_data_cannot_steer_a_terminal_here_either(node, prefix, on_terminal):
    node.put(key_path(f"{prefix}/k\u202e"), '"\x7f\u009b31m"'.encode())
    for arguments in (["tree", prefix], ["history", f"{prefix}/k\u202e"]):
        seen = on_terminal(*arguments).out
        assert not re.search("[\x7f\x80-\x9f\u202e]", seen)


# ---- help and completion

def test_tasks_are_taught_and_every_line_of_them_is_a_known_command(kvs):
    text = kvs("help", "tasks").out.decode()
    for line in text.splitlines():
        for part in re.findall(r"(?:^  |\| |\$\()kvs (\w+)((?: [^|#)]*)?)", line):
            known = kvs("help", part[0])
            assert known.code == 0, line
            for option in re.findall(r"(?<= )--[a-z-]+", part[1]):
                assert option in known.out.decode(), line


@pytest.mark.parametrize("typo,meant", [("exprot", "export"), ("histroy", "history"), ("wacth", "watch"), ("improt", "import")])
def test_a_typo_is_answered_with_the_command_that_was_meant(kvs, typo, meant):
    result = kvs(typo)
    assert result.code == 2 and f"did you mean {meant}?" in result.err


def test_every_action_that_is_completed_is_known(kvs):
    script = kvs("completion", "bash").out.decode()
    actions = dict(re.findall(r"^    (\w+)\) echo '([^']*)' ;;", script.partition("_kvs_actions() {")[2].partition("\n}")[0], re.M))
    actions = {command: words.split() for command, words in actions.items() if words}
    assert set(actions) == {"user", "group", "token", "metadata", "backup", "members", "debug", "audit"}
    for command, words in actions.items():
        for word in words:
            assert re.search(rf"(?m)^ *(kvs {command} )?{word}\b", kvs("help", command).out.decode()), (command, word)
        if "ACTION" in kvs("help", command).out.decode():
            assert "unknown action" in kvs(command, "zzzz", "x").err or "zzzz" in kvs(command, "zzzz", "x").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_valid_and_know_every_command(kvs, shell, tmp_path):
    script = kvs("completion", shell)
    assert script.code == 0
    (tmp_path / "script").write_bytes(script.out)
    subprocess.run([shell, "-n", "script"], cwd=tmp_path, check=True, timeout=300)
    for command in re.findall(r"^  (\w+) ", kvs("help").out.decode().split("Start here")[0], re.M):
        if command != "kvs":
            assert re.search(rf"\b{command}\b", script.out.decode()), command
    assert kvs("completion", "tcsh").code == 2


def complete(tmp_path, url, words):
    """What bash offers for the last word."""
    program = ('source <("$KVS" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
               'compopt() { :; }; _kvs; printf "%s\\n" "${COMPREPLY[@]}"')
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    if not (folder / "kvs").exists():
        (folder / "kvs").symlink_to(binary())
    env = {**clean_environment(tmp_path), "KVS_URL": url, "KVS": str(binary())}
    env["PATH"] = f"{folder}:{env['PATH']}"
    done = subprocess.run(["bash", "-c", program, "bash", *words], capture_output=True, env=env, cwd=tmp_path, timeout=300,
                          check=True)
    assert done.stderr == b""
    return done.stdout.decode().split("\n")[:-1]


def test_bash_completes_commands_options_files_and_keys(node, prefix, tmp_path):
    put_all(node, [f"{prefix}/alpha", f"{prefix}/album/1", f"{prefix}/beta"])
    (tmp_path / "data.ndjson").write_text("")
    (tmp_path / "node.yaml").write_text("")
    offer = lambda *words: complete(tmp_path, node.url, ["kvs", *words])
    assert {"export"} == set(offer("exp"))
    assert "node.yaml" in offer("n")
    assert "--if-match" in offer("put", "--if") and "--if-none-match" in offer("put", "--if")
    assert sorted(offer("get", f"{prefix}/al")) == [f"{prefix}/album/", f"{prefix}/alpha"]
    assert offer("import", "da") == ["data.ndjson"]
    assert offer("get", "--token-file", "da") == ["data.ndjson"]
    assert offer("completion", "z") == ["zsh"]
    assert offer("user", "") == ["list", "create", "show", "update", "delete"]
    assert offer("metadata", "") == ["get", "set", "delete"] and offer("metadata", "get", f"{prefix}/be") == [f"{prefix}/beta"]
    assert set(offer("backup", "")) > {"list", "verify", "data.ndjson"} and offer("backup", "verify", "da") == ["data.ndjson"]
    assert set(offer("members", "")) == {"leave", "remove", "node.yaml", "bin"} and offer("audit", "ve") == ["verify"]
    assert set(offer("help", "ta")) == {"tasks"}
    assert offer("get", "--url", node.url, f"{prefix}/be") == [f"{prefix}/beta"]


def test_bash_completes_keys_as_they_are_and_runs_none_of_them(node, prefix, tmp_path):
    names = ["$(touch ran)", "`touch ran`", "$HOME", "*", "a  b", "it's", 'say "x"', "back\\slash", "~", "{a,b}"]
    put_all(node, [f"{prefix}/{name}" for name in names])
    (tmp_path / "$(touch ran).yaml").write_text("")
    (tmp_path / "a  b.yaml").write_text("")
    offer = lambda *words: complete(tmp_path, node.url, ["kvs", *words])
    assert sorted(offer("get", f"{prefix}/")) == sorted(f"{prefix}/{name}" for name in names)
    assert offer("get", f"{prefix}/a\\ \\ ") == [f"{prefix}/a  b"]
    assert offer("get", f"'{prefix}/it") == [f"{prefix}/it's"]
    assert offer("start", "$") == ["$(touch ran).yaml"] and offer("start", "a") == ["a  b.yaml"]
    assert "a  b.yaml" in offer("import", "") and not (tmp_path / "ran").exists()


def test_an_import_that_cannot_begin_says_so_and_no_more(kvs, tmp_path):
    missing = kvs("import", tmp_path / "none.ndjson")
    assert missing.code == 1 and missing.err.count("\n") == 1 and "cannot open" in missing.err
    (tmp_path / "empty").write_text("")
    tokenless = kvs("import", "--from", "http://127.0.0.1:1", "--from-token-file", tmp_path / "empty")
    assert tokenless.code == 2 and tokenless.err.count("\n") == 1, tokenless
    (tmp_path / "one.ndjson").write_text('{"path":"a","data":1}\n')
    for under in ("/a", "a//b", "..", "_range"):
        wrong = kvs("import", tmp_path / "one.ndjson", "--under", under)
        assert wrong.code == 2 and wrong.err.count("\n") == 1 and "--under" in wrong.err, wrong
