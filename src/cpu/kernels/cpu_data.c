// Rows by index. A piece owns rows of the output. batch: uint8 becomes x/127.5 − 1, floats and i32 are taken as they
// are. embedding_grad adds to each row in the order of the indices. An index out of range reads and writes nothing: NaN
// from embedding, zeros from one_hot, nothing from embedding_grad.
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 8192 };

static void cut(const duel_call *call, duel_cut *c) {
  *c = duel_cut_rows(call->out[0].shape.dim[0], duel_count(&call->out[0]), GRAIN);
}

static int64_t row_length(const duel_call *call) {
  int64_t n = 1;
  for (int i = 1; i < call->out[0].shape.rank; i++) n *= call->out[0].shape.dim[i];
  return n;
}

static void batch_run(const duel_call *call, const duel_piece *piece) {
  const duel_operand *in = &call->in[0], *out = &call->out[0];
  const int64_t n = row_length(call);
  const duel_span r = piece->units;
  const int32_t *index = call->in[1].data;
  for (int64_t row = r.begin; row < r.end; row++) {
    const int64_t at = index[row] * n;
    real *dst = (real *)out->data + row * n; // unless it is i32
    if (in->dtype == out->dtype) {
      const size_t size = duel_dtype_size(in->dtype);
      memcpy((char *)out->data + (size_t)(row * n) * size, (const char *)in->data + (size_t)at * size,
             (size_t)n * size);
    } else if (in->dtype == DUEL_U8) {
      const uint8_t *src = (const uint8_t *)in->data + at;
      DUEL_SIMD for (int64_t i = 0; i < n; i++) dst[i] = (real)src[i] / (real)127.5 - 1;
    } else {
      const float *src = (const float *)in->data + at;
      for (int64_t i = 0; i < n; i++) dst[i] = (real)src[i];
    }
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(batch) = {.cut = cut, .run = batch_run};

static void embedding_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  const int64_t n = row_length(call), rows = call->in[0].shape.dim[0];
  const int32_t *index = call->in[1].data;
  for (int64_t i = r.begin; i < r.end; i++) {
    real *dst = (real *)call->out[0].data + i * n;
    if (index[i] >= 0 && index[i] < rows)
      memcpy(dst, (const real *)call->in[0].data + index[i] * n, (size_t)n * sizeof *dst);
    else
      for (int64_t j = 0; j < n; j++) dst[j] = (real)NAN;
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(embedding) = {.cut = cut, .run = embedding_run};

static void embedding_grad_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  const int64_t n = row_length(call), rows = call->in[1].shape.dim[0];
  const int32_t *index = call->in[1].data;
  real *table = call->out[0].data;
  memset(table + r.begin * n, 0, (size_t)((r.end - r.begin) * n) * sizeof *table);
  for (int64_t i = 0; i < rows; i++) {
    if (index[i] < r.begin || index[i] >= r.end) continue;
    const real *src = (const real *)call->in[0].data + i * n;
    real *dst = table + index[i] * n;
    DUEL_SIMD for (int64_t j = 0; j < n; j++) dst[j] += src[j];
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(embedding_grad) = {.cut = cut, .run = embedding_grad_run};

static void one_hot_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  const int64_t n = row_length(call);
  const int32_t *index = call->in[0].data;
  for (int64_t i = r.begin; i < r.end; i++) {
    real *dst = (real *)call->out[0].data + i * n;
    memset(dst, 0, (size_t)n * sizeof *dst);
    if (index[i] >= 0 && index[i] < n) dst[index[i]] = 1;
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(one_hot) = {.cut = cut, .run = one_hot_run};
