// conv2d_dx. Pixels of d_x that are a stride apart form a phase: the same taps of the kernel reach them, and from
// neighboring pixels of d_y. So each phase is a convolution of stride 1 with its own taps:
//
//   x[a + stride·i] = Σ over r ≡ r0 of y[i + base + t·step]·w[r],   r = r0 + t·apart
//
// Weights are repacked once a call, [C/groups, K/groups·taps] a phase; then each piece makes its tiles phase by phase.
// Where x has few channels (the last layer of a generator), gathering K/groups channels to make so few numbers is
// waste: there Wᵀ·dY is multiplied as dY lies and each row of products is added where it belongs, in fixed order.
#include "cpu/cpu_conv.h"

enum {
  FEW = 4,               // times fewer channels in x than in y
  BAND_NUMBERS = 1 << 17 // products of a band of rows of x
};

// One axis of one phase.
typedef struct phase {
  int64_t place, pixels; // its pixels are place, place + stride, …
  int64_t first, apart;  // its taps are first, first + apart, …
  duel_taps taps;
} phase;

static int64_t divisor(int64_t a, int64_t b) { // greatest common
  while (b) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

typedef struct axis { // down or right
  int64_t x, kernel, stride, dilation, pad;
  int64_t apart; // from a tap of a phase to its next
  int64_t phases;
} axis;

static axis axis_of(const duel_conv *c, const duel_conv_sizes *z, int right) {
  axis a = {right ? z->w : z->h, right ? z->s : z->r, c->stride[right], c->dilation[right], c->pad[right], 0, 0};
  a.apart = a.stride / divisor(a.stride, a.dilation);
  a.phases = duel_min(a.kernel, a.apart); // that taps reach; the pixels of all others are zeros
  return a;
}

static phase phase_of(const axis *a, int64_t i) {
  phase f = {.first = i, .apart = a->apart};
  f.place = (i * a->dilation - a->pad) % a->stride;
  if (f.place < 0) f.place += a->stride;
  f.pixels = f.place < a->x ? duel_ceil_div(a->x - f.place, a->stride) : 0;
  f.taps.n = duel_ceil_div(a->kernel - i, a->apart);
  f.taps.base = (f.place + a->pad - i * a->dilation) / a->stride; // exact
  f.taps.step = -(a->apart * a->dilation / a->stride);
  f.taps.stride = 1;
  return f;
}

// Taps of the phases before number i.
static int64_t taps_before(const axis *a, int64_t i) {
  int64_t taps = 0;
  for (int64_t k = 0; k < i; k++) taps += duel_ceil_div(a->kernel - k, a->apart);
  return taps;
}

typedef struct plan {
  duel_conv_sizes z;
  axis down, right;
  bool by_rows;        // few channels: products first
  int64_t bands;       // of rows of x, if by rows
  int64_t pack_pieces; // of phase 0, if not
  duel_tiles tiles;    // of a phase's pixels
  int64_t items, pieces;
  int64_t packed;        // numbers of repacked weights in front of the pieces' scratch
  int64_t patches, part; // numbers of gathered patches, and of a piece's whole scratch
} plan;

// The rows of y that reach the rows `h` of x.
static duel_range rows_that_reach(const plan *p, duel_range h) {
  const axis *a = &p->down;
  const int64_t low = h.begin + a->pad - (a->kernel - 1) * a->dilation;
  return (duel_range){low > 0 ? duel_ceil_div(low, a->stride) : 0,
                      duel_min((h.end - 1 + a->pad) / a->stride + 1, p->z.p)};
}

// Rows of x in bands whose products are few enough; 0: that would be mostly the same products twice.
static int64_t bands_of(const plan *p) {
  const axis *a = &p->down;
  const int64_t reach = (a->kernel - 1) * a->dilation, rows = BAND_NUMBERS / (p->z.depth * p->z.q); // of y
  if (rows >= p->z.p) return 1;
  const int64_t band = (rows - 2) * a->stride - reach; // of x
  return band >= 2 * reach && band > 0 ? duel_ceil_div(p->z.h, band) : 0;
}

static plan plan_of(const duel_call *call) {
  plan p = {.z = duel_conv_sizes_of(call)};
  const duel_conv_sizes *z = &p.z;
  p.down = axis_of(&call->attr->conv, z, 0);
  p.right = axis_of(&call->attr->conv, z, 1);
  p.bands = FEW * z->c_group <= z->k_group ? bands_of(&p) : 0;
  p.by_rows = p.bands > 0;
  if (p.by_rows) {
    p.items = z->groups * z->n * p.bands;
    const int64_t band = duel_ceil_div(z->h, p.bands), reach = (p.down.kernel - 1) * p.down.dilation;
    p.part = z->depth * duel_min((band + reach) / p.down.stride + 1, z->p) * z->q;
  } else {
    p.tiles = duel_tiles_of(z->n, duel_ceil_div(z->h, p.down.stride), duel_ceil_div(z->w, p.right.stride));
    p.items = z->groups * duel_tiles_count(&p.tiles);
    p.packed = z->k * z->depth;
    p.pack_pieces = duel_min(duel_pieces(p.packed, 1 << 15), z->c);
    p.patches = duel_min(z->k_group * z->r * z->s, DUEL_TILE_DEPTH) * DUEL_TILE_COLUMNS;
    p.part = p.patches + z->c_group * DUEL_TILE_COLUMNS;
  }
  p.pieces = duel_conv_pieces(p.items);
  return p;
}

static size_t conv2d_dx_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.packed + p.pieces * p.part) * sizeof(real);
}

static int conv2d_dx_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  const plan p = plan_of(call);
  pieces[0] = p.by_rows ? p.pieces : p.pack_pieces;
  pieces[1] = p.pieces;
  return p.by_rows ? 1 : 2;
}

// ---- phases
// Where a phase's weights of a group begin: behind those of all phases before it.
static int64_t packed_at(const plan *p, int64_t group, const phase *down, const phase *right) {
  const int64_t taps =
      taps_before(&p->down, down->first) * p->z.s + down->taps.n * taps_before(&p->right, right->first);
  return (group * p->z.r * p->z.s + taps) * p->z.c_group * p->z.k_group;
}

// The channels `c` of x: dst[c, k, taps] from w[k, c, r, s].
static void pack(const duel_call *call, const plan *p, duel_range channels) {
  const duel_conv_sizes *z = &p->z;
  const int64_t kernel = z->r * z->s;
  for (int64_t i = 0; i < p->down.phases * p->right.phases; i++) {
    const phase down = phase_of(&p->down, i / p->right.phases), right = phase_of(&p->right, i % p->right.phases);
    const int64_t taps = down.taps.n * right.taps.n;
    for (int64_t c = channels.begin; c < channels.end; c++) {
      const int64_t group = c / z->c_group, own = c % z->c_group;
      const real *w = (const real *)call->in[1].data + group * z->k_group * z->depth + own * kernel;
      real *dst = (real *)call->scratch + packed_at(p, group, &down, &right) + own * z->k_group * taps;
      for (int64_t k = 0; k < z->k_group; k++, w += z->depth)
        for (int64_t r = down.first; r < z->r; r += down.apart)
          for (int64_t s = right.first; s < z->s; s += right.apart) *dst++ = w[r * z->s + s];
    }
  }
}

// The pixels of a phase, of every stride of x that begins in `t`.
static duel_range clipped(duel_range t, const phase *f) {
  return (duel_range){duel_min(t.begin, f->pixels), duel_min(t.end, f->pixels)};
}

// src [C/groups, pixels of the tile] to its places in d_x.
static void place(const plan *p, const duel_tile *t, const phase *down, const phase *right, const real *src, real *dx) {
  const duel_conv_sizes *z = &p->z;
  const int64_t columns = duel_tile_columns(t), row = duel_length(t->q), stride = p->right.stride;
  for (int64_t c = 0; c < z->c_group; c++) {
    const real *from = src + c * columns;
    for (int64_t n = t->n.begin; n < t->n.end; n++)
      for (int64_t i = t->p.begin; i < t->p.end; i++, from += row) {
        real *to =
            dx + ((n * z->c + c) * z->h + down->place + i * p->down.stride) * z->w + right->place + t->q.begin * stride;
        if (stride == 2)
          for (int64_t j = 0; j < row; j++) to[2 * j] = from[j];
        else
          for (int64_t j = 0; j < row; j++) to[j * stride] = from[j];
      }
  }
}

// Zeros where no tap reaches: on all pixels of the tile.
static void clear(const plan *p, const duel_tile *t, real *dx) {
  const duel_conv_sizes *z = &p->z;
  const duel_range h = {t->p.begin * p->down.stride, duel_min(t->p.end * p->down.stride, z->h)};
  const duel_range w = {t->q.begin * p->right.stride, duel_min(t->q.end * p->right.stride, z->w)};
  for (int64_t n = t->n.begin; n < t->n.end; n++)
    for (int64_t c = 0; c < z->c_group; c++)
      for (int64_t i = h.begin; i < h.end; i++)
        memset(dx + ((n * z->c + c) * z->h + i) * z->w + w.begin, 0, (size_t)duel_length(w) * sizeof *dx);
}

static void one_phase(const duel_call *call, const plan *p, const duel_tile *whole, int64_t group, const phase *down,
                      const phase *right, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const duel_tile t = {whole->n, clipped(whole->p, down), clipped(whole->q, right)};
  const int64_t columns = duel_tile_columns(&t), all = z->k_group * down->taps.n * right->taps.n;
  if (columns == 0) return;
  const duel_patches f = {.src = (const real *)call->in[0].data + group * z->k_group * z->p * z->q,
                          .image = z->k * z->p * z->q,
                          .h = z->p,
                          .w = z->q,
                          .down = down->taps,
                          .right = right->taps};
  duel_factor w = {(const real *)call->scratch + packed_at(p, group, down, right), all, false};
  real *dx = (real *)call->out[0].data + group * z->c_group * z->h * z->w, *dst = scratch + p->patches;
  int64_t ld = columns;
  const bool direct = p->down.stride == 1 && p->right.stride == 1 && duel_length(t.n) == 1; // a block of d_x
  if (direct) {
    dst = dx + t.n.begin * z->c * z->h * z->w + t.p.begin * z->w + t.q.begin;
    ld = z->h * z->w;
  }
  for (int64_t d = 0; d < all; d += DUEL_TILE_DEPTH) {
    const duel_range depth = {d, duel_min(d + DUEL_TILE_DEPTH, all)};
    duel_conv_gather(&f, &t, depth, scratch);
    duel_conv_multiply(z->c_group, columns, duel_length(depth), w, (duel_factor){scratch, columns, false}, d > 0, dst,
                       ld);
    w.data += DUEL_TILE_DEPTH;
  }
  if (!direct) place(p, &t, down, right, dst, dx);
}

static void one_tile(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const int64_t n_tiles = duel_tiles_count(&p->tiles), group = item / n_tiles;
  const duel_tile t = duel_tile_at(&p->tiles, item % n_tiles);
  if (p->down.phases < p->down.stride || p->right.phases < p->right.stride)
    clear(p, &t, (real *)call->out[0].data + group * p->z.c_group * p->z.h * p->z.w);
  for (int64_t i = 0; i < p->down.phases * p->right.phases; i++) {
    const phase down = phase_of(&p->down, i / p->right.phases), right = phase_of(&p->right, i % p->right.phases);
    one_phase(call, p, &t, group, &down, &right, scratch);
  }
}

// ---- by rows
// Adds the products [C/groups·R·S, rows of y `reach`] to the rows `h` of one image's d_x, tap after tap.
static void add_products(const duel_call *call, const plan *p, duel_range h, duel_range reach, const real *products,
                         real *dx) {
  const duel_conv *conv = &call->attr->conv;
  const duel_conv_sizes *z = &p->z;
  const int64_t stride = p->right.stride;
  for (int64_t c = 0; c < z->c_group; c++, dx += z->h * z->w) {
    memset(dx + h.begin * z->w, 0, (size_t)(duel_length(h) * z->w) * sizeof *dx);
    for (int64_t r = 0; r < z->r; r++)
      for (int64_t s = 0; s < z->s; s++) {
        const int64_t left = s * conv->dilation[1] - conv->pad[1]; // of y's column 0 in x
        const int64_t begin = left < 0 ? duel_ceil_div(-left, stride) : 0;
        const int64_t end = left < z->w ? duel_min(duel_ceil_div(z->w - left, stride), z->q) : 0;
        for (int64_t i = reach.begin; i < reach.end; i++, products += z->q) {
          const int64_t row = i * conv->stride[0] - conv->pad[0] + r * conv->dilation[0];
          if (row < h.begin || row >= h.end) continue;
          real *to = dx + row * z->w + left;
          if (stride == 2)
            for (int64_t j = begin; j < end; j++) to[2 * j] += products[j];
          else
            for (int64_t j = begin; j < end; j++) to[j * stride] += products[j];
        }
      }
  }
}

static void one_band(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t band = item % p->bands, n = item / p->bands % z->n, group = item / p->bands / z->n;
  const duel_range h = duel_piece(z->h, 1, p->bands, band), reach = rows_that_reach(p, h);
  const int64_t columns = reach.end > reach.begin ? duel_length(reach) * z->q : 0, pixels = z->p * z->q;
  const duel_factor w = {(const real *)call->in[1].data + group * z->k_group * z->depth, z->depth, true};
  const duel_factor dy = {
      (const real *)call->in[0].data + (n * z->k + group * z->k_group) * pixels + reach.begin * z->q, pixels, false};
  real *dx = (real *)call->out[0].data + (n * z->c + group * z->c_group) * z->h * z->w;
  if (columns > 0) duel_conv_multiply(z->depth, columns, z->k_group, w, dy, false, scratch, columns);
  add_products(call, p, h, reach, scratch, dx);
}

static void conv2d_dx_run(const duel_call *call, int phase_of_call, int64_t piece) {
  const plan p = plan_of(call);
  if (!p.by_rows && phase_of_call == 0) {
    pack(call, &p, duel_piece(p.z.c, 1, p.pack_pieces, piece));
    return;
  }
  const duel_range items = duel_piece(p.items, 1, p.pieces, piece);
  real *scratch = (real *)call->scratch + p.packed + piece * p.part;
  for (int64_t i = items.begin; i < items.end; i++)
    if (p.by_rows)
      one_band(call, &p, i, scratch);
    else
      one_tile(call, &p, i, scratch);
}
const duel_kernel DUEL_CPU_NAME(conv2d_dx) = {.scratch = conv2d_dx_scratch, .cut = conv2d_dx_cut, .run = conv2d_dx_run};
