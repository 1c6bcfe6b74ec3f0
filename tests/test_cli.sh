#!/bin/sh
# The command from end to end, on tiny recipes: what it prints, what it writes, its exit codes, and that stopping,
# going on, threads and repetition never change a byte. Speaks TAP. DUEL_BINARY names the build tree.
set -u
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/command.sh"

wait_for() { # PATTERN FILE: until it is there, 30 seconds at most
  for i in $(seq 600); do
    grep -qE -- "$1" "$2" 2>/dev/null && return 0
    sleep 0.05
  done
  return 1
}

layers tiny.yaml 16
layers other.yaml 24
tiny="--recipe ./tiny.yaml"

# ---- help and usage

expect 0 '^Usage: ' "duel --help shows the overview" --help
cp out overview
for word in "" help -h; do
  "$duel" $word >out 2>err
  ok "duel $word shows the overview" cmp overview out
done
expect 0 '^duel [0-9]+\.[0-9]+\.[0-9]+$' "--version" --version
expect 0 '^duel [0-9]+\.[0-9]+\.[0-9]+$' "info --version" info --version
for command in train generate info bench; do
  expect 0 '^Examples:' "$command --help" $command --help
  says 'default' out "$command --help tells defaults"
  says " $command " overview "the overview lists $command"
done
expect 0 '^Usage: .* train' "help train" help train
expect 2 "did you mean train\?" "a misspelt command" trian
expect 2 "did you mean --batch\?" "a misspelt flag" train --bacth 8
expect 2 "did you mean cpu\?" "a misspelt backend" train --backend cup
expect 2 "did you mean cuda\?" "a misspelt backend in a setting" train $tiny --set run.backend=cude
expect 2 "did you mean .?mlp" "a misspelt recipe" train --recipe mpl
expect 2 "did you mean .?(train\.)?batch" "a misspelt key" train $tiny --set train.bacth=8
expect 2 "did you mean .?bce" "a misspelt value" train $tiny --set loss=bec
sed 's/dense: 16/dence: 16/' tiny.yaml >typo.yaml
expect 2 "typo\.yaml:5:[0-9]+: .*did you mean .?dense" "a misspelt layer, with its line" train --recipe ./typo.yaml
expect 2 "needs a value" "a flag without its value" train --batch
expect 2 "takes no value" "a switch with a value" train --dry-run=1
expect 2 "unexpected argument" "an argument too many" train tiny
expect 2 "give one of them" "two lengths" train $tiny --steps 5 --epochs 1
expect 2 "give one of them" "a flag and --set on one key" train $tiny --batch 4 --set train.batch=8
expect 2 "not key=value" "--set without =" train --set batch
for time in soon 0 -1s 0x10 1e3s 1y; do expect 2 "not a time" "the time '$time'" train --max-time $time; done
expect 2 "whole number" "a batch that is no number" train $tiny --batch many
for batch in 0 -1 99999999999999999999; do
  expect 2 "batch" "--batch $batch" train $tiny --batch $batch
done
expect 2 "batch" "batch 0 in the recipe" train $tiny --set train.batch=0
"$duel" train $tiny --batch 4000000000000 >out 2>err
case $? in 2 | 5) result 0 "a huge batch" ;; *) result 1 "a huge batch" ;; esac
expect 2 "batch" "batchnorm with batch 1" train $tiny --batch 1
expect 2 "G\.5.*784|784.*G\.5" "shapes that do not fit: layer and shape" train $tiny --set 'G.5.reshape=[1, 28, 27]'
says "27" both "and the other shape"
expect 2 "tiny2" "a recipe file that is not there" train --recipe ./tiny2.yaml
expect 2 "resume.*init|init.*resume" "--resume and --init" train --resume latest --init x
[ ! -e runs ]
result $? "no mistake left a folder behind"

# ---- a run

expect 0 "^Finished: step 9" "9 steps" train $tiny --steps 9 --outdir one
run=$(ls -d one/00000-tiny-*shapes-batch8)
[ "$rc" = 0 ] || { echo "Bail out! it does not train"; exit 1; }
cp out first
[ ! -s err ]
result $? "nothing on stderr"
for file in recipe.yaml log.txt stats.jsonl reals.png fakes-00000000.png checkpoint-00000000.safetensors \
  checkpoint-00000009.safetensors; do
  [ -s "$run/$file" ]
  result $? "the run has $file"
done
says '^duel [0-9.]+ begins at step 0 of [0-9]+: recipe tiny, data shapes, batch 8, seed ' "$run/log.txt" "the log says what ran"
[ one/latest/log.txt -ef "$run/log.txt" ]
result $? "latest points to the run"
says '^Epoch:\[1\] D loss: [0-9.]+, G loss: [0-9.]+$' first "a line at the end of an epoch"
"$duel" train $tiny --steps 16 --outdir one/ends --set output.tick=8 >out 2>&1
says '^Epoch:\[2\] D loss: [0-9.]+, G loss: [0-9.]+$' out "also where a tick ends with it"
[ -z "$(find one -name '*.tmp.*')" ]
result $? "no temporary is left"
for key in step epoch kimg d_loss g_loss score_real score_fake lr_d lr_g ms_per_step images_per_sec rss_mib elapsed_s; do
  grep -q "\"$key\":" $run/stats.jsonl || echo "$key"
done >out
[ ! -s out ]
result $? "stats.jsonl has its keys"
[ "$(bytes $run/reals.png 0 8)" = 89504e470d0a1a0a ]
result $? "pictures are PNG"
resume=$(sed -n 's/^Resume: *//p' first) generate=$(sed -n 's/^Generate: *//p' first)
ok "the resume line can be pasted" sh -c "$resume"
ok "the generate line can be pasted" sh -c "$generate"
[ -s grid.png ]
result $? "and makes its picture"
expect 0 "" "-q" train $tiny --outdir quiet -q
ok "-q prints the directory alone" test "$(cat both)" = "$(ls -d quiet/00000-*)"
odd=$(printf 'b\303\251\377"\n1')
expect 0 '"directory":"b..\\ufffd\\"\\n1/' "--json of any name" train $tiny --outdir "$odd" --json
expect 0 '^\{"event":"result"' "--json" train $tiny --outdir json --json
[ -z "$(grep -v '^{.*}$' out)" ]
result $? "--json prints only objects"
expect 0 "^Generate: .* \./-d/" "a folder with a dash is printed as no flag" train $tiny --outdir=-d
expect 0 "G\.0" "--dry-run shows the layers" train $tiny --outdir dry -n
ok "--dry-run writes nothing" missing dry
expect 0 "Memory: *1[0-9]{4}\." "--dry-run takes no memory" train --data synthetic:shapes --batch 1000000 -n
expect 0 "" "--desc" train $tiny --outdir one --desc "my // try" -q
ok "the second run has number 1 and its description" test -d "$(ls -d one/00001-*8-my-try)"
expect 0 "max-time" "--max-time stops" train $tiny --steps 1000000000 --max-time 1s --outdir time
ring ring.yaml
expect 0 "^Finished: step 3" "points: synthetic:ring" train --recipe ./ring.yaml --outdir ring

# ---- the same bytes

steps() { # OUTDIR STEPS FLAGS…: a quiet run; its directory in $dir
  outdir=$1 length=$2
  shift 2
  dir=$("$duel" train $tiny --outdir "$outdir" --steps "$length" -q "$@" 2>err) || cat err >&2
}
steps same 20 --threads 2
a=$dir
steps same 20 --threads 2
ok "one seed, the same bytes" cmp "$(newest "$a")" "$(newest "$dir")"
steps same 20 --threads 1
ok "1 and 2 threads, the same bytes" cmp "$(newest "$a")" "$(newest "$dir")"
steps same 20 --seed 1
ok "another seed, other bytes" differ "$(newest "$a")" "$(newest "$dir")"
if grep -qw avx2 /proc/cpuinfo; then
  steps bf16 20 --precision bf16
  ok "bf16, other bytes" differ "$(newest "$a")" "$(newest "$dir")"
  b=$dir
  steps bf16 10 --precision bf16 --threads 1
  expect 0 "products of bf16" "a resume keeps the precision" train --resume "$dir" --steps 20
  ok "and is the unbroken run" cmp "$(newest "$b")" "$(newest "$dir")"
  expect 0 "checkpoint was made by .*bf16" "another one can be asked for" train --resume "$dir" --steps 25 --precision fp32
else
  skip "bf16 needs x86-64-v3"
fi
steps half 10
ok "going on" "$duel" train --resume "$dir" --steps 20 -q
ok "10 and 10 steps are 20" cmp "$(newest "$a")" "$(newest "$dir")"
grep -o '"step": *[0-9]*' "$dir/stats.jsonl" >lines
ok "stats.jsonl goes on without a repeated step" test "$(sort -u lines | tr -d '\n')" = "$(tr -d '\n' <lines)"
expect 0 "--steps" "a finished run says so and names the flag" train --resume "$dir"
expect 0 "" "--resume latest" train --resume latest --outdir half --steps 22 -q
ok "--resume latest went on" test -s "$dir/checkpoint-00000022.safetensors"
"$duel" train $tiny --steps 30 --checkpoint 5 --outdir back -q >log 2>&1
dir=$(ls -d back/00000-*)
cp "$dir/checkpoint-00000030.safetensors" future
expect 0 "goes on from step 0: 3 later .* aside" "from an older checkpoint" \
  train --resume "$dir/checkpoint-00000000.safetensors" --steps 10
ok "leaves what it made" test -s "$dir/checkpoint-00000010.safetensors"
ok "and what was there" cmp future "$dir/checkpoint-00000030-aside.safetensors"
says '"step":30,' "$dir/stats-aside.jsonl" "with its statistics"
expect 2 "init" "which no resume mixes with what is new" train --resume "$dir/checkpoint-00000030-aside.safetensors"
cp future "$dir/checkpoint-00000040.safetensors"
expect 3 "holds step 30" "nor under a wrong name" train --resume "$dir/checkpoint-00000040.safetensors" --steps 50
rm "$dir/checkpoint-00000040.safetensors"
expect 0 "checkpoint-00000010" "which is the run's no more" generate "$dir" --count 1 --out back.png
cp "$dir/checkpoint-00000010.safetensors" good10
truncate -s -10 "$dir/checkpoint-00000010.safetensors"
expect 0 "warning.*00000010.*cut short.*taking checkpoint-00000005" "generate tells of a newest that is damaged" \
  generate "$dir" --count 1 --out back.png
expect 0 "warning.*00000010.*cut short" "so does --init" train $tiny --init "$dir" --outdir back
expect 0 "warning.*00000010.*cut short" "so does a resume" train --resume "$dir" --steps 10
ok "which trains it again, bit for bit" cmp good10 "$dir/checkpoint-00000010.safetensors"

# ---- a resume that does not match

expect 2 "init" "another learning rate is refused and --init named" train --resume "$a" --steps 30 --set optim.lr=0.1
says "lr" both "with the key that differs"
expect 2 "" "another recipe is refused" train --resume "$a" --recipe ./other.yaml --steps 30
expect 2 "" "another batch is refused" train --resume "$a" --batch 4 --steps 30
expect 2 "train\.batch: 8 -> 4" "by a dry run too" train --resume "$a" --batch 4 --steps 30 -n
expect 2 "data\.path.*ring" "other data are a difference, not a misfit" train --resume "$a" --data synthetic:ring
expect 2 "outdir" "--outdir where a run is named" train --resume "$a" --steps 30 --outdir elsewhere
mkdir copy && cp "$(newest "$a")" copy/copy.safetensors && echo mine >copy/recipe.yaml
expect 2 "init" "a copy of a checkpoint is in no run" train --resume copy/copy.safetensors --steps 30
ok "and nothing is written beside it" test "$(cat copy/recipe.yaml) $(ls -A copy | wc -l)" = "mine 2"
ok "a refusal changes nothing" test "$(ls "$a"/checkpoint-* | wc -l)" -eq 2
expect 3 "" "a run that is not there" train --resume nowhere
expect 3 "" "latest where there is none" train --resume latest --outdir nothing
expect 0 "^Finished" "--init begins anew" train $tiny --init "$(newest "$a")" --outdir init
expect 3 "G\.0\.weight" "--init with other shapes" train --recipe ./other.yaml --init "$(newest "$a")" --outdir init2
expect 3 "G\.0\.weight" "which a dry run sees" train --recipe ./other.yaml --init "$(newest "$a")" -n
expect 0 "^Finished" "--init from a run" train $tiny --init latest --outdir init

# ---- little memory

if (ulimit -v 300000) 2>/dev/null && ! nm "$duel" 2>/dev/null | grep -q __asan_init; then # ASan needs terabytes of addresses
  (ulimit -v 300000 && timeout 20 "$duel" train $tiny --outdir little >out 2>err)
  ok "no room for BLAS ends with 5, not in an endless loop" same_number $? 5
  says 'ulimit -v' err "no room for BLAS says what to do"
fi

# ---- weights that are no numbers

cat >burst.yaml <<EOF
recipe: 1
data: {path: synthetic:shapes, limit: 64}
latent: 8
G: [dense: \$C*\$H*\$W, tanh, reshape: [\$C, \$H, \$W]]
D: {layers: [flatten, dense: 1], optim: {weight_decay: 0}}
loss: bce
optim: {name: adam, lr: 1, weight_decay: 1000000}
train: {length: 50 steps, batch: 8}
output: {sample: 0, checkpoint: 1 steps, keep: 2}
EOF
expect 6 "step 7.*G\.0\.(weight|bias)" "weights that overflow are named" train --recipe ./burst.yaml --outdir burst
says 'last checkpoint is .*checkpoint-00000006' err "and the last good checkpoint"
expect 0 "" "which still draws" generate burst/latest --count 1 --out burst.png

# ---- signals

start() { # OUTDIR FLAGS…: an endless run in the background
  : >out # or the one before might be taken for this one, and a signal sent before anyone listens
  "$duel" train $tiny --steps 1000000000 --outdir "$@" >out 2>err &
  pid=$!
  wait_for '^step' out
}
stop() { # SIGNAL
  kill -"$1" $pid
  wait $pid
  rc=$?
}
for signal in INT:130 TERM:143 HUP:129; do
  start "on${signal%:*}"
  stop "${signal%:*}"
  ok "SIG${signal%:*} exits ${signal#*:}" same_number $rc "${signal#*:}"
done
start int
stop INT
dir=$(ls -d int/00000-*)
at=$(sed -n 's/^Stopped as asked: step \([0-9]*\).*/\1/p' out)
says '^Resume: ' out "Ctrl-C prints how to go on"
ok "Ctrl-C saves its step" test -s "$(printf '%s/checkpoint-%08d.safetensors' "$dir" "${at:-0}")"
ok "going on after Ctrl-C" "$duel" train --resume "$dir" --steps $((at + 7)) -q
steps whole $((at + 7))
ok "Ctrl-C and going on, the same bytes" cmp "$(newest int/00000-*)" "$(newest "$dir")"
start second
kill -INT $pid
kill -INT $pid
wait $pid
ok "a second Ctrl-C exits 130 too" same_number $? 130
ok "and what it left can be used" "$duel" generate "$(ls -d second/00000-*)" --count 2 --out two.png
mkdir pile && for i in $(seq 1000); do ln "$a/reals.png" pile/$i.png; done
"$duel" train --recipe dcgan-64 --data pile --set data.size=512 --steps 1 --outdir early >out 2>err &
pid=$!
wait_for headers out
stop TERM
ok "a signal while data are decoded" same_number $rc 143
ok "ends it there" missing early
start save
kill -USR1 $pid
for i in $(seq 100); do
  [ "$(ls save/latest/checkpoint-* | wc -l)" -ge 2 ] && break
  sleep 0.05
done
ok "SIGUSR1 saves" test "$(ls save/latest/checkpoint-* | wc -l)" -ge 2
ok "and goes on" kill -0 $pid
expect 4 "$pid" "a second trainer in the directory is refused" train --resume "$(ls -d save/00000-*)" --steps 2000000000
stop TERM
{
  "$duel" train $tiny --outdir pipe
  echo $? >rc
} 2>err | head -n 1 >out
ok "a reader that leaves does not stop the training" test "$(cat rc)" -eq 0

# ---- bad data, bad checkpoints, bad folders

good=$(newest "$a")
size=$(wc -c <"$good")
flip() { # FILE OFFSET: one bit less or more
  old=$(bytes "$1" "$2" 1)
  printf "\\$(printf %o $((0x$old ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
for at in 0 12 100 $((size / 2)) $((size - 1)); do
  cp "$good" bad.safetensors
  flip bad.safetensors "$at"
  expect 3 "bad\.safetensors" "one bit flipped at $at" generate ./bad.safetensors --count 1 --out x.png
done
for length in 0 7 100 $((size / 2)) $((size - 1)); do
  head -c "$length" "$good" >bad.safetensors
  expect 3 "bad\.safetensors" "a checkpoint of $length bytes" info ./bad.safetensors
done
ok "a bad checkpoint makes no picture" missing x.png
steps lots 1 --keep 100000
i=5000
while [ $i -gt 600 ]; do : >"$dir/$(printf checkpoint-%08d.safetensors $i)" && i=$((i - 1)); done
cp "$good" "$dir/checkpoint-00005001.safetensors"
expect 0 "checkpoint-00005001" "the newest of very many checkpoints" generate "$dir" --count 1 --out lots.png
steps fall 6 --checkpoint "2 steps"
flip "$(newest "$dir")" $((size / 2))
expect 0 "checkpoint-00000006" "a torn newest checkpoint is named and the one before taken" train --resume "$dir" --steps 8
steps clean 8 --checkpoint "2 steps"
ok "and the result is the same" cmp "$(newest fall/00000-*)" "$(newest "$dir")"

idx good.idx 32
expect 0 "" "an IDX file" train $tiny --data ./good.idx --set data.limit=0 --outdir idx -q
for at in here there; do mkdir -p data/$at && cp good.idx data/$at/set.idx; done
steps moved 4 --data data/here/set.idx && rm data/here/set.idx
expect 3 "data/here/set\.idx" "going on without the data" train --resume "$dir" --steps 8
expect 0 "data\.path: data/here" "data that have moved" train --resume "$dir" --steps 8 --data data/there/set.idx
printf x | dd of=data/there/set.idx bs=1 seek=40 conv=notrunc 2>/dev/null
expect 3 "fingerprint" "data that have changed" train --resume "$dir" --steps 12
for length in 0 3 15 16 17 527; do
  head -c $length good.idx >cut.idx
  expect 3 "cut\.idx" "an IDX file cut to $length bytes" train $tiny --data ./cut.idx --outdir cut
done
gzip -c good.idx >good.idx.gz
expect 0 "" "an IDX file in gzip" train $tiny --data ./good.idx.gz --outdir idx -q
head -c 40 good.idx.gz >cut.idx.gz
expect 3 "cut\.idx\.gz" "a cut gzip file" train $tiny --data ./cut.idx.gz --outdir cut
expect 3 "nowhere" "data that are not there" train $tiny --data ./nowhere --outdir cut
expect 2 "synthetic:shapes" "a misspelt data set" train $tiny --data synthetic:shape --outdir cut
expect 2 "--data-memory: run\.data_memory: lots is not" "a memory that is no size" train $tiny --data-memory lots
mkdir words && echo words >words/a.png
expect 3 "words/a\.png is no picture, whatever its name says" "a folder with other things than pictures" train $tiny --data ./words --outdir cut
ok "bad data leave no folder" missing cut
expect 0 "are read from \./\.good\.idx\.duel-.*cache" "data larger than --data-memory" \
  train $tiny --data ./good.idx --set data.limit=0 --outdir stream --data-memory 0.1K
ok "have the same bytes" cmp "$(newest idx/00000-*)" "$(newest stream/00000-*)"
expect 0 "" "data from the cache" train $tiny --data ./good.idx --set data.limit=0 --outdir stream --data-memory 100 -q
: >file
expect 4 "file" "an output folder that is a file" train $tiny --outdir file
mkdir last && mkdir last/99999-x
expect 4 "use another --outdir$" "no number left: an option of the library is a flag here" train $tiny --outdir last
DUEL_CUDA_LIBRARY=$PWD/none/libduel_cuda.so "$duel" train $tiny --backend cuda >out 2>err
says 'or use run\.backend=cpu \(--backend cpu\)$' err "a recipe key gets its flag"
expect 2 'run\.precision' "a precision without meaning" train $tiny --backend cpu --set run.precision=fp8
ok "has no flag where the key is what it is about" sh -c '! grep -q -e "(--" err'
expect 2 "set run\.precision \(--precision\) to" "also without a value" train $tiny --backend cpu --precision tf32
expect 0 "memory.*optimizer state" "the arenas by their names" train $tiny -n
expect 4 "file" "an output folder inside a file" train $tiny --outdir file/inside
"$duel" info recipes >/dev/full 2>err
ok "standard output that is full" same_number $? 4
"$duel" train $tiny --outdir noout <&- >&- 2>err
ok "standard output that is closed" same_number $? 4
ok "is no other file's descriptor" test "$(wc -c <noout/latest/.lock)" -lt 10
(ulimit -f 100 && "$duel" train $tiny --outdir large >out 2>err)
ok "a file larger than allowed" same_number $? 4
# AddressSanitizer takes more than any limit
if [ "$(ldd "$duel" | grep -c 'lib[al]san')" = 0 ] && ! grep -q __asan_init "$duel"; then
  (ulimit -v 100000 && timeout -k 5 30 "$duel" --help >out 2>err)
  ok "little memory: help" same_number $? 0
  (ulimit -v 100000 && timeout -k 5 30 "$duel" train $tiny --outdir little >out 2>err)
  ok "little memory: training" same_number $? 5
else
  skip "sanitizers need more memory"
  skip "sanitizers need more memory"
fi
mkdir -p linked/latest
expect 0 "warning.*latest" "latest that is no link is a warning" train $tiny --outdir linked
mkdir owned && echo mine >owned/latest
expect 0 "warning.*latest" "also where it is a file" train $tiny --outdir owned
ok "which stays" test "$(cat owned/latest)" = mine
if [ "$(id -u)" != 0 ]; then
  mkdir closed && chmod 500 closed
  expect 4 "closed" "an output folder that cannot be written" train $tiny --outdir closed
  expect 4 "closed" "a picture that cannot be written" generate "$good" --count 1 --out closed/x.png
else
  skip "root may write anywhere"
  skip "root may write anywhere"
fi
mkdir full
if mount -t tmpfs -o size=64k none full 2>/dev/null; then
  mounted=$home/a\ b/full
  expect 4 "space" "an output folder on a full disk" train $tiny --outdir full
  [ -z "$(find full -name '*.tmp.*')" ]
  result $? "no temporary is left on the full disk"
  umount full && mount -t tmpfs -o size=512k none full
  "$duel" train $tiny --outdir full -q >log 2>&1
  dir=$(readlink full/latest)
  head -c 8m /dev/zero >full/fill 2>log
  expect 4 "space" "a start on a full disk" train $tiny --outdir full
  ok "leaves latest alone, and nothing of its own" test "$(readlink full/latest) $(ls full | wc -l)" = "$dir 3"
  umount full && mount -t tmpfs -o size=4m none full
  start full --set output.tick=1 --sample 0 --checkpoint 0
  head -c 8m /dev/zero >full/fill 2>log
  wait_for 'warning.*stats\.jsonl' err
  sleep 0.2
  rm full/fill
  wait_for 'stats\.jsonl is written again' out
  stop INT
  ok "training outlives a full disk" same_number $rc 130
  ok "one warning tells of it" test "$(grep -c 'warning.*stats\.jsonl' err)" -eq 1
  [ -z "$(grep -v '^{.*}$' full/latest/stats.jsonl)" ]
  result $? "no line of stats.jsonl is torn"
  at=$(sed -n 's/^Stopped as asked: step \([0-9]*\).*/\1/p' out) had=$(wc -l <full/latest/stats.jsonl)
  sed -i '2s/.*/{"step": 2, "ep/' full/latest/stats.jsonl
  "$duel" train --resume full/latest --steps $((at + 5)) -q >log 2>&1
  ok "a resume cuts a torn line alone" test "$(wc -l <full/latest/stats.jsonl)" -eq $((had + 4))
  start full --set output.tick=50 --sample 0 --checkpoint 20
  head -c 8m /dev/zero >full/fill 2>log
  wait $pid
  ok "three lost checkpoints in a row end it" same_number $? 4
  ok "with the last good one named" "$duel" info "$(sed -n 's/.*the last checkpoint is //p' err)"
else
  for i in $(seq 10); do skip "no right to mount a small disk"; done
fi

# ---- generate

expect 0 "" "a .png grid" generate "$a" --seeds 0,1,4-6 --out g.png
expect 0 "" "with columns" generate "$a" --count 7 --columns 3 --out g3.png
ok "of 3 times 3 images" test "$(bytes g3.png 16 8)" = 0000005400000054
expect 0 "" "a .npy array" generate "$a" --seeds 4-6 --out g.npy
expect 0 "" "of one seed" generate "$a" --seeds 5 --out g5.npy
tail -c +$((1 + $(wc -c <g.npy) - 2 * 3136)) g.npy | head -c 3136 >of3
tail -c 3136 g5.npy >of1
ok "a seed gives one image, whatever its neighbors" cmp of3 of1
expect 0 "" "--count" generate "$a" --count 5 --out c.npy
expect 0 "" "--seeds" generate "$a" --seeds 0-4 --out s.npy --threads 1
ok "--count N is --seeds 0-(N-1)" cmp c.npy s.npy
expect 0 "" "an .idx file" generate "$a" --count 5 --out c.idx
ok "of 16 bytes and 5 images" test "$(wc -c <c.idx)" -eq $((16 + 5 * 784))
expect 0 "" "a folder" generate "$a" --seeds 3,300-601 --out many/
ok "of one picture a seed" test "$(ls many | wc -l)" -eq 303
ok "named after it" test -s many/00601.png
expect 2 "no net of .* reads labels.*leave --class out" "a class of a net that knows none" generate "$a" --count 1 --class 0 --out x.png
expect 2 "class" "no list of classes" generate "$a" --count 1 --class trousers --out x.png
expect 0 "" "a net that knows classes" train --recipe cgan --data synthetic:shapes --steps 3 --outdir classes -q
expect 2 "class 4 is not there; classes are 0 to 3" "a class that is not there" generate classes/latest --count 1 --class 4 --out x.png
expect 0 "" "classes in turns" generate classes/latest --seeds 5,6,7 --class 2,1 --out turns.npy
expect 0 "" "one class" generate classes/latest --seeds 7 --class 2 --out two.npy
tail -c 3136 turns.npy >class-a
tail -c 3136 two.npy >class-b
ok "the third item is of the first class again" cmp class-a class-b
expect 0 '"items":2' "generate --json" generate "$good" --count 2 --out j.png --json
expect 2 "seeds" "neither seeds nor count" generate "$a" --out x.png
expect 2 "seeds" "both" generate "$a" --seeds 1 --count 1 --out x.png
expect 2 "out" "no --out" generate "$a" --count 1
expect 2 "10000000" "too many" generate "$a" --count 10000001 --out many/
for seeds in "" 1- 3-1 a 1,,2 -1 99999999999999999999; do
  expect 2 "seeds" "--seeds '$seeds'" generate "$a" --seeds "$seeds" --out x.png
done
expect 2 "x\.jpeg" "an ending that is unknown, before anything is drawn" generate "$a" --count 9999999 --out x.jpeg
expect 2 "columns" "columns of what is no grid" generate "$a" --count 4 --columns 2 --out x.npy
expect 2 "threads" "--threads beyond an int" generate "$a" --count 1 --out x.png --threads 4294967297
expect 2 "name a file" "--out -" generate "$a" --count 1 --out -
expect 4 "nofolder" "a picture in a folder that is not there" generate "$a" --count 1 --out nofolder/x.png
expect 3 "nowhere" "no such run" generate ./nowhere --count 1 --out x.png

# ---- info

expect 0 "^  mlp " "info recipes" info recipes
ok "tells all, once each" test "$(grep -c '^  [a-z]' out)" -eq "$(ls "$DUEL_SOURCE"/recipes/*.yaml | wc -l)"
expect 0 "cpu" "info devices" info devices
expect 0 "fashion-mnist" "info data" info data
expect 0 "^PICTURES +PNG, JPEG.*BMP" "info data says which pictures are read" info data
expect 0 "G\.0" "info RECIPE" info ./tiny.yaml
lines=$(wc -l <out)
expect 0 "adam" "info RECIPE --plan lists nodes" info ./tiny.yaml --plan
ok "more than without" test "$(wc -l <out)" -gt "$lines"
>mlp
expect 0 "G\.7" "a recipe's name, where a file has it too" info mlp
expect 0 "20" "info RUN" info "$a"
expect 0 "G\.0\.weight|20" "info CHECKPOINT" info "$good"
expect 0 "00000-" "info RUNS/" info same/
printf '{"step": 9' >>"$a/stats.jsonl"
expect 0 "00000-[^ ]* +20 " "with the step before a torn line" info same/
for what in recipes devices data ./tiny.yaml "$a" "$good" same/; do
  expect 0 '^[[{]' "info $what --json" info "$what" --json
  cat out >>every.json
done
"$duel" train $tiny -n --json >>every.json 2>err
"$duel" train $tiny --outdir "$odd" --json >>every.json 2>>err
"$duel" generate "$good" --count 1 --out "$odd.npy" --json >>every.json 2>>err
if command -v python3 >/dev/null; then
  cat >every.py <<EOF
import json
lines = [json.loads(line) for line in open("every.json", encoding="utf-8")]
kinds = {key for line in lines for key in line}
for key in "recipes", "devices", "data", "metadata", "runs", "shape", "event", "items":
    assert key in kinds, key
assert {l["event"] for l in lines if "event" in l} >= {"start", "sample", "checkpoint", "end", "result"}
runs = next(l["runs"] for l in lines if "runs" in l)
assert runs[0]["step"] == 20 and runs[0]["checkpoints"][-1] == 20 and isinstance(runs[0]["d_loss"], float), runs
tensors = next(l["tensors"] for l in lines if "tensors" in l)
assert {"name": "G.0.weight", "dtype": "f32", "shape": [16, 8]} in tensors, tensors[:3]
EOF
  ok "every --json is JSON, whatever the names" python3 every.py
else
  skip "no python3 to read JSON"
fi
mkdir empty
expect 0 "^no runs in empty" "info of a folder without runs" info empty
rm init/latest/recipe.yaml
expect 0 "G\.0\.weight" "a folder with checkpoints is a run" info init/latest
expect 2 "did you mean" "info of a misspelt recipe" info mpl
expect 2 "recipe" "info of nothing" info

# ---- a classifier

cat >judge.yaml <<EOF
recipe: 1
game: classifier
data: spots
C: [flatten, dense: 8, relu, dropout: 0.1, dense: \$classes]
loss: cross_entropy
optim: {name: adam, lr: 0.02}
ema: {half_life: 16 images}
train: {length: 60 steps, batch: 8, noise: 0.4}
output: {tick: 10 steps}
EOF
judge="--recipe ./judge.yaml"
bytes_of() { # NUMBERS…
  printf '%b' "$(printf '\\0%03o' "$@")"
}
spots() { # PREFIX LABELS…: images of 2×2, dark and bright in turns, and their labels
  prefix=$1
  shift
  { bytes_of 0 0 8 3 0 0 0 $# 0 0 0 2 0 0 0 2
    i=0
    while [ $i -lt $# ]; do bytes_of $((i % 2 * 255)) $((i % 2 * 255)) $((i % 2 * 255)) 128 && i=$((i + 1)); done; } >"${prefix}images-idx3-ubyte"
  { bytes_of 0 0 8 1 0 0 0 $# && bytes_of "$@"; } >"${prefix}labels-idx1-ubyte"
}
mkdir spots wrong alone
spots spots/train- 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1
spots spots/t10k- 0 1 0 1 0 1
spots wrong/ 1 0 1 0
cp spots/train-images-idx3-ubyte alone/images-idx3-ubyte
expect 0 '^Epoch:\[1\] loss: [0-9.]+, accuracy: [0-9.]+, test accuracy: [0-9.]+$' "a classifier" train $judge --outdir judge
run=$(ls -d judge/00000-judge-*)
cp out first
says '^Data: .*; 20 images of 1x2x2, 2 classes$' first "of all items, where a test set lies beside them"
if grep -q '^Generate:' first; then result 1 "its end offers no pictures"; else result 0 "its end offers no pictures"; fi
ok "nor made any" sh -c '! ls "$0"/fakes-*' "$run"
for key in loss accuracy test.accuracy test.missed grad_norm_c lr_c; do
  grep -q "\"step\":60,.*\"$key\":" "$run/stats.jsonl" || echo "$key"
done >out
[ ! -s out ]
result $? "its last line of stats.jsonl has its scalars"
says '"step":60,.*"test\.accuracy":1[,}]' "$run/stats.jsonl" "what is bright and what is dark"
expect 0 '^C_ema\.1\.weight' "info of its checkpoint" info "$run"
expect 0 '00000-judge[^ ]* +60  loss [0-9.]+  accuracy [0-9.]+  test\.accuracy 1\.0000 ' "info of its folder" info judge/
expect 0 '"step":60,"loss":[0-9.e-]+,"accuracy":[0-9.e-]+,"test\.accuracy":1,' "in JSON" info judge/ --json
expect 0 '^C\.1 +dense +8 ' "info of its recipe" info ./judge.yaml
expect 2 "classifier draws no samples.*another game" "generate says why not" generate "$run" --count 1 --out x.png
expect 2 "^duel: error: --sample: output\.sample: the game classifier has no such key, gan has" "so does --sample" \
  train $judge --sample 1
expect 0 "" "a resume" train $judge --steps 30 --outdir judge -q
half=$(cat out)
expect 0 "" "of a classifier" train --resume "$half" --steps 60 -q
ok "is the unbroken run" cmp "$(newest "$run")" "$(newest "$half")"
expect 0 "^Finished" "--init of a classifier" train $judge --init "$run" --steps 10 --outdir judge
expect 3 "has no tensor C\.1\.weight" "but not from a GAN" train $judge --init "$a" --outdir judge
expect 0 '^step 60/60 .* test accuracy 0\.0000 ' "data.test" \
  train $judge --set data.test=wrong/images-idx3-ubyte --outdir judge
expect 3 "images has no labels, and the recipe learns from them" "a set without labels" \
  train $judge --data ./alone/images-idx3-ubyte --outdir judge
spots alone/ 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1
expect 0 '^Data: .*; 18 images' "without a test set a tenth is held out" train $judge --data ./alone/images-idx3-ubyte -n
spots alone/ 0 0 0 0 0 0 0 0 0 0
expect 3 "has 9 items, all of one class: labels are of use with two" "one class alone" train $judge --data ./alone/images-idx3-ubyte
spots alone/ 0 2 0 2 0 2 0 2 0 2
expect 3 "is of class 1, of 3 classes: labels count from 0" "a class that never occurs" \
  train $judge --data ./alone/images-idx3-ubyte
expect 2 "C yields 3 an item .* the data have 2; let it end with dense: " "a last layer for other classes" \
  train $judge --set C.4.dense=3
expect 0 "^Finished" "a batch larger than the data" train $judge --batch 50 --steps 2 --outdir judge
expect 0 "^Finished" "no noise" train $judge --set train.noise=0 --steps 2 --outdir judge
expect 0 "^Finished" "points" train $judge --data synthetic:ring --set data.limit=80 --steps 2 --outdir judge
expect 0 '^Finished: step 2' "the recipe classifier-28" train --recipe classifier-28 --data synthetic:shapes \
  --set data.limit=60 --batch 8 --steps 2 --outdir judge

# ---- bench

short="--steps 2 --repetitions 3 --warmup 2 --peak-seconds 0.01"
expect 0 "^cpu +[0-9.]+ +[0-9.]+-[0-9.]+ +[0-9]+ +1\.00x " "bench prints a row" bench $tiny --backend cpu $short
says 'tiny on shapes, batch 8, seed 0: .* MFLOP' out "under what it measures"
says '^cpu +[0-9.]+ % of [0-9.]+ GFLOP/s, [0-9.]+ % of [0-9.]+ GB/s \(squares of side [0-9]+, ' out "and its peaks"
expect 0 '^cpu +D loss 0, G loss 0, items 0, weights 0 of their norm$' "cpu against cpu: the same trajectory" \
  bench $tiny --backend cpu,cpu $short --json bench.json --threads 2
ok "--json writes a file too" test -s bench.json
expect 0 '^cpu +loss 0, accuracy 0, weights 0 of their norm$' "a game that draws nothing" \
  bench $judge --backend cpu,cpu $short
expect 0 '"difference":\{"loss":0,"accuracy":0,"weights":0\}' "in JSON" bench $judge --backend cpu $short --json -
if command -v python3 >/dev/null; then
  cat >bench.py <<EOF
import json, math
b = json.load(open("bench.json"))
assert (b["recipe"], b["data"], b["items"], b["batch"], b["seed"]) == ("tiny", "shapes", 64, 8, 0), b
assert (b["images_per_step"], b["warmup_steps"], b["repetitions"]) == (8, 2, 3), b
assert len(b["backends"]) == 2
close = lambda x, y: math.isclose(x, y, rel_tol=1e-6)
for row in b["backends"]:
    assert row["backend"] == "cpu" and row["usable"] is True and row["device"], row
    ms, spread = sorted(row["ms"]), row["ms_per_step"]
    assert len(ms) == 3 and row["steps_per_repetition"] == 2
    assert (spread["min"], spread["median"], spread["max"]) == tuple(ms)
    assert close(spread["q1"], (ms[0] + ms[1]) / 2) and close(spread["q3"], (ms[1] + ms[2]) / 2)
    assert close(row["images_per_sec"], 8000 / ms[1])
    assert row["step_flops"] > 0 and close(row["gflops"], row["step_flops"] / ms[1] / 1e6)
    assert row["step_bytes"] > 0 and close(row["gbytes_per_sec"], row["step_bytes"] / ms[1] / 1e6)
    assert row["first_step_s"] > 0 and row["memory_bytes"] > 0
    assert len(row["d_loss"]) == len(row["g_loss"]) == 2
    assert row["difference"] == {"d_loss": 0, "g_loss": 0, "items": 0, "weights": 0}
    assert row["threads"] == 2 and row["peak_square"] >= 256 and row["peak_pass_bytes"] >= 1 << 20
    assert close(row["of_peak_gflops"], row["gflops"] / row["peak_gflops"])
    assert close(row["of_peak_gbytes"], row["gbytes_per_sec"] / row["peak_gbytes_per_sec"])
    assert "ops" not in row and "nodes" not in row
first, second = b["backends"]
assert close(second["speedup"], sorted(x / y for x, y in zip(first["ms"], second["ms"]))[1])
assert "scale" not in b
EOF
  ok "with all that was measured" python3 bench.py
else
  skip "no python3 to read JSON"
fi
"$duel" train $tiny --steps 2 --outdir bench --set output.tick=1 -q >log 2>&1
loss=$(sed -n 's/.*"step":2,.*"d_loss":\([0-9.]*\).*/\1/p' bench/latest/stats.jsonl)
says "\"d_loss\":\[[0-9.]*,${loss:-none}" bench.json "the trajectory is that of train"
expect 0 '^\{"version".*\}$' "--json - prints JSON" bench $tiny --backend cpu $short --json -
ok "and nothing else" same_number "$(wc -l <both)" 1
"$duel" bench $tiny --backend cpu --repetitions 1 --seconds 0.01 -q >both 2>&1
ok "--seconds" same_number $? 0
ok "-q prints nothing" test ! -s both
ok "bench leaves no run behind" missing runs
DUEL_CUDA_LIBRARY=$PWD/none/libduel_cuda.so "$duel" bench $tiny $short --json none.json >out 2>err
ok "one backend that works is enough" same_number $? 0
says '^cuda +not usable: this build of duel has no CUDA backend' out "and the other's row says why"
says '"backend":"cuda","usable":false,"error":"this build' none.json "in JSON too"
expect 0 '^cuda +(not usable: .|[0-9.]+ .*x )' "cpu,cuda, whatever there is" bench $tiny --backend cpu,cuda $short
expect 2 "cpu backend computes in fp32" "no backend that works" bench $tiny --backend cpu,cpu $short --precision tf32
ok "says why, once" same_number "$(wc -l <both)" 1
expect 2 "did you mean cuda\?" "a misspelt backend in a list" bench --backend cpu,cude
expect 2 "'' is none of" "a list with a hole" bench --backend cpu,,cuda
expect 2 "more than 8" "a list without end" bench --backend cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu
expect 2 "give one of them" "--backend and --set run.backend" bench --backend cpu --set run.backend=cpu
expect 2 "give one of them" "bench: --batch and --set train.batch" bench --batch 4 --set train.batch=8
expect 2 "give one of them" "--steps and --seconds" bench --steps 4 --seconds 1
expect 2 "run\.backend cannot be set" "run.backend in a setting" bench --set run.backend=cpu
expect 2 "train\.length cannot be set" "train.length in a setting" bench --set train.length=5
for flag in steps repetitions warmup batch threads; do
  for value in 0 -1 many; do expect 2 "--$flag: " "bench --$flag $value" bench --$flag $value; done
done
expect 2 "too many" "--steps beyond a run" bench --steps 5000000000
expect 2 "together" "repetitions that are beyond a run together" bench $tiny --backend cpu --steps 4000000000
for x in 0 -1 long inf; do expect 2 "--seconds: " "--seconds $x" bench --seconds $x; done
expect 2 "did you mean .?mlp" "bench of a misspelt recipe" bench --recipe mpl
expect 3 "nowhere" "bench of data that are not there" bench $tiny --data ./nowhere
expect 4 "nofolder" "results in a folder that is not there" bench $tiny --backend cpu $short --json nofolder/x.json

expect 0 '^all +[0-9]+ +[0-9.]+ +100\.0 % ' "--ops prints a table" bench $tiny --backend cpu $short --ops
says '^matmul +[0-9]+ +[0-9.]+ +[0-9.]+ % +[0-9.]+ +[0-9.]+ +(compute|memory) +[0-9]+ %$' out "of ops and their bounds"
expect 0 '^dense, D\.1 dense +1 ' "--nodes adds a row a node" bench $tiny --backend cpu $short --ops --nodes
expect 0 '^cpu +32 +2 .* [0-9]+ %$' "--scale prints a table" \
  bench $tiny --backend cpu $short --scale --batch-max 32 --threads 2 --batch 4
ok "of all batches and threads" same_number "$(grep -cE '^cpu +(16|32) +[12] ' out)" 4
emulator=$DUEL_BINARY/tests/cuemu/libduel_cuda.so
backends=cpu
if [ -e "$emulator" ]; then
  backends=cpu,cuda
  DUEL_CUDA_LIBRARY=$emulator
  export DUEL_CUDA_LIBRARY
else
  skip "no emulator for a second backend"
fi
ok "$backends with all tables" "$duel" bench $tiny --backend $backends --steps 20 --repetitions 3 --warmup 2 --threads 3 \
  --peak-seconds 0.01 --precision fp32 --ops --scale --batch-max 32 --json all.json
unset DUEL_CUDA_LIBRARY
if command -v python3 >/dev/null; then
  ok "bench/plot.py draws them" python3 "${DUEL_SOURCE:?}/bench/plot.py" all.json all.svg
  cat >all.py <<EOF
import json, math
import xml.etree.ElementTree as xml
b = json.load(open("all.json"))
close = lambda x, y: math.isclose(x, y, rel_tol=1e-5)
for row in b["backends"]:
    ops, nodes = row["ops"], row["nodes"]
    assert sum(o["calls"] for o in ops) == len(nodes) > 30
    for many in ops, nodes:
        assert close(sum(o["ms"] for o in many), row["ops_ms"]) and close(sum(o["share"] for o in many), 1)
        assert close(sum(o["flops"] for o in many), row["step_flops"])
        assert close(sum(o["bytes"] for o in many), row["step_bytes"])
    assert [o["ms"] for o in ops] == sorted((o["ms"] for o in ops), reverse=True)
    assert {o["op"] for o in ops} == {o["op"] for o in nodes}
    assert any(o["layer"].startswith("G.3 dense") for o in nodes)
    for o in ops + nodes:
        if not o["ms"]:
            continue
        compute, memory = o["gflops"] / row["peak_gflops"], o["gbytes_per_sec"] / row["peak_gbytes_per_sec"]
        if "bound" in o:
            assert o["bound"] == ("compute" if compute > memory else "memory"), o
            assert close(o["of_bound"], max(compute, memory)), o
        else:
            assert compute == memory == 0, o
    assert 0.2 < row["ops_ms"] / row["ms_per_step"]["median"] < 5, row # other work may disturb one of them
    assert row["difference"]["weights"] < 1e-3, row["difference"]
want = [("cpu", n, t) for n in (16, 32) for t in (1, 2, 3)]
if len(b["backends"]) > 1:
    want += [("cuda", n, 0) for n in (16, 32)]
    assert b["backends"][1]["difference"]["weights"] > 0
points = {(p["backend"], p["batch"], p["threads"]): p for p in b["scale"]}
assert list(points) == want, list(points)
for (name, batch, threads), p in points.items():
    single, small = points[name, batch, min(threads, 1)], points[name, 16, threads]
    assert close(p["images_per_sec"], 1000 * batch / p["ms_per_step"]["median"])
    assert close(p["us_per_image"] * p["images_per_sec"], 1e6)
    assert close(p["of_smallest_batch"], p["us_per_image"] / small["us_per_image"])
    assert close(p["speedup"], p["images_per_sec"] / single["images_per_sec"])
    assert close(p["efficiency"], p["speedup"] / max(threads, 1))
svg = "{http://www.w3.org/2000/svg}"
root = xml.parse("all.svg").getroot()
assert root.tag == svg + "svg"
words = [t.text for t in root.iter(svg + "text")]
for word in ("batch", "cpu, 1 thread", "cpu, 3 threads", "Images a second: tiny on shapes",
             "Where a step goes: tiny on shapes"):
    assert word in words, words
assert len(list(root.iter(svg + "polyline"))) == len({(n, t) for n, _, t in want})
assert len(list(root.iter(svg + "circle"))) == len(want)
assert len([r for r in root.iter(svg + "rect") if r.get("fill") != "#fcfcfb"]) >= 10 * len(b["backends"])
assert not any("nan" in v or "inf" in v for e in root.iter() for v in e.attrib.values())
EOF
  ok "hold what they say, and so does the chart" python3 all.py
  ok "plot.py says where there is nothing to draw" sh -c '! python3 "$0" bench.json none.svg 2>err && grep -q "nothing to draw" err' \
    "$DUEL_SOURCE/bench/plot.py"
else
  for i in 1 2 3; do skip "no python3 to draw"; done
fi
expect 2 "give both" "--nodes without --ops" bench --nodes
expect 2 "give both" "--batch-max without --scale" bench --batch-max 64
expect 2 "takes no value" "--ops with a value" bench --ops=nodes
for value in 0 15 -1 many; do expect 2 "--batch-max: " "bench --batch-max $value" bench --scale --batch-max $value; done
expect 2 "too many" "--batch-max beyond memory" bench --scale --batch-max 2000000
for x in 0 -1 long inf; do expect 2 "--peak-seconds: " "--peak-seconds $x" bench --peak-seconds $x; done

# ---- the live bar

if script -qec true /dev/null </dev/null >/dev/null 2>&1; then # it may lack a terminal device
  bar() { # COLUMNS
    TERM=xterm script -qec "stty cols $1; '$duel' train $tiny --steps 300 --max-time 1s --outdir bar" /dev/null </dev/null
  }
  bar 100 2>err >out
  esc=$(printf '\033')
  says "epoch .*$esc\\[36m#*\\.*.*images/s.*left.*MiB" out "a bar on a terminal, in color"
  bar 40 2>err >out
  tr '\r' '\n' <out | sed "s/$esc\\[[0-9;]*[mK]//g" | grep '^epoch' >bars
  says 'epoch .*D .* G ' bars "a short one where it is narrow"
  [ -z "$(awk 'length > 39' bars)" ]
  result $? "no wider than the terminal"
  NO_COLOR=1 bar 100 2>err >out
  if grep -q "$esc\\[[0-9]*m" out; then result 1 "NO_COLOR"; else result 0 "NO_COLOR"; fi
else
  skip "no script(1) to make a terminal"
fi
finish
