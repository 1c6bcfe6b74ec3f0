// The graphs of a run: the training step that its game builds, and those that sample, test and measure.
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "gan/games/game.h"
#include "gan/layers/layers.h"

static duel_status finished(duel_graph **g) {
  const duel_status status = duel_graph_status(*g);
  if (status == DUEL_OK) return DUEL_OK;
  duel_graph_close(*g);
  *g = NULL;
  return status;
}

static void report_clips(duel_step *s) {
  char name[DUEL_SCALAR_NAME];
  for (int net = 0; net < s->r->n_nets; net++) {
    if (s->clip[net] == DUEL_NONE) continue;
    snprintf(name, sizeof name, "clip_%s", s->m->net[net].lower);
    duel_step_report(s, name, NULL, DUEL_MEAN, s->clip[net], DUEL_REPORT_SUM, 1);
  }
}

duel_status duel_step_train(duel_graph **g, duel_step_vars *v, duel_model *m, const duel_vars *vars, duel_dtype real,
                            duel_step_made *made) {
  duel_step s = {.vars = v, .m = m, .r = m->recipe, .on = made->on};
  DUEL_TRY(duel_graph_open(g, vars, real));
  s.g = *g;
  s.shards = (duel_shards){.g = s.g, .n = s.r->train.shards, .at = -1};
  s.signs = DUEL_NONE;
  for (int net = 0; net < DUEL_MAX_NETS; net++) s.grad[net] = s.clip[net] = DUEL_NONE;
  s.key = duel_input(s.g, v->key);
  s.labels = DUEL_NONE;
  for (int net = 0; net < s.r->n_nets; net++) s.view[net] = duel_parameters(s.g, &m->net[net], false);
  m->game->train(&s);
  report_clips(&s);
  duel_scope(s.g, "%s", "scalars");
  duel_report(s.g, duel_state(s.g, v->reported), s.told.n, s.told.x, s.told.term);
  made->reported = s.reported;
  memcpy(made->updates, s.updates, sizeof made->updates);
  return finished(g);
}

// A net in inference mode, with its moving average where there is one.
static duel_val infer(duel_graph *g, duel_model *m, int net, duel_val x, duel_val labels) {
  duel_pass pass = {
      .g = g, .model = m, .net = net, .ema = m->recipe->net[net].ema.on, .key = DUEL_NONE, .labels = labels};
  pass.view = duel_pass_weights(g, &m->net[net], duel_parameters(g, &m->net[net], pass.ema), false, pass.ema);
  return duel_forward(&pass, x);
}

duel_status duel_step_sample(duel_graph **g, duel_step_vars *v, duel_model *m, const duel_vars *vars, duel_dtype real) {
  DUEL_TRY(duel_graph_open(g, vars, real));
  const duel_val labels = m->labels > 0 ? duel_input(*g, v->sample_labels) : DUEL_NONE;
  duel_output(*g, v->samples, infer(*g, m, m->game->samples, duel_input(*g, v->latents), labels));
  return finished(g);
}

duel_status duel_step_stand(duel_graph **g, duel_step_vars *v, duel_model *m, const duel_vars *vars, duel_dtype real) {
  const int net = m->game->samples;
  DUEL_TRY(duel_graph_open(g, vars, real));
  const duel_val key = duel_input(*g, v->standing_key);
  duel_shards shards = {.g = *g, .n = m->recipe->train.shards, .at = -1};
  const duel_shape latents = DUEL_SHAPE(m->recipe->train.batch / shards.n, m->recipe->latent);
  duel_pass pass = {.g = *g, .model = m, .net = net, .ema = true, .standing = true, .key = DUEL_NONE};
  pass.keep = duel_input(*g, v->standing_keep);
  pass.view = duel_pass_weights(*g, &m->net[net], duel_parameters(*g, &m->net[net], true), false, true);
  pass.shards = &shards;
  while (duel_shards_next(&shards)) {
    pass.labels = DUEL_NONE;
    if (m->labels > 0)
      pass.labels =
          duel_view(*g, duel_input(*g, v->standing_labels), shards.at * latents.dim[0], DUEL_SHAPE(latents.dim[0]));
    duel_forward(&pass, duel_shards_draw(&shards, DUEL_OP_RANDOM_NORMAL, key, DUEL_PURPOSE_EVAL, 1, latents));
  }
  return finished(g);
}

duel_status duel_step_test(duel_graph **g, duel_step_vars *v, duel_model *m, const duel_vars *vars, duel_dtype real) {
  DUEL_TRY(duel_graph_open(g, vars, real));
  const duel_val x = duel_batch(*g, duel_input(*g, v->test_items), duel_input(*g, v->test_index));
  duel_output(*g, v->test_logits, infer(*g, m, m->game->tests, x, DUEL_NONE));
  return finished(g);
}
