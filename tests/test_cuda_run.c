// Training on the CUDA backend through duel.h: captured or not, the same bits; as near to the CPU as float32 can be;
// checkpoints go from one backend to the other and back; the host neither waits nor allocates between ticks; every call
// of the device may fail. Counting and failing are the emulator's: on a GPU those tests are skipped.
#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "duel.h"
#include "io/safetensors.h"
#include "run/registry.h"
#include "run_help.h"
#include "variants.h"

static const size_t EMULATED_MEMORY = (size_t)8 << 30; // the emulator's default

// The emulator's, NULL on a GPU.
static unsigned long long (*count_of)(const char *kind);
static int (*fail_at)(const char *kind, unsigned long long n, const char *how);
static int (*set_streams)(const char *streams);
static void (*set_memory)(size_t bytes);
static int (*set_devices)(const char *list);
static size_t (*bytes_in_use)(void);
static unsigned long long (*branches)(void);

static void find(void *library, const char *name, void *function) {
  void *symbol = library ? dlsym(library, name) : NULL;
  memcpy(function, &symbol, sizeof symbol);
}

static int set_up(void **state) {
  void *library = dlopen(getenv("DUEL_CUDA_LIBRARY"), RTLD_NOW);
  find(library, "cuemu_count", &count_of);
  find(library, "cuemu_fail", &fail_at);
  find(library, "cuemu_set_streams", &set_streams);
  find(library, "cuemu_set_memory", &set_memory);
  find(library, "cuemu_set_devices", &set_devices);
  find(library, "cuemu_bytes_in_use", &bytes_in_use);
  find(library, "cuemu_branches", &branches);
  return small_recipe_setup(state);
}

static bool smooth; // runs that are opened have no kinks

// How far two orders of float32 sums lie apart after some steps without kinks, of the movement: sums of up to 784 terms
// are off by some 1e-6 of themselves, and Adam, which divides each gradient by its size, passes that on in full where a
// gradient is small.
static const double ROUNDING = 5e-4;

static duel_run *open_run(const char *backend, const char *from, const char *name, const char *capture,
                          const char *precision) {
  duel_run *run;
  // With slope 1 nothing of the small recipe has a kink, which would make much of a little rounding.
  duel_set set[] = {{"run.capture", capture, NULL},
                    {"run.precision", precision, NULL},
                    {"G.2.leaky_relu", "1", NULL},
                    {"D.2.leaky_relu", "1", NULL}};
  duel_run_options o = {.recipe = from ? NULL : name,
                        .backend = backend,
                        .set = set,
                        .n_set = smooth && !from ? 4 : 2,
                        .checkpoint = from,
                        .threads = 2};
  must(duel_run_open(&run, &o));
  return run;
}

static void train(const char *backend, const char *from, int64_t to, const char *capture, const char *path) {
  duel_run *run = open_run(backend, from, small_recipe, capture, "fp32");
  duel_stats s;
  must(duel_run_stats(run, &s));
  must(duel_run_advance(run, to - s.step));
  must(duel_run_save(run, path));
  duel_run_close(run);
}

// ‖a − b‖ / ‖a − start‖ of the tensor in which that is largest, moments left out.
static double drift(const char *start_path, const char *a_path, const char *b_path) {
  duel_tensor_file start, a, b;
  must(duel_tensors_read(&start, start_path));
  must(duel_tensors_read(&a, a_path));
  must(duel_tensors_read(&b, b_path));
  double worst = 0, most = 0;
  for (int pass = 0; pass < 2; pass++) // first how far the weights move; those that hardly do are noise
    for (int i = 0; i < a.n; i++) {
      const duel_entry *x = &a.entry[i], *y = duel_tensors_find(&b, x->name), *s = duel_tensors_find(&start, x->name);
      if (!strncmp(x->name, "opt.", 4)) continue;
      assert_true(y && s && x->bytes == y->bytes && x->bytes == s->bytes);
      double off = 0, moved = 0;
      for (size_t k = 0; k < x->bytes / sizeof(float); k++) {
        double p = ((const float *)x->data)[k], q = ((const float *)y->data)[k], r = ((const float *)s->data)[k];
        off += (p - q) * (p - q);
        moved += (p - r) * (p - r);
      }
      if (pass == 0) most = fmax(most, moved);
      if (pass == 1 && moved >= 1e-6 * most) worst = fmax(worst, sqrt(off / moved));
      assert_true(isfinite(off));
    }
  duel_tensors_close(&start);
  duel_tensors_close(&a);
  duel_tensors_close(&b);
  return worst;
}

static void test_capture_changes_no_bit(void **state) {
  (void)state;
  train("cuda", NULL, 37, "on", scratch("a")); // 4 launches of 8 steps, 5 of one
  train("cuda", NULL, 37, "off", scratch("b"));
  assert_true(scratch_same("a", "b"));
}

static void test_lazy_streams_change_no_bit(void **state) {
  (void)state;
  if (!set_streams) skip();
  train("cuda", NULL, 37, "on", scratch("a"));
  set_streams("lazy");
  train("cuda", NULL, 37, "on", scratch("b"));
  train("cuda", NULL, 37, "off", scratch("c"));
  set_streams("eager");
  assert_true(scratch_same("a", "b"));
  assert_true(scratch_same("a", "c"));
}

// More steps than the ring has slots, asked for at once and one by one.
static void test_the_ring_goes_round(void **state) {
  (void)state;
  train("cuda", NULL, 600, "on", scratch("a"));
  duel_run *run = open_run("cuda", NULL, small_recipe, "on", "fp32");
  duel_stats s;
  for (int i = 0; i < 600; i++) {
    must(duel_run_advance(run, 1));
    if (i % 31 == 0) {
      must(duel_run_stats(run, &s));
      assert_int_equal(s.step, i + 1);
    }
  }
  must(duel_run_save(run, scratch("b")));
  duel_run_close(run);
  assert_true(scratch_same("a", "b"));
}

static void test_a_checkpoint_goes_on_anywhere(void **state) {
  (void)state;
  smooth = true;
  train("cpu", NULL, 0, "on", scratch("start"));
  train("cuda", NULL, 0, "on", scratch("b"));
  assert_true(drift(scratch("start"), scratch("start"), scratch("b")) == 0); // one initialization
  train("cpu", NULL, 24, "on", scratch("a"));
  train("cpu", NULL, 8, "on", scratch("b"));
  train("cuda", scratch("b"), 16, "on", scratch("c"));
  train("cpu", scratch("c"), 24, "on", scratch("d"));
  smooth = false;
  double off = drift(scratch("start"), scratch("a"), scratch("d"));
  print_message("8 steps on the CPU, 8 on CUDA, 8 on the CPU: off by %.2e of the movement\n", off);
  assert_true(off > 0 && off < ROUNDING);
}

// How far so many steps on both backends lie apart, on real images where they are; on the GPU in each precision of the
// list.
static void apart(const char *recipe, int steps, const char *const *precision, int n, double *off) {
  const char *data = NULL;
  for (int i = 0; i <= n; i++) {
    duel_run *run;
    duel_set set[] = {{"run.precision", i ? precision[i - 1] : "fp32", NULL}};
    duel_run_options o = {
        .recipe = recipe, .data = data, .backend = i ? "cuda" : "cpu", .set = set, .n_set = 1, .threads = 2};
    duel_status status = duel_run_open(&run, &o);
    if (i == 0 && status == DUEL_ERR_DATA) {
      o.data = data = "synthetic:shapes";
      status = duel_run_open(&run, &o);
    }
    must(status);
    if (i == 0) must(duel_run_save(run, scratch("mlp-start")));
    const duel_run_info info = duel_run_describe(run);
    if (i > 0 && !*info.warning) assert_non_null(strstr(info.device, precision[i - 1])); // an old GPU says otherwise
    must(duel_run_advance(run, steps));
    must(duel_run_save(run, scratch(i ? "mlp-cuda" : "mlp-cpu")));
    duel_run_close(run);
    if (i == 0) continue;
    off[i - 1] = drift(scratch("mlp-start"), scratch("mlp-cpu"), scratch("mlp-cuda"));
    print_message("%s, %d steps in %s: off by %.2e of the movement\n", recipe, steps, precision[i - 1], off[i - 1]);
  }
}

static const char *const fp32[] = {"fp32"};

// leaky_relu's kink amplifies rounding: tests/exact finds float32 itself, summed in eight orders, up to 3e-2 off
// float64 after 20 steps. With tanh in its place nothing hides.
static const char *smooth_mlp(void) {
  static const char text[] =
      "recipe: 1\n"
      "base: mlp\n"
      "G: [dense: 256, tanh, dense: 512, batchnorm, tanh, dense: $C*$H*$W, tanh, reshape: [$C, $H, "
      "$W]]\n"
      "D: [flatten, dense: 512, tanh, dense: 1]\n";
  static char path[PATH_MAX];
  scratch_put("smooth.yaml", text, sizeof text - 1);
  snprintf(path, sizeof path, "%s", scratch("smooth.yaml"));
  return path;
}

static void test_mlp_agrees_with_the_cpu(void **state) {
  (void)state;
  double off;
  apart(smooth_mlp(), 20, fp32, 1, &off);
  assert_true(off > 0 && off < ROUNDING);
  apart("mlp", 20, fp32, 1, &off);
  assert_true(off > 0 && off < 2 * 3e-2); // each of both may be that far off
}

// On a GPU cuBLAS may round less than it is allowed to, for it has not all kernels for all shapes; never more.
static void test_precisions_differ(void **state) {
  (void)state;
  static const char *const all[] = {"fp32", "tf32", "bf16"};
  double off[3];
  apart(smooth_mlp(), 8, all, 3, off);
  assert_true(off[0] > 0 && off[0] < ROUNDING && off[2] < 0.5);
  if (count_of)
    assert_true(off[0] < 0.1 * off[1] && off[1] < 0.5 * off[2]);
  else
    assert_true(off[0] <= off[1] && off[1] <= 1.5 * off[2]);
}

// ---- how the backend is opened
static void test_one_lane_changes_no_bit(void **state) {
  (void)state;
  train("cuda", NULL, 21, "on", scratch("a"));
  const unsigned long long forked = branches ? branches() : 1;
  setenv("DUEL_CUDA_LANES", "1", 1);
  train("cuda", NULL, 21, "on", scratch("b"));
  const unsigned long long straight = branches ? branches() : 0;
  setenv("DUEL_CUDA_LANES", "4", 1);
  train("cuda", NULL, 21, "off", scratch("c"));
  setenv("DUEL_CUDA_LANES", "2", 1);
  duel_run *run;
  assert_int_equal(duel_run_open(&run, &(duel_run_options){.recipe = small_recipe, .backend = "cuda"}), DUEL_ERR_USAGE);
  unsetenv("DUEL_CUDA_LANES");
  assert_non_null(strstr(duel_last_error(), "DUEL_CUDA_LANES is 1 or 4"));
  assert_true(scratch_same("a", "b"));
  assert_true(scratch_same("a", "c"));
  assert_true(forked > 0);
  assert_int_equal(straight, 0); // nothing but one node after another
}

static size_t device_bytes(const char *devices, const char *precision, const char *says, const char *warns) {
  set_devices(devices);
  duel_run *run = open_run("cuda", NULL, small_recipe, "on", precision);
  const size_t bytes = bytes_in_use();
  const duel_run_info info = duel_run_describe(run);
  if (!strstr(info.device, says) || (warns ? !strstr(info.warning, warns) : *info.warning))
    fail_msg("on %s in %s: '%s', and as a warning '%s'", devices, precision, info.device, info.warning);
  duel_run_close(run);
  set_devices("9.0");
  return bytes;
}

// What depends on the GPU's generation: workspaces of 32 MiB from 9.0 on; no rounding of factors before 8.0.
static void test_generations(void **state) {
  (void)state;
  if (!set_devices) skip();
  const size_t hopper = device_bytes("9.0", "tf32", "tf32", NULL), ampere = device_bytes("8.0", "tf32", "tf32", NULL);
  assert_int_equal(hopper - ampere, 4 * (24 << 20));
  device_bytes("7.5", "tf32", "fp32", "computed in fp32: tf32 needs compute capability 8.0");
  device_bytes("7.5", "bf16", "fp32", "computed in fp32: bf16 needs compute capability 8.0");
  device_bytes("7.5", "auto", "fp32", NULL);
  device_bytes("8.0", "auto", "tf32", NULL);
}

// What decides the bits is in a checkpoint: a resume compares it.
static void test_a_checkpoint_names_cublas(void **state) {
  (void)state;
  duel_tensor_file file;
  train("cuda", NULL, 1, "on", scratch("a"));
  must(duel_tensors_read(&file, scratch("a")));
  const char *identity = duel_tensors_meta(&file, "backend.identity");
  assert_non_null(identity);
  assert_non_null(strstr(identity, set_devices ? ", cuBLAS 13.0." : ", cuBLAS 1"));
  duel_tensors_close(&file);
}

// Each call names its own device, closing too.
static void test_two_devices(void **state) {
  (void)state;
  if (!set_devices) skip();
  set_devices("9.0,8.6");
  duel_run *run[2];
  for (int i = 0; i < 2; i++) {
    duel_set set[] = {{"run.device", i ? "1" : "0", NULL}};
    must(
        duel_run_open(&run[i], &(duel_run_options){.recipe = small_recipe, .backend = "cuda", .set = set, .n_set = 1}));
  }
  assert_non_null(strstr(duel_run_describe(run[0]).device, "sm_90"));
  assert_non_null(strstr(duel_run_describe(run[1]).device, "sm_86"));
  duel_stats stats;
  for (int i = 0; i < 2; i++) {
    must(duel_run_advance(run[i], 9));
    must(duel_run_stats(run[i], &stats));
  }
  duel_run_close(run[0]); // while the other one's device is the current one
  must(duel_run_advance(run[1], 9));
  duel_run_close(run[1]);
  for (int i = 0; i < 2; i++) { // without memory, whose end would name the device
    duel_set set[] = {{"run.device", i ? "1" : "0", NULL}};
    must(duel_run_open(
        &run[i],
        &(duel_run_options){.recipe = small_recipe, .backend = "cuda", .set = set, .n_set = 1, .plan_only = 1}));
  }
  for (int i = 0; i < 2; i++) duel_run_close(run[i]);
  set_devices("9.0");
}

// All that changes from step to step: penalties of second order, steps of four kinds, schedules, state of several
// sorts.
static const char family[] =
    "recipe: 1\n"
    "data: synthetic:ring\n"
    "latent: 6\n"
    "G: [dense: 24, batchnorm, tanh, dense: 2]\n"
    "D: {layers: [dense: 20, tanh, dense: 1], constraint: spectral}\n"
    "penalty:\n"
    "  r1: {weight: {from: 2, to: 1, curve: cosine}, every: 4, update: own}\n"
    "  gp: {weight: 1, every: 2}\n"
    "  lecam: {weight: 0.1, start: 3}\n"
    "  consistency: {z: 1, generator: 0.5}\n"
    "optim: {name: adam, lr: {from: 0.001, to: 0, curve: linear, warmup: 20}, beta2: {from: 0.9, to: 0.99, curve: "
    "linear},\n"
    "  clip_norm: 1}\n"
    "ema: {half_life: {from: 0, to: 500 images, curve: linear}, ramp_up: 0.1, buffers: average}\n"
    "train: {length: 600 steps, batch: 16, d_steps: 2, shards: 2, noise: {from: 0.1, to: 0, curve: linear},\n"
    "  top_k: {from: 16, to: 8, curve: linear}}\n";

// From step 8 to 208; so many launches of graphs.
static void check_runs_ahead(const char *recipe, unsigned graphs) {
  duel_run *run = open_run("cuda", NULL, recipe, "on", "fp32");
  must(duel_run_advance(run, 8));
  duel_stats s;
  must(duel_run_stats(run, &s));
  static const char *const never[] = {"sync", "malloc", "host", "free", "stream", "cublas"};
  unsigned long long before[6], graph = count_of("graph");
  for (int i = 0; i < 6; i++) before[i] = count_of(never[i]);
  const uint64_t heap = duel_mem_count();
  for (int i = 0; i < 200; i++) must(duel_run_advance(run, 1)); // a tick's worth, step by step as the command does
  for (int i = 0; i < 6; i++) assert_int_equal(count_of(never[i]), before[i]);
  assert_int_equal(count_of("graph") - graph, graphs);
  assert_int_equal(duel_mem_count(), heap);
  must(duel_run_stats(run, &s));
  assert_int_equal(s.step, 208);
  duel_run_close(run);
}

static void test_the_host_runs_ahead(void **state) {
  (void)state;
  if (!count_of) skip();
  check_runs_ahead(small_recipe, 200 / 8);
  scratch_put("family.yaml", family, sizeof family - 1);
  check_runs_ahead(scratch("family.yaml"), 200);
}

static bool warned;                // the last whole_life: that nothing is captured
static const char *saved_to = "a"; // whole_life's checkpoint

static duel_status whole_life(void) {
  duel_run *run;
  static float item[784];
  static duel_node_time node[400];
  warned = false;
  DUEL_TRY(duel_run_open(&run, &(duel_run_options){.recipe = small_recipe, .backend = "cuda"}));
  duel_stats s;
  duel_status status = duel_run_advance(run, 9);
  if (status == DUEL_OK) status = duel_run_stats(run, &s);
  if (status == DUEL_OK) status = duel_run_profile(run, 1, node);
  if (status == DUEL_OK) status = duel_run_save(run, scratch(saved_to));
  if (status == DUEL_OK) status = duel_generate(run, &(uint64_t){1}, 1, item);
  const duel_run_info info = duel_run_describe(run);
  const char *warning = strstr(info.warning, "steps are not captured");
  warned = warning && strstr(info.device, "not captured");
  if (warning) assert_null(strstr(warning + 1, "steps are not captured")); // once
  duel_run_close(run);
  return status;
}

// A failure is told by the call that meets it; one of a capture as a warning, for the run goes on without. Its bits are
// those of a run in which nothing failed. What makes the device fail in earnest is told in any case.
static void test_every_call_may_fail(void **state) {
  (void)state;
  if (!fail_at) skip();
  static const char *const kinds[] = {"malloc", "host", "launch", "graph", "capture",
                                      "copy",   "sync", "stream", "event", "cublas"};
  saved_to = "unbroken";
  must(whole_life());
  saved_to = "a";
  assert_false(warned);
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    const unsigned long long before = count_of(kinds[k]);
    must(whole_life());
    const unsigned long long all = count_of(kinds[k]) - before;
    const bool captures = !strcmp(kinds[k], "capture");
    unsigned long long told = 0, went_on = 0;
    assert_true(all > 0);
    for (unsigned long long n = 1; n <= all; n += n < 10 ? 1 : 1 + all / 20) {
      fail_at(kinds[k], n, n % 2 ? "once" : "forever");
      duel_status status = whole_life();
      fail_at(NULL, 0, NULL);
      if (status == DUEL_OK && n == all && !strcmp(kinds[k], "sync")) continue; // in closing, which reports nothing
      if (status == DUEL_OK && !warned) fail_msg("%s %llu of %llu failed, and nobody noticed", kinds[k], n, all);
      if (captures && status != DUEL_OK) fail_msg("capture %llu of %llu ended all: %s", n, all, duel_last_error());
      if (status == DUEL_OK && !scratch_same("a", "unbroken"))
        fail_msg("%s %llu of %llu: without captures the bits are others", kinds[k], n, all);
      if (status != DUEL_OK && (status != DUEL_ERR_DEVICE || !strstr(duel_last_error(), "cuda")))
        fail_msg("%s %llu: status %d: %s", kinds[k], n, (int)status, duel_last_error());
      went_on += status == DUEL_OK;
      told += status != DUEL_OK;
      assert_int_equal(bytes_in_use(), 0);
    }
    print_message("%s: %llu calls, %llu failures told, %llu more warned of\n", kinds[k], all, told, went_on);
    const bool in_captures =
        captures || !strcmp(kinds[k], "launch") || !strcmp(kinds[k], "event") || !strcmp(kinds[k], "cublas");
    assert_true(in_captures ? went_on > 0 : went_on == 0);
    assert_true(captures || told > 0);
  }
  must(whole_life());
  assert_false(warned);
}

static void test_a_gpu_that_is_too_small(void **state) {
  (void)state;
  if (!set_memory) skip();
  duel_run *run;
  duel_set set[] = {{"train.batch", "100000", NULL}};
  set_memory(256 << 20);
  assert_int_equal(
      duel_run_open(&run, &(duel_run_options){.recipe = small_recipe, .backend = "cuda", .set = set, .n_set = 1}),
      DUEL_ERR_DEVICE);
  print_message("%s\n", duel_last_error());
  set_memory(EMULATED_MEMORY);
  assert_non_null(strstr(duel_last_error(), "free"));
  const char *fits = strstr(duel_last_error(), "the largest batch that fits is about ");
  assert_non_null(fits);
  set[0].value = fits + strlen("the largest batch that fits is about ");
  char batch[16];
  snprintf(batch, sizeof batch, "%d", atoi(set[0].value));
  set[0].value = batch;
  set_memory(256 << 20);
  must(duel_run_open(&run, &(duel_run_options){.recipe = small_recipe, .backend = "cuda", .set = set, .n_set = 1}));
  set_memory(EMULATED_MEMORY);
  duel_run_close(run);
}

// ---- variants of a step
static const char *const patterns[] = {"A",
                                       "BBBBBBBBBBBB",
                                       "ABABABABABABABAB",
                                       "AAABAAABAAABAAAB",
                                       "AAAAAAAABBBBBBBBAAAAAAAAABBBBBBB",
                                       "AAAAAAAAAAAAAAABAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAB"};

static void test_variants_change_no_bit(void **state) {
  (void)state;
  const duel_backend_api *cuda;
  must(duel_backend_find("cuda", &cuda));
  static duel_variants_result captured, launched;
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    const duel_backend_options plain = {0}, no_capture = {.no_capture = true};
    duel_variants_check(cuda, &plain, patterns[i]);
    duel_variants_check(cuda, &no_capture, patterns[i]);
    must(duel_variants_run(cuda, &plain, patterns[i], DUEL_TOGETHER, 20, &captured, NULL));
    must(duel_variants_run(cuda, &no_capture, patterns[i], DUEL_TOGETHER, 20, &launched, NULL));
    assert_memory_equal(&captured, &launched, sizeof captured);
    if (!set_streams) continue;
    set_streams("lazy"); // outputs that nobody waited for are not there
    must(duel_variants_run(cuda, &plain, patterns[i], DUEL_TOGETHER, 20, &launched, NULL));
    set_streams("eager");
    assert_memory_equal(&captured, &launched, sizeof captured);
  }
}

// Eight steps of one variant are one graph, wherever they stand; others are one each.
static void test_variants_are_launched_in_runs(void **state) {
  (void)state;
  if (!count_of) skip();
  static const struct {
    const char *pattern;
    unsigned graphs;
  } launches[] = {{"AAAAAAAAAAAAAAAA", 2}, {"AAAAAAAABBBBBBBB", 2}, {"AAAAAAAABAAAAAAAA", 10}, {"ABABABAB", 8}};
  const duel_backend_api *cuda;
  must(duel_backend_find("cuda", &cuda));
  static duel_variants_result result;
  for (size_t i = 0; i < sizeof launches / sizeof *launches; i++) {
    const unsigned long long before = count_of("graph");
    must(duel_variants_run(cuda, &(duel_backend_options){0}, launches[i].pattern, DUEL_TOGETHER, 64, &result, NULL));
    const unsigned graphs = (unsigned)(count_of("graph") - before);
    if (graphs != launches[i].graphs) fail_msg("%s: %u launches of graphs", launches[i].pattern, graphs);
  }
}

// A variant that cannot be captured is launched call by call beside one that is; a launch that fails is told.
static void test_a_variant_may_fail(void **state) {
  (void)state;
  if (!fail_at) skip();
  const duel_backend_api *cuda;
  must(duel_backend_find("cuda", &cuda));
  const duel_backend_options options = {0};
  static duel_variants_result want, got;
  char warning[256];
  static const char pattern[] = "ABBBBBBBBBBBBBBAABAB";
  must(duel_variants_run(cuda, &options, pattern, DUEL_TOGETHER, 16, &want, warning));
  assert_string_equal(warning, "");
  const unsigned long long captures = count_of("capture"), graphs = count_of("graph");
  must(duel_variants_run(cuda, &options, pattern, DUEL_TOGETHER, 16, &got, NULL));
  const unsigned long long all[] = {count_of("capture") - captures, count_of("graph") - graphs};
  static const char *const kinds[] = {"capture", "graph"};
  for (int k = 0; k < 2; k++)
    for (unsigned long long n = 1; n <= all[k]; n++) {
      fail_at(kinds[k], n, "once");
      const duel_status status = duel_variants_run(cuda, &options, pattern, DUEL_TOGETHER, 16, &got, warning);
      fail_at(NULL, 0, NULL);
      if (k == 0) {
        must(status);
        assert_non_null(strstr(warning, "steps are not captured"));
        assert_memory_equal(&got, &want, sizeof got);
      } else {
        assert_int_equal(status, DUEL_ERR_DEVICE);
        assert_non_null(strstr(duel_last_error(), "cuda: a launch"));
      }
      assert_int_equal(bytes_in_use(), 0);
    }
  assert_true(all[0] >= 4 && all[1] >= 8);
}

int main(void) {
  const struct CMUnitTest values[] = {
      cmocka_unit_test(test_capture_changes_no_bit),  cmocka_unit_test(test_lazy_streams_change_no_bit),
      cmocka_unit_test(test_the_ring_goes_round),     cmocka_unit_test(test_a_checkpoint_goes_on_anywhere),
      cmocka_unit_test(test_mlp_agrees_with_the_cpu), cmocka_unit_test(test_precisions_differ),
      cmocka_unit_test(test_one_lane_changes_no_bit), cmocka_unit_test(test_variants_change_no_bit)};
  const struct CMUnitTest calls[] = {cmocka_unit_test(test_generations),
                                     cmocka_unit_test(test_two_devices),
                                     cmocka_unit_test(test_a_checkpoint_names_cublas),
                                     cmocka_unit_test(test_the_host_runs_ahead),
                                     cmocka_unit_test(test_variants_are_launched_in_runs),
                                     cmocka_unit_test(test_a_variant_may_fail),
                                     cmocka_unit_test(test_every_call_may_fail),
                                     cmocka_unit_test(test_a_gpu_that_is_too_small)};
  const int failed = cmocka_run_group_tests(values, set_up, scratch_teardown);
  if (getenv("CUEMU_SUMS")) return failed; // another order of sums: no call depends on it
  return failed + cmocka_run_group_tests(calls, set_up, scratch_teardown);
}
