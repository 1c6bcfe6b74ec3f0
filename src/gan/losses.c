#include "gan/losses.h"

#include <math.h>
#include <string.h>

static const duel_loss_terms no_terms = {DUEL_NONE, DUEL_NONE, DUEL_NONE};
const duel_logits duel_no_logits = {DUEL_NONE, DUEL_NONE, DUEL_NONE, DUEL_NONE, DUEL_NONE};

// E x, where a share says what each row counts.
static duel_val mean_of(duel_graph *g, duel_val x, duel_val share) {
  return share == DUEL_NONE ? duel_mean(g, x) : duel_sum(g, duel_mul(g, share, x));
}
static duel_val low_loss(duel_graph *g, duel_val x, duel_val share) { // E softplus(−x): cross-entropy with the target 1
  return share == DUEL_NONE ? duel_bce_logits(g, x, 1) : mean_of(g, duel_softplus(g, duel_affine(g, x, -1, 0)), share);
}
static duel_val high_loss(duel_graph *g, duel_val x, duel_val share) { // E softplus(x)
  return share == DUEL_NONE ? duel_bce_logits(g, x, 0) : mean_of(g, duel_softplus(g, x), share);
}

// Labels of D: one-sided smoothing, where the target of real items is 1 − s (Salimans et al. 2016, arXiv:1606.03498,
// section 3.4), and flips, where a share of the labels are the other side's.
#define LABEL_FLIPS_KEY                                                                                                \
  { "label_flips", DUEL_KEY_NUMBER, "0", 0, DUEL_BELOW_1, NULL, "share of the labels that D is told wrong" }
#define LABEL_KEYS                                                                                                     \
  {"label_smoothing", DUEL_KEY_NUMBER, "0", 0, DUEL_BELOW_1, NULL, "the target of real items is 1 minus this"},        \
      LABEL_FLIPS_KEY
enum { LABEL_SMOOTHING, LABEL_FLIPS, GENERATOR };
static double target(const duel_chosen *loss) {
  return 1 - loss->value[LABEL_SMOOTHING].number[0];
}

// The target of each row: its side's, or the other's where the label is flipped.
static duel_val flipped(duel_graph *g, double own, double other, duel_val flip) {
  return duel_affine(g, flip, other - own, own);
}

// ---- bce: binary cross-entropy on logits (Goodfellow et al. 2014, arXiv:1406.2661). G descends −log of what D takes
// its items for (section 3's non-saturating loss), or with `generator: minimax` ascends D's own (equation 1).
static const duel_key keys_bce[] = {LABEL_KEYS,
                                    {"generator", DUEL_KEY_CHOICE, "nonsaturating", 0, 0, "nonsaturating|minimax",
                                     "G makes its items likely to D, or only unlikely to be known"},
                                    {.name = NULL}};

// E(softplus(x) − t·x)
static duel_val cross_entropy(duel_graph *g, duel_val x, double own, double other, duel_val flip) {
  if (flip == DUEL_NONE) return duel_bce_logits(g, x, own);
  return duel_sub(g, duel_bce_logits(g, x, 0), duel_mean(g, duel_mul(g, flipped(g, own, other, flip), x)));
}
static duel_loss_terms bce_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  duel_loss_terms terms = no_terms;
  if (x.real != DUEL_NONE) terms.real = cross_entropy(g, x.real, target(loss), 0, x.flip_real);
  if (x.fake != DUEL_NONE) terms.fake = cross_entropy(g, x.fake, 0, target(loss), x.flip_fake);
  return terms;
}
static duel_val bce_g(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  const bool minimax = loss->value[GENERATOR].number[0] != 0;
  return minimax ? duel_affine(g, high_loss(g, x.fake, x.share), -1, 0) : low_loss(g, x.fake, x.share);
}

static double part_of_entropy(double p) {
  return p > 0 ? -p * log(p) : 0;
}
static double entropy(double p) {
  return part_of_entropy(p) + part_of_entropy(1 - p);
}
static duel_loss_ends bce_ends(const duel_chosen *loss) { // the least loss of a mean target is its entropy
  const double t = target(loss), flips = loss->value[LABEL_FLIPS].number[0];
  return (duel_loss_ends){.blind = log(2), .won = 0.5 * (entropy((1 - flips) * t) + entropy(flips * t))};
}

// ---- lsgan: least squares to 1 and 0 (Mao et al. 2017, arXiv:1611.04076, equation 9)
static const duel_key keys_lsgan[] = {LABEL_KEYS, {.name = NULL}};

static duel_val squares(duel_graph *g, duel_val x, double own, double other, duel_val flip) { // ½E(x − t)²
  const duel_val off = flip == DUEL_NONE ? duel_affine(g, x, 1, -own) : duel_sub(g, x, flipped(g, own, other, flip));
  return duel_affine(g, duel_mean(g, duel_mul(g, off, off)), 0.5, 0);
}
static duel_loss_terms lsgan_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  duel_loss_terms terms = no_terms;
  if (x.real != DUEL_NONE) terms.real = squares(g, x.real, target(loss), 0, x.flip_real);
  if (x.fake != DUEL_NONE) terms.fake = squares(g, x.fake, 0, target(loss), x.flip_fake);
  return terms;
}
static duel_val lsgan_g(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  const duel_val off = duel_affine(g, x.fake, 1, -1);
  return duel_affine(g, mean_of(g, duel_mul(g, off, off), x.share), 0.5, 0);
}
// A D that cannot tell says the middle of both targets; one that can, the mean of each side's.
static duel_loss_ends lsgan_ends(const duel_chosen *loss) {
  const double t = target(loss), flips = loss->value[LABEL_FLIPS].number[0];
  return (duel_loss_ends){.blind = t * t / 4, .won = t * t * flips * (1 - flips)};
}

// ---- hinge: Lim and Ye 2017, arXiv:1705.02894; Tran et al. 2017, arXiv:1702.08896
enum { HINGE_FLIPS };
static const duel_key keys_hinge[] = {LABEL_FLIPS_KEY, {.name = NULL}};

static duel_val margin(duel_graph *g, duel_val x, double sign, duel_val flip) { // E relu(1 + sign·x)
  const duel_val off = flip == DUEL_NONE ? duel_affine(g, x, sign, 1)
                                         : duel_affine(g, duel_mul(g, flipped(g, sign, -sign, flip), x), 1, 1);
  return duel_mean(g, duel_leaky_relu(g, off, 0));
}
static duel_loss_terms hinge_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  duel_loss_terms terms = no_terms;
  if (x.real != DUEL_NONE) terms.real = margin(g, x.real, -1, x.flip_real);
  if (x.fake != DUEL_NONE) terms.fake = margin(g, x.fake, 1, x.flip_fake);
  return terms;
}
static duel_val raise(duel_graph *g, duel_logits x, const duel_chosen *loss) { // −E f
  (void)loss;
  return duel_affine(g, mean_of(g, x.fake, x.share), -1, 0);
}
static duel_loss_ends hinge_ends(const duel_chosen *loss) {
  return (duel_loss_ends){.blind = 1, .won = fmin(1, 2 * loss->value[HINGE_FLIPS].number[0])};
}

// ---- wasserstein: Arjovsky et al. 2017, arXiv:1701.07875; `clip` is Algorithm 1's, after the update
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
static const duel_key keys_relative[] = {{"reals", DUEL_KEY_CHOICE, "shared", 0, 0, "shared|fresh",
                                          "G's turn compares with the real items that D just saw, or with fresh ones"},
                                         {.name = NULL}};

static duel_loss_terms rpgan_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  duel_loss_terms terms = no_terms;
  terms.pairs = low_loss(g, duel_sub(g, x.real, x.fake), DUEL_NONE);
  return terms;
}
static duel_val rpgan_g(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  return low_loss(g, duel_sub(g, x.fake, x.real), x.share);
}

static duel_val half(duel_graph *g, duel_val x) {
  return duel_affine(g, x, 0.5, 0);
}
static duel_loss_terms ragan_d(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  duel_loss_terms terms = no_terms;
  terms.real = half(g, low_loss(g, duel_sub(g, x.real, duel_mean(g, x.fake)), DUEL_NONE));
  terms.fake = half(g, high_loss(g, duel_sub(g, x.fake, duel_mean(g, x.real)), DUEL_NONE));
  return terms;
}
static duel_val ragan_g(duel_graph *g, duel_logits x, const duel_chosen *loss) {
  (void)loss;
  const duel_val of_real = high_loss(g, duel_sub(g, x.real, mean_of(g, x.fake, x.share)), DUEL_NONE);
  return duel_add(g, half(g, of_real), half(g, low_loss(g, duel_sub(g, x.fake, duel_mean(g, x.real)), x.share)));
}
static duel_loss_ends relative_ends(const duel_chosen *loss) {
  (void)loss;
  return (duel_loss_ends){.blind = log(2), .won = 0};
}

static const duel_loss rows[] = {
    {{"bce", NULL, keys_bce, "cross-entropy on logits"}, bce_d, bce_g, 0.5, false, true, bce_ends},
    {{"lsgan", NULL, keys_lsgan, "least squares to 1 and 0"}, lsgan_d, lsgan_g, 1, false, false, lsgan_ends},
    {{"hinge", NULL, keys_hinge, "D's margins of 1"}, hinge_d, raise, 0.5, false, true, hinge_ends},
    {{"wasserstein", NULL, keys_wasserstein, "D's output itself"}, wasserstein_d, raise, 1, false, false, NULL},
    {{"rpgan", NULL, keys_relative, "real items beside fakes"}, rpgan_d, rpgan_g, 1, true, false, relative_ends},
    {{"ragan", NULL, keys_relative, "items beside the others' mean"}, ragan_d, ragan_g, 1, true, false, relative_ends},
    {.kind = {.name = NULL}}};
const duel_table duel_losses = {rows, sizeof *rows, "loss"};

duel_status duel_loss_check(const duel_loss *loss, bool separate) {
  if (!loss->compares || !separate) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE,
                   "loss %s compares real items with fakes, but train.d_update: separate shows D one after the other; "
                   "set train.d_update=joint",
                   loss->kind.name);
}

// ---- keys that not all losses have

static double number_of(const duel_chosen *loss, const char *name) {
  for (int k = 0; loss->kind->keys[k].name; k++)
    if (!strcmp(loss->kind->keys[k].name, name)) return loss->value[k].n ? loss->value[k].number[0] : 0;
  return 0;
}

double duel_loss_clip(const duel_chosen *loss) {
  return number_of(loss, "clip");
}
double duel_loss_flips(const duel_chosen *loss) {
  return number_of(loss, "label_flips");
}
bool duel_loss_fresh(const duel_chosen *loss) {
  return number_of(loss, "reals") != 0;
}
