// Runs a libFuzzer target (tests/fuzz_NAME.c) without libFuzzer: replays tests/corpus/NAME, then feeds it mutations of
// those files for two seconds (or as many as argv[2] says), the same ones every time. Speaks TAP.
//
// The real fuzzer, by hand:
//   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Isrc tests/fuzz_NAME.c src/io/*.c
//         src/core/{status,mem,tensor,rng}.c -ldeflate -lpng -ljpeg -lz -lyaml -lm && ./a.out /tmp/new
//         tests/corpus/NAME
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MOST_FILES = 1000, MOST_BYTES = 1 << 16 };
static struct {
  uint8_t *bytes;
  size_t n;
} file[MOST_FILES];

static uint64_t random_state = 1;
static size_t random_below(size_t n) { // xorshift64*
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (size_t)(random_state * 2685821657736338717u >> 33) % n;
}

// The input lies at the end of its own allocation, so that a sanitizer sees a read behind it.
static void run(const uint8_t *bytes, size_t n) {
  uint8_t *copy = malloc(n ? n : 1);
  if (!copy) abort();
  memcpy(copy, bytes, n);
  LLVMFuzzerTestOneInput(copy, n);
  free(copy);
}

static int load(const char *folder) {
  int files = 0;
  DIR *dir = opendir(folder);
  for (struct dirent *e; dir && files < MOST_FILES && (e = readdir(dir)) != NULL;) {
    char path[PATH_MAX];
    if (e->d_name[0] == '.' || snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= PATH_MAX) continue;
    FILE *f = fopen(path, "rb");
    file[files].bytes = malloc(MOST_BYTES);
    if (!f || !file[files].bytes) abort();
    file[files].n = fread(file[files].bytes, 1, MOST_BYTES, f);
    files++;
    fclose(f);
  }
  if (dir) closedir(dir);
  return files;
}

static size_t mutate(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *other, size_t n_other) {
  static const uint8_t odd[] = {0, 1, 0x7F, 0x80, 0xFF, '"', '{', '[', '\\', '-', ' ', '\n'};
  memcpy(dst, src, n);
  for (size_t times = 1 + random_below(4); times > 0; times--) {
    size_t at = n ? random_below(n) : 0, length = 1 + random_below(8);
    switch (random_below(7)) {
    case 0: // flip a bit
      if (n) dst[at] ^= (uint8_t)(1 << random_below(8));
      break;
    case 1: // an odd byte
      if (n) dst[at] = odd[random_below(sizeof odd)];
      break;
    case 2: // any byte
      if (n) dst[at] = (uint8_t)random_below(256);
      break;
    case 3: // cut the end off
      n = at;
      break;
    case 4: // take some out
      if (at + length <= n) {
        memmove(dst + at, dst + at + length, n - at - length);
        n -= length;
      }
      break;
    case 5: // double some
      if (at + length <= n && n + length <= MOST_BYTES) {
        memmove(dst + at + length, dst + at, n - at);
        n += length;
      }
      break;
    default: // go on as another file does
      if (at < n_other) {
        n = n_other;
        memcpy(dst + at, other + at, n - at);
      }
    }
  }
  return n;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
  static uint8_t bytes[MOST_BYTES];
  const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
  int files = argc > 1 ? load(argv[1]) : 0;
  double limit = argc > 2 ? atof(argv[2]) : 2;
  printf("1..1\n");
  for (int i = 0; i < files; i++) run(file[i].bytes, file[i].n);
  long mutations = 0;
  double end = seconds() + limit;
  while (files > 0 && (mutations % 100 != 0 || seconds() < end)) {
    size_t a = random_below((size_t)files), b = random_below((size_t)files);
    run(bytes, mutate(bytes, file[a].bytes, file[a].n, file[b].bytes, file[b].n));
    mutations++;
  }
  for (int i = 0; i < files; i++) free(file[i].bytes);
  printf("%s 1 - %s: %d files, %ld mutations\n", files > 0 ? "ok" : "not ok", name, files, mutations);
  return files > 0 ? 0 : 1;
}
