// Rewrites change what a graph computes by rounding only. Every fused op against its own decomposition, which is its
// specification, and against what fusion makes of that decomposition again; then a whole training step under the
// rewrites, against the oracle's reading of the graph as it was built.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/entry.h"
#include "mini_gan.h"
#include "run_case.h"

static duel_backend *open_backend(const duel_backend_api *api) {
  duel_backend *b;
  if (api->open(&b, &(duel_backend_options){.threads = 1, .precision = "fp32"}) != DUEL_OK)
    fail_msg("%s", duel_last_error());
  return b;
}

static void free_all(duel_ref *t, int n) {
  for (int i = 0; i < n; i++) duel_ref_free(&t[i]);
}

// ---- one op
// Both ways of computing owe the oracle one tolerance, so they owe each other two.
static int compare_ways(const duel_case *c, const duel_backend_api *api, duel_backend *b, unsigned rewrites,
                        int64_t *n) {
  duel_ref in[DUEL_CASE_MAX_IN] = {{0}}, want[DUEL_MAX_OUT] = {{0}}, fused[DUEL_MAX_OUT], other[DUEL_MAX_OUT] = {{0}};
  duel_ref more[DUEL_MAX_OUT] = {{0}};
  char name[256];
  int failures = 0;
  for (int i = 0; i < c->n_in; i++) in[i] = duel_case_fill(c, i, false, 4);
  if (duel_has_foreign_products(api)) {
    duel_case_expect(c, in, want);
    duel_case_product_error(c, in, want, more);
  } else {
    duel_case_shapes(c, want);
  }
  duel_status status = duel_case_run(c, api, b, (duel_case_mode){0}, in, want, fused);
  if (status == DUEL_OK)
    status =
        duel_case_run(c, api, b, (duel_case_mode){.rig = {.rewrites = rewrites}, .copy_inputs = true}, in, want, other);
  if (status != DUEL_OK) {
    print_error("%s: %s, rewrites %#x: %s\n", api->name, duel_case_name(c, name), rewrites, duel_last_error());
    failures++;
  }
  for (int i = 0; status == DUEL_OK && i < duel_case_outputs(c); i++) {
    duel_tolerance tol = duel_case_tolerance(c, i, api->real);
    tol.rel *= 2;
    tol.abs *= 2;
    for (int64_t at = 0; at < more[i].count; at++) more[i].data[at] *= 2;
    tol.more = more[i].data;
    const duel_comparison r = duel_compare(&fused[i], &other[i], api->real, tol);
    *n += want[i].count;
    if (r.ok) continue;
    print_error("%s: %s, rewrites %#x: output %d: nmse %.3g, element %lld is %.17g, by primitives %.17g\n", api->name,
                duel_case_name(c, name), rewrites, i, r.nmse, (long long)r.at, fused[i].data[r.at],
                other[i].data[r.at]);
    failures++;
  }
  free_all(in, DUEL_CASE_MAX_IN);
  free_all(want, DUEL_MAX_OUT);
  free_all(more, DUEL_MAX_OUT);
  free_all(fused, DUEL_MAX_OUT);
  free_all(other, DUEL_MAX_OUT);
  return failures;
}

static void check_fused_ops(const duel_backend_api *api) {
  static const unsigned rewrites[] = {DUEL_REWRITE_EXPAND, DUEL_REWRITE_EXPAND | DUEL_REWRITE_ALL};
  int n, run[DUEL_OP_COUNT] = {0}, cases = 0, failures = 0;
  int64_t numbers = 0;
  const duel_case *list = duel_cases(&n);
  duel_backend *b = open_backend(api);
  for (int i = 0; i < n; i++) {
    if (!duel_op_records[list[i].op]->expand) continue;
    for (int k = 0; k < 2; k++) failures += compare_ways(&list[i], api, b, rewrites[k], &numbers);
    run[list[i].op]++;
    cases++;
  }
  api->close(b);
  for (int op = 0; op < DUEL_OP_COUNT; op++)
    if (duel_op_records[op]->expand && !run[op]) {
      print_error("%s: no case\n", duel_op_name((duel_op)op));
      failures++;
    }
  print_message("%s: %d cases of fused ops, %lld numbers compared\n", api->name, cases, (long long)numbers);
  assert_true(numbers > 0);
  assert_int_equal(failures, 0);
}

static void test_fused_ops_float32(void **state) {
  (void)state;
  for (int i = 0; i < duel_test_backends_n; i++) check_fused_ops(duel_test_backends[i]);
}

static void test_fused_ops_float64(void **state) {
  (void)state;
  check_fused_ops(&duel_cpu_f64_backend);
}

// ---- a whole step
static duel_ref content_of(const mini_gan *m, int var) {
  static const double adam[] = {0.01, 1.5, 1e-8, 0.99, 0.5, 0.5, 0.9, 0.1};
  const duel_var *v = &m->vars.var[var];
  duel_ref t = duel_ref_new(v->dtype, v->shape);
  for (int64_t i = 0; i < t.count; i++) {
    const double u = duel_test_uniform((uint32_t)var + 1, (uint32_t)i);
    t.data[i] = var == m->key                ? (double)(i < 3 ? 1234567 * (i + 1) : 0)
                : var == m->index            ? (double)(7 * i % 50)
                : var == m->coef             ? adam[i % 8]
                : v->dtype == DUEL_U8        ? floor(127.5 + 127.5 * u)
                : v->arena == DUEL_ARENA_OPT ? 0.5 + 0.4 * u // squares of gradients so far: far from 0, no amplifying
                                             : 0.7 * u;
    if (v->dtype == DUEL_F32) t.data[i] = (double)(float)t.data[i];
  }
  return t;
}

// What every variable holds after the step: the newest version, else its contents.
static duel_ref newest(const duel_graph *g, int var, const duel_ref *value, const duel_ref *content) {
  const bool touched = var < g->n_latest && g->latest[var] != DUEL_NONE;
  return touched ? value[g->latest[var]] : content[var];
}

// Runs the step and compares every variable with want. got: the variables, to be freed.
static int run_step(const mini_gan *m, const duel_backend_api *api, duel_backend *b, duel_rig_mode mode,
                    const duel_ref *content, const duel_ref *want, double tol, duel_ref *got) {
  duel_rig r = {0};
  int failures = 0;
  duel_graph *g = mini_gan_step(m);
  duel_status status = g ? duel_rig_adopt(&r, api, b, &m->vars, g) : DUEL_ERR_INTERNAL;
  if (status == DUEL_OK) status = duel_rig_start(&r, mode);
  for (int i = 0; status == DUEL_OK && i < m->vars.n; i++) duel_rig_set(&r, i, content[i].data);
  if (status == DUEL_OK) status = duel_rig_run(&r);
  if (status != DUEL_OK) {
    print_error("%s, rewrites %#x: %s\n", api->name, mode.rewrites, duel_last_error());
    failures++;
  }
  for (int i = 0; status == DUEL_OK && i < m->vars.n; i++) {
    if (!r.writable[i]) continue;
    got[i] = duel_ref_new(api->real, m->vars.var[i].shape);
    duel_rig_get(&r, i, got[i].data);
    const duel_comparison c =
        duel_compare(&got[i], &want[i], api->real, (duel_tolerance){tol * tol * 100, tol, tol, NULL});
    if (c.ok) continue;
    print_error("%s, rewrites %#x: %s: nmse %.3g, element %lld is %.17g, not %.17g\n", api->name, mode.rewrites,
                m->vars.var[i].name, c.nmse, (long long)c.at, got[i].data[c.at], want[i].data[c.at]);
    failures++;
  }
  if (g) duel_rig_close(&r);
  return failures;
}

static void check_step(const duel_backend_api *api) {
  static const unsigned rewrites[] = {0,
                                      DUEL_REWRITE_ALL,
                                      DUEL_REWRITE_EXPAND,
                                      DUEL_REWRITE_EXPAND | DUEL_REWRITE_ALL,
                                      DUEL_REWRITE_FUSE,
                                      DUEL_REWRITE_CSE | DUEL_REWRITE_SIMPLIFY};
  mini_gan m = mini_gan_small(api->real);
  int failures = 0, runs = 0;
  int64_t numbers = 0;
  duel_backend *b = open_backend(api);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_graph *g = mini_gan_step(&m);
  if (!g) fail_msg("%s", duel_last_error());
  const int n = m.vars.n;
  duel_ref *content = test_calloc((size_t)n, sizeof *content), *want = test_calloc((size_t)n, sizeof *want);
  duel_ref *first = test_calloc((size_t)n, sizeof *first), *got = test_calloc((size_t)n, sizeof *got);
  duel_ref *value = test_calloc((size_t)g->n_values, sizeof *value);
  for (int i = 0; i < n; i++) content[i] = content_of(&m, i);
  duel_ref_graph(g, content, value);
  for (int i = 0; i < n; i++) want[i] = newest(g, i, value, content);
  // Against the oracle, whose normal draws are not rounded to float; then, in double, all ways against the first.
  failures += run_step(&m, api, b, (duel_rig_mode){0, true}, content, want, api->real == DUEL_F32 ? 2e-5 : 1e-8, first);
  for (size_t k = 0; failures == 0 && k < sizeof rewrites / sizeof *rewrites; k++)
    for (int no_reuse = 0; no_reuse < 2; no_reuse++, runs++) {
      const duel_rig_mode mode = {rewrites[k], no_reuse};
      failures += run_step(&m, api, b, mode, content, first, api->real == DUEL_F32 ? 1e-5 : 1e-13, got);
      for (int i = 0; i < n; i++) numbers += got[i].count;
      free_all(got, n);
    }
  print_message("%s: a step of %d nodes in %d ways, %lld numbers compared\n", api->name, g->n_nodes, runs,
                (long long)numbers);
  free_all(content, n);
  free_all(first, n);
  free_all(value, g->n_values);
  test_free(content);
  test_free(want);
  test_free(first);
  test_free(got);
  test_free(value);
  duel_graph_close(g);
  mini_gan_clear(&m);
  api->close(b);
  assert_true(numbers > 0);
  assert_int_equal(failures, 0);
}

static void test_step_float32(void **state) {
  (void)state;
  for (int i = 0; i < duel_test_backends_n; i++) check_step(duel_test_backends[i]);
}

static void test_step_float64(void **state) {
  (void)state;
  check_step(&duel_cpu_f64_backend);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fused_ops_float32),
      cmocka_unit_test(test_fused_ops_float64),
      cmocka_unit_test(test_step_float32),
      cmocka_unit_test(test_step_float64),
  };
  return cmocka_run_group_tests_name("fused ops and rewrites", tests, NULL, NULL);
}
