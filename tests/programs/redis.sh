#!/bin/sh
. "$(dirname "$0")/common.sh"
require redis-server redis-cli redis-benchmark awk

# A fixed mix of types, with much that is overwritten and deleted.
awk 'BEGIN {
    x = 1
    for (n = 0; n < 60000; n++) {
        x = x * 16807 % 2147483647
        key = x % 9000
        value = sprintf("value%d-%0*d", n, x % 300, n)
        type = n % 7
        if (type == 0) print "SET string" key, value
        if (type == 1) print "APPEND string" key, value
        if (type == 2) print "HSET hash" key % 900, "field" key, value
        if (type == 3) print "RPUSH list" key % 900, value
        if (type == 4) print "ZADD set" key % 900, x, value
        if (type == 5) print "SADD members" key % 900, value
        if (type == 6) print (x % 3 ? "DEL string" key : "LPOP list" key % 900)
    }
}' >"$work/commands"

ask() {
    redis-cli -s "$work/socket" "$@"
}

stop() {
    ask shutdown nosave >/dev/null 2>&1
    wait "$server"
}

server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

# The answer to "how is the server": its data's digest, and then again after a child has saved it and it was loaded.
session() {
    side=$1
    mkdir -p "$work/$side"
    run_"$side" redis-server --port 0 --unixsocket "$work/socket" --dir "$work/$side" --save '' --daemonize no \
        $debug_option >"$work/$side.log" 2>&1 &
    server=$!
    for attempt in $(seq 300); do
        ask ping >/dev/null 2>&1 && break
        kill -0 $server 2>/dev/null || return 1
        sleep 0.1
    done
    if [ "$side" = with ]; then
        grep -qF "$library" "/proc/$(ask info server | tr -d '\r' | sed -n 's/^process_id://p')/maps" ||
            fail "redis-server does not run on libmesh"
    fi
    # stdout, not a terminal: one line for each answer.
    ask <"$work/commands" | cksum
    ask debug digest
    ask bgsave >/dev/null
    for attempt in $(seq 300); do
        ask info persistence | grep -q 'rdb_bgsave_in_progress:0' && break
        sleep 0.1
    done
    ask info persistence | tr -d '\r' | grep rdb_last_bgsave_status
    ask debug reload
    ask debug digest
    ask dbsize
    ask zrange set7 0 -1 withscores
    run_"$side" redis-benchmark -s "$work/socket" -q -n 20000 -c 20 -r 10000 -d 300 \
        -t set,get,incr,lpush,rpop,sadd,hset,zadd,mset >"$work/benchmark" 2>&1 || cat "$work/benchmark"
    ask ping
    stop
    echo "status $?"
}

# Redis 7 wants to be asked for DEBUG; older ones know no such option.
debug_option="--enable-debug-command yes"
redis-server --version | grep -qE 'v=([0-6])\.' && debug_option=

session without >"$work/without.out" || { cat "$work/without.log"; fail "redis-server does not start"; }
session with >"$work/with.out" || { cat "$work/with.log"; fail "redis-server does not start with libmesh"; }
diff "$work/without.out" "$work/with.out" || { tail -n 40 "$work/with.log"; fail "not the same with libmesh"; }
grep -q '^status 0$' "$work/with.out" || fail "redis-server ends badly"
grep -q 'rdb_last_bgsave_status:ok' "$work/with.out" || fail "BGSAVE fails"
echo "same answers and digests:"
sed -n 2,4p "$work/with.out"
