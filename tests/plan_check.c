// See plan_check.h.
#include "plan_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const duel_plan *plan;
static const duel_graph *g;

static bool computes(const duel_node *n) {
  return n->op != DUEL_OP_INPUT && n->op != DUEL_OP_STATE && n->op != DUEL_OP_RESHAPE && n->op != DUEL_OP_VIEW;
}

static bool overlap(const duel_place *a, const duel_place *b) {
  return a->arena == b->arena && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static bool same(const duel_place *a, const duel_place *b) {
  return a->arena == b->arena && a->offset == b->offset && a->bytes == b->bytes;
}

static const char *name(const duel_node *n) {
  static char text[4][128];
  static int turn;
  char *t = text[turn++ % 4];
  snprintf(t, sizeof text[0], "%s (node %d, %s)", duel_op_name(n->op), n->id, n->label);
  return t;
}

// ---- what each byte holds
// Bytes are tracked in units of the smallest type in use. A content is (value, unit): what the maker of that value
// wrote there. Reshapes, views and packs show contents of others.
enum { UNIT = 4 };
typedef struct contents {
  uint64_t *held[DUEL_ARENA_COUNT]; // per unit of each arena
  uint64_t **of;                    // per value, per unit
} contents;

static size_t units(size_t bytes) {
  return (bytes + UNIT - 1) / UNIT;
}

static void *zeroed(size_t n, size_t size) {
  void *p = calloc(n ? n : 1, size);
  assert_non_null(p);
  return p;
}

static void fill_contents(contents *c) {
  c->of = zeroed((size_t)g->n_values, sizeof *c->of);
  for (int i = 0; i < g->n_nodes; i++) {
    const duel_node *n = g->node[i];
    for (int k = 0; k < n->n_out; k++) {
      duel_val v = n->out[k];
      size_t count = units(plan->place[v].bytes), size = duel_dtype_size(g->value[v].dtype);
      c->of[v] = zeroed(count, sizeof **c->of);
      for (size_t u = 0; u < count; u++) c->of[v][u] = ((uint64_t)v + 1) << 32 | u;
      if (n->op == DUEL_OP_RESHAPE) memcpy(c->of[v], c->of[n->in[0]], count * sizeof **c->of);
      if (n->op == DUEL_OP_VIEW)
        memcpy(c->of[v], c->of[n->in[0]] + (size_t)n->attr.view.offset * size / UNIT, count * sizeof **c->of);
      for (int j = 0; n->op == DUEL_OP_PACK && j < n->n_in; j++)
        memcpy(c->of[v] + (size_t)n->attr.pack.offset[j] * size / UNIT, c->of[n->in[j]],
               units(plan->place[n->in[j]].bytes) * sizeof **c->of);
    }
  }
}

static uint64_t *held(contents *c, duel_val v) {
  return c->held[plan->place[v].arena] + plan->place[v].offset / UNIT;
}

static void write_value(contents *c, duel_val v) {
  memcpy(held(c, v), c->of[v], units(plan->place[v].bytes) * sizeof **c->of);
}

static void simulate_node(contents *c, const duel_node *n) {
  for (int k = 0; k < n->n_in; k++)
    if (memcmp(held(c, n->in[k]), c->of[n->in[k]], units(plan->place[n->in[k]].bytes) * sizeof **c->of))
      fail_msg("input %d of %s was overwritten, or not yet made by %s", k, name(n),
               name(g->node[g->value[n->in[k]].node]));
  for (int k = 0; k < n->n_out; k++) write_value(c, n->out[k]);
}

static void simulate(contents *c, bool reversed) {
  for (int a = 0; a < DUEL_ARENA_COUNT; a++) {
    size_t bytes = a == DUEL_ARENA_WORK ? plan->work_bytes : g->vars ? g->vars->arena_bytes[a] : 0;
    c->held[a] = zeroed(units(bytes) + 1, sizeof **c->held);
  }
  for (int i = 0; i < g->n_nodes; i++)
    if (g->node[i]->op == DUEL_OP_INPUT || g->node[i]->op == DUEL_OP_STATE) write_value(c, g->node[i]->out[0]);
  for (int group = 0, begin = 0; group < plan->n_groups; begin = plan->group_end[group++])
    for (int i = begin, end = plan->group_end[group]; i < end; i++) {
      int at = reversed ? begin + end - 1 - i : i;
      if (plan->scratch_bytes[at])
        memset(c->held[DUEL_ARENA_WORK] + plan->scratch[at] / UNIT, 0,
               units(plan->scratch_bytes[at]) * sizeof **c->held);
      simulate_node(c, plan->order[at]);
    }
  for (int i = 0; g->vars && i < g->n_latest; i++) // the step's last versions are what stays
    if (g->latest[i] != DUEL_NONE) {
      duel_val v = g->latest[i];
      if (memcmp(held(c, v), c->of[v], units(plan->place[v].bytes) * sizeof **c->of))
        fail_msg("the last version of %s is not what its variable holds", g->vars->var[i].name);
    }
  for (int a = 0; a < DUEL_ARENA_COUNT; a++) free(c->held[a]);
}

// ---- one group
// Does n, writing its output i, touch any of `place`? A pack leaves alone what was written in place.
static bool writes(const duel_node *n, int i, const duel_place *place) {
  const duel_place *out = &plan->place[n->out[i]];
  if (!overlap(out, place)) return false;
  if (n->op != DUEL_OP_PACK) return true;
  size_t size = duel_dtype_size(g->value[n->out[0]].dtype);
  for (size_t at = place->offset; at < place->offset + place->bytes; at += UNIT) {
    duel_place unit = {place->arena, at, UNIT};
    bool left = !overlap(&unit, out);
    for (int k = 0; k < n->n_in && !left; k++) {
      const duel_place *in = &plan->place[n->in[k]];
      left = in->offset == out->offset + (size_t)n->attr.pack.offset[k] * size && overlap(&unit, in);
    }
    if (!left) return true;
  }
  return false;
}

static void check_pair(const duel_node *a, const duel_node *b) {
  for (int i = 0; i < a->n_out; i++) {
    for (int k = 0; k < b->n_in; k++)
      if (writes(a, i, &plan->place[b->in[k]])) fail_msg("%s writes what %s reads in its group", name(a), name(b));
    for (int k = 0; k < b->n_out; k++)
      if (overlap(&plan->place[a->out[i]], &plan->place[b->out[k]]))
        fail_msg("%s and %s write the same memory in one group", name(a), name(b));
  }
}

// An output may touch an input only exactly on it, for ops that promise to bear that, or as a slab that leaves it
// alone.
static void check_own(const duel_node *n) {
  unsigned flags = duel_op_records[n->op]->flags;
  for (int i = 0; i < n->n_out; i++) {
    const duel_place *out = &plan->place[n->out[i]];
    for (int k = 0; k < i; k++)
      if (overlap(out, &plan->place[n->out[k]])) fail_msg("outputs of %s overlap", name(n));
    for (int k = 0; k < n->n_in; k++) {
      const duel_place *in = &plan->place[n->in[k]];
      if (!overlap(out, in)) continue;
      bool writer = (flags & DUEL_FLAG_WRITER) && i == k && g->value[n->out[i]].var >= 0;
      bool inplace = (flags & DUEL_FLAG_INPLACE) && i == 0 && same(in, out);
      if (!writer && !inplace && writes(n, i, in)) fail_msg("output %d of %s lies across its input %d", i, name(n), k);
    }
  }
}

static void check_groups(void) {
  int *runs = zeroed((size_t)g->n_nodes, sizeof *runs);
  for (int i = 0; i < plan->n_order; i++) runs[plan->order[i]->id]++;
  for (int i = 0; i < g->n_nodes; i++)
    if (runs[i] != computes(g->node[i])) fail_msg("%s runs %d times", name(g->node[i]), runs[i]);
  free(runs);
  assert_int_equal(plan->n_groups ? plan->group_end[plan->n_groups - 1] : 0, plan->n_order);
  for (int group = 0, begin = 0; group < plan->n_groups; begin = plan->group_end[group++]) {
    assert_true(plan->group_end[group] > begin);
    for (int i = begin; i < plan->group_end[group]; i++) {
      check_own(plan->order[i]);
      for (int k = begin; k < plan->group_end[group]; k++)
        if (i != k) check_pair(plan->order[i], plan->order[k]);
    }
  }
}

// ---- lives
typedef struct life {
  int first, last; // groups
} life;

static duel_val root_of(duel_val v) {
  const duel_node *n = g->node[g->value[v].node];
  while (n->op == DUEL_OP_RESHAPE || n->op == DUEL_OP_VIEW) {
    v = n->in[0];
    n = g->node[g->value[v].node];
  }
  return v;
}

// May a and b, both alive at one time, share memory? Only if b is made from a in place, or is the pack that a lies in.
static bool is_one(duel_val a, duel_val b, const life *l) {
  const duel_node *n = g->node[g->value[b].node];
  for (int k = 0; k < n->n_in; k++) {
    if (root_of(n->in[k]) != a) continue;
    if (n->op == DUEL_OP_PACK) return true; // simulated: the contents are the same
    if ((duel_op_records[n->op]->flags & DUEL_FLAG_INPLACE) && b == n->out[0] && l[a].last == l[b].first) return true;
  }
  return false;
}

// A value in a pack that lies in a pack, or that was made in place of one: follow the chain.
static bool is_one_through(duel_val a, duel_val b, const life *l, int depth) {
  if (is_one(a, b, l)) return true;
  const duel_node *n = g->node[g->value[b].node];
  for (int k = 0; depth && n->op == DUEL_OP_PACK && k < n->n_in; k++)
    if (overlap(&plan->place[a], &plan->place[n->in[k]]) && is_one_through(a, root_of(n->in[k]), l, depth - 1))
      return true;
  return false;
}

static void check_lives(void) {
  size_t values = (size_t)g->n_values;
  life *l = zeroed(values, sizeof *l);
  for (size_t v = 0; v < values; v++) l[v] = (life){-1, -1};
  for (int group = 0, i = 0; group < plan->n_groups; group++)
    for (; i < plan->group_end[group]; i++) {
      const duel_node *n = plan->order[i];
      for (int k = 0; k < n->n_out; k++) l[n->out[k]] = (life){group, group};
      for (int k = 0; k < n->n_in; k++) l[root_of(n->in[k])].last = group;
    }
  for (int a = 0; a < g->n_values; a++) {
    if (plan->place[a].arena != DUEL_ARENA_WORK || root_of(a) != a) continue;
    assert_true(l[a].first >= 0);
    assert_true(plan->place[a].offset + plan->place[a].bytes <= plan->work_bytes);
    assert_int_equal(plan->place[a].offset % DUEL_ALIGN, 0);
    for (int b = 0; b < a; b++) {
      if (root_of(b) != b || l[a].last < l[b].first || l[b].last < l[a].first) continue;
      if (!overlap(&plan->place[a], &plan->place[b])) continue;
      if (!is_one_through(a, b, l, 4) && !is_one_through(b, a, l, 4))
        fail_msg("values %d (%s) and %d (%s) are alive together and overlap", b, name(g->node[g->value[b].node]), a,
                 name(g->node[g->value[a].node]));
    }
  }
  for (int group = 0, begin = 0; group < plan->n_groups; begin = plan->group_end[group++])
    for (int i = begin; i < plan->group_end[group]; i++) {
      duel_place s = {DUEL_ARENA_WORK, plan->scratch[i], plan->scratch_bytes[i]};
      if (!s.bytes) continue;
      assert_true(s.offset + s.bytes <= plan->work_bytes);
      assert_int_equal(s.offset % DUEL_ALIGN, 0);
      for (int v = 0; v < g->n_values; v++)
        if (root_of(v) == v && l[v].first <= group && group <= l[v].last && overlap(&s, &plan->place[v]))
          fail_msg("scratch of %s lies on value %d", name(plan->order[i]), v);
      for (int k = begin; k < i; k++)
        if (overlap(&s, &(duel_place){DUEL_ARENA_WORK, plan->scratch[k], plan->scratch_bytes[k]}))
          fail_msg("scratch of %s and %s overlaps", name(plan->order[i]), name(plan->order[k]));
    }
  // Bytes that hold a live value, each counted once, in any group: never more than the floor.
  unsigned char *used = zeroed(plan->work_bytes / DUEL_ALIGN + 1, 1);
  for (int group = 0; group < plan->n_groups; group++) {
    memset(used, 0, plan->work_bytes / DUEL_ALIGN + 1);
    for (int v = 0; v < g->n_values; v++) {
      const duel_place *p = &plan->place[v];
      if (p->arena != DUEL_ARENA_WORK || root_of(v) != v || group < l[v].first || l[v].last < group) continue;
      for (size_t at = p->offset / DUEL_ALIGN; at * DUEL_ALIGN < p->offset + p->bytes; at++) used[at] = 1;
    }
    size_t bytes = 0;
    for (size_t at = 0; at * DUEL_ALIGN < plan->work_bytes; at++) bytes += used[at] * (size_t)DUEL_ALIGN;
    assert_true(bytes <= plan->work_floor);
  }
  assert_true(plan->work_floor <= plan->work_bytes);
  free(used);
  free(l);
}

void check_plan(const duel_plan *p) {
  plan = p;
  g = p->graph;
  check_groups();
  check_lives();
  contents c = {0};
  fill_contents(&c);
  simulate(&c, false);
  simulate(&c, true);
  for (int v = 0; v < g->n_values; v++) free(c.of[v]);
  free(c.of);
}
