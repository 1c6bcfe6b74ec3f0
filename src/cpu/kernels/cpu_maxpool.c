// Maxima of windows. A row of the result is made STRIP windows at a time: tap after tap is read for all of them, and
// each keeps the largest element and its place in the plane.
//   maxpool2d      takes what lies at the places; pieces are runs of rows
//   maxpool2d_dx   adds to the places of a plane, in order; pieces are runs of planes
#include "core/ops/resample.h"
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 16384, STRIP = 256 };

typedef struct windows {
  duel_resample_axis down, right;
  int64_t planes, in, out; // elements of a plane of x and of y
} windows;

static windows windows_of(const duel_call *call) {
  const duel_operand *y = call->op == DUEL_OP_MAXPOOL2D ? &call->out[0] : &call->in[1];
  const duel_shape *x = &call->in[0].shape;
  windows w = {.planes = x->dim[0] * x->dim[1]};
  w.down = duel_axis_of(DUEL_AVERAGE, &call->attr->window, x, &y->shape, 0);
  w.right = duel_axis_of(DUEL_AVERAGE, &call->attr->window, x, &y->shape, 1);
  w.in = (int64_t)w.down.x * w.right.x;
  w.out = (int64_t)w.down.y * w.right.y;
  return w;
}

// tap[i] = row[c + i·stride], −∞ outside of the row.
static void read_taps(const real *row, int32_t width, int32_t c, int32_t stride, int32_t n, real *tap) {
  int32_t begin = c < 0 ? (stride - 1 - c) / stride : 0, end = c < width ? (width - 1 - c) / stride + 1 : 0, i = 0;
  if (begin > n) begin = n;
  if (end > n) end = n;
  for (; i < begin; i++) tap[i] = -(real)INFINITY;
  if (stride == 1) {
    for (; i < end; i++) tap[i] = row[c + i];
  } else if (stride == 2) {
    for (; i < end; i++) tap[i] = row[c + 2 * i];
  } else {
    for (; i < end; i++) tap[i] = row[c + i * stride];
  }
  for (; i < n; i++) tap[i] = -(real)INFINITY;
}

// The maxima of n windows from (p, q) on and their places in the plane. The loops over whole lanes go on behind n.
static void find(const windows *w, const real *plane, int32_t p, int32_t q, int32_t n, real *best, int32_t *place) {
  const duel_resample_axis *a = &w->right;
  const duel_reach rows = duel_axis_taps(&w->down, p);
  const int32_t left = q * a->stride - a->pad, wide = (n + DUEL_SUM_LANES - 1) / DUEL_SUM_LANES * DUEL_SUM_LANES;
  real tap[STRIP];
  DUEL_SIMD for (int32_t i = 0; i < wide; i++) { // places: of the windows' first pixels, all may be −∞
    const int32_t c = left + i * a->stride;
    best[i] = tap[i] = -(real)INFINITY;
    place[i] = rows.begin * a->x + (c > 0 ? c : 0);
  }
  for (int32_t r = rows.begin; r < rows.end; r++)
    for (int32_t s = 0; s < a->kernel; s++) {
      const int32_t first = r * a->x + left + s, stride = a->stride;
      read_taps(plane + (int64_t)r * a->x, a->x, left + s, stride, n, tap);
      for (int32_t i = 0; i < wide; i += DUEL_SUM_LANES) {
        DUEL_SIMD for (int32_t k = i; k < i + DUEL_SUM_LANES; k++) {
          const bool better = tap[k] > best[k] || (tap[k] != tap[k] && best[k] == best[k]);
          best[k] = better ? tap[k] : best[k];
          place[k] = better ? first + k * stride : place[k];
        }
      }
    }
}

static void cut(const duel_call *call, duel_cut *cut) {
  const windows w = windows_of(call);
  const int64_t rows = call->op == DUEL_OP_MAXPOOL2D ? w.planes * w.down.y : w.planes;
  *cut = duel_cut_rows(rows, w.planes * w.in, GRAIN);
}

static void maxpool2d_run(const duel_call *call, const duel_piece *piece) {
  const windows w = windows_of(call);
  const real *x = call->in[0].data, *v = call->in[1].data;
  const duel_span rows = piece->units;
  real *dst = (real *)call->out[0].data + rows.begin * w.right.y, best[STRIP];
  int32_t place[STRIP];
  for (int64_t row = rows.begin; row < rows.end; row++)
    for (int32_t q = 0; q < w.right.y; q += STRIP) {
      const int64_t plane = row / w.down.y * w.in;
      const int32_t n = (int32_t)duel_min(STRIP, w.right.y - q);
      find(&w, x + plane, (int32_t)(row % w.down.y), q, n, best, place);
      if (v != x)
        for (int32_t i = 0; i < n; i++) best[i] = v[plane + place[i]];
      memcpy(dst, best, (size_t)n * sizeof *dst);
      dst += n;
    }
}
const duel_cpu_kernel DUEL_CPU_NAME(maxpool2d) = {.cut = cut, .run = maxpool2d_run};

static void maxpool2d_dx_run(const duel_call *call, const duel_piece *piece) {
  const windows w = windows_of(call);
  const duel_span planes = piece->units;
  const real *x = (const real *)call->in[0].data + planes.begin * w.in;
  const real *d_y = (const real *)call->in[1].data + planes.begin * w.out;
  real *d_x = (real *)call->out[0].data + planes.begin * w.in, best[STRIP];
  int32_t place[STRIP];
  memset(d_x, 0, (size_t)((planes.end - planes.begin) * w.in) * sizeof *d_x);
  for (int64_t plane = planes.begin; plane < planes.end; plane++, x += w.in, d_x += w.in)
    for (int32_t p = 0; p < w.down.y; p++)
      for (int32_t q = 0; q < w.right.y; q += STRIP) {
        const int32_t n = (int32_t)duel_min(STRIP, w.right.y - q);
        find(&w, x, p, q, n, best, place);
        for (int32_t i = 0; i < n; i++) d_x[place[i]] += d_y[i];
        d_y += n;
      }
}
const duel_cpu_kernel DUEL_CPU_NAME(maxpool2d_dx) = {.cut = cut, .run = maxpool2d_dx_run};
