// Fetching items of one size. Invariant: sizes were checked against the file's before the first item is fetched.
#include "io/data/records.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/tensor.h"
#include "io/file.h"
#include "io/gzip.h"

enum { CIFAR_VALUES = 3 * 32 * 32 };
static const size_t most_bytes = (size_t)1 << 36; // of one file inflated into memory: 64 GiB

// ---- sizes

static duel_shape shape_of(const duel_records *r) {
  if (r->rank == 1) return DUEL_SHAPE(r->items, r->dim[0]);
  if (r->channels_last) return DUEL_SHAPE(r->items, r->dim[1], r->dim[2], r->dim[0]);
  return r->dim[0] == 1 ? DUEL_SHAPE(r->items, r->dim[1], r->dim[2])
                        : DUEL_SHAPE(r->items, r->dim[0], r->dim[1], r->dim[2]);
}

duel_status duel_records_check(duel_records *r, const char *path, int64_t size) {
  const duel_shape shape = shape_of(r);
  const int64_t element = r->is_float ? 4 : 1;
  int64_t all, need;
  for (int i = 0; i < shape.rank; i++)
    if (shape.dim[i] <= 0)
      return duel_fail(DUEL_ERR_DATA, "%s holds nothing: its header says %s", path, duel_shape_text(shape));
  if (!duel_shape_checked_count(shape, &all) || __builtin_mul_overflow(all, element, &need) ||
      __builtin_add_overflow(need, r->offset, &need))
    return duel_fail(DUEL_ERR_DATA, "%s makes no sense: its header says %s, more than can be", path,
                     duel_shape_text(shape));
  r->count = all / r->items;
  const int64_t stride = r->count * element;
  if (!r->stride) r->stride = stride;
  need += (r->stride - stride) * (r->items - 1); // what lies between items; the caller made sure of that
  if (size < need)
    return duel_fail(DUEL_ERR_DATA, "%s is cut short: %s values need %lld bytes, it holds %lld and ends in item %lld",
                     path, duel_shape_text(shape), (long long)need, (long long)size,
                     (long long)((size - r->offset) / r->stride));
  if (size > need)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld bytes, %s values need %lld: header and data do not match", path,
                     (long long)size, duel_shape_text(shape), (long long)need);
  if (r->items > INT32_MAX || r->count > INT32_MAX)
    return duel_fail(DUEL_ERR_DATA, "%s holds %s values: items and their size must stay under 2^31", path,
                     duel_shape_text(shape));
  return DUEL_OK;
}

duel_status duel_cifar_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size) {
  *r = (duel_records){.rank = 3, .dim = {3, 32, 32}, .classes = 10, .offset = 1, .label = -1};
  const bool ten = size > 0 && size % (CIFAR_VALUES + 1) == 0, hundred = size > 0 && size % (CIFAR_VALUES + 2) == 0;
  if (!ten && !hundred)
    return duel_fail(DUEL_ERR_DATA,
                     "%s holds %lld bytes, which is no whole number of CIFAR-10 records (3073 bytes) or CIFAR-100 "
                     "records (3074): it is cut short, or something else",
                     path, (long long)size);
  if (!ten || (hundred && n > 0 && head[0] > 9)) {
    r->classes = 100;
    r->offset = 2;
  }
  r->stride = CIFAR_VALUES + r->offset;
  r->items = size / r->stride;
  return duel_records_check(r, path, size);
}

// ---- stores

static duel_status inflate_to_file(duel_store *s, int from, const char *folder) {
  char *name = duel_format("%s/.duel-inflated-XXXXXX", folder);
  if (!name) return duel_fail_memory(s->path, strlen(folder));
  s->fd = mkostemp(name, 02000000); // O_CLOEXEC
  duel_status status = DUEL_OK;
  if (s->fd < 0)
    status = duel_fail(DUEL_ERR_IO, "cannot inflate %s: no file can be made in %s", s->path, folder);
  else
    unlink(name);
  duel_free(name);
  return status == DUEL_OK ? duel_gunzip_file(s->path, from, s->fd, &s->size) : status;
}

static duel_status inflate_to_memory(duel_store *s) {
  uint8_t *gz;
  size_t n, size;
  DUEL_TRY(duel_file_read(s->path, most_bytes, &gz, &n));
  duel_status status = duel_gunzip(s->path, gz, n, most_bytes, &s->block, &size);
  duel_free(gz);
  s->size = (int64_t)size;
  return status;
}

// A gzip file's last four bytes are its size modulo 2^32, and it is rarely larger than what it holds.
static duel_status inflated_size(const duel_store *s, int64_t *size) {
  uint8_t end[4];
  if (s->size < 18) return *size = 0, DUEL_OK; // an error yet to come
  DUEL_TRY(duel_file_read_at(s->fd, s->path, end, 4, s->size - 4));
  *size = (int64_t)end[0] | (int64_t)end[1] << 8 | (int64_t)end[2] << 16 | (int64_t)end[3] << 24;
  while (*size < s->size / 2) *size += (int64_t)1 << 32;
  return DUEL_OK;
}

static duel_status open_store(duel_store *s, int64_t most, const char *folder) {
  uint8_t head[2];
  int64_t inflated;
  DUEL_TRY(duel_file_open(s->path, &s->fd, &s->size));
  if (s->size < 2) return DUEL_OK;
  DUEL_TRY(duel_file_read_at(s->fd, s->path, head, 2, 0));
  if (!duel_is_gzip(head, 2)) return DUEL_OK;
  DUEL_TRY(inflated_size(s, &inflated));
  const int fd = s->fd;
  s->fd = -1;
  duel_status status = inflated <= most ? inflate_to_memory(s) : inflate_to_file(s, fd, folder);
  duel_file_close(fd);
  return status;
}

duel_status duel_store_open(duel_store *s, const char *path, int64_t most, const char *folder) {
  *s = (duel_store){.fd = -1, .path = duel_strdup(path)};
  if (!s->path) return duel_fail_memory(path, strlen(path) + 1);
  duel_status status = open_store(s, most, folder);
  if (status != DUEL_OK) duel_store_close(s);
  return status;
}

duel_status duel_store_read(const duel_store *s, void *dst, size_t n, int64_t at) {
  if (!s->block) return duel_file_read_at(s->fd, s->path, dst, n, at);
  if (at < 0 || at > s->size || (int64_t)n > s->size - at)
    return duel_fail(DUEL_ERR_DATA, "%s is cut short: it ends at byte %lld", s->path, (long long)s->size);
  memcpy(dst, s->block + at, n);
  return DUEL_OK;
}

void duel_store_close(duel_store *s) {
  duel_file_close(s->fd);
  duel_free(s->block);
  duel_free(s->path);
  *s = (duel_store){.fd = -1};
}

// ---- items

void duel_unpacker_close(duel_unpacker *u) {
  duel_resampler_close(&u->resampler);
  duel_free(u->raw);
  *u = (duel_unpacker){0};
}

static float float_at(const uint8_t *p, bool big_endian) {
  uint32_t word;
  float value;
  memcpy(&word, p, 4);
  if (big_endian) word = __builtin_bswap32(word);
  memcpy(&value, &word, 4);
  return value;
}

static duel_status unpack_floats(const duel_records *r, const char *path, int64_t item, const uint8_t *raw,
                                 float *dst) {
  const int64_t channels = r->channels_last ? r->dim[0] : 1, plane = r->count / channels;
  for (int64_t c = 0; c < channels; c++)
    for (int64_t k = 0; k < plane; k++, dst++) {
      *dst = float_at(raw + 4 * (k * channels + c), r->big_endian);
      if (!isfinite(*dst))
        return duel_fail(DUEL_ERR_DATA, "%s: value %lld of item %lld is %g; training needs finite numbers", path,
                         (long long)(k * channels + c), (long long)item, (double)*dst);
    }
  return DUEL_OK;
}

static duel_status unpack_bytes(const duel_records *r, const uint8_t *raw, const duel_frame *frame, duel_unpacker *u,
                                uint8_t *dst) {
  const int64_t C = r->dim[0], H = r->dim[1], W = r->dim[2];
  const bool last = r->channels_last;
  const duel_frame same = {.height = H, .width = W, .channels = (int)C};
  const duel_pixels pixels = {.at = raw,
                              .height = H,
                              .width = W,
                              .channels = (int)C,
                              .channel_step = last ? 1 : H * W,
                              .row_step = last ? W * C : W,
                              .column_step = last ? C : 1};
  return duel_resample(&u->resampler, dst, frame ? frame : &same, &pixels);
}

duel_status duel_records_fetch(const duel_records *r, const duel_store *s, int64_t first, int64_t n,
                               const duel_frame *frame, duel_unpacker *u, void *dst, uint8_t *labels) {
  const int64_t ahead = r->label < 0 ? -r->label : 0, values = r->count * (r->is_float ? 4 : 1);
  const size_t bytes = (size_t)((n - 1) * r->stride + values + ahead);
  if (!r->is_float && !r->channels_last && !frame && !r->label) // as they lie
    return duel_store_read(s, dst, bytes, r->offset + first * r->stride);
  if (u->room < (int64_t)bytes) {
    duel_free(u->raw);
    u->raw = duel_malloc(bytes);
    u->room = u->raw ? (int64_t)bytes : 0;
    if (!u->raw) return duel_fail_memory(s->path, bytes);
  }
  DUEL_TRY(duel_store_read(s, u->raw, bytes, r->offset - ahead + first * r->stride));
  const int64_t framed = frame ? frame->channels * frame->height * frame->width : values;
  for (int64_t i = 0; i < n; i++) {
    const uint8_t *raw = u->raw + i * r->stride + ahead;
    uint8_t *to = (uint8_t *)dst + i * framed;
    DUEL_TRY(r->is_float ? unpack_floats(r, s->path, first + i, raw, (float *)(void *)to)
                         : unpack_bytes(r, raw, frame, u, to));
    if (!r->label) continue;
    const int label = raw[r->label];
    if (label >= r->classes)
      return duel_fail(DUEL_ERR_DATA,
                       "%s: the label of item %lld is %d; CIFAR-%lld has %lld classes: it is damaged, or "
                       "something else",
                       s->path, (long long)(first + i), label, (long long)r->classes, (long long)r->classes);
    if (labels) labels[i] = (uint8_t)label;
  }
  return DUEL_OK;
}
