// Pictures in, from a file's bytes in memory. What a file is its first bytes say, and where they say nothing its name.
#ifndef DUEL_IO_PICTURE_H
#define DUEL_IO_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { DUEL_PICTURE_SIDE = 1 << 20, DUEL_PICTURE_PIXELS = 1 << 28 }; // most of a side, and in all

typedef struct duel_picture {
  int64_t height, width;
  int channels;    // 1 gray, 3 RGB, 4 RGBA
  uint8_t *pixels; // [height, width, channels]; duel_free
} duel_picture;

typedef struct duel_picture_format { // that pictures have elsewhere, read here or not
  const char *name, *phrase;         // "AVIF", "an AVIF"
  const char *endings;               // of names, in lower case, each with its dot: ".tif.tiff"
  bool read;                         // by this build
  const char *library;               // that a build needs to read it; NULL: none helps, or none is needed
  const char *converter;             // a program that makes a PNG of it
} duel_picture_format;

enum { DUEL_PICTURE_HEAD = 512 }; // bytes that tell all formats apart, or all that the file has

// By the ending of its name, whatever its case; by its first bytes. NULL: none. A file is a picture if one of the two
// says so; if only its name does, it is a bad one.
const duel_picture_format *duel_picture_named(const char *path);
const duel_picture_format *duel_picture_of(const uint8_t *bytes, size_t n);
const duel_picture_format *duel_picture_formats(int *n); // all of them, those that are read first

// The sentences, as DUEL_ERR_DATA: of a format that is not read, with the way out; of a file that is no picture.
duel_status duel_picture_unread(const duel_picture_format *f, const char *path);
duel_status duel_picture_foreign(const char *path, const uint8_t *bytes, size_t n);

// Size (upright) and channels (1 or 3) from the first n of `size` bytes. Where these are not enough, *more is set and
// nothing else. All errors are DUEL_ERR_DATA and name path: no picture, of a format that is not read, damaged, nothing
// in it, larger than the limits.
duel_status duel_picture_probe(duel_picture *p, const char *path, const uint8_t *bytes, size_t n, size_t size,
                               bool *more);

// Decodes to 8 bits a channel, upright as EXIF says: palettes become RGB, CMYK and YCbCr too, fewer bits are spread
// over 0..255, 16 are rounded to 8. Transparent parts show white, exactly; or, with rgba, there are four channels, of
// which alpha is the last, straight, and 255 where a picture has none. Of an animation the first picture. Color
// profiles and gamma are not applied. Any damage is an error; nothing is allocated on a header's word that its bytes
// could not fill, where a format allows to tell. DUEL_ERR_DATA, or DEVICE without memory.
duel_status duel_picture_decode(duel_picture *p, const char *path, const uint8_t *bytes, size_t n, bool rgba);

#endif
