#include "run/trainer.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "core/passes/passes.h"
#include "gan/games.h"
#include "gan/losses.h"

int64_t duel_trainer_items_per_step(const duel_trainer *t) {
  return t->recipe->train.batch * duel_gan_d_steps(t->recipe);
}

// ---- opening

static duel_status plan_graph(duel_trainer *t, duel_graph *g, duel_plan **plan) {
  return duel_plan_for(plan, g, DUEL_PASS_ALL, t->api, t->backend);
}

static duel_status open_graphs(duel_trainer *t) {
  const duel_dataset *data = t->data;
  duel_dtype real = t->api->real;
  duel_shape item = {0};
  if (data) item = duel_shape_of(data->rank, data->dim);
  DUEL_TRY(duel_model_open(&t->model, t->recipe, item, &t->vars, real));
  DUEL_TRY(duel_step_vars(&t->vars_of_step, &t->model, &t->vars, real, data && data->is_float ? DUEL_F32 : DUEL_U8,
                          t->items, t->streamed));
  duel_graph *g;
  DUEL_TRY(duel_step_sample(&g, &t->vars_of_step, &t->model, &t->vars, real));
  DUEL_TRY(plan_graph(t, g, &t->sample_plan));
  if (!data) return DUEL_OK;
  DUEL_TRY(duel_step_train(&g, &t->vars_of_step, &t->model, &t->vars, real));
  return plan_graph(t, g, &t->train_plan);
}

static size_t work_bytes(const duel_trainer *t) {
  size_t sample = t->sample_plan->work_bytes, train = t->train_plan ? t->train_plan->work_bytes : 0;
  return sample > train ? sample : train;
}

static void close_graphs(duel_trainer *t) {
  duel_plan_close(t->train_plan);
  duel_plan_close(t->sample_plan);
  duel_model_close(&t->model);
  duel_vars_clear(&t->vars);
}

// ---- a memory that is too small

// Bytes of all arenas together, had the recipe this batch; 0 if it cannot be planned.
static double bytes_with_batch(const duel_trainer *t, int64_t batch) {
  duel_trainer trial = {.recipe = t->recipe, .data = t->data, .api = t->api, .backend = t->backend};
  trial.items = t->items;
  trial.streamed = t->streamed;
  const int64_t given = t->recipe->train.batch;
  double bytes = 0;
  t->recipe->train.batch = batch;
  if (open_graphs(&trial) == DUEL_OK) {
    duel_memory_measure(&trial.memory, &trial.vars, work_bytes(&trial));
    bytes = (double)duel_memory_total(&trial.memory);
  }
  t->recipe->train.batch = given;
  close_graphs(&trial);
  return bytes;
}

// The memory that a failed opening left is all there again. Rings and libraries take some too.
static int64_t largest_batch(const duel_trainer *t, double room) {
  int64_t fits = 0, too_large = t->recipe->train.batch;
  while (too_large - fits > 1 + fits / 64) { // to within two percent
    const int64_t batch = fits + (too_large - fits) / 2;
    const double bytes = bytes_with_batch(t, batch);
    if (bytes > 0 && bytes <= 0.9 * room)
      fits = batch;
    else
      too_large = batch;
  }
  return fits;
}

static void name_largest(const duel_plan *p, char *text, size_t n) {
  const duel_value *seen[3] = {NULL};
  text[0] = 0;
  for (int k = 0; k < 3; k++) {
    int best = -1;
    for (int v = 0; v < p->graph->n_values; v++) {
      if (p->place[v].arena != DUEL_ARENA_WORK || &p->graph->value[v] == seen[0] || &p->graph->value[v] == seen[1])
        continue;
      if (best < 0 || p->place[v].bytes > p->place[best].bytes) best = v;
    }
    if (best < 0) return;
    seen[k] = &p->graph->value[best];
    const duel_node *node = p->graph->node[seen[k]->node];
    const size_t at = strlen(text);
    snprintf(text + at, n - at, "%s%s%s%s %s (%.1f MiB)", k ? ", " : "", node->label, node->label[0] ? ": " : "",
             duel_op_name(node->op), duel_shape_text(seen[k]->shape), (double)p->place[best].bytes / 1048576);
  }
}

static duel_status advise(duel_trainer *t, duel_status status) {
  const double room = t->api->room ? t->api->room(t->backend) : 0;
  if (status != DUEL_ERR_DEVICE || room <= 0 || !t->train_plan) return status;
  char reason[1024], tensors[512];
  snprintf(reason, sizeof reason, "%s", duel_last_error());
  name_largest(t->train_plan, tensors, sizeof tensors);
  const int64_t batch = largest_batch(t, room);
  if (batch == 0) return duel_fail(status, "%s; not even a batch of 1 fits; largest tensors: %s", reason, tensors);
  return duel_fail(status, "%s; the largest batch that fits is about %lld; largest tensors: %s", reason,
                   (long long)batch, tensors);
}

// ---- memory

// A step's inputs were added one after another, so they are one block to copy, in whole words.
static void use_block(duel_trainer *t, unsigned char *block) {
  const duel_step *s = &t->vars_of_step;
  const duel_var *key = &t->vars.var[s->key], *index = &t->vars.var[s->index], *coef = &t->vars.var[s->coef];
  t->block = block;
  t->key = (uint32_t *)(void *)block;
  t->index = (int32_t *)(void *)(block + (index->offset - key->offset));
  t->coef = (float *)(void *)(block + (coef->offset - key->offset));
}

static duel_status open_step(duel_trainer *t) {
  const duel_step *s = &t->vars_of_step;
  const duel_var *key = &t->vars.var[s->key], *data = &t->vars.var[s->data];
  const duel_var *last = t->streamed ? data : &t->vars.var[s->coef];
  duel_feed feed = {.in = duel_memory_at(&t->memory, s->key),
                    .out = duel_memory_at(&t->memory, s->metrics),
                    .in_bytes = (last->offset + last->bytes - key->offset + 3) / 4 * 4,
                    .out_bytes = t->vars.var[s->metrics].bytes};
  if (t->streamed) {
    DUEL_TRY(duel_prefetch_open(&t->prefetch, t->data, t->recipe->train.seed, duel_trainer_items_per_step(t),
                                (feed.in_bytes + DUEL_ALIGN - 1) / DUEL_ALIGN * DUEL_ALIGN,
                                data->offset - key->offset));
  } else {
    unsigned char *block = duel_calloc(1, feed.in_bytes);
    if (!block) return duel_fail_memory("the inputs of a step", feed.in_bytes);
    use_block(t, block);
  }
  return duel_exec_open(&t->train, t->train_plan, &t->memory, &feed);
}

static duel_status open_memory(duel_trainer *t) {
  void *values = t->data && !t->streamed ? t->data->values : NULL;
  duel_status status = duel_memory_open_lent(&t->memory, t->api, t->backend, &t->vars, work_bytes(t), values);
  if (status != DUEL_OK) return advise(t, status);
  DUEL_TRY(duel_exec_open(&t->sample, t->sample_plan, &t->memory, NULL));
  const duel_step *s = &t->vars_of_step;
  int64_t item = duel_shape_count(t->model.item);
  t->latents = duel_malloc((size_t)(s->chunk * t->recipe->latent) * sizeof *t->latents);
  t->samples = duel_malloc((size_t)(s->chunk * item) * sizeof *t->samples);
  if (!t->latents || !t->samples) return duel_fail_memory("sampling", (size_t)(s->chunk * item) * sizeof *t->samples);
  if (!t->data) return DUEL_OK;

  if (t->streamed) return open_step(t);
  if (!t->memory.lent) DUEL_TRY(duel_memory_write(&t->memory, s->data, values));
  size_t items = (size_t)t->items;
  t->order = duel_malloc(items * sizeof *t->order);
  t->order_scratch = duel_malloc(3 * items * sizeof *t->order_scratch);
  if (!t->order || !t->order_scratch) return duel_fail_memory("the order of the data", 4 * items * 4);
  return open_step(t);
}

// Whether the data would take more than half of the device's own memory.
static bool too_large(const duel_trainer *t) {
  const double room = t->api->host_memory || !t->api->room ? 0 : t->api->room(t->backend);
  return room > 0 && (double)t->items * (double)duel_dataset_item_bytes(t->data) > room / 2;
}

static duel_status plan(duel_trainer *t, const duel_backend_options *options) {
  if (t->data) {
    t->items = t->data->items;
    if (t->items >= INT64_C(1) << 31) return duel_fail(DUEL_ERR_DATA, "%s has 2^31 items or more", t->data->name);
    t->steps = duel_length_steps(t->recipe->train.length, duel_trainer_items_per_step(t), t->items);
    if (t->steps >= INT64_C(1) << 32) return duel_fail(DUEL_ERR_USAGE, "train.length is 2^32 steps or more");
  }
  DUEL_TRY(t->api->open(&t->backend, options));
  t->streamed = t->data && (!t->data->values || too_large(t));
  DUEL_TRY(open_graphs(t));
  duel_memory_measure(&t->memory, &t->vars, work_bytes(t));
  return DUEL_OK;
}

duel_status duel_trainer_plan(duel_trainer **result, duel_recipe *recipe, duel_dataset *data,
                              const duel_backend_api *api, const duel_backend_options *options) {
  *result = NULL;
  duel_trainer *t = duel_calloc(1, sizeof *t);
  if (!t) {
    duel_recipe_close(recipe);
    duel_dataset_close(data);
    return duel_fail_memory("the trainer", sizeof *t);
  }
  t->recipe = recipe;
  t->data = data;
  t->api = api;
  t->order_epoch = -1;
  duel_status status = plan(t, options);
  if (status != DUEL_OK) {
    duel_trainer_close(t);
    return status;
  }
  *result = t;
  return DUEL_OK;
}

duel_status duel_trainer_open(duel_trainer **result, duel_recipe *recipe, duel_dataset *data,
                              const duel_backend_api *api, const duel_backend_options *options) {
  DUEL_TRY(duel_trainer_plan(result, recipe, data, api, options));
  duel_status status = open_memory(*result);
  if (status == DUEL_OK) return DUEL_OK;
  duel_trainer_close(*result);
  *result = NULL;
  return status;
}

void duel_trainer_close(duel_trainer *t) {
  if (!t) return;
  duel_exec_close(t->train);
  duel_exec_close(t->sample);
  duel_memory_close(&t->memory);
  close_graphs(t);
  if (t->backend) t->api->close(t->backend);
  duel_recipe_close(t->recipe);
  if (!t->prefetch) duel_free(t->block);
  duel_prefetch_close(t->prefetch);
  duel_dataset_close(t->data);
  duel_free(t->latents);
  duel_free(t->samples);
  duel_free(t->order);
  duel_free(t->order_scratch);
  duel_free(t);
}

// ---- the first weights

duel_status duel_trainer_init(duel_trainer *t) {
  for (int which = 0; which < DUEL_PLAYERS; which++) {
    const duel_player *player = &t->model.player[which];
    float *slab = duel_calloc((size_t)player->slab_size, sizeof *slab);
    if (!slab) return duel_fail_memory("the first weights", (size_t)player->slab_size * sizeof *slab);
    duel_status status = DUEL_OK;
    for (int i = 0; i < player->n && status == DUEL_OK; i++) {
      const duel_param *p = &player->param[i];
      if (!p->buffer) {
        duel_param_init(p, t->recipe->train.seed, slab + p->offset);
        continue;
      }
      int64_t count = duel_shape_count(p->shape); // running statistics: as many as channels, which fit in the slab
      float *buffer = duel_malloc((size_t)count * sizeof *buffer);
      if (!buffer) {
        status = duel_fail_memory(p->name, (size_t)count * sizeof *buffer);
        break;
      }
      duel_param_init(p, 0, buffer);
      status = duel_memory_write(&t->memory, p->var, buffer);
      if (status == DUEL_OK && p->ema_var >= 0) status = duel_memory_write(&t->memory, p->ema_var, buffer);
      duel_free(buffer);
    }
    if (status == DUEL_OK) status = duel_memory_write(&t->memory, player->slab, slab);
    if (status == DUEL_OK && player->ema >= 0) status = duel_memory_write(&t->memory, player->ema, slab);
    duel_free(slab);
    DUEL_TRY(status);
  }
  return DUEL_OK;
}

// ---- one step

// Real item q since the start is order[q div M][q mod M]. Streamed items lie in that order already.
static void write_index(duel_trainer *t) {
  int64_t n = duel_trainer_items_per_step(t), first = t->step * n;
  for (int64_t i = 0; t->streamed && i < n; i++) t->index[i] = (int32_t)i;
  if (t->streamed) return;
  for (int64_t i = 0; i < n; i++) {
    int64_t epoch = (first + i) / t->items;
    if (epoch != t->order_epoch) {
      duel_data_order(t->recipe->train.seed, (uint64_t)epoch, t->items, t->order, t->order_scratch);
      t->order_epoch = epoch;
    }
    t->index[i] = t->order[(first + i) % t->items];
  }
}

static double learning_rate(const duel_trainer *t, int player, int64_t step) {
  return duel_schedule_at(duel_optimizer_lr(&t->recipe->net[player].optim), step, t->steps,
                          duel_trainer_items_per_step(t), t->items);
}

// One row of coefficients, formed in double and rounded once: see graph.h, "Writers".
static void write_row(float *row, const duel_chosen *o, double lr, int64_t update) {
  double c[DUEL_COEF] = {0};
  duel_optimizer_of(o)->coef(o, lr, update, c);
  for (int i = 0; i < DUEL_COEF; i++) row[i] = (float)c[i];
}

static void write_coef(duel_trainer *t) {
  const duel_recipe *r = t->recipe;
  int updates_d = t->vars_of_step.updates_d;
  double lr_d = learning_rate(t, DUEL_D, t->step), lr_g = learning_rate(t, DUEL_G, t->step);
  for (int i = 0; i < updates_d; i++)
    write_row(t->coef + i * DUEL_COEF, &r->net[DUEL_D].optim, lr_d, t->updates[DUEL_D] + i + 1);
  write_row(t->coef + updates_d * DUEL_COEF, &r->net[DUEL_G].optim, lr_g, t->updates[DUEL_G] + 1);
  if (!r->net[DUEL_G].ema.on) return;
  int64_t per_step = duel_trainer_items_per_step(t);
  double half_life = r->net[DUEL_G].ema.half_life.n; // in images
  switch (r->net[DUEL_G].ema.half_life.unit) {
  case DUEL_STEPS:
    half_life *= (double)per_step;
    break;
  case DUEL_EPOCHS:
    half_life *= (double)t->items;
    break;
  case DUEL_KIMG:
    half_life *= 1000;
    break;
  case DUEL_IMAGES:
    break;
  }
  double kept = half_life > 0 ? pow(0.5, (double)per_step / half_life) : 0;
  t->coef[(updates_d + 1) * DUEL_COEF] = (float)(1 - kept);
}

// Takes the metrics of the next settled step into stats. Anything that is not finite ends the run, before a checkpoint
// can be made of it.
static duel_status take_metrics(duel_trainer *t, const float m[DUEL_METRIC_COUNT]) {
  static const char *const names[DUEL_METRIC_COUNT] = {
      "D's loss on real items",  "D's loss on fakes",      "G's loss",
      "D's score of real items", "D's score of fakes",     "D's sign on real items",
      "D's sign on fakes",       "the gradient norm of D", "the gradient norm of G"};
  for (int i = 0; i < DUEL_METRIC_COUNT; i++)
    if (!isfinite(m[i]))
      return duel_fail(
          DUEL_ERR_DIVERGED,
          "training diverged in step %lld: %s is %s; try a lower optim.lr, or go on from an earlier checkpoint",
          (long long)t->settled, names[i], isnan(m[i]) ? "not a number" : "infinite");
  duel_stats *s = &t->stats;
  s->d_loss_real = m[DUEL_METRIC_D_REAL];
  s->d_loss_fake = m[DUEL_METRIC_D_FAKE];
  s->g_loss = m[DUEL_METRIC_G];
  s->score_real = m[DUEL_METRIC_SCORE_REAL];
  s->score_fake = m[DUEL_METRIC_SCORE_FAKE];
  s->sign_real = m[DUEL_METRIC_SIGN_REAL];
  s->sign_fake = m[DUEL_METRIC_SIGN_FAKE];
  s->grad_norm_d = sqrt(m[DUEL_METRIC_GRAD_D]);
  s->grad_norm_g = sqrt(m[DUEL_METRIC_GRAD_G]);
  s->d_loss = duel_loss_of(&t->recipe->loss)->reported * (s->d_loss_real + s->d_loss_fake);
  s->lr_d = learning_rate(t, DUEL_D, t->settled);
  s->lr_g = learning_rate(t, DUEL_G, t->settled);
  t->settled++;
  return DUEL_OK;
}

// Takes what is there; with wait, until at most `left` steps are under way.
static duel_status collect(duel_trainer *t, bool wait, int64_t left) {
  float m[DUEL_METRIC_COUNT];
  bool got = true;
  while (got && t->settled < t->step) {
    DUEL_TRY(duel_exec_collect(t->train, m, wait && t->step - t->settled > left, &got));
    if (got) DUEL_TRY(take_metrics(t, m));
  }
  return DUEL_OK;
}

// The inputs of the step to come.
static duel_status fill_block(duel_trainer *t) {
  uint64_t seed = t->recipe->train.seed;
  if (t->streamed) {
    unsigned char *block;
    DUEL_TRY(duel_prefetch_take(t->prefetch, t->step, &block));
    use_block(t, block);
  }
  const uint32_t key[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)t->step, 0};
  memcpy(t->key, key, sizeof key);
  write_index(t);
  write_coef(t);
  return DUEL_OK;
}

static void count_step(duel_trainer *t) {
  t->step++;
  t->updates[DUEL_D] += t->vars_of_step.updates_d;
  t->updates[DUEL_G]++;
}

static duel_status check_trains(const duel_trainer *t) {
  return t->train ? DUEL_OK : duel_fail(DUEL_ERR_USAGE, "a run opened for sampling or its plan only cannot train");
}

duel_status duel_trainer_advance(duel_trainer *t, int64_t steps) {
  DUEL_TRY(check_trains(t));
  for (; steps > 0 && t->step < t->steps; steps--) {
    DUEL_TRY(collect(t, true, duel_exec_ahead(t->train) - 1));
    DUEL_TRY(fill_block(t));
    DUEL_TRY(duel_exec_submit(t->train, t->block));
    count_step(t);
  }
  return collect(t, false, 0);
}

duel_status duel_trainer_profile(duel_trainer *t, int64_t steps, double *seconds) {
  float m[DUEL_METRIC_COUNT];
  DUEL_TRY(check_trains(t));
  DUEL_TRY(duel_trainer_settle(t));
  for (; steps > 0 && t->step < t->steps; steps--) {
    DUEL_TRY(fill_block(t));
    DUEL_TRY(duel_exec_profile(t->train, t->block, m, seconds));
    count_step(t);
    DUEL_TRY(take_metrics(t, m));
  }
  return DUEL_OK;
}

duel_status duel_trainer_settle(duel_trainer *t) {
  return collect(t, true, 0);
}

// ---- weights and items in and out

static void copy_weights(const duel_player *player, const float *slab, float **dst) {
  for (int i = 0; i < player->n; i++) {
    const duel_param *p = &player->param[i];
    const int64_t count = duel_shape_count(p->shape);
    if (p->buffer) continue;
    memcpy(*dst, slab + p->offset, (size_t)count * sizeof **dst);
    *dst += count;
  }
}

duel_status duel_trainer_weights(duel_trainer *t, float *dst) {
  if (!t->sample) return duel_fail(DUEL_ERR_USAGE, "a run opened for its plan only has no memory to work in");
  DUEL_TRY(duel_trainer_settle(t));
  for (int which = 0; which < DUEL_PLAYERS; which++) {
    const duel_player *player = &t->model.player[which];
    float *slab = duel_malloc((size_t)player->slab_size * sizeof *slab);
    if (!slab) return duel_fail_memory("the weights", (size_t)player->slab_size * sizeof *slab);
    const duel_status status = duel_memory_read(&t->memory, player->slab, slab);
    if (status == DUEL_OK) copy_weights(player, slab, &dst);
    duel_free(slab);
    DUEL_TRY(status);
  }
  return DUEL_OK;
}

duel_status duel_trainer_sample(duel_trainer *t, const float *latents, int64_t n, float *dst) {
  const duel_step *s = &t->vars_of_step;
  int64_t latent = t->recipe->latent, item = duel_shape_count(t->model.item);
  if (!t->sample) return duel_fail(DUEL_ERR_USAGE, "a run opened for its plan only has no memory to work in");
  DUEL_TRY(duel_trainer_settle(t));
  for (int64_t first = 0; first < n; first += s->chunk) {
    int64_t now = n - first < s->chunk ? n - first : s->chunk;
    memset(t->latents, 0, (size_t)(s->chunk * latent) * sizeof *t->latents);
    memcpy(t->latents, latents + first * latent, (size_t)(now * latent) * sizeof *t->latents);
    DUEL_TRY(duel_memory_write(&t->memory, s->latents, t->latents));
    DUEL_TRY(duel_exec_run(t->sample));
    DUEL_TRY(duel_memory_read(&t->memory, s->samples, t->samples));
    memcpy(dst + first * item, t->samples, (size_t)(now * item) * sizeof *dst);
  }
  return DUEL_OK;
}

duel_status duel_trainer_real(duel_trainer *t, const int64_t *number, int64_t n, float *dst) {
  if (!t->train) return duel_fail(DUEL_ERR_USAGE, "a run opened for sampling or its plan only has no data");
  const int64_t item = t->data->item_count;
  const size_t bytes = (size_t)duel_dataset_item_bytes(t->data);
  for (int64_t i = 0; i < n; i++, dst += item) {
    // uint8 items are read into the end of their place and widened from the front.
    uint8_t *raw = (uint8_t *)(dst + item) - bytes;
    const int32_t at = (int32_t)number[i];
    DUEL_TRY(duel_dataset_read(t->data, &at, 1, raw));
    if (!t->data->is_float)
      for (int64_t j = 0; j < item; j++) dst[j] = (float)raw[j] / 127.5F - 1;
  }
  return DUEL_OK;
}
