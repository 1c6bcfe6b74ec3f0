#!/bin/sh
# What a run keeps when something else changes: keys beside one that is set, data that have moved, a resume from another
# folder, and a new run from another one's state. Speaks TAP. DUEL_BINARY names the build tree.
set -u
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/command.sh"

idx dark.idx 32
layers tiny.yaml 16 '{path: ./dark.idx}'
layers own.yaml 16 '{path: synthetic:shapes, limit: 12, size: 8, channels: 1}'

# ---- a value for the main key leaves the keys beside it

expect 0 '^Data: .*; 12 images of 1x8x8' "--data leaves limit, size and channels" train --recipe ./own.yaml --data dark.idx -n
expect 0 '^Data: .*; 12 images of 1x8x8' "so does --set data" train --recipe ./own.yaml --set data=dark.idx -n
printf 'recipe: 1\nbase: ./own.yaml\ndata: ./dark.idx\n' >child.yaml
expect 0 '^Data: .*; 12 images of 1x8x8' "a file on its base" train --recipe ./child.yaml -n
expect 0 '^Data: .*; 12 images of 1x6x6' "--data and one of them" train --recipe ./own.yaml --data dark.idx --set data.size=6 -n
expect 0 'bias: false' "a layer's value" train --recipe ./tiny.yaml --set 'G.0.dense.bias=false' -n
printf 'recipe: 1\nbase: ./tiny.yaml\noptim: adam\nloss: bce\n' >same.yaml
expect 0 'betas: \[0\.5, 0\.999\]' "a name that stays" train --recipe ./same.yaml -n
printf 'recipe: 1\nbase: ./tiny.yaml\noptim: sgd\n' >sgd.yaml
expect 0 'momentum' "a name that changes" train --recipe ./sgd.yaml -n
ok "takes its keys away" sh -c '! grep -q betas both'

# ---- data that have moved

train() { # OUTDIR FLAGS…: a quiet run of 3 steps; its directory in $dir
  outdir=$1
  shift
  dir=$("$duel" train --recipe ./tiny.yaml --outdir "$outdir" --steps 3 -q "$@" 2>err) || cat err >&2
}
mkdir first && cp dark.idx first/
train size --data first/dark.idx --set data.size=3
size=$dir
train limit --data first/dark.idx --limit 24 --set data.channels=1
limit=$dir
mv first second
expect 0 '^data\.path: first/dark\.idx -> second/dark\.idx$' "moved data resume" train --resume "$size" --steps 6 --data second/dark.idx
says '^Data: .* images of 1x3x3' out "with their size"
expect 0 '24 images' "with their limit" train --resume "$limit" --steps 6 --data second/dark.idx
cp -r second third
expect 0 'data\.path: second/dark\.idx -> third/dark\.idx' "--set data.path does too" \
  train --resume "$limit" --steps 7 --set data.path=third/dark.idx
expect 0 'data\.path: third.* -> second' "so does a map" train --resume "$limit" --steps 7 --set "data={path: second/dark.idx}" -n
expect 2 'data\.limit: 24 -> 20' "another limit is another set" train --resume "$limit" --steps 8 --limit 20
expect 2 'without --recipe it keeps its own' "the recipe's file says less than the run was told" \
  train --resume "$limit" --recipe ./tiny.yaml --steps 8
expect 0 '^Finished: step 8' "and leaving it out does" train --resume "$limit" --steps 8

# ---- from another folder

mkdir -p a b && mv second a/data && cp tiny.yaml a/
at() { # FOLDER COMMAND…
  (cd "$1" && shift && "$@")
}
run_in_a() { # OUTDIR: 3 steps, started in a
  at a "$duel" train --recipe ./tiny.yaml --data ./data/dark.idx --outdir "$1" --steps 3 -q >log 2>&1
}
run_in_a runs && run_in_a ../elsewhere && run_in_a whole && at a "$duel" train --resume whole/latest --steps 6 -q >log 2>&1
expect 0 'data\.path: \./data/dark\.idx is read from .*/a b/a/data/dark\.idx' "a resume finds the data" \
  train --resume a/runs/latest --steps 6
ok "is the unbroken run" cmp a/runs/latest/checkpoint-00000006.safetensors a/whole/latest/checkpoint-00000006.safetensors
ok "and no checkpoint names a folder of this machine" sh -c '! grep -q "$0" a/runs/latest/*.safetensors' "$home"
says '^data\.path: "?\.\./\.\./data/dark\.idx"?$' a/runs/latest/places.yaml "places.yaml says where they lie"
expect 0 '^Finished: step 6' "where the run lies elsewhere" train --resume elsewhere/latest --steps 6
expect 0 '^Finished: step 9' "from anywhere" train --resume "$PWD/elsewhere/latest" --steps 9
expect 0 'G\.0' "info of it" info elsewhere/latest --plan
mv a c
expect 0 '^Finished: step 9' "moved together with its data" train --resume c/runs/latest --steps 9
expect 3 'data\.path is as the run of .* was told when it began: set --data to where they are now' "moved without" \
  train --resume elsewhere/latest --steps 12
expect 0 '^Finished: step 12' "it is told where" train --resume elsewhere/latest --steps 12 --data c/data/dark.idx
mv elsewhere b/ && mkdir b/data && cp c/data/dark.idx b/data/
ok "a run that moved alone finds them from where it stands" at b "$duel" train --resume elsewhere/latest --steps 15 \
  --data ./data/dark.idx
mkdir d && cp dark.idx d/bare.idx
at d "$duel" train --recipe ../tiny.yaml --data bare.idx --outdir runs --steps 3 -q >log 2>&1
expect 0 '^Finished: step 5' "a bare name" train --resume d/runs/latest --steps 5
ln -s bare.idx d/link.idx
at d "$duel" train --recipe ../tiny.yaml --data ./link.idx --outdir linked --steps 3 -q >log 2>&1
expect 0 '^Data: +link;' "a link keeps its name" train --resume d/linked/latest --steps 5
DUEL_DATA=$PWD/d "$duel" train --recipe ./tiny.yaml --data bare.idx --outdir named --steps 3 -q >log 2>&1
ok "what has a name needs no place" missing named/latest/places.yaml
printf 'data.path: /etc/passwd\n' >d/runs/latest/places.yaml
ok "nor is a stranger's taken" sh -c 'cd d && "$0" train --resume runs/latest --steps 7' "$duel"
idx d/bare.idx 31
expect 3 'trained on other data .*set --data to where those are, or, .* use --init .* --init-optimizer' \
  "data that have changed are others" train --resume d/runs/latest --steps 9

# ---- a classifier's test set

labels() { # FILE ITEMS
  { printf "\\000\\000\\010\\001\\000\\000\\000\\$(printf %03o "$2")" && i=0
    while [ $i -lt "$2" ]; do printf "\\00$((i % 2))" && i=$((i + 1)); done; } >"$1"
}
mkdir set && idx set/train-images-idx3-ubyte 20 && labels set/train-labels-idx1-ubyte 20
idx set/t10k-images-idx3-ubyte 6 && labels set/t10k-labels-idx1-ubyte 6
cat >judge.yaml <<END
recipe: 1
game: classifier
data: ./set
C: [flatten, dense: 4, relu, dense: \$classes]
loss: cross_entropy
optim: {name: adam, lr: 0.02}
train: {length: 4 steps, batch: 8}
END
"$duel" train --recipe ./judge.yaml --outdir judge -q >log 2>&1
"$duel" train --recipe ./judge.yaml --set data.test=set/t10k-images-idx3-ubyte --outdir named -q >log 2>&1
mv set moved
expect 0 '^Finished: step 6' "moves with the set" train --resume judge/latest --steps 6 --data moved
expect 0 '^data\.test: set/t10k.* -> moved/t10k' "or by itself" train --resume named/latest --steps 6 --data moved \
  --set data.test=moved/t10k-images-idx3-ubyte
rm moved/t10k*
expect 3 'was tested on another set' "one that is gone is told, since a tenth would be taken from the data" \
  train --resume judge/latest --steps 8
mkdir other && idx other/t10k-images-idx3-ubyte 4 && labels other/t10k-labels-idx1-ubyte 4
expect 2 'data\.test: ' "another one is refused" train --resume named/latest --steps 8 --data moved \
  --set data.test=other/t10k-images-idx3-ubyte

# ---- a new run from another one's state

expect 2 'To start a new run from here use --init ' "a resume that changes the batch" train --resume "$size" --steps 9 --batch 4 --data c/data/dark.idx
cure=$(sed -n "s/.*use \(--init .* --init-optimizer\),.*/\1/p" both)
ok "is begun anew as the refusal says" sh -c "'$duel' train $cure --batch 4 --steps 3 --outdir init --data c/data/dark.idx >out 2>&1"
says '^Finished: step 3' out "with its recipe"
says 'images of 1x3x3' out "and the keys of its data"
"$duel" info init/latest/checkpoint-00000000.safetensors >info 2>&1
says '^updates\.D +12$' info "its update counts"
says '^step +0$' info "from step 0"
ok "without the flag its weights alone" "$duel" train --init "$size" --data c/data/dark.idx --outdir init -q
"$duel" info init/latest/checkpoint-00000000.safetensors >info 2>&1
says '^updates\.D +0$' info "and no count"
expect 2 '^duel: error: --init-optimizer says what --init takes: give both' "--init-optimizer alone" train --init-optimizer
expect 2 'give one of them' "--init and --resume" train --init "$size" --resume "$size"
expect 0 'tensors are taken from .*; left there: D\.1\.weight 16×9, .*; drawn anew: G\.3\.weight 36×16' "another resolution" \
  train --init "$size" --data c/data/dark.idx --set data.size=6 --outdir larger --steps 2
says '^[0-9]+ tensors are taken from .*; left there: ' larger/latest/log.txt "which the log tells"
expect 0 'images of 1x7x7' "and again, from a run that was begun so" train --init larger/latest --set data.size=7 --outdir larger
"$duel" train --resume larger/latest --steps 4 -q >log 2>&1
expect 0 'images of 1x5x5' "or went on" train --init larger/latest --set data.size=5 --outdir larger
expect 0 'drawn anew: G\.3\.weight 36×16' "as the recipe's file does" \
  train --recipe ./tiny.yaml --init "$size" --data c/data/dark.idx --set data.size=6 --outdir larger --steps 2
expect 0 '^Finished' "another optimizer" train --init "$size" --init-optimizer --data c/data/dark.idx --set optim=sgd --outdir larger
expect 3 'has no tensor C\.1\.weight.*; nor does any other of its weights fit: leave --recipe out' "a recipe of which nothing fits" \
  train --recipe ./judge.yaml --data moved --init "$size" --outdir none
ok "leaves no folder" missing none
mkdir away && cp "$(newest d/linked/latest)" away/copy.safetensors
expect 3 'set --data to where they are now' "a copy does not know where its data lie" train --init away/copy.safetensors --outdir none
expect 0 '^Finished' "and is told" train --init away/copy.safetensors --outdir copies --data d/link.idx --steps 1
printf 'recipe: 1\nbase: ./tiny.yaml\noptim: {lr: {from: 0.1, to: 0}}\n' >fixed.yaml
expect 0 '^New run: ' "a run of a fixed length ends with how to begin from it" train --recipe ./fixed.yaml --outdir fixed
line=$(sed -n 's/^New run: *//p' out)
expect 2 'leave the length as it is, or start a new run with --init .* --init-optimizer' "it has no other length" \
  train --resume fixed/latest --steps 9
ok "a new run of it" sh -c "$line --steps 9 --outdir fixed"
finish
