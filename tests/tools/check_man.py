#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""man/kvs.1 names every command, every exit code with its meaning, and every option of every command that
tables/commands.def, tables/exit_codes.def and the program's own help know: check_man.py ROOT KVS."""
import pathlib
import re
import subprocess
import sys

ROW = re.compile(r'^KVS_(?:COMMAND\(\w+, "(\w+)"|EXIT\(\w+, (\d+), "(.*)"\))', re.M)


def main():
    root, kvs = pathlib.Path(sys.argv[1]), sys.argv[2]
    page = (root / "man" / "kvs.1").read_text()
    plain = re.sub(r"\\f[A-Z]", "", page.replace("\\-", "-"))
    problems, commands = [], []
    for name, code, meaning in ROW.findall((root / "tables" / "commands.def").read_text()
                                           + (root / "tables" / "exit_codes.def").read_text()):
        if name:
            commands.append(name)
            if not re.search(rf"^\.BI? \"?{name}\b", plain, re.M):
                problems.append(f"the command {name} is missing")
        elif not re.search(rf"^\.B {code}\n{re.escape(meaning)}$", plain, re.M):
            problems.append(f"exit code {code} ({meaning}) is missing")
    if len(commands) < 7:
        problems.append("tables/commands.def could not be read")
    for name in commands:
        text = subprocess.run([kvs, "help", name], capture_output=True, text=True, check=True).stdout
        for option in re.findall(r"^  (?:-\w, |    )(--[a-z-]+)", text.split("\nOptions:\n")[1], re.M):
            if not re.search(rf"{option}\b(?!-)", plain):
                problems.append(f"{option} of {name} is missing")
    print("\n".join(problems) or f"man/kvs.1: {len(commands)} commands, all there")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
