// Fusion: its rules on small graphs, and a whole training step that comes out fused and equal under every rewrite.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/backend.h"
#include "core/rewrites/rewrites.h"
#include "cpu/entry.h"
#include "mini_gan.h"
#include "small_graph.h"

// ---- fusion
enum { FUSE = DUEL_REWRITE_SIMPLIFY | DUEL_REWRITE_FUSE | DUEL_REWRITE_DEAD };

static void assert_dense(duel_val v, int n_in, int act) {
  small_made_by(v, DUEL_OP_DENSE);
  assert_int_equal(small_maker(v)->n_in, n_in);
  assert_int_equal(small_maker(v)->attr.matmul.act, act);
}

static void test_dense(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4, 6)), w = small_input("w", DUEL_SHAPE(5, 6)),
           b = small_input("b", DUEL_SHAPE(5));
  duel_val row = small_input("row", DUEL_SHAPE(1, 5));
  small_keep(duel_tanh(small_graph, duel_add(small_graph, duel_matmul(small_graph, x, w, false, true), b)));
  small_keep(duel_add(small_graph, row, duel_matmul(small_graph, x, w, false, true)));
  small_keep(duel_sigmoid(small_graph, duel_matmul(small_graph, x, w, false, true)));
  small_keep(duel_leaky_relu(small_graph, duel_dense(small_graph, x, w, b, false, true, DUEL_ACT_NONE, 0), 0.3));
  small_keep(duel_add(small_graph, b, duel_dense(small_graph, x, w, DUEL_NONE, false, true, DUEL_ACT_NONE, 0)));
  small_rewrite(FUSE);
  assert_dense(small_kept(0), 3, DUEL_ACT_TANH);
  assert_dense(small_kept(1), 3, DUEL_ACT_NONE);
  assert_dense(small_kept(2), 2, DUEL_ACT_SIGMOID);
  assert_dense(small_kept(3), 3, DUEL_ACT_LEAKY_RELU);
  assert_true(small_maker(small_kept(3))->attr.matmul.slope == 0.3);
  assert_true(small_maker(small_kept(3))->attr.matmul.trans_b);
  assert_dense(small_kept(4), 3, DUEL_ACT_NONE);
  assert_int_equal(small_count(DUEL_OP_ADD), 0);
}

static void assert_conv(duel_val v, duel_op op, int n_in, int act) {
  small_made_by(v, op);
  assert_int_equal(small_maker(v)->n_in, n_in);
  assert_int_equal(small_maker(v)->attr.conv_act.act, act);
  assert_int_equal(small_maker(v)->attr.conv_act.conv.stride[1], 2);
}

static void test_conv(void **state) {
  (void)state;
  const duel_conv c = {.stride = {2, 2}, .dilation = {1, 1}, .pad = {1, 1, 1, 1}, .groups = 1};
  const duel_shape image = DUEL_SHAPE(3, 2, 8, 6);
  duel_val x = small_input("x", image), w = small_input("w", DUEL_SHAPE(5, 2, 4, 4)),
           b = small_input("b", DUEL_SHAPE(5));
  duel_val y = small_input("y", DUEL_SHAPE(3, 5, 4, 3)), b2 = small_input("b2", DUEL_SHAPE(1, 2, 1, 1));
  duel_val across = small_input("across", DUEL_SHAPE(3)); // one a column: as many as there are images, too
  duel_graph *g = small_graph;
  small_keep(duel_leaky_relu(g, duel_add(g, duel_conv2d(g, x, w, &c), duel_reshape(g, b, DUEL_SHAPE(5, 1, 1))), 0.3));
  small_keep(duel_tanh(g, duel_add(g, b2, duel_conv2d_dx(g, y, w, &c, image))));
  small_keep(duel_sigmoid(g, duel_conv2d(g, x, w, &c)));
  small_keep(duel_add(g, duel_conv2d(g, x, w, &c), across));
  small_keep(duel_tanh(g, duel_conv2d_dw(g, x, y, &c, DUEL_SHAPE(5, 2, 4, 4))));
  small_rewrite(FUSE);
  assert_conv(small_kept(0), DUEL_OP_CONV2D_ACT, 3, DUEL_ACT_LEAKY_RELU);
  assert_true(small_maker(small_kept(0))->attr.conv_act.slope == 0.3);
  assert_conv(small_kept(1), DUEL_OP_CONV2D_DX_ACT, 3, DUEL_ACT_TANH);
  assert_conv(small_kept(2), DUEL_OP_CONV2D_ACT, 2, DUEL_ACT_SIGMOID);
  small_made_by(small_kept(3), DUEL_OP_ADD);
  small_made_by(small_kept(4), DUEL_OP_TANH);
}

static void test_conv_grad(void **state) {
  (void)state;
  const duel_conv c = {.stride = {2, 2}, .dilation = {1, 1}, .pad = {1, 1, 1, 1}, .groups = 1};
  const duel_shape image = DUEL_SHAPE(3, 2, 8, 6);
  duel_val d = small_input("d", DUEL_SHAPE(3, 5, 4, 3)), w = small_input("w", DUEL_SHAPE(5, 2, 4, 4)),
           x = small_input("x", image), b = small_input("b", DUEL_SHAPE(1, 2, 1, 1));
  duel_graph *g = small_graph;
  small_keep(duel_leaky_relu_grad(g, duel_conv2d_dx(g, d, w, &c, image), x, 0.3));
  small_keep(duel_tanh_grad(g, duel_conv2d_dx(g, d, w, &c, image), x));
  small_keep(duel_sigmoid_grad(g, duel_conv2d_dx(g, d, w, &c, image), x));
  small_keep(duel_tanh_grad(g, duel_conv2d_dx(g, d, w, &c, image), b)); // broadcasts
  small_keep(duel_tanh_grad(g, x, duel_conv2d_dx(g, d, w, &c, image))); // of the gradient, not of the output
  small_keep(duel_tanh_grad(g, duel_add(g, duel_conv2d_dx(g, d, w, &c, image), b), x)); // no place for a bias too
  small_keep(
      duel_tanh_grad(g, duel_conv2d(g, x, duel_input(g, small_var(DUEL_ARENA_INPUT, "w2", DUEL_SHAPE(5, 2, 4, 4))), &c),
                     d)); // the other way
  duel_val m = duel_conv2d_dx(g, d, w, &c, image);
  small_keep(m);
  small_keep(duel_tanh_grad(g, m, x)); // two readers
  small_rewrite(FUSE);
  assert_conv(small_kept(0), DUEL_OP_CONV2D_DX_GRAD, 3, DUEL_ACT_LEAKY_RELU);
  assert_true(small_maker(small_kept(0))->attr.conv_act.slope == 0.3);
  assert_conv(small_kept(1), DUEL_OP_CONV2D_DX_GRAD, 3, DUEL_ACT_TANH);
  assert_conv(small_kept(2), DUEL_OP_CONV2D_DX_GRAD, 3, DUEL_ACT_SIGMOID);
  assert_int_equal(small_count(DUEL_OP_CONV2D_DX_GRAD), 3);
  assert_int_equal(small_count(DUEL_OP_CONV2D_DX_ACT), 1);
  assert_int_equal(small_count(DUEL_OP_TANH_GRAD), 5);
  assert_int_equal(small_count(DUEL_OP_LEAKY_RELU_GRAD) + small_count(DUEL_OP_SIGMOID_GRAD), 0);
}

static void test_no_dense(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(4, 6)), w = small_input("w", DUEL_SHAPE(5, 6)),
           full = small_input("full", DUEL_SHAPE(4, 5));
  duel_val b = small_input("b", DUEL_SHAPE(5)), many = small_input("many", DUEL_SHAPE(3, 4, 6));
  duel_val column = small_input("column", DUEL_SHAPE(4, 1));
  small_keep(duel_matmul(small_graph, x, w, false, true));                                // nothing to gain
  small_keep(duel_add(small_graph, duel_matmul(small_graph, x, w, false, true), full));   // no row
  small_keep(duel_add(small_graph, duel_matmul(small_graph, x, w, false, true), column)); // no row either
  small_keep(duel_add(small_graph, duel_matmul(small_graph, many, w, false, true), b));   // a batch of products
  duel_val m = duel_matmul(small_graph, x, w, false, true);
  small_keep(m);
  small_keep(duel_tanh(small_graph, m)); // two readers
  duel_val twice = duel_matmul(small_graph, x, w, false, true);
  small_keep(duel_add(small_graph, twice, twice));
  small_keep(duel_exp(small_graph, duel_matmul(small_graph, x, w, false, true))); // no such activation
  small_rewrite(FUSE);
  assert_int_equal(small_count(DUEL_OP_DENSE), 0);
}

// Each of two products of one row could take the other for its bias; only one may.
static void test_one_of_two_rows_is_the_bias(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(1, 6)), w = small_input("w", DUEL_SHAPE(5, 6)),
           v = small_input("v", DUEL_SHAPE(5, 6));
  small_keep(
      duel_add(small_graph, duel_matmul(small_graph, x, w, false, true), duel_matmul(small_graph, x, v, false, true)));
  small_rewrite(FUSE);
  assert_dense(small_kept(0), 3, DUEL_ACT_NONE);
  assert_int_equal(small_count(DUEL_OP_MATMUL), 1);
}

// A writer between the parts has overwritten what the fused node would read: it must not wait for its bias.
static void test_no_fusion_across_a_writer(void **state) {
  (void)state;
  int slab = small_var(DUEL_ARENA_PARAM, "slab", DUEL_SHAPE(30)),
      bias = small_var(DUEL_ARENA_INPUT, "bias", DUEL_SHAPE(5));
  duel_val x = small_input("x", DUEL_SHAPE(4, 6)),
           w = duel_view(small_graph, duel_state(small_graph, slab), 0, DUEL_SHAPE(5, 6));
  duel_val m = duel_matmul(small_graph, x, w, false, true);
  duel_assign(small_graph, duel_state(small_graph, slab), small_input("next", DUEL_SHAPE(30)));
  duel_val late = duel_add(small_graph, duel_view(small_graph, duel_state(small_graph, slab), 0, DUEL_SHAPE(5)),
                           duel_input(small_graph, bias));
  small_keep(duel_tanh(small_graph, duel_add(small_graph, m, late)));
  duel_val n = duel_matmul(small_graph, x, duel_view(small_graph, duel_state(small_graph, slab), 0, DUEL_SHAPE(5, 6)),
                           false, true);
  small_keep(duel_add(small_graph, n, late)); // here nothing stands in between
  small_rewrite(FUSE);
  assert_int_equal(small_count(DUEL_OP_DENSE), 1);
  assert_dense(small_kept(1), 3, DUEL_ACT_NONE);
}

static void test_matmul_grad(void **state) {
  (void)state;
  duel_val d = small_input("d", DUEL_SHAPE(4, 5)), w = small_input("w", DUEL_SHAPE(5, 6)),
           y = small_input("y", DUEL_SHAPE(4, 6));
  duel_val p = duel_leaky_relu_grad(small_graph, duel_matmul(small_graph, d, w, false, false), y, 0.2);
  small_keep(p);
  small_keep(duel_sum_to(small_graph, p, DUEL_SHAPE(6)));
  small_keep(duel_reduce_sum(small_graph, p, 1));
  small_keep(duel_reduce_sum(small_graph, p, 2));
  small_keep(duel_sum(small_graph, p));
  // through a reshape between product and derivative
  duel_val square = duel_reshape(small_graph, duel_matmul(small_graph, d, w, false, false), DUEL_SHAPE(2, 2, 6));
  duel_val q = duel_tanh_grad(small_graph, square, duel_reshape(small_graph, y, DUEL_SHAPE(2, 2, 6)));
  small_keep(duel_sum_to(small_graph, duel_reshape(small_graph, q, DUEL_SHAPE(4, 6)), DUEL_SHAPE(6)));
  small_rewrite(FUSE);
  assert_int_equal(small_count(DUEL_OP_MATMUL_GRAD), 2);
  const duel_node *n = small_maker(small_kept(0));
  assert_int_equal(n->op, DUEL_OP_MATMUL_GRAD);
  assert_int_equal(small_kept(1), n->out[1]);
  small_made_by(small_kept(2), DUEL_OP_RESHAPE);
  assert_int_equal(small_maker(small_kept(2))->in[0], n->out[1]);
  assert_int_equal(small_count(DUEL_OP_REDUCE_SUM), 2); // those over the other axes
  assert_int_equal(small_maker(small_kept(5))->op, DUEL_OP_MATMUL_GRAD);
  assert_int_equal(small_maker(small_kept(5))->attr.matmul.act, DUEL_ACT_TANH);
  assert_int_equal(small_graph->value[small_kept(5)].out, 1);
  assert_int_equal(small_count(DUEL_OP_MATMUL), 0);
}

static void test_no_matmul_grad(void **state) {
  (void)state;
  duel_val d = small_input("d", DUEL_SHAPE(4, 5)), w = small_input("w", DUEL_SHAPE(5, 6)),
           y = small_input("y", DUEL_SHAPE(4, 6));
  duel_val m = duel_matmul(small_graph, d, w, false, false);
  small_keep(duel_leaky_relu_grad(small_graph, m, y, 0.2));
  small_keep(duel_leaky_relu_grad(small_graph, m, y, 0.3)); // two readers
  small_keep(duel_tanh_grad(small_graph, duel_matmul(small_graph, d, w, false, false),
                            small_input("row", DUEL_SHAPE(6)))); // broadcasts
  small_rewrite(FUSE);
  assert_int_equal(small_count(DUEL_OP_MATMUL_GRAD), 0);
}

static void test_batchnorm(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(8, 3, 2)), scale = small_input("scale", DUEL_SHAPE(3)),
           shift = small_input("shift", DUEL_SHAPE(3));
  int running = small_var(DUEL_ARENA_BUFFER, "running", DUEL_SHAPE(3));
  duel_val out[3], grad[3];
  duel_batchnorm(small_graph, x, scale, shift, 1e-5, DUEL_ACT_NONE, 0, out);
  duel_ema(small_graph, duel_state(small_graph, running), out[1],
           duel_constant(small_graph, DUEL_SCALAR, 0.1)); // between norm and activation
  duel_val y = duel_leaky_relu(small_graph, out[0], 0.2);
  small_keep(y);
  assert_int_equal(duel_grad(small_graph, duel_sum(small_graph, duel_mul(small_graph, y, y)), 3,
                             (duel_val[]){x, scale, shift}, grad),
                   DUEL_OK);
  for (int i = 0; i < 3; i++) small_keep(grad[i]);
  small_rewrite(FUSE);
  const duel_node *n = small_maker(small_kept(0)), *d = small_maker(small_kept(1));
  assert_int_equal(n->op, DUEL_OP_BATCHNORM);
  assert_int_equal(n->attr.batchnorm.act, DUEL_ACT_LEAKY_RELU);
  assert_int_equal(d->op, DUEL_OP_BATCHNORM_GRAD);
  assert_int_equal(d->attr.batchnorm.act, DUEL_ACT_LEAKY_RELU);
  assert_true(d->attr.batchnorm.slope == 0.2);
  assert_int_equal(d->in[5], n->out[0]); // the activated output
  assert_int_equal(small_count(DUEL_OP_LEAKY_RELU) + small_count(DUEL_OP_LEAKY_RELU_GRAD), 0);
}

static void test_no_batchnorm(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(8, 3)), scale = small_input("scale", DUEL_SHAPE(3)),
           shift = small_input("shift", DUEL_SHAPE(3));
  duel_val out[3];
  duel_batchnorm(small_graph, x, scale, shift, 1e-5, DUEL_ACT_NONE, 0, out);
  small_keep(duel_tanh(small_graph, out[0]));
  small_keep(out[0]);
  small_rewrite(FUSE);
  small_made_by(small_kept(0), DUEL_OP_TANH);
}

// ---- a whole step
static int count_in(const duel_graph *graph, duel_op op) {
  int n = 0;
  for (int i = 0; i < graph->n_nodes; i++) n += graph->node[i]->op == op;
  return n;
}

static duel_graph *step_of(mini_gan *m, unsigned which) {
  duel_graph *step = mini_gan_step(m);
  if (!step || duel_rewrite_graph(&step, which) != DUEL_OK) fail_msg("%s", duel_last_error());
  return step;
}

static void check_fused_step(mini_gan m) {
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_graph *s = step_of(&m, DUEL_REWRITE_ALL);
  assert_int_equal(count_in(s, DUEL_OP_DENSE), 9);       // 3 of G, 2 of D thrice
  assert_int_equal(count_in(s, DUEL_OP_MATMUL_GRAD), 5); // through D.2 thrice, G.6 and G.1
  assert_int_equal(count_in(s, DUEL_OP_MATMUL), 8);      // weight gradients, and the one into batchnorm
  assert_int_equal(count_in(s, DUEL_OP_BATCHNORM), 1);
  assert_int_equal(count_in(s, DUEL_OP_BATCHNORM_GRAD), 1);
  assert_int_equal(count_in(s, DUEL_OP_ADAM), 3);
  assert_int_equal(count_in(s, DUEL_OP_RUNNING), 1);
  assert_int_equal(count_in(s, DUEL_OP_REPORT), 1); // losses and Σ grad²
  assert_int_equal(count_in(s, DUEL_OP_BCE_LOGITS), 0);
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

static void test_rewrites_are_deterministic(void **state) {
  (void)state;
  mini_gan m = mini_gan_small(DUEL_F32);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_graph *a = step_of(&m, DUEL_REWRITE_ALL), *b = step_of(&m, DUEL_REWRITE_ALL);
  assert_int_equal(a->n_nodes, b->n_nodes);
  for (int i = 0; i < a->n_nodes; i++) {
    assert_int_equal(a->node[i]->op, b->node[i]->op);
    assert_int_equal(a->node[i]->n_in, b->node[i]->n_in);
    for (int k = 0; k < a->node[i]->n_in; k++) assert_int_equal(a->node[i]->in[k], b->node[i]->in[k]);
  }
  int nodes = a->n_nodes;
  assert_int_equal(duel_rewrite_graph(&a, DUEL_REWRITE_ALL), DUEL_OK); // nothing is left to do
  assert_int_equal(a->n_nodes, nodes);
  duel_graph_close(a);
  duel_graph_close(b);
  mini_gan_clear(&m);
}

static void test_expansion_leaves_primitives(void **state) {
  (void)state;
  mini_gan m = mini_gan_small(DUEL_F32);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_graph *s = step_of(&m, DUEL_REWRITE_ALL);
  assert_int_equal(duel_rewrite_graph(&s, DUEL_REWRITE_EXPAND), DUEL_OK);
  for (int i = 0; i < s->n_nodes; i++) assert_null(duel_op_records[s->node[i]->op]->expand);
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
  if (duel_plan_for(&plan, s, expand_after ? DUEL_REWRITE_EXPAND : 0, api, b) != DUEL_OK)
    fail_msg("%s", duel_last_error());
  assert_int_equal(duel_memory_open(&memory, api, b, &m.vars, plan->work_bytes), DUEL_OK);
  assert_int_equal(duel_exec_open(&e, &plan, 1, &memory, NULL), DUEL_OK);
  memset(memory.arena[DUEL_ARENA_WORK], 0xFF, plan->work_bytes); // NaN: nobody reads what nobody wrote, gaps included

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
      const mini_player *p = &m.net[var->name[0] == 'D'];
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
  for (int i = 0; i < 3; i++) assert_int_equal(duel_exec_run(e, 0), DUEL_OK);
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

static void test_all_rewrites_train_alike(void **state) {
  (void)state;
  static const unsigned which[] = {DUEL_REWRITE_SIMPLIFY, DUEL_REWRITE_CSE, DUEL_REWRITE_FUSE,
                                   DUEL_REWRITE_DEAD,     DUEL_REWRITE_ALL, DUEL_REWRITE_EXPAND};
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
            fail_msg("rewrites %u: number %zu is %.17g, not %.17g", which[w], i, have[i], want[i]);
        free(have);
      }
    free(want);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      SMALL_TEST(dense),
      SMALL_TEST(conv),
      SMALL_TEST(conv_grad),
      SMALL_TEST(no_dense),
      SMALL_TEST(one_of_two_rows_is_the_bias),
      SMALL_TEST(no_fusion_across_a_writer),
      SMALL_TEST(matmul_grad),
      SMALL_TEST(no_matmul_grad),
      SMALL_TEST(batchnorm),
      SMALL_TEST(no_batchnorm),
      cmocka_unit_test(test_the_mlp_step_is_fused),
      cmocka_unit_test(test_rewrites_are_deterministic),
      cmocka_unit_test(test_expansion_leaves_primitives),
      cmocka_unit_test(test_all_rewrites_train_alike),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
