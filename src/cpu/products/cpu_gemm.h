// The innermost loops of products whose operands the caller lays out: a block [DUEL_GEMM_ROWS, DUEL_GEMM_LANES] of the
// result stays in registers while both operands stream by. Each element is one chain of multiply-adds, from 0, in the
// order of t; then it is added to c. So the block's size shows in no bit, and levels with the same instructions agree.
// Callers keep chains short (a hundred or some), for sums of sums round less.
//
// What streams by are units (cpu_unit.h): elements, or pairs of them in bf16.
#ifndef DUEL_CPU_PRODUCTS_CPU_GEMM_H
#define DUEL_CPU_PRODUCTS_CPU_GEMM_H

#include "cpu/kernels/cpu_unit.h"

// How many rows and vectors of a block fit into 32 or 16 registers.
#if defined __AVX512F__
enum { DUEL_GEMM_ROWS = 8, DUEL_GEMM_VECTORS = 2 };
#elif defined __AVX2__
enum { DUEL_GEMM_ROWS = 6, DUEL_GEMM_VECTORS = 2 };
#elif defined __aarch64__
enum { DUEL_GEMM_ROWS = 8, DUEL_GEMM_VECTORS = 2 };
#else
enum { DUEL_GEMM_ROWS = 4, DUEL_GEMM_VECTORS = 2 };
#endif
enum { DUEL_GEMM_LANES = DUEL_GEMM_VECTORS * DUEL_VECTOR_WIDTH };

// n rounded up to whole blocks of lanes.
static inline int64_t duel_gemm_padded(int64_t n) {
  return duel_ceil_div(n, DUEL_GEMM_LANES) * DUEL_GEMM_LANES;
}

// c[i][j] = or += Σ over t < length of a[i][t] · b[t·DUEL_GEMM_LANES + j], i < rows <= DUEL_GEMM_ROWS, j <
// DUEL_GEMM_LANES; a and b by units.
#define duel_gemm_rows DUEL_CPU_NAME(gemm_rows)
void duel_gemm_rows(int rows, int64_t length, const duel_packed *const *a, const duel_gemm_unit *b, bool add,
                    real *const *c);

// A left side that lies by columns, in n stretches of `length` columns, `apart` units from one to the next.
typedef struct duel_gemm_left {
  int64_t n, length, apart;
  const duel_gemm_unit *const *at; // [n]
} duel_gemm_left;

// c [rows][DUEL_GEMM_LANES], ldc apart, = or += Σ over l < n, t < length of
// a.at[l][offset + t·apart + i] · b[(l·length + t)·ldb + j]. Reads DUEL_GEMM_ROWS units of each column, whatever rows
// is.
#define duel_gemm_columns DUEL_CPU_NAME(gemm_columns)
void duel_gemm_columns(int rows, const duel_gemm_left *a, int64_t offset, const duel_gemm_unit *b, int64_t ldb,
                       bool add, real *c, int64_t ldc);

// c [m][n], ldc apart, = op(a)·op(b), row-major, on this thread. Where the level multiplies and adds at once, by blocks
// in registers; by OpenBLAS elsewhere (cpu_product.c). At the levels of bf16 with the factors rounded
// (cpu_product_bf16.c). k >= 1.
typedef struct duel_factor {
  const real *data;
  int64_t ld;
  bool trans;
} duel_factor;
#define duel_product DUEL_CPU_NAME(product)
void duel_product(int64_t m, int64_t n, int64_t k, duel_factor a, duel_factor b, real *c, int64_t ldc);

// ---- dst = src [rows, columns] transposed, row j at dst + j·to. Moves bits, so that either may be other things of
// that size.
#define duel_transpose_to DUEL_CPU_NAME(transpose_to)
void duel_transpose_to(int64_t rows, int64_t columns, const real *src, int64_t ld, real *dst, int64_t to);

// The same between memory and cache, where images follow each other: asks for what is read (written) `later` elements
// further on, which may be anywhere. Rows that lie so far apart are nothing that a CPU fetches ahead by itself.
typedef struct duel_lines { // row j of the result goes to dst + j / n · line + j % n · row
  int64_t n, line, row;
} duel_lines;
#define duel_transpose_reading DUEL_CPU_NAME(transpose_reading)
void duel_transpose_reading(int64_t rows, int64_t columns, const real *src, int64_t ld, real *dst, duel_lines to,
                            int64_t later);
#define duel_transpose_writing DUEL_CPU_NAME(transpose_writing)
void duel_transpose_writing(int64_t rows, int64_t columns, const real *src, int64_t ld, real *dst, int64_t to,
                            int64_t later);

#endif
