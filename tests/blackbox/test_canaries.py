# SPDX-License-Identifier: Apache-2.0
"""Canaries: secrets, tokens, nicknames and values that are planted and then looked for wherever a careless line
of code could have put them."""
import os
import pathlib

import kvsaccounts
import kvshome
import kvsnode
from kvsaccounts import bearer, hash_of, make_token, make_user

SECRET = "canary-of-the-cluster-secret-4711"
VALUE = "canary-of-a-value-4712"
NAME = "canary-of-a-nickname-4713"
GROUP = "canary-of-a-group-4714"
LIMITS = {"rate_limit_requests": 1_000_000, "login_failure_limit": 1_000_000}


def use_everything(owner, node):
    """Requests of all kinds, good ones and bad ones; returns (what must show nowhere, all answers)."""
    ann = make_user(owner, NAME, ["read", "write"])
    doomed = make_token(owner, ann.uuid, ["read"])
    canaries = [SECRET, VALUE, NAME, GROUP, ann.token, doomed, *ann.token.split(".")[1:], doomed.split(".")[2]]
    answers = [owner("POST", "/api/groups", {"groupname": GROUP, "members": [ann.uuid]}),
               owner("PUT", "/kv/a", {"value": VALUE}), ann("PUT", "/kv/a", {"value": VALUE}),
               ann("PUT", "/kv/a", VALUE.encode()), ann("DELETE", "/kv/a"), ann("GET", "/api/users"),
               owner("POST", "/api/users", {"nickname": NAME}), owner("POST", "/api/users", {"nickname": [NAME]}),
               owner("POST", "/api/tokens/revoke", {"token": doomed}), owner("POST", "/api/tokens/revoke", {"token": VALUE}),
               node.request("GET", "/kv/a", None, bearer(doomed)), node.request("GET", "/kv/a", None, bearer(ann.token + "x")),
               node.request("GET", "/kv/a", None, {"Authorization": f"Basic {SECRET}"}),
               node.request("GET", "/kv/a", None, {"X-Cluster-Secret": SECRET}),
               node.request("GET", "/kv/a", None, {"X-Cluster-Secret": SECRET + "x", "X-Node-ID": "n"}),
               owner("POST", "/kv_batch", [{"op": "put", "path": "b", "data": VALUE, "if_match": ann.uuid}]),
               owner("GET", "/kv/a?nonsense=" + VALUE[:3]), owner("GET", "/api/users"), owner("GET", "/api/groups"),
               owner("GET", "/api/tokens"), owner("GET", f"/api/users/{ann.uuid}"), node.get("/metrics"),
               node.get("/health"), node.get("/"), owner("GET", "/auth/nothing")]
    return canaries, answers


def files_of(folder):
    return [path for path in pathlib.Path(folder).rglob("*") if path.is_file() and not path.is_symlink()]


def test_secrets_show_nowhere(make_node):
    node, owner = kvsaccounts.start_with_accounts(make_node, cluster_secret=SECRET, log_level="debug", access_log="all")
    first_token = owner.token
    canaries, answers = use_everything(owner, node)
    for answer in answers:
        text = (str(answer.headers) + answer.body.decode()).lower()
        for canary in canaries:
            assert canary.lower() not in text, answer
    command = pathlib.Path(f"/proc/{node.process.pid}/cmdline").read_bytes().decode()
    assert not any(canary in command for canary in canaries)
    assert node.stop() == 0
    log = node.log_text()
    assert log.count(first_token) == 1  # where the contract puts it
    for canary in canaries:
        assert canary not in log
    assert first_token.split(".")[2] not in log.replace(first_token, "")


def test_tokens_and_names_are_not_in_the_store(make_node):
    node, owner = kvsaccounts.start_with_accounts(make_node, cluster_secret=SECRET, compression_enabled=False)
    canaries, _ = use_everything(owner, node)
    assert node.stop() == 0
    stored = b"".join(path.read_bytes() for path in files_of(node.folder / "data"))
    assert VALUE.encode() in stored and hash_of(NAME).encode() in stored  # it can be found if it is there
    for canary in set(canaries) - {VALUE}:
        assert canary.encode() not in stored
    assert owner.token.encode() not in stored


def test_files_are_private(tmp_path):
    user = kvshome.User(tmp_path)
    config = user.config(auth_enabled=True, cluster_secret=SECRET, **LIMITS)
    old = os.umask(0)
    try:
        user.ok("start", config)
        user.ok("token", "create", config)
        user.ok("stop", config)
    finally:
        os.umask(old)
        user.close()
    found = files_of(tmp_path)
    assert len(found) > 5
    for path in found:
        assert path.stat().st_mode & 0o077 == 0 or path == config, path


def test_clients_keep_tokens_out_of_the_process_list(tmp_path):
    user = kvshome.User(tmp_path)
    config = user.config(auth_enabled=True, cluster_secret=SECRET, **LIMITS)
    process = user.popen("token", "create", config)
    command = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
    environment = pathlib.Path(f"/proc/{process.pid}/environ").read_bytes().decode()
    out, _ = process.communicate(timeout=kvsnode.DEADLINE_S)
    assert "Token: " in out
    assert SECRET not in command and SECRET not in environment
