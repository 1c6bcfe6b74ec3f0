// Maxima of windows. maxpool2d(x, v) takes v where x has its windows' maxima, so that max pooling is maxpool2d(x, x);
// maxpool2d_dx(x, d_y) puts d_y there and adds up. Both are linear in their second argument and each is the other's
// gradient; x only chooses, and gets none. Of equal maxima the first one counts, rows before columns; a NaN is larger
// than any number. Padding is never a maximum.
#include "core/ops/op.h"

static duel_val apply(duel_graph *g, duel_op op, duel_val x, duel_val v, const duel_window *w) {
  duel_attr attr = duel_attr_zero();
  attr.window = *w;
  return duel_apply(g, op, 2, (duel_val[]){x, v}, &attr, NULL);
}

static duel_cost cost_of(const duel_graph *g, const duel_node *n) {
  const duel_val y = n->op == DUEL_OP_MAXPOOL2D ? n->out[0] : n->in[1];
  const duel_window *w = &n->attr.window;
  return duel_cost_streams(g, n, (double)w->kernel[0] * (double)w->kernel[1] * duel_elements(g, y));
}

static bool infer(DUEL_INFER_ARGS) {
  const bool adjoint = n->op == DUEL_OP_MAXPOOL2D_DX;
  const duel_shape x = duel_in_shape(g, n, 0);
  duel_shape y = {0};
  return duel_pooled(g, n, &n->attr.window, x, &y) &&
         duel_need_shape(g, n, 1, adjoint ? "the gradient" : "what is taken", adjoint ? y : x) &&
         duel_set_out(g, n, 0, g->real, adjoint ? x : y);
}

static void vjp(DUEL_VJP_ARGS) {
  if (need[1])
    d_in[1] = apply(g, n->op == DUEL_OP_MAXPOOL2D ? DUEL_OP_MAXPOOL2D_DX : DUEL_OP_MAXPOOL2D, n->in[0], d_out[0],
                    &n->attr.window);
}

DUEL_RECORD(maxpool2d, .infer = infer, .vjp = vjp, .cost = cost_of);
DUEL_RECORD(maxpool2d_dx, .infer = infer, .vjp = vjp, .cost = cost_of);

duel_val duel_maxpool2d(duel_graph *g, duel_val x, duel_val v, const duel_window *w) {
  return apply(g, DUEL_OP_MAXPOOL2D, x, v, w);
}

duel_val duel_maxpool2d_dx(duel_graph *g, duel_val x, duel_val d_y, const duel_window *w) {
  return apply(g, DUEL_OP_MAXPOOL2D_DX, x, d_y, w);
}
