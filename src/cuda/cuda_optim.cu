// Writers over flat arenas, one pass each: adam, sgd, ema, assign. Output i usually lies exactly on input i. Gaps of a
// slab hold zeros and keep them. Coefficients are read from device memory. Σ grad² is a fixed tree of two stages, over
// threads and over blocks, whose shape depends on the count alone: alignment and grid change no bit.
#include "cuda/nest.cuh"

// A thread takes units of four neighbors, the last one perhaps fewer.
static int64_t units_of(const duel_call *call) {
  return (duel_count(&call->in[0]) + 3) / 4;
}

static size_t squares_scratch(const duel_call *call) {
  return duel_blocks(units_of(call), DUEL_BLOCK) * sizeof(float);
}

// Four neighbors, or the n that are there and zeros.
static __device__ __forceinline__ void load_unit(float (&x)[4], const float *src, int64_t n, bool wide) {
  if (wide && n >= 4) {
    duel_load4(x, src);
  } else {
    for (int i = 0; i < 4; i++) x[i] = i < n ? src[i] : 0.0f;
  }
}

static __device__ __forceinline__ void store_unit(float *dst, const float (&x)[4], int64_t n, bool wide) {
  if (wide && n >= 4) {
    duel_store4(dst, x);
  } else {
    for (int i = 0; i < 4; i++)
      if (i < n) dst[i] = x[i];
  }
}

// The first stage's end: this block's part of Σ grad².
static __device__ __forceinline__ void squares_of_block(float *part, float squares) {
  const float sum = duel_block_sum<DUEL_BLOCK>(squares);
  if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

// The second stage, one block: parts to the total. Reads 4 bytes a part.
static __global__ void squares_kernel(const float *part, int n, float *dst) {
  float sum = 0;
  for (int i = (int)threadIdx.x; i < n; i += DUEL_BLOCK) sum += part[i];
  sum = duel_block_sum<DUEL_BLOCK>(sum);
  if (threadIdx.x == 0) *dst = sum;
}

struct optim_slabs { // of adam and sgd (without v)
  const float *p_in, *m_in, *v_in, *grad, *coef;
  float *p_out, *m_out, *v_out;
};

// Reads 16 bytes an element and writes 12, 15 FLOPs.
static __global__ void adam_kernel(optim_slabs s, int64_t count, bool wide, float *part) {
  const float rate = s.coef[0], v_scale = s.coef[1], eps = s.coef[2], keep = s.coef[3];
  const float beta1 = s.coef[4], mix1 = s.coef[5], beta2 = s.coef[6], mix2 = s.coef[7];
  float squares = 0;
  for (int64_t at = 4 * duel_first(); at < count; at += 4 * duel_stride()) {
    const int64_t n = count - at;
    float p[4], m[4], v[4], g[4];
    load_unit(g, s.grad + at, n, wide);
    load_unit(m, s.m_in + at, n, wide);
    load_unit(v, s.v_in + at, n, wide);
    load_unit(p, s.p_in + at, n, wide);
    for (int i = 0; i < 4; i++) {
      const float g2 = g[i] * g[i];
      squares += g2;
      m[i] = beta1 * m[i] + mix1 * g[i];
      v[i] = beta2 * v[i] + mix2 * g2;
      p[i] = p[i] * keep - rate * m[i] / (sqrtf(v[i]) * v_scale + eps);
    }
    store_unit(s.m_out + at, m, n, wide);
    store_unit(s.v_out + at, v, n, wide);
    store_unit(s.p_out + at, p, n, wide);
  }
  squares_of_block(part, squares);
}

// Reads 12 bytes an element and writes 8, 7 FLOPs. PyTorch's SGD without dampening.
static __global__ void sgd_kernel(optim_slabs s, int64_t count, bool wide, float *part) {
  const float rate = s.coef[0], keep = s.coef[3], momentum = s.coef[4];
  float squares = 0;
  for (int64_t at = 4 * duel_first(); at < count; at += 4 * duel_stride()) {
    const int64_t n = count - at;
    float p[4], m[4], g[4];
    load_unit(g, s.grad + at, n, wide);
    load_unit(m, s.m_in + at, n, wide);
    load_unit(p, s.p_in + at, n, wide);
    for (int i = 0; i < 4; i++) {
      squares += g[i] * g[i];
      m[i] = momentum * m[i] + g[i];
      p[i] = p[i] * keep - rate * m[i];
    }
    store_unit(s.m_out + at, m, n, wide);
    store_unit(s.p_out + at, p, n, wide);
  }
  squares_of_block(part, squares);
}

// Arenas lie at multiples of 256 bytes, but views begin anywhere: all or none are accessed 16 bytes at a time.
static bool is_wide(const duel_call *call, int slabs_in) {
  bool wide = true;
  for (int i = 0; i < slabs_in; i++) wide = wide && duel_aligned16(call->in[i].data);
  for (int i = 0; i < slabs_in - 1; i++) wide = wide && duel_aligned16(call->out[i].data);
  return wide;
}

static void squares_finish(const duel_call *call, unsigned parts, int output) {
  DUEL_LAUNCH(duel_lane_of(call), squares_kernel, 1, DUEL_BLOCK, 0, (const float *)call->scratch, (int)parts,
              (float *)call->out[output].data);
}

static void adam_run(const duel_call *call, int, int64_t) {
  const duel_operand *in = call->in, *out = call->out;
  const optim_slabs s = {(const float *)in[0].data, (const float *)in[1].data, (const float *)in[2].data,
                         (const float *)in[3].data, (const float *)in[4].data, (float *)out[0].data,
                         (float *)out[1].data,      (float *)out[2].data};
  const unsigned blocks = duel_blocks(units_of(call), DUEL_BLOCK);
  DUEL_LAUNCH(duel_lane_of(call), adam_kernel, blocks, DUEL_BLOCK, 0, s, duel_count(&in[0]), is_wide(call, 4),
              (float *)call->scratch);
  squares_finish(call, blocks, 3);
}
const duel_kernel duel_cuda_adam = {squares_scratch, nullptr, adam_run};

static void sgd_run(const duel_call *call, int, int64_t) {
  const duel_operand *in = call->in, *out = call->out;
  const optim_slabs s = {(const float *)in[0].data,
                         (const float *)in[1].data,
                         nullptr,
                         (const float *)in[2].data,
                         (const float *)in[3].data,
                         (float *)out[0].data,
                         (float *)out[1].data,
                         nullptr};
  const unsigned blocks = duel_blocks(units_of(call), DUEL_BLOCK);
  DUEL_LAUNCH(duel_lane_of(call), sgd_kernel, blocks, DUEL_BLOCK, 0, s, duel_count(&in[0]), is_wide(call, 3),
              (float *)call->scratch);
  squares_finish(call, blocks, 2);
}
const duel_kernel duel_cuda_sgd = {squares_scratch, nullptr, sgd_run};

struct ema_of { // (old, x, w): reads 8 bytes an element and writes 4, 3 FLOPs
  enum { INPUTS = 3 };
  __device__ float operator()(const float *in) const { return in[0] + in[2] * (in[1] - in[0]); }
};

static void ema_run(const duel_call *call, int, int64_t) {
  duel_element_wise(call, ema_of{});
}
const duel_kernel duel_cuda_ema = {nullptr, nullptr, ema_run};

// The value may have been computed in place already.
static void assign_run(const duel_call *call, int, int64_t) {
  float *dst = (float *)call->out[0].data;
  const float *src = (const float *)call->in[1].data;
  if (dst != src) duel_cuda_copy(duel_lane_of(call), dst, src, duel_count(&call->in[1]));
}
const duel_kernel duel_cuda_assign = {nullptr, nullptr, assign_run};
