#!/bin/sh
# Runs a misuse program and judges its end: expect_abort.sh LIBMESH PROGRAM WORD...
# It must die of SIGABRT, and its first line on stderr must be exactly "libmesh: WORD of POINTER", with one of the
# words given ("double free", "invalid free") and the pointer that it announced on stdout.
set -u
library=$1 program=$2
shift 2

ulimit -c 0
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT
# The sub-shell keeps this shell's own "Aborted" off the program's stderr.
(LD_PRELOAD=$library "$program" >"$directory/stdout" 2>"$directory/stderr"; exit $?) 2>/dev/null
status=$?
pointer=$(head -n 1 "$directory/stdout")
first=$(head -n 1 "$directory/stderr")
echo "status $status, first line: $first"
if [ $status -ne 134 ]; then
    echo "expected 134, which is SIGABRT"
    exit 1
fi
for word; do
    [ "$first" = "libmesh: $word of $pointer" ] && exit 0
    echo "expected: libmesh: $word of $pointer"
done
exit 1
