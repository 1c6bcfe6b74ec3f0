// Images under affine maps by the definition, in real numbers: each pixel of y, from those of x around its place or, on
// the way back, to them.
#include <math.h>

#include "oracle.h"

static double tent(double t) {
  return fmax(0, 1 - fabs(t)); // 0 of NaN
}

duel_ref duel_ref_warp(duel_op op, const duel_ref *in) {
  const bool back = op == DUEL_OP_WARP2D_DX;
  duel_ref out = duel_ref_new(in[0].dtype, in[0].shape);
  const duel_ref x = back ? out : in[0], y = back ? in[0] : out;
  const int64_t height = x.shape.dim[2], width = x.shape.dim[3];
  int64_t at[DUEL_MAX_RANK] = {0};
  do {
    const double *m = in[1].data + 6 * at[0], i = (double)at[2], j = (double)at[3];
    const double sx = m[0] * j + m[1] * i + m[2], sy = m[3] * j + m[4] * i + m[5];
    if (!(sx > -1 && sx < (double)width && sy > -1 && sy < (double)height)) continue;
    double *of_y = &y.data[duel_ref_place(y.shape, at)];
    for (int64_t h = (int64_t)sy - 1; h <= (int64_t)sy + 1; h++)
      for (int64_t w = (int64_t)sx - 1; w <= (int64_t)sx + 1; w++) {
        const double weight = tent(sy - (double)h) * tent(sx - (double)w);
        if (weight == 0 || h < 0 || h >= height || w < 0 || w >= width) continue;
        double *of_x = &x.data[duel_ref_place(x.shape, (int64_t[]){at[0], at[1], h, w})];
        if (back)
          *of_x += weight * *of_y;
        else
          *of_y += weight * *of_x;
      }
  } while (duel_ref_step(y.shape, at));
  return out;
}
