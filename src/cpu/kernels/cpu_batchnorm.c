// Batch normalization over all axes but axis 1, with the activation folded in, and its gradient.
//   forward    mean and centered second moment (the data are read again, still in cache),
//              y = act((x − mean)·invstd·scale + shift)
//   backward   d = d_y·act'(y); d_shift = Σd, d_scale = Σ d·x̂, d_x = scale·invstd·(d − d_shift/m − x̂·d_scale/m)
// A piece owns whole channels. [N, C] goes in blocks of neighboring channels, [N, C, S...] one channel at a time.
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 8192, LEAST = 32, BLOCK = 64 }; // elements a piece; channels of a block

typedef struct layout {
  int64_t n, c, s; // x is [n, c, s]
  real count;      // elements a channel
  int act;
  real slope, eps;
} layout;

static layout layout_of(const duel_call *call) {
  const duel_operand *x = &call->in[call->op == DUEL_OP_BATCHNORM_GRAD ? 1 : 0];
  layout l = {.n = x->shape.dim[0], .c = x->shape.dim[1], .s = 1};
  for (int i = 2; i < x->shape.rank; i++) l.s *= x->shape.dim[i];
  l.count = (real)(l.n * l.s);
  l.act = call->attr->batchnorm.act;
  l.slope = (real)call->attr->batchnorm.slope;
  l.eps = (real)call->attr->batchnorm.eps;
  return l;
}

static void cut(const duel_call *call, duel_cut *cut) {
  const layout l = layout_of(call);
  const int64_t align = l.s == 1 ? LEAST : 1;
  *cut = (duel_cut){l.c, align, duel_min(duel_pieces(l.n * l.c * l.s, GRAIN), duel_ceil_div(l.c, align))};
  if (cut->pieces == 0 && l.c > 0) cut->pieces = 1; // an empty batch still has statistics to write
}

// ---- rows of n elements: one a channel (the statistics lie side by side, stride 1), or all of one channel (stride 0)
DUEL_INLINE void normalize_as(int act, real slope, int stride, int64_t n, const real *x, const real *mean,
                              const real *gain, const real *shift, real *y) {
  DUEL_SIMD for (int64_t j = 0; j < n; j++) y[j] =
      duel_act_real((x[j] - mean[j * stride]) * gain[j * stride] + shift[j * stride], act, slope);
}

static void normalize(const layout *l, int64_t n, const real *x, const real *mean, const real *gain, const real *shift,
                      real *y) {
  if (l->s == 1) {
    DUEL_BY_ACT(l->act, normalize_as, l->slope, 1, n, x, mean, gain, shift, y)
  } else {
    DUEL_BY_ACT(l->act, normalize_as, l->slope, 0, n, x, mean, gain, shift, y)
  }
}

// d = d_y·act'(y) goes to d_x for now.
DUEL_INLINE void unact_as(int act, real slope, int64_t n, const real *d_y, const real *y, real *d) {
  DUEL_SIMD for (int64_t j = 0; j < n; j++) d[j] = d_y[j] * duel_act_slope(y[j], act, slope);
}

static void unact(const layout *l, int64_t n, const real *d_y, const real *y, real *d) {
  DUEL_BY_ACT(l->act, unact_as, l->slope, n, d_y, y, d)
}

// ---- [N, C]: a block of w channels side by side, row by row
static void forward_block(const layout *l, const duel_call *call, int64_t c, int64_t w) {
  const real *src = (const real *)call->in[0].data + c, *scale = (const real *)call->in[1].data + c;
  const real *shift = (const real *)call->in[2].data + c;
  real *dst = (real *)call->out[0].data + c, *mean_out = (real *)call->out[1].data + c;
  real *var_out = (real *)call->out[2].data + c;
  real mean[BLOCK] = {0}, var[BLOCK] = {0}, gain[BLOCK];
  for (int64_t i = 0; i < l->n;) {
    const int64_t stop = duel_min(i + DUEL_CHUNK_ROWS, l->n);
    real chunk[BLOCK] = {0};
    for (; i < stop; i++) {
      const real *x = src + i * l->c;
      DUEL_SIMD for (int64_t j = 0; j < w; j++) chunk[j] += x[j];
    }
    for (int64_t j = 0; j < w; j++) mean[j] += chunk[j];
  }
  for (int64_t j = 0; j < w; j++) mean[j] /= l->count;
  for (int64_t i = 0; i < l->n;) {
    const int64_t stop = duel_min(i + DUEL_CHUNK_ROWS, l->n);
    real chunk[BLOCK] = {0};
    for (; i < stop; i++) {
      const real *x = src + i * l->c;
      DUEL_SIMD for (int64_t j = 0; j < w; j++) chunk[j] += (x[j] - mean[j]) * (x[j] - mean[j]);
    }
    for (int64_t j = 0; j < w; j++) var[j] += chunk[j];
  }
  for (int64_t j = 0; j < w; j++) {
    var[j] /= l->count;
    gain[j] = scale[j] / duel_sqrt_real(var[j] + l->eps);
    mean_out[j] = mean[j];
    var_out[j] = var[j];
  }
  for (int64_t i = 0; i < l->n; i++) normalize(l, w, src + i * l->c, mean, gain, shift, dst + i * l->c);
}

static void backward_block(const layout *l, const duel_call *call, int64_t c, int64_t w) {
  const real *d_y = (const real *)call->in[0].data + c, *x = (const real *)call->in[1].data + c;
  const real *scale = (const real *)call->in[2].data + c, *mean = (const real *)call->in[3].data + c;
  const real *var = (const real *)call->in[4].data + c, *y = (const real *)call->in[5].data + c;
  real *d_x = (real *)call->out[0].data + c, *d_scale = (real *)call->out[1].data + c;
  real *d_shift = (real *)call->out[2].data + c;
  real sum_d[BLOCK] = {0}, sum_dx[BLOCK] = {0}, invstd[BLOCK], gain[BLOCK], pull[BLOCK];
  for (int64_t i = 0; i < l->n;) {
    const int64_t stop = duel_min(i + DUEL_CHUNK_ROWS, l->n);
    real chunk_d[BLOCK] = {0}, chunk_dx[BLOCK] = {0};
    for (; i < stop; i++) {
      real *d = d_x + i * l->c;
      const real *xi = x + i * l->c;
      unact(l, w, d_y + i * l->c, y + i * l->c, d);
      DUEL_SIMD for (int64_t j = 0; j < w; j++) {
        chunk_d[j] += d[j];
        chunk_dx[j] += d[j] * (xi[j] - mean[j]);
      }
    }
    for (int64_t j = 0; j < w; j++) {
      sum_d[j] += chunk_d[j];
      sum_dx[j] += chunk_dx[j];
    }
  }
  for (int64_t j = 0; j < w; j++) {
    invstd[j] = 1 / duel_sqrt_real(var[j] + l->eps);
    d_scale[j] = sum_dx[j] * invstd[j];
    d_shift[j] = sum_d[j];
    gain[j] = scale[j] * invstd[j];
    sum_d[j] /= l->count;
    pull[j] = d_scale[j] / l->count * invstd[j];
  }
  for (int64_t i = 0; i < l->n; i++) {
    real *d = d_x + i * l->c;
    const real *xi = x + i * l->c;
    DUEL_SIMD for (int64_t j = 0; j < w; j++) d[j] = gain[j] * (d[j] - sum_d[j] - (xi[j] - mean[j]) * pull[j]);
  }
}

// ---- [N, C, S...]: one channel, run by batchnorm_run, sums in lanes

static void forward_channel(const layout *l, const duel_call *call, int64_t c) {
  const real *src = (const real *)call->in[0].data + c * l->s;
  const int64_t row = l->c * l->s;
  real lane[DUEL_SUM_LANES] = {0};
  for (int64_t r = 0; r < l->n; r++) DUEL_SUM_RUN(lane, l->s, src[r * row + i]);
  const real mean = duel_lanes_sum(lane) / l->count;
  memset(lane, 0, sizeof lane);
  for (int64_t r = 0; r < l->n; r++) DUEL_SUM_RUN(lane, l->s, (src[r * row + i] - mean) * (src[r * row + i] - mean));
  const real var = duel_lanes_sum(lane) / l->count;
  const real gain = ((const real *)call->in[1].data)[c] / duel_sqrt_real(var + l->eps);
  const real *shift = (const real *)call->in[2].data + c;
  ((real *)call->out[1].data)[c] = mean;
  ((real *)call->out[2].data)[c] = var;
  for (int64_t r = 0; r < l->n; r++)
    normalize(l, l->s, src + r * row, &mean, &gain, shift, (real *)call->out[0].data + r * row + c * l->s);
}

static void backward_channel(const layout *l, const duel_call *call, int64_t c) {
  const int64_t row = l->c * l->s, first = c * l->s;
  const real *d_y = (const real *)call->in[0].data + first, *x = (const real *)call->in[1].data + first;
  const real *y = (const real *)call->in[5].data + first;
  const real scale = ((const real *)call->in[2].data)[c], mean = ((const real *)call->in[3].data)[c];
  const real invstd = 1 / duel_sqrt_real(((const real *)call->in[4].data)[c] + l->eps);
  real *d_x = (real *)call->out[0].data + first;
  real lane_d[DUEL_SUM_LANES] = {0}, lane_dx[DUEL_SUM_LANES] = {0};
  for (int64_t r = 0; r < l->n; r++) {
    real *d = d_x + r * row;
    const real *xr = x + r * row;
    unact(l, l->s, d_y + r * row, y + r * row, d);
    DUEL_SUM_RUN(lane_d, l->s, d[i]);
    DUEL_SUM_RUN(lane_dx, l->s, d[i] * (xr[i] - mean));
  }
  const real d_shift = duel_lanes_sum(lane_d), d_scale = duel_lanes_sum(lane_dx) * invstd;
  ((real *)call->out[1].data)[c] = d_scale;
  ((real *)call->out[2].data)[c] = d_shift;
  const real gain = scale * invstd, mean_d = d_shift / l->count, pull = d_scale / l->count * invstd;
  for (int64_t r = 0; r < l->n; r++) {
    real *d = d_x + r * row;
    const real *xr = x + r * row;
    DUEL_SIMD for (int64_t i = 0; i < l->s; i++) d[i] = gain * (d[i] - mean_d - (xr[i] - mean) * pull);
  }
}

// ---- kernels
static void batchnorm_run(const duel_call *call, const duel_piece *piece) {
  const layout l = layout_of(call);
  const duel_span r = piece->units;
  const bool backward = call->op == DUEL_OP_BATCHNORM_GRAD;
  if (l.s == 1)
    for (int64_t c = r.begin; c < r.end; c += BLOCK)
      (backward ? backward_block : forward_block)(&l, call, c, duel_min(BLOCK, r.end - c));
  else
    for (int64_t c = r.begin; c < r.end; c++) (backward ? backward_channel : forward_channel)(&l, call, c);
}
const duel_cpu_kernel DUEL_CPU_NAME(batchnorm) = {.cut = cut, .run = batchnorm_run};
const duel_cpu_kernel DUEL_CPU_NAME(batchnorm_grad) = {.cut = cut, .run = batchnorm_run};
