#!/bin/sh
# keep_ptxas.sh COMPILER…: compiles, and keeps what ptxas says of each kernel (option -v) beside the object, in
# OBJECT.ptxas, which bench/cuda_budget reads. Anything else that the compiler says goes to stderr as ever.
object= before=
for word; do
  [ "$before" != -o ] || object=$word
  before=$word
done
"$@" 2>"$object.ptxas" && status=0 || status=$?
grep -vE '^ptxas info|^    [0-9]+ bytes (stack|spill)' "$object.ptxas" >&2
exit $status
