// conv2d_dx, conv2d_dx_act, conv2d_dx_grad. Pixels of d_x that are a stride apart form a phase: the same taps of the
// kernel reach them, and from neighboring pixels of d_y. So each phase is a convolution of stride 1 with its own taps:
//
//   x[a + stride·i] = Σ over r ≡ r0 of y[i + base + t·step]·w[r],   r = r0 + t·apart
//
// Weights are packed once a call, phase by phase; then each piece makes its tiles phase by phase, by Winograd's
// filtering where every phase has two taps each way.
// Where x has few channels (the last layer of a generator), gathering K/groups channels to make so few numbers is
// waste: there Wᵀ·dY is multiplied as dY lies and each row of products is added where it belongs, in fixed order.
#include "cpu/products/cpu_winograd.h"

enum {
  FEW = 4,                // times fewer channels in x than in y
  BAND_NUMBERS = 1 << 17, // products of a band of rows of x
  TILE_PIXELS = 1024,     // of x in a tile
  LEAST_COLUMNS = 16,     // of a phase, whatever the strides
};

// One axis of one phase.
typedef struct phase {
  int64_t place, pixels; // its pixels are place, place + stride, …
  int64_t last, apart;   // its taps are last, last − apart, …
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

// y's pixels are taken in rising order, so the taps are the phase's from its last to its first.
static phase phase_of(const axis *a, int64_t i) {
  phase f = {.apart = a->apart};
  const int64_t n = duel_ceil_div(a->kernel - i, a->apart);
  f.place = (i * a->dilation - a->pad) % a->stride;
  if (f.place < 0) f.place += a->stride;
  f.pixels = f.place < a->x ? duel_ceil_div(a->x - f.place, a->stride) : 0;
  f.last = i + (n - 1) * a->apart;
  f.taps.n = n;
  f.taps.step = a->apart * a->dilation / a->stride;
  f.taps.base = (f.place + a->pad - i * a->dilation) / a->stride - (n - 1) * f.taps.step; // exact
  f.taps.stride = 1;
  return f;
}

typedef struct plan {
  duel_conv_sizes z;
  axis down, right;
  bool by_rows;                // few channels: products first
  int64_t bands;               // of rows of x, if by rows
  int64_t phases, pack_pieces; // of the call's phase 0, if not
  duel_tiles tiles;            // of a phase's pixels
  bool by_winograd;
  bool together;          // all phases' taps meet neighbors, so that y is lowered once for all
  duel_patches all;       // what all phases meet, of group 0
  duel_lowering lowering; // of all
  int64_t items, pieces;
  int64_t packed;   // numbers or units of a group's packed weights; all groups' lie in front of the pieces' scratch
  int64_t products; // numbers of a phase's products at Winograd's points
  int64_t lowered, results, part; // numbers of a lowered tile, of its results, and of a piece's scratch
} plan;

// One phase of the plan, with what it takes to correlate y with its weights.
typedef struct part {
  phase down, right;
  duel_patches patches; // of group 0
  duel_lowering lowering;
} part;

static duel_patches patches_of(const duel_call *call, const duel_conv_sizes *z, duel_taps down, duel_taps right) {
  return (duel_patches){call->in[0].data, z->k * z->p * z->q, z->p, z->q, z->k_group, down, right};
}

static part part_of(const duel_call *call, const plan *p, int64_t i) {
  part made = {.down = phase_of(&p->down, i / p->right.phases), .right = phase_of(&p->right, i % p->right.phases)};
  made.patches = patches_of(call, &p->z, made.down.taps, made.right.taps);
  made.lowering = p->together ? p->lowering : duel_lowering_of(&made.patches, &p->tiles);
  return made;
}

// What all phases of an axis meet, if their taps are neighbors.
static duel_taps all_taps(const axis *a) {
  int64_t low = INT64_MAX, high = INT64_MIN;
  for (int64_t i = 0; i < a->phases; i++) {
    const duel_taps own = phase_of(a, i).taps;
    low = duel_min(low, own.base);
    high = own.base + own.n > high ? own.base + own.n : high;
  }
  return (duel_taps){high - low, low, 1, 1};
}

// The rows of y that reach the rows `h` of x.
static duel_span rows_that_reach(const plan *p, duel_span h) {
  const axis *a = &p->down;
  const int64_t low = h.begin + a->pad - (a->kernel - 1) * a->dilation;
  return (duel_span){low > 0 ? duel_ceil_div(low, a->stride) : 0,
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

static const duel_winograd one_phase = {1, 1}; // of y, for one of x

static int64_t packed_numbers(const plan *p, const part *own) {
  return p->by_winograd ? duel_winograd_packed(&one_phase, &own->patches, p->z.c_group)
                        : duel_packed_numbers(&own->patches, p->z.c_group);
}

// Tiles of a phase's pixels, at most so many, and how y is lowered for them.
static void set_tiles(plan *p, int64_t most) {
  p->tiles = duel_tiles_of(p->z.n, duel_ceil_div(p->z.h, p->down.stride), duel_ceil_div(p->z.w, p->right.stride), most);
  p->lowering = duel_lowering_of(&p->all, &p->tiles);
  p->together = p->down.dilation == 1 && p->right.dilation == 1 && !p->lowering.apart;
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
    p.phases = p.down.phases * p.right.phases;
    p.pack_pieces = duel_min(duel_pieces(z->k * z->depth, DUEL_PACK_NUMBERS), z->k);
    p.all = patches_of(call, z, all_taps(&p.down), all_taps(&p.right));
    set_tiles(&p, DUEL_WINOGRAD_COLUMNS);
    const bool fits = duel_winograd_fits(z, &call->attr->conv) && p.together;
    p.by_winograd = fits && z->h % p.down.stride == 0 && z->w % p.right.stride == 0 &&
                    duel_winograd_pays(&p.all, &p.tiles, z->c_group);
    if (!p.by_winograd) {
      const int64_t most = TILE_PIXELS / (p.down.stride * p.right.stride);
      set_tiles(&p, most < LEAST_COLUMNS ? LEAST_COLUMNS : duel_min(most, DUEL_TILE_COLUMNS));
    }
    p.items = z->groups * duel_tiles_count(&p.tiles);
    for (int64_t i = 0; i < p.phases; i++) {
      const part own = part_of(call, &p, i);
      p.packed += packed_numbers(&p, &own);
      p.lowered = own.lowering.numbers > p.lowered ? own.lowering.numbers : p.lowered;
    }
    const int64_t rows = duel_min(duel_ceil_div(p.tiles.p, p.tiles.parts_p) * p.down.stride, z->h); // of x
    const int64_t columns = duel_min(duel_ceil_div(p.tiles.q, p.tiles.parts_q) * p.right.stride, z->w);
    p.results = duel_ceil_div(z->n, p.tiles.parts_n) * rows * columns * duel_gemm_padded(z->c_group);
    p.part = p.lowered + p.results;
    if (p.by_winograd) {
      const int64_t points = duel_winograd_columns(&p.tiles);
      p.products = points * duel_gemm_padded(z->c_group);
      p.part += p.phases * p.products + points * p.lowering.block;
    }
  }
  p.pieces = duel_conv_pieces(p.items);
  return p;
}

// ---- the derivative of an activation, from its output x: of what was just written
DUEL_INLINE void scale_as(int act, real slope, const real *x, int64_t n, real *dx) {
  DUEL_SIMD for (int64_t i = 0; i < n; i++) dx[i] *= duel_act_slope(x[i], act, slope);
}

static void scale(const duel_call *call, int64_t first, int64_t n) { // numbers of d_x
  const real *x = (const real *)call->in[2].data + first;
  real *dx = (real *)call->out[0].data + first;
  DUEL_BY_ACT(call->attr->conv_act.act, scale_as, (real)call->attr->conv_act.slope, x, n, dx)
}

// All channels of a group in a box of x.
static void scale_box(const duel_call *call, const duel_conv_sizes *z, const duel_tile *box, int64_t group) {
  const bool whole = duel_length(box->q) == z->w; // rows follow each other
  const int64_t strips = whole ? 1 : duel_length(box->p),
                strip = duel_length(box->q) * (whole ? duel_length(box->p) : 1);
  for (int64_t n = box->n.begin; n < box->n.end; n++)
    for (int64_t c = 0; c < z->c_group; c++)
      for (int64_t i = 0; i < strips; i++)
        scale(call, ((n * z->c + group * z->c_group + c) * z->h + box->p.begin + i) * z->w + box->q.begin, strip);
}

static size_t conv2d_dx_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.z.groups * p.packed + p.pieces * p.part) * sizeof(real);
}

static int conv2d_dx_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  const plan p = plan_of(call);
  pieces[0] = p.by_rows ? p.pieces : p.pack_pieces;
  pieces[1] = p.pieces;
  return p.by_rows ? 1 : 2;
}

// ---- phases
static void pack(const duel_call *call, const plan *p, int64_t piece) {
  const duel_conv_sizes *z = &p->z;
  const duel_span channels = duel_piece(z->k, 1, p->pack_pieces, piece);
  real *packed = call->scratch;
  for (int64_t i = 0; i < p->phases; i++) {
    const part own = part_of(call, p, i);
    for (int64_t group = channels.begin / z->k_group; group * z->k_group < channels.end; group++) {
      const duel_weights w = {(const real *)call->in[1].data + group * z->k_group * z->depth + own.down.last * z->s +
                                  own.right.last,
                              z->r * z->s, z->depth, -own.down.apart * z->s, -own.right.apart};
      const duel_span mine = duel_own_channels(channels, z->k_group, group);
      if (p->by_winograd)
        duel_winograd_pack(&one_phase, &own.lowering, &own.patches, z->c_group, &w, mine, packed + group * p->packed);
      else
        duel_pack_weights(&own.lowering, &own.patches, z->c_group, &w, mine,
                          (duel_gemm_unit *)packed + group * p->packed);
    }
    packed += packed_numbers(p, &own);
  }
}

// The pixels of a phase, of every stride of x that begins in `t`.
static duel_span clipped(duel_span t, const phase *f) {
  return (duel_span){duel_min(t.begin, f->pixels), duel_min(t.end, f->pixels)};
}

// The pixels of x that begin in strides `t`.
static duel_span pixels_of(duel_span t, int64_t stride, int64_t x) {
  return (duel_span){t.begin * stride, duel_min(t.end * stride, x)};
}

// Where the pixels of a phase's tile are among those of the box of x.
static void places_of(const plan *p, const duel_tile *t, const duel_tile *box, const part *own, int64_t *place) {
  const int64_t height = duel_length(box->p), width = duel_length(box->q);
  for (int64_t n = 0; n < duel_length(t->n); n++)
    for (int64_t i = t->p.begin; i < t->p.end; i++)
      for (int64_t j = t->q.begin; j < t->q.end; j++)
        *place++ = (n * height + i * p->down.stride + own->down.place - box->p.begin) * width + j * p->right.stride +
                   own->right.place - box->q.begin;
}

static void one_tile(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t n_tiles = duel_tiles_count(&p->tiles), group = item / n_tiles, pixels = z->h * z->w;
  const duel_tile whole = duel_tile_at(&p->tiles, item % n_tiles);
  const duel_tile box = {whole.n, pixels_of(whole.p, p->down.stride, z->h), pixels_of(whole.q, p->right.stride, z->w)};
  const int64_t box_pixels = duel_tile_columns(&box);
  real *result = scratch + p->lowered, *products = result + p->results;
  if (p->down.phases < p->down.stride || p->right.phases < p->right.stride) // pixels that no tap reaches
    memset(result, 0, (size_t)(duel_gemm_padded(z->c_group) * box_pixels) * sizeof *result);
  duel_lowered m;
  bool more = true;
  for (int64_t b = 0; more; b++) {
    const real *packed = (const real *)call->scratch + group * p->packed;
    more = false;
    for (int64_t i = 0; i < p->phases; i++) {
      part own = part_of(call, p, i);
      const duel_tile t = {whole.n, clipped(whole.p, &own.down), clipped(whole.q, &own.right)};
      duel_patches f = p->together ? p->all : own.patches;
      int64_t place[DUEL_MOST_COLUMNS];
      const duel_products to = {z->c_group, box_pixels, place, result};
      f.src += group * z->k_group * z->p * z->q;
      places_of(p, &t, &box, &own, place);
      if (b < own.lowering.blocks && (!p->together || i == 0)) {
        const duel_tile *met = p->together ? &whole : &t;
        m = duel_lower(&own.lowering, &f, met, duel_lowering_channels(&own.lowering, &f, b), scratch);
        if (!p->by_winograd) duel_pack_lowered(met, &m, scratch);
      }
      const int64_t first =
          (own.patches.down.base - f.down.base) * m.run + (own.patches.right.base - f.right.base) * m.tap;
      if (b < own.lowering.blocks && p->by_winograd)
        duel_winograd_correlate(&one_phase, &own.lowering, &own.patches, &t, b, &m, scratch + first, packed, &to,
                                products + i * p->products, products + p->phases * p->products);
      else if (b < own.lowering.blocks && duel_tile_columns(&t) > 0)
        duel_correlate(&own.lowering, &own.patches, &t, b, &m, (const duel_packed *)scratch + first,
                       (const duel_gemm_unit *)packed, &to);
      more |= b + 1 < own.lowering.blocks;
      packed += packed_numbers(p, &own);
    }
  }
  const duel_finish finish = duel_finish_of(call, group * z->c_group);
  duel_store_results(&box, z->c_group, &finish, result, (real *)call->out[0].data + group * z->c_group * pixels, pixels,
                     z->c * pixels, z->w);
  if (call->op == DUEL_OP_CONV2D_DX_GRAD) scale_box(call, z, &box, group);
}

// ---- by rows
// Adds the products [C/groups·R·S, rows of y `reach`] to the rows `h` of one image's d_x, tap after tap.
static void add_products(const duel_call *call, const plan *p, duel_span h, duel_span reach, const real *products,
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

DUEL_INLINE void finish_as(int act, real slope, real bias, int64_t n, real *dx) {
  DUEL_SIMD for (int64_t i = 0; i < n; i++) dx[i] = duel_act_real(dx[i] + bias, act, slope);
}

static void finish_rows(const duel_call *call, const plan *p, duel_span h, int64_t group, real *dx) {
  const duel_conv_sizes *z = &p->z;
  const duel_finish f = duel_finish_of(call, group * z->c_group);
  if (!f.bias && f.act == DUEL_ACT_NONE) return;
  for (int64_t c = 0; c < z->c_group; c++) {
    real *rows = dx + (c * z->h + h.begin) * z->w;
    DUEL_BY_ACT(f.act, finish_as, f.slope, f.bias ? f.bias[c] : 0, duel_length(h) * z->w, rows)
  }
}

static void one_band(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t band = item % p->bands, n = item / p->bands % z->n, group = item / p->bands / z->n;
  const duel_span h = duel_piece(z->h, 1, p->bands, band), reach = rows_that_reach(p, h);
  const int64_t columns = reach.end > reach.begin ? duel_length(reach) * z->q : 0, pixels = z->p * z->q;
  const real *w = (const real *)call->in[1].data + group * z->k_group * z->depth;
  const real *dy = (const real *)call->in[0].data + (n * z->k + group * z->k_group) * pixels + reach.begin * z->q;
  real *dx = (real *)call->out[0].data + (n * z->c + group * z->c_group) * z->h * z->w;
  if (columns > 0)
    duel_product(z->depth, columns, z->k_group, (duel_factor){w, z->depth, true}, (duel_factor){dy, pixels, false},
                 scratch, columns);
  add_products(call, p, h, reach, scratch, dx);
  finish_rows(call, p, h, group, dx);
  if (call->op == DUEL_OP_CONV2D_DX_GRAD) scale_box(call, z, &(duel_tile){{n, n + 1}, h, {0, z->w}}, group);
}

static void conv2d_dx_run(const duel_call *call, int phase_of_call, int64_t piece) {
  const plan p = plan_of(call);
  if (!p.by_rows && phase_of_call == 0) {
    pack(call, &p, piece);
    return;
  }
  const duel_span items = duel_piece(p.items, 1, p.pieces, piece);
  real *scratch = (real *)call->scratch + p.z.groups * p.packed + piece * p.part;
  for (int64_t i = items.begin; i < items.end; i++)
    if (p.by_rows)
      one_band(call, &p, i, scratch);
    else
      one_tile(call, &p, i, scratch);
}
const duel_cpu_kernel DUEL_CPU_NAME(conv2d_dx) = {
    .check = duel_blas_check_conv, .scratch = conv2d_dx_scratch, .cut = conv2d_dx_cut, .run = conv2d_dx_run};
const duel_cpu_kernel DUEL_CPU_NAME(conv2d_dx_act) = {
    .check = duel_blas_check_conv, .scratch = conv2d_dx_scratch, .cut = conv2d_dx_cut, .run = conv2d_dx_run};
const duel_cpu_kernel DUEL_CPU_NAME(conv2d_dx_grad) = {
    .check = duel_blas_check_conv, .scratch = conv2d_dx_scratch, .cut = conv2d_dx_cut, .run = conv2d_dx_run};
