// Inside of a duel_run: a trainer and the names that describe it.
#ifndef DUEL_RUN_RUN_H
#define DUEL_RUN_RUN_H

#include "run/places.h"
#include "run/trainer.h"

struct duel_run {
  duel_trainer *trainer;
  duel_places places; // of its data
  char why[1024];     // the CPU trains although there is a GPU's driver; or empty
};

typedef struct duel_origin { // a checkpoint's own recipe, in the place of options.recipe
  const char *text, *name;
  const char *source;    // of its nets, with $names; or NULL
  const char *path;      // of the checkpoint
  const char *precision; // NULL: whatever the backend takes
} duel_origin;

void duel_resolved_close(duel_resolved *r);
// Resolves the recipe of options, or that of a checkpoint, and opens its data.
duel_status duel_run_resolve(duel_resolved *r, const duel_run_options *options, const duel_origin *origin);
// The statistics of the last step whose results are here: waits for nothing.
duel_stats duel_run_latest(const duel_run *run);
// Builds a run of it, which takes all of it over, also on failure; weights are for the caller to fill in.
duel_status duel_run_build(duel_run **run, const duel_run_options *options, duel_resolved *r);

// sizes.c: fails with the error of a recipe that does not fit the data, and with the sizes of images that would, if
// there are some.
duel_status duel_sizes_advise(duel_status status, const char *error, const duel_recipe_source *source,
                              const duel_data_shape *data);

// The recipe that a checkpoint holds. DATA if there is none or it cannot be read.
duel_status duel_checkpoint_origin(const duel_tensor_file *f, const char *path, duel_origin *origin);

#endif
