// Binary cross-entropy on logits against one target, mean over all elements, and its gradient. The logits are one
// column of rows (columns.cuh).
#include "cuda/kernels/columns.cuh"

static bool by_fours(const duel_call *call) {
  return duel_count(&call->in[0]) % 4 == 0;
}

static duel_columns columns_of(const duel_call *call) {
  return duel_columns_of(duel_count(&call->in[0]) / (by_fours(call) ? 4 : 1), 1, false);
}

// Reads 4 bytes an element, about 30 FLOPs. dst: a mean's share of each split.
template <int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    bce_blocks(duel_columns c, const float *__restrict__ x, bool aligned, float target, float count,
               float *__restrict__ dst) {
  for (int64_t item = blockIdx.x; item < c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(c, item);
    float sum = 0;
    for (int64_t row = p.row; row < p.end; row += p.step) {
      float v[V];
      duel_load<V>(v, x + row * V, aligned);
      for (int i = 0; i < V; i++) sum += duel_softplus_of(v[i]) - target * v[i];
    }
    sum = duel_column_join<false>(sum, c);
    if (duel_column_writer(c, p)) dst[p.split] = sum / count;
  }
}

static size_t bce_logits_scratch(const duel_call *call) {
  const duel_columns c = columns_of(call);
  return duel_columns_scratch(&c, 1);
}

static void bce_logits_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const duel_columns c = columns_of(call);
  const float *x = (const float *)call->in[0].data;
  const float target = (float)call->attr->bce.target, count = (float)duel_count(&call->in[0]);
  float *out = (float *)call->out[0].data, *dst = c.splits > 1 ? (float *)call->scratch : out;
  DUEL_BY_VECTOR(by_fours(call), DUEL_LAUNCH(lane, bce_blocks<V>, duel_columns_grid(&c), DUEL_BLOCK, 0, c, x,
                                             duel_aligned16(x), target, count, dst));
  if (c.splits > 1) duel_cuda_join_columns(lane, false, dst, c.splits, 1, out);
}
const duel_cuda_kernel duel_cuda_bce_logits = {bce_logits_scratch, bce_logits_run};

// (x, d_loss) -> (sigmoid(x) − target)·d_loss/count: reads 4 bytes an element and writes 4, about 20 FLOPs.
struct bce_grad {
  enum { INPUTS = 2 };
  float target, count;
  __device__ float operator()(const float *in) const { return (duel_sigmoid_of(in[0]) - target) * (in[1] / count); }
};

static void bce_logits_grad_run(const duel_call *call) {
  const float count = (float)duel_count(&call->in[0]);
  duel_element_wise(call, bce_grad{(float)call->attr->bce.target, count});
}
const duel_cuda_kernel duel_cuda_bce_logits_grad = {nullptr, bce_logits_grad_run};
