#!/bin/sh
. "$(dirname "$0")/common.sh"
require sh awk sort tar xz

cat >"$work/session.sh" <<'END'
set -e
mkdir tree
awk 'BEGIN {
    x = 1
    for (n = 0; n < 300000; n++) {
        x = x * 16807 % 2147483647
        print x, "word" x % 1000, n >("tree/part" n % 50)
    }
}'
cat tree/part* | sort -n -S 8M -T . --parallel=2 | cksum
cat tree/part* | sort -k2,2 -k3,3nr | cksum
cat tree/part* | sort -u -k2,2 | cksum
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf tree.tar tree
cksum <tree.tar
xz -6 -T2 --block-size=2MiB -k tree.tar
xz -t tree.tar.xz
mkdir again
xz -dc tree.tar.xz | tar -xf - -C again
diff -r tree again/tree
tar -tvf tree.tar | awk '{ bytes += $3 } END { print NR, bytes }'
rm -rf tree again tree.tar
END
compare sh "$work/session.sh"
