// Products fused with what surrounds them:
//   dense        matmul + bias + activation
//   matmul_grad  matmul + derivative of the activation + column sums: from a layer's gradient to the one below
#include "core/ops/op.h"

static duel_attr product_attr(bool trans_a, bool trans_b, duel_act act, double slope) {
  duel_attr attr = duel_attr_zero();
  attr.matmul.trans_a = trans_a;
  attr.matmul.trans_b = trans_b;
  attr.matmul.act = (int)act;
  attr.matmul.slope = act == DUEL_ACT_LEAKY_RELU ? slope : 0; // equal nodes have equal attributes
  return attr;
}

// Checks inputs 0 and 1, which fused products only take as plain matrices; *dst is [M, N].
static bool product_shape(duel_graph *g, const duel_node *n, duel_shape *dst) {
  int64_t rows, inner, columns;
  if (!duel_need_real(g, n) || !duel_need_activation(g, n, n->attr.matmul.act, n->attr.matmul.slope) ||
      !duel_matmul_sizes(g, n, &rows, &inner, &columns))
    return false;
  duel_shape a = duel_in_shape(g, n, 0), b = duel_in_shape(g, n, 1);
  if (a.rank != 2 || b.rank != 2)
    return duel_graph_refuse(g, "%s cannot multiply %s by %s: batch dimensions are for matmul", duel_op_name(n->op),
                             duel_shape_text(a), duel_shape_text(b));
  *dst = DUEL_SHAPE(rows, columns);
  return true;
}

static duel_cost cost_product(const duel_graph *g, const duel_node *n) {
  double inner = (double)g->value[n->in[0]].shape.dim[n->attr.matmul.trans_a ? 0 : 1];
  return duel_cost_streams(g, n, (2 * inner + 4) * duel_elements(g, n->out[0]));
}

static duel_val product(duel_graph *g, const duel_node *n) {
  return duel_matmul(g, n->in[0], n->in[1], n->attr.matmul.trans_a, n->attr.matmul.trans_b);
}

// ---- dense
static bool infer_dense(DUEL_INFER_ARGS) {
  duel_shape dst;
  if (!product_shape(g, n, &dst)) return false;
  if (n->n_in == 3 && !duel_need_shape(g, n, 2, "the bias", DUEL_SHAPE(dst.dim[1]))) return false;
  return duel_set_out(g, n, 0, g->real, dst);
}

static void vjp_dense(DUEL_VJP_ARGS) {
  duel_val a = n->in[0], b = n->in[1];
  bool ta = n->attr.matmul.trans_a, tb = n->attr.matmul.trans_b;
  duel_val d = duel_activate_grad(g, d_out[0], n->out[0], (duel_act)n->attr.matmul.act, n->attr.matmul.slope);
  if (need[0]) d_in[0] = ta ? duel_matmul(g, b, d, tb, true) : duel_matmul(g, d, b, false, !tb);
  if (need[1]) d_in[1] = tb ? duel_matmul(g, d, a, true, ta) : duel_matmul(g, a, d, !ta, false);
  if (n->n_in == 3 && need[2]) d_in[2] = d; // autodiff sums the columns
}

static void expand_dense(duel_graph *g, const duel_node *n, duel_val *out) {
  duel_val y = product(g, n);
  if (n->n_in == 3) y = duel_add(g, y, n->in[2]);
  out[0] = duel_activate(g, y, (duel_act)n->attr.matmul.act, n->attr.matmul.slope);
}

DUEL_RECORD(dense, .infer = infer_dense, .vjp = vjp_dense, .expand = expand_dense, .cost = cost_product);

duel_val duel_dense(duel_graph *g, duel_val a, duel_val b, duel_val bias, bool trans_a, bool trans_b, duel_act act,
                    double slope) {
  duel_attr attr = product_attr(trans_a, trans_b, act, slope);
  return duel_apply(g, DUEL_OP_DENSE, bias == DUEL_NONE ? 2 : 3, (duel_val[]){a, b, bias}, &attr, NULL);
}

// ---- matmul_grad
static bool infer_matmul_grad(DUEL_INFER_ARGS) {
  duel_shape dst;
  if (!product_shape(g, n, &dst) || !duel_need_shape(g, n, 2, "the activation", dst)) return false;
  duel_set_out(g, n, 0, g->real, dst);
  return duel_set_out(g, n, 1, g->real, DUEL_SHAPE(dst.dim[1]));
}

static void expand_matmul_grad(duel_graph *g, const duel_node *n, duel_val *out) {
  out[0] = duel_activate_grad(g, product(g, n), n->in[2], (duel_act)n->attr.matmul.act, n->attr.matmul.slope);
  out[1] = duel_sum_to(g, out[0], DUEL_SHAPE(duel_val_shape(g, out[0]).dim[1]));
}

DUEL_RECORD(matmul_grad, .infer = infer_matmul_grad, .vjp = duel_vjp_by_expansion, .expand = expand_matmul_grad,
            .cost = cost_product);

void duel_matmul_grad(duel_graph *g, duel_val a, duel_val b, duel_val y, bool trans_a, bool trans_b, duel_act act,
                      double slope, duel_val out[2]) {
  duel_attr attr = product_attr(trans_a, trans_b, act, slope);
  duel_apply_all(g, DUEL_OP_MATMUL_GRAD, 3, (duel_val[]){a, b, y}, &attr, out);
}
