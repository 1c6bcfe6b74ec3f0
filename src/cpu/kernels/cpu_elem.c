// Element-wise kernels. An output may lie exactly on an input of its size: element i is read before it is written.
#include "core/nd.h"
#include "cpu/kernels/cpu_kernel.h"

enum { CHEAP = 16384, COSTLY = 4096 }; // elements a piece: plain arithmetic; polynomials and divisions

static void constant_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  const real value = (real)call->attr->constant.value;
  real *dst = call->out[0].data;
  DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) dst[i] = value;
}
const duel_cpu_kernel DUEL_CPU_NAME(constant) = {.grain = CHEAP, .run = constant_run};

static void iota_run(const duel_call *call, const duel_piece *piece) {
  const duel_span r = piece->units;
  real *dst = call->out[0].data;
  DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) dst[i] = (real)i;
}
const duel_cpu_kernel DUEL_CPU_NAME(iota) = {.grain = CHEAP, .run = iota_run};

// ---- one operand
#define UNARY(name, elements, SETUP, EXPR)                                                                             \
  static void name##_run(const duel_call *call, const duel_piece *piece) {                                             \
    const duel_span r = piece->units;                                                                                  \
    const real *src = call->in[0].data;                                                                                \
    real *dst = call->out[0].data;                                                                                     \
    SETUP;                                                                                                             \
    DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) {                                                              \
      const real x = src[i];                                                                                           \
      dst[i] = (EXPR);                                                                                                 \
    }                                                                                                                  \
  }                                                                                                                    \
  const duel_cpu_kernel DUEL_CPU_NAME(name) = {.grain = elements, .run = name##_run}

UNARY(affine, CHEAP, const real mul = (real)call->attr->affine.mul;
      const real add = (real)call->attr->affine.add, mul *x + add);
UNARY(leaky_relu, CHEAP, const real slope = (real)call->attr->leaky.slope, x > 0 ? x : slope * x);
UNARY(sqrt, COSTLY, , duel_sqrt_real(x));
UNARY(exp, COSTLY, , duel_exp_real(x));
UNARY(log, COSTLY, , duel_log_real(x));
UNARY(tanh, COSTLY, , duel_tanh_real(x));
UNARY(sigmoid, COSTLY, , duel_sigmoid_real(x));
UNARY(softplus, COSTLY, , duel_softplus_real(x));
UNARY(erf, COSTLY, , duel_erf_real(x));

// ---- two and three operands, with broadcasting
// One run of n elements; a stride is 1, or 0 for an operand that repeats.
typedef void row_fn(real *dst, const real *const *in, const int64_t *stride, int64_t n, const duel_attr *attr);

static void broadcast_run(const duel_call *call, duel_span r, row_fn *row) {
  duel_nd nd = {.rank = call->out[0].shape.rank, .n = call->n_in};
  memcpy(nd.size, call->out[0].shape.dim, sizeof nd.size);
  for (int o = 0; o < call->n_in; o++) duel_nd_operand(&nd, o, &call->in[o].shape);
  duel_nd_merge(&nd);
  int64_t stride[DUEL_ND_OPERANDS];
  for (int o = 0; o < call->n_in; o++) stride[o] = nd.stride[o][nd.rank - 1];
  duel_nd_at at;
  duel_nd_seek(&nd, r.begin, &at);
  for (int64_t i = r.begin; i < r.end;) {
    const int64_t n = duel_min(duel_nd_left(&nd, &at), r.end - i);
    const real *in[DUEL_ND_OPERANDS];
    for (int o = 0; o < call->n_in; o++) in[o] = (const real *)call->in[o].data + at.offset[o];
    row((real *)call->out[0].data + i, in, stride, n, call->attr);
    duel_nd_advance(&nd, &at, n);
    i += n;
  }
}

#define BINARY_LOOP(A, B, EXPR)                                                                                        \
  DUEL_SIMD for (int64_t i = 0; i < n; i++) {                                                                          \
    const real x = in[0][A], y = in[1][B];                                                                             \
    dst[i] = (EXPR);                                                                                                   \
  }

#define BINARY(name, SETUP, EXPR)                                                                                      \
  static void name##_row(real *dst, const real *const *in, const int64_t *stride, int64_t n, const duel_attr *attr) {  \
    (void)attr;                                                                                                        \
    SETUP;                                                                                                             \
    if (stride[0] && stride[1]) {                                                                                      \
      BINARY_LOOP(i, i, EXPR)                                                                                          \
    } else if (stride[0]) {                                                                                            \
      BINARY_LOOP(i, 0, EXPR)                                                                                          \
    } else {                                                                                                           \
      BINARY_LOOP(0, i, EXPR)                                                                                          \
    }                                                                                                                  \
  }                                                                                                                    \
  static void name##_run(const duel_call *call, const duel_piece *piece) {                                             \
    broadcast_run(call, piece->units, name##_row);                                                                     \
  }                                                                                                                    \
  const duel_cpu_kernel DUEL_CPU_NAME(name) = {.grain = CHEAP, .run = name##_run}

BINARY(add, , x + y);
BINARY(sub, , x - y);
BINARY(mul, , x *y);
BINARY(div, , x / y);
BINARY(less_equal, , x <= y ? (real)1 : (real)0);
// (d_dst, dst)
BINARY(tanh_grad, , x *(1 - y * y));
BINARY(sigmoid_grad, , x *y *(1 - y));
BINARY(leaky_relu_grad, const real slope = (real)attr->leaky.slope, y > 0 ? x : slope * x);

static void select_row(real *dst, const real *const *in, const int64_t *stride, int64_t n, const duel_attr *attr) {
  (void)attr;
  const real *cond = in[0], *a = in[1], *b = in[2];
  if (stride[0] && stride[1] && stride[2]) {
    DUEL_SIMD for (int64_t i = 0; i < n; i++) dst[i] = cond[i] != 0 ? a[i] : b[i];
  } else {
    const int64_t c = stride[0], s = stride[1], t = stride[2];
    for (int64_t i = 0; i < n; i++) dst[i] = cond[i * c] != 0 ? a[i * s] : b[i * t];
  }
}

static void select_run(const duel_call *call, const duel_piece *piece) {
  broadcast_run(call, piece->units, select_row);
}
const duel_cpu_kernel DUEL_CPU_NAME(select) = {.grain = CHEAP, .run = select_run};
