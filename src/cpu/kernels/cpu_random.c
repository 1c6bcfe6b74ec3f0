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

static void random_run(const duel_call *call, const duel_piece *piece) {
  void (*const fill)(duel_draw, int64_t, int64_t, float *) =
      call->op == DUEL_OP_RANDOM_NORMAL ? duel_draw_normal : duel_draw_uniform;
  const duel_draw draw = draw_of(call);
  const duel_span r = piece->units;
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
const duel_cpu_kernel DUEL_CPU_NAME(random_normal) = {.grain = GRAIN, .run = random_run};
const duel_cpu_kernel DUEL_CPU_NAME(random_uniform) = {.grain = GRAIN, .run = random_run};
