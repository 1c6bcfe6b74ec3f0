// How reductions, column sums and normalizations share out a matrix of rows and columns, and 16-byte accesses.
//
// A block is `wide` columns by DUEL_BLOCK / wide rows of threads. It owns a tile of columns and a span of rows: each
// thread adds up its rows, then duel_column_join adds the threads of a column. Where columns are long and tiles are few
// the rows are split; partial results go to scratch [splits, columns] and a second kernel joins them. All of this
// follows from shapes alone, so that no bit depends on the device, on the order of blocks or on where tensors lie.
#ifndef DUEL_CUDA_KERNELS_COLUMNS_H
#define DUEL_CUDA_KERNELS_COLUMNS_H

#include "cuda/nest.cuh"

// Blocks that a multiprocessor holds, in launch bounds: 64 registers a thread. Left to itself, ptxas spills for more.
constexpr int DUEL_RESIDENT = 4;

struct duel_columns {
  int64_t rows, columns;
  int64_t wide; // columns of a block: a power of two, at most DUEL_WARP
  int64_t tiles, splits, span;
};

static inline int64_t duel_ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// adjacent: neighboring columns lie side by side in memory, and so do a block's threads. Else the rows of one column
// do, and a block takes one column.
static inline duel_columns duel_columns_of(int64_t rows, int64_t columns, bool adjacent) {
  constexpr int64_t TILES = 128, BLOCKS = 512;   // about enough blocks to busy a device
  constexpr int64_t WHOLE = 32 * DUEL_BLOCK;     // reads of a block that are not worth a second kernel
  constexpr int64_t SPLIT = 8 * DUEL_BLOCK;      // reads of a block where rows are split
  constexpr int64_t SECTOR = 32 / sizeof(float); // narrower tiles would read memory that nobody uses
  duel_columns c = {rows, columns, 1, columns, 1, rows};
  if (adjacent) {
    c.wide = DUEL_WARP;
    while (c.wide > 1 && c.wide / 2 >= columns) c.wide /= 2;
    while (c.wide > SECTOR && duel_ceil_div(columns, c.wide) < TILES && rows > DUEL_BLOCK / c.wide) c.wide /= 2;
    c.tiles = duel_ceil_div(columns, c.wide);
  }
  if (rows * c.wide > WHOLE && c.tiles > 0) {
    const int64_t most = duel_ceil_div(rows * c.wide, SPLIT), want = BLOCKS / c.tiles;
    c.splits = want < 1 ? 1 : want < most ? want : most;
    c.span = duel_ceil_div(rows, c.splits);
    c.splits = duel_ceil_div(rows, c.span);
  }
  return c;
}

static inline unsigned duel_columns_grid(const duel_columns *c) {
  return duel_blocks(c->tiles * c->splits, 1);
}

// Bytes of `values` partial results a column; none where rows are not split.
static inline size_t duel_columns_scratch(const duel_columns *c, int values) {
  return c->splits > 1 ? static_cast<size_t>(values * c->splits * c->columns) * sizeof(float) : 0;
}

// dst[j] = the sum or maximum over i of src[i, j]: the second kernel of those that split rows (cuda_reduce.cu).
void duel_cuda_join_columns(duel_lane *lane, bool max, const float *src, int64_t rows, int64_t columns, float *dst);

// What a thread has of work item `item`: its column, its first row, the step to its next one, and their end. Items of
// one split are neighbors.
struct duel_column_part {
  int64_t column, row, end, split;
  int step;
  bool inside; // the last tile may have more threads than columns
};

static __device__ __forceinline__ duel_column_part duel_column_part_of(const duel_columns &c, int64_t item) {
  const int wide = static_cast<int>(c.wide);
  const int x = static_cast<int>(threadIdx.x) & (wide - 1), y = static_cast<int>(threadIdx.x) / wide;
  duel_column_part p;
  p.split = c.splits > 1 ? static_cast<int>(item) / static_cast<int>(c.tiles) : 0; // then items are few
  p.column = (item - p.split * c.tiles) * wide + x;
  p.row = p.split * c.span + y;
  p.end = (p.split + 1) * c.span < c.rows ? (p.split + 1) * c.span : c.rows;
  p.step = DUEL_BLOCK / wide;
  p.inside = p.column < c.columns;
  return p;
}

// ---- where the rows of a column lie in a tensor: on up to three strided axes
// More there are never: neighbors of one kind merge, so that at most every other axis of a tensor belongs to rows.
struct duel_rows {
  int64_t size[3], stride[3]; // outermost first
  int64_t by[3], jump;        // a thread's step, as an index and in elements
  int64_t carry[3];           // what is added where an axis is full
  double inverse[3];          // 1/size
};

static inline duel_rows duel_rows_of(const duel_nd *nd, int64_t step) { // operand 0 of at most three axes
  duel_rows r = {{1, 1, 1}, {0, 0, 0}, {step, 0, 0}, 0, {0, 0, 0}, {1, 1, 1}};
  for (int axis = 0; axis < nd->rank; axis++) {
    r.size[axis + 3 - nd->rank] = nd->size[axis];
    r.stride[axis + 3 - nd->rank] = nd->stride[0][axis];
  }
  for (int axis = 2; axis > 0 && r.size[axis] > 0; axis--) {
    r.by[axis] = r.by[0] % r.size[axis];
    r.by[0] /= r.size[axis];
    r.inverse[axis] = 1.0 / static_cast<double>(r.size[axis]);
    r.carry[axis] = r.stride[axis - 1] - r.size[axis] * r.stride[axis];
  }
  for (int axis = 0; axis < 3; axis++) r.jump += r.by[axis] * r.stride[axis];
  return r;
}

// n / size[axis]. A GPU has no 64-bit division but for a subroutine; n is less than 2⁵³, so that the product is off by
// one at most.
static __device__ __forceinline__ int64_t duel_rows_divide(const duel_rows &r, int axis, int64_t n) {
  int64_t q = static_cast<int64_t>(static_cast<double>(n) * r.inverse[axis]);
  if (q * r.size[axis] > n) q--;
  if (n - q * r.size[axis] >= r.size[axis]) q++;
  return q;
}

// A thread on its way: divisions at its first row, none after.
struct duel_cursor {
  int64_t at, i, j; // place in the tensor; index on the middle and the inner axis
};

static __device__ __forceinline__ duel_cursor duel_cursor_of(const duel_rows &r, int64_t row) {
  const int64_t lines = duel_rows_divide(r, 2, row), planes = duel_rows_divide(r, 1, lines);
  duel_cursor c = {0, lines - planes * r.size[1], row - lines * r.size[2]};
  c.at = planes * r.stride[0] + c.i * r.stride[1] + c.j * r.stride[2];
  return c;
}

static __device__ __forceinline__ void duel_cursor_step(const duel_rows &r, duel_cursor &c) {
  c.at += r.jump;
  c.i += r.by[1];
  c.j += r.by[2];
  if (c.j >= r.size[2]) {
    c.j -= r.size[2];
    c.i++;
    c.at += r.carry[2];
  }
  if (c.i >= r.size[1]) {
    c.i -= r.size[1];
    c.at += r.carry[1];
  }
}

// ---- joining
// The first thread of a column writes what belongs to the column.
static __device__ __forceinline__ bool duel_column_writer(const duel_columns &c, const duel_column_part &p) {
  return p.inside && static_cast<int>(threadIdx.x) < c.wide;
}

// A sum, or a maximum in which NaN wins.
template <bool MAX> static __device__ __forceinline__ float duel_join(float a, float b) {
  if (MAX) return b > a || b != b ? b : a;
  return a + b;
}

// Joins what the threads of a column have; each of them gets the result of one fixed tree. All threads of a block of
// DUEL_BLOCK take part. Has a barrier at its end, so that it may be called again at once.
template <bool MAX> static __device__ __forceinline__ float duel_column_join(float value, const duel_columns &c) {
  DUEL_SHARED(float, part, DUEL_BLOCK); // [warps, wide]
  const int warp = static_cast<int>(threadIdx.x) / DUEL_WARP, lane = static_cast<int>(threadIdx.x) % DUEL_WARP;
  const int wide = static_cast<int>(c.wide), x = lane & (wide - 1);
  for (int offset = DUEL_WARP / 2; offset >= wide; offset /= 2)
    value = duel_join<MAX>(value, __shfl_down_sync(DUEL_FULL_MASK, value, offset));
  if (lane < wide) part[warp * wide + lane] = value;
  __syncthreads();
  value = part[x];
  for (int w = 1; w < DUEL_BLOCK / DUEL_WARP; w++) value = duel_join<MAX>(value, part[w * wide + x]);
  __syncthreads();
  return value;
}

// ---- V neighboring floats at a time: V (4 or 1) follows from shapes, whether they are aligned from where tensors lie
template <int V> static __device__ __forceinline__ void duel_load(float (&v)[V], const float *src, bool aligned) {
  if constexpr (V == 4) {
    if (aligned) return duel_load4(v, src);
  }
  for (int i = 0; i < V; i++) v[i] = src[i];
}

template <int V> static __device__ __forceinline__ void duel_store(float *dst, const float (&v)[V], bool aligned) {
  if constexpr (V == 4) {
    if (aligned) return duel_store4(dst, v);
  }
  for (int i = 0; i < V; i++) dst[i] = v[i];
}

// In front of a loop. The emulator's compilers may know no such pragma.
#ifdef DUEL_EMULATED
#define DUEL_UNROLL(n)
#else
#define DUEL_PRAGMA_(text) _Pragma(#text)
#define DUEL_UNROLL(n) DUEL_PRAGMA_(unroll n)
#endif

// Runs a statement with V as a constant, 4 or 1.
#define DUEL_BY_VECTOR(vector, ...)                                                                                    \
  do {                                                                                                                 \
    if (vector) {                                                                                                      \
      constexpr int V = 4;                                                                                             \
      __VA_ARGS__;                                                                                                     \
    } else {                                                                                                           \
      constexpr int V = 1;                                                                                             \
      __VA_ARGS__;                                                                                                     \
    }                                                                                                                  \
  } while (0)

#endif
