// Writers: adam, sgd, ema, assign. Output i usually lies exactly on input i. Slabs are flat; their gaps hold zeros and
// keep them. Σ grad² is summed in lanes, then over pieces in order (scratch, phase 1). Denormals are IEEE's: moments
// that have all decayed to them cost 1.6 times the time on Zen 5, and products with them none, so nothing flushes them.
#include "cpu/cpu_kernel.h"

enum { GRAIN = 16384 };

static int64_t flat_pieces(const duel_call *call) {
  return duel_pieces(duel_count(&call->in[0]), GRAIN);
}

static size_t squares_scratch(const duel_call *call) {
  return (size_t)flat_pieces(call) * sizeof(real);
}

static int squares_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  pieces[0] = flat_pieces(call);
  pieces[1] = 1;
  return 2;
}

static void squares_finish(const duel_call *call, real *dst) {
  const real *partial = call->scratch;
  const int64_t n = flat_pieces(call);
  real total = 0;
  for (int64_t i = 0; i < n; i++) total += partial[i];
  dst[0] = total;
}

// Applies ONE(i, lane) to every i of the piece, lane by lane.
#define FOR_LANES(r, ONE)                                                                                              \
  do {                                                                                                                 \
    int64_t base = (r).begin;                                                                                          \
    for (; base + DUEL_LANES <= (r).end; base += DUEL_LANES) {                                                         \
      DUEL_SIMD for (int j = 0; j < DUEL_LANES; j++) {                                                                 \
        ONE(base + j, j);                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
    for (int j = 0; base + j < (r).end; j++) {                                                                         \
      ONE(base + j, j);                                                                                                \
    }                                                                                                                  \
  } while (0)

static void adam_run(const duel_call *call, int phase, int64_t piece) {
  if (phase == 1) {
    squares_finish(call, call->out[3].data);
    return;
  }
  const duel_range r = duel_piece(duel_count(&call->in[0]), DUEL_LANES, flat_pieces(call), piece);
  const real *p_in = call->in[0].data, *m_in = call->in[1].data, *v_in = call->in[2].data, *grad = call->in[3].data;
  real *p_out = call->out[0].data, *m_out = call->out[1].data, *v_out = call->out[2].data;
  real c[8];
  for (int i = 0; i < 8; i++) c[i] = duel_number(&call->in[4], i);
  const real rate = c[0], v_scale = c[1], eps = c[2], keep = c[3], beta1 = c[4], mix1 = c[5], beta2 = c[6], mix2 = c[7];
  real lane[DUEL_LANES] = {0};
#define ADAM_ONE(i, l)                                                                                                 \
  const real g = grad[i], g2 = g * g;                                                                                  \
  const real m = beta1 * m_in[i] + mix1 * g, v = beta2 * v_in[i] + mix2 * g2;                                          \
  lane[l] += g2;                                                                                                       \
  m_out[i] = m;                                                                                                        \
  v_out[i] = v;                                                                                                        \
  p_out[i] = p_in[i] * keep - rate * m / (duel_sqrt_real(v) * v_scale + eps)
  FOR_LANES(r, ADAM_ONE);
  ((real *)call->scratch)[piece] = duel_lanes_sum(lane);
}
const duel_kernel DUEL_CPU_NAME(adam) = {.scratch = squares_scratch, .cut = squares_cut, .run = adam_run};

static void sgd_run(const duel_call *call, int phase, int64_t piece) {
  if (phase == 1) {
    squares_finish(call, call->out[2].data);
    return;
  }
  const duel_range r = duel_piece(duel_count(&call->in[0]), DUEL_LANES, flat_pieces(call), piece);
  const real *p_in = call->in[0].data, *m_in = call->in[1].data, *grad = call->in[2].data;
  real *p_out = call->out[0].data, *m_out = call->out[1].data;
  const real rate = duel_number(&call->in[3], 0), keep = duel_number(&call->in[3], 3);
  const real momentum = duel_number(&call->in[3], 4);
  real lane[DUEL_LANES] = {0};
#define SGD_ONE(i, l)                                                                                                  \
  const real g = grad[i], m = momentum * m_in[i] + g;                                                                  \
  lane[l] += g * g;                                                                                                    \
  m_out[i] = m;                                                                                                        \
  p_out[i] = p_in[i] * keep - rate * m
  FOR_LANES(r, SGD_ONE);
  ((real *)call->scratch)[piece] = duel_lanes_sum(lane);
}
const duel_kernel DUEL_CPU_NAME(sgd) = {.scratch = squares_scratch, .cut = squares_cut, .run = sgd_run};

static int flat_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  pieces[0] = flat_pieces(call);
  return 1;
}

static void ema_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  const duel_range r = duel_piece(duel_count(&call->in[0]), DUEL_LANES, flat_pieces(call), piece);
  const real *old = call->in[0].data, *x = call->in[1].data;
  const real w = duel_number(&call->in[2], 0);
  real *dst = call->out[0].data;
  DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) dst[i] = old[i] + w * (x[i] - old[i]);
}
const duel_kernel DUEL_CPU_NAME(ema) = {.cut = flat_cut, .run = ema_run};

// A copy, of any element type. The value may have been computed in place already.
static void assign_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  if (call->out[0].data == call->in[1].data) return;
  const duel_range r = duel_piece(duel_count(&call->in[0]), DUEL_LANES, flat_pieces(call), piece);
  const size_t size = duel_dtype_size(call->out[0].dtype);
  memcpy((char *)call->out[0].data + (size_t)r.begin * size, (const char *)call->in[1].data + (size_t)r.begin * size,
         (size_t)(r.end - r.begin) * size);
}
const duel_kernel DUEL_CPU_NAME(assign) = {.cut = flat_cut, .run = assign_run};
