# SPDX-License-Identifier: Apache-2.0
"""The command line around nodes, as far as it needs none running: commands, help, configs, errors."""
import os
import re

import pytest

import kvshome
import kvsnode


@pytest.fixture
def user(tmp_path):
    user = kvshome.User(tmp_path)
    yield user
    user.close()


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if ".kvs" not in path.parts)


def test_help_lists_every_command_and_exit_code(user):
    text = user.ok("help").stdout
    for name in ("start", "stop", "restart", "status", "check", "version", "help"):
        assert re.search(rf"^  {name} ", text, re.M), name
    for code in range(4):
        assert re.search(rf"^  {code}  ", text, re.M)
    assert user.ok("--help").stdout == text


@pytest.mark.parametrize("name", ["start", "stop", "restart", "status", "check", "version", "help"])
def test_help_explains_each_command_in_two_ways(user, name):
    text = user.ok("help", name).stdout
    assert f"Usage: kvs {name}" in text
    assert user.ok(name, "--help").stdout == text


def test_version_is_printed_in_two_ways(user):
    assert re.fullmatch(r"kvs \d+\.\d+\.\d+\n", user.ok("version").stdout)
    assert user.ok("--version").stdout == user.ok("version").stdout


@pytest.mark.parametrize("typo,meant", [("strat", "start"), ("stauts", "status"), ("restrat", "restart"),
                                        ("hlep", "help")])
def test_a_typo_is_answered_with_what_was_meant_and_creates_nothing(user, typo, meant):
    result = user.run(typo)
    assert result.returncode == 2
    assert f"unknown command '{typo}'" in result.stderr
    assert f"did you mean {meant}?" in result.stderr
    assert files_below(user.folder) == ["home"]


@pytest.mark.parametrize("word", ["frobnicate", "node1.yml", "node1.json", "./node1", "", "-x", "--frob"])
def test_a_first_word_that_is_no_command_creates_nothing(user, word):
    result = user.run(word)
    assert result.returncode == 2
    assert result.stderr.startswith("kvs: ")
    assert result.stdout == ""
    assert files_below(user.folder) == ["home"]


def test_a_config_without_its_ending_is_no_command_but_is_recognised(user):
    user.config("node1", folder=".")
    result = user.run("node1")
    assert result.returncode == 2
    assert "did you mean 'kvs node1.yaml'?" in result.stderr


def test_a_config_in_the_foreground_takes_no_further_words(user):
    result = user.run("node1.yaml", "node2.yaml")
    assert result.returncode == 2
    assert "node2.yaml" in result.stderr
    assert files_below(user.folder) == ["home"]


@pytest.mark.parametrize("words", [["start"], ["stop"], ["restart"], ["check"], ["check", "a", "b"], ["version", "x"],
                                   ["stop", "--timeout", "soon", "a"], ["stop", "--timeout"], ["status", "--jsno"],
                                   ["help", "strat"], ["--daemon"], ["--daemon", "a.yaml"]])
def test_wrong_use_ends_with_exit_code_2(user, words):
    result = user.run(*words)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert files_below(user.folder) == ["home"]


def test_output_that_cannot_be_written_is_no_success(user):
    with open("/dev/full", "w") as full:
        process = user.popen("help", stdout=full)
        process.communicate(timeout=kvsnode.DEADLINE_S)
    assert process.returncode == 1


def test_closed_standard_streams_are_survived(user):
    result = os.system(f"cd {user.folder} && HOME={user.home} {kvsnode.binary()} status <&- >&- 2>&-")
    assert os.waitstatus_to_exitcode(result) in (0, 1)


def test_check_prints_the_effective_settings_and_masks_secrets(user):
    path = user.config(port=9123, cluster_secret="canary-canary-canary")
    for word in (path, str(path)[:-len(".yaml")]):
        text = user.ok("check", word).stdout
        assert re.search(r"^port: 9123\b", text, re.M)
        assert re.search(r"^durability: \"?sync\b", text, re.M)
        assert "canary" not in text
    assert re.search(r"^port: 9124\b", user.ok("check", path, env={"KVS_CFG_PORT": "9124"}).stdout, re.M)


@pytest.mark.parametrize("text,line,word", [
    ("port: 8080\nprot: 1\n", 2, "prot"),
    ("port: many\n", 1, "port"),
    ("port: 70000\n", 1, "port"),
    ("port: 1\nlog_level: loud\n", 2, "log_level"),
    ("port: [1\n", None, ""),
])
@pytest.mark.parametrize("command", ["check", "start", "run"])
def test_an_error_in_a_config_names_file_and_line_and_starts_nothing(user, command, text, line, word):
    path = user.config()
    path.write_text(text)
    result = user.run(path) if command == "run" else user.run(command, path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert f"node1.yaml:{line or ''}" in result.stderr
    assert word in result.stderr
    assert not user.pid_file().exists()
    assert files_below(user.folder) == ["a", "a/node1.yaml", "home"]


def test_a_wrong_variable_in_the_environment_is_an_error(user):
    path = user.config()
    result = user.run("start", path, env={"KVS_CFG_PORT": "many"})
    assert result.returncode == 2
    assert "KVS_CFG_PORT" in result.stderr


def test_check_of_a_config_that_is_not_there_fails_and_creates_nothing(user):
    result = user.run("check", "nowhere.yaml")
    assert result.returncode == 2
    assert "nowhere.yaml" in result.stderr
    assert files_below(user.folder) == ["home"]


def test_a_home_that_is_not_set_is_said_in_one_line(user):
    path = user.config()
    del user.env["HOME"]
    for words in (["start", path], [path], ["status"], ["stop", path]):
        result = user.run(*words)
        assert result.returncode == 1
        assert re.fullmatch(r"kvs: HOME is not set: .*\n", result.stderr)
    user.env["HOME"] = str(user.home)


def test_a_home_that_is_no_folder_is_said_in_one_line(user):
    path = user.config()
    (user.home / ".kvs").write_text("a file")
    result = user.run("start", path)
    assert result.returncode == 1
    assert str(user.home / ".kvs") in result.stderr
    (user.home / ".kvs").unlink()


def test_status_without_nodes_is_empty_and_no_error(user):
    user.ok("status")
    assert user.ok("status", "--json").stdout == "[]\n"


def test_status_of_an_unknown_node_is_stopped(user):
    result = user.run("status", "node9")
    assert result.returncode == 3
    assert re.search(r"^node9 +STOPPED ", result.stdout, re.M)


def test_stop_of_an_unknown_node_fails(user):
    result = user.run("stop", "node9")
    assert result.returncode == 1
    assert "node9.yaml" in result.stderr


def test_stop_of_a_node_that_never_ran_is_no_error(user):
    assert user.ok("stop", user.config()).stdout == f"{user.folder}/a/node1.yaml: not running\n"


def test_a_config_in_a_folder_that_is_not_there_is_an_error(user):
    for words in (["start", "nowhere/node1"], ["nowhere/node1.yaml"]):
        result = user.run(*words)
        assert result.returncode == 2
        assert "nowhere" in result.stderr
    assert files_below(user.folder) == ["home"]
