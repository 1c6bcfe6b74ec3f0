// recipes/ring.yaml covers all 8 modes, for three seeds: the one test that trains to the end. About 20 s a seed on two
// cores, so its ctest label is "long".
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "duel.h"
#include "io_help.h"

enum { MODES = 8, SAMPLES = 10000 };
static const double SIGMA = 0.02; // of each Gaussian of synthetic:ring; their means lie on the unit circle

typedef struct coverage {
  double share[MODES];  // of all samples, by the nearest mean
  double spread[MODES]; // standard deviation in σ, both axes together, of those within 5σ of the mean
  double near;          // share of all samples within 5σ of a mean
} coverage;

static coverage look(const float *point) {
  int seen[MODES] = {0}, close[MODES] = {0};
  double sum[MODES][2] = {{0}}, square[MODES][2] = {{0}};
  coverage c = {.near = 0};
  for (int i = 0; i < SAMPLES; i++) {
    int nearest = 0;
    double best = INFINITY, off[2] = {0, 0};
    for (int m = 0; m < MODES; m++) {
      double x = (double)point[2 * i] - cos(m * acos(-1.0) / 4), y = (double)point[2 * i + 1] - sin(m * acos(-1.0) / 4);
      if (hypot(x, y) < best) best = hypot(x, y), nearest = m, off[0] = x, off[1] = y;
    }
    seen[nearest]++;
    if (best >= 5 * SIGMA) continue;
    close[nearest]++;
    for (int a = 0; a < 2; a++) sum[nearest][a] += off[a], square[nearest][a] += off[a] * off[a];
  }
  for (int m = 0; m < MODES; m++) {
    c.share[m] = (double)seen[m] / SAMPLES;
    c.near += (double)close[m] / SAMPLES;
    double variance = 0;
    for (int a = 0; a < 2; a++) variance += square[m][a] / close[m] - pow(sum[m][a] / close[m], 2);
    c.spread[m] = sqrt(variance / 2) / SIGMA; // NaN where nothing is close
  }
  return c;
}

static void covers_all_modes(const char *seed) {
  duel_run *run;
  duel_set set = {"train.seed", seed, "--seed"};
  must(duel_run_open(&run, &(duel_run_options){.recipe = "ring", .set = &set, .n_set = 1}));
  while (!duel_run_done(run)) must(duel_run_advance(run, 1000));
  uint64_t *seeds = malloc(SAMPLES * sizeof *seeds);
  float *points = malloc(SAMPLES * 2 * sizeof *points);
  assert_true(seeds && points);
  for (uint64_t i = 0; i < SAMPLES; i++) seeds[i] = i;
  must(duel_generate(run, seeds, SAMPLES, points));
  duel_run_close(run);
  coverage c = look(points);
  free(seeds);
  free(points);

  printf("# seed %s: %.1f %% within 5 sigma of a mode\n", seed, 100 * c.near);
  for (int m = 0; m < MODES; m++)
    printf("#   mode %d: %.1f %% of the samples, spread %.2f sigma\n", m, 100 * c.share[m], c.spread[m]);
  assert_true(c.near >= 0.9);
  for (int m = 0; m < MODES; m++) {
    assert_true(c.share[m] >= 0.06 && c.share[m] <= 0.19);
    assert_true(c.spread[m] >= 0.5 && c.spread[m] <= 1.5);
  }
}

static void seed_0(void **state) {
  (void)state;
  covers_all_modes("0");
}

static void seed_1(void **state) {
  (void)state;
  covers_all_modes("1");
}

static void seed_2(void **state) {
  (void)state;
  covers_all_modes("2");
}

// The measure itself: a circle without modes, and one mode only, are not coverage.
static void measure_sees_what_is_missing(void **state) {
  (void)state;
  float *points = malloc(SAMPLES * 2 * sizeof *points);
  assert_true(points);
  for (int i = 0; i < SAMPLES; i++) {
    points[2 * i] = (float)cos(i), points[2 * i + 1] = (float)sin(i);
  }
  assert_true(look(points).near < 0.3);
  for (int i = 0; i < SAMPLES; i++) {
    points[2 * i] = (float)(1 + SIGMA * sqrt(2) * cos(i)), points[2 * i + 1] = (float)(SIGMA * sqrt(2) * sin(i));
  }
  coverage one = look(points);
  free(points);
  assert_true(one.near == 1 && one.share[0] == 1 && one.share[1] == 0);
  assert_true(fabs(one.spread[0] - 1) < 0.01 && isnan(one.spread[1]));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(measure_sees_what_is_missing),
      cmocka_unit_test(seed_0),
      cmocka_unit_test(seed_1),
      cmocka_unit_test(seed_2),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
