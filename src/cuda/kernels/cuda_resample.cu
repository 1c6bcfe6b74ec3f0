// Images resampled, filtered and pooled to means, and the adjoint: a thread makes up to BAND pixels of a column, each
// from its taps in order, rows before columns. core/ops/resample.h says which those are.
#include "cuda/kernels/columns.cuh"

extern "C" {
#include "core/ops/resample.h"
}

constexpr int BAND = 4;

struct resample_grid {
  duel_resample_axis down, right;
  int64_t planes;
  int32_t height, width, from_rows, from_width; // of a plane of the result; of the source
  float scale;                                  // of whole numbers, or taps, to weights
  float tap[DUEL_FIR_TAPS];
};

// Filters have kernels of their own, so that other modes do not pay for their registers.
template <bool ADJOINT, bool FIR>
static __device__ __forceinline__ duel_reach taps_of(const duel_resample_axis &a, int32_t i) {
  if (FIR) return ADJOINT ? duel_filter_adjoint_taps(&a, i) : duel_filter_taps(&a, i);
  return ADJOINT ? duel_axis_adjoint_taps(&a, i) : duel_axis_taps(&a, i);
}
template <bool ADJOINT, bool FIR>
static __device__ __forceinline__ float weight_of(const resample_grid &g, const duel_resample_axis &a, int32_t i,
                                                  int32_t tap) {
  const int32_t y = ADJOINT ? tap : i, x = ADJOINT ? i : tap;
  return FIR ? g.tap[duel_filter_tap(&a, y, x)] : (float)duel_axis_weight(&a, y, x);
}

// Reads 4 bytes a tap, all but the first time from L1, and writes 4 bytes a number; two FLOPs a tap.
template <bool ADJOINT, bool FIR>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    resample(resample_grid g, const float *__restrict__ src, float *__restrict__ dst) {
  const int32_t bands = (g.height + BAND - 1) / BAND;
  const int64_t units = g.planes * bands * g.width;
  for (int64_t unit = duel_first(); unit < units; unit += duel_stride()) {
    const int64_t above = duel_quotient(unit, g.width), plane = duel_quotient(above, bands);
    const int32_t q = (int32_t)(unit - above * g.width), first = (int32_t)(above - plane * bands) * BAND;
    const float *from = src + plane * g.from_rows * g.from_width;
    float *to = dst + (plane * g.height + first) * g.width + q;
    const duel_reach columns = taps_of<ADJOINT, FIR>(g.right, q);
    for (int32_t row = first; row < first + BAND && row < g.height; row++, to += g.width) {
      const duel_reach rows = taps_of<ADJOINT, FIR>(g.down, row);
      float sum = 0;
      for (int32_t r = rows.begin; r < rows.end; r++) {
        float part = 0;
        for (int32_t c = columns.begin; c < columns.end; c++)
          part += weight_of<ADJOINT, FIR>(g, g.right, q, c) * from[r * g.from_width + c];
        sum += weight_of<ADJOINT, FIR>(g, g.down, row, r) * part;
      }
      *to = g.scale * sum;
    }
  }
}

template <bool ADJOINT> static void resample_run(const duel_call *call) {
  const duel_shape *from = &call->in[0].shape, *to = &call->out[0].shape;
  const duel_resampling *r = &call->attr->resample;
  const float *src = (const float *)call->in[0].data;
  float *dst = (float *)call->out[0].data;
  resample_grid g = {};
  g.down = duel_axis_resampled(r, ADJOINT ? to : from, ADJOINT ? from : to, 0);
  g.right = duel_axis_resampled(r, ADJOINT ? to : from, ADJOINT ? from : to, 1);
  g.planes = to->dim[0] * to->dim[1];
  g.height = (int32_t)to->dim[2], g.width = (int32_t)to->dim[3];
  g.from_rows = (int32_t)from->dim[2], g.from_width = (int32_t)from->dim[3];
  g.scale = 1.0f / ((float)duel_axis_whole(&g.down) * (float)duel_axis_whole(&g.right));
  if (r->mode == DUEL_FIR) {
    g.scale = (float)r->fir.gain;
    for (int t = 0; t < DUEL_FIR_TAPS; t++) g.tap[t] = (float)r->fir.tap[t];
  }
  const int64_t units = g.planes * ((g.height + BAND - 1) / BAND) * g.width;
  const unsigned blocks = duel_blocks(units, DUEL_BLOCK);
  if (r->mode == DUEL_FIR)
    DUEL_LAUNCH(duel_lane_of(call), (resample<ADJOINT, true>), blocks, DUEL_BLOCK, 0, g, src, dst);
  else
    DUEL_LAUNCH(duel_lane_of(call), (resample<ADJOINT, false>), blocks, DUEL_BLOCK, 0, g, src, dst);
}
const duel_cuda_kernel duel_cuda_resample2d = {nullptr, resample_run<false>};
const duel_cuda_kernel duel_cuda_resample2d_dx = {nullptr, resample_run<true>};
