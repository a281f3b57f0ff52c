#!/bin/sh
# All tests, from a clean clone, in any directory: sh tests/run.sh
# Installs what is missing where it may, says what it could not, builds, and ends in CTest's summary.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1

# A command that shows whether a package is there, and Debian's name of the package.
wanted="cmake:cmake make:make gcc:gcc g++:g++ nm:binutils pkg-config:pkg-config python3:python3 perl:perl
    ruby:ruby git:git redis-server:redis-server redis-benchmark:redis-tools node:nodejs sqlite3:sqlite3 bash:bash xz:xz-utils"

# The package with Python's own tests, which carries Python's version.
python_tests() {
    python3 -c '
import sys
try:
    import test.test_list
except ImportError:
    print("libpython%d.%d-testsuite" % sys.version_info[:2])' 2>/dev/null
}

missing_packages() {
    for pair in $wanted; do
        command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done
    [ -f /usr/include/cmocka.h ] || pkg-config --exists cmocka 2>/dev/null || echo libcmocka-dev
    python_tests
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# One by one, so that a package that this system does not have keeps none of the others away.
install_packages() {
    [ $# -gt 0 ] || return
    command -v apt-get >/dev/null && as_root true 2>/dev/null || return
    as_root apt-get update -q >/dev/null 2>&1
    for package; do
        echo "installing $package"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" \
            </dev/null >/dev/null 2>&1
    done
}

missing=$(missing_packages)
if [ -n "$missing" ]; then
    install_packages $missing
    install_packages $(python_tests) # which nobody could name before there was a Python
    missing=$(missing_packages)
    [ -z "$missing" ] || echo "not installed, so tests that need it are skipped:" $missing
fi

cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release -DMESH_BUILD_TESTS=ON &&
    cmake --build "$root/build" -j "$(nproc)" &&
    cd "$root/build" || exit 1
# One more at a time than there are processors: some sleep most of the time.
exec ctest --output-on-failure --timeout 300 -j $(($(nproc) + 1))
