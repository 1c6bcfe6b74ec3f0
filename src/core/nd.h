// A loop nest over several strided operands, for kernels of any backend that broadcast, cut boxes or permute axes; and
// where mirrored elements of an axis come from.
#ifndef DUEL_CORE_ND_H
#define DUEL_CORE_ND_H

#include "base/hd.h"
#include "base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DUEL_ND_OPERANDS = 4 };

typedef struct duel_nd {
  int rank, n; // axes, operands; after duel_nd_merge rank >= 1 and the last axis is the inner run
  int64_t size[DUEL_MAX_RANK];
  int64_t stride[DUEL_ND_OPERANDS][DUEL_MAX_RANK]; // in elements; 0 repeats
} duel_nd;

typedef struct duel_nd_at { // where a walk stands
  int64_t index[DUEL_MAX_RANK];
  int64_t offset[DUEL_ND_OPERANDS];
} duel_nd_at;

// Sets one operand's strides: a dense tensor of this shape, aligned to the nest's last axes; its axes of size 1 repeat.
void duel_nd_operand(duel_nd *nd, int operand, const duel_shape *shape);

// A nest of a shape's axes with two operands, whose strides are yet to be set: a copy between boxes.
duel_nd duel_nd_box(const duel_shape *shape);
void duel_nd_dense(const duel_shape *shape, int64_t *stride); // row-major strides, also along axes of size 1

// Drops axes of size 1 and joins neighbors that form one run for every operand.
void duel_nd_merge(duel_nd *nd);

// To the element at this row-major place of the nest; on by n elements, which must not cross the end of the inner run.
void duel_nd_seek(const duel_nd *nd, int64_t element, duel_nd_at *at);
void duel_nd_advance(const duel_nd *nd, duel_nd_at *at, int64_t n);

// Elements from here to the end of the inner run.
static inline int64_t duel_nd_left(const duel_nd *nd, const duel_nd_at *at) {
  return nd->size[nd->rank - 1] - at->index[nd->rank - 1];
}

// ---- an axis of n elements, of which more are mirrored: `before` in front and `after` behind, both smaller than n
// The element that is seen in place i, from −before to n + after − 1.
DUEL_HD int64_t duel_mirrored(int64_t i, int64_t n) {
  return i < 0 ? -i : i < n ? i : 2 * (n - 1) - i;
}
// Element i is seen in up to three places, which count from the first mirrored one: k is 0 for its own, 1 for that in
// front, 2 for that behind. −1: there it is not seen.
DUEL_HD int64_t duel_mirrored_to(int k, int64_t i, int64_t n, int64_t before, int64_t after) {
  const int64_t behind = n - 1 - i;
  if (k == 0) return before + i;
  if (k == 1) return i > 0 && i <= before ? before - i : -1;
  return behind > 0 && behind <= after ? before + n - 1 + behind : -1;
}

#ifdef __cplusplus
}
#endif

#endif
