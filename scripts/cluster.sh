#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Three nodes on this machine that replicate: cluster.sh build/kvs [--once]. They stay, in build/cluster, until
# `make cluster STOP=1`; with --once they are in a folder of their own, and gone afterwards. Exit 1 as soon as
# anything is not as it is told.
set -eu
cd "$(dirname "$0")/.."
kvs=$(realpath "${1:?path of kvs}")
once=${2:-}
if [ "$once" = --once ]; then
    dir=$(mktemp -d)
    HOME=$dir
    export HOME
else
    dir=$(dirname "$kvs")/cluster
    mkdir -p "$dir"
fi
unset KVS_TOKEN KVS_URL 2>/dev/null || true
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
nodes="$dir/cluster1.yaml $dir/cluster2.yaml $dir/cluster3.yaml"

stop() { "$kvs" stop $nodes >/dev/null 2>&1 || true; } # unquoted: three words, and no spaces in our paths

if [ "$once" = --stop ]; then
    if [ -f "$dir/cluster1.yaml" ]; then "$kvs" stop $nodes; fi
    exit 0
fi

finish() {
    status=$?
    if [ $status -ne 0 ] || [ "$once" = --once ]; then stop; fi
    if [ $status -ne 0 ]; then echo "cluster: failed; the logs are in $HOME/.kvs/logs" >&2; fi
    if [ "$once" = --once ]; then rm -rf "$dir"; fi
    exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM

# Ports that are free now, unless the configs are there already; none that the kernel gives to clients, who might have it
# when a node starts again, nor one of the tests'.
if [ ! -f "$dir/cluster3.yaml" ]; then
    set -- $(/usr/bin/python3 -c 'import random, socket
found = []
for port in random.sample(range(32000, 32768), 768):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        except OSError:
            pass
    if len(found) == 3:
        break
print(*found)')
    for i in 1 2 3; do
        eval "port=\$$i"
        printf 'node_id: cluster%s\nport: %s\nauth_enabled: false\nbackup_enabled: false\ndata_dir: ./data%s\nseed_nodes: ["127.0.0.1:%s"]\n' \
            "$i" "$port" "$i" "$1" >"$dir/cluster$i.yaml"
    done
fi
url() { echo "http://127.0.0.1:$(sed -n 's/^port: //p' "$dir/cluster$1.yaml")"; }

say "1. Start three nodes. Each has a YAML file; one seed is all that they need to find each other."
"$kvs" restart $nodes >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
for i in 1 2 3; do echo "  cluster$i  $(url $i)"; done

tries=0
until [ "$("$kvs" members --url "$(url 3)" --json | grep -o '"state":"alive"' | wc -l)" -eq 3 ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "cluster: the nodes do not find each other" >&2; exit 1; }
    sleep 0.1
done

say "2. They know each other."
"$kvs" members --url "$(url 1)" | sed 's/^/  /'

say "3. Write on the first, read on the others."
"$kvs" put greeting "{\"from\":\"cluster1\",\"at\":\"$(date -u +%H:%M:%S)\"}" --url "$(url 1)" >/dev/null
"$kvs" get greeting --raw --url "$(url 1)" >"$dir/want"
for i in 2 3; do
    tries=0
    until "$kvs" get greeting --raw --url "$(url $i)" >"$dir/got" 2>/dev/null && cmp -s "$dir/want" "$dir/got"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "cluster: the write did not reach cluster$i" >&2; exit 1; }
        sleep 0.02
    done
    echo "  cluster$i: $(cat "$dir/got")"
done

say "4. Stop one, write on another, start it again: it catches up."
"$kvs" stop "$dir/cluster2.yaml" >/dev/null
"$kvs" put greeting '{"from":"cluster3","while":"cluster2 was down"}' --url "$(url 3)" >/dev/null
"$kvs" get greeting --raw --url "$(url 3)" >"$dir/want"
"$kvs" start "$dir/cluster2.yaml" >/dev/null
tries=0
until "$kvs" get greeting --raw --url "$(url 2)" >"$dir/got" 2>/dev/null && cmp -s "$dir/want" "$dir/got"; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "cluster: cluster2 does not catch up" >&2; exit 1; }
    sleep 0.05
done
echo "  cluster2: $(cat "$dir/got")"
rm -f "$dir/out" "$dir/want" "$dir/got"
[ "$once" = --once ] && exit 0

say "They run on. Try:"
cat <<END
  export PATH=$(dirname "$kvs"):\$PATH
  kvs status
  kvs members --url $(url 1)
  curl $(url 2)/metrics | grep kvs_peer
  kvs put mine '{"n":1}' --url $(url 2); kvs get mine --url $(url 3)
  kvs members leave $dir/cluster3.yaml
  make cluster STOP=1
END
