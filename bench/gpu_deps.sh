#!/bin/sh
# Fetches the Debian packages that a machine with a GPU needs to build duel, for one that has neither network nor them:
# the -dev packages, their libraries, pkg-config and Fashion-MNIST.
#
#   bench/gpu_deps.sh [FOLDER]
#
# Into FOLDER (default build-deps), by apt-get download, for amd64 and this machine's release; nothing is installed, and
# no rights are needed. What is there stays; commit.txt says which commit is taken along. Then take the folder along:
#
#   DEPS=FOLDER sh bench/gpu_check.sh
#
# In all at most 60 MiB, since such machines take files only up to a limit, of which duel itself needs some: status 1 beyond.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# The C library, GCC's and zlib's run time are the machine's own: another version would break its programs.
packages="libopenblas0-pthread libopenblas-pthread-dev libopenblas-dev libgfortran5 libquadmath0
libyaml-dev libyaml-0-2 libpng-dev libpng16-16 libjpeg-dev libjpeg62-turbo libjpeg62-turbo-dev
zlib1g-dev libdeflate-dev libdeflate0 libcmocka-dev libcmocka0 pkg-config pkgconf pkgconf-bin libpkgconf3
dataset-fashion-mnist"
most=60 # MiB

die() { echo "gpu_deps: error: $*" >&2; exit 1; }

case ${1:-} in
-h | --help) sed -n '2,/^set -u/s/^# \{0,1\}//p' "$0"; exit 0 ;;
-*) die "'$1' is no folder; --help says what this takes" ;;
esac
folder=${1:-$here/build-deps}
command -v apt-get >/dev/null 2>&1 || die "there is no apt-get here: this needs Debian, or a system made of it"
mkdir -p "$folder" && folder=$(CDPATH='' cd -- "$folder" && pwd) || exit 1
log=$(mktemp) && new=$(mktemp -d) || exit 1
trap 'rm -rf "$log" "$new"' EXIT
chmod 777 "$new" # root's apt-get downloads as another user

missing=
for package in $packages; do
  set -- "$folder/${package}"_*.deb
  [ -s "$1" ] || missing="$missing $package:amd64"
done
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086
  download() { (cd "$new" && apt-get download -qq $missing) >"$log" 2>&1; }
  # A fresh machine may have no list of packages yet, which root can get.
  download || { [ "$(id -u)" = 0 ] && apt-get update -qq >"$log" 2>&1 && download; } || {
    # Of what apt-get says, the lines that name no host that it asks.
    grep -E '^E: (Unable to locate|Can.t find|.*[Pp]ermission|.*No space)' "$log" | tail -n 5 >&2
    die "apt-get download failed: is there a network, and a list of packages (apt-get update)? Wanted:$missing"
  }
  for deb in "$new"/*.deb; do # names that every way of carrying files takes
    mv "$deb" "$folder/$(basename "$deb" | sed 's/%3a/./g; s/[~+]/-/g')" || exit 1
  done
fi
for package in $packages; do
  set -- "$folder/${package}"_*.deb
  [ -s "$1" ] || die "$package did not come"
done
# A tree that was copied without .git does not know what it is.
git -C "$here" rev-parse HEAD >"$folder/commit.txt" 2>/dev/null || rm -f "$folder/commit.txt"
bytes=$(cat "$folder"/* | wc -c)
mib=$(((bytes + 1048575) / 1048576))
[ $mib -le $most ] || die "$folder has $mib MiB, more than $most: take older or other packages out of it"
echo "$folder: $mib MiB in $(find "$folder" -name '*.deb' | wc -l) packages. On the machine with the GPU:"
echo "  DEPS=$folder sh bench/gpu_check.sh"
