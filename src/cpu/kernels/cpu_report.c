// The scalars of a step: a piece for each. Inputs are short.
#include "cpu/kernels/cpu_kernel.h"

static void report_cut(const duel_call *call, duel_cut *cut) {
  *cut = duel_cut_each(duel_count(&call->out[0]));
}

static real sum_of(const real *x, int64_t n, const duel_report_term *t) {
  const real target = (real)t->target;
  real lane[DUEL_SUM_LANES] = {0};
  switch (t->kind) {
  case DUEL_REPORT_SIGN:
    DUEL_SUM_RUN(lane, n, (real)((x[i] >= 0 ? 1 : 0) - (x[i] <= 0 ? 1 : 0)));
    break;
  case DUEL_REPORT_BCE:
    DUEL_SUM_RUN(lane, n, duel_softplus_real(x[i]) - target * x[i]);
    break;
  default:
    DUEL_SUM_RUN(lane, n, x[i]);
  }
  return duel_lanes_sum(lane);
}

static void report_run(const duel_call *call, const duel_piece *piece) {
  const duel_report_term *term = call->attr->report.term;
  real total = 0;
  for (int i = 1; i < call->n_in; i++) {
    const duel_report_term *t = &term[i - 1];
    if (t->scalar == piece->index) total += (real)t->mul * sum_of(call->in[i].data, duel_count(&call->in[i]), t);
  }
  ((real *)call->out[0].data)[piece->index] = total;
}
const duel_cpu_kernel DUEL_CPU_NAME(report) = {.cut = report_cut, .run = report_run};
