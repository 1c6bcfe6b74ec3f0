// Synthetic sets. Invariant: the same bits on every machine, so only draws of base/rng.h, literals, and operations that
// IEEE 754 rounds correctly (+ − × ÷ √) enter; no libm.
#include "io/data/synthetic.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

enum { ITEMS = 10000, PURPOSE_RING = 64, PURPOSE_SHAPES = 65, PURPOSE_GRID = 66 };

static duel_status allocate(duel_dataset *d, const char *name, int64_t limit, size_t element) {
  d->items = limit > 0 && limit < ITEMS ? limit : ITEMS;
  d->item_count = 1;
  for (int i = 0; i < d->rank; i++) d->item_count *= d->dim[i];
  size_t bytes = (size_t)(d->items * d->item_count) * element;
  d->name = duel_strdup(name);
  d->values = duel_malloc(bytes);
  d->labels = duel_malloc((size_t)d->items);
  if (!d->name || !d->values || !d->labels) return duel_fail_memory(name, bytes);
  for (int64_t i = 0; i < d->items; i++) d->labels[i] = (uint8_t)(i % d->classes);
  return DUEL_OK;
}

// Points of 2 numbers, Gaussians around the centers: item i belongs to center i mod modes.
static duel_status fill_points(duel_dataset *d, int64_t limit, const char *name, uint32_t purpose, int modes,
                               const float (*center)[2], double sigma) {
  d->rank = 1;
  d->dim[0] = 2;
  d->is_float = 1;
  d->classes = modes;
  DUEL_TRY(allocate(d, name, limit, sizeof(float)));
  float *value = d->values;
  duel_draw_normal((duel_draw){.purpose = purpose}, 0, 2 * d->items, value);
  for (int64_t i = 0; i < 2 * d->items; i++) value[i] = center[i / 2 % modes][i % 2] + (float)sigma * value[i];
  return DUEL_OK;
}

static duel_status fill_ring(duel_dataset *d, int64_t limit) {
  static const float h = 0.70710678f; // √½
  static const float center[DUEL_RING_MODES][2] = {{1, 0},  {h, h},   {0, 1},  {-h, h},
                                                   {-1, 0}, {-h, -h}, {0, -1}, {h, -h}};
  return fill_points(d, limit, "ring", PURPOSE_RING, DUEL_RING_MODES, center, DUEL_RING_SIGMA);
}

static duel_status fill_grid(duel_dataset *d, int64_t limit) {
  float center[DUEL_GRID_MODES][2];
  for (int m = 0; m < DUEL_GRID_MODES; m++) {
    center[m][0] = (float)(m % 5 - 2);
    center[m][1] = (float)(m / 5 - 2);
  }
  return fill_points(d, limit, "grid", PURPOSE_GRID, DUEL_GRID_MODES, center, DUEL_GRID_SIGMA);
}

// Signed distance from (x, y) to the shape of radius r around the origin: negative inside.
static float distance(int shape, float x, float y, float r) {
  float ax = fabsf(x), ay = fabsf(y);
  switch (shape) {
  case 0:
    return sqrtf(x * x + y * y) - r;
  case 1:
    return fmaxf(ax, ay) - 0.85f * r;
  case 2:
    return fmaxf(0.8660254f * ax - 0.5f * y, y) - 0.5f * r; // equilateral, point upwards (y runs down)
  default:
    return fminf(fmaxf(ax - r, ay - 0.3f * r), fmaxf(ax - 0.3f * r, ay - r));
  }
}

static duel_status fill_shapes(duel_dataset *d, int64_t limit) {
  enum { SIDE = 28 };
  d->rank = 3;
  d->dim[0] = 1;
  d->dim[1] = d->dim[2] = SIDE;
  d->classes = 4; // disc, square, triangle, cross
  DUEL_TRY(allocate(d, "shapes", limit, 1));
  uint8_t *pixel = d->values;
  for (int64_t i = 0; i < d->items; i++) {
    float u[3];
    duel_draw_uniform((duel_draw){.purpose = PURPOSE_SHAPES}, 4 * i, 3, u);
    float r = 5 + 5 * u[0], run = SIDE - 4 - 2 * r; // two pixels off the border: corners are mitered by up to one
    float cx = 2 + r + run * u[1], cy = 2 + r + run * u[2];
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++) { // the middle's distance to the edge tells how much of the pixel is covered
        float covered = 0.5f - distance((int)(i % d->classes), (float)x + 0.5f - cx, (float)y + 0.5f - cy, r);
        *pixel++ = covered <= 0 ? 0 : covered >= 1 ? 255 : (uint8_t)(covered * 255 + 0.5f);
      }
  }
  return DUEL_OK;
}

static const struct {
  duel_synthetic set;
  duel_status (*fill)(duel_dataset *d, int64_t limit);
} sets[] = {{{"ring", "8 Gaussians on the unit circle, points of 2 numbers; made in memory"}, fill_ring},
            {{"grid", "25 Gaussians, 5 by 5, points of 2 numbers; made in memory"}, fill_grid},
            {{"shapes", "disc, square, triangle, cross, 28×28 grey; made in memory"}, fill_shapes}};

const duel_synthetic *duel_synthetic_set(int i) {
  return i < (int)(sizeof sets / sizeof *sets) ? &sets[i].set : NULL;
}

duel_status duel_synthetic_fill(duel_dataset *d, const char *name, int64_t limit) {
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    if (!strcmp(name, sets[i].set.name)) return sets[i].fill(d, limit);
  return duel_fail(DUEL_ERR_USAGE, "there is no synthetic set '%s'; %s are made here", name, DUEL_SYNTHETIC_NAMES);
}
