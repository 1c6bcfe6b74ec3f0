# TAP for the tests in shell, which read this: . "$(dirname "$0")/tap.sh"
n=0 failed=0

verdict() { # STATUS NAME [FILE]: of one check; the file explains a failure, a long one by its beginning and its end
  n=$((n + 1))
  if [ "$1" = 0 ]; then
    echo "ok $n - $2"
    return
  fi
  echo "not ok $n - $2"
  [ ! -s "${3:-/dev/null}" ] || awk '
    { line[NR] = $0 }
    END { for (i = 1; i <= NR; i++) if (i <= 20 || i > NR - 20) print "# " line[i] }' "$3"
  failed=1
}

skip() { # WHY
  n=$((n + 1))
  echo "ok $n # SKIP $1"
}

finish() {
  echo "1..$n"
  exit $failed
}
