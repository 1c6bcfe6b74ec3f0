// Random words, and these as floats, the same bits on every machine: each operation on floats is one correctly rounded
// one, in the order written. A C file that includes this is compiled with -ffp-contract=off; under nvcc the macros
// forbid contraction. Plain C that is CUDA too, without branches, so that compilers vectorize it in a loop.
#ifndef DUEL_BASE_NORMAL_H
#define DUEL_BASE_NORMAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/hd.h"

// ---- words: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a counter and a
// key in, four random words out
typedef struct duel_block4 { // a counter, or the four words drawn from it: lanes 0 to 3
  uint32_t x, y, z, w;
} duel_block4;

DUEL_HD duel_block4 duel_philox(duel_block4 c, uint32_t key_low, uint32_t key_high) {
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c.x, p1 = (uint64_t)0xCD9E8D57u * c.z;
    duel_block4 next = {(uint32_t)(p1 >> 32) ^ c.y ^ key_low, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c.w ^ key_high,
                        (uint32_t)p0};
    c = next;
    key_low += 0x9E3779B9u;
    key_high += 0xBB67AE85u;
  }
  return c;
}

// ---- floats
#ifdef __CUDA_ARCH__
#define DUEL_FADD(a, b) __fadd_rn(a, b)
#define DUEL_FMUL(a, b) __fmul_rn(a, b)
#define DUEL_FSQRT(a) __fsqrt_rn(a)
#else
#define DUEL_FADD(a, b) ((a) + (b))
#define DUEL_FMUL(a, b) ((a) * (b))
#define DUEL_FSQRT(a) sqrtf(a)
#endif

// A uniform number in (0, 1], as cuRAND's.
DUEL_HD float duel_uniform_of(uint32_t x) {
  return DUEL_FADD(DUEL_FMUL((float)x, 0x1p-32f), 0x1p-33f);
}

#define DUEL_HORNER(x, p, c) DUEL_FADD(DUEL_FMUL(p, x), c) // p·x + c

// ln u for normal u: u = m·2^k with m in [√½, √2), ln u = k·ln 2 + f − f²/2 + f³·P(f) with f = m − 1. P is the minimax
// polynomial for the error that remains in sqrt(−2 ln u), 1.5e-8 of it.
DUEL_HD float duel_ln(float u) {
  uint32_t bits;
  memcpy(&bits, &u, 4);
  int32_t k = (int32_t)(bits - 0x3f3504f3u) >> 23; // 0x3f3504f3 is √½
  bits -= (uint32_t)k << 23;
  float m;
  memcpy(&m, &bits, 4);
  float e = (float)k, f = DUEL_FADD(m, -1.0f), ff = DUEL_FMUL(f, f);
  float p = 0x1.680c98p-4f;
  p = DUEL_HORNER(f, p, -0x1.263a14p-3f);
  p = DUEL_HORNER(f, p, 0x1.31bebp-3f);
  p = DUEL_HORNER(f, p, -0x1.533e9ep-3f);
  p = DUEL_HORNER(f, p, 0x1.98c84ap-3f);
  p = DUEL_HORNER(f, p, -0x1.000492p-2f);
  p = DUEL_HORNER(f, p, 0x1.55571ap-2f);
  float low = DUEL_FADD(DUEL_FMUL(e, -0x1.bd0106p-13f), DUEL_FMUL(DUEL_FMUL(ff, f), p)); // ln 2 = 0.693359375 − low
  low = DUEL_FADD(low, DUEL_FMUL(ff, -0.5f));
  return DUEL_FADD(DUEL_FADD(low, f), DUEL_FMUL(e, 0.693359375f));
}

// Sine and cosine of 2π(y·2⁻³² + 2⁻³³): q right angles and a rest within ±π/4, split in integers.
DUEL_HD void duel_turn(uint32_t y, float *sin, float *cos) {
  uint32_t q = (y + 0x20000000u) >> 30;
  int32_t rest = (int32_t)(y - (q << 30));                                           // times 2⁻³² of a turn
  float a = DUEL_FMUL((float)(2 * rest + 1), 0x1.921fb6p-31f), aa = DUEL_FMUL(a, a); // π·2⁻³²
  float sine = -0x1.98da66p-13f;
  sine = DUEL_HORNER(aa, sine, 0x1.1105b4p-7f);
  sine = DUEL_HORNER(aa, sine, -0x1.55554p-3f);
  sine = DUEL_HORNER(DUEL_FMUL(aa, a), sine, a);
  float cosine = 0x1.9a025ap-16f;
  cosine = DUEL_HORNER(aa, cosine, -0x1.6c0c8cp-10f);
  cosine = DUEL_HORNER(aa, cosine, 0x1.55554ap-5f);
  cosine = DUEL_HORNER(DUEL_FMUL(aa, aa), cosine, DUEL_HORNER(aa, -0.5f, 1.0f));
  float up = q & 1 ? cosine : sine, right = q & 1 ? sine : cosine;
  *sin = q & 2 ? -up : up;
  *cos = (q + 1) & 2 ? -right : right;
}

// Box and Muller: two independent normal numbers, sqrt(−2 ln u(x))·(sin, cos) of the turn y.
DUEL_HD void duel_normal_pair(uint32_t x, uint32_t y, float *first, float *second) {
  float s = DUEL_FSQRT(DUEL_FMUL(-2.0f, duel_ln(duel_uniform_of(x)))), sin, cos;
  duel_turn(y, &sin, &cos);
  *first = DUEL_FMUL(s, sin);
  *second = DUEL_FMUL(s, cos);
}

#endif
