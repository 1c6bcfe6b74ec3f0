// Penalties in trainings of the game gan: what they tell, in which steps, and that a run resumes to the bit between
// them. Their gradients are in test_ops_grad.c, their trainings against PyTorch in test_trajectory.c. On the backend
// of the environment's DUEL_TEST_BACKENDS.
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

#include "core/plan/plan.h"
#include "duel.h"
#include "io/safetensors.h"
#include "io_help.h"
#include "run/run.h"

enum { MOST_SET = 12 };
static const char *backend = "cpu";

static const char ring[] = "recipe: 1\n"
                           "data: synthetic:ring\n"
                           "latent: 4\n"
                           "G: [dense: 16, tanh, dense: 2]\n"
                           "D: [dense: 16, tanh, dense: 1]\n"
                           "train: {length: 40 steps, batch: 16}\n";

// Settings "key=value", up to NULL.
static duel_status try_run(duel_run **run, const char *from, const char *const *text) {
  duel_set set[MOST_SET];
  char key[MOST_SET][64];
  int n = 0;
  for (; text[n]; n++) {
    const char *equals = strchr(text[n], '=');
    assert_true(n < MOST_SET && equals);
    snprintf(key[n], sizeof *key, "%.*s", (int)(equals - text[n]), text[n]);
    set[n] = (duel_set){key[n], equals + 1, NULL};
  }
  scratch_put("ring.yaml", ring, sizeof ring - 1);
  return duel_run_open(run, &(duel_run_options){.recipe = scratch("ring.yaml"),
                                                .backend = backend,
                                                .checkpoint = from,
                                                .threads = from ? 1 : 2,
                                                .set = set,
                                                .n_set = n});
}

static duel_run *open_run(const char *from, const char *const *text) {
  duel_run *run;
  must(try_run(&run, from, text));
  return run;
}
#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

// The value of the next step; NaN where it has none.
static double next(duel_run *run, const char *name) {
  const duel_scalar *list;
  int n;
  must(duel_run_advance(run, 1));
  const double value = duel_run_scalar(run, name);
  must(duel_run_scalars(run, 1, &list, &n));
  return value;
}

static void near(double got, double want) {
  if (!(fabs(got - want) <= 1e-5 * fmax(1, fabs(want)))) fail_msg("%.9g is not %.9g", got, want);
}

// D(x) = w·x has the slope w everywhere.
static void of_a_plane(void **state) {
  (void)state;
  duel_run *run = open_run(NULL, SET("D=[dense: 1]", "penalty={gp: 3, dragan: 2, r1: 4, r2: 5}", "run.precision=fp32"));
  must(duel_run_save(run, scratch("start")));
  duel_tensor_file f;
  must(duel_tensors_read(&f, scratch("start")));
  const float *w = duel_tensors_find(&f, "D.0.weight")->data;
  const double squares = (double)w[0] * (double)w[0] + (double)w[1] * (double)w[1], excess = sqrt(squares) - 1;
  duel_tensors_close(&f);
  must(duel_run_advance(run, 1));
  near(duel_run_scalar(run, "penalty.gp"), 3 * excess * excess);
  near(duel_run_scalar(run, "penalty.dragan"), 2 * excess * excess);
  near(duel_run_scalar(run, "penalty.r1"), 4 * squares / 2);
  near(duel_run_scalar(run, "penalty.r2"), 5 * squares / 2);
  duel_run_close(run);
}

// Nets that rest, so that a step differs from the same step of another run by the weight alone.
static void scheduled(void **state) {
  (void)state;
  const char *const rest = "optim={lr: 0}";
  duel_run *one = open_run(NULL, SET(rest, "penalty={gp: {weight: 1, every: 2}}"));
  duel_run *two = open_run(NULL, SET(rest, "penalty={gp: {weight: {from: 2, to: 10, over: 8 steps}, every: 2}}"));
  for (int t = 0; t < 12; t++) {
    const double fixed = next(one, "penalty.gp"), scaled = next(two, "penalty.gp");
    assert_true(isnan(fixed) == (t % 2 == 1) && isnan(scaled) == isnan(fixed));
    if (t % 2 == 0) assert_true(fixed > 0);
    if (t % 2 == 0) near(scaled / fixed, t < 8 ? 2 + t : 10);
  }
  duel_run_close(one);
  duel_run_close(two);
}

// Which steps have a penalty; the sum over a step's penalties is what the graph of that kind of step adds.
static void several_periods(void **state) {
  (void)state;
  static const int every[] = {1, 2, 3};
  static const char *const name[] = {"penalty.gp", "penalty.r1", "penalty.r2"};
  duel_run *run = open_run(NULL, SET("penalty={gp: 1, r1: {weight: 1, every: 2}, r2: {weight: 1, every: 3}}"));
  for (int t = 0; t < 13; t++) {
    const duel_scalar *list;
    int n;
    must(duel_run_advance(run, 1));
    for (int i = 0; i < 3; i++) assert_true(isfinite(duel_run_scalar(run, name[i])) == (t % every[i] == 0));
    must(duel_run_scalars(run, 1, &list, &n));
  }
  duel_run_close(run);
}

static void save_after(const char *from, int64_t steps, const char *name, const char *const *text) {
  duel_run *run = open_run(from, text);
  must(duel_run_advance(run, steps));
  must(duel_run_save(run, scratch(name)));
  duel_run_close(run);
}

// 7 + 7 steps, 7 within all periods; on CUDA replayed and not.
static void resumes(const char *const *text, const char *const *uncaptured) {
  char half[4096];
  save_after(NULL, 7, "half", text);
  save_after(NULL, 14, "whole", text);
  snprintf(half, sizeof half, "%s", scratch("half"));
  save_after(half, 7, "rest", text);
  assert_true(scratch_same("whole", "rest"));
  save_after(NULL, 14, "plain", uncaptured);
  assert_true(scratch_same("whole", "plain"));
}

static void between_periods(void **state) {
  (void)state;
  const char *const lazy = "penalty={gp: {every: 2}, dragan: {every: 3, weight: {from: 1, to: 0}}, r1: {every: 4}}";
  resumes(SET(lazy, "train.d_steps=2"), SET(lazy, "train.d_steps=2", "run.capture=off"));
  const char *const apart = "penalty={r1: {weight: 5, every: 4}, r2: 0.1}";
  resumes(SET(apart, "train.d_update=separate"), SET(apart, "train.d_update=separate", "run.capture=off"));
}

static void with_state(void **state) {
  (void)state;
  const char *const lecam = "penalty={lecam: {start: 5, every: 2}, consistency: {z: 20, every: 3}}";
  resumes(SET(lecam, "train.d_steps=2"), SET(lecam, "train.d_steps=2", "run.capture=off"));
  const char *const own = "penalty={r1: {weight: 1, every: 4, update: own}, r2: {every: 4, update: own}}";
  resumes(SET(own, "train.d_steps=2"), SET(own, "train.d_steps=2", "run.capture=off"));
}

static double tensor(const char *name, const char *tensor) {
  duel_tensor_file f;
  must(duel_tensors_read(&f, scratch(name)));
  const duel_entry *e = duel_tensors_find(&f, tensor);
  if (!e) fail_msg("%s has no %s", name, tensor);
  const double value = (double)*(const float *)e->data;
  duel_tensors_close(&f);
  return value;
}

// p and the signs so far are state: 7 is between two of its turns.
#define IMAGES                                                                                                         \
  "data={path: synthetic:shapes, limit: 40}", "G=[dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]",                      \
      "D=[flatten, dense: 1]"
static void augmented(void **state) {
  (void)state;
  const char *const ada = "augment={policy: ada, target: 0, speed: 0.5}";
  resumes(SET(ada, IMAGES, "train.d_steps=2", "train.shards=2"),
          SET(ada, IMAGES, "train.d_steps=2", "train.shards=2", "run.capture=off"));
  assert_true(tensor("whole", "augment.p") > 0 && tensor("whole", "augment.p") <= 0.8);
  assert_true(tensor("whole", "augment.signs") != 0);
  const char *const both = "penalty={consistency: {real: 10, fake: 10, z: 5, every: 3}}";
  resumes(SET(both, IMAGES), SET(both, IMAGES, "run.capture=off"));
}

// Averages move from step 0 on, the term is added from `start` on; what a checkpoint lacks of them is missed.
static void lecam(void **state) {
  (void)state;
  const char *const *set = SET("optim={lr: 0}", "penalty={lecam: {start: 3}}");
  duel_run *run = open_run(NULL, set);
  double real = 0, fake = 0;
  for (int t = 0; t < 6; t++) {
    must(duel_run_advance(run, 1));
    real = 0.99 * real + 0.01 * duel_run_scalar(run, "score_real");
    fake = 0.99 * fake + 0.01 * duel_run_scalar(run, "score_fake");
    assert_true((duel_run_scalar(run, "penalty.lecam") > 0) == (t >= 3));
    const duel_scalar *list;
    int n;
    must(duel_run_scalars(run, 1, &list, &n));
  }
  must(duel_run_save(run, scratch("six")));
  duel_run_close(run);
  near(tensor("six", "penalty.lecam.real"), real);
  near(tensor("six", "penalty.lecam.fake"), fake);

  duel_tensor_file f;
  char path[4096];
  must(duel_tensors_read(&f, scratch("six")));
  duel_entry *entry = malloc((size_t)f.n * sizeof *entry);
  duel_meta meta[32];
  int n = 0, n_meta = 0;
  for (int i = 0; i < f.n; i++)
    if (strcmp(f.entry[i].name, "penalty.lecam.fake") != 0) entry[n++] = f.entry[i];
  for (int i = 0; i < f.n_meta; i++)
    if (strcmp(f.meta[i].key, "crc32c") != 0) meta[n_meta++] = f.meta[i];
  snprintf(path, sizeof path, "%s", scratch("less"));
  must(duel_tensors_write(path, entry, n, meta, n_meta));
  free(entry);
  duel_tensors_close(&f);
  assert_int_equal(try_run(&run, path, set), DUEL_ERR_DATA);
  assert_message("has no tensor penalty.lecam.fake, which the recipe needs");

  // A new run from these weights counts from 0.
  must(duel_run_open(&run, &(duel_run_options){.recipe = scratch("ring.yaml"),
                                               .backend = backend,
                                               .init = scratch("six"),
                                               .init_optimizer = 1,
                                               .set = &(duel_set){"penalty", "{lecam: {}}", NULL},
                                               .n_set = 1}));
  must(duel_run_save(run, scratch("new")));
  duel_run_close(run);
  assert_true(tensor("new", "penalty.lecam.real") == 0 && tensor("new", "penalty.lecam.fake") == 0);
}

// n updates on the loss and one of the penalty's own move as n would: rate and betas are n/(n + 1) of what is said.
static void updates_of_its_own(void **state) {
  (void)state;
  duel_run *run = open_run(NULL, SET("penalty={r1: {weight: 1, every: 3, update: own}}", "optim.lr=0.004"));
  must(duel_run_advance(run, 7)); // steps 0, 3 and 6 have one more
  near(duel_run_scalar(run, "lr_d"), 0.003);
  near(duel_run_scalar(run, "lr_g"), 0.004);
  must(duel_run_save(run, scratch("seven")));
  duel_run_close(run);
  duel_tensor_file f;
  must(duel_tensors_read(&f, scratch("seven")));
  assert_string_equal(duel_tensors_meta(&f, "updates.D"), "10");
  assert_string_equal(duel_tensors_meta(&f, "updates.G"), "7");
  duel_tensors_close(&f);
}

// Products in the plan of a step in which all is due.
static int products(const char *penalty) {
  duel_run *run = open_run(NULL, SET("D=[dense: 16, leaky_relu, dense: 1]", penalty));
  const duel_graph *g = run->trainer->variant[0].plan->graph;
  int n = 0;
  for (int i = 0; i < g->n_nodes; i++) n += duel_op_records[g->node[i]->op]->kind == DUEL_KIND_PRODUCT;
  duel_run_close(run);
  return n;
}

// D has two layers. The gradient in an item takes a product of each; its own gradient one of each by its weight, and
// the lower layer's by what comes into it. r1 and r2 take the loss's pass of D. gp makes one, in which nobody reads
// what the last layer yields.
static void nothing_twice(void **state) {
  (void)state;
  const int none = products("penalty={}");
  assert_int_equal(products("penalty={r1: 1}") - none, 2 + 2 + 1);
  assert_int_equal(products("penalty={r2: {every: 4}}") - none, 2 + 2 + 1);
  assert_int_equal(products("penalty={gp: 1}") - none, 1 + 2 + 2 + 1);
}

static void refused(void **state) {
  (void)state;
  duel_run *run;
  assert_int_equal(try_run(&run, NULL, SET("penalty={r1: 1, dragan: 10}", "train.d_update=separate")), DUEL_ERR_USAGE);
  assert_message("penalty.dragan belongs to an update on real items and fakes together, but train.d_update: separate "
                 "has none; set train.d_update=joint");
  assert_int_equal(try_run(&run, NULL, SET("penalty={r1: auto}")), DUEL_ERR_USAGE);
  assert_message(
      "penalty.r1.weight: auto is 0.0002*H*W/batch, but the data are points, which have no height and width; "
      "set a number, penalty.r1.weight=1");
  assert_int_equal(
      try_run(&run, NULL, SET("penalty={gp: {every: 2}, dragan: {every: 3}, r1: {every: 4}, r2: {every: 5}}")),
      DUEL_ERR_USAGE);
  assert_message("a recipe has at most 3 different n in `every: n`");
  assert_int_equal(try_run(&run, NULL, SET("penalty={r1: {update: own}}", "train.d_update=separate")), DUEL_ERR_USAGE);
  assert_message("penalty.r1.update: own follows one update on both sides, but train.d_update: separate has two; set "
                 "train.d_update=joint");
  assert_int_equal(try_run(&run, NULL, SET("penalty={r1: {update: own, every: 4}, r2: {update: own}}")),
                   DUEL_ERR_USAGE);
  assert_message("penalty.r1 and penalty.r2 share the update of their own, but not `every`; set penalty.r2.every=4");
}

static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  return scratch_setup(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(of_a_plane, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(scheduled, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(several_periods, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(between_periods, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(with_state, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(augmented, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(lecam, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(updates_of_its_own, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(nothing_twice, set_up, scratch_teardown),
      cmocka_unit_test_setup_teardown(refused, set_up, scratch_teardown),
  };
  return cmocka_run_group_tests_name("penalties", tests, NULL, NULL);
}
