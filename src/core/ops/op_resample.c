// Images made larger, smaller, or pooled to means: resample2d is linear, resample2d_dx its adjoint, and so each is the
// other's gradient. core/ops/resample.h says what is computed. As PyTorch's interpolate without align_corners, as its
// avg_pool2d with count_include_pad (zeros of the padding count in the mean), and as StyleGAN2's upfirdn2d.
#include <inttypes.h>

#include "core/ops/op.h"

bool duel_need_images(duel_graph *g, const duel_node *n, duel_shape s) {
  bool ok = s.rank == 4;
  for (int i = 0; ok && i < 4; i++) ok = s.dim[i] >= 1 && (i < 2 || s.dim[i] <= DUEL_MOST_SIDE);
  if (!ok)
    duel_graph_error(g, "%s: the image is %s and must be [N, C, H, W] with sides of at most %d", duel_op_name(n->op),
                     duel_shape_text(s), DUEL_MOST_SIDE);
  return ok;
}

bool duel_pooled(duel_graph *g, const duel_node *n, const duel_window *w, duel_shape x, duel_shape *y) {
  static const char *const sides[] = {"above", "left of", "below", "right of"};
  if (!duel_need_real(g, n) || !duel_need_images(g, n, x)) return false;
  *y = x;
  for (int i = 0; i < 4; i++) {
    if (!duel_need_range(g, n, "kernel", w->kernel[i % 2], 1, DUEL_MOST_SIDE) ||
        !duel_need_range(g, n, "stride", w->stride[i % 2], 1, DUEL_MOST_SIDE) ||
        !duel_need_range(g, n, "pad", w->pad[i], 0, DUEL_MOST_SIDE))
      return false;
    if (w->pad[i] < w->kernel[i % 2]) continue;
    return duel_graph_refuse(g,
                             "%s: a pad of %" PRId64 " %s images %s leaves a window of %" PRId64 "×%" PRId64
                             " without a pixel; a pad must be smaller than the kernel",
                             duel_op_name(n->op), w->pad[i], sides[i], duel_shape_text(x), w->kernel[0], w->kernel[1]);
  }
  for (int i = 0; i < 2; i++) {
    const int64_t padded = x.dim[2 + i] + w->pad[i] + w->pad[2 + i];
    if (w->kernel[i] > padded)
      return duel_graph_refuse(g,
                               "%s: a window of %" PRId64 "×%" PRId64 " covers %" PRId64
                               " %s, but images %s have %" PRId64
                               " with their padding; make the kernel smaller or pad more",
                               duel_op_name(n->op), w->kernel[0], w->kernel[1], w->kernel[i], i ? "columns" : "rows",
                               duel_shape_text(x), padded);
    y->dim[2 + i] = (padded - w->kernel[i]) / w->stride[i] + 1;
  }
  return true;
}

static bool filtered(duel_graph *g, const duel_node *n, const duel_fir *f, duel_shape x, duel_shape *y) {
  if (!duel_need_real(g, n) || !duel_need_images(g, n, x) || !duel_need_range(g, n, "taps", f->taps, 1, DUEL_FIR_TAPS))
    return false;
  *y = x;
  for (int i = 0; i < 4; i++)
    if (!duel_need_range(g, n, "up", f->up[i % 2], 1, DUEL_FIR_RATE) ||
        !duel_need_range(g, n, "down", f->down[i % 2], 1, DUEL_FIR_RATE) ||
        !duel_need_range(g, n, "pad", f->pad[i], 0, DUEL_MOST_SIDE))
      return false;
  for (int i = 0; i < 2; i++) {
    const int64_t padded = x.dim[2 + i] * f->up[i] + f->pad[i] + f->pad[2 + i];
    y->dim[2 + i] = padded < f->taps ? 0 : (padded - f->taps) / f->down[i] + 1;
    if (!duel_need_range(g, n, i ? "the width" : "the height", y->dim[2 + i], 1, DUEL_MOST_SIDE)) return false;
  }
  return true;
}

// What resample2d makes of x, or false with the error recorded.
static bool result_of(duel_graph *g, const duel_node *n, duel_shape x, duel_shape *y) {
  const duel_resampling *r = &n->attr.resample;
  if (r->mode == DUEL_AVERAGE) return duel_pooled(g, n, &r->window, x, y);
  if (r->mode == DUEL_FIR) return filtered(g, n, &r->fir, x, y);
  if (!duel_need_real(g, n) || !duel_need_images(g, n, x)) return false;
  *y = x;
  for (int i = 0; i < 2; i++) {
    if (!duel_need_range(g, n, i ? "the width" : "the height", r->size[i], 1, DUEL_MOST_SIDE)) return false;
    y->dim[2 + i] = r->size[i];
  }
  return true;
}

static duel_val apply(duel_graph *g, duel_op op, duel_val src, const duel_resampling *r, const duel_shape *shape) {
  duel_attr attr = duel_attr_zero();
  attr.resample.mode = r->mode;
  if (r->mode == DUEL_AVERAGE)
    attr.resample.window = r->window;
  else if (r->mode == DUEL_FIR)
    attr.resample.fir = r->fir;
  else
    memcpy(attr.resample.size, r->size, sizeof r->size);
  return duel_apply(g, op, 1, &src, &attr, shape);
}

// Rows before columns.
static duel_cost cost_of(const duel_graph *g, const duel_node *n) {
  const duel_val y = n->op == DUEL_OP_RESAMPLE2D ? n->out[0] : n->in[0];
  const duel_resampling *r = &n->attr.resample;
  const duel_fir *f = &r->fir;
  const double taps = r->mode == DUEL_AVERAGE    ? (double)r->window.kernel[0] * (double)r->window.kernel[1]
                      : r->mode == DUEL_BILINEAR ? 8
                      : r->mode == DUEL_FIR      ? 2.0 * (double)(f->taps * f->taps) / (double)(f->up[0] * f->up[1])
                                                 : 0;
  return duel_cost_streams(g, n, taps * duel_elements(g, y));
}

// ---- resample2d
static bool infer_resample2d(DUEL_INFER_ARGS) {
  duel_shape y = {0};
  return result_of(g, n, duel_in_shape(g, n, 0), &y) && duel_set_out(g, n, 0, g->real, y);
}

static void vjp_resample2d(DUEL_VJP_ARGS) {
  d_in[0] = duel_resample2d_dx(g, d_out[0], &n->attr.resample, duel_in_shape(g, n, 0));
}

DUEL_RECORD(resample2d, .infer = infer_resample2d, .vjp = vjp_resample2d, .cost = cost_of);

duel_val duel_resample2d(duel_graph *g, duel_val x, const duel_resampling *r) {
  return apply(g, DUEL_OP_RESAMPLE2D, x, r, NULL);
}

// ---- resample2d_dx: d_y -> d_x
static bool infer_resample2d_dx(DUEL_INFER_ARGS) {
  duel_shape y = {0}, d_y = duel_in_shape(g, n, 0);
  if (!result_of(g, n, *shape, &y)) return false;
  if (duel_shape_equal(y, d_y)) return duel_set_out(g, n, 0, g->real, *shape);
  return duel_graph_refuse(g, "%s: images %s become %s, not the %s that are given", duel_op_name(n->op),
                           duel_shape_text(*shape), duel_shape_text(y), duel_shape_text(d_y));
}

static void vjp_resample2d_dx(DUEL_VJP_ARGS) {
  d_in[0] = duel_resample2d(g, d_out[0], &n->attr.resample);
}

DUEL_RECORD(resample2d_dx, .infer = infer_resample2d_dx, .vjp = vjp_resample2d_dx, .cost = cost_of);

duel_val duel_resample2d_dx(duel_graph *g, duel_val d_y, const duel_resampling *r, duel_shape x) {
  return apply(g, DUEL_OP_RESAMPLE2D_DX, d_y, r, &x);
}
