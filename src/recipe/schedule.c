// Lengths and schedules as training meets them: in steps.
#include <math.h>

#include "recipe/recipe.h"

// ⌈a·b / c⌉ for a ≥ 0 and b, c > 0, in integers where a is one; INT64_MAX where it is larger.
static int64_t scaled(double a, int64_t b, int64_t c) {
  double items = a * (double)b, nearest = nearbyint(items);
  int64_t whole;
  if (a != floor(a) || a >= 0x1p53 || __builtin_mul_overflow((int64_t)a, b, &whole)) {
    // A fraction: 0.1 epochs of 60000 are 6000 items, not 6000.000000000001.
    if (fabs(items - nearest) > 1e-9 * nearest) nearest = ceil(items);
    if (nearest >= 0x1p63) return INT64_MAX;
    whole = (int64_t)nearest;
  }
  return whole / c + (whole % c != 0);
}

// Images of one of each unit.
static int64_t images_of(duel_unit unit, int64_t items_per_step, int64_t set_size) {
  const int64_t images[] = {
      [DUEL_STEPS] = items_per_step, [DUEL_EPOCHS] = set_size, [DUEL_IMAGES] = 1, [DUEL_KIMG] = 1000};
  return images[unit];
}

int64_t duel_length_steps(duel_length l, int64_t items_per_step, int64_t set_size) {
  if (l.unit == DUEL_STEPS) return scaled(l.n, 1, 1);
  return scaled(l.n, images_of(l.unit, items_per_step, set_size), items_per_step);
}

double duel_length_images(duel_length l, int64_t items_per_step, int64_t set_size) {
  return l.n * (double)images_of(l.unit, items_per_step, set_size);
}

double duel_schedule_at(const duel_schedule *s, int64_t step, int64_t total_steps, int64_t items_per_step,
                        int64_t set_size) {
  int64_t warmup = duel_length_steps(s->warmup, items_per_step, set_size);
  if (step < warmup) return s->from * (double)step / (double)warmup;
  if (s->curve == DUEL_CURVE_CONSTANT) return s->from;
  int64_t over = s->over.n > 0 ? duel_length_steps(s->over, items_per_step, set_size) : total_steps - warmup;
  int64_t done = step - warmup;
  if (done >= over) return s->to;
  double part = (double)done / (double)over;
  if (s->curve == DUEL_CURVE_COSINE) part = 0.5 * (1 - cos(3.14159265358979323846 * part));
  return s->from + (s->to - s->from) * part;
}
