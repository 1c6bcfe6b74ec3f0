// Builds a training step as one graph.
//
//   sub-step j:  real_j = batch(data, index_j);  z_j ~ N(0,1);  fake_j = G(z_j)
//                separate:  D on real_j, update D;  D on fake_j, update D      joint: one update on the sum of both
//                terms
//   then G:      fake of the last sub-step (shared) or of new latents (fresh);  D on it, update G;  moving average of G
//
// Merging never carries meaning: G is called once where one forward is meant.
#include "gan/step.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "gan/games.h"
#include "gan/layers.h"
#include "gan/losses.h"

enum { SAMPLE_CHUNK = 64 };

static duel_shape with_batch(int64_t n, duel_shape item) {
  duel_shape s = {.rank = item.rank + 1};
  s.dim[0] = n;
  for (int i = 0; i < item.rank; i++) s.dim[i + 1] = item.dim[i];
  return s;
}

duel_status duel_step_vars(duel_step *s, const duel_model *m, duel_vars *vars, duel_dtype real, duel_dtype data,
                           int64_t items, bool streamed) {
  const duel_recipe *r = m->recipe;
  *s = (duel_step){.updates_d = duel_gan_d_steps(r) * (duel_gan_joint(r) ? 1 : 2), .chunk = SAMPLE_CHUNK};
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "latents", real, DUEL_SHAPE(s->chunk, r->latent), &s->latents));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_OUTPUT, "samples", real, with_batch(s->chunk, m->item), &s->samples));
  if (items == 0) return DUEL_OK;
  const int64_t per_step = duel_gan_d_steps(r) * r->train.batch;
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "key", DUEL_I32, DUEL_SHAPE(4), &s->key));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "index", DUEL_I32, DUEL_SHAPE(per_step), &s->index));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "coef", real, DUEL_SHAPE((s->updates_d + 2) * DUEL_COEF), &s->coef));
  DUEL_TRY(duel_vars_add(vars, streamed ? DUEL_ARENA_INPUT : DUEL_ARENA_DATA, "data", data,
                         with_batch(streamed ? per_step : items, m->item), &s->data));
  return duel_vars_add(vars, DUEL_ARENA_OUTPUT, "metrics", real, DUEL_SHAPE(DUEL_METRIC_COUNT), &s->metrics);
}

// What building a step carries along.
typedef struct builder {
  duel_graph *g;
  const duel_step *s;
  duel_model *m;
  const duel_recipe *r;
  const duel_loss *loss;
  duel_val key;
  duel_val *view[DUEL_PLAYERS]; // parameters at their newest version
  int forwards;                 // training-mode forwards so far: numbers the draws of dropout
  int n_reports;                // what the step reports, in the order of its metrics
  duel_val report[DUEL_REPORT_TERMS];
  duel_report_term term[DUEL_REPORT_TERMS];
} builder;

// Adds mul·Σ f(x) to a metric.
static void report(builder *b, duel_metric metric, duel_val x, duel_report_kind kind, double mul) {
  if (b->n_reports == DUEL_REPORT_TERMS) {
    duel_graph_error(b->g, "a step reports more than %d numbers", DUEL_REPORT_TERMS);
    return;
  }
  b->term[b->n_reports] = (duel_report_term){.slot = metric, .kind = kind, .mul = mul};
  b->report[b->n_reports++] = x;
}

// The mean of a pass's scores and that of their signs.
static void report_scores(builder *b, duel_metric score, duel_metric sign, duel_val logits) {
  const double mean = 1 / (double)duel_shape_count(duel_val_shape(b->g, logits));
  report(b, score, logits, DUEL_REPORT_SUM, mean);
  report(b, sign, logits, DUEL_REPORT_SIGN, mean);
}

static duel_val forward(builder *b, int player, duel_val x) {
  duel_pass pass = {.g = b->g,
                    .model = b->m,
                    .player = player,
                    .train = true,
                    .key = b->key,
                    .number = b->forwards++,
                    .view = b->view[player]};
  return duel_forward(&pass, x);
}

// Descends `loss` in the player's parameters, as its update number `row` of the step. Yields the parts of Σ grad².
static duel_val update(builder *b, int which, duel_val loss, int row) {
  duel_graph *g = b->g;
  const duel_player *player = &b->m->player[which];
  duel_val slab = duel_state(g, player->slab);
  duel_val *wrt = duel_graph_alloc(g, (size_t)player->n * sizeof *wrt);
  duel_val *grad = duel_graph_alloc(g, (size_t)player->n * sizeof *grad);
  int64_t *offset = duel_graph_alloc(g, (size_t)player->n * sizeof *offset);
  if (!wrt || !grad || !offset || !b->view[which]) return DUEL_NONE;
  int n = 0;
  for (int i = 0; i < player->n; i++) {
    const duel_param *p = &player->param[i];
    if (p->buffer) continue;
    wrt[n] = b->view[which][i];
    offset[n++] = p->offset;
  }
  if (duel_grad(g, loss, n, wrt, grad) != DUEL_OK) return DUEL_NONE;
  duel_scope(g, "%s update", which == DUEL_G ? "G" : "D");
  duel_val flat = duel_pack(g, n, grad, offset, player->slab_size);
  duel_val coef = duel_view(g, duel_input(g, b->s->coef), (int64_t)row * DUEL_COEF, DUEL_SHAPE(DUEL_COEF));
  duel_val moment[DUEL_MAX_MOMENTS] = {duel_state(g, player->m), DUEL_NONE};
  if (player->v >= 0) moment[1] = duel_state(g, player->v);
  duel_val squares = duel_optimizer_of(&b->r->net[which].optim)->build(g, slab, moment, flat, coef);
  duel_scope(g, "%s", "");
  b->view[which] = duel_parameters(g, player, false);
  return squares;
}

static void report_d(builder *b, duel_val real, duel_val fake, duel_val real_loss, duel_val fake_loss) {
  report(b, DUEL_METRIC_D_REAL, real_loss, DUEL_REPORT_SUM, 1);
  report(b, DUEL_METRIC_D_FAKE, fake_loss, DUEL_REPORT_SUM, 1);
  report_scores(b, DUEL_METRIC_SCORE_REAL, DUEL_METRIC_SIGN_REAL, real);
  report_scores(b, DUEL_METRIC_SCORE_FAKE, DUEL_METRIC_SIGN_FAKE, fake);
}

// Sub-step j: trains D. Yields G(z_j).
static duel_val train_d(builder *b, int j) {
  duel_graph *g = b->g;
  const duel_recipe *r = b->r;
  bool last = j == duel_gan_d_steps(r) - 1;
  duel_val index = duel_view(g, duel_input(g, b->s->index), j * r->train.batch, DUEL_SHAPE(r->train.batch));
  duel_val real = duel_batch(g, duel_input(g, b->s->data), index);
  duel_val z = duel_random_normal(g, b->key, DUEL_PURPOSE_LATENT, (uint32_t)j, DUEL_SHAPE(r->train.batch, r->latent));
  duel_val fake = forward(b, DUEL_G, z);

  duel_val real_logits = forward(b, DUEL_D, real);
  if (duel_gan_joint(r)) {
    duel_val fake_logits = forward(b, DUEL_D, fake);
    const duel_loss_terms loss = b->loss->d(g, real_logits, fake_logits, &r->loss);
    duel_val squares = update(b, DUEL_D, duel_add(g, loss.real, loss.fake), j);
    if (last) report_d(b, real_logits, fake_logits, loss.real, loss.fake);
    if (last) report(b, DUEL_METRIC_GRAD_D, squares, DUEL_REPORT_SUM, 1);
    return fake;
  }
  const duel_val real_loss = b->loss->d(g, real_logits, DUEL_NONE, &r->loss).real;
  duel_val real_squares = update(b, DUEL_D, real_loss, 2 * j);
  duel_val fake_logits = forward(b, DUEL_D, fake);
  const duel_val fake_loss = b->loss->d(g, DUEL_NONE, fake_logits, &r->loss).fake;
  duel_val fake_squares = update(b, DUEL_D, fake_loss, 2 * j + 1);
  if (last) {
    report_d(b, real_logits, fake_logits, real_loss, fake_loss);
    report(b, DUEL_METRIC_GRAD_D, real_squares, DUEL_REPORT_SUM, 1);
    report(b, DUEL_METRIC_GRAD_D, fake_squares, DUEL_REPORT_SUM, 1);
  }
  return fake;
}

static void train_g(builder *b, duel_val fake) {
  duel_graph *g = b->g;
  const duel_recipe *r = b->r;
  if (!duel_gan_shared(r)) {
    duel_shape shape = DUEL_SHAPE(r->train.batch, r->latent);
    fake = forward(b, DUEL_G, duel_random_normal(g, b->key, DUEL_PURPOSE_LATENT, (uint32_t)duel_gan_d_steps(r), shape));
  }
  duel_val loss = b->loss->g(g, DUEL_NONE, forward(b, DUEL_D, fake), &r->loss);
  report(b, DUEL_METRIC_G, loss, DUEL_REPORT_SUM, 1);
  report(b, DUEL_METRIC_GRAD_G, update(b, DUEL_G, loss, b->s->updates_d), DUEL_REPORT_SUM, 1);

  const duel_player *player = &b->m->player[DUEL_G];
  if (player->ema < 0) return;
  duel_scope(g, "%s", "G_ema");
  int64_t at = (int64_t)(b->s->updates_d + 1) * DUEL_COEF;
  duel_val w = duel_view(g, duel_input(g, b->s->coef), at, DUEL_SCALAR);
  duel_ema(g, duel_state(g, player->ema), duel_state(g, player->slab), w);
  for (int i = 0; i < player->n; i++)
    if (player->param[i].buffer)
      duel_assign(g, duel_state(g, player->param[i].ema_var), duel_state(g, player->param[i].var));
  duel_scope(g, "%s", "");
}

duel_status duel_step_train(duel_graph **g, const duel_step *s, duel_model *m, const duel_vars *vars, duel_dtype real) {
  const duel_recipe *r = m->recipe;
  builder b = {.s = s, .m = m, .r = r, .loss = duel_loss_of(&r->loss)};
  DUEL_TRY(duel_loss_check(b.loss, !duel_gan_joint(r)));
  DUEL_TRY(duel_graph_open(g, vars, real));
  b.g = *g;
  b.key = duel_input(b.g, s->key);
  duel_val fake = DUEL_NONE;
  for (int player = 0; player < DUEL_PLAYERS; player++)
    b.view[player] = duel_parameters(b.g, &m->player[player], false);
  for (int j = 0; j < duel_gan_d_steps(r); j++) fake = train_d(&b, j);
  train_g(&b, fake);

  duel_scope(b.g, "%s", "metrics");
  duel_report(b.g, duel_state(b.g, s->metrics), b.n_reports, b.report, b.term);
  duel_status status = duel_graph_status(b.g);
  if (status != DUEL_OK) {
    duel_graph_close(*g);
    *g = NULL;
  }
  return status;
}

duel_status duel_step_sample(duel_graph **g, const duel_step *s, duel_model *m, const duel_vars *vars,
                             duel_dtype real) {
  DUEL_TRY(duel_graph_open(g, vars, real));
  duel_pass pass = {.g = *g, .model = m, .player = DUEL_G, .ema = m->player[DUEL_G].ema >= 0, .key = DUEL_NONE};
  pass.view = duel_parameters(*g, &m->player[DUEL_G], pass.ema);
  duel_output(*g, s->samples, duel_forward(&pass, duel_input(*g, s->latents)));
  duel_status status = duel_graph_status(*g);
  if (status != DUEL_OK) {
    duel_graph_close(*g);
    *g = NULL;
  }
  return status;
}
