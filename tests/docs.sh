#!/bin/sh
# The guide's commands are run: every line of a block of commands in README.md, CONTRIBUTING.md and docs/*.md. Speaks
# TAP. DUEL_SOURCE and DUEL_BINARY name the two trees.
#
# A block is indented by four spaces, or fenced without a language. Each of its lines is a command (./run, duel,
# build/duel; python3 with a script of the source), and must succeed. Behind "$ " the output is compared too: it is what
# follows, to the byte, and the command may fail. Comments before a block say what else holds:
#
#     <!-- run train: --max-time 1s -->    these flags are added to each `train` of the block
#     <!-- not run: it needs a GPU -->     the block is left out; the reasons are listed at the end
#
# A fenced block of yaml that begins with "# NAME.yaml" becomes that file, for the commands below it. Each line of one of c
# must stand in the source. A page has a folder of its own, in which lie what the commands speak of:
#
#     photos/     64 pictures       shoes/     the same as an IDX file       my.yaml     mlp with a misspelt layer
#
# fashion-mnist is the same 64 pictures there, so that epochs are short.
set -u
. "$(dirname "$0")/tap.sh"
LC_ALL=C NO_COLOR=1
export LC_ALL NO_COLOR
unset COLUMNS DUEL_COMMAND
source=${DUEL_SOURCE:?} duel=${DUEL_BINARY:?}/duel
emulator=$DUEL_BINARY/tests/cuemu/libduel_cuda.so
home=$(mktemp -d) || exit 1
trap 'rm -rf "$home"' EXIT
trap 'exit 1' INT TERM

result() { # VERDICT NAME; what the file log holds explains a failure
  verdict "$1" "$2" "$home/log"
}

# PAGE to lines KIND<tab>FILE:LINE<tab>…: run COMMAND, show COMMAND, out LINE (of the show before it), code LINE,
# skip WHY, bad WHY. Writes the yaml files.
blocks() {
  awk -v name="${1#"$source"/}" -v tab='\t' '
    function say(kind, text) { print kind tab name ":" NR tab text }
    function begin() {
      if (why != "") say("skip", why)
      dead = why != ""
      shown = 0
    }
    function end() { split("", flags); why = ""; told = 0 }
    function command(line,  word) {
      if (dead || line ~ /^ *(#.*)?$/) return
      if (shown && line !~ /^\$ /) { say("out", line); return }
      shown = sub(/^\$ /, "", line)
      sub(/ +#.*/, "", line)
      split(line, word, " ")
      if (word[1] == "python3") line = "python3 \"$source\"/" substr(line, 9)
      else if (word[1] == "./run" || word[1] == "duel" || word[1] == "build/duel")
        line = "\"$duel\"" substr(line, length(word[1]) + 1) flags[word[2]]
      else { say("bad", "neither a command of duel nor left out with a reason: " line); return }
      say(shown ? "show" : "run", line)
    }
    /^```/ {
      if (fenced) { fenced = 0; end() }
      else { fenced = 1; language = substr($0, 4); file = ""; first = 1; begin() }
      next
    }
    fenced && language == "" { command($0); next }
    fenced && language == "yaml" {
      if (first && /^# [a-z]+\.yaml$/) file = $2
      first = 0
      if (file != "") print >file
      next
    }
    fenced && language == "c" { say("code", $0); next }
    fenced { next }
    /^    / && (blank || indented) {
      if (!indented) { indented = 1; begin() }
      command(substr($0, 5))
      next
    }
    { blank = /^$/ }
    indented && !blank { indented = 0; end() }
    /^<!-- not run: .* -->$/ { why = $0; gsub(/^<!-- not run: | -->$/, "", why); told = 1; next }
    /^<!-- run [a-z]+: .* -->$/ {
      to = $3
      sub(/:$/, "", to)
      gsub(/^<!-- run [a-z]+:| -->$/, "")
      flags[to] = $0
      told = 1
      next
    }
    /^<!--/ || !blank && told { say("bad", "a comment that is none of ours, or has no block behind it"); end() }
  ' "$1"
}

run() { # COMMAND: its exit status; the emulated GPU is there for what asks for it alone
  case $1 in *"--backend cuda "*) DUEL_CUDA_LIBRARY=$emulator && export DUEL_CUDA_LIBRARY ;; esac
  source=$source duel=$duel timeout 60 sh -c "$1" >"$home/log" 2>&1 </dev/null
  code=$?
  unset DUEL_CUDA_LIBRARY
  return $code
}

page() { # FILE
  mkdir -p "$home/page/${1##*/}" && cd "$home/page/${1##*/}" || exit 1
  ln -s ../../photos ../../shoes ../../my.yaml .
  blocks "$1" >list
  shown=
  while IFS='	' read -r kind where text <&3; do
    [ "$kind" = out ] || [ -z "$shown" ] || compare
    case $kind in
    run)
      if case $text in *"--backend cuda "*) [ ! -e "$emulator" ] ;; *) false ;; esac then
        skip "$where: no emulated GPU in this build"
        continue
      fi
      run "$text"
      code=$?
      [ $code = 0 ] || echo "exit code $code" >>"$home/log"
      result $code "$where: ${text#\"\$duel\" }"
      ;;
    show) shown=$where && : >"$home/wanted" && run "$text" ;;
    out) printf '%s\n' "$text" >>"$home/wanted" ;;
    code)
      grep -rqF -- "${text#"${text%%[! ]*}"}" "$source/include" "$source/src" "$source"/tests/*.c && continue
      echo "$text" >"$home/log"
      result 1 "$where: the line stands in the source"
      ;;
    skip) echo "# $where: $text" >>"$home/skipped" ;;
    bad) echo "$text" >"$home/log" && result 1 "$where: a block" ;;
    esac
  done 3<list
  [ -z "$shown" ] || compare
}

compare() {
  cmp -s "$home/log" "$home/wanted"
  result $? "$shown: prints what the page says"
  shown=
}

# ---- what the commands speak of
mkdir "$home/sets" "$home/shoes" "$home/sets/fashion-mnist" && cd "$home" || exit 1
{
  "$duel" train --data synthetic:shapes --limit 64 --steps 1 --outdir first -q &&
    "$duel" generate first/latest --count 64 --out photos/ &&
    "$duel" generate first/latest --count 64 --out shoes/train-images.idx
} >log 2>&1
result $? "pictures for the pages"
cp shoes/train-images.idx sets/fashion-mnist/
awk '!done && sub(/leaky_relu:/, "leaky_relue:") { done = 1 } { print }' "$source/recipes/mlp.yaml" >my.yaml
DUEL_DATA=$home/sets
export DUEL_DATA

for file in "$source"/README.md "$source"/CONTRIBUTING.md "$source"/docs/*.md; do page "$file"; done
[ "$n" -gt 10 ]
result $? "the pages have commands"
echo "# blocks that are not run:"
cat "$home/skipped"
finish
