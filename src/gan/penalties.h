// Penalties: terms beside a game's loss, each a row of the game's table (duel_game_kind.penalties).
#ifndef DUEL_GAN_PENALTIES_H
#define DUEL_GAN_PENALTIES_H

#include "gan/step.h"

typedef struct duel_penalty_at { // where in a step
  int net;                       // which is penalized
  int sub_step;                  // from 0
  duel_val real, fake;           // items that the net has seen: [batch, ...]
  bool last;                     // of the step: its values are reported
} duel_penalty_at;

typedef struct duel_penalty {
  duel_kind kind; // its keys begin with DUEL_PENALTY_KEYS
  int passes;     // forwards in training mode that it makes
  // The scalar that the weight multiplies.
  duel_val (*build)(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at);
} duel_penalty;

enum { DUEL_PENALTY_WEIGHT, DUEL_PENALTY_EVERY, DUEL_PENALTY_OWN }; // and own keys from here on
#define DUEL_PENALTY_KEYS(standard)                                                                                    \
  {"weight", DUEL_KEY_NUMBER, standard, 0, 1e9, NULL, "what it is multiplied by"}, {                                   \
    "every", DUEL_KEY_INT, "1", 1, 1e6, NULL, "applied in one of so many steps, times that number"                     \
  }

extern const duel_table duel_penalties; // of the game gan

// loss + Σ weight·n·value over the recipe's penalties, in the order of their table, that are due in this kind of step
// (every: n); one that is not keeps its passes' numbers, so that others draw as ever. Reports weight·value of each as
// "penalty.NAME", the mean over the steps that have it.
duel_val duel_penalties_add(duel_step *s, duel_val loss, const duel_penalty_at *at);

#endif
