// Convolutions (cross-correlations, as the literature of neural networks has them) over images [N, C, H, W] with
// strides, dilations, four pads of zeros and groups of channels. conv2d_dx is what is also called a transposed
// convolution. Extents that do not follow from the inputs (a stride forgets them) are given.
//
// Each is linear in both inputs: the derivatives of Y = conv2d(X, W) are the other two, with d_Y in the place of Y. So
// the three are closed under differentiation.
#include <inttypes.h>

#include "core/ops/conv.h"
#include "core/ops/op.h"

static bool good_attributes(duel_graph *g, const duel_node *n) {
  const duel_conv *c = &n->attr.conv;
  for (int i = 0; i < 2; i++)
    if (!duel_need_range(g, n, "stride", c->stride[i], 1, INT32_MAX) ||
        !duel_need_range(g, n, "dilation", c->dilation[i], 1, INT32_MAX))
      return false;
  for (int i = 0; i < 4; i++)
    if (!duel_need_range(g, n, "pad", c->pad[i], 0, INT32_MAX)) return false;
  return duel_need_range(g, n, "groups", c->groups, 1, INT32_MAX);
}

static bool is_images(duel_graph *g, const duel_node *n, const char *what, const char *axes, duel_shape s) {
  bool ok = s.rank == 4;
  for (int i = 0; ok && i < 4; i++) ok = s.dim[i] >= 1 && s.dim[i] <= INT32_MAX;
  if (!ok) duel_graph_error(g, "%s: %s is %s and must be [%s]", duel_op_name(n->op), what, duel_shape_text(s), axes);
  return ok;
}

// The result of conv2d(x, w), or false with the error recorded.
static bool result_of(duel_graph *g, const duel_node *n, duel_shape x, duel_shape w, duel_shape *y) {
  const duel_conv *c = &n->attr.conv;
  const char *name = duel_op_name(n->op);
  if (!duel_need_real(g, n) || !good_attributes(g, n)) return false;
  if (!is_images(g, n, "the image", "N, C, H, W", x) || !is_images(g, n, "the weight", "K, C/groups, R, S", w))
    return false;
  if (w.dim[0] % c->groups)
    return duel_graph_refuse(
        g, "%s: %" PRId64 " groups cannot share the %" PRId64 " outputs of weights %s for images %s evenly", name,
        c->groups, w.dim[0], duel_shape_text(w), duel_shape_text(x));
  if (w.dim[1] * c->groups != x.dim[1])
    return duel_graph_refuse(
        g, "%s: images %s have %" PRId64 " channels, but weights %s in %" PRId64 " group%s read %" PRId64, name,
        duel_shape_text(x), x.dim[1], duel_shape_text(w), c->groups, c->groups == 1 ? "" : "s", w.dim[1] * c->groups);
  y->rank = 4;
  y->dim[0] = x.dim[0];
  y->dim[1] = w.dim[0];
  for (int i = 0; i < 2; i++) {
    const int64_t padded = x.dim[2 + i] + c->pad[i] + c->pad[2 + i], span = c->dilation[i] * (w.dim[2 + i] - 1) + 1;
    if (span > padded)
      return duel_graph_refuse(g,
                               "%s: a kernel of %s covers %" PRId64 " %s with its dilation, but images %s have %" PRId64
                               " with their padding; make the kernel smaller or pad more",
                               name, duel_shape_text(w), span, i ? "columns" : "rows", duel_shape_text(x), padded);
    y->dim[2 + i] = (padded - span) / c->stride[i] + 1;
  }
  return true;
}

// A given tensor y must be what x and w make.
static bool fits(duel_graph *g, const duel_node *n, duel_shape x, duel_shape w, duel_shape y) {
  duel_shape made = {0};
  if (!result_of(g, n, x, w, &made)) return false;
  if (duel_shape_equal(made, y)) return true;
  return duel_graph_refuse(g, "%s: images %s and weights %s make %s, not the %s that are given", duel_op_name(n->op),
                           duel_shape_text(x), duel_shape_text(w), duel_shape_text(made), duel_shape_text(y));
}

// Products in y, and what is done to each number of the result.
static duel_cost cost_conv(const duel_graph *g, const duel_node *n) {
  const bool dx = duel_is_conv2d_dx(n->op), dw = n->op == DUEL_OP_CONV2D_DW, fused = duel_op_records[n->op]->expand;
  const duel_val y = dx ? n->in[0] : dw ? n->in[1] : n->out[0], w = dw ? n->out[0] : n->in[1];
  const double products = duel_elements(g, y) * duel_elements(g, w) / (double)g->value[w].shape.dim[0];
  return duel_cost_streams(g, n, 2 * products + (fused ? 4 : 0) * duel_elements(g, n->out[0]));
}

static duel_val apply(duel_graph *g, duel_op op, duel_val a, duel_val b, const duel_conv *c, const duel_shape *shape) {
  duel_attr attr = duel_attr_zero();
  attr.conv = *c;
  return duel_apply(g, op, 2, (duel_val[]){a, b}, &attr, shape);
}

// ---- conv2d
static bool infer_conv2d(DUEL_INFER_ARGS) {
  duel_shape y = {0};
  return result_of(g, n, duel_in_shape(g, n, 0), duel_in_shape(g, n, 1), &y) && duel_set_out(g, n, 0, g->real, y);
}

static void vjp_conv2d(DUEL_VJP_ARGS) {
  const duel_conv *c = &n->attr.conv;
  if (need[0]) d_in[0] = duel_conv2d_dx(g, d_out[0], n->in[1], c, duel_in_shape(g, n, 0));
  if (need[1]) d_in[1] = duel_conv2d_dw(g, n->in[0], d_out[0], c, duel_in_shape(g, n, 1));
}

DUEL_RECORD(conv2d, .infer = infer_conv2d, .vjp = vjp_conv2d, .cost = cost_conv);

duel_val duel_conv2d(duel_graph *g, duel_val x, duel_val w, const duel_conv *c) {
  return apply(g, DUEL_OP_CONV2D, x, w, c, NULL);
}

// ---- conv2d_dx: (d_y, w) -> d_x
static bool infer_conv2d_dx(DUEL_INFER_ARGS) {
  return fits(g, n, *shape, duel_in_shape(g, n, 1), duel_in_shape(g, n, 0)) && duel_set_out(g, n, 0, g->real, *shape);
}

static void vjp_conv2d_dx(DUEL_VJP_ARGS) {
  const duel_conv *c = &n->attr.conv;
  if (need[0]) d_in[0] = duel_conv2d(g, d_out[0], n->in[1], c);
  if (need[1]) d_in[1] = duel_conv2d_dw(g, d_out[0], n->in[0], c, duel_in_shape(g, n, 1));
}

DUEL_RECORD(conv2d_dx, .infer = infer_conv2d_dx, .vjp = vjp_conv2d_dx, .cost = cost_conv);

duel_val duel_conv2d_dx(duel_graph *g, duel_val d_y, duel_val w, const duel_conv *c, duel_shape x) {
  return apply(g, DUEL_OP_CONV2D_DX, d_y, w, c, &x);
}

// ---- conv2d_dw: (x, d_y) -> d_w
static bool infer_conv2d_dw(DUEL_INFER_ARGS) {
  return fits(g, n, duel_in_shape(g, n, 0), *shape, duel_in_shape(g, n, 1)) && duel_set_out(g, n, 0, g->real, *shape);
}

static void vjp_conv2d_dw(DUEL_VJP_ARGS) {
  const duel_conv *c = &n->attr.conv;
  if (need[0]) d_in[0] = duel_conv2d_dx(g, n->in[1], d_out[0], c, duel_in_shape(g, n, 0));
  if (need[1]) d_in[1] = duel_conv2d(g, n->in[0], d_out[0], c);
}

DUEL_RECORD(conv2d_dw, .infer = infer_conv2d_dw, .vjp = vjp_conv2d_dw, .cost = cost_conv);

duel_val duel_conv2d_dw(duel_graph *g, duel_val x, duel_val d_y, const duel_conv *c, duel_shape w) {
  return apply(g, DUEL_OP_CONV2D_DW, x, d_y, c, &w);
}

// ---- fused with a bias a channel and an activation
static duel_attr act_attr(const duel_conv *c, duel_act act, double slope) {
  duel_attr attr = duel_attr_zero();
  attr.conv_act.conv = *c;
  attr.conv_act.act = (int)act;
  attr.conv_act.slope = act == DUEL_ACT_LEAKY_RELU ? slope : 0; // equal nodes have equal attributes
  return attr;
}

static bool good_epilogue(duel_graph *g, const duel_node *n, int64_t channels) {
  return duel_need_activation(g, n, n->attr.conv_act.act, n->attr.conv_act.slope) &&
         (n->n_in == 2 || duel_need_shape(g, n, 2, "the bias", DUEL_SHAPE(channels)));
}

static void expand_act(duel_graph *g, const duel_node *n, duel_val made, duel_val *out) {
  if (n->n_in == 3)
    made = duel_add(g, made, duel_reshape(g, n->in[2], DUEL_SHAPE(duel_in_shape(g, n, 2).dim[0], 1, 1)));
  out[0] = duel_activate(g, made, (duel_act)n->attr.conv_act.act, n->attr.conv_act.slope);
}

static bool infer_conv2d_act(DUEL_INFER_ARGS) {
  duel_shape y = {0};
  return result_of(g, n, duel_in_shape(g, n, 0), duel_in_shape(g, n, 1), &y) && good_epilogue(g, n, y.dim[1]) &&
         duel_set_out(g, n, 0, g->real, y);
}

static void expand_conv2d_act(duel_graph *g, const duel_node *n, duel_val *out) {
  expand_act(g, n, duel_conv2d(g, n->in[0], n->in[1], &n->attr.conv), out);
}

DUEL_RECORD(conv2d_act, .infer = infer_conv2d_act, .vjp = duel_vjp_by_expansion, .expand = expand_conv2d_act,
            .cost = cost_conv);

duel_val duel_conv2d_act(duel_graph *g, duel_val x, duel_val w, duel_val bias, const duel_conv *c, duel_act act,
                         double slope) {
  const duel_attr attr = act_attr(c, act, slope);
  return duel_apply(g, DUEL_OP_CONV2D_ACT, bias == DUEL_NONE ? 2 : 3, (duel_val[]){x, w, bias}, &attr, NULL);
}

static bool infer_conv2d_dx_act(DUEL_INFER_ARGS) {
  return fits(g, n, *shape, duel_in_shape(g, n, 1), duel_in_shape(g, n, 0)) && good_epilogue(g, n, shape->dim[1]) &&
         duel_set_out(g, n, 0, g->real, *shape);
}

static void expand_conv2d_dx_act(duel_graph *g, const duel_node *n, duel_val *out) {
  expand_act(g, n, duel_conv2d_dx(g, n->in[0], n->in[1], &n->attr.conv, g->value[n->out[0]].shape), out);
}

DUEL_RECORD(conv2d_dx_act, .infer = infer_conv2d_dx_act, .vjp = duel_vjp_by_expansion, .expand = expand_conv2d_dx_act,
            .cost = cost_conv);

duel_val duel_conv2d_dx_act(duel_graph *g, duel_val d_y, duel_val w, duel_val bias, const duel_conv *c, duel_shape x,
                            duel_act act, double slope) {
  const duel_attr attr = act_attr(c, act, slope);
  return duel_apply(g, DUEL_OP_CONV2D_DX_ACT, bias == DUEL_NONE ? 2 : 3, (duel_val[]){d_y, w, bias}, &attr, &x);
}

// ---- conv2d_dx, and on through the activation whose output x is
static bool infer_conv2d_dx_grad(DUEL_INFER_ARGS) {
  const duel_shape x = duel_in_shape(g, n, 2);
  return fits(g, n, x, duel_in_shape(g, n, 1), duel_in_shape(g, n, 0)) &&
         duel_need_activation(g, n, n->attr.conv_act.act, n->attr.conv_act.slope) && duel_set_out(g, n, 0, g->real, x);
}

static void expand_conv2d_dx_grad(duel_graph *g, const duel_node *n, duel_val *out) {
  const duel_val d_x = duel_conv2d_dx(g, n->in[0], n->in[1], &n->attr.conv, duel_in_shape(g, n, 2));
  out[0] = duel_activate_grad(g, d_x, n->in[2], (duel_act)n->attr.conv_act.act, n->attr.conv_act.slope);
}

DUEL_RECORD(conv2d_dx_grad, .infer = infer_conv2d_dx_grad, .vjp = duel_vjp_by_expansion,
            .expand = expand_conv2d_dx_grad, .cost = cost_conv);

duel_val duel_conv2d_dx_grad(duel_graph *g, duel_val d_y, duel_val w, duel_val x, const duel_conv *c, duel_act act,
                             double slope) {
  const duel_attr attr = act_attr(c, act, slope);
  return duel_apply(g, DUEL_OP_CONV2D_DX_GRAD, 3, (duel_val[]){d_y, w, x}, &attr, NULL);
}
