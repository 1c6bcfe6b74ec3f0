// Penalties: terms beside a game's loss, each a row of the game's table (duel_game_kind.penalties).
#ifndef DUEL_GAN_PENALTIES_H
#define DUEL_GAN_PENALTIES_H

#include "gan/step.h"

typedef struct duel_penalty_at { // where in a step
  int net;                       // which is penalized
  int sub_step;                  // from 0; in the turn of the net that draws samples their number
  duel_val z, real, fake;        // latents, and the items that this update learns from: [rows, ...]; else DUEL_NONE
  duel_val on_real, on_fake;     // what D yielded of them
  bool last;                     // of the step: its values are reported
} duel_penalty_at;

enum { DUEL_ON_REAL = 1, DUEL_ON_FAKE = 2, DUEL_ON_BOTH = 3 };

typedef duel_val duel_penalty_term(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at);

typedef struct duel_penalty {
  duel_kind kind;           // its keys begin with DUEL_PENALTY_KEYS
  int sides;                // it belongs to an update that learns from these
  int passes;               // forwards in training mode that it makes, unless own_passes says it
  bool slope;               // it is on the gradient of each item's output
  bool apart;               // it may have an update of its own: its key DUEL_PENALTY_OWN is DUEL_PENALTY_UPDATE
  duel_penalty_term *build; // the scalar that the weight multiplies
  bool weighted;            // build yields weights and all
  // Others have NULL: the term beside the loss of the net that draws samples, and the key of its weight; how many
  // passes of the recipe's penalty belong to either loss (0 of_g: it has no such term); what else its recipe may not
  // say.
  duel_penalty_term *build_g;
  int weight_g;
  int (*own_passes)(const duel_chosen *penalty, bool of_g);
  duel_status (*check)(const duel_model *m, const duel_chosen *penalty);
  // What happens in each sub-step, whether it is due or not; and who fills the weight in, if not its schedule.
  void (*watch)(duel_step *s, const duel_penalty_at *at);
  duel_filler *weight;
  const char *const *state; // names of the numbers that it keeps from step to step, up to NULL
} duel_penalty;

enum { DUEL_PENALTY_WEIGHT, DUEL_PENALTY_EVERY, DUEL_PENALTY_OWN }; // and own keys from here on
// word: what may stand for a number of the weight; NULL: nothing.
#define DUEL_PENALTY_KEYS(standard, word)                                                                              \
  {"weight", DUEL_KEY_SCHEDULE, standard, 0, 1e9, word, "what it is multiplied by"}, DUEL_PENALTY_KEY_EVERY
#define DUEL_PENALTY_KEY_EVERY                                                                                         \
  { "every", DUEL_KEY_INT, "1", 1, 1e6, NULL, "applied in one of so many steps, times that number" }
#define DUEL_PENALTY_UPDATE                                                                                            \
  { "update", DUEL_KEY_CHOICE, "shared", 0, 0, "shared|own", "in D's update on the loss, or one of its own after it" }

extern const duel_table duel_penalties; // of the game gan

// Declares what the penalties of the recipe keep. USAGE if the model or the way in which its net is updated has no
// place for one. separate: the net's two sides come one after the other.
duel_status duel_penalties_declare(duel_model *m, int net, bool separate);
int duel_penalties_updates(const duel_recipe *r); // that they add to each sub-step of the steps in which they are due
// Tells what `weight: auto` stands for, or nothing ("").
void duel_penalties_note(const duel_model *m, char *text, size_t n);
static inline const duel_penalty *duel_penalty_of(const duel_chosen *penalty) {
  return (const duel_penalty *)(const void *)penalty->kind;
}

// loss + Σ weight·n·value over the recipe's penalties, in the order of their table, that belong to this update and are
// due in this kind of step (every: n); one that is not due keeps its passes' numbers, so that others draw as ever.
// Reports weight·value of each as "penalty.NAME", the mean over the steps that have it.
duel_val duel_penalties_add(duel_step *s, duel_val loss, const duel_penalty_at *at);
// The sides that those with an update of their own learn from, after the update on the loss, in this kind of step. 0:
// none is due; their passes keep their numbers.
int duel_penalties_own(duel_step *s);
duel_val duel_penalties_own_loss(duel_step *s, const duel_penalty_at *at);
// As add, beside the loss of the net that draws samples; reported as "penalty.NAME_g".
duel_val duel_penalties_add_g(duel_step *s, duel_val loss, const duel_penalty_at *at);

#endif
