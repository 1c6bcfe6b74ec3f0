// Sums and maxima over any axes. Outputs are columns, the elements of an output its rows; both lie in the input at
// strided places. If the innermost axis is reduced, neighboring threads take neighboring rows, else neighboring
// outputs, so that either way a warp reads contiguous memory. Three ways by shape:
//   teams    few rows: a power of two of at most 32 threads an output, no barrier
//   blocks   a block for a tile of outputs (columns.cuh); where that is little work for a device, rows are split
//   joining  of the splits' partial results in scratch: blocks again
#include "cuda/kernels/columns.cuh"

struct reduction {
  duel_rows keep, drop; // where an output's elements begin; its rows from there
  duel_columns c;
  int vector; // elements of a row: neighbors, 4 or 1
  int team;   // threads an output; 0: by blocks
};

static int power_above(int64_t n, int most) {
  int p = 1;
  while (p < most && p < n) p *= 2;
  return p;
}

static int team_of(int64_t rows, int64_t outputs, bool inner) {
  if (inner) return rows <= 256 || (rows <= 2048 && outputs >= 2048) ? power_above(rows, DUEL_WARP) : 0;
  return rows <= 16 || (rows <= 64 && outputs >= 65536) ? 1 : 0;
}

static reduction reduction_of(const duel_call *call) {
  const duel_shape *shape = &call->in[0].shape;
  duel_nd keep = {}, drop = {};
  keep.n = drop.n = 1;
  int64_t step = 1, outputs = 1, rows = 1, stride[DUEL_MAX_RANK];
  for (int axis = shape->rank - 1; axis >= 0; axis--) {
    stride[axis] = step;
    step *= shape->dim[axis];
  }
  bool inner = false;
  for (int axis = 0; axis < shape->rank; axis++) {
    const bool dropped = call->attr->reduce.axes >> axis & 1;
    duel_nd *nd = dropped ? &drop : &keep;
    nd->size[nd->rank] = shape->dim[axis];
    nd->stride[0][nd->rank++] = stride[axis];
    *(dropped ? &rows : &outputs) *= shape->dim[axis];
    if (shape->dim[axis] != 1) inner = dropped;
  }
  duel_nd_merge(&keep);
  duel_nd_merge(&drop);
  reduction r = {};
  r.vector = inner && drop.size[drop.rank - 1] % 4 == 0 ? 4 : 1;
  drop.size[drop.rank - 1] /= r.vector;
  drop.stride[0][drop.rank - 1] *= r.vector;
  rows /= r.vector;
  r.team = team_of(rows, outputs, inner);
  r.c = duel_columns_of(rows, outputs, !inner);
  r.keep = duel_rows_of(&keep, 0);
  r.drop = duel_rows_of(&drop, r.team > 0 ? r.team : DUEL_BLOCK / r.c.wide);
  return r;
}

template <bool MAX> static __device__ __forceinline__ float nothing() {
  return MAX ? -INFINITY : 0.0f;
}

template <bool MAX, int V>
static __device__ __forceinline__ float join_row(float total, const float *src, bool aligned) {
  float v[V];
  duel_load<V>(v, src, aligned);
  if constexpr (V == 4)
    return duel_join<MAX>(total, duel_join<MAX>(duel_join<MAX>(v[0], v[1]), duel_join<MAX>(v[2], v[3])));
  return duel_join<MAX>(total, v[0]);
}

// Rows row, row + step, … below end of an output; in chunks, for long sums lose digits.
template <bool MAX, int V>
static __device__ __forceinline__ float join_rows(const reduction &r, int64_t output, const float *src, bool aligned,
                                                  int64_t row, int64_t end, int step) {
  constexpr int CHUNK = 64;
  float total = nothing<MAX>();
  if (row >= end) return total;
  src += duel_cursor_of(r.keep, output).at;
  duel_cursor c = duel_cursor_of(r.drop, row);
  while (row < end) {
    const int64_t stop = end - row > (int64_t)CHUNK * step ? row + (int64_t)CHUNK * step : end;
    float chunk = nothing<MAX>();
    DUEL_UNROLL(V == 4 ? 2 : 4)
    for (; row < stop; row += step) {
      chunk = join_row<MAX, V>(chunk, src + c.at, aligned);
      duel_cursor_step(r.drop, c);
    }
    total = duel_join<MAX>(total, chunk);
  }
  return total;
}

// All reduce kernels: 4 bytes read and 1 FLOP an element of the input.
template <bool MAX, int V>
static __global__ void reduce_teams(reduction r, const float *__restrict__ src, bool aligned, float *__restrict__ dst) {
  const int64_t threads = r.c.columns * r.team, warps = (threads + DUEL_WARP - 1) / DUEL_WARP;
  for (int64_t t = duel_first(); t < warps * DUEL_WARP; t += duel_stride()) { // whole warps
    const int64_t output = t >> (__ffs(r.team) - 1), y = t & (r.team - 1);    // team is a power of two
    float total = nothing<MAX>();
    if (t < threads) total = join_rows<MAX, V>(r, output, src, aligned, y, r.c.rows, r.team);
    for (int offset = r.team / 2; offset > 0; offset /= 2)
      total = duel_join<MAX>(total, __shfl_down_sync(DUEL_FULL_MASK, total, offset));
    if (t < threads && y == 0) dst[output] = total;
  }
}

template <bool MAX, int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    reduce_blocks(reduction r, const float *__restrict__ src, bool aligned, float *__restrict__ dst) {
  for (int64_t item = blockIdx.x; item < r.c.tiles * r.c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(r.c, item);
    float total = nothing<MAX>();
    if (p.inside) total = join_rows<MAX, V>(r, p.column, src, aligned, p.row, p.end, p.step);
    total = duel_column_join<MAX>(total, r.c);
    if (duel_column_writer(r.c, p)) dst[p.split * r.c.columns + p.column] = total;
  }
}

template <bool MAX> static void reduce(duel_lane *lane, const reduction *r, const float *src, float *dst) {
  const bool aligned = duel_aligned16(src);
  if (r->c.columns == 0) return;
  if (r->team > 0) {
    const unsigned blocks = duel_blocks(r->c.columns * r->team, DUEL_BLOCK);
    DUEL_BY_VECTOR(r->vector == 4,
                   DUEL_LAUNCH(lane, (reduce_teams<MAX, V>), blocks, DUEL_BLOCK, 0, *r, src, aligned, dst));
  } else {
    const unsigned blocks = duel_columns_grid(&r->c);
    DUEL_BY_VECTOR(r->vector == 4,
                   DUEL_LAUNCH(lane, (reduce_blocks<MAX, V>), blocks, DUEL_BLOCK, 0, *r, src, aligned, dst));
  }
}

void duel_cuda_join_columns(duel_lane *lane, bool max, const float *src, int64_t rows, int64_t columns, float *dst) {
  reduction r = {};
  r.c = duel_columns_of(rows, columns, true);
  r.c.splits = 1;
  r.c.span = rows;
  const duel_nd keep = {1, 1, {columns}, {{1}}}, drop = {1, 1, {rows}, {{columns}}};
  r.keep = duel_rows_of(&keep, 0);
  r.drop = duel_rows_of(&drop, DUEL_BLOCK / r.c.wide);
  r.vector = 1;
  if (max) {
    reduce<true>(lane, &r, src, dst);
  } else {
    reduce<false>(lane, &r, src, dst);
  }
}

static size_t reduce_scratch(const duel_call *call) {
  const reduction r = reduction_of(call);
  return r.team > 0 ? 0 : duel_columns_scratch(&r.c, 1);
}

template <bool MAX> static void reduce_run(const duel_call *call) {
  const reduction r = reduction_of(call);
  const float *src = (const float *)call->in[0].data;
  float *dst = (float *)call->out[0].data;
  const bool split = r.team == 0 && r.c.splits > 1;
  reduce<MAX>(duel_lane_of(call), &r, src, split ? (float *)call->scratch : dst);
  if (split)
    duel_cuda_join_columns(duel_lane_of(call), MAX, (const float *)call->scratch, r.c.splits, r.c.columns, dst);
}
const duel_cuda_kernel duel_cuda_reduce_sum = {reduce_scratch, reduce_run<false>};
const duel_cuda_kernel duel_cuda_reduce_max = {reduce_scratch, reduce_run<true>};
