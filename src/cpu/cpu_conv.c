// conv2d: the weights are packed once a call, then each piece correlates its tiles with them.
#include "cpu/cpu_conv.h"

typedef struct plan {
  duel_conv_sizes z;
  duel_tiles tiles;
  duel_lowering lowering;
  int64_t items, pieces, pack_pieces;
  int64_t packed; // numbers of a group's packed weights; all groups' lie in front of the pieces' scratch
  int64_t part;   // numbers of a piece's scratch
} plan;

static plan plan_of(const duel_call *call) {
  plan p = {.z = duel_conv_sizes_of(call)};
  const duel_patches f = duel_patches_of(call, &p.z, 0);
  p.tiles = duel_tiles_of(p.z.n, p.z.p, p.z.q, DUEL_TILE_COLUMNS);
  p.lowering = duel_lowering_of(&f, &p.tiles);
  p.items = duel_tiles_count(&p.tiles) * p.z.groups;
  p.pieces = duel_conv_pieces(p.items);
  p.pack_pieces = duel_min(duel_pieces(p.z.k * p.z.depth, DUEL_PACK_NUMBERS), p.z.c);
  p.packed = duel_packed_numbers(&f, p.z.k_group);
  p.part = p.lowering.numbers + duel_gemm_padded(p.z.k_group) * DUEL_TILE_COLUMNS;
  return p;
}

static size_t conv2d_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.z.groups * p.packed + p.pieces * p.part) * sizeof(real);
}

static int conv2d_cut(const duel_call *call, int64_t pieces[DUEL_MAX_PHASE]) {
  const plan p = plan_of(call);
  pieces[0] = p.pack_pieces;
  pieces[1] = p.pieces;
  return 2;
}

static void pack(const duel_call *call, const plan *p, int64_t piece) {
  const duel_conv_sizes *z = &p->z;
  const duel_range channels = duel_piece(z->c, 1, p->pack_pieces, piece);
  for (int64_t group = channels.begin / z->c_group; group * z->c_group < channels.end; group++) {
    const duel_patches f = duel_patches_of(call, z, group);
    const duel_range own = duel_own_channels(channels, z->c_group, group);
    const duel_weights w = {(const real *)call->in[1].data + group * z->k_group * z->depth, z->depth, z->r * z->s, z->s,
                            1};
    duel_pack_weights(&p->lowering, &f, z->k_group, &w, own, (real *)call->scratch + group * p->packed);
  }
}

static void one_tile(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t n_tiles = duel_tiles_count(&p->tiles), group = item / n_tiles, pixels = z->p * z->q;
  const duel_tile t = duel_tile_at(&p->tiles, item % n_tiles);
  const duel_patches f = duel_patches_of(call, z, group);
  int64_t place[DUEL_TILE_COLUMNS];
  for (int64_t j = 0; j < DUEL_TILE_COLUMNS; j++) place[j] = j;
  const duel_products to = {z->k_group, duel_tile_columns(&t), place, scratch + p->lowering.numbers};
  for (int64_t b = 0; b < p->lowering.blocks; b++) {
    const duel_lowered m = duel_lower(&p->lowering, &f, &t, duel_lowering_channels(&p->lowering, &f, b), scratch);
    duel_correlate(&p->lowering, &f, &t, b, &m, scratch, (const real *)call->scratch + group * p->packed, &to);
  }
  duel_store_results(&t, z->k_group, to.result, (real *)call->out[0].data + group * z->k_group * pixels, pixels,
                     z->k * pixels, z->q);
}

static void conv2d_run(const duel_call *call, int phase, int64_t piece) {
  const plan p = plan_of(call);
  if (phase == 0) {
    pack(call, &p, piece);
    return;
  }
  const duel_range items = duel_piece(p.items, 1, p.pieces, piece);
  real *scratch = (real *)call->scratch + p.z.groups * p.packed + piece * p.part;
  for (int64_t i = items.begin; i < items.end; i++) one_tile(call, &p, i, scratch);
}
const duel_kernel DUEL_CPU_NAME(conv2d) = {.scratch = conv2d_scratch, .cut = conv2d_cut, .run = conv2d_run};
