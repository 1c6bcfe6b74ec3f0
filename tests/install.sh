#!/bin/sh
# `cmake --install` into a folder of its own, which is then moved; and a program outside of the tree that is built on it in
# each of the ways that there are. Speaks TAP. DUEL_SOURCE and DUEL_BINARY name the two trees.
set -u
. "$(dirname "$0")/tap.sh"
source=${DUEL_SOURCE:?} binary=${DUEL_BINARY:?}
home=$(mktemp -d) || exit 1
trap 'rm -rf "$home"' EXIT
trap 'exit 1' INT TERM

ok() { # NAME COMMAND…
  name=$1
  shift
  "$@" >"$home/log" 2>&1
  verdict $? "$name" "$home/log"
}
cached() { sed -n "s/^$1:[A-Z]*=//p" "$binary/CMakeCache.txt"; }

sanitize=$(cached DUEL_SANITIZE)
compiler=$(cached CMAKE_C_COMPILER)
flags=${sanitize:+-fsanitize=$sanitize}
libdir=$(cached CMAKE_INSTALL_LIBDIR)
prefix="$home/moved here"
export LSAN_OPTIONS=detect_leaks=0 # of the libraries that it uses

ok "cmake --install" cmake --install "$binary" --prefix "$home/first"
mv "$home/first" "$prefix" || exit 1
lib="$prefix/$libdir"
listed() { # what should be there, and nothing else but what CMake adds to its package
  (cd "$prefix" && find . ! -type d | sed -e "s|\./$libdir/|LIB/|" -e 's|^\./||' | grep -v -e '-[a-z]*\.cmake$' -e libduel_cuda | sort) >"$home/files"
  printf '%s\n' LIB/cmake/duel/duelConfig.cmake LIB/cmake/duel/duelConfigVersion.cmake LIB/cmake/duel/duelStatic.cmake \
    LIB/cmake/duel/duelTargets.cmake LIB/libduel.a LIB/libduel.so LIB/libduel.so."${version%%.*}" LIB/libduel.so."$version" \
    LIB/pkgconfig/duel.pc bin/duel include/duel.h | sort | diff - "$home/files"
}
version=$("$binary/duel" --version | sed 's/^duel //')
ok "every file has its place" listed
ok "the header is the one" cmp "$source/include/duel.h" "$prefix/include/duel.h"
train() { "$@" mlp synthetic:shapes "$home/grid.png"; }
ok "the command runs" "$prefix/bin/duel" info mlp --data synthetic:shapes

exported() { # but for what a sanitizer adds
  nm -D --defined-only "$lib/libduel.so" | awk '{ print $NF }' | grep -v '^__' | sed 's/@.*//' | sort >"$home/exported"
  grep -oE '^DUEL_API .*' "$source/include/duel.h" | grep -oE '\bduel_[a-z_]+\(' | tr -d '(' | sort | diff - "$home/exported"
}
soname() { readelf -d "$lib/libduel.so" | grep -q "SONAME.*\[libduel\.so\.${version%%.*}\]"; }
ok "libduel.so exports what duel.h declares, and nothing else" exported
ok "its soname has the major version" soname

# ---- pkg-config

PKG_CONFIG_PATH=$lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
compile() { # PROGRAM LIBRARIES: pkg-config quotes blanks for the shell
  eval "'$compiler' -Wall -Werror $flags -o '$1' '$source/tests/example_train.c' $(pkg-config --cflags duel) $2"
}
ok "pkg-config knows the version" test "$(pkg-config --modversion duel)" = "$version"
ok "a program with the shared library" compile "$home/shared" "$(pkg-config --libs duel)"
ok "trains" train env LD_LIBRARY_PATH="$lib" "$home/shared"
ok "is linked to it" sh -c 'LD_LIBRARY_PATH=$1 ldd "$2" | grep -qF "libduel.so.${3%%.*} => $1/"' - "$lib" "$home/shared" "$version"
ok "a program with the static library" compile "$home/static" "$(pkg-config --static --libs duel | sed 's/-lduel/-l:libduel.a/')"
ok "trains too" train "$home/static"
ok "without the shared one" sh -c '! readelf -d "$1" | grep -q "NEEDED.*libduel"' - "$home/static"

# ---- CMake

mkdir "$home/project"
cat >"$home/project/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.20)
project(outside C)
find_package(duel ${version%.*} REQUIRED)
foreach(kind duel static)
  add_executable(with_\${kind} $source/tests/example_train.c)
  target_link_libraries(with_\${kind} PRIVATE duel::\${kind})
endforeach()
END
ok "find_package(duel)" cmake -S "$home/project" -B "$home/project/build" -G Ninja "-DCMAKE_C_COMPILER=$compiler" \
  "-DCMAKE_C_FLAGS=$flags" "-DCMAKE_PREFIX_PATH=$prefix"
ok "builds with duel::duel and duel::static" cmake --build "$home/project/build"
ok "duel::duel trains" train "$home/project/build/with_duel"
ok "duel::static trains" train "$home/project/build/with_static"

# ---- where an installation has the CUDA backend: any library will do to be found

if [ ! -e "$lib/duel/libduel_cuda.so" ]; then
  mkdir -p "$lib/duel" && cp "$lib/libduel.so" "$lib/duel/libduel_cuda.so"
  found() { "$@" 2>&1 | grep -q "libduel_cuda.so is not duel's"; }
  cat >"$home/cuda.c" <<END
#include <duel.h>
#include <stdio.h>
int main(void) { return duel_info_devices(stdout, 0); }
END
  eval "'$compiler' $flags -o '$home/devices' '$home/cuda.c' $(pkg-config --cflags --libs duel)"
  ok "the command finds it" found env -u DUEL_CUDA_LIBRARY "$prefix/bin/duel" info devices
  ok "a program finds it below libduel.so" found env -u DUEL_CUDA_LIBRARY LD_LIBRARY_PATH="$lib" "$home/devices"
else
  skip "the command finds it: this build has the real one"
  skip "a program finds it below libduel.so: this build has the real one"
fi
finish
