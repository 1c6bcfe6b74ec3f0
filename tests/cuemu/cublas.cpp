// Matrix products as cuBLAS defines them, in columns: C = alpha·op(A)·op(B) + beta·C. Sums are in float32, in one
// of two orders of k whatever the shape; factors are rounded as the compute type says. Runs as work of the handle's
// stream.
//
// Invariant: C is not read when beta is 0, and nothing outside the ranges that the arguments name is touched.
#include "cublas_v2.h"

#include "internal.h"

#include <memory>
#include <vector>

struct cublasContext {
  int device;
  cudaStream_t stream;
  void *workspace;
  size_t workspace_bytes;
  int math;
  bool device_scalars;
  bool loaded; // it has multiplied
};

namespace {
std::vector<std::unique_ptr<cublasContext>> handles;

enum rounding { EXACT, TF32, BF16 };

struct product {
  bool trans_a, trans_b;
  int m, n, k, batch;
  const void *a, *b;
  void *c;
  cudaDataType type_a, type_b, type_c;
  int lda, ldb, ldc;
  long long stride_a, stride_b, stride_c;
  const void *alpha, *beta;
  rounding round;
};

bool valid(cublasHandle_t handle) {
  for (const auto &h : handles)
    if (h.get() == handle) return true;
  return false;
}

#define CUBLAS_CALL(handle)                                                                                            \
  cuemu_lock lock;                                                                                                     \
  if (!valid(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;                                                            \
  if ((handle)->device != cuemu_device())                                                                              \
  cuemu_die("cuBLAS: a handle of device %d is used while device %d is the current one", (handle)->device,              \
            cuemu_device())

// ---- numbers
float bf16_to_float(uint16_t x) {
  return __uint_as_float((unsigned)x << 16);
}

uint16_t float_to_bf16(float x) {
  const unsigned bits = __float_as_uint(x);
  if (isnan(x)) return 0x7FFF;
  return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
}

float rounded(float x, rounding how) {
  if (how == EXACT || !isfinite(x)) return x;
  if (how == BF16) return bf16_to_float(float_to_bf16(x));
  return __uint_as_float((__float_as_uint(x) + 0x1000u) & ~0x1FFFu); // to nearest, ties away from zero, as cvt.rna.tf32
}

float load(const void *p, cudaDataType type, size_t i) {
  return type == CUDA_R_32F ? ((const float *)p)[i] : bf16_to_float(((const uint16_t *)p)[i]);
}

size_t size_of(cudaDataType type) {
  return type == CUDA_R_32F ? 4 : 2;
}

// ---- the product: panels of ROWS rows of op(A) and COLS columns of op(B)
enum { ROWS = 16, COLS = 6, RUNS = 8 };
typedef float lanes __attribute__((vector_size(32)));

// The sums of k terms in their order. Each product and each sum is rounded, not fused: no better than any BLAS, and the
// same bits whatever the host has.
__attribute__((always_inline)) inline void sums_body(int k, const float *a, const float *b, float *sum) {
  lanes s[COLS][2] = {};
  for (int p = 0; p < k; p++, a += ROWS, b += COLS) {
    lanes low, high;
    memcpy(&low, a, sizeof low);
    memcpy(&high, a + 8, sizeof high);
#pragma GCC unroll 6
    for (int j = 0; j < COLS; j++) {
      s[j][0] += low * b[j];
      s[j][1] += high * b[j];
    }
  }
  memcpy(sum, s, sizeof s);
}

CUEMU_RAW void sums_plain(int k, const float *a, const float *b, float *sum) {
  sums_body(k, a, b, sum);
}
#ifdef __x86_64__
__attribute__((target("avx2"))) CUEMU_RAW void sums_avx2(int k, const float *a, const float *b, float *sum) {
  sums_body(k, a, b, sum);
}
#endif

// As a product that shares k out among blocks: RUNS runs of neighbours, each in order, joined in pairs.
CUEMU_RAW void split_sums(void (*sums)(int, const float *, const float *, float *), int k, const float *a,
                          const float *b, float *sum) {
  float part[RUNS][COLS * ROWS];
  const int run = (k + RUNS - 1) / RUNS;
  for (int r = 0; r < RUNS; r++) {
    const int first = r * run < k ? r * run : k, n = k - first < run ? k - first : run;
    sums(n, a + (size_t)first * ROWS, b + (size_t)first * COLS, part[r]);
  }
  for (int step = 1; step < RUNS; step *= 2)
    for (int r = 0; r < RUNS; r += 2 * step)
      for (int i = 0; i < COLS * ROWS; i++) part[r][i] += part[r + step][i];
  memcpy(sum, part[0], sizeof part[0]);
}

// Panels of `width` rows, each k × width, the rest zero. at(row, p) is base[row · row_step + p · p_step].
void pack(std::vector<float> *to, const void *base, cudaDataType type, rounding round, int rows, int k, int width,
          size_t row_step, size_t p_step) {
  to->assign((size_t)((rows + width - 1) / width) * (size_t)width * (size_t)k, 0.0f);
  for (int row = 0; row < rows; row++) {
    float *panel = to->data() + (size_t)(row / width) * (size_t)width * (size_t)k + row % width;
    for (int p = 0; p < k; p++)
      panel[(size_t)p * (size_t)width] = rounded(load(base, type, (size_t)row * row_step + (size_t)p * p_step), round);
  }
}

void store(const product &g, char *c, size_t i, float sum, float alpha, float beta) {
  float value = alpha * sum;
  if (beta != 0) value += beta * load(c, g.type_c, i);
  if (g.type_c == CUDA_R_32F)
    ((float *)c)[i] = value;
  else
    ((uint16_t *)c)[i] = float_to_bf16(value);
}

void multiply(const product &g) {
  void (*sums)(int, const float *, const float *, float *) = sums_plain;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) sums = sums_avx2;
#endif
  const float alpha = *(const float *)g.alpha, beta = *(const float *)g.beta;
  std::vector<float> a, b;
  float sum[COLS * ROWS];
  for (int batch = 0; batch < g.batch; batch++) {
    const char *pa = (const char *)g.a + (ptrdiff_t)size_of(g.type_a) * g.stride_a * batch;
    const char *pb = (const char *)g.b + (ptrdiff_t)size_of(g.type_b) * g.stride_b * batch;
    char *pc = (char *)g.c + (ptrdiff_t)size_of(g.type_c) * g.stride_c * batch;
    const size_t lda = (size_t)g.lda, ldb = (size_t)g.ldb;
    if (g.k > 0 && (batch == 0 || g.stride_a != 0))
      pack(&a, pa, g.type_a, g.round, g.m, g.k, ROWS, g.trans_a ? lda : 1, g.trans_a ? 1 : lda);
    if (g.k > 0 && (batch == 0 || g.stride_b != 0))
      pack(&b, pb, g.type_b, g.round, g.n, g.k, COLS, g.trans_b ? 1 : ldb, g.trans_b ? ldb : 1);
    for (int j = 0; j < g.n; j += COLS)
      for (int i = 0; i < g.m; i += ROWS) {
        const float *pi = a.data() + (size_t)i * (size_t)g.k, *pj = b.data() + (size_t)j * (size_t)g.k;
        if (g.k == 0)
          memset(sum, 0, sizeof sum);
        else if (cuemu_split_sums())
          split_sums(sums, g.k, pi, pj, sum);
        else
          sums(g.k, pi, pj, sum);
        for (int jj = 0; jj < COLS && j + jj < g.n; jj++)
          for (int ii = 0; ii < ROWS && i + ii < g.m; ii++)
            store(g, pc, (size_t)(i + ii) + (size_t)(j + jj) * (size_t)g.ldc, sum[jj * ROWS + ii], alpha, beta);
      }
  }
}

// ---- arguments
// Bytes from the first to the last element of a matrix and its repeats; the lowest address may lie before p.
bool range_ok(const void *p, cudaDataType type, int rows, int cols, int ld, long long stride, int batch,
              const char *what) {
  if (rows == 0 || cols == 0) return true;
  const ptrdiff_t size = (ptrdiff_t)size_of(type), one = size * ((ptrdiff_t)(cols - 1) * ld + rows);
  const ptrdiff_t rest = size * (ptrdiff_t)stride * (batch - 1);
  return cuemu_in_range((const char *)p + (rest < 0 ? rest : 0), (size_t)(one + (rest < 0 ? -rest : rest)), what);
}

bool overlap(const void *a, size_t a_bytes, const void *c, size_t c_bytes) {
  return (const char *)a < (const char *)c + c_bytes && (const char *)c < (const char *)a + a_bytes;
}

void check_memory(const product &g) {
  const int rows_a = g.trans_a ? g.k : g.m, cols_a = g.trans_a ? g.m : g.k;
  const int rows_b = g.trans_b ? g.n : g.k, cols_b = g.trans_b ? g.k : g.n;
  if (!range_ok(g.a, g.type_a, rows_a, cols_a, g.lda, g.stride_a, g.batch, "cuBLAS: A") ||
      !range_ok(g.b, g.type_b, rows_b, cols_b, g.ldb, g.stride_b, g.batch, "cuBLAS: B") ||
      !range_ok(g.c, g.type_c, g.m, g.n, g.ldc, g.stride_c, g.batch, "cuBLAS: C"))
    cuemu_die("cuBLAS: a product of %d×%d by %d×%d, %d times, reaches outside of device memory", g.m, g.k, g.k, g.n,
              g.batch);
  if (g.k == 0) return;
  const size_t c_bytes = size_of(g.type_c) * ((size_t)(g.n - 1) * (size_t)g.ldc + (size_t)g.m);
  if (overlap(g.a, size_of(g.type_a) * ((size_t)(cols_a - 1) * (size_t)g.lda + (size_t)rows_a), g.c, c_bytes) ||
      overlap(g.b, size_of(g.type_b) * ((size_t)(cols_b - 1) * (size_t)g.ldb + (size_t)rows_b), g.c, c_bytes))
    cuemu_die("cuBLAS: C overlaps a factor");
}

// What ThreadSanitizer shall see of a product: the sums themselves run hidden, on a stack that all streams share.
CUEMU_RAW void announce_matrix(const void *p, cudaDataType type, int rows, int cols, int ld, ptrdiff_t at, bool write) {
  const ptrdiff_t size = type == CUDA_R_32F ? 4 : 2;
  for (int j = 0; j < cols; j++)
    cuemu_announce((const char *)p + size * (at + (ptrdiff_t)j * ld), (size_t)(size * rows), write);
}

CUEMU_RAW void announce(const product &g, const void *workspace, size_t scribble) {
  const int rows_a = g.trans_a ? g.k : g.m, cols_a = g.trans_a ? g.m : g.k;
  const int rows_b = g.trans_b ? g.n : g.k, cols_b = g.trans_b ? g.k : g.n;
  for (int i = 0; CUEMU_CLOCKS && i < g.batch; i++) {
    announce_matrix(g.a, g.type_a, rows_a, cols_a, g.lda, (ptrdiff_t)g.stride_a * i, false);
    announce_matrix(g.b, g.type_b, rows_b, cols_b, g.ldb, (ptrdiff_t)g.stride_b * i, false);
    announce_matrix(g.c, g.type_c, g.m, g.n, g.ldc, (ptrdiff_t)g.stride_c * i, true);
  }
  if (workspace) cuemu_announce(workspace, scribble, true);
}

bool op_ok(cublasOperation_t op) {
  return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C;
}

bool type_ok(cudaDataType type) {
  return type == CUDA_R_32F || type == CUDA_R_16BF;
}

cublasStatus_t submit(cublasHandle_t handle, product g, cublasOperation_t op_a, cublasOperation_t op_b,
                      cublasComputeType_t compute) {
  g.trans_a = op_a != CUBLAS_OP_N;
  g.trans_b = op_b != CUBLAS_OP_N;
  const auto least = [](int rows) { return rows > 1 ? rows : 1; };
  if (!op_ok(op_a) || !op_ok(op_b) || g.m < 0 || g.n < 0 || g.k < 0 || g.batch < 0 ||
      g.lda < least(g.trans_a ? g.k : g.m) || g.ldb < least(g.trans_b ? g.n : g.k) || g.ldc < least(g.m) || !g.alpha ||
      !g.beta)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!type_ok(g.type_a) || g.type_b != g.type_a || (g.type_c != g.type_a && g.type_c != CUDA_R_32F))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (g.batch > 1 && g.stride_c < (long long)g.ldc * (g.n - 1) + g.m && g.n > 0) return CUBLAS_STATUS_INVALID_VALUE;
  switch (compute) {
  case CUBLAS_COMPUTE_32F:
    g.round = (handle->math & 15) == CUBLAS_TF32_TENSOR_OP_MATH ? TF32 : EXACT;
    break;
  case CUBLAS_COMPUTE_32F_PEDANTIC:
    g.round = EXACT;
    break;
  case CUBLAS_COMPUTE_32F_FAST_TF32:
    g.round = TF32;
    break;
  case CUBLAS_COMPUTE_32F_FAST_16BF:
    g.round = BF16;
    break;
  default:
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (cuemu_call(CUEMU_CUBLAS) != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (g.m == 0 || g.n == 0 || g.batch == 0) return CUBLAS_STATUS_SUCCESS;
  if (!handle->loaded && cuemu_capturing(handle->stream)) return CUBLAS_STATUS_INTERNAL_ERROR;
  handle->loaded = true;
  const float alpha = handle->device_scalars ? 0 : *(const float *)g.alpha;
  const float beta = handle->device_scalars ? 0 : *(const float *)g.beta;
  const bool device_scalars = handle->device_scalars;
  if (!device_scalars && alpha == 0) g.k = 0; // A and B are not read
  check_memory(g);
  if (!device_scalars && g.k == 0 && beta == 1) return CUBLAS_STATUS_SUCCESS;
  void *workspace = handle->workspace;
  const size_t scribble = handle->workspace_bytes < 4096 ? handle->workspace_bytes : 4096;
  const cudaError_t error = cuemu_submit(handle->stream, [=] {
    cuemu_trace("product %d %d %d %d %d %d %d %d %d %lld %lld %lld %d\n", g.m, g.n, g.k, g.trans_a, g.trans_b, g.lda,
                g.ldb, g.ldc, g.batch, g.stride_a, g.stride_b, g.stride_c, device_scalars || beta != 0);
    if (cuemu_dry()) return;
    check_memory(g);
    cuemu_open_memory();
    cuemu_enter_device();
    announce(g, workspace, scribble);
    cuemu_leave_device();
    product now = g;
    if (!device_scalars) {
      now.alpha = &alpha;
      now.beta = &beta;
    }
    if (workspace) memset(workspace, 0xFF, scribble); // whoever else keeps something there shall see it
    multiply(now);
    cuemu_check_canaries("of cuBLAS");
    cuemu_shut_memory();
  });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
} // namespace

// ---- handles
cublasStatus_t cublasCreate(cublasHandle_t *handle) {
  cuemu_lock lock;
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = nullptr;
  const cudaError_t error = cuemu_call(CUEMU_CUBLAS);
  if (error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (error || cuemu_forbidden_in_capture()) return CUBLAS_STATUS_ALLOC_FAILED; // it has memory of its own
  handles.emplace_back(new cublasContext());
  *handle = handles.back().get();
  (*handle)->device = cuemu_device();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  CUBLAS_CALL(handle);
  for (auto it = handles.begin(); it != handles.end(); ++it)
    if (it->get() == handle) {
      handles.erase(it);
      break;
    }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t handle, int *version) {
  CUBLAS_CALL(handle);
  if (!version) return CUBLAS_STATUS_INVALID_VALUE;
  *version = cuemu_split_sums() ? 130001 : 130000; // other bits, another version
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  CUBLAS_CALL(handle);
  if (!cuemu_stream_valid(stream)) return CUBLAS_STATUS_INVALID_VALUE;
  handle->stream = stream;
  handle->workspace = nullptr; // as in cuBLAS, the workspace is its own again
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *workspace, size_t bytes) {
  CUBLAS_CALL(handle);
  if (workspace && ((uintptr_t)workspace % 256 || !cuemu_in_range(workspace, bytes, "cublasSetWorkspace")))
    return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = bytes > 0 ? workspace : nullptr;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  CUBLAS_CALL(handle);
  const int base = (int)mode & ~(int)CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
  if (base != CUBLAS_DEFAULT_MATH && base != CUBLAS_PEDANTIC_MATH && base != CUBLAS_TF32_TENSOR_OP_MATH)
    return CUBLAS_STATUS_INVALID_VALUE;
  handle->math = (int)mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode) {
  CUBLAS_CALL(handle);
  if (mode != CUBLAS_POINTER_MODE_HOST && mode != CUBLAS_POINTER_MODE_DEVICE) return CUBLAS_STATUS_INVALID_VALUE;
  handle->device_scalars = mode == CUBLAS_POINTER_MODE_DEVICE;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  CUBLAS_CALL(handle);
  return mode == CUBLAS_ATOMICS_NOT_ALLOWED || mode == CUBLAS_ATOMICS_ALLOWED ? CUBLAS_STATUS_SUCCESS
                                                                              : CUBLAS_STATUS_INVALID_VALUE;
}

#define CUBLAS_STATUSES(X)                                                                                             \
  X(CUBLAS_STATUS_SUCCESS, "success")                                                                                  \
  X(CUBLAS_STATUS_NOT_INITIALIZED, "the library was not initialized")                                                  \
  X(CUBLAS_STATUS_ALLOC_FAILED, "the resource allocation failed")                                                      \
  X(CUBLAS_STATUS_INVALID_VALUE, "an unsupported value or parameter was passed to the function")                       \
  X(CUBLAS_STATUS_ARCH_MISMATCH, "the function requires an architectural feature absent from the device")              \
  X(CUBLAS_STATUS_MAPPING_ERROR, "an access to GPU memory space failed")                                               \
  X(CUBLAS_STATUS_EXECUTION_FAILED, "the GPU program failed to execute")                                               \
  X(CUBLAS_STATUS_INTERNAL_ERROR, "an internal operation failed")                                                      \
  X(CUBLAS_STATUS_NOT_SUPPORTED, "the functionality requested is not supported")
#define CUBLAS_NAME(status, text)                                                                                      \
  case status:                                                                                                         \
    return #status;
#define CUBLAS_TEXT(status, text)                                                                                      \
  case status:                                                                                                         \
    return text;
const char *cublasGetStatusName(cublasStatus_t status) {
  switch (status) { CUBLAS_STATUSES(CUBLAS_NAME) }
  return "unknown status";
}
const char *cublasGetStatusString(cublasStatus_t status) {
  switch (status) { CUBLAS_STATUSES(CUBLAS_TEXT) }
  return "unknown status";
}

// ---- products
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                                          int m, int n, int k, const void *alpha, const void *A, cudaDataType Atype,
                                          int lda, long long strideA, const void *B, cudaDataType Btype, int ldb,
                                          long long strideB, const void *beta, void *C, cudaDataType Ctype, int ldc,
                                          long long strideC, int batchCount, cublasComputeType_t computeType,
                                          cublasGemmAlgo_t algo) {
  CUBLAS_CALL(handle);
  if (algo < CUBLAS_GEMM_DEFAULT || algo > 115) return CUBLAS_STATUS_INVALID_VALUE;
  const product g = {false, false, m,   n,   k,       batchCount, A,       B,     C,    Atype, Btype,
                     Ctype, lda,   ldb, ldc, strideA, strideB,    strideC, alpha, beta, EXACT};
  return submit(handle, g, transa, transb, computeType);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void *alpha, const void *A, cudaDataType Atype, int lda, const void *B,
                            cudaDataType Btype, int ldb, const void *beta, void *C, cudaDataType Ctype, int ldc,
                            cublasComputeType_t computeType, cublasGemmAlgo_t algo) {
  return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, Atype, lda, 0, B, Btype, ldb, 0, beta, C,
                                    Ctype, ldc, 0, 1, computeType, algo);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                                         int m, int n, int k, const float *alpha, const float *A, int lda,
                                         long long strideA, const float *B, int ldb, long long strideB,
                                         const float *beta, float *C, int ldc, long long strideC, int batchCount) {
  return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, CUDA_R_32F, lda, strideA, B, CUDA_R_32F,
                                    ldb, strideB, beta, C, CUDA_R_32F, ldc, strideC, batchCount, CUBLAS_COMPUTE_32F,
                                    CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                           int k, const float *alpha, const float *A, int lda, const float *B, int ldb,
                           const float *beta, float *C, int ldc) {
  return cublasSgemmStridedBatched(handle, transa, transb, m, n, k, alpha, A, lda, 0, B, ldb, 0, beta, C, ldc, 0, 1);
}
