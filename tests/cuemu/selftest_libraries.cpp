// The fake cuBLAS against plain sums, and cuRAND's words against published vectors and, where it is installed, the real
// library's host generator, which needs no GPU.
#include "selftest.h"

#include <curand_kernel.h>
#include <dlfcn.h>
#include <math.h>
#include <vector>

static cublasHandle_t blas;

static float number(size_t i) {
  return (float)((i * 7919) % 13) - 6;
}

// One product of integers, exact in any order, with NaN where nothing may be read.
static bool product_is_right(bool ta, bool tb, int m, int n, int k, float alpha, float beta, int batch) {
  const int ra = ta ? k : m, ca = ta ? m : k, rb = tb ? n : k, cb = tb ? k : n;
  const int lda = ra + 3, ldb = rb + 1, ldc = m + 2;
  const size_t sa = (size_t)lda * (size_t)ca, sb = (size_t)ldb * (size_t)cb, sc = (size_t)ldc * (size_t)n,
               N = (size_t)batch;
  std::vector<float> a(sa * N, NAN), b(sb * N, NAN), c(sc * N, beta == 0 ? NAN : 0), got(sc * N);
  for (size_t i = 0; i < sa * N; i++)
    if (i % sa % (size_t)lda < (size_t)ra) a[i] = number(i);
  for (size_t i = 0; i < sb * N; i++)
    if (i % sb % (size_t)ldb < (size_t)rb) b[i] = number(i + 5);
  if (beta != 0)
    for (size_t i = 0; i < sc * N; i++) c[i] = number(i + 9);
  float *da = to_device(a.data(), a.size()), *db = to_device(b.data(), b.size()), *dc = to_device(c.data(), c.size());
  const cublasOperation_t oa = ta ? CUBLAS_OP_T : CUBLAS_OP_N, ob = tb ? CUBLAS_OP_T : CUBLAS_OP_N;
  REQUIRE(cublasSgemmStridedBatched(blas, oa, ob, m, n, k, &alpha, da, lda, (long long)sa, db, ldb, (long long)sb,
                                    &beta, dc, ldc, (long long)sc, batch) == CUBLAS_STATUS_SUCCESS);
  from_device(got.data(), dc, got.size());
  bool right = true;
  for (size_t z = 0; z < N; z++)
    for (int j = 0; j < n; j++)
      for (int i = 0; i < ldc; i++) {
        const size_t at = z * sc + (size_t)j * (size_t)ldc + (size_t)i;
        if (i >= m) { // between the columns: as it was
          right &= memcmp(&got[at], &c[at], 4) == 0;
          continue;
        }
        float sum = 0;
        for (int p = 0; p < k; p++)
          sum += a[z * sa + (size_t)(ta ? p + i * lda : i + p * lda)] *
                 b[z * sb + (size_t)(tb ? j + p * ldb : p + j * ldb)];
        right &= got[at] == alpha * sum + (beta != 0 ? beta * c[at] : 0);
      }
  cudaFree(da);
  cudaFree(db);
  cudaFree(dc);
  return right;
}

static void products() {
  REQUIRE(cublasCreate(&blas) == CUBLAS_STATUS_SUCCESS);
  const int sizes[][3] = {{1, 1, 1}, {8, 6, 4}, {9, 7, 33}, {65, 13, 17}, {3, 64, 1}, {5, 4, 0}};
  for (const auto &s : sizes)
    for (int t = 0; t < 4; t++)
      for (int variant = 0; variant < 3; variant++)
        if (!product_is_right(t & 1, t & 2, s[0], s[1], s[2], variant == 2 ? 2.0f : 1.0f, variant == 0 ? 0.0f : 3.0f,
                              variant + 1)) {
          fprintf(stderr, "%d×%d×%d, transposed %d, variant %d\n", s[0], s[1], s[2], t, variant);
          wrong();
        }
  cublasDestroy(blas);
}

static void rounded_factors() {
  const float one = 1, zero = 0,
              x[2] = {1 + 0x1p-9f + 0x1p-11f, 1 + 0x1p-20f}; // the first halfway between TF32 numbers
  const struct {
    cublasComputeType_t type;
    float want[2];
  } cases[] = {{CUBLAS_COMPUTE_32F, {x[0], x[1]}},
               {CUBLAS_COMPUTE_32F_PEDANTIC, {x[0], x[1]}},
               {CUBLAS_COMPUTE_32F_FAST_TF32, {1 + 0x1p-9f + 0x1p-10f, 1}},
               {CUBLAS_COMPUTE_32F_FAST_16BF, {1, 1}}};
  cublasCreate(&blas);
  float *a = to_device(&one, 1), *b = to_device(x, 2), *c = to_device<float>(nullptr, 2), got[2];
  for (const auto &t : cases) {
    REQUIRE(cublasGemmEx(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 2, 1, &one, a, CUDA_R_32F, 1, b, CUDA_R_32F, 1, &zero, c,
                         CUDA_R_32F, 1, t.type, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    from_device(got, c, 2);
    if (got[0] != t.want[0] || got[1] != t.want[1]) wrong();
  }
  cublasSetMathMode(blas, CUBLAS_TF32_TENSOR_OP_MATH);
  cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 2, 1, &one, a, 1, b, 1, &zero, c, 1);
  from_device(got, c, 2);
  if (got[1] != 1) wrong();
  cublasDestroy(blas);
  cudaFree(a);
  cudaFree(b);
  cudaFree(c);
}

// In float32 2²⁴ + 1 is 2²⁴: added one by one all ones are lost, in eight runs only those of the first. Nothing is
// fused: the square of 1 + 2⁻¹² loses its last bit before anything is added.
static void orders_of_sums() {
  const float one = 1, zero = 0;
  std::vector<float> x(800, 1.0f), y(800, 1.0f);
  x[0] = 0x1p24f;
  float fuse[2][2] = {{1 + 0x1p-12f, -1}, {1 + 0x1p-12f, 1 + 0x1p-11f}}, got;
  float *a = to_device(x.data(), 800), *b = to_device(y.data(), 800), *c = to_device<float>(nullptr, 1);
  float *d = to_device(fuse[0], 2), *e = to_device(fuse[1], 2);
  cublasCreate(&blas);
  for (int split = 0; split < 2; split++) {
    REQUIRE(cuemu_set_sums(split ? "split" : "forward"));
    cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 800, &one, a, 1, b, 800, &zero, c, 1);
    from_device(&got, c, 1);
    if (got != 0x1p24f + (split ? 700.0f : 0.0f)) wrong();
    cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 2, &one, d, 1, e, 2, &zero, c, 1);
    from_device(&got, c, 1);
    if (got != 0) wrong();
  }
  REQUIRE(!cuemu_set_sums("backward"));
  cublasDestroy(blas);
  for (float *p : {a, b, c, d, e}) cudaFree(p);
}

static void handle_of_another_device() {
  cuemu_set_devices("9.0,8.0");
  cublasCreate(&blas);
  cudaSetDevice(1);
  cublasDestroy(blas);
}

#define STATUS(expr, status)                                                                                           \
  if ((expr) != (status)) {                                                                                            \
    fprintf(stderr, "line %d: not %s\n", __LINE__, #status);                                                           \
    wrong();                                                                                                           \
  }

static void blas_arguments() {
  const float one = 1, zero = 0;
  float *a = to_device<float>(nullptr, 64), *b = to_device<float>(nullptr, 64), *c = to_device<float>(nullptr, 64);
  void *workspace = to_device<char>(nullptr, 8192);
  const cublasOperation_t N = CUBLAS_OP_N, T = CUBLAS_OP_T;
  STATUS(cublasSgemm(nullptr, N, N, 4, 4, 4, &one, a, 4, b, 4, &zero, c, 4), CUBLAS_STATUS_NOT_INITIALIZED);
  cuemu_fail("cublas", 1, nullptr);
  STATUS(cublasCreate(&blas), CUBLAS_STATUS_ALLOC_FAILED);
  STATUS(cublasCreate(&blas), CUBLAS_STATUS_SUCCESS);
  STATUS(cublasSetWorkspace(blas, workspace, 8192), CUBLAS_STATUS_SUCCESS);
  STATUS(cublasSetWorkspace(blas, (char *)workspace + 16, 1024), CUBLAS_STATUS_INVALID_VALUE);
  STATUS(cublasSgemm(blas, N, N, 4, 5, 6, &one, a, 4, b, 6, &zero, c, 4), CUBLAS_STATUS_SUCCESS);
  STATUS(cublasSgemm(blas, N, N, 4, 5, 6, &one, a, 3, b, 6, &zero, c, 4), CUBLAS_STATUS_INVALID_VALUE);
  STATUS(cublasSgemm(blas, N, N, 4, 5, 6, &one, a, 4, b, 5, &zero, c, 4), CUBLAS_STATUS_INVALID_VALUE);
  STATUS(cublasSgemm(blas, N, N, 4, 5, 6, &one, a, 4, b, 6, &zero, c, 3), CUBLAS_STATUS_INVALID_VALUE);
  STATUS(cublasSgemm(blas, T, N, 4, 5, 6, &one, a, 4, b, 6, &zero, c, 4), CUBLAS_STATUS_INVALID_VALUE);
  STATUS(cublasSgemm(blas, N, T, 4, 5, 6, &one, a, 4, b, 4, &zero, c, 4), CUBLAS_STATUS_INVALID_VALUE);
  STATUS(cublasSgemm(blas, N, N, -1, 5, 6, &one, a, 4, b, 6, &zero, c, 4), CUBLAS_STATUS_INVALID_VALUE);
  STATUS(cublasSgemm(blas, N, N, 4, 5, 6, nullptr, a, 4, b, 6, &zero, c, 4), CUBLAS_STATUS_INVALID_VALUE);
  STATUS(cublasSgemm(blas, N, N, 0, 5, 6, &one, a, 4, b, 6, &zero, c, 4), CUBLAS_STATUS_SUCCESS);
  cuemu_fail("cublas", 1, nullptr);
  STATUS(cublasSgemm(blas, N, N, 4, 5, 6, &one, a, 4, b, 6, &zero, c, 4), CUBLAS_STATUS_EXECUTION_FAILED);
  STATUS(cublasDestroy(blas), CUBLAS_STATUS_SUCCESS);
  STATUS(cublasDestroy(blas), CUBLAS_STATUS_NOT_INITIALIZED);
  cudaFree(a);
  cudaFree(b);
  cudaFree(c);
  cudaFree(workspace);
}

static void product_outside() {
  const float one = 1, zero = 0;
  float *a = to_device<float>(nullptr, 16), *b = to_device<float>(nullptr, 16), *c = to_device<float>(nullptr, 15);
  cublasCreate(&blas);
  cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, a, 4, b, 4, &zero, c, 4);
}

static void product_in_place() {
  const float one = 1, zero = 0;
  float *a = to_device<float>(nullptr, 16), *b = to_device<float>(nullptr, 16);
  cublasCreate(&blas);
  cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, a, 4, b, 4, &zero, a, 4);
}

// A product in a graph takes its scalars when it is captured, and runs when it is replayed.
static void product_in_graph() {
  float one = 1, zero = 0, x = 3, got;
  cudaStream_t s;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
  cublasCreate(&blas);
  cublasSetStream(blas, s);
  float *a = to_device(&x, 1), *c = to_device<float>(nullptr, 1);
  cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
  REQUIRE(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a, 1, &zero, c, 1) ==
          CUBLAS_STATUS_INTERNAL_ERROR); // its first
  REQUIRE(cudaStreamEndCapture(s, &graph) == cudaSuccess);
  cudaGraphDestroy(graph);
  cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a, 1, &zero, c, 1);
  cudaStreamSynchronize(s);
  cudaMemset(c, 0, 4);
  cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
  REQUIRE(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a, 1, &zero, c, 1) == CUBLAS_STATUS_SUCCESS);
  REQUIRE(cudaStreamEndCapture(s, &graph) == cudaSuccess);
  one = 100;
  from_device(&got, c, 1);
  if (got != 0) wrong();
  cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphLaunch(exec, s);
  cudaStreamSynchronize(s);
  from_device(&got, c, 1);
  if (got != 9) wrong();
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cublasDestroy(blas);
  cudaStreamDestroy(s);
  cudaFree(a);
  cudaFree(c);
}

// Two streams write one product's place.
static void products_race() {
  const float one = 1, zero = 0;
  float x[2] = {1, 2}, got;
  cuemu_set_streams("lazy");
  float *a = to_device(x, 2), *c = to_device<float>(nullptr, 1);
  cudaStream_t s[2];
  cublasHandle_t handle[2];
  for (int i = 0; i < 2; i++) {
    cudaStreamCreateWithFlags(&s[i], cudaStreamNonBlocking);
    cublasCreate(&handle[i]);
    cublasSetStream(handle[i], s[i]);
    cublasSgemm(handle[i], CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a + i, 1, a + i, 1, &zero, c, 1);
  }
  cudaDeviceSynchronize();
  from_device(&got, c, 1);
  for (int i = 0; i < 2; i++) {
    cublasDestroy(handle[i]);
    cudaStreamDestroy(s[i]);
  }
  cudaFree(a);
  cudaFree(c);
  if (got != 4) wrong(); // the second one's
}

// ---- cuRAND
static __global__ void draw(unsigned *out, unsigned long long seed, int n) {
  const int block = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (block >= n) return;
  curandStatePhilox4_32_10_t state;
  curand_init(seed, (unsigned long long)block % 65536, 4ull * ((unsigned long long)block / 65536), &state);
  const uint4 words = curand4(&state);
  out[4 * block] = words.x;
  out[4 * block + 1] = words.y;
  out[4 * block + 2] = words.z;
  out[4 * block + 3] = words.w;
}

static bool same(uint4 a, unsigned x, unsigned y, unsigned z, unsigned w) {
  return a.x == x && a.y == y && a.z == z && a.w == w;
}

static void test_curand() {
  const unsigned f = 0xffffffffu;
  check(same(curand_Philox4x32_10(make_uint4(0, 0, 0, 0), make_uint2(0, 0)), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c,
             0x9b00dbd8) &&
            same(curand_Philox4x32_10(make_uint4(f, f, f, f), make_uint2(f, f)), 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
                 0x6d5451fd) &&
            same(curand_Philox4x32_10(make_uint4(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344),
                                      make_uint2(0xa4093822, 0x299f31d0)),
                 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1),
        "cuRAND: Philox4x32-10 as in Random123's vectors");

  curandStatePhilox4_32_10_t one, four, far;
  unsigned words[16];
  curand_init(77, 5, 3, &one);
  for (unsigned &w : words) w = curand(&one);
  bool right = true;
  curand_init(77, 5, 3, &four); // begins within a block
  for (int i = 0; i < 16; i += 4) right &= same(curand4(&four), words[i], words[i + 1], words[i + 2], words[i + 3]);
  curand_init(77, 5, 12, &far);
  right &= curand(&far) == words[9];
  curand_init(1, 0xffffffffull, 4 * 0xffffffffull, &one); // carries from word to word of the counter
  curand4(&one);
  right &= one.ctr.x == 0 && one.ctr.y == 1 && one.ctr.z == 0xffffffffu && one.ctr.w == 0;
  check(right, "cuRAND: curand, curand4 and offsets agree");
}

// The host generator's word n is lane n mod 4 of block n div 4, which is offset j div 65536 of subsequence j mod 65536.
static void test_host_generator() {
  const char *name = "cuRAND: the device's words are those of the real library's host generator";
  void *lib = dlopen("libcurand.so.10", RTLD_NOW | RTLD_LOCAL);
  if (!lib) lib = dlopen("/usr/local/cuda/lib64/libcurand.so.10", RTLD_NOW | RTLD_LOCAL);
  if (!lib) return skip("libcurand is not installed", name);
  typedef int create_fn(void **generator, int type);
  typedef int seed_fn(void *generator, unsigned long long seed);
  typedef int generate_fn(void *generator, unsigned *words, size_t n);
  create_fn *create = (create_fn *)dlsym(lib, "curandCreateGeneratorHost");
  seed_fn *seed = (seed_fn *)dlsym(lib, "curandSetPseudoRandomGeneratorSeed");
  generate_fn *generate = (generate_fn *)dlsym(lib, "curandGenerate");
  typedef int destroy_fn(void *generator);
  destroy_fn *destroy = (destroy_fn *)dlsym(lib, "curandDestroyGenerator");
  const int blocks = 70000; // more than the subsequences
  std::vector<unsigned> want((size_t)blocks * 4), got((size_t)blocks * 4);
  void *generator = nullptr;
  if (!create || !seed || !generate || !destroy || create(&generator, 161)) // CURAND_RNG_PSEUDO_PHILOX4_32_10
    return skip("libcurand's host generator does not start", name);
  const unsigned long long key = 0x123456789abcdefull;
  if (seed(generator, key) || generate(generator, want.data(), want.size())) return check(false, "%s: it fails", name);
  destroy(generator);
  unsigned *out = to_device<unsigned>(nullptr, got.size());
  DUEL_START(draw, (blocks + 255) / 256, 256, 0, 0, out, key, blocks);
  from_device(got.data(), out, got.size());
  cudaFree(out);
  check(got == want, "%s", name);
}

void test_libraries() {
  clean("cuBLAS: products of all kinds, exact", products);
  clean("cuBLAS: factors rounded as asked", rounded_factors);
  clean("cuBLAS: two orders of float32 sums", orders_of_sums);
  dies("cuBLAS: a handle of another device", handle_of_another_device, "a handle of device 0 is used while device 1");
  clean("cuBLAS: arguments give cuBLAS's errors", blas_arguments);
  clean("cuBLAS: a product in a graph", product_in_graph);
  dies("cuBLAS: a product that leaves its memory", product_outside, "reaches outside of device memory");
  dies("cuBLAS: a product onto its own factor", product_in_place, "C overlaps a factor");
  differs("cuBLAS: products that race", products_race);
  test_curand();
  if (WITH_TSAN)
    skip("a million threads are too many for TSan", "cuRAND: against the real library");
  else
    test_host_generator();
}
