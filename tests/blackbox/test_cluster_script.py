# SPDX-License-Identifier: Apache-2.0
"""`make cluster`: the tour of three nodes shows what it says, and leaves nothing behind."""
import subprocess

import kvsnode


def test_the_tour_of_three_nodes(tmp_path):
    env = {**kvsnode.clean_environment(tmp_path), "TMPDIR": str(tmp_path)}
    run = subprocess.run([kvsnode.ROOT / "scripts" / "cluster.sh", kvsnode.binary(), "--once"], env=env, text=True,
                         capture_output=True, timeout=900, check=False)
    assert run.returncode == 0, (run.stdout, run.stderr)
    assert run.stdout.count(" alive ") == 3
    assert 'cluster2: {"from":"cluster1"' in run.stdout and 'cluster3: {"from":"cluster1"' in run.stdout
    assert 'cluster2: {"from":"cluster3","while":"cluster2 was down"}' in run.stdout
    assert list(tmp_path.iterdir()) == []
