// Winograd's filtering of a lowered tile: patches go to points; at each point the products are one matrix product,
// [column][class, channel] · [class, channel][k]; its results go back to pixels.
//
// With inputs d, weights g and points 0, 1, −1, ∞ an axis of three results is (F(3, 2), transposed Toom–Cook)
//
//   t = (d0 − d2, (d1 + d2)/2, (d2 − d1)/2, d3 − d1)     e = (g0, g0 + g1, g0 − g1, g1)     p = t·e
//   y = (p0 + p1 + p2, p1 − p2, p1 + p2 + p3)
//
// and one of two results, without the point −1, t = (d0 − d1, d1, d2 − d1), y = (p0 + p1, p1 + p3). Both kinds
// read the same transformed weights e.
#include "cpu/products/cpu_winograd.h"

enum {
  POINTS = DUEL_WINOGRAD_POINTS,
  MINUS = DUEL_WINOGRAD_MINUS,
  LEAST_COLUMNS = 512, // pixels of all images, for which transforming the weights pays
  LEAST_OUTPUTS = 32,
  CHAIN = 64,
};

// ---- sizes
bool duel_winograd_pays(const duel_patches *patches, const duel_tiles *tiles, int64_t k) {
  const bool boxes = tiles->p / tiles->cuts_p >= 2 && tiles->q / tiles->cuts_q >= 2;
  return boxes && patches->channels % DUEL_WINOGRAD_CHANNELS == 0 && k >= LEAST_OUTPUTS &&
         tiles->n * tiles->p * tiles->q >= LEAST_COLUMNS;
}

int64_t duel_winograd_packed(const duel_winograd *classes, const duel_patches *patches, int64_t k) {
  return POINTS * POINTS * duel_gemm_padded(k) * patches->channels * classes->down * classes->right;
}

int64_t duel_winograd_columns(const duel_tiles *tiles) {
  const int64_t n = duel_ceil_div(tiles->n, tiles->cuts_n), p = duel_ceil_div(tiles->p, tiles->cuts_p);
  const int64_t q = duel_ceil_div(tiles->q, tiles->cuts_q);
  int64_t most = 0; // a tile with one row less may have more columns: it is cut differently into threes and twos
  for (int64_t i = p > 2 ? p - 1 : p; i <= p; i++)
    for (int64_t j = q > 2 ? q - 1 : q; j <= q; j++) {
      const duel_winograd_grid grid = duel_winograd_grid_of(n, i, j);
      most = grid.first[POINTS * POINTS] > most ? grid.first[POINTS * POINTS] : most;
    }
  return most;
}

// ---- weights
DUEL_INLINE void evaluate(duel_vector g0, duel_vector g1, duel_vector e[POINTS]) {
  e[0] = g0;
  e[1] = g0 + g1;
  e[2] = g0 - g1;
  e[3] = g1;
}

// Four taps [2][2][DUEL_GEMM_LANES] at all points, `next` elements apart.
static void weights_at_points(real tap[4][DUEL_GEMM_LANES], real *dst, int64_t next) {
  for (int64_t i = 0; i < DUEL_GEMM_LANES; i += DUEL_VECTOR_WIDTH) {
    duel_vector down[2][POINTS], e[POINTS];
    for (int s = 0; s < 2; s++) evaluate(duel_vector_load(tap[s] + i), duel_vector_load(tap[2 + s] + i), down[s]);
    for (int a = 0; a < POINTS; a++) {
      evaluate(down[0][a], down[1][a], e);
      for (int b = 0; b < POINTS; b++) duel_vector_store(dst + (a * POINTS + b) * next + i, e[b]);
    }
  }
}

// packed [block of channels][point][panel][class][channel][DUEL_GEMM_LANES]
void duel_winograd_pack(const duel_winograd *classes, const duel_lowering *lowering, const duel_patches *patches,
                        int64_t k, const duel_weights *weights, duel_span channels, real *packed) {
  const int64_t padded = duel_gemm_padded(k), n_classes = classes->down * classes->right;
  for (int64_t c = channels.begin; c < channels.end; c++) {
    const duel_span block = duel_lowering_channels(lowering, patches, c / lowering->block);
    const int64_t n = duel_length(block);
    real *dst = packed + block.begin * n_classes * padded * POINTS * POINTS + (c - block.begin) * DUEL_GEMM_LANES;
    for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES)
      for (int64_t i = 0; i < n_classes; i++) {
        const int64_t there = duel_min(DUEL_GEMM_LANES, k - panel);
        const real *src = weights->data + panel * weights->k + c * weights->c + i / classes->right * weights->r +
                          i % classes->right * weights->s;
        real tap[4][DUEL_GEMM_LANES] = {0};
        for (int64_t j = 0; j < there; j++, src += weights->k)
          for (int t = 0; t < 4; t++)
            tap[t][j] = src[t / 2 * classes->down * weights->r + t % 2 * classes->right * weights->s];
        weights_at_points(tap, dst + (panel * n_classes + i * DUEL_GEMM_LANES) * n, padded * n_classes * n);
      }
  }
}

// ---- patches to points
DUEL_INLINE void to_points(int results, const duel_vector *d, int64_t apart, duel_vector t[POINTS]) {
  const duel_vector d0 = d[0], d1 = d[apart], d2 = d[2 * apart];
  if (results == 3) {
    t[0] = d0 - d2;
    t[1] = (d1 + d2) * (real)0.5;
    t[2] = (d2 - d1) * (real)0.5;
    t[3] = d[3 * apart] - d1;
  } else {
    t[0] = d0 - d1;
    t[1] = d1;
    t[3] = d2 - d1;
  }
}

// src: the patch of a box of p × q results, rows `row` and pixels `pixel` apart; dst[point]: where it goes.
DUEL_INLINE void patch_as(int p, int q, const real *src, int64_t row, int64_t pixel, real *const *dst,
                          int64_t channels) {
  for (int64_t c = 0; c < channels; c += DUEL_VECTOR_WIDTH) {
    duel_vector d[POINTS], right[POINTS][POINTS], t[POINTS];
    for (int i = 0; i <= p; i++) {
      for (int j = 0; j <= q; j++) d[j] = duel_vector_load(src + i * row + j * pixel + c);
      to_points(q, d, 1, right[i]);
    }
    for (int b = 0; b < POINTS; b++) {
      if (b == MINUS && q == 2) continue;
      to_points(p, &right[0][b], POINTS, t);
      for (int a = 0; a < POINTS; a++)
        if (a != MINUS || p == 3) duel_vector_store(dst[a * POINTS + b] + c, t[a]);
    }
  }
}

void duel_winograd_patches(const duel_winograd *classes, const duel_winograd_grid *grid, const duel_tile *tile,
                           const duel_layout *layout, const real *lowered, int64_t channels, real *dst) {
  const int64_t length = classes->down * classes->right * channels;
  for (int64_t n = 0; n < duel_length(tile->n); n++)
    for (int64_t i = 0; i < grid->p.boxes; i++)
      for (int64_t j = 0; j < grid->q.boxes; j++) {
        const real *box = lowered + n * layout->image + duel_winograd_begin(&grid->p, i) * layout->row +
                          duel_winograd_begin(&grid->q, j) * layout->pixel;
        real *dst_of[POINTS * POINTS];
        duel_winograd_points(grid, n, i, j, dst, length, dst_of);
        for (int64_t residue = 0; residue < classes->down * classes->right; residue++) {
          const real *src = box + residue / classes->right * layout->run + residue % classes->right * layout->tap;
          DUEL_BY_BOX(grid, i, j, patch_as, src, layout->row, layout->pixel, dst_of, channels)
          for (int point = 0; point < POINTS * POINTS; point++)
            if (dst_of[point]) dst_of[point] += channels;
        }
      }
}

// ---- products, point by point. Values at the points are larger than results, which are their differences. So a chain
// of multiply-adds has at most CHAIN products; that keeps rounding near that of direct sums.
static void products_of(const duel_winograd_grid *grid, const real *transformed, int64_t length, const real *weights,
                        int64_t padded, bool add, real *products) {
  for (int point = 0; point < POINTS * POINTS; point++)
    for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES)
      for (int64_t t = 0; t < length; t += CHAIN) {
        const int64_t chain = duel_min(CHAIN, length - t);
        for (int64_t j = grid->first[point]; j < grid->first[point + 1]; j += DUEL_GEMM_ROWS) {
          const int rows = (int)duel_min(DUEL_GEMM_ROWS, grid->first[point + 1] - j);
          const real *left[DUEL_GEMM_ROWS];
          real *dst[DUEL_GEMM_ROWS];
          for (int i = 0; i < rows; i++) {
            left[i] = transformed + (j + i) * length + t;
            dst[i] = products + (j + i) * padded + panel;
          }
          duel_gemm_rows(rows, chain, left, weights, add || t > 0, dst);
        }
        weights += chain * DUEL_GEMM_LANES;
      }
}

// ---- points to results
DUEL_INLINE void from_points(int results, const duel_vector *p, int64_t apart, duel_vector y[3]) {
  const duel_vector p0 = p[0], p1 = p[apart], p3 = p[3 * apart];
  if (results == 3) {
    const duel_vector p2 = p[2 * apart], sum = p1 + p2;
    y[0] = p0 + sum;
    y[1] = p1 - p2;
    y[2] = sum + p3;
  } else {
    y[0] = p0 + p1;
    y[1] = p1 + p3;
  }
}

DUEL_INLINE void results_as(int p, int q, real *const *src, real *const *dst, int64_t panels, int64_t next) {
  for (int64_t k = 0; k < panels * DUEL_GEMM_LANES; k += DUEL_VECTOR_WIDTH) {
    const int64_t at = k / DUEL_GEMM_LANES * next + k % DUEL_GEMM_LANES;
    duel_vector point[POINTS], down[3][POINTS], y[3];
    for (int b = 0; b < POINTS; b++) {
      if (b == MINUS && q == 2) continue;
      for (int a = 0; a < POINTS; a++)
        if (a != MINUS || p == 3) point[a] = duel_vector_load(src[a * POINTS + b] + k);
      from_points(p, point, 1, y);
      for (int i = 0; i < p; i++) down[i][b] = y[i];
    }
    for (int i = 0; i < p; i++) {
      from_points(q, down[i], 1, y);
      for (int j = 0; j < q; j++) duel_vector_store(dst[i * 3 + j] + at, y[j]);
    }
  }
}

static void points_to_results(const duel_winograd_grid *grid, const duel_tile *tile, real *products, int64_t padded,
                              const duel_results *results) {
  const int64_t height = duel_length(tile->p), width = duel_length(tile->q);
  for (int64_t n = 0; n < duel_length(tile->n); n++)
    for (int64_t i = 0; i < grid->p.boxes; i++)
      for (int64_t j = 0; j < grid->q.boxes; j++) {
        const int p = i < grid->p.threes ? 3 : 2, q = j < grid->q.threes ? 3 : 2;
        const int64_t first =
            (n * height + duel_winograd_begin(&grid->p, i)) * width + duel_winograd_begin(&grid->q, j);
        real *src[POINTS * POINTS], *dst[9] = {NULL};
        duel_winograd_points(grid, n, i, j, products, padded, src);
        for (int a = 0; a < p; a++)
          for (int b = 0; b < q; b++)
            dst[a * 3 + b] = results->data + results->place[first + a * width + b] * DUEL_GEMM_LANES;
        const int64_t panels = padded / DUEL_GEMM_LANES, next = results->places * DUEL_GEMM_LANES;
        DUEL_BY_BOX(grid, i, j, results_as, src, dst, panels, next)
      }
}

void duel_winograd_correlate(const duel_winograd *classes, const duel_correlation *c, const real *lowered,
                             const real *packed, real *products, real *transformed) {
  const duel_tile *tile = c->tile;
  const duel_winograd_grid grid =
      duel_winograd_grid_of(duel_length(tile->n), duel_length(tile->p), duel_length(tile->q));
  const duel_span channels = duel_lowering_channels(c->lowering, c->patches, c->block);
  const int64_t padded = duel_gemm_padded(c->results->k), n_classes = classes->down * classes->right;
  duel_winograd_patches(classes, &grid, tile, c->layout, lowered, duel_length(channels), transformed);
  products_of(&grid, transformed, n_classes * duel_length(channels),
              packed + channels.begin * n_classes * padded * POINTS * POINTS, padded, c->block > 0, products);
  if (c->block + 1 == c->lowering->blocks) points_to_results(&grid, tile, products, padded, c->results);
}
