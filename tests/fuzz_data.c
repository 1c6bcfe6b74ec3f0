// Whatever a data set may be, from its bytes: zip files with pictures, arrays and labels, NPY, IDX, gzip. Nothing
// crashes, and every item of a set that opens can be read. Bytes that begin with '{' are a dataset.json beside
// pictures.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/data/dataset.h"
#include "io/file.h"
#include "io/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void open_set(const char *path) {
  const duel_dataset_options o = {.skip_bad = true, .threads = 1, .mirror = true, .transpose = true, .limit = 64};
  duel_dataset *d;
  if (duel_dataset_open_with(&d, path, &o) != DUEL_OK) return;
  uint8_t *item = duel_malloc((size_t)duel_dataset_item_bytes(d));
  if (!item) abort();
  for (int32_t i = 0; i < d->items; i++)
    if (duel_dataset_read(d, &i, 1, item) != DUEL_OK || (d->labels && d->labels[i] >= d->classes)) abort();
  duel_free(item);
  duel_dataset_close(d);
}

// A folder of two pictures, for the life of the process.
static char folder[32];

static void remove_folder(void) { // its cache, too
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  if (system(command) != 0) abort();
}

static void make_folder(void) {
  static const uint8_t pixels[4] = {1, 2, 3, 4};
  char path[64];
  strcpy(folder, "/tmp/duel-fuzz-XXXXXX");
  if (!mkdtemp(folder)) abort();
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%c.png", folder, 'a' + i);
    if (duel_png_write(path, pixels, 2, 2, 1) != DUEL_OK) abort();
  }
  atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  char path[64];
  setenv("HOME", "/nowhere", 1); // no caches are kept
  setenv("XDG_CACHE_HOME", "/nowhere", 1);
  if (n > 0 && bytes[0] == '{') {
    if (!*folder) make_folder();
    snprintf(path, sizeof path, "%s/dataset.json", folder);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) abort();
    open_set(folder);
    return 0;
  }
  const int fd = memfd_create("input", 0);
  if (fd < 0 || write(fd, bytes, n) != (ssize_t)n) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  open_set(path);
  close(fd);
  return 0;
}
