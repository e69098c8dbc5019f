# SPDX-License-Identifier: Apache-2.0
"""Earlier versions of a key: reading and restoring them."""
import pytest

from kvsnode import key_path
from test_data_api import assert_problem


def history_path(key):
    return key_path(key).replace("/kv/", "/api/data/", 1) + "/history"


def write(node, key, count):
    """Writes 1 … count; returns the versions, newest first, as the history shows them."""
    versions = [{**node.put(key_path(key), n).json(), "data": n} for n in range(1, count + 1)]
    return [{"revision": i, **version} for i, version in enumerate(reversed(versions), 1)]


def test_history_shows_the_last_three_versions_newest_first(node, prefix):
    versions = write(node, prefix, 5)
    response = node.get(history_path(prefix))
    assert response.status == 200
    assert response.json() == versions[:3]


def test_history_of_one_version_is_that_version(node, prefix):
    versions = write(node, prefix, 1)
    assert node.get(history_path(prefix)).json() == versions


def test_one_revision_is_read_by_its_number(node, prefix):
    versions = write(node, prefix, 5)
    for n in (1, 2, 3):
        response = node.get(f"{history_path(prefix)}/{n}")
        assert (response.status, response.json()) == (200, versions[n - 1])


@pytest.mark.parametrize("n", ["0", "4", "-1", "abc", "1.0", "01x", "99999999999999999999", "%31x"])
def test_a_number_outside_of_1_to_3_is_400(node, prefix, n):
    write(node, prefix, 3)
    assert_problem(node.get(f"{history_path(prefix)}/{n}"), 400, "Bad Request")
    assert_problem(node.post(f"{history_path(prefix)}/{n}/restore"), 400, "Bad Request")
    assert node.get(key_path(prefix)).json()["data"] == 3


def test_where_there_is_none_is_404(node, prefix):
    assert_problem(node.get(history_path(prefix)), 404, "Not Found")
    assert_problem(node.get(f"{history_path(prefix)}/1"), 404, "Not Found")
    assert_problem(node.post(f"{history_path(prefix)}/1/restore"), 404, "Not Found")
    write(node, prefix, 2)
    assert_problem(node.get(f"{history_path(prefix)}/3"), 404, "Not Found")
    assert_problem(node.post(f"{history_path(prefix)}/3/restore"), 404, "Not Found")


def test_values_in_the_history_keep_their_bytes(node, prefix):
    node.put(key_path(prefix), b'{"z": 1.0, "a": "\\u00e4", "z": 12345678901234567890}')
    node.put(key_path(prefix), 2)
    stored = b'"data":{"z":1.0,"a":"\\u00e4","z":12345678901234567890}'
    assert stored in node.get(history_path(prefix)).body
    assert stored in node.get(history_path(prefix) + "/2").body


@pytest.mark.parametrize("escape", [False, True], ids=["as it is", "escaped"])
def test_keys_with_slashes_work_as_they_are_and_escaped(node, prefix, escape):
    key = f"{prefix}/a/b"
    versions = write(node, key, 2)
    path = history_path(key)
    if escape:
        path = "/api/data/" + key.replace("/", "%2F") + "/history"
    assert node.get(path).json() == versions
    assert node.get(path + "/2").json() == versions[1]
    assert node.post(path + "/2/restore").status in (200, 201)
    assert node.get(key_path(key)).json()["data"] == 1


def test_a_key_that_ends_like_the_route_has_a_history_too(node, prefix):
    key = f"{prefix}/history"
    versions = write(node, key, 2)
    assert node.get(f"/api/data/{prefix}%2Fhistory/history").json() == versions
    assert node.get(f"/api/data/{prefix}/history/history").json() == versions


def test_deletion_keeps_the_history_and_restore_brings_back(node, prefix):
    versions = write(node, prefix, 2)
    node.delete(key_path(prefix))
    history = node.get(history_path(prefix))
    assert history.status == 200
    kept = {entry["uuid"]: entry for entry in history.json()}
    for version in versions:
        assert kept[version["uuid"]]["data"] == version["data"]
    revision = kept[versions[0]["uuid"]]["revision"]
    assert node.post(f"{history_path(prefix)}/{revision}/restore").status in (200, 201)
    assert node.get(key_path(prefix)).json()["data"] == 2


def test_restore_writes_that_revision_as_a_new_version(node, prefix):
    versions = write(node, prefix, 3)
    response = node.post(f"{history_path(prefix)}/3/restore")
    assert response.status in (200, 201)
    restored = node.get(key_path(prefix)).json()
    assert restored["data"] == 1
    assert restored["uuid"] not in {version["uuid"] for version in versions}
    assert restored["timestamp"] > versions[0]["timestamp"]
    assert response.json()["uuid"] == restored["uuid"]
    history = node.get(history_path(prefix)).json()
    assert [entry["data"] for entry in history] == [1, 3, 2]
    assert [entry["revision"] for entry in history] == [1, 2, 3]


def test_the_number_of_revisions_is_a_setting(make_node):
    node = make_node(revisions=5)
    versions = write(node, "k", 8)
    assert node.get(history_path("k")).json() == versions[:5]
    assert node.get(history_path("k") + "/5").json() == versions[4]
    assert_problem(node.get(history_path("k") + "/6"), 400, "Bad Request")


def test_with_the_feature_off_its_routes_are_404(make_node):
    node = make_node(revision_history_enabled=False)
    write(node, "k", 3)
    assert node.get(key_path("k")).json()["data"] == 3
    assert node.get(history_path("k")).status == 404
    assert node.get(history_path("k") + "/1").status == 404
    assert node.post(history_path("k") + "/1/restore").status == 404


@pytest.mark.parametrize("path", ["a//b", ".", "a/../b", "%00", "%FF", "a" * 1025])
def test_history_of_what_is_no_key_is_400(node, path):
    assert_problem(node.get(f"/api/data/{path}/history"), 400, "Bad Request")


def test_head_of_the_history(node, prefix):
    write(node, prefix, 2)
    for path in (history_path(prefix), history_path(prefix) + "/1"):
        get, head = node.get(path), node.head(path)
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(get.body)))


@pytest.mark.parametrize("method, tail", [("PUT", ""), ("DELETE", ""), ("POST", ""), ("PUT", "/1"), ("DELETE", "/1"),
                                          ("GET", "/1/restore"), ("DELETE", "/1/restore")])
def test_wrong_methods_are_405(node, prefix, method, tail):
    write(node, prefix, 1)
    response = node.request(method, history_path(prefix) + tail, b"1" if method in ("PUT", "POST") else None)
    assert_problem(response, 405, "Method Not Allowed")
    assert response.headers["allow"]
