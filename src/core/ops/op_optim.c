// Writers: what makes the next version of a variable. A version has one writer, which must find it the newest;
// gradients stop here.
//
//   adam  m' = β1·m + (1−β1)·g;  v' = β2·v + (1−β2)·g²;  p' = coef[3]·p − coef[0]·m'/(sqrt(v')·coef[1] + coef[2])
//   sgd   m' = momentum·m + g;   p' = coef[3]·p − lr·m'          (torch.optim.SGD without dampening)
//   ema   e' = e + w·(x − e)
//   running  mean' = mean + w·(x − mean);  var' = var + w·(unbias·y − var)
//
// adam and sgd take the gradient as 0 in the gaps of a slab (attr.optim), whatever memory holds there.
#include <inttypes.h>

#include "core/ops/op.h"

// Makes output i the next version of input i's variable.
bool duel_write_version(duel_graph *g, const duel_node *n, int i) {
  const duel_value *old = &g->value[n->in[i]];
  const char *op = duel_op_name(n->op);
  if (old->var < 0)
    return duel_graph_refuse(g, "%s: input %d (%s) is written, but it is no state", op, i, duel_shape_text(old->shape));
  const duel_var *var = &g->vars->var[old->var];
  if (var->arena == DUEL_ARENA_INPUT || var->arena == DUEL_ARENA_DATA)
    return duel_graph_refuse(g, "%s cannot write %s: it is an input", op, var->name);
  if (g->latest[old->var] != n->in[i])
    return duel_graph_refuse(g, "%s cannot write an old version of %s: a newer one exists", op, var->name);
  duel_set_out(g, n, i, old->dtype, old->shape);
  g->value[n->out[i]].var = old->var;
  g->latest[old->var] = n->out[i];
  return true;
}

// (p, moments..., grad, coef): all of p's shape but coef [8]. Writes p and the moments; the last output is Σ grad²
// in duel_squares_parts().
static bool infer_optimizer(DUEL_INFER_ARGS) {
  int written = n->n_out - 1;
  duel_shape p = duel_in_shape(g, n, 0);
  if (!duel_need_real(g, n)) return false;
  for (int i = 1; i < written; i++)
    if (!duel_need_shape(g, n, i, "a moment", p)) return false;
  if (!duel_need_shape(g, n, written, "the gradient", p) || !duel_need_shape(g, n, written + 1, "coef", DUEL_SHAPE(8)))
    return false;
  const int64_t count = duel_shape_count(p);
  if (n->attr.optim.gaps < 0 || n->attr.optim.gaps > DUEL_OPTIM_GAPS)
    return duel_graph_refuse(g, "%s: %" PRId64 " gaps; there are at most %d", duel_op_name(n->op), n->attr.optim.gaps,
                             DUEL_OPTIM_GAPS);
  for (int64_t i = 0, end = 0; i < n->attr.optim.gaps; end = n->attr.optim.gap[2 * i++ + 1])
    if (n->attr.optim.gap[2 * i] < end || n->attr.optim.gap[2 * i + 1] <= n->attr.optim.gap[2 * i] ||
        n->attr.optim.gap[2 * i + 1] > count)
      return duel_graph_refuse(g, "%s: gap %" PRId64 " of %s is out of order", duel_op_name(n->op), i,
                               duel_shape_text(p));
  for (int i = 0; i < written; i++)
    if (!duel_write_version(g, n, i)) return false;
  return duel_set_out(g, n, written, g->real, DUEL_SHAPE(duel_squares_parts(count)));
}

static bool infer_ema(DUEL_INFER_ARGS) {
  return duel_need_real(g, n) && duel_need_shape(g, n, 1, "the new value", duel_in_shape(g, n, 0)) &&
         duel_need_shape(g, n, 2, "the weight", DUEL_SCALAR) && duel_write_version(g, n, 0);
}

static bool infer_running(DUEL_INFER_ARGS) {
  static const char *const what[] = {"", "the variance", "the batch's mean", "the batch's variance"};
  if (!duel_need_real(g, n)) return false;
  for (int i = 1; i < 4; i++)
    if (!duel_need_shape(g, n, i, what[i], duel_in_shape(g, n, 0))) return false;
  return duel_write_version(g, n, 0) && duel_write_version(g, n, 1);
}

static bool infer_assign(DUEL_INFER_ARGS) {
  return duel_need_real(g, n) && duel_need_shape(g, n, 1, "the new value", duel_in_shape(g, n, 0)) &&
         duel_write_version(g, n, 0);
}

static duel_cost cost_assign(const duel_graph *g, const duel_node *n) { // the old version is not read
  return (duel_cost){0, 2 * duel_bytes(g, n->out[0])};
}

DUEL_RECORD(adam, .infer = infer_optimizer, .vjp = duel_no_grad, .flops_in = 15, .flags = DUEL_FLAG_WRITER);
DUEL_RECORD(sgd, .infer = infer_optimizer, .vjp = duel_no_grad, .flops_in = 7, .flags = DUEL_FLAG_WRITER);
DUEL_RECORD(ema, .infer = infer_ema, .vjp = duel_no_grad, .flops_in = 3, .flags = DUEL_FLAG_WRITER);
DUEL_RECORD(running, .infer = infer_running, .vjp = duel_no_grad, .flops_in = 7, .flags = DUEL_FLAG_WRITER);
DUEL_RECORD(assign, .infer = infer_assign, .vjp = duel_no_grad, .cost = cost_assign, .flags = DUEL_FLAG_WRITER);

void duel_adam(duel_graph *g, duel_val p, duel_val m, duel_val v, duel_val grad, duel_val coef, duel_val out[4]) {
  duel_apply_all(g, DUEL_OP_ADAM, 5, (duel_val[]){p, m, v, grad, coef}, NULL, out);
}

void duel_sgd(duel_graph *g, duel_val p, duel_val m, duel_val grad, duel_val coef, duel_val out[3]) {
  duel_apply_all(g, DUEL_OP_SGD, 4, (duel_val[]){p, m, grad, coef}, NULL, out);
}

duel_val duel_ema(duel_graph *g, duel_val e, duel_val x, duel_val w) {
  return duel_apply(g, DUEL_OP_EMA, 3, (duel_val[]){e, x, w}, NULL, NULL);
}

void duel_running(duel_graph *g, duel_val mean, duel_val var, duel_val batch_mean, duel_val batch_var, double weight,
                  double unbias, duel_val out[2]) {
  duel_attr attr = duel_attr_zero();
  attr.running.weight = weight;
  attr.running.unbias = unbias;
  duel_apply_all(g, DUEL_OP_RUNNING, 4, (duel_val[]){mean, var, batch_mean, batch_var}, &attr, out);
}

duel_val duel_assign(duel_graph *g, duel_val old, duel_val x) {
  return duel_apply(g, DUEL_OP_ASSIGN, 2, (duel_val[]){old, x}, NULL, NULL);
}

duel_val duel_clamp(duel_graph *g, duel_val old, double bound) {
  duel_attr attr = duel_attr_zero();
  attr.assign.bound = bound;
  return duel_apply(g, DUEL_OP_ASSIGN, 2, (duel_val[]){old, old}, &attr, NULL);
}

void duel_output(duel_graph *g, int var, duel_val v) {
  if (g->status != DUEL_OK) return;
  if (!g->vars || var < 0 || var >= g->vars->n || g->vars->var[var].arena != DUEL_ARENA_OUTPUT) {
    duel_graph_error(g, "output: variable %d is not of the output arena", var);
    return;
  }
  duel_assign(g, duel_state(g, var), v);
}
