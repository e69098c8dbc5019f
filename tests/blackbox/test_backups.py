# SPDX-License-Identifier: Apache-2.0
"""Backups of real nodes: made by schedule, over HTTP and on the command line; restored, refused, expired."""
import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

from kvsnode import binary, clean_environment, key_path, wait_until

NAME = re.compile(r"kvs-backup-\d{4}-\d\d-\d\dT\d{6}Z\.zst")


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()

    def __repr__(self):
        return f"<exit {self.code}\nout: {self.out!r}\nerr: {self.err!r}>"


@pytest.fixture
def kvs(tmp_path):
    """kvs(*arguments, node=None): the command line; with a node, against it."""
    def run(*arguments, node=None, timeout_s=300):
        env = clean_environment(tmp_path)
        if node:
            env["KVS_URL"] = node.url
        return Result(subprocess.run([binary(), *map(str, arguments)], capture_output=True, env=env, cwd=tmp_path,
                                     timeout=timeout_s, check=False))
    return run


def status_of(node):
    return node.get("/api/backup/status").json()


def make_backup(node):
    """The status behind a finished backup."""
    begun = node.post("/api/backup")
    assert begun.status == 202, begun
    return wait_until(lambda: (s := status_of(node))["last_id"] >= begun.json()["id"] and s, "the backup ends")


def folder_of(node):
    return node.folder / "backups"


def names_in(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def restored(make_node, kvs, file, *options, name="restored", **settings):
    """A node on what the file holds."""
    node = make_node(name, start=False, data_dir="./restored", **settings)
    result = kvs("restore", file, "--data-dir", node.folder / "restored", *options)
    assert result.code == 0, result
    return node.start()


# ---- Over HTTP

def test_a_backup_over_http_is_verified_private_and_listed(fresh_node):
    assert status_of(fresh_node)["last_backup_time"] is None
    fresh_node.put("/kv/a", {"n": 1.0})
    before = int(time.time())
    status = make_backup(fresh_node)
    assert status["last_backup_success"] is True and status["last_backup_error"] is None
    assert before <= status["last_backup_time"] <= time.time() + 1
    assert status["backups_running"] is False and status["running"] is None
    path = status["last_backup_path"]
    assert os.path.dirname(path) == str(folder_of(fresh_node)) and NAME.fullmatch(os.path.basename(path))
    assert mode_of(path) == 0o600 and mode_of(folder_of(fresh_node)) == 0o700
    assert names_in(folder_of(fresh_node)) == [os.path.basename(path)]
    listing = fresh_node.get("/api/backups").json()
    assert listing["next"] is None
    (backup,) = listing["backups"]
    assert backup["path"] == path and backup["keys"] == 1 and backup["node_id"] == fresh_node.settings["node_id"]
    assert backup["size"] == os.path.getsize(path) == status["last_backup_size"]
    assert fresh_node.get("/api/backup").status == 405
    text = fresh_node.get("/metrics").body.decode()
    assert 'kvs_backups_total{result="success"} 1' in text
    assert re.search(r"^kvs_last_verified_backup_age_seconds \d", text, re.M)


def test_backups_on_request_need_no_schedule_and_survive_a_restart(make_node):
    node = make_node(backup_enabled=False)
    assert status_of(node)["next_backup_time"] is None and status_of(node)["enabled"] is False
    assert "kvs_last_verified_backup_age_seconds +Inf" in node.get("/metrics").body.decode()
    first = make_backup(node)
    assert first["last_backup_success"]
    node.restart()
    again = status_of(node)
    assert again["last_backup_path"] == first["last_backup_path"] and again["last_backup_success"]
    assert again["last_id"] == 0


def fill(node, count, prefix="fill"):
    with node.connect() as connection:
        for n in range(count):
            assert connection.request("PUT", f"/kv/{prefix}/{n}", {"n": n, "pad": "x" * 50}).status == 201


def test_only_one_at_a_time(fresh_node):
    fill(fresh_node, 3000)
    begun = fresh_node.post("/api/backup")
    refused = fresh_node.post("/api/backup")
    if refused.status != 409:  # the first one was faster than our second question
        assert refused.status == 202 and status_of(fresh_node)["last_id"] >= begun.json()["id"]
    else:
        assert refused.headers["content-type"] == "application/problem+json"
        assert "/api/backup/status" in refused.json()["detail"]


# ---- By schedule

def test_the_schedule_makes_them_and_a_reload_changes_it(make_node):
    before = int(time.time())
    node = make_node(backup_schedule="@every 1s")
    assert status_of(node)["next_backup_time"] >= before
    wait_until(lambda: status_of(node)["last_id"] >= 2, "two backups by schedule")
    elsewhere = node.folder / "elsewhere"
    node.settings.update(backup_schedule="0 3 * * *", backup_path="./elsewhere")
    node.write_config()
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: (status_of(node)["next_backup_time"] or 0) > time.time() + 60 or
               time.localtime(status_of(node)["next_backup_time"]).tm_hour == 3, "the new schedule")
    wait_until(lambda: not status_of(node)["backups_running"], "the running one ends")
    make_backup(node)
    assert len(names_in(elsewhere)) == 1
    node.settings.update(backup_enabled=False)
    node.write_config()
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: status_of(node)["next_backup_time"] is None, "no schedule any more")


def test_old_backups_go_but_the_last_good_one_stays(make_node):
    node = make_node(backup_retention=1)
    first = make_backup(node)["last_backup_path"]
    old = folder_of(node) / "kvs-backup-2020-01-01T000000Z.zst"
    older = folder_of(node) / "kvs-backup-2019-01-01T000000Z.zst"
    other = folder_of(node) / "mine.zst"
    os.rename(first, old)
    shutil.copy(old, older)
    shutil.copy(old, other)
    status = make_backup(node)
    assert status["last_backup_success"]
    assert names_in(folder_of(node)) == [os.path.basename(status["last_backup_path"]), "mine.zst"]


# ---- Failures

def test_a_failure_is_told_everywhere(make_node):
    node = make_node(start=False, backup_path="./blocked")
    (node.folder / "blocked").write_text("a file where the folder should be")
    node.start()
    status = make_backup(node)
    assert status["last_backup_success"] is False and "blocked" in status["last_backup_error"]
    assert status["last_backup_path"] is None
    assert 'kvs_backups_total{result="failure"} 1' in node.get("/metrics").body.decode()
    assert '"msg":"backup failed"' in node.log_text()
    assert node.put("/kv/a", 1).status == 201


def can_mount():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk takes root")
def test_a_full_disk_gives_a_clear_error_and_leaves_nothing(make_node, kvs, tmp_path):
    node = make_node(start=False)
    node.start()
    with node.connect() as connection:
        for n in range(40):
            connection.request("PUT", f"/kv/{n}", os.urandom(50_000).hex())
    node.stop()
    small = tmp_path / "small"
    small.mkdir()
    config = tmp_path / "small.yaml"
    config.write_text(f'data_dir: "{node.folder / "data"}"\nbackup_path: "{small}/b"\nauth_enabled: false\n')
    script = (f'mount -t tmpfs -o size=1m none "{small}" && "{binary()}" backup "{config}"; echo "exit $?"; '
              f'ls -A "{small}/b"; umount "{small}"')
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=300,
                          env=clean_environment(tmp_path), check=False)
    assert done.stdout == "exit 1\n", (done.stdout, done.stderr)
    assert "No space left on device" in done.stderr and "free some space" in done.stderr


def test_stopping_a_node_stops_its_backup_and_leaves_nothing(make_node):
    node = make_node()
    fill(node, 5000)
    node.post("/api/backup")
    assert node.stop() == 0
    assert [name for name in names_in(folder_of(node)) if name.startswith(".")] == []


# ---- The command line

def test_kvs_backup_waits_and_prints_the_path(fresh_node, kvs):
    fresh_node.put("/kv/a", 1)
    result = kvs("backup", node=fresh_node)
    assert result.code == 0 and result.err == "", result
    path = result.out.strip()
    assert os.path.isfile(path) and NAME.fullmatch(os.path.basename(path))
    as_json = kvs("backup", "--json", node=fresh_node)
    assert as_json.code == 0 and json.loads(as_json.out)["last_backup_success"] is True
    listed = kvs("backup", "list", node=fresh_node)
    assert listed.out.splitlines()[1:] == [path]
    lines = kvs("backup", "list", "--json", node=fresh_node).out.splitlines()
    assert [json.loads(line)["keys"] for line in lines] == [1, 1]


def test_a_person_sees_how_far_it_is(fresh_node, tmp_path):
    fill(fresh_node, 500)
    controller, terminal = pty.openpty()
    env = {**clean_environment(tmp_path), "KVS_URL": fresh_node.url, "TERM": "xterm"}
    process = subprocess.Popen([binary(), "backup"], stdin=terminal, stdout=terminal, stderr=terminal, env=env)
    os.close(terminal)
    seen = b""
    try:
        while chunk := os.read(controller, 4096):
            seen += chunk
    except OSError:  # the terminal's end
        pass
    os.close(controller)
    assert process.wait(timeout=300) == 0, seen
    assert b"backup made and verified: " in seen and b"KiB)" in seen, seen


def test_kvs_backup_tells_what_is_wrong(fresh_node, kvs, tmp_path):
    assert kvs("backup", "--url", "http://127.0.0.1:1").code == 6
    result = kvs("backup", "verify")
    assert result.code == 2 and "FILE" in result.err
    assert kvs("backup", "a", "b").code == 2
    result = kvs("backup", "verify", tmp_path / "none.zst")
    assert result.code == 1 and "No such file" in result.err
    assert kvs("backup", "none.yaml").code == 2
    result = kvs("restore", tmp_path / "none.zst")
    assert result.code == 2 and "--data-dir" in result.err
    config = fresh_node.config
    result = kvs("backup", config)
    assert result.code == 1 and "runs" in result.err and str(fresh_node.port) in result.err, result


def test_a_stopped_node_is_backed_up_from_its_folder(make_node, kvs):
    node = make_node()
    node.put("/kv/a", "value")
    node.stop()
    result = kvs("backup", node.config)
    assert result.code == 0, result
    assert result.out.strip().startswith(str(folder_of(node)))
    again = restored(make_node, kvs, result.out.strip())
    assert again.get("/kv/a").json()["data"] == "value"
    shutil.rmtree(node.folder / "data")
    result = kvs("backup", node.config)
    assert result.code == 1 and "nothing to back up" in result.err
    assert not (node.folder / "data").exists()


# ---- Restoring

def test_a_restored_node_has_everything_as_it_was(make_node, kvs):
    node = make_node()
    for value in (1, 2, 3):
        node.put("/kv/doc", value)
    node.put("/kv/gone", 1)
    node.delete("/kv/gone")
    node.put("/kv/brief?ttl=1h", "x")
    node.put(key_path("ü/ключ"), '{"exact": 1.0}'.encode())
    path = make_backup(node)["last_backup_path"]
    node.put("/kv/later", 1)
    again = restored(make_node, kvs, path)
    assert again.get("/kv/doc").body == node.get("/kv/doc").body
    for key in ("doc", "gone", "brief"):
        target = f"/api/data/{key}/history"
        assert again.get(target).body == node.get(target).body
    assert again.get("/kv/gone").status == 404 and again.get("/kv/later").status == 404
    assert again.get("/kv/brief").status == 200
    assert again.get(key_path("ü/ключ") + "?raw=1").body == b'{"exact":1.0}'
    assert again.put("/kv/doc", 4).json()["timestamp"] > node.get("/kv/doc").json()["timestamp"]


def test_as_new_writes_values_are_newer_than_anything_before(make_node, kvs):
    node = make_node()
    node.put("/kv/a", "from the backup")
    node.put("/kv/dead", 1)
    node.delete("/kv/dead")
    path = make_backup(node)["last_backup_path"]
    later = node.put("/kv/a", "a mistake").json()
    again = restored(make_node, kvs, path, "--as-new-writes")
    record = again.get("/kv/a").json()
    assert record["data"] == "from the backup" and record["timestamp"] > later["timestamp"]
    assert [r["data"] for r in again.get("/api/data/a/history").json()] == ["from the backup"] * 2
    assert again.get("/kv/dead").status == 404


def test_refusals_say_why_and_touch_nothing(make_node, kvs, tmp_path):
    node = make_node()
    fill(node, 200)
    path = make_backup(node)["last_backup_path"]
    target = tmp_path / "target"

    def refused(file, words, data_dir=target):
        result = kvs("restore", file, "--data-dir", data_dir)
        assert result.code == 1 and words in result.err, result
        assert not target.exists() and not (tmp_path / "target.restoring").exists()

    whole = open(path, "rb").read()
    damaged = tmp_path / "damaged.zst"
    for at in (20, len(whole) // 2, len(whole) - 20):
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:])
        refused(damaged, "damaged")
        assert kvs("backup", "verify", damaged).code == 1
    damaged.write_bytes(whole[:-1])
    refused(damaged, "incomplete")
    damaged.write_bytes(whole + b"x")
    refused(damaged, "behind its end")
    damaged.write_bytes(b"no backup at all")
    refused(damaged, "no backup of KVS")
    damaged.write_bytes(b"")
    refused(damaged, "empty")
    refused(tmp_path / "missing", "no such file")
    refused(tmp_path, "is a folder")
    refused(path, "not empty", data_dir=node.folder)
    result = kvs("backup", "verify", path)
    assert result.code == 0 and result.out.strip() == path
    assert json.loads(kvs("backup", "verify", path, "--json").out)["keys"] == 200


def test_an_interrupted_restore_leaves_no_half_of_a_store(make_node, kvs, tmp_path):
    node = make_node()
    fill(node, 3000)
    path = make_backup(node)["last_backup_path"]
    target = tmp_path / "target"
    process = subprocess.Popen([binary(), "restore", path, "--data-dir", target], env=clean_environment(tmp_path))
    wait_until(lambda: (tmp_path / "target.restoring").exists() or process.poll() is not None, "it has begun")
    process.kill()
    if process.wait() != 0:
        assert not target.exists()
    else:
        shutil.rmtree(target)
    assert kvs("restore", path, "--data-dir", target).code == 0
    assert names_in(tmp_path).count("target.restoring") == 0 and (target / "FORMAT").exists()


def test_zstd_itself_reads_the_file(make_node):
    zstd = shutil.which("zstd")
    if not zstd:
        pytest.skip("zstd is not installed")
    node = make_node()
    node.put("/kv/a", "needle in the haystack")
    path = make_backup(node)["last_backup_path"]
    done = subprocess.run([zstd, "-dc", path], capture_output=True, check=True)
    assert b"needle in the haystack" in done.stdout
