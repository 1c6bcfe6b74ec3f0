// Element-wise kernels: functions of up to three operands that broadcast, as maps over nests (nest.cuh). An output may
// lie exactly on an input of its size. Bytes an element are 4 an operand; FLOPs stand beside each (~20: the library's
// function, a dozen or two instructions).
#include "cuda/nest.cuh"

struct constant_of { // writes 4 bytes
  enum { INPUTS = 0 };
  float value;
  __device__ float operator()(const float *) const { return value; }
};

static void constant_run(const duel_call *call) {
  duel_element_wise(call, constant_of{(float)call->attr->constant.value});
}
const duel_cuda_kernel duel_cuda_constant = {nullptr, constant_run};

// Writes 4 bytes an element.
static __global__ void __launch_bounds__(DUEL_BLOCK) iota_kernel(int64_t n, float *dst) {
  for (int64_t i = duel_first(); i < n; i += duel_stride()) dst[i] = (float)i;
}

static void iota_run(const duel_call *call) {
  const int64_t n = duel_count(&call->out[0]);
  DUEL_LAUNCH(duel_lane_of(call), iota_kernel, duel_blocks(n, DUEL_BLOCK), DUEL_BLOCK, 0, n,
              (float *)call->out[0].data);
}
const duel_cuda_kernel duel_cuda_iota = {nullptr, iota_run};

// One kernel: p and q are numbers of the recipe, taken from call->attr; EXPR is of the inputs x, y, z.
#define ELEMENT_WISE(name, inputs, P, Q, EXPR)                                                                         \
  struct name##_of {                                                                                                   \
    enum { INPUTS = inputs };                                                                                          \
    float p, q;                                                                                                        \
    __device__ float operator()(const float *in) const {                                                               \
      [[maybe_unused]] const float x = in[0], y = in[INPUTS > 1 ? 1 : 0], z = in[INPUTS > 2 ? 2 : 0];                  \
      return EXPR;                                                                                                     \
    }                                                                                                                  \
  };                                                                                                                   \
  static void name##_run(const duel_call *call) {                                                                      \
    duel_element_wise(call, name##_of{(float)(P), (float)(Q)});                                                        \
  }                                                                                                                    \
  const duel_cuda_kernel duel_cuda_##name = {nullptr, name##_run}

// ---- one operand
ELEMENT_WISE(affine, 1, call->attr->affine.mul, call->attr->affine.add, p *x + q); // 2
ELEMENT_WISE(exp, 1, 0, 0, expf(x));                                               // ~20
ELEMENT_WISE(log, 1, 0, 0, logf(x));                                               // ~20
ELEMENT_WISE(sqrt, 1, 0, 0, sqrtf(x));                                             // 1
ELEMENT_WISE(tanh, 1, 0, 0, tanhf(x));                                             // ~20
ELEMENT_WISE(sigmoid, 1, 0, 0, duel_sigmoid_of(x));                                // ~20
ELEMENT_WISE(softplus, 1, 0, 0, duel_softplus_of(x));                              // ~40
ELEMENT_WISE(erf, 1, 0, 0, erff(x));                                               // ~20
ELEMENT_WISE(leaky_relu, 1, call->attr->leaky.slope, 0, x > 0 ? x : p * x);        // 1

// ---- two and three, with broadcasting
ELEMENT_WISE(add, 2, 0, 0, x + y);                       // 1
ELEMENT_WISE(sub, 2, 0, 0, x - y);                       // 1
ELEMENT_WISE(mul, 2, 0, 0, x *y);                        // 1
ELEMENT_WISE(div, 2, 0, 0, x / y);                       // 1
ELEMENT_WISE(less_equal, 2, 0, 0, x <= y ? 1.0f : 0.0f); // 1
ELEMENT_WISE(select, 3, 0, 0, x != 0 ? y : z);           // 1
// (d_dst, dst)
ELEMENT_WISE(tanh_grad, 2, 0, 0, x *(1.0f - y * y));                             // 3
ELEMENT_WISE(sigmoid_grad, 2, 0, 0, x *y *(1.0f - y));                           // 3
ELEMENT_WISE(leaky_relu_grad, 2, call->attr->leaky.slope, 0, y > 0 ? x : p * x); // 1
