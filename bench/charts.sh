#!/bin/sh
# Runs the Redis, Ruby and synthetic fragmentation workloads and draws memory over time, one SVG file for each.
#
#   sh bench/charts.sh [-o DIRECTORY] [ALLOCATOR...]
#
#   -o  where the charts go (bench/charts)
#
# Allocators: glibc jemalloc mimalloc libmesh unless given; NAME=PATH is any other library. Needs gnuplot, and
# redis-server and ruby for their charts.
set -u
bench=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$bench/common.sh"

charts=$bench/charts
while getopts o:h letter; do
    case $letter in
        o) charts=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- glibc jemalloc mimalloc libmesh
command -v gnuplot >/dev/null || die "gnuplot is needed"
need_built frag_synthetic
allocators=$(usable_allocators "$@")
[ -n "$allocators" ] || die "no allocator"
# shellcheck disable=SC2086
set -- $allocators
samples=$data/charts
mkdir -p "$charts" "$samples" || exit 1
rm -f "$samples"/*.dat

# The same colour for an allocator in every chart.
colour() {
    case $1 in
        glibc) echo '#7f7f7f' ;;
        jemalloc) echo '#ff7f0e' ;;
        mimalloc) echo '#1f77b4' ;;
        tcmalloc) echo '#9467bd' ;;
        libmesh) echo '#d62728' ;;
        *) echo '#2ca02c' ;;
    esac
}

# draw WORKLOAD TITLE: charts/WORKLOAD.svg from WORKLOAD-ALLOCATOR.dat.
draw() {
    plots=
    for allocator in $allocators; do
        name=$(allocator_name "$allocator")
        file=$samples/$1-$name.dat
        [ -s "$file" ] || continue
        width=1.5
        [ "$name" = libmesh ] && width=2.5
        plots="$plots${plots:+, }'$file' using 1:(\$2/1024) with lines linewidth $width linecolor rgb '$(colour "$name")' title '$name'"
    done
    [ -n "$plots" ] || return 1
    gnuplot <<END || return 1
set terminal svg size 800,400 background '#ffffff' font 'sans-serif,13'
set output '$charts/$1.svg'
set title "$2" noenhanced
set xlabel 'seconds'
set ylabel 'resident memory (Pss), MB'
set yrange [0:*]
set grid ytics linecolor rgb '#dddddd'
set border 3
set tics nomirror out
set key outside right top
plot $plots
END
    echo "drew $charts/$1.svg"
}

result=0
if command -v redis-server >/dev/null; then
    sh "$bench/redis_frag.sh" -d "$samples" "$@" || result=1
    draw redis 'Redis: 700,000 values of 240 bytes, then 170,000 of 492, 100 MB kept' || result=1
else
    echo "charts.sh: no redis-server, no chart of it" >&2
fi
echo
if command -v ruby >/dev/null; then
    sh "$bench/ruby_frag.sh" -d "$samples" -n 1 "$@" || result=1
    draw ruby 'Ruby: strings of doubling length, three quarters dropped in each round' || result=1
else
    echo "charts.sh: no ruby, no chart of it" >&2
fi
echo
for allocator in "$@"; do
    name=$(allocator_name "$allocator")
    printf '%-12s ' "$name"
    LD_PRELOAD=$(allocator_library "$allocator") "$bin/frag_synthetic" 256 3 1 4 200 "$samples/raw" || result=1
    awk 'NR == 1 { start = $1 } { printf "%.3f %d\n", $1 - start, $2 }' "$samples/raw" >"$samples/synthetic-$name.dat"
done
draw synthetic 'Synthetic: 200 MB of 256-byte objects, one in three kept at random' || result=1
exit "$result"
