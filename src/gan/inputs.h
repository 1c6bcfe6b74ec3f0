// What the host tells a step: named inputs, each with who fills it. They lie one after another in one block, which is
// copied to the device whole; where data are streamed, the items of the step are one of them.
#ifndef DUEL_GAN_INPUTS_H
#define DUEL_GAN_INPUTS_H

#include "core/graph.h"
#include "recipe/recipe.h"

enum { DUEL_MAX_INPUTS = 48 };

// A step to come, and the run that it belongs to.
typedef struct duel_instant {
  int64_t step, steps;     // its number from 0, and the run's length
  int64_t per_step, items; // real items a step, and of the data set
  const int64_t *updates;  // of each net, done before this step
} duel_instant;
static inline double duel_scheduled(const duel_schedule *s, const duel_instant *now) {
  return duel_schedule_at(s, now->step, now->steps, now->per_step, now->items);
}

typedef struct duel_step_input duel_step_input;
typedef void duel_filler(const duel_step_input *in, const duel_instant *now, void *dst);
struct duel_step_input {
  const char *name;
  int var;
  duel_filler *fill; // NULL: something else does, such as the thread that reads ahead
  const void *ctx;   // whatever the filler needs
  int net;           // which it belongs to, if any
};

typedef struct duel_inputs {
  duel_vars *vars;
  duel_step_input in[DUEL_MAX_INPUTS];
  int n;
} duel_inputs;

// Adds an input and its variable, right behind the input before it. The name is copied.
duel_status duel_inputs_add(duel_inputs *all, duel_step_input in, duel_dtype dtype, duel_shape shape, int *var);
int duel_inputs_find(const duel_inputs *all, const char *name); // its variable, or -1
size_t duel_inputs_offset(const duel_inputs *all, int var);     // of an input's variable, into the block
size_t duel_inputs_bytes(const duel_inputs *all);               // of the block, a multiple of 4
void duel_inputs_fill(const duel_inputs *all, const duel_instant *now, unsigned char *block);

#endif
