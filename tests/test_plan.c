// The planner, by brute force (plan_check.c): small graphs by hand, and a whole training step.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rewrites/rewrites.h"
#include "mini_gan.h"
#include "plan_check.h"
#include "small_graph.h"

// ---- plans by hand
static size_t some_scratch(void *ctx, const duel_graph *g, const duel_node *n) {
  (void)ctx;
  if (n->op == DUEL_OP_DENSE || n->op == DUEL_OP_BATCHNORM) return 1000;
  return n->op == DUEL_OP_REDUCE_SUM ? (size_t)duel_shape_count(g->value[n->in[0]].shape) : 0;
}

static duel_plan *plan_of(duel_graph *g, unsigned rewrites, bool no_reuse) {
  duel_plan *plan = NULL;
  if (!g || duel_rewrite_graph(&g, rewrites) != DUEL_OK) fail_msg("%s", duel_last_error());
  if (duel_plan_make(&plan, g, &(duel_plan_options){.scratch = some_scratch, .no_reuse = no_reuse}) != DUEL_OK)
    fail_msg("%s", duel_last_error());
  return plan;
}

// Eight chains that begin with a large tensor each, and a constant that their last step reads. cut: each is a stretch.
static duel_plan *plan_chains(size_t roomy, bool constants_first, bool cut, duel_val *constant) {
  duel_val all = *constant = duel_constant(small_graph, DUEL_SHAPE(1, 1), 2);
  for (int i = 0; i < 8; i++) {
    char name[8];
    snprintf(name, sizeof name, "x%d", i);
    if (cut) small_graph->stretch++;
    const duel_val large = duel_exp(small_graph, small_input(name, DUEL_SHAPE(100, 100)));
    all = duel_add(small_graph, all, duel_reduce_sum(small_graph, large, 3));
  }
  small_keep(all);
  duel_plan *plan = NULL;
  const duel_plan_options options = {.scratch = some_scratch, .roomy = roomy, .constants_first = constants_first};
  if (duel_plan_make(&plan, small_graph, &options) != DUEL_OK) fail_msg("%s", duel_last_error());
  small_graph = NULL;
  return plan;
}

// The plan takes the graph, so the tear-down must not.
static duel_plan *plan_small(bool no_reuse) {
  duel_graph *mine = small_graph;
  small_graph = NULL;
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

// Where memory costs nothing, what is independent runs side by side; elsewhere it would all be alive at once.
static void test_room_is_spent_on_fewer_groups(void **state) {
  (void)state;
  duel_val constant;
  duel_plan *p = plan_chains(SIZE_MAX, true, false, &constant);
  check_plan(p);
  const int groups = p->n_groups;
  const size_t bytes = p->work_bytes;
  assert_int_equal(groups, 11); // exp and the constant, sums, eight additions, the copy
  assert_int_equal(group_of(p, constant), 0);
  duel_plan_close(p);
  small_tear_down(NULL);
  small_set_up(NULL);
  p = plan_chains(0, false, false, &constant);
  check_plan(p);
  assert_true(p->n_groups > groups && p->work_bytes < bytes);
  assert_true(group_of(p, constant) > 0); // made where it is read
  duel_plan_close(p);
  small_tear_down(NULL);
  small_set_up(NULL);
  p = plan_chains(1, true, false, &constant); // less than any plan takes
  check_plan(p);
  assert_true(p->n_groups > groups);
  assert_int_equal(group_of(p, constant), 0);
  duel_plan_close(p);
}

// However much room there is.
static void test_stretches_run_one_after_another(void **state) {
  (void)state;
  duel_val constant;
  duel_plan *p = plan_chains(SIZE_MAX, true, true, &constant);
  check_plan(p);
  assert_int_equal(group_of(p, constant), 0);
  assert_true(p->work_bytes < 2 * 100 * 100 * sizeof(float));
  int at = 0;
  for (int group = 0, i = 0; group < p->n_groups; group++)
    for (const int first = i; i < p->group_end[group]; i++) {
      if (p->order[i]->op == DUEL_OP_CONSTANT) continue;
      assert_true(p->order[i]->stretch >= at && (i == first || p->order[i]->stretch == at));
      at = p->order[i]->stretch;
    }
  assert_int_equal(at, 8);
  duel_plan_close(p);
}

static void test_a_chain_runs_in_place(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(1000)), a = duel_exp(small_graph, x), b = duel_affine(small_graph, a, 2, 1),
           c = duel_tanh(small_graph, b);
  small_keep(c);
  duel_plan *p = plan_small(false);
  check_plan(p);
  assert_true(same_place(p, a, b) && same_place(p, b, c));
  assert_int_equal(p->place[x].arena, DUEL_ARENA_INPUT);
  assert_int_equal(p->work_bytes, 4096); // 4000 bytes, aligned
  assert_int_equal(p->work_floor, 4096);
  duel_plan_close(p);
}

static void test_what_is_read_later_is_not_overwritten(void **state) {
  (void)state;
  duel_val a = duel_exp(small_graph, small_input("x", DUEL_SHAPE(6, 6))), b = duel_tanh(small_graph, a);
  duel_val flat = duel_reshape(small_graph, b, DUEL_SHAPE(36)); // keeps b alive
  duel_val first =
      duel_add(small_graph, a, duel_reduce_sum(small_graph, b, 1)); // a: its last reader, but in one group with ...
  duel_val second = duel_mul(small_graph, a, duel_reduce_sum(small_graph, b, 2)); // ... this one
  duel_val third = duel_add(small_graph, duel_affine(small_graph, b, 2, 0),
                            duel_view(small_graph, flat, 6, DUEL_SHAPE(6))); // b as itself and as a row
  small_keep(first);
  small_keep(second);
  small_keep(third);
  duel_plan *p = plan_small(false);
  check_plan(p);
  assert_false(same_place(p, first, a) && same_place(p, second, a));
  duel_plan_close(p);
}

// x + row, where the row is a part of x: element-wise, but not by equal elements.
static void test_a_part_of_itself_is_not_overwritten(void **state) {
  (void)state;
  duel_val a = duel_exp(small_graph, small_input("x", DUEL_SHAPE(36)));
  duel_val y = duel_add(small_graph, duel_reshape(small_graph, a, DUEL_SHAPE(6, 6)),
                        duel_view(small_graph, a, 6, DUEL_SHAPE(6)));
  small_keep(y);
  duel_plan *p = plan_small(false);
  check_plan(p);
  assert_false(same_place(p, a, y));
  duel_plan_close(p);
}

static void test_state_is_never_overwritten_in_place(void **state) {
  (void)state;
  duel_val s = duel_state(small_graph, small_var(DUEL_ARENA_PARAM, "s", DUEL_SHAPE(64)));
  small_keep(duel_exp(small_graph, duel_reshape(small_graph, s, DUEL_SHAPE(8, 8))));
  small_keep(duel_exp(small_graph, small_input("x", DUEL_SHAPE(64))));
  duel_plan *p = plan_small(false);
  check_plan(p);
  duel_plan_close(p);
}

static void test_packs_are_written_in_place(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(64)), a = duel_exp(small_graph, x), b = duel_tanh(small_graph, x),
           small = duel_sum(small_graph, x);
  duel_val half = duel_view(small_graph, duel_sqrt(small_graph, small_input("long", DUEL_SHAPE(128))), 64,
                            DUEL_SHAPE(64)); // a part of a buffer
  int64_t offset[] = {0, 128, 64, 256, 320, 384};
  duel_val in[] = {a, duel_reshape(small_graph, b, DUEL_SHAPE(8, 8)), x, half, a, small};
  duel_val slab = duel_pack(small_graph, 6, in, offset, 400);
  duel_val other = duel_pack(small_graph, 2, (duel_val[]){b, duel_sigmoid(small_graph, x)}, (int64_t[]){64, 131}, 200);
  small_keep(slab);
  small_keep(other);
  duel_plan *p = plan_small(false);
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
  duel_val early = duel_exp(small_graph, small_input("x", DUEL_SHAPE(64))),
           big = small_input("big", DUEL_SHAPE(100000));
  for (int i = 0; i < 3; i++) big = duel_tanh(small_graph, big);
  duel_val part = duel_add(small_graph, early, duel_sum(small_graph, big));
  duel_val slab = duel_pack(small_graph, 1, &part, (int64_t[]){0}, 100000);
  small_keep(slab);
  duel_plan *p = plan_small(false);
  check_plan(p);
  assert_true(same_place(p, part, slab));
  assert_true(p->work_floor < 500000 + 400000); // a scratch of the sum's size among it
  duel_plan_close(p);
}

static void test_readers_run_before_the_next_writer(void **state) {
  (void)state;
  int var = small_var(DUEL_ARENA_PARAM, "s", DUEL_SHAPE(64));
  duel_val old = duel_view(small_graph, duel_state(small_graph, var), 0, DUEL_SHAPE(8, 8)),
           next = small_input("next", DUEL_SHAPE(64));
  duel_val version1 = duel_assign(small_graph, duel_state(small_graph, var), next);
  duel_val version2 = duel_assign(small_graph, duel_state(small_graph, var), duel_exp(small_graph, next));
  duel_val late = duel_exp(small_graph, duel_reshape(small_graph, old, DUEL_SHAPE(64))); // built after both writers
  small_keep(late);
  duel_plan *p = plan_small(false);
  check_plan(p);
  assert_true(group_of(p, late) < group_of(p, version1));
  assert_true(group_of(p, version1) < group_of(p, version2));
  assert_true(same_place(p, version1, version2));
  duel_plan_close(p);
}

static void test_a_cycle_is_named(void **state) {
  (void)state;
  int var = small_var(DUEL_ARENA_PARAM, "s", DUEL_SHAPE(64));
  duel_val old = duel_state(small_graph, var);
  duel_scope(small_graph, "D update");
  duel_val new = duel_assign(small_graph, old, small_input("next", DUEL_SHAPE(64)));
  duel_scope(small_graph, "G.3 scale");
  duel_val both = duel_mul(small_graph, duel_exp(small_graph, new), old);
  duel_scope(small_graph, "%s", "");
  small_keep(both);
  duel_plan *p = (duel_plan *)&var;
  assert_int_equal(duel_plan_make(&p, small_graph, NULL), DUEL_ERR_INTERNAL);
  small_graph = NULL; // closed with the plan
  assert_null(p);
  assert_non_null(strstr(duel_last_error(), "D update assign"));
  assert_non_null(strstr(duel_last_error(), "G.3 scale mul"));
  assert_non_null(strstr(duel_last_error(), "G.3 scale exp"));
}

static void test_a_broken_graph_makes_no_plan(void **state) {
  (void)state;
  duel_add(small_graph, small_input("x", DUEL_SHAPE(4)), small_input("y", DUEL_SHAPE(5)));
  duel_plan *p;
  assert_int_equal(duel_plan_make(&p, small_graph, NULL), DUEL_ERR_USAGE);
  small_graph = NULL;
}

static void test_an_empty_graph_has_a_plan(void **state) {
  (void)state;
  small_input("x", DUEL_SHAPE(4));
  duel_plan *p = plan_small(false);
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
    duel_val x = small_input(name, DUEL_SHAPE(64, 64)), y = duel_matmul(small_graph, x, x, false, false);
    for (int k = 0; k < 6; k++) y = duel_matmul(small_graph, y, x, false, false);
    small_keep(duel_sum(small_graph, y));
  }
  duel_plan *p = plan_small(false);
  check_plan(p);
  assert_true(p->work_bytes <= 4 * 64 * 64 * 4 + 4096);
  duel_plan_close(p);
}

static void test_independent_nodes_share_groups(void **state) {
  (void)state;
  duel_val x = small_input("x", DUEL_SHAPE(64, 64)), w = small_input("w", DUEL_SHAPE(64, 64));
  duel_val a = duel_matmul(small_graph, x, w, false, false), b = duel_matmul(small_graph, w, x, true, false);
  duel_val draw = duel_constant(small_graph, DUEL_SHAPE(64, 64), 3);
  duel_val late = duel_mul(small_graph, duel_add(small_graph, a, b), draw);
  small_keep(late);
  duel_plan *p = plan_small(false);
  check_plan(p);
  assert_int_equal(group_of(p, a), group_of(p, b));
  assert_int_equal(group_of(p, draw), group_of(p, late) - 1); // made only when it is needed
  assert_int_equal(p->n_groups, 4);
  duel_plan_close(p);
}

// ---- a whole step
static void test_the_mlp_step(void **state) {
  (void)state;
  mini_gan m = mini_gan_mlp();
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  static const unsigned which[] = {DUEL_REWRITE_ALL, DUEL_REWRITE_EXPAND, 0};
  for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
    duel_plan *p = plan_of(mini_gan_step(&m), which[i], false);
    check_plan(p);
    assert_true(p->work_floor <= p->work_bytes);
    assert_true((double)p->work_bytes <= 1.2 * (double)p->work_floor);
    duel_plan *alone = plan_of(mini_gan_step(&m), which[i], true);
    check_plan(alone);
    assert_true(alone->work_bytes > 2 * p->work_bytes);
    duel_plan_close(alone);
    if (which[i] == DUEL_REWRITE_ALL) {
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
  duel_plan *p = plan_of(mini_gan_step(&m), DUEL_REWRITE_ALL, false);
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
  duel_plan *a = plan_of(mini_gan_step(&m), DUEL_REWRITE_ALL, false);
  void *between = malloc(12345); // other addresses
  duel_plan *b = plan_of(mini_gan_step(&m), DUEL_REWRITE_ALL, false);
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
  duel_plan *p = plan_of(mini_gan_step(&m), DUEL_REWRITE_ALL, false);
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

int main(void) {
  const struct CMUnitTest tests[] = {
      SMALL_TEST(a_chain_runs_in_place),
      SMALL_TEST(what_is_read_later_is_not_overwritten),
      SMALL_TEST(a_part_of_itself_is_not_overwritten),
      SMALL_TEST(state_is_never_overwritten_in_place),
      SMALL_TEST(packs_are_written_in_place),
      SMALL_TEST(slabs_do_not_live_longer_for_a_part),
      SMALL_TEST(readers_run_before_the_next_writer),
      SMALL_TEST(a_cycle_is_named),
      SMALL_TEST(a_broken_graph_makes_no_plan),
      SMALL_TEST(an_empty_graph_has_a_plan),
      SMALL_TEST(independent_parts_do_not_all_live_at_once),
      SMALL_TEST(independent_nodes_share_groups),
      SMALL_TEST(room_is_spent_on_fewer_groups),
      SMALL_TEST(stretches_run_one_after_another),
      cmocka_unit_test(test_the_mlp_step),
      cmocka_unit_test(test_gradients_are_written_into_their_slab),
      cmocka_unit_test(test_plans_are_deterministic),
      cmocka_unit_test(test_totals_and_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
