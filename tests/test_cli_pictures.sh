#!/bin/sh
# Pictures through the command: folders of every format, and transparency from data to what is generated. Speaks TAP.
# DUEL_SOURCE and DUEL_BINARY name the two trees.
set -u
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/command.sh"
corpus=${DUEL_SOURCE:?}/tests/corpus/picture

run() { # NAME DATA ARGUMENTS…: a training of one step; files out and err
  name=$1 data=$2
  shift 2
  "$duel" train --recipe ./tiny.yaml --outdir runs --data "$data" --steps 1 "$@" >out 2>err </dev/null
  verdict $? "$name" err
}
refused() { # PATTERN NAME ARGUMENTS…
  pattern=$1 name=$2
  shift 2
  "$duel" train --recipe ./tiny.yaml --outdir runs --steps 1 "$@" >out 2>err </dev/null
  [ $? = 3 ] && grep -qE -- "$pattern" err
  verdict $? "$name" err
}
color() { # FILE COLOR NAME: a PNG's color type, the byte at 25: 2 RGB, 6 RGBA
  [ "$(od -An -tu1 -j25 -N1 "$1" | tr -d ' ')" = "$2" ]
  verdict $? "$3"
}

cat >tiny.yaml <<'YAML'
recipe: 1
data: synthetic:shapes
latent: 8
G: [dense: 16, leaky_relu: 0.2, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]
D: [flatten, dense: 16, leaky_relu: 0.2, dense: 1]
train: {length: 1 steps, batch: 4}
output: {sample: 1 step, checkpoint: 1 step, tick: 1 step}
YAML

# ---- every format that this build reads, in one folder
mkdir all
for file in "$corpus"/*.*; do
  case $file in
  *.gif) format=GIF ;;
  *.tif) format=TIFF ;;
  *.webp) format=WebP ;;
  *) format= ;;
  esac
  [ -z "$format" ] || "$duel" info data | grep -qE "^PICTURES .*[ ,]$format(,|\$)" || continue
  cp "$file" all/
done
run "all formats in one folder" all --set data.size=8
grep -qE 'items|Data' out
verdict $? "and it says what they are" out

# ---- formats that are named alone
mkdir others
printf '\000\000\000\024ftypavif\000\000\000\000mif1' >others/a.avif
printf '8BPS\000\001' >others/b.psd
: >others/c.webp
printf '<!DOCTYPE html><html>404' >others/d.jpg
refused 'a.avif is an AVIF picture, which is not read here: convert it to PNG, for example with avifdec' "an AVIF" --data others
refused 'b.psd is a Photoshop picture, which is not read here' "a Photoshop picture, at the same time" --data others
refused 'c.webp is empty' "an empty one" --data others
refused 'd.jpg is no picture but a web page' "a web page" --data others

# ---- EXIF: the same scene stored upright and on its side is the same data
mkdir held
cp "$corpus/exif6-gray.jpg" held/
run "a picture that EXIF turns" held
grep -q '1x9x5' out
verdict $? "has the size that it has when it stands upright" out

# ---- transparency
mkdir icons
for i in 1 2 3 4; do cp "$corpus/rgba.png" icons/$i.png; done
cp "$corpus/rgb.png" icons/
run "RGBA as data" icons --set data.channels=4
color runs/latest/reals.png 6 "reals.png has transparency"
color runs/latest/fakes-00000001.png 6 "and so have fakes"
"$duel" generate latest --outdir runs --count 4 --out grid.png >out 2>err && "$duel" generate latest --outdir runs --count 2 --out each/ >out 2>err
verdict $? "generate" err
color grid.png 6 "a grid with transparency"
color each/00000.png 6 "single pictures with transparency"
"$duel" generate latest --outdir runs --count 4 --out made.npy >out 2>err
grep -aq "'shape': (4, 4, 6, 9)" made.npy
verdict $? "an array of four channels"
run "which another training reads" made.npy
color runs/latest/reals.png 6 "as RGBA"
run "RGBA as RGB" icons --set data.channels=3
color runs/latest/reals.png 2 "is laid over white"
finish
