// Matrix products: matmul with batch axes that broadcast, dense, matmul_grad. cuBLAS multiplies (blas.cu); bias,
// activation, its derivative and column sums follow in one pass. Two products of a last layer with one output are done
// here, in float32 whatever the precision: dense with one column, and matmul_grad of an outer product. Both read little
// more than one matrix once, so that tensor cores would gain nothing and a launch is saved.
#include "cuda/kernels/columns.cuh"

static duel_gemm gemm_of(const duel_call *call) {
  const duel_shape *a = &call->in[0].shape, *c = &call->out[0].shape;
  duel_gemm g = {};
  g.trans_a = call->attr->matmul.trans_a;
  g.trans_b = call->attr->matmul.trans_b;
  g.m = c->dim[c->rank - 2];
  g.n = c->dim[c->rank - 1];
  g.k = a->dim[a->rank - (g.trans_a ? 2 : 1)];
  g.a = (const float *)call->in[0].data;
  g.b = (const float *)call->in[1].data;
  g.c = (float *)call->out[0].data;
  g.batch = 1;
  return g;
}

// ---- matmul
// The batch as a nest over matrices, of a, b and c.
static duel_nd batch_of(const duel_call *call) {
  const duel_operand *operand[] = {&call->in[0], &call->in[1], &call->out[0]};
  duel_nd nd = {};
  nd.n = 3;
  nd.rank = call->out[0].shape.rank - 2;
  for (int axis = 0; axis < nd.rank; axis++) nd.size[axis] = call->out[0].shape.dim[axis];
  for (int o = 0; o < nd.n; o++) {
    duel_shape matrices = operand[o]->shape;
    matrices.rank -= 2;
    duel_nd_operand(&nd, o, &matrices);
  }
  duel_nd_merge(&nd);
  return nd;
}

// One call of cuBLAS takes the longest axis of the batch; there is one a place on the others.
static void matmul_run(const duel_call *call) {
  const duel_gemm whole = gemm_of(call);
  duel_nd nd = batch_of(call);
  int longest = 0;
  int64_t calls = 1;
  for (int axis = 0; axis < nd.rank; axis++) {
    if (nd.size[axis] > nd.size[longest]) longest = axis;
    calls *= nd.size[axis];
  }
  if (calls == 0) return;
  calls /= nd.size[longest];
  duel_gemm g = whole;
  g.batch = nd.size[longest];
  g.stride_a = nd.stride[0][longest] * g.m * g.k;
  g.stride_b = nd.stride[1][longest] * g.k * g.n;
  g.stride_c = nd.stride[2][longest] * g.m * g.n;
  if (g.stride_b == 0 && g.stride_a == g.m * g.k && g.stride_c == g.m * g.n && !g.trans_a) { // one tall product
    g.m *= g.batch;
    g.batch = 1;
  }
  nd.size[longest] = 1;
  for (int64_t i = 0; i < calls; i++) {
    duel_nd_at at;
    duel_nd_seek(&nd, i, &at);
    g.a = whole.a + at.offset[0] * whole.m * whole.k;
    g.b = whole.b + at.offset[1] * whole.k * whole.n;
    g.c = whole.c + at.offset[2] * whole.m * whole.n;
    duel_cuda_gemm(duel_lane_of(call), &g);
  }
}
const duel_cuda_kernel duel_cuda_matmul = {nullptr, matmul_run};

// ---- dense: act(a·b + bias)
// Behind the product, in place: V neighbors of a row at a time. 4 bytes read and 4 written an element, 1 FLOP and the
// activation's. bias [columns], or null.
template <int ACT, int V>
static __global__ void __launch_bounds__(DUEL_BLOCK)
    finish_rows(int64_t units, int64_t units_of_row, bool aligned, const float *__restrict__ bias, float slope,
                float *y) {
  for (int64_t unit = duel_first(); unit < units; unit += duel_stride()) {
    const int64_t column = unit - duel_quotient(unit, units_of_row) * units_of_row;
    float v[V], add[V];
    duel_load<V>(v, y + unit * V, aligned);
    if (bias) duel_load<V>(add, bias + column * V, aligned);
    for (int i = 0; i < V; i++) v[i] = duel_act_of<ACT>(bias ? v[i] + add[i] : v[i], slope);
    duel_store<V>(y + unit * V, v, aligned);
  }
}

// ---- dense with one column: a matrix times a vector
// A row is a warp's or, if it is long, a block's work; its sum is a fixed tree. V: numbers a read, as K allows. Reads 4
// bytes a number of a, which is all but everything; 2 FLOPs for each.
template <int V, bool BY_BLOCK>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    dense_column(int64_t m, int64_t k, bool aligned, const float *__restrict__ a, const float *__restrict__ b,
                 const float *__restrict__ bias, int act, float slope, float *__restrict__ y) {
  constexpr int TEAM = BY_BLOCK ? DUEL_BLOCK : DUEL_WARP, TEAMS = DUEL_BLOCK / TEAM;
  constexpr int AT_ONCE = 4; // reads that are under way together, of each factor
  const int team = (int)threadIdx.x / TEAM, thread = (int)threadIdx.x % TEAM;
  for (int64_t first = (int64_t)blockIdx.x * TEAMS; first < m; first += (int64_t)gridDim.x * TEAMS) {
    const int64_t row = first + team;
    float sum[V] = {};
    for (int64_t i = V * thread; i < k; i += AT_ONCE * V * TEAM) {
      float x[AT_ONCE][V] = {}, w[AT_ONCE][V] = {};
      for (int j = 0; j < AT_ONCE; j++) {
        const int64_t at = i + j * V * TEAM;
        if (row >= m || at >= k) continue;
        duel_load<V>(x[j], a + row * k + at, aligned);
        duel_load<V>(w[j], b + at, aligned);
      }
      for (int j = 0; j < AT_ONCE; j++)
        for (int v = 0; v < V; v++) sum[v] += x[j][v] * w[j][v];
    }
    float all = sum[0];
    if (V == 4) all = (sum[0] + sum[1 % V]) + (sum[2 % V] + sum[3 % V]);
    all = BY_BLOCK ? duel_block_sum<DUEL_BLOCK>(all) : duel_warp_sum(all);
    if (thread != 0 || row >= m) continue; // after the last barrier
    if (bias) all += bias[0];
    DUEL_WITH_ACT(act, y[row] = duel_act_of<ACT>(all, slope));
  }
}

static void column_run(const duel_call *call, const duel_gemm &g) {
  constexpr int64_t LONG = 2048; // numbers of a row
  const float *bias = call->n_in > 2 ? (const float *)call->in[2].data : nullptr,
              slope = (float)call->attr->matmul.slope;
  const int act = call->attr->matmul.act;
  const bool aligned = duel_aligned16(g.a) && duel_aligned16(g.b);
  duel_lane *lane = duel_lane_of(call);
  if (g.m == 0) return;
  DUEL_BY_VECTOR(g.k % 4 == 0,
                 if (g.k >= LONG) DUEL_LAUNCH(lane, (dense_column<V, true>), duel_blocks(g.m, 1), DUEL_BLOCK, 0, g.m,
                                              g.k, aligned, g.a, g.b, bias, act, slope, g.c);
                 else DUEL_LAUNCH(lane, (dense_column<V, false>), duel_blocks(g.m, DUEL_BLOCK / DUEL_WARP), DUEL_BLOCK,
                                  0, g.m, g.k, aligned, g.a, g.b, bias, act, slope, g.c));
}

static void dense_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const duel_gemm g = gemm_of(call);
  const int act = call->attr->matmul.act;
  const float slope = (float)call->attr->matmul.slope;
  if (g.n == 1 && !g.trans_a) {
    column_run(call, g);
    return;
  }
  duel_cuda_gemm(lane, &g);
  const float *bias = call->n_in > 2 ? (const float *)call->in[2].data : nullptr;
  if (g.m * g.n == 0 || (!bias && act == DUEL_ACT_NONE)) return;
  const bool aligned = duel_aligned16(g.c) && (!bias || duel_aligned16(bias));
  DUEL_BY_VECTOR(g.n % 4 == 0,
                 DUEL_WITH_ACT(act, DUEL_LAUNCH(lane, (finish_rows<ACT, V>), duel_blocks(g.m * g.n / V, DUEL_BLOCK),
                                                DUEL_BLOCK, 0, g.m * g.n / V, g.n / V, aligned, bias, slope, g.c)));
}
const duel_cuda_kernel duel_cuda_dense = {nullptr, dense_run};

// ---- matmul_grad: d = (a·b) ⊙ act'(y), and d's column sums
// Behind the product: 8 bytes read and 4 written an element, 2 FLOPs and the derivative's. A warp reads single floats
// side by side: wider accesses would leave too few blocks for a layer's gradient. dst: column sums of each split.
// OUTER: there was no product; it is a[row]·b[column], made here, and d is only written.
template <int ACT, bool OUTER>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    scale_and_sum(duel_columns c, float slope, const float *__restrict__ a, const float *__restrict__ b,
                  const float *__restrict__ y, float *__restrict__ d, float *__restrict__ dst) {
  constexpr int AT_ONCE = 4; // rows whose reads are under way together
  for (int64_t item = blockIdx.x; item < c.tiles * c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(c, item);
    float sum = 0;
    const float factor = OUTER && p.inside ? b[p.column] : 0.0f;
    for (int64_t first = p.row; p.inside && first < p.end; first += AT_ONCE * p.step) {
      float v[AT_ONCE];
      for (int i = 0; i < AT_ONCE; i++) {
        const int64_t row = first + i * p.step, at = row * c.columns + p.column;
        v[i] = 0.0f;
        if (row >= p.end) continue;
        v[i] = (OUTER ? a[row] * factor : d[at]) * duel_act_slope_of<ACT>(y[at], slope);
      }
      for (int i = 0; i < AT_ONCE; i++) {
        const int64_t row = first + i * p.step;
        if (row < p.end) d[row * c.columns + p.column] = v[i];
      }
      sum += (v[0] + v[1]) + (v[2] + v[3]);
    }
    sum = duel_column_join<false>(sum, c);
    if (duel_column_writer(c, p)) dst[p.split * c.columns + p.column] = sum;
  }
}

static size_t matmul_grad_scratch(const duel_call *call) {
  const duel_gemm g = gemm_of(call);
  const duel_columns c = duel_columns_of(g.m, g.n, true);
  return duel_columns_scratch(&c, 1);
}

static void matmul_grad_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const duel_gemm g = gemm_of(call);
  const duel_columns c = duel_columns_of(g.m, g.n, true);
  const float *y = (const float *)call->in[2].data;
  float *sums = (float *)call->out[1].data, *dst = c.splits > 1 ? (float *)call->scratch : sums;
  if (c.columns == 0) return;
  const unsigned grid = duel_columns_grid(&c);
  const float slope = (float)call->attr->matmul.slope;
  if (g.k == 1) {
    DUEL_WITH_ACT(call->attr->matmul.act,
                  DUEL_LAUNCH(lane, (scale_and_sum<ACT, true>), grid, DUEL_BLOCK, 0, c, slope, g.a, g.b, y, g.c, dst));
  } else {
    duel_cuda_gemm(lane, &g);
    DUEL_WITH_ACT(call->attr->matmul.act,
                  DUEL_LAUNCH(lane, (scale_and_sum<ACT, false>), grid, DUEL_BLOCK, 0, c, slope, g.a, g.b, y, g.c, dst));
  }
  if (c.splits > 1) duel_cuda_join_columns(lane, false, dst, c.splits, c.columns, sums);
}
const duel_cuda_kernel duel_cuda_matmul_grad = {matmul_grad_scratch, matmul_grad_run};
