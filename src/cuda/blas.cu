// Matrix products on cuBLAS. It thinks in columns: a row-major C = A·B is its Cᵀ = Bᵀ·Aᵀ, so the factors change places
// and nothing is transposed. beta is 0 where nothing is to be added, so that C is not read.
#include "cuda/cuda.h"

#include <limits.h>

// Plain CUBLAS_COMPUTE_32F never rounds factors as long as the handle's math mode does not ask for it.
static cublasComputeType_t compute_type(duel_precision precision) {
  return precision == DUEL_TF32            ? CUBLAS_COMPUTE_32F_FAST_TF32
         : precision == DUEL_BF16_PRODUCTS ? CUBLAS_COMPUTE_32F_FAST_16BF
                                           : CUBLAS_COMPUTE_32F;
}

static bool fits(const duel_gemm *g) {
  return g->m <= INT_MAX && g->n <= INT_MAX && g->k <= INT_MAX && g->batch <= INT_MAX && g->lda <= INT_MAX &&
         g->ldb <= INT_MAX && g->ldc <= INT_MAX;
}

static int row_of(int64_t ld, int dense) {
  return ld > 0 ? (int)ld : dense;
}

// An empty sum.
static duel_status zeros(duel_lane *lane, const duel_gemm *g) {
  for (int64_t i = 0; i < g->batch; i++)
    DUEL_CUDA_TRY(cudaMemsetAsync(g->c + i * g->stride_c, 0, (size_t)(g->m * g->n) * sizeof *g->c, lane->stream),
                  "zeros of an empty product");
  return DUEL_OK;
}

// Bytes: 4·(m·k + k·n + m·n) at least; FLOPs: 2·m·n·k.
static duel_status multiply(duel_lane *lane, const duel_gemm *g) {
  if (g->m <= 0 || g->n <= 0 || g->batch <= 0) return DUEL_OK;
  if (g->k <= 0) return g->add ? DUEL_OK : zeros(lane, g);
  if (!fits(g))
    return duel_fail(DUEL_ERR_DEVICE, "cuda: a product of %lld by %lld by %lld, %lld times, has more than %d in a row",
                     (long long)g->m, (long long)g->k, (long long)g->n, (long long)g->batch, INT_MAX);
  const float one = 1, beta = g->add ? 1 : 0;
  const int m = (int)g->m, n = (int)g->n, k = (int)g->k, lda = row_of(g->lda, g->trans_a ? m : k);
  const int ldb = row_of(g->ldb, g->trans_b ? k : n), ldc = row_of(g->ldc, n);
  const cublasOperation_t op_a = g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasComputeType_t type = compute_type(lane->precision);
  const cublasStatus_t status =
      g->batch == 1
          ? cublasGemmEx(lane->blas, op_b, op_a, n, m, k, &one, g->b, CUDA_R_32F, ldb, g->a, CUDA_R_32F, lda, &beta,
                         g->c, CUDA_R_32F, ldc, type, CUBLAS_GEMM_DEFAULT)
          : cublasGemmStridedBatchedEx(lane->blas, op_b, op_a, n, m, k, &one, g->b, CUDA_R_32F, ldb, g->stride_b, g->a,
                                       CUDA_R_32F, lda, g->stride_a, &beta, g->c, CUDA_R_32F, ldc, g->stride_c,
                                       (int)g->batch, type, CUBLAS_GEMM_DEFAULT);
  return status == CUBLAS_STATUS_SUCCESS ? DUEL_OK : duel_cuda_fail_blas(status, "a matrix product");
}

void duel_cuda_gemm(duel_lane *lane, const duel_gemm *g) {
  if (lane->status == DUEL_OK) lane->status = multiply(lane, g); // the first failure's message stays
}
