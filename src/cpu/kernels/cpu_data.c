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
  const int64_t n = row_length(call);
  const duel_span r = duel_piece(call->out[0].shape.dim[0], 1, pieces[0], piece);
  const int32_t *index = call->in[1].data;
  for (int64_t row = r.begin; row < r.end; row++) {
    if (call->in[0].dtype == DUEL_I32) {
      memcpy((int32_t *)call->out[0].data + row * n, (const int32_t *)call->in[0].data + index[row] * n,
             (size_t)n * sizeof(int32_t));
      continue;
    }
    real *dst = (real *)call->out[0].data + row * n;
    const int64_t at = index[row] * n;
    if (call->in[0].dtype == DUEL_U8) {
      const uint8_t *src = (const uint8_t *)call->in[0].data + at;
      DUEL_SIMD for (int64_t i = 0; i < n; i++) dst[i] = (real)src[i] / (real)127.5 - 1;
    } else if (call->in[0].dtype == DUEL_F64) {
      const double *src = (const double *)call->in[0].data + at;
      for (int64_t i = 0; i < n; i++) dst[i] = (real)src[i];
    } else {
      const float *src = (const float *)call->in[0].data + at;
      for (int64_t i = 0; i < n; i++) dst[i] = (real)src[i];
    }
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(batch) = {.cut = batch_cut, .run = batch_run};
