#!/bin/sh
# Everything that can only be found out on a GPU, for somebody who has one and no network: in at most 9 minutes.
#
#   bench/gpu_check.sh [--skip PART,PART] [--emulate]
#
#   build     with nvcc for this card, into TREE (default build-gpu)
#   test      the tests labelled cuda on the real device; runs that must be equal to the bit
#   sanitize  compute-sanitizer's four tools on a small training, memcheck and racecheck on the ops' tests
#   bench     duel bench, CPU and GPU, mlp at batch 64, 256 and 1024 in fp32, tf32 and bf16
#   torch     the same GAN in PyTorch, if PYTHON (default python3) has it with CUDA: bench/gpu_torch.py
#   profile   nsys and ncu, if they are here: time by kernel
#   table     everything side by side, with the prediction of bench/cuda_table.py
#
# Results go to OUT (default bench/results/gpu-DATE): gpu-check.json has all of them, the logs the details. A part that
# fails is named and the others go on; exit status 1 then. Libraries may lie in a folder of their own: DEPS is an
# unpacked Debian tree (usr/include, usr/lib/x86_64-linux-gnu, usr/share/datasets), CMAKE_PREFIX_PATH and PKG_CONFIG_PATH
# count as ever. --emulate runs a short form of build, test, bench and table on the emulator, to try this script without
# a GPU.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
parts="build test sanitize bench torch profile table"
limit=${LIMIT:-540}
began=$(date +%s)
failed=

die() { echo "gpu_check: error: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

emulate= skip=
while [ $# -gt 0 ]; do
  case $1 in
  --emulate) emulate=1 ;;
  --skip) [ $# -gt 1 ] || die "--skip names parts: $parts"; skip=$2; shift ;;
  --skip=*) skip=${1#--skip=} ;;
  -h | --help) sed -n '2,/^set -u/s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) die "'$1' is neither --skip nor --emulate" ;;
  esac
  shift
done
for part in $(echo "$skip" | tr , ' '); do
  case " $parts " in *" $part "*) ;; *) die "--skip $part: the parts are $parts" ;; esac
done

# ---- what is here
for folder in /usr/local/cuda "${CUDA_HOME:-/nowhere}"; do
  PATH=$PATH:$folder/bin:$folder/compute-sanitizer
done
device=emulator
if [ -z "$emulate" ]; then
  device=$(nvidia-smi -L 2>/dev/null | sed -n '/^GPU/{s/ (UUID.*//;p;q;}')
  [ -n "$device" ] || [ ! -e /dev/nvidia0 ] || device="a GPU without nvidia-smi"
  [ -n "$device" ] || die "there is no NVIDIA GPU here (nvidia-smi -L lists none); --emulate tries this without one"
  have nvcc || die "there is no CUDA toolkit here: put nvcc on PATH"
fi
for tool in cmake ninja python3 timeout; do
  have "$tool" || [ -n "${DEPS:-}" ] || die "there is no $tool here"
done
OUT=${OUT:-$here/bench/results/gpu-$(date +%Y%m%d)}
mkdir -p "$OUT" || exit 1
OUT=$(CDPATH='' cd -- "$OUT" && pwd)
tree=${TREE:-$here/build-gpu}
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
rm -f "$OUT"/*.json "$OUT/parts.txt" "$OUT"/*.log
: >"$OUT/parts.txt"

# A Debian tree that was unpacked, not installed: its .pc files and links still say /usr.
if [ -n "${DEPS:-}" ]; then
  DEPS=$(CDPATH='' cd -- "$DEPS" && pwd) || exit 1
  mkdir -p "$runs/pkgconfig"
  for pc in "$DEPS"/usr/lib/*/pkgconfig/*.pc "$DEPS"/usr/lib/*/*/pkgconfig/*.pc "$DEPS"/usr/share/pkgconfig/*.pc; do
    [ ! -f "$pc" ] || sed -E "s#(^|[=: ]|-I|-L)/usr(/|\$)#\1$DEPS/usr\2#g" "$pc" >"$runs/pkgconfig/$(basename "$pc")"
  done
  PKG_CONFIG_PATH=$runs/pkgconfig:${PKG_CONFIG_PATH:-}
  CMAKE_PREFIX_PATH=$DEPS/usr:${CMAKE_PREFIX_PATH:-}
  CPATH=$DEPS/usr/include:${CPATH:-}
  for folder in "$DEPS"/usr/lib/*-linux-gnu "$DEPS"/lib/*-linux-gnu "$DEPS"/usr/lib/*-linux-gnu/openblas-*; do
    [ ! -d "$folder" ] || {
      LIBRARY_PATH=$folder:${LIBRARY_PATH:-}
      LD_LIBRARY_PATH=$folder:${LD_LIBRARY_PATH:-}
    }
  done
  PATH=$PATH:$DEPS/usr/bin
  [ ! -d "$DEPS/usr/share/datasets" ] || DUEL_DATA=${DUEL_DATA:-$DEPS/usr/share/datasets}
  export PKG_CONFIG_PATH CMAKE_PREFIX_PATH CPATH LIBRARY_PATH LD_LIBRARY_PATH
fi
export PATH DUEL_DATA="${DUEL_DATA:-}"

# ---- running
left() { echo $((limit - $(date +%s) + began)); }

# within SECONDS LOG COMMAND…: in at most this time, and what is left of the whole; 124 where that was too short
within() {
  seconds=$1 log=$2
  shift 2
  [ "$(left)" -ge "$seconds" ] || seconds=$(left)
  [ "$seconds" -gt 0 ] || return 124
  echo "+ $*" >>"$OUT/$log"
  timeout -k 5 "$seconds" "$@" >>"$OUT/$log" 2>&1
}

wrong() { # WHY: of the present part
  echo "gpu_check: FAIL: $part: $*" >&2
  verdict=failed
  why="${why:+$why; }$*"
}
without() { # WHY: the present part could not run
  [ "$verdict" = failed ] || verdict="not run"
  why="${why:+$why; }$*"
}

wait_for_it() { # STATUS WHAT LOG: what a command's end means
  case $1 in
  0) ;;
  124 | 137) wrong "$2 did not end in its time, see $3" ;;
  *) wrong "$2 ended with $1, see $3"; tail -n 15 "$OUT/$3" >&2 ;;
  esac
  return "$1"
}

# ---- the parts
do_build() {
  cards=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d . | sort -u | tr '\n' ';')
  set -- -DDUEL_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=${cards:-native}"
  [ -z "$emulate" ] || set -- -DDUEL_CUDA=EMULATE
  within 120 build.log cmake -S "$here" -B "$tree" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" &&
    within 240 build.log ninja -C "$tree"
  wait_for_it $? "the build" build.log
}

# weights NAME FLAGS…: trains and leaves the last checkpoint as NAME
weights() {
  name=$1
  shift
  within 120 runs.log "$tree/duel" train --recipe mlp --data "$data" --backend cuda --steps "$steps" --sample 0 \
    --outdir "$runs/$name" -q "$@"
  wait_for_it $? "duel train $*" runs.log && cp "$runs/$name"/latest/checkpoint-*"$steps".safetensors "$runs/$name.last"
}
same() { [ ! -e "$runs/$1.last" ] || cmp -s "$runs/$1.last" "$runs/$2.last" || wrong "$3"; }

do_test() {
  only=.
  [ -z "$emulate" ] || only=trajectory
  within 150 test.log ctest --test-dir "$tree" -L '^cuda$' -R "$only" -j 4 --timeout 140 --output-on-failure
  wait_for_it $? "ctest -L cuda" test.log
  ! grep -qE '\*\*\*Skipped|No tests were found' "$OUT/test.log" || wrong "tests of the device were skipped, see test.log"
  for precision in $precisions; do
    weights "$precision-1" --precision "$precision" && weights "$precision-2" --precision "$precision" &&
      same "$precision-1" "$precision-2" "two runs in $precision differ, see runs.log"
  done
  weights uncaptured --precision fp32 --no-capture && same fp32-1 uncaptured "captured and uncaptured runs differ"
}

do_bench() {
  for batch in $batches; do
    for precision in $precisions; do
      backends=cuda
      [ "$precision" != fp32 ] || backends=cpu,cuda # the CPU has no other
      file=bench-$precision-$batch.json
      within 60 bench.log "$tree/duel" bench --backend $backends --recipe mlp --data "$data" --batch "$batch" \
        --precision "$precision" $repeat --json "$OUT/$file"
      wait_for_it $? "duel bench in $precision at batch $batch" bench.log || continue
      grep -q '"backend":"cuda","usable":true' "$OUT/$file" ||
        wrong "duel bench cannot use the GPU in $precision at batch $batch, see $file"
    done
  done
}

do_torch() {
  python=${PYTHON:-python3}
  if ! "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>>"$OUT/torch.log"; then
    without "$python has no PyTorch with CUDA (PYTHON names another one)"
    return
  fi
  seconds=$(($(left) - 60)) # for what follows
  [ $seconds -lt 150 ] || seconds=150
  [ $seconds -gt 20 ] || { without "no time was left"; return; }
  within $((seconds + 20)) torch.log "$python" "$here/bench/gpu_torch.py" --json "$OUT/torch.json" --limit $seconds
  wait_for_it $? "gpu_torch.py" torch.log
}

small_recipe='recipe: 1
data: {path: synthetic:shapes, limit: 100}
latent: 12
G: [dense: 24, batchnorm, leaky_relu: 0.2, dropout: 0.1, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]
D: [flatten, dense: 20, leaky_relu: 0.2, dense: 1]
ema: {half_life: 500 images}
train: {length: 600 steps, batch: 16}'

sanitizer() { # SECONDS TOOL COMMAND…; what a call of CUDA returns, the program looks at itself
  seconds=$1 tool=$2
  shift 2
  within "$seconds" "sanitize-$tool.log" compute-sanitizer --tool "$tool" --report-api-errors no --error-exitcode 9 "$@"
}

do_sanitize() {
  have compute-sanitizer || { without "there is no compute-sanitizer"; return; }
  echo "$small_recipe" >"$runs/small.yaml"
  for tool in memcheck racecheck initcheck synccheck; do
    for capture in on off; do
      sanitizer 40 $tool "$tree/duel" train --recipe "$runs/small.yaml" --backend cuda --precision fp32 --steps 10 \
        --set run.capture=$capture --sample 0 --outdir "$runs/$tool-$capture" -q
      wait_for_it $? "$tool of a small training (capture $capture)" "sanitize-$tool.log"
    done
  done
  for tool in memcheck racecheck; do # as far as the time goes
    export DUEL_TEST_BACKENDS=cuda DUEL_SOURCE="$here" DUEL_BINARY="$tree" DUEL_CUDA_LIBRARY="$tree/libduel_cuda.so"
    sanitizer 30 $tool "$tree/tests/test_cuda_ops"
    status=$?
    unset DUEL_TEST_BACKENDS DUEL_SOURCE DUEL_BINARY DUEL_CUDA_LIBRARY
    if [ $status = 124 ] || [ $status = 137 ]; then
      ! grep -qE '^=+ (Invalid|Error|.*hazard)' "$OUT/sanitize-$tool.log" ||
        wrong "$tool of the ops' tests found errors, see sanitize-$tool.log"
      why="${why:+$why; }$tool of the ops' tests was cut short, without errors so far"
    else
      wait_for_it $status "$tool of the ops' tests" "sanitize-$tool.log"
    fi
  done
}

do_profile() {
  set -- "$tree/duel" train --recipe mlp --data "$data" --backend cuda --sample 0 --checkpoint 0 -q
  if have nsys; then
    within 30 profile.log nsys profile --force-overwrite true --cuda-graph-trace node -o "$runs/step" \
      "$@" --steps 200 --outdir "$runs/nsys" &&
      within 20 profile.log nsys stats --report cuda_gpu_kern_sum --format csv --output "$OUT/nsys" \
        "$runs/step.nsys-rep" || without "nsys failed, see profile.log"
  fi
  if have ncu; then
    within 30 profile.log ncu --csv --metrics gpu__time_duration.sum --launch-count 200 --log-file "$OUT/ncu.csv" \
      "$@" --no-capture --steps 3 --outdir "$runs/ncu" || without "ncu failed, see profile.log"
  fi
  have nsys || have ncu || without "there is neither nsys nor ncu"
}

do_table() {
  python3 "$here/bench/gpu_report.py" --out "$OUT" --duel "$tree/duel" --data "$data" --device "$device" \
    >"$OUT/table.txt" 2>"$OUT/table.log"
  wait_for_it $? "gpu_report.py" table.log
}

# ---- all of them
precisions="fp32 tf32 bf16" batches="64 256 1024" repeat="--repetitions 11 --seconds 0.25" steps=200
if [ -n "$emulate" ]; then
  skip="$skip,torch,sanitize,profile"
  precisions=fp32 batches=64 repeat="--repetitions 1 --steps 2 --warmup 2" steps=9 limit=${LIMIT:-1200}
fi
data=fashion-mnist
for part in $parts; do
  case ",$skip," in *",$part,"*) continue ;; esac
  if [ "$part" != build ] && [ ! -x "$tree/duel" ]; then
    echo "gpu_check: FAIL: $part: there is no $tree/duel" >&2
    failed="$failed $part"
    continue
  fi
  if [ "$part" != build ] && ! "$tree/duel" info mlp --data $data --backend cpu >/dev/null 2>&1; then
    echo "gpu_check: Fashion-MNIST is not here, synthetic:shapes takes its place" >&2
    data=synthetic:shapes
  fi
  start=$(date +%s) verdict=passed why=
  echo "gpu_check: $part ($(left) s left)" >&2
  "do_$part"
  [ "$verdict" != failed ] || failed="$failed $part"
  printf '%s\t%s\t%s\t%s\n' "$part" "$verdict" $(($(date +%s) - start)) "$why" >>"$OUT/parts.txt"
done
[ ! -s "$OUT/table.txt" ] || cat "$OUT/table.txt"
echo "Results: $OUT"
[ -z "$failed" ] || die "failed:$failed"
