#include "run/alarms/look.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "gan/games/game.h"

enum { FEW = 8, ITEMS = 64, NUMBERS = 1 << 20 }; // items, fewer where they are large
enum { WORK = 1 << 18 };                         // numbers compared, if one round of neighbours is not more
static const double FLOOR = 1e-3;                // of the data's distance: what counts as alike
static const double LEAST = 1e-6;                // where all of the data are alike
static const double END = 0.005;                 // of the reach: what counts as its end

// ---- measures

// f over the distances of item i of a and item i + k of b, for k = first, first + 1, … as far as the work allows.
static double over_pairs(const float *a, const float *b, int64_t n, int64_t size, int64_t first,
                         double (*f)(double distance, double floor), double floor) {
  const int64_t most = n / 2, afford = WORK / (n * size), rounds = afford < 1 ? 1 : afford < most ? afford : most;
  double sum = 0;
  int64_t pairs = 0;
  for (int64_t k = first; k < first + rounds; k++)
    for (int64_t i = 0; i < n; i++, pairs++) {
      const float *x = a + i * size, *y = b + (i + k) % n * size;
      double squares = 0;
      for (int64_t j = 0; j < size; j++) squares += (double)(x[j] - y[j]) * (double)(x[j] - y[j]);
      sum += f(sqrt(squares / (double)size), floor);
    }
  return sum / (double)pairs;
}

static double plain(double distance, double floor) {
  return distance + floor;
}

static double logarithm(double distance, double floor) {
  return log(distance + floor);
}

double duel_look_distance(const float *items, int64_t n, int64_t size) {
  return n < 2 ? 0 : over_pairs(items, items, n, size, 1, plain, 0);
}

double duel_look_spread(const float *items, int64_t n, int64_t size, double floor) {
  return n < 2 ? 0 : exp(over_pairs(items, items, n, size, 1, logarithm, floor));
}

double duel_look_apart(const float *a, const float *b, int64_t n, int64_t size) {
  return 2 * over_pairs(a, b, n, size, 0, plain, 0) - duel_look_distance(a, n, size) - duel_look_distance(b, n, size);
}

double duel_look_ends(const float *items, int64_t n, int64_t size, duel_reach reach) {
  const double margin = END * (reach.high - reach.low);
  int64_t at = 0;
  for (int64_t i = 0; i < n * size; i++)
    at += (double)items[i] <= reach.low + margin || (double)items[i] >= reach.high - margin;
  return (double)at / (double)(n * size);
}

// ---- the data

static int64_t items_of(int64_t size) {
  const int64_t fit = NUMBERS / size;
  return fit < FEW ? FEW : fit < ITEMS ? fit : ITEMS;
}

static bool bounded(const duel_look *l) {
  return isfinite(l->reach.low) && isfinite(l->reach.high);
}

static double floor_of(const duel_look *l) {
  return fmax(FLOOR * l->distance, LEAST);
}

// Items spread evenly over the set but not in its order, which may be that of classes: neighbors are compared.
static const double GOLDEN = 0.6180339887498949;

static duel_status read_data(const duel_look *l, const duel_dataset *d, float *dst) {
  for (int64_t i = 0; i < l->n; i++) {
    const double at = (double)i * GOLDEN;
    DUEL_TRY(duel_dataset_item(d, (int64_t)((at - floor(at)) * (double)d->items), dst + i * l->size));
  }
  return DUEL_OK;
}

static duel_status look_at_data(duel_look *l, const duel_dataset *d) {
  DUEL_TRY(read_data(l, d, l->real));
  l->distance = duel_look_distance(l->real, l->n, l->size);
  l->spread = duel_look_spread(l->real, l->n, l->size, floor_of(l));
  l->ends = bounded(l) ? duel_look_ends(l->real, l->n, l->size, l->reach) : 0;
  return duel_dataset_range(d, &l->low, &l->high);
}

static duel_status prepare_samples(duel_look *l, const duel_trainer *t) {
  const size_t latents = (size_t)(l->n * t->recipe->latent), items = (size_t)(l->n * l->size);
  l->latents = duel_malloc(latents * sizeof *l->latents);
  l->now = duel_malloc(items * sizeof *l->now);
  if (!l->latents || !l->now) return duel_fail_memory("a look at G's items", items * sizeof *l->now);
  duel_draw_normal((duel_draw){.seed = t->recipe->train.seed, .purpose = DUEL_PURPOSE_GRID}, 0, (int64_t)latents,
                   l->latents);
  return DUEL_OK;
}

duel_status duel_look_open(duel_look *l, const duel_trainer *t, bool plan_only) {
  const int net = t->model.game->samples;
  const duel_reach all = {.low = -INFINITY, .high = INFINITY};
  const int64_t size = t->data->item_count;
  *l = (duel_look){
      .n = items_of(size), .size = size, .reach = net < 0 ? all : duel_layers_reach(&t->recipe->net[net].layers)};
  l->real = duel_malloc((size_t)(l->n * l->size) * sizeof *l->real);
  if (!l->real) return duel_fail_memory("a look at the data", (size_t)(l->n * l->size) * sizeof *l->real);
  DUEL_TRY(look_at_data(l, t->data));
  return net < 0 || plan_only ? DUEL_OK : prepare_samples(l, t);
}

void duel_look_close(duel_look *l) {
  duel_free(l->real);
  duel_free(l->latents);
  duel_free(l->now);
  *l = (duel_look){.n = 0};
}

// ---- G's items

static bool all_finite(const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return false;
  return true;
}

duel_status duel_look_take(duel_look *l, duel_trainer *t) {
  if (!l->latents) return DUEL_OK;
  DUEL_TRY(duel_trainer_sample(t, l->latents, NULL, l->n, l->now));
  if (!all_finite(l->now, l->n * l->size)) return DUEL_OK;
  duel_scalars *s = &t->vars_of_step.scalars;
  DUEL_TRY(duel_scalars_tell(s, "spread_real", NULL, l->spread));
  DUEL_TRY(duel_scalars_tell(s, "spread_fake", NULL, duel_look_spread(l->now, l->n, l->size, floor_of(l))));
  DUEL_TRY(duel_scalars_tell(s, "apart", NULL, duel_look_apart(l->now, l->real, l->n, l->size)));
  if (bounded(l)) {
    DUEL_TRY(duel_scalars_tell(s, "ends_real", NULL, l->ends));
    DUEL_TRY(duel_scalars_tell(s, "ends_fake", NULL, duel_look_ends(l->now, l->n, l->size, l->reach)));
  }
  return DUEL_OK;
}
