// CRC-32C: reflected polynomial 0x82F63B78, register inverted before and after.
//
// The processor's instruction takes 8 bytes a cycle but answers after 3, so three lanes of LANE bytes run at once. A
// CRC is linear: the register after lane A and then LANE more bytes is shift(A) ^ B, where shift is what LANE zero
// bytes do to a register, a 32×32 bit matrix kept as four tables of 256.
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum { LANE = 4096 };

static uint32_t slice[8][256]; // slice[k][b]: byte b followed by k zero bytes
static uint32_t shift[4][256]; // shift[k][b]: byte k of a register, followed by LANE zero bytes
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t zero_bytes(uint32_t crc, int n) {
  while (n-- > 0) crc = (crc >> 8) ^ slice[0][crc & 255];
  return crc;
}

// A 32×32 matrix over bits, by its columns, as four tables of all sums of eight columns.
static void sum_columns(uint32_t table[4][256], const uint32_t column[32]) {
  for (int k = 0; k < 4; k++) table[k][0] = 0;
  for (int bit = 0; bit < 32; bit++) {
    uint32_t *t = table[bit / 8];
    const int step = 1 << bit % 8;
    for (int b = 0; b < step; b++) t[step + b] = t[b] ^ column[bit];
  }
}

static void make_tables(void) {
  uint32_t column[32];
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
    slice[0][b] = crc;
  }
  for (int k = 1; k < 8; k++)
    for (int b = 0; b < 256; b++) slice[k][b] = zero_bytes(slice[k - 1][b], 1);
  for (int bit = 0; bit < 32; bit++) column[bit] = zero_bytes(1u << bit, LANE);
  sum_columns(shift, column);
}

static uint32_t times(const uint32_t table[4][256], uint32_t crc) {
  return table[0][crc & 255] ^ table[1][crc >> 8 & 255] ^ table[2][crc >> 16 & 255] ^ table[3][crc >> 24];
}

// The matrix of n zero bytes, by squaring that of one. What inverts the register cancels in the sum with b.
void duel_crc32c_join(duel_crc32c_joint *joint, uint64_t n) {
  uint32_t power[32], product[32], table[4][256];
  pthread_once(&once, make_tables);
  for (int bit = 0; bit < 32; bit++) {
    power[bit] = zero_bytes(1u << bit, 1);
    product[bit] = 1u << bit;
  }
  for (; n > 0; n >>= 1) {
    sum_columns(table, power);
    for (int bit = 0; bit < 32 && n & 1; bit++) product[bit] = times((const uint32_t(*)[256])table, product[bit]);
    for (int bit = 0; bit < 32; bit++) power[bit] = times((const uint32_t(*)[256])table, power[bit]);
  }
  sum_columns(joint->table, product);
}

uint32_t duel_crc32c_joined(const duel_crc32c_joint *joint, uint32_t a, uint32_t b) {
  return times(joint->table, a) ^ b;
}

uint32_t duel_crc32c_portable(uint32_t crc, const void *bytes, size_t n) {
  pthread_once(&once, make_tables);
  const uint8_t *p = bytes;
  crc = ~crc;
  for (; n >= 8; p += 8, n -= 8) {
    crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    crc = slice[7][crc & 255] ^ slice[6][crc >> 8 & 255] ^ slice[5][crc >> 16 & 255] ^ slice[4][crc >> 24] ^
          slice[3][p[4]] ^ slice[2][p[5]] ^ slice[1][p[6]] ^ slice[0][p[7]];
  }
  for (; n > 0; p++, n--) crc = (crc >> 8) ^ slice[0][(crc ^ *p) & 255];
  return ~crc;
}

#if defined(__x86_64__)
static uint32_t shifted(uint32_t crc) {
  return times((const uint32_t(*)[256])shift, crc);
}

static uint64_t word_at(const uint8_t *p) {
  uint64_t w;
  memcpy(&w, p, 8);
  return w;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p, size_t n) {
  uint64_t a = (uint32_t)~crc;
  for (; n >= 3 * LANE; p += 3 * LANE, n -= 3 * LANE) {
    uint64_t b = 0, c = 0;
    for (int i = 0; i < LANE; i += 8) {
      a = _mm_crc32_u64(a, word_at(p + i));
      b = _mm_crc32_u64(b, word_at(p + LANE + i));
      c = _mm_crc32_u64(c, word_at(p + 2 * LANE + i));
    }
    a = shifted(shifted((uint32_t)a) ^ (uint32_t)b) ^ c;
  }
  for (; n >= 8; p += 8, n -= 8) a = _mm_crc32_u64(a, word_at(p));
  uint32_t r = (uint32_t)a;
  for (; n > 0; p++, n--) r = _mm_crc32_u8(r, *p);
  return ~r;
}
#endif

uint32_t duel_crc32c(uint32_t crc, const void *bytes, size_t n) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) {
    if (n >= 3 * LANE) pthread_once(&once, make_tables);
    return crc32c_sse42(crc, bytes, n);
  }
#endif
  return duel_crc32c_portable(crc, bytes, n);
}
