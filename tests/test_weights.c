// What recipes say of weights, in whole runs: spectral norm, equalized learning rates, clipping of gradients,
// orthogonal beginnings, gains of initializers, frozen nets and layers. On the backend of the environment's
// DUEL_TEST_BACKENDS.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "duel.h"
#include "io/safetensors.h"
#include "io_help.h"
#include "run/run.h"

static const char *backend = "cpu";
static char told[2048]; // the note of the last opening

// Rows on either axis, an average, and a weight that a layer leaves out of its net's constraint.
static const char spectral_recipe[] =
    "recipe: 1\n"
    "data: synthetic:shapes\n"
    "latent: 6\n"
    "G: [dense: 98, reshape: [2, 7, 7], conv_transpose: {out: 3, kernel: 4, stride: 4, spectral: true}, batchnorm,\n"
    "    conv: 1, tanh, upsample: {size: [28, 28]}]\n"
    "D: {layers: [conv: {out: 4, kernel: 4, stride: 4}, tanh, self_attention, flatten,\n"
    "    dense: {out: 5, spectral: false}, tanh, dense: 1], constraint: spectral}\n"
    "init: glorot_uniform\n"
    "ema: {half_life: 20 images}\n"
    "train: {length: 100 steps, batch: 4}\n";

static const char clip_recipe[] = "recipe: 1\n"
                                  "data: synthetic:ring\n"
                                  "latent: 3\n"
                                  "G: [dense: 16, tanh, dense: 2]\n"
                                  "D: {layers: [dense: 16, tanh, dense: 1], optim: {clip_norm: 1.0e+9}}\n"
                                  "optim: {name: sgd, lr: 0.5}\n"
                                  "train: {length: 10 steps, batch: 8}\n";

static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  scratch_setup(state);
  scratch_put("spectral.yaml", spectral_recipe, sizeof spectral_recipe - 1);
  scratch_put("clip.yaml", clip_recipe, sizeof clip_recipe - 1);
  return 0;
}

static void listen(void *ctx, const char *text) {
  (void)ctx;
  snprintf(told, sizeof told, "%s", text);
}

static duel_status open_run(duel_run **run, const char *recipe, const char *checkpoint, const char *init,
                            const char *key, const char *value) {
  const duel_set set = {key, value, "--set"};
  *told = 0;
  return duel_run_open(run, &(duel_run_options){.recipe = recipe,
                                                .checkpoint = checkpoint,
                                                .init = init,
                                                .backend = backend,
                                                .set = &set,
                                                .n_set = key != NULL,
                                                .on_note = listen});
}

// The checkpoint of a run that has just begun.
static duel_tensor_file begin(const char *init, const char *key, const char *value) {
  duel_run *run;
  duel_tensor_file f;
  must(open_run(&run, scratch("spectral.yaml"), NULL, init, key, value));
  must(duel_run_save(run, scratch("begun")));
  duel_run_close(run);
  must(duel_tensors_read(&f, scratch("begun")));
  return f;
}

static const float *values(const duel_tensor_file *f, const char *name) {
  const duel_entry *e = duel_tensors_find(f, name);
  if (!e) fail_msg("no tensor %s", name);
  return e->data;
}

// ---- spectral norm

// Its weights in the order of the tensors, their matrices, and how many rows of pixels there are to a row of them.
typedef struct weight {
  const char *name;
  int rows, blocks, run; // element (r, b·run + i) at [b][r][i]
} weight;
static const weight weights[] = {{"G.2.weight", 3, 2, 16},  {"D.0.weight", 4, 1, 16},  {"D.2.f.weight", 1, 1, 4},
                                 {"D.2.g.weight", 1, 1, 4}, {"D.2.h.weight", 2, 1, 4}, {"D.2.v.weight", 4, 1, 2},
                                 {"D.6.weight", 1, 1, 5}};
enum { WEIGHTS = sizeof weights / sizeof *weights, PARAMETERS = 8 + 2 + 5 + 2 + 2, MOST = 64 };

static void draw(int ordinal, int n, double *x) {
  float drawn[MOST];
  double squares = 0;
  duel_draw_normal((duel_draw){.seed = 0, .purpose = DUEL_PURPOSE_INIT, .k = (uint32_t)ordinal}, 0, n, drawn);
  for (int i = 0; i < n; i++) squares += (double)drawn[i] * (double)drawn[i];
  for (int i = 0; i < n; i++) x[i] = (double)drawn[i] / sqrt(squares);
}

// u or v becomes the product of the weight with the other, of length 1.
static void iterate(const weight *w, const float *value, bool to_u, double *u, double *v) {
  const int rest = w->blocks * w->run, n = to_u ? w->rows : rest;
  double *to = to_u ? u : v, squares = 0;
  for (int i = 0; i < n; i++) to[i] = 0;
  for (int r = 0; r < w->rows; r++)
    for (int c = 0; c < rest; c++)
      to[to_u ? r : c] += (double)value[(c / w->run * w->rows + r) * w->run + c % w->run] * (to_u ? v[c] : u[r]);
  for (int i = 0; i < n; i++) squares += to[i] * to[i];
  for (int i = 0; i < n; i++) to[i] /= sqrt(squares);
}

static void assert_near(const float *got, const double *want, int n) {
  for (int i = 0; i < n; i++)
    if (!(fabs((double)got[i] - want[i]) <= 1e-7 * fabs(want[i]))) fail_msg("%d: %.9g, not %.9g", i, got[i], want[i]);
}

// Every u and v is what `warmup` iterations on its weight, in the same file, make of its draw.
static void assert_first_vectors(const duel_tensor_file *f, int warmup) {
  for (int k = 0; k < WEIGHTS; k++) {
    const weight *w = &weights[k];
    double u[MOST], v[MOST];
    char name[64];
    draw(PARAMETERS + 2 * k, w->rows, u);
    draw(PARAMETERS + 2 * k + 1, w->blocks * w->run, v);
    for (int i = 0; i < warmup; i++) {
      iterate(w, values(f, w->name), false, u, v);
      iterate(w, values(f, w->name), true, u, v);
    }
    snprintf(name, sizeof name, "%s_u", w->name);
    assert_near(values(f, name), u, w->rows);
    snprintf(name, sizeof name, "%s_v", w->name);
    assert_near(values(f, name), v, w->blocks * w->run);
  }
}

static void test_first_vectors(void **state) {
  (void)state;
  duel_tensor_file f = begin(NULL, NULL, NULL);
  assert_first_vectors(&f, 15);
  assert_memory_equal(values(&f, "G.2.weight_v"), values(&f, "G_ema.2.weight_v"), 32 * sizeof(float));
  assert_null(duel_tensors_find(&f, "D.4.weight_u")); // spectral: false
  assert_null(duel_tensors_find(&f, "G.4.weight_u"));
  duel_tensors_close(&f);
  f = begin(NULL, "D.constraint.warmup", "0");
  double u[MOST];
  draw(PARAMETERS + 2, 4, u);
  assert_near(values(&f, "D.0.weight_u"), u, 4);
  duel_tensors_close(&f);
}

// In half as many steps each of two runs: the vectors are in the checkpoint. Drawing samples moves none of them.
static void test_resume(void **state) {
  (void)state;
  static const uint64_t seeds[] = {1, 2};
  float before[2 * 28 * 28], after[2 * 28 * 28];
  duel_run *run;
  must(open_run(&run, scratch("spectral.yaml"), NULL, NULL, NULL, NULL));
  must(duel_run_advance(run, 3));
  must(duel_run_save(run, scratch("half")));
  must(duel_generate(run, seeds, 2, before));
  must(duel_generate(run, seeds, 2, after));
  assert_memory_equal(before, after, sizeof before);
  must(duel_run_save(run, scratch("sampled")));
  assert_true(scratch_same("half", "sampled"));
  must(duel_run_advance(run, 3));
  must(duel_run_save(run, scratch("whole")));
  duel_run_close(run);
  must(open_run(&run, NULL, scratch("half"), NULL, NULL, NULL));
  must(duel_run_advance(run, 3));
  must(duel_run_save(run, scratch("rest")));
  duel_run_close(run);
  assert_true(scratch_same("whole", "rest"));
  must(duel_run_open(&run, &(duel_run_options){.checkpoint = scratch("half"), .sample_only = 1, .backend = backend}));
  must(duel_generate(run, seeds, 2, after));
  duel_run_close(run);
  assert_memory_equal(before, after, sizeof before);
}

// The file without the tensors whose name ends so.
static void leave_out(const char *from, const char *ending, const char *to) {
  duel_tensor_file f;
  int n = 0;
  must(duel_tensors_read(&f, scratch(from)));
  for (int i = 0; i < f.n; i++) {
    const size_t length = strlen(f.entry[i].name), end = strlen(ending);
    if (length < end || strcmp(f.entry[i].name + length - end, ending) != 0) f.entry[n++] = f.entry[i];
  }
  assert_true(n < f.n);
  must(duel_tensors_write(scratch(to), f.entry, n, f.meta, f.n_meta - 1)); // the checksum is the last
  duel_tensors_close(&f);
}

static void test_missing_vectors(void **state) {
  (void)state;
  duel_run *run;
  must(open_run(&run, scratch("spectral.yaml"), NULL, NULL, NULL, NULL));
  must(duel_run_advance(run, 2));
  must(duel_run_save(run, scratch("trained")));
  duel_run_close(run);
  leave_out("trained", ".weight_u", "without");
  assert_int_equal(open_run(&run, NULL, scratch("without"), NULL, NULL, NULL), DUEL_ERR_DATA);
  assert_message("has no tensor G.2.weight_u, a vector of spectral norm, without which its weight means another one");
  assert_int_equal(duel_run_open(&run, &(duel_run_options){.checkpoint = scratch("without"), .sample_only = 1}),
                   DUEL_ERR_DATA);
  assert_message("G.2.weight_u, a vector of spectral norm");

  // A new run takes the weights of either; without vectors theirs begin anew.
  duel_tensor_file f = begin(scratch("without"), NULL, NULL), was;
  assert_non_null(strstr(told, "drawn anew: G.2.weight_u"));
  must(duel_tensors_read(&was, scratch("trained")));
  assert_memory_equal(values(&f, "G.2.weight"), values(&was, "G.2.weight"), 96 * sizeof(float));
  assert_first_vectors(&f, 15);
  duel_tensors_close(&f);
  f = begin(scratch("trained"), NULL, NULL);
  assert_memory_equal(values(&f, "G.2.weight_u"), values(&was, "G.2.weight_u"), 3 * sizeof(float));
  duel_tensors_close(&f);
  duel_tensors_close(&was);
}

static void test_zero_weight(void **state) {
  (void)state;
  duel_run *run;
  assert_int_equal(open_run(&run, scratch("spectral.yaml"), NULL, NULL, "D.6.dense.init", "zeros"), DUEL_ERR_USAGE);
  assert_message("D.6.weight is 0 everywhere, and spectral norm divides it by its largest singular value, which is 0 "
                 "too; give its layer another init, or `spectral: false`");
  must(open_run(&run, scratch("spectral.yaml"), NULL, NULL, "D.6", "{dense: {out: 1, init: zeros, spectral: false}}"));
  duel_run_close(run);
}

// ---- equalized learning rates
static double deviation(const duel_tensor_file *f, const char *name) {
  const duel_entry *e = duel_tensors_find(f, name);
  const float *x = values(f, name);
  const size_t n = e->bytes / sizeof *x;
  double squares = 0;
  for (size_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
  return sqrt(squares / (double)n);
}

static void test_equalized(void **state) {
  (void)state;
  duel_run *run;
  must(open_run(&run, scratch("clip.yaml"), NULL, NULL, "D",
                "{layers: [dense: 500, tanh, dense: {out: 500, lr_mul: 2, init: {name: constant, value: 3}}, "
                "dense: {out: 500, equalized: 0}, dense: 1], equalized: 1.5, lr_mul: 0.25, init: torch}"));
  must(duel_run_save(run, scratch("begun")));
  duel_run_close(run);
  duel_tensor_file f;
  must(duel_tensors_read(&f, scratch("begun")));
  assert_true(fabs(deviation(&f, "D.0.weight") / 4 - 1) < 0.1); // N(0, 1)/lr_mul
  assert_true(deviation(&f, "D.0.bias") == 0);
  assert_true(fabs(deviation(&f, "D.2.weight") - 1.5) < 1e-6);                     // its own init, by its own lr_mul
  assert_true(fabs(deviation(&f, "D.3.weight") / (4 / sqrt(3 * 500)) - 1) < 0.02); // as torch draws, by lr_mul
  duel_tensors_close(&f);
  assert_int_equal(open_run(&run, scratch("spectral.yaml"), NULL, NULL, "D.equalized", "1"), DUEL_ERR_USAGE);
  assert_message("D.0 conv: spectral norm takes out again what equalized scales; leave one of them out");
  assert_int_equal(open_run(&run, scratch("spectral.yaml"), NULL, NULL, "D.6.dense.lr_mul", "0.5"), DUEL_ERR_USAGE);
  assert_message("D.6 dense: spectral norm takes out again what lr_mul scales; leave one of them out");
}

// ---- clipping by the global norm
// ‖a − b‖ over the tensors of a net.
static double distance(const duel_tensor_file *a, const duel_tensor_file *b, const char *net) {
  double squares = 0;
  for (int i = 0; i < a->n; i++) {
    const duel_entry *e = &a->entry[i];
    if (strncmp(e->name, net, 2) != 0) continue;
    const float *x = e->data, *y = values(b, e->name);
    for (size_t k = 0; k < e->bytes / sizeof *x; k++) squares += pow((double)x[k] - (double)y[k], 2);
  }
  return sqrt(squares);
}

static void test_clip_norm(void **state) {
  (void)state;
  duel_run *run;
  duel_tensor_file f[3]; // the start, a step with a bound for G, one without
  for (int i = 0; i < 3; i++) {
    char name[8];
    snprintf(name, sizeof name, "clip%d", i);
    must(open_run(&run, scratch("clip.yaml"), NULL, NULL, i == 1 ? "G.optim.clip_norm" : NULL, "0.001"));
    if (i > 0) must(duel_run_advance(run, 1));
    if (i == 1) {
      const double norm = duel_run_scalar(run, "grad_norm_g"), factor = duel_run_scalar(run, "clip_g");
      assert_true(norm > 0.01 && fabs(factor - 0.001 / norm) <= 2e-4 * factor); // ‖grad‖ + 1e-6
      assert_true(duel_run_scalar(run, "clip_d") == 1);
    }
    if (i == 2) assert_true(isnan(duel_run_scalar(run, "clip_g")));
    must(duel_run_save(run, scratch(name)));
    duel_run_close(run);
    must(duel_tensors_read(&f[i], scratch(name)));
  }
  assert_true(fabs(distance(&f[0], &f[1], "G.") - 0.5 * 0.001) < 1e-6);
  assert_true(distance(&f[0], &f[2], "G.") > 0.005);
  assert_true(distance(&f[1], &f[2], "D.") == 0); // D's bound is never met
  for (int i = 0; i < 3; i++) duel_tensors_close(&f[i]);
}

// ---- orthogonal weights
// Between rows a and b of x [rows, columns], or its columns.
static double dot(const float *x, int rows, int columns, bool of_rows, int a, int b) {
  double sum = 0;
  for (int i = 0; i < (of_rows ? columns : rows); i++)
    sum +=
        (double)x[of_rows ? a * columns + i : i * columns + a] * (double)x[of_rows ? b * columns + i : i * columns + b];
  return sum;
}

// Orthonormal times the gain; and what was drawn is R times it, R triangular with a positive diagonal, which no other
// orthonormal matrix has.
static void assert_orthogonal(const float *x, int ordinal, int rows, int columns, double gain) {
  const bool of_rows = rows <= columns;
  const int n = of_rows ? rows : columns;
  float drawn[64 * 64];
  duel_draw_normal((duel_draw){.seed = 0, .purpose = DUEL_PURPOSE_INIT, .k = (uint32_t)ordinal}, 0, rows * columns,
                   drawn);
  for (int a = 0; a < n; a++)
    for (int b = 0; b < n; b++) {
      const double product = dot(x, rows, columns, of_rows, a, b) / (gain * gain);
      if (!(fabs(product - (a == b)) < 1e-6)) fail_msg("%d·%d is %.9g", a, b, product);
      double r = 0; // of the draw's vector b along a
      for (int i = 0; i < (of_rows ? columns : rows); i++) {
        const int step = of_rows ? 1 : columns, to_a = of_rows ? a * columns : a, to_b = of_rows ? b * columns : b;
        r += (double)x[to_a + i * step] * (double)drawn[to_b + i * step] / gain;
      }
      if (!(a == b ? r > 0 : a < b || fabs(r) < 1e-5)) fail_msg("the draw's %d along %d: %.9g", b, a, r);
    }
}

static void test_orthogonal(void **state) {
  (void)state;
  duel_tensor_file f = begin(NULL, "init", "{name: orthogonal, gain: 1.5}");
  assert_orthogonal(values(&f, "G.0.weight"), 0, 98, 6, 1.5);
  assert_orthogonal(values(&f, "G.2.weight"), 2, 2, 48, 1.5); // rows are its first axis, as in PyTorch
  assert_orthogonal(values(&f, "D.4.weight"), 15, 5, 196, 1.5);
  assert_orthogonal(values(&f, "D.6.weight"), 17, 1, 5, 1.5);
  assert_true(deviation(&f, "D.4.bias") == 0);
  duel_tensors_close(&f);
  duel_run *run;
  assert_int_equal(open_run(&run, scratch("spectral.yaml"), NULL, NULL, "G.3.batchnorm.init", "orthogonal"),
                   DUEL_ERR_USAGE);
  assert_message(
      "G.3 batchnorm: orthogonal is for weights of two and more dimensions, and weight is 3; give it another "
      "init");
}

// ---- gains of initializers
// A gain of a power of two moves no mantissa.
static void assert_halved(const char *init) {
  char text[64];
  snprintf(text, sizeof text, "{name: %s, gain: 0.5}", init);
  duel_tensor_file whole = begin(NULL, "init", init), half = begin(NULL, "init", text);
  const float *a = values(&whole, "D.4.weight"), *b = values(&half, "D.4.weight");
  for (int i = 0; i < 5 * 196; i++) assert_true(a[i] != 0 && b[i] == a[i] / 2);
  assert_true(deviation(&half, "D.4.bias") == 0);
  duel_tensors_close(&whole);
  duel_tensors_close(&half);
}

static void test_gain(void **state) {
  (void)state;
  assert_halved("he_normal");
  assert_halved("glorot_normal");
  assert_halved("glorot_uniform");
  // A layer's own; of 6 numbers to each of 98.
  enum { N = 98 * 6 };
  float drawn[N];
  double want[N];
  duel_tensor_file f = begin(NULL, "G.0.dense.init", "{name: he_normal, gain: 0.7}");
  duel_draw_normal((duel_draw){.seed = 0, .purpose = DUEL_PURPOSE_INIT, .k = 0}, 0, N, drawn);
  for (int i = 0; i < N; i++) want[i] = (double)drawn[i] * 0.7 * sqrt(2.0 / 6);
  assert_near(values(&f, "G.0.weight"), want, N);
  duel_tensors_close(&f);
}

// ---- frozen nets and layers
static void assert_same(const duel_tensor_file *a, const duel_tensor_file *b, const char *prefix, bool same) {
  int n = 0;
  for (int i = 0; i < a->n; i++) {
    const duel_entry *e = &a->entry[i];
    const char *end = strrchr(e->name, '.'); // weight, bias, f.weight, gamma; statistics and vectors follow the batches
    if (strncmp(e->name, prefix, strlen(prefix)) || strstr(end, "running") || strstr(end, "_")) continue;
    n++;
    if (same != !memcmp(e->data, values(b, e->name), e->bytes)) fail_msg("%s has %smoved", e->name, same ? "" : "not ");
  }
  assert_true(n > 0);
}

static duel_tensor_file after(const char *checkpoint, const char *init, const char *key, int steps) {
  duel_run *run;
  duel_tensor_file f;
  must(open_run(&run, checkpoint ? NULL : scratch("spectral.yaml"), checkpoint, init, checkpoint ? NULL : key, "true"));
  must(duel_run_advance(run, steps));
  if (!strcmp(key, "G.frozen")) assert_true(isnan(duel_run_scalar(run, "grad_norm_g")));
  must(duel_run_save(run, scratch("after")));
  duel_run_close(run);
  must(duel_tensors_read(&f, scratch("after")));
  return f;
}

static void test_frozen(void **state) {
  (void)state;
  duel_tensor_file first = begin(NULL, NULL, NULL), net = after(NULL, NULL, "G.frozen", 3);
  assert_same(&first, &net, "G.", true); // it begins as it would
  assert_same(&first, &net, "G_ema.", true);
  assert_same(&first, &net, "D.", false);
  for (int i = 0; i < net.n; i++) assert_true(strncmp(net.entry[i].name, "opt.G.", 6) != 0);
  duel_tensor_file two = after(NULL, NULL, "G.frozen", 2);
  duel_tensors_close(&two);
  must(rename(scratch("after"), scratch("two")) ? DUEL_ERR_IO : DUEL_OK);
  duel_tensor_file resumed = after(scratch("two"), NULL, "G.frozen", 1);
  assert_int_equal(resumed.n, net.n);
  for (int i = 0; i < net.n; i++) assert_memory_equal(resumed.entry[i].data, net.entry[i].data, net.entry[i].bytes);
  duel_tensors_close(&resumed);

  duel_tensor_file layer =
      after(NULL, scratch("two"), "D.2.self_attention.frozen", 2); // from the weights of another run
  must(duel_tensors_read(&two, scratch("two")));
  assert_same(&two, &layer, "D.2.", true);
  assert_same(&two, &layer, "D.0.", false);
  assert_same(&two, &layer, "G.0.", false);
  for (int i = 0; i < layer.n; i++) assert_true(strncmp(layer.entry[i].name, "opt.D.2.", 8) != 0);
  duel_tensors_close(&two);
  duel_tensors_close(&layer);
  duel_run *run;
  const duel_set both[] = {{"G.frozen", "true", "--set"}, {"D.frozen", "true", "--set"}};
  assert_int_equal(
      duel_run_open(
          &run, &(duel_run_options){.recipe = scratch("spectral.yaml"), .backend = backend, .set = both, .n_set = 2}),
      DUEL_ERR_USAGE);
  assert_message("all that could learn is frozen; leave frozen out of one net, as in G.frozen=false");
  duel_tensors_close(&net);
  duel_tensors_close(&first);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_first_vectors), cmocka_unit_test(test_resume),    cmocka_unit_test(test_missing_vectors),
      cmocka_unit_test(test_zero_weight),   cmocka_unit_test(test_clip_norm), cmocka_unit_test(test_equalized),
      cmocka_unit_test(test_orthogonal),    cmocka_unit_test(test_gain),      cmocka_unit_test(test_frozen)};
  return cmocka_run_group_tests_name("weights", tests, set_up, scratch_teardown);
}
