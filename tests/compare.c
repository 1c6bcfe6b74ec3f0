// Comparisons and the tolerance of every op.
#include "compare.h"

#include <math.h>
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
    const double ratio = exact ? INFINITY : fabs(a - b) / (tol.rel * fabs(b) + tol.abs);
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
    for (int i = 0; i < 2; i++) {
      const int64_t x = (c->op == DUEL_OP_RESAMPLE2D ? a : c->shape).dim[2 + i], y = c->attr.resample.size[i];
      n *= (double)(c->attr.resample.mode == DUEL_AVERAGE ? c->attr.resample.window.kernel[i] : 2 + 2 * y / x);
    }
    return n;
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
  case DUEL_OP_EMBEDDING_GRAD: // at most all rows
    return (double)a.dim[0];
  case DUEL_OP_BCE_LOGITS:
  case DUEL_OP_ADAM:
  case DUEL_OP_SGD:
    for (int i = 0; i < a.rank; i++) n *= (double)a.dim[i];
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
  switch (c->op) {
  case DUEL_OP_ADD:
  case DUEL_OP_SUB:
  case DUEL_OP_MUL:
  case DUEL_OP_DIV:
  case DUEL_OP_SQRT:
  case DUEL_OP_LEAKY_RELU:
  case DUEL_OP_LEAKY_RELU_GRAD:
    return (duel_tolerance){nmse, 2 * u, tiny};
  case DUEL_OP_EXP:
  case DUEL_OP_LOG:
  case DUEL_OP_TANH:
  case DUEL_OP_SIGMOID:
  case DUEL_OP_SOFTPLUS:
  case DUEL_OP_ERF:
    return (duel_tolerance){nmse, 8 * u, tiny};
  case DUEL_OP_AFFINE:
  case DUEL_OP_TANH_GRAD:
  case DUEL_OP_SIGMOID_GRAD:
  case DUEL_OP_EMA:
    return (duel_tolerance){nmse, 4 * u, 4 * u};
  case DUEL_OP_BATCH:
    return (duel_tolerance){c->in[0].dtype == DUEL_U8 ? nmse : 0, 0, c->in[0].dtype == DUEL_U8 ? 2 * u : 0};
  case DUEL_OP_RANDOM_NORMAL:
    return (duel_tolerance){1e-7, 0, 2e-6};
  case DUEL_OP_ADAM:
  case DUEL_OP_SGD: // last: Σ grad², all of one sign
    return (duel_tolerance){nmse, (output == duel_case_outputs(c) - 1 ? 64 : 16) * u, 4 * u};
  case DUEL_OP_BCE_LOGITS:
  case DUEL_OP_BCE_LOGITS_GRAD: // sigmoid(x) − 1 and softplus(x) − x cancel
    return (duel_tolerance){nmse * 1e4, 16 * u, 16 * u * sums};
  case DUEL_OP_EMBEDDING_GRAD:
  case DUEL_OP_REDUCE_SUM:
  case DUEL_OP_MATMUL:
  case DUEL_OP_DENSE:
  case DUEL_OP_MATMUL_GRAD:
  case DUEL_OP_CONV2D:
  case DUEL_OP_CONV2D_DX:
  case DUEL_OP_CONV2D_DW:
  case DUEL_OP_CONV2D_ACT:
  case DUEL_OP_CONV2D_DX_ACT:
  case DUEL_OP_CONV2D_DX_GRAD:
  case DUEL_OP_RESAMPLE2D:
  case DUEL_OP_RESAMPLE2D_DX:
  case DUEL_OP_MAXPOOL2D_DX:
  case DUEL_OP_BATCHNORM:
  case DUEL_OP_BATCHNORM_GRAD:
  case DUEL_OP_GROUPNORM:
  case DUEL_OP_GROUPNORM_GRAD:
    return (duel_tolerance){nmse, 16 * u, 16 * u * sums};
  default:
    return (duel_tolerance){0, 0, 0}; // movement and choice: equal
  }
}
