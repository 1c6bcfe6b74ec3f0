// The graphs of a run and their plans: a training step in each of its variants, and sampling. What to advise where
// their memory is not there.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/rewrites/rewrites.h"
#include "gan/games/game.h"
#include "run/trainer.h"

// ---- variants: steps differ by which `every: n` they are one of

static unsigned kind_of(const duel_step_vars *v, int64_t step) {
  unsigned on = 0;
  for (int i = 0; i < v->n_every; i++) on |= (unsigned)(step % v->every[i] == 0) << i;
  return on;
}

int duel_trainer_variant(const duel_trainer *t, int64_t step) {
  const unsigned on = kind_of(&t->vars_of_step, step);
  int v = 0;
  while (v + 1 < t->n_variants && t->variant[v].made.on != on) v++;
  return v;
}

static duel_status plan_variant(duel_trainer *t, unsigned on) {
  duel_graph *g;
  duel_variant *v = &t->variant[t->n_variants];
  v->made.on = on;
  DUEL_TRY(duel_step_train(&g, &t->vars_of_step, &t->model, &t->vars, t->api->real, &v->made));
  DUEL_TRY(duel_plan_for(&v->plan, g, DUEL_REWRITE_ALL, t->api, t->backend));
  t->n_variants++;
  return DUEL_OK;
}

static int64_t least_common_multiple(int64_t a, int64_t b) {
  int64_t divisor = a, rest = b; // Euclid's greatest common one
  while (rest) {
    const int64_t next = divisor % rest;
    divisor = rest;
    rest = next;
  }
  return a / divisor * b;
}

// The first is that of step 0, in which all is on; building it tells by what the others differ. Only those follow that
// some step is: if 8 divides a step's number, so does 4.
static duel_status plan_variants(duel_trainer *t) {
  duel_step_vars *v = &t->vars_of_step;
  DUEL_TRY(plan_variant(t, (1U << DUEL_MAX_EVERY) - 1));
  const unsigned all = (1U << v->n_every) - 1;
  t->variant[0].made.on = all;
  for (unsigned on = 0; on < all; on++) {
    bool occurs = true;
    int64_t together = 1; // such steps are its multiples
    for (int i = 0; i < v->n_every; i++)
      if (on >> i & 1) together = least_common_multiple(together, v->every[i]);
    for (int i = 0; i < v->n_every; i++) occurs = occurs && ((on >> i & 1) || together % v->every[i] != 0);
    if (occurs) DUEL_TRY(plan_variant(t, on));
  }
  duel_step_report_rates(v, &t->model);
  return DUEL_OK;
}

duel_status duel_plans_open(duel_trainer *t) {
  const duel_dataset *data = t->data;
  const duel_dtype real = t->api->real;
  const duel_step_data how = {.dtype = data && data->is_float ? DUEL_F32 : DUEL_U8,
                              .items = t->items,
                              .order = t->streamed ? NULL : &t->order,
                              .labels = data ? data->labels : NULL};
  DUEL_TRY(duel_model_open(&t->model, t->recipe, data ? duel_shape_of(data->rank, data->dim) : (duel_shape){0},
                           data ? data->classes : 0, &t->vars, real));
  if (data && t->model.labels > 0) DUEL_TRY(duel_dataset_check_labels(data));
  DUEL_TRY(duel_step_open(&t->vars_of_step, &t->model, &t->vars, real, &how));
  if (t->model.game->samples >= 0) {
    duel_graph *g;
    DUEL_TRY(duel_step_sample(&g, &t->vars_of_step, &t->model, &t->vars, real));
    DUEL_TRY(duel_plan_for(&t->sample_plan, g, DUEL_REWRITE_ALL, t->api, t->backend));
  }
  if (duel_model_stands(&t->model)) {
    duel_graph *g;
    DUEL_TRY(duel_step_stand(&g, &t->vars_of_step, &t->model, &t->vars, real));
    DUEL_TRY(duel_plan_for(&t->stand_plan, g, DUEL_REWRITE_ALL, t->api, t->backend));
  }
  if (data && t->model.game->tests >= 0) {
    duel_graph *g;
    DUEL_TRY(duel_step_test(&g, &t->vars_of_step, &t->model, &t->vars, real));
    DUEL_TRY(duel_plan_for(&t->test_plan, g, DUEL_REWRITE_ALL, t->api, t->backend));
  }
  return data ? plan_variants(t) : DUEL_OK;
}

size_t duel_plans_work(const duel_trainer *t) {
  size_t most = t->sample_plan ? t->sample_plan->work_bytes : 0;
  if (t->test_plan && t->test_plan->work_bytes > most) most = t->test_plan->work_bytes;
  if (t->stand_plan && t->stand_plan->work_bytes > most) most = t->stand_plan->work_bytes;
  for (int v = 0; v < t->n_variants; v++)
    if (t->variant[v].plan->work_bytes > most) most = t->variant[v].plan->work_bytes;
  return most;
}

void duel_plans_close(duel_trainer *t) {
  for (int v = 0; v < t->n_variants; v++) duel_plan_close(t->variant[v].plan);
  duel_plan_close(t->sample_plan);
  duel_plan_close(t->test_plan);
  duel_plan_close(t->stand_plan);
  duel_model_close(&t->model);
  duel_vars_clear(&t->vars);
}

// ---- a memory that is too small

// Bytes of all arenas together, had the recipe this batch and so many shards; 0 if it cannot be planned.
static double bytes_with(const duel_trainer *t, int64_t batch, int64_t shards) {
  duel_recipe recipe = *t->recipe;
  recipe.train.batch = batch;
  recipe.train.shards = shards;
  duel_trainer trial = {.recipe = &recipe, .data = t->data, .api = t->api, .backend = t->backend};
  trial.items = t->items;
  trial.streamed = t->streamed;
  double bytes = 0;
  if (duel_plans_open(&trial) == DUEL_OK) {
    duel_memory_measure(&trial.memory, &trial.vars, duel_plans_work(&trial));
    bytes = (double)duel_memory_total(&trial.memory);
  }
  duel_plans_close(&trial);
  return bytes;
}

// What is free at the next start may be less by some heaps of threads, 64 MiB each.
static const double ADRIFT = 128 * 1048576.0;

// The memory that a failed opening left is all there again. Rings and libraries take some too.
static bool fits(const duel_trainer *t, double room, int64_t batch, int64_t shards) {
  const double bytes = bytes_with(t, batch, shards);
  return bytes > 0 && bytes <= 0.9 * room - fmin(room / 10, ADRIFT);
}

// 0: none does.
static int64_t largest_batch(const duel_trainer *t, double room) {
  const int64_t shards = t->recipe->train.shards;
  int64_t rows = 0, too_many = t->recipe->train.batch / shards; // of a shard
  while (too_many - rows > 1 + rows / 64) {                     // to within two percent
    const int64_t middle = rows + (too_many - rows) / 2;
    if (fits(t, room, middle * shards, shards))
      rows = middle;
    else
      too_many = middle;
  }
  return rows * shards;
}

// The fewest shards with which the recipe's batch fits; 0: it never does.
static int64_t fewest_shards(const duel_trainer *t, double room) {
  enum { MOST = 64 }; // plans of more take long to make
  const int64_t batch = t->recipe->train.batch;
  for (int64_t shards = 2 * t->recipe->train.shards; shards <= MOST && batch % shards == 0; shards *= 2)
    if (fits(t, room, batch, shards)) return shards;
  return 0;
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

duel_status duel_plans_advise(const duel_trainer *t, duel_status status) {
  const double room = t->api->room ? t->api->room(t->backend) : 0;
  if (status != DUEL_ERR_DEVICE || room <= 0 || t->n_variants == 0) return status;
  char reason[1024], tensors[512];
  snprintf(reason, sizeof reason, "%s", duel_last_error());
  name_largest(t->variant[0].plan, tensors, sizeof tensors);
  const int64_t batch = largest_batch(t, room), shards = fewest_shards(t, room);
  if (batch == 0)
    return duel_fail(status, "%s; not even a batch of %lld fits; largest tensors: %s", reason,
                     (long long)t->recipe->train.shards, tensors);
  char cut[64] = "";
  if (shards > 0) snprintf(cut, sizeof cut, ", or set train.shards=%lld", (long long)shards);
  return duel_fail(status, "%s; the largest batch that fits is about %lld%s; largest tensors: %s", reason,
                   (long long)batch, cut, tensors);
}
