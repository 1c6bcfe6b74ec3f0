// Adversarial losses, on D's raw output (logits [N, 1]). A new loss is one entry of the table in losses.c.
#ifndef DUEL_GAN_LOSSES_H
#define DUEL_GAN_LOSSES_H

#include "core/graph.h"
#include "recipe/recipe.h"

// D's output on real items and on fakes. One of them is DUEL_NONE where D sees the sides one after the other
// (d_update: separate), and real in G's turn under a loss that does not compare.
typedef struct duel_logits {
  duel_val real, fake;
  duel_val flip_real, flip_fake; // [N, 1], for D: 1 where the label is the other side's, else 0; DUEL_NONE: nowhere
  duel_val share;                // [N, 1], for G: what each fake counts, 1 in all; DUEL_NONE: all alike
} duel_logits;
extern const duel_logits duel_no_logits;

typedef struct duel_loss_terms { // scalars: D's terms on real items, on fakes, and on pairs of both
  duel_val real, fake, pairs;    // DUEL_NONE: there is none
} duel_loss_terms;

typedef struct duel_loss_ends { // of the reported d_loss
  double blind, won;
} duel_loss_ends;

typedef struct duel_loss {
  duel_kind kind;
  duel_loss_terms (*d)(duel_graph *g, duel_logits x, const duel_chosen *loss); // D descends their sum
  duel_val (*g)(duel_graph *g, duel_logits x, const duel_chosen *loss);        // what G descends
  double reported; // d_loss in reports is this times the sum of D's terms
  bool compares;   // real items with fakes: it needs both sides at once, in G's turn too
  bool signs;      // D's output is above 0 for what it takes for real
  // d_loss of a D that cannot tell the two sides, and of one that always does; NULL: the loss has no such ends.
  duel_loss_ends (*ends)(const duel_chosen *loss);
} duel_loss;

// Of the losses that have such a key; else 0.
double duel_loss_clip(const duel_chosen *loss);  // D's parameters are clamped to ± this after each update
double duel_loss_flips(const duel_chosen *loss); // share of the labels that D is told wrong
bool duel_loss_fresh(const duel_chosen *loss);   // G's turn has real items of its own

extern const duel_table duel_losses; // of the game gan

static inline const duel_loss *duel_loss_of(const duel_chosen *loss) {
  return (const duel_loss *)(const void *)loss->kind;
}
// USAGE if D's two sides come one after the other, and the loss compares them.
duel_status duel_loss_check(const duel_loss *loss, bool separate);

#endif
