#!/bin/sh
# What the command says where CUDA cannot work, each with its exit code: on the emulator, which plays the machine.
# DUEL_BINARY names the build tree, DUEL_CUDA_LIBRARY the emulated library. Speaks TAP.
set -u
. "$(dirname "$0")/tap.sh"
duel=${DUEL_BINARY:?}/duel
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect CODE TEXT NAME ENVIRONMENT… -- FLAGS…: duel train with the flags ends so and says so
expect() {
  code=$1 text=$2 name=$3
  shift 3
  set -- env "$@"
  line=$(printf '%s ' "$@")
  case $line in *" -- "*) ;; *) echo "Bail out! expect without --"; exit 1 ;; esac
  eval "${line%% -- *} \"$duel\" train --data synthetic:shapes --limit 64 --batch 8 --steps 2 --outdir \"$work\" ${line#* -- }" \
    >"$work/log" 2>&1
  got=$?
  if [ "$got" = "$code" ] && grep -q -- "$text" "$work/log"; then
    verdict 0 "$name"
  else
    verdict 1 "$name: exit $got, not $code, or no '$text'" "$work/log"
  fi
}

expect 0 "Emulated GPU" "a device" -- --backend cuda --precision fp32
expect 0 "Backend:    cpu" "auto takes the CPU where there is no driver" -- --backend auto
expect 5 "no NVIDIA GPU is visible" "no device" CUEMU_DEVICES=0 -- --backend cuda
expect 5 "driver is too old" "an old driver" CUEMU_DRIVER=old -- --backend cuda
expect 2 "there is no GPU 3; this machine has 1" "a number without a device" -- --backend cuda --device 3
expect 2 "there are auto, fp32, tf32, bf16" "a precision without meaning" -- --backend cuda --precision fp8
expect 5 "the device is lost" "a fault that stays, and keeps the memory" ASAN_OPTIONS=detect_leaks=0 CUEMU_FAIL=sync:3:sticky -- --backend cuda
expect 5 "MiB are free" "a device without room" CUEMU_MEMORY=140663296 -- --backend cuda
expect 2 "DUEL_CUDA_LANES is 1 or 4" "lanes without meaning" DUEL_CUDA_LANES=3 -- --backend cuda
expect 0 "tf32, 1 lane" "one lane" DUEL_CUDA_LANES=1 -- --backend cuda
expect 0 "warning: products are computed in fp32: bf16 needs" "a GPU without bf16" CUEMU_DEVICES=7.5 -- --backend cuda --precision bf16
expect 5 "this build has no code for this GPU" "a GPU without code" CUEMU_DEVICES=7.0 -- --backend cuda
expect 0 "warning: steps are not captured" "a capture that fails" CUEMU_FAIL=capture:3:forever -- --backend cuda
expect 5 "the device is lost" "a device that is lost in a capture" ASAN_OPTIONS=detect_leaks=0 CUEMU_FAIL=capture:2:sticky -- --backend cuda
driver=LD_LIBRARY_PATH=$DUEL_BINARY/tests/cuemu/driver
expect 0 "Backend:    cuda" "auto takes the GPU where there is a driver" $driver -- --backend auto
expect 0 "Backend:    cpu" "auto takes the CPU where the GPU has no code" $driver CUEMU_DEVICES=7.0 -- --backend auto
expect 0 "warning: the CPU trains, not a GPU: .*no code for this GPU" "and says why" $driver CUEMU_DEVICES=7.0 -- --backend auto
expect 0 "Backend:    cuda" "auto looks at the device that is asked for" $driver CUEMU_DEVICES=7.0,9.0 -- --backend auto --device 1
expect 0 "Backend:    cpu" "and at no other" $driver CUEMU_DEVICES=9.0,7.0 -- --backend auto --device 1
expect 2 "there is no GPU 3; this machine has 1" "auto, and a number without a device" $driver -- --backend auto --device 3
expect 0 "warning: the CPU trains, not a GPU: .*no NVIDIA GPU is visible" "auto without a GPU" $driver CUEMU_DEVICES=0 -- --backend auto
expect 0 "warning: the CPU trains, not a GPU: the CUDA backend does not load" "auto and a library that is none" $driver DUEL_CUDA_LIBRARY=/dev/null -- --backend auto
expect 5 "does not load" "a library that is none" DUEL_CUDA_LIBRARY=/dev/null -- --backend cuda
expect 5 "no CUDA backend" "no library" DUEL_CUDA_LIBRARY=/nonexistent/libduel_cuda.so -- --backend cuda
finish
