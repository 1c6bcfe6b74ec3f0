// Activations composed of ops, with the semantics and defaults of PyTorch's SiLU, GELU and PReLU.
#include "gan/layers/layer_kinds.h"

// ---- silu: x·sigmoid(x); Ramachandran et al. 2017, arXiv:1710.05941, call it swish
static duel_val forward_silu(duel_pass *p, const duel_layer *l, duel_val x) {
  (void)l;
  return duel_mul(p->g, x, duel_sigmoid(p->g, x));
}
const duel_layer_kind duel_layer_silu = {{"silu", NULL, duel_no_keys, "x·sigmoid(x)"}, forward_silu};

// ---- gelu: x·Φ(x); Hendrycks and Gimpel 2016, arXiv:1606.08415
enum { APPROXIMATE };

static const duel_key keys_gelu[] = {
    {"approximate", DUEL_KEY_CHOICE, "none", 0, 0, "none|tanh", "none: by erf; tanh: the paper's approximation"},
    {.name = NULL}};

static duel_val forward_gelu(duel_pass *p, const duel_layer *l, duel_val x) {
  const double root_half = 0.70710678118654752440, root_2_over_pi = 0.79788456080286535588;
  duel_graph *g = p->g;
  duel_val s; // Φ(x) = (1 + s)/2
  if (duel_layer_int(l, APPROXIMATE)) {
    const duel_val cube = duel_mul(g, duel_mul(g, x, x), x);
    s = duel_tanh(g, duel_affine(g, duel_add(g, x, duel_affine(g, cube, 0.044715, 0)), root_2_over_pi, 0));
  } else {
    s = duel_erf(g, duel_affine(g, x, root_half, 0));
  }
  return duel_mul(g, x, duel_affine(g, s, 0.5, 0.5));
}
const duel_layer_kind duel_layer_gelu = {
    {"gelu", "approximate", keys_gelu, "x·Φ(x), the normal distribution's share below x"}, forward_gelu};

// ---- prelu: a learnt slope; He et al. 2015, arXiv:1502.01852
enum { CHANNELS, INIT };

static const duel_key keys_prelu[] = {
    {"channels", DUEL_KEY_BOOL, "false", 0, 0, NULL, "learn a slope for each channel, not one for all"},
    {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the slope begins, if not as 0.25"},
    DUEL_FROZEN_KEY,
    {.name = NULL}};

static duel_val forward_prelu(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_shape in = duel_val_shape(p->g, x);
  const bool channels = duel_layer_int(l, CHANNELS);
  if (in.rank < 2) return duel_graph_error(p->g, "prelu needs channels, but gets %s", duel_shape_text(in));
  duel_shape wide = {.rank = in.rank - 1, .dim = {channels ? in.dim[1] : 1}}; // broadcasts over [N, C, ...]
  for (int i = 1; i < wide.rank; i++) wide.dim[i] = 1;
  const duel_val slope =
      duel_layer_parameter(p, "weight", DUEL_SHAPE(wide.dim[0]), duel_layer_init(l, INIT, 0.25), 0, 0);
  const duel_val negative = duel_less_equal(p->g, x, duel_constant(p->g, DUEL_SCALAR, 0));
  return duel_select(p->g, negative, duel_mul(p->g, x, duel_reshape(p->g, slope, wide)), x);
}
const duel_layer_kind duel_layer_prelu = {
    {"prelu", "channels", keys_prelu, "x where x > 0, slope·x elsewhere, the slope learnt"}, forward_prelu};
