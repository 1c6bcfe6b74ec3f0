// Named files: what folders and zip files have in common. Invariant: the list depends on names alone, not on the order
// in which a file system or a zip file yields them.
#include "io/files/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/text.h"
#include "io/file.h"

duel_status duel_files_add(duel_files *f, const char *path, duel_named file) {
  if (f->n == f->room) {
    const int64_t more = f->room ? 2 * f->room : 1024;
    duel_named *grown = duel_realloc(f->file, (size_t)more * sizeof *grown);
    if (!grown) return duel_fail_memory(f->root, (size_t)more * sizeof *grown);
    f->file = grown;
    f->room = more;
  }
  file.path = duel_pool_text(&f->pool, path, strlen(path));
  if (!file.path) return duel_fail_memory(f->root, strlen(path));
  f->file[f->n++] = file;
  return DUEL_OK;
}

static int by_path(const void *a, const void *b) {
  const duel_named *x = a, *y = b;
  const int order = strcmp(x->path, y->path);
  return order ? order : (x->at > y->at) - (x->at < y->at); // a zip file may have a name twice
}

static duel_status open_files(duel_files *f, const char *path, const char *below) {
  char root[PATH_MAX];
  struct stat st;
  const int n = snprintf(root, sizeof root, "%s%s%s", path, *below ? "/" : "", below);
  if (n >= (int)sizeof root) return duel_fail(DUEL_ERR_DATA, "%.100s…: the path is too long", path);
  f->root = duel_pool_text(&f->pool, root, (size_t)n);
  if (!f->root) return duel_fail_memory(path, (size_t)n);
  if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return duel_folder_list(f);
  return duel_zip_open(f, path, below);
}

duel_status duel_files_open(duel_files *f, const char *path, const char *below) {
  *f = (duel_files){.n = 0};
  DUEL_TRY(open_files(f, path, below));
  if (f->n > 0) qsort(f->file, (size_t)f->n, sizeof *f->file, by_path);
  return DUEL_OK;
}

void duel_files_close(duel_files *f) {
  duel_zip_close(f->zip);
  duel_free(f->file);
  duel_pool_close(&f->pool);
  *f = (duel_files){.n = 0};
}

duel_status duel_files_path(const duel_files *f, int64_t i, char path[PATH_MAX]) {
  return duel_join(path, PATH_MAX, f->root, f->file[i].path)
             ? DUEL_OK
             : duel_fail(DUEL_ERR_DATA, "%.100s…: the path is too long", path);
}

duel_status duel_files_head(const duel_files *f, int64_t i, uint8_t *dst, size_t room, size_t *n) {
  char path[PATH_MAX];
  const int64_t size = f->file[i].size;
  if (f->zip) return duel_zip_read(f, i, dst, *n = size < (int64_t)room ? (size_t)size : room);
  DUEL_TRY(duel_files_path(f, i, path));
  return duel_file_head(path, dst, room, n);
}

duel_status duel_files_read(const duel_files *f, int64_t i, size_t most, uint8_t **bytes, size_t *n) {
  char path[PATH_MAX];
  DUEL_TRY(duel_files_path(f, i, path));
  return f->zip ? duel_zip_load(f, i, path, most, bytes, n) : duel_file_read(path, most, bytes, n);
}
