# SPDX-License-Identifier: Apache-2.0
"""Every route, by every identity, against a model of its own: tables/routes.def says what there is, the model
below (written from the contract, not from the code) who may."""
import random
import re
import time
import urllib.parse

import pytest

import kvsaccounts
import kvsnode
from kvsaccounts import SECRET, Caller, bearer, make_group, make_token, make_user

ROW = re.compile(r'^KVS_ROUTE\((\w+), "([^"]+)", (\w+), (\w+), (\w+), "\w*", (\w+), (\w+), ', re.M)
KEY = "m/k"
PEER = {"X-Cluster-Secret": SECRET, "X-Node-ID": "script"}
BODIES = {"NONE": None, "VALUE": {"v": 1}, "PATCH": {"v": 2}, "BATCH": [{"op": "get", "path": KEY}], "ACCOUNT": {},
          "MESSAGES": b""}


def routes():
    rows = ROW.findall((kvsnode.ROOT / "tables" / "routes.def").read_text(encoding="utf-8"))
    assert len(rows) > 25
    return [dict(zip(("method", "pattern", "scope", "permission", "body", "feature", "handler"), row)) for row in rows]


def scope_names():
    text = (kvsnode.ROOT / "tables" / "scopes.def").read_text(encoding="utf-8")
    return dict(re.findall(r'^KVS_SCOPE_ROW\((\w+), "([^"]+)"', text, re.M))


class World:
    """A node with one key of somebody's, and everyone who may ask for it."""

    def __init__(self, make_node, **settings):
        self.node, self.root = kvsaccounts.start_with_accounts(make_node, **settings)
        node, root, data = self.node, self.root, kvsaccounts.ALL_DATA
        self.peer = Caller(node, "cluster secret", PEER)
        self.group = make_group(root, "crew")
        self.owner = make_user(root, "owner", data)
        member = make_user(root, "member", data, groups=[self.group])
        other = make_user(root, "other", data)
        reader = Caller(node, "read-only token", bearer(make_token(root, self.owner.uuid, ["read"])), ["read"],
                        self.owner.uuid)
        gone = make_token(root, other.uuid, data)
        assert root("POST", "/api/tokens/revoke", {"token": gone}).status == 204
        head, claims = kvsaccounts.header(other.token), kvsaccounts.claims(other.token)
        expired = kvsaccounts.sign(head, {**claims, "exp": int(time.time()) - 1}, kvsaccounts.signing_key())
        none = f"{kvsaccounts.encode({**head, 'alg': 'none'})}.{other.token.split('.')[1]}."
        self.users = [self.owner, member, other, root, reader]
        self.bad = [Caller(node, "garbage", bearer("garbage")), Caller(node, "expired", bearer(expired)),
                    Caller(node, "alg none", bearer(none)), Caller(node, "revoked", bearer(gone)),
                    Caller(node, "wrong secret", {**PEER, "X-Cluster-Secret": SECRET[:-1] + "x"})]
        self.none = Caller(node, "none")
        self.callers = [*self.users, *self.bad, self.none, self.peer]


def bits_of(world, caller, owner_uuid, group_uuid, permissions):
    """The four letters that hold for the caller, from the number as the contract spells it."""
    text = f"{permissions:012b}"
    part = text[8:]
    if caller.uuid is not None and caller.uuid == owner_uuid:
        part = text[:4]
    elif group_uuid in caller.groups:
        part = text[4:8]
    return {letter for letter, bit in zip(("create", "delete", "write", "read"), part) if bit == "1"}


def wanted_access(route, exists):
    if "{key}" not in route["pattern"] or route["permission"] == "NONE":
        return set()  # listings, ranges, feeds and batches judge key by key
    if route["method"] == "PATCH":
        return {"read", "write"}
    if route["method"] == "PUT":
        return {"write" if exists else "create"}
    return {route["permission"].lower()}


def wanted_scopes(route):
    if route["method"] == "PATCH":
        return {"read", "write"}
    return {scope_names()[route["scope"]]}


def expected(world, route, caller, permissions, exists, anonymous=()):
    """"yes", 401 or 403."""
    scope = route["scope"]
    if scope == "OPEN":
        return "yes"
    if caller in world.bad:
        return 401
    if scope == "PEER":
        return "yes" if caller is world.peer else 401
    data = scope in ("READ", "WRITE", "DELETE") or (scope == "TOKEN" and route["permission"] != "NONE")
    if caller is world.peer:
        return "yes" if data else 403
    if caller is world.none:
        switch = {("READ", "GET"): "read", ("WRITE", "PUT"): "write"}.get((scope, route["method"]))
        if switch not in anonymous:
            return 401
    elif scope != "TOKEN" and not wanted_scopes(route) <= caller.scopes:
        return 403
    if not data:
        return "yes"
    bits = bits_of(world, caller, world.owner.uuid, world.group, permissions)
    return "yes" if wanted_access(route, exists) <= bits else 403


def target_of(route, key):
    values = {"key": key, "prefix": "m", "n": "1", "uuid": "00000000-0000-4000-8000-000000000000", "hash": "0" * 128}
    return re.sub(r"{(\w+)}", lambda match: values.get(match[1], "x"), route["pattern"])


def ask(world, route, caller, exists, number):
    """The answer to one cell; the key is as `exists` says before."""
    key = KEY if exists else f"m/new{number}"
    if exists and route["method"] in ("DELETE", "PUT", "PATCH", "POST"):
        assert world.peer("PUT", f"/kv/{KEY}", {"v": 0}).status in (200, 201)
    headers = {"Content-Type": "application/merge-patch+json"} if route["body"] == "PATCH" else {}
    return caller(route["method"], target_of(route, key), BODIES.get(route["body"], {}), **headers)


def judge(response, want):
    """Does the answer say what the model says? Allowed is whatever is neither 401 nor 403."""
    if want == "yes":
        return response.status not in (401, 403) and response.status < 500
    return response.status == want


@pytest.mark.parametrize("permissions", [3889, 0, 4095, 0b100001000010])
def test_every_route_by_every_identity(make_node, permissions):
    world = World(make_node)
    assert world.peer("PUT", f"/kv/{KEY}", {"v": 0}).status == 201
    meta = {"owner_uuid": world.owner.uuid, "group_uuid": world.group, "permissions": permissions}
    assert world.root("PUT", "/kv/m/metadata", meta).status == 200  # KEY is judged by its ancestor
    wrong, cells = [], 0
    for route in routes():
        for exists in (True, False) if route["method"] == "PUT" and route["pattern"] == "/kv/{key}" else (True,):
            for caller in world.callers:
                cells += 1
                response = ask(world, route, caller, exists, cells)
                want = expected(world, route, caller, permissions, exists)
                if not judge(response, want):
                    wrong.append((route["method"], route["pattern"], caller.name, exists, want, response.status))
                if response.status == 401:
                    assert "www-authenticate" in response.headers
                if response.status in (401, 403):
                    assert b'"v"' not in response.body and SECRET.encode() not in response.body
    assert not wrong, "\n".join(map(str, wrong))
    assert cells > 300


@pytest.mark.parametrize("anonymous", [("read",), ("write",), ("read", "write")])
def test_anonymous_access_follows_the_switches(make_node, anonymous):
    world = World(make_node, allow_anonymous_read="read" in anonymous, allow_anonymous_write="write" in anonymous)
    assert world.peer("PUT", f"/kv/{KEY}", {"v": 0}).status == 201
    for permissions in (3889, 0b111111111011, 0b111111110000):
        meta = {"owner_uuid": world.owner.uuid, "group_uuid": world.group, "permissions": permissions}
        assert world.root("PUT", "/kv/m/metadata", meta).status == 200
        for number, route in enumerate(routes()):
            for exists in (True, False):
                response = ask(world, route, world.none, exists, number + 100 * permissions)
                want = expected(world, route, world.none, permissions, exists, anonymous)
                if not exists and route["method"] != "PUT" and want == "yes":
                    continue
                assert judge(response, want), (route, exists, want, response)


def test_aliases_ask_for_the_same(make_node):
    world = World(make_node)
    for route in routes():
        if not route["pattern"].startswith(("/api/users", "/api/tokens")):
            continue
        alias = {**route, "pattern": route["pattern"].replace("/api/", "/auth/", 1)}
        for caller in world.callers:
            assert judge(ask(world, alias, caller, True, 0), expected(world, alias, caller, 0, True)), (alias, caller)


def test_switches_can_be_reloaded(make_node):
    import signal
    world = World(make_node)
    assert world.none("PUT", "/kv/a", 1).status == 401
    world.node.settings["allow_anonymous_write"] = True
    world.node.write_config()
    world.node.process.send_signal(signal.SIGHUP)
    kvsnode.wait_until(lambda: world.none("PUT", "/kv/a", 1).status != 401, "the reload")
    assert world.none("GET", "/kv/a").status == 401 and world.none("DELETE", "/kv/a").status == 401


# ---- Leaks: what one may not read shows nowhere

def visible(world, caller, metas, key):
    path = key
    while path and path not in metas:
        path = path.rpartition("/")[0]
    if not path:
        return True
    owner, group, permissions = metas[path]
    return "read" in bits_of(world, caller, owner, group, permissions)


def random_world(world, seed):
    """Keys like tree/b/a, each with a value that names it, and random metadata on keys and ancestors."""
    chance = random.Random(seed)
    keys = sorted({"/".join(["tree"] + [chance.choice("abc") for _ in range(chance.randint(1, 4))]) for _ in range(60)})
    metas = {}
    for key in keys:
        assert world.peer("PUT", f"/kv/{key}", {"canary": f"value of {key}"}).status == 201
    for path in chance.sample(keys, len(keys) // 2) + ["tree/a", "tree/b"]:
        metas[path] = (chance.choice(world.users).uuid, chance.choice([world.group, None]), chance.randrange(4096))
        body = dict(zip(("owner_uuid", "group_uuid", "permissions"), metas[path]))
        assert world.root("PUT", f"/kv/{path}/metadata", body).status == 200
    return keys, metas


def pages(caller, target, member):
    """All items of a listing, page by page."""
    items, cursor = [], ""
    while cursor is not None:
        page = caller("GET", f"{target}{'&' if '?' in target else '?'}limit=7{cursor and '&cursor=' + cursor}").json()
        items += page[member]
        cursor = page["next"]
    return items


@pytest.mark.parametrize("seed", range(3))
def test_what_is_hidden_shows_nowhere(make_node, seed):
    world = World(make_node, allow_anonymous_read=True)
    keys, metas = random_world(world, seed)
    for caller in [*world.users, world.none]:
        seen = [key for key in keys if visible(world, caller, metas, key)]
        hidden = [key for key in keys if key not in seen]
        assert [item["path"] for item in pages(caller, "/kv/tree/?values=1", "keys")] == seen
        assert [item["path"] for item in pages(caller, "/kv/_range?start_key=tree&end_key=tref", "pairs")] == seen
        children = pages(caller, "/kv/tree/?delimiter=/", "prefixes")
        assert children == sorted({"/".join(key.split("/")[:2]) + "/" for key in seen if key.count("/") > 1})
        changes = caller("GET", "/changes?prefix=tree/&limit=1000").json()["changes"]
        assert sorted({change["path"] for change in changes}) == seen
        if caller is not world.none:
            results = caller("POST", "/kv_batch", [{"op": "get", "path": key} for key in keys]).json()
            assert [key for key, result in zip(keys, results) if result["status"] == 200] == seen
            assert {result["status"] for result in results} <= {200, 403}
        for key in hidden:
            for method, target in [("GET", f"/kv/{key}"), ("GET", f"/kv/{key}?raw=1"), ("HEAD", f"/kv/{key}"),
                                   ("GET", f"/api/data/{key}/history"), ("GET", f"/api/data/{key}/history/1")]:
                response = caller(method, target)
                assert response.status == 403 and b"canary" not in response.body
                assert "etag" not in response.headers
        for key in seen[:5]:
            assert caller("GET", f"/kv/{key}").json()["data"] == {"canary": f"value of {key}"}
            assert caller("GET", f"/api/data/{key}/history/1").status == 200


def test_conditions_tell_nothing_to_who_may_not_write(make_node):
    world = World(make_node)
    created = world.peer("PUT", f"/kv/{KEY}", {"v": 0}).json()
    meta = {"owner_uuid": world.owner.uuid, "group_uuid": world.group, "permissions": 0b111100000000}
    assert world.root("PUT", f"/kv/{KEY}/metadata", meta).status == 200
    other = world.users[2]
    for headers in ({}, {"If_Match": f'"{created["uuid"]}"'}, {"If_Match": '"00000000-0000-4000-8000-000000000000"'},
                    {"If_Match": "*"}, {"If_None_Match": "*"}):
        assert other("PUT", f"/kv/{KEY}", 1, **headers).status == 403
        assert other("DELETE", f"/kv/{KEY}", None, **headers).status == 403
        assert other("GET", f"/kv/{KEY}", None, **headers).status == 403
    batch = other("POST", "/kv_batch", [{"op": "put", "path": KEY, "data": 1, "if_match": created["uuid"]},
                                        {"op": "delete", "path": KEY}, {"op": "put", "path": "free", "data": 1}]).json()
    assert [result["status"] for result in batch] == [403, 403, 201]
    assert world.owner("GET", f"/kv/{KEY}").json()["data"] == {"v": 0}


def test_a_page_cut_short_hides_where_it_stopped(make_node):
    """The cursor of a page that ended at a hidden key must not tell its name."""
    import base64
    world = World(make_node)
    with world.node.connect() as connection:
        for start in range(0, 100_002, 1000):
            body = [{"op": "put", "path": f"secret/name-{i:06}", "data": 0} for i in range(start, start + 1000)]
            assert connection.request("POST", "/kv_batch", body, PEER).status == 200
    assert world.peer("PUT", "/kv/zzz", 1).status == 201
    meta = {"owner_uuid": world.owner.uuid, "permissions": 0b111100000000}
    assert world.root("PUT", "/kv/secret/metadata", meta).status == 200
    other = world.users[2]
    page = other("GET", "/kv/").json()
    assert page["keys"] == [] and page["next"]
    text = base64.urlsafe_b64decode(page["next"] + "==")
    assert b"name" not in text
    second = other("GET", f"/kv/?cursor={urllib.parse.quote(page['next'])}").json()
    assert [key["path"] for key in second["keys"]] == ["zzz"]
    flipped = page["next"][:-2] + ("AA" if page["next"][-2:] != "AA" else "BB")
    assert other("GET", f"/kv/?cursor={flipped}").status == 400


def test_a_stream_ends_with_its_token(make_node):
    world = World(make_node)
    token = make_token(world.root, world.owner.uuid, ["read"])
    with world.node.connect() as connection:
        connection.send(f"GET /changes?feed=sse&since=now HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
                        .encode())
        assert world.peer("PUT", "/kv/before", 1).status == 201
        received = b""
        while b"before" not in received:
            received += connection.socket.recv(65536)
        assert world.root("POST", "/api/tokens/revoke", {"token": token}).status == 204
        assert world.peer("PUT", "/kv/after-the-end", 1).status == 201
        while data := connection.socket.recv(65536):
            received += data
        assert b"after-the-end" not in received
