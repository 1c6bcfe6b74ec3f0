// IDX, the format of MNIST and its kin: magic 00 00 TYPE RANK, big-endian sizes, then the values.
#ifndef DUEL_IO_DATA_IDX_H
#define DUEL_IO_DATA_IDX_H

#include "base/status.h"
#include "base/tensor.h"

typedef struct duel_idx {
  duel_dtype dtype; // U8 or F32
  int rank;         // 1..4
  int64_t dim[4];   // all >= 1
  int64_t count;    // their product
  void *values;     // inside the bytes
} duel_idx;

// Reads the file that bytes[n] hold; float32 values are turned to the host's order in place, so bytes are aligned as
// malloc does. DUEL_ERR_DATA, naming path, for anything but a complete file of ubyte or finite float32 values.
duel_status duel_idx_parse(duel_idx *idx, const char *path, uint8_t *bytes, size_t n);

// Writes n items [C,H,W] in [-1,1] as ubyte images (duel_to_bytes), [n,H,W] if C is 1, else [n,C,H,W]; atomically.
duel_status duel_idx_write(const char *path, const float *items, int64_t n, const int64_t dim[3]);

#endif
