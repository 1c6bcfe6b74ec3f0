// Writers over flat arenas, one pass each: adam, sgd, ema, running, assign. Output i usually lies exactly on input i.
// Gaps of a slab hold zeros and keep them. Coefficients are read from device memory. A block makes a part of Σ grad²,
// by a fixed tree whose shape depends on the count alone: alignment and grid change no bit.
#include "cuda/nest.cuh"

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

struct optim_slabs { // of adam and sgd (without v)
  const float *p_in, *m_in, *v_in, *grad, *coef;
  float *p_out, *m_out, *v_out, *squares;
};

// Where the gradient counts as zero, whatever memory holds: [first, end) each, ascending.
struct optim_gaps {
  int n;
  int64_t first[DUEL_OPTIM_GAPS], end[DUEL_OPTIM_GAPS];
};
static_assert(sizeof(optim_slabs) + sizeof(optim_gaps) + 64 <= 4096, "a kernel's arguments");

static __device__ __forceinline__ void close_gaps(float (&g)[4], const optim_gaps &gaps, int64_t at) {
  int next = 0;
  for (int high = gaps.n; next < high;) { // the first gap that ends behind at
    const int middle = (next + high) / 2;
    if (gaps.end[middle] <= at) {
      next = middle + 1;
    } else {
      high = middle;
    }
  }
  for (int i = 0; i < 4; i++) {
    while (next < gaps.n && gaps.end[next] <= at + i) next++;
    if (next < gaps.n && gaps.first[next] <= at + i) g[i] = 0.0f;
  }
}

// An update by blocks of DUEL_BLOCK threads, one a part of Σ grad². one(at, n, squares) updates the n ≤ 4 elements at
// `at` and adds their grad².
template <typename ONE>
static __device__ __forceinline__ void update(float *dst, int64_t count, int64_t span, ONE one) {
  for (int64_t part = blockIdx.x; part * span < count; part += gridDim.x) {
    const int64_t end = (part + 1) * span < count ? (part + 1) * span : count;
    float squares = 0;
    for (int64_t at = part * span + 4 * (int64_t)threadIdx.x; at < end; at += 4 * DUEL_BLOCK)
      one(at, end - at, squares);
    squares = duel_block_sum<DUEL_BLOCK>(squares);
    if (threadIdx.x == 0) dst[part] = squares;
  }
}

// Reads 16 bytes an element and writes 12, 15 FLOPs. All reads come before the first use.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    adam_kernel(optim_slabs s, optim_gaps gaps, int64_t count, int64_t span, bool wide) {
  const float rate = s.coef[0], v_scale = s.coef[1], eps = s.coef[2], keep = s.coef[3];
  const float beta1 = s.coef[4], mix1 = s.coef[5], beta2 = s.coef[6], mix2 = s.coef[7];
  update(s.squares, count, span, [&](int64_t at, int64_t n, float &squares) {
    float p[4], m[4], v[4], g[4];
    load_unit(g, s.grad + at, n, wide);
    load_unit(m, s.m_in + at, n, wide);
    load_unit(v, s.v_in + at, n, wide);
    load_unit(p, s.p_in + at, n, wide);
    if (gaps.n > 0) close_gaps(g, gaps, at);
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
  });
}

// Reads 12 bytes an element and writes 8, 7 FLOPs. PyTorch's SGD without dampening.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    sgd_kernel(optim_slabs s, optim_gaps gaps, int64_t count, int64_t span, bool wide) {
  const float rate = s.coef[0], keep = s.coef[3], momentum = s.coef[4];
  update(s.squares, count, span, [&](int64_t at, int64_t n, float &squares) {
    float p[4], m[4], g[4];
    load_unit(g, s.grad + at, n, wide);
    load_unit(m, s.m_in + at, n, wide);
    load_unit(p, s.p_in + at, n, wide);
    if (gaps.n > 0) close_gaps(g, gaps, at);
    for (int i = 0; i < 4; i++) {
      squares += g[i] * g[i];
      m[i] = momentum * m[i] + g[i];
      p[i] = p[i] * keep - rate * m[i];
    }
    store_unit(s.m_out + at, m, n, wide);
    store_unit(s.p_out + at, p, n, wide);
  });
}

static optim_gaps gaps_of(const duel_call *call) {
  optim_gaps gaps = {};
  gaps.n = (int)call->attr->optim.gaps;
  for (int i = 0; i < gaps.n; i++) {
    gaps.first[i] = call->attr->optim.gap[2 * i];
    gaps.end[i] = call->attr->optim.gap[2 * i + 1];
  }
  return gaps;
}

// Arenas lie at multiples of 256 bytes, but views begin anywhere: all or none are accessed 16 bytes at a time.
static bool is_wide(const duel_call *call, int slabs_in) {
  bool wide = true;
  for (int i = 0; i < slabs_in; i++) wide = wide && duel_aligned16(call->in[i].data);
  for (int i = 0; i < slabs_in - 1; i++) wide = wide && duel_aligned16(call->out[i].data);
  return wide;
}

static void adam_run(const duel_call *call) {
  const duel_operand *in = call->in, *out = call->out;
  const optim_slabs s = {(const float *)in[0].data, (const float *)in[1].data, (const float *)in[2].data,
                         (const float *)in[3].data, (const float *)in[4].data, (float *)out[0].data,
                         (float *)out[1].data,      (float *)out[2].data,      (float *)out[3].data};
  const int64_t count = duel_count(&in[0]);
  DUEL_LAUNCH(duel_lane_of(call), adam_kernel, duel_blocks(duel_squares_parts(count), 1), DUEL_BLOCK, 0, s,
              gaps_of(call), count, duel_squares_span(count), is_wide(call, 4));
}
const duel_cuda_kernel duel_cuda_adam = {nullptr, adam_run};

static void sgd_run(const duel_call *call) {
  const duel_operand *in = call->in, *out = call->out;
  const optim_slabs s = {(const float *)in[0].data,
                         (const float *)in[1].data,
                         nullptr,
                         (const float *)in[2].data,
                         (const float *)in[3].data,
                         (float *)out[0].data,
                         (float *)out[1].data,
                         nullptr,
                         (float *)out[2].data};
  const int64_t count = duel_count(&in[0]);
  DUEL_LAUNCH(duel_lane_of(call), sgd_kernel, duel_blocks(duel_squares_parts(count), 1), DUEL_BLOCK, 0, s,
              gaps_of(call), count, duel_squares_span(count), is_wide(call, 3));
}
const duel_cuda_kernel duel_cuda_sgd = {nullptr, sgd_run};

struct ema_of { // (old, x, w): reads 8 bytes an element and writes 4, 3 FLOPs
  enum { INPUTS = 3 };
  __device__ float operator()(const float *in) const { return in[0] + in[2] * (in[1] - in[0]); }
};

static void ema_run(const duel_call *call) {
  duel_element_wise(call, ema_of{});
}
const duel_cuda_kernel duel_cuda_ema = {nullptr, ema_run};

// Reads 16 bytes a channel and writes 8, 7 FLOPs. The unbiased variance is rounded before it is subtracted from.
static __global__ void running_kernel(const float *mean, const float *var, const float *x, const float *y,
                                      int64_t count, float w, float unbias, float *mean_out, float *var_out) {
  for (int64_t i = duel_first(); i < count; i += duel_stride()) {
    mean_out[i] = mean[i] + w * (x[i] - mean[i]);
    var_out[i] = var[i] + w * (__fmul_rn(unbias, y[i]) - var[i]);
  }
}

static void running_run(const duel_call *call) {
  const duel_operand *in = call->in, *out = call->out;
  const int64_t count = duel_count(&in[0]);
  DUEL_LAUNCH(duel_lane_of(call), running_kernel, duel_blocks(count, DUEL_BLOCK), DUEL_BLOCK, 0,
              (const float *)in[0].data, (const float *)in[1].data, (const float *)in[2].data,
              (const float *)in[3].data, count, (float)call->attr->running.weight, (float)call->attr->running.unbias,
              (float *)out[0].data, (float *)out[1].data);
}
const duel_cuda_kernel duel_cuda_running = {nullptr, running_run};

struct clamp_of { // (old, x): reads 8 bytes an element and writes 4; NaN stays
  enum { INPUTS = 2 };
  float bound;
  __device__ float operator()(const float *in) const { return in[1] > bound ? bound : in[1] < -bound ? -bound : in[1]; }
};

// The value may have been computed in place already.
static void assign_run(const duel_call *call) {
  if (call->attr->assign.bound > 0) {
    duel_element_wise(call, clamp_of{(float)call->attr->assign.bound});
    return;
  }
  float *dst = (float *)call->out[0].data;
  const float *src = (const float *)call->in[1].data;
  if (dst != src) duel_cuda_copy(duel_lane_of(call), dst, src, duel_count(&call->in[1]));
}
const duel_cuda_kernel duel_cuda_assign = {nullptr, assign_run};
