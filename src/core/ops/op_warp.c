// Images under affine maps, one a picture: warp2d(x, map) reads x where the map says, between its pixels, and
// warp2d_dx(d_y, map) is its adjoint. Both are linear in their first input and each is the other's gradient there. The
// map only chooses and gets no gradient: maps are drawn, not learnt. core/ops/warp.h says what is computed: PyTorch's
// grid_sample, bilinear with zeros outside, on the grid of an affine map (Jaderberg et al., "Spatial transformer
// networks", NIPS 2015), whose places are counted in pixels.
//
// Any map is right: one that takes all pixels to one place or line, and one with numbers that are not finite, whose
// places lie outside.
#include "core/ops/op.h"

static bool infer(DUEL_INFER_ARGS) {
  const duel_shape x = duel_in_shape(g, n, 0);
  return duel_need_real(g, n) && duel_need_images(g, n, x) &&
         duel_need_shape(g, n, 1, "the map", DUEL_SHAPE(x.dim[0], 2, 3)) && duel_set_out(g, n, 0, g->real, x);
}

static void vjp(DUEL_VJP_ARGS) {
  if (need[0]) d_in[0] = (n->op == DUEL_OP_WARP2D ? duel_warp2d_dx : duel_warp2d)(g, d_out[0], n->in[1]);
}

// Of a pixel and channel: four products and their sum.
DUEL_RECORD(warp2d, .infer = infer, .vjp = vjp, .flops_out = 8);
DUEL_RECORD(warp2d_dx, .infer = infer, .vjp = vjp, .flops_out = 8);

duel_val duel_warp2d(duel_graph *g, duel_val x, duel_val map) {
  return duel_apply(g, DUEL_OP_WARP2D, 2, (duel_val[]){x, map}, NULL, NULL);
}

duel_val duel_warp2d_dx(duel_graph *g, duel_val d_y, duel_val map) {
  return duel_apply(g, DUEL_OP_WARP2D_DX, 2, (duel_val[]){d_y, map}, NULL, NULL);
}
