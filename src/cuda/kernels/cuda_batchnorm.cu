// Batch normalization over all axes but axis 1, with the activation folded in, and its gradient.
//   forward   mean and centered second moment, y = act((x − mean)·invstd·scale + shift)
//   backward  d = d_y·act'(y); d_shift = Σd, d_scale = Σ d·x̂, d_x = scale·invstd·(d − d_shift/m − x̂·d_scale/m)
// Channels are the columns of columns.cuh. [N, C]: a block takes channels side by side; [N, C, S...]: one channel, of
// which a row is one element or, where S is a multiple of 4, four. One kernel does it all where rows are not split: the
// second and third pass find their numbers in a cache. Where they are, a first kernel leaves partial results in scratch
// [2, splits, C], and each block of the second joins those of its channels anew.
#include "cuda/kernels/norm.cuh"

struct norm_layout {
  int64_t channels, plane; // plane: elements of S
  duel_columns c;
  duel_rows rows;          // of channel 0
  float count, slope, eps; // count: elements of a channel
  int vector;              // elements of a row: 4 or 1
};

static norm_layout layout_of(const duel_call *call, const duel_operand *x) {
  norm_layout l = {};
  const int64_t items = x->shape.dim[0];
  l.channels = x->shape.dim[1];
  l.plane = 1;
  for (int i = 2; i < x->shape.rank; i++) l.plane *= x->shape.dim[i];
  l.vector = l.plane % 4 == 0 ? 4 : 1;
  const int64_t run = l.plane / l.vector;
  const duel_nd nd = {2, 1, {items, run}, {{l.channels * l.plane, l.vector}}};
  l.c = duel_columns_of(items * run, l.channels, l.plane == 1);
  l.rows = duel_rows_of(&nd, DUEL_BLOCK / l.c.wide);
  l.count = (float)(items * l.plane);
  l.slope = (float)call->attr->batchnorm.slope;
  l.eps = (float)call->attr->batchnorm.eps;
  return l;
}

// Where a thread stands among its rows.
struct walk {
  duel_cursor c;
  int64_t row;
};

static __device__ __forceinline__ walk first_row(const norm_layout &l, const duel_column_part &p) {
  if (!p.inside || p.row >= p.end) return {{0, 0, 0}, p.end};
  walk w = {duel_cursor_of(l.rows, p.row), p.row};
  w.c.at += p.column * l.plane;
  return w;
}

static __device__ __forceinline__ void advance(const norm_layout &l, const duel_column_part &p, walk &w) {
  duel_cursor_step(l.rows, w.c);
  w.row += p.step;
}

// ---- forward
// The mean and the centered second moment of a block's rows.
template <int V>
static __device__ __forceinline__ duel_pair moments(const norm_layout &l, const duel_column_part &p, const walk &first,
                                                    const float *x, bool aligned) {
  float v[V], sum = 0, squares = 0;
  DUEL_UNROLL(V == 4 ? 2 : 4)
  for (walk w = first; w.row < p.end; advance(l, p, w)) {
    duel_load<V>(v, x + w.c.at, aligned);
    for (int i = 0; i < V; i++) sum += v[i];
  }
  const float mean = duel_column_join<false>(sum, l.c) / duel_rows_of_split<V>(l.c, p.split);
  DUEL_UNROLL(V == 4 ? 2 : 4)
  for (walk w = first; w.row < p.end; advance(l, p, w)) {
    duel_load<V>(v, x + w.c.at, aligned);
    for (int i = 0; i < V; i++) squares += (v[i] - mean) * (v[i] - mean);
  }
  return {mean, duel_column_join<false>(squares, l.c)};
}

// Reads 4 bytes an element, twice, the second time from a cache; 4 FLOPs. Only where rows are split.
template <int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    batchnorm_moments(norm_layout l, const float *__restrict__ x, bool aligned, float *__restrict__ part) {
  for (int64_t item = blockIdx.x; item < l.c.tiles * l.c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(l.c, item);
    const walk first = first_row(l, p);
    const duel_pair m = moments<V>(l, p, first, x, aligned);
    duel_put_part(l.c, p, m, part);
  }
}

// Reads 4 bytes an element, up to three times, all but the first from a cache, and writes 4; 8 FLOPs and the
// activation's.
template <int ACT, int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    batchnorm_normalize(norm_layout l, const float *__restrict__ x, const float *__restrict__ scale,
                        const float *__restrict__ shift, bool aligned, const float *__restrict__ part,
                        float *__restrict__ y, float *__restrict__ mean, float *__restrict__ var) {
  for (int64_t item = blockIdx.x; item < l.c.tiles * l.c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(l.c, item);
    const walk first = first_row(l, p);
    const duel_pair m =
        l.c.splits > 1 ? duel_join_moments<V>(l.c, p, part, l.count) : moments<V>(l, p, first, x, aligned);
    const float variance = m.b / l.count;
    if (duel_column_writer(l.c, p) && p.split == 0) {
      mean[p.column] = m.a;
      var[p.column] = variance;
    }
    if (!p.inside) continue; // without a barrier till the next item
    const float gain = scale[p.column] / sqrtf(variance + l.eps), add = shift[p.column];
    DUEL_UNROLL(V == 4 ? 2 : 4)
    for (walk w = first; w.row < p.end; advance(l, p, w)) {
      float v[V];
      duel_load<V>(v, x + w.c.at, aligned);
      for (int i = 0; i < V; i++) v[i] = duel_act_of<ACT>((v[i] - m.a) * gain + add, l.slope);
      duel_store<V>(y + w.c.at, v, aligned);
    }
  }
}

static size_t batchnorm_scratch(const duel_call *call) {
  const norm_layout l = layout_of(call, &call->in[0]);
  return duel_columns_scratch(&l.c, 2);
}

static void batchnorm_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const norm_layout l = layout_of(call, &call->in[0]);
  const float *x = (const float *)call->in[0].data, *scale = (const float *)call->in[1].data;
  const float *shift = (const float *)call->in[2].data;
  float *y = (float *)call->out[0].data, *mean = (float *)call->out[1].data, *var = (float *)call->out[2].data;
  float *part = l.c.splits > 1 ? (float *)call->scratch : nullptr;
  const bool aligned = duel_aligned16(x) && duel_aligned16(y);
  const unsigned grid = duel_columns_grid(&l.c);
  if (l.channels == 0) return;
  if (part)
    DUEL_BY_VECTOR(l.vector == 4, DUEL_LAUNCH(lane, batchnorm_moments<V>, grid, DUEL_BLOCK, 0, l, x, aligned, part));
  DUEL_BY_VECTOR(l.vector == 4, DUEL_WITH_ACT(call->attr->batchnorm.act,
                                              DUEL_LAUNCH(lane, (batchnorm_normalize<ACT, V>), grid, DUEL_BLOCK, 0, l,
                                                          x, scale, shift, aligned, part, y, mean, var)));
}
const duel_cuda_kernel duel_cuda_batchnorm = {batchnorm_scratch, batchnorm_run};

// ---- backward
// Σd and Σ d·(x − mean) over a block's rows, d = d_y·act'(y).
template <int ACT, int V>
static __device__ __forceinline__ duel_pair sums(const norm_layout &l, const duel_column_part &p, const walk &first,
                                                 const float *d_y, const float *x, const float *y, float mean,
                                                 bool aligned) {
  float sum_d = 0, sum_dx = 0;
  DUEL_UNROLL(V == 4 ? 1 : 2)
  for (walk w = first; w.row < p.end; advance(l, p, w)) {
    float vd[V], vx[V], vy[V];
    duel_load<V>(vd, d_y + w.c.at, aligned);
    duel_load<V>(vx, x + w.c.at, aligned);
    duel_load<V>(vy, y + w.c.at, aligned);
    for (int i = 0; i < V; i++) {
      const float d = vd[i] * duel_act_slope_of<ACT>(vy[i], l.slope);
      sum_d += d;
      sum_dx += d * (vx[i] - mean);
    }
  }
  sum_d = duel_column_join<false>(sum_d, l.c);
  return {sum_d, duel_column_join<false>(sum_dx, l.c)};
}

// Reads 12 bytes an element; 4 FLOPs and the derivative's. Only where rows are split.
template <int ACT, int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    batchnorm_sums(norm_layout l, const float *__restrict__ d_y, const float *__restrict__ x,
                   const float *__restrict__ mean, const float *__restrict__ y, bool aligned,
                   float *__restrict__ part) {
  for (int64_t item = blockIdx.x; item < l.c.tiles * l.c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(l.c, item);
    const walk first = first_row(l, p);
    const duel_pair s = sums<ACT, V>(l, p, first, d_y, x, y, p.inside ? mean[p.column] : 0.0f, aligned);
    duel_put_part(l.c, p, s, part);
  }
}

// Reads 12 bytes an element, up to twice, the second time from a cache, and writes 4; 9 FLOPs and the derivative's.
template <int ACT, int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    batchnorm_d_x(norm_layout l, const float *__restrict__ d_y, const float *__restrict__ x,
                  const float *__restrict__ scale, const float *__restrict__ mean, const float *__restrict__ var,
                  const float *__restrict__ y, bool aligned, const float *__restrict__ part, float *__restrict__ d_x,
                  float *__restrict__ d_scale, float *__restrict__ d_shift) {
  for (int64_t item = blockIdx.x; item < l.c.tiles * l.c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(l.c, item);
    const walk first = first_row(l, p);
    const float center = p.inside ? mean[p.column] : 0.0f;
    const duel_pair s =
        l.c.splits > 1 ? duel_join_sums(l.c, p, part) : sums<ACT, V>(l, p, first, d_y, x, y, center, aligned);
    if (!p.inside) continue; // without a barrier till the next item
    const float invstd = 1.0f / sqrtf(var[p.column] + l.eps), spread = s.b * invstd;
    if (duel_column_writer(l.c, p) && p.split == 0) {
      d_scale[p.column] = spread;
      d_shift[p.column] = s.a;
    }
    const float gain = scale[p.column] * invstd, mean_d = s.a / l.count, pull = spread / l.count * invstd;
    DUEL_UNROLL(V == 4 ? 1 : 2)
    for (walk w = first; w.row < p.end; advance(l, p, w)) {
      float vd[V], vx[V], vy[V];
      duel_load<V>(vd, d_y + w.c.at, aligned);
      duel_load<V>(vx, x + w.c.at, aligned);
      duel_load<V>(vy, y + w.c.at, aligned);
      for (int i = 0; i < V; i++) {
        const float d = vd[i] * duel_act_slope_of<ACT>(vy[i], l.slope);
        vd[i] = gain * (d - mean_d - (vx[i] - center) * pull);
      }
      duel_store<V>(d_x + w.c.at, vd, aligned);
    }
  }
}

static size_t batchnorm_grad_scratch(const duel_call *call) {
  const norm_layout l = layout_of(call, &call->in[1]);
  return duel_columns_scratch(&l.c, 2);
}

static void batchnorm_grad_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const norm_layout l = layout_of(call, &call->in[1]);
  const float *d_y = (const float *)call->in[0].data, *x = (const float *)call->in[1].data;
  const float *scale = (const float *)call->in[2].data, *mean = (const float *)call->in[3].data;
  const float *var = (const float *)call->in[4].data, *y = (const float *)call->in[5].data;
  float *d_x = (float *)call->out[0].data, *d_scale = (float *)call->out[1].data, *d_shift = (float *)call->out[2].data;
  float *part = l.c.splits > 1 ? (float *)call->scratch : nullptr;
  const bool aligned = duel_aligned16(d_y) && duel_aligned16(x) && duel_aligned16(y) && duel_aligned16(d_x);
  const unsigned grid = duel_columns_grid(&l.c);
  if (l.channels == 0) return;
  if (part) {
    DUEL_BY_VECTOR(l.vector == 4, DUEL_WITH_ACT(call->attr->batchnorm.act,
                                                DUEL_LAUNCH(lane, (batchnorm_sums<ACT, V>), grid, DUEL_BLOCK, 0, l, d_y,
                                                            x, mean, y, aligned, part)));
  }
  DUEL_BY_VECTOR(l.vector == 4, DUEL_WITH_ACT(call->attr->batchnorm.act,
                                              DUEL_LAUNCH(lane, (batchnorm_d_x<ACT, V>), grid, DUEL_BLOCK, 0, l, d_y, x,
                                                          scale, mean, var, y, aligned, part, d_x, d_scale, d_shift)));
}
const duel_cuda_kernel duel_cuda_batchnorm_grad = {batchnorm_grad_scratch, batchnorm_grad_run};
