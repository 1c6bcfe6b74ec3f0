// Maxima of windows. maxpool2d: a thread has a window and takes what lies at its maximum. maxpool2d_dx leaves the
// maxima's places in scratch first; then a thread has a pixel of x and adds up, in order, those windows around it whose
// maximum it is: a gather, so no atomics.
#include "cuda/nest.cuh"

extern "C" {
#include "core/ops/resample.h"
}

struct pool_grid {
  duel_resample_axis down, right;
  int64_t planes;
};

static pool_grid pool_grid_of(const duel_call *call, const duel_shape *y) {
  const duel_shape *x = &call->in[0].shape;
  pool_grid g = {};
  g.down = duel_axis_of(DUEL_AVERAGE, &call->attr->window, x, y, 0);
  g.right = duel_axis_of(DUEL_AVERAGE, &call->attr->window, x, y, 1);
  g.planes = x->dim[0] * x->dim[1];
  return g;
}

// The place in its plane of the first maximum of window (p, q).
static __device__ __forceinline__ int32_t place_of_maximum(const pool_grid &g, const float *plane, int32_t p,
                                                           int32_t q) {
  const duel_reach rows = duel_axis_taps(&g.down, p), columns = duel_axis_taps(&g.right, q);
  int32_t place = rows.begin * g.right.x + columns.begin;
  float best = plane[place];
  for (int32_t r = rows.begin; r < rows.end; r++)
    for (int32_t c = columns.begin; c < columns.end; c++) {
      const float v = plane[r * g.right.x + c];
      if (v > best || (isnan(v) && !isnan(best))) {
        best = v;
        place = r * g.right.x + c;
      }
    }
  return place;
}

// Reads 4 bytes a tap of x, all but the first time from L1, and a number of v; writes 4 bytes a window. No FLOPs but
// comparisons. dst: what v has at the maxima or, with v nullptr, places: their places in the plane.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    take_maxima(pool_grid g, const float *__restrict__ x, const float *__restrict__ v, float *__restrict__ dst,
                int32_t *__restrict__ places) {
  const int64_t units = g.planes * g.down.y * g.right.y, pixels = (int64_t)g.down.x * g.right.x;
  for (int64_t unit = duel_first(); unit < units; unit += duel_stride()) {
    const int64_t line = duel_quotient(unit, g.right.y), plane = duel_quotient(line, g.down.y);
    const int32_t q = (int32_t)(unit - line * g.right.y), p = (int32_t)(line - plane * g.down.y);
    const int32_t place = place_of_maximum(g, x + plane * pixels, p, q);
    if (v)
      dst[unit] = v[plane * pixels + place];
    else
      places[unit] = place;
  }
}

static void launch_take(const duel_call *call, const pool_grid &g, const float *v, float *dst, int32_t *places) {
  DUEL_LAUNCH(duel_lane_of(call), take_maxima, duel_blocks(g.planes * g.down.y * g.right.y, DUEL_BLOCK), DUEL_BLOCK, 0,
              g, (const float *)call->in[0].data, v, dst, places);
}

static void maxpool2d_run(const duel_call *call) {
  launch_take(call, pool_grid_of(call, &call->out[0].shape), (const float *)call->in[1].data,
              (float *)call->out[0].data, nullptr);
}
const duel_cuda_kernel duel_cuda_maxpool2d = {nullptr, maxpool2d_run};

// Reads 4 bytes of the place of each window around a pixel, all but the first time from L1, and d_y's once; writes
// d_x's 4 bytes a number.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    put_to_maxima(pool_grid g, const int32_t *__restrict__ places, const float *__restrict__ d_y,
                  float *__restrict__ d_x) {
  const int64_t units = g.planes * g.down.x * g.right.x;
  for (int64_t unit = duel_first(); unit < units; unit += duel_stride()) {
    const int64_t line = duel_quotient(unit, g.right.x), plane = duel_quotient(line, g.down.x);
    const int32_t w = (int32_t)(unit - line * g.right.x), h = (int32_t)(line - plane * g.down.x);
    const duel_reach rows = duel_axis_adjoint_taps(&g.down, h), columns = duel_axis_adjoint_taps(&g.right, w);
    float sum = 0;
    for (int32_t p = rows.begin; p < rows.end; p++)
      for (int32_t q = columns.begin; q < columns.end; q++) {
        const int64_t window = (plane * g.down.y + p) * g.right.y + q;
        if (places[window] == h * g.right.x + w) sum += d_y[window];
      }
    d_x[unit] = sum;
  }
}

static size_t maxpool2d_dx_scratch(const duel_call *call) {
  return (size_t)duel_count(&call->in[1]) * sizeof(int32_t);
}

static void maxpool2d_dx_run(const duel_call *call) {
  const pool_grid g = pool_grid_of(call, &call->in[1].shape);
  int32_t *places = (int32_t *)call->scratch;
  launch_take(call, g, nullptr, nullptr, places);
  DUEL_LAUNCH(duel_lane_of(call), put_to_maxima, duel_blocks(g.planes * g.down.x * g.right.x, DUEL_BLOCK), DUEL_BLOCK,
              0, g, places, (const float *)call->in[1].data, (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_maxpool2d_dx = {maxpool2d_dx_scratch, maxpool2d_dx_run};
