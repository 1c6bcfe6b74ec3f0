// What the convolution kernels (cpu_conv*.c) share. All of them work tile by tile: a tile is a box of result pixels,
// some hundreds of them. What its pixels meet is copied ("lowered") with the channels innermost, which stays in cache,
// and is multiplied in place by blocks in registers (cpu_gemm.h). Small images share a tile; large ones are cut. The
// scratch has one part a piece, and the number of pieces is bounded, so is the scratch.
#ifndef DUEL_CPU_PRODUCTS_CPU_CONV_LOWER_H
#define DUEL_CPU_PRODUCTS_CPU_CONV_LOWER_H

#include "core/ops/conv.h"
#include "cpu/products/cpu_gemm.h"

enum {
  DUEL_TILE_COLUMNS = 256, // pixels of a tile, where nothing else is said
  DUEL_MOST_COLUMNS = 512, // in any case
  DUEL_CONV_PIECES = 32,   // at most, each with its own part of the scratch
};

// ---- cutting
typedef struct duel_tile { // images × rows × columns
  duel_span n, p, q;
} duel_tile;

typedef struct duel_tiles {
  int64_t n, p, q;                   // extents
  int64_t parts_n, parts_p, parts_q; // into so many parts each
} duel_tiles;

// Tiles of at most `most` columns.
static inline duel_tiles duel_tiles_of(int64_t n, int64_t p, int64_t q, int64_t most) {
  duel_tiles t = {n, p, q, n, 1, 1};
  if (p <= most / q) { // whole images
    t.parts_n = duel_min(duel_pieces(n, most / (p * q)), n);
  } else if (q <= most) {
    t.parts_p = duel_ceil_div(p, most / q);
  } else {
    t.parts_p = p;
    t.parts_q = duel_ceil_div(q, most);
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
                     duel_piece(t->q, 1, t->parts_q, i % t->parts_q)};
}

static inline int64_t duel_length(duel_span r) {
  return r.end - r.begin;
}

static inline int64_t duel_tile_columns(const duel_tile *t) {
  return duel_length(t->n) * duel_length(t->p) * duel_length(t->q);
}

// Pieces that share `items` units of work: the items of piece i are duel_piece(items, 1, pieces, i).
static inline int64_t duel_conv_pieces(int64_t items) {
  return duel_min(items, DUEL_CONV_PIECES);
}

// ---- patches: result pixel (n, p, q) meets, in every channel, the rows p·stride + base + r·step, r < n, and columns
// alike. step >= 1.
typedef struct duel_taps {
  int64_t n, base, step, stride;
} duel_taps;

typedef struct duel_patches {
  const real *src; // image 0's first channel
  int64_t image;   // numbers from one image to the next
  int64_t h, w;    // of a channel; outside are zeros
  int64_t channels;
  duel_taps down, right;
} duel_patches;

// What a group's weights meet in x, the first input of conv2d and conv2d_dw.
static inline duel_patches duel_patches_of(const duel_call *call, const duel_conv_sizes *z, int64_t group) {
  const duel_conv *c = &call->attr->conv;
  const real *x = call->in[0].data; // NULL where memory is planned
  return (duel_patches){.src = x ? x + group * z->c_group * z->h * z->w : NULL,
                        .image = z->c * z->h * z->w,
                        .h = z->h,
                        .w = z->w,
                        .channels = z->c_group,
                        .down = {z->r, -c->pad[0], c->dilation[0], c->stride[0]},
                        .right = {z->s, -c->pad[1], c->dilation[1], c->stride[1]}};
}

// ---- lowering. A pixel's patch is `runs` runs of `length` numbers, in the order r, s, channel. Neighbors share what
// they both meet, a run being a row of taps with all channels; or, where those would be short or lie apart, every pixel
// has its patch for itself, in one run.
typedef struct duel_lowering {
  bool apart;            // no sharing
  int64_t block, blocks; // channels lowered at a time, and how often
  int64_t numbers;       // memory of the largest tile, with what products read past the end
} duel_lowering;

#define duel_lowering_of DUEL_CPU_NAME(lowering_of)
duel_lowering duel_lowering_of(const duel_patches *f, const duel_tiles *tiles);

static inline duel_span duel_lowering_channels(const duel_lowering *l, const duel_patches *f, int64_t block) {
  return (duel_span){block * l->block, duel_min((block + 1) * l->block, f->channels)};
}

// Where a lowered tile's numbers are: tap (r, s) of pixel (n, p, q) at n·image + p·row + q·pixel + r·run + s·tap.
typedef struct duel_lowered {
  int64_t image, row, pixel, run, tap;
} duel_lowered;

#define duel_lower DUEL_CPU_NAME(lower)
duel_lowered duel_lower(const duel_lowering *l, const duel_patches *f, const duel_tile *t, duel_span channels,
                        real *dst);

// ---- correlation: result [k, pixel] = Σ over r, s, channel of patch · weight
typedef struct duel_weights { // weight (k, channel, r, s) = data[k·k + channel·c + r·r + s·s]
  const real *data;
  int64_t k, c, r, s;
} duel_weights;

enum { DUEL_PACK_NUMBERS = 1 << 15 }; // weights in a piece of packing

// Which of a group's channels are among `channels` of all.
static inline duel_span duel_own_channels(duel_span channels, int64_t c_group, int64_t group) {
  const int64_t first = group * c_group, begin = channels.begin - first;
  return (duel_span){begin > 0 ? begin : 0, duel_min(channels.end - first, c_group)};
}

// Packs the weights of some channels for taps.n down and right, of all of them `packed` holds at most padded ks ·
// channels · taps units: blocks of channels, panels of DUEL_GEMM_LANES ks, runs, [units of the run, k in the panel].
#define duel_pack_weights DUEL_CPU_NAME(pack_weights)
void duel_pack_weights(const duel_lowering *l, const duel_patches *f, int64_t k, const duel_weights *w,
                       duel_span channels, duel_gemm_unit *packed);

static inline int64_t duel_packed_numbers(const duel_patches *f, int64_t k) {
  return duel_gemm_padded(k) * f->channels * f->down.n * f->right.n;
}

// A lowered tile turns into numbers of units, in place: offsets stay, in numbers. A run of odd length ends with a unit
// whose second number is what follows, another number of the tile or the zero behind it; its weight is 0.
static inline void duel_pack_lowered(const duel_tile *t, const duel_lowered *m, real *lowered) {
  const int64_t numbers = duel_length(t->n) * m->image;
  duel_pack_numbers(numbers, lowered, (duel_packed *)lowered);
  if (DUEL_UNIT > 1) ((duel_packed *)lowered)[numbers] = 0;
}

// One block of channels, lowered as m tells and packed, whose patches begin at `lowered`: adds to (first block: yields)
// the results [panels of ks, places, DUEL_GEMM_LANES], those of column j of the tile at place[j].
typedef struct duel_products {
  int64_t k, places;
  const int64_t *place;
  real *result;
} duel_products;

#define duel_correlate DUEL_CPU_NAME(correlate)
void duel_correlate(const duel_lowering *l, const duel_patches *f, const duel_tile *t, int64_t block,
                    const duel_lowered *m, const duel_packed *lowered, const duel_gemm_unit *packed,
                    const duel_products *to);

// What follows a sum: act(sum + bias[k]), where bias may be NULL.
typedef struct duel_finish {
  const real *bias; // of the group
  int act;
  real slope;
} duel_finish;

static inline duel_finish duel_finish_of(const duel_call *call, int64_t first) {
  if (call->op != DUEL_OP_CONV2D_ACT && call->op != DUEL_OP_CONV2D_DX_ACT) return (duel_finish){NULL, DUEL_ACT_NONE, 0};
  return (duel_finish){call->n_in > 2 ? (const real *)call->in[2].data + first : NULL, call->attr->conv_act.act,
                       (real)call->attr->conv_act.slope};
}

// Results of whole boxes of pixels are finished and go to their images: (k, n, p, q) to data[k·channel + n·image +
// p·row + q].
#define duel_store_results DUEL_CPU_NAME(store_results)
void duel_store_results(const duel_tile *t, int64_t k, const duel_finish *finish, real *result, real *data,
                        int64_t channel, int64_t image, int64_t row);

#endif
