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
  assert_true(r->net[DUEL_G].optim.lr.from == 0.1 && r->net[DUEL_D].optim.lr.from == 0.3);
  assert_true(r->net[DUEL_G].optim.adam && !r->net[DUEL_D].optim.adam && r->net[DUEL_D].optim.momentum == 0.5);
  assert_true(r->net[DUEL_G].optim.betas[0] == 0 && r->net[DUEL_G].optim.betas[1] == 0.9);
  duel_recipe_close(r);
  r = recipe_from(HEAD "init: {G: he_normal, name: normal, std: 0.1}\n");
  assert_string_equal(r->net[DUEL_G].init.name, "he_normal");
  assert_true(!strcmp(r->net[DUEL_D].init.name, "normal") && r->net[DUEL_D].init.std == 0.1);
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
  duel_schedule s = r->net[DUEL_G].optim.lr;
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(layers),     cmocka_unit_test(too_many_layers),   cmocka_unit_test(values),
      cmocka_unit_test(required),   cmocka_unit_test(of_later_versions), cmocka_unit_test(of_data),
      cmocka_unit_test(per_player), cmocka_unit_test(lengths),           cmocka_unit_test(lengths_in_steps),
      cmocka_unit_test(schedules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
