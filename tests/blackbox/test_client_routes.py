# SPDX-License-Identifier: Apache-2.0
"""kvs patch, watch, batch, delete -r and import against a node made of a dictionary: what is sent and what is made of
the answers, failures on demand included."""
import json
import re
import subprocess

import pytest

from kvsfake import FakeNode
from kvsnode import binary, clean_environment, wait_until
from test_client_cli import Result
from test_client_data import run_on_terminals


@pytest.fixture
def fake():
    with FakeNode() as node:
        yield node


@pytest.fixture
def kvs(fake, tmp_path):
    def run(*arguments, stdin=b"", url=None):
        done = subprocess.run([binary(), *arguments], input=stdin, capture_output=True, cwd=tmp_path, timeout=300,
                              env={**clean_environment(tmp_path), "KVS_URL": url or fake.url, "TZ": "UTC"}, check=False)
        return Result(done.returncode, done.stdout, done.stderr.decode())
    return run


# ---- patch

def test_patch_merges_or_applies_by_what_it_is_given(kvs, fake, tmp_path):
    fake.store("a", {"x": 1, "y": 2})
    (tmp_path / "patch.json").write_text('{"y":null}')
    assert kvs("patch", "a", '{"x":5}').code == 0
    assert kvs("patch", "a", "@patch.json").code == 0
    assert kvs("patch", "a", "-", stdin=b' {"z":1}').code == 0
    assert fake.data["a"] == {"x": 5, "z": 1}
    failed = kvs("patch", "a", '[{"op":"test","path":"/x","value":9}]')
    assert failed.code == 1 and "does not apply" in failed.err
    kinds = [headers["Content-Type"] for method, _, headers, _ in fake.requests if method == "PATCH"]
    assert kinds == 3 * ["application/merge-patch+json"] + ["application/json-patch+json"]
    assert kvs("patch", "absent", "{}").code == 4


def test_patch_passes_condition_and_ttl_on(kvs, fake):
    fake.store("a", {})
    uuid = "11111111-2222-4333-8444-555555555555"
    told = json.loads(kvs("patch", "a", "{}", "--if-match", uuid, "--ttl", "1h", "--json").out)
    assert told.keys() == {"path", "uuid", "timestamp"}
    _, path, headers, _ = fake.requests[-1]
    assert path == "/kv/a?ttl=1h" and headers["If-Match"] == f'"{uuid}"'


@pytest.mark.parametrize("patch", ["5", '"text"', "null", "{broken", ""])
def test_what_is_no_patch_is_refused_before_it_is_sent(kvs, fake, patch):
    assert kvs("patch", "a", patch).code == 2
    assert fake.requests == []


# ---- delete -r

def test_a_subtree_is_counted_and_deleted(kvs, fake):
    for key in ("app/1", "app/2/3", "app2", "app"):
        fake.store(key, 1)
    assert kvs("delete", "-r", "app", "--dry-run").out == b"2\n"
    assert len(fake.data) == 4
    assert kvs("delete", "-r", "app").out == b"2\n"
    assert sorted(fake.data) == ["app", "app2"]
    gone = kvs("delete", "-r", "app/")
    assert gone.code == 4 and "nothing under" in gone.err
    assert json.loads(kvs("delete", "-r", "app", "-n", "--json").out) == {"prefix": "app", "would_delete": 0}


def test_a_job_that_fails_is_exit_9_with_the_reason(kvs, fake):
    fake.store("a/1", 1)
    fake.job = {"end": "failed", "error": "no space left"}
    result = kvs("delete", "-r", "a")
    assert result.code == 9 and "no space left" in result.err


def test_a_job_that_somebody_cancels_is_exit_9(kvs, fake):
    fake.store("a/1", 1)
    fake.job = {"end": "cancelled"}
    result = kvs("delete", "-r", "a")
    assert result.code == 9 and "cancelled" in result.err


def test_a_job_can_be_left_to_the_node(kvs, fake):
    fake.store("a/1", 1)
    assert kvs("delete", "-r", "a", "--no-wait").out.decode() == f"{fake.url}/jobs/1\n"
    fake.store("a/1", 1)
    told = json.loads(kvs("delete", "-r", "a", "--no-wait", "--json").out)
    assert told["prefix"] == "a" and told["job"].startswith(f"{fake.url}/jobs/")


@pytest.mark.parametrize("arguments", [["-r", "a", "--if-match", "*"], ["a", "--dry-run"], ["a", "--yes"], ["a", "--no-wait"]])
def test_options_that_do_not_go_together_are_exit_2(kvs, fake, arguments):
    assert kvs("delete", *arguments).code == 2
    assert fake.requests == []


@pytest.mark.parametrize("answer,left", [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_a_person_is_asked_before_a_subtree_goes(fake, tmp_path, answer, left):
    fake.store("a/1", 1)
    import os
    import pty
    master, slave = pty.openpty()
    with subprocess.Popen([binary(), "delete", "-r", "a"], stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path,
                          env={**clean_environment(tmp_path), "KVS_URL": fake.url, "TERM": "xterm"}) as process:
        os.close(slave)
        seen = b""
        while b"[y/N] " not in seen:
            seen += os.read(master, 4096)
        os.write(master, answer)
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data
    os.close(master)
    assert len(fake.data) == left and process.returncode == (1 if left else 0), seen
    # Whoever presses Ctrl-C now must not believe that this stops the node.
    assert (b"Ctrl-C does not end that: DELETE " + f"{fake.url}/jobs/".encode() in seen) is (left == 0), seen


# ---- batch

def test_a_batch_takes_lines_or_an_array_and_tells_each_result(kvs, fake, tmp_path):
    fake.store("b", [1.5])
    operations = [{"op": "put", "path": "a", "data": {"x": 1}, "ttl": "1h"}, {"op": "get", "path": "b"},
                  {"op": "delete", "path": "b"}]
    (tmp_path / "ops.json").write_text(json.dumps(operations))
    lines = "\n".join(json.dumps(op) for op in operations).encode()
    first = kvs("batch", "ops.json")
    assert first.code == 0 and re.fullmatch(r"put a  [0-9a-f-]{36}\nget b  \[1.5\]\ndelete b  [0-9a-f-]{36}\n", first.out.decode())
    assert fake.data == {"a": {"x": 1}} and fake.expires == {"a": "1h"}
    second = kvs("batch", "--json", stdin=lines)
    assert second.code == 9
    told = [json.loads(line) for line in second.out.splitlines()]
    assert [(t["op"], t["path"], t["status"]) for t in told] == [("put", "a", 200), ("get", "b", 404), ("delete", "b", 404)]
    assert "There is nothing." in told[1]["detail"]


@pytest.mark.parametrize("text", ["", "{}", '{"op":"move","path":"a"}', '{"op":"put","path":"a"}', '{"op":"get","path":"a/"}',
                                  '{"op":"get","path":"a","pth":"b"}', '[{"op":"get","path":"a"}', '{"op":"get","path":5}',
                                  '{"op":"get","path":"a","path":"b"}', "[5]"])
def test_a_bad_batch_is_refused_before_it_is_sent(kvs, fake, text):
    result = kvs("batch", stdin=text.encode())
    assert result.code == 2, result
    assert fake.requests == []


def test_a_batch_holds_a_thousand_operations(kvs, fake):
    lines = [json.dumps({"op": "put", "path": f"k{n}", "data": n}) for n in range(1001)]
    assert kvs("batch", stdin="\n".join(lines[:1000]).encode()).code == 0
    assert len(fake.data) == 1000
    over = kvs("batch", stdin="\n".join(lines).encode())
    assert over.code == 2 and "kvs import" in over.err


# ---- watch

def test_watch_prints_what_changes_and_ends_after_a_count(kvs, fake):
    for key in ("app/1", "other", "app/2"):
        fake.store(key, {"k": key})
    fake.change("app/1", deleted=True)
    result = kvs("watch", "app/", "--since", "0", "--count", "3")
    assert result.code == 0 and result.out == b"1\tchanged\tapp/1\n3\tchanged\tapp/2\n4\tdeleted\tapp/1\n"
    told = [json.loads(line) for line in kvs("watch", "--since", "1", "--count", "2", "--json", "--values").out.splitlines()]
    assert [(t["seq"], t["path"], t["data"]) for t in told] == [(2, "other", {"k": "other"}), (3, "app/2", {"k": "app/2"})]
    assert kvs("watch", "--since", "2", "-n1", "-v").out == b'3\tchanged\tapp/2\t{"k": "app/2"}\n'


def test_watch_begins_now_and_goes_on_after_every_break(fake, tmp_path):
    fake.store("before", 1)
    fake.stream_length = 2  # then the stream ends
    env = {**clean_environment(tmp_path), "KVS_URL": fake.url}
    with subprocess.Popen([binary(), "watch", "--count", "7"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=env) as process:
        wait_until(lambda: fake.streams, "it listens")
        with fake.lock:
            fake.script = [None, 503, "close"]
        for n in range(7):
            fake.store(f"k{n}", n)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert [line.split(b"\t")[2] for line in out.splitlines()] == [b"k%d" % n for n in range(7)]
    asked = [path for _, path, _, _ in fake.requests if path.startswith("/changes")]
    assert "since=now" in asked[0] and all(re.search(r"since=\d+", path) for path in asked[1:])


def test_watch_says_when_changes_were_missed(kvs, fake):
    fake.store("a", 1)
    fake.kept_from = 1
    result = kvs("watch", "--since", "0")
    assert result.code == 10 and "no longer kept" in result.err and "ls --all" in result.err


def test_watch_ends_after_a_time_and_refuses_nonsense(kvs, fake):
    assert kvs("watch", "--for", "50ms").code == 0
    for bad in (["--since", "x"], ["--count", "0"], ["--for", "soon"], ["--for", "-1s"]):
        assert kvs("watch", *bad).code == 2
    assert kvs("watch", url="http://127.0.0.1:1").code == 6


def test_watch_on_a_terminal_has_times_and_colours(fake, tmp_path):
    fake.store("a", {"x": 1})
    fake.change("a", deleted=True)
    seen = run_on_terminals(["watch", "--since", "0", "--count", "2", "--values"], tmp_path, fake.url).out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    assert re.fullmatch(r"[-0-9]{10} [:0-9]{8}  changed  a  \{\"x\": ?1\}\n[-0-9]{10} [:0-9]{8}  deleted  a\n", plain), plain
    assert "\x1b[32mchanged" in seen and "\x1b[31mdeleted" in seen


# ---- import

def lines_of(count, prefix="k"):
    return "".join(f'{{"path":"{prefix}{n:05}","data":{{"n":{n}}}}}\n' for n in range(count)).encode()


def test_import_goes_in_batches_with_an_explicit_ttl(kvs, fake):
    text = lines_of(5000) + b'{"path":"t","data":1,"ttl":"1h"}\n'
    result = kvs("import", "-", stdin=text)
    assert result.code == 0 and "imported 5 001 records" in result.err
    assert len(fake.data) == 5001 and fake.data["k04999"] == {"n": 4999}
    assert fake.expires == {"t": "1h"}
    sent = [json.loads(body) for method, path, _, body in fake.requests if path == "/kv_batch"]
    assert len(sent) == len(fake.requests) <= 16
    assert {op.get("ttl") for batch in sent for op in batch} == {"0", "1h"}  # never the node's default


def test_import_repeats_what_broke(kvs, fake):
    fake.script = ["close", None, 503, 502]
    assert kvs("import", "-", "--parallel", "1", stdin=lines_of(3000)).code == 0
    assert len(fake.data) == 3000


def test_import_does_without_batches_where_a_node_has_none(kvs, fake):
    fake.batches = False
    assert kvs("import", "-", stdin=lines_of(300)).code == 0
    assert len(fake.data) == 300
    puts = [path for method, path, _, _ in fake.requests if method == "PUT"]
    assert len(puts) == 300 and all(path.endswith("?ttl=0") for path in puts)


@pytest.mark.parametrize("batches", [True, False])
def test_a_refused_record_is_named_and_the_others_go_on(kvs, fake, batches):
    fake.batches = batches
    fake.refused = {"k00007": (413, "too large"), "k00011": (403, "not yours")}
    result = kvs("import", "-", stdin=lines_of(20))
    assert result.code == 9 and "stdin:8: k00007: too large" in result.err and "stdin:12: k00011: not yours" in result.err
    assert len(fake.data) == 18


def test_a_batch_refused_as_a_whole_is_taken_apart(kvs, fake):
    fake.script = [400]
    assert kvs("import", "-", stdin=lines_of(10)).code == 0 or len(fake.data) == 10
    assert len(fake.data) == 10


def test_many_failures_are_counted_not_listed(kvs, fake):
    fake.refused = {f"k{n:05}": (413, "too large") for n in range(500)}
    result = kvs("import", "-", stdin=lines_of(600))
    assert result.code == 9 and result.err.count("too large") == 100 and "only counted" in result.err
    assert "500 refused" in result.err and len(fake.data) == 100


def test_an_import_that_cannot_go_on_says_where_to_begin_again(kvs, fake, tmp_path):
    (tmp_path / "in").write_bytes(lines_of(6000))
    fake.script = [None, None, 401]
    stopped = kvs("import", "in", "--parallel", "1")
    line = int(re.search(r"in is stored up to line (\d+): go on with --from-line (\d+)", stopped.err).group(1))
    assert stopped.code == 7 and line == 2000 == len(fake.data)
    assert kvs("import", "in", "--from-line", str(line + 1)).code == 0
    assert len(fake.data) == 6000


def test_import_copies_a_node_of_the_original_system_as_its_peer(kvs, fake, tmp_path):
    (tmp_path / "secret").write_text("a cluster secret\n")
    (tmp_path / "wrong").write_text("another secret\n")
    with FakeNode(secret="a cluster secret", go=True) as old:
        for n in range(1203):
            old.data[f"app/{n:04}"] = {"n": n, "text": "ä"}
        result = kvs("import", "--from", old.url, "--from-secret-file", "secret")
        assert result.code == 0 and "imported 1 203 records" in result.err
        assert fake.data == old.data
        assert {path for _, path, _, _ in old.requests} == {"/kv_range"}
        asked = [json.loads(body) for _, _, _, body in old.requests]
        assert asked[0]["start_key"] == "" and asked[1]["start_key"] == "app/0499" and asked[0]["end_key"] == ""
        refused = kvs("import", "--from", old.url, "--from-secret-file", "wrong")
        assert refused.code == 7 and "Invalid cluster secret" in refused.err and "another secret" not in refused.err
        assert kvs("import", "--from", old.url).code == 0  # as a client, over GET /kv/_range
        old.data = {}
        assert kvs("import", "--from", old.url, "--from-secret-file", "secret").code == 0


def test_a_copy_goes_on_where_the_connection_broke(kvs, fake, tmp_path):
    (tmp_path / "secret").write_text("a cluster secret\n")
    with FakeNode(secret="a cluster secret", go=True) as old:
        old.data = {f"app/{n:04}": {"n": n} for n in range(1300)}
        old.script = [None, "cut", "close", 503, None, *["close"] * 9, "cut"]
        result = kvs("import", "--from", old.url, "--from-secret-file", "secret", "--verify")
        assert result.code == 0 and "imported 1 300 records" in result.err and not old.script
        assert "1 300 read back and the same" in result.err
        assert fake.data == old.data
        starts = [json.loads(body)["start_key"] for _, _, _, body in old.requests]
        assert sorted(set(starts)) == ["", "app/0499", "app/0998", "app/1299"] and starts == sorted(starts)


def test_keys_that_do_not_rise_end_a_copy(kvs, fake):
    with FakeNode(go=True) as old:
        old.data = {f"app/{n}": n for n in range(8)}
        old.pairs = lambda *_: {"pairs": [{"path": key, "stored_value": old.record(key)} for key in old.data]}
        result = kvs("import", "--from", old.url)  # it would begin at the beginning for ever
        assert result.code == 1 and "not in order" in result.err and "start it again" in result.err
        assert len(old.requests) == 2


def test_what_was_stored_is_read_back_and_compared(kvs, fake):
    lines = [f'{{"path":"k{n}","data": [ {n}, 1.0 ]}}' for n in range(5)] + ['{"path":"k4","data":"later"}']
    original = fake.record

    def spoilt(key):
        return {**original(key), "data": "spoilt"} if key == "k2" else original(key)

    fake.record = spoilt
    result = kvs("import", "-", "--verify", "--json", stdin="\n".join(lines).encode())
    assert result.code == 9 and "stdin:3: k2: what is stored differs from what was sent" in result.err, result
    told = json.loads(result.out)
    assert (told["imported"], told["refused"]) == (6, 1)


def test_a_node_without_batches_is_read_back_record_by_record(kvs):
    with FakeNode(batches=False) as go:
        original = go.record
        go.record = lambda key: {**original(key), "data": "spoilt"} if key == "k2" else original(key)
        lines = [f'{{"path":"k{n}","data":[{n}]}}' for n in range(5)]
        result = kvs("import", "-", "--verify", "--json", stdin="\n".join(lines).encode(), url=go.url)
        assert result.code == 9 and "stdin:3: k2: what is stored differs from what was sent" in result.err, result
        told = json.loads(result.out)
        assert (told["imported"], told["refused"], told["verified"]) == (5, 1, 4)


def test_a_refused_line_excuses_no_difference(kvs, fake):
    batch = fake.batch

    def refuse_the_second(call, operations):
        refused = [n for n, op in enumerate(operations) if op["op"] == "put" and op["data"] == "second"]
        call_answer = call.answer

        def answer(status, body, *rest):
            for n in refused:
                body[n] = {"status": 400, "title": "Problem", "detail": "no such value"}
            if operations[0]["op"] == "get":
                body[0]["data"] = "spoilt"
            call_answer(status, body, *rest)

        call.answer = answer
        batch(call, operations)

    fake.batch = refuse_the_second
    lines = b'{"path":"k","data":"first"}\n{"path":"k","data":"second"}\n'
    result = kvs("import", "-", "--verify", "--json", stdin=lines)
    assert result.code == 9 and "stdin:1: k: what is stored differs" in result.err, result


def test_keys_of_another_system_that_are_none_here_are_named(kvs, fake):
    with FakeNode() as old:
        old.data = {"/lead": 1, "a//b": 2, "ok": 3}
        result = kvs("import", "--from", old.url)
        assert result.code == 9 and re.search(rf"{old.url}:2: ", result.err), result
        assert fake.data == {"lead": 1, "ok": 3}


def test_a_secret_never_shows(kvs, fake, tmp_path):
    (tmp_path / "secret").write_text("s3cr3t-value\nmore")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bad").write_bytes(b"a\x01b\n")
    for arguments in (["--from", "http://127.0.0.1:1", "--from-secret-file", "secret"],
                      ["--from", fake.url, "--from-secret-file", "empty"], ["--from", fake.url, "--from-secret-file", "bad"]):
        result = kvs("import", *arguments)
        assert result.code in (2, 6) and "s3cr3t" not in result.err + result.out.decode()
