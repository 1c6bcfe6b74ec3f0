// Lowering a tile, and correlating it with packed weights: what conv2d and the phases of conv2d_dx have in common.
// Whatever cuts the work follows from shapes alone; each result is one chain of multiply-adds over blocks of channels,
// then r, s, channel, so packing and panels do not show in its bits.
#include "cpu/products/cpu_conv_lower.h"

enum {
  LOWERED_NUMBERS = 1 << 16, // of a tile: half of a usual second-level cache
  LEAST_CHANNELS = 16,       // of a block, where there are so many
  LEAST_RUN = 32,            // a shorter one costs more than copying each patch
};

// ---- lowering
static int64_t reach(const duel_taps *a, int64_t pixels) { // places from the first pixel's first tap to the last's last
  return pixels > 0 ? (pixels - 1) * a->stride + (a->n - 1) * a->step + 1 : 0;
}

duel_lowering duel_lowering_of(const duel_patches *f, const duel_tiles *tiles) {
  const int64_t n = duel_ceil_div(tiles->n, tiles->parts_n), p = duel_ceil_div(tiles->p, tiles->parts_p);
  const int64_t q = duel_ceil_div(tiles->q, tiles->parts_q), taps = f->down.n * f->right.n;
  const bool gaps = f->right.step > 1 && f->right.n > 1;
  duel_lowering l = {0};
  const bool wide = reach(&f->down, p) * reach(&f->right, q) > p * q * taps; // most places no tap meets
  l.apart = gaps || wide || f->right.n * f->channels < LEAST_RUN;
  // Where patches lie apart, fewer channels make a run that is long enough.
  const int64_t least = l.apart ? duel_min(duel_ceil_div(LEAST_RUN, taps), LEAST_CHANNELS) : LEAST_CHANNELS;
  const int64_t places = l.apart ? n * p * q * taps : n * reach(&f->down, p) * reach(&f->right, q);
  int64_t most = LOWERED_NUMBERS / places / least * least;
  if (most < least) most = least;
  l.blocks = duel_ceil_div(f->channels, most);
  l.block = duel_ceil_div(duel_ceil_div(f->channels, l.blocks), least) * least;
  l.block = duel_min(l.block, f->channels);
  l.blocks = duel_ceil_div(f->channels, l.block);
  l.numbers = duel_ceil_div(places * l.block + DUEL_GEMM_ROWS, 16) * 16; // what follows is aligned
  return l;
}

// The pixels of a row whose place base + i·stride lies in 0 … extent − 1.
static duel_span inside(int64_t base, int64_t stride, int64_t extent, int64_t pixels) {
  const int64_t begin = base >= 0 ? 0 : duel_ceil_div(-base, stride);
  const int64_t end = base >= extent ? 0 : duel_ceil_div(extent - base, stride);
  return (duel_span){duel_min(begin, pixels), begin < end ? duel_min(end, pixels) : duel_min(begin, pixels)};
}

static duel_lowered lower_shared(const duel_patches *f, const duel_tile *t, duel_span channels, real *dst) {
  const int64_t down = reach(&f->down, duel_length(t->p)), right = reach(&f->right, duel_length(t->q));
  const int64_t c = duel_length(channels), line = right * c;
  const int64_t top = t->p.begin * f->down.stride + f->down.base, left = t->q.begin * f->right.stride + f->right.base;
  const duel_span h = inside(top, 1, f->h, down), w = inside(left, 1, f->w, right);
  const int64_t width = duel_length(w), before = w.begin * c, after = (right - w.end) * c;
  const bool whole = width == f->w; // rows of an image follow each other
  for (int64_t n = t->n.begin; n < t->n.end; n++, dst += down * line) {
    const real *src = f->src + n * f->image + (channels.begin * f->h + top + h.begin) * f->w + left + w.begin;
    memset(dst, 0, (size_t)(h.begin * line) * sizeof *dst);
    memset(dst + h.end * line, 0, (size_t)((down - h.end) * line) * sizeof *dst);
    real *row = dst + h.begin * line;
    for (int64_t i = h.begin; i < h.end; i++, row += line) {
      memset(row, 0, (size_t)before * sizeof *dst);
      memset(row + line - after, 0, (size_t)after * sizeof *dst);
      if (width > 0 && (!whole || i == h.begin))
        duel_transpose_reading(c, whole ? duel_length(h) * width : width, src + (i - h.begin) * f->w, f->h * f->w,
                               row + before, width, line, c, f->image);
    }
  }
  return (duel_lowered){down * line, f->down.stride * line, f->right.stride * c, f->down.step * line, c};
}

static duel_lowered lower_apart(const duel_patches *f, const duel_tile *t, duel_span channels, real *dst) {
  const int64_t c = duel_length(channels), row = duel_length(t->q), length = f->down.n * f->right.n * c;
  const int64_t stride = f->right.stride;
  for (int64_t n = t->n.begin; n < t->n.end; n++)
    for (int64_t p = t->p.begin; p < t->p.end; p++, dst += row * length) {
      real *to = dst;
      for (int64_t r = 0; r < f->down.n; r++) {
        const int64_t h = p * f->down.stride + f->down.base + r * f->down.step;
        const bool there = h >= 0 && h < f->h;
        for (int64_t s = 0; s < f->right.n; s++) {
          const int64_t first = t->q.begin * stride + f->right.base + s * f->right.step;
          const duel_span q = there ? inside(first, stride, f->w, row) : (duel_span){0, 0};
          for (int64_t k = channels.begin; k < channels.end; k++, to++) {
            const real *src = f->src + n * f->image + (k * f->h + (there ? h : 0)) * f->w;
            for (int64_t i = 0; i < q.begin; i++) to[i * length] = 0;
            for (int64_t i = q.begin; i < q.end; i++) to[i * length] = src[first + i * stride];
            for (int64_t i = q.end; i < row; i++) to[i * length] = 0;
          }
        }
      }
    }
  return (duel_lowered){duel_length(t->p) * row * length, row * length, length, f->right.n * c, c};
}

duel_lowered duel_lower(const duel_lowering *l, const duel_patches *f, const duel_tile *t, duel_span channels,
                        real *dst) {
  return l->apart ? lower_apart(f, t, channels, dst) : lower_shared(f, t, channels, dst);
}

// ---- correlation
#ifdef DUEL_BF16_UNITS
// The number t of a run that begins with row r of taps, of all ks of a panel.
static void weights_at(const duel_weights *w, int64_t ks, int64_t r, int64_t t, duel_span block, int64_t taps,
                       real *dst) {
  const int64_t tap = t / duel_length(block), c = block.begin + t % duel_length(block);
  const real *src = w->data + c * w->c + (r + tap / taps) * w->r + tap % taps * w->s;
  for (int64_t i = 0; i < ks; i++) dst[i] = src[i * w->k];
}

// A unit belongs to the channel of its first number.
void duel_pack_weights(const duel_lowering *l, const duel_patches *f, int64_t k, const duel_weights *w,
                       duel_span channels, duel_gemm_unit *packed) {
  const int64_t padded = duel_gemm_padded(k), taps = f->down.n * f->right.n;
  const int64_t runs = l->apart ? 1 : f->down.n;
  for (int64_t c = channels.begin; c < channels.end; c++) {
    const duel_span block = duel_lowering_channels(l, f, c / l->block);
    const int64_t n = duel_length(block), length = taps / runs * n;
    duel_gemm_unit *dst = packed + block.begin * padded * taps;
    for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES)
      for (int64_t r = 0; r < runs; r++, dst += duel_units_of(length) * DUEL_GEMM_LANES)
        for (int64_t t = c - block.begin; t < length; t += n) {
          if (t % DUEL_UNIT) continue;
          real first[DUEL_GEMM_LANES] = {0}, second[DUEL_GEMM_LANES] = {0};
          const duel_weights own = {w->data + panel * w->k, w->k, w->c, w->r, w->s};
          const int64_t ks = duel_min(DUEL_GEMM_LANES, k - panel);
          weights_at(&own, ks, r, t, block, f->right.n, first);
          if (t + 1 < length) weights_at(&own, ks, r, t + 1, block, f->right.n, second);
          duel_pack_units(DUEL_GEMM_LANES, first, second, dst + t / DUEL_UNIT * DUEL_GEMM_LANES);
        }
  }
}
#else
void duel_pack_weights(const duel_lowering *l, const duel_patches *f, int64_t k, const duel_weights *w,
                       duel_span channels, duel_gemm_unit *packed) {
  enum { STRIP = 16 }; // columns of a row of taps at a time
  const int64_t padded = duel_gemm_padded(k), taps = f->down.n * f->right.n;
  for (int64_t c = channels.begin; c < channels.end; c++) {
    const duel_span block = duel_lowering_channels(l, f, c / l->block);
    const int64_t n = duel_length(block), next = n * DUEL_GEMM_LANES; // from a tap to the next
    for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES) {
      const int64_t ks = duel_min(DUEL_GEMM_LANES, k - panel);
      real *dst = packed + (block.begin * padded + panel * n) * taps + (c - block.begin) * DUEL_GEMM_LANES;
      real row[DUEL_GEMM_LANES][STRIP] = {0};
      for (int64_t r = 0; r < f->down.n; r++)
        for (int64_t s = 0; s < f->right.n; s += STRIP) {
          const int64_t n_s = duel_min(STRIP, f->right.n - s);
          const real *src = w->data + panel * w->k + c * w->c + r * w->r + s * w->s;
          for (int64_t i = 0; i < ks; i++)
            for (int64_t j = 0; j < n_s; j++) row[i][j] = src[i * w->k + j * w->s];
          duel_transpose_to(DUEL_GEMM_LANES, n_s, row[0], STRIP, dst + (r * f->right.n + s) * next, n_s, 0, next);
        }
    }
  }
}
#endif

// Where the patches of a tile's columns begin.
static void patches_at(const duel_lowered *m, const duel_tile *t, int64_t *at) {
  for (int64_t n = 0; n < duel_length(t->n); n++)
    for (int64_t p = 0; p < duel_length(t->p); p++)
      for (int64_t q = 0; q < duel_length(t->q); q++) *at++ = n * m->image + p * m->row + q * m->pixel;
}

// A run after the other, so that its weights stay in the first-level cache.
void duel_correlate(const duel_lowering *l, const duel_patches *f, const duel_tile *t, int64_t block,
                    const duel_lowered *m, const duel_packed *lowered, const duel_gemm_unit *packed,
                    const duel_products *to) {
  int64_t at[DUEL_MOST_COLUMNS];
  const duel_span channels = duel_lowering_channels(l, f, block);
  const int64_t columns = duel_tile_columns(t), padded = duel_gemm_padded(to->k);
  const int64_t runs = l->apart ? 1 : f->down.n;
  const int64_t length = duel_units_of((l->apart ? f->down.n : 1) * f->right.n * duel_length(channels));
  const duel_gemm_unit *weights = packed + channels.begin * padded * f->down.n * f->right.n;
  patches_at(m, t, at);
  for (int64_t panel = 0; panel < padded; panel += DUEL_GEMM_LANES) {
    real *result = to->result + panel * to->places;
    for (int64_t r = 0; r < runs; r++, weights += length * DUEL_GEMM_LANES)
      for (int64_t j = 0; j < columns; j += DUEL_GEMM_ROWS) {
        const int rows = (int)duel_min(DUEL_GEMM_ROWS, columns - j);
        const duel_packed *a[DUEL_GEMM_ROWS];
        real *c[DUEL_GEMM_ROWS];
        for (int i = 0; i < rows; i++) {
          a[i] = lowered + at[j + i] + r * m->run;
          c[i] = result + to->place[j + i] * DUEL_GEMM_LANES;
        }
        duel_gemm_rows(rows, length, a, weights, block > 0 || r > 0, c);
      }
  }
}

DUEL_INLINE void finish_as(int act, real slope, const real *bias, int64_t places, real *result) {
  for (int64_t i = 0; i < places; i++, result += DUEL_GEMM_LANES)
    DUEL_SIMD for (int k = 0; k < DUEL_GEMM_LANES; k++) result[k] = duel_act_real(result[k] + bias[k], act, slope);
}

// A panel of ks, `there` of which exist.
static void finish_panel(const duel_finish *f, int64_t panel, int64_t there, int64_t places, real *result) {
  real bias[DUEL_GEMM_LANES] = {0};
  if (!f->bias && f->act == DUEL_ACT_NONE) return;
  for (int64_t k = 0; f->bias && k < there; k++) bias[k] = f->bias[panel + k];
  DUEL_BY_ACT(f->act, finish_as, f->slope, bias, places, result)
}

void duel_store_results(const duel_tile *t, int64_t k, const duel_finish *finish, real *result, real *data,
                        int64_t channel, int64_t image, int64_t row) {
  const int64_t places = duel_tile_columns(t), width = duel_length(t->q), height = duel_length(t->p);
  const bool whole = width == row; // rows follow each other
  const int64_t strip = whole ? height * width : width, strips = whole ? 1 : height;
  for (int64_t panel = 0; panel < k; panel += DUEL_GEMM_LANES) {
    const int64_t ks = duel_min(DUEL_GEMM_LANES, k - panel);
    finish_panel(finish, panel, ks, places, result + panel * places);
    for (int64_t n = t->n.begin; n < t->n.end; n++)
      for (int64_t i = 0; i < strips; i++) {
        const real *src = result + panel * places + ((n - t->n.begin) * height + i) * width * DUEL_GEMM_LANES;
        real *dst = data + panel * channel + n * image + (t->p.begin + i) * row + t->q.begin;
        duel_transpose_writing(strip, ks, src, DUEL_GEMM_LANES, dst, ks, 0, channel, image);
      }
  }
}
