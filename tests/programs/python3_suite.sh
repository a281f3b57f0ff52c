#!/bin/sh
# Python's own tests of what touches memory, threads and processes, with Python's objects on malloc.
#
#   sh python3_suite.sh LIBMESH [MODULE...]
. "$(dirname "$0")/common.sh"
require python3
python3 -c 'import test.test_list, test.test_mmap' 2>/dev/null || skip "Python's test package is not installed"

export PYTHONMALLOC=malloc
[ $# -gt 1 ] || set -- "$1" test_array test_bytes test_ctypes test_deque test_dict test_epoll test_faulthandler test_fork1 \
    test_gc test_json test_list test_mmap test_pickle test_poll test_re test_select test_struct test_thread test_weakref
shift

# Virtual machines' sockets hang where there is no such machine, with any allocator.
run_module() {
    (cd "$work" && run_"$1" python3 -m test -i '*VSOCK*' "$2") >"$work/$1" 2>&1 </dev/null
}

for module; do
    if run_module with "$module"; then
        echo "passes: $module"
    elif run_module without "$module"; then
        cat "$work/with"
        fail "fails with libmesh: $module"
    else
        echo "fails without libmesh too: $module"
    fi
done
