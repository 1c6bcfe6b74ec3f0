// What the planner's files share. A task is a node that runs (no leaf, no view). Tasks are numbered in an order that
// respects all dependencies, so predecessors have smaller numbers.
#ifndef DUEL_CORE_PLAN_PLANNER_H
#define DUEL_CORE_PLAN_PLANNER_H

#include "base/pool.h"
#include "core/plan/plan.h"

typedef struct duel_buffer { // a block of work memory; alive in groups first..last
  size_t bytes, offset;      // bytes a multiple of DUEL_ALIGN
  int first, last;
} duel_buffer;

typedef struct duel_planner {
  const duel_graph *g;
  int n; // tasks
  const duel_node **task;
  int32_t *task_of; // per node: its task, or -1
  size_t *scratch;  // per task: bytes

  duel_val *root; // per value: the value whose storage it shows through reshapes and views
  size_t *shift;  // per value: bytes into that

  bool constants_first; // they are made in the first group

  int32_t *pred, *pred_end; // predecessors of task s: pred[pred_end[s] .. pred_end[s+1])

  int n_groups;
  int32_t *group; // per task

  int n_buffers; // those of values, then one for each task with scratch
  duel_buffer *buffer;
  int32_t *buffer_of;  // per value: its buffer, -1: it lives in a variable
  size_t *at;          // per value: bytes into its buffer or variable
  int32_t *scratch_of; // per task: its buffer, or -1
  size_t floor, bytes; // most bytes alive at one time; bytes laid out

  int32_t *room;                  // per task: for passing use
  struct duel_value_class *class; // plan_place.c: per value
  struct duel_rank *rank;         // plan_place.c: per buffer
  int n_stretches;
  int32_t *stretch;           // per group: the stretch that it lies in, from 0
  struct duel_placed *placed; // plan_place.c: per stretch, and for all of them
  size_t *change;             // plan_place.c: per group
  duel_pool pool;             // all of the above
} duel_planner;

void *duel_planner_alloc(duel_planner *p, size_t n, size_t bytes); // zeroed, of its pool; NULL sets the error
duel_status duel_planner_order(duel_planner *p); // fills tasks, roots and predecessors; fails naming a cycle
void duel_planner_group(duel_planner *p, int window);
duel_status duel_planner_lives(duel_planner *p, bool reuse); // buffers and floor for the present groups
duel_status duel_planner_lay_out(duel_planner *p);           // places the buffers

#endif
