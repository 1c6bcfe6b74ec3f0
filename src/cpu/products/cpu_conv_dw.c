// conv2d_dw: d_w [K, C/groups, R, S] = Σ over n, p, q of d_y · x.
//
//   phase 0   a piece has a block of outputs k and a chunk of the tiles. It lowers x as conv2d does, lays d_y out as
//             [column][k], and adds their products to its sums [block of channels][r][s][channel][k]
//   phase 1   the chunks' sums are added in a fixed tree and transposed into d_w
//
// The products' depth is pixels. A bf16 unit pairs the same pixel of two images, so DUEL_UNIT images are lowered one by
// one and zipped into one image of units; tiles count such images.
//
// Where the kernel is two strides long, Winograd's filtering: a piece has a block of channels and one of outputs, and
// all tiles, so it stores d_w itself. (Chunks would cost four times the memory: 16 points for 4 taps.)
#include "cpu/products/cpu_winograd.h"

enum {
  MOST_CHUNKS = 8,
  ENOUGH = 8,             // pieces; outputs are cut into blocks where there are fewer chunks
  BLOCK = 64,             // outputs, at least
  STRIP = 64,             // outputs and taps that are joined at a time
  MOST_SUMS = 1 << 22,    // elements in all chunks' sums
  FILTERED_COLUMNS = 400, // of a tile that is filtered
};

typedef struct plan {
  duel_conv_sizes sizes;
  duel_tiles tiles;
  duel_lowering lowering;
  int64_t blocks, chunks, items, pieces;
  int64_t padded; // outputs of a group, rounded up to whole panels
  int64_t sums;   // elements of one chunk's sums. scratch = [chunks][sums], then [pieces][share]; filtered: sums are
                  // in the share
  int64_t points; // elements of d_y at all points, or of the gradient of a block
  int64_t right;  // elements of d_y laid out, [column][padded k]
  int64_t share;  // elements of one piece's scratch
  duel_winograd winograd;
  bool by_winograd;
} plan;

// The images i, i + DUEL_UNIT, …
static duel_patches every_unit(const duel_call *call, const duel_conv_sizes *sizes, int64_t group, int64_t i) {
  duel_patches patches = duel_patches_of(call, sizes, group);
  if (patches.src) patches.src += i * patches.image;
  patches.image *= DUEL_UNIT;
  return patches;
}

// A piece's scratch: lowered tile | d_y [column][k] | sums [point][class][channel][k] | d_y at the points | patches at
// the points. False: this call cannot or should not be filtered.
static bool plan_winograd(const duel_call *call, plan *p) {
  const duel_conv_sizes *sizes = &p->sizes;
  const duel_conv *conv = &call->attr->conv;
  const duel_patches patches = duel_patches_of(call, sizes, 0);
  if (!duel_winograd_fits(sizes, conv)) return false;
  p->winograd = (duel_winograd){conv->stride[0], conv->stride[1]};
  p->tiles = duel_tiles_of(sizes->n, sizes->p, sizes->q, FILTERED_COLUMNS);
  p->lowering = duel_lowering_of(&patches, &p->tiles);
  p->lowering.block = DUEL_WINOGRAD_CHANNELS;
  p->lowering.blocks = sizes->c_group / DUEL_WINOGRAD_CHANNELS;
  p->blocks = duel_ceil_div(sizes->k_group, BLOCK);
  p->items = sizes->groups * p->lowering.blocks * p->blocks;
  if (p->lowering.apart || p->items < ENOUGH || !duel_winograd_pays(&patches, &p->tiles, sizes->k_group)) return false;
  const int64_t columns = duel_winograd_columns(&p->tiles), taps = sizes->r * sizes->s;
  const int64_t most = duel_min(duel_gemm_padded(sizes->k_group), BLOCK);
  p->by_winograd = true;
  p->pieces = duel_conv_pieces(p->items);
  p->right = FILTERED_COLUMNS * most;
  p->sums = 4 * taps * DUEL_WINOGRAD_CHANNELS * most; // 16 points for 4 taps
  p->points = columns > DUEL_WINOGRAD_CHANNELS * taps ? columns * most : DUEL_WINOGRAD_CHANNELS * taps * most;
  p->share =
      p->lowering.elements + p->right + p->sums + p->points + columns * taps / 4 * DUEL_WINOGRAD_CHANNELS + 2 * BLOCK;
  return true;
}

// A piece's scratch: DUEL_UNIT lowered tiles | DUEL_UNIT times d_y [column][k]. Both are long enough for what products
// read past their end.
static plan plan_of(const duel_call *call) {
  plan p = {.sizes = duel_conv_sizes_of(call)};
  if (plan_winograd(call, &p)) return p;
  const duel_conv_sizes *sizes = &p.sizes;
  const duel_patches patches = every_unit(call, sizes, 0, 0);
  p.tiles = duel_tiles_of(duel_units_of(sizes->n), sizes->p, sizes->q, DUEL_TILE_COLUMNS);
  p.lowering = duel_lowering_of(&patches, &p.tiles);
  p.padded = duel_gemm_padded(sizes->k_group);
  p.sums = sizes->groups * sizes->depth * p.padded;
  const int64_t room = MOST_SUMS / (sizes->k * sizes->depth), tiles = duel_tiles_count(&p.tiles);
  p.chunks = duel_min(duel_min(tiles, MOST_CHUNKS), room > 1 ? room : 1);
  p.blocks = duel_ceil_div(ENOUGH, p.chunks * sizes->groups);
  p.blocks = duel_min(p.blocks, duel_ceil_div(sizes->k_group, BLOCK));
  p.items = p.chunks * sizes->groups * p.blocks;
  p.pieces = duel_conv_pieces(p.items);
  p.right = DUEL_TILE_COLUMNS * (duel_ceil_div(p.padded, p.blocks) + 2 * BLOCK);
  p.share = DUEL_UNIT * (p.lowering.elements + p.right);
  return p;
}

static size_t conv2d_dw_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.chunks * p.sums + p.pieces * p.share) * sizeof(real);
}

static void conv2d_dw_cut(const duel_call *call, duel_cut *cut) {
  const plan p = plan_of(call);
  cut[0] = (duel_cut){p.items, 1, p.pieces};
  if (!p.by_winograd) cut[1] = duel_cut_rows(p.sizes.c, p.sizes.k * p.sizes.depth, 1 << 14);
}

// The images i, i + DUEL_UNIT, … of a tile of units. Where n is odd, the last unit has no second one.
static duel_tile images_of(const duel_conv_sizes *sizes, const duel_tile *tile, int64_t i) {
  const int64_t n = (sizes->n - i + DUEL_UNIT - 1) / DUEL_UNIT;
  return (duel_tile){{duel_min(tile->n.begin, n), duel_min(tile->n.end, n)}, tile->p, tile->q};
}

// dst [column][padded] = d_y of the tile. dy: of the first of these outputs; image: elements from one image to the
// next.
static void lay_out(const duel_conv_sizes *sizes, const duel_tile *tile, const real *dy, int64_t image, int64_t outputs,
                    int64_t padded, real *dst) {
  const int64_t pixels = sizes->p * sizes->q, row = duel_length(tile->q);
  const bool whole = row == sizes->q; // rows follow each other
  const int64_t strip = whole ? duel_length(tile->p) * row : row, strips = whole ? 1 : duel_length(tile->p);
  if (padded > outputs) memset(dst, 0, (size_t)(duel_tile_columns(tile) * padded) * sizeof *dst);
  for (int64_t n = tile->n.begin; n < tile->n.end; n++)
    for (int64_t i = 0; i < strips; i++, dst += strip * padded)
      duel_transpose_reading(outputs, strip, dy + n * image + (tile->p.begin + i) * sizes->q + tile->q.begin, pixels,
                             dst, (duel_lines){strip, 0, padded}, image);
}

// Rows of pixels as the products read them. Rows that follow each other without a gap are joined into one.
typedef struct rows {
  duel_gemm_left left;
  const duel_gemm_unit *at[DUEL_MOST_COLUMNS];
} rows;

static void rows_of(const duel_layout *layout, const duel_tile *tile, const duel_gemm_unit *lowered, rows *r) {
  int64_t n = 0, length = duel_length(tile->q);
  for (int64_t i = 0; i < duel_length(tile->n); i++)
    for (int64_t p = 0; p < duel_length(tile->p); p++) r->at[n++] = lowered + i * layout->image + p * layout->row;
  if (layout->row == length * layout->pixel && layout->image == duel_length(tile->p) * layout->row) {
    length *= n;
    n = 1;
  }
  r->left = (duel_gemm_left){n, length, layout->pixel, r->at};
}

// dst [column][padded] = units of d_y's tile; dy: of image 0.
static void right_of(const duel_conv_sizes *sizes, const plan *p, const duel_tile *tile, const real *dy,
                     int64_t outputs, int64_t padded, real *dst) {
  const int64_t image = sizes->k * sizes->p * sizes->q, columns = duel_tile_columns(tile);
  for (int64_t u = 0; u < DUEL_UNIT; u++) {
    const duel_tile images = images_of(sizes, tile, u);
    const int64_t there = duel_tile_columns(&images);
    if (there > 0) lay_out(sizes, &images, dy + u * image, DUEL_UNIT * image, outputs, padded, dst + u * p->right);
    memset(dst + u * p->right + there * padded, 0, (size_t)((columns - there) * padded) * sizeof *dst);
  }
  duel_pack_units(columns * padded, dst, dst + p->right, (duel_gemm_unit *)dst);
}

// dst = units of the lowered tile.
static duel_layout left_of(const duel_call *call, const plan *p, const duel_tile *tile, int64_t group,
                           duel_span channels, real *dst) {
  duel_layout layout = {0};
  for (int64_t u = 0; u < DUEL_UNIT; u++) {
    const duel_tile images = images_of(&p->sizes, tile, u);
    if (duel_length(images.n) > 0) { // of the first ones there are
      const duel_patches patches = every_unit(call, &p->sizes, group, u);
      layout = duel_lower(&p->lowering, &patches, &images, channels, dst + u * p->lowering.elements);
    }
    memset(dst + u * p->lowering.elements + duel_length(images.n) * layout.image, 0,
           (size_t)((duel_length(tile->n) - duel_length(images.n)) * layout.image) * sizeof *dst);
  }
  duel_pack_units(duel_length(tile->n) * layout.image, dst, dst + p->lowering.elements, (duel_gemm_unit *)dst);
  return layout;
}

static void one_item(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *sizes = &p->sizes;
  const int64_t chunk = item % p->chunks, block = item / p->chunks % p->blocks, group = item / p->chunks / p->blocks;
  const duel_span tiles = duel_share(duel_tiles_count(&p->tiles), 1, p->chunks, chunk);
  const duel_span outputs = duel_share(sizes->k_group, BLOCK, p->blocks, block);
  const int64_t padded = duel_gemm_padded(duel_length(outputs));
  const duel_patches patches = duel_patches_of(call, sizes, group);
  const real *dy = (const real *)call->in[1].data + (group * sizes->k_group + outputs.begin) * sizes->p * sizes->q;
  real *sums = (real *)call->scratch + chunk * p->sums + group * sizes->depth * p->padded + outputs.begin;
  real *right = scratch + DUEL_UNIT * p->lowering.elements;
  rows left_rows;
  for (int64_t i = tiles.begin; i < tiles.end; i++) {
    const duel_tile tile = duel_tile_at(&p->tiles, i);
    right_of(sizes, p, &tile, dy, duel_length(outputs), padded, right);
    for (int64_t b = 0; b < p->lowering.blocks; b++) {
      const duel_span channels = duel_lowering_channels(&p->lowering, &patches, b);
      const duel_layout layout = left_of(call, p, &tile, group, channels, scratch);
      const int64_t runs = p->lowering.apart ? 1 : sizes->r,
                    length = sizes->r * sizes->s * duel_length(channels) / runs;
      real *sum = sums + channels.begin * sizes->r * sizes->s * p->padded;
      rows_of(&layout, &tile, (const duel_gemm_unit *)scratch, &left_rows);
      for (int64_t run = 0; run < runs; run++)
        for (int64_t j = 0; j < length; j += DUEL_GEMM_ROWS, sum += DUEL_GEMM_ROWS * p->padded) {
          const int n = (int)duel_min(DUEL_GEMM_ROWS, length - j);
          for (int64_t k = 0; k < padded; k += DUEL_GEMM_LANES)
            duel_gemm_columns(n, &left_rows.left, run * layout.run + j, (const duel_gemm_unit *)right + k, padded,
                              i > tiles.begin, sum + k, p->padded);
          if (n < DUEL_GEMM_ROWS) sum -= (DUEL_GEMM_ROWS - n) * p->padded;
        }
    }
  }
}

// ---- by Winograd's filtering
static void one_filtered(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *sizes = &p->sizes;
  const duel_lowering *lowering = &p->lowering;
  const int64_t block = item % p->blocks, first = item / p->blocks % lowering->blocks;
  const int64_t group = item / p->blocks / lowering->blocks, image = sizes->k * sizes->p * sizes->q;
  const duel_span outputs = duel_share(sizes->k_group, BLOCK, p->blocks, block);
  const int64_t k = group * sizes->k_group + outputs.begin, padded = duel_gemm_padded(duel_length(outputs));
  const duel_patches patches = duel_patches_of(call, sizes, group);
  const duel_span channels = duel_lowering_channels(lowering, &patches, first);
  const real *dy = (const real *)call->in[1].data + k * sizes->p * sizes->q;
  real *right = scratch + lowering->elements, *sums = right + p->right, *points = sums + p->sums;
  const duel_winograd_dw dw = {padded, sums, points + p->points, points};
  for (int64_t i = 0; i < duel_tiles_count(&p->tiles); i++) {
    const duel_tile tile = duel_tile_at(&p->tiles, i);
    const duel_layout layout = duel_lower(lowering, &patches, &tile, channels, scratch);
    lay_out(sizes, &tile, dy, image, duel_length(outputs), padded, right);
    duel_winograd_dw_add(&p->winograd, &tile, &layout, scratch, right, i > 0, &dw);
  }
  duel_winograd_dw_store(&p->winograd, duel_length(outputs), &dw,
                         (real *)call->out[0].data + k * sizes->depth + channels.begin * sizes->r * sizes->s,
                         sizes->depth);
}

// ---- joining
// dst [k] = Σ over chunks, as the tree ((0 + 1) + (2 + 3)) + …
static void joined(const plan *p, const real *sum, int64_t outputs, real *dst) {
  real part[MOST_CHUNKS][STRIP];
  for (int64_t i = 0; i < p->chunks; i++) memcpy(part[i], sum + i * p->sums, (size_t)outputs * sizeof *dst);
  for (int64_t width = 1; width < p->chunks; width *= 2)
    for (int64_t i = 0; i + width < p->chunks; i += 2 * width) {
      const real *from = part[i + width];
      real *to = part[i];
      DUEL_SIMD for (int64_t k = 0; k < outputs; k++) to[k] += from[k];
    }
  memcpy(dst, part[0], (size_t)outputs * sizeof *dst);
}

static void join(const duel_call *call, const plan *p, duel_span channels) {
  const duel_conv_sizes *sizes = &p->sizes;
  const int64_t taps = sizes->r * sizes->s;
  for (int64_t c = channels.begin; c < channels.end; c++) {
    const int64_t group = c / sizes->c_group, channel = c % sizes->c_group,
                  first = channel / p->lowering.block * p->lowering.block;
    const int64_t block = duel_min(p->lowering.block, sizes->c_group - first);
    const real *sums = (real *)call->scratch + (group * sizes->depth + first * taps + channel - first) * p->padded;
    real *dw = (real *)call->out[0].data + group * sizes->k_group * sizes->depth + channel * taps;
    for (int64_t k = 0; k < sizes->k_group; k += STRIP)
      for (int64_t tap = 0; tap < taps; tap += STRIP) {
        real total[STRIP][STRIP];
        const int64_t outputs = duel_min(STRIP, sizes->k_group - k), n = duel_min(STRIP, taps - tap);
        for (int64_t i = 0; i < n; i++) joined(p, sums + (tap + i) * block * p->padded + k, outputs, total[i]);
        duel_transpose_to(n, outputs, total[0], STRIP, dw + k * sizes->depth + tap, sizes->depth);
      }
  }
}

static void conv2d_dw_run(const duel_call *call, const duel_piece *piece) {
  const plan p = plan_of(call);
  if (piece->phase == 1) {
    join(call, &p, piece->units);
    return;
  }
  real *scratch = (real *)call->scratch + p.chunks * p.sums + piece->index * p.share;
  for (int64_t i = piece->units.begin; i < piece->units.end; i++)
    if (p.by_winograd)
      one_filtered(call, &p, i, scratch);
    else
      one_item(call, &p, i, scratch);
}
const duel_cpu_kernel DUEL_CPU_NAME(conv2d_dw) = {
    .check = duel_blas_check_conv, .scratch = conv2d_dw_scratch, .cut = conv2d_dw_cut, .run = conv2d_dw_run};
