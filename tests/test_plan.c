// The planner and the executor, by brute force (plan_check.c): hand-built steps and random graphs, run on the CPU with
// and without reuse of memory; and everything that can fail.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/backend.h"
#include "core/mem.h"
#include "core/passes.h"
#include "mini_gan.h"
#include "plan_check.h"

// ---- plans by hand --------------------------------------------------------------------------------------------------
static size_t some_scratch(void *ctx, const duel_graph *g, const duel_node *n) {
  (void)ctx;
  if (n->op == DUEL_OP_DENSE || n->op == DUEL_OP_BATCHNORM) return 1000;
  return n->op == DUEL_OP_REDUCE_SUM ? (size_t)duel_shape_count(g->value[n->in[0]].shape) : 0;
}

static duel_plan *plan_of(duel_graph *g, unsigned passes, bool no_reuse) {
  duel_plan *plan = NULL;
  if (!g || duel_passes(&g, passes) != DUEL_OK) fail_msg("%s", duel_last_error());
  if (duel_plan_make(&plan, g, &(duel_plan_options){.scratch = some_scratch, .no_reuse = no_reuse}) != DUEL_OK)
    fail_msg("%s", duel_last_error());
  return plan;
}

static duel_vars vars;
static duel_graph *g;
static int set_up(void **state) {
  (void)state;
  return duel_graph_open(&g, &vars, DUEL_F32) == DUEL_OK ? 0 : -1;
}
static int tear_down(void **state) {
  (void)state;
  duel_graph_close(g);
  g = NULL;
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
static void keep(const char *name, duel_val v) {
  duel_output(g, add_var(DUEL_ARENA_OUTPUT, name, duel_val_shape(g, v)), v);
}

// The plan takes the graph, so the tear-down must not.
static duel_plan *plan_g(bool no_reuse) {
  duel_graph *mine = g;
  g = NULL;
  return plan_of(mine, 0, no_reuse);
}

static int group_of(const duel_plan *p, duel_val v) {
  for (int group = 0, i = 0; group < p->n_groups; group++)
    for (; i < p->group_end[group]; i++)
      if (p->order[i]->id == p->graph->value[v].node) return group;
  return -1;
}

static bool same_place(const duel_plan *p, duel_val a, duel_val b) {
  return p->place[a].arena == p->place[b].arena && p->place[a].offset == p->place[b].offset;
}

static void test_a_chain_runs_in_place(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(1000)), a = duel_exp(g, x), b = duel_affine(g, a, 2, 1), c = duel_tanh(g, b);
  keep("y", c);
  duel_plan *p = plan_g(false);
  check_plan(p);
  assert_true(same_place(p, a, b) && same_place(p, b, c));
  assert_int_equal(p->place[x].arena, DUEL_ARENA_INPUT);
  assert_int_equal(p->work_bytes, 4096); // 4000 bytes, aligned
  assert_int_equal(p->work_floor, 4096);
  duel_plan_close(p);
}

static void test_what_is_read_later_is_not_overwritten(void **state) {
  (void)state;
  duel_val a = duel_exp(g, input("x", DUEL_SHAPE(6, 6))), b = duel_tanh(g, a);
  duel_val flat = duel_reshape(g, b, DUEL_SHAPE(36));         // keeps b alive
  duel_val first = duel_add(g, a, duel_reduce_sum(g, b, 1));  // a: its last reader, but in one group with ...
  duel_val second = duel_mul(g, a, duel_reduce_sum(g, b, 2)); // ... this one
  duel_val third =
      duel_add(g, duel_affine(g, b, 2, 0), duel_view(g, flat, 6, DUEL_SHAPE(6))); // b as itself and as a row
  keep("first", first);
  keep("second", second);
  keep("third", third);
  duel_plan *p = plan_g(false);
  check_plan(p);
  assert_false(same_place(p, first, a) && same_place(p, second, a));
  duel_plan_close(p);
}

// x + row, where the row is a part of x: element-wise, but not by equal elements.
static void test_a_part_of_itself_is_not_overwritten(void **state) {
  (void)state;
  duel_val a = duel_exp(g, input("x", DUEL_SHAPE(36)));
  duel_val y = duel_add(g, duel_reshape(g, a, DUEL_SHAPE(6, 6)), duel_view(g, a, 6, DUEL_SHAPE(6)));
  keep("y", y);
  duel_plan *p = plan_g(false);
  check_plan(p);
  assert_false(same_place(p, a, y));
  duel_plan_close(p);
}

static void test_state_is_never_overwritten_in_place(void **state) {
  (void)state;
  duel_val s = duel_state(g, add_var(DUEL_ARENA_PARAM, "s", DUEL_SHAPE(64)));
  keep("y", duel_exp(g, duel_reshape(g, s, DUEL_SHAPE(8, 8))));
  keep("z", duel_exp(g, input("x", DUEL_SHAPE(64))));
  duel_plan *p = plan_g(false);
  check_plan(p);
  duel_plan_close(p);
}

static void test_packs_are_written_in_place(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(64)), a = duel_exp(g, x), b = duel_tanh(g, x), small = duel_sum(g, x);
  duel_val half = duel_view(g, duel_sqrt(g, input("long", DUEL_SHAPE(128))), 64, DUEL_SHAPE(64)); // a part of a buffer
  int64_t offset[] = {0, 128, 64, 256, 320, 384};
  duel_val in[] = {a, duel_reshape(g, b, DUEL_SHAPE(8, 8)), x, half, a, small};
  duel_val slab = duel_pack(g, 6, in, offset, 400);
  duel_val other = duel_pack(g, 2, (duel_val[]){b, duel_sigmoid(g, x)}, (int64_t[]){64, 131}, 200);
  keep("slab", slab);
  keep("other", other);
  duel_plan *p = plan_g(false);
  check_plan(p);
  const duel_place *at = p->place;
  assert_int_equal(at[a].offset, at[slab].offset);           // at its first offset
  assert_int_equal(at[b].offset, at[slab].offset + 4 * 128); // not in `other`
  assert_int_equal(at[x].arena, DUEL_ARENA_INPUT);
  assert_int_equal(at[small].offset, at[slab].offset + 4 * 384);
  assert_int_not_equal(at[half].offset, at[slab].offset + 4 * 256);
  const duel_node *pack = p->graph->node[p->graph->value[other].node];
  assert_int_not_equal(at[pack->in[1]].offset, at[other].offset + 4 * 131); // unaligned
  duel_plan_close(p);
}

// In place, but not if a large slab had to live longer for it.
static void test_slabs_do_not_live_longer_for_a_part(void **state) {
  (void)state;
  duel_val early = duel_exp(g, input("x", DUEL_SHAPE(64))), big = input("big", DUEL_SHAPE(100000));
  for (int i = 0; i < 3; i++) big = duel_tanh(g, big);
  duel_val part = duel_add(g, early, duel_sum(g, big));
  duel_val slab = duel_pack(g, 1, &part, (int64_t[]){0}, 100000);
  keep("slab", slab);
  duel_plan *p = plan_g(false);
  check_plan(p);
  assert_true(same_place(p, part, slab));
  assert_true(p->work_floor < 500000 + 400000); // a scratch of the sum's size among it
  duel_plan_close(p);
}

static void test_readers_run_before_the_next_writer(void **state) {
  (void)state;
  int var = add_var(DUEL_ARENA_PARAM, "s", DUEL_SHAPE(64));
  duel_val old = duel_view(g, duel_state(g, var), 0, DUEL_SHAPE(8, 8)), next = input("next", DUEL_SHAPE(64));
  duel_val version1 = duel_assign(g, duel_state(g, var), next);
  duel_val version2 = duel_assign(g, duel_state(g, var), duel_exp(g, next));
  duel_val late = duel_exp(g, duel_reshape(g, old, DUEL_SHAPE(64))); // built after both writers
  keep("y", late);
  duel_plan *p = plan_g(false);
  check_plan(p);
  assert_true(group_of(p, late) < group_of(p, version1));
  assert_true(group_of(p, version1) < group_of(p, version2));
  assert_true(same_place(p, version1, version2));
  duel_plan_close(p);
}

static void test_a_cycle_is_named(void **state) {
  (void)state;
  int var = add_var(DUEL_ARENA_PARAM, "s", DUEL_SHAPE(64));
  duel_val old = duel_state(g, var);
  duel_scope(g, "D update");
  duel_val new = duel_assign(g, old, input("next", DUEL_SHAPE(64)));
  duel_scope(g, "G.3 scale");
  duel_val both = duel_mul(g, duel_exp(g, new), old);
  duel_scope(g, "%s", "");
  keep("y", both);
  duel_plan *p = (duel_plan *)&var;
  assert_int_equal(duel_plan_make(&p, g, NULL), DUEL_ERR_INTERNAL);
  g = NULL; // closed with the plan
  assert_null(p);
  assert_non_null(strstr(duel_last_error(), "D update assign"));
  assert_non_null(strstr(duel_last_error(), "G.3 scale mul"));
  assert_non_null(strstr(duel_last_error(), "G.3 scale exp"));
}

static void test_a_broken_graph_makes_no_plan(void **state) {
  (void)state;
  duel_add(g, input("x", DUEL_SHAPE(4)), input("y", DUEL_SHAPE(5)));
  duel_plan *p;
  assert_int_equal(duel_plan_make(&p, g, NULL), DUEL_ERR_USAGE);
  g = NULL;
}

static void test_an_empty_graph_has_a_plan(void **state) {
  (void)state;
  input("x", DUEL_SHAPE(4));
  duel_plan *p = plan_g(false);
  check_plan(p);
  assert_int_equal(p->n_order, 0);
  assert_int_equal(p->work_bytes, 0);
  duel_plan_close(p);
}

// Eight independent chains: all at once would be eight times the memory of one after another.
static void test_independent_parts_do_not_all_live_at_once(void **state) {
  (void)state;
  for (int i = 0; i < 8; i++) {
    char name[16];
    snprintf(name, sizeof name, "x%d", i);
    duel_val x = input(name, DUEL_SHAPE(64, 64)), y = duel_matmul(g, x, x, false, false);
    for (int k = 0; k < 6; k++) y = duel_matmul(g, y, x, false, false);
    snprintf(name, sizeof name, "y%d", i);
    keep(name, duel_sum(g, y));
  }
  duel_plan *p = plan_g(false);
  check_plan(p);
  assert_true(p->work_bytes <= 4 * 64 * 64 * 4 + 4096);
  duel_plan_close(p);
}

static void test_independent_nodes_share_groups(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(64, 64)), w = input("w", DUEL_SHAPE(64, 64));
  duel_val a = duel_matmul(g, x, w, false, false), b = duel_matmul(g, w, x, true, false);
  duel_val draw = duel_constant(g, DUEL_SHAPE(64, 64), 3);
  duel_val late = duel_mul(g, duel_add(g, a, b), draw);
  keep("y", late);
  duel_plan *p = plan_g(false);
  check_plan(p);
  assert_int_equal(group_of(p, a), group_of(p, b));
  assert_int_equal(group_of(p, draw), group_of(p, late) - 1); // made only when it is needed
  assert_int_equal(p->n_groups, 4);
  duel_plan_close(p);
}

// ---- a whole step ---------------------------------------------------------------------------------------------------
static void test_the_mlp_step(void **state) {
  (void)state;
  mini_gan m = mini_gan_mlp();
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  static const unsigned which[] = {DUEL_PASS_ALL, DUEL_PASS_EXPAND, 0};
  for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
    duel_plan *p = plan_of(mini_gan_step(&m), which[i], false);
    check_plan(p);
    assert_true(p->work_floor <= p->work_bytes);
    assert_true((double)p->work_bytes <= 1.2 * (double)p->work_floor);
    duel_plan *alone = plan_of(mini_gan_step(&m), which[i], true);
    check_plan(alone);
    assert_true(alone->work_bytes > 2 * p->work_bytes);
    duel_plan_close(alone);
    if (which[i] == DUEL_PASS_ALL) {
      assert_true(p->n_groups <= 28);
      assert_true(p->work_bytes < (size_t)3300 * 1024); // D's gradients, G's activations, one batch
    }
    duel_plan_close(p);
  }
  mini_gan_clear(&m);
}

static void test_gradients_are_written_into_their_slab(void **state) {
  (void)state;
  mini_gan m = mini_gan_mlp();
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_plan *p = plan_of(mini_gan_step(&m), DUEL_PASS_ALL, false);
  int packs = 0;
  for (int i = 0; i < p->n_order; i++) {
    const duel_node *n = p->order[i];
    if (n->op != DUEL_OP_PACK || n->attr.pack.count < 100) continue;
    packs++;
    for (int k = 0; k < n->n_in; k++)
      assert_int_equal(p->place[n->in[k]].offset,
                       p->place[n->out[0]].offset + (size_t)n->attr.pack.offset[k] * sizeof(float));
  }
  assert_int_equal(packs, 3);
  duel_plan_close(p);
  mini_gan_clear(&m);
}

static void test_plans_are_deterministic(void **state) {
  (void)state;
  mini_gan m = mini_gan_mlp();
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_plan *a = plan_of(mini_gan_step(&m), DUEL_PASS_ALL, false);
  void *between = malloc(12345); // other addresses
  duel_plan *b = plan_of(mini_gan_step(&m), DUEL_PASS_ALL, false);
  assert_int_equal(a->n_order, b->n_order);
  assert_int_equal(a->n_groups, b->n_groups);
  for (int i = 0; i < a->n_order; i++) assert_int_equal(a->order[i]->id, b->order[i]->id);
  for (int v = 0; v < a->graph->n_values; v++)
    assert_true(same_place(a, v, v) && a->place[v].offset == b->place[v].offset);
  free(between);
  duel_plan_close(a);
  duel_plan_close(b);
  mini_gan_clear(&m);
}

static void test_totals_and_table(void **state) {
  (void)state;
  mini_gan m = mini_gan_mlp();
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_plan *p = plan_of(mini_gan_step(&m), DUEL_PASS_ALL, false);
  duel_plan_totals t = duel_plan_sum(p);
  assert_int_equal(t.nodes, p->n_order);
  assert_int_equal(t.groups, p->n_groups);
  assert_int_equal(t.values, p->graph->n_values);
  assert_int_equal(t.arena_bytes[DUEL_ARENA_WORK], p->work_bytes);
  assert_int_equal(t.arena_bytes[DUEL_ARENA_OPT], m.vars.arena_bytes[DUEL_ARENA_OPT]);
  // The products alone: 3 D forwards of 402k weights, 2 weight gradients, one input gradient, and G's like.
  double products = 2 * 64 * (3 * 401920.0 + 2 * 401920 + 401920 + 558080 * 2 + 532480);
  assert_true(t.flops > products && t.flops < 1.2 * products);
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  duel_plan_print(p, out);
  fclose(out);
  int lines = 0;
  for (char *c = text; *c; c++) lines += *c == '\n';
  assert_int_equal(lines, p->n_order + 4);
  assert_non_null(strstr(text, "matmul_grad"));
  assert_non_null(strstr(text, "64×512"));
  assert_non_null(strstr(text, "G.3 batchnorm"));
  free(text);
  duel_plan_close(p);
  mini_gan_clear(&m);
}

// ---- compiling and running, on a backend that computes nothing
// ---------------------------------------------------------
static int allocations_left, open_allocations, prepared, released;

static void fake_run(const duel_call *call, int phase, int64_t piece) {
  (void)call, (void)phase, (void)piece;
}
static size_t fake_scratch(const duel_call *call) {
  assert_null(call->in[0].data);
  return call->n_in == 3 ? 640 : 0;
}
static const duel_kernel fake_kernel = {.run = fake_run, .scratch = fake_scratch};
static const duel_kernel plain_kernel = {.run = fake_run};
static const duel_kernel *fake_find(duel_backend *b, duel_op op) {
  (void)b;
  if (op == DUEL_OP_INPUT || op == DUEL_OP_STATE || op == DUEL_OP_RESHAPE || op == DUEL_OP_VIEW) return NULL;
  return op == DUEL_OP_LOG ? NULL : op == DUEL_OP_CONSTANT ? &plain_kernel : &fake_kernel;
}
static duel_status fake_alloc(duel_backend *b, size_t bytes, void **p) {
  (void)b;
  if (allocations_left-- == 0) return duel_fail(DUEL_ERR_DEVICE, "no such memory");
  *p = duel_malloc_aligned(DUEL_ALIGN, bytes);
  if (!*p) return duel_fail_memory("an arena", bytes);
  memset(*p, 0, bytes);
  open_allocations++;
  return DUEL_OK;
}
static void fake_free(duel_backend *b, void *p) {
  (void)b;
  open_allocations--;
  duel_free(p);
}
static duel_status fake_upload(duel_backend *b, void *dst, const void *src, size_t bytes) {
  (void)b;
  memcpy(dst, src, bytes);
  return DUEL_OK;
}
static duel_status fake_prepare(duel_backend *b, const duel_call *calls, const int *group_end, int n_groups,
                                void **program) {
  (void)b, (void)calls;
  if (n_groups && group_end[0] == 0) return DUEL_ERR_INTERNAL;
  *program = duel_malloc(1);
  if (!*program) return duel_fail_memory("a program", 1);
  prepared++;
  return DUEL_OK;
}
static duel_status fake_go(duel_backend *b, void *program) {
  (void)b;
  return program ? DUEL_OK : DUEL_ERR_INTERNAL;
}
static void fake_release(duel_backend *b, void *program) {
  (void)b;
  released++;
  duel_free(program);
}
static const duel_backend_api fake = {.name = "fake",
                                      .real = DUEL_F32,
                                      .kernel = fake_find,
                                      .alloc = fake_alloc,
                                      .free = fake_free,
                                      .upload = fake_upload,
                                      .download = fake_upload,
                                      .prepare = fake_prepare,
                                      .run = fake_go,
                                      .release = fake_release};

static void test_a_missing_kernel_is_named(void **state) {
  (void)state;
  duel_scope(g, "D.3 log");
  keep("y", duel_log(g, input("x", DUEL_SHAPE(4))));
  duel_plan *p;
  assert_int_equal(duel_plan_for(&p, g, DUEL_PASS_ALL, &fake, NULL), DUEL_ERR_DEVICE);
  g = NULL;
  assert_null(p);
  assert_string_equal(duel_last_error(), "D.3 log: op log has no kernel on backend fake");
}

static void test_calls_point_into_memory(void **state) {
  (void)state;
  mini_gan m = mini_gan_small(DUEL_F32);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_plan *p;
  duel_memory memory;
  duel_exec *e;
  allocations_left = 100;
  assert_int_equal(duel_plan_for(&p, mini_gan_step(&m), DUEL_PASS_ALL, &fake, NULL), DUEL_OK);
  check_plan(p);
  assert_int_equal(duel_memory_open(&memory, &fake, NULL, &m.vars, p->work_bytes), DUEL_OK);
  assert_int_equal(duel_exec_open(&e, p, &memory), DUEL_OK);
  int n;
  const duel_call *call = duel_exec_calls(e, &n);
  assert_int_equal(n, p->n_order);
  for (int i = 0; i < n; i++) {
    const duel_node *node = p->order[i];
    assert_int_equal(call[i].op, node->op);
    assert_ptr_equal(call[i].attr, &node->attr);
    assert_int_equal(call[i].n_in, node->n_in);
    assert_int_equal(call[i].n_out, node->n_out);
    for (int k = 0; k < node->n_in + node->n_out; k++) {
      const duel_operand *o = k < node->n_in ? &call[i].in[k] : &call[i].out[k - node->n_in];
      duel_val v = k < node->n_in ? node->in[k] : node->out[k - node->n_in];
      const duel_place *at = &p->place[v];
      assert_true(at->offset + at->bytes <= memory.bytes[at->arena]);
      assert_ptr_equal(o->data, (char *)memory.arena[at->arena] + at->offset);
      assert_true(duel_shape_equal(o->shape, p->graph->value[v].shape));
      assert_int_equal(o->dtype, p->graph->value[v].dtype);
    }
    if (p->scratch_bytes[i]) {
      assert_int_equal(p->scratch_bytes[i], 640);
      assert_ptr_equal(call[i].scratch, (char *)memory.arena[DUEL_ARENA_WORK] + p->scratch[i]);
    } else {
      assert_null(call[i].scratch);
    }
  }
  float coef[24], back[24];
  for (int i = 0; i < 24; i++) coef[i] = (float)i;
  assert_int_equal(duel_memory_write(&memory, m.coef, coef), DUEL_OK);
  assert_int_equal(duel_memory_read(&memory, m.coef, back), DUEL_OK);
  assert_memory_equal(coef, back, sizeof coef);
  uint64_t before = duel_mem_count();
  assert_int_equal(duel_exec_run(e), DUEL_OK);
  assert_int_equal(duel_mem_count(), before);
  duel_exec_close(e);
  duel_memory_close(&memory);
  assert_int_equal(open_allocations, 0);
  assert_int_equal(duel_memory_open(&memory, &fake, NULL, &m.vars, p->work_bytes - 256), DUEL_OK);
  assert_int_equal(duel_exec_open(&e, p, &memory), DUEL_ERR_INTERNAL);
  assert_null(e);
  duel_memory_close(&memory);
  duel_plan_close(p);
  mini_gan_clear(&m);
}

static void test_lack_of_device_memory(void **state) {
  (void)state;
  mini_gan m = mini_gan_small(DUEL_F32);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_memory memory;
  for (int i = 0; i < 7; i++) {
    allocations_left = i;
    assert_int_equal(duel_memory_open(&memory, &fake, NULL, &m.vars, (size_t)1 << 20), DUEL_ERR_DEVICE);
    assert_non_null(strstr(duel_last_error(), "fake needs "));
    assert_non_null(strstr(duel_last_error(), "no such memory"));
    assert_int_equal(open_allocations, 0);
  }
  assert_non_null(strstr(duel_last_error(), "needs 1.0 MiB for work memory ("));
  assert_non_null(strstr(duel_last_error(), "; use a smaller batch"));
  mini_gan_clear(&m);
}

// Everything from the first variable to a run; false: out of memory.
static bool whole_way(void) {
  mini_gan m = mini_gan_small(DUEL_F32);
  duel_plan *p = NULL;
  duel_memory memory = {0};
  duel_exec *e = NULL;
  duel_status status = mini_gan_declare(&m);
  duel_graph *step = status == DUEL_OK ? mini_gan_step(&m) : NULL;
  status = step ? duel_plan_for(&p, step, DUEL_PASS_ALL | DUEL_PASS_EXPAND, &fake, NULL) : DUEL_ERR_DEVICE;
  if (status == DUEL_OK) status = duel_memory_open(&memory, &fake, NULL, &m.vars, p->work_bytes);
  if (status == DUEL_OK) {
    status = duel_exec_open(&e, p, &memory);
    if (status == DUEL_OK) status = duel_exec_run(e);
    duel_exec_close(e);
    duel_memory_close(&memory);
  }
  if (status != DUEL_OK) {
    assert_int_equal(status, DUEL_ERR_DEVICE);
    if (!strstr(duel_last_error(), "out of memory")) fail_msg("the message is '%s'", duel_last_error());
  }
  duel_plan_close(p);
  mini_gan_clear(&m);
  return status == DUEL_OK;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  allocations_left = 1 << 30;
  uint64_t before = duel_mem_count();
  assert_true(whole_way());
  uint64_t all = duel_mem_count() - before;
  assert_true(all > 50);
  for (uint64_t n = 1; n <= all; n++) {
    for (int forever = 0; forever < 2; forever++) {
      duel_clear_error();
      duel_mem_fail_at(n, forever);
      bool ok = whole_way();
      duel_mem_fail_at(0, 0);
      if (ok) fail_msg("allocation %" PRIu64 " failed and nobody noticed", n);
      assert_int_equal(open_allocations, 0);
      assert_int_equal(prepared, released);
    }
  }
}

// ---- random graphs --------------------------------------------------------------------------------------------------
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
    duel_batchnorm_grad(graph, d, x, c, out[1], out[2], out[0], 0.1, DUEL_ACT_NONE, 0, out);
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
  const duel_kernel *kernel = duel_cpu_f64_backend.kernel(ctx, n->op);
  duel_operand operand[16];
  assert_true(n->n_in + n->n_out <= 16);
  for (int i = 0; i < n->n_in + n->n_out; i++) {
    const duel_value *v = &graph->value[i < n->n_in ? n->in[i] : n->out[i - n->n_in]];
    operand[i] = (duel_operand){.dtype = v->dtype, .shape = v->shape};
  }
  duel_call call = {
      .op = n->op, .n_in = n->n_in, .n_out = n->n_out, .in = operand, .out = operand + n->n_in, .attr = &n->attr};
  return kernel->scratch ? kernel->scratch(&call) : 0;
}

// Two runs of the random graph; yields the variables.
static double *run_random(uint64_t seed, unsigned passes, bool no_reuse, duel_backend *b, size_t *count) {
  random_graph r;
  build_random(&r, seed);
  duel_plan *p;
  duel_memory memory;
  duel_exec *e;
  duel_graph *graph = r.g;
  if (duel_passes(&graph, passes) != DUEL_OK) fail_msg("%s", duel_last_error());
  duel_plan_options options = {.scratch = kernel_scratch, .ctx = b, .no_reuse = no_reuse};
  if (duel_plan_make(&p, graph, &options) != DUEL_OK) fail_msg("seed %" PRIu64 ": %s", seed, duel_last_error());
  check_plan(p);
  assert_int_equal(duel_memory_open(&memory, &duel_cpu_f64_backend, b, &r.vars, p->work_bytes), DUEL_OK);
  assert_int_equal(duel_exec_open(&e, p, &memory), DUEL_OK);
  memset(memory.arena[DUEL_ARENA_WORK], 0xFF, p->work_bytes); // NaN: nothing is read before it is written
  double number[16 * 1024];
  for (int i = 0; i < r.vars.n; i++) {
    size_t n = r.vars.var[i].bytes / sizeof(double);
    assert_true(n <= sizeof number / sizeof *number);
    for (size_t k = 0; k < n; k++) number[k] = (double)draw(&r, 2001) / 1000 - 1;
    assert_int_equal(duel_memory_write(&memory, i, number), DUEL_OK);
  }
  for (int i = 0; i < 2; i++) assert_int_equal(duel_exec_run(e), DUEL_OK);
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
    have = run_random(seed, DUEL_PASS_ALL, false, b, &also);
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

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_chain_runs_in_place),
      TEST(what_is_read_later_is_not_overwritten),
      TEST(a_part_of_itself_is_not_overwritten),
      TEST(state_is_never_overwritten_in_place),
      TEST(packs_are_written_in_place),
      TEST(slabs_do_not_live_longer_for_a_part),
      TEST(readers_run_before_the_next_writer),
      TEST(a_cycle_is_named),
      TEST(a_broken_graph_makes_no_plan),
      TEST(an_empty_graph_has_a_plan),
      TEST(independent_parts_do_not_all_live_at_once),
      TEST(independent_nodes_share_groups),
      TEST(the_mlp_step),
      TEST(gradients_are_written_into_their_slab),
      TEST(plans_are_deterministic),
      TEST(totals_and_table),
      TEST(a_missing_kernel_is_named),
      TEST(calls_point_into_memory),
      TEST(lack_of_device_memory),
      TEST(every_allocation_may_fail),
      TEST(random_graphs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
