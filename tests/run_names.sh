#!/bin/sh
# `./run test NAME…`: which tests it builds and runs. On a copy of `run` whose cmake, ninja and ctest are stand-ins that
# write down what they are asked for. Speaks TAP. DUEL_SOURCE names the tree.
set -u
. "$(dirname "$0")/tap.sh"
home=$(mktemp -d) || exit 1
trap 'rm -rf "$home"' EXIT
mkdir "$home/bin" "$home/tree" && cp "${DUEL_SOURCE:?}/run" "$home/tree/run" || exit 1
cd "$home" || exit 1

stand_in() { # NAME BODY
  printf '#!/bin/sh\n%s\n' "$2" >"bin/$1"
  chmod +x "bin/$1"
}
stand_in cmake 'echo "cmake" >>"$ASKED"
mkdir -p "$HERE/build/Testing/Temporary"
: >"$HERE/build/build.ninja"
printf "CMAKE_HOME_DIRECTORY:INTERNAL=%s\nCMAKE_CXX_COMPILER:FILEPATH=/c++\n" "$HERE" >"$HERE/build/CMakeCache.txt"'
stand_in ninja 'shift 2; echo "ninja $*" >>"$ASKED"'
stand_in ctest 'for word; do pattern=$word; done
echo "ctest $*" >>"$ASKED"
case " $* " in
*" -N "*) printf "%s\n" test_json test_cli fuzz_json emulated_run test_ring | grep -E "$pattern" | sed "s/^/  Test #1: /" ;;
*) printf "1/1 Test: x\nok 1 - a\nok 2 - b\n" >Testing/Temporary/LastTest.log ;;
esac'
for tool in pkg-config dpkg-query nvidia-smi; do stand_in $tool 'exit 0'; done # nothing is missing, no GPU
stand_in apt-get 'echo "apt-get $*" >>"$ASKED"; exit 1'

run() { # CODE NAME ARGUMENTS…: what it prints in out, what was asked for in asked
  code=$1 name=$2
  shift 2
  : >asked
  ASKED=$home/asked HERE=$home/tree PATH=$home/bin:$PATH DUEL_DATA=/ "$home/tree/run" "$@" >out 2>&1
  rc=$?
  [ $rc = "$code" ] || cat asked >>out
  verdict $((rc != code)) "$name: exit code $rc" out
}
says() { # NAME LINE FILE: it has that line
  grep -qxF -- "$2" "$3"
  verdict $? "$1: $2" "$3"
}

run 0 "names" test json ring
says "go to ctest, joined" "ctest -j $(nproc) --timeout 280 --output-on-failure -R json|ring" asked
says "their programs are built, and no others" "ninja duel test_json duel fuzz_json duel test_ring" asked
says "the count comes last" "2 passed, 0 failed, 0 skipped" out
run 0 "a test that needs more than a program of its name" test emulated json
says "has all built" "ninja all" asked
run 0 "the command's test" test 'test_cl.$'
says "needs the command" "ninja all" asked
run 1 "a name that no test has" test nonsense
says "is told" "run: error: no test's name matches nonsense; all of them: (cd $home/tree/build && ctest -N)" out
run 0 "no name" test
says "means all but the long ones" "ctest -j $(nproc) --timeout 280 --output-on-failure -LE long" asked
run 2 "a flag that there is not" test --al
run 2 "--all and a name" test --all json
finish
