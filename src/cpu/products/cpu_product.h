// The two sides of a product by blocks in registers: c = a·b in blocks [rows][lanes]. One side gives the rows, the
// other is transposed to give the lanes. Usually that is b. Where b lies transposed (a layer's weights) and a is
// smaller, a is transposed instead, and the results are turned at the end.
#ifndef DUEL_CPU_PRODUCTS_CPU_PRODUCT_H
#define DUEL_CPU_PRODUCTS_CPU_PRODUCT_H

#include "cpu/products/cpu_gemm.h"

typedef struct duel_side { // element (i, t) of what multiplies, i along the result, t along the depth
  const real *data;
  int64_t ld;
  bool deep; // t runs along a row of memory; else i does
} duel_side;

static inline const real *duel_side_at(const duel_side *s, int64_t i, int64_t t) {
  return s->data + (s->deep ? i * s->ld + t : t * s->ld + i);
}

typedef struct duel_sides {
  bool turned; // the results are c's transpose
  duel_side by_rows, by_lanes;
  int64_t rows, columns;
} duel_sides;

static inline duel_sides duel_sides_of(int64_t m, int64_t n, duel_factor a, duel_factor b) {
  const duel_side left = {a.data, a.ld, !a.trans}, right = {b.data, b.ld, b.trans};
  return b.trans && m < n ? (duel_sides){true, right, left, n, m} : (duel_sides){false, left, right, m, n};
}

#endif
