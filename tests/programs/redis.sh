#!/bin/sh
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/redis_server.sh"
require redis-benchmark

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

# The answer to "how is the server": its data's digest, and then again after a child has saved it and it was loaded.
session() {
    start_server "$1" "$work/$1"
    # stdout, not a terminal: one line for each answer.
    ask <"$work/commands" | cksum
    ask debug digest
    ask bgsave >/dev/null
    wait_for_info persistence rdb_bgsave_in_progress 0
    echo "bgsave $(info persistence rdb_last_bgsave_status)"
    ask debug reload
    ask debug digest
    ask dbsize
    ask zrange set7 0 -1 withscores
    run_"$1" redis-benchmark -s "$work/socket" -q -n 20000 -c 20 -r 10000 -d 300 \
        -t set,get,incr,lpush,rpop,sadd,hset,zadd,mset >"$work/benchmark" 2>&1 || cat "$work/benchmark"
    ask ping
    stop_server
    echo "status $?"
}

session without >"$work/without.out" || { cat "$work/without.out"; exit 1; }
session with >"$work/with.out" || { cat "$work/with.out"; exit 1; }
diff "$work/without.out" "$work/with.out" || { tail -n 40 "$work/with.log"; fail "not the same with libmesh"; }
grep -q '^status 0$' "$work/with.out" || fail "redis-server ends badly"
grep -q '^bgsave ok$' "$work/with.out" || fail "BGSAVE fails"
echo "same answers and digests:"
sed -n 2,4p "$work/with.out"
