// Simplification: local rules, each of which makes a node cheaper, free, or absent. Rules see inputs that are already
// simple, so one walk in order is enough.
//
// Reshapes move down, below element-wise ops, until they meet one another and vanish: that is what lets fusion see a
// product next to its activation. Results equal the given graph's up to rounding.
#include <math.h>
#include <string.h>

#include "core/ops/op.h"
#include "core/rewrites/rewrite.h"

static duel_shape shape_of(const duel_graph *g, duel_val v) {
  return g->value[v].shape;
}

// ---- constructors that simplify
static duel_val reshape(duel_graph *g, duel_val x, duel_shape shape) {
  const duel_node *n = duel_maker(g, x, DUEL_OP_RESHAPE);
  if (n) x = n->in[0];
  if (x == DUEL_NONE || duel_shape_equal(shape_of(g, x), shape)) return x;
  if ((n = duel_maker(g, x, DUEL_OP_CONSTANT))) return duel_constant(g, shape, n->attr.constant.value);
  if ((n = duel_maker(g, x, DUEL_OP_VIEW))) return duel_view(g, n->in[0], n->attr.view.offset, shape);
  return duel_reshape(g, x, shape);
}

// mul·x + add
static duel_val affine(duel_graph *g, duel_val x, double mul, double add) {
  const duel_node *n = duel_maker(g, x, DUEL_OP_CONSTANT);
  if (n) return duel_constant(g, shape_of(g, x), mul * n->attr.constant.value + add);
  if ((n = duel_maker(g, x, DUEL_OP_AFFINE))) {
    double inner_mul = mul * n->attr.affine.mul, inner_add = mul * n->attr.affine.add + add;
    if (isfinite(inner_mul) && isfinite(inner_add)) {
      x = n->in[0];
      mul = inner_mul;
      add = inner_add;
    }
  }
  if (x == DUEL_NONE || (mul == 1 && add == 0)) return x;
  if ((n = duel_maker(g, x, DUEL_OP_RESHAPE))) return reshape(g, affine(g, n->in[0], mul, add), shape_of(g, x));
  return duel_affine(g, x, mul, add);
}

static duel_val view(duel_graph *g, duel_val slab, int64_t offset, duel_shape shape) {
  if (slab == DUEL_NONE) return slab;
  const duel_node *n = duel_maker(g, slab, DUEL_OP_VIEW);
  if (n) return duel_view(g, n->in[0], n->attr.view.offset + offset, shape);
  int64_t count = duel_shape_count(shape);
  if (count == duel_shape_count(shape_of(g, slab))) return reshape(g, slab, shape);
  if ((n = duel_maker(g, slab, DUEL_OP_PACK))) // exactly what was packed there
    for (int i = 0; i < n->n_in; i++)
      if (n->attr.pack.offset[i] == offset && duel_shape_count(duel_in_shape(g, n, i)) == count)
        return reshape(g, n->in[i], shape);
  return duel_view(g, slab, offset, shape);
}

// ---- operands of broadcasting ops
// Broadcasts in[] together; true if that gives `shape`.
static bool broadcasts_to(const duel_graph *g, int n, const duel_val *in, duel_shape shape) {
  duel_shape all = DUEL_SCALAR;
  for (int i = 0; i < n; i++)
    if (!duel_shape_broadcast(all, shape_of(g, in[i]), &all)) return false;
  return duel_shape_equal(all, shape);
}

// These ops broadcast by themselves: an operand need not be stretched first, and a constant is one number.
static void shrink_operands(duel_graph *g, int n, duel_val *in, duel_shape shape) {
  for (int i = 0; i < n && g->status == DUEL_OK; i++) {
    duel_val old = in[i];
    const duel_node *m = duel_maker(g, old, DUEL_OP_BROADCAST);
    if (m) {
      in[i] = m->in[0];
      if (!broadcasts_to(g, n, in, shape)) in[i] = old;
    } else if ((m = duel_maker(g, old, DUEL_OP_CONSTANT)) && shape_of(g, old).rank) {
      in[i] = duel_constant(g, DUEL_SCALAR, m->attr.constant.value);
      if (in[i] != DUEL_NONE && !broadcasts_to(g, n, in, shape)) in[i] = old;
    }
  }
}

// a op b with a number on one side, as an affine map of the other; DUEL_NONE: it is none.
static duel_val with_number(duel_graph *g, duel_op op, duel_val a, duel_val b, duel_shape shape) {
  const duel_node *na = duel_maker(g, a, DUEL_OP_CONSTANT), *nb = duel_maker(g, b, DUEL_OP_CONSTANT);
  double c = nb ? nb->attr.constant.value : na ? na->attr.constant.value : 0;
  duel_val x = nb ? a : b;
  if ((!na && !nb) || !isfinite(c) || !duel_shape_equal(shape_of(g, x), shape)) return DUEL_NONE;
  switch (op) {
  case DUEL_OP_ADD:
    return affine(g, x, 1, c);
  case DUEL_OP_MUL:
    return affine(g, x, c, 0);
  case DUEL_OP_SUB:
    return nb ? affine(g, x, 1, -c) : affine(g, x, -1, c);
  case DUEL_OP_DIV:
    return nb && c != 0 && isfinite(1 / c) ? affine(g, x, 1 / c, 0) : DUEL_NONE;
  default:
    return DUEL_NONE;
  }
}

// op(reshape(a), reshape(b)) with equal sources is the reshape of op(a, b). DUEL_NONE: it is not so.
static duel_val below_reshapes(duel_graph *g, const duel_node *n, const duel_val *in, duel_shape shape) {
  const duel_node *a = duel_maker(g, in[0], DUEL_OP_RESHAPE);
  const duel_node *b = n->n_in == 2 ? duel_maker(g, in[1], DUEL_OP_RESHAPE) : a;
  if (!a || !b || !duel_shape_equal(shape_of(g, in[0]), shape)) return DUEL_NONE;
  duel_val inner[2] = {a->in[0], b->in[0]};
  if (n->n_in == 2 &&
      (!duel_shape_equal(shape_of(g, in[1]), shape) || !duel_shape_equal(shape_of(g, inner[0]), shape_of(g, inner[1]))))
    return DUEL_NONE;
  return reshape(g, duel_apply(g, n->op, n->n_in, inner, &n->attr, NULL), shape);
}

static duel_val simplify_binary(duel_graph *g, const duel_node *n, duel_val *in, duel_shape shape) {
  shrink_operands(g, n->n_in, in, shape);
  if (g->status != DUEL_OK) return DUEL_NONE;
  if (n->n_in == 2) {
    duel_val y = with_number(g, n->op, in[0], in[1], shape);
    if (y == DUEL_NONE) y = below_reshapes(g, n, in, shape);
    if (y != DUEL_NONE) return y;
  }
  return duel_apply(g, n->op, n->n_in, in, &n->attr, NULL);
}

// The derivative is taken in the shape of the gradient that arrives, which is that of the product it comes from.
static duel_val simplify_activate_grad(duel_graph *g, const duel_node *n, duel_val *in, duel_shape shape) {
  const duel_node *d = duel_maker(g, in[0], DUEL_OP_RESHAPE);
  if (!d || !duel_shape_equal(shape_of(g, in[0]), shape) || !duel_shape_equal(shape_of(g, in[1]), shape))
    return DUEL_NONE;
  duel_val inner[2] = {d->in[0], reshape(g, in[1], shape_of(g, d->in[0]))};
  return reshape(g, duel_apply(g, n->op, 2, inner, &n->attr, NULL), shape);
}

// ---- movement, reductions, products
static duel_val simplify_broadcast(duel_graph *g, duel_val x, duel_shape shape) {
  const duel_node *n = duel_maker(g, x, DUEL_OP_BROADCAST);
  if (n) x = n->in[0];
  if (duel_shape_equal(shape_of(g, x), shape)) return x;
  if ((n = duel_maker(g, x, DUEL_OP_CONSTANT))) return duel_constant(g, shape, n->attr.constant.value);
  return duel_broadcast(g, x, shape);
}

static duel_val simplify_transpose(duel_graph *g, const duel_node *n, duel_val x) {
  duel_shape src = shape_of(g, x), dst = src;
  int perm[DUEL_MAX_RANK];
  memcpy(perm, n->attr.transpose.perm, sizeof perm);
  const duel_node *m = duel_maker(g, x, DUEL_OP_TRANSPOSE);
  if (m) {
    for (int i = 0; i < src.rank; i++) perm[i] = m->attr.transpose.perm[perm[i]];
    x = m->in[0];
    src = shape_of(g, x);
  }
  bool moves = false; // does any axis that is longer than 1 change its turn?
  int last = -1;
  for (int i = 0; i < src.rank; i++) {
    dst.dim[i] = src.dim[perm[i]];
    if (dst.dim[i] == 1) continue;
    moves = moves || perm[i] < last;
    last = perm[i];
  }
  return moves ? duel_transpose(g, x, perm) : reshape(g, x, dst);
}

// A product reads its factor across: trans says so, without a copy. Only the last two axes are swapped.
static duel_val untranspose(const duel_graph *g, duel_val x, int *trans) {
  const duel_node *n = duel_maker(g, x, DUEL_OP_TRANSPOSE);
  if (!n) return x;
  int rank = shape_of(g, x).rank;
  const int *perm = n->attr.transpose.perm;
  if (rank < 2 || perm[rank - 1] != rank - 2 || perm[rank - 2] != rank - 1) return x;
  for (int i = 0; i < rank - 2; i++)
    if (perm[i] != i) return x;
  *trans = !*trans;
  return n->in[0];
}

static duel_val simplify_product(duel_graph *g, const duel_node *n, duel_val *in) {
  duel_attr attr;
  memcpy(&attr, &n->attr, sizeof attr);
  in[0] = untranspose(g, in[0], &attr.matmul.trans_a);
  in[1] = untranspose(g, in[1], &attr.matmul.trans_b);
  return duel_apply(g, n->op, n->n_in, in, &attr, NULL);
}

// Batch statistics leave nothing of a gradient's mean: the sum over each channel of what batchnorm_grad sends to x is 0
// by algebra, and only rounding otherwise. (So the bias of a layer in front of batchnorm rests, where Adam would blow
// that noise up to steps.) Holds if mean is that of x itself.
static bool sums_to_zero(const duel_graph *g, duel_val x, uint32_t axes) {
  const duel_node *n = duel_maker(g, x, DUEL_OP_BATCHNORM_GRAD);
  if (!n || g->value[x].out != 0) return false;
  const duel_node *norm = duel_maker(g, n->in[3], DUEL_OP_BATCHNORM);
  if (!norm || g->value[n->in[3]].out != 1 || norm->in[0] != n->in[1]) return false;
  duel_shape s = shape_of(g, x);
  for (int i = 0; i < s.rank; i++)
    if (i != 1 && s.dim[i] != 1 && !(axes >> i & 1)) return false;
  return true;
}

static duel_val simplify_reduce(duel_graph *g, const duel_node *n, duel_val x) {
  duel_shape src = shape_of(g, x), dst = src;
  uint32_t axes = 0; // those longer than 1
  double count = 1;
  for (int i = 0; i < src.rank; i++)
    if ((n->attr.reduce.axes >> i & 1) && src.dim[i] != 1) {
      axes |= 1u << i;
      count *= (double)src.dim[i];
      dst.dim[i] = 1;
    }
  if (!axes) return x;
  bool sum = n->op == DUEL_OP_REDUCE_SUM;
  const duel_node *c = duel_maker(g, x, DUEL_OP_CONSTANT);
  if (c) return duel_constant(g, dst, c->attr.constant.value * (sum ? count : 1));
  if (sum && sums_to_zero(g, x, axes)) return duel_constant(g, dst, 0);
  return sum ? duel_reduce_sum(g, x, axes) : duel_reduce_max(g, x, axes);
}

// What is zero anyway need not be packed: gaps are zero.
static duel_val simplify_pack(duel_graph *g, const duel_node *n, const duel_val *in) {
  duel_val *kept = duel_graph_alloc(g, (size_t)n->n_in * sizeof *kept);
  int64_t *offset = duel_graph_alloc(g, (size_t)n->n_in * sizeof *offset);
  int left = 0;
  if (!kept || !offset) return DUEL_NONE;
  for (int i = 0; i < n->n_in; i++) {
    const duel_node *c = duel_maker(g, in[i], DUEL_OP_CONSTANT);
    if (c && c->attr.constant.value == 0 && !signbit(c->attr.constant.value)) continue;
    kept[left] = in[i];
    offset[left++] = n->attr.pack.offset[i];
  }
  if (left == n->n_in) return DUEL_NONE;
  const int64_t count = n->attr.pack.count;
  return left ? duel_pack(g, left, kept, offset, count) : duel_constant(g, DUEL_SHAPE(count), 0);
}

// ---- the walk
// The value that replaces output 0 of n, whose inputs in dst are in[]; DUEL_NONE: copy the node.
static duel_val simplify(duel_graph *g, const duel_node *n, duel_val *in, duel_shape shape) {
  switch (n->op) {
  case DUEL_OP_RESHAPE:
    return reshape(g, in[0], shape);
  case DUEL_OP_VIEW:
    return view(g, in[0], n->attr.view.offset, shape);
  case DUEL_OP_BROADCAST:
    return simplify_broadcast(g, in[0], shape);
  case DUEL_OP_TRANSPOSE:
    return simplify_transpose(g, n, in[0]);
  case DUEL_OP_SLICE:
  case DUEL_OP_PAD:
  case DUEL_OP_REFLECT2D:
  case DUEL_OP_REFLECT2D_DX:
    return duel_shape_equal(shape_of(g, in[0]), shape) ? in[0] : DUEL_NONE;
  case DUEL_OP_CONCAT:
    return n->n_in == 1 ? in[0] : DUEL_NONE;
  case DUEL_OP_AFFINE:
    return affine(g, in[0], n->attr.affine.mul, n->attr.affine.add);
  case DUEL_OP_ADD:
  case DUEL_OP_SUB:
  case DUEL_OP_MUL:
  case DUEL_OP_DIV:
  case DUEL_OP_LESS_EQUAL:
  case DUEL_OP_SELECT:
    return simplify_binary(g, n, in, shape);
  case DUEL_OP_EXP:
  case DUEL_OP_LOG:
  case DUEL_OP_SQRT:
  case DUEL_OP_TANH:
  case DUEL_OP_SIGMOID:
  case DUEL_OP_SOFTPLUS:
  case DUEL_OP_LEAKY_RELU:
    return below_reshapes(g, n, in, shape);
  case DUEL_OP_TANH_GRAD:
  case DUEL_OP_SIGMOID_GRAD:
  case DUEL_OP_LEAKY_RELU_GRAD:
    return simplify_activate_grad(g, n, in, shape);
  case DUEL_OP_REDUCE_SUM:
  case DUEL_OP_REDUCE_MAX:
    return simplify_reduce(g, n, in[0]);
  case DUEL_OP_MATMUL:
    return simplify_product(g, n, in);
  case DUEL_OP_PACK:
    return n->attr.pack.loose ? DUEL_NONE : simplify_pack(g, n, in);
  default:
    return DUEL_NONE;
  }
}

duel_status duel_rewrite_simplify(duel_rewrite *r) {
  for (int i = 0; i < r->src->n_nodes && r->dst->status == DUEL_OK; i++) {
    const duel_node *n = r->src->node[i];
    duel_val *in = duel_rewrite_inputs(r, n);
    // The derivative of no activation does not look at the output: let that one die early.
    if (n->op == DUEL_OP_BATCHNORM_GRAD && n->attr.batchnorm.act == DUEL_ACT_NONE) in[5] = in[1];
    duel_val y = simplify(r->dst, n, in, r->src->value[n->out[0]].shape);
    if (y != DUEL_NONE)
      r->map[n->out[0]] = y;
    else // no rule, or an error, which this meets too
      duel_rewrite_add(r, n, in);
  }
  return DUEL_OK;
}
