// conv2d_dx, conv2d_dx_act, conv2d_dx_grad: d_x = patches'(Wᵀ·d_y), where patches' sums, for each pixel of x, what its
// taps would have read: a gather in fixed order, so no atomics. Products [C·R·S, pixels of y] are in scratch chunk by
// chunk (conv_patches.cuh), cut by d_x's rows. What follows the sums is done where they are made.
#include "cuda/kernels/conv_patches.cuh"

// What kernels know of a part of d_x and its products.
struct duel_conv_sums {
  duel_conv_sizes z;
  int64_t stride[2], dilation[2], pad[2];
  int64_t row, rows;            // the part's of d_x
  int64_t first, reach;         // the rows of y that there are products of
  int64_t next_row, next_image; // of the products, in numbers
  int64_t images;
  duel_conv_divisor by_stride[2], by_units, by_rows, by_c; // units: V pixels of a row of d_x
};

static __device__ __forceinline__ float duel_conv_ended(const duel_conv_end &e, float sum, int64_t channel,
                                                        int64_t at) {
  if (e.x) return sum * duel_conv_act_slope(e, e.x[at]);
  return duel_conv_activate(e, e.bias ? sum + e.bias[channel] : sum);
}

// Without dilation. Pixels that are a stride apart meet the same taps: pixel x of a row, counted from the padding's
// edge, has those of x mod stride, stride apart, and tap by tap the next pixel of y to the left. So a thread, which has
// V neighbors of a row of d_x, reads just what it sums. It adds r before s. TAPS: how many there are at most, down as
// right; 0: any number. dx, e.x: of the part's first image. Reads 4 bytes a number of the products, each once; writes
// d_x's 4 bytes a number; one FLOP a product and the end's.
template <int V, int TAPS>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    sum_taps(duel_conv_sums g, duel_conv_end e, const float *__restrict__ products, float *__restrict__ dx) {
  const int c = (int)g.z.c, kernel[2] = {(int)g.z.r, (int)g.z.s}, width = (int)g.z.q, next = (int)g.next_row;
  const int stride[2] = {(int)g.stride[0], (int)g.stride[1]};
  const int across = (int)g.by_units.by, units = (int)(g.images * g.z.c * g.rows) * across;
  for (int64_t item = duel_first(); item < units; item += duel_stride()) {
    const int unit = (int)item, line = duel_conv_quotient(unit, g.by_units),
              above = duel_conv_quotient(line, g.by_rows);
    const int w = V * (unit - line * across), h = (int)g.row + line - above * (int)g.rows;
    const int image = duel_conv_quotient(above, g.by_c), channel = above - image * c;
    const int y = h + (int)g.pad[0], x = w + (int)g.pad[1];
    const int down = duel_conv_quotient(y, g.by_stride[0]), right = duel_conv_quotient(x, g.by_stride[1]);
    const int p = down - (int)g.first;
    int r = y - down * stride[0]; // the first tap down
    int q[V], s[V], at[V];        // of the first tap to the right: its pixel of y, itself, its number
    for (int i = 0; i < V; i++) {
      s[i] = i ? s[i - 1] + 1 : x - right * stride[1];
      q[i] = i ? q[i - 1] : right;
      if (i && s[i] == stride[1]) {
        s[i] = 0;
        q[i]++;
      }
      at[i] = s[i] * next + q[i];
    }
    int from = image * (int)g.next_image + (channel * kernel[0] + r) * kernel[1] * next + p * width;
    const int step_down = stride[0] * kernel[1] * next - width, step_right = stride[1] * next - 1;
    float sum[V] = {};
    const int rows = TAPS > 0 ? TAPS : (kernel[0] - r + stride[0] - 1) / stride[0];
    DUEL_UNROLL(TAPS > 0 ? TAPS : 1)
    for (int i = 0; i < rows; i++, r += stride[0], from += step_down) {
      const bool there = r < kernel[0] && (unsigned)(p - i) < (unsigned)g.reach;
      if (TAPS > 0) {
        for (int j = 0; j < TAPS; j++)
          for (int k = 0; k < V; k++)
            if (there && s[k] + j * stride[1] < kernel[1] && (unsigned)(q[k] - j) < (unsigned)width)
              sum[k] += products[from + at[k] + j * step_right];
      } else if (there) {
        for (int k = 0; k < V; k++)
          for (int j = 0, tap = s[k]; tap < kernel[1] && q[k] - j >= 0; j++, tap += stride[1])
            if (q[k] - j < width) sum[k] += products[from + at[k] + j * step_right];
      }
    }
    const int64_t to = ((int64_t)above * (int)g.z.h + h) * (int)g.z.w + w;
    if (e.x) {
      float v[V];
      if (V == 4)
        duel_load<V>(v, e.x + to, true);
      else
        for (int k = 0; k < V; k++) v[k] = e.x[to + k];
      for (int k = 0; k < V; k++) sum[k] *= duel_conv_act_slope(e, v[k]);
    } else {
      const float bias = e.bias ? e.bias[channel] : 0.0f;
      for (int k = 0; k < V; k++) sum[k] = duel_conv_activate(e, e.bias ? sum[k] + bias : sum[k]);
    }
    if (V == 2)
      *reinterpret_cast<float2 *>(dx + to) = make_float2(sum[0], sum[V - 1]);
    else
      duel_store<V>(dx + to, sum, true);
  }
}

// With dilation, and where indices need 64 bits: a thread tries each tap of its pixel.
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    sum_dilated_taps(duel_conv_sums g, duel_conv_end e, const float *__restrict__ products, float *__restrict__ dx) {
  const int64_t pixels = g.rows * g.z.w, units = g.images * g.z.c * pixels;
  for (int64_t unit = duel_first(); unit < units; unit += duel_stride()) {
    const int64_t above = duel_quotient(unit, pixels), pixel = unit - above * pixels;
    const int64_t image = duel_quotient(above, g.z.c), channel = above - image * g.z.c;
    const int64_t row = duel_quotient(pixel, g.z.w), column = pixel - row * g.z.w, h = g.row + row;
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
    const int64_t to = (above * g.z.h + h) * g.z.w + column;
    dx[to] = duel_conv_ended(e, sum, channel, to);
  }
}

template <int V>
static void launch_sums(const duel_call *call, const duel_conv_sums &sums, const duel_conv_end &e,
                        const float *products, float *dx) {
  duel_conv_sums g = sums;
  g.by_units = duel_conv_divisor_of(g.z.w / V);
  duel_lane *lane = duel_lane_of(call);
  const unsigned blocks = duel_blocks(g.images * g.z.c * g.rows * g.by_units.by, DUEL_BLOCK);
  const int64_t down = duel_ceil_div(g.z.r, g.stride[0]), right = duel_ceil_div(g.z.s, g.stride[1]);
  switch (down == right ? down : 0) {
  case 1:
    DUEL_LAUNCH(lane, (sum_taps<V, 1>), blocks, DUEL_BLOCK, 0, g, e, products, dx);
    break;
  case 2:
    DUEL_LAUNCH(lane, (sum_taps<V, 2>), blocks, DUEL_BLOCK, 0, g, e, products, dx);
    break;
  case 3:
    DUEL_LAUNCH(lane, (sum_taps < V, V < 4 ? 3 : 0 >), blocks, DUEL_BLOCK, 0, g, e, products, dx);
    break;
  default:
    DUEL_LAUNCH(lane, (sum_taps<V, 0>), blocks, DUEL_BLOCK, 0, g, e, products, dx);
    break;
  }
}

static void sum_part(const duel_call *call, const duel_conv_chunks &k, const duel_conv_part &part, duel_conv_sums g,
                     const float *products) {
  const duel_conv_sizes &z = k.z;
  const duel_conv *c = &call->attr->conv;
  const int64_t before = part.image * z.c * z.h * z.w;
  float *dx = (float *)call->out[0].data + before;
  duel_conv_end e = duel_conv_end_of(call);
  if (e.x) e.x += before;
  g.z = z;
  for (int i = 0; i < 2; i++) {
    g.stride[i] = c->stride[i];
    g.dilation[i] = c->dilation[i];
    g.pad[i] = c->pad[i];
    g.by_stride[i] = duel_conv_divisor_of(c->stride[i]);
  }
  g.row = part.row;
  g.rows = part.rows;
  g.images = part.images;
  g.by_rows = duel_conv_divisor_of(part.rows);
  g.by_c = duel_conv_divisor_of(z.c);
  const bool aligned = duel_aligned16(dx) && duel_aligned16(e.x);
  const bool near = (c->stride[0] + z.r) * z.s * g.next_row < DUEL_CONV_SMALL &&
                    (c->stride[1] + z.s) * g.next_row < DUEL_CONV_SMALL; // a stride away in the products
  if (c->dilation[0] > 1 || c->dilation[1] > 1 || !near || !duel_conv_is_small(call, k, part))
    DUEL_LAUNCH(duel_lane_of(call), sum_dilated_taps, duel_blocks(part.images * z.c * part.rows * z.w, DUEL_BLOCK),
                DUEL_BLOCK, 0, g, e, products, dx);
  else if (z.w % 4 == 0 && aligned && c->stride[0] * 2 >= z.r) // with more taps there are not enough registers
    launch_sums<4>(call, g, e, products, dx);
  else if (z.w % 2 == 0 && aligned)
    launch_sums<2>(call, g, e, products, dx);
  else
    launch_sums<1>(call, g, e, products, dx);
}

// d_y side by side. Reads and writes 4 bytes a number.
template <typename I>
static __global__ void __launch_bounds__(DUEL_BLOCK, DUEL_RESIDENT)
    lay_beside(duel_conv_grid g, const float *__restrict__ y, float *__restrict__ dst) {
  const I fours = (I)g.m.by_fours.by, units = (I)g.z.k * fours;
  for (I unit = (I)duel_first(); unit < units; unit += (I)duel_stride()) {
    const I k = duel_conv_quotient(unit, g.m.by_fours);
    duel_conv_lay(g, y, dst, k, (I)(4 * (unit - k * fours)));
  }
}

static void launch_lay(const duel_call *call, const duel_conv_chunks &k, const duel_conv_part &part,
                       const duel_conv_columns &m, const float *y, float *dst) {
  const duel_conv_grid g = duel_conv_grid_of(call, k, part, m);
  const unsigned blocks = duel_blocks(k.z.k * m.by_fours.by, DUEL_BLOCK);
  if (duel_conv_is_small(call, k, part))
    DUEL_LAUNCH(duel_lane_of(call), lay_beside<int32_t>, blocks, DUEL_BLOCK, 0, g, y, dst);
  else
    DUEL_LAUNCH(duel_lane_of(call), lay_beside<int64_t>, blocks, DUEL_BLOCK, 0, g, y, dst);
}

static void conv2d_dx_run(const duel_call *call) {
  const duel_conv_chunks k = duel_conv_chunks_of(call);
  const duel_conv_sizes &z = k.z;
  const duel_conv *c = &call->attr->conv;
  const int64_t plane = z.p * z.q;
  float *products = (float *)call->scratch, *beside = products + duel_conv_patches_of(k);
  duel_conv_each_chunk(k, z.h, [&](const duel_conv_part &part) {
    duel_conv_sums g = {};
    const int64_t low = part.row + c->pad[0] - (z.r - 1) * c->dilation[0];
    const int64_t last = (part.row + part.rows - 1 + c->pad[0]) / c->stride[0];
    // With wide padding rows of y meet none of d_x, however few rows of d_x there are: a cut image has no room for
    // them.
    g.first = !k.all_rows && low > 0 ? (low + c->stride[0] - 1) / c->stride[0] : 0;
    g.reach = k.all_rows ? z.p : duel_conv_min(last + 1, z.p) - g.first;
    if (g.reach < 0) g.reach = 0;
    const duel_conv_columns m = duel_conv_columns_of(part, g.reach * z.q, z.q, k.beside, z.c * z.r * z.s);
    const float *dy = (const float *)call->in[0].data + part.image * z.k * plane + g.first * z.q;
    g.next_row = m.next_row;
    g.next_image = m.next_image;
    duel_gemm one = {};
    one.m = z.depth, one.n = m.next_row, one.k = z.k_group;
    one.a = (const float *)call->in[1].data;
    one.trans_a = true;
    one.b = k.beside ? beside : dy;
    one.ldb = k.beside ? m.next_row : plane;
    one.c = products;
    if (k.beside && g.reach > 0) launch_lay(call, k, part, m, dy, beside);
    duel_conv_multiply(call, one, k.beside ? 1 : part.images, {0, z.k * plane, m.next_image}, z.groups,
                       {z.k_group * z.depth, z.k_group * one.ldb, z.depth * m.next_row});
    sum_part(call, k, part, g, products);
  });
}
const duel_cuda_kernel duel_cuda_conv2d_dx = {duel_conv_scratch, conv2d_dx_run};
const duel_cuda_kernel duel_cuda_conv2d_dx_act = {duel_conv_scratch, conv2d_dx_run};
const duel_cuda_kernel duel_cuda_conv2d_dx_grad = {duel_conv_scratch, conv2d_dx_run};
