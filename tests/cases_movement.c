// Cases of the ops that move elements: results are exact.
#include <string.h>

#include "cases_family.h"

static void leaves(void) {
  static const duel_shape shapes[] = {SCALAR, S(1), S(17), S(257), S(5, 7), S(2, 3, 4, 5, 3)};
  static const double value[] = {1, 0, -2.5, 0.1, 3e38, 0.75};
  for (int i = 0; i < LENGTH(shapes); i++) {
    duel_case_add1(DUEL_OP_INPUT, shapes[i], DUEL_FILL_UNIFORM);
    duel_case_add1(DUEL_OP_STATE, shapes[i], DUEL_FILL_UNIFORM);
    duel_case *c = duel_case_add(DUEL_OP_CONSTANT, 0);
    c->shape = shapes[i];
    c->attr.constant.value = value[i];
    c->zeros = true;
  }
  static const int64_t counts[] = {1, 2, 17, 257, 40009};
  for (int i = 0; i < LENGTH(counts); i++) {
    duel_case *c = duel_case_add(DUEL_OP_IOTA, 0);
    c->shape = (duel_shape)S(counts[i]);
    c->zeros = counts[i] == 1;
  }
}

static duel_case *shaped(duel_op op, duel_shape src, duel_shape dst) {
  duel_case *c = duel_case_add1(op, src, DUEL_FILL_UNIFORM);
  c->shape = dst;
  return c;
}

static void reshape_and_view(void) {
  static const duel_shape reshapes[][2] = {{SCALAR, S(1)},
                                           {S(1), SCALAR},
                                           {S(1, 1, 1), SCALAR},
                                           {S(12), S(3, 4)},
                                           {S(3, 4), S(12)},
                                           {S(5, 7), S(7, 5)},
                                           {S(2, 3, 4), S(4, 1, 6)},
                                           {S(257), S(1, 257)},
                                           {S(64, 784), S(64, 1, 28, 28)},
                                           {S(2, 2, 3, 3, 5), S(180)}};
  for (int i = 0; i < LENGTH(reshapes); i++) shaped(DUEL_OP_RESHAPE, reshapes[i][0], reshapes[i][1]);
  static const struct {
    int64_t slab, offset;
    duel_shape shape;
  } views[] = {{64, 0, S(64)},      {64, 0, S(3, 5)},  {128, 64, S(64)},
               {200, 128, S(5, 7)}, {100, 64, SCALAR}, {1000, 64, S(2, 3, 5, 7)},
               {7, 6, S(1)},        {50, 3, S(33)},    {65536, 192, S(100, 256)}};
  for (int i = 0; i < LENGTH(views); i++)
    shaped(DUEL_OP_VIEW, (duel_shape)S(views[i].slab), views[i].shape)->attr.view.offset = views[i].offset;
}

static void pack(void) {
  static const struct {
    int n;
    duel_shape in[DUEL_CASE_MAX_IN];
    int64_t offset[DUEL_CASE_MAX_IN], count;
  } packs[] = {
      {1, {S(5)}, {0}, 5},
      {1, {S(5)}, {3}, 64},
      {1, {SCALAR}, {7}, 8},
      {2, {S(64), S(64)}, {0, 64}, 128},
      {3, {S(5, 7), S(7), SCALAR}, {0, 64, 128}, 192},
      {3, {S(5), S(3, 3), S(2)}, {30, 0, 20}, 37}, // not in order
      {4, {S(100, 33), S(33), S(33, 17), S(17)}, {0, 3328, 3392, 3968}, 4032},
      {6, {S(1), S(1), S(1), S(1), S(1), S(1)}, {5, 4, 3, 2, 1, 0}, 6},
      {4, {S(512, 784), S(512), S(512, 1), S(1)}, {0, 401408, 401920, 402432}, 402496}, // mlp's D
  };
  for (int i = 0; i < LENGTH(packs); i++) {
    duel_case *c = duel_case_add(DUEL_OP_PACK, packs[i].n);
    for (int k = 0; k < packs[i].n; k++) c->in[k].shape = packs[i].in[k];
    c->attr.pack.offset = packs[i].offset;
    c->attr.pack.count = packs[i].count;
    c->zeros = true;
  }
}

// All permutations of up to four axes, some of five.
static void transpose(void) {
  static const duel_shape shapes[] = {SCALAR, S(7), S(5, 7), S(3, 5, 7), S(2, 3, 5, 4)};
  for (int i = 0; i < LENGTH(shapes); i++) {
    const int rank = shapes[i].rank;
    int total = 1, perm[DUEL_MAX_RANK] = {0};
    for (int k = 2; k <= rank; k++) total *= k;
    for (int p = 0; p < total; p++) { // the p-th permutation, digit by digit
      bool used[DUEL_MAX_RANK] = {false};
      for (int k = 0, rest = p, f = total; k < rank; k++) {
        f /= rank - k;
        int nth = rest / f, axis = 0;
        rest %= f;
        for (;; axis++)
          if (!used[axis] && nth-- == 0) break;
        used[axis] = true;
        perm[k] = axis;
      }
      memcpy(duel_case_add1(DUEL_OP_TRANSPOSE, shapes[i], DUEL_FILL_UNIFORM)->attr.transpose.perm, perm, sizeof perm);
    }
  }
  static const duel_shape planes[] = {S(1, 1),   S(1, 33),  S(33, 1),  S(16, 16),   S(17, 15),  S(31, 33),
                                      S(33, 34), S(64, 65), S(257, 3), S(100, 256), S(784, 512)};
  for (int i = 0; i < LENGTH(planes); i++)
    memcpy(duel_case_add1(DUEL_OP_TRANSPOSE, planes[i], DUEL_FILL_UNIFORM)->attr.transpose.perm, (int[]){1, 0},
           2 * sizeof(int));
  static const int threes[][3] = {{2, 0, 1}, {0, 2, 1}, {1, 0, 2}}; // more than one piece
  for (int i = 0; i < LENGTH(threes); i++)
    memcpy(duel_case_add1(DUEL_OP_TRANSPOSE, (duel_shape)S(16, 33, 41), DUEL_FILL_UNIFORM)->attr.transpose.perm,
           threes[i], sizeof threes[i]);
  static const int fives[][5] = {{4, 3, 2, 1, 0}, {0, 2, 1, 4, 3}, {1, 2, 3, 4, 0}, {2, 0, 3, 1, 4}};
  for (int i = 0; i < LENGTH(fives); i++)
    memcpy(duel_case_add1(DUEL_OP_TRANSPOSE, (duel_shape)S(2, 3, 4, 5, 3), DUEL_FILL_UNIFORM)->attr.transpose.perm,
           fives[i], sizeof fives[i]);
}

// A box inside a larger one: cut out by slice, laid into zeros by pad.
static void slice_and_pad(void) {
  static const struct {
    duel_shape whole, box;
    int64_t start[DUEL_MAX_RANK];
  } boxes[] = {
      {SCALAR, SCALAR, {0}},
      {S(1), S(1), {0}},
      {S(7), S(7), {0}},
      {S(33), S(16), {0}},
      {S(33), S(16), {17}},
      {S(257), S(65), {100}},
      {S(5, 7), S(5, 3), {0, 2}},
      {S(5, 7), S(2, 7), {3, 0}},
      {S(5, 7), S(1, 1), {4, 6}},
      {S(17, 65), S(15, 63), {1, 1}},
      {S(3, 5, 7), S(3, 1, 7), {0, 4, 0}},
      {S(3, 5, 7), S(2, 3, 5), {1, 1, 1}},
      {S(2, 3, 5, 7), S(2, 3, 4, 6), {0, 0, 1, 1}},
      {S(2, 3, 5, 7), S(1, 2, 5, 7), {1, 1, 0, 0}},
      {S(2, 3, 4, 5, 3), S(1, 2, 2, 3, 2), {1, 1, 1, 1, 1}},
      {S(64, 784), S(64, 512), {0, 100}},
      {S(64, 512), S(33, 512), {31, 0}},
  };
  for (int i = 0; i < LENGTH(boxes); i++) {
    duel_case *c = shaped(DUEL_OP_SLICE, boxes[i].whole, boxes[i].box);
    memcpy(c->attr.slice.start, boxes[i].start, sizeof c->attr.slice.start);
    c = shaped(DUEL_OP_PAD, boxes[i].box, boxes[i].whole);
    memcpy(c->attr.pad.before, boxes[i].start, sizeof c->attr.pad.before);
    c->zeros = true;
  }
}

static void reflect(void) {
  static const struct {
    duel_shape x;
    int64_t pad[4];
  } mirrors[] = {
      {S(1, 1, 1, 1), {0, 0, 0, 0}},    {S(2, 3, 2, 2), {1, 1, 1, 1}},   {S(2, 3, 5, 7), {1, 1, 1, 1}},
      {S(2, 2, 5, 4), {4, 3, 4, 3}}, // as far as the other edge, both ways
      {S(1, 2, 4, 5), {0, 1, 2, 3}},    {S(1, 2, 1, 9), {0, 8, 0, 1}},   {S(2, 1, 9, 1), {2, 0, 5, 0}},
      {S(1, 3, 8, 32), {3, 3, 3, 3}},   {S(2, 3, 33, 31), {3, 1, 2, 3}}, {S(37, 3, 8, 8), {1, 1, 1, 1}},
      {S(3, 17, 32, 32), {3, 3, 3, 3}}, // pieces
  };
  for (int i = 0; i < LENGTH(mirrors); i++) {
    duel_shape y = mirrors[i].x;
    for (int k = 0; k < 4; k++) y.dim[2 + k % 2] += mirrors[i].pad[k];
    duel_case *c = duel_case_add1(DUEL_OP_REFLECT2D, mirrors[i].x, DUEL_FILL_UNIFORM);
    memcpy(c->attr.reflect.pad, mirrors[i].pad, sizeof c->attr.reflect.pad);
    c = duel_case_add1(DUEL_OP_REFLECT2D_DX, y, DUEL_FILL_UNIFORM);
    memcpy(c->attr.reflect.pad, mirrors[i].pad, sizeof c->attr.reflect.pad);
  }
}

static void concat(void) {
  static const struct {
    int n, axis;
    duel_shape in[DUEL_CASE_MAX_IN];
  } joins[] = {
      {1, 0, {S(5)}},
      {2, 0, {S(5), S(3)}},
      {2, 0, {S(33), S(1)}},
      {3, 0, {S(1, 7), S(2, 7), S(3, 7)}},
      {3, 1, {S(5, 1), S(5, 17), S(5, 2)}},
      {2, 1, {S(64, 100), S(64, 10)}},
      {2, 0, {S(64, 512), S(64, 512)}},
      {2, 1, {S(64, 300), S(64, 401)}},
      {2, 1, {S(2, 3, 5), S(2, 4, 5)}},
      {2, 2, {S(2, 3, 5), S(2, 3, 1)}},
      {2, 1, {S(2, 3, 5, 7), S(2, 1, 5, 7)}},
      {2, 3, {S(2, 3, 5, 7), S(2, 3, 5, 2)}},
      {6, 0, {S(1), S(2), S(3), S(4), S(5), S(6)}},
      {3, 4, {S(1, 2, 3, 2, 1), S(1, 2, 3, 2, 2), S(1, 2, 3, 2, 3)}},
  };
  for (int i = 0; i < LENGTH(joins); i++) {
    duel_case *c = duel_case_add(DUEL_OP_CONCAT, joins[i].n);
    for (int k = 0; k < joins[i].n; k++) c->in[k].shape = joins[i].in[k];
    c->attr.concat.axis = joins[i].axis;
  }
}

static void broadcast(void) {
  static const duel_shape pairs[][2] = {
      {SCALAR, SCALAR},
      {SCALAR, S(1)},
      {SCALAR, S(17)},
      {SCALAR, S(2, 3, 5, 7)},
      {S(1), S(33)},
      {S(33), S(33)},
      {S(7), S(5, 7)},
      {S(1, 7), S(5, 7)},
      {S(5, 1), S(5, 7)},
      {S(1, 1), S(17, 65)},
      {S(5), S(2, 3, 5)},
      {S(3, 1), S(2, 3, 5)},
      {S(2, 1, 5), S(2, 3, 5)},
      {S(1, 3, 1), S(2, 3, 5)},
      {S(1, 3, 1, 1), S(2, 3, 5, 7)},
      {S(2, 1, 4, 1), S(2, 3, 4, 5)},
      {S(3, 1, 5, 1), S(2, 3, 4, 5, 3)},
      {S(512), S(64, 512)},
      {S(64, 1), S(64, 784)},
      {S(1, 64, 1), S(31, 64, 33)},
  };
  for (int i = 0; i < LENGTH(pairs); i++) shaped(DUEL_OP_BROADCAST, pairs[i][0], pairs[i][1]);
}

void duel_cases_movement(void) {
  leaves();
  reshape_and_view();
  pack();
  transpose();
  slice_and_pad();
  reflect();
  concat();
  broadcast();
}
