// The oracle's primitives: movement, element-wise ops, reductions, and the interpreter of whole graphs.
#include "oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

duel_ref duel_ref_new(duel_dtype dtype, duel_shape shape) {
  duel_ref t = {.dtype = dtype, .shape = shape, .count = 1};
  for (int i = 0; i < shape.rank; i++) t.count *= shape.dim[i];
  t.data = calloc((size_t)t.count + 1, sizeof *t.data);
  if (!t.data) {
    fprintf(stderr, "oracle: no memory for %lld elements\n", (long long)t.count);
    abort();
  }
  return t;
}

void duel_ref_free(duel_ref *t) {
  free(t->data);
  *t = (duel_ref){0};
}

bool duel_ref_step(duel_shape s, int64_t *index) {
  for (int axis = s.rank - 1; axis >= 0; axis--) {
    if (++index[axis] < s.dim[axis]) return true;
    index[axis] = 0;
  }
  return false;
}

int64_t duel_ref_place(duel_shape s, const int64_t *index) {
  int64_t at = 0;
  for (int i = 0; i < s.rank; i++) at = at * s.dim[i] + index[i];
  return at;
}

int64_t duel_ref_under(duel_shape s, duel_shape full, const int64_t *index) {
  int64_t at = 0;
  for (int i = 0; i < s.rank; i++) at = at * s.dim[i] + (s.dim[i] == 1 ? 0 : index[full.rank - s.rank + i]);
  return at;
}

static duel_shape broadcast_shape(duel_shape a, duel_shape b) {
  duel_shape s = {.rank = a.rank > b.rank ? a.rank : b.rank};
  for (int i = 1; i <= s.rank; i++) {
    int64_t m = i <= a.rank ? a.dim[a.rank - i] : 1, n = i <= b.rank ? b.dim[b.rank - i] : 1;
    s.dim[s.rank - i] = m == 1 ? n : m;
  }
  return s;
}

double duel_ref_activate(double x, int act, double slope) {
  if (act == DUEL_ACT_LEAKY_RELU) return x > 0 ? x : slope * x;
  if (act == DUEL_ACT_TANH) return tanh(x);
  if (act == DUEL_ACT_SIGMOID) return x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
  return x;
}

double duel_ref_activate_slope(double y, int act, double slope) {
  if (act == DUEL_ACT_LEAKY_RELU) return y > 0 ? 1 : slope;
  if (act == DUEL_ACT_TANH) return 1 - y * y;
  if (act == DUEL_ACT_SIGMOID) return y * (1 - y);
  return 1;
}

static double pointwise(duel_op op, const duel_attr *attr, double a, double b, double c) {
  switch (op) {
  case DUEL_OP_ADD:
    return a + b;
  case DUEL_OP_SUB:
    return a - b;
  case DUEL_OP_MUL:
    return a * b;
  case DUEL_OP_DIV:
    return a / b;
  case DUEL_OP_LESS_EQUAL:
    return a <= b;
  case DUEL_OP_SELECT:
    return a != 0 ? b : c;
  case DUEL_OP_AFFINE:
    return attr->affine.mul * a + attr->affine.add;
  case DUEL_OP_EXP:
    return exp(a);
  case DUEL_OP_LOG:
    return log(a);
  case DUEL_OP_SQRT:
    return sqrt(a);
  case DUEL_OP_TANH:
    return tanh(a);
  case DUEL_OP_SIGMOID:
    return duel_ref_activate(a, DUEL_ACT_SIGMOID, 0);
  case DUEL_OP_SOFTPLUS:
    return a > 0 ? a + log1p(exp(-a)) : log1p(exp(a));
  case DUEL_OP_ERF:
    return erf(a);
  case DUEL_OP_LEAKY_RELU:
    return duel_ref_activate(a, DUEL_ACT_LEAKY_RELU, attr->leaky.slope);
  case DUEL_OP_TANH_GRAD:
    return a * (1 - b * b);
  case DUEL_OP_SIGMOID_GRAD:
    return a * b * (1 - b);
  case DUEL_OP_LEAKY_RELU_GRAD:
    return b > 0 ? a : attr->leaky.slope * a;
  default:
    abort();
  }
}

static duel_ref pointwise_op(duel_op op, const duel_attr *attr, int n_in, const duel_ref *in) {
  duel_shape s = in[0].shape;
  for (int i = 1; i < n_in; i++) s = broadcast_shape(s, in[i].shape);
  duel_ref out = duel_ref_new(in[n_in - 1].dtype, s);
  int64_t index[DUEL_MAX_RANK] = {0}, at = 0;
  do {
    double x[3] = {0};
    for (int i = 0; i < n_in; i++) x[i] = in[i].data[duel_ref_under(in[i].shape, s, index)];
    out.data[at++] = pointwise(op, attr, x[0], x[1], x[2]);
  } while (duel_ref_step(s, index));
  return out;
}

static duel_ref reduce_op(duel_op op, uint32_t axes, duel_ref in) {
  duel_shape s = in.shape;
  for (int i = 0; i < s.rank; i++)
    if (axes >> i & 1) s.dim[i] = 1;
  duel_ref out = duel_ref_new(in.dtype, s);
  if (op == DUEL_OP_REDUCE_MAX)
    for (int64_t i = 0; i < out.count; i++) out.data[i] = -INFINITY;
  int64_t index[DUEL_MAX_RANK] = {0}, at = 0;
  do {
    double *to = out.data + duel_ref_under(s, in.shape, index), x = in.data[at++];
    *to = op == DUEL_OP_REDUCE_SUM ? *to + x : x > *to || isnan(x) ? x : *to; // a NaN stays
  } while (duel_ref_step(in.shape, index));
  return out;
}

// Walks the indices of `walk` and copies src[index + src_off] to dst[index + dst_off].
static void copy_box(duel_shape walk, duel_ref src, const int64_t *src_off, duel_ref dst, const int64_t *dst_off) {
  int64_t index[DUEL_MAX_RANK] = {0};
  do {
    int64_t from[DUEL_MAX_RANK], to[DUEL_MAX_RANK];
    for (int i = 0; i < walk.rank; i++) {
      from[i] = index[i] + src_off[i];
      to[i] = index[i] + dst_off[i];
    }
    dst.data[duel_ref_place(dst.shape, to)] = src.data[duel_ref_place(src.shape, from)];
  } while (duel_ref_step(walk, index));
}

static duel_ref movement_op(duel_op op, const duel_attr *attr, int n_in, const duel_ref *in, const duel_shape *shape) {
  static const int64_t none[DUEL_MAX_RANK];
  const duel_ref src = in[0];
  duel_ref out = {0};
  switch (op) {
  case DUEL_OP_RESHAPE:
    out = duel_ref_new(src.dtype, *shape);
    memcpy(out.data, src.data, sizeof(double) * (size_t)out.count);
    break;
  case DUEL_OP_VIEW:
    out = duel_ref_new(src.dtype, *shape);
    memcpy(out.data, src.data + attr->view.offset, sizeof(double) * (size_t)out.count);
    break;
  case DUEL_OP_PACK:
    out = duel_ref_new(src.dtype, (duel_shape){.rank = 1, .dim = {attr->pack.count}});
    for (int i = 0; i < n_in; i++)
      memcpy(out.data + attr->pack.offset[i], in[i].data, sizeof(double) * (size_t)in[i].count);
    break;
  case DUEL_OP_TRANSPOSE: {
    duel_shape s = src.shape;
    for (int i = 0; i < s.rank; i++) s.dim[i] = src.shape.dim[attr->transpose.perm[i]];
    out = duel_ref_new(src.dtype, s);
    int64_t index[DUEL_MAX_RANK] = {0}, at = 0;
    do {
      int64_t from[DUEL_MAX_RANK];
      for (int i = 0; i < s.rank; i++) from[attr->transpose.perm[i]] = index[i];
      out.data[at++] = src.data[duel_ref_place(src.shape, from)];
    } while (duel_ref_step(s, index));
    break;
  }
  case DUEL_OP_SLICE:
    out = duel_ref_new(src.dtype, *shape);
    copy_box(*shape, src, attr->slice.start, out, none);
    break;
  case DUEL_OP_PAD:
    out = duel_ref_new(src.dtype, *shape);
    copy_box(src.shape, src, none, out, attr->pad.before);
    break;
  case DUEL_OP_CONCAT: {
    duel_shape s = src.shape;
    int64_t off[DUEL_MAX_RANK] = {0};
    for (int i = 1; i < n_in; i++) s.dim[attr->concat.axis] += in[i].shape.dim[attr->concat.axis];
    out = duel_ref_new(src.dtype, s);
    for (int i = 0; i < n_in; i++) {
      copy_box(in[i].shape, in[i], none, out, off);
      off[attr->concat.axis] += in[i].shape.dim[attr->concat.axis];
    }
    break;
  }
  default: { // DUEL_OP_BROADCAST
    out = duel_ref_new(src.dtype, *shape);
    int64_t index[DUEL_MAX_RANK] = {0}, at = 0;
    do out.data[at++] = src.data[duel_ref_under(src.shape, *shape, index)];
    while (duel_ref_step(*shape, index));
  }
  }
  return out;
}

bool duel_ref_op(duel_op op, const duel_attr *attr, int n_in, const duel_ref *in, const duel_shape *shape,
                 duel_ref *out) {
  switch (op) {
  case DUEL_OP_INPUT:
  case DUEL_OP_STATE:
    return false;
  case DUEL_OP_CONSTANT:
    out[0] = duel_ref_new(DUEL_F64, *shape);
    for (int64_t i = 0; i < out[0].count; i++) out[0].data[i] = attr->constant.value;
    return true;
  case DUEL_OP_IOTA:
    out[0] = duel_ref_new(DUEL_F64, *shape);
    for (int64_t i = 0; i < out[0].count; i++) out[0].data[i] = (double)i;
    return true;
  case DUEL_OP_RESHAPE:
  case DUEL_OP_VIEW:
  case DUEL_OP_PACK:
  case DUEL_OP_TRANSPOSE:
  case DUEL_OP_SLICE:
  case DUEL_OP_PAD:
  case DUEL_OP_CONCAT:
  case DUEL_OP_BROADCAST:
    out[0] = movement_op(op, attr, n_in, in, shape);
    return true;
  case DUEL_OP_ADD:
  case DUEL_OP_SUB:
  case DUEL_OP_MUL:
  case DUEL_OP_DIV:
  case DUEL_OP_LESS_EQUAL:
  case DUEL_OP_SELECT:
  case DUEL_OP_AFFINE:
  case DUEL_OP_EXP:
  case DUEL_OP_LOG:
  case DUEL_OP_SQRT:
  case DUEL_OP_TANH:
  case DUEL_OP_SIGMOID:
  case DUEL_OP_SOFTPLUS:
  case DUEL_OP_ERF:
  case DUEL_OP_LEAKY_RELU:
  case DUEL_OP_TANH_GRAD:
  case DUEL_OP_SIGMOID_GRAD:
  case DUEL_OP_LEAKY_RELU_GRAD:
    out[0] = pointwise_op(op, attr, n_in, in);
    return true;
  case DUEL_OP_REDUCE_SUM:
  case DUEL_OP_REDUCE_MAX:
    out[0] = reduce_op(op, attr->reduce.axes, in[0]);
    return true;
  case DUEL_OP_CONV2D:
  case DUEL_OP_CONV2D_DX:
  case DUEL_OP_CONV2D_DW:
    out[0] = duel_ref_conv(op, &attr->conv, in, *shape);
    return true;
  case DUEL_OP_CONV2D_ACT:
  case DUEL_OP_CONV2D_DX_ACT:
  case DUEL_OP_CONV2D_DX_GRAD:
    out[0] = duel_ref_conv_act(op, attr, n_in, in, *shape);
    return true;
  case DUEL_OP_RESAMPLE2D:
  case DUEL_OP_RESAMPLE2D_DX:
    out[0] = duel_ref_resample(op, &attr->resample, in[0], *shape);
    return true;
  case DUEL_OP_WARP2D:
  case DUEL_OP_WARP2D_DX:
    out[0] = duel_ref_warp(op, in);
    return true;
  case DUEL_OP_REFLECT2D:
  case DUEL_OP_REFLECT2D_DX:
    out[0] = duel_ref_reflect(op, attr->reflect.pad, in[0]);
    return true;
  case DUEL_OP_MAXPOOL2D:
  case DUEL_OP_MAXPOOL2D_DX:
    out[0] = duel_ref_maxpool(op, &attr->window, in);
    return true;
  default:
    return duel_ref_op_fused(op, attr, n_in, in, shape, out);
  }
}

void duel_ref_graph(const duel_graph *g, const duel_ref *var, duel_ref *value) {
  for (int k = 0; k < g->n_nodes; k++) {
    const duel_node *n = g->node[k];
    const duel_value *first = &g->value[n->out[0]];
    duel_ref *in = calloc((size_t)n->n_in + 1, sizeof *in), out[DUEL_MAX_OUT] = {{0}};
    if (!in) abort();
    for (int i = 0; i < n->n_in; i++) in[i] = value[n->in[i]];
    if (!duel_ref_op(n->op, &n->attr, n->n_in, in, &first->shape, out)) { // a leaf: the variable as it is
      out[0] = duel_ref_new(first->dtype, first->shape);
      memcpy(out[0].data, var[first->var].data, sizeof(double) * (size_t)out[0].count);
    }
    for (int i = 0; i < n->n_out; i++) value[n->out[i]] = out[i];
    free(in);
  }
}
