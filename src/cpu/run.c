// Runs a plan on threads. A program is a list of stages. A stage is the pieces of one phase of all calls of a group;
// they may run in any order and at once. Nothing is allocated. Which thread runs a piece has no influence on its bits.
//
// A stage that is too small to share is serial: one thread runs it. Neighboring serial stages become one.
#include <string.h>

#include "base/mem.h"
#include "cpu/cpu.h"

typedef struct piece {
  const duel_call *call;
  void (*run)(const duel_call *call, const duel_piece *piece);
  duel_piece of;
} piece;

struct duel_program {
  int n_stages;
  duel_stage *stage;
  piece *piece;
  const duel_call *call; // the first
  double *took, *passed; // of a profile: seconds of each piece, and when each stage began; NULL until there is one
};

// ---- preparing
enum { SHARE_WORK = 24000 }; // bytes touched below which sharing costs more than a second thread saves

// A rough measure of a call's time, in bytes touched.
static double work_of(const duel_call *call) {
  return call->cost.bytes + call->cost.flops / 8;
}

void duel_cpu_cut(const duel_cpu_kernel *kernel, const duel_call *call, duel_cut cut[DUEL_MAX_PHASE]) {
  memset(cut, 0, DUEL_MAX_PHASE * sizeof *cut);
  if (kernel->cut)
    kernel->cut(call, cut);
  else
    cut[0] = duel_cut_elements(duel_count(&call->out[0]), kernel->grain);
}

duel_piece duel_cpu_piece(const duel_cut *cut, int phase, int64_t i) {
  return (duel_piece){phase, i, duel_share(cut[phase].units, cut[phase].align, cut[phase].pieces, i)};
}

// Appends the stage that phase `phase` of the calls [first, last) makes, if it has any pieces.
static void add_stage(duel_program *p, const duel_cpu_kernel *const *table, const duel_call *calls, int first, int last,
                      int phase) {
  const int64_t before = p->n_stages > 0 ? p->stage[p->n_stages - 1].end : 0;
  int64_t end = before;
  double work = 0;
  for (int i = first; i < last; i++) {
    const duel_cpu_kernel *kernel = table[calls[i].op];
    duel_cut cut[DUEL_MAX_PHASE];
    duel_cpu_cut(kernel, &calls[i], cut);
    for (int64_t k = 0; k < cut[phase].pieces; k++)
      p->piece[end++] = (piece){&calls[i], kernel->run, duel_cpu_piece(cut, phase, k)};
    if (cut[phase].pieces > 0) work += work_of(&calls[i]);
  }
  if (end == before) return;
  const bool serial = end - before == 1 || work < SHARE_WORK;
  if (serial && p->n_stages > 0 && p->stage[p->n_stages - 1].serial) {
    p->stage[p->n_stages - 1].end = end;
  } else {
    p->stage[p->n_stages++] = (duel_stage){end, serial};
  }
}

duel_status duel_program_make(duel_program **program, const duel_cpu_kernel *const *table, const duel_call *calls,
                              const int *group_end, int n_groups) {
  *program = NULL;
  const int n_calls = n_groups > 0 ? group_end[n_groups - 1] : 0;
  size_t pieces = 0;
  for (int i = 0; i < n_calls; i++) {
    const duel_cpu_kernel *kernel = table[calls[i].op];
    if (kernel->check) DUEL_TRY(kernel->check(&calls[i]));
    duel_cut cut[DUEL_MAX_PHASE];
    duel_cpu_cut(kernel, &calls[i], cut);
    for (int phase = 0; phase < DUEL_MAX_PHASE; phase++) pieces += (size_t)cut[phase].pieces;
  }
  const size_t stages = (size_t)n_groups * DUEL_MAX_PHASE;
  const size_t bytes = sizeof(duel_program) + pieces * sizeof(piece) + stages * sizeof(duel_stage);
  duel_program *p = duel_malloc(bytes);
  if (!p) return duel_fail_memory("the list of pieces", bytes);
  *p = (duel_program){.call = calls};
  p->piece = (piece *)(p + 1);
  p->stage = (duel_stage *)(p->piece + pieces);
  for (int g = 0, first = 0; g < n_groups; first = group_end[g++])
    for (int phase = 0; phase < DUEL_MAX_PHASE; phase++) add_stage(p, table, calls, first, group_end[g], phase);
  *program = p;
  return DUEL_OK;
}

void duel_program_free(duel_program *program) {
  if (program) duel_free(program->took);
  duel_free(program);
}

// ---- running
static void run_piece(void *ctx, int thread, int64_t i) {
  (void)thread;
  const duel_program *p = ctx;
  const piece *x = &p->piece[i];
  x->run(x->call, &x->of);
}

static void time_piece(void *ctx, int thread, int64_t i) {
  const duel_program *p = ctx;
  const double begin = duel_now();
  run_piece(ctx, thread, i);
  p->took[i] = duel_now() - begin;
}

static void time_stage(void *ctx, int stage) {
  const duel_program *p = ctx;
  p->passed[stage] = duel_now();
}

static void run_stages(duel_team *team, const duel_stages *stages) {
  const int before = duel_blas_enter();
  duel_team_run(team, stages);
  duel_blas_leave(before);
}

void duel_program_run(duel_program *p, duel_team *team) {
  run_stages(team, &(duel_stages){p->n_stages, p->stage, run_piece, NULL, p});
}

// A stage takes from its beginning to the next one's: its calls share that as their pieces' times are.
duel_status duel_program_profile(duel_program *p, duel_team *team, double *seconds) {
  const size_t pieces = p->n_stages > 0 ? (size_t)p->stage[p->n_stages - 1].end : 0;
  const size_t bytes = (pieces + (size_t)p->n_stages + 1) * sizeof *p->took;
  if (!p->took) p->took = duel_malloc(bytes);
  if (!p->took) return duel_fail_memory("the times of a program", bytes);
  p->passed = p->took + pieces;
  run_stages(team, &(duel_stages){p->n_stages, p->stage, time_piece, time_stage, p});
  p->passed[p->n_stages] = duel_now();
  for (int64_t s = 0, i = 0; s < p->n_stages; s++) {
    double all = 0;
    for (int64_t k = i; k < p->stage[s].end; k++) all += p->took[k];
    const double scale = all > 0 ? (p->passed[s + 1] - p->passed[s]) / all : 0;
    for (; i < p->stage[s].end; i++) seconds[p->piece[i].call - p->call] += p->took[i] * scale;
  }
  return DUEL_OK;
}
