// Separable resampling in exact arithmetic. Output x of m over n inputs lies at (x + 1/2)·n/m, input i at i + 1/2; in
// units of 1/(2m) all of these are integers, and so are the triangle's weights max(n, m)·2 − |distance|. Rows first, to
// 16 bits (8 of them fractions), then columns; both sums are divided once, rounding to nearest. RGBA goes another way:
// alpha, and each color times alpha, are kept to 32 bits (16 of them fractions) between rows and columns, and a color
// is the quotient of its sum and alpha's.
#include "io/resample.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void close_axis(duel_axis *a) {
  duel_free(a->first);
  duel_free(a->from);
  duel_free(a->weight);
  duel_free(a->sum);
  *a = (duel_axis){0};
}

void duel_resampler_close(duel_resampler *r) {
  close_axis(&r->x);
  close_axis(&r->y);
  duel_free(r->line);
  duel_free(r->columns);
  duel_free(r->deep);
  duel_free(r->deep_columns);
  *r = (duel_resampler){0};
}

static duel_status set_axis(duel_axis *a, int64_t in, int64_t out) {
  if (a->in == in && a->out == out) return DUEL_OK;
  close_axis(a);
  const int64_t reach = 2 * (in > out ? in : out); // of the triangle, in units of 1/(2·out)
  const int64_t most = reach / out + 2;            // taps of one output
  a->first = duel_malloc((size_t)(out + 1) * sizeof *a->first);
  a->from = duel_malloc((size_t)out * sizeof *a->from);
  a->sum = duel_malloc((size_t)out * sizeof *a->sum);
  a->weight = duel_malloc((size_t)(out * most) * sizeof *a->weight);
  if (!a->first || !a->from || !a->sum || !a->weight) {
    close_axis(a);
    return duel_fail_memory("resampling pictures", (size_t)(out * most) * sizeof *a->weight);
  }
  int64_t used = 0;
  for (int64_t x = 0; x < out; x++) {
    const int64_t center = (2 * x + 1) * in;
    int64_t i = (center - reach) / (2 * out) - 1;
    if (i < 0) i = 0;
    while (reach <= llabs((2 * i + 1) * out - center)) i++; // the input under the center always counts
    a->from[x] = i;
    a->first[x] = used;
    a->sum[x] = 0;
    for (; i < in && llabs((2 * i + 1) * out - center) < reach; i++) {
      a->weight[used] = (uint32_t)(reach - llabs((2 * i + 1) * out - center));
      a->sum[x] += a->weight[used++];
    }
  }
  a->first[out] = used;
  a->in = in;
  a->out = out;
  return DUEL_OK;
}

static duel_status need(void **p, int64_t *room, int64_t bytes) {
  if (*room >= bytes) return DUEL_OK;
  duel_free(*p);
  *p = duel_malloc((size_t)bytes);
  *room = *p ? bytes : 0;
  return *p ? DUEL_OK : duel_fail_memory("resampling pictures", (size_t)bytes);
}

// A row of RGBA over white, as gray or one of its colors.
static void take_flat(uint8_t *dst, const duel_frame *frame, const duel_pixels *src, int c, const uint8_t *p) {
  const int64_t plane = src->channel_step;
  for (int64_t x = 0; x < src->width; x++, p += src->column_step) {
    const int alpha = p[3 * plane];
    int v[3];
    for (int k = 0; k < 3; k++) v[k] = (p[k * plane] * alpha + 255 * (255 - alpha) + 127) / 255;
    dst[x] = (uint8_t)(frame->channels == 1 ? (299 * v[0] + 587 * v[1] + 114 * v[2] + 500) / 1000 : v[c]);
  }
}

// Channel c of the frame, row y of the source.
static void take_line(uint8_t *dst, const duel_frame *frame, const duel_pixels *src, int c, int64_t y) {
  const uint8_t *p = src->at + y * src->row_step;
  const int64_t step = src->column_step, plane = src->channel_step;
  if (src->channels == 4 && frame->channels < 4) {
    take_flat(dst, frame, src, c, p);
    return;
  }
  if (frame->channels == 4 && src->channels < 4 && c == 3) {
    memset(dst, 255, (size_t)src->width);
    return;
  }
  if (frame->channels == 1 && src->channels == 3) {
    for (int64_t x = 0; x < src->width; x++, p += step)
      dst[x] = (uint8_t)((299 * p[0] + 587 * p[plane] + 114 * p[2 * plane] + 500) / 1000);
    return;
  }
  if (src->channels > 1) p += c * plane; // one channel serves all of the frame's
  if (step == 1)
    memcpy(dst, p, (size_t)src->width);
  else
    for (int64_t x = 0; x < src->width; x++) dst[x] = p[x * step];
}

static void filter_line(uint16_t *dst, const uint8_t *line, const duel_axis *a) {
  for (int64_t x = 0; x < a->out; x++) {
    const uint32_t *w = a->weight + a->first[x];
    const uint8_t *v = line + a->from[x];
    const int64_t taps = a->first[x + 1] - a->first[x];
    uint64_t sum = 0;
    for (int64_t i = 0; i < taps; i++) sum += (uint64_t)w[i] * v[i];
    dst[x] = (uint16_t)((256 * sum + a->sum[x] / 2) / a->sum[x]);
  }
}

static void filter_columns(uint8_t *dst, const uint16_t *columns, const duel_axis *a, int64_t width) {
  for (int64_t y = 0; y < a->out; y++) {
    const uint32_t *w = a->weight + a->first[y];
    const uint16_t *v = columns + a->from[y] * width;
    const int64_t taps = a->first[y + 1] - a->first[y];
    for (int64_t x = 0; x < width; x++) {
      uint64_t sum = 128 * a->sum[y];
      for (int64_t i = 0; i < taps; i++) sum += (uint64_t)w[i] * v[i * width + x];
      *dst++ = (uint8_t)(sum / (256 * a->sum[y]));
    }
  }
}

// ---- RGBA

__extension__ typedef unsigned __int128 wide; // sums of weights are up to 41 bits

// Row y of channel c, times alpha, or of alpha itself, filtered.
static void filter_deep(uint32_t *dst, uint32_t *line, const duel_pixels *src, int c, int64_t y, const duel_axis *a) {
  const uint8_t *p = src->at + y * src->row_step;
  const int64_t plane = src->channel_step;
  for (int64_t x = 0; x < src->width; x++, p += src->column_step)
    line[x] = (uint32_t)p[3 * plane] * (c < 3 ? p[c * plane] : 1);
  for (int64_t x = 0; x < a->out; x++) {
    const uint32_t *w = a->weight + a->first[x], *v = line + a->from[x];
    const int64_t taps = a->first[x + 1] - a->first[x];
    wide sum = 0;
    for (int64_t i = 0; i < taps; i++) sum += (wide)w[i] * v[i];
    dst[x] = (uint32_t)((65536 * sum + a->sum[x] / 2) / a->sum[x]);
  }
}

static wide add_column(const uint32_t *v, const uint32_t *w, int64_t taps, int64_t width) {
  wide sum = 0;
  for (int64_t i = 0; i < taps; i++) sum += (wide)w[i] * v[i * width];
  return sum;
}

// color: of one color times alpha; NULL for alpha itself.
static void filter_deep_columns(uint8_t *dst, const uint32_t *color, const uint32_t *alpha, const duel_axis *a,
                                int64_t width) {
  for (int64_t y = 0; y < a->out; y++) {
    const uint32_t *w = a->weight + a->first[y];
    const int64_t taps = a->first[y + 1] - a->first[y], from = a->from[y] * width;
    for (int64_t x = 0; x < width; x++) {
      const wide seen = add_column(alpha + from + x, w, taps, width);
      const wide above = color ? add_column(color + from + x, w, taps, width) : seen;
      const wide below = color ? seen : (wide)65536 * a->sum[y];
      const wide v = below ? (above + below / 2) / below : 0;
      *dst++ = (uint8_t)(v < 255 ? v : 255);
    }
  }
}

static duel_status resample_rgba(duel_resampler *r, uint8_t *dst, const duel_frame *frame, const duel_pixels *src) {
  const int64_t plane = frame->height * frame->width, columns = src->height * frame->width;
  DUEL_TRY(need((void **)&r->deep, &r->deep_room, src->width * (int64_t)sizeof *r->deep));
  DUEL_TRY(need((void **)&r->deep_columns, &r->deep_columns_room, 2 * columns * (int64_t)sizeof *r->deep));
  uint32_t *alpha = r->deep_columns, *color = alpha + columns;
  for (int c = 3; c >= 0; c--) { // alpha first
    for (int64_t y = 0; y < src->height; y++)
      filter_deep((c == 3 ? alpha : color) + y * frame->width, r->deep, src, c, y, &r->x);
    filter_deep_columns(dst + c * plane, c == 3 ? NULL : color, alpha, &r->y, frame->width);
  }
  return DUEL_OK;
}

// The largest part of the frame's proportions, in the middle.
static duel_pixels crop(const duel_pixels *src, const duel_frame *frame) {
  duel_pixels part = *src;
  if (src->width * frame->height > src->height * frame->width)
    part.width = (2 * src->height * frame->width + frame->height) / (2 * frame->height);
  else
    part.height = (2 * src->width * frame->height + frame->width) / (2 * frame->width);
  if (part.width < 1) part.width = 1;
  if (part.height < 1) part.height = 1;
  part.at += (src->height - part.height) / 2 * src->row_step + (src->width - part.width) / 2 * src->column_step;
  return part;
}

// RGB as most pictures have it, three values a pixel, to planes in one go.
static void split(uint8_t *dst, int64_t plane, const duel_pixels *src) {
  for (int64_t y = 0; y < src->height; y++) {
    const uint8_t *p = src->at + y * src->row_step;
    uint8_t *red = dst + y * src->width, *green = red + plane, *blue = green + plane;
    for (int64_t x = 0; x < src->width; x++, p += 3) {
      const uint8_t r = p[0], g = p[1], b = p[2];
      red[x] = r;
      green[x] = g;
      blue[x] = b;
    }
  }
}

duel_status duel_resample(duel_resampler *r, uint8_t *dst, const duel_frame *frame, const duel_pixels *given) {
  const duel_pixels src = frame->crop ? crop(given, frame) : *given;
  const int64_t plane = frame->height * frame->width;
  if (src.height == frame->height && src.width == frame->width) {
    if (frame->channels == 3 && src.channels == 3 && src.column_step == 3 && src.channel_step == 1) {
      split(dst, plane, &src);
      return DUEL_OK;
    }
    for (int c = 0; c < frame->channels; c++)
      for (int64_t y = 0; y < src.height; y++) take_line(dst + c * plane + y * src.width, frame, &src, c, y);
    return DUEL_OK;
  }
  DUEL_TRY(set_axis(&r->x, src.width, frame->width));
  DUEL_TRY(set_axis(&r->y, src.height, frame->height));
  if (src.channels == 4 && frame->channels == 4) return resample_rgba(r, dst, frame, &src);
  DUEL_TRY(need((void **)&r->line, &r->line_room, src.width));
  DUEL_TRY(need((void **)&r->columns, &r->columns_room, src.height * frame->width * (int64_t)sizeof *r->columns));
  for (int c = 0; c < frame->channels; c++) {
    for (int64_t y = 0; y < src.height; y++) {
      take_line(r->line, frame, &src, c, y);
      filter_line(r->columns + y * frame->width, r->line, &r->x);
    }
    filter_columns(dst + c * plane, r->columns, &r->y, frame->width);
  }
  return DUEL_OK;
}
