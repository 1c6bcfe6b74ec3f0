// Fusion: what a kernel can do on its way is done by it.
//
//   matmul [+ bias] [+ activation]              -> dense
//   conv2d(_dx) [+ bias] [+ activation]         -> conv2d(_dx)_act
//   activation's derivative of a matmul         -> matmul_grad, whose second output serves the sums over its rows
//   activation's derivative of a conv2d_dx      -> conv2d_dx_grad
//   batchnorm + activation                      -> batchnorm
//   activation's derivative into batchnorm_grad -> batchnorm_grad
//
// A node is absorbed only if nobody else reads its result. The fused node stands where the last of its members with
// inputs of their own stood. There it may read some inputs later than before: no writer may have overwritten them in
// between.
#include <string.h>

#include "base/mem.h"
#include "core/ops/op.h"
#include "core/rewrites/rewrite.h"

typedef struct members { // of the fused node that stands where this node stood; NULL: no such member
  const duel_node *product, *norm, *act;
  duel_act kind; // of act, a forward one or a derivative
  double slope;
  duel_val bias; // the row that is added, or DUEL_NONE
} members;

typedef struct fuser {
  duel_rewrite *r;
  const duel_graph *g;
  members *members; // per node
  bool *gone;       // per node: absorbed by a later one
  duel_uses uses;
} fuser;

static duel_act kind_of(const duel_node *n) {
  switch (n->op) {
  case DUEL_OP_LEAKY_RELU:
  case DUEL_OP_LEAKY_RELU_GRAD:
    return DUEL_ACT_LEAKY_RELU;
  case DUEL_OP_TANH:
  case DUEL_OP_TANH_GRAD:
    return DUEL_ACT_TANH;
  case DUEL_OP_SIGMOID:
  case DUEL_OP_SIGMOID_GRAD:
    return DUEL_ACT_SIGMOID;
  default:
    return DUEL_ACT_NONE;
  }
}

static void take(members *m, const duel_node *act) {
  m->act = act;
  m->kind = kind_of(act);
  m->slope = m->kind == DUEL_ACT_LEAKY_RELU ? act->attr.leaky.slope : 0;
}

static bool is_activation(const duel_node *n) {
  return n->n_in == 1 && kind_of(n) != DUEL_ACT_NONE;
}

// The node if it is an activation's derivative in the plain case, without broadcasting.
static const duel_node *derivative(const duel_graph *g, duel_val v) {
  const duel_node *n = g->node[g->value[v].node];
  if (n->n_in != 2 || kind_of(n) == DUEL_ACT_NONE) return NULL;
  return duel_shape_equal(duel_in_shape(g, n, 0), duel_in_shape(g, n, 1)) ? n : NULL;
}

// ---- finding
// If n adds one number a channel (axis 1) to v: those.
static bool adds_channels(const duel_graph *g, const duel_node *n, duel_val v, duel_val *channels) {
  if (n->op != DUEL_OP_ADD) return false;
  *channels = n->in[0] == v ? n->in[1] : n->in[0];
  duel_shape s = g->value[*channels].shape, all = g->value[v].shape;
  const int axis = 1 - (all.rank - s.rank); // of the channels, among s's
  return duel_shape_equal(g->value[n->out[0]].shape, all) && axis >= 0 && s.dim[axis] == all.dim[1] &&
         duel_shape_count(s) == all.dim[1];
}

static bool is_convolution(const duel_node *n) {
  return n->op == DUEL_OP_CONV2D || n->op == DUEL_OP_CONV2D_DX;
}

// A product of two matrices.
static bool is_plain(const duel_graph *g, const duel_node *product) {
  return duel_in_shape(g, product, 0).rank == 2 && duel_in_shape(g, product, 1).rank == 2;
}

static bool takes_more(const fuser *f, const duel_node *product) {
  if (product->op != DUEL_OP_DENSE && product->op != DUEL_OP_MATMUL) return is_convolution(product);
  return product->attr.matmul.act == DUEL_ACT_NONE && is_plain(f->g, product);
}

static void find_product(fuser *f, const duel_node *product) {
  if (!takes_more(f, product)) return;
  members p = {.product = product, .bias = product->n_in == 3 ? product->in[2] : DUEL_NONE};
  const duel_node *last = product, *next = duel_only_reader(&f->uses, product->out[0]);
  duel_val channels;
  if (next && product->n_in == 2 && adds_channels(f->g, next, product->out[0], &channels) &&
      duel_can_wait(&f->uses, product, next) &&
      !f->members[next->id].product) { // the sum of two one-row products can absorb only one of them
    p.bias = channels;
    last = next;
    next = duel_only_reader(&f->uses, last->out[0]);
  }
  if (next && is_activation(next)) take(&p, next);
  if (last == product && !p.act) return;
  f->gone[product->id] = last != product;
  if (p.act) f->gone[p.act->id] = true;
  f->members[last->id] = p;
}

static void find_batchnorm(fuser *f, const duel_node *norm) {
  if (norm->op != DUEL_OP_BATCHNORM || norm->attr.batchnorm.act != DUEL_ACT_NONE) return;
  const duel_node *act = duel_only_reader(&f->uses, norm->out[0]);
  if (!act || !is_activation(act)) return;
  f->gone[act->id] = true;
  f->members[norm->id].norm = norm;
  take(&f->members[norm->id], act);
}

static void find_batchnorm_grad(fuser *f, const duel_node *norm) {
  if (norm->op != DUEL_OP_BATCHNORM_GRAD || norm->attr.batchnorm.act != DUEL_ACT_NONE) return;
  const duel_node *act = derivative(f->g, norm->in[0]);
  if (!act || !duel_only_reader(&f->uses, act->out[0]) || !duel_can_wait(&f->uses, act, norm)) return;
  f->gone[act->id] = true;
  f->members[norm->id].norm = norm;
  take(&f->members[norm->id], act);
}

static void find_product_grad(fuser *f, const duel_node *n) {
  const duel_node *act = derivative(f->g, n->out[0]);
  if (!act || f->gone[n->id]) return;
  const duel_node *product = duel_maker(f->g, act->in[0], DUEL_OP_CONV2D_DX);
  if (!product) product = duel_maker(f->g, act->in[0], DUEL_OP_MATMUL);
  if (!product || !duel_only_reader(&f->uses, product->out[0]) || !duel_can_wait(&f->uses, product, act)) return;
  if (product->op == DUEL_OP_MATMUL && !is_plain(f->g, product)) return;
  f->gone[product->id] = true;
  f->members[n->id].product = product;
  take(&f->members[n->id], act);
}

// ---- building
static void build_product(fuser *f, const members *p, const duel_node *last) {
  duel_rewrite *r = f->r;
  const duel_node *n = p->product;
  const duel_val left = r->map[n->in[0]], right = r->map[n->in[1]];
  const duel_shape made = f->g->value[n->out[0]].shape;
  duel_val bias = DUEL_NONE;
  if (p->bias != DUEL_NONE) {
    bias = r->map[p->bias];
    if (f->g->value[p->bias].shape.rank != 1) bias = duel_reshape(r->dst, bias, DUEL_SHAPE(made.dim[1]));
  }
  const duel_attr *a = &n->attr;
  duel_val out;
  if (n->op == DUEL_OP_CONV2D)
    out = duel_conv2d_act(r->dst, left, right, bias, &a->conv, p->kind, p->slope);
  else if (n->op == DUEL_OP_CONV2D_DX)
    out = duel_conv2d_dx_act(r->dst, left, right, bias, &a->conv, made, p->kind, p->slope);
  else
    out = duel_dense(r->dst, left, right, bias, a->matmul.trans_a, a->matmul.trans_b, p->kind, p->slope);
  r->map[(p->act ? p->act : last)->out[0]] = out;
}

static void build_matmul_grad(fuser *f, const members *p) {
  duel_rewrite *r = f->r;
  const duel_attr *a = &p->product->attr;
  duel_val old = p->act->out[0], out[2] = {DUEL_NONE, DUEL_NONE};
  duel_matmul_grad(r->dst, r->map[p->product->in[0]], r->map[p->product->in[1]], r->map[p->act->in[1]],
                   a->matmul.trans_a, a->matmul.trans_b, p->kind, p->slope, out);
  r->map[old] = out[0];
  // The sums over its rows come with it.
  for (int i = p->act->id + 1; i < f->g->n_nodes; i++) {
    const duel_node *n = f->g->node[i];
    if (n->op != DUEL_OP_REDUCE_SUM || n->in[0] != old || n->attr.reduce.axes != 1) continue;
    r->map[n->out[0]] = duel_reshape(r->dst, out[1], f->g->value[n->out[0]].shape);
    f->gone[n->id] = true;
  }
}

static void build_conv_grad(fuser *f, const members *p) {
  duel_rewrite *r = f->r;
  r->map[p->act->out[0]] = duel_conv2d_dx_grad(r->dst, r->map[p->product->in[0]], r->map[p->product->in[1]],
                                               r->map[p->act->in[1]], &p->product->attr.conv, p->kind, p->slope);
}

static void build_batchnorm(fuser *f, const members *p) {
  duel_rewrite *r = f->r;
  const duel_node *n = p->norm;
  bool forward = n->op == DUEL_OP_BATCHNORM;
  duel_val in[6], out[3];
  for (int i = 0; i < n->n_in; i++) in[i] = i || forward ? r->map[n->in[i]] : DUEL_NONE;
  const double eps = n->attr.batchnorm.eps;
  if (forward) {
    duel_batchnorm(r->dst, in[0], in[1], in[2], eps, p->kind, p->slope, out);
  } else { // from the gradient of the activation's output, and that output
    in[0] = r->map[p->act->in[0]];
    in[5] = r->map[p->act->in[1]];
    duel_batchnorm_grad(r->dst, in, eps, p->kind, p->slope, out);
  }
  for (int k = 0; k < n->n_out; k++) r->map[n->out[k]] = out[k];
  if (forward) r->map[p->act->out[0]] = out[0];
}

static void build(fuser *f, const duel_node *n) {
  const members *p = &f->members[n->id];
  if (f->gone[n->id]) return;
  if (!p->product && !p->norm) {
    duel_rewrite_copy(f->r, n);
    return;
  }
  duel_rewrite_at(f->r, n);
  duel_scope(f->r->dst, "%s", (p->product ? p->product : p->norm)->label); // named after the layer that computes
  if (p->norm)
    build_batchnorm(f, p);
  else if (n == p->act && p->product->op == DUEL_OP_CONV2D_DX)
    build_conv_grad(f, p);
  else if (n == p->act)
    build_matmul_grad(f, p);
  else
    build_product(f, p, n);
}

duel_status duel_rewrite_fuse(duel_rewrite *r) {
  const duel_graph *g = r->src;
  const size_t nodes = (size_t)g->n_nodes;
  fuser f = {
      .r = r, .g = g, .members = duel_calloc(nodes, sizeof *f.members), .gone = duel_calloc(nodes, sizeof *f.gone)};
  duel_status status = duel_uses_open(&f.uses, g);
  if (status == DUEL_OK && (!f.members || !f.gone))
    status = duel_fail_memory("the rewrite that fuses", nodes * sizeof *f.members);
  if (status == DUEL_OK) {
    for (int i = 0; i < g->n_nodes; i++) find_product(&f, g->node[i]);
    for (int i = 0; i < g->n_nodes; i++) find_batchnorm(&f, g->node[i]);
    for (int i = 0; i < g->n_nodes; i++)
      find_batchnorm_grad(&f, g->node[i]); // before the products take the derivatives
    for (int i = 0; i < g->n_nodes; i++) find_product_grad(&f, g->node[i]);
    for (int i = 0; i < g->n_nodes; i++) build(&f, g->node[i]);
  }
  duel_free(f.members);
  duel_free(f.gone);
  duel_uses_close(&f.uses);
  return status;
}
