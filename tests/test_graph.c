// The graph itself: shape rules and their messages, versions of variables, which gradients are built, lack of memory.
// Values are other tests' business; here nothing is computed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/graph.h"

static duel_vars vars;
static duel_graph *g;

static int set_up(void **state) {
  (void)state;
  return duel_graph_open(&g, &vars, DUEL_F32) == DUEL_OK ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  duel_graph_close(g);
  duel_vars_clear(&vars);
  return 0;
}

static int add_var(duel_arena arena, const char *name, duel_dtype dtype, duel_shape shape) {
  int id = -1;
  assert_int_equal(duel_vars_add(&vars, arena, name, dtype, shape, &id), DUEL_OK);
  return id;
}

static duel_val input(const char *name, duel_shape shape) {
  return duel_input(g, add_var(DUEL_ARENA_INPUT, name, DUEL_F32, shape));
}

static duel_val zeros(duel_shape shape) {
  return duel_constant(g, shape, 0);
}

static int count_op(duel_op op) {
  int count = 0;
  for (int i = 0; i < g->n_nodes; i++) count += g->node[i]->op == op;
  return count;
}

static void assert_ok(void) {
  if (duel_graph_status(g) != DUEL_OK) fail_msg("%s", duel_last_error());
}

static void assert_shape(duel_val v, duel_shape shape) {
  assert_ok();
  if (!duel_shape_equal(duel_val_shape(g, v), shape))
    fail_msg("shape is %s, not %s", duel_shape_text(duel_val_shape(g, v)), duel_shape_text(shape));
}

// The last call failed with just this message; the graph is opened anew for the next mistake.
static void assert_mistake(duel_val v, const char *message) {
  assert_int_equal(v, DUEL_NONE);
  assert_int_equal(duel_graph_status(g), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(), message);
  duel_graph_close(g);
  assert_int_equal(duel_graph_open(&g, &vars, DUEL_F32), DUEL_OK);
}

// ---- records
static void every_op_has_a_complete_record(void **state) {
  (void)state;
  for (int op = 0; op < DUEL_OP_COUNT; op++) {
    const duel_op_record *r = duel_op_records[op];
    assert_non_null(r);
    assert_string_equal(r->name, duel_op_name((duel_op)op));
    assert_true(r->infer && r->vjp);
    assert_true(!(r->flags & DUEL_FLAG_WRITER) || r->vjp == duel_no_grad);
    assert_true(!(r->flags & DUEL_FLAG_COMMUTATIVE) || r->min_in == 2);
  }
}

// ---- shape rules
static void shapes_follow_from_the_inputs(void **state) {
  (void)state;
  duel_val x = zeros(DUEL_SHAPE(4, 3, 2)), row = zeros(DUEL_SHAPE(2)), slab = zeros(DUEL_SHAPE(100));
  assert_shape(duel_reshape(g, x, DUEL_SHAPE(24)), DUEL_SHAPE(24));
  assert_shape(duel_view(g, slab, 64, DUEL_SHAPE(6, 6)), DUEL_SHAPE(6, 6));
  assert_shape(duel_pack(g, 2, (duel_val[]){x, row}, (int64_t[]){64, 0}, 88), DUEL_SHAPE(88));
  assert_shape(duel_transpose(g, x, (int[]){2, 0, 1}), DUEL_SHAPE(2, 4, 3));
  assert_shape(duel_slice(g, x, (int64_t[]){1, 2, 0}, DUEL_SHAPE(3, 1, 2)), DUEL_SHAPE(3, 1, 2));
  assert_shape(duel_pad(g, x, (int64_t[]){1, 0, 2}, DUEL_SHAPE(5, 3, 9)), DUEL_SHAPE(5, 3, 9));
  const int64_t around[] = {1, 0, 2, 3}; // above, left, below, right
  assert_shape(duel_reflect_pad(g, zeros(DUEL_SHAPE(8, 3, 3, 4)), around), DUEL_SHAPE(8, 3, 6, 7));
  assert_shape(duel_concat(g, 2, (duel_val[]){x, x}, 1), DUEL_SHAPE(4, 6, 2));
  assert_shape(duel_broadcast(g, row, DUEL_SHAPE(7, 1, 2)), DUEL_SHAPE(7, 1, 2));
  assert_shape(duel_add(g, x, row), DUEL_SHAPE(4, 3, 2));
  assert_shape(duel_mul(g, zeros(DUEL_SHAPE(5, 1)), row), DUEL_SHAPE(5, 2));
  assert_shape(duel_select(g, zeros(DUEL_SHAPE(3, 1)), row, zeros(DUEL_SHAPE(4, 1, 1))), DUEL_SHAPE(4, 3, 2));
  assert_shape(duel_reduce_sum(g, x, 5), DUEL_SHAPE(1, 3, 1));
  assert_shape(duel_sum(g, x), DUEL_SCALAR);
  assert_shape(duel_mean(g, duel_sum(g, x)), DUEL_SCALAR);
  assert_shape(duel_sum_to(g, x, DUEL_SHAPE(3, 1)), DUEL_SHAPE(3, 1));
  assert_shape(duel_matmul(g, x, zeros(DUEL_SHAPE(5, 2)), false, true), DUEL_SHAPE(4, 3, 5));
  assert_shape(duel_matmul(g, zeros(DUEL_SHAPE(7, 1, 2, 6)), x, true, true), DUEL_SHAPE(7, 4, 6, 3));
  duel_val out[3];
  duel_batchnorm(g, x, zeros(DUEL_SHAPE(3)), zeros(DUEL_SHAPE(3)), 1e-5, DUEL_ACT_TANH, 0, out);
  assert_shape(out[0], DUEL_SHAPE(4, 3, 2));
  assert_shape(out[2], DUEL_SHAPE(3));
  duel_groupnorm(g, zeros(DUEL_SHAPE(4, 6, 2)), zeros(DUEL_SHAPE(6)), zeros(DUEL_SHAPE(6)), 3, 1e-5, out);
  assert_shape(out[0], DUEL_SHAPE(4, 6, 2));
  assert_shape(out[2], DUEL_SHAPE(4, 3));
  duel_groupnorm_grad(g, (duel_val[]){x, x, zeros(DUEL_SHAPE(3, 2)), zeros(DUEL_SHAPE(4, 1)), zeros(DUEL_SHAPE(4, 1))},
                      1, 0, out);
  assert_shape(out[0], DUEL_SHAPE(4, 3, 2));
  assert_shape(out[1], DUEL_SHAPE(4, 3, 2));
  duel_matmul_grad(g, slab = zeros(DUEL_SHAPE(8, 5)), zeros(DUEL_SHAPE(7, 5)), zeros(DUEL_SHAPE(8, 7)), false, true,
                   DUEL_ACT_NONE, 0, out);
  assert_shape(out[1], DUEL_SHAPE(7));
  assert_shape(duel_bce_logits(g, x, 1), DUEL_SCALAR);
  int data = add_var(DUEL_ARENA_DATA, "data", DUEL_U8, DUEL_SHAPE(100, 1, 28, 28));
  int index = add_var(DUEL_ARENA_INPUT, "index", DUEL_I32, DUEL_SHAPE(64));
  duel_val batch = duel_batch(g, duel_input(g, data), duel_input(g, index));
  assert_shape(batch, DUEL_SHAPE(64, 1, 28, 28));
  assert_int_equal(g->value[batch].dtype, DUEL_F32);
  duel_val rows = duel_embedding(g, zeros(DUEL_SHAPE(10, 3, 5)), duel_input(g, index));
  assert_shape(rows, DUEL_SHAPE(64, 3, 5));
  assert_shape(duel_embedding_grad(g, rows, duel_input(g, index), 10), DUEL_SHAPE(10, 3, 5));
  assert_shape(duel_one_hot(g, duel_input(g, index), 10), DUEL_SHAPE(64, 10));
  int list = add_var(DUEL_ARENA_DATA, "labels", DUEL_I32, DUEL_SHAPE(100));
  duel_val labels = duel_batch(g, duel_input(g, list), duel_input(g, index)), logits = zeros(DUEL_SHAPE(64, 10));
  assert_shape(labels, DUEL_SHAPE(64));
  assert_int_equal(g->value[labels].dtype, DUEL_I32);
  duel_val loss = duel_softmax_ce(g, logits, labels, 0.1);
  assert_shape(loss, DUEL_SCALAR);
  assert_shape(duel_softmax_ce_grad(g, logits, labels, loss, 0.1), DUEL_SHAPE(64, 10));
  assert_shape(duel_hits(g, logits, labels), DUEL_SCALAR);
}

static void costs_count_work_and_traffic(void **state) {
  (void)state;
  duel_val a = zeros(DUEL_SHAPE(2, 8, 3)), b = zeros(DUEL_SHAPE(3, 5));
  const duel_node *product = g->node[g->value[duel_matmul(g, a, b, false, false)].node];
  duel_cost cost = duel_op_cost(g, product);
  assert_true(cost.flops > 479.5 && cost.flops < 480.5); // 2·M·N·K in each of two batches
  assert_true(cost.bytes > 571.5 && cost.bytes < 572.5); // 48 + 15 + 80 floats
  const duel_node *view = g->node[g->value[duel_reshape(g, a, DUEL_SHAPE(48))].node];
  cost = duel_op_cost(g, view);
  assert_true(cost.flops < 0.5 && cost.bytes < 0.5);
}

static void decompositions_have_the_shapes_of_their_op(void **state) {
  (void)state;
  duel_val x = zeros(DUEL_SHAPE(6, 4)), w = zeros(DUEL_SHAPE(5, 4)), c = zeros(DUEL_SHAPE(4)), y, out[3];
  y = duel_dense(g, x, w, zeros(DUEL_SHAPE(5)), false, true, DUEL_ACT_SIGMOID, 0);
  duel_matmul_grad(g, x, w, y, false, true, DUEL_ACT_SIGMOID, 0, out);
  duel_batchnorm(g, x, c, c, 1e-5, DUEL_ACT_LEAKY_RELU, 0.2, out);
  duel_batchnorm_grad(g, (duel_val[]){x, x, c, out[1], out[2], out[0]}, 1e-5, DUEL_ACT_LEAKY_RELU, 0.2, out);
  duel_groupnorm(g, x, c, c, 2, 1e-5, out);
  duel_groupnorm_grad(g, (duel_val[]){x, x, c, out[1], out[2]}, 2, 1e-5, out);
  duel_val s[4];
  duel_spectral(g, zeros(DUEL_SHAPE(3, 5, 2)), zeros(DUEL_SHAPE(5)), zeros(DUEL_SHAPE(6)), 1, true, s);
  duel_spectral_grad(g, (duel_val[]){s[0], s[0], s[1], s[2], s[3]}, 1);
  duel_bce_logits_grad(g, x, duel_bce_logits(g, x, 0.9), 0.9);
  duel_val labels = duel_input(g, add_var(DUEL_ARENA_INPUT, "labels", DUEL_I32, DUEL_SHAPE(6)));
  duel_softmax_ce_grad(g, x, labels, duel_softmax_ce(g, x, labels, 0.1), 0);
  assert_ok();
  int fused = 0;
  for (int i = 0, n = g->n_nodes; i < n; i++) {
    const duel_node *node = g->node[i];
    duel_val expanded[DUEL_MAX_OUT];
    if (!duel_op_records[node->op]->expand) continue;
    fused++;
    duel_op_records[node->op]->expand(g, node, expanded);
    for (int k = 0; k < node->n_out; k++) assert_shape(expanded[k], duel_val_shape(g, node->out[k]));
    for (int k = n; k < g->n_nodes; k++) assert_null(duel_op_records[g->node[k]->op]->expand); // primitives only
  }
  assert_int_equal(fused, 12);
}

static void mistakes_of_convolutions(void **state) {
  (void)state;
  const duel_conv c = {.stride = {2, 2}, .dilation = {1, 1}, .pad = {1, 1, 1, 1}, .groups = 1};
  duel_conv grouped = c, dilated = c, still = c;
  grouped.groups = 3;
  dilated.dilation[1] = 4;
  still.stride[0] = 0;
  const duel_shape x = DUEL_SHAPE(8, 3, 7, 7), w = DUEL_SHAPE(6, 3, 3, 3);
  duel_scope(g, "D.0 %s", "conv");
  assert_mistake(duel_conv2d(g, zeros(DUEL_SHAPE(8, 147)), zeros(w), &c),
                 "D.0 conv: conv2d: the image is 8×147 and must be [N, C, H, W]");
  assert_mistake(duel_conv2d(g, zeros(x), zeros(DUEL_SHAPE(6, 4, 3, 3)), &c),
                 "conv2d: images 8×3×7×7 have 3 channels, but weights 6×4×3×3 in 1 group read 4");
  assert_mistake(duel_conv2d(g, zeros(x), zeros(DUEL_SHAPE(5, 1, 3, 3)), &grouped),
                 "conv2d: 3 groups cannot share the 5 outputs of weights 5×1×3×3 for images 8×3×7×7 evenly");
  assert_mistake(
      duel_conv2d(g, zeros(x), zeros(DUEL_SHAPE(6, 3, 3, 4)), &dilated),
      "conv2d: a kernel of 6×3×3×4 covers 13 columns with its dilation, but images 8×3×7×7 have 9 with their padding; "
      "make the kernel smaller or pad more");
  assert_mistake(duel_conv2d(g, zeros(x), zeros(w), &still), "conv2d: stride is 0 and must be 1 to 2147483647");
  assert_mistake(duel_conv2d_dx(g, zeros(DUEL_SHAPE(8, 6, 4, 4)), zeros(w), &c, DUEL_SHAPE(8, 3, 9, 8)),
                 "conv2d_dx: images 8×3×9×8 and weights 6×3×3×3 make 8×6×5×4, not the 8×6×4×4 that are given");
  assert_mistake(duel_conv2d_dw(g, zeros(x), zeros(DUEL_SHAPE(8, 6, 4, 4)), &c, DUEL_SHAPE(6, 3, 5, 3)),
                 "conv2d_dw: images 8×3×7×7 and weights 6×3×5×3 make 8×6×3×4, not the 8×6×4×4 that are given");
}

// out of spectral norm for a weight, u and v of these shapes.
static duel_val spectral(duel_shape w, duel_shape u, duel_shape v, int axis, duel_val out[4]) {
  duel_spectral(g, zeros(w), zeros(u), zeros(v), axis, true, out);
  return out[0];
}

static void mistakes_of_spectral_norm(void **state) {
  (void)state;
  const duel_shape w = DUEL_SHAPE(3, 5, 2), u = DUEL_SHAPE(5), v = DUEL_SHAPE(6);
  duel_val out[4];
  assert_shape(spectral(w, u, v, 1, out), w);
  assert_shape(out[1], u);
  assert_shape(out[2], v);
  assert_shape(out[3], DUEL_SCALAR);
  assert_shape(duel_spectral_grad(g, (duel_val[]){out[0], out[0], out[1], out[2], out[3]}, 1), w);
  duel_scope(g, "D.1 %s", "dense");
  assert_mistake(spectral(u, u, v, 0, out), "D.1 dense: spectral cannot read 5 with rows on axis 0 as a matrix");
  assert_mistake(spectral(w, u, v, 2, out), "spectral cannot read 3×5×2 with rows on axis 2 as a matrix");
  assert_mistake(spectral(w, u, v, 0, out), "spectral: u has shape 5 and must have 3");
  assert_mistake(spectral(w, u, u, 1, out), "spectral: v has shape 5 and must have 6");
  assert_mistake(duel_spectral_grad(g, (duel_val[]){zeros(v), zeros(w), zeros(u), zeros(v), zeros(DUEL_SCALAR)}, 1),
                 "spectral_grad: d_y has shape 6 and must have 3×5×2");
  assert_mistake(duel_spectral_grad(g, (duel_val[]){zeros(w), zeros(w), zeros(u), zeros(v), zeros(u)}, 1),
                 "spectral_grad: sigma has shape 5 and must have scalar");
}

static void mistakes_of_resampling(void **state) {
  (void)state;
  const duel_window w = {.kernel = {3, 2}, .stride = {2, 2}, .pad = {1, 0, 1, 1}};
  duel_window wide = w, tall = w, still = w;
  wide.pad[3] = 2;
  tall.kernel[0] = 10;
  still.stride[1] = 0;
  const duel_shape x = DUEL_SHAPE(8, 3, 7, 6), y = DUEL_SHAPE(8, 3, 4, 3);
  const duel_resampling half = {.mode = DUEL_AVERAGE, .window = w}, none = {.mode = DUEL_BILINEAR, .size = {4, 0}};
  assert_shape(duel_maxpool2d(g, zeros(x), zeros(x), &w), y);
  assert_shape(duel_resample2d(g, zeros(x), &half), y);
  assert_shape(duel_resample2d(g, zeros(x), &(duel_resampling){.size = {1, 9}}), DUEL_SHAPE(8, 3, 1, 9));
  duel_scope(g, "D.1 %s", "maxpool");
  assert_mistake(duel_maxpool2d(g, zeros(DUEL_SHAPE(8, 126)), zeros(x), &w),
                 "D.1 maxpool: maxpool2d: the image is 8×126 and must be [N, C, H, W] with sides of at most 32767");
  assert_mistake(duel_maxpool2d(g, zeros(x), zeros(x), &wide),
                 "maxpool2d: a pad of 2 right of images 8×3×7×6 leaves a window of 3×2 without a pixel; a pad must be "
                 "smaller than the kernel");
  assert_mistake(duel_maxpool2d(g, zeros(x), zeros(x), &tall),
                 "maxpool2d: a window of 10×2 covers 10 rows, but images 8×3×7×6 have 9 with their padding; make the "
                 "kernel smaller or pad more");
  assert_mistake(duel_maxpool2d(g, zeros(x), zeros(x), &still), "maxpool2d: stride is 0 and must be 1 to 32767");
  assert_mistake(duel_maxpool2d(g, zeros(x), zeros(y), &w),
                 "maxpool2d: what is taken has shape 8×3×4×3 and must have 8×3×7×6");
  assert_mistake(duel_maxpool2d_dx(g, zeros(x), zeros(x), &w),
                 "maxpool2d_dx: the gradient has shape 8×3×7×6 and must have 8×3×4×3");
  assert_mistake(duel_resample2d(g, zeros(x), &none), "resample2d: the width is 0 and must be 1 to 32767");
  duel_resampling filter = {.mode = DUEL_FIR, .fir = {{2, 3}, {1, 2}, {2, 1, 1, 2}, 4, {1, 3, 3, 1}, 1}};
  assert_shape(duel_resample2d(g, zeros(x), &filter), DUEL_SHAPE(8, 3, 14, 9));
  assert_shape(duel_resample2d_dx(g, zeros(DUEL_SHAPE(8, 3, 14, 9)), &filter, x), x);
  filter.fir.down[1] = 9;
  assert_mistake(duel_resample2d(g, zeros(x), &filter), "resample2d: down is 9 and must be 1 to 8");
  filter.fir.up[0] = 0;
  assert_mistake(duel_resample2d(g, zeros(x), &filter), "resample2d: up is 0 and must be 1 to 8");
  filter.fir = (duel_fir){{1, 1}, {8, 1}, {0, 0, -1, 0}, 8, {1}, 1};
  assert_mistake(duel_resample2d(g, zeros(x), &filter), "resample2d: pad is -1 and must be 0 to 32767");
  filter.fir.pad[2] = 0;
  assert_mistake(duel_resample2d(g, zeros(x), &filter), "resample2d: the height is 0 and must be 1 to 32767");
  filter.fir.pad[0] = 32767, filter.fir.down[0] = 1;
  assert_mistake(duel_resample2d(g, zeros(x), &filter), "resample2d: the width is 0 and must be 1 to 32767");
  filter.fir.pad[1] = 32767, filter.fir.up[1] = 8;
  assert_mistake(duel_resample2d(g, zeros(x), &filter), "resample2d: the width is 32808 and must be 1 to 32767");
  filter.fir.taps = 13;
  assert_mistake(duel_resample2d(g, zeros(x), &filter), "resample2d: taps is 13 and must be 1 to 12");
  assert_mistake(duel_resample2d_dx(g, zeros(y), &half, DUEL_SHAPE(8, 3, 9, 6)),
                 "resample2d_dx: images 8×3×9×6 become 8×3×5×3, not the 8×3×4×3 that are given");
}

static void mistakes_of_warps(void **state) {
  (void)state;
  const duel_shape x = DUEL_SHAPE(8, 3, 7, 6), map = DUEL_SHAPE(8, 2, 3);
  assert_shape(duel_warp2d(g, zeros(x), zeros(map)), x);
  assert_shape(duel_warp2d_dx(g, zeros(x), zeros(map)), x);
  duel_scope(g, "D.0 %s", "augment");
  assert_mistake(duel_warp2d(g, zeros(DUEL_SHAPE(8, 126)), zeros(map)),
                 "D.0 augment: warp2d: the image is 8×126 and must be [N, C, H, W] with sides of at most 32767");
  assert_mistake(duel_warp2d(g, zeros(x), zeros(DUEL_SHAPE(1, 2, 3))),
                 "warp2d: the map has shape 1×2×3 and must have 8×2×3");
  assert_mistake(duel_warp2d_dx(g, zeros(x), zeros(DUEL_SHAPE(8, 6))),
                 "warp2d_dx: the map has shape 8×6 and must have 8×2×3");
}

static void mistakes_of_mirrors(void **state) {
  (void)state;
  duel_attr attr;
  memset(&attr, 0, sizeof attr);
  memcpy(attr.reflect.pad, (int64_t[]){1, 0, 2, 3}, sizeof attr.reflect.pad);
  const duel_val y = zeros(DUEL_SHAPE(8, 3, 6, 7)), less = zeros(DUEL_SHAPE(8, 3, 5, 7));
  assert_shape(duel_node_add(g, DUEL_OP_REFLECT2D_DX, 1, &y, &attr, NULL)->out[0], DUEL_SHAPE(8, 3, 3, 4));
  assert_null(duel_node_add(g, DUEL_OP_REFLECT2D_DX, 1, &less, &attr, NULL));
  assert_mistake(DUEL_NONE,
                 "reflect2d_dx: a pad of 2 below images of 2×4 must be 0 or more and smaller than that side");
  assert_mistake(duel_reflect_pad(g, zeros(DUEL_SHAPE(8, 3, 3, 4)), (int64_t[]){0, 4, 0, 0}),
                 "reflect2d: a pad of 4 left of images of 3×4 must be 0 or more and smaller than that side");
  assert_mistake(duel_reflect_pad(g, zeros(DUEL_SHAPE(8, 3, 3, 4)), (int64_t[]){0, 0, -1, 0}),
                 "reflect2d: a pad of -1 below images of 3×4 must be 0 or more and smaller than that side");
  assert_mistake(duel_reflect_pad(g, zeros(DUEL_SHAPE(8, 12)), attr.reflect.pad),
                 "reflect2d: the image is 8×12 and must be [N, C, H, W]");
}

static void mistakes_name_layer_op_and_shapes(void **state) {
  (void)state;
  duel_scope(g, "G.2 %s", "dense");
  assert_mistake(duel_matmul(g, zeros(DUEL_SHAPE(64, 256)), zeros(DUEL_SHAPE(512, 100)), false, false),
                 "G.2 dense: matmul cannot multiply 64×256 by 512×100: inner sizes 256 and 512 differ");
  assert_mistake(duel_matmul(g, zeros(DUEL_SHAPE(2, 4, 5)), zeros(DUEL_SHAPE(3, 7, 5)), false, true),
                 "matmul cannot multiply 2×4×5 by 3×7×5: their batch dimensions do not broadcast");
  assert_mistake(duel_matmul(g, zeros(DUEL_SHAPE(5)), zeros(DUEL_SHAPE(5, 1)), false, false),
                 "matmul cannot multiply 5 by 5×1: both must be matrices");
  assert_mistake(duel_dense(g, zeros(DUEL_SHAPE(4, 3)), zeros(DUEL_SHAPE(3, 2)), zeros(DUEL_SHAPE(3)), false, false,
                            DUEL_ACT_NONE, 0),
                 "dense: the bias has shape 3 and must have 2");
  assert_mistake(duel_add(g, zeros(DUEL_SHAPE(2, 3)), zeros(DUEL_SHAPE(4))), "add cannot broadcast 2×3 with 4");
  assert_mistake(duel_reshape(g, zeros(DUEL_SHAPE(64, 784)), DUEL_SHAPE(64, 1, 28, 27)),
                 "reshape cannot make 64×784 (50176 elements) into 64×1×28×27");
  assert_mistake(duel_view(g, zeros(DUEL_SHAPE(10)), 5, DUEL_SHAPE(2, 3)), "view of 2×3 at 5 leaves a slab of 10");
  assert_mistake(duel_view(g, zeros(DUEL_SHAPE(10)), -1, DUEL_SHAPE(2)), "view of 2 at -1 leaves a slab of 10");
  assert_mistake(duel_pack(g, 2, (duel_val[]){zeros(DUEL_SHAPE(4)), zeros(DUEL_SHAPE(2, 2))}, (int64_t[]){0, 3}, 9),
                 "pack: inputs 0 and 1 overlap (at 0 and 3)");
  assert_mistake(duel_transpose(g, zeros(DUEL_SHAPE(2, 3)), (int[]){1, 1}),
                 "transpose of 2×3: axis 1 stands in the permutation twice or does not exist");
  assert_mistake(duel_slice(g, zeros(DUEL_SHAPE(2, 3)), (int64_t[]){0, 2}, DUEL_SHAPE(2, 2)),
                 "slice: a box of 2×2 at 0×2 does not lie within 2×3");
  assert_mistake(duel_concat(g, 2, (duel_val[]){zeros(DUEL_SHAPE(2, 3)), zeros(DUEL_SHAPE(3, 3))}, 1),
                 "concat along axis 1 cannot join 2×3 and 3×3");
  assert_mistake(duel_broadcast(g, zeros(DUEL_SHAPE(2)), DUEL_SHAPE(1)), "broadcast cannot stretch 2 to 1");
  assert_mistake(duel_reduce_sum(g, zeros(DUEL_SHAPE(2)), 2), "reduce_sum: 2 has no axes 0x2");
  assert_mistake(duel_leaky_relu(g, zeros(DUEL_SHAPE(2)), -0.1),
                 "leaky_relu: the slope of leaky_relu is -0.1 and must be at least 0");
  duel_val out[3];
  duel_batchnorm(g, zeros(DUEL_SHAPE(4)), zeros(DUEL_SHAPE(4)), zeros(DUEL_SHAPE(4)), 1e-5, DUEL_ACT_NONE, 0, out);
  assert_mistake(out[0], "batchnorm cannot normalize 4: it needs N×C×...");
  duel_groupnorm(g, zeros(DUEL_SHAPE(2, 6, 3)), zeros(DUEL_SHAPE(6)), zeros(DUEL_SHAPE(6)), 4, 1e-5, out);
  assert_mistake(out[0], "groupnorm cannot cut the channels of 2×6×3 into 4 groups: it needs N×C×..., C a multiple");
  duel_groupnorm(g, zeros(DUEL_SHAPE(2, 6, 3)), zeros(DUEL_SHAPE(3)), zeros(DUEL_SHAPE(3)), 2, 1e-5, out);
  assert_mistake(out[0], "groupnorm: scale is 3 and must have the first axes of the items of 2×6×3");
  duel_groupnorm(g, zeros(DUEL_SHAPE(2, 6)), zeros(DUEL_SHAPE(6)), zeros(DUEL_SHAPE(6)), 2, -1, out);
  assert_mistake(out[0], "groupnorm: eps is -1 and must be at least 0");
  assert_mistake(duel_embedding(g, zeros(DUEL_SHAPE(10, 3)), zeros(DUEL_SHAPE(4))),
                 "embedding: input 1 (4) is f32 and must be i32");
  int list = add_var(DUEL_ARENA_INPUT, "list", DUEL_I32, DUEL_SHAPE(4)),
      matrix = add_var(DUEL_ARENA_INPUT, "matrix", DUEL_I32, DUEL_SHAPE(4, 1));
  assert_mistake(duel_embedding(g, zeros(DUEL_SCALAR), duel_input(g, list)),
                 "embedding needs a table of rows, not one number");
  assert_mistake(duel_embedding_grad(g, zeros(DUEL_SHAPE(5, 3)), duel_input(g, list), 10),
                 "embedding_grad: the indices are 4 and must be a list, one a row");
  assert_mistake(duel_one_hot(g, duel_input(g, matrix), 10),
                 "one_hot: the indices are 4×1 and must be a list, one a row");
  assert_mistake(duel_softmax_ce(g, zeros(DUEL_SHAPE(5, 3)), duel_input(g, list), 0),
                 "softmax_ce: logits are 5×3 and labels 4; they must be N×K and N");
  assert_mistake(duel_softmax_ce(g, zeros(DUEL_SHAPE(4, 3)), duel_input(g, list), 1.5),
                 "softmax_ce: a label smoothing of 1.5 is not between 0 and 1");
  assert_mistake(duel_softmax_ce_grad(g, zeros(DUEL_SHAPE(4, 3)), duel_input(g, list), zeros(DUEL_SHAPE(4)), 0),
                 "softmax_ce_grad: d_loss has shape 4 and must have scalar");
  assert_mistake(duel_hits(g, zeros(DUEL_SHAPE(4)), duel_input(g, list)),
                 "hits: logits are 4 and labels 4; they must be N×K and N");
  assert_mistake(duel_one_hot(g, duel_input(g, list), 0), "one_hot: a result of shape 4×0 is empty or too large");
  duel_val key = input("float key", DUEL_SHAPE(4));
  assert_mistake(duel_random_normal(g, key, 2, 0, DUEL_SHAPE(3)), "random_normal: input 0 (4) is f32 and must be i32");
  for (int i = 0; i < 2; i++) {
    duel_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.random.purpose = 2;
    attr.random.first = i ? (INT64_C(1) << 34) - 2 : -1;
    const duel_val block = duel_input(g, list);
    const duel_shape three = DUEL_SHAPE(3);
    assert_null(duel_node_add(g, DUEL_OP_RANDOM_UNIFORM, 1, &block, &attr, &three));
    assert_mistake(DUEL_NONE, i ? "random_uniform: 3 from element 17179869182 on: a draw has elements 0 … 2^34 − 1"
                                : "random_uniform: 3 from element -1 on: a draw has elements 0 … 2^34 − 1");
  }
}

static void changes_are_checked(void **state) {
  (void)state;
  const int key = add_var(DUEL_ARENA_INPUT, "key", DUEL_I32, DUEL_SHAPE(4));
  const duel_changes fine = {.channels = 3, .height = 8, .width = 8};
  duel_val out[2];
  duel_augment(g, duel_input(g, key), zeros(DUEL_SCALAR), &fine, 5, 64, out);
  assert_shape(out[0], DUEL_SHAPE(64, 2, 3));
  assert_shape(out[1], DUEL_SHAPE(10, 64));
  assert_shape(duel_iota(g, 7), DUEL_SHAPE(7));
  assert_mistake(duel_iota(g, (1 << 24) + 1), "iota counts up to 2^24 in one row, not 16777217");
  static const char *const message[] = {"augment: the probability has shape 2 and must have scalar",
                                        "augment: change 11 has the share 1.5, which is not within 0 … 1",
                                        "augment: the width is 0 and must be 1 to 32767",
                                        "augment: the pass is 4096 and must be 0 to 4095",
                                        "augment: 64 rows from row -1 on"};
  for (int i = 0; i < 5; i++) {
    duel_changes c = fine;
    if (i == 1) c.share[DUEL_HUE] = 1.5f;
    if (i == 2) c.width = 0;
    if (i == 3) c.pass = 4096;
    duel_augment(g, duel_input(g, key), i ? zeros(DUEL_SCALAR) : zeros(DUEL_SHAPE(2)), &c, i == 4 ? -1 : 0, 64, out);
    assert_mistake(out[1], message[i]);
  }
}

static void sizes_are_checked_for_overflow(void **state) {
  (void)state;
  int64_t big = INT64_C(1) << 31;
  assert_mistake(zeros(DUEL_SHAPE(big, big)),
                 "constant: a result of shape 2147483648×2147483648 is empty or too large");
  assert_mistake(zeros(DUEL_SHAPE(big, big, big)),
                 "constant: a result of shape 2147483648×2147483648×2147483648 is empty or too large");
  assert_mistake(zeros(DUEL_SHAPE(64, 0)), "constant: a result of shape 64×0 is empty or too large");
  assert_mistake(zeros(DUEL_SHAPE(-1)), "constant: a result of shape -1 is empty or too large");
  assert_mistake(zeros(DUEL_SHAPE(1, 1, 1, 1, 1, 1, 1)),
                 "constant: a result of shape a shape of impossible rank is empty or too large");
  assert_mistake(duel_matmul(g, zeros(DUEL_SHAPE(big, 1)), zeros(DUEL_SHAPE(1, big)), false, false),
                 "matmul: a result of shape 2147483648×2147483648 is empty or too large");
  assert_mistake(duel_pack(g, 1, (duel_val[]){zeros(DUEL_SHAPE(2))}, (int64_t[]){INT64_MAX}, INT64_MAX),
                 "pack: input 0 (2) at 9223372036854775807 leaves a slab of 9223372036854775807");
  int id;
  assert_int_equal(duel_vars_add(&vars, DUEL_ARENA_PARAM, "w", DUEL_F32, DUEL_SHAPE(big, big), &id), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(), "variable w: shape 2147483648×2147483648 is impossible or too large");
  assert_int_equal(vars.n, 0);
}

static void the_first_mistake_stays(void **state) {
  (void)state;
  duel_scope(g, "D.1 dense");
  duel_val bad = duel_add(g, zeros(DUEL_SHAPE(2)), zeros(DUEL_SHAPE(3)));
  duel_scope(g, "%s", "");
  int nodes = g->n_nodes, values = g->n_values;
  duel_val good = zeros(DUEL_SHAPE(2)), out[3] = {0, 0, 0}, grad = 0;
  assert_int_equal(good, DUEL_NONE);
  assert_int_equal(duel_matmul(g, bad, bad, false, false), DUEL_NONE);
  duel_batchnorm(g, bad, bad, bad, 0, DUEL_ACT_NONE, 0, out);
  assert_true(out[0] == DUEL_NONE && out[1] == DUEL_NONE && out[2] == DUEL_NONE);
  assert_int_equal(duel_mean(g, bad), DUEL_NONE);
  assert_int_equal(duel_transpose(g, bad, (int[]){0}), DUEL_NONE);
  assert_int_equal(duel_grad(g, bad, 1, &bad, &grad), DUEL_ERR_USAGE);
  assert_int_equal(grad, DUEL_NONE);
  assert_true(g->n_nodes == nodes && g->n_values == values);
  assert_mistake(bad, "D.1 dense: add cannot broadcast 2 with 3");
  // DUEL_NONE without an earlier mistake is a bug of the caller: it must not vanish silently.
  assert_int_equal(duel_exp(g, DUEL_NONE), DUEL_NONE);
  assert_int_equal(duel_graph_status(g), DUEL_ERR_INTERNAL);
}

static void labels_come_from_the_scope(void **state) {
  (void)state;
  duel_val plain = zeros(DUEL_SCALAR);
  duel_scope(g, "G.%d dense", 0);
  duel_val a = zeros(DUEL_SCALAR), b = duel_exp(g, a);
  duel_scope(g, "%s", "");
  duel_val d;
  assert_int_equal(duel_grad(g, b, 1, &a, &d), DUEL_OK);
  assert_string_equal(g->node[g->value[plain].node]->label, "");
  assert_string_equal(g->node[g->value[a].node]->label, "G.0 dense");
  assert_ptr_equal(g->node[g->value[a].node]->label, g->node[g->value[b].node]->label);
  assert_string_equal(g->node[g->value[d].node]->label, "G.0 dense"); // backward nodes belong to their layer
  assert_string_equal(g->scope, "");
}

// ---- variables and versions
static void variables_lie_aligned_in_their_arena(void **state) {
  (void)state;
  int a = add_var(DUEL_ARENA_BUFFER, "a", DUEL_F32, DUEL_SHAPE(3));
  int b = add_var(DUEL_ARENA_BUFFER, "b", DUEL_F64, DUEL_SHAPE(64));
  int c = add_var(DUEL_ARENA_PARAM, "c", DUEL_U8, DUEL_SCALAR);
  assert_true(vars.var[a].offset == 0 && vars.var[a].bytes == 12);
  assert_true(vars.var[b].offset == 256 && vars.var[b].bytes == 512);
  assert_true(vars.var[c].offset == 0 && vars.var[c].bytes == 1);
  assert_true(vars.arena_bytes[DUEL_ARENA_BUFFER] == 768 && vars.arena_bytes[DUEL_ARENA_PARAM] == 256);
  assert_int_equal(duel_vars_find(&vars, "b"), b);
  assert_int_equal(duel_vars_find(&vars, "x"), -1);
  assert_int_equal(duel_vars_add(&vars, DUEL_ARENA_OPT, "b", DUEL_F32, DUEL_SCALAR, &a), DUEL_ERR_INTERNAL);
}

static void writers_make_versions(void **state) {
  (void)state;
  duel_shape s = DUEL_SHAPE(5);
  int p = add_var(DUEL_ARENA_PARAM, "p", DUEL_F32, s), m = add_var(DUEL_ARENA_OPT, "m", DUEL_F32, s);
  int v = add_var(DUEL_ARENA_OPT, "v", DUEL_F32, s), e = add_var(DUEL_ARENA_PARAM, "e", DUEL_F32, s);
  int total = add_var(DUEL_ARENA_BUFFER, "total", DUEL_F32, s);
  duel_val coef = input("coef", DUEL_SHAPE(8)), w = input("w", DUEL_SCALAR);
  duel_val p0 = duel_state(g, p), out[4], again[3];
  assert_int_equal(duel_state(g, p), p0); // one leaf a variable
  assert_int_equal(g->value[p0].var, p);
  assert_int_equal(duel_input(g, g->value[w].var), w);
  // A gradient that is itself a state version is read, not written.
  duel_adam(g, p0, duel_state(g, m), duel_state(g, v), duel_state(g, total), coef, out);
  assert_ok();
  assert_true(g->value[out[0]].var == p && g->value[out[1]].var == m && g->value[out[2]].var == v);
  assert_int_equal(g->value[out[3]].var, -1);
  assert_shape(out[3], DUEL_SHAPE(1)); // a part of 1024 elements at most
  assert_true(duel_state(g, p) == out[0] && duel_state(g, total) == g->latest[total]);
  assert_int_equal(g->node[g->value[g->latest[total]].node]->op, DUEL_OP_STATE);
  duel_sgd(g, out[0], out[1], zeros(s), coef, again);
  assert_true(duel_state(g, p) == again[0] && duel_state(g, m) == again[1] && duel_state(g, v) == out[2]);
  duel_val e1 = duel_ema(g, duel_state(g, e), duel_state(g, p), w);
  assert_int_equal(duel_state(g, e), e1);
  duel_val total1 = duel_assign(g, duel_state(g, total), e1); // reading e leaves its version alone
  assert_true(duel_state(g, total) == total1 && duel_state(g, e) == e1);
  assert_ok();
  assert_int_equal(count_op(DUEL_OP_STATE), 5);
}

static void only_the_newest_version_can_be_written(void **state) {
  (void)state;
  int p = add_var(DUEL_ARENA_PARAM, "p", DUEL_F32, DUEL_SHAPE(4));
  duel_val old = duel_state(g, p);
  duel_assign(g, old, zeros(DUEL_SHAPE(4)));
  assert_mistake(duel_assign(g, old, old), "assign cannot write an old version of p: a newer one exists");
  duel_val view = duel_view(g, duel_state(g, p), 0, DUEL_SHAPE(2));
  assert_mistake(duel_assign(g, view, zeros(DUEL_SHAPE(2))), "assign: input 0 (2) is written, but it is no state");
  duel_val x = input("x", DUEL_SHAPE(4)), out[3];
  assert_mistake(duel_assign(g, x, x), "assign cannot write x: it is an input");
  duel_sgd(g, duel_state(g, p), duel_state(g, p), zeros(DUEL_SHAPE(4)), zeros(DUEL_SHAPE(8)), out);
  assert_mistake(out[0], "sgd cannot write an old version of p: a newer one exists");
  assert_mistake(duel_assign(g, duel_state(g, p), zeros(DUEL_SHAPE(5))),
                 "assign: the new value has shape 5 and must have 4");
  assert_mistake(duel_input(g, p), "input: variable p is state");
  duel_state(g, p);
  assert_mistake(duel_input(g, p), "input: variable p is state");
  assert_mistake(duel_state(g, 77), "state: there is no variable 77");
  duel_output(g, p, zeros(DUEL_SHAPE(4)));
  assert_mistake(DUEL_NONE, "output: variable 0 is not of the output arena");
  int late = add_var(DUEL_ARENA_OUTPUT, "late", DUEL_F32, DUEL_SCALAR); // added while the graph is open
  duel_output(g, late, zeros(DUEL_SCALAR));
  assert_ok();
  assert_int_equal(g->node[g->value[g->latest[late]].node]->op, DUEL_OP_ASSIGN);
}

// ---- gradients: what is built
static void only_needed_gradients_are_built(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(4, 3)), w = input("w", DUEL_SHAPE(3, 2)), b = input("b", DUEL_SHAPE(2)), d[2];
  duel_val y = duel_dense(g, x, w, b, false, false, DUEL_ACT_TANH, 0);
  duel_val loss = duel_bce_logits(g, y, 1);
  assert_int_equal(duel_grad(g, loss, 1, &x, d), DUEL_OK); // G's update: no weight gradient of D
  assert_shape(d[0], DUEL_SHAPE(4, 3));
  assert_int_equal(count_op(DUEL_OP_MATMUL), 1);
  assert_int_equal(count_op(DUEL_OP_REDUCE_SUM), 0);
  assert_int_equal(duel_grad(g, loss, 2, (duel_val[]){w, b}, d), DUEL_OK); // D's: nothing flows into its input
  assert_shape(d[0], DUEL_SHAPE(3, 2));
  assert_shape(d[1], DUEL_SHAPE(2));
  assert_int_equal(count_op(DUEL_OP_MATMUL), 2);
  assert_int_equal(count_op(DUEL_OP_REDUCE_SUM), 1);
}

static void gradients_stop_at_wrt_values(void **state) {
  (void)state;
  duel_val x = input("x", DUEL_SHAPE(3)), h = duel_exp(g, x), loss = duel_sum(g, duel_mul(g, h, x)), d[2];
  assert_int_equal(duel_grad(g, loss, 2, (duel_val[]){x, h}, d), DUEL_OK);
  assert_int_equal(count_op(DUEL_OP_MUL), 3); // x's and h's own; nothing through exp
  assert_int_equal(count_op(DUEL_OP_ADD), 0);
  assert_int_equal(duel_grad(g, loss, 1, &x, d), DUEL_OK);
  assert_int_equal(count_op(DUEL_OP_MUL), 6);
  assert_int_equal(count_op(DUEL_OP_ADD), 1);
}

static void gradients_stop_at_writers_draws_and_comparisons(void **state) {
  (void)state;
  int p = add_var(DUEL_ARENA_PARAM, "p", DUEL_F32, DUEL_SHAPE(3));
  int key = add_var(DUEL_ARENA_INPUT, "key", DUEL_I32, DUEL_SHAPE(4));
  duel_val p0 = duel_state(g, p), p1 = duel_assign(g, p0, duel_exp(g, p0)), d[3];
  duel_val z = duel_random_normal(g, duel_input(g, key), 2, 0, DUEL_SHAPE(3));
  duel_val mask = duel_less_equal(g, p0, z);
  duel_val loss = duel_sum(g, duel_mul(g, duel_add(g, p1, z), mask));
  assert_int_equal(duel_grad(g, loss, 3, (duel_val[]){p0, p1, z}, d), DUEL_OK);
  assert_int_equal(g->node[g->value[d[0]].node]->op, DUEL_OP_CONSTANT); // p0 acts only through a writer and a mask
  assert_int_equal(g->node[g->value[d[1]].node]->op, DUEL_OP_MUL);
  assert_int_equal(g->node[g->value[d[2]].node]->op, DUEL_OP_MUL);
  duel_val seed = duel_constant(g, DUEL_SCALAR, 1);
  assert_int_equal(duel_grad_seeded(g, 1, &loss, &seed, 1, &p0, d), DUEL_OK);
  assert_int_equal(d[0], DUEL_NONE);
}

static void views_of_a_slab_get_their_own_gradients(void **state) {
  (void)state;
  int p = add_var(DUEL_ARENA_PARAM, "p", DUEL_F32, DUEL_SHAPE(128));
  duel_val slab = duel_state(g, p), w[2], d[2];
  w[0] = duel_view(g, slab, 0, DUEL_SHAPE(3, 2));
  w[1] = duel_view(g, slab, 64, DUEL_SHAPE(2));
  duel_val loss = duel_sum(g, duel_add(g, w[0], w[1]));
  assert_int_equal(duel_grad(g, loss, 2, w, d), DUEL_OK);
  assert_shape(d[0], DUEL_SHAPE(3, 2));
  assert_shape(d[1], DUEL_SHAPE(2)); // summed down
  assert_int_equal(count_op(DUEL_OP_PACK), 0);
  assert_int_equal(duel_grad(g, loss, 1, &slab, d), DUEL_OK);
  assert_shape(d[0], DUEL_SHAPE(128));
  assert_int_equal(count_op(DUEL_OP_PACK), 2);
}

static void gradients_sum_down_batch_dimensions(void **state) {
  (void)state;
  duel_val a = zeros(DUEL_SHAPE(7, 4, 3)), b = zeros(DUEL_SHAPE(5, 1, 2, 3)), d[2];
  duel_val y = duel_matmul(g, a, b, false, true);
  assert_shape(y, DUEL_SHAPE(5, 7, 4, 2));
  assert_int_equal(duel_grad(g, duel_sum(g, y), 2, (duel_val[]){a, b}, d), DUEL_OK);
  assert_shape(d[0], DUEL_SHAPE(7, 4, 3));
  assert_shape(d[1], DUEL_SHAPE(5, 1, 2, 3));
}

static void bad_gradient_requests_are_refused(void **state) {
  (void)state;
  duel_val x = zeros(DUEL_SHAPE(3)), y = duel_exp(g, x), d, seed = zeros(DUEL_SHAPE(2));
  assert_int_equal(duel_grad_seeded(g, 1, &y, &seed, 1, &x, &d), DUEL_ERR_USAGE);
  assert_mistake(d, "grad: the seed has shape 2 and its output 3");
  x = zeros(DUEL_SHAPE(3));
  assert_int_equal(duel_grad(g, x, 1, &x, &d), DUEL_ERR_USAGE);
  assert_mistake(d, "grad: the loss has shape 3 and must be one number");
  x = zeros(DUEL_SCALAR);
  assert_int_equal(duel_grad(g, x, 1, (duel_val[]){99}, &d), DUEL_ERR_USAGE);
  assert_mistake(d, "grad: wrt 0 is no value of this graph");
  x = zeros(DUEL_SCALAR);
  assert_int_equal(duel_grad(g, x, 1, &x, &d), DUEL_OK); // d x/d x = 1
  assert_true(g->node[g->value[d].node]->attr.constant.value > 0);
}

// A fused backward is differentiated through its decomposition, with one value in several roles.
static void an_input_used_twice_counts_once_a_role(void **state) {
  (void)state;
  duel_val x = zeros(DUEL_SHAPE(3, 3)), out[2], d;
  duel_matmul_grad(g, x, x, x, false, false, DUEL_ACT_TANH, 0, out);
  int products = count_op(DUEL_OP_MATMUL);
  assert_int_equal(duel_grad(g, duel_add(g, duel_sum(g, out[0]), duel_sum(g, out[1])), 1, &x, &d), DUEL_OK);
  assert_shape(d, DUEL_SHAPE(3, 3));
  assert_int_equal(count_op(DUEL_OP_MATMUL), products + 3); // the product again, and its two gradients
}

// ---- lack of memory
// Two players, a penalty on the gradient, Adam: enough to pass every allocation of the core.
static duel_status build_step(void) {
  duel_vars v = {0};
  duel_graph *step = NULL;
  int x, p, m, s, coef, out, size = 4096;
  duel_status status = duel_vars_add(&v, DUEL_ARENA_INPUT, "x", DUEL_F32, DUEL_SHAPE(8, 5), &x);
  if (status == DUEL_OK) status = duel_vars_add(&v, DUEL_ARENA_PARAM, "p", DUEL_F32, DUEL_SHAPE(size), &p);
  if (status == DUEL_OK) status = duel_vars_add(&v, DUEL_ARENA_OPT, "m", DUEL_F32, DUEL_SHAPE(size), &m);
  if (status == DUEL_OK) status = duel_vars_add(&v, DUEL_ARENA_OPT, "s", DUEL_F32, DUEL_SHAPE(size), &s);
  if (status == DUEL_OK) status = duel_vars_add(&v, DUEL_ARENA_INPUT, "coef", DUEL_F32, DUEL_SHAPE(8), &coef);
  if (status == DUEL_OK) status = duel_graph_open(&step, &v, DUEL_F32);
  if (status == DUEL_OK) status = duel_vars_add(&v, DUEL_ARENA_OUTPUT, "loss", DUEL_F32, DUEL_SCALAR, &out);
  if (status == DUEL_OK) {
    duel_val slab = duel_state(step, p), w[20], d[20], real = duel_input(step, x), h = real, norm[3], dx, packed, up[4];
    int64_t offset[20];
    for (int i = 0; i < 20; i++) {
      duel_scope(step, "D.%d dense", i);
      offset[i] = 64 * i;
      w[i] = duel_view(step, slab, offset[i], DUEL_SHAPE(5, 5));
      h = duel_dense(step, h, w[i], DUEL_NONE, false, true, DUEL_ACT_LEAKY_RELU, 0.2);
      if (i % 7) continue;
      duel_batchnorm(step, h, duel_view(step, slab, 2048, DUEL_SHAPE(5)), duel_view(step, slab, 2112, DUEL_SHAPE(5)),
                     1e-5, DUEL_ACT_TANH, 0, norm);
      h = norm[0];
    }
    duel_val loss = duel_bce_logits(step, h, 0.9);
    duel_grad(step, loss, 1, &real, &dx);
    loss = duel_add(step, loss, duel_mean(step, duel_mul(step, dx, dx)));
    duel_grad(step, loss, 20, w, d);
    packed = duel_pack(step, 20, d, offset, size);
    duel_adam(step, slab, duel_state(step, m), duel_state(step, s), packed, duel_input(step, coef), up);
    duel_output(step, out, loss);
    status = duel_graph_status(step);
  }
  duel_graph_close(step);
  duel_vars_clear(&v);
  return status;
}

static void every_failed_allocation_is_reported(void **state) {
  (void)state;
  uint64_t before = duel_mem_count();
  assert_int_equal(build_step(), DUEL_OK);
  uint64_t count = duel_mem_count() - before;
  assert_true(count > 10);
  for (int forever = 0; forever < 2; forever++) {
    for (uint64_t n = 1; n <= count; n++) {
      duel_clear_error();
      duel_mem_fail_at(n, forever);
      duel_status status = build_step();
      duel_mem_fail_at(0, 0);
      assert_int_equal(status, DUEL_ERR_DEVICE);
      assert_non_null(strstr(duel_last_error(), "out of memory: cannot allocate"));
    }
  }
  assert_int_equal(build_step(), DUEL_OK);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(every_op_has_a_complete_record),
      TEST(shapes_follow_from_the_inputs),
      TEST(costs_count_work_and_traffic),
      TEST(decompositions_have_the_shapes_of_their_op),
      TEST(mistakes_name_layer_op_and_shapes),
      TEST(mistakes_of_convolutions),
      TEST(mistakes_of_spectral_norm),
      TEST(mistakes_of_resampling),
      TEST(changes_are_checked),
      TEST(mistakes_of_warps),
      TEST(mistakes_of_mirrors),
      TEST(sizes_are_checked_for_overflow),
      TEST(the_first_mistake_stays),
      TEST(labels_come_from_the_scope),
      TEST(variables_lie_aligned_in_their_arena),
      TEST(writers_make_versions),
      TEST(only_the_newest_version_can_be_written),
      TEST(only_needed_gradients_are_built),
      TEST(gradients_stop_at_wrt_values),
      TEST(gradients_stop_at_writers_draws_and_comparisons),
      TEST(views_of_a_slab_get_their_own_gradients),
      TEST(gradients_sum_down_batch_dimensions),
      TEST(bad_gradient_requests_are_refused),
      TEST(an_input_used_twice_counts_once_a_role),
      TEST(every_failed_allocation_is_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
