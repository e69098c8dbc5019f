#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A sample set of real documents for the demo, tests and benches: the entries of Debian's iso-codes
(countries, subdivisions, languages, currencies, scripts) as records.

Prints one {"key":…,"value":…} a line, in a fixed order: iso/3166-1/DE, iso/639-3/deu, …"""
import argparse
import json
import pathlib
import sys

FOLDER = pathlib.Path("/usr/share/iso-codes/json")
NAMES = {"3166-1": "alpha_2", "3166-2": "code"}  # the member that names an entry, where it is not the longest code


def entries(folder):
    """(key, value) of every entry."""
    for path in sorted(folder.glob("iso_*.json")):
        standard = path.stem.removeprefix("iso_")
        for value in json.loads(path.read_text())[standard]:
            name = value[NAMES[standard]] if standard in NAMES else value.get("alpha_4") or value["alpha_3"]
            yield f"iso/{standard}/{name}", value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, default=FOLDER, help=f"where the JSON files are ({FOLDER})")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        sys.exit(f"{arguments.folder}: no such folder: install the package iso-codes")
    for key, value in entries(arguments.folder):
        print(json.dumps({"key": key, "value": value}, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
