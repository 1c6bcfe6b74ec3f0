// conv2d, conv2d_act: y = W·patches(x), where patches [C·R·S, pixels of y] are laid out in scratch chunk by chunk
// (conv_patches.cuh) and cuBLAS multiplies. Groups are products of their own.
//
// FLOPs: 2·N·K·P·Q·(C/groups)·R·S in the products; bytes and FLOPs of the rest stand at each kernel.
#include "cuda/kernels/conv_patches.cuh"

// Patches from x, and y side by side in the same launch if `beside` is there. A thread has four columns and a row of
// taps: it writes 4·S numbers. S: the kernel's width where dilation is 1 along it, 0: any. x: the part's first image.
// Reads x's 4 bytes a number, each R·S/(stride²) times but from L1 all but once; writes 4 bytes a number of patches.
// No FLOPs.
template <typename I, int S>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    gather_patches(duel_conv_grid g, const float *__restrict__ x, float *__restrict__ dst, const float *__restrict__ y,
                   float *__restrict__ beside) {
  const I fours = (I)g.m.by_fours.by, rows = (I)g.z.c * (I)g.z.r, width = (I)g.z.w;
  const I units = (rows + (beside ? (I)g.z.k : 0)) * fours;
  for (I unit = (I)duel_first(); unit < units; unit += (I)duel_stride()) {
    const I line = duel_conv_quotient(unit, g.m.by_fours), column = 4 * (unit - line * fours);
    if (line >= rows) {
      duel_conv_lay(g, y, beside, line - rows, column);
      continue;
    }
    const I channel = duel_conv_quotient(line, g.by_r), r = line - channel * (I)g.z.r;
    duel_conv_pixel<I> at = duel_conv_pixel_of(g.m, column);
    I p = duel_conv_quotient(at.pixel, g.m.by_q), q = at.pixel - p * (I)g.m.q;
    float *to = dst + at.image * (I)g.m.next_image + line * (I)g.z.s * (I)g.m.next_row + at.pixel;
    I from[4], left[4]; // x's number under tap 0, and its column; of a row outside, a column far outside
    for (int i = 0; i < 4; i++) {
      const I h = ((I)g.row + p) * (I)g.stride[0] - (I)g.pad[0] + r * (I)g.dilation[0];
      const bool inside = h >= 0 && h < (I)g.z.h && column + i < (I)g.m.count;
      left[i] = q * (I)g.stride[1] - (I)g.pad[1];
      from[i] = inside ? ((at.image * (I)g.z.c + channel) * (I)g.z.h + h) * width + left[i] : 0;
      if (!inside) left[i] = width;
      if (++q == (I)g.m.q) {
        q = 0;
        p++;
      }
      duel_conv_step(g.m, at);
      if (at.pixel == 0) p = 0;
    }
    // As many taps at once as are known, so that their reads are under way together.
    constexpr int AT_ONCE = S > 0 ? S : 1;
    const int taps = S > 0 ? S : (int)g.z.s;
    const I apart = S > 0 ? 1 : (I)g.dilation[1];
    for (int s = 0; s < taps; s += AT_ONCE) {
      float v[AT_ONCE][4];
      for (int j = 0; j < AT_ONCE; j++)
        for (int i = 0; i < 4; i++) {
          const I w = left[i] + (s + j) * apart;
          v[j][i] = w >= 0 && w < width ? x[from[i] + (s + j) * apart] : 0.0f;
        }
      for (int j = 0; j < AT_ONCE; j++, to += (I)g.m.next_row) duel_conv_put(to, v[j]);
    }
  }
}

#define DUEL_CONV_BY_WIDTH(small, s, ...)                                                                              \
  do {                                                                                                                 \
    if (small && (s) == 1) {                                                                                           \
      constexpr int S = 1;                                                                                             \
      using I = int32_t;                                                                                               \
      __VA_ARGS__;                                                                                                     \
    } else if (small && (s) == 3) {                                                                                    \
      constexpr int S = 3;                                                                                             \
      using I = int32_t;                                                                                               \
      __VA_ARGS__;                                                                                                     \
    } else if (small && (s) == 4) {                                                                                    \
      constexpr int S = 4;                                                                                             \
      using I = int32_t;                                                                                               \
      __VA_ARGS__;                                                                                                     \
    } else if (small && (s) == 5) {                                                                                    \
      constexpr int S = 5;                                                                                             \
      using I = int32_t;                                                                                               \
      __VA_ARGS__;                                                                                                     \
    } else if (small) {                                                                                                \
      constexpr int S = 0;                                                                                             \
      using I = int32_t;                                                                                               \
      __VA_ARGS__;                                                                                                     \
    } else {                                                                                                           \
      constexpr int S = 0;                                                                                             \
      using I = int64_t;                                                                                               \
      __VA_ARGS__;                                                                                                     \
    }                                                                                                                  \
  } while (0)

void duel_conv_gather(const duel_call *call, const duel_conv_chunks &k, const duel_conv_part &part,
                      const duel_conv_columns &m, float *dst, const float *y, float *beside) {
  const duel_conv_grid g = duel_conv_grid_of(call, k, part, m);
  const float *x = (const float *)call->in[0].data + part.image * k.z.c * k.z.h * k.z.w;
  const int64_t units = (k.z.c * k.z.r + (beside ? k.z.k : 0)) * m.by_fours.by;
  const int64_t width = g.dilation[1] == 1 ? k.z.s : 0;
  DUEL_CONV_BY_WIDTH(duel_conv_is_small(call, k, part), width,
                     DUEL_LAUNCH(duel_lane_of(call), (gather_patches<I, S>), duel_blocks(units, DUEL_BLOCK), DUEL_BLOCK,
                                 0, g, x, dst, y, beside));
}

// y = act(src + bias): from products side by side, or on the spot. A thread has V neighbors of y, which for V = 4 lies
// without gaps. Reads 4 bytes a number and writes 4; 1 FLOP and the activation's.
template <typename I, int V>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    finish_images(duel_conv_columns m, duel_conv_divisor by_channels, int64_t plane, duel_conv_end e, const float *src,
                  float *y) {
  const I channels = (I)by_channels.by, pixels = (I)m.pixels, count = (I)m.count * channels;
  for (I unit = (I)duel_first(); unit < (count + V - 1) / V; unit += (I)duel_stride()) {
    const I above = duel_conv_quotient((I)(V * unit), m.by_pixels);
    I image = duel_conv_quotient(above, by_channels), channel = above - image * channels,
      pixel = V * unit - above * pixels;
    float *to = V > 1 ? y + V * unit : y + above * (I)plane + pixel;
    float v[V];
    for (int i = 0; i < V; i++) {
      const bool inside = V * unit + i < count;
      v[i] = inside ? src[image * (I)m.next_image + channel * (I)m.next_row + pixel] : 0.0f;
      if (e.bias && inside) v[i] += e.bias[channel];
      v[i] = duel_conv_activate(e, v[i]);
      if (++pixel == pixels) {
        pixel = 0;
        if (++channel == channels) {
          channel = 0;
          image++;
        }
      }
    }
    if (V * unit + V <= count)
      duel_store<V>(to, v, true);
    else
      for (int i = 0; i < V; i++)
        if (V * unit + i < count) to[i] = v[i];
  }
}

// y: the part's first number; its planes are P·Q apart. small: 32-bit indices will do.
static void finish(const duel_call *call, const duel_conv_sizes &z, const duel_conv_columns &m, bool small,
                   const float *src, float *y) {
  const duel_conv_end e = duel_conv_end_of(call);
  const int64_t plane = z.p * z.q, count = m.count * z.k;
  const bool vector = small && m.pixels == plane && duel_aligned16(y);
  const unsigned blocks = duel_blocks(vector ? duel_ceil_div(count, 4) : count, DUEL_BLOCK);
  const duel_conv_divisor channels = duel_conv_divisor_of(z.k);
  duel_lane *lane = duel_lane_of(call);
  if (vector)
    DUEL_LAUNCH(lane, (finish_images<int32_t, 4>), blocks, DUEL_BLOCK, 0, m, channels, plane, e, src, y);
  else if (small)
    DUEL_LAUNCH(lane, (finish_images<int32_t, 1>), blocks, DUEL_BLOCK, 0, m, channels, plane, e, src, y);
  else
    DUEL_LAUNCH(lane, (finish_images<int64_t, 1>), blocks, DUEL_BLOCK, 0, m, channels, plane, e, src, y);
}

static size_t conv2d_scratch(const duel_call *call) {
  return duel_conv_is_thin(call) ? 0 : duel_conv_scratch(call);
}

static void conv2d_run(const duel_call *call) {
  if (duel_conv_is_thin(call)) {
    duel_conv_thin(call);
    return;
  }
  const duel_conv_chunks k = duel_conv_chunks_of(call);
  const duel_conv_sizes &z = k.z;
  const int64_t plane = z.p * z.q;
  float *patches = (float *)call->scratch, *beside = patches + duel_conv_patches_of(k), *y = (float *)call->out[0].data;
  duel_conv_each_chunk(k, z.p, [&](const duel_conv_part &part) {
    const duel_conv_columns m = duel_conv_columns_of(part, part.rows * z.q, z.q, k.beside, z.c * z.r * z.s);
    float *to = y + part.image * z.k * plane + part.row * z.q;
    duel_conv_gather(call, k, part, m, patches, nullptr, nullptr);
    duel_gemm one = {};
    one.m = z.k_group, one.n = m.next_row, one.k = z.depth;
    one.a = (const float *)call->in[1].data;
    one.b = patches;
    one.c = k.beside ? beside : to;
    one.ldc = k.beside ? m.next_row : plane;
    duel_conv_multiply(call, one, k.beside ? 1 : part.images, {0, m.next_image, z.k * plane}, z.groups,
                       {z.k_group * z.depth, z.depth * m.next_row, z.k_group * one.ldc});
    if (k.beside) finish(call, z, m, duel_conv_is_small(call, k, part), beside, to);
  });
  const duel_conv_end e = duel_conv_end_of(call);
  if (!k.beside && (e.bias || e.act != DUEL_ACT_NONE)) // all at once
    finish(call, z, duel_conv_columns_of(duel_conv_part{0, z.n, 0, z.p}, plane, z.q, false, z.k),
           z.n * z.k * plane < DUEL_CONV_SMALL, y, y);
}
const duel_cuda_kernel duel_cuda_conv2d = {conv2d_scratch, conv2d_run};
const duel_cuda_kernel duel_cuda_conv2d_act = {conv2d_scratch, conv2d_run};
