#!/bin/sh
# Runs a program with libmesh preloaded as a user without privileges: as_nobody.sh LIBRARY PROGRAM [ARGUMENT...]
library=$1
shift
[ "$(id -u)" = 0 ] && command -v setpriv >/dev/null || exit 77
# The build may lie where nobody may look.
place=$(mktemp -d) || exit 77
trap 'rm -rf "$place"' EXIT
cp "$library" "$place/libmesh.so" && cp "$1" "$place/program" && chmod -R a+rX "$place" || exit 77
shift
setpriv --reuid 65534 --regid 65534 --clear-groups env LD_PRELOAD="$place/libmesh.so" "$place/program" "$@"
