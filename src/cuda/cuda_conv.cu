// Convolutions by matrix products: patches [channels·R·S, pixels] are laid out in scratch and cuBLAS multiplies.
//
//   conv2d     y = W·patches(x)        conv2d_dw  d_w = d_y·patches(x)ᵀ        conv2d_dx  d_x = patches'(Wᵀ·d_y)
//
// where patches' sums, for each pixel of x, what its taps would have read: a gather in fixed order, so no atomics. All
// go through x chunk by chunk: some images or, of large ones, rows. A chunk's patches take 16 MiB at most if a row
// does: a third of an H100's L2, so that what one launch wrote the next one reads from there. Groups are products of
// their own.
//
// FLOPs: 2·N·K·P·Q·(C/groups)·R·S in the products; bytes and FLOPs of the rest stand at each kernel.
#include "cuda/nest.cuh"

extern "C" {
#include "core/conv.h"
}

constexpr int64_t CHUNK_NUMBERS = INT64_C(1) << 22;

static inline int64_t min_of(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static inline int64_t max_of(int64_t a, int64_t b) {
  return a > b ? a : b;
}

// ---- chunks: `images` at a time with all rows, or one image and `rows` of the side that is cut (y's; d_x's in
// conv2d_dx, where `reach` rows of y meet them)
struct conv_chunks {
  duel_conv_sizes z;
  int64_t images, rows, reach;
};

static conv_chunks conv_chunks_of(const duel_call *call) {
  conv_chunks k = {};
  k.z = duel_conv_sizes_of(call);
  const int64_t row = k.z.c * k.z.r * k.z.s * k.z.q, image = row * k.z.p; // numbers
  const bool dx = call->op == DUEL_OP_CONV2D_DX || call->op == DUEL_OP_CONV2D_DX_ACT;
  if (image <= CHUNK_NUMBERS) {
    k.images = min_of(k.z.n, CHUNK_NUMBERS / image);
    k.rows = dx ? k.z.h : k.z.p;
    k.reach = k.z.p;
    return k;
  }
  k.images = 1;
  k.rows = k.reach = max_of(CHUNK_NUMBERS / row, 1);
  if (dx) {
    const int64_t stride = call->attr->conv.stride[0], beyond = (k.z.r - 1) * call->attr->conv.dilation[0];
    k.reach = max_of(k.reach, (beyond + stride - 1) / stride + 1);
    k.rows = min_of((k.reach - 1) * stride - beyond + 1, k.z.h);
    k.reach = min_of(k.reach, k.z.p);
  }
  return k;
}

static int64_t patches_of(const conv_chunks &k) { // numbers
  return k.images * k.z.c * k.z.r * k.z.s * k.reach * k.z.q;
}

// One chunk: images [image, image + images), rows [row, row + rows).
struct conv_part {
  int64_t image, images, row, rows;
};

// What kernels know: a part of the images, all channels.
struct conv_grid {
  duel_conv_sizes z;
  int64_t stride[2], dilation[2], pad[2];
  conv_part part;               // rows of y; of d_x in sum_taps
  int64_t first, reach;         // sum_taps: the rows of y that there are products of
  int64_t next_image, next_row; // of patches, in numbers
};

static conv_grid conv_grid_of(const duel_call *call, const conv_chunks &k, const conv_part &part) {
  const duel_conv *c = &call->attr->conv;
  conv_grid g = {};
  g.z = k.z;
  for (int i = 0; i < 2; i++) {
    g.stride[i] = c->stride[i];
    g.dilation[i] = c->dilation[i];
    g.pad[i] = c->pad[i];
  }
  g.part = part;
  return g;
}

// Calls f(part) for all chunks in order.
template <typename F> static void each_chunk(const conv_chunks &k, int64_t rows, F f) {
  for (int64_t n = 0; n < k.z.n; n += k.images)
    for (int64_t row = 0; row < rows; row += k.rows)
      f(conv_part{n, min_of(k.images, k.z.n - n), row, min_of(k.rows, rows - row)});
}

// ---- patches
// dst [channel, r, s] at next_row, of each image at next_image: a thread has a pixel of y and a channel and writes its
// taps. Reads x's 4 bytes a number, each R·S/(stride²) times but from L1 all but once; writes 4 bytes a number of
// patches. No FLOPs.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    gather_patches(conv_grid g, const float *__restrict__ x, float *__restrict__ dst) {
  const int64_t pixels = g.part.rows * g.z.q, units = g.part.images * g.z.c * pixels;
  for (int64_t unit = duel_first(); unit < units; unit += duel_stride()) {
    const int64_t above = duel_quotient(unit, pixels), pixel = unit - above * pixels;
    const int64_t image = duel_quotient(above, g.z.c), channel = above - image * g.z.c;
    const int64_t p = duel_quotient(pixel, g.z.q), q = pixel - p * g.z.q;
    const int64_t top = (g.part.row + p) * g.stride[0] - g.pad[0], left = q * g.stride[1] - g.pad[1];
    const float *plane = x + ((g.part.image + image) * g.z.c + channel) * g.z.h * g.z.w;
    float *to = dst + image * g.next_image + channel * g.z.r * g.z.s * g.next_row + pixel;
    for (int64_t r = 0; r < g.z.r; r++) {
      const int64_t h = top + r * g.dilation[0];
      for (int64_t s = 0; s < g.z.s; s++, to += g.next_row) {
        const int64_t w = left + s * g.dilation[1];
        *to = h >= 0 && h < g.z.h && w >= 0 && w < g.z.w ? plane[h * g.z.w + w] : 0.0f;
      }
    }
  }
}

static void launch_gather(const duel_call *call, const conv_grid &g, float *dst) {
  const int64_t units = g.part.images * g.z.c * g.part.rows * g.z.q;
  DUEL_LAUNCH(duel_lane_of(call), gather_patches, duel_blocks(units, DUEL_BLOCK), DUEL_BLOCK, 0, g,
              (const float *)call->in[0].data, dst);
}

// The product of every image and group of a part: batched over what there is more of. `one` is that of the first image
// and group; the strides lead to the next image's and to the next group's.
struct conv_steps {
  int64_t a, b, c;
};

static void multiply(const duel_call *call, const duel_gemm &one, int64_t images, conv_steps image, int64_t groups,
                     conv_steps group) {
  const bool by_image = images >= groups;
  const conv_steps inner = by_image ? image : group, outer = by_image ? group : image;
  for (int64_t i = 0; i < (by_image ? groups : images); i++) {
    duel_gemm g = one;
    g.batch = by_image ? images : groups;
    g.stride_a = inner.a, g.stride_b = inner.b, g.stride_c = inner.c;
    g.a += i * outer.a, g.b += i * outer.b, g.c += i * outer.c;
    duel_cuda_gemm(duel_lane_of(call), &g);
  }
}

static size_t patches_scratch(const duel_call *call) {
  return (size_t)patches_of(conv_chunks_of(call)) * sizeof(float);
}

// ---- what follows the sums: act(sum + bias), bias [channels] or none. 4 bytes read and 4 written a number, 1 FLOP and
// the activation's.
template <int ACT> struct conv_finish {
  static constexpr int INPUTS = 1;
  float slope;
  __device__ float operator()(const float *in) const { return duel_act_of<ACT>(in[0], slope); }
};
template <int ACT> struct conv_finish_biased {
  static constexpr int INPUTS = 2;
  float slope;
  __device__ float operator()(const float *in) const { return duel_act_of<ACT>(in[0] + in[1], slope); }
};

static void finish(const duel_call *call, int64_t images, int64_t channels, int64_t pixels) {
  if (call->op != DUEL_OP_CONV2D_ACT && call->op != DUEL_OP_CONV2D_DX_ACT) return;
  const bool biased = call->n_in > 2;
  const int act = call->attr->conv_act.act;
  const float slope = (float)call->attr->conv_act.slope;
  float *y = (float *)call->out[0].data;
  const float *src[] = {y, biased ? (const float *)call->in[2].data : nullptr};
  duel_nd nd = {};
  nd.n = biased ? 3 : 2;
  nd.rank = 3;
  const int64_t size[] = {images, channels, pixels}, stride[] = {channels * pixels, pixels, 1}, bias[] = {0, 1, 0};
  for (int axis = 0; axis < nd.rank; axis++) {
    nd.size[axis] = size[axis];
    nd.stride[0][axis] = nd.stride[1][axis] = stride[axis];
    nd.stride[2][axis] = bias[axis];
  }
  if (biased) {
    DUEL_BY_ACT(act, duel_map(duel_lane_of(call), conv_finish_biased<ACT>{slope}, &nd, y, src));
  } else if (act != DUEL_ACT_NONE) {
    DUEL_BY_ACT(act, duel_map(duel_lane_of(call), conv_finish<ACT>{slope}, &nd, y, src));
  }
}

// ---- conv2d
static void conv2d_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  (void)piece;
  const conv_chunks k = conv_chunks_of(call);
  const duel_conv_sizes &z = k.z;
  float *patches = (float *)call->scratch;
  each_chunk(k, z.p, [&](const conv_part &part) {
    const int64_t columns = part.rows * z.q;
    conv_grid g = conv_grid_of(call, k, part);
    g.next_row = columns;
    g.next_image = z.c * z.r * z.s * columns;
    launch_gather(call, g, patches);
    duel_gemm one = {};
    one.m = z.k_group, one.n = columns, one.k = z.depth;
    one.a = (const float *)call->in[1].data;
    one.b = patches;
    one.c = (float *)call->out[0].data + part.image * z.k * z.p * z.q + part.row * z.q;
    one.ldc = z.p * z.q;
    multiply(call, one, part.images, {0, g.next_image, z.k * z.p * z.q}, z.groups,
             {z.k_group * z.depth, z.depth * columns, z.k_group * z.p * z.q});
  });
  finish(call, z.n, z.k, z.p * z.q);
}
const duel_kernel duel_cuda_conv2d = {patches_scratch, nullptr, conv2d_run};
const duel_kernel duel_cuda_conv2d_act = {patches_scratch, nullptr, conv2d_run};

// ---- conv2d_dw: the images of a chunk stand side by side, so that one product sums over them; chunks add up
static size_t conv2d_dw_scratch(const duel_call *call) {
  const conv_chunks k = conv_chunks_of(call);
  return (size_t)(patches_of(k) + (k.images > 1 ? k.images * k.z.k * k.reach * k.z.q : 0)) * sizeof(float);
}

// d_y's images side by side: [K, images, pixels]. Reads and writes 4 bytes a number.
static void side_by_side(const duel_call *call, const conv_chunks &k, const conv_part &part, float *dst) {
  const int64_t pixels = k.z.p * k.z.q;
  duel_nd nd = {};
  nd.n = 2;
  nd.rank = 3;
  const int64_t size[] = {k.z.k, part.images, pixels}, to[] = {part.images * pixels, pixels, 1},
                from[] = {pixels, k.z.k * pixels, 1};
  for (int axis = 0; axis < nd.rank; axis++) {
    nd.size[axis] = size[axis];
    nd.stride[0][axis] = to[axis];
    nd.stride[1][axis] = from[axis];
  }
  const float *src = (const float *)call->in[1].data + part.image * k.z.k * pixels;
  duel_map(duel_lane_of(call), duel_same{}, &nd, dst, &src);
}

static void conv2d_dw_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  (void)piece;
  const conv_chunks k = conv_chunks_of(call);
  const duel_conv_sizes &z = k.z;
  float *patches = (float *)call->scratch, *gathered = patches + patches_of(k);
  each_chunk(k, z.p, [&](const conv_part &part) {
    const int64_t pixels = part.rows * z.q;
    conv_grid g = conv_grid_of(call, k, part);
    g.next_row = part.images * pixels;
    g.next_image = pixels;
    launch_gather(call, g, patches);
    duel_gemm one = {};
    one.m = z.k_group, one.n = z.depth, one.k = g.next_row;
    one.a = (const float *)call->in[1].data + part.image * z.k * z.p * z.q + part.row * z.q;
    one.lda = z.p * z.q;
    if (part.images > 1) {
      side_by_side(call, k, part, gathered);
      one.a = gathered;
      one.lda = g.next_row;
    }
    one.b = patches;
    one.trans_b = true;
    one.c = (float *)call->out[0].data;
    one.add = part.image > 0 || part.row > 0;
    one.batch = z.groups;
    one.stride_a = z.k_group * one.lda;
    one.stride_b = z.depth * g.next_row;
    one.stride_c = z.k_group * z.depth;
    duel_cuda_gemm(duel_lane_of(call), &one);
  });
}
const duel_kernel duel_cuda_conv2d_dw = {conv2d_dw_scratch, nullptr, conv2d_dw_run};

// ---- conv2d_dx
// A thread has a pixel of d_x and adds up its taps' products, r before s. Reads 4 bytes a number of the products, each
// once; writes d_x's 4 bytes a number; one FLOP a product.
static __global__ void __launch_bounds__(DUEL_BLOCK)
    sum_taps(conv_grid g, const float *__restrict__ products, float *__restrict__ dx) {
  const int64_t pixels = g.part.rows * g.z.w, units = g.part.images * g.z.c * pixels;
  for (int64_t unit = duel_first(); unit < units; unit += duel_stride()) {
    const int64_t above = duel_quotient(unit, pixels), pixel = unit - above * pixels;
    const int64_t image = duel_quotient(above, g.z.c), channel = above - image * g.z.c;
    const int64_t row = duel_quotient(pixel, g.z.w), column = pixel - row * g.z.w, h = g.part.row + row;
    const float *from = products + image * g.next_image + channel * g.z.r * g.z.s * g.next_row;
    float sum = 0;
    for (int64_t r = 0; r < g.z.r; r++) {
      const int64_t y = h + g.pad[0] - r * g.dilation[0];
      if (y < 0) break;
      const int64_t p = duel_quotient(y, g.stride[0]);
      if (p * g.stride[0] != y || p >= g.z.p) continue;
      const float *line = from + r * g.z.s * g.next_row + (p - g.first) * g.z.q;
      for (int64_t s = 0; s < g.z.s; s++, line += g.next_row) {
        const int64_t x = column + g.pad[1] - s * g.dilation[1];
        if (x < 0) break;
        const int64_t q = duel_quotient(x, g.stride[1]);
        if (q * g.stride[1] == x && q < g.z.q) sum += line[q];
      }
    }
    dx[((g.part.image + image) * g.z.c + channel) * g.z.h * g.z.w + h * g.z.w + column] = sum;
  }
}

static void conv2d_dx_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  (void)piece;
  const conv_chunks k = conv_chunks_of(call);
  const duel_conv_sizes &z = k.z;
  const duel_conv *c = &call->attr->conv;
  float *products = (float *)call->scratch;
  each_chunk(k, z.h, [&](const conv_part &part) {
    conv_grid g = conv_grid_of(call, k, part);
    const int64_t low = part.row + c->pad[0] - (z.r - 1) * c->dilation[0];
    g.first = k.rows == z.h ? 0 : low > 0 ? (low + c->stride[0] - 1) / c->stride[0] : 0;
    g.reach = k.rows == z.h ? z.p : min_of((part.row + part.rows - 1 + c->pad[0]) / c->stride[0] + 1, z.p) - g.first;
    if (g.reach < 0) g.reach = 0;
    const int64_t columns = g.reach * z.q;
    g.next_row = columns;
    g.next_image = z.c * z.r * z.s * columns;
    duel_gemm one = {};
    one.m = z.depth, one.n = columns, one.k = z.k_group;
    one.a = (const float *)call->in[1].data;
    one.trans_a = true;
    one.b = (const float *)call->in[0].data + part.image * z.k * z.p * z.q + g.first * z.q;
    one.ldb = z.p * z.q;
    one.c = products;
    multiply(call, one, part.images, {0, z.k * z.p * z.q, g.next_image}, z.groups,
             {z.k_group * z.depth, z.k_group * z.p * z.q, z.depth * columns});
    const int64_t units = part.images * z.c * part.rows * z.w;
    DUEL_LAUNCH(duel_lane_of(call), sum_taps, duel_blocks(units, DUEL_BLOCK), DUEL_BLOCK, 0, g, products,
                (float *)call->out[0].data);
  });
  finish(call, z.n, z.c, z.h * z.w);
}
const duel_kernel duel_cuda_conv2d_dx = {patches_scratch, nullptr, conv2d_dx_run};
const duel_kernel duel_cuda_conv2d_dx_act = {patches_scratch, nullptr, conv2d_dx_run};
