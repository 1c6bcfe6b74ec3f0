// Training with every built-in recipe, and with a net of a user's own, on images that are no squares: losses stay
// finite, pictures come out in the data's shape, a resumed run is the unbroken one. On the backend of the environment's
// DUEL_TEST_BACKENDS.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "duel.h"
#include "io/safetensors.h"
#include "io_help.h"
#include "picture_help.h"
#include "recipe/recipe.h"
#include "run/run.h"

enum { MOST = 3 * 64 * 48 };

static const char *backend = "cpu";
static char photos[4096]; // folder of 9 pictures of 20×28 (height×width) in color
static char sorted[4096]; // the same in a folder for each of two classes

static int set_up(void **state) {
  static uint8_t pixels[20 * 28 * 3], file[PICTURE_ROOM];
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  scratch_setup(state);
  snprintf(photos, sizeof photos, "%s", scratch("photos"));
  mkdir(photos, 0777);
  snprintf(sorted, sizeof sorted, "%s", scratch("sorted"));
  mkdir(sorted, 0777);
  mkdir(scratch("sorted/0"), 0777);
  mkdir(scratch("sorted/1"), 0777);
  for (int i = 0; i < 9; i++) {
    char name[64];
    snprintf(name, sizeof name, "photos/%d.png", i);
    draw_pixels(pixels, 20, 28, 3, i);
    const size_t bytes = make_png(file, &(png_kind){28, 20, 8, 2, 0, 0}, pixels);
    scratch_put(name, file, bytes);
    snprintf(name, sizeof name, "sorted/%d/%d.png", i % 2, i);
    scratch_put(name, file, bytes);
  }
  return 0;
}

typedef struct net {
  const char *recipe, *data;
  duel_set set[4];
  int n_set, rank;
  int64_t dim[3]; // of an item, as the data and the settings say
} net;

static duel_run *open_net(const net *n, const char *from, int threads) {
  duel_run *run;
  const duel_run_options o = {.recipe = n->recipe,
                              .data = n->data,
                              .backend = backend,
                              .set = n->set,
                              .n_set = n->n_set,
                              .checkpoint = from,
                              .threads = threads};
  must(duel_run_open(&run, &o));
  return run;
}

static void advance(duel_run *run, int64_t steps, const char *path) {
  must(duel_run_advance(run, steps));
  assert_true(isfinite(duel_run_scalar(run, "d_loss")) && isfinite(duel_run_scalar(run, "g_loss")));
  assert_true(duel_run_scalar(run, "grad_norm_d") > 0 && duel_run_scalar(run, "grad_norm_g") > 0);
  must(duel_run_save(run, path));
}

// No two nodes of a step compute the same of the same, not even those that second derivatives make.
static void check_nothing_twice(const duel_run *run) {
  for (int variant = 0; variant < run->trainer->n_variants; variant++) {
    const duel_plan *p = run->trainer->variant[variant].plan;
    const int n = p->group_end[p->n_groups - 1];
    for (int i = 0; i < n; i++)
      for (int k = 0; k < i; k++) {
        const duel_node *a = p->order[k], *b = p->order[i];
        if (a->op != b->op || a->n_in != b->n_in || a->op == DUEL_OP_CONSTANT || a->op == DUEL_OP_PACK) continue;
        const bool swapped = a->n_in == 2 && (a->op == DUEL_OP_ADD || a->op == DUEL_OP_MUL) && a->in[0] == b->in[1] &&
                             a->in[1] == b->in[0];
        if (memcmp(&a->attr, &b->attr, sizeof a->attr) || a->stretch != b->stretch) continue;
        if (swapped || (a->n_in > 0 && !memcmp(a->in, b->in, (size_t)a->n_in * sizeof *a->in)))
          fail_msg("%s and %s: %s of the same", a->label, b->label, duel_op_name(a->op));
      }
  }
}

static void check(const net *n) {
  static float item[MOST];
  print_message("%s\n", n->recipe);
  duel_run *run = open_net(n, NULL, 2);
  const duel_run_info info = duel_run_describe(run);
  const bool bounded = n->rank == 3 && strcmp(n->recipe, "r3gan-32") != 0; // which has no tanh
  int64_t size = 1;
  assert_int_equal(info.rank, n->rank);
  for (int i = 0; i < n->rank; i++) {
    assert_int_equal(info.dim[i], n->dim[i]);
    size *= n->dim[i];
  }
  assert_true(size <= MOST);
  check_nothing_twice(run);
  advance(run, 1, scratch("part"));
  advance(run, 1, scratch("whole"));
  must(duel_generate(run, &(uint64_t){3}, 1, item));
  for (int64_t i = 0; i < size; i++) assert_true(isfinite(item[i]) && (!bounded || fabsf(item[i]) <= 1));
  duel_run_close(run);
  run = open_net(n, scratch("part"), 1);
  advance(run, 1, scratch("rest"));
  duel_run_close(run);
  assert_true(scratch_same("whole", "rest"));
}

static void every_builtin(void **state) {
  (void)state;
  const net nets[] = {
      {"mlp", photos, {{"train.batch", "3", NULL}}, 1, 3, {3, 20, 28}},
      {"ring", NULL, {{"train.batch", "3", NULL}}, 1, 1, {2}},
      {"grid", NULL, {{"train.batch", "3", NULL}}, 1, 1, {2}},
      {"dcgan", photos, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"dcgan-ada", photos, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"lsgan", photos, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"ragan", photos, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"dragan", photos, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"wgan", photos, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"wgan-gp", photos, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"dcgan-64",
       photos,
       {{"train.batch", "2", NULL}, {"vars.ch", "2", NULL}, {"data.size", "[64, 48]", NULL}},
       3,
       3,
       {3, 64, 48}},
      {"resnet-32",
       photos,
       {{"train.batch", "2", NULL}, {"vars.ch", "2", NULL}, {"data.size", "[16, 24]", NULL}},
       3,
       3,
       {3, 16, 24}},
      {"cgan", sorted, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"acgan", sorted, {{"train.batch", "2", NULL}}, 1, 3, {3, 20, 28}},
      {"cwgan-gp",
       sorted,
       {{"train.batch", "2", NULL}, {"vars.ch", "2", NULL}, {"data.size", "[16, 24]", NULL}},
       3,
       3,
       {3, 16, 24}},
      {"projgan-32",
       sorted,
       {{"train.batch", "2", NULL}, {"vars.ch", "2", NULL}, {"data.size", "[16, 24]", NULL}},
       3,
       3,
       {3, 16, 24}},
      {"sngan-32",
       photos,
       {{"train.batch", "2", NULL}, {"vars.ch", "2", NULL}, {"data.size", "[16, 24]", NULL}},
       3,
       3,
       {3, 16, 24}},
      {"r3gan-32",
       photos,
       {{"train.batch", "2", NULL}, {"vars.ch", "16", NULL}, {"data.size", "[16, 24]", NULL}},
       3,
       3,
       {3, 16, 24}},
  };
  const int n = (int)(sizeof nets / sizeof *nets);
  for (int i = 0; i < duel_builtins_n; i++) {
    int k = 0;
    if (!strcmp(duel_builtins[i].name, "classifier-28")) continue; // test_games
    while (k < n && strcmp(nets[k].recipe, duel_builtins[i].name)) k++;
    if (k == n) fail_msg("the recipe %s is not tested here", duel_builtins[i].name);
    check(&nets[k]);
  }
}

static const char own[] = "recipe: 1\n"
                          "data: ./photos\n"
                          "vars: {ch: 6}\n"
                          "latent: 5\n"
                          "G:\n"
                          "  - dense: $ch*2*$H/4*$W/4\n"
                          "  - reshape: [$ch*2, $H/4, $W/4]\n"
                          "  - residual:\n"
                          "      - batchnorm\n"
                          "      - relu\n"
                          "      - conv_transpose: {out: $ch, kernel: 4, stride: 2, pad: 1}\n"
                          "      - residual: [leaky_relu: 0.2, conv: {out: $ch, kernel: 3, pad: 1}]\n"
                          "    skip:\n"
                          "      - conv_transpose: {out: $ch, kernel: 2, stride: 2, bias: false}\n"
                          "    repeat: 2\n"
                          "  - self_attention\n"
                          "  - conv: {out: $C, kernel: [3, 5], pad: [1, 2]}\n"
                          "  - tanh\n"
                          "D:\n"
                          "  - conv: {out: $ch, kernel: 4, stride: [2, 3], pad: 1}\n"
                          "  - residual:\n"
                          "      - leaky_relu: 0.2\n"
                          "      - conv: {out: $ch, kernel: 3, pad: 1}\n"
                          "    repeat: 2\n"
                          "  - minibatch_stddev: {group: 3}\n"
                          "  - flatten\n"
                          "  - dense: 1\n"
                          "ema: {half_life: 8 images}\n"
                          "train: {length: 4 steps, batch: 6}\n";

static void a_net_of_ones_own(void **state) {
  (void)state;
  char path[4096];
  scratch_put("own.yaml", own, sizeof own - 1);
  snprintf(path, sizeof path, "%s", scratch("own.yaml"));
  check(&(net){.recipe = path, .data = photos, .rank = 3, .dim = {3, 20, 28}});
  check(&(net){path, photos, {{"data.size", "[8, 36]", NULL}, {"data.channels", "1", NULL}}, 2, 3, {1, 8, 36}});
}

// Item, copy, list, item, … in the layer table and in checkpoints.
static void names_of_blocks(void **state) {
  (void)state;
  char table[1 << 14];
  duel_tensor_file f;
  scratch_put("own.yaml", own, sizeof own - 1);
  const net n = {.recipe = scratch("own.yaml"), .data = photos};
  duel_run *run = open_net(&n, NULL, 1);
  FILE *file = fmemopen(table, sizeof table, "w");
  must(duel_run_print(run, file, 0));
  fclose(file);
  must(duel_run_save(run, scratch("start")));
  duel_run_close(run);
  assert_non_null(strstr(table, "\nG.2.1.residual.3.0.residual.1  conv              6×20×28            330\n"));
  assert_non_null(strstr(table, "\nG.2.1.residual.3.0             residual          6×20×28              -\n"));
  assert_non_null(strstr(table, "\nG.2.0                          residual          6×10×14              -\n"));
  assert_non_null(strstr(table, "\nD.2                            minibatch_stddev  7×10×9               -\n"));
  must(duel_tensors_read(&f, scratch("start")));
  const duel_entry *inner = duel_tensors_find(&f, "G.2.1.residual.3.0.residual.1.weight");
  assert_true(inner && inner->rank == 4 && inner->dim[0] == 6 && inner->dim[1] == 6);
  assert_non_null(duel_tensors_find(&f, "G_ema.2.0.residual.0.running_var"));
  assert_non_null(duel_tensors_find(&f, "opt.G.3.gamma.m"));
  assert_null(duel_tensors_find(&f, "G.2.0.skip.0.bias"));
  duel_tensors_close(&f);
}

// Shapes that do not fit: the layer, both shapes, and what to do.
static void what_does_not_fit(void **state) {
  (void)state;
  static const struct {
    duel_set set;
    const char *message;
  } wrong[] = {
      {{"G.2.skip", "null", NULL},
       "G.2 residual: the residual list makes 6×6×10×14 of 6×12×5×7; give the block a skip list that does the same"},
      {{"G.2.skip.0.conv_transpose.kernel", "3", NULL},
       "G.2 residual: the residual list yields 6×6×10×14 but the skip list 6×6×11×15; they must be equal"},
      {{"G.2.residual.3.residual.1.conv.out", "5", NULL},
       "G.2.0.residual.3 residual: the residual list makes 6×5×10×14 of 6×6×10×14; give the block a skip list"},
      {{"train.batch", "7", NULL},
       "D.2 minibatch_stddev: minibatch_stddev cannot cut a batch of 7 (7×6×10×9) into groups of 3"},
      {{"D.2", "{minibatch_stddev: {group: 3, channels: 4}}", NULL},
       "D.2 minibatch_stddev: minibatch_stddev cannot average the 6 channels of 6×6×10×9 to 4"},
      {{"G.3", "minibatch_stddev", NULL}, "it belongs in a net that judges"},
      {{"G.3.self_attention", "24", NULL}, "self_attention.pool 24 is larger than the image 6×6×20×28"},
      {{"D.1",
        "{residual: [{residual: [{residual: [{residual: [{residual: [{residual: [{residual: [{residual: "
        "[relu]}]}]}]}]}]}]}]}",
        NULL},
       ".0.0.residual.0.0.residual.0.0.residual.0: its name is too long; nest fewer"},
      {{"G.1", "self_attention", NULL}, "self_attention reads images, but gets 6×420; put reshape before it"},
  };
  scratch_put("own.yaml", own, sizeof own - 1);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    duel_run *run;
    const duel_run_options o = {.recipe = scratch("own.yaml"),
                                .data = photos,
                                .backend = backend,
                                .set = &wrong[i].set,
                                .n_set = 1,
                                .plan_only = 1};
    assert_int_equal(duel_run_open(&run, &o), DUEL_ERR_USAGE);
    assert_message(wrong[i].message);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_builtin), cmocka_unit_test(a_net_of_ones_own),
                                     cmocka_unit_test(names_of_blocks), cmocka_unit_test(what_does_not_fit)};
  return cmocka_run_group_tests(tests, set_up, scratch_teardown);
}
