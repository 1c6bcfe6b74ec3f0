// The graphs of a run: one training step (every update of both players, draws included), and sampling from G.
#ifndef DUEL_GAN_STEP_H
#define DUEL_GAN_STEP_H

#include "gan/model.h"
#include "gan/optimizers.h"

// Scalars that a step reports, in the order of the OUTPUT variable "metrics". Those of D are the last sub-step's.
typedef enum duel_metric {
  DUEL_METRIC_D_REAL, // D's loss terms
  DUEL_METRIC_D_FAKE,
  DUEL_METRIC_G,
  DUEL_METRIC_SCORE_REAL, // mean of D's output
  DUEL_METRIC_SCORE_FAKE,
  DUEL_METRIC_SIGN_REAL, // mean of its sign
  DUEL_METRIC_SIGN_FAKE,
  DUEL_METRIC_GRAD_D, // Σ grad² over the last sub-step's updates of D
  DUEL_METRIC_GRAD_G, // Σ grad² of G's update
  DUEL_METRIC_COUNT
} duel_metric;

typedef struct duel_step {
  // Variables. INPUT: the host writes them before a step.
  int key;              // i32[4]: seed low, seed high, step, 0
  int index;            // i32[d_steps·batch]: items of the step
  int coef;             // [updates_d + 2, DUEL_COEF]: one row an update of D, then G's, then {EMA weight}
  int data;             // [items, ...]: the resident set; streamed: INPUT [d_steps·batch, ...], the items of the step
  int metrics;          // OUTPUT, [DUEL_METRIC_COUNT]
  int updates_d;        // updates of D in one step
  int latents, samples; // sampling: INPUT [chunk, latent] and OUTPUT [chunk, ...]
  int64_t chunk;        // items a sampling run
} duel_step;

// Adds the variables (items 0: none of training's, sampling only). streamed: index then counts within the step's own
// items, so that graph and bits are those of the resident set.
duel_status duel_step_vars(duel_step *s, const duel_model *m, duel_vars *vars, duel_dtype real, duel_dtype data,
                           int64_t items, bool streamed);
// The graph of one training step, as DESIGN 4 "Steps, losses and penalties" orders it.
duel_status duel_step_train(duel_graph **g, const duel_step *s, duel_model *m, const duel_vars *vars, duel_dtype real);
// latents -> samples through G in inference mode (its moving average where there is one).
duel_status duel_step_sample(duel_graph **g, const duel_step *s, duel_model *m, const duel_vars *vars, duel_dtype real);

#endif
