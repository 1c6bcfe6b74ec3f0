#include "io/data/order.h"

#include "base/mem.h"
#include "base/rng.h"

duel_status duel_order_open(duel_order *o, uint64_t seed, int64_t items) {
  const size_t n = (size_t)items;
  *o = (duel_order){.seed = seed, .items = items, .epoch = -1};
  o->order = duel_malloc(n * sizeof *o->order);
  o->scratch = duel_malloc(3 * n * sizeof *o->scratch);
  return o->order && o->scratch ? DUEL_OK : duel_fail_memory("the order of the data", 16 * n);
}

void duel_order_numbers(duel_order *o, int64_t first, int64_t n, int32_t *number) {
  for (int64_t i = first; i < first + n; i++) {
    const int64_t epoch = i / o->items;
    if (epoch != o->epoch) {
      duel_data_order(o->seed, (uint64_t)epoch, o->items, o->order, o->scratch);
      o->epoch = epoch;
    }
    number[i - first] = o->order[i % o->items];
  }
}

void duel_order_close(duel_order *o) {
  duel_free(o->order);
  duel_free(o->scratch);
  *o = (duel_order){0};
}
