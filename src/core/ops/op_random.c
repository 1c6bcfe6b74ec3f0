// Random draws. A draw is a function of its key block and attributes alone (DESIGN "Random draws"), so equal draws may
// merge and a replayed step draws the same numbers.
#include <inttypes.h>

#include "core/ops/op.h"

static bool infer_random(DUEL_INFER_ARGS) {
  int64_t count;
  if (!duel_need_dtype(g, n, 0, DUEL_I32) || !duel_need_shape(g, n, 0, "the key", DUEL_SHAPE(4))) return false;
  if (n->attr.random.purpose < 1 || n->attr.random.purpose > 255 || n->attr.random.k >> 24)
    return duel_graph_refuse(g, "%s: no draw has purpose %" PRIu32 ", k %" PRIu32, duel_op_name(n->op),
                             n->attr.random.purpose, n->attr.random.k);
  const int64_t most = INT64_C(1) << 34, first = n->attr.random.first;
  if (!duel_shape_checked_count(*shape, &count) || first < 0 || first > most || count > most - first)
    return duel_graph_refuse(g, "%s: %s from element %" PRId64 " on: a draw has elements 0 … 2^34 − 1",
                             duel_op_name(n->op), duel_shape_text(*shape), first);
  return duel_set_out(g, n, 0, g->real, *shape);
}

// A quarter of ten rounds, and the transform.
DUEL_RECORD(random_normal, .infer = infer_random, .vjp = duel_no_grad, .flops_out = 60);
DUEL_RECORD(random_uniform, .infer = infer_random, .vjp = duel_no_grad, .flops_out = 20);

duel_val duel_random_from(duel_graph *g, duel_op op, duel_val key, uint32_t purpose, uint32_t k, int64_t first,
                          duel_shape shape) {
  duel_attr attr = duel_attr_zero();
  attr.random.purpose = purpose;
  attr.random.k = k;
  attr.random.first = first;
  return duel_apply(g, op, 1, &key, &attr, &shape);
}

duel_val duel_random_normal(duel_graph *g, duel_val key, uint32_t purpose, uint32_t k, duel_shape shape) {
  return duel_random_from(g, DUEL_OP_RANDOM_NORMAL, key, purpose, k, 0, shape);
}

duel_val duel_random_uniform(duel_graph *g, duel_val key, uint32_t purpose, uint32_t k, duel_shape shape) {
  return duel_random_from(g, DUEL_OP_RANDOM_UNIFORM, key, purpose, k, 0, shape);
}
