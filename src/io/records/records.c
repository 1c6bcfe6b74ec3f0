// Fetching items of one size. Invariant: sizes were checked against the file's before the first item is fetched.
#include "io/records/records.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/tensor.h"

enum { CIFAR_VALUES = 3 * 32 * 32 };

// ---- sizes

static duel_shape shape_of(const duel_records *r) {
  if (r->rank == 1) return DUEL_SHAPE(r->items, r->dim[0]);
  if (r->channels_last) return DUEL_SHAPE(r->items, r->dim[1], r->dim[2], r->dim[0]);
  return r->dim[0] == 1 ? DUEL_SHAPE(r->items, r->dim[1], r->dim[2])
                        : DUEL_SHAPE(r->items, r->dim[0], r->dim[1], r->dim[2]);
}

int64_t duel_number_bytes(duel_number number) {
  static const int64_t bytes[] = {1, 1, 2, 4, 8};
  return bytes[number];
}

bool duel_records_are_plain(const duel_records *r) {
  return r->number == DUEL_NUMBER_U8 && !r->channels_last && !r->transposed && !r->label;
}

duel_status duel_records_check(duel_records *r, const char *path, int64_t size) {
  const duel_shape shape = shape_of(r);
  const int64_t element = duel_number_bytes(r->number);
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

// ---- items

void duel_unpacker_close(duel_unpacker *u) {
  duel_resampler_close(&u->resampler);
  duel_free(u->raw);
  *u = (duel_unpacker){0};
}

// binary16: 1 sign, 5 exponent, 10 mantissa.
static float half(uint32_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const float value = exponent == 31  ? mantissa ? NAN : INFINITY
                      : exponent == 0 ? ldexpf((float)mantissa, -24)
                                      : ldexpf((float)(1024 + mantissa), exponent - 25);
  return bits & 0x8000 ? -value : value;
}

static float float_at(const uint8_t *p, duel_number number, bool big_endian) {
  uint64_t word = 0;
  const int n = (int)duel_number_bytes(number);
  for (int i = 0; i < n; i++) word |= (uint64_t)p[i] << 8 * (big_endian ? n - 1 - i : i);
  if (number == DUEL_NUMBER_F16) return half((uint32_t)word);
  double wide;
  float value;
  const uint32_t low = (uint32_t)word;
  memcpy(&wide, &word, 8);
  memcpy(&value, &low, 4);
  return number == DUEL_NUMBER_F64 ? (float)wide : value;
}

static duel_status unpack_floats(const duel_records *r, const char *path, int64_t item, const uint8_t *raw,
                                 float *dst) {
  const int64_t channels = r->channels_last ? r->dim[0] : 1, plane = r->count / channels;
  const int64_t bytes = duel_number_bytes(r->number), H = r->dim[1], W = r->dim[2];
  for (int64_t c = 0; c < channels; c++)
    for (int64_t k = 0; k < plane; k++, dst++) {
      const int64_t in_plane = r->transposed ? k % (H * W) : 0;
      const int64_t from = r->transposed ? k - in_plane + in_plane % W * H + in_plane / W : k;
      const int64_t at = from * channels + c;
      *dst = float_at(raw + bytes * at, r->number, r->big_endian);
      if (!isfinite(*dst))
        return duel_fail(DUEL_ERR_DATA, "%s: value %lld of item %lld is %g; training needs finite numbers", path,
                         (long long)at, (long long)item, (double)*dst);
    }
  return DUEL_OK;
}

static duel_status unpack_bytes(const duel_records *r, const uint8_t *raw, const duel_frame *frame, duel_unpacker *u,
                                uint8_t *dst) {
  const int64_t C = r->dim[0], H = r->dim[1], W = r->dim[2];
  const bool last = r->channels_last;
  const int64_t across = last ? C : 1;
  const duel_frame same = {.height = H, .width = W, .channels = (int)C};
  const duel_pixels pixels = {.at = raw,
                              .height = H,
                              .width = W,
                              .channels = (int)C,
                              .channel_step = last ? 1 : H * W,
                              .row_step = r->transposed ? across : W * across,
                              .column_step = r->transposed ? H * across : across};
  return duel_resample(&u->resampler, dst, frame ? frame : &same, &pixels);
}

duel_status duel_records_fetch(const duel_records *r, const duel_store *s, int64_t first, int64_t n,
                               const duel_frame *frame, duel_unpacker *u, void *dst, uint8_t *labels) {
  const int64_t ahead = r->label < 0 ? -r->label : 0, values = r->count * duel_number_bytes(r->number);
  const size_t bytes = (size_t)((n - 1) * r->stride + values + ahead);
  if (duel_records_are_plain(r) && !frame) return duel_store_read(s, dst, bytes, r->offset + first * r->stride);
  if (u->room < (int64_t)bytes) {
    duel_free(u->raw);
    u->raw = duel_malloc(bytes);
    u->room = u->raw ? (int64_t)bytes : 0;
    if (!u->raw) return duel_fail_memory(s->path, bytes);
  }
  DUEL_TRY(duel_store_read(s, u->raw, bytes, r->offset - ahead + first * r->stride));
  if (r->number == DUEL_NUMBER_BOOL)
    for (size_t k = 0; k < bytes; k++) u->raw[k] = u->raw[k] ? 255 : 0;
  const int64_t framed = frame         ? frame->channels * frame->height * frame->width
                         : r->is_float ? r->count * (int64_t)sizeof(float)
                                       : values;
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
