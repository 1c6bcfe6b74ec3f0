// Cases of the element-wise ops: every size around a vector's and a piece's width, every kind of broadcasting, values
// at the ends of the range.
#include "cases_family.h"

static const duel_shape shapes[] = {
    SCALAR,   S(1),       S(2),       S(3),       S(7),       S(15),         S(16),
    S(17),    S(31),      S(32),      S(33),      S(63),      S(64),         S(65),
    S(255),   S(257),     S(1021),    S(5, 7),    S(3, 5, 7), S(2, 3, 5, 7), S(2, 3, 4, 5, 3),
    S(64, 1), S(64, 256), S(64, 512), S(64, 784), S(40009),
};

static const struct {
  duel_op op;
  duel_fill fill;
} functions[] = {
    {DUEL_OP_EXP, DUEL_FILL_WIDE},        {DUEL_OP_LOG, DUEL_FILL_POSITIVE},   {DUEL_OP_SQRT, DUEL_FILL_POSITIVE},
    {DUEL_OP_TANH, DUEL_FILL_UNIFORM},    {DUEL_OP_SIGMOID, DUEL_FILL_WIDE},   {DUEL_OP_SOFTPLUS, DUEL_FILL_WIDE},
    {DUEL_OP_LEAKY_RELU, DUEL_FILL_AWAY}, {DUEL_OP_AFFINE, DUEL_FILL_UNIFORM}, {DUEL_OP_ERF, DUEL_FILL_UNIFORM},
};

// Attributes differ from case to case: slopes 0.2, 0 (relu), 0.25, 1; factors and summands with 0, 1, −1 and fractions.
static void vary(duel_case *c, int i) {
  static const double slope[] = {0.2, 0, 0.25, 1}, mul[] = {2, -1, 0.5, 1, 0.3}, add[] = {-1, 0, 0.25, 0.7};
  if (c->op == DUEL_OP_AFFINE) {
    c->attr.affine.mul = mul[i % LENGTH(mul)];
    c->attr.affine.add = add[i % LENGTH(add)];
  } else if (c->op == DUEL_OP_LEAKY_RELU || c->op == DUEL_OP_LEAKY_RELU_GRAD) {
    c->attr.leaky.slope = slope[i % LENGTH(slope)];
    c->zeros = c->attr.leaky.slope == 0;
  }
}

static void unary(void) {
  for (int f = 0; f < LENGTH(functions); f++) {
    for (int i = 0; i < LENGTH(shapes); i++) vary(duel_case_add1(functions[f].op, shapes[i], functions[f].fill), i);
    // slope 0 times an infinity is no number, by definition: the extremes take 0.2
    vary(duel_case_add1(functions[f].op, (duel_shape)S(1024), DUEL_FILL_EXTREME), 0);
    vary(duel_case_add1(functions[f].op, (duel_shape)S(33, 31), DUEL_FILL_EXTREME), 4);
  }
  vary(duel_case_add1(DUEL_OP_TANH, (duel_shape)S(4099), DUEL_FILL_WIDE), 0);
  vary(duel_case_add1(DUEL_OP_ERF, (duel_shape)S(4099), DUEL_FILL_WIDE), 0);
}

static const duel_shape pairs[][2] = {
    {SCALAR, SCALAR},
    {S(1), S(1)},
    {S(2), S(2)},
    {S(17), S(17)},
    {S(257), S(257)},
    {S(5, 7), S(5, 7)},
    {S(2, 3, 4, 5, 3), S(2, 3, 4, 5, 3)},
    {S(64, 512), S(64, 512)},
    {S(20011), S(20011)},
    // a scalar on either side, of rank 0 and of rank 1
    {S(33), SCALAR},
    {SCALAR, S(33)},
    {S(65), S(1)},
    {S(1), S(65)},
    {S(5, 7), SCALAR},
    {SCALAR, S(3, 5, 7)},
    {S(5, 7), S(1, 1)},
    // a row
    {S(5, 7), S(7)},
    {S(7), S(5, 7)},
    {S(17, 33), S(1, 33)},
    {S(1, 33), S(17, 33)},
    {S(64, 512), S(512)},
    {S(2, 3, 64), S(64)},
    // a column
    {S(5, 7), S(5, 1)},
    {S(33, 1), S(33, 17)},
    {S(64, 784), S(64, 1)},
    // both sides stretch
    {S(5, 1), S(1, 7)},
    {S(1, 33), S(31, 1)},
    {S(5, 1), S(7)},
    {S(4, 1, 3), S(1, 5, 1)},
    {S(2, 1, 4, 1), S(3, 1, 5)},
    // a middle axis, channels
    {S(3, 1, 5), S(3, 4, 5)},
    {S(2, 3, 5, 7), S(3, 1, 1)},
    {S(1, 3, 1, 1), S(2, 3, 5, 7)},
    {S(2, 16, 33), S(1, 16, 1)},
    {S(2, 3, 5, 7), S(2, 1, 1, 1)},
    {S(2, 3, 5, 7), S(5, 7)},
    {S(2, 3, 5, 7), S(5, 1)},
    {S(2, 1, 3, 1, 5), S(4, 1, 2, 1)},
    {S(1, 1, 1, 1, 1), S(3)},
    // more than one piece
    {S(40, 1, 33), S(40, 17, 33)},
    {S(130, 1), S(1, 131)},
    {S(41, 16, 33), S(16, 1)},
    {SCALAR, S(17, 1021)},
};

static void binary(void) {
  static const struct {
    duel_op op;
    duel_fill a, b;
  } ops[] = {
      {DUEL_OP_ADD, DUEL_FILL_UNIFORM, DUEL_FILL_UNIFORM},        {DUEL_OP_SUB, DUEL_FILL_UNIFORM, DUEL_FILL_UNIFORM},
      {DUEL_OP_MUL, DUEL_FILL_UNIFORM, DUEL_FILL_UNIFORM},        {DUEL_OP_DIV, DUEL_FILL_UNIFORM, DUEL_FILL_POSITIVE},
      {DUEL_OP_LESS_EQUAL, DUEL_FILL_UNIFORM, DUEL_FILL_UNIFORM},
  };
  for (int f = 0; f < LENGTH(ops); f++)
    for (int i = 0; i < LENGTH(pairs); i++) {
      duel_case *c = duel_case_add2(ops[f].op, pairs[i][0], ops[f].a, pairs[i][1], ops[f].b);
      c->zeros = c->op == DUEL_OP_LESS_EQUAL;
    }
  // IEEE's rules for infinities, NaN and division by zero
  for (int f = 0; f < LENGTH(ops); f++) {
    duel_case_add2(ops[f].op, (duel_shape)S(1021), DUEL_FILL_EXTREME, (duel_shape)S(1021), DUEL_FILL_WIDE)->zeros =
        true;
    duel_case_add2(ops[f].op, (duel_shape)S(32, 1), DUEL_FILL_EXTREME, (duel_shape)S(32), DUEL_FILL_EXTREME)->zeros =
        true;
  }
  duel_case_add2(DUEL_OP_LESS_EQUAL, (duel_shape)S(257), DUEL_FILL_BINARY, (duel_shape)S(257),
                 DUEL_FILL_BINARY); // ties
}

static void select(void) {
  static const duel_shape triples[][3] = {
      {SCALAR, SCALAR, SCALAR},
      {S(1), S(1), S(1)},
      {S(17), S(17), S(17)},
      {S(257), S(257), S(257)},
      {S(64, 512), S(64, 512), S(64, 512)},
      {SCALAR, S(33), S(33)},
      {S(33), SCALAR, S(33)},
      {S(33), S(33), SCALAR},
      {S(33), SCALAR, SCALAR},
      {S(5, 7), S(7), S(5, 1)},
      {S(5, 1), S(7), SCALAR},
      {S(5, 1, 1), S(1, 3, 1), S(7)},
      {S(2, 1, 4, 1), S(3, 1, 5), S(1, 1, 1, 5)},
      {S(2, 3, 5, 7), S(3, 1, 1), S(2, 1, 1, 1)},
      {S(64, 1), S(512), S(64, 512)},
  };
  for (int i = 0; i < LENGTH(triples); i++) {
    duel_case *c = duel_case_add2(DUEL_OP_SELECT, triples[i][0], DUEL_FILL_BINARY, triples[i][1], DUEL_FILL_UNIFORM);
    c->n_in = 3;
    c->in[2].shape = triples[i][2];
  }
  // what is not chosen may be anything, NaN included
  duel_case *c =
      duel_case_add2(DUEL_OP_SELECT, (duel_shape)S(1021), DUEL_FILL_BINARY, (duel_shape)S(1021), DUEL_FILL_EXTREME);
  c->n_in = 3;
  c->in[2].shape = (duel_shape)S(1021);
}

static void activation_grad(void) {
  static const duel_op ops[] = {DUEL_OP_TANH_GRAD, DUEL_OP_SIGMOID_GRAD, DUEL_OP_LEAKY_RELU_GRAD};
  static const duel_fill dst[] = {DUEL_FILL_UNIFORM, DUEL_FILL_UNIT, DUEL_FILL_AWAY};
  for (int f = 0; f < LENGTH(ops); f++) {
    for (int i = 0; i < LENGTH(shapes); i++)
      vary(duel_case_add2(ops[f], shapes[i], DUEL_FILL_UNIFORM, shapes[i], dst[f]), i);
    for (int i = 0; i < LENGTH(pairs); i += 3)
      vary(duel_case_add2(ops[f], pairs[i][0], DUEL_FILL_UNIFORM, pairs[i][1], dst[f]), i);
  }
  // the slope at 0 is the negative side's
  duel_case_add2(DUEL_OP_LEAKY_RELU_GRAD, (duel_shape)S(33), DUEL_FILL_UNIFORM, (duel_shape)S(33), DUEL_FILL_ZERO)
      ->attr.leaky.slope = 0.25;
}

void duel_cases_elementwise(void) {
  unary();
  binary();
  select();
  activation_grad();
}
