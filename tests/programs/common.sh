# What the scripts here share. Each runs a real program without and with libmesh, and compares: sh SCRIPT LIBMESH
# Every script is a test of its own: status 0 is good, 77 says that the machine lacks the program.

set -u
library=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export LC_ALL=C TZ=UTC

skip() {
    echo "skipped: $1"
    exit 77
}

fail() {
    echo "$1"
    exit 1
}

# The dynamic loader lists what it would load: a program that ignores LD_PRELOAD would make a test of nothing.
require() {
    for program; do
        path=$(command -v "$program") || skip "$program is not installed"
        LD_TRACE_LOADED_OBJECTS=1 LD_PRELOAD="$library" "$path" </dev/null 2>/dev/null | grep -qF "$library" ||
            skip "$program cannot be preloaded"
    done
}

run_without() {
    env -u LD_PRELOAD "$@"
}

run_with() {
    env LD_PRELOAD="$library" "$@"
}

# Runs a command on both sides, each in a directory of its own. Output, status and all files left must be the same.
compare() {
    for side in without with; do
        mkdir -p "$work/$side"
        (cd "$work/$side" && run_$side "$@") >"$work/$side/output" 2>&1 </dev/null
        status=$?
        if [ $status -ne 0 ]; then
            tail -n 20 "$work/$side/output"
            fail "status $status $side libmesh: $*"
        fi
    done
    if ! diff -r "$work/without" "$work/with" >"$work/difference"; then
        head -n 20 "$work/difference"
        fail "not the same with libmesh: $*"
    fi
    echo "same $(wc -c <"$work/with/output") bytes of output: $*"
    rm -rf "$work/with" "$work/without"
}
