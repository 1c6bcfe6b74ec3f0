// What the files of layer kinds (layers.c, layers_*.c) share: how a forward function reads its keys and asks for
// tensors. A kind has one line in the table of layers.c, its keys and its forward function in its file.
#ifndef DUEL_GAN_LAYER_KINDS_H
#define DUEL_GAN_LAYER_KINDS_H

#include "gan/layers.h"

// The next parameter of the player, as a value. init without a name: the recipe's.
duel_val duel_layer_parameter(duel_pass *p, const char *name, duel_shape shape, duel_init init, int64_t fan_in,
                              int64_t fan_out);
// The same for a bias: zeros, or drawn as the layer's weight `init` where that is PyTorch's own.
duel_val duel_layer_bias(duel_pass *p, duel_shape shape, const duel_init *init, int64_t fan_in, int64_t fan_out);

static inline int64_t duel_layer_int(const duel_layer *l, int key) {
  return (int64_t)l->value[key].number[0];
}
static inline double duel_layer_number(const duel_layer *l, int key) {
  return l->value[key].number[0];
}

// The key's init, or without one a constant.
static inline duel_init duel_layer_init(const duel_layer *l, int key, double standard) {
  return l->value[key].init.name ? l->value[key].init : (duel_init){.name = "constant", .value = standard};
}
// Whether x is [N, C, H, W]. False: the error is recorded.
bool duel_layer_has_images(duel_pass *p, const duel_layer *l, duel_val x);

// ---- layers_conv.c
// A key of one number or two: dst[0] down, dst[1] right. False: the error is recorded.
bool duel_layer_sides(duel_pass *p, const duel_layer *l, int key, int64_t dst[2]);
// One, two or four: above, left, below, right.
bool duel_layer_pads(duel_pass *p, const duel_layer *l, int key, int64_t dst[4]);
extern const duel_key duel_keys_conv[], duel_keys_conv_transpose[];
duel_val duel_forward_conv(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_conv_transpose(duel_pass *p, const duel_layer *l, duel_val x);

// ---- layers_pool.c
extern const duel_key duel_keys_upsample[], duel_keys_avgpool[], duel_keys_maxpool[], duel_keys_global_pool[];
duel_val duel_forward_upsample(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_avgpool(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_maxpool(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_global_pool(duel_pass *p, const duel_layer *l, duel_val x);

// ---- layers_block.c
extern const duel_key duel_keys_minibatch_stddev[], duel_keys_self_attention[];
duel_val duel_forward_minibatch_stddev(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_self_attention(duel_pass *p, const duel_layer *l, duel_val x);

// ---- layers_norm.c
extern const duel_key duel_keys_layernorm[], duel_keys_instancenorm[], duel_keys_groupnorm[], duel_keys_pixelnorm[];
duel_val duel_forward_layernorm(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_instancenorm(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_groupnorm(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_pixelnorm(duel_pass *p, const duel_layer *l, duel_val x);

// ---- layers_activation.c
extern const duel_key duel_keys_gelu[], duel_keys_prelu[];
duel_val duel_forward_silu(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_gelu(duel_pass *p, const duel_layer *l, duel_val x);
duel_val duel_forward_prelu(duel_pass *p, const duel_layer *l, duel_val x);

#endif
