// duel.h, "runs": opening, advancing, describing, generating.
#include "run/run.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "gan/games/game.h"
#include "gan/penalties.h"
#include "io/image.h"
#include "run/registry.h"

// ---- opening

static bool sets_precision(const duel_run_options *o) {
  bool given = false;
  for (int i = 0; i < o->n_set; i++) given = given || !strcmp(o->set[i].key, "run.precision");
  return given;
}

// The options as settings of recipe keys: the caller's list, then those that have fields of their own; the precision
// that a checkpoint was trained in, unless another is asked for.
static duel_status load_recipe(duel_recipe_source **source, const duel_run_options *o, const duel_origin *origin) {
  duel_setting *setting = duel_calloc((size_t)o->n_set + 4, sizeof *setting);
  if (!setting) return duel_fail_memory("the recipe", ((size_t)o->n_set + 4) * sizeof *setting);
  int n = 0;
  for (int i = 0; i < o->n_set; i++) setting[n++] = (duel_setting){o->set[i].key, o->set[i].value, o->set[i].origin};
  char threads[16];
  snprintf(threads, sizeof threads, "%d", o->threads);
  if (o->data) setting[n++] = (duel_setting){"data.path", o->data, "options.data"};
  if (o->backend) setting[n++] = (duel_setting){"run.backend", o->backend, "options.backend"};
  if (o->threads) setting[n++] = (duel_setting){"run.threads", threads, "options.threads"};
  if (origin && origin->precision && !sets_precision(o))
    setting[n++] = (duel_setting){"run.precision", origin->precision, origin->path};
  // A new run may have data of another size, for which $H and the like are others.
  const char *nets = origin && o->init ? origin->source : NULL;
  const char *name = origin ? origin->name : o->recipe ? o->recipe : "mlp";
  const duel_status status = duel_recipe_load(source, name, origin ? origin->text : NULL, nets, setting, n);
  duel_free(setting);
  return status;
}

void duel_resolved_close(duel_resolved *r) {
  duel_recipe_close(r->recipe);
  duel_dataset_close(r->data);
  duel_dataset_close(r->test);
  *r = (duel_resolved){0};
}

// Whether the caller, and not the checkpoint, says where the data of this key lie.
static bool is_asked(const duel_run_options *o, const char *key) {
  bool asked = o->data && !strcmp(key, "data.path");
  for (int i = 0; i < o->n_set; i++)
    asked = asked || !strcmp(o->set[i].key, key) ||
            (!strcmp(o->set[i].key, "data") && (*o->set[i].value != '{' || strstr(o->set[i].value, key + 5)));
  return asked;
}

// Where a checkpoint's data lie: as its run saw them, else as its recipe says.
static const char *place_of(char place[PATH_MAX], const duel_run_options *o, const duel_origin *origin, const char *key,
                            const char *path) {
  char here[PATH_MAX], text[PATH_MAX + 256];
  if (!origin || is_asked(o, key)) return path;
  duel_places_find(place, origin->path, key);
  duel_place_of(here, path);
  if (!*place || !strcmp(place, here)) return path;
  snprintf(text, sizeof text, "%s: %.200s is read from %s, where it lay when the run began", key, path, place);
  if (o->on_note) o->on_note(o->data_ctx, text);
  return place;
}

static duel_status not_found(duel_status status, const duel_run_options *o, const duel_origin *origin,
                             const char *key) {
  if (status == DUEL_OK || !origin || is_asked(o, key)) return status;
  return duel_fail(status, "%s; %s is as the run of %s was told when it began: set %s to where they are now",
                   duel_last_error(), key, origin->path, strcmp(key, "data.path") ? key : "options.data");
}

// The data as the recipe asks for them; of a game that tells classes apart, its test set too.
static duel_status open_data(duel_resolved *r, const duel_recipe_source *source, const duel_run_options *o,
                             const duel_origin *origin) {
  duel_dataset_options how = duel_recipe_data_options(source);
  const duel_recipe *draft = duel_recipe_draft(source);
  const duel_game *game = duel_game_of(draft);
  char place[PATH_MAX];
  if (how.memory == 0) how.memory = (int64_t)(duel_host_memory() / 2);
  how.progress = o->on_data;
  how.note = o->on_note;
  how.ctx = o->data_ctx;
  const char *path = place_of(place, o, origin, "data.path", draft->data.path);
  DUEL_TRY(not_found(duel_dataset_open_with(&r->data, path, &how), o, origin, "data.path"));
  duel_place_of(r->places.data, path);
  path = draft->data.test;
  if (game->tests >= 0) {
    if (path) path = place_of(place, o, origin, "data.test", path);
    DUEL_TRY(not_found(duel_dataset_open_test(&r->test, r->data, path, &how), o, path ? origin : NULL, "data.test"));
    if (path) duel_place_of(r->places.test, path);
  }
  return game->labels ? duel_dataset_check_labels(r->data) : DUEL_OK;
}

// What goes on passes on what it was made from.
static duel_status keep_source(duel_recipe *r, const char *source) {
  r->source = duel_pool_text(r->pool, source, strlen(source));
  return r->source ? DUEL_OK : duel_fail_memory("a recipe", strlen(source));
}

duel_status duel_run_resolve(duel_resolved *r, const duel_run_options *o, const duel_origin *origin) {
  *r = (duel_resolved){0};
  duel_recipe_source *source = NULL;
  DUEL_TRY(load_recipe(&source, o, origin));
  duel_status status = o->sample_only ? DUEL_OK : open_data(r, source, o, origin);
  if (r->data) {
    r->shape = (duel_data_shape){.rank = r->data->rank,
                                 .classes = r->data->classes,
                                 .fixed = r->data->is_float ||
                                          !strncmp(duel_recipe_draft(source)->data.path, "synthetic:", 10)};
    memcpy(r->shape.dim, r->data->dim, sizeof r->shape.dim);
  }
  if (status == DUEL_OK) status = duel_recipe_resolve(&r->recipe, source, r->data ? &r->shape : NULL);
  if (status == DUEL_OK && origin && origin->source && !o->init) status = keep_source(r->recipe, origin->source);
  duel_recipe_source_close(source);
  if (status != DUEL_OK) duel_resolved_close(r);
  return status;
}

static duel_status check_samples(const duel_game *game) {
  if (game->samples >= 0) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE,
                   "the game %s draws no samples: no net of it yields items; take a run of another game, such as gan",
                   game->kind.kind.name);
}

static duel_status build(duel_run *run, const duel_run_options *o, duel_resolved *r) {
  const duel_backend_api *api;
  const duel_recipe *recipe = r->recipe;
  DUEL_TRY(duel_backend_choose(recipe->run.backend, recipe->run.device, &api, run->why, sizeof run->why));
  if (o->sample_only) DUEL_TRY(check_samples(duel_game_of(recipe)));
  const char *precision = strcmp(recipe->run.precision, "auto") ? recipe->run.precision : NULL;
  duel_backend_options device = {.threads = recipe->run.threads,
                                 .device = recipe->run.device,
                                 .precision = precision,
                                 .no_capture = !recipe->run.capture};
  return duel_trainer_open(&run->trainer, r, o->plan_only, api, &device);
}

duel_status duel_run_build(duel_run **result, const duel_run_options *o, duel_resolved *r) {
  duel_run *run = duel_calloc(1, sizeof *run);
  if (run) run->places = r->places;
  duel_status status = run ? build(run, o, r) : duel_fail_memory("a run", sizeof *run);
  duel_resolved_close(r);
  if (status != DUEL_OK) {
    duel_run_close(run);
    run = NULL;
  }
  *result = run;
  return status;
}

// Begins a new run's weights, and with init_optimizer its moments, from another run's.
static duel_status begin(duel_run *run, const duel_run_options *o, const duel_tensor_file *f) {
  duel_recipe_source *was = NULL;
  duel_origin origin;
  char note[1200];
  if (o->init_optimizer) {
    DUEL_TRY(duel_checkpoint_origin(f, o->init, &origin));
    DUEL_TRY(duel_recipe_load(&was, origin.name, origin.text, NULL, NULL, 0));
  }
  const char *cure =
      o->recipe ? "leave options.recipe out to take the recipe that the checkpoint holds, or name that of its run"
                : "leave out the settings that change its nets";
  const duel_status status =
      duel_trainer_begin(run->trainer, f, o->init, was ? duel_recipe_draft(was) : NULL, cure, note, sizeof note);
  duel_recipe_source_close(was);
  if (status == DUEL_OK && *note && o->on_note) o->on_note(o->data_ctx, note);
  return status;
}

static duel_status fill(duel_run *run, const duel_run_options *o, const duel_tensor_file *f) {
  if (o->checkpoint) return duel_trainer_load(run->trainer, f, o->checkpoint, !o->sample_only);
  if (!o->plan_only) DUEL_TRY(duel_trainer_init(run->trainer));
  return o->init ? begin(run, o, f) : DUEL_OK;
}

static duel_status advise_size(duel_status status, const duel_run_options *o, const duel_origin *origin,
                               const duel_data_shape *shape) {
  char error[4096];
  duel_recipe_source *source;
  snprintf(error, sizeof error, "%s", duel_last_error());
  if (load_recipe(&source, o, origin) != DUEL_OK) return duel_fail_again(status, error);
  status = duel_sizes_advise(status, error, source, shape);
  duel_recipe_source_close(source);
  return status;
}

// f: that of o->checkpoint or o->init, else NULL. origin: its recipe, NULL: that of the options.
static duel_status open_as(duel_run **run, const duel_run_options *o, const duel_tensor_file *f,
                           const duel_origin *origin) {
  duel_resolved resolved;
  DUEL_TRY(duel_run_resolve(&resolved, o, origin));
  const duel_data_shape shape = resolved.shape;
  duel_status status = duel_run_build(run, o, &resolved);
  if (status == DUEL_ERR_USAGE && shape.rank == 3) status = advise_size(status, o, origin, &shape);
  if (status == DUEL_ERR_USAGE && origin && o->init)
    return duel_fail(status, "%s\nthis is the recipe that %s holds: name one that suits these data by options.recipe",
                     duel_last_error(), origin->path);
  DUEL_TRY(status);
  status = fill(*run, o, f);
  if (status != DUEL_OK) {
    duel_run_close(*run);
    *run = NULL;
  }
  return status;
}

duel_status duel_checkpoint_origin(const duel_tensor_file *f, const char *path, duel_origin *origin) {
  const char *precision = duel_tensors_meta(f, "precision");
  *origin = (duel_origin){.text = duel_tensors_meta(f, "recipe"),
                          .name = duel_tensors_meta(f, "recipe.name"),
                          .source = duel_tensors_meta(f, "recipe.source"),
                          .path = path,
                          .precision = precision && strcmp(precision, "auto") ? precision : NULL};
  if (!origin->text || !origin->name)
    return duel_fail(DUEL_ERR_DATA,
                     "%s holds no recipe: it is no checkpoint of duel; weights alone go into a new run by options.init "
                     "and options.recipe",
                     path);
  duel_recipe_source *source;
  duel_status status = duel_recipe_load(&source, origin->name, origin->text, NULL, NULL, 0);
  if (status == DUEL_OK) duel_recipe_source_close(source);
  return status == DUEL_ERR_USAGE
             ? duel_fail(DUEL_ERR_DATA, "%s: its recipe cannot be read: %s", path, duel_last_error())
             : status;
}

static duel_status open_from(duel_run **run, const duel_run_options *o, const duel_tensor_file *f, const char *path) {
  duel_origin origin;
  if (o->recipe) return open_as(run, o, f, NULL);
  DUEL_TRY(duel_checkpoint_origin(f, path, &origin));
  if (o->checkpoint) origin.precision = NULL; // it may be another machine
  return open_as(run, o, f, &origin);
}

duel_status duel_run_open(duel_run **run, const duel_run_options *options) {
  const char *from = options->checkpoint ? options->checkpoint : options->init;
  *run = NULL;
  if (options->checkpoint && options->init)
    return duel_fail(DUEL_ERR_USAGE, "checkpoint and init exclude each other: the one goes on, the other starts anew");
  if (options->sample_only && !options->checkpoint) return duel_fail(DUEL_ERR_USAGE, "sampling needs a checkpoint");
  if (options->init_optimizer && !options->init)
    return duel_fail(DUEL_ERR_USAGE, "options.init_optimizer says what options.init takes: give both");
  if (!from) return open_as(run, options, NULL, NULL);
  duel_tensor_file f;
  DUEL_TRY(duel_tensors_read(&f, from));
  const duel_status status = open_from(run, options, &f, from);
  duel_tensors_close(&f);
  return status;
}

void duel_run_close(duel_run *run) {
  if (!run) return;
  duel_trainer_close(run->trainer);
  duel_free(run);
}

// ---- training

duel_status duel_run_advance(duel_run *run, int64_t steps) {
  return duel_trainer_advance(run->trainer, steps);
}

int duel_run_done(const duel_run *run) {
  return run->trainer->step >= run->trainer->steps;
}

duel_stats duel_run_latest(const duel_run *run) {
  const duel_trainer *t = run->trainer;
  const double seen = (double)t->settled * (double)duel_trainer_items_per_step(t);
  return (duel_stats){
      .step = t->settled, .steps = t->steps, .epoch = t->items ? seen / (double)t->items : 0, .kimg = seen / 1000};
}

duel_status duel_run_stats(duel_run *run, duel_stats *stats) {
  DUEL_TRY(duel_trainer_settle(run->trainer));
  *stats = duel_run_latest(run);
  return DUEL_OK;
}

duel_status duel_run_scalars(duel_run *run, int restart, const duel_scalar **scalars, int *n) {
  duel_scalars *all = &run->trainer->vars_of_step.scalars;
  DUEL_TRY(duel_trainer_settle(run->trainer));
  *n = duel_scalars_list(all, scalars);
  if (restart) duel_scalars_tick(all);
  return DUEL_OK;
}

double duel_run_scalar(duel_run *run, const char *name) {
  const duel_scalar *scalar;
  int n;
  if (duel_run_scalars(run, 0, &scalar, &n) != DUEL_OK) return (double)NAN;
  for (int i = 0; i < n; i++)
    if (!strcmp(scalar[i].name, name)) return scalar[i].value;
  return (double)NAN;
}

duel_status duel_run_save(duel_run *run, const char *path) {
  if (!run->trainer->train)
    return duel_fail(DUEL_ERR_USAGE, "a run opened for sampling or its plan only has no training state to save");
  return duel_trainer_save(run->trainer, path);
}

duel_status duel_run_weights(duel_run *run, float *weights) {
  return duel_trainer_weights(run->trainer, weights);
}

// ---- describing

duel_run_info duel_run_describe(const duel_run *run) {
  const duel_trainer *t = run->trainer;
  duel_run_info info = {
      .recipe = t->recipe->name,
      .data = t->data ? t->data->name : t->recipe->data.path,
      .backend = t->api->name,
      .device = t->api->describe(t->backend),
      .text = t->recipe->text,
      .items = t->items,
      .batch = t->recipe->train.batch,
      .steps = t->steps,
      .rank = t->model.item.rank,
      .classes = t->data ? t->data->classes : 0,
      .latent = t->recipe->latent,
      .conditional = t->model.labels,
      .n_nets = t->recipe->n_nets,
      .samples = t->model.game->samples >= 0,
      .seed = t->recipe->train.seed,
  };
  for (int net = 0; net < info.n_nets; net++) {
    info.net[net].name = t->recipe->net[net].name;
    info.net[net].parameters = t->model.net[net].params;
  }
  info.warning = t->api->warning ? t->api->warning(t->backend) : run->why;
  if (t->api->host_memory) info.threads = t->recipe->run.threads > 0 ? t->recipe->run.threads : duel_host_threads();
  if (t->n_variants > 0) {
    duel_plan_totals totals = duel_plan_sum(t->variant[0].plan);
    info.step_flops = totals.flops;
    info.step_bytes = totals.bytes;
    info.step_nodes = totals.nodes;
  }
  int64_t per_step = duel_trainer_items_per_step(t);
  info.items_per_step = per_step;
  info.steps_per_epoch = (t->items + per_step - 1) / per_step;
  for (int i = 0; i < info.rank && i < 3; i++) info.dim[i] = t->model.item.dim[i];
  info.memory_bytes = duel_memory_total(&t->memory);
  return info;
}

duel_status duel_run_print(duel_run *run, FILE *out, int plan) {
  const duel_trainer *t = run->trainer;
  char note[256];
  duel_model_print(&t->model, out);
  duel_penalties_note(&t->model, note, sizeof note);
  if (*note) fprintf(out, "%s\n\n", note);
  const duel_plan *p = t->n_variants > 0 ? t->variant[0].plan : t->sample_plan;
  duel_plan_totals totals = duel_plan_sum(p);
  fprintf(out, "memory");
  for (int arena = 0; arena < DUEL_ARENA_COUNT; arena++)
    fprintf(out, "%s %s %.2f MiB", arena ? "," : "", duel_arena_name((duel_arena)arena),
            (double)t->memory.bytes[arena] / 1048576);
  fprintf(out, "; %.1f MiB in all\nstep   %d nodes in %d groups, %.1f MFLOP, %.1f MiB moved\n",
          (double)duel_memory_total(&t->memory) / 1048576, totals.nodes, totals.groups, totals.flops / 1e6,
          totals.bytes / 1048576);
  if (plan) {
    fprintf(out, "\n");
    duel_plan_print(p, out);
  }
  return ferror(out) ? duel_fail(DUEL_ERR_IO, "the description could not be written") : DUEL_OK;
}

// ---- generating

duel_status duel_generate(duel_run *run, const uint64_t *seeds, int64_t n, float *dst) {
  return duel_generate_classes(run, seeds, NULL, n, dst);
}

static duel_status check_classes(const duel_run *run, const int32_t *classes, int64_t n) {
  const int64_t known = run->trainer->model.labels;
  if (!classes) return DUEL_OK;
  if (known == 0)
    return duel_fail(DUEL_ERR_USAGE, "generate: no net of %s reads labels, so it draws no classes; leave %s out",
                     run->trainer->recipe->name, "options.class");
  for (int64_t i = 0; i < n; i++)
    if (classes[i] < 0 || classes[i] >= known)
      return duel_fail(DUEL_ERR_USAGE, "generate: class %d is not there; classes are 0 to %lld", (int)classes[i],
                       (long long)known - 1);
  return DUEL_OK;
}

duel_status duel_generate_classes(duel_run *run, const uint64_t *seeds, const int32_t *classes, int64_t n, float *dst) {
  duel_trainer *t = run->trainer;
  int64_t latent = t->recipe->latent, item = duel_shape_count(t->model.item), chunk = t->vars_of_step.chunk;
  const int64_t known = t->model.labels;
  DUEL_TRY(check_samples(t->model.game));
  if (n < 1) return duel_fail(DUEL_ERR_USAGE, "generate: %lld items; at least 1 is needed", (long long)n);
  DUEL_TRY(check_classes(run, classes, n));
  float *z = duel_malloc((size_t)(chunk * latent) * sizeof *z);
  int32_t label[DUEL_MOST_CHUNK];
  if (!z) return duel_fail_memory("latents", (size_t)(chunk * latent) * sizeof *z);
  duel_status status = DUEL_OK;
  for (int64_t first = 0; first < n && status == DUEL_OK; first += chunk) {
    int64_t now = n - first < chunk ? n - first : chunk;
    for (int64_t i = 0; i < now; i++) {
      duel_draw_normal((duel_draw){.seed = seeds[first + i], .purpose = DUEL_PURPOSE_EVAL}, 0, latent, z + i * latent);
      label[i] = classes ? classes[first + i] : (int32_t)(known > 0 ? seeds[first + i] % (uint64_t)known : 0);
    }
    status = duel_trainer_sample(t, z, label, now, dst + first * item);
    for (int64_t i = 0; status == DUEL_OK && i < now * item; i++)
      if (!isfinite(dst[first * item + i]))
        status = duel_fail(DUEL_ERR_DIVERGED,
                           "G makes no finite numbers of seed %llu: its training diverged; use an earlier checkpoint",
                           (unsigned long long)seeds[first + i / item]);
  }
  duel_free(z);
  return status;
}

duel_status duel_generate_png(duel_run *run, const char *path, int rows, int columns, uint64_t first_seed) {
  const duel_shape item = run->trainer->model.item;
  if (rows < 1 || columns < 1 || rows > 1024 || columns > 1024)
    return duel_fail(DUEL_ERR_USAGE, "a grid of %d×%d; 1×1 to 1024×1024 are possible", rows, columns);
  if (item.rank != 3 && !(item.rank == 1 && item.dim[0] == 2))
    return duel_fail(DUEL_ERR_USAGE, "items of %s cannot be drawn; images C×H×W and points of 2 numbers can",
                     duel_shape_text(item));
  const int64_t n = (int64_t)rows * columns, chunk = run->trainer->vars_of_step.chunk, most = chunk < n ? chunk : n;
  const bool points = item.rank == 1;
  uint64_t *seeds = duel_malloc((size_t)most * sizeof *seeds);
  const size_t bytes = (size_t)((points ? n : most) * duel_shape_count(item)) * sizeof(float);
  float *items = duel_malloc(bytes);
  duel_grid *grid = NULL;
  duel_status status = seeds && items ? DUEL_OK : duel_fail_memory("a grid", bytes);
  if (status == DUEL_OK && !points) status = duel_grid_begin(&grid, path, n, columns, item.dim);
  for (int64_t first = 0; status == DUEL_OK && first < n; first += chunk) {
    const int64_t now = n - first < chunk ? n - first : chunk;
    for (int64_t i = 0; i < now; i++) seeds[i] = first_seed + (uint64_t)(first + i);
    status = duel_generate(run, seeds, now, points ? items + 2 * first : items);
    if (status == DUEL_OK && grid) status = duel_grid_add(grid, items, now);
  }
  if (status == DUEL_OK) status = grid ? duel_grid_end(grid) : duel_scatter_write(path, items, n, NULL, 0, 512);
  duel_grid_close(grid);
  duel_free(seeds);
  duel_free(items);
  return status;
}

const char *duel_did_you_mean(const char *word, const char *const *known, int n) {
  return duel_suggest(word, known, n);
}
