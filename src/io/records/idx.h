// IDX, the format of MNIST and its kin: magic 00 00 TYPE RANK, big-endian sizes, then the values.
#ifndef DUEL_IO_RECORDS_IDX_H
#define DUEL_IO_RECORDS_IDX_H

#include "base/status.h"

// How many labels, a byte each, the file that bytes[n] hold has from DUEL_IDX_LABELS on. DUEL_ERR_DATA, naming path, if
// it holds something else or is not whole. Images are read as records, see records.h.
enum { DUEL_IDX_LABELS = 8 };
duel_status duel_idx_labels(const char *path, const uint8_t *bytes, size_t n, int64_t *labels);

// Writes n items [C,H,W] in [-1,1] as ubyte images (duel_to_bytes), [n,H,W] if C is 1, else [n,C,H,W]; atomically.
duel_status duel_idx_write(const char *path, const float *items, int64_t n, const int64_t dim[3]);

#endif
