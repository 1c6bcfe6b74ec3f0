// CRC-32C (Castagnoli): the checksum of checkpoints, event files and data sets.
#ifndef DUEL_IO_CRC32C_H
#define DUEL_IO_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t duel_crc32c(uint32_t crc, const void *bytes, size_t n);          // start with 0; chainable
uint32_t duel_crc32c_portable(uint32_t crc, const void *bytes, size_t n); // the same without special instructions

#endif
