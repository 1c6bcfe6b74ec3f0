// Products with factors in bf16 on the CPU: every case of an op that multiplies, at the level with the CPU's own
// instructions (where it has them) and without them.
//
// A product rounds its first two inputs and nothing else, so with inputs that bf16 can hold it owes the oracle what
// float32 owes, and small integers come out exactly; with others it must yield the bits of rounding them first. Threads
// and levels do not show in any bit.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/cpu.h"
#include "cpu/entry.h"
#include "run_case.h"

enum { MAX_SETUPS = 3 };

typedef struct setup {
  duel_backend *backend;
  char name[160];
} setup;

static setup setups[MAX_SETUPS];
static int n_setups;
static duel_backend *plain; // float32, the first setup's level

static void add(const char *isa, int threads) {
  setup *s = &setups[n_setups];
  setenv("DUEL_CPU_ISA", isa, 1);
  if (duel_cpu_backend.open(&s->backend, &(duel_backend_options){.threads = threads, .precision = "bf16"}) == DUEL_OK) {
    snprintf(s->name, sizeof s->name, "%s", duel_cpu_backend.describe(s->backend));
    print_message("%s\n", s->name);
    n_setups++;
  }
  unsetenv("DUEL_CPU_ISA");
}

static int open_all(void **state) {
  (void)state;
  add("v3", 1);
  add("v3", 3);
  if (duel_cpu_has_bf16()) add("v4", 2);
  setenv("DUEL_CPU_ISA", "v3", 1);
  const duel_status status = duel_cpu_backend.open(&plain, &(duel_backend_options){.threads = 1});
  unsetenv("DUEL_CPU_ISA");
  return n_setups == 0 || status == DUEL_OK ? 0 : -1;
}

static int close_all(void **state) {
  (void)state;
  for (int i = 0; i < n_setups; i++) duel_cpu_backend.close(setups[i].backend);
  if (n_setups > 0) duel_cpu_backend.close(plain);
  return 0;
}

static bool multiplies(const duel_case *c) { // has a kernel of its own in bf16
  const bool own = duel_cpu_kernel_of(setups[0].backend, c->op) != duel_cpu_kernel_of(plain, c->op);
  assert_int_equal(own, duel_op_records[c->op]->kind == DUEL_KIND_PRODUCT);
  return own;
}

// To the nearest of 8 significant bits, ties to even: in double precision, from the definition.
static double to_bf16(double x) {
  if (x == 0 || !isfinite(x)) return x;
  if (fabs(x) < 0x1p-126) return copysign(0, x);
  int exponent;
  const double significand = frexp(x, &exponent), y = ldexp(nearbyint(ldexp(significand, 8)), exponent - 8);
  return fabs(y) >= 0x1p128 ? copysign(INFINITY, y) : y;
}

static void free_all(duel_ref *t, int n) {
  for (int i = 0; i < n; i++) duel_ref_free(&t[i]);
}

typedef struct tally {
  int cases, failures;
  int64_t numbers;
  double nmse, worst;
} tally;

static void complain(tally *t, const duel_case *c, const char *where, const char *what) {
  char name[256];
  if (t->failures++ < 30) print_error("%s: %s: %s\n", where, duel_case_name(c, name), what);
}

static bool run(tally *t, const duel_case *c, const setup *s, const duel_ref *in, const duel_ref *want, duel_ref *out) {
  if (duel_case_run(c, &duel_cpu_backend, s->backend, (duel_case_mode){.rig = {.no_reuse = true}}, in, want, out) ==
      DUEL_OK)
    return true;
  complain(t, c, s->name, duel_last_error());
  return false;
}

static void fill(const duel_case *c, bool integer, bool rounded, duel_ref *in) {
  for (int i = 0; i < c->n_in; i++) {
    in[i] = duel_case_fill(c, i, integer, 5);
    for (int64_t k = 0; rounded && i < 2 && k < in[i].count; k++) in[i].data[k] = to_bf16(in[i].data[k]);
  }
}

// ---- against the oracle, with factors that bf16 holds
static void check_oracle(tally *t, const duel_case *c, bool integer) {
  duel_ref in[DUEL_CASE_MAX_IN] = {{0}}, want[DUEL_MAX_OUT] = {{0}}, out[DUEL_MAX_OUT] = {{0}};
  char text[200];
  fill(c, integer, true, in);
  duel_case_expect(c, in, want);
  for (int s = 0; s < n_setups; s++) {
    if (run(t, c, &setups[s], in, want, out))
      for (int i = 0; i < duel_case_outputs(c); i++) {
        const duel_tolerance tol = integer ? (duel_tolerance){0} : duel_case_tolerance(c, i, DUEL_F32);
        const duel_comparison r = duel_compare(&out[i], &want[i], DUEL_F32, tol);
        t->numbers += want[i].count;
        t->nmse = fmax(t->nmse, r.nmse);
        t->worst = fmax(t->worst, r.worst);
        if (r.ok) continue;
        snprintf(text, sizeof text, "output %d: nmse %.3g, element %lld is %.9g, not %.9g (%.3g × the tolerance)", i,
                 r.nmse, (long long)r.at, out[i].data[r.at], want[i].data[r.at], r.worst);
        complain(t, c, setups[s].name, text);
      }
    free_all(out, DUEL_MAX_OUT);
  }
  t->cases++;
  free_all(in, DUEL_CASE_MAX_IN);
  free_all(want, DUEL_MAX_OUT);
}

static void against_the_oracle(bool integer) {
  tally t = {0};
  int n;
  const duel_case *cases = duel_cases(&n);
  if (n_setups == 0) skip(); // no x86-64-v3
  for (int i = 0; i < n; i++)
    if (multiplies(&cases[i]) && (!integer || duel_case_is_exact(&cases[i]))) check_oracle(&t, &cases[i], integer);
  print_message("%d cases, %lld numbers, nmse %.2g, %.2g of the tolerance; %d failures\n", t.cases,
                (long long)t.numbers, t.nmse, t.worst, t.failures);
  assert_true(t.numbers > 0);
  assert_int_equal(t.failures, 0);
}

static void test_small_integers(void **state) {
  (void)state;
  against_the_oracle(true);
}

static void test_oracle(void **state) {
  (void)state;
  against_the_oracle(false);
}

// ---- bits
// The lower half of a float reads as NaN in bf16, so that what was not rounded shows.
static double trapped(double x) {
  float f = (float)x;
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  bits = (bits & 0xffff0000) | 0x7fc1;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static void check_bits(tally *t, const duel_case *c) {
  duel_ref in[2][DUEL_CASE_MAX_IN] = {{{0}}}, want[DUEL_MAX_OUT] = {{0}};
  duel_ref out[MAX_SETUPS][DUEL_MAX_OUT] = {{{0}}}, rounded[DUEL_MAX_OUT] = {{0}};
  bool ran = true;
  fill(c, false, false, in[0]);
  fill(c, false, true, in[1]);
  for (int i = 0; i < 2; i++)
    for (int64_t k = 0; k < in[0][i].count; k += 2) {
      in[0][i].data[k] = trapped(in[0][i].data[k]);
      in[1][i].data[k] = to_bf16(in[0][i].data[k]);
    }
  duel_case_shapes(c, want);
  for (int s = 0; s < n_setups; s++) ran = run(t, c, &setups[s], in[0], want, out[s]) && ran;
  ran = run(t, c, &setups[0], in[1], want, rounded) && ran;
  for (int i = 0; ran && i < duel_case_outputs(c); i++) {
    for (int s = 1; s < n_setups; s++)
      if (!duel_same_bits(&out[s][i], &out[0][i])) complain(t, c, setups[s].name, "not the bits of the first setup");
    if (!duel_same_bits(&rounded[i], &out[0][i])) complain(t, c, setups[0].name, "not the bits of rounded factors");
    t->numbers += want[i].count;
  }
  t->cases++;
  for (int i = 0; i < 2; i++) free_all(in[i], DUEL_CASE_MAX_IN);
  for (int s = 0; s < MAX_SETUPS; s++) free_all(out[s], DUEL_MAX_OUT);
  free_all(rounded, DUEL_MAX_OUT);
  free_all(want, DUEL_MAX_OUT);
}

static void test_bits(void **state) {
  (void)state;
  tally t = {0};
  int n;
  const duel_case *cases = duel_cases(&n);
  if (n_setups == 0) skip();
  for (int i = 0; i < n; i++)
    if (multiplies(&cases[i])) check_bits(&t, &cases[i]);
  print_message("%d cases, %lld numbers on %d setups; %d failures\n", t.cases, (long long)t.numbers, n_setups,
                t.failures);
  assert_true(t.numbers > 0);
  assert_int_equal(t.failures, 0);
}

// ---- rounding: all kinds of numbers, each multiplied by 1
static void test_rounding(void **state) {
  (void)state;
  enum { N = 1 << 16 };
  if (n_setups == 0) skip();
  float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
  assert_true(x && y);
  for (uint32_t i = 0; i < N; i++) {
    const uint32_t near[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x12345, 0x18000};
    const uint32_t bits = (i << 16) + near[i % 8]; // around every number of bf16
    memcpy(&x[i], &bits, sizeof bits);
  }
  for (int s = 0; s < n_setups; s++) {
    float one = 1;
    duel_operand in[2] = {{x, DUEL_F32, DUEL_SHAPE(N, 1)}, {&one, DUEL_F32, DUEL_SHAPE(1, 1)}};
    duel_operand out = {y, DUEL_F32, DUEL_SHAPE(N, 1)};
    const duel_attr attr = {0};
    duel_call call = {.op = DUEL_OP_MATMUL, .n_in = 2, .n_out = 1, .in = in, .out = &out, .attr = &attr};
    const int end = 1;
    void *program;
    assert_int_equal(duel_cpu_backend.prepare(setups[s].backend, &call, &end, 1, NULL, &program), DUEL_OK);
    assert_int_equal(duel_cpu_backend.run(setups[s].backend, program), DUEL_OK);
    duel_cpu_backend.release(setups[s].backend, program);
    for (int i = 0; i < N; i++) {
      const double want = to_bf16(x[i]);
      if (!(y[i] == want || (isnan(y[i]) && isnan(x[i]))))
        fail_msg("%s: %a is %a, not %a", setups[s].name, x[i], y[i], want);
    }
  }
  free(x), free(y);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_integers), cmocka_unit_test(test_oracle),
                                     cmocka_unit_test(test_bits), cmocka_unit_test(test_rounding)};
  return cmocka_run_group_tests_name("products in bf16", tests, open_all, close_all);
}
