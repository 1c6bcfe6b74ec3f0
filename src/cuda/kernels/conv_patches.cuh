// What the convolutions (cuda_conv*.cu) share: chunks of the images, how a chunk's pixels lie in a matrix, and the
// kernels that lay them there and take results from there. The matrices' columns are pixels of y, one image's after the
// other's:
//
//   patches [C·R·S, columns]     what each pixel of y meets in x
//   y or d_y [K, columns]        in scratch ("beside"), or in place as images [K, P·Q]
//
// cuBLAS's fast kernels want leading dimensions that are multiples of 4, and pay for whole tiles of 64 or 128 columns.
// So y is in place, and products are batched over images, only where P·Q is a multiple of 4 and at least
// DUEL_CONV_IN_PLACE: there tiles waste less than a copy of y costs (8 bytes a number and a launch, which conv2d_act
// pays in any case). Everything else is laid side by side: one product a group, columns padded with zeros to a multiple
// of 4.
//
// A chunk is some images or, of large ones, rows. Its matrices take 16 MiB each at most if a row does: a third of an
// H100's L2, so that what one launch wrote the next one reads from there.
#ifndef DUEL_CUDA_KERNELS_CONV_PATCHES_H
#define DUEL_CUDA_KERNELS_CONV_PATCHES_H

#include "cuda/kernels/columns.cuh"

extern "C" {
#include "core/ops/conv.h"
}

constexpr int64_t DUEL_CONV_CHUNK = INT64_C(1) << 22; // numbers
constexpr int64_t DUEL_CONV_IN_PLACE = 128;           // pixels of an image
constexpr int64_t DUEL_CONV_SMALL = INT64_C(1) << 30; // what 32-bit indices count, with room for steps

static inline int64_t duel_conv_min(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static inline int64_t duel_conv_max(int64_t a, int64_t b) {
  return a > b ? a : b;
}
static inline int64_t duel_conv_padded(int64_t columns) {
  return duel_ceil_div(columns, 4) * 4;
}

// ---- chunks: `images` at a time with all rows, or one image and `rows` of the side that is cut (y's; d_x's in
// conv2d_dx, where `reach` rows of y meet them)
struct duel_conv_chunks {
  duel_conv_sizes z;
  int64_t images, rows, reach;
  bool beside;   // y is laid side by side
  bool all_rows; // no image is cut
};

static inline duel_conv_chunks duel_conv_chunks_of(const duel_call *call) {
  duel_conv_chunks k = {};
  k.z = duel_conv_sizes_of(call);
  const duel_conv_sizes &z = k.z;
  const bool dx = duel_is_conv2d_dx(call->op), dw = call->op == DUEL_OP_CONV2D_DW;
  int64_t tall = z.c * z.r * z.s; // rows of the taller matrix
  bool whole = tall * z.q * z.p <= DUEL_CONV_CHUNK;
  k.beside = z.p * z.q % 4 != 0 || (!whole && z.q % 4 != 0) ||
             (whole && z.n > 1 && (dw || z.p * z.q < DUEL_CONV_IN_PLACE)); // of conv2d_dw, products sum over images
  if (k.beside) tall = duel_conv_max(tall, z.k);
  const int64_t row = tall * z.q;
  k.all_rows = row * z.p <= DUEL_CONV_CHUNK;
  if (k.all_rows) {
    k.images = duel_conv_min(z.n, DUEL_CONV_CHUNK / (row * z.p));
    k.rows = dx ? z.h : z.p;
    k.reach = z.p;
    return k;
  }
  k.images = 1;
  k.rows = k.reach = duel_conv_max(DUEL_CONV_CHUNK / row, 1);
  if (dx) {
    const int64_t stride = call->attr->conv.stride[0], beyond = (z.r - 1) * call->attr->conv.dilation[0];
    k.reach = duel_conv_max(k.reach, (beyond + stride - 1) / stride + 1);
    k.rows = duel_conv_min((k.reach - 1) * stride - beyond + 1, z.h);
    k.reach = duel_conv_min(k.reach, z.p);
  }
  return k;
}

// Numbers of a chunk's patches, and of its y side by side.
static inline int64_t duel_conv_patches_of(const duel_conv_chunks &k) {
  return k.z.c * k.z.r * k.z.s * duel_conv_padded(k.images * k.reach * k.z.q);
}
static inline int64_t duel_conv_beside_of(const duel_conv_chunks &k) {
  return k.beside ? k.z.k * duel_conv_padded(k.images * k.reach * k.z.q) : 0;
}
static inline size_t duel_conv_scratch(const duel_call *call) {
  const duel_conv_chunks k = duel_conv_chunks_of(call);
  return (size_t)(duel_conv_patches_of(k) + duel_conv_beside_of(k)) * sizeof(float);
}

// One chunk: images [image, image + images), rows [row, row + rows).
struct duel_conv_part {
  int64_t image, images, row, rows;
};

// Calls f(part) for all chunks in order.
template <typename F> static void duel_conv_each_chunk(const duel_conv_chunks &k, int64_t rows, F f) {
  for (int64_t n = 0; n < k.z.n; n += k.images)
    for (int64_t row = 0; row < rows; row += k.rows)
      f(duel_conv_part{n, duel_conv_min(k.images, k.z.n - n), row, duel_conv_min(k.rows, rows - row)});
}

// ---- division by a number that the host knows, by a multiplication (Granlund and Montgomery 1994): exact for
// 0 <= n < 2³¹. With 64-bit indices it is a division.
struct duel_conv_divisor {
  int64_t by;
  uint32_t factor;
  int shift;
};

static inline duel_conv_divisor duel_conv_divisor_of(int64_t by) {
  duel_conv_divisor d = {by, 0, 0};
  if (by < 1 || by >= DUEL_CONV_SMALL) return d; // for 64-bit indices alone
  while ((INT64_C(1) << d.shift) < by) d.shift++;
  d.factor = (uint32_t)(((uint64_t)((INT64_C(1) << d.shift) - by) << 32) / (uint64_t)by + 1);
  return d;
}

static __device__ __forceinline__ int32_t duel_conv_quotient(int32_t n, const duel_conv_divisor &d) {
  return (int32_t)((__umulhi((uint32_t)n, d.factor) + (uint32_t)n) >> d.shift);
}
static __device__ __forceinline__ int64_t duel_conv_quotient(int64_t n, const duel_conv_divisor &d) {
  return n / d.by;
}

// ---- the columns of a part, in fours: one thread's work in a row of a matrix
struct duel_conv_columns {
  int64_t count; // that are pixels; what follows, up to a multiple of 4, is padding
  int64_t pixels, q;
  int64_t next_row, next_image; // of the matrix, in numbers: pixel j of image i stands at i·next_image + j
  duel_conv_divisor by_fours, by_pixels, by_q;
};

// Side by side, or images next_image apart.
static inline duel_conv_columns duel_conv_columns_of(const duel_conv_part &part, int64_t pixels, int64_t q, bool beside,
                                                     int64_t tall) {
  duel_conv_columns m = {};
  m.count = part.images * pixels;
  m.pixels = pixels;
  m.q = q;
  m.next_row = beside ? duel_conv_padded(m.count) : pixels;
  m.next_image = beside ? pixels : tall * pixels;
  m.by_fours = duel_conv_divisor_of(duel_conv_padded(m.count) / 4);
  m.by_pixels = duel_conv_divisor_of(pixels);
  m.by_q = duel_conv_divisor_of(q);
  return m;
}

// A column on its way to the next; `image` and `pixel` are of the part.
template <typename I> struct duel_conv_pixel { I image, pixel; };

template <typename I>
static __device__ __forceinline__ duel_conv_pixel<I> duel_conv_pixel_of(const duel_conv_columns &m, I column) {
  const I image = duel_conv_quotient(column, m.by_pixels);
  return {image, column - image * (I)m.pixels};
}

template <typename I>
static __device__ __forceinline__ void duel_conv_step(const duel_conv_columns &m, duel_conv_pixel<I> &at) {
  at.pixel++;
  if (at.pixel == (I)m.pixels) {
    at.pixel = 0;
    at.image++;
  }
}

// ---- what kernels know of x and y
struct duel_conv_grid {
  duel_conv_sizes z;
  int64_t stride[2], dilation[2], pad[2];
  duel_conv_columns m;
  duel_conv_divisor by_r;
  int64_t row; // the part's first of y
};

static inline duel_conv_grid duel_conv_grid_of(const duel_call *call, const duel_conv_chunks &k,
                                               const duel_conv_part &part, const duel_conv_columns &m) {
  const duel_conv *c = &call->attr->conv;
  duel_conv_grid g = {};
  g.z = k.z;
  for (int i = 0; i < 2; i++) {
    g.stride[i] = c->stride[i];
    g.dilation[i] = c->dilation[i];
    g.pad[i] = c->pad[i];
  }
  g.m = m;
  g.by_r = duel_conv_divisor_of(k.z.r);
  g.row = part.row;
  return g;
}

// Do all indices of a part fit in 32 bits, and x's with its padding?
static inline bool duel_conv_is_small(const duel_call *call, const duel_conv_chunks &k, const duel_conv_part &part) {
  const duel_conv_sizes &z = k.z;
  const duel_conv *c = &call->attr->conv;
  const int64_t columns = duel_conv_padded(part.images * z.q * duel_conv_min(k.reach, z.p));
  return duel_conv_max(z.c * z.r * z.s, z.k) * columns < DUEL_CONV_SMALL &&
         part.images * z.c * z.h * z.w < DUEL_CONV_SMALL && part.images * z.k * z.p * z.q < DUEL_CONV_SMALL &&
         z.p * c->stride[0] + z.r * c->dilation[0] < DUEL_CONV_SMALL &&
         z.q * c->stride[1] + z.s * c->dilation[1] < DUEL_CONV_SMALL && z.h + c->pad[0] < DUEL_CONV_SMALL &&
         z.w + c->pad[1] < DUEL_CONV_SMALL;
}

// Four numbers for the next kernel, by way of L2. Plain assignments nvcc would store one by one here.
static __device__ __forceinline__ void duel_conv_put(float *dst, const float (&v)[4]) {
  __stcg(reinterpret_cast<float4 *>(dst), make_float4(v[0], v[1], v[2], v[3]));
}

// Row k, columns `column` to column + 3 of y side by side. y: the part's first number.
template <typename I>
static __device__ __forceinline__ void duel_conv_lay(const duel_conv_grid &g, const float *__restrict__ y,
                                                     float *__restrict__ dst, I k, I column) {
  const I plane = (I)(g.z.p * g.z.q);
  duel_conv_pixel<I> at = duel_conv_pixel_of(g.m, column);
  float v[4];
  for (int i = 0; i < 4; i++, duel_conv_step(g.m, at))
    v[i] = column + i < (I)g.m.count ? y[(at.image * (I)g.z.k + k) * plane + at.pixel] : 0.0f;
  duel_conv_put(dst + k * (I)g.m.next_row + column, v);
}

// Patches from x, which is in[0], and y side by side in the same launch if `beside` is there; y: the part's first
// number (cuda_conv.cu).
void duel_conv_gather(const duel_call *call, const duel_conv_chunks &k, const duel_conv_part &part,
                      const duel_conv_columns &m, float *dst, const float *y, float *beside);

// ---- conv2d and conv2d_act without patches, where sums are short (cuda_conv_thin.cu)
bool duel_conv_is_thin(const duel_call *call);
void duel_conv_thin(const duel_call *call);

// ---- the product of every image and group of a part
// Batched over what there is more of. `one` is that of the first image and group; the strides lead to the next image's
// and to the next group's.
struct duel_conv_steps {
  int64_t a, b, c;
};

static inline void duel_conv_multiply(const duel_call *call, const duel_gemm &one, int64_t images,
                                      duel_conv_steps image, int64_t groups, duel_conv_steps group) {
  const bool by_image = images >= groups;
  const duel_conv_steps inner = by_image ? image : group, outer = by_image ? group : image;
  for (int64_t i = 0; i < (by_image ? groups : images); i++) {
    duel_gemm g = one;
    g.batch = by_image ? images : groups;
    g.stride_a = inner.a, g.stride_b = inner.b, g.stride_c = inner.c;
    g.a += i * outer.a, g.b += i * outer.b, g.c += i * outer.c;
    duel_cuda_gemm(duel_lane_of(call), &g);
  }
}

// ---- what follows the sums: act(sum + bias[channel]), where bias may be NULL; or sum·act'(x), where x is there
struct duel_conv_end {
  const float *bias, *x;
  int act;
  float slope;
};

static inline duel_conv_end duel_conv_end_of(const duel_call *call) {
  duel_conv_end e = {nullptr, nullptr, DUEL_ACT_NONE, 0};
  const bool grad = call->op == DUEL_OP_CONV2D_DX_GRAD;
  if (!grad && call->op != DUEL_OP_CONV2D_ACT && call->op != DUEL_OP_CONV2D_DX_ACT) return e;
  e.act = call->attr->conv_act.act;
  e.slope = (float)call->attr->conv_act.slope;
  if (grad)
    e.x = (const float *)call->in[2].data;
  else if (call->n_in > 2)
    e.bias = (const float *)call->in[2].data;
  return e;
}

// All threads take the same way.
static __device__ __forceinline__ float duel_conv_activate(const duel_conv_end &e, float v) {
  DUEL_WITH_ACT(e.act, return duel_act_of<ACT>(v, e.slope))
}
static __device__ __forceinline__ float duel_conv_act_slope(const duel_conv_end &e, float x) {
  DUEL_WITH_ACT(e.act, return duel_act_slope_of<ACT>(x, e.slope))
}

#endif
