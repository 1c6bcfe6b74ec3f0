#include "gan/penalties.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "gan/augment.h"
#include "gan/games/game.h"

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
static const duel_key keys_r1[] = {DUEL_PENALTY_KEYS("10", AUTO), DUEL_PENALTY_UPDATE, {.name = NULL}};
static const duel_key keys_r2[] = {DUEL_PENALTY_KEYS("10", NULL), DUEL_PENALTY_UPDATE, {.name = NULL}};

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

// ---- lecam: Tseng et al. 2021, arXiv:2104.03310: E relu(r − α_F)² + E relu(α_R − f)², as their codes have it. α_R and
// α_F are averages of E r and of E f, from 0, divided by the share that they have seen so far; all sub-steps of a step
// read them as they stood before it

enum { LECAM_START = DUEL_PENALTY_OWN };
static const duel_key keys_lecam[] = {
    DUEL_PENALTY_KEYS("0.3", NULL),
    {"start", DUEL_KEY_LENGTH, "1000 steps", 0, 0, NULL, "the averages run so long before the term is added"},
    {.name = NULL}};
static const char *const state_lecam[] = {"penalty.lecam.real", "penalty.lecam.fake", NULL};
static const double LECAM_KEPT = 0.99; // of an average's old value

static void fill_unbias(const duel_step_input *in, const duel_instant *now, void *dst) {
  const duel_recipe *r = in->ctx;
  const double moves = (double)now->step * (double)(now->per_step / r->train.batch);
  *(float *)dst = (float)(moves > 0 ? 1 / (1 - pow(LECAM_KEPT, moves)) : 0);
}

static void fill_lecam(const duel_step_input *in, const duel_instant *now, void *dst) {
  const duel_key_value *value = ((const duel_chosen *)in->ctx)->value;
  const bool begun = now->step >= duel_length_steps(value[LECAM_START].length, now->per_step, now->items);
  const duel_schedule *weight = &value[DUEL_PENALTY_WEIGHT].schedule;
  *(float *)dst = begun ? (float)duel_schedule_at(weight, now->step, now->steps, now->per_step, now->items) : 0;
}

static void watch_lecam(duel_step *s, const duel_penalty_at *at) {
  duel_graph *g = s->g;
  const duel_val unbias =
      duel_step_number(s, (duel_step_input){.name = "lecam.unbias", .fill = fill_unbias, .ctx = s->r});
  const duel_val moves = duel_constant(g, DUEL_SCALAR, 1 - LECAM_KEPT), on[2] = {at->on_real, at->on_fake};
  for (int i = 0; i < 2; i++) {
    const duel_val average = duel_model_state_of(s->m, g, state_lecam[i]);
    if (at->sub_step == 0 && s->shards.at <= 0) s->lecam[i] = duel_mul(g, average, unbias);
    const duel_val mean = duel_step_mean(s, duel_mean(g, on[i]));
    if (mean != DUEL_NONE) duel_ema(g, average, mean, moves);
  }
}

static duel_val squared_excess(duel_graph *g, duel_val x, duel_val over) {
  const duel_val excess = duel_leaky_relu(g, duel_sub(g, x, over), 0);
  return duel_mean(g, duel_mul(g, excess, excess));
}
static duel_val lecam(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  (void)penalty;
  return duel_add(s->g, squared_excess(s->g, at->on_real, s->lecam[1]), squared_excess(s->g, s->lecam[0], at->on_fake));
}

// ---- consistency: D yields the same of an item that is changed a little: of real ones (CR: Zhang et al. 2019,
// arXiv:1910.12027), of fakes too (bCR), and of one whose latents change a little, where G yields something else (zCR:
// both Zhao et al. 2021, arXiv:2002.04724). Mean squares of the difference, G's negative; gradients flow into both
// sides

enum { CONSISTENCY_Z, CONSISTENCY_G = DUEL_PENALTY_OWN, CONSISTENCY_RADIUS, CONSISTENCY_REAL, CONSISTENCY_FAKE };
static const duel_key keys_consistency[] = {
    {"z", DUEL_KEY_SCHEDULE, "", 0, 1e9, NULL, "the weight of D's term where latents change a little; 20"},
    DUEL_PENALTY_KEY_EVERY,
    {"generator", DUEL_KEY_SCHEDULE, "0.5", 0, 1e9, NULL, "with z: the weight of G's term, which rewards another item"},
    {"radius", DUEL_KEY_NUMBER, "0.05", DUEL_ABOVE_0, 1e6, NULL, "how far latents change: the standard deviation"},
    {"real", DUEL_KEY_SCHEDULE, "", 0, 1e9, NULL, "the weight of D's term on real items flipped and shifted; 10"},
    {"fake", DUEL_KEY_SCHEDULE, "", 0, 1e9, NULL, "the same on fakes; 10"},
    {.name = NULL}};

static duel_val mean_square(duel_graph *g, duel_val x) {
  return duel_mean(g, duel_mul(g, x, x));
}

static int passes_consistency(const duel_chosen *penalty, bool of_g) {
  const duel_key_value *value = penalty->value;
  if (of_g) return value[CONSISTENCY_Z].n;
  return value[CONSISTENCY_REAL].n + value[CONSISTENCY_FAKE].n + 2 * value[CONSISTENCY_Z].n;
}

// G on latents nearby.
static duel_val neighbor(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  const uint32_t k = (uint32_t)(4096 * at->sub_step + 2);
  const duel_val normal = duel_step_normal(s, DUEL_PURPOSE_PENALTY, k, duel_val_shape(s->g, at->z));
  const duel_val moved = duel_affine(s->g, normal, penalty->value[CONSISTENCY_RADIUS].number[0], 0);
  return duel_step_forward(s, s->m->game->samples, duel_add(s->g, at->z, moved));
}

// total + weight·mean((before − after)²); a total of DUEL_NONE is 0.
static duel_val add_change(duel_step *s, duel_val total, const duel_key_value *weight, const char *name,
                           duel_val before, duel_val after) {
  const duel_val square = mean_square(s->g, duel_sub(s->g, before, after));
  const duel_val term = duel_mul(s->g, duel_step_scheduled(s, name, &weight->schedule), square);
  return total == DUEL_NONE ? term : duel_add(s->g, total, term);
}

static duel_val consistency(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  const duel_key_value *value = penalty->value;
  duel_val total = DUEL_NONE;
  if (value[CONSISTENCY_REAL].n) {
    const duel_val changed = duel_step_transform(s, at->real, s->forwards);
    total = add_change(s, total, &value[CONSISTENCY_REAL], "weight.consistency_real", at->on_real,
                       duel_step_forward(s, at->net, changed));
  }
  if (value[CONSISTENCY_FAKE].n) {
    const duel_val changed = duel_step_transform(s, at->fake, s->forwards);
    total = add_change(s, total, &value[CONSISTENCY_FAKE], "weight.consistency_fake", at->on_fake,
                       duel_step_forward(s, at->net, changed));
  }
  if (!value[CONSISTENCY_Z].n) return total;
  return add_change(s, total, &value[CONSISTENCY_Z], "weight.consistency", at->on_fake,
                    duel_step_forward(s, at->net, neighbor(s, penalty, at)));
}
static duel_val consistency_g(duel_step *s, const duel_chosen *penalty, const duel_penalty_at *at) {
  const duel_val beside = neighbor(s, penalty, at);
  return duel_affine(s->g, mean_square(s->g, duel_sub(s->g, at->fake, beside)), -1, 0);
}

static duel_status check_consistency(const duel_model *m, const duel_chosen *penalty) {
  const duel_key_value *value = penalty->value;
  const bool images = value[CONSISTENCY_REAL].n || value[CONSISTENCY_FAKE].n;
  const char *key = value[CONSISTENCY_REAL].n ? "real" : "fake";
  if (!images && !value[CONSISTENCY_Z].n)
    return duel_fail(DUEL_ERR_USAGE, "penalty.consistency needs a weight of real, fake or z; set "
                                     "penalty.consistency.real=10, or leave the penalty out");
  if (images && m->item.rank != 3)
    return duel_fail(DUEL_ERR_USAGE,
                     "penalty.consistency.%s flips and shifts images, but the data are points; set "
                     "penalty.consistency.z=20 in its place",
                     key);
  if (images && m->recipe->augment)
    return duel_fail(DUEL_ERR_USAGE,
                     "penalty.consistency.%s compares D on items with D on the same flipped and shifted, but augment "
                     "changes both at random; leave one of them out: augment=null",
                     key);
  return DUEL_OK;
}

static const duel_penalty rows[] = {
    {.kind = {"gp", "weight", keys_gp, "D's slope is 1 between real items and fakes"},
     .sides = DUEL_ON_BOTH,
     .passes = 1,
     .slope = true,
     .build = gp},
    {.kind = {"dragan", "weight", keys_gp, "D's slope is 1 around real items"},
     .sides = DUEL_ON_BOTH,
     .passes = 1,
     .slope = true,
     .build = dragan},
    {.kind = {"r1", "weight", keys_r1, "D is flat at real items"},
     .sides = DUEL_ON_REAL,
     .slope = true,
     .apart = true,
     .build = r1},
    {.kind = {"r2", "weight", keys_r2, "D is flat at fakes"},
     .sides = DUEL_ON_FAKE,
     .slope = true,
     .apart = true,
     .build = r2},
    {.kind = {"lecam", "weight", keys_lecam, "D's output keeps near the other side's average"},
     .sides = DUEL_ON_BOTH,
     .build = lecam,
     .watch = watch_lecam,
     .weight = fill_lecam,
     .state = state_lecam},
    {.kind = {"consistency", NULL, keys_consistency, "D yields the same where items or latents change a little"},
     .sides = DUEL_ON_BOTH,
     .own_passes = passes_consistency,
     .check = check_consistency,
     .weighted = true,
     .build = consistency,
     .build_g = consistency_g,
     .weight_g = CONSISTENCY_G},
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

static bool is_apart(const duel_chosen *penalty) {
  return duel_penalty_of(penalty)->apart && penalty->value[DUEL_PENALTY_OWN].number[0] != 0;
}
static int64_t every_of(const duel_chosen *penalty) {
  return (int64_t)penalty->value[DUEL_PENALTY_EVERY].number[0];
}

static int passes_of(const duel_chosen *penalty, bool of_g) {
  const duel_penalty *row = duel_penalty_of(penalty);
  return row->own_passes ? row->own_passes(penalty, of_g) : of_g ? 0 : row->passes;
}

static duel_status check(const duel_model *m, const duel_chosen *penalty, bool separate) {
  const char *name = penalty->kind->name;
  if (duel_penalty_of(penalty)->check) DUEL_TRY(duel_penalty_of(penalty)->check(m, penalty));
  if (separate && duel_penalty_of(penalty)->sides == DUEL_ON_BOTH)
    return duel_fail(DUEL_ERR_USAGE,
                     "penalty.%s belongs to an update on real items and fakes together, but train.d_update: separate "
                     "has none; set train.d_update=joint",
                     name);
  if (separate && is_apart(penalty))
    return duel_fail(DUEL_ERR_USAGE,
                     "penalty.%s.update: own follows one update on both sides, but train.d_update: separate has two; "
                     "set train.d_update=joint",
                     name);
  if (penalty->value[DUEL_PENALTY_WEIGHT].text && m->item.rank != 3)
    return duel_fail(DUEL_ERR_USAGE,
                     "penalty.%s.weight: auto is 0.0002*H*W/batch, but the data are points, which have no height and "
                     "width; set a number, penalty.%s.weight=1",
                     name, name);
  return DUEL_OK;
}

// An own update comes after n on the loss: rate and betas are StyleGAN2's (Karras et al. 2020, arXiv:1912.04958,
// appendix B), so that n + 1 updates move as n would.
static duel_status set_share(duel_model *m, int net, const duel_chosen *penalty, const duel_chosen **first) {
  if (!is_apart(penalty)) return DUEL_OK;
  if (!*first) *first = penalty;
  const int64_t n = every_of(*first);
  if (every_of(penalty) != n)
    return duel_fail(
        DUEL_ERR_USAGE,
        "penalty.%s and penalty.%s share the update of their own, but not `every`; set penalty.%s.every=%lld",
        (*first)->kind->name, penalty->kind->name, penalty->kind->name, (long long)n);
  m->net[net].share = (double)n / (double)(n + 1);
  return DUEL_OK;
}

duel_status duel_penalties_declare(duel_model *m, int net, bool separate) {
  const duel_chosen *first = NULL;
  for (int i = 0; i < m->recipe->n_penalties; i++) {
    const duel_chosen *penalty = &m->recipe->penalty[i];
    DUEL_TRY(check(m, penalty, separate));
    DUEL_TRY(set_share(m, net, penalty, &first));
    const char *const *state = duel_penalty_of(penalty)->state;
    for (; state && *state; state++) DUEL_TRY(duel_model_state(m, *state));
  }
  return DUEL_OK;
}

int duel_penalties_updates(const duel_recipe *r) {
  for (int i = 0; i < r->n_penalties; i++)
    if (is_apart(&r->penalty[i])) return 1;
  return 0;
}

static duel_val weight_of(duel_step *s, const duel_chosen *penalty, int key, const char *suffix) {
  char name[DUEL_SCALAR_NAME];
  const duel_key_value *weight = &penalty->value[key];
  duel_filler *fill = duel_penalty_of(penalty)->weight;
  if (weight->text) return duel_constant(s->g, DUEL_SCALAR, automatic(s->m));
  snprintf(name, sizeof name, "weight.%.30s%s", penalty->kind->name, suffix);
  if (fill) return duel_step_number(s, (duel_step_input){.name = name, .fill = fill, .ctx = penalty});
  return duel_step_scheduled(s, name, &weight->schedule);
}

// loss + weight·n·value; a loss of DUEL_NONE is 0.
static duel_val add(duel_step *s, duel_val loss, const duel_chosen *penalty, const duel_penalty_at *at, bool of_g) {
  const duel_penalty *row = duel_penalty_of(penalty);
  const char *suffix = of_g ? "_g" : "";
  char name[DUEL_SCALAR_NAME];
  duel_scope(s->g, "%s", row->kind.name);
  const duel_val term = (of_g ? row->build_g : row->build)(s, penalty, at);
  duel_val value = term;
  if (of_g || !row->weighted)
    value = duel_mul(s->g, weight_of(s, penalty, of_g ? row->weight_g : DUEL_PENALTY_WEIGHT, suffix), term);
  snprintf(name, sizeof name, "penalty.%.30s%s", row->kind.name, suffix);
  if (at->last) duel_step_report(s, name, NULL, DUEL_MEAN, value, DUEL_REPORT_SUM, 1);
  if (every_of(penalty) > 1) value = duel_affine(s->g, value, (double)every_of(penalty), 0);
  duel_scope(s->g, "%s", "");
  return loss == DUEL_NONE ? value : duel_add(s->g, loss, value);
}

static int sides_of(const duel_penalty_at *at) {
  return (at->on_real != DUEL_NONE ? DUEL_ON_REAL : 0) | (at->on_fake != DUEL_NONE ? DUEL_ON_FAKE : 0);
}

duel_val duel_penalties_add(duel_step *s, duel_val loss, const duel_penalty_at *at) {
  for (int i = 0; i < s->r->n_penalties; i++) {
    const duel_chosen *penalty = &s->r->penalty[i];
    const duel_penalty *row = duel_penalty_of(penalty);
    if ((row->sides & ~sides_of(at)) || is_apart(penalty)) continue;
    if (row->watch) row->watch(s, at);
    if (duel_step_every(s, every_of(penalty)))
      loss = add(s, loss, penalty, at, false);
    else
      s->forwards += passes_of(penalty, false);
  }
  return loss;
}

int duel_penalties_own(duel_step *s) {
  int sides = 0;
  bool due = true;
  for (int i = 0; i < s->r->n_penalties; i++) {
    const duel_chosen *penalty = &s->r->penalty[i];
    if (!is_apart(penalty)) continue;
    sides |= duel_penalty_of(penalty)->sides;
    due = duel_step_every(s, every_of(penalty));
  }
  if (due) return sides;
  s->forwards += (sides & DUEL_ON_REAL ? 1 : 0) + (sides & DUEL_ON_FAKE ? 1 : 0);
  return 0;
}

duel_val duel_penalties_own_loss(duel_step *s, const duel_penalty_at *at) {
  duel_val loss = DUEL_NONE;
  for (int i = 0; i < s->r->n_penalties; i++)
    if (is_apart(&s->r->penalty[i])) loss = add(s, loss, &s->r->penalty[i], at, false);
  return loss;
}

duel_val duel_penalties_add_g(duel_step *s, duel_val loss, const duel_penalty_at *at) {
  for (int i = 0; i < s->r->n_penalties; i++) {
    const duel_penalty *row = duel_penalty_of(&s->r->penalty[i]);
    if (!row->build_g || passes_of(&s->r->penalty[i], true) == 0) continue;
    if (duel_step_every(s, every_of(&s->r->penalty[i])))
      loss = add(s, loss, &s->r->penalty[i], at, true);
    else
      s->forwards += passes_of(&s->r->penalty[i], true);
  }
  return loss;
}
