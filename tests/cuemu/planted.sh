#!/bin/sh
# planted.sh: each bug that the emulator promises to find, planted by one line in a kernel of src/cuda, must fail the
# tests of the backend. Each patch changes a copy, of which the named sources are compiled anew and linked with the
# objects of the build. Speaks TAP. DUEL_SOURCE and DUEL_BINARY name the two trees; names of plants limit it to those.
set -u
. "$(dirname "$0")/../tap.sh"
source=${DUEL_SOURCE:?} binary=${DUEL_BINARY:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
only=" $* "

# The build's own command for a source, with the copy first among the includes, and quickly; its end, "-o … -c …", is ours.
command_of() {
  sed -n "s|^ *\"command\": \"\(.*\) -o [^ ]*duel_cuda_emulated.dir[^ ]*/$1.o -c .*|\1|p" "$binary/compile_commands.json" |
    sed "s|\\\\\"|\"|g; s|^\([^ ]*\) |\1 -I$work/src |; s|$| -O1|"
}

at() { (cd "$source/src/cuda" && find . -name "$1" | sed 's|^\./||'); } # where a file lies there

# tests PROGRAM…: whether all of them pass on the library of the copy, in every order, with streams eager and lazy; what
# they say is in $work/log.
tests() {
  for program; do
    for how in random:5:lazy reverse:lazy forward:eager; do # most are found in the first
      CUEMU_ORDER=${how%:*} CUEMU_STREAMS=${how##*:} DUEL_TEST_BACKENDS=cuda DUEL_CUDA_LIBRARY=$work/libduel_cuda.so \
        DUEL_TEST_MOST=2000 DUEL_CUDA_KIND=EMULATOR timeout 300 "$binary/tests/$program" >"$work/log" 2>&1 || return 1
      [ "$program" = test_trajectory ] || break # this one is quick; the others turn the order themselves
    done
  done
}

# plant NAME FILE SED SOURCE PROGRAM… : SOURCE has the kernels that the change in FILE reaches.
plant() {
  name=$1 file=$(at "$2") patch=$3 unit=$4
  shift 4
  case $only in "  " | *" $name "*) ;; *) return ;; esac
  rm -rf "$work/src"
  mkdir -p "$work/src"
  cp -r "$source/src/cuda" "$work/src/cuda"
  sed "$patch" "$source/src/cuda/$file" >"$work/src/cuda/$file"
  if [ "$(diff "$source/src/cuda/$file" "$work/src/cuda/$file" | grep -c '^>')" != 1 ]; then
    verdict 1 "$name: the patch does not change one line of $file"
    return
  fi
  build "$unit" && link "$unit" || { verdict 1 "$name: it does not build"; return; }
  if tests "$@"; then
    verdict 1 "$name: $file: nothing was found"
  else
    found=$(grep -m1 -E 'cuemu: [^0-9]|Sanitizer|runtime error|cuda[A-Z]' "$work/log" | sed "s|$work/||g" | cut -c1-160)
    verdict 0 "$name: $file: ${found:-wrong values}"
  fi
}

build() { # SOURCE
  compile=$(command_of "$1")
  [ -n "$compile" ] || { echo "# no command for $1"; return 1; }
  eval "$compile -o $work/$1.o -c $work/src/cuda/$(at "$1")" 2>"$work/log" || { head -5 "$work/log"; return 1; }
}

link() { # SOURCE: the objects of the build but for this one
  compile=$(command_of "$1")
  rest=$(sed -n "s|^ *\"command\": .* -o \([^ ]*duel_cuda_emulated.dir[^ ]*\) -c .*|$binary/\1|p" \
    "$binary/compile_commands.json" | grep -v "/$1.o$")
  # The compiler's own options too: they name sanitizers.
  eval "${compile%% -x*} $(echo "$compile" | grep -o -- '-fsanitize[^ ]*' | tr '\n' ' ')" -shared -fPIC -o \
    "$work/libduel_cuda.so" "$work/$1.o" $rest "$binary/tests/cuemu/libcuemu.a" -lpthread 2>"$work/log" ||
    { head -5 "$work/log"; return 1; }
}

# ---- nothing planted: the way of building is right
rm -rf "$work/src"
mkdir -p "$work/src"
cp -r "$source/src/cuda" "$work/src/cuda"
if build cuda_reduce.cu && link cuda_reduce.cu && tests test_trajectory; then
  verdict 0 "nothing planted: nothing found"
else
  verdict 1 "nothing planted"
  sed 's/^/# /' "$work/log" | tail -5
fi

# ---- one by one
plant missing-barrier columns.cuh '/part\[warp \* wide + lane\] = value;/{n;s/__syncthreads();//;}' cuda_reduce.cu \
  test_trajectory test_cuda_ops
plant missing-barrier-at-end columns.cuh '/part\[w \* wide + x\]);/{n;s/__syncthreads();//;}' cuda_batchnorm.cu \
  test_cuda_ops
plant diverging-barrier columns.cuh \
  '/part\[warp \* wide + lane\] = value;/{n;s/__syncthreads();/if (lane < wide) __syncthreads();/;}' cuda_reduce.cu \
  test_trajectory test_cuda_ops
plant past-global nest.cuh 's/unit < nest.units + nest.tail; unit/unit <= nest.units + nest.tail; unit/' cuda_elem.cu \
  test_trajectory test_cuda_ops
plant past-shared cuda_move.cu 's/tile, TILE \*(TILE + 1));/tile, TILE *(TILE + 1) - 2);/' cuda_move.cu test_cuda_ops
plant wrong-mask columns.cuh 's/__shfl_down_sync(DUEL_FULL_MASK/__shfl_down_sync(0x0000ffffu/' cuda_reduce.cu \
  test_trajectory test_cuda_ops
plant shared-not-set columns.cuh 's/if (lane < wide) part/if (lane < wide \&\& warp != 3) part/' cuda_reduce.cu \
  test_trajectory test_cuda_ops
plant host-touches-device nest.cuh \
  's/^  duel_map(duel_lane_of(call), f, &nd, (float \*)call->out\[0\].data, src);/  *(volatile float *)call->out[0].data = 0; &/' \
  cuda_elem.cu test_trajectory test_cuda_ops
plant use-after-free program.cu 's/"preparing");/"preparing"); if (p->fed) cudaFree(p->fed->number);/' program.cu test_cuda_run
plant over-the-limits launch.cuh 's/DUEL_BLOCK = 256;/DUEL_BLOCK = 2048;/' cuda_elem.cu test_trajectory test_cuda_ops
plant no-fork program.cu 's/DUEL_CUDA_TRY(cudaStreamWaitEvent(b->lane\[i\].stream, b->forked, 0), "forking");/;/' \
  program.cu test_trajectory test_cuda_run
plant no-join program.cu 's/DUEL_CUDA_TRY(cudaStreamWaitEvent(b->lane\[0\].stream, b->joined\[i\], 0), "joining");//' \
  program.cu test_trajectory test_cuda_run
plant no-wait-for-outputs program.cu 's/error = cudaEventSynchronize(event);/error = cudaSuccess;/' program.cu \
  test_trajectory test_cuda_run

finish
