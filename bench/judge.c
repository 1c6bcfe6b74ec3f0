// What a classifier takes the items of a labelled set for: `judge CHECKPOINT SET [SIZE] >classes`, a byte an item in
// the set's order. SET is read, and resized to SIZE×SIZE, as training data are; its labels only say how many classes
// there are. For the scripts beside it, which count (classes.py).
#include <stdio.h>
#include <stdlib.h>

#include "duel.h"
#include "run/run.h"

static void must(duel_status status) {
  if (status == DUEL_OK) return;
  fprintf(stderr, "judge: %s\n", duel_last_error());
  exit(1);
}

static void *room(size_t bytes) {
  void *p = calloc(1, bytes);
  if (!p) exit(1);
  return p;
}

static int largest(const float *logit, int64_t classes) {
  int best = 0;
  for (int k = 1; k < classes; k++)
    if (logit[k] > logit[best]) best = k;
  return best;
}

int main(int argc, char **argv) {
  duel_run *run;
  if (argc < 3) {
    fputs("usage: judge CHECKPOINT SET [SIZE] >classes\n", stderr);
    return 2;
  }
  const duel_set set[] = {{"data.test", argv[2], NULL}, {"data.size", argc > 3 ? argv[3] : "0", NULL}};
  must(duel_run_open(
      &run, &(duel_run_options){.recipe = "classifier-28", .data = argv[2], .init = argv[1], .set = set, .n_set = 2}));
  duel_trainer *t = run->trainer;
  const duel_step_vars *v = &t->vars_of_step;
  const int64_t n = v->chunk, classes = t->model.classes, items = t->test->items;
  int32_t *number = room((size_t)n * sizeof *number);
  float *logits = room((size_t)(n * classes) * sizeof *logits);
  void *pixels = room((size_t)(n * duel_dataset_item_bytes(t->test)));
  for (int32_t i = 0; i < n; i++) number[i] = i;
  must(duel_memory_write(&t->memory, v->test_index, number));
  for (int64_t first = 0; first < items; first += n) {
    const int64_t there = items - first < n ? items - first : n;
    for (int64_t i = 0; i < n; i++) number[i] = (int32_t)(first + i);
    must(duel_dataset_read(t->test, number, there, pixels));
    must(duel_memory_write(&t->memory, v->test_items, pixels));
    must(duel_exec_run(t->judge, 0));
    must(duel_memory_read(&t->memory, v->test_logits, logits));
    for (int64_t i = 0; i < there; i++) putchar(largest(logits + i * classes, classes));
  }
  free(number);
  free(logits);
  free(pixels);
  duel_run_close(run);
  return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
