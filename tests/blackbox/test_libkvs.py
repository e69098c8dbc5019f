# SPDX-License-Identifier: Apache-2.0
"""The examples of libkvs do what they say, and an installed tree is enough to build them."""
import os
import pathlib
import shutil
import subprocess

import pytest

from kvsfake import FakeNode
from kvsnode import ROOT, binary, clean_environment, is_sanitized, key_path
from test_receipts import make_cluster

BUILD = binary().parent


def run(program, *arguments, tmp_path, **environment):
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=300, check=False,
                          env={**clean_environment(tmp_path), **environment})


def example(name):
    return BUILD / "examples" / f"example-{name}"


@pytest.mark.parametrize("name", ["quickstart", "quickstart-static"])
def test_quickstart_stores_reads_and_undoes(node, tmp_path, name):
    done = run(example(name), "http://127.0.0.1:1", node.url, tmp_path=tmp_path)
    assert done.returncode == 0, done
    assert done.stdout.splitlines() == [
        'example/quickstart = {"theme":"dark"}', 'revision 1: {"theme":"dark"}',
        'revision 2: {"theme":"light","limit":10.0}', *done.stdout.splitlines()[3:-1],
        'example/quickstart = {"theme":"light","limit":10.0}']
    refused = run(example(name), "http://127.0.0.1:1", tmp_path=tmp_path)
    assert refused.returncode == 1 and "cannot connect" in refused.stderr


def test_counter_loses_nothing_between_threads(node, prefix, tmp_path):
    for total in (100, 200):
        done = run(example("counter"), node.url, prefix, tmp_path=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{total}\n", "")
    assert node.get(key_path(prefix)).json()["data"] == 200


def test_walk_goes_over_pages(node, prefix, tmp_path):
    for n in range(5):
        node.put(key_path(f"{prefix}/{n}") + ("?ttl=1h" if n == 3 else ""), n)
    lines = run(example("walk"), node.url, prefix, tmp_path=tmp_path).stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"{prefix}/{n} = {n}" for n in range(5)]
    assert [n for n, line in enumerate(lines) if "until" in line] == [3]


def test_bulk_and_follow(tmp_path):
    with FakeNode() as fake:
        done = run(example("bulk"), fake.url, "b", tmp_path=tmp_path)
        assert done.returncode == 0 and done.stdout.splitlines()[9] == 'b/09 = {"n": 9}', done
        state = tmp_path / "state"
        fake.stream_length = 3
        for first in (1, 5):
            done = run(example("follow"), fake.url, "b/", str(state), "4", tmp_path=tmp_path)
            assert done.stdout.splitlines() == [f"{n} changed b/{n - 1:02}" for n in range(first, first + 4)], done
            assert state.read_text() == f"{first + 3}\n"


def test_everywhere_waits_for_other_nodes(make_node, tmp_path):
    alpha, beta = make_cluster(make_node, ["alpha", "beta"])
    done = run(example("everywhere"), alpha.url, "paid/1", "2", "30000", tmp_path=tmp_path)
    steps = ("put", "patch", "restore", "batch", "delete")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{step}: 2 of 2 nodes have it" for step in steps]
    # It was there before the answer came; the last step deleted it.
    assert [r["data"] for r in beta.get("/api/data/paid/1/history").json()] == [None, 1, {"state": "paid"}]
    beta.kill()
    done = run(example("everywhere"), alpha.url, "paid/2", "2", "100", tmp_path=tmp_path)
    assert done.returncode == 3
    assert done.stdout.splitlines() == [f"{step}: 1 of 2 nodes have it" for step in steps]
    # The writes were done all the same.
    assert [r["data"] for r in alpha.get("/api/data/paid/2/history").json()] == [None, 1, {"state": "paid"}]
    wrong = run(example("everywhere"), alpha.url, "paid/3", "258", "100", tmp_path=tmp_path)
    assert wrong.returncode == 1 and "1 to 257" in wrong.stderr
    assert alpha.get("/kv/paid/3").status == 404
    nothing = run(example("everywhere"), alpha.url, "paid/3", "0", "0", tmp_path=tmp_path)
    assert nothing.returncode == 0 and "put: 0 of 0" in nothing.stdout


def test_an_installed_tree_is_enough_to_build_with(node, tmp_path):
    meson, pkg_config, cc = (shutil.which(name) for name in ("meson", "pkg-config", "cc"))
    assert meson and pkg_config and cc
    if is_sanitized():
        pytest.skip("a sanitized library wants its runtime in every program")
    root = tmp_path / "root"
    subprocess.run([meson, "install", "-C", str(BUILD), "--no-rebuild", "--destdir", str(root)], check=True, timeout=300,
                   capture_output=True)
    pc = next(root.rglob("kvs.pc"))
    prefix = pathlib.Path(next(line.split("=", 1)[1] for line in pc.read_text().splitlines() if line.startswith("prefix=")))
    installed = root / prefix.relative_to("/")
    env = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    flags = subprocess.run([pkg_config, f"--define-variable=prefix={installed}", "--cflags", "--libs", "kvs"], env=env,
                           check=True, capture_output=True, text=True).stdout.split()
    for name in ("quickstart", "counter", "walk", "bulk", "follow", "everywhere"):
        subprocess.run([cc, "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror",
                        str(ROOT / "examples" / f"{name}.c"), "-o", str(tmp_path / name), *flags, "-pthread"], check=True)
    library = next(root.rglob("libkvs.so.0"))
    done = run(tmp_path / "quickstart", node.url, tmp_path=tmp_path, LD_LIBRARY_PATH=str(library.parent))
    assert done.returncode == 0, done
    static = subprocess.run([pkg_config, f"--define-variable=prefix={installed}", "--cflags", "--libs", "--static", "kvs"],
                            env=env, check=True, capture_output=True, text=True).stdout.split()
    archive = next(root.rglob("libkvs.a"))
    subprocess.run([cc, str(ROOT / "examples" / "quickstart.c"), "-o", str(tmp_path / "static"),
                    *[str(archive) if flag == "-lkvs" else flag for flag in static]], check=True)
    assert run(tmp_path / "static", node.url, tmp_path=tmp_path).returncode == 0
    for path in ("bin/kvs", "share/man/man1/kvs.1", "share/bash-completion/completions/kvs.bash",
                 "share/zsh/site-functions/_kvs", "share/fish/vendor_completions.d/kvs.fish", "include/kvs/kvs.h"):
        assert (installed / path).exists(), path
