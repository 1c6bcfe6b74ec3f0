// Pictures in: PNG and JPEG, told apart by content, from a file's bytes in memory.
#ifndef DUEL_IO_PICTURE_H
#define DUEL_IO_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { DUEL_PICTURE_SIDE = 1 << 20, DUEL_PICTURE_PIXELS = 1 << 28 }; // most of a side, and in all

typedef struct duel_picture {
  int64_t height, width;
  int channels;    // 1 grey, 3 RGB
  uint8_t *pixels; // [height, width, channels]; duel_free
} duel_picture;

bool duel_is_picture(const uint8_t *bytes, size_t n);

// Size and channels from the first n of `size` bytes. Where these are not enough, *more is set and nothing else. All
// errors are DUEL_ERR_DATA and name path: neither PNG nor JPEG, damaged, nothing in it, larger than the limits, CMYK.
duel_status duel_picture_probe(duel_picture *p, const char *path, const uint8_t *bytes, size_t n, size_t size,
                               bool *more);

// Decodes to 8 bits a channel: palettes become RGB, fewer bits are spread over 0..255, 16 are rounded to 8; transparent
// parts show white. Color profiles, gamma and EXIF's rotation are not applied. Any damage is an error; nothing is
// allocated on a header's word that its bytes could not fill. DUEL_ERR_DATA, or DEVICE without memory.
duel_status duel_picture_decode(duel_picture *p, const char *path, const uint8_t *bytes, size_t n);

// The two halves of duel_picture_decode, after a probe; p holds what it said.
duel_status duel_png_decode(duel_picture *p, const char *path, const uint8_t *bytes, size_t n);
duel_status duel_jpeg_decode(duel_picture *p, const char *path, const uint8_t *bytes, size_t n);

#endif
