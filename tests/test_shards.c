// Micro-shards: the same training as with the whole batch at once but for rounding, to the bit on any number of threads
// and after a resume, in the work memory of one shard. On the backend of the environment's DUEL_TEST_BACKENDS.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "duel.h"
#include "gan/games/game.h"
#include "io/safetensors.h"
#include "io_help.h"
#include "run/run.h"
#include "run_case.h"

static const char *backend = "cpu";

#define HEAD "recipe: 1\ndata: {path: synthetic:shapes, limit: 150}\nlatent: 12\n"
#define SMOOTH                                                                                                         \
  "G: [dense: 24, silu, dropout: 0.1, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]\n"                                 \
  "D: [flatten, dense: 20, silu, dropout: 0.1, dense: 1]\n"                                                            \
  "ema: {half_life: 500 images}\n"
#define NORMED                                                                                                         \
  "G: [dense: 24, batchnorm, relu, dropout: 0.1, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]\n"                      \
  "D: [flatten, dense: 20, batchnorm, leaky_relu: 0.2, minibatch_stddev, dense: 1]\n"

static const struct {
  const char *name, *text;
} recipes[] = {
    {"separate",
     HEAD SMOOTH "loss: {name: bce, label_flips: 0.2}\n"
                 "train: {length: 99, batch: 16, d_update: separate, noise: {from: 0.2, to: 0, over: 12}}\n"},
    {"joint", HEAD SMOOTH "loss: hinge\ntrain: {length: 99, batch: 16, d_steps: 2, latents: fresh}\n"},
    {"penalties", HEAD SMOOTH "loss: wasserstein\npenalty: {gp: 10, r1: {weight: 1, every: 2}, r2: 2}\n"
                              "train: {length: 99, batch: 16, d_steps: 2}\n"},
    {"pairs", HEAD SMOOTH "loss: {name: rpgan, reals: fresh}\ntrain: {length: 99, batch: 16}\n"},
    {"lazy",
     HEAD SMOOTH "penalty: {gp: {weight: 1, every: 2}, r1: {weight: 1, every: 3, update: own}, lecam: {start: 2},\n"
                 "  r2: {weight: 1, every: 3, update: own}, consistency: {z: 20, every: 2}}\n"
                 "train: {length: 99, batch: 16, d_steps: 2}\n"},
    {"apart", HEAD SMOOTH "penalty: {r1: 1, r2: {weight: 1, every: 2}}\n"
                          "train: {length: 99, batch: 16, d_update: separate, latents: fresh}\n"},
    {"spectral",
     HEAD "G: {layers: [dense: 24, silu, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]], constraint: spectral}\n"
          "D: {layers: [flatten, dense: 20, silu, dense: 1], constraint: spectral}\n"
          "loss: hinge\ntrain: {length: 99, batch: 16, d_steps: 2}\n"},
    {"pixels",
     HEAD "G: [dense: 24, silu, dense: $C*$H*$W, reshape: [$C, $H, $W], noise: {init: {name: constant, value: 0.3}},\n"
          "    tanh]\n"
          "D: [conv: {out: 4, kernel: 4, stride: 4}, noise: {channels: true, init: {name: constant, value: 0.2}},\n"
          "    silu, flatten, dropout: 0.1, dense: 1]\n"
          "penalty: {r1: 1}\ntrain: {length: 99, batch: 16, d_steps: 2}\n"},
    {"classifier", "recipe: 1\ngame: classifier\ndata: {path: synthetic:shapes, limit: 150}\n"
                   "C: [flatten, dense: 24, silu, dropout: 0.1, dense: $classes]\n"
                   "train: {length: 99, batch: 16, noise: 0.2}\n"},
    {"normed", HEAD NORMED "train: {length: 99, batch: 64, d_steps: 2, d_update: separate}\n"},
    {"normed-joint", HEAD NORMED "train: {length: 99, batch: 64, latents: fresh, top_k: {from: 60.5, to: 20}}\n"},
    {"normed-classifier",
     "recipe: 1\ngame: classifier\ndata: {path: synthetic:shapes, limit: 150}\n"
     "C: [flatten, dense: 24, batchnorm, relu, dense: $classes]\ntrain: {length: 99, batch: 64}\n"},
};
enum { SMOOTH_ONES = 9, RECIPES = sizeof recipes / sizeof *recipes };

static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  scratch_setup(state);
  for (int i = 0; i < RECIPES; i++) scratch_put(recipes[i].name, recipes[i].text, strlen(recipes[i].text));
  return 0;
}

static duel_status open_with(duel_run **run, const char *name, const char *from, int threads, int shards) {
  char text[16];
  const duel_set set[] = {{"train.shards", text, NULL}, {"run.precision", "fp32", NULL}};
  snprintf(text, sizeof text, "%d", shards);
  return duel_run_open(run, &(duel_run_options){.recipe = scratch(name),
                                                .backend = backend,
                                                .checkpoint = from,
                                                .threads = threads,
                                                .set = set,
                                                .n_set = shards > 0 ? 2 : 0});
}

static duel_run *run_of(const char *name, const char *from, int threads, int shards) {
  duel_run *run;
  must(open_with(&run, name, from, threads, shards));
  return run;
}

static void train(const char *name, int threads, int shards, int64_t steps, const char *to) {
  duel_run *run = run_of(name, NULL, threads, shards);
  must(duel_run_advance(run, steps));
  must(duel_run_save(run, scratch(to)));
  duel_run_close(run);
}

// ---- nets without batch statistics learn the same

// How far each tensor of two trainings from one start has come apart, of the way that it went.
static double apart(const char *a, const char *b, const char *start) {
  duel_tensor_file x, y, z;
  double most = 0;
  must(duel_tensors_read(&x, scratch(a)));
  must(duel_tensors_read(&y, scratch(b)));
  must(duel_tensors_read(&z, scratch(start)));
  assert_true(x.n > 10 && x.n == y.n && x.n == z.n);
  for (int i = 0; i < x.n; i++) {
    double off = 0, way = 0;
    assert_string_equal(x.entry[i].name, y.entry[i].name);
    const float *p = x.entry[i].data, *q = y.entry[i].data, *from = z.entry[i].data;
    for (size_t k = 0; k < x.entry[i].bytes / sizeof *p; k++) {
      off += ((double)p[k] - q[k]) * ((double)p[k] - q[k]);
      way += ((double)p[k] - from[k]) * ((double)p[k] - from[k]);
    }
    if (way > 0)
      most = fmax(most, sqrt(off / way));
    else
      assert_true(off == 0); // D's bias is nothing to a loss of differences
  }
  duel_tensors_close(&x);
  duel_tensors_close(&y);
  duel_tensors_close(&z);
  return most;
}

static void same_training(void **state) {
  (void)state;
  for (int i = 0; i < SMOOTH_ONES; i++) {
    double scalar[64] = {0};
    train(recipes[i].name, 2, 1, 0, "start");
    for (int shards = 1; shards <= 4; shards *= 2) {
      const duel_scalar *list;
      int n;
      duel_run *run = run_of(recipes[i].name, NULL, 2, shards);
      must(duel_run_advance(run, strcmp(backend, "cpu") ? 4 : 10));
      must(duel_run_scalars(run, 1, &list, &n));
      assert_in_range(n, 4, 63);
      for (int k = 0; k < n; k++) {
        if (shards == 1) scalar[k] = list[k].value;
        if (fabs(list[k].value - scalar[k]) > 2e-5 * fmax(1, fabs(scalar[k])))
          fail_msg("%s, %d shards: %s is %.9g, not %.9g", recipes[i].name, shards, list[k].name, list[k].value,
                   scalar[k]);
      }
      must(duel_run_save(run, scratch(shards == 1 ? "whole" : "cut")));
      duel_run_close(run);
      const double off = shards == 1 ? 0 : apart("whole", "cut", "start");
      print_message("%s, %d shards: %.2g\n", recipes[i].name, shards, off);
      assert_true(off <= 2e-4);
    }
  }
}

// ---- bits

static void any_number_of_threads(void **state) {
  (void)state;
  for (int i = SMOOTH_ONES; i < RECIPES; i++) {
    train(recipes[i].name, 1, 4, 3, "one");
    train(recipes[i].name, 2, 4, 3, "two");
    assert_true(scratch_same("one", "two"));
    train(recipes[i].name, 2, 2, 3, "two");
    assert_false(scratch_same("one", "two")); // shards are part of the recipe
  }
}

static void resumes(void **state) {
  (void)state;
  for (int i = 0; i < RECIPES; i++) {
    duel_run *run = run_of(recipes[i].name, NULL, 2, 4);
    must(duel_run_advance(run, 3));
    must(duel_run_save(run, scratch("half")));
    must(duel_run_advance(run, 2));
    must(duel_run_save(run, scratch("whole")));
    duel_run_close(run);
    run = run_of(recipes[i].name, scratch("half"), 1, 4);
    must(duel_run_advance(run, 2));
    must(duel_run_save(run, scratch("rest")));
    duel_run_close(run);
    assert_true(scratch_same("whole", "rest"));
  }
}

// ---- sums

// Eight numbers of which every small one would be lost beside the first: ((0 + 1) + (2 + 3)) + … keeps them.
static void adds_in_a_tree(void **state) {
  (void)state;
  const double e = 0x1p-24, x[8] = {1, e, e, e, e, e, e, e};
  for (int b = 0; b < duel_test_backends_n; b++) {
    int in, out;
    double mean = 0;
    const duel_backend_api *api = duel_test_backends[b];
    duel_backend *device;
    duel_rig r;
    must(api->open(&device, &(duel_backend_options){.threads = 1}));
    must(duel_rig_open(&r, api, device));
    must(duel_rig_var(&r, DUEL_ARENA_INPUT, DUEL_REAL, DUEL_SHAPE(8), false, &in));
    must(duel_rig_var(&r, DUEL_ARENA_OUTPUT, DUEL_REAL, DUEL_SCALAR, true, &out));
    must(duel_rig_graph(&r));
    duel_shards s = {.g = r.graph, .n = 8, .at = -1};
    for (int loop = 0; loop < 2; loop++)
      while (duel_shards_next(&s)) {
        const duel_val own = duel_view(r.graph, duel_input(r.graph, in), s.at, DUEL_SCALAR);
        const duel_val all = duel_shards_mean(&s, own);
        assert_true((all == DUEL_NONE) == (s.at < 7));
        if (loop && s.at == 7) duel_output(r.graph, out, all);
      }
    must(duel_rig_start(&r, (duel_rig_mode){.rewrites = DUEL_REWRITE_ALL}));
    duel_rig_set(&r, in, x);
    must(duel_rig_run(&r));
    duel_rig_get(&r, out, &mean);
    assert_true(mean == (1 + 6 * e) / 8);
    duel_rig_close(&r);
    api->close(device);
  }
}

// ---- memory

// 64 pictures of 64 x 64.
static void put_pictures(void) {
  static uint8_t idx[16 + 64 * 64 * 64] = {0, 0, 8, 3, 0, 0, 0, 64, 0, 0, 0, 64, 0, 0, 0, 64};
  for (size_t i = 16; i < sizeof idx; i++) idx[i] = (uint8_t)(i * 7 % 251);
  scratch_put("pictures-ubyte", idx, sizeof idx);
}

static duel_run *plan_with(const char *batch, const char *shards) {
  const duel_set set[] = {{"train.batch", batch, NULL}, {"train.shards", shards, NULL}, {"data.size", "64", NULL}};
  duel_run *run;
  must(duel_run_open(&run, &(duel_run_options){.recipe = "dcgan-64",
                                               .data = scratch("pictures-ubyte"),
                                               .backend = backend,
                                               .set = set,
                                               .n_set = 3,
                                               .plan_only = 1}));
  return run;
}

static void work_memory(void **state) {
  (void)state;
  put_pictures();
  duel_run *small = plan_with("32", "1"), *large = plan_with("256", "1"), *cut = plan_with("256", "8");
  const double least = (double)duel_plans_work(small->trainer), most = (double)duel_plans_work(large->trainer);
  const double bytes = (double)duel_plans_work(cut->trainer);
  print_message("%.1f MiB: %.2f of batch 32's, %.2f of batch 256's\n", bytes / 1048576, bytes / least, bytes / most);
  assert_true(bytes <= 1.3 * least && bytes < 0.4 * most);
  const duel_plan *p = cut->trainer->variant[0].plan;
  int begun = 0; // stretches run one after another
  for (int group = 0, i = 0; group < p->n_groups; group++) {
    const int before = begun;
    for (; i < p->group_end[group]; i++) {
      const duel_node *n = p->order[i];
      if (n->op == DUEL_OP_CONSTANT) continue;
      assert_true(n->stretch >= before);
      if (n->stretch > begun) begun = n->stretch;
    }
  }
  assert_int_equal(begun, 3 * 8 + 3); // three loops over 8 shards, an update behind each
  duel_run_close(small);
  duel_run_close(large);
  duel_run_close(cut);
}

// ---- what does not fit

static void refused(const char *text, const char *message) {
  duel_run *run;
  scratch_put("refused", text, strlen(text));
  assert_int_equal(duel_run_open(&run, &(duel_run_options){.recipe = scratch("refused"), .plan_only = 1}),
                   DUEL_ERR_USAGE);
  assert_message(message);
}

// A game that looks at the batch outside of any loop over its shards.
static duel_status declare(duel_model *m, duel_shape item) {
  duel_shape out;
  m->item = item;
  return duel_model_declare(m, 0, item, &out);
}
static int64_t items(const duel_recipe *r) {
  return r->train.batch;
}
static int updates(const duel_recipe *r, int net) {
  (void)r, (void)net;
  return 1;
}
static void train_whole(duel_step *s) {
  const duel_val y = duel_step_forward(s, 0, duel_step_real(s, 0));
  const duel_val loss = duel_mean(s->g, duel_mul(s->g, y, y));
  duel_step_report(s, "loss", NULL, DUEL_LAST, loss, DUEL_REPORT_SUM, 1);
  duel_step_descend(s, 0, loss);
  duel_step_update(s, 0);
}
static const char *const nets[] = {"N", NULL};
static const duel_game whole = {.kind = {.kind = {"whole", NULL, duel_no_keys, "N descends its squares"}, .nets = nets},
                                .declare = declare,
                                .items = items,
                                .updates = updates,
                                .train = train_whole,
                                .samples = -1,
                                .tests = -1};
#define WHOLE                                                                                                          \
  "recipe: 1\ngame: whole\ndata: {path: synthetic:shapes, limit: 64}\nN: [flatten, dense: 3]\n"                        \
  "train: {length: 2, batch: 16, shards: "

static void the_whole_batch(void **state) {
  (void)state;
  static const char one[] = WHOLE "1}\n";
  must(duel_game_add(&whole));
  scratch_put("whole", one, sizeof one - 1);
  duel_run *run = run_of("whole", NULL, 1, 0);
  must(duel_run_advance(run, 2));
  duel_run_close(run);
  refused(WHOLE "2}\n", "the game whole reads the whole batch at once; set train.shards=1");
}

static void what_does_not_fit(void **state) {
  (void)state;
  refused(HEAD SMOOTH "train: {length: 9, batch: 12, shards: 3}\n",
          "train.shards is 3 and must be a power of two; set it to 2 or 4");
  refused(HEAD SMOOTH "train: {length: 9, batch: 12, shards: 8}\n",
          "a batch of 12 cannot be cut into 8 shards; set train.batch=16 or another multiple, or train.shards=4");
  refused(HEAD SMOOTH "train: {length: 9, batch: 12, shards: 0}\n", "train.shards");
  refused(HEAD NORMED "train: {length: 9, batch: 8, shards: 8}\n",
          "G.1 batchnorm: batchnorm in training looks at a shard's rows, and train.shards=8 leaves it one; use "
          "train.shards=4 or fewer");
  refused(HEAD NORMED "train: {length: 9, batch: 8, shards: 4}\n",
          "cannot cut a shard of 2 (2×20) into groups of 4; set train.batch=16 or another multiple of it");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(same_training),  cmocka_unit_test(any_number_of_threads),
                                     cmocka_unit_test(resumes),        cmocka_unit_test(adds_in_a_tree),
                                     cmocka_unit_test(work_memory),    cmocka_unit_test(what_does_not_fit),
                                     cmocka_unit_test(the_whole_batch)};
  return cmocka_run_group_tests(tests, set_up, scratch_teardown);
}
