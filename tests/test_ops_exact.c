// Where no rounding happens, every bit is decided: on small integers all sums stay below 2^24, so products, reductions,
// arithmetic and movement must equal the oracle exactly, at every instruction set level and with 1, 2 and 3 threads.
// This finds indexing errors that tolerances hide. On real numbers, the bits must not depend on the number of threads;
// draws and element-wise ops not on the level either. (test_cuda_ops.c asks the same of CUDA.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/entry.h"
#include "run_case.h"

enum { MAX_SETUPS = 32, MAX_THREADS = 3 };

typedef struct setup { // a backend as one user would have it
  const duel_backend_api *api;
  duel_backend *backend;
  char name[64];
  int threads, level; // level: setups of one level differ in threads alone
} setup;

static setup setups[MAX_SETUPS];
static int n_setups, n_levels;
static int exact_cases, exact_failures, thread_failures, level_failures;
static int64_t exact_numbers, thread_numbers, level_numbers;

static void add_level(const duel_backend_api *api, const char *level) {
  for (int threads = 1; threads <= MAX_THREADS && n_setups < MAX_SETUPS; threads++) {
    setup *s = &setups[n_setups];
    *s = (setup){.api = api, .threads = threads, .level = n_levels};
    if (api->open(&s->backend, &(duel_backend_options){.threads = threads}) != DUEL_OK) return; // not on this machine
    snprintf(s->name, sizeof s->name, "%s %s, %d threads", api->name, level, threads);
    n_setups++;
  }
  n_levels++;
}

static int open_all(void **state) {
  (void)state;
  static const char *const levels[] = {"v2", "v3", "v4", "portable"};
  for (int i = 0; i < 4; i++) {
    setenv("DUEL_CPU_ISA", levels[i], 1);
    add_level(&duel_cpu_backend, levels[i]);
  }
  unsetenv("DUEL_CPU_ISA");
  for (int i = 0; i < n_setups; i++)
    print_message("%s: %s\n", setups[i].name, setups[i].api->describe(setups[i].backend));
  return n_setups ? 0 : -1;
}

static int close_all(void **state) {
  (void)state;
  for (int i = 0; i < n_setups; i++) setups[i].api->close(setups[i].backend);
  return 0;
}

static void complain(int *failures, const duel_case *c, const char *where, const char *what) {
  char name[256];
  if ((*failures)++ < 30) print_error("%s: %s: %s\n", where, duel_case_name(c, name), what);
}

static void free_all(duel_ref *t, int n) {
  for (int i = 0; i < n; i++) duel_ref_free(&t[i]);
}

static void check_exact(const duel_case *c) {
  duel_ref in[DUEL_CASE_MAX_IN] = {{0}}, want[DUEL_MAX_OUT] = {{0}}, out[DUEL_MAX_OUT];
  char text[200];
  for (int i = 0; i < c->n_in; i++) in[i] = duel_case_fill(c, i, true, 2);
  duel_case_expect(c, in, want);
  for (int s = 0; s < n_setups; s++) {
    if (duel_case_run(c, setups[s].api, setups[s].backend, (duel_case_mode){0}, in, want, out) != DUEL_OK)
      complain(&exact_failures, c, setups[s].name, duel_last_error());
    else
      for (int i = 0; i < duel_case_outputs(c); i++) {
        const duel_comparison r = duel_compare(&out[i], &want[i], setups[s].api->real, (duel_tolerance){0});
        exact_numbers += want[i].count;
        if (r.ok) continue;
        snprintf(text, sizeof text, "output %d: element %lld is %.9g, not %.9g", i, (long long)r.at, out[i].data[r.at],
                 want[i].data[r.at]);
        complain(&exact_failures, c, setups[s].name, text);
      }
    free_all(out, DUEL_MAX_OUT);
  }
  free_all(in, DUEL_CASE_MAX_IN);
  free_all(want, DUEL_MAX_OUT);
}

// Ops whose every element is made by one fixed sequence of operations, without a sum over elements.
static bool same_on_all_levels(duel_op op) {
  switch (op) {
  case DUEL_OP_REDUCE_SUM:
  case DUEL_OP_MATMUL:
  case DUEL_OP_DENSE:
  case DUEL_OP_MATMUL_GRAD:
  case DUEL_OP_CONV2D:
  case DUEL_OP_CONV2D_DX:
  case DUEL_OP_CONV2D_DW:
  case DUEL_OP_CONV2D_ACT:
  case DUEL_OP_CONV2D_DX_ACT:
  case DUEL_OP_CONV2D_DX_GRAD:
  case DUEL_OP_BATCHNORM:
  case DUEL_OP_BATCHNORM_GRAD:
  case DUEL_OP_GROUPNORM:
  case DUEL_OP_GROUPNORM_GRAD:
  case DUEL_OP_SPECTRAL:
  case DUEL_OP_SPECTRAL_GRAD:
  case DUEL_OP_BCE_LOGITS:
  case DUEL_OP_SOFTMAX_CE:
  case DUEL_OP_SOFTMAX_CE_GRAD:
  case DUEL_OP_REPORT:
  case DUEL_OP_ADAM:
  case DUEL_OP_SGD:
    return false;
  default:
    return true;
  }
}

static void check_bits(const duel_case *c) {
  duel_ref in[DUEL_CASE_MAX_IN] = {{0}}, want[DUEL_MAX_OUT] = {{0}}, out[DUEL_MAX_OUT];
  duel_ref level[DUEL_MAX_OUT] = {{0}}, first[DUEL_MAX_OUT] = {{0}}; // of this level's first setup, of the very first
  const int n_out = duel_case_outputs(c);
  for (int i = 0; i < c->n_in; i++) in[i] = duel_case_fill(c, i, false, 3);
  duel_case_shapes(c, want);
  for (int s = 0; s < n_setups; s++) {
    if (duel_case_run(c, setups[s].api, setups[s].backend, (duel_case_mode){0}, in, want, out) != DUEL_OK) {
      complain(&thread_failures, c, setups[s].name, duel_last_error());
      free_all(out, DUEL_MAX_OUT);
      continue;
    }
    for (int i = 0; i < n_out; i++) {
      if (setups[s].threads > 1) {
        thread_numbers += out[i].count;
        if (!duel_same_bits(&out[i], &level[i]))
          complain(&thread_failures, c, setups[s].name, "not the bits of 1 thread");
        duel_ref_free(&out[i]);
        continue;
      }
      duel_ref_free(&level[i]);
      level[i] = out[i];
      if (setups[s].level == 0) {
        first[i] = duel_ref_new(out[i].dtype, out[i].shape);
        memcpy(first[i].data, out[i].data, sizeof(double) * (size_t)out[i].count);
      } else if (same_on_all_levels(c->op)) {
        level_numbers += out[i].count;
        if (!duel_same_bits(&out[i], &first[i]))
          complain(&level_failures, c, setups[s].name, "not the first level's bits");
      }
    }
  }
  free_all(in, DUEL_CASE_MAX_IN);
  free_all(want, DUEL_MAX_OUT);
  free_all(level, DUEL_MAX_OUT);
  free_all(first, DUEL_MAX_OUT);
}

static void test_small_integers(void **state) {
  (void)state;
  int n;
  const duel_case *cases = duel_cases(&n);
  for (int i = 0; i < n; i++)
    if (duel_case_is_exact(&cases[i])) {
      check_exact(&cases[i]);
      exact_cases++;
    }
  print_message("%d exact cases on %d setups, %lld numbers compared, %d failures\n", exact_cases, n_setups,
                (long long)exact_numbers, exact_failures);
  assert_true(exact_numbers > 0);
  assert_int_equal(exact_failures, 0);
}

static void test_bits(void **state) {
  (void)state;
  int n;
  const duel_case *cases = duel_cases(&n);
  for (int i = 0; i < n; i++) check_bits(&cases[i]);
  print_message("%d cases: %lld numbers compared between thread counts, %d failures\n", n, (long long)thread_numbers,
                thread_failures);
  print_message("%lld numbers compared between %d levels, %d failures\n", (long long)level_numbers, n_levels,
                level_failures);
  assert_true(thread_numbers > 0);
  assert_true(level_numbers > 0 || n_levels == 1);
  assert_int_equal(thread_failures, 0);
  assert_int_equal(level_failures, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_integers), cmocka_unit_test(test_bits)};
  return cmocka_run_group_tests_name("exact ops", tests, open_all, close_all);
}
