// exp, log, tanh, sigmoid, softplus, erf. They are branch-free, so that loops over them become vector code. They are
// made of correctly rounded operations in a fixed order, so that every level and compiler gives the same bits. Within 3
// ulp everywhere; NaN gives NaN, overflow gives inf, results below the normal range round to denormals. The double
// versions are libm's.
#ifndef DUEL_CPU_KERNELS_CPU_MATH_H
#define DUEL_CPU_KERNELS_CPU_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef DUEL_REAL_IS_double

static inline double duel_exp_real(double x) {
  return exp(x);
}
static inline double duel_log_real(double x) {
  return log(x);
}
static inline double duel_tanh_real(double x) {
  return tanh(x);
}
static inline double duel_softplus_real(double x) {
  return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}
static inline double duel_sigmoid_real(double x) {
  const double e = exp(-fabs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}
static inline double duel_erf_real(double x) {
  return erf(x);
}

#else

static inline uint32_t duel_float_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

static inline float duel_float_from(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static inline float duel_abs_float(float x) {
  return duel_float_from(duel_float_bits(x) & 0x7fffffffu);
}

// x = n·ln 2 + r, |r| <= ln 2 / 2, and e^r - 1. |x| < 150; NaN stays in r, and n is then any number.
typedef struct duel_exp_terms {
  float expm1_r;
  int32_t n;
} duel_exp_terms;

static inline duel_exp_terms duel_exp_split(float x) {
  const float round = 12582912.0f; // 1.5·2^23: adding it leaves the nearest integer in the low bits
  const float shifted = x * 1.44269504f + round;
  const float n = shifted - round;
  const float r =
      (x - n * 0.693145752f) - n * 1.42860677e-6f; // ln 2 as two terms, the first with 15 bits: n times it is exact
  float q = 1.388252014e-03f;                      // minimax on |r| <= ln 2 / 2 of (e^r - 1 - r) / r²
  q = q * r + 8.366527036e-03f;
  q = q * r + 4.166720062e-02f;
  q = q * r + 1.666654348e-01f;
  q = q * r + 4.999999702e-01f;
  return (duel_exp_terms){r + r * r * q, (int32_t)(duel_float_bits(shifted) - 0x4b400000u)};
}

static inline float duel_exp2_int(int32_t n) {
  return duel_float_from((uint32_t)(n + 127) << 23);
} // -126 <= n <= 127

static inline float duel_exp_real(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const duel_exp_terms e = duel_exp_split(x);
  const int32_t half = e.n >> 1; // twice, so that overflow and denormals round as they should
  return (1.0f + e.expm1_r) * duel_exp2_int(half) * duel_exp2_int(e.n - half);
}

// log(1 + f) = f - (f²/2 - s·(f²/2 + R)), s = f/(2 + f), where 2·atanh(s) = 2s + s·R(s²); tail is added at the least
// place.
static inline float duel_log1p_join(float f, float s, float r, float tail) {
  const float h = 0.5f * f * f;
  return f - (h - (s * (h + r) + tail));
}

static inline float duel_log_real(float x) {
  const int tiny = x < 1.17549435e-38f;
  const float scaled = tiny ? x * 33554432.0f : x; // denormals times 2^25
  // x = 2^k·m, m in [sqrt(1/2), sqrt(2))
  const uint32_t shifted = duel_float_bits(scaled) - 0x3f3504f3u;
  const float k = (float)(((int32_t)shifted >> 23) - (tiny ? 25 : 0));
  const float f = duel_float_from((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  const float s = f / (2.0f + f), z = s * s;
  float r = 2.987212837e-01f; // minimax on z <= 0.02945
  r = r * z + 3.997752666e-01f;
  r = r * z + 6.666677594e-01f;
  float y = k * 0.693145752f + duel_log1p_join(f, s, r * z, k * 1.42860677e-6f);
  y = x < INFINITY ? y : x; // inf and NaN
  y = x > 0.0f ? y : x == 0.0f ? -INFINITY : NAN;
  return y;
}

// With e = e^(-2|x|): (1 - e)/(1 + e), and as 1 - 2e/(1 + e) where e is small. The latter keeps 1 - |y| right to the
// last bit, down to where float ends: a generator's saturated pixels learn from 1 - y^2 and from nothing else.
static inline float duel_tanh_real(float x) {
  const float a = duel_abs_float(x);
  const duel_exp_terms terms = duel_exp_split(a > 10.0f ? -20.0f : -2.0f * a);
  const float scale = duel_exp2_int(terms.n);
  const float e = scale + scale * terms.expm1_r, one_less_e = (1.0f - scale) - scale * terms.expm1_r;
  const int small = a > 0.7f;
  const float q = (small ? 2.0f * e : one_less_e) / (1.0f + e);
  const float y = small ? 1.0f - q : q;
  return duel_float_from(duel_float_bits(y) | (duel_float_bits(x) & 0x80000000u));
}

static inline float duel_sigmoid_real(float x) {
  const float e = duel_exp_real(-duel_abs_float(x));
  return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

static inline float duel_softplus_real(float x) {
  const float u = duel_exp_real(-duel_abs_float(x)); // log(1 + u), 0 <= u <= 1
  const float s = u / (2.0f + u), z = s * s;
  float r = 2.802442312e-01f; // minimax on z <= 1/9
  r = r * z + 2.799915075e-01f;
  r = r * z + 4.002169967e-01f;
  r = r * z + 6.666641235e-01f;
  return (x > 0.0f ? x : 0.0f) + duel_log1p_join(u, s, r * z, 0.0f);
}

// With a = |x|: a + a·p(a²) below 1, above it 1 - e^(-q(a)); both minimax. From 3.92 on the result rounds to 1.
static inline float duel_erf_real(float x) {
  const float a = duel_abs_float(x), b = a > 4.0f ? 4.0f : a, z = b * b;
  float p = 7.889123016e-05f; // erf(a)/a - 1, z <= 1
  p = p * z - 8.020842323e-04f;
  p = p * z + 5.189535456e-03f;
  p = p * z - 2.685444465e-02f;
  p = p * z + 1.128360018e-01f;
  p = p * z - 3.761262714e-01f;
  p = p * z + 1.283791660e-01f;
  float q = -1.863792095e-04f; // -log(1 - erf(a)), 1 <= a <= 4
  q = q * b + 2.947658474e-03f;
  q = q * b - 2.183806467e-02f;
  q = q * b + 1.031067559e-01f;
  q = q * b + 6.381448314e-01f;
  q = q * b + 1.127089191e+00f;
  q = q * b + 3.415228419e-04f;
  const duel_exp_terms terms = duel_exp_split(-q);
  const float scale = duel_exp2_int(terms.n);
  const float y = b > 1.0f ? 1.0f - (scale + scale * terms.expm1_r) : b + b * p;
  return duel_float_from(duel_float_bits(y) | (duel_float_bits(x) & 0x80000000u));
}

#endif
#endif
