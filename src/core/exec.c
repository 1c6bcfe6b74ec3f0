// Compiling a graph for a backend, and binding its plan to memory: every operand becomes a pointer once, so that a run
// touches neither the graph nor the heap.
#include "base/mem.h"
#include "core/backend.h"
#include "core/passes/passes.h"

// ---- compiling
typedef struct compiler {
  const duel_backend_api *api;
  duel_backend *backend;
  duel_operand *operand; // room for those of any node
} compiler;

// The call of a node; operands as duel_call has them, without data.
static duel_call describe(const duel_graph *g, const duel_node *n, duel_operand *operand) {
  for (int i = 0; i < n->n_in + n->n_out; i++) {
    const duel_value *v = &g->value[i < n->n_in ? n->in[i] : n->out[i - n->n_in]];
    operand[i] = (duel_operand){.dtype = v->dtype, .shape = v->shape};
  }
  return (duel_call){
      .op = n->op, .n_in = n->n_in, .n_out = n->n_out, .in = operand, .out = operand + n->n_in, .attr = &n->attr};
}

static size_t scratch_of(void *ctx, const duel_graph *g, const duel_node *n) {
  const compiler *c = ctx;
  const duel_kernel *kernel = c->api->kernel(c->backend, n->op);
  if (!kernel->scratch) return 0;
  duel_call call = describe(g, n, c->operand);
  return kernel->scratch(&call);
}

static bool runs(const duel_node *n) {
  return n->op != DUEL_OP_INPUT && n->op != DUEL_OP_STATE && !(duel_op_records[n->op]->flags & DUEL_FLAG_VIEW);
}

static duel_status check_kernels(const duel_graph *g, const compiler *c) {
  for (int i = 0; i < g->n_nodes; i++) {
    const duel_node *n = g->node[i];
    if (!runs(n) || c->api->kernel(c->backend, n->op)) continue;
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

static duel_status compile(duel_plan **plan, duel_graph **graph, unsigned passes, compiler *c) {
  DUEL_TRY(duel_passes(graph, passes));
  const duel_graph *g = *graph;
  DUEL_TRY(check_kernels(g, c));
  size_t most = 1;
  for (int i = 0; i < g->n_nodes; i++) {
    size_t operands = (size_t)g->node[i]->n_in + (size_t)g->node[i]->n_out;
    if (operands > most) most = operands;
  }
  c->operand = duel_calloc(most, sizeof *c->operand);
  if (!c->operand) return duel_fail_memory("a plan", most * sizeof *c->operand);
  duel_graph *given = *graph;
  *graph = NULL;
  return duel_plan_make(
      plan, given,
      &(duel_plan_options){
          .scratch = scratch_of, .ctx = c, .roomy = roomy(c, given->vars), .constants_first = !c->api->host_memory});
}

duel_status duel_plan_for(duel_plan **plan, duel_graph *graph, unsigned passes, const duel_backend_api *api,
                          duel_backend *b) {
  *plan = NULL;
  compiler c = {.api = api, .backend = b};
  duel_status status = compile(plan, &graph, passes, &c);
  duel_graph_close(graph); // NULL once the plan has it
  duel_free(c.operand);
  return status;
}

// ---- running
struct duel_exec {
  const duel_backend_api *api;
  duel_backend *backend;
  duel_feed feed; // where the backend has no submit: the one run that waits is done
  void *program;
  int n;
  duel_operand *operand; // of all calls, one after another
  duel_call call[];
};

static void *at(const duel_memory *m, duel_arena arena, size_t offset) {
  return m->arena[arena] ? (char *)m->arena[arena] + offset : NULL;
}

static void bind(duel_exec *e, const duel_plan *plan, const duel_memory *m) {
  duel_operand *next = e->operand;
  for (int i = 0; i < plan->n_order; i++) {
    const duel_node *n = plan->order[i];
    e->call[i] = describe(plan->graph, n, next);
    for (int k = 0; k < n->n_in + n->n_out; k++) {
      const duel_place *place = &plan->place[k < n->n_in ? n->in[k] : n->out[k - n->n_in]];
      next[k].data = at(m, place->arena, place->offset);
    }
    if (plan->scratch_bytes[i]) e->call[i].scratch = at(m, DUEL_ARENA_WORK, plan->scratch[i]);
    next += n->n_in + n->n_out;
  }
}

duel_status duel_exec_open(duel_exec **out, const duel_plan *plan, duel_memory *m, const duel_feed *feed) {
  *out = NULL;
  if (m->bytes[DUEL_ARENA_WORK] < plan->work_bytes)
    return duel_fail(DUEL_ERR_INTERNAL, "the plan needs %zu bytes of work memory, but there are only %zu",
                     plan->work_bytes, m->bytes[DUEL_ARENA_WORK]);
  size_t calls = (size_t)plan->n_order, operands = 0;
  for (int i = 0; i < plan->n_order; i++) operands += (size_t)(plan->order[i]->n_in + plan->order[i]->n_out);
  _Static_assert(_Alignof(duel_operand) <= _Alignof(duel_call), "operands follow the calls in one block");
  size_t bytes = sizeof(duel_exec) + calls * sizeof(duel_call) + operands * sizeof(duel_operand);
  duel_exec *e = duel_calloc(1, bytes);
  if (!e) return duel_fail_memory("the calls of a plan", bytes);
  e->api = m->api;
  e->backend = m->backend;
  e->n = plan->n_order;
  if (feed) e->feed = *feed;
  e->operand = (duel_operand *)(e->call + calls);
  bind(e, plan, m);
  duel_status status = e->api->prepare(e->backend, e->call, plan->group_end, plan->n_groups, feed, &e->program);
  if (status != DUEL_OK) {
    duel_free(e);
    return status;
  }
  *out = e;
  return DUEL_OK;
}

duel_status duel_exec_run(duel_exec *e) {
  return e->api->run(e->backend, e->program);
}

int duel_exec_ahead(const duel_exec *e) {
  return e->api->submit ? e->api->ahead(e->program) : 1;
}

duel_status duel_exec_submit(duel_exec *e, const void *in) {
  if (e->api->submit) return e->api->submit(e->backend, e->program, in);
  DUEL_TRY(e->api->upload(e->backend, e->feed.in, in, e->feed.in_bytes));
  return e->api->run(e->backend, e->program);
}

duel_status duel_exec_collect(duel_exec *e, void *out, bool wait, bool *got) {
  if (e->api->submit) return e->api->collect(e->backend, e->program, out, wait, got);
  *got = true;
  return e->api->download(e->backend, out, e->feed.out, e->feed.out_bytes);
}

duel_status duel_exec_profile(duel_exec *e, const void *in, void *out, double *seconds) {
  if (in) DUEL_TRY(e->api->upload(e->backend, e->feed.in, in, e->feed.in_bytes));
  DUEL_TRY(e->api->profile(e->backend, e->program, seconds));
  return out ? e->api->download(e->backend, out, e->feed.out, e->feed.out_bytes) : DUEL_OK;
}

void duel_exec_close(duel_exec *e) {
  if (!e) return;
  e->api->release(e->backend, e->program);
  duel_free(e);
}

const duel_call *duel_exec_calls(const duel_exec *e, int *n) {
  *n = e->n;
  return e->call;
}
