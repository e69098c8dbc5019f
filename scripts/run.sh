#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts a node with ./config.yaml (created when missing) as a daemon, unless it runs already, and prints
# three lines to try: run.sh build/kvs
set -eu
kvs=${1:?path of kvs}
config=config.yaml

if "$kvs" status "$config" >/dev/null 2>&1; then
    echo "The node of $config runs already."
else
    "$kvs" start "$config"
fi
address=$("$kvs" status --json "$config" | sed -n 's/.*"address": *"\([^"]*\)".*/\1/p' | head -n 1)
cat <<END

KVS answers at http://$address. Try:

  curl -X PUT http://$address/kv/hello -d '{"message": "world"}'
  curl http://$address/kv/hello
  $kvs ls --url http://$address

Stop it with: $kvs stop $config
END
