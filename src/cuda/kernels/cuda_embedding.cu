// Rows by number. A thread owns elements of the output; those of embedding_grad add up in the order of the indices. An
// index out of range reads and writes nothing: NaN from embedding, zeros from one_hot, nothing from embedding_grad.
#include "cuda/kernels/nest.cuh"

// Reads 4 bytes an element and writes 4.
static __global__ void embedding_kernel(const float *table, int64_t table_rows, const int32_t *index, int64_t count,
                                        int64_t length, float *dst) {
  for (int64_t i = duel_first(); i < count; i += duel_stride()) {
    const int64_t row = duel_quotient(i, length), from = index[row];
    dst[i] = from >= 0 && from < table_rows ? table[from * length + i - row * length] : NAN;
  }
}

// Writes 4 bytes an element of the table and reads 4 of d_y; each thread goes through all indices, which are few (a
// batch's) and come from a cache, the same for a whole warp.
static __global__ void embedding_grad_kernel(const float *d_y, const int32_t *index, int64_t rows, int64_t count,
                                             int64_t length, float *table) {
  for (int64_t i = duel_first(); i < count; i += duel_stride()) {
    const int64_t row = duel_quotient(i, length), at = i - row * length;
    float sum = 0;
    for (int64_t k = 0; k < rows; k++)
      if (index[k] == row) sum += d_y[k * length + at];
    table[i] = sum;
  }
}

// Writes 4 bytes an element.
static __global__ void one_hot_kernel(const int32_t *index, int64_t count, int64_t classes, float *dst) {
  for (int64_t i = duel_first(); i < count; i += duel_stride()) {
    const int64_t row = duel_quotient(i, classes);
    dst[i] = index[row] == i - row * classes ? 1.0f : 0.0f;
  }
}

static void embedding_run(const duel_call *call) {
  const int64_t count = duel_count(&call->out[0]);
  if (count == 0) return;
  DUEL_LAUNCH(duel_lane_of(call), embedding_kernel, duel_blocks(count, DUEL_BLOCK), DUEL_BLOCK, 0,
              (const float *)call->in[0].data, call->in[0].shape.dim[0], (const int32_t *)call->in[1].data, count,
              count / call->out[0].shape.dim[0], (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_embedding = {nullptr, embedding_run};

static void embedding_grad_run(const duel_call *call) {
  const int64_t count = duel_count(&call->out[0]);
  if (count == 0) return;
  DUEL_LAUNCH(duel_lane_of(call), embedding_grad_kernel, duel_blocks(count, DUEL_BLOCK), DUEL_BLOCK, 0,
              (const float *)call->in[0].data, (const int32_t *)call->in[1].data, call->in[1].shape.dim[0], count,
              count / call->out[0].shape.dim[0], (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_embedding_grad = {nullptr, embedding_grad_run};

static void one_hot_run(const duel_call *call) {
  const int64_t count = duel_count(&call->out[0]);
  if (count == 0) return;
  DUEL_LAUNCH(duel_lane_of(call), one_hot_kernel, duel_blocks(count, DUEL_BLOCK), DUEL_BLOCK, 0,
              (const int32_t *)call->in[0].data, count, call->out[0].shape.dim[1], (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_one_hot = {nullptr, one_hot_run};
