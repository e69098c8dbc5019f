#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check_generated.py FILE COMMAND...: FILE is exactly what COMMAND prints. With KVS_WRITE_GENERATED=1 in
the environment FILE is written instead."""
import difflib
import os
import pathlib
import subprocess
import sys


def main():
    path = pathlib.Path(sys.argv[1])
    text = subprocess.run(sys.argv[2:], check=True, stdout=subprocess.PIPE).stdout.decode()
    if os.environ.get("KVS_WRITE_GENERATED") == "1":
        path.write_text(text)
        return 0
    old = path.read_text() if path.exists() else ""
    if old == text and text:
        return 0
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), text.splitlines(True),
                                               str(path), "generated"))
    print(f"{path} is out of date: run this test with KVS_WRITE_GENERATED=1")
    return 1


if __name__ == "__main__":
    sys.exit(main())
