// The scalars of a step in one node: means of scores and signs, losses, Σ grad². It writes all of a variable, whose old
// version it does not read.
#include <math.h>

#include "core/ops/op.h"

static bool infer_report(DUEL_INFER_ARGS) {
  const duel_shape all = duel_in_shape(g, n, 0);
  if (!duel_need_real(g, n)) return false;
  if (all.rank != 1 || n->n_in - 1 > DUEL_REPORT_TERMS)
    return duel_graph_refuse(g, "report: %d terms for %s; there are at most %d, and scalars in a row", n->n_in - 1,
                             duel_shape_text(all), DUEL_REPORT_TERMS);
  for (int i = 0; i < n->n_in - 1; i++) {
    const duel_report_term *t = &n->attr.report.term[i];
    if (t->scalar >= 0 && t->scalar < all.dim[0] && t->kind >= DUEL_REPORT_SUM && t->kind <= DUEL_REPORT_BCE &&
        isfinite(t->mul) && isfinite(t->target))
      continue;
    return duel_graph_refuse(g, "report: term %d is none: scalar %d of %s, kind %d, %g, %g", i, t->scalar,
                             duel_shape_text(all), t->kind, t->mul, t->target);
  }
  if (g->value[n->in[0]].var < 0) return duel_set_out(g, n, 0, g->real, all); // what a shard tells is no state
  return duel_write_version(g, n, 0);
}

static duel_cost cost_report(const duel_graph *g, const duel_node *n) {
  duel_cost c = {0, duel_bytes(g, n->out[0])};
  for (int i = 1; i < n->n_in; i++) {
    c.flops += (n->attr.report.term[i - 1].kind == DUEL_REPORT_BCE ? 30 : 1) * duel_elements(g, n->in[i]);
    c.bytes += duel_bytes(g, n->in[i]);
  }
  return c;
}

DUEL_RECORD(report, .infer = infer_report, .vjp = duel_no_grad, .cost = cost_report, .flags = DUEL_FLAG_WRITER);

duel_val duel_report(duel_graph *g, duel_val old, int n, const duel_val *src, const duel_report_term *term) {
  duel_attr attr = duel_attr_zero();
  attr.report.term = term;
  duel_val *in = duel_graph_alloc(g, (size_t)(n + 1) * sizeof *in);
  if (!in) return DUEL_NONE;
  in[0] = old;
  for (int i = 0; i < n; i++) in[i + 1] = src[i];
  return duel_apply(g, DUEL_OP_REPORT, n + 1, in, &attr, NULL);
}
