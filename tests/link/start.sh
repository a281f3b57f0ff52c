#!/bin/sh
# Starts a program in an odd way: start.sh WAY LIBMESH PROGRAM. The program's status is the result.
set -u
way=$1 library=$2 program=$3

skip() {
    echo "skipped: $1"
    exit 77
}

case $way in
preloaded)
    LD_PRELOAD=$library exec "$program"
    ;;
empty_environment)
    exec env -i LD_PRELOAD="$library" "$program"
    ;;
closed_descriptors)
    # The statistics at exit have nowhere to go then, which must not matter.
    LD_PRELOAD=$library MALLOCSTATS=1 exec "$program" <&- >&- 2>&-
    ;;
preload_ignored)
    # A static program ignores LD_PRELOAD and brings libmesh itself.
    LD_PRELOAD=$library exec "$program"
    ;;
statistics)
    # A program that brings libmesh itself.
    seen=$(MALLOCSTATS=1 "$program" 2>&1) || exit 1
    case $seen in
    "MESH COUNT:"*) ;;
    *) echo "no statistics at exit, but: $seen"; exit 1 ;;
    esac
    ;;
statistics_after_stderr)
    # A program that closes stderr before the library ends.
    seen=$(LD_PRELOAD=$library MALLOCSTATS=1 "$program" 2>&1) || { echo "$seen"; exit 1; }
    case $seen in
    "MESH COUNT:"*) ;;
    *) echo "no statistics at exit, but: $seen"; exit 1 ;;
    esac
    seen=$(LD_PRELOAD=$library "$program" unasked 2>&1) || { echo "$seen"; exit 1; }
    [ -z "$seen" ] || { echo "not asked for, but: $seen"; exit 1; }
    ;;
setuid)
    [ "$(id -u)" -eq 0 ] || skip "only root can try setuid"
    command -v setpriv >/dev/null || skip "no setpriv"
    copy=$(mktemp -d) || exit 1
    trap 'rm -rf "$copy"' EXIT
    chmod 755 "$copy"
    cp "$program" "$copy/program"
    chmod 4755 "$copy/program"
    setpriv --reuid=65534 --regid=65534 --clear-groups env LD_PRELOAD="$library" MALLOCSTATS=1 "$copy/program"
    ;;
*)
    echo "no way to start called $way"
    exit 1
    ;;
esac
