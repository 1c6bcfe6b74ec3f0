// What the convolution kernels (cpu_conv*.c) share. They work tile by tile. A tile is a box [n, p, q] of some hundreds
// of result pixels: several small images, or a cut of a large one.
//
//   lower      copies what the tile's pixels read, channels innermost; it stays in cache
//   correlate  multiplies it where it lies, by blocks in registers (cpu_gemm.h)
//   store      adds bias and activation, and writes [k][p][q]
//
// Each piece has scratch of its own. There are at most DUEL_CONV_PIECES, which bounds the scratch.
#ifndef DUEL_CPU_PRODUCTS_CPU_CONV_LOWER_H
#define DUEL_CPU_PRODUCTS_CPU_CONV_LOWER_H

#include "core/ops/conv.h"
#include "cpu/products/cpu_gemm.h"

enum {
  DUEL_TILE_COLUMNS = 256, // pixels of a tile, where nothing else is said
  DUEL_MOST_COLUMNS = 512, // in any case
  DUEL_CONV_PIECES = 32,   // at most, each with scratch of its own
};

// ---- cutting
typedef struct duel_tile { // images × rows × columns
  duel_span n, p, q;
} duel_tile;

typedef struct duel_tiles {
  int64_t n, p, q;                // extents
  int64_t cuts_n, cuts_p, cuts_q; // into so many each
} duel_tiles;

// Tiles of at most `most` columns.
static inline duel_tiles duel_tiles_of(int64_t n, int64_t p, int64_t q, int64_t most) {
  duel_tiles tiles = {n, p, q, n, 1, 1};
  if (p <= most / q) { // whole images
    tiles.cuts_n = duel_min(duel_pieces(n, most / (p * q)), n);
  } else if (q <= most) {
    tiles.cuts_p = duel_ceil_div(p, most / q);
  } else {
    tiles.cuts_p = p;
    tiles.cuts_q = duel_ceil_div(q, most);
  }
  return tiles;
}

static inline int64_t duel_tiles_count(const duel_tiles *tiles) {
  return tiles->cuts_n * tiles->cuts_p * tiles->cuts_q;
}

static inline duel_tile duel_tile_at(const duel_tiles *tiles, int64_t i) {
  const int64_t row = i / tiles->cuts_q;
  return (duel_tile){duel_share(tiles->n, 1, tiles->cuts_n, row / tiles->cuts_p),
                     duel_share(tiles->p, 1, tiles->cuts_p, row % tiles->cuts_p),
                     duel_share(tiles->q, 1, tiles->cuts_q, i % tiles->cuts_q)};
}

static inline int64_t duel_length(duel_span span) {
  return span.end - span.begin;
}

static inline int64_t duel_tile_columns(const duel_tile *tile) {
  return duel_length(tile->n) * duel_length(tile->p) * duel_length(tile->q);
}

// Pieces that share so many items.
static inline int64_t duel_conv_pieces(int64_t items) {
  return duel_min(items, DUEL_CONV_PIECES);
}

// ---- patches: tap r < n of result row p reads row p·stride + base + r·apart of x; columns alike. apart >= 1.
typedef struct duel_taps {
  int64_t n, base, apart, stride;
} duel_taps;

typedef struct duel_patches {
  const real *src; // image 0's first channel
  int64_t image;   // elements from one image to the next
  int64_t h, w;    // of a channel; outside are zeros
  int64_t channels;
  duel_taps down, right;
} duel_patches;

// What a group's weights read of x, the first input of conv2d and conv2d_dw.
static inline duel_patches duel_patches_of(const duel_call *call, const duel_conv_sizes *sizes, int64_t group) {
  const duel_conv *conv = &call->attr->conv;
  const real *x = call->in[0].data; // NULL where memory is planned
  return (duel_patches){.src = x ? x + group * sizes->c_group * sizes->h * sizes->w : NULL,
                        .image = sizes->c * sizes->h * sizes->w,
                        .h = sizes->h,
                        .w = sizes->w,
                        .channels = sizes->c_group,
                        .down = {sizes->r, -conv->pad[0], conv->dilation[0], conv->stride[0]},
                        .right = {sizes->s, -conv->pad[1], conv->dilation[1], conv->stride[1]}};
}

// ---- lowering. A pixel's patch is [r][s][channel], in `runs` stretches of `length` contiguous elements:
//
//   shared  lowered [n][row][column][channel]: neighboring pixels share what both read; a run is [s][channel]
//   apart   lowered [n][p][q][r][s][channel]: each pixel has a patch of its own, in one run. Where runs would be short,
//           or taps lie apart
typedef struct duel_lowering {
  bool apart;            // no sharing
  int64_t block, blocks; // channels lowered at a time, and how often
  int64_t elements;      // of the largest lowered tile, with room for what products read past its end
} duel_lowering;

#define duel_lowering_of DUEL_CPU_NAME(lowering_of)
duel_lowering duel_lowering_of(const duel_patches *patches, const duel_tiles *tiles);

static inline duel_span duel_lowering_channels(const duel_lowering *lowering, const duel_patches *patches,
                                               int64_t block) {
  return (duel_span){block * lowering->block, duel_min((block + 1) * lowering->block, patches->channels)};
}

// Of a lowered tile: what pixel (n, p, q) reads by tap (r, s) is at n·image + p·row + q·pixel + r·run + s·tap.
typedef struct duel_layout {
  int64_t image, row, pixel, run, tap;
} duel_layout;

#define duel_lower DUEL_CPU_NAME(lower)
duel_layout duel_lower(const duel_lowering *lowering, const duel_patches *patches, const duel_tile *tile,
                       duel_span channels, real *dst);

// ---- correlation: result [k][pixel] = Σ over r, s, channel of patch · weight
typedef struct duel_weights { // weight (k, channel, r, s) = data[k·k + channel·c + r·r + s·s]
  const real *data;
  int64_t k, c, r, s;
} duel_weights;

enum { DUEL_PACK_ELEMENTS = 1 << 15 }; // weights in a piece of packing

// Which of a group's channels are among `channels` of all.
static inline duel_span duel_own_channels(duel_span channels, int64_t c_group, int64_t group) {
  const int64_t first = group * c_group, begin = channels.begin - first;
  return (duel_span){begin > 0 ? begin : 0, duel_min(channels.end - first, c_group)};
}

// Packs the weights of `channels`, by k outputs.
// packed [block of channels][panel of DUEL_GEMM_LANES outputs][run][unit][DUEL_GEMM_LANES]
#define duel_pack_weights DUEL_CPU_NAME(pack_weights)
void duel_pack_weights(const duel_lowering *lowering, const duel_patches *patches, int64_t k,
                       const duel_weights *weights, duel_span channels, duel_gemm_unit *packed);

// At most so many units.
static inline int64_t duel_packed_elements(const duel_patches *patches, int64_t k) {
  return duel_gemm_padded(k) * patches->channels * patches->down.n * patches->right.n;
}

// Rounds a lowered tile to bf16, in place; element i stays element i. Products read pairs, so the last pair of an odd
// run takes a stranger with it: the next element of the tile, or the zero behind it. Its weight is 0.
static inline void duel_pack_lowered(const duel_tile *tile, const duel_layout *layout, real *lowered) {
  const int64_t elements = duel_length(tile->n) * layout->image;
  duel_pack_elements(elements, lowered, (duel_packed *)lowered);
  if (DUEL_UNIT > 1) ((duel_packed *)lowered)[elements] = 0;
}

// Where the results of a tile go: data [panel][places][DUEL_GEMM_LANES], those of its column j to place[j].
typedef struct duel_results {
  int64_t k, places;
  const int64_t *place;
  real *data;
} duel_results;

// One block of channels of a tile, lowered.
typedef struct duel_correlation {
  const duel_lowering *lowering;
  const duel_patches *patches;
  const duel_tile *tile;
  int64_t block;
  const duel_layout *layout;
  const duel_results *results;
} duel_correlation;

// results += (block 0: =) the tile · its weights.
#define duel_correlate DUEL_CPU_NAME(correlate)
void duel_correlate(const duel_correlation *c, const duel_packed *lowered, const duel_gemm_unit *packed);

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

// data[k·channel + n·image + p·row + q] = act(result (k, n, p, q) + bias[k]), for all pixels of the tile.
#define duel_store_results DUEL_CPU_NAME(store_results)
void duel_store_results(const duel_tile *tile, int64_t k, const duel_finish *finish, real *result, real *data,
                        int64_t channel, int64_t image, int64_t row);

#endif
