# SPDX-License-Identifier: Apache-2.0
"""What a node says of itself, and what holds for every answer: errors, Allow, X-Request-ID."""
import json
import re
import shutil
import subprocess

import pytest

from kvsnode import key_path
from test_data_api import assert_problem


def allowed(response):
    return {method.strip() for method in response.headers["allow"].split(",")}


# ---- the node's own routes

def test_the_root_names_itself_and_links_on(node):
    response = node.get("/")
    assert response.status == 200
    text = json.dumps(response.json())
    assert "kvs" in text.lower() and "/health" in text
    assert response.json()["version"] == node.get("/health").json()["version"]


def test_health_tells_mode_and_version(node):
    response = node.get("/health")
    assert response.status == 200
    health = response.json()
    assert health["status"] == "ok" and health["mode"] == "normal"
    assert health["node_id"] == node.settings["node_id"]
    assert health["member_count"] == 1
    assert re.match(r"\d+\.\d+", health["version"])


def test_ready_is_200_on_a_node_that_serves(node):
    assert node.get("/ready").status == 200


def test_openapi_is_served_and_knows_the_data_routes(node):
    response = node.get("/openapi.json")
    assert response.status == 200
    document = response.json()
    assert document["openapi"].startswith("3.1")
    assert any(path.startswith("/kv/") for path in document["paths"])
    assert "/health" in document["paths"]


def test_metrics_are_prometheus_text(node, prefix):
    def count(method):
        text = node.get("/metrics").body.decode()
        return float(re.search(rf'^kvs_http_requests_total\{{method="{method}"\}} (\S+)$', text, re.M).group(1))

    before = count("PUT")
    for n in range(5):
        node.put(key_path(prefix), n)
    assert count("PUT") == before + 5
    assert node.get("/metrics").headers["content-type"].startswith("text/plain")


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (package prometheus) is not installed")
def test_promtool_finds_nothing_in_the_metrics(node, prefix):
    for status in (node.put(key_path(prefix), 1).status, node.get(key_path(prefix)).status):
        assert status < 300
    checked = subprocess.run(["promtool", "check", "metrics"], input=node.get("/metrics").body,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    assert (checked.returncode, checked.stdout) == (0, b"")


def test_a_route_that_is_off_names_the_setting(make_node):
    off = make_node(metrics_enabled=False, clustering_enabled=False, tamper_logging_enabled=False, revision_history_enabled=False)
    for path, setting in {"/metrics": "metrics_enabled", "/merkle_tree/root": "clustering_enabled", "/api/audit": "tamper_logging_enabled",
                          "/api/data/a/history": "revision_history_enabled", "/api/users": "auth_enabled"}.items():
        answer = off.get(path)
        assert answer.status == 404 and f"{setting} is false" in answer.json()["detail"], answer
    assert "no such route" in off.get("/nope").json()["detail"]


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metrics", "/openapi.json"])
def test_head_works_on_the_nodes_own_routes(node, path):
    head = node.head(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == node.get(path).headers["content-type"]
    assert int(head.headers["content-length"]) > 0


# ---- errors

@pytest.mark.parametrize("path", ["/nope", "/health/", "/health/x", "/api", "/api/data", "/api/data/a", "//", "/index.html",
                                  "/HEALTH", "/kv_batchx", "/.", "/%6bv"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_an_unknown_route_is_404(node, method, path):
    body = b"1" if method in ("PUT", "POST") else None
    assert_problem(node.request(method, path, body), 404, "Not Found")


@pytest.mark.parametrize("method, path, allow", [
    ("POST", "/kv/a", {"GET", "HEAD", "PUT", "DELETE"}),
    ("PUT", "/health", {"GET", "HEAD"}), ("DELETE", "/", {"GET", "HEAD"}), ("POST", "/metrics", {"GET", "HEAD"}),
    ("DELETE", "/ready", {"GET", "HEAD"}), ("POST", "/openapi.json", {"GET", "HEAD"}),
    ("BREW", "/kv/a", {"GET", "HEAD", "PUT", "DELETE"}), ("get", "/health", {"GET", "HEAD"}),
    ("TRACE", "/health", {"GET", "HEAD"}), ("OPTIONS", "/health", {"GET", "HEAD"}),
    ("OPTIONS", "/kv/a", {"GET", "HEAD", "PUT", "DELETE"}),
])
def test_a_wrong_method_is_405_with_what_is_allowed(node, method, path, allow):
    response = node.request(method, path, b"1" if method in ("PUT", "POST") else None)
    if method in ("BREW", "get") and response.status in (400, 501):
        return  # a method nobody knows may be refused by the parser already (RFC 9110, 15.6.2)
    assert_problem(response, 405, "Method Not Allowed")
    assert allow <= allowed(response)
    assert not any(name.startswith("access-control-") for name in response.headers)


def test_the_body_of_a_refused_request_is_not_taken_for_the_next_one(node, prefix):
    with node.connect() as connection:
        body = f"GET {key_path(prefix)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for method, path, status in (("POST", "/nope", 404), ("POST", "/health", 405), ("PUT", "/kv/a//b", 400)):
            assert connection.request(method, path, body).status == status
        assert connection.request("GET", "/health").status == 200


# ---- X-Request-ID

@pytest.mark.parametrize("path", ["/health", "/kv/absent", "/nope", "/kv/", "/metrics"])
def test_every_answer_carries_a_request_id_of_its_own(node, path):
    with node.connect() as connection:
        ids = {connection.request("GET", path).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20 and all(ids)


@pytest.mark.parametrize("sane", ["a", "0193-abc_DEF.9", "7e0e5be6-7a9a-4ee9-9c1b-2d5b4cf6a111"])
def test_a_clients_sane_request_id_comes_back(node, sane):
    for path in ("/health", "/nope", "/kv/absent"):
        assert node.get(path, X_Request_ID=sane).headers["x-request-id"] == sane


@pytest.mark.parametrize("mad", ["x" * 5000, "a b", "<script>", '"quoted"', "a,b", "ü", ""])
def test_a_clients_mad_request_id_is_replaced(node, mad):
    response = node.get("/health", X_Request_ID=mad)
    assert response.status == 200
    assert response.headers["x-request-id"] not in (mad, "")


def test_no_answer_allows_other_origins(node):
    response = node.get("/health", Origin="http://evil.example")
    assert not any(name.startswith("access-control-") for name in response.headers)
