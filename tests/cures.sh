#!/bin/sh
# Every cure that a message tells is taken from what is printed, and tried: it must work as written. A row is a message;
# at the end the sources are searched for messages with advice, and each must have a row here, or a reason why not.
# Speaks TAP. DUEL_SOURCE and DUEL_BINARY name the two trees.
set -u
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/command.sh"
rows=$home/rows
: >"$rows"

# cure FRAGMENT CODE SED COMMAND CURED: the message with the FRAGMENT (of its format in the source) comes of `duel
# COMMAND` with exit code CODE; SED finds the cure in it; CURED, with it in $cure, must succeed. No rest of an earlier
# row is left.
cure() {
  printf '%s\n' "$1" >>"$rows"
  rm -rf runs && cp ../kept.yaml tiny.yaml
  eval "\"\$duel\" $4" >out 2>err </dev/null
  rc=$?
  cat out err >both
  cure=$(sed -nE "$3" both | head -n 1)
  passed=1
  if [ $rc != "$2" ] || [ -z "$cure" ]; then
    { echo "exit code $rc, wanted $2, and a cure by $3:" && cat both; } >log
  else
    (eval "$5") >log 2>&1 </dev/null && passed=0
    [ $passed = 0 ] || echo "the cure was: $cure" >>log
  fi
  result $passed "$1"
}
except() { # WHY FRAGMENT…: messages whose cure is not tried here
  shift
  printf '%s\n' "$@" >>"$rows"
}
d() { "$duel" "$@"; }
edit() { sed "$1" tiny.yaml >x.yaml; } # SCRIPT: tiny.yaml, changed
is_there() { [ -n "$(ls -d $1 2>/dev/null)" ]; }

layers tiny.yaml 16
cp tiny.yaml ../kept.yaml
idx dark.idx 32
idx odd.idx 12 6
d train --recipe ./tiny.yaml --steps 3 --outdir old -q >log 2>&1 || { echo "Bail out! it does not train"; exit 1; }
old=$(ls -d old/00000-*)
cp "$old/reals.png" one.png
T='train --recipe ./tiny.yaml'
X='train --recipe ./x.yaml'
flags='s/.*(--init .* --init-optimizer).*/\1/p' # of a cure

# ---- a resume, and a new run in its place

cure 'To start a new run from here use options.init' 2 "$flags" "train --resume $old --batch 4" 'eval "d train $cure --batch 4"'
cure ', and without options.recipe it keeps its own' 2 's/.*without (--recipe) it keeps.*/\1/p' \
  "train --resume $old --recipe mlp --data synthetic:shapes --steps 4" 'd train --resume "$old" --steps 4'
edit 's/^optim:.*/optim: {lr: {from: 0.01, to: 0}}/'
d $X --outdir fixed -q >log 2>&1
cure 'a new length cannot be resumed' 2 "$flags" 'train --resume fixed/latest --steps 9' 'eval "d train $cure --steps 9"'
cure 'leave the length as it is' 2 's/.*(leave the length as it is).*/\1/p' 'train --resume fixed/latest --steps 9' \
  'd train --resume fixed/latest'
mkdir -p copy && cp "$(newest "$old")" copy/copy.safetensors && echo mine >copy/recipe.yaml
cure 'lies in no run directory' 2 "$flags" 'train --resume copy/copy.safetensors' 'eval "d train $cure"'
cp "$(newest "$old")" "$old/checkpoint-00000002-aside.safetensors"
cure 'is no present checkpoint of its run' 2 "$flags" "train --resume $old/checkpoint-00000002-aside.safetensors" 'eval "d train $cure"'
cp "$(newest "$old")" "$old/checkpoint-00000008.safetensors"
cure 'which its name denies: rename it to' 3 's/.*rename it to ([^ ]*)$/\1/p' "train --resume $old/checkpoint-00000008.safetensors" \
  'rm -f "$old/$cure" && mv "$old/checkpoint-00000008.safetensors" "$old/$cure" && d train --resume "$old" --steps 9'
d $T --data dark.idx --outdir data --steps 3 -q >log 2>&1
mv dark.idx moved.idx
cure 'was told when it began: set' 3 's/.*set (--data) to where.*/\1/p' 'train --resume data/latest --steps 6' \
  'd train --resume data/latest --steps 6 $cure moved.idx'
cp moved.idx kept.idx && idx moved.idx 31
cure 'was trained on other data' 3 "$flags" 'train --resume data/latest --steps 8' 'eval "d train $cure --steps 2"'
cure 'set options.data to where those are' 3 's/.*set (--data) to where those.*/\1/p' 'train --resume data/latest --steps 8' \
  'd train --resume data/latest --steps 8 $cure kept.idx'
cp kept.idx dark.idx
cure 'options.resume goes on, options.init starts anew' 2 's/.*(give one of them).*/\1/p' "train --resume $old --init $old" \
  'd train --init "$old" && d train --resume "$old" --steps 10'
cure '--resume goes on with a run and --init begins' 2 's/.*(give one of them).*/\1/p' "train --resume $old --init $old" 'd train --init "$old"'
cure 'says what options.init takes: give both' 2 's/.*(--init-optimizer) says.*/\1/p' 'train --init-optimizer' 'd train --init "$old" $cure'
cure 'leave out the settings that change its nets' 3 's/.*: (leave out the settings) that.*/\1/p' \
  "train --init $old --set G.0.dense=3 --set D.1.dense=3" 'd train --init "$old"'
cure 'leave options.recipe out to take the recipe' 3 's/.*leave (--recipe) out.*/\1/p' "train --recipe mlp --data synthetic:shapes --init $old" \
  'd train --init "$old"'
edit 's/\$C\*\$H\*\$W/16/; s/reshape: .*/reshape: [1, 4, 4]/'
d $X --data dark.idx --outdir four -q >log 2>&1
cure 'name one that suits these data by options.recipe' 2 's/.*these data by (--recipe)$/\1/p' \
  "train --init four/latest --data odd.idx" 'd train --init four/latest --data odd.idx $cure ./tiny.yaml'
cat >burst.yaml <<END
recipe: 1
base: ./tiny.yaml
optim: {name: adam, lr: 0.5, weight_decay: 100}
train: {length: 500 steps}
output: {sample: 0, checkpoint: 3 steps, keep: 2}
END
cure 'to go on with it use options.init' 6 's/.*to go on with it use (.*)$/\1/p' \
  "train --recipe ./burst.yaml --set optim.weight_decay=100000 --outdir burst" 'eval "d train $cure --set optim.weight_decay=0 --steps 3"'
cure 'training diverged by step' 6 's/.*try a lower (optim\.lr).*/\1/p' 'train --recipe ./burst.yaml --set optim.weight_decay=1000000 --outdir burst' \
  'd train --recipe ./burst.yaml --set $cure=0.0001 --steps 20'
except 'the same sentence, where a loss is not finite' 'training diverged in step'
rm -f "$old/checkpoint-00000008.safetensors"
truncate -s -10 "$(newest "$old")"
cure 'give a run directory, a checkpoint, or latest' 3 's/.*give (a run directory), a checkpoint, or latest.*/\1/p' \
  'generate nowhere --count 1 --out x.png' 'd generate "$old" --count 1 --out x.png && d generate latest --outdir old --count 1 --out x.png'
cure 'there is no latest run in %s; `duel train` makes one' 3 's/.*; `duel (train)` makes one.*/\1/p' 'generate latest --count 1 --out x.png' \
  'd $cure --recipe ./tiny.yaml && d generate latest --count 1 --out x.png'
cure 'options.outdir says where else to look' 3 's/.*makes one, (--outdir) says where else.*/\1/p' 'generate latest --count 1 --out x.png' \
  'd generate latest $cure old --count 1 --out x.png'
mkdir -p gone && ln -sfn 00009-none gone/latest
cure 'is a link to a run that is gone; name another run' 3 's/.*(name another run).*/\1/p' 'train --resume latest --outdir gone' \
  'd train --resume "$old" --steps 11'
mkdir -p full/99999-x
cure 'the numbers of runs end at 99999' 4 's/.*use another (--outdir)$/\1/p' "$T --outdir full" "d $T \$cure empty"
: >taken
mkdir -p linked/latest
cure 'is no link, so it stays; `latest` will not name this run: rename it' 0 's/.*: (rename it).*/\1/p' "$T --outdir linked" \
  "mv linked/latest linked/mine && d $T --outdir linked && is_there linked/latest/log.txt"

# ---- recipes

cure '%s is also set by %s; give one of them' 2 's/.*is also set by .*(give one of them).*/\1/p' "$T --data dark.idx --set data.path=x" "d $T --data dark.idx"
cure '%s and --%s both set %s; give one of them' 2 's/.*(give one of them).*/\1/p' "$T --batch 4 --set train.batch=8" "d $T --batch 4"
cure 'heights and widths that %lld divides' 2 's/.*: use (--set data\.size=[0-9]+).*/\1/p' "train --recipe dcgan --data odd.idx --batch 2 --steps 1" \
  'd train --recipe dcgan --data odd.idx --batch 2 --steps 1 $cure'
idx wide.idx 8 20
cure '%suse %s' 2 's/.* or (--set data\.size=\[.*\])$/\1/p' "train --recipe dcgan --data wide.idx --set data.size=[18,21] --batch 2 --steps 1" \
  'd train --recipe dcgan --data wide.idx --batch 2 --steps 1 $cure'
edit 's/^latent: 8/latent: 8\nvars: {n: $H\/5}/'
cure 'these keep their size, so set options.data to others' 2 's/.*so set (--data) to others$/\1/p' "$X --steps 1" \
  "idx ten.idx 8 10 && d $X --steps 1 \$cure ten.idx"
edit 's/^recipe: 1$//'
cure 'begin with the version of the format' 2 's/.*`(recipe: 1)`.*/\1/p' "$X" '{ echo "$cure" && cat x.yaml; } >y.yaml && d train --recipe ./y.yaml'
edit 's/lr: 0.0002/lr: {from: 0.1, over: 5}/'
cure 'take curve: linear or cosine' 2 's/.*take (curve: linear) or cosine.*/\1/p' "$X" 'sed "s/over: 5/over: 5, to: 0, $cure/" x.yaml >y.yaml && d train --recipe ./y.yaml'
edit 's/- dense: 16/- dense: "16"/'
cure 'a whole number; take the quotes away' 2 's/.*(take the quotes away).*/\1/p' "$X" "sed 's/\"//g' x.yaml >y.yaml && d train --recipe ./y.yaml"
edit 's/^latent: 8/latent: 8\nvars: {C: 2}/'
cure 'comes from the data; take another name' 2 's/.*(take another name).*/\1/p' "$X" 'sed "s/{C: 2}/{c: 2}/" x.yaml >y.yaml && d train --recipe ./y.yaml'
edit 's/- batchnorm/- {residual: [dense: 16], repeat: 2}/'
cure 'copies of a block share one recipe: leave the %s out' 2 's/.*leave the ([0-9]+) out.*/\1/p' "$X --set G.1.0.residual.0=relu" \
  "d $X --set G.1.residual.0=relu"
cure 'belongs to an update on real items and fakes together' 2 's/.*set (--set train\.d_update=joint)$/\1/p' "$T --set penalty.gp=10" \
  'd $T --set penalty.gp=10 $cure'
cure 'let its ema.buffers be copy or average' 2 's/.*let its ema\.(buffers) be (copy|average) or.*/\1: \2/p' \
  "$T --set 'D.ema={half_life: 9, buffers: standing}'" 'd $T --set "D.ema={half_life: 9, $cure}"'
cure 'have two units; give both in' 2 's/.*give both in (epochs)$/\1/p' \
  "$T --set 'ema={half_life: {from: 1 kimg, to: 2 epochs}}'" 'd $T --set "ema={half_life: {from: 1 $cure, to: 2 $cure}}"'
cure 'spectral norm takes out again what' 2 's/.*what (lr_mul) scales; leave one.*/\1/p' \
  "$T --set 'D=[flatten, dense: {out: 1, spectral: true, lr_mul: 0.5}]'" \
  'd $T --set "D=[flatten, dense: {out: 1, spectral: true, $cure: 1}]"'
cure '; set %s.%.40s.%.40s' 2 's/.*is dense; set (G\.0\.dense\.bias)$/\1/p' "$T --set G.0.bias=false" 'd $T --set $cure=false'
cure 'is for weights of two and more dimensions' 2 's/.*is 16; (give it another) init$/normal/p' \
  "$T --set G.1.batchnorm.init=orthogonal" 'd $T --set G.1.batchnorm.init=$cure'
cure 'is 0 everywhere, and spectral norm divides it' 2 's/.*or `(spectral: false)`$/\1/p' \
  "$T --set 'D=[flatten, dense: {out: 1, spectral: true, init: {name: constant, value: 0}}]'" \
  'd $T --set "D=[flatten, dense: {out: 1, $cure, init: {name: constant, value: 0}}]"'
cure 'own follows one update on both sides' 2 's/.*set (--set train\.d_update=joint)$/\1/p' "$T --set penalty.r1.update=own" \
  'd $T --set penalty.r1.update=own $cure'
cure 'share the update of their own, but not `every`' 2 's/.*; set (--set penalty\.r2\.every=4)$/\1/p' \
  "$T --set train.d_update=joint --set 'penalty={r1: {update: own, every: 4}, r2: {update: own}}'" \
  'd $T --set train.d_update=joint --set "penalty={r1: {update: own, every: 4}, r2: {update: own}}" $cure'
cure 'compares real items with fakes' 2 's/.*set (--set train\.d_update=joint)$/\1/p' "$T --set loss=rpgan --set train.d_update=separate" \
  'd $T --set loss=rpgan $cure'
cure 'items; set it to at most' 2 's/.*set it to at most ([0-9]+)$/\1/p' "$T --set train.top_k=1000" 'd $T --set train.top_k=$cure'
cure 'a warmup begins with 0 items' 2 's/.*(leave it out)$/\1/p' "$T --set train.top_k='{from: 2, warmup: 3}'" \
  "d $T --set train.top_k=2"
cure 'auto is 0.0002*H*W/batch, but the data are points' 2 's/.*set a number, (--set penalty\.r1\.weight=1)$/\1/p' \
  "train --recipe ring --steps 2 --set penalty.r1=auto" 'd train --recipe ring --steps 2 $cure'
cure 'augment changes images, but the data are points' 2 's/.*or set (augment=null)$/\1/p' \
  "train --recipe ring --steps 2 --set augment=ada" 'd train --recipe ring --steps 2 --set $cure'
edit 's/^latent: 8/latent: 8\naugment: {policy: diffaugment, noise: 1}/'
cure 'the policy %s has no such change' 2 's/.*; set (--set augment\.policy=ada), or.*/\1/p' "$X" 'd $X $cure'
cure 'changes colors, but items have' 2 's/.*; (leave it out), or.*/\1/p' "$T --set 'augment={policy: ada, hue: 1}'" \
  'd $T --set augment=ada'
edit 's/^latent: 8/latent: 8\naugment: {policy: flip, pipe: bgc}/'
cure 'bgc is ada' 2 's/.*; set (--set augment\.policy=ada), or.*/\1/p' "$X" 'd $X $cure'
edit 's/^latent: 8/latent: 8\naugment: {policy: flip, filter: sym6}/'
cure 'sym6 is ada' 2 's/.*; set (--set augment\.policy=ada), or.*/\1/p' "$X" 'd $X $cure'
cure 'penalty.consistency needs a weight' 2 's/.*; set (--set penalty\.consistency\.real=10), or.*/\1/p' \
  "$T --set train.d_update=joint --set penalty.consistency={}" 'd $T --set train.d_update=joint $cure'
cure 'flips and shifts images, but the data are points' 2 's/.*; set (--set penalty\.consistency\.z=20) in.*/\1/p' \
  "train --recipe ring --steps 2 --set train.d_update=joint --set penalty.consistency.real=10" \
  'd train --recipe ring --steps 2 --set train.d_update=joint $cure'
cure 'compares D on items with D on the same' 2 's/.*leave one of them out: (augment=null)$/\1/p' \
  "$T --set train.d_update=joint --set penalty.consistency.real=10 --set augment=ada" \
  'd $T --set train.d_update=joint --set penalty.consistency.real=10 --set $cure'
cat >judge.yaml <<END
recipe: 1
game: classifier
data: {path: synthetic:shapes, limit: 40}
C: [flatten, dense: 4, relu, dense: \$classes]
loss: cross_entropy
optim: {name: adam, lr: 0.02}
train: {length: 2 steps, batch: 8}
END
J='train --recipe ./judge.yaml'
cure '%s: the game %s has no such key; leave it out' 2 's/.*(leave it out).*/\1/p' "$J --set latent=3" "d $J"
cure 'the game %s has no such key, %s has; leave it out' 2 's/.*(leave it out).*/\1/p' "$J --sample 1" "d $J"
cure 'did you mean' 2 's/.*did you mean ([a-z]*)\?.*/\1/p' "$T --set train.bacth=4" "d $T --set train.\$cure=4"

cure '%s is set differently by %s; give one of them' 2 's/.*(give one of them)$/\1/p' "$T --set train.batch=3 --set train.batch=4" "d $T --set train.batch=3"
edit 's/^recipe: 1/recipe: 1\nbase: .\/x.yaml/'
cure 'is its own base: name another one, or none' 2 's/.*(name another one, or none)$/\1/p' "$X" "sed /^base/d x.yaml >y.yaml && d train --recipe ./y.yaml"
cure 'pictures get them by a folder for each class' 2 's/.*(a folder for each class)$/\1/p' "$T --data dark.idx --set 'D.1.dense=\$classes'" \
  "mkdir -p by/a by/b && cp one.png by/a/ && cp one.png by/b/ && d $T --data by --set data.size=4 --set 'D.1.dense=\$classes'"
cure 'take a recipe for points, such as ring' 2 's/.*such as (ring)$/\1/p' "$T --data synthetic:ring" 'd train --recipe $cure --data synthetic:ring --steps 1'
except 'no path of this kind can be typed here' 'rename it, or name a link to it'
except 'there is no newer format' 'update duel'
except 'needs a set of thousands of millions of steps' 'set it to fewer'
cure '--desc names a new run' 2 's/.*(leave --desc out)$/\1/p' "train --resume $old --desc x" 'd train --resume "$old"'
cure "says where it is: leave --outdir out" 2 's/.*(leave --outdir out)$/\1/p' "train --resume $old --outdir x" 'd train --resume "$old"'
cure '--columns is for a grid of images in one .png; leave it out' 2 's/.*(leave it out)$/\1/p' "generate $old --count 2 --columns 2 --out x.npy" \
  'd generate "$old" --count 2 --out x.npy'
cure "change a recipe; '%s' is none: leave them out" 2 's/.*(leave them out)$/\1/p' "info $old --batch 3" 'd info "$old"'
cure 'it is a folder of runs: name one of them, as in' 3 's/.*as in (.*)$/\1/p' "generate old --count 1 --out x.png" 'd generate "$cure" --count 1 --out x.png'

# ---- nets

edit 's/reshape: .*/reshape: [$C, 28, 27]/'
cure "let G end with the data's shape" 2 's/.*(dense: \$C\*\$H\*\$W), then (reshape: \[[^]]*\]).*/\1 \2/p' "train --recipe ./x.yaml --set 'G.3.dense=28*27'" \
  "sed 's/28, 27/\$H, \$W/' x.yaml >y.yaml && d train --recipe ./y.yaml"
edit 's/\$C\*\$H\*\$W/192/; s/reshape: .*/reshape: [3, 8, 8]/'
cure '%s; or use %s%s%s' 2 's/.*; or use (--set data\.size=8) and (--set data\.channels=3)$/\1 \2/p' "$X --data odd.idx" 'd $X --data odd.idx $cure'
edit 's/\$C\*\$H\*\$W/64/; s/reshape: .*/reshape: [1, 8, 8]/'
cure 'these data keep their size, so set options.data to others' 2 's/.*; or it takes 1×8×8, but these data .* so set (--data) to others$/\1/p' "$X" \
  'idx eight.idx 12 8 && d $X $cure eight.idx'
edit '/reshape/d'
cure 'images are C×H×W (let it end with reshape' 2 's/.*let G end .*(reshape: \[.*\])$|.*\(let it end with (reshape: .*\])\).*/\1\2/p' "$X" \
  'sed "s/  - tanh/  - tanh\n  - $cure/" x.yaml >y.yaml && d train --recipe ./y.yaml'
cure 'must yield one number (a logit); let it end with dense: 1' 2 's/.*let it end with (dense: 1)$/\1/p' "$T --set D.3.dense=2" \
  "edit '/^  - dense: 1\$/d' && sed \"s/^loss/  - \$cure\nloss/\" x.yaml >y.yaml && d train --recipe ./y.yaml"
cure 'let it end with dense: $classes' 2 's/.*let it end with dense: (.*)$/\1/p' "$J --set C.3.dense=3" 'd train --recipe ./judge.yaml --set "C.3.dense=$cure"'
edit '/flatten/d'
cure 'put global_pool or flatten before it' 2 's/.*put global_pool or (flatten) before it$/\1/p' "$T --set 'D=[projection]'" \
  'd $T --set "D=[$cure, projection]"'
cure '; set classes: $classes' 2 's/.*; set classes: (\$classes)$/\1/p' "$T --set 'D=[flatten, projection: 5]'" \
  'd $T --set "D=[flatten, projection: {classes: $cure}]"'
cure 'C reads the labels that it is to tell' 2 's/.*; leave label, (projection) and class_batchnorm out$/\1/p' \
  "$J --set 'C=[flatten, label, dense: \$classes]'" 'd $J --set "C=[flatten, dense: \$classes]"'
cure 'all that could learn is frozen; leave frozen out' 2 's/.*as in (--set G\.frozen=false)$/\1/p' \
  "$T --set G.frozen=true --set D.frozen=true" 'd $T $cure --set D.frozen=true'
cure 'show classes 0 to %lld of %lld; set output.grid=' 0 's/.*set (--set "output\.grid=\[4, 8\]") to see all$/\1/p' \
  "train --recipe cgan --data synthetic:shapes --steps 1 --batch 4 --set output.grid=[2,8]" \
  'eval "d train --recipe cgan --data synthetic:shapes --steps 1 --batch 4 $cure" && ! grep -q "show classes" runs/latest/log.txt'
cure 'reads labels, so it draws no classes; leave %s out' 2 's/.*leave --(class) out$/\1/p' "generate $old --count 1 --class 0 --out x.png" \
  'd generate "$old" --count 1 --out x.png'
cure 'put flatten before it' 2 's/.*put (flatten) before it$/\1/p' "$X" 'sed "s/^D:/D:\n  - $cure/" x.yaml >y.yaml && d train --recipe ./y.yaml'
edit 's/- flatten/- flatten\n  - conv: {out: 2, kernel: 3}\n  - flatten/'
cure '%s reads images, but gets %s; put reshape before it' 2 's/.*put (reshape) before it$/\1/p' "$X" \
  'sed "s/  - conv/  - $cure: [1, 28, 28]\n  - conv/" x.yaml >y.yaml && d train --recipe ./y.yaml'
cure 'use train.batch=2 or more' 2 's/.*use train.batch=2 \((--batch 2)\) or more.*/\1/p' "$T --batch 1" "d $T \$cure"
edit '/batchnorm/d; s/- flatten/- minibatch_stddev: {group: 4}\n  - flatten/'
cure 'cannot cut %s of' 2 's/.*set train.batch=[0-9]+ \((--batch [0-9]+)\) or another.*/\1/p' "$X --batch 6" "d $X \$cure"
cure 'cannot cut %s of' 2 's/.*set train.batch=[0-9]+ \((--batch [0-9]+)\) or another.*/\1/p' "$X --batch 12 --set train.shards=2" \
  "d $X --set train.shards=2 \$cure"
cure 'is %lld and must be a power of two' 2 's/.*set it to ([0-9]+) or.*/\1/p' "$T --batch 12 --set train.shards=3" \
  "d $T --batch 12 --set train.shards=\$cure"
cure 'cannot be cut into %lld shards' 2 's/.* or --set (train\.shards=[0-9]+)$/\1/p' "$T --batch 6 --set train.shards=4" "d $T --batch 6 --set \$cure"
cure 'leaves it one; use train.shards=' 2 's/.*use --set (train\.shards=[0-9]+) or fewer.*/\1/p' "$T --batch 4 --set train.shards=4" "d $T --batch 4 --set \$cure"
edit 's/- batchnorm/- residual: [dense: 8]/'
cure 'give the block a skip list that does the same' 2 's/.*(skip) list that does the same.*/\1/p' "$X" \
  'sed "s/- residual: .dense: 8./- {residual: [dense: 8], $cure: [dense: 8]}/" x.yaml >y.yaml && d train --recipe ./y.yaml'
edit '/^D:/,/^loss/{/dense/d; /leaky/d}; s/- flatten/- flatten\n  - global_pool/'
cat >empty.yaml <<END
recipe: 1
data: {path: synthetic:ring, limit: 64}
latent: 4
G: [dense: 16, relu, dense: \$C]
D: [relu]
loss: bce
optim: adam
train: {length: 3 steps, batch: 8}
END
cure 'has no parameters to learn; give it at least one dense layer' 2 's/.*at least one (dense) layer$/\1/p' \
  'train --recipe ./empty.yaml --set "G=[dense: 2]" --set "D=[reshape: [1, 2, 1], global_pool]"' \
  'd train --recipe ./empty.yaml --set "D=[$cure: 1]"'

# ---- data

cp odd.idx images-a.idx
mkdir -p many && cp odd.idx many/a-images.idx && cp odd.idx many/b-images.idx
cure 'has several images files' 3 's/.*: (name one of them)$/\1/p' "$T --data many" "d $T --data many/a-images.idx"
cure 'is a run of duel'"'"'s, no data: name the folder that it was trained on' 3 's/.*: name (the folder) that.*/\1/p' "$T --data $old" "d $T --data many/a-images.idx"
cure 'patterns are not followed: name the folder' 3 's/.*: (name the folder)$/\1/p' "$T --data './many/*.idx'" "d $T --data many/b-images.idx"
cure 'variables of the shell are not known here: write the path out' 3 's/.*: (write the path out)$/\1/p' "$T --data '\$PWD/odd.idx'" "d $T --data \"\$PWD/odd.idx\""
cure 'no such file or folder; here there is' 3 's/.*; here there is (.*)$/\1/p' "$T --data ODD.idx" "d $T --data \$cure"
cure 'are known by name' 3 's/.*(synthetic:shapes) are known by name$/\1/p' "$T --data none" "d $T --data \$cure"
cure 'is a single picture: name the folder that holds all of them' 3 's/.*: name (the folder) that.*/\1/p' "$T --data one.png" \
  "mkdir -p grid && cp one.png grid/ && d $T --data grid --set data.size=4"
mkdir -p sizes && cp one.png sizes/a.png && cp "$(ls data/*/reals.png | head -n 1)" sizes/b.png
cure 'set data.size, as in data.size=64' 3 's/.*as in (--set data\.size=64) or .*/\1/p' "$T --data sizes" "d $T --data sizes \$cure"
head -c 300 one.png >sizes/c.png
cure 'mend them or take them out; or train without them, by data.on_bad=skip' 3 's/.*them, by (--set data\.on_bad=skip)$/\1/p' "$T --data sizes --set data.size=8" \
  "d $T --data sizes --set data.size=8 \$cure"
cure 'mend them or take them out' 3 's/.*(take them out);.*/\1/p' "$T --data sizes --set data.size=8" "rm sizes/c.png && d $T --data sizes --set data.size=8"
idx tiny-images.idx 1 && mkdir -p single && { printf '\000\000\010\003\000\000\000\001\000\000\000\002\000\000\000\002abcd' >single/images-idx3-ubyte; printf '\000\000\010\001\000\000\000\001\000' >single/labels-idx1-ubyte; }
except 'needs a set with labels and one item; the cure is the key that another row sets' 'too few to take a test set out of it: name one (data.test)'
mkdir -p set/train/a set/train/b set/test/a set/test/b
for at in set/*/*; do cp one.png "$at/x.png"; done
cure 'the folders of %s are %s and its test set' 3 's/.*: name (.*) as the data, and .*/\1/p' "$J --data set --set data.size=8" \
  'd train --recipe ./judge.yaml --data "$cure" --set data.size=8'
mkdir -p other/a other/b && cp sizes/b.png other/a/ && cp sizes/b.png other/b/
cure 'set data.size and data.channels, which count for both' 3 's/.*: set (data\.size) and data\.channels.*/\1/p' "$J --data set/train --set data.test=other" \
  'd train --recipe ./judge.yaml --data set/train --set data.test=set/test --set $cure=8'

# ---- the command and its files

cure 'See: %s %s --help' 2 's/^See: [^ ]* (train --help)$/\1/p' 'train --bacth 3' 'd $cure'
cure 'flag %s without a command; see: %s --help' 2 's/.*see: .* (--help)$/\1/p' '--batch 3' 'd $cure'
cure 'generate: name a run directory, a checkpoint, or latest' 2 's/.*or (latest)$/\1/p' 'generate --count 1 --out x.png' 'd generate $cure --outdir old --count 1 --out x.png'
cure 'generate: give either --seeds or --count' 2 's/.*give either --seeds or (--count)$/\1/p' "generate $old --out x.png" 'd generate "$old" $cure 1 --out x.png'
cure '--out is needed' 2 's/.*(--out) is needed.*(\.png).*/\1 x\2/p' "generate $old --count 1" 'd generate "$old" --count 1 $cure'
cure 'there is none to standard output; name a file or a folder' 2 's/.*(name a file).*/\1/p' "generate $old --count 1 --out -" 'd generate "$old" --count 1 --out x.png'
cure 'generate: the ending of %s says no format' 2 's/.*use .png, (\.npy),.*/\1/p' "generate $old --count 1 --out x.jpg" 'd generate "$old" --count 1 --out "x$cure"'
cure 'set fewer rows and columns, as in output.grid=[4, 8]' 2 's/.*as in (--set "output\.grid=\[4, 8\]")$/\1/p' \
  "$T --data dark.idx --set data.size=100 --set output.grid=[1024,1]" "eval \"d $T --data dark.idx --set data.size=100 --steps 1 \$cure\""
ring ring.yaml
d train --recipe ./ring.yaml --outdir ring -q >log 2>&1
cure 'items are no images; write them as .npy' 2 's/.*write them as (\.npy)$/\1/p' "generate ring/latest --count 2 --out x.idx" 'd generate ring/latest --count 2 --out "x$cure"'
cure 'info: say about what' 2 's/.*: (recipes), devices.*/\1/p' 'info' 'd info $cure'
d $J --outdir judged -q >log 2>&1
cure 'draws no samples: no net of it yields items; take a run of another game' 2 's/.*such as (gan)$/\1/p' 'generate judged/latest --count 1 --out x.png' 'd generate "$old" --count 1 --out x.png'
: >file
cure 'check the permissions of the file and its folder|: choose another folder' 4 's/.*(choose another folder).*|.*(another --outdir).*|.*(a file has that name).*/\1\2\3/p' "$T --outdir file" "d $T --outdir folder"
cure 'in fp32 or bf16, not in %s; set run.precision to one of them' 2 's/.* (fp32) or bf16, not in.*/--precision \1/p' "$T --backend cpu --precision tf32" "d $T --backend cpu \$cure"
DUEL_CUDA_LIBRARY=$PWD/none/libduel_cuda.so
export DUEL_CUDA_LIBRARY
cure 'has no CUDA backend: build it where the CUDA toolkit is, or use run.backend=cpu' 5 's/.*\((--backend cpu)\)$/\1/p' "$T --backend cuda" "d $T \$cure"
unset DUEL_CUDA_LIBRARY

if (ulimit -v 1500000) 2>/dev/null && ! nm "$duel" 2>/dev/null | grep -q __asan_init; then # ASan needs terabytes of addresses
  printf '#!/bin/sh\nulimit -v 1500000\nexec "%s" "$@"\n' "$duel" >limited && chmod +x limited
  whole=$duel duel=$PWD/limited
  W="$T --data kept.idx --set data.size=28 --threads 1 --steps 1 --batch"
  cure 'the largest batch that fits is about' 5 's/.*largest batch that fits is about ([0-9]+)[,;].*/\1/p' "$W 400000" "d $W \$cure"
  cure ', or set train.shards=%lld' 5 's/.*, or set (--set )?(train\.shards=[0-9]+);.*/\2/p' "$W 400000" "d $W 400000 --set \$cure"
  duel=$whole
else
  skip "no limit of memory can be set"
  except 'needs a limit of memory' ', or set train.shards=%lld'
fi

# ---- whose cure is not tried here

except 'tests/test_yaml.c tries what cures a YAML that is none' 'save the file as UTF-8' 'take it out' 'save it as UTF-8' \
  'leave one out' 'text that begins with' 'leave it out' 'take this line away' 'write the value again' 'begin with `recipe: 1`' \
  'in its place' "write %.*s: …" 'put text that has one in quotes' 'begin both in one column' 'put all of it in quotes' \
  'indent this line as its neighbors' "begin it with '- '" 'put the value in quotes' 'write \\\\, or use single quotes' \
  'put it in quotes' 'leave the line with %YAML out' 'indent it as the first one' 'put other text in quotes' 'a blank is missing'
except 'needs a GPU, or one that is broken' 'see nvidia-smi' 'update it, build with an older toolkit' 'build duel on this machine' \
  'another process may use it' 'wait for it, or choose another one with run.device' 'this machine has no NVIDIA driver; install it' \
  'build them together'
except 'needs a CPU or library that is not here' 'take run.precision=fp32' 'OPENBLAS_CORETYPE=Haswell' 'raise the limit of memory' \
  'install libzip (libzip-dev)'
except 'no game of these recipes needs it; tests/test_shards.c has the sentence' 'reads the whole batch at once; set train.shards=1'
except 'needs another process, a full disk or a limit' 'wait for it or stop it' 'free some space there' 'choose another folder' \
  'check the permissions of the file' 'use a shorter name' 'close some files or raise the limit' 'check its permissions' \
  'let XDG_CACHE_HOME name a folder with room' 'let TMPDIR name a folder with room' 'choose another options.outdir' 'remove some' 'remove it, and it will be made anew' \
  'draw fewer, or into a folder' 'write fewer, or .npy, or a folder'
except 'needs weights that are no numbers' 'use an earlier checkpoint'
except 'needs a set of its own, which tests/test_data*.c and tests/test_folders.c make' 'name one of them' 'name the folder of pictures' \
  'in folders of it, which are the classes: name' 'for the first alone' 'save it again, with python3' 'save the array of images in it' 'set data.test to where it is' 'EXIF behind its pixels turns it; set data.size'
except 'needs a zip file in a zip file' ': unpack %s first'
except 'needs a program or a download' 'convert it to' 'unpack it' 'fetch it first' 'copy it here, and name the copy' 'dataset-fashion-mnist' 'take its frames' \
  'get the binary version' 'save it for NumPy' 'save one camera' 'save its' 'write its pictures out' 'export its pictures' \
  'name one of them, as in @' 'take its pictures' 'name it, as in @' 'git lfs pull' 'wait for its end' 'load the set again' 'write fewer'
except 'help, no message' 'write nothing' 'Shows what there is'
except 'the command tells it before' '%s: the ending says no format'

# ---- all messages with advice have a row; those of alarms are tried by tests/test_alarms.c

literals() { # FILES…: their string literals, those side by side joined, as FILE<tab>LITERAL
  awk '
    function give() { if (joined != "") print file "\t" joined; joined = "" }
    function scan(s,  between, token) {
      joined = ""
      while (match(s, /"|\/\/|\047/)) {
        between = substr(s, 1, RSTART - 1); token = substr(s, RSTART, RLENGTH); s = substr(s, RSTART)
        gsub(/PRI[a-zA-Z0-9]+|[ \t\n]/, "", between)
        if (between != "") give()
        if (token == "\"") {
          if (!match(s, /^"([^"\\\n]|\\.)*"/)) RLENGTH = 1
          else joined = joined substr(s, 2, RLENGTH - 2)
        } else if (token == "//") {
          if (!match(s, /^\/\/[^\n]*/)) RLENGTH = length(s)
        } else {
          if (!match(s, /^\047([^\047\\]|\\.)[^\047]*\047/)) RLENGTH = 1
          give()
        }
        s = substr(s, RLENGTH + 1)
      }
      give()
    }
    FNR == 1 { if (text != "") scan(text); text = ""; file = FILENAME }
    { text = text $0 "\n" }
    END { scan(text) }' "$@"
}
verbs='add|apt|begin|build|check|choose|close|convert|draw|export|fetch|free|get|give|indent|install|leave|let|load|lower|make|mend|name|put|raise|rebuild|remove|rename|save|say|see|set|start|take|try|type|unpack|update|use|wait|write'
cd "${DUEL_SOURCE:?}" || exit 1
literals $(find src -name '*.[ch]' -o -name '*.cu' | grep -vE '^src/(core|run/alarms|cli/bench|cpu/kernels|cpu/products|cuda/kernels)/') >"$home/literals"
grep -E "	.*[;:,(] ?((or|and|to [a-z ]*) )?($verbs) |known\.c	($verbs) " "$home/literals" |
  grep -vFf "$rows" >"$home/missing"
[ ! -s "$home/missing" ]
verdict $? "each message with advice has a row, or a reason" "$home/missing"
sed 's/|.*//' "$rows" | while IFS= read -r row; do grep -qF -- "$row" "$home/literals" || printf '%s\n' "$row"; done >"$home/stale"
[ ! -s "$home/stale" ]
verdict $? "each row is of a message that there is" "$home/stale"
finish
