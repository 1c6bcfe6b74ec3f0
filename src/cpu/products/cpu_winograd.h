// Correlations with two taps each way by Winograd's minimal filtering, F(3, 2) and F(2, 2) on each axis (Lavin and Gray
// 2016, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308): 16 or 9 products where 36 or 16 would
// be made one by one. The points are 0, 1, −1 and ∞, so all factors of the transforms are 0, ±1 and ±1/2, which keeps
// rounding errors near those of direct sums (test_cpu.c states by how much).
//
// A convolution of stride s with 2s taps is the sum of s correlations with two taps, one a phase of the image; all
// phases add up before the results are transformed back.
//
// Products of bf16 are not filtered: rounding sums of inputs and sums of weights errs twice as much as rounding each
// (root mean square), and what it saved was 7 % of a step of dcgan.
#ifndef DUEL_CPU_PRODUCTS_CPU_WINOGRAD_H
#define DUEL_CPU_PRODUCTS_CPU_WINOGRAD_H

#include "cpu/products/cpu_conv_lower.h"

enum {
  DUEL_WINOGRAD_COLUMNS = 400, // of a tile
  DUEL_WINOGRAD_CHANNELS = 16, // come in multiples of so many, which whole vectors share on every level
  DUEL_WINOGRAD_POINTS = 4,
  DUEL_WINOGRAD_MINUS = 2, // the point −1
};

typedef struct duel_winograd {
  int64_t down, right; // phases each way
} duel_winograd;

// ---- an axis in pieces of three results and then of two
typedef struct duel_winograd_cut {
  int64_t threes, pieces;
} duel_winograd_cut;

static inline duel_winograd_cut duel_winograd_cut_of(int64_t results) {
  const int64_t twos = (3 - results % 3) % 3, threes = (results - 2 * twos) / 3;
  return (duel_winograd_cut){threes, threes + twos};
}

static inline int64_t duel_winograd_at_point(const duel_winograd_cut *c, int point) { // pieces that have the point
  return point == DUEL_WINOGRAD_MINUS ? c->threes : c->pieces;
}

static inline int64_t duel_winograd_begin(const duel_winograd_cut *c, int64_t i) { // of piece i
  return i <= c->threes ? 3 * i : 3 * c->threes + 2 * (i - c->threes);
}

typedef struct duel_winograd_grid { // of a tile
  duel_winograd_cut p, q;
  int64_t first[DUEL_WINOGRAD_POINTS * DUEL_WINOGRAD_POINTS + 1]; // of a point's columns among those of all points
} duel_winograd_grid;

static inline duel_winograd_grid duel_winograd_grid_of(int64_t n, int64_t p, int64_t q) {
  enum { POINTS = DUEL_WINOGRAD_POINTS };
  duel_winograd_grid g = {duel_winograd_cut_of(p), duel_winograd_cut_of(q), {0}};
  for (int i = 0; i < POINTS * POINTS; i++)
    g.first[i + 1] =
        g.first[i] + n * duel_winograd_at_point(&g.p, i / POINTS) * duel_winograd_at_point(&g.q, i % POINTS);
  return g;
}

// Whether piece (i, j) has a point.
static inline bool duel_winograd_has(const duel_winograd_grid *g, int point, int64_t i, int64_t j) {
  enum { POINTS = DUEL_WINOGRAD_POINTS, MINUS = DUEL_WINOGRAD_MINUS };
  return (point / POINTS != MINUS || i < g->p.threes) && (point % POINTS != MINUS || j < g->q.threes);
}

// Column of piece (i, j) of image n at a point that it has.
static inline int64_t duel_winograd_column(const duel_winograd_grid *g, int point, int64_t n, int64_t i, int64_t j) {
  const int64_t down = duel_winograd_at_point(&g->p, point / DUEL_WINOGRAD_POINTS);
  const int64_t right = duel_winograd_at_point(&g->q, point % DUEL_WINOGRAD_POINTS);
  return g->first[point] + (n * down + i) * right + j;
}

// dst [columns of all points, phases · channels] = a lowered tile's patches at the points.
#define duel_winograd_patches DUEL_CPU_PLAIN(winograd_patches)
void duel_winograd_patches(const duel_winograd *wino, const duel_winograd_grid *g, const duel_tile *t,
                           const duel_lowered *m, const real *lowered, int64_t channels, real *dst);

// Whether a convolution's kernel is two strides long, and without gaps; never in bf16.
static inline bool duel_winograd_fits(const duel_conv_sizes *z, const duel_conv *c) {
  const bool two = z->r == 2 * c->stride[0] && z->s == 2 * c->stride[1];
  return DUEL_UNIT == 1 && two && c->dilation[0] == 1 && c->dilation[1] == 1;
}

// ---- correlation
// Whether it is possible and worth its transforms, by the shapes of the correlations that it stands for: f's channels
// to k results a pixel, with these tiles.
#define duel_winograd_pays DUEL_CPU_PLAIN(winograd_pays)
bool duel_winograd_pays(const duel_patches *f, const duel_tiles *tiles, int64_t k);

// Numbers of all packed weights.
#define duel_winograd_packed DUEL_CPU_PLAIN(winograd_packed)
int64_t duel_winograd_packed(const duel_winograd *wino, const duel_patches *f, int64_t k);

// The columns of all points of the largest tile: so many patches [phases · channels of a block], which are forgotten
// with the call, and products [padded ks], which add up over the blocks of channels.
#define duel_winograd_columns DUEL_CPU_PLAIN(winograd_columns)
int64_t duel_winograd_columns(const duel_tiles *tiles);

// Like duel_pack_weights and duel_correlate, and for the same weights and lowered tile; results are there after the
// last block of channels.
#define duel_winograd_pack DUEL_CPU_PLAIN(winograd_pack)
void duel_winograd_pack(const duel_winograd *wino, const duel_lowering *l, const duel_patches *f, int64_t k,
                        const duel_weights *w, duel_span channels, real *packed);
#define duel_winograd_correlate DUEL_CPU_PLAIN(winograd_correlate)
void duel_winograd_correlate(const duel_winograd *wino, const duel_lowering *l, const duel_patches *f,
                             const duel_tile *t, int64_t block, const duel_lowered *m, const real *lowered,
                             const real *packed, const duel_products *to, real *products, real *patches);

// ---- the weights' gradient, of DUEL_WINOGRAD_CHANNELS channels and some ks (cpu_winograd_dw.c)
// sums [points, phases · channels, padded ks] = or += of a tile. dy: [columns of the tile, padded ks]; patches, points:
// scratch, [columns of all points, phases · channels] with DUEL_GEMM_ROWS numbers behind, and [that, padded ks].
#define duel_winograd_dw_add DUEL_CPU_PLAIN(winograd_dw_add)
void duel_winograd_dw_add(const duel_winograd *wino, const duel_tile *t, const duel_lowered *m, const real *lowered,
                          const real *dy, int64_t padded, bool add, real *sums, real *patches, real *points);

// The gradient (k, channel, r, s) to dw[k·next + (channel·2·down + r)·2·right + s]; turned: scratch [channels · taps,
// padded ks].
#define duel_winograd_dw_store DUEL_CPU_PLAIN(winograd_dw_store)
void duel_winograd_dw_store(const duel_winograd *wino, int64_t ks, int64_t padded, const real *sums, real *turned,
                            real *dw, int64_t next);

#endif
