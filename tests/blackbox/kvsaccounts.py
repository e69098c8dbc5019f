# SPDX-License-Identifier: Apache-2.0
"""A node that demands tokens, and callers that have some."""
import base64
import hashlib
import hmac
import json
import re

import kvsnode

SECRET = "a cluster secret for tests"
ALL_DATA = ["read", "write", "delete"]
HUGE = 1_000_000_000


class Caller:
    """Requests of one identity: headers that say who it is."""

    def __init__(self, node, name, headers=None, scopes=(), uuid=None, groups=()):
        self.node, self.name, self.headers = node, name, headers or {}
        self.scopes, self.uuid, self.groups = set(scopes), uuid, set(groups)

    def __call__(self, method, target, body=None, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.node.request(method, target, body, {**self.headers, **names})

    @property
    def token(self):
        return self.headers["Authorization"].removeprefix("Bearer ")

    def __repr__(self):
        return self.name


def first_start(node):
    """What the node printed when it made its owner: {"User UUID": …, "Group UUID": …, "Token": …, "Expires": …}."""
    lines = re.findall(r"^(User UUID|Group UUID|Token|Expires): (.*)$", node.log_text(), re.M)
    assert [name for name, _ in lines] == ["User UUID", "Group UUID", "Token", "Expires"], lines
    return dict(lines)


def owner_of(node):
    printed = first_start(node)
    token = printed["Token"]
    return Caller(node, "root", bearer(token), claims(token)["scopes"], printed["User UUID"])


def start_with_accounts(make_node, **settings):
    """A node with auth on and limits that no test meets by accident, and its owner."""
    settings = {"auth_enabled": True, "cluster_secret": SECRET, "rate_limit_requests": HUGE,
                "login_failure_limit": 1_000_000, **settings}
    node = make_node(**settings)
    return node, owner_of(node)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def make_user(owner, nickname, scopes, groups=(), ttl=None):
    response = owner("POST", "/api/users", {"nickname": nickname})
    assert response.status == 201, response
    uuid = response.json()["uuid"]
    if groups:
        assert owner("PUT", f"/api/users/{uuid}", {"groups": list(groups)}).status == 200
    return Caller(owner.node, nickname, bearer(make_token(owner, uuid, scopes, ttl)), scopes, uuid, groups)


def make_token(owner, uuid, scopes, ttl=None):
    body = {"user_uuid": uuid, "scopes": list(scopes), **({"ttl": ttl} if ttl else {})}
    response = owner("POST", "/api/tokens", body)
    assert response.status == 201, response
    assert response.headers["cache-control"] == "no-store"
    return response.json()["token"]


def make_group(owner, name, members=()):
    response = owner("POST", "/api/groups", {"groupname": name, "members": list(members)})
    assert response.status == 201, response
    return response.json()["uuid"]


def hash_of(text):
    return hashlib.sha3_512(text.encode()).hexdigest()


# ---- Tokens of one's own making

def encode(data):
    data = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims(token):
    return json.loads(decode(token.split(".")[1]))


def header(token):
    return json.loads(decode(token.split(".")[0]))


def derive(secret, info, size):
    """HKDF-SHA-256 with the salt "kvs" (RFC 5869)."""
    key = hmac.new(b"kvs", secret.encode(), hashlib.sha256).digest()
    return hmac.new(key, info.encode() + b"\x01", hashlib.sha256).digest()[:size]


def sign(head, payload, key):
    text = f"{encode(head)}.{encode(payload)}"
    return f"{text}.{encode(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def signing_key(secret=SECRET):
    return derive(secret, "token signing key 1", 32)


def key_id(secret=SECRET):
    return derive(secret, "token signing key id 1", 8).hex()
