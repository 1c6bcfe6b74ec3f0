// Recipes on top of each other: bases, settings, what differs between two, and the nearest known word.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recipe_help.h"

// ---- settings

static void settings_reach_everything(void **state) {
  (void)state;
  static const char text[] = HEAD "vars: {ch: 2}\noutput: {keep: $ch*4}\noptim: {lr: 0.1}\n";
  duel_recipe *r = SET(text, "G.1={leaky_relu: 0.3}", "D.1.dense.bias=false", "vars.ch=5", "G.optim.lr=0.0001",
                       "train.batch=32", "data.limit=7", "--data data=./a: #b", "G.init=he_normal", "ema=1 kimg",
                       "optim.weight_decay=0.5", "--seed train.seed=3", "G.0.dense=400");
  assert_string_equal(r->net[NET_G].layers.layer[1].kind->name, "leaky_relu");
  assert_true(r->net[NET_G].layers.layer[1].value[0].number[0] == 0.3);
  assert_true(r->net[NET_G].layers.layer[0].value[0].number[0] == 400);
  assert_true(r->net[NET_D].layers.layer[1].value[1].number[0] == 0 &&
              r->net[NET_D].layers.layer[1].value[0].number[0] == 1);
  assert_true(r->output.keep == 20 && r->train.batch == 32 && r->train.seed == 3 && r->net[NET_G].ema.on);
  assert_true(lr_of(r, NET_G)->from == 0.0001 && lr_of(r, NET_D)->from == 0.1);
  assert_true(value_of(&r->net[NET_G].optim, "weight_decay")->number[0] == 0.5 &&
              value_of(&r->net[NET_D].optim, "weight_decay")->number[0] == 0.5);
  assert_string_equal(r->data.path, "./a: #b"); // a flag's path is no YAML
  assert_int_equal(r->data.limit, 7);
  assert_true(is_named(&r->net[NET_G].init, "he_normal"));
  assert_true(is_named(&r->net[NET_D].init, "torch"));
  duel_recipe_close(r);

  r = SET(text, "G.0={residual: [relu, dense: 3]}", "G.0.residual.1.dense.out=9", "G.0.repeat=3", "G.0.skip=[tanh]",
          "G.0.skip.0=relu", "optim={name: sgd, lr: {from: 1, to: 0}}", "D.optim.lr.to=0.5", "D.optim.momentum=0.7",
          "init={name: normal}", "D.init.std=0.3", "ema={half_life: 4}", "G.1.tanh=null", "G.2.save=image");
  const duel_layer *block = r->net[NET_G].layers.layer;
  assert_true(block->value[2].number[0] == 3 && block->value[0].layers->layer[1].value[0].number[0] == 9);
  assert_string_equal(block->value[1].layers->layer[0].kind->name, "relu");
  assert_string_equal(r->net[NET_G].layers.layer[2].save, "image");
  assert_true(!is_named(&r->net[NET_G].optim, "adam") && lr_of(r, NET_G)->to == 0 && lr_of(r, NET_D)->to == 0.5);
  assert_true(value_of(&r->net[NET_G].optim, "momentum")->number[0] == 0 &&
              value_of(&r->net[NET_D].optim, "momentum")->number[0] == 0.7);
  assert_true(value_of(&r->net[NET_G].init, "std")->number[0] == 0.02 &&
              value_of(&r->net[NET_D].init, "std")->number[0] == 0.3 && r->net[NET_G].ema.half_life.from == 4);
  duel_recipe_close(r);

  r = SET(text, "G.optim=sgd", "optim.lr.from=0.2", "optim.lr.warmup=5", "ema=null", "G=[dense: 3]");
  assert_true(!is_named(&r->net[NET_G].optim, "adam") && is_named(&r->net[NET_D].optim, "adam") &&
              lr_of(r, NET_D)->warmup.n == 5);
  assert_true(lr_of(r, NET_D)->from == 0.2 && r->net[NET_G].layers.n == 1 && !r->net[NET_G].ema.on);
  duel_recipe_close(r);
}

// A layer of the same name keeps the keys that are not said, and the name under which it is saved.
static void a_layer_on_its_like(void **state) {
  (void)state;
  static const char text[] = "recipe: 1\ndata: x\nlatent: 1\nD: [relu]\ntrain: {length: 1}\n"
                             "G:\n  - dense: {out: 3, bias: false}\n    save: a\n  - leaky_relu: 0.3\n"
                             "  - residual: [relu]\n    repeat: 2\n";
  duel_recipe *r = SET(text, "G.0={dense: 400}", "G.1=leaky_relu", "G.2={residual: [tanh]}");
  const duel_layer *layer = r->net[NET_G].layers.layer;
  assert_true(layer[0].value[0].number[0] == 400 && layer[0].value[1].number[0] == 0);
  assert_string_equal(layer[0].save, "a");
  assert_true(layer[1].value[0].number[0] == 0.3 && layer[2].value[2].number[0] == 2);
  assert_string_equal(layer[2].value[0].layers->layer[0].kind->name, "tanh");
  duel_recipe_close(r);
  r = SET(text, "G.0={conv: 4}", "G.1=relu");
  layer = r->net[NET_G].layers.layer;
  assert_null(layer[0].save);
  assert_string_equal(layer[1].kind->name, "relu");
  duel_recipe_close(r);
  REFUSES_SET(text, "--set G.0={dense: 4, conv: 3}: G.0 is dense and has no conv", "G.0={dense: 4, conv: 3}");
}

// `concat` is a block if its value is a list, else what joins a saved value.
static void one_name_of_two(void **state) {
  (void)state;
  static const char text[] = "recipe: 1\ndata: x\nlatent: 1\nD: [relu]\ntrain: {length: 1}\n"
                             "G:\n  - {tanh: ~, save: a}\n  - {repeat: 3, save: b, concat: [relu, dense: 3]}\n"
                             "  - concat: a\n  - concat: {from: b}\n";
  static const char written[] = "  - concat:\n      - relu\n      - dense: {out: 3, bias: true}\n    repeat: 3\n"
                                "    save: b\n  - concat: {from: a}\n  - concat: {from: b}\n";
  duel_recipe *r = recipe_from(text);
  if (!strstr(r->text, written)) fail_msg("%s", r->text);
  duel_recipe *again = recipe_from(r->text);
  assert_string_equal(again->text, r->text);
  duel_recipe_close(again);
  duel_recipe_close(r);
  r = SET(text, "G.1.concat.1.dense.out=9", "G.1.repeat=2", "G.2.concat.from=b", "G.3={concat: [tanh]}");
  const duel_layer *layer = r->net[NET_G].layers.layer;
  assert_true(layer[1].value[0].layers->layer[1].value[0].number[0] == 9 && layer[1].value[1].number[0] == 2);
  assert_string_equal(layer[2].value[0].text, "b");
  assert_string_equal(layer[3].value[0].layers->layer[0].path, "G.3.concat.0");
  duel_recipe_close(r);
  r = SET(text, "G.1={concat: [tanh]}", "G.2={concat: b}", "G.3.concat=a");
  layer = r->net[NET_G].layers.layer;
  assert_true(layer[1].value[1].number[0] == 3 && layer[1].save != NULL); // a block on its like keeps what is not said
  assert_true(!strcmp(layer[2].value[0].text, "b") && !strcmp(layer[3].value[0].text, "a"));
  duel_recipe_close(r);
  r = SET(text, "G.1={concat: a}");
  layer = r->net[NET_G].layers.layer;
  assert_true(!strcmp(layer[1].value[0].text, "a") && !layer[1].save); // on another it stands in its place
  duel_recipe_close(r);
  REFUSES_SET(text, "--set G.2.concat.0=relu: G.2.concat.0: no such key; there is from", "G.2.concat.0=relu");
  REFUSES_SET(text, "--set G.2.concat=[relu]: G.2.concat.from: [relu] is not text", "G.2.concat=[relu]");
  REFUSES_SET(text, "--set G.1.concat.from=b: G.1.concat has no item from; there are G.1.concat.0 to G.1.concat.1",
              "G.1.concat.from=b");
}

static void settings_that_lead_nowhere(void **state) {
  (void)state;
  static const char text[] = HEAD "vars: {width: 2}\n";
  static const char *const cases[][2] = {
      {"optmi.lr=3", "optmi: no such key; did you mean optim?"},
      {"train.bacth=3", "train.bacth: no such key; did you mean batch?"},
      {"train.batch=abc", "train.batch: abc is not a whole number or a product such as $C*$H*$W/4"},
      {"train.batch.x=3", "there is nothing below train.batch"},
      {"latent.x=3", "there is nothing below latent"},
      {"vars.widht=3", "vars.widht: the recipe has no such name; did you mean width?"},
      {"G.3=relu", "G has no item 3; there are G.0 to G.2"},
      {"G.x=relu", "G.x: no such key; there are layers, init, optim, ema, constraint, equalized, lr_mul, frozen"},
      {"G.-1=relu", "G.-1: no such key; there are layers, init, optim, ema, constraint, equalized, lr_mul, frozen"},
      {"G.1.relu=3", "G.1 is tanh and has no relu"},
      {"G.0.bias=false", "G.0 is dense; set G.0.dense.bias"},
      {"G.1.tanh=3", "G.1: tanh takes no value"},
      {"G.1.tanh.slope=3", "G.1.tanh.slope: no such key; it has none"},
      {"G.0.dense.otu=3", "G.0.dense.otu: no such key; did you mean out?"},
      {"G.0.dense.out.x=3", "there is nothing below G.0.dense.out"},
      {"G.1=null", "an item of a list cannot be taken away"},
      {"G.1=relue", "G.1: relue: no such layer; did you mean relu?"},
      {"G..1=relu", "a key is names and numbers with points between them, such as optim.lr"},
      {"recipe=1", "recipe belongs to a file and cannot be set"},
      {"base=mlp", "base belongs to a file and cannot be set"},
      {"optim.lr.G=3", "optim.lr.G: a net's own setting stands in the net: G: {optim: {lr: 3}}"},
      {"optim.G.lr=3", "optim.G: a net's own setting stands in the net: G: {optim: {lr: 3}}"},
      {"init.D=zeros", "init.D: a net's own setting stands in the net: D: {init: zeros}"},
      {"D.optim.lr.x=3", "D.optim.lr.x: no such key; there are from, to, curve, over, warmup\n"
                         "--set D.optim.lr.x=3: D.optim.lr.from: missing (the value to begin with)"},
      {"D.optim.lr.from.x=3", "D.optim.lr.from: {x: 3} is not a finite number"},
      {"D.0.save.x=3", "D.0.save: {x: 3} is not text"},
      {"game=gna", "game: gna: no such game; did you mean gan?"},
      {"optim.betas.x=3", "there is nothing below optim.betas"},
      {"G.init.std.x=3", "G.init.std: no such key of torch; it has none"},
      {"train.batch=[", "a value is due here; text that begins with this character stands in quotes"},
      {"train.batch=&a 3", "anchors (&name) are not part of this format; text that begins with & stands in quotes"},
      {"train=3", "train: 3 is not a mapping of keys"},
      {"data=[1]", "data.path: [1] is not text"},
      {"G.optim.lr=abc", "G.optim.lr: abc is not a finite number"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char message[256];
    snprintf(message, sizeof message, "--set %s: %s", cases[i][0], cases[i][1]);
    REFUSES_SET(text, message, cases[i][0]);
  }
  REFUSES_SET("recipe: 1\ndata: x\nlatent: 1\nG: [residual: [relu]]\nD: [relu]\ntrain: {length: 1}\n",
              "--set G.0.0.residual.0=tanh: copies of a block share one recipe: leave the 0 out",
              "G.0.0.residual.0=tanh");
  REFUSES_SET("recipe: 1\ndata: x\nlatent: 1\nG: [residual: [relu]]\nD: [relu]\ntrain: {length: 1}\n",
              "--set G.0.skip.0=tanh: G.0.skip is not a list of layers", "G.0.skip.0=tanh");
  // Long values and odd letters are shown short.
  REFUSES_SET(HEAD,
              "--set run=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…: run.backend: "
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…: no such choice; there are auto, cpu, cuda",
              "run=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
  REFUSES_SET(HEAD, "--set loss=\"a\\u001B\": a character that YAML does not allow (U+001B): take it out",
              "loss=a\033");
}

static void paths_that_are_no_text(void **state) {
  (void)state;
  REFUSES_SET(HEAD, "--data: data.path: a name that is not UTF-8; rename it, or name a link to it",
              "--data data.path=a\xff");
  REFUSES_SET(HEAD, "--set data=\"a\\xFF\": not UTF-8 (invalid leading UTF-8 octet)", "data=a\xff");
  duel_recipe *r = SET(HEAD, "--data data.path=./é\t\n \"x\"");
  assert_string_equal(r->data.path, "./é\t\n \"x\"");
  duel_recipe_close(r);
}

static void two_settings_of_one_key(void **state) {
  (void)state;
  duel_recipe_close(SET(HEAD, "train.batch=3", "train.batch=0x3"));
  duel_recipe_close(SET(HEAD, "train.batch=3", "train={batch: 3, seed: 1}"));
  REFUSES_SET(HEAD, "--set train.batch=4: train.batch is set differently by --set train.batch=3; give one of them",
              "train.batch=3", "train.batch=4");
  REFUSES_SET(HEAD, "--batch: train.batch is also set by --set train.batch=3; give one of them", "train.batch=3",
              "--batch train.batch=3");
  REFUSES_SET(HEAD, "--epochs: train.length is set differently by --steps; give one of them", "--steps train.length=3",
              "--epochs train.length=2 epochs");
  REFUSES_SET(HEAD, "--data: data.path is also set by --set data=x; give one of them", "data=x", "--data data.path=x");
  REFUSES_SET(HEAD, "--set optim={name: adam}: optim.name is set differently by --set optim=sgd; give one of them",
              "optim=sgd", "optim={name: adam}");
  REFUSES_SET(HEAD, "--set G.0.dense.out=4: G.0.dense.out is set differently by --set G.0.dense=3; give one of them",
              "G.0.dense=3", "G.0.dense.out=4");
  REFUSES_SET(HEAD, "--set G.optim.lr=1: G.optim.lr is set differently by --set G.optim={lr: 2}; give one of them",
              "G.optim.lr=1", "G.optim={lr: 2}");
}

// ---- bases

static char folder[64];
static void write_file(const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static int make_folder(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/duel-recipe-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  char sub[96];
  snprintf(sub, sizeof sub, "%s/sub", folder);
  return mkdir(sub, 0777);
}

static int drop_folder(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command);
}

static duel_recipe *load_file(const char *name) {
  duel_recipe_source *source;
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (duel_recipe_load(&source, path, NULL, NULL, NULL, 0) != DUEL_OK) fail_msg("%s", duel_last_error());
  return recipe_resolve(source, &recipe_images);
}

// `%` in message stands for the folder.
static void refuses_file(const char *name, const char *message) {
  duel_recipe_source *source;
  char path[128], expected[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(duel_recipe_load(&source, path, NULL, NULL, NULL, 0), DUEL_ERR_USAGE);
  size_t used = 0;
  for (const char *c = message; *c; c++)
    if (*c == '%')
      used += (size_t)snprintf(expected + used, sizeof expected - used, "%s", folder);
    else
      expected[used++] = *c;
  expected[used] = 0;
  assert_string_equal(duel_last_error(), expected);
}

static void child_of_a_base(void **state) {
  (void)state;
  write_file("base.yaml", "recipe: 1\n"
                          "data: {path: x, limit: 5}\n"
                          "vars: {ch: 2, wide: $ch*2}\n"
                          "latent: 100\n"
                          "G: [dense: $wide, tanh]\n"
                          "D: [dense: 1]\n"
                          "init: {name: normal, std: 0.5}\n"
                          "loss: {name: bce, label_smoothing: 0.1}\n"
                          "optim: {name: adam, lr: {from: 1, to: 0}, betas: [0, 0.9], weight_decay: 0.1}\n"
                          "ema: 10 kimg\n"
                          "train: {length: 10, batch: 32}\n");
  write_file("sub/child.yaml", "recipe: 1\nbase: ../base.yaml\nvars: {ch: 3}\nlatent: 50\ntrain: {batch: 16}\n");
  write_file("sub/grandchild.yaml",
             "recipe: 1\nbase: ./child.yaml\nG: [dense: 7]\noptim: {lr: 1}\nD: {optim: {lr: 4}}\n");
  duel_recipe *r = load_file("sub/grandchild.yaml");
  assert_string_equal(r->name, "grandchild");
  assert_true(r->latent == 50 && r->train.batch == 16 && r->train.length.n == 10 && r->data.limit == 5 &&
              r->net[NET_G].ema.on);
  assert_true(r->net[NET_G].layers.n == 1);                              // lists replace
  assert_true(lr_of(r, NET_G)->from == 1 && lr_of(r, NET_D)->from == 4); // so do values, whole
  assert_true(value_of(&r->net[NET_G].optim, "betas")->number[1] == 0.9 &&
              lr_of(r, NET_G)->curve == DUEL_CURVE_CONSTANT);
  duel_recipe_close(r);
  r = load_file("sub/child.yaml");
  assert_true(r->net[NET_G].layers.layer[0].value[0].number[0] == 6); // $wide from the child's $ch
  duel_recipe_close(r);

  // null removes; a new name drops its siblings, the same one and a value in a map's place keep them.
  write_file("a.yaml", "recipe: 1\nbase: base.yaml\nema: null\nloss: {label_smoothing: ~}\ninit: {name: he_normal}\n"
                       "optim: {name: sgd}\ndata: y\n");
  r = load_file("a.yaml");
  assert_true(!r->net[NET_G].ema.on && value_of(&r->loss, "label_smoothing")->number[0] == 0 && r->data.limit == 5 &&
              !is_named(&r->net[NET_G].optim, "adam"));
  assert_true(value_of(&r->net[NET_G].optim, "weight_decay")->number[0] == 0 && lr_of(r, NET_G)->from == 0.0002 &&
              is_named(&r->net[NET_G].init, "he_normal"));
  duel_recipe_close(r);
  write_file("a.yaml", "recipe: 1\nbase: base.yaml\nloss: bce\ninit: {name: normal}\noptim: {name: adam, lr: 3}\n"
                       "data: {path: x}\n");
  r = load_file("a.yaml");
  assert_true(value_of(&r->loss, "label_smoothing")->number[0] == 0.1 &&
              value_of(&r->net[NET_G].init, "std")->number[0] == 0.5 &&
              value_of(&r->net[NET_D].optim, "weight_decay")->number[0] == 0.1);
  assert_true(lr_of(r, NET_D)->from == 3 && r->data.limit == 5);
  duel_recipe_close(r);

  // A net's own on top of every net's, and every net's under a net's own.
  write_file("a.yaml",
             "recipe: 1\nbase: base.yaml\nG: {optim: {lr: 3}}\nD: {optim: {betas: [0.5, 0.5]}, init: zeros}\n");
  r = load_file("a.yaml");
  assert_true(lr_of(r, NET_G)->from == 3 && lr_of(r, NET_D)->curve == DUEL_CURVE_LINEAR);
  assert_true(value_of(&r->net[NET_G].optim, "betas")->number[1] == 0.9 &&
              value_of(&r->net[NET_D].optim, "betas")->number[1] == 0.5);
  assert_true(value_of(&r->net[NET_G].init, "std")->number[0] == 0.5 && is_named(&r->net[NET_D].init, "zeros"));
  duel_recipe_close(r);
  write_file("sub/b.yaml", "recipe: 1\nbase: ../a.yaml\noptim: {lr: 2}\ninit: normal\n");
  r = load_file("sub/b.yaml");
  assert_true(lr_of(r, NET_G)->from == 3 && lr_of(r, NET_D)->from == 2 &&
              value_of(&r->net[NET_D].optim, "betas")->number[1] == 0.5);
  assert_true(value_of(&r->net[NET_G].init, "std")->number[0] == 0.5 && is_named(&r->net[NET_D].init, "zeros"));
  duel_recipe_close(r);

  // A number that a map meets is written out; a number over a schedule replaces it whole; a list over a net's map is
  // its layers.
  write_file("a.yaml", "recipe: 1\nbase: base.yaml\noptim: {lr: 2}\nD: {init: zeros}\n");
  write_file("sub/b.yaml", "recipe: 1\nbase: ../a.yaml\noptim: {lr: {to: 1}}\nD: [dense: 1, tanh]\ndata: z\n");
  r = load_file("a.yaml");
  assert_true(lr_of(r, NET_G)->from == 2 && lr_of(r, NET_G)->curve == DUEL_CURVE_CONSTANT);
  duel_recipe_close(r);
  r = load_file("sub/b.yaml");
  assert_true(lr_of(r, NET_G)->from == 2 && lr_of(r, NET_G)->to == 1 && r->data.limit == 5);
  assert_true(r->net[NET_D].layers.n == 2 && is_named(&r->net[NET_D].init, "zeros"));
  assert_string_equal(r->data.path, "z");
  duel_recipe_close(r);

  // A built-in base; mistakes are named in the file that made them.
  write_file("a.yaml", "recipe: 1\nbase: mlp\ntrain: {batch: 8}\n");
  r = load_file("a.yaml");
  assert_true(r->train.batch == 8 && r->net[NET_G].layers.n == 8);
  duel_recipe_close(r);
  write_file("a.yaml", "recipe: 1\nbase: sub/c.yaml\nlatent: x\n");
  write_file("sub/c.yaml", "recipe: 1\nbase: mlp\ntrain: {btach: 8}\n");
  refuses_file("a.yaml", "%/a.yaml:3:9: latent: x is not a whole number or a product such as $C*$H*$W/4\n"
                         "%/sub/c.yaml:3:9: train.btach: no such key; did you mean batch?");
}

static void bases_that_do_not_stand(void **state) {
  (void)state;
  duel_recipe_source *source;
  assert_int_equal(duel_recipe_load(&source, "nlp", NULL, NULL, NULL, 0), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(),
                      "nlp: no such recipe (a file's name has a '/' or ends in .yaml or .yml); did you mean mlp?");
  write_file("a.yaml", "recipe: 1\nbase: a.yaml\n");
  refuses_file("a.yaml", "%/a.yaml:2:7: base: a.yaml is its own base: name another one, or none");
  write_file("a.yaml", "recipe: 1\nbase: sub/../b.yaml\n");
  write_file("b.yaml", "recipe: 1\nbase: ./a.yaml\n");
  refuses_file("a.yaml", "%/sub/../b.yaml:2:7: base: ./a.yaml is its own base: name another one, or none");
  write_file("a.yaml", "recipe: 1\nbase: [mlp]\n");
  refuses_file("a.yaml", "%/a.yaml:2:7: base: one name of a recipe or a file is due");
  write_file("a.yaml", "recipe: 1\nbase: ./none.yaml\n");
  refuses_file("a.yaml", "%/a.yaml:2:7: base: cannot read %/./none.yaml: No such file or directory");
  write_file("a.yaml", "recipe: 1\nbase: b.yaml\n");
  write_file("b.yaml", "recipe: 1\na: 1\na: 2\n");
  refuses_file("a.yaml", "%/a.yaml:2:7: base: %/b.yaml:3:1: a stands here twice; first in line 2: leave one out");
  write_file("b.yaml", "recipe: 3\n");
  refuses_file("a.yaml",
               "%/b.yaml:1:9: recipe: format 3 is newer than this version of duel, which reads 1: update duel");
  for (int i = 0; i < 17; i++) {
    char name[16], text[64];
    snprintf(name, sizeof name, "c%d.yaml", i);
    snprintf(text, sizeof text, "recipe: 1\nbase: c%d.yaml\n", i + 1);
    write_file(name, text);
  }
  refuses_file("c0.yaml", "%/c15.yaml:2:7: base: more than 16 recipes on each other");
}

// ---- differences

static void differences(void **state) {
  (void)state;
  char diff[512];
  duel_recipe *a = recipe_from(HEAD),
              *b = SET(HEAD, "train.batch=32", "G.1={leaky_relu: 0.3}", "ema=10 kimg", "D.optim.lr=0.5",
                       "optim.betas=[0, 0.9]", "D=[flatten, dense: 3, relu]", "data=\"my shoes\"");
  assert_int_equal(recipe_diff(a->text, a->text, diff, sizeof diff), DUEL_OK);
  assert_string_equal(diff, "");
  assert_int_equal(recipe_diff(a->text, b->text, diff, sizeof diff), DUEL_OK);
  assert_string_equal(diff, "data.path: fashion-mnist -> \"my shoes\"\n"
                            "G.1: tanh -> {leaky_relu: {slope: 0.3}}\n"
                            "D.1.dense.out: 1 -> 3\n"
                            "D.2: (none) -> relu\n"
                            "D.optim: (none) -> {name: adam, lr: 0.5, betas: [0, 0.9], eps: 1.0e-8, weight_decay: 0}\n"
                            "optim.betas: [0.9, 0.999] -> [0, 0.9]\n"
                            "train.batch: 64 -> 32\n"
                            "ema.half_life: (none) -> 10 kimg\n"
                            "ema.ramp_up: (none) -> 0\n"
                            "ema.buffers: (none) -> copy");
  // A key that an older text lacks has its default.
  assert_int_equal(recipe_diff(HEAD, a->text, diff, sizeof diff), DUEL_OK);
  assert_string_equal(diff, "");
  assert_int_equal(recipe_diff("recipe: 1\ndata: fashion-mnist\nlatent: 100\nG: [dense: 784]\n"
                               "D: [dense: 1]\ntrain: {length: 10, batch: 32}\n",
                               "recipe: 1\ngame: gan\ndata: fashion-mnist\nlatent: 100\nG: [dense: 784]\n"
                               "D: [dense: 1]\ntrain: {length: 10}\nloss: {label_smoothing: 0}\n",
                               diff, sizeof diff),
                   DUEL_OK);
  assert_string_equal(diff, "train.batch: 32 -> 64");
  assert_int_equal(recipe_diff("a: [", "b: 1", diff, sizeof diff), DUEL_ERR_USAGE);
  duel_recipe_close(a);
  duel_recipe_close(b);
}

// ---- suggestions

static void suggestions(void **state) {
  (void)state;
  static const char *const known[] = {"leaky_relu", "relu", "tanh", "batchnorm", "dense", "flatten", "G"};
  static const char *const cases[][2] = {{"leaky_relue", "leaky_relu"},
                                         {"LeakyReLU", "leaky_relu"},
                                         {"rleu", "relu"},
                                         {"Tanh", "tanh"},
                                         {"densse", "dense"},
                                         {"batch", "batchnorm"},
                                         {"bathcnorm", "batchnorm"},
                                         {"flat", "flatten"},
                                         {"conv", NULL},
                                         {"x", NULL},
                                         {"", NULL},
                                         {"g", "G"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *near = duel_suggest(cases[i][0], known, 7);
    if (!cases[i][1])
      assert_null(near);
    else {
      assert_non_null(near);
      assert_string_equal(near, cases[i][1]);
    }
  }
  char word[200];
  memset(word, 'a', sizeof word - 1);
  word[sizeof word - 1] = 0;
  assert_null(duel_suggest(word, known, 7));
  const char *long_one[] = {word};
  assert_null(duel_suggest("aaaa", long_one, 1));
  assert_null(duel_suggest("relu", NULL, 0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(settings_reach_everything),
      cmocka_unit_test(a_layer_on_its_like),
      cmocka_unit_test(one_name_of_two),
      cmocka_unit_test(settings_that_lead_nowhere),
      cmocka_unit_test(paths_that_are_no_text),
      cmocka_unit_test(two_settings_of_one_key),
      cmocka_unit_test_setup_teardown(child_of_a_base, make_folder, drop_folder),
      cmocka_unit_test_setup_teardown(bases_that_do_not_stand, make_folder, drop_folder),
      cmocka_unit_test(differences),
      cmocka_unit_test(suggestions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
