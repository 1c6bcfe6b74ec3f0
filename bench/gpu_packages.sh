# shellcheck shell=sh disable=SC2034,SC2154 # its variables are gpu_check.sh's
# Building with packages that were not installed: a part of bench/gpu_check.sh, which reads this file.
#
# use_deps      takes DEPS, .deb files or an unpacked tree
# find_cublas   takes cuBLAS of Python's packages where the toolkit has none
# lines COMMAND runs a step of the build with what these two found, in $seconds at most
#
# What they found is in $building, a variable of the environment a line, and $cmake_flags, a flag a line.

# The .deb files of DEPS, unpacked beside what is built with them; not what belongs to the system's own programs.
unpack() {
  [ ! -e "$tree/deps/complete" ] || return 0
  rm -rf "$tree/deps"
  mkdir -p "$tree/deps"
  for deb in "$DEPS"/*.deb; do
    case ${deb##*/} in libc6_* | libgcc-s1_* | libstdc++6_* | zlib1g_*) continue ;; esac
    if have dpkg; then
      dpkg -x "$deb" "$tree/deps"
    else
      member=$(ar t "$deb" | grep '^data\.tar') && ar p "$deb" "$member" >"$work/data.tar" &&
        tar -xf "$work/data.tar" -C "$tree/deps" # tar sees how it is compressed
    fi || die "$deb cannot be unpacked"
  done
  rm -f "$work/data.tar"
  : >"$tree/deps/complete"
}

# A Debian tree that was unpacked, not installed: its .pc files and links still say /usr. What it takes to build with it
# goes to the build alone; programs find its libraries by their RPATH (not RUNPATH, which libraries' own needs ignore), so
# that neither PyTorch nor the tools meet them.
building='' cmake_flags=''
use_deps() {
  DEPS=$(CDPATH='' cd -- "$DEPS" && pwd) || exit 1
  taken=$DEPS/commit.txt
  for deb in "$DEPS"/*.deb; do
    [ ! -e "$deb" ] || { unpack; DEPS=$tree/deps; break; }
  done
  mkdir -p "$tree/pkgconfig"
  for pc in "$DEPS"/usr/lib/*/pkgconfig/*.pc "$DEPS"/usr/lib/*/*/pkgconfig/*.pc "$DEPS"/usr/share/pkgconfig/*.pc; do
    [ ! -f "$pc" ] ||
      sed -E "s#(^|[=: ]|-I|-L)/usr(/|\$)#\1$DEPS/usr\2#g" "$pc" >"$tree/pkgconfig/$(basename "$pc")"
  done
  include=$DEPS/usr/include libraries=''
  for folder in "$DEPS"/usr/include/*-linux-gnu; do # jconfig.h and others are here
    [ ! -d "$folder" ] || include=$include:$folder
  done
  for folder in "$DEPS"/usr/lib/*-linux-gnu "$DEPS"/lib/*-linux-gnu "$DEPS"/usr/lib/*-linux-gnu/openblas-*; do
    [ ! -d "$folder" ] || libraries=${libraries:+$libraries:}$folder
  done
  flags=''
  have pkg-config || { # its own libraries are for nobody else
    mkdir -p "$tree/bin"
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec "%s" "$@"\n' "$libraries" "$DEPS/usr/bin/pkgconf" >"$tree/bin/pkg-config"
    chmod +x "$tree/bin/pkg-config"
    flags="-DPKG_CONFIG_EXECUTABLE=$tree/bin/pkg-config" # CMake would find that of DEPS
  }
  building="PKG_CONFIG_PATH=$tree/pkgconfig:${PKG_CONFIG_PATH:-}
CMAKE_PREFIX_PATH=$DEPS/usr:${CMAKE_PREFIX_PATH:-}
CMAKE_LIBRARY_PATH=$libraries:${CMAKE_LIBRARY_PATH:-}
CPATH=$include:${CPATH:-}
LIBRARY_PATH=$libraries:${LIBRARY_PATH:-}"
  cmake_flags="-DCMAKE_BUILD_RPATH=$(echo "$libraries" | tr : ';')
-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags ${LDFLAGS:-}${flags:+
$flags}"
  [ ! -d "$DEPS/usr/share/datasets" ] || export DUEL_DATA="${DUEL_DATA:-$DEPS/usr/share/datasets}"
}
lines() { # COMMAND… with each line of $building in its environment, and each of $cmake_flags behind it
  IFS='
'
  set -f
  # shellcheck disable=SC2086 # they are split on purpose, at line ends alone
  set -- env $building "$@" $cmake_flags
  set +f
  unset IFS
  within "$seconds" build.log "$@"
}

# cuBLAS from Python's packages, where the toolkit has none: links to its headers (those of CUDA itself are the toolkit's),
# and the two libraries by their names, which end in a version.
find_cublas() {
  have nvcc && ! echo '#include <cublas_v2.h>' | nvcc -x cu -E - >/dev/null 2>&1 || return 0
  rm -rf "$tree/cublas"
  mkdir -p "$tree/cublas"
  found=$("$python" - "$tree/cublas" 2>>"$work/build.log" <<'END'
import glob, os, sys
import nvidia
roots = [root for p in nvidia.__path__ for root in sorted(glob.glob(p + "/cu[0-9]*")) + [p + "/cublas", p + "/curand"]]
libraries = {}
for root in roots:
    for header in glob.glob(root + "/include/cublas*.h") + glob.glob(root + "/include/curand*.h"):
        link = os.path.join(sys.argv[1], os.path.basename(header))
        if not os.path.lexists(link):
            os.symlink(header, link)
    for name in "cublas", "cublasLt":
        for path in sorted(glob.glob(f"{root}/lib/lib{name}.so*")):
            libraries.setdefault(name, path)
if len(libraries) == 2 and os.path.exists(sys.argv[1] + "/cublas_v2.h"):
    for name, path in libraries.items():
        print(f"-DCUDA_{name}_LIBRARY={path}")
END
  )
  [ -n "$found" ] || return 0
  headers=$tree/cublas
  case $building in
  *CPATH=*) building=$(printf '%s\n' "$building" | sed "s#^CPATH=#CPATH=$headers:#") ;;
  *) building="CPATH=$headers:${CPATH:-}" ;;
  esac
  cmake_flags="${cmake_flags:+$cmake_flags
}$found"
}
