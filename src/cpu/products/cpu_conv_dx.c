// conv2d_dx, conv2d_dx_act, conv2d_dx_grad. Pixels of d_x that are a stride apart form a residue class: the same taps
// reach all of them, from neighboring pixels of d_y. So each class is a convolution of stride 1 with taps of its own:
//
//   x[a + stride·i] = Σ over r ≡ r0 of y[i + base + t·taps.apart]·w[r],   r = r0 + t·apart
//
// Phase 0 packs the weights, class by class. In phase 1 each piece makes its tiles, class by class; by Winograd's
// filtering where every class has two taps each way.
//
// Where x has few channels, as in a generator's last layer, lowering d_y costs more than the products. There Wᵀ·d_y
// [C·R·S, P·Q] is computed first, and each of its rows is added to d_x, in fixed order.
#include "cpu/products/cpu_winograd.h"

enum {
  FEW = 4,                 // times fewer channels in x than in y
  BAND_ELEMENTS = 1 << 17, // products of a band of rows of x
  TILE_PIXELS = 1024,      // of x in a tile
  LEAST_COLUMNS = 16,      // of a class, whatever the strides
};

// ---- an axis of a class
typedef struct line {
  int64_t place, pixels; // its pixels are place, place + stride, …
  int64_t last, apart;   // its taps are last, last − apart, …
  duel_taps taps;
} line;

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
  int64_t apart;   // taps between two of one class
  int64_t classes; // that some tap reaches; d_x is 0 in the others
} axis;

static axis axis_of(const duel_conv *conv, const duel_conv_sizes *sizes, int right) {
  axis a = {.x = right ? sizes->w : sizes->h, .kernel = right ? sizes->s : sizes->r};
  a.stride = conv->stride[right];
  a.dilation = conv->dilation[right];
  a.pad = conv->pad[right];
  a.apart = a.stride / divisor(a.stride, a.dilation);
  a.classes = duel_min(a.kernel, a.apart);
  return a;
}

// y's pixels are taken in rising order, so the taps are those of the class from its last to its first.
static line line_of(const axis *a, int64_t i) {
  line made = {.apart = a->apart};
  const int64_t n = duel_ceil_div(a->kernel - i, a->apart);
  made.place = (i * a->dilation - a->pad) % a->stride;
  if (made.place < 0) made.place += a->stride;
  made.pixels = made.place < a->x ? duel_ceil_div(a->x - made.place, a->stride) : 0;
  made.last = i + (n - 1) * a->apart;
  made.taps.n = n;
  made.taps.apart = a->apart * a->dilation / a->stride;
  made.taps.base = (made.place + a->pad - i * a->dilation) / a->stride - (n - 1) * made.taps.apart; // exact
  made.taps.stride = 1;
  return made;
}

// What all classes of an axis read, if their taps are neighbors.
static duel_taps all_taps(const axis *a) {
  int64_t low = INT64_MAX, high = INT64_MIN;
  for (int64_t i = 0; i < a->classes; i++) {
    const duel_taps taps = line_of(a, i).taps;
    low = duel_min(low, taps.base);
    high = taps.base + taps.n > high ? taps.base + taps.n : high;
  }
  return (duel_taps){high - low, low, 1, 1};
}

// ---- planning
typedef struct plan {
  duel_conv_sizes sizes;
  axis down, right;
  bool by_rows;     // few channels: products first
  int64_t bands;    // of rows of x, if by rows
  int64_t classes;  // if not
  duel_tiles tiles; // of a class's pixels
  bool by_winograd;
  bool together;          // one lowered d_y serves all classes, since their taps meet neighboring pixels
  duel_patches all;       // what all classes read, of group 0
  duel_lowering lowering; // of all
  int64_t items, pieces;
  int64_t packed;   // elements or units of one group's packed weights. scratch = [groups][packed], then [pieces][share]
  int64_t products; // elements of a class's products, [columns of all points][padded c]
  int64_t lowered;  // elements of a lowered tile
  int64_t results;  // elements of its results
  int64_t share;    // elements of one piece's scratch
} plan;

// A class, and how d_y meets its weights.
typedef struct residue {
  line down, right;
  duel_patches patches; // of group 0
  duel_lowering lowering;
} residue;

static duel_patches patches_of(const duel_call *call, const duel_conv_sizes *sizes, duel_taps down, duel_taps right) {
  return (duel_patches){
      call->in[0].data, sizes->k * sizes->p * sizes->q, sizes->p, sizes->q, sizes->k_group, down, right};
}

static residue residue_of(const duel_call *call, const plan *p, int64_t i) {
  residue made = {.down = line_of(&p->down, i / p->right.classes), .right = line_of(&p->right, i % p->right.classes)};
  made.patches = patches_of(call, &p->sizes, made.down.taps, made.right.taps);
  made.lowering = p->together ? p->lowering : duel_lowering_of(&made.patches, &p->tiles);
  return made;
}

// The rows of y that reach the rows `h` of x.
static duel_span rows_that_reach(const plan *p, duel_span h) {
  const axis *a = &p->down;
  const int64_t low = h.begin + a->pad - (a->kernel - 1) * a->dilation;
  return (duel_span){low > 0 ? duel_ceil_div(low, a->stride) : 0,
                     duel_min((h.end - 1 + a->pad) / a->stride + 1, p->sizes.p)};
}

// Number of bands of rows of x whose products fit BAND_ELEMENTS. 0: bands would overlap so far that most products are
// made twice.
static int64_t bands_of(const plan *p) {
  const axis *a = &p->down;
  const int64_t reach = (a->kernel - 1) * a->dilation, rows = BAND_ELEMENTS / (p->sizes.depth * p->sizes.q); // of y
  if (rows >= p->sizes.p) return 1;
  const int64_t band = (rows - 2) * a->stride - reach; // of x
  return band >= 2 * reach && band > 0 ? duel_ceil_div(p->sizes.h, band) : 0;
}

static const duel_winograd one_class = {1, 1}; // of y, for one of x

static int64_t packed_elements(const plan *p, const residue *of) {
  return p->by_winograd ? duel_winograd_packed(&one_class, &of->patches, p->sizes.c_group)
                        : duel_packed_elements(&of->patches, p->sizes.c_group);
}

// Tiles of a class's pixels, at most so many, and how y is lowered for them.
static void set_tiles(plan *p, int64_t most) {
  const duel_conv_sizes *sizes = &p->sizes;
  p->tiles =
      duel_tiles_of(sizes->n, duel_ceil_div(sizes->h, p->down.stride), duel_ceil_div(sizes->w, p->right.stride), most);
  p->lowering = duel_lowering_of(&p->all, &p->tiles);
  p->together = p->down.dilation == 1 && p->right.dilation == 1 && !p->lowering.apart;
}

static void plan_classes(const duel_call *call, plan *p) {
  const duel_conv_sizes *sizes = &p->sizes;
  const duel_tiles *tiles = &p->tiles;
  p->classes = p->down.classes * p->right.classes;
  p->all = patches_of(call, sizes, all_taps(&p->down), all_taps(&p->right));
  set_tiles(p, DUEL_WINOGRAD_COLUMNS);
  const bool fits = duel_winograd_fits(sizes, &call->attr->conv) && p->together;
  p->by_winograd = fits && sizes->h % p->down.stride == 0 && sizes->w % p->right.stride == 0 &&
                   duel_winograd_pays(&p->all, tiles, sizes->c_group);
  if (!p->by_winograd) {
    const int64_t most = TILE_PIXELS / (p->down.stride * p->right.stride);
    set_tiles(p, most < LEAST_COLUMNS ? LEAST_COLUMNS : duel_min(most, DUEL_TILE_COLUMNS));
  }
  p->items = sizes->groups * duel_tiles_count(tiles);
  for (int64_t i = 0; i < p->classes; i++) {
    const residue of = residue_of(call, p, i);
    p->packed += packed_elements(p, &of);
    p->lowered = of.lowering.elements > p->lowered ? of.lowering.elements : p->lowered;
  }
  const int64_t rows = duel_min(duel_ceil_div(tiles->p, tiles->cuts_p) * p->down.stride, sizes->h); // of x
  const int64_t columns = duel_min(duel_ceil_div(tiles->q, tiles->cuts_q) * p->right.stride, sizes->w);
  p->results = duel_ceil_div(sizes->n, tiles->cuts_n) * rows * columns * duel_gemm_padded(sizes->c_group);
  p->share = p->lowered + p->results;
  if (p->by_winograd) {
    const int64_t points = duel_winograd_columns(tiles);
    p->products = points * duel_gemm_padded(sizes->c_group);
    p->share += p->classes * p->products + points * p->lowering.block;
  }
}

static plan plan_of(const duel_call *call) {
  plan p = {.sizes = duel_conv_sizes_of(call)};
  const duel_conv_sizes *sizes = &p.sizes;
  p.down = axis_of(&call->attr->conv, sizes, 0);
  p.right = axis_of(&call->attr->conv, sizes, 1);
  p.bands = FEW * sizes->c_group <= sizes->k_group ? bands_of(&p) : 0;
  p.by_rows = p.bands > 0;
  if (p.by_rows) {
    p.items = sizes->groups * sizes->n * p.bands;
    const int64_t band = duel_ceil_div(sizes->h, p.bands), reach = (p.down.kernel - 1) * p.down.dilation;
    p.share = sizes->depth * duel_min((band + reach) / p.down.stride + 1, sizes->p) * sizes->q;
  } else {
    plan_classes(call, &p);
  }
  p.pieces = duel_conv_pieces(p.items);
  return p;
}

// ---- d_x ·= act'(x), while d_x is in cache
DUEL_INLINE void scale_as(int act, real slope, const real *x, int64_t n, real *dx) {
  DUEL_SIMD for (int64_t i = 0; i < n; i++) dx[i] *= duel_act_slope(x[i], act, slope);
}

static void scale(const duel_call *call, int64_t first, int64_t n) { // elements of d_x
  const real *x = (const real *)call->in[2].data + first;
  real *dx = (real *)call->out[0].data + first;
  DUEL_BY_ACT(call->attr->conv_act.act, scale_as, (real)call->attr->conv_act.slope, x, n, dx)
}

// All channels of a group in a box of x.
static void scale_box(const duel_call *call, const duel_conv_sizes *sizes, const duel_tile *box, int64_t group) {
  const bool whole = duel_length(box->q) == sizes->w; // rows follow each other
  const int64_t strips = whole ? 1 : duel_length(box->p),
                strip = duel_length(box->q) * (whole ? duel_length(box->p) : 1);
  for (int64_t n = box->n.begin; n < box->n.end; n++)
    for (int64_t c = 0; c < sizes->c_group; c++)
      for (int64_t i = 0; i < strips; i++)
        scale(call,
              ((n * sizes->c + group * sizes->c_group + c) * sizes->h + box->p.begin + i) * sizes->w + box->q.begin,
              strip);
}

static size_t conv2d_dx_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.sizes.groups * p.packed + p.pieces * p.share) * sizeof(real);
}

static void conv2d_dx_cut(const duel_call *call, duel_cut *cut) {
  const plan p = plan_of(call);
  if (!p.by_rows) *cut++ = duel_cut_rows(p.sizes.k, p.sizes.k * p.sizes.depth, DUEL_PACK_ELEMENTS);
  *cut = (duel_cut){p.items, 1, p.pieces};
}

// ---- class by class
static void pack(const duel_call *call, const plan *p, duel_span channels) {
  const duel_conv_sizes *sizes = &p->sizes;
  real *packed = call->scratch;
  for (int64_t i = 0; i < p->classes; i++) {
    const residue of = residue_of(call, p, i);
    for (int64_t group = channels.begin / sizes->k_group; group * sizes->k_group < channels.end; group++) {
      const real *w = (const real *)call->in[1].data + group * sizes->k_group * sizes->depth;
      const duel_weights weights = {w + of.down.last * sizes->s + of.right.last, sizes->r * sizes->s, sizes->depth,
                                    -of.down.apart * sizes->s, -of.right.apart};
      const duel_span of_group = duel_own_channels(channels, sizes->k_group, group);
      real *dst = packed + group * p->packed;
      if (p->by_winograd)
        duel_winograd_pack(&one_class, &of.lowering, &of.patches, sizes->c_group, &weights, of_group, dst);
      else
        duel_pack_weights(&of.lowering, &of.patches, sizes->c_group, &weights, of_group, (duel_gemm_unit *)dst);
    }
    packed += packed_elements(p, &of);
  }
}

// The pixels of a class in the strides `tile`.
static duel_span clipped(duel_span tile, const line *of) {
  return (duel_span){duel_min(tile.begin, of->pixels), duel_min(tile.end, of->pixels)};
}

// The pixels of x in the strides `tile`.
static duel_span pixels_of(duel_span tile, int64_t stride, int64_t x) {
  return (duel_span){tile.begin * stride, duel_min(tile.end * stride, x)};
}

// place[i] = index, in the box of x, of the i-th pixel of the class's tile.
static void places_of(const plan *p, const duel_tile *tile, const duel_tile *box, const residue *of, int64_t *place) {
  const int64_t height = duel_length(box->p), width = duel_length(box->q);
  for (int64_t n = 0; n < duel_length(tile->n); n++)
    for (int64_t i = tile->p.begin; i < tile->p.end; i++)
      for (int64_t j = tile->q.begin; j < tile->q.end; j++)
        *place++ = (n * height + i * p->down.stride + of->down.place - box->p.begin) * width + j * p->right.stride +
                   of->right.place - box->q.begin;
}

static void one_tile(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *sizes = &p->sizes;
  const int64_t n_tiles = duel_tiles_count(&p->tiles), group = item / n_tiles, pixels = sizes->h * sizes->w;
  const duel_tile whole = duel_tile_at(&p->tiles, item % n_tiles);
  const duel_tile box = {whole.n, pixels_of(whole.p, p->down.stride, sizes->h),
                         pixels_of(whole.q, p->right.stride, sizes->w)};
  const int64_t box_pixels = duel_tile_columns(&box);
  real *result = scratch + p->lowered, *products = result + p->results;
  if (p->down.classes < p->down.stride || p->right.classes < p->right.stride) // pixels that no tap reaches
    memset(result, 0, (size_t)(duel_gemm_padded(sizes->c_group) * box_pixels) * sizeof *result);
  duel_layout layout;
  bool more = true;
  for (int64_t b = 0; more; b++) {
    const real *packed = (const real *)call->scratch + group * p->packed;
    more = false;
    for (int64_t i = 0; i < p->classes; i++) {
      residue of = residue_of(call, p, i);
      const duel_tile tile = {whole.n, clipped(whole.p, &of.down), clipped(whole.q, &of.right)};
      duel_patches patches = p->together ? p->all : of.patches;
      int64_t place[DUEL_MOST_COLUMNS];
      const duel_results results = {sizes->c_group, box_pixels, place, result};
      const duel_correlation c = {&of.lowering, &of.patches, &tile, b, &layout, &results};
      patches.src += group * sizes->k_group * sizes->p * sizes->q;
      places_of(p, &tile, &box, &of, place);
      if (b < of.lowering.blocks && (!p->together || i == 0)) {
        const duel_tile *met = p->together ? &whole : &tile;
        layout = duel_lower(&of.lowering, &patches, met, duel_lowering_channels(&of.lowering, &patches, b), scratch);
        if (!p->by_winograd) duel_pack_lowered(met, &layout, scratch);
      }
      const int64_t first = (of.patches.down.base - patches.down.base) * layout.run +
                            (of.patches.right.base - patches.right.base) * layout.tap;
      if (b < of.lowering.blocks && p->by_winograd)
        duel_winograd_correlate(&one_class, &c, scratch + first, packed, products + i * p->products,
                                products + p->classes * p->products);
      else if (b < of.lowering.blocks && duel_tile_columns(&tile) > 0)
        duel_correlate(&c, (const duel_packed *)scratch + first, (const duel_gemm_unit *)packed);
      more |= b + 1 < of.lowering.blocks;
      packed += packed_elements(p, &of);
    }
  }
  const duel_finish finish = duel_finish_of(call, group * sizes->c_group);
  duel_store_results(&box, sizes->c_group, &finish, result, (real *)call->out[0].data + group * sizes->c_group * pixels,
                     pixels, sizes->c * pixels, sizes->w);
  if (call->op == DUEL_OP_CONV2D_DX_GRAD) scale_box(call, sizes, &box, group);
}

// ---- by rows
// Adds the products [C/groups·R·S, rows of y `reach`] to the rows `h` of one image's d_x, tap after tap.
static void add_products(const duel_call *call, const plan *p, duel_span h, duel_span reach, const real *products,
                         real *dx) {
  const duel_conv *conv = &call->attr->conv;
  const duel_conv_sizes *sizes = &p->sizes;
  const int64_t stride = p->right.stride;
  for (int64_t c = 0; c < sizes->c_group; c++, dx += sizes->h * sizes->w) {
    memset(dx + h.begin * sizes->w, 0, (size_t)(duel_length(h) * sizes->w) * sizeof *dx);
    for (int64_t r = 0; r < sizes->r; r++)
      for (int64_t s = 0; s < sizes->s; s++) {
        const int64_t left = s * conv->dilation[1] - conv->pad[1]; // of y's column 0 in x
        const int64_t begin = left < 0 ? duel_ceil_div(-left, stride) : 0;
        const int64_t end = left < sizes->w ? duel_min(duel_ceil_div(sizes->w - left, stride), sizes->q) : 0;
        for (int64_t i = reach.begin; i < reach.end; i++, products += sizes->q) {
          const int64_t row = i * conv->stride[0] - conv->pad[0] + r * conv->dilation[0];
          if (row < h.begin || row >= h.end) continue;
          real *row_of_dx = dx + row * sizes->w + left;
          if (stride == 2)
            for (int64_t j = begin; j < end; j++) row_of_dx[2 * j] += products[j];
          else
            for (int64_t j = begin; j < end; j++) row_of_dx[j * stride] += products[j];
        }
      }
  }
}

DUEL_INLINE void finish_as(int act, real slope, real bias, int64_t n, real *dx) {
  DUEL_SIMD for (int64_t i = 0; i < n; i++) dx[i] = duel_act_real(dx[i] + bias, act, slope);
}

static void finish_rows(const duel_call *call, const plan *p, duel_span h, int64_t group, real *dx) {
  const duel_conv_sizes *sizes = &p->sizes;
  const duel_finish finish = duel_finish_of(call, group * sizes->c_group);
  if (!finish.bias && finish.act == DUEL_ACT_NONE) return;
  for (int64_t c = 0; c < sizes->c_group; c++) {
    real *rows = dx + (c * sizes->h + h.begin) * sizes->w;
    DUEL_BY_ACT(finish.act, finish_as, finish.slope, finish.bias ? finish.bias[c] : 0, duel_length(h) * sizes->w, rows)
  }
}

static void one_band(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *sizes = &p->sizes;
  const int64_t band = item % p->bands, n = item / p->bands % sizes->n, group = item / p->bands / sizes->n;
  const duel_span h = duel_share(sizes->h, 1, p->bands, band), reach = rows_that_reach(p, h);
  const int64_t columns = reach.end > reach.begin ? duel_length(reach) * sizes->q : 0, pixels = sizes->p * sizes->q;
  const real *w = (const real *)call->in[1].data + group * sizes->k_group * sizes->depth;
  const real *dy =
      (const real *)call->in[0].data + (n * sizes->k + group * sizes->k_group) * pixels + reach.begin * sizes->q;
  real *dx = (real *)call->out[0].data + (n * sizes->c + group * sizes->c_group) * sizes->h * sizes->w;
  if (columns > 0)
    duel_product(sizes->depth, columns, sizes->k_group, (duel_factor){w, sizes->depth, true},
                 (duel_factor){dy, pixels, false}, scratch, columns);
  add_products(call, p, h, reach, scratch, dx);
  finish_rows(call, p, h, group, dx);
  if (call->op == DUEL_OP_CONV2D_DX_GRAD) scale_box(call, sizes, &(duel_tile){{n, n + 1}, h, {0, sizes->w}}, group);
}

static void conv2d_dx_run(const duel_call *call, const duel_piece *piece) {
  const plan p = plan_of(call);
  if (!p.by_rows && piece->phase == 0) {
    pack(call, &p, piece->units);
    return;
  }
  real *scratch = (real *)call->scratch + p.sizes.groups * p.packed + piece->index * p.share;
  for (int64_t i = piece->units.begin; i < piece->units.end; i++)
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
