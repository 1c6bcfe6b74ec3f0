// Random draws and the data order. A draw is made in blocks of CHUNK counters, kept lane by lane so that the compiler
// vectorizes all of it; the ends of a range are cut from a whole block, so the bits do not depend on where it is cut.
// Compiled with -ffp-contract=off (normal.h).
#include "base/rng.h"

#include <assert.h>

#include "base/normal.h"

enum { CHUNK = 64 };
typedef uint32_t lanes[4][CHUNK];

static void philox_chunk(duel_draw d, uint32_t c0, lanes out) {
  uint32_t t = (uint32_t)d.t, low = (uint32_t)d.seed, high = (uint32_t)(d.seed >> 32), c2 = d.purpose + (d.k << 8);
  for (uint32_t j = 0; j < CHUNK; j++) {
    duel_block4 r = duel_philox((duel_block4){c0 + j, t, c2, 0}, low, high);
    out[0][j] = r.x, out[1][j] = r.y, out[2][j] = r.z, out[3][j] = r.w;
  }
}

typedef void convert(const lanes src, void *restrict dst); // dst: 4·CHUNK elements of 4 bytes

static void to_words(const lanes src, void *restrict dst) {
  uint32_t *out = dst;
  for (int j = 0; j < CHUNK; j++)
    for (int lane = 0; lane < 4; lane++) out[4 * j + lane] = src[lane][j];
}

static void to_uniform(const lanes src, void *restrict dst) {
  float *out = dst;
  for (int j = 0; j < CHUNK; j++)
    for (int lane = 0; lane < 4; lane++) out[4 * j + lane] = duel_uniform_of(src[lane][j]);
}

static void to_normal(const lanes src, void *restrict dst) {
  float pair[4][CHUNK], *out = dst;
  for (int p = 0; p < 4; p += 2)
    for (int j = 0; j < CHUNK; j++) duel_normal_pair(src[p][j], src[p + 1][j], &pair[p][j], &pair[p + 1][j]);
  for (int j = 0; j < CHUNK; j++)
    for (int lane = 0; lane < 4; lane++) out[4 * j + lane] = pair[lane][j];
}

static void draw(duel_draw d, int64_t first, int64_t n, uint8_t *dst, convert *to) {
  assert(d.t <= UINT32_MAX && d.k < 1u << 24 && d.purpose < 256);
  assert(first >= 0 && n >= 0 && first + n <= (int64_t)1 << 34);
  lanes word;
  while (n > 0) {
    int64_t skip = first % 4, take = 4 * CHUNK - skip < n ? 4 * CHUNK - skip : n;
    philox_chunk(d, (uint32_t)(first / 4), word);
    if (take == 4 * CHUNK) {
      to(word, dst);
    } else {
      uint32_t whole[4 * CHUNK];
      to(word, whole);
      memcpy(dst, whole + skip, (size_t)take * 4);
    }
    first += take, n -= take, dst += take * 4;
  }
}

void duel_draw_words(duel_draw d, int64_t first, int64_t n, uint32_t *dst) {
  draw(d, first, n, (uint8_t *)dst, to_words);
}
void duel_draw_uniform(duel_draw d, int64_t first, int64_t n, float *dst) {
  draw(d, first, n, (uint8_t *)dst, to_uniform);
}
void duel_draw_normal(duel_draw d, int64_t first, int64_t n, float *dst) {
  draw(d, first, n, (uint8_t *)dst, to_normal);
}

// ---- data order: a stable radix sort from the lowest digit, three digits of 11 bits
enum { DIGIT_BITS = 11, DIGITS = 3, BUCKETS = 1 << DIGIT_BITS };

static uint32_t digit(uint32_t key, int pass) {
  return key >> (pass * DIGIT_BITS) & (BUCKETS - 1);
}

void duel_data_order(uint64_t seed, uint64_t epoch, int64_t m, int32_t *order, uint32_t *scratch) {
  assert(m >= 0 && m <= INT32_MAX);
  uint32_t *key = scratch, *next = scratch + m;
  int32_t *item = (int32_t *)(scratch + 2 * m); // in the order of the passes so far
  duel_draw_words((duel_draw){seed, epoch, DUEL_PURPOSE_ORDER, 0}, 0, m, key);

  uint32_t place[DIGITS][BUCKETS] = {{0}}; // where the next key with this digit goes
  for (int64_t i = 0; i < m; i++)
    for (int pass = 0; pass < DIGITS; pass++) place[pass][digit(key[i], pass)]++;
  for (int pass = 0; pass < DIGITS; pass++)
    for (uint32_t b = 0, sum = 0, n; b < BUCKETS; b++, sum += n) n = place[pass][b], place[pass][b] = sum;

  for (int64_t i = 0; i < m; i++) {
    uint32_t at = place[0][digit(key[i], 0)]++;
    next[at] = key[i], order[at] = (int32_t)i;
  }
  for (int64_t i = 0; i < m; i++) {
    uint32_t at = place[1][digit(next[i], 1)]++;
    key[at] = next[i], item[at] = order[i];
  }
  for (int64_t i = 0; i < m; i++) order[place[2][digit(key[i], 2)]++] = item[i];
}
