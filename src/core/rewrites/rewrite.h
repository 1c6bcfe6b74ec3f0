// What the rewrites share. A rewrite walks a graph in order and builds an equal one: for every value of the old graph
// that is still wanted, map holds the equal value of the new graph. Variables keep their leaves, writers and versions.
#ifndef DUEL_CORE_REWRITES_REWRITE_H
#define DUEL_CORE_REWRITES_REWRITE_H

#include "core/graph.h"

typedef struct duel_rewrite {
  const duel_graph *src;
  duel_graph *dst;
  duel_val *map; // per value of src; DUEL_NONE where nobody wants it
  duel_val *in;  // room for the mapped inputs of any node of src
} duel_rewrite;

duel_status duel_rewrite_simplify(duel_rewrite *r);
duel_status duel_rewrite_merge(duel_rewrite *r); // common subexpressions
duel_status duel_rewrite_fuse(duel_rewrite *r);
duel_status duel_rewrite_absorb(duel_rewrite *r); // what the ends of a step take in

// dst labels new nodes as this one of src, and puts them into its stretch, from here on.
void duel_rewrite_at(duel_rewrite *r, const duel_node *n);
// The same; yields the node's mapped inputs, in r->in.
duel_val *duel_rewrite_inputs(duel_rewrite *r, const duel_node *n);
// Adds a node like n of src, on inputs of dst, and maps its outputs. NULL: dst has an error.
duel_node *duel_rewrite_add(duel_rewrite *r, const duel_node *n, const duel_val *in);
duel_node *duel_rewrite_copy(duel_rewrite *r, const duel_node *n); // on its mapped inputs

// Who reads the values of a graph, and when they are overwritten.
typedef struct duel_uses {
  const duel_graph *g;
  int32_t *readers;    // per value
  int32_t *reader;     // per value: one of its readers
  int32_t *overwriter; // per value: the writer of the next version, INT32_MAX: none
} duel_uses;
duel_status duel_uses_open(duel_uses *u, const duel_graph *g);
void duel_uses_close(duel_uses *u);
const duel_node *duel_only_reader(const duel_uses *u, duel_val v); // or NULL
// May n be computed where `later` stands? Not if somebody has overwritten by then what it reads.
bool duel_can_wait(const duel_uses *u, const duel_node *n, const duel_node *later);

// The node that writes v if it is of this op, else NULL (also for DUEL_NONE).
static inline const duel_node *duel_maker(const duel_graph *g, duel_val v, duel_op op) {
  if (v < 0) return NULL;
  const duel_node *n = g->node[g->value[v].node];
  return n->op == op ? n : NULL;
}

static inline bool duel_is_writer(const duel_node *n) {
  return duel_op_records[n->op]->flags & DUEL_FLAG_WRITER;
}

#endif
