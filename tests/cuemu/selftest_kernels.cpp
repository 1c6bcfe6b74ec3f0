// Right kernels: nothing is found in them, and their results are right in every order.
#include "selftest.h"

#include <vector>

static __global__ void sum_blocks(const float *__restrict__ x, float *__restrict__ out, int n) {
  DUEL_SHARED(float, part, 8);
  const int t = (int)threadIdx.x, warp = t / 32, lane = t % 32;
  float sum = 0;
  for (int i = (int)blockIdx.x * (int)blockDim.x + t; i < n; i += (int)gridDim.x * (int)blockDim.x) sum += x[i];
  for (int k = 16; k > 0; k /= 2) sum += __shfl_down_sync(0xffffffffu, sum, (unsigned)k);
  if (lane == 0) part[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    sum = lane < 8 ? part[lane] : 0.0f;
    for (int k = 16; k > 0; k /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, k);
    if (lane == 0) out[blockIdx.x] = sum;
  }
}

static void a_sum() {
  const int sizes[] = {1, 31, 33, 257, 4099};
  for (const int n : sizes) {
    std::vector<float> x((size_t)n);
    float want = 0, got[5], sum = 0;
    for (int i = 0; i < n; i++) want += x[(size_t)i] = (float)((i * 37) % 11 - 5);
    float *dx = to_device(x.data(), x.size()), *out = to_device<float>(nullptr, 5);
    DUEL_START(sum_blocks, 5, 256, 0, 0, dx, out, n);
    REQUIRE(cudaGetLastError() == cudaSuccess);
    from_device(got, out, 5);
    for (const float g : got) sum += g;
    if (sum != want) wrong();
    cudaFree(dx);
    cudaFree(out);
  }
}

// Every thread notes what each function gave it.
static __global__ void ask_all(int *out) {
  const int t = (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)), lane = t % 32;
  int *mine = out + t * 12;
  const unsigned all = 0xffffffffu, half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  mine[0] = __shfl_sync(all, t, 5);
  mine[1] = __shfl_up_sync(all, t, 3);
  mine[2] = __shfl_down_sync(all, t, 3, 8);
  mine[3] = (int)__shfl_xor_sync(all, (double)t, 7);
  mine[4] = (int)__ballot_sync(all, lane % 3 == 0);
  mine[5] = __any_sync(half, lane == 20);
  mine[6] = __all_sync(half, lane < 16);
  mine[7] = __syncthreads_count(t % 5 == 0);
  mine[8] = __syncthreads_and(t >= 0);
  mine[9] = __syncthreads_or(t == 17);
  __syncwarp();
  mine[10] = lane % 2 ? __shfl_sync(0xaaaaaaaau, t, 1) : __shfl_sync(0x55555555u, t, 2);
  mine[11] = (int)(threadIdx.x + 100 * threadIdx.y + 10000 * threadIdx.z);
}

static void warp_functions() {
  int got[64 * 12], *out = to_device<int>(nullptr, 64 * 12);
  DUEL_START(ask_all, 1, dim3(8, 4, 2), 0, 0, out);
  from_device(got, out, 64 * 12);
  for (int t = 0; t < 64; t++) {
    const int lane = t % 32, base = t - lane, *mine = got + t * 12;
    const int want[12] = {base + 5,
                          lane < 3 ? t : t - 3,
                          lane % 8 + 3 > 7 ? t : t + 3,
                          t ^ 7,
                          0x49249249,
                          lane >= 16,
                          lane < 16,
                          13,
                          1,
                          1,
                          base + (lane % 2 ? 1 : 2),
                          t % 8 + 100 * (t / 8 % 4) + 10000 * (t / 32)};
    for (int i = 0; i < 12; i++)
      if (mine[i] != want[i]) {
        fprintf(stderr, "thread %d, value %d: %d, not %d\n", t, i, mine[i], want[i]);
        wrong();
      }
  }
  cudaFree(out);
}

static __global__ void transpose(const float *src, float *dst, int n) { // n ≤ 32, one block
  DUEL_SHARED_DYN(float, tile);
  tile[threadIdx.y * (unsigned)(n + 1) + threadIdx.x] = src[threadIdx.y * (unsigned)n + threadIdx.x];
  __syncthreads();
  dst[threadIdx.y * (unsigned)n + threadIdx.x] = tile[threadIdx.x * (unsigned)(n + 1) + threadIdx.y];
}

static void dynamic_shared() {
  float x[19 * 19], got[19 * 19];
  for (int i = 0; i < 19 * 19; i++) x[i] = (float)i;
  float *src = to_device(x, 19 * 19), *dst = to_device<float>(nullptr, 19 * 19);
  DUEL_START(transpose, 1, dim3(19, 19), 19 * 20 * sizeof(float), 0, src, dst, 19);
  from_device(got, dst, 19 * 19);
  for (int i = 0; i < 19 * 19; i++)
    if (got[i] != x[i % 19 * 19 + i / 19]) wrong();
  cudaFree(src);
  cudaFree(dst);
}

static __global__ void histogram(const unsigned *x, unsigned *bins, int n) {
  DUEL_SHARED(unsigned, local, 16);
  if (threadIdx.x < 16) local[threadIdx.x] = 0;
  __syncthreads();
  for (int i = (int)(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += (int)(gridDim.x * blockDim.x))
    atomicAdd(&local[x[i] % 16], 1u);
  __syncthreads();
  if (threadIdx.x < 16) atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
}

static void integer_atomics() {
  unsigned x[1000], got[16];
  for (unsigned i = 0; i < 1000; i++) x[i] = i;
  unsigned *dx = to_device(x, 1000), *bins = to_device<unsigned>(nullptr, 16);
  cudaMemset(bins, 0, 64);
  DUEL_START(histogram, 3, 96, 0, 0, dx, bins, 1000);
  from_device(got, bins, 16);
  for (unsigned i = 0; i < 16; i++)
    if (got[i] != 1000 / 16 + (i < 1000 % 16)) wrong();
  cudaFree(dx);
  cudaFree(bins);
}

struct pair_of_pointers {
  const float4 *src;
  float4 *dst;
  int n;
};
template <int SCALE> static __global__ void scale(pair_of_pointers p, float by) {
  for (int i = (int)(blockIdx.x * blockDim.x + threadIdx.x); i < p.n; i += (int)(gridDim.x * blockDim.x)) {
    const float4 v = __ldg(p.src + i);
    p.dst[i] = make_float4(v.x * by * SCALE, v.y * by * SCALE, v.z * by * SCALE, v.w * by * SCALE);
  }
}

static void vectors_and_structures() {
  float x[400], got[400];
  for (int i = 0; i < 400; i++) x[i] = (float)i;
  float *src = to_device(x, 400), *dst = to_device<float>(nullptr, 400);
  const pair_of_pointers p = {(const float4 *)src, (float4 *)dst, 100};
  DUEL_START((scale<3>), dim3(1, 1, 1), 64, 0, 0, p, 2.0f);
  from_device(got, dst, 400);
  for (int i = 0; i < 400; i++)
    if (got[i] != 6.0f * x[i]) wrong();
  cudaFree(src);
  cudaFree(dst);
}

// Blocks are independent, and a grid of three dimensions has each of its blocks once.
static __global__ void count_blocks(unsigned *seen) {
  if (threadIdx.x == 0) seen[blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z)]++;
}

static void every_block_once() {
  unsigned got[7 * 5 * 3], zero[7 * 5 * 3] = {};
  unsigned *seen = to_device(zero, 7 * 5 * 3);
  DUEL_START(count_blocks, dim3(7, 5, 3), 33, 0, 0, seen);
  from_device(got, seen, 7 * 5 * 3);
  for (const unsigned g : got)
    if (g != 1) wrong();
  cudaFree(seen);
}

void test_kernels() {
  clean("clean: sums by shuffles and shared memory", a_sum);
  clean("clean: warp functions, votes and places", warp_functions);
  clean("clean: dynamic shared memory", dynamic_shared);
  clean("clean: integer atomics", integer_atomics);
  clean("clean: vectors, and pointers in a structure", vectors_and_structures);
  clean("clean: every block once", every_block_once);
}
