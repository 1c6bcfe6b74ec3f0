// Simplification, common subexpressions, dead code: what each rule makes of a small graph.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/rewrites/rewrites.h"
#include "small_graph.h"

enum { CLEAN = DUEL_REWRITE_SIMPLIFY | DUEL_REWRITE_DEAD };

// ---- simplification
static void test_reshapes_vanish(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4, 6));
  small_keep(duel_reshape(small_graph, duel_reshape(small_graph, x, DUEL_SHAPE(2, 12)), DUEL_SHAPE(4, 6)));
  small_keep(duel_reshape(small_graph, duel_tanh(small_graph, duel_reshape(small_graph, x, DUEL_SHAPE(24))),
                          DUEL_SHAPE(4, 6)));
  duel_val a = duel_reshape(small_graph, x, DUEL_SHAPE(24)),
           b = duel_reshape(small_graph, duel_exp(small_graph, x), DUEL_SHAPE(24));
  small_keep(duel_reshape(small_graph, duel_mul(small_graph, a, b), DUEL_SHAPE(4, 6)));
  small_keep(duel_reshape(small_graph, x, DUEL_SHAPE(24)));
  small_rewrite(CLEAN);
  small_made_by(small_kept(0), DUEL_OP_INPUT);
  small_made_by(small_kept(1), DUEL_OP_TANH);
  small_made_by(small_kept(2), DUEL_OP_MUL);
  small_made_by(small_kept(3), DUEL_OP_RESHAPE);
  assert_int_equal(small_count(DUEL_OP_RESHAPE), 1);
}

static void test_views_of_views(void **state) {
  (void)state;
  duel_val slab = duel_state(small_graph, small_var(DUEL_ARENA_PARAM, "slab", DUEL_SHAPE(100)));
  small_keep(duel_view(small_graph, duel_view(small_graph, slab, 10, DUEL_SHAPE(50)), 5, DUEL_SHAPE(3, 4)));
  small_keep(duel_reshape(small_graph, duel_view(small_graph, slab, 20, DUEL_SHAPE(3, 4)), DUEL_SHAPE(12)));
  duel_val x = small_input("x", DUEL_SHAPE(3, 4)), y = small_input("y", DUEL_SHAPE(4));
  duel_val pack = duel_pack(small_graph, 2, (duel_val[]){x, y}, (int64_t[]){0, 12}, 20);
  small_keep(duel_view(small_graph, pack, 0, DUEL_SHAPE(12)));
  small_keep(duel_view(small_graph, pack, 12, DUEL_SHAPE(8)));
  small_rewrite(CLEAN);
  assert_int_equal(small_maker(small_kept(0))->attr.view.offset, 15);
  small_made_by(small_maker(small_kept(0))->in[0], DUEL_OP_STATE);
  small_made_by(small_kept(1), DUEL_OP_VIEW);
  small_made_by(small_kept(2), DUEL_OP_RESHAPE);
  small_made_by(small_maker(small_kept(2))->in[0], DUEL_OP_INPUT);
  small_made_by(small_kept(3), DUEL_OP_VIEW);
}

static void assert_affine(duel_val v, double mul, double add) {
  small_made_by(v, DUEL_OP_AFFINE);
  assert_true(small_maker(v)->attr.affine.mul == mul);
  assert_true(small_maker(v)->attr.affine.add == add);
}

static void test_numbers_become_affine(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4, 6)), two = duel_constant(small_graph, DUEL_SCALAR, 2);
  duel_val wide = duel_broadcast(small_graph, two, DUEL_SHAPE(4, 6));
  small_keep(duel_affine(small_graph, duel_affine(small_graph, x, 3, 1), 2, 5));
  small_keep(duel_mul(small_graph, x, wide));
  small_keep(duel_div(small_graph, x, duel_constant(small_graph, DUEL_SHAPE(4, 6), 4)));
  small_keep(duel_sub(small_graph, two, x));
  small_keep(duel_add(small_graph, duel_constant(small_graph, DUEL_SCALAR, 0), x));
  small_keep(duel_affine(small_graph, two, 3, 1));
  small_keep(duel_add(small_graph, duel_reduce_sum(small_graph, x, 3),
                      wide)); // the number is the wider one: no map of the other
  small_rewrite(CLEAN);
  assert_affine(small_kept(0), 6, 7);
  assert_affine(small_kept(1), 2, 0);
  assert_affine(small_kept(2), 0.25, 0);
  assert_affine(small_kept(3), -1, 2);
  small_made_by(small_kept(4), DUEL_OP_INPUT);
  small_made_by(small_kept(5), DUEL_OP_CONSTANT);
  assert_true(small_maker(small_kept(5))->attr.constant.value == 7);
  small_made_by(small_kept(6), DUEL_OP_ADD);
}

static void test_affine_does_not_overflow(void **state) {
  (void)state;
  small_keep(duel_affine(small_graph, duel_affine(small_graph, small_input("x", DUEL_SHAPE(3)), 1e200, 0), 1e200, 0));
  small_rewrite(CLEAN);
  assert_int_equal(small_count(DUEL_OP_AFFINE), 2);
}

static void test_broadcasts_go(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4, 6)), row = small_input("row", DUEL_SHAPE(6));
  small_keep(duel_mul(small_graph, x, duel_broadcast(small_graph, row, DUEL_SHAPE(4, 6))));
  small_keep(duel_broadcast(small_graph, duel_broadcast(small_graph, row, DUEL_SHAPE(1, 6)), DUEL_SHAPE(4, 6)));
  small_keep(duel_broadcast(small_graph, x, DUEL_SHAPE(4, 6)));
  duel_val tall = duel_broadcast(small_graph, row, DUEL_SHAPE(4, 6));
  small_keep(
      duel_mul(small_graph, tall, duel_broadcast(small_graph, row, DUEL_SHAPE(4, 6)))); // one of them has to stay wide
  duel_val zero = duel_constant(small_graph, DUEL_SHAPE(4, 6), 0);
  small_keep(duel_select(small_graph, duel_less_equal(small_graph, x, zero), zero, x));
  small_rewrite(CLEAN);
  assert_int_equal(small_graph->value[small_maker(small_kept(0))->in[1]].shape.rank, 1);
  small_made_by(small_maker(small_kept(1))->in[0], DUEL_OP_INPUT);
  small_made_by(small_kept(2), DUEL_OP_INPUT);
  assert_true(duel_shape_equal(duel_val_shape(small_graph, small_kept(3)), DUEL_SHAPE(4, 6)));
  assert_int_equal(small_graph->value[small_maker(small_kept(4))->in[1]].shape.rank, 0);
}

static void test_empty_moves_go(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4, 1, 6));
  small_keep(duel_transpose(small_graph, x, (int[]){0, 1, 2}));
  small_keep(duel_transpose(small_graph, x, (int[]){1, 0, 2})); // only an axis of size 1 moves
  small_keep(duel_transpose(small_graph, duel_transpose(small_graph, x, (int[]){2, 1, 0}), (int[]){2, 1, 0}));
  small_keep(duel_slice(small_graph, x, (int64_t[]){0, 0, 0}, DUEL_SHAPE(4, 1, 6)));
  small_keep(duel_pad(small_graph, x, (int64_t[]){0, 0, 0}, DUEL_SHAPE(4, 1, 6)));
  small_keep(duel_concat(small_graph, 1, &x, 0));
  small_keep(duel_reduce_sum(small_graph, x, 2));
  small_keep(duel_reduce_sum(small_graph, duel_constant(small_graph, DUEL_SHAPE(4, 6), 0.5), 1));
  small_keep(
      duel_transpose(small_graph, duel_transpose(small_graph, x, (int[]){1, 2, 0}), (int[]){1, 2, 0})); // [6, 4, 1]
  small_rewrite(CLEAN);
  for (int i = 0; i < 7; i++) small_made_by(small_kept(i), i == 1 ? DUEL_OP_RESHAPE : DUEL_OP_INPUT);
  small_made_by(small_kept(7), DUEL_OP_CONSTANT);
  assert_true(small_maker(small_kept(7))->attr.constant.value == 2);
  small_made_by(small_kept(8), DUEL_OP_TRANSPOSE);
  small_made_by(small_maker(small_kept(8))->in[0], DUEL_OP_INPUT);
}

static void test_products_read_across(void **state) {
  (void)state;
  duel_val a = small_input("a", DUEL_SHAPE(4, 6)), b = small_input("b", DUEL_SHAPE(5, 6)),
           c = small_input("c", DUEL_SHAPE(2, 3, 4, 6));
  small_keep(duel_matmul(small_graph, duel_transpose(small_graph, a, (int[]){1, 0}),
                         duel_transpose(small_graph, b, (int[]){1, 0}), true, false));
  small_keep(duel_matmul(small_graph, duel_transpose(small_graph, c, (int[]){0, 1, 3, 2}), a, true, true));
  small_keep(duel_matmul(small_graph, duel_transpose(small_graph, c, (int[]){1, 0, 2, 3}), a, false, true));
  small_rewrite(CLEAN);
  assert_false(small_maker(small_kept(0))->attr.matmul.trans_a);
  assert_true(small_maker(small_kept(0))->attr.matmul.trans_b);
  assert_false(small_maker(small_kept(1))->attr.matmul.trans_a);
  assert_int_equal(small_count(DUEL_OP_TRANSPOSE), 1);
}

// Batch statistics take the mean out of a gradient: what a bias in front of them would get is 0, not rounding noise.
static void test_a_bias_before_batchnorm_rests(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(8, 3)), one = duel_constant(small_graph, DUEL_SHAPE(3), 1),
           bias = small_input("b", DUEL_SHAPE(3));
  duel_val out[3], grad[2], y = small_input("y", DUEL_SHAPE(8, 3));
  duel_batchnorm(small_graph, duel_add(small_graph, x, bias), one, bias, 1e-5, DUEL_ACT_NONE, 0, out);
  assert_int_equal(duel_grad(small_graph, duel_sum(small_graph, duel_mul(small_graph, out[0], y)), 1, &bias, grad),
                   DUEL_OK);
  small_keep(grad[0]); // that of the shift alone
  small_rewrite(CLEAN);
  assert_int_equal(small_count(DUEL_OP_REDUCE_SUM), 0);
  small_made_by(small_kept(0), DUEL_OP_BATCHNORM_GRAD);
}

// ---- common subexpressions, dead code
static void test_equal_nodes_merge(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4, 6)), y = small_input("y", DUEL_SHAPE(4, 6));
  int key_var;
  assert_int_equal(duel_vars_add(&small_vars, DUEL_ARENA_INPUT, "key", DUEL_I32, DUEL_SHAPE(4), &key_var), DUEL_OK);
  duel_val key = duel_input(small_graph, key_var);
  duel_val draw[5];
  for (int i = 0; i < 5; i++) {
    duel_shape shape = i == 4 ? DUEL_SHAPE(6, 4) : DUEL_SHAPE(4, 6);
    draw[i] = i == 3 ? duel_random_uniform(small_graph, key, 9, 0, shape)
                     : duel_random_normal(small_graph, key, 9, i == 2, shape);
    small_keep(draw[i]);
  }
  const duel_shape half = DUEL_SHAPE(2, 6);
  for (int i = 0; i < 3; i++) // rows 0 and 1, and rows 2 and 3 twice, of draw 3
    small_keep(duel_random_from(small_graph, DUEL_OP_RANDOM_UNIFORM, key, 9, 0, i ? 12 : 0, half));
  small_keep(duel_exp(small_graph, duel_add(small_graph, x, y)));
  small_keep(duel_exp(small_graph, duel_add(small_graph, y, x)));
  small_keep(duel_exp(small_graph, duel_sub(small_graph, x, y)));
  small_keep(duel_exp(small_graph, duel_sub(small_graph, y, x)));
  small_keep(duel_leaky_relu(small_graph, x, 0.1));
  small_rewrite(DUEL_REWRITE_CSE);
  assert_int_equal(small_count(DUEL_OP_RANDOM_NORMAL), 3); // 0 and 1 are one
  assert_int_equal(small_kept(0), small_kept(1));
  assert_int_equal(small_count(DUEL_OP_RANDOM_UNIFORM), 3); // 6 and 7 are one
  assert_int_equal(small_kept(6), small_kept(7));
  assert_int_equal(small_kept(8), small_kept(9));
  assert_int_equal(small_count(DUEL_OP_EXP), 3);
  assert_int_equal(small_count(DUEL_OP_ASSIGN), 13);
}

// A result of one stretch is not kept for another; what costs nothing is.
static void test_stretches_keep_their_own(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4, 6));
  for (int i = 0; i < 6; i++) {
    small_graph->stretch = i / 2;
    const duel_val wide = duel_reshape(small_graph, x, DUEL_SHAPE(24)),
                   two = duel_constant(small_graph, DUEL_SCALAR, 2);
    small_keep(duel_exp(small_graph, duel_mul(small_graph, wide, two)));
  }
  small_rewrite(DUEL_REWRITE_CSE);
  assert_int_equal(small_count(DUEL_OP_RESHAPE), 1);
  assert_int_equal(small_count(DUEL_OP_CONSTANT), 1);
  assert_int_equal(small_count(DUEL_OP_EXP), 3);
  for (int i = 0; i < 6; i++) assert_int_equal(small_maker(small_kept(i))->stretch, i / 2);
  small_rewrite(DUEL_REWRITE_ALL); // no rewrite moves a node out of its stretch
  assert_int_equal(small_count(DUEL_OP_EXP), 3);
  for (int i = 0; i < 6; i++) assert_int_equal(small_maker(small_kept(i))->stretch, i / 2);
}

static void test_packs_merge_by_content(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4));
  for (int i = 0; i < 4; i++) {
    int64_t offset = i == 2 ? 3 : 2, count = i == 3 ? 12 : 10;
    small_keep(duel_pack(small_graph, 1, &x, &offset, count));
  }
  small_rewrite(DUEL_REWRITE_CSE);
  assert_int_equal(small_count(DUEL_OP_PACK), 3);
  assert_int_equal(small_kept(0), small_kept(1));
  assert_int_equal(small_maker(small_kept(2))->attr.pack.offset[0], 3);
}

static void test_versions_and_writers_do_not_merge(void **state) {
  (void)state;
  int slab = small_var(DUEL_ARENA_BUFFER, "s", DUEL_SHAPE(4));
  duel_val w = duel_constant(small_graph, DUEL_SCALAR, 0.1), x = small_input("x", DUEL_SHAPE(4));
  duel_val before = duel_exp(small_graph, duel_state(small_graph, slab));
  duel_ema(small_graph, duel_state(small_graph, slab), x, w);
  duel_ema(small_graph, duel_state(small_graph, slab), x, w);
  duel_val after = duel_exp(small_graph, duel_state(small_graph, slab));
  small_keep(before);
  small_keep(after);
  small_rewrite(DUEL_REWRITE_ALL);
  assert_int_equal(small_count(DUEL_OP_EMA), 2);
  assert_int_equal(small_count(DUEL_OP_EXP), 2);
}

static void test_dead_code_goes(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4)), unused = small_input("unused", DUEL_SHAPE(4));
  duel_exp(small_graph, duel_add(small_graph, x, unused));
  small_keep(duel_tanh(small_graph, x));
  small_rewrite(DUEL_REWRITE_DEAD);
  assert_int_equal(small_count(DUEL_OP_EXP), 0);
  assert_int_equal(small_count(DUEL_OP_INPUT), 1);
  assert_int_equal(small_graph->n_nodes, 4); // input, tanh, state and assign
}

static void test_labels_stay(void **state) {
  (void)state;
  duel_scope(small_graph, "G.7 tanh");
  duel_val y = duel_tanh(small_graph, small_input("x", DUEL_SHAPE(4)));
  duel_scope(small_graph, "%s", "");
  small_keep(y);
  small_rewrite(DUEL_REWRITE_ALL);
  assert_string_equal(small_maker(small_kept(0))->label, "G.7 tanh");
  assert_string_equal(small_graph->node[small_graph->n_nodes - 1]->label, "");
}

static void test_a_broken_graph_fails(void **state) {
  (void)state;
  duel_add(small_graph, small_input("x", DUEL_SHAPE(4)), small_input("y", DUEL_SHAPE(5)));
  assert_int_equal(duel_rewrite_graph(&small_graph, DUEL_REWRITE_ALL), DUEL_ERR_USAGE);
  assert_non_null(strstr(duel_last_error(), "4"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      SMALL_TEST(reshapes_vanish),        SMALL_TEST(views_of_views),
      SMALL_TEST(numbers_become_affine),  SMALL_TEST(affine_does_not_overflow),
      SMALL_TEST(broadcasts_go),          SMALL_TEST(empty_moves_go),
      SMALL_TEST(products_read_across),   SMALL_TEST(a_bias_before_batchnorm_rests),
      SMALL_TEST(equal_nodes_merge),      SMALL_TEST(stretches_keep_their_own),
      SMALL_TEST(packs_merge_by_content), SMALL_TEST(versions_and_writers_do_not_merge),
      SMALL_TEST(dead_code_goes),         SMALL_TEST(labels_stay),
      SMALL_TEST(a_broken_graph_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
