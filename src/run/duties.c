// What falls due while a run trains: one table of duties, in the order in which they are done.
//
// Failing to write a picture or a checkpoint is a warning: training goes on and tries again when the next is due; three
// checkpoints lost in a row end the run. Before the first step such a failure is an error at once.
#include <math.h>
#include <string.h>

#include "base/host.h"
#include "run/training.h"

// Where an epoch has fewer than FEW steps, a length in epochs counts as at least APART of them. Else eight pictures,
// which a step of batch 64 passes eight times, would have a picture and a checkpoint at each step.
enum { FEW = 2, APART = 10 };

// True if the step that has just ended passed a multiple of the length.
static bool due(const duel_trainer *t, duel_length l) {
  if (l.n <= 0) return false;
  if (l.unit == DUEL_STEPS) return t->step % (int64_t)(l.n < 1 ? 1 : l.n) == 0;
  const double per_step = (double)duel_trainer_items_per_step(t), images = duel_length_images(l, 1, t->items);
  if (l.unit == DUEL_EPOCHS && (double)t->items < FEW * per_step && images < APART * per_step)
    return t->step % APART == 0;
  return floor((double)t->step * per_step / images) > floor((double)(t->step - 1) * per_step / images);
}

static duel_status picture(duel_training *t) {
  char path[3200];
  int64_t step = t->run->trainer->step;
  if (t->drawn == step) return DUEL_OK;
  DUEL_TRY(duel_rundir_fakes(&t->dir, t->run, path, sizeof path));
  t->drawn = step;
  duel_rundir_prune_pictures(&t->dir, t->run->trainer->recipe->output.keep_pictures);
  if (*path) duel_tell(t, DUEL_EVENT_SAMPLE, path);
  return DUEL_OK;
}

static duel_status checkpoint(duel_training *t) {
  char name[64], path[3200];
  int64_t step = t->run->trainer->step;
  if (t->saved == step) return DUEL_OK;
  duel_checkpoint_name(name, step);
  DUEL_TRY(duel_rundir_file(&t->dir, name, path, sizeof path));
  duel_status status = duel_run_save(t->run, path);
  if (status != DUEL_OK) {
    if (++t->lost < DUEL_CHECKPOINTS_LOST) return status;
    return duel_context(status, "%d checkpoints in a row could not be written", DUEL_CHECKPOINTS_LOST);
  }
  t->lost = 0;
  t->saved = step;
  snprintf(t->result->checkpoint, sizeof t->result->checkpoint, "%s", path);
  duel_rundir_prune(&t->dir, t->run->trainer->recipe->output.keep);
  duel_tell(t, DUEL_EVENT_CHECKPOINT, path);
  return DUEL_OK;
}

static duel_status test(duel_training *t) {
  return duel_trainer_test(t->run->trainer);
}

static duel_status epoch(duel_training *t) {
  DUEL_TRY(duel_trainer_settle(t->run->trainer));
  duel_tell(t, DUEL_EVENT_EPOCH, NULL);
  return DUEL_OK;
}

static duel_status bar(duel_training *t) {
  if (duel_now() - t->last_bar < 0.05) return DUEL_OK;
  t->last_bar = duel_now();
  duel_tell(t, DUEL_EVENT_STEP, NULL);
  return DUEL_OK;
}

// ---- the table

typedef struct duty {
  duel_length every;
  duel_status (*run)(duel_training *t);
  bool last;  // after the last step too
  bool borne; // a file that cannot be written is a warning
} duty;

static duel_length every_picture(const duel_trainer *t) {
  return t->sample ? t->recipe->output.sample : (duel_length){0};
}

static void soften(duel_training *t, duel_status *status) {
  if (*status != DUEL_ERR_IO || t->lost >= DUEL_CHECKPOINTS_LOST) return;
  duel_tell_failure(t);
  *status = DUEL_OK;
}

duel_status duel_duties_run(duel_training *t) {
  const bool last = duel_run_done(t->run);
  const duel_trainer *trainer = t->run->trainer;
  const duel_recipe *r = trainer->recipe;
  const duel_length never = {0};
  const duty duties[] = {
      {trainer->judge ? r->output.test : never, test, true, false}, // before the lines that tell of it
      {r->output.tick, duel_tell_tick, true, false},
      {{1, DUEL_EPOCHS}, epoch, false, false},
      {every_picture(trainer), picture, false, true},
      {r->output.checkpoint, checkpoint, false, true},
      {{1, DUEL_STEPS}, bar, false, false}};
  for (size_t i = 0; i < sizeof duties / sizeof *duties; i++) {
    const duty *d = &duties[i];
    if (!due(trainer, d->every) && !(last && d->last && d->every.n > 0)) continue;
    duel_status status = d->run(t);
    if (d->borne) soften(t, &status);
    DUEL_TRY(status);
  }
  return DUEL_OK;
}

duel_status duel_duties_checkpoint(duel_training *t) {
  duel_status status = checkpoint(t);
  soften(t, &status);
  return status;
}

duel_status duel_duties_begin(duel_training *t) {
  DUEL_TRY(checkpoint(t));
  return every_picture(t->run->trainer).n > 0 ? picture(t) : DUEL_OK;
}

duel_status duel_duties_end(duel_training *t) {
  if (t->tick_step < t->run->trainer->step) DUEL_TRY(duel_tell_tick(t));
  duel_status status = every_picture(t->run->trainer).n > 0 ? picture(t) : DUEL_OK;
  soften(t, &status);
  DUEL_TRY(status);
  return checkpoint(t);
}
