#include "gan/inits.h"

#include <math.h>

// ---- torch: PyTorch's own for linear and convolution layers, U(−1/sqrt(fan_in), 1/sqrt(fan_in))
static duel_filling fill_torch(const duel_chosen *init, double fan_in, double fan_out) {
  (void)init, (void)fan_out;
  return (duel_filling){DUEL_UNIFORM, 0, (float)(1 / sqrt(fan_in))};
}

// ---- glorot: Glorot and Bengio 2010, eq. 16
static duel_filling fill_glorot_uniform(const duel_chosen *init, double fan_in, double fan_out) {
  (void)init;
  return (duel_filling){DUEL_UNIFORM, 0, (float)sqrt(6 / (fan_in + fan_out))};
}
static duel_filling fill_glorot_normal(const duel_chosen *init, double fan_in, double fan_out) {
  (void)init;
  return (duel_filling){DUEL_NORMAL, 0, (float)sqrt(2 / (fan_in + fan_out))};
}

// ---- he: He et al. 2015, arXiv:1502.01852
static duel_filling fill_he_normal(const duel_chosen *init, double fan_in, double fan_out) {
  (void)init, (void)fan_out;
  return (duel_filling){DUEL_NORMAL, 0, (float)sqrt(2 / fan_in)};
}

// ---- normal
enum { MEAN, STD };
static const duel_key keys_normal[] = {{"mean", DUEL_KEY_NUMBER, "0", -1e6, 1e6, NULL, "mean"},
                                       {"std", DUEL_KEY_NUMBER, "0.02", 0, 1e6, NULL, "standard deviation"},
                                       {.name = NULL}};
static duel_filling fill_normal(const duel_chosen *init, double fan_in, double fan_out) {
  (void)fan_in, (void)fan_out;
  return (duel_filling){DUEL_NORMAL, (float)init->value[MEAN].number[0], (float)init->value[STD].number[0]};
}

// ---- zeros, constant
static duel_filling fill_zeros(const duel_chosen *init, double fan_in, double fan_out) {
  (void)init, (void)fan_in, (void)fan_out;
  return (duel_filling){DUEL_FIXED, 0, 0};
}
static const duel_key keys_constant[] = {{"value", DUEL_KEY_NUMBER, NULL, -1e6, 1e6, NULL, "every number"},
                                         {.name = NULL}};
static duel_filling fill_constant(const duel_chosen *init, double fan_in, double fan_out) {
  (void)fan_in, (void)fan_out;
  return (duel_filling){DUEL_FIXED, (float)init->value[0].number[0], 0};
}

static const duel_init_kind rows[] = {
    {{"torch", NULL, duel_no_keys, "PyTorch's own: uniform in ±1/sqrt(fan_in)"}, fill_torch, true},
    {{"glorot_uniform", NULL, duel_no_keys, "uniform in ±sqrt(6/(fan_in + fan_out))"}, fill_glorot_uniform, false},
    {{"glorot_normal", NULL, duel_no_keys, "normal, variance 2/(fan_in + fan_out)"}, fill_glorot_normal, false},
    {{"he_normal", NULL, duel_no_keys, "normal, variance 2/fan_in"}, fill_he_normal, false},
    {{"normal", NULL, keys_normal, "normal with mean and std"}, fill_normal, false},
    {{"zeros", NULL, duel_no_keys, "all 0"}, fill_zeros, false},
    {{"constant", NULL, keys_constant, "all value"}, fill_constant, false},
    {.kind = {.name = NULL}}};
const duel_table duel_init_kinds = {rows, sizeof *rows, "initializer"};

static duel_filling fill_standard_normal(const duel_chosen *init, double fan_in, double fan_out) {
  (void)init, (void)fan_in, (void)fan_out;
  return (duel_filling){DUEL_NORMAL, 0, 1};
}
static const duel_init_kind standard_normal = {{"normal", NULL, duel_no_keys, "N(0, 1)"}, fill_standard_normal, false};
const duel_chosen duel_init_standard_normal = {&standard_normal.kind, NULL};
