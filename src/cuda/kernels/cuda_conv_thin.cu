// conv2d where a number of y is a sum of few products, as from images of one channel: no patches in memory and no
// cuBLAS, but one launch, in float32 whatever the precision.
#include "cuda/kernels/conv_patches.cuh"

constexpr int KS = 16; // channels of y that a block makes at a time

// An H100 does some 44 multiplications in the time in which it writes a number of y; up to DEEPEST, the product is no
// more than the write.
constexpr int64_t DEEPEST = 32;

static duel_conv_part whole(const duel_conv_sizes &z) {
  return {0, z.n, 0, z.p};
}

bool duel_conv_is_thin(const duel_call *call) {
  duel_conv_chunks k = {};
  k.z = duel_conv_sizes_of(call);
  k.reach = k.z.p;
  return k.z.groups == 1 && k.z.depth <= DEEPEST && duel_conv_is_small(call, k, whole(k.z));
}

// A thread has a pixel of y and holds its patch, DEPTH numbers of which the last may be zeros; a block has KS channels
// and their weights. Reads x's 4 bytes a number, from L1 mostly, K/KS times each of R·S/(stride²) times; writes y's 4
// bytes a number. 2·DEPTH FLOPs a number of y and the end's.
template <int DEPTH>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    thin_conv2d(duel_conv_grid g, duel_conv_end e, const float *__restrict__ x, const float *__restrict__ w,
                float *__restrict__ y) {
  DUEL_SHARED(float4, weight, KS * DEPTH / 4); // [KS, DEPTH]
  const int c = (int)g.z.c, r = (int)g.z.r, s = (int)g.z.s, depth = c * r * s, channels = (int)g.z.k;
  const int plane = (int)g.m.pixels, height = (int)g.z.h, width = (int)g.z.w;
  for (int first = (int)blockIdx.y * KS; first < channels; first += (int)gridDim.y * KS) {
    float *to = reinterpret_cast<float *>(weight);
    for (int i = (int)threadIdx.x; i < KS * DEPTH; i += DUEL_BLOCK) {
      const int k = first + i / DEPTH, d = i % DEPTH;
      to[i] = k < channels && d < depth ? w[k * depth + d] : 0.0f;
    }
    __syncthreads();
    for (int column = (int)duel_first(); column < (int)g.m.count; column += (int)duel_stride()) {
      const duel_conv_pixel<int> at = duel_conv_pixel_of(g.m, column);
      const int p = duel_conv_quotient(at.pixel, g.m.by_q), q = at.pixel - p * (int)g.m.q;
      const int top = p * (int)g.stride[0] - (int)g.pad[0], left = q * (int)g.stride[1] - (int)g.pad[1];
      float patch[DEPTH];
      for (int d = 0, channel = 0, i = 0, j = 0; d < DEPTH; d++) {
        const int row = top + i * (int)g.dilation[0], at_w = left + j * (int)g.dilation[1];
        const bool inside = d < depth && row >= 0 && row < height && at_w >= 0 && at_w < width;
        patch[d] = inside ? x[((at.image * c + channel) * height + row) * width + at_w] : 0.0f;
        if (++j == s) {
          j = 0;
          if (++i == r) {
            i = 0;
            channel++;
          }
        }
      }
      float *dst = y + (at.image * channels + first) * plane + at.pixel;
      for (int k = 0; k < KS && first + k < channels; k++, dst += plane) {
        float sum = 0;
        for (int d = 0; d < DEPTH; d += 4) {
          const float4 v = weight[(k * DEPTH + d) / 4];
          sum += patch[d] * v.x;
          sum += patch[d + 1] * v.y;
          sum += patch[d + 2] * v.z;
          sum += patch[d + 3] * v.w;
        }
        *dst = duel_conv_activate(e, e.bias ? sum + e.bias[first + k] : sum);
      }
    }
    __syncthreads(); // before the next channels' weights
  }
}

void duel_conv_thin(const duel_call *call) {
  duel_conv_chunks k = {};
  k.z = duel_conv_sizes_of(call);
  const duel_conv_sizes &z = k.z;
  const duel_conv_columns m = duel_conv_columns_of(whole(z), z.p * z.q, z.q, true, 0);
  const duel_conv_grid g = duel_conv_grid_of(call, k, whole(z), m);
  const duel_conv_end e = duel_conv_end_of(call);
  const dim3 grid(duel_blocks(m.count, DUEL_BLOCK), duel_blocks(z.k, KS));
  const float *x = (const float *)call->in[0].data, *w = (const float *)call->in[1].data;
  float *y = (float *)call->out[0].data;
  if (z.depth <= 16)
    DUEL_LAUNCH(duel_lane_of(call), thin_conv2d<16>, grid, DUEL_BLOCK, 0, g, e, x, w, y);
  else
    DUEL_LAUNCH(duel_lane_of(call), thin_conv2d<DEEPEST>, grid, DUEL_BLOCK, 0, g, e, x, w, y);
}
