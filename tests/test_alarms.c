// Alarms: each is told of the scalars or the data that it is for, once, and of none that are good; what it says to do
// ends it. Then the training that the command does: who hears of one, and what an epoch shorter than a step makes due.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duel.h"
#include "gan/losses.h"
#include "io/records/npy.h"
#include "io_help.h"
#include "run/alarms/alarms.h"

// ---- those that heard

enum { HEARD = 16 };
static struct { char name[32], text[DUEL_ALARM_TEXT]; } heard[HEARD];
static int n_heard;

static void hear(void *ctx, const char *name, const char *text) {
  (void)ctx;
  assert_true(n_heard < HEARD);
  snprintf(heard[n_heard].name, sizeof heard->name, "%s", name);
  snprintf(heard[n_heard++].text, sizeof heard->text, "%s", text);
}

// NULL: it was not told. The same told twice is a failure; two nets may have one alarm each.
static const char *text_of(const char *name) {
  const char *text = NULL;
  for (int i = 0; i < n_heard; i++) {
    if (strcmp(heard[i].name, name) != 0) continue;
    if (text && !strcmp(text, heard[i].text)) fail_msg("%s was told twice", name);
    if (!text) text = heard[i].text;
  }
  return text;
}

static void assert_says(const char *name, const char *part) {
  const char *text = text_of(name);
  if (!text) fail_msg("%s was not told", name);
  if (!strstr(text, part)) fail_msg("%s says: %s\nwithout: %s", name, text, part);
}

// ---- ticks

static duel_alarms gan(double blind, double won) {
  return (duel_alarms){.facts = {.n_nets = 2,
                                 .net = {"G", "D"},
                                 .lower = {"g", "d"},
                                 .rate = {0.0002, 0.0004},
                                 .blind = blind,
                                 .won = won,
                                 .signs = true,
                                 .guess = (double)NAN,
                                 .classes = 10}};
}

enum { MOST_SCALARS = 4 };
typedef struct tick_case {
  const char *alarm, *part;
  struct {
    const char *name;
    double bad, good; // good: as near to bad as good runs come
    double growth;    // of bad, from tick to tick
  } x[MOST_SCALARS];
} tick_case;

static const tick_case ticks[] = {
    {"d_wins", "D.optim.lr=0.0001", {{"d_loss", 0.0001, 0.007, 0}, {"g_loss", 9.5, 9.5, 0}}},
    {"d_leads", "D tells all fakes", {{"d_loss", 0.001, 0.007, 0}, {"g_loss", 7, 7, 0}}},
    {"d_fooled", "D.optim.lr=0.0016", {{"sign_fake", 1, 0.5, 0}, {"d_loss_fake", 5, 5, 0}}},
    {"d_fooled", "train.d_steps=2", {{"sign_fake", 1, 1, 0}, {"d_loss_fake", 5, 1.5, 0}}},
    {"g_collapsed",
     "differ by 0.009, two of the data by 0.5",
     {{"spread_fake", 0.009, 0.3, 0}, {"spread_real", 0.5, 0.5, 0}}},
    {"g_narrow",
     "differ by 0.15, two of the data by 0.5",
     {{"spread_fake", 0.15, 0.3, 0}, {"spread_real", 0.5, 0.5, 0}}},
    {"g_saturated", "99.0 % of G's numbers", {{"ends_fake", 0.99, 0.8, 0}, {"ends_real", 0.6, 0.6, 0}}},
    {"g_saturated",
     "99.0 % of G's numbers",
     {{"ends_fake", 0.99, 1, 0}, {"ends_real", 0.6, 1, 0}}}, // black and white data
    {"g_stuck", "G stands still", {{"apart", 0.3, 0.04, 0}, {"spread_real", 0.5, 0.5, 0}}},
    {"g_lost", "come no nearer", {{"apart", 0.5, 0.04, 0.02}, {"spread_real", 0.5, 0.5, 0}}},
    {"unsteady",
     "G.optim.lr=5e-05 and D.optim.lr=0.0001",
     {{"d_loss", 1.5, 0.8, 0}, {"g_loss", 5, 5, 0}, {"sign_fake", 0.2, 0.2, 0}}},
    {"no_gradient", "G learns nothing", {{"grad_norm_g", 0, 1e-5, 0}}},
    {"c_guesses", "its loss is 2.3026", {{"loss", 2.3026, 1.9, 0}}},
    {"c_misses",
     "for class 2, nor for 3 others of the 10",
     {{"test.missed", 4, 0, 0}, {"test.missed_class", 2, -1, 0}}},
    {"c_misses", "for class 2 of the 10", {{"test.missed", 1, 0, 0}, {"test.missed_class", 2, -1, 0}}},
    {"c_by_heart",
     "99.0 % of them are right, of the test set 60.0 %",
     {{"accuracy", 0.99, 0.99, 0}, {"test.accuracy", 0.6, 0.9, 0}}}};
enum { CASES = sizeof ticks / sizeof *ticks };

static duel_alarms facts_of(const tick_case *c) {
  duel_alarms a = gan(log(2), 0);
  if (!strcmp(c->x[0].name, "loss")) a.facts.guess = log(10);
  return a;
}

// A tick of a case, its numbers bad or good ones.
static void tick(duel_alarms *a, const tick_case *c, int64_t step, bool bad) {
  duel_scalar scalar[MOST_SCALARS];
  int n = 0;
  for (; n < MOST_SCALARS && c->x[n].name; n++) {
    const double grown = c->x[n].bad * pow(1 + c->x[n].growth, (double)step / 100);
    scalar[n] = (duel_scalar){.name = c->x[n].name, .value = bad ? grown : c->x[n].good};
  }
  duel_alarms_tick(a, step, scalar, n, hear, NULL);
}

static void test_each_is_told_once(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    duel_alarms a = facts_of(&ticks[i]);
    n_heard = 0;
    for (int64_t step = 100; step <= 1500; step += 100) tick(&a, &ticks[i], step, true);
    assert_int_equal(n_heard, 1);
    assert_says(ticks[i].alarm, ticks[i].part);
    assert_says(ticks[i].alarm, "since step 100");
  }
}

static void test_a_frozen_net_is_as_asked_for(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    duel_alarms a = facts_of(&ticks[i]);
    a.facts.frozen = true;
    n_heard = 0;
    for (int64_t step = 100; step <= 1500; step += 100) tick(&a, &ticks[i], step, true);
    assert_int_equal(n_heard, !strcmp(ticks[i].alarm, "no_gradient")); // which a net that learns still may lack
  }
}

static void test_good_numbers_tell_none(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    duel_alarms a = facts_of(&ticks[i]);
    n_heard = 0;
    for (int64_t step = 100; step <= 3000; step += 100) tick(&a, &ticks[i], step, false);
    assert_int_equal(n_heard, 0);
    for (int64_t step = 3100; step <= 9000; step += 100) tick(&a, &ticks[i], step, step % 200 == 0); // one now and then
    assert_int_equal(n_heard, 0);
  }
}

static void test_some_ticks_and_steps_must_see_it(void **state) {
  (void)state;
  const tick_case *c = &ticks[0];
  duel_alarms a = facts_of(c);
  n_heard = 0;
  for (int64_t step = 1; step <= 20; step++) tick(&a, c, step, true); // ticks of one step
  assert_int_equal(n_heard, 0);
  tick(&a, c, 21, true);
  assert_says("d_wins", "since step 1,");
  a = facts_of(c);
  n_heard = 0;
  tick(&a, c, 100, true);
  tick(&a, c, 200, true);
  tick(&a, c, 300, false); // D stumbles for a tick
  assert_int_equal(n_heard, 0);
  tick(&a, c, 400, true);
  tick(&a, c, 500, true);
  assert_says("d_wins", "since step 100,");
}

static void test_a_spread_that_grows_is_no_collapse(void **state) {
  (void)state;
  duel_alarms a = gan(log(2), 0);
  n_heard = 0;
  double spread = 0.001; // an init of small weights
  for (int64_t step = 100; step <= 1000; step += 100, spread *= 2)
    duel_alarms_tick(&a, step, (duel_scalar[]){{"spread_fake", NULL, spread}, {"spread_real", NULL, 0.5}}, 2, hear,
                     NULL);
  assert_int_equal(n_heard, 0);
}

// Kinds of items that were there and have gone are missed sooner than those that have not come yet.
static void test_a_spread_that_falls_is_told_soon(void **state) {
  (void)state;
  duel_alarms a = gan(log(2), 0);
  n_heard = 0;
  for (int64_t step = 100; step <= 800; step += 100)
    duel_alarms_tick(&a, step,
                     (duel_scalar[]){{"spread_fake", NULL, step < 500 ? 0.4 : 0.05}, {"spread_real", NULL, 0.5}}, 2,
                     hear, NULL);
  assert_int_equal(n_heard, 1);
  assert_says("g_collapsed", "since step 500");
}

// Two trainings whose G nothing bounds: mlp without its tanh, which comes near in the end, and ring with a rate of
// 0.02.
static void test_a_g_that_runs_away(void **state) {
  (void)state;
  static const double far[] = {6.14, 7.01, 4.63, 3.68, 4.55, 3.12,  2.37, 2.66,  3.05,  3.37,
                               2.66, 1.25, 0.76, 1.74, 1.25, 0.638, 1.23, 0.862, 0.473, 0.393};
  duel_alarms a = gan(log(2), 0);
  n_heard = 0;
  for (size_t i = 0; i < sizeof far / sizeof *far; i++)
    duel_alarms_tick(&a, 50 * (int64_t)i + 50, (duel_scalar[]){{"apart", NULL, far[i]}, {"spread_real", NULL, 0.794}},
                     2, hear, NULL);
  assert_int_equal(n_heard, 0);
  static const double away[] = {0.86, 3.05, 4.5, 5.51, 6.35, 7.1};
  a = gan(log(2), 0);
  for (int i = 0; i < 6; i++)
    duel_alarms_tick(&a, 50 * i + 50, (duel_scalar[]){{"apart", NULL, away[i]}, {"spread_real", NULL, 0.63}}, 2, hear,
                     NULL);
  assert_int_equal(n_heard, 1);
  assert_says("g_away", "since step 100: its items are 6.3 apart from them, two of the data differ by 0.63");
}

// Of many classes some come late.
static void test_classes_that_come_one_by_one(void **state) {
  (void)state;
  static const char *const name[] = {"bag", "coat"};
  duel_alarms a = gan(log(2), 0);
  n_heard = 0;
  for (int missed = 9; missed > 0; missed--)
    duel_alarms_tick(&a, 1000 - 100 * missed,
                     (duel_scalar[]){{"test.missed", NULL, missed}, {"test.missed_class", NULL, 1}}, 2, hear, NULL);
  assert_int_equal(n_heard, 0);
  a.facts.class_name = name;
  for (int step = 1000; step <= 1300; step += 100)
    duel_alarms_tick(&a, step, (duel_scalar[]){{"test.missed", NULL, 1}, {"test.missed_class", NULL, 1}}, 2, hear,
                     NULL);
  assert_says("c_misses", "for class 1 (coat) of the 10 since step");
}

// dcgan-64 on fashion-mnist, seed 0: D is far ahead of a G that makes nothing at first.
static void test_the_beginning_of_dcgan_64_tells_none(void **state) {
  (void)state;
  static const struct {
    int64_t step;
    double d_loss, g_loss, d_loss_fake, spread, apart;
  } tick[] = {{10, 0.0861, 4.33, 0.0814, 0.00535, 0.817},    {20, 0.0462, 5.72, 0.0515, 0.0208, 0.756},
              {30, 0.0218, 6.87, 0.0036, 0.05, 0.68},        {40, 0.023, 7.05, 0.0335, 0.0671, 0.653},
              {50, 0.0117, 6.48, 0.0132, 0.0702, 0.651},     {60, 0.00579, 6.71, 0.00993, 0.0681, 0.701},
              {70, 0.00393, 6.7, 0.00656, 0.0643, 0.745},    {80, 0.0027, 6.94, 0.00415, 0.0606, 0.746},
              {90, 0.00193, 7.15, 0.00307, 0.0576, 0.755},   {100, 0.00208, 7.12, 0.00285, 0.0542, 0.758},
              {110, 0.00181, 7.24, 0.00232, 0.0499, 0.776},  {120, 0.00116, 7.27, 0.00205, 0.0471, 0.782},
              {130, 0.000994, 7.21, 0.00183, 0.0454, 0.791}, {140, 0.00102, 7.47, 0.00152, 0.0439, 0.797},
              {150, 0.00111, 7.27, 0.00183, 0.0435, 0.798},  {160, 0.000826, 7.3, 0.00142, 0.0419, 0.8},
              {170, 0.000828, 7.37, 0.00135, 0.0409, 0.804}, {180, 0.000966, 7.48, 0.0013, 0.0408, 0.817},
              {190, 0.00067, 7.6, 0.0012, 0.0412, 0.804},    {200, 0.000533, 7.66, 0.000844, 0.0414, 0.784},
              {210, 0.00619, 7.4, 0.00108, 0.041, 0.753},    {220, 0.00061, 7.75, 0.00109, 0.0418, 0.712},
              {230, 0.00105, 8.28, 0.00124, 0.0436, 0.644},  {240, 0.0121, 4.94, 0.016, 0.0462, 0.555},
              {250, 0.0657, 6.91, 0.0799, 0.0491, 0.583},    {260, 0.0107, 16.6, 6.57e-08, 0.04, 0.725},
              {270, 0.0172, 9.87, 4.35e-05, 0.0385, 0.687},  {280, 0.0667, 5.71, 0.0105, 0.0419, 0.657},
              {290, 0.0485, 10.5, 3.71e-05, 0.0318, 0.683},  {300, 0.0613, 19.6, 4.05e-09, 0.0325, 0.637},
              {310, 0.00911, 5.1, 0.0121, 0.0457, 0.612},    {320, 0.134, 3.79, 0.0415, 0.0878, 0.617},
              {330, 0.109, 4.4, 0.0892, 0.211, 0.434}};
  duel_alarms a = gan(log(2), 0);
  n_heard = 0;
  for (size_t i = 0; i < sizeof tick / sizeof *tick; i++) {
    const duel_scalar scalar[] = {{"d_loss", NULL, tick[i].d_loss},
                                  {"g_loss", NULL, tick[i].g_loss},
                                  {"d_loss_fake", NULL, tick[i].d_loss_fake},
                                  {"sign_fake", NULL, -1},
                                  {"spread_fake", NULL, tick[i].spread},
                                  {"spread_real", NULL, 0.745},
                                  {"apart", NULL, tick[i].apart}};
    duel_alarms_tick(&a, tick[i].step, scalar, sizeof scalar / sizeof *scalar, hear, NULL);
  }
  assert_int_equal(n_heard, 0);
}

static void test_what_a_tick_lacks_tells_nothing(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    duel_alarms a = facts_of(&ticks[i]);
    n_heard = 0;
    for (int64_t step = 100; step <= 1500; step += 100) duel_alarms_tick(&a, step, NULL, 0, hear, NULL);
    assert_int_equal(n_heard, 0);
  }
}

// A D that has won is one at the least loss that there is, which label smoothing raises.
static void test_losses_tell_their_levels(void **state) {
  (void)state;
  static const struct {
    const char *name;
    double keys[2], blind, won;
  } level[] = {{"bce", {0}, 0.693147, 0},
               {"bce", {0.1}, 0.693147, 0.162542},
               {"bce", {0.1, 0.2}, 0.693147, 0.532173},
               {"hinge", {0}, 1, 0},
               {"hinge", {0.2}, 1, 0.4},
               {"lsgan", {0}, 0.25, 0},
               {"lsgan", {0.2}, 0.16, 0},
               {"lsgan", {0.2, 0.1}, 0.16, 0.0576},
               {"rpgan", {0}, 0.693147, 0},
               {"ragan", {0}, 0.693147, 0}};
  for (size_t i = 0; i < sizeof level / sizeof *level; i++) {
    const duel_kind *kind = duel_table_find(&duel_losses, level[i].name);
    duel_key_value value[3] = {{.n = 1, .number = {level[i].keys[0]}}, {.n = 1, .number = {level[i].keys[1]}}};
    const duel_chosen chosen = {.kind = kind, .value = value};
    const duel_loss_ends is = duel_loss_of(&chosen)->ends(&chosen);
    assert_true(fabs(is.blind - level[i].blind) < 1e-6 && fabs(is.won - level[i].won) < 1e-6);
    duel_alarms a = gan(is.blind, is.won);
    n_heard = 0;
    for (int64_t step = 100; step <= 1000; step += 100) {
      const duel_scalar scalar[] = {{"d_loss", NULL, is.won + 1e-4 * (is.blind - is.won)}, {"g_loss", NULL, 10}};
      duel_alarms_tick(&a, step, scalar, 2, hear, NULL);
    }
    assert_says("d_wins", "D tells all fakes");
  }
}

// Where 0 is no bound between what D takes for real and for fake, a sign tells nothing; where D's loss has no ends, it
// does not.
static void test_losses_without_signs_or_ends(void **state) {
  (void)state;
  const duel_scalar fooled[] = {{"sign_fake", NULL, 1}, {"d_loss_fake", NULL, 5}};
  const duel_scalar unsteady[] = {{"d_loss", NULL, 1.5}, {"g_loss", NULL, 5}, {"sign_fake", NULL, 1}};
  for (int with_ends = 0; with_ends < 2; with_ends++) {
    duel_alarms a = with_ends ? gan(log(2), 0) : gan((double)NAN, (double)NAN);
    a.facts.signs = false;
    n_heard = 0;
    for (int64_t step = 100; step <= 1000; step += 100) duel_alarms_tick(&a, step, fooled, 2, hear, NULL);
    assert_int_equal(n_heard, 0);
    for (int64_t step = 1100; step <= 2000; step += 100) duel_alarms_tick(&a, step, unsteady, 3, hear, NULL);
    assert_int_equal(n_heard, with_ends);
  }
}

// ---- looks

static void test_measures_of_items(void **state) {
  (void)state;
  enum { N = 64, SIZE = 50 };
  static float same[N * SIZE], two[N * SIZE], all[N * SIZE];
  uint32_t state_of_draws = 1;
  for (int i = 0; i < N * SIZE; i++) {
    state_of_draws = state_of_draws * 1664525U + 1013904223U;
    all[i] = (float)(int32_t)state_of_draws * 0x1p-31F;
    same[i] = all[i % SIZE];
    two[i] = (i / SIZE) % 3 ? 0.5F : -0.5F;
  }
  const double distance = duel_look_distance(all, N, SIZE);
  assert_true(distance > 0.7 && distance < 0.9); // √(2/3) of independent uniform numbers
  const double of_all = duel_look_spread(all, N, SIZE, 1e-3 * distance);
  assert_true(fabs(of_all / distance - 1) < 0.05);
  assert_true(duel_look_distance(same, N, SIZE) == 0);
  assert_true(duel_look_spread(same, N, SIZE, 1e-3 * distance) < 0.01 * of_all);
  assert_true(duel_look_spread(two, N, SIZE, 1e-3 * distance) < 0.1 * of_all);
  assert_true(duel_look_distance(all, 1, SIZE) == 0 && duel_look_spread(all, 1, SIZE, 1) == 0);
  const float ends[] = {-1, -0.995F, 0, 0.995F, 1};
  assert_true(fabs(duel_look_ends(ends, 5, 1, (duel_reach){"tanh", -1, 1}) - 0.8) < 1e-9);
}

// ---- before the first step

static const char *last_layer = "tanh";

static void put_recipe(void) {
  char text[1024];
  const int n = snprintf(text, sizeof text,
                         "recipe: 1\ndata: synthetic:shapes\nlatent: 8\n"
                         "G: [dense: 16, leaky_relu: 0.2, dense: $C*$H*$W, %s, reshape: [$C, $H, $W]]\n"
                         "D: [flatten, dense: 16, leaky_relu: 0.2, dense: 1]\n"
                         "train: {length: 400 steps, batch: 4}\noutput: {sample: 1 epoch, tick: 20 steps}\n",
                         last_layer);
  scratch_put("tiny.yaml", text, (size_t)n);
}

// 20 images of 8×8 that go from low to high; float32.
static void put_floats(const char *name, double low, double high) {
  static float x[20 * 64];
  for (int i = 0; i < 20 * 64; i++) x[i] = (float)(low + (high - low) * ((i * 7919) % 1280) / 1279);
  must(duel_npy_write(scratch(name), x, 3, (int64_t[]){20, 8, 8}));
}

// The same in bytes: an IDX file of 20×8×8.
static void put_bytes(const char *name, int low, int high) {
  static uint8_t file[16 + 20 * 64];
  static const uint8_t head[16] = {0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 8, 0, 0, 0, 8};
  memcpy(file, head, sizeof head);
  for (int i = 0; i < 20 * 64; i++) file[16 + i] = (uint8_t)(low + (i * 7919) % (high - low + 1));
  scratch_put(name, file, sizeof file);
}

static int samples, checkpoints, epochs;

static void on_event(void *ctx, duel_run *run, const duel_train_event *e) {
  (void)run;
  samples += e->kind == DUEL_EVENT_SAMPLE;
  checkpoints += e->kind == DUEL_EVENT_CHECKPOINT;
  epochs += e->kind == DUEL_EVENT_EPOCH;
  assert_int_equal(e->kind == DUEL_EVENT_ALARM, e->alarm != NULL);
  if (e->alarm) hear(ctx, e->alarm, e->text);
}

static void train(const char *data, const char *const *set, bool dry) {
  duel_set sets[4];
  int n = 0;
  for (; set && set[n]; n++) {
    char *copy = strdup(set[n]), *equals = strchr(copy, '=');
    *equals = 0;
    sets[n] = (duel_set){copy, equals + 1, "--set"};
  }
  n_heard = samples = checkpoints = epochs = 0;
  put_recipe();
  char recipe[4096], from[4096], outdir[4096]; // scratch's texts are few
  snprintf(recipe, sizeof recipe, "%s", scratch("tiny.yaml"));
  snprintf(from, sizeof from, "%s", strchr(data, ':') ? data : scratch(data));
  snprintf(outdir, sizeof outdir, "%s", scratch("runs"));
  must(duel_train(
      &(duel_train_options){.run = {.recipe = recipe, .data = from, .backend = "cpu", .set = sets, .n_set = n},
                            .outdir = outdir,
                            .dry_run = dry,
                            .on_event = on_event},
      NULL));
  for (int i = 0; i < n; i++) free((void *)(uintptr_t)sets[i].key);
}

typedef struct start_case {
  const char *data, *set[3]; // what is wrong
  const char *alarm, *part;
  const char *cure[4]; // settings that end it; none: the data must change
} start_case;

static const start_case starts[] = {
    {"f255.npy",
     {NULL},
     "data_range",
     "go from 0 to 255, G's tanh from -1 to 1: G can never meet the data; save (x - 127.5)/127.5",
     {NULL}},
    {"f01.npy", {NULL}, "data_range", "save (x - 0.5)/0.5 in float32", {NULL}},
    {"f3.npy", {NULL}, "data_range", "go from -3 to 3", {NULL}},
    {"b1.idx", {NULL}, "data_range", "bytes of b1 go from 0 to 1 of 255", {NULL}},
    {"one.npy", {NULL}, "data_alike", "all of the 20 items", {NULL}},
    {"good.npy",
     {"train.batch=64", "train.length=100 epochs"},
     "batch_over_data",
     "the batch (64) is larger than the data set (20 items): a step passes it 3.2 times, and 100 epochs are 32 steps",
     {"train.batch=20", "train.length=1000"}},
    {"good.npy",
     {"D.optim.lr=0"},
     "rate",
     "D never moves: its rate is 0; set D.optim.lr=0.0002",
     {"D.optim.lr=0.0002"}},
    {"good.npy", {"D.optim.lr=1e-7"}, "rate", "D moves 2e+03 times as slowly as G", {"D.optim.lr=0.0002"}},
    {"good.npy", {"D.optim.lr=0.05"}, "rate", "G moves 250 times as slowly as D", {"D.optim.lr=0.0002"}},
    {"good.npy", {"optim.lr=1e-8"}, "rate", "no weight by more than 4e-06", {"optim.lr=0.0002"}},
    {"good.npy",
     {"G.optim.lr={from: 0.001, to: 0.001, warmup: 500}"},
     "schedule",
     "before G's rate has warmed up",
     {"G.optim.lr=0.001"}},
    {"good.npy",
     {"optim.lr={from: 0.001, to: 0, curve: linear, over: 2000}"},
     "schedule",
     "after 400 of 2000 steps",
     {"optim.lr={from: 0.001, to: 0, curve: linear}"}},
    {"good.npy",
     {"D=[flatten, dense: 16, leaky_relu: 0.2, dense: 1, sigmoid]"},
     "logits",
     "D ends in sigmoid, but the loss bce",
     {"D=[flatten, dense: 16, leaky_relu: 0.2, dense: 1]"}},
    {"good.npy",
     {"loss=wasserstein"},
     "unbounded",
     "set loss.clip=0.01",
     {"loss={name: wasserstein, clip: 0.01}", "D.optim.betas=[0, 0.99]"}},
    {"good.npy",
     {"loss=wasserstein", "penalty.lecam=1"},
     "unbounded",
     "the loss wasserstein needs that",
     {"loss={name: wasserstein}", "penalty={gp: 10}"}},
    {"good.npy",
     {"loss=wasserstein"},
     "unbounded",
     "becoming steep",
     {"loss={name: wasserstein}", "D.constraint={name: spectral}"}},
    {"good.npy",
     {"loss={name: wasserstein, clip: 0.01}", "D.optim.betas=[0.5, 0.999]"},
     "clip",
     "a momentum of 0.5, which Arjovsky",
     {"loss={name: wasserstein, clip: 0.01}", "D.optim.betas=[0, 0.99]"}},
    {"good.npy", {"loss.label_smoothing=0.6"}, "labels", "hardly tell", {"loss.label_smoothing=0.1"}},
    {"good.npy",
     {"loss={name: hinge, label_flips: 0.5}"},
     "labels",
     "set loss.label_flips=0.1",
     {"loss={name: hinge, label_flips: 0.1}"}},
    {"good.npy",
     {"G=[dense: 16, {batchnorm: {momentum: 0.0001}}, relu, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]"},
     "batchnorm",
     "96 % of them are still the first after 400 steps",
     {"G=[dense: 16, batchnorm, relu, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]"}},
    {"good.npy",
     {"D=[flatten, {residual: [dense: 16, batchnorm, relu], skip: [dense: 16]}, dense: 1]", "penalty={r1: 1}"},
     "penalty_batchnorm",
     "penalty.r1 is on the slope of D at each item, but with batchnorm (D.1.residual.1)",
     {"D=[flatten, {residual: [dense: 16, layernorm, relu], skip: [dense: 16]}, dense: 1]", "penalty={r1: 1}"}},
    {"good.npy",
     {"G=[dense: 16, batchnorm, relu, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]", "ema=21"},
     "average_statistics",
     "takes the running statistics of G itself (G.1)",
     {"G=[dense: 16, batchnorm, relu, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]",
      "ema={half_life: 21, buffers: standing}"}},
    {"good.npy",
     {"ema={half_life: 10000 steps}"},
     "average",
     "half of it is new after 10000 steps",
     {"ema.half_life=21"}}};

static void put_data(void) {
  put_floats("f255.npy", 0, 255);
  put_floats("f01.npy", 0, 1);
  put_floats("f3.npy", -3, 3);
  put_floats("good.npy", -1, 1);
  put_floats("one.npy", 0.5, 0.5);
  put_bytes("b1.idx", 0, 1);
  put_bytes("b255.idx", 0, 255);
}

static void test_what_cannot_come_to_anything(void **state) {
  (void)state;
  put_data();
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    const start_case *c = &starts[i];
    train(c->data, c->set, true);
    assert_says(c->alarm, c->part);
    for (int k = 0; c->cure[k]; k++)
      if (!strpbrk(c->cure[k], "{[")) assert_says(c->alarm, c->cure[k]);
    if (!c->cure[0]) continue;
    train(c->data, c->cure, true);
    assert_int_equal(n_heard, 0);
  }
  train("good.npy", NULL, true);
  assert_int_equal(n_heard, 0);
  train("b255.idx", NULL, true);
  assert_int_equal(n_heard, 0);
  train("synthetic:shapes", NULL, true);
  assert_int_equal(n_heard, 0);
}

static void test_the_end_of_g_must_reach_the_data(void **state) {
  (void)state;
  put_data();
  last_layer = "sigmoid";
  train("b255.idx", NULL, true);
  assert_says("data_range", "G's sigmoid yields no number below 0: G can never meet the data; let G end in tanh");
  train("good.npy", NULL, true);
  assert_says("data_range", "go from -1 to 1, G's sigmoid from 0 to 1: G can never meet the data");
  train("f01.npy", NULL, true);
  assert_int_equal(n_heard, 0);
  last_layer = "relu";
  train("good.npy", NULL, true);
  assert_says("data_range", "G's relu from 0 up");
  last_layer = "leaky_relu: 0.5"; // nothing bounds it
  train("f255.npy", NULL, true);
  assert_says("data_range", "numbers of this size");
  train("f3.npy", NULL, true);
  assert_int_equal(n_heard, 0);
  last_layer = "tanh";
}

// ---- trainings

static void test_an_epoch_shorter_than_a_step(void **state) {
  (void)state;
  put_data();
  const char *const set[] = {"train.batch=160", "train.length=240 epochs", NULL}; // 30 steps, of 8 epochs each
  train("good.npy", set, false);
  assert_says("batch_over_data", "240 epochs are 30 steps");
  assert_int_equal(samples, 4); // 0, 10, 20, 30
  assert_int_equal(checkpoints, 4);
  assert_int_equal(epochs, 3);
}

static void test_a_training_tells_all_who_listen(void **state) {
  (void)state;
  put_data();
  const char *const set[] = {"D.optim.lr=0.05", NULL};
  train("one.npy", set, false);
  assert_says("data_alike", "are the same");
  assert_says("d_wins", "D tells all fakes");
  size_t n;
  uint8_t *log = scratch_get("runs/latest/log.txt", &n);
  assert_non_null(log);
  log = realloc(log, n + 1);
  log[n] = 0;
  assert_non_null(strstr((char *)log, "\nalarm data_alike at step 0: "));
  const char *told = strstr((char *)log, "\nalarm d_wins at step ");
  assert_non_null(told);
  assert_null(strstr(told + 1, "\nalarm d_wins"));
  free(log);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_is_told_once),
      cmocka_unit_test(test_a_frozen_net_is_as_asked_for),
      cmocka_unit_test(test_good_numbers_tell_none),
      cmocka_unit_test(test_some_ticks_and_steps_must_see_it),
      cmocka_unit_test(test_a_spread_that_grows_is_no_collapse),
      cmocka_unit_test(test_a_spread_that_falls_is_told_soon),
      cmocka_unit_test(test_a_g_that_runs_away),
      cmocka_unit_test(test_classes_that_come_one_by_one),
      cmocka_unit_test(test_the_beginning_of_dcgan_64_tells_none),
      cmocka_unit_test(test_what_a_tick_lacks_tells_nothing),
      cmocka_unit_test(test_losses_tell_their_levels),
      cmocka_unit_test(test_losses_without_signs_or_ends),
      cmocka_unit_test(test_measures_of_items),
      cmocka_unit_test_setup_teardown(test_what_cannot_come_to_anything, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(test_the_end_of_g_must_reach_the_data, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(test_an_epoch_shorter_than_a_step, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(test_a_training_tells_all_who_listen, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
