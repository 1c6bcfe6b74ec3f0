// What bench/cuda_table.py needs to know of a GPU and cannot compute: the time of a kernel in a CUDA graph, of a fork
// and its join, of a step's matrix products alone, and what copies reach. In at most 15 seconds.
//
//   cuda_probe [--products FILE] [--json FILE] [--quick]
//
// Everything is captured and replayed, as a step is. A time is the slope between a short and a long graph, so that the
// fixed cost of a launch drops out; a graph's time is the median of its replays, by events. Products go through
// src/cuda/blas.cu itself, with a lane as backend.cu opens it. --quick does little, to prove the program: its numbers
// mean nothing, as all of the emulator's, where it is the default.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "cuda/backend.h"
#include "cuda/launch.cuh"

namespace {

enum { USAGE = 2, FILES = 4, DEVICE = 5 }; // exit codes, as duel's

struct product { // a line of the list
  char recipe[32];
  int batch, times;
  duel_gemm g;
};

struct timed { // a product in one precision
  const product *of;
  duel_precision precision;
  double us;
};

struct results {
  cudaDeviceProp device;
  int driver, runtime, cublas;
  double node, dependent, wide, fixed, host, host_line, host_forked, group, line;
  double kernel_dram, kernel_l2, memcpy_dram, memcpy_l2, upload, download; // bytes a second
  std::vector<timed> products;
  size_t left_out;
};

const char *const precisions[] = {"fp32", "tf32", "bf16"}; // by duel_precision
constexpr double MOST_SECONDS = 13;                        // then no further product begins
constexpr double QUICK_FLOPS = 3e7;                        // of a product, at most
constexpr int WIDE = 132;                                  // blocks: one on each SM of an H100
#ifdef DUEL_EMULATED
bool quick = true;
#else
bool quick = false;
#endif
duel_lane lane[DUEL_MOST_LANES];
cudaEvent_t forked, joined[DUEL_MOST_LANES], begun, ended;

// ---- failing
__attribute__((format(printf, 2, 3), noreturn)) void die(int code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fputs("cuda_probe: error: ", stderr);
  vfprintf(stderr, fmt, args);
  fputs("\n", stderr);
  va_end(args);
  exit(code);
}

const char *advice_of(cudaError_t error) {
  switch (error) {
  case cudaErrorNoDevice:
    return "no NVIDIA GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES";
  case cudaErrorInsufficientDriver:
    return "the NVIDIA driver is missing or too old for this build: update it, or build with an older toolkit";
  case cudaErrorNoKernelImageForDevice:
  case cudaErrorInvalidDeviceFunction:
    return "this build has no code for this GPU: build it on this machine";
  case cudaErrorMemoryAllocation:
    return "the GPU is out of memory: end what else runs on it (nvidia-smi); 2 GiB are enough";
  default:
    return "end what else runs on this GPU (nvidia-smi) and try again";
  }
}

void must(cudaError_t error, const char *what) {
  if (error != cudaSuccess)
    die(DEVICE, "%s: %s (%s); %s", what, cudaGetErrorString(error), cudaGetErrorName(error), advice_of(error));
}

void must(cublasStatus_t status, const char *what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    die(DEVICE, "%s: cuBLAS says %s; take the cuBLAS that came with the toolkit of this build", what,
        cublasGetStatusString(status));
}

} // namespace

// What src/cuda/blas.cu and launch.cuh leave to backend.cu and to core.
duel_status duel_cuda_fail(cudaError_t error, const char *what) {
  must(error, what);
  return DUEL_ERR_DEVICE;
}
duel_status duel_cuda_fail_blas(cublasStatus_t status, const char *what) {
  must(status, what);
  return DUEL_ERR_DEVICE;
}
void duel_cuda_launched(duel_lane *, const char *kernel) {
  must(cudaPeekAtLastError(), kernel);
}
extern "C" duel_status duel_fail(duel_status, const char *fmt, ...) {
  char text[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  die(DEVICE, "%s", text);
}

// ---- kernels
static __global__ void empty(float *) {}

// Each thread's number is what the kernel before it left.
static __global__ void increment(float *x) {
  x[duel_first()] += 1.0f;
}

// dst = src of n vectors, `passes` times, each pass reading another part, so that L1 caches do not serve it.
static __global__ void copy_kernel(const float4 *__restrict__ src, float4 *__restrict__ dst, int64_t n, int passes) {
  for (int64_t pass = 0, shift = 0; pass < passes; pass++, shift = (shift + 3 * duel_stride()) % n)
    for (int64_t i = duel_first(); i < n; i += duel_stride()) {
      const int64_t from = i + shift;
      dst[i] = src[from < n ? from : from - n];
    }
}

// Numbers like activations: of both signs, none so small that units rest.
static __global__ void fill_kernel(float *x, int64_t n) {
  for (int64_t i = duel_first(); i < n; i += duel_stride())
    x[i] = (float)((uint32_t)i * 2654435761u >> 16) / 32768.0f - 0.99f;
}

namespace {

// ---- timing
double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

struct replays { // of a graph, medians
  double us, host_us;
};

// What enqueue() puts on lane 0, captured once and replayed.
template <class F> replays replay(F enqueue) {
  cudaStream_t stream = lane[0].stream;
  cudaGraph_t graph = NULL;
  cudaGraphExec_t exec = NULL;
  must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "capturing");
  enqueue();
  must(cudaStreamEndCapture(stream, &graph), "capturing");
  must(cudaGraphInstantiate(&exec, graph, 0), "instantiating");
  must(cudaGraphUpload(exec, stream), "uploading a graph");
  std::vector<double> device, host;
  for (int i = 0; i < (quick ? 4 : 8); i++) {
    float ms = 0;
    must(cudaStreamSynchronize(stream), "a replay");
    must(cudaEventRecord(begun, stream), "a replay");
    const double start = seconds();
    must(cudaGraphLaunch(exec, stream), "a replay");
    const double launched = seconds();
    must(cudaEventRecord(ended, stream), "a replay");
    must(cudaEventSynchronize(ended), "a replay");
    must(cudaEventElapsedTime(&ms, begun, ended), "a replay");
    if (i == 0) continue; // warms up
    device.push_back(1e3 * (double)ms);
    host.push_back(1e6 * (launched - start));
  }
  must(cudaGraphExecDestroy(exec), "a replay");
  must(cudaGraphDestroy(graph), "a replay");
  return {median(device), median(host)};
}

// Microseconds that one more of what enqueue(n) does n times takes.
template <class F> double slope(const char *what, int few, int many, F enqueue) {
  for (int attempt = 0; attempt < 5; attempt++) {
    const double shorter = replay([&] { enqueue(few); }).us, longer = replay([&] { enqueue(many); }).us;
    if (longer > shorter) return (longer - shorter) / (many - few);
  }
  die(DEVICE, "%s: %d take no longer than %d; end what else runs on this GPU (nvidia-smi) and try again", what, many,
      few);
}

// ---- nodes and forks
void increments(duel_lane *on, int n, int blocks, float *x) {
  for (int i = 0; i < n; i++) DUEL_LAUNCH(on, increment, blocks, DUEL_BLOCK, 0, x);
}

// As enqueue_group of program.cu: lane 0 forks, each lane has a kernel, and lane 0 waits for all.
void forks(int groups, float *x) {
  for (int g = 0; g < groups; g++) {
    must(cudaEventRecord(forked, lane[0].stream), "forking");
    for (int i = 1; i < DUEL_MOST_LANES; i++) must(cudaStreamWaitEvent(lane[i].stream, forked, 0), "forking");
    for (int i = 0; i < DUEL_MOST_LANES; i++) increments(&lane[i], 1, 1, x + i * DUEL_BLOCK);
    for (int i = 1; i < DUEL_MOST_LANES; i++) {
      must(cudaEventRecord(joined[i], lane[i].stream), "joining");
      must(cudaStreamWaitEvent(lane[0].stream, joined[i], 0), "joining");
    }
  }
}

void measure_nodes(results *r) {
  const int few = quick ? 4 : 60, many = quick ? 40 : 300, groups = quick ? 10 : 75;
  float *x = NULL;
  must(cudaMalloc(&x, WIDE * DUEL_BLOCK * sizeof *x), "memory of the nodes");
  must(cudaMemsetAsync(x, 0, WIDE * DUEL_BLOCK * sizeof *x, lane[0].stream), "memory of the nodes");
  const auto empties = [&](int n) {
    for (int i = 0; i < n; i++) DUEL_LAUNCH(&lane[0], empty, 1, DUEL_BLOCK, 0, x);
  };
  r->node = slope("empty kernels", few, many, empties);
  r->dependent = slope("dependent kernels", few, many, [&](int n) { increments(&lane[0], n, 1, x); });
  r->wide = slope("wide kernels", few, many, [&](int n) { increments(&lane[0], n, WIDE, x); });
  r->fixed = replay([&] { empties(1); }).us;
  r->host = replay([&] { increments(&lane[0], many, 1, x); }).host_us;
  r->host_line = r->host / many;
  r->host_forked = replay([&] { forks(groups, x); }).host_us / (groups * DUEL_MOST_LANES);
  r->group = slope("forks", quick ? 2 : 15, groups, [&](int n) { forks(n, x); });
  r->line = slope("kernels in a line", few, many, [&](int n) { increments(&lane[0], n, 1, x); }) * DUEL_MOST_LANES;
  must(cudaFree(x), "memory of the nodes");
}

// ---- copies: bytes read and written a second
double copied(double bytes, double us) {
  return 2 * bytes / (1e-6 * us);
}

void measure_copies(results *r) {
  const size_t dram = quick ? (size_t)1 << 19 : (size_t)512 << 20, l2 = quick ? (size_t)1 << 18 : (size_t)8 << 20;
  const size_t host_bytes = quick ? (size_t)1 << 18 : (size_t)64 << 20;
  const unsigned blocks = quick ? 2 : (unsigned)r->device.multiProcessorCount * 8;
  void *src = NULL, *dst = NULL, *host = NULL;
  must(cudaMalloc(&src, dram), "memory of the copies");
  must(cudaMalloc(&dst, dram), "memory of the copies");
  must(cudaMallocHost(&host, host_bytes), "pinned memory");
  memset(host, 1, host_bytes);
  must(cudaMemsetAsync(src, 1, dram, lane[0].stream), "memory of the copies");
  must(cudaMemsetAsync(dst, 1, dram, lane[0].stream), "memory of the copies");
  const auto by_kernel = [&](size_t bytes, int few, int many) {
    return copied((double)bytes, slope("copies", few, many, [&](int n) {
                    DUEL_LAUNCH(&lane[0], copy_kernel, blocks, DUEL_BLOCK, 0, (const float4 *)src, (float4 *)dst,
                                (int64_t)(bytes / sizeof(float4)), n);
                  }));
  };
  const auto by_memcpy = [&](void *to, const void *from, size_t bytes, cudaMemcpyKind kind, int few, int many) {
    return copied((double)bytes, slope("copies", few, many, [&](int n) {
                    for (int i = 0; i < n; i++) must(cudaMemcpyAsync(to, from, bytes, kind, lane[0].stream), "a copy");
                  }));
  };
  r->kernel_dram = by_kernel(dram, 1, 5);
  r->kernel_l2 = by_kernel(l2, 4, quick ? 8 : 44);
  r->memcpy_dram = by_memcpy(dst, src, dram, cudaMemcpyDeviceToDevice, 1, 5);
  r->memcpy_l2 = by_memcpy(dst, src, l2, cudaMemcpyDeviceToDevice, 4, quick ? 40 : 44);
  r->upload = by_memcpy(dst, host, host_bytes, cudaMemcpyHostToDevice, 1, quick ? 9 : 5) / 2; // one way
  r->download = by_memcpy(host, dst, host_bytes, cudaMemcpyDeviceToHost, 1, quick ? 9 : 5) / 2;
  must(cudaFreeHost(host), "pinned memory");
  must(cudaFree(dst), "memory of the copies");
  must(cudaFree(src), "memory of the copies");
}

// ---- products
double flops_of(const product &p) {
  return 2.0 * (double)p.g.m * (double)p.g.n * (double)p.g.k * (double)p.g.batch;
}

std::vector<product> read_products(const char *path) {
  FILE *f = fopen(path, "r");
  if (!f) die(FILES, "%s cannot be read; bench/cuda_table.py --products writes it", path);
  std::vector<product> list;
  char line[512];
  for (int number = 1; fgets(line, sizeof line, f); number++) {
    if (line[0] == '#' || line[0] == '\n') continue;
    long long v[13];
    int ta, tb;
    product p = product();
    const int got =
        sscanf(line, "%31s %d %lld %lld %lld %d %d %lld %lld %lld %lld %lld %lld %lld %lld %d", p.recipe, &p.batch,
               &v[0], &v[1], &v[2], &ta, &tb, &v[3], &v[4], &v[5], &v[6], &v[7], &v[8], &v[9], &v[10], &p.times);
    const bool sizes = got == 16 && *std::min_element(v, v + 7) > 0 && *std::min_element(v + 7, v + 11) >= 0;
    if (!sizes || v[3] < (ta ? v[0] : v[2]) || v[4] < (tb ? v[2] : v[1]) || v[5] < v[1] || p.times < 1)
      die(FILES, "%s:%d: no product; bench/cuda_table.py --products writes the list anew", path, number);
    p.g = {v[0], v[1], v[2], NULL, NULL, NULL, ta != 0, tb != 0, v[10] != 0, v[6], v[7], v[8], v[9], v[3], v[4], v[5]};
    if (!quick || (p.batch == 64 && flops_of(p) <= QUICK_FLOPS)) list.push_back(p);
  }
  fclose(f);
  if (list.empty()) die(FILES, "%s has no products; bench/cuda_table.py --products writes the list anew", path);
  return list;
}

// Elements from a matrix's first to its last, repeats included.
int64_t reach(int64_t rows, int64_t cols, int64_t ld, int64_t stride, int64_t batch) {
  return (batch - 1) * stride + (rows - 1) * ld + cols;
}

float *numbers(int64_t n) {
  float *x = NULL;
  must(cudaMalloc(&x, (size_t)n * sizeof *x), "memory of the products");
  DUEL_LAUNCH(&lane[0], fill_kernel, duel_blocks(n, DUEL_BLOCK), DUEL_BLOCK, 0, x, n);
  return x;
}

void measure_products(results *r, std::vector<product> *list, double began) {
  int64_t most[3] = {1, 1, 1};
  for (const product &p : *list) {
    const duel_gemm &g = p.g;
    most[0] = std::max(most[0], reach(g.trans_a ? g.k : g.m, g.trans_a ? g.m : g.k, g.lda, g.stride_a, g.batch));
    most[1] = std::max(most[1], reach(g.trans_b ? g.n : g.k, g.trans_b ? g.k : g.n, g.ldb, g.stride_b, g.batch));
    most[2] = std::max(most[2], reach(g.m, g.n, g.ldc, g.stride_c, g.batch));
  }
  float *a = numbers(most[0]), *b = numbers(most[1]), *c = numbers(most[2]);
  for (const duel_precision precision : {DUEL_TF32, DUEL_FP32, DUEL_BF16_PRODUCTS}) // what matters most comes first
    for (product &p : *list) {
      if (!quick && seconds() - began > MOST_SECONDS) {
        r->left_out++;
        continue;
      }
      p.g.a = a, p.g.b = b, p.g.c = c;
      lane[0].precision = precision;
      const auto products = [&](int n) {
        for (int i = 0; i < n; i++) duel_cuda_gemm(&lane[0], &p.g);
      };
      products(1); // cuBLAS loads its kernels here, not in the capture
      r->products.push_back({&p, precision, slope("products", quick ? 1 : 4, quick ? 5 : 20, products)});
    }
  for (float *x : {a, b, c}) must(cudaFree(x), "memory of the products");
}

// ---- the device
void open_device(results *r) {
  int devices = 0;
  must(cudaGetDeviceCount(&devices), "looking for a GPU");
  must(devices > 0 ? cudaSuccess : cudaErrorNoDevice, "looking for a GPU");
  must(cudaSetDevice(0), "choosing the GPU");
  must(cudaGetDeviceProperties(&r->device, 0), "the device");
  must(cudaRuntimeGetVersion(&r->runtime), "the runtime");
  must(cudaDriverGetVersion(&r->driver), "the driver");
  cudaFuncAttributes attributes;
  must(cudaFuncGetAttributes(&attributes, (const void *)increment), "looking for this GPU's code");
  const size_t workspace = duel_cuda_workspace(r->device.major);
  for (int i = 0; i < DUEL_MOST_LANES; i++) {
    must(cudaStreamCreateWithFlags(&lane[i].stream, cudaStreamNonBlocking), "a stream");
    must(cudaEventCreateWithFlags(&joined[i], cudaEventDisableTiming), "an event");
  }
  must(cublasCreate(&lane[0].blas), "opening cuBLAS");
  must(cublasSetStream(lane[0].blas, lane[0].stream), "opening cuBLAS");
  must(cudaMalloc(&lane[0].workspace, workspace), "cuBLAS's workspace");
  must(cublasSetWorkspace(lane[0].blas, lane[0].workspace, workspace), "cuBLAS's workspace");
  must(cublasGetVersion(lane[0].blas, &r->cublas), "opening cuBLAS");
  must(cudaEventCreateWithFlags(&forked, cudaEventDisableTiming), "an event");
  must(cudaEventCreate(&begun), "an event");
  must(cudaEventCreate(&ended), "an event");
}

void close_device() {
  must(cublasDestroy(lane[0].blas), "closing");
  must(cudaFree(lane[0].workspace), "closing");
  for (int i = 0; i < DUEL_MOST_LANES; i++) {
    must(cudaEventDestroy(joined[i]), "closing");
    must(cudaStreamDestroy(lane[i].stream), "closing");
  }
  for (cudaEvent_t event : {forked, begun, ended}) must(cudaEventDestroy(event), "closing");
}

// ---- results
struct number {
  const char *key;
  double value;
  const char *meaning;
};

std::vector<number> numbers_of(const results &r) {
  return {{"node_us", r.node, "an empty kernel in a line"},
          {"node_dependent_us", r.dependent, "one that reads and writes what the one before wrote"},
          {"node_wide_us", r.wide, "the same with 132 blocks"},
          {"launch_fixed_us", r.fixed, "a graph of one empty kernel, between two events"},
          {"launch_host_us", r.host, "the host's time to launch the long line"},
          {"launch_host_us_per_node", r.host_line, "of which a node"},
          {"launch_host_forked_us_per_node", r.host_forked, "in a graph of forks"},
          {"fork_group_us", r.group, "a fork into 4 streams, a dependent kernel on each, the join"},
          {"fork_line_us", r.line, "the same 4 kernels in a line"},
          {"fork_join_us", std::max(r.group - r.dependent, 1e-3), "a fork and its join: the group without one kernel"},
          {"copy_dram_tb_s", 1e-12 * r.kernel_dram, "by a kernel, 512 MiB, read + written"},
          {"copy_l2_tb_s", 1e-12 * r.kernel_l2, "by a kernel, 8 MiB"},
          {"memcpy_dram_tb_s", 1e-12 * r.memcpy_dram, "by cudaMemcpyAsync, 512 MiB"},
          {"memcpy_l2_tb_s", 1e-12 * r.memcpy_l2, "by cudaMemcpyAsync, 8 MiB, a node each"},
          {"upload_gb_s", 1e-9 * r.upload, "from pinned memory"},
          {"download_gb_s", 1e-9 * r.download, "into pinned memory"}};
}

struct sum { // of a step's products
  std::string key;
  double us, flops;
  size_t left_out;
};

// By recipe, batch and precision, in the order of the list.
std::vector<sum> sums_of(const results &r, const std::vector<product> &list) {
  std::vector<sum> sums;
  for (const timed &t : r.products) {
    const std::string key =
        std::string(t.of->recipe) + " " + std::to_string(t.of->batch) + " " + precisions[t.precision];
    sum *s = NULL;
    for (sum &known : sums)
      if (known.key == key) s = &known;
    if (!s) {
      sums.push_back({key, 0, 0, 0});
      s = &sums.back();
      for (const product &p : list) s->left_out += p.batch == t.of->batch && !strcmp(p.recipe, t.of->recipe);
    }
    s->us += t.us * t.of->times;
    s->flops += flops_of(*t.of) * t.of->times;
    s->left_out--;
  }
  sums.erase(std::remove_if(sums.begin(), sums.end(), [](const sum &s) { return s.left_out > 0; }), sums.end());
  return sums;
}

std::string version(int v) { // of CUDA
  return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10);
}

void print_table(const results &r, const std::vector<sum> &sums) {
  printf("%s, sm_%d%d, %d SMs, driver for CUDA %s, runtime %s, cuBLAS %d%s\n\n", r.device.name, r.device.major,
         r.device.minor, r.device.multiProcessorCount, version(r.driver).c_str(), version(r.runtime).c_str(), r.cublas,
         quick ? "; quick: these numbers mean nothing" : "");
  for (const number &n : numbers_of(r)) printf("%-31s %10.3f  %s\n", n.key, n.value, n.meaning);
  printf("\n%-8s %5s  %-9s %7s %7s %7s  %-5s %5s %5s %6s %5s %9s %8s\n", "recipe", "batch", "precision", "m", "n", "k",
         "trans", "lda", "ldb", "count", "times", "us", "TFLOP/s");
  for (const timed &t : r.products) {
    const duel_gemm &g = t.of->g;
    printf("%-8s %5d  %-9s %7lld %7lld %7lld  %c%c    %5lld %5lld %6lld %5d %9.2f %8.2f\n", t.of->recipe, t.of->batch,
           precisions[t.precision], (long long)g.m, (long long)g.n, (long long)g.k, g.trans_a ? 'T' : 'N',
           g.trans_b ? 'T' : 'N', (long long)g.lda, (long long)g.ldb, (long long)g.batch, t.of->times, t.us,
           1e-6 * flops_of(*t.of) / t.us);
  }
  printf("\n%-24s %9s %8s\n", "a step's products", "us", "TFLOP/s");
  for (const sum &s : sums) printf("%-24s %9.1f %8.2f\n", s.key.c_str(), s.us, 1e-6 * s.flops / s.us);
  if (r.left_out > 0) printf("%zu products are left out, since no time was left\n", r.left_out);
}

void write_json(const results &r, const std::vector<sum> &sums, const char *path) {
  FILE *f = fopen(path, "w");
  if (!f) die(FILES, "%s cannot be written; name a file in a folder that is there", path);
  std::string name;
  for (const char *c = r.device.name; *c; c++)
    if (*c >= ' ' && *c != '"' && *c != '\\') name += *c;
  fprintf(f, "{\n \"device\": \"%s\",\n \"sm\": \"sm_%d%d\",\n \"sms\": %d,\n", name.c_str(), r.device.major,
          r.device.minor, r.device.multiProcessorCount);
  fprintf(f, " \"driver\": \"%s\",\n \"runtime\": \"%s\",\n \"cublas\": %d,\n \"quick\": %s,\n",
          version(r.driver).c_str(), version(r.runtime).c_str(), r.cublas, quick ? "true" : "false");
  for (const number &n : numbers_of(r)) fprintf(f, " \"%s\": %.6g,\n", n.key, n.value);
  fprintf(f, " \"products_left_out\": %zu,\n \"products_us\": {", r.left_out);
  for (size_t i = 0; i < sums.size(); i++)
    fprintf(f, "%s\n  \"%s\": %.6g", i ? "," : "", sums[i].key.c_str(), sums[i].us);
  fprintf(f, "\n },\n \"products\": [");
  for (size_t i = 0; i < r.products.size(); i++) {
    const timed &t = r.products[i];
    const duel_gemm &g = t.of->g;
    fprintf(f, "%s\n  {\"recipe\": \"%s\", \"batch\": %d, \"precision\": \"%s\", ", i ? "," : "", t.of->recipe,
            t.of->batch, precisions[t.precision]);
    fprintf(f, "\"m\": %lld, \"n\": %lld, \"k\": %lld, \"ta\": %d, \"tb\": %d, \"lda\": %lld, \"ldb\": %lld, ",
            (long long)g.m, (long long)g.n, (long long)g.k, g.trans_a, g.trans_b, (long long)g.lda, (long long)g.ldb);
    fprintf(f, "\"ldc\": %lld, \"count\": %lld, \"stride_a\": %lld, \"stride_b\": %lld, \"stride_c\": %lld, ",
            (long long)g.ldc, (long long)g.batch, (long long)g.stride_a, (long long)g.stride_b, (long long)g.stride_c);
    fprintf(f, "\"add\": %d, \"times\": %d, \"us\": %.6g, \"tflops\": %.6g}", g.add, t.of->times, t.us,
            1e-6 * flops_of(*t.of) / t.us);
  }
  fprintf(f, "\n ]\n}\n");
  if (ferror(f) | fclose(f)) die(FILES, "%s cannot be written; is there room on the disk?", path);
}

} // namespace

int main(int argc, char **argv) {
  const double began = seconds();
  const char *products = DUEL_PRODUCTS, *json = NULL;
  for (int i = 1; i < argc; i++) {
    const bool more = i + 1 < argc;
    if (!strcmp(argv[i], "--quick"))
      quick = true;
    else if (!strcmp(argv[i], "--products") && more)
      products = argv[++i];
    else if (!strcmp(argv[i], "--json") && more)
      json = argv[++i];
    else
      die(USAGE, "%s is not understood; usage: cuda_probe [--products FILE] [--json FILE] [--quick]", argv[i]);
  }
  results r = results();
  std::vector<product> list = read_products(products);
  open_device(&r);
  measure_nodes(&r);
  measure_copies(&r);
  measure_products(&r, &list, began);
  close_device();
  const std::vector<sum> sums = sums_of(r, list);
  print_table(r, sums);
  if (json) write_json(r, sums, json);
  return 0;
}
