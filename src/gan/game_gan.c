// The GAN game: a generator G and a discriminator D.
//
//   sub-step j:  real_j = batch;  z_j ~ N(0, 1);  fake_j = G(z_j)
//                separate:  D on real_j, update D;  D on fake_j, update D      joint: one update on the sum of both
//                terms
//   then G:      fake of the last sub-step (shared) or of new latents (fresh);  D on it, update G;  G's moving average
#include "gan/game.h"
#include "gan/losses.h"

enum { G, D };

static duel_status declare(duel_model *m, duel_shape item) {
  duel_shape logit = {0};
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
  DUEL_TRY(duel_model_declare(m, D, m->item, &logit));
  if (logit.rank != 1 || logit.dim[0] != 1)
    return duel_fail(DUEL_ERR_USAGE,
                     "D yields %s an item but must yield one number (a logit); let it end with dense: 1",
                     duel_shape_text(logit));
  return DUEL_OK;
}

static int64_t items(const duel_recipe *r) {
  return r->train.d_steps * r->train.batch;
}

static int updates(const duel_recipe *r, int net) {
  return net == G ? 1 : r->train.d_steps * (r->train.joint ? 1 : 2);
}

// The mean of a pass's scores and that of their signs.
static void report_scores(duel_step *s, const char *score, const char *sign, duel_val logits) {
  const double mean = 1 / (double)duel_shape_count(duel_val_shape(s->g, logits));
  duel_step_report(s, score, NULL, DUEL_LAST, logits, DUEL_REPORT_SUM, mean);
  duel_step_report(s, sign, NULL, DUEL_LAST, logits, DUEL_REPORT_SIGN, mean);
}

static void report_loss(duel_step *s, const char *name, duel_val loss, double share) {
  duel_step_report(s, "d_loss", "D loss", DUEL_LAST, loss, DUEL_REPORT_SUM, share);
  duel_step_report(s, name, NULL, DUEL_LAST, loss, DUEL_REPORT_SUM, 1);
}

static void report_norm(duel_step *s, const char *name, duel_val squares) {
  duel_step_report(s, name, NULL, DUEL_ROOT_LAST, squares, DUEL_REPORT_SUM, 1);
}

// Sub-step j: trains D. Yields G(z_j).
static duel_val train_d(duel_step *s, const duel_loss *loss, int j) {
  duel_graph *g = s->g;
  const duel_recipe *r = s->r;
  const duel_val real = duel_step_real(s, j * r->train.batch, r->train.batch);
  const duel_val fake = duel_step_forward(s, G, duel_step_latents(s, (uint32_t)j));
  const duel_val real_logits = duel_step_forward(s, D, real), real_loss = loss->real(g, real_logits, r);
  const duel_val first = r->train.joint ? DUEL_NONE : duel_step_update(s, D, real_loss);
  const duel_val fake_logits = duel_step_forward(s, D, fake), fake_loss = loss->fake(g, fake_logits, r);
  const duel_val last = duel_step_update(s, D, r->train.joint ? duel_add(g, real_loss, fake_loss) : fake_loss);
  if (j < r->train.d_steps - 1) return fake;

  report_loss(s, "d_loss_real", real_loss, loss->reported);
  report_loss(s, "d_loss_fake", fake_loss, loss->reported);
  report_scores(s, "score_real", "sign_real", real_logits);
  report_scores(s, "score_fake", "sign_fake", fake_logits);
  if (first != DUEL_NONE) report_norm(s, "grad_norm_d", first);
  report_norm(s, "grad_norm_d", last);
  return fake;
}

static void train(duel_step *s) {
  const duel_recipe *r = s->r;
  const duel_loss *loss = duel_loss_find(r->loss.name);
  duel_val fake = DUEL_NONE;
  for (int j = 0; j < r->train.d_steps; j++) fake = train_d(s, loss, j);
  if (!r->train.shared) fake = duel_step_forward(s, G, duel_step_latents(s, (uint32_t)r->train.d_steps));
  const duel_val g_loss = loss->generator(s->g, duel_step_forward(s, D, fake), r);
  duel_step_report(s, "g_loss", "G loss", DUEL_LAST, g_loss, DUEL_REPORT_SUM, 1);
  report_norm(s, "grad_norm_g", duel_step_update(s, G, g_loss));
  duel_step_average(s, G);
}

const duel_game duel_game_gan = {.name = "gan",
                                 .net = {"G", "D"},
                                 .declare = declare,
                                 .items = items,
                                 .updates = updates,
                                 .train = train,
                                 .samples = G,
                             .tests = -1};
