# SPDX-License-Identifier: Apache-2.0
"""kvs get, put, delete and ls against a real node: results, exit codes, and what a person reads."""
import http.server
import json
import os
import pty
import re
import signal
import subprocess
import threading
import uuid

import pytest

from kvsfake import FakeNode
from kvsnode import Connection, binary, clean_environment, key_path, wait_until

NOBODY = "http://127.0.0.1:1"  # where nothing listens
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"<exit {self.code}\nout: {self.out!r}\nerr: {self.err!r}>"


@pytest.fixture
def kvs(node, tmp_path):
    """kvs(*arguments): runs the client against the shared node with stdout in a pipe."""
    def run(*arguments, stdin=b"", url=node.url, **environment):
        env = clean_environment(tmp_path)
        env.update({"TZ": "UTC", **({"KVS_URL": url} if url else {}), **environment})
        done = subprocess.run([binary(), *arguments], input=stdin, capture_output=True, env=env, cwd=tmp_path,
                              timeout=300, check=False)
        return Result(done.returncode, done.stdout, done.stderr.decode())
    return run


@pytest.fixture
def on_terminal(node, tmp_path):
    """The same with stdout and stdin on a terminal; returns what a person sees."""
    def run(*arguments):
        master, slave = pty.openpty()
        env = {**clean_environment(tmp_path), "KVS_URL": node.url, "TZ": "UTC", "TERM": "xterm", "NO_COLOR": "1"}
        with subprocess.Popen([binary(), *arguments], stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=env,
                              cwd=tmp_path) as process:
            os.close(slave)
            seen = b""
            while True:
                try:
                    data = os.read(master, 65536)
                except OSError:  # the other end is closed
                    break
                if not data:
                    break
                seen += data
            err = process.stderr.read().decode()
        os.close(master)
        return Result(process.returncode, seen.replace(b"\r\n", b"\n").decode(), err)
    return run


# ---- put and get

@pytest.mark.parametrize("value", ["1", '"text"', "[1, 2]", '{"a": 1.0, "ä": "\\u00e4"}', "null", "12345678901234567890"])
def test_put_and_get_round_trip_a_value(kvs, node, prefix, value):
    put = kvs("put", prefix, value)
    assert put.code == 0, put
    stored = node.get(key_path(prefix))
    assert put.out == stored.json()["uuid"].encode() + b"\n"
    get = kvs("get", prefix)
    assert (get.code, get.err) == (0, "")
    assert get.out == node.get(key_path(prefix) + "?raw=1").body + b"\n"


def test_put_takes_a_value_from_stdin_or_a_file(kvs, prefix, tmp_path):
    (tmp_path / "value.json").write_bytes(b'{"from": "file"}\n')
    for arguments, stdin, stored in ((["-"], b'["stdin"]\n', b'["stdin"]\n'), ([], b'"no operand"', b'"no operand"\n'),
                                     (["@value.json"], b"", b'{"from":"file"}\n')):
        assert kvs("put", prefix, *arguments, stdin=stdin).code == 0
        assert kvs("get", prefix).out == stored
    missing = kvs("put", prefix, "@missing.json")
    assert missing.code == 1 and "missing.json" in missing.err


def test_put_of_what_is_no_json_is_refused_with_a_hint(kvs, node, prefix):
    for arguments, stdin in ((["hello"], b""), (["-"], b"{broken"), ([""], b""), ([], b"")):
        result = kvs("put", prefix, *arguments, stdin=stdin)
        assert result.code == 2, result
        assert "--string" in result.err and "column" in result.err
    assert node.get(key_path(prefix)).status == 404


@pytest.mark.parametrize("text", ["hello", "with spaces", "", "1", '"quoted"', "ä€😀", "back\\slash", "two\nlines\n", "-x"])
def test_string_stores_any_text_and_gives_it_back(kvs, node, prefix, text):
    assert kvs("put", prefix, "--string", "--", text).code == 0
    assert node.get(key_path(prefix)).json()["data"] == text
    assert kvs("get", prefix, "--string").out.decode() == text + "\n"


def test_string_refuses_what_is_no_text(kvs, node, prefix):
    assert kvs("put", prefix, "-", "--string", stdin=b"\xff\xfe").code == 2
    assert node.get(key_path(prefix)).status == 404
    kvs("put", prefix, "5")
    result = kvs("get", prefix, "--string")
    assert result.code == 1 and "no string" in result.err and result.out == b""


def test_a_negative_number_stands_behind_two_dashes(kvs, prefix):
    assert kvs("put", prefix, "--", "-5").code == 0
    assert kvs("get", prefix).out == b"-5\n"


@pytest.mark.parametrize("key", ["a b", "ä/ö", "100%", "a?b#c", "a&b=c", "日本/😀", "+"])
def test_keys_need_no_encoding(kvs, node, prefix, key):
    assert kvs("put", f"{prefix}/{key}", "1").code == 0
    assert node.get(key_path(f"{prefix}/{key}")).json()["data"] == 1
    assert kvs("get", f"{prefix}/{key}").out == b"1\n"
    assert kvs("delete", f"{prefix}/{key}").code == 0
    assert node.get(key_path(f"{prefix}/{key}")).status == 404


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "..", "a/../b", "a\nb", "_range/a"])
def test_a_bad_key_is_a_usage_error(kvs, key):
    for arguments in (["get", key], ["put", key, "1"], ["delete", key]):
        result = kvs(*arguments)
        assert result.code == 2 and "key" in result.err, result


def test_a_large_value_round_trips(kvs, prefix):
    value = json.dumps("x" * 1_000_000).encode()
    assert kvs("put", prefix, "-", stdin=value).code == 0
    assert kvs("get", prefix).out == value + b"\n"


def test_get_as_json_shows_the_whole_record(kvs, node, prefix):
    kvs("put", prefix, '{"a": 1.0}')
    result = kvs("get", prefix, "--json")
    assert json.loads(result.out) == {"path": prefix, **node.get(key_path(prefix)).json()}
    assert b'"data":{"a":1.0}' in result.out


def test_put_as_json_tells_the_version_and_whether_it_is_new(kvs, node, prefix):
    for created in (True, False):
        result = json.loads(kvs("put", prefix, "1", "--json").out)
        record = node.get(key_path(prefix)).json()
        assert result == {"path": prefix, "uuid": record["uuid"], "timestamp": record["timestamp"], "created": created}


def test_get_reads_an_earlier_revision(kvs, prefix):
    for n in range(4):
        kvs("put", prefix, str(n))
    assert [kvs("get", prefix, "--rev", str(n)).out for n in (1, 2, 3)] == [b"3\n", b"2\n", b"1\n"]
    for bad in ("0", "-1", "x", "99999999999"):
        assert kvs("get", prefix, f"--rev={bad}").code == 2
    assert kvs("get", prefix + "-absent", "--rev", "1").code == 4


def test_ttl_lets_a_record_expire_and_zero_keeps_it(kvs, node, prefix):
    assert kvs("put", prefix, "1", "--ttl", "1ms").code == 0
    wait_until(lambda: node.get(key_path(prefix)).status == 404, "the record is gone")
    assert kvs("put", prefix, '{"data":1,"ttl":"1ms"}', "--ttl", "0").code == 0
    assert kvs("get", prefix).out == b'{"data":1,"ttl":"1ms"}\n'
    bad = kvs("put", prefix, "1", "--ttl", "soon")
    assert bad.code == 2 and "ttl" in bad.err.lower()


# ---- conditions and exit codes

def test_conditions_decide_and_exit_5_when_they_fail(kvs, node, prefix):
    assert kvs("put", prefix, "0", "--if-match", "*").code == 5
    first = kvs("put", prefix, "1", "--if-none-match").out.decode().strip()
    assert UUID.fullmatch(first)
    assert kvs("put", prefix, "2", "--if-none-match").code == 5
    second = kvs("put", prefix, "2", "--if-match", first).out.decode().strip()
    failed = kvs("put", prefix, "3", "--if-match", first)
    assert failed.code == 5 and failed.err.startswith("kvs: ") and failed.out == b""
    assert kvs("delete", prefix, "--if-match", first).code == 5
    assert node.get(key_path(prefix)).json()["data"] == 2
    assert kvs("delete", prefix, "--if-match", second).code == 0
    assert kvs("put", prefix, "1", "--if-match", "x").code == 2
    assert kvs("put", prefix, "1", "--if-match", first, "--if-none-match").code == 2


def test_what_is_absent_is_exit_4(kvs, prefix):
    for arguments in (["get", prefix], ["delete", prefix]):
        result = kvs(*arguments)
        assert result.code == 4 and result.out == b"" and result.err.startswith("kvs: ")


def test_no_node_is_exit_6_and_says_where_it_looked(kvs, prefix):
    result = kvs("get", prefix, "--url", NOBODY)
    assert result.code == 6 and NOBODY in result.err
    assert kvs("get", prefix, url=NOBODY).code == 6


def test_another_server_is_no_node_without_the_key(kvs, prefix):
    """Whoever asks `kvs get feature || …` must not take a wrong URL for an absent key."""
    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        result = kvs("get", prefix, url=f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join()
    assert result.code == 1 and result.err.count("\n") == 1 and "no answer of KVS" in result.err, result


def test_of_several_urls_one_that_answers_is_enough(kvs, node, prefix):
    assert kvs("put", prefix, "1", "--url", f"{NOBODY},{node.url}").code == 0
    assert kvs("get", prefix, url=f"{NOBODY}, {node.url}").out == b"1\n"


def test_the_option_beats_the_environment(kvs, node, prefix):
    assert kvs("put", prefix, "1", "--url", node.url, url=NOBODY).code == 0


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://127.0.0.1", "http://a b", "http://u:secret@127.0.0.1", ","])
def test_a_bad_url_is_a_usage_error(kvs, url):
    result = kvs("get", "a", "--url", url)
    assert result.code == 2 and result.err


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"], ["a", "1", "--tll", "1h"], ["a", "1", "--ttl"]])
def test_wrong_use_of_put_is_exit_2(kvs, arguments):
    result = kvs("put", *arguments, stdin=b"")
    assert result.code == 2 and "help put" in result.err and result.out == b""


def test_a_read_only_node_is_exit_7(make_node, kvs):
    node = make_node(read_only=True)
    result = kvs("put", "a", "1", url=node.url)
    assert result.code == 7 and "read-only" in result.err


def test_a_value_too_large_shows_the_nodes_own_words(make_node, kvs):
    node = make_node(max_json_size=100)
    result = kvs("put", "a", json.dumps("x" * 200), url=node.url)
    detail = node.put("/kv/a", "x" * 200).json()["detail"]
    assert result.code == 1 and detail in result.err


def test_a_full_disk_behind_stdout_is_no_success(kvs, node, prefix, tmp_path):
    kvs("put", prefix, json.dumps("x" * 100_000))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([binary(), "get", prefix], stdout=full, stderr=subprocess.PIPE, timeout=300, check=False,
                              env={**clean_environment(tmp_path), "KVS_URL": node.url})
    assert done.returncode == 1 and done.stderr


# ---- tokens

def test_a_token_reaches_the_node_from_option_environment_or_file(kvs, tmp_path):
    import socket
    import threading
    (tmp_path / "token").write_text("from-file\nmore\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heads = []

        def answer():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += client.recv(65536)
                    heads.append(data.decode())
                    body = b'{"title":"Unauthorized","status":401,"detail":"who are you?"}'
                    client.sendall(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        results = [kvs("get", "a", "--token", "from-option", url=url, KVS_TOKEN="from-environment"),
                   kvs("get", "a", url=url, KVS_TOKEN="from-environment"),
                   kvs("get", "a", "--token-file", "token", url=url, KVS_TOKEN="from-environment")]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert [re.search(r"Authorization: Bearer (\S+)", head).group(1) for head in heads] == [
        "from-option", "from-environment", "from-file"]
    for result in results:
        assert result.code == 7 and "who are you?" in result.err
        assert "from-" not in result.err


def test_bad_token_sources_are_refused(kvs, tmp_path):
    (tmp_path / "empty").write_text("\n")
    assert kvs("get", "a", "--token", "a", "--token-file", "empty").code == 2
    assert kvs("get", "a", "--token-file", "empty").code == 2
    assert kvs("get", "a", "--token-file", "missing").code == 1
    assert kvs("get", "a", "--token", "a\nX-Evil: 1").code == 2


# ---- ls

@pytest.fixture
def tree(node, prefix):
    keys = ["a", "a/b", "a/b/c", "a/d", "a2", "ä/ö", "z"]
    for key in keys:
        node.put(key_path(f"{prefix}/{key}"), {"k": key})
    return prefix


def test_ls_lists_children_one_a_line(kvs, tree):
    result = kvs("ls", tree)
    assert result.code == 0
    assert result.out.decode().splitlines() == [f"{tree}/{k}" for k in ("a", "a/", "a2", "z", "ä/")]
    assert kvs("ls", f"{tree}/").out == result.out
    assert kvs("ls", f"{tree}/a/").out.decode().splitlines() == [f"{tree}/{k}" for k in ("a/b", "a/b/", "a/d")]


def test_ls_without_a_slash_shows_the_key_of_that_name_too(kvs, tree):
    assert kvs("ls", f"{tree}/a").out.decode().splitlines() == [f"{tree}/{k}" for k in ("a", "a/b", "a/b/", "a/d")]
    assert kvs("ls", f"{tree}/a2").out.decode().splitlines() == [f"{tree}/a2"]
    assert kvs("ls", f"{tree}/a", "--limit", "1").out.decode().splitlines() == [f"{tree}/a"]
    assert kvs("ls", f"{tree}/a2", "--values").out.decode() == f'{tree}/a2\t{{"k":"a2"}}\n'
    assert json.loads(kvs("ls", f"{tree}/a2", "--json").out).keys() == {"path", "uuid", "timestamp"}


def test_ls_all_lists_everything_below(kvs, tree):
    assert kvs("ls", tree, "--all").out.decode().splitlines() == [
        f"{tree}/{k}" for k in ("a", "a/b", "a/b/c", "a/d", "a2", "z", "ä/ö")]


def test_ls_with_values_puts_a_tab_between(kvs, tree):
    lines = kvs("ls", f"{tree}/a/", "--all", "--values").out.decode().splitlines()
    assert lines == [f'{tree}/{k}\t{{"k":"{k}"}}' for k in ("a/b", "a/b/c", "a/d")]


def test_ls_as_json_is_one_object_a_line(kvs, node, tree):
    lines = [json.loads(line) for line in kvs("ls", f"{tree}/a/", "--json", "--values").out.splitlines()]
    records = [{"path": f"{tree}/{k}", **node.get(key_path(f"{tree}/{k}")).json()} for k in ("a/b", "a/d")]
    assert lines == [records[0], {"prefix": f"{tree}/a/b/"}, records[1]]


def test_ls_of_nothing_is_no_error(kvs, prefix):
    assert (kvs("ls", prefix).code, kvs("ls", prefix).out) == (0, b"")


def test_ls_limit_and_its_errors(kvs, tree):
    assert len(kvs("ls", tree, "--all", "--limit", "3").out.splitlines()) == 3
    for bad in ("0", "-1", "x", ""):
        assert kvs("ls", f"--limit={bad}").code == 2


def test_ls_follows_the_pages_to_the_end(kvs, node, prefix):
    keys = [f"{prefix}/{n:04}" for n in range(2500)]
    with Connection(node.port) as connection:
        for key in keys:
            assert connection.request("PUT", key_path(key), 1).status == 201
    assert kvs("ls", prefix).out.decode().splitlines() == keys
    assert kvs("ls", prefix, "--limit", "1500").out.decode().splitlines() == keys[:1500]
    assert kvs("ls", prefix, "--limit", "1000").out.decode().splitlines() == keys[:1000]


# ---- on a terminal

def test_get_on_a_terminal_shows_key_version_time_and_indented_value(on_terminal, node, prefix):
    record = node.put(key_path(prefix), {"a": [1, {}]}).json()
    result = on_terminal("get", prefix)
    assert result.code == 0
    assert prefix in result.out and record["uuid"] in result.out
    assert re.search(r"^updated +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", result.out, re.M)
    assert '{\n  "a": [\n    1,\n    {}\n  ]\n}\n' in result.out
    assert on_terminal("get", prefix, "--raw").out == '{"a":[1,{}]}\n'


def test_put_and_delete_on_a_terminal_say_what_they_did(on_terminal, prefix):
    assert on_terminal("put", prefix, "1").out.startswith(f"created {prefix}")
    assert on_terminal("put", prefix, "2").out.startswith(f"replaced {prefix}")
    assert on_terminal("delete", prefix).out == f"deleted {prefix}\n"


def test_put_without_a_value_on_a_terminal_does_not_wait(on_terminal, prefix):
    result = on_terminal("put", prefix)
    assert result.code == 2 and "value is missing" in result.err


def test_ls_on_a_terminal_aligns_times_keys_and_values(on_terminal, node, prefix):
    prefix = prefix[-8:]  # longer keys than half a line may stick out
    for key in ("a", "long-key", "d/e"):
        node.put(key_path(f"{prefix}/{key}"), "x" * 500)
    lines = on_terminal("ls", prefix, "--values").out.splitlines()
    assert len(lines) == 3
    assert {line.index(prefix) for line in lines} == {21}
    starts = {line.index('"x') for line in lines if '"x' in line}
    assert len(starts) == 1 and all(line.endswith("…") for line in lines if '"x' in line)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", lines[0])
    assert lines[1] == " " * 21 + f"{prefix}/d/"


def test_stored_data_cannot_steer_a_terminal(on_terminal, node, prefix):
    node.put(key_path(f"{prefix}/k\u202e"), '"\x7f\u009b31m\u202e"'.encode())
    for arguments in (["get", f"{prefix}/k\u202e"], ["ls", prefix, "--values"]):
        seen = on_terminal(*arguments).out
        assert "\\u202e" in seen and "\\u009b31m" in seen
        assert not re.search("[\x7f\x80-\x9f\u202e]", seen)


# ---- What a newcomer meets

def test_ls_finds_a_text_in_names_and_values(kvs, node, prefix):
    for key, value in (("color", '"RED"'), ("x/deep", '{"color":1}'), ("y", "1")):
        node.put(key_path(f"{prefix}/{key}"), value.encode())
    assert kvs("ls", prefix, "--find", "Color").out.decode().splitlines() == [f"{prefix}/color", f"{prefix}/x/deep"]
    assert kvs("ls", prefix, "--find", "red", "--values").out.decode() == f'{prefix}/color\t"RED"\n'
    assert kvs("ls", prefix, "--find", "color", "--limit", "1").out.decode() == f"{prefix}/color\n"
    assert kvs("ls", f"{prefix}/color", "--find", "red").out.decode() == f"{prefix}/color\n"
    assert kvs("ls", prefix, "--find", "green").out == b""


def test_ls_find_goes_through_all_pages(kvs, node, prefix):
    operations = [{"op": "put", "path": f"{prefix}/{n:04}", "data": n} for n in range(1200)]
    for start in (0, 600):
        assert node.post("/kv_batch", json.dumps(operations[start:start + 600]).encode()).status == 200
    found = kvs("ls", prefix, "--find", "/11", "--limit", "101").out.decode().splitlines()
    assert found == [f"{prefix}/{n}" for n in range(1100, 1200)]


def test_what_is_left_of_a_ttl_is_shown(kvs, on_terminal, prefix):
    assert kvs("put", prefix, "1", "--ttl", "1h").code == 0
    record = json.loads(kvs("get", prefix, "--json").out)
    assert record["timestamp"] < record["expires_timestamp"] <= record["timestamp"] + 3600_000 + 60_000
    assert re.search(r"^expires  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, in (1h|\d+m)", on_terminal("get", prefix).out, re.M)
    assert kvs("patch", prefix, "{}", "--ttl", "0").code == 0
    assert "expires_timestamp" not in json.loads(kvs("get", prefix, "--json").out)
    assert "expires" not in on_terminal("get", prefix).out
    assert kvs("get", prefix).out == b"{}\n"


def test_wide_keys_do_not_push_values_out_of_line(on_terminal, node):
    prefix = f"wide{os.getpid()}"  # short: keys of more than 48 columns are not aligned
    for key in ("ab", "\u65e5\u672c", "\U0001f600", "e\u0301"):
        node.put(key_path(f"{prefix}/{key}"), b"1")
    columns = set()
    for line in on_terminal("ls", "--values", prefix).out.splitlines():
        start = line[:line.rindex("1")]
        columns.add(sum(2 if ord(c) > 0x2e80 else 0 if c == "\u0301" else 1 for c in start))
    assert len(columns) == 1


@pytest.mark.parametrize("word,ours", [("set", "put"), ("rm", "delete"), ("list", "ls"), ("find", "ls --find"),
                                       ("undo", "restore"), ("keys", "ls")])
def test_the_word_of_another_tool_is_answered_with_ours(kvs, word, ours):
    result = kvs(word, "a")
    assert result.code == 2 and f"did you mean 'kvs {ours}'?" in result.err
    assert kvs("help", ours.split()[0]).code == 0


def test_a_negative_value_is_told_where_it_belongs(kvs, prefix):
    result = kvs("put", prefix, "-5")
    assert result.code == 2 and "'-- -5'" in result.err


def test_restore_recursive_undoes_deletions_and_nothing_else(kvs, node, prefix):
    for key in ("a", "b/c", "kept", "again"):
        node.put(key_path(f"{prefix}/{key}"), f'"{key}"'.encode())
    node.put(key_path(f"{prefix}2"), b"1")
    for key in ("a", "b/c", "again"):
        assert node.delete(key_path(f"{prefix}/{key}")).status == 204
    assert node.delete(key_path(f"{prefix}2")).status == 204
    node.put(key_path(f"{prefix}/again"), b'"new"')
    expected = [f"{prefix}/a", f"{prefix}/b/c"]
    assert kvs("restore", "-r", prefix, "--dry-run").out.decode().splitlines() == expected
    assert kvs("ls", prefix, "--all").out.decode().splitlines() == [f"{prefix}/again", f"{prefix}/kept"]
    done = kvs("restore", "-r", prefix, "--since", "10m", "--json")
    assert done.code == 0
    for line, key in zip(done.out.decode().splitlines(), expected, strict=True):
        result = json.loads(line)
        assert result["path"] == key and UUID.fullmatch(result["uuid"])
        assert node.get(key_path(key)).json()["uuid"] == result["uuid"]
    assert kvs("get", f"{prefix}/a").out == b'"a"\n'
    assert kvs("get", f"{prefix}/again").out == b'"new"\n'
    assert kvs("get", f"{prefix}2").code == 4
    nothing = kvs("restore", "-r", prefix)
    assert nothing.code == 4 and "nothing that was deleted" in nothing.err


def test_restore_recursive_leaves_alone_what_has_expired(kvs, node, prefix):
    node.put(key_path(f"{prefix}/a"), b"1")
    node.delete(key_path(f"{prefix}/a"))
    assert kvs("put", f"{prefix}/b", "1", "--ttl", "1ms").code == 0
    wait_until(lambda: kvs("get", f"{prefix}/b").code == 4, "b to expire")
    result = kvs("restore", "-r", prefix)
    assert result.code == 0 and result.out.decode() == f"{prefix}/a\n"  # what has expired is no deletion


@pytest.mark.parametrize("arguments", [["-r", "a", "--rev", "2"], ["-r", "a", "--if-match", "*"], ["a", "--since", "1h"],
                                       ["a", "--dry-run"], ["-r", "/"], ["-r", "a", "--since", "x"], ["-r", "a", "--since", "0"]])
def test_wrong_use_of_restore_recursive_is_exit_2(kvs, arguments):
    assert kvs("restore", *arguments).code == 2



def test_watch_on_a_terminal_says_after_ctrl_c_how_to_go_on(node, prefix, tmp_path):
    master, slave = pty.openpty()
    env = {**clean_environment(tmp_path), "KVS_URL": node.url, "TERM": "dumb"}
    with subprocess.Popen([binary(), "watch", f"{prefix}/", "--since", "0"], stdin=slave, stdout=slave,
                          stderr=subprocess.PIPE, env=env, cwd=tmp_path) as process:
        os.close(slave)
        node.put(key_path(f"{prefix}/a"), b"1")
        seen = b""
        while f"{prefix}/a".encode() not in seen:
            seen += os.read(master, 65536)
        process.send_signal(signal.SIGINT)
        err = process.stderr.read().decode()
        assert process.wait(timeout=300) == -signal.SIGINT
    os.close(master)
    since = re.search(rf"kvs watch {re.escape(prefix)}/ --since (\d+)\n", err)[1]
    changes = node.get(f"/changes?since={since}&prefix={prefix}/").json()["changes"]
    assert changes == []


def test_watch_ends_with_its_reader(node, prefix, tmp_path):
    node.put(key_path(f"{prefix}/a"), b"1")
    env = {**clean_environment(tmp_path), "KVS_URL": node.url}
    with subprocess.Popen([binary(), "watch", f"{prefix}/", "--since", "0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          env=env, cwd=tmp_path) as process:
        assert process.stdout.readline().endswith(f"{prefix}/a\n".encode())
        process.stdout.close()
        assert process.wait(timeout=300) == -signal.SIGPIPE


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "--find", "x"], ["tree"], ["watch", "--for", "1ms"], ["get"], ["delete"],
                                       ["delete", "-r"], ["restore", "-r"], ["history"]])
def test_a_slash_in_front_is_refused_where_it_would_find_nothing(kvs, arguments):
    result = kvs(*arguments, "/app")
    assert result.code == 2 and "begins with a slash" in result.err and "without" in result.err


def test_a_prefix_taken_for_a_key_is_told_from_one(kvs, tree):
    for command, meant in (("get", f"kvs ls {tree}"), ("delete", f"kvs delete -r {tree}")):
        result = kvs(command, tree)
        assert result.code == 4 and f"'{meant}'" in result.err
        result = kvs(command, f"{tree}-not")
        assert result.code == 4 and len(result.err.splitlines()) == 1


def test_restore_recursive_begins_with_the_oldest_change_that_is_kept(kvs):
    deletion, restored = str(uuid.uuid4()), str(uuid.uuid4())
    posted = []

    def get(handler, path, query, _body):
        if path != "/changes":
            handler.answer(200, [{"revision": 1, "uuid": deletion, "timestamp": 5, "data": None, "deleted": True},
                                 {"revision": 2, "uuid": str(uuid.uuid4()), "timestamp": 4, "data": 1}])
        elif int(query["since"]) < 7:
            handler.problem(410, "This node keeps the changes behind 7 up to 9. Begin anew: …")
        else:
            handler.answer(200, {"changes": [{"seq": 8, "path": "app/a", "uuid": deletion, "timestamp": 5, "deleted": True}],
                                 "last_seq": 9, "more": False})

    def post(handler, path, _query, _body):
        posted.append(path)
        handler.answer(200, {"uuid": restored, "timestamp": 6})
    with FakeNode() as old:
        old.route_get, old.route_post = get, post
        result = kvs("restore", "-r", "app", url=old.url)
    assert result.code == 0 and result.out == b"app/a\n", result
    assert posted == ["/api/data/app/a/history/2/restore"]


@pytest.mark.parametrize("deletions, written, code", [(1, False, 0), (2, False, 0), (1, True, 4)])
def test_restore_recursive_asks_for_what_it_found_and_overwrites_nothing(kvs, deletions, written, code):
    uuids = [str(uuid.uuid4()) for _ in range(deletions)]
    posted = []

    def get(handler, path, _query, _body):
        if path == "/changes":
            handler.answer(200, {"changes": [{"seq": 9 - n, "path": "app/a", "uuid": deletion, "timestamp": 9 - n, "deleted": True}
                                             for n, deletion in reversed(list(enumerate(uuids)))],
                                 "last_seq": 9, "more": False})
        else:
            deleted = [{"revision": n + 1, "uuid": deletion, "timestamp": 9 - n, "data": None, "deleted": True}
                       for n, deletion in enumerate(uuids)]
            handler.answer(200, [*deleted, {"revision": deletions + 1, "uuid": str(uuid.uuid4()), "timestamp": 4, "data": 1}])

    def post(handler, path, _query, _body):
        posted.append(path)
        if written and handler.headers.get("If-None-Match") == "*":  # since it was asked for
            handler.problem(412, "There is a record.")
        else:
            handler.answer(200, {"uuid": str(uuid.uuid4()), "timestamp": 10})
    with FakeNode() as fake:
        fake.route_get, fake.route_post = get, post
        result = kvs("restore", "-r", "app", url=fake.url)
    assert posted == [f"/api/data/app/a/history/{deletions + 1}/restore"]
    assert result.code == code and result.out == (b"" if written else b"app/a\n"), result


def test_the_node_says_which_changes_it_keeps_in_the_words_that_are_looked_for(node):
    told = node.get("/changes?since=999999999")
    assert told.status == 410 and "keeps the changes behind 0 up to " in told.json()["detail"]
