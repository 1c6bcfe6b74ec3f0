#!/bin/sh
# with_cuda.sh PROGRAM…: runs a test that needs a CUDA device. Without one it is skipped, and says why; an emulated device
# is always there, so that its absence is a failure of the program itself.
devices=$("${DUEL_BINARY:?}/duel" info devices | sed -n 's/^cuda  *//p')
case $DUEL_CUDA_KIND:$devices in
EMULATOR:* | *:works*) exec "$@" ;;
*)
  echo "ok 1 # SKIP no CUDA device: $devices"
  exit 77
  ;;
esac
