# What the tests of the command share, which read this after tap.sh: a folder of their own whose path has a blank, checks
# of what it prints, and small inputs. DUEL_BINARY names the build tree.
LC_ALL=C
export LC_ALL
unset COLUMNS DUEL_COMMAND
duel=${DUEL_BINARY:?}/duel
home=$(mktemp -d) || exit 1
mkdir "$home/a b" && cd "$home/a b" || exit 1
mounted=
cleanup() {
  [ -z "$mounted" ] || umount "$mounted" 2>/dev/null
  rm -rf "$home"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# ---- checks

result() { # VERDICT NAME; what the file log holds explains a failure
  verdict "$1" "$2" log
  : >log
}

ok() { # NAME COMMAND…: the command succeeds
  name=$1
  shift
  "$@" >log 2>&1
  result $? "$name"
}

expect() { # CODE PATTERN NAME ARGUMENTS…: duel's exit code, and a pattern in a line of its output (files out and err)
  code=$1 pattern=$2 name=$3
  shift 3
  run_it "$@"
  ended "$code" "$pattern" both "$name"
}
run_it() { # ARGUMENTS…
  "$duel" "$@" >out 2>err </dev/null
  rc=$?
  cat out err >both
}
ended() { # CODE PATTERN FILE NAME
  [ $rc = "$1" ] && grep -qE -- "$2" "$3"
  verdict=$?
  [ $verdict = 0 ] || { echo "exit code $rc, wanted $1 and: $2" && cat both; } >log
  result $verdict "$4"
}

says() { # PATTERN FILE NAME
  grep -qE -- "$1" "$2"
  verdict=$?
  [ $verdict = 0 ] || { echo "wanted: $1" && cat "$2"; } >log
  result $verdict "$3"
}

differ() { ! cmp -s "$1" "$2"; }
missing() { [ ! -e "$1" ]; }
same_number() { [ "$1" -eq "$2" ]; }
newest() { ls "$1"/checkpoint-*.safetensors | tail -n 1; }
bytes() { od -An -tx1 -v -j "$2" -N "$3" "$1" | tr -d ' \n'; }

# ---- inputs

layers() { # FILE HIDDEN [DATA]: a recipe
  cat >"$1" <<END
recipe: 1
data: ${3:-{path: synthetic:shapes, limit: 64\}}
latent: 8
G:
  - dense: $2
  - batchnorm
  - leaky_relu: 0.2
  - dense: \$C*\$H*\$W
  - tanh
  - reshape: [\$C, \$H, \$W]
D:
  - flatten
  - dense: $2
  - leaky_relu: 0.2
  - dense: 1
loss: bce
optim: {name: adam, lr: 0.0002, betas: [0.5, 0.999]}
train: {length: 5 steps, batch: 8, d_update: separate}
output: {sample: 1 epoch, checkpoint: 100 steps, tick: 20 steps, keep: 3}
END
}

ring() { # FILE: a recipe of points
  cat >"$1" <<END
recipe: 1
data: {path: synthetic:ring, limit: 64}
latent: 4
G: [dense: 16, relu, dense: \$C]
D: [dense: 16, relu, dense: 1]
loss: bce
optim: adam
train: {length: 3 steps, batch: 8}
END
}

idx() { # FILE ITEMS [SIDE]: dark images of 4×4
  side=${3:-4}
  { printf "\\000\\000\\010\\003\\000\\000\\000\\$(printf %03o "$2")\\000\\000\\000\\$(printf %03o "$side")\\000\\000\\000\\$(printf %03o "$side")" &&
    head -c $(($2 * side * side)) /dev/zero; } >"$1"
}
