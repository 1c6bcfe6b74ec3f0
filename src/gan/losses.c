#include "gan/losses.h"

#include <math.h>

static const duel_loss_terms no_terms = {DUEL_NONE, DUEL_NONE, DUEL_NONE};

static duel_val low_loss(duel_graph *g, duel_val x) { // E softplus(−x): cross-entropy with the target 1
  return duel_bce_logits(g, x, 1);
}
static duel_val high_loss(duel_graph *g, duel_val x) { // E softplus(x)
  return duel_bce_logits(g, x, 0);
}

// One-sided label smoothing s: the target of real items is 1 − s (Salimans et al. 2016, arXiv:1606.03498, section 3.4).
#define LABEL_SMOOTHING_KEY                                                                                            \
  { "label_smoothing", DUEL_KEY_NUMBER, "0", 0, DUEL_BELOW_1, NULL, "the target of real items is 1 minus this" }
enum { LABEL_SMOOTHING, GENERATOR };
static double target(const duel_chosen *loss) {
  return 1 - loss->value[LABEL_SMOOTHING].number[0];
}

// ---- bce: binary cross-entropy on logits (Goodfellow et al. 2014, arXiv:1406.2661). G descends −log of what D takes
// its items for (section 3's non-saturating loss), or with `generator: minimax` ascends D's own (equation 1).
static const duel_key keys_bce[] = {LABEL_SMOOTHING_KEY,
                                    {"generator", DUEL_KEY_CHOICE, "nonsaturating", 0, 0, "nonsaturating|minimax",
                                     "G makes its items likely to D, or only unlikely to be known"},
                                    {.name = NULL}};

static duel_loss_terms bce_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  duel_loss_terms terms = no_terms;
  if (x.real != DUEL_NONE) terms.real = duel_bce_logits(g, x.real, target(loss));
  if (x.fake != DUEL_NONE) terms.fake = high_loss(g, x.fake);
  return terms;
}
static duel_val bce_g(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  const bool minimax = loss->value[GENERATOR].number[0] != 0;
  return minimax ? duel_affine(g, high_loss(g, x.fake), -1, 0) : low_loss(g, x.fake);
}

static double entropy(double p) {
  return p > 0 ? -p * log(p) : 0;
}
static duel_loss_ends bce_ends(const duel_chosen *loss) { // the least loss of a smoothed target is its entropy
  return (duel_loss_ends){.blind = log(2), .won = 0.5 * (entropy(target(loss)) + entropy(1 - target(loss)))};
}

// ---- lsgan: least squares to 1 and 0 (Mao et al. 2017, arXiv:1611.04076, equation 9)
static const duel_key keys_lsgan[] = {LABEL_SMOOTHING_KEY, {.name = NULL}};

static duel_val half_squares(duel_graph *g, duel_val x, double to) { // ½E(x − to)²
  const duel_val off = duel_affine(g, x, 1, -to);
  return duel_affine(g, duel_mean(g, duel_mul(g, off, off)), 0.5, 0);
}
static duel_loss_terms lsgan_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  duel_loss_terms terms = no_terms;
  if (x.real != DUEL_NONE) terms.real = half_squares(g, x.real, target(loss));
  if (x.fake != DUEL_NONE) terms.fake = half_squares(g, x.fake, 0);
  return terms;
}
static duel_val lsgan_g(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  return half_squares(g, x.fake, 1);
}
static duel_loss_ends lsgan_ends(const duel_chosen *loss) { // a D that cannot tell says the middle of both targets
  return (duel_loss_ends){.blind = target(loss) * target(loss) / 4, .won = 0};
}

// ---- hinge: Lim and Ye 2017, arXiv:1705.02894; Tran et al. 2017, arXiv:1702.08896

static duel_val mean_relu(duel_graph *g, duel_val x, double sign) { // E relu(1 + sign·x)
  return duel_mean(g, duel_leaky_relu(g, duel_affine(g, x, sign, 1), 0));
}
static duel_loss_terms hinge_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  duel_loss_terms terms = no_terms;
  if (x.real != DUEL_NONE) terms.real = mean_relu(g, x.real, -1);
  if (x.fake != DUEL_NONE) terms.fake = mean_relu(g, x.fake, 1);
  return terms;
}
static duel_val raise(duel_graph *g, duel_logits x, const duel_chosen *loss) { // −E f
  (void)loss;
  return duel_affine(g, duel_mean(g, x.fake), -1, 0);
}
static duel_loss_ends hinge_ends(const duel_chosen *loss) {
  (void)loss;
  return (duel_loss_ends){.blind = 1, .won = 0};
}

// ---- wasserstein: Arjovsky et al. 2017, arXiv:1701.07875; `clip` is Algorithm 1's, after the update
enum { CLIP };
static const duel_key keys_wasserstein[] = {{"clip", DUEL_KEY_NUMBER, "", DUEL_ABOVE_0, 1e6, NULL,
                                             "D's parameters are clamped to ± this after each of its updates"},
                                            {.name = NULL}};

static duel_loss_terms wasserstein_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  duel_loss_terms terms = no_terms;
  if (x.real != DUEL_NONE) terms.real = duel_affine(g, duel_mean(g, x.real), -1, 0);
  if (x.fake != DUEL_NONE) terms.fake = duel_mean(g, x.fake);
  return terms;
}

// ---- rpgan, ragan: how much more real than a fake is a real item, of its row or of the mean? Jolicoeur-Martineau
// 2018, arXiv:1807.00734: RSGAN, and RaSGAN halved as in its code; rpgan is R3GAN's loss too (Huang et al. 2024,
// arXiv:2501.05441).
static duel_loss_terms rpgan_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  duel_loss_terms terms = no_terms;
  terms.pairs = low_loss(g, duel_sub(g, x.real, x.fake));
  return terms;
}
static duel_val rpgan_g(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  return low_loss(g, duel_sub(g, x.fake, x.real));
}

// Half the loss of a side's output above the mean of the other: raised, or lowered.
static duel_val half_above(duel_graph *g, duel_val x, duel_val other, double target) {
  return duel_affine(g, duel_bce_logits(g, duel_sub(g, x, duel_mean(g, other)), target), 0.5, 0);
}
static duel_loss_terms ragan_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  duel_loss_terms terms = no_terms;
  terms.real = half_above(g, x.real, x.fake, 1);
  terms.fake = half_above(g, x.fake, x.real, 0);
  return terms;
}
static duel_val ragan_g(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  return duel_add(g, half_above(g, x.real, x.fake, 0), half_above(g, x.fake, x.real, 1));
}
static duel_loss_ends relative_ends(const duel_chosen *loss) {
  (void)loss;
  return (duel_loss_ends){.blind = log(2), .won = 0};
}

static const duel_loss rows[] = {
    {{"bce", NULL, keys_bce, "cross-entropy on logits"}, bce_d, bce_g, 0.5, false, true, bce_ends},
    {{"lsgan", NULL, keys_lsgan, "least squares to 1 and 0"}, lsgan_d, lsgan_g, 1, false, false, lsgan_ends},
    {{"hinge", NULL, duel_no_keys, "D's margins of 1"}, hinge_d, raise, 0.5, false, true, hinge_ends},
    {{"wasserstein", NULL, keys_wasserstein, "D's output itself"}, wasserstein_d, raise, 1, false, false, NULL},
    {{"rpgan", NULL, duel_no_keys, "real items beside fakes"}, rpgan_d, rpgan_g, 1, true, false, relative_ends},
    {{"ragan", NULL, duel_no_keys, "items beside the others' mean"}, ragan_d, ragan_g, 1, true, false, relative_ends},
    {.kind = {.name = NULL}}};
const duel_table duel_losses = {rows, sizeof *rows, "loss"};

duel_status duel_loss_check(const duel_loss *loss, bool separate) {
  if (!loss->compares || !separate) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE,
                   "loss %s compares real items with fakes, but train.d_update: separate shows D one after the other; "
                   "set train.d_update=joint",
                   loss->kind.name);
}

double duel_loss_clip(const duel_chosen *loss) {
  if (loss->kind->keys != keys_wasserstein || loss->value[CLIP].n == 0) return 0;
  return loss->value[CLIP].number[0];
}
