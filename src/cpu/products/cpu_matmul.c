// Matrix products: matmul, dense, matmul_grad. A product is cut by its shape into a grid of blocks of the output. One
// thread makes a block (cpu_product.c), and then its epilogue, while the block is in cache.
// The output is never read before it is written. All matrices are row-major.
#include "cpu/products/cpu_gemm.h"

enum {
  SPAN = 128 * DUEL_UNIT, // about so many columns (or rows) a block
  ROWS = 512,             // and at most so many rows where columns are cut
  SHALLOW = 128,          // with so small a K, packing and writing dominate: long rows are better than short ones
  MIN_WORK = 1 << 18,     // multiply-adds below which a block is not worth a piece
  COLUMN_ALIGN = 16,      // widths that BLAS kernels like
  ROW_ALIGN = 8,
  STRIP = 128, // columns of a strip of column sums
};

typedef struct product {
  int64_t m, n, k;
  int trans_a, trans_b;
  int64_t lda, ldb; // of the matrices as they lie in memory
  int64_t batch;
  int64_t grid_m, grid_n; // blocks of one matrix
  int64_t per_piece;      // matrices of the batch in one piece (more than 1 only if the grid is one block)
} product;

// Blocks of about SPAN: one, or an even number of at most `most`.
static int64_t blocks_of(int64_t extent, int64_t most) {
  const int64_t pairs = duel_min((extent + SPAN) / (2 * SPAN), most / 2);
  return pairs > 0 ? 2 * pairs : duel_min(extent, 1);
}

static product product_of(const duel_call *call) {
  const duel_shape *a = &call->in[0].shape, *b = &call->in[1].shape, *c = &call->out[0].shape;
  product p = {.trans_a = call->attr->matmul.trans_a, .trans_b = call->attr->matmul.trans_b, .batch = 1};
  p.m = c->dim[c->rank - 2];
  p.n = c->dim[c->rank - 1];
  p.k = a->dim[a->rank - (p.trans_a ? 2 : 1)];
  p.lda = a->dim[a->rank - 1];
  p.ldb = b->dim[b->rank - 1];
  for (int i = 0; i + 2 < c->rank; i++) p.batch *= c->dim[i];
  const int64_t work = p.m * p.n * (p.k > 0 ? p.k : 1);
  const int64_t most = work / MIN_WORK > 1 ? work / MIN_WORK : 1;
  if (p.k <= SHALLOW && p.m >= 2 * SPAN && p.n <= 8 * SPAN) { // a weight gradient: whole rows
    p.grid_n = duel_min(p.n, 1);
    p.grid_m = blocks_of(p.m, most);
  } else {
    p.grid_n = blocks_of(p.n, most);
    p.grid_m = p.grid_n > 1 ? duel_min(duel_ceil_div(p.m, ROWS), duel_ceil_div(most, p.grid_n)) : blocks_of(p.m, most);
  }
  const bool small = p.grid_m * p.grid_n == 1 && p.batch > 1 && work > 0;
  p.per_piece = small ? duel_min(p.batch, duel_ceil_div(MIN_WORK, work)) : 1;
  return p;
}

static void matmul_cut(const duel_call *call, duel_cut *cut) {
  const product p = product_of(call);
  *cut = duel_cut_each(duel_ceil_div(p.batch, p.per_piece) * p.grid_m * p.grid_n);
}

static void block_of(const product *p, int64_t block, duel_span *rows, duel_span *columns) {
  *rows = duel_share(p->m, ROW_ALIGN, p->grid_m, block / p->grid_n);
  *columns = duel_share(p->n, COLUMN_ALIGN, p->grid_n, block % p->grid_n);
}

// One block of C = op(A)·op(B).
static void multiply(const product *p, const real *a, const real *b, real *c, duel_span rows, duel_span columns) {
  const int64_t m = rows.end - rows.begin, n = columns.end - columns.begin;
  if (m <= 0 || n <= 0) return;
  c += rows.begin * p->n + columns.begin;
  if (p->k == 0) {
    for (int64_t i = 0; i < m; i++) memset(c + i * p->n, 0, (size_t)n * sizeof *c);
    return;
  }
  a += p->trans_a ? rows.begin : rows.begin * p->lda;
  b += p->trans_b ? columns.begin * p->ldb : columns.begin;
  duel_product(m, n, p->k, (duel_factor){a, p->lda, p->trans_a}, (duel_factor){b, p->ldb, p->trans_b}, c, p->n);
}

// ---- matmul
// Elements in front of matrix `index` of the output's batch, in an operand whose batch axes broadcast.
static int64_t batch_offset(const duel_shape *operand, const duel_shape *out, int64_t index) {
  int64_t apart = 1, offset = 0;
  for (int i = operand->rank - 2; i < operand->rank && i >= 0; i++) apart *= operand->dim[i];
  for (int axis = out->rank - 3; axis >= 0; axis--) {
    const int operand_axis = axis - (out->rank - operand->rank);
    const int64_t at = index % out->dim[axis];
    index /= out->dim[axis];
    if (operand_axis < 0) continue;
    if (operand->dim[operand_axis] != 1) offset += at * apart;
    apart *= operand->dim[operand_axis];
  }
  return offset;
}

static void matmul_run(const duel_call *call, const duel_piece *piece) {
  const product p = product_of(call);
  const int64_t grid = p.grid_m * p.grid_n, first = piece->index / grid * p.per_piece;
  const int64_t last = duel_min(first + p.per_piece, p.batch);
  duel_span rows, columns;
  block_of(&p, piece->index % grid, &rows, &columns);
  for (int64_t i = first; i < last; i++)
    multiply(&p, (const real *)call->in[0].data + batch_offset(&call->in[0].shape, &call->out[0].shape, i),
             (const real *)call->in[1].data + batch_offset(&call->in[1].shape, &call->out[0].shape, i),
             (real *)call->out[0].data + i * p.m * p.n, rows, columns);
}
const duel_cpu_kernel DUEL_CPU_NAME(matmul) = {.check = duel_blas_check, .cut = matmul_cut, .run = matmul_run};

// ---- dense: act(a·b + bias)
DUEL_INLINE void finish_row_as(int act, real slope, real *c, const real *bias, int64_t n) {
  if (bias) {
    DUEL_SIMD for (int64_t j = 0; j < n; j++) c[j] = duel_act_real(c[j] + bias[j], act, slope);
  } else if (act != DUEL_ACT_NONE) {
    DUEL_SIMD for (int64_t j = 0; j < n; j++) c[j] = duel_act_real(c[j], act, slope);
  }
}

static void finish_row(int act, real slope, real *c, const real *bias, int64_t n) {
  DUEL_BY_ACT(act, finish_row_as, slope, c, bias, n)
}

static void dense_run(const duel_call *call, const duel_piece *piece) {
  const product p = product_of(call);
  const real *bias = call->n_in > 2 ? call->in[2].data : NULL;
  real *c = call->out[0].data;
  duel_span rows, columns;
  block_of(&p, piece->index, &rows, &columns);
  multiply(&p, call->in[0].data, call->in[1].data, c, rows, columns);
  for (int64_t i = rows.begin; i < rows.end; i++)
    finish_row(call->attr->matmul.act, (real)call->attr->matmul.slope, c + i * p.n + columns.begin,
               bias ? bias + columns.begin : NULL, columns.end - columns.begin);
}
const duel_cpu_kernel DUEL_CPU_NAME(dense) = {.check = duel_blas_check, .cut = matmul_cut, .run = dense_run};

// ---- matmul_grad: d = (a·b) ⊙ act'(y), and d's column sums
// A block sums its own rows. With several blocks of rows the partial sums lie in scratch [grid_m, n]; phase 1 adds
// them.
static size_t matmul_grad_scratch(const duel_call *call) {
  const product p = product_of(call);
  return p.grid_m > 1 ? (size_t)(p.grid_m * p.n) * sizeof(real) : 0;
}

static void matmul_grad_cut(const duel_call *call, duel_cut *cut) {
  const product p = product_of(call);
  matmul_cut(call, cut);
  if (p.m == 0) cut[0] = duel_cut_each(1); // no blocks, yet the sums are zeros
  if (p.grid_m > 1) cut[1] = duel_cut_each(1);
}

DUEL_INLINE void scale_row_as(int act, real slope, real *d, const real *y, real *sum, int64_t n) {
  DUEL_SIMD for (int64_t j = 0; j < n; j++) {
    const real v = d[j] * duel_act_slope(y[j], act, slope);
    d[j] = v;
    sum[j] += v;
  }
}

static void scale_row(int act, real slope, real *d, const real *y, real *sum, int64_t n) {
  DUEL_BY_ACT(act, scale_row_as, slope, d, y, sum, n)
}

static void matmul_grad_run(const duel_call *call, const duel_piece *piece) {
  const product p = product_of(call);
  real *out_sum = call->out[1].data, *partial = call->scratch;
  if (piece->phase == 1) {
    memcpy(out_sum, partial, (size_t)p.n * sizeof *out_sum);
    for (int64_t i = 1; i < p.grid_m; i++) {
      const real *row = partial + i * p.n;
      DUEL_SIMD for (int64_t j = 0; j < p.n; j++) out_sum[j] += row[j];
    }
    return;
  }
  if (p.m == 0) {
    memset(out_sum, 0, (size_t)p.n * sizeof *out_sum);
    return;
  }
  duel_span rows, columns;
  block_of(&p, piece->index, &rows, &columns);
  const real *y = call->in[2].data;
  real *d = call->out[0].data, *dst = p.grid_m > 1 ? partial + piece->index / p.grid_n * p.n : out_sum;
  multiply(&p, call->in[0].data, call->in[1].data, d, rows, columns);
  for (int64_t j = columns.begin; j < columns.end; j += STRIP) {
    const int64_t n = duel_min(STRIP, columns.end - j);
    real total[STRIP] = {0};
    for (int64_t i = rows.begin; i < rows.end;) {
      const int64_t stop = duel_min(i + DUEL_CHUNK_ROWS, rows.end);
      real chunk[STRIP] = {0};
      for (; i < stop; i++)
        scale_row(call->attr->matmul.act, (real)call->attr->matmul.slope, d + i * p.n + j, y + i * p.n + j, chunk, n);
      for (int64_t c = 0; c < n; c++) total[c] += chunk[c];
    }
    memcpy(dst + j, total, (size_t)n * sizeof *dst);
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(matmul_grad) = {
    .check = duel_blas_check, .scratch = matmul_grad_scratch, .cut = matmul_grad_cut, .run = matmul_grad_run};
