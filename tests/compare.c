// Comparisons and the tolerance of every op.
#include "compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

duel_comparison duel_compare(const duel_ref *got, const duel_ref *want, duel_dtype dtype, duel_tolerance tol) {
  duel_comparison c = {.ok = true};
  const bool exact = tol.nmse == 0 && tol.rel == 0 && tol.abs == 0;
  double error = 0, energy = 0;
  for (int64_t i = 0; i < want->count; i++) {
    const double a = got->data[i], b = dtype == DUEL_F32 ? (double)(float)want->data[i] : want->data[i];
    c.zeros += b == 0;
    if (a == b || (isnan(a) && isnan(b))) {
      if (isfinite(b)) energy += b * b;
      continue;
    }
    const double more = tol.more ? tol.more[i] : 0;
    const double ratio = exact ? INFINITY : fabs(a - b) / (tol.rel * fabs(b) + tol.abs + more);
    if (!(ratio <= c.worst)) { // NaN comes here too
      c.worst = isnan(ratio) ? INFINITY : ratio;
      c.at = i;
    }
    if (!(ratio <= 1)) c.ok = false;
    error += (a - b) * (a - b);
    energy += b * b;
  }
  c.nmse = error == 0 ? 0 : error / energy;
  if (!(c.nmse <= tol.nmse)) c.ok = false;
  return c;
}

bool duel_same_bits(const duel_ref *a, const duel_ref *b) {
  return a->count == b->count && memcmp(a->data, b->data, sizeof(double) * (size_t)a->count) == 0;
}

// How many numbers are added up in one element of the result.
static double terms(const duel_case *c, int output) {
  const duel_shape a = c->in[0].shape;
  double n = 1;
  switch (c->op) {
  case DUEL_OP_REDUCE_SUM:
    for (int i = 0; i < a.rank; i++)
      if (c->attr.reduce.axes >> i & 1) n *= (double)a.dim[i];
    return n;
  case DUEL_OP_MATMUL:
  case DUEL_OP_DENSE:
  case DUEL_OP_MATMUL_GRAD:
    n = (double)a.dim[a.rank - (c->attr.matmul.trans_a ? 2 : 1)];
    if (output == 1) n *= (double)a.dim[a.rank - (c->attr.matmul.trans_a ? 1 : 2)];
    return n;
  case DUEL_OP_CONV2D:
  case DUEL_OP_CONV2D_ACT: // channels of a group and taps; for the adjoints, of y and pixels
    return (double)(c->in[1].shape.dim[1] * c->in[1].shape.dim[2] * c->in[1].shape.dim[3]);
  case DUEL_OP_CONV2D_DX:
  case DUEL_OP_CONV2D_DX_ACT:
  case DUEL_OP_CONV2D_DX_GRAD:
    return (double)(c->in[1].shape.dim[0] / c->attr.conv.groups * c->in[1].shape.dim[2] * c->in[1].shape.dim[3]);
  case DUEL_OP_CONV2D_DW:
    return (double)(a.dim[0] * c->in[1].shape.dim[2] * c->in[1].shape.dim[3]);
  case DUEL_OP_RESAMPLE2D:
  case DUEL_OP_RESAMPLE2D_DX:
    if (c->attr.resample.mode == DUEL_FIR) return (double)(c->attr.resample.fir.taps * c->attr.resample.fir.taps);
    for (int i = 0; i < 2; i++) {
      const int64_t x = (c->op == DUEL_OP_RESAMPLE2D ? a : c->shape).dim[2 + i], y = c->attr.resample.size[i];
      n *= (double)(c->attr.resample.mode == DUEL_AVERAGE ? c->attr.resample.window.kernel[i] : 2 + 2 * y / x);
    }
    return n;
  case DUEL_OP_WARP2D: // a place is off by as many roundings as a side is long, and so is a weight
  case DUEL_OP_WARP2D_DX:
    return 4 * (double)((a.dim[2] + a.dim[3]) * (a.dim[2] + a.dim[3]));
  case DUEL_OP_REFLECT2D_DX:
    return 9;
  case DUEL_OP_MAXPOOL2D_DX:
    return (double)(c->attr.window.kernel[0] * c->attr.window.kernel[1]);
  case DUEL_OP_BATCHNORM:
  case DUEL_OP_BATCHNORM_GRAD:
    for (int i = 0; i < a.rank; i++)
      if (i != 1) n *= (double)a.dim[i];
    return n;
  case DUEL_OP_GROUPNORM:
  case DUEL_OP_GROUPNORM_GRAD:
    for (int i = 1; i < a.rank; i++) n *= (double)a.dim[i];
    return n / (double)c->attr.groupnorm.groups;
  case DUEL_OP_SPECTRAL:
  case DUEL_OP_SPECTRAL_GRAD:
  case DUEL_OP_BCE_LOGITS:
  case DUEL_OP_ADAM:
  case DUEL_OP_SGD:
    for (int i = 0; i < a.rank; i++) n *= (double)a.dim[i];
    return n;
  case DUEL_OP_SOFTMAX_CE:
  case DUEL_OP_SOFTMAX_CE_GRAD: // classes
    return (double)a.dim[1];
  case DUEL_OP_EMBEDDING_GRAD: // at most all rows
    return (double)a.dim[0];
  case DUEL_OP_REPORT:
    n = 0;
    for (int i = 0; i < c->n_in; i++) {
      double elements = 1;
      for (int k = 0; k < c->in[i].shape.rank; k++) elements *= (double)c->in[i].shape.dim[k];
      n += elements;
    }
    return n;
  default:
    return 1;
  }
}

// In units of the type's rounding error u (half an ulp of 1), for inputs about 1 in size.
duel_tolerance duel_case_tolerance(const duel_case *c, int output, duel_dtype real) {
  const double u = real == DUEL_F32 ? 0x1p-24 : 0x1p-53, sums = sqrt(terms(c, output)) * (c->coarse ? 100 : 1);
  const double tiny = real == DUEL_F32 ? 0x1p-126 : 0x1p-1022; // subnormal results may be flushed
  const double nmse = (real == DUEL_F32 ? 1e-7 : 1e-24) * (c->coarse ? 10 : 1);
  switch (duel_rule_of(c->op).rounding) {
  case DUEL_ROUNDS_ONCE:
    return (duel_tolerance){nmse, 2 * u, tiny, NULL};
  case DUEL_ROUNDS_FUNCTION:
    return (duel_tolerance){nmse, 8 * u, tiny, NULL};
  case DUEL_ROUNDS_FEW:
    return (duel_tolerance){nmse, 4 * u, 4 * u, NULL};
  case DUEL_ROUNDS_BYTES:
    return (duel_tolerance){c->in[0].dtype == DUEL_U8 ? nmse : 0, 0, c->in[0].dtype == DUEL_U8 ? 2 * u : 0, NULL};
  case DUEL_ROUNDS_NORMAL:
    return (duel_tolerance){1e-7, 0, 2e-6, NULL};
  case DUEL_ROUNDS_DRAWS:
    return (duel_tolerance){1e-7, 2e-5, 2e-4, NULL};
  case DUEL_ROUNDS_UPDATE: // last: Σ grad², all of one sign
    return (duel_tolerance){nmse, (output == duel_case_outputs(c) - 1 ? 64 : 16) * u, 4 * u, NULL};
  case DUEL_ROUNDS_CANCELS: // sigmoid(x) − 1 and softplus(x) − x
    return (duel_tolerance){nmse * 1e4, 16 * u, 16 * u * sums, NULL};
  case DUEL_ROUNDS_SUM:
    return (duel_tolerance){nmse, 16 * u, 16 * u * sums, NULL};
  case DUEL_ROUNDS_EQUAL:
    break;
  }
  return (duel_tolerance){0, 0, 0, NULL};
}

// ---- products of a foreign BLAS
bool duel_has_foreign_products(const duel_backend_api *api) {
  return !strcmp(api->name, "cuda");
}

// Matrix or convolution times an activation's slopes, which a third input yields.
static bool is_product_with_slopes(duel_op op) {
  return op == DUEL_OP_MATMUL_GRAD || op == DUEL_OP_CONV2D_DX_GRAD;
}

// The op without its activation, whose slope is at most 1.
static duel_attr linear(const duel_case *c) {
  duel_attr attr = c->attr;
  if (c->op == DUEL_OP_DENSE) attr.matmul.act = DUEL_ACT_NONE;
  if (c->op == DUEL_OP_CONV2D_ACT || c->op == DUEL_OP_CONV2D_DX_ACT) attr.conv_act.act = DUEL_ACT_NONE;
  return attr;
}

// A sum s of k terms tᵢ, added one by one in some order, is off by Σ δⱼ·sⱼ: sⱼ are the sums on the way, |δⱼ| ≤ u. Where
// the roundings δ are independent that is at most λ·u·√Σsⱼ² but for a chance of 2·exp(−λ²/2) (Higham and Mary, 2019),
// and where the order does not look at the terms, sⱼ² is (j/k)²·s² + (j/k)(1 − j/k)·Σtᵢ² on average, so that √Σsⱼ² is
// less than √k·√(s² + Σtᵢ²). λ is 16. That is always less than 23·u·√k·Σ|tᵢ|. The oracle on squares yields Σtᵢ².
void duel_case_product_error(const duel_case *c, const duel_ref *in, const duel_ref *want,
                             duel_ref more[DUEL_MAX_OUT]) {
  memset(more, 0, DUEL_MAX_OUT * sizeof *more);
  if (duel_op_records[c->op]->kind != DUEL_KIND_PRODUCT) return;
  duel_ref squares[DUEL_CASE_MAX_IN] = {{0}};
  const duel_attr attr = linear(c);
  const int factors = is_product_with_slopes(c->op) ? 2 : c->n_in;
  for (int k = 0; k < c->n_in; k++) {
    squares[k] = duel_ref_new(in[k].dtype, in[k].shape);
    for (int64_t i = 0; i < in[k].count; i++) squares[k].data[i] = in[k].data[i] * (k < factors ? in[k].data[i] : 1);
  }
  if (!duel_ref_op(c->op, &attr, c->n_in, squares, &c->shape, more)) abort();
  for (int k = 0; k < c->n_in; k++) duel_ref_free(&squares[k]);
  for (int output = 0; output < duel_case_outputs(c); output++) {
    const double most = 16 * 0x1p-24 * sqrt(terms(c, output)) * (c->coarse ? 100 : 1);
    for (int64_t i = 0; i < more[output].count; i++) {
      const double s = want[output].data[i], error = most * sqrt(s * s + more[output].data[i]);
      more[output].data[i] = isfinite(error) ? error : 0;
    }
  }
}
