// Inside of duel_train: one training under way, what is told of it, how it resumes, and what falls due in its loop.
#ifndef DUEL_RUN_TRAINING_H
#define DUEL_RUN_TRAINING_H

#include "base/pool.h"
#include "run/alarms/alarms.h"
#include "run/rundir.h"

enum { DUEL_CHECKPOINTS_LOST = 3 }; // in a row: they end the run

typedef struct duel_training {
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
  duel_pool pool;                // of notes
  struct duel_note {
    const char *text;
    struct duel_note *next;
  } * first_note, **last_note; // of the data, before there is a log
  duel_look look;
  duel_alarms alarms;
} duel_training;

// ---- telling.c: who hears what
void duel_tell(duel_training *t, int kind, const char *text); // an event
void duel_tell_log(duel_training *t, const char *line);       // a line of log.txt
void duel_tell_note(duel_training *t, const char *text);      // both
void duel_tell_warning(duel_training *t, const char *text);   // both
void duel_tell_failure(duel_training *t);                     // the thread's last error, as a warning
void duel_tell_device(duel_training *t); // what the device does otherwise than asked: at first, and if it grows
void duel_tell_data(void *training, const char *what, int64_t done, int64_t items); // for duel_run_options
void duel_tell_data_note(void *training, const char *text);
void duel_tell_early(duel_training *t); // to the log what was noted before it began
// A tick ends: its scalars go to stats.jsonl, the log and the events, and begin anew.
duel_status duel_tell_tick(duel_training *t);
// Looks at the data and tells the alarms that are known before the first step.
duel_status duel_tell_alarms(duel_training *t);

// ---- resume.c
duel_status duel_resume(duel_training *t);           // finds the run and goes on from its checkpoint
duel_status duel_resume_go_back(duel_training *t);   // makes the directory that of the step from which the run goes on
bool duel_resume_fixed_length(const duel_recipe *r); // a schedule spans the whole run
duel_status duel_write_recipe(duel_training *t);     // and where its data lie

// ---- duties.c
duel_status duel_duties_begin(duel_training *t); // of a new run: first checkpoint and picture
duel_status duel_duties_run(duel_training *t);   // whatever the step that has just ended made due
duel_status duel_duties_end(duel_training *t);
duel_status duel_duties_checkpoint(duel_training *t); // now; a failure that can be borne is a warning

#endif
