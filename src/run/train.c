// duel_train: training into a run directory.
//
//   open or resume -> reals.png, fakes-0, checkpoint-0 -> per step: advance; then whatever is due (duties.c)
//                  -> last picture and checkpoint
//
// A device may be some steps behind (trainer.h): all duties but the bar wait for it, so between ticks the host does
// not.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/text.h"
#include "gan/penalties.h"
#include "io/file.h"
#include "run/training.h"

static duel_status start_new(duel_training *t) {
  DUEL_TRY(duel_run_open(&t->run, &t->options));
  if (t->o->dry_run) return DUEL_OK;
  const duel_trainer *trainer = t->run->trainer;
  const char *outdir = t->o->outdir ? t->o->outdir : "runs";
  DUEL_TRY(duel_rundir_create(&t->dir, outdir, trainer->recipe->name, trainer->data->name, trainer->recipe->train.batch,
                              t->o->desc));
  return duel_write_recipe(t);
}

// ---- the loop

static duel_status loop(duel_training *t) {
  while (!duel_run_done(t->run)) {
    DUEL_TRY(duel_run_advance(t->run, 1));
    DUEL_TRY(duel_duties_run(t));
    if (t->o->request && *t->o->request == 1) {
      t->result->stopped = DUEL_STOPPED_BY_REQUEST;
      break;
    }
    if (t->o->request && *t->o->request == 2) {
      *t->o->request = 0;
      DUEL_TRY(duel_duties_checkpoint(t));
    }
    if (t->o->max_seconds > 0 && duel_now() - t->began >= t->o->max_seconds && !duel_run_done(t->run)) {
      t->result->stopped = DUEL_STOPPED_BY_TIME;
      break;
    }
  }
  return DUEL_OK;
}

static void log_beginning(duel_training *t) {
  const duel_trainer *trainer = t->run->trainer;
  const duel_recipe *r = trainer->recipe;
  char line[1024];
  snprintf(line, sizeof line,
           "duel %s %s at step %" PRId64 " of %" PRId64 ": recipe %s, data %s, batch %" PRId64 ", seed %" PRIu64,
           duel_version(), t->resumed ? "resumes" : "begins", trainer->step, trainer->steps, r->name,
           trainer->data->name, r->train.batch, r->train.seed);
  duel_tell_log(t, line);
  duel_tell_log(t, trainer->api->describe(trainer->backend));
  duel_tell_early(t);
}

static void tell_notes(duel_training *t) {
  char text[256];
  duel_penalties_note(&t->run->trainer->model, text, sizeof text);
  if (*text) duel_tell_note(t, text);
  duel_rundir_note(t->run, text, sizeof text);
  if (*text) duel_tell_note(t, text);
}

// What the file system of the run directory lacks, as it comes up.
static void tell_lacks(duel_training *t) {
  char text[8192];
  if (t->dir.unlocked) {
    snprintf(text, sizeof text, "locks do not work on this file system: nothing keeps two trainings apart in %s (%s)",
             t->dir.path, strerror(t->dir.unlocked));
    duel_tell_warning(t, text);
    t->dir.unlocked = 0;
  }
  while (duel_file_lacks(text, sizeof text)) duel_tell_warning(t, text);
}

static duel_status train(duel_training *t) {
  DUEL_TRY(t->o->resume ? duel_resume(t) : start_new(t));
  const duel_trainer *trainer = t->run->trainer;
  t->first_step = t->tick_step = trainer->step;
  t->result->fixed_length = duel_resume_fixed_length(trainer->recipe);
  if (t->o->dry_run) {
    duel_tell(t, DUEL_EVENT_START, t->result->directory);
    duel_tell_device(t);
    return duel_tell_alarms(t);
  }
  if (duel_run_done(t->run)) {
    t->result->stopped = DUEL_STOPPED_BEFORE;
    return DUEL_OK;
  }
  log_beginning(t);
  duel_tell(t, DUEL_EVENT_START, t->dir.path);
  tell_notes(t);
  duel_tell_device(t);
  tell_lacks(t);
  DUEL_TRY(duel_tell_alarms(t));
  if (t->resumed) {
    DUEL_TRY(duel_resume_go_back(t));
  } else {
    DUEL_TRY(duel_rundir_reals(&t->dir, t->run));
    DUEL_TRY(duel_duties_begin(t));
    snprintf(t->result->directory, sizeof t->result->directory, "%s", t->dir.path);
    if (duel_rundir_point_latest(&t->dir, t->o->outdir ? t->o->outdir : "runs") != DUEL_OK)
      duel_tell_failure(t); // not all have links
  }
  tell_lacks(t);
  t->tick_began = duel_now();
  DUEL_TRY(loop(t));
  DUEL_TRY(duel_duties_end(t));
  tell_lacks(t);
  duel_tell(t, DUEL_EVENT_END, t->result->checkpoint);
  return DUEL_OK;
}

// A run that diverged goes on at a lower rate as a new one, since a resume keeps its past.
static duel_status advise(duel_training *t, duel_status status) {
  const duel_recipe *r = t->run ? t->run->trainer->recipe : NULL;
  char word[DUEL_SHELL_PATH], rates[256] = "";
  if (status != DUEL_ERR_DIVERGED || !*t->result->checkpoint) return status;
  bool same = true;
  for (int net = 1; net < r->n_nets; net++)
    same = same && duel_optimizer_lr(&r->net[net].optim)->from == duel_optimizer_lr(&r->net[0].optim)->from;
  for (int net = 0; net < (same ? 1 : r->n_nets); net++) {
    const size_t used = strlen(rates);
    snprintf(rates + used, sizeof rates - used, " %s%soptim.lr=%.2g", same ? "" : r->net[net].name, same ? "" : ".",
             duel_optimizer_lr(&r->net[net].optim)->from / 10);
  }
  return duel_fail(status, "%s; to go on with it use options.init %s options.init_optimizer%s", duel_last_error(),
                   duel_shell_path(word, t->result->checkpoint), rates);
}

duel_status duel_train(const duel_train_options *options, duel_train_result *result) {
  duel_train_result ignored;
  duel_training t = {.o = options,
                     .options = options->run,
                     .result = result ? result : &ignored,
                     .dir.lock = -1,
                     .saved = -1,
                     .drawn = -1};
  if (options->dry_run) t.options.plan_only = 1;
  if (!t.options.on_data && !t.options.on_note) {
    t.options.on_data = duel_tell_data;
    t.options.on_note = duel_tell_data_note;
    t.options.data_ctx = &t;
  }
  *t.result = (duel_train_result){.step = 0};
  t.began = t.tick_began = duel_now();
  duel_status status = advise(&t, train(&t));
  if (status != DUEL_OK && t.dir.lock >= 0) {
    char text[4096];
    snprintf(text, sizeof text, "error: %s", duel_last_error());
    duel_tell_log(&t, text);
    duel_fail_again(status, text + strlen("error: ")); // logging may have left a message of its own
  }
  if (t.run) t.result->step = t.run->trainer->settled;
  if (t.dir.lock >= 0 && !*t.result->directory) { // a start that failed leaves nothing behind
    duel_rundir_discard(&t.dir);
    *t.result->checkpoint = 0;
  }
  duel_rundir_close(&t.dir);
  duel_look_close(&t.look);
  duel_run_close(t.run);
  duel_pool_close(&t.pool);
  return status;
}
