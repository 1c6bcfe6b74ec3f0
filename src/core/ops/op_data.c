// The batch op: rows of the resident data set, by item index. Numbers become real; i32, which labels are, stays. No
// gradient flows into the data.
#include "core/ops/op.h"

static void infer_batch(DUEL_INFER_ARGS) {
  duel_shape data = duel_in_shape(g, n, 0), index = duel_in_shape(g, n, 1);
  duel_dtype type = g->value[n->in[0]].dtype;
  if (!duel_need_dtype(g, n, 1, DUEL_I32)) return;
  if ((type != DUEL_U8 && type != DUEL_F32 && type != DUEL_I32) || data.rank < 1 || index.rank != 1) {
    duel_graph_error(g, "batch cannot take rows %s of %s data %s: it needs a list of indices and u8, f32 or i32 items",
                     duel_shape_text(index), duel_dtype_name(type), duel_shape_text(data));
    return;
  }
  data.dim[0] = index.dim[0];
  duel_set_out(g, n, 0, type == DUEL_I32 ? DUEL_I32 : g->real, data);
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
