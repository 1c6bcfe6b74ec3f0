// Inside of a duel_run: a trainer and the names that describe it.
#ifndef DUEL_RUN_RUN_H
#define DUEL_RUN_RUN_H

#include "run/trainer.h"

struct duel_run {
  duel_trainer *trainer;
  char why[1024]; // the CPU trains although there is a GPU's driver; or empty
};

void duel_resolved_close(duel_resolved *r);
// Resolves the recipe of options, or text with the name it goes by, and opens its data.
duel_status duel_run_resolve(duel_resolved *r, const duel_run_options *options, const char *text, const char *name);
// The statistics of the last step whose results are here: waits for nothing.
duel_stats duel_run_latest(const duel_run *run);
// Builds a run of it, which takes all of it over, also on failure; weights are for the caller to fill in.
duel_status duel_run_build(duel_run **run, const duel_run_options *options, duel_resolved *r);

// The recipe that a checkpoint holds and its name. DATA if there is none or it cannot be read.
duel_status duel_checkpoint_recipe(const duel_tensor_file *f, const char *path, const char **text, const char **name);

#endif
