// What lies behind io/picture.h: for each format that is read its header and its pixels, and what all have in common.
#ifndef DUEL_IO_PICTURES_DECODERS_H
#define DUEL_IO_PICTURES_DECODERS_H

#include "io/picture.h"

// A picture as its file holds it: not turned, alpha not yet laid over white, 16 bits as they are.
typedef struct duel_raw {
  int64_t height, width;
  int color;       // 1 gray, 3 RGB
  int channels;    // of a sample below: those of color, and one more if there is alpha, which is straight
  int bits;        // 8, or 16 in this machine's order
  int orientation; // EXIF's, 1..8; others count as 1
  void *samples;   // [height, width, channels]; duel_free
} duel_raw;

// A file, or the first n of its `size` bytes.
typedef struct duel_bytes {
  const char *path;
  const uint8_t *at;
  size_t n, size;
} duel_bytes;

// Sets height, width, color and orientation, or *more where n bytes are too few. Sizes are not checked here.
typedef duel_status duel_raw_probe(duel_raw *raw, const duel_bytes *b, bool *more);
// After a probe of all bytes: channels, bits, samples. DEVICE without memory.
typedef duel_status duel_raw_decode(duel_raw *raw, const duel_bytes *b);

duel_raw_probe duel_png_probe, duel_jpeg_probe, duel_gif_probe, duel_bmp_probe, duel_tiff_probe, duel_webp_probe,
    duel_pnm_probe;
duel_raw_decode duel_png_decode, duel_jpeg_decode, duel_gif_decode, duel_bmp_decode, duel_tiff_decode, duel_webp_decode,
    duel_pnm_decode;

// duel_picture_of, but that a camera's raw picture, which begins like a TIFF, is known by its name.
const duel_picture_format *duel_picture_kind(const char *path, const uint8_t *bytes, size_t n);

// "the file ends within its header": *more, or the error that it is cut short.
duel_status duel_raw_more(const duel_bytes *b, bool *more, const char *what);
// That so many bytes of raw samples can be in the file, if one of its bytes yields at most `most`.
duel_status duel_raw_check(const duel_raw *raw, const duel_bytes *b, double raw_bytes, double most);
// samples of height·width·channels·bits/8 bytes, or DEVICE.
duel_status duel_raw_take(duel_raw *raw, const char *path);
// Turns, lays over white or adds an opaque alpha, and rounds, once. Takes the samples; p as duel_picture_decode has it.
duel_status duel_raw_finish(duel_picture *p, duel_raw *raw, const char *path, bool rgba);

// The orientation that EXIF's bytes ask for, with or without "Exif\0\0" in front: 1..8, 0 where they say none or are
// broken. Any bytes are fine.
int duel_exif_orientation(const uint8_t *bytes, size_t n);
// The same of an XMP packet.
int duel_xmp_orientation(const uint8_t *bytes, size_t n);

#endif
