// See mini_gan.h.
#include "mini_gan.h"

#include <stdio.h>

#include "base/rng.h"

mini_gan mini_gan_mlp(void) {
  return (mini_gan){.batch = 64, .latent = 100, .hidden = {256, 512}, .side = 28, .d_hidden = 512, .real = DUEL_F32};
}

mini_gan mini_gan_small(duel_dtype real) {
  return (mini_gan){.batch = 5, .latent = 3, .hidden = {6, 7}, .side = 4, .d_hidden = 9, .real = real};
}

// ---- variables
static duel_status declare_player(mini_gan *m, int which, const char *name, int n, const duel_shape *shape) {
  mini_player *p = &m->net[which];
  int64_t step = DUEL_ALIGN / (int64_t)duel_dtype_size(m->real);
  *p = (mini_player){.n = n};
  for (int i = 0; i < n; i++) {
    p->shape[i] = shape[i];
    p->offset[i] = p->size;
    p->size += (duel_shape_count(shape[i]) + step - 1) / step * step;
  }
  char text[32];
  DUEL_TRY(duel_vars_add(&m->vars, DUEL_ARENA_PARAM, name, m->real, DUEL_SHAPE(p->size), &p->slab));
  snprintf(text, sizeof text, "opt.%s.m", name);
  DUEL_TRY(duel_vars_add(&m->vars, DUEL_ARENA_OPT, text, m->real, DUEL_SHAPE(p->size), &p->m));
  snprintf(text, sizeof text, "opt.%s.v", name);
  return duel_vars_add(&m->vars, DUEL_ARENA_OPT, text, m->real, DUEL_SHAPE(p->size), &p->v);
}

duel_status mini_gan_declare(mini_gan *m) {
  int64_t pixels = m->side * m->side, h0 = m->hidden[0], h1 = m->hidden[1], d = m->d_hidden;
  duel_shape g[] = {
      DUEL_SHAPE(h0, m->latent), DUEL_SHAPE(h0),    DUEL_SHAPE(h1, h0), DUEL_SHAPE(h1), DUEL_SHAPE(h1), DUEL_SHAPE(h1),
      DUEL_SHAPE(pixels, h1),    DUEL_SHAPE(pixels)};
  duel_shape dd[] = {DUEL_SHAPE(d, pixels), DUEL_SHAPE(d), DUEL_SHAPE(1, d), DUEL_SHAPE(1)};
  duel_vars *vars = &m->vars;
  DUEL_TRY(declare_player(m, MINI_G, "G", 8, g));
  DUEL_TRY(declare_player(m, MINI_D, "D", 4, dd));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "key", DUEL_I32, DUEL_SHAPE(4), &m->key));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "index", DUEL_I32, DUEL_SHAPE(m->batch), &m->index));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_INPUT, "coef", m->real, DUEL_SHAPE(24), &m->coef));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_DATA, "data", DUEL_U8, DUEL_SHAPE(50, 1, m->side, m->side), &m->data));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_BUFFER, "mean", m->real, DUEL_SHAPE(h1), &m->mean));
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_BUFFER, "var", m->real, DUEL_SHAPE(h1), &m->var));
  return duel_vars_add(vars, DUEL_ARENA_OUTPUT, "metrics", m->real, DUEL_SHAPE(4), &m->metrics);
}

void mini_gan_clear(mini_gan *m) {
  duel_vars_clear(&m->vars);
}

// ---- the step
static void parameters(duel_graph *g, const mini_player *p, duel_val *view) {
  duel_val slab = duel_state(g, p->slab);
  for (int i = 0; i < p->n; i++) view[i] = duel_view(g, slab, p->offset[i], p->shape[i]);
}

static duel_val dense(duel_graph *g, const duel_val *w, duel_val x) {
  return duel_add(g, duel_matmul(g, x, w[0], false, true), w[1]);
}

static duel_val generate(duel_graph *g, const mini_gan *m, const duel_val *w, duel_val x) {
  duel_shape image = DUEL_SHAPE(m->batch, 1, m->side, m->side);
  double n = (double)m->batch;
  duel_scope(g, "G.0 dense");
  x = dense(g, w, x);
  duel_scope(g, "G.1 leaky_relu");
  x = duel_leaky_relu(g, x, 0.2);
  duel_scope(g, "G.2 dense");
  x = dense(g, w + 2, x);
  duel_scope(g, "G.3 batchnorm");
  duel_val out[3], moved[2];
  duel_batchnorm(g, x, w[4], w[5], 1e-5, DUEL_ACT_NONE, 0, out);
  duel_running(g, duel_state(g, m->mean), duel_state(g, m->var), out[1], out[2], 0.1, n / (n - 1), moved);
  duel_scope(g, "G.4 leaky_relu");
  x = duel_leaky_relu(g, out[0], 0.2);
  duel_scope(g, "G.5 dense");
  x = dense(g, w + 6, x);
  duel_scope(g, "G.6 tanh");
  x = m->reshape_first ? duel_tanh(g, duel_reshape(g, x, image)) : duel_reshape(g, duel_tanh(g, x), image);
  duel_scope(g, "%s", "");
  return x;
}

static duel_val judge(duel_graph *g, const mini_gan *m, const duel_val *w, duel_val x) {
  duel_scope(g, "D.1 dense");
  x = dense(g, w, duel_reshape(g, x, DUEL_SHAPE(m->batch, m->side * m->side)));
  duel_scope(g, "D.2 leaky_relu");
  x = duel_leaky_relu(g, x, 0.2);
  duel_scope(g, "D.3 dense");
  x = dense(g, w + 2, x);
  duel_scope(g, "%s", "");
  return x;
}

static duel_val update(duel_graph *g, const mini_gan *m, int which, duel_val *w, duel_val loss, int row) {
  const mini_player *p = &m->net[which];
  duel_val grad[MINI_MAX_PARAMS], out[4];
  if (duel_grad(g, loss, p->n, w, grad) != DUEL_OK) return DUEL_NONE;
  duel_scope(g, "%s update", which == MINI_G ? "G" : "D");
  duel_val flat = duel_pack(g, p->n, grad, p->offset, p->size);
  duel_val coef = duel_view(g, duel_input(g, m->coef), 8 * row, DUEL_SHAPE(8));
  duel_adam(g, duel_state(g, p->slab), duel_state(g, p->m), duel_state(g, p->v), flat, coef, out);
  duel_scope(g, "%s", "");
  parameters(g, p, w);
  return out[3];
}

duel_graph *mini_gan_step(const mini_gan *m) {
  duel_graph *g;
  if (duel_graph_open(&g, &m->vars, m->real) != DUEL_OK) return NULL;
  duel_val w[2][MINI_MAX_PARAMS], metric[4];
  for (int i = 0; i < 2; i++) parameters(g, &m->net[i], w[i]);
  duel_val real = duel_batch(g, duel_input(g, m->data), duel_input(g, m->index));
  duel_val key = duel_input(g, m->key);
  duel_val z = duel_random_normal(g, key, DUEL_PURPOSE_LATENT, 0, DUEL_SHAPE(m->batch, m->latent));
  duel_val fake = generate(g, m, w[MINI_G], z);
  metric[0] = duel_bce_logits(g, judge(g, m, w[MINI_D], real), 1);
  update(g, m, MINI_D, w[MINI_D], metric[0], 0);
  metric[1] = duel_bce_logits(g, judge(g, m, w[MINI_D], fake), 0);
  update(g, m, MINI_D, w[MINI_D], metric[1], 1);
  metric[2] = duel_bce_logits(g, judge(g, m, w[MINI_D], fake), 1);
  metric[3] = update(g, m, MINI_G, w[MINI_G], metric[2], 2);
  duel_scope(g, "metrics");
  static const duel_report_term term[] = {
      {0, DUEL_REPORT_SUM, 1, 0}, {1, DUEL_REPORT_SUM, 1, 0}, {2, DUEL_REPORT_SUM, 1, 0}, {3, DUEL_REPORT_SUM, 1, 0}};
  duel_report(g, duel_state(g, m->metrics), 4, metric, term);
  if (duel_graph_status(g) == DUEL_OK) return g;
  duel_graph_close(g);
  return NULL;
}
