// The plan: in what order the nodes of a graph run, in which groups, and where every value lives.
//
// Groups: the nodes of one group neither depend on each other nor overwrite what another one reads, so they may run
// concurrently; a buffer is free again after the group of its last reader. Work memory is laid out by liveness: buffers
// that are alive at the same time never overlap. A variable's versions share its storage: every reader of version k
// runs before the writer of version k+1, in an earlier group.
#ifndef DUEL_CORE_PLAN_PLAN_H
#define DUEL_CORE_PLAN_PLAN_H

#include <stdio.h>

#include "core/graph.h"

typedef struct duel_place {
  duel_arena arena;
  size_t offset, bytes; // bytes into the arena
} duel_place;

typedef struct duel_plan {
  duel_graph *graph; // owned
  int n_order;       // nodes that do something (no leaves, no views), in order
  const duel_node **order;
  int n_groups;
  int *group_end;    // group i is order[group_end[i-1] .. group_end[i])
  duel_place *place; // per value
  size_t *scratch;   // per node of order: offset of its scratch in WORK (meaningless if it needs none)
  size_t *scratch_bytes;
  size_t work_bytes; // size of the WORK arena
  size_t work_floor; // the most bytes alive at one time: what no layout can beat
} duel_plan;

typedef struct duel_plan_options {
  size_t (*scratch)(void *ctx, const duel_graph *g, const duel_node *n); // backend's scratch of a node; may be NULL
  void *ctx;
  bool no_reuse;        // debug: every buffer has its own place, no in-place
  size_t roomy;         // bytes of work memory that cost nothing: within them, the fewest groups
  bool constants_first; // in the first group, where a program can make them together with its inputs
} duel_plan_options;

// Takes the graph over (closed with the plan, also on failure).
duel_status duel_plan_make(duel_plan **plan, duel_graph *graph, const duel_plan_options *options);
void duel_plan_close(duel_plan *plan);

typedef struct duel_plan_totals {
  int nodes, groups, values;
  double flops, bytes; // per run
  size_t arena_bytes[DUEL_ARENA_COUNT];
} duel_plan_totals;
duel_plan_totals duel_plan_sum(const duel_plan *plan);
duel_cost duel_plan_cost(const duel_plan *plan, const duel_node *n); // of one of its nodes
void duel_plan_print(const duel_plan *plan, FILE *out);              // the table of `duel info RECIPE --plan`

#endif
