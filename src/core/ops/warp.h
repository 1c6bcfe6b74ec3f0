// Where the pixels of a warped image come from, for kernels of any backend. With m = map[n], six numbers:
//
//   y[n, c, i, j] = Σ over h, w of tent(sy − h)·tent(sx − w)·x[n, c, h, w]      tent(t) = max(0, 1 − |t|)
//   sx = m[0]·j + (m[1]·i + m[2])       sy = m[3]·j + (m[4]·i + m[5])
//
// Each operation is rounded as it stands here, in every kernel, so that a pixel has the same weights to the bit on the
// way there and back. Weights of places at whole numbers are exactly 1 and 0; what has the weight 0 is not taken, be
// it NaN. A place that is no number lies outside.
//
// Invariant: sides are at most DUEL_MOST_SIDE, so that 32 bits hold any place in a plane.
#ifndef DUEL_CORE_OPS_WARP_H
#define DUEL_CORE_OPS_WARP_H

#include "base/normal.h"

#ifdef DUEL_REAL
typedef DUEL_REAL duel_warp_real; // a CPU kernel's number type
#else
typedef float duel_warp_real;
#endif

// The part of a place that pixels of row i share; row: three numbers of the map.
DUEL_HD duel_warp_real duel_warp_line(const duel_warp_real *row, int32_t i) {
  return DUEL_FADD(DUEL_FMUL(row[1], (duel_warp_real)i), row[2]);
}
DUEL_HD duel_warp_real duel_warp_place(const duel_warp_real *row, int32_t j, duel_warp_real line) {
  return DUEL_FADD(DUEL_FMUL(row[0], (duel_warp_real)j), line);
}

// A place on an axis of n pixels, to be cut to a whole number: one outside becomes −1 or n, no number −1. There, both
// neighbors have the weight 0.
DUEL_HD duel_warp_real duel_warp_bound(duel_warp_real place, int32_t n) {
  const duel_warp_real most = (duel_warp_real)n, above = place > -1 ? place : -1;
  return above < most ? above : most;
}

DUEL_HD int32_t duel_warp_clip(int32_t i, int32_t most) { // into 0 … most
  return i < 0 ? 0 : i < most ? i : most;
}

// The two neighbors of a bounded place on its axis, which lie on it, and their weights, 0 where there is no neighbor.
typedef struct duel_warp_taps {
  int32_t low, high;
  duel_warp_real low_weight, high_weight;
} duel_warp_taps;

// Without branches, so that compilers vectorize it in a loop: what is 0 is multiplied by 0.
DUEL_HD duel_warp_taps duel_warp_taps_of(duel_warp_real at, int32_t n) {
  const int32_t whole = (int32_t)at, first = whole - ((duel_warp_real)whole > at);
  const duel_warp_real rest = at - (duel_warp_real)first;
  duel_warp_taps t;
  t.low = duel_warp_clip(first, n - 1);
  t.high = duel_warp_clip(first + 1, n - 1);
  t.low_weight = (1 - rest) * (duel_warp_real)(t.low == first);
  t.high_weight = rest * (duel_warp_real)(t.high == first + 1);
  return t;
}

// The weight of pixel h of an axis for a place: the same number, by its definition.
DUEL_HD duel_warp_real duel_warp_weight(duel_warp_real place, int32_t h) {
  const duel_warp_real at = (duel_warp_real)h;
  if (place >= at) return place < at + 1 ? 1 - (place - at) : 0;
  return place > at - 1 ? place - (at - 1) : 0;
}

#endif
