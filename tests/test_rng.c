// Random draws and the data order: against Random123's vectors, against a table made in numpy (golden/draws.py), and
// against their own definition in double precision.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/normal.h"
#include "base/rng.h"

#include "golden/draws.h"
#include "golden/philox_kat.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
static const double PI = 3.14159265358979323846;

static void *need(size_t bytes) {
  void *p = malloc(bytes);
  assert_non_null(p);
  return p;
}

static void philox_known_answers(void **state) {
  (void)state;
  assert_int_equal(COUNT(philox_kat), 3 + 52);
  for (int i = 0; i < COUNT(philox_kat); i++) {
    const uint32_t *v = philox_kat[i];
    duel_block4 out = duel_philox((duel_block4){v[0], v[1], v[2], v[3]}, v[4], v[5]);
    assert_memory_equal(&out, v + 6, 16);
  }
}

// The exact pair of words x, y; only u is rounded to float, as the design has it.
static void exact_pair(uint32_t x, uint32_t y, double *first, double *second) {
  float u = (float)x * 0x1p-32f;
  u += 0x1p-33f;
  double s = sqrt(-2 * log(u)), angle = 2 * PI * (y * 0x1p-32 + 0x1p-33);
  *first = s * sin(angle);
  *second = s * cos(angle);
}

static double pair_error(uint32_t x, uint32_t y) {
  float a, b;
  double exact_a, exact_b;
  duel_normal_pair(x, y, &a, &b);
  exact_pair(x, y, &exact_a, &exact_b);
  double d = fabs(a - exact_a), e = fabs(b - exact_b);
  return d > e ? d : e;
}

static void golden_table(void **state) {
  (void)state;
  for (int i = 0; i < COUNT(golden_draws); i++) {
    const struct golden_draw *g = &golden_draws[i];
    uint32_t word[GOLDEN_SHOWN];
    float uniform[GOLDEN_SHOWN], normal[GOLDEN_SHOWN];
    duel_draw_words(g->draw, g->first, GOLDEN_SHOWN, word);
    duel_draw_uniform(g->draw, g->first, GOLDEN_SHOWN, uniform);
    duel_draw_normal(g->draw, g->first, GOLDEN_SHOWN, normal);
    assert_memory_equal(word, g->word, sizeof word);
    assert_memory_equal(uniform, g->uniform, sizeof uniform);
    for (int j = 0; j < GOLDEN_SHOWN; j++) assert_true(fabs(normal[j] - g->normal[j]) <= 2e-6);
  }
}

static uint64_t bits_sum(const void *values, int64_t n) {
  const uint32_t *bits = values;
  uint64_t sum = 0;
  for (int64_t i = 0; i < n; i++) sum += bits[i] * (uint64_t)(2 * i + 1);
  return sum;
}

static void golden_bits(void **state) {
  (void)state;
  void *buffer = need(4 * GOLDEN_SUM_COUNT);
  for (int i = 0; i < COUNT(golden_sums); i++) {
    duel_draw d = {golden_sums[i].seed, 7, DUEL_PURPOSE_LATENT, 1};
    duel_draw_words(d, GOLDEN_SUM_FIRST, GOLDEN_SUM_COUNT, buffer);
    assert_true(bits_sum(buffer, GOLDEN_SUM_COUNT) == golden_sums[i].words);
    duel_draw_uniform(d, GOLDEN_SUM_FIRST, GOLDEN_SUM_COUNT, buffer);
    assert_true(bits_sum(buffer, GOLDEN_SUM_COUNT) == golden_sums[i].uniform);
    duel_draw_normal(d, GOLDEN_SUM_FIRST, GOLDEN_SUM_COUNT, buffer);
    assert_true(bits_sum(buffer, GOLDEN_SUM_COUNT) == golden_sums[i].normal);
  }
  free(buffer);
}

static void uniform_edges(void **state) {
  (void)state;
  assert_true(duel_uniform_of(0) == 0x1p-33f);
  assert_true(duel_uniform_of(1) == 0x1.8p-32f);
  assert_true(duel_uniform_of(0x80000000u) == 0.5f);
  assert_true(duel_uniform_of(UINT32_MAX) == 1.0f);
  assert_true(duel_uniform_of(0xffffff00u) < 1.0f);
}

static void normal_extremes(void **state) {
  (void)state;
  for (int64_t a = 0; a < 32; a++)
    for (int64_t around_x = -300; around_x <= 300; around_x += 7)
      for (int64_t octant = 0; octant < 8; octant++)
        for (int64_t around_y = -3; around_y <= 3; around_y++) {
          uint32_t x = (uint32_t)((1ll << a) + around_x), y = (uint32_t)(octant * 0x20000000 + around_y);
          assert_true(pair_error(x, y) <= 2e-6); // false for NaN
          assert_true(pair_error(~x, y) <= 2e-6);
        }
  float a, b;
  duel_normal_pair(0, 0, &a, &b); // the farthest that a draw can lie
  assert_true(fabs(b - sqrt(66 * log(2))) <= 2e-6);
  duel_normal_pair(UINT32_MAX, 12345, &a, &b); // u = 1
  assert_true(a == 0 && b == 0);
}

static void normal_is_within_two_millionths(void **state) {
  (void)state;
  enum { N = 1 << 22 };
  uint32_t *word = need(4 * N);
  float *normal = need(4 * N);
  duel_draw d = {2026, 3, DUEL_PURPOSE_GRID, 0};
  duel_draw_words(d, 0, N, word);
  duel_draw_normal(d, 0, N, normal);
  double worst = 0, sum[5] = {0};
  for (int i = 0; i < N; i += 2) {
    double exact[2];
    exact_pair(word[i], word[i + 1], &exact[0], &exact[1]);
    for (int j = 0; j < 2; j++) {
      double x = normal[i + j], error = fabs(x - exact[j]);
      assert_true(error <= 2e-6);
      worst = error > worst ? error : worst;
      for (int p = 1; p <= 4; p++) sum[p] += pow(x, p);
    }
    sum[0] += (double)normal[i] * normal[i + 1];
  }
  print_message("worst error of %d normals: %.2e\n", N, worst);
  assert_true(worst < 1e-6);
  // Means of x, x², x³, x⁴ and of the product of a pair, within five of their standard deviations.
  double root = sqrt(N);
  assert_true(fabs(sum[1] / N) < 5 / root);
  assert_true(fabs(sum[2] / N - 1) < 5 * sqrt(2) / root);
  assert_true(fabs(sum[3] / N) < 5 * sqrt(15) / root);
  assert_true(fabs(sum[4] / N - 3) < 5 * sqrt(96) / root);
  assert_true(fabs(2 * sum[0] / N) < 5 * sqrt(2) / root);
  free(word);
  free(normal);
}

typedef void drawing(duel_draw, int64_t, int64_t, void *);
static void words(duel_draw d, int64_t first, int64_t n, void *dst) {
  duel_draw_words(d, first, n, dst);
}
static void uniforms(duel_draw d, int64_t first, int64_t n, void *dst) {
  duel_draw_uniform(d, first, n, dst);
}
static void normals(duel_draw d, int64_t first, int64_t n, void *dst) {
  duel_draw_normal(d, first, n, dst);
}

static void any_cut_gives_the_same_bits(void **state) {
  (void)state;
  enum { N = 1500 };
  drawing *const all[] = {words, uniforms, normals};
  for (int kind = 0; kind < 3; kind++) {
    uint32_t whole[N], parts[N + 1], random[64];
    duel_draw d = {77, 5, DUEL_PURPOSE_NOISE, 4096};
    int64_t base = ((int64_t)1 << 34) - N;
    all[kind](d, base, N, whole);
    for (uint32_t trial = 0; trial < 50; trial++) {
      duel_draw_words((duel_draw){trial, 0, DUEL_PURPOSE_INIT, 0}, 0, 64, random);
      parts[N] = 0xdeadbeef;
      int64_t most = trial < 25 ? 11 : 700, at = 0;
      for (int i = 0; at < N; i = (i + 1) % 64) {
        int64_t n = random[i] % (most + 1);
        if (n > N - at) n = N - at;
        all[kind](d, base + at, n, parts + at);
        at += n;
      }
      assert_memory_equal(whole, parts, sizeof whole);
      assert_true(parts[N] == 0xdeadbeef);
    }
  }
}

static void draws_differ_by_every_part_of_their_name(void **state) {
  (void)state;
  duel_draw base = {5, 5, 5, 5}, other[6] = {base, base, base, base, base, base};
  other[1].seed = 6;
  other[2].seed += (uint64_t)1 << 32;
  other[3].t = 6;
  other[4].purpose = 6;
  other[5].k = 6;
  uint32_t w[6][4];
  for (int i = 0; i < 6; i++) {
    duel_draw_words(other[i], 0, 4, w[i]);
    for (int j = 0; j < i; j++) assert_memory_not_equal(w[i], w[j], sizeof w[i]);
  }
}

static void golden_data_orders(void **state) {
  (void)state;
  for (int i = 0; i < COUNT(golden_orders); i++) {
    const struct golden_order *g = &golden_orders[i];
    int32_t *order = need((size_t)g->items * 4);
    uint32_t *scratch = need((size_t)g->items * 12);
    duel_data_order(g->seed, g->epoch, g->items, order, scratch);
    assert_memory_equal(order, g->item, sizeof g->item);
    assert_true(bits_sum(order, g->items) == g->sum);
    free(order);
    free(scratch);
  }
}

typedef struct keyed {
  uint32_t key;
  int32_t item;
} keyed;

static int by_key_then_item(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->item > y->item) - (x->item < y->item);
}

static void data_order_is_a_stable_sort(void **state) {
  (void)state;
  const int64_t sizes[] = {0, 1, 2, 3, 63, 64, 65, 2047, 10007, 300000}; // 300000 words hold about ten equal pairs
  for (int i = 0; i < COUNT(sizes); i++) {
    int64_t m = sizes[i];
    size_t room = (size_t)m + 1;
    int32_t *order = need(room * 4);
    uint32_t *scratch = need(room * 12), *word = need(room * 4);
    keyed *sorted = need(room * sizeof *sorted);
    order[m] = -7;
    scratch[3 * m] = 0xdeadbeef;
    duel_data_order(11, (uint64_t)i, m, order, scratch);
    assert_true(order[m] == -7 && scratch[3 * m] == 0xdeadbeef);
    duel_draw_words((duel_draw){11, (uint64_t)i, DUEL_PURPOSE_ORDER, 0}, 0, m, word);
    for (int32_t j = 0; j < m; j++) sorted[j] = (keyed){word[j], j};
    qsort(sorted, (size_t)m, sizeof *sorted, by_key_then_item);
    int equal = 0;
    for (int64_t j = 0; j < m; j++) {
      assert_int_equal(order[j], sorted[j].item);
      equal += j > 0 && sorted[j].key == sorted[j - 1].key;
    }
    if (m == 300000) assert_true(equal > 0);
    free(order);
    free(scratch);
    free(word);
    free(sorted);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(philox_known_answers),
      cmocka_unit_test(golden_table),
      cmocka_unit_test(golden_bits),
      cmocka_unit_test(uniform_edges),
      cmocka_unit_test(normal_extremes),
      cmocka_unit_test(normal_is_within_two_millionths),
      cmocka_unit_test(any_cut_gives_the_same_bits),
      cmocka_unit_test(draws_differ_by_every_part_of_their_name),
      cmocka_unit_test(golden_data_orders),
      cmocka_unit_test(data_order_is_a_stable_sort),
  };
  return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
