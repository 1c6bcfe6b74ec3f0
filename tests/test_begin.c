// A new run from another one's state (duel_run_options.init): what is taken, what is left, and what is drawn anew. On
// the backend of the environment's DUEL_TEST_BACKENDS.
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
#include "run_help.h"

static const char *backend = "cpu";
static char told[2048]; // the note of the last opening

static void listen(void *ctx, const char *text) {
  (void)ctx;
  snprintf(told, sizeof told, "%s", text);
}

static duel_status open_with(duel_run **run, const char *recipe, const char *init, int optimizer,
                             const char *const *set) {
  duel_set all[8];
  int n = 0;
  for (; set && set[2 * n]; n++) all[n] = (duel_set){set[2 * n], set[2 * n + 1], "--set"};
  *told = 0;
  return duel_run_open(run, &(duel_run_options){.backend = backend,
                                                .recipe = recipe,
                                                .init = init,
                                                .init_optimizer = optimizer,
                                                .set = all,
                                                .n_set = n,
                                                .on_note = listen});
}

// As a new run begins, saved as `name`.
static duel_tensor_file begin(const char *recipe, const char *init, int optimizer, const char *const *set,
                              const char *name) {
  duel_run *run;
  duel_tensor_file f;
  must(open_with(&run, recipe, init, optimizer, set));
  must(duel_run_save(run, scratch(name)));
  duel_run_close(run);
  must(duel_tensors_read(&f, scratch(name)));
  return f;
}

// Trains some steps, so that weights, moments and averages have moved.
static int set_up(void **state) {
  duel_run *run;
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  small_recipe_setup(state);
  must(open_with(&run, small_recipe, NULL, 0, NULL));
  must(duel_run_advance(run, 5));
  must(duel_run_save(run, scratch("from")));
  duel_run_close(run);
  return 0;
}

static bool same(const duel_tensor_file *a, const duel_tensor_file *b, const char *name) {
  const duel_entry *x = duel_tensors_find(a, name), *y = duel_tensors_find(b, name);
  return x && y && x->bytes == y->bytes && !memcmp(x->data, y->data, x->bytes);
}

static bool is_zero(const duel_entry *e) {
  const float *value = e->data;
  for (size_t i = 0; i < e->bytes / sizeof *value; i++)
    if (value[i] != 0) return false;
  return true;
}

static void meta_is(const duel_tensor_file *f, const char *key, const char *value) {
  assert_string_equal(duel_tensors_meta(f, key), value);
}

static void test_weights_alone(void **state) {
  (void)state;
  duel_tensor_file from, f = begin(NULL, scratch("from"), 0, (const char *const[]){"train.batch", "8", NULL}, "to");
  must(duel_tensors_read(&from, scratch("from")));
  for (int i = 0; i < f.n; i++) {
    const duel_entry *e = &f.entry[i];
    if (strncmp(e->name, "opt.", 4))
      assert_true(same(&from, &f, e->name)); // averages and running statistics too
    else
      assert_true(is_zero(e));
  }
  meta_is(&f, "step", "0");
  meta_is(&f, "updates.D", "0");
  meta_is(&f, "recipe.name", "small"); // its own recipe, but for what is set
  assert_non_null(strstr(duel_tensors_meta(&f, "recipe"), "batch: 8\n"));
  assert_string_equal(told, ""); // everything fits
  duel_tensors_close(&f);
  duel_tensors_close(&from);
}

static void test_with_its_optimizers(void **state) {
  (void)state;
  duel_tensor_file from, f = begin(NULL, scratch("from"), 1, (const char *const[]){"train.batch", "8", NULL}, "to");
  must(duel_tensors_read(&from, scratch("from")));
  assert_int_equal(f.n, from.n);
  for (int i = 0; i < f.n; i++) assert_true(same(&from, &f, f.entry[i].name));
  meta_is(&f, "step", "0");
  meta_is(&f, "updates.G", "5");
  meta_is(&f, "updates.D", "10");
  assert_string_equal(told, "");
  duel_tensors_close(&f);
  duel_tensors_close(&from);
}

// A recipe that is named is taken, as the same recipe is from the checkpoint.
static void test_a_recipe_that_is_named(void **state) {
  (void)state;
  duel_tensor_file a = begin(NULL, scratch("from"), 1, NULL, "a"),
                   b = begin(small_recipe, scratch("from"), 1, NULL, "b");
  assert_true(scratch_same("a", "b"));
  duel_tensors_close(&a);
  duel_tensors_close(&b);
}

// What does not fit begins as in a new run, its moments at zero; the rest is the other run's.
static void test_what_does_not_fit(void **state) {
  (void)state;
  static const char *const other[] = {"G.0.dense", "30", "G.optim", "sgd", "G.optim.momentum", "0.5", NULL};
  static const char *const anew[] = {"G.0.weight",       "G.0.bias",   "G.1.weight",
                                     "G.1.running_mean", "G.4.weight", "G_ema.0.weight"};
  static const char *const taken[] = {"G.4.bias", "D.1.weight", "D.3.bias", "opt.D.1.weight.m", "opt.D.3.bias.v"};
  duel_tensor_file from, fresh = begin(small_recipe, NULL, 0, other, "fresh"),
                         f = begin(NULL, scratch("from"), 1, other, "to");
  must(duel_tensors_read(&from, scratch("from")));
  for (size_t i = 0; i < sizeof anew / sizeof *anew; i++) assert_true(same(&fresh, &f, anew[i]));
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) assert_true(same(&from, &f, taken[i]));
  assert_true(is_zero(duel_tensors_find(&f, "opt.G.4.bias.m"))); // Adam's first moment is no momentum
  meta_is(&f, "updates.D", "10");
  meta_is(&f, "updates.G", "0");
  assert_non_null(strstr(told, "5 tensors are taken from "));
  assert_non_null(strstr(told, "; left there: G.0.bias 24, G.0.weight 24×12, "));
  assert_non_null(strstr(told, "; drawn anew: G.0.weight 30×12, G.0.bias 30, G.1.weight 30, G.1.bias 30, "));
  assert_non_null(strstr(told, " and 1 more"));
  duel_tensors_close(&f);
  duel_tensors_close(&fresh);
  duel_tensors_close(&from);
}

static void test_an_average_begins_with_the_weights(void **state) {
  (void)state;
  static const char *const plain[] = {"ema", "null", NULL}, *const both[] = {"D.ema", "9 images", NULL};
  duel_tensor_file f = begin(NULL, scratch("from"), 0, plain, "plain");
  assert_null(duel_tensors_find(&f, "G_ema.0.weight"));
  assert_non_null(strstr(told, "; left there: G_ema.0.bias 24, "));
  duel_tensors_close(&f);
  f = begin(NULL, scratch("from"), 0, both, "both");
  const duel_entry *d = duel_tensors_find(&f, "D.1.weight"), *average = duel_tensors_find(&f, "D_ema.1.weight");
  assert_memory_equal(d->data, average->data, d->bytes);
  assert_string_equal(told, "");
  duel_tensors_close(&f);
}

static void refused(duel_status status, const char *message, const char *init, int optimizer, const char *const *set) {
  duel_run *run;
  assert_int_equal(open_with(&run, NULL, init, optimizer, set), status);
  if (!strstr(duel_last_error(), message)) fail_msg("%s", duel_last_error());
  assert_null(run);
}

static void test_refusals(void **state) {
  (void)state;
  static const char *const wider[] = {"G.0.dense", "30", "D.1.dense", "30", NULL};
  refused(DUEL_ERR_DATA,
          "tensor G.0.weight is f32 24×12, but the recipe makes it f32 30×12; nor does any other of its weights fit: "
          "leave out the settings that change its nets",
          scratch("from"), 0, wider);
  refused(DUEL_ERR_USAGE, "options.init_optimizer says what options.init takes: give both", NULL, 1, NULL);
  const float weight[2] = {1, 2};
  must(duel_tensors_write(scratch("bare"), &(duel_entry){"D.3.bias", DUEL_F32, 1, {2}, weight, sizeof weight}, 1, NULL,
                          0));
  refused(DUEL_ERR_DATA,
          "holds no recipe: it is no checkpoint of duel; weights alone go into a new run by options.init",
          scratch("bare"), 0, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_weights_alone),
      cmocka_unit_test(test_with_its_optimizers),
      cmocka_unit_test(test_a_recipe_that_is_named),
      cmocka_unit_test(test_what_does_not_fit),
      cmocka_unit_test(test_an_average_begins_with_the_weights),
      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, set_up, scratch_teardown);
}
