// Images resampled, filtered and pooled to means, and the adjoint. Both make every pixel of the result from a few
// neighbors. A row of the result is a weighted sum of rows of the source, the line, of which then columns are summed,
// in one of five ways:
//   REPEAT   each element twice (the common doubling)
//   JOIN     sums of two neighbors (the common halving)
//   DOUBLE   two numbers for each element, of two neighbors each (the common filter, of four taps)
//   HALVE    sums of four neighbors for every second element (the same, the other way)
//   TABLE    all else: a table [taps][columns] of places in the line and weights, made in phase 0. Where a column
//            has fewer taps than others, the rest points to a zero behind the line
// Pieces are runs of rows.
#include "core/ops/resample.h"
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 16384, MAX_PIECES = 64, MARGIN = DUEL_SUM_LANES, FOUR = 4 }; // MARGIN: zeros around a filter's line
typedef enum way { TABLE, REPEAT, JOIN, DOUBLE, HALVE } way;

typedef struct plan {
  duel_resample_axis down, right;
  bool adjoint;
  way way;
  int64_t rows;                  // of all planes of the result
  int32_t height, width;         // of a plane of the result
  int32_t from_rows, from_width; // of a plane of the source
  int64_t taps, pieces;          // taps: the most that a column has, if there is a table
  int64_t line;                  // elements of a piece's line, with the zeros
  const double *tap;             // FIR's
  real scale;                    // of whole numbers, or taps, to weights
} plan;

// An adjoint filter is one with the taps turned around, which goes down where the other goes up.
static int32_t pad_of(const duel_resample_axis *a, bool adjoint) {
  return adjoint ? a->kernel - 1 - a->pad : a->pad;
}

static way way_of_filter(const duel_resample_axis *a, bool adjoint) {
  const int32_t up = adjoint ? a->stride : a->up, down = adjoint ? a->up : a->stride, pad = pad_of(a, adjoint);
  const int32_t from = adjoint ? a->y : a->x, last = ((adjoint ? a->x : a->y) - 1) * down + a->kernel - 1 - pad;
  if (a->kernel != FOUR || up * down != 2 || pad < 0 || pad > MARGIN || last >= up * (from + MARGIN)) return TABLE;
  return up == 2 ? DOUBLE : HALVE;
}

static way way_of(const duel_resample_axis *a, bool adjoint) {
  if (a->mode == DUEL_FIR) return way_of_filter(a, adjoint);
  if (a->mode == DUEL_NEAREST && a->y == 2 * a->x) return adjoint ? JOIN : REPEAT;
  if (a->mode == DUEL_AVERAGE && a->kernel == 2 && a->stride == 2 && a->pad == 0) {
    if (!adjoint && 2 * a->y <= a->x) return JOIN;
    if (adjoint && 2 * a->y == a->x) return REPEAT;
  }
  return TABLE;
}

static duel_reach taps_of(const plan *p, const duel_resample_axis *a, int32_t i) {
  if (a->mode == DUEL_FIR) return p->adjoint ? duel_filter_adjoint_taps(a, i) : duel_filter_taps(a, i);
  return p->adjoint ? duel_axis_adjoint_taps(a, i) : duel_axis_taps(a, i);
}
static real weight_of(const plan *p, const duel_resample_axis *a, int32_t i, int32_t tap) {
  const int32_t y = p->adjoint ? tap : i, x = p->adjoint ? i : tap;
  return a->mode == DUEL_FIR ? (real)p->tap[duel_filter_tap(a, y, x)] : (real)duel_axis_weight(a, y, x);
}

static plan plan_of(const duel_call *call) {
  const duel_shape *from = &call->in[0].shape, *to = &call->out[0].shape;
  plan p = {.adjoint = call->op == DUEL_OP_RESAMPLE2D_DX};
  const duel_shape *x = p.adjoint ? to : from, *y = p.adjoint ? from : to;
  const duel_resampling *r = &call->attr->resample;
  p.down = duel_axis_resampled(r, x, y, 0);
  p.right = duel_axis_resampled(r, x, y, 1);
  p.height = (int32_t)to->dim[2], p.width = (int32_t)to->dim[3];
  p.from_rows = (int32_t)from->dim[2], p.from_width = (int32_t)from->dim[3];
  p.rows = to->dim[0] * to->dim[1] * p.height;
  p.way = way_of(&p.right, p.adjoint);
  p.taps = p.way == TABLE; // a filter may have no pixel in any column
  for (int32_t q = 0; q < p.width && p.way == TABLE; q++) {
    const duel_reach t = taps_of(&p, &p.right, q);
    if (t.end - t.begin > p.taps) p.taps = t.end - t.begin;
  }
  const int64_t in = duel_count(&call->in[0]), out = duel_count(&call->out[0]);
  p.pieces = duel_min(duel_min(duel_pieces(in > out ? in : out, GRAIN), MAX_PIECES), p.rows);
  p.line = duel_ceil_div(p.from_width + 1 + 2 * MARGIN, DUEL_SUM_LANES) * DUEL_SUM_LANES;
  p.tap = r->fir.tap;
  p.scale =
      r->mode == DUEL_FIR ? (real)r->fir.gain : 1 / ((real)duel_axis_whole(&p.down) * (real)duel_axis_whole(&p.right));
  return p;
}

// Scratch: lines [pieces, line], weights [taps, width], places int32 [taps, width].
static size_t resample_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.pieces * p.line) * sizeof(real) + (size_t)(p.taps * p.width) * (sizeof(real) + sizeof(int32_t));
}

static void resample_cut(const duel_call *call, duel_cut *cut) {
  const plan p = plan_of(call);
  if (p.way == TABLE) *cut++ = duel_cut_each(1);
  *cut = (duel_cut){p.rows, 1, p.pieces};
}

static void make_table(const plan *p, real *weight, int32_t *place) {
  for (int32_t q = 0; q < p->width; q++) {
    const duel_reach r = taps_of(p, &p->right, q);
    for (int32_t t = 0; t < p->taps; t++) {
      const bool there = r.begin + t < r.end;
      place[t * p->width + q] = there ? r.begin + t : p->from_width;
      weight[t * p->width + q] = there ? weight_of(p, &p->right, q, r.begin + t) * p->scale : 0;
    }
  }
}

// The weighted sum of a plane's rows r: in the line, or a row as it is.
static const real *sum_rows(const plan *p, const real *plane, int32_t row, duel_reach r, real *line) {
  const int64_t n = p->from_width;
  const real *src = plane + r.begin * n;
  for (int32_t tap = r.begin; tap < r.end; tap++, src += n) {
    const real w = weight_of(p, &p->down, row, tap);
    if (r.end - r.begin == 1 && w == 1 && (p->way == REPEAT || p->way == JOIN)) return src;
    if (tap == r.begin) {
      DUEL_SIMD for (int64_t i = 0; i < n; i++) line[i] = w * src[i];
    } else {
      DUEL_SIMD for (int64_t i = 0; i < n; i++) line[i] += w * src[i];
    }
  }
  return line;
}

// A line among zeros by four taps, to twice the elements or half of them.
static void filter_columns(const plan *p, const real *line, real *dst) {
  const int64_t n = p->width, pad = pad_of(&p->right, p->adjoint);
  real w[FOUR];
  for (int t = 0; t < FOUR; t++) w[t] = (real)p->tap[p->adjoint ? FOUR - 1 - t : t] * p->scale;
  if (p->way == HALVE) {
    const real *x = line - pad;
    DUEL_SIMD for (int64_t i = 0; i < n; i++) dst[i] =
        w[0] * x[2 * i] + w[1] * x[2 * i + 1] + (w[2] * x[2 * i + 2] + w[3] * x[2 * i + 3]);
    return;
  }
  const int64_t odd = pad % 2; // the taps that meet elements in even places of the result
  const real *x = line - pad / 2, *z = x + 1 - odd, e0 = w[odd], e1 = w[odd + 2], o0 = w[1 - odd], o1 = w[3 - odd];
  DUEL_SIMD for (int64_t i = 0; i < n / 2; i++) {
    dst[2 * i] = e0 * x[i] + e1 * x[i + 1];
    dst[2 * i + 1] = o0 * z[i] + o1 * z[i + 1];
  }
  if (n % 2) dst[n - 1] = e0 * x[n / 2] + e1 * x[n / 2 + 1];
}

static void sum_columns(const plan *p, const real *line, const real *weight, const int32_t *place, real *dst) {
  const int64_t n = p->width;
  const real scale = p->scale;
  if (p->way == DOUBLE || p->way == HALVE) {
    filter_columns(p, line, dst);
    return;
  }
  if (p->way == REPEAT) {
    for (int64_t i = 0; i < n / 2; i++) {
      const real v = scale * line[i];
      dst[2 * i] = v;
      dst[2 * i + 1] = v;
    }
    return;
  }
  if (p->way == JOIN) {
    DUEL_SIMD for (int64_t i = 0; i < n; i++) dst[i] = scale * (line[2 * i] + line[2 * i + 1]);
    return;
  }
  DUEL_SIMD for (int64_t i = 0; i < n; i++) dst[i] = weight[i] * line[place[i]];
  for (int64_t t = 1; t < p->taps; t++) {
    weight += n, place += n;
    DUEL_SIMD for (int64_t i = 0; i < n; i++) dst[i] += weight[i] * line[place[i]];
  }
}

static void resample_run(const duel_call *call, const duel_piece *piece) {
  const plan p = plan_of(call);
  real *lines = call->scratch, *weight = lines + p.pieces * p.line, *line = lines + piece->index * p.line + MARGIN;
  int32_t *place = (int32_t *)(weight + p.taps * p.width);
  if (p.way == TABLE && piece->phase == 0) {
    make_table(&p, weight, place);
    return;
  }
  const bool alike = p.down.mode == DUEL_NEAREST || p.down.mode == DUEL_AVERAGE; // all weights of a column
  const duel_span rows = piece->units;
  const real *src = call->in[0].data;
  const int64_t plane = (int64_t)p.from_rows * p.from_width;
  real *dst = (real *)call->out[0].data + rows.begin * p.width;
  memset(line - MARGIN, 0, MARGIN * sizeof *line);
  memset(line + p.from_width, 0, (MARGIN + 1) * sizeof *line);
  duel_reach before = {0, 0}; // what the row above was made of
  for (int64_t row = rows.begin; row < rows.end; row++, dst += p.width) {
    const int32_t i = (int32_t)(row % p.height);
    const duel_reach r = taps_of(&p, &p.down, i);
    if (r.begin >= r.end)
      memset(dst, 0, (size_t)p.width * sizeof *dst);
    else if (i > 0 && alike && r.begin == before.begin && r.end == before.end)
      memcpy(dst, dst - p.width, (size_t)p.width * sizeof *dst);
    else
      sum_columns(&p, sum_rows(&p, src + row / p.height * plane, i, r, line), weight, place, dst);
    before = r;
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(resample2d) = {
    .scratch = resample_scratch, .cut = resample_cut, .run = resample_run};
const duel_cpu_kernel DUEL_CPU_NAME(resample2d_dx) = {
    .scratch = resample_scratch, .cut = resample_cut, .run = resample_run};
