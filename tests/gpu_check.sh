#!/bin/sh
# bench/gpu_check.sh without a GPU: in a namespace that is like the machine it is made for. There are compilers, CMake, ninja
# and Python, but no library of duel's, no pkg-config, no data set, no CUDA and no network. Stand-ins play nvidia-smi, nvcc,
# compute-sanitizer, ncu and PyTorch; the emulator plays the GPU. The whole script runs; then it is killed in each part, and
# each part is given a fault. Speaks TAP; skipped, with the reason, where there are no namespaces or no packages.
# DUEL_SOURCE and DUEL_BINARY name the two trees; names of groups (whole, kills, faults) limit it to those.
set -u
. "$(dirname "$0")/tap.sh"
LC_ALL=C
export LC_ALL
source=${DUEL_SOURCE:?} binary=${DUEL_BINARY:?}
spaces="--mount --net --pid --fork --kill-child"
[ "$(id -u)" = 0 ] || spaces="--user --map-root-user $spaces"

skip_all() { skip "$*"; finish; }

# ---- outside
if [ "${1:-}" != inside ]; then
  for tool in unshare dpkg-query setsid timeout cmake ninja c++ ctest; do
    command -v $tool >/dev/null 2>&1 || skip_all "there is no $tool"
  done
  [ -x /usr/bin/python3 ] && [ -x /usr/bin/cmake ] && [ -x /usr/bin/ninja ] || skip_all "cmake, ninja or python3 is not in /usr/bin"
  home=$(mktemp -d) || exit 1
  trap 'rm -rf "$home"' EXIT
  mkdir "$home/upper"
  why=$(unshare $spaces sh -c "mount -t tmpfs tmpfs '$home/upper' && mkdir '$home/upper/u' '$home/upper/w' &&
    mount -t overlay overlay -o lowerdir=/usr,upperdir='$home/upper/u',workdir='$home/upper/w' /usr && : >/usr/bin/of-its-own" 2>&1) ||
    skip_all "no namespace with a /usr of its own: $why"
  deps=${DUEL_GPU_DEPS:-$binary/gpu-deps}
  why=$(sh "$source/bench/gpu_deps.sh" "$deps" 2>&1) || skip_all "$(echo "$why" | tail -n 1 | cut -c1-160)"
  unshare $spaces sh "$0" inside "$home" "$deps" "$@"
  exit $?
fi

# ---- inside: another machine
home=$2 deps=$3
shift 3
only=" $* "
mount -t tmpfs tmpfs "$home/upper" && mkdir "$home/upper/u" "$home/upper/w" &&
  mount -t overlay overlay -o "lowerdir=/usr,upperdir=$home/upper/u,workdir=$home/upper/w" /usr || exit 1
mount -t proc proc /proc
packages=$(for deb in "$deps"/*.deb; do basename "$deb" | sed 's/_.*//'; done)
# shellcheck disable=SC2086
dpkg-query -L $packages 2>/dev/null | grep '^/usr/' | while read -r file; do
  [ -d "$file" ] && [ ! -L "$file" ] || rm -f "$file"
done
[ ! -d /usr/local/cuda ] || mount -t tmpfs tmpfs /usr/local/cuda
cd "$home" || exit 1

ok() { # NAME COMMAND…: the command succeeds; the file log explains where it does not
  name=$1
  shift
  "$@"
  verdict $? "$name" "$home/log"
}
group() { case $only in "  " | *" $1 "*) ;; *) return 1 ;; esac; }

bare() {
  for there in /usr/share/datasets/fashion-mnist/* /usr/local/cuda/bin /usr/bin/pkg-config /usr/lib/*/libopenblas*; do
    [ ! -e "$there" ] || { echo "there is $there" >log; return 1; }
  done
  for header in yaml png jpeglib zlib libdeflate cmocka cblas; do
    ! echo "#include <$header.h>" | cc -E - >/dev/null 2>&1 || { echo "there is $header.h" >log; return 1; }
  done
}

# ---- stand-ins. What PLANT names goes wrong: PART-hang or PART-fail.
mkdir -p bin python/torch/nn
stand_in() { # FILE: its text from stdin
  { printf '#!/bin/sh\nhang() { echo $$ >"%s/hanging"; exec sleep 60; }\n' "$home"; cat; } >"$1"
  chmod +x "$1"
}
stand_in bin/nvidia-smi <<'END'
case "$*" in
-L) echo "GPU 0: Stand-in H100 (UUID: GPU-0)" ;;
*compute_cap*) echo 9.0 ;;
*driver_version*) echo "580.0, Stand-in H100, 81559 MiB, 1980 MHz, 700 W" ;;
esac
END
stand_in bin/nvcc <<'END'
[ "${PLANT:-}" != nvcc-fail ] || exit 1
case "$*" in
--version) echo "Cuda compilation tools, release 13.0, a stand-in" ;;
*-E*) [ "${PLANT:-}" != no-cublas ] ;;
*) exit 1 ;;
esac
END
stand_in bin/ninja <<'END'
case "${PLANT:-}" in
build-hang) hang ;;
build-fail) echo "ninja: a planted fault"; exit 1 ;;
esac
exec /usr/bin/ninja "$@"
END
stand_in bin/ctest <<'END'
[ "${PLANT:-}" != test-hang ] || hang
[ "${PLANT:-}" != test-fail ] || export CUEMU_FAIL=sync:3:sticky
exec /usr/bin/ctest "$@"
END
stand_in bin/compute-sanitizer <<'END'
tool=$2
while [ "${1#*/}" = "$1" ]; do shift; done # as far as the program's path
case "${PLANT:-}" in
sanitize-hang) hang ;;
sanitize-fail) [ "$tool" != racecheck ] || { echo "========= Error: Race reported between Write and Read access"; exit 9; } ;;
esac
exec "$@"
END
stand_in bin/ncu <<'END'
[ -z "${PLANT:-}" ] || exit 0 # it takes its time
while [ "${1#*/}" = "$1" ]; do [ "$1" != --log-file ] || { echo '"ID","Kernel Name"' >"$2"; shift; }; shift; done
exec "$@"
END
cat >python/numpy.py <<'END'
import sys
from unittest.mock import MagicMock
sys.modules[__name__] = MagicMock()
END
cat >python/torch/__init__.py <<'END'
"""As much of PyTorch as bench/gpu_torch.py touches; it computes nothing."""
import os
import time
from unittest.mock import MagicMock
__version__, float32, uint8, int64, bfloat16, channels_last, contiguous_format = ("0.stand-in",) + (None,) * 6
PLANT, captured = os.environ.get("PLANT", ""), []
version, backends, compiler, cuda, optim = (MagicMock() for _ in range(5))
version.cuda = "13.0"
manual_seed = randperm = randn = randint = ones = zeros = empty = cat = from_numpy = autocast = MagicMock()
cuda.is_available = lambda: True
cuda.get_device_name = lambda: "Stand-in H100"


def compile(function):
    return function


def graph():
    captured.append(1)
    if PLANT == "torch-fail":
        raise RuntimeError("a planted fault")
    if PLANT == "torch-hang" and len(captured) == 3:
        with open(os.environ["HANGING"], "w") as f:
            f.write(str(os.getpid()))
        time.sleep(60)
    return MagicMock()


cuda.CUDAGraph = graph
END
cat >python/torch/nn/__init__.py <<'END'
from unittest.mock import MagicMock


class Module:
    def __init__(self, *parts, **settings):
        self.parts, self.weight, self.bias = parts, MagicMock(), MagicMock()

    def __iter__(self):
        return iter(self.parts)

    def __call__(self, x):
        return x

    def to(self, *where, **settings):
        return self

    def parameters(self):
        return []

    def requires_grad_(self, whether):
        return self


Linear, Conv2d, ConvTranspose2d, BatchNorm1d, BatchNorm2d, LeakyReLU, ReLU, Tanh, Flatten, Unflatten, Sequential = (
    type(name, (Module,), {}) for name in ("Linear Conv2d ConvTranspose2d BatchNorm1d BatchNorm2d LeakyReLU ReLU Tanh "
                                           "Flatten Unflatten Sequential").split())
init = MagicMock()
END
echo 'from unittest.mock import MagicMock; binary_cross_entropy_with_logits = MagicMock()' >python/torch/nn/functional.py

# Instead of a program of the tree, one that goes wrong on demand. What is newer than its sources, ninja leaves alone.
wrap() { # PROGRAM TEXT: what comes before it runs
  [ -e "$1.real" ] || mv "$1" "$1.real"
  printf '%s\nexec "$0.real" "$@"\n' "$2" | stand_in "$1"
}

# ---- running it
export PATH="$home/bin:/usr/bin:/bin" PYTHONPATH="$home/python" PYTHONDONTWRITEBYTECODE=1 HANGING="$home/hanging"
export TREE="$home/tree" OUT="$home/out" DEPS="$deps" TESTS=trajectory
export TARGETS="duel duel_cuda_emulated cuda_probe_emulated test_trajectory"
unset DUEL_DATA LD_LIBRARY_PATH CPATH LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH PYTHON PLANT

check() { # PLANT FLAGS…: one run, its exit status in $status, what it says in log
  PLANT=$1
  shift
  export PLANT
  rm -rf "$OUT" hanging
  sh "$source/bench/gpu_check.sh" --emulate "$@" >log 2>&1
  status=$?
}

# results PART=VERDICT…: all three files are whole and agree, nothing but them is left, and these are the parts
results() {
  [ "$(find "$OUT" -type f | wc -l)" -le 8 ] || { ls "$OUT" >>log; return 1; }
  rm -rf unpacked && mkdir unpacked && tar -xzf "$OUT/all.tgz" -C unpacked 2>>log || return 1
  python3 - "$OUT" "$@" >>log 2>&1 <<'END'
import json, os, sys
out, wanted = sys.argv[1], dict(arg.split("=") for arg in sys.argv[2:])
table = open(out + "/table.txt").read()
for where in out + "/gpu-check.json", "unpacked/gpu-check/gpu-check.json":
    parts = {part["part"]: part["verdict"] for part in json.load(open(where))["parts"]}
    if {name: parts.get(name) for name in wanted} != wanted:
        sys.exit(f"{where}: {parts}, not {wanted}")
for name, verdict in wanted.items():
    if not any(line.split(None, 1)[0] == name and line.split(None, 1)[1].startswith(verdict)
               for line in table.splitlines() if " " in line.strip()):
        sys.exit(f"table.txt: no '{name} {verdict}' in\n{table}")
END
}

holds() { # EXPRESSION of Python over "found", what gpu-check.json holds
  python3 -c 'import json, sys; found = json.load(open(sys.argv[1])); sys.exit(not eval(f"({sys.argv[2]})"))' \
    "$OUT/gpu-check.json" "$1" 2>>log
}
said() { grep -q -- "$1" log; }
ends() { [ "$status" = "$1" ]; }
all() { # COMMAND -- COMMAND…: all of them succeed
  while [ $# -gt 0 ]; do
    line=
    while [ $# -gt 0 ] && [ "$1" != -- ]; do line="$line '$1'"; shift; done
    [ $# = 0 ] || shift
    eval "$line" || { echo "# not so:$line" >>log; return 1; }
  done
}

ok "here are compilers, but no library of duel's, no pkg-config, no data set, no CUDA" bare
began=$(date +%s)
LIMIT=1800 check ''
echo "# the whole of it: $(($(date +%s) - began)) s"
sed -nE 's/^([a-z]+) +([a-z ]+[a-z]) +([0-9]+) s( .*|$)/# \1: \2, \3 s/p' "$OUT/table.txt"
ok "all parts pass, in order" all ends 0 -- results build=passed smoke=passed train=passed probe=passed bench=passed torch=passed \
  test=passed sanitize=passed profile=passed
if group whole; then
  ok "the parts stay within their limit" holds 'sum(part["seconds"] for part in found["parts"]) < 1800'
  ok "the table has duel, one lane, CPU and PyTorch" holds '{row["recipe"] for row in found["table"] if row["duel_ms"]} ==
    {"mlp", "dcgan"} and any(row["duel_one_lane_ms"] for row in found["table"]) and any(row["cpu_ms"]
    for row in found["table"]) and any(row["torch_ms"].get("compile-graph") for row in found["table"])'
  ok "PyTorch's rows: captured and compiled ones of both recipes first, tf32 first of all" python3 - "$source/bench" <<'END'
import argparse, sys
sys.path.insert(0, sys.argv[1])
import gpu_torch
args = argparse.Namespace(batches="64,256,1024", precisions="tf32,fp32,bf16", ways=",".join(gpu_torch.WAYS),
                          recipes="mlp,dcgan", device="cuda")
cells = gpu_torch.cells(args)
both = {(way, recipe, batch) for way in gpu_torch.FIRST for recipe in ("mlp", "dcgan") for batch in (64, 256)}
for at, precision in enumerate(("tf32", "fp32", "bf16")):
    assert {cell[:2] + cell[3:] for cell in cells[8 * at:8 * at + 8] if cell[2] == precision} == both, cells
assert {cell[3] for cell in cells[24:30]} == {1024} and {cell[3] for cell in cells[30:]} == {64}, cells
END
  ok "the data set came with the packages" holds 'found["data"] == "fashion-mnist"'
  ok "versions of driver and compiler are told" holds '"580.0" in found["versions"]["driver"] and "13.0" in
    found["versions"]["nvcc"]'
  ok "the archive has the logs" all test -s unpacked/gpu-check/build.log -- test -s unpacked/gpu-check/smoke.log -- \
    test -s unpacked/gpu-check/LastTest.log -- test -s unpacked/gpu-check/sanitize-racecheck.log -- \
    test -s unpacked/gpu-check/ncu-dcgan.csv -- test -s unpacked/gpu-check/ops-mlp.json -- \
    test -s unpacked/gpu-check/ncu-mlp-details.csv -- test -s unpacked/gpu-check/train-dcgan.png
  ok "trainings to the end are told" holds 'found["train"]["mlp"]["step"] == found["train"]["dcgan"]["step"] == 2'
  ok "PyTorch and the tools see none of the packages' libraries" sh -c '! readelf -d "$1/duel" | grep -q RUNPATH &&
    ! grep -q LD_LIBRARY_PATH unpacked/gpu-check/*.log' - "$TREE"
  LIMIT=200 check '' --quick
  ok "the short form has its parts" all ends 0 -- results build=passed smoke=passed bench=passed torch=passed -- \
    holds 'len(found["parts"]) == 4 and len(found["torch"]["rows"]) == 8'
  mkdir -p python/nvidia/cu13/include python/nvidia/cu13/lib
  for file in include/cublas_v2.h lib/libcublas.so.13 lib/libcublasLt.so.13; do : >python/nvidia/cu13/$file; done
  check no-cublas --only build
  ok "cuBLAS of Python's packages is found" all ends 0 -- results build=passed -- \
    grep -q "CUDA_cublasLt_LIBRARY=$home/python/nvidia/cu13/lib/libcublasLt.so.13" unpacked/gpu-check/build.log
  rm -rf python/nvidia
fi

[ -x "$TREE/duel" ] || { failed=1; finish; }
wrap "$TREE/duel" 'case "${PLANT:-}:$1:$*" in
smoke-hang:train:* | train-hang:train:*/train-* | bench-hang:bench:*fp32* | profile-hang:bench:*--ops*) hang ;;
train-fail:train:*/train-dcgan*) exit 5 ;;
bench-fail:bench:*) echo "a planted fault"; exit 5 ;;
profile-fail:bench:*--ops*) exit 5 ;;
smoke-fail:train:*-again*) set -- "$@" --seed 2 ;;
esac'
wrap "$TREE/bench/cuda_probe" 'case "${PLANT:-}" in
probe-hang) hang ;;
probe-fail) exit 1 ;;
esac'

if group kills; then
  # killed BEFORE PART: with SIGKILL, in the midst of the part; the one before it was done
  killed() {
    PLANT=$2-hang
    export PLANT
    rm -rf "$OUT" hanging
    LIMIT=300 setsid sh "$source/bench/gpu_check.sh" --emulate --only "$1,$2" >log 2>&1 &
    script=$!
    waited=0
    while [ ! -s hanging ] && [ $waited -lt 300 ] && kill -0 $script 2>/dev/null; do sleep 0.1; waited=$((waited + 1)); done
    kill -KILL $script
    wait $script 2>/dev/null
    [ -s hanging ] || return 1
    kill -KILL "$(cat hanging)"
    [ "$1" = "$2" ] || set -- "$1" "$2" "$1=passed"
    results "$2=not finished" ${3:+"$3"}
  }
  ok "killed in build: the archive is whole" killed build build
  ok "killed in smoke: build is there" killed build smoke
  ok "killed in train: build is there" killed build train
  ok "killed in probe: build is there" killed build probe
  ok "killed in bench: probe is there, and the cells that were done" all killed probe bench -- holds 'len(found["bench"]) == 2'
  ok "killed in torch: probe is there, and the rows that were done" all killed probe torch -- grep -q ms_per_step out/torch.json
  ok "killed in test: torch is there" killed torch test
  ok "killed in sanitize: torch is there" killed torch sanitize
  ok "killed in profile: torch is there" killed torch profile

  terminated() {
    PLANT=bench-hang
    export PLANT
    rm -rf "$OUT" hanging
    LIMIT=300 sh "$source/bench/gpu_check.sh" --emulate --only probe,bench,torch >log 2>&1 &
    script=$!
    waited=0
    while [ ! -s hanging ] && [ $waited -lt 300 ]; do sleep 0.1; waited=$((waited + 1)); done
    kill -TERM $script
    wait $script
    status=$?
    ends 143 && results probe=passed bench=stopped "torch=not finished" && ! kill -0 "$(cat hanging)" 2>/dev/null
  }
  ok "SIGTERM: what was done is there, and nothing runs on" terminated
  LIMIT=24 check test-hang --only test,torch
  ok "a part that hangs ends in its time, and the next one has its own" \
    results "test=cut short" torch=passed
fi

if group faults; then
  # fault PART PLANT OTHERS RESULT…: it is told by the part's name, everywhere; the other parts still run
  fault() {
    part=$1
    LIMIT=200 check "$2" --only "$3"
    shift 3
    ends 1 && said "FAIL: $part: " && said "failed:.* $part" && results "$part=failed" "$@"
  }
  ok "a build that fails" fault build build-fail build,smoke,torch "smoke=not run" torch=passed
  ok "an nvcc that fails" fault build nvcc-fail build,torch torch=passed
  ok "runs that differ" all fault smoke smoke-fail smoke,torch torch=passed -- said "two runs of mlp in tf32 differ"
  ok "a training that fails" fault train train-fail train,torch torch=passed
  ok "a probe that fails" fault probe probe-fail probe,torch torch=passed
  ok "a bench that fails" fault bench bench-fail bench,torch torch=passed
  ok "PyTorch that fails" fault torch torch-fail probe,torch,test probe=passed test=passed
  ok "a test that fails" fault test test-fail torch,test torch=passed
  ok "a race that the sanitizer finds" all fault sanitize sanitize-fail torch,sanitize torch=passed -- said "racecheck of a small"
  ok "a profile that fails" fault profile profile-fail torch,profile torch=passed
fi
echo "# all of it: $(($(date +%s) - began)) s"
finish
