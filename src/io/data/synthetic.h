// Data sets made in memory.
#ifndef DUEL_IO_DATA_SYNTHETIC_H
#define DUEL_IO_DATA_SYNTHETIC_H

#include "io/data/dataset.h"

typedef struct duel_synthetic {
  const char *name, *about; // the recipe's synthetic:NAME
} duel_synthetic;

// Set number i; NULL behind the last.
const duel_synthetic *duel_synthetic_set(int i);
#define DUEL_SYNTHETIC_NAMES "synthetic:ring, synthetic:grid and synthetic:shapes"

// Fills d (zeroed) with the set of that name, or as many of its first items as limit allows. name, values and labels
// are each allocated, also on failure perhaps: the caller frees them. USAGE if there is none.
duel_status duel_synthetic_fill(duel_dataset *d, const char *name, int64_t limit);

#endif
