// Softmax cross-entropy on logits [N, K], its gradient, and the count of rows that are right. Pieces are runs of rows;
// a row's sums run in lanes. In phase 0 softmax_ce and hits leave a term a row in scratch, which phase 1 adds up.
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 4096 };

typedef struct rows {
  int64_t n, classes;
  const real *x;
  const int32_t *label;
} rows;

static rows rows_of(const duel_call *call) {
  const int64_t *dim = call->in[0].shape.dim;
  return (rows){dim[0], dim[1], call->in[0].data, call->in[1].data};
}

static bool in_range(const rows *r, int64_t row) {
  return r->label[row] >= 0 && r->label[row] < r->classes;
}

static real largest(const real *x, int64_t n) {
  real lane[DUEL_SUM_LANES];
  for (int j = 0; j < DUEL_SUM_LANES; j++) lane[j] = -(real)INFINITY;
  int64_t i = 0;
  for (; i + DUEL_SUM_LANES <= n; i += DUEL_SUM_LANES) {
    DUEL_SIMD for (int j = 0; j < DUEL_SUM_LANES; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  }
  for (int j = 0; i + j < n; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  for (int j = 1; j < DUEL_SUM_LANES; j++) lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
  return lane[0];
}

static real sum_exp(const real *x, int64_t n, real max) {
  real lane[DUEL_SUM_LANES] = {0};
  DUEL_SUM_RUN(lane, n, duel_exp_real(x[i] - max));
  return duel_lanes_sum(lane);
}

static real sum_below(const real *x, int64_t n, real max) {
  real lane[DUEL_SUM_LANES] = {0};
  DUEL_SUM_RUN(lane, n, x[i] - max);
  return duel_lanes_sum(lane);
}

// ---- a term a row, then their sum
static size_t row_scratch(const duel_call *call) {
  return (size_t)call->in[0].shape.dim[0] * sizeof(real);
}

static void grad_cut(const duel_call *call, duel_cut *cut) {
  const int64_t n = call->in[0].shape.dim[0];
  cut[0] = duel_cut_rows(n, n * call->in[0].shape.dim[1], GRAIN);
}

static void row_cut(const duel_call *call, duel_cut *cut) {
  grad_cut(call, cut);
  cut[1] = duel_cut_each(1);
}

static real sum_rows(const duel_call *call) {
  const real *row = call->scratch;
  real lane[DUEL_SUM_LANES] = {0};
  DUEL_SUM_RUN(lane, call->in[0].shape.dim[0], row[i]);
  return duel_lanes_sum(lane);
}

static real loss_of(const rows *r, int64_t row, real smoothing) {
  const real *x = r->x + row * r->classes;
  if (!in_range(r, row)) return (real)NAN;
  const real max = largest(x, r->classes), loss = duel_log_real(sum_exp(x, r->classes, max));
  const real kept = loss - (1 - smoothing) * (x[r->label[row]] - max);
  return smoothing > 0 ? kept - smoothing / (real)r->classes * sum_below(x, r->classes, max) : kept;
}

static void softmax_ce_run(const duel_call *call, const duel_piece *piece) {
  const rows r = rows_of(call);
  if (piece->phase == 1) {
    ((real *)call->out[0].data)[0] = sum_rows(call) / (real)r.n;
    return;
  }
  const duel_span range = piece->units;
  real *dst = call->scratch;
  for (int64_t row = range.begin; row < range.end; row++)
    dst[row] = loss_of(&r, row, (real)call->attr->softmax.smoothing);
}
const duel_cpu_kernel DUEL_CPU_NAME(softmax_ce) = {.scratch = row_scratch, .cut = row_cut, .run = softmax_ce_run};

// The label's logit is as large as those behind it and larger than those before it; a NaN among them is neither.
static bool is_hit(const rows *r, int64_t row) {
  const real *x = r->x + row * r->classes;
  if (!in_range(r, row)) return false;
  const int64_t label = r->label[row];
  bool first = true;
  for (int64_t i = 0; i < label; i++) first &= x[i] < x[label];
  for (int64_t i = label; i < r->classes; i++) first &= x[i] <= x[label];
  return first;
}

static void hits_run(const duel_call *call, const duel_piece *piece) {
  const rows r = rows_of(call);
  if (piece->phase == 1) {
    ((real *)call->out[0].data)[0] = sum_rows(call);
    return;
  }
  const duel_span range = piece->units;
  real *dst = call->scratch;
  for (int64_t row = range.begin; row < range.end; row++) dst[row] = is_hit(&r, row);
}
const duel_cpu_kernel DUEL_CPU_NAME(hits) = {.scratch = row_scratch, .cut = row_cut, .run = hits_run};

// ---- softmax_ce_grad
static void softmax_ce_grad_run(const duel_call *call, const duel_piece *piece) {
  const rows r = rows_of(call);
  const duel_span range = piece->units;
  const double s = call->attr->softmax.smoothing, low = s / (double)r.classes;
  const real other = (real)low, hot = (real)(1 - s + low);
  const real scale = ((const real *)call->in[2].data)[0] / (real)r.n;
  for (int64_t row = range.begin; row < range.end; row++) {
    const real *x = r.x + row * r.classes;
    real *dst = (real *)call->out[0].data + row * r.classes;
    if (!in_range(&r, row)) {
      for (int64_t i = 0; i < r.classes; i++) dst[i] = (real)NAN;
      continue;
    }
    const real max = largest(x, r.classes), sum = sum_exp(x, r.classes, max);
    DUEL_SIMD for (int64_t i = 0; i < r.classes; i++) dst[i] = (duel_exp_real(x[i] - max) / sum - other) * scale;
    const int32_t at = r.label[row];
    dst[at] = (duel_exp_real(x[at] - max) / sum - hot) * scale;
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(softmax_ce_grad) = {.cut = grad_cut, .run = softmax_ce_grad_run};
