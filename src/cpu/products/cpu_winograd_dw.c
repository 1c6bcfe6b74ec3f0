// The gradient of a filtered correlation's weights: the products of the forward pass, point by point, transposed.
// With d_y, inputs d and t as there, an axis of three results has
//
//   u = (y0, y0 + y1 + y2, y0 − y1 + y2, y2)     m = Σ t·u     d_g = (m0 + m1 + m2, m1 − m2 + m3)
//
// and one of two, without the point −1, u = (y0, y0 + y1, y1). m adds up over all boxes of all images.
#include "cpu/products/cpu_winograd.h"

enum { POINTS = DUEL_WINOGRAD_POINTS, MINUS = DUEL_WINOGRAD_MINUS, CHANNELS = DUEL_WINOGRAD_CHANNELS };

// ---- d_y to points
DUEL_INLINE void to_points(int results, const duel_vector *y, int64_t apart, duel_vector u[POINTS]) {
  u[0] = y[0];
  if (results == 3) {
    const duel_vector ends = y[0] + y[2 * apart];
    u[1] = ends + y[apart];
    u[2] = ends - y[apart];
    u[3] = y[2 * apart];
  } else {
    u[1] = y[0] + y[apart];
    u[3] = y[apart];
  }
}

// dy [p][q][padded], rows `row` elements apart -> dst[point][k]
DUEL_INLINE void box_as(int p, int q, const real *dy, int64_t row, int64_t padded, real *const *dst) {
  for (int64_t k = 0; k < padded; k += DUEL_VECTOR_WIDTH) {
    duel_vector y[3], right[3][POINTS], u[POINTS];
    for (int i = 0; i < p; i++) {
      for (int j = 0; j < q; j++) y[j] = duel_vector_load(dy + i * row + j * padded + k);
      to_points(q, y, 1, right[i]);
    }
    for (int b = 0; b < POINTS; b++) {
      if (b == MINUS && q == 2) continue;
      to_points(p, &right[0][b], POINTS, u);
      for (int a = 0; a < POINTS; a++)
        if (a != MINUS || p == 3) duel_vector_store(dst[a * POINTS + b] + k, u[a]);
    }
  }
}

static void dy_to_points(const duel_winograd_grid *grid, const duel_tile *tile, const real *dy, int64_t padded,
                         real *dst) {
  const int64_t width = duel_length(tile->q), row = width * padded;
  for (int64_t n = 0; n < duel_length(tile->n); n++, dy += duel_length(tile->p) * row)
    for (int64_t i = 0; i < grid->p.boxes; i++)
      for (int64_t j = 0; j < grid->q.boxes; j++) {
        const real *box = dy + duel_winograd_begin(&grid->p, i) * row + duel_winograd_begin(&grid->q, j) * padded;
        real *dst_of[POINTS * POINTS];
        duel_winograd_points(grid, n, i, j, dst, padded, dst_of);
        DUEL_BY_BOX(grid, i, j, box_as, box, row, padded, dst_of)
      }
}

// ---- sums
void duel_winograd_dw_add(const duel_winograd *classes, const duel_tile *tile, const duel_layout *layout,
                          const real *lowered, const real *dy, bool add, const duel_winograd_dw *scratch) {
  const duel_winograd_grid grid =
      duel_winograd_grid_of(duel_length(tile->n), duel_length(tile->p), duel_length(tile->q));
  const int64_t length = classes->down * classes->right * CHANNELS, padded = scratch->padded;
  real *sums = scratch->sums;
  duel_winograd_patches(classes, &grid, tile, layout, lowered, CHANNELS, scratch->transformed);
  dy_to_points(&grid, tile, dy, padded, scratch->points);
  for (int point = 0; point < POINTS * POINTS; point++, sums += length * padded) {
    const real *patches = scratch->transformed + grid.first[point] * length;
    const real *right = scratch->points + grid.first[point] * padded;
    const duel_gemm_left left = {1, grid.first[point + 1] - grid.first[point], length, &patches};
    for (int64_t j = 0; j < length; j += DUEL_GEMM_ROWS) {
      const int rows = (int)duel_min(DUEL_GEMM_ROWS, length - j);
      for (int64_t k = 0; k < padded; k += DUEL_GEMM_LANES)
        duel_gemm_columns(rows, &left, j, right + k, padded, add, sums + j * padded + k, padded);
    }
  }
}

// ---- sums to the gradient
DUEL_INLINE void to_taps(const duel_vector *m, int64_t apart, duel_vector g[2]) {
  const duel_vector m1 = m[apart], m2 = m[2 * apart];
  g[0] = m[0] + m1 + m2;
  g[1] = m1 - m2 + m[3 * apart];
}

void duel_winograd_dw_store(const duel_winograd *classes, int64_t outputs, const duel_winograd_dw *scratch, real *dw,
                            int64_t next) {
  const int64_t n_classes = classes->down * classes->right, taps = 4 * n_classes, padded = scratch->padded;
  const int64_t point = n_classes * CHANNELS * padded;
  const real *sums = scratch->sums;
  real *turned = scratch->points;
  for (int64_t residue = 0; residue < n_classes; residue++)
    for (int64_t c = 0; c < CHANNELS; c++, sums += padded)
      for (int64_t k = 0; k < padded; k += DUEL_VECTOR_WIDTH) {
        duel_vector m[POINTS][POINTS], down[2][POINTS], g[2];
        for (int i = 0; i < POINTS * POINTS; i++) m[i / POINTS][i % POINTS] = duel_vector_load(sums + i * point + k);
        for (int b = 0; b < POINTS; b++) {
          to_taps(&m[0][b], POINTS, g);
          down[0][b] = g[0], down[1][b] = g[1];
        }
        for (int i = 0; i < 2; i++) {
          const int64_t r = i * classes->down + residue / classes->right;
          to_taps(down[i], 1, g);
          for (int j = 0; j < 2; j++) {
            const int64_t s = j * classes->right + residue % classes->right;
            duel_vector_store(turned + (c * taps + r * 2 * classes->right + s) * padded + k, g[j]);
          }
        }
      }
  duel_transpose_to(CHANNELS * taps, outputs, turned, padded, dw, next);
}
