// Layers that are small nets or look at the whole batch: minibatch_stddev, self_attention, and blocks of layers.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gan/games/game.h"
#include "gan/layers/layer_kinds.h"

// ---- minibatch_stddev: Karras et al. 2018, arXiv:1710.10196, section 3, grouped as in StyleGAN2
enum { GROUP, CHANNELS };

static const duel_key keys_minibatch_stddev[] = {
    {"group", DUEL_KEY_INT, "4", 1, 1 << 24, NULL,
     "items that are compared; must divide the batch (a shard of it), or exceed it"},
    {"channels", DUEL_KEY_INT, "1", 1, 1 << 24, NULL, "channels that are added; must divide those of the input"},
    {.name = NULL}};

// The standard deviation of every number over the items of a group (biased, with 1e-8 under the root), averaged over
// 1/channels of the channels and all pixels: one number a group and added channel. Of M groups, item i is in i mod M.
static duel_val forward_minibatch_stddev(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_graph *g = p->g;
  const duel_shape in = duel_val_shape(g, x);
  if (p->net == p->model->game->samples)
    return duel_graph_error(g,
                            "minibatch_stddev lets an item depend on those drawn with it: it belongs in a net that "
                            "judges, not in %s",
                            p->model->recipe->net[p->net].name);
  if (in.rank < 2) return duel_graph_error(g, "minibatch_stddev needs channels, but gets %s", duel_shape_text(in));
  const int64_t rows = in.dim[0], shards = p->model->recipe->train.shards, added = duel_layer_int(l, CHANNELS);
  const int64_t most = duel_layer_int(l, GROUP), group = most < rows * shards ? most : rows * shards;
  if (rows % group)
    return duel_graph_error(g,
                            "minibatch_stddev cannot cut %s of %" PRId64 " (%s) into groups of %" PRId64
                            "; set train.batch=%" PRId64 " or another multiple of it, or minibatch_stddev.group",
                            shards > 1 ? "a shard" : "a batch", rows, duel_shape_text(in), group,
                            shards * (rows / most + 1) * most);
  if (in.dim[1] % added)
    return duel_graph_error(g, "minibatch_stddev cannot average the %" PRId64 " channels of %s to %" PRId64, in.dim[1],
                            duel_shape_text(in), added);
  const int64_t groups = rows / group, pixels = duel_shape_count(in) / (rows * in.dim[1]);
  const int64_t averaged = in.dim[1] / added * pixels;
  duel_shape out = in;
  out.dim[1] = added;
  const duel_val y = duel_reshape(g, x, DUEL_SHAPE(group, groups, added, averaged));
  const duel_val mean = duel_affine(g, duel_reduce_sum(g, y, 1), 1.0 / (double)group, 0);
  const duel_val centered = duel_sub(g, y, mean);
  const duel_val squares = duel_reduce_sum(g, duel_mul(g, centered, centered), 1);
  const duel_val deviation = duel_sqrt(g, duel_affine(g, squares, 1.0 / (double)group, 1e-8));
  const duel_val average = duel_affine(g, duel_reduce_sum(g, deviation, 1u << 3), 1.0 / (double)averaged, 0);
  const duel_val wide = duel_broadcast(g, average, DUEL_SHAPE(group, groups, added, pixels));
  return duel_concat(g, 2, (duel_val[]){x, duel_reshape(g, wide, out)}, 1);
}
const duel_layer_kind duel_layer_minibatch_stddev = {
    {"minibatch_stddev", "group", keys_minibatch_stddev, "adds a channel that tells how much a group of items differs"},
    forward_minibatch_stddev};

// ---- self_attention: Zhang et al. 2019, arXiv:1805.08318
enum { POOL, INIT };

static const duel_key keys_self_attention[] = {
    {"pool", DUEL_KEY_INT, "2", 1, 1 << 14, NULL,
     "keys and values are maxima of squares of so many pixels a side; 1: no pooling"},
    {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the weights begin, if not as the recipe's init"},
    DUEL_WEIGHT_KEYS,
    {.name = NULL}};

static duel_val conv_1x1(duel_pass *p, const duel_layer *l, const char *name, duel_val x, int64_t out) {
  const int64_t in = duel_val_shape(p->g, x).dim[1];
  const duel_conv c = {.stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
  const duel_weight w = {.name = name, .shape = DUEL_SHAPE(out, in, 1, 1), .init = INIT};
  return duel_conv2d(p->g, x, duel_layer_weight(p, l, w, in, out), &c);
}

static duel_val pooled(duel_graph *g, duel_val x, int64_t size) {
  const duel_window squares = {.kernel = {size, size}, .stride = {size, size}};
  return size == 1 ? x : duel_maxpool2d(g, x, x, &squares);
}

static duel_val flat(duel_graph *g, duel_val x) { // [N, C, H, W] -> [N, C, H·W]
  const duel_shape in = duel_val_shape(g, x);
  return duel_reshape(g, x, DUEL_SHAPE(in.dim[0], in.dim[1], in.dim[2] * in.dim[3]));
}

static duel_val softmax(duel_graph *g, duel_val x, uint32_t axes) {
  const duel_val e = duel_exp(g, duel_sub(g, x, duel_reduce_max(g, x, axes)));
  return duel_div(g, e, duel_reduce_sum(g, e, axes));
}

// y = x + gamma·v(Σ_i β_ji·h(x_i)) with β_j = softmax_i(g(x_j)·f(x_i)); gamma begins as 0. f, g, h and v are 1×1
// convolutions without bias to C/8, C/8, C/2 and C channels; f and h are pooled, as in the authors' code.
static duel_val forward_self_attention(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_graph *g = p->g;
  const duel_shape in = duel_val_shape(g, x);
  if (!duel_layer_has_images(p, l, x)) return DUEL_NONE;
  const int64_t channels = in.dim[1], pool = duel_layer_int(l, POOL);
  const int64_t narrow = channels < 8 ? 1 : channels / 8, half = channels < 2 ? 1 : channels / 2;
  if (in.dim[2] < pool || in.dim[3] < pool)
    return duel_graph_error(g, "self_attention.pool %" PRId64 " is larger than the image %s", pool,
                            duel_shape_text(in));
  const duel_val key = flat(g, pooled(g, conv_1x1(p, l, "f.weight", x, narrow), pool)); // [N, C/8, L]
  const duel_val query = flat(g, conv_1x1(p, l, "g.weight", x, narrow));                // [N, C/8, H·W]
  const duel_val value = flat(g, pooled(g, conv_1x1(p, l, "h.weight", x, half), pool)); // [N, C/2, L]
  const duel_val share = softmax(g, duel_matmul(g, query, key, true, false), 1u << 2);  // [N, H·W, L]
  const duel_val seen = duel_matmul(g, value, share, false, true);                      // [N, C/2, H·W]
  const duel_val image = duel_reshape(g, seen, DUEL_SHAPE(in.dim[0], half, in.dim[2], in.dim[3]));
  const duel_val y = conv_1x1(p, l, "v.weight", image, channels);
  const duel_val gamma = duel_layer_parameter(p, "gamma", DUEL_SHAPE(1), (duel_start){NULL, 0}, channels, channels);
  return duel_add(g, x, duel_mul(g, gamma, y));
}
const duel_layer_kind duel_layer_self_attention = {
    {"self_attention", "pool", keys_self_attention, "adds to each pixel what it attends to in the whole image"},
    forward_self_attention};

// ---- residual: He et al. 2015, arXiv:1512.03385: output = body(x) + skip(x), `repeat` times with weights of their own
enum { RESIDUAL, SKIP, REPEAT };

static const duel_key keys_residual[] = {
    {"residual", DUEL_KEY_LAYERS, NULL, 0, 0, NULL, "a list of layers"},
    {"skip", DUEL_KEY_LAYERS, "", 0, 0, NULL, "a list of layers for what the other is added to; without it the input"},
    {"repeat", DUEL_KEY_INT, "1", 1, 1000, NULL, "copies, each with weights of its own"},
    DUEL_FROZEN_KEY,
    {.name = NULL}};

// Whether both lists yield the same shape. False: the error is recorded.
static bool fits(duel_pass *p, bool has_skip, duel_val body, duel_val skip) {
  if (body == DUEL_NONE || skip == DUEL_NONE) return false;
  const duel_shape a = duel_val_shape(p->g, body), b = duel_val_shape(p->g, skip);
  if (duel_shape_equal(a, b)) return true;
  if (has_skip)
    return duel_graph_refuse(p->g, "the residual list yields %s but the skip list %s; they must be equal",
                             duel_shape_text(a), duel_shape_text(b));
  return duel_graph_refuse(p->g, "the residual list makes %s of %s; give the block a skip list that does the same",
                           duel_shape_text(a), duel_shape_text(b));
}

// What one of the lists of a copy makes of x.
static duel_val walk_list(duel_pass *p, const duel_layer *l, int copy, int key, duel_val x) {
  const size_t length = strlen(p->prefix);
  snprintf(p->prefix + length, sizeof p->prefix - length, ".%d.%s", copy, l->kind->keys[key].name);
  const duel_val y = duel_walk(p, l->value[key].layers, x);
  p->prefix[length] = 0;
  duel_scope(p->g, "%s %s", p->prefix, l->kind->name);
  return y;
}

// The copy's line in the layer table.
static void end_copy(duel_pass *p, const duel_layer *l, int copy, duel_val y) {
  const size_t length = strlen(p->prefix);
  if (!p->declare) return;
  snprintf(p->prefix + length, sizeof p->prefix - length, ".%d", copy);
  duel_layer_row_add(p, l->kind->name, y, p->model->net[p->net].n);
  p->prefix[length] = 0;
}

static duel_val forward_residual(duel_pass *p, const duel_layer *l, duel_val x) {
  const bool has_skip = l->value[SKIP].n > 0;
  for (int copy = 0; copy < duel_layer_int(l, REPEAT); copy++) {
    const duel_val body = walk_list(p, l, copy, RESIDUAL, x), skip = has_skip ? walk_list(p, l, copy, SKIP, x) : x;
    if (!fits(p, has_skip, body, skip)) return DUEL_NONE;
    x = duel_add(p->g, body, skip);
    end_copy(p, l, copy, x);
  }
  return x;
}
const duel_layer_kind duel_layer_residual = {
    {"residual", "residual", keys_residual, "what the list makes of x, added to x or to what skip makes of it"},
    forward_residual};

// ---- concat: Ronneberger et al. 2015, arXiv:1505.04597: output = x and what the list makes of it, side by side
enum { CONCAT, COPIES };

static const duel_key keys_concat[] = {
    {"concat", DUEL_KEY_LAYERS, NULL, 0, 0, NULL, "a list of layers"},
    {"repeat", DUEL_KEY_INT, "1", 1, 1000, NULL, "copies, each with weights of its own"},
    DUEL_FROZEN_KEY,
    {.name = NULL}};

static duel_val forward_concat_block(duel_pass *p, const duel_layer *l, duel_val x) {
  for (int copy = 0; copy < duel_layer_int(l, COPIES); copy++) {
    const duel_val body = walk_list(p, l, copy, CONCAT, x);
    if (body == DUEL_NONE) return DUEL_NONE;
    const duel_shape a = duel_val_shape(p->g, x), b = duel_val_shape(p->g, body);
    if (!duel_layer_joins(a, b))
      return duel_graph_error(p->g, "the concat list makes %s of %s; only the channels may differ", duel_shape_text(b),
                              duel_shape_text(a));
    x = duel_concat(p->g, 2, (duel_val[]){x, body}, 1);
    end_copy(p, l, copy, x);
  }
  return x;
}
const duel_layer_kind duel_layer_concat_block = {
    {"concat", "concat", keys_concat, "x and, behind its channels, those that the list makes of it"},
    forward_concat_block};
