#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tables/routes.def and openapi.yaml name the same routes, both ways, with the same summaries; every
$ref and path parameter of the document resolves. Exit 1 lists what does not fit."""
import pathlib
import re
import sys

import yaml

ROW = re.compile(r'^KVS_ROUTE\((\w+), "([^"]+)", (\w+), \w+, (\w+), "(\w*)", \w+, \w+, "([^"]+)"\)$')
METHODS = {"get", "put", "post", "patch", "delete"}


def table_rows(root):
    text = (root / "tables/routes.def").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("KVS_ROUTE(")]
    rows = [ROW.match(line) for line in lines]
    assert lines and all(rows), "a row of routes.def that this script cannot read"
    return {(row[1].lower(), row[2]): row for row in rows}


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = value.values()
    elif not isinstance(value, list):
        return
    for item in value:
        yield from references(item)


def resolve(document, reference):
    for name in reference.removeprefix("#/").split("/"):
        document = document[name]
    return document


def operation_problems(document, path, method, item, row):
    where, operation = f"{method.upper()} {path}", item[method]
    if operation["summary"] != row[6]:
        yield f"{where}: summary {operation['summary']!r}, in routes.def {row[6]!r}"
    if (row[3] == "OPEN") != (operation.get("security") == []):
        yield f"{where}: security: [] belongs to open routes alone"
    if (row[4] != "NONE") != ("requestBody" in operation):
        yield f"{where}: requestBody and the body column disagree"
    parameters = item.get("parameters", []) + operation.get("parameters", [])
    parameters = [resolve(document, p["$ref"]) if "$ref" in p else p for p in parameters]
    if {p["name"] for p in parameters if p["in"] == "path"} != set(re.findall(r"{(\w+)}", path)):
        yield f"{where}: path parameters do not fit the path"


def audit_problems(root, table):
    actions = re.findall(r"^KVS_AUDIT_ACTION\((\w+),", (root / "tables/audit_actions.def").read_text(), re.M)
    for (method, path), row in sorted(table.items()):
        if row[5] and row[5] not in actions:
            yield f"{method.upper()} {path}: audit action {row[5]!r} is not in audit_actions.def"


def problems(root):
    document = yaml.safe_load((root / "openapi.yaml").read_text(encoding="utf-8"))
    table = table_rows(root)
    yield from audit_problems(root, table)
    described = {(method, path): item for path, item in document["paths"].items()
                 for method in item if method in METHODS}
    for method, path in sorted(table.keys() - described.keys()):
        yield f"{method.upper()} {path}: in routes.def, not in openapi.yaml"
    for method, path in sorted(described.keys() - table.keys()):
        yield f"{method.upper()} {path}: in openapi.yaml, not in routes.def"
    for key in sorted(table.keys() & described.keys()):
        yield from operation_problems(document, key[1], key[0], described[key], table[key])
    for reference in set(references(document)):
        try:
            resolve(document, reference)
        except KeyError:
            yield f"{reference}: resolves to nothing"
    names = [item[method]["operationId"] for (method, _), item in described.items()]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"operationId {name}: used twice"


def main():
    found = list(problems(pathlib.Path(sys.argv[1])))
    print("\n".join(found) if found else "routes: routes.def and openapi.yaml agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
