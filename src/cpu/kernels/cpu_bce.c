// Binary cross-entropy on logits against one target, mean over all elements, and its gradient.
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 4096 };

// Large inputs: phase 0 leaves one partial sum a piece in scratch, phase 1 adds them in order.
static int64_t bce_pieces(const duel_call *call) {
  return duel_pieces(duel_count(&call->in[0]), GRAIN);
}

static size_t bce_logits_scratch(const duel_call *call) {
  const int64_t n = bce_pieces(call);
  return n > 1 ? (size_t)n * sizeof(real) : 0;
}

static void bce_logits_cut(const duel_call *call, duel_cut *cut) {
  cut[0] = duel_cut_elements(duel_count(&call->in[0]), GRAIN);
  if (cut[0].pieces == 0) cut[0].pieces = 1; // no elements still have a mean
  if (cut[0].pieces > 1) cut[1] = duel_cut_each(1);
}

static void bce_logits_run(const duel_call *call, const duel_piece *piece) {
  const int64_t count = duel_count(&call->in[0]), n = bce_pieces(call);
  real *partial = call->scratch, *out = call->out[0].data;
  if (piece->phase == 1) {
    real total = 0;
    for (int64_t i = 0; i < n; i++) total += partial[i];
    out[0] = total / (real)count;
    return;
  }
  const real *x = (const real *)call->in[0].data + piece->units.begin;
  const real target = (real)call->attr->bce.target;
  real lane[DUEL_SUM_LANES] = {0};
  DUEL_SUM_RUN(lane, piece->units.end - piece->units.begin, duel_softplus_real(x[i]) - target * x[i]);
  const real sum = duel_lanes_sum(lane);
  if (n > 1) {
    partial[piece->index] = sum;
  } else {
    out[0] = sum / (real)count;
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(bce_logits) = {
    .scratch = bce_logits_scratch, .cut = bce_logits_cut, .run = bce_logits_run};

static void bce_logits_grad_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  const real *x = call->in[0].data;
  real *dst = call->out[0].data;
  const real target = (real)call->attr->bce.target,
             scale = ((const real *)call->in[1].data)[0] / (real)duel_count(&call->in[0]);
  DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) dst[i] = (duel_sigmoid_real(x[i]) - target) * scale;
}
const duel_cpu_kernel DUEL_CPU_NAME(bce_logits_grad) = {.grain = GRAIN, .run = bce_logits_grad_run};
