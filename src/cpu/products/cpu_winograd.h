// Winograd's minimal filtering for kernels of 2×2 taps (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
// Networks", arXiv:1509.09308). A 3×3 box of results takes 16 products instead of 36, a 2×2 box 9 instead of 16: on
// each axis F(3, 2) or F(2, 2). The points are 0, 1, −1 and ∞, so the transforms multiply by 0, ±1 and ±1/2 alone,
// which keeps rounding near that of direct sums (test_cpu.c says how near).
//
// A convolution of stride s with 2s taps is a sum of s correlations of two taps, one a class: the residue mod s of the
// pixel's row (column). They add up before the results are transformed back.
//
// Products of bf16 are not filtered: sums of inputs and of weights rounded to bf16 err twice as much (root mean square)
// as inputs and weights do, for 7 % of a step of dcgan.
#ifndef DUEL_CPU_PRODUCTS_CPU_WINOGRAD_H
#define DUEL_CPU_PRODUCTS_CPU_WINOGRAD_H

#include "cpu/products/cpu_conv_lower.h"

enum {
  DUEL_WINOGRAD_COLUMNS = 400, // of a tile
  DUEL_WINOGRAD_CHANNELS = 16, // channels must be a multiple of this: whole vectors on every level
  DUEL_WINOGRAD_POINTS = 4,
  DUEL_WINOGRAD_MINUS = 2, // the point −1
};

typedef struct duel_winograd {
  int64_t down, right; // classes each way: the strides
} duel_winograd;

// ---- an axis cut into threes of results, then twos; a box is one such cut each way
typedef struct duel_winograd_cut {
  int64_t threes, boxes;
} duel_winograd_cut;

static inline duel_winograd_cut duel_winograd_cut_of(int64_t results) {
  const int64_t twos = (3 - results % 3) % 3, threes = (results - 2 * twos) / 3;
  return (duel_winograd_cut){threes, threes + twos};
}

static inline int64_t duel_winograd_at_point(const duel_winograd_cut *cut, int point) { // boxes that have the point
  return point == DUEL_WINOGRAD_MINUS ? cut->threes : cut->boxes;
}

static inline int64_t duel_winograd_begin(const duel_winograd_cut *cut, int64_t i) { // of box i
  return i <= cut->threes ? 3 * i : 3 * cut->threes + 2 * (i - cut->threes);
}

typedef struct duel_winograd_grid { // of a tile
  duel_winograd_cut p, q;
  int64_t first[DUEL_WINOGRAD_POINTS * DUEL_WINOGRAD_POINTS + 1]; // of a point's columns among those of all
} duel_winograd_grid;

static inline duel_winograd_grid duel_winograd_grid_of(int64_t n, int64_t p, int64_t q) {
  enum { POINTS = DUEL_WINOGRAD_POINTS };
  duel_winograd_grid grid = {duel_winograd_cut_of(p), duel_winograd_cut_of(q), {0}};
  for (int i = 0; i < POINTS * POINTS; i++)
    grid.first[i + 1] =
        grid.first[i] + n * duel_winograd_at_point(&grid.p, i / POINTS) * duel_winograd_at_point(&grid.q, i % POINTS);
  return grid;
}

// Whether box (i, j) has a point.
static inline bool duel_winograd_has(const duel_winograd_grid *grid, int point, int64_t i, int64_t j) {
  enum { POINTS = DUEL_WINOGRAD_POINTS, MINUS = DUEL_WINOGRAD_MINUS };
  return (point / POINTS != MINUS || i < grid->p.threes) && (point % POINTS != MINUS || j < grid->q.threes);
}

// Column of box (i, j) of image n at a point that it has.
static inline int64_t duel_winograd_column(const duel_winograd_grid *grid, int point, int64_t n, int64_t i, int64_t j) {
  const int64_t down = duel_winograd_at_point(&grid->p, point / DUEL_WINOGRAD_POINTS);
  const int64_t right = duel_winograd_at_point(&grid->q, point % DUEL_WINOGRAD_POINTS);
  return grid->first[point] + (n * down + i) * right + j;
}

// at[point] = where what box (i, j) of image n has there begins in data [column][length]; NULL: it has none.
static inline void duel_winograd_points(const duel_winograd_grid *grid, int64_t n, int64_t i, int64_t j, real *data,
                                        int64_t length, real *at[DUEL_WINOGRAD_POINTS * DUEL_WINOGRAD_POINTS]) {
  for (int point = 0; point < DUEL_WINOGRAD_POINTS * DUEL_WINOGRAD_POINTS; point++)
    at[point] =
        duel_winograd_has(grid, point, i, j) ? data + duel_winograd_column(grid, point, n, i, j) * length : NULL;
}

// Calls the inline function fn(p, q, ...) with the sides of box (i, j) as constants.
#define DUEL_BY_BOX(grid, i, j, fn, ...)                                                                               \
  switch (2 * ((i) < (grid)->p.threes) + ((j) < (grid)->q.threes)) {                                                   \
  case 3:                                                                                                              \
    fn(3, 3, __VA_ARGS__);                                                                                             \
    break;                                                                                                             \
  case 2:                                                                                                              \
    fn(3, 2, __VA_ARGS__);                                                                                             \
    break;                                                                                                             \
  case 1:                                                                                                              \
    fn(2, 3, __VA_ARGS__);                                                                                             \
    break;                                                                                                             \
  default:                                                                                                             \
    fn(2, 2, __VA_ARGS__);                                                                                             \
    break;                                                                                                             \
  }

// dst [point][column][class][channel]: the tile's patches, transformed. Points have different numbers of columns.
#define duel_winograd_patches DUEL_CPU_PLAIN(winograd_patches)
void duel_winograd_patches(const duel_winograd *classes, const duel_winograd_grid *grid, const duel_tile *tile,
                           const duel_layout *layout, const real *lowered, int64_t channels, real *dst);

// Whether a convolution's kernel is two strides long, and without gaps; never in bf16.
static inline bool duel_winograd_fits(const duel_conv_sizes *sizes, const duel_conv *conv) {
  const bool two = sizes->r == 2 * conv->stride[0] && sizes->s == 2 * conv->stride[1];
  return DUEL_UNIT == 1 && two && conv->dilation[0] == 1 && conv->dilation[1] == 1;
}

// ---- correlation
// Whether filtering is possible and worth its transforms: from patches->channels to k channels, in these tiles.
#define duel_winograd_pays DUEL_CPU_PLAIN(winograd_pays)
bool duel_winograd_pays(const duel_patches *patches, const duel_tiles *tiles, int64_t k);

// Elements of all packed weights.
#define duel_winograd_packed DUEL_CPU_PLAIN(winograd_packed)
int64_t duel_winograd_packed(const duel_winograd *classes, const duel_patches *patches, int64_t k);

// Columns of all points together, of the largest tile.
#define duel_winograd_columns DUEL_CPU_PLAIN(winograd_columns)
int64_t duel_winograd_columns(const duel_tiles *tiles);

// Like duel_pack_weights and duel_correlate, of the same weights and lowered tile. Results are there after the last
// block of channels. Scratch: products [columns of all points][padded k], which add up over the blocks of channels, and
// transformed [columns of all points][class][channel of a block].
#define duel_winograd_pack DUEL_CPU_PLAIN(winograd_pack)
void duel_winograd_pack(const duel_winograd *classes, const duel_lowering *lowering, const duel_patches *patches,
                        int64_t k, const duel_weights *weights, duel_span channels, real *packed);
#define duel_winograd_correlate DUEL_CPU_PLAIN(winograd_correlate)
void duel_winograd_correlate(const duel_winograd *classes, const duel_correlation *c, const real *lowered,
                             const real *packed, real *products, real *transformed);

// ---- the weights' gradient, of DUEL_WINOGRAD_CHANNELS channels and some outputs (cpu_winograd_dw.c)
typedef struct duel_winograd_dw { // scratch
  int64_t padded;                 // outputs, rounded up to whole panels
  real *sums;                     // [point][class][channel][padded]
  real *transformed;              // [columns of all points][class][channel] and DUEL_GEMM_ROWS elements more
  real *points;                   // [columns of all points][padded], or the gradient [channel][r][s][padded]
} duel_winograd_dw;

// sums += (add false: =) those of a tile. dy [column][padded].
#define duel_winograd_dw_add DUEL_CPU_PLAIN(winograd_dw_add)
void duel_winograd_dw_add(const duel_winograd *classes, const duel_tile *tile, const duel_layout *layout,
                          const real *lowered, const real *dy, bool add, const duel_winograd_dw *scratch);

// dw[k·next + (channel·R + r)·S + s] = the gradient, R = 2·down, S = 2·right.
#define duel_winograd_dw_store DUEL_CPU_PLAIN(winograd_dw_store)
void duel_winograd_dw_store(const duel_winograd *classes, int64_t outputs, const duel_winograd_dw *scratch, real *dw,
                            int64_t next);

#endif
