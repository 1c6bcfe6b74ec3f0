// What the files of layer kinds (layers.c, layers_*.c) share: how a forward function reads its keys and asks for
// tensors. A kind is one word in the list here, and in its file its keys, its forward function and duel_layer_NAME.
#ifndef DUEL_GAN_LAYER_KINDS_H
#define DUEL_GAN_LAYER_KINDS_H

#include "gan/layers/layers.h"

typedef struct duel_layer_kind {
  duel_kind kind;
  duel_val (*forward)(duel_pass *, const duel_layer *, duel_val x); // x [N, ...] -> [N, ...]
} duel_layer_kind;

// ---- layers_tensors.c
// The next parameter of the net, as a value.
duel_val duel_layer_parameter(duel_pass *p, const char *name, duel_shape shape, duel_start start, int64_t fan_in,
                              int64_t fan_out);
// The layer's value of a key, by its name; NULL: it has no such key, or the recipe leaves it out.
const duel_key_value *duel_layer_given(const duel_layer *l, const char *name);
// Of every kind that has parameters, or layers.
#define DUEL_FROZEN_KEY                                                                                                \
  { "frozen", DUEL_KEY_BOOL, "", 0, 0, NULL, "its parameters stay as they are, if not as the net's" }
// The weights of a product, which the net's constraint and learning rates hold for. Its layer's keys end with
// DUEL_WEIGHT_KEYS.
typedef struct duel_weight {
  const char *name;
  duel_shape shape;
  int init;       // the layer's key
  int axis;       // that of the outputs: 0 or 1
  int64_t inputs; // that an output adds up; 0: fan_in
} duel_weight;
duel_val duel_layer_weight(duel_pass *p, const duel_layer *l, duel_weight w, int64_t fan_in, int64_t fan_out);
#define DUEL_WEIGHT_KEYS                                                                                               \
  {"spectral", DUEL_KEY_BOOL, "", 0, 0, NULL, "spectral normalization, if not as the net's constraint"},               \
      {"equalized", DUEL_KEY_NUMBER, "", 0, 1e6, NULL, "equalized learning rate, if not as the net's"},                \
      {"lr_mul", DUEL_KEY_NUMBER, "", DUEL_ABOVE_0, 1e6, NULL, "times the learning rate, if not the net's"},           \
      DUEL_FROZEN_KEY
// Its bias: zeros, or drawn as the weights are where their initializer draws biases too. init: the layer's key.
duel_val duel_layer_bias(duel_pass *p, const duel_layer *l, int init, duel_shape shape, int64_t fan_in,
                         int64_t fan_out);
// A buffer that begins as `value` everywhere. Yields its variable, or -1 in the declaring walk.
int duel_layer_buffer(duel_pass *p, const char *name, duel_shape shape, double value);

// The layer's rows of the pass's next draw of purpose 9.
duel_val duel_layer_draw(duel_pass *p, duel_op op, duel_shape shape);

// ---- layers.c
// Batchnorm's keys, and x by the statistics of its batch, in inference mode the running ones; scale and shift [C].
#define DUEL_BATCHNORM_KEYS                                                                                            \
  {"eps", DUEL_KEY_NUMBER, "1.0e-5", 1e-12, 1, NULL, "added to the variance"},                                         \
      {"momentum", DUEL_KEY_NUMBER, "0.1", 0, 1, NULL, "weight of the new batch in the running statistics"}, {         \
    "init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the scale begins, if not as ones"                                      \
  }
enum { DUEL_BATCHNORM_EPS, DUEL_BATCHNORM_MOMENTUM, DUEL_BATCHNORM_INIT, DUEL_BATCHNORM_OWN }; // own keys from here on
duel_val duel_layer_normalize_batch(duel_pass *p, const duel_layer *l, duel_val x, duel_val scale, duel_val shift);
// Applies a list of layers; the prefix names it.
duel_val duel_walk(duel_pass *p, const duel_layers *layers, duel_val x);
// A line of the layer table; its parameters are those since `first`.
void duel_layer_row_add(duel_pass *p, const char *kind, duel_val y, int first);

static inline int64_t duel_layer_int(const duel_layer *l, int key) {
  return (int64_t)l->value[key].number[0];
}
static inline double duel_layer_number(const duel_layer *l, int key) {
  return l->value[key].number[0];
}

// The key's initializer, or without one a constant.
static inline duel_start duel_layer_init(const duel_layer *l, int key, double standard) {
  return (duel_start){l->value[key].chosen, standard};
}
// The key's initializer, or without one the net's.
static inline duel_start duel_layer_weights(const duel_pass *p, const duel_layer *l, int key) {
  const duel_chosen *own = l->value[key].chosen;
  return (duel_start){own ? own : &p->model->recipe->net[p->net].init, 0};
}
// Whether x is [N, C, H, W]. False: the error is recorded.
bool duel_layer_has_images(duel_pass *p, const duel_layer *l, duel_val x);

// A key of one number or two: dst[0] down, dst[1] right. False: the error is recorded.
bool duel_layer_sides(duel_pass *p, const duel_layer *l, int key, int64_t dst[2]);
// One, two or four: above, left, below, right.
bool duel_layer_pads(duel_pass *p, const duel_layer *l, int key, int64_t dst[4]);

// Whether the shapes differ in channels at most, so that these can stand one behind the other.
bool duel_layer_joins(duel_shape a, duel_shape b);

// All of them, in the order in which messages list them.
// clang-format off
#define DUEL_LAYERS(X)                                                                                                 \
  X(dense) X(conv) X(conv_transpose) X(pad) X(upsample) X(downsample) X(blur) X(avgpool) X(maxpool) X(global_pool)     \
  X(leaky_relu) X(relu) X(tanh) X(sigmoid) X(batchnorm) X(layernorm) X(instancenorm) X(groupnorm) X(pixelnorm)         \
  X(silu) X(gelu) X(prelu) X(dropout) X(noise) X(flatten) X(reshape)                                                   \
  X(minibatch_stddev) X(self_attention) X(label) X(projection) X(class_batchnorm) X(auxiliary)                         \
  X(residual) X(concat_block) X(add) X(concat)
// clang-format on
#define DUEL_LAYER(name) extern const duel_layer_kind duel_layer_##name;
DUEL_LAYERS(DUEL_LAYER)

#endif
