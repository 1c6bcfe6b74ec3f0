// CRC-32C (Castagnoli): the checksum of checkpoints, event files and data sets.
#ifndef DUEL_BASE_CRC32C_H
#define DUEL_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t duel_crc32c(uint32_t crc, const void *bytes, size_t n);          // start with 0; chainable
uint32_t duel_crc32c_portable(uint32_t crc, const void *bytes, size_t n); // the same without special instructions

// The CRC of two blocks of bytes from those of each: joined(crc of A, crc of B) is that of A then B, for all B of n
// bytes.
typedef struct duel_crc32c_joint {
  uint32_t table[4][256];
} duel_crc32c_joint;
void duel_crc32c_join(duel_crc32c_joint *joint, uint64_t n);
uint32_t duel_crc32c_joined(const duel_crc32c_joint *joint, uint32_t a, uint32_t b);

#endif
