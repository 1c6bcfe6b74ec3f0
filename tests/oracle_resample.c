// Resampling, filters, mirrored pads and pooling by their definitions, in real numbers: what each pixel of y is made
// of, forward or back.
#include <math.h>

#include "oracle.h"

// Adds or puts back weight·x[row, column] of one pixel of y.
static void tap(bool back, const duel_ref *x, const duel_ref *y, const int64_t *at, int64_t row, int64_t column,
                double weight) {
  double *to = &y->data[duel_ref_place(y->shape, at)];
  double *from = &x->data[duel_ref_place(x->shape, (int64_t[]){at[0], at[1], row, column})];
  if (back)
    *from += weight * *to;
  else
    *to += weight * *from;
}

// Where y[i] lies in x, whose length is n, as two neighbors and the second one's share.
static double neighbors(int64_t i, int64_t x, int64_t y, int64_t near[2]) {
  double place = ((double)i + 0.5) * (double)x / (double)y - 0.5;
  if (place < 0) place = 0;
  near[0] = (int64_t)place;
  near[1] = near[0] + 1 < x ? near[0] + 1 : near[0];
  return place - (double)near[0];
}

static duel_shape pooled_shape(duel_shape x, const duel_window *w) {
  for (int i = 0; i < 2; i++)
    x.dim[2 + i] = (x.dim[2 + i] + w->pad[i] + w->pad[2 + i] - w->kernel[i]) / w->stride[i] + 1;
  return x;
}

static duel_shape filtered_shape(duel_shape x, const duel_fir *f) {
  for (int i = 0; i < 2; i++)
    x.dim[2 + i] = (x.dim[2 + i] * f->up[i] + f->pad[i] + f->pad[2 + i] - f->taps) / f->down[i] + 1;
  return x;
}

// One pixel of y, from the image with its zeros between and around.
static void filter(bool back, const duel_ref *x, const duel_ref *y, const int64_t *at, const duel_fir *f) {
  const int64_t *nx = x->shape.dim;
  for (int64_t i = 0; i < f->taps; i++)
    for (int64_t k = 0; k < f->taps; k++) {
      const int64_t row = at[2] * f->down[0] + i - f->pad[0], column = at[3] * f->down[1] + k - f->pad[1];
      const bool inside = row >= 0 && row < nx[2] * f->up[0] && column >= 0 && column < nx[3] * f->up[1];
      if (inside && row % f->up[0] == 0 && column % f->up[1] == 0)
        tap(back, x, y, at, row / f->up[0], column / f->up[1], f->gain * f->tap[i] * f->tap[k]);
    }
}

duel_ref duel_ref_resample(duel_op op, const duel_resampling *r, duel_ref in, duel_shape shape) {
  const bool back = op == DUEL_OP_RESAMPLE2D_DX;
  const duel_window *w = &r->window;
  if (!back) {
    shape = in.shape;
    for (int i = 0; i < 2; i++) shape.dim[2 + i] = r->size[i];
    if (r->mode == DUEL_AVERAGE) shape = pooled_shape(in.shape, w);
    if (r->mode == DUEL_FIR) shape = filtered_shape(in.shape, &r->fir);
  }
  duel_ref out = duel_ref_new(in.dtype, shape), x = back ? out : in, y = back ? in : out;
  const int64_t *nx = x.shape.dim, *ny = y.shape.dim;
  int64_t at[DUEL_MAX_RANK] = {0};
  do {
    if (r->mode == DUEL_NEAREST) {
      tap(back, &x, &y, at, at[2] * nx[2] / ny[2], at[3] * nx[3] / ny[3], 1);
    } else if (r->mode == DUEL_BILINEAR) {
      int64_t row[2], column[2];
      const double down = neighbors(at[2], nx[2], ny[2], row), right = neighbors(at[3], nx[3], ny[3], column);
      for (int i = 0; i < 4; i++)
        tap(back, &x, &y, at, row[i / 2], column[i % 2], (i / 2 ? down : 1 - down) * (i % 2 ? right : 1 - right));
    } else if (r->mode == DUEL_FIR) {
      filter(back, &x, &y, at, &r->fir);
    } else {
      for (int64_t i = 0; i < w->kernel[0]; i++)
        for (int64_t k = 0; k < w->kernel[1]; k++) {
          const int64_t row = at[2] * w->stride[0] + i - w->pad[0], column = at[3] * w->stride[1] + k - w->pad[1];
          if (row >= 0 && row < nx[2] && column >= 0 && column < nx[3])
            tap(back, &x, &y, at, row, column, 1 / ((double)w->kernel[0] * (double)w->kernel[1]));
        }
    }
  } while (duel_ref_step(y.shape, at));
  return out;
}

// Away from an edge as far as i lies beyond it.
static int64_t mirrored(int64_t i, int64_t n) {
  if (i < 0) return -i;
  const int64_t beyond = i - (n - 1);
  return beyond > 0 ? n - 1 - beyond : i;
}

duel_ref duel_ref_reflect(duel_op op, const int64_t pad[4], duel_ref in) {
  const bool back = op == DUEL_OP_REFLECT2D_DX;
  duel_shape shape = in.shape;
  for (int i = 0; i < 4; i++) shape.dim[2 + i % 2] += back ? -pad[i] : pad[i];
  duel_ref out = duel_ref_new(in.dtype, shape), x = back ? out : in, y = back ? in : out;
  int64_t at[DUEL_MAX_RANK] = {0};
  do tap(back, &x, &y, at, mirrored(at[2] - pad[0], x.shape.dim[2]), mirrored(at[3] - pad[1], x.shape.dim[3]), 1);
  while (duel_ref_step(y.shape, at));
  return out;
}

duel_ref duel_ref_maxpool(duel_op op, const duel_window *w, const duel_ref *in) {
  const bool back = op == DUEL_OP_MAXPOOL2D_DX;
  const duel_ref x = in[0];
  duel_ref out = duel_ref_new(x.dtype, back ? x.shape : pooled_shape(x.shape, w));
  const duel_shape y = back ? in[1].shape : out.shape;
  int64_t at[DUEL_MAX_RANK] = {0}, window = 0;
  do {
    int64_t chosen = -1;
    for (int64_t i = 0; i < w->kernel[0]; i++)
      for (int64_t k = 0; k < w->kernel[1]; k++) {
        const int64_t row = at[2] * w->stride[0] + i - w->pad[0], column = at[3] * w->stride[1] + k - w->pad[1];
        if (row < 0 || row >= x.shape.dim[2] || column < 0 || column >= x.shape.dim[3]) continue;
        const int64_t place = duel_ref_place(x.shape, (int64_t[]){at[0], at[1], row, column});
        const bool first = chosen < 0;
        if (first || x.data[place] > x.data[chosen] || (isnan(x.data[place]) && !isnan(x.data[chosen]))) chosen = place;
      }
    if (back)
      out.data[chosen] += in[1].data[window++];
    else
      out.data[window++] = in[1].data[chosen];
  } while (duel_ref_step(y, at));
  return out;
}
