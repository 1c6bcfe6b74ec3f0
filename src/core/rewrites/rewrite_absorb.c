// What the ends of a step take in, so that no node of its own is left of it.
//
//   report       sums, multiples, additions and losses that only it reads become its terms
//   adam, sgd    a gradient that only they read may keep anything in the slab's gaps: pack need not fill them
#include "base/mem.h"
#include "core/ops/op.h"
#include "core/rewrites/rewrite.h"

enum { MOST_SUMMED = 16384 }; // elements of an input of report: it has few threads

typedef struct absorber {
  duel_rewrite *r;
  duel_uses uses;
  bool *gone;  // per node: absorbed by a later one
  bool *loose; // per node: a pack whose gaps nobody reads
} absorber;

// ---- report
typedef struct report {
  int n;
  duel_val in[DUEL_REPORT_TERMS];
  duel_report_term term[DUEL_REPORT_TERMS];
} report;

static int64_t count_of(const duel_graph *g, duel_val v) {
  return duel_shape_count(g->value[v].shape);
}

// How many terms of the report read v, all as sums; 0: others do too.
static int terms_of(const duel_node *n, duel_val v) {
  int terms = 0;
  for (int i = 1; i < n->n_in; i++) {
    if (n->in[i] != v) continue;
    if (n->attr.report.term[i - 1].kind != DUEL_REPORT_SUM) return 0;
    terms++;
  }
  return terms;
}

// Whether other terms read the input of the node's term i, and so take in the same nodes; terms behind its own are new.
static bool shared(const duel_node *n, int i) {
  return i < n->n_in - 1 && terms_of(n, n->in[i + 1]) != 1;
}

// Term i reads what the maker of its input reads, if the report is the only one to want that input.
static bool absorb(absorber *a, const duel_node *n, report *r, int i) {
  const duel_graph *g = a->uses.g;
  const duel_val v = r->in[i];
  const duel_node *m = g->node[g->value[v].node];
  duel_report_term *t = &r->term[i];
  const bool ours = duel_only_reader(&a->uses, v) || a->uses.readers[v] == terms_of(n, v);
  if (t->kind != DUEL_REPORT_SUM || !ours || m->n_out != 1 || m->n_in < 1 || count_of(g, m->in[0]) > MOST_SUMMED ||
      !duel_can_wait(&a->uses, m, n))
    return false;
  switch (m->op) {
  case DUEL_OP_RESHAPE:
  case DUEL_OP_REDUCE_SUM: // over any axes: all the others follow
    break;
  case DUEL_OP_AFFINE:
    if (m->attr.affine.add != 0) return false;
    t->mul *= m->attr.affine.mul;
    break;
  case DUEL_OP_BCE_LOGITS:
    t->kind = DUEL_REPORT_BCE;
    t->target = m->attr.bce.target;
    t->mul /= (double)count_of(g, m->in[0]);
    break;
  case DUEL_OP_ADD:
    if (shared(n, i) || r->n == DUEL_REPORT_TERMS || count_of(g, m->in[0]) != count_of(g, v) ||
        count_of(g, m->in[1]) != count_of(g, v))
      return false;
    r->term[r->n] = *t;
    r->in[r->n++] = m->in[1];
    break;
  default:
    return false;
  }
  r->in[i] = m->in[0];
  a->gone[m->id] = true;
  return true;
}

static report report_of(absorber *a, const duel_node *n) {
  report r = {.n = n->n_in - 1};
  for (int i = 0; i < r.n; i++) {
    r.in[i] = n->in[i + 1];
    r.term[i] = n->attr.report.term[i];
  }
  for (int i = 0; i < r.n; i++)
    while (absorb(a, n, &r, i)) continue;
  return r;
}

// ---- gaps
// Those of a pack's slab: {first, end} each. Yields how many, or -1: more than DUEL_OPTIM_GAPS.
static int gaps_of(const duel_graph *g, const duel_node *pack, int64_t gap[2 * DUEL_OPTIM_GAPS]) {
  int n = 0;
  for (int64_t at = 0; at < pack->attr.pack.count;) {
    int64_t next = pack->attr.pack.count, end = -1;
    for (int i = 0; i < pack->n_in; i++) {
      const int64_t first = pack->attr.pack.offset[i];
      if (first == at) end = first + count_of(g, pack->in[i]);
      if (first > at && first < next) next = first;
    }
    if (end < 0) {
      if (n == DUEL_OPTIM_GAPS) return -1;
      gap[2 * n] = at;
      gap[2 * n++ + 1] = next;
    }
    at = end < 0 ? next : end;
  }
  return n;
}

// The pack that an optimizer alone reads its gradient from, or NULL.
static const duel_node *own_pack(const absorber *a, const duel_node *n) {
  if (n->op != DUEL_OP_ADAM && n->op != DUEL_OP_SGD) return NULL;
  const duel_val grad = n->in[n->op == DUEL_OP_ADAM ? 3 : 2];
  return n->attr.optim.gaps == 0 && duel_only_reader(&a->uses, grad) ? duel_maker(a->uses.g, grad, DUEL_OP_PACK) : NULL;
}

// ---- building
static void build(absorber *a, const duel_node *n) {
  duel_rewrite *r = a->r;
  duel_node changed = *n;
  int64_t gap[2 * DUEL_OPTIM_GAPS];
  if (n->op == DUEL_OP_REPORT) {
    report all = report_of(a, n);
    for (int i = 0; i < all.n; i++) all.in[i] = r->map[all.in[i]];
    duel_rewrite_at(r, n);
    r->map[n->out[0]] = duel_report(r->dst, r->map[n->in[0]], all.n, all.in, all.term);
    return;
  }
  const duel_node *pack = own_pack(a, n);
  if (pack && a->loose[pack->id]) {
    changed.attr.optim.gaps = gaps_of(a->uses.g, pack, gap);
    changed.attr.optim.gap = gap;
  }
  if (a->loose[n->id]) changed.attr.pack.loose = 1;
  duel_rewrite_copy(r, &changed);
}

duel_status duel_rewrite_absorb(duel_rewrite *r) {
  const duel_graph *g = r->src;
  const size_t nodes = (size_t)g->n_nodes;
  int64_t gap[2 * DUEL_OPTIM_GAPS];
  absorber a = {.r = r, .gone = duel_calloc(nodes, 2 * sizeof *a.gone)};
  duel_status status = duel_uses_open(&a.uses, g);
  if (status == DUEL_OK && !a.gone) status = duel_fail_memory("a rewrite of the graph", 2 * nodes);
  if (status == DUEL_OK) {
    a.loose = a.gone + nodes;
    for (int i = 0; i < g->n_nodes; i++) {
      const duel_node *n = g->node[i], *pack = own_pack(&a, n);
      if (n->op == DUEL_OP_REPORT) report_of(&a, n); // says who goes; what build() makes again is the same
      if (pack && gaps_of(g, pack, gap) > 0) a.loose[pack->id] = true;
    }
    for (int i = 0; i < g->n_nodes; i++)
      if (!a.gone[i]) build(&a, g->node[i]);
  }
  duel_free(a.gone);
  duel_uses_close(&a.uses);
  return status;
}
