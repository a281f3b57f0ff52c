#!/bin/sh
# check_layers.sh SRC: fails if a file in SRC includes a header of a layer above its own.
#
# SRC/LAYERS lists the layers, top first, one to a line: file names without their ending, separated by
# spaces; '#' begins a comment. A header that is not in SRC is no business of the layers.
set -eu
cd "$1"
set -- *.c *.h
awk '
  FILENAME == "LAYERS" {
    sub(/#.*/, "")
    if (NF > 0) layers++
    for (i = 1; i <= NF; i++) {
      if ($i in layer) complain("LAYERS: " $i " is listed twice")
      layer[$i] = layers
    }
    next
  }
  FNR == 1 {
    stem = FILENAME
    sub(/\.[ch]$/, "", stem)
    present[stem] = 1
    if (layers > 0 && !(stem in layer)) complain(FILENAME ": not listed in LAYERS")
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    header = $0
    sub(/^[^"]*"/, "", header)
    sub(/".*/, "", header)
    sub(/\.h$/, "", header)
    if (header in layer && stem in layer && layer[header] < layer[stem])
      complain(FILENAME ":" FNR ": includes " header ".h from a layer above")
  }
  END {
    if (layers == 0) complain("LAYERS: empty")
    for (name in layer) if (!(name in present)) complain("LAYERS: no file is called " name)
    exit failed
  }
  function complain(what) {
    print what
    failed = 1
  }
' LAYERS "$@"
