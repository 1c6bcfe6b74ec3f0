// What all kernel files (cpu_*.c) share. Each of them is compiled once per level; `real` is that level's number type
// and DUEL_CPU_NAME(x) its name for x. Levels of bf16 consist of products alone and take their other kernels from a
// plain level, DUEL_CPU_PLAIN(x). Invariants of every kernel:
//
//   - the cut into pieces, and so every bit of the result, depends on shapes alone (and for products on the precision),
//     never on threads or level;
//   - sums run in DUEL_SUM_LANES explicit lanes and fixed chunks, so that all levels add in the same order;
//   - a piece writes only its own share of the outputs and of the scratch.
#ifndef DUEL_CPU_KERNELS_CPU_KERNEL_H
#define DUEL_CPU_KERNELS_CPU_KERNEL_H

#include <math.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/kernels/cpu_math.h"

typedef DUEL_REAL real;

#define DUEL_CPU_PASTE_(x, level) duel_cpu_##x##_##level
#define DUEL_CPU_PASTE(x, level) DUEL_CPU_PASTE_(x, level)
#define DUEL_CPU_NAME(x) DUEL_CPU_PASTE(x, DUEL_LEVEL)
#ifdef DUEL_BF16_UNITS
#define DUEL_CPU_PLAIN(x) DUEL_CPU_PASTE(x, DUEL_PLAIN_LEVEL)
#else
#define DUEL_CPU_PLAIN(x) DUEL_CPU_NAME(x)
#endif

// Every op's kernel has its op's name.
#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out)                                                               \
  extern const duel_cpu_kernel DUEL_CPU_NAME(name), DUEL_CPU_PLAIN(name);
#include "core/ops/ops.def"
#undef DUEL_OP
extern const duel_cpu_kernel *const DUEL_CPU_NAME(table)[DUEL_OP_COUNT];

// A loop whose iterations are independent: dst may be exactly src, which plain C would not let the compiler use. Not in
// double, where libm's functions stand in such loops.
#ifdef DUEL_REAL_IS_double
#define DUEL_SIMD
#else
#define DUEL_SIMD _Pragma("omp simd")
#endif

// Inlined even where it is called twice: its constant arguments shape the code.
#define DUEL_INLINE static inline __attribute__((always_inline))

static inline real duel_sqrt_real(real x) {
#ifdef DUEL_REAL_IS_double
  return sqrt(x);
#else
  return sqrtf(x);
#endif
}

// ---- operands
// Element i of a small block that the host may have written in another precision than the kernels'.
static inline real duel_number(const duel_operand *o, int64_t i) {
  return o->dtype == DUEL_F64 ? (real)((const double *)o->data)[i] : (real)((const float *)o->data)[i];
}

// ---- sums
enum { DUEL_CHUNK_ROWS = 64 };

// The fixed tree that joins the lanes.
static inline real duel_lanes_sum(real *lane) {
  for (int width = DUEL_SUM_LANES / 2; width > 0; width /= 2)
    for (int j = 0; j < width; j++) lane[j] += lane[j + width];
  return lane[0];
}

// Adds EXPR of i, for each i below n, to the lanes.
#define DUEL_SUM_RUN(lane, n, EXPR)                                                                                    \
  do {                                                                                                                 \
    int64_t base = 0;                                                                                                  \
    for (; base + DUEL_SUM_LANES <= (n); base += DUEL_SUM_LANES) {                                                     \
      DUEL_SIMD for (int j = 0; j < DUEL_SUM_LANES; j++) {                                                             \
        const int64_t i = base + j;                                                                                    \
        lane[j] += (EXPR);                                                                                             \
      }                                                                                                                \
    }                                                                                                                  \
    for (int64_t i = base; i < (n); i++) lane[i - base] += (EXPR);                                                     \
  } while (0)

// ---- activations of fused kernels
DUEL_INLINE real duel_act_real(real x, int act, real slope) {
  switch (act) {
  case DUEL_ACT_LEAKY_RELU:
    return x > 0 ? x : slope * x;
  case DUEL_ACT_TANH:
    return duel_tanh_real(x);
  case DUEL_ACT_SIGMOID:
    return duel_sigmoid_real(x);
  default:
    return x;
  }
}

// The derivative, from the output; the slope at 0 is the negative side's.
DUEL_INLINE real duel_act_slope(real y, int act, real slope) {
  switch (act) {
  case DUEL_ACT_LEAKY_RELU:
    return y > 0 ? (real)1 : slope;
  case DUEL_ACT_TANH:
    return 1 - y * y;
  case DUEL_ACT_SIGMOID:
    return y * (1 - y);
  default:
    return 1;
  }
}

// Calls the inline function fn(act, ...) with act as a constant, so that its loops have no switch inside.
#define DUEL_BY_ACT(act, fn, ...)                                                                                      \
  switch (act) {                                                                                                       \
  case DUEL_ACT_LEAKY_RELU:                                                                                            \
    fn(DUEL_ACT_LEAKY_RELU, __VA_ARGS__);                                                                              \
    break;                                                                                                             \
  case DUEL_ACT_TANH:                                                                                                  \
    fn(DUEL_ACT_TANH, __VA_ARGS__);                                                                                    \
    break;                                                                                                             \
  case DUEL_ACT_SIGMOID:                                                                                               \
    fn(DUEL_ACT_SIGMOID, __VA_ARGS__);                                                                                 \
    break;                                                                                                             \
  default:                                                                                                             \
    fn(DUEL_ACT_NONE, __VA_ARGS__);                                                                                    \
    break;                                                                                                             \
  }

#endif
