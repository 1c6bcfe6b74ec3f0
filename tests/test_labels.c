// Training on labels, in whole runs: the same bits from memory and streamed, with any number of threads, in shards and
// after a resume; a checkpoint draws classes without its data; what does not fit has its sentence. The numbers are
// test_trajectory's (cgan, projection, classes-shards). On the backend of the environment's DUEL_TEST_BACKENDS.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "duel.h"
#include "io/safetensors.h"
#include "io_help.h"

enum { CLASSES = 4, ITEM = 28 * 28 };

static const char *backend = "cpu";

static const char classes_recipe[] =
    "recipe: 1\n"
    "data: {path: synthetic:shapes, limit: 150}\n"
    "latent: 6\n"
    "G: [label, dense: 32, class_batchnorm, tanh, residual: [label: 2, dense: 32], dense: $C*$H*$W, tanh,\n"
    "    reshape: [$C, $H, $W]]\n"
    "D: {layers: [label: 1, flatten, dense: 16, tanh, {auxiliary: [dense: $classes], generator: 0.1},\n"
    "    projection], constraint: spectral}\n"
    "loss: {name: ragan, reals: fresh}\n"
    "penalty: {r1: {weight: 1, every: 2}}\n"
    "ema: {half_life: 50 images, buffers: standing}\n"
    "train: {length: 100 steps, batch: 8, d_steps: 2, latents: fresh}\n";

static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  scratch_setup(state);
  scratch_put("classes.yaml", classes_recipe, sizeof classes_recipe - 1);
  return 0;
}

static duel_status open_run(duel_run **run, const char *from, int threads, const char *key, const char *value) {
  const duel_set set = {key, value, "--set"};
  return duel_run_open(run, &(duel_run_options){.recipe = from ? NULL : scratch("classes.yaml"),
                                                .checkpoint = from,
                                                .backend = backend,
                                                .threads = threads,
                                                .set = &set,
                                                .n_set = key != NULL});
}

static void train(const char *from, int threads, const char *key, const char *value, int64_t to, const char *path) {
  duel_run *run;
  duel_stats stats;
  must(open_run(&run, from, threads, key, value));
  must(duel_run_stats(run, &stats));
  must(duel_run_advance(run, to - stats.step));
  assert_true(isfinite(duel_run_scalar(run, "d_loss")) && isfinite(duel_run_scalar(run, "g_loss")));
  assert_true(duel_run_scalar(run, "class_loss_real") > 0 && duel_run_scalar(run, "class_loss_g") > 0);
  assert_true(duel_run_scalar(run, "class_accuracy") >= 0 && duel_run_scalar(run, "class_accuracy") <= 1);
  must(duel_run_save(run, scratch(path)));
  duel_run_close(run);
}

static void one_training(void **state) {
  (void)state;
  const int steps = strcmp(backend, "cpu") ? 4 : 20; // of 16 to 24 items: over several epochs
  train(NULL, 1, NULL, NULL, steps, "whole");
  train(NULL, 2, "run.data_memory", "1K", steps, "streamed");
  assert_true(scratch_same("whole", "streamed"));
  train(NULL, 2, NULL, NULL, steps / 2, "part");
  train(scratch("part"), 1, NULL, NULL, steps, "resumed");
  assert_true(scratch_same("whole", "resumed"));
  train(NULL, 1, "train.shards", "2", steps, "shards-1");
  train(NULL, 2, "train.shards", "2", steps, "shards-2");
  assert_true(scratch_same("shards-1", "shards-2"));
}

// Items of seeds 0 to 7, of these classes.
static void draw(duel_run *run, const int32_t *classes, float dst[8][ITEM]) {
  must(duel_generate_classes(run, (const uint64_t[]){0, 1, 2, 3, 4, 5, 6, 7}, classes, 8, dst[0]));
}

static void drawn_classes(void **state) {
  (void)state;
  static float of_run[8][ITEM], items[8][ITEM], others[8][ITEM];
  const int32_t cycle[8] = {0, 1, 2, 3, 0, 1, 2, 3}, second[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  duel_run *run;
  must(open_run(&run, NULL, 2, NULL, NULL));
  assert_int_equal(duel_run_describe(run).conditional, CLASSES);
  must(duel_run_advance(run, 3));
  must(duel_run_save(run, scratch("drawn")));
  draw(run, NULL, of_run);
  duel_run_close(run);
  must(duel_run_open(
      &run, &(duel_run_options){.checkpoint = scratch("drawn"), .sample_only = 1, .backend = backend})); // no data
  draw(run, NULL, items);
  assert_memory_equal(items, of_run, sizeof items);
  draw(run, cycle, items); // seed s is of class s mod 4
  assert_memory_equal(items, of_run, sizeof items);
  draw(run, second, others);
  for (int i = 0; i < 8; i++) assert_true((memcmp(items[i], others[i], sizeof items[i]) == 0) == (i % CLASSES == 1));
  must(duel_generate_classes(run, &(uint64_t){6}, &(int32_t){1}, 1, items[0])); // whatever its neighbors
  assert_memory_equal(items[0], others[6], sizeof items[0]);
  assert_int_equal(duel_generate_classes(run, &(uint64_t){0}, &(int32_t){CLASSES}, 1, items[0]), DUEL_ERR_USAGE);
  assert_message("generate: class 4 is not there; classes are 0 to 3");
  assert_int_equal(duel_generate_classes(run, &(uint64_t){0}, &(int32_t){-1}, 1, items[0]), DUEL_ERR_USAGE);
  duel_run_close(run);

  must(duel_run_open(&run, &(duel_run_options){.recipe = "ring", .backend = backend}));
  assert_int_equal(duel_run_describe(run).conditional, 0);
  assert_int_equal(duel_generate_classes(run, &(uint64_t){0}, &(int32_t){0}, 1, items[0]), DUEL_ERR_USAGE);
  assert_message("generate: no net of ring reads labels, so it draws no classes; leave options.class out");
  duel_run_close(run);
}

static void refuse(const char *key, const char *value, duel_status status, const char *message) {
  duel_run *run;
  assert_int_equal(open_run(&run, NULL, 1, key, value), status);
  assert_message(message);
}

static void what_does_not_fit(void **state) {
  (void)state;
  static const uint8_t unlabelled[16 + 2 * ITEM] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28};
  scratch_put("unlabelled-ubyte", unlabelled, sizeof unlabelled);
  refuse("data.path", scratch("unlabelled-ubyte"), DUEL_ERR_USAGE, "the data has no labels, so no $classes");
  refuse("G.0.label.classes", "5", DUEL_ERR_USAGE, "G.0 label: the data have 4 classes, not 5; set classes: $classes");
  refuse("data.limit", "1", DUEL_ERR_DATA, "shapes has 1 item, all of one class");
  refuse("D", "[projection]", DUEL_ERR_USAGE,
         "D.0 projection: projection reads one row of numbers an item, but gets 8×1×28×28; put global_pool or flatten "
         "before it");
  refuse("D.0.label.classes", "3", DUEL_ERR_USAGE, "D.0 label: the data have 4 classes, not 3");
  refuse("D", "[flatten, auxiliary: [dense: 5], dense: 1]", DUEL_ERR_USAGE,
         "D.1 auxiliary: the data have 4 classes, not 5; set classes: $classes");
  refuse(
      "D", "[auxiliary: [conv: 4], flatten, dense: 1]", DUEL_ERR_USAGE,
      "D.0 auxiliary: auxiliary yields 8×4×26×26, but must yield one number a class; let it end with dense: $classes");
  refuse("D", "[flatten, auxiliary: [dense: 4], auxiliary: [dense: 4], dense: 1]", DUEL_ERR_USAGE,
         "D.2 auxiliary: D has a second auxiliary; leave one out");
  refuse("G.3", "{auxiliary: [dense: 4]}", DUEL_ERR_USAGE,
         "G.3 auxiliary: auxiliary judges items: it belongs in a net that reads them, not in G");
  duel_run *run;
  static const duel_set set[] = {{"C", "[flatten, label, dense: $classes]", NULL}};
  assert_int_equal(
      duel_run_open(&run,
                    &(duel_run_options){.recipe = "classifier-28", .data = "synthetic:shapes", .set = set, .n_set = 1}),
      DUEL_ERR_USAGE);
  assert_message("C reads the labels that it is to tell; leave label, projection and class_batchnorm out");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_training), cmocka_unit_test(drawn_classes),
                                     cmocka_unit_test(what_does_not_fit)};
  return cmocka_run_group_tests_name("labels", tests, set_up, scratch_teardown);
}
