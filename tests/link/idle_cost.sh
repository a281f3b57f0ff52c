#!/bin/sh
# What libmesh costs a trivial program: idle_cost.sh LIBMESH IDLE. The least of several runs on each side is compared,
# because Pss moves with what else maps the same libraries.
set -u
library=$1 idle=$2
limit=300

least() {
    for run in 1 2 3 4 5 6 7; do
        env "$@" "$idle"
    done | sort -n | head -n 1
}

without=$(least -u LD_PRELOAD)
with=$(least LD_PRELOAD="$library")
if [ "$without" -eq 0 ]; then
    echo "skipped: no /proc/self/smaps_rollup"
    exit 77
fi
echo "Pss of a trivial program: $without KiB without libmesh, $with KiB with it"
[ $((with - without)) -le $limit ]
