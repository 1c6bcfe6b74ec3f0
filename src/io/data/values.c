// The values of an opened set, wherever they lie: read, and told by a checksum and their range. Invariant: the same
// items have the same fingerprint in memory and in a file.
#include <math.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "io/data/opened.h"

int64_t duel_dataset_item_bytes(const duel_dataset *d) {
  return d->item_count * (d->is_float ? (int64_t)sizeof(float) : 1);
}

// ---- fingerprints: over seven numbers as little-endian words of 8 bytes, the values, the labels

static uint32_t fingerprint_head(const duel_dataset *d) {
  int64_t number[7] = {d->items, d->rank, d->dim[0], d->dim[1], d->dim[2], d->is_float, d->labels != NULL};
  uint8_t head[sizeof number];
  for (int i = 0; i < 7; i++)
    for (int k = 0; k < 8; k++) head[8 * i + k] = (uint8_t)(number[i] >> (8 * k));
  return duel_crc32c(0, head, sizeof head);
}

static uint32_t fingerprint_tail(const duel_dataset *d, uint32_t crc) {
  return d->labels ? duel_crc32c(crc, d->labels, (size_t)d->items) : crc;
}

uint32_t duel_dataset_fingerprint(const duel_dataset *d) {
  const size_t bytes = (size_t)(d->items * duel_dataset_item_bytes(d));
  return fingerprint_tail(d, duel_crc32c(fingerprint_head(d), d->values, bytes));
}

uint32_t duel_dataset_fingerprint_of(const duel_dataset *d, const uint32_t *item_crc) {
  duel_crc32c_joint joint;
  uint32_t crc = fingerprint_head(d);
  duel_crc32c_join(&joint, (uint64_t)duel_dataset_item_bytes(d));
  for (int64_t i = 0; i < d->items; i++) crc = duel_crc32c_joined(&joint, crc, item_crc[i]);
  return fingerprint_tail(d, crc);
}

// ---- twins

// An image, left and right swapped, in place.
static void flip(const duel_dataset *d, void *item) {
  const int64_t W = d->dim[2], rows = d->item_count / W;
  for (int64_t y = 0; y < rows; y++)
    for (int64_t x = 0; x < W / 2; x++) {
      const int64_t a = y * W + x, b = y * W + W - 1 - x;
      if (d->is_float) {
        float *f = item, was = f[a];
        f[a] = f[b];
        f[b] = was;
      } else {
        uint8_t *u = item, was = u[a];
        u[a] = u[b];
        u[b] = was;
      }
    }
}

static duel_status double_values(duel_opened *o) {
  duel_dataset *d = &o->set;
  const int64_t bytes = duel_dataset_item_bytes(d), before = (uint8_t *)d->values - (uint8_t *)o->value_block;
  const size_t all = (size_t)(before + 2 * d->items * bytes);
  void *block = duel_realloc(o->value_block, all);
  if (!block) return duel_fail_memory(d->name, all);
  o->value_block = block;
  d->values = (uint8_t *)block + before;
  uint8_t *twin = (uint8_t *)d->values + d->items * bytes;
  memcpy(twin, d->values, (size_t)(d->items * bytes));
  for (int64_t i = 0; i < d->items; i++) flip(d, twin + i * bytes);
  return DUEL_OK;
}

duel_status duel_dataset_mirror(duel_opened *o) {
  static const char mark[] = "mirror";
  duel_dataset *d = &o->set;
  const size_t n = (size_t)d->items;
  if (d->rank != 3) return duel_fail(DUEL_ERR_USAGE, "data.mirror is for images; %s holds points", d->name);
  if (d->items > INT32_MAX / 2)
    return duel_fail(DUEL_ERR_DATA, "%s holds 2^30 items or more, too many to be mirrored", d->name);
  if (d->labels) {
    uint8_t *labels = duel_malloc(2 * n);
    if (!labels) return duel_fail_memory(d->name, 2 * n);
    memcpy(labels, d->labels, n);
    memcpy(labels + n, d->labels, n);
    duel_free(o->label_block);
    o->label_block = d->labels = labels;
  }
  if (d->values) DUEL_TRY(double_values(o));
  d->items *= 2;
  d->fingerprint = duel_crc32c(d->fingerprint, mark, sizeof mark - 1);
  if (d->older) d->older = duel_crc32c(d->older, mark, sizeof mark - 1);
  o->mirrored = true;
  return DUEL_OK;
}

// ---- reading

duel_status duel_dataset_read(const duel_dataset *d, const int32_t *number, int64_t n, void *dst) {
  const int64_t bytes = duel_dataset_item_bytes(d);
  const duel_opened *o = (const duel_opened *)d;
  const duel_cache *c = &o->cache;
  uint8_t *to = dst;
  for (int64_t i = 0; i < n; i++, to += bytes) {
    if (d->values) {
      memcpy(to, (const uint8_t *)d->values + number[i] * bytes, (size_t)bytes);
      continue;
    }
    const bool twin = o->mirrored && number[i] >= d->items / 2;
    const int32_t item = twin ? number[i] - (int32_t)(d->items / 2) : number[i],
                  place = o->place ? o->place[item] : item;
    DUEL_TRY(duel_file_read_at(c->fd, c->path, to, (size_t)bytes, DUEL_CACHE_VALUES + place * bytes));
    if (duel_crc32c(0, to, (size_t)bytes) != c->item_crc[item])
      return duel_fail(DUEL_ERR_DATA, "%s was damaged (in item %d): remove it, and it will be made anew", c->path,
                       (int)place);
    if (twin) flip(d, to);
  }
  return DUEL_OK;
}

// ---- the range of the values

enum { RANGE_ITEMS = 4096 }; // looked at where they lie in a file

static void widen_bytes(const uint8_t *v, int64_t n, float *lo, float *hi) {
  uint8_t least = 255, most = 0;
  for (int64_t i = 0; i < n; i++) { // compilers make vectors of it
    least = v[i] < least ? v[i] : least;
    most = v[i] > most ? v[i] : most;
  }
  if (n > 0 && (float)least / 127.5f - 1 < *lo) *lo = (float)least / 127.5f - 1;
  if (n > 0 && (float)most / 127.5f - 1 > *hi) *hi = (float)most / 127.5f - 1;
}

static void widen_floats(const float *v, int64_t n, float *lo, float *hi) {
  enum { LANES = 16 };
  float least[LANES], most[LANES];
  for (int k = 0; k < LANES; k++) least[k] = *lo, most[k] = *hi;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) {
      least[k] = v[i + k] < least[k] ? v[i + k] : least[k];
      most[k] = v[i + k] > most[k] ? v[i + k] : most[k];
    }
  for (; i < n; i++) {
    least[0] = v[i] < least[0] ? v[i] : least[0];
    most[0] = v[i] > most[0] ? v[i] : most[0];
  }
  for (int k = 0; k < LANES; k++) {
    *lo = least[k] < *lo ? least[k] : *lo;
    *hi = most[k] > *hi ? most[k] : *hi;
  }
}

static void widen(const duel_dataset *d, const void *values, int64_t n, float *lo, float *hi) {
  if (d->is_float)
    widen_floats(values, n, lo, hi);
  else
    widen_bytes(values, n, lo, hi);
}

duel_status duel_dataset_item(const duel_dataset *d, int64_t number, float *dst) {
  // Bytes are read into the end of their place and widened from the front.
  uint8_t *raw = (uint8_t *)(dst + d->item_count) - duel_dataset_item_bytes(d);
  const int32_t at = (int32_t)number;
  DUEL_TRY(duel_dataset_read(d, &at, 1, raw));
  for (int64_t i = 0; !d->is_float && i < d->item_count; i++) dst[i] = (float)raw[i] / 127.5F - 1;
  return DUEL_OK;
}

duel_status duel_dataset_range(const duel_dataset *d, float *lo, float *hi) {
  *lo = INFINITY;
  *hi = -INFINITY;
  if (d->values) {
    widen(d, d->values, d->items * d->item_count, lo, hi);
    return DUEL_OK;
  }
  const size_t bytes = (size_t)duel_dataset_item_bytes(d);
  const int64_t n = d->items < RANGE_ITEMS ? d->items : RANGE_ITEMS;
  void *item = duel_malloc(bytes);
  if (!item) return duel_fail_memory(d->name, bytes);
  duel_status status = DUEL_OK;
  for (int64_t i = 0; status == DUEL_OK && i < n; i++) {
    const int32_t number = (int32_t)(i * d->items / n);
    status = duel_dataset_read(d, &number, 1, item);
    if (status == DUEL_OK) widen(d, item, d->item_count, lo, hi);
  }
  duel_free(item);
  return status;
}
