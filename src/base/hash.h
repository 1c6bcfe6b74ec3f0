// FNV-1a, 64 bits: for keys of caches and tables; not for enemies.
#ifndef DUEL_BASE_HASH_H
#define DUEL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define DUEL_HASH_START UINT64_C(0xCBF29CE484222325)

static inline uint64_t duel_hash(uint64_t h, const void *bytes, size_t n) {
  const unsigned char *p = (const unsigned char *)bytes;
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(0x100000001B3);
  return h;
}

#endif
