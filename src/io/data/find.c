// Finding a set's files by name; what is in them is looked at only where names do not decide.
#include "io/data/find.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/picture.h"

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
  static const char *const endings[] = {"-idx3-ubyte", ".idx3-ubyte", "-idx4-ubyte", "-ubyte", ".idx", ".npy", ".bin"};
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

static bool ends_with(const char *s, const char *end) {
  const size_t n = strlen(s), m = strlen(end);
  return n >= m && !strcasecmp(s + n - m, end);
}

static duel_status keep(duel_found *f, const char **dst, const char *path) {
  *dst = duel_pool_text(&f->pool, path, strlen(path));
  return *dst ? DUEL_OK : duel_fail_memory(path, strlen(path));
}

// The labels beside an images file: its name with "labels" for "images" and idx1 for idx3, plain or .gz.
static duel_status find_labels(duel_found *f, const char *images) {
  char path[PATH_MAX], zipped[PATH_MAX];
  const char *base = strrchr(images, '/'), *word = NULL;
  for (const char *p = base ? base : images; (p = strstr(p, "images")) != NULL; p++) word = p;
  if (!word || ends_with(images, ".npy")) return DUEL_OK;
  snprintf(path, sizeof path, "%.*slabels%s", (int)(word - images), images, word + strlen("images"));
  path[stem_length(path)] = 0;
  char *idx = strstr(path + (word - images), "idx");
  if (idx && (idx[3] == '3' || idx[3] == '4')) idx[3] = '1';
  if (exists(path)) return keep(f, &f->labels, path);
  if (snprintf(zipped, sizeof zipped, "%s.gz", path) < PATH_MAX && exists(zipped)) return keep(f, &f->labels, zipped);
  return DUEL_OK;
}

// A picture among the files with "images" in their names is a picture.
static bool is_picture(const char *path) {
  uint8_t head[8];
  int fd;
  int64_t size;
  if (ends_with(path, ".png") || ends_with(path, ".jpg") || ends_with(path, ".jpeg")) return true;
  if (duel_file_open(path, &fd, &size) != DUEL_OK) return false;
  const bool is = size >= 8 && duel_file_read_at(fd, path, head, 8, 0) == DUEL_OK && duel_is_picture(head, 8);
  duel_file_close(fd);
  return is;
}

// What a folder holds besides pictures.
typedef struct contents {
  char images[NAME_MAX + 1], other[NAME_MAX + 1]; // IDX: the best, and one that is as good
  char batch[DUEL_FIND_FILES][NAME_MAX + 1];      // CIFAR-10
  int batches;
  bool train_bin;
} contents;

// Of files whose name holds "images" one with "train" is best, plain before .gz.
static void weigh_images(contents *c, const char *name) {
  const bool train = strstr(name, "train") != NULL, best_train = strstr(c->images, "train") != NULL;
  if (c->images[0] && train < best_train) return;
  const size_t stem = stem_length(name);
  const bool same = c->images[0] && stem == stem_length(c->images) && !strncmp(name, c->images, stem);
  const bool replaces = !c->images[0] || train > best_train || strcmp(name, c->images) < 0;
  if (train > best_train)
    c->other[0] = 0;
  else if (c->images[0] && !same)
    strcpy(c->other, replaces ? c->images : name);
  if (replaces) strcpy(c->images, name);
}

static int by_name(const void *a, const void *b) {
  return strcmp(a, b);
}

static duel_status look_into(contents *c, const char *folder) {
  char path[PATH_MAX];
  DIR *dir = opendir(folder);
  if (!dir) return duel_fail(DUEL_ERR_IO, "cannot read folder %s: %s", folder, strerror(errno));
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    const char *name = e->d_name;
    if (name[0] == '.' || !join(path, folder, name)) continue;
    if (!strncmp(name, "data_batch_", 11) && ends_with(name, ".bin") && c->batches < DUEL_FIND_FILES &&
        !is_folder(path))
      strcpy(c->batch[c->batches++], name);
    c->train_bin |= !strcmp(name, "train.bin") && !is_folder(path);
    if (strstr(name, "images") && !is_folder(path) && !is_picture(path)) weigh_images(c, name);
  }
  closedir(dir);
  qsort(c->batch, (size_t)c->batches, sizeof *c->batch, by_name);
  return DUEL_OK;
}

static duel_status add_file(duel_found *f, const char *folder, const char *name) {
  char path[PATH_MAX];
  if (!join(path, folder, name)) return duel_fail(DUEL_ERR_DATA, "the path %s is too long", folder);
  return keep(f, &f->file[f->files++], path);
}

static duel_status find_in_folder(duel_found *f, const char *folder) {
  contents c = {.batches = 0};
  DUEL_TRY(look_into(&c, folder));
  if (c.other[0])
    return duel_fail(DUEL_ERR_DATA, "folder %s has several images files, %s and %s: name one of them", folder, c.images,
                     c.other);
  if (c.images[0]) {
    DUEL_TRY(add_file(f, folder, c.images));
    return find_labels(f, f->file[0]);
  }
  for (int i = 0; i < c.batches; i++) DUEL_TRY(add_file(f, folder, c.batch[i]));
  if (c.batches > 0) return DUEL_OK;
  if (c.train_bin) return add_file(f, folder, "train.bin");
  f->pictures = true;
  return keep(f, &f->root, folder);
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

duel_status duel_find(duel_found *f, const char *spec) {
  char path[PATH_MAX];
  *f = (duel_found){.files = 0};
  DUEL_TRY(find_path(path, spec));
  name_from(f->name, spec);
  if (is_folder(path)) return find_in_folder(f, path);
  f->files = 1;
  DUEL_TRY(keep(f, &f->file[0], path));
  return find_labels(f, path);
}

// ---- the test set beside a set

// Beside the file: the same name with another word for its last "train", plain or .gz.
static bool find_test_file(char path[PATH_MAX], const char *file) {
  static const char *const words[] = {"t10k", "test"};
  const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file, *train = NULL;
  const int folder = (int)(base - file);
  if (!strncmp(base, "data_batch_", 11))
    return snprintf(path, PATH_MAX, "%.*stest_batch.bin", folder, file) < PATH_MAX && exists(path);
  for (const char *p = base; (p = strstr(p, "train")) != NULL; p++) train = p;
  for (int i = 0; train && i < 4; i++) {
    const char *end = train + strlen("train");
    const int n = snprintf(path, PATH_MAX, "%.*s%s%.*s%s", (int)(train - file), file, words[i / 2],
                           (int)stem_length(end), end, i % 2 ? ".gz" : "");
    if (n < PATH_MAX && exists(path)) return true;
  }
  return false;
}

// Beside the folder, if it is called train.
static bool find_test_folder(char path[PATH_MAX], const char *folder) {
  static const char *const names[] = {"test", "val", "valid"};
  char whole[PATH_MAX];
  if (!realpath(folder, whole)) return false;
  char *base = strrchr(whole, '/');
  if (strcmp(base, "/train")) return false;
  *base = 0;
  for (int i = 0; i < 3; i++)
    if (join(path, whole, names[i]) && is_folder(path)) return true;
  return false;
}

duel_status duel_find_test(char path[PATH_MAX], const char *spec) {
  duel_found f;
  duel_status status = duel_find(&f, spec);
  if (status == DUEL_OK && !(f.pictures ? find_test_folder(path, f.root) : find_test_file(path, f.file[0])))
    path[0] = 0;
  duel_found_close(&f);
  return status;
}

void duel_found_close(duel_found *f) {
  duel_pool_close(&f->pool);
  *f = (duel_found){.files = 0};
}
