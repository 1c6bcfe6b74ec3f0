// The memory that making a plan takes: freed all at once, when the plan is made.
#include "core/plan/planner.h"

#include <stddef.h>

#include "base/mem.h"

typedef struct duel_chunk { // what the planner has allocated; data follows
  struct duel_chunk *next;
  max_align_t data[];
} duel_chunk;

void *duel_planner_alloc(duel_planner *p, size_t n, size_t bytes) {
  duel_chunk *c = duel_calloc(1, sizeof *c + n * bytes); // n counts nodes or values of a graph in memory: no overflow
  if (!c) {
    duel_fail_memory("the plan", n * bytes);
    return NULL;
  }
  c->next = p->chunks;
  p->chunks = c;
  return c->data;
}

void duel_planner_close(duel_planner *p) {
  for (duel_chunk *c = p->chunks, *next; c; c = next) {
    next = c->next;
    duel_free(c);
  }
}
