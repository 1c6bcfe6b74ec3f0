// Adversarial losses, on D's raw output (logits [N, 1]). A new loss is one entry of the table in losses.c.
#ifndef DUEL_GAN_LOSSES_H
#define DUEL_GAN_LOSSES_H

#include "core/graph.h"
#include "recipe/recipe.h"

typedef struct duel_loss_terms { // scalars: D's terms on real and on fake items
  duel_val real, fake;
} duel_loss_terms;

typedef struct duel_loss_ends { // of the reported d_loss
  double blind, won;
} duel_loss_ends;

typedef struct duel_loss {
  duel_kind kind;
  // What D descends is the sum of its terms. Logits of one side may be DUEL_NONE (d_update: separate): so is its term.
  duel_loss_terms (*d)(duel_graph *g, duel_val real, duel_val fake, const duel_chosen *loss);
  // What G descends; real is DUEL_NONE in a step that does not run D on reals again.
  duel_val (*g)(duel_graph *g, duel_val real, duel_val fake, const duel_chosen *loss);
  double reported; // d_loss in reports is this times the sum of D's terms
  bool joint;      // needs both sides at once, so no d_update: separate
  // d_loss of a D that cannot tell the two sides, and of one that always does; NULL: the loss has no such ends.
  duel_loss_ends (*ends)(const duel_chosen *loss);
} duel_loss;

extern const duel_table duel_losses; // of the game gan

static inline const duel_loss *duel_loss_of(const duel_chosen *loss) {
  return (const duel_loss *)(const void *)loss->kind;
}
// USAGE if D's two sides come one after the other, and the loss compares them.
duel_status duel_loss_check(const duel_loss *loss, bool separate);

#endif
