// What the ends of a step take in: terms of a report, gaps of an optimizer's slab.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/rewrites/rewrites.h"
#include "small_graph.h"

// ---- reports
static int scalars;

static void report(int n, const duel_val *src, const duel_report_term *term) {
  duel_report(small_graph, duel_state(small_graph, scalars), n, src, term);
  small_rewrite(DUEL_REWRITE_ALL);
}

// The one report of the graph.
static const duel_node *the_report(void) {
  assert_int_equal(small_count(DUEL_OP_REPORT), 1);
  for (int i = 0; i < small_graph->n_nodes; i++)
    if (small_graph->node[i]->op == DUEL_OP_REPORT) return small_graph->node[i];
  return NULL;
}

static void check_term(int i, int scalar, int kind, double mul, double target) {
  const duel_report_term *t = &the_report()->attr.report.term[i];
  assert_int_equal(t->scalar, scalar);
  assert_int_equal(t->kind, kind);
  assert_float_equal(t->mul, mul, 1e-15);
  assert_float_equal(t->target, target, 0);
}

static void test_means_and_losses_become_terms(void **state) {
  (void)state;
  scalars = small_var(DUEL_ARENA_OUTPUT, "metrics", DUEL_SHAPE(3));
  duel_val x = small_input("x", DUEL_SHAPE(8, 1)), y = small_input("y", DUEL_SHAPE(4)),
           g = small_input("g", DUEL_SCALAR);
  const duel_val mean = duel_affine(small_graph, duel_mean(small_graph, x), 3, 0);
  const duel_val loss = duel_add(small_graph, duel_bce_logits(small_graph, y, 0.9), g);
  const duel_report_term term[] = {{2, DUEL_REPORT_SUM, 0.5, 0}, {0, DUEL_REPORT_SUM, 1, 0}};
  report(2, (duel_val[]){mean, loss}, term);
  const duel_node *n = the_report();
  assert_int_equal(n->n_in, 4);
  check_term(0, 2, DUEL_REPORT_SUM, 0.5 * 3 / 8, 0);
  check_term(1, 0, DUEL_REPORT_BCE, 0.25, 0.9);
  check_term(2, 0, DUEL_REPORT_SUM, 1, 0);
  static const duel_op gone[] = {DUEL_OP_REDUCE_SUM, DUEL_OP_AFFINE, DUEL_OP_ADD, DUEL_OP_BCE_LOGITS, DUEL_OP_RESHAPE};
  for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) assert_int_equal(small_count(gone[i]), 0);
}

// Two terms of one loss: both take it in, or, where one cannot, neither.
static void test_shared_inputs(void **state) {
  (void)state;
  scalars = small_var(DUEL_ARENA_OUTPUT, "scalars", DUEL_SHAPE(4));
  duel_val x = small_input("x", DUEL_SHAPE(8, 1)), y = small_input("y", DUEL_SHAPE(4)),
           z = small_input("z", DUEL_SHAPE(4));
  const duel_val loss = duel_affine(small_graph, duel_bce_logits(small_graph, y, 1), 3, 0);
  const duel_val mean = duel_mean(small_graph, x),
                 sum = duel_add(small_graph, duel_sum(small_graph, z), duel_mean(small_graph, z));
  const duel_report_term term[] = {{0, DUEL_REPORT_SUM, 0.5, 0}, {1, DUEL_REPORT_SUM, 1, 0},
                                   {2, DUEL_REPORT_SUM, 1, 0},   {3, DUEL_REPORT_SIGN, 1, 0},
                                   {2, DUEL_REPORT_SUM, 2, 0},   {3, DUEL_REPORT_SUM, 4, 0}};
  report(6, (duel_val[]){loss, loss, mean, mean, sum, sum}, term);
  check_term(0, 0, DUEL_REPORT_BCE, 0.5 * 3 / 4, 1);
  check_term(1, 1, DUEL_REPORT_BCE, 3.0 / 4, 1);
  check_term(2, 2, DUEL_REPORT_SUM, 1, 0); // its other term wants the sign of the mean
  assert_int_equal(small_count(DUEL_OP_BCE_LOGITS), 0);
  assert_int_equal(small_count(DUEL_OP_ADD), 1); // an addition would take a term more for each
}

// Who is read elsewhere stays; so does what no term can say, and what a writer has changed meanwhile.
static void test_what_stays(void **state) {
  (void)state;
  scalars = small_var(DUEL_ARENA_OUTPUT, "metrics", DUEL_SHAPE(4));
  const int p = small_var(DUEL_ARENA_PARAM, "p", DUEL_SHAPE(5));
  duel_val x = small_input("x", DUEL_SHAPE(8)), w = small_input("w", DUEL_SCALAR),
           big = small_input("big", DUEL_SHAPE(1 << 20));
  const duel_val shared = duel_mean(small_graph, x);
  small_keep(shared);
  const duel_val shifted = duel_affine(small_graph, duel_exp(small_graph, w), 2, 1);
  const duel_val old = duel_sum(small_graph, duel_state(small_graph, p)), large = duel_sum(small_graph, big);
  duel_ema(small_graph, duel_state(small_graph, p), duel_slice(small_graph, x, (int64_t[]){0}, DUEL_SHAPE(5)), w);
  const duel_report_term term[] = {
      {0, DUEL_REPORT_SUM, 1, 0}, {1, DUEL_REPORT_SUM, 1, 0}, {2, DUEL_REPORT_SUM, 1, 0}, {3, DUEL_REPORT_SUM, 1, 0}};
  report(4, (duel_val[]){shared, shifted, old, large}, term);
  assert_int_equal(small_count(DUEL_OP_REDUCE_SUM), 3);
  assert_int_equal(small_count(DUEL_OP_AFFINE), 2);
}

static void test_bad_reports(void **state) {
  (void)state;
  scalars = small_var(DUEL_ARENA_OUTPUT, "metrics", DUEL_SHAPE(2));
  const duel_val x = small_input("x", DUEL_SCALAR);
  duel_report(small_graph, duel_state(small_graph, scalars), 1, &x, &(duel_report_term){2, DUEL_REPORT_SUM, 1, 0});
  assert_int_equal(duel_graph_status(small_graph), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(), "report: term 0 is none: scalar 2 of 2, kind 0, 1, 0");
}

// ---- gaps
// An update of p [128] by gradients at 0 (3 elements) and 64 (10).
static void build_update(duel_val *flat, duel_val *squares) {
  const int p = small_var(DUEL_ARENA_PARAM, "p", DUEL_SHAPE(128)), m = small_var(DUEL_ARENA_OPT, "m", DUEL_SHAPE(128)),
            v = small_var(DUEL_ARENA_OPT, "v", DUEL_SHAPE(128));
  const duel_val coef = small_input("coef", DUEL_SHAPE(8));
  const duel_val a = duel_exp(small_graph, small_input("a", DUEL_SHAPE(3)));
  const duel_val b = duel_exp(small_graph, small_input("b", DUEL_SHAPE(10)));
  const duel_val zero = duel_constant(small_graph, DUEL_SHAPE(20), 0);
  duel_val out[4];
  *flat = duel_pack(small_graph, 3, (duel_val[]){a, b, zero}, (int64_t[]){0, 64, 100}, 128);
  duel_adam(small_graph, duel_state(small_graph, p), duel_state(small_graph, m), duel_state(small_graph, v), *flat,
            coef, out);
  *squares = out[3];
}

static const duel_node *one_of(duel_op op) {
  assert_int_equal(small_count(op), 1);
  for (int i = 0; i < small_graph->n_nodes; i++)
    if (small_graph->node[i]->op == op) return small_graph->node[i];
  return NULL;
}

static void test_nobody_fills_gaps_for_an_optimizer(void **state) {
  (void)state;
  duel_val flat, squares;
  build_update(&flat, &squares);
  small_keep(squares);
  small_rewrite(DUEL_REWRITE_ALL);
  const duel_node *pack = one_of(DUEL_OP_PACK), *adam = one_of(DUEL_OP_ADAM);
  assert_int_equal(pack->n_in, 2); // zeros need not be packed: their place is a gap
  assert_int_equal(pack->attr.pack.loose, 1);
  assert_int_equal(adam->attr.optim.gaps, 2);
  assert_memory_equal(adam->attr.optim.gap, ((int64_t[]){3, 64, 74, 128}), 4 * sizeof(int64_t));
  assert_int_equal(small_count(DUEL_OP_CONSTANT), 0);
}

static void test_a_slab_that_is_read_has_zeros(void **state) {
  (void)state;
  duel_val flat, squares;
  build_update(&flat, &squares);
  small_keep(flat);
  small_rewrite(DUEL_REWRITE_ALL);
  assert_int_equal(one_of(DUEL_OP_PACK)->attr.pack.loose, 0);
  assert_int_equal(one_of(DUEL_OP_ADAM)->attr.optim.gaps, 0);
}

static void test_bad_gaps(void **state) {
  (void)state;
  static const int64_t gap[][4] = {{3, 3, 5, 6}, {3, 9, 8, 10}, {0, 1, 8, 129}, {-1, 1, 8, 9}};
  for (int i = 0; i < 4; i++) {
    duel_graph *g;
    assert_int_equal(duel_graph_open(&g, small_graph->vars, DUEL_F32), DUEL_OK);
    char name[3][8];
    duel_val in[5];
    for (int k = 0; k < 3; k++) {
      snprintf(name[k], sizeof name[k], "%d.%d", i, k);
      in[k] = duel_state(g, small_var(k ? DUEL_ARENA_OPT : DUEL_ARENA_PARAM, name[k], DUEL_SHAPE(128)));
    }
    in[3] = duel_constant(g, DUEL_SHAPE(128), 1);
    in[4] = duel_constant(g, DUEL_SHAPE(8), 1);
    duel_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.optim.gap = gap[i];
    attr.optim.gaps = 2;
    assert_null(duel_node_add(g, DUEL_OP_ADAM, 5, in, &attr, NULL));
    assert_int_equal(duel_graph_status(g), DUEL_ERR_USAGE);
    assert_non_null(strstr(duel_last_error(), "out of order"));
    duel_graph_close(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      SMALL_TEST(means_and_losses_become_terms),
      SMALL_TEST(shared_inputs),
      SMALL_TEST(what_stays),
      SMALL_TEST(bad_reports),
      SMALL_TEST(nobody_fills_gaps_for_an_optimizer),
      SMALL_TEST(a_slab_that_is_read_has_zeros),
      SMALL_TEST(bad_gaps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
