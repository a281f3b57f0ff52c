#!/bin/sh
# BGSAVE every second, from a heap that is full of holes and being meshed, while its keys are evicted and rewritten: each
# snapshot must be the data at its fork, and so must what BGREWRITEAOF leaves with what was appended since.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/redis_server.sh"

# While writes are paused nothing changes: not by clients, nor by eviction.
with_writes_paused() {
    [ "$(ask client pause 60000 write)" = OK ] || fail "CLIENT PAUSE fails"
    "$@"
    ask client unpause >/dev/null
}

begin_snapshot() {
    ask debug digest >"$work/digest.$number"
    ask bgsave | grep -q started || fail "BGSAVE does not start"
}

# Runs a command while the snapshot is being written.
take_snapshot_during() {
    number=$((number + 1))
    with_writes_paused begin_snapshot
    "$@" >/dev/null
    wait_for_info persistence rdb_bgsave_in_progress 0
    [ "$(info persistence rdb_last_bgsave_status)" = ok ] || fail "BGSAVE fails"
    mv "$work/server/dump.rdb" "$work/snapshot.$number"
}

# Changes keys in place, replaces and deletes them.
rewrite_keys() {
    awk -v seed="$1" 'BEGIN {
        x = seed
        for (n = 0; n < 60000; n++) {
            x = x * 16807 % 2147483647
            key = "jkl:" x % 170000
            if (x % 5 == 0) print "DEL", key
            else if (x % 5 < 3) print "SETRANGE", key, x % 400, x
            else printf "SET %s %0*d\n", key, x % 600, x
        }
    }' | ask >/dev/null
}

# What is in memory now must be what is loaded in the end.
end_append_only_file() {
    ask debug digest >"$work/digest.aof"
    ask config set appendonly no >/dev/null
}

check_loaded() {
    ask debug digest | cmp - "$work/digest.$1" || fail "what is loaded is not what was saved: $1"
    echo "loads back: $1, $(ask dbsize) keys, $(cat "$work/digest.$1")"
}

MALLOCSTATS=1 start_server with "$work/server" --maxmemory 100mb --maxmemory-policy allkeys-lru
ask client pause 1 write | grep -q OK || skip "this redis-server cannot pause writes"
number=0
ask debug populate 700000 asdf 240 >/dev/null
take_snapshot_during sleep 1
take_snapshot_during sleep 1
take_snapshot_during ask debug populate 170000 jkl 492
for second in 1 2 3; do
    take_snapshot_during sleep 1
done
rewrite_keys 1 &
writers=$!
rewrite_keys 2 &
writers="$writers $!"
for second in 1 2 3; do
    take_snapshot_during sleep 1
done

ask config set appendonly yes >/dev/null
wait_for_info persistence aof_rewrite_in_progress 0
ask bgrewriteaof >/dev/null
wait_for_info persistence aof_rewrite_in_progress 0
[ "$(info persistence aof_last_bgrewrite_status)" = ok ] || fail "BGREWRITEAOF fails"
wait $writers
with_writes_paused end_append_only_file
stop_server || fail "redis-server ends badly"

grep -E '^(MESH COUNT|Barrier):' "$work/server.log"
grep -q '^Barrier: *off' "$work/server.log" && skip "this barrier is not to be had here"
grep -q '^MESH COUNT: *[1-9]' "$work/server.log" || fail "nothing was meshed"

# One of before the second insert, one of during it, one of after it, and two of while keys are rewritten.
start_server without "$work/loader"
for number in 2 3 5 7 9; do
    mv "$work/snapshot.$number" "$work/loader/dump.rdb"
    ask debug reload nosave | grep -q OK || fail "redis-server does not load snapshot $number"
    check_loaded "$number"
done
stop_server
mv "$work/server"/append* "$work/loader"
start_server without "$work/loader" --appendonly yes
check_loaded aof
