// Sources. Invariant: before the first fetch every size is known and was checked against the files'; a picture that
// turns out otherwise is an error.
#include "io/data/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/mem.h"
#include "io/data/idx.h"
#include "io/file.h"
#include "io/gzip.h"

enum { HEAD_OF_PICTURE = 1 << 16, MOST_LABELS = 1 << 30 };
static const size_t most_of_picture = (size_t)1 << 30;

struct duel_source_worker {
  duel_unpacker unpacker;
  uint8_t head[HEAD_OF_PICTURE];
};

static int64_t item_bytes(const duel_source *s) {
  return s->count * (s->is_float ? 4 : 1);
}

// ---- the key

static void hash_file(uint64_t *key, const char *name, int64_t size, int64_t seconds, int64_t nanoseconds) {
  const int64_t number[3] = {size, seconds, nanoseconds};
  *key = duel_hash(*key, name, strlen(name) + 1);
  *key = duel_hash(*key, number, sizeof number);
}

static void hash_path(uint64_t *key, const char *path) {
  struct stat st = {0};
  if (stat(path, &st) != 0) return;       // an error as soon as it is read
  const char *slash = strrchr(path, '/'); // the folder may be called differently each time
  hash_file(key, slash ? slash + 1 : path, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

duel_status duel_source_open(duel_source *s, const char *spec, const duel_dataset_options *options) {
  *s = (duel_source){.options = options, .key = DUEL_HASH_START};
  const int64_t asked[5] = {options->limit, options->height, options->width, options->stretch, options->channels};
  for (int i = 0; i < DUEL_FIND_FILES; i++) s->store[i].fd = -1;
  s->key = duel_hash(s->key, asked, sizeof asked);
  DUEL_TRY(duel_find(&s->found, spec));
  if (!s->found.pictures) {
    for (int i = 0; i < s->found.files; i++) hash_path(&s->key, s->found.file[i]);
    if (s->found.labels) hash_path(&s->key, s->found.labels);
    return DUEL_OK;
  }
  DUEL_TRY(duel_folder_list(&s->folder, s->found.root));
  if (s->folder.n == 0)
    return duel_fail(DUEL_ERR_DATA,
                     "folder %s holds no data: no PNG or JPEG pictures, no IDX images file (a name with \"images\" in "
                     "it), no data_batch_*.bin or train.bin of CIFAR",
                     s->found.root);
  if (s->folder.n > INT32_MAX) return duel_fail(DUEL_ERR_DATA, "folder %s holds 2^31 files or more", s->found.root);
  for (int64_t i = 0; i < s->folder.n; i++) {
    const duel_folder_file *f = &s->folder.file[i];
    hash_file(&s->key, f->path, f->size, f->seconds, f->nanoseconds);
  }
  duel_folder_cut(&s->folder, options->limit);
  return DUEL_OK;
}

void duel_source_close(duel_source *s) {
  for (int i = 0; i < DUEL_FIND_FILES; i++) duel_store_close(&s->store[i]);
  for (int i = 0; s->worker && i < s->threads; i++) duel_unpacker_close(&s->worker[i].unpacker);
  duel_free(s->worker);
  duel_free(s->label_block);
  duel_folder_close(&s->folder);
  duel_found_close(&s->found);
}

static duel_status open_workers(duel_source *s, int64_t jobs) {
  s->threads = duel_jobs_threads(s->options->threads, jobs);
  s->worker = duel_calloc((size_t)s->threads, sizeof *s->worker);
  return s->worker ? DUEL_OK : duel_fail_memory("decoding", (size_t)s->threads * sizeof *s->worker);
}

// ---- records

static duel_status read_head(const duel_store *store, duel_records *r) {
  uint8_t *head = duel_malloc(DUEL_HEAD_BYTES);
  if (!head) return duel_fail_memory(store->path, DUEL_HEAD_BYTES);
  const size_t n = store->size < DUEL_HEAD_BYTES ? (size_t)store->size : DUEL_HEAD_BYTES, length = strlen(store->path);
  duel_status status = duel_store_read(store, head, n, 0);
  const bool gz = length > 3 && !strcmp(store->path + length - 3, ".gz");
  const char *end = store->path + length - (gz ? 3 : 0);
  if (status != DUEL_OK) {
    duel_free(head);
    return status;
  }
  if (duel_is_picture(head, n))
    status = duel_fail(DUEL_ERR_DATA, "%s is a single picture: name the folder that holds all of them", store->path);
  else if (n >= 6 && !memcmp(head, "\x93NUMPY", 6))
    status = duel_npy_records(r, store->path, head, n, store->size);
  else if (end - store->path >= 4 && !strncmp(end - 4, ".bin", 4))
    status = duel_cifar_records(r, store->path, head, n, store->size);
  else
    status = duel_idx_records(r, store->path, head, n, store->size);
  duel_free(head);
  return status;
}

static bool same_kind(const duel_records *a, const duel_records *b) {
  return a->rank == b->rank && !memcmp(a->dim, b->dim, sizeof a->dim) && a->is_float == b->is_float &&
         a->classes == b->classes;
}

static duel_status read_idx_labels(duel_source *s, int64_t items) {
  const char *path = s->found.labels;
  uint8_t *bytes;
  size_t n;
  int64_t labels;
  DUEL_TRY(duel_file_read(path, MOST_LABELS, &bytes, &n));
  if (duel_is_gzip(bytes, n)) {
    uint8_t *gz = bytes;
    duel_status status = duel_gunzip(path, gz, n, MOST_LABELS, &bytes, &n);
    duel_free(gz);
    if (status != DUEL_OK) return status;
  }
  s->label_block = bytes;
  DUEL_TRY(duel_idx_labels(path, bytes, n, &labels));
  if (labels != items)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld labels, %s %lld items", path, (long long)labels, s->found.file[0],
                     (long long)items);
  s->labels = bytes + DUEL_IDX_LABELS;
  s->labeled = true;
  for (int64_t i = 0; i < items; i++)
    if (s->labels[i] >= s->classes) s->classes = s->labels[i] + 1;
  return DUEL_OK;
}

// Asked for a size or channels, bytes become a frame's; the rest stays as it is.
static duel_status frame_records(duel_source *s) {
  const duel_dataset_options *o = s->options;
  const duel_records *r = &s->records[0];
  const bool other_size = o->height && (o->height != s->dim[1] || o->width != s->dim[2]);
  const bool other_channels = o->channels && o->channels != s->dim[0];
  if (!o->height && !o->channels) return DUEL_OK;
  if (r->rank != 3 || r->is_float)
    return duel_fail(DUEL_ERR_USAGE, "data.size and data.channels are for images of bytes; %s holds %s",
                     s->found.file[0], r->rank == 3 ? "float32 values, which are taken as they are" : "points");
  if (!other_size && !other_channels) return DUEL_OK;
  if (s->dim[0] != 1 && s->dim[0] != 3)
    return duel_fail(DUEL_ERR_USAGE, "data.size and data.channels need images of 1 or 3 channels; %s has %lld",
                     s->found.file[0], (long long)s->dim[0]);
  if (s->dim[1] > DUEL_PICTURE_SIDE || s->dim[2] > DUEL_PICTURE_SIDE)
    return duel_fail(DUEL_ERR_DATA, "%s: images of %lld×%lld are too large to be resized", s->found.file[0],
                     (long long)s->dim[1], (long long)s->dim[2]);
  s->framed = true;
  if (o->height) {
    s->dim[1] = o->height;
    s->dim[2] = o->width;
  }
  if (o->channels) s->dim[0] = o->channels;
  return DUEL_OK;
}

static duel_status prepare_records(duel_source *s, const char *folder) {
  const int64_t memory = s->options->memory, most = memory > 0 ? memory : INT64_MAX;
  const duel_records *r = &s->records[0];
  for (int i = 0; i < s->found.files; i++) {
    DUEL_TRY(duel_store_open(&s->store[i], s->found.file[i], most, folder));
    DUEL_TRY(read_head(&s->store[i], &s->records[i]));
    if (!same_kind(r, &s->records[i]))
      return duel_fail(DUEL_ERR_DATA, "%s and %s hold items of different kinds", s->found.file[0], s->found.file[i]);
    s->items += s->records[i].items;
  }
  if (s->items > INT32_MAX)
    return duel_fail(DUEL_ERR_DATA, "%s and its like hold 2^31 items or more", s->found.file[0]);
  s->rank = r->rank;
  memcpy(s->dim, r->dim, sizeof s->dim);
  s->is_float = r->is_float;
  s->classes = r->classes;
  s->labeled = r->label != 0;
  if (s->found.labels) DUEL_TRY(read_idx_labels(s, s->items));
  if (s->options->limit > 0 && s->options->limit < s->items) s->items = s->options->limit;
  return frame_records(s);
}

static duel_status fetch_records(duel_source *s, int worker, int64_t first, int64_t n, uint8_t *dst, uint8_t *labels) {
  const duel_frame *frame = s->framed ? &s->frame : NULL;
  const int64_t bytes = item_bytes(s);
  for (int i = 0; n > 0; first -= s->records[i++].items) {
    const int64_t left = s->records[i].items - first, now = n < left ? n : left;
    if (now <= 0) continue;
    DUEL_TRY(
        duel_records_fetch(&s->records[i], &s->store[i], first, now, frame, &s->worker[worker].unpacker, dst, labels));
    dst += now * bytes;
    if (labels) labels += now;
    first += now;
    n -= now;
  }
  return DUEL_OK;
}

// ---- pictures

static duel_status path_of(const duel_source *s, int64_t item, char path[PATH_MAX]) {
  const int n = snprintf(path, PATH_MAX, "%s/%s", s->folder.root, s->folder.file[item].path);
  return n < PATH_MAX ? DUEL_OK : duel_fail(DUEL_ERR_DATA, "%.100s…: the path is too long", path);
}

typedef struct looking { // through all headers
  duel_source *s;
  duel_picture *picture;
} looking;

static duel_status look_at(void *ctx, int worker, int64_t item) {
  looking *l = ctx;
  char path[PATH_MAX];
  int fd;
  int64_t size;
  bool more = false;
  DUEL_TRY(path_of(l->s, item, path));
  DUEL_TRY(duel_file_open(path, &fd, &size));
  uint8_t *head = l->s->worker[worker].head;
  const size_t n = size < HEAD_OF_PICTURE ? (size_t)size : HEAD_OF_PICTURE;
  duel_status status = duel_file_read_at(fd, path, head, n, 0);
  duel_file_close(fd);
  if (status == DUEL_OK) status = duel_picture_probe(&l->picture[item], path, head, n, (size_t)size, &more);
  if (status != DUEL_OK || !more) return status;
  uint8_t *bytes; // a large preface, as cameras write it
  size_t all;
  DUEL_TRY(duel_file_read(path, most_of_picture, &bytes, &all));
  status = duel_picture_probe(&l->picture[item], path, bytes, all, all, &more);
  duel_free(bytes);
  return status;
}

static void tell_looking(void *ctx, int64_t done, int64_t n) {
  const duel_dataset_options *o = ((duel_source *)ctx)->options;
  if (o->progress) o->progress(o->ctx, "Reading headers", done, n);
}

static duel_status agree(duel_source *s, const duel_picture *p) {
  const duel_dataset_options *o = s->options;
  int channels = 1;
  for (int64_t i = 0; i < s->items; i++) {
    if (p[i].channels == 3) channels = 3;
    if (o->height || (p[i].height == p[0].height && p[i].width == p[0].width)) continue;
    return duel_fail(DUEL_ERR_DATA,
                     "pictures of %s have different sizes: %s has %lld×%lld pixels (height×width), %s %lld×%lld; set "
                     "data.size, as in data.size=64 or data.size=[48,64] (height, width)",
                     s->folder.root, s->folder.file[0].path, (long long)p[0].height, (long long)p[0].width,
                     s->folder.file[i].path, (long long)p[i].height, (long long)p[i].width);
  }
  s->dim[0] = o->channels ? o->channels : channels;
  s->dim[1] = o->height ? o->height : p[0].height;
  s->dim[2] = o->height ? o->width : p[0].width;
  return DUEL_OK;
}

static duel_status prepare_pictures(duel_source *s) {
  s->items = s->folder.n;
  s->rank = 3;
  s->framed = true;
  s->classes = s->folder.classes;
  s->labels = s->folder.label;
  s->labeled = s->labels != NULL;
  looking l = {s, duel_calloc((size_t)s->items, sizeof *l.picture)};
  if (!l.picture) return duel_fail_memory(s->folder.root, (size_t)s->items * sizeof *l.picture);
  const duel_jobs jobs = {
      .n = s->items, .threads = s->threads, .work = look_at, .ctx = &l, .tell = tell_looking, .tell_ctx = s};
  duel_status status = duel_jobs_run(&jobs);
  if (status == DUEL_OK) status = agree(s, l.picture);
  duel_free(l.picture);
  return status;
}

static duel_status fetch_picture(duel_source *s, int worker, int64_t item, uint8_t *dst) {
  char path[PATH_MAX];
  duel_picture p = {.pixels = NULL};
  uint8_t *bytes;
  size_t n;
  DUEL_TRY(path_of(s, item, path));
  DUEL_TRY(duel_file_read(path, most_of_picture, &bytes, &n));
  duel_status status = duel_picture_decode(&p, path, bytes, n, s->dim[0] == 4);
  duel_free(bytes);
  if (status != DUEL_OK) return status;
  const duel_pixels pixels = {.at = p.pixels,
                              .height = p.height,
                              .width = p.width,
                              .channels = p.channels,
                              .channel_step = 1,
                              .row_step = p.width * p.channels,
                              .column_step = p.channels};
  if (!s->options->height && (p.height != s->frame.height || p.width != s->frame.width))
    status = duel_fail(DUEL_ERR_DATA, "%s changed while it was read", path);
  else
    status = duel_resample(&s->worker[worker].unpacker.resampler, dst, &s->frame, &pixels);
  duel_free(p.pixels);
  return status;
}

// ---- both

duel_status duel_source_prepare(duel_source *s, const char *folder) {
  if (s->found.pictures) {
    DUEL_TRY(open_workers(s, s->folder.n));
    DUEL_TRY(prepare_pictures(s));
  } else {
    DUEL_TRY(prepare_records(s, folder));
    DUEL_TRY(open_workers(s, s->items));
  }
  s->count = 1;
  for (int i = 0; i < s->rank; i++) s->count *= s->dim[i];
  s->frame =
      (duel_frame){.height = s->dim[1], .width = s->dim[2], .crop = !s->options->stretch, .channels = (int)s->dim[0]};
  return DUEL_OK;
}

duel_status duel_source_fetch(duel_source *s, int worker, int64_t first, int64_t n, void *dst, uint8_t *labels) {
  if (labels && s->labels) memcpy(labels, s->labels + first, (size_t)n);
  if (!s->found.pictures) return fetch_records(s, worker, first, n, dst, s->labels ? NULL : labels);
  for (int64_t i = 0; i < n; i++) DUEL_TRY(fetch_picture(s, worker, first + i, (uint8_t *)dst + i * s->count));
  return DUEL_OK;
}
