// The guarded runner of graphs and cases.
#include "run_case.h"

#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "run/registry.h"

enum { GUARD = 4096 };      // bytes
enum { MAX_OPERANDS = 64 }; // of one node of a test graph
enum { MAX_BACKENDS = 4 };

const duel_backend_api *duel_test_backends[MAX_BACKENDS];
int duel_test_backends_n;

// Large blocks stay in the heap from case to case: glibc would give them back to the kernel, and have each page anew.
__attribute__((constructor)) static void keep_large_blocks(void) {
  mallopt(M_MMAP_THRESHOLD, INT_MAX);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

// Whoever asks for a backend wants it tested: that it does not work is a failure.
__attribute__((constructor)) static void find_backends(void) {
  const char *asked = getenv("DUEL_TEST_BACKENDS");
  char names[64];
  snprintf(names, sizeof names, "%s", asked && *asked ? asked : "cpu");
  for (char *rest, *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
    if (duel_test_backends_n == MAX_BACKENDS ||
        duel_backend_find(name, &duel_test_backends[duel_test_backends_n++]) != DUEL_OK) {
      fprintf(stderr, "DUEL_TEST_BACKENDS=%s: %s\n", asked, duel_last_error());
      exit(1);
    }
  }
}

// NaN in float and in double, another one in each arena: a kernel that reads too far and writes too far must not leave
// the poison of its output as it was.
static unsigned char poison(int arena, size_t at) {
  const uint32_t word = UINT32_C(0xFFF1A5C7) + ((uint32_t)arena << 17);
  return (unsigned char)(word >> 8 * (at % 4));
}

// Word by word, doubling: arenas are large, and cases are many.
static void fill_with_poison(int arena, unsigned char *dst, size_t bytes) {
  for (size_t at = 0; at < 4 && at < bytes; at++) dst[at] = poison(arena, at);
  for (size_t done = 4; done < bytes; done *= 2) memcpy(dst + done, dst, done < bytes - done ? done : bytes - done);
}

// The first byte in which they differ, or n.
static size_t difference(const unsigned char *a, const unsigned char *b, size_t n) {
  size_t at = 0;
  if (!memcmp(a, b, n)) return n;
  while (a[at] == b[at]) at++;
  return at;
}

// ---- variables
static duel_status add_var(duel_rig *r, duel_arena arena, duel_dtype dtype, duel_shape shape, bool writable, int *var) {
  char name[32];
  snprintf(name, sizeof name, "v%d", r->own.n);
  DUEL_TRY(duel_vars_add(&r->own, arena, name, dtype, shape, var));
  bool *grown = realloc(r->writable, (size_t)r->own.n * sizeof *grown);
  if (!grown) return duel_fail_memory("a test rig", (size_t)r->own.n);
  r->writable = grown;
  r->writable[*var] = writable;
  return DUEL_OK;
}

duel_status duel_rig_open(duel_rig *r, const duel_backend_api *api, duel_backend *b) {
  *r = (duel_rig){.api = api, .backend = b};
  r->vars = &r->own;
  for (int i = 0; i < DUEL_ARENA_COUNT; i++) { // a guard in front; the others follow their variable
    int guard;
    if (i != DUEL_ARENA_WORK) DUEL_TRY(add_var(r, (duel_arena)i, DUEL_U8, DUEL_SHAPE(GUARD), false, &guard));
  }
  return DUEL_OK;
}

duel_status duel_rig_var(duel_rig *r, duel_arena arena, int dtype, duel_shape shape, bool writable, int *var) {
  int guard;
  DUEL_TRY(add_var(r, arena, dtype == DUEL_REAL ? r->api->real : (duel_dtype)dtype, shape, writable, var));
  return add_var(r, arena, DUEL_U8, DUEL_SHAPE(GUARD), false, &guard);
}

duel_status duel_rig_graph(duel_rig *r) {
  return duel_graph_open(&r->graph, r->vars, r->api->real);
}

duel_status duel_rig_adopt(duel_rig *r, const duel_backend_api *api, duel_backend *b, const duel_vars *vars,
                           duel_graph *graph) {
  *r = (duel_rig){.api = api, .backend = b, .vars = vars, .graph = graph};
  r->writable = calloc((size_t)vars->n + 1, sizeof *r->writable);
  if (!r->writable) return duel_fail_memory("a test rig", (size_t)vars->n);
  for (int i = 0; i < vars->n; i++)
    r->writable[i] = vars->var[i].arena != DUEL_ARENA_INPUT && vars->var[i].arena != DUEL_ARENA_DATA;
  return DUEL_OK;
}

// ---- planning
typedef struct span { // of work memory
  size_t start, end;
} span;

static size_t scratch_of(void *ctx, const duel_graph *g, const duel_node *n) {
  const duel_rig *r = ctx;
  duel_operand operand[MAX_OPERANDS] = {{0}};
  if (n->n_in + n->n_out > MAX_OPERANDS) abort();
  for (int i = 0; i < n->n_in + n->n_out; i++) {
    const duel_value *v = &g->value[i < n->n_in ? n->in[i] : n->out[i - n->n_in]];
    operand[i].dtype = v->dtype;
    operand[i].shape = v->shape;
  }
  duel_call call = {
      .op = n->op, .n_in = n->n_in, .n_out = n->n_out, .in = operand, .out = operand + n->n_in, .attr = &n->attr};
  return r->api->scratch(r->backend, &call);
}

static int by_start(const void *a, const void *b) {
  const span *x = a, *y = b;
  return x->start < y->start ? -1 : x->start > y->start ? 1 : x->end < y->end ? -1 : x->end > y->end;
}

// The places of a plan in work memory, those that overlap joined; sorted.
static span *work_spans(const duel_plan *plan, int *n) {
  span *s = calloc((size_t)(plan->graph->n_values + plan->n_order) + 1, sizeof *s);
  int all = 0, joined = 0;
  if (!s) return NULL;
  for (int v = 0; v < plan->graph->n_values; v++)
    if (plan->place[v].arena == DUEL_ARENA_WORK)
      s[all++] = (span){plan->place[v].offset, plan->place[v].offset + plan->place[v].bytes};
  for (int i = 0; i < plan->n_order; i++)
    if (plan->scratch_bytes[i]) s[all++] = (span){plan->scratch[i], plan->scratch[i] + plan->scratch_bytes[i]};
  qsort(s, (size_t)all, sizeof *s, by_start);
  for (int i = 0; i < all; i++)
    if (joined && s[i].start < s[joined - 1].end) {
      if (s[i].end > s[joined - 1].end) s[joined - 1].end = s[i].end;
    } else {
      s[joined++] = s[i];
    }
  *n = joined;
  return s;
}

static size_t spread(const span *s, int n, size_t offset) { // the k-th span moves up by k + 1 guards
  size_t shift = 0;
  for (int i = 0; i < n && s[i].start <= offset; i++) shift += GUARD;
  return offset + shift;
}

// Puts guards between the places of a plan in which nothing is shared.
static void spread_plan(duel_plan *plan, const span *s, int n) {
  for (int v = 0; v < plan->graph->n_values; v++)
    if (plan->place[v].arena == DUEL_ARENA_WORK) plan->place[v].offset = spread(s, n, plan->place[v].offset);
  for (int i = 0; i < plan->n_order; i++)
    if (plan->scratch_bytes[i]) plan->scratch[i] = spread(s, n, plan->scratch[i]);
  plan->work_bytes += (size_t)n * GUARD;
}

static duel_status plan_graph(duel_rig *r, duel_rig_mode mode) {
  duel_status status = duel_graph_status(r->graph);
  if (status == DUEL_OK) status = duel_rewrite_graph(&r->graph, mode.rewrites);
  duel_graph *graph = r->graph;
  r->graph = NULL;
  if (status != DUEL_OK) {
    duel_graph_close(graph);
    return status;
  }
  for (int i = 0; i < graph->n_nodes; i++) {
    const duel_op op = graph->node[i]->op;
    if (duel_op_records[op]->kind == DUEL_KIND_NONE || r->api->has(r->backend, op)) continue;
    duel_graph_close(graph);
    return duel_fail(DUEL_ERR_DEVICE, "%s has no kernel on %s", duel_op_name(op), r->api->name);
  }
  DUEL_TRY(duel_plan_make(&r->plan, graph,
                          &(duel_plan_options){.scratch = scratch_of, .ctx = r, .no_reuse = mode.no_reuse}));
  int n;
  span *s = work_spans(r->plan, &n);
  if (!s) return duel_fail_memory("a test rig", 0);
  if (mode.no_reuse) spread_plan(r->plan, s, n);
  r->plan->work_bytes += GUARD;
  free(s);
  return DUEL_OK;
}

duel_status duel_rig_start(duel_rig *r, duel_rig_mode mode) {
  DUEL_TRY(plan_graph(r, mode));
  DUEL_TRY(duel_memory_open(&r->memory, r->api, r->backend, r->vars, r->plan->work_bytes));
  for (int i = 0; i < DUEL_ARENA_COUNT; i++) {
    r->before[i] = malloc(r->memory.bytes[i] + 1);
    r->after[i] = malloc(r->memory.bytes[i] + 1);
    if (!r->before[i] || !r->after[i]) return duel_fail_memory("a test rig", r->memory.bytes[i]);
    fill_with_poison(i, r->before[i], r->memory.bytes[i]);
  }
  int n;
  span *s = work_spans(r->plan, &n);
  r->planned = calloc(1, r->plan->work_bytes + 1);
  if (!s || !r->planned) {
    free(s);
    return duel_fail_memory("a test rig", r->plan->work_bytes);
  }
  for (int i = 0; i < n; i++) memset(r->planned + s[i].start, 1, s[i].end - s[i].start);
  free(s);
  return duel_exec_open(&r->exec, &r->plan, 1, &r->memory, NULL);
}

void duel_rig_close(duel_rig *r) {
  if (r->exec) duel_exec_close(r->exec);
  if (r->memory.api) duel_memory_close(&r->memory);
  if (r->plan) duel_plan_close(r->plan);
  if (r->graph) duel_graph_close(r->graph);
  duel_vars_clear(&r->own);
  for (int i = 0; i < DUEL_ARENA_COUNT; i++) {
    free(r->before[i]);
    free(r->after[i]);
  }
  free(r->planned);
  free(r->writable);
  *r = (duel_rig){0};
}

// ---- contents
void duel_rig_set(duel_rig *r, int var, const double *src) {
  const duel_var *v = &r->vars->var[var];
  void *dst = r->before[v->arena] + v->offset;
  const size_t n = v->bytes / duel_dtype_size(v->dtype);
  switch (v->dtype) {
  case DUEL_F32:
    for (size_t i = 0; i < n; i++) ((float *)dst)[i] = (float)src[i];
    break;
  case DUEL_F64:
    memcpy(dst, src, v->bytes);
    break;
  case DUEL_I32:
    for (size_t i = 0; i < n; i++) ((int32_t *)dst)[i] = (int32_t)src[i];
    break;
  case DUEL_U8:
    for (size_t i = 0; i < n; i++) ((unsigned char *)dst)[i] = (unsigned char)src[i];
    break;
  default:
    abort();
  }
}

void duel_rig_get(const duel_rig *r, int var, double *dst) {
  const duel_var *v = &r->vars->var[var];
  const void *src = r->after[v->arena] + v->offset;
  if (v->dtype == DUEL_F64)
    memcpy(dst, src, v->bytes);
  else
    for (size_t i = 0; i < v->bytes / sizeof(float); i++) dst[i] = (double)((const float *)src)[i];
}

// ---- running
static duel_status check_guards(const duel_rig *r) {
  const unsigned char *work = r->after[DUEL_ARENA_WORK], *poisoned = r->before[DUEL_ARENA_WORK];
  const size_t all = r->memory.bytes[DUEL_ARENA_WORK], planned = r->plan->work_bytes < all ? r->plan->work_bytes : all;
  for (size_t at = 0; at < all;) { // from one place's end to the next one's start
    const unsigned char *place = at < planned ? memchr(r->planned + at, 1, planned - at) : NULL;
    const size_t start = place ? (size_t)(place - r->planned) : all;
    const size_t same = difference(work + at, poisoned + at, start - at);
    if (same < start - at)
      return duel_fail(DUEL_ERR_INTERNAL, "byte %zu of work memory was written, which belongs to no place", at + same);
    const unsigned char *end = place ? memchr(place, 0, planned - start) : NULL;
    at = end ? (size_t)(end - r->planned) : place ? planned : all;
  }
  for (int i = 0; i < r->vars->n; i++) { // writable ones now look as before
    const duel_var *v = &r->vars->var[i];
    if (r->writable[i]) continue;
    const size_t same = difference(r->after[v->arena] + v->offset, r->before[v->arena] + v->offset, v->bytes);
    if (same < v->bytes)
      return duel_fail(DUEL_ERR_INTERNAL, "byte %zu of %s in arena %d was written, which is read-only", same, v->name,
                       (int)v->arena);
  }
  for (int i = 0; i < r->vars->n; i++) { // a guard follows every variable, and no arena begins with one that is written
    const duel_var *v = &r->vars->var[i];
    const size_t end = (v->offset + v->bytes + DUEL_ALIGN - 1) / DUEL_ALIGN * DUEL_ALIGN;
    for (size_t at = v->offset + v->bytes; at < end; at++)
      if (r->after[v->arena][at] != poison((int)v->arena, at))
        return duel_fail(DUEL_ERR_INTERNAL, "the gap behind %s in arena %d was written", v->name, (int)v->arena);
  }
  return DUEL_OK;
}

duel_status duel_rig_run(duel_rig *r) {
  for (int i = 0; i < DUEL_ARENA_COUNT; i++)
    DUEL_TRY(r->api->upload(r->backend, r->memory.arena[i], r->before[i], r->memory.bytes[i]));
  DUEL_TRY(duel_exec_run(r->exec, 0));
  for (int i = 0; i < DUEL_ARENA_COUNT; i++)
    DUEL_TRY(r->api->download(r->backend, r->after[i], r->memory.arena[i], r->memory.bytes[i]));
  return check_guards(r);
}

// ---- cases
static duel_arena arena_of(const duel_case *c, int input) {
  if (duel_case_is_state(c, input)) return input == 0 ? DUEL_ARENA_PARAM : DUEL_ARENA_OPT;
  return c->op == DUEL_OP_BATCH && input == 0 ? DUEL_ARENA_DATA : DUEL_ARENA_INPUT;
}

// Is input i a variable whose next version is output i?
static bool is_written(const duel_case *c, int i) {
  return duel_case_is_state(c, i) && c->op != DUEL_OP_STATE;
}

// The case's inputs as variables, the graph, and the op's values in it.
static duel_status declare_inputs(const duel_case *c, duel_rig *r, int *var) {
  for (int i = 0; i < c->n_in; i++)
    DUEL_TRY(duel_rig_var(r, arena_of(c, i), c->in[i].dtype, c->in[i].shape, is_written(c, i), &var[i]));
  return DUEL_OK;
}

static duel_status build(const duel_case *c, duel_rig *r, bool copy_inputs, const int *var, duel_val *made) {
  duel_val value[DUEL_CASE_MAX_IN];
  DUEL_TRY(duel_rig_graph(r));
  for (int i = 0; i < c->n_in; i++) {
    const bool state = duel_case_is_state(c, i);
    value[i] = state ? duel_state(r->graph, var[i]) : duel_input(r->graph, var[i]);
    if (copy_inputs && !state && duel_case_is_real(c, i))
      value[i] = duel_slice(r->graph, value[i], (int64_t[DUEL_MAX_RANK]){0}, c->in[i].shape); // exact, even of −0
  }
  duel_case_build(r->graph, c, value, made);
  return duel_graph_status(r->graph);
}

static duel_status run_case(const duel_case *c, duel_rig *r, duel_case_mode mode, const duel_ref *in,
                            const duel_ref *want, duel_ref *out) {
  enum { LABELS = 256 };
  int var[DUEL_CASE_MAX_IN], result[DUEL_MAX_OUT], ramp = -1;
  duel_val made[DUEL_MAX_OUT];
  const int n_out = duel_case_outputs(c);
  DUEL_TRY(declare_inputs(c, r, var));
  for (int i = 0; i < n_out; i++)
    if (is_written(c, i))
      result[i] = var[i];
    else
      DUEL_TRY(duel_rig_var(r, DUEL_ARENA_OUTPUT, DUEL_REAL, want[i].shape, true, &result[i]));
  if (want[0].dtype == DUEL_I32) // only real numbers come out of a graph: labels do as those of a ramp
    DUEL_TRY(duel_rig_var(r, DUEL_ARENA_INPUT, DUEL_REAL, DUEL_SHAPE(LABELS), false, &ramp));
  DUEL_TRY(build(c, r, mode.copy_inputs, var, made));
  if (want[0].dtype == DUEL_I32) made[0] = duel_embedding(r->graph, duel_input(r->graph, ramp), made[0]);
  for (int i = 0; i < n_out; i++)
    if (!is_written(c, i)) duel_output(r->graph, result[i], made[i]);
  DUEL_TRY(duel_rig_start(r, mode.rig));
  for (int i = 0; i < c->n_in; i++) duel_rig_set(r, var[i], in[i].data);
  if (want[0].dtype == DUEL_I32) {
    double number[LABELS];
    for (int i = 0; i < LABELS; i++) number[i] = i;
    duel_rig_set(r, ramp, number);
  }
  DUEL_TRY(duel_rig_run(r));
  for (int i = 0; i < n_out; i++) {
    out[i] = duel_ref_new(r->api->real, want[i].shape);
    duel_rig_get(r, result[i], out[i].data);
  }
  return DUEL_OK;
}

void duel_case_shapes(const duel_case *c, duel_ref *want) {
  duel_rig r;
  int var[DUEL_CASE_MAX_IN];
  duel_val made[DUEL_MAX_OUT];
  if (duel_rig_open(&r, duel_test_backends[0], NULL) != DUEL_OK || declare_inputs(c, &r, var) != DUEL_OK ||
      build(c, &r, false, var, made) != DUEL_OK)
    abort();
  for (int i = 0; i < duel_case_outputs(c); i++) {
    const duel_value *v = &r.graph->value[made[i]];
    want[i] = (duel_ref){.dtype = v->dtype, .shape = v->shape, .count = duel_shape_count(v->shape)};
  }
  duel_rig_close(&r);
}

duel_status duel_case_run(const duel_case *c, const duel_backend_api *api, duel_backend *b, duel_case_mode mode,
                          const duel_ref *in, const duel_ref *want, duel_ref *out) {
  duel_rig r;
  memset(out, 0, DUEL_MAX_OUT * sizeof *out);
  duel_status status = duel_rig_open(&r, api, b);
  if (status == DUEL_OK) status = run_case(c, &r, mode, in, want, out);
  duel_rig_close(&r);
  return status;
}
