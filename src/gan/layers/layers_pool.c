// Layers that make images larger or smaller without weights: upsample as PyTorch's Upsample (align_corners false),
// avgpool and maxpool as AvgPool2d (the padding's zeros count) and MaxPool2d, global_pool over all pixels.
#include "gan/layers/layer_kinds.h"

// ---- upsample
enum { SCALE, SIZE, UPSAMPLE_MODE };

static const duel_key keys_upsample[] = {
    {"scale", DUEL_KEY_INTS, "", 1, 1 << 14, NULL, "times larger: a number or [height, width]"},
    {"size", DUEL_KEY_INTS, "", 1, 1 << 14, NULL, "size of the result, instead of scale"},
    {"mode", DUEL_KEY_CHOICE, "nearest", 0, 0, "nearest|bilinear", "how pixels between those of the input are made"},
    {.name = NULL}};

static duel_val forward_upsample(duel_pass *p, const duel_layer *l, duel_val x) {
  static const duel_sampling modes[] = {DUEL_NEAREST, DUEL_BILINEAR};
  duel_resampling r = {.mode = modes[duel_layer_int(l, UPSAMPLE_MODE)]};
  const bool scaled = l->value[SCALE].n > 0;
  if (!duel_layer_has_images(p, l, x)) return DUEL_NONE;
  const duel_shape in = duel_val_shape(p->g, x);
  if (scaled == (l->value[SIZE].n > 0))
    return duel_graph_error(p->g, "upsample of images %s needs either scale or size, as in {scale: 2}",
                            duel_shape_text(in));
  if (!duel_layer_sides(p, l, scaled ? SCALE : SIZE, r.size)) return DUEL_NONE;
  for (int i = 0; i < 2 && scaled; i++)
    if (__builtin_mul_overflow(r.size[i], in.dim[2 + i], &r.size[i]))
      return duel_graph_error(p->g, "upsample makes images %s too large", duel_shape_text(in));
  return duel_resample2d(p->g, x, &r);
}
const duel_layer_kind duel_layer_upsample = {
    {"upsample", "scale", keys_upsample, "the image in another size, by nearest pixels or bilinear"}, forward_upsample};

// ---- avgpool, maxpool
enum { KERNEL, STRIDE, PAD };

#define WINDOW                                                                                                         \
  {"kernel", DUEL_KEY_INTS, "2", 1, 1 << 14, NULL, "size of the window, a number or [height, width]"}, {               \
    "stride", DUEL_KEY_INTS, "", 1, 1 << 14, NULL, "step from one window to the next, if not the kernel"               \
  }

static const duel_key keys_avgpool[] = {
    WINDOW,
    {"pad", DUEL_KEY_INTS, "0", 0, 1 << 14, NULL,
     "zeros around, which count: a number, [height, width] or [top, left, bottom, right]"},
    {.name = NULL}};

static const duel_key keys_maxpool[] = {
    WINDOW,
    {"pad", DUEL_KEY_INTS, "0", 0, 1 << 14, NULL,
     "added around, never a maximum: a number, [height, width] or [top, left, bottom, right]"},
    {.name = NULL}};

static bool read_window(duel_pass *p, const duel_layer *l, duel_val x, duel_window *w) {
  return duel_layer_has_images(p, l, x) && duel_layer_sides(p, l, KERNEL, w->kernel) &&
         duel_layer_sides(p, l, l->value[STRIDE].n > 0 ? STRIDE : KERNEL, w->stride) &&
         duel_layer_pads(p, l, PAD, w->pad);
}

static duel_val forward_avgpool(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_resampling r = {.mode = DUEL_AVERAGE};
  return read_window(p, l, x, &r.window) ? duel_resample2d(p->g, x, &r) : DUEL_NONE;
}
const duel_layer_kind duel_layer_avgpool = {{"avgpool", "kernel", keys_avgpool, "means of windows"}, forward_avgpool};

static duel_val forward_maxpool(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_window w;
  return read_window(p, l, x, &w) ? duel_maxpool2d(p->g, x, x, &w) : DUEL_NONE;
}
const duel_layer_kind duel_layer_maxpool = {{"maxpool", "kernel", keys_maxpool, "maxima of windows"}, forward_maxpool};

// ---- global_pool
enum { MEAN, MAX, SUM };

static const duel_key keys_global_pool[] = {
    {"mode", DUEL_KEY_CHOICE, "mean", 0, 0, "mean|max|sum", "what is taken of a channel's pixels"}, {.name = NULL}};

// Equal maxima share a gradient equally.
static duel_val forward_global_pool(duel_pass *p, const duel_layer *l, duel_val x) {
  const int64_t mode = duel_layer_int(l, 0);
  if (!duel_layer_has_images(p, l, x)) return DUEL_NONE;
  const duel_shape in = duel_val_shape(p->g, x);
  const uint32_t pixels = 1u << 2 | 1u << 3;
  duel_val y = mode == MAX ? duel_reduce_max(p->g, x, pixels) : duel_reduce_sum(p->g, x, pixels);
  if (mode == MEAN) y = duel_affine(p->g, y, 1.0 / ((double)in.dim[2] * (double)in.dim[3]), 0);
  return duel_reshape(p->g, y, DUEL_SHAPE(in.dim[0], in.dim[1]));
}
const duel_layer_kind duel_layer_global_pool = {
    {"global_pool", "mode", keys_global_pool, "one number a channel: the mean, maximum or sum of its pixels"},
    forward_global_pool};
