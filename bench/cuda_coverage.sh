#!/bin/sh
# Line coverage of src/cuda/ by the tests labelled cuda, on the emulator: one line a file, then what is not covered.
#
#   bench/cuda_coverage.sh [TREE] [LIMIT]
#
# builds TREE (default: build-coverage) with gcc --coverage, runs the tests and asks gcov. Exit status 1 where a test
# fails or less than LIMIT percent (default 95) of the lines ran. A line of a template counts once, however many kernels
# are made of it.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tree=${1:-$here/build-coverage}
limit=${2:-95}
jobs=$(nproc 2>/dev/null || echo 2)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
die() { echo "cuda_coverage: error: $*" >&2; exit 1; }

command -v gcov >/dev/null 2>&1 || die "there is no gcov; it comes with gcc"
# In the emulated tree, C++ is the kernels and the emulator.
cmake -S "$here" -B "$tree" -G Ninja -DCMAKE_BUILD_TYPE=None -DDUEL_CUDA=EMULATE -DCMAKE_C_COMPILER=gcc \
  -DCMAKE_CXX_COMPILER=g++ "-DCMAKE_C_FLAGS=-O2" "-DCMAKE_CXX_FLAGS=-O1 -fno-inline --coverage" >"$scratch/log" 2>&1 &&
  ninja -C "$tree" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; die "the build failed"; }
tree=$(CDPATH='' cd -- "$tree" && pwd)
find "$tree" -name '*.gcda' -exec rm -f {} +
(cd "$tree" && ctest -L cuda -j "$jobs" --output-on-failure) || die "a test failed"
find "$tree" -name '*.cu.gcda' | sort >"$scratch/list"
[ -s "$scratch/list" ] || die "no test ran anything of src/cuda"

# One gcov text an object; "COUNT: LINE: SOURCE", where COUNT is "-" for what makes no code and "#####" for what never ran.
while read -r data; do
  gcov -t -o "$(dirname "$data")" "$data" 2>/dev/null
done <"$scratch/list" | awk -v root="$here/src/cuda/" -v limit="$limit" '
  { count = $0; sub(/:.*/, "", count); gsub(/ /, "", count)
    rest = substr($0, index($0, ":") + 1); line = rest; sub(/:.*/, "", line); gsub(/ /, "", line)
    text = substr(rest, index(rest, ":") + 1) }
  count == "-" && line == "0" && text ~ /^Source:/ { sub(/^Source:/, "", text); mine = index(text, root) == 1
    file = substr(text, length(root) + 1); next }
  !mine || line !~ /^[0-9]+$/ || count == "-" || count == "" { next }
  { key = file SUBSEP line
    if (!(key in ran)) { ran[key] = 0; all[file]++; source[key] = text; if (line + 0 > last[file] + 0) last[file] = line + 0 }
    if (count !~ /^[#=]/) ran[key] = 1 }
  END {
    for (file in all) files[++n] = file
    for (i = 2; i <= n; i++) for (j = i; j > 1 && files[j] < files[j - 1]; j--) {
      swap = files[j]; files[j] = files[j - 1]; files[j - 1] = swap }
    for (i = 1; i <= n; i++) {
      file = files[i]; good = 0
      for (line = 1; line <= last[file]; line++) if ((file, line) in ran) good += ran[file, line]
      printf "%-20s %5.1f %%  %4d of %4d lines\n", file, 100 * good / all[file], good, all[file]
      sum += good; total += all[file] }
    for (i = 1; i <= n; i++) for (line = 1; line <= last[files[i]]; line++)
      if ((files[i], line) in ran && !ran[files[i], line]) printf "%s:%d:%s\n", files[i], line, source[files[i], line]
    if (!total) { print "cuda_coverage: error: gcov knows nothing of src/cuda"; exit 1 }
    percent = 100 * sum / total
    verdict = percent < limit ? "FAIL: less than " limit " %" : "at least " limit " %: ok"
    printf "src/cuda: %.1f %% of %d lines ran; %s\n", percent, total, verdict
    exit (percent < limit) }'
