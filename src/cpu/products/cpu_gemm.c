// The blocks in registers. This file alone is compiled with contraction allowed (CMakeLists.txt): a·b + c is one
// instruction, rounded once, on levels that have it.
#include "cpu/products/cpu_gemm.h"

enum { ROWS = DUEL_GEMM_ROWS, VECTORS = DUEL_GEMM_VECTORS };

// sum + a·b, by units.
#ifndef DUEL_BF16_UNITS
DUEL_INLINE duel_vector add_product(duel_vector sum, duel_gemm_unit a, duel_unit_vector b) {
  return sum + a * b;
}
#elif defined __AVX512BF16__
DUEL_INLINE duel_vector add_product(duel_vector sum, duel_gemm_unit a, duel_unit_vector b) {
  return (duel_vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
}
#else
DUEL_INLINE duel_vector add_product(duel_vector sum, duel_gemm_unit a, duel_unit_vector b) {
  const duel_unit_vector each = b - b + a; // a in every lane
  sum += (duel_vector)(each & 0xffff0000) * (duel_vector)(b & 0xffff0000);
  return sum + (duel_vector)(each << 16) * (duel_vector)(b << 16);
}
#endif

DUEL_INLINE duel_gemm_unit unit_at(const duel_packed *p) {
  duel_gemm_unit u;
  memcpy(&u, p, sizeof u);
  return u;
}

DUEL_INLINE void store_row(bool add, const duel_vector sum[VECTORS], real *c) {
  for (int j = 0; j < VECTORS; j++)
    duel_vector_store(c + j * DUEL_VECTOR_WIDTH, add ? duel_vector_load(c + j * DUEL_VECTOR_WIDTH) + sum[j] : sum[j]);
}

DUEL_INLINE void rows_of(int rows, int64_t length, const duel_packed *const *a, const duel_gemm_unit *b, bool add,
                         real *const *c) {
  duel_vector sum[ROWS][VECTORS] = {0};
  const duel_packed *row[ROWS];
  for (int i = 0; i < ROWS; i++) row[i] = a[i < rows ? i : 0];
  for (int64_t t = 0; t < length; t++, b += DUEL_GEMM_LANES) {
    duel_unit_vector right[VECTORS];
    for (int j = 0; j < VECTORS; j++) right[j] = duel_unit_load(b + j * DUEL_VECTOR_WIDTH);
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < VECTORS; j++) sum[i][j] = add_product(sum[i][j], unit_at(row[i] + t * DUEL_UNIT), right[j]);
  }
  for (int i = 0; i < ROWS; i++)
    if (i < rows) store_row(add, sum[i], c[i]);
}

void duel_gemm_rows(int rows, int64_t length, const duel_packed *const *a, const duel_gemm_unit *b, bool add,
                    real *const *c) {
  if (rows == ROWS)
    rows_of(ROWS, length, a, b, add, c);
  else
    rows_of(rows, length, a, b, add, c);
}

DUEL_INLINE void columns_of(int rows, const duel_gemm_left *a, int64_t offset, const duel_gemm_unit *b, int64_t ldb,
                            bool add, real *c, int64_t ldc) {
  const int64_t n = a->n, length = a->length, apart = a->apart;
  const duel_gemm_unit *const *at = a->at;
  duel_vector sum[ROWS][VECTORS] = {0};
  for (int64_t l = 0; l < n; l++) {
    const duel_gemm_unit *column = at[l] + offset;
    for (int64_t t = 0; t < length; t++, b += ldb, column += apart) {
      duel_unit_vector right[VECTORS];
      for (int j = 0; j < VECTORS; j++) right[j] = duel_unit_load(b + j * DUEL_VECTOR_WIDTH);
      for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < VECTORS; j++) sum[i][j] = add_product(sum[i][j], column[i], right[j]);
    }
  }
  for (int i = 0; i < ROWS; i++)
    if (i < rows) store_row(add, sum[i], c + i * ldc);
}

void duel_gemm_columns(int rows, const duel_gemm_left *a, int64_t offset, const duel_gemm_unit *b, int64_t ldb,
                       bool add, real *c, int64_t ldc) {
  if (rows == ROWS)
    columns_of(ROWS, a, offset, b, ldb, add, c, ldc);
  else
    columns_of(rows, a, offset, b, ldb, add, c, ldc);
}
