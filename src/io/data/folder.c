// Listing a folder. Invariant: the list depends on names alone, not on the order in which a file system yields them.
#include "io/data/folder.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { MOST_DEPTH = 32 };

static duel_status add(duel_folder *f, int64_t *room, const char *path, const struct stat *st) {
  if (f->n == *room) {
    const int64_t more = *room ? 2 * *room : 1024;
    duel_folder_file *grown = duel_realloc(f->file, (size_t)more * sizeof *grown);
    if (!grown) return duel_fail_memory(f->root, (size_t)more * sizeof *grown);
    f->file = grown;
    *room = more;
  }
  char *copy = duel_pool_text(&f->pool, path, strlen(path));
  if (!copy) return duel_fail_memory(f->root, strlen(path));
  f->file[f->n++] = (duel_folder_file){copy, st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec};
  return DUEL_OK;
}

// path holds the folder, with a slash behind it; from `below` on it is relative to root.
static duel_status walk(duel_folder *f, int64_t *room, char path[PATH_MAX], size_t below, int depth) {
  const size_t length = strlen(path);
  if (depth > MOST_DEPTH)
    return duel_fail(DUEL_ERR_DATA, "%s: folders lie more than %d deep in each other (a link to a folder above?)", path,
                     MOST_DEPTH);
  DIR *dir = opendir(path);
  if (!dir) return duel_fail(DUEL_ERR_IO, "cannot read folder %s: %s", path, strerror(errno));
  duel_status status = DUEL_OK;
  for (struct dirent *e; status == DUEL_OK && (e = readdir(dir)) != NULL;) {
    struct stat st;
    const size_t n = strlen(e->d_name);
    if (e->d_name[0] == '.') continue;
    path[length] = 0;
    if (length + n + 2 > PATH_MAX) {
      status = duel_fail(DUEL_ERR_DATA, "%s%.100s: the path is too long", path, e->d_name);
      break;
    }
    memcpy(path + length, e->d_name, n + 1);
    if (stat(path, &st) != 0) {
      status = duel_fail(DUEL_ERR_DATA, "cannot read %s: %s", path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
      memcpy(path + length + n, "/", 2);
      status = walk(f, room, path, below, depth + 1);
    } else {
      status = add(f, room, path + below, &st);
    }
  }
  path[length] = 0;
  closedir(dir);
  return status;
}

static int by_path(const void *a, const void *b) {
  return strcmp(((const duel_folder_file *)a)->path, ((const duel_folder_file *)b)->path);
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The files are sorted, so those of one class folder are neighbors; but "a b/" comes before "a/", so the names are
// sorted once more. NULL where there are no classes.
static duel_status find_classes(duel_folder *f) {
  const char *name[DUEL_FOLDER_CLASSES + 1], *begin = NULL;
  size_t length = 0;
  int classes = 0;
  for (int64_t i = 0; i < f->n; i++) {
    const char *path = f->file[i].path, *slash = strchr(path, '/');
    if (!slash) return DUEL_OK;
    if (begin && length == (size_t)(slash - path) && !memcmp(begin, path, length)) continue;
    begin = path;
    length = (size_t)(slash - path);
    if (classes == DUEL_FOLDER_CLASSES) return DUEL_OK;
    name[classes] = duel_pool_text(&f->pool, path, length);
    if (!name[classes++]) return duel_fail_memory(f->root, length);
  }
  qsort(name, (size_t)classes, sizeof *name, by_name);
  f->class_name = duel_pool_alloc(&f->pool, (size_t)classes * sizeof *name);
  f->label = duel_malloc((size_t)f->n);
  if (!f->class_name || !f->label) return duel_fail_memory(f->root, (size_t)f->n);
  memcpy(f->class_name, name, (size_t)classes * sizeof *name);
  for (int64_t i = 0; i < f->n; i++) {
    char own[NAME_MAX + 1];
    snprintf(own, sizeof own, "%.*s", (int)(strchr(f->file[i].path, '/') - f->file[i].path), f->file[i].path);
    const char *key = own, **found = bsearch(&key, name, (size_t)classes, sizeof *name, by_name);
    f->label[i] = (uint8_t)(found - name);
  }
  f->classes = classes;
  return DUEL_OK;
}

duel_status duel_folder_list(duel_folder *f, const char *root) {
  char path[PATH_MAX];
  int64_t room = 0;
  *f = (duel_folder){.root = duel_strdup(root)};
  if (!f->root) return duel_fail_memory(root, strlen(root) + 1);
  const size_t n = strlen(root);
  if ((size_t)snprintf(path, sizeof path, "%s%s", root, n && root[n - 1] == '/' ? "" : "/") >= sizeof path)
    return duel_fail(DUEL_ERR_DATA, "%.100s: the path is too long", root);
  DUEL_TRY(walk(f, &room, path, strlen(path), 0));
  if (f->n > 0) qsort(f->file, (size_t)f->n, sizeof *f->file, by_path);
  return f->n > 0 ? find_classes(f) : DUEL_OK;
}

void duel_folder_cut(duel_folder *f, int64_t n) {
  if (n > 0 && n < f->n) f->n = n;
}

void duel_folder_close(duel_folder *f) {
  duel_pool_close(&f->pool);
  duel_free(f->root);
  duel_free(f->file);
  duel_free(f->label);
  *f = (duel_folder){0};
}
