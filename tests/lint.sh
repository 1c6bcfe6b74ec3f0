#!/bin/sh
# The rules of the house that a compiler does not check (dependencies point one way, one door to the heap, only the
# command prints, names, sizes, pages). Speaks TAP. DUEL_SOURCE and DUEL_BINARY name the two trees.
set -u
. "$(dirname "$0")/tap.sh"
LC_ALL=C
export LC_ALL
cd "${DUEL_SOURCE:?}" || exit 1

# rule NAME OFFENCES: passes if the list of offences is empty
rule() {
  [ -z "$2" ]
  verdict $? "$1"
  [ -z "$2" ] || printf '%s\n' "$2" | sed 's/^/# /'
}

# includes FOLDER PATTERN: every #include of a folder that the pattern (a name with its quotes or brackets) does not allow
includes() {
  grep -rnE '^[[:space:]]*#[[:space:]]*include' "src/$1" --include='*.[ch]' --include='*.cu' --include='*.cuh' |
    grep -vE "include[[:space:]]*($2)"
}

# code FILES…: their lines without // comments and strings, as FILE:LINE:TEXT
code() { awk '{ sub(/\/\/.*/, ""); gsub(/"([^"\\]|\\.)*"/, "\"\""); print FILENAME ":" FNR ":" $0 }' "$@"; }

sources() { find src \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) ! -path 'src/cli/*' "$@"; }

libc='<(assert|ctype|errno|float|inttypes|limits|locale|math|setjmp|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|time)\.h>'
# The rooms, from the ground up: base; core and io; recipe, cpu and cuda; gan; run; cli.
rule "base includes only itself" "$(includes base "$libc|<(cpuid|nmmintrin|pthread|sched|signal)\.h>|\"(duel\.h|base/)")"
rule "core includes only base: no file, BLAS or CUDA header" "$(includes core "$libc|\"(duel\.h|base/|core/)")"
rule "io knows nothing of the graph" "$(includes io '<[a-z_/0-9]+\.h>|"(duel\.h|base/|io/)')"
rule "recipe includes only base and io" "$(includes recipe "$libc|<yaml\.h>|\"(duel\.h|base/|io/|recipe/)")"
rule "gan includes only base, core, io and recipe" "$(includes gan "$libc|\"(duel\.h|base/|core/|io/|recipe/|gan/)")"
rule "cpu includes only base, core and BLAS" \
  "$(includes cpu "$libc|<(cblas|cpuid|sys/mman|[a-z]*intrin)\.h>|\"(duel\.h|base/|core/|cpu/)")"
rule "cuda includes only base, core and CUDA" \
  "$(includes cuda "$libc|<(cuda_runtime|cublas_v2|curand_kernel)\.h>|\"(duel\.h|base/|core/|cuda/)")"
cuda=$(find src/cuda -name '*.cu' -o -name '*.cuh')
rule "CUDA kernels are launched and share memory by launch.cuh alone, and have no PTX of their own" \
  "$(code $cuda | grep -vE '^src/cuda/(launch|ptx)\.cuh:' | grep -E '<<<|__shared__|[^a-z_]asm[^a-z_]')"
rule "no atomics on floats: sums have fixed trees" "$(code $cuda | grep -E 'atomic[A-Z]')"
rule "cli includes only duel.h and its own headers" "$(includes cli '<[a-z_/]+\.h>|"(options|progress|bench)\.h"')"
rule "BLAS, OpenMP and CUDA headers stay in their backend" \
  "$(grep -rnE 'include *<(cblas|omp|cuda|cublas|curand)' src include --include='*.[ch]' | grep -vE '^src/(cuda/|cpu/.*\.c:)')"
rule "a folder has at most some twenty files" "$(find src -type d | while read -r folder; do
  count=$(find "$folder" -maxdepth 1 -type f | wc -l)
  [ "$count" -le 24 ] || echo "$folder: $count"
done)"
rule "no #ifdef of a backend outside the registry" \
  "$(grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif).*DUEL_(CUDA|CPU|BACKEND)' -r src include |
    grep -vE '(ifndef|defined).*_H\)?$|^src/run/registry\.c:')"

long() { # LINES FOLDER…: files with more
  most=$1
  shift
  find "$@" \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' \) -exec awk -v most="$most" 'FNR == most + 1 { print FILENAME }' {} +
}
rule "no source file has more than 500 lines" "$(long 500 src include)"
# As clang-format has it, a function begins at a line's first column, with a '(', and ends at a '}' that stands alone there.
rule "no function has more than 60 lines" "$(find src include \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -exec awk '
  FNR == 1 { head = body = 0 }
  /^[a-zA-Z_].*\(/ && !/;$/ { head = FNR; body = 0 }
  /[{]$/ && head { body = 1 }
  /;$/ && !body { head = 0 }
  /^}$/ && body { if (FNR - head >= 60) print FILENAME ":" head ": " FNR - head + 1 " lines"; head = body = 0 }' {} +)"
rule "no test has more than 1100 lines, tables included" "$(long 1100 tests)"
rule "every source file opens with its purpose, or with the header that tells it" "$(
  find src include \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -exec awk '
    FNR == 1 { own = FILENAME; sub(/^src\//, "", own); sub(/\.c$/, ".h", own) }
    FNR == 1 && !/^\/[\/*]/ && $0 != "#include \"" own "\"" { print FILENAME }' {} +)"
rule "the heap has one door, base/mem.h" "$(code $(sources ! -name mem.c) |
  grep -E '[^a-zA-Z_.>](malloc|calloc|realloc|free|strdup|strndup|asprintf|vasprintf|aligned_alloc|posix_memalign)\(')"
rule "threads are started by base/team.c, and by io/data/prefetch.c, which reads ahead" "$(code $(find src -name '*.[ch]') |
  grep -E '(pthread|thrd)_create' | grep -vE '^src/(base/team|io/data/prefetch)\.c:')"
rule "the library names recipe keys and fields of its options; only the command has flags" "$(
  sources -exec grep -nE '^[^/]*"([^"\\]|\\.)*--[a-z]' {} /dev/null ';' |
    grep -vE '^src/recipe/')"
rule "only the command prints and exits" "$(code $(sources) |
  grep -E '[^a-zA-Z_.>](printf|puts|putchar|perror|exit|_exit|abort)\(|[^a-z_](stderr|stdout)[^a-z_]')"

texts() {
  find src include tests recipes cmake bench docs run .ci README.md CONTRIBUTING.md CMakeLists.txt -type f \( -name '*.[chyp]*' -o -name '*.md' \
    -o -name '*.sh' -o -name '*.def' -o -name '*.txt' -o -name '*.cmake' -o -name run \) ! -name '*.pyc' "$@" 2>/dev/null
}
rule "only run/backends.def lists the backends" \
  "$(find src -name '*.[ch]' -exec grep -nE '^[^/]*"(auto[|,] ?)?(cpu[|,] ?)?cuda"' {} +)"
words="TO""DO|FIX""ME|XX""X" # spelled so that this file passes
rule "no notes of unfinished work" "$(texts -exec grep -nwE "$words" /dev/null {} +)"
rule "no blanks at the end of a line" "$(texts -exec grep -nE '[[:space:]]$' /dev/null {} +)"

# __ names are the compiler's (sanitizers, stubs).
rule "names that other files see begin with duel_" "$(nm -g --defined-only "${DUEL_BINARY:?}/libduel.a" 2>&1 |
  awk '/^nm: .*No such file/ || NF == 3 && $3 !~ /^(duel_|__|\.L)/ { print $NF }')"

# ---- the pages
pages="README.md CONTRIBUTING.md $(ls docs/*.md)"
rule "the pages are there" "$(for page in $pages docs/DESIGN.md; do [ -e "$page" ] || echo "$page is missing"; done)"

# What they show as commands: lines that begin with ./run, duel or build/duel.
shown() {
  sed -nE 's/^[[:space:]$]*(\.\/run|duel|build\/duel) ([a-z].*)$/\2/p' $pages | sed 's/ #.*//' | sort -u |
    while read -r name rest; do
      [ "$name" = test ] && continue # of ./run itself
      if ! help=$("$DUEL_BINARY/duel" "$name" --help 2>/dev/null); then
        echo "no such command: $name $rest"
        continue
      fi
      for word in $rest; do
        case $word in
        --*) printf '%s\n' "$help" | grep -qE -- "[ ,]${word%%=*}( |\$)" || echo "no such flag: $name $word" ;;
        esac
      done
    done
}
rule "the pages' commands and flags exist" "$(shown)"

# [text](path#part) of all .md files, but for code; a path is relative to its file.
links() {
  find . -path ./.git -prune -o -path './build*' -prune -o -path './.venv*' -prune -o -name '*.md' -print |
    while read -r page; do
      awk '/^```/ { code = !code } !code' "$page" | sed 's/`[^`]*`//g' | grep -oE '\]\([^) ]+\)' | sed 's/^](//; s/)$//' |
        while read -r link; do
          case $link in *://* | mailto:*) continue ;; esac
          path=${link%%#*} file=$page
          [ -z "$path" ] || file=$(dirname "$page")/$path
          [ -e "$file" ] || { echo "$page: $link: there is no such file"; continue; }
          case $link in *#*) ;; *) continue ;; esac
          sed -nE 's/^#+ //p' "$file" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9\n-' | grep -qxF -- "${link#*#}" ||
            echo "$page: $link: there is no such section"
        done
    done
}
rule "links between the pages lead somewhere" "$(links)"

# Comments cite a section of docs/DESIGN.md by its name: DESIGN "Random draws", "Data order".
cited() {
  grep -rn 'DESIGN' src include tests/*.[ch] | grep -v 'DESIGN "[^"]*"' | sed 's/$/: cites no section/'
  grep -rhoE 'DESIGN "[^"]+"(, "[^"]+")*' src include tests/*.[ch] | grep -oE '"[^"]+"' | sort -u | tr -d '"' |
    while read -r section; do
      grep -qxF "## $section" docs/DESIGN.md || echo "docs/DESIGN.md has no section \"$section\""
    done
}
rule "what comments cite of DESIGN is there" "$(cited)"
finish
