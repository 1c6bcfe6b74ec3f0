// Recipes, section by section: layers, values, what is required or of later versions, players, lengths, schedules. The
// grammar's expressions and what is in the box: test_recipe.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gan/games/game.h"
#include "recipe_help.h"

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
                 "t:9:12: G.3.tanh.slope: no such key; it has none\n"
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
                 "t:20:34: G.13.dense.init: nrmal: no such initializer; did you mean normal?\n"
                 "t:22:5: D.0.residual: missing (a list of layers)\n"
                 "t:23:15: D.1.residual: relu is not a list of layers\n"
                 "t:24:11: D.1.skip: [] is not a list of layers\n"
                 "t:25:13: D.1.repeat: 0 is out of range: it must be at least 1 and at most 1000");
  recipe_refuses("recipe: 1\ndata: x\nlatent: 1\ntrain: {length: 1}\nG: [relu]\nD: [{residual: [relu], repeats: 2}]\n",
                 "t:6:24: D.0.repeats: no such key; did you mean repeat?");
  recipe_refuses(
      "recipe: 1\ndata: x\nlatent: 1\ntrain: {length: 1}\nG: dense\nD: {dense: 1}\n",
      "t:5:4: G: dense is not a list of layers\nt:6:4: D: missing (the list of layers)\n"
      "t:6:5: D.dense: no such key; there are layers, init, optim, ema, constraint, equalized, lr_mul, frozen");
}

static void too_many_layers(void **state) {
  (void)state;
  static const char message[] = "too many layers; a net has at most 10000, blocks nested 32 deep";
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
                 "loss: {label_smoothing: 1}\n"
                 "optim: {name: adam, lr: -1, betas: [0.5, 1], eps: 0, weight_decay: ten}\n"
                 "train:\n"
                 "  length: 100 epoch s\n"
                 "  batch: 0\n"
                 "  d_steps: -1\n"
                 "  d_update: both\n"
                 "  latents: 3\n"
                 "  seed: -1\n"
                 "output: 5\n"
                 "run: {backend: gpu, device: -1}\n",
                 "t:2:7: data.path: [x] is not text\n"
                 "t:3:1: latnt: no such key; did you mean latent?\n"
                 "t:4:9: latent: 0 is out of range: it must be at least 1 and at most 16777216\n"
                 "t:7:22: init.sdt: no such key of normal; did you mean std?\n"
                 "t:7:35: init.std: -1 is out of range: it must be at least 0 and at most 1000000\n"
                 "t:8:25: loss.label_smoothing: 1 is out of range: it must be at least 0 and less than 1\n"
                 "t:9:25: optim.lr: -1 is out of range: it must be at least 0 and at most 1000000\n"
                 "t:9:42: optim.betas: 1 is out of range: it must be at least 0 and less than 1\n"
                 "t:9:51: optim.eps: 0 is out of range: it must be more than 0 and at most 1\n"
                 "t:9:68: optim.weight_decay: ten is not a finite number\n"
                 "t:11:11: train.length: 100 epoch s: no such unit; did you mean epochs?\n"
                 "t:12:10: train.batch: 0 is out of range: it must be at least 1 and at most 1048576\n"
                 "t:13:12: train.d_steps: -1 is out of range: it must be at least 1 and at most 1000\n"
                 "t:14:13: train.d_update: both: no such choice; there are separate, joint\n"
                 "t:15:12: train.latents: 3: no such choice; there are fresh, shared\n"
                 "t:16:9: train.seed: -1 is not a whole number from 0 to 18446744073709551615\n"
                 "t:17:9: output: 5 is not a mapping of keys\n"
                 "t:18:16: run.backend: gpu: no such choice; did you mean cpu?\n"
                 "t:18:29: run.device: -1 is out of range: it must be at least 0 and at most 1023");
}

static void required(void **state) {
  (void)state;
  recipe_refuses("recipe: 1\n", "t:1:1: data.path: missing (data set: a name, a file or a folder)\n"
                                "t:1:1: latent: missing (numbers that a generator starts from)\n"
                                "t:1:1: G: missing (the list of layers)\n"
                                "t:1:1: D: missing (the list of layers)\n"
                                "t:1:1: train.length: missing (when to stop)");
  recipe_refuses("data: x\n", "t:1:1: recipe: missing; begin with the version of the format, `recipe: 1`");
  recipe_refuses("recipe: one\n", "t:1:9: recipe: the version of the format is a number: `recipe: 1`");
  recipe_refuses("recipe: 0\n", "t:1:9: recipe: the version of the format is a number: `recipe: 1`");
  recipe_refuses("x: y\nrecipe: 2\n",
                 "t:2:9: recipe: format 2 is newer than this version of duel, which reads 1: update duel");
  recipe_refuses("- a\n", "t:1:1: a recipe is a mapping of keys, such as `latent: 100`");
  recipe_refuses("word\n", "t:1:1: a recipe is a mapping of keys, such as `latent: 100`");
  recipe_refuses("", "t:1:1: the file is empty; begin with `recipe: 1`");
}

static void without_keys(void **state) {
  (void)state;
  recipe_refuses(HEAD "penalty: {squares: 10}\naugment: {flip: true}\neval: {metrics: [frechet]}\n",
                 "t:7:11: penalty.squares: no such penalty; there are gp, dragan, r1, r2, lecam, consistency\n"
                 "t:8:10: augment.policy: missing (whose changes and laws)\n"
                 "t:8:17: augment.flip: true is not a finite number\n"
                 "t:9:8: eval.metrics: no such key; it has none");
  REFUSES_SET(HEAD,
              "--set penalty.squares.weight=10: penalty.squares: no such penalty; there are gp, dragan, r1, r2, lecam, "
              "consistency",
              "penalty.squares.weight=10");
  recipe_refuses(HEAD "penalty: {gp: -1, dragan: {weight: .inf}, r1: {every: 0}, r2: auto}\n",
                 "t:7:15: penalty.gp.weight: -1 is out of range: it must be at least 0 and at most 1000000000\n"
                 "t:7:36: penalty.dragan.weight: .inf is not a finite number\n"
                 "t:7:55: penalty.r1.every: 0 is out of range: it must be at least 1 and at most 1000000\n"
                 "t:7:63: penalty.r2.weight: auto is not a finite number");
  recipe_refuses(HEAD "penalty: {gp: {weight: {from: 1, to: 0, over: 0}}}\n",
                 "t:7:47: penalty.gp.weight.over: 0 is out of range: it must be more than 0 and at most 4294967295");
  recipe_refuses(HEAD "penalty: 3\naugment: [flip]\n",
                 "t:7:10: penalty: 3 is not a mapping of keys\nt:8:10: augment.policy: [flip] is not a word; there are "
                 "flip, diffaugment, ada");
  recipe_refuses(HEAD "augment: {policy: ada, most: 1.5, p: 2, hue: -1, speed: 0}\n",
                 "t:7:30: augment.most: 1.5 is out of range: it must be at least 0 and at most 1\n"
                 "t:7:38: augment.p: 2 is out of range: it must be at least 0 and at most 1\n"
                 "t:7:46: augment.hue: -1 is out of range: it must be at least 0 and at most 1\n"
                 "t:7:57: augment.speed: 0 is out of range: it must be more than 0 and at most 1000000000");
  recipe_refuses(HEAD "augment: adda\n", "t:7:10: augment.policy: adda: no such choice; did you mean ada?");
}

static void of_penalties(void **state) {
  (void)state;
  duel_recipe *r = recipe_from(HEAD "penalty: {r2: {weight: {from: 1, to: 0}}, r1: auto, gp: {every: 4}}\n");
  assert_int_equal(r->n_penalties, 3);
  assert_true(is_named(&r->penalty[0], "gp") && is_named(&r->penalty[1], "r1") && is_named(&r->penalty[2], "r2"));
  assert_true(value_of(&r->penalty[0], "every")->number[0] == 4);
  assert_true(value_of(&r->penalty[0], "weight")->schedule.from == 10);
  assert_string_equal(value_of(&r->penalty[1], "weight")->text, "auto");
  assert_int_equal(value_of(&r->penalty[2], "weight")->schedule.curve, DUEL_CURVE_LINEAR);
  assert_non_null(strstr(r->text, "\n  r1: {weight: auto, every: 1, update: shared}\n"));
  duel_recipe_close(r);
}

static void of_data(void **state) {
  (void)state;
  duel_recipe_source *source;
  const duel_setting setting[] = {{"data.size", "48", "--set"},
                                  {"data.crop", "none", "--set"},
                                  {"data.channels", "3", "--set"},
                                  {"run.data_memory", "1.5K", "--data-memory"}};
  assert_int_equal(duel_recipe_load(&source, "t", HEAD, NULL, setting, 4), DUEL_OK);
  const duel_dataset_options o = duel_recipe_data_options(source);
  assert_true(o.height == 48 && o.width == 48 && o.stretch && o.channels == 3 && o.memory == 1536 && o.limit == 0);
  duel_recipe *r = recipe_resolve(source, &recipe_images);
  assert_non_null(strstr(
      r->text, "\n  size: 48\n  crop: none\n  channels: 3\n  on_bad: stop\n  transpose: false\n  mirror: false\n"));
  assert_non_null(strstr(r->text, "\n  data_memory: 1536\n"));
  duel_recipe_close(r);
  REFUSES_SET(HEAD,
              "--set data.size=[1, 2, 3]: data.size: [1, 2, 3] is not a number, or a list of two: "
              "[height, width]",
              "data.size=[1, 2, 3]");
  REFUSES_SET(HEAD, "--set data.size=-1: data.size: -1 is out of range: it must be at least 1 and at most 16384",
              "data.size=-1");
  REFUSES_SET(HEAD, "--set data.size=[0, 4]: data.size: 0 is out of range: it must be at least 1 and at most 16384",
              "data.size=[0, 4]");
  REFUSES_SET(HEAD, "--set data.channels=2: data.channels: 2: no such choice; there are auto, 1, 3, 4",
              "data.channels=2");
  REFUSES_SET(HEAD,
              "--set run.data_memory=lots: run.data_memory: lots is not a number of bytes such as 64M or 2G, or "
              "auto",
              "run.data_memory=lots");
  REFUSES_SET(HEAD, "--set run.data_memory=0: run.data_memory: 0 is out of range: it must be at least 1",
              "run.data_memory=0");
}

#define TOP "recipe: 1\ndata: x\nlatent: 1\ntrain: {length: 1}\n"

static void of_a_net(void **state) {
  (void)state;
  duel_recipe *r = recipe_from(TOP "G: {layers: [dense: 784], optim: {name: adam, lr: 0.1, betas: [0, 0.9]}}\n"
                                   "D: {layers: [dense: 1], optim: {momentum: 0.5}, init: {std: 0.1}, ema: 3}\n"
                                   "optim: {name: sgd, lr: 0.3, momentum: 0.1}\n"
                                   "init: {name: normal, mean: 2}\n"
                                   "ema: 5\n");
  assert_true(lr_of(r, NET_G)->from == 0.1 && lr_of(r, NET_D)->from == 0.3);
  assert_true(is_named(&r->net[NET_G].optim, "adam") && value_of(&r->net[NET_G].optim, "betas")->number[1] == 0.9);
  assert_true(is_named(&r->net[NET_D].optim, "sgd") && value_of(&r->net[NET_D].optim, "momentum")->number[0] == 0.5);
  assert_true(value_of(&r->net[NET_D].init, "mean")->number[0] == 2);
  assert_true(value_of(&r->net[NET_D].init, "std")->number[0] == 0.1);
  assert_true(value_of(&r->net[NET_G].init, "std")->number[0] == 0.02);
  assert_true(r->net[NET_G].ema.half_life.from == 5 && r->net[NET_D].ema.half_life.from == 3); // the top's is G's
  duel_recipe_close(r);
  // A list, {layers: list}, and a setting that says what the top says are the same.
  r = recipe_from(TOP "G: [dense: 784]\nD: [dense: 1]\n");
  duel_recipe *same = recipe_from(TOP "G: {layers: [dense: 784], optim: {name: adam}, init: ~}\n"
                                      "D: {layers: [dense: 1], init: torch}\n");
  assert_string_equal(r->text, same->text);
  duel_recipe_close(same);
  duel_recipe_close(r);
  recipe_refuses(HEAD "optim: {lr: {G: 0.1, D: {from: 1, to: 0}}, betas: {G: [0, 0]}}\n",
                 "t:7:14: optim.lr.G: a net's own setting stands in the net: G: {optim: {lr: 0.1}}\n"
                 "t:7:22: optim.lr.D: a net's own setting stands in the net: D: {optim: {lr: {from: 1, to: 0}}}\n"
                 "t:7:52: optim.betas.G: a net's own setting stands in the net: G: {optim: {betas: [0, 0]}}");
  recipe_refuses(HEAD "optim: {name: {G: sgd, D: adam}}\n",
                 "t:7:16: optim.name.G: a net's own setting stands in the net: G: {optim: {name: sgd}}\n"
                 "t:7:24: optim.name.D: a net's own setting stands in the net: D: {optim: {name: adam}}");
  recipe_refuses(HEAD "optim: {G: {lr: 3}}\ninit: {D: zeros}\n",
                 "t:7:9: optim.G: a net's own setting stands in the net: G: {optim: {lr: 3}}\n"
                 "t:8:8: init.D: a net's own setting stands in the net: D: {init: zeros}");
  recipe_refuses(
      TOP "G: [dense: 1]\nD: {layers: [dense: 1], optim: {lrr: 1}}\noptim: {lr: x}\n",
      "t:6:33: D.optim.lrr: no such key of adam; did you mean lr?\nt:7:13: optim.lr: x is not a finite number");
}

static void of_what_is_chosen(void **state) {
  (void)state;
  recipe_refuses(HEAD "init: constant\n", "t:7:7: init.value: missing (every number)");
  recipe_refuses(HEAD "init: {name: zeros, std: 1}\n", "t:7:21: init.std: no such key of zeros; it has none");
  recipe_refuses(HEAD "init: {std: 1}\n", "t:7:8: init.std: no such key of torch; it has none");
  recipe_refuses(
      HEAD "optim: {momentum: 0.5}\n",
      "t:7:9: optim.momentum: no such key of adam; there are lr, clip_norm, betas, eps, weight_decay, beta2");
  recipe_refuses(HEAD "optim: {name: sgd, betas: [0, 0]}\n",
                 "t:7:20: optim.betas: no such key of sgd; there are lr, clip_norm, momentum, weight_decay");
  recipe_refuses(HEAD "optim: adamm\n", "t:7:8: optim: adamm: no such optimizer; did you mean adam?");
  recipe_refuses(HEAD "optim: {name: rmsprop, betas: [0, 0]}\n",
                 "t:7:24: optim.betas: no such key of rmsprop; there are lr, clip_norm, alpha, eps, weight_decay");
  recipe_refuses(HEAD "optim: {name: lion, eps: 0}\n",
                 "t:7:21: optim.eps: no such key of lion; there are lr, clip_norm, betas, weight_decay, beta2");
  recipe_refuses(HEAD "optim: {beta2: {from: 0.9, to: 1, over: 3}}\n",
                 "t:7:32: optim.beta2.to: 1 is out of range: it must be at least 0 and less than 1");
  recipe_refuses(HEAD "optim: {beta2: {from: 0.9, to: 0.99, over: 0}}\n",
                 "t:7:44: optim.beta2.over: 0 is out of range: it must be more than 0 and at most 4294967295");
  duel_recipe *r = recipe_from(HEAD "optim: adamw\n");
  assert_true(value_of(&r->net[NET_G].optim, "weight_decay")->number[0] == 0.01);
  assert_int_equal(value_of(&r->net[NET_G].optim, "beta2")->n, 0);
  duel_recipe_close(r);
}

static void of_losses(void **state) {
  (void)state;
  duel_recipe *r = recipe_from(HEAD "loss: hinge\n");
  assert_true(is_named(&r->loss, "hinge"));
  duel_recipe_close(r);
  recipe_refuses(HEAD "loss: hing\n", "t:7:7: loss: hing: no such loss; did you mean hinge?");
  recipe_refuses(HEAD "loss: {name: hinge, label_smoothing: 0.1}\n",
                 "t:7:21: loss.label_smoothing: no such key of hinge; there is label_flips");
}

// ---- a game of this file's own: one net, no latents, no losses
static const duel_key solo_keys[] = {{"rounds", DUEL_KEY_INT, "2", 1, 9, NULL, "rounds a step"}, {.name = NULL}};
static const char *const solo_nets[] = {"N", NULL};
static const duel_game solo = {.kind = {.kind = {"solo", NULL, solo_keys, "one net"}, .nets = solo_nets}};

static void of_games(void **state) {
  (void)state;
#define SOLO "recipe: 1\ngame: solo\ndata: x\nN: {layers: [dense: 1], optim: sgd}\n"
  duel_recipe_source *source;
  assert_int_equal(duel_recipe_load(&source, "t", SOLO "train: {length: 1}\n", NULL, NULL, 0), DUEL_ERR_USAGE);
  assert_non_null(strstr(duel_last_error(), "t:2:7: game: solo: no such game; there "));
  assert_non_null(strstr(duel_last_error(), "t:4:1: N: the game gan has no such net; there are G, D"));
  assert_non_null(strstr(duel_last_error(), "t:1:1: D: missing (the list of layers)"));
  assert_int_equal(duel_game_add(&solo), DUEL_OK);
  assert_int_equal(duel_game_add(&solo), DUEL_ERR_USAGE);
  duel_recipe *r = recipe_from(SOLO "train: {length: 1, rounds: 3}\n");
  assert_true(r->n_nets == 1 && r->latent == 0 && value_of(&r->game, "rounds")->number[0] == 3);
  assert_true(is_named(&r->net[0].optim, "sgd") && !strcmp(r->net[0].name, "N"));
  assert_non_null(strstr(r->text, "game: solo\n"));
  duel_recipe_close(r);
  r = SET(SOLO "train: {length: 1}\n", "N.0.dense=3", "train.rounds=4", "N.optim.lr=2");
  assert_true(r->net[0].layers.layer[0].value[0].number[0] == 3 && lr_of(r, 0)->from == 2);
  duel_recipe_close(r);
  recipe_refuses(
      SOLO "train: {length: 1, d_steps: 3}\nlatent: 3\nloss: bce\nema: 3\nG: [relu]\nlattent: 3\n",
      "t:5:20: train.d_steps: the game solo has no such key, gan has; leave it out; there are length, batch, shards, "
      "seed, rounds\n"
      "t:6:1: latent: the game solo has no such key; leave it out\n"
      "t:7:1: loss: the game solo has no such key; leave it out\n"
      "t:8:1: ema: the game solo has no such key; leave it out\n"
      "t:9:1: G: the game solo has no such net; there is N\n"
      "t:10:1: lattent: no such key; there are recipe, base, game, data, vars, N, init, optim, train, "
      "eval, output, run");
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
  recipe_refuses(HEAD "ema: {half_life: {from: 0, to: 9 kimg, over: 0}}\n",
                 "t:7:46: ema.half_life.over: 0 is out of range: it must be more than 0 and at most 4294967295");
  recipe_refuses(HEAD "ema: {half_life: {from: 3 steps, to: 9 kimg}}\n",
                 "t:7:18: ema.half_life: `from` and `to` have two units; give both in kimg");
  duel_recipe *r = recipe_from(HEAD "ema: {half_life: {from: 0, to: 9 kimg, over: 2 epochs}}\n");
  const duel_schedule *s = &r->net[NET_G].ema.half_life;
  assert_true(s->from == 0 && s->to == 9 && s->unit == DUEL_KIMG && s->curve == DUEL_CURVE_LINEAR && s->over.n == 2);
  assert_non_null(strstr(r->text, "  half_life: {from: 0, to: 9 kimg, curve: linear, over: 2 epochs}\n"));
  duel_recipe_close(r);
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
  duel_schedule s = *lr_of(r, NET_G);
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
      {"{to: 1}", "t:7:13: optim.lr.from: missing (the value to begin with)"},
      {"{from: 1, curve: linear}", "t:7:13: optim.lr.to: missing; a curve needs a value to end with"},
      {"{from: 1, over: 3}", "t:7:13: optim.lr: a constant has no `to` and no `over`; take curve: linear or cosine"},
      {"{from: 1, to: 2, curve: constant}",
       "t:7:13: optim.lr: a constant has no `to` and no `over`; take curve: linear or cosine"},
      {"{from: 1, curv: linear}", "t:7:23: optim.lr.curv: no such key; did you mean curve?"},
      {"{from: -1, to: x, curve: round, over: -5, warmup: z}",
       "t:7:20: optim.lr.from: -1 is out of range: it must be at least 0 and at most 1000000\n"
       "t:7:28: optim.lr.to: x is not a finite number\n"
       "t:7:38: optim.lr.curve: round: no such choice; there are constant, linear, cosine\n"
       "t:7:51: optim.lr.over: -5 is out of range: it must be more than 0 and at most 4294967295\n"
       "t:7:63: optim.lr.warmup: z is not a length such as 20000 steps, 5 epochs, 10 kimg"},
      {"[1, 2]", "t:7:13: optim.lr: [1, 2] is not a number or {from, to, curve, over, warmup}"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char text[512];
    snprintf(text, sizeof text, "%soptim: {lr: %s}\n", HEAD, wrong[i][0]);
    recipe_refuses(text, wrong[i][1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(layers),           cmocka_unit_test(too_many_layers), cmocka_unit_test(values),
      cmocka_unit_test(required),         cmocka_unit_test(without_keys),    cmocka_unit_test(of_penalties),
      cmocka_unit_test(of_data),          cmocka_unit_test(of_a_net),        cmocka_unit_test(of_what_is_chosen),
      cmocka_unit_test(of_losses),        cmocka_unit_test(of_games),        cmocka_unit_test(lengths),
      cmocka_unit_test(lengths_in_steps), cmocka_unit_test(schedules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
