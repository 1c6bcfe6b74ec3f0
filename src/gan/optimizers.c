#include "gan/optimizers.h"

#include <math.h>

#define FIRST_KEYS                                                                                                     \
  {"lr", DUEL_KEY_SCHEDULE, "0.0002", 0, 1e6, NULL, "learning rate"}, {                                                \
    "clip_norm", DUEL_KEY_NUMBER, "", DUEL_ABOVE_0, 1e9, NULL,                                                         \
        "a net's gradient of a larger norm is scaled down to it"                                                       \
  }
#define WEIGHT_DECAY(standard)                                                                                         \
  { "weight_decay", DUEL_KEY_NUMBER, standard, 0, 1e6, NULL, "decoupled: weights shrink by lr times this" }

#define BETA2                                                                                                          \
  { "beta2", DUEL_KEY_SCHEDULE, "", 0, DUEL_BELOW_1, NULL, "in the place of the second of betas, if it changes" }

// ---- adam: Kingma and Ba 2015, arXiv:1412.6980; adamw: Loshchilov and Hutter 2019, arXiv:1711.05101, the same rule
// with PyTorch's share of decay
enum { ADAM_BETAS = DUEL_OPTIM_KEYS, ADAM_EPS, ADAM_DECAY, ADAM_BETA2 };
#define ADAM_KEYS(decay)                                                                                               \
  FIRST_KEYS, {"betas", DUEL_KEY_NUMBERS, "[0.9, 0.999]", 0, DUEL_BELOW_1, NULL, "decay of the two moments"},          \
      {"eps", DUEL_KEY_NUMBER, "1.0e-8", DUEL_ABOVE_0, 1, NULL, "added to the root of the second moment"},             \
      WEIGHT_DECAY(decay), BETA2, {                                                                                    \
    .name = NULL                                                                                                       \
  }
static const duel_key keys_adam[] = {ADAM_KEYS("0")}, keys_adamw[] = {ADAM_KEYS("0.01")};

// What is left of a moment after a share of a usual update; pow(x, 1) is x, but nobody promises it.
static double kept(double beta, double share) {
  return share < 1 ? pow(beta, share) : beta;
}

static double beta2_of(const duel_key_value *betas, const duel_key_value *beta2, const duel_instant *now) {
  return beta2->n ? duel_scheduled(&beta2->schedule, now) : betas->number[1];
}

static void put_betas(double row[DUEL_COEF], double beta1, double beta2) {
  row[4] = beta1;
  row[5] = 1 - beta1;
  row[6] = beta2;
  row[7] = 1 - beta2;
}

// A beta2 that changes corrects as if it had been the present one all along, as in PyTorch.
static void coef_adam(const duel_chosen *o, const duel_instant *now, double lr, double share, int64_t update,
                      double row[DUEL_COEF]) {
  const double beta1 = kept(o->value[ADAM_BETAS].number[0], share);
  const double beta2 = kept(beta2_of(&o->value[ADAM_BETAS], &o->value[ADAM_BETA2], now), share);
  const double correct1 = 1 - pow(beta1, (double)update), correct2 = 1 - pow(beta2, (double)update);
  row[0] = lr / correct1;
  row[1] = 1 / sqrt(correct2);
  row[2] = o->value[ADAM_EPS].number[0];
  row[3] = 1 - lr * o->value[ADAM_DECAY].number[0];
  put_betas(row, beta1, beta2);
}

static duel_val build_adam(duel_graph *g, duel_val p, const duel_val moment[DUEL_MAX_MOMENTS], duel_val grad,
                           duel_val coef) {
  duel_val out[4];
  duel_adam(g, p, moment[0], moment[1], grad, coef, out);
  return out[3];
}

// ---- rmsprop, as in PyTorch: adam without its first moment and corrections
enum { RMSPROP_ALPHA = DUEL_OPTIM_KEYS, RMSPROP_EPS, RMSPROP_DECAY };
static const duel_key keys_rmsprop[] = {
    FIRST_KEYS,
    {"alpha", DUEL_KEY_NUMBER, "0.99", 0, DUEL_BELOW_1, NULL, "decay of the mean of squares"},
    {"eps", DUEL_KEY_NUMBER, "1.0e-8", DUEL_ABOVE_0, 1, NULL, "added to the root of the mean of squares"},
    WEIGHT_DECAY("0"),
    {.name = NULL}};

static void coef_rmsprop(const duel_chosen *o, const duel_instant *now, double lr, double share, int64_t update,
                         double row[DUEL_COEF]) {
  (void)now, (void)update;
  row[0] = lr;
  row[1] = 1;
  row[2] = o->value[RMSPROP_EPS].number[0];
  row[3] = 1 - lr * o->value[RMSPROP_DECAY].number[0];
  put_betas(row, 0, kept(o->value[RMSPROP_ALPHA].number[0], share));
}

// ---- lion: Chen et al. 2023, arXiv:2302.06675, algorithm 2
enum { LION_BETAS = DUEL_OPTIM_KEYS, LION_DECAY, LION_BETA2 };
static const duel_key keys_lion[] = {
    FIRST_KEYS,
    {"betas", DUEL_KEY_NUMBERS, "[0.9, 0.99]", 0, DUEL_BELOW_1, NULL, "the momentum's shares of a move and of itself"},
    WEIGHT_DECAY("0"),
    BETA2,
    {.name = NULL}};

static void coef_lion(const duel_chosen *o, const duel_instant *now, double lr, double share, int64_t update,
                      double row[DUEL_COEF]) {
  (void)update;
  row[0] = lr;
  row[3] = 1 - lr * o->value[LION_DECAY].number[0];
  put_betas(row, kept(o->value[LION_BETAS].number[0], share),
            kept(beta2_of(&o->value[LION_BETAS], &o->value[LION_BETA2], now), share));
}

// a·coef[i] + b·coef[i + 1]
static duel_val mixed(duel_graph *g, duel_val a, duel_val b, duel_val coef, int64_t i) {
  const duel_val first = duel_view(g, coef, i, DUEL_SCALAR), second = duel_view(g, coef, i + 1, DUEL_SCALAR);
  return duel_add(g, duel_mul(g, a, first), duel_mul(g, b, second));
}

static duel_val sign_of(duel_graph *g, duel_val x) {
  const duel_val zero = duel_constant(g, DUEL_SCALAR, 0), one = duel_constant(g, DUEL_SCALAR, 1);
  const duel_val minus = duel_constant(g, DUEL_SCALAR, -1);
  return duel_select(g, duel_less_equal(g, x, zero), duel_select(g, duel_less_equal(g, zero, x), zero, minus), one);
}

static duel_val build_lion(duel_graph *g, duel_val p, const duel_val moment[DUEL_MAX_MOMENTS], duel_val grad,
                           duel_val coef) {
  const duel_val sign = sign_of(g, mixed(g, moment[0], grad, coef, 4));
  const duel_val rate = duel_view(g, coef, 0, DUEL_SCALAR), keep = duel_view(g, coef, 3, DUEL_SCALAR);
  duel_assign(g, moment[0], mixed(g, moment[0], grad, coef, 6));
  duel_assign(g, p, duel_sub(g, duel_mul(g, p, keep), duel_mul(g, rate, sign)));
  return duel_mul(g, grad, grad);
}

// ---- sgd, with momentum as in PyTorch
enum { SGD_MOMENTUM = DUEL_OPTIM_KEYS, SGD_DECAY };
static const duel_key keys_sgd[] = {
    FIRST_KEYS,
    {"momentum", DUEL_KEY_NUMBER, "0", 0, DUEL_BELOW_1, NULL, "share of the last move that goes on"},
    WEIGHT_DECAY("0"),
    {.name = NULL}};

static void coef_sgd(const duel_chosen *o, const duel_instant *now, double lr, double share, int64_t update,
                     double row[DUEL_COEF]) {
  (void)now, (void)update;
  row[0] = lr;
  row[3] = 1 - lr * o->value[SGD_DECAY].number[0];
  row[4] = kept(o->value[SGD_MOMENTUM].number[0], share);
}

static duel_val build_sgd(duel_graph *g, duel_val p, const duel_val moment[DUEL_MAX_MOMENTS], duel_val grad,
                          duel_val coef) {
  duel_val out[3];
  duel_sgd(g, p, moment[0], grad, coef, out);
  return out[2];
}

static const duel_optimizer rows[] = {
    {{"adam", NULL, keys_adam, "steps as long as the gradient is steady"}, 2, true, coef_adam, build_adam},
    {{"adamw", NULL, keys_adamw, "adam, and weights shrink"}, 2, true, coef_adam, build_adam},
    {{"rmsprop", NULL, keys_rmsprop, "the gradient, divided by its usual size"}, 2, true, coef_rmsprop, build_adam},
    {{"lion", NULL, keys_lion, "steps of one length, by signs"}, 1, true, coef_lion, build_lion},
    {{"sgd", NULL, keys_sgd, "steps along the gradient"}, 1, false, coef_sgd, build_sgd},
    {.kind = {.name = NULL}}};
const duel_table duel_optim_kinds = {rows, sizeof *rows, "optimizer"};
