// Cases of convolutions: each geometry as conv2d and as both adjoints. Odd and prime sizes, 1×1, strides larger than
// the kernel and than the image, dilations, four different pads, kernels larger than the image, groups and one channel
// a group, sizes around tiles and pieces, the layers of recipes/dcgan.yaml at a small batch.
#include "cases_family.h"

typedef struct geometry {
  int n, c, h, w, k, r, s; // C and K: all channels
  int stride[2], dilation[2], pad[4], groups;
} geometry;

#define PLAIN {1, 1}, {1, 1}, {0, 0, 0, 0}, 1
#define SAME(pad) {1, 1}, {1, 1}, {pad, pad, pad, pad}, 1
#define DOWN {2, 2}, {1, 1}, {1, 1, 1, 1}, 1

static const geometry geometries[] = {
    {1, 1, 1, 1, 1, 1, 1, PLAIN},
    {1, 1, 3, 3, 1, 3, 3, PLAIN},
    {2, 3, 5, 4, 2, 1, 1, PLAIN},
    {1, 2, 4, 5, 3, 2, 3, PLAIN},
    {2, 3, 7, 5, 4, 3, 3, SAME(1)},
    {3, 2, 6, 7, 5, 3, 3, DOWN},
    {2, 3, 8, 8, 4, 4, 4, DOWN},
    {1, 1, 11, 13, 1, 5, 3, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
    {2, 3, 9, 8, 2, 3, 2, {1, 1}, {1, 1}, {2, 0, 1, 3}, 1}, // four pads
    {2, 2, 10, 9, 19, 4, 4, DOWN},                          // on the GPU, sums just short enough and too long
    {2, 11, 6, 5, 17, 1, 3, PLAIN},                         // for no patches
    {2, 2, 7, 9, 3, 3, 4, {2, 3}, {1, 1}, {0, 2, 3, 1}, 1},
    {1, 3, 11, 7, 2, 2, 2, {3, 3}, {1, 1}, {0, 0, 0, 0}, 1}, // strides larger than the kernel
    {2, 2, 13, 12, 3, 2, 1, {5, 4}, {1, 1}, {1, 0, 2, 1}, 1},
    {2, 2, 3, 3, 2, 3, 3, {7, 9}, {1, 1}, {1, 1, 1, 1}, 1}, // than the image
    {1, 2, 2, 3, 3, 5, 6, {1, 1}, {1, 1}, {2, 3, 2, 2}, 1}, // kernels larger than the image
    {2, 1, 1, 1, 2, 3, 3, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1},
    {1, 1, 2, 2, 1, 3, 3, {2, 2}, {1, 1}, {4, 4, 4, 4}, 1},  // results of padding alone
    {2, 2, 9, 10, 3, 3, 3, {1, 1}, {2, 3}, {0, 1, 2, 3}, 1}, // dilations
    {1, 3, 12, 11, 2, 3, 2, {2, 3}, {2, 2}, {2, 1, 2, 1}, 1},
    {1, 2, 13, 13, 2, 4, 3, {4, 6}, {2, 4}, {3, 2, 1, 0}, 1}, // with a common divisor with the stride
    {2, 2, 10, 9, 2, 3, 3, {3, 2}, {3, 2}, {1, 2, 3, 1}, 1},
    {2, 4, 6, 5, 6, 3, 3, {1, 1}, {1, 1}, {1, 1, 1, 1}, 2}, // groups
    {2, 6, 7, 6, 3, 2, 3, {2, 2}, {1, 1}, {1, 0, 0, 2}, 3},
    {2, 5, 7, 7, 5, 3, 3, {1, 1}, {1, 1}, {1, 1, 1, 1}, 5}, // a channel a group
    {1, 3, 8, 9, 12, 3, 3, {2, 2}, {1, 1}, {1, 1, 1, 1}, 3},
    {3, 8, 5, 5, 8, 1, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, 4},
    {2, 3, 4, 6, 5, 1, 1, {2, 3}, {1, 1}, {1, 0, 1, 2}, 1}, // 1×1 with a stride and pads
    {2, 7, 17, 19, 11, 3, 5, {2, 2}, {1, 1}, {1, 2, 1, 2}, 1},
    {1, 1, 1, 29, 3, 1, 7, {1, 2}, {1, 1}, {0, 3, 0, 3}, 1}, // signals
    {1, 2, 31, 1, 3, 5, 1, {2, 1}, {1, 1}, {2, 0, 2, 0}, 1},
    // The next are for pieces: of images, rows, columns, depth, and of both ways of conv2d_dx.
    {37, 3, 7, 7, 5, 3, 3, SAME(1)},
    {3, 2, 40, 19, 3, 3, 3, SAME(1)},
    {2, 3, 3, 700, 4, 2, 3, {1, 1}, {1, 1}, {0, 1, 1, 1}, 1},
    {2, 1, 4, 1100, 9, 3, 5, {1, 2}, {1, 1}, {1, 2, 1, 2}, 1},
    {2, 67, 9, 9, 33, 3, 3, SAME(1)},
    {2, 33, 6, 5, 71, 3, 3, {2, 1}, {1, 1}, {1, 1, 1, 1}, 1},
    {2, 130, 16, 17, 6, 1, 1, PLAIN},
    {5, 3, 33, 31, 48, 5, 5, {2, 2}, {1, 1}, {2, 2, 2, 2}, 1},
    {1, 3, 131, 67, 16, 4, 4, DOWN},
    {1, 1, 257, 131, 8, 9, 9, {2, 2}, {1, 1}, {4, 4, 4, 4}, 1}, // conv2d_dx in bands
    {2, 8, 31, 32, 64, 3, 3, {2, 2}, {1, 1}, {1, 1, 1, 1}, 2},
    // On the GPU in chunks: of images, of images by y, of rows, of rows by which matrices can lie in place, of rows of
    // which wide padding alone makes some; then with indices of 64 bits.
    {3, 8, 70, 70, 2, 7, 7, SAME(3)},
    {3, 1, 61, 61, 400, 1, 1, PLAIN},
    {1, 32, 41, 41, 1, 9, 9, SAME(4)},
    {1, 32, 44, 44, 1, 9, 9, SAME(4)},
    {1, 256, 39, 39, 1, 3, 3, SAME(3)},
    {2, 4, 3, 5, 6, 2, 3, {1 << 30, 2}, {1, 1}, {1 << 30, 1, 0, 1}, 2},
    // Kernels two strides long: Winograd on the CPU, with several blocks of channels, bands, groups.
    {17, 32, 14, 10, 32, 4, 4, DOWN},
    {9, 48, 16, 16, 33, 4, 4, DOWN},
    {45, 32, 5, 4, 40, 2, 2, PLAIN},
    {1, 32, 60, 52, 32, 4, 4, DOWN},
    {17, 16, 12, 9, 32, 6, 3, {3, 1}, {1, 1}, {1, 0, 2, 1}, 1},
    {13, 32, 15, 14, 32, 4, 4, DOWN},
    {16, 32, 12, 12, 64, 4, 4, {2, 2}, {1, 1}, {1, 1, 1, 1}, 2},
    // The same with channels enough for conv2d_dw too.
    {29, 128, 9, 11, 40, 4, 4, DOWN},
    {17, 64, 14, 10, 70, 4, 4, DOWN},
    {1, 64, 60, 52, 96, 4, 4, DOWN},
    {17, 128, 12, 9, 33, 6, 2, {3, 1}, {1, 1}, {1, 0, 2, 1}, 1},
    {33, 128, 8, 8, 128, 4, 4, {2, 2}, {1, 1}, {1, 1, 1, 1}, 2},
};

// Of dcgan: x is the side of the image, y that of the features.
static const geometry layers[] = {
    {2, 1, 28, 28, 64, 4, 4, DOWN},
    {5, 64, 14, 14, 128, 4, 4, DOWN},
};

typedef struct tensors { // of a geometry
  duel_shape x, w, y;
  duel_conv conv;
  bool zeros; // what padding alone makes, what a stride skips and what only padding meets
} tensors;

static tensors tensors_of(const geometry *g) {
  tensors t = {.x = {4, {g->n, g->c, g->h, g->w}},
               .w = {4, {g->k, g->c / g->groups, g->r, g->s}},
               .y = {4, {g->n, g->k}},
               .conv = {.groups = g->groups}};
  t.y.dim[2] = (g->h + g->pad[0] + g->pad[2] - g->dilation[0] * (g->r - 1) - 1) / g->stride[0] + 1;
  t.y.dim[3] = (g->w + g->pad[1] + g->pad[3] - g->dilation[1] * (g->s - 1) - 1) / g->stride[1] + 1;
  for (int k = 0; k < 4; k++) t.conv.pad[k] = g->pad[k];
  for (int k = 0; k < 2; k++) {
    t.conv.stride[k] = g->stride[k];
    t.conv.dilation[k] = g->dilation[k];
  }
  const bool skips = g->r < g->stride[0] || g->s < g->stride[1] || (g->dilation[0] > 1 && g->stride[0] > 1);
  t.zeros = skips || g->pad[0] > g->h || g->r > g->h || g->h == 1;
  return t;
}

static void add(const geometry *g) {
  const tensors t = tensors_of(g);
  for (int i = 0; i < 3; i++) {
    static const duel_op ops[] = {DUEL_OP_CONV2D, DUEL_OP_CONV2D_DX, DUEL_OP_CONV2D_DW};
    duel_case *c = duel_case_add2(ops[i], i == 1 ? t.y : t.x, DUEL_FILL_UNIFORM, i == 2 ? t.y : t.w, DUEL_FILL_UNIFORM);
    if (i > 0) c->shape = i == 1 ? t.x : t.w;
    c->attr.conv = t.conv;
    c->zeros = t.zeros;
  }
}

// Every geometry once as one of the fused ops, with one activation after the other, mostly with a bias.
static void add_fused(const geometry *g, int i) {
  static const double slope[] = {0, 0.25, 0, 0};
  const tensors t = tensors_of(g);
  const bool dx = i & 1;
  duel_case *c = duel_case_add2(dx ? DUEL_OP_CONV2D_DX_ACT : DUEL_OP_CONV2D_ACT, dx ? t.y : t.x, DUEL_FILL_UNIFORM, t.w,
                                DUEL_FILL_UNIFORM);
  if (i % 5) {
    c->n_in = 3;
    c->in[2] = (duel_case_in){{1, {dx ? g->c : g->k}}, DUEL_FILL_UNIFORM, DUEL_REAL};
  }
  if (dx) c->shape = t.x;
  c->attr.conv_act.conv = t.conv;
  c->attr.conv_act.act = i / 2 % 4;
  c->attr.conv_act.slope = slope[i / 2 % 4];
  c->zeros = t.zeros;
}

static double multiplications(const geometry *g) {
  const tensors t = tensors_of(g);
  return (double)duel_shape_count(t.y) * g->c / g->groups * g->r * g->s;
}

// And once as conv2d_dx_grad.
static void add_grad(const geometry *g, int i) {
  static const double slope[] = {0, 0.25, 0, 0};
  const tensors t = tensors_of(g);
  duel_case *c = duel_case_add2(DUEL_OP_CONV2D_DX_GRAD, t.y, DUEL_FILL_UNIFORM, t.w, DUEL_FILL_UNIFORM);
  const int act = (i + 1) % 4;
  c->n_in = 3;
  c->in[2] = (duel_case_in){t.x, act == DUEL_ACT_SIGMOID ? DUEL_FILL_UNIT : DUEL_FILL_AWAY, DUEL_REAL};
  c->shape = t.x;
  c->attr.conv_act.conv = t.conv;
  c->attr.conv_act.act = act;
  c->attr.conv_act.slope = slope[act];
  c->zeros = t.zeros;
}

void duel_cases_conv(void) {
  for (int i = 0; i < LENGTH(geometries); i++) add_fused(&geometries[i], i);
  for (int i = 0; i < LENGTH(geometries); i++) // large ones are conv2d_dx_act or this
    if (!(i & 1) || multiplications(&geometries[i]) < 8e6) add_grad(&geometries[i], i);
  for (int i = 0; i < LENGTH(geometries); i++) add(&geometries[i]);
  for (int i = 0; i < LENGTH(layers); i++) add(&layers[i]);
}
