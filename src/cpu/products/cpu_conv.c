// conv2d, conv2d_act. Phase 0 packs the weights. In phase 1 each piece correlates its tiles of the image with them;
// where the kernel is two strides long, by Winograd's filtering.
#include "cpu/products/cpu_winograd.h"

typedef struct plan {
  duel_conv_sizes sizes;
  duel_tiles tiles;
  duel_lowering lowering;
  duel_winograd winograd;
  bool by_winograd;
  int64_t items, pieces;
  int64_t packed;   // elements or units of one group's packed weights. scratch = [groups][packed], then [pieces][share]
  int64_t products; // elements of a tile's products, [columns of all points][padded k]
  int64_t share;    // elements of one piece's scratch
} plan;

// A piece's scratch: lowered tile | results [panel][column][DUEL_GEMM_LANES] | of Winograd's filtering: products,
// transformed patches.
static plan plan_of(const duel_call *call) {
  plan p = {.sizes = duel_conv_sizes_of(call)};
  const duel_conv_sizes *sizes = &p.sizes;
  const duel_conv *conv = &call->attr->conv;
  const duel_patches patches = duel_patches_of(call, sizes, 0);
  p.winograd = (duel_winograd){conv->stride[0], conv->stride[1]};
  p.tiles = duel_tiles_of(sizes->n, sizes->p, sizes->q, DUEL_WINOGRAD_COLUMNS);
  p.lowering = duel_lowering_of(&patches, &p.tiles);
  p.by_winograd =
      duel_winograd_fits(sizes, conv) && !p.lowering.apart && duel_winograd_pays(&patches, &p.tiles, sizes->k_group);
  if (p.by_winograd) {
    p.packed = duel_winograd_packed(&p.winograd, &patches, sizes->k_group);
    const int64_t columns = duel_winograd_columns(&p.tiles);
    p.products = columns * duel_gemm_padded(sizes->k_group);
    p.share = p.products + columns * conv->stride[0] * conv->stride[1] * p.lowering.block;
  } else {
    p.tiles = duel_tiles_of(sizes->n, sizes->p, sizes->q, DUEL_TILE_COLUMNS);
    p.lowering = duel_lowering_of(&patches, &p.tiles);
    p.packed = duel_packed_elements(&patches, sizes->k_group);
  }
  p.share += p.lowering.elements + duel_gemm_padded(sizes->k_group) * DUEL_MOST_COLUMNS;
  p.items = duel_tiles_count(&p.tiles) * sizes->groups;
  p.pieces = duel_conv_pieces(p.items);
  return p;
}

static size_t conv2d_scratch(const duel_call *call) {
  const plan p = plan_of(call);
  return (size_t)(p.sizes.groups * p.packed + p.pieces * p.share) * sizeof(real);
}

static void conv2d_cut(const duel_call *call, duel_cut *cut) {
  const plan p = plan_of(call);
  cut[0] = duel_cut_rows(p.sizes.c, p.sizes.k * p.sizes.depth, DUEL_PACK_ELEMENTS);
  cut[1] = (duel_cut){p.items, 1, p.pieces};
}

static void pack(const duel_call *call, const plan *p, duel_span channels) {
  const duel_conv_sizes *sizes = &p->sizes;
  for (int64_t group = channels.begin / sizes->c_group; group * sizes->c_group < channels.end; group++) {
    const duel_patches patches = duel_patches_of(call, sizes, group);
    const duel_span of_group = duel_own_channels(channels, sizes->c_group, group);
    const duel_weights weights = {(const real *)call->in[1].data + group * sizes->k_group * sizes->depth, sizes->depth,
                                  sizes->r * sizes->s, sizes->s, 1};
    real *packed = (real *)call->scratch + group * p->packed;
    if (p->by_winograd)
      duel_winograd_pack(&p->winograd, &p->lowering, &patches, sizes->k_group, &weights, of_group, packed);
    else
      duel_pack_weights(&p->lowering, &patches, sizes->k_group, &weights, of_group, (duel_gemm_unit *)packed);
  }
}

static void one_tile(const duel_call *call, const plan *p, int64_t item, real *scratch) {
  const duel_conv_sizes *sizes = &p->sizes;
  const duel_lowering *lowering = &p->lowering;
  const int64_t n_tiles = duel_tiles_count(&p->tiles), group = item / n_tiles, pixels = sizes->p * sizes->q;
  const duel_tile tile = duel_tile_at(&p->tiles, item % n_tiles);
  const duel_patches patches = duel_patches_of(call, sizes, group);
  const real *packed = (const real *)call->scratch + group * p->packed;
  int64_t place[DUEL_MOST_COLUMNS];
  for (int64_t j = 0; j < DUEL_MOST_COLUMNS; j++) place[j] = j;
  const duel_results results = {sizes->k_group, duel_tile_columns(&tile), place, scratch + lowering->elements};
  real *products = results.data + duel_gemm_padded(sizes->k_group) * DUEL_MOST_COLUMNS;
  for (int64_t b = 0; b < lowering->blocks; b++) {
    const duel_span channels = duel_lowering_channels(lowering, &patches, b);
    const duel_layout layout = duel_lower(lowering, &patches, &tile, channels, scratch);
    const duel_correlation c = {lowering, &patches, &tile, b, &layout, &results};
    if (p->by_winograd) {
      duel_winograd_correlate(&p->winograd, &c, scratch, packed, products, products + p->products);
    } else {
      duel_pack_lowered(&tile, &layout, scratch);
      duel_correlate(&c, (const duel_packed *)scratch, (const duel_gemm_unit *)packed);
    }
  }
  const duel_finish finish = duel_finish_of(call, group * sizes->k_group);
  duel_store_results(&tile, sizes->k_group, &finish, results.data,
                     (real *)call->out[0].data + group * sizes->k_group * pixels, pixels, sizes->k * pixels, sizes->q);
}

static void conv2d_run(const duel_call *call, const duel_piece *piece) {
  const plan p = plan_of(call);
  if (piece->phase == 0) {
    pack(call, &p, piece->units);
    return;
  }
  real *scratch = (real *)call->scratch + p.sizes.groups * p.packed + piece->index * p.share;
  for (int64_t i = piece->units.begin; i < piece->units.end; i++) one_tile(call, &p, i, scratch);
}
const duel_cpu_kernel DUEL_CPU_NAME(conv2d) = {
    .check = duel_blas_check_conv, .scratch = conv2d_scratch, .cut = conv2d_cut, .run = conv2d_run};
const duel_cpu_kernel DUEL_CPU_NAME(conv2d_act) = {
    .check = duel_blas_check_conv, .scratch = conv2d_scratch, .cut = conv2d_cut, .run = conv2d_run};
