// NPY: one array as NumPy saves it.
#ifndef DUEL_IO_DATA_NPY_H
#define DUEL_IO_DATA_NPY_H

#include <stdint.h>

#include "base/status.h"

// Writes float32 values of shape dim[rank], row-major, atomically. rank <= 6.
duel_status duel_npy_write(const char *path, const float *values, int rank, const int64_t *dim);

#endif
