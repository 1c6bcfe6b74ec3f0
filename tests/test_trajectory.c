// Golden trajectories: small GANs and a classifier after 20 steps, as PyTorch computed them in float64
// (tests/golden/trajectory/README.md). Every tensor's error, ‖engine − end‖ / ‖end − start‖, is at most twice the worst
// of PyTorch's own float32. On each backend of DUEL_TEST_BACKENDS.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gan/game.h"
#include "io_help.h"
#include "run/run.h"
#include "run_case.h"

enum { MOST_TENSORS = 128 };

static const char *source_folder(void) {
  const char *folder = getenv("DUEL_SOURCE");
  return folder ? folder : ".";
}

// The recipe of a case on the file that its `data` names.
static duel_trainer *open_case(const char *name, const char *data_file, const duel_backend_api *api) {
  char recipe_path[1024], data_path[1024];
  snprintf(recipe_path, sizeof recipe_path, "%s/tests/golden/trajectory/%s.yaml", source_folder(), name);
  snprintf(data_path, sizeof data_path, "%s/tests/golden/trajectory/%s", source_folder(), data_file);
  duel_resolved what;
  duel_trainer *trainer;
  must(duel_run_resolve(&what, &(duel_run_options){.recipe = recipe_path, .data = data_path}, NULL));
  must(duel_trainer_open(&trainer, &what, false, api, &(duel_backend_options){.threads = 2, .precision = "fp32"}));
  return trainer;
}

// The weights and buffers named "start.*", as a checkpoint of their own.
static void load_start(duel_trainer *t, const duel_tensor_file *golden) {
  duel_entry entry[MOST_TENSORS];
  duel_tensor_file start = {.entry = entry};
  must(duel_trainer_init(t));
  for (int i = 0; i < golden->n; i++) {
    if (strncmp(golden->entry[i].name, "start.", 6)) continue;
    assert_true(start.n < MOST_TENSORS);
    entry[start.n] = golden->entry[i];
    entry[start.n++].name += 6;
  }
  must(duel_trainer_load(t, &start, "start", false));
}

typedef struct compared {
  const char *name;
  double movement, error;
  bool buffer;
} compared;

static compared compare(const duel_tensor_file *golden, const duel_tensor_file *ours, const duel_entry *end) {
  compared c = {.name = end->name + 4, .buffer = strstr(end->name, "running_") != NULL};
  char start_name[160];
  const bool ema = !strncmp(c.name + 1, "_ema.", 5); // the moving average begins as its net
  snprintf(start_name, sizeof start_name, "start.%.1s%s", c.name, c.name + (ema ? 5 : 1));
  const duel_entry *start = duel_tensors_find(golden, start_name), *is = duel_tensors_find(ours, c.name);
  if (!start || !is) fail_msg("%s is missing", start ? c.name : start_name);
  size_t n = end->bytes / sizeof(double);
  assert_int_equal(is->bytes, n * sizeof(float));
  for (size_t i = 0; i < n; i++) {
    double want = ((const double *)end->data)[i], moved = want - (double)((const float *)start->data)[i];
    double off = (double)((const float *)is->data)[i] - want;
    c.movement += moved * moved;
    c.error += off * off;
  }
  c.movement = sqrt(c.movement);
  c.error = sqrt(c.error);
  return c;
}

static int by_movement(const void *a, const void *b) {
  double x = ((const compared *)a)->movement, y = ((const compared *)b)->movement;
  return (x > y) - (x < y);
}

// Median movement of a player's parameters.
static double median_movement(const compared *all, int n, char player) {
  compared list[MOST_TENSORS];
  int count = 0;
  for (int i = 0; i < n; i++)
    if (all[i].name[0] == player && all[i].name[1] == '.' && !all[i].buffer) list[count++] = all[i];
  assert_true(count > 0);
  qsort(list, (size_t)count, sizeof *list, by_movement);
  return list[count / 2].movement;
}

static double scalar(duel_trainer *t, const char *name) {
  const duel_scalar *list;
  const int n = duel_scalars_list(&t->vars_of_step.scalars, &list);
  for (int i = 0; i < n; i++)
    if (!strcmp(list[i].name, name)) return list[i].value;
  fail_msg("no step made %s", name);
  return 0;
}

// Those that the file has as one number a step, under names without a dot. Returns how many.
static int check_scalars(duel_trainer *t, const duel_tensor_file *golden, int64_t step) {
  int n = 0;
  for (int i = 0; i < golden->n; i++) {
    const duel_entry *e = &golden->entry[i];
    if (strchr(e->name, '.')) continue;
    const double is = scalar(t, e->name), want = ((const double *)e->data)[step];
    if (!(fabs(is - want) <= 1e-4)) fail_msg("step %d: %s %.7f, not %.7f", (int)step, e->name, is, want);
    n++;
  }
  return n;
}

static void check_on(const duel_backend_api *api, const char *name, const char *data_file) {
  char golden_path[1024], path[] = "/tmp/duel-trajectory-XXXXXX";
  snprintf(golden_path, sizeof golden_path, "%s/tests/golden/trajectory/%s.safetensors", source_folder(), name);
  duel_tensor_file golden, ours;
  must(duel_tensors_read(&golden, golden_path));
  duel_trainer *t = open_case(name, data_file, api);
  load_start(t, &golden);

  const int64_t steps = atoi(duel_tensors_meta(&golden, "steps"));
  assert_int_equal(steps, 20);
  for (int64_t i = 0; i < steps; i++) {
    must(duel_trainer_advance(t, 1));
    must(duel_trainer_settle(t));
    assert_int_equal(check_scalars(t, &golden, i), 2);
    duel_scalars_tick(&t->vars_of_step.scalars);
  }

  int descriptor = mkstemp(path);
  assert_true(descriptor >= 0);
  close(descriptor);
  must(duel_trainer_save(t, path));
  must(duel_tensors_read(&ours, path));
  unlink(path);
  compared all[MOST_TENSORS];
  int n = 0, checked = 0;
  for (int i = 0; i < golden.n; i++)
    if (!strncmp(golden.entry[i].name, "end.", 4)) all[n++] = compare(&golden, &ours, &golden.entry[i]);
  double bound = 2 * atof(duel_tensors_meta(&golden, "worst_float32")), worst = 0;
  assert_true(bound > 0 && bound < 0.05);
  for (int i = 0; i < n; i++) {
    if (!(all[i].movement >= 1e-3 * median_movement(all, n, all[i].name[0]))) continue;
    double error = all[i].error / all[i].movement;
    if (!(error <= bound)) fail_msg("%s is off by %.3g of its movement, more than %.3g", all[i].name, error, bound);
    if (error > worst) worst = error;
    checked++;
  }
  assert_true(checked >= 4);
  print_message("%s on %s: %d tensors, worst error %.2e, bound %.2e\n", name, api->name, checked, worst, bound);
  duel_tensors_close(&golden);
  duel_tensors_close(&ours);
  duel_trainer_close(t);
}

static void check_trajectory(const char *name, const char *data_file) {
  for (int i = 0; i < duel_test_backends_n; i++) check_on(duel_test_backends[i], name, data_file);
}

static void test_separate(void **state) {
  (void)state;
  check_trajectory("separate", "images-idx3-ubyte");
}
static void test_joint(void **state) {
  (void)state;
  check_trajectory("joint", "images-idx3-ubyte");
}
static void test_sgd(void **state) {
  (void)state;
  check_trajectory("sgd", "points-idx2-float");
}
static void test_dropout(void **state) {
  (void)state;
  check_trajectory("dropout", "points-idx2-float");
}
static void test_conv(void **state) {
  (void)state;
  check_trajectory("conv", "images-idx3-ubyte");
}
static void test_blocks(void **state) {
  (void)state;
  check_trajectory("blocks", "images-idx3-ubyte");
}
static void test_classifier(void **state) {
  (void)state;
  check_trajectory("classifier", "images-idx3-ubyte");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_separate),  cmocka_unit_test(test_joint),
                                     cmocka_unit_test(test_sgd),       cmocka_unit_test(test_dropout),
                                     cmocka_unit_test(test_conv),      cmocka_unit_test(test_blocks),
                                     cmocka_unit_test(test_classifier)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
