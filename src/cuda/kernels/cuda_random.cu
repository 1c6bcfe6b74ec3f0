// Random draws, the CPU's bits: words from cuRAND's device Philox, floats by base/normal.h. The key block in device
// memory is i32[4] = {seed low, seed high, t, 0}; lane i mod 4 of the counter (i div 4, t, purpose + 256·k, 0) is
// element i, so nothing depends on the grid; dst[j] is element first + j. Writes 4 bytes an element; a quarter of ten
// rounds (20 operations) and, of a normal draw, ~40 more.
#include <curand_kernel.h>

#include "core/augment.h"
#include "cuda/nest.cuh"

template <bool NORMAL>
static __global__ void random_kernel(const int32_t *key, uint32_t c2, int64_t first, int64_t count, bool wide,
                                     float *dst) {
  const uint2 seed = make_uint2((uint32_t)key[0], (uint32_t)key[1]);
  const uint32_t t = (uint32_t)key[2];
  for (int64_t c0 = first / 4 + duel_first(); 4 * c0 < first + count; c0 += duel_stride()) { // < 2^32, as core sees to
    const uint4 word = curand_Philox4x32_10(make_uint4((uint32_t)c0, t, c2, 0), seed);
    const int64_t at = 4 * c0 - first; // may be negative in the first block
    float x[4];
    if (NORMAL) {
      duel_normal_pair(word.x, word.y, &x[0], &x[1]);
      duel_normal_pair(word.z, word.w, &x[2], &x[3]);
    } else {
      x[0] = duel_uniform_of(word.x), x[1] = duel_uniform_of(word.y), x[2] = duel_uniform_of(word.z),
      x[3] = duel_uniform_of(word.w);
    }
    if (wide && at + 4 <= count) {
      duel_store4(dst + at, x);
    } else {
      for (int lane = 0; lane < 4; lane++)
        if (at + lane >= 0 && at + lane < count) dst[at + lane] = x[lane];
    }
  }
}

template <bool NORMAL> static void draw(const duel_call *call) {
  const int64_t count = duel_count(&call->out[0]), first = call->attr->random.first;
  if (count == 0) return;
  float *dst = (float *)call->out[0].data;
  DUEL_LAUNCH(duel_lane_of(call), random_kernel<NORMAL>, duel_blocks((first % 4 + count + 3) / 4, DUEL_BLOCK),
              DUEL_BLOCK, 0, (const int32_t *)call->in[0].data,
              call->attr->random.purpose + (call->attr->random.k << 8), first, count,
              first % 4 == 0 && duel_aligned16(dst), dst);
}

static void random_normal_run(const duel_call *call) {
  draw<true>(call);
}
const duel_cuda_kernel duel_cuda_random_normal = {nullptr, random_normal_run};

static void random_uniform_run(const duel_call *call) {
  draw<false>(call);
}
const duel_cuda_kernel duel_cuda_random_uniform = {nullptr, random_uniform_run};

// A thread draws all of a row: 16 numbers of 4 bytes written, a block of Philox for each that it needs.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    augment_kernel(const int32_t *key, const float *p, duel_changes changes, int64_t first, int64_t rows, float *map,
                   float *rest) {
  for (int64_t row = duel_first(); row < rows; row += duel_stride()) {
    const duel_row_draws d = {{(uint32_t)key[0], (uint32_t)key[1]}, (uint32_t)key[2], changes.pass, first + row, *p};
    const duel_changed to = duel_change_row(&d, &changes);
    for (int i = 0; i < DUEL_CHANGED_MAP; i++) map[row * DUEL_CHANGED_MAP + i] = to.map[i];
    float number[DUEL_CHANGED_NUMBERS];
    duel_changed_numbers(&to, number);
    for (int i = 0; i < DUEL_CHANGED_NUMBERS; i++) rest[i * rows + row] = number[i];
  }
}

static void augment_run(const duel_call *call) {
  const int64_t rows = call->out[0].shape.dim[0];
  if (rows == 0) return;
  DUEL_LAUNCH(duel_lane_of(call), augment_kernel, duel_blocks(rows, DUEL_BLOCK), DUEL_BLOCK, 0,
              (const int32_t *)call->in[0].data, (const float *)call->in[1].data, call->attr->augment.changes,
              call->attr->augment.first, rows, (float *)call->out[0].data, (float *)call->out[1].data);
}
const duel_cuda_kernel duel_cuda_augment = {nullptr, augment_run};
