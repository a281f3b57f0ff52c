#!/bin/sh
# The Redis workload of Powers et al., "Mesh: Compacting Memory Management for C/C++ Applications" (PLDI 2019, section
# 6.2.2): a server with a memory limit is filled with values of one length and then with longer ones, and is left alone.
#
#   sh bench/redis_frag.sh [-p POLICY] [-d DIRECTORY] [-i IDLE] [-t TARGETS] [ALLOCATOR...]
#
#   -p  which keys are evicted: allkeys-lru (default) or allkeys-random
#   -d  keep Pss over time in DIRECTORY/redis-ALLOCATOR.dat: seconds since the start, KiB
#   -i  seconds of rest after the last insert (6)
#   -t  sizes in MB, separated by commas: how long after the last insert Pss was down to them for good (200,150,128,118)
#
# Allocators: glibc jemalloc mimalloc libmesh unless given; NAME=PATH is any other library.
#
# Columns: seconds in the two inserts as the server counts them, Pss at its highest and at the end, what the server says is
# in use, CPU time of the server, mappings at the end, page tables at the end, seconds to reach each target.
set -u
bench=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$bench/common.sh"

policy=allkeys-lru directory= idle=6 targets=200,150,128,118
while getopts p:d:i:t:h letter; do
    case $letter in
        p) policy=$OPTARG ;;
        d) directory=$OPTARG ;;
        i) idle=$OPTARG ;;
        t) targets=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- glibc jemalloc mimalloc libmesh
command -v redis-server >/dev/null && command -v redis-cli >/dev/null || die "redis-server and redis-cli are needed"
need_built
allocators=$(usable_allocators "$@")
[ -n "$allocators" ] || die "no allocator"
targets=$(echo "$targets" | tr ',' ' ')
directory=${directory:-$data}
mkdir -p "$directory" || exit 1

work=$(mktemp -d "${TMPDIR:-/tmp}/redis_frag.XXXXXX") || exit 1
socket=$work/socket measure=
cleanup() {
    [ -n "$measure" ] && redis-cli -s "$socket" shutdown nosave >/dev/null 2>&1
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# The server has no debug command before version 7 that needs to be enabled, and rejects options it does not know.
debug=
redis-server --version | grep -q 'v=[0-6]\.' || debug='--enable-debug-command yes'

ask() { redis-cli -s "$socket" "$@" | tr -d '\r'; }

# Seconds since boot, to a hundredth.
uptime() { read -r up _ </proc/uptime && echo "$up"; }

# Seconds that the server itself took for each insert, the last one first. Its own log has them; asking it between the
# inserts would start an eviction too early.
insert_seconds() { ask slowlog get | awk '$0 == "debug" { print previous / 1e6 } { previous = $0 }'; }

insert() {
    [ "$(ask debug populate "$1" "$2" "$3")" = OK ] || return 1
}

serve() {
    library=$(allocator_library "$1") samples=$work/samples
    # shellcheck disable=SC2086
    "$bin/measure" -p "$library" -s "$samples" -i 25 -t 300 redis-server --port 0 --unixsocket "$socket" \
        --dir "$work" --save '' --appendonly no --maxmemory 100mb --maxmemory-policy "$policy" $debug \
        >"$work/measured" 2>"$work/log" &
    measure=$!
    tries=0
    until [ "$(redis-cli -s "$socket" ping 2>/dev/null)" = PONG ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || return 1
        sleep 0.05
    done
    server=$(ask info server | sed -n 's/^process_id://p')
    grep -qF "$library" "/proc/$server/maps" || grep -qF "$(readlink -f "$library")" "/proc/$server/maps" || return 1

    insert 700000 asdf 240 || return 1
    # Long enough for the server's clock, which counts whole seconds, to tell old keys from new ones. Nothing is asked of
    # the server meanwhile: any command would start the eviction, which is to come with the second insert.
    sleep 2.5
    insert 170000 jkl 492 || return 1
    inserted=$(uptime)
    sleep "$idle"

    pss=$(awk '/^Pss:/ { print $2 }' "/proc/$server/smaps_rollup")
    maps=$(wc -l <"/proc/$server/maps")
    tables=$(awk '/^VmPTE:/ { print $2 }' "/proc/$server/status")
    inserts=$(insert_seconds)
    in_use=$(ask info memory | sed -n 's/^used_memory://p')
    redis-cli -s "$socket" shutdown nosave >/dev/null 2>&1
    wait "$measure"
    measure=
    read -r status _ user system _ peak _ <"$work/measured"
    [ "$status" = ok ] || return 1
    awk 'NR == 1 { start = $1 } { printf "%.3f %d\n", $1 - start, $2 }' "$samples" \
        >"$directory/redis-$(allocator_name "$1").dat"
}

# The first sample from which on no sample is larger than the target.
reach_seconds() {
    awk -v target="$1" -v inserted="$inserted" -v pss="$pss" '
        $2 > target * 1024 { reached = "" ; next }
        reached == "" { reached = $1 }
        END {
            if (pss > target * 1024) print "-"
            else printf "%.1f", (reached > inserted ? reached - inserted : 0)
        }' "$work/samples"
}

echo "redis-server, maxmemory 100mb, $policy: debug populate 700000 asdf 240; 2.5 s; debug populate 170000 jkl 492; $idle s"
printf '%-12s %9s %9s %8s %8s %8s %7s %7s %7s' allocator 'insert s' 'insert s' 'peak MB' 'end MB' 'used MB' 'cpu s' maps 'PTE MB'
for target in $targets; do printf ' %7s' "<=$target"; done
echo
result=0
for allocator in $allocators; do
    printf '%-12s' "$(allocator_name "$allocator")"
    if serve "$allocator"; then
        awk -v inserts="$inserts" -v peak="$peak" -v pss="$pss" -v in_use="$in_use" -v user="$user" \
            -v system_time="$system" -v maps="$maps" -v tables="$tables" 'BEGIN {
                split(inserts, seconds)
                printf " %9.3f %9.3f %8.1f %8.1f %8.1f %7.2f %7d %7.1f", seconds[2], seconds[1], peak / 1024, pss / 1024,
                    in_use / 1048576, user + system_time, maps, tables / 1024
            }'
        for target in $targets; do printf ' %7s' "$(reach_seconds "$target")"; done
        echo
    else
        echo " FAILED $(tail -n 1 "$work/log")"
        result=1
        redis-cli -s "$socket" shutdown nosave >/dev/null 2>&1
        wait "$measure"
        measure=
    fi
    rm -f "$socket" "$work/samples"
done
exit "$result"
