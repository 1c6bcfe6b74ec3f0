// Layers that add random numbers: noise.
#include "gan/layers/layer_kinds.h"

// ---- noise: Karras et al. 2019, arXiv:1812.04948, section 3.1; one strength for all channels: 2020, arXiv:1912.04958
enum { CHANNELS, INIT };

static const duel_key keys_noise[] = {
    {"channels", DUEL_KEY_BOOL, "false", 0, 0, NULL, "learn a strength for each channel, not one for all"},
    {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the strength begins, if not as 0"},
    DUEL_FROZEN_KEY,
    {.name = NULL}};

// y = x + strength·n; n [N, 1, H, W] is drawn anew in each pass of training, and left out elsewhere.
static duel_val forward_noise(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_graph *g = p->g;
  if (!duel_layer_has_images(p, l, x)) return DUEL_NONE;
  duel_shape one = duel_val_shape(g, x);
  const int64_t strengths = duel_layer_int(l, CHANNELS) ? one.dim[1] : 1;
  const duel_val strength =
      duel_layer_parameter(p, "strength", DUEL_SHAPE(strengths), duel_layer_init(l, INIT, 0), 0, 0);
  if (!p->train) return x;
  one.dim[1] = 1;
  const duel_val n = duel_layer_draw(p, DUEL_OP_RANDOM_NORMAL, one);
  return duel_add(g, x, duel_mul(g, duel_reshape(g, strength, DUEL_SHAPE(strengths, 1, 1)), n));
}
const duel_layer_kind duel_layer_noise = {
    {"noise", "channels", keys_noise, "adds normal noise to each pixel in training, its strength learnt"},
    forward_noise};
