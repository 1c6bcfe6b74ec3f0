// Cases of reductions, batch normalization, bce, draws, rows by number and the writers.
#include "cases_family.h"

static const int64_t counts[] = {1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 255, 257, 1021, 40009};

static void reduce(duel_shape shape, uint32_t axes) {
  duel_case_add1(DUEL_OP_REDUCE_SUM, shape, DUEL_FILL_UNIFORM)->attr.reduce.axes = axes;
  duel_case_add1(DUEL_OP_REDUCE_MAX, shape, DUEL_FILL_DISTINCT)->attr.reduce.axes = axes;
}

static void reductions(void) {
  static const duel_shape all_masks[] = {SCALAR, S(1), S(7), S(5, 7), S(1, 7), S(3, 5, 7), S(2, 3, 5, 4)};
  for (int i = 0; i < LENGTH(all_masks); i++)
    for (uint32_t axes = 0; axes < 1u << all_masks[i].rank; axes++) reduce(all_masks[i], axes);
  for (int i = 0; i < LENGTH(counts); i++) reduce((duel_shape)S(counts[i]), 1);
  static const struct {
    duel_shape shape;
    uint32_t axes;
  } others[] = {{S(2, 3, 4, 5, 3), 0x15},
                {S(2, 3, 4, 5, 3), 0x0a},
                {S(2, 3, 4, 5, 3), 0x1f},
                {S(257, 65), 1},
                {S(65, 257), 2},
                {S(1, 513), 2},
                {S(513, 1), 1},
                {S(64, 512), 1},
                {S(64, 784), 2},
                {S(64, 784), 3},
                {S(64, 1), 1},
                {S(8, 16, 7, 7), 13},
                {S(31, 33, 17), 2},
                {S(17, 31, 33), 5}};
  for (int i = 0; i < LENGTH(others); i++) reduce(others[i].shape, others[i].axes);
  static const struct {
    duel_shape shape;
    uint32_t axes;
  } large[] = {{S(7, 5003), 2},    {S(3, 5, 5003), 5}, {S(3000, 17), 1}, {S(4, 600, 33), 3},
               {S(4, 600, 33), 2}, {S(33, 2, 301), 5}, {S(130, 131), 0}, {S(2, 3, 70, 5, 11), 0x15}};
  for (int i = 0; i < LENGTH(large); i++) reduce(large[i].shape, large[i].axes);
  reduce((duel_shape)S(2, 36000), 2); // rows in fours, so many that a GPU splits them
  reduce((duel_shape)S(3, 17, 2, 19, 2, 8), 0x2a);
  reduce((duel_shape)S(9, 2, 11, 2, 8, 3), 0x15);
  duel_case_add1(DUEL_OP_REDUCE_MAX, (duel_shape)S(33, 31), DUEL_FILL_EXTREME)->attr.reduce.axes = 1; // NaN wins
  duel_case_add1(DUEL_OP_REDUCE_MAX, (duel_shape)S(33, 31), DUEL_FILL_EXTREME)->attr.reduce.axes = 2;
  duel_case_add1(DUEL_OP_REDUCE_MAX, (duel_shape)S(33, 31), DUEL_FILL_LARGE)->attr.reduce.axes = 2;
}

static void batchnorm(duel_shape x, duel_fill fill, duel_act act, double slope) {
  const duel_shape channel = S(x.dim[1]);
  duel_case *c = duel_case_add(DUEL_OP_BATCHNORM, 3);
  c->in[0] = (duel_case_in){x, fill, DUEL_REAL};
  c->in[1] = (duel_case_in){channel, DUEL_FILL_POSITIVE, DUEL_REAL};
  c->in[2] = (duel_case_in){channel, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->attr.batchnorm.eps = 1e-5;
  c->attr.batchnorm.act = act;
  c->attr.batchnorm.slope = act == DUEL_ACT_LEAKY_RELU ? slope : 0;
  c->coarse = fill == DUEL_FILL_OFFSET;
  c->zeros = (act == DUEL_ACT_LEAKY_RELU && slope == 0) || fill == DUEL_FILL_ZERO;
}

static void batchnorm_grad(duel_shape x, duel_act act, double slope) {
  const duel_shape channel = S(x.dim[1]);
  const duel_fill y = act == DUEL_ACT_SIGMOID ? DUEL_FILL_UNIT : DUEL_FILL_AWAY;
  duel_case *c = duel_case_add(DUEL_OP_BATCHNORM_GRAD, 6);
  c->in[0] = (duel_case_in){x, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[1] = (duel_case_in){x, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[2] = (duel_case_in){channel, DUEL_FILL_POSITIVE, DUEL_REAL};
  c->in[3] = (duel_case_in){channel, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[4] = (duel_case_in){channel, DUEL_FILL_POSITIVE, DUEL_REAL};
  c->in[5] = (duel_case_in){x, y, DUEL_REAL};
  c->attr.batchnorm.eps = 1e-5;
  c->attr.batchnorm.act = act;
  c->attr.batchnorm.slope = act == DUEL_ACT_LEAKY_RELU ? slope : 0;
}

static void batchnorms(void) {
  static const duel_shape shapes[] = {S(2, 1),         S(2, 3),          S(3, 17),        S(5, 33),       S(17, 16),
                                      S(64, 65),       S(65, 31),        S(257, 5),       S(64, 512),     S(16, 1024),
                                      S(4, 3, 5),      S(4, 3, 5, 5),    S(2, 16, 7, 7),  S(3, 65, 2, 3), S(300, 200),
                                      S(16, 9, 7, 13), S(4, 33, 16, 16), S(2, 3, 2, 3, 2)};
  static const struct {
    duel_act act;
    double slope;
  } acts[] = {{DUEL_ACT_NONE, 0},
              {DUEL_ACT_LEAKY_RELU, 0.2},
              {DUEL_ACT_TANH, 0},
              {DUEL_ACT_SIGMOID, 0},
              {DUEL_ACT_LEAKY_RELU, 0}};
  for (int i = 0; i < LENGTH(shapes); i++)
    for (int k = 0; k < 2; k++) {
      const int a = (2 * i + k) % LENGTH(acts);
      batchnorm(shapes[i], DUEL_FILL_UNIFORM, acts[a].act, acts[a].slope);
      batchnorm_grad(shapes[i], acts[a].act, acts[a].slope);
    }
  batchnorm((duel_shape)S(64, 512), DUEL_FILL_UNIFORM, DUEL_ACT_LEAKY_RELU, 0.2); // as in mlp
  batchnorm_grad((duel_shape)S(64, 512), DUEL_ACT_LEAKY_RELU, 0.2);
  batchnorm((duel_shape)S(64, 33), DUEL_FILL_OFFSET, DUEL_ACT_NONE, 0); // E[x²] − E[x]² would lose every digit
  batchnorm((duel_shape)S(8, 5, 7, 3), DUEL_FILL_OFFSET, DUEL_ACT_TANH, 0);
  static const duel_shape tall[] = {S(1100, 9), S(3, 2, 59, 59), S(10, 2, 60, 60)}; // a GPU splits these rows
  for (int i = 0; i < LENGTH(tall); i++) {
    batchnorm(tall[i], i == 1 ? DUEL_FILL_OFFSET : DUEL_FILL_UNIFORM, acts[i].act, acts[i].slope);
    batchnorm_grad(tall[i], acts[i].act, acts[i].slope);
  }
  batchnorm((duel_shape)S(16, 17), DUEL_FILL_ZERO, DUEL_ACT_NONE, 0); // variance 0: y is the shift
  batchnorm((duel_shape)S(1, 7), DUEL_FILL_UNIFORM, DUEL_ACT_NONE, 0);
}

static void bce(duel_shape shape, duel_fill fill, double target) {
  duel_case_add1(DUEL_OP_BCE_LOGITS, shape, fill)->attr.bce.target = target;
  duel_case *c = duel_case_add2(DUEL_OP_BCE_LOGITS_GRAD, shape, fill, (duel_shape)SCALAR, DUEL_FILL_POSITIVE);
  c->attr.bce.target = target;
  c->zeros = fill == DUEL_FILL_LARGE;
}

static void losses(void) {
  static const double target[] = {1, 0, 0.9};
  for (int i = 0; i < LENGTH(counts); i++) bce((duel_shape)S(counts[i]), DUEL_FILL_WIDE, target[i % 3]);
  for (int t = 0; t < 3; t++) {
    bce((duel_shape)S(64, 1), DUEL_FILL_WIDE, target[t]);
    bce((duel_shape)S(28), DUEL_FILL_LARGE, target[t]);
    bce((duel_shape)S(31, 29), DUEL_FILL_LARGE, target[t]);
  }
  bce((duel_shape)S(40000), DUEL_FILL_WIDE, 0.9);
  bce((duel_shape)SCALAR, DUEL_FILL_WIDE, 1);
  bce((duel_shape)S(2, 1, 5, 7), DUEL_FILL_WIDE, 0);
}

static void draw_from(int64_t first, duel_shape shape, uint32_t purpose, uint32_t k) {
  for (int normal = 0; normal < 2; normal++) {
    duel_case *c =
        duel_case_add1(normal ? DUEL_OP_RANDOM_NORMAL : DUEL_OP_RANDOM_UNIFORM, (duel_shape)S(4), DUEL_FILL_KEY);
    c->in[0].dtype = DUEL_I32;
    c->shape = shape;
    c->attr.random.purpose = purpose;
    c->attr.random.k = k;
    c->attr.random.first = first;
  }
}

static void draw(duel_shape shape, uint32_t purpose, uint32_t k) {
  draw_from(0, shape, purpose, k);
}

static void draws(void) {
  for (int i = 0; i < LENGTH(counts); i++) draw((duel_shape)S(counts[i]), 1 + (uint32_t)i % 9, (uint32_t)i);
  for (int i = 4; i < 9; i++) draw((duel_shape)S(i), 2, 0);
  draw((duel_shape)SCALAR, 1, 0);
  draw((duel_shape)S(64, 100), 2, 0); // mlp's latents
  draw((duel_shape)S(64, 1), 5, 3);
  draw((duel_shape)S(3, 5, 7), 9, (1 << 24) - 1);
  draw((duel_shape)S(2, 3, 4, 5, 3), 255, 4096 * 3 + 7);
  for (int i = 1; i < 9; i++) draw_from(i, (duel_shape)S(9 - i), 2, 0);
  draw_from(3200, (duel_shape)S(32, 100), 2, 0); // the second half of mlp's latents
  draw_from(2099, (duel_shape)S(40009), 9, 4096);
  draw_from((INT64_C(1) << 34) - 1000, (duel_shape)S(1000), 3, 1); // to the last element that there is
  draw_from((INT64_C(1) << 34) - 7, (duel_shape)S(7), 3, 1);
}

static void augmentation(int64_t rows, int64_t first, duel_changes changes, unsigned without) {
  duel_case *c = duel_case_add2(DUEL_OP_AUGMENT, (duel_shape)S(4), DUEL_FILL_KEY, (duel_shape)SCALAR, DUEL_FILL_UNIT);
  c->in[0].dtype = DUEL_I32;
  c->shape = (duel_shape)S(rows);
  for (int i = 0; i < DUEL_CHANGES; i++) changes.share[i] = without >> i & 1 ? 0 : i % 3 ? 1 : 0.5f;
  c->attr.augment.changes = changes;
  c->attr.augment.first = first;
  c->zeros = true;
}

static void augmentations(void) {
  for (int laws = DUEL_LAWS_ADA; laws <= DUEL_LAWS_CONSISTENCY; laws++) {
    const duel_changes c = {.laws = laws, .channels = 3, .height = 28, .width = 28};
    const duel_changes gray = {.laws = laws, .channels = 1, .height = 9, .width = 32, .pass = 5};
    augmentation(257, 0, c, 0);
    augmentation(64, 64, gray, 0);
    augmentation(33, 0, (duel_changes){.laws = laws, .channels = 1, .height = 28, .width = 20, .border = {3, 2}}, 0);
    augmentation(33, 0, (duel_changes){.laws = laws, .channels = 1, .height = 28, .width = 20, .twice = 1}, 0);
    augmentation(1, 3, (duel_changes){.laws = laws, .channels = 4, .height = 1, .width = 1, .pass = 1}, 0);
    augmentation(7, 1001, (duel_changes){.laws = laws, .channels = 3, .height = 64, .width = 17, .pass = 4095}, 0);
    for (int i = 0; i < DUEL_CHANGES; i++) augmentation(32, 0, i % 2 ? c : gray, ~(1u << i));
  }
}

static void batches(void) {
  static const struct {
    duel_shape data;
    int64_t rows;
  } sets[] = {{S(1), 1},
              {S(1), 5},
              {S(7), 3},
              {S(10, 3), 16},
              {S(5, 17), 4},
              {S(100, 2), 64},
              {S(3, 1, 28, 28), 7},
              {S(200, 1, 28, 28), 64},
              {S(9, 3, 5, 7), 33},
              {S(4, 2, 3, 2, 5), 2}};
  for (int i = 0; i < LENGTH(sets); i++)
    for (int k = 0; k < 3; k++) {
      static const int dtype[] = {DUEL_F32, DUEL_U8, DUEL_I32};
      if (k == 2 && sets[i].data.rank > 1) continue; // labels are a list
      duel_case *c = duel_case_add2(DUEL_OP_BATCH, sets[i].data, k ? DUEL_FILL_BYTE : DUEL_FILL_UNIFORM,
                                    (duel_shape)S(sets[i].rows), DUEL_FILL_INDEX);
      c->in[0].dtype = dtype[k];
      c->in[1].dtype = DUEL_I32;
    }
}

static void softmax(int64_t rows, int64_t classes, duel_fill fill, duel_fill labels, double smoothing) {
  static const duel_op ops[] = {DUEL_OP_SOFTMAX_CE, DUEL_OP_SOFTMAX_CE_GRAD, DUEL_OP_HITS};
  for (int i = 0; i < 3; i++) {
    duel_case *c = duel_case_add2(ops[i], (duel_shape)S(rows, classes), fill, (duel_shape)S(rows), labels);
    c->in[1].dtype = DUEL_I32;
    if (ops[i] != DUEL_OP_HITS) c->attr.softmax.smoothing = smoothing;
    if (ops[i] != DUEL_OP_SOFTMAX_CE_GRAD) continue;
    c->n_in = 3;
    c->in[2] = (duel_case_in){SCALAR, DUEL_FILL_POSITIVE, DUEL_REAL};
    c->zeros = classes == 1;
  }
}

static void classifications(void) {
  static const int64_t rows[] = {1, 64, 257}, classes[] = {1, 2, 10, 1000};
  static const double smoothing[] = {0, 0.1, 1};
  for (int i = 0; i < LENGTH(rows); i++)
    for (int k = 0; k < LENGTH(classes); k++)
      for (int s = 0; s < 2; s++)
        softmax(rows[i], classes[k], s == i % 2 ? DUEL_FILL_WIDE : DUEL_FILL_UNIFORM, DUEL_FILL_INDEX, smoothing[s]);
  softmax(9, 33, DUEL_FILL_OFFSET, DUEL_FILL_INDEX, 0.1);
  softmax(5, 7, DUEL_FILL_WIDE, DUEL_FILL_INDEX, smoothing[2]);
  softmax(7, 10, DUEL_FILL_ZERO, DUEL_FILL_INDEX, 0); // all alike: the first wins
  softmax(300, 3, DUEL_FILL_WIDE, DUEL_FILL_INDEX, 0.1);
  for (int s = 0; s < 2; s++) {
    softmax(64, 29, DUEL_FILL_LARGE, DUEL_FILL_INDEX, smoothing[s]);
    softmax(64, 5, DUEL_FILL_EXTREME, DUEL_FILL_INDEX, smoothing[s]);
    softmax(64, 10, DUEL_FILL_UNIFORM, DUEL_FILL_WILD_INDEX, smoothing[s]);
  }
}

// Rows of a table by number and back; fewer rows than indices, and more.
static void embedding(duel_shape table, int64_t batch, duel_fill index) {
  duel_case *c = duel_case_add2(DUEL_OP_EMBEDDING, table, DUEL_FILL_UNIFORM, (duel_shape)S(batch), index);
  c->in[1].dtype = DUEL_I32;
  duel_shape rows = table;
  rows.dim[0] = batch;
  c = duel_case_add2(DUEL_OP_EMBEDDING_GRAD, rows, DUEL_FILL_UNIFORM, (duel_shape)S(batch), index);
  c->in[1].dtype = DUEL_I32;
  c->shape = table;
  c->zeros = true;
}

static void one_hot(int64_t batch, int64_t classes, duel_fill index) {
  duel_case *c = duel_case_add1(DUEL_OP_ONE_HOT, (duel_shape)S(batch), index);
  c->in[0].dtype = DUEL_I32;
  c->shape = (duel_shape)S(batch, classes);
  c->zeros = true;
}

static void rows_by_number(void) {
  static const struct {
    duel_shape table;
    int64_t batch;
  } list[] = {{S(1), 1},       {S(7), 3},       {S(10), 64},      {S(10, 3), 16},      {S(5, 17), 40},
              {S(100, 2), 64}, {S(10, 128), 9}, {S(1000, 33), 2}, {S(3, 2, 5, 4), 33}, {S(60, 300), 70}};
  for (int i = 0; i < LENGTH(list); i++) {
    embedding(list[i].table, list[i].batch, DUEL_FILL_INDEX);
    one_hot(list[i].batch, list[i].table.dim[0], DUEL_FILL_INDEX);
  }
  embedding((duel_shape)S(10, 3), 64, DUEL_FILL_WILD_INDEX);
  embedding((duel_shape)S(60, 301), 70, DUEL_FILL_WILD_INDEX);
  one_hot(64, 10, DUEL_FILL_WILD_INDEX);
  one_hot(300, 33, DUEL_FILL_WILD_INDEX);
}

static void optimizers(void) {
  static const duel_shape shapes[] = {SCALAR, S(1),   S(3),    S(15),    S(16),     S(17),   S(33),        S(64),
                                      S(255), S(257), S(1021), S(40009), S(402496), S(5, 7), S(2, 3, 5, 7)};
  for (int i = 0; i < LENGTH(shapes); i++) {
    const bool fresh = i % 3 == 1; // the first step: moments are zero
    const duel_fill moment = fresh ? DUEL_FILL_ZERO : DUEL_FILL_UNIFORM,
                    square = fresh ? DUEL_FILL_ZERO : DUEL_FILL_POSITIVE;
    duel_case *c = duel_case_add2(DUEL_OP_ADAM, shapes[i], DUEL_FILL_UNIFORM, shapes[i], moment);
    c->n_in = 5;
    c->in[2] = (duel_case_in){shapes[i], square, DUEL_REAL};
    c->in[3] = (duel_case_in){shapes[i], DUEL_FILL_UNIFORM, DUEL_REAL};
    c->in[4] = (duel_case_in){S(8), DUEL_FILL_ADAM, DUEL_REAL};
    c = duel_case_add2(DUEL_OP_SGD, shapes[i], DUEL_FILL_UNIFORM, shapes[i], moment);
    c->n_in = 4;
    c->in[2] = (duel_case_in){shapes[i], DUEL_FILL_UNIFORM, DUEL_REAL};
    c->in[3] = (duel_case_in){S(8), DUEL_FILL_SGD, DUEL_REAL};
    c = duel_case_add2(DUEL_OP_EMA, shapes[i], DUEL_FILL_UNIFORM, shapes[i], DUEL_FILL_UNIFORM);
    c->n_in = 3;
    c->in[2] = (duel_case_in){SCALAR, DUEL_FILL_UNIT, DUEL_REAL};
    duel_case_add2(DUEL_OP_ASSIGN, shapes[i], DUEL_FILL_UNIFORM, shapes[i], DUEL_FILL_UNIFORM);
    c = duel_case_add2(DUEL_OP_ASSIGN, shapes[i], DUEL_FILL_UNIFORM, shapes[i], DUEL_FILL_UNIFORM);
    c->attr.assign.bound = 0.375;
  }
  // gradient and moments zero, as in the gaps of a slab: they stay zero
  duel_case *c = duel_case_add2(DUEL_OP_ADAM, (duel_shape)S(65), DUEL_FILL_ZERO, (duel_shape)S(65), DUEL_FILL_ZERO);
  c->n_in = 5;
  c->in[2] = c->in[3] = c->in[1];
  c->in[4] = (duel_case_in){S(8), DUEL_FILL_ADAM, DUEL_REAL};
  c->zeros = true;
}

// Gaps at both ends, between, within a vector, over parts' borders, and none. What memory holds there is not zero.
static void gaps(void) {
  static const int64_t one[] = {0, 1}, some[] = {1, 64, 65, 66, 67, 70, 1000, 1100, 2040, 2049}, all[] = {0, 33};
  static const struct {
    int64_t count, gaps;
    const int64_t *gap;
  } list[] = {{1, 1, one}, {2049, 5, some}, {5000, 5, some}, {2050, 1, one}, {33, 1, all}};
  for (int i = 0; i < LENGTH(list); i++) {
    const duel_shape s = S(list[i].count);
    duel_case *c = duel_case_add2(DUEL_OP_ADAM, s, DUEL_FILL_UNIFORM, s, DUEL_FILL_UNIFORM);
    c->n_in = 5;
    c->in[2] = (duel_case_in){s, DUEL_FILL_POSITIVE, DUEL_REAL};
    c->in[3] = (duel_case_in){s, DUEL_FILL_UNIFORM, DUEL_REAL};
    c->in[4] = (duel_case_in){S(8), DUEL_FILL_ADAM, DUEL_REAL};
    c->attr.optim.gap = list[i].gap;
    c->attr.optim.gaps = list[i].gaps;
    c->zeros = true;
    c = duel_case_add2(DUEL_OP_SGD, s, DUEL_FILL_UNIFORM, s, DUEL_FILL_UNIFORM);
    c->n_in = 4;
    c->in[2] = (duel_case_in){s, DUEL_FILL_UNIFORM, DUEL_REAL};
    c->in[3] = (duel_case_in){S(8), DUEL_FILL_SGD, DUEL_REAL};
    c->attr.optim.gap = list[i].gap;
    c->attr.optim.gaps = list[i].gaps;
    c->zeros = true;
  }
}

static void running_statistics(void) {
  static const int64_t channels[] = {1, 3, 16, 17, 33, 128, 1021};
  for (int i = 0; i < LENGTH(channels); i++) {
    const duel_shape s = S(channels[i]);
    duel_case *c = duel_case_add2(DUEL_OP_RUNNING, s, DUEL_FILL_UNIFORM, s, DUEL_FILL_POSITIVE);
    c->n_in = 4;
    c->in[2] = (duel_case_in){s, DUEL_FILL_UNIFORM, DUEL_REAL};
    c->in[3] = (duel_case_in){s, DUEL_FILL_POSITIVE, DUEL_REAL};
    c->attr.running.weight = i % 2 ? 0.1 : 1;
    c->attr.running.unbias = 64.0 / 63;
  }
}

// One term, all kinds, several terms a scalar, a scalar without one.
static void reports(void) {
  enum { SUM = DUEL_REPORT_SUM, SIGN = DUEL_REPORT_SIGN, BCE = DUEL_REPORT_BCE };
  static const duel_report_term mean[] = {{0, SUM, 1.0 / 64, 0}},
                                step[] = {{1, SUM, 1, 0},    {0, BCE, 1.0 / 33, 0.9}, {3, SIGN, 1.0 / 5, 0},
                                          {1, SUM, -0.5, 0}, {4, BCE, 0.25, 0},       {3, SUM, 2, 0}},
                                sign[] = {{0, SIGN, 0.125, 0}, {1, SIGN, 1, 0}};
  static const struct {
    int n;
    int64_t scalars;
    const duel_report_term *term;
    duel_shape in[6];
    duel_fill fill;
  } list[] = {{1, 1, mean, {S(64, 1)}, DUEL_FILL_AWAY},
              {1, 3, mean, {SCALAR}, DUEL_FILL_AWAY},
              {6, 6, step, {S(1), S(33), S(5, 1), S(257), S(3, 1, 7, 7), S(1025)}, DUEL_FILL_AWAY},
              {6, 5, step, {S(700), S(2), S(64, 1), SCALAR, S(513), S(31)}, DUEL_FILL_WIDE},
              {2, 2, sign, {S(8), S(300)}, DUEL_FILL_LARGE}};
  for (int i = 0; i < LENGTH(list); i++) {
    duel_case *c = duel_case_add(DUEL_OP_REPORT, list[i].n + 1);
    c->in[0] = (duel_case_in){S(list[i].scalars), DUEL_FILL_UNIFORM, DUEL_REAL};
    for (int k = 0; k < list[i].n; k++) c->in[k + 1] = (duel_case_in){list[i].in[k], list[i].fill, DUEL_REAL};
    c->attr.report.term = list[i].term;
    c->zeros = true;
  }
}

void duel_cases_other(void) {
  reductions();
  batchnorms();
  losses();
  classifications();
  draws();
  augmentations();
  batches();
  rows_by_number();
  optimizers();
  gaps();
  running_statistics();
  reports();
}
