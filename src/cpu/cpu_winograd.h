// Correlations with two taps each way by Winograd's minimal filtering, F(3, 2) and F(2, 2) on each axis (Lavin and Gray
// 2016, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308): 16 or 9 products where 36 or 16 would
// be made one by one. The points are 0, 1, −1 and ∞, so all factors of the transforms are 0, ±1 and ±1/2, which keeps
// rounding errors near those of direct sums (test_cpu.c states by how much).
//
// A convolution of stride s with 2s taps is the sum of s correlations with two taps, one a phase of the image; all
// phases add up before the results are transformed back.
//
// Products of bf16 are not filtered: rounding sums of inputs and sums of weights errs three times as much as rounding
// each (root mean square), and what it saved was 7 % of a step of dcgan.
#ifndef DUEL_CPU_WINOGRAD_H
#define DUEL_CPU_WINOGRAD_H

#include "cpu/cpu_conv.h"

enum { DUEL_WINOGRAD_COLUMNS = 400 }; // of a tile

typedef struct duel_winograd {
  int64_t down, right; // phases each way
} duel_winograd;

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
                        const duel_weights *w, duel_range channels, real *packed);
#define duel_winograd_correlate DUEL_CPU_PLAIN(winograd_correlate)
void duel_winograd_correlate(const duel_winograd *wino, const duel_lowering *l, const duel_patches *f,
                             const duel_tile *t, int64_t block, const duel_lowered *m, const real *lowered,
                             const real *packed, const duel_products *to, real *products, real *patches);

#endif
