// Softmax cross-entropy on logits [N, K] against labels i32 [N], with label smoothing s (Szegedy et al. 2016, as
// PyTorch's cross_entropy has it), and the count of rows that are right. The target t is
// 1 − s + s/K at the label and s/K elsewhere. With z = x − max(x) a row's loss is
//
//   −Σ t·log softmax(x) = log Σ exp(z) − (1 − s)·z[label] − s/K·Σ z
//
// which never takes the exponential of a positive number. The host sees to it that labels are classes.
// A row whose label is none has a loss and a gradient of NaN, so that it shows, and is no hit.
#include "core/ops/op.h"

// Input 0 is N×K, input 1 N labels.
static bool check_rows(duel_graph *g, const duel_node *n) {
  const duel_shape x = duel_in_shape(g, n, 0), labels = duel_in_shape(g, n, 1);
  if (!duel_need_dtype(g, n, 0, g->real) || !duel_need_dtype(g, n, 1, DUEL_I32)) return false;
  if (x.rank == 2 && labels.rank == 1 && labels.dim[0] == x.dim[0]) return true;
  return duel_graph_refuse(g, "%s: logits are %s and labels %s; they must be N×K and N", duel_op_name(n->op),
                           duel_shape_text(x), duel_shape_text(labels));
}

static bool check_loss(duel_graph *g, const duel_node *n) {
  const double s = n->attr.softmax.smoothing;
  if (!check_rows(g, n)) return false;
  if (s >= 0 && s <= 1) return true;
  return duel_graph_refuse(g, "%s: a label smoothing of %g is not between 0 and 1", duel_op_name(n->op), s);
}

// ---- the decomposition
static duel_val below_largest(duel_graph *g, duel_val x) { // z
  return duel_sub(g, x, duel_reduce_max(g, x, 2));
}

// [N, 1]: 0, NaN where a label is out of range, as rows of a table of zeros are.
static duel_val out_of_range(duel_graph *g, duel_val labels, int64_t classes) {
  const duel_val row = duel_embedding(g, duel_constant(g, DUEL_SHAPE(classes), 0), labels);
  return duel_reshape(g, row, DUEL_SHAPE(duel_val_shape(g, labels).dim[0], 1));
}

// ---- softmax_ce: (x, labels) -> scalar
static bool infer_softmax_ce(DUEL_INFER_ARGS) {
  return check_loss(g, n) && duel_set_out(g, n, 0, g->real, DUEL_SCALAR);
}

static void vjp_softmax_ce(DUEL_VJP_ARGS) {
  d_in[0] = duel_softmax_ce_grad(g, n->in[0], n->in[1], d_out[0], n->attr.softmax.smoothing);
}

static void expand_softmax_ce(duel_graph *g, const duel_node *n, duel_val *out) {
  const int64_t classes = duel_in_shape(g, n, 0).dim[1];
  const double s = n->attr.softmax.smoothing;
  const duel_val z = below_largest(g, n->in[0]), zero = duel_constant(g, DUEL_SCALAR, 0);
  const duel_val at_label = duel_reduce_sum(g, duel_select(g, duel_one_hot(g, n->in[1], classes), z, zero), 2);
  duel_val row = duel_log(g, duel_reduce_sum(g, duel_exp(g, z), 2));
  row = duel_sub(g, row, duel_affine(g, at_label, 1 - s, 0));
  if (s > 0) row = duel_sub(g, row, duel_affine(g, duel_reduce_sum(g, z, 2), s / (double)classes, 0));
  out[0] = duel_mean(g, duel_add(g, row, out_of_range(g, n->in[1], classes)));
}

DUEL_RECORD(softmax_ce, .infer = infer_softmax_ce, .vjp = vjp_softmax_ce, .expand = expand_softmax_ce, .flops_in = 20);

duel_val duel_softmax_ce(duel_graph *g, duel_val logits, duel_val labels, double smoothing) {
  duel_attr attr = duel_attr_zero();
  attr.softmax.smoothing = smoothing;
  return duel_apply(g, DUEL_OP_SOFTMAX_CE, 2, (duel_val[]){logits, labels}, &attr, NULL);
}

// ---- softmax_ce_grad: (x, labels, d_loss) -> [N, K]
static bool infer_softmax_ce_grad(DUEL_INFER_ARGS) {
  return check_loss(g, n) && duel_need_dtype(g, n, 2, g->real) && duel_need_shape(g, n, 2, "d_loss", DUEL_SCALAR) &&
         duel_set_out(g, n, 0, g->real, duel_in_shape(g, n, 0));
}

static void expand_softmax_ce_grad(duel_graph *g, const duel_node *n, duel_val *out) {
  const duel_shape x = duel_in_shape(g, n, 0);
  const double s = n->attr.softmax.smoothing;
  const duel_val e = duel_exp(g, below_largest(g, n->in[0]));
  const duel_val share = duel_div(g, e, duel_reduce_sum(g, e, 2));
  const duel_val target = duel_affine(g, duel_one_hot(g, n->in[1], x.dim[1]), 1 - s, s / (double)x.dim[1]);
  const duel_val off = duel_add(g, duel_sub(g, share, target), out_of_range(g, n->in[1], x.dim[1]));
  out[0] = duel_mul(g, off, duel_affine(g, n->in[2], 1 / (double)x.dim[0], 0));
}

DUEL_RECORD(softmax_ce_grad, .infer = infer_softmax_ce_grad, .vjp = duel_vjp_by_expansion,
            .expand = expand_softmax_ce_grad, .flops_in = 20);

duel_val duel_softmax_ce_grad(duel_graph *g, duel_val logits, duel_val labels, duel_val d_loss, double smoothing) {
  duel_attr attr = duel_attr_zero();
  attr.softmax.smoothing = smoothing;
  return duel_apply(g, DUEL_OP_SOFTMAX_CE_GRAD, 3, (duel_val[]){logits, labels, d_loss}, &attr, NULL);
}

// ---- hits: (x, labels) -> scalar
static bool infer_hits(DUEL_INFER_ARGS) {
  return check_rows(g, n) && duel_set_out(g, n, 0, g->real, DUEL_SCALAR);
}

DUEL_RECORD(hits, .infer = infer_hits, .vjp = duel_no_grad, .flops_in = 1);

duel_val duel_hits(duel_graph *g, duel_val logits, duel_val labels) {
  return duel_apply(g, DUEL_OP_HITS, 2, (duel_val[]){logits, labels}, NULL, NULL);
}
