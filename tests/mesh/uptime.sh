#!/bin/sh
# Meshing on a machine that has been up for a month, when milliseconds need more than 31 bits: uptime.sh LIBMESH MESH_CHECK
set -u
library=$1 check=$2
skip() {
    echo "skipped: $1"
    exit 77
}
command -v unshare >/dev/null || skip "no unshare"
for days in 30 45; do
    unshare --time --monotonic $((days * 86400)) true 2>/dev/null || skip "no time namespace may be made here"
    unshare --time --monotonic $((days * 86400)) -- env LD_PRELOAD="$library" "$check" 32 || exit # with its status
done
