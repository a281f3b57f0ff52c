#!/bin/sh
# The names in libmesh.a: archive_names.sh LIBMESH ARCHIVE. It takes no more from the program than libmesh.so exports.
set -u
library=$1 archive=$2
failed=0

complain() {
    echo "$1"
    failed=1
}

command -v nm >/dev/null || { echo "skipped: no nm"; exit 77; }

exported=$(nm -D --defined-only "$library" | sed 's/.* //; s/@.*//')
defined=$(nm -g --defined-only "$archive" | sed -n 's/^[0-9a-f]* [A-Za-z] //p')
echo "$defined" | grep -qx malloc || complain "no malloc"
for symbol in $defined; do
    echo "$exported" | grep -qx "$symbol" || complain "global, but not exported by libmesh.so: $symbol"
done

# Of which the linker warns in every static program.
nm -u "$archive" | grep -qw dlopen && complain "refers to dlopen"
exit $failed
