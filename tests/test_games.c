// Games: the classifier, and one of three nets that is known to this file alone. Each trains, resumes to the bit,
// streamed or not, and tells of itself by its own names. On the backend of the environment's DUEL_TEST_BACKENDS.
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
#include "gan/games/game.h"
#include "gan/penalties.h"
#include "io/safetensors.h"
#include "io_help.h"
#include "picture_help.h"
#include "run/run.h"

static const char *backend = "cpu";

// ---- the game `mirror`: G draws items, D judges them, E learns to find the latents behind them. E moves in every
// third step alone, so there are two kinds of step.
enum { G, E, D };
enum { EVERY };
static const duel_key keys[] = {{"every", DUEL_KEY_INT, "3", 1, 99, NULL, "steps between E's moves"}, {.name = NULL}};
static const char *const nets[] = {"G", "E", "D", NULL};

static duel_status declare(duel_model *m, duel_shape item) {
  const duel_shape latent = DUEL_SHAPE(m->recipe->latent);
  duel_shape code, logit;
  DUEL_TRY(duel_model_declare(m, G, latent, &m->item));
  if (item.rank > 0 && !duel_shape_equal(item, m->item))
    return duel_fail(DUEL_ERR_USAGE, "G yields %s", duel_shape_text(m->item));
  DUEL_TRY(duel_model_declare(m, E, m->item, &code));
  if (!duel_shape_equal(code, latent))
    return duel_fail(DUEL_ERR_USAGE, "E yields %s, but the latents are %s", duel_shape_text(code),
                     duel_shape_text(latent));
  return duel_model_declare(m, D, m->item, &logit);
}

static int64_t items(const duel_recipe *r) {
  return r->train.batch;
}
static int updates(const duel_recipe *r, int net) {
  (void)r, (void)net;
  return 1;
}

static duel_val squared(duel_graph *g, duel_val x) {
  return duel_mean(g, duel_mul(g, x, x));
}

static void train(duel_step *s) {
  duel_graph *g = s->g;
  duel_fakes fakes = duel_step_fakes(s, G, 0);
  while (duel_step_shard(s)) {
    const duel_val fake = duel_step_fake(s, &fakes), real = duel_step_real(s, 0);
    const duel_val on_real = duel_bce_logits(g, duel_step_forward(s, D, real), 1);
    const duel_val on_fake = duel_bce_logits(g, duel_step_forward(s, D, fake), 0);
    const duel_val d_loss = duel_add(g, on_real, on_fake);
    duel_step_report(s, "d_loss", "D loss", DUEL_LAST, d_loss, DUEL_REPORT_SUM, 0.5);
    const duel_penalty_at at = {
        .net = D, .real = real, .fake = fake, .on_real = on_real, .on_fake = on_fake, .last = true};
    duel_step_descend(s, D, duel_penalties_add(s, d_loss, &at));
  }
  duel_step_update(s, D);
  if (duel_step_every(s, (int64_t)s->r->game.value[EVERY].number[0])) {
    while (duel_step_shard(s)) {
      const duel_val code = duel_step_forward(s, E, duel_step_fake(s, &fakes));
      const duel_val off = squared(g, duel_sub(g, code, duel_step_latents(s, 0)));
      duel_step_report(s, "code", NULL, DUEL_MEAN, off, DUEL_REPORT_SUM, 1);
      duel_step_descend(s, E, off);
    }
    duel_step_report(s, "grad_norm_e", NULL, DUEL_ROOT_LAST, duel_step_update(s, E), DUEL_REPORT_SUM, 1);
  }
  while (duel_step_shard(s)) {
    const duel_val g_loss = duel_bce_logits(g, duel_step_forward(s, D, duel_step_fake(s, &fakes)), 1);
    duel_step_report(s, "g_loss", "G loss", DUEL_LAST, g_loss, DUEL_REPORT_SUM, 1);
    duel_step_descend(s, G, g_loss);
  }
  duel_step_update(s, G);
  duel_step_average(s, G);
  duel_step_average(s, E);
}

// Σ of D's squared gradient on real items, R1 by the square of its definition: a penalty of second order.
static duel_val steepness(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  (void)penalty;
  const duel_val logits = duel_step_forward(s, at->net, at->real);
  duel_val slope;
  if (duel_grad(s->g, duel_sum(s->g, logits), 1, &at->real, &slope) != DUEL_OK) return DUEL_NONE;
  return squared(s->g, slope);
}
static const duel_key steep_keys[] = {DUEL_PENALTY_KEYS("1", NULL), {.name = NULL}};
static const duel_penalty steep[] = {
    {.kind = {"steep", "weight", steep_keys, "D's slope"}, .sides = DUEL_ON_BOTH, .passes = 1, .build = steepness},
    {.kind = {.name = NULL}}};
static const duel_table penalties = {steep, sizeof *steep, "penalty"};

static const duel_game mirror = {.kind = {.kind = {"mirror", NULL, keys, "G, its mirror E, and D"},
                                          .nets = nets,
                                          .generator = "G",
                                          .penalties = &penalties,
                                          .latent = true},
                                 .declare = declare,
                                 .items = items,
                                 .updates = updates,
                                 .train = train,
                                 .samples = G,
                                 .tests = -1};

static const char mirror_recipe[] =
    "recipe: 1\n"
    "game: mirror\n"
    "data: synthetic:ring\n"
    "latent: 4\n"
    "G: [dense: 16, batchnorm, relu, dense: 2]\n"
    "E: {layers: [dense: 16, relu, dropout: 0.1, dense: 4], ema: {half_life: 100 images},\n"
    "    optim: sgd}\n"
    "D: [dense: 16, leaky_relu: 0.2, dense: 1]\n"
    "ema: {half_life: 100 images}\n"
    "penalty: {steep: {weight: 0.1, every: 2}}\n"
    "train: {length: 40 steps, batch: 16}\n";

// ---- both
static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  scratch_setup(state);
  scratch_put("mirror.yaml", mirror_recipe, sizeof mirror_recipe - 1);
  return duel_game_add(&mirror) == DUEL_OK ? 0 : -1;
}

static duel_run *open_run(const char *recipe, const char *data, const char *from, int threads, const duel_set *set,
                          int n_set) {
  duel_run *run;
  must(duel_run_open(&run, &(duel_run_options){.recipe = recipe,
                                               .data = data,
                                               .backend = backend,
                                               .checkpoint = from,
                                               .threads = threads,
                                               .set = set,
                                               .n_set = n_set}));
  return run;
}

static void resumes(const char *recipe, const char *data, const duel_set *set, int n_set, int64_t half) {
  duel_run *run = open_run(recipe, data, NULL, 2, set, n_set);
  must(duel_run_advance(run, half));
  must(duel_run_save(run, scratch("half")));
  must(duel_run_advance(run, half));
  must(duel_run_save(run, scratch("whole")));
  duel_run_close(run);
  run = open_run(recipe, data, scratch("half"), 1, set, n_set);
  must(duel_run_advance(run, half));
  must(duel_run_save(run, scratch("rest")));
  duel_run_close(run);
  assert_true(scratch_same("whole", "rest"));
}

static void three_nets(void **state) {
  (void)state;
  char recipe[4096];
  snprintf(recipe, sizeof recipe, "%s", scratch("mirror.yaml"));
  resumes(recipe, NULL, NULL, 0, 7); // not at a multiple of 3
  resumes(recipe, NULL, &(duel_set){"train.shards", "4", NULL}, 1, 7);

  duel_run *run = open_run(recipe, NULL, NULL, 2, NULL, 0);
  const duel_run_info info = duel_run_describe(run);
  assert_int_equal(info.n_nets, 3);
  assert_string_equal(info.net[1].name, "E");
  assert_int_equal(info.net[1].parameters, 2 * 16 + 16 + 16 * 4 + 4);
  const duel_scalar *scalar;
  int n;
  must(duel_run_advance(run, 1)); // step 0: E moves
  assert_true(isfinite(duel_run_scalar(run, "code")) && duel_run_scalar(run, "grad_norm_e") > 0);
  must(duel_run_scalars(run, 1, &scalar, &n));
  must(duel_run_advance(run, 2)); // steps 1 and 2: it does not
  assert_true(isnan(duel_run_scalar(run, "code")) && isfinite(duel_run_scalar(run, "d_loss")));
  assert_true(duel_run_scalar(run, "penalty.steep") > 0); // of step 2
  must(duel_run_scalars(run, 1, &scalar, &n));
  must(duel_run_advance(run, 3));
  assert_true(isfinite(duel_run_scalar(run, "code")) && duel_run_scalar(run, "lr_e") == 0.0002);
  float points[2 * 5];
  must(duel_generate(run, (const uint64_t[]){0, 1, 2, 3, 4}, 5, points));
  for (int i = 0; i < 10; i++) assert_true(isfinite(points[i]));
  must(duel_run_save(run, scratch("six")));
  duel_run_close(run);

  duel_tensor_file f;
  must(duel_tensors_read(&f, scratch("six")));
  assert_string_equal(duel_tensors_meta(&f, "updates.E"), "2"); // of steps 0 and 3
  assert_string_equal(duel_tensors_meta(&f, "updates.G"), "6");
  assert_non_null(duel_tensors_find(&f, "E_ema.3.weight"));
  assert_non_null(duel_tensors_find(&f, "opt.E.0.weight.m"));
  assert_null(duel_tensors_find(&f, "opt.E.0.weight.v")); // sgd has one moment
  assert_non_null(duel_tensors_find(&f, "G_ema.1.running_mean"));
  duel_tensors_close(&f);

  must(duel_run_open(&run, &(duel_run_options){.checkpoint = scratch("six"), .sample_only = 1, .backend = backend}));
  float again[2 * 5];
  must(duel_generate(run, (const uint64_t[]){0, 1, 2, 3, 4}, 5, again));
  assert_memory_equal(points, again, sizeof points);
  FILE *out = tmpfile();
  must(duel_run_print(run, out, 0));
  fclose(out);
  duel_run_close(run);

  const duel_set label = {"D", "[label, dense: 1]", NULL};
  assert_int_equal(
      duel_run_open(&run, &(duel_run_options){.recipe = recipe, .backend = backend, .set = &label, .n_set = 1}),
      DUEL_ERR_USAGE);
  assert_message("D.0 label: the game mirror gives its nets no labels");
}

// A net's own average moves, whichever net it is.
static void average_of_d(void **state) {
  (void)state;
  static const duel_set set[] = {{"D.ema", "{half_life: 1 image}", NULL}, {"train.batch", "4", NULL}};
  duel_run *run = open_run("ring", NULL, NULL, 1, set, 2);
  must(duel_run_advance(run, 2));
  must(duel_run_save(run, scratch("averaged")));
  duel_run_close(run);
  duel_tensor_file f;
  must(duel_tensors_read(&f, scratch("averaged")));
  const duel_entry *d = duel_tensors_find(&f, "D.0.weight"), *average = duel_tensors_find(&f, "D_ema.0.weight");
  assert_true(d && average && d->bytes == average->bytes);
  double off = 0, size = 0; // of the weights one sixteenth is as old as the step before
  for (size_t i = 0; i < d->bytes / sizeof(float); i++) {
    const double x = (double)((const float *)d->data)[i], y = (double)((const float *)average->data)[i];
    off += (x - y) * (x - y);
    size += x * x;
  }
  assert_true(off > 0 && off < 1e-4 * size);
  duel_tensors_close(&f);
}

// ---- the classifier
static const char classifier[] = "recipe: 1\n"
                                 "game: classifier\n"
                                 "data: {path: synthetic:shapes, limit: 400}\n"
                                 "C: [flatten, dense: 64, relu, dropout: 0.1, dense: $classes]\n"
                                 "loss: {name: cross_entropy, label_smoothing: 0.05}\n"
                                 "optim: {lr: 0.005}\n"
                                 "train: {length: 60 steps, batch: 20, noise: 0.2}\n";

static void classes(void **state) {
  (void)state;
  scratch_put("classifier.yaml", classifier, sizeof classifier - 1);
  const char *recipe = scratch("classifier.yaml");
  const int steps = strcmp(backend, "cpu") ? 6 : 60;
  resumes(recipe, NULL, NULL, 0, 3);
  duel_run *run = open_run(recipe, NULL, NULL, 2, NULL, 0);
  const duel_scalar *scalar;
  int n;
  must(duel_run_advance(run, steps - 5));
  must(duel_run_scalars(run, 1, &scalar, &n));
  const double before = duel_run_scalar(run, "loss");
  assert_true(before > 0);        // until there is a further step
  must(duel_run_advance(run, 5)); // the mean over these
  assert_true(duel_run_scalar(run, "loss") != before);
  assert_true(duel_run_scalar(run, "loss") > 0 && duel_run_scalar(run, "accuracy") >= 0);
  if (steps == 60) assert_true(duel_run_scalar(run, "accuracy") > 0.5);
  assert_true(isnan(duel_run_scalar(run, "d_loss")));
  float item[28 * 28];
  assert_int_equal(duel_generate(run, &(uint64_t){0}, 1, item), DUEL_ERR_USAGE);
  assert_message("the game classifier draws no samples");
  duel_run_close(run);
}

// A net of zeros takes every item for the first class.
static void missed_classes(void **state) {
  (void)state;
  static const duel_set set[] = {{"C.init", "{name: constant, value: 0}", NULL}};
  scratch_put("classifier.yaml", classifier, sizeof classifier - 1);
  duel_run *run = open_run(scratch("classifier.yaml"), NULL, NULL, 2, set, 1);
  const duel_dataset *test = run->trainer->test;
  int of[4] = {0}, missed = 0, first = -1;
  for (int64_t i = 0; i < test->items; i++) of[test->labels[i]]++;
  for (int k = 3; k > 0; k--)
    if (of[k] >= 8) first = k, missed++;
  assert_true(missed > 0 && test->items == 40);
  must(duel_trainer_test(run->trainer));
  assert_true(duel_run_scalar(run, "test.missed") == missed && duel_run_scalar(run, "test.missed_class") == first);
  assert_true(duel_run_scalar(run, "test.accuracy") == of[0] / 40.0);
  duel_run_close(run);
}

// The built-in recipe, with few items.
static void builtin(void **state) {
  (void)state;
  static const duel_set set[] = {
      {"train.batch", "3", NULL}, {"data.limit", "30", NULL}, {"train.length", "4 steps", NULL}};
  resumes("classifier-28", "synthetic:shapes", set, 3, 2);
}

// Checkpoints made before the test set's fingerprint was kept in them go on; one of another test set does not.
static void older_checkpoint(void **state) {
  (void)state;
  static const char key[] = "data.test.fingerprint";
  scratch_put("classifier.yaml", classifier, sizeof classifier - 1);
  const char *recipe = scratch("classifier.yaml");
  duel_run *run = open_run(recipe, NULL, NULL, 2, NULL, 0);
  must(duel_run_advance(run, 1));
  must(duel_run_save(run, scratch("whole")));
  duel_run_close(run);
  for (int other = 0; other < 2; other++) {
    duel_tensor_file f;
    duel_meta meta[32];
    int n = 0;
    must(duel_tensors_read(&f, scratch("whole")));
    assert_non_null(duel_tensors_meta(&f, key));
    for (int i = 0; i < f.n_meta; i++)
      if (strcmp(f.meta[i].key, key) != 0 && strcmp(f.meta[i].key, "crc32c") != 0) meta[n++] = f.meta[i];
    if (other) meta[n++] = (duel_meta){key, "01234567"};
    must(duel_tensors_write(scratch("older"), f.entry, f.n, meta, n));
    duel_tensors_close(&f);
    const duel_run_options o = {.recipe = recipe, .checkpoint = scratch("older")};
    assert_int_equal(duel_run_open(&run, &o), other ? DUEL_ERR_DATA : DUEL_OK);
    if (other) assert_message("was tested on another set");
    if (!other) duel_run_close(run);
  }
}

static int notes;
static void count_notes(void *ctx, duel_run *run, const duel_train_event *e) {
  (void)ctx, (void)run;
  notes += e->kind == DUEL_EVENT_NOTE && strstr(e->text, "were taken for classes when this run began") != NULL;
}

// A run that began when folders that only count pictures were classes goes on: its fingerprint has labels in it.
static void older_folders(void **state) {
  (void)state;
  static uint8_t pixels[8 * 8 * 3], file[PICTURE_ROOM];
  static const duel_set set[] = {{"train.length", "2 steps", NULL}, {"output.sample", "0", NULL}};
  char path[1024], data[1024], older[16];
  mkdir(scratch("ffhq"), 0777);
  for (int i = 0; i < 8; i++) {
    draw_pixels(pixels, 8, 8, 3, i);
    snprintf(path, sizeof path, "ffhq/%05d", i * 1000);
    mkdir(scratch(path), 0777);
    snprintf(path, sizeof path, "ffhq/%05d/%05d.png", i * 1000, i * 1000 + i);
    scratch_put(path, file, make_png(file, &(png_kind){8, 8, 8, 2, 0, 0}, pixels));
  }
  snprintf(data, sizeof data, "%s", scratch("ffhq"));
  duel_run_options o = {.recipe = "mlp", .data = data, .backend = backend, .set = set, .n_set = 2};
  char outdir[1024], latest[1024];
  snprintf(outdir, sizeof outdir, "%s", scratch("counted"));
  must(duel_train(&(duel_train_options){.run = o, .outdir = outdir}, NULL));
  snprintf(latest, sizeof latest, "%s", scratch("counted/latest/checkpoint-00000002.safetensors"));
  duel_dataset *d;
  duel_tensor_file f;
  duel_meta meta[32];
  int n = 0;
  must(duel_dataset_open(&d, data, 0));
  snprintf(older, sizeof older, "%08x", (unsigned)d->older);
  assert_true(d->older && d->older != d->fingerprint);
  duel_dataset_close(d);
  must(duel_tensors_read(&f, latest));
  for (int i = 0; i < f.n_meta; i++)
    if (strcmp(f.meta[i].key, "crc32c") != 0)
      meta[n++] = strcmp(f.meta[i].key, "data.fingerprint") ? f.meta[i] : (duel_meta){"data.fingerprint", older};
  must(duel_tensors_write(latest, f.entry, f.n, meta, n));
  duel_tensors_close(&f);
  notes = 0;
  o.recipe = o.data = NULL;
  o.set = &(duel_set){"train.length", "3 steps", NULL};
  o.n_set = 1;
  must(
      duel_train(&(duel_train_options){.run = o, .outdir = outdir, .resume = "latest", .on_event = count_notes}, NULL));
  assert_int_equal(notes, 1);
  notes = 0; // from here on it has the present one
  o.set = &(duel_set){"train.length", "4 steps", NULL};
  must(
      duel_train(&(duel_train_options){.run = o, .outdir = outdir, .resume = "latest", .on_event = count_notes}, NULL));
  assert_int_equal(notes, 0);
}

// Two folders of pictures, which are two classes: read ahead from a file or in memory, the bits are the same.
static void streamed_labels(void **state) {
  (void)state;
  static uint8_t pixels[8 * 8 * 3], file[PICTURE_ROOM];
  static const duel_set set[] = {{"train.length", "12 steps", NULL},
                                 {"train.batch", "5", NULL},
                                 {"data.limit", "0", NULL},
                                 {"run.data_memory", "1K", NULL}};
  mkdir(scratch("classes"), 0777);
  mkdir(scratch("classes/a"), 0777);
  mkdir(scratch("classes/b"), 0777);
  for (int i = 0; i < 24; i++) {
    char name[64];
    snprintf(name, sizeof name, "classes/%c/%d.png", "ab"[i % 2], i);
    draw_pixels(pixels, 8, 8, 3, i % 2 ? i : 40 - i);
    scratch_put(name, file, make_png(file, &(png_kind){8, 8, 8, 2, 0, 0}, pixels));
  }
  char data[4096];
  snprintf(data, sizeof data, "%s", scratch("classes"));
  scratch_put("classifier.yaml", classifier, sizeof classifier - 1);
  for (int streamed = 0; streamed < 2; streamed++) {
    duel_run *run = open_run(scratch("classifier.yaml"), data, NULL, 2, set, 3 + streamed);
    assert_int_equal(duel_run_describe(run).items, 21); // of 24 three are the test set
    must(duel_run_advance(run, 12));
    must(duel_run_save(run, scratch(streamed ? "streamed" : "resident")));
    duel_run_close(run);
  }
  assert_true(scratch_same("streamed", "resident"));
}

static void refused(const char *text, const char *data, duel_status status, const char *message) {
  duel_run *run;
  scratch_put("refused.yaml", text, strlen(text));
  assert_int_equal(
      duel_run_open(&run, &(duel_run_options){.recipe = scratch("refused.yaml"), .data = data, .plan_only = 1}),
      status);
  assert_message(message);
}

static void what_does_not_fit(void **state) {
  (void)state;
#define CLASSIFIER "recipe: 1\ngame: classifier\ndata: synthetic:shapes\ntrain: {length: 1}\n"
  refused(CLASSIFIER "C: [flatten, dense: 3]\n", NULL, DUEL_ERR_USAGE,
          "C yields 3 an item but must yield one number a class, and the data have 4; let it end with dense: $classes");
  refused(CLASSIFIER "C: [flatten, dense: 4]\nlatent: 3\n", NULL, DUEL_ERR_USAGE, "latent");
  refused(CLASSIFIER "C: [flatten, dense: 4]\noutput: {sample: 1}\n", NULL, DUEL_ERR_USAGE,
          "output.sample: the game classifier has no such key, gan has");
  refused(CLASSIFIER "C: [flatten, dense: 4]\nloss: bce\n", NULL, DUEL_ERR_USAGE, "loss: bce: no such loss");
  refused("recipe: 1\nbase: mlp\ndata: {test: x}\n", NULL, DUEL_ERR_USAGE,
          "data.test: the game gan has no such key, classifier has");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(three_nets),     cmocka_unit_test(average_of_d),    cmocka_unit_test(classes),
      cmocka_unit_test(missed_classes), cmocka_unit_test(builtin),         cmocka_unit_test(older_checkpoint),
      cmocka_unit_test(older_folders),  cmocka_unit_test(streamed_labels), cmocka_unit_test(what_does_not_fit)};
  return cmocka_run_group_tests(tests, set_up, scratch_teardown);
}
