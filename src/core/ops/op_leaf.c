// Leaves: input blocks, version 0 of variables, constants, whole numbers counted up. A variable is read by one leaf a
// graph, so that its versions form one chain.
#include "core/ops/op.h"

static bool is_input(const duel_var *var) {
  return var->arena == DUEL_ARENA_INPUT || var->arena == DUEL_ARENA_DATA;
}

// ---- input, state: attr.input.id is the variable
static bool infer_variable(duel_graph *g, const duel_node *n, bool input) {
  int id = n->attr.input.id;
  if (!g->vars || id < 0 || id >= g->vars->n)
    return duel_graph_refuse(g, "%s: there is no variable %d", duel_op_name(n->op), id);
  const duel_var *var = &g->vars->var[id];
  if (is_input(var) != input)
    return duel_graph_refuse(g, "%s: variable %s is %s", duel_op_name(n->op), var->name, input ? "state" : "an input");
  if (!duel_grow_latest(g)) return false;
  if (g->latest[id] != DUEL_NONE) { // a second leaf would start a second chain of versions
    return duel_graph_refuse(g, "%s: variable %s is in the graph already", duel_op_name(n->op), var->name);
  }
  g->value[n->out[0]].var = id;
  g->latest[id] = n->out[0];
  return duel_set_out(g, n, 0, var->dtype, var->shape);
}

static bool infer_input(DUEL_INFER_ARGS) {
  return infer_variable(g, n, true);
}

static bool infer_state(DUEL_INFER_ARGS) {
  return infer_variable(g, n, false);
}

DUEL_RECORD(input, .infer = infer_input, .vjp = duel_no_grad);
DUEL_RECORD(state, .infer = infer_state, .vjp = duel_no_grad);

static duel_val variable(duel_graph *g, duel_op op, int var) {
  bool known = g->status == DUEL_OK && var >= 0 && var < g->n_latest && g->latest[var] != DUEL_NONE;
  if (known && is_input(&g->vars->var[var]) == (op == DUEL_OP_INPUT)) return g->latest[var];
  duel_attr attr = duel_attr_zero();
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
static bool infer_constant(DUEL_INFER_ARGS) {
  return duel_set_out(g, n, 0, g->real, *shape);
}

DUEL_RECORD(constant, .infer = infer_constant, .vjp = duel_no_grad);

duel_val duel_constant(duel_graph *g, duel_shape shape, double value) {
  duel_attr attr = duel_attr_zero();
  attr.constant.value = value;
  return duel_apply(g, DUEL_OP_CONSTANT, 0, NULL, &attr, &shape);
}

// ---- iota
static bool infer_iota(DUEL_INFER_ARGS) {
  if (shape->rank == 1 && shape->dim[0] <= 1 << 24) return duel_set_out(g, n, 0, g->real, *shape); // exact in f32
  return duel_graph_refuse(g, "iota counts up to 2^24 in one row, not %s", duel_shape_text(*shape));
}

DUEL_RECORD(iota, .infer = infer_iota, .vjp = duel_no_grad);

duel_val duel_iota(duel_graph *g, int64_t n) {
  const duel_attr attr = duel_attr_zero();
  const duel_shape shape = DUEL_SHAPE(n);
  return duel_apply(g, DUEL_OP_IOTA, 0, NULL, &attr, &shape);
}
