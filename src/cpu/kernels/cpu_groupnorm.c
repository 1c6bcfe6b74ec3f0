// Group normalization and its gradient. x [items, groups of channels, runs, length]: a group of an item is a row of
// contiguous elements, with a mean and a variance of its own. A run of `length` elements shares its scale and shift.
//   forward    mean and centered second moment (the data are read again, still in cache),
//              y = (x − mean)·invstd·scale + shift
//   backward   a run: d_shift = Σd, d_scale = Σ d·x̂; d_x = invstd·(scale·d − Σ scale·d_shift/m − x̂·Σ scale·d_scale/m)
// A piece owns whole rows.
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 8192 }; // elements a piece

typedef struct layout {
  int64_t groups, runs, length;
  int64_t rows, row; // items × groups; runs × length, the elements of a row
  real count, eps;
} layout;

static layout layout_of(const duel_call *call) {
  const duel_operand *x = &call->in[call->op == DUEL_OP_GROUPNORM_GRAD ? 1 : 0], *scale = x + 1;
  layout l = {.groups = call->attr->groupnorm.groups, .length = 1, .eps = (real)call->attr->groupnorm.eps};
  l.runs = duel_count(scale) / l.groups;
  for (int i = scale->shape.rank + 1; i < x->shape.rank; i++) l.length *= x->shape.dim[i];
  l.rows = x->shape.dim[0] * l.groups;
  l.row = l.runs * l.length;
  l.count = (real)l.row;
  return l;
}

// ---- forward
// n elements, whose scales lie side by side (stride 1) or are one (stride 0).
DUEL_INLINE void normalize(int stride, int64_t n, const real *x, real mean, real invstd, const real *scale,
                           const real *shift, real *y) {
  DUEL_SIMD for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * (invstd * scale[i * stride]) + shift[i * stride];
}

static void forward_row(const layout *l, const duel_call *call, int64_t r) {
  const real *x = (const real *)call->in[0].data + r * l->row;
  const real *scale = (const real *)call->in[1].data + r % l->groups * l->runs;
  const real *shift = (const real *)call->in[2].data + r % l->groups * l->runs;
  real *y = (real *)call->out[0].data + r * l->row;
  real lane[DUEL_SUM_LANES] = {0};
  DUEL_SUM_RUN(lane, l->row, x[i]);
  const real mean = duel_lanes_sum(lane) / l->count;
  memset(lane, 0, sizeof lane);
  DUEL_SUM_RUN(lane, l->row, (x[i] - mean) * (x[i] - mean));
  const real var = duel_lanes_sum(lane) / l->count, invstd = 1 / duel_sqrt_real(var + l->eps);
  ((real *)call->out[1].data)[r] = mean;
  ((real *)call->out[2].data)[r] = var;
  if (l->length == 1) {
    normalize(1, l->row, x, mean, invstd, scale, shift, y);
  } else {
    for (int64_t k = 0; k < l->runs; k++)
      normalize(0, l->length, x + k * l->length, mean, invstd, scale + k, shift + k, y + k * l->length);
  }
}

// ---- backward
// Σd and Σ d·x̂ of one run.
static void sum_run(int64_t n, const real *d, const real *x, real mean, real invstd, real *d_scale, real *d_shift) {
  real sum_d = 0, sum_dx = 0;
  if (n < DUEL_SUM_LANES) {
    for (int64_t i = 0; i < n; i++) {
      sum_d += d[i];
      sum_dx += d[i] * (x[i] - mean);
    }
  } else {
    real lane_d[DUEL_SUM_LANES] = {0}, lane_dx[DUEL_SUM_LANES] = {0};
    DUEL_SUM_RUN(lane_d, n, d[i]);
    DUEL_SUM_RUN(lane_dx, n, d[i] * (x[i] - mean));
    sum_d = duel_lanes_sum(lane_d);
    sum_dx = duel_lanes_sum(lane_dx);
  }
  *d_scale = sum_dx * invstd;
  *d_shift = sum_d;
}

// stride as above.
DUEL_INLINE void differentiate(int stride, int64_t n, const real *d, const real *x, const real *scale, real mean,
                               real invstd, real mean_d, real pull, real *d_x) {
  DUEL_SIMD for (int64_t i = 0; i < n; i++) d_x[i] =
      invstd * (scale[i * stride] * d[i] - mean_d - (x[i] - mean) * pull);
}

static void backward_row(const layout *l, const duel_call *call, int64_t r) {
  const real *d = (const real *)call->in[0].data + r * l->row, *x = (const real *)call->in[1].data + r * l->row;
  const real *scale = (const real *)call->in[2].data + r % l->groups * l->runs;
  const real mean = ((const real *)call->in[3].data)[r];
  const real invstd = 1 / duel_sqrt_real(((const real *)call->in[4].data)[r] + l->eps);
  real *d_x = (real *)call->out[0].data + r * l->row;
  real *d_scale = (real *)call->out[1].data + r * l->runs, *d_shift = (real *)call->out[2].data + r * l->runs;
  if (l->length == 1) {
    DUEL_SIMD for (int64_t i = 0; i < l->row; i++) {
      d_scale[i] = d[i] * (x[i] - mean) * invstd;
      d_shift[i] = d[i];
    }
  } else {
    for (int64_t k = 0; k < l->runs; k++)
      sum_run(l->length, d + k * l->length, x + k * l->length, mean, invstd, &d_scale[k], &d_shift[k]);
  }
  real lane[DUEL_SUM_LANES] = {0};
  DUEL_SUM_RUN(lane, l->runs, scale[i] * d_shift[i]);
  const real mean_d = duel_lanes_sum(lane) / l->count;
  memset(lane, 0, sizeof lane);
  DUEL_SUM_RUN(lane, l->runs, scale[i] * d_scale[i]);
  const real pull = duel_lanes_sum(lane) / l->count * invstd;
  if (l->length == 1) {
    differentiate(1, l->row, d, x, scale, mean, invstd, mean_d, pull, d_x);
  } else {
    for (int64_t k = 0; k < l->runs; k++) {
      const int64_t at = k * l->length;
      differentiate(0, l->length, d + at, x + at, scale + k, mean, invstd, mean_d, pull, d_x + at);
    }
  }
}

// ---- kernels
static void cut(const duel_call *call, duel_cut *cut) {
  const layout l = layout_of(call);
  *cut = duel_cut_rows(l.rows, l.rows * l.row, GRAIN);
}

static void groupnorm_run(const duel_call *call, const duel_piece *piece) {
  const layout l = layout_of(call);
  const bool backward = call->op == DUEL_OP_GROUPNORM_GRAD;
  for (int64_t r = piece->units.begin; r < piece->units.end; r++) (backward ? backward_row : forward_row)(&l, call, r);
}
const duel_cpu_kernel DUEL_CPU_NAME(groupnorm) = {.cut = cut, .run = groupnorm_run};
const duel_cpu_kernel DUEL_CPU_NAME(groupnorm_grad) = {.cut = cut, .run = groupnorm_run};
