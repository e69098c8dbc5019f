#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A tour on a node of its own, with 14 000 real documents: demo.sh build/kvs. Touches no other node and
# leaves nothing behind. Exit 1 as soon as anything is not as it is told.
set -eu
cd "$(dirname "$0")/.."
kvs=$(realpath "${1:?path of kvs}")
dir=$(mktemp -d)
HOME=$dir
export HOME
unset KVS_TOKEN 2>/dev/null || true
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi

finish() {
    status=$?
    "$kvs" stop "$dir/demo.yaml" >/dev/null 2>&1 || true
    if [ $status -ne 0 ]; then
        echo "demo: failed; the end of the node's log:" >&2
        tail -n 20 "$dir"/.kvs/logs/*.log >&2 2>/dev/null || true
    fi
    rm -rf "$dir"
    exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
run() { # shows a command of kvs and its output
    printf '  $ kvs'
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_/.@=:-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    echo
    "$kvs" "$@" >"$dir/out" 2>&1 || { sed 's/^/  /' "$dir/out"; return 1; }
    sed 's/^/  /' "$dir/out"
}
expect_exit() { # expect_exit CODE COMMAND…
    wanted=$1
    shift
    code=0
    "$kvs" "$@" >"$dir/out" 2>&1 || code=$?
    sed 's/^/  /' "$dir/out"
    [ "$code" -eq "$wanted" ] || { echo "  exit code $code instead of $wanted" >&2; return 1; }
}
fail() { echo "demo: $*" >&2; exit 1; }

port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
KVS_URL=http://127.0.0.1:$port
export KVS_URL

say "1. Start a node: one YAML file, one command."
printf 'node_id: demo\nport: %s\nauth_enabled: false\nbackup_enabled: false\n' "$port" >"$dir/demo.yaml"
"$kvs" start "$dir/demo.yaml" >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
echo "  It answers at $KVS_URL."

say "2. Load every country, subdivision, language, currency and script of the ISO standards."
scripts/sample_set.py >"$dir/sample.ndjson"
documents=$(wc -l <"$dir/sample.ndjson")
scripts/load.py "$KVS_URL" <"$dir/sample.ndjson" | sed 's/^/  /'

say "3. Look around: keys form a tree."
run ls iso
run ls iso/4217 --limit 3 --values
count=$("$kvs" ls iso --all | wc -l)
[ "$count" -eq "$documents" ] || fail "$count keys listed instead of $documents"
echo "  … $count keys in all."

say "4. Read one."
run get iso/3166-1/DE
"$kvs" get iso/3166-1/DE | grep -q '"name":"Germany"' || fail "that is not Germany"

say "5. Change it, but only if nobody did meanwhile."
first=$("$kvs" get iso/3166-1/DE --json | sed 's/.*"uuid":"\([^"]*\)".*/\1/')
original=$("$kvs" get iso/3166-1/DE)
run put iso/3166-1/DE '{"name":"Deutschland"}' --if-match "$first"
echo "  A second writer who still holds the old version is refused:"
expect_exit 5 put iso/3166-1/DE '{"name":"Allemagne"}' --if-match "$first"

say "6. Undo: every key keeps its last versions."
run get iso/3166-1/DE --rev 2
curl -sS -f -o "$dir/out" -X POST "$KVS_URL/api/data/iso/3166-1/DE/history/2/restore"
[ "$("$kvs" get iso/3166-1/DE)" = "$original" ] || fail "the restored value differs"
echo "  Restored, byte for byte."

say "7. Let a record expire by itself."
run put session/7 '{"user":"ada"}' --ttl 1s
run get session/7
tries=0
while "$kvs" get session/7 >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || fail "the session did not expire within 10 s"
    sleep 0.05
done
echo "  A second later it is gone:"
expect_exit 4 get session/7

say "8. Crash the node (kill -9) and start it again."
pid=$(head -n 1 "$dir"/.kvs/pids/*.pid)
"$kvs" put survivor '"I was acknowledged"' >/dev/null
kill -9 "$pid"
while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
"$kvs" start "$dir/demo.yaml" >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
run get survivor
count=$("$kvs" ls iso --all | wc -l)
[ "$count" -eq "$documents" ] || fail "$count keys after the crash instead of $documents"
echo "  All $count documents are still there."

say "9. Stop it."
"$kvs" stop "$dir/demo.yaml" >/dev/null
expect_exit 6 get survivor | cut -c 1-72
say "That was KVS. 'kvs help' and README.md say the rest."
