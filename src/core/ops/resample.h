// Which pixels a resampled or pooled image is made of, one axis at a time, for kernels of any backend. The weight of
// a pixel is the product of those of its row and its column. On both axes the pixels that make one, forward and
// adjoint, lie side by side; their weights are whole numbers, to be divided by a common one, but for FIR's taps.
//
//   nearest   y[i] = x[⌊i·X/Y⌋]                                          (X, Y: the axis' lengths in x and y)
//   bilinear  y[i] = x at (i + ½)·X/Y − ½, between its two neighbors; beyond the outermost pixels, those
//   average   y[i] = the mean of x[i·stride − pad + 0 … kernel − 1], where what lies outside x counts as 0
//   FIR       y[i] = Σ tap[t]·u[i·down + t − pad], u[h·up] = x[h] and 0 elsewhere: the sum over the h in x for which
//             t = h·up + pad − i·down is a tap. kernel is the number of taps, stride is down
//
// Invariant: lengths, kernels, strides and pads are at most DUEL_MOST_SIDE, up and FIR's stride at most DUEL_FIR_RATE,
// so that 32 bits hold every product here.
#ifndef DUEL_CORE_OPS_RESAMPLE_H
#define DUEL_CORE_OPS_RESAMPLE_H

#include "base/hd.h"
#include "core/backend.h"

typedef struct duel_resample_axis {
  int mode; // a duel_sampling; windows of maxpool2d are those of average
  int32_t x, y, kernel, stride, pad, up;
} duel_resample_axis;

typedef struct duel_reach { // [begin, end), empty if end <= begin
  int32_t begin, end;
} duel_reach;

// Axis i (0 down, 1 right) of images x that become y.
static inline duel_resample_axis duel_axis_of(int mode, const duel_window *w, const duel_shape *x, const duel_shape *y,
                                              int i) {
  duel_resample_axis a;
  a.mode = mode;
  a.x = (int32_t)x->dim[2 + i];
  a.y = (int32_t)y->dim[2 + i];
  a.kernel = (int32_t)w->kernel[i];
  a.stride = (int32_t)w->stride[i];
  a.pad = (int32_t)w->pad[i];
  a.up = 1;
  return a;
}
// The same of a resampling, which may be a filter.
static inline duel_resample_axis duel_axis_resampled(const duel_resampling *r, const duel_shape *x, const duel_shape *y,
                                                     int i) {
  duel_resample_axis a = duel_axis_of(r->mode, &r->window, x, y, i);
  if (r->mode != DUEL_FIR) return a;
  a.kernel = (int32_t)r->fir.taps;
  a.stride = (int32_t)r->fir.down[i];
  a.pad = (int32_t)r->fir.pad[i];
  a.up = (int32_t)r->fir.up[i];
  return a;
}

DUEL_HD int32_t duel_ratio(int32_t a, int32_t b) { // of numbers that are not negative: half a signed one's cost
  return (int32_t)((uint32_t)a / (uint32_t)b);
}
DUEL_HD int32_t duel_clip(int32_t i, int32_t n) { // into 0 … n
  return i < 0 ? 0 : i < n ? i : n;
}
// Twice Y times the place of y[i] in x, of bilinear: whole numbers.
DUEL_HD int32_t duel_axis_place(const duel_resample_axis *a, int32_t i) {
  const int32_t place = (2 * i + 1) * a->x - a->y;
  return place > 0 ? place : 0;
}

// The pixels of x that make y[i].
DUEL_HD duel_reach duel_axis_taps(const duel_resample_axis *a, int32_t i) {
  duel_reach t;
  if (a->mode == DUEL_AVERAGE) {
    const int32_t first = i * a->stride - a->pad;
    t.begin = duel_clip(first, a->x);
    t.end = duel_clip(first + a->kernel, a->x);
  } else if (a->mode == DUEL_BILINEAR) {
    t.begin = duel_ratio(duel_axis_place(a, i), 2 * a->y);
    t.end = duel_clip(t.begin + 2, a->x);
  } else {
    t.begin = duel_ratio(i * a->x, a->y);
    t.end = t.begin + 1;
  }
  return t;
}

// The first i for which y[i]'s first pixel is x[h] or a later one.
DUEL_HD int32_t duel_axis_first(const duel_resample_axis *a, int32_t h) {
  if (h <= 0) return 0;
  const int32_t scaled = a->mode == DUEL_BILINEAR ? (2 * h + 1) * a->y - a->x : h * a->y;
  const int32_t unit = a->mode == DUEL_BILINEAR ? 2 * a->x : a->x;
  return scaled <= 0 ? 0 : duel_clip(duel_ratio(scaled - 1, unit) + 1, a->y);
}

// The pixels of y that x[h] takes part in.
DUEL_HD duel_reach duel_axis_adjoint_taps(const duel_resample_axis *a, int32_t h) {
  duel_reach t;
  if (a->mode == DUEL_AVERAGE) {
    const int32_t last = h + a->pad, before = last - a->kernel; // of windows by where they begin, within the padding
    t.begin = before < 0 ? 0 : duel_ratio(before, a->stride) + 1;
    t.end = duel_clip(duel_ratio(last, a->stride) + 1, a->y);
  } else {
    t.begin = duel_axis_first(a, a->mode == DUEL_BILINEAR ? h - 1 : h);
    t.end = h + 1 < a->x ? duel_axis_first(a, h + 1) : a->y;
  }
  return t;
}

// The weight of x[h] in y[i], before division by the whole.
DUEL_HD int32_t duel_axis_weight(const duel_resample_axis *a, int32_t i, int32_t h) {
  if (a->mode != DUEL_BILINEAR) return 1;
  const int32_t place = duel_axis_place(a, i), low = duel_ratio(place, 2 * a->y), rest = place - low * 2 * a->y;
  if (h > low) return rest;
  return low + 1 < a->x ? 2 * a->y - rest : 2 * a->y;
}
DUEL_HD int32_t duel_axis_whole(const duel_resample_axis *a) {
  return a->mode == DUEL_AVERAGE ? a->kernel : a->mode == DUEL_BILINEAR ? 2 * a->y : 1;
}

// ---- FIR
// The numbers below n of which b times are at least a, and less than a + length.
DUEL_HD duel_reach duel_multiples(int32_t a, int32_t length, int32_t b, int32_t n) {
  const int32_t end = a + length;
  duel_reach r;
  r.begin = a <= 0 ? 0 : duel_ratio(a - 1, b) + 1;
  r.end = end <= 0 ? 0 : duel_clip(duel_ratio(end - 1, b) + 1, n);
  return r;
}

// The pixels of x that make y[i], and those of y that x[h] takes part in.
DUEL_HD duel_reach duel_filter_taps(const duel_resample_axis *a, int32_t i) {
  return duel_multiples(i * a->stride - a->pad, a->kernel, a->up, a->x);
}
DUEL_HD duel_reach duel_filter_adjoint_taps(const duel_resample_axis *a, int32_t h) {
  return duel_multiples(h * a->up + a->pad - a->kernel + 1, a->kernel, a->stride, a->y);
}
// The tap by which x[h] takes part in y[i].
DUEL_HD int32_t duel_filter_tap(const duel_resample_axis *a, int32_t i, int32_t h) {
  return h * a->up + a->pad - i * a->stride;
}

#endif
