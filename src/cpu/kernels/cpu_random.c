// Random draws, and the draws that change items. The key block is i32[4] = {seed low, seed high, t, 0}; element i of a
// draw does not depend on the cut.
#include "base/rng.h"
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 2048, BLOCK = 512, DRAWS = 32 }; // DRAWS: of a row that is changed

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

static void augment_cut(const duel_call *call, duel_cut *cut) {
  const int64_t rows = call->out[0].shape.dim[0];
  *cut = duel_cut_rows(rows, rows * DRAWS, GRAIN);
}

static void augment_run(const duel_call *call, const duel_piece *piece) {
  const int32_t *key = call->in[0].data;
  const duel_changes *changes = &call->attr->augment.changes;
  const int64_t rows = call->out[0].shape.dim[0];
  duel_row_draws d = {.key = {(uint32_t)key[0], (uint32_t)key[1]},
                      .t = (uint32_t)key[2],
                      .pass = changes->pass,
                      .p = (float)duel_number(&call->in[1], 0)};
  for (int64_t row = piece->units.begin; row < piece->units.end; row++) {
    d.row = call->attr->augment.first + row;
    const duel_changed to = duel_change_row(&d, changes);
    float number[DUEL_CHANGED_NUMBERS];
    duel_changed_numbers(&to, number);
    real *map = (real *)call->out[0].data + row * DUEL_CHANGED_MAP;
    real *rest = (real *)call->out[1].data + row;
    for (int i = 0; i < DUEL_CHANGED_MAP; i++) map[i] = to.map[i];
    for (int i = 0; i < DUEL_CHANGED_NUMBERS; i++) rest[i * rows] = number[i];
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(augment) = {.cut = augment_cut, .run = augment_run};
