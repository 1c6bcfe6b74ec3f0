// Items of coming steps, read ahead by a thread of its own from a set that memory does not hold.
#ifndef DUEL_IO_DATA_PREFETCH_H
#define DUEL_IO_DATA_PREFETCH_H

#include "io/data/dataset.h"

typedef struct duel_prefetch duel_prefetch;

// A step takes n items, in the order of the seed: items step·n … step·n + n − 1 of the run. They come in blocks of
// `bytes`, at `offset` (the rest of a block is the caller's, and keeps what he writes). d outlives it.
duel_status duel_prefetch_open(duel_prefetch **p, const duel_dataset *d, uint64_t seed, int64_t n, size_t bytes,
                               size_t offset);
// From now on a block also has its items' labels, i32 [n], at `offset`; d has labels. Before the first block is taken.
void duel_prefetch_labels(duel_prefetch *p, size_t offset);
// The block of a step, valid until the next call; waits for it. Any step may be the first; after that they follow each
// other, or the reading starts anew. Allocates nothing.
duel_status duel_prefetch_take(duel_prefetch *p, int64_t step, unsigned char **block);
void duel_prefetch_close(duel_prefetch *p); // NULL is fine

#endif
