// The CPU backend's own seam between its files that are compiled once (backend.c, run.c, level.c, blas.c).
#ifndef DUEL_CPU_CPU_H
#define DUEL_CPU_CPU_H

#include "base/host.h"
#include "base/team.h"
#include "core/backend.h"

// A kernel runs in phases. Each cuts its units (elements, rows, tiles) into pieces that may run in any order and on any
// thread; all pieces of a phase end before the next phase begins. The cut depends on shapes alone, so the bits do not
// depend on the number of threads.
enum { DUEL_MAX_PHASE = 4 };
typedef struct duel_cut { // of a phase
  int64_t units, align;   // pieces begin at multiples of align
  int64_t pieces;         // 0: there is no such phase
} duel_cut;

typedef struct duel_span {
  int64_t begin, end;
} duel_span;

typedef struct duel_piece {
  int phase;
  int64_t index;
  duel_span units; // its share of them
} duel_piece;

typedef struct duel_cpu_kernel {
  duel_status (*check)(const duel_call *call);       // whether it can run this call; NULL: any
  size_t (*scratch)(const duel_call *call);          // bytes; NULL: none
  void (*cut)(const duel_call *call, duel_cut *cut); // fills in the phases there are, of DUEL_MAX_PHASE
  int64_t grain; // of a kernel without cut: one phase, of so many elements of output 0 a piece
  void (*run)(const duel_call *call, const duel_piece *piece);
} duel_cpu_kernel;
const duel_cpu_kernel *duel_cpu_kernel_of(const duel_backend *b, duel_op op); // NULL: none (backend.c)

// ---- cutting
enum { DUEL_SUM_LANES = 32 }; // in which sums run

static inline int64_t duel_min(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static inline int64_t duel_ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Number of pieces of about `grain` elements: none, one, or an even number (which two threads share evenly).
static inline int64_t duel_pieces(int64_t count, int64_t grain) {
  const int64_t n = duel_ceil_div(count, grain);
  return n > 1 ? n + (n & 1) : n;
}

// Share i of n; all begin at multiples of align.
static inline duel_span duel_share(int64_t count, int64_t align, int64_t n, int64_t i) {
  const int64_t blocks = duel_ceil_div(count, align);
  return (duel_span){duel_min(blocks * i / n * align, count), duel_min(blocks * (i + 1) / n * align, count)};
}

// A phase over elements, in whole lanes; over rows, of so many elements together; and one of a piece a unit.
static inline duel_cut duel_cut_elements(int64_t count, int64_t grain) {
  return (duel_cut){count, DUEL_SUM_LANES, duel_pieces(count, grain)};
}
static inline duel_cut duel_cut_rows(int64_t rows, int64_t elements, int64_t grain) {
  return (duel_cut){rows, 1, duel_min(duel_pieces(elements, grain), rows)};
}
static inline duel_cut duel_cut_each(int64_t units) {
  return (duel_cut){units, 1, units};
}

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
void duel_cpu_cut(const duel_cpu_kernel *kernel, const duel_call *call, duel_cut cut[DUEL_MAX_PHASE]);
duel_piece duel_cpu_piece(const duel_cut *cut, int phase, int64_t i);

typedef struct duel_program duel_program;

// Calls must stay where they are as long as the program lives.
duel_status duel_program_make(duel_program **program, const duel_cpu_kernel *const *table, const duel_call *calls,
                              const int *group_end, int n_groups);
void duel_program_run(duel_program *program, duel_team *team);
// The same, adding to seconds[i] the time of call i; together they are that of the run.
duel_status duel_program_profile(duel_program *program, duel_team *team, double *seconds);
void duel_program_free(duel_program *program);

#endif
