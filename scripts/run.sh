#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts a node with ./config.yaml (created when missing) as a daemon, unless it runs already, and prints
# lines to try, with a token that works: run.sh build/kvs
set -eu
kvs=${1:?path of kvs}
config=config.yaml

if "$kvs" status "$config" >/dev/null 2>&1; then
    echo "The node of $config runs already."
else
    "$kvs" start "$config"
fi
address=$("$kvs" status --json "$config" | sed -n 's/.*"address": *"\([^"]*\)".*/\1/p' | head -n 1)
scheme=http
grep -q '^cluster_tls_enabled: *true' "$config" && scheme=https
url=$scheme://$address
header=
export_line=
if token=$("$kvs" token create "$config" 2>/dev/null | sed -n 's/^Token: //p') && [ -n "$token" ]; then
    header=" -H \"Authorization: Bearer \$KVS_TOKEN\""
    export_line="  export KVS_TOKEN=$token
"
fi
cat <<END

KVS answers at $url. Try:

${export_line}  curl$header -X PUT $url/kv/hello -d '{"message": "world"}'
  curl$header $url/kv/hello
  $kvs ls --url $url

END
if [ -n "$export_line" ]; then
    echo "The token opens everything for a day; $kvs token create $config makes another."
fi
echo "Stop it with: $kvs stop $config"
