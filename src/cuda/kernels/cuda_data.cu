// Rows by index, which lies in device memory. batch, of the resident data set: uint8 becomes x/127.5 − 1, the CPU's
// bits (a quotient and a difference, each rounded; without a product there is nothing to contract); floats are taken as
// they are, and so are i32, whose four bytes are moved like a float's; the host sees to it that there are such rows.
// embedding and its adjoint: a thread owns elements of the output; those of embedding_grad add up in the order of the
// indices. An index out of range reads and writes nothing: NaN from embedding, zeros from one_hot.
#include "cuda/nest.cuh"

// ---- batch
static __device__ __forceinline__ float value_of(uint8_t x) {
  return (float)x / 127.5f - 1.0f;
}
static __device__ __forceinline__ float value_of(float x) {
  return x;
}

static __device__ __forceinline__ void load4(float (&x)[4], const uint8_t *src) {
  const uchar4 v = *reinterpret_cast<const uchar4 *>(src);
  x[0] = value_of(v.x), x[1] = value_of(v.y), x[2] = value_of(v.z), x[3] = value_of(v.w);
}
static __device__ __forceinline__ void load4(float (&x)[4], const float *src) {
  duel_load4(x, src);
}

// Reads 1 byte (u8) or 4 (f32) an element and writes 4; u8: 2 FLOPs. Wide: rows of whole groups of four, aligned.
template <typename T>
static __global__ void batch_kernel(const T *data, const int32_t *index, int64_t rows, int64_t length, bool wide,
                                    float *dst) {
  const int64_t per_row = wide ? length / 4 : length, units = rows * per_row;
  for (int64_t unit = duel_first(); unit < units; unit += duel_stride()) {
    const int64_t row = duel_quotient(unit, per_row), at = unit - row * per_row, from = index[row] * length;
    if (wide) {
      float x[4];
      load4(x, data + from + 4 * at);
      duel_store4(dst + 4 * unit, x);
    } else {
      dst[unit] = value_of(data[from + at]);
    }
  }
}

template <typename T> static void gather(const duel_call *call) {
  const int64_t count = duel_count(&call->out[0]), rows = call->out[0].shape.dim[0];
  if (count == 0) return;
  const T *data = (const T *)call->in[0].data;
  float *dst = (float *)call->out[0].data;
  const int64_t length = count / rows;
  const bool wide = length % 4 == 0 && (uintptr_t)data % (4 * sizeof(T)) == 0 && duel_aligned16(dst);
  DUEL_LAUNCH(duel_lane_of(call), batch_kernel<T>, duel_blocks(wide ? count / 4 : count, DUEL_BLOCK), DUEL_BLOCK, 0,
              data, (const int32_t *)call->in[1].data, rows, length, wide, dst);
}

static void batch_run(const duel_call *call) {
  if (call->in[0].dtype == DUEL_U8)
    gather<uint8_t>(call);
  else
    gather<float>(call);
}
const duel_cuda_kernel duel_cuda_batch = {nullptr, batch_run};

// ---- embedding, embedding_grad, one_hot
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
