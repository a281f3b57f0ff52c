#!/bin/sh
# Meshing on a machine that has been up for a month: uptime.sh LIBMESH MESH_CHECK. Milliseconds have more than 31 bits by then.
set -u
library=$1 check=$2
command -v unshare >/dev/null || { echo "skipped: no unshare"; exit 77; }
for days in 30 45; do
    unshare --time --monotonic $((days * 86400)) true 2>/dev/null || { echo "skipped: no time namespace may be made here"; exit 77; }
    unshare --time --monotonic $((days * 86400)) -- env LD_PRELOAD="$library" "$check" 32 || exit 1
done
