#!/bin/sh
# What a small program reads of libmesh.so lies in the mapping in front: front.sh LIBMESH. See src/libmesh.ld.
set -u
library=$1
failed=0

command -v readelf >/dev/null || { echo "skipped: no readelf"; exit 77; }
readelf -SW "$library" | grep -q '\.text\.first' || { echo "skipped: linked without the layout"; exit 77; }

# Reads an smaps file. KiB resident of the library's code, but for its first mapping.
behind_the_front() {
    awk -v name="${library##*/}" '
        /^[0-9a-f]+-[0-9a-f]+ / { code = $2 ~ /x/ && $NF ~ "/" name "$" && found++ }
        /^Rss:/ && code         { sum += $2 }
        END                     { print (found ? sum + 0 : "none found") }'
}

check() {
    seen=$(LD_PRELOAD=$library "$@" | behind_the_front)
    [ "$seen" = 0 ] || {
        echo "$1: resident of the library's code behind the front: $seen (KiB)"
        failed=1
    }
}

check cat /proc/self/smaps
check sed '' /proc/self/smaps
check grep '' /proc/self/smaps
check awk '{ print }' /proc/self/smaps
check head -n 100000 /proc/self/smaps
check sh -c 'while IFS= read -r line; do printf "%s\n" "$line"; done </proc/self/smaps'
exit $failed
