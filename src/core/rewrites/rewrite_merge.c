// Common subexpressions: of nodes with equal op, attributes and inputs only the first stays. Writers never merge: no
// two write the same version, so their inputs differ. Draws merge when purpose, k, key and range are equal, and only
// then. What computes merges within its stretch: a result would have to be kept through all that lies between.
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/ops/op.h"
#include "core/rewrites/rewrite.h"

static bool commutative(const duel_node *n) {
  return n->n_in == 2 && (duel_op_records[n->op]->flags & DUEL_FLAG_COMMUTATIVE);
}

// Leaves, views and constants cost nothing to keep.
static bool anywhere(const duel_node *n) {
  return duel_op_records[n->op]->kind == DUEL_KIND_NONE || n->op == DUEL_OP_CONSTANT;
}

static uint64_t hash(const duel_node *n, duel_shape shape) {
  uint64_t h = duel_hash(DUEL_HASH_START, &n->op, sizeof n->op);
  h = duel_hash(h, shape.dim, (size_t)shape.rank * sizeof *shape.dim);   // not its padding
  if (n->op != DUEL_OP_PACK) h = duel_hash(h, &n->attr, sizeof n->attr); // its offsets are a pointer
  if (commutative(n)) return duel_hash(h, &n->in[0], sizeof *n->in) + duel_hash(h, &n->in[1], sizeof *n->in);
  return duel_hash(h, n->in, (size_t)n->n_in * sizeof *n->in);
}

static bool equal(const duel_node *a, duel_shape a_shape, const duel_node *b, duel_shape b_shape) {
  if (a->op != b->op || a->n_in != b->n_in || !duel_shape_equal(a_shape, b_shape)) return false;
  if (a->stretch != b->stretch && !anywhere(a)) return false;
  if (a->op == DUEL_OP_PACK) {
    size_t bytes = (size_t)a->n_in * sizeof *a->attr.pack.offset;
    if (a->attr.pack.count != b->attr.pack.count || a->attr.pack.loose != b->attr.pack.loose ||
        memcmp(a->attr.pack.offset, b->attr.pack.offset, bytes))
      return false;
  } else if (memcmp(&a->attr, &b->attr, sizeof a->attr)) {
    return false;
  }
  if (commutative(a) && a->in[0] == b->in[1] && a->in[1] == b->in[0]) return true;
  return !memcmp(a->in, b->in, (size_t)a->n_in * sizeof *a->in);
}

duel_status duel_rewrite_merge(duel_rewrite *r) {
  size_t buckets = 16; // open addressing; -1 is empty
  while (buckets < 2 * (size_t)r->src->n_nodes) buckets *= 2;
  int32_t *table = duel_malloc(buckets * sizeof *table);
  if (!table) return duel_fail_memory("the rewrite that merges", buckets * sizeof *table);
  memset(table, -1, buckets * sizeof *table);
  const duel_graph *dst = r->dst;
  for (int i = 0; i < r->src->n_nodes; i++) {
    const duel_node *n = r->src->node[i];
    duel_node like = *n; // as it would stand in dst
    like.in = duel_rewrite_inputs(r, n);
    duel_shape shape = r->src->value[n->out[0]].shape;
    size_t at = hash(&like, shape) & (buckets - 1);
    for (; table[at] >= 0; at = (at + 1) & (buckets - 1)) {
      const duel_node *first = dst->node[table[at]];
      if (equal(first, dst->value[first->out[0]].shape, &like, shape)) break;
    }
    if (table[at] < 0) {
      if (!duel_rewrite_copy(r, n)) break;
      table[at] = dst->n_nodes - 1;
    } else {
      for (int k = 0; k < n->n_out; k++) r->map[n->out[k]] = dst->node[table[at]]->out[k];
    }
  }
  duel_free(table);
  return DUEL_OK;
}
