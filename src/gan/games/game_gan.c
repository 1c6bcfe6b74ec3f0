// The game gan: D learns to tell real items from G's, G to yield items that D takes for real (Goodfellow et al. 2014,
// arXiv:1406.2661).
//
//   sub-step j:  real_j = batch;  z_j ~ N(0, 1);  fake_j = G(z_j)
//                separate:  D on real_j, update D;  D on fake_j, update D
//                joint:     D on real_j, D on fake_j, one update on the sum of both terms
//                penalties are part of the update that learns from their side
//   then G:      fake of the last sub-step (shared) or of new latents (fresh);  D on it and, if the loss compares, on
//   real
//                items, those of the last sub-step (shared) or others (fresh);  update G, for which all of its items
//                count or the top k;  moving averages
//   each pass of D adds noise of its own to what it sees, and changes it at random (augment.h)
#include <math.h>

#include "base/rng.h"
#include "gan/augment.h"
#include "gan/games/game.h"
#include "gan/losses.h"
#include "gan/penalties.h"

enum { G, D };

enum { D_STEPS, D_UPDATE, LATENTS, NOISE, TOP_K };
enum { SLOT_NOISE = 4095 }; // of purpose 9, in a pass of D
static const duel_key keys[] = {
    {"d_steps", DUEL_KEY_INT, "1", 1, 1000, NULL, "rounds of D for one of G"},
    {"d_update", DUEL_KEY_CHOICE, "joint", 0, 0, "separate|joint",
     "D moves once for real and fake together, or once for each"},
    {"latents", DUEL_KEY_CHOICE, "shared", 0, 0, "fresh|shared",
     "G learns from the fakes that D just saw, or from fresh ones"},
    {"noise", DUEL_KEY_SCHEDULE, "0", 0, 1e6, NULL, "deviation of normal noise on all items that D sees"},
    {"top_k", DUEL_KEY_SCHEDULE, "", 1, 1e9, NULL,
     "G learns from so many of a batch, those that D takes for real the most"},
    {.name = NULL}};
static const char *const nets[] = {"G", "D", NULL};

static int d_steps(const duel_recipe *r) {
  return (int)r->game.value[D_STEPS].number[0];
}
static bool joint(const duel_recipe *r) {
  return r->game.value[D_UPDATE].number[0] != 0;
}
static bool shared(const duel_recipe *r) {
  return r->game.value[LATENTS].number[0] != 0;
}

static duel_status check_top_k(const duel_recipe *r) {
  const duel_key_value *k = &r->game.value[TOP_K];
  if (!k->n) return DUEL_OK;
  const double most = fmax(k->schedule.from, k->schedule.to);
  if (most > (double)r->train.batch)
    return duel_fail(DUEL_ERR_USAGE, "train.top_k is %g, but a batch has %lld items; set it to at most %lld", most,
                     (long long)r->train.batch, (long long)r->train.batch);
  if (k->schedule.warmup.n > 0)
    return duel_fail(DUEL_ERR_USAGE,
                     "train.top_k: a warmup begins with 0 items, from which G learns nothing; leave it out");
  return DUEL_OK;
}

static duel_status declare(duel_model *m, duel_shape item) {
  duel_shape logit = {0};
  DUEL_TRY(check_top_k(m->recipe));
  DUEL_TRY(duel_loss_check(duel_loss_of(&m->recipe->loss), !joint(m->recipe)));
  DUEL_TRY(duel_model_declare(m, G, DUEL_SHAPE(m->recipe->latent), &m->item));
  if (item.rank > 0 && !duel_shape_equal(item, m->item))
    return duel_fail(
        DUEL_ERR_USAGE,
        "G yields %s but the data has %s; let G end with the data's shape, for example dense: $C*$H*$W, then "
        "reshape: [$C, $H, $W]",
        duel_shape_text(m->item), duel_shape_text(item));
  if (m->item.rank != 3 && m->item.rank != 1)
    return duel_fail(DUEL_ERR_USAGE,
                     "G yields %s; images are C×H×W (let it end with reshape: [$C, $H, $W]) and points are one row",
                     duel_shape_text(m->item));
  DUEL_TRY(duel_augment_declare(m, D));
  DUEL_TRY(duel_model_declare(m, D, m->item, &logit));
  if (logit.rank != 1 || logit.dim[0] != 1)
    return duel_fail(DUEL_ERR_USAGE,
                     "D yields %s an item but must yield one number (a logit); let it end with dense: 1",
                     duel_shape_text(logit));
  return duel_penalties_declare(m, D, !joint(m->recipe));
}

static int64_t items(const duel_recipe *r) {
  return (d_steps(r) + duel_loss_fresh(&r->loss)) * r->train.batch;
}

static int updates(const duel_recipe *r, int net) {
  return net == G ? 1 : d_steps(r) * ((joint(r) ? 1 : 2) + duel_penalties_updates(r));
}

// The mean of a pass's scores and that of their signs.
static void report_scores(duel_step *s, const char *score, const char *sign, duel_val logits) {
  if (logits == DUEL_NONE) return;
  const double mean = 1 / (double)duel_shape_count(duel_val_shape(s->g, logits));
  duel_step_report(s, score, NULL, DUEL_LAST, logits, DUEL_REPORT_SUM, mean);
  duel_step_report(s, sign, NULL, DUEL_LAST, logits, DUEL_REPORT_SIGN, mean);
}

// Adds a term to d_loss; name: told by itself too.
static void report_loss(duel_step *s, const char *name, duel_val loss, double share) {
  if (loss == DUEL_NONE) return;
  duel_step_report(s, "d_loss", "D loss", DUEL_LAST, loss, DUEL_REPORT_SUM, share);
  if (name) duel_step_report(s, name, NULL, DUEL_LAST, loss, DUEL_REPORT_SUM, 1);
}

// Of a net that is frozen there is none.
static void report_norm(duel_step *s, const char *name, duel_val squares) {
  if (squares == DUEL_NONE) return;
  duel_step_report(s, name, NULL, DUEL_ROOT_LAST, squares, DUEL_REPORT_SUM, 1);
}

static void update_d(duel_step *s, bool last) {
  const duel_val squares = duel_step_update(s, D);
  const double clip = duel_loss_clip(&s->r->loss);
  if (clip > 0) duel_step_clip(s, D, clip);
  if (last) report_norm(s, "grad_norm_d", squares);
}

static duel_val sum_of(duel_graph *g, duel_loss_terms t) {
  if (t.pairs != DUEL_NONE) return t.pairs;
  return t.real == DUEL_NONE ? t.fake : t.fake == DUEL_NONE ? t.real : duel_add(g, t.real, t.fake);
}

// What the nets read next are items of that real batch, or fakes that take their labels.
static void take_labels(duel_step *s, int batch) {
  if (s->m->labels > 0) s->labels = duel_step_labels(s, batch);
}

// x as the coming pass of D sees it.
static duel_val noisy(duel_step *s, duel_val x) {
  const duel_schedule *noise = &s->r->game.value[NOISE].schedule;
  if (noise->from == 0 && noise->to == 0) return x;
  const uint32_t k = (uint32_t)(4096 * s->forwards + SLOT_NOISE);
  const duel_val normal = duel_step_normal(s, DUEL_PURPOSE_NOISE, k, duel_val_shape(s->g, x));
  return duel_add(s->g, x, duel_mul(s->g, duel_step_scheduled(s, "noise", noise), normal));
}

// 1 where a row's label is flipped, else 0; of sub-step j, real items or fakes.
static duel_val flips(duel_step *s, int j, bool fake) {
  const double share = duel_loss_flips(&s->r->loss);
  if (share == 0) return DUEL_NONE;
  const uint32_t k = (uint32_t)(4096 * (j + 1) + fake);
  const duel_val drawn = duel_step_uniform(s, DUEL_PURPOSE_LABEL, k, DUEL_SHAPE(duel_step_rows(s), 1));
  return duel_less_equal(s->g, drawn, duel_constant(s->g, DUEL_SCALAR, share));
}

// What each row of G's counts, by D's output [rows, 1]: 1/n for the n that are among the top k or level with them, 0
// for the others. A row is one of them if more than rows − k are not above it.
static duel_val top_share(duel_step *s, duel_val x) {
  duel_graph *g = s->g;
  const duel_key_value *k = &s->r->game.value[TOP_K];
  const int64_t rows = duel_step_rows(s);
  if (!k->n) return DUEL_NONE;
  const duel_val not_above = duel_less_equal(g, duel_reshape(g, x, DUEL_SHAPE(1, rows)), x); // [i, j]: x_j ≤ x_i
  const double part = 1 / (double)s->r->train.shards;
  const duel_val others = duel_affine(g, duel_step_scheduled(s, "top_k", &k->schedule), -part, (double)rows);
  const duel_val top = duel_affine(g, duel_less_equal(g, duel_reduce_sum(g, not_above, 2), others), -1, 1);
  return duel_div(g, top, duel_sum(g, top));
}

// loss + weight·the cross-entropy of a pass's logits of classes; name: told by it, or NULL.
static duel_val tell_classes(duel_step *s, duel_val loss, duel_val logits, double weight, const char *name) {
  if (logits == DUEL_NONE || loss == DUEL_NONE || weight == 0) return loss;
  const duel_val entropy = duel_softmax_ce(s->g, logits, s->labels, 0);
  if (name) duel_step_report(s, name, NULL, DUEL_LAST, entropy, DUEL_REPORT_SUM, 1);
  return duel_add(s->g, loss, duel_affine(s->g, entropy, weight, 0));
}

// The loss of D's classifier beside that of its logits: on real items and, if the recipe says so, on fakes.
static duel_val d_classes(duel_step *s, duel_val loss, const duel_val of[2], bool last) {
  const duel_auxiliary *head = &s->m->net[D].auxiliary;
  loss = tell_classes(s, loss, of[0], head->weight, last ? "class_loss_real" : NULL);
  if (last && of[0] != DUEL_NONE)
    duel_step_report(s, "class_accuracy", NULL, DUEL_LAST, duel_hits(s->g, of[0], s->labels), DUEL_REPORT_SUM,
                     1 / (double)duel_step_rows(s));
  return tell_classes(s, loss, of[1], head->fakes ? head->weight : 0, last ? "class_loss_fake" : NULL);
}

// What D learns from a shard of sub-step j; its output on real items or on fakes may be DUEL_NONE. classes: its logits
// of classes on both.
static void learn_d(duel_step *s, const duel_loss *loss, int j, duel_val real, duel_val fake, duel_logits x,
                    const duel_val classes[2]) {
  if (x.real != DUEL_NONE) x.flip_real = flips(s, j, false);
  if (x.fake != DUEL_NONE) x.flip_fake = flips(s, j, true);
  if (x.real != DUEL_NONE) duel_augment_watch(s, x.real);
  const duel_loss_terms terms = loss->d(s->g, x, &s->r->loss);
  const bool last = j == d_steps(s->r) - 1;
  const duel_penalty_at at = {.net = D,
                              .sub_step = j,
                              .z = duel_step_latents(s, (uint32_t)j),
                              .real = real,
                              .fake = fake,
                              .on_real = x.real,
                              .on_fake = x.fake,
                              .last = last};
  if (last) {
    report_loss(s, "d_loss_real", terms.real, loss->reported);
    report_loss(s, "d_loss_fake", terms.fake, loss->reported);
    report_loss(s, NULL, terms.pairs, loss->reported);
    report_scores(s, "score_real", "sign_real", x.real);
    report_scores(s, "score_fake", "sign_fake", x.fake);
  }
  duel_step_descend(s, D, duel_penalties_add(s, d_classes(s, sum_of(s->g, terms), classes, last), &at));
}

// An update of D down penalties alone, on these sides.
static void train_apart(duel_step *s, int j, int sides, duel_fakes *fakes) {
  while (duel_step_shard(s)) {
    take_labels(s, j);
    duel_penalty_at at = {.net = D, .sub_step = j, .z = DUEL_NONE, .last = j == d_steps(s->r) - 1};
    at.real = at.fake = at.on_real = at.on_fake = DUEL_NONE;
    if (sides & DUEL_ON_REAL) at.on_real = duel_step_forward(s, D, at.real = noisy(s, duel_step_real(s, j)));
    if (sides & DUEL_ON_FAKE) at.on_fake = duel_step_forward(s, D, at.fake = noisy(s, duel_step_fake(s, fakes)));
    duel_step_descend(s, D, duel_penalties_own_loss(s, &at));
  }
  update_d(s, false);
}

// Sub-step j: trains D. Yields G(z_j).
static duel_fakes train_d(duel_step *s, const duel_loss *loss, int j) {
  const duel_recipe *r = s->r;
  const bool last = j == d_steps(r) - 1;
  duel_fakes fakes = duel_step_fakes(s, G, (uint32_t)j);
  while (!joint(r) && duel_step_shard(s)) {
    take_labels(s, j);
    const duel_val real = noisy(s, duel_step_real(s, j));
    duel_logits x = duel_no_logits;
    if (r->train.shards == 1) duel_step_fake(s, &fakes); // they are kept anyway, and may be made beside D's work
    x.real = duel_step_forward(s, D, real);
    learn_d(s, loss, j, real, DUEL_NONE, x, (duel_val[]){s->classes, DUEL_NONE});
  }
  if (!joint(r)) update_d(s, last);
  while (duel_step_shard(s)) {
    take_labels(s, j);
    duel_val real = joint(r) ? duel_step_real(s, j) : DUEL_NONE, fake = duel_step_fake(s, &fakes);
    duel_logits x = duel_no_logits;
    duel_val classes[2] = {DUEL_NONE, DUEL_NONE};
    if (joint(r)) x.real = duel_step_forward(s, D, real = noisy(s, real)), classes[0] = s->classes;
    x.fake = duel_step_forward(s, D, fake = noisy(s, fake)), classes[1] = s->classes;
    learn_d(s, loss, j, real, fake, x, classes);
  }
  update_d(s, last);
  const int apart = duel_penalties_own(s);
  if (apart) train_apart(s, j, apart, &fakes);
  return fakes;
}

static void train_g(duel_step *s, const duel_loss *loss, duel_fakes *fakes) {
  const duel_recipe *r = s->r;
  while (duel_step_shard(s)) {
    take_labels(s, d_steps(r) - 1);
    if (s->m->labels > 0 && !shared(r)) s->labels = duel_step_drawn_labels(s);
    const duel_val of_fakes = s->labels, fake = duel_step_fake(s, fakes);
    duel_logits x = duel_no_logits;
    x.fake = duel_step_forward(s, D, noisy(s, fake));
    const duel_val classes = s->classes;
    x.share = top_share(s, x.fake);
    if (loss->compares) {
      const int batch = d_steps(r) - !duel_loss_fresh(&r->loss);
      take_labels(s, batch);
      x.real = duel_step_forward(s, D, noisy(s, duel_step_real(s, batch)));
      s->labels = of_fakes;
    }
    duel_val g_loss = loss->g(s->g, x, &r->loss);
    duel_step_report(s, "g_loss", "G loss", DUEL_LAST, g_loss, DUEL_REPORT_SUM, 1);
    g_loss = tell_classes(s, g_loss, classes, s->m->net[D].auxiliary.generator, "class_loss_g");
    const duel_penalty_at at = {.net = G,
                                .sub_step = d_steps(r),
                                .z = duel_step_latents(s, fakes->k),
                                .real = DUEL_NONE,
                                .fake = fake,
                                .on_real = x.real,
                                .on_fake = x.fake,
                                .last = true};
    duel_step_descend(s, G, duel_penalties_add_g(s, g_loss, &at));
  }
  report_norm(s, "grad_norm_g", duel_step_update(s, G));
}

static void train(duel_step *s) {
  const duel_recipe *r = s->r;
  const duel_loss *loss = duel_loss_of(&r->loss);
  duel_fakes fakes = {0};
  for (int j = 0; j < d_steps(r); j++) fakes = train_d(s, loss, j);
  if (!shared(r)) fakes = duel_step_fakes(s, G, (uint32_t)d_steps(r));
  train_g(s, loss, &fakes);
  duel_augment_move(s);
  duel_step_average(s, G);
  duel_step_average(s, D);
}

const duel_game duel_game_gan = {.kind = {.kind = {"gan", NULL, keys, "G and D against each other"},
                                          .nets = nets,
                                          .generator = "G",
                                          .losses = &duel_losses,
                                          .penalties = &duel_penalties,
                                          .augment = &duel_augment_kind,
                                          .latent = true},
                                 .declare = declare,
                                 .items = items,
                                 .updates = updates,
                                 .train = train,
                                 .samples = G,
                                 .tests = -1};
