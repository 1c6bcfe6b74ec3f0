// Runs through duel.h: what a seed, threads, a resume and a failure may change, and what not. On the backend of the
// environment's DUEL_TEST_BACKENDS.
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "duel.h"
#include "run_help.h"

static const char *backend = "cpu";

static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  return small_recipe_setup(state);
}

// Trains to step `to` from the checkpoint, or anew, and saves.
static void train(const char *from, int64_t to, int threads, const char *seed, const char *path) {
  duel_run *run;
  duel_set set[] = {{"train.seed", seed, "--seed"}};
  duel_run_options o = {
      .backend = backend, .recipe = small_recipe, .threads = threads, .set = set, .n_set = 1, .checkpoint = from};
  must(duel_run_open(&run, &o));
  duel_stats s;
  must(duel_run_stats(run, &s));
  must(duel_run_advance(run, to - s.step));
  must(duel_run_save(run, path));
  duel_run_close(run);
}

static void test_a_seed_is_a_trajectory(void **state) {
  (void)state;
  train(NULL, 20, 2, "5", scratch("a"));
  train(NULL, 20, 2, "5", scratch("b"));
  assert_true(scratch_same("a", "b"));
  train(NULL, 20, 2, "6", scratch("b"));
  assert_false(scratch_same("a", "b"));
}

static void test_threads_do_not_show(void **state) {
  (void)state;
  train(NULL, 20, 1, "5", scratch("a"));
  for (int threads = 2; threads <= 4; threads++) {
    train(NULL, 20, threads, "5", scratch("b"));
    assert_true(scratch_same("a", "b"));
  }
}

static void test_a_resume_is_no_break(void **state) {
  (void)state;
  train(NULL, 40, 2, "5", scratch("whole"));
  for (int at = 1; at < 40; at += 9) { // epochs of 150 items end within steps of 32
    train(NULL, at, 2, "5", scratch("part"));
    train(scratch("part"), 40, 1, "5", scratch("rest"));
    assert_true(scratch_same("whole", "rest"));
  }
}

static void test_advancing_allocates_nothing(void **state) {
  (void)state;
  duel_run *run;
  duel_set set[] = {{"train.length", "40 steps", "--set"}};
  must(duel_run_open(
      &run, &(duel_run_options){.backend = backend, .recipe = small_recipe, .threads = 2, .set = set, .n_set = 1}));
  must(duel_run_advance(run, 1));
  uint64_t ours = duel_mem_count();
  size_t libc = mallinfo2().uordblks + mallinfo2().hblkhd;
  must(duel_run_advance(run, 39));
  assert_int_equal(duel_mem_count(), ours);
  if (!strcmp(backend, "cpu")) assert_int_equal(mallinfo2().uordblks + mallinfo2().hblkhd, libc); // drivers have theirs
  assert_true(duel_run_done(run));
  duel_run_close(run);
}

static void test_the_seed_of_an_item_is_all(void **state) {
  (void)state;
  train(NULL, 10, 2, "5", scratch("a"));
  duel_run *run;
  must(duel_run_open(&run, &(duel_run_options){.backend = backend, .checkpoint = scratch("a"), .sample_only = 1}));
  static float many[70 * 784], one[784];
  uint64_t seeds[70];
  for (uint64_t i = 0; i < 70; i++) seeds[i] = 3 * i;
  must(duel_generate(run, seeds, 70, many));
  must(duel_generate(run, &(uint64_t){3 * 66}, 1, one));
  assert_memory_equal(one, many + 66 * 784, sizeof one);
  assert_memory_not_equal(one, many + 65 * 784, sizeof one);
  assert_int_equal(duel_run_advance(run, 1), DUEL_ERR_USAGE);
  assert_int_equal(duel_run_save(run, scratch("b")), DUEL_ERR_USAGE);
  duel_run_close(run);
}

static void test_weights_alone_begin_anew(void **state) {
  (void)state;
  train(NULL, 10, 2, "5", scratch("a"));
  duel_run *run;
  must(duel_run_open(&run, &(duel_run_options){.backend = backend, .recipe = small_recipe, .init = scratch("a")}));
  duel_stats s;
  must(duel_run_stats(run, &s));
  assert_int_equal(s.step, 0);
  static float before[784], after[784];
  must(duel_generate(run, &(uint64_t){1}, 1, before));
  duel_run_close(run);
  must(duel_run_open(&run, &(duel_run_options){.backend = backend, .checkpoint = scratch("a"), .sample_only = 1}));
  must(duel_generate(run, &(uint64_t){1}, 1, after));
  assert_memory_equal(before, after, sizeof before);
  duel_run_close(run);
}

static void test_divergence_is_told(void **state) {
  (void)state;
  duel_run *run;
  duel_set set[] = {{"optim", "{name: sgd, lr: 1000000}", "--set"}};
  must(duel_run_open(&run, &(duel_run_options){.backend = backend, .recipe = small_recipe, .set = set, .n_set = 1}));
  duel_stats s;
  duel_status status = duel_run_advance(run, 40); // a device beside the host may tell it later
  assert_int_equal(status == DUEL_OK ? duel_run_stats(run, &s) : status, DUEL_ERR_DIVERGED);
  assert_non_null(strstr(duel_last_error(), "diverged in step"));
  duel_run_close(run);
}

// G's weights overflow in an update while every loss is still finite: its last layer is tanh.
static void test_what_is_not_finite_is_not_saved(void **state) {
  (void)state;
  duel_run *run;
  duel_set set[] = {{"G", "[dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]", "--set"},
                    {"optim", "{lr: 1, weight_decay: 1000000}", "--set"},
                    {"D.optim", "{lr: 0, weight_decay: 0}", "--set"}};
  must(duel_run_open(&run, &(duel_run_options){.backend = backend, .recipe = small_recipe, .set = set, .n_set = 3}));
  duel_status status = DUEL_OK;
  int saved = 0;
  for (; status == DUEL_OK && saved < 20; saved += status == DUEL_OK) {
    must(duel_run_advance(run, 1));
    status = duel_run_save(run, scratch("last"));
  }
  assert_int_equal(status, DUEL_ERR_DIVERGED);
  assert_non_null(strstr(duel_last_error(), " of G"));
  assert_true(saved > 1);
  static float item[784];
  assert_int_equal(duel_generate(run, &(uint64_t){1}, 1, item), DUEL_ERR_DIVERGED);
  duel_run_close(run);
  must(duel_run_open(&run, &(duel_run_options){.backend = backend, .checkpoint = scratch("last")}));
  duel_stats s;
  must(duel_run_stats(run, &s));
  assert_int_equal(s.step, saved);
  duel_run_close(run);
}

static duel_status whole_life(void) {
  duel_run *run;
  static float item[784];
  DUEL_TRY(duel_run_open(&run, &(duel_run_options){.backend = backend, .recipe = small_recipe, .threads = 2}));
  duel_status status = duel_run_advance(run, 2);
  if (status == DUEL_OK) status = duel_run_save(run, scratch("a"));
  if (status == DUEL_OK) status = duel_generate(run, &(uint64_t){1}, 1, item);
  duel_run_close(run);
  if (status != DUEL_OK) return status;
  DUEL_TRY(duel_run_open(&run, &(duel_run_options){.backend = backend, .checkpoint = scratch("a")}));
  duel_run_close(run);
  return DUEL_OK;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  uint64_t before = duel_mem_count();
  must(whole_life());
  uint64_t all = duel_mem_count() - before;
  assert_true(all > 100);
  for (uint64_t n = 1; n <= all; n++) {
    duel_mem_fail_at(n, n % 2);
    duel_status status = whole_life();
    duel_mem_fail_at(0, 0);
    if (status == DUEL_OK) continue; // the library may do without: a grown table, a second try
    if (!*duel_last_error()) fail_msg("allocation %d fails without a message", (int)n);
  }
  must(whole_life());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_seed_is_a_trajectory),     cmocka_unit_test(test_threads_do_not_show),
      cmocka_unit_test(test_a_resume_is_no_break),       cmocka_unit_test(test_advancing_allocates_nothing),
      cmocka_unit_test(test_the_seed_of_an_item_is_all), cmocka_unit_test(test_weights_alone_begin_anew),
      cmocka_unit_test(test_divergence_is_told),         cmocka_unit_test(test_what_is_not_finite_is_not_saved),
      cmocka_unit_test(test_every_allocation_may_fail)};
  return cmocka_run_group_tests(tests, set_up, scratch_teardown);
}
