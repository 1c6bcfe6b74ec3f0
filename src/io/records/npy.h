// NPY: one array as NumPy saves it.
#ifndef DUEL_IO_RECORDS_NPY_H
#define DUEL_IO_RECORDS_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

// Writes float32 values of shape dim[rank], row-major, atomically. rank <= 6.
duel_status duel_npy_write(const char *path, const float *values, int rank, const int64_t *dim);

// Labels: whole numbers [N] or [N,1]. The first n bytes of a file of `size` bytes; DATA if it holds something else.
typedef struct duel_npy_numbers {
  int64_t items, offset;
  int width; // bytes of each
  bool is_signed, big_endian;
} duel_npy_numbers;
duel_status duel_npy_labels(duel_npy_numbers *l, const char *path, const uint8_t *head, size_t n, int64_t size);
// All of them out of the whole file, in place at its beginning, a byte each. DATA for one beyond 0..255.
duel_status duel_npy_take_labels(const duel_npy_numbers *l, const char *path, uint8_t *bytes);

#endif
