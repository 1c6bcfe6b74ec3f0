// What the op files of core share: the declaration of every record, and small helpers for shape rules and costs.
#ifndef DUEL_CORE_OPS_OP_H
#define DUEL_CORE_OPS_OP_H

#include <string.h>

#include "core/graph.h"

#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out)                                                               \
  enum { duel_kind_##name = DUEL_KIND_##KIND };                                                                        \
  enum { duel_min_in_##name = (min_in), duel_max_in_##name = (max_in), duel_n_out_##name = (n_out) };                  \
  extern const duel_op_record duel_record_##name;
#include "core/ops/ops.def"
#undef DUEL_OP

// Defines the record of an op; name, kind and arity come from ops.def.
#define DUEL_RECORD(op, ...)                                                                                           \
  const duel_op_record duel_record_##op = {.name = #op,                                                                \
                                           .kind = (duel_op_kind)duel_kind_##op,                                       \
                                           .min_in = duel_min_in_##op,                                                 \
                                           .max_in = duel_max_in_##op,                                                 \
                                           .n_out = duel_n_out_##op,                                                   \
                                           __VA_ARGS__}

// Parameter lists of shape rules and gradients, as in duel_op_record; most read only some of them.
#define DUEL_UNUSED __attribute__((unused))
#define DUEL_INFER_ARGS duel_graph *g, const duel_node *n, DUEL_UNUSED const duel_shape *shape
#define DUEL_VJP_ARGS                                                                                                  \
  DUEL_UNUSED duel_graph *g, DUEL_UNUSED const duel_node *n, const duel_val *d_out, DUEL_UNUSED const bool *need,      \
      duel_val *d_in

// Where attributes begin: padding is zero too, so that two of them compare bytewise.
static inline duel_attr duel_attr_zero(void) {
  duel_attr attr;
  memset(&attr, 0, sizeof attr);
  return attr;
}

// One node as an expression: its output 0, or DUEL_NONE.
duel_val duel_apply(duel_graph *g, duel_op op, int n_in, const duel_val *in, const duel_attr *attr,
                    const duel_shape *shape);
// For ops with several outputs: copies them to out, or fills it with DUEL_NONE.
void duel_apply_all(duel_graph *g, duel_op op, int n_in, const duel_val *in, const duel_attr *attr, duel_val *out);

duel_shape duel_in_shape(const duel_graph *g, const duel_node *n, int i);

// Shape rules call these, and yield what they do; false: the error is recorded (duel_graph_refuse).
bool duel_set_out(duel_graph *g, const duel_node *n, int i, duel_dtype dtype, duel_shape shape); // true
bool duel_need_dtype(duel_graph *g, const duel_node *n, int i, duel_dtype dtype);
bool duel_need_real(duel_graph *g, const duel_node *n); // every input has the graph's real type
bool duel_need_shape(duel_graph *g, const duel_node *n, int i, const char *what, duel_shape shape);
bool duel_need_range(duel_graph *g, const duel_node *n, const char *what, int64_t value, int64_t least, int64_t most);
bool duel_need_activation(duel_graph *g, const duel_node *n, int act, double slope);

void duel_graph_no_memory(duel_graph *g, size_t bytes); // records the error
bool duel_grow_latest(duel_graph *g);                   // makes room in graph->latest for every variable there is

bool duel_write_version(duel_graph *g, const duel_node *n, int i); // output i is the next version of input i's variable

// The 2-D product of inputs 0 and 1 under attr.matmul: *m×*k by *k×*n.
bool duel_matmul_sizes(duel_graph *g, const duel_node *node, int64_t *m, int64_t *k, int64_t *n);

// Images x [N, C, H, W] and what windows make of them (op_resample.c).
bool duel_need_images(duel_graph *g, const duel_node *n, duel_shape x);
bool duel_pooled(duel_graph *g, const duel_node *n, const duel_window *w, duel_shape x, duel_shape *y);

double duel_elements(const duel_graph *g, duel_val v);
double duel_bytes(const duel_graph *g, duel_val v);
// Reads each input and writes each output once.
duel_cost duel_cost_streams(const duel_graph *g, const duel_node *n, double flops);

#endif
