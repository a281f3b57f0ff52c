#!/bin/sh
# Fragmentation of objects of one size: resident over live bytes after frag_synthetic, for each allocator.
#
#   sh bench/synthetic.sh [-s SECONDS] [-m MEGABYTES] [-c CASES] [-t THREADS] [ALLOCATOR...]
#
#   -s  seconds of churn in each run (4)
#   -m  megabytes of objects (200)
#   -c  cases, as SIZE:KEEP separated by commas, one in KEEP being kept
#       (16:16,48:8,64:5,128:4,256:3,512:2,1024:2,2048:2,mixed:4)
#   -t  numbers of threads, separated by commas (1,4)
#
# Allocators: glibc jemalloc mimalloc libmesh unless given; NAME=PATH is any other library.
set -u
bench=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$bench/common.sh"

seconds=4 megabytes=200 threads=1,4
cases=16:16,48:8,64:5,128:4,256:3,512:2,1024:2,2048:2,mixed:4
while getopts s:m:c:t:h letter; do
    case $letter in
        s) seconds=$OPTARG ;;
        m) megabytes=$OPTARG ;;
        c) cases=$OPTARG ;;
        t) threads=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- glibc jemalloc mimalloc libmesh
need_built frag_synthetic
allocators=$(usable_allocators "$@")
[ -n "$allocators" ] || die "no allocator"
results=$data/synthetic.txt
: >"$results"

printf '%-7s %-5s %-7s' size keep threads
for allocator in $allocators; do printf ' %12s' "$(allocator_name "$allocator")"; done
printf '   resident / live bytes\n'
for count in $(echo "$threads" | tr ',' ' '); do
    for case in $(echo "$cases" | tr ',' ' '); do
        size=${case%:*} keep=${case#*:}
        printf '%-7s %-5s %-7s' "$size" "1/$keep" "$count"
        for allocator in $allocators; do
            line=$(LD_PRELOAD=$(allocator_library "$allocator") "$bin/frag_synthetic" "$size" "$keep" "$count" "$seconds" "$megabytes")
            ratio=$(echo "$line" | sed -n 's/.*ratio=\([0-9.]*\).*/\1/p')
            printf ' %12s' "${ratio:-FAILED}"
            echo "allocator=$(allocator_name "$allocator") ${line:-FAILED}" >>"$results"
        done
        echo
    done
done

# A failed run counts nowhere, so a mean beside one is marked.
printf '%-21s' 'geometric mean'
for allocator in $allocators; do
    awk -v wanted="allocator=$(allocator_name "$allocator")" '
        $1 == wanted { if ($2 == "FAILED") failed = 1; else { split($7, part, "="); sum += log(part[2]); count++ } }
        END { printf " %12s", count ? sprintf("%.3f", exp(sum / count)) (failed ? "!" : "") : "FAILED" }' "$results"
done
echo
