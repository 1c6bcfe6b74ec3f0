// IDX. Invariant of the reader: nothing is believed before the number of bytes says the same as the header.
#include "io/data/idx.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/data/records.h"
#include "io/file.h"
#include "io/image.h"

static uint32_t big_endian(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const char *type_name(int type) {
  switch (type) {
  case 0x09:
    return "signed bytes";
  case 0x0B:
    return "16-bit integers";
  case 0x0C:
    return "32-bit integers";
  case 0x0E:
    return "float64";
  default:
    return NULL;
  }
}

static duel_status parse_header(duel_idx *idx, const char *path, const uint8_t *bytes, size_t n) {
  if (n == 0) return duel_fail(DUEL_ERR_DATA, "%s is empty", path);
  if (n < 4) return duel_fail(DUEL_ERR_DATA, "%s holds %zu bytes, an IDX header at least 8", path, n);
  int type = bytes[2], rank = bytes[3];
  int known = type == 0x08 || type == 0x0D;
  if (bytes[0] || bytes[1] || (!known && !type_name(type)) || rank == 0)
    return duel_fail(DUEL_ERR_DATA, "%s is no IDX file: it begins with %02x %02x %02x %02x", path, bytes[0], bytes[1],
                     bytes[2], bytes[3]);
  if (!known)
    return duel_fail(DUEL_ERR_DATA, "%s holds %s; only unsigned bytes (images, labels) and float32 are read", path,
                     type_name(type));
  if (rank > 4) return duel_fail(DUEL_ERR_DATA, "%s has %d dimensions; at most 4 are read", path, rank);
  if (n < 4 + 4 * (size_t)rank)
    return duel_fail(DUEL_ERR_DATA, "%s holds %zu bytes, its header of %d dimensions alone takes %d", path, n, rank,
                     4 + 4 * rank);
  idx->dtype = type == 0x08 ? DUEL_U8 : DUEL_F32;
  idx->rank = rank;
  for (int i = 0; i < rank; i++) idx->dim[i] = big_endian(bytes + 4 + 4 * i);
  return DUEL_OK;
}

static duel_status check_size(duel_idx *idx, const char *path, size_t n) {
  duel_shape shape = duel_shape_of(idx->rank, idx->dim);
  size_t element = duel_dtype_size(idx->dtype), header = 4 + 4 * (size_t)idx->rank;
  for (int i = 0; i < idx->rank; i++)
    if (idx->dim[i] == 0)
      return duel_fail(DUEL_ERR_DATA, "%s holds nothing: its header says %s", path, duel_shape_text(shape));
  if (!duel_shape_checked_count(shape, &idx->count) || idx->count > (INT64_MAX - 64) / (int64_t)element)
    return duel_fail(DUEL_ERR_DATA, "%s is no IDX file: its header says %s, more than can be", path,
                     duel_shape_text(shape));
  uint64_t item = (uint64_t)(idx->count / idx->dim[0]) * element, need = header + (uint64_t)idx->count * element;
  if (n < need)
    return duel_fail(DUEL_ERR_DATA, "%s is cut short: %s values need %llu bytes, it holds %zu and ends in item %llu",
                     path, duel_shape_text(shape), (unsigned long long)need, n,
                     (unsigned long long)((n - header) / item));
  if (n > need)
    return duel_fail(DUEL_ERR_DATA, "%s holds %zu bytes, %s values need %llu: header and data do not match", path, n,
                     duel_shape_text(shape), (unsigned long long)need);
  return DUEL_OK;
}

duel_status duel_idx_parse(duel_idx *idx, const char *path, uint8_t *bytes, size_t n) {
  memset(idx, 0, sizeof *idx);
  DUEL_TRY(parse_header(idx, path, bytes, n));
  DUEL_TRY(check_size(idx, path, n));
  idx->values = bytes + 4 + 4 * idx->rank;
  if (idx->dtype == DUEL_U8) return DUEL_OK;
  float *value = idx->values;
  for (int64_t i = 0; i < idx->count; i++) {
    uint32_t word = big_endian((const uint8_t *)(value + i));
    memcpy(value + i, &word, 4);
    if (!isfinite(value[i]))
      return duel_fail(DUEL_ERR_DATA, "%s: value %lld of item %lld is %g; training needs finite numbers", path,
                       (long long)(i % (idx->count / idx->dim[0])), (long long)(i / (idx->count / idx->dim[0])),
                       (double)value[i]);
  }
  return DUEL_OK;
}

duel_status duel_idx_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size) {
  duel_idx idx = {0};
  *r = (duel_records){0};
  DUEL_TRY(parse_header(&idx, path, head, n));
  DUEL_TRY(check_size(&idx, path, (size_t)size));
  r->is_float = r->big_endian = idx.dtype == DUEL_F32;
  if (idx.rank == 1)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld single values%s, not images", path, (long long)idx.dim[0],
                     r->is_float ? "" : ", perhaps labels");
  if (idx.rank == 2 && !r->is_float)
    return duel_fail(DUEL_ERR_DATA, "%s holds %s bytes; images are N×H×W or N×C×H×W", path,
                     duel_shape_text(duel_shape_of(idx.rank, idx.dim)));
  r->items = idx.dim[0];
  r->rank = idx.rank == 2 ? 1 : 3;
  for (int i = 0; i < r->rank; i++) {
    const int from = idx.rank - r->rank + i;
    r->dim[i] = from == 0 ? 1 : idx.dim[from]; // N×H×W has one channel
  }
  r->offset = 4 + 4 * idx.rank;
  return duel_records_check(r, path, size);
}

duel_status duel_idx_write(const char *path, const float *items, int64_t n, const int64_t dim[3]) {
  duel_shape shape = dim[0] == 1 ? DUEL_SHAPE(n, dim[1], dim[2]) : DUEL_SHAPE(n, dim[0], dim[1], dim[2]);
  int64_t count;
  uint8_t header[20] = {0, 0, 0x08, (uint8_t)shape.rank};
  for (int i = 0; i < shape.rank; i++) {
    if (shape.dim[i] < 1 || shape.dim[i] > UINT32_MAX)
      return duel_fail(DUEL_ERR_USAGE, "%s: an IDX file cannot hold %s", path, duel_shape_text(shape));
    for (int k = 0; k < 4; k++) header[4 + 4 * i + k] = (uint8_t)(shape.dim[i] >> (24 - 8 * k));
  }
  if (!duel_shape_checked_count(shape, &count))
    return duel_fail(DUEL_ERR_USAGE, "%s: an IDX file cannot hold %s", path, duel_shape_text(shape));
  uint8_t *pixels = duel_malloc((size_t)count);
  if (!pixels) return duel_fail_memory(path, (size_t)count);
  duel_to_bytes(pixels, items, count);
  duel_part part[2] = {{header, 4 + 4 * (size_t)shape.rank}, {pixels, (size_t)count}};
  duel_status s = duel_file_write_parts(path, part, 2);
  duel_free(pixels);
  return s;
}
