// Spectral normalization and its gradient (core/ops/op_spectral.c has the formulas). The weight is w [blocks, rows,
// run]: its matrix has an element (r, c) at block c / run, row r, place c % run. With rows on axis 0 there is one
// block.
//   spectral_back      Wᵀ·u, a thread a column (columns.cuh), whose rows are split where they are many: then a second
//                      kernel joins them; only where u and v advance
//   spectral_multiply  W·v, a block a row; each block finds ‖Wᵀ·u‖ on its way
//   spectral_scale     each block finds σ anew and divides its share
// The gradient is parts of Σ d_y·y by a first kernel, which each block of the second joins anew.
#include "cuda/kernels/columns.cuh"

struct spectral_matrix {
  int64_t rows, run, rest; // rest: columns, blocks · run
};

static spectral_matrix matrix_of(const duel_call *call, const duel_operand *w) {
  const int axis = call->attr->spectral.axis;
  const int64_t blocks = axis ? w->shape.dim[0] : 1, rows = w->shape.dim[axis];
  const int64_t run = duel_count(w) / (blocks * rows);
  return {rows, run, blocks * run};
}

// Where an element lies in w.
static __device__ __forceinline__ int64_t place_of(const spectral_matrix &m, int64_t row, int64_t column) {
  if (m.run == m.rest) return row * m.run + column;
  const int64_t block = duel_quotient(column, m.run);
  return (block * m.rows + row) * m.run + column - block * m.run;
}

// The sum over a block, for all of its threads.
static __device__ __forceinline__ float total_of(float x) {
  DUEL_SHARED(float, total, 1);
  x = duel_block_sum<DUEL_BLOCK>(x);
  if (threadIdx.x == 0) total[0] = x;
  __syncthreads();
  x = total[0];
  __syncthreads();
  return x;
}

static __device__ __forceinline__ float least_norm(float squares) { // max(‖x‖, 1e-12), in which NaN wins
  const float norm = sqrtf(squares);
  return norm <= 1e-12f ? 1e-12f : norm;
}

// Reads 4 bytes an element; 2 FLOPs.
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    spectral_back(spectral_matrix m, duel_columns c, const float *__restrict__ w, const float *__restrict__ u,
                  float *__restrict__ dst) {
  for (int64_t item = blockIdx.x; item < c.tiles * c.splits; item += gridDim.x) {
    const duel_column_part p = duel_column_part_of(c, item);
    const float *column = w + (p.inside ? place_of(m, 0, p.column) : 0);
    float sum = 0;
    DUEL_UNROLL(4)
    for (int64_t r = p.inside ? p.row : p.end; r < p.end; r += p.step) sum += u[r] * column[r * m.run];
    sum = duel_column_join<false>(sum, c);
    if (duel_column_writer(c, p)) dst[p.split * c.columns + p.column] = sum;
  }
}

// Reads 4 bytes an element; 2 FLOPs. With `advance` v is not of length 1 yet, and its direction goes to v_out.
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    spectral_multiply(spectral_matrix m, bool advance, const float *__restrict__ w, const float *__restrict__ v,
                      float *__restrict__ image, float *__restrict__ v_out) {
  for (int64_t row = blockIdx.x; row < m.rows; row += gridDim.x) {
    float sum = 0, squares = 0;
    DUEL_UNROLL(4)
    for (int64_t i = threadIdx.x; i < m.rest; i += DUEL_BLOCK) {
      sum += w[place_of(m, row, i)] * v[i];
      squares += v[i] * v[i];
    }
    const float inverse = advance ? 1.0f / least_norm(total_of(squares)) : 1.0f;
    sum = total_of(sum);
    if (threadIdx.x == 0) image[row] = sum * inverse;
    for (int64_t i = row * DUEL_BLOCK + threadIdx.x; i < m.rest; i += m.rows * DUEL_BLOCK) v_out[i] = v[i] * inverse;
  }
}

// Reads 4 bytes an element and writes 4, 1 FLOP. With `advance` u is the image itself.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    spectral_scale(spectral_matrix m, bool advance, const float *__restrict__ w, const float *__restrict__ u,
                   const float *__restrict__ image, float *__restrict__ y, float *__restrict__ u_out,
                   float *__restrict__ sigma) {
  float along = 0, squares = 0;
  for (int64_t r = threadIdx.x; r < m.rows; r += DUEL_BLOCK) {
    along += u[r] * image[r];
    squares += u[r] * u[r];
  }
  const float by = advance ? 1.0f / least_norm(total_of(squares)) : 1.0f, value = total_of(along) * by;
  const float inverse = 1.0f / value;
  if (blockIdx.x == 0) {
    for (int64_t r = threadIdx.x; r < m.rows; r += DUEL_BLOCK) u_out[r] = u[r] * by;
    if (threadIdx.x == 0) sigma[0] = value;
  }
  const int64_t count = m.rows * m.rest;
  for (int64_t i = duel_first(); i < count; i += duel_stride()) y[i] = w[i] * inverse;
}

static duel_columns columns_of(const spectral_matrix *m) {
  return duel_columns_of(m->rows, m->rest, true);
}

// image [rows], and where u and v advance Wᵀ·u [rest] and its parts.
static size_t spectral_scratch(const duel_call *call) {
  const spectral_matrix m = matrix_of(call, &call->in[0]);
  const duel_columns c = columns_of(&m);
  if (!call->attr->spectral.advance) return (size_t)m.rows * sizeof(float);
  return (size_t)(m.rows + m.rest) * sizeof(float) + duel_columns_scratch(&c, 1);
}

static void spectral_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const spectral_matrix m = matrix_of(call, &call->in[0]);
  const bool advance = call->attr->spectral.advance;
  const float *w = (const float *)call->in[0].data, *u = (const float *)call->in[1].data;
  const float *v = (const float *)call->in[2].data;
  float *image = (float *)call->scratch, *back = image + m.rows, *part = back + m.rest;
  if (advance) {
    const duel_columns c = columns_of(&m);
    DUEL_LAUNCH(lane, spectral_back, duel_columns_grid(&c), DUEL_BLOCK, 0, m, c, w, u, c.splits > 1 ? part : back);
    if (c.splits > 1) duel_cuda_join_columns(lane, false, part, c.splits, m.rest, back);
    v = back;
  }
  DUEL_LAUNCH(lane, spectral_multiply, duel_blocks(m.rows, 1), DUEL_BLOCK, 0, m, advance, w, v, image,
              (float *)call->out[2].data);
  DUEL_LAUNCH(lane, spectral_scale, duel_blocks(m.rows * m.rest, 4 * DUEL_BLOCK), DUEL_BLOCK, 0, m, advance, w,
              advance ? image : u, image, (float *)call->out[0].data, (float *)call->out[1].data,
              (float *)call->out[3].data);
}
const duel_cuda_kernel duel_cuda_spectral = {spectral_scratch, spectral_run};

// ---- the gradient
constexpr int64_t PART = 8 * DUEL_BLOCK, MOST_PARTS = 512; // elements of a part at least; parts

static int64_t parts_of(int64_t count) {
  const int64_t parts = duel_ceil_div(count, PART);
  return parts < MOST_PARTS ? parts : MOST_PARTS;
}

// Reads 8 bytes an element; 2 FLOPs.
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    spectral_along(int64_t count, int64_t parts, const float *__restrict__ d_y, const float *__restrict__ y,
                   float *__restrict__ part) {
  for (int64_t k = blockIdx.x; k < parts; k += gridDim.x) {
    float sum = 0;
    DUEL_UNROLL(4)
    for (int64_t i = k * DUEL_BLOCK + threadIdx.x; i < count; i += parts * DUEL_BLOCK) sum += d_y[i] * y[i];
    sum = duel_block_sum<DUEL_BLOCK>(sum);
    if (threadIdx.x == 0) part[k] = sum;
  }
}

// Reads 4 bytes an element and writes 4, 3 FLOPs.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    spectral_gradient(spectral_matrix m, int64_t parts, const float *__restrict__ part, const float *__restrict__ d_y,
                      const float *__restrict__ u, const float *__restrict__ v, const float *__restrict__ sigma,
                      float *__restrict__ d_w) {
  float along = 0;
  for (int64_t k = threadIdx.x; k < parts; k += DUEL_BLOCK) along += part[k];
  along = total_of(along);
  const float inverse = 1.0f / sigma[0];
  const int64_t count = m.rows * m.rest;
  for (int64_t i = duel_first(); i < count; i += duel_stride()) {
    const int64_t line = duel_quotient(i, m.run), block = duel_quotient(line, m.rows);
    const float by = along * u[line - block * m.rows];
    d_w[i] = (d_y[i] - by * v[block * m.run + i - line * m.run]) * inverse;
  }
}

static size_t spectral_grad_scratch(const duel_call *call) {
  return (size_t)parts_of(duel_count(&call->in[0])) * sizeof(float);
}

static void spectral_grad_run(const duel_call *call) {
  duel_lane *lane = duel_lane_of(call);
  const spectral_matrix m = matrix_of(call, &call->in[1]);
  const int64_t count = duel_count(&call->in[0]), parts = parts_of(count);
  const float *d_y = (const float *)call->in[0].data;
  float *part = (float *)call->scratch;
  DUEL_LAUNCH(lane, spectral_along, duel_blocks(parts, 1), DUEL_BLOCK, 0, count, parts, d_y,
              (const float *)call->in[1].data, part);
  DUEL_LAUNCH(lane, spectral_gradient, duel_blocks(count, 4 * DUEL_BLOCK), DUEL_BLOCK, 0, m, parts, part, d_y,
              (const float *)call->in[2].data, (const float *)call->in[3].data, (const float *)call->in[4].data,
              (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_spectral_grad = {spectral_grad_scratch, spectral_grad_run};
