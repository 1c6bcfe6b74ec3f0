// duel_train: training into a run directory. What happens when, and what is told to whom.
//
//   open or resume -> reals.png, fakes-0, checkpoint-0 -> per step: advance; then whatever is due: bar, tick, epoch's
//   end, picture, checkpoint -> last picture and checkpoint
//
// A device may be some steps behind (gan/trainer.h): all of these but the bar wait for it, so between ticks the host
// does not.
//
// Failing to write a log line, a picture or a checkpoint is a warning: training goes on and tries again when the next
// is due; three checkpoints lost in a row end the run. Before the first step such a failure is an error at once.
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/host.h"
#include "base/mem.h"
#include "io/file.h"
#include "run/rundir.h"

enum { CHECKPOINTS_LOST = 3 };

typedef struct training {
  const duel_train_options *o;
  duel_run_options options; // o->run, for a dry run with plan_only
  duel_train_result *result;
  duel_run *run;
  duel_rundir dir;
  bool resumed;
  double began, last_bar; // seconds of a monotonic clock
  double tick_began;
  int64_t first_step, tick_step; // where this process and the present tick began
  int64_t saved;                 // step of the newest checkpoint, -1: none
  int64_t drawn;                 // step of the newest picture
  int lost;                      // checkpoints lost in a row
  size_t device_told;            // of the device's warning
  int ticks_lost;                // lines of stats.jsonl lost in a row
} training;

static double resident_mib(void) {
  long pages = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f) return 0;
  int got = fscanf(f, "%ld %ld", &pages, &resident);
  fclose(f);
  return got == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576 : 0;
}

// Of the device, where it has memory of its own.
static double device_mib(const training *t) {
  const duel_trainer *trainer = t->run->trainer;
  return trainer->api->host_memory ? 0 : (double)duel_memory_total(&trainer->memory) / 1048576;
}

// ---- telling

// Speed is that of the present tick once it has some steps, else that of the whole process.
static void emit(training *t, int kind, const char *text) {
  if (!t->o->on_event) return;
  duel_train_event e = {.kind = kind, .text = text, .elapsed_s = duel_now() - t->began, .rss_mib = resident_mib()};
  if (t->run) {
    e.stats = duel_run_latest(t->run);
    e.gpu_mib = device_mib(t);
    int64_t steps = e.stats.step - t->first_step;
    if (steps > 0) e.ms_per_step = 1000 * e.elapsed_s / (double)steps;
    int64_t in_tick = e.stats.step - t->tick_step;
    if (in_tick > 0) e.ms_per_step = 1000 * (duel_now() - t->tick_began) / (double)in_tick;
    if (e.ms_per_step > 0)
      e.images_per_sec = 1000 * (double)duel_trainer_items_per_step(t->run->trainer) / e.ms_per_step;
    e.eta_s = 1e-3 * e.ms_per_step * (double)(e.stats.steps - e.stats.step);
  }
  t->o->on_event(t->o->ctx, t->run, &e);
}

static void on_data(void *ctx, const char *what, int64_t done, int64_t items) {
  const training *t = ctx;
  const duel_train_event e = {
      .kind = DUEL_EVENT_DATA, .text = what, .done = done, .items = items, .elapsed_s = duel_now() - t->began};
  if (t->o->on_event) t->o->on_event(t->o->ctx, NULL, &e);
}

static void on_note(void *ctx, const char *text) {
  emit(ctx, DUEL_EVENT_NOTE, text); // there may be no log yet
}

static void append_log(training *t, const char *line) {
  // The log is a courtesy: its failure is told once by the statistics that fail with it, and never stops training.
  if (t->dir.lock >= 0) (void)duel_rundir_append(&t->dir, "log.txt", line);
}

static void warn(training *t) {
  char text[1024];
  snprintf(text, sizeof text, "%s", duel_last_error());
  append_log(t, text);
  emit(t, DUEL_EVENT_WARNING, text);
}

// What the device does otherwise than asked: at the beginning, and once more if it grows.
static void tell_device(training *t) {
  const char *text = duel_run_describe(t->run).warning;
  const size_t told = t->device_told;
  t->device_told = strlen(text);
  if (t->device_told <= told) return;
  append_log(t, text);
  emit(t, DUEL_EVENT_WARNING, text);
}

static void note(training *t, const char *text) {
  append_log(t, text);
  emit(t, DUEL_EVENT_NOTE, text);
}

// A full disk would warn at each tick: it is told once, and again when it is over.
static void keep_stats(training *t, const char *line) {
  char text[128];
  if (duel_rundir_append(&t->dir, "stats.jsonl", line) != DUEL_OK) {
    if (t->ticks_lost++ == 0) warn(t);
    return;
  }
  if (t->ticks_lost == 0) return;
  snprintf(text, sizeof text, "stats.jsonl is written again; it misses %d line%s", t->ticks_lost,
           t->ticks_lost == 1 ? "" : "s");
  t->ticks_lost = 0;
  note(t, text);
}

static duel_status tick(training *t) {
  duel_stats s;
  tell_device(t);
  DUEL_TRY(duel_run_stats(t->run, &s));
  double at = duel_now(), ms = 1000 * (at - t->tick_began) / (double)(s.step - t->tick_step);
  double rate = 1000 * (double)duel_trainer_items_per_step(t->run->trainer) / ms;
  time_t wall = time(NULL);
  struct tm utc;
  char when[32], line[1024];
  gmtime_r(&wall, &utc);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
  snprintf(line, sizeof line,
           "{\"step\": %" PRId64 ", \"epoch\": %.6g, \"kimg\": %.6g, \"d_loss\": %.9g, \"g_loss\": %.9g, "
           "\"d_loss_real\": %.9g, \"d_loss_fake\": %.9g, \"penalty\": 0, \"score_real\": %.9g, \"score_fake\": %.9g, "
           "\"sign_real\": %.6g, \"sign_fake\": %.6g, \"grad_norm_d\": %.9g, \"grad_norm_g\": %.9g, \"lr_d\": %.9g, "
           "\"lr_g\": %.9g, \"augment_p\": 0, \"ms_per_step\": %.4g, \"images_per_sec\": %.5g, \"rss_mib\": %.5g, "
           "\"gpu_mib\": %.5g, \"elapsed_s\": %.3f, \"eta_s\": %.3f, \"time\": \"%s\"}",
           s.step, s.epoch, s.kimg, s.d_loss, s.g_loss, s.d_loss_real, s.d_loss_fake, s.score_real, s.score_fake,
           s.sign_real, s.sign_fake, s.grad_norm_d, s.grad_norm_g, s.lr_d, s.lr_g, ms, rate, resident_mib(),
           device_mib(t), at - t->began, 1e-3 * ms * (double)(s.steps - s.step), when);
  keep_stats(t, line);
  snprintf(line, sizeof line, "step %" PRId64 "  epoch %.3f  D loss %.4f  G loss %.4f  %.0f images/s  %.2f ms/step",
           s.step, s.epoch, s.d_loss, s.g_loss, rate, ms);
  append_log(t, line);
  emit(t, DUEL_EVENT_TICK, NULL);
  t->tick_step = s.step;
  t->tick_began = at;
  return DUEL_OK;
}

static duel_status picture(training *t) {
  char path[3200];
  int64_t step = t->run->trainer->step;
  if (t->drawn == step) return DUEL_OK;
  DUEL_TRY(duel_rundir_fakes(&t->dir, t->run, path, sizeof path));
  t->drawn = step;
  if (*path) emit(t, DUEL_EVENT_SAMPLE, path);
  return DUEL_OK;
}

static duel_status checkpoint(training *t) {
  char name[64], path[3200];
  int64_t step = t->run->trainer->step;
  if (t->saved == step) return DUEL_OK;
  duel_checkpoint_name(name, step);
  DUEL_TRY(duel_rundir_file(&t->dir, name, path, sizeof path));
  duel_status status = duel_run_save(t->run, path);
  if (status != DUEL_OK) {
    if (++t->lost < CHECKPOINTS_LOST) return status;
    return duel_context(status, "%d checkpoints in a row could not be written", CHECKPOINTS_LOST);
  }
  t->lost = 0;
  t->saved = step;
  snprintf(t->result->checkpoint, sizeof t->result->checkpoint, "%s", path);
  duel_rundir_prune(&t->dir, t->run->trainer->recipe->output.keep);
  emit(t, DUEL_EVENT_CHECKPOINT, path);
  return DUEL_OK;
}

// ---- beginning

static duel_status write_recipe(training *t) {
  char path[3200];
  const char *text = t->run->trainer->recipe->text;
  DUEL_TRY(duel_rundir_file(&t->dir, "recipe.yaml", path, sizeof path));
  return duel_file_write(path, text, strlen(text));
}

static duel_status start_new(training *t) {
  DUEL_TRY(duel_run_open(&t->run, &t->options));
  if (t->o->dry_run) return DUEL_OK;
  const duel_trainer *trainer = t->run->trainer;
  const char *outdir = t->o->outdir ? t->o->outdir : "runs";
  DUEL_TRY(duel_rundir_create(&t->dir, outdir, trainer->recipe->name, trainer->data->name, trainer->recipe->train.batch,
                              t->o->desc));
  return write_recipe(t);
}

// Sorts the differences between the checkpoint's recipe and the one asked for.
typedef struct differences {
  char allowed[2048], refused[2048];
  bool length, same_data;
} differences;

static void add_line(char *text, size_t n, const char *key, const char *was, const char *is) {
  size_t length = strlen(text);
  snprintf(text + length, n - length, "%s%s: %s -> %s", length ? "\n" : "", key, was, is);
}

static void sort_difference(void *ctx, const char *key, const char *was, const char *is) {
  differences *d = ctx;
  bool length = !strcmp(key, "train.length");
  d->length |= length;
  if (!strncmp(key, "run.", 4)) return; // where it runs is no part of what is trained
  bool moved = d->same_data && !strcmp(key, "data.path");
  if (length || moved || !strncmp(key, "output.", 7))
    add_line(d->allowed, sizeof d->allowed, key, was, is);
  else
    add_line(d->refused, sizeof d->refused, key, was, is);
}

static bool spans_the_run(const duel_schedule *s) {
  return s->curve != DUEL_CURVE_CONSTANT && s->over.n == 0;
}

static bool fixed_length(const duel_recipe *r) {
  bool fixed = false;
  for (int i = 0; i < r->n_nets; i++) fixed |= spans_the_run(duel_optimizer_lr(&r->net[i].optim));
  return fixed;
}

// What may change on resume, and what may not. Data may have moved: their fingerprint tells that they are the same.
static duel_status check_resume(training *t, const char *text, const duel_recipe *r, bool same_data, const char *path) {
  differences d = {.same_data = same_data};
  DUEL_TRY(duel_recipe_compare(text, r->text, sort_difference, &d));
  if (*d.refused)
    return duel_fail(DUEL_ERR_USAGE,
                     "%s was trained with another recipe; a resume may change length, output, threads, backend, "
                     "device and precision only. To start anew from its weights use --init %s\n%s",
                     path, path, d.refused);
  if (d.length && fixed_length(r))
    return duel_fail(DUEL_ERR_USAGE,
                     "a new length cannot be resumed: optim.lr changes over the whole run, so its past would "
                     "have been different; give the schedule an `over`, or start anew with --init %s",
                     path);
  if (*d.allowed) note(t, d.allowed);
  return DUEL_OK;
}

// A change of what decides the bits is no error, but worth a word.
static void compare_identity(training *t, const duel_tensor_file *f) {
  const duel_trainer *trainer = t->run->trainer;
  const char *was = duel_tensors_meta(f, "backend.identity"), *is = trainer->api->identity(trainer->backend);
  char text[512];
  if (was && !strcmp(was, is)) return;
  snprintf(text, sizeof text, "the checkpoint was made by %s, this is %s: the bits may differ from an unbroken run's",
           was ? was : "an unknown backend", is);
  emit(t, DUEL_EVENT_WARNING, text);
}

static bool sets_precision(const duel_run_options *o) {
  bool given = o->recipe != NULL; // which has one of its own
  for (int i = 0; i < o->n_set; i++) given = given || !strcmp(o->set[i].key, "run.precision");
  return given;
}

static duel_status resume_with(training *t, const duel_run_options *o, const duel_tensor_file *f, const char *path) {
  const char *text, *name;
  duel_recipe *recipe;
  duel_dataset *data;
  DUEL_TRY(duel_checkpoint_recipe(f, path, &text, &name));
  DUEL_TRY(duel_run_resolve(&recipe, &data, o, o->recipe ? NULL : text, o->recipe ? NULL : name));
  const char *fingerprint = duel_tensors_meta(f, "data.fingerprint");
  char here[16];
  snprintf(here, sizeof here, "%08x", (unsigned)data->fingerprint);
  bool same_data = fingerprint && !strcmp(fingerprint, here);
  duel_status status = check_resume(t, text, recipe, same_data, path); // before anything is built that would not fit
  if (status != DUEL_OK) {
    duel_recipe_close(recipe);
    duel_dataset_close(data);
    return status;
  }
  DUEL_TRY(duel_run_build(&t->run, o, recipe, data));
  DUEL_TRY(duel_trainer_load(t->run->trainer, f, path, true));
  compare_identity(t, f);
  return DUEL_OK;
}

// In the precision in which the run has been trained, unless another is asked for.
static duel_status resume_from(training *t, const duel_tensor_file *f, const char *path) {
  duel_run_options o = t->options;
  const char *precision = duel_tensors_meta(f, "precision");
  if (o.init) return duel_fail(DUEL_ERR_USAGE, "--resume goes on, --init starts anew: give one of them");
  if (!precision || !strcmp(precision, "auto") || sets_precision(&o)) return resume_with(t, &o, f, path);
  duel_set *set = duel_calloc((size_t)o.n_set + 1, sizeof *set);
  if (!set) return duel_fail_memory("a resume", ((size_t)o.n_set + 1) * sizeof *set);
  set[0] = (duel_set){"run.precision", precision, path};
  for (int i = 0; i < o.n_set; i++) set[i + 1] = o.set[i];
  o.set = set;
  o.n_set++;
  const duel_status status = resume_with(t, &o, f, path);
  duel_free(set);
  return status;
}

// The folder of a checkpoint, without links: `latest` names the run behind it. A copy that lies elsewhere is refused,
// for a resume writes around it.
static duel_status find_run(const char *checkpoint, char real[PATH_MAX]) {
  char folder[3072], recipe[3200];
  const char *slash = strrchr(checkpoint, '/'), *name = slash ? slash + 1 : checkpoint;
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - checkpoint) + 1 : 2, slash ? checkpoint : "./");
  snprintf(recipe, sizeof recipe, "%srecipe.yaml", folder);
  if (strncmp(name, "checkpoint-", strlen("checkpoint-")) != 0 || access(recipe, F_OK) != 0)
    return duel_fail(
        DUEL_ERR_USAGE,
        "%s lies in no run directory (with a recipe.yaml beside it), where a resume goes on; to start anew "
        "from its weights use --init %s",
        checkpoint, checkpoint);
  if (duel_checkpoint_step(checkpoint) < 0)
    return duel_fail(DUEL_ERR_USAGE,
                     "%s is no present checkpoint of its run, by its name, so a resume would mix two pasts; to start "
                     "anew from its weights use --init %s",
                     checkpoint, checkpoint);
  return realpath(folder, real) ? DUEL_OK : duel_fail(DUEL_ERR_IO, "%s cannot be found", folder);
}

static duel_status start_resumed(training *t) {
  char path[3200], real[PATH_MAX], text[1024];
  DUEL_TRY(duel_find_checkpoint(t->o->resume, t->o->outdir, path, sizeof path, text, sizeof text));
  DUEL_TRY(find_run(path, real));
  snprintf(t->result->directory, sizeof t->result->directory, "%s", real);
  t->resumed = true;
  if (!t->o->dry_run) DUEL_TRY(duel_rundir_open(&t->dir, real));

  if (strcmp(path, t->o->resume) != 0) { // a run: say if its newest checkpoint could not be read
    DUEL_TRY(duel_rundir_newest(real, path, sizeof path, text, sizeof text));
    if (*text) emit(t, DUEL_EVENT_WARNING, text);
  }
  duel_tensor_file f;
  DUEL_TRY(duel_tensors_read(&f, path));
  duel_status status = resume_from(t, &f, path);
  duel_tensors_close(&f);
  DUEL_TRY(status);
  t->saved = t->run->trainer->step;
  if (duel_checkpoint_step(path) != t->saved)
    return duel_fail(DUEL_ERR_DATA, "%s holds step %" PRId64 ", which its name denies; rename it", path, t->saved);
  snprintf(t->result->checkpoint, sizeof t->result->checkpoint, "%s", path);
  return DUEL_OK;
}

// Makes the directory that of the step from which the run goes on.
static duel_status go_back(training *t) {
  char text[256];
  const duel_status status = duel_rundir_set_aside(&t->dir, t->saved, text, sizeof text);
  if (*text) { // what was done is told, also where something failed after it
    char error[1024];
    snprintf(error, sizeof error, "%s", duel_last_error());
    note(t, text);
    if (status != DUEL_OK) return duel_fail(status, "%s", error);
  }
  DUEL_TRY(status);
  DUEL_TRY(write_recipe(t));
  return duel_rundir_cut(&t->dir, t->saved);
}

// ---- the loop

// True if the step that has just ended passed a multiple of the length.
static bool due(const duel_trainer *t, duel_length l) {
  if (l.n <= 0) return false;
  double per_step = (double)duel_trainer_items_per_step(t), images = l.n;
  switch (l.unit) {
  case DUEL_STEPS:
    return t->step % (int64_t)(l.n < 1 ? 1 : l.n) == 0;
  case DUEL_EPOCHS:
    images *= (double)t->items;
    break;
  case DUEL_KIMG:
    images *= 1000;
    break;
  case DUEL_IMAGES:
    break;
  }
  return floor((double)t->step * per_step / images) > floor((double)(t->step - 1) * per_step / images);
}

static void soften(training *t, duel_status *status) {
  if (*status != DUEL_ERR_IO || t->lost >= CHECKPOINTS_LOST) return;
  warn(t);
  *status = DUEL_OK;
}

static duel_status after_step(training *t) {
  const duel_trainer *trainer = t->run->trainer;
  const duel_recipe *r = trainer->recipe;
  bool last = duel_run_done(t->run);
  if (due(trainer, r->output.tick) || last) DUEL_TRY(tick(t));
  if (due(trainer, (duel_length){1, DUEL_EPOCHS})) {
    DUEL_TRY(duel_trainer_settle(t->run->trainer));
    emit(t, DUEL_EVENT_EPOCH, NULL);
  }
  duel_status status = DUEL_OK;
  if (due(trainer, r->output.sample)) status = picture(t);
  soften(t, &status);
  DUEL_TRY(status);
  if (due(trainer, r->output.checkpoint)) status = checkpoint(t);
  soften(t, &status);
  DUEL_TRY(status);
  if (duel_now() - t->last_bar >= 0.05) {
    t->last_bar = duel_now();
    emit(t, DUEL_EVENT_STEP, NULL);
  }
  return DUEL_OK;
}

static duel_status loop(training *t) {
  while (!duel_run_done(t->run)) {
    DUEL_TRY(duel_run_advance(t->run, 1));
    DUEL_TRY(after_step(t));
    if (t->o->request && *t->o->request == 1) {
      t->result->stopped = 1;
      break;
    }
    if (t->o->request && *t->o->request == 2) {
      *t->o->request = 0;
      duel_status status = checkpoint(t);
      soften(t, &status);
      DUEL_TRY(status);
    }
    if (t->o->max_seconds > 0 && duel_now() - t->began >= t->o->max_seconds && !duel_run_done(t->run)) {
      t->result->stopped = 2;
      break;
    }
  }
  return DUEL_OK;
}

static void log_beginning(training *t) {
  const duel_trainer *trainer = t->run->trainer;
  const duel_recipe *r = trainer->recipe;
  char line[1024];
  snprintf(line, sizeof line,
           "duel %s %s at step %" PRId64 " of %" PRId64 ": recipe %s, data %s, batch %" PRId64 ", seed %" PRIu64,
           duel_version(), t->resumed ? "resumes" : "begins", trainer->step, trainer->steps, r->name,
           trainer->data->name, r->train.batch, r->train.seed);
  append_log(t, line);
  append_log(t, trainer->api->describe(trainer->backend));
}

static duel_status train(training *t) {
  DUEL_TRY(t->o->resume ? start_resumed(t) : start_new(t));
  const duel_trainer *trainer = t->run->trainer;
  t->first_step = t->tick_step = trainer->step;
  t->result->fixed_length = fixed_length(trainer->recipe);
  if (t->o->dry_run) {
    emit(t, DUEL_EVENT_START, t->result->directory);
    tell_device(t);
    return DUEL_OK;
  }
  if (duel_run_done(t->run)) {
    t->result->stopped = 3;
    return DUEL_OK;
  }
  log_beginning(t);
  emit(t, DUEL_EVENT_START, t->dir.path);
  tell_device(t);
  if (t->resumed) {
    DUEL_TRY(go_back(t));
  } else {
    DUEL_TRY(duel_rundir_reals(&t->dir, t->run));
    DUEL_TRY(checkpoint(t));
    if (trainer->recipe->output.sample.n > 0) DUEL_TRY(picture(t));
    snprintf(t->result->directory, sizeof t->result->directory, "%s", t->dir.path);
    if (duel_rundir_point_latest(&t->dir, t->o->outdir ? t->o->outdir : "runs") != DUEL_OK)
      warn(t); // not all have links
  }
  t->tick_began = duel_now();
  DUEL_TRY(loop(t));
  if (t->tick_step < trainer->step) DUEL_TRY(tick(t));
  duel_status status = trainer->recipe->output.sample.n > 0 ? picture(t) : DUEL_OK;
  soften(t, &status);
  DUEL_TRY(status);
  DUEL_TRY(checkpoint(t));
  emit(t, DUEL_EVENT_END, t->result->checkpoint);
  return DUEL_OK;
}

duel_status duel_train(const duel_train_options *options, duel_train_result *result) {
  duel_train_result ignored;
  training t = {.o = options,
                .options = options->run,
                .result = result ? result : &ignored,
                .dir.lock = -1,
                .saved = -1,
                .drawn = -1};
  if (options->dry_run) t.options.plan_only = 1;
  if (!t.options.on_data && !t.options.on_note) {
    t.options.on_data = on_data;
    t.options.on_note = on_note;
    t.options.data_ctx = &t;
  }
  *t.result = (duel_train_result){.step = 0};
  t.began = t.tick_began = duel_now();
  duel_status status = train(&t);
  if (status != DUEL_OK && t.dir.lock >= 0) {
    char text[4096];
    snprintf(text, sizeof text, "error: %s", duel_last_error());
    append_log(&t, text);
    duel_fail(status, "%s", text + strlen("error: ")); // logging may have left a message of its own
  }
  if (t.run) t.result->step = t.run->trainer->settled;
  if (t.dir.lock >= 0 && !*t.result->directory) { // a start that failed leaves nothing behind
    duel_rundir_discard(&t.dir);
    *t.result->checkpoint = 0;
  }
  duel_rundir_close(&t.dir);
  duel_run_close(t.run);
  return status;
}
