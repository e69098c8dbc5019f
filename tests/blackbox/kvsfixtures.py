# SPDX-License-Identifier: Apache-2.0
"""The fixtures of every test that needs a real node; the conftest.py beside the tests imports them."""
import re
import uuid

import pytest

import kvsnode


SANITIZER = re.compile(r"^.*(?:runtime error: |ERROR: \w+Sanitizer|WARNING: ThreadSanitizer).*$", re.M)


class Nodes:
    """Makes nodes in one folder; at the end each must stop cleanly with exit code 0 and without a sanitizer's
    report in its log."""

    def __init__(self, folder):
        self.folder = folder
        self.made = []

    def __call__(self, name=None, start=True, **settings):
        node = kvsnode.Node(self.folder / (name or f"node{len(self.made) + 1}"), **settings)
        self.made.append(node)
        return node.start() if start else node

    def close(self):
        codes = {node.folder.name: node.stop() for node in self.made
                 if node.process is not None and node.process.poll() is None}
        bad = {name: code for name, code in codes.items() if code != 0}
        assert not bad, f"exit codes after SIGTERM: {bad}"
        for node in self.made:
            reports = SANITIZER.findall(node.log_text())
            assert not reports, f"{node.folder.name}: a sanitizer reports {reports}"


@pytest.fixture
def make_node(request, tmp_path):
    """make_node(**settings): a fresh, running node, as many as wanted."""
    nodes = Nodes(tmp_path)
    request.node.kvs_nodes = nodes.made
    yield nodes
    nodes.close()


@pytest.fixture
def fresh_node(make_node):
    """A node of the test's own, empty."""
    return make_node()


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("shared"))
    yield nodes()
    nodes.close()


@pytest.fixture
def node(request, shared_node):
    """The module's node; a test keeps to its own keys (`prefix`)."""
    request.node.kvs_nodes = [shared_node]
    return shared_node


@pytest.fixture
def prefix(request):
    """A key prefix that no other test uses, without a slash at its end."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:60].strip("-")
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its nodes' logs (the files stay in pytest's folder)."""
    report = (yield).get_result()
    if report.failed:
        for made in getattr(item, "kvs_nodes", []):
            report.sections.append((f"log of {made.folder}", made.log_tail()))
