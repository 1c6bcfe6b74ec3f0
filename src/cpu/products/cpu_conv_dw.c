// conv2d_dw: every weight is a sum over all pixels. A piece owns a block of outputs k and a chunk of the tiles. It
// lowers the images like conv2d, lays dY out with the ks innermost, and adds products to its own sums, [taps of a block
// of channels, k]; then the chunks' sums join in a fixed tree and go to their places.
//
// The depth of the products are pixels: a unit of bf16 is a pixel of an image and the same one of the next image. So
// DUEL_UNIT images, each lowered for itself, make one of units, and tiles are of those.
//
// By Winograd's filtering, where the kernel is two strides long, a piece owns a block of channels and a block of ks
// with all tiles, and stores their gradient itself: sums at the points are four times what weights are.
#include "cpu/products/cpu_winograd.h"

enum {
  MOST_CHUNKS = 8,
  ENOUGH = 8,             // pieces; blocks of ks are for when chunks are fewer
  BLOCK = 64,             // ks, at least
  STRIP = 64,             // of ks and of taps that join at a time
  MOST_SUMS = 1 << 22,    // numbers in all chunks' sums
  FILTERED_COLUMNS = 400, // of a tile that is filtered
};

typedef struct plan {
  duel_conv_sizes z;
  duel_tiles tiles;
  duel_lowering lowering;
  int64_t blocks, chunks, items, pieces;
  int64_t padded; // ks of a group, a row of its sums
  int64_t sums;   // numbers of one chunk's; all of them lie in front of the pieces' scratch, or in it if filtered,
                  // when there are no chunks
  int64_t points; // numbers of dY at all points, or of the gradient of a block
  int64_t right;  // numbers of a laid out dY
  int64_t part;   // numbers of a piece's scratch
  duel_winograd winograd;
  bool by_winograd;
} plan;

// The images i, i + DUEL_UNIT, …
static duel_patches every_unit(const duel_call *call, const duel_conv_sizes *z, int64_t group, int64_t i) {
  duel_patches f = duel_patches_of(call, z, group);
  if (f.src) f.src += i * f.image;
  f.image *= DUEL_UNIT;
  return f;
}

// A piece's scratch: a lowered tile of a block of channels, dY [columns, ks of the block], the sums at the points, and
// dY and the patches there. False if it is not for this call.
static bool plan_winograd(const duel_call *call, plan *p) {
  const duel_conv_sizes *z = &p->z;
  const duel_conv *c = &call->attr->conv;
  const duel_patches f = duel_patches_of(call, z, 0);
  if (!duel_winograd_fits(z, c)) return false;
  p->winograd = (duel_winograd){c->stride[0], c->stride[1]};
  p->tiles = duel_tiles_of(z->n, z->p, z->q, FILTERED_COLUMNS);
  p->lowering = duel_lowering_of(&f, &p->tiles);
  p->lowering.block = DUEL_WINOGRAD_CHANNELS;
  p->lowering.blocks = z->c_group / DUEL_WINOGRAD_CHANNELS;
  p->blocks = duel_ceil_div(z->k_group, BLOCK);
  p->items = z->groups * p->lowering.blocks * p->blocks;
  if (p->lowering.apart || p->items < ENOUGH || !duel_winograd_pays(&f, &p->tiles, z->k_group)) return false;
  const int64_t columns = duel_winograd_columns(&p->tiles), taps = z->r * z->s;
  const int64_t most = duel_min(duel_gemm_padded(z->k_group), BLOCK);
  p->by_winograd = true;
  p->pieces = duel_conv_pieces(p->items);
  p->right = FILTERED_COLUMNS * most;
  p->sums = 4 * taps * DUEL_WINOGRAD_CHANNELS * most; // 16 points for 4 taps
  p->points = columns > DUEL_WINOGRAD_CHANNELS * taps ? columns * most : DUEL_WINOGRAD_CHANNELS * taps * most;
  p->part =
      p->lowering.numbers + p->right + p->sums + p->points + columns * taps / 4 * DUEL_WINOGRAD_CHANNELS + 2 * BLOCK;
  return true;
}

// A piece's scratch: DUEL_UNIT lowered tiles, and dY [columns, ks of the block] as often; what products read past the
// end of either is there.
static plan plan_of(const duel_call *call) {
  plan p = {.z = duel_conv_sizes_of(call)};
  if (plan_winograd(call, &p)) return p;
  const duel_conv_sizes *z = &p.z;
  const duel_patches f = every_unit(call, z, 0, 0);
  p.tiles = duel_tiles_of(duel_units_of(z->n), z->p, z->q, DUEL_TILE_COLUMNS);
  p.lowering = duel_lowering_of(&f, &p.tiles);
  p.padded = duel_gemm_padded(z->k_group);
  p.sums = z->groups * z->depth * p.padded;
  const int64_t room = MOST_SUMS / (z->k * z->depth), tiles = duel_tiles_count(&p.tiles);
  p.chunks = duel_min(duel_min(tiles, MOST_CHUNKS), room > 1 ? room : 1);
  p.blocks = duel_ceil_div(ENOUGH, p.chunks * z->groups);
  p.blocks = duel_min(p.blocks, duel_ceil_div(z->k_group, BLOCK));
  p.items = p.chunks * z->groups * p.blocks;
  p.pieces = duel_conv_pieces(p.items);
  p.right = DUEL_TILE_COLUMNS * (duel_ceil_div(p.padded, p.blocks) + 2 * BLOCK);
  p.part = DUEL_UNIT * (p.lowering.numbers + p.right);
  return p;
}

static size_t conv2d_dw_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.chunks * p.sums + p.pieces * p.part) * sizeof(real);
}

static int64_t join_pieces(const plan *p) {
  return duel_min(duel_pieces(p->z.k * p->z.depth, 1 << 14), p->z.c);
}

static int conv2d_dw_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  const plan p = plan_of(call);
  pieces[0] = p.pieces;
  pieces[1] = join_pieces(&p);
  return p.by_winograd ? 1 : 2;
}

// Of a tile of units, the images that are those of every_unit(i), which may lack the last one.
static duel_tile images_of(const duel_conv_sizes *z, const duel_tile *t, int64_t i) {
  const int64_t n = (z->n - i + DUEL_UNIT - 1) / DUEL_UNIT;
  return (duel_tile){{duel_min(t->n.begin, n), duel_min(t->n.end, n)}, t->p, t->q};
}

// dst [columns, padded ks] = dY of the tile, from the group's first of these ks on; image: numbers to the next.
static void lay_out(const duel_conv_sizes *z, const duel_tile *t, const real *dy, int64_t image, int64_t ks,
                    int64_t padded, real *dst) {
  const int64_t pixels = z->p * z->q, row = duel_length(t->q);
  const bool whole = row == z->q; // rows follow each other
  const int64_t strip = whole ? duel_length(t->p) * row : row, strips = whole ? 1 : duel_length(t->p);
  if (padded > ks) memset(dst, 0, (size_t)(duel_tile_columns(t) * padded) * sizeof *dst);
  for (int64_t n = t->n.begin; n < t->n.end; n++)
    for (int64_t i = 0; i < strips; i++, dst += strip * padded)
      duel_transpose_reading(ks, strip, dy + n * image + (t->p.begin + i) * z->q + t->q.begin, pixels, dst, strip, 0,
                             padded, image);
}

// The rows of taps that a row of pixels meets, one after the other; where nothing is skipped in between, they are one.
typedef struct rows {
  int64_t n, length, pixel;
  const duel_gemm_unit *at[DUEL_MOST_COLUMNS];
} rows;

static void rows_of(const duel_lowered *m, const duel_tile *t, const duel_gemm_unit *lowered, rows *r) {
  r->n = 0;
  r->length = duel_length(t->q);
  r->pixel = m->pixel;
  for (int64_t n = 0; n < duel_length(t->n); n++)
    for (int64_t p = 0; p < duel_length(t->p); p++) r->at[r->n++] = lowered + n * m->image + p * m->row;
  if (m->row == r->length * m->pixel && m->image == duel_length(t->p) * m->row) {
    r->length *= r->n;
    r->n = 1;
  }
}

// dst = units of dY's tile, padded ks a column; dy: of image 0.
static void right_of(const duel_conv_sizes *z, const plan *p, const duel_tile *t, const real *dy, int64_t ks,
                     int64_t padded, real *dst) {
  const int64_t image = z->k * z->p * z->q, columns = duel_tile_columns(t);
  for (int64_t u = 0; u < DUEL_UNIT; u++) {
    const duel_tile own = images_of(z, t, u);
    const int64_t there = duel_tile_columns(&own);
    if (there > 0) lay_out(z, &own, dy + u * image, DUEL_UNIT * image, ks, padded, dst + u * p->right);
    memset(dst + u * p->right + there * padded, 0, (size_t)((columns - there) * padded) * sizeof *dst);
  }
  duel_pack_units(columns * padded, dst, dst + p->right, (duel_gemm_unit *)dst);
}

// dst = units of the lowered tile.
static duel_lowered left_of(const duel_call *call, const plan *p, const duel_tile *t, int64_t group, duel_span channels,
                            real *dst) {
  duel_lowered m = {0};
  for (int64_t u = 0; u < DUEL_UNIT; u++) {
    const duel_tile own = images_of(&p->z, t, u);
    if (duel_length(own.n) > 0) { // of the first ones there are
      const duel_patches f = every_unit(call, &p->z, group, u);
      m = duel_lower(&p->lowering, &f, &own, channels, dst + u * p->lowering.numbers);
    }
    memset(dst + u * p->lowering.numbers + duel_length(own.n) * m.image, 0,
           (size_t)((duel_length(t->n) - duel_length(own.n)) * m.image) * sizeof *dst);
  }
  duel_pack_units(duel_length(t->n) * m.image, dst, dst + p->lowering.numbers, (duel_gemm_unit *)dst);
  return m;
}

static void one_item(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t chunk = item % p->chunks, block = item / p->chunks % p->blocks, group = item / p->chunks / p->blocks;
  const duel_span tiles = duel_piece(duel_tiles_count(&p->tiles), 1, p->chunks, chunk);
  const duel_span ks = duel_piece(z->k_group, BLOCK, p->blocks, block);
  const int64_t padded = duel_gemm_padded(duel_length(ks));
  const duel_patches f = duel_patches_of(call, z, group);
  const real *dy = (const real *)call->in[1].data + (group * z->k_group + ks.begin) * z->p * z->q;
  real *sums = (real *)call->scratch + chunk * p->sums + group * z->depth * p->padded + ks.begin;
  real *right = scratch + DUEL_UNIT * p->lowering.numbers;
  rows r;
  for (int64_t i = tiles.begin; i < tiles.end; i++) {
    const duel_tile t = duel_tile_at(&p->tiles, i);
    right_of(z, p, &t, dy, duel_length(ks), padded, right);
    for (int64_t b = 0; b < p->lowering.blocks; b++) {
      const duel_span channels = duel_lowering_channels(&p->lowering, &f, b);
      const duel_lowered m = left_of(call, p, &t, group, channels, scratch);
      const int64_t runs = p->lowering.apart ? 1 : z->r, length = z->r * z->s * duel_length(channels) / runs;
      real *sum = sums + channels.begin * z->r * z->s * p->padded;
      rows_of(&m, &t, (const duel_gemm_unit *)scratch, &r);
      for (int64_t run = 0; run < runs; run++)
        for (int64_t j = 0; j < length; j += DUEL_GEMM_ROWS, sum += DUEL_GEMM_ROWS * p->padded) {
          const int n = (int)duel_min(DUEL_GEMM_ROWS, length - j);
          for (int64_t k = 0; k < padded; k += DUEL_GEMM_LANES)
            duel_gemm_columns(n, r.n, r.length, r.at, run * m.run + j, r.pixel, (const duel_gemm_unit *)right + k,
                              padded, i > tiles.begin, sum + k, p->padded);
          if (n < DUEL_GEMM_ROWS) sum -= (DUEL_GEMM_ROWS - n) * p->padded;
        }
    }
  }
}

// ---- by Winograd's filtering
static void one_filtered(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t block = item % p->blocks, first = item / p->blocks % p->lowering.blocks;
  const int64_t group = item / p->blocks / p->lowering.blocks, image = z->k * z->p * z->q;
  const duel_span ks = duel_piece(z->k_group, BLOCK, p->blocks, block);
  const int64_t k = group * z->k_group + ks.begin, padded = duel_gemm_padded(duel_length(ks));
  const duel_patches f = duel_patches_of(call, z, group);
  const duel_span channels = duel_lowering_channels(&p->lowering, &f, first);
  real *right = scratch + p->lowering.numbers, *sums = right + p->right, *points = sums + p->sums;
  real *patches = points + p->points;
  for (int64_t i = 0; i < duel_tiles_count(&p->tiles); i++) {
    const duel_tile t = duel_tile_at(&p->tiles, i);
    const duel_lowered m = duel_lower(&p->lowering, &f, &t, channels, scratch);
    lay_out(z, &t, (const real *)call->in[1].data + k * z->p * z->q, image, duel_length(ks), padded, right);
    duel_winograd_dw_add(&p->winograd, &t, &m, scratch, right, padded, i > 0, sums, patches, points);
  }
  duel_winograd_dw_store(&p->winograd, duel_length(ks), padded, sums, points,
                         (real *)call->out[0].data + k * z->depth + channels.begin * z->r * z->s, z->depth);
}

// ---- joining
// dst = the sums of ks numbers over all chunks: in pairs, those pairs in pairs, and so on.
static void joined(const plan *p, const real *sum, int64_t ks, real *dst) {
  real part[MOST_CHUNKS][STRIP];
  for (int64_t i = 0; i < p->chunks; i++) memcpy(part[i], sum + i * p->sums, (size_t)ks * sizeof *dst);
  for (int64_t width = 1; width < p->chunks; width *= 2)
    for (int64_t i = 0; i + width < p->chunks; i += 2 * width) {
      const real *from = part[i + width];
      real *to = part[i];
      DUEL_SIMD for (int64_t k = 0; k < ks; k++) to[k] += from[k];
    }
  memcpy(dst, part[0], (size_t)ks * sizeof *dst);
}

static void join(const duel_call *call, const plan *p, int64_t piece) {
  const duel_conv_sizes *z = &p->z;
  const int64_t taps = z->r * z->s;
  const duel_span channels = duel_piece(z->c, 1, join_pieces(p), piece);
  for (int64_t c = channels.begin; c < channels.end; c++) {
    const int64_t group = c / z->c_group, own = c % z->c_group, first = own / p->lowering.block * p->lowering.block;
    const int64_t block = duel_min(p->lowering.block, z->c_group - first);
    const real *sums = (real *)call->scratch + (group * z->depth + first * taps + own - first) * p->padded;
    real *dw = (real *)call->out[0].data + group * z->k_group * z->depth + own * taps;
    for (int64_t k = 0; k < z->k_group; k += STRIP)
      for (int64_t tap = 0; tap < taps; tap += STRIP) {
        real total[STRIP][STRIP];
        const int64_t ks = duel_min(STRIP, z->k_group - k), n = duel_min(STRIP, taps - tap);
        for (int64_t i = 0; i < n; i++) joined(p, sums + (tap + i) * block * p->padded + k, ks, total[i]);
        duel_transpose_to(n, ks, total[0], STRIP, dw + k * z->depth + tap, ks, 0, z->depth);
      }
  }
}

static void conv2d_dw_run(const duel_call *call, int phase, int64_t piece) {
  const plan p = plan_of(call);
  if (phase == 1) {
    join(call, &p, piece);
    return;
  }
  const duel_span items = duel_piece(p.items, 1, p.pieces, piece);
  real *scratch = (real *)call->scratch + p.chunks * p.sums + piece * p.part;
  for (int64_t i = items.begin; i < items.end; i++)
    if (p.by_winograd)
      one_filtered(call, &p, i, scratch);
    else
      one_item(call, &p, i, scratch);
}
const duel_cpu_kernel DUEL_CPU_NAME(conv2d_dw) = {
    .check = duel_blas_check_conv, .scratch = conv2d_dw_scratch, .cut = conv2d_dw_cut, .run = conv2d_dw_run};
