// Recipes: what is in the box, every rule of the grammar, every mistake with its place, what a recipe resolves to, and
// that its canonical text reads back as itself. Section by section: test_recipe_sections.c; bases and settings:
// test_recipe_merge.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "recipe_help.h"

// Mistakes that show only with the data at hand.
static void refuses_data(const char *text, const duel_data_shape *data, const char *message) {
  duel_recipe_source *source;
  duel_recipe *r;
  assert_int_equal(duel_recipe_load(&source, "t", text, NULL, NULL, 0), DUEL_OK);
  assert_int_equal(duel_recipe_resolve(&r, source, data), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(), message);
  duel_recipe_source_close(source);
}

// ---- what is in the box

static void mlp(void **state) {
  (void)state;
  duel_recipe_source *source;
  assert_int_equal(duel_recipe_load(&source, "mlp", NULL, NULL, NULL, 0), DUEL_OK);
  assert_string_equal(duel_recipe_draft(source)->data.path, "fashion-mnist");
  duel_recipe *r = recipe_resolve(source, &recipe_images);
  assert_string_equal(r->name, "mlp");
  assert_int_equal(r->latent, 100);
  static const char *const kinds[] = {"dense",      "leaky_relu", "dense", "batchnorm",
                                      "leaky_relu", "dense",      "tanh",  "reshape"};
  static const double first[] = {256, 0.2, 512, 1e-5, 0.2, 784, 0, 1};
  assert_int_equal(r->net[NET_G].layers.n, 8);
  for (int i = 0; i < 8; i++) {
    const duel_layer *l = &r->net[NET_G].layers.layer[i];
    char path[16];
    snprintf(path, sizeof path, "G.%d", i);
    assert_string_equal(l->kind->name, kinds[i]);
    assert_string_equal(l->path, path);
    assert_int_equal(l->line, 10 + i);
    assert_int_equal(l->col, 5);
    if (i != 6) assert_true(l->value[0].number[0] == first[i]);
  }
  const duel_key_value *shape = r->net[NET_G].layers.layer[7].value;
  assert_true(shape->n == 3 && shape->number[1] == 28 && shape->number[2] == 28);
  assert_int_equal(r->net[NET_D].layers.n, 4);
  assert_true(is_named(&r->net[NET_G].init, "glorot_uniform"));
  assert_true(is_named(&r->net[NET_D].init, "glorot_uniform"));
  assert_true(is_named(&r->loss, "bce"));
  assert_true(value_of(&r->loss, "label_smoothing")->number[0] == 0);
  for (int p = 0; p < r->n_nets; p++) {
    const duel_chosen *o = &r->net[p].optim;
    const duel_schedule *lr = lr_of(r, p);
    assert_true(is_named(o, "adam") && lr->from == 0.0002 && lr->to == 0.0002 && lr->curve == DUEL_CURVE_CONSTANT);
    assert_true(value_of(o, "betas")->number[0] == 0.5 && value_of(o, "betas")->number[1] == 0.999);
    assert_true(value_of(o, "eps")->number[0] == 1e-8 && value_of(o, "weight_decay")->number[0] == 0);
  }
  assert_false(r->net[NET_G].ema.on);
  assert_true(r->train.length.n == 100 && r->train.length.unit == DUEL_EPOCHS);
  assert_true(r->train.batch == 64 && !r->train.seed);
  assert_true(is_named(&r->game, "gan") && value_of(&r->game, "d_steps")->number[0] == 1);
  assert_string_equal(value_of(&r->game, "d_update")->text, "separate");
  assert_string_equal(value_of(&r->game, "latents")->text, "shared");
  assert_true(r->output.sample.n == 1 && r->output.sample.unit == DUEL_EPOCHS);
  assert_true(r->output.checkpoint.n == 5 && r->output.keep == 3);
  assert_string_equal(r->run.backend, "auto");
  assert_string_equal(r->run.precision, "auto");
  assert_true(r->run.device == 0 && r->run.threads == 0);
  duel_recipe_close(r);
}

static void every_builtin_loads(void **state) {
  (void)state;
  assert_true(duel_builtins_n >= 1);
  for (int i = 0; i < duel_builtins_n; i++) {
    duel_recipe_source *source;
    if (duel_recipe_load(&source, duel_builtins[i].name, NULL, NULL, NULL, 0) != DUEL_OK)
      fail_msg("%s", duel_last_error());
    duel_recipe_close(recipe_resolve(source, &(duel_data_shape){.rank = 3, .dim = {1, 64, 64}, .classes = 10}));
  }
}

static void defaults(void **state) {
  (void)state;
  duel_recipe *r = recipe_from(HEAD);
  static const char text[] = "recipe: 1\n"
                             "game: gan\n"
                             "data:\n"
                             "  path: fashion-mnist\n"
                             "  limit: 0\n"
                             "  size: 0\n"
                             "  crop: center\n"
                             "  channels: auto\n"
                             "  on_bad: stop\n"
                             "  transpose: false\n"
                             "  mirror: false\n"
                             "latent: 100\n"
                             "G:\n"
                             "  - dense: {out: 784, bias: true}\n"
                             "  - tanh\n"
                             "  - reshape: {shape: [1, 28, 28]}\n"
                             "D:\n"
                             "  - flatten\n"
                             "  - dense: {out: 1, bias: true}\n"
                             "init: torch\n"
                             "loss:\n"
                             "  name: bce\n"
                             "  label_smoothing: 0\n"
                             "  label_flips: 0\n"
                             "  generator: nonsaturating\n"
                             "optim:\n"
                             "  name: adam\n"
                             "  lr: 0.0002\n"
                             "  betas: [0.9, 0.999]\n"
                             "  eps: 1.0e-8\n"
                             "  weight_decay: 0\n"
                             "train:\n"
                             "  length: 10 steps\n"
                             "  batch: 64\n"
                             "  shards: 1\n"
                             "  seed: 0\n"
                             "  d_steps: 1\n"
                             "  d_update: joint\n"
                             "  latents: shared\n"
                             "  noise: 0\n"
                             "output:\n"
                             "  sample: 1 epoch\n"
                             "  keep_pictures: 0\n"
                             "  checkpoint: 1 epoch\n"
                             "  keep: 3\n"
                             "  tick: 10 kimg\n"
                             "  grid: 0\n"
                             "run:\n"
                             "  backend: auto\n"
                             "  device: 0\n"
                             "  threads: 0\n"
                             "  precision: auto\n"
                             "  capture: on\n"
                             "  data_memory: auto\n";
  assert_string_equal(r->text, text);
  assert_string_equal(r->name, "t");
  duel_recipe_close(r);
  // null is as good as absent, and so is an empty section.
  r = recipe_from(
      HEAD "game: ~\nloss: ~\nema:\npenalty: {}\naugment: ~\neval: null\noptim: {lr: null}\nrun: {}\nvars: {}\n");
  assert_string_equal(r->text, text);
  duel_recipe_close(r);
}

static void everything_said(void **state) {
  (void)state;
  duel_recipe *r =
      recipe_from("recipe: 1\n"
                  "data: {path: ./my shoes, limit: 0x10, size: [48, 64], crop: none, channels: 3}\n"
                  "latent: $z*2\n"
                  "vars: {z: 0o10, ch: $z*$C}\n"
                  "G:\n"
                  "  - dense: {out: $ch * $H/4 * $W/4, bias: false, init: {name: normal, std: 0.02}}\n"
                  "  - batchnorm: {momentum: 0.2, eps: 0.001, init: {name: constant, value: 2}}\n"
                  "  - residual: [relu, dense: $ch*7*7]\n"
                  "    skip: [batchnorm]\n"
                  "    repeat: $C*2\n"
                  "  - residual: [sigmoid]\n"
                  "  - dropout\n"
                  "  - reshape: $classes\n"
                  "D:\n"
                  "  layers: [flatten, {dense: 1, save: out}]\n"
                  "  init: zeros\n"
                  "  optim: {name: adam, lr: 4e-4, betas: [0, 0.9], eps: 0.001, weight_decay: 0.2}\n"
                  "  ema: 3 epochs\n"
                  "init: {name: normal, mean: 1, std: 0.5}\n"
                  "loss: {label_smoothing: 0.1}\n"
                  "optim:\n"
                  "  name: sgd\n"
                  "  lr: {from: 1e-3, to: 0, curve: cosine, over: 10 kimg, warmup: 0.5 epochs}\n"
                  "  momentum: 0.9\n"
                  "  weight_decay: 0.1\n"
                  "ema: {half_life: 10 kimg}\n"
                  "train: {length: 1 epoch, batch: 32, shards: 4, d_steps: 5, d_update: separate, latents: fresh, "
                  "noise: {from: 0.1, to: 0}, top_k: 20, seed: 18446744073709551615}\n"
                  "output: {sample: 0, checkpoint: 500 images, keep: 1, keep_pictures: 7, grid: [4, 8], tick: 10}\n"
                  "run: {backend: cuda, device: 1, threads: 4, precision: bf16, capture: off, data_memory: 0.0625G}\n");
  static const char text[] = "recipe: 1\n"
                             "game: gan\n"
                             "data:\n"
                             "  path: \"./my shoes\"\n"
                             "  limit: 16\n"
                             "  size: [48, 64]\n"
                             "  crop: none\n"
                             "  channels: 3\n"
                             "  on_bad: stop\n"
                             "  transpose: false\n"
                             "  mirror: false\n"
                             "latent: 16\n"
                             "G:\n"
                             "  - dense: {out: 392, bias: false, init: {name: normal, mean: 0, std: 0.02}}\n"
                             "  - batchnorm: {eps: 0.001, momentum: 0.2, init: {name: constant, value: 2}}\n"
                             "  - residual:\n"
                             "      - relu\n"
                             "      - dense: {out: 392, bias: true}\n"
                             "    skip:\n"
                             "      - batchnorm: {eps: 1.0e-5, momentum: 0.1}\n"
                             "    repeat: 2\n"
                             "  - residual:\n"
                             "      - sigmoid\n"
                             "    repeat: 1\n"
                             "  - dropout: {p: 0.5}\n"
                             "  - reshape: {shape: [10]}\n"
                             "D:\n"
                             "  layers:\n"
                             "    - flatten\n"
                             "    - dense: {out: 1, bias: true}\n"
                             "      save: out\n"
                             "  init: zeros\n"
                             "  optim: {name: adam, lr: 0.0004, betas: [0, 0.9], eps: 0.001, weight_decay: 0.2}\n"
                             "  ema: {half_life: 3 epochs, ramp_up: 0, buffers: copy}\n"
                             "init:\n"
                             "  name: normal\n"
                             "  mean: 1\n"
                             "  std: 0.5\n"
                             "loss:\n"
                             "  name: bce\n"
                             "  label_smoothing: 0.1\n"
                             "  label_flips: 0\n"
                             "  generator: nonsaturating\n"
                             "optim:\n"
                             "  name: sgd\n"
                             "  lr: {from: 0.001, to: 0, curve: cosine, over: 10 kimg, warmup: 0.5 epochs}\n"
                             "  momentum: 0.9\n"
                             "  weight_decay: 0.1\n"
                             "ema:\n"
                             "  half_life: 10 kimg\n"
                             "  ramp_up: 0\n"
                             "  buffers: copy\n"
                             "train:\n"
                             "  length: 1 epoch\n"
                             "  batch: 32\n"
                             "  shards: 4\n"
                             "  seed: 18446744073709551615\n"
                             "  d_steps: 5\n"
                             "  d_update: separate\n"
                             "  latents: fresh\n"
                             "  noise: {from: 0.1, to: 0, curve: linear}\n"
                             "  top_k: 20\n"
                             "output:\n"
                             "  sample: 0\n"
                             "  keep_pictures: 7\n"
                             "  checkpoint: 500 images\n"
                             "  keep: 1\n"
                             "  tick: 10 steps\n"
                             "  grid: [4, 8]\n"
                             "run:\n"
                             "  backend: cuda\n"
                             "  device: 1\n"
                             "  threads: 4\n"
                             "  precision: bf16\n"
                             "  capture: off\n"
                             "  data_memory: 64M\n";
  assert_string_equal(r->text, text);
  const duel_layer *block = &r->net[NET_G].layers.layer[2];
  enum { BODY, SKIP, REPEAT };
  const duel_layers *body = block->value[BODY].layers;
  assert_string_equal(block->kind->name, "residual");
  assert_true(block->value[REPEAT].number[0] == 2);
  assert_string_equal(body->layer[1].path, "G.2.residual.1");
  assert_string_equal(block->value[SKIP].layers->layer[0].path, "G.2.skip.0");
  assert_int_equal(r->net[NET_G].layers.layer[3].value[SKIP].n, 0);
  assert_string_equal(r->net[NET_D].layers.layer[1].save, "out");
  assert_true(r->net[NET_D].ema.on && r->net[NET_D].ema.half_life.from == 3);
  assert_true(r->train.seed == UINT64_MAX && r->net[NET_G].ema.on && r->net[NET_G].ema.half_life.unit == DUEL_KIMG);
  assert_true(is_named(&r->net[NET_G].optim, "sgd") && is_named(&r->net[NET_D].optim, "adam"));
  assert_null(body->layer[1].value[2].chosen); // as the recipe says
  duel_recipe_close(r);
}

// ---- expressions

static void expressions(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t value;
  } cases[] = {{"784", 784},        {"$H", 28},     {"$C*$H*$W", 784}, {"$H/4*$W/4", 49}, {"\"$H/2\"", 14},
               {"$a*$b", 6},        {"2*3/6*5", 5}, {"0x10", 16},      {"$H/28", 1},      {"$classes", 10},
               {"  $a  *  $b ", 6}, {"$_x1", 9},    {"100/3*3", -1},   {"$e", 7}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[1024];
    snprintf(text, sizeof text, "%s%s%s\n", HEAD "vars: {a: 2, b: $a*3/2, _x1: 9, e: $H/4}\n", "data: ", "");
    snprintf(text, sizeof text,
             "recipe: 1\ndata: x\nvars: {a: 2, b: $a*3/2, _x1: 9, e: $H/4}\nG: [dense: 1]\nD: [dense: 1]\n"
             "train: {length: 1}\nlatent: %s\n",
             cases[i].text);
    if (cases[i].value < 0) {
      recipe_refuses(text, "t:7:9: latent: 100/3*3: 100/3 is not a whole number");
      continue;
    }
    duel_recipe *r = recipe_from(text);
    assert_int_equal(r->latent, cases[i].value);
    duel_recipe_close(r);
  }
  recipe_refuses(HEAD "vars: {a: 1}\noutput: {keep: $b}\n",
                 "t:8:16: output.keep: $b: no such name; there are C, H, W, classes, a");
  recipe_refuses(HEAD "vars: {width: 1}\noutput: {keep: $widht}\n",
                 "t:8:16: output.keep: $widht: no such name; did you mean width?");
  recipe_refuses(HEAD "output: {keep: 3**4}\n",
                 "t:7:16: output.keep: 3**4 is not a whole number or a product such as $C*$H*$W/4");
  recipe_refuses(HEAD "output: {keep: 3*}\n",
                 "t:7:16: output.keep: 3* is not a whole number or a product such as $C*$H*$W/4");
  recipe_refuses(HEAD "output: {keep: 3+4}\n",
                 "t:7:16: output.keep: 3+4 is not a whole number or a product such as $C*$H*$W/4");
  recipe_refuses(HEAD "output: {keep: $}\n", "t:7:16: output.keep: $ is not a product such as $C*$H*$W/4");
  recipe_refuses(HEAD "output: {keep: 3/0}\n", "t:7:16: output.keep: 3/0: 3/0 is not a whole number");
  recipe_refuses(HEAD "output: {keep: 9223372036854775807*2}\n",
                 "t:7:16: output.keep: 9223372036854775807*2 is too large a number");
  recipe_refuses(HEAD "output: {keep: 9223372036854775808*1}\n",
                 "t:7:16: output.keep: 9223372036854775808*1 is too large a number");
  recipe_refuses(HEAD "output: {keep: \"3\"}\n",
                 "t:7:16: output.keep: \"3\" is not a whole number; take the quotes away");
  recipe_refuses(HEAD "output: {keep: 3.0}\n", "t:7:16: output.keep: 3.0 is not a whole number");
  recipe_refuses(HEAD "output: {keep: [3]}\n", "t:7:16: output.keep: [3] is not a whole number");
  recipe_refuses(HEAD "output: {keep: true}\n",
                 "t:7:16: output.keep: true is not a whole number or a product such as $C*$H*$W/4");
}

static void vars(void **state) {
  (void)state;
  recipe_refuses(HEAD "vars: {a: $b, b: 1}\n",
                 "t:7:11: vars.a: $b stands further down in vars; a name may use earlier ones only");
  recipe_refuses(HEAD "vars: {a: $a}\n",
                 "t:7:11: vars.a: $a stands further down in vars; a name may use earlier ones only");
  recipe_refuses(HEAD "vars: {C: 3}\n", "t:7:8: vars.C: $C comes from the data; take another name");
  recipe_refuses(HEAD "vars: {3d: 3}\n", "t:7:8: vars.3d: a name is letters, digits and _, and begins with a letter");
  recipe_refuses(HEAD "vars: {a: 0.5}\n", "t:7:11: vars.a: 0.5 is not a whole number");
  recipe_refuses(HEAD "vars: [1]\n", "t:7:7: vars: [1] is not a mapping of keys");
  // A wrong one is reported once, not again where it is used.
  recipe_refuses(HEAD "vars: {a: x}\noutput: {keep: $a}\n",
                 "t:7:11: vars.a: x is not a whole number or a product such as $C*$H*$W/4");
}

static void what_only_the_data_shows(void **state) {
  (void)state;
  refuses_data("recipe: 1\ndata: x\nlatent: $H/3\nG: [dense: $W/5]\nD: [dense: $H*0]\ntrain: {length: 1}\n",
               &recipe_images,
               "t:3:9: latent: $H/3: 28/3 is not a whole number\n"
               "t:4:12: G.0.dense.out: $W/5: 28/5 is not a whole number\n"
               "t:5:12: D.0.dense.out: $H*0 is out of range: it must be at least 1 and at most 16777216");
  refuses_data(
      "recipe: 1\ndata: x\nlatent: $C\nG: [dense: $W]\nD: [dense: $classes]\ntrain: {length: 1}\n", &recipe_points,
      "t:4:12: G.0.dense.out: the data are points, which have no $W; name pictures, or take a recipe for points, such "
      "as ring\n"
      "t:5:12: D.0.dense.out: the data has no labels, so no $classes; pictures get them by a folder for each class");
  refuses_data("recipe: 1\ndata: x\nlatent: $C\nG: [dense: 1]\nD: [dense: 1]\ntrain: {length: 1}\n", NULL,
               "t:3:9: depends on the data, which is not at hand");
  recipe_refuses("recipe: 1\ndata: {path: x, limit: $H}\nlatent: 1\nG: [dense: 1]\nD: [dense: 1]\ntrain: {length: 1}\n",
                 "t:2:24: data.limit: depends on the data itself");
  recipe_refuses("recipe: 1\ndata: {path: x, limit: $a}\nlatent: 1\nG: [dense: 1]\nD: [dense: 1]\ntrain: {length: 1}\n"
                 "vars: {a: $H}\n",
                 "t:2:24: data.limit: depends on the data itself");
}

// ---- faults

static void without_memory(void **state) {
  (void)state;
  const duel_setting setting[] = {{"train.batch", "32", NULL}, {"G.optim.lr", "0.1", "--set"}, {"data", "x", "--data"}};
  duel_status status = DUEL_ERR_DEVICE;
  for (uint64_t at = 1; status != DUEL_OK; at++) {
    duel_recipe_source *source = NULL;
    duel_recipe *r = NULL;
    assert_true(at < 2000);
    duel_mem_fail_at(at, at % 2);
    status = duel_recipe_load(&source, "mlp", NULL, NULL, setting, 3);
    if (status == DUEL_OK) status = duel_recipe_resolve(&r, source, &recipe_images);
    char diff[64];
    if (status == DUEL_OK) status = recipe_diff(r->text, HEAD, diff, sizeof diff);
    duel_mem_fail_at(0, 0);
    assert_true(status == DUEL_OK || status == DUEL_ERR_DEVICE);
    duel_recipe_source_close(source);
    duel_recipe_close(r);
  }
}

// Where the sizes of the data leave a rest the message says which do not; each is tried.
static void sizes_that_leave_a_rest(void **state) {
  (void)state;
  static const char head[] = "recipe: 1\nlatent: 4\nD: [flatten, dense: 1]\ntrain: {length: 3}\n";
  static const struct {
    const char *rest;
    int64_t height, width;
    bool fixed;
    const char *cure;
    int64_t fits[4]; // what it names, height and width
  } cases[] = {
      {"data: x\nG: [dense: $H/16*$W/16]\n",
       218,
       178,
       false,
       "t takes heights and widths that 16 divides: use data.size=176 or data.size=[208,176]",
       {176, 176, 208, 176}},
      {"data: {path: x, size: 64}\nG: [dense: $H/16*$W/16]\n",
       218,
       178,
       false,
       "t takes heights and widths that 16 divides: use data.size=64 or data.size=[208,176]",
       {64, 64, 208, 176}},
      {"data: x\nG: [dense: $H/6*$W/4]\n",
       20,
       20,
       false,
       "t takes heights that 6 divides and widths that 4 divides: use data.size=12 or data.size=[18,20]",
       {12, 12, 18, 20}},
      {"data: x\nG: [dense: $H/8]\n", 5, 5, false, "t takes heights that 8 divides: use data.size=8", {8, 8}},
      {"data: x\nG: [dense: $H*$W/64]\n", 12, 12, false, "t takes other sizes: use data.size=8", {8, 8}},
      {"data: x\nvars: {n: $H/7}\nG: [dense: $n]\n",
       20,
       30,
       false,
       "t takes heights that 7 divides: use data.size=14 or data.size=[14,30]",
       {14, 14, 14, 30}},
      {"data: x\nG: [dense: $H/16*$W/16]\n",
       20,
       20,
       true,
       "t takes heights and widths that 16 divides: these keep their size, so set options.data to others",
       {16, 16}},
      {"data: x\nvars: {n: 5}\nG: [dense: $n/2]\n", 20, 20, false, NULL, {0}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_recipe_source *source;
    duel_recipe *r;
    char text[512], cure[256];
    snprintf(text, sizeof text, "%s%s", head, cases[i].rest);
    duel_data_shape data = {.rank = 3, .dim = {1, cases[i].height, cases[i].width}, .fixed = cases[i].fixed};
    if (!cases[i].cure) {
      assert_int_equal(duel_recipe_load(&source, "t", text, NULL, NULL, 0), DUEL_ERR_USAGE);
      continue;
    }
    assert_int_equal(duel_recipe_load(&source, "t", text, NULL, NULL, 0), DUEL_OK);
    assert_int_equal(duel_recipe_resolve(&r, source, &data), DUEL_ERR_USAGE);
    snprintf(cure, sizeof cure, "\nthe data are %d×%d, and %s", (int)data.dim[1], (int)data.dim[2], cases[i].cure);
    const char *line = strstr(duel_last_error(), "\nthe data are");
    assert_non_null(line);
    assert_string_equal(line, cure);
    for (int k = 0; k < 4 && cases[i].fits[k]; k += 2) {
      data.dim[1] = cases[i].fits[k], data.dim[2] = cases[i].fits[k + 1];
      if (duel_recipe_resolve(&r, source, &data) != DUEL_OK) fail_msg("%s", duel_last_error());
      duel_recipe_close(r);
    }
    duel_recipe_source_close(source);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sizes_that_leave_a_rest),
      cmocka_unit_test(mlp),
      cmocka_unit_test(every_builtin_loads),
      cmocka_unit_test(defaults),
      cmocka_unit_test(everything_said),
      cmocka_unit_test(expressions),
      cmocka_unit_test(vars),
      cmocka_unit_test(what_only_the_data_shows),
      cmocka_unit_test(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
