// The CPU backend's own seam between its files that are compiled once (backend.c, run.c, level.c, blas.c).
#ifndef DUEL_CPU_CPU_H
#define DUEL_CPU_CPU_H

#include "base/host.h"
#include "base/team.h"
#include "core/backend.h"

// A kernel runs in phases, each cut into pieces that may run in any order and on any thread; all pieces of a phase end
// before the next phase begins. The cut depends on shapes alone, so the bits do not depend on the number of threads.
enum { DUEL_MAX_PHASE = 4 };
typedef struct duel_cpu_kernel {
  duel_status (*check)(const duel_call *call);                       // whether it can run this call; NULL: any
  size_t (*scratch)(const duel_call *call);                          // bytes; NULL: none
  int (*cut)(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]); // number of phases; NULL: one phase, one piece
  void (*run)(const duel_call *call, int phase, int64_t piece);
} duel_cpu_kernel;
const duel_cpu_kernel *duel_cpu_kernel_of(const duel_backend *b, duel_op op); // NULL: none (backend.c)

// ---- level.c
// The instruction set levels that kernels are compiled for, best last.
typedef enum duel_level {
  DUEL_LEVEL_PORTABLE,
  DUEL_LEVEL_V2,
  DUEL_LEVEL_V3,
  DUEL_LEVEL_V4,
  DUEL_LEVEL_COUNT
} duel_level;

const char *duel_level_name(duel_level level);    // "x86-64-v3"
bool duel_level_runs(duel_level level);           // compiled in, and this CPU and its operating system have all of it
duel_status duel_level_choose(duel_level *level); // the best, or what DUEL_CPU_ISA asks for
bool duel_cpu_has_bf16(void);                     // products of bf16 (AVX512-BF16)

// ---- blas.c
// Makes BLAS single-threaded and checks its products against naive ones, for old builds miscompute on some CPUs.
duel_status duel_blas_open(duel_dtype real, int threads);
// Around products on a thread: an OpenMP build of BLAS takes one thread then too. Leave with what enter yielded.
int duel_blas_enter(void);
void duel_blas_leave(int before);
void duel_blas_describe(char *name, size_t n); // "OpenBLAS 0.3.21 SkylakeX"
// Whether a product's dimensions are such as BLAS takes them.
duel_status duel_blas_check(const duel_call *call);
duel_status duel_blas_check_conv(const duel_call *call);

// ---- run.c: a program is a plan's calls as stages of pieces
typedef struct duel_program duel_program;

// Calls must stay where they are as long as the program lives.
duel_status duel_program_make(duel_program **program, const duel_cpu_kernel *const *table, const duel_call *calls,
                              const int *group_end, int n_groups);
void duel_program_run(duel_program *program, duel_team *team);
// The same, adding to seconds[i] the time of call i; together they are that of the run.
duel_status duel_program_profile(duel_program *program, duel_team *team, double *seconds);
void duel_program_free(duel_program *program);

#endif
