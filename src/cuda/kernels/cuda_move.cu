// Movement: pack, transpose, slice, pad, reflect2d, concat, broadcast. Elements are moved, never computed on but by
// reflect2d's adjoint: 4 bytes read (zeros: none) and 4 written each, no FLOPs. Zero-size tensors launch nothing.
#include "cuda/nest.cuh"

// ---- boxes: copies between two strided operands
static void copy_box(const duel_call *call, const duel_nd *box, float *dst, const float *src) {
  duel_map(duel_lane_of(call), duel_same{}, box, dst, &src);
}

static void broadcast_run(const duel_call *call) {
  duel_element_wise(call, duel_same{});
}
const duel_cuda_kernel duel_cuda_broadcast = {nullptr, broadcast_run};

static void slice_run(const duel_call *call) {
  const duel_operand *src = &call->in[0], *dst = &call->out[0];
  duel_nd box = duel_nd_box(&dst->shape);
  duel_nd_dense(&dst->shape, box.stride[0]);
  duel_nd_dense(&src->shape, box.stride[1]);
  int64_t first = 0;
  for (int axis = 0; axis < box.rank; axis++) first += call->attr->slice.start[axis] * box.stride[1][axis];
  copy_box(call, &box, (float *)dst->data, (const float *)src->data + first);
}
const duel_cuda_kernel duel_cuda_slice = {nullptr, slice_run};

// A launch an input.
static void concat_run(const duel_call *call) {
  const duel_operand *dst = &call->out[0];
  const int axis = call->attr->concat.axis;
  float *to = (float *)dst->data;
  for (int i = 0; i < call->n_in; i++) {
    const duel_operand *src = &call->in[i];
    duel_nd box = duel_nd_box(&src->shape);
    duel_nd_dense(&dst->shape, box.stride[0]);
    duel_nd_dense(&src->shape, box.stride[1]);
    copy_box(call, &box, to, (const float *)src->data);
    to += src->shape.dim[axis] * box.stride[0][axis];
  }
}
const duel_cuda_kernel duel_cuda_concat = {nullptr, concat_run};

// ---- pad
// One walk over the output: inside of the box src, around it zeros. Axes without a margin are joined with the one
// before them. Units are single elements or, if wide, four neighbors: then the last axis counts those.
struct padding {
  int rank;
  bool wide;
  int64_t units, size[DUEL_MAX_RANK], inside[DUEL_MAX_RANK], before[DUEL_MAX_RANK];
};

static __global__ void pad_kernel(padding pad, float *dst, const float *src) {
  for (int64_t unit = duel_first(); unit < pad.units; unit += duel_stride()) {
    int64_t rest = unit, at = 0, step = 1;
    bool inside = true;
    for (int axis = pad.rank - 1; axis >= 0; axis--) {
      const int64_t above = duel_quotient(rest, pad.size[axis]);
      const int64_t index = rest - above * pad.size[axis] - pad.before[axis];
      inside = inside && index >= 0 && index < pad.inside[axis];
      at += index * step;
      step *= pad.inside[axis];
      rest = above;
    }
    if (pad.wide) {
      float x[4] = {};
      if (inside) duel_load4(x, src + 4 * at);
      duel_store4(dst + 4 * unit, x);
    } else {
      dst[unit] = inside ? src[at] : 0.0f;
    }
  }
}

static void pad_run(const duel_call *call) {
  const duel_shape *src = &call->in[0].shape, *dst = &call->out[0].shape;
  padding pad = {};
  for (int axis = 0; axis < dst->rank; axis++) {
    const bool joins = pad.rank > 0 && src->dim[axis] == dst->dim[axis];
    if (!joins) pad.size[pad.rank] = pad.inside[pad.rank] = 1, pad.rank++;
    const int last = pad.rank - 1;
    pad.size[last] *= dst->dim[axis];
    pad.inside[last] *= src->dim[axis];
    pad.before[last] = pad.before[last] * dst->dim[axis] + call->attr->pad.before[axis];
  }
  float *to = (float *)call->out[0].data;
  const float *from = (const float *)call->in[0].data;
  pad.units = duel_count(&call->out[0]);
  if (pad.units == 0) return;
  const int last = pad.rank - 1;
  pad.wide = pad.rank > 0 && (pad.size[last] | pad.inside[last] | pad.before[last]) % 4 == 0 && duel_aligned16(to) &&
             duel_aligned16(from);
  if (pad.wide) pad.units /= 4, pad.size[last] /= 4, pad.inside[last] /= 4, pad.before[last] /= 4;
  DUEL_LAUNCH(duel_lane_of(call), pad_kernel, duel_blocks(pad.units, DUEL_BLOCK), DUEL_BLOCK, 0, pad, to, from);
}
const duel_cuda_kernel duel_cuda_pad = {nullptr, pad_run};

// ---- reflect2d and its adjoint
struct mirror {
  int64_t planes, height, width; // of x
  int64_t above, left, below, right;
};

static __global__ void reflect_kernel(mirror m, float *dst, const float *src) {
  const int64_t rows = m.above + m.height + m.below, columns = m.left + m.width + m.right;
  for (int64_t unit = duel_first(); unit < m.planes * rows * columns; unit += duel_stride()) {
    const int64_t row = duel_quotient(unit, columns), plane = duel_quotient(row, rows);
    const int64_t y = duel_mirrored(row - plane * rows - m.above, m.height);
    dst[unit] = src[(plane * m.height + y) * m.width + duel_mirrored(unit - row * columns - m.left, m.width)];
  }
}

static __global__ void reflect_dx_kernel(mirror m, float *dst, const float *src) {
  const int64_t rows = m.above + m.height + m.below, columns = m.left + m.width + m.right;
  for (int64_t unit = duel_first(); unit < m.planes * m.height * m.width; unit += duel_stride()) {
    const int64_t row = duel_quotient(unit, m.width), plane = duel_quotient(row, m.height);
    float sum = 0;
    for (int k = 0; k < 9; k++) {
      const int64_t y = duel_mirrored_to(k / 3, row - plane * m.height, m.height, m.above, m.below);
      const int64_t x = duel_mirrored_to(k % 3, unit - row * m.width, m.width, m.left, m.right);
      if (y >= 0 && x >= 0) sum += src[(plane * rows + y) * columns + x];
    }
    dst[unit] = sum;
  }
}

static mirror mirror_of(const duel_call *call, const duel_shape *x) {
  const int64_t *pad = call->attr->reflect.pad;
  return mirror{x->dim[0] * x->dim[1], x->dim[2], x->dim[3], pad[0], pad[1], pad[2], pad[3]};
}

static void reflect_run(const duel_call *call) {
  const int64_t units = duel_count(&call->out[0]);
  const mirror m = mirror_of(call, &call->in[0].shape);
  if (units == 0) return;
  DUEL_LAUNCH(duel_lane_of(call), reflect_kernel, duel_blocks(units, DUEL_BLOCK), DUEL_BLOCK, 0, m,
              (float *)call->out[0].data, (const float *)call->in[0].data);
}
const duel_cuda_kernel duel_cuda_reflect2d = {nullptr, reflect_run};

static void reflect_dx_run(const duel_call *call) {
  const int64_t units = duel_count(&call->out[0]);
  const mirror m = mirror_of(call, &call->out[0].shape);
  if (units == 0) return;
  DUEL_LAUNCH(duel_lane_of(call), reflect_dx_kernel, duel_blocks(units, DUEL_BLOCK), DUEL_BLOCK, 0, m,
              (float *)call->out[0].data, (const float *)call->in[0].data);
}
const duel_cuda_kernel duel_cuda_reflect2d_dx = {nullptr, reflect_dx_run};

// ---- transpose
// Where the axis that is contiguous in src is not dst's last, the two span planes that are moved in square tiles
// through shared memory, so that both sides are accessed along their rows. The other axes make the nest of planes.
constexpr int TILE = 32, TILE_ROWS = 8; // a block is TILE by TILE_ROWS threads

struct transposition {
  duel_nest nest;             // dst, src
  int64_t rows, cols;         // of a plane of dst: cols is its last axis, rows is contiguous in src
  int64_t row_step, col_step; // from one row to the next in dst, from one column to the next in src
  int64_t tiles_down, tiles_across;
};

static __global__ void transpose_kernel(transposition p, float *dst, const float *src) {
  DUEL_SHARED(float, tile, TILE *(TILE + 1)); // a column more, so that columns lie in different banks
  const int x = (int)threadIdx.x;
  for (int64_t t = blockIdx.x; t < p.nest.units * p.tiles_down * p.tiles_across; t += gridDim.x) {
    const int64_t above = duel_quotient(t, p.tiles_across), plane = duel_quotient(above, p.tiles_down);
    const int64_t row = (above - plane * p.tiles_down) * TILE, col = (t - above * p.tiles_across) * TILE;
    int64_t at[2];
    duel_nest_seek<2>(p.nest, plane, at);
    for (int y = (int)threadIdx.y; y < TILE; y += TILE_ROWS)
      if (row + x < p.rows && col + y < p.cols)
        tile[y * (TILE + 1) + x] = src[at[1] + (col + y) * p.col_step + row + x];
    __syncthreads();
    for (int y = (int)threadIdx.y; y < TILE; y += TILE_ROWS)
      if (row + y < p.rows && col + x < p.cols)
        dst[at[0] + (row + y) * p.row_step + col + x] = tile[x * (TILE + 1) + y];
    __syncthreads();
  }
}

// The nest is merged, and axis `rows` of it is contiguous in src.
static void transpose_planes(const duel_call *call, duel_nd nd, int rows) {
  const int cols = nd.rank - 1;
  transposition p = {};
  p.rows = nd.size[rows];
  p.cols = nd.size[cols];
  p.row_step = nd.stride[0][rows];
  p.col_step = nd.stride[1][cols];
  p.tiles_down = (p.rows + TILE - 1) / TILE;
  p.tiles_across = (p.cols + TILE - 1) / TILE;
  nd.size[rows] = nd.size[cols] = 1;
  float *dst = (float *)call->out[0].data;
  const float *src = (const float *)call->in[0].data;
  p.nest = duel_nest_of(&nd, nullptr);
  const int64_t tiles = p.nest.units * p.tiles_down * p.tiles_across;
  DUEL_LAUNCH(duel_lane_of(call), transpose_kernel, duel_blocks(tiles, 1), dim3(TILE, TILE_ROWS), 0, p, dst, src);
}

static void transpose_run(const duel_call *call) {
  const duel_operand *src = &call->in[0], *dst = &call->out[0];
  if (duel_count(dst) == 0) return;
  duel_nd nd = duel_nd_box(&dst->shape);
  int64_t stride[DUEL_MAX_RANK];
  duel_nd_dense(&src->shape, stride);
  duel_nd_dense(&dst->shape, nd.stride[0]);
  for (int axis = 0; axis < nd.rank; axis++) nd.stride[1][axis] = stride[call->attr->transpose.perm[axis]];
  duel_nd_merge(&nd);
  int rows = nd.rank - 1;
  while (nd.stride[1][rows] != 1) rows--;
  // In narrow planes most of a tile would be idle, and the cache makes up for short strides.
  const int64_t narrow = TILE_ROWS, last = nd.rank - 1;
  if (rows == last || nd.size[rows] < narrow || nd.size[last] < narrow)
    copy_box(call, &nd, (float *)dst->data, (const float *)src->data);
  else
    transpose_planes(call, nd, rows);
}
const duel_cuda_kernel duel_cuda_transpose = {nullptr, transpose_run};

// ---- flat copies, and pack
enum { MAX_PARTS = 64 }; // a launch

struct pack_part { // of flat memory; src is null for zeros
  float *dst;
  const float *src;
  int64_t count;
};

struct pack_list {
  int n;
  pack_part at[MAX_PARTS];
};
static_assert(sizeof(pack_list) <= 4096, "a kernel's arguments");

// One part a row of blocks.
static __global__ void pack_kernel(pack_list all) {
  const pack_part s = all.at[blockIdx.y];
  const bool wide = ((uintptr_t)s.dst | (uintptr_t)s.src) % 16 == 0;
  const int64_t units = wide ? s.count / 4 : 0;
  for (int64_t i = duel_first(); i < units; i += duel_stride()) {
    float x[4] = {};
    if (s.src) duel_load4(x, s.src + 4 * i);
    duel_store4(s.dst + 4 * i, x);
  }
  for (int64_t i = 4 * units + duel_first(); i < s.count; i += duel_stride()) s.dst[i] = s.src ? s.src[i] : 0.0f;
}

static void pack_flush(duel_lane *lane, pack_list *all) {
  if (all->n == 0) return;
  int64_t longest = 0;
  for (int i = 0; i < all->n; i++) longest = all->at[i].count > longest ? all->at[i].count : longest;
  const dim3 grid(duel_blocks((longest + 3) / 4, DUEL_BLOCK), (unsigned)all->n);
  DUEL_LAUNCH(lane, pack_kernel, grid, DUEL_BLOCK, 0, *all);
  all->n = 0;
}

static void pack_add(duel_lane *lane, pack_list *all, float *dst, const float *src, int64_t count) {
  if (count == 0) return;
  if (all->n == MAX_PARTS) pack_flush(lane, all);
  all->at[all->n++] = pack_part{dst, src, count};
}

void duel_cuda_copy(duel_lane *lane, float *dst, const float *src, int64_t count) {
  pack_list all = {};
  pack_add(lane, &all, dst, src, count);
  pack_flush(lane, &all);
}

// Walks the slab: at each place begins one input, or a gap up to the next one. The planner lets most inputs be computed
// at their place in the slab: those are left alone.
static void pack_run(const duel_call *call) {
  const int64_t *offset = call->attr->pack.offset, count = call->attr->pack.count;
  float *slab = (float *)call->out[0].data;
  pack_list all = {};
  for (int64_t done = 0; done < count;) {
    const float *src = nullptr;
    int64_t end = count;
    for (int i = 0; i < call->n_in; i++) {
      const int64_t size = duel_count(&call->in[i]);
      if (size > 0 && offset[i] == done) {
        src = (const float *)call->in[i].data;
        end = done + size;
        break;
      }
      if (size > 0 && offset[i] > done && offset[i] < end) end = offset[i];
    }
    if (src ? src != slab + done : !call->attr->pack.loose)
      pack_add(duel_lane_of(call), &all, slab + done, src, end - done);
    done = end;
  }
  pack_flush(duel_lane_of(call), &all);
}
const duel_cuda_kernel duel_cuda_pack = {nullptr, pack_run};
