#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check_promtool.py COMMAND...: promtool (Debian: prometheus) finds nothing to complain about in the
exposition that COMMAND prints. Exit 1 with its complaints otherwise."""
import shutil
import subprocess
import sys


def main():
    if not shutil.which("promtool"):
        print("promtool is missing: apt install prometheus")
        return 1
    exposition = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE).stdout
    if not exposition.startswith(b"# HELP "):
        print("not an exposition:", exposition[:200])
        return 1
    result = subprocess.run(["promtool", "check", "metrics"], input=exposition,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(result.stdout.decode(errors="replace"), end="")
    return 1 if result.returncode != 0 or result.stdout.strip() else 0


if __name__ == "__main__":
    sys.exit(main())
