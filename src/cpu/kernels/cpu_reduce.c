// Sums and maxima over any axes. After joining neighbors of one kind the input's axes alternate between kept and
// reduced. Two cases, by the innermost axis:
//   reduced   each output is a sum over "rows": segments of SEGMENT contiguous elements, summed in lanes
//   kept      outputs lie side by side: rows are added to a strip of accumulators, one a column
// Rows are joined in chunks of DUEL_CHUNK_ROWS. Where the outputs alone make too few pieces the rows are split too;
// phase 0 then leaves partial results in scratch [splits, outputs], which phase 1 joins in order.
#include "core/nd.h"
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 16384, SEGMENT = 4096, STRIP = 128, MAX_SPLITS = 64 };

typedef struct layout {
  duel_nd keep, drop; // operand 0: the input. drop walks over rows; without the strip (kept) or segment (reduced)
  int64_t outputs;
  int64_t rows, segments, length; // rows = dropped runs × segments; length of the innermost reduced run
  int64_t width, strips;          // columns of the innermost kept axis, strips of them; 0 if a reduced one is innermost
  int64_t units;                  // of the output: strips, or spans of `span` outputs
  int64_t span, splits;
} layout;

static layout layout_of(const duel_call *call) {
  const duel_shape *shape = &call->in[0].shape;
  const uint32_t axes = call->attr->reduce.axes;
  layout l = {.keep.n = 1, .drop.n = 1, .outputs = 1};
  int64_t stride[DUEL_MAX_RANK], dropped = 1;
  duel_nd_dense(shape, stride);
  int innermost = -1;
  for (int axis = 0; axis < shape->rank; axis++) {
    duel_nd *nd = (axes >> axis & 1) ? &l.drop : &l.keep;
    nd->size[nd->rank] = shape->dim[axis];
    nd->stride[0][nd->rank++] = stride[axis];
    *(nd == &l.drop ? &dropped : &l.outputs) *= shape->dim[axis];
    if (shape->dim[axis] != 1) innermost = axis;
  }
  duel_nd_merge(&l.keep);
  duel_nd_merge(&l.drop);
  if (innermost >= 0 && (axes >> innermost & 1)) { // the last axis of drop is contiguous: it becomes the segments
    l.length = l.drop.size[l.drop.rank - 1];
    l.segments = l.length > 0 ? duel_ceil_div(l.length, SEGMENT) : 1;
    l.drop.size[l.drop.rank - 1] = 1;
    duel_nd_merge(&l.drop);
    l.rows = l.length > 0 ? dropped / l.length * l.segments : 0;
    l.span = duel_min(l.outputs, duel_ceil_div(GRAIN, dropped > 0 ? dropped : 1));
    l.units = l.outputs > 0 ? duel_ceil_div(l.outputs, l.span) : 0;
  } else { // the last axis of keep is contiguous (or everything has size 1)
    l.width = l.keep.size[l.keep.rank - 1];
    l.strips = duel_ceil_div(l.width, STRIP);
    l.keep.size[l.keep.rank - 1] = 1;
    duel_nd_merge(&l.keep);
    l.rows = dropped;
    l.units = l.width > 0 ? l.outputs / l.width * l.strips : 0;
  }
  const int64_t want = l.units > 0 ? duel_pieces(duel_ceil_div(l.outputs * dropped, l.units), GRAIN) : 1;
  l.splits = l.units > MAX_SPLITS ? 1 : duel_min(duel_min(want, MAX_SPLITS), l.rows);
  if (l.splits < 1) l.splits = 1;
  return l;
}

static inline real join(real a, real b, bool max) {
  return max ? (b > a || b != b ? b : a) : a + b;
}

// One segment of n contiguous elements.
static inline real join_segment(const real *src, int64_t n, bool max) {
  const real none = max ? -(real)INFINITY : 0;
  if (n < DUEL_SUM_LANES) {
    real total = none;
    for (int64_t i = 0; i < n; i++) total = join(total, src[i], max);
    return total;
  }
  real lane[DUEL_SUM_LANES];
  for (int j = 0; j < DUEL_SUM_LANES; j++) lane[j] = none;
  int64_t i = 0;
  for (; i + DUEL_SUM_LANES <= n; i += DUEL_SUM_LANES) {
    DUEL_SIMD for (int j = 0; j < DUEL_SUM_LANES; j++) lane[j] = join(lane[j], src[i + j], max);
  }
  for (int j = 0; i + j < n; j++) lane[j] = join(lane[j], src[i + j], max);
  for (int width = DUEL_SUM_LANES / 2; width > 0; width /= 2)
    for (int j = 0; j < width; j++) lane[j] = join(lane[j], lane[j + width], max);
  return lane[0];
}

// Rows [r.begin, r.end) of one output.
static inline real join_rows(const layout *l, const real *src, duel_span r, bool max) {
  const real none = max ? -(real)INFINITY : 0;
  if (r.begin >= r.end) return none;
  duel_nd_at at;
  duel_nd_seek(&l->drop, r.begin / l->segments, &at);
  int64_t segment = r.begin % l->segments;
  real total = none, chunk = none;
  for (int64_t row = r.begin; row < r.end; row++) {
    const int64_t start = segment * SEGMENT;
    chunk = join(chunk, join_segment(src + at.offset[0] + start, duel_min(SEGMENT, l->length - start), max), max);
    if (++segment == l->segments) {
      segment = 0;
      duel_nd_advance(&l->drop, &at, 1);
    }
    if ((row - r.begin + 1) % DUEL_CHUNK_ROWS == 0 || row + 1 == r.end) {
      total = join(total, chunk, max);
      chunk = none;
    }
  }
  return total;
}

// Rows [r.begin, r.end) of n <= STRIP neighboring outputs.
static inline void join_strip(const layout *l, const real *src, duel_span r, int64_t n, real *dst, bool max) {
  const real none = max ? -(real)INFINITY : 0;
  real total[STRIP], chunk[STRIP];
  for (int64_t j = 0; j < n; j++) total[j] = none;
  duel_nd_at at;
  duel_nd_seek(&l->drop, r.begin, &at);
  for (int64_t row = r.begin; row < r.end;) {
    const int64_t stop = duel_min(row + DUEL_CHUNK_ROWS, r.end);
    for (int64_t j = 0; j < n; j++) chunk[j] = none;
    for (; row < stop; row++) {
      const real *x = src + at.offset[0];
      DUEL_SIMD for (int64_t j = 0; j < n; j++) chunk[j] = join(chunk[j], x[j], max);
      duel_nd_advance(&l->drop, &at, 1);
    }
    for (int64_t j = 0; j < n; j++) total[j] = join(total[j], chunk[j], max);
  }
  memcpy(dst, total, (size_t)n * sizeof *dst);
}

static inline void reduce_run(const duel_call *call, const duel_piece *piece, bool max) {
  const layout l = layout_of(call);
  real *partial = call->scratch, *out = call->out[0].data;
  if (piece->phase == 1) {
    const duel_span r = piece->units;
    memcpy(out + r.begin, partial + r.begin, (size_t)(r.end - r.begin) * sizeof *out);
    for (int64_t s = 1; s < l.splits; s++) {
      const real *row = partial + s * l.outputs;
      DUEL_SIMD for (int64_t i = r.begin; i < r.end; i++) out[i] = join(out[i], row[i], max);
    }
    return;
  }
  const int64_t unit = piece->index / l.splits, split = piece->index % l.splits;
  const duel_span rows = {l.rows * split / l.splits, l.rows * (split + 1) / l.splits};
  real *dst = l.splits > 1 ? partial + split * l.outputs : out;
  const real *src = call->in[0].data;
  duel_nd_at at;
  if (l.strips > 0) {
    const int64_t line = unit / l.strips, column = unit % l.strips * STRIP;
    duel_nd_seek(&l.keep, line, &at);
    join_strip(&l, src + at.offset[0] + column, rows, duel_min(STRIP, l.width - column), dst + line * l.width + column,
               max);
    return;
  }
  const int64_t end = duel_min((unit + 1) * l.span, l.outputs);
  duel_nd_seek(&l.keep, unit * l.span, &at);
  for (int64_t o = unit * l.span; o < end; o++) {
    dst[o] = join_rows(&l, src + at.offset[0], rows, max);
    duel_nd_advance(&l.keep, &at, 1);
  }
}

static size_t reduce_scratch(const duel_call *call) {
  const layout l = layout_of(call);
  return l.splits > 1 ? (size_t)(l.splits * l.outputs) * sizeof(real) : 0;
}

static void reduce_cut(const duel_call *call, duel_cut *cut) {
  const layout l = layout_of(call);
  cut[0] = duel_cut_each(l.units * l.splits);
  if (l.splits > 1) cut[1] = duel_cut_elements(l.outputs, GRAIN);
}

static void reduce_sum_run(const duel_call *call, const duel_piece *piece) {
  reduce_run(call, piece, false);
}
const duel_cpu_kernel DUEL_CPU_NAME(reduce_sum) = {.scratch = reduce_scratch, .cut = reduce_cut, .run = reduce_sum_run};

static void reduce_max_run(const duel_call *call, const duel_piece *piece) {
  reduce_run(call, piece, true);
}
const duel_cpu_kernel DUEL_CPU_NAME(reduce_max) = {.scratch = reduce_scratch, .cut = reduce_cut, .run = reduce_max_run};
