// duel.h, "measuring": a profiled step is a step like any other, its times are those of its nodes and cost no memory
// while they are taken; peaks leave the run as it is. On the backend of the environment's DUEL_TEST_BACKENDS.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "duel.h"
#include "io/safetensors.h"
#include "run_help.h"

enum { MOST_NODES = 400 };
static const char *backend = "cpu";
static duel_node_time node[MOST_NODES];

static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  return small_recipe_setup(state);
}

static duel_run *open_run(int threads, const char *capture) {
  duel_run *run;
  duel_set set[] = {{"train.length", "40 steps", NULL}, {"run.capture", capture, NULL}};
  duel_run_options o = {.backend = backend, .recipe = small_recipe, .threads = threads, .set = set, .n_set = 2};
  must(duel_run_open(&run, &o));
  assert_in_range(duel_run_describe(run).step_nodes, 10, MOST_NODES);
  return run;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void finish(duel_run *run, int64_t step, const char *path) {
  duel_stats s;
  must(duel_run_stats(run, &s));
  assert_int_equal(s.step, step);
  must(duel_run_save(run, path));
  duel_run_close(run);
}

static void test_a_profile_is_training(void **state) {
  (void)state;
  duel_peaks peaks;
  duel_run *run = open_run(2, "on");
  must(duel_run_advance(run, 9));
  finish(run, 9, scratch("plain"));
  for (int way = 0; way < 3; way++) {
    run = open_run(way ? 2 : 1, way == 2 ? "off" : "on");
    must(duel_run_advance(run, 2));
    must(duel_run_profile(run, 3, node));
    must(duel_run_advance(run, 1));
    must(duel_run_peaks(run, 1e-3, &peaks));
    must(duel_run_profile(run, 1, node));
    must(duel_run_advance(run, 2));
    finish(run, 9, scratch("profiled"));
    assert_true(scratch_same("plain", "profiled"));
  }
}

static void test_times_are_those_of_the_nodes(void **state) {
  (void)state;
  for (int threads = 1; threads <= 3; threads++) {
    duel_run *run = open_run(threads, "on");
    const duel_run_info info = duel_run_describe(run);
    must(duel_run_profile(run, 1, node));
    double begin = now(), all = 0, flops = 0, bytes = 0;
    must(duel_run_profile(run, 20, node));
    const double wall = (now() - begin) / 20;
    int products = 0, layers = 0;
    for (int i = 0; i < info.step_nodes; i++) {
      assert_true(*node[i].op && node[i].seconds >= 0);
      all += node[i].seconds;
      flops += node[i].flops;
      bytes += node[i].bytes;
      products += !strncmp(node[i].op, "dense", 5) && node[i].seconds > 0;
      layers += !strncmp(node[i].layer, "D.", 2);
    }
    assert_true(products > 0 && layers > 0);
    assert_float_equal((float)(flops / info.step_flops), 1, 1e-5F);
    assert_float_equal((float)(bytes / info.step_bytes), 1, 1e-5F);
    assert_true(all <= 1.01 * wall);
    if (!strcmp(backend, "cpu")) assert_true(all >= 0.5 * wall); // the rest is the data's order and a step's inputs
    duel_run_close(run);
  }
}

// Whatever the number of steps, once there was a profile.
static void test_profiling_allocates_nothing(void **state) {
  (void)state;
  duel_run *run = open_run(2, "on");
  must(duel_run_profile(run, 1, node));
  uint64_t start = duel_mem_count();
  must(duel_run_profile(run, 1, node));
  uint64_t one = duel_mem_count() - start;
  must(duel_run_profile(run, 20, node));
  assert_int_equal(duel_mem_count() - start, 2 * one);
  assert_int_equal(one, 1); // the list of times
  assert_int_equal(duel_run_profile(run, 19, node), DUEL_ERR_USAGE);
  assert_non_null(strstr(duel_last_error(), "18 are left"));
  assert_int_equal(duel_run_profile(run, 0, node), DUEL_ERR_USAGE);
  duel_run_close(run);
}

static void test_peaks_are_rates(void **state) {
  (void)state;
  duel_peaks p;
  duel_run *run = open_run(2, "on");
  must(duel_run_peaks(run, 0.01, &p));
  assert_true(p.flops > 1e6 && p.flops < 1e16 && p.bytes > 1e6 && p.bytes < 1e15);
  assert_true(p.square_side >= 256 && p.pass_bytes >= 1 << 20);
  duel_run_close(run);
}

static void test_weights_are_those_of_a_checkpoint(void **state) {
  (void)state;
  duel_run *run = open_run(2, "on");
  must(duel_run_advance(run, 3));
  must(duel_run_save(run, scratch("a")));
  const duel_run_info info = duel_run_describe(run);
  const int64_t n = info.net[0].parameters + info.net[1].parameters;
  float *w = malloc((size_t)(n + 1) * sizeof *w);
  w[n] = 7;
  must(duel_run_weights(run, w));
  assert_true(w[n] == 7);
  duel_tensor_file f;
  must(duel_tensors_read(&f, scratch("a")));
  const duel_entry *first = duel_tensors_find(&f, "G.0.weight"), *of_d = duel_tensors_find(&f, "D.1.weight");
  assert_true(first && of_d);
  assert_memory_equal(w, first->data, first->bytes);
  assert_memory_equal(w + info.net[0].parameters, of_d->data, of_d->bytes);
  duel_tensors_close(&f);
  free(w);
  duel_run_close(run);
}

static duel_status all_of_it(duel_run *run) {
  duel_peaks p;
  static float w[1 << 20];
  DUEL_TRY(duel_run_peaks(run, 1e-3, &p));
  DUEL_TRY(duel_run_weights(run, w));
  return duel_run_profile(run, 1, node);
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  if (strcmp(backend, "cpu") != 0) skip(); // squares take an emulator long
  duel_run *run = open_run(2, "on");
  for (uint64_t n = 1, failed = 1; failed; n++) { // nothing is left behind that the next one would find
    duel_mem_fail_at(n, 0);
    duel_status status = all_of_it(run);
    duel_mem_fail_at(0, 0);
    failed = status != DUEL_OK;
    if (failed) assert_int_equal(status, DUEL_ERR_DEVICE);
    assert_true(n < 1000);
  }
  must(all_of_it(run));
  duel_run_close(run);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_profile_is_training),       cmocka_unit_test(test_times_are_those_of_the_nodes),
      cmocka_unit_test(test_profiling_allocates_nothing), cmocka_unit_test(test_peaks_are_rates),
      cmocka_unit_test(test_every_allocation_may_fail),   cmocka_unit_test(test_weights_are_those_of_a_checkpoint)};
  return cmocka_run_group_tests(tests, set_up, scratch_teardown);
}
