// conv2d_dw: [K/groups, C/groups·R·S] = dY·patchesᵀ, summed over all pixels. Pieces own a block of columns and a chunk
// of the tiles; the chunks' sums join in a fixed tree in a second phase.
#include "cpu/cpu_conv.h"

enum {
  BLOCK = 256,        // columns of the result that a piece makes at a time
  ENOUGH = 16,        // pieces; chunks are for when blocks are fewer
  MOST_SUMS = 1 << 22 // numbers in all chunks' sums
};

typedef struct plan {
  duel_conv_sizes z;
  duel_tiles tiles;
  int64_t blocks, chunks, items, pieces;
  int64_t sums;          // numbers of partial sums in front of the pieces' scratch
  int64_t patches, part; // numbers of gathered patches, and of a piece's whole scratch
} plan;

static plan plan_of(const duel_call *call) {
  plan p = {.z = duel_conv_sizes_of(call)};
  const duel_conv_sizes *z = &p.z;
  const int64_t weights = z->k * z->depth;
  p.tiles = duel_tiles_of(z->n, z->p, z->q);
  p.blocks = duel_ceil_div(z->depth, BLOCK) * z->groups;
  p.chunks = duel_min(duel_ceil_div(ENOUGH, p.blocks), duel_tiles_count(&p.tiles));
  if (p.chunks * weights > MOST_SUMS) p.chunks = duel_min(p.chunks, MOST_SUMS / weights > 1 ? MOST_SUMS / weights : 1);
  p.items = p.blocks * p.chunks;
  p.pieces = duel_conv_pieces(p.items);
  p.sums = p.chunks > 1 ? p.chunks * weights : 0;
  p.patches = duel_min(z->depth, BLOCK) * DUEL_TILE_COLUMNS;
  p.part = p.patches + (p.tiles.parts_n < z->n ? z->k_group * DUEL_TILE_COLUMNS : 0);
  return p;
}

static size_t conv2d_dw_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.sums + p.pieces * p.part) * sizeof(real);
}

static int conv2d_dw_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  const plan p = plan_of(call);
  pieces[0] = p.pieces;
  pieces[1] = duel_pieces(p.z.k * p.z.depth, 1 << 14);
  return p.chunks > 1 ? 2 : 1;
}

// The tile of dY as a matrix [K/groups, columns]: as it lies in memory or, where it spans images, copied to dst.
static duel_factor gradient_of(const duel_call *call, const plan *p, const duel_tile *t, int64_t group, real *dst) {
  const duel_conv_sizes *z = &p->z;
  const int64_t pixels = z->p * z->q, columns = duel_tile_columns(t), image = duel_length(t->p) * duel_length(t->q);
  const real *dy = (const real *)call->in[1].data + (t->n.begin * z->k + group * z->k_group) * pixels +
                   t->p.begin * z->q + t->q.begin;
  if (duel_length(t->n) == 1) return (duel_factor){dy, pixels, false};
  for (int64_t n = 0; n < duel_length(t->n); n++)
    for (int64_t k = 0; k < z->k_group; k++)
      memcpy(dst + k * columns + n * image, dy + (n * z->k + k) * pixels, (size_t)image * sizeof *dst);
  return (duel_factor){dst, columns, false};
}

static void one_item(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t chunk = item / p->blocks, block = item % p->blocks, blocks = p->blocks / z->groups;
  const int64_t group = block / blocks, weights = z->k * z->depth;
  const duel_range depth = {block % blocks * BLOCK, duel_min((block % blocks + 1) * BLOCK, z->depth)};
  const duel_range tiles = duel_piece(duel_tiles_count(&p->tiles), 1, p->chunks, chunk);
  const duel_patches f = duel_patches_of(call, z, group);
  real *sum = p->chunks > 1 ? (real *)call->scratch + chunk * weights : call->out[0].data;
  sum += group * z->k_group * z->depth + depth.begin;
  for (int64_t i = tiles.begin; i < tiles.end; i++) {
    const duel_tile t = duel_tile_at(&p->tiles, i);
    const int64_t columns = duel_tile_columns(&t);
    const duel_factor dy = gradient_of(call, p, &t, group, scratch + p->patches);
    duel_conv_gather(&f, &t, depth, scratch);
    duel_conv_multiply(z->k_group, duel_length(depth), columns, dy, (duel_factor){scratch, columns, true},
                       i > tiles.begin, sum, z->depth);
  }
}

// The chunks' sums join in pairs, those pairs in pairs, and so on.
static void join(const duel_call *call, const plan *p, int64_t piece) {
  const int64_t weights = p->z.k * p->z.depth;
  const duel_range range = duel_piece(weights, 16, duel_pieces(weights, 1 << 14), piece);
  real *sum = call->scratch;
  for (int64_t width = 1; width < p->chunks; width *= 2)
    for (int64_t i = 0; i + width < p->chunks; i += 2 * width) {
      real *to = sum + i * weights;
      const real *from = to + width * weights;
      DUEL_SIMD for (int64_t e = range.begin; e < range.end; e++) to[e] += from[e];
    }
  memcpy((real *)call->out[0].data + range.begin, sum + range.begin, (size_t)duel_length(range) * sizeof *sum);
}

static void conv2d_dw_run(const duel_call *call, int phase, int64_t piece) {
  const plan p = plan_of(call);
  if (phase == 1) {
    join(call, &p, piece);
    return;
  }
  const duel_range items = duel_piece(p.items, 1, p.pieces, piece);
  for (int64_t i = items.begin; i < items.end; i++)
    one_item(call, &p, i, (real *)call->scratch + p.sums + piece * p.part);
}
const duel_kernel DUEL_CPU_NAME(conv2d_dw) = {.scratch = conv2d_dw_scratch, .cut = conv2d_dw_cut, .run = conv2d_dw_run};
