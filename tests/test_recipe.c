// Recipes: every rule of the grammar, every mistake with its place, what a recipe resolves to, and that its canonical
// text reads back as itself. Bases and settings: test_recipe_merge.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "recipe_help.h"

// Mistakes that show only with the data at hand.
static void refuses_data(const char *text, const duel_data_shape *data, const char *message) {
  duel_recipe_source *source;
  duel_recipe *r;
  assert_int_equal(duel_recipe_load_text(&source, "t", text, NULL, 0), DUEL_OK);
  assert_int_equal(duel_recipe_resolve(&r, source, data), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(), message);
  duel_recipe_source_close(source);
}

// ---- what is in the box

static void mlp(void **state) {
  (void)state;
  duel_recipe_source *source;
  assert_int_equal(duel_recipe_load(&source, "mlp", NULL, 0), DUEL_OK);
  assert_string_equal(duel_recipe_data_path(source), "fashion-mnist");
  assert_int_equal(duel_recipe_data_limit(source), 0);
  duel_recipe *r = recipe_resolve(source, &recipe_images);
  assert_string_equal(r->name, "mlp");
  assert_int_equal(r->latent, 100);
  static const char *const kinds[] = {"dense",      "leaky_relu", "dense", "batchnorm",
                                      "leaky_relu", "dense",      "tanh",  "reshape"};
  static const double first[] = {256, 0.2, 512, 1e-5, 0.2, 784, 0, 1};
  assert_int_equal(r->player[DUEL_G].n, 8);
  for (int i = 0; i < 8; i++) {
    const duel_layer *l = &r->player[DUEL_G].layer[i];
    char path[16];
    snprintf(path, sizeof path, "G.%d", i);
    assert_string_equal(l->kind->name, kinds[i]);
    assert_string_equal(l->path, path);
    assert_int_equal(l->line, 9 + i);
    assert_int_equal(l->col, 5);
    if (i != 6) assert_true(l->value[0].number[0] == first[i]);
  }
  const duel_key_value *shape = r->player[DUEL_G].layer[7].value;
  assert_true(shape->n == 3 && shape->number[1] == 28 && shape->number[2] == 28);
  assert_int_equal(r->player[DUEL_D].n, 4);
  assert_string_equal(r->init[DUEL_G].name, "glorot_uniform");
  assert_string_equal(r->init[DUEL_D].name, "glorot_uniform");
  assert_string_equal(r->loss.name, "bce");
  assert_true(r->loss.label_smoothing == 0);
  for (int p = 0; p < DUEL_PLAYERS; p++) {
    const duel_optim *o = &r->optim[p];
    assert_true(o->adam == 1 && o->lr.from == 0.0002 && o->lr.to == 0.0002 && o->lr.curve == DUEL_CURVE_CONSTANT);
    assert_true(o->betas[0] == 0.5 && o->betas[1] == 0.999 && o->eps == 1e-8 && o->weight_decay == 0);
  }
  assert_false(r->ema.on);
  assert_true(r->train.length.n == 100 && r->train.length.unit == DUEL_EPOCHS);
  assert_true(r->train.batch == 64 && r->train.d_steps == 1 && !r->train.joint && r->train.shared && !r->train.seed);
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
    if (duel_recipe_load(&source, duel_builtins[i].name, NULL, 0) != DUEL_OK) fail_msg("%s", duel_last_error());
    duel_recipe_close(recipe_resolve(source, &(duel_data_shape){3, {1, 64, 64}, 10}));
  }
}

static void defaults(void **state) {
  (void)state;
  duel_recipe *r = recipe_from(HEAD);
  static const char text[] = "recipe: 1\n"
                             "data:\n"
                             "  path: fashion-mnist\n"
                             "  limit: 0\n"
                             "  size: 0\n"
                             "  crop: center\n"
                             "  channels: auto\n"
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
                             "optim:\n"
                             "  name: adam\n"
                             "  lr: 0.0002\n"
                             "  betas: [0.9, 0.999]\n"
                             "  eps: 1.0e-8\n"
                             "  weight_decay: 0\n"
                             "train:\n"
                             "  length: 10 steps\n"
                             "  batch: 64\n"
                             "  d_steps: 1\n"
                             "  d_update: joint\n"
                             "  latents: shared\n"
                             "  seed: 0\n"
                             "output:\n"
                             "  sample: 1 epoch\n"
                             "  checkpoint: 1 epoch\n"
                             "  keep: 3\n"
                             "  tick: 10 kimg\n"
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
      HEAD "loss: ~\nema:\npenalty: {gp: null}\naugment: {}\neval: null\noptim: {lr: null}\nrun: {}\nvars: {}\n");
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
                  "D: [flatten, dense: 1]\n"
                  "init: {G: {name: normal, mean: 1, std: 0.5}, D: zeros}\n"
                  "loss: {label_smoothing: 0.1}\n"
                  "optim:\n"
                  "  name: {G: sgd, D: adam}\n"
                  "  lr: {G: {from: 1e-3, to: 0, curve: cosine, over: 10 kimg, warmup: 0.5 epochs}, D: 4e-4}\n"
                  "  betas: [0, 0.9]\n"
                  "  eps: {D: 0.001, G: null}\n"
                  "  momentum: 0.9\n"
                  "  weight_decay: {G: 0.1, D: 0.2}\n"
                  "ema: {half_life: 10 kimg}\n"
                  "train: {length: 1 epoch, batch: 32, d_steps: 5, d_update: separate, latents: fresh, "
                  "seed: 18446744073709551615}\n"
                  "output: {sample: 0, checkpoint: 500 images, keep: 1, tick: 10}\n"
                  "run: {backend: cuda, device: 1, threads: 4, precision: bf16, capture: off, data_memory: 0.0625G}\n");
  static const char text[] = "recipe: 1\n"
                             "data:\n"
                             "  path: \"./my shoes\"\n"
                             "  limit: 16\n"
                             "  size: [48, 64]\n"
                             "  crop: none\n"
                             "  channels: 3\n"
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
                             "  - flatten\n"
                             "  - dense: {out: 1, bias: true}\n"
                             "init: {G: {name: normal, mean: 1, std: 0.5}, D: zeros}\n"
                             "loss:\n"
                             "  name: bce\n"
                             "  label_smoothing: 0.1\n"
                             "optim:\n"
                             "  name: {G: sgd, D: adam}\n"
                             "  lr: {G: {from: 0.001, to: 0, curve: cosine, over: 10 kimg, warmup: 0.5 epochs}, "
                             "D: 0.0004}\n"
                             "  betas: [0, 0.9]\n"
                             "  eps: 0.001\n"
                             "  momentum: 0.9\n"
                             "  weight_decay: {G: 0.1, D: 0.2}\n"
                             "ema:\n"
                             "  half_life: 10 kimg\n"
                             "train:\n"
                             "  length: 1 epoch\n"
                             "  batch: 32\n"
                             "  d_steps: 5\n"
                             "  d_update: separate\n"
                             "  latents: fresh\n"
                             "  seed: 18446744073709551615\n"
                             "output:\n"
                             "  sample: 0\n"
                             "  checkpoint: 500 images\n"
                             "  keep: 1\n"
                             "  tick: 10 steps\n"
                             "run:\n"
                             "  backend: cuda\n"
                             "  device: 1\n"
                             "  threads: 4\n"
                             "  precision: bf16\n"
                             "  capture: off\n"
                             "  data_memory: 64M\n";
  assert_string_equal(r->text, text);
  const duel_layer *block = &r->player[DUEL_G].layer[2];
  assert_null(block->kind);
  assert_int_equal(block->repeat, 2);
  assert_string_equal(block->body->layer[1].path, "G.2.residual.1");
  assert_string_equal(block->skip->layer[0].path, "G.2.skip.0");
  assert_null(r->player[DUEL_G].layer[3].skip);
  assert_true(r->train.seed == UINT64_MAX && r->ema.on && r->ema.half_life.unit == DUEL_KIMG);
  assert_true(r->optim[DUEL_G].adam == 0 && r->optim[DUEL_D].adam == 1);
  assert_null(block->body->layer[1].value[2].init.name); // as the recipe says
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
  refuses_data("recipe: 1\ndata: x\nlatent: $C\nG: [dense: $W]\nD: [dense: $classes]\ntrain: {length: 1}\n",
               &recipe_points,
               "t:4:12: G.0.dense.out: the data are points, which have no $W\n"
               "t:5:12: D.0.dense.out: the data has no labels, so no $classes");
  refuses_data("recipe: 1\ndata: x\nlatent: $C\nG: [dense: 1]\nD: [dense: 1]\ntrain: {length: 1}\n", NULL,
               "t:3:9: depends on the data, which is not at hand");
  recipe_refuses("recipe: 1\ndata: {path: x, limit: $H}\nlatent: 1\nG: [dense: 1]\nD: [dense: 1]\ntrain: {length: 1}\n",
                 "t:2:24: data.limit: depends on the data itself");
  recipe_refuses("recipe: 1\ndata: {path: x, limit: $a}\nlatent: 1\nG: [dense: 1]\nD: [dense: 1]\ntrain: {length: 1}\n"
                 "vars: {a: $H}\n",
                 "t:2:24: data.limit: depends on the data itself");
}

// ---- layers

static void layers(void **state) {
  (void)state;
  recipe_refuses("recipe: 1\n"
                 "data: x\n"
                 "latent: 1\n"
                 "train: {length: 1}\n"
                 "G:\n"
                 "  - leaky_relue: 0.2\n"
                 "  - flaten\n"
                 "  - tanh: 1\n"
                 "  - tanh: {slope: 1}\n"
                 "  - batchnorm: {epss: 1, eps: 0}\n"
                 "  - dense: {bias: yes}\n"
                 "  - dense: 256\n"
                 "    bias: false\n"
                 "  - [dense, 1]\n"
                 "  - null\n"
                 "  - {}\n"
                 "  - reshape: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
                 "  - reshape: []\n"
                 "  - leaky_relu: .inf\n"
                 "  - dense: {out: 1, init: {name: nrmal}}\n"
                 "D:\n"
                 "  - residual\n"
                 "  - residual: relu\n"
                 "    skip: []\n"
                 "    repeat: 0\n",
                 "t:6:5: G.0: leaky_relue: no such layer; did you mean leaky_relu?\n"
                 "t:7:5: G.1: flaten: no such layer; did you mean flatten?\n"
                 "t:8:11: G.2: tanh takes no value\n"
                 "t:9:12: G.3.tanh.slope: no such key; this layer has none\n"
                 "t:10:17: G.4.batchnorm.epss: no such key; did you mean eps?\n"
                 "t:10:31: G.4.batchnorm.eps: 0 is out of range: it must be at least 1.0e-12 and at most 1\n"
                 "t:11:5: G.5.dense.out: missing (numbers an item)\n"
                 "t:11:19: G.5.dense.bias: yes is not true or false\n"
                 "t:13:5: G.6: bias stands beside dense; one layer an item, its keys go inside: dense: {…}\n"
                 "t:14:5: G.7: [dense, 1] is not a layer; a layer is `name` or `name: value`\n"
                 "t:15:5: G.8: null is not a layer; a layer is `name` or `name: value`\n"
                 "t:16:5: G.9: {} is not a layer; a layer is `name` or `name: value`\n"
                 "t:17:14: G.10.reshape.shape: a list of 1 to 8 whole numbers is due, this has 9\n"
                 "t:18:14: G.11.reshape.shape: a list of 1 to 8 whole numbers is due, this has 0\n"
                 "t:19:17: G.12.leaky_relu.slope: .inf is not a finite number\n"
                 "t:20:34: G.13.dense.init: nrmal: no such initialiser; did you mean normal?\n"
                 "t:22:5: D.0: residual needs a list of layers\n"
                 "t:23:15: D.1.residual: relu is not a list of layers\n"
                 "t:24:11: D.1.skip: [] is not a list of layers\n"
                 "t:25:13: D.1.repeat: 0 is out of range: it must be at least 1 and at most 1000");
  recipe_refuses("recipe: 1\ndata: x\nlatent: 1\ntrain: {length: 1}\nG: [relu]\nD: [{residual: [relu], repeats: 2}]\n",
                 "t:6:24: D.0.repeats: no such key of a residual block; did you mean repeat?");
  recipe_refuses("recipe: 1\ndata: x\nlatent: 1\ntrain: {length: 1}\nG: dense\nD: {dense: 1}\n",
                 "t:5:4: G: dense is not a list of layers\nt:6:4: D: {dense: 1} is not a list of layers");
}

static void too_many_layers(void **state) {
  (void)state;
  static const char message[] = "too many layers; a player has at most 10000, blocks nested 32 deep";
  char *text = malloc(1 << 17), expected[160];
  size_t used = (size_t)sprintf(text, "recipe: 1\ndata: x\nlatent: 1\ntrain: {length: 1}\nD: [relu]\nG: [relu");
  for (int i = 0; i < 10000; i++) used += (size_t)sprintf(text + used, ", relu");
  sprintf(text + used, "]\n");
  snprintf(expected, sizeof expected, "t:6:4: G: %s", message);
  recipe_refuses(text, expected);
  // Copies of copies count: 1000·10 blocks of one layer are 10000 layers and the blocks themselves.
  snprintf(expected, sizeof expected, "t:4:28: G.0.residual.0.residual: %s", message);
  recipe_refuses(
      "recipe: 1\ndata: x\nlatent: 1\nG: [{residual: [{residual: [relu], repeat: 10}], repeat: 1000}]\nD: [relu]\n"
      "train: {length: 1}\n",
      expected);
  free(text);
}

// ---- sections

static void values(void **state) {
  (void)state;
  recipe_refuses("recipe: 1\n"
                 "data: [x]\n"
                 "latnt: 3\n"
                 "latent: 0\n"
                 "G: [dense: 784]\n"
                 "D: [dense: 1]\n"
                 "init: {name: normal, sdt: 1, std: -1}\n"
                 "loss: {name: hing, label_smoothing: 1}\n"
                 "optim: {name: adamw, lr: -1, betas: [0.5, 1], eps: 0, weight_decay: ten}\n"
                 "train:\n"
                 "  length: 100 epoch s\n"
                 "  batch: 0\n"
                 "  d_steps: -1\n"
                 "  d_update: both\n"
                 "  latents: 3\n"
                 "  seed: -1\n"
                 "output: 5\n"
                 "run: {backend: gpu, device: -1}\n",
                 "t:2:7: data: [x] is not a mapping of keys\n"
                 "t:3:1: latnt: no such key; did you mean latent?\n"
                 "t:4:9: latent: 0 is out of range: it must be at least 1 and at most 16777216\n"
                 "t:7:22: init.sdt: no such key of normal; did you mean std?\n"
                 "t:7:35: init.std: -1 is out of range: it must be at least 0 and at most 1000000\n"
                 "t:8:14: loss.name: hing: no such choice; there is bce\n"
                 "t:8:37: loss.label_smoothing: 1 is out of range: it must be at least 0 and less than 1\n"
                 "t:9:15: optim.name: adamw: no such choice; did you mean adam?\n"
                 "t:9:26: optim.lr: -1 is out of range: it must be at least 0 and at most 1000000\n"
                 "t:9:43: optim.betas: 1 is out of range: it must be at least 0 and less than 1\n"
                 "t:9:52: optim.eps: 0 is out of range: it must be more than 0 and at most 1\n"
                 "t:9:69: optim.weight_decay: ten is not a finite number\n"
                 "t:11:11: train.length: 100 epoch s: no such unit; did you mean epochs?\n"
                 "t:12:10: train.batch: 0 is out of range: it must be at least 1 and at most 1048576\n"
                 "t:13:12: train.d_steps: -1 is out of range: it must be at least 1 and at most 1000\n"
                 "t:14:13: train.d_update: both: no such choice; there are separate, joint\n"
                 "t:15:12: train.latents: 3: no such choice; there are fresh, shared\n"
                 "t:16:9: train.seed: -1 is not a whole number from 0 to 18446744073709551615\n"
                 "t:17:9: output: 5 is not a mapping of keys\n"
                 "t:18:16: run.backend: gpu: no such choice; did you mean cpu?\n"
                 "... and 1 more");
}

static void required(void **state) {
  (void)state;
  recipe_refuses("recipe: 1\n", "t:1:1: data.path: missing (data set: a name, a file or a folder)\n"
                                "t:1:1: latent: missing (numbers that G starts from)\n"
                                "t:1:1: G: missing (the list of layers)\n"
                                "t:1:1: D: missing (the list of layers)\n"
                                "t:1:1: train.length: missing (when to stop)");
  recipe_refuses("data: x\n", "t:1:1: recipe: missing; begin with the version of the format, `recipe: 1`");
  recipe_refuses("recipe: one\n", "t:1:9: recipe: the version of the format is a number: `recipe: 1`");
  recipe_refuses("recipe: 0\n", "t:1:9: recipe: the version of the format is a number: `recipe: 1`");
  recipe_refuses("x: y\nrecipe: 2\n", "t:2:9: recipe: format 2 is newer than this version of duel, which reads 1");
  recipe_refuses("- a\n", "t:1:1: a recipe is a mapping of keys, such as `latent: 100`");
  recipe_refuses("word\n", "t:1:1: a recipe is a mapping of keys, such as `latent: 100`");
  recipe_refuses("", "t:1:1: the file is empty");
}

static void of_later_versions(void **state) {
  (void)state;
  recipe_refuses(HEAD "penalty: {gp: 10}\naugment: {flip: true}\neval: {metrics: [frechet]}\n",
                 "t:7:1: penalty is not supported by this version of duel\n"
                 "t:8:1: augment is not supported by this version of duel\n"
                 "t:9:1: eval is not supported by this version of duel");
  REFUSES_SET(HEAD, "--set penalty.gp.weight=10: penalty is not supported by this version of duel",
              "penalty.gp.weight=10");
}

static void of_data(void **state) {
  (void)state;
  duel_recipe_source *source;
  const duel_setting setting[] = {{"data.size", "48", "--set"},
                                  {"data.crop", "none", "--set"},
                                  {"data.channels", "3", "--set"},
                                  {"run.data_memory", "1.5K", "--data-memory"}};
  assert_int_equal(duel_recipe_load_text(&source, "t", HEAD, setting, 4), DUEL_OK);
  const duel_dataset_options o = duel_recipe_data_options(source);
  assert_true(o.height == 48 && o.width == 48 && o.stretch && o.channels == 3 && o.memory == 1536 && o.limit == 0);
  duel_recipe *r = recipe_resolve(source, &recipe_images);
  assert_non_null(strstr(r->text, "\n  size: 48\n  crop: none\n  channels: 3\n"));
  assert_non_null(strstr(r->text, "\n  data_memory: 1536\n"));
  duel_recipe_close(r);
  REFUSES_SET(HEAD,
              "--set data.size=[1, 2, 3]: data.size: [1, 2, 3] is not a number of pixels, or a list of two: "
              "[height, width]",
              "data.size=[1, 2, 3]");
  REFUSES_SET(HEAD, "--set data.size=-1: data.size: -1 is out of range: it must be at least 1 and at most 16384",
              "data.size=-1");
  REFUSES_SET(HEAD, "--set data.size=[0, 4]: data.size: 0 is out of range: it must be at least 1 and at most 16384",
              "data.size=[0, 4]");
  REFUSES_SET(HEAD, "--set data.channels=2: data.channels: 2: no such choice; there are auto, 1, 3", "data.channels=2");
  REFUSES_SET(HEAD,
              "--set run.data_memory=lots: run.data_memory: lots is not a number of bytes such as 64M or 2G, or "
              "auto",
              "run.data_memory=lots");
  REFUSES_SET(HEAD, "--set run.data_memory=0: run.data_memory: 0 is out of range: it must be at least 1",
              "run.data_memory=0");
}

static void per_player(void **state) {
  (void)state;
  duel_recipe *r = recipe_from(HEAD "optim: {G: {lr: 0.1, betas: [0, 0.9]}, D: sgd, lr: 0.3, momentum: 0.5}\n");
  assert_true(r->optim[DUEL_G].lr.from == 0.1 && r->optim[DUEL_D].lr.from == 0.3);
  assert_true(r->optim[DUEL_G].adam && !r->optim[DUEL_D].adam && r->optim[DUEL_D].momentum == 0.5);
  assert_true(r->optim[DUEL_G].betas[0] == 0 && r->optim[DUEL_G].betas[1] == 0.9);
  duel_recipe_close(r);
  r = recipe_from(HEAD "init: {G: he_normal, name: normal, std: 0.1}\n");
  assert_string_equal(r->init[DUEL_G].name, "he_normal");
  assert_true(!strcmp(r->init[DUEL_D].name, "normal") && r->init[DUEL_D].std == 0.1);
  duel_recipe_close(r);
  recipe_refuses(HEAD "optim: {lr: {G: 0.1}}\n", "t:7:13: optim.lr: a value for D is missing");
  recipe_refuses(HEAD "optim: {lr: {G: 0.1, D: 0.2, E: 0.3}}\n", "t:7:30: optim.lr: has G and D, so no other key");
  recipe_refuses(HEAD "optim: {lr: {G: 0.1, D: x}}\n", "t:7:25: optim.lr.D: x is not a finite number");
  recipe_refuses(HEAD "optim: {G: [1]}\n",
                 "t:7:9: optim.G: no such key; there are name, lr, betas, eps, momentum, weight_decay");
  recipe_refuses(HEAD "init: {D: zeros}\n", "t:7:7: init: a value for G is missing");
  recipe_refuses(HEAD "init: {G: {std: 1}, D: zeros}\n",
                 "t:7:11: init.G: a name is missing, as in {name: normal, std: 0.02}");
  recipe_refuses(HEAD "init: constant\n", "t:7:7: init.value: missing");
  recipe_refuses(HEAD "init: {name: zeros, std: 1}\n", "t:7:21: init.std: no such key of zeros");
  recipe_refuses(HEAD "optim: {momentum: 0.5}\n", "t:7:9: optim.momentum: only sgd has this");
  recipe_refuses(HEAD "optim: {name: sgd, betas: [0, 0]}\n", "t:7:20: optim.betas: only adam has this");
  recipe_refuses(HEAD "optim: {name: {G: sgd, D: adam}, betas: {G: [0, 0], D: [0, 0]}}\n",
                 "t:7:42: optim.betas.G: only adam has this");
}

static void lengths(void **state) {
  (void)state;
  static const struct {
    const char *text;
    double n;
    duel_unit unit;
  } cases[] = {{"7", 7, DUEL_STEPS},
               {"1 step", 1, DUEL_STEPS},
               {"20000 steps", 20000, DUEL_STEPS},
               {"0.5 epochs", 0.5, DUEL_EPOCHS},
               {"1 epoch", 1, DUEL_EPOCHS},
               {"\"2 epochs\"", 2, DUEL_EPOCHS},
               {"10 kimg", 10, DUEL_KIMG},
               {".5  kimg", 0.5, DUEL_KIMG},
               {"3 images", 3, DUEL_IMAGES},
               {"0", 0, DUEL_STEPS},
               {"0 epochs", 0, DUEL_STEPS},
               {"1e3 steps", 1000, DUEL_STEPS}};
  char text[512];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    snprintf(text, sizeof text, "%soutput: {sample: %s}\n", HEAD, cases[i].text);
    duel_recipe *r = recipe_from(text);
    assert_true(r->output.sample.n == cases[i].n && r->output.sample.unit == cases[i].unit);
    duel_recipe_close(r);
  }
  static const char due[] = "is not a length such as 20000 steps, 5 epochs, 10 kimg";
  static const char *const wrong[][2] = {{"0.5", "0.5"},           {"x", "x"},
                                         {"[1]", "[1]"},           {"\"7\"", "\"7\""},
                                         {"epochs 5", "epochs 5"}, {"1e999 epochs", "1e999 epochs"},
                                         {"5epochs", "5epochs"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char message[256];
    snprintf(text, sizeof text, "%soutput: {sample: %s}\n", HEAD, wrong[i][0]);
    snprintf(message, sizeof message, "t:7:18: output.sample: %s %s", wrong[i][1], due);
    recipe_refuses(text, message);
  }
  recipe_refuses(HEAD "output: {sample: 1.5 steps}\n",
                 "t:7:18: output.sample: 1.5 steps is not a whole number of them");
  recipe_refuses(HEAD "output: {sample: -1 epochs}\n",
                 "t:7:18: output.sample: -1 epochs is out of range: it must be at least 0 and at most 4294967295");
  recipe_refuses(HEAD "output: {sample: 5 minutes}\n",
                 "t:7:18: output.sample: 5 minutes: no such unit; there are steps, epochs, images, kimg");
  recipe_refuses(HEAD "output: {tick: 0}\n",
                 "t:7:16: output.tick: 0 is out of range: it must be more than 0 and at most 4294967295");
  recipe_refuses(HEAD "ema: {half_life: 0}\n",
                 "t:7:18: ema.half_life: 0 is out of range: it must be more than 0 and at most 4294967295");
  REFUSES_SET(HEAD, "--steps: train.length: 0 is out of range: it must be more than 0 and at most 4294967295",
              "--steps train.length=0");
}

static void lengths_in_steps(void **state) {
  (void)state;
  assert_int_equal(duel_length_steps((duel_length){7, DUEL_STEPS}, 64, 60000), 7);
  assert_int_equal(duel_length_steps((duel_length){1, DUEL_EPOCHS}, 64, 60000), 938); // ⌈937.5⌉
  assert_int_equal(duel_length_steps((duel_length){2, DUEL_EPOCHS}, 64, 60000), 1875);
  assert_int_equal(duel_length_steps((duel_length){20, DUEL_EPOCHS}, 64, 60000), 18750);
  assert_int_equal(duel_length_steps((duel_length){0.5, DUEL_EPOCHS}, 64, 60000), 469);
  assert_int_equal(duel_length_steps((duel_length){0.1, DUEL_EPOCHS}, 60, 60000), 100); // not 101
  assert_int_equal(duel_length_steps((duel_length){1, DUEL_EPOCHS}, 64, 1), 1);
  assert_int_equal(duel_length_steps((duel_length){10, DUEL_KIMG}, 64, 60000), 157);
  assert_int_equal(duel_length_steps((duel_length){0.064, DUEL_KIMG}, 64, 60000), 1);
  assert_int_equal(duel_length_steps((duel_length){65, DUEL_IMAGES}, 64, 60000), 2);
  assert_int_equal(duel_length_steps((duel_length){0, DUEL_STEPS}, 64, 60000), 0);
  // Where doubles would round: 3·(2^53 + 1) / 3.
  assert_int_equal(duel_length_steps((duel_length){3, DUEL_EPOCHS}, 3, (INT64_C(1) << 53) + 1), (INT64_C(1) << 53) + 1);
  assert_int_equal(duel_length_steps((duel_length){4294967295.0, DUEL_EPOCHS}, 1, INT64_C(1) << 40), INT64_MAX);
  assert_int_equal(duel_length_steps((duel_length){0.5, DUEL_EPOCHS}, 1, INT64_MAX), INT64_C(1) << 62);
}

static duel_schedule schedule(const char *text) {
  char recipe[512];
  snprintf(recipe, sizeof recipe, "%soptim: {lr: %s}\n", HEAD, text);
  duel_recipe *r = recipe_from(recipe);
  duel_schedule s = r->optim[DUEL_G].lr;
  duel_recipe_close(r);
  return s;
}

static void schedules(void **state) {
  (void)state;
  duel_schedule s = schedule("0.5");
  assert_true(duel_schedule_at(&s, 0, 100, 1, 1) == 0.5 && duel_schedule_at(&s, 99, 100, 1, 1) == 0.5);
  s = schedule("{from: 1, to: 0}"); // a curve with an end is a line
  assert_true(duel_schedule_at(&s, 0, 100, 1, 1) == 1 && duel_schedule_at(&s, 25, 100, 1, 1) == 0.75);
  assert_true(duel_schedule_at(&s, 100, 100, 1, 1) == 0 && duel_schedule_at(&s, 1000, 100, 1, 1) == 0);
  s = schedule("{from: 1, to: 3, curve: cosine, over: 10}");
  assert_true(duel_schedule_at(&s, 0, 100, 1, 1) == 1 && fabs(duel_schedule_at(&s, 5, 100, 1, 1) - 2) < 1e-15);
  assert_true(duel_schedule_at(&s, 10, 100, 1, 1) == 3 && duel_schedule_at(&s, 50, 100, 1, 1) == 3);
  s = schedule("{from: 1, curve: constant, warmup: 4}");
  assert_true(duel_schedule_at(&s, 0, 100, 1, 1) == 0 && duel_schedule_at(&s, 1, 100, 1, 1) == 0.25);
  assert_true(duel_schedule_at(&s, 4, 100, 1, 1) == 1 && duel_schedule_at(&s, 5, 100, 1, 1) == 1);
  s = schedule("{from: 1, to: 0, curve: linear, over: 2 epochs, warmup: 1 epoch}"); // 5 steps an epoch
  assert_true(duel_schedule_at(&s, 5, 100, 2, 10) == 1 && duel_schedule_at(&s, 10, 100, 2, 10) == 0.5);
  assert_true(duel_schedule_at(&s, 15, 100, 2, 10) == 0);
  s = schedule("{from: 1, to: 0, warmup: 50}");
  assert_true(duel_schedule_at(&s, 75, 100, 1, 1) == 0.5 && duel_schedule_at(&s, 10, 20, 1, 1) == 0.2);

  static const char *const wrong[][2] = {
      {"{to: 1}", "t:7:13: optim.lr.from: missing; the value to begin with"},
      {"{from: 1, curve: linear}", "t:7:13: optim.lr.to: missing; a curve needs a value to end with"},
      {"{from: 1, over: 3}", "t:7:13: optim.lr: a constant has no `to` and no `over`; take curve: linear or cosine"},
      {"{from: 1, to: 2, curve: constant}",
       "t:7:13: optim.lr: a constant has no `to` and no `over`; take curve: linear or cosine"},
      {"{from: 1, curv: linear}", "t:7:23: optim.lr.curv: no such key; did you mean curve?"},
      {"{from: -1, to: x, curve: round, over: -5, warmup: z}",
       "t:7:20: optim.lr.from: -1 is out of range: it must be at least 0 and at most 1000000\n"
       "t:7:28: optim.lr.to: x is not a finite number\n"
       "t:7:38: optim.lr.curve: round: no such choice; there are constant, linear, cosine\n"
       "t:7:51: optim.lr.over: -5 is out of range: it must be at least 0 and at most 4294967295\n"
       "t:7:63: optim.lr.warmup: z is not a length such as 20000 steps, 5 epochs, 10 kimg"},
      {"[1, 2]", "t:7:13: optim.lr: [1, 2] is not a number or {from, to, curve, over, warmup}"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char text[512];
    snprintf(text, sizeof text, "%soptim: {lr: %s}\n", HEAD, wrong[i][0]);
    recipe_refuses(text, wrong[i][1]);
  }
}

// ---- faults

static void without_memory(void **state) {
  (void)state;
  const duel_setting setting[] = {{"train.batch", "32", NULL}, {"optim.G.lr", "0.1", "--set"}, {"data", "x", "--data"}};
  duel_status status = DUEL_ERR_DEVICE;
  for (uint64_t at = 1; status != DUEL_OK; at++) {
    duel_recipe_source *source = NULL;
    duel_recipe *r = NULL;
    assert_true(at < 1000);
    duel_mem_fail_at(at, at % 2);
    status = duel_recipe_load(&source, "mlp", setting, 3);
    if (status == DUEL_OK) status = duel_recipe_resolve(&r, source, &recipe_images);
    char diff[64];
    if (status == DUEL_OK) status = duel_recipe_diff(r->text, "a: 1\n", diff, sizeof diff);
    duel_mem_fail_at(0, 0);
    assert_true(status == DUEL_OK || status == DUEL_ERR_DEVICE);
    duel_recipe_source_close(source);
    duel_recipe_close(r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mlp),
      cmocka_unit_test(every_builtin_loads),
      cmocka_unit_test(defaults),
      cmocka_unit_test(everything_said),
      cmocka_unit_test(expressions),
      cmocka_unit_test(vars),
      cmocka_unit_test(what_only_the_data_shows),
      cmocka_unit_test(layers),
      cmocka_unit_test(too_many_layers),
      cmocka_unit_test(values),
      cmocka_unit_test(required),
      cmocka_unit_test(of_later_versions),
      cmocka_unit_test(of_data),
      cmocka_unit_test(per_player),
      cmocka_unit_test(lengths),
      cmocka_unit_test(lengths_in_steps),
      cmocka_unit_test(schedules),
      cmocka_unit_test(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
