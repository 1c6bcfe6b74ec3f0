// Random draws and the data order, exactly as both backends make them (DESIGN "Random draws", "Data order").
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Nothing here has state: a draw
// is a function of (seed, purpose, t, k, element).
#ifndef DUEL_BASE_RNG_H
#define DUEL_BASE_RNG_H

#include <stdint.h>

typedef enum duel_purpose {
  DUEL_PURPOSE_INIT = 1,   // k: parameters numbered net after net, weight before bias, constants counted
  DUEL_PURPOSE_LATENT = 2, // k: sub-step; fresh latents of G: k = d_steps
  DUEL_PURPOSE_ORDER = 3,  // t: epoch; a test set taken out of the data: key 0, t = 2^32 - 1
  DUEL_PURPOSE_AUGMENT = 4,
  DUEL_PURPOSE_PENALTY = 5,
  DUEL_PURPOSE_LABEL = 6,
  DUEL_PURPOSE_GRID = 7,  // t 0, k 0
  DUEL_PURPOSE_EVAL = 8,  // evaluation and generate; latent of seed s: key s, t 0, k 0
  DUEL_PURPOSE_NOISE = 9, // dropout and noise; k = 4096·pass + slot
} duel_purpose;

typedef struct duel_draw { // names one draw
  uint64_t seed;
  uint64_t t;          // < 2^32
  uint32_t purpose, k; // k < 2^24
} duel_draw;

// Elements first .. first+n-1 of a draw. first + n <= 2^34. The ranges may be cut anywhere: the bits are the same.
void duel_draw_words(duel_draw d, int64_t first, int64_t n, uint32_t *dst);
void duel_draw_uniform(duel_draw d, int64_t first, int64_t n, float *dst); // (0, 1]
void duel_draw_normal(duel_draw d, int64_t first, int64_t n, float *dst);

// order[i] = the item that epoch `epoch` takes i-th: a stable sort of the words of purpose 3, t = epoch.
// scratch: 3·m uint32 words. m < 2^31.
void duel_data_order(uint64_t seed, uint64_t epoch, int64_t m, int32_t *order, uint32_t *scratch);

#endif
