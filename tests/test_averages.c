// Moving averages: how they begin, and where their running statistics come from. On the backend of the environment's
// DUEL_TEST_BACKENDS.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "duel.h"
#include "io/safetensors.h"
#include "io_help.h"
#include "run/run.h"

static const char *backend = "cpu";

static const char normed[] = "recipe: 1\n"
                             "data: synthetic:ring\n"
                             "latent: 4\n"
                             "G: [dense: 16, batchnorm, relu, dropout: 0.2, dense: 2]\n"
                             "D: [dense: 16, leaky_relu: 0.2, dense: 1]\n"
                             "optim: {lr: 0.01}\n"
                             "ema: {half_life: 100 images}\n"
                             "train: {length: 40 steps, batch: 16}\n";

static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  scratch_setup(state);
  scratch_put("normed.yaml", normed, sizeof normed - 1);
  return 0;
}

static duel_status open_with(duel_run **run, const char *from, bool sample_only, const duel_set *set, int n_set) {
  return duel_run_open(run, &(duel_run_options){.recipe = sample_only ? NULL : scratch("normed.yaml"),
                                                .backend = backend,
                                                .checkpoint = from,
                                                .sample_only = sample_only,
                                                .threads = 1,
                                                .set = set,
                                                .n_set = n_set});
}

static duel_run *run_of(const char *from, bool sample_only, const duel_set *set, int n_set) {
  duel_run *run;
  must(open_with(&run, from, sample_only, set, n_set));
  return run;
}

enum { ITEMS = 5 };
static void draw(duel_run *run, float items[2 * ITEMS]) {
  static const uint64_t seeds[ITEMS] = {0, 1, 2, 3, 4};
  must(duel_generate(run, seeds, ITEMS, items));
}

static bool same(const char *file, const char *a, const char *b) {
  duel_tensor_file f;
  must(duel_tensors_read(&f, scratch(file)));
  const duel_entry *x = duel_tensors_find(&f, a), *y = duel_tensors_find(&f, b);
  assert_true(x && y && x->bytes == y->bytes);
  const bool are = !memcmp(x->data, y->data, x->bytes);
  duel_tensors_close(&f);
  return are;
}

// Whatever was drawn and saved in between, a checkpoint is that of its step, and what is drawn from it is the same.
static void stays(void **state) {
  static const char *const buffers[] = {"copy", "average", "standing"};
  (void)state;
  for (int i = 0; i < 3; i++) {
    const duel_set set[] = {{"ema.buffers", buffers[i], NULL}};
    float here[2 * ITEMS], there[2 * ITEMS];
    duel_run *run = run_of(NULL, false, set, 1);
    must(duel_run_advance(run, 7));
    must(duel_run_save(run, scratch("whole")));
    draw(run, here);
    duel_run_close(run);
    run = run_of(NULL, false, set, 1);
    must(duel_run_advance(run, 3));
    draw(run, there);
    must(duel_run_save(run, scratch("half")));
    assert_true(memcmp(here, there, sizeof here) != 0);
    duel_run_close(run);
    run = run_of(scratch("half"), false, set, 1);
    must(duel_run_advance(run, 4));
    must(duel_run_save(run, scratch("rest")));
    duel_run_close(run);
    assert_true(scratch_same("whole", "rest"));
    run = run_of(scratch("whole"), true, NULL, 0);
    draw(run, there);
    duel_run_close(run);
    assert_memory_equal(here, there, sizeof here);
    assert_true(same("whole", "G.1.running_mean", "G_ema.1.running_mean") == (i == 0));
    assert_true(same("whole", "G.1.running_var", "G_ema.1.running_var") == (i == 0));
    assert_false(same("whole", "G.0.weight", "G_ema.0.weight"));
  }
}

// With a ramp-up the average is G after the first step, for nothing was before it.
static void ramps_up(void **state) {
  (void)state;
  for (int ramp = 0; ramp < 2; ramp++) {
    const duel_set set[] = {{"ema.ramp_up", ramp ? "0.5" : "0", NULL}};
    duel_run *run = run_of(NULL, false, set, 1);
    must(duel_run_advance(run, 1));
    must(duel_run_save(run, scratch("one")));
    assert_true(same("one", "G.0.weight", "G_ema.0.weight") == (ramp == 1));
    must(duel_run_advance(run, 1));
    must(duel_run_save(run, scratch("two")));
    assert_false(same("two", "G.0.weight", "G_ema.0.weight"));
    duel_run_close(run);
  }
}

static void refuses(void **state) {
  (void)state;
  const duel_set judge[] = {{"D.ema", "{half_life: 1 kimg, buffers: standing}", NULL}};
  const duel_set word[] = {{"ema.buffers", "stand", NULL}};
  const duel_set negative[] = {{"ema.ramp_up", "-1", NULL}};
  duel_run *run;
  assert_int_equal(open_with(&run, NULL, false, judge, 1), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(),
                      "ema.buffers: standing statistics are measured with latents, which D does not read; let its "
                      "ema.buffers be copy or average");
  assert_int_equal(open_with(&run, NULL, false, word, 1), DUEL_ERR_USAGE);
  assert_non_null(strstr(duel_last_error(), "stand: no such choice; did you mean standing?"));
  assert_int_equal(open_with(&run, NULL, false, negative, 1), DUEL_ERR_USAGE);
  assert_non_null(strstr(duel_last_error(), "-1 is out of range: it must be at least 0"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(stays), cmocka_unit_test(ramps_up), cmocka_unit_test(refuses)};
  return cmocka_run_group_tests(tests, set_up, scratch_teardown);
}
