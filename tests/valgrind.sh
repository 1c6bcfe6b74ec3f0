#!/bin/sh
# A short training, its picture and the quicker tests under valgrind; a leak is an error too. Speaks TAP. DUEL_BINARY names
# the build tree.
set -u
. "$(dirname "$0")/tap.sh"
binary=${DUEL_BINARY:?}
home=$(mktemp -d) || exit 1
trap 'rm -rf "$home"' EXIT

memcheck() { # NAME COMMAND…
  name=$1
  shift
  valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite "$@" \
    >"$home/log" 2>&1
  verdict $? "$name" "$home/log"
}

command -v valgrind >/dev/null 2>&1 || { skip "there is no valgrind"; finish; }
memcheck "a training" "$binary/duel" train --data synthetic:shapes --limit 64 --steps 3 --batch 16 --threads 2 --outdir "$home"
memcheck "its picture" "$binary/duel" generate latest --outdir "$home" --count 4 --threads 2 --out "$home/grid.png"
for name in base data graph io json rewrites recipe recipe_merge safetensors; do
  memcheck "test_$name" "$binary/tests/test_$name"
done
finish
