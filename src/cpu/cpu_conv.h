// What the convolution kernels (cpu_conv*.c) share. All of them multiply by BLAS, tile by tile: a tile is a box of
// result pixels, at most DUEL_TILE_COLUMNS of them, so that its gathered patches stay in cache. Small images share a
// tile; large ones are cut. The scratch has one part a piece, and the number of pieces is bounded, so is the scratch.
#ifndef DUEL_CPU_CONV_H
#define DUEL_CPU_CONV_H

#include "core/conv.h"
#include "cpu/cpu_kernel.h"

enum {
  DUEL_TILE_COLUMNS = 256, // pixels
  DUEL_TILE_DEPTH = 384,   // rows of patches that are gathered and multiplied at a time
  DUEL_CONV_PIECES = 32,   // at most, each with its own part of the scratch
};

// ---- cutting
typedef struct duel_tile { // images × rows × columns
  duel_range n, p, q;
} duel_tile;

typedef struct duel_tiles {
  int64_t n, p, q;                   // extents
  int64_t parts_n, parts_p, parts_q; // into so many parts each
} duel_tiles;

static inline duel_tiles duel_tiles_of(int64_t n, int64_t p, int64_t q) {
  duel_tiles t = {n, p, q, n, 1, 1};
  if (p <= DUEL_TILE_COLUMNS / q) { // whole images
    t.parts_n = duel_min(duel_pieces(n, DUEL_TILE_COLUMNS / (p * q)), n);
  } else if (q <= DUEL_TILE_COLUMNS) {
    t.parts_p = duel_ceil_div(p, DUEL_TILE_COLUMNS / q);
  } else {
    t.parts_p = p;
    t.parts_q = duel_ceil_div(q, DUEL_TILE_COLUMNS);
  }
  return t;
}

static inline int64_t duel_tiles_count(const duel_tiles *t) {
  return t->parts_n * t->parts_p * t->parts_q;
}

static inline duel_tile duel_tile_at(const duel_tiles *t, int64_t i) {
  const int64_t row = i / t->parts_q;
  return (duel_tile){duel_piece(t->n, 1, t->parts_n, row / t->parts_p),
                     duel_piece(t->p, 1, t->parts_p, row % t->parts_p),
                     duel_piece(t->q, 16, t->parts_q, i % t->parts_q)};
}

static inline int64_t duel_length(duel_range r) {
  return r.end - r.begin;
}

static inline int64_t duel_tile_columns(const duel_tile *t) {
  return duel_length(t->n) * duel_length(t->p) * duel_length(t->q);
}

// Pieces that share `items` units of work: the items of piece i are duel_piece(items, 1, pieces, i).
static inline int64_t duel_conv_pieces(int64_t items) {
  return duel_min(items, DUEL_CONV_PIECES);
}

// ---- patches: row (channel, r, s), column (n, p, q) has image n's channel at row p·stride + base + r·step, and so on
typedef struct duel_taps {
  int64_t n, base, step, stride;
} duel_taps;

typedef struct duel_patches {
  const real *src; // image 0's first channel
  int64_t image;   // numbers from one image to the next
  int64_t h, w;    // of a channel; outside are zeros
  duel_taps down, right;
} duel_patches;

// What a group's weights meet in x, the first input of conv2d and conv2d_dw.
static inline duel_patches duel_patches_of(const duel_call *call, const duel_conv_sizes *z, int64_t group) {
  const duel_conv *c = &call->attr->conv;
  return (duel_patches){.src = (const real *)call->in[0].data + group * z->c_group * z->h * z->w,
                        .image = z->c * z->h * z->w,
                        .h = z->h,
                        .w = z->w,
                        .down = {z->r, -c->pad[0], c->dilation[0], c->stride[0]},
                        .right = {z->s, -c->pad[1], c->dilation[1], c->stride[1]}};
}

// dst [depth, columns of the tile] = the rows `depth` of the patches.
#define duel_conv_gather DUEL_CPU_NAME(conv_gather)
void duel_conv_gather(const duel_patches *f, const duel_tile *t, duel_range depth, real *dst);

// ---- products, row-major
typedef struct duel_factor {
  const real *data;
  int64_t ld;
  bool trans;
} duel_factor;

// c[m, n] = a·b, or is added to if `add`.
#define duel_conv_multiply DUEL_CPU_NAME(conv_multiply)
void duel_conv_multiply(int64_t m, int64_t n, int64_t k, duel_factor a, duel_factor b, bool add, real *c, int64_t ldc);

#endif
