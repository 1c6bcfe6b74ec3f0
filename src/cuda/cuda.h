// The CUDA backend's own seam between its files (libduel_cuda.so). Host code only; what kernels share is launch.cuh.
//
//   entry.cu    the entry that the registry opens; the program's message and heap, passed in
//   backend.cu  device, memory, copies, errors      program.cu  a plan's calls as captured steps, the rings of a feed
//   blas.cu     matrix products                     cuda_*.cu   kernels, one op family a file; cuda_table.cu their list
#ifndef DUEL_CUDA_CUDA_H
#define DUEL_CUDA_CUDA_H

#include <cublas_v2.h>
#include <cuda_runtime.h>

// Core is C. What its headers include comes first, for that is C++ here.
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

extern "C" {
#include "base/mem.h"
#include "core/backend.h"
#include "core/nd.h"
}

// How matrix products round their factors; sums, statistics and updates are float32 always.
enum duel_precision { DUEL_FP32, DUEL_TF32, DUEL_BF16_PRODUCTS };

// A stream with a BLAS handle and workspace of its own: where a call runs. duel_call.ctx points to it.
struct duel_lane {
  cudaStream_t stream;
  cublasHandle_t blas;
  void *workspace;
  duel_precision precision;
  duel_status status; // the first failure of a launch since it was last DUEL_OK, with the thread's message
};

static inline duel_lane *duel_lane_of(const duel_call *call) {
  return (duel_lane *)call->ctx;
}

// ---- errors (backend.cu)
// DUEL_ERR_DEVICE with the cause and what to do about it: "cuda: WHAT: out of memory".
duel_status duel_cuda_fail(cudaError_t error, const char *what);
duel_status duel_cuda_fail_blas(cublasStatus_t status, const char *what);
const char *duel_cuda_said(void); // the message of this thread's last failure (entry.cu)
#define DUEL_CUDA_TRY(expr, what)                                                                                      \
  do {                                                                                                                 \
    const cudaError_t duel_cuda_error_ = (expr);                                                                       \
    if (duel_cuda_error_ != cudaSuccess) return duel_cuda_fail(duel_cuda_error_, what);                                \
  } while (0)
void duel_cuda_launched(duel_lane *lane, const char *kernel); // after a launch: keeps its failure in the lane

// ---- products (blas.cu), row-major as in the graph: c[M,N] = a·b (+ c with add), either side transposed
// One product a batch item; strides in elements, 0 repeats a factor. ld: elements from one row to the next on disk.
struct duel_gemm {
  int64_t m, n, k;
  const float *a, *b;
  float *c;
  bool trans_a, trans_b, add;
  int64_t batch, stride_a, stride_b, stride_c; // batch 1: no strides
  int64_t lda, ldb, ldc;                       // 0: rows follow each other without a gap
};
void duel_cuda_gemm(duel_lane *lane, const duel_gemm *g); // k = 0 gives zeros; a failure stays in the lane

// ---- kernels
struct duel_cuda_kernel {
  size_t (*scratch)(const duel_call *call); // bytes; NULL: none
  void (*run)(const duel_call *call);       // launches on duel_lane_of(call)
};
const duel_cuda_kernel *duel_cuda_kernel_of(duel_op op); // NULL: none (cuda_table.cu)
#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out) extern const duel_cuda_kernel duel_cuda_##name;
#include "core/ops/ops.def"
#undef DUEL_OP

#endif
