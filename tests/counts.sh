#!/bin/sh
# What is counted of a training step, whatever else the machine does: its launches on the CUDA backend, and its
# instructions on the CPU, which may be 5 % more than bench/guard.txt has. Speaks TAP. DUEL_SOURCE and DUEL_BINARY name the
# two trees.
set -u
. "$(dirname "$0")/tap.sh"
source=${DUEL_SOURCE:?} binary=${DUEL_BINARY:?} python=${DUEL_PYTHON:-python3}
home=$(mktemp -d) || exit 1
trap 'rm -rf "$home"' EXIT

command -v "$python" >/dev/null 2>&1 || { skip "there is no $python"; finish; }
"$python" "$source/bench/cuda_table.py" --check "$binary" >"$home/log" 2>&1
verdict $? "a step's launches within budget, its products as listed" "$home/log"
"$python" "$source/bench/guard" --duel "$binary/duel" --tolerance 5 >"$home/log" 2>&1
code=$?
if [ $code = 77 ]; then
  skip "$(tail -n 1 "$home/log")"
else
  verdict $code "a step's instructions within 5 % of the baseline's"
  sed 's/^/# /' "$home/log"
fi
finish
