// Rows by index. batch takes those of the resident data set: numbers become real; i32, which labels are, stays; no
// gradient flows into the data. embedding takes rows of a table; embedding_grad, its adjoint, adds rows up where they
// came from. Each is linear and the other's gradient, so the pair is closed under differentiation. one_hot turns
// indices into rows of a unit matrix.
//
// The host sees to it that indices are in range. One that is not reads and writes nothing: its row is NaN from
// embedding, so that it shows, and zeros from one_hot; embedding_grad leaves it out.
#include "core/ops/op.h"

// ---- batch: (data [M, ...], index i32[B]) -> [B, ...]
static bool infer_batch(DUEL_INFER_ARGS) {
  duel_shape data = duel_in_shape(g, n, 0), index = duel_in_shape(g, n, 1);
  duel_dtype type = g->value[n->in[0]].dtype;
  if (!duel_need_dtype(g, n, 1, DUEL_I32)) return false;
  if ((type != DUEL_U8 && type != DUEL_F32 && type != DUEL_I32) || data.rank < 1 || index.rank != 1)
    return duel_graph_refuse(
        g, "batch cannot take rows %s of %s data %s: it needs a list of indices and u8, f32 or i32 items",
        duel_shape_text(index), duel_dtype_name(type), duel_shape_text(data));
  data.dim[0] = index.dim[0];
  return duel_set_out(g, n, 0, type == DUEL_I32 ? DUEL_I32 : g->real, data);
}

static duel_cost cost_batch(const duel_graph *g, const duel_node *n) { // only the rows taken are read
  double elements = duel_elements(g, n->out[0]);
  double item = (double)duel_dtype_size(g->value[n->in[0]].dtype);
  return (duel_cost){2 * elements, elements * item + duel_bytes(g, n->in[1]) + duel_bytes(g, n->out[0])};
}

DUEL_RECORD(batch, .infer = infer_batch, .vjp = duel_no_grad, .cost = cost_batch);

duel_val duel_batch(duel_graph *g, duel_val data, duel_val index) {
  return duel_apply(g, DUEL_OP_BATCH, 2, (duel_val[]){data, index}, NULL, NULL);
}

// Input i is a list of indices; `rows` of them unless that is −1.
static bool check_index(duel_graph *g, const duel_node *n, int i, int64_t rows) {
  const duel_shape index = duel_in_shape(g, n, i);
  if (!duel_need_dtype(g, n, i, DUEL_I32)) return false;
  if (index.rank == 1 && (rows < 0 || index.dim[0] == rows)) return true;
  return duel_graph_refuse(g, "%s: the indices are %s and must be a list, one a row", duel_op_name(n->op),
                           duel_shape_text(index));
}

// ---- embedding: (table [V, ...], index i32[B]) -> [B, ...]
static bool infer_embedding(DUEL_INFER_ARGS) {
  duel_shape rows = duel_in_shape(g, n, 0);
  if (!duel_need_dtype(g, n, 0, g->real) || !check_index(g, n, 1, -1)) return false;
  if (rows.rank < 1) return duel_graph_refuse(g, "embedding needs a table of rows, not one number");
  rows.dim[0] = duel_in_shape(g, n, 1).dim[0];
  return duel_set_out(g, n, 0, g->real, rows);
}

static void vjp_embedding(DUEL_VJP_ARGS) {
  d_in[0] = duel_embedding_grad(g, d_out[0], n->in[1], duel_in_shape(g, n, 0).dim[0]);
}

static duel_cost cost_embedding(const duel_graph *g, const duel_node *n) { // only the rows taken are read
  return (duel_cost){0, 2 * duel_bytes(g, n->out[0]) + duel_bytes(g, n->in[1])};
}

DUEL_RECORD(embedding, .infer = infer_embedding, .vjp = vjp_embedding, .cost = cost_embedding);

duel_val duel_embedding(duel_graph *g, duel_val table, duel_val index) {
  return duel_apply(g, DUEL_OP_EMBEDDING, 2, (duel_val[]){table, index}, NULL, NULL);
}

// ---- embedding_grad: (d_y [B, ...], index i32[B]) -> [V, ...]
static bool infer_embedding_grad(DUEL_INFER_ARGS) {
  duel_shape d_y = duel_in_shape(g, n, 0);
  if (!duel_need_dtype(g, n, 0, g->real) || !check_index(g, n, 1, d_y.rank > 0 ? d_y.dim[0] : -1)) return false;
  bool fits = d_y.rank >= 1 && shape->rank == d_y.rank;
  for (int i = 1; fits && i < d_y.rank; i++) fits = d_y.dim[i] == shape->dim[i];
  if (!fits)
    return duel_graph_refuse(g, "embedding_grad cannot add rows of %s to a table %s", duel_shape_text(d_y),
                             duel_shape_text(*shape));
  return duel_set_out(g, n, 0, g->real, *shape);
}

static void vjp_embedding_grad(DUEL_VJP_ARGS) {
  d_in[0] = duel_embedding(g, d_out[0], n->in[1]);
}

DUEL_RECORD(embedding_grad, .infer = infer_embedding_grad, .vjp = vjp_embedding_grad, .flops_in = 1);

duel_val duel_embedding_grad(duel_graph *g, duel_val d_y, duel_val index, int64_t rows) {
  duel_shape table = duel_val_shape(g, d_y);
  if (table.rank > 0) table.dim[0] = rows;
  return duel_apply(g, DUEL_OP_EMBEDDING_GRAD, 2, (duel_val[]){d_y, index}, NULL, &table);
}

// ---- one_hot: index i32[B] -> [B, classes]
static bool infer_one_hot(DUEL_INFER_ARGS) {
  return check_index(g, n, 0, -1) && duel_set_out(g, n, 0, g->real, *shape);
}

DUEL_RECORD(one_hot, .infer = infer_one_hot, .vjp = duel_no_grad);

duel_val duel_one_hot(duel_graph *g, duel_val index, int64_t classes) {
  const duel_shape list = duel_val_shape(g, index);
  const duel_shape shape = DUEL_SHAPE(list.rank == 1 ? list.dim[0] : 0, classes);
  return duel_apply(g, DUEL_OP_ONE_HOT, 1, &index, NULL, &shape);
}
