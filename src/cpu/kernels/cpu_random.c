// Random draws. The key block is i32[4] = {seed low, seed high, t, 0}; element i of a draw does not depend on the cut.
#include "base/rng.h"
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 2048, BLOCK = 512 };

static duel_draw draw_of(const duel_call *call) {
  const int32_t *key = call->in[0].data;
  return (duel_draw){.seed = (uint32_t)key[0] | (uint64_t)(uint32_t)key[1] << 32,
                     .t = (uint32_t)key[2],
                     .purpose = call->attr->random.purpose,
                     .k = call->attr->random.k};
}

static int random_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  pieces[0] = duel_pieces(duel_count(&call->out[0]), GRAIN);
  return 1;
}

typedef void fill_fn(duel_draw d, int64_t first, int64_t n, float *dst);

static void random_run(const duel_call *call, int64_t piece, fill_fn *fill) {
  const int64_t count = duel_count(&call->out[0]);
  const duel_span r = duel_piece(count, DUEL_SUM_LANES, duel_pieces(count, GRAIN), piece);
  const duel_draw draw = draw_of(call);
  const int64_t first = call->attr->random.first; // of the draw's elements: the output's element 0
  real *dst = call->out[0].data;
#ifdef DUEL_REAL_IS_double
  for (int64_t i = r.begin; i < r.end; i += BLOCK) { // the same float draws, widened
    float block[BLOCK];
    const int64_t n = duel_min(BLOCK, r.end - i);
    fill(draw, first + i, n, block);
    for (int64_t j = 0; j < n; j++) dst[i + j] = block[j];
  }
#else
  fill(draw, first + r.begin, r.end - r.begin, dst + r.begin);
#endif
}

static void random_normal_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  random_run(call, piece, duel_draw_normal);
}
const duel_cpu_kernel DUEL_CPU_NAME(random_normal) = {.cut = random_cut, .run = random_normal_run};

static void random_uniform_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  random_run(call, piece, duel_draw_uniform);
}
const duel_cpu_kernel DUEL_CPU_NAME(random_uniform) = {.cut = random_cut, .run = random_uniform_run};
