#!/bin/sh
# Runs the workloads of workloads.list under each allocator, interleaved, and prints medians, ratios and means.
#
#   sh bench/run.sh [-n ROUNDS] [-m ROUNDS] [-w PATTERNS] [-a ALLOCATORS] [--csv FILE]
#
#   -n  rounds in which time is taken (5)
#   -m  rounds in which memory is sampled (2; 0 for none): runs of their own, because sampling disturbs times
#   -w  only workloads that match one of these shell patterns, separated by commas: -w 'pair*,redis'
#   -a  allocators, separated by commas (glibc,mimalloc,jemalloc,tcmalloc,libmesh); NAME=PATH adds any other library:
#       -a glibc,before=/tmp/before.so,after=build/libmesh.so
#   --csv  keep a line for each run; print the tables from it again with: awk -f bench/report.awk FILE
set -u
bench=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$bench/common.sh"
programs=$bench/programs

rounds=5 memory_rounds=2 patterns='*' allocators=glibc,mimalloc,jemalloc,tcmalloc,libmesh csv=
while [ $# -gt 0 ]; do
    option=$1
    case $option in
        -n | -m | -w | -a | --csv) [ $# -ge 2 ] || die "$option needs a value" ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    case $option in
        -n) rounds=$2 ;;
        -m) memory_rounds=$2 ;;
        -w) patterns=$2 ;;
        -a) allocators=$2 ;;
        --csv) csv=$2 ;;
    esac
    shift 2
done

need_built
results=${csv:-$data/results.csv}
log=$data/stderr.log

# No pattern may be taken for file names.
set -f
allocators=$(IFS=,; usable_allocators $allocators)
[ -n "$allocators" ] || die "no allocator"
patterns=$(echo "$patterns" | tr ',' ' ')

wanted() {
    for pattern in $patterns; do
        case $1 in $pattern) return 0 ;; esac
    done
    return 1
}

# The lines of the workloads to run, without those whose program is missing.
workloads=$(
    while read -r name needs command; do
        case $name in '' | '#'*) continue ;; esac
        wanted "$name" || continue
        eval "needs=$needs"
        if [ "$needs" != - ] && ! command -v "$needs" >/dev/null; then
            echo "run.sh: $needs is not here, $name left out" >&2
            continue
        fi
        echo "$name $command"
    done <"$bench/workloads.list"
)
[ -n "$workloads" ] || die "no workload"
case $workloads in
    *"\$data/"*) sh "$programs/prepare.sh" "$data" || die "cannot prepare the input files" ;;
esac

# run KIND ROUND: each workload once under each allocator.
run() {
    kind=$1 round=$2
    flags=
    [ "$kind" = memory ] && flags=-m
    echo "$workloads" | while read -r name command; do
        for allocator in $allocators; do
            library=$(allocator_library "$allocator")
            eval "set -- $command"
            line=$("$bin/measure" -p "$library" $flags -t 120 "$@" 2>"$log" </dev/null)
            case $line in
                ok*) ;;
                *) echo "run.sh: FAILED $name under $(allocator_name "$allocator"): ${line:-cannot be run}" \
                        "$(head -c 300 "$log")" >&2 ;;
            esac
            echo "$name $(allocator_name "$allocator") $kind $round ${line:-failed 0 0 0 0 0 0}" | tr ' ' ',' >>"$results"
            case $name in ref-*) break ;; esac
        done
    done
}

echo workload,allocator,kind,round,status,wall,user,system,faults,peak_kb,hash >"$results" || exit 1
round=1
while [ "$round" -le "$rounds" ] || [ "$round" -le "$memory_rounds" ]; do
    [ -t 2 ] && echo "round $round" >&2
    [ "$round" -le "$rounds" ] && run time "$round"
    [ "$round" -le "$memory_rounds" ] && run memory "$round"
    round=$((round + 1))
done
awk -f "$bench/report.awk" "$results"
