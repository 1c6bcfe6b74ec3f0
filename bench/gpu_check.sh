#!/bin/sh
# Everything that can only be found out on a GPU, for somebody who has one, little time on it and no network.
#
#   bench/gpu_check.sh [--quick] [--only PART,PART] [--skip PART,PART] [--emulate]
#
#   build     with nvcc for this card, into TREE (default build-gpu): the command, the tests of the device, the probe
#   smoke     short trainings of all recipes: two equal runs, and captured and uncaptured ones, are equal to the bit
#   train     mlp and dcgan as their recipes say, to the end: the time, and the last picture
#   probe     bench/cuda_probe: what a node of a graph, a fork, a copy and the products alone cost
#   bench     duel bench: mlp and dcgan at batch 64 and 256, mlp at 1024, in tf32, fp32 and bf16; and on one stream;
#             the other recipes for images in tf32
#   torch     the same GANs in PyTorch, if PYTHON (default python3) has it with CUDA: bench/gpu_torch.py
#   test      the tests labelled cuda, on the device; TESTS is a pattern of names
#   sanitize  compute-sanitizer on small trainings: memcheck and racecheck, the other tools if time is left
#   profile   time by node, and by kernel if nsys or ncu is here
#
# All of it takes LIMIT seconds at most (default 420); --quick has build, smoke, and the main cells of bench and torch, in
# 150. Each part has its share and what is kept for the later ones, in proportion to LIMIT. A TREE that is there is
# built upon.
#
# After each part OUT (default bench/results/gpu-DATE) has everything so far, so that a run that is cut off loses no more
# than a part: table.txt to read, gpu-check.json with all numbers and verdicts, all.tgz with the logs too. A part
# that fails is named and the others go on; exit status 1 then.
#
# Libraries may come in a folder of their own, DEPS: one of Debian's packages (.deb), as bench/gpu_deps.sh fetches them,
# or an unpacked tree of them (usr/include, usr/lib, usr/share/datasets). CMAKE_PREFIX_PATH and PKG_CONFIG_PATH count as
# ever. --emulate builds for the emulator in the card's place and takes tiny amounts; the rest is the same, so that this
# script can be tried without a GPU, with stand-ins for the tools that are missing.
# shellcheck disable=SC2317 # the parts are called by their names
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
began=$(date +%s)
failed='' short='' child='' work=''

die() { echo "gpu_check: error: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# ---- what is asked for: PART:MOST:LEAST, the seconds it may take and those that are kept for it
full="build:90:0 smoke:40:15 train:40:25 probe:20:8 bench:90:60 torch:155:70 test:90:45 sanitize:50:30 profile:50:30"
quick="build:75:0 smoke:30:12 bench:40:20 torch:60:40"
last=10 # for the table and the archive at the end
parts=$full whole=420 form=full emulate='' skip='' only=''
while [ $# -gt 0 ]; do
  case $1 in
  --emulate) emulate=1 ;;
  --quick) parts=$quick whole=150 form=quick ;;
  --skip | --only) [ $# -gt 1 ] || die "$1 names parts"; eval "${1#--}=\$2"; shift ;;
  --skip=*) skip=${1#*=} ;;
  --only=*) only=${1#*=} ;;
  -h | --help) sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
  *) die "'$1' is none of --quick, --only, --skip and --emulate" ;;
  esac
  shift
done
names=$(for entry in $parts; do printf '%s ' "${entry%%:*}"; done)
for part in $(echo "$skip,$only" | tr , ' '); do
  case " $names" in *" $part "*) ;; *) die "there is no part '$part'; the parts are $names" ;; esac
done
limit=${LIMIT:-$whole}

wanted() { # PART
  case ",$skip," in *",$1,"*) return 1 ;; esac
  [ -z "$only" ] || case ",$only," in *",$1,"*) ;; *) return 1 ;; esac
}

# ---- what is here
PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer
[ -z "${CUDA_HOME:-}" ] || PATH=$PATH:$CUDA_HOME/bin:$CUDA_HOME/compute-sanitizer
export PATH
device=$(nvidia-smi -L 2>/dev/null | sed -n '/^GPU/{s/ (UUID.*//;p;q;}')
for node in /dev/nvidia[0-9]*; do
  [ -n "$device" ] || [ ! -e "$node" ] || device="a GPU without nvidia-smi"
done
if [ -n "$emulate" ]; then
  device=${device:-emulator}
else
  [ -n "$device" ] || die "there is no NVIDIA GPU here (nvidia-smi -L lists none); --emulate tries this without one"
  have nvcc || die "there is no CUDA toolkit here: put nvcc on PATH"
fi
for tool in cmake ninja python3 timeout; do
  have "$tool" || die "there is no $tool here"
done
OUT=${OUT:-$here/bench/results/gpu-$(date +%Y%m%d)}
mkdir -p "$OUT" && OUT=$(CDPATH='' cd -- "$OUT" && pwd) || exit 1
tree=${TREE:-$here/build-gpu}
mkdir -p "$tree" && tree=$(CDPATH='' cd -- "$tree" && pwd) || exit 1
python=${PYTHON:-python3}
work=$(mktemp -d) && runs=$(mktemp -d) || exit 1
trap 'rm -rf "$work" "$runs"' EXIT
rm -f "$OUT/all.tgz" "$OUT/table.txt" "$OUT/gpu-check.json" "$OUT/torch.json" "$OUT"/*.new
: >"$work/parts.txt"

# ---- packages that were not installed
# shellcheck source=bench/gpu_packages.sh
. "$here/bench/gpu_packages.sh"
[ -z "${DEPS:-}" ] || use_deps

# ---- running
left() { echo $((limit - $(date +%s) + began)); }
share() { echo $(($1 * limit / whole)); } # of the table above
spare() { echo $((part_ends - $(date +%s))); }

# within SECONDS LOG COMMAND…: in at most this time, and what is left of the part; 124 where that was too short
within() {
  seconds=$1 log=$2
  shift 2
  [ "$(spare)" -ge "$seconds" ] || seconds=$(spare)
  [ "$seconds" -gt 0 ] || return 124
  echo "+ $*" >>"$work/$log"
  timeout -k 3 "$seconds" "$@" >>"$work/$log" 2>&1 </dev/null & # not in front: a signal is heard at once
  child=$!
  wait "$child"
  status=$?
  child=''
  return "$status"
}

note() { why="${why:+$why; }$*"; }
wrong() { # WHY: of the present part
  echo "gpu_check: FAIL: $part: $*" >&2
  verdict=failed
  note "$*"
}
without() { # WHY: the present part could not run
  [ "$verdict" = failed ] || verdict="not run"
  note "$*"
}
cut_short() { # WHY: its time was over before its work was
  [ "$verdict" = failed ] || verdict="cut short"
  note "$*"
}

# ended STATUS WHAT LOG: what a command's end means
ended() {
  case $1 in
  0) return 0 ;;
  124 | 137)
    if [ "$(spare)" -le 0 ] && [ "$part" != build ]; then
      cut_short "$2 did not end in the part's time"
    else
      wrong "$2 did not end in its time, see $3"
    fi
    ;;
  *) wrong "$2 ended with $1, see $3"; tail -n 5 "$work/$3" >&2 ;;
  esac
  return 1
}

# Everything so far into OUT: each file whole, or as it was.
publish() {
  [ ! -e "$OUT/torch.json" ] || cp "$OUT/torch.json" "$work/torch.json"
  python3 "$here/bench/gpu_report.py" --work "$work" --out "$OUT" --duel "$tree/duel" --data "$data" \
    --device "$device" --form "$form${emulate:+, emulated}" --parts "$asked" >"$work/report.log" 2>&1 && return
  echo "gpu_check: FAIL: report: gpu_report.py failed:" >&2
  tail -n 5 "$work/report.log" >&2
  case $failed in *report*) ;; *) failed="$failed report" ;; esac
  tar -czf "$OUT/all.tgz.new" -C "$work" . && mv "$OUT/all.tgz.new" "$OUT/all.tgz"
}

record() { # the present part
  printf '%s\t%s\t%s\t%s\n' "$part" "$verdict" $(($(date +%s) - start)) "$why" >>"$work/parts.txt"
}

stop() {
  trap '' HUP INT TERM
  [ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null
  verdict=stopped
  note "a signal ended the run"
  record
  publish
  echo "gpu_check: error: stopped in $part; what was done: $OUT" >&2
  exit 143
}

# ---- the parts
versions() {
  echo "commit: $(git -C "$here" describe --always --abbrev=40 --dirty 2>/dev/null || cat "${taken:-}" 2>/dev/null || echo unknown)"
  echo "nvcc: $(nvcc --version 2>/dev/null | sed -n 's/^Cuda compilation tools, //p')"
  nvidia-smi --query-gpu=driver_version,name,memory.total,clocks.max.sm,power.limit --format=csv,noheader 2>/dev/null |
    sed -n '1{s/^\([^,]*\), */driver: \1\ncard: /;p;}'
  header=$(echo '#include <cublas_api.h>' | env CPATH="${headers:-}" nvcc -x cu -E - 2>/dev/null |
    sed -n 's/^# [0-9]* "\(.*cublas_api\.h\)".*/\1/p' | sed -n 1p)
  [ ! -e "$header" ] || echo "cublas: $(sed -n 's/^#define CUBLAS_VER_[A-Z]* *\([0-9]*\).*/\1/p' "$header" | paste -sd. -)"
  echo "cmake: $(cmake --version | sed -n 1p)"
  echo "compiler: $("${CC:-cc}" --version 2>/dev/null | sed -n 1p)"
  echo "cores: $(nproc 2>/dev/null)"
}

# shellcheck disable=SC2086 # TARGETS may be several
do_build() {
  headers=''
  if have nvcc; then
    nvcc --version >>"$work/build.log" 2>&1 || { wrong "nvcc --version ended with $?, see build.log"; return; }
  fi
  nvidia-smi >>"$work/build.log" 2>&1
  find_cublas
  versions >"$work/versions.txt"
  cards=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d . | sort -u | tr '\n' ';')
  cuda=ON
  [ -z "$emulate" ] || cuda=EMULATE
  seconds=$(spare)
  lines cmake -S "$here" -B "$tree" -G Ninja -DDUEL_CUDA=$cuda "-DCMAKE_CUDA_ARCHITECTURES=${cards:-native}" &&
    cmake_flags='' && seconds=$(spare) && lines ninja -C "$tree" ${TARGETS:-gpu_check}
  ended $? "the build" build.log && built=1
}

# weights NAME RECIPE FLAGS…: trains and leaves the last checkpoint as NAME
# shellcheck disable=SC2086 # "small" is several words, or none
weights() {
  name=$1 recipe=$2
  shift 2
  [ "$recipe" = ring ] || set -- --data "$data" "$@"       # its points are made, not read
  [ "${recipe#classifier}" != "$recipe" ] || set -- --sample 0 "$@" # and that one draws nothing
  within 20 smoke.log "$tree/duel" train --recipe "$recipe" --backend cuda --steps "$steps" $small \
    --outdir "$runs/$name" -q "$@"
  ended $? "duel train --recipe $recipe $*" smoke.log &&
    cp "$runs/$name"/latest/checkpoint-*"$steps".safetensors "$runs/$name.last"
}
same() { [ ! -e "$runs/$1.last" ] || cmp -s "$runs/$1.last" "$runs/$2.last" || wrong "$3"; }

do_smoke() {
  for pair in $smoked; do # RECIPE:PRECISION
    recipe=${pair%:*} precision=${pair#*:}
    run=$recipe-$precision what="of $recipe in $precision differ, see smoke.log"
    weights "$run" "$recipe" --precision "$precision" || continue
    weights "$run-again" "$recipe" --precision "$precision" && same "$run" "$run-again" "two runs $what"
    weights "$run-plain" "$recipe" --precision "$precision" --no-capture &&
      same "$run" "$run-plain" "captured and uncaptured runs $what"
  done
}

do_train() {
  for recipe in mlp dcgan; do
    # shellcheck disable=SC2086
    within 40 train.log "$tree/duel" train --recipe $recipe --data "$data" --backend cuda $brief --outdir "$runs/train-$recipe"
    ended $? "duel train --recipe $recipe" train.log || continue
    for file in stats.jsonl log.txt; do cp "$runs/train-$recipe/latest/$file" "$work/train-$recipe-$file"; done
    for picture in "$runs/train-$recipe/latest"/fakes-*.png; do # the last one stays
      [ ! -e "$picture" ] || cp "$picture" "$work/train-$recipe.png"
    done
    [ -s "$work/train-$recipe.png" ] || wrong "duel train --recipe $recipe left no picture"
  done
}

do_probe() {
  [ -x "$tree/bench/cuda_probe" ] || { without "this build has no bench/cuda_probe"; return; }
  within 20 probe.log "$tree/bench/cuda_probe" --json "$work/probe.json"
  ended $? "cuda_probe" probe.log
}

do_bench() {
  omitted=0 measured=0 peaks=$first_peaks
  for cell in $cells; do # RECIPE:BATCH:PRECISION[:cpu|:lanes1]
    more=${cell#*:*:*:} precision=${cell#*:*:} batch=${cell#*:}
    [ "$more" != "$cell" ] || more=''
    recipe=${cell%%:*} batch=${batch%%:*} precision=${precision%%:*} backends=cuda lanes=${DUEL_CUDA_LANES:-}
    [ "$more" != cpu ] || backends=cpu,cuda
    file=bench-$recipe-$precision-$batch.json
    [ "$more" != lanes1 ] || { lanes=1 file=bench-$recipe-$precision-$batch-lanes1.json; }
    [ "$(spare)" -ge "$cell_seconds" ] || { omitted=$((omitted + 1)); continue; }
    what="duel bench of $recipe in $precision at batch $batch${lanes:+ on $lanes lane}"
    # shellcheck disable=SC2086
    within 40 bench.log env ${lanes:+DUEL_CUDA_LANES=$lanes} "$tree/duel" bench --backend $backends --recipe "$recipe" \
      --data "$data" --batch "$batch" --precision "$precision" --peak-seconds $peaks $repeat --json "$work/$file.new"
    ended $? "$what" bench.log || continue
    mv "$work/$file.new" "$work/$file"
    peaks=0.02 # they do not change from cell to cell, and looking for them takes seconds
    grep -q '"backend":"cuda","usable":true' "$work/$file" || wrong "$what: the GPU is of no use, see $file"
    ! grep -q 'not captured' "$work/$file" || wrong "$what: its steps were not captured, see bench.log"
    measured=$((measured + 1))
    [ $((measured % together)) != 0 ] || publish # this part is long
  done
  [ "$omitted" = 0 ] || cut_short "$omitted of the cells were left out"
}

# shellcheck disable=SC2086 # and so may "ways"
do_torch() {
  if ! "$python" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))' 2>>"$work/torch.log"; then
    without "$python has no PyTorch (PYTHON names another one)"
    return
  fi
  # It ends by itself between two rows; what it measured is in OUT after each one.
  within "$(spare)" torch.log "$python" "$here/bench/gpu_torch.py" --json "$OUT/torch.json" --limit $(($(spare) - 5)) $ways
  status=$?
  [ ! -e "$OUT/torch.json" ] || mv "$OUT/torch.json" "$work/torch.json"
  case $status in
  77) without "PyTorch finds no CUDA device" ;;
  *) ended "$status" "gpu_torch.py" torch.log ;;
  esac
  omitted=$(grep -c 'left out: ' "$work/torch.log")
  [ "$omitted" = 0 ] || cut_short "$omitted rows were left out"
}

do_test() {
  seconds=$(spare)
  within "$seconds" test.log ctest --test-dir "$tree" -L '^cuda$' -R "${TESTS:-.}" -j 8 --timeout $((seconds - 2)) \
    --output-on-failure
  status=$?
  [ ! -e "$tree/Testing/Temporary/LastTest.log" ] || cp "$tree/Testing/Temporary/LastTest.log" "$work/LastTest.log"
  tests=$(grep -cE '[.] +Passed ' "$work/test.log")
  if [ "$status" != 124 ] && [ "$status" != 137 ]; then
    ended "$status" "ctest -L cuda" test.log
  elif grep -qE '[*]{3}(Failed|Exception)' "$work/test.log"; then
    wrong "tests failed, see test.log"
  else
    cut_short "no test failed until the part's time was over"
  fi
  ! grep -qE '\*\*\*Skipped|No tests were found' "$work/test.log" || wrong "tests of the device were skipped, see test.log"
  note "$tests programs passed"
}

# shellcheck disable=SC2016 # $C, $H and $W are duel's
small_recipe='recipe: 1
data: {path: synthetic:shapes, limit: 100}
latent: 12
G: [dense: 24, batchnorm, leaky_relu: 0.2, dropout: 0.1, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]
D: [flatten, dense: 20, leaky_relu: 0.2, dense: 1]
ema: {half_life: 500 images}
train: {length: 600 steps, batch: 16}'

# sanitizer TOOL COMMAND…. cuBLAS's kernels are left out, by what their names have and ours do not: they are slow to watch,
# and what they do among themselves is not ours. What a call of CUDA returns, the program looks at itself.
sanitizer() {
  tool=$1
  shift
  within "$(spare)" "sanitize-$tool.log" compute-sanitizer --tool "$tool" --report-api-errors no --error-exitcode 9 \
    --kernel-name-exclude kns=gemm --kernel-name-exclude kns=gemv --kernel-name-exclude kns=cublas \
    --kernel-name-exclude kns=cutlass --kernel-name-exclude kns=nvjet --kernel-name-exclude kns=splitK "$@"
}

sanitized_training() { # TOOL NAME FLAGS…
  tool=$1 name=$2
  shift 2
  sanitizer "$tool" "$tree/duel" train "$@" --backend cuda --steps 3 --no-capture --sample 0 \
    --outdir "$runs/$tool-$name" -q
  ended $? "$tool of a small training ($name)" "sanitize-$tool.log"
}

do_sanitize() {
  have compute-sanitizer || { without "there is no compute-sanitizer"; return; }
  echo "$small_recipe" >"$runs/small.yaml"
  for tool in memcheck racecheck; do
    sanitized_training "$tool" dense --recipe "$runs/small.yaml" --precision fp32
    sanitized_training "$tool" dcgan --recipe dcgan --data synthetic:shapes --limit 64 --batch 4 --precision tf32
  done
  for tool in initcheck synccheck; do
    [ "$(spare)" -lt 15 ] || sanitized_training "$tool" dense --recipe "$runs/small.yaml" --precision fp32
  done
  [ "$(spare)" -ge 10 ] && [ -z "$emulate" ] || return
  # The ops' tests as far as the time goes; in the environment, since the tool watches the process that it starts.
  export DUEL_TEST_BACKENDS=cuda DUEL_SOURCE="$here" DUEL_BINARY="$tree" DUEL_CUDA_LIBRARY="$tree/libduel_cuda.so"
  sanitizer memcheck "$tree/tests/test_cuda_ops"
  status=$?
  unset DUEL_TEST_BACKENDS DUEL_SOURCE DUEL_BINARY DUEL_CUDA_LIBRARY
  if [ "$status" != 124 ] && [ "$status" != 137 ]; then
    ended "$status" "memcheck of the ops' tests" sanitize-memcheck.log
  elif grep -qE '^=+ (Invalid|Error|.*hazard)' "$work/sanitize-memcheck.log"; then
    wrong "memcheck of the ops' tests found errors, see sanitize-memcheck.log"
  else
    note "memcheck of the ops' tests: no error as far as the time went"
  fi
}

# short_training FLAGS…: of $recipe, under a tool
# shellcheck disable=SC2086
short_training() {
  within 25 profile.log "$@" "$tree/duel" train --recipe "$recipe" --data "$data" $small --backend cuda --precision tf32 \
    --sample 0 --checkpoint 0 --outdir "$runs/short" -q $flags
}

# watch_kernels WHAT FILE FLAGS…: ncu, with the caches as the step leaves them. It would lock clocks, which takes rights.
watch_kernels() {
  what=$1 file=$2 flags="--no-capture --steps 4"
  shift 2
  have ncu || return
  short_training ncu --csv --clock-control none --cache-control none --log-file "$work/$file" "$@" ||
    note "ncu's $what failed for $recipe, see profile.log"
}

# shellcheck disable=SC2086
do_profile() {
  for recipe in mlp dcgan $others; do # duel's own clock, node after node
    within 20 profile.log "$tree/duel" bench --backend cuda --recipe $recipe --data "$data" $small --precision tf32 \
      --peak-seconds 0.02 $repeat --ops --nodes --json "$work/ops-$recipe.json"
    ended $? "duel bench --ops of $recipe" profile.log
  done
  for recipe in mlp dcgan; do
    flags="--steps 200"
    ! have nsys || {
      short_training nsys profile --force-overwrite true --cuda-graph-trace node -o "$runs/step" &&
        within 20 profile.log nsys stats --report cuda_gpu_kern_sum --format csv --output "$work/nsys-$recipe" "$runs/step.nsys-rep"
    } || note "nsys failed for $recipe, see profile.log"
    watch_kernels durations "ncu-$recipe.csv" --metrics gpu__time_duration.sum --launch-count 300
  done
  for recipe in dcgan mlp; do # about one step of each
    watch_kernels details "ncu-$recipe-details.csv" --launch-skip 95 --launch-count 95 --metrics \
      gpu__time_duration.sum,dram__bytes.sum,lts__t_bytes.sum,sm__throughput.avg.pct_of_peak_sustained_elapsed,sm__warps_active.avg.pct_of_peak_sustained_active
  done
  missing=''
  have nsys || missing="$missing nsys"
  have ncu || missing="$missing ncu"
  [ -z "$missing" ] || note "not here:$missing"
}

# ---- all of them
data=fashion-mnist steps=50 small='' brief='' repeat="--repetitions 7 --seconds 0.15" cell_seconds=4 first_peaks=0.5 together=4 ways=''
cells="mlp:64:tf32 dcgan:64:tf32 mlp:256:tf32 dcgan:256:tf32 mlp:64:tf32:lanes1 dcgan:64:tf32:lanes1
mlp:64:fp32:cpu dcgan:64:fp32:cpu mlp:256:fp32 dcgan:256:fp32 mlp:64:bf16 dcgan:64:bf16 mlp:256:bf16 dcgan:256:bf16
mlp:1024:tf32 mlp:1024:fp32 mlp:1024:bf16 resnet-32:64:tf32 dcgan-64:64:tf32 classifier-28:128:tf32"
others="resnet-32 dcgan-64 classifier-28" smoked="mlp:tf32 mlp:fp32 mlp:bf16 dcgan:tf32"
for recipe in ring $others; do smoked="$smoked $recipe:tf32"; done
[ $form = full ] || {
  cells="mlp:64:tf32 dcgan:64:tf32 mlp:256:tf32 dcgan:256:tf32 mlp:64:fp32:cpu mlp:64:tf32:lanes1 dcgan:64:tf32:lanes1"
  ways="--precisions tf32 --batches 64,256 --ways graph,compile-graph"
}
[ -z "$emulate" ] || { # an emulated step takes a thousand times as long
  others='' smoked="mlp:tf32 mlp:fp32 mlp:bf16 dcgan:tf32"
  steps=2 small="--batch 2" brief="--batch 2 --steps 2" repeat="--repetitions 1 --steps 1 --warmup 1" cell_seconds=1 first_peaks=0.02 together=2
  cells="mlp:2:tf32 dcgan:2:tf32 mlp:2:tf32:lanes1 mlp:2:fp32:cpu"
  ways="--precisions tf32 --batches 64,256 --repetitions 1 --seconds 0.01 --warmup 1 $ways"
}
main() { # read to its end before it runs, so that who changes this file changes no run
  asked=$(for entry in $parts; do ! wanted "${entry%%:*}" || printf '%s ' "${entry%%:*}"; done)
  built=''
  [ -x "$tree/duel" ] && ! wanted build && built=1
  part=start verdict=passed why='' start=$began
  trap stop HUP INT TERM
  publish
  for entry in $parts; do
    part=${entry%%:*} most=${entry#*:}
    most=${most%:*}
    wanted "$part" || continue
    kept=$last seen=''
    for other in $parts; do
      [ -z "$seen" ] || ! wanted "${other%%:*}" || kept=$((kept + ${other##*:}))
      [ "$other" != "$entry" ] || seen=1
    done
    if [ -n "$built" ] && [ $data = fashion-mnist ] &&
      ! "$tree/duel" info mlp --data $data --backend cpu >/dev/null 2>>"$work/data.log"; then
      echo "gpu_check: Fashion-MNIST is not here, synthetic:shapes takes its place" >&2
      data=synthetic:shapes
    fi
    start=$(date +%s) verdict=passed why=''
    seconds=$(($(left) - $(share "$kept")))
    [ "$seconds" -le "$(share "$most")" ] || seconds=$(share "$most")
    part_ends=$((start + seconds))
    echo "gpu_check: $part: at most $seconds s, $(left) s left in all" >&2
    if [ "$seconds" -le 0 ]; then
      without "no time was left"
    elif [ -z "$built" ] && [ "$part" != build ] && [ "$part" != torch ]; then
      without "there is nothing built"
    else
      "do_$part"
    fi
    [ "$verdict" != failed ] || failed="$failed $part"
    [ "$verdict" != "cut short" ] || short="$short $part"
    record
    publish
  done
  [ ! -s "$OUT/table.txt" ] || cat "$OUT/table.txt"
  echo "Results: $OUT"
  [ -z "$short" ] || echo "gpu_check: cut short:$short" >&2
  [ -z "$failed" ] || die "failed:$failed"
}
main; exit 0
