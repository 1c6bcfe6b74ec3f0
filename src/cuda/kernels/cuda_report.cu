// The scalars of a step: one kernel for all of them, a block for each. Inputs are short.
#include "cuda/nest.cuh"

struct report_term {
  const float *x;
  int64_t count;
  float mul, target;
  int scalar, kind;
};

struct report_list {
  int n;
  report_term at[DUEL_REPORT_TERMS];
};
static_assert(sizeof(report_list) + 64 <= 4096, "a kernel's arguments");

static __device__ __forceinline__ float value_of(const report_term &t, float x) {
  switch (t.kind) {
  case DUEL_REPORT_SIGN:
    return (x >= 0 ? 1.0f : 0.0f) - (x <= 0 ? 1.0f : 0.0f);
  case DUEL_REPORT_BCE:
    return duel_softplus_of(x) - t.target * x;
  default:
    return x;
  }
}

// Reads 4 bytes an element, 1 FLOP or, of a loss, about 40.
static __global__ void __launch_bounds__(DUEL_BLOCK) report_kernel(report_list all, float *__restrict__ dst) {
  float total = 0;
  for (int i = 0; i < all.n; i++) {
    const report_term &t = all.at[i];
    if (t.scalar != (int)blockIdx.x) continue; // of the whole block
    float sum = 0;
    for (int64_t k = threadIdx.x; k < t.count; k += DUEL_BLOCK) sum += value_of(t, t.x[k]);
    total += t.mul * duel_block_sum<DUEL_BLOCK>(sum);
  }
  if (threadIdx.x == 0) dst[blockIdx.x] = total;
}

static void report_run(const duel_call *call) {
  report_list all = {};
  all.n = call->n_in - 1;
  for (int i = 0; i < all.n; i++) {
    const duel_report_term *t = &call->attr->report.term[i];
    const duel_operand *x = &call->in[i + 1];
    all.at[i] = report_term{(const float *)x->data, duel_count(x), (float)t->mul, (float)t->target, t->scalar, t->kind};
  }
  DUEL_LAUNCH(duel_lane_of(call), report_kernel, (unsigned)duel_count(&call->out[0]), DUEL_BLOCK, 0, all,
              (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_report = {nullptr, report_run};
