// The batch: rows of the resident data set by index. uint8 becomes x/127.5 − 1, floats and i32 are taken as they are.
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 8192 };

static int64_t row_length(const duel_call *call) {
  int64_t n = 1;
  for (int i = 1; i < call->in[0].shape.rank; i++) n *= call->in[0].shape.dim[i];
  return n;
}

static int batch_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  pieces[0] = duel_min(duel_pieces(duel_count(&call->out[0]), GRAIN), call->out[0].shape.dim[0]);
  return 1;
}

static void batch_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  int64_t pieces[DUEL_MAX_PHASE];
  batch_cut(call, pieces);
  const duel_operand *in = &call->in[0], *out = &call->out[0];
  const int64_t n = row_length(call);
  const duel_span r = duel_piece(out->shape.dim[0], 1, pieces[0], piece);
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
const duel_cpu_kernel DUEL_CPU_NAME(batch) = {.cut = batch_cut, .run = batch_run};
