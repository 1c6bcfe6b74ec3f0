// Choosing arrays by their names. Invariant: what is chosen has a header that makes sense.
#include "io/data/arrays.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "io/records/npy.h"
#include "io/records/records.h"

enum { TOLD = 8 };

static bool is_array(const char *path) {
  return strlen(path) > 4 && duel_ends_with(path, ".npy");
}

// The file called `name`, whatever the case of its letters; −1: there is none.
static int64_t find_array(const duel_found *f, const char *name) {
  char file[300];
  snprintf(file, sizeof file, "%s.npy", name);
  for (int64_t i = 0; i < f->files.n; i++)
    if (!strcasecmp(f->files.file[i].path, file)) return i;
  return -1;
}

static duel_status read_head(const duel_found *f, int64_t i, uint8_t *head, size_t *n, char path[PATH_MAX]) {
  DUEL_TRY(duel_files_path(&f->files, i, path));
  return duel_files_head(&f->files, i, head, DUEL_HEAD_BYTES, n);
}

// Whether array i holds items: no error is left behind.
static bool holds_items(const duel_found *f, int64_t i, uint8_t *head, duel_records *r) {
  char path[PATH_MAX];
  size_t n;
  const bool fits = is_array(f->files.file[i].path) && read_head(f, i, head, &n, path) == DUEL_OK &&
                    duel_npy_records(r, path, head, n, f->files.file[i].size) == DUEL_OK;
  duel_clear_error();
  return fits;
}

static void list_arrays(const duel_found *f, char *dst, size_t room) {
  size_t at = 0;
  int told = 0;
  *dst = 0;
  for (int64_t i = 0; i < f->files.n && told < TOLD && at < room; i++)
    if (is_array(f->files.file[i].path))
      at += (size_t)snprintf(dst + at, room - at, "%s%.*s", told++ ? ", " : "", (int)strlen(f->files.file[i].path) - 4,
                             f->files.file[i].path);
}

static duel_status choose(duel_found *f, uint8_t *head) {
  static const char *const names[] = {"x_train", "train_images", "train_x", "images", "image", "imgs",
                                      "x",       "data",         "samples", "arr_0"};
  duel_records r;
  int64_t best = -1, first = -1;
  int items = 0;
  char list[1024];
  for (int64_t i = 0; i < f->files.n; i++)
    if (holds_items(f, i, head, &r) && items++ == 0) first = i;
  if (items == 1) best = first;
  for (size_t k = 0; best < 0 && k < sizeof names / sizeof *names; k++) {
    const int64_t i = find_array(f, names[k]);
    if (i >= 0 && holds_items(f, i, head, &r)) best = i;
  }
  list_arrays(f, list, sizeof list);
  if (best < 0 && items > 1)
    return duel_fail(DUEL_ERR_DATA, "%s holds several arrays, %s: name one of them, as in %s/%.*s", f->files.root, list,
                     f->files.root, (int)strlen(f->files.file[first].path) - 4, f->files.file[first].path);
  if (best < 0) { // the message of the first says what is wrong with it
    char path[PATH_MAX];
    size_t n;
    int64_t i = 0;
    while (i < f->files.n && !is_array(f->files.file[i].path)) i++;
    if (i == f->files.n)
      return duel_fail(DUEL_ERR_DATA, "%s holds arrays, but their names do not end in .npy", f->files.root);
    DUEL_TRY(read_head(f, i, head, &n, path));
    return duel_npy_records(&r, path, head, n, f->files.file[i].size);
  }
  DUEL_TRY(duel_take_file(f, &f->file[f->n_files++], best));
  DUEL_TRY(duel_find_array_labels(f, &f->file[0]));
  if (items > 1) {
    const char *labels = f->labels.path ? f->files.file[f->labels.at].path : "";
    f->told = duel_pool_format(&f->pool, "of %s (%s) the data are %s%s%s", f->files.root, list,
                               f->files.file[best].path, *labels ? ", their labels " : "", labels);
  }
  return DUEL_OK;
}

duel_status duel_choose_arrays(duel_found *f) {
  uint8_t *head = duel_malloc(DUEL_HEAD_BYTES);
  if (!head) return duel_fail_memory(f->path, DUEL_HEAD_BYTES);
  duel_status status = choose(f, head);
  duel_free(head);
  return status;
}

// ---- labels

static bool holds_labels(const duel_found *f, int64_t i, uint8_t *head, int64_t items) {
  char path[PATH_MAX];
  size_t n;
  duel_npy_numbers numbers;
  const bool fits = read_head(f, i, head, &n, path) == DUEL_OK &&
                    duel_npy_labels(&numbers, path, head, n, f->files.file[i].size) == DUEL_OK &&
                    numbers.items == items;
  duel_clear_error();
  return fits;
}

duel_status duel_find_array_labels(duel_found *f, const duel_located *items) {
  static const struct {
    const char *items, *labels; // a part of its name, and what stands there in that of the labels
  } pairs[] = {{"x_", "y_"},    {"_x", "_y"},       {"images", "labels"},  {"image", "label"},
               {"images", "y"}, {"data", "labels"}, {"data", "target"},    {"data", "targets"},
               {"x", "y"},      {"arr_0", "arr_1"}, {"images", "classes"}, {"samples", "labels"},
               {"x", "labels"}, {"imgs", "labels"}};
  duel_records r;
  uint8_t *head = duel_malloc(DUEL_HEAD_BYTES);
  if (!head) return duel_fail_memory(f->path, DUEL_HEAD_BYTES);
  const char *name = f->files.file[items->at].path;
  const int n = is_array(name) ? (int)strlen(name) - 4 : 0;
  duel_status status = DUEL_OK;
  const bool known = n > 0 && holds_items(f, items->at, head, &r);
  for (size_t k = 0; known && k < sizeof pairs / sizeof *pairs && !f->labels.path && status == DUEL_OK; k++) {
    char other[256], low[256];
    snprintf(low, sizeof low, "%.*s", n, name);
    for (char *c = low; *c; c++)
      if (*c >= 'A' && *c <= 'Z') *c = (char)(*c | 32);
    const char *at = strstr(low, pairs[k].items);
    if (!at) continue;
    snprintf(other, sizeof other, "%.*s%s%s", (int)(at - low), low, pairs[k].labels, at + strlen(pairs[k].items));
    const int64_t i = find_array(f, other);
    if (i >= 0 && holds_labels(f, i, head, r.items)) status = duel_take_file(f, &f->labels, i);
  }
  duel_free(head);
  return status;
}
