// Data sets made in memory.
#ifndef DUEL_IO_DATA_SYNTHETIC_H
#define DUEL_IO_DATA_SYNTHETIC_H

#include "io/data/dataset.h"

// Fills d (zeroed) with the set of that name, "ring" or "shapes", or as many of its first items as limit allows. name,
// values and labels are each allocated, also on failure perhaps: the caller frees them.
duel_status duel_synthetic_fill(duel_dataset *d, const char *name, int64_t limit);

#endif
