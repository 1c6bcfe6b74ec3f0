// Data sets: from a spec to values in memory. An IDX set is not copied: its values stay inside the inflated file.
#include "io/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "io/crc32c.h"
#include "io/file.h"
#include "io/gzip.h"
#include "io/idx.h"
#include "io/synthetic.h"

static const size_t most_bytes = (size_t)1 << 36; // of one file, inflated: 64 GiB

typedef struct opened { // what duel_dataset_close frees
  duel_dataset set;
  void *value_block, *label_block; // the allocations that values and labels lie in
} opened;

typedef struct source {
  char images[PATH_MAX], labels[PATH_MAX]; // labels "": there are none
  char name[64];
} source;

// ---- finding the files

static int exists(const char *path) {
  struct stat st;
  return stat(path, &st) == 0;
}

static int is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int join(char dst[PATH_MAX], const char *folder, const char *name) {
  return snprintf(dst, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

static size_t stem_length(const char *name) { // without .gz
  size_t n = strlen(name);
  return n > 3 && !strcmp(name + n - 3, ".gz") ? n - 3 : n;
}

// The set's name from its path: the file's, without .gz and the format's habitual endings, or the folder's. Only
// characters that suit a directory's name.
static void name_from(char name[64], const char *path) {
  static const char *const endings[] = {"-idx3-ubyte", ".idx3-ubyte", "-idx4-ubyte", "-ubyte", ".idx"};
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  size_t start = n;
  while (start > 0 && path[start - 1] != '/') start--;
  char base[64];
  snprintf(base, sizeof base, "%.*s", (int)(n - start), path + start);
  base[stem_length(base)] = 0;
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    size_t length = strlen(base), cut = strlen(endings[i]);
    if (length > cut && !strcmp(base + length - cut, endings[i])) base[length - cut] = 0;
  }
  for (char *c = base; *c; c++)
    if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c)) *c = '-';
  snprintf(name, 64, "%s", base[0] && strcmp(base, ".") && strcmp(base, "..") ? base : "data");
}

// The labels beside an images file: its name with "labels" for "images" and idx1 for idx3, plain or .gz.
static void find_labels(source *s) {
  char path[PATH_MAX];
  const char *base = strrchr(s->images, '/'), *word = NULL;
  for (const char *p = base ? base : s->images; (p = strstr(p, "images")) != NULL; p++) word = p;
  s->labels[0] = 0;
  if (!word) return;
  snprintf(path, sizeof path, "%.*slabels%s", (int)(word - s->images), s->images, word + strlen("images"));
  path[stem_length(path)] = 0;
  char *idx = strstr(path + (word - s->images), "idx");
  if (idx && (idx[3] == '3' || idx[3] == '4')) idx[3] = '1';
  if (exists(path))
    strcpy(s->labels, path);
  else if (snprintf(s->labels, sizeof s->labels, "%s.gz", path) >= PATH_MAX || !exists(s->labels))
    s->labels[0] = 0;
}

// The folder's images file: of those whose name holds "images" one with "train", plain before .gz.
static duel_status find_images(source *s, const char *folder) {
  char best[NAME_MAX + 1] = "", other[NAME_MAX + 1] = "", path[PATH_MAX];
  DIR *dir = opendir(folder);
  if (!dir) return duel_fail(DUEL_ERR_IO, "cannot read folder %s: %s", folder, strerror(errno));
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    const char *name = e->d_name;
    if (name[0] == '.' || !strstr(name, "images") || !join(path, folder, name) || is_folder(path)) continue;
    int train = strstr(name, "train") != NULL, best_train = strstr(best, "train") != NULL;
    if (best[0] && train < best_train) continue;
    size_t stem = stem_length(name);
    int same = best[0] && stem == stem_length(best) && !strncmp(name, best, stem);
    int replaces = !best[0] || train > best_train || strcmp(name, best) < 0;
    if (train > best_train)
      other[0] = 0;
    else if (best[0] && !same)
      strcpy(other, replaces ? best : name);
    if (replaces) strcpy(best, name);
  }
  closedir(dir);
  if (!best[0])
    return duel_fail(DUEL_ERR_DATA, "folder %s has no IDX images file (a name with \"images\" in it)", folder);
  if (other[0])
    return duel_fail(DUEL_ERR_DATA, "folder %s has several images files, %s and %s: name one of them", folder, best,
                     other);
  return join(s->images, folder, best) ? DUEL_OK : duel_fail(DUEL_ERR_DATA, "the path %s is too long", folder);
}

static int holds_mnist_files(const char *folder) {
  char path[PATH_MAX];
  return (join(path, folder, "train-images-idx3-ubyte") && exists(path)) ||
         (join(path, folder, "train-images-idx3-ubyte.gz") && exists(path));
}

// Where a spec is: a path as it stands; a bare name in $DUEL_DATA, here, then where packages put data sets.
static duel_status find_path(char path[PATH_MAX], const char *spec) {
  const char *data = getenv("DUEL_DATA");
  if (!strchr(spec, '/')) {
    if (data && data[0]) {
      if (join(path, data, spec) && exists(path)) return DUEL_OK;
      if (!strcmp(spec, "fashion-mnist") && holds_mnist_files(data))
        return snprintf(path, PATH_MAX, "%s", data) < PATH_MAX ? DUEL_OK
                                                               : duel_fail(DUEL_ERR_DATA, "$DUEL_DATA is too long");
    }
    if (join(path, ".", spec) && exists(path)) return DUEL_OK;
    if (join(path, "/usr/share/datasets", spec) && exists(path)) return DUEL_OK;
    if (join(path, "/usr/local/share/datasets", spec) && exists(path)) return DUEL_OK;
  } else if (snprintf(path, PATH_MAX, "%s", spec) < PATH_MAX && exists(path)) {
    return DUEL_OK;
  }
  if (!strcmp(spec, "fashion-mnist"))
    return duel_fail(DUEL_ERR_DATA,
                     "fashion-mnist is neither in $DUEL_DATA (%s) nor in /usr/share/datasets: apt install "
                     "dataset-fashion-mnist, or set DUEL_DATA to the folder that holds it",
                     data && data[0] ? data : "not set");
  return duel_fail(DUEL_ERR_DATA,
                   "data set %.200s: no such file or folder; fashion-mnist, synthetic:ring and synthetic:shapes are "
                   "known by name",
                   spec);
}

static duel_status find(source *s, const char *spec) {
  char path[PATH_MAX];
  DUEL_TRY(find_path(path, spec));
  name_from(s->name, spec);
  if (is_folder(path))
    DUEL_TRY(find_images(s, path));
  else
    strcpy(s->images, path);
  find_labels(s);
  return DUEL_OK;
}

// ---- reading

// Reads an IDX file, inflated if need be, into *block.
static duel_status read_idx(duel_idx *idx, const char *path, void **block) {
  uint8_t *bytes;
  size_t n;
  DUEL_TRY(duel_file_read(path, most_bytes, &bytes, &n));
  if (duel_is_gzip(bytes, n)) {
    uint8_t *gz = bytes;
    duel_status s = duel_gunzip(path, gz, n, most_bytes, &bytes, &n);
    duel_free(gz);
    if (s != DUEL_OK) return s;
  }
  *block = bytes;
  return duel_idx_parse(idx, path, bytes, n);
}

static duel_status read_values(opened *o, const char *path, int64_t limit) {
  duel_idx idx;
  DUEL_TRY(read_idx(&idx, path, &o->value_block));
  duel_dataset *d = &o->set;
  d->is_float = idx.dtype == DUEL_F32;
  duel_shape shape = duel_shape_of(idx.rank, idx.dim);
  if (idx.rank == 1)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld single values%s, not images", path, (long long)idx.dim[0],
                     d->is_float ? "" : ", perhaps labels");
  if (idx.rank == 2 && !d->is_float)
    return duel_fail(DUEL_ERR_DATA, "%s holds %s bytes; images are N×H×W or N×C×H×W", path, duel_shape_text(shape));
  d->rank = idx.rank == 2 ? 1 : 3;
  for (int i = 0; i < d->rank; i++) {
    int from = idx.rank - d->rank + i;
    d->dim[i] = from == 0 ? 1 : idx.dim[from]; // N×H×W has one channel
  }
  d->items = idx.dim[0];
  d->item_count = idx.count / d->items;
  d->values = idx.values;
  if (d->items > INT32_MAX || d->item_count > INT32_MAX)
    return duel_fail(DUEL_ERR_DATA, "%s holds %s values: items and their size must stay under 2^31", path,
                     duel_shape_text(shape));
  if (limit > 0 && limit < d->items) { // give back what is not used; the address may change
    size_t before = (size_t)((char *)idx.values - (char *)o->value_block);
    size_t used = (size_t)(limit * d->item_count) * duel_dtype_size(idx.dtype);
    void *smaller = duel_realloc(o->value_block, before + used);
    if (!smaller) return duel_fail_memory(path, before + used);
    o->value_block = smaller;
    d->values = (char *)smaller + before;
  }
  return DUEL_OK;
}

static duel_status read_labels(opened *o, const char *path, const char *images) {
  duel_idx idx;
  DUEL_TRY(read_idx(&idx, path, &o->label_block));
  duel_dataset *d = &o->set;
  if (idx.dtype != DUEL_U8 || idx.rank != 1)
    return duel_fail(DUEL_ERR_DATA, "%s holds no labels: it is %s %s, labels are bytes in one dimension", path,
                     duel_shape_text(duel_shape_of(idx.rank, idx.dim)), duel_dtype_name(idx.dtype));
  if (idx.dim[0] != d->items)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld labels, %s %lld items", path, (long long)idx.dim[0], images,
                     (long long)d->items);
  d->labels = idx.values;
  for (int64_t i = 0; i < d->items; i++)
    if (d->labels[i] >= d->classes) d->classes = d->labels[i] + 1;
  return DUEL_OK;
}

// Over seven numbers as little-endian words of 8 bytes, the values, the labels.
static uint32_t fingerprint(const duel_dataset *d) {
  int64_t number[7] = {d->items, d->rank, d->dim[0], d->dim[1], d->dim[2], d->is_float, d->labels != NULL};
  uint8_t head[sizeof number];
  for (int i = 0; i < 7; i++)
    for (int k = 0; k < 8; k++) head[8 * i + k] = (uint8_t)(number[i] >> (8 * k));
  uint32_t crc = duel_crc32c(0, head, sizeof head);
  crc = duel_crc32c(crc, d->values, (size_t)(d->items * d->item_count) * (d->is_float ? sizeof(float) : 1));
  return d->labels ? duel_crc32c(crc, d->labels, (size_t)d->items) : crc;
}

static duel_status fill(opened *o, const char *spec, int64_t limit) {
  static const char synthetic[] = "synthetic:";
  duel_dataset *d = &o->set;
  if (!strncmp(spec, synthetic, sizeof synthetic - 1)) {
    duel_status status = duel_synthetic_fill(d, spec + sizeof synthetic - 1, limit);
    o->value_block = d->values;
    o->label_block = d->labels;
    return status;
  }
  source s;
  DUEL_TRY(find(&s, spec));
  DUEL_TRY(read_values(o, s.images, limit));
  if (s.labels[0]) DUEL_TRY(read_labels(o, s.labels, s.images));
  if (limit > 0 && limit < d->items) d->items = limit;
  d->name = duel_strdup(s.name);
  return d->name ? DUEL_OK : duel_fail_memory(s.name, sizeof s.name);
}

duel_status duel_dataset_open(duel_dataset **d, const char *spec, int64_t limit) {
  *d = NULL;
  if (!spec || !spec[0]) return duel_fail(DUEL_ERR_USAGE, "no data set is named");
  if (limit < 0) return duel_fail(DUEL_ERR_USAGE, "a limit of %lld items makes no sense", (long long)limit);
  opened *o = duel_calloc(1, sizeof *o);
  if (!o) return duel_fail_memory(spec, sizeof *o);
  duel_status s = fill(o, spec, limit);
  if (s != DUEL_OK) {
    duel_dataset_close(&o->set);
    return s;
  }
  o->set.fingerprint = fingerprint(&o->set);
  *d = &o->set;
  return DUEL_OK;
}

void duel_dataset_close(duel_dataset *d) {
  if (!d) return;
  opened *o = (opened *)d; // its first member
  duel_free(o->value_block);
  duel_free(o->label_block);
  duel_free(d->name);
  duel_free(o);
}
