// From a graph to its plan: order, groups, places. The thinking is in plan_order.c and plan_place.c.
//
// The same graph and options always give the same plan: nothing here depends on addresses or time, and on the machine
// only by the bytes that options say are free. No result depends on the plan.
#include "core/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/plan/planner.h"

void *duel_planner_alloc(duel_planner *p, size_t n, size_t bytes) {
  void *room = duel_pool_alloc(&p->pool, n * bytes); // n counts nodes or values of a graph in memory: no overflow
  if (!room) duel_fail_memory("the plan", n * bytes);
  return room;
}

// Fewer groups mean fewer barriers and more work to share between them. Of the windows whose work memory stays within a
// quarter of the least, or within what costs nothing, the one with the fewest groups is taken.
static duel_status choose_groups(duel_planner *p, size_t roomy) {
  static const int windows[] = {INT32_MAX, 256, 128, 64, 32, 16, 8, 4, 2, 1};
  enum { WINDOWS = sizeof windows / sizeof *windows };
  size_t floor[WINDOWS], least = SIZE_MAX;
  int groups[WINDOWS], best = -1;
  for (int i = 0; i < WINDOWS; i++) {
    duel_planner_group(p, windows[i]);
    DUEL_TRY(duel_planner_lives(p, true));
    floor[i] = p->floor;
    groups[i] = p->n_groups;
    if (floor[i] < least) least = floor[i];
  }
  for (int i = 0; i < WINDOWS; i++) {
    if (floor[i] > least + least / 4 && floor[i] > roomy) continue;
    if (best < 0 || groups[i] < groups[best] || (groups[i] == groups[best] && floor[i] < floor[best])) best = i;
  }
  duel_planner_group(p, windows[best]);
  return DUEL_OK;
}

// ---- the plan
typedef struct turn {
  int group, task;
  double flops;
} turn;

static int by_turn(const void *a, const void *b) {
  const turn *x = a, *y = b;
  if (x->group != y->group) return x->group - y->group;
  return x->flops > y->flops ? -1 : x->flops < y->flops ? 1 : x->task - y->task;
}

static duel_status fill(duel_plan *plan, duel_planner *p) {
  const duel_graph *g = p->g;
  size_t n = (size_t)p->n;
  plan->order = duel_calloc(n, sizeof *plan->order);
  plan->group_end = duel_calloc((size_t)p->n_groups, sizeof *plan->group_end);
  plan->place = duel_calloc((size_t)g->n_values, sizeof *plan->place);
  plan->scratch = duel_calloc(n, sizeof *plan->scratch);
  plan->scratch_bytes = duel_calloc(n, sizeof *plan->scratch_bytes);
  turn *turns = duel_planner_alloc(p, n, sizeof *turns);
  if (!plan->order || !plan->group_end || !plan->place || !plan->scratch || !plan->scratch_bytes || !turns)
    return duel_fail_memory("the plan", n * sizeof *plan->order);
  plan->n_order = p->n;
  plan->n_groups = p->n_groups;
  plan->work_bytes = p->bytes;
  plan->work_floor = p->floor;
  for (int s = 0; s < p->n; s++) {
    const duel_node *node = p->task[s];
    turns[s] = (turn){p->group[s], s, duel_op_cost(g, node).flops};
    plan->group_end[p->group[s]]++;
  }
  for (int i = 1; i < p->n_groups; i++) plan->group_end[i] += plan->group_end[i - 1];
  qsort(turns, n, sizeof *turns, by_turn); // the largest of a group first, so that the small ones fill its end
  for (int i = 0; i < p->n; i++) {
    int s = turns[i].task;
    plan->order[i] = p->task[s];
    plan->scratch_bytes[i] = p->scratch[s];
    if (p->scratch_of[s] >= 0) plan->scratch[i] = p->buffer[p->scratch_of[s]].offset;
  }
  for (int v = 0; v < g->n_values; v++) {
    duel_place *place = &plan->place[v];
    int var = g->value[p->root[v]].var;
    place->bytes = (size_t)duel_shape_count(g->value[v].shape) * duel_dtype_size(g->value[v].dtype);
    place->arena = var >= 0 ? g->vars->var[var].arena : DUEL_ARENA_WORK;
    place->offset = p->at[v] + (var >= 0 ? g->vars->var[var].offset : p->buffer[p->buffer_of[v]].offset);
  }
  return DUEL_OK;
}

static duel_status make(duel_plan *plan, duel_planner *p, const duel_plan_options *options) {
  DUEL_TRY(duel_graph_status(p->g));
  DUEL_TRY(duel_planner_order(p));
  if (options->scratch)
    for (int s = 0; s < p->n; s++) p->scratch[s] = options->scratch(options->ctx, p->g, p->task[s]);
  p->constants_first = options->constants_first;
  DUEL_TRY(choose_groups(p, options->roomy));
  DUEL_TRY(duel_planner_lives(p, !options->no_reuse));
  DUEL_TRY(duel_planner_lay_out(p));
  return fill(plan, p);
}

duel_status duel_plan_make(duel_plan **out, duel_graph *graph, const duel_plan_options *options) {
  *out = NULL;
  duel_plan *plan = duel_calloc(1, sizeof *plan);
  if (!plan) {
    duel_graph_close(graph);
    return duel_fail_memory("the plan", sizeof *plan);
  }
  plan->graph = graph;
  duel_planner p = {.g = graph};
  duel_status status = make(plan, &p, options ? options : &(duel_plan_options){0});
  duel_pool_close(&p.pool);
  if (status == DUEL_OK)
    *out = plan;
  else
    duel_plan_close(plan);
  return status;
}

void duel_plan_close(duel_plan *plan) {
  if (!plan) return;
  duel_graph_close(plan->graph);
  duel_free((void *)plan->order);
  duel_free(plan->group_end);
  duel_free(plan->place);
  duel_free(plan->scratch);
  duel_free(plan->scratch_bytes);
  duel_free(plan);
}
