// Leaves: input blocks, version 0 of variables, constants. A variable is read by one leaf a graph, so that its versions
// form one chain.
#include "core/ops/op.h"

static bool is_input(const duel_var *var) {
  return var->arena == DUEL_ARENA_INPUT || var->arena == DUEL_ARENA_DATA;
}

// ---- input, state: attr.input.id is the variable
static void infer_variable(duel_graph *g, const duel_node *n, bool input) {
  int id = n->attr.input.id;
  if (!g->vars || id < 0 || id >= g->vars->n) {
    duel_graph_error(g, "%s: there is no variable %d", duel_op_name(n->op), id);
    return;
  }
  const duel_var *var = &g->vars->var[id];
  if (is_input(var) != input) {
    duel_graph_error(g, "%s: variable %s is %s", duel_op_name(n->op), var->name, input ? "state" : "an input");
    return;
  }
  if (!duel_grow_latest(g)) return;
  if (g->latest[id] != DUEL_NONE) { // a second leaf would start a second chain of versions
    duel_graph_error(g, "%s: variable %s is in the graph already", duel_op_name(n->op), var->name);
    return;
  }
  duel_set_out(g, n, 0, var->dtype, var->shape);
  g->value[n->out[0]].var = id;
  g->latest[id] = n->out[0];
}

static void infer_input(DUEL_INFER_ARGS) {
  infer_variable(g, n, true);
}

static void infer_state(DUEL_INFER_ARGS) {
  infer_variable(g, n, false);
}

DUEL_RECORD(input, .infer = infer_input, .vjp = duel_no_grad, .cost = duel_cost_none);
DUEL_RECORD(state, .infer = infer_state, .vjp = duel_no_grad, .cost = duel_cost_none);

static duel_val variable(duel_graph *g, duel_op op, int var) {
  bool known = g->status == DUEL_OK && var >= 0 && var < g->n_latest && g->latest[var] != DUEL_NONE;
  if (known && is_input(&g->vars->var[var]) == (op == DUEL_OP_INPUT)) return g->latest[var];
  duel_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.input.id = var;
  return duel_apply(g, op, 0, NULL, &attr, NULL);
}

duel_val duel_state(duel_graph *g, int var) {
  return variable(g, DUEL_OP_STATE, var);
}
duel_val duel_input(duel_graph *g, int var) {
  return variable(g, DUEL_OP_INPUT, var);
}

// ---- constant
static void infer_constant(DUEL_INFER_ARGS) {
  duel_set_out(g, n, 0, g->real, *shape);
}

static duel_cost cost_constant(const duel_graph *g, const duel_node *n) {
  return duel_cost_streams(g, n, 0);
}

DUEL_RECORD(constant, .infer = infer_constant, .vjp = duel_no_grad, .cost = cost_constant);

duel_val duel_constant(duel_graph *g, duel_shape shape, double value) {
  duel_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.constant.value = value;
  return duel_apply(g, DUEL_OP_CONSTANT, 0, NULL, &attr, &shape);
}
