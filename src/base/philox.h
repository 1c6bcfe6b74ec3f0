// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter and a key in, four
// random words out. Plain C that is CUDA too, and that compilers vectorize when it is called in a loop.
#ifndef DUEL_BASE_PHILOX_H
#define DUEL_BASE_PHILOX_H

#include <stdint.h>

#include "base/hd.h"

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

#endif
