// The share of the test set that a net has right, chunk after chunk through the graph of duel_step_test.
#include <string.h>

#include "base/mem.h"
#include "run/trainer.h"

typedef struct chunk { // of items, as the graph's inputs have them
  int64_t n;
  int32_t *number, *label; // [n]; number: which items of the set
  unsigned char *items;    // [n, item]
} chunk;

// Items first … of the set; where there are fewer than n, rows of label −1.
static duel_status fill(duel_trainer *t, chunk *c, int64_t first) {
  const int64_t there = t->test->items - first < c->n ? t->test->items - first : c->n;
  const duel_step_vars *v = &t->vars_of_step;
  for (int64_t i = 0; i < c->n; i++) {
    c->number[i] = (int32_t)(first + i);
    c->label[i] = i < there ? (int32_t)t->test->labels[first + i] : -1;
  }
  DUEL_TRY(duel_dataset_read(t->test, c->number, there, c->items));
  DUEL_TRY(duel_memory_write(&t->memory, v->test_items, c->items));
  return duel_memory_write(&t->memory, v->test_labels, c->label);
}

static duel_status count_hits(duel_trainer *t, chunk *c, double *hits) {
  const duel_step_vars *v = &t->vars_of_step;
  for (int64_t i = 0; i < c->n; i++) c->number[i] = (int32_t)i;
  DUEL_TRY(duel_memory_write(&t->memory, v->test_index, c->number));
  for (int64_t first = 0; first < t->test->items; first += c->n) {
    float right;
    DUEL_TRY(fill(t, c, first));
    DUEL_TRY(duel_exec_run(t->judge, 0));
    DUEL_TRY(duel_memory_read(&t->memory, v->test_hits, &right));
    *hits += (double)right;
  }
  return DUEL_OK;
}

duel_status duel_trainer_test(duel_trainer *t) {
  chunk c = {.n = t->vars_of_step.chunk};
  const size_t bytes = (size_t)c.n * (size_t)duel_dataset_item_bytes(t->test);
  double hits = 0;
  DUEL_TRY(duel_trainer_settle(t));
  c.number = duel_malloc(2 * (size_t)c.n * sizeof *c.number);
  c.label = c.number + c.n;
  c.items = duel_calloc(1, bytes);
  duel_status status = c.number && c.items ? count_hits(t, &c, &hits) : duel_fail_memory("a test", bytes);
  duel_free(c.number);
  duel_free(c.items);
  DUEL_TRY(status);
  duel_scalars *scalars = &t->vars_of_step.scalars;
  const int slot = duel_scalars_slot(scalars, "test.accuracy", "test accuracy", DUEL_LAST);
  if (slot < 0) return duel_fail(DUEL_ERR_INTERNAL, "a run has more than %d scalars", DUEL_MAX_SCALARS);
  duel_scalars_put(scalars, slot, hits / (double)t->test->items);
  return DUEL_OK;
}
