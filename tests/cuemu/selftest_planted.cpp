// Planted bugs: each kernel here is wrong in one way, and must be found. The table in README.md lists them.
#include "selftest.h"

#include <vector>

enum bug {
  NONE,
  NO_BARRIER_AFTER_STORE,
  NO_BARRIER_IN_TREE,
  BARRIER_UNDER_CONDITION,
  RETURN_BEFORE_BARRIER,
  TWO_BARRIERS,
  READ_PAST_GLOBAL,
  WRITE_PAST_GLOBAL,
  WRITE_BEFORE_GLOBAL,
  READ_PAST_SHARED,
  WRITE_PAST_SHARED,
  SHARED_NOT_SET,
  CALLER_NOT_IN_MASK,
  MASKS_DIFFER,
  LANE_NOT_IN_MASK,
  LANE_EXITED,
  WARP_AT_TWO_PLACES,
  MISALIGNED
};

// The sum of x in one block of 256 threads.
template <bug BUG> static __global__ void sum(const float *__restrict__ x, float *__restrict__ out, int n) {
  DUEL_SHARED(float, s, 256);
  const int t = (int)threadIdx.x;
  float a = 0;
  if (BUG == RETURN_BEFORE_BARRIER && t >= n) return;
  for (int i = t; i < n + (BUG == READ_PAST_GLOBAL); i += 256) a += x[i];
  if (BUG == MISALIGNED) a += ((const float4 *)(x + 1))->x - x[1];
  if (BUG == WRITE_PAST_SHARED)
    s[t + 1] = a;
  else if (BUG != SHARED_NOT_SET || t != 77)
    s[t] = a;
  if (BUG == TWO_BARRIERS) {
    if (t < 128)
      __syncthreads();
    else
      __syncthreads();
  } else if (BUG != NO_BARRIER_AFTER_STORE) {
    __syncthreads();
  }
  for (int k = 128; k >= 32; k /= 2) {
    if (t < k) s[t] += s[t + k + (BUG == READ_PAST_SHARED && k == 128)];
    if (BUG == BARRIER_UNDER_CONDITION) {
      if (t < k) __syncthreads();
    } else if (BUG != NO_BARRIER_IN_TREE || k != 64) {
      __syncthreads();
    }
  }
  if (t >= 32 || (BUG == LANE_EXITED && t == 31)) return;
  float v = s[t];
  for (int k = 16; k > 0; k /= 2) {
    if (BUG == CALLER_NOT_IN_MASK)
      v += __shfl_down_sync(0x0000ffffu, v, (unsigned)k);
    else if (BUG == MASKS_DIFFER)
      v += __shfl_down_sync(t == 3 ? 0x7fffffffu : 0xffffffffu, v, (unsigned)k);
    else if (BUG == LANE_NOT_IN_MASK)
      v += __shfl_sync(t < 16 ? 0x0000ffffu : 0xffff0000u, v, 16);
    else if (BUG == WARP_AT_TWO_PLACES && t < 16)
      v += __shfl_xor_sync(0xffffffffu, v, k);
    else
      v += __shfl_xor_sync(0xffffffffu, v, k);
  }
  if (t == 0) out[BUG == WRITE_PAST_GLOBAL ? 3 : BUG == WRITE_BEFORE_GLOBAL ? -1 : 0] = v;
}

template <bug BUG, int N> static void planted() {
  float x[N], got[3], want = 0;
  for (int i = 0; i < N; i++) want += x[i] = (float)((i * 37) % 11 - 5);
  float *dx = to_device(x, N), *out = to_device<float>(nullptr, 3);
  DUEL_START((sum<BUG>), 1, 256, 0, 0, dx, out, N);
  from_device(got, out, 3);
  if (got[0] != want) wrong();
  cudaFree(dx);
  cudaFree(out);
}

// ---- memory
static __global__ void add_one(float *x, int n) {
  const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += 1;
}

struct wrapped {
  float *x;
  int n;
};
static __global__ void add_one_wrapped(wrapped w) {
  if ((int)threadIdx.x < w.n) w.x[threadIdx.x] += 1;
}

template <size_t N> static void host_reads() {
  float *x = to_device<float>(nullptr, N);
  const volatile float *seen = x;
  if (seen[N / 2] > 0) fprintf(stderr, "read\n");
}

template <size_t N> static void host_writes_after_launch() {
  float *x = to_device<float>(nullptr, N);
  cudaMemset(x, 0, N * sizeof *x);
  DUEL_START(add_one, 1, 32, 0, 0, x, 32);
  cudaDeviceSynchronize();
  *(volatile float *)x = 1;
}

static void freed_argument() {
  float *x = to_device<float>(nullptr, 64);
  cudaFree(x);
  DUEL_START(add_one, 1, 32, 0, 0, x, 32);
}

static void freed_in_structure() {
  float *x = to_device<float>(nullptr, 64);
  cudaFree(x);
  DUEL_START(add_one_wrapped, 1, 32, 0, 0, wrapped{x, 32});
}

static void freed_before_lazy_run() {
  cudaStream_t s;
  cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  float *x = to_device<float>(nullptr, 64);
  cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed);
  DUEL_START(add_one, 1, 32, 0, s, x, 32);
  cudaStreamEndCapture(s, &graph);
  cudaGraphInstantiate(&exec, graph, 0);
  cudaFree(x);
  cudaGraphLaunch(exec, s);
}

static void freed_twice() {
  float *x = to_device<float>(nullptr, 64);
  cudaFree(x);
  cudaFree(x);
}

static void host_pointer() {
  static float x[64];
  DUEL_START(add_one, 1, 32, 0, 0, x, 32);
}

static __global__ void read_twice_set_once(const float *x, float *y, int n) {
  const int i = (int)threadIdx.x;
  if (i < n) y[i] = x[i] > 0 || x[i] <= 0 ? x[i] : -1.0f; // NaN is neither
}

static void global_not_set() {
  float *x = to_device<float>(nullptr, 64), *y = to_device<float>(nullptr, 64), got[64];
  DUEL_START(read_twice_set_once, 1, 64, 0, 0, x, y, 64);
  from_device(got, y, 64);
  if (got[5] == -1.0f) wrong();
}

// ---- blocks and launches
static __global__ void blocks_race(float *x) {
  if (threadIdx.x == 0) x[0] = (float)blockIdx.x;
}

static void race_between_blocks() {
  float *x = to_device<float>(nullptr, 1), got;
  DUEL_START(blocks_race, 8, 32, 0, 0, x);
  from_device(&got, x, 1);
  cudaFree(x);
  if (got != 7) wrong(); // the forward order's
}

static __global__ void much_shared(float *x) {
  DUEL_SHARED(float, big, 12289);
  big[threadIdx.x] = 1;
  x[threadIdx.x] = big[threadIdx.x];
}

static void static_shared_limit() {
  float *x = to_device<float>(nullptr, 32);
  DUEL_START(much_shared, 1, 32, 0, 0, x);
}

static __global__ void uses_dynamic(float *x) {
  DUEL_SHARED_DYN(float, s);
  s[threadIdx.x] = 1;
  x[threadIdx.x] = s[threadIdx.x];
}

static void dynamic_not_given() {
  float *x = to_device<float>(nullptr, 32);
  DUEL_START(uses_dynamic, 1, 32, 0, 0, x);
}

static __attribute__((noinline)) float deep(int n, float *x) {
  volatile float room[4096];
  for (int i = 0; i < 4096; i++) room[i] = (float)i;
  return n > 0 ? deep(n - 1, x) + room[n] : room[4];
}
static __global__ void too_deep(float *x, int n) {
  x[0] = deep(n, x);
}

static void stack_overrun() {
  float *x = to_device<float>(nullptr, 1);
  DUEL_START(too_deep, 1, 1, 0, 0, x, 1000);
}

static void runtime_in_kernel_body(float *) {
  cudaDeviceSynchronize();
}
static void runtime_in_kernel() {
  float *x = to_device<float>(nullptr, 1);
  DUEL_START(runtime_in_kernel_body, 1, 1, 0, 0, x);
}

// ---- streams: the host or another stream does not wait
static void no_wait_for_copy() {
  cuemu_set_streams("lazy");
  float *pinned, *x = to_device<float>(nullptr, 64);
  cudaStream_t s;
  cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
  cudaMallocHost(&pinned, 64 * sizeof *pinned);
  pinned[0] = 0;
  cudaMemset(x, 0, 64 * sizeof *x);
  cudaDeviceSynchronize();
  DUEL_START(add_one, 1, 64, 0, s, x, 64);
  cudaMemcpyAsync(pinned, x, 64 * sizeof *x, cudaMemcpyDeviceToHost, s);
  if (pinned[0] != 1) wrong(); // cudaStreamSynchronize(s) is missing
}

static void source_reused_too_soon() {
  cuemu_set_streams("lazy");
  float *pinned, *x = to_device<float>(nullptr, 1), got;
  cudaStream_t s;
  cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
  cudaMallocHost(&pinned, sizeof *pinned);
  pinned[0] = 1;
  cudaMemcpyAsync(x, pinned, sizeof *x, cudaMemcpyHostToDevice, s);
  pinned[0] = 2; // the copy may not have read it yet
  cudaStreamSynchronize(s);
  from_device(&got, x, 1);
  if (got != 1) wrong();
}

static void no_wait_between_streams() {
  cuemu_set_streams("lazy");
  float *x = to_device<float>(nullptr, 64), got[64];
  cudaStream_t a, b;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
  cudaMemsetAsync(x, 0, 64 * sizeof *x, a);
  DUEL_START(add_one, 1, 64, 0, b, x, 64); // cudaStreamWaitEvent(b, …) is missing
  cudaStreamSynchronize(b);
  cudaStreamSynchronize(a);
  from_device(got, x, 64);
  if (got[0] != 1) wrong();
}

static void graph_without_edge() {
  float *x = to_device<float>(nullptr, 64), got[64];
  cudaStream_t a, b;
  cudaEvent_t fork, join;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  cudaStreamBeginCapture(a, cudaStreamCaptureModeRelaxed);
  cudaEventRecord(fork, a); // too early: the memset should come before it
  cudaStreamWaitEvent(b, fork, 0);
  cudaMemsetAsync(x, 0, 64 * sizeof *x, a);
  DUEL_START(add_one, 1, 64, 0, b, x, 64);
  cudaEventRecord(join, b);
  cudaStreamWaitEvent(a, join, 0);
  REQUIRE(cudaStreamEndCapture(a, &graph) == cudaSuccess);
  cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphLaunch(exec, a);
  cudaStreamSynchronize(a);
  from_device(got, x, 64);
  if (got[0] != 1) wrong();
}

void test_planted() {
  clean("the planted bugs' kernel without a bug", planted<NONE, 4096>);
  differs("missing barrier after the store", planted<NO_BARRIER_AFTER_STORE, 4096>);
  differs("missing barrier in the tree", planted<NO_BARRIER_IN_TREE, 4096>);
  dies("barrier under a condition", planted<BARRIER_UNDER_CONDITION, 4096>, "the barrier diverges");
  dies("return before a barrier", planted<RETURN_BEFORE_BARRIER, 100>, "have exited");
  dies("barriers at two places", planted<TWO_BARRIERS, 4096>, "the barrier diverges");
  dies("off by one: reads past global memory of whole lines", planted<READ_PAST_GLOBAL, 4096>, "access outside");
  differs("off by one: reads past global memory", planted<READ_PAST_GLOBAL, 4099>);
  dies("off by one: writes past global memory", planted<WRITE_PAST_GLOBAL, 4096>, "has written byte 12 of");
  dies("off by one: writes before global memory", planted<WRITE_BEFORE_GLOBAL, 4096>, "has written byte -4 of");
  differs("off by one: reads past shared memory", planted<READ_PAST_SHARED, 4096>);
  dies("off by one: writes past shared memory", planted<WRITE_PAST_SHARED, 4096>, "has written byte 1024 of shared");
  differs("shared memory not set", planted<SHARED_NOT_SET, 4096>);
  differs("global memory not set", global_not_set);
  dies("shuffle whose mask leaves out its caller", planted<CALLER_NOT_IN_MASK, 4096>, "is not in its mask 0000ffff");
  dies("shuffle with two masks", planted<MASKS_DIFFER, 4096>, "is there with mask");
  dies("shuffle from a lane that its mask leaves out", planted<LANE_NOT_IN_MASK, 4096>, "reads lane 16");
  dies("shuffle whose mask names a lane that exited", planted<LANE_EXITED, 4096>, "lane 31, which has exited");
  dies("one shuffle at two places", planted<WARP_AT_TWO_PLACES, 4096>, "deadlock: __shfl_xor_sync");
  if (WITH_UBSAN)
    dies("misaligned vector", planted<MISALIGNED, 4096>, "misaligned address");
  else
    skip("needs UBSan", "misaligned vector");

  dies("the host reads device memory", host_reads<64>, "the host touches device memory");
  dies("the host reads large device memory", host_reads<4 << 20>, "the host touches device memory");
  dies("the host writes device memory", host_writes_after_launch<64>, "the host touches device memory");
  dies("the host writes large device memory", host_writes_after_launch<4 << 20>, "the host touches device memory");
  dies("use after free", freed_argument, "use after free");
  dies("use after free, pointer in a structure", freed_in_structure, "use after free");
  dies("use after free, in a graph", freed_before_lazy_run, "use after free");
  dies("double free", freed_twice, "freed a second time");
  dies("host pointer as an argument", host_pointer, "is no device memory");

  differs("race between blocks", race_between_blocks);
  dies("static shared memory over 48 KiB", static_shared_limit, "49152 are the limit");
  dies("dynamic shared memory that was not given", dynamic_not_given, "was launched with none");
  dies("stack overrun", stack_overrun, "a stack that overran");
  dies("runtime call in a kernel", runtime_in_kernel, "a kernel calls the runtime");

  differs("the host reads a copy's target without waiting", no_wait_for_copy);
  differs("the host reuses a copy's source without waiting", source_reused_too_soon);
  differs("a stream does not wait for another", no_wait_between_streams);
  differs("a graph lacks an edge", graph_without_edge);
}
