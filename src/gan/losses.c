#include "gan/losses.h"

#include <math.h>

// ---- bce: binary cross-entropy on logits, non-saturating for G (Goodfellow et al. 2014, arXiv:1406.2661, section 3).
// With one-sided label smoothing s the target of real items is 1 − s (Salimans et al. 2016, arXiv:1606.03498, section
// 3.4).
enum { LABEL_SMOOTHING };
static const duel_key keys_bce[] = {
    {"label_smoothing", DUEL_KEY_NUMBER, "0", 0, DUEL_BELOW_1, NULL, "the target of real items is 1 minus this"},
    {.name = NULL}};

static duel_loss_terms bce_d(duel_graph *g, duel_val real, duel_val fake, const duel_chosen *loss) {
  duel_loss_terms terms = {DUEL_NONE, DUEL_NONE};
  if (real != DUEL_NONE) terms.real = duel_bce_logits(g, real, 1 - loss->value[LABEL_SMOOTHING].number[0]);
  if (fake != DUEL_NONE) terms.fake = duel_bce_logits(g, fake, 0);
  return terms;
}
static duel_val bce_g(duel_graph *g, duel_val real, duel_val fake, const duel_chosen *loss) {
  (void)real, (void)loss;
  return duel_bce_logits(g, fake, 1);
}

static double entropy(double p) {
  return p > 0 ? -p * log(p) : 0;
}
static duel_loss_ends bce_ends(const duel_chosen *loss) { // the least loss of a smoothed target is its entropy
  const double s = loss->value[LABEL_SMOOTHING].number[0];
  return (duel_loss_ends){.blind = log(2), .won = 0.5 * (entropy(s) + entropy(1 - s))};
}

// ---- hinge: Lim and Ye 2017, arXiv:1705.02894; Tran et al. 2017, arXiv:1702.08896

static duel_val mean_relu(duel_graph *g, duel_val x, double sign) { // E relu(1 + sign·x)
  return duel_mean(g, duel_leaky_relu(g, duel_affine(g, x, sign, 1), 0));
}
static duel_loss_terms hinge_d(duel_graph *g, duel_val real, duel_val fake, const duel_chosen *loss) {
  (void)loss;
  return (duel_loss_terms){real == DUEL_NONE ? DUEL_NONE : mean_relu(g, real, -1),
                           fake == DUEL_NONE ? DUEL_NONE : mean_relu(g, fake, 1)};
}
static duel_val hinge_g(duel_graph *g, duel_val real, duel_val fake, const duel_chosen *loss) {
  (void)real, (void)loss;
  return duel_affine(g, duel_mean(g, fake), -1, 0);
}

static duel_loss_ends hinge_ends(const duel_chosen *loss) {
  (void)loss;
  return (duel_loss_ends){.blind = 1, .won = 0};
}

static const duel_loss rows[] = {
    {{"bce", NULL, keys_bce, "cross-entropy on logits, non-saturating for G"}, bce_d, bce_g, 0.5, false, bce_ends},
    {{"hinge", NULL, duel_no_keys, "D's margins of 1; G raises D's output"}, hinge_d, hinge_g, 0.5, false, hinge_ends},
    {.kind = {.name = NULL}}};
const duel_table duel_losses = {rows, sizeof *rows, "loss"};

duel_status duel_loss_check(const duel_loss *loss, bool separate) {
  if (!loss->joint || !separate) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE,
                   "loss %s compares real items with fakes, but train.d_update: separate shows D one after the other; "
                   "set train.d_update=joint",
                   loss->kind.name);
}
