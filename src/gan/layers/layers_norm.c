// Normalization within an item: layernorm, groupnorm, instancenorm, with the semantics and defaults of PyTorch's
// LayerNorm (over a whole item), GroupNorm and InstanceNorm; and pixelnorm.
#include <inttypes.h>

#include "gan/layers/layer_kinds.h"

enum { EPS, AFFINE, INIT, GROUPS };

#define KEYS(affine)                                                                                                   \
  {"eps", DUEL_KEY_NUMBER, "1.0e-5", 1e-12, 1, NULL, "added to the variance"},                                         \
      {"affine", DUEL_KEY_BOOL, affine, 0, 0, NULL, "learn a scale and a shift"}, {                                    \
    "init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the scale begins, if not as ones"                                      \
  }

static const duel_key keys_layernorm[] = {KEYS("true"), DUEL_FROZEN_KEY, {.name = NULL}};
static const duel_key keys_instancenorm[] = {KEYS("false"), DUEL_FROZEN_KEY, {.name = NULL}};
static const duel_key keys_groupnorm[] = {
    KEYS("true"),
    {"groups", DUEL_KEY_INT, NULL, 1, 1 << 24, NULL, "channels are cut into so many groups of neighbors"},
    DUEL_FROZEN_KEY,
    {.name = NULL}};
static const duel_key keys_pixelnorm[] = {
    {"eps", DUEL_KEY_NUMBER, "1.0e-8", 1e-12, 1, NULL, "added to the mean of the squares"}, {.name = NULL}};

static duel_val normalize(duel_pass *p, const duel_layer *l, duel_val x, int64_t groups, duel_shape affine) {
  const duel_start zeros = {NULL, 0};
  duel_val scale, shift, out[3];
  if (duel_layer_int(l, AFFINE)) {
    scale = duel_layer_parameter(p, "weight", affine, duel_layer_init(l, INIT, 1), 0, 0);
    shift = duel_layer_parameter(p, "bias", affine, zeros, 0, 0);
  } else {
    scale = duel_constant(p->g, affine, 1);
    shift = duel_constant(p->g, affine, 0);
  }
  duel_groupnorm(p->g, x, scale, shift, groups, duel_layer_number(l, EPS), out);
  return out[0];
}

// Ba et al. 2016, arXiv:1607.06450. Every element of an item has a scale and a shift of its own.
static duel_val forward_layernorm(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_shape in = duel_val_shape(p->g, x);
  if (in.rank < 2) return duel_graph_error(p->g, "layernorm needs items of numbers, but gets %s", duel_shape_text(in));
  duel_shape item = {.rank = in.rank - 1};
  for (int i = 0; i < item.rank; i++) item.dim[i] = in.dim[i + 1];
  return normalize(p, l, x, 1, item);
}
const duel_layer_kind duel_layer_layernorm = {
    {"layernorm", "eps", keys_layernorm, "each item to mean 0 and variance 1, then scale and shift an element"},
    forward_layernorm};

// Wu and He 2018, arXiv:1803.08494.
static duel_val forward_groupnorm(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_shape in = duel_val_shape(p->g, x);
  const int64_t groups = duel_layer_int(l, GROUPS);
  if (in.rank < 2) return duel_graph_error(p->g, "groupnorm needs channels, but gets %s", duel_shape_text(in));
  if (in.dim[1] % groups)
    return duel_graph_error(p->g, "groupnorm cannot cut the %" PRId64 " channels of %s into %" PRId64 " groups",
                            in.dim[1], duel_shape_text(in), groups);
  return normalize(p, l, x, groups, DUEL_SHAPE(in.dim[1]));
}
const duel_layer_kind duel_layer_groupnorm = {
    {"groupnorm", "groups", keys_groupnorm,
     "groups of channels of each item to mean 0 and variance 1, then scale and shift a channel"},
    forward_groupnorm};

// Ulyanov et al. 2016, arXiv:1607.08022. Without running statistics: training and inference do the same.
static duel_val forward_instancenorm(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_shape in = duel_val_shape(p->g, x);
  int64_t pixels = 1;
  for (int i = 2; i < in.rank; i++) pixels *= in.dim[i];
  if (in.rank < 3 || pixels < 2)
    return duel_graph_error(p->g, "instancenorm needs channels of at least 2 values each, but gets %s",
                            duel_shape_text(in));
  return normalize(p, l, x, in.dim[1], DUEL_SHAPE(in.dim[1]));
}
const duel_layer_kind duel_layer_instancenorm = {
    {"instancenorm", "eps", keys_instancenorm, "each channel of each item to mean 0 and variance 1"},
    forward_instancenorm};

// Karras et al. 2018, arXiv:1710.10196, section 4.2: each pixel's channels by the root of the mean of their squares.
static duel_val forward_pixelnorm(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_graph *g = p->g;
  const duel_shape in = duel_val_shape(g, x);
  if (in.rank < 2) return duel_graph_error(g, "pixelnorm needs channels, but gets %s", duel_shape_text(in));
  const duel_val squares = duel_reduce_sum(g, duel_mul(g, x, x), 1u << 1);
  return duel_div(g, x, duel_sqrt(g, duel_affine(g, squares, 1 / (double)in.dim[1], duel_layer_number(l, EPS))));
}
const duel_layer_kind duel_layer_pixelnorm = {
    {"pixelnorm", "eps", keys_pixelnorm, "each pixel's channels divided by the root of their mean square"},
    forward_pixelnorm};
