// Cases of matrix products, plain and fused: sizes around vectors and pieces, both transposes, batch axes, the layers
// of recipes/mlp.yaml at batch 64 with their two gradients.
#include "cases_family.h"

static const int sizes[][3] = {
    // M, K, N
    {1, 1, 1},     {2, 1, 3},    {1, 2, 1},    {3, 3, 3},    {2, 3, 5},    {7, 5, 3},      {15, 16, 17},
    {16, 16, 16},  {17, 15, 16}, {31, 33, 32}, {33, 31, 65}, {63, 64, 65}, {64, 64, 64},   {65, 63, 33},
    {1, 257, 1},   {257, 1, 3},  {3, 2, 257},  {1, 65, 129}, {129, 7, 1},  {13, 100, 127}, {5, 255, 128},
    {64, 17, 193}, {64, 512, 1}, {2, 784, 63}, {3, 2047, 1}, {9, 2050, 1}, {5, 6272, 1},   {64, 1, 70},
};

// More rows than one piece takes, or so many that the columns are cut too.
static const int tall[][3] = {{1025, 40, 30}, {1100, 33, 200}, {700, 128, 65}, {1100, 1, 70}};

static const int layers[][2] = {{100, 256}, {256, 512}, {512, 784}, {784, 512}, {512, 1}}; // of mlp: K, N

static duel_case *product(duel_op op, int m, int k, int n, int ta, int tb) {
  duel_shape a = S(m, k), b = S(k, n), at = S(k, m), bt = S(n, k);
  duel_case *c = duel_case_add2(op, ta ? at : a, DUEL_FILL_UNIFORM, tb ? bt : b, DUEL_FILL_UNIFORM);
  c->attr.matmul.trans_a = ta;
  c->attr.matmul.trans_b = tb;
  return c;
}

static void dense(int m, int k, int n, int ta, int tb, bool bias, duel_act act, double slope) {
  duel_case *c = product(DUEL_OP_DENSE, m, k, n, ta, tb);
  if (bias) {
    c->n_in = 3;
    c->in[2].shape = (duel_shape)S(n);
  }
  c->attr.matmul.act = act;
  c->attr.matmul.slope = act == DUEL_ACT_LEAKY_RELU ? slope : 0;
  c->zeros = act == DUEL_ACT_LEAKY_RELU && slope == 0;
}

static void matmul_grad(int m, int k, int n, int ta, int tb, duel_act act, double slope) {
  duel_case *c = product(DUEL_OP_MATMUL_GRAD, m, k, n, ta, tb);
  c->n_in = 3;
  c->in[2].shape = (duel_shape)S(m, n);
  c->in[2].fill = act == DUEL_ACT_SIGMOID ? DUEL_FILL_UNIT : DUEL_FILL_AWAY;
  c->attr.matmul.act = act;
  c->attr.matmul.slope = act == DUEL_ACT_LEAKY_RELU ? slope : 0;
  c->zeros = act == DUEL_ACT_LEAKY_RELU && slope == 0;
}

static void batched(void) {
  static const duel_shape pairs[][2] = {
      {S(1, 3, 5), S(1, 5, 7)},        {S(4, 3, 5), S(4, 5, 7)},
      {S(4, 3, 5), S(5, 7)},           {S(3, 5), S(4, 5, 7)},
      {S(4, 3, 5), S(1, 5, 7)},        {S(1, 3, 5), S(4, 5, 7)},
      {S(2, 1, 3, 5), S(4, 5, 7)},     {S(2, 4, 3, 5), S(2, 4, 5, 7)},
      {S(2, 1, 3, 5), S(1, 4, 5, 7)},  {S(2, 3, 2, 17, 15), S(3, 1, 15, 16)},
      {S(8, 16, 33), S(8, 33, 65)},    {S(40, 31, 33), S(40, 33, 35)},
      {S(6, 1, 31, 33), S(7, 33, 35)}, {S(3, 129, 65), S(1, 65, 257)},
      {S(64, 1, 10), S(64, 10, 1)},
  };
  for (int i = 0; i < LENGTH(pairs); i++)
    for (int t = 0; t < 4; t++) {
      duel_shape s[2] = {pairs[i][0], pairs[i][1]};
      for (int side = 0; side < 2; side++)
        if (t >> side & 1) {
          int64_t *d = s[side].dim + s[side].rank - 2, swap = d[0];
          d[0] = d[1];
          d[1] = swap;
        }
      duel_case *c = duel_case_add2(DUEL_OP_MATMUL, s[0], DUEL_FILL_UNIFORM, s[1], DUEL_FILL_UNIFORM);
      c->attr.matmul.trans_a = t & 1;
      c->attr.matmul.trans_b = t >> 1;
    }
}

void duel_cases_product(void) {
  static const struct {
    duel_act act;
    double slope;
  } acts[] = {{DUEL_ACT_NONE, 0},         {DUEL_ACT_LEAKY_RELU, 0.25}, {DUEL_ACT_TANH, 0},
              {DUEL_ACT_LEAKY_RELU, 0.2}, {DUEL_ACT_SIGMOID, 0},       {DUEL_ACT_LEAKY_RELU, 0}};
  for (int i = 0; i < LENGTH(sizes); i++)
    for (int t = 0; t < 4; t++) {
      const int m = sizes[i][0], k = sizes[i][1], n = sizes[i][2], a = (i + t) % LENGTH(acts);
      product(DUEL_OP_MATMUL, m, k, n, t & 1, t >> 1);
      dense(m, k, n, t & 1, t >> 1, (i + t) % 4 != 0, acts[a].act, acts[a].slope);
      matmul_grad(m, k, n, t & 1, t >> 1, acts[(a + 1) % LENGTH(acts)].act, acts[(a + 1) % LENGTH(acts)].slope);
    }
  for (int i = 0; i < LENGTH(tall); i++)
    for (int t = 0; t < 4; t++) {
      const int m = tall[i][0], k = tall[i][1], n = tall[i][2], a = (i + t) % LENGTH(acts);
      product(DUEL_OP_MATMUL, m, k, n, t & 1, t >> 1);
      dense(m, k, n, t & 1, t >> 1, t != 0, acts[a].act, acts[a].slope);
      matmul_grad(m, k, n, t & 1, t >> 1, acts[(a + 1) % LENGTH(acts)].act, acts[(a + 1) % LENGTH(acts)].slope);
    }
  batched();
  static const duel_act layer_act[] = {DUEL_ACT_LEAKY_RELU, DUEL_ACT_NONE, DUEL_ACT_TANH, DUEL_ACT_LEAKY_RELU,
                                       DUEL_ACT_NONE};
  for (int i = 0; i < LENGTH(layers); i++) {
    const int k = layers[i][0], n = layers[i][1];
    for (int out_in = 0; out_in < 2; out_in++) {                    // weights stored [in, out] or [out, in]
      product(DUEL_OP_MATMUL, 64, k, n, 0, out_in);                 // x·W
      dense(64, k, n, 0, out_in, true, layer_act[i], 0.2);          //
      matmul_grad(64, n, k, 0, !out_in, DUEL_ACT_LEAKY_RELU, 0.25); // d_y·Wᵀ, to the layer below
    }
    product(DUEL_OP_MATMUL, k, 64, n, 1, 0); // xᵀ·d_y and d_yᵀ·x, to the weights
    product(DUEL_OP_MATMUL, n, 64, k, 1, 0);
  }
}
