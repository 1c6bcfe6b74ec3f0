// Random graphs: their plans are right by brute force, and they compute the same with and without reuse of memory, bit
// for bit, and up to rounding under all passes.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/backend.h"
#include "core/rewrites/rewrites.h"
#include "cpu/entry.h"
#include "plan_check.h"

enum { POOL = 400, RANDOM_VARS = 4, MAX_ROWS = 6, MAX_COLUMNS = 80 };

typedef struct random_graph {
  uint64_t seed;
  duel_vars vars;
  duel_graph *g;
  duel_val pool[POOL];
  int n;
  int state[RANDOM_VARS], input[3];
} random_graph;

static uint32_t draw(random_graph *r, uint32_t below) {
  r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(r->seed >> 33) % below;
}

static duel_val pick(random_graph *r) {
  return r->pool[draw(r, (uint32_t)r->n)];
}

static void put(random_graph *r, duel_val v) {
  if (v == DUEL_NONE || r->n == POOL) return;
  int64_t count = duel_shape_count(duel_val_shape(r->g, v));
  if (count <= MAX_ROWS * MAX_COLUMNS * 4) r->pool[r->n++] = v;
}

// The newest version alone may be read from here on: a reader of an old one might follow from the new one.
static void forget(random_graph *r, int var) {
  int kept = 0;
  for (int i = 0; i < r->n; i++) {
    duel_val v = r->pool[i];
    const duel_node *n = r->g->node[r->g->value[v].node];
    while (n->op == DUEL_OP_RESHAPE || n->op == DUEL_OP_VIEW) {
      v = n->in[0];
      n = r->g->node[r->g->value[v].node];
    }
    if (r->g->value[v].var != var) r->pool[kept++] = r->pool[i];
  }
  r->n = kept;
}

static duel_val shaped(random_graph *r, duel_val v, duel_shape shape) {
  duel_graph *graph = r->g;
  int64_t have = duel_shape_count(duel_val_shape(graph, v)), want = duel_shape_count(shape);
  duel_val flat = duel_reshape(graph, v, DUEL_SHAPE(have));
  if (have > want) return duel_view(graph, flat, draw(r, (uint32_t)(have - want + 1)), shape);
  if (have < want) flat = duel_pack(graph, 1, &flat, (int64_t[]){(int64_t)draw(r, (uint32_t)(want - have + 1))}, want);
  return duel_reshape(graph, flat, shape);
}

static duel_shape random_shape(random_graph *r) {
  return draw(r, 3) ? DUEL_SHAPE(1 + draw(r, MAX_ROWS), 1 + draw(r, MAX_COLUMNS))
                    : DUEL_SHAPE(1 + draw(r, MAX_COLUMNS));
}

static void add_random_node(random_graph *r) {
  duel_graph *graph = r->g;
  duel_val a = pick(r), b = pick(r), out[4] = {DUEL_NONE, DUEL_NONE, DUEL_NONE, DUEL_NONE};
  duel_shape sa = duel_val_shape(graph, a), sb = duel_val_shape(graph, b), joined;
  bool fit = duel_shape_broadcast(sa, sb, &joined) && duel_shape_count(joined) <= MAX_ROWS * MAX_COLUMNS;
  duel_act act = (duel_act)draw(r, 4);
  switch (draw(r, 20)) {
  case 0:
    put(r, fit ? duel_add(graph, a, b) : DUEL_NONE);
    break;
  case 1:
    put(r, duel_tanh(graph, fit ? duel_mul(graph, a, b) : a));
    break;
  case 2:
    put(r, fit ? duel_select(graph, duel_less_equal(graph, a, b), a, b) : DUEL_NONE);
    break;
  case 3:
    put(r, duel_affine(graph, a, 0.5 + draw(r, 2), draw(r, 2)));
    break;
  case 4:
    put(r, duel_activate(graph, a, act, 0.2));
    break;
  case 5:
    put(r, duel_activate_grad(graph, a, shaped(r, b, sa), act, 0.2));
    break;
  case 6:
    put(r, sa.rank ? duel_affine(graph, duel_reduce_sum(graph, a, 1 + draw(r, 1u << sa.rank) % ((1u << sa.rank) - 1)),
                                 0.1, 0)
                   : DUEL_NONE);
    break;
  case 7:
    put(r, shaped(r, a, random_shape(r)));
    break;
  case 8:
    put(r, duel_constant(graph, random_shape(r), draw(r, 3)));
    break;
  case 9: // a layer
  case 10: {
    duel_val x = shaped(r, a, DUEL_SHAPE(5, 7)), w = shaped(r, b, DUEL_SHAPE(9, 7)),
             bias = shaped(r, pick(r), DUEL_SHAPE(9));
    put(r,
        duel_tanh(graph, duel_activate(graph, duel_add(graph, duel_matmul(graph, x, w, false, true), bias), act, 0.2)));
    break;
  }
  case 11: { // and a way back
    duel_val d = shaped(r, a, DUEL_SHAPE(5, 9)), w = shaped(r, b, DUEL_SHAPE(9, 7)),
             y = shaped(r, pick(r), DUEL_SHAPE(5, 7));
    duel_val p = duel_activate_grad(graph, duel_matmul(graph, d, w, false, false), y, act, 0.2);
    put(r, duel_sum_to(graph, p, DUEL_SHAPE(7)));
    put(r, duel_tanh(graph, p));
    break;
  }
  case 12: {
    duel_val x = shaped(r, a, DUEL_SHAPE(6, 4)), c = shaped(r, b, DUEL_SHAPE(4));
    duel_batchnorm(graph, x, c, shaped(r, pick(r), DUEL_SHAPE(4)), 0.1, DUEL_ACT_NONE, 0, out);
    duel_val y = duel_activate(graph, out[0], act, 0.2),
             d = duel_activate_grad(graph, shaped(r, pick(r), DUEL_SHAPE(6, 4)), y, act, 0.2);
    put(r, y);
    put(r, out[1]);
    duel_batchnorm_grad(graph, (duel_val[]){d, x, c, out[1], out[2], out[0]}, 0.1, DUEL_ACT_NONE, 0, out);
    put(r, duel_tanh(graph, out[0]));
    put(r, duel_tanh(graph, out[1]));
    break;
  }
  case 13:
  case 14: { // a slab, aligned or not
    int64_t step = draw(r, 3) ? 32 : 5, at = 0, offset[4];
    duel_val in[4];
    for (int i = 0; i < 4; i++) {
      in[i] = pick(r);
      offset[i] = at;
      at = (at + duel_shape_count(duel_val_shape(graph, in[i])) + step - 1) / step * step;
    }
    put(r, duel_pack(graph, 4, in, offset, at + 3));
    break;
  }
  case 15:
    put(r, sa.rank == 2 ? duel_transpose(graph, a, (int[]){1, 0}) : duel_exp(graph, duel_tanh(graph, a)));
    break;
  case 16:
    put(r, fit ? duel_broadcast(graph, a, joined) : DUEL_NONE);
    break;
  case 17: // a writer; the state is read only as it is now
  case 18: {
    int var = r->state[draw(r, RANDOM_VARS)];
    duel_val old = duel_state(graph, var), x = duel_tanh(graph, shaped(r, a, duel_val_shape(graph, old)));
    forget(r, var);
    put(r, draw(r, 2) ? duel_assign(graph, old, x) : duel_ema(graph, old, x, duel_constant(graph, DUEL_SCALAR, 0.25)));
    break;
  }
  default:
    put(r, duel_sigmoid(graph, a));
  }
}

// The same seed gives the same graph and variables.
static void build_random(random_graph *r, uint64_t seed) {
  *r = (random_graph){.seed = seed * 2654435761u + 1};
  char name[24];
  for (int i = 0; i < RANDOM_VARS; i++) {
    snprintf(name, sizeof name, "state%d", i);
    assert_int_equal(duel_vars_add(&r->vars, DUEL_ARENA_PARAM, name, DUEL_F64, DUEL_SHAPE(40 * (i + 1)), &r->state[i]),
                     DUEL_OK);
  }
  for (int i = 0; i < 3; i++) {
    snprintf(name, sizeof name, "input%d", i);
    assert_int_equal(duel_vars_add(&r->vars, DUEL_ARENA_INPUT, name, DUEL_F64, random_shape(r), &r->input[i]), DUEL_OK);
  }
  assert_int_equal(duel_graph_open(&r->g, &r->vars, DUEL_F64), DUEL_OK);
  for (int i = 0; i < RANDOM_VARS; i++) put(r, duel_state(r->g, r->state[i]));
  for (int i = 0; i < 3; i++) put(r, duel_input(r->g, r->input[i]));
  int nodes = 10 + (int)draw(r, 120);
  for (int i = 0; i < nodes; i++) add_random_node(r);
  for (int i = 0; i < 6; i++) {
    duel_val v = pick(r);
    int var;
    snprintf(name, sizeof name, "out%d", i);
    assert_int_equal(duel_vars_add(&r->vars, DUEL_ARENA_OUTPUT, name, DUEL_F64, duel_val_shape(r->g, v), &var),
                     DUEL_OK);
    duel_output(r->g, var, v);
  }
  if (duel_graph_status(r->g) != DUEL_OK) fail_msg("seed %" PRIu64 ": %s", seed, duel_last_error());
}

static size_t kernel_scratch(void *ctx, const duel_graph *graph, const duel_node *n) {
  duel_operand operand[16];
  assert_true(n->n_in + n->n_out <= 16);
  for (int i = 0; i < n->n_in + n->n_out; i++) {
    const duel_value *v = &graph->value[i < n->n_in ? n->in[i] : n->out[i - n->n_in]];
    operand[i] = (duel_operand){.dtype = v->dtype, .shape = v->shape};
  }
  duel_call call = {
      .op = n->op, .n_in = n->n_in, .n_out = n->n_out, .in = operand, .out = operand + n->n_in, .attr = &n->attr};
  return duel_cpu_f64_backend.scratch(ctx, &call);
}

// Two runs of the random graph; yields the variables.
static double *run_random(uint64_t seed, unsigned passes, bool no_reuse, duel_backend *b, size_t *count) {
  random_graph r;
  build_random(&r, seed);
  duel_plan *p;
  duel_memory memory;
  duel_exec *e;
  duel_graph *graph = r.g;
  if (duel_rewrite_graph(&graph, passes) != DUEL_OK) fail_msg("%s", duel_last_error());
  duel_plan_options options = {.scratch = kernel_scratch, .ctx = b, .no_reuse = no_reuse};
  if (duel_plan_make(&p, graph, &options) != DUEL_OK) fail_msg("seed %" PRIu64 ": %s", seed, duel_last_error());
  check_plan(p);
  assert_int_equal(duel_memory_open(&memory, &duel_cpu_f64_backend, b, &r.vars, p->work_bytes), DUEL_OK);
  assert_int_equal(duel_exec_open(&e, &p, 1, &memory, NULL), DUEL_OK);
  memset(memory.arena[DUEL_ARENA_WORK], 0xFF, p->work_bytes); // NaN: nothing is read before it is written
  double number[16 * 1024];
  for (int i = 0; i < r.vars.n; i++) {
    size_t n = r.vars.var[i].bytes / sizeof(double);
    assert_true(n <= sizeof number / sizeof *number);
    for (size_t k = 0; k < n; k++) number[k] = (double)draw(&r, 2001) / 1000 - 1;
    assert_int_equal(duel_memory_write(&memory, i, number), DUEL_OK);
  }
  for (int i = 0; i < 2; i++) assert_int_equal(duel_exec_run(e, 0), DUEL_OK);
  *count = 0;
  for (int i = 0; i < r.vars.n; i++) *count += r.vars.var[i].bytes / sizeof(double);
  double *all = malloc(*count * sizeof *all), *next = all;
  assert_non_null(all);
  for (int i = 0; i < r.vars.n; i++) {
    assert_int_equal(duel_memory_read(&memory, i, next), DUEL_OK);
    next += r.vars.var[i].bytes / sizeof(double);
  }
  duel_exec_close(e);
  duel_memory_close(&memory);
  duel_plan_close(p);
  duel_vars_clear(&r.vars);
  return all;
}

static void test_random_graphs(void **state) {
  (void)state;
  duel_backend *b;
  assert_int_equal(duel_cpu_f64_backend.open(&b, &(duel_backend_options){.threads = 2}), DUEL_OK);
  for (uint64_t seed = 0; seed < 150; seed++) {
    size_t n, also;
    double *want = run_random(seed, 0, true, b, &n), *have = run_random(seed, 0, false, b, &also);
    for (size_t i = 0; i < n; i++) {
      if (memcmp(&want[i], &have[i], sizeof *want))
        fail_msg("seed %" PRIu64 ", number %zu: %.17g alone, %.17g planned", seed, i, want[i], have[i]);
      if (want[i] != want[i]) fail_msg("seed %" PRIu64 ", number %zu is NaN", seed, i);
    }
    free(have);
    have = run_random(seed, DUEL_REWRITE_ALL, false, b, &also);
    for (size_t i = 0; i < n; i++) {
      double scale = want[i] > 1 ? want[i] : want[i] < -1 ? -want[i] : 1;
      if (!(have[i] - want[i] <= 1e-7 * scale && want[i] - have[i] <= 1e-7 * scale))
        fail_msg("seed %" PRIu64 ", number %zu: %.17g, with all passes %.17g", seed, i, want[i], have[i]);
    }
    free(have);
    free(want);
  }
  duel_cpu_f64_backend.close(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
