// Binary cross-entropy on logits, mean(softplus(x) − target·x): the sigmoid is inside, so nothing overflows.
#include <math.h>

#include "core/ops/op.h"

static bool check_target(duel_graph *g, const duel_node *n) {
  if (isfinite(n->attr.bce.target)) return true;
  return duel_graph_refuse(g, "%s: the target %g is not finite", duel_op_name(n->op), n->attr.bce.target);
}

static bool infer_bce_logits(DUEL_INFER_ARGS) {
  return duel_need_real(g, n) && check_target(g, n) && duel_set_out(g, n, 0, g->real, DUEL_SCALAR);
}

static void vjp_bce_logits(DUEL_VJP_ARGS) {
  d_in[0] = duel_bce_logits_grad(g, n->in[0], d_out[0], n->attr.bce.target);
}

static void expand_bce_logits(duel_graph *g, const duel_node *n, duel_val *out) {
  duel_val x = n->in[0];
  out[0] = duel_mean(g, duel_sub(g, duel_softplus(g, x), duel_affine(g, x, n->attr.bce.target, 0)));
}

static bool infer_bce_logits_grad(DUEL_INFER_ARGS) {
  return duel_need_real(g, n) && check_target(g, n) && duel_need_shape(g, n, 1, "d_loss", DUEL_SCALAR) &&
         duel_set_out(g, n, 0, g->real, duel_in_shape(g, n, 0));
}

static void expand_bce_logits_grad(duel_graph *g, const duel_node *n, duel_val *out) {
  duel_val x = n->in[0], share = duel_affine(g, n->in[1], 1 / duel_elements(g, x), 0);
  out[0] = duel_mul(g, duel_affine(g, duel_sigmoid(g, x), 1, -n->attr.bce.target), share);
}

DUEL_RECORD(bce_logits, .infer = infer_bce_logits, .vjp = vjp_bce_logits, .expand = expand_bce_logits, .flops_in = 30);
DUEL_RECORD(bce_logits_grad, .infer = infer_bce_logits_grad, .vjp = duel_vjp_by_expansion,
            .expand = expand_bce_logits_grad, .flops_in = 30);

duel_val duel_bce_logits(duel_graph *g, duel_val logits, double target) {
  duel_attr attr = duel_attr_zero();
  attr.bce.target = target;
  return duel_apply(g, DUEL_OP_BCE_LOGITS, 1, &logits, &attr, NULL);
}

duel_val duel_bce_logits_grad(duel_graph *g, duel_val logits, duel_val d_loss, double target) {
  duel_attr attr = duel_attr_zero();
  attr.bce.target = target;
  return duel_apply(g, DUEL_OP_BCE_LOGITS_GRAD, 2, (duel_val[]){logits, d_loss}, &attr, NULL);
}
