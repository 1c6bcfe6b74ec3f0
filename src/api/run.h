// Inside of a duel_run: a trainer and the names that describe it.
#ifndef DUEL_API_RUN_H
#define DUEL_API_RUN_H

#include "gan/trainer.h"

struct duel_run {
  duel_trainer *trainer;
  char *data_spec; // what the recipe calls its data
};

// duel_run_open with the checkpoint already read. text: resolved recipe to start from, with the name it goes by, or
// NULL for options->recipe.
duel_status duel_run_open_text(duel_run **run, const duel_run_options *options, const char *text, const char *name);

// Resolves the recipe of options (or text, as above) without building anything: for comparing before a resume.
duel_status duel_run_resolve(duel_recipe **recipe, duel_dataset **data, const duel_run_options *options,
                             const char *text, const char *name);

#endif
