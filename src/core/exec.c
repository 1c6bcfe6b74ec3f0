// Compiling a graph for a backend, and binding its plan to memory: every operand becomes a pointer once, so that a run
// touches neither the graph nor the heap.
#include "base/mem.h"
#include "core/backend.h"
#include "core/rewrites/rewrites.h"

// ---- compiling
typedef struct compiler {
  const duel_backend_api *api;
  duel_backend *backend;
  duel_operand *operand; // room for those of any node
} compiler;

static int operands_of(const duel_node *n) {
  return n->n_in + n->n_out;
}

// The call of a node before there is a plan: without data and cost.
static duel_call describe(const duel_graph *g, const duel_node *n, duel_operand *operand) {
  for (int i = 0; i < operands_of(n); i++) {
    const duel_value *v = &g->value[i < n->n_in ? n->in[i] : n->out[i - n->n_in]];
    operand[i] = (duel_operand){.dtype = v->dtype, .shape = v->shape};
  }
  return (duel_call){
      .op = n->op, .n_in = n->n_in, .n_out = n->n_out, .in = operand, .out = operand + n->n_in, .attr = &n->attr};
}

static size_t scratch_of(void *ctx, const duel_graph *g, const duel_node *n) {
  const compiler *c = ctx;
  const duel_call call = describe(g, n, c->operand);
  return c->api->scratch(c->backend, &call);
}

static duel_status check_kernels(const duel_graph *g, const compiler *c) {
  for (int i = 0; i < g->n_nodes; i++) {
    const duel_node *n = g->node[i];
    if (duel_op_records[n->op]->kind == DUEL_KIND_NONE || c->api->has(c->backend, n->op)) continue;
    return duel_fail(DUEL_ERR_DEVICE, "%s%sop %s has no kernel on backend %s", n->label, n->label[0] ? ": " : "",
                     duel_op_name(n->op), c->api->name);
  }
  return DUEL_OK;
}

// On a device of its own memory a quarter of what is free, and what the variables leave of it, is better spent on fewer
// groups than saved; in the host's, less memory is more of it in caches.
static size_t roomy(const compiler *c, const duel_vars *vars) {
  if (c->api->host_memory || !c->api->room) return 0;
  const double room = c->api->room(c->backend);
  double left = 0.9 * room;
  for (int i = 0; vars && i < DUEL_ARENA_COUNT; i++) left -= (double)vars->arena_bytes[i];
  const double most = left < room / 4 ? left : room / 4;
  return most <= 0 ? 0 : most < (double)PTRDIFF_MAX ? (size_t)most : PTRDIFF_MAX;
}

static duel_status compile(duel_plan **plan, duel_graph **graph, unsigned rewrites, compiler *c) {
  DUEL_TRY(duel_rewrite_graph(graph, rewrites));
  const duel_graph *g = *graph;
  DUEL_TRY(check_kernels(g, c));
  int most = 1;
  for (int i = 0; i < g->n_nodes; i++)
    if (operands_of(g->node[i]) > most) most = operands_of(g->node[i]);
  c->operand = duel_calloc((size_t)most, sizeof *c->operand);
  if (!c->operand) return duel_fail_memory("a plan", (size_t)most * sizeof *c->operand);
  duel_graph *given = *graph;
  *graph = NULL;
  return duel_plan_make(
      plan, given,
      &(duel_plan_options){
          .scratch = scratch_of, .ctx = c, .roomy = roomy(c, given->vars), .constants_first = !c->api->host_memory});
}

duel_status duel_plan_for(duel_plan **plan, duel_graph *graph, unsigned rewrites, const duel_backend_api *api,
                          duel_backend *b) {
  *plan = NULL;
  compiler c = {.api = api, .backend = b};
  duel_status status = compile(plan, &graph, rewrites, &c);
  duel_graph_close(graph); // NULL once the plan has it
  duel_free(c.operand);
  return status;
}

// ---- running
typedef struct bound_plan {
  duel_call *call; // in plan order
  void *program;
} bound_plan;

struct duel_exec {
  const duel_backend_api *api;
  duel_backend *backend;
  duel_feed feed; // where the backend has no rings: the one step that waits is done
  void *ring;     // NULL without a feed, and there
  int n;
  bound_plan variant[]; // then the calls of all, then their operands
};

static void *at(const duel_memory *m, duel_arena arena, size_t offset) {
  return m->arena[arena] ? (char *)m->arena[arena] + offset : NULL;
}

// Yields where the operands of the next plan begin.
static duel_operand *bind(duel_call *call, duel_operand *next, const duel_plan *plan, const duel_memory *m) {
  for (int i = 0; i < plan->n_order; i++) {
    const duel_node *n = plan->order[i];
    call[i] = describe(plan->graph, n, next);
    call[i].cost = duel_plan_cost(plan, n);
    for (int k = 0; k < operands_of(n); k++) {
      const duel_place *place = &plan->place[k < n->n_in ? n->in[k] : n->out[k - n->n_in]];
      next[k].data = at(m, place->arena, place->offset);
    }
    if (plan->scratch_bytes[i]) call[i].scratch = at(m, DUEL_ARENA_WORK, plan->scratch[i]);
    next += operands_of(n);
  }
  return next;
}

// An exec whose calls are bound, with no ring and no program yet.
static duel_status allocate(duel_exec **out, duel_plan *const *plan, int n, const duel_memory *m) {
  size_t calls = 0, operands = 0;
  for (int v = 0; v < n; v++) {
    calls += (size_t)plan[v]->n_order;
    for (int i = 0; i < plan[v]->n_order; i++) operands += (size_t)operands_of(plan[v]->order[i]);
  }
  _Static_assert(_Alignof(duel_call) <= _Alignof(bound_plan) && _Alignof(duel_operand) <= _Alignof(duel_call),
                 "calls and operands follow in one block");
  const size_t bytes =
      sizeof(duel_exec) + (size_t)n * sizeof(bound_plan) + calls * sizeof(duel_call) + operands * sizeof(duel_operand);
  duel_exec *e = duel_calloc(1, bytes);
  if (!e) return duel_fail_memory("the calls of a plan", bytes);
  *e = (duel_exec){.api = m->api, .backend = m->backend, .n = n};
  duel_call *call = (duel_call *)(e->variant + n);
  duel_operand *operand = (duel_operand *)(call + calls);
  for (int v = 0; v < n; call += plan[v++]->n_order) {
    e->variant[v].call = call;
    operand = bind(call, operand, plan[v], m);
  }
  *out = e;
  return DUEL_OK;
}

duel_status duel_exec_open(duel_exec **out, duel_plan *const *plan, int n, duel_memory *m, const duel_feed *feed) {
  *out = NULL;
  for (int v = 0; v < n; v++)
    if (m->bytes[DUEL_ARENA_WORK] < plan[v]->work_bytes)
      return duel_fail(DUEL_ERR_INTERNAL, "the plan needs %zu bytes of work memory, but there are only %zu",
                       plan[v]->work_bytes, m->bytes[DUEL_ARENA_WORK]);
  duel_exec *e = NULL;
  DUEL_TRY(allocate(&e, plan, n, m));
  const duel_backend_api *api = e->api;
  if (feed) e->feed = *feed;
  duel_status status = feed && api->open_ring ? api->open_ring(e->backend, feed, &e->ring) : DUEL_OK;
  for (int v = 0; v < n && status == DUEL_OK; v++)
    status = api->prepare(e->backend, e->variant[v].call, plan[v]->group_end, plan[v]->n_groups, e->ring,
                          &e->variant[v].program);
  if (status == DUEL_OK)
    *out = e;
  else
    duel_exec_close(e);
  return status;
}

void duel_exec_close(duel_exec *e) {
  if (!e) return;
  for (int v = 0; v < e->n; v++)
    if (e->variant[v].program) e->api->release(e->backend, e->variant[v].program);
  if (e->ring) e->api->close_ring(e->backend, e->ring);
  duel_free(e);
}

duel_status duel_exec_run(duel_exec *e, int variant) {
  return e->api->run(e->backend, e->variant[variant].program);
}

int duel_exec_ahead(const duel_exec *e) {
  return e->ring ? e->api->ahead(e->ring) : 1;
}

duel_status duel_exec_submit(duel_exec *e, int variant, const void *in) {
  if (e->ring) return e->api->submit(e->backend, e->ring, e->variant[variant].program, in);
  DUEL_TRY(e->api->upload(e->backend, e->feed.in, in, e->feed.in_bytes));
  return duel_exec_run(e, variant);
}

duel_status duel_exec_collect(duel_exec *e, void *out, bool wait, bool *got) {
  if (e->ring) return e->api->collect(e->backend, e->ring, out, wait, got);
  *got = true;
  return e->api->download(e->backend, out, e->feed.out, e->feed.out_bytes);
}

duel_status duel_exec_profile(duel_exec *e, int variant, const void *in, void *out, double *seconds) {
  if (in) DUEL_TRY(e->api->upload(e->backend, e->feed.in, in, e->feed.in_bytes));
  DUEL_TRY(e->api->profile(e->backend, e->variant[variant].program, seconds));
  return out ? e->api->download(e->backend, out, e->feed.out, e->feed.out_bytes) : DUEL_OK;
}
