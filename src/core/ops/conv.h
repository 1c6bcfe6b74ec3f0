// The sizes of a convolution's call, for kernels of any backend: the same whichever of the three tensors is the result.
//
//   y [N, K, P, Q]: y[n, k, p, q] = Σ over c, r, s of x[n, c, p·stride − top + r·dilation, …]·w[k, c, r, s]
//
// Invariant: x [N, C, H, W], w [K, C/groups, R, S] and y obey conv2d's rule of shapes, also where x or w is the result.
#ifndef DUEL_CORE_OPS_CONV_H
#define DUEL_CORE_OPS_CONV_H

#include "core/backend.h"

typedef struct duel_conv_sizes {
  int64_t n, c, h, w, k, r, s, p, q, groups;
  int64_t c_group, k_group; // channels of one group
  int64_t depth;            // c_group·r·s: products in one element of y
} duel_conv_sizes;

// Ops whose result is of the images' side.
static inline bool duel_is_conv2d_dx(duel_op op) {
  return op == DUEL_OP_CONV2D_DX || op == DUEL_OP_CONV2D_DX_ACT || op == DUEL_OP_CONV2D_DX_GRAD;
}

static inline duel_conv_sizes duel_conv_sizes_of(const duel_call *call) {
  const bool dx = duel_is_conv2d_dx(call->op), dw = call->op == DUEL_OP_CONV2D_DW;
  const int64_t *x = (dx ? call->out[0] : call->in[0]).shape.dim, *w = (dw ? call->out[0] : call->in[1]).shape.dim;
  const int64_t *y = (dx ? call->in[0] : dw ? call->in[1] : call->out[0]).shape.dim;
  duel_conv_sizes z;
  z.n = x[0], z.c = x[1], z.h = x[2], z.w = x[3];
  z.k = w[0], z.r = w[2], z.s = w[3];
  z.p = y[2], z.q = y[3];
  z.groups = call->attr->conv.groups;
  z.c_group = w[1];
  z.k_group = z.k / z.groups;
  z.depth = z.c_group * z.r * z.s;
  return z;
}

#endif
