// Matrix products [..., M, K]·[..., K, N], either side stored transposed; batch dimensions broadcast. Closed under
// differentiation: every gradient is again one product, in the storage order that the input has.
#include <inttypes.h>

#include "core/ops/op.h"

bool duel_matmul_sizes(duel_graph *g, const duel_node *node, int64_t *m, int64_t *k, int64_t *n) {
  duel_shape a = duel_in_shape(g, node, 0), b = duel_in_shape(g, node, 1);
  bool ta = node->attr.matmul.trans_a, tb = node->attr.matmul.trans_b;
  const char *mark_a = ta ? " transposed" : "", *mark_b = tb ? " transposed" : "";
  if (a.rank < 2 || b.rank < 2)
    return duel_graph_refuse(g, "matmul cannot multiply %s by %s: both must be matrices", duel_shape_text(a),
                             duel_shape_text(b));
  *m = a.dim[a.rank - (ta ? 1 : 2)];
  *k = a.dim[a.rank - (ta ? 2 : 1)];
  *n = b.dim[b.rank - (tb ? 2 : 1)];
  int64_t inner = b.dim[b.rank - (tb ? 1 : 2)];
  if (*k == inner) return true;
  return duel_graph_refuse(g, "matmul cannot multiply %s%s by %s%s: inner sizes %" PRId64 " and %" PRId64 " differ",
                           duel_shape_text(a), mark_a, duel_shape_text(b), mark_b, *k, inner);
}

static duel_shape batch_dims(duel_shape s) {
  return duel_shape_of(s.rank - 2, s.dim);
}

static bool infer_matmul(DUEL_INFER_ARGS) {
  int64_t rows, inner, columns;
  if (!duel_need_real(g, n) || !duel_matmul_sizes(g, n, &rows, &inner, &columns)) return false;
  duel_shape a = duel_in_shape(g, n, 0), b = duel_in_shape(g, n, 1), dst;
  if (!duel_shape_broadcast(batch_dims(a), batch_dims(b), &dst))
    return duel_graph_refuse(g, "matmul cannot multiply %s by %s: their batch dimensions do not broadcast",
                             duel_shape_text(a), duel_shape_text(b));
  dst.dim[dst.rank++] = rows;
  dst.dim[dst.rank++] = columns;
  return duel_set_out(g, n, 0, g->real, dst);
}

// With A = op(a), B = op(b): dA = d·Bᵀ, dB = Aᵀ·d, written transposed where the input is stored so.
static void vjp_matmul(DUEL_VJP_ARGS) {
  duel_val a = n->in[0], b = n->in[1], d = d_out[0];
  bool ta = n->attr.matmul.trans_a, tb = n->attr.matmul.trans_b;
  if (need[0]) d_in[0] = ta ? duel_matmul(g, b, d, tb, true) : duel_matmul(g, d, b, false, !tb);
  if (need[1]) d_in[1] = tb ? duel_matmul(g, d, a, true, ta) : duel_matmul(g, a, d, !ta, false);
}

static duel_cost cost_matmul(const duel_graph *g, const duel_node *n) {
  duel_shape a = g->value[n->in[0]].shape;
  double inner = (double)a.dim[a.rank - (n->attr.matmul.trans_a ? 2 : 1)];
  return duel_cost_streams(g, n, 2 * inner * duel_elements(g, n->out[0]));
}

DUEL_RECORD(matmul, .infer = infer_matmul, .vjp = vjp_matmul, .cost = cost_matmul);

duel_val duel_matmul(duel_graph *g, duel_val a, duel_val b, bool trans_a, bool trans_b) {
  duel_attr attr = duel_attr_zero();
  attr.matmul.trans_a = trans_a;
  attr.matmul.trans_b = trans_b;
  return duel_apply(g, DUEL_OP_MATMUL, 2, (duel_val[]){a, b}, &attr, NULL);
}
