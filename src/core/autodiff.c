// Reverse-mode differentiation (Griewank & Walther) as graph transformation: the gradient is more nodes of the same
// ops.
//
// Two sweeps. Forward: which values depend on a wrt value. Backward, from the outputs down: each node that has a
// gradient at an output and an input that depends on wrt turns the one into the other; contributions are summed down
// to the value's shape and added up here and nowhere else. wrt values end both sweeps.
#include "base/mem.h"
#include "core/ops/op.h"

typedef struct sweep {
  duel_graph *g;
  int first_node, n_nodes, n_values; // what is differentiated: nodes from first_node on
  duel_val *grad;                    // per value: its gradient so far
  bool *active, *is_wrt;             // per value: depends on wrt (or is one); is one
} sweep;

void duel_no_grad(DUEL_UNUSED duel_graph *g, DUEL_UNUSED const duel_node *n, DUEL_UNUSED const duel_val *d_out,
                  DUEL_UNUSED const bool *need, DUEL_UNUSED duel_val *d_in) {}

static void mark_active(sweep *s) {
  for (int i = s->first_node; i < s->n_nodes; i++) {
    const duel_node *n = s->g->node[i];
    const duel_op_record *r = duel_op_records[n->op];
    bool active = false;
    if (r->vjp == duel_no_grad) continue; // writers too
    for (int k = 0; k < n->n_in; k++) active |= s->active[n->in[k]];
    if (active)
      for (int k = 0; k < n->n_out; k++) s->active[n->out[k]] = true;
  }
}

static void contribute(sweep *s, duel_val v, duel_val d) {
  d = duel_sum_to(s->g, d, s->g->value[v].shape);
  s->grad[v] = s->grad[v] == DUEL_NONE ? d : duel_add(s->g, s->grad[v], d);
}

// need and d_in have room for the node's inputs.
static void visit(sweep *s, const duel_node *n, bool *need, duel_val *d_in) {
  duel_val d_out[DUEL_MAX_OUT];
  bool arrives = false, needed = false;
  for (int i = 0; i < n->n_out; i++) {
    d_out[i] = s->is_wrt[n->out[i]] ? DUEL_NONE : s->grad[n->out[i]];
    arrives |= d_out[i] != DUEL_NONE;
  }
  if (!arrives || duel_op_records[n->op]->vjp == duel_no_grad) return;
  for (int i = 0; i < n->n_in; i++) {
    d_in[i] = DUEL_NONE;
    need[i] = s->active[n->in[i]];
    needed |= need[i];
  }
  if (!needed) return;
  duel_scope(s->g, "%s", n->label); // backward nodes belong to their layer
  duel_op_records[n->op]->vjp(s->g, n, d_out, need, d_in);
  for (int i = 0; i < n->n_in; i++)
    if (need[i] && d_in[i] != DUEL_NONE) contribute(s, n->in[i], d_in[i]);
}

static void sweep_back(sweep *s) {
  int most = 1;
  for (int i = s->first_node; i < s->n_nodes; i++)
    if (s->g->node[i]->n_in > most) most = s->g->node[i]->n_in;
  bool *need = duel_graph_alloc(s->g, (size_t)most * sizeof *need);
  duel_val *d_in = duel_graph_alloc(s->g, (size_t)most * sizeof *d_in);
  if (!need || !d_in) return;
  char scope[sizeof s->g->scope];
  memcpy(scope, s->g->scope, sizeof scope);
  for (int i = s->n_nodes - 1; i >= s->first_node && s->g->status == DUEL_OK; i--) visit(s, s->g->node[i], need, d_in);
  memcpy(s->g->scope, scope, sizeof scope);
}

static bool good_values(duel_graph *g, int n, const duel_val *v, const char *what) {
  for (int i = 0; i < n && g->status == DUEL_OK; i++)
    if (v[i] < 0 || v[i] >= g->n_values) duel_graph_error(g, "grad: %s %d is no value of this graph", what, i);
  return g->status == DUEL_OK;
}

// Differentiates the nodes from first_node on; whatever lies before is a leaf.
static duel_status differentiate(duel_graph *g, int first_node, int n_out, const duel_val *out, const duel_val *seed,
                                 int n, const duel_val *wrt, duel_val *grad) {
  for (int i = 0; i < n; i++) grad[i] = DUEL_NONE;
  if (!good_values(g, n_out, out, "output") || !good_values(g, n, wrt, "wrt")) return duel_graph_status(g);
  sweep s = {.g = g, .first_node = first_node, .n_nodes = g->n_nodes, .n_values = g->n_values};
  size_t values = (size_t)s.n_values, bytes = values * (sizeof *s.grad + 2 * sizeof(bool));
  s.grad = duel_calloc(1, bytes);
  if (!s.grad) {
    duel_graph_no_memory(g, bytes);
    return duel_graph_status(g);
  }
  s.active = (bool *)(s.grad + values);
  s.is_wrt = s.active + values;
  for (int i = 0; i < s.n_values; i++) s.grad[i] = DUEL_NONE;
  for (int i = 0; i < n; i++) s.active[wrt[i]] = s.is_wrt[wrt[i]] = true;
  mark_active(&s);
  for (int i = 0; i < n_out; i++) {
    if (seed[i] == DUEL_NONE || !s.active[out[i]]) continue;
    duel_shape have = duel_val_shape(g, seed[i]), want = duel_val_shape(g, out[i]);
    if (!duel_shape_equal(have, want))
      duel_graph_error(g, "grad: the seed has shape %s and its output %s", duel_shape_text(have),
                       duel_shape_text(want));
    contribute(&s, out[i], seed[i]);
  }
  sweep_back(&s);
  if (g->status == DUEL_OK)
    for (int i = 0; i < n; i++) grad[i] = s.grad[wrt[i]];
  duel_free(s.grad);
  return duel_graph_status(g);
}

duel_status duel_grad_seeded(duel_graph *g, int n_out, const duel_val *out, const duel_val *seed, int n,
                             const duel_val *wrt, duel_val *grad) {
  return differentiate(g, 0, n_out, out, seed, n, wrt, grad);
}

duel_status duel_grad(duel_graph *g, duel_val loss, int n, const duel_val *wrt, duel_val *grad) {
  if (g->status == DUEL_OK && duel_shape_count(duel_val_shape(g, loss)) != 1)
    duel_graph_error(g, "grad: the loss has shape %s and must be one number", duel_shape_text(duel_val_shape(g, loss)));
  duel_val one = duel_constant(g, duel_val_shape(g, loss), 1);
  duel_status status = duel_grad_seeded(g, 1, &loss, &one, n, wrt, grad);
  for (int i = 0; i < n && status == DUEL_OK; i++)
    if (grad[i] == DUEL_NONE) grad[i] = duel_constant(g, duel_val_shape(g, wrt[i]), 0);
  return status == DUEL_OK ? duel_graph_status(g) : status;
}

// The decomposition's gradient. Only its own nodes are swept, so that an input that depends on another input is still
// a leaf; an input that occurs twice gets its gradient once.
void duel_vjp_by_expansion(DUEL_VJP_ARGS) {
  int first_node = g->n_nodes, n_wrt = 0;
  duel_val out[DUEL_MAX_OUT];
  duel_val *wrt = duel_graph_alloc(g, (size_t)n->n_in * sizeof *wrt);
  duel_val *grad = duel_graph_alloc(g, (size_t)n->n_in * sizeof *grad);
  if (!wrt || !grad) return;
  duel_op_records[n->op]->expand(g, n, out);
  if (g->status != DUEL_OK) return;
  for (int i = 0; i < n->n_in; i++) {
    bool seen = false;
    for (int k = 0; k < n_wrt; k++) seen |= wrt[k] == n->in[i];
    if (need[i] && !seen) wrt[n_wrt++] = n->in[i];
  }
  if (differentiate(g, first_node, n->n_out, out, d_out, n_wrt, wrt, grad) != DUEL_OK) return;
  for (int i = 0, k = 0; i < n->n_in && k < n_wrt; i++)
    if (n->in[i] == wrt[k]) d_in[i] = grad[k++];
}
