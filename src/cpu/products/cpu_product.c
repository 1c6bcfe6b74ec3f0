// A product of two matrices on one thread. Blocks in registers need an instruction that multiplies and adds: with it
// they are faster than OpenBLAS at all of our shapes, and the same bits on every such CPU. Elsewhere OpenBLAS knows the
// CPU better.
//
// By blocks in registers: the side that gives the lanes is packed, panel by panel and a bounded depth at a time, so
// that a panel stays in the first-level cache. The other side is read as it lies.
#include "cpu/products/cpu_product.h"

#include <cblas.h>

#if defined __FMA__ || defined __ARM_FEATURE_FMA // of x86, of Arm
enum {
  DEPTH = 128,   // packed at a time, and summed: short chains of additions round less
  STRETCH = 128, // rows whose results wait to be turned round
};

// panel [depth, DUEL_GEMM_LANES] = the side from lane i and depth t on, zeros beyond `lanes`.
static void pack(const duel_side *side, int64_t i, int64_t lanes, int64_t t, int64_t depth, real *panel) {
  if (lanes < DUEL_GEMM_LANES) memset(panel, 0, (size_t)(depth * DUEL_GEMM_LANES) * sizeof *panel);
  const real *src = duel_side_at(side, i, t);
  if (side->deep)
    duel_transpose_to(lanes, depth, src, side->ld, panel, DUEL_GEMM_LANES);
  else if (lanes == DUEL_GEMM_LANES) // a constant size is a few moves
    for (int64_t d = 0; d < depth; d++)
      memcpy(panel + d * DUEL_GEMM_LANES, src + d * side->ld, DUEL_GEMM_LANES * sizeof *panel);
  else
    for (int64_t d = 0; d < depth; d++)
      memcpy(panel + d * DUEL_GEMM_LANES, src + d * side->ld, (size_t)lanes * sizeof *panel);
}

// c [rows, DUEL_GEMM_LANES], ldc apart, = or += `rows` of the side from row i on times the panel.
static void stretch(const duel_side *side, int64_t i, int64_t rows, int64_t t, int64_t depth, const real *panel,
                    bool add, real *c, int64_t ldc) {
  for (int64_t r = 0; r < rows; r += DUEL_GEMM_ROWS, c += DUEL_GEMM_ROWS * ldc) {
    const int n = (int)duel_min(DUEL_GEMM_ROWS, rows - r);
    const real *row[DUEL_GEMM_ROWS], *column = duel_side_at(side, i + r, t);
    if (side->deep) {
      real *dst[DUEL_GEMM_ROWS];
      for (int j = 0; j < n; j++) row[j] = column + j * side->ld, dst[j] = c + j * ldc;
      duel_gemm_rows(n, depth, row, panel, add, dst);
    } else if (n == DUEL_GEMM_ROWS) {
      duel_gemm_columns(n, &(duel_gemm_left){1, depth, side->ld, &column}, 0, panel, DUEL_GEMM_LANES, add, c, ldc);
    } else { // whole blocks are read of each column
      real last[DEPTH * DUEL_GEMM_ROWS] = {0};
      const real *first = last;
      for (int64_t d = 0; d < depth; d++)
        for (int j = 0; j < n; j++) last[d * DUEL_GEMM_ROWS + j] = column[d * side->ld + j];
      duel_gemm_columns(n, &(duel_gemm_left){1, depth, DUEL_GEMM_ROWS, &first}, 0, panel, DUEL_GEMM_LANES, add, c, ldc);
    }
  }
}

void duel_product(int64_t m, int64_t n, int64_t k, duel_factor a, duel_factor b, real *c, int64_t ldc) {
  const duel_sides s = duel_sides_of(m, n, a, b);
  const bool turned = s.turned;
  const int64_t rows = s.rows, columns = s.columns;
  real panel[DEPTH * DUEL_GEMM_LANES], results[STRETCH * DUEL_GEMM_LANES];
  for (int64_t i = 0; i < columns; i += DUEL_GEMM_LANES) {
    const int64_t lanes = duel_min(DUEL_GEMM_LANES, columns - i);
    const bool direct = !turned && lanes == DUEL_GEMM_LANES;
    const int64_t most = direct ? rows : STRETCH;
    for (int64_t r = 0; r < rows; r += most) {
      const int64_t height = duel_min(most, rows - r);
      for (int64_t t = 0; t < k; t += DEPTH) {
        const int64_t depth = duel_min(DEPTH, k - t);
        if (r == 0 || k > DEPTH) pack(&s.by_lanes, i, lanes, t, depth, panel);
        if (direct)
          stretch(&s.by_rows, r, height, t, depth, panel, t > 0, c + r * ldc + i, ldc);
        else
          stretch(&s.by_rows, r, height, t, depth, panel, t > 0, results, DUEL_GEMM_LANES);
      }
      if (turned)
        duel_transpose_to(height, lanes, results, DUEL_GEMM_LANES, c + i * ldc + r, ldc);
      else if (!direct)
        for (int64_t j = 0; j < height; j++)
          memcpy(c + (r + j) * ldc + i, results + j * DUEL_GEMM_LANES, (size_t)lanes * sizeof *c);
    }
  }
}

#else
void duel_product(int64_t m, int64_t n, int64_t k, duel_factor a, duel_factor b, real *c, int64_t ldc) {
  const enum CBLAS_TRANSPOSE ta = a.trans ? CblasTrans : CblasNoTrans, tb = b.trans ? CblasTrans : CblasNoTrans;
#ifdef DUEL_REAL_IS_double
  cblas_dgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, 1.0, a.data, (blasint)a.ld, b.data,
              (blasint)b.ld, 0.0, c, (blasint)ldc);
#else
  cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, 1.0f, a.data, (blasint)a.ld, b.data,
              (blasint)b.ld, 0.0f, c, (blasint)ldc);
#endif
}
#endif
