// The trainer: a recipe, its data and a backend brought together; owns every byte of a run's state.
//
//   open      model -> variables -> graphs -> plans, then one allocation an arena
//   init      draws the weights            load      takes them (and all else) from a checkpoint
//   advance   per step: fills its inputs, one block, and submits it; the device may fall behind. A set that is too
//             large for memory is streamed: the block then holds the items themselves, read ahead
//   settle    waits for what was submitted; scalars come in the order of the steps, as soon as they are there
#ifndef DUEL_RUN_TRAINER_H
#define DUEL_RUN_TRAINER_H

#include "core/backend.h"
#include "gan/step.h"
#include "io/data/dataset.h"
#include "io/data/prefetch.h"
#include "io/safetensors.h"
#include "run/places.h"

enum { DUEL_MAX_VARIANTS = 1 << DUEL_MAX_EVERY };

// One kind of step: a plan of its own over the same memory.
typedef struct duel_variant {
  duel_plan *plan;
  duel_step_made made;
} duel_variant;

typedef struct duel_trainer {
  duel_recipe *recipe; // owned
  const duel_backend_api *api;
  duel_backend *backend;
  duel_vars vars;
  duel_model model;
  duel_step_vars vars_of_step;
  duel_variant variant[DUEL_MAX_VARIANTS];
  int n_variants;                     // 0 without data
  duel_plan *sample_plan, *test_plan; // NULL where the game has no such thing
  duel_plan *stand_plan;              // NULL where no statistics stand
  duel_memory memory;
  bool open; // it has its memory: more than a plan
  duel_exec *train, *sample, *judge, *stand;
  duel_dataset *data; // owned; NULL: sampling only
  duel_dataset *test; // owned; of games that test
  int64_t items;      // of the data, 0 without

  int64_t step, steps;            // submitted, and the recipe's length
  int64_t stood;                  // the step at which standing statistics were measured; -1: at none
  int64_t settled;                // steps whose scalars were read
  int64_t updates[DUEL_MAX_NETS]; // of each net: Adam's t
  bool streamed;                  // the device has no room for the data, or the host has none
  duel_prefetch *prefetch;        // then: reads them ahead
  unsigned char *block;           // the inputs of one step; prefetch's where there is one
  float *latents, *samples;
  int32_t labels[DUEL_MOST_CHUNK]; // of a chunk of samples
  duel_order order;                // of the items; prefetch has its own
} duel_trainer;

// A recipe with its data: all that can be told before anything is built.
typedef struct duel_resolved {
  duel_recipe *recipe;
  duel_dataset *data; // NULL: sampling only
  duel_dataset *test; // of games that test
  duel_places places;
  duel_data_shape shape; // of the data
} duel_resolved;

// Takes all of `what` over, which is empty then, also on failure (but for the lack of memory to begin). plan_only:
// without any memory, to describe and print what an open trainer would be.
duel_status duel_trainer_open(duel_trainer **t, duel_resolved *what, bool plan_only, const duel_backend_api *api,
                              const duel_backend_options *options);
void duel_trainer_close(duel_trainer *t);

duel_status duel_trainer_init(duel_trainer *t);
// Submits at most so many steps; a step that diverged is found when its scalars come, which may be later.
duel_status duel_trainer_advance(duel_trainer *t, int64_t steps);
// The same, each step waited for and its calls timed: adds to seconds[i] what the first variant's i-th node took.
duel_status duel_trainer_profile(duel_trainer *t, int64_t steps, double *seconds);
duel_status duel_trainer_settle(duel_trainer *t); // after it all state and scalars are of step t->step
// All parameters, net after net, each tensor in its own order, without the gaps of their slabs.
duel_status duel_trainer_weights(duel_trainer *t, float *dst);
// Measures the average's standing statistics, where it has any, unless those of this step are there.
duel_status duel_trainer_stand(duel_trainer *t);
// n latents [n, latent] through the net that samples, in inference mode -> [n, item]. labels [n] where nets read them
// (model.labels > 0), NULL: item i of a chunk is of class i mod classes.
duel_status duel_trainer_sample(duel_trainer *t, const float *latents, const int32_t *labels, int64_t n, float *dst);
// The same for at most a chunk of them (vars_of_step.chunk), whose items stay where they are until the next call.
duel_status duel_trainer_sample_chunk(duel_trainer *t, const float *latents, const int32_t *labels, int64_t n,
                                      const float **items);
// Real items by their number in the set, as the batch op yields them: bytes become x/127.5 − 1.
duel_status duel_trainer_real(duel_trainer *t, const int64_t *number, int64_t n, float *dst);

// accuracy.c: the share of the test set that the tested net has right; a scalar of the run, "test.accuracy".
duel_status duel_trainer_test(duel_trainer *t);

// Checkpoints (checkpoint.c). full: everything, and everything must fit: names, shapes, data. Otherwise the weights,
// buffers and averages, all of them too.
duel_status duel_trainer_save(duel_trainer *t, const char *path);
duel_status duel_trainer_load(duel_trainer *t, const duel_tensor_file *f, const char *path, bool full);
// After init: takes the weights, running statistics and moving averages that fit; with the recipe that the file was
// trained by also the moments and update counts of nets whose optimizer is the same. note: what was left and what stays
// as it was drawn, or "". DATA if no weight fits; cure: what to do then.
duel_status duel_trainer_begin(duel_trainer *t, const duel_tensor_file *f, const char *path, const duel_recipe *was,
                               const char *cure, char *note, size_t n);
bool duel_checkpoint_has_data(const duel_tensor_file *f, const duel_dataset *data, bool test); // by their fingerprint
bool duel_checkpoint_has_older(const duel_tensor_file *f, const duel_dataset *data); // by the one of older versions

int64_t duel_trainer_items_per_step(const duel_trainer *t); // real items
int duel_trainer_variant(const duel_trainer *t, int64_t step);

// plans.c: all graphs and plans of a run, and their variables.
duel_status duel_plans_open(duel_trainer *t);
size_t duel_plans_work(const duel_trainer *t);                            // bytes of work memory that the largest takes
duel_status duel_plans_advise(const duel_trainer *t, duel_status status); // adds to a failure what would fit
void duel_plans_close(duel_trainer *t);

#endif
