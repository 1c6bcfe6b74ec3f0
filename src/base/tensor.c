// Element types and shapes. Invariant: dims past the rank are 0; a rank outside 0..DUEL_MAX_RANK marks no shape at all.
#include "base/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  size_t size;
} types[DUEL_DTYPE_COUNT] = {
    [DUEL_F32] = {"f32", 4}, [DUEL_F64] = {"f64", 8}, [DUEL_BF16] = {"bf16", 2},
    [DUEL_I32] = {"i32", 4}, [DUEL_U8] = {"u8", 1},
};

size_t duel_dtype_size(duel_dtype t) {
  return types[t].size;
}
const char *duel_dtype_name(duel_dtype t) {
  return types[t].name;
}

duel_shape duel_shape_of(int rank, const int64_t *dim) {
  duel_shape s = {0};
  if (rank < 0 || rank > DUEL_MAX_RANK) {
    s.rank = -1;
    return s;
  }
  s.rank = rank;
  for (int i = 0; i < rank; i++) s.dim[i] = dim[i];
  return s;
}

int64_t duel_shape_count(duel_shape s) {
  int64_t n = 1;
  for (int i = 0; i < s.rank; i++) n *= s.dim[i];
  return n;
}

bool duel_shape_checked_count(duel_shape s, int64_t *count) {
  int64_t n = 1;
  if (s.rank < 0 || s.rank > DUEL_MAX_RANK) return false;
  for (int i = 0; i < s.rank; i++)
    if (s.dim[i] < 0 || __builtin_mul_overflow(n, s.dim[i], &n)) return false;
  *count = n;
  return true;
}

bool duel_shape_equal(duel_shape a, duel_shape b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; i++)
    if (a.dim[i] != b.dim[i]) return false;
  return true;
}

bool duel_shape_broadcast(duel_shape a, duel_shape b, duel_shape *out) {
  duel_shape s = {.rank = a.rank > b.rank ? a.rank : b.rank};
  for (int i = 0; i < s.rank; i++) {
    int ia = i - (s.rank - a.rank), ib = i - (s.rank - b.rank);
    int64_t da = ia < 0 ? 1 : a.dim[ia], db = ib < 0 ? 1 : b.dim[ib];
    if (da != db && da != 1 && db != 1) return false;
    s.dim[i] = da == 1 ? db : da;
  }
  *out = s;
  return true;
}

const char *duel_shape_text(duel_shape s) {
  enum { TEXTS = 8, BYTES = 23 * DUEL_MAX_RANK }; // a dim has at most 20 characters, × has 2 bytes
  static _Thread_local char text[TEXTS][BYTES];
  static _Thread_local unsigned turn;
  char *t = text[turn++ % TEXTS];
  if (s.rank == 0) return "scalar";
  if (s.rank < 0 || s.rank > DUEL_MAX_RANK) return "a shape of impossible rank";
  size_t n = 0;
  for (int i = 0; i < s.rank; i++) n += (size_t)snprintf(t + n, BYTES - n, "%s%" PRId64, i ? "×" : "", s.dim[i]);
  return t;
}
