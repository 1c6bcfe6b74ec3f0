// Sample grids of a run: fakes of the same latents all along, and real items laid out alike. Invariant: items are drawn
// a few at a time, so that a picture takes the memory of one row of its cells.
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/image.h"
#include "run/rundir.h"

enum { COLUMNS = 16, ROWS = 10, MOST_CLASSES = 32, POINTS = 1000, SCATTER_SIZE = 512 };
enum { WIDTH = 4096, HEIGHT = 2560 }; // pixels of a picture, where the recipe asks for no other number of cells

typedef struct layout {
  int64_t rows, columns; // rows 0: nothing that can be drawn
  bool by_class;         // row r of the real items is of class r
} layout;

static int64_t at_most(int64_t cells, int64_t pixels, int64_t side) {
  const int64_t fit = pixels / side > 1 ? pixels / side : 1;
  return cells < fit ? cells : fit;
}

// 10×16 cells for images (or one row a class, where there are 2 to 32 or the nets are told it), fewer of large ones;
// 1000 points.
static layout layout_of(const duel_trainer *t) {
  const duel_shape item = t->model.item;
  const int64_t *asked = t->recipe->output.grid, classes = t->data->classes;
  const bool few = classes >= 2 && classes <= MOST_CLASSES;
  if (item.rank == 1) return (layout){.rows = item.dim[0] == 2, .columns = POINTS};
  const int64_t told = t->model.labels;
  layout l = {.rows = at_most(told > 0 ? told
                              : few    ? classes
                                       : ROWS,
                              HEIGHT, item.dim[1]),
              .columns = at_most(COLUMNS, WIDTH, item.dim[2])};
  if (asked[0] > 0) l = (layout){.rows = asked[0], .columns = asked[1]};
  l.by_class = (few || told > 0) && t->data->labels && l.rows <= classes;
  return l;
}

void duel_rundir_note(const duel_run *run, char *text, size_t n) {
  const duel_trainer *t = run->trainer;
  const layout l = layout_of(t);
  *text = 0;
  if (t->model.item.rank != 3 || l.rows >= t->model.labels) return;
  snprintf(text, n,
           "pictures have a class a row and show classes 0 to %lld of %lld; set output.grid=[%lld, %lld] to see all",
           (long long)l.rows - 1, (long long)t->model.labels, (long long)t->model.labels, (long long)l.columns);
}

static duel_status check_grid(const duel_trainer *t, layout l) {
  enum { MOST = 65535 }; // pixels a side: what viewers and other formats can take
  const int64_t *dim = t->model.item.dim, height = l.rows * dim[1], width = l.columns * dim[2];
  if (t->recipe->output.grid[0] == 0 || t->model.item.rank != 3 || (height <= MOST && width <= MOST)) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE,
                   "output.grid: a picture of %lld by %lld cells of %lld×%lld pixels is too large; set fewer rows and "
                   "columns, as in output.grid=[4, 8]",
                   (long long)l.rows, (long long)l.columns, (long long)dim[1], (long long)dim[2]);
}

// ---- real items

// Their numbers: the first ones of each class, row by row, or the first of the set.
static void choose_real(const duel_trainer *t, layout l, int64_t *number) {
  int64_t filled = 0;
  for (int64_t class = 0; l.by_class && class < l.rows; class ++)
    for (int64_t i = 0, seen = 0; i < t->items && seen < l.columns; i++)
      if (t->data->labels[i] == class) number[filled++] = i, seen++;
  if (filled < l.rows * l.columns) // no labels, or a class with few items
    for (filled = 0; filled < l.rows * l.columns; filled++) number[filled] = filled % t->items;
}

static duel_status draw_real(duel_trainer *t, const int64_t *number, int64_t n, float *item, duel_grid *grid) {
  for (int64_t i = 0; i < n; i++) {
    DUEL_TRY(duel_trainer_real(t, &number[i], 1, item));
    DUEL_TRY(duel_grid_add(grid, item, 1));
  }
  return duel_grid_end(grid);
}

static duel_status real_images(const char *path, duel_trainer *t, layout l, const int64_t *number) {
  const int64_t n = l.rows * l.columns;
  const size_t bytes = (size_t)duel_shape_count(t->model.item) * sizeof(float);
  duel_grid *grid = NULL;
  float *item = duel_malloc(bytes);
  if (!item) return duel_fail_memory("a picture", bytes);
  duel_status status = duel_grid_begin(&grid, path, n, l.columns, t->model.item.dim);
  if (status == DUEL_OK) status = draw_real(t, number, n, item, grid);
  duel_grid_close(grid);
  duel_free(item);
  return status;
}

duel_status duel_rundir_reals(const duel_rundir *d, duel_run *run) {
  duel_trainer *t = run->trainer;
  const layout l = layout_of(t);
  const int64_t n = l.rows * l.columns;
  char path[3200];
  float points[2 * POINTS];
  if (n == 0) return DUEL_OK;
  DUEL_TRY(check_grid(t, l));
  DUEL_TRY(duel_rundir_file(d, "reals.png", path, sizeof path));
  int64_t *number = duel_malloc((size_t)n * sizeof *number);
  if (!number) return duel_fail_memory("a picture", (size_t)n * sizeof *number);
  choose_real(t, l, number);
  duel_status status;
  if (t->model.item.rank == 3) {
    status = real_images(path, t, l, number);
  } else {
    status = duel_trainer_real(t, number, n, points);
    if (status == DUEL_OK) status = duel_scatter_write(path, points, n, NULL, 0, SCATTER_SIZE);
  }
  duel_free(number);
  return status;
}

// ---- fakes

// A class a row of the grid, one after another of points.
static int32_t class_of(const duel_trainer *t, layout l, int64_t i) {
  const int64_t classes = t->model.labels > 0 ? t->model.labels : 1;
  return (int32_t)((t->model.item.rank == 3 ? i / l.columns : i) % classes);
}

// Item after item of fixed latents, to the grid or into points.
static duel_status draw_fakes(duel_trainer *t, layout l, float *latents, duel_grid *grid, float *points) {
  const int64_t n = l.rows * l.columns;
  const int64_t chunk = t->vars_of_step.chunk, latent = t->recipe->latent;
  const duel_draw draw = {.seed = t->recipe->train.seed, .purpose = DUEL_PURPOSE_GRID};
  for (int64_t first = 0; first < n; first += chunk) {
    const int64_t now = n - first < chunk ? n - first : chunk;
    const float *items = NULL;
    int32_t labels[DUEL_MOST_CHUNK];
    for (int64_t i = 0; i < now; i++) labels[i] = class_of(t, l, first + i);
    duel_draw_normal(draw, first * latent, now * latent, latents);
    DUEL_TRY(duel_trainer_sample_chunk(t, latents, labels, now, &items));
    if (grid)
      DUEL_TRY(duel_grid_add(grid, items, now));
    else
      memcpy(points + 2 * first, items, (size_t)(2 * now) * sizeof *points);
  }
  return grid ? duel_grid_end(grid) : DUEL_OK;
}

static duel_status fake_points(const char *path, duel_trainer *t, float *latents) {
  float points[2 * POINTS], real[2 * POINTS];
  int64_t number[POINTS];
  choose_real(t, layout_of(t), number);
  DUEL_TRY(draw_fakes(t, layout_of(t), latents, NULL, points));
  DUEL_TRY(duel_trainer_real(t, number, POINTS, real)); // behind the fakes
  return duel_scatter_write(path, points, POINTS, real, POINTS, SCATTER_SIZE);
}

static duel_status fake_images(const char *path, duel_trainer *t, layout l, float *latents) {
  duel_grid *grid;
  DUEL_TRY(duel_grid_begin(&grid, path, l.rows * l.columns, l.columns, t->model.item.dim));
  const duel_status status = draw_fakes(t, l, latents, grid, NULL);
  duel_grid_close(grid);
  return status;
}

duel_status duel_rundir_fakes(const duel_rundir *d, duel_run *run, char *path, size_t size) {
  duel_trainer *t = run->trainer;
  const layout l = layout_of(t);
  char name[64];
  *path = 0;
  if (l.rows == 0) return DUEL_OK;
  DUEL_TRY(check_grid(t, l)); // a resume may ask for another one
  snprintf(name, sizeof name, "fakes-%08" PRId64 ".png", t->step);
  DUEL_TRY(duel_rundir_file(d, name, path, size));
  const size_t bytes = (size_t)(t->vars_of_step.chunk * t->recipe->latent) * sizeof(float);
  float *latents = duel_malloc(bytes);
  if (!latents) return duel_fail_memory("a picture", bytes);
  const duel_status status = t->model.item.rank == 3 ? fake_images(path, t, l, latents) : fake_points(path, t, latents);
  duel_free(latents);
  return status;
}
