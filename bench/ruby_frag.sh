#!/bin/sh
# Ruby strings of doubling length, three quarters of them dropped in each round (ruby_frag.rb): time, and memory over time.
#
#   sh bench/ruby_frag.sh [-d DIRECTORY] [-n ROUNDS] [ALLOCATOR...]
#
#   -d  keep Pss over time in DIRECTORY/ruby-ALLOCATOR.dat: seconds since the start, KiB
#   -n  runs to take the time of, interleaved; the median is shown (3). Memory is taken in one more run
#
# Allocators: glibc jemalloc mimalloc libmesh unless given; NAME=PATH is any other library.
set -u
bench=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$bench/common.sh"

directory= rounds=3
while getopts d:n:h letter; do
    case $letter in
        d) directory=$OPTARG ;;
        n) rounds=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- glibc jemalloc mimalloc libmesh
command -v ruby >/dev/null || die "ruby is needed"
need_built
allocators=$(usable_allocators "$@")
[ -n "$allocators" ] || die "no allocator"
directory=${directory:-$data}
mkdir -p "$directory" || exit 1
times=$data/ruby-times.txt
: >"$times"

# run ALLOCATOR FLAG...: one line of what measure says.
run() {
    library=$(allocator_library "$1")
    shift
    "$bin/measure" -p "$library" "$@" -t 300 ruby --disable=gems "$bench/ruby_frag.rb"
}

round=1
while [ "$round" -le "$rounds" ]; do
    for allocator in $allocators; do echo "$(allocator_name "$allocator") $(run "$allocator")" >>"$times"; done
    round=$((round + 1))
done

median_seconds() {
    awk -v name="$1" '$1 == name { if ($2 == "ok") print $3; else bad = 1 } END { exit bad }' "$times" >"$times.one" || return 1
    sort -n "$times.one" | awk '{ value[NR] = $1 } END { if (NR) print (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2; else exit 1 }'
}

expected='' result=0
printf '%-12s %8s %8s %8s %9s\n' allocator 'time s' 'mean MB' 'peak MB' 'final MB'
for allocator in $allocators; do
    name=$(allocator_name "$allocator")
    samples=$data/ruby-samples.txt
    line=$(run "$allocator" -s "$samples" -i 10)
    hash=${line##* }
    expected=${expected:-$hash}
    if [ "${line%% *}" != ok ] || [ "$hash" != "$expected" ] || ! seconds=$(median_seconds "$name"); then
        printf '%-12s FAILED\n' "$name"
        result=1
        continue
    fi
    awk 'NR == 1 { start = $1 } { printf "%.3f %d\n", $1 - start, $2 }' "$samples" >"$directory/ruby-$name.dat"
    # The mean is over time: samples are not evenly spaced.
    awk -v name="$name" -v seconds="$seconds" '
        NR > 1 { area += ($1 - last_time) * ($2 + last) / 2 }
        { last_time = $1; last = $2; if ($2 > peak) peak = $2 }
        END { printf "%-12s %8.3f %8.1f %8.1f %9.1f\n", name, seconds, area / last_time / 1024, peak / 1024, last / 1024 }' \
        "$directory/ruby-$name.dat"
done
exit "$result"
