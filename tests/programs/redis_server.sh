# A redis-server, on a socket in $work; one at a time. For scripts that have read common.sh.

require redis-server redis-cli awk

# Redis 7 wants to be asked for DEBUG; older ones know no such option.
debug_option="--enable-debug-command yes"
redis-server --version | grep -qE 'v=([0-6])\.' && debug_option=

ask() {
    redis-cli -s "$work/socket" "$@"
}

# The value of a line of INFO: info SECTION NAME
info() {
    ask info "$1" | tr -d '\r' | sed -n "s/^$2://p"
}

wait_for_info() {
    for attempt in $(seq 600); do
        [ "$(info "$1" "$2")" = "$3" ] && return
        sleep 0.05
    done
    fail "redis-server still has $2:$(info "$1" "$2")"
}

# start_server SIDE DIRECTORY [OPTION...]: SIDE is with or without, and the log is DIRECTORY.log
start_server() {
    side=$1 directory=$2
    shift 2
    mkdir -p "$directory"
    run_"$side" redis-server --port 0 --unixsocket "$work/socket" --dir "$directory" --save '' --daemonize no \
        $debug_option "$@" >"$directory.log" 2>&1 &
    server=$!
    for attempt in $(seq 600); do
        [ "$(ask ping 2>/dev/null)" = PONG ] && break
        kill -0 $server 2>/dev/null || { cat "$directory.log"; fail "redis-server does not start $side libmesh"; }
        sleep 0.05
    done
    if [ "$side" = with ]; then
        grep -qF "$library" "/proc/$(info server process_id)/maps" || fail "redis-server does not run on libmesh"
    fi
}

# Its status is the server's.
stop_server() {
    [ -n "$server" ] || return
    ask shutdown nosave >/dev/null 2>&1
    wait "$server"
    status=$?
    server=
    return $status
}

server=
trap 'stop_server; rm -rf "$work"' EXIT
