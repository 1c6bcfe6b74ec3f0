// What only the CPU backend promises: the same bits at every level and with any number of threads, the accuracy of its
// polynomials, the choice of level and threads, no allocation while it runs.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/backend.h"
#include "cpu/cpu.h"
#include "cpu/entry.h"
#include "cpu_jobs.h"
#define DUEL_REAL_IS_float
#include "cpu/kernels/cpu_math.h"

// ---- polynomials
// Distance from the exact value in units of the last place of a float there (denormals have the least normal's).
static double ulps(float got, double exact) {
  const float nearest = (float)exact;
  if (isnan(exact)) return isnan(got) ? 0 : INFINITY;
  if (isinf(nearest) || isinf(got)) return got == nearest || fabs(exact) > 3.40282e38 ? 0 : INFINITY;
  int e;
  frexp(exact, &e);
  if (exact == 0 || e < -125) e = -125;
  return fabs((double)got - exact) / ldexp(1.0, e - 24);
}

typedef struct math_case {
  const char *name;
  float (*ours)(float);
  double (*exact)(double);
  double limit;
} math_case;

static double exact_sigmoid(double x) {
  return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static double exact_softplus(double x) {
  return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static const math_case math_cases[] = {{"exp", duel_exp_real, exp, 1.5},
                                       {"log", duel_log_real, log, 1.5},
                                       {"tanh", duel_tanh_real, tanh, 2.5},
                                       {"sigmoid", duel_sigmoid_real, exact_sigmoid, 3},
                                       {"softplus", duel_softplus_real, exact_softplus, 3},
                                       {"erf", duel_erf_real, erf, 1.5}};

static void check_ulps(const math_case *m, float x, double *worst, float *where) {
  const double u = ulps(m->ours(x), m->exact(x));
  if (!(u <= *worst)) {
    *worst = u;
    *where = x;
  }
}

static void test_math(void **state) {
  (void)state;
  for (size_t c = 0; c < sizeof math_cases / sizeof *math_cases; c++) {
    const math_case *m = &math_cases[c];
    double worst = 0;
    float where = 0;
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 3001) // all magnitudes, both signs, NaN and inf
      check_ulps(m, duel_float_from((uint32_t)bits), &worst, &where);
    for (int i = -400000; i <= 400000; i++) check_ulps(m, (float)i * 0.0003f, &worst, &where);
    const float edge[] = {0.0f,       -0.0f,         1.0f,           -1.0f,           88.72283f,   88.72284f,
                          -87.33654f, -103.97f,      -104.0f,        1e-45f,          INFINITY,    -INFINITY,
                          NAN,        3.4028235e38f, -3.4028235e38f, 1.17549435e-38f, 0.99999994f, 1.0000001f};
    for (size_t i = 0; i < sizeof edge / sizeof *edge; i++) check_ulps(m, edge[i], &worst, &where);
    if (!(worst <= m->limit)) fail_msg("%s(%.9g): %.2f ulp", m->name, (double)where, worst);
    printf("           %-8s %.2f ulp\n", m->name, worst);
  }
  for (float x = 3; x < 9.5f; x += 1e-4f) // where 1 - tanh² is all that is left of a gradient
    assert_true(fabs(duel_tanh_real(x) - tanh(x)) <= 0.51 * 0x1p-24 && duel_tanh_real(-x) == -duel_tanh_real(x));
  assert_true(signbit(duel_tanh_real(-0.0f)) && duel_tanh_real(0.0f) == 0);
  assert_true(duel_exp_real(-INFINITY) == 0 && duel_log_real(0.0f) == -INFINITY && isnan(duel_log_real(-1.0f)));
}

// ---- bits
// Levels and threads that must agree with the first of them.
typedef struct setting {
  const char *isa;
  duel_level level;
  int threads;
  const char *precision;
} setting;
static const setting settings[] = {
#if defined(__x86_64__)
    {"v2", DUEL_LEVEL_V2, 1, NULL},   {"v2", DUEL_LEVEL_V2, 3, NULL},   {"v3", DUEL_LEVEL_V3, 2, NULL},
    {"v4", DUEL_LEVEL_V4, 3, NULL},   {"v3", DUEL_LEVEL_V3, 1, "bf16"}, {"v3", DUEL_LEVEL_V3, 3, "bf16"},
    {"v4", DUEL_LEVEL_V4, 2, "bf16"},
#else
    {"portable", DUEL_LEVEL_PORTABLE, 1, NULL},
    {"portable", DUEL_LEVEL_PORTABLE, 2, NULL},
    {"portable", DUEL_LEVEL_PORTABLE, 3, NULL},
#endif
};

// Products multiply and add in one instruction where the level has it, and round once less; in bf16 they have their
// own.
static bool same_arithmetic(duel_op op, const setting *a, const setting *b) {
  const bool fused = duel_op_records[op]->kind == DUEL_KIND_PRODUCT;
  return !fused || ((a->level == DUEL_LEVEL_V2) == (b->level == DUEL_LEVEL_V2) && !a->precision == !b->precision);
}

// Any two NaNs are equal: which one an operation yields is the CPU's choice.
static bool same_bits(const duel_operand *a, const duel_operand *b) {
  const float *x = a->data, *y = b->data;
  for (int64_t i = 0; i < duel_shape_count(a->shape); i++)
    if (memcmp(&x[i], &y[i], sizeof *x) != 0 && !(isnan(x[i]) && isnan(y[i]))) return false;
  return true;
}

static void test_same_bits(void **state) {
  (void)state;
  for (size_t i = 0; i < (size_t)duel_large_calls_n; i++) {
    duel_box first, b;
    const duel_op op = duel_large_calls[i].op;
    const setting *own = &settings[0]; // of `first`
    duel_box_make(&first, op, duel_large_calls[i].variant);
    duel_box_run(&first, op, own->isa, own->precision, own->threads);
    for (size_t s = 1; s < sizeof settings / sizeof *settings; s++) {
      if (!duel_level_runs(settings[s].level)) continue;
      duel_box_make(&b, op, duel_large_calls[i].variant);
      duel_box_run(&b, op, settings[s].isa, settings[s].precision, settings[s].threads);
      const bool same = same_arithmetic(op, own, &settings[s]);
      for (int o = 0; o < b.call.n_out && same; o++)
        if (!same_bits(&first.out[o], &b.out[o]))
          fail_msg("%s %s: output %d differs at %s %s with %d threads", duel_op_name(op), duel_large_calls[i].variant,
                   o, settings[s].isa, settings[s].precision ? settings[s].precision : "fp32", settings[s].threads);
      duel_box_free(same ? &b : &first);
      if (!same) first = b, own = &settings[s];
    }
    duel_box_free(&first);
  }
}

// ---- stages
// A chain of groups, each of a long and a short call or of two short ones, that reads what the group before wrote.
static void test_groups(void **state) {
  (void)state;
  enum { LARGE = 100000, DEPTH = 12 };
  float *x[DEPTH + 1], *small[DEPTH + 1];
  for (int i = 0; i <= DEPTH; i++) {
    x[i] = calloc(1, LARGE * sizeof(float));
    small[i] = calloc(1, 10 * sizeof(float));
  }
  duel_operand in[2 * DEPTH], out[2 * DEPTH];
  duel_call calls[2 * DEPTH];
  int end[DEPTH];
  const duel_attr attr = {.affine = {1, 1}};
  for (int i = 0; i < DEPTH; i++) { // every third group is tiny alone: those run together on one thread
    in[2 * i] = (duel_operand){i % 3 ? x[i] : small[i], DUEL_F32, i % 3 ? DUEL_SHAPE(LARGE) : DUEL_SHAPE(10)};
    out[2 * i] = in[2 * i];
    out[2 * i].data = i % 3 ? x[i + 1] : small[i + 1];
    in[2 * i + 1] = (duel_operand){i % 3 ? small[i] : x[i], DUEL_F32, DUEL_SHAPE(10)};
    out[2 * i + 1] = in[2 * i + 1];
    out[2 * i + 1].data = i % 3 ? small[i + 1] : x[i + 1];
    for (int k = 0; k < 2; k++) {
      calls[2 * i + k] = (duel_call){
          .op = DUEL_OP_AFFINE, .n_in = 1, .n_out = 1, .in = &in[2 * i + k], .out = &out[2 * i + k], .attr = &attr};
      calls[2 * i + k].cost = duel_call_cost(&calls[2 * i + k]);
    }
    end[i] = 2 * i + 2;
  }
  for (int threads = 1; threads <= 4; threads++) {
    duel_backend *backend;
    void *program;
    assert_int_equal(duel_cpu_backend.open(&backend, &(duel_backend_options){.threads = threads}), DUEL_OK);
    assert_int_equal(duel_cpu_backend.prepare(backend, calls, end, DEPTH, NULL, &program), DUEL_OK);
    for (int run = 0; run < 20; run++) {
      for (int i = 1; i <= DEPTH; i++) memset(x[i], 0xff, 10 * sizeof(float));
      for (int i = 1; i <= DEPTH; i++) memset(small[i], 0xff, 10 * sizeof(float));
      assert_int_equal(duel_cpu_backend.run(backend, program), DUEL_OK);
      for (int i = 0; i <= DEPTH; i++)
        for (int j = 0; j < 10; j++) assert_true(small[i][j] == (float)i && x[i][j] == (float)i);
    }
    duel_cpu_backend.release(backend, program);
    duel_cpu_backend.close(backend);
  }
  for (int i = 0; i <= DEPTH; i++) {
    free(x[i]);
    free(small[i]);
  }
}

// ---- options

static void expect_error(duel_status expected, duel_backend_options options, const char *words) {
  duel_backend *b;
  assert_int_equal(duel_cpu_backend.open(&b, &options), expected);
  assert_null(b);
  if (!strstr(duel_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", duel_last_error(), words);
}

static void test_options(void **state) {
  (void)state;
  expect_error(DUEL_ERR_USAGE, (duel_backend_options){.threads = -1}, "threads: -1");
  expect_error(DUEL_ERR_USAGE, (duel_backend_options){.threads = 100000}, "threads: 100000");
  expect_error(DUEL_ERR_USAGE, (duel_backend_options){.precision = "tf32"}, "fp32 or bf16, not in tf32");
  setenv("DUEL_CPU_ISA", "v9", 1);
  expect_error(DUEL_ERR_USAGE, (duel_backend_options){0}, "DUEL_CPU_ISA=v9");
  duel_level level;
  assert_int_equal(duel_level_choose(&level), DUEL_ERR_USAGE);
#if defined(__x86_64__)
  assert_non_null(strstr(duel_last_error(), "v2"));
  setenv("DUEL_CPU_ISA", "v2", 1);
  assert_int_equal(duel_level_choose(&level), DUEL_OK);
  assert_int_equal(level, DUEL_LEVEL_V2);
  expect_error(DUEL_ERR_USAGE, (duel_backend_options){.precision = "bf16"}, "needs x86-64-v3");
#endif
  unsetenv("DUEL_CPU_ISA");
  duel_backend *b;
  assert_int_equal(duel_cpu_backend.open(&b, &(duel_backend_options){.threads = 3}), DUEL_OK);
  assert_non_null(strstr(duel_cpu_backend.describe(b), "3 threads"));
  assert_null(strstr(duel_cpu_backend.identity(b), "threads"));
  duel_cpu_backend.close(b);
  duel_mem_fail_at(1, 1);
  expect_error(DUEL_ERR_DEVICE, (duel_backend_options){0}, "");
  duel_mem_fail_at(2, 1);
  expect_error(DUEL_ERR_DEVICE, (duel_backend_options){0}, "");
  duel_mem_fail_at(0, 0);
}

// ---- Winograd's filtering against direct sums
enum { IMAGES = 16, CHANNELS = 64, OUTPUTS = 128, SIDE = 14, RESULT = 7, TAPS = 4, FEW_IMAGES = 8 };
static const duel_conv two_strides = {.stride = {2, 2}, .dilation = {1, 1}, .pad = {1, 1, 1, 1}, .groups = 1};

static float *random_numbers(int n) {
  static uint32_t random = 1;
  float *x = malloc(sizeof *x * (size_t)n);
  assert_non_null(x);
  for (int i = 0; i < n; i++) x[i] = (float)((random = random * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1;
  return x;
}

// Adds what tap t of output k and channel c makes of an image: y += x·w, or, if `gradient`, w += x·y.
static void add_tap(bool gradient, const float *x, int t, double *y, double *w) {
  for (int p = 0; p < RESULT; p++)
    for (int q = 0; q < RESULT; q++) {
      const int h = 2 * p - 1 + t / TAPS, v = 2 * q - 1 + t % TAPS;
      if (h < 0 || h >= SIDE || v < 0 || v >= SIDE) continue;
      if (gradient)
        *w += x[h * SIDE + v] * y[p * RESULT + q];
      else
        y[p * RESULT + q] += x[h * SIDE + v] * *w;
    }
}

static double *as_doubles(const float *x, int n) { // zeros if x is NULL
  double *y = calloc((size_t)n, sizeof *y);
  assert_non_null(y);
  for (int i = 0; i < n && x; i++) y[i] = x[i];
  return y;
}

// Root mean square error of an op on n images, over the root mean square of its results.
static double relative_error(duel_op op, int n, const float *x, const float *other) {
  const bool gradient = op == DUEL_OP_CONV2D_DW;
  const duel_shape images = DUEL_SHAPE(n, CHANNELS, SIDE, SIDE), weights = DUEL_SHAPE(OUTPUTS, CHANNELS, TAPS, TAPS);
  const duel_shape results = DUEL_SHAPE(n, OUTPUTS, RESULT, RESULT);
  const int n_w = (int)duel_shape_count(weights), n_y = (int)duel_shape_count(results);
  duel_box b;
  memset(&b, 0, sizeof b);
  memcpy(duel_box_in(&b, images), x, sizeof *x * (size_t)duel_shape_count(images));
  memcpy(duel_box_in(&b, gradient ? results : weights), other, sizeof *x * (size_t)(gradient ? n_y : n_w));
  const float *out = duel_box_out(&b, gradient ? weights : results);
  b.attr.conv = two_strides;
  duel_box_run(&b, op, NULL, NULL, 1);
  double *y = as_doubles(gradient ? other : NULL, n_y), *w = as_doubles(gradient ? NULL : other, n_w);
  for (int i = 0; i < n; i++)
    for (int k = 0; k < OUTPUTS; k++)
      for (int c = 0; c < CHANNELS; c++)
        for (int t = 0; t < TAPS * TAPS; t++)
          add_tap(gradient, x + (i * CHANNELS + c) * SIDE * SIDE, t, y + (i * OUTPUTS + k) * RESULT * RESULT,
                  w + (k * CHANNELS + c) * TAPS * TAPS + t);
  double error = 0, energy = 0;
  const double *want = gradient ? w : y;
  for (int i = 0; i < (gradient ? n_w : n_y); i++) {
    error += (out[i] - want[i]) * (out[i] - want[i]);
    energy += want[i] * want[i];
  }
  duel_box_free(&b);
  free(y), free(w);
  return sqrt(error / energy);
}

// Few images are not worth the transforms and are summed directly: the price of the transforms is the ratio.
static void test_winograd(void **state) {
  (void)state;
  float *x = random_numbers(IMAGES * CHANNELS * SIDE * SIDE);
  float *w = random_numbers(OUTPUTS * CHANNELS * TAPS * TAPS), *y = random_numbers(IMAGES * OUTPUTS * RESULT * RESULT);
  for (int i = 0; i < 2; i++) {
    const duel_op op = i ? DUEL_OP_CONV2D_DW : DUEL_OP_CONV2D;
    const double direct = relative_error(op, FEW_IMAGES, x, i ? y : w);
    const double winograd = relative_error(op, IMAGES, x, i ? y : w);
    print_message("%s, rms error: direct %.2g, by Winograd %.2g, %.2f times\n", duel_op_name(op), direct, winograd,
                  winograd / direct);
    assert_true(winograd < 2 * direct); // alike
  }
  free(x), free(w), free(y);
}

static void write_text(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void test_more_memory_than_there_is(void **state) {
  (void)state;
  duel_backend *b;
  void *p;
  assert_int_equal(duel_cpu_backend.open(&b, &(duel_backend_options){.threads = 1}), DUEL_OK);
  assert_int_equal(duel_cpu_backend.alloc(b, (size_t)2 * (size_t)duel_host_memory(), &p), DUEL_ERR_DEVICE);
  assert_non_null(strstr(duel_last_error(), "MiB are free"));
  duel_cpu_backend.close(b);
}

static void test_quota(void **state) {
  (void)state;
  char dir[] = "/tmp/duel-quota-XXXXXX", path[128], list[128];
  assert_non_null(mkdtemp(dir));
  snprintf(list, sizeof list, "%s/cgroup", dir);
  const char *folders[] = {"a", "a/b", "cpu", "cpu/c"};
  for (int i = 0; i < 4; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, folders[i]);
    assert_int_equal(mkdir(path, 0700), 0);
  }
  write_text(list, "0::/a/b\n");
  assert_int_equal(duel_quota_cpus(list, dir), 0); // no files at all
  snprintf(path, sizeof path, "%s/a/b/cpu.max", dir);
  write_text(path, "max 100000\n");
  assert_int_equal(duel_quota_cpus(list, dir), 0);
  snprintf(path, sizeof path, "%s/a/cpu.max", dir);
  write_text(path, "250000 100000\n"); // the parent's counts too; rounded up
  assert_int_equal(duel_quota_cpus(list, dir), 3);
  snprintf(path, sizeof path, "%s/a/b/cpu.max", dir);
  write_text(path, "50000 100000\n");
  assert_int_equal(duel_quota_cpus(list, dir), 1);
  write_text(list, "7:memory:/c\n4:cpuacct,cpu:/c\n");
  snprintf(path, sizeof path, "%s/cpu/c/cpu.cfs_quota_us", dir);
  write_text(path, "400000\n");
  snprintf(path, sizeof path, "%s/cpu/c/cpu.cfs_period_us", dir);
  write_text(path, "100000\n");
  assert_int_equal(duel_quota_cpus(list, dir), 4);
  snprintf(path, sizeof path, "%s/cpu/c/cpu.cfs_quota_us", dir);
  write_text(path, "-1\n");
  assert_int_equal(duel_quota_cpus(list, dir), 0);
  write_text(list, "nonsense\n");
  assert_int_equal(duel_quota_cpus(list, dir), 0);
  assert_int_equal(duel_quota_cpus("/nonexistent", dir), 0);
  assert_true(duel_host_threads() >= 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  assert_int_equal(duel_host_threads(), 1);
  unsetenv("OMP_NUM_THREADS");
  const char *files[] = {"cgroup", "a/b/cpu.max", "a/cpu.max", "cpu/c/cpu.cfs_quota_us", "cpu/c/cpu.cfs_period_us"};
  for (int i = 0; i < 5; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, files[i]);
    unlink(path);
  }
  for (int i = 3; i >= 0; i--) {
    snprintf(path, sizeof path, "%s/%s", dir, folders[i]);
    rmdir(path);
  }
  rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_math),
      cmocka_unit_test(test_same_bits),
      cmocka_unit_test(test_groups),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_winograd),
      cmocka_unit_test(test_quota),
      cmocka_unit_test(test_more_memory_than_there_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
