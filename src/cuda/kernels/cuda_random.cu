// Random draws, the CPU's bits: words from cuRAND's device Philox, floats by core/normal.h. The key block in device
// memory is i32[4] = {seed low, seed high, t, 0}; lane i mod 4 of the counter (i div 4, t, purpose + 256·k, 0) is
// element i, so nothing depends on the grid. Writes 4 bytes an element; a quarter of ten rounds (20 operations) and, of
// a normal draw, ~40 more.
#include <curand_kernel.h>

#include "base/normal.h"
#include "cuda/kernels/nest.cuh"

template <bool NORMAL>
static __global__ void random_kernel(const int32_t *key, uint32_t c2, int64_t count, bool wide, float *dst) {
  const uint2 seed = make_uint2((uint32_t)key[0], (uint32_t)key[1]);
  const uint32_t t = (uint32_t)key[2];
  for (int64_t c0 = duel_first(); 4 * c0 < count; c0 += duel_stride()) { // c0 < 2^32: core's limit is 2^34 elements
    const uint4 word = curand_Philox4x32_10(make_uint4((uint32_t)c0, t, c2, 0), seed);
    float x[4];
    if (NORMAL) {
      duel_normal_pair(word.x, word.y, &x[0], &x[1]);
      duel_normal_pair(word.z, word.w, &x[2], &x[3]);
    } else {
      x[0] = duel_unit(word.x), x[1] = duel_unit(word.y), x[2] = duel_unit(word.z), x[3] = duel_unit(word.w);
    }
    if (wide && 4 * c0 + 4 <= count) {
      duel_store4(dst + 4 * c0, x);
    } else {
      for (int lane = 0; lane < 4; lane++)
        if (4 * c0 + lane < count) dst[4 * c0 + lane] = x[lane];
    }
  }
}

template <bool NORMAL> static void draw(const duel_call *call) {
  const int64_t count = duel_count(&call->out[0]);
  if (count == 0) return;
  float *dst = (float *)call->out[0].data;
  DUEL_LAUNCH(duel_lane_of(call), random_kernel<NORMAL>, duel_blocks((count + 3) / 4, DUEL_BLOCK), DUEL_BLOCK, 0,
              (const int32_t *)call->in[0].data, call->attr->random.purpose + (call->attr->random.k << 8), count,
              duel_aligned16(dst), dst);
}

static void random_normal_run(const duel_call *call, int, int64_t) {
  draw<true>(call);
}
const duel_kernel duel_cuda_random_normal = {nullptr, nullptr, random_normal_run};

static void random_uniform_run(const duel_call *call, int, int64_t) {
  draw<false>(call);
}
const duel_kernel duel_cuda_random_uniform = {nullptr, nullptr, random_uniform_run};
