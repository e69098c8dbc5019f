# SPDX-License-Identifier: Apache-2.0
"""Thousands of random requests against a node and against forty lines of Python that say what it should do.
KVS_MODEL_SEED repeats a run, KVS_MODEL_STEPS makes it longer."""
import json
import os
import random
import urllib.parse
import uuid

from kvsnode import key_path

STEPS = int(os.environ.get("KVS_MODEL_STEPS", "3000"))
REVISIONS = 3
# Prefixes of each other, and bytes just below and above '/'.
KEYS = ["a", "a-b", "a.", "a/b", "a/b/c", "a/b0", "a/c", "a0", "b/a/a", "b/a/b", "ä/a", "ä0", "z", "z/z", "日/本"]


class Model:
    """key -> its versions, newest first: {"uuid", "timestamp", "data"}, or None for a deletion."""

    def __init__(self):
        self.versions = {key: [] for key in KEYS}

    def current(self, key):
        return self.versions[key][0] if self.versions[key] else None

    def visible(self):
        return {key: self.current(key) for key in sorted(KEYS, key=str.encode) if self.current(key)}

    def holds(self, key, headers):
        """Does the condition hold?"""
        current = self.current(key)
        if "If-None-Match" in headers:
            return current is None
        wanted = headers.get("If-Match")
        return wanted is None or (current is not None and wanted in ("*", f'"{current["uuid"]}"'))

    def write(self, key, version):
        self.versions[key].insert(0, version)

    def listing(self, prefix, delimiter):
        """(keys, prefixes) in byte order."""
        keys, prefixes = [], []
        for key in self.visible():
            if not key.startswith(prefix):
                continue
            cut = key.find("/", len(prefix)) if delimiter else -1
            if cut < 0:
                keys.append(key)
            elif key[:cut + 1] not in prefixes:
                prefixes.append(key[:cut + 1])
        return keys, prefixes


class Session:
    def __init__(self, node, seed):
        self.node, self.model, self.rng = node, Model(), random.Random(seed)
        self.connection = node.connect()

    def step(self):
        choices = {self.put: 10, self.delete: 4, self.get: 4, self.history: 4, self.restore: 3, self.list: 6,
                   self.range: 3, self.restart: 0.02}
        self.rng.choices(list(choices), list(choices.values()))[0](self.rng.choice(KEYS))

    def request(self, method, target, body=None, headers=None):
        return self.connection.request(method, target, body, headers)

    def condition(self, key):
        tags = [f'"{version["uuid"]}"' for version in self.model.versions[key] if version] + [f'"{uuid.uuid4()}"', "*"]
        return self.rng.choice([{}, {}, {}, {"If-None-Match": "*"}, {"If-Match": tags[0]}, {"If-Match": tags[0]},
                                {"If-Match": self.rng.choice(tags)}])

    def value(self):
        return self.rng.choice([
            self.rng.randrange(10**20), "ä" * self.rng.randrange(50), None, [], {"k": [1.5, {"x": None}]}, True,
            {"data": self.rng.randrange(9)}, "x" * self.rng.randrange(3000)])

    def put(self, key):
        headers, value = self.condition(key), self.value()
        before = self.model.current(key)
        response = self.request("PUT", key_path(key), json.dumps(value, ensure_ascii=False).encode(), headers)
        if not self.model.holds(key, headers):
            assert response.status == 412, response
            return
        assert response.status == (200 if before else 201), response
        self.accept(key, response, value)

    def accept(self, key, response, value):
        """A write that the node acknowledged: newer than all before, and the current one from now on."""
        version = response.json()
        known = [old for old in self.model.versions[key] if old]
        assert all(version["timestamp"] > old["timestamp"] and version["uuid"] != old["uuid"] for old in known)
        assert response.headers["etag"] == f'"{version["uuid"]}"'
        self.model.write(key, {**version, "data": value})

    def delete(self, key):
        headers = self.condition(key)
        response = self.request("DELETE", key_path(key), None, headers)
        if headers and not self.model.holds(key, headers):
            assert response.status == 412, response
        elif self.model.current(key) is None:
            assert response.status == 404, response
        else:
            assert response.status == 204, response
            self.model.write(key, None)

    def get(self, key):
        response, current = self.request("GET", key_path(key)), self.model.current(key)
        if current:
            assert (response.status, response.json()) == (200, current)
        else:
            assert response.status == 404

    def history(self, key):
        path = key_path(key).replace("/kv/", "/api/data/", 1) + "/history"
        response, versions = self.request("GET", path), self.model.versions[key][:REVISIONS]
        assert response.status == (200 if versions else 404)
        if versions:
            shown = response.json()
            assert [entry["revision"] for entry in shown] == list(range(1, len(versions) + 1))
            for entry, version in zip(shown, versions):
                self.compare_revision(entry, version)
            number = self.rng.randrange(1, len(versions) + 1)
            self.compare_revision(self.request("GET", f"{path}/{number}").json(), versions[number - 1])

    @staticmethod
    def compare_revision(entry, version):
        if version:
            assert {name: entry[name] for name in ("uuid", "timestamp", "data")} == version
        else:
            assert entry["data"] is None

    def restore(self, key):
        number = self.rng.randrange(1, REVISIONS + 1)
        versions = self.model.versions[key][:REVISIONS]
        response = self.request("POST", key_path(key).replace("/kv/", "/api/data/", 1) + f"/history/{number}/restore", b"")
        if number > len(versions):
            assert response.status == 404, response
        elif versions[number - 1] is None:
            assert response.status in (404, 409), response
        else:
            assert response.status in (200, 201), response
            self.accept(key, response, versions[number - 1]["data"])

    def pages(self, path, parameters, member):
        """The member of every page, joined; no page is longer than the limit."""
        parameters["limit"] = self.rng.choice([1, 2, 3, 7, 100])
        found = []
        while True:
            target = path + "?" + urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)
            page = self.request("GET", target).json()
            found.append(page)
            assert len(page[member]) <= parameters["limit"]
            if not page.get("next"):
                return found
            assert len(found) <= len(KEYS)
            parameters["cursor"] = page["next"]

    def list(self, key):
        prefix = self.rng.choice(["", key, key + "/", key[:1], key.split("/")[0] + "/", "nothing"])
        delimiter = self.rng.random() < 0.5
        parameters = {"prefix": prefix, "values": "1", **({"delimiter": "/"} if delimiter else {})}
        found = self.pages("/kv/", parameters, "keys")
        keys, prefixes = self.model.listing(prefix, delimiter)
        assert [entry for page in found for entry in page["keys"]] == [
            {"path": path, **self.model.current(path)} for path in keys]
        assert [name for page in found for name in page["prefixes"]] == prefixes

    def range(self, key):
        start, end = self.rng.choice(["", key]), self.rng.choice(["", self.rng.choice(KEYS)])
        found = self.pages("/kv/_range", {"start_key": start, "end_key": end}, "pairs")
        expected = [{"path": path, "stored_value": version} for path, version in self.model.visible().items()
                    if path.encode() >= start.encode() and (not end or path.encode() <= end.encode())]
        assert [pair for page in found for pair in page["pairs"]] == expected

    def restart(self, _):
        self.connection.close()
        if self.rng.random() < 0.5:
            self.node.kill()
            self.node.start()
        else:
            self.node.restart()
        self.connection = self.node.connect()


def test_a_node_does_what_the_model_does(make_node):
    seed = os.environ.get("KVS_MODEL_SEED") or str(random.randrange(2**32))
    print(f"KVS_MODEL_SEED={seed}")
    session = Session(make_node(), seed)
    for _ in range(STEPS):
        session.step()
    session.restart(None)
    for key in KEYS:
        session.get(key)
        session.history(key)


def test_the_model_is_told_apart_from_a_wrong_one():
    """Its listing by hand, once."""
    model = Model()
    for key in ("a", "a/b", "a/b/c", "a0"):
        model.write(key, {"uuid": key, "timestamp": 1, "data": json.dumps(key)})
    model.write("a0", None)
    assert model.listing("", True) == (["a"], ["a/"])
    assert model.listing("a/", True) == (["a/b"], ["a/b/"])
    assert model.listing("a", False) == (["a", "a/b", "a/b/c"], [])
