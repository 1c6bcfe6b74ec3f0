#include "gan/losses.h"

#include <string.h>

// bce: binary cross-entropy on logits, non-saturating for G (Goodfellow et al. 2014, arXiv:1406.2661, section 3). With
// one-sided label smoothing s the target of real items is 1 − s (Salimans et al. 2016, arXiv:1606.03498, section 3.4).
static duel_val bce_real(duel_graph *g, duel_val logits, const duel_recipe *r) {
  return duel_bce_logits(g, logits, 1 - r->loss.label_smoothing);
}
static duel_val bce_fake(duel_graph *g, duel_val logits, const duel_recipe *r) {
  (void)r;
  return duel_bce_logits(g, logits, 0);
}
static duel_val bce_generator(duel_graph *g, duel_val logits, const duel_recipe *r) {
  (void)r;
  return duel_bce_logits(g, logits, 1);
}

static const duel_loss losses[] = {{"bce", bce_real, bce_fake, bce_generator, 0.5}};

const duel_loss *duel_loss_find(const char *name) {
  for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
    if (!strcmp(losses[i].name, name)) return &losses[i];
  return NULL;
}

const char *duel_loss_names(void) {
  return "bce";
}
