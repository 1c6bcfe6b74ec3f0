// Every case of the list on the CUDA backend, in fp32: against the CPU; bit for bit where nothing rounds (small
// integers) and where the design says so (draws, data, movement); and the same bits whatever the order in which threads
// and blocks run, which the emulator turns. On a GPU the repeated runs stand for that.
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/entry.h"
#include "run/registry.h"
#include "run_case.h"

enum { ORDERS = 3 };
static const char *const orders[ORDERS] = {"forward", "reverse", "random:7"};

static const duel_backend_api *cuda;
static duel_backend *cuda_device, *cpu_device;
static int (*set_order)(const char *order); // of the emulator; NULL on a GPU
static int failures;

static int open_both(void **state) {
  (void)state;
  const duel_backend_options options = {.threads = 1, .precision = "fp32"};
  if (duel_backend_find("cuda", &cuda) != DUEL_OK || cuda->open(&cuda_device, &options) != DUEL_OK ||
      duel_cpu_backend.open(&cpu_device, &options) != DUEL_OK) {
    print_error("%s\n", duel_last_error());
    return -1;
  }
  void *library = dlopen(getenv("DUEL_CUDA_LIBRARY"), RTLD_NOW | RTLD_NOLOAD);
  void *symbol = library ? dlsym(library, "cuemu_set_order") : NULL;
  memcpy(&set_order, &symbol, sizeof set_order);
  print_message("%s%s\n", cuda->describe(cuda_device), set_order ? ", emulated" : "");
  return 0;
}

static int close_both(void **state) {
  (void)state;
  cuda->close(cuda_device);
  duel_cpu_backend.close(cpu_device);
  return 0;
}

static void complain(const duel_case *c, const char *what) {
  char name[256];
  if (failures++ < 30) print_error("%s: %s\n", duel_case_name(c, name), what);
}

// The case on CUDA; in every order the bits of the first. out: to be freed.
static bool run_in_all_orders(const duel_case *c, const duel_ref *in, const duel_ref *want, duel_ref *out) {
  const duel_case_mode mode = {0};
  for (int k = 0; k < ORDERS; k++) {
    duel_ref again[DUEL_MAX_OUT] = {{0}};
    if (set_order) set_order(orders[k]);
    const duel_status status = duel_case_run(c, cuda, cuda_device, mode, in, want, k ? again : out);
    if (status != DUEL_OK) complain(c, duel_last_error());
    for (int i = 0; k && status == DUEL_OK && i < duel_case_outputs(c); i++)
      if (!duel_same_bits(&again[i], &out[i])) complain(c, orders[k]);
    for (int i = 0; i < DUEL_MAX_OUT; i++) duel_ref_free(&again[i]);
    if (status != DUEL_OK) return false;
  }
  return true;
}

static void compare(const duel_case *c, const duel_ref *got, const duel_ref *want, duel_tolerance tolerance,
                    const char *with) {
  char text[300];
  for (int i = 0; i < duel_case_outputs(c); i++) {
    const duel_comparison r = duel_compare(&got[i], &want[i], DUEL_F32, tolerance);
    if (r.ok) continue;
    snprintf(text, sizeof text, "output %d: nmse %.3g; element %lld is %.9g, %s has %.9g", i, r.nmse, (long long)r.at,
             got[i].data[r.at], with, want[i].data[r.at]);
    complain(c, text);
  }
}

static void check_case(const duel_case *c, bool integer) {
  duel_ref in[DUEL_CASE_MAX_IN] = {{0}}, want[DUEL_MAX_OUT] = {{0}}, out[DUEL_MAX_OUT] = {{0}},
           cpu[DUEL_MAX_OUT] = {{0}};
  for (int i = 0; i < c->n_in; i++) in[i] = duel_case_fill(c, i, integer, integer ? 2 : 1);
  if (integer)
    duel_case_expect(c, in, want);
  else
    duel_case_shapes(c, want);
  if (run_in_all_orders(c, in, want, out)) {
    if (integer) {
      compare(c, out, want, (duel_tolerance){0}, "the oracle");
    } else if (duel_case_run(c, &duel_cpu_backend, cpu_device, (duel_case_mode){0}, in, want, cpu) != DUEL_OK) {
      complain(c, duel_last_error());
    } else {
      const duel_tolerance near = {1e-7, 1e30, 1e30, NULL}; // each element is the oracle's business (test_ops_oracle)
      compare(c, out, cpu, duel_rule_of(c->op).same ? (duel_tolerance){0} : near, "the CPU");
    }
  }
  for (int i = 0; i < DUEL_CASE_MAX_IN; i++) duel_ref_free(&in[i]);
  for (int i = 0; i < DUEL_MAX_OUT; i++) {
    duel_ref_free(&want[i]);
    duel_ref_free(&out[i]);
    duel_ref_free(&cpu[i]);
  }
}

static void check_all(bool integer) {
  int n, run = 0;
  const duel_case *cases = duel_cases(&n);
  failures = 0;
  for (int i = 0; i < n; i++) {
    if (integer && !duel_case_is_exact(&cases[i])) continue;
    check_case(&cases[i], integer);
    run++;
  }
  print_message("%d cases, each %d times, %d failures\n", run, ORDERS, failures);
  assert_true(run > 100);
  assert_int_equal(failures, 0);
}

static void test_against_the_cpu(void **state) {
  (void)state;
  check_all(false);
}

static void test_small_integers(void **state) {
  (void)state;
  check_all(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_the_cpu), cmocka_unit_test(test_small_integers)};
  return cmocka_run_group_tests_name("CUDA ops", tests, open_both, close_both);
}
