// Strided loop nests (nd.h). Compiled once: the arithmetic is in the kernels' inner runs.
#include "core/nd.h"

#include <string.h>

void duel_nd_operand(duel_nd *nd, int operand, const duel_shape *shape) {
  int64_t apart = 1;
  for (int axis = nd->rank - 1; axis >= 0; axis--) {
    const int own = axis - (nd->rank - shape->rank);
    const int64_t dim = own >= 0 ? shape->dim[own] : 1;
    nd->stride[operand][axis] = dim == 1 ? 0 : apart;
    apart *= dim;
  }
}

duel_nd duel_nd_box(const duel_shape *shape) {
  duel_nd box = {.rank = shape->rank, .n = 2};
  memcpy(box.size, shape->dim, sizeof box.size);
  return box;
}

void duel_nd_dense(const duel_shape *shape, int64_t *stride) {
  int64_t apart = 1;
  for (int axis = shape->rank - 1; axis >= 0; axis--) {
    stride[axis] = apart;
    apart *= shape->dim[axis];
  }
}

void duel_nd_merge(duel_nd *nd) {
  int rank = 0;
  for (int axis = 0; axis < nd->rank; axis++) {
    if (nd->size[axis] == 1) continue;
    bool joins = rank > 0;
    for (int o = 0; o < nd->n && joins; o++) joins = nd->stride[o][rank - 1] == nd->stride[o][axis] * nd->size[axis];
    if (joins) {
      nd->size[rank - 1] *= nd->size[axis];
    } else {
      nd->size[rank++] = nd->size[axis];
    }
    for (int o = 0; o < nd->n; o++) nd->stride[o][rank - 1] = nd->stride[o][axis];
  }
  if (rank == 0) {
    nd->size[rank++] = 1;
    for (int o = 0; o < nd->n; o++) nd->stride[o][0] = 1;
  }
  nd->rank = rank;
}

void duel_nd_seek(const duel_nd *nd, int64_t element, duel_nd_at *at) {
  for (int o = 0; o < nd->n; o++) at->offset[o] = 0;
  for (int axis = nd->rank - 1; axis >= 0; axis--) {
    at->index[axis] = nd->size[axis] > 0 ? element % nd->size[axis] : 0;
    element = nd->size[axis] > 0 ? element / nd->size[axis] : 0;
    for (int o = 0; o < nd->n; o++) at->offset[o] += at->index[axis] * nd->stride[o][axis];
  }
}

void duel_nd_advance(const duel_nd *nd, duel_nd_at *at, int64_t n) {
  int axis = nd->rank - 1;
  at->index[axis] += n;
  for (int o = 0; o < nd->n; o++) at->offset[o] += n * nd->stride[o][axis];
  while (axis > 0 && at->index[axis] == nd->size[axis]) {
    at->index[axis] = 0;
    at->index[axis - 1]++;
    for (int o = 0; o < nd->n; o++) at->offset[o] += nd->stride[o][axis - 1] - nd->size[axis] * nd->stride[o][axis];
    axis--;
  }
}
