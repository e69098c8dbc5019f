#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The functions that include/kvs/kvs.h declares, src/client/libkvs.map names and the shared library shows are the
same, each with a version; docs/clients/c.md names each of them; the header stands alone in C99 and C++:
check_libkvs.py ROOT LIBRARY."""
import pathlib
import re
import shutil
import subprocess
import sys


def main():
    root, library = pathlib.Path(sys.argv[1]), sys.argv[2]
    header = root / "include" / "kvs" / "kvs.h"
    code = re.sub(r"//.*", "", header.read_text())
    declared = set(re.findall(r"\b(kvs_client_[a-z_0-9]+)\s*\(", code))
    named = set(re.findall(r"^\s+(kvs_\w+);", (root / "src" / "client" / "libkvs.map").read_text(), re.M))
    shown = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    functions = {name.split("@")[0] for name in re.findall(r" T (\S+)", shown) if "@@LIBKVS_" in name}
    others = {name for name in re.findall(r" [TDBR] (\S+)", shown) if "@@LIBKVS_" not in name}
    page = (root / "docs" / "clients" / "c.md").read_text()
    problems = [f"{name}: declared, but not in libkvs.map" for name in sorted(declared - named)]
    problems += [f"{name}: in libkvs.map, but not declared" for name in sorted(named - declared)]
    problems += [f"{name}: not in the library" for name in sorted(declared - functions)]
    problems += [f"{name}: shown by the library without a version" for name in sorted(others)]
    problems += [f"{name}: not in docs/clients/c.md" for name in sorted(declared) if f"`{name}" not in page]
    if len(declared) < 30:
        problems.append("kvs.h could not be read")
    for compiler, language in (("cc", ["-std=c99", "-pedantic", "-x", "c"]), ("c++", ["-std=c++11", "-x", "c++"])):
        if shutil.which(compiler):
            done = subprocess.run([compiler, *language, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(header)],
                                  capture_output=True, text=True, check=False)
            if done.returncode:
                problems.append(f"{compiler}: {done.stderr}")
    print("\n".join(problems) or f"libkvs: {len(declared)} functions, in header, map, library and documentation")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
