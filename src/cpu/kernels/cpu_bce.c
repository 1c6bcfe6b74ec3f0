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

static int bce_logits_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  const int64_t n = bce_pieces(call);
  pieces[0] = n > 0 ? n : 1;
  pieces[1] = 1;
  return n > 1 ? 2 : 1;
}

static void bce_logits_run(const duel_call *call, int phase, int64_t piece) {
  const int64_t count = duel_count(&call->in[0]), n = bce_pieces(call);
  real *partial = call->scratch, *out = call->out[0].data;
  if (phase == 1) {
    real total = 0;
    for (int64_t i = 0; i < n; i++) total += partial[i];
    out[0] = total / (real)count;
    return;
  }
  const duel_span r = duel_piece(count, DUEL_SUM_LANES, n > 0 ? n : 1, piece);
  const real *x = call->in[0].data;
  const real target = (real)call->attr->bce.target;
  real lane[DUEL_SUM_LANES] = {0};
  int64_t i = r.begin;
  for (; i + DUEL_SUM_LANES <= r.end; i += DUEL_SUM_LANES) {
    DUEL_SIMD for (int j = 0; j < DUEL_SUM_LANES; j++) lane[j] += duel_softplus_real(x[i + j]) - target * x[i + j];
  }
  for (int j = 0; i + j < r.end; j++) lane[j] += duel_softplus_real(x[i + j]) - target * x[i + j];
  const real sum = duel_lanes_sum(lane);
  if (n > 1) {
    partial[piece] = sum;
  } else {
    out[0] = sum / (real)count;
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(bce_logits) = {
    .scratch = bce_logits_scratch, .cut = bce_logits_cut, .run = bce_logits_run};

static int bce_logits_grad_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  pieces[0] = bce_pieces(call);
  return 1;
}

static void bce_logits_grad_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  const int64_t count = duel_count(&call->in[0]);
  const duel_span r = duel_piece(count, DUEL_SUM_LANES, bce_pieces(call), piece);
  const real *x = call->in[0].data;
  real *dst = call->out[0].data;
  const real target = (real)call->attr->bce.target, scale = ((const real *)call->in[1].data)[0] / (real)count;
  DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) dst[i] = (duel_sigmoid_real(x[i]) - target) * scale;
}
const duel_cpu_kernel DUEL_CPU_NAME(bce_logits_grad) = {.cut = bce_logits_grad_cut, .run = bce_logits_grad_run};
