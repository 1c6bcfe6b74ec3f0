// Calls larger than one piece, and how to run one alone (cpu_jobs.h).
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cpu/entry.h"
#include "cpu_jobs.h"

static uint32_t seed;
static float uniform(void) { // [-1, 1)
  seed = seed * 1664525u + 1013904223u;
  return (float)(seed >> 8) * 0x1p-23f - 1.0f;
}

static void *zeroed(size_t bytes) {
  void *p = calloc(bytes + 1, 1);
  assert_non_null(p);
  return p;
}

duel_operand duel_box_operand(duel_dtype dtype, duel_shape shape) {
  return (duel_operand){zeroed((size_t)duel_shape_count(shape) * duel_dtype_size(dtype)), dtype, shape};
}

float *duel_box_in(duel_box *b, duel_shape shape) {
  duel_operand *o = &b->in[b->call.n_in++];
  *o = duel_box_operand(DUEL_F32, shape);
  float *x = o->data;
  for (int64_t i = 0; i < duel_shape_count(shape); i++) x[i] = uniform();
  return x;
}

float *duel_box_out(duel_box *b, duel_shape shape) { // NaN, so that what nobody writes shows
  duel_operand *o = &b->out[b->call.n_out++];
  *o = duel_box_operand(DUEL_F32, shape);
  memset(o->data, 0xff, (size_t)duel_shape_count(shape) * sizeof(float));
  return o->data;
}

static void add_out_over(duel_box *b, int input) {
  b->out[b->call.n_out++] = b->in[input];
}

void duel_box_free(duel_box *b) {
  for (int i = 0; i < b->call.n_out; i++) {
    bool shared = false;
    for (int j = 0; j < b->call.n_in; j++) shared = shared || b->in[j].data == b->out[i].data;
    if (!shared) free(b->out[i].data);
  }
  for (int i = 0; i < b->call.n_in; i++) free(b->in[i].data);
}

duel_cost duel_call_cost(const duel_call *call) {
  duel_value value[8 + 4]; // as many as a box has
  duel_val in[8];
  duel_node n = {.op = call->op, .n_in = call->n_in, .n_out = call->n_out, .in = in, .attr = *call->attr};
  for (int i = 0; i < call->n_in + call->n_out; i++) {
    const duel_operand *o = i < call->n_in ? &call->in[i] : &call->out[i - call->n_in];
    value[i] = (duel_value){.dtype = o->dtype, .shape = o->shape};
    *(i < call->n_in ? &in[i] : &n.out[i - call->n_in]) = i;
  }
  return duel_op_cost(&(duel_graph){.real = DUEL_F32, .value = value}, &n);
}

void duel_box_run(duel_box *b, duel_op op, const char *isa, const char *precision, int threads) {
  if (isa) setenv("DUEL_CPU_ISA", isa, 1);
  duel_backend *backend;
  if (duel_cpu_backend.open(&backend, &(duel_backend_options){.threads = threads, .precision = precision}))
    fail_msg("%s", duel_last_error());
  unsetenv("DUEL_CPU_ISA");
  b->call.op = op;
  b->call.in = b->in;
  b->call.out = b->out;
  b->call.attr = &b->attr;
  b->call.cost = duel_call_cost(&b->call);
  assert_true(duel_cpu_backend.has(backend, op));
  void *scratch = NULL;
  const size_t bytes = duel_cpu_backend.scratch(backend, &b->call);
  if (bytes > 0) {
    assert_int_equal(duel_cpu_backend.alloc(backend, bytes, &scratch), DUEL_OK);
    memset(scratch, 0xff, bytes);
  }
  b->call.scratch = scratch;
  void *program;
  const int end = 1;
  assert_int_equal(duel_cpu_backend.prepare(backend, &b->call, &end, 1, NULL, &program), DUEL_OK);
  const uint64_t before = duel_mem_count();
  assert_int_equal(duel_cpu_backend.run(backend, program), DUEL_OK);
  assert_int_equal(duel_mem_count(), before); // nothing is allocated while it runs
  duel_cpu_backend.release(backend, program);
  if (scratch) duel_cpu_backend.free(backend, scratch);
  duel_cpu_backend.close(backend);
}

// ---- jobs: calls larger than one piece, in awkward sizes

static void make_unary(duel_box *b) {
  float *x = duel_box_in(b, DUEL_SHAPE(41, 1237));
  for (int i = 0; i < 41 * 1237; i++) x[i] *= 30;
  x[7] = INFINITY, x[8] = -INFINITY, x[9] = NAN, x[10] = -0.0f, x[11] = 1e-40f;
  duel_box_out(b, DUEL_SHAPE(41, 1237));
  b->attr.affine.mul = 1.7;
  b->attr.affine.add = -0.3;
}

static void make_leaky(duel_box *b) {
  make_unary(b);
  memset(&b->attr, 0, sizeof b->attr);
  b->attr.leaky.slope = 0.2;
}

static void make_binary(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(37, 1, 1237));
  duel_box_in(b, DUEL_SHAPE(3, 1237));
  duel_box_out(b, DUEL_SHAPE(37, 3, 1237));
}

static void make_in_place(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(40001));
  duel_box_in(b, DUEL_SHAPE(40001));
  add_out_over(b, 0);
}

static void make_select(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(200, 1));
  duel_box_in(b, DUEL_SHAPE(200, 301));
  duel_box_in(b, DUEL_SHAPE(301));
  duel_box_out(b, DUEL_SHAPE(200, 301));
  for (int i = 0; i < 200; i += 2) ((float *)b->in[0].data)[i] = 0;
}

static void make_reduce_all(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(301, 401));
  duel_box_out(b, DUEL_SHAPE(1, 1));
  b->attr.reduce.axes = 3;
}

static void make_reduce_rows(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(11, 9001));
  duel_box_out(b, DUEL_SHAPE(11, 1));
  b->attr.reduce.axes = 2;
}

static void make_reduce_columns(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(1003, 131));
  duel_box_out(b, DUEL_SHAPE(1, 131));
  b->attr.reduce.axes = 1;
}

static void make_reduce_mixed(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(65, 7, 1, 301));
  duel_box_out(b, DUEL_SHAPE(1, 7, 1, 1));
  b->attr.reduce.axes = 1 | 8;
}

static void make_reduce_ends(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(5, 129, 3, 67));
  duel_box_out(b, DUEL_SHAPE(5, 1, 3, 1));
  b->attr.reduce.axes = 2 | 8;
}

static void make_matmul(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(1037, 131)); // transposed: M 131, K 1037
  duel_box_in(b, DUEL_SHAPE(1037, 401));
  duel_box_out(b, DUEL_SHAPE(131, 401));
  b->attr.matmul.trans_a = 1;
}

static void make_matmul_batch(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(1, 5, 17, 33));
  duel_box_in(b, DUEL_SHAPE(3, 1, 65, 33));
  duel_box_out(b, DUEL_SHAPE(3, 5, 17, 65));
  b->attr.matmul.trans_b = 1;
}

static void make_matmul_tall(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(3001, 200));
  duel_box_in(b, DUEL_SHAPE(200, 7));
  duel_box_out(b, DUEL_SHAPE(3001, 7));
}

// x 19×33×31×29, w 40×33×3×4, y 19×40×16×9: strides 2 and 3, unequal pads.
static void make_conv(duel_box *b, duel_shape in0, duel_shape in1, duel_shape out) {
  duel_box_in(b, in0);
  duel_box_in(b, in1);
  duel_box_out(b, out);
  b->attr.conv = (duel_conv){.stride = {2, 3}, .dilation = {1, 1}, .pad = {1, 0, 1, 1}, .groups = 1};
}
static void make_conv2d(duel_box *b) {
  make_conv(b, DUEL_SHAPE(19, 33, 31, 29), DUEL_SHAPE(40, 33, 3, 4), DUEL_SHAPE(19, 40, 16, 9));
}
static void make_conv2d_dx(duel_box *b) {
  make_conv(b, DUEL_SHAPE(19, 40, 16, 9), DUEL_SHAPE(40, 33, 3, 4), DUEL_SHAPE(19, 33, 31, 29));
}
static void make_conv2d_dx_few(duel_box *b) { // few channels in x
  make_conv(b, DUEL_SHAPE(19, 40, 16, 9), DUEL_SHAPE(40, 3, 3, 4), DUEL_SHAPE(19, 3, 31, 29));
}
// By Winograd's filtering: tiles of several images, odd ks, two blocks of channels.
static void make_two_strides(duel_box *b, duel_shape in0, duel_shape in1, duel_shape out) {
  make_conv(b, in0, in1, out);
  b->attr.conv = (duel_conv){.stride = {2, 2}, .dilation = {1, 1}, .pad = {1, 1, 1, 1}, .groups = 1};
}
static void make_conv2d_winograd(duel_box *b) {
  make_two_strides(b, DUEL_SHAPE(29, 96, 14, 18), DUEL_SHAPE(50, 96, 4, 4), DUEL_SHAPE(29, 50, 7, 9));
}
static void make_conv2d_dx_winograd(duel_box *b) {
  make_two_strides(b, DUEL_SHAPE(29, 96, 7, 9), DUEL_SHAPE(96, 50, 4, 4), DUEL_SHAPE(29, 50, 14, 18));
}
static void make_conv2d_dw_winograd(duel_box *b) {
  make_two_strides(b, DUEL_SHAPE(29, 96, 14, 18), DUEL_SHAPE(29, 90, 7, 9), DUEL_SHAPE(90, 96, 4, 4));
}
static void make_conv2d_dw(duel_box *b) {
  make_conv(b, DUEL_SHAPE(19, 33, 31, 29), DUEL_SHAPE(19, 40, 16, 9), DUEL_SHAPE(40, 33, 3, 4));
}

static void make_resample(duel_box *b, duel_sampling mode, duel_shape in, duel_shape out, duel_shape y) {
  duel_box_in(b, in);
  duel_box_out(b, out);
  b->attr.resample = (duel_resampling){.mode = mode, .size = {y.dim[2], y.dim[3]}};
}
static void make_resample2d(duel_box *b) {
  make_resample(b, DUEL_BILINEAR, DUEL_SHAPE(19, 13, 31, 29), DUEL_SHAPE(19, 13, 40, 17), DUEL_SHAPE(19, 13, 40, 17));
}
static void make_resample2d_double(duel_box *b) {
  make_resample(b, DUEL_NEAREST, DUEL_SHAPE(19, 13, 17, 15), DUEL_SHAPE(19, 13, 34, 30), DUEL_SHAPE(19, 13, 34, 30));
}
static void make_resample2d_dx(duel_box *b) {
  make_resample(b, DUEL_BILINEAR, DUEL_SHAPE(19, 13, 40, 17), DUEL_SHAPE(19, 13, 31, 29), DUEL_SHAPE(19, 13, 40, 17));
}
static void make_resample2d_dx_double(duel_box *b) {
  make_resample(b, DUEL_NEAREST, DUEL_SHAPE(19, 13, 34, 30), DUEL_SHAPE(19, 13, 17, 15), DUEL_SHAPE(19, 13, 34, 30));
}
static const duel_resampling filter = {.mode = DUEL_FIR, .fir = {{2, 3}, {1, 2}, {2, 1, 1, 2}, 4, {1, 3, 3, 1}, 0.1}};
static void make_resample2d_fir(duel_box *b) {
  make_resample(b, DUEL_FIR, DUEL_SHAPE(19, 13, 17, 15), DUEL_SHAPE(19, 13, 34, 23), DUEL_SHAPE(0, 0, 0, 0));
  b->attr.resample = filter;
}
static void make_resample2d_dx_fir(duel_box *b) {
  make_resample(b, DUEL_FIR, DUEL_SHAPE(19, 13, 34, 23), DUEL_SHAPE(19, 13, 17, 15), DUEL_SHAPE(0, 0, 0, 0));
  b->attr.resample = filter;
}

// x 19×13×31×29, y 19×13×17×10: strides 2 and 3, unequal pads.
static void make_maxpool(duel_box *b, duel_shape in1, duel_shape out) {
  duel_box_in(b, DUEL_SHAPE(19, 13, 31, 29));
  duel_box_in(b, in1);
  duel_box_out(b, out);
  b->attr.window = (duel_window){.kernel = {3, 4}, .stride = {2, 3}, .pad = {2, 1, 2, 1}};
}
static void make_maxpool2d(duel_box *b) {
  make_maxpool(b, DUEL_SHAPE(19, 13, 31, 29), DUEL_SHAPE(19, 13, 17, 10));
}
static void make_maxpool2d_dx(duel_box *b) {
  make_maxpool(b, DUEL_SHAPE(19, 13, 17, 10), DUEL_SHAPE(19, 13, 31, 29));
}

// 19×13×31×29: each image turned and stretched by another map.
static void make_warp(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(19, 13, 31, 29));
  float *map = duel_box_in(b, DUEL_SHAPE(19, 2, 3));
  for (int i = 0; i < 19 * 6; i++) map[i] = i % 3 == 2 ? 15 + 8 * map[i] : map[i];
  duel_box_out(b, DUEL_SHAPE(19, 13, 31, 29));
}

static void make_dense(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(61, 300));
  duel_box_in(b, DUEL_SHAPE(301, 300));
  duel_box_in(b, DUEL_SHAPE(301));
  duel_box_out(b, DUEL_SHAPE(61, 301));
  b->attr.matmul.trans_b = 1;
  b->attr.matmul.act = DUEL_ACT_TANH;
}

static void make_matmul_grad(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(1301, 100));
  duel_box_in(b, DUEL_SHAPE(100, 301));
  duel_box_in(b, DUEL_SHAPE(1301, 301));
  duel_box_out(b, DUEL_SHAPE(1301, 301));
  duel_box_out(b, DUEL_SHAPE(301));
  b->attr.matmul.act = DUEL_ACT_LEAKY_RELU;
  b->attr.matmul.slope = 0.2;
}

static void make_batchnorm_of(duel_box *b, duel_shape x, duel_shape c) {
  duel_box_in(b, x);
  duel_box_in(b, c);
  duel_box_in(b, c);
  duel_box_out(b, x);
  duel_box_out(b, c);
  duel_box_out(b, c);
  b->attr.batchnorm.act = DUEL_ACT_SIGMOID;
  b->attr.batchnorm.eps = 1e-5;
}

static void make_batchnorm(duel_box *b) {
  make_batchnorm_of(b, DUEL_SHAPE(131, 203), DUEL_SHAPE(203));
}
static void make_batchnorm_maps(duel_box *b) {
  make_batchnorm_of(b, DUEL_SHAPE(13, 19, 7, 11), DUEL_SHAPE(19));
}

static void make_batchnorm_grad_of(duel_box *b, duel_shape x, duel_shape c) {
  duel_box_in(b, x);
  duel_box_in(b, x);
  duel_box_in(b, c);
  duel_box_in(b, c);
  float *var = duel_box_in(b, c);
  for (int64_t i = 0; i < duel_shape_count(c); i++) var[i] = var[i] * var[i] + 0.1f;
  duel_box_in(b, x);
  duel_box_out(b, x);
  duel_box_out(b, c);
  duel_box_out(b, c);
  b->attr.batchnorm.act = DUEL_ACT_LEAKY_RELU;
  b->attr.batchnorm.slope = 0.2;
  b->attr.batchnorm.eps = 1e-5;
}

static void make_batchnorm_grad(duel_box *b) {
  make_batchnorm_grad_of(b, DUEL_SHAPE(131, 203), DUEL_SHAPE(203));
}
static void make_batchnorm_grad_maps(duel_box *b) {
  make_batchnorm_grad_of(b, DUEL_SHAPE(13, 19, 7, 11), DUEL_SHAPE(19));
}

static void make_groupnorm_of(duel_box *b, duel_shape x, duel_shape affine, int64_t groups) {
  const duel_shape part = DUEL_SHAPE(x.dim[0], groups);
  duel_box_in(b, x);
  duel_box_in(b, affine);
  duel_box_in(b, affine);
  duel_box_out(b, x);
  duel_box_out(b, part);
  duel_box_out(b, part);
  b->attr.groupnorm.groups = groups;
  b->attr.groupnorm.eps = 1e-5;
}

static void make_groupnorm(duel_box *b) {
  make_groupnorm_of(b, DUEL_SHAPE(13, 18, 7, 11), DUEL_SHAPE(18), 6);
}
static void make_groupnorm_elements(duel_box *b) {
  make_groupnorm_of(b, DUEL_SHAPE(131, 203), DUEL_SHAPE(203), 1);
}

static void make_groupnorm_grad_of(duel_box *b, duel_shape x, duel_shape affine, int64_t groups) {
  const duel_shape part = DUEL_SHAPE(x.dim[0], groups);
  duel_shape each = {.rank = affine.rank + 1, .dim = {x.dim[0]}};
  memcpy(each.dim + 1, affine.dim, (size_t)affine.rank * sizeof *each.dim);
  duel_box_in(b, x);
  duel_box_in(b, x);
  duel_box_in(b, affine);
  duel_box_in(b, part);
  float *var = duel_box_in(b, part);
  for (int64_t i = 0; i < duel_shape_count(part); i++) var[i] = 0.5f + var[i] * var[i];
  duel_box_out(b, x);
  duel_box_out(b, each);
  duel_box_out(b, each);
  b->attr.groupnorm.groups = groups;
  b->attr.groupnorm.eps = 1e-5;
}

static void make_groupnorm_grad(duel_box *b) {
  make_groupnorm_grad_of(b, DUEL_SHAPE(13, 18, 7, 11), DUEL_SHAPE(18), 6);
}
static void make_groupnorm_grad_elements(duel_box *b) {
  make_groupnorm_grad_of(b, DUEL_SHAPE(131, 203), DUEL_SHAPE(203), 1);
}

static void make_spectral_of(duel_box *b, duel_shape w, int axis) {
  const duel_shape u = DUEL_SHAPE(w.dim[axis]), v = DUEL_SHAPE(duel_shape_count(w) / w.dim[axis]);
  duel_box_in(b, w);
  duel_box_in(b, u);
  duel_box_in(b, v);
  duel_box_out(b, w);
  duel_box_out(b, u);
  duel_box_out(b, v);
  duel_box_out(b, DUEL_SCALAR);
  b->attr.spectral.axis = axis;
  b->attr.spectral.advance = true;
}
static void make_spectral(duel_box *b) {
  make_spectral_of(b, DUEL_SHAPE(130, 70, 3, 5), 0);
}
static void make_spectral_across(duel_box *b) {
  make_spectral_of(b, DUEL_SHAPE(130, 70, 3, 5), 1);
}

static void make_spectral_grad(duel_box *b) {
  const duel_shape w = DUEL_SHAPE(130, 70, 3, 5);
  duel_box_in(b, w);
  duel_box_in(b, w);
  duel_box_in(b, DUEL_SHAPE(130));
  duel_box_in(b, DUEL_SHAPE(1050));
  duel_box_in(b, DUEL_SCALAR);
  duel_box_out(b, w);
}

static void make_bce(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(20011, 1));
  duel_box_out(b, DUEL_SCALAR);
  b->attr.bce.target = 0.9;
}

static void make_bce_grad(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(20011, 1));
  duel_box_in(b, DUEL_SCALAR);
  duel_box_out(b, DUEL_SHAPE(20011, 1));
  b->attr.bce.target = 0.9;
}

static void make_adam(duel_box *b) {
  const duel_shape n = DUEL_SHAPE(70003);
  for (int i = 0; i < 4; i++) duel_box_in(b, n);
  float *v = b->in[2].data, *coef = duel_box_in(b, DUEL_SHAPE(8));
  for (int i = 0; i < 70003; i++) v[i] = fabsf(v[i]);
  memcpy(coef, (float[8]){4e-4f, 31.6f, 1e-8f, 0.999f, 0.5f, 0.5f, 0.999f, 0.001f}, 8 * sizeof *coef);
  for (int i = 0; i < 3; i++) add_out_over(b, i);
  duel_box_out(b, DUEL_SHAPE(duel_squares_parts(70003)));
}

static void make_sgd(duel_box *b) {
  for (int i = 0; i < 3; i++) duel_box_in(b, DUEL_SHAPE(70003));
  memcpy(duel_box_in(b, DUEL_SHAPE(8)), (float[8]){0.01f, 0, 0, 0.999f, 0.9f}, 8 * sizeof(float));
  for (int i = 0; i < 2; i++) add_out_over(b, i);
  duel_box_out(b, DUEL_SHAPE(duel_squares_parts(70003)));
}

static void make_running(duel_box *b) {
  for (int i = 0; i < 4; i++) duel_box_in(b, DUEL_SHAPE(40003));
  b->attr.running.weight = 0.1;
  b->attr.running.unbias = 1.25;
  for (int i = 0; i < 2; i++) add_out_over(b, i);
}

static void make_report(duel_box *b) {
  static const duel_report_term term[] = {
      {2, DUEL_REPORT_BCE, 0.1, 0.9}, {0, DUEL_REPORT_SUM, 1, 0}, {2, DUEL_REPORT_SIGN, 0.5, 0}};
  duel_box_in(b, DUEL_SHAPE(4));
  for (int i = 0; i < 3; i++) duel_box_in(b, DUEL_SHAPE(1000 + i));
  b->attr.report.term = term;
  add_out_over(b, 0);
}

static void make_ema(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(70003));
  duel_box_in(b, DUEL_SHAPE(70003));
  duel_box_in(b, DUEL_SCALAR);
  add_out_over(b, 0);
}

static void make_assign(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(70003));
  duel_box_in(b, DUEL_SHAPE(70003));
  add_out_over(b, 0);
}

static void make_clamp(duel_box *b) {
  make_assign(b);
  b->attr.assign.bound = 0.25;
}

static void make_random(duel_box *b) {
  b->in[b->call.n_in] = duel_box_operand(DUEL_I32, DUEL_SHAPE(4));
  memcpy(b->in[b->call.n_in++].data, (int32_t[4]){-5, 77, 12, 0}, 16);
  duel_box_out(b, DUEL_SHAPE(61, 101));
  b->attr.random.purpose = 2;
  b->attr.random.k = 1;
}

static void make_augment(duel_box *b) {
  b->in[0] = duel_box_operand(DUEL_I32, DUEL_SHAPE(4));
  memcpy(b->in[0].data, (int32_t[4]){-5, 77, 12, 0}, 16);
  b->in[1] = duel_box_operand(DUEL_F32, DUEL_SCALAR);
  *(float *)b->in[1].data = 0.6f;
  b->call.n_in = 2;
  duel_box_out(b, DUEL_SHAPE(201, 2, 3));
  duel_box_out(b, DUEL_SHAPE(DUEL_CHANGED_NUMBERS, 201));
  duel_changes *c = &b->attr.augment.changes;
  *c = (duel_changes){.channels = 3, .height = 28, .width = 28, .pass = 2};
  for (int i = 0; i < DUEL_CHANGES; i++) c->share[i] = 1;
}

static void make_batch(duel_box *b) {
  b->in[0] = duel_box_operand(DUEL_U8, DUEL_SHAPE(256, 1, 28, 28));
  b->in[1] = duel_box_operand(DUEL_I32, DUEL_SHAPE(64));
  b->call.n_in = 2;
  for (int i = 0; i < 256 * 784; i++) ((uint8_t *)b->in[0].data)[i] = (uint8_t)(i % 257);
  for (int i = 0; i < 64; i++) ((int32_t *)b->in[1].data)[i] = i * 37 % 256;
  duel_box_out(b, DUEL_SHAPE(64, 1, 28, 28));
}

static void make_indices(duel_box *b, duel_shape in, duel_shape out) {
  duel_box_in(b, in);
  b->in[b->call.n_in] = duel_box_operand(DUEL_I32, DUEL_SHAPE(211));
  for (int i = 0; i < 211; i++) ((int32_t *)b->in[b->call.n_in].data)[i] = i * 37 % 101 - 1;
  b->call.n_in++;
  duel_box_out(b, out);
}

static void make_embedding(duel_box *b) {
  make_indices(b, DUEL_SHAPE(97, 130), DUEL_SHAPE(211, 130));
}

static void make_embedding_grad(duel_box *b) {
  make_indices(b, DUEL_SHAPE(211, 130), DUEL_SHAPE(97, 130));
}

static void make_transpose(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(31, 37, 41));
  duel_box_out(b, DUEL_SHAPE(41, 31, 37));
  memcpy(b->attr.transpose.perm, (int[3]){2, 0, 1}, 3 * sizeof(int));
}

static void make_slice(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(50, 60, 70));
  duel_box_out(b, DUEL_SHAPE(30, 60, 41));
  memcpy(b->attr.slice.start, (int64_t[3]){11, 0, 5}, 3 * sizeof(int64_t));
}

static void make_pad(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(30, 20, 41));
  duel_box_out(b, DUEL_SHAPE(50, 20, 70));
  memcpy(b->attr.pad.before, (int64_t[3]){11, 0, 5}, 3 * sizeof(int64_t));
}

static void make_reflect(duel_box *b, duel_shape in, duel_shape out) {
  duel_box_in(b, in);
  duel_box_out(b, out);
  memcpy(b->attr.reflect.pad, (int64_t[]){3, 1, 2, 5}, 4 * sizeof(int64_t));
}
static void make_reflect2d(duel_box *b) {
  make_reflect(b, DUEL_SHAPE(19, 13, 17, 15), DUEL_SHAPE(19, 13, 22, 21));
}
static void make_reflect2d_dx(duel_box *b) {
  make_reflect(b, DUEL_SHAPE(19, 13, 22, 21), DUEL_SHAPE(19, 13, 17, 15));
}

static void make_concat(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(40, 11, 50));
  duel_box_in(b, DUEL_SHAPE(40, 0, 50));
  duel_box_in(b, DUEL_SHAPE(40, 23, 50));
  duel_box_out(b, DUEL_SHAPE(40, 34, 50));
  b->attr.concat.axis = 1;
}

static void make_broadcast(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(30, 1, 41));
  duel_box_out(b, DUEL_SHAPE(3, 30, 20, 41));
}

static void make_pack(duel_box *b) {
  duel_box_in(b, DUEL_SHAPE(200, 101));
  duel_box_in(b, DUEL_SHAPE(19));
  duel_box_in(b, DUEL_SHAPE(20001));
  memcpy(b->offset, (int64_t[3]){64, 0, 20480}, 3 * sizeof(int64_t));
  duel_box_out(b, DUEL_SHAPE(40960));
  b->attr.pack.offset = b->offset;
  b->attr.pack.count = 40960;
}

const duel_large_call duel_large_calls[] = {
    {DUEL_OP_AFFINE, "", make_unary},
    {DUEL_OP_LEAKY_RELU, "", make_leaky},
    {DUEL_OP_SQRT, "", make_unary},
    {DUEL_OP_EXP, "", make_unary},
    {DUEL_OP_LOG, "", make_unary},
    {DUEL_OP_TANH, "", make_unary},
    {DUEL_OP_SIGMOID, "", make_unary},
    {DUEL_OP_SOFTPLUS, "", make_unary},
    {DUEL_OP_ERF, "", make_unary},
    {DUEL_OP_ADD, "", make_binary},
    {DUEL_OP_DIV, "", make_binary},
    {DUEL_OP_MUL, "", make_in_place},
    {DUEL_OP_TANH_GRAD, "", make_in_place},
    {DUEL_OP_SIGMOID_GRAD, "", make_in_place},
    {DUEL_OP_LESS_EQUAL, "", make_binary},
    {DUEL_OP_SELECT, "", make_select},
    {DUEL_OP_REDUCE_SUM, "all", make_reduce_all},
    {DUEL_OP_REDUCE_SUM, "rows", make_reduce_rows},
    {DUEL_OP_REDUCE_SUM, "columns", make_reduce_columns},
    {DUEL_OP_REDUCE_SUM, "mixed", make_reduce_mixed},
    {DUEL_OP_REDUCE_SUM, "ends", make_reduce_ends},
    {DUEL_OP_REDUCE_MAX, "all", make_reduce_all},
    {DUEL_OP_REDUCE_MAX, "rows", make_reduce_rows},
    {DUEL_OP_REDUCE_MAX, "columns", make_reduce_columns},
    {DUEL_OP_REDUCE_MAX, "mixed", make_reduce_mixed},
    {DUEL_OP_REDUCE_MAX, "ends", make_reduce_ends},
    {DUEL_OP_MATMUL, "", make_matmul},
    {DUEL_OP_MATMUL, "batch", make_matmul_batch},
    {DUEL_OP_MATMUL, "tall", make_matmul_tall},
    {DUEL_OP_CONV2D, "", make_conv2d},
    {DUEL_OP_CONV2D, "by Winograd", make_conv2d_winograd},
    {DUEL_OP_CONV2D_DX, "", make_conv2d_dx},
    {DUEL_OP_CONV2D_DX, "by Winograd", make_conv2d_dx_winograd},
    {DUEL_OP_CONV2D_DX, "few channels", make_conv2d_dx_few},
    {DUEL_OP_CONV2D_DW, "by Winograd", make_conv2d_dw_winograd},
    {DUEL_OP_CONV2D_DW, "", make_conv2d_dw},
    {DUEL_OP_RESAMPLE2D, "", make_resample2d},
    {DUEL_OP_RESAMPLE2D, "double", make_resample2d_double},
    {DUEL_OP_RESAMPLE2D_DX, "", make_resample2d_dx},
    {DUEL_OP_RESAMPLE2D_DX, "double", make_resample2d_dx_double},
    {DUEL_OP_RESAMPLE2D, "fir", make_resample2d_fir},
    {DUEL_OP_RESAMPLE2D_DX, "fir", make_resample2d_dx_fir},
    {DUEL_OP_WARP2D, "", make_warp},
    {DUEL_OP_WARP2D_DX, "", make_warp},
    {DUEL_OP_MAXPOOL2D, "", make_maxpool2d},
    {DUEL_OP_MAXPOOL2D_DX, "", make_maxpool2d_dx},
    {DUEL_OP_DENSE, "", make_dense},
    {DUEL_OP_MATMUL_GRAD, "", make_matmul_grad},
    {DUEL_OP_BATCHNORM, "", make_batchnorm},
    {DUEL_OP_BATCHNORM, "maps", make_batchnorm_maps},
    {DUEL_OP_BATCHNORM_GRAD, "", make_batchnorm_grad},
    {DUEL_OP_BATCHNORM_GRAD, "maps", make_batchnorm_grad_maps},
    {DUEL_OP_GROUPNORM, "", make_groupnorm},
    {DUEL_OP_GROUPNORM, "elements", make_groupnorm_elements},
    {DUEL_OP_GROUPNORM_GRAD, "", make_groupnorm_grad},
    {DUEL_OP_GROUPNORM_GRAD, "elements", make_groupnorm_grad_elements},
    {DUEL_OP_SPECTRAL, "", make_spectral},
    {DUEL_OP_SPECTRAL, "across", make_spectral_across},
    {DUEL_OP_SPECTRAL_GRAD, "", make_spectral_grad},
    {DUEL_OP_BCE_LOGITS, "", make_bce},
    {DUEL_OP_BCE_LOGITS_GRAD, "", make_bce_grad},
    {DUEL_OP_ADAM, "", make_adam},
    {DUEL_OP_SGD, "", make_sgd},
    {DUEL_OP_EMA, "", make_ema},
    {DUEL_OP_RUNNING, "", make_running},
    {DUEL_OP_REPORT, "", make_report},
    {DUEL_OP_ASSIGN, "", make_assign},
    {DUEL_OP_ASSIGN, "clamped", make_clamp},
    {DUEL_OP_RANDOM_NORMAL, "", make_random},
    {DUEL_OP_RANDOM_UNIFORM, "", make_random},
    {DUEL_OP_AUGMENT, "", make_augment},
    {DUEL_OP_BATCH, "", make_batch},
    {DUEL_OP_EMBEDDING, "", make_embedding},
    {DUEL_OP_EMBEDDING_GRAD, "", make_embedding_grad},
    {DUEL_OP_TRANSPOSE, "", make_transpose},
    {DUEL_OP_SLICE, "", make_slice},
    {DUEL_OP_PAD, "", make_pad},
    {DUEL_OP_REFLECT2D, "", make_reflect2d},
    {DUEL_OP_REFLECT2D_DX, "", make_reflect2d_dx},
    {DUEL_OP_CONCAT, "", make_concat},
    {DUEL_OP_BROADCAST, "", make_broadcast},
    {DUEL_OP_PACK, "", make_pack},
};
const int duel_large_calls_n = sizeof duel_large_calls / sizeof *duel_large_calls;

void duel_box_make(duel_box *b, duel_op op, const char *variant) {
  memset(b, 0, sizeof *b);
  seed = 12345;
  for (int i = 0; i < duel_large_calls_n; i++) {
    if (duel_large_calls[i].op != op || strcmp(duel_large_calls[i].variant, variant) != 0) continue;
    duel_large_calls[i].make(b);
    return;
  }
  fail_msg("no job %s %s", duel_op_name(op), variant);
}
