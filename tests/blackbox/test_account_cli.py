# SPDX-License-Identifier: Apache-2.0
"""kvs user, group, token and metadata, as a person types them."""
import json
import re

import pytest

import kvsfake
import kvshome
import kvsnode

SECRET = "a cluster secret for tests"


@pytest.fixture
def user(tmp_path):
    someone = kvshome.User(tmp_path)
    yield someone
    someone.close()


def token_in(text):
    lines = dict(re.findall(r"^(User UUID|Group UUID|Token|Expires): (.*)$", text, re.M))
    assert list(lines) == ["User UUID", "Group UUID", "Token", "Expires"]
    return lines["Token"]


@pytest.fixture
def shell(user):
    """kvs commands of the owner of a running node: shell(words…) returns what they print."""
    config = user.config(auth_enabled=True, cluster_secret=SECRET, rate_limit_requests=100000)
    user.ok("start", config)
    env = {"KVS_URL": f"http://127.0.0.1:{user.status()['node1']['address'].rpartition(':')[2]}",
           "KVS_TOKEN": token_in(user.ok("token", "create", config).stdout)}

    def run(*words, code=0, token=None):
        result = user.run(*words, env={**env, **({"KVS_TOKEN": token} if token else {})})
        assert result.returncode == code, (words, result.stdout, result.stderr)
        return result.stdout + result.stderr if code else result.stdout
    run.env = env
    return run


@pytest.mark.parametrize("clustering", [True, False])
def test_the_owner_gets_in_whether_the_node_runs_or_not(user, clustering):
    config = user.config(auth_enabled=True, cluster_secret=SECRET, clustering_enabled=clustering)
    first = user.ok("token", "create", "a/node1").stdout  # there is no data folder yet
    user.ok("start", config)
    second = user.ok("token", "create", config).stdout
    assert first.splitlines()[:2] == second.splitlines()[:2]  # the same root and admin
    url = f"http://{user.status()['node1']['address']}"
    for text in (first, second):
        assert user.ok("ls", "--url", url, env={"KVS_TOKEN": token_in(text)}).stdout == ""
    answer = json.loads(user.ok("token", "create", config, "--json").stdout)
    assert sorted(answer) == ["expires_at", "group_uuid", "token", "user_uuid"]
    user.ok("stop", config)
    third = token_in(user.ok("token", "create", config).stdout)
    user.ok("start", config)
    assert user.ok("ls", "--url", url, env={"KVS_TOKEN": third}).stdout == ""
    # To prove oneself is no failure.
    assert user.ok("audit", "show", "--action", "auth_failure", "--json", "--url", url,
                   env={"KVS_TOKEN": third}).stdout == ""
    # The start found an owner: the log holds no token of its own making.
    assert "Token: " not in (user.kvs_home / "logs" / "a_node1.yaml.log").read_text()


def test_a_node_without_accounts_says_so(user):
    config = user.config()
    result = user.run("token", "create", config)
    assert result.returncode == 2 and "auth_enabled is false" in result.stderr


def test_metadata_of_a_node_without_accounts_touches_no_record(user):
    """There app/metadata is a record like any other."""
    config = user.config()
    user.ok("start", config)
    env = {"KVS_URL": f"http://{user.status()['node1']['address']}"}
    stored = user.run("put", "app/metadata", "1", env=env)
    assert stored.returncode == 0
    for words in (["set", "app", "--permissions", "0"], ["delete", "app"], ["get", "app"], ["set", "new"]):
        result = user.run("metadata", *words, env=env)
        assert result.returncode == 4 and "auth_enabled is false" in result.stderr, result
    assert user.run("ls", "--all", "--values", env=env).stdout == "app/metadata\t1\n"


def test_a_proxy_that_refuses_a_method_is_no_node_with_accounts(user):
    class Proxied(kvsfake.FakeNode):
        """A node without accounts, behind something that lets no PATCH through."""
        def route_patch(self, call, *_):
            call.answer(405)

    with Proxied() as node:
        for words in (["set", "app", "--permissions", "0"], ["delete", "app"]):
            result = user.run("metadata", *words, env={"KVS_URL": node.url})
            assert result.returncode == 1 and "no answer of KVS" in result.stderr, result
        assert not node.data and {request[0] for request in node.requests} == {"PATCH"}


def test_users_and_groups(shell):
    ann = shell("user", "create", "ann").strip()
    bob = shell("user", "create", "bob").strip()
    assert "in use" in shell("user", "create", "ann", code=1)
    crew = shell("group", "create", "crew", "--members", "ann,bob").strip()
    assert json.loads(shell("group", "show", "crew", "--json"))["members"] == sorted([ann, bob])
    shell("group", "remove", "crew", "ann")
    shell("group", "add", "crew", "root")
    shell("group", "add", "crew", "root")  # once is enough
    assert ann not in shell("group", "show", crew) and len(json.loads(shell("group", "show", crew, "--json"))["members"]) == 2
    shell("user", "update", "ann", "--nickname", "anne", "--groups", "crew,admin")
    assert len(json.loads(shell("user", "show", "anne", "--json"))["groups"]) == 2
    shell("user", "update", ann, "--groups", "")
    assert json.loads(shell("user", "show", ann, "--json"))["groups"] == []
    listed = [json.loads(line) for line in shell("user", "list", "--json").splitlines()]
    assert {entry["uuid"] for entry in listed} > {ann, bob}
    assert ann in shell("user", "list") and crew in shell("group", "list")
    shell("user", "delete", "anne")
    assert "no user named" in shell("user", "show", "anne", code=4)
    shell("group", "delete", crew)
    shell("group", "show", crew, code=4)


def test_the_owners_token_alone(user):
    config = user.config(auth_enabled=True, cluster_secret=SECRET)
    stopped = user.ok("token", "create", config, "--bare").stdout
    user.ok("start", config)
    running = user.ok("token", "create", config, "--bare").stdout
    for text in (stopped, running):
        token = text.removesuffix("\n")
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
        env = {"KVS_URL": f"http://{user.status()['node1']['address']}", "KVS_TOKEN": token}
        assert user.run("user", "list", env=env).returncode == 0
    # What it would not do it does not pass over: the owner's token has all scopes, for a day.
    for words in (["--scopes", "read"], ["--ttl", "5m"], ["--bare", "--json"]):
        result = user.run("token", "create", config, *words)
        assert result.returncode == 2 and result.stdout == "", result
    assert user.run("token", "list", "--bare").returncode == 2


def test_tokens(user, shell):
    shell("user", "create", "ann")
    token = shell("token", "create", "--user", "ann", "--scopes", "read", "--ttl", "5m").strip()
    shell("ls", token=token)
    assert "scope write" in shell("put", "a", "1", code=7, token=token)
    rows = [json.loads(line) for line in shell("token", "list", "--user", "ann", "--json").splitlines()]
    assert len(rows) == 1 and rows[0]["scopes"] == ["read"]
    shell("token", "revoke", rows[0]["hash"])
    assert "revoked" in shell("ls", code=7, token=token)
    other = shell("token", "create", "--user", "ann").strip()
    process = user.popen("token", "revoke", "-", stdin=-1, env=shell.env)
    assert process.communicate(other + "\n", timeout=kvsnode.DEADLINE_S) and process.returncode == 0
    shell("ls", code=7, token=other)
    assert "hash" in shell("token", "revoke", "something", code=2)
    assert "scope" in shell("token", "create", "--user", "ann", "--scopes", "reed", code=2)
    shell("token", "create", code=2)
    shell("token", "list", code=7, token="nonsense")


def test_metadata(shell):
    ann = shell("user", "create", "ann").strip()
    shell("put", "app/x", "1")
    shell("metadata", "get", "app", code=4)
    shell("metadata", "set", "app", "--owner", "ann", "--permissions", "cdwr--wr---r")
    metadata = json.loads(shell("metadata", "get", "app", "--json"))
    assert metadata["owner_uuid"] == ann and metadata["permissions"] == 3889 and metadata["group_uuid"] is None
    shell("metadata", "set", "app", "--group", "admin", "--permissions", "3840")
    assert "cdwr--------" in shell("metadata", "get", "app")
    shell("get", "app/x", code=7)
    shell("metadata", "delete", "app")
    assert shell("get", "app/x").strip() == "1"
    for bad in ("4096", "rwx", "-1", "cdwr"):
        shell("metadata", "set", "app", "--permissions", bad, code=2)
    shell("metadata", "set", "a//b", code=2)


def test_typos_are_told(shell):
    assert "did you mean list" in shell("user", "lst", code=2)
    assert "usage" in shell("user", "create", code=2)
    assert "usage" in shell("group", "add", "crew", code=2)
