// Movement: reshape, view, pack, transpose, slice, pad, reflect2d, concat, broadcast. Each is linear, so its gradient
// is its adjoint: view and pack, slice and pad, reflect2d and the folding back, concat and slices, broadcast and the
// summing down that autodiff does.
#include <inttypes.h>

#include "core/ops/op.h"

// ---- reshape
static bool infer_reshape(DUEL_INFER_ARGS) {
  duel_shape src = duel_in_shape(g, n, 0);
  int64_t count;
  if (!duel_shape_checked_count(*shape, &count) || count != duel_shape_count(src))
    return duel_graph_refuse(g, "reshape cannot make %s (%" PRId64 " elements) into %s", duel_shape_text(src),
                             duel_shape_count(src), duel_shape_text(*shape));
  return duel_set_out(g, n, 0, g->value[n->in[0]].dtype, *shape);
}

static void vjp_reshape(DUEL_VJP_ARGS) {
  d_in[0] = duel_reshape(g, d_out[0], duel_in_shape(g, n, 0));
}

DUEL_RECORD(reshape, .infer = infer_reshape, .vjp = vjp_reshape, .flags = DUEL_FLAG_VIEW);

duel_val duel_reshape(duel_graph *g, duel_val src, duel_shape shape) {
  return duel_apply(g, DUEL_OP_RESHAPE, 1, &src, NULL, &shape);
}

// ---- view of a slab, pack into a slab
static bool infer_view(DUEL_INFER_ARGS) {
  duel_shape slab = duel_in_shape(g, n, 0);
  int64_t count, offset = n->attr.view.offset;
  if (slab.rank != 1) return duel_graph_refuse(g, "view needs a flat slab, not %s", duel_shape_text(slab));
  if (!duel_shape_checked_count(*shape, &count) || offset < 0 || count > slab.dim[0] || offset > slab.dim[0] - count)
    return duel_graph_refuse(g, "view of %s at %" PRId64 " leaves a slab of %" PRId64, duel_shape_text(*shape), offset,
                             slab.dim[0]);
  return duel_set_out(g, n, 0, g->value[n->in[0]].dtype, *shape);
}

static void vjp_view(DUEL_VJP_ARGS) {
  d_in[0] = duel_pack(g, 1, d_out, &n->attr.view.offset, duel_in_shape(g, n, 0).dim[0]);
}

DUEL_RECORD(view, .infer = infer_view, .vjp = vjp_view, .flags = DUEL_FLAG_VIEW);

duel_val duel_view(duel_graph *g, duel_val slab, int64_t offset, duel_shape shape) {
  duel_attr attr = duel_attr_zero();
  attr.view.offset = offset;
  return duel_apply(g, DUEL_OP_VIEW, 1, &slab, &attr, &shape);
}

static bool infer_pack(DUEL_INFER_ARGS) {
  if (!duel_need_real(g, n)) return false;
  const int64_t *offset = n->attr.pack.offset, count = n->attr.pack.count;
  for (int i = 0; i < n->n_in; i++) {
    int64_t size = duel_shape_count(duel_in_shape(g, n, i));
    if (offset[i] < 0 || size > count || offset[i] > count - size)
      return duel_graph_refuse(g, "pack: input %d (%s) at %" PRId64 " leaves a slab of %" PRId64, i,
                               duel_shape_text(duel_in_shape(g, n, i)), offset[i], count);
    for (int k = 0; k < i; k++) {
      int64_t other = duel_shape_count(duel_in_shape(g, n, k));
      if (offset[i] < offset[k] + other && offset[k] < offset[i] + size)
        return duel_graph_refuse(g, "pack: inputs %d and %d overlap (at %" PRId64 " and %" PRId64 ")", k, i, offset[k],
                                 offset[i]);
    }
  }
  return duel_set_out(g, n, 0, g->real, DUEL_SHAPE(count));
}

static void vjp_pack(DUEL_VJP_ARGS) {
  for (int i = 0; i < n->n_in; i++)
    if (need[i]) d_in[i] = duel_view(g, d_out[0], n->attr.pack.offset[i], duel_in_shape(g, n, i));
}

DUEL_RECORD(pack, .infer = infer_pack, .vjp = vjp_pack);

duel_val duel_pack(duel_graph *g, int n, const duel_val *src, const int64_t *offset, int64_t count) {
  duel_attr attr = duel_attr_zero();
  attr.pack.offset = offset;
  attr.pack.count = count;
  return duel_apply(g, DUEL_OP_PACK, n, src, &attr, NULL);
}

// ---- transpose
static bool infer_transpose(DUEL_INFER_ARGS) {
  duel_shape src = duel_in_shape(g, n, 0), dst = {.rank = src.rank};
  unsigned seen = 0;
  if (!duel_need_real(g, n)) return false;
  for (int i = 0; i < src.rank; i++) {
    int axis = n->attr.transpose.perm[i];
    if (axis < 0 || axis >= src.rank || (seen >> axis & 1))
      return duel_graph_refuse(g, "transpose of %s: axis %d stands in the permutation twice or does not exist",
                               duel_shape_text(src), axis);
    seen |= 1u << axis;
    dst.dim[i] = src.dim[axis];
  }
  return duel_set_out(g, n, 0, g->real, dst);
}

static void vjp_transpose(DUEL_VJP_ARGS) {
  int inverse[DUEL_MAX_RANK] = {0};
  for (int i = 0; i < duel_in_shape(g, n, 0).rank; i++) inverse[n->attr.transpose.perm[i]] = i;
  d_in[0] = duel_transpose(g, d_out[0], inverse);
}

DUEL_RECORD(transpose, .infer = infer_transpose, .vjp = vjp_transpose);

duel_val duel_transpose(duel_graph *g, duel_val src, const int *perm) {
  duel_attr attr = duel_attr_zero();
  for (int i = 0; i < duel_val_shape(g, src).rank; i++) attr.transpose.perm[i] = perm[i];
  return duel_apply(g, DUEL_OP_TRANSPOSE, 1, &src, &attr, NULL);
}

// ---- slice and pad
// A box of `inner` at `start` must lie within `outer`.
static bool inside(duel_graph *g, const duel_node *n, duel_shape inner, const int64_t *start, duel_shape outer) {
  bool fits = inner.rank == outer.rank;
  for (int i = 0; fits && i < inner.rank; i++)
    fits =
        start[i] >= 0 && inner.dim[i] >= 0 && inner.dim[i] <= outer.dim[i] && start[i] <= outer.dim[i] - inner.dim[i];
  if (fits) return true;
  return duel_graph_refuse(g, "%s: a box of %s at %s does not lie within %s", duel_op_name(n->op),
                           duel_shape_text(inner), duel_shape_text(duel_shape_of(outer.rank, start)),
                           duel_shape_text(outer));
}

static bool infer_slice(DUEL_INFER_ARGS) {
  return duel_need_real(g, n) && inside(g, n, *shape, n->attr.slice.start, duel_in_shape(g, n, 0)) &&
         duel_set_out(g, n, 0, g->real, *shape);
}

static void vjp_slice(DUEL_VJP_ARGS) {
  d_in[0] = duel_pad(g, d_out[0], n->attr.slice.start, duel_in_shape(g, n, 0));
}

static duel_cost cost_slice(const duel_graph *g, const duel_node *n) { // what is cut off is not read
  return (duel_cost){0, 2 * duel_bytes(g, n->out[0])};
}

DUEL_RECORD(slice, .infer = infer_slice, .vjp = vjp_slice, .cost = cost_slice);

duel_val duel_slice(duel_graph *g, duel_val src, const int64_t *start, duel_shape size) {
  duel_attr attr = duel_attr_zero();
  for (int i = 0; i < size.rank; i++) attr.slice.start[i] = start[i];
  return duel_apply(g, DUEL_OP_SLICE, 1, &src, &attr, &size);
}

static bool infer_pad(DUEL_INFER_ARGS) {
  return duel_need_real(g, n) && inside(g, n, duel_in_shape(g, n, 0), n->attr.pad.before, *shape) &&
         duel_set_out(g, n, 0, g->real, *shape);
}

static void vjp_pad(DUEL_VJP_ARGS) {
  d_in[0] = duel_slice(g, d_out[0], n->attr.pad.before, duel_in_shape(g, n, 0));
}

DUEL_RECORD(pad, .infer = infer_pad, .vjp = vjp_pad);

duel_val duel_pad(duel_graph *g, duel_val src, const int64_t *before, duel_shape padded) {
  duel_attr attr = duel_attr_zero();
  for (int i = 0; i < padded.rank; i++) attr.pad.before[i] = before[i];
  return duel_apply(g, DUEL_OP_PAD, 1, &src, &attr, &padded);
}

// ---- reflect2d and its adjoint
static bool infer_reflect(DUEL_INFER_ARGS) {
  static const char *const sides[] = {"above", "left of", "below", "right of"};
  const int64_t *pad = n->attr.reflect.pad;
  const bool adjoint = n->op == DUEL_OP_REFLECT2D_DX;
  const duel_shape in = duel_in_shape(g, n, 0);
  if (!duel_need_real(g, n)) return false;
  if (in.rank != 4)
    return duel_graph_refuse(g, "%s: the image is %s and must be [N, C, H, W]", duel_op_name(n->op),
                             duel_shape_text(in));
  duel_shape x = in, y = in;
  for (int i = 0; i < 4; i++) {
    x.dim[2 + i % 2] -= adjoint ? pad[i] : 0;
    y.dim[2 + i % 2] += adjoint ? 0 : pad[i];
  }
  for (int i = 0; i < 4; i++)
    if (pad[i] < 0 || pad[i] >= x.dim[2 + i % 2])
      return duel_graph_refuse(g,
                               "%s: a pad of %" PRId64 " %s images of %" PRId64 "×%" PRId64
                               " must be 0 or more and smaller than that side",
                               duel_op_name(n->op), pad[i], sides[i], x.dim[2], x.dim[3]);
  return duel_set_out(g, n, 0, g->real, adjoint ? x : y);
}

static duel_val reflect(duel_graph *g, duel_op op, duel_val src, const int64_t pad[4]) {
  duel_attr attr = duel_attr_zero();
  memcpy(attr.reflect.pad, pad, sizeof attr.reflect.pad);
  return duel_apply(g, op, 1, &src, &attr, NULL);
}

static void vjp_reflect(DUEL_VJP_ARGS) {
  const duel_op other = n->op == DUEL_OP_REFLECT2D ? DUEL_OP_REFLECT2D_DX : DUEL_OP_REFLECT2D;
  d_in[0] = reflect(g, other, d_out[0], n->attr.reflect.pad);
}

DUEL_RECORD(reflect2d, .infer = infer_reflect, .vjp = vjp_reflect);
DUEL_RECORD(reflect2d_dx, .infer = infer_reflect, .vjp = vjp_reflect, .flops_in = 1);

duel_val duel_reflect_pad(duel_graph *g, duel_val x, const int64_t pad[4]) {
  return reflect(g, DUEL_OP_REFLECT2D, x, pad);
}

// ---- concat
static bool infer_concat(DUEL_INFER_ARGS) {
  duel_shape dst = duel_in_shape(g, n, 0);
  int axis = n->attr.concat.axis;
  if (!duel_need_real(g, n)) return false;
  if (axis < 0 || axis >= dst.rank)
    return duel_graph_refuse(g, "concat: %s has no axis %d", duel_shape_text(dst), axis);
  for (int i = 1; i < n->n_in; i++) {
    duel_shape src = duel_in_shape(g, n, i), like = src;
    if (src.rank == dst.rank) like.dim[axis] = dst.dim[axis];
    int64_t joined;
    if (!duel_shape_equal(dst, like) || __builtin_add_overflow(dst.dim[axis], src.dim[axis], &joined))
      return duel_graph_refuse(g, "concat along axis %d cannot join %s and %s", axis, duel_shape_text(dst),
                               duel_shape_text(src));
    dst.dim[axis] = joined;
  }
  return duel_set_out(g, n, 0, g->real, dst);
}

static void vjp_concat(DUEL_VJP_ARGS) {
  int64_t start[DUEL_MAX_RANK] = {0};
  for (int i = 0; i < n->n_in; i++) {
    duel_shape src = duel_in_shape(g, n, i);
    if (need[i]) d_in[i] = duel_slice(g, d_out[0], start, src);
    start[n->attr.concat.axis] += src.dim[n->attr.concat.axis];
  }
}

DUEL_RECORD(concat, .infer = infer_concat, .vjp = vjp_concat);

duel_val duel_concat(duel_graph *g, int n, const duel_val *src, int axis) {
  duel_attr attr = duel_attr_zero();
  attr.concat.axis = axis;
  return duel_apply(g, DUEL_OP_CONCAT, n, src, &attr, NULL);
}

// ---- broadcast
static bool infer_broadcast(DUEL_INFER_ARGS) {
  duel_shape src = duel_in_shape(g, n, 0), dst;
  if (!duel_need_real(g, n)) return false;
  if (!duel_shape_broadcast(src, *shape, &dst) || !duel_shape_equal(dst, *shape))
    return duel_graph_refuse(g, "broadcast cannot stretch %s to %s", duel_shape_text(src), duel_shape_text(*shape));
  return duel_set_out(g, n, 0, g->real, dst);
}

static void vjp_broadcast(DUEL_VJP_ARGS) {
  d_in[0] = d_out[0]; // autodiff sums it down
}

DUEL_RECORD(broadcast, .infer = infer_broadcast, .vjp = vjp_broadcast);

duel_val duel_broadcast(duel_graph *g, duel_val src, duel_shape shape) {
  return duel_apply(g, DUEL_OP_BROADCAST, 1, &src, NULL, &shape);
}
