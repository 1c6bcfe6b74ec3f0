// Sample grids of a run: fakes of the same latents all along, and real items laid out alike.
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/image.h"
#include "run/rundir.h"

enum { COLUMNS = 16, ROWS = 10, POINTS = 1000, SCATTER_SIZE = 512 };

// 10×16 cells for images (or one row a class, where there are 2 to 32), 1000 points for points, 0 for what cannot be
// drawn.
static int64_t cells(const duel_trainer *t) {
  const duel_shape item = t->model.item;
  if (item.rank == 1) return item.dim[0] == 2 ? POINTS : 0;
  return COLUMNS * (t->data->classes >= 2 && t->data->classes <= 32 ? t->data->classes : ROWS);
}

// n real items: the first 16 of each class, row by row, or the first n of the set.
static duel_status real_items(duel_trainer *t, int64_t n, float *dst) {
  int64_t *number = duel_malloc((size_t)n * sizeof *number), filled = 0;
  if (!number) return duel_fail_memory("a picture", (size_t)n * sizeof *number);
  if (t->data->labels && n == COLUMNS * t->data->classes && t->model.item.rank == 3) {
    for (int64_t class = 0; class < t->data->classes; class ++)
      for (int64_t i = 0, seen = 0; i < t->items && seen < COLUMNS; i++)
        if (t->data->labels[i] == class) number[filled++] = i, seen++;
  }
  if (filled < n) // no labels, or a class with few items
    for (filled = 0; filled < n; filled++) number[filled] = filled % t->items;
  duel_status status = duel_trainer_real(t, number, n, dst);
  duel_free(number);
  return status;
}

static duel_status draw(const char *path, const duel_trainer *t, const float *items, int64_t n, const float *real) {
  return t->model.item.rank == 3 ? duel_grid_write(path, items, n, COLUMNS, t->model.item.dim)
                                 : duel_scatter_write(path, items, n, real, real ? n : 0, SCATTER_SIZE);
}

duel_status duel_rundir_fakes(const duel_rundir *d, duel_run *run, char *path, size_t size) {
  duel_trainer *t = run->trainer;
  int64_t n = cells(t), latent = t->recipe->latent, item = duel_shape_count(t->model.item);
  char name[64];
  *path = 0;
  if (n == 0) return DUEL_OK;
  snprintf(name, sizeof name, "fakes-%08" PRId64 ".png", t->step);
  DUEL_TRY(duel_rundir_file(d, name, path, size));
  float *z = duel_malloc((size_t)(n * latent) * sizeof *z),
        *fakes = duel_malloc((size_t)(2 * n * item) * sizeof *fakes);
  duel_status status = z && fakes ? DUEL_OK : duel_fail_memory("a picture", (size_t)(2 * n * item) * sizeof *fakes);
  if (status == DUEL_OK) {
    duel_draw_normal((duel_draw){.seed = t->recipe->train.seed, .purpose = DUEL_PURPOSE_GRID}, 0, n * latent, z);
    status = duel_trainer_sample(t, z, n, fakes);
  }
  float *real = fakes ? fakes + n * item : NULL; // behind the fakes in a scatter plot
  if (status == DUEL_OK && t->model.item.rank == 1) status = real_items(t, n, real);
  if (status == DUEL_OK) status = draw(path, t, fakes, n, t->model.item.rank == 1 ? real : NULL);
  duel_free(z);
  duel_free(fakes);
  return status;
}

duel_status duel_rundir_reals(const duel_rundir *d, duel_run *run) {
  duel_trainer *t = run->trainer;
  int64_t n = cells(t), item = duel_shape_count(t->model.item);
  char path[3200];
  if (n == 0) return DUEL_OK;
  DUEL_TRY(duel_rundir_file(d, "reals.png", path, sizeof path));
  float *items = duel_malloc((size_t)(n * item) * sizeof *items);
  if (!items) return duel_fail_memory("a picture", (size_t)(n * item) * sizeof *items);
  duel_status status = real_items(t, n, items);
  if (status == DUEL_OK) status = draw(path, t, items, n, NULL);
  duel_free(items);
  return status;
}
