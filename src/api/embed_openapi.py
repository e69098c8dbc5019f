#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""embed_openapi.py openapi.yaml OUTPUT.c: the document as compact JSON in a C array, `info.version`
being KVS's own (third argument)."""
import json
import sys

import yaml


def main():
    source, target, version = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        document = yaml.safe_load(file)
    document["info"]["version"] = version
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()
    rows = [", ".join(map(str, text[i:i + 24])) for i in range(0, len(text), 24)]
    with open(target, "w", encoding="utf-8") as file:
        file.write("// Generated from openapi.yaml by embed_openapi.py.\n"
                   '#include "api/api_internal.h"\n\n'
                   "const char kvs_api_openapi_json[] = {\n    " + ",\n    ".join(rows) + "};\n"
                   "const size_t kvs_api_openapi_json_size = sizeof(kvs_api_openapi_json);\n")


if __name__ == "__main__":
    main()
