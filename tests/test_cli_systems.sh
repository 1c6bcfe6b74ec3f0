#!/bin/sh
# The command on systems as people have them: signals at any time and as process 1 of a container, readers that leave,
# two containers on one folder, little memory, names in capitals. Speaks TAP. DUEL_BINARY names the build tree.
set -u
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/command.sh"

same() { # NAME WANTED IS
  [ "$2" = "$3" ]
  verdict=$?
  echo "wanted $2, got $3" | cat - out err 2>/dev/null >log
  verdict $verdict "$1" log
}
wait_for() { # COMMAND…: until it succeeds, 30 seconds at most
  for i in $(seq 1500); do
    "$@" && return 0
    sleep 0.02
  done
  return 1
}
holds() { grep -qE -- "$1" "$2" 2>/dev/null; } # PATTERN FILE
unfinished() { find "$1" -name '*.tmp.*' | grep -q .; }
ms() { date +%s%3N; }
child() { cat "/proc/$1/task/$1/children"; } # of a process that has one

cat >tiny.yaml <<'END'
recipe: 1
data: {path: synthetic:shapes, limit: 64}
latent: 8
G: [dense: 16, leaky_relu: 0.2, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]
D: [flatten, dense: 16, leaky_relu: 0.2, dense: 1]
loss: bce
optim: {name: adam, lr: 0.0002, betas: [0.5, 0.999]}
train: {length: 5 steps, batch: 8}
END
"$duel" train --recipe ./tiny.yaml --outdir one -q >log 2>&1
verdict $? "a run to begin with" log
run=$(ls -d one/00000-*)

# ---- signals

# 2000 pictures that take a while to decode: links to one.
"$duel" generate "$run" --count 400 --columns 20 --out large.png -q >log 2>&1
mkdir pile && for i in $(seq 2000); do ln large.png pile/$i.png; done
decoding="train --recipe ./tiny.yaml --data pile --set data.size=512 --data-memory 1M --threads 1 --outdir early"

# As a child's; with unshare as process 1, whose signals have no default action.
ends() { # SIGNAL CODE NAME WRAPPER…: a decoding ends within a second, and leaves nothing
  signal=$1 code=$2 name=$3
  shift 3
  rm -rf pile/.duel* early
  "$@" "$duel" $decoding >out 2>err &
  pid=$!
  wait_for unfinished pile || echo "it wrote no cache" >>err
  target=$pid
  [ $# = 0 ] || target=$(child $pid)
  began=$(ms)
  kill -"$signal" "$target"
  wait $pid
  rc=$?
  took=$(($(ms) - began))
  same "SIG$signal while data are decoded$name" $code $rc
  same "takes less than a second" 1 $((took < 1000))
  ok "and leaves no temporary, no run" sh -c '[ -z "$(find pile -name "*.tmp.*")" ] && [ ! -e early ]'
}
for signal in INT:130 TERM:143 HUP:129; do ends ${signal%:*} ${signal#*:} ""; done
if unshare -pf --mount-proc true 2>/dev/null; then
  for signal in INT:130 TERM:143 HUP:129; do
    ends ${signal%:*} ${signal#*:} ", as process 1" unshare -pf --mount-proc
  done
  unshare -pf --mount-proc "$duel" generate "$run" --count 1000000 --out many/ >out 2>err &
  pid=$!
  wait_for test -e many/00001.png
  kill -TERM $(child $pid)
  wait $pid
  same "SIGTERM of a generate, as process 1" 143 $?
  ok "leaves no temporary" sh -c '[ -z "$(find many -name "*.tmp.*")" ]'

  # Two containers on one folder of data: their process numbers are the same.
  rm -rf pile/.duel* early
  unshare -pf --mount-proc "$duel" $decoding >out 2>err &
  pid=$!
  wait_for unfinished pile
  ok "another container, meanwhile" unshare -pf --mount-proc "$duel" train --recipe ./tiny.yaml --data pile \
    --set data.size=8 --limit 10 --steps 1 --outdir other -q
  ok "leaves alone what this one is writing" unfinished pile
  kill -KILL $(child $pid)
  wait $pid
  ok "which a kill leaves behind" unfinished pile
  ok "for the next one" "$duel" train --recipe ./tiny.yaml --data pile --set data.size=4 --limit 10 --steps 1 \
    --outdir other -q
  ok "to remove" sh -c '[ -z "$(find pile -name "*.tmp.*")" ]'
else
  for i in $(seq 16); do skip "no right to make a process 1 (unshare)"; done
fi
(trap '' HUP && exec "$duel" train --recipe ./tiny.yaml --steps 1000000000 --set output.tick=20 --outdir nohup) >out 2>err &
pid=$!
wait_for holds '^step' out
kill -HUP $pid
: >out
wait_for holds '^step' out
ok "under nohup it goes on after SIGHUP" kill -0 $pid
kill -STOP $pid
kill -CONT $pid
: >out
wait_for holds '^step' out
ok "and after a pause" kill -0 $pid
kill -TERM $pid
wait $pid
same "until SIGTERM" 143 $?

# ---- readers that leave

for ignored in "" "trap '' PIPE;"; do
  for what in "info $run --plan" "info recipes" "train --recipe ./tiny.yaml -n"; do
    sh -c "$ignored { \"\$0\" $what; echo \$? >rc; } 2>err | head -n 1 >out" "$duel"
    ok "$ignored $what | head: quietly" sh -c '[ ! -s err ] && { [ "$(cat rc)" = 0 ] || [ "$(cat rc)" = 141 ]; }'
  done
done

mkdir photos && ln large.png photos/1.png && ln large.png photos/2.png

# ---- little memory

cat >confined.sh <<'END'
mount -t tmpfs none /sys/fs/cgroup || exit 1
group=$(grep ':memory:' /proc/self/cgroup | cut -d: -f3)
if [ "$1" = 1 ]; then
  mkdir -p "/sys/fs/cgroup/memory$group"
  echo 134217728 >"/sys/fs/cgroup/memory$group/memory.limit_in_bytes"
else
  echo 134217728 >/sys/fs/cgroup/memory.max
fi
shift
exec "$@"
END
confined() { # CGROUP CODE PATTERN NAME ARGUMENTS…: with 128 MiB, as a container's cgroup holds
  version=$1 code=$2 pattern=$3 name=$4
  shift 4
  unshare -m sh confined.sh "$version" "$duel" "$@" >out 2>err
  rc=$?
  [ $rc = "$code" ] && cat out err | grep -qE -- "$pattern"
  verdict=$?
  echo "exit code $rc, wanted $code and: $pattern" | cat - out err >log
  verdict $verdict "cgroup $version: $name" log
}
for version in 1 2; do
  if unshare -m sh confined.sh $version true 2>/dev/null && { [ $version = 2 ] || grep -q :memory: /proc/self/cgroup; }; then
    confined $version 5 'only 128 MiB are free' "a batch beyond it" \
      train --data synthetic:shapes --batch 20000 --steps 1 --outdir confined
    for ending in npy png idx; do
      confined $version 5 '^duel: error: one file needs 598 MiB of memory: only 128 MiB are free; draw fewer, or into a folder$' \
        "a .$ending beyond it" generate "$run" --count 200000 --out big.$ending
      ok "of which nothing is written" test ! -e big.$ending
    done
    confined $version 5 'pile needs 500 MiB of memory: only 128 MiB are free; lower run\.data_memory \(--data-memory\)' \
      "data beyond it" train --recipe ./tiny.yaml --data pile --set data.size=512 --data-memory 100G \
      --limit 2000 --outdir confined
    confined $version 5 'only 128 MiB are free' "a training whose parts are smaller, but not all together" \
      train --recipe ./tiny.yaml --data photos --batch 2 --steps 1 --set data.size=448 --outdir confined
    confined $version 0 '^20 items' "a folder" generate "$run" --count 20 --out many$version/
  else
    for i in $(seq 10); do skip "no right to show a cgroup of my own (unshare -m)"; done
  fi
done

# ---- data that cannot be written

read_only='mount --bind photos photos && mount -o remount,ro,bind photos && exec "$@"'
if unshare -m sh -c "$read_only" x true 2>/dev/null; then
  locked() { # CODE PATTERN NAME CACHE FLAGS…: with XDG_CACHE_HOME, and without any home
    code=$1 pattern=$2 name=$3 cache=$4
    shift 4
    XDG_CACHE_HOME=$cache HOME=/nonexistent/home unshare -m sh -c "$read_only" x "$duel" train --recipe ./tiny.yaml \
      --data photos --set data.size=28 --batch 2 --steps 1 --outdir locked "$@" >out 2>err
    rc=$?
    [ $rc = "$code" ] && cat out err | grep -qE -- "$pattern"
    verdict=$?
    echo "exit code $rc, wanted $code and: $pattern" | cat - out err >log
    verdict $verdict "$name" log
  }
  locked 0 'decoded anew each time: no place for a cache: .*let XDG_CACHE_HOME name' "read-only data, no home" /dev/null/x
  locked 4 'cannot be kept in a file: no place for a cache' "nor memory for them" /dev/null/x --data-memory 1K
  locked 0 'are read from .*/xdg/duel/photos-' "a folder for caches" "$home/xdg" --data-memory 1K
else
  for i in $(seq 3); do skip "no right to make a folder read-only (unshare -m)"; done
fi

# ---- pictures of training

size_of() { # PICTURE: "width height"
  od -An -tu1 -j 16 -N 8 "$1" | awk '{ print $1 * 16777216 + $2 * 65536 + $3 * 256 + $4, $5 * 16777216 + $6 * 65536 + $7 * 256 + $8 }'
}
small() { # NAME FLAGS…: a run into the folder NAME; its directory in $dir
  dir=$("$duel" train --recipe ./tiny.yaml --outdir "$@" -q 2>err)
}
small usual
same "28×28 in four classes: 4 by 16 cells" "448 112" "$(size_of "$dir/reals.png")"
same "fakes alike" "448 112" "$(size_of "$dir/fakes-00000000.png")"
small grid --set 'output.grid=[2, 5]' --set output.keep_pictures=2 --sample 1 --steps 6
same "output.grid: rows and columns" "140 56" "$(size_of "$dir/reals.png")"
same "of fakes too" "140 56" "$(size_of "$dir/fakes-00000000.png")"
same "output.keep_pictures: the first and the newest" "fakes-00000000.png fakes-00000005.png fakes-00000006.png" \
  "$(cd "$dir" && echo fakes-*)"
: >"$dir/fakes-00000003-mine.png"
ok "another grid on resume" "$duel" train --resume "$dir" --steps 8 --set output.grid=3 --set output.keep_pictures=1 -q
same "is a square" "84 84" "$(size_of "$dir/fakes-00000008.png")"
same "what is not the run's stays" "fakes-00000000.png fakes-00000003-mine.png fakes-00000008.png" "$(cd "$dir" && echo fakes-*)"
expect 2 'output\.grid: a picture of 1 by 1024 cells of 100×100 pixels is too large; set fewer' "a grid that is too wide" \
  train --recipe ./tiny.yaml --data photos --batch 2 --set data.size=100 --set 'output.grid=[1, 1024]' --outdir huge
ok "leaves no run behind" sh -c '[ -z "$(ls huge)" ]'
expect 2 'output\.grid: \[1, 2, 3\] is not a number, or a list of two: \[rows, columns\]' "a grid of three numbers" \
  train --recipe ./tiny.yaml --set 'output.grid=[1, 2, 3]'

# Pictures of 512×512: what is planned is what is taken, but for the program itself.
"$duel" train --recipe ./tiny.yaml --data photos --set data.size=512 --batch 2 --steps 2 --outdir wide >out 2>err &
pid=$! most=0
while kill -0 $pid 2>/dev/null; do
  now=$(sed -n 's/^VmHWM: *\([0-9]*\) kB/\1/p' /proc/$pid/status 2>/dev/null)
  most=${now:-$most}
  sleep 0.02
done
wait $pid
same "large pictures" 0 $?
same "have fewer cells" "4096 2560" "$(size_of wide/latest/fakes-00000000.png)"
planned=$(sed -n 's/^Memory: *\([0-9]*\).*/\1/p' out)
echo "planned ${planned:-?} MiB, $((most / 1024)) MiB taken" >log
if grep -q __asan_init "$duel" || ldd "$duel" | grep -q 'lib[at]san'; then
  skip "sanitizers take memory of their own"
else
  [ $((most / 1024)) -lt $((planned + 128)) ]
  verdict $? "and the memory that was planned" log
fi

# ---- names in capitals

for ending in PNG Npy IDX; do
  expect 0 "" "--out g.$ending" generate "$run" --count 4 --out g.$ending
  lower=g.$(echo $ending | tr A-Z a-z)x
  "$duel" generate "$run" --count 4 --out "${lower%x}" -q >log 2>&1
  ok "is the same file" cmp g.$ending "${lower%x}"
done
expect 0 "" "--columns with .PNG" generate "$run" --count 4 --columns 4 --out row.PNG
cp tiny.yaml UPPER.YAML && cp tiny.yaml short.yml
expect 0 "" "--recipe UPPER.YAML" train --recipe UPPER.YAML --outdir upper -q
expect 0 "G\.0" "info UPPER.YAML" info UPPER.YAML
expect 0 "" "--recipe short.yml" train --recipe short.yml --outdir upper -q
ok "both give the run its name" test "$(ls upper | tr '\n' ' ')" = "00000-UPPER-shapes-batch8 00001-short-shapes-batch8 latest "
finish
