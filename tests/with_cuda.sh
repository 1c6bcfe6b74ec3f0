#!/bin/sh
# with_cuda.sh PROGRAM…: runs a test that needs a CUDA device. Without one it is skipped, and says why.
devices=$("${DUEL_BINARY:?}/duel" info devices | sed -n 's/^cuda  *//p')
case $devices in
works*) exec "$@" ;;
*)
  echo "ok 1 # SKIP no CUDA device: $devices"
  exit 77
  ;;
esac
