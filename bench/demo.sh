#!/bin/sh
# Builds libmesh and shows what it is for: a redis-server whose memory is fragmented, with glibc's malloc and with
# libmesh, and how much memory each ends up with. Takes about half a minute.
#
#   sh bench/demo.sh
#
# Installs cmake, a C compiler and redis-server with apt-get where they are missing and it may (as root, or with a sudo
# that asks no password). Without redis-server a small cache of our own takes its place.
set -u
bench=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$bench/common.sh"

have() { command -v "$1" >/dev/null 2>&1; }
have_compiler() { have cc || have gcc || have clang; }

install_missing() {
    packages=
    have cmake || packages="$packages cmake"
    have make || have ninja || packages="$packages make"
    have_compiler || packages="$packages gcc libc6-dev"
    have redis-server && have redis-cli || packages="$packages redis-server"
    [ -n "$packages" ] || return 0

    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        if have sudo && sudo -n true 2>/dev/null; then as_root='sudo -n'; else as_root=none; fi
    fi
    if ! have apt-get || [ "$as_root" = none ]; then
        echo "demo.sh: missing, and cannot be installed from here:$packages" >&2
        return 1
    fi
    echo "Installing:$packages"
    # shellcheck disable=SC2086
    { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } \
        >"$log" 2>&1 || { echo "demo.sh: apt-get failed:" >&2; tail -n 5 "$log" >&2; return 1; }
}

build_libmesh() {
    have cmake || die "cmake is needed (Debian: apt-get install cmake make gcc)"
    have_compiler || die "a C compiler is needed (Debian: apt-get install gcc libc6-dev)"
    echo "Building libmesh in $build"
    { cmake -S "$root" -B "$build" -DMESH_BUILD_BENCH=ON && cmake --build "$build" -j 4; } >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "the build failed"; }
    [ -r "$build/libmesh.so" ] || die "the build made no $build/libmesh.so"
}

# Prints NAME PEAK END, in MB, for each allocator.
run_redis() {
    sh "$bench/redis_frag.sh" -d "$work" glibc libmesh >"$work/table" || { cat "$work/table" >&2; return 1; }
    awk '$1 == "glibc" || $1 == "libmesh" { print $1, $4, $5 }' "$work/table"
}

run_cache() {
    for allocator in glibc libmesh; do
        line=$("$bin/measure" -p "$(allocator_library "$allocator")" -m "$bin/cache" 100 700000 240 170000 492 6 2>"$work/resident")
        [ "${line%% *}" = ok ] || return 1
        # shellcheck disable=SC2086
        set -- $line
        awk -v name="$allocator" -v peak="$6" '/^resident/ { printf "%s %.1f %.1f\n", name, peak / 1024, $2 / 1024 }' "$work/resident"
    done
}

print_result() {
    awk '
        { peak[$1] = $2; end[$1] = $3 }
        END {
            if (!("glibc" in end) || !("libmesh" in end)) exit 1
            printf "\n%-10s %12s %14s\n", "", "highest", "6 s later"
            printf "%-10s %9.1f MB %11.1f MB\n", "glibc", peak["glibc"], end["glibc"]
            printf "%-10s %9.1f MB %11.1f MB\n", "libmesh", peak["libmesh"], end["libmesh"]
            printf "%-10s %12s %11.1f MB (%.0f%%)\n", "saved", "", end["glibc"] - end["libmesh"], 100 * (1 - end["libmesh"] / end["glibc"])
        }' "$1"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/mesh_demo.XXXXXX") || exit 1
log=$work/log
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

install_missing || echo "demo.sh: going on with what is there" >&2
build_libmesh
need_built cache
usable=$(usable_allocators glibc libmesh | wc -l)
[ "$usable" -eq 2 ] || die "glibc or libmesh cannot be preloaded"

if have redis-server && have redis-cli; then
    echo "Running redis-server twice, 12 s each: 250 MB of short values, then 90 MB of longer ones, of which it may keep 100 MB"
    run_redis >"$work/result" || die "the Redis workload failed"
else
    echo "No redis-server here. Running a cache of our own twice, 8 s each: 250 MB of short values, then 90 MB of longer"
    echo "ones, of which it may keep 100 MB"
    run_cache >"$work/result" || die "the cache failed"
fi
echo "Resident memory (Pss), 100 MB being in use:"
print_result "$work/result" || die "no result"
