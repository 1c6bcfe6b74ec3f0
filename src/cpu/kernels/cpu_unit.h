// What products multiply. A unit is what a vector lane takes at a time along the depth of a product. That is an
// element; or, at the levels of bf16 (DUEL_BF16_UNITS), a pair of neighbors along the depth. Each of a pair is rounded
// to bfloat16, to nearest, ties to even; subnormals become zeros.
//
// The second's product is added to a sum in float32, and after it the first's. So does AVX512-BF16 (VDPBF16PS).
// Elsewhere two multiply-adds give the same bits, but for sums under 2^-126, which the instruction makes zeros.
#ifndef DUEL_CPU_KERNELS_CPU_UNIT_H
#define DUEL_CPU_KERNELS_CPU_UNIT_H

#include "cpu/kernels/cpu_kernel.h"

#if defined __AVX512BF16__ && defined DUEL_BF16_UNITS
#include <immintrin.h>
#endif

// ---- vectors
#if defined __AVX512F__
#define DUEL_VECTOR_BYTES 64
#elif defined __AVX2__
#define DUEL_VECTOR_BYTES 32
#else
#define DUEL_VECTOR_BYTES 16
#endif
enum { DUEL_VECTOR_WIDTH = DUEL_VECTOR_BYTES / (int)sizeof(real) }; // elements
typedef real duel_vector __attribute__((vector_size(DUEL_VECTOR_BYTES)));

static inline duel_vector duel_vector_load(const real *p) { // from anywhere
  duel_vector v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void duel_vector_store(real *p, duel_vector v) {
  memcpy(p, &v, sizeof v);
}

// ---- units
#ifdef DUEL_BF16_UNITS
typedef uint16_t duel_packed;    // an element
typedef uint32_t duel_gemm_unit; // the first of the pair in the lower half
enum { DUEL_UNIT = 2 };          // elements
#else
typedef real duel_packed, duel_gemm_unit;
enum { DUEL_UNIT = 1 };
#endif
typedef duel_gemm_unit duel_unit_vector __attribute__((vector_size(DUEL_VECTOR_BYTES)));

static inline int64_t duel_units_of(int64_t elements) {
  return (elements + DUEL_UNIT - 1) / DUEL_UNIT;
}

static inline duel_unit_vector duel_unit_load(const duel_gemm_unit *p) { // DUEL_VECTOR_WIDTH of them, from anywhere
  duel_unit_vector v;
  memcpy(&v, p, sizeof v);
  return v;
}

// Units of elements that come as vectors: of first[i] and second[i], which plain levels ignore.
static inline void duel_unit_store(duel_gemm_unit *p, duel_vector first, duel_vector second);

// A vector of elements, to be read as units of neighbors.
static inline void duel_packed_store(duel_packed *p, duel_vector v);

#ifdef DUEL_BF16_UNITS
#ifdef __AVX512BF16__
static inline void duel_unit_store(duel_gemm_unit *p, duel_vector first, duel_vector second) {
  static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  const __m512i pairs = _mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
  memcpy(p, &pairs, sizeof pairs);
}

static inline void duel_packed_store(duel_packed *p, duel_vector v) {
  const __m256i rounded = (__m256i)_mm512_cvtneps_pbh((__m512)v);
  memcpy(p, &rounded, sizeof rounded);
}
#else
// Rounded, in the upper halves.
static inline duel_unit_vector duel_rounded(duel_vector v) {
  const duel_unit_vector bits = (duel_unit_vector)v, magnitude = bits & 0x7fffffff;
  const duel_unit_vector nan = (duel_unit_vector)(magnitude > 0x7f800000),
                         small = (duel_unit_vector)(magnitude < 0x800000);
  const duel_unit_vector near = bits + 0x7fff + (bits >> 16 & 1);
  return (nan & (bits | 0x400000)) | (small & bits & 0x80000000) | (~nan & ~small & near & 0xffff0000);
}

static inline void duel_unit_store(duel_gemm_unit *p, duel_vector first, duel_vector second) {
  const duel_unit_vector pairs = (duel_rounded(second) & 0xffff0000) | duel_rounded(first) >> 16;
  memcpy(p, &pairs, sizeof pairs);
}

static inline void duel_packed_store(duel_packed *p, duel_vector v) {
  const duel_unit_vector rounded = duel_rounded(v);
  for (int i = 0; i < DUEL_VECTOR_WIDTH; i++) p[i] = (uint16_t)(rounded[i] >> 16);
}
#endif

static inline duel_vector duel_vector_load_some(const real *p, int64_t n) { // zeros behind
  real some[DUEL_VECTOR_WIDTH] = {0};
  memcpy(some, p, (size_t)n * sizeof *p);
  return duel_vector_load(some);
}

// dst = n elements, rounded, and a zero that makes the last unit whole. dst may begin where src does.
static inline void duel_pack_elements(int64_t n, const real *src, duel_packed *dst) {
  int64_t i = 0;
  for (; i + DUEL_VECTOR_WIDTH <= n; i += DUEL_VECTOR_WIDTH) duel_packed_store(dst + i, duel_vector_load(src + i));
  if (i == n) return;
  duel_packed last[DUEL_VECTOR_WIDTH];
  duel_packed_store(last, duel_vector_load_some(src + i, n - i));
  for (; i < n + n % DUEL_UNIT; i++) dst[i] = last[i % DUEL_VECTOR_WIDTH];
}

// dst = n units of first[i] and second[i], or zeros if second is NULL. dst may be either of them.
static inline void duel_pack_units(int64_t n, const real *first, const real *second, duel_gemm_unit *dst) {
  const duel_vector zeros = {0};
  int64_t i = 0;
  for (; i + DUEL_VECTOR_WIDTH <= n; i += DUEL_VECTOR_WIDTH)
    duel_unit_store(dst + i, duel_vector_load(first + i), second ? duel_vector_load(second + i) : zeros);
  if (i == n) return;
  duel_gemm_unit last[DUEL_VECTOR_WIDTH];
  duel_unit_store(last, duel_vector_load_some(first + i, n - i),
                  second ? duel_vector_load_some(second + i, n - i) : zeros);
  memcpy(dst + i, last, (size_t)(n - i) * sizeof *dst);
}
#else
static inline void duel_unit_store(duel_gemm_unit *p, duel_vector first, duel_vector second) {
  (void)second;
  duel_vector_store(p, first);
}

static inline void duel_packed_store(duel_packed *p, duel_vector v) {
  duel_vector_store(p, v);
}

// Elements are units as they lie; a unit has no second one.
static inline void duel_pack_elements(int64_t n, const real *src, duel_packed *dst) {
  if (dst != src) memcpy(dst, src, (size_t)n * sizeof *dst);
}

static inline void duel_pack_units(int64_t n, const real *first, const real *second, duel_gemm_unit *dst) {
  (void)second;
  duel_pack_elements(n, first, dst);
}
#endif

#endif
