#!/bin/sh
# The interface of libmesh.so: exports.sh LIBMESH. It defines the whole family and needs nothing but libc.
set -u
library=$1
failed=0

complain() {
    echo "$1"
    failed=1
}

for tool in nm readelf; do
    command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done

defined=$(nm -D --defined-only "$library" | sed 's/.* //; s/@.*//')
# Sizes and alignments are unsigned long (m), or unsigned int (j) where pointers have 32 bits.
for symbol in malloc calloc realloc reallocarray free cfree posix_memalign aligned_alloc memalign valloc pvalloc \
    malloc_usable_size free_sized free_aligned_sized malloc_trim malloc_stats malloc_info mallinfo mallinfo2 mallopt \
    _Znwm _Znam _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t \
    _ZnwmSt11align_val_t _ZnamSt11align_val_t _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t \
    _ZdlPv _ZdaPv _ZdlPvRKSt9nothrow_t _ZdaPvRKSt9nothrow_t _ZdlPvm _ZdaPvm \
    _ZdlPvSt11align_val_t _ZdaPvSt11align_val_t _ZdlPvSt11align_val_tRKSt9nothrow_t \
    _ZdaPvSt11align_val_tRKSt9nothrow_t _ZdlPvmSt11align_val_t _ZdaPvmSt11align_val_t; do
    echo "$defined" | grep -qx "$symbol" || complain "not exported: $symbol"
done

for needed in $(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $needed in
    libc.so.* | ld-linux* | libpthread.so.* | libdl.so.*) ;;
    *) complain "needs $needed" ;;
    esac
done

# All else that is exported must be libmesh's by name, or stand in for a function of libc.
libc=$(ldd "$library" | sed -n 's/.*libc\.so[^>]*=> *\([^ ]*\).*/\1/p')
in_libc=$(nm -D --defined-only "$libc" | sed 's/.* //; s/@.*//' | sort -u)
for symbol in $defined; do
    case $symbol in
    mesh_* | _Zn* | _Zd* | cfree | free_sized | free_aligned_sized) ;;
    *) echo "$in_libc" | grep -qx "$symbol" || complain "exported by oversight: $symbol" ;;
    esac
done

# What libc has under several names is wrapped under all of them; the allocator's own excepted, whom nobody calls.
nm -D --defined-only "$libc" | awk -v ours="$defined" '
    BEGIN { n = split(ours, list, "\n"); for (i = 1; i <= n; i++) exported[list[i]] = 1 }
    /GLIBC_PRIVATE/ { next }
    { sub(/@.*/, "", $3); at[$3] = $1; if ($3 in exported) wrapped[$1] = $3 }
    END { for (name in at) if (at[name] in wrapped && !(name in exported) && name !~ /^__libc_/)
        print name, wrapped[at[name]] }' >"${TMPDIR:-/tmp}/exports.$$"
while read -r name other; do
    complain "exported as $other, but not as $name"
done <"${TMPDIR:-/tmp}/exports.$$"
rm -f "${TMPDIR:-/tmp}/exports.$$"
exit $failed
