#!/bin/sh
# Builds the libraries with another compiler: compiler.sh COMPILER SOURCE BINARY
# A cross compiler's machine is the first word of its name.
set -u
compiler=$1 source=$2 binary=$3/$1

if ! command -v "$compiler" >/dev/null; then
    echo "skipped: no $compiler"
    exit 77
fi
system=
case $compiler in
*-linux-gnu-*) system="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=${compiler%%-*}" ;;
esac

cmake -S "$source" -B "$binary" -DCMAKE_C_COMPILER="$compiler" $system \
    -DMESH_BUILD_TESTS=OFF -DMESH_BUILD_BENCH=OFF || exit 1
cmake --build "$binary" -j "$(nproc)" || exit 1
[ -f "$binary/libmesh.so" ] && [ -f "$binary/libmesh.a" ]
