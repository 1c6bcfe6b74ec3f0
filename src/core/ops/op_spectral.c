// Spectral normalization (Miyato et al. 2018, arXiv:1802.05957): a weight by its largest singular value σ, which power
// iteration estimates. The weight is the matrix W [rows, rest] whose rows are its elements on `axis`, 0 or 1; rest are
// its other axes in their order.
//   advance   v = norm(Wᵀu), u = norm(W·v); else u and v as they are
//   always    σ = uᵀ·W·v,  y = W/σ                  norm(x) = x/max(‖x‖, 1e-12)
// u and v are constants to gradients, as in the paper: d_w = (d_y − Σ(d_y·y)·u·vᵀ)/σ.
#include "core/ops/op.h"

static const double tiny = 1e-12; // the least norm that is divided by

static duel_attr spectral_attr(int axis, bool advance) {
  duel_attr attr = duel_attr_zero();
  attr.spectral.axis = axis;
  attr.spectral.advance = advance;
  return attr;
}

// w is input i; on success *u is [rows] and *v [rest].
static bool check_matrix(duel_graph *g, const duel_node *n, int i, duel_shape *u, duel_shape *v) {
  const duel_shape w = duel_in_shape(g, n, i);
  const int axis = n->attr.spectral.axis;
  if (!duel_need_real(g, n)) return false;
  if (w.rank < 2 || axis < 0 || axis > 1)
    return duel_graph_refuse(g, "%s cannot read %s with rows on axis %d as a matrix", duel_op_name(n->op),
                             duel_shape_text(w), axis);
  *u = DUEL_SHAPE(w.dim[axis]);
  *v = DUEL_SHAPE(w.dim[axis] ? duel_shape_count(w) / w.dim[axis] : 0);
  return true;
}

// u·vᵀ in the weight's shape.
static duel_val outer(duel_graph *g, duel_val u, duel_val v, duel_shape w, int axis) {
  duel_shape rows = {.rank = w.rank}, rest = w;
  for (int i = 0; i < w.rank; i++) rows.dim[i] = i == axis ? w.dim[i] : 1;
  rest.dim[axis] = 1;
  return duel_mul(g, duel_reshape(g, u, rows), duel_reshape(g, v, rest));
}

// ---- spectral: (w, u, v) -> y, u, v, σ
static bool infer_spectral(DUEL_INFER_ARGS) {
  duel_shape u, v;
  return check_matrix(g, n, 0, &u, &v) && duel_need_shape(g, n, 1, "u", u) && duel_need_shape(g, n, 2, "v", v) &&
         duel_set_out(g, n, 0, g->real, duel_in_shape(g, n, 0)) && duel_set_out(g, n, 1, g->real, u) &&
         duel_set_out(g, n, 2, g->real, v) && duel_set_out(g, n, 3, g->real, DUEL_SCALAR);
}

static void vjp_spectral(DUEL_VJP_ARGS) {
  const int axis = n->attr.spectral.axis;
  if (!need[0]) return;
  if (d_out[0] != DUEL_NONE)
    d_in[0] = duel_spectral_grad(g, (duel_val[]){d_out[0], n->out[0], n->out[1], n->out[2], n->out[3]}, axis);
  if (d_out[3] == DUEL_NONE) return;
  const duel_val more = duel_mul(g, d_out[3], outer(g, n->out[1], n->out[2], duel_in_shape(g, n, 0), axis));
  d_in[0] = d_in[0] == DUEL_NONE ? more : duel_add(g, d_in[0], more);
}

static duel_val normalized(duel_graph *g, duel_val x) {
  const duel_val norm = duel_sqrt(g, duel_sum(g, duel_mul(g, x, x))), least = duel_constant(g, DUEL_SCALAR, tiny);
  return duel_div(g, x, duel_select(g, duel_less_equal(g, norm, least), least, norm));
}

static void expand_spectral(duel_graph *g, const duel_node *n, duel_val *out) {
  const duel_shape w = duel_in_shape(g, n, 0), u_shape = duel_in_shape(g, n, 1), v_shape = duel_in_shape(g, n, 2);
  const int64_t rows = u_shape.dim[0], rest = v_shape.dim[0];
  int perm[DUEL_MAX_RANK];
  for (int i = 0; i < w.rank; i++) perm[i] = i;
  perm[0] = n->attr.spectral.axis;
  perm[n->attr.spectral.axis] = 0;
  const duel_val m = duel_reshape(g, duel_transpose(g, n->in[0], perm), DUEL_SHAPE(rows, rest));
  duel_val u = duel_reshape(g, n->in[1], DUEL_SHAPE(rows, 1)), v = duel_reshape(g, n->in[2], DUEL_SHAPE(rest, 1));
  if (n->attr.spectral.advance) v = normalized(g, duel_matmul(g, m, u, true, false));
  const duel_val image = duel_matmul(g, m, v, false, false);
  if (n->attr.spectral.advance) u = normalized(g, image);
  out[3] = duel_sum(g, duel_mul(g, u, image));
  out[0] = duel_div(g, n->in[0], out[3]);
  out[1] = duel_reshape(g, u, u_shape);
  out[2] = duel_reshape(g, v, v_shape);
}

static duel_cost cost_spectral(const duel_graph *g, const duel_node *n) { // w is read for v, for u and for y
  duel_cost c = duel_cost_streams(g, n, (n->attr.spectral.advance ? 5 : 3) * duel_elements(g, n->in[0]));
  c.bytes += (n->attr.spectral.advance ? 2 : 1) * duel_bytes(g, n->in[0]);
  return c;
}

DUEL_RECORD(spectral, .infer = infer_spectral, .vjp = vjp_spectral, .expand = expand_spectral, .cost = cost_spectral);

void duel_spectral(duel_graph *g, duel_val w, duel_val u, duel_val v, int axis, bool advance, duel_val out[4]) {
  const duel_attr attr = spectral_attr(axis, advance);
  duel_apply_all(g, DUEL_OP_SPECTRAL, 3, (duel_val[]){w, u, v}, &attr, out);
}

// ---- spectral_grad: (d_y, y, u, v, σ) -> d_w
static bool infer_spectral_grad(DUEL_INFER_ARGS) {
  duel_shape u, v;
  return check_matrix(g, n, 1, &u, &v) && duel_need_shape(g, n, 0, "d_y", duel_in_shape(g, n, 1)) &&
         duel_need_shape(g, n, 2, "u", u) && duel_need_shape(g, n, 3, "v", v) &&
         duel_need_shape(g, n, 4, "sigma", DUEL_SCALAR) && duel_set_out(g, n, 0, g->real, duel_in_shape(g, n, 1));
}

static void expand_spectral_grad(duel_graph *g, const duel_node *n, duel_val *out) {
  const duel_val d_y = n->in[0], along = duel_sum(g, duel_mul(g, d_y, n->in[1]));
  const duel_val direction = outer(g, n->in[2], n->in[3], duel_in_shape(g, n, 1), n->attr.spectral.axis);
  out[0] = duel_div(g, duel_sub(g, d_y, duel_mul(g, along, direction)), n->in[4]);
}

static duel_cost cost_spectral_grad(const duel_graph *g, const duel_node *n) { // d_y is read twice
  duel_cost c = duel_cost_streams(g, n, 5 * duel_elements(g, n->in[0]));
  c.bytes += duel_bytes(g, n->in[0]);
  return c;
}

DUEL_RECORD(spectral_grad, .infer = infer_spectral_grad, .vjp = duel_vjp_by_expansion, .expand = expand_spectral_grad,
            .cost = cost_spectral_grad);

duel_val duel_spectral_grad(duel_graph *g, const duel_val in[5], int axis) {
  const duel_attr attr = spectral_attr(axis, false);
  return duel_apply(g, DUEL_OP_SPECTRAL_GRAD, 5, in, &attr, NULL);
}
