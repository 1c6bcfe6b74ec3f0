// From a picture as its file holds it to 8 bits a channel, upright. Invariant: every result is an exact fraction that
// is rounded once. The denominators are odd, so that none lies in the middle between two numbers.
#include "base/mem.h"
#include "io/pictures/decoders.h"

static uint8_t round16(uint32_t v) {
  return (uint8_t)((v + 128) / 257);
}
static uint8_t over_white8(uint32_t v, uint32_t alpha) {
  return (uint8_t)((v * alpha + 255 * (255 - alpha) + 127) / 255);
}
static uint8_t over_white16(uint64_t v, uint64_t alpha) {
  const uint64_t all = 257 * 65535;
  return (uint8_t)((v * alpha + 65535 * (65535 - alpha) + all / 2) / all);
}

typedef struct row { // of the result, and where its pixels come from
  uint8_t *dst;
  int64_t n, step; // step: from pixel to pixel of the source, in samples
  int color, channels, dst_channels;
} row;

// dst_channels is 4 for RGBA, else that of color.
static void write8(const row *r, const uint8_t *src) {
  const bool alpha = r->channels > r->color, rgba = r->dst_channels == 4;
  uint8_t *dst = r->dst;
  for (int64_t i = 0; i < r->n; i++, src += r->step) {
    const uint8_t a = alpha ? src[r->color] : 255;
    if (rgba) {
      for (int c = 0; c < 3; c++) *dst++ = src[r->color == 3 ? c : 0];
      *dst++ = a;
    } else if (alpha) {
      for (int c = 0; c < r->color; c++) *dst++ = over_white8(src[c], a);
    } else {
      for (int c = 0; c < r->color; c++) *dst++ = src[c];
    }
  }
}

static void write16(const row *r, const uint16_t *src) {
  const bool alpha = r->channels > r->color, rgba = r->dst_channels == 4;
  uint8_t *dst = r->dst;
  for (int64_t i = 0; i < r->n; i++, src += r->step) {
    const uint16_t a = alpha ? src[r->color] : 65535;
    if (rgba) {
      for (int c = 0; c < 3; c++) *dst++ = round16(src[r->color == 3 ? c : 0]);
      *dst++ = round16(a);
    } else if (alpha) {
      for (int c = 0; c < r->color; c++) *dst++ = over_white16(src[c], a);
    } else {
      for (int c = 0; c < r->color; c++) *dst++ = round16(src[c]);
    }
  }
}

duel_status duel_raw_finish(duel_picture *p, duel_raw *raw, const char *path, bool rgba) {
  const int64_t h = raw->height, w = raw->width, o = raw->orientation;
  const bool turned = o >= 5, from_right = o == 2 || o == 3 || o == 7 || o == 8; // of the stored picture's columns
  const bool from_below = o == 3 || o == 4 || o == 6 || o == 7;
  *p = (duel_picture){
      .height = turned ? w : h, .width = turned ? h : w, .channels = rgba ? 4 : raw->color, .pixels = raw->samples};
  if (raw->bits == 8 && raw->channels == p->channels && o <= 1) return DUEL_OK;
  const size_t bytes = (size_t)(h * w) * (size_t)p->channels;
  p->pixels = duel_malloc(bytes);
  if (!p->pixels) {
    duel_free(raw->samples);
    return duel_fail_memory(path, bytes);
  }
  // Steps through the stored picture for one column and one row of the upright one, and where its first pixel lies.
  const int64_t across = (from_right ? -1 : 1) * raw->channels, down = (from_below ? -1 : 1) * w * raw->channels;
  const int64_t start = ((from_below ? h - 1 : 0) * w + (from_right ? w - 1 : 0)) * raw->channels;
  const int64_t row_step = turned ? across : down;
  row r = {.n = p->width,
           .step = turned ? down : across,
           .color = raw->color,
           .channels = raw->channels,
           .dst_channels = p->channels};
  for (int64_t y = 0; y < p->height; y++) {
    r.dst = p->pixels + y * p->width * p->channels;
    if (raw->bits == 8)
      write8(&r, (const uint8_t *)raw->samples + start + y * row_step);
    else
      write16(&r, (const uint16_t *)raw->samples + start + y * row_step);
  }
  duel_free(raw->samples);
  return DUEL_OK;
}
