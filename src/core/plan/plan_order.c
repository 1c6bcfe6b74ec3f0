// The order of tasks and their groups.
//
// Edges go from the maker of a value to its readers, and from every reader of version k of a variable (through views
// too) to the writer of version k+1. The order is that of creation, moved only where an edge asks for it.
//
// Groups come from list scheduling with a window: a group takes every task whose predecessors stand in earlier groups,
// looking at most `window` tasks past the first one left, and never into a later stretch: shards run one after another.
// Without a limit that is the level "as soon as possible", with the fewest groups, but then all that is independent is
// alive at once. A window of one is the order of creation, with the least memory. The caller tries several and weighs
// groups against memory.
#include <stdio.h>
#include <string.h>

#include "core/ops/op.h"
#include "core/plan/planner.h"

static bool is_view(const duel_node *n) {
  return duel_op_records[n->op]->flags & DUEL_FLAG_VIEW;
}
static bool writes_version(const duel_graph *g, const duel_node *n, int k) {
  return (duel_op_records[n->op]->flags & DUEL_FLAG_WRITER) && k < n->n_in && k < n->n_out &&
         g->value[n->out[k]].var >= 0;
}

// ---- edges
static void find_roots(duel_planner *p) {
  const duel_graph *g = p->g;
  for (int i = 0; i < g->n_nodes; i++) {
    const duel_node *n = g->node[i];
    for (int k = 0; k < n->n_out; k++) {
      p->root[n->out[k]] = n->out[k];
      p->shift[n->out[k]] = 0;
    }
    if (!is_view(n)) continue;
    duel_val v = n->out[0], slab = n->in[0];
    p->root[v] = p->root[slab];
    p->shift[v] = p->shift[slab];
    if (n->op == DUEL_OP_VIEW) p->shift[v] += (size_t)n->attr.view.offset * duel_dtype_size(g->value[v].dtype);
  }
}

// Calls for every edge; with begin NULL only counts them into pred_end[to + 1].
static void visit_edges(duel_planner *p, const int32_t *overwriter, int32_t *next) {
  for (int s = 0; s < p->n; s++)
    for (int k = 0; k < p->task[s]->n_in; k++) {
      duel_val root = p->root[p->task[s]->in[k]];
      int from = p->task_of[p->g->value[root].node], to = overwriter[root];
      if (from >= 0) {
        if (next)
          p->pred[next[s]++] = from;
        else
          p->pred_end[s + 1]++;
      }
      if (to >= 0 && to != s) {
        if (next)
          p->pred[next[to]++] = s;
        else
          p->pred_end[to + 1]++;
      }
    }
}

// For the present numbering of the tasks. room: as many int32 as values and tasks.
static duel_status find_edges(duel_planner *p, int32_t *overwriter, int32_t *next) {
  const duel_graph *g = p->g;
  for (int v = 0; v < g->n_values; v++) overwriter[v] = -1;
  for (int s = 0; s < p->n; s++) {
    p->task_of[p->task[s]->id] = s;
    for (int k = 0; k < p->task[s]->n_in; k++)
      if (writes_version(g, p->task[s], k)) overwriter[p->task[s]->in[k]] = s;
  }
  memset(p->pred_end, 0, ((size_t)p->n + 1) * sizeof *p->pred_end);
  visit_edges(p, overwriter, NULL);
  for (int s = 0; s < p->n; s++) p->pred_end[s + 1] += p->pred_end[s];
  if (!p->pred) {
    p->pred = duel_planner_alloc(p, (size_t)p->pred_end[p->n], sizeof *p->pred);
    if (!p->pred) return DUEL_ERR_DEVICE;
  }
  memcpy(next, p->pred_end, (size_t)p->n * sizeof *next);
  visit_edges(p, overwriter, next);
  return DUEL_OK;
}

// ---- order
// path[from..to) runs backwards along edges and closes at path[from].
static duel_status fail_cycle(const duel_planner *p, const int32_t *path, int from, int to) {
  char text[1024];
  size_t used = 0;
  for (int i = to; i >= from && used < sizeof text; i--) {
    const duel_node *n = p->task[path[i == to ? from : i]];
    int more = snprintf(text + used, sizeof text - used, "%s%s%s%s (node %d)", i == to ? "" : " before ", n->label,
                        n->label[0] ? " " : "", duel_op_name(n->op), n->id);
    used += more < 0 ? sizeof text : (size_t)more;
  }
  return duel_fail(DUEL_ERR_INTERNAL,
                   "the graph has no order: %s; whoever reads an old version of a variable runs before it is "
                   "overwritten, so it cannot read what follows from the new one",
                   text);
}

// Every task after its predecessors, otherwise as created: depth first from each task in turn.
static duel_status sort_tasks(duel_planner *p, int32_t *next, const duel_node **sorted) {
  enum { FRESH, OPEN, DONE };
  int32_t *path = p->room;
  unsigned char *state = duel_planner_alloc(p, (size_t)p->n, 1);
  if (!state) return DUEL_ERR_DEVICE;
  int done = 0;
  for (int s = 0; s < p->n; s++) {
    if (state[s] != FRESH) continue;
    int depth = 0;
    path[0] = s;
    next[0] = p->pred_end[s];
    state[s] = OPEN;
    while (depth >= 0) {
      int at = path[depth];
      if (next[depth] == p->pred_end[at + 1]) {
        state[at] = DONE;
        sorted[done++] = p->task[at];
        depth--;
        continue;
      }
      int before = p->pred[next[depth]++];
      if (state[before] == OPEN) {
        int from = depth;
        while (path[from] != before) from--;
        return fail_cycle(p, path, from, depth + 1);
      }
      if (state[before] == DONE) continue;
      state[before] = OPEN;
      path[++depth] = before;
      next[depth] = p->pred_end[before];
    }
  }
  return DUEL_OK;
}

duel_status duel_planner_order(duel_planner *p) {
  const duel_graph *g = p->g;
  size_t nodes = (size_t)g->n_nodes, values = (size_t)g->n_values;
  p->task = duel_planner_alloc(p, nodes, sizeof *p->task);
  p->task_of = duel_planner_alloc(p, nodes, sizeof *p->task_of);
  p->root = duel_planner_alloc(p, values, sizeof *p->root);
  p->shift = duel_planner_alloc(p, values, sizeof *p->shift);
  p->pred_end = duel_planner_alloc(p, nodes + 1, sizeof *p->pred_end);
  p->group = duel_planner_alloc(p, nodes, sizeof *p->group);
  p->room = duel_planner_alloc(p, nodes, sizeof *p->room);
  p->scratch = duel_planner_alloc(p, nodes, sizeof *p->scratch);
  int32_t *overwriter = duel_planner_alloc(p, values, sizeof *overwriter);
  int32_t *next = duel_planner_alloc(p, nodes, sizeof *next);
  const duel_node **sorted = duel_planner_alloc(p, nodes, sizeof *sorted);
  if (!p->task || !p->task_of || !p->root || !p->shift || !p->pred_end || !p->group || !p->scratch || !p->room ||
      !overwriter || !next || !sorted)
    return DUEL_ERR_DEVICE;
  for (int i = 0; i < g->n_nodes; i++) {
    const duel_node *n = g->node[i];
    p->task_of[i] = -1;
    if (duel_op_records[n->op]->kind != DUEL_KIND_NONE) p->task[p->n++] = n;
  }
  find_roots(p);
  DUEL_TRY(find_edges(p, overwriter, next));
  DUEL_TRY(sort_tasks(p, next, sorted));
  memcpy(p->task, sorted, (size_t)p->n * sizeof *sorted);
  return find_edges(p, overwriter, next);
}

// ---- groups
// A task that reads no work memory only makes some: it need not run before the group in front of its first reader.
static bool may_slide(const duel_planner *p, const duel_node *n) {
  if (duel_op_records[n->op]->flags & DUEL_FLAG_WRITER || (p->constants_first && n->op == DUEL_OP_CONSTANT))
    return false;
  for (int k = 0; k < n->n_in; k++)
    if (p->g->value[p->root[n->in[k]]].var < 0) return false;
  return true;
}

static void slide(duel_planner *p) {
  int32_t *latest = p->room;
  for (int s = 0; s < p->n; s++) latest[s] = INT32_MAX;
  for (int s = p->n - 1; s >= 0; s--) {
    if (latest[s] != INT32_MAX && may_slide(p, p->task[s])) p->group[s] = latest[s];
    for (int i = p->pred_end[s]; i < p->pred_end[s + 1]; i++)
      if (latest[p->pred[i]] >= p->group[s]) latest[p->pred[i]] = p->group[s] - 1;
  }
}

void duel_planner_group(duel_planner *p, int window) {
  for (int s = 0; s < p->n; s++) p->group[s] = p->constants_first && p->task[s]->op == DUEL_OP_CONSTANT ? 0 : -1;
  int first = 0, groups = 0;
  for (; first < p->n; groups++) {
    int end = window < p->n - first ? first + window : p->n;
    for (int s = first; s < end && p->task[s]->stretch <= p->task[first]->stretch; s++) {
      bool ready = p->group[s] < 0;
      for (int i = p->pred_end[s]; ready && i < p->pred_end[s + 1]; i++)
        ready = p->group[p->pred[i]] >= 0 && p->group[p->pred[i]] < groups;
      if (ready) p->group[s] = groups;
    }
    while (first < p->n && p->group[first] >= 0) first++;
  }
  slide(p);
  // Groups that slid empty go.
  int32_t *number = p->room;
  for (int i = 0; i < groups; i++) number[i] = -1;
  for (int s = 0; s < p->n; s++) number[p->group[s]] = 0;
  p->n_groups = 0;
  for (int i = 0; i < groups; i++)
    if (number[i] == 0) number[i] = p->n_groups++;
  for (int s = 0; s < p->n; s++) p->group[s] = number[p->group[s]];
}
