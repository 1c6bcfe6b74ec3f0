// The scalars of a step in one node: means of scores and signs, losses, Σ grad². Slot j is Σ mul·Σ f(x) over the inputs
// whose term names it, in their order.
#include <math.h>

#include "core/op.h"

static void infer_report(DUEL_INFER_ARGS) {
  const int64_t slots = n->attr.report.slots;
  if (!duel_need_real(g, n)) return;
  if (n->n_in > DUEL_REPORT_TERMS) {
    duel_graph_error(g, "report: %d terms are more than %d", n->n_in, DUEL_REPORT_TERMS);
    return;
  }
  for (int i = 0; i < n->n_in; i++) {
    const duel_report_term *t = &n->attr.report.term[i];
    if (t->slot >= 0 && t->slot < slots && t->kind >= DUEL_REPORT_SUM && t->kind <= DUEL_REPORT_BCE &&
        isfinite(t->mul) && isfinite(t->target))
      continue;
    duel_graph_error(g, "report: term %d is none: slot %d, kind %d, %g, %g", i, t->slot, t->kind, t->mul, t->target);
    return;
  }
  duel_set_out(g, n, 0, g->real, DUEL_SHAPE(slots));
}

static duel_val sum_of(duel_graph *g, duel_val x, const duel_report_term *t) {
  const duel_val zero = duel_constant(g, DUEL_SCALAR, 0);
  if (t->kind == DUEL_REPORT_SIGN) x = duel_sub(g, duel_less_equal(g, zero, x), duel_less_equal(g, x, zero));
  if (t->kind == DUEL_REPORT_BCE) x = duel_sub(g, duel_softplus(g, x), duel_affine(g, x, t->target, 0));
  return duel_affine(g, duel_sum(g, x), t->mul, 0);
}

static void expand_report(duel_graph *g, const duel_node *n, duel_val *out) {
  const int64_t slots = n->attr.report.slots;
  duel_val *slot = duel_graph_alloc(g, (size_t)slots * sizeof *slot);
  int64_t *offset = duel_graph_alloc(g, (size_t)slots * sizeof *offset);
  if (!slot || !offset) return;
  for (int64_t j = 0; j < slots; j++) {
    slot[j] = DUEL_NONE;
    offset[j] = j;
  }
  for (int i = 0; i < n->n_in; i++) {
    const duel_report_term *t = &n->attr.report.term[i];
    const duel_val sum = sum_of(g, n->in[i], t);
    slot[t->slot] = slot[t->slot] == DUEL_NONE ? sum : duel_add(g, slot[t->slot], sum);
  }
  for (int64_t j = 0; j < slots; j++)
    if (slot[j] == DUEL_NONE) slot[j] = duel_constant(g, DUEL_SCALAR, 0);
  out[0] = duel_pack(g, (int)slots, slot, offset, slots);
}

static duel_cost cost_report(const duel_graph *g, const duel_node *n) {
  double flops = 0;
  for (int i = 0; i < n->n_in; i++)
    flops += (n->attr.report.term[i].kind == DUEL_REPORT_BCE ? 30 : 1) * duel_elements(g, n->in[i]);
  return duel_cost_streams(g, n, flops);
}

DUEL_RECORD(report, .infer = infer_report, .vjp = duel_vjp_by_expansion, .expand = expand_report, .cost = cost_report,
            .flags = DUEL_FLAG_FUSED);

duel_val duel_report(duel_graph *g, int n, const duel_val *src, const duel_report_term *term, int64_t slots) {
  duel_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.report.term = term;
  attr.report.slots = slots;
  return duel_apply(g, DUEL_OP_REPORT, n, src, &attr, NULL);
}
