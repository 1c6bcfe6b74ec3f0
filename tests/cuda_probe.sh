#!/bin/sh
# cuda_probe.sh PROGRAM: bench/cuda_probe on the emulator: all of its numbers are there, finite and above 0, with
# products of both recipes in all precisions, and what it cannot do it says. Speaks TAP.
set -u
. "$(dirname "$0")/tap.sh"
probe=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ok() { # STATUS NAME: of one test; what there is to see is in $work/log
  verdict "$1" "$2" "$work/log"
}

"$probe" --quick --json "$work/probe.json" >"$work/log" 2>&1
ok $? "runs"
[ -e "$work/probe.json" ] || : >"$work/probe.json"
for key in node_us node_dependent_us node_wide_us launch_fixed_us launch_host_us launch_host_us_per_node \
  launch_host_forked_us_per_node fork_group_us fork_line_us fork_join_us copy_dram_tb_s copy_l2_tb_s memcpy_dram_tb_s \
  memcpy_l2_tb_s upload_gb_s download_gb_s cublas sms; do
  sed -n "s/^ \"$key\": \([0-9.e+-]*\),\$/\1/p" "$work/probe.json" |
    awk -v key=$key '$1 > 0 { good = 1 } END { if (!good) print key " is no number above 0" }'
done >"$work/log"
[ ! -s "$work/log" ]
ok $? "every number is above 0"
for key in device driver runtime sm; do
  grep -q "^ \"$key\": \"..*\",\$" "$work/probe.json" || echo "$key is missing"
done >"$work/log"
[ ! -s "$work/log" ]
ok $? "the device and the versions are named"
for recipe in mlp dcgan; do
  for precision in fp32 tf32 bf16; do
    grep -qE "\"$recipe 64 $precision\": [0-9.e+-]+,?\$" "$work/probe.json" || echo "no sum of $recipe in $precision"
    grep -E "\"recipe\": \"$recipe\", \"batch\": 64, \"precision\": \"$precision\", \"m\": " "$work/probe.json" |
      sed 's/.*"us": \([0-9.e+-]*\), "tflops": \([0-9.e+-]*\)}.*/\1 \2/' |
      awk -v of="$recipe in $precision" '!($1 > 0 && $2 > 0) { bad = 1 } END { if (bad || NR < 3) print "no products of " of }'
  done
done >"$work/log"
[ ! -s "$work/log" ]
ok $? "products of both recipes in all precisions"

refused() { # CODE TEXT NAME COMMAND…
  code=$1 text=$2 name=$3
  shift 3
  "$@" >"$work/log" 2>&1
  [ $? = "$code" ] && grep -q -- "$text" "$work/log"
  ok $? "$name"
}
refused 5 "no NVIDIA GPU is visible" "without a device" env CUEMU_DEVICES=0 "$probe"
refused 5 "driver is missing or too old" "with an old driver" env CUEMU_DRIVER=old "$probe"
refused 5 "out of memory" "with too little memory" env CUEMU_MEMORY=100000 "$probe"
refused 2 "usage: cuda_probe" "an unknown flag" "$probe" --fast
refused 4 "cannot be read; bench/cuda_table.py --products" "a list that is not there" "$probe" --products "$work/nowhere"
echo "mlp 64 64 512 784 0 1 100 784 512 1 0 0 0 0 3" >"$work/list"
refused 4 "list:1: no product" "a row shorter than the matrix" "$probe" --products "$work/list"
refused 4 "cannot be written" "a file in no folder" "$probe" --quick --json "$work/nowhere/probe.json"
finish
