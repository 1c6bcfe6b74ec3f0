// Images under affine maps, and the adjoint: a thread makes one pixel of up to CHANNELS channels, which share places
// and weights. warp2d reads four neighbors. warp2d_dx gathers: the pixels of y that take part in one of x lie in a
// parallelogram, which the map's inverse tells, and the thread adds up what its bounding box has, rows before columns.
// Weights are those of core/ops/warp.h, so that a box may be larger than it must.
#include "cuda/kernels/columns.cuh"

extern "C" {
#include "core/ops/warp.h"
}

constexpr int CHANNELS = 4;

struct warp_grid {
  int64_t units;          // pixels of all images and runs of channels
  int32_t channels, runs; // of an image
  int32_t height, width;
};

struct warp_unit {
  int64_t at; // of the pixel in the first of its channels
  int64_t image;
  int32_t channels, row, column;
};

static __device__ __forceinline__ warp_unit warp_unit_of(const warp_grid &g, int64_t unit) {
  const int64_t line = duel_quotient(unit, g.width), run = duel_quotient(line, g.height);
  warp_unit u;
  u.image = duel_quotient(run, g.runs);
  u.column = (int32_t)(unit - line * g.width);
  u.row = (int32_t)(line - run * g.height);
  const int32_t first = (int32_t)(run - u.image * g.runs) * CHANNELS;
  u.channels = g.channels - first < CHANNELS ? g.channels - first : CHANNELS;
  u.at = ((u.image * g.channels + first) * g.height + u.row) * g.width + u.column;
  return u;
}

// sum[c] += weight·src[c], a pixel of planes one after another.
static __device__ __forceinline__ void add_pixel(float (&sum)[CHANNELS], float weight, const float *src, int32_t n,
                                                 int64_t plane) {
  for (int c = 0; c < CHANNELS; c++)
    if (c < n) sum[c] += weight * src[c * plane];
}

static __device__ __forceinline__ void put_pixel(const float (&sum)[CHANNELS], float *dst, int32_t n, int64_t plane) {
  for (int c = 0; c < CHANNELS; c++)
    if (c < n) dst[c * plane] = sum[c];
}

static __device__ __forceinline__ void add_row(float (&sum)[CHANNELS], float weight, const float *src,
                                               const duel_warp_taps &t, int32_t n, int64_t plane) {
  const float low = weight * t.low_weight, high = weight * t.high_weight;
  if (low != 0) add_pixel(sum, low, src + t.low, n, plane);
  if (high != 0) add_pixel(sum, high, src + t.high, n, plane);
}

static __device__ __forceinline__ duel_warp_taps neighbors(const float *row, int32_t i, int32_t j, int32_t n) {
  return duel_warp_taps_of(duel_warp_bound(duel_warp_place(row, j, duel_warp_line(row, i)), n), n);
}

// Reads four neighbors of 4 bytes a number, most of them from L1, and writes 4 bytes; eight FLOPs a number.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    warp_there(warp_grid g, const float *__restrict__ x, const float *__restrict__ map, float *__restrict__ y) {
  const int64_t plane = (int64_t)g.height * g.width;
  for (int64_t unit = duel_first(); unit < g.units; unit += duel_stride()) {
    const warp_unit u = warp_unit_of(g, unit);
    const float *m = map + 6 * u.image, *src = x + (u.at - (int64_t)u.row * g.width - u.column);
    const duel_warp_taps right = neighbors(m, u.row, u.column, g.width);
    const duel_warp_taps down = neighbors(m + 3, u.row, u.column, g.height);
    float sum[CHANNELS] = {};
    add_row(sum, down.low_weight, src + (int64_t)down.low * g.width, right, u.channels, plane);
    add_row(sum, down.high_weight, src + (int64_t)down.high * g.width, right, u.channels, plane);
    put_pixel(sum, y + u.at, u.channels, plane);
  }
}

// ---- the way back
struct box { // [begin, end)
  int32_t top, bottom, left, right;
};

// The whole numbers between middle ± reach in 0 … n − 1, or all of them where these are no numbers.
static __device__ __forceinline__ void span_of(float middle, float reach, int32_t n, int32_t &begin, int32_t &end) {
  begin = (int32_t)fminf(ceilf(fmaxf(middle - reach, 0.0f)), (float)n);
  end = (int32_t)fmaxf(floorf(fminf(middle + reach, (float)(n - 1))), -1.0f) + 1;
}

// Of the pixels of y whose places are less than a pixel from (row, column) on both axes. (i, j) of a place (sy, sx) are
//
//   i = (m₀·(sy − m₅) − m₃·(sx − m₂))/det      j = (m₄·(sx − m₂) − m₁·(sy − m₅))/det      det = m₀·m₄ − m₁·m₃
//
// so that a box around a place, ± 1 on both axes, reaches (|m₀| + |m₃|)/|det| up and down. All that is rounded here and
// in the places is less than ROUNDING of the largest numbers on the way, times how much of them cancels in det: that
// much is added to the 1. Where more than MOST of it cancels, or numbers are too large or small, all pixels are taken.
static __device__ __forceinline__ box box_of(const warp_grid &g, const float *m, int32_t row, int32_t column) {
  constexpr float ROUNDING = 0x1p-19f, MOST = 1024, SMALL = 1e-30f, LARGE = 1e30f;
  const float a = fabsf(m[0]), b = fabsf(m[1]), c = fabsf(m[3]), d = fabsf(m[4]);
  const float size = a * d + b * c, det = m[0] * m[4] - m[1] * m[3], part = 1 / fabsf(det), lost = size * part;
  box all = {0, g.height, 0, g.width};
  if (!(size > SMALL && size < LARGE && lost < MOST)) return all;
  const float h = (float)g.height, w = (float)g.width, sx = (float)column - m[2], sy = (float)row - m[5];
  const float x = 1 + ROUNDING * lost * (a * w + b * h + w + fabsf(m[2]));
  const float y = 1 + ROUNDING * lost * (c * w + d * h + h + fabsf(m[5]));
  box found;
  span_of((m[0] * sy - m[3] * sx) / det, (a * y + c * x) * part, g.height, found.top, found.bottom);
  span_of((m[4] * sx - m[1] * sy) / det, (d * x + b * y) * part, g.width, found.left, found.right);
  return found;
}

// Reads 4 bytes a number of each pixel of y that takes part, all but the first time from L1, and writes 4 bytes; two
// FLOPs a number of those, and ten a pixel of the box.
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    warp_back(warp_grid g, const float *__restrict__ d_y, const float *__restrict__ map, float *__restrict__ d_x) {
  const int64_t plane = (int64_t)g.height * g.width;
  for (int64_t unit = duel_first(); unit < g.units; unit += duel_stride()) {
    const warp_unit u = warp_unit_of(g, unit);
    const float *m = map + 6 * u.image, *src = d_y + (u.at - (int64_t)u.row * g.width - u.column);
    const box reach = box_of(g, m, u.row, u.column);
    float sum[CHANNELS] = {};
    for (int32_t i = reach.top; i < reach.bottom; i++) {
      const float right = duel_warp_line(m, i), down = duel_warp_line(m + 3, i);
      for (int32_t j = reach.left; j < reach.right; j++) {
        const float weight = duel_warp_weight(duel_warp_place(m + 3, j, down), u.row) *
                             duel_warp_weight(duel_warp_place(m, j, right), u.column);
        if (weight != 0) add_pixel(sum, weight, src + (int64_t)i * g.width + j, u.channels, plane);
      }
    }
    put_pixel(sum, d_x + u.at, u.channels, plane);
  }
}

static void warp_run(const duel_call *call) {
  const int64_t *size = call->out[0].shape.dim;
  warp_grid g = {};
  g.channels = (int32_t)size[1];
  g.runs = (g.channels + CHANNELS - 1) / CHANNELS;
  g.height = (int32_t)size[2], g.width = (int32_t)size[3];
  g.units = size[0] * g.runs * g.height * g.width;
  const float *src = (const float *)call->in[0].data, *map = (const float *)call->in[1].data;
  float *dst = (float *)call->out[0].data;
  if (call->op == DUEL_OP_WARP2D)
    DUEL_LAUNCH(duel_lane_of(call), warp_there, duel_blocks(g.units, DUEL_BLOCK), DUEL_BLOCK, 0, g, src, map, dst);
  else
    DUEL_LAUNCH(duel_lane_of(call), warp_back, duel_blocks(g.units, DUEL_BLOCK), DUEL_BLOCK, 0, g, src, map, dst);
}
const duel_cuda_kernel duel_cuda_warp2d = {nullptr, warp_run};
const duel_cuda_kernel duel_cuda_warp2d_dx = {nullptr, warp_run};
