// Batch normalization of x [N, C, ...] over all axes but 1, with the activation that follows:
//   y = act((x − mean)/sqrt(var + eps)·scale + shift),  var biased.
#include <math.h>

#include "core/ops/op.h"

static duel_attr norm_attr(double eps, duel_act act, double slope) {
  duel_attr attr = duel_attr_zero();
  attr.batchnorm.act = (int)act;
  attr.batchnorm.eps = eps;
  attr.batchnorm.slope = act == DUEL_ACT_LEAKY_RELU ? slope : 0; // equal nodes have equal attributes
  return attr;
}

enum { FLOPS = 10 }; // an element: mean, variance, then the result

// x is input i; on success *channel is [C].
static bool check_norm(duel_graph *g, const duel_node *n, int i, duel_shape *channel) {
  duel_shape x = duel_in_shape(g, n, i);
  if (!duel_need_real(g, n) || !duel_need_activation(g, n, n->attr.batchnorm.act, n->attr.batchnorm.slope))
    return false;
  if (x.rank < 2)
    return duel_graph_refuse(g, "%s cannot normalize %s: it needs N×C×...", duel_op_name(n->op), duel_shape_text(x));
  if (!(n->attr.batchnorm.eps >= 0 && isfinite(n->attr.batchnorm.eps)))
    return duel_graph_refuse(g, "%s: eps is %g and must be at least 0", duel_op_name(n->op), n->attr.batchnorm.eps);
  *channel = DUEL_SHAPE(x.dim[1]);
  return true;
}

// What decompositions share: x [N, C, ...], the axes summed over, [1, C, 1...] and the elements of a channel.
typedef struct layout {
  uint32_t axes;
  duel_shape keep, channel;
  double count;
} layout;

static layout layout_of(duel_shape x) {
  layout l = {((1u << x.rank) - 1) & ~2u, {.rank = x.rank}, DUEL_SHAPE(x.dim[1]), 0};
  for (int i = 0; i < x.rank; i++) l.keep.dim[i] = i == 1 ? x.dim[1] : 1;
  l.count = (double)(duel_shape_count(x) / x.dim[1]);
  return l;
}

static duel_val mean_over(duel_graph *g, duel_val x, layout l) {
  return duel_affine(g, duel_reduce_sum(g, x, l.axes), 1 / l.count, 0);
}

static duel_val deviation(duel_graph *g, duel_val var, double eps) {
  return duel_sqrt(g, duel_affine(g, var, 1, eps));
}

// ---- batchnorm
static bool infer_batchnorm(DUEL_INFER_ARGS) {
  duel_shape channel;
  if (!check_norm(g, n, 0, &channel) || !duel_need_shape(g, n, 1, "scale", channel) ||
      !duel_need_shape(g, n, 2, "shift", channel))
    return false;
  duel_set_out(g, n, 0, g->real, duel_in_shape(g, n, 0));
  duel_set_out(g, n, 1, g->real, channel);
  return duel_set_out(g, n, 2, g->real, channel);
}

// The gradients that arrive at mean and var add (d_mean + 2·(x − mean)·d_var)/count to that of x.
static void vjp_batchnorm(DUEL_VJP_ARGS) {
  duel_val x = n->in[0], mean = n->out[1];
  layout l = layout_of(duel_in_shape(g, n, 0));
  if (d_out[0] != DUEL_NONE) {
    duel_val d[3];
    duel_batchnorm_grad(g, (duel_val[]){d_out[0], x, n->in[1], mean, n->out[2], n->out[0]}, n->attr.batchnorm.eps,
                        (duel_act)n->attr.batchnorm.act, n->attr.batchnorm.slope, d);
    for (int i = 0; i < 3; i++)
      if (need[i]) d_in[i] = d[i];
  }
  duel_val more = DUEL_NONE; // broadcasts to x
  if (need[0] && d_out[2] != DUEL_NONE) {
    duel_val centered = duel_sub(g, x, duel_reshape(g, mean, l.keep));
    more = duel_affine(g, duel_mul(g, centered, duel_reshape(g, d_out[2], l.keep)), 2 / l.count, 0);
  }
  if (need[0] && d_out[1] != DUEL_NONE) {
    duel_val d_mean = duel_affine(g, duel_reshape(g, d_out[1], l.keep), 1 / l.count, 0);
    more = more == DUEL_NONE ? duel_broadcast(g, d_mean, duel_in_shape(g, n, 0)) : duel_add(g, more, d_mean);
  }
  if (more != DUEL_NONE) d_in[0] = d_in[0] == DUEL_NONE ? more : duel_add(g, d_in[0], more);
}

static void expand_batchnorm(duel_graph *g, const duel_node *n, duel_val *out) {
  layout l = layout_of(duel_in_shape(g, n, 0));
  duel_val mean = mean_over(g, n->in[0], l);
  duel_val centered = duel_sub(g, n->in[0], mean);
  duel_val var = mean_over(g, duel_mul(g, centered, centered), l);
  duel_val normal = duel_div(g, centered, deviation(g, var, n->attr.batchnorm.eps));
  duel_val scaled = duel_mul(g, normal, duel_reshape(g, n->in[1], l.keep));
  duel_val y = duel_add(g, scaled, duel_reshape(g, n->in[2], l.keep));
  out[0] = duel_activate(g, y, (duel_act)n->attr.batchnorm.act, n->attr.batchnorm.slope);
  out[1] = duel_reshape(g, mean, l.channel);
  out[2] = duel_reshape(g, var, l.channel);
}

DUEL_RECORD(batchnorm, .infer = infer_batchnorm, .vjp = vjp_batchnorm, .expand = expand_batchnorm, .flops_in = FLOPS);

void duel_batchnorm(duel_graph *g, duel_val x, duel_val scale, duel_val shift, double eps, duel_act act, double slope,
                    duel_val out[3]) {
  duel_attr attr = norm_attr(eps, act, slope);
  duel_apply_all(g, DUEL_OP_BATCHNORM, 3, (duel_val[]){x, scale, shift}, &attr, out);
}

// ---- batchnorm_grad: (d_y, x, scale, mean, var, y) -> d_x, d_scale, d_shift
static bool infer_batchnorm_grad(DUEL_INFER_ARGS) {
  duel_shape channel, x = duel_in_shape(g, n, 1);
  if (!check_norm(g, n, 1, &channel) || !duel_need_shape(g, n, 0, "d_y", x) ||
      !duel_need_shape(g, n, 2, "scale", channel) || !duel_need_shape(g, n, 3, "mean", channel) ||
      !duel_need_shape(g, n, 4, "var", channel) || !duel_need_shape(g, n, 5, "y", x))
    return false;
  duel_set_out(g, n, 0, g->real, x);
  duel_set_out(g, n, 1, g->real, channel);
  return duel_set_out(g, n, 2, g->real, channel);
}

// With d = d_y·act'(y), s = sqrt(var + eps), h = (x − mean)/s:
// d_shift = Σ d,  d_scale = Σ d·h,  d_x = scale/s·(d − (d_shift + h·d_scale)/count).
static void expand_batchnorm_grad(duel_graph *g, const duel_node *n, duel_val *out) {
  layout l = layout_of(duel_in_shape(g, n, 1));
  duel_val d = duel_activate_grad(g, n->in[0], n->in[5], (duel_act)n->attr.batchnorm.act, n->attr.batchnorm.slope);
  duel_val s = deviation(g, duel_reshape(g, n->in[4], l.keep), n->attr.batchnorm.eps);
  duel_val h = duel_div(g, duel_sub(g, n->in[1], duel_reshape(g, n->in[3], l.keep)), s);
  duel_val d_shift = duel_reduce_sum(g, d, l.axes), d_scale = duel_reduce_sum(g, duel_mul(g, d, h), l.axes);
  duel_val common = duel_affine(g, duel_add(g, duel_mul(g, h, d_scale), d_shift), 1 / l.count, 0);
  duel_val factor = duel_div(g, duel_reshape(g, n->in[2], l.keep), s);
  out[0] = duel_mul(g, duel_sub(g, d, common), factor);
  out[1] = duel_reshape(g, d_scale, l.channel);
  out[2] = duel_reshape(g, d_shift, l.channel);
}

DUEL_RECORD(batchnorm_grad, .infer = infer_batchnorm_grad, .vjp = duel_vjp_by_expansion,
            .expand = expand_batchnorm_grad, .flops_in = FLOPS);

void duel_batchnorm_grad(duel_graph *g, const duel_val in[6], double eps, duel_act act, double slope, duel_val out[3]) {
  duel_attr attr = norm_attr(eps, act, slope);
  duel_apply_all(g, DUEL_OP_BATCHNORM_GRAD, 6, in, &attr, out);
}
