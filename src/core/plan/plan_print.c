// What a plan costs, and the table of `duel info RECIPE --plan`: totals, then one row a node in the order in which they
// run.
#include <string.h>

#include "base/text.h"
#include "core/ops/op.h"
#include "core/plan/plan.h"

static const char *const arena_names[DUEL_ARENA_COUNT] = {
    [DUEL_ARENA_PARAM] = "param", [DUEL_ARENA_OPT] = "opt",     [DUEL_ARENA_BUFFER] = "buffer",
    [DUEL_ARENA_DATA] = "data",   [DUEL_ARENA_INPUT] = "input", [DUEL_ARENA_OUTPUT] = "output",
    [DUEL_ARENA_WORK] = "work",
};

// A pack moves only what was not written in place, and zeroes the gaps.
duel_cost duel_plan_cost(const duel_plan *plan, const duel_node *n) {
  duel_cost cost = duel_op_cost(plan->graph, n);
  const duel_place *slab = &plan->place[n->out[0]];
  for (int i = 0; n->op == DUEL_OP_PACK && i < n->n_in; i++) {
    const duel_place *place = &plan->place[n->in[i]];
    size_t offset = (size_t)n->attr.pack.offset[i] * duel_dtype_size(plan->graph->value[n->out[0]].dtype);
    if (place->arena == slab->arena && place->offset == slab->offset + offset) cost.bytes -= 2 * (double)place->bytes;
  }
  return cost;
}

duel_plan_totals duel_plan_sum(const duel_plan *plan) {
  const duel_graph *g = plan->graph;
  duel_plan_totals t = {.nodes = plan->n_order, .groups = plan->n_groups, .values = g->n_values};
  for (int i = 0; i < plan->n_order; i++) {
    duel_cost cost = duel_plan_cost(plan, plan->order[i]);
    t.flops += cost.flops;
    t.bytes += cost.bytes;
  }
  for (int i = 0; g->vars && i < DUEL_ARENA_COUNT; i++) t.arena_bytes[i] = g->vars->arena_bytes[i];
  t.arena_bytes[DUEL_ARENA_WORK] = plan->work_bytes;
  return t;
}

// "12.3 MiB" with the unit that fits.
static void print_bytes(FILE *out, double bytes) {
  static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int u = 0;
  while (bytes >= 1024 && u < 4) {
    bytes /= 1024;
    u++;
  }
  fprintf(out, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
}

// Shapes of all outputs, "64×512, 512".
static void shapes(const duel_graph *g, const duel_node *n, char *text, size_t size) {
  size_t used = 0;
  text[0] = 0;
  for (int i = 0; i < n->n_out && used < size; i++) {
    int more = snprintf(text + used, size - used, "%s%s", i ? ", " : "", duel_shape_text(g->value[n->out[i]].shape));
    if (more > 0) used += (size_t)more;
  }
}

void duel_plan_print(const duel_plan *plan, FILE *out) {
  const duel_graph *g = plan->graph;
  duel_plan_totals t = duel_plan_sum(plan);
  fprintf(out, "%d nodes in %d groups, %d values; %.1f MFLOP and ", t.nodes, t.groups, t.values, t.flops * 1e-6);
  print_bytes(out, t.bytes);
  fprintf(out, " moved a run\nmemory:");
  double all = 0;
  for (int i = 0; i < DUEL_ARENA_COUNT; i++) {
    all += (double)t.arena_bytes[i];
    fprintf(out, " %s ", arena_names[i]);
    print_bytes(out, (double)t.arena_bytes[i]);
    fprintf(out, i + 1 < DUEL_ARENA_COUNT ? "," : " (no layout needs less than ");
  }
  print_bytes(out, (double)plan->work_floor);
  fprintf(out, "); ");
  print_bytes(out, all);
  fprintf(out, " in all\n\n");

  enum { SHAPES = 256 };
  char text[SHAPES];
  int wide_op = 2, wide_label = 5, wide_shape = 6;
  for (int i = 0; i < plan->n_order; i++) {
    const duel_node *n = plan->order[i];
    int op = duel_utf8_count(duel_op_name(n->op)), label = duel_utf8_count(n->label);
    shapes(g, n, text, sizeof text);
    int shape = duel_utf8_count(text);
    wide_op = op > wide_op ? op : wide_op;
    wide_label = label > wide_label ? label : wide_label;
    wide_shape = shape > wide_shape ? shape : wide_shape;
  }
  fprintf(out, "group  %-*s  %-*s  %-*s  %10s  %10s  place\n", wide_op, "op", wide_label, "layer", wide_shape, "result",
          "MFLOP", "KiB moved");
  for (int i = 0, group = 0; i < plan->n_order; i++) {
    const duel_node *n = plan->order[i];
    bool first = i == 0;
    while (i >= plan->group_end[group]) {
      group++;
      first = true;
    }
    duel_cost cost = duel_plan_cost(plan, n);
    if (first)
      fprintf(out, "%5d  ", group);
    else
      fprintf(out, "%5s  ", "");
    duel_print_padded(out, duel_op_name(n->op), wide_op + 2);
    duel_print_padded(out, n->label, wide_label + 2);
    shapes(g, n, text, sizeof text);
    duel_print_padded(out, text, wide_shape);
    const duel_place *place = &plan->place[n->out[0]];
    fprintf(out, "  %10.3f  %10.1f  %s+%.1fK\n", cost.flops * 1e-6, cost.bytes / 1024, arena_names[place->arena],
            (double)place->offset / 1024);
  }
}
