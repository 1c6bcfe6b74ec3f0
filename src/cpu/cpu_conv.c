// conv2d: a tile's patches are gathered and multiplied at once, result [K/groups, pixels] = W·patches. Whatever cuts
// the work follows from shapes alone.
#include "cpu/cpu_conv.h"

#include <cblas.h>

// ---- shared with the adjoints
void duel_conv_multiply(int64_t m, int64_t n, int64_t k, duel_factor a, duel_factor b, bool add, real *c, int64_t ldc) {
  const enum CBLAS_TRANSPOSE ta = a.trans ? CblasTrans : CblasNoTrans, tb = b.trans ? CblasTrans : CblasNoTrans;
#ifdef DUEL_REAL_IS_double
  cblas_dgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, 1.0, a.data, (blasint)a.ld, b.data,
              (blasint)b.ld, add ? 1.0 : 0.0, c, (blasint)ldc);
#else
  cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, 1.0f, a.data, (blasint)a.ld, b.data,
              (blasint)b.ld, add ? 1.0f : 0.0f, c, (blasint)ldc);
#endif
}

// The least i >= 0 for which base + i·stride >= bound.
static int64_t first_at_least(int64_t base, int64_t stride, int64_t bound) {
  return base >= bound ? 0 : duel_ceil_div(bound - base, stride);
}

// One row of pixels q of a tile: src[base + q·stride] where that lies in the row of w numbers, zeros elsewhere.
typedef struct span {
  int64_t zeros, copied, n; // so many zeros, then numbers, then zeros up to n
  int64_t from;             // the first number's place in its row
} span;

static span span_of(int64_t base, int64_t stride, int64_t w, duel_range q) {
  const int64_t low = first_at_least(base, stride, 0), high = first_at_least(base, stride, w);
  const int64_t begin = low < q.begin ? q.begin : duel_min(low, q.end), end = duel_min(high, q.end);
  return (span){begin - q.begin, end > begin ? end - begin : 0, q.end - q.begin, base + begin * stride};
}

static inline void copy_row(const span *s, const real *src, int64_t stride, real *dst) {
  int64_t i = 0;
  for (; i < s->zeros; i++) dst[i] = 0;
  dst += s->zeros;
  if (stride == 1) {
    for (i = 0; i < s->copied; i++) dst[i] = src[i];
  } else if (stride == 2) {
    for (i = 0; i < s->copied; i++) dst[i] = src[2 * i];
  } else {
    for (i = 0; i < s->copied; i++) dst[i] = src[i * stride];
  }
  for (; i < s->n - s->zeros; i++) dst[i] = 0;
}

void duel_conv_gather(const duel_patches *f, const duel_tile *t, duel_range depth, real *dst) {
  const int64_t taps = f->down.n * f->right.n, row = duel_length(t->q);
  for (int64_t d = depth.begin; d < depth.end; d++) {
    const int64_t r = d % taps / f->right.n, s = d % f->right.n;
    const span across = span_of(f->right.base + s * f->right.step, f->right.stride, f->w, t->q);
    const real *channel = f->src + d / taps * f->h * f->w;
    for (int64_t n = t->n.begin; n < t->n.end; n++) {
      const real *plane = channel + n * f->image;
      for (int64_t p = t->p.begin; p < t->p.end; p++, dst += row) {
        const int64_t h = f->down.base + r * f->down.step + p * f->down.stride;
        if (h < 0 || h >= f->h || across.copied == 0)
          memset(dst, 0, (size_t)row * sizeof *dst);
        else
          copy_row(&across, plane + h * f->w + across.from, f->right.stride, dst);
      }
    }
  }
}

// ---- conv2d
typedef struct plan {
  duel_conv_sizes z;
  duel_tiles tiles;
  int64_t items, pieces;
  int64_t patches, part; // numbers of gathered patches, and of a piece's whole scratch
} plan;

static plan plan_of(const duel_call *call) {
  plan p = {.z = duel_conv_sizes_of(call)};
  p.tiles = duel_tiles_of(p.z.n, p.z.p, p.z.q);
  p.items = duel_tiles_count(&p.tiles) * p.z.groups;
  p.pieces = duel_conv_pieces(p.items);
  p.patches = duel_min(p.z.depth, DUEL_TILE_DEPTH) * DUEL_TILE_COLUMNS;
  p.part = p.patches + (p.tiles.parts_n < p.z.n ? p.z.k_group * DUEL_TILE_COLUMNS : 0);
  return p;
}

static size_t conv2d_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.pieces * p.part) * sizeof(real);
}

static int conv2d_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  pieces[0] = plan_of(call).pieces;
  return 1;
}

// The pixels of x are the patches: no taps but one, nothing skipped.
static bool is_pointwise(const duel_conv *c, const duel_conv_sizes *z) {
  return z->depth == z->c_group && c->stride[0] == 1 && c->stride[1] == 1 && z->p == z->h && z->q == z->w &&
         c->pad[0] == 0 && c->pad[1] == 0;
}

static void one_tile(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t n_tiles = duel_tiles_count(&p->tiles), group = item / n_tiles, pixels = z->p * z->q;
  const duel_tile t = duel_tile_at(&p->tiles, item % n_tiles);
  const int64_t columns = duel_tile_columns(&t), image = duel_length(t.p) * duel_length(t.q);
  const bool single = duel_length(t.n) == 1; // its result is a block of y
  const duel_patches f = duel_patches_of(call, z, group);
  duel_factor w = {(const real *)call->in[1].data + group * z->k_group * z->depth, z->depth, false};
  real *y = (real *)call->out[0].data + (t.n.begin * z->k + group * z->k_group) * pixels + t.p.begin * z->q + t.q.begin;
  real *dst = single ? y : scratch + p->patches;
  const int64_t ld = single ? pixels : columns;
  if (single && is_pointwise(&call->attr->conv, z)) {
    const duel_factor x = {f.src + t.n.begin * f.image + t.p.begin * z->w + t.q.begin, pixels, false};
    duel_conv_multiply(z->k_group, columns, z->depth, w, x, false, dst, ld);
    return;
  }
  for (int64_t d = 0; d < z->depth; d += DUEL_TILE_DEPTH) {
    const duel_range depth = {d, duel_min(d + DUEL_TILE_DEPTH, z->depth)};
    duel_conv_gather(&f, &t, depth, scratch);
    duel_conv_multiply(z->k_group, columns, duel_length(depth), w, (duel_factor){scratch, columns, false}, d > 0, dst,
                       ld);
    w.data += DUEL_TILE_DEPTH;
  }
  if (single) return;
  for (int64_t n = 0; n < duel_length(t.n); n++)
    for (int64_t k = 0; k < z->k_group; k++)
      memcpy(y + (n * z->k + k) * pixels, dst + k * columns + n * image, (size_t)image * sizeof *y);
}

static void conv2d_run(const duel_call *call, int phase, int64_t piece) {
  (void)phase;
  const plan p = plan_of(call);
  const duel_range items = duel_piece(p.items, 1, p.pieces, piece);
  for (int64_t i = items.begin; i < items.end; i++) one_tile(call, &p, i, (real *)call->scratch + piece * p.part);
}
const duel_kernel DUEL_CPU_NAME(conv2d) = {.scratch = conv2d_scratch, .cut = conv2d_cut, .run = conv2d_run};
