// Optimizers: what moves a net's parameters. A new one is one entry of the table in optimizers.c.
#ifndef DUEL_GAN_OPTIMIZERS_H
#define DUEL_GAN_OPTIMIZERS_H

#include "gan/inputs.h"

enum { DUEL_COEF = 8, DUEL_MAX_MOMENTS = 2 }; // numbers a row of the coefficient block; slabs beside the parameters

enum { DUEL_OPTIM_LR, DUEL_OPTIM_CLIP_NORM, DUEL_OPTIM_KEYS }; // what its keys begin with, and its own from there on

typedef struct duel_optimizer {
  duel_kind kind; // its keys begin with lr and clip_norm
  int moments;
  bool bounded; // it moves no number by much more than its rate, whatever the gradient
  // The coefficients of update number `update`, from 1, in the step `now`; the caller rounds them to float once. share:
  // of a usual update that each is, which lr has already; what is kept of a moment is kept to its power.
  void (*coef)(const duel_chosen *o, const duel_instant *now, double lr, double share, int64_t update,
               double row[DUEL_COEF]);
  // Moves the slab p along the flat gradient. Yields the parts of Σ grad².
  duel_val (*build)(duel_graph *g, duel_val p, const duel_val moment[DUEL_MAX_MOMENTS], duel_val grad, duel_val coef);
} duel_optimizer;

static inline const duel_optimizer *duel_optimizer_of(const duel_chosen *o) {
  return (const duel_optimizer *)(const void *)o->kind;
}
static inline const duel_schedule *duel_optimizer_lr(const duel_chosen *o) {
  return &o->value[DUEL_OPTIM_LR].schedule;
}
static inline double duel_optimizer_clip_norm(const duel_chosen *o) { // 0: none
  return o->value[DUEL_OPTIM_CLIP_NORM].n ? o->value[DUEL_OPTIM_CLIP_NORM].number[0] : 0;
}

#endif
