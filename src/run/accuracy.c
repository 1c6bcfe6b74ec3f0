// What a net that is tested takes the items of the test set for, chunk after chunk through the graph of duel_step_test.
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "run/trainer.h"

enum { CLASSES = 256 }; // as many as labels tell
enum { ENOUGH = 8 };    // items of a class: a good net may miss all of a few

typedef struct chunk { // of items, as the graph has them
  int64_t n;
  int32_t *number;      // [n]: which items of the set
  unsigned char *items; // [n, item]
  float *logits;        // [n, classes]
} chunk;

typedef struct tally {
  int64_t right, of[CLASSES], taken_for[CLASSES]; // items of a class, and items that were taken for it
} tally;

// The class of the largest number, the first of equal ones; -1: some are none.
static int64_t largest(const float *logit, int64_t classes) {
  int64_t best = 0;
  for (int64_t i = 0; i < classes; i++) {
    if (isnan(logit[i])) return -1;
    if (logit[i] > logit[best]) best = i;
  }
  return best;
}

// Items first … of the set.
static duel_status judge(duel_trainer *t, chunk *c, int64_t first, tally *sum) {
  const int64_t left = t->test->items - first, there = left < c->n ? left : c->n;
  const duel_step_vars *v = &t->vars_of_step;
  for (int64_t i = 0; i < c->n; i++) c->number[i] = (int32_t)(first + i);
  DUEL_TRY(duel_dataset_read(t->test, c->number, there, c->items));
  DUEL_TRY(duel_memory_write(&t->memory, v->test_items, c->items));
  DUEL_TRY(duel_exec_run(t->judge, 0));
  DUEL_TRY(duel_memory_read(&t->memory, v->test_logits, c->logits));
  for (int64_t i = 0; i < there; i++) {
    const int64_t is = t->test->labels[first + i], taken = largest(c->logits + i * t->model.classes, t->model.classes);
    sum->of[is]++;
    sum->right += taken == is;
    if (taken >= 0) sum->taken_for[taken]++;
  }
  return DUEL_OK;
}

static duel_status judge_all(duel_trainer *t, chunk *c, tally *sum) {
  for (int64_t i = 0; i < c->n; i++) c->number[i] = (int32_t)i;
  DUEL_TRY(duel_memory_write(&t->memory, t->vars_of_step.test_index, c->number));
  for (int64_t first = 0; first < t->test->items; first += c->n) DUEL_TRY(judge(t, c, first, sum));
  return DUEL_OK;
}

static duel_status report(duel_trainer *t, const tally *sum) {
  duel_scalars *scalars = &t->vars_of_step.scalars;
  int64_t missed = 0, first = -1;
  for (int64_t k = 0; k < t->model.classes; k++) {
    if (sum->of[k] < ENOUGH || sum->taken_for[k] > 0) continue;
    if (missed++ == 0) first = k;
  }
  DUEL_TRY(duel_scalars_tell(scalars, "test.accuracy", "test accuracy", (double)sum->right / (double)t->test->items));
  DUEL_TRY(duel_scalars_tell(scalars, "test.missed", NULL, (double)missed));
  return duel_scalars_tell(scalars, "test.missed_class", NULL, (double)first);
}

duel_status duel_trainer_test(duel_trainer *t) {
  chunk c = {.n = t->vars_of_step.chunk};
  const size_t bytes = (size_t)c.n * (size_t)duel_dataset_item_bytes(t->test);
  tally sum = {.right = 0};
  DUEL_TRY(duel_trainer_settle(t));
  c.number = duel_malloc((size_t)c.n * sizeof *c.number);
  c.logits = duel_malloc((size_t)(c.n * t->model.classes) * sizeof *c.logits);
  c.items = duel_calloc(1, bytes);
  const duel_status status =
      c.number && c.logits && c.items ? judge_all(t, &c, &sum) : duel_fail_memory("a test", bytes);
  duel_free(c.number);
  duel_free(c.logits);
  duel_free(c.items);
  DUEL_TRY(status);
  return report(t, &sum);
}
