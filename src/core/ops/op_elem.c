// Element-wise ops. Binary ones broadcast; their gradients carry the broadcast shape, and autodiff sums them down.
// Gradients of activations, exp and sqrt read the output.
#include <math.h>

#include "core/ops/op.h"

enum { POLYNOMIAL = 20 }; // FLOPs of one, roughly; a multiply-add is 2

static bool infer_broadcasting(DUEL_INFER_ARGS) {
  if (!duel_need_real(g, n)) return false;
  duel_shape dst = duel_in_shape(g, n, 0);
  for (int i = 1; i < n->n_in; i++) {
    duel_shape src = duel_in_shape(g, n, i), joined;
    if (!duel_shape_broadcast(dst, src, &joined))
      return duel_graph_refuse(g, "%s cannot broadcast %s with %s", duel_op_name(n->op), duel_shape_text(dst),
                               duel_shape_text(src));
    dst = joined;
  }
  return duel_set_out(g, n, 0, g->real, dst);
}

// An op without attributes: how it is called, and its record.
#define UNARY(op, ENUM, ...)                                                                                           \
  duel_val duel_##op(duel_graph *g, duel_val x) {                                                                      \
    return duel_apply(g, DUEL_OP_##ENUM, 1, &x, NULL, NULL);                                                           \
  }                                                                                                                    \
  DUEL_RECORD(op, __VA_ARGS__)
#define BINARY(op, ENUM, ...)                                                                                          \
  duel_val duel_##op(duel_graph *g, duel_val a, duel_val b) {                                                          \
    return duel_apply(g, DUEL_OP_##ENUM, 2, (duel_val[]){a, b}, NULL, NULL);                                           \
  }                                                                                                                    \
  DUEL_RECORD(op, __VA_ARGS__)
#define EACH .infer = infer_broadcasting, .flags = DUEL_FLAG_INPLACE
#define COMMUTATIVE .infer = infer_broadcasting, .flags = DUEL_FLAG_INPLACE | DUEL_FLAG_COMMUTATIVE

// ---- arithmetic
static void vjp_add(DUEL_VJP_ARGS) {
  if (need[0]) d_in[0] = d_out[0];
  if (need[1]) d_in[1] = d_out[0];
}

static void vjp_sub(DUEL_VJP_ARGS) {
  if (need[0]) d_in[0] = d_out[0];
  if (need[1]) d_in[1] = duel_affine(g, d_out[0], -1, 0);
}

static void vjp_mul(DUEL_VJP_ARGS) {
  if (need[0]) d_in[0] = duel_mul(g, d_out[0], n->in[1]);
  if (need[1]) d_in[1] = duel_mul(g, d_out[0], n->in[0]);
}

static void vjp_div(DUEL_VJP_ARGS) { // y = a/b: d/b and −y·d/b
  duel_val quotient = duel_div(g, d_out[0], n->in[1]);
  if (need[0]) d_in[0] = quotient;
  if (need[1]) d_in[1] = duel_affine(g, duel_mul(g, quotient, n->out[0]), -1, 0);
}

static void vjp_select(DUEL_VJP_ARGS) {
  duel_val zero = duel_constant(g, DUEL_SCALAR, 0);
  if (need[1]) d_in[1] = duel_select(g, n->in[0], d_out[0], zero);
  if (need[2]) d_in[2] = duel_select(g, n->in[0], zero, d_out[0]);
}

static bool infer_affine(DUEL_INFER_ARGS) {
  if (!isfinite(n->attr.affine.mul) || !isfinite(n->attr.affine.add))
    return duel_graph_refuse(g, "affine: the factor %g or the summand %g is not finite", n->attr.affine.mul,
                             n->attr.affine.add);
  return infer_broadcasting(g, n, shape);
}

static void vjp_affine(DUEL_VJP_ARGS) {
  d_in[0] = duel_affine(g, d_out[0], n->attr.affine.mul, 0);
}

duel_val duel_affine(duel_graph *g, duel_val x, double mul, double add) {
  duel_attr attr = duel_attr_zero();
  attr.affine.mul = mul;
  attr.affine.add = add;
  return duel_apply(g, DUEL_OP_AFFINE, 1, &x, &attr, NULL);
}

BINARY(add, ADD, COMMUTATIVE, .vjp = vjp_add, .flops_out = 1);
BINARY(sub, SUB, EACH, .vjp = vjp_sub, .flops_out = 1);
BINARY(mul, MUL, COMMUTATIVE, .vjp = vjp_mul, .flops_out = 1);
BINARY(div, DIV, EACH, .vjp = vjp_div, .flops_out = 1);
BINARY(less_equal, LESS_EQUAL, EACH, .vjp = duel_no_grad, .flops_out = 1); // piecewise constant
DUEL_RECORD(select, EACH, .vjp = vjp_select, .flops_out = 1);
duel_val duel_select(duel_graph *g, duel_val cond, duel_val a, duel_val b) {
  return duel_apply(g, DUEL_OP_SELECT, 3, (duel_val[]){cond, a, b}, NULL, NULL);
}
DUEL_RECORD(affine, .infer = infer_affine, .vjp = vjp_affine, .flops_out = 2, .flags = DUEL_FLAG_INPLACE);

// ---- functions
static void vjp_exp(DUEL_VJP_ARGS) {
  d_in[0] = duel_mul(g, d_out[0], n->out[0]);
}

static void vjp_log(DUEL_VJP_ARGS) {
  d_in[0] = duel_div(g, d_out[0], n->in[0]);
}

static void vjp_sqrt(DUEL_VJP_ARGS) {
  d_in[0] = duel_affine(g, duel_div(g, d_out[0], n->out[0]), 0.5, 0);
}

static void vjp_tanh(DUEL_VJP_ARGS) {
  d_in[0] = duel_tanh_grad(g, d_out[0], n->out[0]);
}

static void vjp_sigmoid(DUEL_VJP_ARGS) {
  d_in[0] = duel_sigmoid_grad(g, d_out[0], n->out[0]);
}

static void vjp_softplus(DUEL_VJP_ARGS) {
  d_in[0] = duel_mul(g, d_out[0], duel_sigmoid(g, n->in[0]));
}

static void vjp_erf(DUEL_VJP_ARGS) { // 2/sqrt(π)·exp(−x²)
  duel_val bell = duel_exp(g, duel_affine(g, duel_mul(g, n->in[0], n->in[0]), -1, 0));
  d_in[0] = duel_affine(g, duel_mul(g, d_out[0], bell), 2 / sqrt(3.14159265358979323846), 0);
}

UNARY(exp, EXP, EACH, .vjp = vjp_exp, .flops_out = POLYNOMIAL);
UNARY(log, LOG, EACH, .vjp = vjp_log, .flops_out = POLYNOMIAL);
UNARY(sqrt, SQRT, EACH, .vjp = vjp_sqrt, .flops_out = 1);
UNARY(tanh, TANH, EACH, .vjp = vjp_tanh, .flops_out = POLYNOMIAL);
UNARY(sigmoid, SIGMOID, EACH, .vjp = vjp_sigmoid, .flops_out = POLYNOMIAL);
UNARY(softplus, SOFTPLUS, EACH, .vjp = vjp_softplus, .flops_out = POLYNOMIAL);
UNARY(erf, ERF, EACH, .vjp = vjp_erf, .flops_out = POLYNOMIAL);

// ---- gradients of activations, as functions of (d_dst, dst)
static void vjp_tanh_grad(DUEL_VJP_ARGS) { // h = e·(1 − y²): ∂e = d·(1 − y²), ∂y = −2·d·e·y
  if (need[0]) d_in[0] = duel_tanh_grad(g, d_out[0], n->in[1]);
  if (need[1]) d_in[1] = duel_affine(g, duel_mul(g, duel_mul(g, d_out[0], n->in[0]), n->in[1]), -2, 0);
}

static void vjp_sigmoid_grad(DUEL_VJP_ARGS) { // h = e·y·(1 − y): ∂e = d·y·(1 − y), ∂y = d·e·(1 − 2·y)
  if (need[0]) d_in[0] = duel_sigmoid_grad(g, d_out[0], n->in[1]);
  if (need[1]) d_in[1] = duel_mul(g, duel_mul(g, d_out[0], n->in[0]), duel_affine(g, n->in[1], -2, 1));
}

BINARY(tanh_grad, TANH_GRAD, EACH, .vjp = vjp_tanh_grad, .flops_out = 3);
BINARY(sigmoid_grad, SIGMOID_GRAD, EACH, .vjp = vjp_sigmoid_grad, .flops_out = 3);

// ---- leaky_relu: a slope ≥ 0 keeps the sign, so that the output tells the side
bool duel_need_activation(duel_graph *g, const duel_node *n, int act, double slope) {
  if (act < DUEL_ACT_NONE || act > DUEL_ACT_SIGMOID)
    duel_graph_error(g, "%s: there is no activation %d", duel_op_name(n->op), act);
  else if (act == DUEL_ACT_LEAKY_RELU && !(slope >= 0 && isfinite(slope)))
    duel_graph_error(g, "%s: the slope of leaky_relu is %g and must be at least 0", duel_op_name(n->op), slope);
  return g->status == DUEL_OK;
}

static bool infer_leaky(DUEL_INFER_ARGS) {
  return duel_need_activation(g, n, DUEL_ACT_LEAKY_RELU, n->attr.leaky.slope) && infer_broadcasting(g, n, shape);
}

static void vjp_leaky_relu(DUEL_VJP_ARGS) {
  d_in[0] = duel_leaky_relu_grad(g, d_out[0], n->out[0], n->attr.leaky.slope);
}

static void vjp_leaky_relu_grad(DUEL_VJP_ARGS) { // linear in d_dst, piecewise constant in dst
  if (need[0]) d_in[0] = duel_leaky_relu_grad(g, d_out[0], n->in[1], n->attr.leaky.slope);
}

#define LEAKY .infer = infer_leaky, .flops_out = 2, .flags = DUEL_FLAG_INPLACE
DUEL_RECORD(leaky_relu, LEAKY, .vjp = vjp_leaky_relu);
DUEL_RECORD(leaky_relu_grad, LEAKY, .vjp = vjp_leaky_relu_grad);

static duel_val leaky(duel_graph *g, duel_op op, int n_in, const duel_val *in, double slope) {
  duel_attr attr = duel_attr_zero();
  attr.leaky.slope = slope;
  return duel_apply(g, op, n_in, in, &attr, NULL);
}

duel_val duel_leaky_relu(duel_graph *g, duel_val x, double slope) {
  return leaky(g, DUEL_OP_LEAKY_RELU, 1, &x, slope);
}

duel_val duel_leaky_relu_grad(duel_graph *g, duel_val d_dst, duel_val dst, double slope) {
  return leaky(g, DUEL_OP_LEAKY_RELU_GRAD, 2, (duel_val[]){d_dst, dst}, slope);
}

// ---- activations by name
duel_val duel_activate(duel_graph *g, duel_val x, duel_act act, double slope) {
  switch (act) {
  case DUEL_ACT_LEAKY_RELU:
    return duel_leaky_relu(g, x, slope);
  case DUEL_ACT_TANH:
    return duel_tanh(g, x);
  case DUEL_ACT_SIGMOID:
    return duel_sigmoid(g, x);
  case DUEL_ACT_NONE:
    break;
  }
  return x;
}

duel_val duel_activate_grad(duel_graph *g, duel_val d_dst, duel_val dst, duel_act act, double slope) {
  switch (act) {
  case DUEL_ACT_LEAKY_RELU:
    return duel_leaky_relu_grad(g, d_dst, dst, slope);
  case DUEL_ACT_TANH:
    return duel_tanh_grad(g, d_dst, dst);
  case DUEL_ACT_SIGMOID:
    return duel_sigmoid_grad(g, d_dst, dst);
  case DUEL_ACT_NONE:
    break;
  }
  return d_dst;
}
