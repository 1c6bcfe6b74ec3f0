// Cases of resampling and pooling: each size as nearest and bilinear, each window as mean and maximum, filters, all
// with their adjoints. Odd and prime sizes, up, down and both, 1×1, strides larger than the window, four different
// pads, windows as large as the image and larger, sizes around strips and pieces; maxima among NaN and infinities.
#include "cases_family.h"

typedef struct size {
  int n, c, from[2], to[2];
} size;

static const size sizes[] = {
    {1, 1, {1, 1}, {1, 1}},      {1, 1, {1, 1}, {3, 5}},     {2, 3, {4, 4}, {8, 8}},
    {2, 3, {5, 7}, {10, 14}},    {2, 2, {5, 7}, {5, 7}},     {1, 2, {5, 7}, {3, 4}},
    {3, 2, {7, 5}, {11, 13}},    {2, 2, {13, 11}, {4, 3}},   {1, 2, {2, 3}, {17, 1}},
    {2, 3, {8, 8}, {4, 4}},      {1, 3, {3, 5}, {9, 20}},    {2, 2, {9, 4}, {4, 9}}, // down one way, up the other
    {1, 3, {1, 9}, {1, 16}},     {2, 2, {2, 2}, {32, 64}},   {1, 2, {3, 300}, {6, 600}},
    {1, 2, {33, 31}, {64, 67}},  {4, 3, {32, 32}, {16, 16}}, {37, 3, {4, 4}, {8, 8}},
    {5, 17, {16, 16}, {32, 32}}, // pieces
    {2, 19, {31, 33}, {33, 64}},
};

static const struct {
  int n, c, size[2];
  duel_window window;
} pools[] = {
    {1, 1, {1, 1}, {{1, 1}, {1, 1}, {0, 0, 0, 0}}},
    {2, 3, {4, 4}, {{2, 2}, {2, 2}, {0, 0, 0, 0}}},
    {2, 3, {5, 7}, {{2, 2}, {2, 2}, {0, 0, 0, 0}}}, // a row and a column left over
    {2, 3, {7, 5}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}},
    {2, 2, {8, 8}, {{3, 3}, {1, 1}, {1, 1, 1, 1}}},
    {2, 3, {10, 9}, {{4, 4}, {2, 2}, {1, 1, 1, 1}}},
    {1, 3, {9, 8}, {{3, 2}, {1, 1}, {2, 0, 1, 1}}}, // four pads
    {2, 2, {7, 9}, {{3, 4}, {2, 3}, {0, 2, 2, 3}}},
    {2, 2, {11, 13}, {{2, 2}, {3, 3}, {0, 0, 0, 0}}}, // strides larger than the window
    {2, 2, {13, 12}, {{2, 1}, {5, 4}, {1, 0, 1, 0}}},
    {2, 3, {6, 7}, {{1, 1}, {2, 2}, {0, 0, 0, 0}}},
    {3, 5, {6, 5}, {{6, 5}, {6, 5}, {0, 0, 0, 0}}}, // the whole image
    {2, 2, {3, 3}, {{5, 4}, {2, 1}, {2, 3, 4, 1}}}, // larger than it
    {1, 2, {1, 1}, {{3, 3}, {1, 1}, {1, 1, 1, 1}}},
    {1, 3, {1, 29}, {{1, 4}, {1, 2}, {0, 3, 0, 3}}}, // signals
    {1, 3, {31, 1}, {{3, 1}, {2, 1}, {0, 0, 2, 0}}},
    {37, 3, {8, 8}, {{2, 2}, {2, 2}, {0, 0, 0, 0}}},
    {2, 3, {3, 700}, {{2, 3}, {1, 1}, {0, 1, 0, 1}}}, // strips
    {1, 2, {5, 1100}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}},
    {2, 17, {32, 32}, {{2, 2}, {2, 2}, {0, 0, 0, 0}}}, // pieces
    {3, 13, {33, 31}, {{3, 3}, {2, 2}, {1, 1, 1, 1}}},
};

#define BINOMIAL                                                                                                       \
  4, {                                                                                                                 \
    1, 3, 3, 1                                                                                                         \
  } // StyleGAN2's
#define UNEVEN                                                                                                         \
  3, {                                                                                                                 \
    0.5, -1.25, 2                                                                                                      \
  }
#define LONG                                                                                                           \
  12, {                                                                                                                \
    0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8, 0.9, 1.0, -1.1, 1.2                                                     \
  }

static const struct {
  int n, c, size[2];
  duel_fir fir;
} filters[] = {
    {1, 1, {1, 1}, {{1, 1}, {1, 1}, {0, 0, 0, 0}, 1, {2}, 1}},
    {1, 1, {1, 1}, {{2, 2}, {1, 1}, {2, 2, 1, 1}, BINOMIAL, 0.0625}},
    {2, 3, {4, 4}, {{2, 2}, {1, 1}, {2, 2, 1, 1}, BINOMIAL, 0.0625}}, // doubled
    {2, 3, {5, 7}, {{2, 2}, {1, 1}, {2, 2, 1, 1}, BINOMIAL, 0.0625}},
    {2, 3, {8, 8}, {{1, 1}, {2, 2}, {1, 1, 1, 1}, BINOMIAL, 0.015625}}, // halved
    {2, 3, {7, 9}, {{1, 1}, {2, 2}, {1, 1, 1, 1}, BINOMIAL, 0.015625}}, // a row and a column left over
    {2, 2, {5, 9}, {{1, 1}, {1, 1}, {2, 2, 1, 1}, BINOMIAL, 0.1}},
    {2, 2, {5, 9}, {{1, 1}, {1, 1}, {1, 1, 1, 1}, UNEVEN, 1}},
    {1, 2, {7, 5}, {{2, 1}, {1, 2}, {3, 0, 1, 2}, UNEVEN, 0.5}}, // up one way, down the other, four pads
    {2, 2, {6, 5}, {{3, 2}, {2, 3}, {1, 2, 0, 3}, UNEVEN, 1}},
    {2, 2, {6, 7}, {{8, 5}, {3, 8}, {5, 9, 2, 1}, LONG, 0.3}},
    {1, 3, {3, 2}, {{3, 4}, {1, 1}, {0, 0, 0, 0}, UNEVEN, 1}},     // fewer taps than zeros between: a gap
    {1, 2, {9, 7}, {{1, 1}, {4, 5}, {0, 0, 0, 0}, UNEVEN, 1}},     // pixels that nothing is made of
    {1, 2, {3, 2}, {{1, 1}, {1, 1}, {9, 17, 0, 40}, BINOMIAL, 1}}, // pads larger than the image
    {1, 1, {1, 1}, {{1, 1}, {8, 8}, {13, 13, 0, 0}, BINOMIAL, 1}}, // without any pixel of it
    {1, 2, {4, 5}, {{2, 2}, {1, 1}, {2, 2, 1, 1}, 4, {0}, 1}},
    {1, 3, {1, 29}, {{1, 2}, {1, 1}, {0, 2, 0, 1}, 1, {0.5}, 2}}, // signals
    {1, 2, {2, 300}, {{2, 2}, {1, 1}, {6, 6, 5, 5}, LONG, 1}},
    {1, 2, {33, 31}, {{1, 1}, {2, 2}, {5, 5, 5, 5}, LONG, 1}},
    {37, 3, {8, 8}, {{1, 1}, {2, 2}, {1, 1, 1, 1}, BINOMIAL, 0.015625}},
    {5, 17, {16, 16}, {{2, 2}, {1, 1}, {2, 2, 1, 1}, BINOMIAL, 0.0625}}, // pieces
    {2, 19, {33, 64}, {{1, 1}, {2, 2}, {1, 1, 1, 1}, BINOMIAL, 0.015625}},
};

static void resample(duel_shape x, duel_shape y, const duel_resampling *r) {
  duel_case *c = duel_case_add1(DUEL_OP_RESAMPLE2D, x, DUEL_FILL_UNIFORM);
  c->attr.resample = *r;
  c->zeros = r->mode == DUEL_FIR;
  c = duel_case_add1(DUEL_OP_RESAMPLE2D_DX, y, DUEL_FILL_UNIFORM);
  c->attr.resample = *r;
  c->shape = x;
  c->zeros = r->mode == DUEL_FIR;
  for (int i = 2; i < 4 && !c->zeros; i++) // pixels that nothing is made of
    c->zeros |= r->mode == DUEL_AVERAGE ? r->window.stride[i - 2] > r->window.kernel[i - 2] : y.dim[i] < x.dim[i];
}

static void maxpool(duel_shape x, duel_shape y, const duel_window *w, duel_fill fill) {
  duel_case *c = duel_case_add2(DUEL_OP_MAXPOOL2D, x, fill, x, DUEL_FILL_UNIFORM);
  c->attr.window = *w;
  c = duel_case_add2(DUEL_OP_MAXPOOL2D_DX, x, fill, y, DUEL_FILL_UNIFORM);
  c->attr.window = *w;
  c->zeros = true;
}

void duel_cases_resample(void) {
  for (int i = 0; i < LENGTH(sizes); i++) {
    const size *s = &sizes[i];
    const duel_shape x = DUEL_SHAPE(s->n, s->c, s->from[0], s->from[1]), y = DUEL_SHAPE(s->n, s->c, s->to[0], s->to[1]);
    for (int mode = DUEL_NEAREST; mode <= DUEL_BILINEAR; mode++)
      resample(x, y, &(duel_resampling){.mode = mode, .size = {s->to[0], s->to[1]}});
  }
  for (int i = 0; i < LENGTH(pools); i++) {
    const duel_window *w = &pools[i].window;
    const duel_shape x = DUEL_SHAPE(pools[i].n, pools[i].c, pools[i].size[0], pools[i].size[1]);
    duel_shape y = x;
    for (int k = 0; k < 2; k++)
      y.dim[2 + k] = (x.dim[2 + k] + w->pad[k] + w->pad[2 + k] - w->kernel[k]) / w->stride[k] + 1;
    resample(x, y, &(duel_resampling){.mode = DUEL_AVERAGE, .window = *w});
    maxpool(x, y, w, DUEL_FILL_DISTINCT);
    maxpool(x, y, w, DUEL_FILL_EXTREME);
  }
  for (int i = 0; i < LENGTH(filters); i++) {
    const duel_fir *f = &filters[i].fir;
    const duel_shape x = DUEL_SHAPE(filters[i].n, filters[i].c, filters[i].size[0], filters[i].size[1]);
    duel_shape y = x;
    for (int k = 0; k < 2; k++)
      y.dim[2 + k] = (x.dim[2 + k] * f->up[k] + f->pad[k] + f->pad[2 + k] - f->taps) / f->down[k] + 1;
    resample(x, y, &(duel_resampling){.mode = DUEL_FIR, .fir = *f});
  }
}
