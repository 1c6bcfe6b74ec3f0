// The rewrites in their order, and the two that need no file of their own: dead code and expansion.
//
// Invariant: every rewrite keeps what writers do, and so every version of every variable. Nodes keep their relative
// order, hence the same graph always gives the same result.
#include "core/rewrites/rewrites.h"

#include <string.h>

#include "base/mem.h"
#include "core/ops/op.h"
#include "core/rewrites/rewrite.h"

void duel_rewrite_at(duel_rewrite *r, const duel_node *n) {
  duel_scope(r->dst, "%s", n->label);
  r->dst->stretch = n->stretch;
}

duel_val *duel_rewrite_inputs(duel_rewrite *r, const duel_node *n) {
  duel_rewrite_at(r, n);
  for (int i = 0; i < n->n_in; i++) r->in[i] = r->map[n->in[i]];
  return r->in;
}

duel_node *duel_rewrite_add(duel_rewrite *r, const duel_node *n, const duel_val *in) {
  duel_node *copy = duel_node_add(r->dst, n->op, n->n_in, in, &n->attr, &r->src->value[n->out[0]].shape);
  for (int i = 0; i < n->n_out; i++) r->map[n->out[i]] = copy ? copy->out[i] : DUEL_NONE;
  return copy;
}

duel_node *duel_rewrite_copy(duel_rewrite *r, const duel_node *n) {
  return duel_rewrite_add(r, n, duel_rewrite_inputs(r, n));
}

// ---- uses
duel_status duel_uses_open(duel_uses *u, const duel_graph *g) {
  const size_t values = (size_t)g->n_values;
  *u = (duel_uses){.g = g, .readers = duel_calloc(values, 3 * sizeof *u->readers)};
  if (!u->readers) return duel_fail_memory("a rewrite of the graph", 3 * values * sizeof *u->readers);
  u->reader = u->readers + values;
  u->overwriter = u->reader + values;
  for (size_t v = 0; v < values; v++) u->overwriter[v] = INT32_MAX;
  for (int i = 0; i < g->n_nodes; i++) {
    const duel_node *n = g->node[i];
    for (int k = 0; k < n->n_in; k++) {
      u->readers[n->in[k]]++;
      u->reader[n->in[k]] = n->id;
      if (duel_is_writer(n) && k < n->n_out && g->value[n->out[k]].var >= 0) u->overwriter[n->in[k]] = n->id;
    }
  }
  return DUEL_OK;
}

void duel_uses_close(duel_uses *u) {
  duel_free(u->readers);
}

const duel_node *duel_only_reader(const duel_uses *u, duel_val v) {
  return u->readers[v] == 1 ? u->g->node[u->reader[v]] : NULL;
}

bool duel_can_wait(const duel_uses *u, const duel_node *n, const duel_node *later) {
  for (int i = 0; i < n->n_in; i++) {
    duel_val v = n->in[i];
    const duel_node *maker = u->g->node[u->g->value[v].node];
    while (duel_op_records[maker->op]->flags & DUEL_FLAG_VIEW) {
      v = maker->in[0];
      maker = u->g->node[u->g->value[v].node];
    }
    if (u->overwriter[v] < later->id) return false;
  }
  return true;
}

// ---- dead code: what no writer needs goes
static duel_status drop_dead(duel_rewrite *r) {
  const duel_graph *g = r->src;
  bool *live = duel_calloc((size_t)g->n_nodes, sizeof *live);
  if (!live) return duel_fail_memory("the rewrite that drops dead nodes", (size_t)g->n_nodes * sizeof *live);
  for (int i = g->n_nodes - 1; i >= 0; i--) {
    const duel_node *n = g->node[i];
    live[i] = live[i] || duel_is_writer(n);
    for (int k = 0; live[i] && k < n->n_in; k++) live[g->value[n->in[k]].node] = true;
  }
  for (int i = 0; i < g->n_nodes; i++)
    if (live[i]) duel_rewrite_copy(r, g->node[i]);
  duel_free(live);
  return DUEL_OK;
}

// ---- expansion: fused ops become their decompositions
// A decomposition reads its node, so the node is built, read, and left for that rewrite.
static duel_status expand(duel_rewrite *r) {
  for (int i = 0; i < r->src->n_nodes; i++) {
    duel_node *copy = duel_rewrite_copy(r, r->src->node[i]);
    const duel_op_record *record = duel_op_records[r->src->node[i]->op];
    if (!copy || !record->expand) continue;
    duel_val out[DUEL_MAX_OUT] = {DUEL_NONE, DUEL_NONE, DUEL_NONE, DUEL_NONE};
    record->expand(r->dst, copy, out);
    for (int k = 0; k < copy->n_out; k++) r->map[r->src->node[i]->out[k]] = out[k];
  }
  return DUEL_OK;
}

static bool has_fused(const duel_graph *g) {
  for (int i = 0; i < g->n_nodes; i++)
    if (duel_op_records[g->node[i]->op]->expand) return true;
  return false;
}

// ---- the driver
static duel_status run(duel_graph **g, duel_status (*rewrite)(duel_rewrite *)) {
  duel_rewrite r = {.src = *g};
  size_t values = (size_t)r.src->n_values, inputs = 1;
  for (int i = 0; i < r.src->n_nodes; i++)
    if ((size_t)r.src->node[i]->n_in > inputs) inputs = (size_t)r.src->node[i]->n_in;
  DUEL_TRY(duel_graph_open(&r.dst, r.src->vars, r.src->real));
  r.map = duel_malloc((values + inputs) * sizeof *r.map);
  duel_status status = r.map ? DUEL_OK : duel_fail_memory("a rewrite of the graph", (values + inputs) * sizeof *r.map);
  if (status == DUEL_OK) {
    for (size_t i = 0; i < values; i++) r.map[i] = DUEL_NONE;
    r.in = r.map + values;
    status = rewrite(&r);
  }
  if (status == DUEL_OK) status = duel_graph_status(r.dst);
  duel_free(r.map);
  if (status != DUEL_OK) {
    duel_graph_close(r.dst);
    return status;
  }
  duel_scope(r.dst, "%s", "");
  duel_graph_close(*g);
  *g = r.dst;
  return DUEL_OK;
}

duel_status duel_rewrite_graph(duel_graph **g, unsigned which) {
  DUEL_TRY(duel_graph_status(*g));
  bool dead = which & DUEL_REWRITE_DEAD;
  if (which & DUEL_REWRITE_EXPAND)
    while (has_fused(*g)) {
      DUEL_TRY(run(g, expand));
      DUEL_TRY(run(g, drop_dead));
    }
  if (dead) DUEL_TRY(run(g, drop_dead));
  if (which & DUEL_REWRITE_SIMPLIFY) DUEL_TRY(run(g, duel_rewrite_simplify));
  if (which & DUEL_REWRITE_CSE) DUEL_TRY(run(g, duel_rewrite_merge));
  if (which & DUEL_REWRITE_FUSE) {
    if (dead) DUEL_TRY(run(g, drop_dead)); // what simplification left behind still counts as a reader
    DUEL_TRY(run(g, duel_rewrite_fuse));
    if (which & DUEL_REWRITE_SIMPLIFY) DUEL_TRY(run(g, duel_rewrite_simplify)); // reshapes around the fused nodes
    if (dead) DUEL_TRY(run(g, drop_dead));
    DUEL_TRY(run(g, duel_rewrite_absorb));
  }
  if (dead) DUEL_TRY(run(g, drop_dead));
  return DUEL_OK;
}
