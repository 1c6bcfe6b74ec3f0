// Maps over strided nests (core/nd.h): dst = f(src...) element by element, which is all that element-wise kernels
// and most of movement do. Operand 0 of a nest is dst, the others are the sources; a source's stride of 0 repeats it.
// Invariant: dst may lie exactly on a source of its size, since each thread reads its elements before it writes them.
#ifndef DUEL_CUDA_NEST_H
#define DUEL_CUDA_NEST_H

#include <string.h>

#include "cuda/launch.cuh"

// A merged nest cut into units for threads: single elements or, if wide, four neighbors of the inner run. A flat nest
// (rank 1) of any size may be wide: its last elements are units of one.
struct duel_nest {
  duel_nd nd; // if wide, the last axis counts units
  int64_t units, tail;
  bool wide;
};

static inline bool duel_aligned16(const void *p) {
  return ((uintptr_t)p & 15) == 0;
}

// May the operands be accessed 16 bytes at a time?
static inline bool duel_nest_is_wide(const duel_nd *nd, const float *const *data) {
  const int last = nd->rank - 1;
  if (nd->size[last] < 4 || (nd->rank > 1 && nd->size[last] % 4 != 0)) return false;
  for (int o = 0; o < nd->n; o++) {
    if (nd->stride[o][last] == 0 && o > 0) continue;
    if (nd->stride[o][last] != 1 || !duel_aligned16(data[o])) return false;
    for (int axis = 0; axis < last; axis++)
      if (nd->stride[o][axis] % 4 != 0) return false;
  }
  return true;
}

// data: where each operand begins, on the device; NULL: units are single elements.
static inline duel_nest duel_nest_of(const duel_nd *nd, const float *const *data) {
  duel_nest nest = {};
  nest.nd = *nd;
  duel_nd_merge(&nest.nd);
  nest.wide = data && duel_nest_is_wide(&nest.nd, data);
  const int last = nest.nd.rank - 1;
  if (nest.wide) {
    nest.tail = nest.nd.size[last] % 4;
    nest.nd.size[last] /= 4;
    for (int o = 0; o < nest.nd.n; o++) nest.nd.stride[o][last] *= 4;
  }
  nest.units = 1;
  for (int axis = 0; axis <= last; axis++) nest.units *= nest.nd.size[axis];
  return nest;
}

// Of numbers that are not negative; most fit in 32 bits, where a division costs a fraction of one in 64.
static __device__ __forceinline__ int64_t duel_quotient(int64_t a, int64_t b) {
  return (a | b) >> 32 != 0 ? a / b : (int64_t)((uint32_t)a / (uint32_t)b);
}

// Where a unit of each of N operands begins, in elements.
template <int N>
static __device__ __forceinline__ void duel_nest_seek(const duel_nest &nest, int64_t unit, int64_t (&at)[N]) {
  if (unit >= nest.units) { // of the tail: nest.units was 4 elements each
    for (int o = 0; o < N; o++) at[o] = nest.nd.stride[o][0] ? 3 * nest.units + unit : 0;
    return;
  }
  for (int o = 0; o < N; o++) at[o] = 0;
  for (int axis = nest.nd.rank - 1; axis > 0; axis--) {
    const int64_t above = duel_quotient(unit, nest.nd.size[axis]), index = unit - above * nest.nd.size[axis];
    for (int o = 0; o < N; o++) at[o] += index * nest.nd.stride[o][axis];
    unit = above;
  }
  for (int o = 0; o < N; o++) at[o] += unit * nest.nd.stride[o][0];
}

static __device__ __forceinline__ void duel_load4(float (&x)[4], const float *src) {
  const float4 v = *reinterpret_cast<const float4 *>(src);
  x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
}

static __device__ __forceinline__ void duel_store4(float *dst, const float (&x)[4]) {
  *reinterpret_cast<float4 *>(dst) = make_float4(x[0], x[1], x[2], x[3]);
}

// F is a function of F::INPUTS (0 to 3) numbers. Reads 4 bytes of each source an element (of one that repeats, less)
// and writes 4.
template <typename F>
static __global__ void duel_map_kernel(F f, duel_nest nest, float *dst, const float *a, const float *b,
                                       const float *c) {
  constexpr int N = F::INPUTS;
  const float *const src[3] = {a, b, c};
  const int last = nest.nd.rank - 1;
  for (int64_t unit = duel_first(); unit < nest.units + nest.tail; unit += duel_stride()) {
    int64_t at[N + 1];
    duel_nest_seek<N + 1>(nest, unit, at);
    float x[N + 1][4], in[N + 1];
    if (nest.wide && unit < nest.units) {
      for (int o = 0; o < N; o++) {
        if (nest.nd.stride[o + 1][last] != 0)
          duel_load4(x[o], src[o] + at[o + 1]);
        else
          x[o][0] = x[o][1] = x[o][2] = x[o][3] = src[o][at[o + 1]];
      }
      float y[4];
      for (int i = 0; i < 4; i++) {
        for (int o = 0; o < N; o++) in[o] = x[o][i];
        y[i] = f(in);
      }
      duel_store4(dst + at[0], y);
    } else {
      for (int o = 0; o < N; o++) in[o] = src[o][at[o + 1]];
      dst[at[0]] = f(in);
    }
  }
}

// The nest's strides are set, its operands dst and src[0 .. F::INPUTS).
template <typename F>
static void duel_map(duel_lane *lane, F f, const duel_nd *nd, float *dst, const float *const *src) {
  const float *data[4] = {dst};
  for (int o = 0; o < F::INPUTS; o++) data[o + 1] = src[o];
  const duel_nest nest = duel_nest_of(nd, data);
  if (nest.units + nest.tail == 0) return;
  DUEL_LAUNCH(lane, duel_map_kernel<F>, duel_blocks(nest.units + nest.tail, DUEL_BLOCK), DUEL_BLOCK, 0, f, nest, dst,
              data[1], data[2], data[3]);
}

// Output 0 from all inputs, which are broadcast to its shape.
template <typename F> static void duel_element_wise(const duel_call *call, F f) {
  duel_nd nd = {};
  nd.rank = call->out[0].shape.rank;
  nd.n = F::INPUTS + 1;
  memcpy(nd.size, call->out[0].shape.dim, sizeof nd.size);
  duel_nd_operand(&nd, 0, &call->out[0].shape);
  const float *src[3] = {};
  for (int o = 0; o < F::INPUTS; o++) {
    duel_nd_operand(&nd, o + 1, &call->in[o].shape);
    src[o] = (const float *)call->in[o].data;
  }
  duel_map(duel_lane_of(call), f, &nd, (float *)call->out[0].data, src);
}

// Copies flat memory (cuda_move.cu).
void duel_cuda_copy(duel_lane *lane, float *dst, const float *src, int64_t count);

struct duel_same { // a copy
  enum { INPUTS = 1 };
  __device__ float operator()(const float *in) const { return in[0]; }
};

#endif
