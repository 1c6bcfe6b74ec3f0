// conv2d, conv2d_act: the weights are packed once a call, then each piece correlates its tiles with them, by Winograd's
// filtering where the kernel is two strides long.
#include "cpu/products/cpu_winograd.h"

typedef struct plan {
  duel_conv_sizes z;
  duel_tiles tiles;
  duel_lowering lowering;
  duel_winograd winograd;
  bool by_winograd;
  int64_t items, pieces, pack_pieces;
  int64_t packed;   // numbers or units of a group's packed weights; all groups' lie in front of the pieces' scratch
  int64_t products; // numbers of a tile's products at Winograd's points
  int64_t part;     // numbers of a piece's scratch
} plan;

// A piece's scratch: the lowered tile, its results, and what Winograd's filtering takes besides.
static plan plan_of(const duel_call *call) {
  plan p = {.z = duel_conv_sizes_of(call)};
  const duel_conv_sizes *z = &p.z;
  const duel_conv *c = &call->attr->conv;
  const duel_patches f = duel_patches_of(call, z, 0);
  p.winograd = (duel_winograd){c->stride[0], c->stride[1]};
  p.tiles = duel_tiles_of(z->n, z->p, z->q, DUEL_WINOGRAD_COLUMNS);
  p.lowering = duel_lowering_of(&f, &p.tiles);
  p.by_winograd = duel_winograd_fits(z, c) && !p.lowering.apart && duel_winograd_pays(&f, &p.tiles, z->k_group);
  if (p.by_winograd) {
    p.packed = duel_winograd_packed(&p.winograd, &f, z->k_group);
    const int64_t columns = duel_winograd_columns(&p.tiles);
    p.products = columns * duel_gemm_padded(z->k_group);
    p.part = p.products + columns * c->stride[0] * c->stride[1] * p.lowering.block;
  } else {
    p.tiles = duel_tiles_of(z->n, z->p, z->q, DUEL_TILE_COLUMNS);
    p.lowering = duel_lowering_of(&f, &p.tiles);
    p.packed = duel_packed_numbers(&f, z->k_group);
  }
  p.part += p.lowering.numbers + duel_gemm_padded(z->k_group) * DUEL_MOST_COLUMNS;
  p.items = duel_tiles_count(&p.tiles) * z->groups;
  p.pieces = duel_conv_pieces(p.items);
  p.pack_pieces = duel_min(duel_pieces(z->k * z->depth, DUEL_PACK_NUMBERS), z->c);
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
  const duel_span channels = duel_piece(z->c, 1, p->pack_pieces, piece);
  for (int64_t group = channels.begin / z->c_group; group * z->c_group < channels.end; group++) {
    const duel_patches f = duel_patches_of(call, z, group);
    const duel_span own = duel_own_channels(channels, z->c_group, group);
    const duel_weights w = {(const real *)call->in[1].data + group * z->k_group * z->depth, z->depth, z->r * z->s, z->s,
                            1};
    real *packed = (real *)call->scratch + group * p->packed;
    if (p->by_winograd)
      duel_winograd_pack(&p->winograd, &p->lowering, &f, z->k_group, &w, own, packed);
    else
      duel_pack_weights(&p->lowering, &f, z->k_group, &w, own, (duel_gemm_unit *)packed);
  }
}

static void one_tile(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *z = &p->z;
  const int64_t n_tiles = duel_tiles_count(&p->tiles), group = item / n_tiles, pixels = z->p * z->q;
  const duel_tile t = duel_tile_at(&p->tiles, item % n_tiles);
  const duel_patches f = duel_patches_of(call, z, group);
  const real *packed = (const real *)call->scratch + group * p->packed;
  int64_t place[DUEL_MOST_COLUMNS];
  for (int64_t j = 0; j < DUEL_MOST_COLUMNS; j++) place[j] = j;
  const duel_products to = {z->k_group, duel_tile_columns(&t), place, scratch + p->lowering.numbers};
  real *products = to.result + duel_gemm_padded(z->k_group) * DUEL_MOST_COLUMNS;
  for (int64_t b = 0; b < p->lowering.blocks; b++) {
    const duel_lowered m = duel_lower(&p->lowering, &f, &t, duel_lowering_channels(&p->lowering, &f, b), scratch);
    if (p->by_winograd) {
      duel_winograd_correlate(&p->winograd, &p->lowering, &f, &t, b, &m, scratch, packed, &to, products,
                              products + p->products);
    } else {
      duel_pack_lowered(&t, &m, scratch);
      duel_correlate(&p->lowering, &f, &t, b, &m, (const duel_packed *)scratch, (const duel_gemm_unit *)packed, &to);
    }
  }
  const duel_finish finish = duel_finish_of(call, group * z->k_group);
  duel_store_results(&t, z->k_group, &finish, to.result, (real *)call->out[0].data + group * z->k_group * pixels,
                     pixels, z->k * pixels, z->q);
}

static void conv2d_run(const duel_call *call, int phase, int64_t piece) {
  const plan p = plan_of(call);
  if (phase == 0) {
    pack(call, &p, piece);
    return;
  }
  const duel_span items = duel_piece(p.items, 1, p.pieces, piece);
  real *scratch = (real *)call->scratch + p.z.groups * p.packed + piece * p.part;
  for (int64_t i = items.begin; i < items.end; i++) one_tile(call, &p, i, scratch);
}
const duel_cpu_kernel DUEL_CPU_NAME(conv2d) = {
    .check = duel_blas_check_conv, .scratch = conv2d_scratch, .cut = conv2d_cut, .run = conv2d_run};
const duel_cpu_kernel DUEL_CPU_NAME(conv2d_act) = {
    .check = duel_blas_check_conv, .scratch = conv2d_scratch, .cut = conv2d_cut, .run = conv2d_run};
