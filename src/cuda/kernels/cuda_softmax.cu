// Softmax cross-entropy on logits [N, K], its gradient, and the count of rows that are right. A warp has a row; each of
// its threads gets the sums, of one fixed tree. softmax_ce and hits leave a number a row in scratch and join them.
#include "cuda/kernels/columns.cuh"

struct softmax_rows {
  const float *x;
  const int32_t *label;
  int64_t n, classes;
};

static softmax_rows rows_of(const duel_call *call) {
  const int64_t *dim = call->in[0].shape.dim;
  return {(const float *)call->in[0].data, (const int32_t *)call->in[1].data, dim[0], dim[1]};
}

static unsigned grid_of(const softmax_rows &r) {
  return duel_blocks(r.n, DUEL_BLOCK / DUEL_WARP);
}

// The same for all threads of a warp, so that they loop alike.
static __device__ __forceinline__ int64_t first_row() {
  return (int64_t)blockIdx.x * (DUEL_BLOCK / DUEL_WARP) + threadIdx.x / DUEL_WARP;
}
static __device__ __forceinline__ int64_t row_stride() {
  return (int64_t)gridDim.x * (DUEL_BLOCK / DUEL_WARP);
}
static __device__ __forceinline__ int first_class() {
  return (int)threadIdx.x % DUEL_WARP;
}

static __device__ __forceinline__ bool in_range(const softmax_rows &r, int64_t row) {
  return r.label[row] >= 0 && r.label[row] < r.classes;
}

static __device__ __forceinline__ float warp_largest(const float *x, int64_t n) {
  float max = -INFINITY;
  for (int64_t i = first_class(); i < n; i += DUEL_WARP) max = fmaxf(max, x[i]);
  for (int offset = DUEL_WARP / 2; offset > 0; offset /= 2)
    max = fmaxf(max, __shfl_xor_sync(DUEL_FULL_MASK, max, offset));
  return max;
}

static __device__ __forceinline__ float warp_sum_exp(const float *x, int64_t n, float max) {
  float sum = 0;
  for (int64_t i = first_class(); i < n; i += DUEL_WARP) sum += expf(x[i] - max);
  return duel_warp_total(sum);
}

// Reads 4 bytes an element three times, once from memory, about 20 FLOPs each; writes 4 bytes a row: its share of the
// mean.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    softmax_losses(softmax_rows r, float smoothing, float *__restrict__ dst) {
  for (int64_t row = first_row(); row < r.n; row += row_stride()) {
    const float *x = r.x + row * r.classes;
    const float max = warp_largest(x, r.classes);
    float loss = logf(warp_sum_exp(x, r.classes, max));
    if (smoothing > 0) {
      float below = 0;
      for (int64_t i = first_class(); i < r.classes; i += DUEL_WARP) below += x[i] - max;
      loss -= smoothing / (float)r.classes * duel_warp_total(below);
    }
    if (first_class() == 0)
      dst[row] = in_range(r, row) ? (loss - (1.0f - smoothing) * (x[r.label[row]] - max)) / (float)r.n : NAN;
  }
}

// Reads 4 bytes an element, three times, and writes 4, about 30 FLOPs.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    softmax_gradient(softmax_rows r, float other, float hot, const float *__restrict__ d_loss,
                     float *__restrict__ dst) {
  const float scale = d_loss[0] / (float)r.n;
  for (int64_t row = first_row(); row < r.n; row += row_stride()) {
    const float *x = r.x + row * r.classes;
    const float max = warp_largest(x, r.classes), sum = warp_sum_exp(x, r.classes, max);
    const bool known = in_range(r, row);
    for (int64_t i = first_class(); i < r.classes; i += DUEL_WARP) {
      const float target = i == r.label[row] ? hot : other;
      dst[row * r.classes + i] = known ? (expf(x[i] - max) / sum - target) * scale : NAN;
    }
  }
}

// Reads 4 bytes an element and writes 4 a row, 1 for a hit: the label's number is as large as those behind it and
// larger than those before it; a NaN among them is neither.
static __global__ void __launch_bounds__(DUEL_BLOCK) hit_rows(softmax_rows r, float *__restrict__ dst) {
  for (int64_t row = first_row(); row < r.n; row += row_stride()) {
    const float *x = r.x + row * r.classes;
    const bool known = in_range(r, row);
    const int64_t label = known ? r.label[row] : 0;
    bool first = known;
    for (int64_t i = first_class(); i < r.classes; i += DUEL_WARP)
      first = first && (i < label ? x[i] < x[label] : x[i] <= x[label]);
    const float misses = duel_warp_total(first ? 0.0f : 1.0f);
    if (first_class() == 0) dst[row] = misses == 0 ? 1.0f : 0.0f;
  }
}

static size_t row_scratch(const duel_call *call) {
  return (size_t)call->in[0].shape.dim[0] * sizeof(float);
}

static void softmax_ce_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const softmax_rows r = rows_of(call);
  float *row = (float *)call->scratch;
  DUEL_LAUNCH(lane, softmax_losses, grid_of(r), DUEL_BLOCK, 0, r, (float)call->attr->softmax.smoothing, row);
  duel_cuda_join_columns(lane, false, row, r.n, 1, (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_softmax_ce = {row_scratch, softmax_ce_run};

static void softmax_ce_grad_run(const duel_call *call) {
  const softmax_rows r = rows_of(call);
  const double s = call->attr->softmax.smoothing, other = s / (double)r.classes;
  DUEL_LAUNCH(duel_lane_of(call), softmax_gradient, grid_of(r), DUEL_BLOCK, 0, r, (float)other, (float)(1 - s + other),
              (const float *)call->in[2].data, (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_softmax_ce_grad = {nullptr, softmax_ce_grad_run};

static void hits_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const softmax_rows r = rows_of(call);
  float *row = (float *)call->scratch;
  DUEL_LAUNCH(lane, hit_rows, grid_of(r), DUEL_BLOCK, 0, r, row);
  duel_cuda_join_columns(lane, false, row, r.n, 1, (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_hits = {row_scratch, hits_run};
