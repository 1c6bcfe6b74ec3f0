// See small_graph.h.
#include "small_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/rewrites/rewrites.h"

duel_vars small_vars;
duel_graph *small_graph;
static int outputs;

int small_set_up(void **state) {
  (void)state;
  outputs = 0;
  return duel_graph_open(&small_graph, &small_vars, DUEL_F32) == DUEL_OK ? 0 : -1;
}

int small_tear_down(void **state) {
  (void)state;
  duel_graph_close(small_graph);
  small_graph = NULL;
  duel_vars_clear(&small_vars);
  return 0;
}

int small_var(duel_arena arena, const char *name, duel_shape shape) {
  int id = -1;
  assert_int_equal(duel_vars_add(&small_vars, arena, name, DUEL_F32, shape, &id), DUEL_OK);
  return id;
}

duel_val small_input(const char *name, duel_shape shape) {
  return duel_input(small_graph, small_var(DUEL_ARENA_INPUT, name, shape));
}

void small_keep(duel_val v) {
  char name[16];
  snprintf(name, sizeof name, "out%d", outputs++);
  duel_output(small_graph, small_var(DUEL_ARENA_OUTPUT, name, duel_val_shape(small_graph, v)), v);
}

duel_val small_kept(int i) {
  char name[16];
  snprintf(name, sizeof name, "out%d", i);
  for (int k = 0; k < small_graph->n_nodes; k++) {
    const duel_node *n = small_graph->node[k];
    if (n->op == DUEL_OP_ASSIGN && !strcmp(small_vars.var[small_graph->value[n->out[0]].var].name, name))
      return n->in[1];
  }
  fail_msg("output %d is gone", i);
  return DUEL_NONE;
}

void small_rewrite(unsigned which) {
  if (duel_rewrite_graph(&small_graph, which) != DUEL_OK) fail_msg("%s", duel_last_error());
}

int small_count(duel_op op) {
  int n = 0;
  for (int i = 0; i < small_graph->n_nodes; i++) n += small_graph->node[i]->op == op;
  return n;
}

const duel_node *small_maker(duel_val v) {
  return small_graph->node[small_graph->value[v].node];
}

void small_made_by(duel_val v, duel_op op) {
  if (small_maker(v)->op != op) fail_msg("made by %s, not %s", duel_op_name(small_maker(v)->op), duel_op_name(op));
}
