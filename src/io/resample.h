// Pictures to one size: crop, antialiased resampling, channels. Integers only, so the bits are the same everywhere.
#ifndef DUEL_IO_RESAMPLE_H
#define DUEL_IO_RESAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct duel_pixels { // where the values of a picture lie
  const uint8_t *at;
  int64_t height, width;
  int channels; // 1, 3 or 4 (RGBA), or any where the same number and size are asked for
  int64_t channel_step, row_step, column_step;
} duel_pixels;

typedef struct duel_frame { // what they are to become
  int64_t height, width;
  bool crop; // first to the new shape's proportions, around the middle; else they are stretched
  int channels;
} duel_frame;

// Weights and buffers that one thread keeps from picture to picture. {0} is a fresh one.
typedef struct duel_axis {
  int64_t in, out;
  int64_t *first; // [out + 1]: where the taps of each output begin in weight
  int64_t *from;  // [out]: the input that the first tap reads
  uint32_t *weight;
  uint64_t *sum; // [out]
} duel_axis;
typedef struct duel_resampler {
  duel_axis x, y;
  uint8_t *line;
  uint16_t *columns;
  uint32_t *deep, *deep_columns; // of RGBA: see resample.c
  int64_t line_room, columns_room, deep_room, deep_columns_room;
} duel_resampler;

// dst [channels, height, width]. The filter is a triangle, as wide as an input or output pixel, whichever is the larger
// (what Pillow calls BILINEAR with reduction); a picture that has the size already is copied. Gray is
// (299 R + 587 G + 114 B)/1000. Of RGBA each color counts as much as it is seen: colors are averaged with their alpha
// as weight, and are 0 where all of it is transparent. RGBA becomes RGB or gray over white; what has no alpha becomes
// RGBA with 255. DEVICE without memory.
duel_status duel_resample(duel_resampler *r, uint8_t *dst, const duel_frame *frame, const duel_pixels *src);
void duel_resampler_close(duel_resampler *r);

#endif
