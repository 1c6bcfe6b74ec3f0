// cuRAND's device Philox, the part that counter-based draws need: the words are cuRAND's, bit for bit.
#ifndef CUEMU_CURAND_KERNEL_H
#define CUEMU_CURAND_KERNEL_H

#include "cuda_runtime.h"

// Word i of (seed, subsequence) is lane i mod 4 of the block of counter (i div 4, subsequence), 64 bits each.
struct curandStatePhilox4_32_10 {
  uint4 ctr, output;
  uint2 key;
  unsigned STATE; // the next lane of output
};
typedef curandStatePhilox4_32_10 curandStatePhilox4_32_10_t;

static inline uint4 curand_Philox4x32_10(uint4 c, uint2 key) {
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = (uint64_t)0xD2511F53u * c.x, p1 = (uint64_t)0xCD9E8D57u * c.z;
    c = make_uint4((unsigned)(p1 >> 32) ^ c.y ^ key.x, (unsigned)p1, (unsigned)(p0 >> 32) ^ c.w ^ key.y, (unsigned)p0);
    key.x += 0x9E3779B9u;
    key.y += 0xBB67AE85u;
  }
  return c;
}

static inline void cuemu_philox_advance(curandStatePhilox4_32_10_t *state, unsigned long long blocks) {
  const uint64_t low = (uint64_t)state->ctr.y << 32 | state->ctr.x, sum = low + blocks;
  state->ctr.x = (unsigned)sum;
  state->ctr.y = (unsigned)(sum >> 32);
  if (sum < low && ++state->ctr.z == 0) state->ctr.w++;
}

static inline void skipahead(unsigned long long n, curandStatePhilox4_32_10_t *state) {
  state->STATE += (unsigned)(n & 3);
  n /= 4;
  if (state->STATE > 3) {
    n++;
    state->STATE -= 4;
  }
  cuemu_philox_advance(state, n);
  state->output = curand_Philox4x32_10(state->ctr, state->key);
}

static inline void curand_init(unsigned long long seed, unsigned long long subsequence, unsigned long long offset,
                               curandStatePhilox4_32_10_t *state) {
  state->ctr = make_uint4(0, 0, (unsigned)subsequence, (unsigned)(subsequence >> 32));
  state->key.x = (unsigned)seed;
  state->key.y = (unsigned)(seed >> 32);
  state->STATE = 0;
  skipahead(offset, state);
}

static inline unsigned curand(curandStatePhilox4_32_10_t *state) {
  const uint4 o = state->output;
  const unsigned word = state->STATE == 0 ? o.x : state->STATE == 1 ? o.y : state->STATE == 2 ? o.z : o.w;
  skipahead(1, state);
  return word;
}

static inline uint4 curand4(curandStatePhilox4_32_10_t *state) {
  const uint4 a = state->output;
  cuemu_philox_advance(state, 1);
  const uint4 b = state->output = curand_Philox4x32_10(state->ctr, state->key);
  switch (state->STATE) {
  case 0:
    return a;
  case 1:
    return make_uint4(a.y, a.z, a.w, b.x);
  case 2:
    return make_uint4(a.z, a.w, b.x, b.y);
  default:
    return make_uint4(a.w, b.x, b.y, b.z);
  }
}

#endif
