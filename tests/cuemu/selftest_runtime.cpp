// The runtime as CUDA has it: errors, limits, memory, streams and events, counts and faults.
#include "selftest.h"

#include <stdlib.h>
#include <unistd.h>

static __global__ void add(float *x, float by) {
  x[threadIdx.x + threadIdx.z] += by;
}

static __global__ void add_shared(float *x, float by) {
  DUEL_SHARED_DYN(float, s);
  s[threadIdx.x] = by;
  x[threadIdx.x] += s[threadIdx.x];
}

static void launch_limits() {
  float *x = to_device<float>(nullptr, 1024);
  const struct {
    dim3 grid, block;
    size_t smem;
    cudaError_t error;
  } cases[] = {
      {1, 1024, 0, cudaSuccess},
      {1, 1025, 0, cudaErrorInvalidConfiguration},
      {1, 0, 0, cudaErrorInvalidConfiguration},
      {0, 32, 0, cudaErrorInvalidConfiguration},
      {1, dim3(32, 32, 2), 0, cudaErrorInvalidConfiguration},
      {1, dim3(1, 1, 65), 0, cudaErrorInvalidConfiguration},
      {1, dim3(1, 1, 64), 0, cudaSuccess},
      {dim3(1, 65536), 32, 0, cudaErrorInvalidConfiguration},
      {dim3(1, 1, 65536), 32, 0, cudaErrorInvalidConfiguration},
      {1, 32, 48 << 10, cudaSuccess},
      {1, 32, (48 << 10) + 1, cudaErrorInvalidValue},
  };
  for (const auto &c : cases) {
    DUEL_START(add, c.grid, c.block, c.smem, 0, x, 1.0f);
    EXPECT(cudaPeekAtLastError(), c.error);
    EXPECT(cudaGetLastError(), c.error);
    EXPECT(cudaGetLastError(), cudaSuccess); // not sticky
  }
  EXPECT(cudaFuncSetAttribute(add_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, (227 << 10) + 1),
         cudaErrorInvalidValue);
  EXPECT(cudaFuncSetAttribute(add_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10), cudaSuccess);
  cudaGetLastError();
  DUEL_START(add_shared, 1, 32, 227 << 10, 0, x, 1.0f);
  EXPECT(cudaGetLastError(), cudaSuccess);
  cudaFree(x);
}

static void memory_errors() {
  float *x = to_device<float>(nullptr, 10), host[11] = {}, *none = host;
  EXPECT(cudaMalloc(&none, 0), cudaSuccess);
  if (none) wrong();
  EXPECT(cudaFree(nullptr), cudaSuccess);
  EXPECT(cudaMemcpy(x, host, 0, cudaMemcpyHostToDevice), cudaSuccess);
  if ((uintptr_t)x % 256) wrong();
  freopen("/dev/null", "w", stderr); // each of these explains itself
  EXPECT(cudaFree(x + 1), cudaErrorInvalidValue);
  EXPECT(cudaMemcpy(x, host, 11 * sizeof *x, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT(cudaMemcpy(host, x + 5, 6 * sizeof *x, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT(cudaMemcpy(x, host, sizeof *x, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT(cudaMemcpy(host, x, sizeof *x, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT(cudaMemset(host, 0, sizeof host), cudaErrorInvalidValue);
  EXPECT(cudaMemcpy(host, x, 10 * sizeof *x, cudaMemcpyDefault), cudaSuccess);
  EXPECT(cudaStreamSynchronize((cudaStream_t)host), cudaErrorInvalidResourceHandle);
  cudaFree(x);
}

static void pinned_memory() {
  float *p = nullptr, *x = to_device<float>(nullptr, 32);
  EXPECT(cudaMallocHost(&p, 32 * sizeof *p), cudaSuccess);
  for (int i = 0; i < 32; i++) p[i] = (float)i;
  DUEL_START(add, 1, 32, 0, 0, p, 1.0f); // kernels may use it
  EXPECT(cudaDeviceSynchronize(), cudaSuccess);
  if (p[31] != 32) wrong();
  EXPECT(cudaMemcpy(x, p, 32 * sizeof *p, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT(cudaFreeHost(p), cudaSuccess);
  EXPECT(cudaFree(x), cudaSuccess);
}

static void events() {
  cuemu_set_streams("lazy");
  float *x = to_device<float>(nullptr, 32), got[32], ms = -1;
  cudaStream_t a, b;
  cudaEvent_t start, end;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
  cudaEventCreate(&start);
  cudaEventCreate(&end);
  EXPECT(cudaEventQuery(start), cudaSuccess); // never recorded
  EXPECT(cudaEventSynchronize(start), cudaSuccess);
  cudaEventRecord(start, a);
  cudaMemsetAsync(x, 0, 32 * sizeof *x, a);
  DUEL_START(add, 1, 32, 0, a, x, 1.0f);
  cudaEventRecord(end, a);
  EXPECT(cudaEventElapsedTime(&ms, start, end), cudaErrorNotReady);
  cudaGetLastError();
  EXPECT(cudaStreamWaitEvent(b, end, 0), cudaSuccess);
  DUEL_START(add, 1, 32, 0, b, x, 2.0f);
  EXPECT(cudaStreamQuery(b), cudaErrorNotReady);
  EXPECT(cudaGetLastError(), cudaErrorNotReady);
  EXPECT(cudaStreamSynchronize(b), cudaSuccess);
  EXPECT(cudaStreamQuery(b), cudaSuccess);
  EXPECT(cudaEventQuery(end), cudaSuccess);
  EXPECT(cudaEventElapsedTime(&ms, start, end), cudaSuccess);
  if (ms < 0) wrong();
  from_device(got, x, 32);
  if (got[7] != 3) wrong();
  int asked = 0;
  DUEL_START(add, 1, 32, 0, a, x, 1.0f);
  cudaEventRecord(end, a);
  while (cudaEventQuery(end) == cudaErrorNotReady && asked < 100) asked++;
  if (asked == 0 || asked == 100) wrong();
  cudaEventDestroy(start);
  cudaEventDestroy(end);
  cudaStreamDestroy(a);
  cudaStreamDestroy(b);
  cudaFree(x);
}

// Pageable memory is read within the call; the stream 0 waits for blocking streams, and they for it.
static void implicit_order() {
  cuemu_set_streams("lazy");
  float *x = to_device<float>(nullptr, 32), host[32], got[32];
  cudaStream_t s;
  cudaStreamCreate(&s);
  for (float &h : host) h = 5;
  cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, s);
  for (float &h : host) h = 6;
  DUEL_START(add, 1, 32, 0, 0, x, 1.0f);
  DUEL_START(add, 1, 32, 0, s, x, 2.0f);
  cudaMemcpyAsync(got, x, sizeof got, cudaMemcpyDeviceToHost, s); // to pageable memory: waits
  if (got[3] != 8) wrong();
  cudaStreamDestroy(s);
  cudaFree(x);
}

static void host_function(void *data) {
  ++*(int *)data;
}
static void host_functions() {
  int calls = 0;
  cuemu_set_streams("lazy");
  cudaLaunchHostFunc(0, host_function, &calls);
  if (calls != 0) wrong();
  cudaDeviceSynchronize();
  if (calls != 1) wrong();
}

static void counts() {
  float *x = to_device<float>(nullptr, 32), host[32];
  cuemu_reset_counts();
  DUEL_START(add, 1, 32, 0, 0, x, 1.0f);
  DUEL_START(add, 1, 32, 0, 0, x, 1.0f);
  cudaMemsetAsync(x, 0, 4);
  cudaDeviceSynchronize();
  if (cuemu_count("launch") != 2 || cuemu_count("kernels") != 2 || cuemu_count("copy") != 1) wrong();
  if (cuemu_count("sync") != 1 || cuemu_count("malloc") != 0 || cuemu_count("graph") != 0) wrong();
  cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost);
  if (cuemu_count("sync") != 2) wrong(); // pageable
  if (cuemu_bytes_in_use() != 256) wrong();
  cudaFree(x);
  if (cuemu_count("free") != 1 || cuemu_bytes_in_use() != 0) wrong();
}

static void faults() {
  float *x = nullptr;
  cuemu_fail("malloc", 2, nullptr);
  EXPECT(cudaMalloc(&x, 4), cudaSuccess);
  EXPECT(cudaFree(x), cudaSuccess);
  EXPECT(cudaMalloc(&x, 4), cudaErrorMemoryAllocation);
  EXPECT(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT(cudaMalloc(&x, 128), cudaSuccess);
  cuemu_fail("launch", 1, "forever");
  for (int i = 0; i < 3; i++) {
    DUEL_START(add, 1, 32, 0, 0, x, 1.0f);
    EXPECT(cudaGetLastError(), cudaErrorLaunchOutOfResources);
  }
  cuemu_fail(nullptr, 0, nullptr);
  DUEL_START(add, 1, 32, 0, 0, x, 1.0f);
  EXPECT(cudaGetLastError(), cudaSuccess);
  if (cuemu_fail("nonsense", 1, nullptr) || cuemu_fail("malloc", 1, "maybe")) wrong();
  cuemu_fail("any", 3, "sticky");
  EXPECT(cudaMemset(x, 0, 4), cudaSuccess);
  EXPECT(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT(cudaFree(x), cudaErrorIllegalAddress);
}

static void leaks() {
  setenv("CUEMU_LEAKS", "error", 1);
  to_device<float>(nullptr, 77);
}

static void no_device() {
  setenv("CUEMU_DEVICES", "0", 1);
  int n = 5;
  void *p;
  EXPECT(cudaGetDeviceCount(&n), cudaErrorNoDevice);
  EXPECT(cudaMalloc(&p, 4), cudaErrorNoDevice);
  if (n != 0) wrong();
}

static void old_driver() {
  setenv("CUEMU_DRIVER", "old", 1);
  int n = 5;
  EXPECT(cudaGetDeviceCount(&n), cudaErrorInsufficientDriver);
}

static void little_memory() {
  setenv("CUEMU_MEMORY", "1000000", 1);
  size_t left, all;
  float *x = nullptr, *y = nullptr;
  EXPECT(cudaMalloc(&x, 600000), cudaSuccess);
  EXPECT(cudaMalloc(&y, 600000), cudaErrorMemoryAllocation);
  EXPECT(cudaMemGetInfo(&left, &all), cudaSuccess);
  if (all != 1000000 || left > 400000) wrong();
  cudaFree(x);
  EXPECT(cudaMalloc(&y, 600000), cudaSuccess);
  cudaFree(y);
}

static void fault_by_environment() {
  setenv("CUEMU_FAIL", "copy:2:forever", 1);
  float *x = nullptr;
  EXPECT(cudaMalloc(&x, 4), cudaSuccess);
  EXPECT(cudaMemset(x, 0, 4), cudaSuccess);
  EXPECT(cudaMemset(x, 0, 4), cudaErrorUnknown);
  EXPECT(cudaMemset(x, 0, 4), cudaErrorUnknown);
  cudaFree(x);
}

static __global__ void nothing(int) {}

// Each with its capability; a launch needs code, and a stream of the current device.
static void several_devices() {
  int n;
  cudaDeviceProp prop;
  cudaFuncAttributes attributes;
  cudaStream_t s;
  REQUIRE(!cuemu_set_devices("9,x") && !cuemu_set_devices("-1") && cuemu_set_devices("9.0,7.5,7.0"));
  EXPECT(cudaGetDeviceCount(&n), cudaSuccess);
  EXPECT(cudaGetDeviceProperties(&prop, 1), cudaSuccess);
  if (n != 3 || prop.major != 7 || prop.minor != 5) wrong();
  EXPECT(cudaSetDevice(3), cudaErrorInvalidDevice);
  EXPECT(cudaSetDevice(2), cudaSuccess);
  EXPECT(cudaGetDevice(&n), cudaSuccess);
  if (n != 2) wrong();
  EXPECT(cudaFuncGetAttributes(&attributes, nothing), cudaErrorNoKernelImageForDevice);
  DUEL_START(nothing, 1, 1, 0, 0, 0);
  EXPECT(cudaGetLastError(), cudaErrorNoKernelImageForDevice);
  EXPECT(cudaSetDevice(1), cudaSuccess);
  EXPECT(cudaStreamCreate(&s), cudaSuccess);
  DUEL_START(nothing, 1, 1, 0, s, 0);
  EXPECT(cudaGetLastError(), cudaSuccess);
  EXPECT(cudaSetDevice(0), cudaSuccess);
  DUEL_START(nothing, 1, 1, 0, s, 0);
  EXPECT(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  EXPECT(cudaStreamDestroy(s), cudaSuccess);
}

static void device_facts() {
  cudaDeviceProp prop;
  cudaFuncAttributes attributes;
  int value = 0, version = 0;
  EXPECT(cudaGetDeviceProperties(&prop, 0), cudaSuccess);
  EXPECT(cudaGetDeviceProperties(&prop, 1), cudaErrorInvalidDevice);
  EXPECT(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  EXPECT(cudaFuncGetAttributes(&attributes, add), cudaSuccess);
  EXPECT(cudaDriverGetVersion(&version), cudaSuccess);
  if (value != 4 || strcmp(prop.name, "Emulated GPU") || version < CUDART_VERSION) wrong();
  if (strcmp(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation") ||
      strcmp(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory"))
    wrong();
}

void test_runtime() {
  clean("runtime: launch limits give CUDA's errors", launch_limits);
  clean("runtime: memory calls give CUDA's errors", memory_errors);
  clean("runtime: pinned memory", pinned_memory);
  clean("runtime: events and queries of lazy streams", events);
  clean("runtime: pageable copies and the stream 0 order themselves", implicit_order);
  clean("runtime: host functions", host_functions);
  clean("runtime: counts", counts);
  clean("runtime: faults once, forever and sticky", faults);
  clean("runtime: a fault asked for by the environment", fault_by_environment);
  clean("runtime: no device", no_device);
  clean("runtime: an old driver", old_driver);
  clean("runtime: little memory", little_memory);
  clean("runtime: facts of the device", device_facts);
  clean("runtime: several devices", several_devices);
  dies("runtime: memory that is never freed", leaks, "1 allocations are never freed: 308 bytes");
}
