# Sourced by the scripts beside it, after they have set "bench" to this directory. Where things are, and the allocators.

root=$(CDPATH= cd -- "$bench/.." && pwd)
build=${MESH_BUILD:-$root/build}
bin=$build/bench
data=$bin/data  # files the benchmarks make for themselves

# LD_PRELOAD is a list separated by both.
case $build in *[\ :]*) echo "the path $build must have no space and no colon" >&2; exit 1 ;; esac

# An allocator must come from us and not from the caller's environment.
unset LD_PRELOAD

# The system's python3, because a version manager's is often a shell script that would be measured too.
PYTHON3=/usr/bin/python3
[ -x "$PYTHON3" ] || PYTHON3=python3

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# The comment at the top of the script.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

need_built() {
    for program in measure "$@"; do
        [ -x "$bin/$program" ] || die "$bin/$program is missing: cmake -B '$build' '$root' && cmake --build '$build'"
    done
    mkdir -p "$data"
}

# Prints the first path that the loader knows for a library whose name begins with $1, and 1 if there is none.
library() {
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | awk -v name="$1" 'index($1, name) == 1 { print $NF; found = 1; exit } END { exit !found }'
}

# Prints the library to preload for an allocator: a known name, or NAME=PATH for any other, such as another build.
# libc is preloaded by name for glibc, because some programs (Debian's redis-server) are linked with another allocator.
allocator_library() {
    case $1 in
        *=*) echo "${1#*=}" ;;
        glibc) library libc.so.6 ;;
        mimalloc) library libmimalloc.so ;;
        jemalloc) library libjemalloc.so ;;
        tcmalloc) library libtcmalloc_minimal.so ;;
        libmesh) [ -r "$build/libmesh.so" ] && echo "$build/libmesh.so" ;;
        *) die "unknown allocator $1: neither glibc, mimalloc, jemalloc, tcmalloc, libmesh nor NAME=PATH" ;;
    esac
}

allocator_name() { echo "${1%%=*}"; }

# Copies a library that may be built again during a run: prints the allocator as NAME=COPY.
snapshot() {
    copy=$data/snapshot-$$-$1.so
    cp "$2" "$copy" && echo "$1=$copy"
}

# Prints those of the allocators that are there and can be loaded, and names the others on standard error. Libraries of
# our own are copied first, so the names printed are the ones to use from then on.
usable_allocators() {
    find "$data" -name 'snapshot-*.so' -mtime +0 -exec rm -f {} +
    for allocator in "$@"; do
        if ! path=$(allocator_library "$allocator") || [ ! -r "$path" ]; then
            echo "${0##*/}: $(allocator_name "$allocator") is not here, left out" >&2
        # The loader goes on without a library that it cannot load, and says so.
        elif complaint=$(LD_PRELOAD=$path sh -c : 2>&1) && [ -z "$complaint" ]; then
            case $allocator in
                libmesh | *=*) snapshot "$(allocator_name "$allocator")" "$path" || exit 1 ;;
                *) echo "$allocator" ;;
            esac
        else
            echo "${0##*/}: $(allocator_name "$allocator") cannot be loaded, left out: $complaint" >&2
        fi
    done
}
