// Which images G would yield, where those of the data are others. Invariant: whatever is said was tried, recipe and
// nets.
#include <string.h>

#include "gan/model.h"
#include "run/run.h"

enum { ROUNDS = 4, MOST = 1 << 14 };

// What the recipe's nets yield where the data have this shape; fit: and must yield.
static duel_status yields(const duel_recipe_source *source, const duel_data_shape *shape, bool fit, duel_shape *item) {
  duel_recipe *recipe;
  duel_vars vars = {.var = NULL};
  duel_model model;
  DUEL_TRY(duel_recipe_resolve(&recipe, source, shape));
  const duel_shape any = {0}, own = DUEL_SHAPE(shape->dim[0], shape->dim[1], shape->dim[2]);
  const duel_status status = duel_model_open(&model, recipe, fit ? own : any, shape->classes, &vars, DUEL_F32);
  if (status == DUEL_OK) *item = model.item;
  duel_model_close(&model);
  duel_vars_clear(&vars);
  duel_recipe_close(recipe);
  return status;
}

// What G yields for these data is what it might yield for data of that size too: nets of fixed sizes do, and those
// whose layers round down.
static bool find(const duel_recipe_source *source, duel_data_shape *shape) {
  for (int round = 0; round < ROUNDS; round++) {
    duel_shape item;
    if (yields(source, shape, false, &item) != DUEL_OK || item.rank != 3) return false;
    if (!memcmp(item.dim, shape->dim, sizeof shape->dim))
      return round > 0 && yields(source, shape, true, &item) == DUEL_OK;
    for (int i = 0; i < 3; i++)
      if (item.dim[i] < 1 || item.dim[i] > (i == 0 ? 4 : MOST) || (i == 0 && item.dim[i] == 2)) return false;
    memcpy(shape->dim, item.dim, sizeof shape->dim);
  }
  return false;
}

duel_status duel_sizes_advise(duel_status status, const char *error, const duel_recipe_source *source,
                              const duel_data_shape *data) {
  char size[64] = "", channels[32] = "";
  duel_data_shape fits = *data;
  if (!find(source, &fits)) return duel_fail_again(status, error);
  const long long h = fits.dim[1], w = fits.dim[2];
  if (data->fixed)
    return duel_fail(status,
                     "%s; or it takes %lld×%lld×%lld, but these data keep their size, so set options.data to others",
                     error, (long long)fits.dim[0], h, w);
  if (h == w && (h != data->dim[1] || w != data->dim[2])) snprintf(size, sizeof size, "data.size=%lld", h);
  if (h != w && (h != data->dim[1] || w != data->dim[2])) snprintf(size, sizeof size, "data.size=[%lld,%lld]", h, w);
  if (fits.dim[0] != data->dim[0]) snprintf(channels, sizeof channels, "data.channels=%lld", (long long)fits.dim[0]);
  return duel_fail(status, "%s; or use %s%s%s", error, size, *size && *channels ? " and " : "", channels);
}
