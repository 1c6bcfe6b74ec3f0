// The trainer's parts: opening memory, first weights, steps, weights and items in and out. Graphs and plans: plans.c.
#include "run/trainer.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "gan/constraints.h"
#include "gan/games/game.h"
#include "gan/layers/layers.h"

int64_t duel_trainer_items_per_step(const duel_trainer *t) {
  return duel_game_of(t->recipe)->items(t->recipe);
}

// ---- memory

static duel_status open_step(duel_trainer *t) {
  const duel_step_vars *v = &t->vars_of_step;
  const duel_inputs *inputs = &v->inputs;
  duel_feed feed = {.in = duel_memory_at(&t->memory, v->key),
                    .out = duel_memory_at(&t->memory, v->reported),
                    .in_bytes = duel_inputs_bytes(inputs),
                    .out_bytes = t->vars.var[v->reported].bytes};
  if (t->streamed) {
    DUEL_TRY(duel_prefetch_open(&t->prefetch, t->data, t->recipe->train.seed, duel_trainer_items_per_step(t),
                                (feed.in_bytes + DUEL_ALIGN - 1) / DUEL_ALIGN * DUEL_ALIGN,
                                duel_inputs_offset(inputs, v->data)));
    if (duel_model_reads_labels(&t->model)) duel_prefetch_labels(t->prefetch, duel_inputs_offset(inputs, v->labels));
  } else {
    t->block = duel_calloc(1, feed.in_bytes);
    if (!t->block) return duel_fail_memory("the inputs of a step", feed.in_bytes);
  }
  duel_plan *plans[DUEL_MAX_VARIANTS];
  for (int i = 0; i < t->n_variants; i++) plans[i] = t->variant[i].plan;
  return duel_exec_open(&t->train, plans, t->n_variants, &t->memory, &feed);
}

static duel_status open_sampling(duel_trainer *t) {
  const int64_t chunk = t->vars_of_step.chunk, item = duel_shape_count(t->model.item);
  if (!t->sample_plan) return DUEL_OK;
  DUEL_TRY(duel_exec_open(&t->sample, &t->sample_plan, 1, &t->memory, NULL));
  t->latents = duel_malloc((size_t)(chunk * t->recipe->latent) * sizeof *t->latents);
  if (!t->latents) return duel_fail_memory("sampling", (size_t)(chunk * t->recipe->latent) * sizeof *t->latents);
  if (t->api->host_memory) return DUEL_OK; // samples are looked at where they are
  t->samples = duel_malloc((size_t)(chunk * item) * sizeof *t->samples);
  return t->samples ? DUEL_OK : duel_fail_memory("sampling", (size_t)(chunk * item) * sizeof *t->samples);
}

static duel_status write_labels(duel_trainer *t) {
  int32_t *label = duel_malloc((size_t)t->items * sizeof *label);
  if (!label) return duel_fail_memory("the labels", (size_t)t->items * sizeof *label);
  for (int64_t i = 0; i < t->items; i++) label[i] = t->data->labels[i];
  const duel_status status = duel_memory_write(&t->memory, t->vars_of_step.labels, label);
  duel_free(label);
  return status;
}

static duel_status open_memory(duel_trainer *t) {
  void *values = t->data && !t->streamed ? t->data->values : NULL;
  duel_status status = duel_memory_open_lent(&t->memory, t->api, t->backend, &t->vars, duel_plans_work(t), values);
  if (status != DUEL_OK) return duel_plans_advise(t, status);
  t->open = true;
  DUEL_TRY(open_sampling(t));
  if (t->stand_plan) DUEL_TRY(duel_exec_open(&t->stand, &t->stand_plan, 1, &t->memory, NULL));
  if (t->test_plan) DUEL_TRY(duel_exec_open(&t->judge, &t->test_plan, 1, &t->memory, NULL));
  if (!t->data) return DUEL_OK;
  if (t->streamed) return open_step(t);
  if (duel_model_reads_labels(&t->model)) DUEL_TRY(write_labels(t));
  if (!t->memory.lent) DUEL_TRY(duel_memory_write(&t->memory, t->vars_of_step.data, values));
  DUEL_TRY(duel_order_open(&t->order, t->recipe->train.seed, t->items));
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
    if (t->steps >= INT64_C(1) << 32)
      return duel_fail(DUEL_ERR_USAGE, "train.length is 2^32 steps or more; set it to fewer");
  }
  DUEL_TRY(t->api->open(&t->backend, options));
  t->streamed = t->data && (!t->data->values || too_large(t));
  DUEL_TRY(duel_plans_open(t));
  duel_memory_measure(&t->memory, &t->vars, duel_plans_work(t));
  return DUEL_OK;
}

duel_status duel_trainer_open(duel_trainer **result, duel_resolved *what, bool plan_only, const duel_backend_api *api,
                              const duel_backend_options *options) {
  *result = NULL;
  duel_trainer *t = duel_calloc(1, sizeof *t);
  if (!t) return duel_fail_memory("the trainer", sizeof *t);
  *t = (duel_trainer){.recipe = what->recipe, .data = what->data, .test = what->test, .api = api, .stood = -1};
  *what = (duel_resolved){0};
  duel_status status = plan(t, options);
  if (status == DUEL_OK && !plan_only) status = open_memory(t);
  if (status == DUEL_OK)
    *result = t;
  else
    duel_trainer_close(t);
  return status;
}

void duel_trainer_close(duel_trainer *t) {
  if (!t) return;
  duel_exec_close(t->train);
  duel_exec_close(t->sample);
  duel_exec_close(t->judge);
  duel_exec_close(t->stand);
  duel_memory_close(&t->memory);
  duel_plans_close(t);
  if (t->backend) t->api->close(t->backend);
  duel_recipe_close(t->recipe);
  if (!t->prefetch) duel_free(t->block);
  duel_prefetch_close(t->prefetch);
  duel_dataset_close(t->data);
  duel_dataset_close(t->test);
  duel_free(t->latents);
  duel_free(t->samples);
  duel_order_close(&t->order);
  duel_free(t);
}

// ---- the first weights

static duel_status write_both(duel_trainer *t, int var, int ema_var, const float *value) {
  if (var >= 0) DUEL_TRY(duel_memory_write(&t->memory, var, value));
  return ema_var >= 0 ? duel_memory_write(&t->memory, ema_var, value) : DUEL_OK;
}

// A net's slabs, one behind the other.
typedef struct slabs {
  float *learnt, *frozen, *vectors;
} slabs;

static duel_status take_slabs(const duel_model_net *own, slabs *s) {
  const size_t count = (size_t)(own->slab_size + own->frozen_size + own->vectors_size);
  *s = (slabs){.learnt = duel_malloc(count * sizeof(float))};
  if (!s->learnt) return duel_fail_memory("a net's weights", count * sizeof(float));
  memset(s->learnt, 0, count * sizeof(float));
  s->frozen = s->learnt + own->slab_size;
  s->vectors = s->frozen + own->frozen_size;
  return DUEL_OK;
}

static float *place_in(const slabs *s, const duel_param *p) {
  return (p->frozen ? s->frozen : s->learnt) + p->offset;
}

static duel_status init_vectors(duel_trainer *t, const duel_net *net, const duel_model_net *own, const slabs *s) {
  for (int i = 0; i < own->n; i++) {
    const duel_param *p = &own->param[i];
    if (p->spectral)
      DUEL_TRY(duel_spectral_start(p, place_in(s, p), duel_spectral_warmup(net), t->recipe->train.seed,
                                   s->vectors + p[1].offset, s->vectors + p[2].offset));
  }
  return write_both(t, own->vectors, own->vectors_ema, s->vectors);
}

static duel_status init_net(duel_trainer *t, const duel_net *net, const duel_model_net *own, const slabs *s) {
  for (int i = 0; i < own->n; i++) {
    const duel_param *p = &own->param[i];
    if (!p->buffer || p->vector) continue;
    DUEL_TRY(duel_param_init(p, 0, s->learnt)); // running statistics: as many as channels, which fit in the slabs
    DUEL_TRY(write_both(t, p->var, p->ema_var, s->learnt));
  }
  memset(s->learnt, 0, (size_t)(s->vectors - s->learnt) * sizeof *s->learnt);
  for (int i = 0; i < own->n; i++)
    if (!own->param[i].buffer)
      DUEL_TRY(duel_param_init(&own->param[i], t->recipe->train.seed, place_in(s, &own->param[i])));
  DUEL_TRY(write_both(t, own->slab, own->ema, s->learnt));
  DUEL_TRY(write_both(t, own->frozen, own->frozen_ema, s->frozen));
  return init_vectors(t, net, own, s);
}

duel_status duel_trainer_init(duel_trainer *t) {
  t->stood = -1;
  for (int net = 0; net < t->recipe->n_nets; net++) {
    slabs s;
    DUEL_TRY(take_slabs(&t->model.net[net], &s));
    const duel_status status = init_net(t, &t->recipe->net[net], &t->model.net[net], &s);
    duel_free(s.learnt);
    DUEL_TRY(status);
  }
  for (int i = 0; i < t->model.n_states; i++)
    DUEL_TRY(duel_memory_write(&t->memory, t->model.state[i].var, &(float){0}));
  return DUEL_OK;
}

// ---- one step

static duel_instant instant_of(const duel_trainer *t, int64_t step) {
  return (duel_instant){.step = step,
                        .steps = t->steps,
                        .per_step = duel_trainer_items_per_step(t),
                        .items = t->items,
                        .updates = t->updates};
}

// Takes the scalars of the next settled step. Anything that is not finite ends the run, before a checkpoint can be made
// of it.
static duel_status take_scalars(duel_trainer *t, const float *reported) {
  duel_step_vars *v = &t->vars_of_step;
  const duel_instant then = instant_of(t, t->settled);
  const uint64_t set = t->variant[duel_trainer_variant(t, t->settled)].made.reported;
  DUEL_TRY(duel_scalars_take(&v->scalars, reported, set, t->settled));
  for (int net = 0; net < t->recipe->n_nets; net++)
    duel_scalars_put(&v->scalars, v->rate[net], duel_step_rate(&t->model, net, &then));
  t->settled++;
  return DUEL_OK;
}

// Takes what is there; with wait, until at most `left` steps are under way.
static duel_status collect(duel_trainer *t, bool wait, int64_t left) {
  float reported[DUEL_MAX_SCALARS];
  bool got = true;
  while (got && t->settled < t->step) {
    DUEL_TRY(duel_exec_collect(t->train, reported, wait && t->step - t->settled > left, &got));
    if (got) DUEL_TRY(take_scalars(t, reported));
  }
  return DUEL_OK;
}

// The inputs of the step to come.
static duel_status fill_block(duel_trainer *t) {
  const duel_instant now = instant_of(t, t->step);
  if (t->streamed) DUEL_TRY(duel_prefetch_take(t->prefetch, t->step, &t->block));
  duel_inputs_fill(&t->vars_of_step.inputs, &now, t->block);
  return DUEL_OK;
}

static void count_step(duel_trainer *t) {
  const duel_variant *v = &t->variant[duel_trainer_variant(t, t->step)];
  for (int net = 0; net < t->recipe->n_nets; net++) t->updates[net] += v->made.updates[net];
  t->step++;
}

static duel_status check_trains(const duel_trainer *t) {
  return t->train ? DUEL_OK : duel_fail(DUEL_ERR_USAGE, "a run opened for sampling or its plan only cannot train");
}

duel_status duel_trainer_advance(duel_trainer *t, int64_t steps) {
  DUEL_TRY(check_trains(t));
  for (; steps > 0 && t->step < t->steps; steps--) {
    DUEL_TRY(collect(t, true, duel_exec_ahead(t->train) - 1));
    DUEL_TRY(fill_block(t));
    DUEL_TRY(duel_exec_submit(t->train, duel_trainer_variant(t, t->step), t->block));
    count_step(t);
  }
  return collect(t, false, 0);
}

// Only steps of the first kind have a clock in them.
duel_status duel_trainer_profile(duel_trainer *t, int64_t steps, double *seconds) {
  float reported[DUEL_MAX_SCALARS];
  DUEL_TRY(check_trains(t));
  for (; steps > 0 && t->step < t->steps; steps--) {
    DUEL_TRY(duel_trainer_settle(t));
    if (duel_trainer_variant(t, t->step) > 0) {
      DUEL_TRY(duel_trainer_advance(t, 1));
      continue;
    }
    DUEL_TRY(fill_block(t));
    DUEL_TRY(duel_exec_profile(t->train, 0, t->block, reported, seconds));
    count_step(t);
    DUEL_TRY(take_scalars(t, reported));
  }
  return duel_trainer_settle(t);
}

duel_status duel_trainer_settle(duel_trainer *t) {
  return collect(t, true, 0);
}

// ---- weights and items in and out

static duel_status read_weights(duel_trainer *t, const duel_model_net *own, const slabs *s, float **dst) {
  if (own->slab >= 0) DUEL_TRY(duel_memory_read(&t->memory, own->slab, s->learnt));
  if (own->frozen >= 0) DUEL_TRY(duel_memory_read(&t->memory, own->frozen, s->frozen));
  for (int i = 0; i < own->n; i++) {
    const duel_param *p = &own->param[i];
    const int64_t count = duel_shape_count(p->shape);
    if (p->buffer) continue;
    memcpy(*dst, place_in(s, p), (size_t)count * sizeof **dst);
    *dst += count;
  }
  return DUEL_OK;
}

duel_status duel_trainer_weights(duel_trainer *t, float *dst) {
  if (!t->open) return duel_fail(DUEL_ERR_USAGE, "a run opened for its plan only has no memory to work in");
  DUEL_TRY(duel_trainer_settle(t));
  for (int net = 0; net < t->recipe->n_nets; net++) {
    slabs s;
    DUEL_TRY(take_slabs(&t->model.net[net], &s));
    const duel_status status = read_weights(t, &t->model.net[net], &s, &dst);
    duel_free(s.learnt);
    DUEL_TRY(status);
  }
  return DUEL_OK;
}

// Classes of purpose 8, k = 5: word w is class w·classes/2³².
static duel_status write_standing_labels(duel_trainer *t, uint32_t batch) {
  const int64_t n = t->recipe->train.batch;
  const duel_draw draw = {.seed = t->recipe->train.seed, .t = batch, .purpose = DUEL_PURPOSE_EVAL, .k = 5};
  int32_t *label = duel_malloc((size_t)n * sizeof *label);
  if (!label) return duel_fail_memory("labels", (size_t)n * sizeof *label);
  duel_draw_words(draw, 0, n, (uint32_t *)label);
  for (int64_t i = 0; i < n; i++) label[i] = (int32_t)((uint64_t)(uint32_t)label[i] * (uint64_t)t->model.labels >> 32);
  const duel_status status = duel_memory_write(&t->memory, t->vars_of_step.standing_labels, label);
  duel_free(label);
  return status;
}

duel_status duel_trainer_stand(duel_trainer *t) {
  const duel_step_vars *s = &t->vars_of_step;
  const uint64_t seed = t->recipe->train.seed;
  if (!t->stand || t->stood == t->step) return DUEL_OK;
  DUEL_TRY(duel_trainer_settle(t));
  for (uint32_t i = 0; i < DUEL_STANDING; i++) {
    const uint32_t key[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), i, 0};
    const float keep = i > 0;
    DUEL_TRY(duel_memory_write(&t->memory, s->standing_key, key));
    DUEL_TRY(duel_memory_write(&t->memory, s->standing_keep, &keep));
    if (t->model.labels > 0) DUEL_TRY(write_standing_labels(t, i));
    DUEL_TRY(duel_exec_run(t->stand, 0));
  }
  t->stood = t->step;
  return DUEL_OK;
}

duel_status duel_trainer_sample_chunk(duel_trainer *t, const float *latents, const int32_t *labels, int64_t n,
                                      const float **items) {
  const duel_step_vars *s = &t->vars_of_step;
  const int64_t latent = t->recipe->latent;
  if (!t->open) return duel_fail(DUEL_ERR_USAGE, "a run opened for its plan only has no memory to work in");
  DUEL_TRY(duel_trainer_settle(t));
  DUEL_TRY(duel_trainer_stand(t));
  memset(t->latents, 0, (size_t)(s->chunk * latent) * sizeof *t->latents);
  memcpy(t->latents, latents, (size_t)(n * latent) * sizeof *t->latents);
  DUEL_TRY(duel_memory_write(&t->memory, s->latents, t->latents));
  if (t->model.labels > 0) {
    for (int64_t i = 0; i < s->chunk; i++) t->labels[i] = labels && i < n ? labels[i] : (int32_t)(i % t->model.labels);
    DUEL_TRY(duel_memory_write(&t->memory, s->sample_labels, t->labels));
  }
  DUEL_TRY(duel_exec_run(t->sample, 0));
  *items = t->samples ? t->samples : duel_memory_at(&t->memory, s->samples);
  return t->samples ? duel_memory_read(&t->memory, s->samples, t->samples) : DUEL_OK;
}

duel_status duel_trainer_sample(duel_trainer *t, const float *latents, const int32_t *labels, int64_t n, float *dst) {
  const int64_t latent = t->recipe->latent, item = duel_shape_count(t->model.item), chunk = t->vars_of_step.chunk;
  for (int64_t first = 0; first < n; first += chunk) {
    const int64_t now = n - first < chunk ? n - first : chunk;
    const float *items = NULL;
    DUEL_TRY(duel_trainer_sample_chunk(t, latents + first * latent, labels ? labels + first : NULL, now, &items));
    memcpy(dst + first * item, items, (size_t)(now * item) * sizeof *dst);
  }
  return DUEL_OK;
}

duel_status duel_trainer_real(duel_trainer *t, const int64_t *number, int64_t n, float *dst) {
  if (!t->train) return duel_fail(DUEL_ERR_USAGE, "a run opened for sampling or its plan only has no data");
  for (int64_t i = 0; i < n; i++) DUEL_TRY(duel_dataset_item(t->data, number[i], dst + i * t->data->item_count));
  return DUEL_OK;
}
