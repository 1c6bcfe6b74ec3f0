#include "gan/step.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "gan/augment.h"
#include "gan/games/game.h"
#include "gan/layers/layers.h"

enum { CHUNK_NUMBERS = 16 << 20 }; // what the items of a sampling run come to at most

static duel_shape with_batch(int64_t n, duel_shape item) {
  duel_shape s = {.rank = item.rank + 1};
  s.dim[0] = n;
  for (int i = 0; i < item.rank; i++) s.dim[i + 1] = item.dim[i];
  return s;
}

// ---- fillers

static void fill_key(const duel_step_input *in, const duel_instant *now, void *dst) {
  const duel_recipe *r = in->ctx;
  const uint64_t seed = r->train.seed;
  const uint32_t key[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)now->step, 0};
  memcpy(dst, key, sizeof key);
}

static void fill_index(const duel_step_input *in, const duel_instant *now, void *dst) {
  duel_order *order = (duel_order *)(uintptr_t)in->ctx; // it is kept from step to step
  duel_order_numbers(order, now->step * now->per_step, now->per_step, dst);
}

// Streamed items lie in the order of the step already.
static void fill_as_they_come(const duel_step_input *in, const duel_instant *now, void *dst) {
  (void)in;
  for (int64_t i = 0; i < now->per_step; i++) ((int32_t *)dst)[i] = (int32_t)i;
}

double duel_step_rate(const duel_model *m, int net, const duel_instant *now) {
  return m->net[net].share * duel_scheduled(duel_optimizer_lr(&m->recipe->net[net].optim), now);
}

static void fill_coef(const duel_step_input *in, const duel_instant *now, void *dst) {
  const duel_model *m = in->ctx;
  const int updates = m->game->updates(m->recipe, in->net);
  const double lr = duel_step_rate(m, in->net, now);
  const duel_chosen *optim = &m->recipe->net[in->net].optim;
  for (int i = 0; i < updates; i++) {
    double row[DUEL_COEF] = {0}; // formed in double and rounded once
    duel_optimizer_of(optim)->coef(optim, now, lr, m->net[in->net].share, now->updates[in->net] + i + 1, row);
    for (int k = 0; k < DUEL_COEF; k++) ((float *)dst)[i * DUEL_COEF + k] = (float)row[k];
  }
}

static void fill_average(const duel_step_input *in, const duel_instant *now, void *dst) {
  const duel_model *m = in->ctx;
  const duel_net *net = &m->recipe->net[in->net];
  const double past = (double)now->step * (double)now->per_step; // images
  const duel_length length = {duel_scheduled(&net->ema.half_life, now), net->ema.half_life.unit};
  double half_life = duel_length_images(length, now->per_step, now->items);
  if (net->ema.ramp_up > 0) half_life = fmin(half_life, net->ema.ramp_up * past);
  const double kept = half_life > 0 ? pow(0.5, (double)now->per_step / half_life) : 0;
  *(float *)dst = (float)(1 - kept);
}

static void fill_scheduled(const duel_step_input *in, const duel_instant *now, void *dst) {
  *(float *)dst = (float)duel_scheduled(in->ctx, now);
}

// The labels of items of purpose 6, k = 0: word w is item w·items/2³².
static void fill_drawn_labels(const duel_step_input *in, const duel_instant *now, void *dst) {
  const duel_step_vars *v = in->ctx;
  const duel_recipe *r = v->recipe;
  const duel_draw draw = {.seed = r->train.seed, .t = (uint32_t)now->step, .purpose = DUEL_PURPOSE_LABEL, .k = 0};
  for (int64_t i = 0; i < r->train.batch; i++) {
    uint32_t word;
    duel_draw_words(draw, i, 1, &word);
    ((int32_t *)dst)[i] = v->label[(uint64_t)word * (uint64_t)now->items >> 32];
  }
}

// ---- variables

static duel_status open_net(duel_step_vars *v, const duel_model *m, int net, duel_dtype real) {
  const int updates = m->game->updates(m->recipe, net);
  const duel_step_input coef = {.name = m->net[net].coef_name, .fill = fill_coef, .ctx = m, .net = net};
  const duel_step_input average = {.name = m->net[net].average_name, .fill = fill_average, .ctx = m, .net = net};
  DUEL_TRY(duel_inputs_add(&v->inputs, coef, real, DUEL_SHAPE(updates * DUEL_COEF), &v->coef[net]));
  v->average[net] = -1;
  if (!m->recipe->net[net].ema.on) return DUEL_OK;
  return duel_inputs_add(&v->inputs, average, real, DUEL_SCALAR, &v->average[net]);
}

// Of training: the host's inputs, the data, the scalars.
static duel_status open_training(duel_step_vars *v, const duel_model *m, duel_vars *vars, duel_dtype real,
                                 const duel_step_data *data) {
  const duel_recipe *r = m->recipe;
  const int64_t per_step = m->game->items(r);
  const bool streamed = !data->order;
  const duel_step_input key = {.name = "key", .fill = fill_key, .ctx = r}, items = {.name = "data"};
  const duel_step_input labels = {.name = "labels"};
  const duel_step_input index = {
      .name = "index", .fill = streamed ? fill_as_they_come : fill_index, .ctx = data->order};
  DUEL_TRY(duel_inputs_add(&v->inputs, key, DUEL_I32, DUEL_SHAPE(4), &v->key));
  DUEL_TRY(duel_inputs_add(&v->inputs, index, DUEL_I32, DUEL_SHAPE(per_step), &v->index));
  for (int net = 0; net < r->n_nets; net++) DUEL_TRY(open_net(v, m, net, real));
  if (duel_model_reads_labels(m) && streamed)
    DUEL_TRY(duel_inputs_add(&v->inputs, labels, DUEL_I32, DUEL_SHAPE(per_step), &v->labels));
  if (duel_model_reads_labels(m) && !streamed)
    DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_BUFFER, "labels", DUEL_I32, DUEL_SHAPE(data->items), &v->labels));
  if (streamed)
    DUEL_TRY(duel_inputs_add(&v->inputs, items, data->dtype, with_batch(per_step, m->item), &v->data));
  else
    DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_DATA, "data", data->dtype, with_batch(data->items, m->item), &v->data));
  return duel_vars_add(vars, DUEL_ARENA_OUTPUT, "scalars", real, DUEL_SHAPE(DUEL_MAX_SCALARS), &v->reported);
}

static duel_status open_testing(duel_step_vars *v, const duel_model *m, duel_vars *vars, duel_dtype real,
                                duel_dtype data) {
  const duel_shape rows = DUEL_SHAPE(v->chunk), items = with_batch(v->chunk, m->item);
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "test.items", data, items, &v->test_items));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "test.index", DUEL_I32, rows, &v->test_index));
  return duel_vars_add(vars, DUEL_ARENA_OUTPUT, "test.logits", real, DUEL_SHAPE(v->chunk, m->classes), &v->test_logits);
}

// Large items are sampled a few at a time: they would take more memory than the training.
static int64_t chunk_of(int64_t item) {
  int64_t chunk = DUEL_MOST_CHUNK;
  while (chunk > 1 && chunk * item > CHUNK_NUMBERS) chunk /= 2;
  return chunk;
}

duel_status duel_step_open(duel_step_vars *v, const duel_model *m, duel_vars *vars, duel_dtype real,
                           const duel_step_data *data) {
  *v = (duel_step_vars){
      .inputs.vars = vars, .chunk = chunk_of(duel_shape_count(m->item)), .recipe = m->recipe, .label = data->labels};
  if (m->game->samples >= 0) {
    const duel_shape latents = DUEL_SHAPE(v->chunk, m->recipe->latent), samples = with_batch(v->chunk, m->item);
    DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "latents", real, latents, &v->latents));
    DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_OUTPUT, "samples", real, samples, &v->samples));
    if (m->labels > 0)
      DUEL_TRY(
          duel_vars_add(vars, DUEL_ARENA_INPUT, "sample.labels", DUEL_I32, DUEL_SHAPE(v->chunk), &v->sample_labels));
  }
  if (duel_model_stands(m)) {
    DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "standing.key", DUEL_I32, DUEL_SHAPE(4), &v->standing_key));
    DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "standing.keep", real, DUEL_SCALAR, &v->standing_keep));
    if (m->labels > 0)
      DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "standing.labels", DUEL_I32, DUEL_SHAPE(m->recipe->train.batch),
                             &v->standing_labels));
  }
  if (data->items > 0 && m->game->tests >= 0) DUEL_TRY(open_testing(v, m, vars, real, data->dtype));
  return data->items > 0 ? open_training(v, m, vars, real, data) : DUEL_OK;
}

void duel_step_report_rates(duel_step_vars *v, const duel_model *m) {
  char name[DUEL_SCALAR_NAME];
  for (int net = 0; net < m->recipe->n_nets; net++) {
    snprintf(name, sizeof name, "lr_%s", m->net[net].lower);
    v->rate[net] = duel_scalars_index(&v->scalars, name, NULL, DUEL_LAST);
  }
}

// ---- what games build with

// Where there are shards, all that reads the batch stands in a loop over them.
static bool in_loop(duel_step *s) {
  if (s->shards.n == 1 || s->shards.at >= 0) return true;
  duel_graph_error(s->g, "the game %s reads the whole batch at once; set train.shards=1", s->m->game->kind.kind.name);
  return false;
}

int64_t duel_step_rows(const duel_step *s) {
  return s->r->train.batch / s->r->train.shards;
}

// The shard's rows of a batch, of an input with a number a row.
static duel_val rows_of(duel_step *s, int input, int batch) {
  const int64_t rows = duel_step_rows(s), shard = s->shards.at > 0 ? s->shards.at : 0;
  if (!in_loop(s)) return DUEL_NONE;
  return duel_view(s->g, duel_input(s->g, input), batch * s->r->train.batch + shard * rows, DUEL_SHAPE(rows));
}

static duel_val numbers(duel_step *s, int batch) { // of items
  return rows_of(s, s->vars->index, batch);
}

duel_val duel_step_real(duel_step *s, int batch) {
  const duel_val index = numbers(s, batch);
  return duel_batch(s->g, duel_input(s->g, s->vars->data), index);
}

duel_val duel_step_labels(duel_step *s, int batch) {
  const duel_val index = numbers(s, batch);
  const duel_var *labels = &s->vars->inputs.vars->var[s->vars->labels];
  return duel_batch(
      s->g, labels->arena == DUEL_ARENA_INPUT ? duel_input(s->g, s->vars->labels) : duel_state(s->g, s->vars->labels),
      index);
}

duel_val duel_step_drawn_labels(duel_step *s) {
  const duel_step_input in = {.name = "labels.drawn", .fill = fill_drawn_labels, .ctx = s->vars};
  int var = duel_inputs_find(&s->vars->inputs, in.name);
  if (var < 0 && duel_inputs_add(&s->vars->inputs, in, DUEL_I32, DUEL_SHAPE(s->r->train.batch), &var) != DUEL_OK)
    return duel_graph_error(s->g, "%s", duel_last_error());
  return rows_of(s, var, 0);
}

duel_val duel_step_normal(duel_step *s, uint32_t purpose, uint32_t k, duel_shape shape) {
  return in_loop(s) ? duel_shards_draw(&s->shards, DUEL_OP_RANDOM_NORMAL, s->key, purpose, k, shape) : DUEL_NONE;
}

duel_val duel_step_uniform(duel_step *s, uint32_t purpose, uint32_t k, duel_shape shape) {
  return in_loop(s) ? duel_shards_draw(&s->shards, DUEL_OP_RANDOM_UNIFORM, s->key, purpose, k, shape) : DUEL_NONE;
}

duel_val duel_step_latents(duel_step *s, uint32_t k) {
  return duel_step_normal(s, DUEL_PURPOSE_LATENT, k, DUEL_SHAPE(duel_step_rows(s), s->r->latent));
}

// What the layers of a pass read of the net: the same in all shards, in the first of which its vectors advance.
static duel_val *weights_of(duel_step *s, int net, int number) {
  const duel_pass_view *w = s->weights;
  if (!duel_has_pass_weights(&s->m->net[net])) return s->view[net];
  while (w && w->number != number) w = w->next;
  if (w) return w->view;
  duel_pass_view *made = duel_graph_alloc(s->g, sizeof *made);
  if (!made) return NULL;
  *made = (duel_pass_view){number, duel_pass_weights(s->g, &s->m->net[net], s->view[net], true, false), s->weights};
  s->weights = made;
  return made->view;
}

static duel_val forward(duel_step *s, int net, duel_val x, int number, bool again) {
  duel_pass pass = {.g = s->g,
                    .model = s->m,
                    .net = net,
                    .train = true,
                    .key = s->key,
                    .number = number,
                    .again = again,
                    .shards = &s->shards,
                    .labels = s->labels,
                    .view = weights_of(s, net, number)};
  if (net == s->m->augmented) x = duel_step_augment(s, x, number);
  const duel_val y = in_loop(s) ? duel_forward(&pass, x) : DUEL_NONE;
  s->classes = pass.classes;
  return y;
}

duel_val duel_step_forward(duel_step *s, int net, duel_val x) {
  return forward(s, net, x, s->forwards++, false);
}

duel_fakes duel_step_fakes(duel_step *s, int net, uint32_t k) {
  return (duel_fakes){.net = net, .k = k, .pass = s->forwards++, .value = DUEL_NONE};
}

duel_val duel_step_fake(duel_step *s, duel_fakes *f) {
  if (f->value != DUEL_NONE && f->stretch == s->g->stretch) return f->value;
  if (!f->loop) f->loop = s->shards.loop;
  f->stretch = s->g->stretch;
  f->value = forward(s, f->net, duel_step_latents(s, f->k), f->pass, f->loop != s->shards.loop);
  return f->value;
}

duel_val duel_step_mean(duel_step *s, duel_val x) {
  return duel_shards_mean(&s->shards, x);
}

void duel_step_descend(duel_step *s, int net, duel_val loss) {
  duel_graph *g = s->g;
  const duel_model_net *own = &s->m->net[net];
  duel_val *wrt = duel_graph_alloc(g, (size_t)own->n * sizeof *wrt);
  duel_val *grad = duel_graph_alloc(g, (size_t)own->n * sizeof *grad);
  int64_t *offset = duel_graph_alloc(g, (size_t)own->n * sizeof *offset);
  if (!wrt || !grad || !offset || !s->view[net]) return;
  int n = 0;
  for (int i = 0; i < own->n; i++) {
    const duel_param *p = &own->param[i];
    if (p->buffer || p->frozen) continue;
    wrt[n] = s->view[net][i];
    offset[n++] = p->offset;
  }
  if (n == 0 || duel_grad(g, loss, n, wrt, grad) != DUEL_OK) return;
  duel_scope(g, "%s update", s->r->net[net].name);
  const duel_val flat = duel_shards_mean(&s->shards, duel_pack(g, n, grad, offset, own->slab_size));
  if (flat != DUEL_NONE) s->grad[net] = s->grad[net] == DUEL_NONE ? flat : duel_add(g, s->grad[net], flat);
  duel_scope(g, "%s", "");
}

// grad·min(1, most/(‖grad‖ + 1e-6)) over all of a net's parameters, as torch.nn.utils.clip_grad_norm_; squares becomes
// ‖grad‖² (Pascanu et al. 2013, arXiv:1211.5063).
static duel_val clipped(duel_step *s, int net, duel_val grad, double most, duel_val *squares) {
  duel_graph *g = s->g;
  const duel_val one = duel_constant(g, DUEL_SCALAR, 1);
  *squares = duel_sum(g, duel_mul(g, grad, grad));
  const duel_val times = duel_affine(g, duel_sqrt(g, *squares), 1 / most, 1e-6 / most); // larger than it may be
  s->clip[net] = duel_div(g, one, duel_select(g, duel_less_equal(g, times, one), one, times));
  return duel_mul(g, grad, s->clip[net]);
}

duel_val duel_step_update(duel_step *s, int net) {
  duel_graph *g = s->g;
  const duel_model_net *own = &s->m->net[net];
  const double most = duel_optimizer_clip_norm(&s->r->net[net].optim);
  duel_val grad = s->grad[net], before = DUEL_NONE;
  if (own->slab < 0) return DUEL_NONE;
  duel_scope(g, "%s update", s->r->net[net].name);
  if (most > 0) grad = clipped(s, net, grad, most, &before);
  const int64_t row = s->updates[net]++;
  duel_val coef = duel_view(g, duel_input(g, s->vars->coef[net]), row * DUEL_COEF, DUEL_SHAPE(DUEL_COEF));
  const duel_optimizer *optim = duel_optimizer_of(&s->r->net[net].optim);
  duel_val moment[DUEL_MAX_MOMENTS];
  for (int k = 0; k < DUEL_MAX_MOMENTS; k++) moment[k] = k < optim->moments ? duel_state(g, own->moment[k]) : DUEL_NONE;
  const duel_val squares = optim->build(g, duel_state(g, own->slab), moment, grad, coef);
  s->grad[net] = DUEL_NONE;
  duel_scope(g, "%s", "");
  s->view[net] = duel_parameters(g, own, false);
  return before == DUEL_NONE ? squares : before;
}

void duel_step_clip(duel_step *s, int net, double bound) {
  duel_graph *g = s->g;
  if (s->m->net[net].slab < 0) return;
  duel_scope(g, "%s clip", s->r->net[net].name);
  duel_clamp(g, duel_state(g, s->m->net[net].slab), bound);
  duel_scope(g, "%s", "");
  s->view[net] = duel_parameters(g, &s->m->net[net], false);
}

// Standing ones are measured when they are needed.
static void average_buffer(duel_step *s, int net, const duel_param *p, duel_val share) {
  const int how = s->r->net[net].ema.buffers;
  duel_graph *g = s->g;
  if (how == DUEL_BUFFERS_COPY) duel_assign(g, duel_state(g, p->ema_var), duel_state(g, p->var));
  if (how == DUEL_BUFFERS_AVERAGE) duel_ema(g, duel_state(g, p->ema_var), duel_state(g, p->var), share);
}

void duel_step_average(duel_step *s, int net) {
  duel_graph *g = s->g;
  const duel_model_net *own = &s->m->net[net];
  if (!s->r->net[net].ema.on) return;
  duel_scope(g, "%s_ema", s->r->net[net].name);
  const duel_val share = duel_input(g, s->vars->average[net]);
  if (own->slab >= 0) duel_ema(g, duel_state(g, own->ema), duel_state(g, own->slab), share);
  if (own->frozen >= 0) duel_ema(g, duel_state(g, own->frozen_ema), duel_state(g, own->frozen), share);
  if (own->vectors >= 0) duel_assign(g, duel_state(g, own->vectors_ema), duel_state(g, own->vectors));
  for (int i = 0; i < own->n; i++)
    if (own->param[i].buffer && !own->param[i].vector) average_buffer(s, net, &own->param[i], share);
  duel_scope(g, "%s", "");
}

void duel_step_report(duel_step *s, const char *name, const char *label, duel_scalar_mode mode, duel_val x,
                      duel_report_kind kind, double mul) {
  duel_step_told *told = s->shards.n > 1 && s->shards.at >= 0 ? &s->of_shard : &s->told;
  const int index = duel_scalars_index(&s->vars->scalars, name, label, mode);
  if (told->n == DUEL_REPORT_TERMS || index < 0) {
    duel_graph_error(s->g, "a step reports more than %d numbers", DUEL_REPORT_TERMS);
    return;
  }
  told->term[told->n] = (duel_report_term){.scalar = index, .kind = kind, .mul = mul};
  told->x[told->n++] = x;
  s->reported |= UINT64_C(1) << index;
}

// What the shard at hand has reported: one value, a number a scalar. The step tells of the mean.
static void end_shard(duel_step *s) {
  duel_graph *g = s->g;
  duel_step_told *own = &s->of_shard, *all = &s->told;
  uint64_t told = 0;
  if (own->n == 0) return;
  duel_scope(g, "%s", "scalars");
  const duel_val none = duel_constant(g, DUEL_SHAPE(DUEL_MAX_SCALARS), 0);
  const duel_val mean = duel_step_mean(s, duel_report(g, none, own->n, own->x, own->term));
  for (int i = 0; i < own->n && mean != DUEL_NONE; i++) {
    const int index = own->term[i].scalar;
    if (told >> index & 1) continue;
    told |= UINT64_C(1) << index;
    if (all->n == DUEL_REPORT_TERMS) break; // the graph has an error by now: as many scalars as terms
    all->term[all->n] = (duel_report_term){.scalar = index, .kind = DUEL_REPORT_SUM, .mul = 1};
    all->x[all->n++] = duel_view(g, mean, index, DUEL_SCALAR);
  }
  own->n = 0;
  duel_scope(g, "%s", "");
}

bool duel_step_shard(duel_step *s) {
  if (s->shards.at < 0)
    s->before = s->forwards;
  else
    end_shard(s);
  if (!duel_shards_next(&s->shards)) return false;
  s->forwards = s->before;
  return true;
}

bool duel_step_every(duel_step *s, int64_t n) {
  duel_step_vars *v = s->vars;
  if (n == 1) return true;
  int i = 0;
  while (i < v->n_every && v->every[i] != n) i++;
  if (i == DUEL_MAX_EVERY)
    return duel_graph_refuse(s->g, "a recipe has at most %d different n in `every: n`", DUEL_MAX_EVERY);
  if (i == v->n_every) v->every[v->n_every++] = n;
  return s->on >> i & 1;
}

duel_val duel_step_number(duel_step *s, duel_step_input in) {
  int var = duel_inputs_find(&s->vars->inputs, in.name);
  if (var < 0 && duel_inputs_add(&s->vars->inputs, in, s->g->real, DUEL_SCALAR, &var) != DUEL_OK)
    return duel_graph_error(s->g, "%s", duel_last_error());
  return duel_input(s->g, var);
}

duel_val duel_step_scheduled(duel_step *s, const char *name, const duel_schedule *schedule) {
  if (schedule->curve == DUEL_CURVE_CONSTANT && schedule->warmup.n == 0)
    return duel_constant(s->g, DUEL_SCALAR, schedule->from);
  return duel_step_number(s, (duel_step_input){.name = name, .fill = fill_scheduled, .ctx = schedule});
}
