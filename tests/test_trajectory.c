// Golden trajectories: small trainings of 20 steps, as PyTorch computed them in float64 (golden/trajectory/README.md).
// Every tensor's error, ‖engine − end‖ / ‖end − start‖, is at most 2e-4, or twice that of PyTorch's own float32 where
// that is more; every scalar of every step is told. On each backend of DUEL_TEST_BACKENDS. DUEL_TRAJECTORIES names
// another folder of them.
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gan/games/game.h"
#include "io_help.h"
#include "run/run.h"
#include "run_case.h"

enum { MOST_TENSORS = 128, MOST_CASES = 256 };
static const double LIMIT = 2e-4, LOOSE = 0.02; // LOOSE: what float32 misses so far, a case cannot tell from a fault

static const char *folder(void) {
  static char path[1024];
  const char *source = getenv("DUEL_SOURCE"), *other = getenv("DUEL_TRAJECTORIES");
  if (other) return other;
  snprintf(path, sizeof path, "%s/tests/golden/trajectory", source ? source : ".");
  return path;
}

// The recipe of a case on the file that the golden one names.
static duel_trainer *open_case(const char *name, const char *data_file, const duel_backend_api *api) {
  char recipe_path[1200], data_path[1200];
  snprintf(recipe_path, sizeof recipe_path, "%s/%s.yaml", folder(), name);
  snprintf(data_path, sizeof data_path, "%s/%s", folder(), data_file);
  duel_resolved what;
  duel_trainer *trainer;
  must(duel_run_resolve(&what, &(duel_run_options){.recipe = recipe_path, .data = data_path}, NULL));
  must(duel_trainer_open(&trainer, &what, false, api, &(duel_backend_options){.threads = 2, .precision = "fp32"}));
  return trainer;
}

// The tensors named "start.*", as a checkpoint of their own.
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

static const duel_entry *find(const duel_tensor_file *golden, const char *kind, const char *name) {
  char text[192];
  snprintf(text, sizeof text, "%s.%s", kind, name);
  const duel_entry *e = duel_tensors_find(golden, text);
  if (!e) fail_msg("%s is missing", text);
  return e;
}

// Of a tensor: ‖ours − end‖ / ‖end − start‖. A moving average begins as its net.
static double error_of(const duel_tensor_file *golden, const duel_tensor_file *ours, const char *name) {
  char first[160];
  const bool average = !strncmp(name + 1, "_ema.", 5);
  snprintf(first, sizeof first, "%.1s%s", name, name + (average ? 5 : 1));
  const duel_entry *start = find(golden, "start", first), *end = find(golden, "end", name);
  const duel_entry *is = duel_tensors_find(ours, name);
  if (!is) fail_msg("%s is missing in the checkpoint", name);
  const size_t n = end->bytes / sizeof(double);
  assert_int_equal(is->bytes, n * sizeof(float));
  double movement = 0, error = 0;
  for (size_t i = 0; i < n; i++) {
    const double want = ((const double *)end->data)[i], moved = want - (double)((const float *)start->data)[i];
    const double off = (double)((const float *)is->data)[i] - want;
    movement += moved * moved;
    error += off * off;
  }
  return sqrt(error / movement);
}

// What did not move there must not here.
static void check_still(const duel_tensor_file *golden, const duel_tensor_file *ours) {
  for (int i = 0; i < golden->n; i++)
    if (!strncmp(golden->entry[i].name, "end.", 4) && isinf(error_of(golden, ours, golden->entry[i].name + 4)))
      fail_msg("%s has moved", golden->entry[i].name + 4);
}

static const duel_scalar *scalar(duel_trainer *t, const char *name) {
  const duel_scalar *list;
  const int n = duel_scalars_list(&t->vars_of_step.scalars, &list);
  for (int i = 0; i < n; i++)
    if (!strcmp(list[i].name, name)) return &list[i];
  return NULL;
}

// Those that the file has, one number a step: NaN in steps that do not make it.
static void check_scalars(duel_trainer *t, const duel_tensor_file *golden, int64_t step) {
  int n = 0;
  for (int i = 0; i < golden->n; i++) {
    const duel_entry *e = &golden->entry[i];
    if (strncmp(e->name, "scalar.", 7)) continue;
    const duel_scalar *is = scalar(t, e->name + 7);
    const double want = ((const double *)e->data)[step];
    n++;
    if (isnan(want) != !is) fail_msg("step %d: %s is told or not against the file", (int)step, e->name);
    if (is && !(fabs(is->value - want) <= 1e-4 * fmax(1, fabs(want))))
      fail_msg("step %d: %s %.7f, not %.7f", (int)step, e->name, is->value, want);
  }
  assert_true(n >= 2);
}

static void compare(const char *name, const duel_backend_api *api, const duel_tensor_file *golden,
                    const duel_tensor_file *ours) {
  const char *nearest = NULL;
  double share = 0, error_there = 0, float32_there = 0;
  int n = 0;
  for (int i = 0; i < golden->n; i++) {
    if (strncmp(golden->entry[i].name, "float32.", 8)) continue;
    const char *tensor = golden->entry[i].name + 8;
    const double float32 = *(const double *)golden->entry[i].data, error = error_of(golden, ours, tensor);
    if (!(float32 < LOOSE)) fail_msg("%s of %s is loose: float32 itself is off by %.1e", tensor, name, float32);
    const double part = error / fmax(LIMIT, 2 * float32);
    n++;
    if (part <= share) continue;
    nearest = tensor, share = part, error_there = error, float32_there = float32; // NaN stays
    if (!(part <= 1)) break;
  }
  assert_true(n >= 4);
  print_message("trajectory: %-16s %-4s %-22s off by %.1e of its movement, PyTorch's float32 by %.1e, limit %.1e\n",
                name, api->name, nearest ? nearest : "nothing", error_there, float32_there,
                fmax(LIMIT, 2 * float32_there));
  if (!(share <= 1)) fail_msg("%s on %s: %s is off by too much", name, api->name, nearest);
}

static void check_on(const duel_backend_api *api, const char *name) {
  char golden_path[1200], path[] = "/tmp/duel-trajectory-XXXXXX";
  snprintf(golden_path, sizeof golden_path, "%s/%s.safetensors", folder(), name);
  duel_tensor_file golden, ours;
  must(duel_tensors_read(&golden, golden_path));
  duel_trainer *t = open_case(name, duel_tensors_meta(&golden, "data"), api);
  load_start(t, &golden);
  const int64_t steps = atoi(duel_tensors_meta(&golden, "steps"));
  assert_int_equal(steps, 20);
  for (int64_t i = 0; i < steps; i++) {
    must(duel_trainer_advance(t, 1));
    must(duel_trainer_settle(t));
    check_scalars(t, &golden, i);
    duel_scalars_tick(&t->vars_of_step.scalars);
  }
  int descriptor = mkstemp(path);
  assert_true(descriptor >= 0);
  close(descriptor);
  must(duel_trainer_save(t, path));
  must(duel_tensors_read(&ours, path));
  unlink(path);
  compare(name, api, &golden, &ours);
  check_still(&golden, &ours);
  duel_tensors_close(&golden);
  duel_tensors_close(&ours);
  duel_trainer_close(t);
}

static void check_case(void **state) {
  for (int i = 0; i < duel_test_backends_n; i++) check_on(duel_test_backends[i], *state);
}

// One test a recipe of the folder.
static int is_recipe(const struct dirent *entry) {
  const char *dot = strrchr(entry->d_name, '.');
  return dot && !strcmp(dot, ".yaml");
}

int main(void) {
  struct dirent **entry;
  struct CMUnitTest tests[MOST_CASES];
  const int n = scandir(folder(), &entry, is_recipe, alphasort);
  if (n < 1 || n > MOST_CASES) {
    fprintf(stderr, "%s has %d trajectories\n", folder(), n);
    return 1;
  }
  for (int i = 0; i < n; i++) {
    *strrchr(entry[i]->d_name, '.') = 0;
    tests[i] =
        (struct CMUnitTest){.name = entry[i]->d_name, .test_func = check_case, .initial_state = entry[i]->d_name};
  }
  const int failed = _cmocka_run_group_tests("trajectories", tests, (size_t)n, NULL, NULL);
  for (int i = 0; i < n; i++) free(entry[i]);
  free(entry);
  return failed;
}
