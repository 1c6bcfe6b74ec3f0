// The gradient of a filtered correlation's weights: the same products by points as forward, transposed. With d_y,
// inputs d and t as forward, an axis of three results has
//
//   u = (y0, y0 + y1 + y2, y0 − y1 + y2, y2)     m = Σ t·u     d_g = (m0 + m1 + m2, m1 − m2 + m3)
//
// and one of two, without the point −1, u = (y0, y0 + y1, y1). m adds up over all pieces of all images.
#include "cpu/products/cpu_winograd.h"

enum { POINTS = DUEL_WINOGRAD_POINTS, MINUS = DUEL_WINOGRAD_MINUS, CHANNELS = DUEL_WINOGRAD_CHANNELS };

// ---- d_y to points
DUEL_INLINE void to_points(int results, const duel_vector *y, int64_t step, duel_vector u[POINTS]) {
  u[0] = y[0];
  if (results == 3) {
    const duel_vector ends = y[0] + y[2 * step];
    u[1] = ends + y[step];
    u[2] = ends - y[step];
    u[3] = y[2 * step];
  } else {
    u[1] = y[0] + y[step];
    u[3] = y[step];
  }
}

// A piece whose rows lie `row` numbers apart and whose pixels `padded`.
DUEL_INLINE void piece_as(int p, int q, const real *dy, int64_t row, int64_t padded, real *const *dst) {
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

static void dy_to_points(const duel_winograd_grid *g, const duel_tile *t, const real *dy, int64_t padded, real *dst) {
  const int64_t width = duel_length(t->q), row = width * padded;
  for (int64_t n = 0; n < duel_length(t->n); n++, dy += duel_length(t->p) * row)
    for (int64_t i = 0; i < g->p.pieces; i++)
      for (int64_t j = 0; j < g->q.pieces; j++) {
        const real *piece = dy + duel_winograd_begin(&g->p, i) * row + duel_winograd_begin(&g->q, j) * padded;
        const bool p3 = i < g->p.threes, q3 = j < g->q.threes;
        real *to[POINTS * POINTS];
        for (int point = 0; point < POINTS * POINTS; point++)
          to[point] = duel_winograd_has(g, point, i, j) ? dst + duel_winograd_column(g, point, n, i, j) * padded : NULL;
        if (p3 && q3)
          piece_as(3, 3, piece, row, padded, to);
        else if (p3)
          piece_as(3, 2, piece, row, padded, to);
        else if (q3)
          piece_as(2, 3, piece, row, padded, to);
        else
          piece_as(2, 2, piece, row, padded, to);
      }
}

// ---- sums
void duel_winograd_dw_add(const duel_winograd *wino, const duel_tile *t, const duel_lowered *m, const real *lowered,
                          const real *dy, int64_t padded, bool add, real *sums, real *patches, real *points) {
  const duel_winograd_grid g = duel_winograd_grid_of(duel_length(t->n), duel_length(t->p), duel_length(t->q));
  const int64_t length = wino->down * wino->right * CHANNELS;
  duel_winograd_patches(wino, &g, t, m, lowered, CHANNELS, patches);
  dy_to_points(&g, t, dy, padded, points);
  for (int point = 0; point < POINTS * POINTS; point++, sums += length * padded) {
    const real *left = patches + g.first[point] * length, *right = points + g.first[point] * padded;
    const int64_t columns = g.first[point + 1] - g.first[point];
    for (int64_t j = 0; j < length; j += DUEL_GEMM_ROWS) {
      const int rows = (int)duel_min(DUEL_GEMM_ROWS, length - j);
      for (int64_t k = 0; k < padded; k += DUEL_GEMM_LANES)
        duel_gemm_columns(rows, 1, columns, &left, j, length, right + k, padded, add, sums + j * padded + k, padded);
    }
  }
}

// ---- sums to the gradient
DUEL_INLINE void to_taps(const duel_vector *m, int64_t step, duel_vector g[2]) {
  const duel_vector m1 = m[step], m2 = m[2 * step];
  g[0] = m[0] + m1 + m2;
  g[1] = m1 - m2 + m[3 * step];
}

void duel_winograd_dw_store(const duel_winograd *wino, int64_t ks, int64_t padded, const real *sums, real *turned,
                            real *dw, int64_t next) {
  const int64_t phases = wino->down * wino->right, point = phases * CHANNELS * padded, taps = 4 * phases;
  for (int64_t phase = 0; phase < phases; phase++)
    for (int64_t c = 0; c < CHANNELS; c++, sums += padded)
      for (int64_t k = 0; k < padded; k += DUEL_VECTOR_WIDTH) {
        duel_vector m[POINTS][POINTS], down[2][POINTS], g[2];
        for (int i = 0; i < POINTS * POINTS; i++) m[i / POINTS][i % POINTS] = duel_vector_load(sums + i * point + k);
        for (int b = 0; b < POINTS; b++) {
          to_taps(&m[0][b], POINTS, g);
          down[0][b] = g[0], down[1][b] = g[1];
        }
        for (int i = 0; i < 2; i++) {
          const int64_t r = i * wino->down + phase / wino->right;
          to_taps(down[i], 1, g);
          for (int j = 0; j < 2; j++) {
            const int64_t s = j * wino->right + phase % wino->right;
            duel_vector_store(turned + (c * taps + r * 2 * wino->right + s) * padded + k, g[j]);
          }
        }
      }
  duel_transpose_to(CHANNELS * taps, ks, turned, padded, dw, ks, 0, next);
}
