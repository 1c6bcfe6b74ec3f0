// Winograd's filtering of a lowered tile: patches are transformed to points, each point is a product of its own with
// that point's weights (phase, channel) x k, and the products are transformed back to pixels.
//
// With inputs d, weights g and points 0, 1, −1, ∞ an axis of three results is (F(3, 2), transposed Toom–Cook)
//
//   t = (d0 − d2, (d1 + d2)/2, (d2 − d1)/2, d3 − d1)     e = (g0, g0 + g1, g0 − g1, g1)     p = t·e
//   y = (p0 + p1 + p2, p1 − p2, p1 + p2 + p3)
//
// and one of two results, without the point −1, t = (d0 − d1, d1, d2 − d1), y = (p0 + p1, p1 + p3): both need the same
// e.
#include "cpu/products/cpu_winograd.h"

enum {
  POINTS = DUEL_WINOGRAD_POINTS,
  MINUS = DUEL_WINOGRAD_MINUS,
  LEAST_COLUMNS = 512, // pixels of all images, for which transforming the weights pays
  LEAST_OUTPUTS = 32,
  CHAIN = 64,
};

// ---- sizes
bool duel_winograd_pays(const duel_patches *f, const duel_tiles *tiles, int64_t k) {
  const bool pieces = tiles->p / tiles->parts_p >= 2 && tiles->q / tiles->parts_q >= 2;
  return pieces && f->channels % DUEL_WINOGRAD_CHANNELS == 0 && k >= LEAST_OUTPUTS &&
         tiles->n * tiles->p * tiles->q >= LEAST_COLUMNS;
}

int64_t duel_winograd_packed(const duel_winograd *wino, const duel_patches *f, int64_t k) {
  return POINTS * POINTS * duel_gemm_padded(k) * f->channels * wino->down * wino->right;
}

int64_t duel_winograd_columns(const duel_tiles *tiles) {
  const int64_t n = duel_ceil_div(tiles->n, tiles->parts_n), p = duel_ceil_div(tiles->p, tiles->parts_p);
  const int64_t q = duel_ceil_div(tiles->q, tiles->parts_q);
  int64_t most = 0; // one result less can take more columns
  for (int64_t i = p > 2 ? p - 1 : p; i <= p; i++)
    for (int64_t j = q > 2 ? q - 1 : q; j <= q; j++) {
      const duel_winograd_grid g = duel_winograd_grid_of(n, i, j);
      most = g.first[POINTS * POINTS] > most ? g.first[POINTS * POINTS] : most;
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

// Four taps [2, 2][DUEL_GEMM_LANES] at all points, `next` numbers apart.
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

// Blocks of channels; points; panels of ks; [phase, channel, k in the panel].
void duel_winograd_pack(const duel_winograd *wino, const duel_lowering *l, const duel_patches *f, int64_t k,
                        const duel_weights *w, duel_span channels, real *packed) {
  const int64_t padded = duel_gemm_padded(k), phases = wino->down * wino->right;
  for (int64_t c = channels.begin; c < channels.end; c++) {
    const duel_span block = duel_lowering_channels(l, f, c / l->block);
    const int64_t n = duel_length(block);
    real *own = packed + block.begin * phases * padded * POINTS * POINTS + (c - block.begin) * DUEL_GEMM_LANES;
    for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES)
      for (int64_t i = 0; i < phases; i++) {
        const int64_t there = duel_min(DUEL_GEMM_LANES, k - panel);
        const real *src = w->data + panel * w->k + c * w->c + i / wino->right * w->r + i % wino->right * w->s;
        real tap[4][DUEL_GEMM_LANES] = {0};
        for (int64_t j = 0; j < there; j++, src += w->k)
          for (int t = 0; t < 4; t++) tap[t][j] = src[t / 2 * wino->down * w->r + t % 2 * wino->right * w->s];
        weights_at_points(tap, own + (panel * phases + i * DUEL_GEMM_LANES) * n, padded * phases * n);
      }
  }
}

// ---- patches to points
DUEL_INLINE void to_points(int results, const duel_vector *d, int64_t step, duel_vector t[POINTS]) {
  const duel_vector d0 = d[0], d1 = d[step], d2 = d[2 * step];
  if (results == 3) {
    t[0] = d0 - d2;
    t[1] = (d1 + d2) * (real)0.5;
    t[2] = (d2 - d1) * (real)0.5;
    t[3] = d[3 * step] - d1;
  } else {
    t[0] = d0 - d1;
    t[1] = d1;
    t[3] = d2 - d1;
  }
}

// src: the patch of a piece, rows `row` and pixels `pixel` apart; dst[point] its number of each point.
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

void duel_winograd_patches(const duel_winograd *wino, const duel_winograd_grid *g, const duel_tile *t,
                           const duel_lowered *m, const real *lowered, int64_t channels, real *dst) {
  const int64_t length = wino->down * wino->right * channels;
  for (int64_t n = 0; n < duel_length(t->n); n++)
    for (int64_t i = 0; i < g->p.pieces; i++)
      for (int64_t j = 0; j < g->q.pieces; j++) {
        const real *piece =
            lowered + n * m->image + duel_winograd_begin(&g->p, i) * m->row + duel_winograd_begin(&g->q, j) * m->pixel;
        real *to[POINTS * POINTS];
        const bool p3 = i < g->p.threes, q3 = j < g->q.threes;
        for (int point = 0; point < POINTS * POINTS; point++)
          to[point] = duel_winograd_has(g, point, i, j) ? dst + duel_winograd_column(g, point, n, i, j) * length : NULL;
        for (int64_t phase = 0; phase < wino->down * wino->right; phase++) {
          const real *src = piece + phase / wino->right * m->run + phase % wino->right * m->tap;
          if (p3 && q3)
            patch_as(3, 3, src, m->row, m->pixel, to, channels);
          else if (p3)
            patch_as(3, 2, src, m->row, m->pixel, to, channels);
          else if (q3)
            patch_as(2, 3, src, m->row, m->pixel, to, channels);
          else
            patch_as(2, 2, src, m->row, m->pixel, to, channels);
          for (int point = 0; point < POINTS * POINTS; point++)
            if (to[point]) to[point] += channels;
        }
      }
}

// ---- products, a point after the other. Points are differences and so more than results are: sums of CHAIN products
// at most keep the rounding errors where direct sums have them.
static void products_of(const duel_winograd_grid *g, const real *patches, int64_t length, const real *weights,
                        int64_t padded, bool add, real *products) {
  for (int point = 0; point < POINTS * POINTS; point++)
    for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES)
      for (int64_t t = 0; t < length; t += CHAIN) {
        const int64_t chain = duel_min(CHAIN, length - t);
        for (int64_t j = g->first[point]; j < g->first[point + 1]; j += DUEL_GEMM_ROWS) {
          const int rows = (int)duel_min(DUEL_GEMM_ROWS, g->first[point + 1] - j);
          const real *a[DUEL_GEMM_ROWS];
          real *c[DUEL_GEMM_ROWS];
          for (int i = 0; i < rows; i++) {
            a[i] = patches + (j + i) * length + t;
            c[i] = products + (j + i) * padded + panel;
          }
          duel_gemm_rows(rows, chain, a, weights, add || t > 0, c);
        }
        weights += chain * DUEL_GEMM_LANES;
      }
}

// ---- points to results
DUEL_INLINE void from_points(int results, const duel_vector *p, int64_t step, duel_vector y[3]) {
  const duel_vector p0 = p[0], p1 = p[step], p3 = p[3 * step];
  if (results == 3) {
    const duel_vector p2 = p[2 * step], sum = p1 + p2;
    y[0] = p0 + sum;
    y[1] = p1 - p2;
    y[2] = sum + p3;
  } else {
    y[0] = p0 + p1;
    y[1] = p1 + p3;
  }
}

DUEL_INLINE void results_as(int p, int q, const real *const *src, real *const *dst, int64_t panels, int64_t next) {
  for (int64_t k = 0; k < panels * DUEL_GEMM_LANES; k += DUEL_VECTOR_WIDTH) {
    const int64_t to = k / DUEL_GEMM_LANES * next + k % DUEL_GEMM_LANES;
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
      for (int j = 0; j < q; j++) duel_vector_store(dst[i * 3 + j] + to, y[j]);
    }
  }
}

static void points_to_results(const duel_winograd_grid *g, const duel_tile *t, const real *products, int64_t padded,
                              const duel_products *to) {
  const int64_t height = duel_length(t->p), width = duel_length(t->q);
  for (int64_t n = 0; n < duel_length(t->n); n++)
    for (int64_t i = 0; i < g->p.pieces; i++)
      for (int64_t j = 0; j < g->q.pieces; j++) {
        const int p = i < g->p.threes ? 3 : 2, q = j < g->q.threes ? 3 : 2;
        const int64_t first = (n * height + duel_winograd_begin(&g->p, i)) * width + duel_winograd_begin(&g->q, j);
        const real *src[POINTS * POINTS];
        real *dst[9] = {NULL};
        for (int point = 0; point < POINTS * POINTS; point++)
          src[point] =
              duel_winograd_has(g, point, i, j) ? products + duel_winograd_column(g, point, n, i, j) * padded : NULL;
        for (int a = 0; a < p; a++)
          for (int b = 0; b < q; b++) dst[a * 3 + b] = to->result + to->place[first + a * width + b] * DUEL_GEMM_LANES;
        const int64_t panels = padded / DUEL_GEMM_LANES, next = to->places * DUEL_GEMM_LANES;
        if (p == 3 && q == 3)
          results_as(3, 3, src, dst, panels, next);
        else if (p == 3)
          results_as(3, 2, src, dst, panels, next);
        else if (q == 3)
          results_as(2, 3, src, dst, panels, next);
        else
          results_as(2, 2, src, dst, panels, next);
      }
}

void duel_winograd_correlate(const duel_winograd *wino, const duel_lowering *l, const duel_patches *f,
                             const duel_tile *t, int64_t block, const duel_lowered *m, const real *lowered,
                             const real *packed, const duel_products *to, real *products, real *patches) {
  const duel_winograd_grid g = duel_winograd_grid_of(duel_length(t->n), duel_length(t->p), duel_length(t->q));
  const duel_span channels = duel_lowering_channels(l, f, block);
  const int64_t padded = duel_gemm_padded(to->k), phases = wino->down * wino->right;
  const int64_t length = phases * duel_length(channels);
  duel_winograd_patches(wino, &g, t, m, lowered, duel_length(channels), patches);
  products_of(&g, patches, length, packed + channels.begin * phases * padded * POINTS * POINTS, padded, block > 0,
              products);
  if (block + 1 == l->blocks) points_to_results(&g, t, products, padded, to);
}
