# SPDX-License-Identifier: Apache-2.0
"""How often users and strangers may ask. Windows are long, so that nothing here depends on the clock."""
import signal

import kvsaccounts
import kvsnode
from kvsaccounts import SECRET, bearer, make_user

LIMIT = 20
PEER = {"X-Cluster-Secret": SECRET, "X-Node-ID": "script"}


def start(make_node, **settings):
    settings = {"auth_enabled": True, "cluster_secret": SECRET, "rate_limit_requests": LIMIT, "rate_limit_window": "1h",
                "login_failure_limit": 5, **settings}
    node = make_node(**settings)
    return node, kvsaccounts.owner_of(node)


def test_a_user_has_so_many_requests(make_node):
    node, owner = start(make_node)
    left = [int(owner("GET", "/kv/").headers["x-rate-limit-remaining"]) for _ in range(LIMIT)]
    assert left == list(range(LIMIT - 1, -1, -1))
    refused = owner("GET", "/kv/")
    assert refused.status == 429 and refused.json()["detail"] == "Rate limit exceeded"
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert refused.headers["x-rate-limit-limit"] == str(LIMIT)
    assert refused.headers["x-rate-limit-window"] == "1h0m0s"
    assert "x-rate-limit-remaining" not in refused.headers
    assert owner("PUT", "/kv/a", 1).status == 429 and owner("GET", "/openapi.json").status == 429
    for target in ("/health", "/ready", "/metrics"):
        for _ in range(LIMIT + 1):
            response = owner("GET", target)
            assert response.status == 200 and "x-rate-limit-remaining" not in response.headers
    for _ in range(LIMIT + 1):
        response = node.request("GET", "/kv/", None, PEER)
        assert response.status == 200 and "x-rate-limit-remaining" not in response.headers


def test_users_and_strangers_are_counted_apart(make_node):
    node, owner = start(make_node, allow_anonymous_read=True)
    ann = make_user(owner, "ann", ["read"])
    for _ in range(LIMIT):
        assert ann("GET", "/kv/").status == 200
        assert node.get("/kv/").status == 200
    assert ann("GET", "/kv/").status == 429 and node.get("/kv/").status == 429
    assert owner("GET", "/kv/").status == 200


def test_a_batch_counts_once(make_node):
    _, owner = start(make_node)
    before = int(owner("GET", "/kv/").headers["x-rate-limit-remaining"])
    batch = [{"op": "put", "path": f"a/{i}", "data": i} for i in range(100)]
    assert int(owner("POST", "/kv_batch", batch).headers["x-rate-limit-remaining"]) == before - 1


def test_limits_can_be_reloaded_and_turned_off(make_node):
    node, owner = start(make_node, rate_limit_requests=1)
    assert owner("GET", "/kv/").status == 200 and owner("GET", "/kv/").status == 429
    for change in ({"rate_limit_requests": 1000}, {"rate_limit_requests": 1, "rate_limiting_enabled": False}):
        node.settings.update(change)
        node.write_config()
        reloads = node.log_text().count("configuration reloaded")
        node.process.send_signal(signal.SIGHUP)
        kvsnode.wait_until(lambda: node.log_text().count("configuration reloaded") > reloads, "the reload")
        kvsnode.wait_until(lambda: owner("GET", "/kv/").status == 200, "the new limit")
    assert "x-rate-limit-remaining" not in owner("GET", "/kv/").headers


def test_failed_logins_are_limited_but_good_tokens_pass(make_node):
    node, owner = start(make_node, rate_limiting_enabled=False)
    for _ in range(5):
        assert node.request("GET", "/kv/", None, bearer("wrong")).status == 401
    for headers in (bearer("wrong"), {**PEER, "X-Cluster-Secret": "wrong"}, {"Authorization": "Basic eDp5"}):
        refused = node.request("GET", "/kv/", None, headers)
        assert refused.status == 429 and 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-rate-limit-limit"] == "5" and refused.headers["x-rate-limit-window"] == "1m0s"
    assert owner("GET", "/kv/").status == 200
    assert node.request("GET", "/kv/", None, PEER).status == 200
    assert node.get("/kv/").status == 401  # no credentials are no failed ones


def test_without_auth_nobody_is_limited(make_node):
    node = make_node(rate_limit_requests=1)
    with node.connect() as connection:
        assert all(connection.request("GET", "/kv/").status == 200 for _ in range(5))
