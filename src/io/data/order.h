// Which items of a set a run takes, one after another: all of them in each epoch, which has an order of its own.
#ifndef DUEL_IO_DATA_ORDER_H
#define DUEL_IO_DATA_ORDER_H

#include "base/status.h"

typedef struct duel_order {
  uint64_t seed;
  int64_t items, epoch; // epoch: whose order it is, -1: none yet
  int32_t *order;       // [items]
  uint32_t *scratch;    // [3, items]
} duel_order;

duel_status duel_order_open(duel_order *o, uint64_t seed, int64_t items);
// Number i of the run, for i = first … first + n − 1: order[i mod items] of epoch ⌊i / items⌋. Allocates nothing.
void duel_order_numbers(duel_order *o, int64_t first, int64_t n, int32_t *number);
void duel_order_close(duel_order *o); // also of one that was never opened, all 0

#endif
