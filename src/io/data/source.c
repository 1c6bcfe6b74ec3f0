// Sources. Invariant: before the first fetch every size is known and was checked against the files'; a picture that
// turns out otherwise is an error.
#include "io/data/source.h"

#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"
#include "io/picture.h"
#include "io/records/idx.h"
#include "io/records/npy.h"

enum { MOST_LABELS = 1 << 30 };

struct duel_source_worker {
  duel_unpacker unpacker;
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

static void hash_located(duel_source *s, const duel_located *l) {
  if (l->at < 0) {
    hash_path(&s->key, l->path);
    return;
  }
  const duel_named *file = &s->found.files.file[l->at];
  hash_file(&s->key, file->path, file->size, file->seconds, file->nanoseconds);
}

duel_status duel_source_open(duel_source *s, const char *spec, const duel_dataset_options *options) {
  *s = (duel_source){.options = options, .key = DUEL_HASH_START};
  const int64_t asked[5] = {options->limit, options->height, options->width, options->stretch, options->channels};
  for (int i = 0; i < DUEL_FIND_FILES; i++) s->store[i].fd = -1;
  s->key = duel_hash(s->key, asked, sizeof asked);
  if (options->transpose) s->key = duel_hash(s->key, "transposed", 10);
  duel_found *f = &s->found;
  DUEL_TRY(duel_find(f, spec));
  for (int i = 0; i < f->n_files; i++) hash_located(s, &f->file[i]);
  if (f->labels.path) hash_located(s, &f->labels);
  if (f->told) duel_data_note(options, "%s", f->told);
  if (!f->pictures) return DUEL_OK;
  for (int64_t i = 0; i < f->n; i++) {
    const duel_named *file = &f->files.file[f->picture[i]];
    hash_file(&s->key, file->path, file->size, file->seconds, file->nanoseconds);
  }
  DUEL_TRY(duel_pictures_open(&s->pictures, f, options));
  if (f->used >= 0) hash_located(s, &(duel_located){.path = f->files.root, .at = f->used});
  return DUEL_OK;
}

void duel_source_close(duel_source *s) {
  for (int i = 0; i < DUEL_FIND_FILES; i++) duel_store_close(&s->store[i]);
  for (int i = 0; s->worker && i < s->threads; i++) duel_unpacker_close(&s->worker[i].unpacker);
  duel_free(s->worker);
  duel_free(s->label_block);
  duel_pictures_close(&s->pictures);
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
  const size_t n = store->size < DUEL_HEAD_BYTES ? (size_t)store->size : DUEL_HEAD_BYTES;
  duel_status status = duel_store_read(store, head, n, 0);
  const bool bin = duel_ends_with(store->path, ".bin") || duel_ends_with(store->path, ".bin.gz");
  if (status != DUEL_OK) {
    duel_free(head);
    return status;
  }
  if (duel_picture_of(head, n))
    status = duel_fail(DUEL_ERR_DATA, "%s is a single picture: name the folder that holds all of them", store->path);
  else if (n >= 6 && !memcmp(head, "\x93NUMPY", 6))
    status = duel_npy_records(r, store->path, head, n, store->size);
  else if (bin)
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

// The labels in n bytes of a file, IDX or NPY; they lie in the bytes then, at s->labels.
static duel_status take_labels(duel_source *s, const char *path, uint8_t *bytes, size_t n, int64_t *labels) {
  duel_npy_numbers numbers;
  if (n < 6 || memcmp(bytes, "\x93NUMPY", 6)) {
    s->labels = bytes + DUEL_IDX_LABELS;
    return duel_idx_labels(path, bytes, n, labels);
  }
  DUEL_TRY(duel_npy_labels(&numbers, path, bytes, n, (int64_t)n));
  s->labels = bytes;
  *labels = numbers.items;
  return duel_npy_take_labels(&numbers, path, bytes);
}

static duel_status read_labels(duel_source *s, int64_t items, const char *folder) {
  const duel_located *l = &s->found.labels;
  duel_store store;
  int64_t labels;
  DUEL_TRY(duel_store_open(&store, l->path, l->at < 0 ? NULL : &s->found.files, l->at, MOST_LABELS, folder));
  const size_t n = (size_t)store.size;
  duel_status status = DUEL_OK;
  if (store.size > MOST_LABELS)
    status = duel_fail(DUEL_ERR_DATA, "%s is too large to hold labels", l->path);
  else if (!(s->label_block = duel_malloc(n + 1)))
    status = duel_fail_memory(l->path, n);
  if (status == DUEL_OK) status = duel_store_read(&store, s->label_block, n, 0);
  duel_store_close(&store);
  DUEL_TRY(status);
  DUEL_TRY(take_labels(s, l->path, s->label_block, n, &labels));
  if (labels != items)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld labels, %s %lld items", l->path, (long long)labels,
                     s->found.file[0].path, (long long)items);
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
                     s->found.file[0].path, r->rank == 3 ? "float32 values, which are taken as they are" : "points");
  if (!other_size && !other_channels) return DUEL_OK;
  if (s->dim[0] != 1 && s->dim[0] != 3 && s->dim[0] != 4)
    return duel_fail(DUEL_ERR_USAGE, "data.size and data.channels need images of 1, 3 or 4 channels; %s has %lld",
                     s->found.file[0].path, (long long)s->dim[0]);
  if (s->dim[1] > DUEL_PICTURE_SIDE || s->dim[2] > DUEL_PICTURE_SIDE)
    return duel_fail(DUEL_ERR_DATA, "%s: images of %lld×%lld are too large to be resized", s->found.file[0].path,
                     (long long)s->dim[1], (long long)s->dim[2]);
  s->framed = true;
  if (o->height) {
    s->dim[1] = o->height;
    s->dim[2] = o->width;
  }
  if (o->channels) s->dim[0] = o->channels;
  return DUEL_OK;
}

static duel_status open_store(duel_source *s, int i, int64_t most, const char *folder) {
  const duel_located *l = &s->found.file[i];
  return duel_store_open(&s->store[i], l->path, l->at < 0 ? NULL : &s->found.files, l->at, most, folder);
}

static duel_status transpose(duel_records *r, const char *path) {
  if (r->rank != 3) return duel_fail(DUEL_ERR_USAGE, "data.transpose is for images; %s holds points", path);
  const int64_t height = r->dim[1];
  r->transposed = true;
  r->dim[1] = r->dim[2];
  r->dim[2] = height;
  return DUEL_OK;
}

static duel_status prepare_records(duel_source *s, const char *folder) {
  const int64_t memory = s->options->memory, most = memory > 0 ? memory : INT64_MAX;
  const duel_records *r = &s->records[0];
  for (int i = 0; i < s->found.n_files; i++) {
    DUEL_TRY(open_store(s, i, most, folder));
    DUEL_TRY(read_head(&s->store[i], &s->records[i]));
    if (!same_kind(r, &s->records[i]))
      return duel_fail(DUEL_ERR_DATA, "%s and %s hold items of different kinds", s->found.file[0].path,
                       s->found.file[i].path);
    s->items += s->records[i].items;
  }
  if (s->items > INT32_MAX)
    return duel_fail(DUEL_ERR_DATA, "%s and its like hold 2^31 items or more", s->found.file[0].path);
  for (int i = 0; i < s->found.n_files && s->options->transpose; i++)
    DUEL_TRY(transpose(&s->records[i], s->found.file[i].path));
  s->rank = r->rank;
  memcpy(s->dim, r->dim, sizeof s->dim);
  s->is_float = r->is_float;
  s->classes = r->classes;
  s->labeled = r->label != 0;
  if (s->found.labels.path) DUEL_TRY(read_labels(s, s->items, folder));
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

static void take_pictures(duel_source *s) {
  const duel_pictures *p = &s->pictures;
  s->items = p->n;
  s->classes = p->classes;
  s->labels = p->label;
  s->labeled = s->labels != NULL;
}

static duel_status prepare_pictures(duel_source *s) {
  DUEL_TRY(duel_pictures_look(&s->pictures, s->threads));
  s->rank = 3;
  s->framed = true;
  memcpy(s->dim, s->pictures.dim, sizeof s->dim);
  take_pictures(s);
  return DUEL_OK;
}

bool duel_source_is_bad(const duel_source *s, int64_t item) {
  return s->found.pictures && s->pictures.bad[item];
}

duel_status duel_source_settle(duel_source *s) {
  if (!s->found.pictures) return DUEL_OK;
  duel_status status = duel_pictures_settle(&s->pictures);
  take_pictures(s);
  return status;
}

duel_status duel_source_drop(duel_source *s, const uint32_t *number, int64_t n) {
  duel_status status = duel_pictures_drop(&s->pictures, number, n);
  take_pictures(s);
  return status;
}

duel_status duel_source_dropped(const duel_source *s, uint32_t **number, int64_t *n) {
  *n = s->pictures.all - s->pictures.n;
  return duel_pictures_dropped(&s->pictures, number);
}

// ---- both

duel_status duel_source_prepare(duel_source *s, const char *folder) {
  if (s->found.pictures) {
    DUEL_TRY(open_workers(s, s->pictures.n));
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
  duel_resampler *r = &s->worker[worker].unpacker.resampler;
  for (int64_t i = 0; i < n; i++)
    DUEL_TRY(duel_pictures_fetch(&s->pictures, first + i, &s->frame, r, (uint8_t *)dst + i * s->count));
  return DUEL_OK;
}
