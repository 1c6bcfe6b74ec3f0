// CPU kernels on calls larger than one piece, against plain loops in double: the cuts, splits and second phases that
// the small cases of the op list never reach.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/backend.h"
#include "cpu_jobs.h"

// ---- the same jobs against plain loops in double

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double at(const duel_operand *o, int64_t i) {
  return ((const float *)o->data)[i];
}

static void check_near(const char *what, double got, double expected, double tolerance) {
  if (!(fabs(got - expected) <= tolerance)) fail_msg("%s: %.9g, expected %.9g", what, got, expected);
}

static void run_best(duel_box *b, duel_op op, const char *variant) {
  duel_box_make(b, op, variant);
  duel_box_run(b, op, NULL, NULL, 2);
}

static void test_large_reductions(void **state) {
  (void)state;
  const char *const variant[] = {"all", "rows", "columns", "mixed", "ends"};
  for (size_t m = 0; m < sizeof variant / sizeof *variant; m++) {
    for (int max = 0; max < 2; max++) {
      duel_box b;
      run_best(&b, max ? DUEL_OP_REDUCE_MAX : DUEL_OP_REDUCE_SUM, variant[m]);
      const int64_t n = duel_shape_count(b.out[0].shape), rank = b.in[0].shape.rank;
      double *expected = calloc((size_t)n, sizeof *expected), magnitude = 0;
      for (int64_t o = 0; o < n; o++) expected[o] = max ? -INFINITY : 0;
      for (int64_t i = 0; i < duel_shape_count(b.in[0].shape); i++) {
        int64_t rest = i, o = 0, step = 1;
        for (int64_t axis = rank - 1; axis >= 0; axis--) {
          const int64_t dim = b.in[0].shape.dim[axis];
          if (!(b.attr.reduce.axes >> axis & 1)) {
            o += rest % dim * step;
            step *= dim;
          }
          rest /= dim;
        }
        expected[o] = max ? fmax(expected[o], at(&b.in[0], i)) : expected[o] + at(&b.in[0], i);
        magnitude += fabs(at(&b.in[0], i));
      }
      for (int64_t o = 0; o < n; o++)
        check_near("reduce", at(&b.out[0], o), expected[o], max ? 0 : 1e-7 * magnitude / (double)n);
      free(expected);
      duel_box_free(&b);
    }
  }
}

static double product_at(const duel_box *b, int64_t i, int64_t j, int64_t first_a, int64_t first_b) {
  const duel_shape *a = &b->in[0].shape, *c = &b->in[1].shape;
  const bool ta = b->attr.matmul.trans_a, tb = b->attr.matmul.trans_b;
  const int64_t lda = a->dim[a->rank - 1], ldb = c->dim[c->rank - 1], k = ta ? a->dim[a->rank - 2] : lda;
  double sum = 0;
  for (int64_t l = 0; l < k; l++)
    sum += at(&b->in[0], first_a + (ta ? l * lda + i : i * lda + l)) *
           at(&b->in[1], first_b + (tb ? j * ldb + l : l * ldb + j));
  return sum;
}

static void test_large_products(void **state) {
  (void)state;
  duel_box b;
  const char *const variant[] = {"", "tall"};
  for (size_t t = 0; t < 2; t++) {
    run_best(&b, DUEL_OP_MATMUL, variant[t]);
    const int64_t m = b.out[0].shape.dim[0], n = b.out[0].shape.dim[1];
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) check_near("matmul", at(&b.out[0], i * n + j), product_at(&b, i, j, 0, 0), 1e-4);
    duel_box_free(&b);
  }
  run_best(&b, DUEL_OP_MATMUL, "batch");
  for (int64_t x = 0; x < 3; x++)
    for (int64_t y = 0; y < 5; y++)
      for (int64_t i = 0; i < 17; i++)
        for (int64_t j = 0; j < 65; j++)
          check_near("batched matmul", at(&b.out[0], ((x * 5 + y) * 17 + i) * 65 + j),
                     product_at(&b, i, j, y * 17 * 33, x * 65 * 33), 1e-5);
  duel_box_free(&b);
  run_best(&b, DUEL_OP_DENSE, "");
  for (int64_t i = 0; i < 61; i++)
    for (int64_t j = 0; j < 301; j++)
      check_near("dense", at(&b.out[0], i * 301 + j), tanh(product_at(&b, i, j, 0, 0) + at(&b.in[2], j)), 1e-5);
  duel_box_free(&b);
  run_best(&b, DUEL_OP_MATMUL_GRAD, "");
  for (int64_t j = 0; j < 301; j++) {
    double sum = 0;
    for (int64_t i = 0; i < 1301; i++) {
      const double d = product_at(&b, i, j, 0, 0) * (at(&b.in[2], i * 301 + j) > 0 ? 1 : 0.2);
      check_near("matmul_grad", at(&b.out[0], i * 301 + j), d, 1e-4);
      sum += d;
    }
    check_near("column sum", at(&b.out[1], j), sum, 1e-3);
  }
  duel_box_free(&b);
}

// K = 0 gives zeros and M = 0 an empty product with sums of zero; nothing reads the NaN in the output.
static void test_empty_products(void **state) {
  (void)state;
  duel_box b = {0};
  duel_box_in(&b, DUEL_SHAPE(5, 0));
  duel_box_in(&b, DUEL_SHAPE(0, 3));
  duel_box_out(&b, DUEL_SHAPE(5, 3));
  duel_box_run(&b, DUEL_OP_MATMUL, NULL, NULL, 2);
  for (int i = 0; i < 15; i++) assert_true(at(&b.out[0], i) == 0);
  duel_box_free(&b);
  memset(&b, 0, sizeof b);
  duel_box_in(&b, DUEL_SHAPE(0, 4));
  duel_box_in(&b, DUEL_SHAPE(4, 3));
  duel_box_in(&b, DUEL_SHAPE(0, 3));
  duel_box_out(&b, DUEL_SHAPE(0, 3));
  duel_box_out(&b, DUEL_SHAPE(3));
  duel_box_run(&b, DUEL_OP_MATMUL_GRAD, NULL, NULL, 2);
  for (int i = 0; i < 3; i++) assert_true(at(&b.out[1], i) == 0);
  duel_box_free(&b);
}

static void test_large_movement(void **state) {
  (void)state;
  duel_box b;
  run_best(&b, DUEL_OP_TRANSPOSE, "");
  for (int64_t x = 0; x < 41; x++)
    for (int64_t y = 0; y < 31; y++)
      for (int64_t z = 0; z < 37; z++)
        assert_true(at(&b.out[0], (x * 31 + y) * 37 + z) == at(&b.in[0], (y * 37 + z) * 41 + x));
  duel_box_free(&b);
  run_best(&b, DUEL_OP_SLICE, "");
  for (int64_t x = 0; x < 30; x++)
    for (int64_t y = 0; y < 60; y++)
      for (int64_t z = 0; z < 41; z++)
        assert_true(at(&b.out[0], (x * 60 + y) * 41 + z) == at(&b.in[0], ((x + 11) * 60 + y) * 70 + z + 5));
  duel_box_free(&b);
  run_best(&b, DUEL_OP_PAD, "");
  for (int64_t x = 0; x < 50; x++)
    for (int64_t y = 0; y < 20; y++)
      for (int64_t z = 0; z < 70; z++) {
        const bool inside = x >= 11 && x < 41 && z >= 5 && z < 46;
        assert_true(at(&b.out[0], (x * 20 + y) * 70 + z) ==
                    (inside ? at(&b.in[0], ((x - 11) * 20 + y) * 41 + z - 5) : 0));
      }
  duel_box_free(&b);
  run_best(&b, DUEL_OP_CONCAT, "");
  for (int64_t x = 0; x < 40; x++)
    for (int64_t y = 0; y < 34; y++)
      for (int64_t z = 0; z < 50; z++)
        assert_true(at(&b.out[0], (x * 34 + y) * 50 + z) ==
                    (y < 11 ? at(&b.in[0], (x * 11 + y) * 50 + z) : at(&b.in[2], (x * 23 + y - 11) * 50 + z)));
  duel_box_free(&b);
  run_best(&b, DUEL_OP_BROADCAST, "");
  for (int64_t x = 0; x < 3 * 30; x++)
    for (int64_t y = 0; y < 20; y++)
      for (int64_t z = 0; z < 41; z++)
        assert_true(at(&b.out[0], (x * 20 + y) * 41 + z) == at(&b.in[0], x % 30 * 41 + z));
  duel_box_free(&b);
  run_best(&b, DUEL_OP_PACK, "");
  for (int64_t i = 0; i < 40960; i++) {
    double expected = 0;
    for (int k = 0; k < 3; k++)
      if (i >= b.offset[k] && i < b.offset[k] + duel_shape_count(b.in[k].shape))
        expected = at(&b.in[k], i - b.offset[k]);
    assert_true(at(&b.out[0], i) == expected);
  }
  duel_box_free(&b);
}

// Inputs of pack that lie at their place stay, also next to one that does not.
static void test_pack_in_place(void **state) {
  (void)state;
  for (int copied = 0; copied < 2; copied++) {
    duel_box b = {0};
    float *slab = duel_box_out(&b, DUEL_SHAPE(256));
    b.offset[0] = 64, b.offset[1] = 128;
    b.in[0] = (duel_operand){slab + 64, DUEL_F32, DUEL_SHAPE(10)};
    b.in[1] =
        copied ? duel_box_operand(DUEL_F32, DUEL_SHAPE(100)) : (duel_operand){slab + 128, DUEL_F32, DUEL_SHAPE(100)};
    b.call.n_in = 2;
    for (int k = 0; k < 2; k++)
      for (int i = 0; i < duel_shape_count(b.in[k].shape); i++) ((float *)b.in[k].data)[i] = (float)(1000 * k + i + 1);
    b.attr.pack.offset = b.offset;
    b.attr.pack.count = 256;
    duel_box_run(&b, DUEL_OP_PACK, NULL, NULL, 1);
    for (int i = 0; i < 256; i++)
      assert_true(slab[i] == (float)(i >= 64 && i < 74 ? i - 63 : i >= 128 && i < 228 ? 1000 + i - 127 : 0));
    if (copied) free(b.in[1].data);
    free(slab);
  }
}

static void test_large_optimizers(void **state) {
  (void)state;
  duel_box before, b;
  duel_box_make(&before, DUEL_OP_ADAM, "");
  run_best(&b, DUEL_OP_ADAM, "");
  const float *c = before.in[4].data;
  double squares = 0;
  for (int64_t i = 0; i < 70003; i++) {
    const double g = at(&before.in[3], i);
    const double m = c[4] * at(&before.in[1], i) + c[5] * g, v = c[6] * at(&before.in[2], i) + c[7] * g * g;
    squares += g * g;
    check_near("adam m", at(&b.out[1], i), m, 1e-6);
    check_near("adam v", at(&b.out[2], i), v, 1e-6);
    check_near("adam p", at(&b.out[0], i), at(&before.in[0], i) * c[3] - c[0] * m / (sqrt(v) * c[1] + c[2]), 1e-6);
  }
  double parts = 0;
  for (int64_t i = 0; i < duel_squares_parts(70003); i++) parts += at(&b.out[3], i);
  check_near("adam squares", parts, squares, 1e-6 * squares);
  duel_box_free(&before);
  duel_box_free(&b);
  duel_box_make(&before, DUEL_OP_SGD, "");
  run_best(&b, DUEL_OP_SGD, "");
  for (int64_t i = 0; i < 70003; i++) {
    const double m = 0.9 * at(&before.in[1], i) + at(&before.in[2], i);
    check_near("sgd m", at(&b.out[1], i), m, 1e-6);
    check_near("sgd p", at(&b.out[0], i), at(&before.in[0], i) * 0.999 - 0.01 * m, 1e-6);
  }
  duel_box_free(&before);
  duel_box_free(&b);
}

static void test_large_losses(void **state) {
  (void)state;
  duel_box b;
  run_best(&b, DUEL_OP_BCE_LOGITS, "");
  double sum = 0;
  for (int64_t i = 0; i < 20011; i++)
    sum += fmax(at(&b.in[0], i), 0) + log1p(exp(-fabs(at(&b.in[0], i)))) - 0.9 * at(&b.in[0], i);
  check_near("bce", at(&b.out[0], 0), sum / 20011, 1e-6);
  duel_box_free(&b);
  run_best(&b, DUEL_OP_BCE_LOGITS_GRAD, "");
  for (int64_t i = 0; i < 20011; i++)
    check_near("bce_grad", at(&b.out[0], i), (sigmoid(at(&b.in[0], i)) - 0.9) * at(&b.in[1], 0) / 20011, 1e-10);
  duel_box_free(&b);
}

// x [n, c, s]: statistics of one channel, in double.
static void moments(const duel_operand *x, int64_t c, int64_t channels, int64_t s, double *mean, double *var) {
  const int64_t n = duel_shape_count(x->shape) / channels / s;
  *mean = *var = 0;
  for (int64_t i = 0; i < n * s; i++) *mean += at(x, (i / s * channels + c) * s + i % s) / (double)(n * s);
  for (int64_t i = 0; i < n * s; i++) {
    const double d = at(x, (i / s * channels + c) * s + i % s) - *mean;
    *var += d * d / (double)(n * s);
  }
}

static void test_large_batchnorm(void **state) {
  (void)state;
  for (int maps = 0; maps < 2; maps++) {
    const int64_t channels = maps ? 19 : 203, s = maps ? 77 : 1, n = maps ? 13 : 131;
    duel_box b;
    run_best(&b, DUEL_OP_BATCHNORM, maps ? "maps" : "");
    for (int64_t c = 0; c < channels; c++) {
      double mean, var;
      moments(&b.in[0], c, channels, s, &mean, &var);
      check_near("mean", at(&b.out[1], c), mean, 1e-6);
      check_near("variance", at(&b.out[2], c), var, 1e-6);
      for (int64_t i = 0; i < n * s; i++) {
        const int64_t e = (i / s * channels + c) * s + i % s;
        const double y = (at(&b.in[0], e) - mean) / sqrt(var + 1e-5) * at(&b.in[1], c) + at(&b.in[2], c);
        check_near("batchnorm", at(&b.out[0], e), sigmoid(y), 1e-6);
      }
    }
    duel_box_free(&b);
    run_best(&b, DUEL_OP_BATCHNORM_GRAD, maps ? "maps" : "");
    for (int64_t c = 0; c < channels; c++) {
      const double mean = at(&b.in[3], c), invstd = 1 / sqrt(at(&b.in[4], c) + 1e-5), m = (double)(n * s);
      double sum_d = 0, sum_dx = 0;
      for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n * s; i++) {
          const int64_t e = (i / s * channels + c) * s + i % s;
          const double d = at(&b.in[0], e) * (at(&b.in[5], e) > 0 ? 1 : 0.2), xhat = (at(&b.in[1], e) - mean) * invstd;
          if (pass == 0) {
            sum_d += d;
            sum_dx += d * xhat;
          } else {
            const double d_x = at(&b.in[2], c) * invstd * (d - sum_d / m - xhat * sum_dx / m);
            check_near("d_x", at(&b.out[0], e), d_x, 1e-5);
          }
        }
      check_near("d_scale", at(&b.out[1], c), sum_dx, 1e-3);
      check_near("d_shift", at(&b.out[2], c), sum_d, 1e-4);
    }
    duel_box_free(&b);
  }
}

static void test_batch(void **state) {
  (void)state;
  duel_box b;
  run_best(&b, DUEL_OP_BATCH, "");
  for (int64_t i = 0; i < 64; i++)
    for (int64_t j = 0; j < 784; j++) {
      const float byte = ((const uint8_t *)b.in[0].data)[(i * 37 % 256) * 784 + j];
      assert_true((float)at(&b.out[0], i * 784 + j) == byte / 127.5f - 1.0f);
    }
  duel_box_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_large_reductions),
      cmocka_unit_test(test_large_products),
      cmocka_unit_test(test_empty_products),
      cmocka_unit_test(test_large_movement),
      cmocka_unit_test(test_pack_in_place),
      cmocka_unit_test(test_large_optimizers),
      cmocka_unit_test(test_large_losses),
      cmocka_unit_test(test_large_batchnorm),
      cmocka_unit_test(test_batch),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
