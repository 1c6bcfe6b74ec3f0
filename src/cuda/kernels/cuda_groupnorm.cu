// Group normalization and its gradient. x is [items, groups, runs, length]: a group of an item is a row of contiguous
// elements with a mean and a variance of its own; a run of `length` elements shares its scale and shift.
//   forward   mean and centered second moment, y = (x − mean)·invstd·scale + shift
//   backward  a run: d_shift = Σd, d_scale = Σ d·x̂; d_x = invstd·(scale·d − Σ scale·d/m − x̂·Σ scale·d·x̂/m)
// The rows of x are the columns of columns.cuh, whose rows are the elements of one, in fours where their number is a
// multiple of 4. Short ones get a warp each, others a block or, where they are long and few, several: then a first
// kernel leaves partial results in scratch [2, splits, rows], and each block of the second joins those of its row anew.
#include "cuda/kernels/norm.cuh"

struct group_layout {
  int64_t groups, runs, length; // length: elements of a run
  int64_t row;                  // runs × length
  duel_columns c;
  float count, eps;
  int vector; // elements read at once: 4 or 1
  bool warps; // a warp for a row
};

static group_layout layout_of(const duel_call *call, const duel_operand *x, const duel_operand *scale) {
  group_layout l = {};
  l.groups = call->attr->groupnorm.groups;
  l.runs = duel_count(scale) / l.groups;
  l.length = 1;
  for (int i = scale->shape.rank + 1; i < x->shape.rank; i++) l.length *= x->shape.dim[i];
  l.row = l.runs * l.length;
  l.vector = l.row % 4 == 0 ? 4 : 1;
  l.c = duel_columns_of(l.row / l.vector, x->shape.dim[0] * l.groups, false);
  l.warps = l.c.rows <= DUEL_BLOCK;
  l.count = (float)l.row;
  l.eps = (float)call->attr->groupnorm.eps;
  return l;
}

// ---- what a team (a warp or a block) does
template <bool WARPS> static __device__ __forceinline__ int64_t items_of(const duel_columns &c) {
  constexpr int PER_BLOCK = DUEL_BLOCK / DUEL_WARP;
  return WARPS ? (c.columns + PER_BLOCK - 1) / PER_BLOCK : c.tiles * c.splits;
}

template <bool WARPS> static __device__ __forceinline__ duel_column_part part_of(const duel_columns &c, int64_t item) {
  if (!WARPS) return duel_column_part_of(c, item);
  duel_column_part p = {};
  p.column = item * (DUEL_BLOCK / DUEL_WARP) + (int)threadIdx.x / DUEL_WARP;
  p.inside = p.column < c.columns;
  p.row = (int)threadIdx.x % DUEL_WARP;
  p.end = p.inside ? c.rows : 0;
  p.step = DUEL_WARP;
  return p;
}

// Each thread of the team gets the sum, of one fixed tree. By blocks it has barriers.
template <bool WARPS> static __device__ __forceinline__ float join(float x, const duel_columns &c) {
  if constexpr (WARPS)
    return duel_warp_total(x);
  else
    return duel_column_join<false>(x, c);
}

template <bool WARPS> static __device__ __forceinline__ bool writes(const duel_column_part &p) {
  return p.inside && p.split == 0 && (int)threadIdx.x % (WARPS ? DUEL_WARP : DUEL_BLOCK) == 0;
}

// Where the numbers of the row's first run stand in scale and shift.
static __device__ __forceinline__ int64_t first_run(const group_layout &l, int64_t row) {
  return (row - duel_quotient(row, l.groups) * l.groups) * l.runs;
}

// The run of an element of a row, on its way through it.
struct run_walk {
  int64_t run, left; // elements of the run from here on
};

static __device__ __forceinline__ run_walk run_of(const group_layout &l, int64_t element) {
  const int64_t run = duel_quotient(element, l.length);
  return {run, (run + 1) * l.length - element};
}

static __device__ __forceinline__ void advance(const group_layout &l, run_walk &w) {
  if (--w.left > 0) return;
  w.left = l.length;
  w.run++;
}

// ---- forward
template <bool WARPS, int V>
static __device__ __forceinline__ duel_pair moments(const group_layout &l, const duel_column_part &p, const float *x,
                                                    bool aligned) {
  float v[V], sum = 0, squares = 0;
  x += p.column * l.row;
  DUEL_UNROLL(4)
  for (int64_t i = p.row; i < p.end; i += p.step) {
    duel_load<V>(v, x + i * V, aligned);
    for (int j = 0; j < V; j++) sum += v[j];
  }
  const float mean = join<WARPS>(sum, l.c) / duel_rows_of_split<V>(l.c, p.split);
  DUEL_UNROLL(4)
  for (int64_t i = p.row; i < p.end; i += p.step) {
    duel_load<V>(v, x + i * V, aligned);
    for (int j = 0; j < V; j++) squares += (v[j] - mean) * (v[j] - mean);
  }
  return {mean, join<WARPS>(squares, l.c)};
}

// Reads 4 bytes an element, twice, the second time from a cache; 4 FLOPs. Only where rows are split.
template <int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    groupnorm_moments(group_layout l, const float *__restrict__ x, bool aligned, float *__restrict__ part) {
  for (int64_t item = blockIdx.x; item < l.c.tiles * l.c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(l.c, item);
    duel_put_part(l.c, p, moments<false, V>(l, p, x, aligned), part);
  }
}

// Reads 4 bytes an element, up to three times, all but the first from a cache, and writes 4; 8 FLOPs.
template <bool WARPS, int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    groupnorm_normalize(group_layout l, const float *__restrict__ x, const float *__restrict__ scale,
                        const float *__restrict__ shift, bool aligned, const float *__restrict__ part,
                        float *__restrict__ y, float *__restrict__ mean, float *__restrict__ var) {
  for (int64_t item = blockIdx.x; item < items_of<WARPS>(l.c); item += gridDim.x) {
    const duel_column_part p = part_of<WARPS>(l.c, item);
    const duel_pair m =
        !WARPS && l.c.splits > 1 ? duel_join_moments<V>(l.c, p, part, l.count) : moments<WARPS, V>(l, p, x, aligned);
    const float variance = m.b / l.count, invstd = 1.0f / sqrtf(variance + l.eps);
    if (writes<WARPS>(p)) {
      mean[p.column] = m.a;
      var[p.column] = variance;
    }
    const int64_t first = first_run(l, p.column);
    DUEL_UNROLL(V == 4 ? 1 : 2)
    for (int64_t i = p.row; i < p.end; i += p.step) {
      float v[V];
      duel_load<V>(v, x + p.column * l.row + i * V, aligned);
      run_walk w = run_of(l, i * V);
      for (int j = 0; j < V; j++, advance(l, w))
        v[j] = (v[j] - m.a) * (invstd * scale[first + w.run]) + shift[first + w.run];
      duel_store<V>(y + p.column * l.row + i * V, v, aligned);
    }
  }
}

static size_t groupnorm_scratch(const duel_call *call) {
  const group_layout l = layout_of(call, &call->in[0], &call->in[1]);
  return duel_columns_scratch(&l.c, 2);
}

// Runs a statement with WARPS and V as constants.
#define BY_LAYOUT(l, ...)                                                                                              \
  do {                                                                                                                 \
    if ((l).warps) {                                                                                                   \
      constexpr bool WARPS = true;                                                                                     \
      DUEL_BY_VECTOR((l).vector == 4, __VA_ARGS__);                                                                    \
    } else {                                                                                                           \
      constexpr bool WARPS = false;                                                                                    \
      DUEL_BY_VECTOR((l).vector == 4, __VA_ARGS__);                                                                    \
    }                                                                                                                  \
  } while (0)

static unsigned grid_of(const group_layout *l) {
  return l->warps ? duel_blocks(l->c.columns * DUEL_WARP, DUEL_BLOCK) : duel_columns_grid(&l->c);
}

static void groupnorm_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const group_layout l = layout_of(call, &call->in[0], &call->in[1]);
  const float *x = (const float *)call->in[0].data, *scale = (const float *)call->in[1].data;
  const float *shift = (const float *)call->in[2].data;
  float *y = (float *)call->out[0].data, *mean = (float *)call->out[1].data, *var = (float *)call->out[2].data;
  float *part = l.c.splits > 1 ? (float *)call->scratch : nullptr;
  const bool aligned = duel_aligned16(x) && duel_aligned16(y);
  const unsigned grid = grid_of(&l);
  if (l.c.columns == 0) return;
  if (part)
    DUEL_BY_VECTOR(l.vector == 4, DUEL_LAUNCH(lane, groupnorm_moments<V>, grid, DUEL_BLOCK, 0, l, x, aligned, part));
  BY_LAYOUT(l, DUEL_LAUNCH(lane, (groupnorm_normalize<WARPS, V>), grid, DUEL_BLOCK, 0, l, x, scale, shift, aligned,
                           part, y, mean, var));
}
const duel_cuda_kernel duel_cuda_groupnorm = {groupnorm_scratch, groupnorm_run};

// ---- backward
// Σ scale·d and Σ scale·d·(x − mean) over a team's elements.
template <bool WARPS, int V>
static __device__ __forceinline__ duel_pair sums(const group_layout &l, const duel_column_part &p, const float *d_y,
                                                 const float *x, const float *scale, float mean, bool aligned) {
  float sum_d = 0, sum_dx = 0;
  DUEL_UNROLL(V == 4 ? 1 : 2)
  for (int64_t i = p.row; i < p.end; i += p.step) {
    float d[V], v[V];
    duel_load<V>(d, d_y + p.column * l.row + i * V, aligned);
    duel_load<V>(v, x + p.column * l.row + i * V, aligned);
    run_walk w = run_of(l, i * V);
    for (int j = 0; j < V; j++, advance(l, w)) {
      const float scaled = d[j] * scale[w.run];
      sum_d += scaled;
      sum_dx += scaled * (v[j] - mean);
    }
  }
  sum_d = join<WARPS>(sum_d, l.c);
  return {sum_d, join<WARPS>(sum_dx, l.c)};
}

// Reads 8 bytes an element; 5 FLOPs. Only where rows are split.
template <int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    groupnorm_sums(group_layout l, const float *__restrict__ d_y, const float *__restrict__ x,
                   const float *__restrict__ scale, const float *__restrict__ mean, bool aligned,
                   float *__restrict__ part) {
  for (int64_t item = blockIdx.x; item < l.c.tiles * l.c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(l.c, item);
    const float *own = scale + first_run(l, p.column);
    duel_put_part(l.c, p, sums<false, V>(l, p, d_y, x, own, p.inside ? mean[p.column] : 0.0f, aligned), part);
  }
}

// Reads 8 bytes an element, up to twice, the second time from a cache, and writes 4; 10 FLOPs.
template <bool WARPS, int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    groupnorm_d_x(group_layout l, const float *__restrict__ d_y, const float *__restrict__ x,
                  const float *__restrict__ scale, const float *__restrict__ mean, const float *__restrict__ var,
                  bool aligned, const float *__restrict__ part, float *__restrict__ d_x) {
  for (int64_t item = blockIdx.x; item < items_of<WARPS>(l.c); item += gridDim.x) {
    const duel_column_part p = part_of<WARPS>(l.c, item);
    const float center = p.inside ? mean[p.column] : 0.0f, spread = p.inside ? var[p.column] : 0.0f;
    const float *own = scale + first_run(l, p.column);
    const duel_pair s =
        !WARPS && l.c.splits > 1 ? duel_join_sums(l.c, p, part) : sums<WARPS, V>(l, p, d_y, x, own, center, aligned);
    const float invstd = 1.0f / sqrtf(spread + l.eps), mean_d = s.a / l.count, pull = s.b * invstd / l.count * invstd;
    DUEL_UNROLL(V == 4 ? 1 : 2)
    for (int64_t i = p.row; i < p.end; i += p.step) {
      float d[V], v[V];
      duel_load<V>(d, d_y + p.column * l.row + i * V, aligned);
      duel_load<V>(v, x + p.column * l.row + i * V, aligned);
      run_walk w = run_of(l, i * V);
      for (int j = 0; j < V; j++, advance(l, w)) {
        const float scaled = d[j] * own[w.run];
        d[j] = invstd * (scaled - mean_d - (v[j] - center) * pull);
      }
      duel_store<V>(d_x + p.column * l.row + i * V, d, aligned);
    }
  }
}

// Σd and Σ d·x̂ of each run, by `team` threads, a power of two of at most 32. Reads 8 bytes an element; 5 FLOPs.
template <int V>
static __global__ void groupnorm_runs(group_layout l, int64_t all_runs, int team, const float *__restrict__ d_y,
                                      const float *__restrict__ x, const float *__restrict__ mean,
                                      const float *__restrict__ var, bool aligned, float *__restrict__ d_scale,
                                      float *__restrict__ d_shift) {
  const int64_t threads = all_runs * team, warps = (threads + DUEL_WARP - 1) / DUEL_WARP;
  for (int64_t t = duel_first(); t < warps * DUEL_WARP; t += duel_stride()) { // whole warps
    const int64_t run = t >> (__ffs(team) - 1), row = duel_quotient(run, l.runs);
    const bool inside = t < threads;
    const float center = inside ? mean[row] : 0.0f;
    float sum_d = 0, sum_dx = 0;
    DUEL_UNROLL(4)
    for (int64_t i = inside ? (t & (team - 1)) * V : l.length; i < l.length; i += team * V) {
      float d[V], v[V];
      duel_load<V>(d, d_y + run * l.length + i, aligned);
      duel_load<V>(v, x + run * l.length + i, aligned);
      for (int j = 0; j < V; j++) {
        sum_d += d[j];
        sum_dx += d[j] * (v[j] - center);
      }
    }
    for (int offset = team / 2; offset > 0; offset /= 2) {
      sum_d += __shfl_down_sync(DUEL_FULL_MASK, sum_d, offset);
      sum_dx += __shfl_down_sync(DUEL_FULL_MASK, sum_dx, offset);
    }
    if (inside && (t & (team - 1)) == 0) {
      d_scale[run] = sum_dx * (1.0f / sqrtf(var[row] + l.eps));
      d_shift[run] = sum_d;
    }
  }
}

static size_t groupnorm_grad_scratch(const duel_call *call) {
  const group_layout l = layout_of(call, &call->in[1], &call->in[2]);
  return duel_columns_scratch(&l.c, 2);
}

static void groupnorm_grad_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const group_layout l = layout_of(call, &call->in[1], &call->in[2]);
  const float *d_y = (const float *)call->in[0].data, *x = (const float *)call->in[1].data;
  const float *scale = (const float *)call->in[2].data, *mean = (const float *)call->in[3].data;
  const float *var = (const float *)call->in[4].data;
  float *d_x = (float *)call->out[0].data, *d_scale = (float *)call->out[1].data, *d_shift = (float *)call->out[2].data;
  float *part = l.c.splits > 1 ? (float *)call->scratch : nullptr;
  const bool aligned = duel_aligned16(d_y) && duel_aligned16(x) && duel_aligned16(d_x);
  const unsigned grid = grid_of(&l);
  if (l.c.columns == 0) return;
  if (part)
    DUEL_BY_VECTOR(l.vector == 4,
                   DUEL_LAUNCH(lane, groupnorm_sums<V>, grid, DUEL_BLOCK, 0, l, d_y, x, scale, mean, aligned, part));
  BY_LAYOUT(l, DUEL_LAUNCH(lane, (groupnorm_d_x<WARPS, V>), grid, DUEL_BLOCK, 0, l, d_y, x, scale, mean, var, aligned,
                           part, d_x));
  const int64_t all_runs = l.c.columns * l.runs, wide = l.length % 4 == 0 ? 4 : 1;
  int team = 1;
  while (team < DUEL_WARP && team * wide < l.length) team *= 2;
  DUEL_BY_VECTOR(wide == 4, DUEL_LAUNCH(lane, groupnorm_runs<V>, duel_blocks(all_runs * team, DUEL_BLOCK), DUEL_BLOCK,
                                        0, l, all_runs, team, d_y, x, mean, var, aligned, d_scale, d_shift));
}
const duel_cuda_kernel duel_cuda_groupnorm_grad = {groupnorm_grad_scratch, groupnorm_grad_run};
