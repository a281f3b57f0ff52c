#!/bin/sh
# check_layers.sh accepts what it should, and nothing else.
set -eu
check=$(dirname "$0")/check_layers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

# expect STATUS WHAT: runs the check over the tree.
expect() {
  status=0
  sh "$check" "$tree" >"$tree/output" || status=$?
  [ "$status" -eq "$1" ] && return
  echo "$2: exit status $status, not $1"
  cat "$tree/output"
  failures=1
}

reset() {
  printf '# top first\nhigh  # the highest\nmid also_mid\n\nlow\n' >"$tree/LAYERS"
  printf '#include <stdio.h>\n#include "mid.h"\n#include "low.h"\n' >"$tree/high.c"
  printf '#include "low.h"\n' >"$tree/mid.h"
  printf '#include "mid.h"\n#include "public.h"\n' >"$tree/also_mid.c"
  printf '/* #include "mid.h" */\n' >"$tree/low.h"
}

reset; expect 0 "a tree in order"
reset; echo '#include "high.h"' >>"$tree/mid.h"; expect 1 "a header that points up"
reset; printf '  # include "mid.h"\n' >>"$tree/low.h"; expect 1 "spaces before the directive"
reset; echo >"$tree/new.c"; expect 1 "a file without a layer"; rm "$tree/new.c"
reset; echo gone >>"$tree/LAYERS"; expect 1 "a layer without a file"
reset; echo low >>"$tree/LAYERS"; expect 1 "a file in two layers"
reset; : >"$tree/LAYERS"; expect 1 "no layers"
exit $failures
