// Single layers against PyTorch float64 (golden/layers.py): the result, the gradients of L = Σ u·y, and those of a
// direction in the gradient of x, Σ v·dL/dx. In double, and in float on each backend of DUEL_TEST_BACKENDS. Then how
// layers begin, and what they refuse.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cpu/entry.h"
#include "gan/layers/layers.h"
#include "io/safetensors.h"
#include "io_help.h"
#include "recipe_help.h"
#include "run_case.h"

enum { MOST_TENSORS = 8 }; // x and a layer's parameters

static duel_tensor_file golden;

static const duel_entry *find(int number, const char *kind, const char *name) {
  char text[64];
  snprintf(text, sizeof text, "%d.%s%s", number, kind, name);
  const duel_entry *e = duel_tensors_find(&golden, text);
  if (!e) fail_msg("%s is missing", text);
  assert_int_equal(e->dtype, DUEL_F64);
  return e;
}

static duel_shape shape_of(const duel_entry *e) {
  duel_shape s = {.rank = e->rank};
  memcpy(s.dim, e->dim, (size_t)e->rank * sizeof *s.dim);
  return s;
}

// A recipe whose D is this layer on items of this shape, and what makes it a recipe.
static duel_recipe *recipe_of(const char *layer, duel_shape item) {
  char text[512], sizes[64] = "";
  for (int i = 0; i < item.rank; i++) {
    const size_t length = strlen(sizes);
    snprintf(sizes + length, sizeof sizes - length, "%s%d", i ? ", " : "", (int)item.dim[i]);
  }
  snprintf(text, sizeof text,
           "recipe: 1\ndata: x\nlatent: 1\nG: [dense: %d, reshape: [%s]]\nD: [%s, flatten, dense: 1]\n"
           "train: {length: 1, batch: 2}\n",
           (int)duel_shape_count(item), sizes, layer);
  return recipe_from(text);
}

typedef struct layer {
  duel_recipe recipe; // D is the layer alone
  duel_recipe *whole;
  duel_model model;
  duel_vars vars;
} layer;

static duel_status open_layer(layer *l, const char *text, duel_shape item) {
  *l = (layer){.whole = recipe_of(text, item)};
  DUEL_TRY(duel_model_open(&l->model, l->whole, DUEL_SCALAR, 0, &l->vars, DUEL_F32));
  l->recipe = *l->whole;
  l->recipe.net[1].layers.n = 1;
  l->model.recipe = &l->recipe;
  return DUEL_OK;
}

static void close_layer(layer *l) {
  duel_model_close(&l->model);
  duel_vars_clear(&l->vars);
  duel_recipe_close(l->whole);
}

// ---- against PyTorch
typedef struct output {
  const char *kind, *name;
  int var;
} output;

static void check_output(const duel_rig *r, int number, const char *layer_text, const output *o) {
  const duel_entry *e = find(number, o->kind, o->name);
  const int64_t n = duel_shape_count(shape_of(e));
  const double *want = e->data, u = r->api->real == DUEL_F64 ? 1e-12 : 1e-5;
  double *got = test_calloc((size_t)n, sizeof *got), most = 1;
  duel_rig_get(r, o->var, got);
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(want[i]));
  for (int64_t i = 0; i < n; i++)
    if (!(fabs(got[i] - want[i]) <= u * most))
      fail_msg("%s on %s: %s%s[%d] is %.15g, PyTorch's %.15g", layer_text, r->api->name, o->kind, o->name, (int)i,
               got[i], want[i]);
  test_free(got);
}

static void check_case(int number, const duel_backend_api *api, duel_backend *b, unsigned rewrites) {
  char key[32];
  snprintf(key, sizeof key, "layer.%d", number);
  const char *text = duel_tensors_meta(&golden, key);
  assert_non_null(text);
  const duel_shape x_shape = shape_of(find(number, "", "x"));
  duel_shape item = {.rank = x_shape.rank - 1};
  memcpy(item.dim, x_shape.dim + 1, (size_t)item.rank * sizeof *item.dim);
  layer l;
  must(open_layer(&l, text, item));
  const char *name[MOST_TENSORS] = {"x"}; // then the parameters before those of the last dense
  const int n = l.model.net[1].n - 2 + 1;
  assert_in_range(n, 1, MOST_TENSORS);
  for (int i = 1; i < n; i++) name[i] = l.model.net[1].param[i - 1].name + strlen("D.0.");

  duel_rig r;
  int in[MOST_TENSORS], u, v, outputs = 0;
  output out[2 + 2 * MOST_TENSORS];
  must(duel_rig_open(&r, api, b));
  for (int i = 0; i < n; i++) {
    const duel_entry *e = find(number, "", name[i]);
    if (i) assert_true(duel_shape_equal(shape_of(e), l.model.net[1].param[i - 1].shape));
    must(duel_rig_var(&r, DUEL_ARENA_INPUT, DUEL_REAL, shape_of(e), false, &in[i]));
  }
  must(duel_rig_var(&r, DUEL_ARENA_INPUT, DUEL_REAL, shape_of(find(number, "", "u")), false, &u));
  must(duel_rig_var(&r, DUEL_ARENA_INPUT, DUEL_REAL, x_shape, false, &v));
  out[outputs++] = (output){"", "y", -1};
  for (int i = 0; i < n; i++) out[outputs++] = (output){"d.", name[i], -1};
  for (int i = 0; i < n; i++) out[outputs++] = (output){"s.", name[i], -1};
  out[outputs++] = (output){"s.", "u", -1};
  for (int i = 0; i < outputs; i++)
    must(duel_rig_var(&r, DUEL_ARENA_OUTPUT, DUEL_REAL, shape_of(find(number, out[i].kind, out[i].name)), true,
                      &out[i].var));
  must(duel_rig_graph(&r));

  duel_graph *g = r.graph;
  duel_val wrt[MOST_TENSORS + 1], value[2 + 2 * MOST_TENSORS];
  for (int i = 0; i < n; i++) wrt[i] = duel_input(g, in[i]);
  wrt[n] = duel_input(g, u);
  duel_shards whole = {.g = g, .n = 1};
  duel_pass pass = {
      .g = g, .model = &l.model, .net = 1, .train = true, .key = DUEL_NONE, .shards = &whole, .view = wrt + 1};
  value[0] = duel_forward(&pass, wrt[0]);
  must(duel_grad(g, duel_sum(g, duel_mul(g, wrt[n], value[0])), n, wrt, value + 1));
  must(duel_grad(g, duel_sum(g, duel_mul(g, duel_input(g, v), value[1])), n + 1, wrt, value + 1 + n));
  for (int i = 0; i < outputs; i++) duel_output(g, out[i].var, value[i]);
  must(duel_rig_start(&r, (duel_rig_mode){.rewrites = rewrites}));
  for (int i = 0; i < n; i++) duel_rig_set(&r, in[i], find(number, "", name[i])->data);
  duel_rig_set(&r, u, find(number, "", "u")->data);
  duel_rig_set(&r, v, find(number, "", "v")->data);
  must(duel_rig_run(&r));
  for (int i = 0; i < outputs; i++) check_output(&r, number, text, &out[i]);
  duel_rig_close(&r);
  close_layer(&l);
}

static void check_on(const duel_backend_api *api) {
  const char *cases = duel_tensors_meta(&golden, "cases");
  assert_non_null(cases);
  duel_backend *b;
  must(api->open(&b, &(duel_backend_options){.threads = 1, .precision = "fp32"}));
  for (int i = 0; i < atoi(cases); i++)
    for (int all = 0; all < 2; all++) check_case(i, api, b, all ? DUEL_REWRITE_ALL : 0);
  api->close(b);
  print_message("%s: %s layers as PyTorch has them\n", api->name, cases);
}

static void test_float64(void **state) {
  (void)state;
  check_on(&duel_cpu_f64_backend);
}

static void test_float32(void **state) {
  (void)state;
  for (int i = 0; i < duel_test_backends_n; i++) check_on(duel_test_backends[i]);
}

// ---- noise: what it draws, and its gradients; nothing in inference
enum { ROWS = 2, CHANNELS = 3, PIXELS = 20, VALUES = ROWS * CHANNELS * PIXELS };

typedef struct noisy {
  double x[VALUES], u[VALUES], each[CHANNELS], all[1]; // u: a seed of y; the strengths
  double y[VALUES], still[VALUES], d_x[VALUES], d_each[CHANNELS], d_all[1], n[2][ROWS * PIXELS];
} noisy;

static void run_noise(const duel_backend_api *api, duel_backend *b, const layer *l, noisy *io) {
  const duel_shape image = DUEL_SHAPE(ROWS, CHANNELS, 4, 5), one = DUEL_SHAPE(ROWS, 1, 4, 5);
  const struct {
    duel_shape shape;
    double *at;
  } in[] = {{image, io->x}, {DUEL_SHAPE(CHANNELS), io->each}, {DUEL_SHAPE(1), io->all}, {image, io->u}},
    out[] = {{image, io->d_x},
             {DUEL_SHAPE(CHANNELS), io->d_each},
             {DUEL_SHAPE(1), io->d_all},
             {image, io->y},
             {image, io->still},
             {one, io->n[0]},
             {one, io->n[1]}};
  enum { INS = sizeof in / sizeof *in, OUTS = sizeof out / sizeof *out };
  duel_rig r;
  int var[INS], to[OUTS], key;
  must(duel_rig_open(&r, api, b));
  for (int i = 0; i < INS; i++) must(duel_rig_var(&r, DUEL_ARENA_INPUT, DUEL_REAL, in[i].shape, false, &var[i]));
  for (int i = 0; i < OUTS; i++) must(duel_rig_var(&r, DUEL_ARENA_OUTPUT, DUEL_REAL, out[i].shape, true, &to[i]));
  must(duel_rig_var(&r, DUEL_ARENA_INPUT, DUEL_I32, DUEL_SHAPE(4), false, &key));
  must(duel_rig_graph(&r));
  duel_graph *g = r.graph;
  duel_val wrt[INS], value[OUTS];
  for (int i = 0; i < INS; i++) wrt[i] = duel_input(g, var[i]);
  duel_shards whole = {.g = g, .n = 1};
  duel_model model = l->model;
  duel_pass pass = {.g = g,
                    .model = &model,
                    .net = 1,
                    .train = true,
                    .key = duel_input(g, key),
                    .number = 3,
                    .shards = &whole,
                    .view = wrt + 1};
  value[3] = duel_forward(&pass, wrt[0]);
  must(duel_grad(g, duel_sum(g, duel_mul(g, wrt[3], value[3])), 3, wrt, value));
  for (uint32_t slot = 0; slot < 2; slot++)
    value[5 + slot] = duel_random_normal(g, pass.key, DUEL_PURPOSE_NOISE, 4096 * 3 + slot, one);
  pass.train = false;
  value[4] = duel_forward(&pass, wrt[0]);
  for (int i = 0; i < OUTS; i++) duel_output(g, to[i], value[i]);
  must(duel_rig_start(&r, (duel_rig_mode){.rewrites = DUEL_REWRITE_ALL}));
  for (int i = 0; i < INS; i++) duel_rig_set(&r, var[i], in[i].at);
  duel_rig_set(&r, key, (double[]){7, 0, 11, 0});
  must(duel_rig_run(&r));
  for (int i = 0; i < OUTS; i++) duel_rig_get(&r, to[i], out[i].at);
  duel_rig_close(&r);
}

static void assert_near(double got, double want, double u) {
  if (!(fabs(got - want) <= u * fmax(1, fabs(want)))) fail_msg("%.15g, not %.15g", got, want);
}

static void check_noise(const duel_backend_api *api) {
  static noisy io = {.each = {0.5, -2, 0}, .all = {0.25}};
  const double u = api->real == DUEL_F64 ? 1e-12 : 1e-5;
  duel_backend *b;
  layer l;
  must(open_layer(&l, "noise: {channels: true}, noise", DUEL_SHAPE(CHANNELS, 4, 5)));
  l.recipe.net[1].layers.n = 2;
  must(api->open(&b, &(duel_backend_options){.threads = 1, .precision = "fp32"}));
  for (int i = 0; i < VALUES; i++) io.x[i] = (i * 37 % 64 - 32) / 16.0, io.u[i] = (i * 29 % 32 - 16) / 8.0;
  run_noise(api, b, &l, &io);
  double d_each[CHANNELS] = {0}, d_all = 0, squares = 0;
  for (int i = 0; i < VALUES; i++) {
    const int channel = i / PIXELS % CHANNELS, pixel = i / (CHANNELS * PIXELS) * PIXELS + i % PIXELS;
    assert_near(io.y[i], io.x[i] + io.each[channel] * io.n[0][pixel] + io.all[0] * io.n[1][pixel], u);
    assert_true(io.still[i] == io.x[i] && io.d_x[i] == io.u[i]);
    d_each[channel] += io.u[i] * io.n[0][pixel];
    d_all += io.u[i] * io.n[1][pixel];
    squares += (io.n[0][pixel] - io.n[1][pixel]) * (io.n[0][pixel] - io.n[1][pixel]);
  }
  for (int c = 0; c < CHANNELS; c++) assert_near(io.d_each[c], d_each[c], u);
  assert_near(io.d_all[0], d_all, u);
  assert_true(squares > VALUES); // two layers draw apart: its mean is 2
  api->close(b);
  close_layer(&l);
}

static void test_noise(void **state) {
  (void)state;
  check_noise(&duel_cpu_f64_backend);
  for (int i = 0; i < duel_test_backends_n; i++) check_noise(duel_test_backends[i]);
}

// ---- how they begin
static void assert_begins(const char *text, int n, const float *value) {
  layer l;
  must(open_layer(&l, text, DUEL_SHAPE(4, 3, 2)));
  assert_int_equal(l.model.net[1].n - 2, n);
  for (int i = 0; i < n; i++) {
    const duel_param *p = &l.model.net[1].param[i];
    float first[24];
    assert_true(duel_shape_count(p->shape) <= 24);
    must(duel_param_init(p, 1, first));
    for (int64_t k = 0; k < duel_shape_count(p->shape); k++)
      if (first[k] != value[i]) fail_msg("%s: %s begins as %g", text, p->name, (double)first[k]);
  }
  close_layer(&l);
}

static void test_beginnings(void **state) {
  (void)state;
  const float norm[] = {1, 0}, slope[] = {0.25f}, nothing[] = {0}, own[] = {3, 0}, attention[] = {3, 3, 3, 3, 0};
  assert_begins("layernorm", 2, norm);
  assert_begins("groupnorm: {groups: 2, init: {name: constant, value: 3}}", 2, own);
  assert_begins("instancenorm", 0, NULL);
  assert_begins("instancenorm: {affine: true}", 2, norm);
  assert_begins("pixelnorm", 0, NULL);
  assert_begins("minibatch_stddev", 0, NULL);
  assert_begins("self_attention: {init: {name: constant, value: 3}}", 5, attention);
  assert_begins("prelu", 1, slope);
  assert_begins("noise", 1, nothing);
  assert_begins("noise: {channels: true, init: {name: constant, value: 3}}", 1, own);
  assert_begins("prelu: {channels: true, init: {name: constant, value: 3}}", 1, own);
}

// ---- blocks
// Copies in the order of their tensors, and what a block says of all that is in it.
static void test_concat_blocks(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool frozen;
  } want[] = {{"D.0.0.concat.0.weight", true},
              {"D.0.0.concat.0.bias", true},
              {"D.0.0.concat.1.0.concat.0.weight", false},
              {"D.0.0.concat.1.0.concat.0.bias", false},
              {"D.0.1.concat.0.weight", true},
              {"D.0.1.concat.0.bias", true},
              {"D.0.1.concat.1.0.concat.0.weight", false},
              {"D.0.1.concat.1.0.concat.0.bias", false}};
  const int n = (int)(sizeof want / sizeof *want);
  layer l;
  must(open_layer(&l,
                  "{concat: [conv: {out: 2, pad: 1}, {concat: [conv: {out: 1, pad: 1}], frozen: false}], repeat: 2, "
                  "frozen: true}",
                  DUEL_SHAPE(4, 3, 2)));
  assert_int_equal(l.model.net[1].n - 2, n);
  for (int i = 0; i < n; i++) {
    assert_string_equal(l.model.net[1].param[i].name, want[i].name);
    assert_int_equal(l.model.net[1].param[i].frozen, want[i].frozen);
  }
  // The second copy reads 4 + (2 + 1) channels.
  assert_true(duel_shape_equal(l.model.net[1].param[4].shape, DUEL_SHAPE(2, 7, 3, 3)));
  close_layer(&l);
  // As deep as the U-Net of pix2pix for 256×256.
  must(open_layer(&l,
                  "{concat: [tanh, {concat: [tanh, {concat: [tanh, {concat: [tanh, {concat: [tanh, {concat: [tanh, "
                  "{concat: [conv: {out: 1, pad: 1}]}]}]}]}]}]}]}",
                  DUEL_SHAPE(4, 3, 2)));
  close_layer(&l);
}

// ---- what they refuse
static void assert_refused(const char *text, duel_shape item, const char *message) {
  layer l;
  assert_int_equal(open_layer(&l, text, item), DUEL_ERR_USAGE);
  if (!strstr(duel_last_error(), message)) fail_msg("%s: %s", text, duel_last_error());
  close_layer(&l);
}

static void test_refusals(void **state) {
  (void)state;
  assert_refused("groupnorm: 4", DUEL_SHAPE(6, 3, 2),
                 "D.0 groupnorm: groupnorm cannot cut the 6 channels of 2×6×3×2 into 4 groups");
  assert_refused("instancenorm", DUEL_SHAPE(6, 1, 1),
                 "D.0 instancenorm: instancenorm needs channels of at least 2 values each, but gets 2×6×1×1");
  assert_refused("instancenorm", DUEL_SHAPE(6), "but gets 2×6");
  assert_refused("upsample", DUEL_SHAPE(6, 3, 2),
                 "D.0 upsample: upsample of images 2×6×3×2 needs either scale or size, as in {scale: 2}");
  assert_refused("upsample: {scale: 2, size: 8}", DUEL_SHAPE(6, 3, 2), "needs either scale or size");
  assert_refused("upsample: {size: [8, 8, 8]}", DUEL_SHAPE(6, 3, 2), "upsample.size has 3 numbers; it is one, or two");
  assert_refused("upsample: {size: 8, mode: fir}", DUEL_SHAPE(6, 3, 2),
                 "D.0 upsample: upsample with mode: fir makes images a whole number of times larger, and so it has a "
                 "scale, not a size");
  assert_refused("upsample: {scale: 2, taps: [1, 1]}", DUEL_SHAPE(6, 3, 2),
                 "D.0 upsample: upsample.taps are those of mode: fir, not of nearest");
  assert_refused("upsample: {scale: [2, 5], mode: fir}", DUEL_SHAPE(6, 3, 2),
                 "D.0 upsample: upsample cannot have a scale of 5 with 4 taps, which leave pixels out");
  assert_refused("downsample: {scale: 3, taps: [1, 2]}", DUEL_SHAPE(6, 3, 2),
                 "D.0 downsample: downsample cannot have a scale of 3 with 2 taps, which leave pixels out");
  assert_refused("pad: {pad: [0, 2], mode: reflect}", DUEL_SHAPE(6, 3, 2),
                 "D.0 pad: reflect2d: a pad of 2 left of images of 3×2 must be 0 or more and smaller than that side");
  assert_refused("pad: [1, 2, 3]", DUEL_SHAPE(6, 3, 2), "D.0 pad: pad.pad has 3 numbers; it is one, two or four");
  assert_refused("pad: 1", DUEL_SHAPE(6), "D.0 pad: pad reads images, but gets 2×6; put reshape before it");
  assert_refused("downsample: 4", DUEL_SHAPE(6, 5, 3), "D.0 downsample: resample2d: the width is 0 and must be 1 to");
  assert_refused("downsample", DUEL_SHAPE(6), "D.0 downsample: downsample reads images, but gets 2×6; put reshape");
  assert_refused("blur: [1, -2, 1]", DUEL_SHAPE(6, 3, 2),
                 "D.0 blur: the taps of blur add up to 0, and their sum divides them");
  assert_refused("global_pool", DUEL_SHAPE(6), "D.0 global_pool: global_pool reads images, but gets 2×6; put reshape");
  assert_refused("maxpool: 4", DUEL_SHAPE(6, 3, 5),
                 "D.0 maxpool: maxpool2d: a window of 4×4 covers 4 rows, but images 2×6×3×5 have 3 with their padding; "
                 "make the kernel smaller or pad more");
  assert_refused("avgpool: {kernel: 3, pad: [0, 0, 0]}", DUEL_SHAPE(6, 3, 5), "avgpool.pad has 3 numbers; it is one");
  assert_refused("avgpool: {kernel: 2, pad: 2}", DUEL_SHAPE(6, 3, 5),
                 "D.0 avgpool: resample2d: a pad of 2 above images 2×6×3×5 leaves a window of 2×2 without a pixel; a "
                 "pad must be smaller than the kernel");
  assert_refused("noise", DUEL_SHAPE(6), "D.0 noise: noise reads images, but gets 2×6; put reshape before it");
  assert_refused("add: a", DUEL_SHAPE(6), "D.0 add: no layer before it has `save: a`; saved is nothing");
  assert_refused("{tanh: ~, save: a}, {relu: ~, save: b}, add: c", DUEL_SHAPE(6),
                 "D.2 add: no layer before it has `save: c`; saved is a, b");
  assert_refused("{tanh: ~, save: a}, dense: 5, add: a", DUEL_SHAPE(6),
                 "D.2 add: add needs equal shapes, but gets 2×5 and, from a, 2×6");
  assert_refused(
      "{tanh: ~, save: a}, avgpool: 2, concat: a", DUEL_SHAPE(6, 2, 4),
      "D.2 concat: concat needs shapes that differ in channels alone, but gets 2×6×1×2 and, from a, 2×6×2×4");
  assert_refused("{tanh: ~, save: a}, flatten, concat: a", DUEL_SHAPE(6, 2, 4), "but gets 2×48 and, from a, 2×6×2×4");
  assert_refused("{concat: [tanh, concat: [relu, avgpool: 2]]}", DUEL_SHAPE(6, 2, 4),
                 "D.0.0.concat.1 concat: the concat list makes 2×6×1×2 of 2×6×2×4; only the channels may differ");
  assert_refused("concat: [flatten]", DUEL_SHAPE(6, 2, 4), "the concat list makes 2×48 of 2×6×2×4; only the channels");
}

static int read_golden(void **state) {
  (void)state;
  const char *folder = getenv("DUEL_SOURCE");
  char path[1024];
  snprintf(path, sizeof path, "%s/tests/golden/layers.safetensors", folder ? folder : ".");
  return duel_tensors_read(&golden, path) == DUEL_OK ? 0 : -1;
}

static int close_golden(void **state) {
  (void)state;
  duel_tensors_close(&golden);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_float64),       cmocka_unit_test(test_float32),
                                     cmocka_unit_test(test_noise),         cmocka_unit_test(test_beginnings),
                                     cmocka_unit_test(test_concat_blocks), cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, read_golden, close_golden);
}
