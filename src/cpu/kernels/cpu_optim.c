// Writers: adam, sgd, ema, running, assign. Output i usually lies exactly on input i. Slabs are flat; their gaps hold
// zeros and keep them. Denormals are IEEE's: moments that have all decayed to them cost 1.6 times the time on Zen 5,
// and products with them none, so nothing flushes them.
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 16384 };

// ---- adam, sgd: pieces are whole parts of Σ grad², each summed in lanes
static void update_cut(const duel_call *call, duel_cut *cut) {
  const int64_t count = duel_count(&call->in[0]);
  *cut = (duel_cut){duel_squares_parts(count), 1, duel_pieces(count, GRAIN)};
}

// From r.begin the longest stretch within one gap or between two, and whether it is a gap. *next: the first gap to look
// at, from 0 on and then as it was left.
static int64_t stretch(const duel_call *call, duel_span r, int64_t *next, bool *gap) {
  const int64_t *at = call->attr->optim.gap, n = call->attr->optim.gaps;
  while (*next < n && at[2 * *next + 1] <= r.begin) (*next)++;
  *gap = *next < n && at[2 * *next] <= r.begin;
  return *next < n ? duel_min(r.end, at[2 * *next + (*gap ? 1 : 0)]) : r.end;
}

// Applies ONE(i, lane, gradient) to every i of the stretch, lane by lane.
#define FOR_LANES(r, ONE, GRAD)                                                                                        \
  do {                                                                                                                 \
    int64_t base = (r).begin;                                                                                          \
    for (; base + DUEL_SUM_LANES <= (r).end; base += DUEL_SUM_LANES) {                                                 \
      DUEL_SIMD for (int j = 0; j < DUEL_SUM_LANES; j++) {                                                             \
        ONE(base + j, j, GRAD);                                                                                        \
      }                                                                                                                \
    }                                                                                                                  \
    for (int j = 0; base + j < (r).end; j++) {                                                                         \
      ONE(base + j, j, GRAD);                                                                                          \
    }                                                                                                                  \
  } while (0)
#define FOR_STRETCH(r, gap, grad, ONE)                                                                                 \
  if (gap)                                                                                                             \
    FOR_LANES(r, ONE, 0);                                                                                              \
  else                                                                                                                 \
    FOR_LANES(r, ONE, (grad)[base + j])

// An update of elements r with the coefficients c, whose grad² go to the lanes; in a gap the gradient is 0.
typedef void update_stretch(const duel_call *call, duel_span r, bool gap, const real *c, real *lane);

DUEL_INLINE void update(const duel_call *call, duel_span parts, update_stretch *run, real *squares) {
  real c[8];
  for (int i = 0; i < 8; i++) c[i] = duel_number(&call->in[call->n_in - 1], i);
  const int64_t count = duel_count(&call->in[0]), span = duel_squares_span(count);
  int64_t next = 0;
  for (int64_t part = parts.begin; part < parts.end; part++) {
    const duel_span whole = {part * span, duel_min((part + 1) * span, count)};
    real lane[DUEL_SUM_LANES] = {0};
    for (duel_span r = whole; r.begin < whole.end; r.begin = r.end) {
      bool gap;
      r.end = stretch(call, (duel_span){r.begin, whole.end}, &next, &gap);
      run(call, r, gap, c, lane);
    }
    squares[part] = duel_lanes_sum(lane);
  }
}

DUEL_INLINE void adam_stretch(const duel_call *call, duel_span r, bool gap, const real *c, real *lane) {
  const real *p_in = call->in[0].data, *m_in = call->in[1].data, *v_in = call->in[2].data, *grad = call->in[3].data;
  real *p_out = call->out[0].data, *m_out = call->out[1].data, *v_out = call->out[2].data;
  const real rate = c[0], v_scale = c[1], eps = c[2], keep = c[3], beta1 = c[4], mix1 = c[5], beta2 = c[6], mix2 = c[7];
#define ADAM_ONE(i, l, GRAD)                                                                                           \
  const real g = GRAD, g2 = g * g;                                                                                     \
  const real m = beta1 * m_in[i] + mix1 * g, v = beta2 * v_in[i] + mix2 * g2;                                          \
  lane[l] += g2;                                                                                                       \
  m_out[i] = m;                                                                                                        \
  v_out[i] = v;                                                                                                        \
  p_out[i] = p_in[i] * keep - rate * m / (duel_sqrt_real(v) * v_scale + eps)
  FOR_STRETCH(r, gap, grad, ADAM_ONE);
}

static void adam_run(const duel_call *call, const duel_piece *piece) {
  update(call, piece->units, adam_stretch, call->out[3].data);
}
const duel_cpu_kernel DUEL_CPU_NAME(adam) = {.cut = update_cut, .run = adam_run};

DUEL_INLINE void sgd_stretch(const duel_call *call, duel_span r, bool gap, const real *c, real *lane) {
  const real *p_in = call->in[0].data, *m_in = call->in[1].data, *grad = call->in[2].data;
  real *p_out = call->out[0].data, *m_out = call->out[1].data;
  const real rate = c[0], keep = c[3], momentum = c[4];
#define SGD_ONE(i, l, GRAD)                                                                                            \
  const real g = GRAD, m = momentum * m_in[i] + g;                                                                     \
  lane[l] += g * g;                                                                                                    \
  m_out[i] = m;                                                                                                        \
  p_out[i] = p_in[i] * keep - rate * m
  FOR_STRETCH(r, gap, grad, SGD_ONE);
}

static void sgd_run(const duel_call *call, const duel_piece *piece) {
  update(call, piece->units, sgd_stretch, call->out[2].data);
}
const duel_cpu_kernel DUEL_CPU_NAME(sgd) = {.cut = update_cut, .run = sgd_run};

// ---- ema, running, assign
static void ema_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  const real *old = call->in[0].data, *x = call->in[1].data;
  const real w = duel_number(&call->in[2], 0);
  real *dst = call->out[0].data;
  DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) dst[i] = old[i] + w * (x[i] - old[i]);
}
const duel_cpu_kernel DUEL_CPU_NAME(ema) = {.grain = GRAIN, .run = ema_run};

// The unbiased variance is rounded before it is subtracted from, as a node of its own would.
static void running_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  const real *mean = call->in[0].data, *var = call->in[1].data, *x = call->in[2].data, *y = call->in[3].data;
  const real w = (real)call->attr->running.weight, unbias = (real)call->attr->running.unbias;
  real *mean_out = call->out[0].data, *var_out = call->out[1].data;
  DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) {
    mean_out[i] = mean[i] + w * (x[i] - mean[i]);
    var_out[i] = var[i] + w * (unbias * y[i] - var[i]);
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(running) = {.grain = GRAIN, .run = running_run};

static void clamp(const duel_call *call, duel_span r, real bound) {
  const real *x = call->in[1].data;
  real *dst = call->out[0].data;
  DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) dst[i] = x[i] > bound ? bound : x[i] < -bound ? -bound : x[i];
}

// A copy, of any element type. The value may have been computed in place already.
static void assign_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  if (call->attr->assign.bound > 0) clamp(call, r, (real)call->attr->assign.bound);
  if (call->attr->assign.bound > 0 || call->out[0].data == call->in[1].data) return;
  const size_t size = duel_dtype_size(call->out[0].dtype);
  memcpy((char *)call->out[0].data + (size_t)r.begin * size, (const char *)call->in[1].data + (size_t)r.begin * size,
         (size_t)(r.end - r.begin) * size);
}
const duel_cpu_kernel DUEL_CPU_NAME(assign) = {.grain = GRAIN, .run = assign_run};
