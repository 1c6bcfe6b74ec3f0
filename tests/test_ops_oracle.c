// Every case of the list on every backend against the float64 oracle: in float32, in memory where nothing is shared and
// in memory as in production (storage reused, inputs overwritten); and the same kernels in double, which must then be
// right to the last digits. Each case runs twice and must repeat its bits.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/entry.h"
#include "run_case.h"

// ---- one pass over the list serves all tests: the oracle is slow
typedef struct tally {
  const duel_backend_api *api;
  duel_case_mode mode;
  duel_backend *backend;
  int run[DUEL_OP_COUNT];
  double nmse[DUEL_OP_COUNT], worst[DUEL_OP_COUNT];
  int64_t compared;
  int cases, failures;
} tally;

enum { MODES = 2, MAX_TALLIES = 16 };
static tally tallies[MAX_TALLIES]; // per backend: guarded, shared memory; the double kernels last
static int n_tallies;
static int untrusted;

static void report(tally *t, const duel_case *c, const char *what) {
  char name[256];
  if (t->failures++ < 30) print_error("%s: %s: %s\n", t->api->name, duel_case_name(c, name), what);
}

static void check_case(tally *t, const duel_case *c, const duel_ref *in, const duel_ref *want, const duel_ref *more) {
  duel_ref out[2][DUEL_MAX_OUT] = {{{0}}};
  char text[400];
  duel_status status = DUEL_OK;
  for (int i = 0; status == DUEL_OK && i < 2; i++)
    status = duel_case_run(c, t->api, t->backend, t->mode, in, want, out[i]);
  if (status != DUEL_OK) report(t, c, duel_last_error());
  for (int i = 0; status == DUEL_OK && i < duel_case_outputs(c); i++) {
    duel_tolerance tolerance = duel_case_tolerance(c, i, t->api->real);
    if (duel_has_foreign_products(t->api)) tolerance.more = more[i].data;
    const duel_comparison r = duel_compare(&out[0][i], &want[i], t->api->real, tolerance);
    t->nmse[c->op] = fmax(t->nmse[c->op], r.nmse);
    t->worst[c->op] = fmax(t->worst[c->op], r.worst);
    t->compared += want[i].count;
    if (!r.ok) {
      snprintf(text, sizeof text, "output %d: nmse %.3g, element %lld is %.17g, not %.17g (%.3g × the tolerance)", i,
               r.nmse, (long long)r.at, out[0][i].data[r.at], want[i].data[r.at], r.worst);
      report(t, c, text);
    }
    if (!duel_same_bits(&out[0][i], &out[1][i])) report(t, c, "a second run has other bits");
  }
  t->run[c->op]++;
  t->cases++;
  for (int i = 0; i < DUEL_MAX_OUT; i++) {
    duel_ref_free(&out[0][i]);
    duel_ref_free(&out[1][i]);
  }
}

// A test that expects nothing but zeros proves little.
static bool trusted(const duel_case *c, const duel_ref *want) {
  int64_t zeros = 0;
  for (int64_t i = 0; i < want->count; i++) zeros += want->data[i] == 0;
  return c->zeros || duel_case_is_extreme(c) || want->count < 15 || zeros <= want->count / 2;
}

static int run_all(void **state) {
  (void)state;
  static const duel_case_mode modes[MODES] = {{.rig = {.no_reuse = true}}, {.copy_inputs = true}};
  for (int i = 0; i <= duel_test_backends_n; i++)
    for (int k = 0; k < MODES; k++) {
      tally *t = &tallies[n_tallies++];
      t->api = i < duel_test_backends_n ? duel_test_backends[i] : &duel_cpu_f64_backend;
      t->mode = modes[k];
      if (t->api->open(&t->backend, &(duel_backend_options){.threads = 1, .precision = "fp32"}) != DUEL_OK) {
        print_error("%s: %s\n", t->api->name, duel_last_error());
        return -1;
      }
    }
  bool foreign = false;
  for (int i = 0; i < n_tallies; i++) foreign |= duel_has_foreign_products(tallies[i].api);
  int n;
  const duel_case *cases = duel_cases(&n);
  for (int i = 0; i < n; i++) {
    duel_ref in[DUEL_CASE_MAX_IN] = {{0}}, want[DUEL_MAX_OUT] = {{0}}, more[DUEL_MAX_OUT] = {{0}};
    for (int k = 0; k < cases[i].n_in; k++) in[k] = duel_case_fill(&cases[i], k, false, 1);
    duel_case_expect(&cases[i], in, want);
    for (int k = 0; k < duel_case_outputs(&cases[i]); k++)
      if (!trusted(&cases[i], &want[k])) {
        char name[256];
        print_error("%s: most of what output %d should be is zero\n", duel_case_name(&cases[i], name), k);
        untrusted++;
      }
    if (foreign) duel_case_product_error(&cases[i], in, want, more);
    for (int k = 0; k < n_tallies; k++) check_case(&tallies[k], &cases[i], in, want, more);
    for (int k = 0; k < DUEL_CASE_MAX_IN; k++) duel_ref_free(&in[k]);
    for (int k = 0; k < DUEL_MAX_OUT; k++) duel_ref_free(&want[k]);
    for (int k = 0; k < DUEL_MAX_OUT; k++) duel_ref_free(&more[k]);
  }
  for (int i = 0; i < n_tallies; i++) tallies[i].api->close(tallies[i].backend);
  return 0;
}

static void judge(const tally *t) {
  print_message("%-16s cases  worst nmse  worst error ÷ tolerance\n", t->api->name);
  int missing = 0;
  for (int op = 0; op < DUEL_OP_COUNT; op++) {
    print_message("%-16s %5d  %10.2g  %10.2g%s\n", duel_op_name((duel_op)op), t->run[op], t->nmse[op], t->worst[op],
                  t->run[op] ? "" : "   no case");
    missing += !t->run[op];
  }
  print_message("%s, %s: %d cases, each twice; %lld numbers compared; %d failures\n", t->api->name,
                t->mode.rig.no_reuse ? "each buffer by itself" : "memory shared", t->cases, (long long)t->compared,
                t->failures);
  assert_int_equal(missing, 0);
  assert_true(t->compared > 0);
  assert_int_equal(t->failures, 0);
}

static void test_float32(void **state) {
  (void)state;
  for (int i = 0; i < duel_test_backends_n; i++) judge(&tallies[MODES * i]);
}

static void test_float32_shared_memory(void **state) {
  (void)state;
  for (int i = 0; i < duel_test_backends_n; i++) judge(&tallies[MODES * i + 1]);
}

static void test_float64(void **state) {
  (void)state;
  judge(&tallies[MODES * duel_test_backends_n]);
}

static void test_float64_shared_memory(void **state) {
  (void)state;
  judge(&tallies[MODES * duel_test_backends_n + 1]);
}

static void test_cases_are_trusted(void **state) {
  (void)state;
  assert_int_equal(untrusted, 0);
}

// What foreign products may be off by is still far from what tf32 makes of them. (On a GPU cuBLAS may have no such
// kernel for a shape.)
static bool tells_tf32(const duel_case *c, const duel_backend_api *api, duel_backend *b) {
  duel_ref in[DUEL_CASE_MAX_IN] = {{0}}, want[DUEL_MAX_OUT] = {{0}}, more[DUEL_MAX_OUT], out[DUEL_MAX_OUT];
  char name[256];
  for (int k = 0; k < c->n_in; k++) in[k] = duel_case_fill(c, k, false, 1);
  duel_case_expect(c, in, want);
  duel_case_product_error(c, in, want, more);
  if (duel_case_run(c, api, b, (duel_case_mode){0}, in, want, out) != DUEL_OK) fail_msg("%s", duel_last_error());
  duel_tolerance tolerance = duel_case_tolerance(c, 0, api->real);
  tolerance.more = more[0].data;
  const duel_comparison r = duel_compare(&out[0], &want[0], api->real, tolerance);
  print_message("in tf32 %.1f × the tolerance of fp32: %s\n", r.worst, duel_case_name(c, name));
  for (int k = 0; k < DUEL_CASE_MAX_IN; k++) duel_ref_free(&in[k]);
  for (int k = 0; k < DUEL_MAX_OUT; k++) {
    duel_ref_free(&want[k]);
    duel_ref_free(&more[k]);
    duel_ref_free(&out[k]);
  }
  return r.worst > 2;
}

static void test_tolerance_tells_tf32(void **state) {
  (void)state;
  const duel_backend_api *api = NULL;
  for (int i = 0; i < duel_test_backends_n; i++)
    if (duel_has_foreign_products(duel_test_backends[i])) api = duel_test_backends[i];
  if (!api) skip();
  int n, asked = 0, told = 0;
  duel_backend *b;
  assert_int_equal(api->open(&b, &(duel_backend_options){.precision = "tf32"}), DUEL_OK);
  const bool emulated = strstr(api->describe(b), "Emulated") != NULL;
  const duel_case *cases = duel_cases(&n);
  for (int i = 0; emulated && i < n; i++)
    if (cases[i].op == DUEL_OP_DENSE && !cases[i].attr.matmul.trans_a && cases[i].in[0].shape.dim[1] >= 500 &&
        cases[i].in[1].shape.dim[cases[i].attr.matmul.trans_b ? 0 : 1] > 1) { // a column is not cuBLAS's
      asked++;
      told += tells_tf32(&cases[i], api, b);
    }
  api->close(b);
  if (!emulated || (!asked && getenv("DUEL_TEST_MOST"))) skip(); // these are among the largest
  assert_true(asked > 0);
  assert_int_equal(told, asked);
}

// The oracle's own foundation: vectors of Random123, and a product and a normalization by hand.
static void test_oracle(void **state) {
  (void)state;
  static const uint32_t known[][10] = {
      // counter, key, words
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
       0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
       0x24126ea1},
  };
  for (int i = 0; i < 3; i++) {
    uint32_t words[4];
    duel_ref_philox(known[i], known[i] + 4, words);
    assert_memory_equal(words, known[i] + 6, sizeof words);
  }
  double a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, -1, 2, 1, 1};
  duel_ref in[2] = {{DUEL_F64, {2, {2, 3}}, 6, a}, {DUEL_F64, {2, {2, 3}}, 6, b}}, out[DUEL_MAX_OUT];
  const duel_attr nt = {.matmul = {.trans_b = 1}};
  assert_true(duel_ref_op(DUEL_OP_MATMUL, &nt, 2, in, NULL, out));
  const double product[] = {-2, 7, -2, 19};
  assert_memory_equal(out[0].data, product, sizeof product);
  duel_ref_free(&out[0]);
}

// Of torch.nn.functional.cross_entropy(x, y, label_smoothing=s) and its gradient, from the formula of its documentation
// with sums by Python's math.fsum. A row that holds 1e30 twice shares its probability between the two.
static void test_oracle_of_softmax(void **state) {
  (void)state;
  static const double loss[] = {1.3008590754231473, 1.305025742089814};
  static const double grad[2][6] = {{0.04501528658519022, 0.12236423552739879, -0.16737952211258916,
                                     -0.4442712644748986, 0.2497588649066075, 0.19451239956829114},
                                    {0.02834861991852355, 0.10569756886073213, -0.13404618877925584,
                                     -0.4109379311415653, 0.23309219823994085, 0.17784573290162448}};
  double x[] = {1, 2, 3, -1, 0.5, 0.25}, y[] = {2, 0}, one[] = {1}, huge[] = {1e30, 0, 1e30};
  duel_ref in[3] = {{DUEL_F64, {2, {2, 3}}, 6, x}, {DUEL_I32, {1, {2}}, 2, y}, {DUEL_F64, {0, {0}}, 1, one}};
  duel_ref out[DUEL_MAX_OUT];
  for (int s = 0; s < 2; s++) {
    const duel_attr attr = {.softmax = {.smoothing = s * 0.1}};
    assert_true(duel_ref_op(DUEL_OP_SOFTMAX_CE, &attr, 2, in, NULL, out));
    assert_true(fabs(out[0].data[0] - loss[s]) < 1e-15);
    duel_ref_free(&out[0]);
    assert_true(duel_ref_op(DUEL_OP_SOFTMAX_CE_GRAD, &attr, 3, in, NULL, out));
    for (int i = 0; i < 6; i++) assert_true(fabs(out[0].data[i] - grad[s][i]) < 1e-15);
    duel_ref_free(&out[0]);
  }
  assert_true(duel_ref_op(DUEL_OP_HITS, NULL, 2, in, NULL, out));
  assert_true(out[0].data[0] == 1);
  duel_ref_free(&out[0]);
  in[0] = (duel_ref){DUEL_F64, {2, {1, 3}}, 3, huge};
  in[1] = (duel_ref){DUEL_I32, {1, {1}}, 1, y};
  assert_true(duel_ref_op(DUEL_OP_SOFTMAX_CE_GRAD, &(duel_attr){.softmax = {0}}, 3, in, NULL, out));
  assert_true(out[0].data[0] == 0.5 && out[0].data[1] == 0 && out[0].data[2] == -0.5);
  duel_ref_free(&out[0]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_oracle),
      cmocka_unit_test(test_oracle_of_softmax),
      cmocka_unit_test(test_cases_are_trusted),
      cmocka_unit_test(test_float32),
      cmocka_unit_test(test_float32_shared_memory),
      cmocka_unit_test(test_float64),
      cmocka_unit_test(test_float64_shared_memory),
      cmocka_unit_test(test_tolerance_tells_tf32),
  };
  return cmocka_run_group_tests_name("ops against the oracle", tests, run_all, NULL);
}
