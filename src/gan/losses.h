// Adversarial losses, on D's raw output (logits [N, 1]). A new loss is one entry of the table in losses.c.
#ifndef DUEL_GAN_LOSSES_H
#define DUEL_GAN_LOSSES_H

#include "core/graph.h"
#include "recipe/recipe.h"

typedef struct duel_loss {
  const char *name;
  // Each yields a scalar, the mean over the batch.
  duel_val (*real)(duel_graph *g, duel_val logits, const duel_recipe *r);      // D's term on real items
  duel_val (*fake)(duel_graph *g, duel_val logits, const duel_recipe *r);      // D's term on fake items
  duel_val (*generator)(duel_graph *g, duel_val logits, const duel_recipe *r); // G's loss, on D(G(z))
  double reported; // d_loss in reports is this times the sum of D's two terms
} duel_loss;

const duel_loss *duel_loss_find(const char *name); // NULL if there is none

#endif
