// Convolution layers, with the semantics, defaults and weight layouts of PyTorch's Conv2d and ConvTranspose2d.
#include <inttypes.h>

#include "gan/layers/layer_kinds.h"

// ---- keys; a side's length is a number or [height, width]
enum { OUT, KERNEL, STRIDE, PAD, DILATION, GROUPS, BIAS, INIT, OUTPUT_PAD };

#define KEYS                                                                                                           \
  {"out", DUEL_KEY_INT, NULL, 1, 1 << 24, NULL, "channels of the result"},                                             \
      {"kernel", DUEL_KEY_INTS, "3", 1, 1 << 16, NULL, "size of the kernel, a number or [height, width]"}, {           \
    "stride", DUEL_KEY_INTS, "1", 1, 1 << 16, NULL, "step from one place of the kernel to the next"                    \
  }

static const duel_key keys_conv[] = {
    KEYS,
    {"pad", DUEL_KEY_INTS, "0", 0, 1 << 16, NULL,
     "zeros around: a number, [height, width] or [top, left, bottom, right]"},
    {"dilation", DUEL_KEY_INTS, "1", 1, 1 << 16, NULL, "distance of the kernel's taps"},
    {"groups", DUEL_KEY_INT, "1", 1, 1 << 24, NULL, "channels are cut into so many groups that do not meet"},
    {"bias", DUEL_KEY_BOOL, "true", 0, 0, NULL, "add a learnt bias"},
    {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the weights begin, if not as the recipe's init"},
    DUEL_WEIGHT_KEYS,
    {.name = NULL}};
static const duel_key keys_conv_transpose[] = {
    KEYS,
    {"pad", DUEL_KEY_INTS, "0", 0, 1 << 16, NULL, "cut off around the result: a number or [height, width]"},
    {"dilation", DUEL_KEY_INTS, "1", 1, 1 << 16, NULL, "distance of the kernel's taps"},
    {"groups", DUEL_KEY_INT, "1", 1, 1 << 24, NULL, "channels are cut into so many groups that do not meet"},
    {"bias", DUEL_KEY_BOOL, "true", 0, 0, NULL, "add a learnt bias"},
    {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the weights begin, if not as the recipe's init"},
    {"output_pad", DUEL_KEY_INTS, "0", 0, 1 << 16, NULL, "more rows and columns of the result, below and at the right"},
    DUEL_WEIGHT_KEYS,
    {.name = NULL}};

bool duel_layer_sides(duel_pass *p, const duel_layer *l, int key, int64_t dst[2]) {
  const duel_key_value *v = &l->value[key];
  if (v->n != 1 && v->n != 2)
    return duel_graph_refuse(p->g, "%s.%s has %d numbers; it is one, or two for height and width", l->kind->name,
                             l->kind->keys[key].name, v->n);
  for (int i = 0; i < 2; i++) dst[i] = (int64_t)v->number[v->n == 2 ? i : 0];
  return true;
}

bool duel_layer_pads(duel_pass *p, const duel_layer *l, int key, int64_t dst[4]) {
  const duel_key_value *v = &l->value[key];
  if (v->n != 1 && v->n != 2 && v->n != 4)
    return duel_graph_refuse(p->g, "%s.%s has %d numbers; it is one, two or four", l->kind->name,
                             l->kind->keys[key].name, v->n);
  for (int i = 0; i < 4; i++) dst[i] = (int64_t)v->number[v->n == 4 ? i : v->n == 2 ? i % 2 : 0];
  return true;
}

// Everything but the pads and the outputs.
static bool read_common(duel_pass *p, const duel_layer *l, duel_val x, int64_t kernel[2], duel_conv *c) {
  const duel_shape in = duel_val_shape(p->g, x);
  c->groups = duel_layer_int(l, GROUPS);
  if (!duel_layer_has_images(p, l, x)) return false;
  const int64_t out = duel_layer_int(l, OUT);
  if (in.dim[1] % c->groups || out % c->groups)
    return duel_graph_refuse(p->g,
                             "%s cannot cut %" PRId64 " channels of %s and %" PRId64 " outputs into %" PRId64 " groups",
                             l->kind->name, in.dim[1], duel_shape_text(in), out, c->groups);
  return duel_layer_sides(p, l, KERNEL, kernel) && duel_layer_sides(p, l, STRIDE, c->stride) &&
         duel_layer_sides(p, l, DILATION, c->dilation);
}

static duel_val add_bias(duel_pass *p, const duel_layer *l, duel_val y, int64_t fan_in, int64_t fan_out) {
  if (y == DUEL_NONE || !duel_layer_int(l, BIAS)) return y;
  const int64_t out = duel_layer_int(l, OUT);
  const duel_val bias = duel_layer_bias(p, l, INIT, DUEL_SHAPE(out), fan_in, fan_out);
  return duel_add(p->g, y, duel_reshape(p->g, bias, DUEL_SHAPE(out, 1, 1)));
}

static duel_val forward_conv(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_shape in = duel_val_shape(p->g, x);
  duel_conv c = {.groups = 1};
  int64_t kernel[2];
  if (!read_common(p, l, x, kernel, &c) || !duel_layer_pads(p, l, PAD, c.pad)) return DUEL_NONE;
  const int64_t out = duel_layer_int(l, OUT), inputs = in.dim[1] / c.groups, taps = kernel[0] * kernel[1];
  const int64_t fan_in = inputs * taps, fan_out = out * taps;
  const duel_weight w = {.name = "weight", .shape = DUEL_SHAPE(out, inputs, kernel[0], kernel[1]), .init = INIT};
  const duel_val weight = duel_layer_weight(p, l, w, fan_in, fan_out);
  return add_bias(p, l, duel_conv2d(p->g, x, weight, &c), fan_in, fan_out);
}
const duel_layer_kind duel_layer_conv = {
    {"conv", "out", keys_conv, "convolution: weight [out, in/groups, height, width] and bias"}, forward_conv};

// conv2d's adjoint: weight [in, out/groups, kernel] is that of the convolution which it turns around. PyTorch names the
// fans after the axes of the weight, not after what they mean here.
static duel_val forward_conv_transpose(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_shape in = duel_val_shape(p->g, x);
  duel_conv c = {.groups = 1};
  int64_t kernel[2], more[2];
  if (!read_common(p, l, x, kernel, &c) || !duel_layer_sides(p, l, PAD, c.pad) ||
      !duel_layer_sides(p, l, OUTPUT_PAD, more))
    return DUEL_NONE;
  const int64_t out = duel_layer_int(l, OUT), taps = kernel[0] * kernel[1];
  duel_shape image = DUEL_SHAPE(in.dim[0], out, 0, 0);
  for (int i = 0; i < 2; i++) {
    c.pad[2 + i] = c.pad[i];
    if (more[i] >= c.stride[i])
      return duel_graph_error(p->g, "conv_transpose.output_pad %" PRId64 " must be smaller than the stride %" PRId64,
                              more[i], c.stride[i]);
    image.dim[2 + i] = (in.dim[2 + i] - 1) * c.stride[i] - 2 * c.pad[i] + c.dilation[i] * (kernel[i] - 1) + more[i] + 1;
    if (image.dim[2 + i] < 1)
      return duel_graph_error(p->g, "conv_transpose makes %s into %" PRId64 " %s: its pad cuts off all of them",
                              duel_shape_text(in), image.dim[2 + i], i ? "columns" : "rows");
  }
  const int64_t fan_in = out / c.groups * taps, fan_out = in.dim[1] * taps;
  const duel_weight w = {.name = "weight",
                         .shape = DUEL_SHAPE(in.dim[1], out / c.groups, kernel[0], kernel[1]),
                         .init = INIT,
                         .axis = 1,
                         .inputs = in.dim[1] / c.groups * taps};
  const duel_val weight = duel_layer_weight(p, l, w, fan_in, fan_out);
  return add_bias(p, l, duel_conv2d_dx(p->g, x, weight, &c, image), fan_in, fan_out);
}
const duel_layer_kind duel_layer_conv_transpose = {
    {"conv_transpose", "out", keys_conv_transpose, "transposed convolution: weight [in, out/groups, height, width]"},
    forward_conv_transpose};
