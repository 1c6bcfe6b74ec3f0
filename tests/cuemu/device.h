// What a kernel sees: keywords, vector types, its place in the grid, shared memory, barriers, warp functions and
// arithmetic. A kernel is an ordinary function that runs once a thread on a fiber (scheduler.cpp).
#ifndef CUEMU_DEVICE_H
#define CUEMU_DEVICE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DUEL_EMULATED 1

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static_assert(false, "shared memory is declared by DUEL_SHARED");

// ---- vector types, aligned as CUDA's: a misaligned 16-byte access shows under -fsanitize=alignment
#define CUEMU_VECTOR2(T, name, align)                                                                                  \
  struct alignas(align) name##2 {                                                                                      \
    T x, y;                                                                                                            \
  };                                                                                                                   \
  static inline name##2 make_##name##2(T x, T y) {                                                                     \
    return {x, y};                                                                                                     \
  }
#define CUEMU_VECTOR3(T, name)                                                                                         \
  struct name##3 {                                                                                                     \
    T x, y, z;                                                                                                         \
  };                                                                                                                   \
  static inline name##3 make_##name##3(T x, T y, T z) {                                                                \
    return {x, y, z};                                                                                                  \
  }
#define CUEMU_VECTOR4(T, name, align)                                                                                  \
  struct alignas(align) name##4 {                                                                                      \
    T x, y, z, w;                                                                                                      \
  };                                                                                                                   \
  static inline name##4 make_##name##4(T x, T y, T z, T w) {                                                           \
    return {x, y, z, w};                                                                                               \
  }
#define CUEMU_VECTORS(T, name)                                                                                         \
  CUEMU_VECTOR2(T, name, 2 * sizeof(T))                                                                                \
  CUEMU_VECTOR3(T, name)                                                                                               \
  CUEMU_VECTOR4(T, name, (4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16))
CUEMU_VECTORS(signed char, char)
CUEMU_VECTORS(unsigned char, uchar)
CUEMU_VECTORS(short, short)
CUEMU_VECTORS(unsigned short, ushort)
CUEMU_VECTORS(int, int)
CUEMU_VECTORS(unsigned, uint)
CUEMU_VECTORS(float, float)
CUEMU_VECTORS(long long, longlong)
CUEMU_VECTORS(unsigned long long, ulonglong)
CUEMU_VECTORS(double, double)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#pragma GCC visibility push(hidden)

// ---- where this thread is; the scheduler sets it before each resumption
struct cuemu_place {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
};
extern cuemu_place cuemu_here;
#define threadIdx (cuemu_here.thread)
#define blockIdx (cuemu_here.block)
#define blockDim (cuemu_here.block_dim)
#define gridDim (cuemu_here.grid_dim)
constexpr int warpSize = 32;

// Ends the process with exit code 66 and a line that names kernel, block, thread and this reason.
[[noreturn]] void cuemu_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// ---- shared memory: a fresh block of exactly the size for each thread block and declaration, filled with NaN. The
// address of a static object names the declaration, so that each instance of a template has its own, as in CUDA.
void *cuemu_shared(const void *site, const char *name, size_t bytes);
void *cuemu_shared_dynamic(size_t align);
#define DUEL_SHARED(type, name, n)                                                                                     \
  static char cuemu_site_##name;                                                                                       \
  typedef type cuemu_type_##name[n];                                                                                   \
  cuemu_type_##name &name =                                                                                            \
      *static_cast<cuemu_type_##name *>(cuemu_shared(&cuemu_site_##name, #name, sizeof(cuemu_type_##name)))
#define DUEL_SHARED_DYN(type, name) type *name = static_cast<type *>(cuemu_shared_dynamic(alignof(type)))

// ---- barriers and warp functions. A call site is a place in the source, not in the code, which a compiler may
// duplicate where a GPU's compiler must not.
enum cuemu_vote { CUEMU_BARRIER, CUEMU_COUNT, CUEMU_AND, CUEMU_OR };
int cuemu_barrier(cuemu_vote vote, int predicate, const char *file, int line);
// Meets the lanes of mask and returns their values, one a lane; sync orders memory too.
const uint64_t *cuemu_warp(unsigned mask, uint64_t value, bool sync, const char *what, const char *file, int line);
unsigned cuemu_lane(void);
#pragma GCC visibility pop

#define CUEMU_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(CUEMU_AT) {
  cuemu_barrier(CUEMU_BARRIER, 0, file, line);
}
static inline int __syncthreads_count(int predicate, CUEMU_AT) {
  return cuemu_barrier(CUEMU_COUNT, predicate, file, line);
}
static inline int __syncthreads_and(int predicate, CUEMU_AT) {
  return cuemu_barrier(CUEMU_AND, predicate, file, line);
}
static inline int __syncthreads_or(int predicate, CUEMU_AT) {
  return cuemu_barrier(CUEMU_OR, predicate, file, line);
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, CUEMU_AT) {
  cuemu_warp(mask, 0, true, "__syncwarp", file, line);
}

template <class T>
static inline T cuemu_shuffle(unsigned mask, T value, int from, const char *what, const char *file, int line) {
  static_assert(sizeof(T) <= 8, "a shuffle moves 4 or 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  const uint64_t *all = cuemu_warp(mask, bits, false, what, file, line);
  if (!(mask >> from & 1))
    cuemu_die("%s at %s:%d reads lane %d, which mask %08x leaves out", what, file, line, from, mask);
  memcpy(&value, &all[from], sizeof value);
  return value;
}
template <class T> static inline T __shfl_sync(unsigned mask, T value, int src, int width = 32, CUEMU_AT) {
  const int lane = (int)cuemu_lane(), from = (lane & ~(width - 1)) | (src & (width - 1));
  return cuemu_shuffle(mask, value, from, "__shfl_sync", file, line);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUEMU_AT) {
  const int lane = (int)cuemu_lane(), from = lane - (int)delta;
  return cuemu_shuffle(mask, value, from < (lane & ~(width - 1)) ? lane : from, "__shfl_up_sync", file, line);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUEMU_AT) {
  const int lane = (int)cuemu_lane(), from = lane + (int)delta;
  return cuemu_shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, "__shfl_down_sync", file, line);
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, CUEMU_AT) {
  const int lane = (int)cuemu_lane(), from = lane ^ bits;
  return cuemu_shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, "__shfl_xor_sync", file, line);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, CUEMU_AT) {
  const uint64_t *all = cuemu_warp(mask, predicate != 0, false, "__ballot_sync", file, line);
  unsigned ballot = 0;
  for (int i = 0; i < 32; i++)
    if (mask >> i & 1 && all[i]) ballot |= 1u << i;
  return ballot;
}
static inline int __any_sync(unsigned mask, int predicate, CUEMU_AT) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, CUEMU_AT) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}
static inline void __threadfence() {
  __sync_synchronize();
}
static inline void __threadfence_block() {
  __sync_synchronize();
}
[[noreturn]] static inline void __trap() {
  cuemu_die("__trap()");
}

// ---- memory
template <class T> static inline T __ldg(const T *p) {
  return *p;
}
template <class T> static inline T __ldcs(const T *p) {
  return *p;
}
template <class T> static inline T __ldcg(const T *p) {
  return *p;
}
template <class T> static inline void __stcs(T *p, T value) {
  *p = value;
}
template <class T> static inline void __stcg(T *p, T value) {
  *p = value;
}
// Integers only: src/cuda has no float atomics, since their order decides the bits.
#define CUEMU_ATOMICS(T)                                                                                               \
  static inline T atomicAdd(T *p, T v) {                                                                               \
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);                                                                 \
  }                                                                                                                    \
  static inline T atomicOr(T *p, T v) {                                                                                \
    return __atomic_fetch_or(p, v, __ATOMIC_RELAXED);                                                                  \
  }                                                                                                                    \
  static inline T atomicAnd(T *p, T v) {                                                                               \
    return __atomic_fetch_and(p, v, __ATOMIC_RELAXED);                                                                 \
  }                                                                                                                    \
  static inline T atomicExch(T *p, T v) {                                                                              \
    return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);                                                                \
  }                                                                                                                    \
  static inline T atomicCAS(T *p, T compare, T v) {                                                                    \
    __atomic_compare_exchange_n(p, &compare, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);                            \
    return compare;                                                                                                    \
  }                                                                                                                    \
  static inline T atomicMax(T *p, T v) {                                                                               \
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                                                      \
    while (old < v && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}          \
    return old;                                                                                                        \
  }                                                                                                                    \
  static inline T atomicMin(T *p, T v) {                                                                               \
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                                                      \
    while (old > v && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}          \
    return old;                                                                                                        \
  }
CUEMU_ATOMICS(int)
CUEMU_ATOMICS(unsigned)
CUEMU_ATOMICS(unsigned long long)

// ---- arithmetic; expf, tanhf and their like are libm's. Compile with -ffp-contract=off.
static inline float __fadd_rn(float a, float b) {
  return a + b;
}
static inline float __fsub_rn(float a, float b) {
  return a - b;
}
static inline float __fmul_rn(float a, float b) {
  return a * b;
}
static inline float __fdiv_rn(float a, float b) {
  return a / b;
}
static inline float __frcp_rn(float a) {
  return 1.0f / a;
}
static inline float __fsqrt_rn(float a) {
  return sqrtf(a);
}
static inline float __fmaf_rn(float a, float b, float c) {
  return fmaf(a, b, c);
}
static inline double __dadd_rn(double a, double b) {
  return a + b;
}
static inline double __dmul_rn(double a, double b) {
  return a * b;
}
static inline float rsqrtf(float a) {
  return (float)(1.0 / sqrt((double)a));
}
#define __expf(a) expf(a) // macros: glibc has functions of these names
#define __logf(a) logf(a)
static inline float __fdividef(float a, float b) {
  return a / b;
}
static inline float __saturatef(float a) {
  return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f;
}
static inline int __float2int_rn(float a) {
  return (int)rintf(a);
}
static inline int __float2int_rz(float a) {
  return (int)a;
}
static inline float __int2float_rn(int a) {
  return (float)a;
}
static inline float __uint2float_rn(unsigned a) {
  return (float)a;
}
static inline float __double2float_rn(double a) {
  return (float)a;
}
static inline int __float_as_int(float a) {
  int bits;
  memcpy(&bits, &a, 4);
  return bits;
}
static inline unsigned __float_as_uint(float a) {
  unsigned bits;
  memcpy(&bits, &a, 4);
  return bits;
}
static inline float __int_as_float(int bits) {
  float a;
  memcpy(&a, &bits, 4);
  return a;
}
static inline float __uint_as_float(unsigned bits) {
  float a;
  memcpy(&a, &bits, 4);
  return a;
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
  return (unsigned)((uint64_t)a * b >> 32);
}
static inline int __mulhi(int a, int b) {
  return (int)((int64_t)a * b >> 32);
}
static inline int __popc(unsigned a) {
  return __builtin_popcount(a);
}
static inline int __clz(int a) {
  return a ? __builtin_clz((unsigned)a) : 32;
}
static inline int __ffs(int a) {
  return __builtin_ffs(a);
}
#define CUEMU_MINMAX(T)                                                                                                \
  static inline T min(T a, T b) {                                                                                      \
    return b < a ? b : a;                                                                                              \
  }                                                                                                                    \
  static inline T max(T a, T b) {                                                                                      \
    return a < b ? b : a;                                                                                              \
  }
CUEMU_MINMAX(int)
CUEMU_MINMAX(unsigned)
CUEMU_MINMAX(long)
CUEMU_MINMAX(unsigned long)
CUEMU_MINMAX(long long)
CUEMU_MINMAX(unsigned long long)
CUEMU_MINMAX(float)
CUEMU_MINMAX(double)

#endif
