// Spectral normalization and its gradient (core/ops/op_spectral.c has the formulas). The weight is w [blocks, rows,
// run]: its matrix has an element (r, c) at block c / run, row r, place c % run. With rows on axis 0 there is one
// block. A piece owns whole units of w: rows, or blocks where there are some. So one of the two products is whole in a
// piece and of the other it has a part, which JOIN adds to those of the others:
//   BACK      Wᵀ·u    parts [pieces, rest], or whole for the piece's blocks
//   MULTIPLY  W·v     whole for the piece's rows, or parts [pieces, rows]
//   JOIN      of the parts
//   SCALE     every piece finds σ anew and divides its share
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 32768 }; // elements a piece
enum { BACK, MULTIPLY, JOIN, SCALE, ABSENT };

typedef struct layout {
  int64_t blocks, rows, run, rest; // rest = blocks · run, the columns of the matrix
  int64_t units, unit, pieces;     // elements of a unit
  bool advance, whole;             // whole: rows are units
} layout;

static layout layout_of(const duel_call *call, const duel_operand *w) {
  const int axis = call->attr->spectral.axis;
  layout l = {.blocks = axis ? w->shape.dim[0] : 1,
              .rows = w->shape.dim[axis],
              .advance = call->attr->spectral.advance,
              .whole = !axis};
  const int64_t count = duel_count(w);
  l.run = count / (l.blocks * l.rows);
  l.rest = l.blocks * l.run;
  l.units = l.whole ? l.rows : l.blocks;
  l.unit = count / l.units;
  l.pieces = duel_min(duel_pieces(count, GRAIN), l.units);
  return l;
}

// What the run needs beside its results: [rest], [rows], and the parts.
typedef struct room {
  real *back, *image, *part;
} room;

static room room_of(const layout *l, const duel_call *call) {
  real *base = call->scratch;
  return (room){base, base + l->rest, base + l->rest + l->rows};
}

static int64_t joined(const layout *l) {
  return l->whole ? l->rest : l->rows;
}

static size_t spectral_scratch(const duel_call *call) {
  const layout l = layout_of(call, &call->in[0]);
  return (size_t)(l.rest + l.rows + l.pieces * joined(&l)) * sizeof(real);
}

// What a phase does. u and v that stay need no BACK; parts are joined behind the product that makes them.
static int work_of(const layout *l, int phase) {
  static const int all[2][4] = {{BACK, MULTIPLY, JOIN, SCALE}, {BACK, JOIN, MULTIPLY, SCALE}};
  static const int still[2][4] = {{MULTIPLY, JOIN, SCALE, ABSENT}, {MULTIPLY, SCALE, ABSENT, ABSENT}};
  return (l->advance ? all : still)[l->whole][phase];
}

static void spectral_cut(const duel_call *call, duel_cut *cut) {
  const layout l = layout_of(call, &call->in[0]);
  for (int phase = 0; phase < 4 && work_of(&l, phase) != ABSENT; phase++)
    cut[phase] =
        work_of(&l, phase) == JOIN ? duel_cut_elements(joined(&l), GRAIN / 8) : (duel_cut){l.units, 1, l.pieces};
}

// ---- sums
static real dot(int64_t n, const real *a, const real *b) {
  real lane[DUEL_SUM_LANES] = {0};
  if (n < DUEL_SUM_LANES) {
    for (int64_t i = 0; i < n; i++) lane[0] += a[i] * b[i];
    return lane[0];
  }
  DUEL_SUM_RUN(lane, n, a[i] * b[i]);
  return duel_lanes_sum(lane);
}

// 1/max(‖x‖, 1e-12)
static real inverse_norm(int64_t n, const real *x) {
  const real norm = duel_sqrt_real(dot(n, x, x));
  return 1 / (norm > (real)1e-12 ? norm : norm == norm ? (real)1e-12 : norm);
}

// dst += Σ u[i]·row i, rows side by side.
static void add_rows(int64_t rows, int64_t n, const real *w, const real *u, real *dst) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4, w += 4 * n) {
    const real *w1 = w + n, *w2 = w + 2 * n, *w3 = w + 3 * n;
    DUEL_SIMD for (int64_t c = 0; c < n; c++) dst[c] +=
        (u[i] * w[c] + u[i + 1] * w1[c]) + (u[i + 2] * w2[c] + u[i + 3] * w3[c]);
  }
  for (; i < rows; i++, w += n) {
    DUEL_SIMD for (int64_t c = 0; c < n; c++) dst[c] += u[i] * w[c];
  }
}

// ---- the phases
static void back(const layout *l, const duel_call *call, int64_t piece, duel_span s) {
  const real *w = (const real *)call->in[0].data + s.begin * l->unit, *u = call->in[1].data;
  const room r = room_of(l, call);
  real *dst = l->whole ? r.part + piece * l->rest : r.back + s.begin * l->run;
  memset(dst, 0, (size_t)(l->whole ? l->rest : (s.end - s.begin) * l->run) * sizeof *dst);
  if (l->whole) {
    add_rows(s.end - s.begin, l->rest, w, u + s.begin, dst);
    return;
  }
  for (int64_t b = s.begin; b < s.end; b++, w += l->unit, dst += l->run) add_rows(l->rows, l->run, w, u, dst);
}

static void multiply(const layout *l, const duel_call *call, int64_t piece, duel_span s) {
  const real *w = (const real *)call->in[0].data + s.begin * l->unit;
  const room r = room_of(l, call);
  const real *v = l->advance ? r.back : call->in[2].data;
  const real inverse = l->advance ? inverse_norm(l->rest, v) : 1;
  if (l->whole) {
    for (int64_t i = s.begin; i < s.end; i++, w += l->unit) r.image[i] = dot(l->rest, w, v) * inverse;
    return;
  }
  real *dst = r.part + piece * l->rows;
  memset(dst, 0, (size_t)l->rows * sizeof *dst);
  for (int64_t b = s.begin; b < s.end; b++)
    for (int64_t i = 0; i < l->rows; i++, w += l->run) dst[i] += dot(l->run, w, v + b * l->run);
  for (int64_t i = 0; i < l->rows; i++) dst[i] *= inverse;
}

static void join(const layout *l, const duel_call *call, duel_span s) {
  const int64_t n = joined(l);
  const room r = room_of(l, call);
  real *dst = l->whole ? r.back : r.image;
  memcpy(dst + s.begin, r.part + s.begin, (size_t)(s.end - s.begin) * sizeof *dst);
  for (int64_t k = 1; k < l->pieces; k++) {
    const real *part = r.part + k * n;
    DUEL_SIMD for (int64_t i = s.begin; i < s.end; i++) dst[i] += part[i];
  }
}

static void scaled(int64_t n, const real *src, real by, real *dst) {
  DUEL_SIMD for (int64_t i = 0; i < n; i++) dst[i] = src[i] * by;
}

static void scale(const layout *l, const duel_call *call, int64_t piece, duel_span s) {
  const real *w = call->in[0].data, *u = l->advance ? room_of(l, call).image : call->in[1].data;
  const room r = room_of(l, call);
  const real by = l->advance ? inverse_norm(l->rows, u) : 1, sigma = dot(l->rows, u, r.image) * by;
  const duel_span c = duel_share(l->rest, 1, l->pieces, piece);
  const real *v = l->advance ? r.back : call->in[2].data;
  scaled((s.end - s.begin) * l->unit, w + s.begin * l->unit, 1 / sigma, (real *)call->out[0].data + s.begin * l->unit);
  scaled(c.end - c.begin, v + c.begin, l->advance ? inverse_norm(l->rest, v) : 1, (real *)call->out[2].data + c.begin);
  if (piece) return;
  scaled(l->rows, u, by, call->out[1].data);
  *(real *)call->out[3].data = sigma;
}

static void spectral_run(const duel_call *call, const duel_piece *piece) {
  const layout l = layout_of(call, &call->in[0]);
  switch (work_of(&l, piece->phase)) {
  case BACK:
    back(&l, call, piece->index, piece->units);
    break;
  case MULTIPLY:
    multiply(&l, call, piece->index, piece->units);
    break;
  case JOIN:
    join(&l, call, piece->units);
    break;
  default:
    scale(&l, call, piece->index, piece->units);
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(spectral) = {.scratch = spectral_scratch, .cut = spectral_cut, .run = spectral_run};

// ---- the gradient: parts of Σ d_y·y, then (d_y − that·u·vᵀ)/σ
static size_t spectral_grad_scratch(const duel_call *call) {
  return (size_t)layout_of(call, &call->in[1]).pieces * sizeof(real);
}

static void spectral_grad_cut(const duel_call *call, duel_cut *cut) {
  const layout l = layout_of(call, &call->in[1]);
  cut[0] = cut[1] = (duel_cut){l.units, 1, l.pieces};
}

static void spectral_grad_run(const duel_call *call, const duel_piece *piece) {
  const layout l = layout_of(call, &call->in[1]);
  const duel_span s = piece->units;
  const real *d = (const real *)call->in[0].data + s.begin * l.unit, *u = call->in[2].data, *v = call->in[3].data;
  real *part = call->scratch, *dst = (real *)call->out[0].data + s.begin * l.unit, along = 0;
  if (piece->phase == 0) {
    part[piece->index] = dot((s.end - s.begin) * l.unit, d, (const real *)call->in[1].data + s.begin * l.unit);
    return;
  }
  for (int64_t i = 0; i < l.pieces; i++) along += part[i];
  const real inverse = 1 / *(const real *)call->in[4].data;
  const int64_t first = l.whole ? s.begin : 0, rows = l.whole ? s.end - s.begin : l.rows;
  for (int64_t b = l.whole ? 0 : s.begin; b < (l.whole ? 1 : s.end); b++)
    for (int64_t i = 0; i < rows; i++, d += l.run, dst += l.run) {
      const real by = along * u[first + i], *column = v + b * l.run;
      DUEL_SIMD for (int64_t k = 0; k < l.run; k++) dst[k] = (d[k] - by * column[k]) * inverse;
    }
}
const duel_cpu_kernel DUEL_CPU_NAME(spectral_grad) = {
    .scratch = spectral_grad_scratch, .cut = spectral_grad_cut, .run = spectral_grad_run};
