# SPDX-License-Identifier: Apache-2.0
"""Nodes in the background and in the foreground: start, stop, restart, status, signals, logs, PID files."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import kvshome
import kvsnode


@pytest.fixture
def user(tmp_path):
    user = kvshome.User(tmp_path)
    yield user
    user.close()


def port_of(config):
    return int(re.search(r"^port: (\d+)$", config.read_text(), re.M).group(1))


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def wait_for_end(pid):
    kvsnode.wait_until(lambda: not pathlib.Path(f"/proc/{pid}/cmdline").exists()
                       or b"kvs" not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes(), f"process {pid} ends")


def read_until(stream, text):
    while text not in (line := stream.readline()):
        assert line, f"'{text}' never came"


# ---- start

def test_start_returns_when_the_node_answers(user):
    config = user.config()
    result = user.ok("start", config)
    assert user.health(port_of(config)).status == 200
    pid = int(user.pid_file().read_text().splitlines()[0])
    assert f"node1: running at http://127.0.0.1:{port_of(config)} (PID {pid}, log " in result.stdout
    assert result.stderr == ""


def test_the_pid_file_says_pid_and_config(user):
    config = user.config()
    user.ok("start", config)
    pid, path = user.pid_file().read_text().splitlines()
    assert path == str(config)
    arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[0] == b"kvs" and str(config).encode() in arguments
    assert pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == kvsnode.binary().name


def test_everything_is_private_whatever_the_umask(user):
    config = user.folder / "a" / "fresh.yaml"
    config.parent.mkdir()
    subprocess.run(["sh", "-c", 'umask 0; exec "$0" start "$1"', kvsnode.binary(), config], check=True,
                   env={**user.env, "KVS_CFG_PORT": str(kvsnode.free_port())}, stdout=subprocess.DEVNULL)
    assert mode_of(config) == 0o600
    for folder in (user.kvs_home, config.parent / "data"):
        found = [folder, *folder.rglob("*")]
        assert len(found) > 3
        for path in found:
            assert mode_of(path) == (0o700 if path.is_dir() else 0o600), path


def test_the_daemon_has_a_session_of_its_own_and_holds_nothing_of_the_caller(user):
    read_end, write_end = os.pipe()
    process = user.popen("start", user.config(), pass_fds=[write_end])
    callers = {os.readlink(f"/proc/self/fd/{fd}")
               for fd in (read_end, process.stdout.fileno(), process.stderr.fileno())}
    process.communicate(timeout=kvsnode.DEADLINE_S)
    os.close(read_end)
    os.close(write_end)
    pid = user.status()["node1"]["pid"]
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    files = {int(entry.name): os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    assert files[0] == "/dev/null"
    log = str(user.kvs_home / "logs" / "a_node1.yaml.log")
    assert files[1] == files[2] == log
    assert not callers & set(files.values())


def test_a_missing_config_is_created_with_defaults_and_said_so(user):
    (user.folder / "a").mkdir()
    result = user.ok("start", "fresh", cwd=user.folder / "a", env={"KVS_CFG_PORT": str(kvsnode.free_port())})
    config = user.folder / "a" / "fresh.yaml"
    assert f"created {config} with defaults" in result.stderr
    assert re.search(r"^cluster_secret: ", config.read_text(), re.M)
    assert "# port: 8080" in config.read_text() or "#port: 8080" in config.read_text()
    user.ok("check", config)
    # Starting it again changes nothing in it.
    before = config.read_text()
    user.ok("stop", "fresh", cwd=user.folder / "a")
    assert "created" not in user.ok("start", "fresh", env={"KVS_CFG_PORT": str(kvsnode.free_port())}).stderr
    assert config.read_text() == before


def test_relative_paths_are_relative_to_the_config_from_wherever_it_starts(user):
    config = user.config(data_dir="./here")
    user.ok("start", "a/node1")
    assert (config.parent / "here").is_dir()
    assert not (user.folder / "here").exists()


def test_a_second_start_is_refused(user):
    config = user.config()
    user.ok("start", config)
    pid = user.status()["node1"]["pid"]
    for words in (["start", config], [config]):
        result = user.run(*words)
        assert result.returncode == 1
        assert "instance is already running" in result.stderr
    assert user.status()["node1"]["pid"] == pid
    assert user.health(port_of(config)).status == 200


def test_of_several_starts_at_once_exactly_one_wins(user):
    (user.folder / "a").mkdir()
    env = {"KVS_CFG_PORT": str(kvsnode.free_port())}
    starts = [user.popen("start", "a/fresh", env=env) for _ in range(4)]
    results = [(process.communicate(timeout=2 * kvsnode.DEADLINE_S), process.returncode) for process in starts]
    assert sorted(code for _, code in results) == [0, 1, 1, 1], results
    for (_, stderr), code in results:
        assert code == 0 or "instance is already running" in stderr
    assert list(user.status()) == ["fresh"]


def test_several_start_in_one_call_and_the_exit_code_is_the_first_failure(user):
    good, bad, other = user.config("good"), user.config("bad", folder="b"), user.config("other", folder="c")
    bad.write_text("prot: 1\n")
    result = user.run("start", good, bad, other)
    assert result.returncode == 2
    assert {name: row["state"] for name, row in user.status().items()} == {"good": "RUNNING", "other": "RUNNING"}


def test_a_crashed_node_is_seen_as_stopped_and_starts_again(user):
    config = user.config()
    user.ok("start", config)
    pid = user.status()["node1"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    assert user.pid_file().exists()
    assert user.status()["node1"]["state"] == "STOPPED"
    assert not user.pid_file().exists()
    user.ok("start", config)
    assert user.status()["node1"]["pid"] != pid


def test_a_stale_pid_file_does_not_hinder_a_start_even_when_its_pid_lives(user):
    config = user.config()
    user.pid_file().parent.mkdir(parents=True)
    user.pid_file().write_text(f"{os.getpid()}\n{config}\n")
    assert "not running" in user.ok("stop", config).stdout  # and this very process goes on
    user.pid_file().write_text(f"{os.getpid()}\n{config}\n")
    user.ok("start", config)
    assert user.status()["node1"]["pid"] != os.getpid()


# ---- Errors that newcomers meet

@pytest.mark.parametrize("command", ["start", "run"])
def test_a_busy_port_is_said_with_its_address(user, command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = user.config(port=port)
        result = user.run("start", config) if command == "start" else user.run(config)
    assert result.returncode == 1
    assert f"127.0.0.1:{port}: address already in use" in result.stderr
    assert not user.pid_file().exists()


def test_a_failing_start_shows_the_last_log_lines(user):
    config = user.config(data_dir="data")
    (config.parent / "data").write_text("a file")
    result = user.run("start", config)
    assert result.returncode == 1
    assert f"The last lines of {user.kvs_home / 'logs' / 'a_node1.yaml.log'}:" in result.stderr
    assert json.loads(result.stderr.splitlines()[-1])["level"] == "error"


@pytest.mark.parametrize("command", ["start", "run"])
def test_a_data_folder_that_cannot_be_used_is_named(user, command):
    config = user.config(data_dir="data")
    (config.parent / "data").write_text("a file")
    result = user.run("start", config) if command == "start" else user.run(config)
    assert result.returncode == 1
    assert str(config.parent / "data") in result.stderr.splitlines()[0]


def test_a_data_folder_in_use_by_another_node_is_refused(user):
    first = user.config(data_dir=str(user.folder / "shared"))
    second = user.config("copy", data_dir=str(user.folder / "shared"))
    user.ok("start", first)
    result = user.run("start", second)
    assert result.returncode == 1
    reason = result.stderr.splitlines()[0]
    assert str(user.folder / "shared") in reason
    assert re.search("another|in use", reason)
    assert user.health(port_of(first)).status == 200


def test_an_address_of_another_machine_is_refused(user):
    result = user.run("start", user.config(bind_address="192.0.2.1"))
    assert result.returncode == 1
    assert "192.0.2.1" in result.stderr.splitlines()[0]


# ---- Names

def test_two_configs_of_one_name_are_two_instances(user):
    a, b = user.config(folder="a"), user.config(folder="b")
    user.ok("start", a, b)
    status = user.status()
    assert len(status) == 2
    by_config = {row["config"]: row for row in status.values()}
    assert by_config[str(a)]["name"] == "node1"
    later = by_config[str(b)]["name"]
    assert re.fullmatch(r"node1-[0-9a-f]{8}", later)
    suffix = later[len("node1"):]
    assert by_config[str(b)]["log"] == str(user.kvs_home / "logs" / f"b_node1.yaml{suffix}.log")
    assert user.pid_file(later).exists()
    # Stopping one leaves the other alone; the name stays when only the later one starts again.
    user.ok("stop", later)
    assert user.health(port_of(a)).status == 200
    user.ok("stop", a)
    user.ok("start", b)
    assert {row["config"]: row["state"] for row in user.status().values()} == {str(a): "STOPPED", str(b): "RUNNING"}
    assert user.status()[later]["state"] == "RUNNING"


def test_a_name_of_several_is_not_guessed(user):
    a, b = user.config(folder="a"), user.config(folder="b")
    user.ok("start", a, b)
    result = user.run("stop", "node1")
    assert result.returncode == 2
    assert str(a) in result.stderr and str(b) in result.stderr
    assert all(row["state"] == "RUNNING" for row in user.status().values())
    # In a folder with such a config it is that one, and kvs says so.
    result = user.ok("stop", "node1", cwd=b.parent)
    assert str(b) in result.stderr and str(a) in result.stderr
    assert user.status()["node1"]["state"] == "RUNNING"


def test_a_running_node_is_known_by_its_name_from_anywhere(user):
    user.ok("start", user.config())
    user.ok("status", "node1", cwd="/")
    assert "node1: stopped" in user.ok("stop", "node1", cwd="/").stdout


# ---- stop, restart

def test_stop_ends_the_node_cleanly_and_removes_its_pid_file(user):
    config = user.config()
    user.ok("start", config)
    pid = user.status()["node1"]["pid"]
    assert user.ok("stop", config).stdout == "node1: stopped\n"
    assert not pathlib.Path(f"/proc/{pid}").exists() or \
        "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    assert not user.pid_file().exists()
    assert [line["msg"] for line in user.log_lines()][-1] == "node stopped"
    assert user.ok("stop", config).stdout == "node1: not running\n"


def test_stop_takes_several_and_asks_all_before_it_waits(user):
    configs = [user.config(f"node{i}") for i in range(1, 4)]
    user.ok("start", *configs)
    # The first one hangs: the others must have been asked all the same.
    pids = [user.status()[f"node{i}"]["pid"] for i in range(1, 4)]
    os.kill(pids[0], signal.SIGSTOP)
    stopping = user.popen("stop", "--timeout", "600", *configs)
    for pid in pids[1:]:
        wait_for_end(pid)
    assert stopping.poll() is None
    os.kill(pids[0], signal.SIGCONT)
    stdout, stderr = stopping.communicate(timeout=kvsnode.DEADLINE_S)
    assert (stopping.returncode, stderr) == (0, "")
    assert sorted(stdout.splitlines()) == ["node1: stopped", "node2: stopped", "node3: stopped"]
    assert all(row["state"] == "STOPPED" for row in user.status().values())


def test_stop_says_which_node_does_not_end_in_time(user):
    config = user.config()
    user.ok("start", config)
    hanging = user.status()["node1"]["pid"]
    os.kill(hanging, signal.SIGSTOP)
    result = user.run("stop", "--timeout", "1", config)
    assert result.returncode == 1
    assert "node1: still running after 1 s" in result.stderr
    os.kill(hanging, signal.SIGCONT)
    user.ok("stop", config)
    assert user.status()["node1"]["state"] == "STOPPED"


def test_force_kills_what_does_not_end(user):
    config = user.config()
    user.ok("start", config)
    pid = user.status()["node1"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert user.ok("stop", "--force", "--timeout", "1", config).stdout == "node1: killed\n"
    wait_for_end(pid)
    assert not user.pid_file().exists()
    user.ok("start", config)


def test_stop_works_when_the_config_file_is_gone(user):
    config = user.config()
    user.ok("start", config)
    config.unlink()
    assert user.status()["node1"]["state"] == "RUNNING"
    user.ok("stop", "node1")
    assert user.status() == {}


def test_restart_makes_a_new_process_with_the_same_data(user):
    config = user.config()
    user.ok("start", config)
    with kvsnode.Connection(port_of(config)) as connection:
        assert connection.request("PUT", "/kv/greeting", {"hello": "world"}).status == 201
    pid = user.status()["node1"]["pid"]
    user.ok("restart", config)
    assert user.status()["node1"]["pid"] != pid
    with kvsnode.Connection(port_of(config)) as connection:
        assert connection.request("GET", "/kv/greeting?raw=1").json() == {"hello": "world"}


def test_restart_starts_what_does_not_run(user):
    config = user.config()
    user.ok("restart", config)
    assert user.status()["node1"]["state"] == "RUNNING"


# ---- status

def test_status_tells_all_there_is_to_know(user):
    running, stopped = user.config("node1"), user.config("node2")
    user.ok("start", running, stopped)
    user.ok("stop", stopped)
    status = user.status()
    row = status["node1"]
    assert row["state"] == "RUNNING"
    assert row["pid"] == int(user.pid_file().read_text().splitlines()[0])
    assert row["address"] == f"127.0.0.1:{port_of(running)}"
    assert 0 <= row["uptime_seconds"] < 1000
    assert row["config"] == str(running)
    assert pathlib.Path(row["log"]).exists()
    assert status["node2"]["state"] == "STOPPED"
    assert status["node2"]["pid"] is None
    table = user.ok("status").stdout.splitlines()
    assert table[0].split() == ["NAME", "STATE", "PID", "ADDRESS", "UPTIME", "LOG"]
    assert table[1].split()[:4] == ["node1", "RUNNING", str(row["pid"]), row["address"]]
    assert table[2].split()[:3] == ["node2", "STOPPED", "-"]


def test_the_exit_code_of_status_says_whether_all_named_run(user):
    user.ok("start", user.config("node1"))
    user.config("node2")
    assert user.run("status", "node1").returncode == 0
    assert user.run("status", "node1", "a/node2").returncode == 3
    assert user.run("status").returncode == 0


def test_status_shows_the_address_that_the_node_really_has(user):
    config, port = user.config(), kvsnode.free_port()
    user.ok("start", config, env={"KVS_CFG_PORT": str(port)})
    assert user.status()["node1"]["address"] == f"127.0.0.1:{port}"


# ---- In the foreground

def foreground(user, config, env=None):
    """The process, once it serves."""
    process = user.popen(config, env=env)
    kvsnode.wait_until(lambda: process.poll() is not None or user.status().get("node1", {}).get("address"),
                       "the node serves")
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_node_in_the_foreground_ends_cleanly_and_logs_json_to_stdout(user, how):
    config = user.config()
    process = foreground(user, config)
    assert user.status()["node1"]["pid"] == process.pid
    process.send_signal(how)
    stdout, stderr = process.communicate(timeout=kvsnode.DEADLINE_S)
    assert process.returncode == 0
    assert stderr == ""
    lines = [json.loads(line) for line in stdout.splitlines()]
    for line in lines:
        assert {"time", "level", "msg", "node_id"} <= set(line)
    messages = [line["msg"] for line in lines]
    assert messages[0] == "node started" and messages[-1] == "node stopped" and "node stopping" in messages
    assert not user.pid_file().exists()


def opening(user, config):
    """The process, once it listens: the data is opened after that."""
    process = user.popen(config)

    def listens():
        assert process.poll() is None, process.communicate()
        with contextlib.suppress(OSError), kvsnode.Connection(port_of(config)):
            return True

    kvsnode.wait_until(listens, "the node listens")
    return process


def test_a_node_that_can_be_found_is_ended_by_no_signal(user):
    """Whoever reads the PID file may send one, SIGHUP as well, however early that is."""
    config = user.config()
    process = user.popen(config)
    kvsnode.wait_until(user.pid_file().exists, "its PID file is there")
    blocked = re.search(r"^SigBlk:\t(\S+)$", pathlib.Path(f"/proc/{process.pid}/status").read_text(), re.M)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        assert int(blocked[1], 16) >> (number - 1) & 1, number
    process.send_signal(signal.SIGHUP)
    read_until(process.stdout, "configuration reloaded")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=kvsnode.DEADLINE_S)
    assert process.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_node_told_to_stop_while_it_opens_its_data_ends_cleanly(user, how):
    config = user.config()
    process = opening(user, config)
    process.send_signal(how)
    stdout, _ = process.communicate(timeout=kvsnode.DEADLINE_S)
    assert process.returncode == 0, stdout
    assert '"node stopped"' in stdout


def test_a_reload_while_the_node_opens_its_data_comes_once_it_is_open(user):
    config = user.config()
    process = opening(user, config)
    process.send_signal(signal.SIGHUP)
    read_until(process.stdout, "configuration reloaded")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=kvsnode.DEADLINE_S)
    assert process.returncode == 0


def test_stop_ends_a_node_in_the_foreground_too(user):
    config = user.config()
    process = foreground(user, config)
    ending = user.popen("stop", config)
    assert process.wait(timeout=kvsnode.DEADLINE_S) == 0
    assert ending.wait(timeout=kvsnode.DEADLINE_S) == 0


def test_without_words_it_runs_config_yaml_and_creates_it(user):
    process = user.popen(env={"KVS_CFG_PORT": str(kvsnode.free_port())})
    kvsnode.wait_until(lambda: user.status().get("config", {}).get("address"), "the node serves")
    assert mode_of(user.folder / "config.yaml") == 0o600
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=kvsnode.DEADLINE_S)
    assert process.returncode == 0
    assert "created" in stderr


def begin_put(connection, key, part, size):
    """Sends a part of a request; the node is at work on it when this returns."""
    connection.send(b"PUT /kv/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
                    % (key.encode(), size))
    assert connection.read_interim().status == 100
    connection.send(part)


def test_a_second_interrupt_ends_at_once(user):
    config = user.config()
    # It waits for none of its threads; ThreadSanitizer would have it join those that have ended.
    options = os.environ.get("TSAN_OPTIONS", "")
    process = foreground(user, config, env={"TSAN_OPTIONS": f"{options}:report_thread_leaks=0"})
    with kvsnode.Connection(port_of(config)) as connection:
        # A request in flight holds the clean end up for the grace period.
        begin_put(connection, "slow", b"{", 10)
        process.send_signal(signal.SIGINT)
        read_until(process.stdout, "node stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=kvsnode.DEADLINE_S) == 130
    user.ok("start", config)


def test_a_terminal_gets_a_few_friendly_words(user):
    config = user.config()
    main, terminal = os.openpty()
    process = user.popen(config, stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    text = b""
    while b"/health" not in text:
        text += os.read(main, 4096)
    assert f"http://127.0.0.1:{port_of(config)}".encode() in text
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=kvsnode.DEADLINE_S) == 0
    os.close(main)


def test_requests_in_flight_are_finished_before_the_end(user):
    config = user.config()
    process = foreground(user, config)
    with kvsnode.Connection(port_of(config)) as connection:
        begin_put(connection, "late", b"tr", 4)
        process.send_signal(signal.SIGTERM)
        read_until(process.stdout, "node stopping")
        connection.send(b"ue")
        assert connection.read_response().status == 201
    assert process.wait(timeout=kvsnode.DEADLINE_S) == 0
    user.ok("start", config)
    with kvsnode.Connection(port_of(config)) as connection:
        assert connection.request("GET", "/kv/late?raw=1").body == b"true"


# ---- SIGHUP, logs

def test_sighup_opens_the_log_anew_after_a_rotation(user):
    user.ok("start", user.config())
    pid = user.status()["node1"]["pid"]
    log = user.kvs_home / "logs" / "a_node1.yaml.log"
    rotated = log.with_suffix(".1")
    log.rename(rotated)
    os.kill(pid, signal.SIGHUP)
    user.wait_for_log("configuration reloaded")
    assert mode_of(log) == 0o600
    assert "node started" in rotated.read_text()
    assert "configuration reloaded" not in rotated.read_text()
    assert os.readlink(f"/proc/{pid}/fd/2") == str(log)


def test_sighup_applies_what_can_change_and_names_what_cannot(user):
    config = user.config(access_log="off")
    port = port_of(config)
    user.ok("start", config)
    with kvsnode.Connection(port) as connection:
        connection.request("GET", "/unseen")
    config.write_text(config.read_text().replace("off", "all") + f"revisions: 5\n")
    os.kill(user.status()["node1"]["pid"], signal.SIGHUP)
    user.wait_for_log("configuration reloaded")
    (change,) = [line for line in user.log_lines() if line["msg"] == "setting changed"]
    assert change["key"] == "access_log" and "off" in change["from"] and "all" in change["to"]
    (later,) = [line for line in user.log_lines() if "restart" in line["msg"]]
    assert later["key"] == "revisions" and later["level"] == "warn"
    with kvsnode.Connection(port) as connection:
        connection.request("GET", "/seen")
    (request,) = user.wait_for_log("request")
    assert request["path"] == "/seen" and request["status"] == 404 and request["method"] == "GET"
    assert request["client"] == "127.0.0.1" and request["duration_ms"] > 0 and request["request_id"]


def test_reload_checks_the_config_and_lets_the_node_read_it(user):
    config = user.config(access_log="off")
    not_running = user.run("reload", config)
    assert not_running.returncode == 1 and "not running" in not_running.stderr
    user.ok("start", config)
    good = config.read_text()
    config.write_text(good + "prot: 1\n")
    wrong = user.run("reload", config)
    assert wrong.returncode == 2 and "prot" in wrong.stderr and wrong.stdout == ""
    config.write_text(good.replace("off", "all"))
    assert user.ok("reload", "node1").stdout.startswith("node1: reads ")
    user.wait_for_log("configuration reloaded")
    (change,) = [line for line in user.log_lines() if line["msg"] == "setting changed"]
    assert change["key"] == "access_log"
    assert not [line for line in user.log_lines() if line["msg"].startswith("configuration not reloaded")]
    assert user.status()["node1"]["state"] == "RUNNING"


def test_sighup_with_an_error_in_the_config_changes_nothing(user):
    config = user.config(access_log="all")
    user.ok("start", config)
    before = config.read_text()
    config.write_text(before.replace("all", "off") + "prot: 1\n")
    os.kill(user.status()["node1"]["pid"], signal.SIGHUP)
    (error,) = user.wait_for_log("configuration not reloaded: nothing changes")
    assert error["level"] == "error" and "prot" in error["error"]
    with kvsnode.Connection(port_of(config)) as connection:
        connection.request("GET", "/still-logged")
    user.wait_for_log("request")


def test_sighup_changes_the_log_level(user):
    config = user.config(log_level="error", access_log="all")
    user.ok("start", config)
    assert user.log_lines() == []
    config.write_text(config.read_text().replace('"error"', '"info"'))
    os.kill(user.status()["node1"]["pid"], signal.SIGHUP)
    kvsnode.wait_until(lambda: (user.health(port_of(config)), user.log_lines())[1], "requests are logged again")


@pytest.mark.parametrize("which,expected", [("errors", ["/kv/none"]), ("all", ["/health", "/kv/none"]), ("off", [])])
def test_the_access_log_holds_what_it_is_told_to(user, which, expected):
    config = user.config(access_log=which)
    user.ok("start", config)
    with kvsnode.Connection(port_of(config)) as connection:
        connection.request("GET", "/kv/none")
    user.ok("stop", config)
    paths = {line["path"] for line in user.log_lines() if line["msg"] == "request"}
    assert sorted(paths) == expected


def test_the_log_holds_the_settings_but_no_secret_no_query_and_no_value(user):
    config = user.config(cluster_secret="canary-secret-canary", access_log="all", log_level="debug")
    user.ok("start", config)
    with kvsnode.Connection(port_of(config)) as connection:
        connection.request("PUT", "/kv/a?ttl=1h", {"canary": "value"}, {"Authorization": "Bearer canary"})
        connection.request("GET", "/kv/a?canary=1", headers={"X-Cluster-Secret": "canary"})
    user.ok("stop", config)
    (started,) = [line for line in user.log_lines() if line["msg"] == "node started"]
    assert started["config"]["port"] == port_of(config)
    assert started["version"]
    for path in user.kvs_home.rglob("*"):
        assert path.is_dir() or b"canary" not in path.read_bytes(), path


def test_the_owner_of_a_first_start_is_in_the_log_once(user):
    config = user.config(auth_enabled=True)
    log = user.kvs_home / "logs" / "a_node1.yaml.log"
    for _ in range(2):
        user.ok("restart", config)
        plain = [line.split(": ")[0] for line in log.read_text().splitlines() if not line.startswith("{")]
        assert plain == ["User UUID", "Group UUID", "Token", "Expires"]
    assert log.stat().st_mode & 0o077 == 0
    user.ok("start", user.config("node2"))
    assert "Token: " not in (user.kvs_home / "logs" / "a_node2.yaml.log").read_text()


# ---- As a service

def test_systemd_is_told_when_it_is_ready_and_when_it_stops(user):
    config = user.config()
    name = str(user.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(name)
        notify.settimeout(kvsnode.DEADLINE_S)
        process = user.popen(config, env={"NOTIFY_SOCKET": name})
        assert notify.recv(100) == b"READY=1"
        assert user.health(port_of(config)).status == 200
        process.send_signal(signal.SIGTERM)
        assert notify.recv(100) == b"STOPPING=1"
        process.communicate(timeout=kvsnode.DEADLINE_S)
        assert process.returncode == 0


def test_the_unit_file_is_hardened():
    program = shutil.which("systemd-analyze")
    assert program, "the package systemd is needed"
    unit = kvsnode.ROOT / "packaging" / "kvs.service"
    result = subprocess.run([program, "security", "--offline=true", "--threshold=25", unit],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_many_cycles_leave_nothing_behind(user):
    config = user.config()
    for _ in range(5):
        user.ok("start", config)
        user.ok("stop", config)
    assert not list((user.kvs_home / "pids").iterdir())
    assert len(list((user.kvs_home / "logs").iterdir())) == 1
    assert [path.name for path in (user.kvs_home / "instances").iterdir()] == ["node1"]
