// The passes: what each rule makes of a small graph, and that a whole training step comes out fused and equal.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/backend.h"
#include "core/passes.h"
#include "mini_gan.h"

// ---- a graph whose results are assigned to output variables
// ------------------------------------------------------------
static duel_vars vars;
static duel_graph *g;
static int outputs;

static int set_up(void **state) {
  (void)state;
  outputs = 0;
  return duel_graph_open(&g, &vars, DUEL_F32) == DUEL_OK ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  duel_graph_close(g);
  duel_vars_clear(&vars);
  return 0;
}

static int add_var(duel_arena arena, const char *name, duel_shape shape) {
  int id = -1;
  assert_int_equal(duel_vars_add(&vars, arena, name, DUEL_F32, shape, &id), DUEL_OK);
  return id;
}

static duel_val input(const char *name, duel_shape shape) {
  return duel_input(g, add_var(DUEL_ARENA_INPUT, name, shape));
}

static void keep(duel_val v) {
  char name[16];
  snprintf(name, sizeof name, "out%d", outputs++);
  duel_output(g, add_var(DUEL_ARENA_OUTPUT, name, duel_val_shape(g, v)), v);
}

static void passes(unsigned which) {
  if (duel_passes(&g, which) != DUEL_OK) fail_msg("%s", duel_last_error());
}

static int count_in(const duel_graph *graph, duel_op op) {
  int n = 0;
  for (int i = 0; i < graph->n_nodes; i++) n += graph->node[i]->op == op;
  return n;
}

static int count(duel_op op) {
  return count_in(g, op);
}

// What output i is assigned.
static duel_val kept(int i) {
  for (int k = 0; k < g->n_nodes; k++) {
    const duel_node *n = g->node[k];
    if (n->op == DUEL_OP_ASSIGN &&
        !strcmp(g->vars->var[g->value[n->out[0]].var].name, (char[8]){'o', 'u', 't', (char)('0' + i)}))
      return n->in[1];
  }
  fail_msg("output %d is gone", i);
  return DUEL_NONE;
}

static const duel_node *maker(duel_val v) {
  return g->node[g->value[v].node];
}

static void assert_made_by(duel_val v, duel_op op) {
  if (maker(v)->op != op) fail_msg("made by %s, not %s", duel_op_name(maker(v)->op), duel_op_name(op));
}

enum { CLEAN = DUEL_PASS_SIMPLIFY | DUEL_PASS_DEAD };

// ---- simplification -------------------------------------------------------------------------------------------------
static void test_reshapes_vanish(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4, 6));
  keep(duel_reshape(g, duel_reshape(g, x, DUEL_SHAPE(2, 12)), DUEL_SHAPE(4, 6)));
  keep(duel_reshape(g, duel_tanh(g, duel_reshape(g, x, DUEL_SHAPE(24))), DUEL_SHAPE(4, 6)));
  duel_val a = duel_reshape(g, x, DUEL_SHAPE(24)), b = duel_reshape(g, duel_exp(g, x), DUEL_SHAPE(24));
  keep(duel_reshape(g, duel_mul(g, a, b), DUEL_SHAPE(4, 6)));
  keep(duel_reshape(g, x, DUEL_SHAPE(24)));
  passes(CLEAN);
  assert_made_by(kept(0), DUEL_OP_INPUT);
  assert_made_by(kept(1), DUEL_OP_TANH);
  assert_made_by(kept(2), DUEL_OP_MUL);
  assert_made_by(kept(3), DUEL_OP_RESHAPE);
  assert_int_equal(count(DUEL_OP_RESHAPE), 1);
}

static void test_views_of_views(void **state) {
  (void)state;
  duel_val slab = duel_state(g, add_var(DUEL_ARENA_PARAM, "slab", DUEL_SHAPE(100)));
  keep(duel_view(g, duel_view(g, slab, 10, DUEL_SHAPE(50)), 5, DUEL_SHAPE(3, 4)));
  keep(duel_reshape(g, duel_view(g, slab, 20, DUEL_SHAPE(3, 4)), DUEL_SHAPE(12)));
  duel_val x = input("x", DUEL_SHAPE(3, 4)), y = input("y", DUEL_SHAPE(4));
  duel_val pack = duel_pack(g, 2, (duel_val[]){x, y}, (int64_t[]){0, 12}, 20);
  keep(duel_view(g, pack, 0, DUEL_SHAPE(12)));
  keep(duel_view(g, pack, 12, DUEL_SHAPE(8)));
  passes(CLEAN);
  assert_int_equal(maker(kept(0))->attr.view.offset, 15);
  assert_made_by(maker(kept(0))->in[0], DUEL_OP_STATE);
  assert_made_by(kept(1), DUEL_OP_VIEW);
  assert_made_by(kept(2), DUEL_OP_RESHAPE);
  assert_made_by(maker(kept(2))->in[0], DUEL_OP_INPUT);
  assert_made_by(kept(3), DUEL_OP_VIEW);
}

static void assert_affine(duel_val v, double mul, double add) {
  assert_made_by(v, DUEL_OP_AFFINE);
  assert_true(maker(v)->attr.affine.mul == mul);
  assert_true(maker(v)->attr.affine.add == add);
}

static void test_numbers_become_affine(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4, 6)), two = duel_constant(g, DUEL_SCALAR, 2);
  duel_val wide = duel_broadcast(g, two, DUEL_SHAPE(4, 6));
  keep(duel_affine(g, duel_affine(g, x, 3, 1), 2, 5));
  keep(duel_mul(g, x, wide));
  keep(duel_div(g, x, duel_constant(g, DUEL_SHAPE(4, 6), 4)));
  keep(duel_sub(g, two, x));
  keep(duel_add(g, duel_constant(g, DUEL_SCALAR, 0), x));
  keep(duel_affine(g, two, 3, 1));
  keep(duel_add(g, duel_reduce_sum(g, x, 3), wide)); // the number is the wider one: no map of the other
  passes(CLEAN);
  assert_affine(kept(0), 6, 7);
  assert_affine(kept(1), 2, 0);
  assert_affine(kept(2), 0.25, 0);
  assert_affine(kept(3), -1, 2);
  assert_made_by(kept(4), DUEL_OP_INPUT);
  assert_made_by(kept(5), DUEL_OP_CONSTANT);
  assert_true(maker(kept(5))->attr.constant.value == 7);
  assert_made_by(kept(6), DUEL_OP_ADD);
}

static void test_affine_does_not_overflow(void **state) {
  (void)state;
  keep(duel_affine(g, duel_affine(g, input("x", DUEL_SHAPE(3)), 1e200, 0), 1e200, 0));
  passes(CLEAN);
  assert_int_equal(count(DUEL_OP_AFFINE), 2);
}

static void test_broadcasts_go(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4, 6)), row = input("row", DUEL_SHAPE(6));
  keep(duel_mul(g, x, duel_broadcast(g, row, DUEL_SHAPE(4, 6))));
  keep(duel_broadcast(g, duel_broadcast(g, row, DUEL_SHAPE(1, 6)), DUEL_SHAPE(4, 6)));
  keep(duel_broadcast(g, x, DUEL_SHAPE(4, 6)));
  duel_val tall = duel_broadcast(g, row, DUEL_SHAPE(4, 6));
  keep(duel_mul(g, tall, duel_broadcast(g, row, DUEL_SHAPE(4, 6)))); // one of them has to stay wide
  duel_val zero = duel_constant(g, DUEL_SHAPE(4, 6), 0);
  keep(duel_select(g, duel_less_equal(g, x, zero), zero, x));
  passes(CLEAN);
  assert_int_equal(g->value[maker(kept(0))->in[1]].shape.rank, 1);
  assert_made_by(maker(kept(1))->in[0], DUEL_OP_INPUT);
  assert_made_by(kept(2), DUEL_OP_INPUT);
  assert_true(duel_shape_equal(duel_val_shape(g, kept(3)), DUEL_SHAPE(4, 6)));
  assert_int_equal(g->value[maker(kept(4))->in[1]].shape.rank, 0);
}

static void test_empty_moves_go(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4, 1, 6));
  keep(duel_transpose(g, x, (int[]){0, 1, 2}));
  keep(duel_transpose(g, x, (int[]){1, 0, 2})); // only an axis of size 1 moves
  keep(duel_transpose(g, duel_transpose(g, x, (int[]){2, 1, 0}), (int[]){2, 1, 0}));
  keep(duel_slice(g, x, (int64_t[]){0, 0, 0}, DUEL_SHAPE(4, 1, 6)));
  keep(duel_pad(g, x, (int64_t[]){0, 0, 0}, DUEL_SHAPE(4, 1, 6)));
  keep(duel_concat(g, 1, &x, 0));
  keep(duel_reduce_sum(g, x, 2));
  keep(duel_reduce_sum(g, duel_constant(g, DUEL_SHAPE(4, 6), 0.5), 1));
  keep(duel_transpose(g, duel_transpose(g, x, (int[]){1, 2, 0}), (int[]){1, 2, 0})); // [6, 4, 1]
  passes(CLEAN);
  for (int i = 0; i < 7; i++) assert_made_by(kept(i), i == 1 ? DUEL_OP_RESHAPE : DUEL_OP_INPUT);
  assert_made_by(kept(7), DUEL_OP_CONSTANT);
  assert_true(maker(kept(7))->attr.constant.value == 2);
  assert_made_by(kept(8), DUEL_OP_TRANSPOSE);
  assert_made_by(maker(kept(8))->in[0], DUEL_OP_INPUT);
}

static void test_products_read_across(void **state) {
  (void)state;
  duel_val a = input("a", DUEL_SHAPE(4, 6)), b = input("b", DUEL_SHAPE(5, 6)), c = input("c", DUEL_SHAPE(2, 3, 4, 6));
  keep(duel_matmul(g, duel_transpose(g, a, (int[]){1, 0}), duel_transpose(g, b, (int[]){1, 0}), true, false));
  keep(duel_matmul(g, duel_transpose(g, c, (int[]){0, 1, 3, 2}), a, true, true));
  keep(duel_matmul(g, duel_transpose(g, c, (int[]){1, 0, 2, 3}), a, false, true));
  passes(CLEAN);
  assert_false(maker(kept(0))->attr.matmul.trans_a);
  assert_true(maker(kept(0))->attr.matmul.trans_b);
  assert_false(maker(kept(1))->attr.matmul.trans_a);
  assert_int_equal(count(DUEL_OP_TRANSPOSE), 1);
}

// Batch statistics take the mean out of a gradient: what a bias in front of them would get is 0, not rounding noise.
static void test_a_bias_before_batchnorm_rests(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(8, 3)), one = duel_constant(g, DUEL_SHAPE(3), 1), bias = input("b", DUEL_SHAPE(3));
  duel_val out[3], grad[2], y = input("y", DUEL_SHAPE(8, 3));
  duel_batchnorm(g, duel_add(g, x, bias), one, bias, 1e-5, DUEL_ACT_NONE, 0, out);
  assert_int_equal(duel_grad(g, duel_sum(g, duel_mul(g, out[0], y)), 1, &bias, grad), DUEL_OK);
  keep(grad[0]); // that of the shift alone
  passes(CLEAN);
  assert_int_equal(count(DUEL_OP_REDUCE_SUM), 0);
  assert_made_by(kept(0), DUEL_OP_BATCHNORM_GRAD);
}

// ---- common subexpressions, dead code -------------------------------------------------------------------------------
static void test_equal_nodes_merge(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4, 6)), y = input("y", DUEL_SHAPE(4, 6));
  int key_var;
  assert_int_equal(duel_vars_add(&vars, DUEL_ARENA_INPUT, "key", DUEL_I32, DUEL_SHAPE(4), &key_var), DUEL_OK);
  duel_val key = duel_input(g, key_var);
  duel_val draw[5];
  for (int i = 0; i < 5; i++) {
    duel_shape shape = i == 4 ? DUEL_SHAPE(6, 4) : DUEL_SHAPE(4, 6);
    draw[i] = i == 3 ? duel_random_uniform(g, key, 9, 0, shape) : duel_random_normal(g, key, 9, i == 2, shape);
    keep(draw[i]);
  }
  keep(duel_exp(g, duel_add(g, x, y)));
  keep(duel_exp(g, duel_add(g, y, x)));
  keep(duel_exp(g, duel_sub(g, x, y)));
  keep(duel_exp(g, duel_sub(g, y, x)));
  keep(duel_leaky_relu(g, x, 0.1));
  passes(DUEL_PASS_CSE);
  assert_int_equal(count(DUEL_OP_RANDOM_NORMAL), 3); // 0 and 1 are one
  assert_int_equal(kept(0), kept(1));
  assert_int_equal(count(DUEL_OP_RANDOM_UNIFORM), 1);
  assert_int_equal(kept(5), kept(6));
  assert_int_equal(count(DUEL_OP_EXP), 3);
  assert_int_equal(count(DUEL_OP_ASSIGN), 10);
}

static void test_packs_merge_by_content(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4));
  for (int i = 0; i < 4; i++) {
    int64_t offset = i == 2 ? 3 : 2, count = i == 3 ? 12 : 10;
    keep(duel_pack(g, 1, &x, &offset, count));
  }
  passes(DUEL_PASS_CSE);
  assert_int_equal(count(DUEL_OP_PACK), 3);
  assert_int_equal(kept(0), kept(1));
  assert_int_equal(maker(kept(2))->attr.pack.offset[0], 3);
}

static void test_versions_and_writers_do_not_merge(void **state) {
  (void)state;
  int slab = add_var(DUEL_ARENA_BUFFER, "s", DUEL_SHAPE(4));
  duel_val w = duel_constant(g, DUEL_SCALAR, 0.1), x = input("x", DUEL_SHAPE(4));
  duel_val before = duel_exp(g, duel_state(g, slab));
  duel_ema(g, duel_state(g, slab), x, w);
  duel_ema(g, duel_state(g, slab), x, w);
  duel_val after = duel_exp(g, duel_state(g, slab));
  keep(before);
  keep(after);
  passes(DUEL_PASS_ALL);
  assert_int_equal(count(DUEL_OP_EMA), 2);
  assert_int_equal(count(DUEL_OP_EXP), 2);
}

static void test_dead_code_goes(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4)), unused = input("unused", DUEL_SHAPE(4));
  duel_exp(g, duel_add(g, x, unused));
  keep(duel_tanh(g, x));
  passes(DUEL_PASS_DEAD);
  assert_int_equal(count(DUEL_OP_EXP), 0);
  assert_int_equal(count(DUEL_OP_INPUT), 1);
  assert_int_equal(g->n_nodes, 4); // input, tanh, state and assign
}

static void test_labels_stay(void **state) {
  (void)state;
  duel_scope(g, "G.7 tanh");
  duel_val y = duel_tanh(g, input("x", DUEL_SHAPE(4)));
  duel_scope(g, "%s", "");
  keep(y);
  passes(DUEL_PASS_ALL);
  assert_string_equal(maker(kept(0))->label, "G.7 tanh");
  assert_string_equal(g->node[g->n_nodes - 1]->label, "");
}

static void test_a_broken_graph_fails(void **state) {
  (void)state;
  duel_add(g, input("x", DUEL_SHAPE(4)), input("y", DUEL_SHAPE(5)));
  assert_int_equal(duel_passes(&g, DUEL_PASS_ALL), DUEL_ERR_USAGE);
  assert_non_null(strstr(duel_last_error(), "4"));
}

// ---- fusion ---------------------------------------------------------------------------------------------------------
enum { FUSE = DUEL_PASS_SIMPLIFY | DUEL_PASS_FUSE | DUEL_PASS_DEAD };

static void assert_dense(duel_val v, int n_in, int act) {
  assert_made_by(v, DUEL_OP_DENSE);
  assert_int_equal(maker(v)->n_in, n_in);
  assert_int_equal(maker(v)->attr.matmul.act, act);
}

static void test_dense(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4, 6)), w = input("w", DUEL_SHAPE(5, 6)), b = input("b", DUEL_SHAPE(5));
  duel_val row = input("row", DUEL_SHAPE(1, 5));
  keep(duel_tanh(g, duel_add(g, duel_matmul(g, x, w, false, true), b)));
  keep(duel_add(g, row, duel_matmul(g, x, w, false, true)));
  keep(duel_sigmoid(g, duel_matmul(g, x, w, false, true)));
  keep(duel_leaky_relu(g, duel_dense(g, x, w, b, false, true, DUEL_ACT_NONE, 0), 0.3));
  keep(duel_add(g, b, duel_dense(g, x, w, DUEL_NONE, false, true, DUEL_ACT_NONE, 0)));
  passes(FUSE);
  assert_dense(kept(0), 3, DUEL_ACT_TANH);
  assert_dense(kept(1), 3, DUEL_ACT_NONE);
  assert_dense(kept(2), 2, DUEL_ACT_SIGMOID);
  assert_dense(kept(3), 3, DUEL_ACT_LEAKY_RELU);
  assert_true(maker(kept(3))->attr.matmul.slope == 0.3);
  assert_true(maker(kept(3))->attr.matmul.trans_b);
  assert_dense(kept(4), 3, DUEL_ACT_NONE);
  assert_int_equal(count(DUEL_OP_ADD), 0);
}

static void test_no_dense(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4, 6)), w = input("w", DUEL_SHAPE(5, 6)), full = input("full", DUEL_SHAPE(4, 5));
  duel_val b = input("b", DUEL_SHAPE(5)), many = input("many", DUEL_SHAPE(3, 4, 6));
  duel_val column = input("column", DUEL_SHAPE(4, 1));
  keep(duel_matmul(g, x, w, false, true));                      // nothing to gain
  keep(duel_add(g, duel_matmul(g, x, w, false, true), full));   // no row
  keep(duel_add(g, duel_matmul(g, x, w, false, true), column)); // no row either
  keep(duel_add(g, duel_matmul(g, many, w, false, true), b));   // a batch of products
  duel_val m = duel_matmul(g, x, w, false, true);
  keep(m);
  keep(duel_tanh(g, m)); // two readers
  duel_val twice = duel_matmul(g, x, w, false, true);
  keep(duel_add(g, twice, twice));
  keep(duel_exp(g, duel_matmul(g, x, w, false, true))); // no such activation
  passes(FUSE);
  assert_int_equal(count(DUEL_OP_DENSE), 0);
}

// Each of two products of one row could take the other for its bias; only one may.
static void test_one_of_two_rows_is_the_bias(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(1, 6)), w = input("w", DUEL_SHAPE(5, 6)), v = input("v", DUEL_SHAPE(5, 6));
  keep(duel_add(g, duel_matmul(g, x, w, false, true), duel_matmul(g, x, v, false, true)));
  passes(FUSE);
  assert_dense(kept(0), 3, DUEL_ACT_NONE);
  assert_int_equal(count(DUEL_OP_MATMUL), 1);
}

// A writer between the parts has overwritten what the fused node would read: it must not wait for its bias.
static void test_no_fusion_across_a_writer(void **state) {
  (void)state;
  int slab = add_var(DUEL_ARENA_PARAM, "slab", DUEL_SHAPE(30)), bias = add_var(DUEL_ARENA_INPUT, "bias", DUEL_SHAPE(5));
  duel_val x = input("x", DUEL_SHAPE(4, 6)), w = duel_view(g, duel_state(g, slab), 0, DUEL_SHAPE(5, 6));
  duel_val m = duel_matmul(g, x, w, false, true);
  duel_assign(g, duel_state(g, slab), input("next", DUEL_SHAPE(30)));
  duel_val late = duel_add(g, duel_view(g, duel_state(g, slab), 0, DUEL_SHAPE(5)), duel_input(g, bias));
  keep(duel_tanh(g, duel_add(g, m, late)));
  duel_val n = duel_matmul(g, x, duel_view(g, duel_state(g, slab), 0, DUEL_SHAPE(5, 6)), false, true);
  keep(duel_add(g, n, late)); // here nothing stands in between
  passes(FUSE);
  assert_int_equal(count(DUEL_OP_DENSE), 1);
  assert_dense(kept(1), 3, DUEL_ACT_NONE);
}

static void test_matmul_grad(void **state) {
  (void)state;
  duel_val d = input("d", DUEL_SHAPE(4, 5)), w = input("w", DUEL_SHAPE(5, 6)), y = input("y", DUEL_SHAPE(4, 6));
  duel_val p = duel_leaky_relu_grad(g, duel_matmul(g, d, w, false, false), y, 0.2);
  keep(p);
  keep(duel_sum_to(g, p, DUEL_SHAPE(6)));
  keep(duel_reduce_sum(g, p, 1));
  keep(duel_reduce_sum(g, p, 2));
  keep(duel_sum(g, p));
  // through a reshape between product and derivative
  duel_val square = duel_reshape(g, duel_matmul(g, d, w, false, false), DUEL_SHAPE(2, 2, 6));
  duel_val q = duel_tanh_grad(g, square, duel_reshape(g, y, DUEL_SHAPE(2, 2, 6)));
  keep(duel_sum_to(g, duel_reshape(g, q, DUEL_SHAPE(4, 6)), DUEL_SHAPE(6)));
  passes(FUSE);
  assert_int_equal(count(DUEL_OP_MATMUL_GRAD), 2);
  const duel_node *n = maker(kept(0));
  assert_int_equal(n->op, DUEL_OP_MATMUL_GRAD);
  assert_int_equal(kept(1), n->out[1]);
  assert_made_by(kept(2), DUEL_OP_RESHAPE);
  assert_int_equal(maker(kept(2))->in[0], n->out[1]);
  assert_int_equal(count(DUEL_OP_REDUCE_SUM), 2); // those over the other axes
  assert_int_equal(maker(kept(5))->op, DUEL_OP_MATMUL_GRAD);
  assert_int_equal(maker(kept(5))->attr.matmul.act, DUEL_ACT_TANH);
  assert_int_equal(g->value[kept(5)].out, 1);
  assert_int_equal(count(DUEL_OP_MATMUL), 0);
}

static void test_no_matmul_grad(void **state) {
  (void)state;
  duel_val d = input("d", DUEL_SHAPE(4, 5)), w = input("w", DUEL_SHAPE(5, 6)), y = input("y", DUEL_SHAPE(4, 6));
  duel_val m = duel_matmul(g, d, w, false, false);
  keep(duel_leaky_relu_grad(g, m, y, 0.2));
  keep(duel_leaky_relu_grad(g, m, y, 0.3));                                                 // two readers
  keep(duel_tanh_grad(g, duel_matmul(g, d, w, false, false), input("row", DUEL_SHAPE(6)))); // broadcasts
  passes(FUSE);
  assert_int_equal(count(DUEL_OP_MATMUL_GRAD), 0);
}

static void test_batchnorm(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(8, 3, 2)), scale = input("scale", DUEL_SHAPE(3)),
           shift = input("shift", DUEL_SHAPE(3));
  int running = add_var(DUEL_ARENA_BUFFER, "running", DUEL_SHAPE(3));
  duel_val out[3], grad[3];
  duel_batchnorm(g, x, scale, shift, 1e-5, DUEL_ACT_NONE, 0, out);
  duel_ema(g, duel_state(g, running), out[1], duel_constant(g, DUEL_SCALAR, 0.1)); // between norm and activation
  duel_val y = duel_leaky_relu(g, out[0], 0.2);
  keep(y);
  assert_int_equal(duel_grad(g, duel_sum(g, duel_mul(g, y, y)), 3, (duel_val[]){x, scale, shift}, grad), DUEL_OK);
  for (int i = 0; i < 3; i++) keep(grad[i]);
  passes(FUSE);
  const duel_node *n = maker(kept(0)), *d = maker(kept(1));
  assert_int_equal(n->op, DUEL_OP_BATCHNORM);
  assert_int_equal(n->attr.batchnorm.act, DUEL_ACT_LEAKY_RELU);
  assert_int_equal(d->op, DUEL_OP_BATCHNORM_GRAD);
  assert_int_equal(d->attr.batchnorm.act, DUEL_ACT_LEAKY_RELU);
  assert_true(d->attr.batchnorm.slope == 0.2);
  assert_int_equal(d->in[5], n->out[0]); // the activated output
  assert_int_equal(count(DUEL_OP_LEAKY_RELU) + count(DUEL_OP_LEAKY_RELU_GRAD), 0);
}

static void test_no_batchnorm(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(8, 3)), scale = input("scale", DUEL_SHAPE(3)),
           shift = input("shift", DUEL_SHAPE(3));
  duel_val out[3];
  duel_batchnorm(g, x, scale, shift, 1e-5, DUEL_ACT_NONE, 0, out);
  keep(duel_tanh(g, out[0]));
  keep(out[0]);
  passes(FUSE);
  assert_made_by(kept(0), DUEL_OP_TANH);
}

// ---- a whole step ---------------------------------------------------------------------------------------------------
static duel_graph *step_of(mini_gan *m, unsigned which) {
  duel_graph *step = mini_gan_step(m);
  if (!step || duel_passes(&step, which) != DUEL_OK) fail_msg("%s", duel_last_error());
  return step;
}

static void check_fused_step(mini_gan m) {
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_graph *s = step_of(&m, DUEL_PASS_ALL);
  assert_int_equal(count_in(s, DUEL_OP_DENSE), 9);       // 3 of G, 2 of D thrice
  assert_int_equal(count_in(s, DUEL_OP_MATMUL_GRAD), 5); // through D.2 thrice, G.6 and G.1
  assert_int_equal(count_in(s, DUEL_OP_MATMUL), 8);      // weight gradients, and the one into batchnorm
  assert_int_equal(count_in(s, DUEL_OP_BATCHNORM), 1);
  assert_int_equal(count_in(s, DUEL_OP_BATCHNORM_GRAD), 1);
  assert_int_equal(count_in(s, DUEL_OP_ADAM), 3);
  assert_int_equal(count_in(s, DUEL_OP_EMA), 2);
  static const duel_op gone[] = {DUEL_OP_ADD,          DUEL_OP_LEAKY_RELU, DUEL_OP_LEAKY_RELU_GRAD, DUEL_OP_TANH,
                                 DUEL_OP_TANH_GRAD,    DUEL_OP_MUL,        DUEL_OP_BROADCAST,       DUEL_OP_SUB,
                                 DUEL_OP_SIGMOID_GRAD, DUEL_OP_DIV};
  for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) assert_int_equal(count_in(s, gone[i]), 0);
  for (int i = 0; i < s->n_nodes; i++) {
    const duel_node *n = s->node[i];
    if (n->op == DUEL_OP_REDUCE_SUM) assert_int_not_equal(s->node[s->value[n->in[0]].node]->op, DUEL_OP_MATMUL_GRAD);
    duel_op from = n->n_in ? s->node[s->value[n->in[0]].node]->op : n->op;
    if (n->op == DUEL_OP_RESHAPE) assert_true(from == DUEL_OP_BATCH || from == DUEL_OP_REDUCE_SUM);
  }
  duel_graph_close(s);
  mini_gan_clear(&m);
}

static void test_the_mlp_step_is_fused(void **state) {
  (void)state;
  mini_gan m = mini_gan_mlp();
  check_fused_step(m);
  m.reshape_first = true;
  check_fused_step(m);
}

static void test_passes_are_deterministic(void **state) {
  (void)state;
  mini_gan m = mini_gan_small(DUEL_F32);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_graph *a = step_of(&m, DUEL_PASS_ALL), *b = step_of(&m, DUEL_PASS_ALL);
  assert_int_equal(a->n_nodes, b->n_nodes);
  for (int i = 0; i < a->n_nodes; i++) {
    assert_int_equal(a->node[i]->op, b->node[i]->op);
    assert_int_equal(a->node[i]->n_in, b->node[i]->n_in);
    for (int k = 0; k < a->node[i]->n_in; k++) assert_int_equal(a->node[i]->in[k], b->node[i]->in[k]);
  }
  int nodes = a->n_nodes;
  assert_int_equal(duel_passes(&a, DUEL_PASS_ALL), DUEL_OK); // nothing is left to do
  assert_int_equal(a->n_nodes, nodes);
  duel_graph_close(a);
  duel_graph_close(b);
  mini_gan_clear(&m);
}

static void test_expansion_leaves_primitives(void **state) {
  (void)state;
  mini_gan m = mini_gan_small(DUEL_F32);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_graph *s = step_of(&m, DUEL_PASS_ALL);
  assert_int_equal(duel_passes(&s, DUEL_PASS_EXPAND), DUEL_OK);
  for (int i = 0; i < s->n_nodes; i++) {
    unsigned flags = duel_op_records[s->node[i]->op]->flags;
    assert_false((flags & DUEL_FLAG_FUSED) && !(flags & DUEL_FLAG_WRITER));
  }
  duel_graph_close(s);
  mini_gan_clear(&m);
}

// Three steps in double precision; yields all variables one after another.
static double *train(unsigned which, bool expand_after, bool reshape_first, size_t *count) {
  mini_gan m = mini_gan_small(DUEL_F64);
  m.reshape_first = reshape_first;
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  const duel_backend_api *api = &duel_cpu_f64_backend;
  duel_backend *b;
  duel_plan *plan;
  duel_memory memory;
  duel_exec *e;
  assert_int_equal(api->open(&b, &(duel_backend_options){.threads = 2}), DUEL_OK);
  duel_graph *s = step_of(&m, which);
  if (duel_plan_for(&plan, s, expand_after ? DUEL_PASS_EXPAND : 0, api, b) != DUEL_OK)
    fail_msg("%s", duel_last_error());
  assert_int_equal(duel_memory_open(&memory, api, b, &m.vars, plan->work_bytes), DUEL_OK);
  assert_int_equal(duel_exec_open(&e, plan, &memory), DUEL_OK);

  uint32_t seed = 1;
  *count = 0;
  for (int i = 0; i < m.vars.n; i++) {
    const duel_var *var = &m.vars.var[i];
    unsigned char *bytes = calloc(1, var->bytes);
    assert_non_null(bytes);
    if (var->dtype == DUEL_F64) *count += var->bytes / sizeof(double);
    if (i == m.coef) {
      const double coef[8] = {0.01, 1, 1e-8, 1, 0.5, 0.5, 0.9, 0.1};
      for (int k = 0; k < 3; k++) memcpy(bytes + k * sizeof coef, coef, sizeof coef);
    } else if (i == m.index) {
      for (int k = 0; k < m.batch; k++) ((int32_t *)(void *)bytes)[k] = 3 * k;
    } else if (var->arena == DUEL_ARENA_PARAM) { // the gaps stay zero
      const mini_player *p = &m.player[var->name[0] == 'D'];
      for (int k = 0; k < p->n; k++)
        for (int64_t j = 0; j < duel_shape_count(p->shape[k]); j++) {
          seed = seed * 1664525u + 1013904223u;
          ((double *)(void *)bytes)[p->offset[k] + j] = (double)seed / 4294967296.0 - 0.5;
        }
    } else if (var->arena == DUEL_ARENA_DATA) {
      for (size_t k = 0; k < var->bytes; k++) bytes[k] = (unsigned char)((seed = seed * 1664525u + 1013904223u) >> 24);
    }
    assert_int_equal(duel_memory_write(&memory, i, bytes), DUEL_OK);
    free(bytes);
  }
  for (int i = 0; i < 3; i++) assert_int_equal(duel_exec_run(e), DUEL_OK);
  double *all = calloc(*count, sizeof *all), *next = all;
  assert_non_null(all);
  for (int i = 0; i < m.vars.n; i++) {
    if (m.vars.var[i].dtype != DUEL_F64) continue;
    assert_int_equal(duel_memory_read(&memory, i, next), DUEL_OK);
    next += m.vars.var[i].bytes / sizeof(double);
  }
  duel_exec_close(e);
  duel_memory_close(&memory);
  duel_plan_close(plan);
  api->close(b);
  mini_gan_clear(&m);
  return all;
}

static void test_all_passes_train_alike(void **state) {
  (void)state;
  static const unsigned which[] = {DUEL_PASS_SIMPLIFY, DUEL_PASS_CSE, DUEL_PASS_FUSE,
                                   DUEL_PASS_DEAD,     DUEL_PASS_ALL, DUEL_PASS_EXPAND};
  for (int first = 0; first < 2; first++) {
    size_t n, also;
    double *want = train(0, false, first, &n), moved = 0;
    for (size_t i = 0; i < n; i++) moved = fmax(moved, fabs(want[i]));
    assert_true(moved > 0.4 && moved < 1e3);
    for (size_t w = 0; w < sizeof which / sizeof *which; w++)
      for (int expand = 0; expand < 2; expand++) {
        double *have = train(which[w], expand, first, &also);
        assert_int_equal(also, n);
        for (size_t i = 0; i < n; i++)
          if (!(fabs(have[i] - want[i]) <= 1e-9)) // NaN fails
            fail_msg("passes %u: number %zu is %.17g, not %.17g", which[w], i, have[i], want[i]);
        free(have);
      }
    free(want);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(reshapes_vanish),
      TEST(views_of_views),
      TEST(numbers_become_affine),
      TEST(affine_does_not_overflow),
      TEST(broadcasts_go),
      TEST(empty_moves_go),
      TEST(products_read_across),
      TEST(a_bias_before_batchnorm_rests),
      TEST(equal_nodes_merge),
      TEST(packs_merge_by_content),
      TEST(versions_and_writers_do_not_merge),
      TEST(dead_code_goes),
      TEST(labels_stay),
      TEST(a_broken_graph_fails),
      TEST(dense),
      TEST(no_dense),
      TEST(one_of_two_rows_is_the_bias),
      TEST(no_fusion_across_a_writer),
      TEST(matmul_grad),
      TEST(no_matmul_grad),
      TEST(batchnorm),
      TEST(no_batchnorm),
      TEST(the_mlp_step_is_fused),
      TEST(passes_are_deterministic),
      TEST(expansion_leaves_primitives),
      TEST(all_passes_train_alike),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
