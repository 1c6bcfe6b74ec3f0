// Lowering a tile, and correlating it with packed weights: what conv2d and conv2d_dx have in common.
// All cuts follow from shapes alone. Each result is one chain of multiply-adds in the order block of channels, r, s,
// channel: how weights are packed shows in no bit.
#include "cpu/products/cpu_conv_lower.h"

enum {
  LOWERED_ELEMENTS = 1 << 16, // of a tile: half of a usual second-level cache
  LEAST_CHANNELS = 16,        // of a block, where there are so many
  LEAST_RUN = 32,             // a shorter one costs more than copying each patch
};

// ---- lowering
// Rows (columns) of x from the first pixel's first tap to the last pixel's last tap, both counted.
static int64_t reach(const duel_taps *taps, int64_t pixels) {
  return pixels > 0 ? (pixels - 1) * taps->stride + (taps->n - 1) * taps->apart + 1 : 0;
}

duel_lowering duel_lowering_of(const duel_patches *patches, const duel_tiles *tiles) {
  const int64_t n = duel_ceil_div(tiles->n, tiles->cuts_n), p = duel_ceil_div(tiles->p, tiles->cuts_p);
  const int64_t q = duel_ceil_div(tiles->q, tiles->cuts_q), taps = patches->down.n * patches->right.n;
  const bool gaps = patches->right.apart > 1 && patches->right.n > 1;
  duel_lowering lowering = {0};
  // Wide: most of what lies between is read by no tap.
  const bool wide = reach(&patches->down, p) * reach(&patches->right, q) > p * q * taps;
  lowering.apart = gaps || wide || patches->right.n * patches->channels < LEAST_RUN;
  // Where patches lie apart, fewer channels make a run that is long enough.
  const int64_t least = lowering.apart ? duel_min(duel_ceil_div(LEAST_RUN, taps), LEAST_CHANNELS) : LEAST_CHANNELS;
  const int64_t places = lowering.apart ? n * p * q * taps : n * reach(&patches->down, p) * reach(&patches->right, q);
  int64_t most = LOWERED_ELEMENTS / places / least * least;
  if (most < least) most = least;
  lowering.blocks = duel_ceil_div(patches->channels, most);
  lowering.block = duel_ceil_div(duel_ceil_div(patches->channels, lowering.blocks), least) * least;
  lowering.block = duel_min(lowering.block, patches->channels);
  lowering.blocks = duel_ceil_div(patches->channels, lowering.block);
  lowering.elements = duel_ceil_div(places * lowering.block + DUEL_GEMM_ROWS, 16) * 16; // what follows is aligned
  return lowering;
}

// The pixels i of a row with base + i·stride in 0 … extent − 1.
static duel_span inside(int64_t base, int64_t stride, int64_t extent, int64_t pixels) {
  const int64_t begin = base >= 0 ? 0 : duel_ceil_div(-base, stride);
  const int64_t end = base >= extent ? 0 : duel_ceil_div(extent - base, stride);
  return (duel_span){duel_min(begin, pixels), begin < end ? duel_min(end, pixels) : duel_min(begin, pixels)};
}

static duel_layout lower_shared(const duel_patches *patches, const duel_tile *tile, duel_span channels, real *dst) {
  const int64_t down = reach(&patches->down, duel_length(tile->p)),
                right = reach(&patches->right, duel_length(tile->q));
  const int64_t c = duel_length(channels), line = right * c;
  const int64_t top = tile->p.begin * patches->down.stride + patches->down.base,
                left = tile->q.begin * patches->right.stride + patches->right.base;
  const duel_span h = inside(top, 1, patches->h, down), w = inside(left, 1, patches->w, right);
  const int64_t width = duel_length(w), before = w.begin * c, after = (right - w.end) * c;
  const bool whole = width == patches->w; // rows of an image follow each other
  for (int64_t n = tile->n.begin; n < tile->n.end; n++, dst += down * line) {
    const real *src =
        patches->src + n * patches->image + (channels.begin * patches->h + top + h.begin) * patches->w + left + w.begin;
    memset(dst, 0, (size_t)(h.begin * line) * sizeof *dst);
    memset(dst + h.end * line, 0, (size_t)((down - h.end) * line) * sizeof *dst);
    real *row = dst + h.begin * line;
    for (int64_t i = h.begin; i < h.end; i++, row += line) {
      memset(row, 0, (size_t)before * sizeof *dst);
      memset(row + line - after, 0, (size_t)after * sizeof *dst);
      if (width > 0 && (!whole || i == h.begin))
        duel_transpose_reading(c, whole ? duel_length(h) * width : width, src + (i - h.begin) * patches->w,
                               patches->h * patches->w, row + before, (duel_lines){width, line, c}, patches->image);
    }
  }
  return (duel_layout){down * line, patches->down.stride * line, patches->right.stride * c, patches->down.apart * line,
                       c};
}

static duel_layout lower_apart(const duel_patches *patches, const duel_tile *tile, duel_span channels, real *dst) {
  const int64_t c = duel_length(channels), row = duel_length(tile->q), length = patches->down.n * patches->right.n * c;
  const int64_t stride = patches->right.stride;
  for (int64_t n = tile->n.begin; n < tile->n.end; n++)
    for (int64_t p = tile->p.begin; p < tile->p.end; p++, dst += row * length) {
      real *element = dst;
      for (int64_t r = 0; r < patches->down.n; r++) {
        const int64_t h = p * patches->down.stride + patches->down.base + r * patches->down.apart;
        const bool there = h >= 0 && h < patches->h;
        for (int64_t s = 0; s < patches->right.n; s++) {
          const int64_t first = tile->q.begin * stride + patches->right.base + s * patches->right.apart;
          const duel_span q = there ? inside(first, stride, patches->w, row) : (duel_span){0, 0};
          for (int64_t k = channels.begin; k < channels.end; k++, element++) {
            const real *src = patches->src + n * patches->image + (k * patches->h + (there ? h : 0)) * patches->w;
            for (int64_t i = 0; i < q.begin; i++) element[i * length] = 0;
            for (int64_t i = q.begin; i < q.end; i++) element[i * length] = src[first + i * stride];
            for (int64_t i = q.end; i < row; i++) element[i * length] = 0;
          }
        }
      }
    }
  return (duel_layout){duel_length(tile->p) * row * length, row * length, length, patches->right.n * c, c};
}

duel_layout duel_lower(const duel_lowering *lowering, const duel_patches *patches, const duel_tile *tile,
                       duel_span channels, real *dst) {
  return lowering->apart ? lower_apart(patches, tile, channels, dst) : lower_shared(patches, tile, channels, dst);
}

// ---- correlation
#ifdef DUEL_BF16_UNITS
// dst [k] = element t of the run that begins at row r of the kernel.
static void weights_at(const duel_weights *weights, int64_t outputs, int64_t r, int64_t t, duel_span block,
                       int64_t taps, real *dst) {
  const int64_t tap = t / duel_length(block), c = block.begin + t % duel_length(block);
  const real *src = weights->data + c * weights->c + (r + tap / taps) * weights->r + tap % taps * weights->s;
  for (int64_t i = 0; i < outputs; i++) dst[i] = src[i * weights->k];
}

// A unit belongs to the channel of its first element.
void duel_pack_weights(const duel_lowering *lowering, const duel_patches *patches, int64_t k,
                       const duel_weights *weights, duel_span channels, duel_gemm_unit *packed) {
  const int64_t padded = duel_gemm_padded(k), taps = patches->down.n * patches->right.n;
  const int64_t runs = lowering->apart ? 1 : patches->down.n;
  for (int64_t c = channels.begin; c < channels.end; c++) {
    const duel_span block = duel_lowering_channels(lowering, patches, c / lowering->block);
    const int64_t n = duel_length(block), length = taps / runs * n;
    duel_gemm_unit *dst = packed + block.begin * padded * taps;
    for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES)
      for (int64_t r = 0; r < runs; r++, dst += duel_units_of(length) * DUEL_GEMM_LANES)
        for (int64_t t = c - block.begin; t < length; t += n) {
          if (t % DUEL_UNIT) continue;
          real first[DUEL_GEMM_LANES] = {0}, second[DUEL_GEMM_LANES] = {0};
          const duel_weights of_panel = {weights->data + panel * weights->k, weights->k, weights->c, weights->r,
                                         weights->s};
          const int64_t outputs = duel_min(DUEL_GEMM_LANES, k - panel);
          weights_at(&of_panel, outputs, r, t, block, patches->right.n, first);
          if (t + 1 < length) weights_at(&of_panel, outputs, r, t + 1, block, patches->right.n, second);
          duel_pack_units(DUEL_GEMM_LANES, first, second, dst + t / DUEL_UNIT * DUEL_GEMM_LANES);
        }
  }
}
#else
void duel_pack_weights(const duel_lowering *lowering, const duel_patches *patches, int64_t k,
                       const duel_weights *weights, duel_span channels, duel_gemm_unit *packed) {
  enum { STRIP = 16 }; // columns of a row of taps at a time
  const int64_t padded = duel_gemm_padded(k), taps = patches->down.n * patches->right.n;
  for (int64_t c = channels.begin; c < channels.end; c++) {
    const duel_span block = duel_lowering_channels(lowering, patches, c / lowering->block);
    const int64_t n = duel_length(block), next = n * DUEL_GEMM_LANES; // from a tap to the next
    for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES) {
      const int64_t outputs = duel_min(DUEL_GEMM_LANES, k - panel);
      real *dst = packed + (block.begin * padded + panel * n) * taps + (c - block.begin) * DUEL_GEMM_LANES;
      real row[DUEL_GEMM_LANES][STRIP] = {0};
      for (int64_t r = 0; r < patches->down.n; r++)
        for (int64_t s = 0; s < patches->right.n; s += STRIP) {
          const int64_t n_s = duel_min(STRIP, patches->right.n - s);
          const real *src = weights->data + panel * weights->k + c * weights->c + r * weights->r + s * weights->s;
          for (int64_t i = 0; i < outputs; i++)
            for (int64_t j = 0; j < n_s; j++) row[i][j] = src[i * weights->k + j * weights->s];
          duel_transpose_to(DUEL_GEMM_LANES, n_s, row[0], STRIP, dst + (r * patches->right.n + s) * next, next);
        }
    }
  }
}
#endif

// Where the patches of a tile's columns begin.
static void patches_at(const duel_layout *layout, const duel_tile *tile, int64_t *at) {
  for (int64_t n = 0; n < duel_length(tile->n); n++)
    for (int64_t p = 0; p < duel_length(tile->p); p++)
      for (int64_t q = 0; q < duel_length(tile->q); q++)
        *at++ = n * layout->image + p * layout->row + q * layout->pixel;
}

// Run by run, so that a run's weights stay in the first-level cache.
void duel_correlate(const duel_correlation *c, const duel_packed *lowered, const duel_gemm_unit *packed) {
  int64_t at[DUEL_MOST_COLUMNS];
  const duel_results *results = c->results;
  const duel_patches *patches = c->patches;
  const duel_span channels = duel_lowering_channels(c->lowering, patches, c->block);
  const int64_t columns = duel_tile_columns(c->tile), padded = duel_gemm_padded(results->k);
  const int64_t runs = c->lowering->apart ? 1 : patches->down.n, taps = patches->down.n * patches->right.n;
  const int64_t length = duel_units_of(taps / runs * duel_length(channels)), run = c->layout->run;
  const duel_gemm_unit *weights = packed + channels.begin * padded * taps;
  patches_at(c->layout, c->tile, at);
  for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES) {
    real *result = results->data + panel * results->places;
    for (int64_t r = 0; r < runs; r++, weights += length * DUEL_GEMM_LANES)
      for (int64_t j = 0; j < columns; j += DUEL_GEMM_ROWS) {
        const int rows = (int)duel_min(DUEL_GEMM_ROWS, columns - j);
        const duel_packed *left[DUEL_GEMM_ROWS];
        real *dst[DUEL_GEMM_ROWS];
        for (int i = 0; i < rows; i++) {
          left[i] = lowered + at[j + i] + r * run;
          dst[i] = result + results->place[j + i] * DUEL_GEMM_LANES;
        }
        duel_gemm_rows(rows, length, left, weights, c->block > 0 || r > 0, dst);
      }
  }
}

DUEL_INLINE void finish_as(int act, real slope, const real *bias, int64_t places, real *result) {
  for (int64_t i = 0; i < places; i++, result += DUEL_GEMM_LANES)
    DUEL_SIMD for (int k = 0; k < DUEL_GEMM_LANES; k++) result[k] = duel_act_real(result[k] + bias[k], act, slope);
}

// A panel of outputs, `there` of which exist.
static void finish_panel(const duel_finish *finish, int64_t panel, int64_t there, int64_t places, real *result) {
  real bias[DUEL_GEMM_LANES] = {0};
  if (!finish->bias && finish->act == DUEL_ACT_NONE) return;
  for (int64_t k = 0; finish->bias && k < there; k++) bias[k] = finish->bias[panel + k];
  DUEL_BY_ACT(finish->act, finish_as, finish->slope, bias, places, result)
}

void duel_store_results(const duel_tile *tile, int64_t k, const duel_finish *finish, real *result, real *data,
                        int64_t channel, int64_t image, int64_t row) {
  const int64_t places = duel_tile_columns(tile), width = duel_length(tile->q), height = duel_length(tile->p);
  const bool whole = width == row; // rows follow each other
  const int64_t strip = whole ? height * width : width, strips = whole ? 1 : height;
  for (int64_t panel = 0; panel < k; panel += DUEL_GEMM_LANES) {
    const int64_t outputs = duel_min(DUEL_GEMM_LANES, k - panel);
    finish_panel(finish, panel, outputs, places, result + panel * places);
    for (int64_t n = tile->n.begin; n < tile->n.end; n++)
      for (int64_t i = 0; i < strips; i++) {
        const real *src = result + panel * places + ((n - tile->n.begin) * height + i) * width * DUEL_GEMM_LANES;
        real *dst = data + panel * channel + n * image + (tile->p.begin + i) * row + tile->q.begin;
        duel_transpose_writing(strip, outputs, src, DUEL_GEMM_LANES, dst, channel, image);
      }
  }
}
