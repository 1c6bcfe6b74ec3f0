// What of a folder or zip file is the data set. Invariant: a file's first bytes decide what it is; its name decides
// only where several would do, and that a picture was meant.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/team.h"
#include "base/text.h"
#include "io/data/arrays.h"
#include "io/data/find.h"
#include "io/gzip.h"
#include "io/picture.h"

enum { HEAD = 4096, TOLD = 6 }; // bytes looked at; files named in a message

typedef enum kind { OTHER, PICTURE, IDX, CIFAR, NPY } kind;

typedef struct choice {
  duel_found *found;
  const duel_files *files;
  uint8_t *kind;    // [n]
  int64_t count[5]; // of each kind
  bool deep;        // folders in it count too: there is no picture
} choice;

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}
static size_t stem_length(const char *path) { // without .gz
  return strlen(path) - (duel_ends_with(path, ".gz") ? 3 : 0);
}

// ---- what each file is

static bool is_idx(const uint8_t *head, size_t n) { // of items, not of labels
  return n >= 4 && !head[0] && !head[1] && head[2] >= 8 && head[2] <= 14 && head[2] != 10 && head[3] >= 2 &&
         head[3] <= 4;
}

static bool is_cifar(const char *name) {
  return (!strncmp(name, "data_batch_", 11) && duel_ends_with(name, ".bin")) || !strcmp(name, "train.bin");
}

// Of many thousand names nearly all end in one of these.
static bool is_called_a_picture(const char *path) {
  return duel_ends_with(path, ".png") || duel_ends_with(path, ".jpg") || duel_picture_named(path);
}

static const duel_known unreadable = {"not to be read", "", DUEL_KNOWN_SIDE}, labels = {"labels", "", DUEL_KNOWN_SIDE},
                        records = {"records of images", "", DUEL_KNOWN_SIDE};

static duel_status look_at(void *ctx, int worker, int64_t i) {
  (void)worker;
  choice *c = ctx;
  const duel_named *file = &c->files->file[i];
  const duel_known **known = &c->found->known[i];
  uint8_t bytes[HEAD], inflated[HEAD], *head = bytes;
  size_t n;
  c->kind[i] = is_called_a_picture(file->path) ? PICTURE : OTHER; // a picture even if it is none: a bad one
  if (c->kind[i] == OTHER && duel_is_unfinished(file->path)) {
    *known = duel_known_file(file->path, NULL, 0);
    return DUEL_OK;
  }
  if (file->why || c->kind[i] == PICTURE) return DUEL_OK;
  const duel_status status = duel_files_head(c->files, i, bytes, sizeof bytes, &n);
  if (status != DUEL_OK) { // a file's own fault, and not the disk's
    char path[PATH_MAX];
    *known = &unreadable;
    if (status == DUEL_ERR_DATA) return DUEL_OK;
    const bool own = status == DUEL_ERR_IO && !c->files->zip && duel_files_path(c->files, i, path) == DUEL_OK &&
                     access(path, R_OK) != 0;
    return own ? DUEL_OK : status;
  }
  if (duel_is_gzip(bytes, n)) {
    DUEL_TRY(duel_inflate_head(bytes, n, inflated, sizeof inflated, &n));
    head = inflated;
  }
  if (head == bytes && duel_picture_of(head, n))
    c->kind[i] = PICTURE;
  else if (is_idx(head, n))
    c->kind[i] = IDX;
  else if (is_cifar(base_of(file->path)))
    c->kind[i] = CIFAR;
  else if (n >= 6 && !memcmp(head, "\x93NUMPY", 6))
    c->kind[i] = NPY;
  *known = c->kind[i] == IDX || c->kind[i] == CIFAR   ? &records
           : n >= 4 && !memcmp(head, "\0\0\x08\1", 4) ? &labels
                                                      : duel_known_file(file->path, head, n);
  return DUEL_OK;
}

static duel_status look_at_all(choice *c) {
  duel_found *f = c->found;
  const size_t n = (size_t)c->files->n;
  c->kind = duel_calloc(n + 1, 1);
  f->known = duel_calloc(n + 1, sizeof *f->known);
  if (!c->kind || !f->known) return duel_fail_memory(f->path, 9 * n);
  const duel_jobs jobs = {
      .n = c->files->n, .threads = duel_jobs_threads(0, c->files->n / 64), .work = look_at, .ctx = c};
  DUEL_TRY(duel_jobs_run(&jobs));
  for (size_t i = 0; i < n; i++) c->count[c->kind[i]]++;
  duel_clear_error();
  return DUEL_OK;
}

// ---- files of records

static bool is_candidate(const choice *c, int64_t i, kind k) {
  return c->kind[i] == k && (c->deep || !strchr(c->files->file[i].path, '/'));
}

duel_status duel_take_file(duel_found *f, duel_located *l, int64_t i) {
  char path[PATH_MAX];
  DUEL_TRY(duel_files_path(&f->files, i, path));
  l->path = duel_pool_text(&f->pool, path, strlen(path));
  l->at = f->files.zip ? i : -1;
  return l->path ? DUEL_OK : duel_fail_memory(path, strlen(path));
}

static int worth(const char *path) {
  const char *name = base_of(path);
  return 2 * (strstr(name, "images") != NULL) + (strstr(name, "train") != NULL);
}

static bool same_stem(const char *a, const char *b) {
  const size_t n = stem_length(a);
  return n == stem_length(b) && !strncmp(a, b, n);
}

static duel_status choose_idx(choice *c) {
  duel_found *f = c->found;
  int64_t best = -1, other = -1; // one that is as good
  for (int64_t i = 0; i < c->files->n; i++) {
    const char *path = c->files->file[i].path;
    if (!is_candidate(c, i, IDX) || (c->count[PICTURE] && !(worth(path) & 2))) continue;
    const int w = worth(path), most = best < 0 ? -1 : worth(c->files->file[best].path);
    if (w < most || (w == most && same_stem(path, c->files->file[best].path))) continue; // plain comes before .gz
    other = w == most ? i : -1;
    if (w > most) best = i;
  }
  if (best < 0) return DUEL_OK;
  if (other >= 0)
    return duel_fail(DUEL_ERR_DATA, "%s has several images files, %s and %s: name one of them", f->files.root,
                     c->files->file[best].path, c->files->file[other].path);
  DUEL_TRY(duel_take_file(f, &f->file[f->n_files++], best));
  if (c->count[PICTURE])
    f->told = duel_pool_format(&f->pool, "of %s the data are %s, not the pictures beside it (%lld)", f->files.root,
                               c->files->file[best].path, (long long)c->count[PICTURE]);
  return duel_find_labels(f, &f->file[0]);
}

static duel_status choose_cifar(choice *c) {
  duel_found *f = c->found;
  const char *folder = NULL;
  size_t length = 0;
  bool single = false; // train.bin, of CIFAR-100
  for (int64_t i = 0; i < c->files->n && f->n_files < DUEL_FIND_FILES; i++) {
    const char *path = c->files->file[i].path, *name = base_of(path);
    if (!is_candidate(c, i, CIFAR)) continue;
    const bool train = !strcmp(name, "train.bin");
    if (folder && (length != (size_t)(name - path) || memcmp(folder, path, length)))
      return duel_fail(DUEL_ERR_DATA, "%s has batches of CIFAR in several folders, %.*s and %.*s: name one of them",
                       f->files.root, (int)length, folder, (int)(name - path), path);
    if (folder && train && !single) continue; // beside batches
    folder = path;
    length = (size_t)(name - path);
    single = train;
    DUEL_TRY(duel_take_file(f, &f->file[f->n_files++], i));
  }
  return DUEL_OK;
}

// ---- pictures

static duel_status take_pictures(choice *c) {
  duel_found *f = c->found;
  const size_t bytes = (size_t)c->count[PICTURE] * sizeof *f->picture;
  f->pictures = true;
  f->picture = duel_malloc(bytes);
  if (!f->picture) return duel_fail_memory(f->path, bytes);
  for (int64_t i = 0; i < c->files->n; i++)
    if (c->kind[i] == PICTURE) f->picture[f->n++] = i;
  return DUEL_OK;
}

// ---- nothing of it

enum { PARTS = 64 };

// What most of the bytes are, of those files that might be meant: the first of its kind, and how many there are. −1:
// there are none.
static int64_t main_part(const duel_found *f, int64_t *like) {
  struct {
    const duel_known *known;
    int64_t first, n, bytes;
  } part[PARTS];
  int parts = 0, best = -1;
  for (int64_t i = 0; i < f->files.n; i++) {
    const duel_known *k = f->known[i];
    int at = 0;
    if (!k || k->role == DUEL_KNOWN_SIDE) continue;
    while (at < parts && part[at].known->what != k->what) at++;
    if (at == PARTS) continue;
    if (at == parts) {
      part[parts].known = k;
      part[parts].first = i;
      part[parts].n = part[parts].bytes = 0;
      parts++;
    }
    part[at].n++;
    part[at].bytes += f->files.file[i].size;
  }
  for (int at = 0; at < parts; at++)
    if (best < 0 || part[at].bytes > part[best].bytes) best = at;
  *like = best < 0 ? 0 : part[best].n;
  return best < 0 ? -1 : part[best].first;
}

static duel_status nothing(const duel_found *f) {
  static const char wanted[] = "a folder of pictures (PNG, JPEG, …), an IDX images file, CIFAR's .bin files";
  const char *what = f->files.zip ? "zip file" : "folder", *root = f->files.root;
  char path[PATH_MAX], cure[2 * PATH_MAX], list[1024];
  if (f->files.n == 0) return duel_fail(DUEL_ERR_DATA, "%s %s is empty; data are %s", what, root, wanted);
  int64_t like;
  const int64_t i = main_part(f, &like);
  if (i < 0) {
    duel_found_list(f, NULL, 0, list, sizeof list);
    return duel_fail(DUEL_ERR_DATA, "%s %s holds no data but %s; data are %s", what, root, list, wanted);
  }
  DUEL_TRY(duel_files_path(&f->files, i, path));
  if (f->files.zip && f->known[i]->role == DUEL_KNOWN_READ) // another zip file, say
    snprintf(cure, sizeof cure, ": unpack %s first", f->path);
  else
    duel_known_cure(f->known[i], path, cure, sizeof cure);
  if (like == 1)
    return duel_fail(DUEL_ERR_DATA, "%s %s holds no pictures: %s is %s%s", what, root, f->files.file[i].path,
                     f->known[i]->what, cure);
  return duel_fail(DUEL_ERR_DATA, "%s %s holds no pictures: %s is %s, one of %lld%s", what, root, f->files.file[i].path,
                   f->known[i]->what, (long long)like, cure);
}

int64_t duel_found_list(const duel_found *f, const int64_t *picture, int64_t n, char *dst, size_t room) {
  int64_t passed = 0, next = 0;
  size_t at = 0;
  *dst = 0;
  for (int64_t i = 0; i < f->files.n; i++) {
    if (next < n && picture[next] == i) {
      next++;
      continue;
    }
    if (i == f->used) continue;
    const duel_named *file = &f->files.file[i];
    const char *why = file->why ? file->why : f->known[i] ? f->known[i]->what : "unknown";
    if (passed++ < TOLD && at < room)
      at += (size_t)snprintf(dst + at, room - at, "%s%.100s (%s)", at ? ", " : "", file->path, why);
  }
  if (passed > TOLD && at < room) snprintf(dst + at, room - at, " and %lld more", (long long)(passed - TOLD));
  return passed;
}

duel_status duel_choose(duel_found *f) {
  choice c = {.found = f, .files = &f->files};
  duel_status status = look_at_all(&c);
  c.deep = c.count[PICTURE] == 0;
  if (status == DUEL_OK) status = choose_idx(&c);
  if (status == DUEL_OK && !f->n_files) status = choose_cifar(&c);
  if (status == DUEL_OK && !f->n_files && f->files.zip && c.deep && c.count[NPY]) status = duel_choose_arrays(f);
  if (status == DUEL_OK && !f->n_files && c.count[PICTURE]) status = take_pictures(&c);
  if (status == DUEL_OK && !f->n_files && !f->pictures) status = nothing(f);
  duel_free(c.kind);
  return status;
}

// ---- labels

bool duel_other_name(char dst[PATH_MAX], const char *path, const char *old, const char *word, bool deep) {
  const char *base = base_of(path), *last = NULL, *from = base;
  if (deep) { // the folder that it lies in, too
    if (base == path) return false;
    for (from = base - 1; from > path && from[-1] != '/';) from--;
  }
  size_t n = (size_t)(from - path);
  if (n >= PATH_MAX) return false;
  memcpy(dst, path, n);
  for (const char *part = from; part; part = part < base ? base : NULL) { // of each part the last occurrence
    const size_t length = part < base ? (size_t)(base - part) : strlen(part);
    last = NULL;
    for (const char *p = part; (p = strstr(p, old)) != NULL && p < part + length; p++) last = p;
    if (!last) return false;
    const char *rest = last + strlen(old);
    const int now = snprintf(dst + n, PATH_MAX - n, "%.*s%s%.*s", (int)(last - part), part, word,
                             (int)(part + length - rest), rest);
    if (now < 0 || n + (size_t)now >= PATH_MAX) return false;
    n += (size_t)now;
  }
  return true;
}

static int by_path(const void *a, const void *b) {
  return strcmp(((const duel_named *)a)->path, ((const duel_named *)b)->path);
}

bool duel_locate(duel_found *f, const char *path, duel_located *l) {
  struct stat st;
  *l = (duel_located){.at = -1};
  if (f->files.zip) {
    const size_t n = strlen(f->files.root);
    if (strncmp(path, f->files.root, n) || path[n] != '/') return false;
    const duel_named key = {.path = path + n + 1};
    const duel_named *found = bsearch(&key, f->files.file, (size_t)f->files.n, sizeof key, by_path);
    if (!found) return false;
    l->at = found - f->files.file;
  } else if (stat(path, &st) != 0 || S_ISDIR(st.st_mode)) {
    return false;
  }
  l->path = duel_pool_text(&f->pool, path, strlen(path));
  return l->path != NULL;
}

// Its name with "labels" for "images" and idx1 for idx3, plain or .gz.
duel_status duel_find_labels(duel_found *f, const duel_located *images) {
  char path[PATH_MAX], zipped[PATH_MAX];
  if (duel_ends_with(images->path, ".npy")) return images->at < 0 ? DUEL_OK : duel_find_array_labels(f, images);
  for (int deep = 0; deep < 2; deep++) {
    if (!duel_other_name(path, images->path, "images", "labels", deep)) continue;
    path[stem_length(path)] = 0;
    char *at = strrchr(path, '/');
    if (!at) at = path;
    if (deep)
      while (at > path && at[-1] != '/') at--;
    for (; (at = strstr(at, "idx")) != NULL; at += 3)
      if (at[3] == '3' || at[3] == '4') at[3] = '1';
    if (duel_locate(f, path, &f->labels)) return DUEL_OK;
    if (snprintf(zipped, sizeof zipped, "%s.gz", path) < PATH_MAX && duel_locate(f, zipped, &f->labels)) return DUEL_OK;
  }
  return DUEL_OK;
}
