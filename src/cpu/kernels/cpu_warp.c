// Images under affine maps, and the adjoint. Of each row of y a table is made, of TAPS neighbors of each pixel's place
// in x, with their weights; all channels of the image share it. warp2d takes from there, warp2d_dx adds there, in the
// order of y's pixels. Pieces are runs of planes. Loops over whole lanes go on behind a row's end, in scratch.
#include "core/ops/warp.h"
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 16384, TAPS = 4 };

typedef struct images {
  int64_t planes, pieces;
  int32_t channels, height, width;
  int64_t wide; // the width in whole lanes
} images;

static images images_of(const duel_call *call) {
  const int64_t *size = call->out[0].shape.dim;
  images s = {.planes = size[0] * size[1]};
  s.channels = (int32_t)size[1];
  s.height = (int32_t)size[2], s.width = (int32_t)size[3];
  s.pieces = duel_min(duel_pieces(duel_count(&call->out[0]), GRAIN), s.planes);
  s.wide = duel_ceil_div(s.width, DUEL_SUM_LANES) * DUEL_SUM_LANES;
  return s;
}

// Scratch, of each piece: weights [TAPS, wide] and two lines [2, wide]; places int32 [TAPS, wide] of each.
static size_t warp_scratch(const duel_call *call) {
  const images s = images_of(call);
  return (size_t)(s.pieces * s.wide) * ((TAPS + 2) * sizeof(real) + TAPS * sizeof(int32_t));
}

static void warp_cut(const duel_call *call, duel_cut *cut) {
  const images s = images_of(call);
  *cut = (duel_cut){s.planes, 1, s.pieces};
}

// Of row i of an image: the neighbors' places in a plane and their weights. at: room for two lines.
static void make_table(const images *s, const real *map, int32_t i, real *restrict at, real *restrict weight,
                       int32_t *restrict place) {
  const real line_x = duel_warp_line(map, i), line_y = duel_warp_line(map + 3, i);
  const int32_t height = s->height, width = s->width, wide = (int32_t)s->wide;
  DUEL_SIMD for (int32_t j = 0; j < wide; j++) { // a loop of its own: together they would have branches
    at[j] = duel_warp_bound(duel_warp_place(map, j, line_x), width);
    at[wide + j] = duel_warp_bound(duel_warp_place(map + 3, j, line_y), height);
  }
  DUEL_SIMD for (int32_t j = 0; j < wide; j++) {
    const duel_warp_taps right = duel_warp_taps_of(at[j], width), down = duel_warp_taps_of(at[wide + j], height);
    place[j] = down.low * width + right.low;
    place[wide + j] = down.low * width + right.high;
    place[2 * wide + j] = down.high * width + right.low;
    place[3 * wide + j] = down.high * width + right.high;
    weight[j] = down.low_weight * right.low_weight;
    weight[wide + j] = down.low_weight * right.high_weight;
    weight[2 * wide + j] = down.high_weight * right.low_weight;
    weight[3 * wide + j] = down.high_weight * right.high_weight;
  }
}

// What a neighbor adds; one without weight is not taken.
DUEL_INLINE real tap(real weight, real x) {
  return weight * (weight != 0 ? x : 0);
}

static void take_row(const images *s, const real *weight, const int32_t *place, const real *plane, real *line,
                     real *dst) {
  const int64_t n = s->wide;
  DUEL_SIMD for (int64_t j = 0; j < n; j++) line[j] =
      ((tap(weight[j], plane[place[j]]) + tap(weight[n + j], plane[place[n + j]])) +
       tap(weight[2 * n + j], plane[place[2 * n + j]])) +
      tap(weight[3 * n + j], plane[place[3 * n + j]]);
  memcpy(dst, line, (size_t)s->width * sizeof *dst);
}

static void add_row(const images *s, const real *weight, const int32_t *place, const real *src, real *plane) {
  const int64_t n = s->wide;
  for (int64_t j = 0; j < s->width; j++)
    for (int64_t at = j; at < TAPS * n; at += n)
      if (weight[at] != 0) plane[place[at]] += weight[at] * src[j];
}

static void warp_run(const duel_call *call, const duel_piece *piece) {
  const images s = images_of(call);
  const duel_span planes = piece->units;
  const int64_t size = (int64_t)s.height * s.width, lanes = (TAPS + 2) * s.wide;
  real *weight = (real *)call->scratch + piece->index * lanes, *line = weight + TAPS * s.wide;
  int32_t *place = (int32_t *)((real *)call->scratch + s.pieces * lanes) + piece->index * TAPS * s.wide;
  const real *src = call->in[0].data, *map = call->in[1].data;
  real *dst = call->out[0].data;
  const bool back = call->op == DUEL_OP_WARP2D_DX;
  if (back) memset(dst + planes.begin * size, 0, (size_t)((planes.end - planes.begin) * size) * sizeof *dst);
  for (int64_t first = planes.begin, next; first < planes.end; first = next) {
    const int64_t image = first / s.channels;
    next = duel_min((image + 1) * s.channels, planes.end);
    for (int32_t i = 0; i < s.height; i++) {
      make_table(&s, map + 6 * image, i, line, weight, place);
      for (int64_t p = first; p < next; p++)
        if (back)
          add_row(&s, weight, place, src + p * size + (int64_t)i * s.width, dst + p * size);
        else
          take_row(&s, weight, place, src + p * size, line, dst + p * size + (int64_t)i * s.width);
    }
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(warp2d) = {.scratch = warp_scratch, .cut = warp_cut, .run = warp_run};
const duel_cpu_kernel DUEL_CPU_NAME(warp2d_dx) = {.scratch = warp_scratch, .cut = warp_cut, .run = warp_run};
