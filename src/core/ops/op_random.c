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

// ---- augment: (key, p) -> maps [N, 2, 3], numbers [10, N]
static bool infer_augment(DUEL_INFER_ARGS) {
  const duel_changes *c = &n->attr.augment.changes;
  const int64_t rows = shape->dim[0], first = n->attr.augment.first;
  if (!duel_need_dtype(g, n, 0, DUEL_I32) || !duel_need_shape(g, n, 0, "the key", DUEL_SHAPE(4))) return false;
  if (!duel_need_dtype(g, n, 1, g->real) || !duel_need_shape(g, n, 1, "the probability", DUEL_SCALAR)) return false;
  if (!duel_need_range(g, n, "channels", c->channels, 1, INT32_MAX) ||
      !duel_need_range(g, n, "the height", c->height, 1, DUEL_MOST_SIDE) ||
      !duel_need_range(g, n, "the width", c->width, 1, DUEL_MOST_SIDE) ||
      !duel_need_range(g, n, "the border", c->border[0], 0, DUEL_MOST_SIDE) ||
      !duel_need_range(g, n, "the border", c->border[1], 0, DUEL_MOST_SIDE) ||
      !duel_need_range(g, n, "the laws", c->laws, DUEL_LAWS_ADA, DUEL_LAWS_CONSISTENCY) ||
      !duel_need_range(g, n, "the pass", c->pass, 0, (1 << 12) - 1))
    return false;
  for (int i = 0; i < DUEL_CHANGES; i++)
    if (!(c->share[i] >= 0 && c->share[i] <= 1))
      return duel_graph_refuse(g, "augment: change %d has the share %g, which is not within 0 … 1", i,
                               (double)c->share[i]);
  if (first < 0 || rows < 0 || first > INT32_MAX || rows > INT32_MAX)
    return duel_graph_refuse(g, "augment: %" PRId64 " rows from row %" PRId64 " on", rows, first);
  return duel_set_out(g, n, 0, g->real, DUEL_SHAPE(rows, 2, 3)) &&
         duel_set_out(g, n, 1, g->real, DUEL_SHAPE(DUEL_CHANGED_NUMBERS, rows));
}

DUEL_RECORD(augment, .infer = infer_augment, .vjp = duel_no_grad, .flops_out = 300); // some twenty draws a row

void duel_augment(duel_graph *g, duel_val key, duel_val p, const duel_changes *changes, int64_t first, int64_t rows,
                  duel_val out[2]) {
  duel_attr attr = duel_attr_zero();
  attr.augment.changes = *changes;
  attr.augment.first = first;
  const duel_shape shape = DUEL_SHAPE(rows);
  const duel_node *n = duel_node_add(g, DUEL_OP_AUGMENT, 2, (duel_val[]){key, p}, &attr, &shape);
  for (int i = 0; i < 2; i++) out[i] = n ? n->out[i] : DUEL_NONE;
}
