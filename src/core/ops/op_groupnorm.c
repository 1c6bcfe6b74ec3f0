// Group normalization (Wu and He 2018) of x [N, C, ...]:
//   y = (x − mean)/sqrt(var + eps)·scale + shift,  var biased.
// An item's channels are cut into groups of neighbors, and each group, which is contiguous, has a mean and a variance
// of its own. One group is layer normalization (Ba et al. 2016), as many as there are channels instance normalization
// (Ulyanov et al. 2016). scale and shift have the first axes of an item: [C] is a number a channel, [C, ...] one an
// element. To all of this x is [items, groups, runs, length], where a run shares its scale and shift.
#include <math.h>

#include "core/ops/op.h"

static duel_attr norm_attr(int64_t groups, double eps) {
  duel_attr attr = duel_attr_zero();
  attr.groupnorm.groups = groups;
  attr.groupnorm.eps = eps;
  return attr;
}

enum { FLOPS = 10 }; // an element: mean, variance, then the result

// x is input i, scale the one behind it; on success *per_group is the shape of mean and variance.
static bool check_norm(duel_graph *g, const duel_node *n, int i, duel_shape *per_group) {
  const duel_shape x = duel_in_shape(g, n, i), scale = duel_in_shape(g, n, i + 1);
  const int64_t groups = n->attr.groupnorm.groups;
  const char *name = duel_op_name(n->op);
  if (!duel_need_real(g, n)) return false;
  if (x.rank < 2 || groups < 1 || x.dim[1] % groups)
    return duel_graph_refuse(g, "%s cannot cut the channels of %s into %lld groups: it needs N×C×..., C a multiple",
                             name, duel_shape_text(x), (long long)groups);
  bool fits = scale.rank >= 1 && scale.rank < x.rank;
  for (int k = 0; fits && k < scale.rank; k++) fits = scale.dim[k] == x.dim[k + 1];
  if (!fits)
    return duel_graph_refuse(g, "%s: scale is %s and must have the first axes of the items of %s", name,
                             duel_shape_text(scale), duel_shape_text(x));
  if (!(n->attr.groupnorm.eps >= 0 && isfinite(n->attr.groupnorm.eps)))
    return duel_graph_refuse(g, "%s: eps is %g and must be at least 0", name, n->attr.groupnorm.eps);
  *per_group = DUEL_SHAPE(x.dim[0], groups);
  return true;
}

// What decompositions share.
typedef struct layout {
  duel_shape runs;      // x as [items, groups, runs, length]
  duel_shape scale;     // [1, groups, runs, 1]
  duel_shape per_group; // [items, groups, 1, 1]
  double count;         // elements of a group
} layout;

static layout layout_of(duel_shape x, duel_shape scale, int64_t groups) {
  const int64_t items = x.dim[0], runs = duel_shape_count(scale) / groups;
  int64_t length = 1;
  for (int i = scale.rank + 1; i < x.rank; i++) length *= x.dim[i];
  return (layout){DUEL_SHAPE(items, groups, runs, length), DUEL_SHAPE(1, groups, runs, 1),
                  DUEL_SHAPE(items, groups, 1, 1), (double)(runs * length)};
}

enum { RUNS = 4, LENGTH = 8 }; // the axes' bits

static duel_val mean_over(duel_graph *g, duel_val x, layout l) {
  return duel_affine(g, duel_reduce_sum(g, x, RUNS | LENGTH), 1 / l.count, 0);
}

static duel_val deviation(duel_graph *g, duel_val var, double eps) {
  return duel_sqrt(g, duel_affine(g, var, 1, eps));
}

// ---- groupnorm
static bool infer_groupnorm(DUEL_INFER_ARGS) {
  duel_shape per_group;
  if (!check_norm(g, n, 0, &per_group) || !duel_need_shape(g, n, 2, "shift", duel_in_shape(g, n, 1))) return false;
  duel_set_out(g, n, 0, g->real, duel_in_shape(g, n, 0));
  duel_set_out(g, n, 1, g->real, per_group);
  return duel_set_out(g, n, 2, g->real, per_group);
}

// The gradients that arrive at mean and var add (d_mean + 2·(x − mean)·d_var)/count to that of x. Those of scale and
// shift come an item: autodiff sums them.
static void vjp_groupnorm(DUEL_VJP_ARGS) {
  const duel_val x = n->in[0], mean = n->out[1];
  const duel_shape shape = duel_in_shape(g, n, 0);
  const layout l = layout_of(shape, duel_in_shape(g, n, 1), n->attr.groupnorm.groups);
  if (d_out[0] != DUEL_NONE) {
    duel_val d[3];
    duel_groupnorm_grad(g, (duel_val[]){d_out[0], x, n->in[1], mean, n->out[2]}, n->attr.groupnorm.groups,
                        n->attr.groupnorm.eps, d);
    for (int i = 0; i < 3; i++)
      if (need[i]) d_in[i] = d[i];
  }
  duel_val more = DUEL_NONE; // broadcasts to [items, groups, runs, length]
  if (need[0] && d_out[2] != DUEL_NONE) {
    duel_val centered = duel_sub(g, duel_reshape(g, x, l.runs), duel_reshape(g, mean, l.per_group));
    more = duel_affine(g, duel_mul(g, centered, duel_reshape(g, d_out[2], l.per_group)), 2 / l.count, 0);
  }
  if (need[0] && d_out[1] != DUEL_NONE) {
    duel_val d_mean = duel_affine(g, duel_reshape(g, d_out[1], l.per_group), 1 / l.count, 0);
    more = more == DUEL_NONE ? duel_broadcast(g, d_mean, l.runs) : duel_add(g, more, d_mean);
  }
  if (more == DUEL_NONE) return;
  more = duel_reshape(g, more, shape);
  d_in[0] = d_in[0] == DUEL_NONE ? more : duel_add(g, d_in[0], more);
}

static void expand_groupnorm(duel_graph *g, const duel_node *n, duel_val *out) {
  const duel_shape shape = duel_in_shape(g, n, 0), per_group = duel_val_shape(g, n->out[1]);
  const layout l = layout_of(shape, duel_in_shape(g, n, 1), n->attr.groupnorm.groups);
  duel_val x = duel_reshape(g, n->in[0], l.runs);
  duel_val mean = mean_over(g, x, l);
  duel_val centered = duel_sub(g, x, mean);
  duel_val var = mean_over(g, duel_mul(g, centered, centered), l);
  duel_val normal = duel_div(g, centered, deviation(g, var, n->attr.groupnorm.eps));
  duel_val scaled = duel_mul(g, normal, duel_reshape(g, n->in[1], l.scale));
  out[0] = duel_reshape(g, duel_add(g, scaled, duel_reshape(g, n->in[2], l.scale)), shape);
  out[1] = duel_reshape(g, mean, per_group);
  out[2] = duel_reshape(g, var, per_group);
}

DUEL_RECORD(groupnorm, .infer = infer_groupnorm, .vjp = vjp_groupnorm, .expand = expand_groupnorm, .flops_in = FLOPS);

void duel_groupnorm(duel_graph *g, duel_val x, duel_val scale, duel_val shift, int64_t groups, double eps,
                    duel_val out[3]) {
  duel_attr attr = norm_attr(groups, eps);
  duel_apply_all(g, DUEL_OP_GROUPNORM, 3, (duel_val[]){x, scale, shift}, &attr, out);
}

// ---- groupnorm_grad: (d_y, x, scale, mean, var) -> d_x, d_scale and d_shift of each item
static bool infer_groupnorm_grad(DUEL_INFER_ARGS) {
  duel_shape per_group, x = duel_in_shape(g, n, 1), scale = duel_in_shape(g, n, 2);
  if (!check_norm(g, n, 1, &per_group) || !duel_need_shape(g, n, 0, "d_y", x) ||
      !duel_need_shape(g, n, 3, "mean", per_group) || !duel_need_shape(g, n, 4, "var", per_group))
    return false;
  duel_shape each = {.rank = scale.rank + 1, .dim = {x.dim[0]}};
  for (int i = 0; i < scale.rank; i++) each.dim[i + 1] = scale.dim[i];
  duel_set_out(g, n, 0, g->real, x);
  duel_set_out(g, n, 1, g->real, each);
  return duel_set_out(g, n, 2, g->real, each);
}

// With s = sqrt(var + eps), h = (x − mean)/s and sums over a run: d_shift = Σ d_y, d_scale = Σ d_y·h. With sums over
// the runs of a group: d_x = (d_y·scale − (Σ scale·d_shift + h·Σ scale·d_scale)/count)/s.
static void expand_groupnorm_grad(duel_graph *g, const duel_node *n, duel_val *out) {
  const duel_shape shape = duel_in_shape(g, n, 1), each = duel_val_shape(g, n->out[1]);
  const layout l = layout_of(shape, duel_in_shape(g, n, 2), n->attr.groupnorm.groups);
  duel_val d = duel_reshape(g, n->in[0], l.runs), scale = duel_reshape(g, n->in[2], l.scale);
  duel_val s = deviation(g, duel_reshape(g, n->in[4], l.per_group), n->attr.groupnorm.eps);
  duel_val h = duel_div(g, duel_sub(g, duel_reshape(g, n->in[1], l.runs), duel_reshape(g, n->in[3], l.per_group)), s);
  duel_val d_shift = duel_reduce_sum(g, d, LENGTH), d_scale = duel_reduce_sum(g, duel_mul(g, d, h), LENGTH);
  duel_val along_1 = duel_reduce_sum(g, duel_mul(g, scale, d_shift), RUNS);
  duel_val along_h = duel_reduce_sum(g, duel_mul(g, scale, d_scale), RUNS);
  duel_val common = duel_affine(g, duel_add(g, duel_mul(g, h, along_h), along_1), 1 / l.count, 0);
  out[0] = duel_reshape(g, duel_div(g, duel_sub(g, duel_mul(g, d, scale), common), s), shape);
  out[1] = duel_reshape(g, d_scale, each);
  out[2] = duel_reshape(g, d_shift, each);
}

DUEL_RECORD(groupnorm_grad, .infer = infer_groupnorm_grad, .vjp = duel_vjp_by_expansion,
            .expand = expand_groupnorm_grad, .flops_in = FLOPS);

void duel_groupnorm_grad(duel_graph *g, const duel_val in[5], int64_t groups, double eps, duel_val out[3]) {
  duel_attr attr = norm_attr(groups, eps);
  duel_apply_all(g, DUEL_OP_GROUPNORM_GRAD, 5, in, &attr, out);
}
