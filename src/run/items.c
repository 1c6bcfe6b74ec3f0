// duel.h, "looking at things": items to files.
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/host.h"
#include "base/text.h"
#include "io/file.h"
#include "io/image.h"
#include "io/records/idx.h"
#include "io/records/npy.h"

static int64_t columns_of(int64_t n) { // as square as it gets
  int64_t c = 1;
  while (c * c < n) c++;
  return c;
}

static duel_status write_folder(const char *path, const float *items, int64_t n, const int64_t *dim,
                                const uint64_t *names) {
  int64_t item = dim[0] * dim[1] * dim[2];
  DUEL_TRY(duel_make_folder(path));
  for (int64_t i = 0; i < n; i++) {
    char file[4096], own[32];
    uint64_t name = names ? names[i] : (uint64_t)i;
    snprintf(own, sizeof own, "%05" PRIu64 ".png", name);
    if (!duel_join(file, sizeof file, path, own)) return duel_fail(DUEL_ERR_IO, "the path %s is too long", path);
    DUEL_TRY(duel_grid_write(file, items + i * item, 1, 1, dim));
  }
  return DUEL_OK;
}

duel_status duel_write_items(const char *path, const float *items, int64_t n, int rank, const int64_t *dim,
                             const uint64_t *names) {
  struct stat st;
  bool folder = duel_ends_with(path, "/") || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
  bool image = rank == 3;
  if (n < 1 || (rank != 3 && rank != 1)) return duel_fail(DUEL_ERR_USAGE, "there is nothing to write to %s", path);
  if (duel_ends_with(path, ".npy")) {
    int64_t shape[4] = {n, dim[0], image ? dim[1] : 0, image ? dim[2] : 0};
    return duel_npy_write(path, items, rank + 1, shape);
  }
  if (!image && rank == 1 && dim[0] == 2 && duel_ends_with(path, ".png"))
    return duel_scatter_write(path, items, n, NULL, 0, 512);
  if (!image) return duel_fail(DUEL_ERR_USAGE, "%s: items are no images; write them as .npy", path);
  if (folder) return write_folder(path, items, n, dim, names);
  if (duel_ends_with(path, ".png")) return duel_grid_write(path, items, n, columns_of(n), dim);
  if (duel_ends_with(path, ".idx")) return duel_idx_write(path, items, n, dim);
  return duel_fail(DUEL_ERR_USAGE, "%s: the ending says no format; use .png, .npy, .idx, or a folder ending in /",
                   path);
}

duel_status duel_write_grid(const char *path, const float *items, int64_t n, const int64_t *dim, int64_t columns) {
  if (n < 1 || columns < 1) return duel_fail(DUEL_ERR_USAGE, "there is nothing to write to %s", path);
  return duel_grid_write(path, items, n, columns, dim);
}

duel_status duel_check_memory(const char *what, double bytes, const char *cure) {
  return duel_host_room(what, bytes, cure);
}

duel_status duel_write_file(const char *path, const void *bytes, size_t n) {
  return duel_file_write(path, bytes, n);
}
