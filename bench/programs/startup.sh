#!/bin/sh
# Many processes that do nothing: startup.sh COUNT
# env, because the shell has a "true" of its own, which would start no process.
env=$(command -v env) || exit 1
i=0
while [ "$i" -lt "$1" ]; do
    "$env" >/dev/null || exit 1
    i=$((i + 1))
done
echo "$i started"
