// Layers that make images larger or smaller without weights: pad as PyTorch's ZeroPad2d and ReflectionPad2d, upsample
// as PyTorch's Upsample (align_corners false), avgpool and maxpool as AvgPool2d (the padding's zeros count) and
// MaxPool2d, global_pool over all pixels. upsample with mode fir, downsample and blur are StyleGAN2's upsample2d,
// downsample2d and filter2d (Karras et al. 2020), but do not turn the taps around.
#include <inttypes.h>

#include "gan/layers/layer_kinds.h"

// ---- filters
#define TAPS_KEY(standard, help)                                                                                       \
  { "taps", DUEL_KEY_INTS, standard, -1000, 1000, NULL, help }

// x, `up` times larger or `down` times smaller, by the taps of the key; 1, 3, 3, 1 where it is absent.
static duel_val filter(duel_pass *p, const duel_layer *l, int key, duel_val x, const int64_t up[2],
                       const int64_t down[2]) {
  static const duel_key_value binomial = {.n = 4, .number = {1, 3, 3, 1}};
  const duel_key_value *v = l->value[key].n > 0 ? &l->value[key] : &binomial;
  duel_resampling r = {.mode = DUEL_FIR, .fir = {.taps = v->n, .gain = 1}};
  double sum = 0;
  for (int i = 0; i < v->n; i++) sum += r.fir.tap[i] = v->number[i];
  if (sum == 0) return duel_graph_error(p->g, "the taps of %s add up to 0, and their sum divides them", l->kind->name);
  for (int i = 0; i < 2; i++) {
    const int64_t scale = up[i] * down[i]; // one of them is 1
    if (scale > v->n)
      return duel_graph_error(p->g, "%s cannot have a scale of %" PRId64 " with %d taps, which leave pixels out",
                              l->kind->name, scale, v->n);
    r.fir.up[i] = up[i];
    r.fir.down[i] = down[i];
    r.fir.pad[i] = (v->n + up[i] - down[i]) / 2;
    r.fir.pad[2 + i] = (v->n - scale) / 2;
    r.fir.gain *= (double)up[i] / sum;
  }
  return duel_resample2d(p->g, x, &r);
}

enum { DOWNSAMPLE_SCALE, DOWNSAMPLE_TAPS };

static const duel_key keys_downsample[] = {
    {"scale", DUEL_KEY_INTS, "2", 1, DUEL_FIR_RATE, NULL, "times smaller: a number or [height, width]"},
    TAPS_KEY("[1, 3, 3, 1]", "filter, down and right; they are divided by their sum"),
    {.name = NULL}};

static duel_val forward_downsample(duel_pass *p, const duel_layer *l, duel_val x) {
  int64_t down[2];
  if (!duel_layer_has_images(p, l, x) || !duel_layer_sides(p, l, DOWNSAMPLE_SCALE, down)) return DUEL_NONE;
  return filter(p, l, DOWNSAMPLE_TAPS, x, (int64_t[]){1, 1}, down);
}
const duel_layer_kind duel_layer_downsample = {
    {"downsample", "scale", keys_downsample, "the image in a smaller size, by a filter as StyleGAN2's"},
    forward_downsample};

static const duel_key keys_blur[] = {TAPS_KEY("[1, 3, 3, 1]", "filter, down and right; they are divided by their sum"),
                                     {.name = NULL}};

static duel_val forward_blur(duel_pass *p, const duel_layer *l, duel_val x) {
  static const int64_t same[] = {1, 1};
  return duel_layer_has_images(p, l, x) ? filter(p, l, 0, x, same, same) : DUEL_NONE;
}
const duel_layer_kind duel_layer_blur = {{"blur", "taps", keys_blur, "a filter over the image, whose size stays"},
                                         forward_blur};

// ---- pad
enum { AROUND, PAD_MODE };

static const duel_key keys_pad[] = {
    {"pad", DUEL_KEY_INTS, NULL, 0, 1 << 14, NULL,
     "more pixels around: a number, [height, width] or [top, left, bottom, right]"},
    {"mode", DUEL_KEY_CHOICE, "zeros", 0, 0, "zeros|reflect", "0, or the pixels mirrored at the border ones"},
    {.name = NULL}};

static duel_val forward_pad(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_shape image = duel_val_shape(p->g, x);
  int64_t pad[4];
  if (!duel_layer_has_images(p, l, x) || !duel_layer_pads(p, l, AROUND, pad)) return DUEL_NONE;
  if (duel_layer_int(l, PAD_MODE)) return duel_reflect_pad(p->g, x, pad);
  for (int i = 0; i < 4; i++) image.dim[2 + i % 2] += pad[i];
  return duel_pad(p->g, x, (int64_t[]){0, 0, pad[0], pad[1]}, image);
}
const duel_layer_kind duel_layer_pad = {{"pad", "pad", keys_pad, "the image with zeros or mirrored pixels around"},
                                        forward_pad};

// ---- upsample
enum { SCALE, SIZE, UPSAMPLE_MODE, UPSAMPLE_TAPS };

static const duel_key keys_upsample[] = {
    {"scale", DUEL_KEY_INTS, "", 1, 1 << 14, NULL, "times larger: a number or [height, width]"},
    {"size", DUEL_KEY_INTS, "", 1, 1 << 14, NULL, "size of the result, instead of scale"},
    {"mode", DUEL_KEY_CHOICE, "nearest", 0, 0, "nearest|bilinear|fir",
     "how pixels between those of the input are made"},
    TAPS_KEY("", "of mode fir: its filter, down and right; they are divided by their sum, and multiplied by the scale"),
    {.name = NULL}};

static duel_val forward_upsample(duel_pass *p, const duel_layer *l, duel_val x) {
  static const duel_sampling modes[] = {DUEL_NEAREST, DUEL_BILINEAR, DUEL_FIR};
  duel_resampling r = {.mode = modes[duel_layer_int(l, UPSAMPLE_MODE)]};
  const bool scaled = l->value[SCALE].n > 0;
  if (!duel_layer_has_images(p, l, x)) return DUEL_NONE;
  const duel_shape in = duel_val_shape(p->g, x);
  if (scaled == (l->value[SIZE].n > 0))
    return duel_graph_error(p->g, "upsample of images %s needs either scale or size, as in {scale: 2}",
                            duel_shape_text(in));
  if (l->value[UPSAMPLE_TAPS].n > 0 && r.mode != DUEL_FIR)
    return duel_graph_error(p->g, "upsample.taps are those of mode: fir, not of %s", l->value[UPSAMPLE_MODE].text);
  if (r.mode == DUEL_FIR && !scaled)
    return duel_graph_error(p->g, "upsample with mode: fir makes images a whole number of times larger, and so it has "
                                  "a scale, not a size");
  if (!duel_layer_sides(p, l, scaled ? SCALE : SIZE, r.size)) return DUEL_NONE;
  if (r.mode == DUEL_FIR) return filter(p, l, UPSAMPLE_TAPS, x, r.size, (int64_t[]){1, 1});
  for (int i = 0; i < 2 && scaled; i++)
    if (__builtin_mul_overflow(r.size[i], in.dim[2 + i], &r.size[i]))
      return duel_graph_error(p->g, "upsample makes images %s too large", duel_shape_text(in));
  return duel_resample2d(p->g, x, &r);
}
const duel_layer_kind duel_layer_upsample = {
    {"upsample", "scale", keys_upsample, "the image in another size, by nearest pixels, bilinear or a filter"},
    forward_upsample};

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
