#!/bin/sh
# Builds and tests one of the presets in CMakePresets.json, in its own directory: preset.sh PRESET SOURCE
set -u
preset=$1
cd "$2" || exit 1

skip() {
    echo "skipped: $1"
    exit 77
}

cmake --list-presets >/dev/null 2>&1 || skip "this cmake knows no presets"

# A sanitizer may be missing, or fail to start on a kernel that randomises more address bits than it expects.
case $preset in
asan) flags=-fsanitize=address,undefined ;;
ubsan) flags=-fsanitize=undefined ;;
tsan) flags=-fsanitize=thread ;;
*) flags= ;;
esac
probe=$(mktemp) || exit 1
trap 'rm -f "$probe"' EXIT
echo 'int main(void) { return 0; }' | ${CC:-cc} $flags -x c - -o "$probe" 2>/dev/null || skip "no $flags here"
launcher=
if ! "$probe" >/dev/null 2>&1; then
    launcher="setarch -R"
    $launcher "$probe" >/dev/null 2>&1 || skip "programs built with $flags do not run here"
fi

cmake --preset "$preset" -DMESH_TEST_BUILDS=OFF -DMESH_BUILD_BENCH=OFF || exit 1
cmake --build "build-$preset" -j "$(nproc)" || exit 1
cd "build-$preset" || exit 1

export ASAN_OPTIONS=detect_stack_use_after_return=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
# What takes long and would say nothing that it does not say of the release build is left out.
$launcher ctest --output-on-failure --timeout 300 -LE 'programs|measure' -E '[.]preloaded$'
