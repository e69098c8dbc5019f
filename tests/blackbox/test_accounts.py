# SPDX-License-Identifier: Apache-2.0
"""Accounts over HTTP: users, groups, tokens, metadata, the first start, restarts."""
import json
import time

import pytest

import kvsaccounts
import kvsnode
from kvsaccounts import ALL_DATA, bearer, hash_of, make_group, make_token, make_user


@pytest.fixture
def world(make_node):
    node, owner = kvsaccounts.start_with_accounts(make_node)
    return node, owner


def test_the_first_start_makes_an_owner_once(make_node):
    node, owner = kvsaccounts.start_with_accounts(make_node)
    printed = kvsaccounts.first_start(node)
    assert owner("GET", f"/api/users/{printed['User UUID']}").json()["groups"] == [printed["Group UUID"]]
    assert owner("GET", f"/api/groups/{printed['Group UUID']}").json()["members"] == [printed["User UUID"]]
    assert owner("PUT", "/kv/a", 1).status == 201
    expires = kvsaccounts.claims(owner.token)["exp"]
    assert 23 * 3600 < expires - time.time() <= 24 * 3600
    assert printed["Expires"] == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(expires))
    node.restart()
    kvsaccounts.first_start(node)  # asserts that the lines are there once
    assert owner("GET", "/kv/a").json()["data"] == 1
    assert [user["uuid"] for user in owner("GET", "/api/users").json()["users"]] == [printed["User UUID"]]


def test_a_node_that_joins_others_makes_no_owner(make_node):
    node = make_node(auth_enabled=True, cluster_secret=kvsaccounts.SECRET, seed_nodes=["127.0.0.1:1"])
    assert "Token: " not in node.log_text()
    assert node.get("/kv/a").status == 401 or node.get("/kv/a").status == 503


def test_a_read_only_node_has_an_owner_too(make_node):
    node, owner = kvsaccounts.start_with_accounts(make_node, read_only=True)
    assert owner("GET", "/kv/a").status == 404
    assert owner("PUT", "/kv/a", 1).status == 403
    assert owner("POST", "/api/users", {"nickname": "ann"}).status == 403


def test_without_auth_there_are_no_account_routes(fresh_node):
    for method, target in [("GET", "/api/users"), ("POST", "/api/users"), ("GET", "/auth/users"),
                           ("GET", "/api/groups"), ("GET", "/api/tokens"), ("POST", "/api/tokens/revoke"),
                           ("GET", "/auth/cluster-bootstrap"), ("POST", "/auth/owner-token")]:
        assert fresh_node.request(method, target).status == 404
    assert fresh_node.put("/kv/a/metadata", {"permissions": 0}).status == 201  # a plain key
    assert fresh_node.get("/kv/a/metadata").json()["data"] == {"permissions": 0}
    assert "x-rate-limit-remaining" not in fresh_node.get("/kv/a").headers


def test_users_from_birth_to_end(world):
    node, owner = world
    group = make_group(owner, "crew")
    created = owner("POST", "/api/users", {"nickname": "ann", "password": "ignored"})
    assert created.status == 201
    uuid = created.json()["uuid"]
    assert created.json() == {"uuid": uuid} and created.headers["location"] == f"/api/users/{uuid}"
    user = owner("GET", f"/api/users/{uuid}").json()
    assert user == {"uuid": uuid, "nickname_hash": hash_of("ann"), "groups": [],
                    "created_at": user["created_at"], "updated_at": user["created_at"]}
    assert abs(user["created_at"] - time.time()) < 60
    assert owner("POST", "/api/users", {"nickname": "ann"}).status == 409
    changed = owner("PUT", f"/api/users/{uuid}", {"groups": [group]})
    assert changed.status == 200 and changed.json()["groups"] == [group]
    assert owner("GET", f"/api/groups/{group}").json()["members"] == [uuid]
    renamed = owner("PUT", f"/auth/users/{uuid}", {"nickname": "anne"}).json()
    assert renamed["nickname_hash"] == hash_of("anne") and renamed["groups"] == [group]
    assert owner("GET", "/api/users?nickname=ann").json() == {"users": [], "next": None}
    assert owner("GET", "/api/users?nickname=anne").json()["users"] == [renamed]
    token = make_token(owner, uuid, ["read"])
    assert node.request("GET", "/kv/a", None, bearer(token)).status == 404
    assert owner("DELETE", f"/api/users/{uuid}").status == 204
    assert node.request("GET", "/kv/a", None, bearer(token)).status == 401
    assert owner("GET", f"/api/users/{uuid}").status == 404
    assert owner("DELETE", f"/api/users/{uuid}").status == 404
    assert owner("GET", f"/api/groups/{group}").json()["members"] == []
    assert owner("POST", "/api/users", {"nickname": "anne"}).status == 201
    assert owner("GET", f"/api/tokens?user_uuid={uuid}").json()["tokens"] == []


@pytest.mark.parametrize("body, detail", [
    ({}, "nickname"), ({"nickname": ""}, "nickname"), ({"nickname": 5}, "nickname"), ([], "object"),
    (b"", "empty"), (b"{", "line 1"), (b'{"nickname":"a","nickname":"b"}', "duplicate"),
    ({"nickname": "x" * 1025}, "1024"),
])
def test_bad_users_are_refused_clearly(world, body, detail):
    response = world[1]("POST", "/api/users", body)
    assert response.status == 400 and detail in response.json()["detail"]


def test_groups_from_birth_to_end(world):
    node, owner = world
    users = [make_user(owner, name, []).uuid for name in ("ann", "bob", "eve")]
    nobody = "00000000-0000-4000-8000-000000000000"
    assert owner("POST", "/api/groups", {"groupname": "crew", "members": [nobody]}).status == 400
    assert owner("POST", "/api/groups", {"groupname": "crew", "members": ["ann"]}).status == 400
    uuid = make_group(owner, "crew", users[:2] + users[:1])
    assert owner("POST", "/api/groups", {"groupname": "crew"}).status == 409
    group = owner("GET", f"/api/groups/{uuid}").json()
    assert group["members"] == sorted(users[:2]) and group["name_hash"] == hash_of("crew")
    changed = owner("PUT", f"/api/groups/{uuid}", {"members": users[1:]}).json()
    assert changed["members"] == sorted(users[1:])
    assert owner("GET", f"/api/users/{users[0]}").json()["groups"] == []
    assert owner("GET", f"/api/users/{users[2]}").json()["groups"] == [uuid]
    assert owner("PUT", f"/api/groups/{uuid}", {}).status == 400
    assert owner("PUT", f"/api/groups/{uuid}", {"members": [nobody]}).status == 400
    assert owner("GET", "/api/groups?groupname=crew").json()["groups"] == [changed]
    node.restart()
    assert owner("GET", f"/api/groups/{uuid}").json() == changed
    assert owner("DELETE", f"/api/groups/{uuid}").status == 204
    assert owner("GET", f"/api/groups/{uuid}").status == 404
    assert owner("GET", f"/api/users/{users[2]}").json()["groups"] == []


def test_listings_come_in_pages(world):
    owner = world[1]
    made = {owner("POST", "/api/users", {"nickname": f"user {i}"}).json()["uuid"] for i in range(25)}
    seen, target = [], "/api/users?limit=7"
    while target:
        page = owner("GET", target).json()
        assert len(page["users"]) == 7 or page["next"] is None
        seen += [user["uuid"] for user in page["users"]]
        target = page["next"] and f"/api/users?limit=7&cursor={page['next']}"
    assert seen == sorted(seen) and set(seen) == made | {owner.uuid}
    for bad in ("/api/users?limit=0", "/api/users?cursor=x", "/api/users?nick=x", "/api/tokens?cursor=QUJD",
                "/api/tokens?user_uuid=x", "/api/groups?limit=1001"):
        assert owner("GET", bad).status == 400


def test_many_members_go_in_one_request(world):
    owner = world[1]
    connection = owner.node.connect()
    users = [connection.request("POST", "/api/users", {"nickname": f"user {i}"}, owner.headers).json()["uuid"]
             for i in range(1100)]  # more than one write group
    uuid = make_group(owner, "crowd", users)
    assert owner("GET", f"/api/groups/{uuid}").json()["members"] == sorted(users)
    assert owner("PUT", f"/api/groups/{uuid}", {"members": []}).json()["members"] == []
    connection.close()


# ---- Tokens

def test_tokens_say_what_they_allow(world):
    node, owner = world
    ann = make_user(owner, "ann", ["read"], ttl="90s")
    claims = kvsaccounts.claims(ann.token)
    assert claims["user_uuid"] == ann.uuid and claims["scopes"] == ["read"] and claims["iss"] == "kvs-server"
    assert claims["exp"] - claims["iat"] == 90
    assert kvsaccounts.header(ann.token)["alg"] == "HS256"
    default = kvsaccounts.claims(make_token(owner, ann.uuid, ["read"]))
    assert default["exp"] - default["iat"] == 3600
    listed = owner("GET", f"/auth/tokens?user_uuid={ann.uuid}").json()["tokens"]
    assert {token["hash"] for token in listed} >= {hash_of(ann.token)}
    assert all(token["scopes"] == ["read"] and not token["revoked"] for token in listed)
    assert ann.token not in json.dumps(listed)


@pytest.mark.parametrize("change, status", [
    ({"user_uuid": "00000000-0000-4000-8000-000000000000"}, 404), ({"user_uuid": "ann"}, 400),
    ({"user_uuid": None}, 400), ({"scopes": None}, 400), ({"scopes": "read"}, 400), ({"scopes": ["reed"]}, 400),
    ({"scopes": [1]}, 400), ({"ttl": "0"}, 400), ({"ttl": "-1h"}, 400), ({"ttl": "soon"}, 400), ({"ttl": 60}, 400),
    ({"ttl": "900000h"}, 400), ({"ttl": "24h"}, 201), ({"scopes": []}, 201),
])
def test_orders_for_tokens_are_checked(world, change, status):
    owner = world[1]
    body = {"user_uuid": owner.uuid, "scopes": ["read"], **change}
    body = {name: value for name, value in body.items() if value is not None}
    assert owner("POST", "/api/tokens", body).status == status


def test_nobody_grants_more_than_he_holds(world):
    owner = world[1]
    issuer = make_user(owner, "issuer", ["read", "admin:tokens:create"])
    assert issuer("POST", "/api/tokens", {"user_uuid": owner.uuid, "scopes": ["read"]}).status == 201
    for scope in ("write", "delete", "admin:users:read", "admin:tokens:revoke"):
        refused = issuer("POST", "/api/tokens", {"user_uuid": issuer.uuid, "scopes": ["read", scope]})
        assert refused.status == 403 and scope in refused.json()["detail"]


def test_revocation_holds_at_once_and_for_good(world):
    node, owner = world
    ann = make_user(owner, "ann", ["read"])
    other = make_token(owner, ann.uuid, ["read"])
    assert ann("GET", "/kv/").status == 200
    assert owner("POST", "/api/tokens/revoke", {"token": ann.token}).status == 204
    assert ann("GET", "/kv/").status == 401
    assert node.request("GET", "/kv/", None, bearer(other)).status == 200
    assert owner("DELETE", f"/api/tokens/{hash_of(other)}").status == 204
    assert node.request("GET", "/kv/", None, bearer(other)).status == 401
    node.restart()
    assert ann("GET", "/kv/").status == 401
    assert node.request("GET", "/kv/", None, bearer(other)).status == 401
    assert owner("DELETE", f"/api/tokens/{'0' * 128}").status == 404
    assert owner("DELETE", "/api/tokens/abc").status == 404
    assert owner("POST", "/api/tokens/revoke", {"token": "a.b.c"}).status == 404
    assert owner("POST", "/api/tokens/revoke", {}).status == 400


def test_a_token_that_is_not_here_yet_can_be_revoked(world):
    node, owner = world
    now = int(time.time())
    claims = {**kvsaccounts.claims(owner.token), "jti": "00000000-0000-4000-8000-000000000001", "iat": now,
              "exp": now + 600}
    token = kvsaccounts.sign(kvsaccounts.header(owner.token), claims, kvsaccounts.signing_key())
    assert node.request("GET", "/kv/", None, bearer(token)).status == 401  # signed, but without a record
    assert owner("POST", "/api/tokens/revoke", {"token": token}).status == 204


def test_editing_a_user_costs_nobody_his_token(world):
    owner = world[1]
    ann, bob = (make_user(owner, name, ALL_DATA) for name in ("ann", "bob"))
    assert owner("PUT", f"/api/users/{ann.uuid}", {"nickname": "anne", "groups": []}).status == 200
    assert ann("PUT", "/kv/a", 1).status == 201 and bob("GET", "/kv/a").status == 200


def test_tokens_expire(world):
    node, owner = world
    ann = make_user(owner, "ann", ["read"], ttl="1s")
    kvsnode.wait_until(lambda: ann("GET", "/kv/").status == 401, "the token's end")
    assert owner("GET", f"/api/tokens?user_uuid={ann.uuid}").json()["tokens"] == []


def test_rotating_the_secret_keeps_tokens(make_node):
    node, owner = kvsaccounts.start_with_accounts(make_node)
    node.settings.update(cluster_secret="the secret that comes next", cluster_secret_previous=kvsaccounts.SECRET)
    node.restart()
    assert owner("GET", "/kv/").status == 200
    fresh = make_token(owner, owner.uuid, ["read"])
    assert kvsaccounts.header(fresh)["kid"] != kvsaccounts.header(owner.token)["kid"]
    node.settings.update(cluster_secret_previous="")
    node.restart()
    assert owner("GET", "/kv/").status == 401
    assert node.request("GET", "/kv/", None, bearer(fresh)).status == 200


def forgeries(token):
    """Every published way to cheat a JWT library that we know, from a good token."""
    head, payload = kvsaccounts.header(token), kvsaccounts.claims(token)
    key = kvsaccounts.signing_key()
    first, second, third = token.split(".")
    sign, encode = kvsaccounts.sign, kvsaccounts.encode
    later = int(time.time()) + 3600
    yield "alg none", f"{encode({**head, 'alg': 'none'})}.{second}."
    yield "alg None with its signature", f"{encode({**head, 'alg': 'None'})}.{second}.{third}"
    for alg in ("none", "HS384", "HS512", "RS256", "ES256", "hs256", "", None):
        yield f"alg {alg} signed", sign({**head, "alg": alg}, payload, key)
    yield "no alg", sign({"typ": "JWT", "kid": head["kid"]}, payload, key)
    yield "another kid", sign({**head, "kid": "0" * 16}, payload, key)
    yield "no kid", sign({"alg": "HS256"}, payload, key)
    yield "kid as a path", sign({**head, "kid": "../../../../dev/null"}, payload, b"")
    yield "its own key", sign({**head, "jwk": {"kty": "oct", "k": encode(b"k" * 32)}}, payload, b"k" * 32)
    yield "a key's address", sign({**head, "jku": "http://127.0.0.1/"}, payload, key)
    yield "crit", sign({**head, "crit": ["exp"]}, payload, key)
    yield "b64 false", sign({**head, "b64": False, "crit": ["b64"]}, payload, key)
    yield "empty key", sign(head, payload, b"")
    yield "the secret itself as the key", sign(head, payload, kvsaccounts.SECRET.encode())
    yield "another cluster's key", sign(head, payload, kvsaccounts.signing_key("another secret of 16+"))
    yield "more scopes", f"{first}.{encode({**payload, 'scopes': ['read', 'admin:tokens:create']})}.{third}"
    yield "another user", f"{first}.{encode({**payload, 'user_uuid': '0' * 8 + payload['user_uuid'][8:]})}.{third}"
    yield "later end", f"{first}.{encode({**payload, 'exp': later})}.{third}"
    yield "expired", sign(head, {**payload, "exp": 1}, key)
    yield "not valid yet", sign(head, {**payload, "iat": later, "exp": later + 1}, key)
    yield "nbf ahead", sign(head, {**payload, "nbf": later}, key)
    yield "signed but unknown", sign(head, {**payload, "jti": "00000000-0000-4000-8000-000000000000"}, key)
    yield "another issuer", sign(head, {**payload, "iss": "else"}, key)
    text = json.dumps(payload)[:-1]
    yield "duplicate claims", sign(head, f'{text},"exp":{later}}}'.encode(), key)
    yield "duplicate header", sign(json.dumps(head)[:-1].encode() + b',"alg":"HS256"}', payload, key)
    yield "claims no object", sign(head, b"[]", key)
    yield "claims no JSON", sign(head, b"{", key)
    yield "claims no UTF-8", sign(head, b'{"iss":"\xff"}', key)
    yield "signature cut", token[:-1]
    yield "signature changed", token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    yield "signature empty", f"{first}.{second}."
    yield "two parts", f"{first}.{second}"
    yield "four parts", f"{token}.{third}"
    yield "parts swapped", f"{second}.{first}.{third}"
    yield "padding", token + "="
    yield "other base64", token.replace("-", "+").replace("_", "/") + "+"
    yield "not base64", f"{first}.{second}.!{third[1:]}"
    yield "garbage", "garbage"
    yield "dots", "..."
    yield "long", "a" * 5000
    yield "lower case", token.lower()


def test_forged_tokens_are_refused(world):
    node, owner = world
    tried = 0
    for name, token in forgeries(owner.token):
        response = node.request("GET", "/kv/", None, bearer(token))
        assert response.status == 401, name
        assert response.headers["www-authenticate"] == "Bearer" and response.headers["content-type"] == \
            "application/problem+json"
        assert token not in response.body.decode() or len(token) < 10
        tried += 1
    assert tried > 40
    for value in ("Bearer", "Bearer  ", f"Basic {owner.token}", owner.token, f"Bearer {owner.token} x",
                  f"Bearer {owner.token},Bearer {owner.token}"):
        assert node.request("GET", "/kv/", None, {"Authorization": value}).status == 401
    long = node.raw(b"GET /kv/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 1_000_000 + b"\r\n\r\n")
    assert long.status in (401, 431)
    twice = f"GET /kv/ HTTP/1.1\r\nHost: x\r\n" + f"Authorization: Bearer {owner.token}\r\n" * 2 + "\r\n"
    assert node.raw(twice.encode()).status in (400, 401)
    assert node.request("GET", "/kv/", None, {"Authorization": f"bearer {owner.token}"}).status == 200


# ---- Metadata

def test_metadata_from_birth_to_end(world):
    node, owner = world
    group = make_group(owner, "crew")
    assert owner("PUT", "/kv/a/b", 1).status == 201
    assert owner("GET", "/kv/a/b/metadata").status == 404  # storing data sets none
    first = owner("PUT", "/kv/a/b/metadata", {})
    assert first.status == 200
    assert first.json() == {"owner_uuid": owner.uuid, "group_uuid": None, "permissions": 3889, "ttl": "0",
                            "created_at": first.json()["created_at"], "updated_at": first.json()["created_at"]}
    nobody = "00000000-0000-4000-8000-00000000abcd"  # taken as given
    second = owner("PUT", "/kv/a/b/metadata", {"owner_uuid": nobody, "group_uuid": group}).json()
    assert (second["owner_uuid"], second["group_uuid"], second["permissions"]) == (nobody, group, 3889)
    third = owner("PUT", "/kv/a/b/metadata", {"permissions": 4095}).json()
    assert (third["owner_uuid"], third["group_uuid"], third["permissions"]) == (nobody, group, 4095)
    assert owner("GET", "/kv/a/b/metadata").json() == third
    assert owner("DELETE", "/kv/a/b").status == 204
    node.restart()
    assert owner("GET", "/kv/a/b/metadata").json() == third  # outlives the record
    assert owner("DELETE", "/kv/a/b/metadata").status == 204
    assert owner("GET", "/kv/a/b/metadata").status == 404
    assert owner("DELETE", "/kv/a/b/metadata").status == 404
    long = "x/" * 511 + "yy"  # 1024 bytes
    assert owner("PUT", f"/kv/{long}/metadata", {"permissions": 1}).json()["permissions"] == 1
    assert owner("PUT", "/kv/t?ttl=1h", 1).status == 201
    assert owner("PUT", "/kv/t/metadata", {}).json()["ttl"].startswith("59m")


@pytest.mark.parametrize("body", [{"permissions": -1}, {"permissions": 4096}, {"permissions": "3889"},
                                  {"permissions": 1.5}, {"owner_uuid": "x"}, {"owner_uuid": None},
                                  {"group_uuid": "x"}, {"owner_uuid": 1}, [], b"", b'{"permissions":1,"permissions":2}'])
def test_bad_metadata_is_refused(world, body):
    assert world[1]("PUT", "/kv/a/metadata", body).status == 400


# ---- Bootstrap and the owner's way back in

def test_the_cluster_secret_is_for_those_who_may_issue_tokens(world):
    node, owner = world
    response = owner("GET", "/auth/cluster-bootstrap")
    assert response.json() == {"cluster_secret": kvsaccounts.SECRET}
    assert response.headers["cache-control"] == "no-store"
    assert make_user(owner, "ann", ALL_DATA)("GET", "/auth/cluster-bootstrap").status == 403


def test_the_owner_gets_in_with_the_cluster_secret(world):
    node, owner = world
    right = {"X-Cluster-Secret": kvsaccounts.SECRET, "X-Node-ID": "script"}
    response = node.request("POST", "/auth/owner-token", None, right)
    assert response.status == 201 and response.json()["user_uuid"] == owner.uuid
    assert node.request("GET", "/api/users", None, bearer(response.json()["token"])).status == 200
    for headers, detail in [({}, "Missing cluster secret"), ({"X-Cluster-Secret": kvsaccounts.SECRET}, "Missing node ID"),
                            ({**right, "X-Cluster-Secret": "wrong"}, "Invalid cluster secret"), (owner.headers, "Missing")]:
        refused = node.request("POST", "/auth/owner-token", None, headers)
        assert refused.status == 401 and detail in refused.json()["detail"]
    assert owner("DELETE", f"/api/users/{owner.uuid}").status == 204  # the worst that an owner can do
    again = node.request("POST", "/auth/owner-token", None, right)
    assert again.status == 201 and again.json()["user_uuid"] != owner.uuid
    assert again.json()["group_uuid"] == response.json()["group_uuid"]
