// IDX. Invariant of the readers: nothing is believed before the number of bytes says the same as the header.
#include "io/records/idx.h"

#include "base/mem.h"
#include "base/tensor.h"
#include "io/file.h"
#include "io/image.h"
#include "io/records/records.h"

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

typedef struct idx_header {
  bool is_float; // else bytes
  int rank;      // 1..4
  int64_t dim[4];
} idx_header;

static duel_status parse_header(idx_header *h, const char *path, const uint8_t *bytes, size_t n) {
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
  *h = (idx_header){.is_float = type == 0x0D, .rank = rank};
  for (int i = 0; i < rank; i++) h->dim[i] = big_endian(bytes + 4 + 4 * i);
  return DUEL_OK;
}

duel_status duel_idx_labels(const char *path, const uint8_t *bytes, size_t n, int64_t *labels) {
  idx_header h;
  DUEL_TRY(parse_header(&h, path, bytes, n));
  if (h.is_float || h.rank != 1)
    return duel_fail(DUEL_ERR_DATA, "%s holds no labels: it is %s %s, labels are bytes in one dimension", path,
                     duel_shape_text(duel_shape_of(h.rank, h.dim)), h.is_float ? "f32" : "u8");
  if (n != DUEL_IDX_LABELS + (uint64_t)h.dim[0])
    return duel_fail(DUEL_ERR_DATA, "%s %s: %lld labels need %lld bytes, it holds %zu", path,
                     n < DUEL_IDX_LABELS + (uint64_t)h.dim[0] ? "is cut short" : "does not match its header",
                     (long long)h.dim[0], (long long)h.dim[0] + DUEL_IDX_LABELS, n);
  *labels = h.dim[0];
  return DUEL_OK;
}

duel_status duel_idx_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size) {
  idx_header h;
  *r = (duel_records){0};
  DUEL_TRY(parse_header(&h, path, head, n));
  r->is_float = r->big_endian = h.is_float;
  if (h.is_float) r->number = DUEL_NUMBER_F32;
  if (h.rank == 1)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld single values%s, not images", path, (long long)h.dim[0],
                     h.is_float ? "" : ", perhaps labels");
  if (h.rank == 2 && !h.is_float)
    return duel_fail(DUEL_ERR_DATA, "%s holds %s bytes; images are N×H×W or N×C×H×W", path,
                     duel_shape_text(duel_shape_of(h.rank, h.dim)));
  r->items = h.dim[0];
  r->rank = h.rank == 2 ? 1 : 3;
  for (int i = 0; i < r->rank; i++) {
    const int from = h.rank - r->rank + i;
    r->dim[i] = from == 0 ? 1 : h.dim[from]; // N×H×W has one channel
  }
  r->offset = 4 + 4 * h.rank;
  return duel_records_check(r, path, size);
}

static duel_status put_bytes(const duel_draft *draft, const float *values, int64_t n, int64_t at) {
  uint8_t bytes[1 << 16];
  for (int64_t done = 0; done < n;) {
    const int64_t now = n - done < (int64_t)sizeof bytes ? n - done : (int64_t)sizeof bytes;
    duel_to_bytes(bytes, values + done, now);
    DUEL_TRY(duel_draft_put(draft, bytes, (size_t)now, at + done));
    done += now;
  }
  return DUEL_OK;
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
  duel_draft draft;
  const size_t head = 4 + 4 * (size_t)shape.rank;
  DUEL_TRY(duel_draft_begin(&draft, path, head + (size_t)count));
  duel_status status = duel_draft_put(&draft, header, head, 0);
  if (status == DUEL_OK) status = put_bytes(&draft, items, count, (int64_t)head);
  if (status == DUEL_OK) status = duel_draft_commit(&draft);
  duel_draft_drop(&draft);
  return status;
}
