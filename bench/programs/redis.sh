#!/bin/sh
# A redis-server under the load of redis-benchmark, over a socket of its own.
# Only the server runs with the preloaded allocator.
set -u
preload=${LD_PRELOAD-}
unset LD_PRELOAD
directory=$(mktemp -d "${TMPDIR:-/tmp}/redis.XXXXXX") || exit 1
socket=$directory/socket
trap 'kill "$server" 2>/dev/null; rm -rf "$directory"' EXIT

LD_PRELOAD=$preload redis-server --port 0 --unixsocket "$socket" --dir "$directory" --save '' --appendonly no \
    --daemonize no >/dev/null &
server=$!

tries=0
until [ "$(redis-cli -s "$socket" ping 2>/dev/null)" = PONG ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || exit 1
    sleep 0.01
done

# Keys and values of several sizes; the keys differ from run to run, the number of calls does not.
load() { redis-benchmark -s "$socket" -q -P 32 -c 20 -r 50000 "$@" >/dev/null || exit 1; }
load -n 240000 -d 100 -t set,get
load -n 120000 -d 600 -t set
load -n 80000 -d 40 -t lpush,sadd,hset,rpop

redis-cli -s "$socket" info commandstats | tr -d '\r' | sed -n 's/^cmdstat_\([a-z]*\):\(calls=[0-9]*\),.*failed_calls=\([0-9]*\).*/\1 \2 failed=\3/p' |
    grep -E '^(set|get|lpush|sadd|hset|rpop) ' | sort
redis-cli -s "$socket" shutdown nosave
wait "$server"
