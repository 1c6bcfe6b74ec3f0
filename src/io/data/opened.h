// An opened set: the public part, and what it rests on. For the files that make and narrow sets.
#ifndef DUEL_IO_DATA_OPENED_H
#define DUEL_IO_DATA_OPENED_H

#include "base/pool.h"
#include "io/data/cache.h"
#include "io/data/dataset.h"

typedef struct duel_opened { // what duel_dataset_close frees
  duel_dataset set;          // first: a duel_dataset is the address of its duel_opened
  duel_pool pool;            // spec and the names of classes
  const char *spec;          // what it was opened by
  bool pictures;
  bool mirrored;                   // the second half of the items are the first one's twins
  void *value_block, *label_block; // the allocations that values and labels lie in
  duel_cache cache;                // open where the values are not in memory; item_crc is by item
  int32_t *place;                  // [items]: which of the cache's values an item has; NULL: each its own
} duel_opened;

uint32_t duel_dataset_fingerprint(const duel_dataset *d); // of values in memory
uint32_t duel_dataset_fingerprint_of(const duel_dataset *d, const uint32_t *item_crc);
duel_status duel_dataset_mirror(duel_opened *o); // images alone

#endif
