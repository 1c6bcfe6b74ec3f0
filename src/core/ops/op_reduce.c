// Reductions over any set of axes, which stay with size 1; and what is composed of them.
#include "core/ops/op.h"

static bool infer_reduce(DUEL_INFER_ARGS) {
  duel_shape dst = duel_in_shape(g, n, 0);
  if (!duel_need_real(g, n)) return false;
  if (n->attr.reduce.axes >> dst.rank)
    return duel_graph_refuse(g, "%s: %s has no axes 0x%x", duel_op_name(n->op), duel_shape_text(dst),
                             n->attr.reduce.axes);
  for (int i = 0; i < dst.rank; i++)
    if (n->attr.reduce.axes >> i & 1) dst.dim[i] = 1;
  return duel_set_out(g, n, 0, g->real, dst);
}

static void vjp_reduce_sum(DUEL_VJP_ARGS) {
  d_in[0] = duel_broadcast(g, d_out[0], duel_in_shape(g, n, 0));
}

// The elements equal to the maximum share its gradient equally.
static void vjp_reduce_max(DUEL_VJP_ARGS) {
  duel_val is_max = duel_less_equal(g, n->out[0], n->in[0]);
  duel_val share = duel_div(g, d_out[0], duel_reduce_sum(g, is_max, n->attr.reduce.axes));
  d_in[0] = duel_mul(g, is_max, share);
}

DUEL_RECORD(reduce_sum, .infer = infer_reduce, .vjp = vjp_reduce_sum, .flops_in = 1);
DUEL_RECORD(reduce_max, .infer = infer_reduce, .vjp = vjp_reduce_max, .flops_in = 1);

static duel_val reduce(duel_graph *g, duel_op op, duel_val x, uint32_t axes) {
  duel_attr attr = duel_attr_zero();
  attr.reduce.axes = axes;
  return duel_apply(g, op, 1, &x, &attr, NULL);
}

duel_val duel_reduce_sum(duel_graph *g, duel_val x, uint32_t axes) {
  return reduce(g, DUEL_OP_REDUCE_SUM, x, axes);
}
duel_val duel_reduce_max(duel_graph *g, duel_val x, uint32_t axes) {
  return reduce(g, DUEL_OP_REDUCE_MAX, x, axes);
}

duel_val duel_sum_to(duel_graph *g, duel_val x, duel_shape shape) {
  duel_shape from = duel_val_shape(g, x), back;
  if (x == DUEL_NONE || duel_shape_equal(from, shape)) return x;
  if (!duel_shape_broadcast(shape, from, &back) || !duel_shape_equal(back, from))
    return duel_graph_error(g, "sum_to: %s is not %s broadcast", duel_shape_text(from), duel_shape_text(shape));
  uint32_t axes = 0;
  int extra = from.rank - shape.rank;
  for (int i = 0; i < from.rank; i++)
    if (from.dim[i] > 1 && (i < extra || shape.dim[i - extra] == 1)) axes |= 1u << i;
  if (axes) x = duel_reduce_sum(g, x, axes);
  return extra ? duel_reshape(g, x, shape) : x;
}

duel_val duel_sum(duel_graph *g, duel_val x) {
  return duel_sum_to(g, x, DUEL_SCALAR);
}

duel_val duel_mean(duel_graph *g, duel_val x) {
  return duel_affine(g, duel_sum(g, x), 1.0 / (double)duel_shape_count(duel_val_shape(g, x)), 0);
}
