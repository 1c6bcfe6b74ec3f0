// Who hears what of a training: its events, log.txt and stats.jsonl. Scalars go to all of them by their names: a new
// one needs nothing here.
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/host.h"
#include "run/training.h"

static double resident_mib(void) {
  long pages = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f) return 0;
  int got = fscanf(f, "%ld %ld", &pages, &resident);
  fclose(f);
  return got == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576 : 0;
}

// Of the device, where it has memory of its own.
static double device_mib(const duel_training *t) {
  const duel_trainer *trainer = t->run->trainer;
  return trainer->api->host_memory ? 0 : (double)duel_memory_total(&trainer->memory) / 1048576;
}

// Of the present tick once it has some steps, else of the whole process; 0 before there are any.
static double ms_per_step(const duel_training *t, int64_t step, double now) {
  if (step > t->tick_step) return 1000 * (now - t->tick_began) / (double)(step - t->tick_step);
  return step > t->first_step ? 1000 * (now - t->began) / (double)(step - t->first_step) : 0;
}

static double images_per_sec(const duel_training *t, double ms) {
  return ms > 0 ? 1000 * (double)duel_trainer_items_per_step(t->run->trainer) / ms : 0;
}

static double seconds_left(const duel_stats *s, double ms) {
  return 1e-3 * ms * (double)(s->steps - s->step);
}

static void tell(duel_training *t, int kind, const char *text, const char *alarm) {
  if (!t->o->on_event) return;
  duel_train_event e = {
      .kind = kind, .text = text, .alarm = alarm, .elapsed_s = duel_now() - t->began, .rss_mib = resident_mib()};
  if (t->run) {
    e.stats = duel_run_latest(t->run);
    e.n_scalars = duel_scalars_list(&t->run->trainer->vars_of_step.scalars, &e.scalars);
    e.gpu_mib = device_mib(t);
    e.ms_per_step = ms_per_step(t, e.stats.step, duel_now());
    e.images_per_sec = images_per_sec(t, e.ms_per_step);
    e.eta_s = seconds_left(&e.stats, e.ms_per_step);
  }
  t->o->on_event(t->o->ctx, t->run, &e);
}

void duel_tell(duel_training *t, int kind, const char *text) {
  tell(t, kind, text, NULL);
}

void duel_tell_data(void *ctx, const char *what, int64_t done, int64_t items) {
  const duel_training *t = ctx;
  const duel_train_event e = {
      .kind = DUEL_EVENT_DATA, .text = what, .done = done, .items = items, .elapsed_s = duel_now() - t->began};
  if (t->o->on_event) t->o->on_event(t->o->ctx, NULL, &e);
}

// The data are opened before there is a log; without memory a note is not kept for it.
void duel_tell_data_note(void *ctx, const char *text) {
  duel_training *t = ctx;
  struct duel_note *note = duel_pool_alloc(&t->pool, sizeof *note);
  duel_tell(t, DUEL_EVENT_NOTE, text);
  if (!note || !(note->text = duel_pool_text(&t->pool, text, strlen(text)))) return;
  if (!t->last_note) t->last_note = &t->first_note;
  *t->last_note = note;
  t->last_note = &note->next;
}

void duel_tell_early(duel_training *t) {
  for (const struct duel_note *note = t->first_note; note; note = note->next) duel_tell_log(t, note->text);
  t->first_note = NULL;
  t->last_note = NULL;
}

void duel_tell_log(duel_training *t, const char *line) {
  // The log is a courtesy: its failure is told once by the statistics that fail with it, and never stops training.
  if (t->dir.lock >= 0) (void)duel_rundir_append(&t->dir, "log.txt", line);
}

void duel_tell_warning(duel_training *t, const char *text) {
  duel_tell_log(t, text);
  duel_tell(t, DUEL_EVENT_WARNING, text);
}

void duel_tell_failure(duel_training *t) {
  char text[1024];
  snprintf(text, sizeof text, "%s", duel_last_error());
  duel_tell_warning(t, text);
}

// What the device does otherwise than asked: at the beginning, and once more if it grows.
void duel_tell_device(duel_training *t) {
  const char *text = duel_run_describe(t->run).warning;
  const size_t told = t->device_told;
  t->device_told = strlen(text);
  if (t->device_told > told) duel_tell_warning(t, text);
}

void duel_tell_note(duel_training *t, const char *text) {
  duel_tell_log(t, text);
  duel_tell(t, DUEL_EVENT_NOTE, text);
}

static void tell_alarm(void *training, const char *name, const char *text) {
  duel_training *t = training;
  char line[DUEL_ALARM_TEXT + 128];
  snprintf(line, sizeof line, "alarm %s at step %" PRId64 ": %s", name, t->run->trainer->settled, text);
  duel_tell_log(t, line);
  tell(t, DUEL_EVENT_ALARM, text, name);
}

duel_status duel_tell_alarms(duel_training *t) {
  DUEL_TRY(duel_look_open(&t->look, t->run->trainer, t->o->dry_run));
  duel_alarms_begin(&t->alarms, t->run->trainer, &t->look, tell_alarm, t);
  return DUEL_OK;
}

// A full disk would warn at each tick: it is told once, and again when it is over.
static void keep_line(duel_training *t, const char *line) {
  char text[128];
  if (duel_rundir_append(&t->dir, "stats.jsonl", line) != DUEL_OK) {
    if (t->ticks_lost++ == 0) duel_tell_failure(t);
    return;
  }
  if (t->ticks_lost == 0) return;
  snprintf(text, sizeof text, "stats.jsonl is written again; it misses %d line%s", t->ticks_lost,
           t->ticks_lost == 1 ? "" : "s");
  t->ticks_lost = 0;
  duel_tell_note(t, text);
}

// ---- ticks

typedef struct tick { // what a tick is told with
  duel_stats stats;
  const duel_scalar *scalar;
  int n;
  double at, ms_per_step, images_per_sec;
} tick;

static void stats_line(duel_training *t, const tick *k) {
  char line[8192], when[32];
  const time_t wall = time(NULL);
  struct tm utc;
  gmtime_r(&wall, &utc);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
  duel_json_writer w = {.dst = line, .room = sizeof line};
  duel_json_object(&w, NULL);
  duel_json_integer(&w, "step", k->stats.step);
  duel_json_number(&w, "epoch", k->stats.epoch);
  duel_json_number(&w, "kimg", k->stats.kimg);
  for (int i = 0; i < k->n; i++) duel_json_number(&w, k->scalar[i].name, k->scalar[i].value);
  duel_json_number(&w, "ms_per_step", k->ms_per_step);
  duel_json_number(&w, "images_per_sec", k->images_per_sec);
  duel_json_number(&w, "rss_mib", resident_mib());
  duel_json_number(&w, "gpu_mib", device_mib(t));
  duel_json_number(&w, "elapsed_s", k->at - t->began);
  duel_json_number(&w, "eta_s", seconds_left(&k->stats, k->ms_per_step));
  duel_json_text(&w, "time", when);
  duel_json_end(&w);
  keep_line(t, line);
}

static void log_line(duel_training *t, const tick *k) {
  char line[1024];
  int n = snprintf(line, sizeof line, "step %" PRId64 "  epoch %.3f", k->stats.step, k->stats.epoch);
  for (int i = 0; i < k->n && n < 900; i++)
    if (k->scalar[i].label)
      n += snprintf(line + n, sizeof line - (size_t)n, "  %s %.4f", k->scalar[i].label, k->scalar[i].value);
  snprintf(line + n, sizeof line - (size_t)n, "  %.0f images/s  %.2f ms/step", k->images_per_sec, k->ms_per_step);
  duel_tell_log(t, line);
}

static void event(duel_training *t, const tick *k) {
  (void)k;
  duel_tell(t, DUEL_EVENT_TICK, NULL);
}

static void alarms(duel_training *t, const tick *k) {
  duel_alarms_tick(&t->alarms, k->stats.step, k->scalar, k->n, tell_alarm, t);
}

// Whatever wants to hear of every tick.
static void (*const sinks[])(duel_training *t, const tick *k) = {stats_line, log_line, event, alarms};

duel_status duel_tell_tick(duel_training *t) {
  tick k = {.at = duel_now()};
  duel_tell_device(t);
  DUEL_TRY(duel_run_stats(t->run, &k.stats));
  k.ms_per_step = ms_per_step(t, k.stats.step, k.at);
  k.images_per_sec = images_per_sec(t, k.ms_per_step);
  DUEL_TRY(duel_look_take(&t->look, t->run->trainer));
  duel_scalars *scalars = &t->run->trainer->vars_of_step.scalars;
  k.n = duel_scalars_list(scalars, &k.scalar);
  for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++) sinks[i](t, &k);
  duel_scalars_tick(scalars);
  t->tick_step = k.stats.step;
  t->tick_began = k.at;
  return DUEL_OK;
}
