#include "gan/penalties.h"

#include <stdio.h>

#include "base/rng.h"

// ---- what D yields, differentiated by what it read

// [rows, 1, ...]: one number a row.
static duel_shape rows_of(duel_graph *g, duel_val x) {
  duel_shape shape = duel_val_shape(g, x);
  for (int i = 1; i < shape.rank; i++) shape.dim[i] = 1;
  return shape;
}

// The squares of the gradient of Σ y by x. Where rows are apart from each other, each has its own in it.
static duel_val squared_slope(duel_graph *g, duel_val x, duel_val y) {
  duel_val slope = DUEL_NONE;
  duel_grad(g, duel_sum(g, y), 1, &x, &slope);
  return duel_mul(g, slope, slope);
}

// Each row has one uniform number, and all of its elements have it.
static duel_val uniform_rows(duel_step *s, const duel_penalty_at *at, duel_val x) {
  const duel_shape rows = rows_of(s->g, x);
  const uint32_t k = (uint32_t)(4096 * at->sub_step);
  return duel_reshape(s->g, duel_step_uniform(s, DUEL_PURPOSE_PENALTY, k, DUEL_SHAPE(rows.dim[0])), rows);
}

// mean((‖g‖ − 1)²), ‖g‖ = sqrt(Σg² + 1e-12) for each row of x; the root of 0 has no derivative.
static duel_val unit_slope(duel_step *s, const duel_penalty_at *at, duel_val x) {
  duel_graph *g = s->g;
  const duel_val squares = squared_slope(g, x, duel_step_forward(s, at->net, x));
  const duel_val norm = duel_sqrt(g, duel_affine(g, duel_sum_to(g, squares, rows_of(g, x)), 1, 1e-12));
  const duel_val excess = duel_affine(g, norm, 1, -1);
  return duel_mean(g, duel_mul(g, excess, excess));
}

// ---- gp: Gulrajani et al. 2017, arXiv:1704.00028, section 4: between the sides, at ε·real + (1 − ε)·fake

static const duel_key keys_gp[] = {DUEL_PENALTY_KEYS("10", NULL), {.name = NULL}};

static duel_val gp(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  (void)penalty;
  const duel_val share = uniform_rows(s, at, at->real);
  const duel_val way = duel_mul(s->g, share, duel_sub(s->g, at->real, at->fake));
  return unit_slope(s, at, duel_add(s->g, at->fake, way));
}

// ---- dragan: Kodali et al. 2017, arXiv:1705.07215: around real items, at real + α·δ, δ = ½·std(real)·uniform; the
// deviation is that of all numbers of the batch, the unbiased one

static duel_val deviation(duel_graph *g, duel_val x) {
  const duel_val centered = duel_sub(g, x, duel_mean(g, x));
  const double others = (double)duel_shape_count(duel_val_shape(g, x)) - 1;
  return duel_sqrt(g, duel_affine(g, duel_sum(g, duel_mul(g, centered, centered)), 1 / others, 0));
}

static duel_val dragan(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  (void)penalty;
  duel_graph *g = s->g;
  const uint32_t k = (uint32_t)(4096 * at->sub_step + 1);
  const duel_val noise = duel_step_uniform(s, DUEL_PURPOSE_PENALTY, k, duel_val_shape(g, at->real));
  const duel_val reach = duel_mul(g, uniform_rows(s, at, at->real), duel_affine(g, deviation(g, at->real), 0.5, 0));
  return unit_slope(s, at, duel_add(g, at->real, duel_mul(g, reach, noise)));
}

// ---- r1 and r2: Mescheder et al. 2018, arXiv:1801.04406, section 4: at real items, at fakes. ½·mean(Σg²), of the pass
// that the loss made

static const char AUTO[] = "auto";
static const duel_key keys_r1[] = {DUEL_PENALTY_KEYS("10", AUTO), {.name = NULL}};
static const duel_key keys_r2[] = {DUEL_PENALTY_KEYS("10", NULL), {.name = NULL}};

static duel_val flatness(duel_graph *g, duel_val x, duel_val y) {
  return duel_affine(g, duel_sum(g, squared_slope(g, x, y)), 0.5 / (double)duel_val_shape(g, x).dim[0], 0);
}
static duel_val r1(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  (void)penalty;
  return flatness(s->g, at->real, at->on_real);
}
static duel_val r2(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  (void)penalty;
  return flatness(s->g, at->fake, at->on_fake);
}

static const duel_penalty rows[] = {
    {{"gp", "weight", keys_gp, "D's slope is 1 between real items and fakes"}, DUEL_ON_BOTH, 1, true, gp},
    {{"dragan", "weight", keys_gp, "D's slope is 1 around real items"}, DUEL_ON_BOTH, 1, true, dragan},
    {{"r1", "weight", keys_r1, "D is flat at real items"}, DUEL_ON_REAL, 0, true, r1},
    {{"r2", "weight", keys_r2, "D is flat at fakes"}, DUEL_ON_FAKE, 0, true, r2},
    {.kind = {.name = NULL}}};
const duel_table duel_penalties = {rows, sizeof *rows, "penalty"};

// ---- in a step

// What `weight: auto` stands for: StyleGAN2-ADA's rule (Karras et al. 2020, arXiv:2006.06676, as their code has it).
static double automatic(const duel_model *m) {
  return 0.0002 * (double)(m->item.dim[1] * m->item.dim[2]) / (double)m->recipe->train.batch;
}

void duel_penalties_note(const duel_model *m, char *text, size_t n) {
  const duel_recipe *r = m->recipe;
  *text = 0;
  for (int i = 0; i < r->n_penalties; i++)
    if (r->penalty[i].value[DUEL_PENALTY_WEIGHT].text)
      snprintf(text, n, "penalty.%s.weight: auto is %g, 0.0002*%lld*%lld/%lld", r->penalty[i].kind->name, automatic(m),
               (long long)m->item.dim[1], (long long)m->item.dim[2], (long long)r->train.batch);
}

static duel_status check(const duel_model *m, const duel_chosen *penalty, bool separate) {
  const char *name = penalty->kind->name;
  if (separate && duel_penalty_of(penalty)->sides == DUEL_ON_BOTH)
    return duel_fail(DUEL_ERR_USAGE,
                     "penalty.%s belongs to an update on real items and fakes together, but train.d_update: separate "
                     "has none; set train.d_update=joint",
                     name);
  if (penalty->value[DUEL_PENALTY_WEIGHT].text && m->item.rank != 3)
    return duel_fail(DUEL_ERR_USAGE,
                     "penalty.%s.weight: auto is 0.0002*H*W/batch, but the data are points, which have no height and "
                     "width; set a number, penalty.%s.weight=1",
                     name, name);
  return DUEL_OK;
}

duel_status duel_penalties_check(const duel_model *m, bool separate) {
  for (int i = 0; i < m->recipe->n_penalties; i++) DUEL_TRY(check(m, &m->recipe->penalty[i], separate));
  return DUEL_OK;
}

static duel_val weight_of(duel_step *s, const duel_chosen *penalty) {
  char name[DUEL_SCALAR_NAME];
  const duel_key_value *weight = &penalty->value[DUEL_PENALTY_WEIGHT];
  if (weight->text) return duel_constant(s->g, DUEL_SCALAR, automatic(s->m));
  snprintf(name, sizeof name, "weight.%.30s", penalty->kind->name);
  return duel_step_scheduled(s, name, &weight->schedule);
}

duel_val duel_penalties_add(duel_step *s, duel_val loss, const duel_penalty_at *at) {
  const duel_recipe *r = s->r;
  const int sides = (at->on_real != DUEL_NONE ? DUEL_ON_REAL : 0) | (at->on_fake != DUEL_NONE ? DUEL_ON_FAKE : 0);
  for (int i = 0; i < r->n_penalties; i++) {
    const duel_chosen *penalty = &r->penalty[i];
    const duel_penalty *row = duel_penalty_of(penalty);
    const int64_t every = (int64_t)penalty->value[DUEL_PENALTY_EVERY].number[0];
    char name[DUEL_SCALAR_NAME];
    if (row->sides & ~sides) continue;
    if (!duel_step_every(s, every)) {
      s->forwards += row->passes;
      continue;
    }
    duel_scope(s->g, "%s", row->kind.name);
    const duel_val value = duel_mul(s->g, weight_of(s, penalty), row->build(s, penalty, at));
    snprintf(name, sizeof name, "penalty.%.30s", row->kind.name);
    if (at->last) duel_step_report(s, name, NULL, DUEL_MEAN, value, DUEL_REPORT_SUM, 1);
    loss = duel_add(s->g, loss, every > 1 ? duel_affine(s->g, value, (double)every, 0) : value);
    duel_scope(s->g, "%s", "");
  }
  return loss;
}
