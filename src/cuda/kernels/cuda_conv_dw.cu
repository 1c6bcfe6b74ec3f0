// conv2d_dw: d_w = d_y·patches(x)ᵀ. The images of a chunk stand side by side (conv_patches.cuh), so that one product a
// group sums over them; chunks add up. What pads the columns is zeros in both factors.
#include "cuda/kernels/conv_patches.cuh"

static void conv2d_dw_run(const duel_call *call) {
  const duel_conv_chunks k = duel_conv_chunks_of(call);
  const duel_conv_sizes &z = k.z;
  const int64_t plane = z.p * z.q;
  float *patches = (float *)call->scratch, *beside = patches + duel_conv_patches_of(k);
  duel_conv_each_chunk(k, z.p, [&](const duel_conv_part &part) {
    const duel_conv_columns m = duel_conv_columns_of(part, part.rows * z.q, z.q, true, 0);
    const float *dy = (const float *)call->in[1].data + part.image * z.k * plane + part.row * z.q;
    duel_conv_gather(call, k, part, m, patches, dy, k.beside ? beside : nullptr);
    duel_gemm one = {};
    one.m = z.k_group, one.n = z.depth, one.k = m.next_row;
    one.a = k.beside ? beside : dy;
    one.lda = k.beside ? m.next_row : plane;
    one.b = patches;
    one.trans_b = true;
    one.c = (float *)call->out[0].data;
    one.add = part.image > 0 || part.row > 0;
    one.batch = z.groups;
    one.stride_a = z.k_group * one.lda;
    one.stride_b = z.depth * m.next_row;
    one.stride_c = z.k_group * z.depth;
    duel_cuda_gemm(duel_lane_of(call), &one);
  });
}
const duel_cuda_kernel duel_cuda_conv2d_dw = {duel_conv_scratch, conv2d_dw_run};
