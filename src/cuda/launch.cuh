// How every kernel of this folder is written and launched. Under nvcc all of it is plain CUDA. Under DUEL_CUDA=EMULATE
// the host's compiler reads the same files against tests/cuemu/, whose cuda_runtime.h defines DUEL_EMULATED and the
// macros below by functions of the emulator. Rules:
//
//   - a kernel is launched by DUEL_LAUNCH alone, and declares shared memory by DUEL_SHARED and DUEL_SHARED_DYN alone;
//   - inline PTX stands in ptx.cuh alone (there is none yet);
//   - no return before a barrier, explicit masks for warp functions, no implicit warp synchrony;
//   - grid-stride loops, so that any grid is right; no float atomics: sums have fixed trees that depend on shapes
//   alone;
//   - 64-bit indices wherever a tensor's size enters.
#ifndef DUEL_CUDA_LAUNCH_H
#define DUEL_CUDA_LAUNCH_H

#include <cuda_runtime.h>

#include "cuda/cuda.h"

#ifndef DUEL_EMULATED
#define DUEL_SHARED(type, name, n) __shared__ type name[n]
#define DUEL_SHARED_DYN(type, name)                                                                                    \
  extern __shared__ __align__(16) unsigned char duel_shared_bytes[];                                                   \
  type *name = reinterpret_cast<type *>(duel_shared_bytes)
#define DUEL_START(kernel, grid, block, smem, stream, ...) kernel<<<grid, block, smem, stream>>>(__VA_ARGS__)
#endif

// Launches on a lane; a kernel that is a template with commas stands in parentheses. A failure stays in the lane, which
// whoever runs the calls asks for it.
#define DUEL_LAUNCH(lane, kernel, grid, block, smem, ...)                                                              \
  do {                                                                                                                 \
    DUEL_START(kernel, dim3(grid), dim3(block), smem, (lane)->stream, __VA_ARGS__);                                    \
    duel_cuda_launched(lane, #kernel);                                                                                 \
  } while (0)

constexpr int DUEL_WARP = 32, DUEL_BLOCK = 256;
constexpr int64_t DUEL_MAX_BLOCKS = 4096;
#define DUEL_FULL_MASK 0xffffffffu

// Blocks for `items` units of work, one a thread; the grid-stride loop takes what is above the limit.
static inline unsigned duel_blocks(int64_t items, int block) {
  const int64_t n = (items + block - 1) / block;
  return (unsigned)(n < 1 ? 1 : n > DUEL_MAX_BLOCKS ? DUEL_MAX_BLOCKS : n);
}

// This thread's first unit of work and the step to its next, in one dimension.
static __device__ __forceinline__ int64_t duel_first() {
  return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
static __device__ __forceinline__ int64_t duel_stride() {
  return (int64_t)gridDim.x * blockDim.x;
}

// ---- sums
// Over a warp, all 32 lanes taking part: lane 0 has the sum of a fixed tree (the others have something else).
static __device__ __forceinline__ float duel_warp_sum(float x) {
  for (int offset = DUEL_WARP / 2; offset > 0; offset /= 2) x += __shfl_down_sync(DUEL_FULL_MASK, x, offset);
  return x;
}

// The same for all lanes.
static __device__ __forceinline__ float duel_warp_total(float x) {
  for (int offset = DUEL_WARP / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(DUEL_FULL_MASK, x, offset);
  return x;
}

// Over a block of BLOCK threads (a multiple of 32, at most 1024), all of them taking part: thread 0 has the sum. Has a
// barrier at its end, so that it may be called again at once.
template <int BLOCK> static __device__ __forceinline__ float duel_block_sum(float x) {
  DUEL_SHARED(float, part, BLOCK / DUEL_WARP);
  const int warp = (int)threadIdx.x / DUEL_WARP, lane = (int)threadIdx.x % DUEL_WARP;
  x = duel_warp_sum(x);
  if (lane == 0) part[warp] = x;
  __syncthreads();
  if (warp == 0) {
    x = lane < BLOCK / DUEL_WARP ? part[lane] : 0.0f;
    x = duel_warp_sum(x);
  }
  __syncthreads();
  return x;
}

// ---- activations of fused kernels, as graph.h has them
static __device__ __forceinline__ float duel_sigmoid_of(float x) {
  const float e = expf(-fabsf(x));
  return (x >= 0 ? 1.0f : e) / (1.0f + e);
}

static __device__ __forceinline__ float duel_softplus_of(float x) {
  return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

template <int ACT> static __device__ __forceinline__ float duel_act_of(float x, float slope) {
  if (ACT == DUEL_ACT_LEAKY_RELU) return x > 0 ? x : slope * x;
  if (ACT == DUEL_ACT_TANH) return tanhf(x);
  if (ACT == DUEL_ACT_SIGMOID) return duel_sigmoid_of(x);
  return x;
}

// The derivative, from the output; the slope at 0 is the negative side's.
template <int ACT> static __device__ __forceinline__ float duel_act_slope_of(float y, float slope) {
  if (ACT == DUEL_ACT_LEAKY_RELU) return y > 0 ? 1.0f : slope;
  if (ACT == DUEL_ACT_TANH) return 1.0f - y * y;
  if (ACT == DUEL_ACT_SIGMOID) return y * (1.0f - y);
  return 1.0f;
}

// Runs a statement with ACT as a constant of the activation: DUEL_WITH_ACT(act, DUEL_LAUNCH(lane, (k<ACT>), …)).
#define DUEL_WITH_ACT(act, ...)                                                                                        \
  switch (act) {                                                                                                       \
  case DUEL_ACT_LEAKY_RELU: {                                                                                          \
    constexpr int ACT = DUEL_ACT_LEAKY_RELU;                                                                           \
    __VA_ARGS__;                                                                                                       \
    break;                                                                                                             \
  }                                                                                                                    \
  case DUEL_ACT_TANH: {                                                                                                \
    constexpr int ACT = DUEL_ACT_TANH;                                                                                 \
    __VA_ARGS__;                                                                                                       \
    break;                                                                                                             \
  }                                                                                                                    \
  case DUEL_ACT_SIGMOID: {                                                                                             \
    constexpr int ACT = DUEL_ACT_SIGMOID;                                                                              \
    __VA_ARGS__;                                                                                                       \
    break;                                                                                                             \
  }                                                                                                                    \
  default: {                                                                                                           \
    constexpr int ACT = DUEL_ACT_NONE;                                                                                 \
    __VA_ARGS__;                                                                                                       \
    break;                                                                                                             \
  }                                                                                                                    \
  }

#endif
