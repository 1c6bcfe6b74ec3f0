#include "gan/optimizers.h"

#include <math.h>

#define LR                                                                                                             \
  { "lr", DUEL_KEY_SCHEDULE, "0.0002", 0, 1e6, NULL, "learning rate" }
#define WEIGHT_DECAY                                                                                                   \
  { "weight_decay", DUEL_KEY_NUMBER, "0", 0, 1e6, NULL, "decoupled: weights shrink by lr times this" }

// ---- adam: Kingma and Ba 2015, arXiv:1412.6980
enum { ADAM_LR, ADAM_BETAS, ADAM_EPS, ADAM_DECAY };
static const duel_key keys_adam[] = {
    LR,
    {"betas", DUEL_KEY_NUMBERS, "[0.9, 0.999]", 0, DUEL_BELOW_1, NULL, "decay of the two moments"},
    {"eps", DUEL_KEY_NUMBER, "1.0e-8", DUEL_ABOVE_0, 1, NULL, "added to the root of the second moment"},
    WEIGHT_DECAY,
    {.name = NULL}};

static void coef_adam(const duel_chosen *o, double lr, int64_t update, double row[DUEL_COEF]) {
  const double *beta = o->value[ADAM_BETAS].number;
  const double correct1 = 1 - pow(beta[0], (double)update), correct2 = 1 - pow(beta[1], (double)update);
  row[0] = lr / correct1;
  row[1] = 1 / sqrt(correct2);
  row[2] = o->value[ADAM_EPS].number[0];
  row[3] = 1 - lr * o->value[ADAM_DECAY].number[0];
  row[4] = beta[0];
  row[5] = 1 - beta[0];
  row[6] = beta[1];
  row[7] = 1 - beta[1];
}

static duel_val build_adam(duel_graph *g, duel_val p, const duel_val moment[DUEL_MAX_MOMENTS], duel_val grad,
                           duel_val coef) {
  duel_val out[4];
  duel_adam(g, p, moment[0], moment[1], grad, coef, out);
  return out[3];
}

// ---- sgd, with momentum as in PyTorch
enum { SGD_LR, SGD_MOMENTUM, SGD_DECAY };
static const duel_key keys_sgd[] = {
    LR,
    {"momentum", DUEL_KEY_NUMBER, "0", 0, DUEL_BELOW_1, NULL, "share of the last move that goes on"},
    WEIGHT_DECAY,
    {.name = NULL}};

static void coef_sgd(const duel_chosen *o, double lr, int64_t update, double row[DUEL_COEF]) {
  (void)update;
  row[0] = lr;
  row[3] = 1 - lr * o->value[SGD_DECAY].number[0];
  row[4] = o->value[SGD_MOMENTUM].number[0];
}

static duel_val build_sgd(duel_graph *g, duel_val p, const duel_val moment[DUEL_MAX_MOMENTS], duel_val grad,
                          duel_val coef) {
  duel_val out[3];
  duel_sgd(g, p, moment[0], grad, coef, out);
  return out[2];
}

static const duel_optimizer rows[] = {
    {{"adam", NULL, keys_adam, "steps as long as the gradient is steady"}, 2, coef_adam, build_adam},
    {{"sgd", NULL, keys_sgd, "steps along the gradient"}, 1, coef_sgd, build_sgd},
    {.kind = {.name = NULL}}};
const duel_table duel_optim_kinds = {rows, sizeof *rows, "optimizer"};
