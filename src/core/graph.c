// Variables, graphs and the one constructor of nodes.
//
// Invariants: values and nodes are appended in topological order and never change; a node is complete or absent (a
// failed one takes its values back); after the first mistake the graph only remembers it and yields DUEL_NONE.
// All memory of a graph is one pool; only the value, node and version tables are moved.
#include "core/graph.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "core/ops/op.h"

// ---- variables
duel_status duel_vars_add(duel_vars *vars, duel_arena arena, const char *name, duel_dtype dtype, duel_shape shape,
                          int *id) {
  if (arena >= DUEL_ARENA_WORK) return duel_fail(DUEL_ERR_INTERNAL, "variable %s: no arena for state", name);
  if (duel_vars_find(vars, name) >= 0) return duel_fail(DUEL_ERR_INTERNAL, "variable %s exists already", name);
  int64_t count;
  size_t bytes, padded, end, offset = vars->arena_bytes[arena];
  if (!duel_shape_checked_count(shape, &count) ||
      __builtin_mul_overflow((size_t)count, duel_dtype_size(dtype), &bytes) ||
      __builtin_add_overflow(bytes, (size_t)(DUEL_ALIGN - 1), &padded) ||
      __builtin_add_overflow(offset, padded & ~(size_t)(DUEL_ALIGN - 1), &end) || end > PTRDIFF_MAX)
    return duel_fail(DUEL_ERR_USAGE, "variable %s: shape %s is impossible or too large", name, duel_shape_text(shape));
  duel_var *var = duel_grown(vars->var, vars->n + 1, &vars->cap, sizeof *var);
  if (!var) return duel_fail_memory("the table of variables", (size_t)vars->n * sizeof *var);
  vars->var = var;
  char *copy = duel_strdup(name);
  if (!copy) return duel_fail_memory("the name of a variable", strlen(name) + 1);
  vars->var[vars->n] = (duel_var){copy, arena, dtype, shape, offset, bytes};
  vars->arena_bytes[arena] = end;
  *id = vars->n++;
  return DUEL_OK;
}

int duel_vars_find(const duel_vars *vars, const char *name) {
  for (int i = 0; i < vars->n; i++)
    if (!strcmp(vars->var[i].name, name)) return i;
  return -1;
}

void duel_vars_clear(duel_vars *vars) {
  for (int i = 0; i < vars->n; i++) duel_free(vars->var[i].name);
  duel_free(vars->var);
  *vars = (duel_vars){0};
}

// ---- graph
duel_status duel_graph_open(duel_graph **out, const duel_vars *vars, duel_dtype real) {
  *out = NULL;
  if (real != DUEL_F32 && real != DUEL_F64)
    return duel_fail(DUEL_ERR_INTERNAL, "a graph cannot compute in %s", duel_dtype_name(real));
  duel_graph *g = duel_calloc(1, sizeof *g);
  if (!g) return duel_fail_memory("a graph", sizeof *g);
  g->vars = vars;
  g->real = real;
  if (!duel_grow_latest(g)) {
    duel_status status = duel_graph_status(g);
    duel_graph_close(g);
    return status;
  }
  *out = g;
  return DUEL_OK;
}

void duel_graph_close(duel_graph *g) {
  if (!g) return;
  duel_pool_close(&g->pool);
  duel_free(g->value);
  duel_free(g->node);
  duel_free(g->latest);
  duel_free(g);
}

duel_status duel_graph_status(const duel_graph *g) {
  return g->status == DUEL_OK ? DUEL_OK : duel_fail(g->status, "%s", g->error);
}

void duel_scope(duel_graph *g, const char *fmt, ...) {
  char text[sizeof g->scope]; // an argument may be the present scope
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  memcpy(g->scope, text, sizeof text);
}

static void record_error(duel_graph *g, duel_status code, const char *fmt, va_list args) {
  if (g->status != DUEL_OK) return; // the first mistake is the cause of the others
  g->status = code;
  int n = g->scope[0] ? snprintf(g->error, sizeof g->error, "%s: ", g->scope) : 0;
  vsnprintf(g->error + n, sizeof g->error - (size_t)n, fmt, args);
}

duel_val duel_graph_error(duel_graph *g, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  record_error(g, DUEL_ERR_USAGE, fmt, args);
  va_end(args);
  return DUEL_NONE;
}

DUEL_PRINTF(3, 4) static bool fail_as(duel_graph *g, duel_status code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  record_error(g, code, fmt, args);
  va_end(args);
  return false;
}

void duel_graph_no_memory(duel_graph *g, size_t bytes) {
  fail_as(g, DUEL_ERR_DEVICE, "out of memory: cannot allocate %zu bytes for the graph", bytes);
}

void *duel_graph_alloc(duel_graph *g, size_t bytes) {
  void *p = duel_pool_alloc(&g->pool, bytes);
  if (!p) duel_graph_no_memory(g, bytes);
  return p;
}

// As duel_grown. NULL: the error is recorded.
static void *reserve(duel_graph *g, void *table, int *cap, int need, size_t size) {
  void *grown = duel_grown(table, need, cap, size);
  if (!grown) duel_graph_no_memory(g, (size_t)need * size);
  return grown;
}

bool duel_grow_latest(duel_graph *g) {
  if (!g->vars || g->vars->n <= g->n_latest) return true;
  int cap = g->n_latest;
  duel_val *latest = reserve(g, g->latest, &cap, g->vars->n, sizeof *latest);
  if (!latest) return false;
  g->latest = latest;
  while (g->n_latest < g->vars->n) g->latest[g->n_latest++] = DUEL_NONE;
  return true;
}

duel_shape duel_val_shape(const duel_graph *g, duel_val v) {
  return v >= 0 && v < g->n_values ? g->value[v].shape : DUEL_SCALAR;
}

// ---- nodes
static bool good_inputs(duel_graph *g, const duel_op_record *r, int n_in, const duel_val *in) {
  if (n_in < r->min_in || (r->max_in >= 0 && n_in > r->max_in))
    return fail_as(g, DUEL_ERR_INTERNAL, "%s cannot take %d inputs", r->name, n_in);
  for (int i = 0; i < n_in; i++)
    if (in[i] < 0 || in[i] >= g->n_values) // DUEL_NONE without an earlier error is the caller's bug
      return fail_as(g, DUEL_ERR_INTERNAL, "%s: input %d is no value of this graph", r->name, i);
  return true;
}

// The label of the nodes of one scope is stored once.
static const char *label(duel_graph *g) {
  if (!g->scope[0]) return "";
  const char *last = g->n_nodes ? g->node[g->n_nodes - 1]->label : "";
  if (!strcmp(last, g->scope)) return last;
  char *copy = duel_graph_alloc(g, strlen(g->scope) + 1);
  return copy ? strcpy(copy, g->scope) : NULL;
}

// A copy of a list that is the caller's; NULL for an empty one, and where there is no memory.
static const void *own(duel_graph *g, const void *list, size_t bytes) {
  void *copy = bytes ? duel_graph_alloc(g, bytes) : NULL;
  return copy ? memcpy(copy, list, bytes) : NULL;
}

static bool own_lists(duel_graph *g, duel_node *n) {
  duel_attr *a = &n->attr;
  const size_t inputs = (size_t)n->n_in;
  switch (n->op) {
  case DUEL_OP_PACK:
    return (a->pack.offset = own(g, a->pack.offset, inputs * sizeof *a->pack.offset));
  case DUEL_OP_REPORT:
    return (a->report.term = own(g, a->report.term, (inputs - 1) * sizeof *a->report.term));
  case DUEL_OP_ADAM:
  case DUEL_OP_SGD:
    a->optim.gap = own(g, a->optim.gap, 2 * (size_t)a->optim.gaps * sizeof *a->optim.gap);
    return a->optim.gap || !a->optim.gaps;
  default:
    return true;
  }
}

static duel_node *new_node(duel_graph *g, duel_op op, int n_in, const duel_val *in, const duel_attr *attr) {
  duel_node *n = duel_graph_alloc(g, sizeof *n);
  duel_val *inputs = duel_graph_alloc(g, (size_t)n_in * sizeof *inputs);
  const char *name = label(g);
  if (!n || !inputs || !name) return NULL;
  if (n_in) memcpy(inputs, in, (size_t)n_in * sizeof *in);
  n->op = op;
  n->id = g->n_nodes;
  n->n_in = n_in;
  n->n_out = duel_op_records[op]->n_out;
  n->in = inputs;
  n->label = name;
  n->stretch = g->stretch;
  for (int i = 0; i < DUEL_MAX_OUT; i++) n->out[i] = i < n->n_out ? g->n_values + i : DUEL_NONE;
  if (attr) memcpy(&n->attr, attr, sizeof *attr);
  return own_lists(g, n) ? n : NULL;
}

static bool good_outputs(duel_graph *g, const duel_node *n) {
  for (int i = 0; i < n->n_out; i++) {
    duel_shape s = g->value[n->out[i]].shape;
    int64_t count;
    if (!duel_shape_checked_count(s, &count) || count < 1 || count > PTRDIFF_MAX / (int64_t)sizeof(double))
      return duel_graph_refuse(g, "%s: a result of shape %s is empty or too large", duel_op_name(n->op),
                               duel_shape_text(s));
  }
  return true;
}

duel_node *duel_node_add(duel_graph *g, duel_op op, int n_in, const duel_val *in, const duel_attr *attr,
                         const duel_shape *shape) {
  if (g->status != DUEL_OK) return NULL;
  const duel_op_record *r = duel_op_records[op];
  if (!good_inputs(g, r, n_in, in)) return NULL;
  if (g->n_values > INT32_MAX - DUEL_MAX_OUT) {
    fail_as(g, DUEL_ERR_USAGE, "%s: the graph has too many values", r->name);
    return NULL;
  }
  duel_value *value = reserve(g, g->value, &g->cap_values, g->n_values + r->n_out, sizeof *value);
  if (!value) return NULL;
  g->value = value;
  duel_node **node = reserve(g, g->node, &g->cap_nodes, g->n_nodes + 1, sizeof *node);
  if (!node) return NULL;
  g->node = node;
  duel_node *n = new_node(g, op, n_in, in, attr);
  if (!n) return NULL;
  for (int i = 0; i < n->n_out; i++)
    g->value[g->n_values++] = (duel_value){.dtype = g->real, .node = n->id, .out = i, .var = -1};
  if (!r->infer(g, n, shape) || !good_outputs(g, n)) {
    g->n_values -= n->n_out;
    return NULL;
  }
  g->node[g->n_nodes++] = n;
  return n;
}

duel_val duel_apply(duel_graph *g, duel_op op, int n_in, const duel_val *in, const duel_attr *attr,
                    const duel_shape *shape) {
  duel_node *n = duel_node_add(g, op, n_in, in, attr, shape);
  return n ? n->out[0] : DUEL_NONE;
}

void duel_apply_all(duel_graph *g, duel_op op, int n_in, const duel_val *in, const duel_attr *attr, duel_val *out) {
  duel_node *n = duel_node_add(g, op, n_in, in, attr, NULL);
  for (int i = 0; i < duel_op_records[op]->n_out; i++) out[i] = n ? n->out[i] : DUEL_NONE;
}

// ---- what shape rules and costs share
duel_shape duel_in_shape(const duel_graph *g, const duel_node *n, int i) {
  return g->value[n->in[i]].shape;
}

bool duel_set_out(duel_graph *g, const duel_node *n, int i, duel_dtype dtype, duel_shape shape) {
  g->value[n->out[i]].dtype = dtype;
  g->value[n->out[i]].shape = shape;
  return true;
}

bool duel_need_dtype(duel_graph *g, const duel_node *n, int i, duel_dtype dtype) {
  duel_dtype has = g->value[n->in[i]].dtype;
  if (has == dtype) return true;
  return duel_graph_refuse(g, "%s: input %d (%s) is %s and must be %s", duel_op_name(n->op), i,
                           duel_shape_text(duel_in_shape(g, n, i)), duel_dtype_name(has), duel_dtype_name(dtype));
}

bool duel_need_real(duel_graph *g, const duel_node *n) {
  for (int i = 0; i < n->n_in; i++)
    if (!duel_need_dtype(g, n, i, g->real)) return false;
  return true;
}

bool duel_need_range(duel_graph *g, const duel_node *n, const char *what, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return true;
  return duel_graph_refuse(g, "%s: %s is %" PRId64 " and must be %" PRId64 " to %" PRId64, duel_op_name(n->op), what,
                           value, least, most);
}

bool duel_need_shape(duel_graph *g, const duel_node *n, int i, const char *what, duel_shape shape) {
  duel_shape has = duel_in_shape(g, n, i);
  if (duel_shape_equal(has, shape)) return true;
  return duel_graph_refuse(g, "%s: %s has shape %s and must have %s", duel_op_name(n->op), what, duel_shape_text(has),
                           duel_shape_text(shape));
}

double duel_elements(const duel_graph *g, duel_val v) {
  return (double)duel_shape_count(g->value[v].shape);
}

double duel_bytes(const duel_graph *g, duel_val v) {
  return duel_elements(g, v) * (double)duel_dtype_size(g->value[v].dtype);
}

duel_cost duel_cost_streams(const duel_graph *g, const duel_node *n, double flops) {
  duel_cost c = {flops, 0};
  for (int i = 0; i < n->n_in; i++) c.bytes += duel_bytes(g, n->in[i]);
  for (int i = 0; i < n->n_out; i++) c.bytes += duel_bytes(g, n->out[i]);
  return c;
}

duel_cost duel_op_cost(const duel_graph *g, const duel_node *n) {
  const duel_op_record *r = duel_op_records[n->op];
  if (r->kind == DUEL_KIND_NONE) return (duel_cost){0};
  if (r->cost) return r->cost(g, n);
  const double in = n->n_in > 0 ? r->flops_in * duel_elements(g, n->in[0]) : 0;
  return duel_cost_streams(g, n, in + r->flops_out * duel_elements(g, n->out[0]));
}
