#include "gan/inits.h"

#include <math.h>
#include <stddef.h>

#include "base/mem.h"

// ---- torch: PyTorch's own for linear and convolution layers, U(−1/sqrt(fan_in), 1/sqrt(fan_in))
static duel_filling fill_torch(const duel_chosen *init, double fan_in, double fan_out) {
  (void)init, (void)fan_out;
  return (duel_filling){DUEL_UNIFORM, 0, (float)(1 / sqrt(fan_in))};
}

// ---- glorot and he, with a gain
static const duel_key keys_gain[] = {
    {"gain", DUEL_KEY_NUMBER, "1", DUEL_ABOVE_0, 1e6, NULL, "times the deviation that it has of itself"},
    {.name = NULL}};
static double gain_of(const duel_chosen *init) {
  return init->value[0].number[0];
}

// Glorot and Bengio 2010, eq. 16.
static duel_filling fill_glorot_uniform(const duel_chosen *init, double fan_in, double fan_out) {
  return (duel_filling){DUEL_UNIFORM, 0, (float)(gain_of(init) * sqrt(6 / (fan_in + fan_out)))};
}
static duel_filling fill_glorot_normal(const duel_chosen *init, double fan_in, double fan_out) {
  return (duel_filling){DUEL_NORMAL, 0, (float)(gain_of(init) * sqrt(2 / (fan_in + fan_out)))};
}

// He et al. 2015, arXiv:1502.01852.
static duel_filling fill_he_normal(const duel_chosen *init, double fan_in, double fan_out) {
  (void)fan_out;
  return (duel_filling){DUEL_NORMAL, 0, (float)(gain_of(init) * sqrt(2 / fan_in))};
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

// ---- orthogonal: Saxe, McClelland and Ganguli 2014, arXiv:1312.6120
static const duel_key keys_orthogonal[] = {{"gain", DUEL_KEY_NUMBER, "1", DUEL_ABOVE_0, 1e6, NULL, "length of a row"},
                                           {.name = NULL}};
static duel_filling fill_orthogonal(const duel_chosen *init, double fan_in, double fan_out) {
  (void)fan_in, (void)fan_out;
  return (duel_filling){DUEL_ORTHOGONAL, 0, (float)init->value[0].number[0]};
}

// Gram and Schmidt's, as modified: a vector, once of length 1, is taken out of all later ones. Vectors are columns of a
// [length, n], so that the inner loops run along rows.
static void orthogonalize(int64_t length, int64_t n, double *a, double *along) {
  for (int64_t k = 0; k < n; k++) {
    double squares = 0;
    for (int64_t i = 0; i < length; i++) squares += a[i * n + k] * a[i * n + k];
    const double norm = sqrt(squares);
    for (int64_t i = 0; i < length; i++) a[i * n + k] /= norm;
    for (int64_t j = k + 1; j < n; j++) along[j] = 0;
    for (int64_t i = 0; i < length; i++)
      for (int64_t j = k + 1; j < n; j++) along[j] += a[i * n + k] * a[i * n + j];
    for (int64_t i = 0; i < length; i++)
      for (int64_t j = k + 1; j < n; j++) a[i * n + j] -= a[i * n + k] * along[j];
  }
}

duel_status duel_orthogonal(int64_t rows, int64_t columns, float *x) {
  const bool wide = rows <= columns; // its vectors are rows, else columns
  const int64_t n = wide ? rows : columns, length = wide ? columns : rows;
  const int64_t step = wide ? columns : 1, along = wide ? 1 : columns; // from vector to vector, and along one
  const size_t bytes = (size_t)(n * length + n) * sizeof(double);
  double *a = duel_malloc(bytes);
  if (!a) return duel_fail_memory("an orthogonal weight", bytes);
  for (int64_t i = 0; i < length; i++)
    for (int64_t j = 0; j < n; j++) a[i * n + j] = (double)x[i * along + j * step];
  orthogonalize(length, n, a, a + n * length);
  for (int64_t i = 0; i < length; i++)
    for (int64_t j = 0; j < n; j++) x[i * along + j * step] = (float)a[i * n + j];
  duel_free(a);
  return DUEL_OK;
}

static const duel_init_kind rows[] = {
    {{"torch", NULL, duel_no_keys, "PyTorch's own: uniform in ±1/sqrt(fan_in)"}, .fill = fill_torch, .biases = true},
    {{"glorot_uniform", NULL, keys_gain, "uniform in ±gain·sqrt(6/(fan_in + fan_out))"}, .fill = fill_glorot_uniform},
    {{"glorot_normal", NULL, keys_gain, "normal, deviation gain·sqrt(2/(fan_in + fan_out))"},
     .fill = fill_glorot_normal},
    {{"he_normal", NULL, keys_gain, "normal, deviation gain·sqrt(2/fan_in)"}, .fill = fill_he_normal},
    {{"normal", NULL, keys_normal, "normal with mean and std"}, .fill = fill_normal},
    {{"orthogonal", NULL, keys_orthogonal, "rows that are orthogonal, or columns where those are fewer"},
     .fill = fill_orthogonal,
     .matrix = true},
    {{"zeros", NULL, duel_no_keys, "all 0"}, .fill = fill_zeros},
    {{"constant", NULL, keys_constant, "all value"}, .fill = fill_constant},
    {.kind = {.name = NULL}}};
const duel_table duel_init_kinds = {rows, sizeof *rows, "initializer"};

static duel_filling fill_standard_normal(const duel_chosen *init, double fan_in, double fan_out) {
  (void)init, (void)fan_in, (void)fan_out;
  return (duel_filling){DUEL_NORMAL, 0, 1};
}
static const duel_init_kind standard_normal = {{"normal", NULL, duel_no_keys, "N(0, 1)"}, .fill = fill_standard_normal};
const duel_chosen duel_init_standard_normal = {&standard_normal.kind, NULL};
