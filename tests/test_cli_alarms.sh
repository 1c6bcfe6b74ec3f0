#!/bin/sh
# What the command says of a training that fails unnoticed: on stderr, in its JSON, in the log, and how it counts epochs
# shorter than a step. Speaks TAP. DUEL_BINARY names the build tree.
set -u
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/command.sh"

silent() { # FILE NAME
  [ ! -s "$1" ]
  verdict $? "$2" "$1"
}
run() { # ARGUMENTS…: files out and err
  "$duel" train --recipe ./tiny.yaml --outdir runs "$@" >out 2>err </dev/null
}

cat >tiny.yaml <<'EOF'
recipe: 1
data: synthetic:shapes
latent: 8
G: [dense: 16, leaky_relu: 0.2, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]
D: [flatten, dense: 16, leaky_relu: 0.2, dense: 1]
train: {length: 20 epochs, batch: 4}
output: {sample: 0, checkpoint: 0, tick: 10 steps}
EOF

run --limit 80
silent err "a good training says nothing on stderr"
says '^Training: +400 steps of batch 4, 20 steps an epoch' out "steps an epoch"
for key in spread_real spread_fake apart ends_real ends_fake; do
  [ "$(grep -c "\"$key\":[0-9.e-]*[,}]" runs/latest/stats.jsonl)" = 40 ]
  verdict $? "each tick has $key" runs/latest/stats.jsonl
done

run --limit 8 --batch 64
says '^Training: +3 steps of batch 64, 1/8 step an epoch' out "an epoch is a part of a step"
says '^duel: warning: batch_over_data: the batch \(64\) is larger than the data set \(8 items\): a step passes it 8 times, and 20 epochs are 3 steps; set train\.batch=8 \(--batch 8\) and train\.length=1000 \(--steps 1000\)$' \
  err "a batch larger than the data, and what to do in flags"
says '^alarm batch_over_data at step 0: ' runs/latest/log.txt "the log has it"
run --limit 8 --batch 8 --steps 1000
! grep -q batch_over_data err
verdict $? "what it says to do ends it" err
says '^Training: +1000 steps of batch 8, 1 step an epoch' out "one step an epoch"
run --limit 24 --batch 64 --steps 1
says '3/8 step an epoch' out "a fraction in its lowest terms"
run --limit 1 --batch 4 --steps 1
says '^duel: warning: data_alike: .* has one item' err "one item"
says '1/4 step an epoch' out "of which a step has four"

run --limit 8 --batch 64 --json
says '^\{"event":"alarm","alarm":"batch_over_data","text":"the batch \(64\) .*\(--batch 8\).*"step":0,' out "an event in JSON"
run --limit 8 --batch 64 -q
says 'warning: batch_over_data: ' err "quiet trainings tell it too"
run --limit 8 --batch 64 --dry-run
says 'warning: batch_over_data: ' err "and so does a dry run"

run --steps 200 --set D.optim.lr=0.02 --seed 1
says '^duel: warning: d_wins: D tells all fakes: its loss is 0\.0000 since step [0-9]+, G.s [0-9.]+, .* try .*D\.optim\.lr=' err "a D that wins"
[ "$(grep -c '^alarm d_wins at step ' runs/latest/log.txt)" = 1 ]
verdict $? "is told once" runs/latest/log.txt

cat >judge.yaml <<'EOF'
recipe: 1
game: classifier
data: {path: synthetic:shapes, limit: 1000}
C: [flatten, dense: 4, relu, dense: $classes]
init: {name: constant, value: 0}
optim: {name: sgd, lr: 0.0001}
train: {length: 250 steps, batch: 4}
output: {test: 50 steps, tick: 50 steps, checkpoint: 0}
EOF
"$duel" train --recipe ./judge.yaml --outdir judge >out 2>err </dev/null
says '^duel: warning: c_misses: C takes no item of the test set for class [01], nor for 2 others of the 4 since step 50: ' err \
  "a classifier that knows one class alone"
says '"test\.missed":3,"test\.missed_class":[01][,}]' judge/latest/stats.jsonl "and each tick with a test says which it misses"
finish
